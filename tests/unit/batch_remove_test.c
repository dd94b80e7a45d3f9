/* batch_remove_test.c - a job is removed: gone at once, its rows in slices, in this life or the next
 *
 * A whole coordinator on one loop, asked by its own functions; nobody is connected. What lies in the file is counted by a
 * connection of the test's own. A life that is killed between two slices is played by a copy of the file and its log. */
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "tests/unit/batch_fixture.h"

#define BIG 1
#define SMALL 2
#define N_BIG 20000                        /* ten slices */
#define N_SMALL 3
#define PACKED_FROM 100000
#define N_PACKED 60                        /* rows of thousands each: three slices */

static void until_removed(struct life *w)
{
	uint64_t limit = life_limit(w);

	while (w->c.batch->is_removing)
		life_turn(w, limit);
}

/* Two jobs that are done; each task has an attempt, an outcome and an output. */
static void fill(struct life *w)
{
	static const int64_t n_tasks[] = { [BIG] = N_BIG, [SMALL] = N_SMALL };
	struct gr_store *s = life_store(w);
	struct gr_slice none = { 0 };
	struct gr_store_tx *tx;
	char spec[200];

	tx = gr_store_tx_new(s);
	gr_store_add(tx, GR_SQL_META, "next_job", (int64_t)SMALL + 1);
	for (int64_t job = BIG; job <= SMALL; job++) {
		snprintf(spec, sizeof(spec), "{\"name\":\"j\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"array\":{\"range\":[1,%d]}}]}", (int)n_tasks[job]);
		gr_store_add(tx, GR_SQL_JOB, job, NULL, spec, "j", "t", (int64_t)0, n_tasks[job], (int64_t)gr_clock_real_ms(), (int64_t)65536, "loopback");
		gr_store_add(tx, GR_SQL_JOB_STATE, job, (int64_t)GR_J_DONE, NULL, (int64_t)0, (int64_t)gr_clock_real_ms(), (int64_t)gr_clock_real_ms());
		gr_store_add(tx, GR_SQL_SECRET, job, "key", gr_slice_str("value"));
		for (int64_t i = 0; i < n_tasks[job]; i++) {
			gr_store_add(tx, GR_SQL_BEGIN, job, i, (int64_t)1, (int64_t)1, "w", "n", (int64_t)1, (int64_t)1, (int64_t)1000, (int64_t)0, (int64_t)0);
			gr_store_add(tx, GR_SQL_OUTCOME, job, i, (int64_t)GR_B_DONE, (int64_t)1);
			gr_store_add(tx, GR_SQL_OUTPUT, job, i, (int64_t)1, (int64_t)0, (int64_t)0, (int64_t)0, "out", (int64_t)0644, (int64_t)0, none, NULL);
		}
	}
	life_commit(w, &tx);
	for (int64_t i = 0; i < N_PACKED; i++) {
		const struct gr_store_attempt_row row = { .task = PACKED_FROM + i * 1024, .attempt = 1, .ordinal = 1, .cause = GR_BC_DONE, .worker = "w", .node = "n" };

		tx = gr_store_tx_new(s);
		gr_store_done(tx, BIG, "t", 0, &row);
		gr_store_commit(&tx, false, NULL, NULL);
	}
	gr_store_close(&s);
}

static int set_up(void **state)
{
	struct life *w;

	GR_NEW(w);
	life_init(w, "remove");
	fill(w);
	life_begin(w, 100);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct life *w = *state;

	life_fini(w);
	free(w);
	return 0;
}

/* ---- asking ---- */

struct answer {
	bool is_told;
	int code;
	json_t *rep;
};

static void on_answer(void *ctx, json_t *rep, const struct gr_err *err)
{
	struct answer *a = ctx;

	a->is_told = true;
	a->code = err ? err->code : 0;
	a->rep = err ? NULL : rep;
}

static void ask(struct life *w, struct answer *a, const char *op, int64_t job)
{
	struct gr_batch_who who = { .name = "loopback", .is_admin = true };
	json_t *req = json_pack("{s:I}", "job", (json_int_t)job);

	memset(a, 0, sizeof(*a));
	gr_batch_op(&w->c, &who, op, req, on_answer, a);
	json_decref(req);
}

static int ask_now(struct life *w, const char *op, int64_t job)
{
	struct answer a;

	ask(w, &a, op, job);
	life_until(w, &a.is_told);
	json_decref(a.rep);
	return a.code;
}

static int64_t n_rows(struct life *w, const char *table, int64_t job)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	char text[200];
	int64_t n;

	snprintf(text, sizeof(text), "%s/jobs.db", w->dir);
	assert_int_equal(sqlite3_open_v2(text, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	snprintf(text, sizeof(text), "SELECT count(*) FROM %s WHERE job=%d", table, (int)job);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

static const char *const of_tasks[] = { "attempts", "outcomes", "outputs" };

static void assert_rows(struct life *w, int64_t job, int64_t n)
{
	for (size_t i = 0; i < GR_LEN(of_tasks); i++)
		assert_int_equal(n_rows(w, of_tasks[i], job), n);
}

static void assert_gone(struct life *w)
{
	assert_int_equal(ask_now(w, "job.show", BIG), GR_ENOENT);
	assert_int_equal(ask_now(w, "task.ls", BIG), GR_ENOENT);
	assert_int_equal(ask_now(w, "job.rm", BIG), GR_ENOENT);
	assert_int_equal(ask_now(w, "job.show", SMALL), 0);
}

static void assert_nothing_is_left(struct life *w)
{
	assert_rows(w, BIG, 0);
	assert_int_equal(n_rows(w, "packs", BIG), 0);
	assert_int_equal(n_rows(w, "removed", BIG), 0);
	assert_int_equal(n_rows(w, "secrets", BIG), 0);
}

/* ---- tests ---- */

static void it_is_gone_at_once_and_a_commit_is_told_between_two_slices(void **state)
{
	struct life *w = *state;
	struct gr_store_tx *tx;

	assert_rows(w, BIG, N_BIG);
	assert_int_equal(n_rows(w, "packs", BIG), N_PACKED);
	assert_int_equal(ask_now(w, "job.rm", BIG), 0);
	assert_int_equal(n_rows(w, "jobs", BIG), 0);
	assert_int_equal(n_rows(w, "secrets", BIG), 0);
	assert_int_equal(n_rows(w, "removed", BIG), 1);
	tx = gr_store_tx_new(w->c.batch->store);
	gr_store_add(tx, GR_SQL_TRUST, (int64_t)7, (int64_t)7, (int64_t)1);
	life_commit(w, &tx);
	assert_true(n_rows(w, "outputs", BIG) > N_BIG / 2);
	assert_true(w->c.batch->is_removing);
	assert_gone(w);
	until_removed(w);
	assert_nothing_is_left(w);
	assert_rows(w, SMALL, N_SMALL);
	assert_int_equal(n_rows(w, "secrets", SMALL), 1);
	assert_gone(w);
}

static void two_that_are_removed_in_one_turn_go_both(void **state)
{
	struct life *w = *state;
	struct answer a, b;

	ask(w, &a, "job.rm", BIG);
	ask(w, &b, "job.rm", SMALL);
	assert_true(w->c.batch->is_removed_later);
	life_until(w, &a.is_told);
	life_until(w, &b.is_told);
	assert_int_equal(a.code, 0);
	assert_int_equal(b.code, 0);
	json_decref(a.rep);
	json_decref(b.rep);
	until_removed(w);
	assert_nothing_is_left(w);
	assert_rows(w, SMALL, 0);
	assert_int_equal(n_rows(w, "removed", SMALL), 0);
}

static void copy(const char *from, const char *to)
{
	struct gr_buf b = { 0 };
	struct gr_err err;

	if (gr_file_read(from, 64u << 20, &b, &err) < 0 || gr_file_replace(to, b.p, b.n, 0600, false, &err) < 0)
		fail_msg("%s", err.text);
	gr_buf_fini(&b);
}

/* @is_back: what was put aside is the state again. */
static void put_aside(struct life *w, bool is_back)
{
	static const char *const tails[] = { "", "-wal" };
	char here[100], aside[100];

	for (size_t i = 0; i < GR_LEN(tails); i++) {
		snprintf(here, sizeof(here), "%s/jobs.db%s", w->dir, tails[i]);
		snprintf(aside, sizeof(aside), "%s/aside%s", w->dir, tails[i]);
		copy(is_back ? aside : here, is_back ? here : aside);
	}
}

/* In no export, either: lines of attempts that name the job. */
static void assert_not_exported(struct life *w)
{
	struct gr_store *s = life_store(w);
	struct gr_store_exported out;
	struct gr_buf text = { 0 };
	struct gr_err err;
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "%s/export", w->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	if (gr_store_export(s, fd, 1 << 30, NULL, &out, &err) < 0)
		fail_msg("%s", err.text);
	close(fd);
	gr_store_close(&s);
	if (gr_file_read(path, 64u << 20, &text, &err) < 0)
		fail_msg("%s", err.text);
	assert_non_null(strstr(gr_buf_str(&text), "{\"table\":\"attempts\",\"job\":2,"));
	assert_non_null(strstr(gr_buf_str(&text), "{\"table\":\"outputs\",\"job\":2,"));
	for (size_t i = 0; i < GR_LEN(of_tasks); i++) {               /* what it cost is told still: usage */
		snprintf(path, sizeof(path), "{\"table\":\"%s\",\"job\":1,", of_tasks[i]);
		assert_null(strstr(gr_buf_str(&text), path));
	}
	gr_buf_fini(&text);
}

static void what_a_killed_life_left_of_it_is_seen_by_nobody_and_goes_in_the_next(void **state)
{
	struct life *w = *state;
	struct gr_buf report = { 0 };
	struct gr_err err;

	assert_int_equal(ask_now(w, "job.rm", BIG), 0);
	put_aside(w, false);
	until_removed(w);
	life_end(w);
	put_aside(w, true);
	assert_true(n_rows(w, "outcomes", BIG) > N_BIG / 2);
	assert_int_equal(n_rows(w, "removed", BIG), 1);
	assert_not_exported(w);
	if (gr_store_recover(w->dir, 1, &report, &err) < 0)           /* of a file that is whole: it takes the note along */
		fail_msg("%s", err.text);
	assert_null(strstr(gr_buf_str(&report), "description is lost"));
	gr_buf_fini(&report);
	assert_int_equal(n_rows(w, "removed", BIG), 1);
	assert_true(n_rows(w, "outcomes", BIG) > N_BIG / 2);
	life_begin(w, 100);
	assert_true(w->c.batch->is_removing);
	assert_gone(w);
	until_removed(w);
	assert_nothing_is_left(w);
	assert_rows(w, SMALL, N_SMALL);
}

static void a_vacuum_that_is_asked_for_meanwhile_gives_all_of_it_back(void **state)
{
	struct life *w = *state;
	struct answer rm, vacuum;

	ask(w, &rm, "job.rm", BIG);
	ask(w, &vacuum, "admin.vacuum", 0);
	life_until(w, &vacuum.is_told);
	assert_true(rm.is_told);
	assert_false(w->c.batch->is_removing);
	assert_int_equal(vacuum.code, 0);
	assert_true(json_integer_value(json_object_get(vacuum.rep, "freed_bytes")) > 1 << 20);
	assert_int_equal(gr_store_free_bytes(w->c.batch->store), 0);
	assert_nothing_is_left(w);
	json_decref(rm.rep);
	json_decref(vacuum.rep);
}

static void a_store_of_before_learns_it(void **state)
{
	struct life *w = *state;
	char path[100];
	sqlite3 *db;

	life_end(w);
	snprintf(path, sizeof(path), "%s/jobs.db", w->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "DROP TABLE packs; DROP TABLE removed; ALTER TABLE attempts DROP COLUMN same; "
				      "ALTER TABLE jobs DROP COLUMN n_failed_before; PRAGMA user_version=2", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	life_begin(w, 100);
	assert_int_equal(ask_now(w, "job.rm", BIG), 0);
	until_removed(w);
	assert_nothing_is_left(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		T(it_is_gone_at_once_and_a_commit_is_told_between_two_slices),
		T(two_that_are_removed_in_one_turn_go_both),
		T(what_a_killed_life_left_of_it_is_seen_by_nobody_and_goes_in_the_next),
		T(a_vacuum_that_is_asked_for_meanwhile_gives_all_of_it_back),
		T(a_store_of_before_learns_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
