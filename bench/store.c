/* store.c - what a commit of the job store costs and takes, beside SQLite called in a plain loop; and what looking after a
 * large store does to the loop and to commits meanwhile
 *
 * usage: store commit [-b BATCH] [-n COMMITS] [-f] [-p] so many tasks told of in one turn of the loop, until all are told to
 *                                                       be on disk; -f: files were written beside it, as by results;
 *                                                       -p: they were short, and share rows
 *        store plain  [-b BATCH] [-n COMMITS] [-s MODE] the same rows by sqlite3_step in one transaction; MODE full, normal, off
 *        store care   [-n TASKS] [-d DIR] [-p] OP...      a whole coordinator on a store of so many tasks, half of them removed;
 *                                                       then each admin.OP: how long, when it was told, the longest turn of the
 *                                                       loop, commits; rm: until the last row of the job is gone
 *
 * The database lies in $TMPDIR or /tmp, which should be on the disk that is asked about. Wall times are the disk's and the
 * machine's; CPU is this process's. A turn of the loop is measured by the CPU time of its thread too, which other
 * programs do not add to.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/batch.h"
#include "coordinator/store/store.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/remove.h"

#define PROBE_MS 1u
#define PROBE_EVERY 5u                    /* turns of the timer between two commits that are timed */

static char dir[512];
static bool is_dir_given;

static void fail(const char *what)
{
	fprintf(stderr, "store: %s\n", what);
	exit(1);
}

static double cpu_us(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 + (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_times(uint64_t *ns, uint32_t n)
{
	qsort(ns, n, sizeof(*ns), by_size);
	printf("p50 %8.2f  p99 %8.2f  max %8.2f ms", (double)ns[n / 2] / 1e6, (double)ns[(uint64_t)n * 99 / 100] / 1e6, (double)ns[n - 1] / 1e6);
}

/* ---- what a command that ended well leaves: rows of its own, or a place in a pack's when it was short ---- */

static bool is_short;

static void add_task(struct gr_store_tx *tx, int64_t job, int64_t task)
{
	struct gr_slice none = { 0 }, empty = gr_slice_str("");
	const struct gr_store_attempt_row row = {
		.task = task, .attempt = 65537, .ordinal = 1, .worker = "worker-12", .node = "node-3", .worker_id = 12, .node_id = 3, .start_ms = 1700000000000,
		.end_ms = 1700000000003, .cause = 1, .cpu_us = 812, .wall_us = 1630, .max_rss = 2097152, .wait_us = 5,
	};

	if (is_short) {
		gr_store_done(tx, job, "tenant", 100, &row);
		return;
	}
	gr_store_add(tx, GR_SQL_ATTEMPT, job, task, (int64_t)65537, (int64_t)1, "worker-12", "node-3", (int64_t)12, (int64_t)3, (int64_t)1700000000000,
		     (int64_t)1700000000050, (int64_t)0, (int64_t)1, (int64_t)0, (int64_t)0, (int64_t)812, (int64_t)1630, (int64_t)2097152, (int64_t)5,
		     (int64_t)0, "", (int64_t)0, (int64_t)0, (int64_t)0, empty, empty, none, none, none, (int64_t)0, (int64_t)0);
	gr_store_add(tx, GR_SQL_OUTCOME, job, task, (int64_t)4, (int64_t)65537);
	gr_store_add(tx, GR_SQL_USAGE, job, "tenant", (int64_t)812, (int64_t)100, (int64_t)0, (int64_t)0, (int64_t)1, (int64_t)0, (int64_t)0, (int64_t)1, (int64_t)0);
}

static void on_damage(void *ctx, const char *text)
{
	(void)ctx;
	fail(text);
}

static const struct gr_store_ops ops = { .on_damage = on_damage };

struct told {
	uint32_t n;
	struct gr_loop *loop;
};

static void on_told(void *ctx, int rc)
{
	if (rc < 0)
		fail("a commit failed");
	((struct told *)ctx)->n--;
}

static struct gr_store *open_store(struct gr_loop *loop)
{
	struct gr_store *s;
	struct gr_err err;

	if (gr_store_open(loop, dir, &ops, NULL, &s, &err) < 0)
		fail(err.text);
	return s;
}

static void run_commit(uint32_t batch, uint32_t n, bool has_files)
{
	struct gr_loop *loop = gr_loop_new(1);
	struct gr_store *s = open_store(loop);
	uint64_t *ns = gr_xalloc(n * sizeof(*ns)), from;
	struct told told = { .loop = loop };
	double cpu = cpu_us();
	char path[600];
	int64_t task = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/a.blob", dir);
	for (uint32_t i = 0; i < n; i++) {
		if (has_files) {
			fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
			if (fd < 0 || write(fd, dir, sizeof(dir)) != sizeof(dir))
				fail(path);
			close(fd);
			gr_store_files_written(s);
		}
		from = gr_loop_now_ns(loop);
		for (uint32_t k = 0; k < batch; k++) {
			struct gr_store_tx *tx = gr_store_tx_new(s);

			add_task(tx, 1, task++);
			told.n++;
			gr_store_commit(&tx, false, on_told, &told);
		}
		while (told.n)
			uv_run(gr_loop_uv(loop), UV_RUN_ONCE);
		ns[i] = gr_loop_now_ns(loop) - from;
	}
	cpu = cpu_us() - cpu;
	printf("griddle's store%s, %-22s %6u a commit: ", is_short ? ", packed" : "", has_files ? "files synced too" : "full", batch);
	print_times(ns, n);
	printf("  CPU %8.2f us a task\n", cpu / (double)task);
	gr_store_close(&s);
	uv_run(gr_loop_uv(loop), UV_RUN_NOWAIT);
	free(ns);
}

static void run_plain(uint32_t batch, uint32_t n, const char *mode)
{
	uint64_t *ns = gr_xalloc(n * sizeof(*ns)), from;
	static const char *const sqls[] = {
#define X(name, p, sql) sql,
		GR_STORE_SQL_MAP(X)
#undef X
	};
	static const int rows[] = { GR_SQL_ATTEMPT, GR_SQL_OUTCOME, GR_SQL_USAGE };
	sqlite3_stmt *st[3];
	struct gr_loop *loop = gr_loop_new(1);
	struct gr_store *s = open_store(loop);    /* makes the tables */
	char path[600], sql[100];
	sqlite3 *db;
	double cpu;
	int64_t task = 0;

	gr_store_close(&s);
	uv_run(gr_loop_uv(loop), UV_RUN_NOWAIT);
	snprintf(path, sizeof(path), "%s/jobs.db", dir);
	snprintf(sql, sizeof(sql), "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA cache_size=-16000", mode);
	if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail("sqlite");
	for (int r = 0; r < 3; r++)
		if (sqlite3_prepare_v2(db, sqls[rows[r]], -1, &st[r], NULL) != SQLITE_OK)
			fail(sqlite3_errmsg(db));
	cpu = cpu_us();
	for (uint32_t i = 0; i < n; i++) {
		from = gr_loop_now_ns(loop);
		sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
		for (uint32_t k = 0; k < batch; k++, task++)
			for (int r = 0; r < 3; r++) {
				static const int64_t attempt[] = { 1, 0, 65537, 1, 0, 0, 12, 3, 1700000000000, 1700000000050, 0, 1, 0, 0, 812, 1630, 2097152, 5, 0 };
				static const int64_t usage[] = { 1, 0, 812, 100, 0, 0, 1, 0, 0, 1, 0 };

				for (int c = 0; r == 0 && c < 19; c++)
					sqlite3_bind_int64(st[r], c + 1, attempt[c]);
				for (int c = 0; r == 2 && c < 11; c++)
					sqlite3_bind_int64(st[r], c + 1, usage[c]);
				if (r == 0) {
					sqlite3_bind_text(st[r], 5, "worker-12", -1, SQLITE_STATIC);
					sqlite3_bind_text(st[r], 6, "node-3", -1, SQLITE_STATIC);
					for (int c = 20; c <= 25; c++)
						sqlite3_bind_text(st[r], c, "", 0, SQLITE_STATIC);
				} else if (r == 1) {
					sqlite3_bind_int64(st[r], 1, 1);
					sqlite3_bind_int64(st[r], 3, 4);
					sqlite3_bind_int64(st[r], 4, 65537);
				} else {
					sqlite3_bind_text(st[r], 2, "tenant", -1, SQLITE_STATIC);
				}
				if (r < 2)
					sqlite3_bind_int64(st[r], 2, task);
				if (sqlite3_step(st[r]) != SQLITE_DONE)
					fail(sqlite3_errmsg(db));
				sqlite3_reset(st[r]);
			}
		if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
			fail(sqlite3_errmsg(db));
		ns[i] = gr_loop_now_ns(loop) - from;
	}
	cpu = cpu_us() - cpu;
	printf("sqlite3 in a loop, synchronous=%-7s %6u a commit: ", mode, batch);
	print_times(ns, n);
	printf("  CPU %8.2f us a task\n", cpu / (double)task);
	for (int r = 0; r < 3; r++)
		sqlite3_finalize(st[r]);
	sqlite3_close(db);
	free(ns);
}

/* ---- looking after a store ---- */

/* Two jobs that are over, of half the tasks each. */
static void fill(uint32_t n_tasks)
{
	struct gr_loop *loop = gr_loop_new(1);
	struct gr_store *s = open_store(loop);
	struct told told = { .loop = loop };
	struct gr_store_tx *tx;
	char spec[200];

	for (int64_t job = 1; job <= 2; job++) {
		tx = gr_store_tx_new(s);
		snprintf(spec, sizeof(spec), "{\"name\":\"null\",\"stages\":[{\"argv\":[\"griddle:null\"],\"array\":{\"range\":[1,%u]}}]}", n_tasks / 2);
		gr_store_add(tx, GR_SQL_META, "next_job", (int64_t)3);
		gr_store_add(tx, GR_SQL_JOB, job, NULL, spec, "null", "tenant", (int64_t)0, (int64_t)n_tasks / 2, (int64_t)gr_clock_real_ms(), (int64_t)65536, "loopback");
		gr_store_add(tx, GR_SQL_JOB_STATE, job, (int64_t)1, NULL, (int64_t)0, (int64_t)gr_clock_real_ms(), (int64_t)gr_clock_real_ms());
		for (int64_t i = 0; i < n_tasks / 2; i++) {
			add_task(tx, job, i);
			if (i % 5000 == 4999 || i == n_tasks / 2 - 1) {
				told.n++;
				gr_store_commit(&tx, false, on_told, &told);
				while (told.n)
					uv_run(gr_loop_uv(loop), UV_RUN_ONCE);
				tx = gr_store_tx_new(s);
			}
		}
		gr_store_drop(&tx);
	}
	gr_store_close(&s);
	uv_run(gr_loop_uv(loop), UV_RUN_NOWAIT);
}

struct care {
	struct gr_loop *loop;
	struct gr_store *store;
	uint64_t last_ns, last_cpu_ns, longest_ns, longest_cpu_ns, n_turns;
	uint64_t *commit_ns, asked_ns, told_ns;
	uint32_t n_commits, cap;
	bool is_over, is_asked;
	json_t *rep;
};

static void on_probe(void *ctx, int rc)
{
	struct care *x = ctx;

	if (rc < 0)
		fail("a commit failed");
	GR_GROW(x->commit_ns, x->cap, x->n_commits + 1);
	x->commit_ns[x->n_commits++] = gr_loop_now_ns(x->loop) - x->asked_ns;
	x->is_asked = false;
}

static void on_turn(void *ctx)
{
	struct care *x = ctx;
	uint64_t now = gr_loop_now_ns(x->loop), cpu = gr_clock_thread_cpu_ns();

	if (x->last_ns && now - x->last_ns > x->longest_ns)
		x->longest_ns = now - x->last_ns;
	if (x->last_ns && cpu - x->last_cpu_ns > x->longest_cpu_ns)
		x->longest_cpu_ns = cpu - x->last_cpu_ns;
	x->last_ns = now;
	x->last_cpu_ns = cpu;
	if (++x->n_turns % PROBE_EVERY == 0 && !x->is_asked) {
		struct gr_store_tx *tx = gr_store_tx_new(x->store);

		gr_store_add(tx, GR_SQL_TRUST, (int64_t)1, (int64_t)1, (int64_t)x->n_turns);
		x->asked_ns = now;
		x->is_asked = true;
		gr_store_commit(&tx, false, on_probe, x);
	}
}

static void on_answer(void *ctx, json_t *rep, const struct gr_err *err)
{
	struct care *x = ctx;

	if (err)
		fail(err->text);
	x->rep = rep;
	x->told_ns = gr_loop_now_ns(x->loop);
	x->is_over = true;
}

#include "coordinator/batch_int.h"

static void ask(struct gr_coord *c, struct care *x, const char *op, json_t *req, const char *name)
{
	static const struct gr_batch_who who = { .name = "loopback", .is_admin = true };
	struct gr_timer *turns;
	uint64_t from;
	char *text;

	*x = (struct care){ .loop = c->loop, .store = c->batch->store };
	turns = gr_timer_start(c->loop, PROBE_MS, PROBE_MS, on_turn, x);
	while (x->n_commits < 3)
		uv_run(gr_loop_uv(c->loop), UV_RUN_ONCE);
	x->longest_ns = x->longest_cpu_ns = x->n_commits = 0;
	from = gr_loop_now_ns(c->loop);
	gr_batch_op(c, &who, op, req, on_answer, x);
	while (!x->is_over || c->batch->is_removing)      /* rows of a removed job go behind the answer */
		uv_run(gr_loop_uv(c->loop), UV_RUN_ONCE);
	x->told_ns -= from;
	from = gr_loop_now_ns(c->loop) - from;
	for (uint64_t n = x->n_turns; x->n_turns < n + 3 || x->is_asked || !x->n_commits;)        /* the turn it was in is over */
		uv_run(gr_loop_uv(c->loop), UV_RUN_ONCE);
	gr_timer_stop(&turns);
	text = json_dumps(x->rep, JSON_COMPACT);
	printf("%-16s %8.0f ms, told after %8.1f; longest turn %8.1f ms, of which CPU %8.1f; %5u commits: ", name, (double)from / 1e6,
	       (double)x->told_ns / 1e6, (double)x->longest_ns / 1e6, (double)x->longest_cpu_ns / 1e6, x->n_commits);
	print_times(x->commit_ns, x->n_commits);
	printf("  %.100s\n", text);
	free(text);
	json_decref(x->rep);
	json_decref(req);
	free(x->commit_ns);
}

static void run_care(uint32_t n_tasks, int n_ops, char **names)
{
	struct gr_err err = { 0 };
	struct gr_coord c = { 0 };
	struct care x;
	struct stat st;
	char path[600];

	snprintf(path, sizeof(path), "%s/jobs.db", dir);
	if (stat(path, &st) < 0)
		fill(n_tasks);
	if (stat(path, &st) < 0)
		fail(path);
	printf("a store of %u tasks that are over: %.0f MiB\n", n_tasks, (double)st.st_size / 1048576);
	c.cfg = (struct gr_coord_config){
		.listen = (char *)"tcp://127.0.0.1:0", .http = (char *)"off", .state = dir, .cache_bytes = 1ll << 30, .job_bytes = 4ll << 30,
		.heartbeat_ms = 1000, .dead_ms = 5000, .max_peers = 1000, .credits = 1024, .max_sessions = 16, .session_log_bytes = 64 << 20,
		.session_linger_ms = 60000, .result_bytes = 512 << 20, .settle_ms = 100, .work_target_ms = 60000, .keep_jobs_ms = 604800000,
	};
	if (gr_coord_open(&c, gr_loop_new(1), &err) < 0)
		fail(err.text);
	ask(&c, &x, "job.ls", json_object(), "(a short one)");
	for (int i = 0; i < n_ops; i++) {
		char op[64];

		if (!strcmp(names[i], "rm"))
			ask(&c, &x, "job.rm", json_pack("{s:i}", "job", 1), "job rm");
		else {
			snprintf(op, sizeof(op), "admin.%s", names[i]);
			ask(&c, &x, op, json_object(), names[i]);
		}
	}
	fflush(stdout);
	gr_coord_close(&c);
	gr_coord_fini(&c);
}

int main(int argc, char **argv)
{
	uint32_t batch = 1, n = 0;
	const char *tmp = getenv("TMPDIR"), *mode = "full";
	bool has_files = false;
	int opt;

	if (argc < 2)
		goto usage;
	optind = 2;
	while ((opt = getopt(argc, argv, "b:n:s:d:fp")) != -1)
		switch (opt) {
		case 'b': batch = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'n': n = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': mode = optarg; break;
		case 'f': has_files = true; break;
		case 'p': is_short = true; break;
		case 'd': snprintf(dir, sizeof(dir), "%s", optarg); is_dir_given = true; break;
		default: goto usage;
		}
	gr_log_init("store", GR_LOG_ERROR);
	if (!is_dir_given) {
		snprintf(dir, sizeof(dir), "%s/griddle-store.XXXXXX", tmp ? tmp : "/tmp");
		if (!mkdtemp(dir))
			fail(dir);
	}
	if (!strcmp(argv[1], "commit"))
		run_commit(batch, n ? n : 500, has_files);
	else if (!strcmp(argv[1], "plain"))
		run_plain(batch, n ? n : 500, mode);
	else if (!strcmp(argv[1], "care"))
		run_care(n ? n : 1000000, argc - optind, argv + optind);
	else
		goto usage;
	if (!is_dir_given)
		(void)!gr_remove_at(AT_FDCWD, dir);
	return 0;
usage:
	fprintf(stderr, "usage: store commit|plain|care [-b BATCH] [-n N] [-s full|normal|off] [-f] [-p] [-d DIR] [OP...]\n");
	return 2;
}
