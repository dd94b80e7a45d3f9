/* store_pack_test.c - attempts that have done their tasks share rows: what is read of them is what rows of their own would say
 *
 * On a real file. What lies in it is counted and damaged by a connection of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "coordinator/store/store_int.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/remove.h"
#include "lib/job/batch.h"

#define N_TASKS 5000
#define MS 1700000000000

struct world {
	struct gr_loop *loop;
	struct gr_store *store;
	char dir[64], file[96], damage[512];
};

static void on_damage(void *ctx, const char *text)
{
	struct world *w = ctx;

	snprintf(w->damage, sizeof(w->damage), "%s", text);
}

static const struct gr_store_ops ops = { .on_damage = on_damage };

static void open_it(struct world *w)
{
	struct gr_err err;

	if (gr_store_open(w->loop, w->dir, &ops, w, &w->store, &err) < 0)
		fail_msg("%s", err.text);
}

static int set_up(void **state)
{
	struct world *w;

	GR_NEW(w);
	snprintf(w->dir, sizeof(w->dir), "/tmp/griddle-pack-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->file, sizeof(w->file), "%s/jobs.db", w->dir);
	w->loop = gr_loop_new(1);
	open_it(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	gr_store_close(&w->store);
	gr_loop_free(&w->loop);
	assert_int_equal(gr_remove_at(AT_FDCWD, w->dir), 0);
	free(w);
	return 0;
}

static void on_told(void *ctx, int rc)
{
	struct world *w = ctx;

	assert_int_equal(rc, 0);
	gr_loop_stop(w->loop);
}

static void on_late(void *ctx) { fail_msg("not committed in time"); }

static void commit(struct world *w, struct gr_store_tx *tx)
{
	struct gr_timer *late = gr_timer_start(w->loop, 60000, 0, on_late, w);

	gr_store_commit(&tx, false, on_told, w);
	gr_loop_run(w->loop);
	gr_timer_stop(&late);
}

static void sql(struct world *w, const char *text)
{
	sqlite3 *db;
	char *why = NULL;

	assert_int_equal(sqlite3_open(w->file, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", text, why);
	sqlite3_close(db);
}

static int64_t number(struct world *w, const char *text)
{
	sqlite3 *db;
	int64_t v;

	assert_int_equal(sqlite3_open_v2(w->file, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	v = gr_store__pragma(db, text);
	sqlite3_close(db);
	return v;
}

/* Numbers of all sizes, none of them by chance another's. */
static struct gr_store_attempt_row row_of(int64_t task)
{
	return (struct gr_store_attempt_row){
		.task = task, .attempt = 65537 + task % 3, .ordinal = 1 + task % 3, .start_ms = MS + task * 7 % 1001 - 500, .end_ms = MS + task * 7 % 1001 - 500 + task % 5,
		.cause = GR_BC_DONE, .cpu_us = task % 2 ? 0 : 900000000 + task, .wall_us = 3 + task, .max_rss = task % 4 ? (int64_t)task << 20 : 0,
		.wait_us = 5 + task % 300, .in_bytes = task % 7 ? 0 : INT64_C(1) << 40, .flags = task % 2, .out_size = task % 9, .err_size = task % 2 ? 70000 : 0,
		.worker = task % 2 ? "worker-1" : "worker-2", .node = task % 3 ? "node-1" : "", .worker_id = task % 2 ? 0xfedcba9876543210 : 2,
		.node_id = task % 3 ? 77 : 0, .out_data = gr_slice("\0ab\xff" "cdefgh", (size_t)(task % 9)), .err_data = gr_slice("error", task % 11 ? 0 : 5),
	};
}

static void assert_same(const struct gr_store_attempt_row *a, const struct gr_store_attempt_row *b)
{
	const int64_t *x = &a->task, *y = &b->task;

	for (size_t i = 0; i < offsetof(struct gr_store_attempt_row, worker) / sizeof(int64_t); i++)
		if (x[i] != y[i])
			fail_msg("task %lld: number %zu is %lld, not %lld", (long long)a->task, i, (long long)x[i], (long long)y[i]);
	assert_string_equal(a->worker, b->worker);
	assert_string_equal(a->node, b->node);
	assert_null(a->reason);
	assert_int_equal(a->digest.n + a->out_digest.n + a->err_digest.n, 0);
	assert_true(gr_slice_eq(a->out_data, b->out_data));
	assert_true(gr_slice_eq(a->err_data, b->err_data));
}

/* In an order that is no order of tasks. */
static void fill(struct world *w, int64_t job, int64_t n)
{
	struct gr_store_tx *tx = gr_store_tx_new(w->store);

	for (int64_t i = 0; i < n; i++) {
		const struct gr_store_attempt_row row = row_of(i * 7 % n);

		gr_store_done(tx, job, "team", 2, &row);
	}
	commit(w, tx);
}

struct found {
	uint8_t n[N_TASKS];
	int64_t sum, last, wanted;
};

static int see(void *ctx, const struct gr_store_attempt_row *r)
{
	const struct gr_store_attempt_row want = row_of(r->task);
	struct found *x = ctx;

	assert_true(r->task >= 0 && r->task < N_TASKS);
	x->n[r->task]++;
	x->sum++;
	assert_same(r, &want);
	return 0;
}

static int see_outcome(void *ctx, int64_t task, int64_t state, int64_t attempt)
{
	struct found *x = ctx;

	assert_int_equal(state, GR_B_DONE);
	assert_int_equal(attempt, row_of(task).attempt);
	x->n[task]++;
	x->sum++;
	return 0;
}

static void assert_each_once(const struct found *x, int64_t n)
{
	assert_int_equal(x->sum, n);
	for (int64_t i = 0; i < n; i++)
		assert_int_equal(x->n[i], 1);
}

/* All that is asked of the job. */
static void assert_there(struct world *w, int64_t job, int64_t n)
{
	struct found all = { .sum = 0 }, outcomes = { .sum = 0 }, one = { .sum = 0 };

	assert_int_equal(gr_store_each_done(w->store, job, see, &all), 0);
	assert_each_once(&all, n);
	assert_int_equal(gr_store_each_outcome(w->store, job, see_outcome, &outcomes), 0);
	assert_each_once(&outcomes, n);
	for (int64_t i = 0; i < n; i += n > 100 ? 97 : 1) {
		int64_t state = 0;

		one = (struct found){ .sum = 0 };
		assert_int_equal(gr_store_outcome_attempt(w->store, job, i, &state), row_of(i).attempt);
		assert_int_equal(state, GR_B_DONE);
		assert_int_equal(gr_store_each_attempt(w->store, job, i, true, see, &one), 0);
		assert_true(one.sum == 1 && one.n[i] == 1);
	}
	assert_int_equal(gr_store_each_attempt(w->store, job, n, true, see, &one), 0);
	assert_int_equal(gr_store_outcome_attempt(w->store, job, n, &one.last), 0);
}

static void what_many_did_is_in_few_rows_and_reads_as_it_was(void **state)
{
	struct world *w = *state;

	fill(w, 1, N_TASKS);
	fill(w, 2, 3);
	assert_there(w, 1, N_TASKS);
	assert_there(w, 2, 3);
	assert_int_equal(number(w, "SELECT sum(n) FROM packs WHERE job=1"), N_TASKS);
	assert_int_equal(number(w, "SELECT count(*) FROM packs WHERE job=1"), (N_TASKS + GR_PACK_TASKS - 1) / GR_PACK_TASKS);
	assert_int_equal(number(w, "SELECT count(*) FROM attempts"), 0);
	gr_store_close(&w->store);
	open_it(w);
	assert_there(w, 1, N_TASKS);
	assert_there(w, 2, 3);
}

/* More than are gathered at once, in turns; and in many commits, so that rows of one bucket lie over each other. */
static void what_comes_in_turns_of_many_jobs_is_all_there(void **state)
{
	struct world *w = *state;

	for (int64_t turn = 0; turn < 4; turn++) {
		struct gr_store_tx *tx = gr_store_tx_new(w->store);

		for (int64_t i = turn; i < 40; i += 4)
			for (int64_t job = 1; job <= 20; job++) {
				const struct gr_store_attempt_row row = row_of(i);

				gr_store_done(tx, job, "team", 2, &row);
			}
		commit(w, tx);
	}
	for (int64_t job = 1; job <= 20; job++)
		assert_there(w, job, 40);
	assert_string_equal(w->damage, "");
}

static void usage_is_that_of_rows(void **state)
{
	struct world *w = *state;
	struct gr_store_tx *tx = gr_store_tx_new(w->store);
	json_t *usage, *o;
	int64_t cpu = 0, in = 0;

	fill(w, 1, 10);
	gr_store_add(tx, GR_SQL_USAGE, (int64_t)1, "team", (int64_t)5000000, (int64_t)0, (int64_t)1, (int64_t)4, (int64_t)1, (int64_t)1, (int64_t)0, (int64_t)0, (int64_t)0);
	commit(w, tx);
	for (int64_t i = 0; i < 10; i++) {
		cpu += row_of(i).cpu_us;
		in += row_of(i).in_bytes;
	}
	usage = gr_store_usage(w->store, "team", 1);
	o = json_array_get(usage, 0);
	assert_int_equal(json_integer_value(json_object_get(o, "attempts")), 11);
	assert_int_equal(json_integer_value(json_object_get(o, "tasks_done")), 10);
	assert_int_equal(json_integer_value(json_object_get(o, "retries")), 1);
	assert_int_equal(json_integer_value(json_object_get(o, "in_bytes")), in + 1);
	assert_int_equal(json_integer_value(json_object_get(o, "out_bytes")), 4);
	assert_true(json_real_value(json_object_get(o, "cpu_s")) == (double)(cpu + 5000000) / 1e6);
	assert_true(json_real_value(json_object_get(o, "mem_gib_s")) == 20 / 1024e3);
	json_decref(usage);
}

static int in_order(void *ctx, const struct gr_store_attempt_row *r)
{
	struct found *x = ctx;

	assert_true(r->attempt > x->last);
	x->last = r->attempt;
	x->sum++;
	return r->attempt == x->wanted ? GR_EGONE : 0;
}

/* A first attempt that was lost, the one that did it, and a later one that was not wanted any more. */
static void among_rows_of_its_task_it_is_told_in_its_place(void **state)
{
	struct world *w = *state;
	struct gr_store_tx *tx = gr_store_tx_new(w->store);
	struct gr_store_attempt_row row = row_of(4);
	struct found x = { .sum = 0 };

	row.attempt = 2;
	gr_store_add(tx, GR_SQL_BEGIN, (int64_t)1, (int64_t)4, (int64_t)3, (int64_t)3, "w", "n", (int64_t)1, (int64_t)1, (int64_t)MS, (int64_t)0, (int64_t)0);
	gr_store_add(tx, GR_SQL_BEGIN, (int64_t)1, (int64_t)4, (int64_t)1, (int64_t)1, "w", "n", (int64_t)1, (int64_t)1, (int64_t)MS, (int64_t)0, (int64_t)0);
	gr_store_done(tx, 1, "team", 0, &row);
	commit(w, tx);
	assert_int_equal(gr_store_each_attempt(w->store, 1, 4, false, in_order, &x), 0);
	assert_int_equal(x.sum, 3);
	for (x.wanted = 1; x.wanted <= 3; x.wanted++) {               /* which ends the walk */
		x.sum = x.last = 0;
		assert_int_equal(gr_store_each_attempt(w->store, 1, 4, false, in_order, &x), GR_EGONE);
		assert_int_equal(x.sum, x.wanted);
	}
}

static void a_commit_that_failed_is_made_once_in_the_end(void **state)
{
	struct world *w = *state;
	struct gr_store_tx *tx = gr_store_tx_new(w->store);
	const struct gr_store_attempt_row row = row_of(0);
	struct rlimit old, full;
	struct gr_store_stats s = { 0 };

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	full = old;
	full.rlim_cur = 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	gr_store_done(tx, 1, "team", 0, &row);
	gr_store_commit(&tx, false, on_told, w);
	while (s.failures < 1) {
		uv_run(gr_loop_uv(w->loop), UV_RUN_NOWAIT);
		gr_store_stats(w->store, &s);
		usleep(1000);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	gr_loop_run(w->loop);
	assert_there(w, 1, 1);
	assert_int_equal(number(w, "SELECT sum(n) FROM packs"), 1);
}

/* A job that is removed in the commit in which it is done leaves nothing. */
static void a_removed_job_takes_them_along(void **state)
{
	static const enum gr_store_sql cut[] = { GR_SQL_CUT_ATTEMPTS, GR_SQL_CUT_OUTCOMES, GR_SQL_CUT_OUTPUTS, GR_SQL_CUT_PACKS, GR_SQL_CUT_DONE };
	struct world *w = *state;
	struct gr_store_tx *tx = gr_store_tx_new(w->store);
	const struct gr_store_attempt_row row = row_of(0);

	fill(w, 2, 3);
	gr_store_done(tx, 1, "team", 0, &row);
	gr_store_add(tx, GR_SQL_RM_JOB, (int64_t)1);
	gr_store_add(tx, GR_SQL_REMOVED, (int64_t)1);
	for (size_t i = 0; i < GR_LEN(cut); i++)
		gr_store_add(tx, cut[i]);
	commit(w, tx);
	assert_int_equal(number(w, "SELECT count(*) FROM packs WHERE job=1"), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM removed"), 0);
	assert_there(w, 2, 3);
}

/* ---- export ---- */

static void export_to(struct world *w, struct gr_buf *text)
{
	struct gr_store_exported out;
	struct gr_err err;
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/export", w->dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	if (gr_store_export(w->store, fd, 1 << 30, NULL, &out, &err) < 0)
		fail_msg("%s", err.text);
	close(fd);
	gr_buf_clear(text);
	if (gr_file_read(path, 64u << 20, text, &err) < 0)
		fail_msg("%s", err.text);
}

static void an_export_has_the_lines_of_rows(void **state)
{
	struct world *w = *state;
	struct gr_store_tx *tx = gr_store_tx_new(w->store);
	struct gr_store_attempt_row r = row_of(12);
	struct gr_slice none = { 0 };
	struct gr_buf packed = { 0 }, rows = { 0 };

	gr_store_done(tx, 1, "team", 2, &r);
	commit(w, tx);
	export_to(w, &packed);
	sql(w, "DELETE FROM packs");
	tx = gr_store_tx_new(w->store);
	gr_store_add(tx, GR_SQL_ATTEMPT, (int64_t)1, r.task, r.attempt, r.ordinal, r.worker, r.node, (int64_t)r.worker_id, (int64_t)r.node_id, r.start_ms, r.end_ms,
		     r.cause, (int64_t)0, (int64_t)0, (int64_t)0, r.cpu_us, r.wall_us, r.max_rss, r.wait_us, r.in_bytes, NULL, r.flags, r.out_size, r.err_size,
		     r.out_data, none, none, none, none, (int64_t)0, (int64_t)0);
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)1, r.task, (int64_t)GR_B_DONE, r.attempt);
	commit(w, tx);
	export_to(w, &rows);
	assert_non_null(strstr(gr_buf_str(&rows), "{\"table\":\"outcomes\",\"job\":1,\"task\":12,\"state\":4,"));
	assert_string_equal(gr_buf_str(&packed), gr_buf_str(&rows));
	gr_buf_fini(&packed);
	gr_buf_fini(&rows);
}

/* ---- damage ---- */

static int nothing(void *ctx, const struct gr_store_attempt_row *r)
{
	++*(int *)ctx;
	return 0;
}

static void a_pack_with_a_wrong_bit_or_a_lost_byte_is_not_read(void **state)
{
	struct gr_pack *p;
	struct gr_slice data;
	uint8_t *copy;
	int n = 0;

	(void)state;
	GR_NEW(p);
	gr_pack__begin(p, 9);
	for (int64_t i = 2050; i < 2060; i++) {
		const struct gr_store_attempt_row row = row_of(i);

		gr_pack__add(p, &row);
	}
	data = gr_pack__end(p);
	assert_int_equal(gr_pack__each(9, 2050, data, nothing, &n), 0);
	assert_int_equal(n, 10);
	assert_int_equal(gr_pack__each(9, 2051, data, nothing, &n), GR_ECORRUPT);         /* another row's key */
	assert_int_equal(gr_pack__each(8, 2050, data, nothing, &n), GR_ECORRUPT);
	copy = gr_xmemdup(data.p, data.n);
	for (size_t i = 0; i < data.n * 8; i++) {
		copy[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(gr_pack__each(9, 2050, gr_slice(copy, data.n), nothing, &n), GR_ECORRUPT);
		copy[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t i = 0; i < data.n; i++)
		assert_int_equal(gr_pack__each(9, 2050, gr_slice(copy, i), nothing, &n), GR_ECORRUPT);
	assert_int_equal(n, 10);
	free(copy);
	gr_pack__fini(p);
	free(p);
}

static void one_that_is_damaged_is_told_and_recovery_keeps_the_others(void **state)
{
	struct world *w = *state;
	struct gr_buf report = { 0 };
	struct gr_err err;
	struct found x = { .sum = 0 };
	json_t *rep;

	fill(w, 1, N_TASKS);
	sql(w, "INSERT INTO jobs(job,spec,tenant,n_tasks) VALUES(1,'{}','team',5000)");
	sql(w, "UPDATE packs SET data=CAST(substr(data,1,99)||'x'||substr(data,101) AS BLOB) WHERE first=1024");
	assert_int_equal(gr_store_check(w->store, NULL, &rep, &err), 0);
	assert_false(json_is_true(json_object_get(rep, "ok")));
	assert_non_null(strstr(json_string_value(json_array_get(json_object_get(rep, "problems"), 0)), "tasks 1024 to 2047"));
	json_decref(rep);
	assert_string_equal(w->damage, "");
	assert_int_equal(gr_store_each_outcome(w->store, 1, see_outcome, &x), GR_ECORRUPT);
	assert_non_null(strstr(w->damage, "--recover"));
	gr_store_close(&w->store);
	if (gr_store_recover(w->dir, 5, &report, &err) < 0)
		fail_msg("%s", err.text);
	assert_non_null(strstr(gr_buf_str(&report), "packs: 4 rows, others could not be read"));
	gr_buf_fini(&report);
	open_it(w);
	x = (struct found){ .sum = 0 };
	assert_int_equal(gr_store_each_outcome(w->store, 1, see_outcome, &x), 0);
	assert_int_equal(x.sum, N_TASKS - GR_PACK_TASKS);
	assert_int_equal(x.n[1023] + x.n[2048], 2);
	assert_int_equal(x.n[1024] + x.n[2047], 0);
}

/* ---- older stores ---- */

#define TO_SCHEMA_5 "ALTER TABLE jobs DROP COLUMN n_failed_before; PRAGMA user_version=5;"
#define TO_SCHEMA_3 TO_SCHEMA_5 "DROP TABLE packs; ALTER TABLE attempts DROP COLUMN same; PRAGMA user_version=3;"

static void a_store_of_before_is_taken_over_and_goes_on_packed(void **state)
{
	struct world *w = *state;
	struct gr_store_tx *tx = gr_store_tx_new(w->store);
	struct found x = { .sum = 0 };
	struct gr_buf report = { 0 };
	struct gr_err err;

	for (int64_t i = 0; i < 50; i++) {
		gr_store_add(tx, GR_SQL_BEGIN, (int64_t)1, i, row_of(i).attempt, (int64_t)1, "w", "n", (int64_t)1, (int64_t)1, (int64_t)MS, (int64_t)0, (int64_t)0);
		gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)1, i, (int64_t)GR_B_DONE, row_of(i).attempt);
	}
	commit(w, tx);
	gr_store_close(&w->store);
	sql(w, TO_SCHEMA_3);
	if (gr_store_recover(w->dir, 6, &report, &err) < 0)           /* of one without the table, too */
		fail_msg("%s", err.text);
	assert_non_null(strstr(gr_buf_str(&report), "outcomes: 50 rows\n"));
	gr_buf_fini(&report);
	sql(w, TO_SCHEMA_3);
	open_it(w);
	assert_int_equal(number(w, "PRAGMA user_version"), GR_STORE_SCHEMA);
	tx = gr_store_tx_new(w->store);
	for (int64_t i = 50; i < 100; i++) {
		const struct gr_store_attempt_row row = row_of(i);

		gr_store_done(tx, 1, "team", 0, &row);
	}
	commit(w, tx);
	assert_int_equal(gr_store_each_outcome(w->store, 1, see_outcome, &x), 0);
	assert_each_once(&x, 100);
	assert_int_equal(number(w, "SELECT count(*) FROM outcomes"), 50);
}

struct failed_before { int64_t is_cancelled[3], n[3]; };

static int see_failed_before(void *ctx, const struct gr_store_job_row *row)
{
	struct failed_before *x = ctx;

	x->is_cancelled[row->job - 1] = row->is_cancelled;
	x->n[row->job - 1] = row->n_failed_before;
	return 0;
}

/* Job 1 was cancelled, 2 was not, 3 goes on in spite of two failures: one number said all of it. */
static void what_schema_5_said_of_failures_is_kept_by_recovery_too(void **state)
{
	static const char jobs[] = TO_SCHEMA_5 "DELETE FROM jobs; INSERT INTO jobs(job,spec,tenant,n_tasks,is_cancelled) "
				   "VALUES(1,'{}','t',3,1),(2,'{}','t',3,0),(3,'{}','t',3,-2)";
	struct world *w = *state;
	struct gr_buf report = { 0 };
	struct gr_err err;

	for (int is_recovered = 0; is_recovered < 2; is_recovered++) {
		struct failed_before x = { .n = { -1, -1, -1 } };

		gr_store_close(&w->store);
		sql(w, jobs);
		if (is_recovered && gr_store_recover(w->dir, 6, &report, &err) < 0)
			fail_msg("%s", err.text);
		open_it(w);
		assert_int_equal(number(w, "PRAGMA user_version"), GR_STORE_SCHEMA);
		assert_int_equal(gr_store_each_job(w->store, see_failed_before, &x), 0);
		assert_memory_equal(&x, (&(struct failed_before){ { 1, 0, 0 }, { 0, 0, 2 } }), sizeof(x));
	}
	gr_buf_fini(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		T(what_many_did_is_in_few_rows_and_reads_as_it_was),
		T(what_comes_in_turns_of_many_jobs_is_all_there),
		T(usage_is_that_of_rows),
		T(among_rows_of_its_task_it_is_told_in_its_place),
		T(a_commit_that_failed_is_made_once_in_the_end),
		T(a_removed_job_takes_them_along),
		T(an_export_has_the_lines_of_rows),
		T(a_pack_with_a_wrong_bit_or_a_lost_byte_is_not_read),
		T(one_that_is_damaged_is_told_and_recovery_keeps_the_others),
		T(a_store_of_before_is_taken_over_and_goes_on_packed),
		T(what_schema_5_said_of_failures_is_kept_by_recovery_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
