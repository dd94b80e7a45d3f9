/* store_damage_test.c - the job store on a real file: what was told to be on disk comes back, whatever is cut off behind it
 *
 * A power cut is played on a recorded write-ahead log: the database and the log of a store that is open are copied, the
 * copy of the log is cut, and a second store is opened on it. At each cut just those commits must be there whose last
 * frame is, each whole; the length of the log was noted at each acknowledgement. STORE_CUTS=N makes N cuts (default 120)
 * beside those at the frames' bounds; 0 one at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "coordinator/store/store.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"

#define LIMIT_S 60
#define N_JOBS 12
#define WAL_HEAD 32u
#define FRAME (24u + 4096u)

struct world {
	struct gr_loop *loop;
	struct gr_timer *tick;
	struct gr_store *store;
	char dir[64], cut[80];
	struct gr_buf db, wal;
	size_t acked_at[N_JOBS];         /* the log's length when job i + 1 had been acknowledged */
	int n_done, rc;
};

static void on_tick(void *ctx) { (void)ctx; }

static void on_damage(void *ctx, const char *text)
{
	(void)ctx;
	fail_msg("damage: %s", text);
}

static const struct gr_store_ops OPS = { on_damage };

static void on_done(void *ctx, int rc)
{
	struct world *w = ctx;

	w->n_done++;
	w->rc = rc;
}

static size_t size_of(const char *dir, const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return stat(path, &st) < 0 ? 0 : (size_t)st.st_size;
}

static void read_to(const char *dir, const char *name, struct gr_buf *out)
{
	char path[128];
	struct gr_err err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (gr_file_read(path, 64u << 20, out, &err) < 0)
		fail_msg("%s", err.text);
}

static void write_to(const char *dir, const char *name, const void *p, size_t n)
{
	char path[128];
	struct gr_err err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (gr_file_replace(path, p, n, 0600, false, &err) < 0)
		fail_msg("%s", err.text);
}

/* A job with one attempt and its outcome, and with two tasks that are done in one row, in one transaction, until it is told to be on disk. */
static void put(struct world *w, int64_t job)
{
	struct gr_store_tx *tx = gr_store_tx_new(w->store);
	uint64_t until = gr_loop_now_ns(w->loop) + LIMIT_S * GR_NS_PER_S;
	int n = w->n_done;
	char spec[3000];

	memset(spec, 'a' + (int)(job % 26), sizeof(spec) - 1);
	spec[sizeof(spec) - 1] = '\0';
	gr_store_add(tx, GR_SQL_JOB, job, NULL, spec, "a job", "tenant", (int64_t)0, (int64_t)1, (int64_t)1000, (int64_t)1, "owner");
	gr_store_add(tx, GR_SQL_BEGIN, job, (int64_t)0, (int64_t)1, (int64_t)1, "w", "n", (int64_t)1, (int64_t)1, (int64_t)1000, (int64_t)0, (int64_t)0);
	gr_store_add(tx, GR_SQL_OUTCOME, job, (int64_t)0, (int64_t)4, (int64_t)1);
	for (int64_t task = 1; task <= 2; task++) {
		const struct gr_store_attempt_row row = { .task = task, .attempt = 1, .ordinal = 1, .cause = 1, .start_ms = 1000, .end_ms = 1001,
							  .worker = "w", .node = "n" };

		gr_store_done(tx, job, "tenant", 0, &row);
	}
	gr_store_commit(&tx, false, on_done, w);
	while (w->n_done == n) {
		if (gr_loop_now_ns(w->loop) > until)
			fail_msg("waited %d s for a commit", LIMIT_S);
		uv_run(gr_loop_uv(w->loop), UV_RUN_ONCE);
	}
	assert_int_equal(w->rc, 0);
}

struct found {
	struct gr_store *store;
	int64_t n, last, n_outcomes, n_attempts, n_packed;
};

static int on_outcome(void *ctx, int64_t task, int64_t state, int64_t attempt)
{
	struct found *f = ctx;

	f->n_outcomes += task == 0 && state == 4 && attempt == 1;
	f->n_packed += task > 0 && task < 3 && state == 4 && attempt == 1;
	return 0;
}

static int on_attempt(void *ctx, const struct gr_store_attempt_row *row)
{
	struct found *f = ctx;

	f->n_attempts += row->task == 0 && row->attempt == 1 && row->start_ms == 1000;
	return 0;
}

static int on_job(void *ctx, const struct gr_store_job_row *row)
{
	struct found *f = ctx;

	f->n++;
	f->last = row->job > f->last ? row->job : f->last;
	assert_int_equal(strlen(row->spec), 2999);
	assert_int_equal(row->spec[0], 'a' + (int)(row->job % 26));
	assert_true(gr_store_each_outcome(f->store, row->job, on_outcome, f) >= 0);
	assert_true(gr_store_each_attempt(f->store, row->job, -1, true, on_attempt, f) >= 0);
	return 0;
}

/* Jobs 1 .. the returned number are there, each with its attempt and outcome. */
static int64_t whole_jobs(struct gr_store *s)
{
	struct found f = { .store = s };

	assert_true(gr_store_each_job(s, on_job, &f) >= 0);
	assert_int_equal(f.last, f.n);
	assert_int_equal(f.n_outcomes, f.n);
	assert_int_equal(f.n_attempts, f.n);
	assert_int_equal(f.n_packed, 2 * f.n);
	return f.n;
}

/* A folder with the copy of the database and the first @n bytes of the log. */
static void lay(struct world *w, size_t n)
{
	struct gr_err err;

	gr_rm_rf(w->cut);
	assert_true(gr_mkdir_p(w->cut, 0700, &err) >= 0);
	write_to(w->cut, "jobs.db", w->db.p, w->db.n);
	write_to(w->cut, "jobs.db-wal", w->wal.p, n);
}

static void cut_at(struct world *w, size_t n)
{
	struct gr_store *s;
	struct gr_err err;
	int64_t want = 0, have;

	while (want < N_JOBS && w->acked_at[want] <= n)
		want++;
	lay(w, n);
	if (gr_store_open(w->loop, w->cut, &OPS, w, &s, &err) < 0)
		fail_msg("log cut at %zu of %zu: %s", n, w->wal.n, err.text);
	have = whole_jobs(s);
	gr_store_close(&s);
	if (have != want)
		fail_msg("log cut at %zu of %zu: %lld jobs are back, %lld had been acknowledged", n, w->wal.n, (long long)have, (long long)want);
}

static int set_up(void **state)
{
	struct world *w;
	struct gr_err err;

	GR_NEW(w);
	snprintf(w->dir, sizeof(w->dir), "%s/gr-store-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->cut, sizeof(w->cut), "%s/cut", w->dir);
	w->loop = gr_loop_new(1);
	w->tick = gr_timer_start(w->loop, 50, 50, on_tick, w);
	if (gr_store_open(w->loop, w->dir, &OPS, w, &w->store, &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < N_JOBS; i++) {
		put(w, i + 1);
		w->acked_at[i] = size_of(w->dir, "jobs.db-wal");
	}
	read_to(w->dir, "jobs.db", &w->db);
	read_to(w->dir, "jobs.db-wal", &w->wal);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	gr_store_close(&w->store);
	gr_timer_stop(&w->tick);
	gr_loop_run(w->loop);
	gr_loop_free(&w->loop);
	gr_buf_fini(&w->db);
	gr_buf_fini(&w->wal);
	gr_rm_rf(w->dir);
	free(w);
	return 0;
}

static void a_log_cut_anywhere_gives_back_what_was_acknowledged_and_no_half_of_the_rest(void **state)
{
	struct world *w = *state;
	const char *s = getenv("STORE_CUTS");
	size_t n_cuts = s ? strtoul(s, NULL, 10) : 120, step = n_cuts ? w->wal.n / n_cuts : 1;

	assert_int_equal((w->wal.n - WAL_HEAD) % FRAME, 0);
	assert_true(w->acked_at[0] > WAL_HEAD && w->acked_at[N_JOBS - 1] == w->wal.n);
	for (int i = 1; i < N_JOBS; i++)
		assert_true(w->acked_at[i] > w->acked_at[i - 1]);
	for (size_t n = 0; n <= w->wal.n; n += step ? step : 1)
		cut_at(w, n);
	for (size_t n = WAL_HEAD; n <= w->wal.n; n += FRAME) {
		cut_at(w, n - 1);
		cut_at(w, n);
		if (n < w->wal.n)
			cut_at(w, n + 1);
	}
}

/* The last commit's frames with a bit turned over: that commit is not there, and all before it are. */
static void a_log_with_a_wrong_bit_ends_before_it(void **state)
{
	struct world *w = *state;

	for (size_t n = w->acked_at[N_JOBS - 2]; n < w->wal.n; n += 997) {
		struct gr_store *s;
		struct gr_err err;

		w->wal.p[n] ^= 0x10;
		lay(w, w->wal.n);
		w->wal.p[n] ^= 0x10;
		assert_true(gr_store_open(w->loop, w->cut, &OPS, w, &s, &err) >= 0);
		assert_int_equal(whole_jobs(s), N_JOBS - 1);
		gr_store_close(&s);
	}
}

/* All of it in the database file alone, as a clean end leaves it. */
static void fold(struct world *w)
{
	gr_store_close(&w->store);
	assert_int_equal(size_of(w->dir, "jobs.db-wal"), 0);
	w->db.n = 0;
	read_to(w->dir, "jobs.db", &w->db);
	assert_true(w->db.n > 8u * 4096u);
}

static void a_database_that_was_cut_is_refused_with_what_to_do(void **state)
{
	struct world *w = *state;
	size_t whole;

	fold(w);
	whole = w->db.n;
	for (size_t n = 1; n < whole; n += n < 4096 ? 509 : 2048 + 511) {
		struct gr_store *s = NULL;
		struct gr_err err;

		w->db.n = n;
		lay(w, 0);
		if (gr_store_open(w->loop, w->cut, &OPS, w, &s, &err) >= 0) {
			gr_store_close(&s);
			fail_msg("the file cut at %zu of %zu was opened", n, whole);
		}
		if (!strstr(err.text, "--recover") || !strstr(err.text, "jobs.db"))
			fail_msg("cut at %zu: says only: %s", n, err.text);
		assert_int_equal(size_of(w->cut, "jobs.db"), n);
	}
}

/* A page with a job's spec overwritten: the file is refused, and recovery gives back the rows of all other pages. */
static void recovery_keeps_the_damaged_file_and_gives_back_jobs(void **state)
{
	struct world *w = *state;
	struct gr_buf report = { 0 };
	struct gr_store *s = NULL;
	struct found f = { 0 };
	struct gr_err err;
	char kept[160];
	size_t page = 0;

	fold(w);
	for (size_t n = 4096; n + 4096 <= w->db.n && !page; n += 4096)   /* a leaf of the table with the jobs in its middle */
		if (w->db.p[n] == 0x0d && memmem(w->db.p + n, 4096, "gggggggggggggggg", 16))
			page = n;
	assert_true(page > 0);
	memset(w->db.p + page, 0xa5, 4096);
	lay(w, 0);
	assert_true(gr_store_open(w->loop, w->cut, &OPS, w, &s, &err) < 0);
	assert_non_null(strstr(err.text, "--recover"));
	if (gr_store_recover(w->cut, 77, &report, &err) < 0)
		fail_msg("%s", err.text);
	snprintf(kept, sizeof(kept), "jobs.db.damaged-77");
	assert_int_equal(size_of(w->cut, kept), w->db.n);
	if (gr_store_open(w->loop, w->cut, &OPS, w, &s, &err) < 0)
		fail_msg("%s", err.text);
	f.store = s;
	assert_true(gr_store_each_job(s, on_job, &f) >= 0);
	print_message("%lld of %d jobs came back\n", (long long)f.n, N_JOBS);
	assert_true(f.n >= N_JOBS - 2 && f.n < N_JOBS);
	gr_store_close(&s);
	gr_buf_fini(&report);
}

/* The root of the table of jobs is gone: what hung on it cannot be found, what else there is of each job is kept, and said. */
static void recovery_names_the_jobs_whose_descriptions_are_lost(void **state)
{
	struct world *w = *state;
	struct gr_buf report = { 0 };
	struct gr_store *s = NULL;
	struct gr_err err;
	sqlite3 *db;
	sqlite3_stmt *st;
	char path[160];
	size_t root;
	json_t *j;

	fold(w);
	lay(w, 0);
	snprintf(path, sizeof(path), "%s/jobs.db", w->cut);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name='jobs'", -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	root = (size_t)sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	assert_true(root > 1 && root * 4096 <= w->db.n);
	memset(w->db.p + (root - 1) * 4096, 0, 4096);
	lay(w, 0);
	if (gr_store_recover(w->cut, 78, &report, &err) < 0)
		fail_msg("%s", err.text);
	for (int job = 1; job <= N_JOBS; job++) {
		char line[64];

		snprintf(line, sizeof(line), "job %d: its description is lost", job);
		if (!strstr(gr_buf_str(&report), line))
			fail_msg("nothing is said of job %d: %s", job, gr_buf_str(&report));
	}
	assert_non_null(strstr(gr_buf_str(&report), "3 outcomes and 3 attempts of it are kept"));
	if (gr_store_open(w->loop, w->cut, &OPS, w, &s, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(gr_store_check(s, NULL, &j, &err), 0);
	assert_true(json_is_true(json_object_get(j, "ok")));
	json_decref(j);
	gr_store_close(&s);
	gr_buf_fini(&report);
}

/* Its usage is kept for the accounts; that was taken for a job whose description could not be read. */
static void recovery_says_nothing_of_a_job_that_was_removed(void **state)
{
	static const enum gr_store_sql cut[] = { GR_SQL_CUT_ATTEMPTS, GR_SQL_CUT_OUTCOMES, GR_SQL_CUT_PACKS, GR_SQL_CUT_DONE };
	struct world *w = *state;
	struct gr_buf report = { 0 };
	struct gr_store_tx *tx;
	struct gr_store *s;
	struct gr_err err;
	json_t *usage;

	fold(w);
	lay(w, 0);
	if (gr_store_open(w->loop, w->cut, &OPS, w, &s, &err) < 0)
		fail_msg("%s", err.text);
	tx = gr_store_tx_new(s);
	gr_store_add(tx, GR_SQL_RM_JOB, (int64_t)3);
	gr_store_add(tx, GR_SQL_REMOVED, (int64_t)3);
	for (size_t i = 0; i < GR_LEN(cut); i++)
		gr_store_add(tx, cut[i]);
	gr_store_commit(&tx, false, on_done, w);
	gr_store_close(&s);
	if (gr_store_recover(w->cut, 79, &report, &err) < 0)
		fail_msg("%s", err.text);
	assert_non_null(strstr(gr_buf_str(&report), "jobs: 11 rows\n"));
	assert_null(strstr(gr_buf_str(&report), "description is lost"));
	if (gr_store_open(w->loop, w->cut, &OPS, w, &s, &err) < 0)
		fail_msg("%s", err.text);
	usage = gr_store_usage(s, NULL, 3);
	assert_int_equal(json_array_size(usage), 1);
	json_decref(usage);
	gr_store_close(&s);
	gr_buf_fini(&report);
}

static void a_backup_is_a_store_with_all_of_it(void **state)
{
	struct world *w = *state;
	struct gr_store *s;
	struct gr_err err;
	char path[160];
	json_t *j;

	assert_true(gr_mkdir_p(w->cut, 0700, &err) >= 0);
	snprintf(path, sizeof(path), "%s/jobs.db", w->cut);
	if (gr_store_backup(w->store, path, NULL, &err) < 0 || gr_store_open(w->loop, w->cut, &OPS, w, &s, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(whole_jobs(s), N_JOBS);
	assert_int_equal(gr_store_check(s, NULL, &j, &err), 0);
	assert_true(json_is_true(json_object_get(j, "ok")));
	json_decref(j);
	gr_store_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		T(a_log_cut_anywhere_gives_back_what_was_acknowledged_and_no_half_of_the_rest),
		T(a_log_with_a_wrong_bit_ends_before_it),
		T(a_database_that_was_cut_is_refused_with_what_to_do),
		T(recovery_keeps_the_damaged_file_and_gives_back_jobs),
		T(recovery_names_the_jobs_whose_descriptions_are_lost),
		T(recovery_says_nothing_of_a_job_that_was_removed),
		T(a_backup_is_a_store_with_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
