/* store_cut_test.c - the store after the power went: its write-ahead log ends at any byte, and its file is damaged
 *
 * One transaction after another is committed, and how long the log was when each was acknowledged is noted. Then copies of
 * the files, cut and changed, are opened: what was acknowledged before that byte was written must be there, in order and
 * with nothing behind a hole; of a damaged database a message must be given that says what to do, never an empty queue. */
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
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/store/store.h"
#include "lib/base/alloc.h"
#include "lib/base/remove.h"
#include "lib/base/rng.h"

#define N_TASKS 30
#define FRAME (4096 + 24)             /* a page and its header; the log begins with 32 bytes */
#define WAL_HEADER 32

struct files { char *db, *wal; size_t n_db, n_wal, acked_at[N_TASKS]; };
struct seen { int64_t next; bool has_hole; };

static struct files *files;
static char damage[512];
static struct gr_loop *waits;

static void on_damage(void *ctx, const char *text) { snprintf(damage, sizeof(damage), "%s", text); }
static const struct gr_store_ops ops = { .on_damage = on_damage };
static void on_late(void *ctx) { fail_msg("not committed in time"); }

static void on_done(void *ctx, int rc)
{
	assert_int_equal(rc, 0);
	gr_loop_stop(waits);
}

static char *path(const char *dir, const char *name)
{
	static char text[2][128];
	static int turn;

	turn = !turn;
	snprintf(text[turn], sizeof(text[turn]), "%s/%s", dir, name);
	return text[turn];
}

static char *read_file(const char *name, size_t *n)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *bytes;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*n = (size_t)st.st_size;
	bytes = gr_xalloc(*n + 1);
	assert_int_equal(read(fd, bytes, *n), (ssize_t)*n);
	close(fd);
	return bytes;
}

static void write_file(const char *name, const char *bytes, size_t n)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	close(fd);
}

static void make_dir(char dir[64])
{
	strcpy(dir, "/tmp/griddle-cut-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static int record(void **state)
{
	struct gr_store *store;
	struct gr_err err = { 0 };
	struct stat st;
	char dir[64];

	GR_NEW(files);
	make_dir(dir);
	waits = gr_loop_new(1);
	assert_int_equal(gr_store_open(waits, dir, &ops, NULL, &store, &err), 0);
	for (int64_t i = 0; i < N_TASKS; i++) {
		struct gr_store_tx *tx = gr_store_tx_new(store);
		struct gr_timer *late = gr_timer_start(waits, 60000, 0, on_late, NULL);

		/* two rows of a task: one is never there without the other */
		gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)1, i, (int64_t)4, (int64_t)1);
		gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)2, i, (int64_t)4, (int64_t)1);
		gr_store_commit(&tx, false, on_done, NULL);
		gr_loop_run(waits);
		gr_timer_stop(&late);
		assert_int_equal(stat(path(dir, "jobs.db-wal"), &st), 0);
		files->acked_at[i] = (size_t)st.st_size;
	}
	/* as they lie there while the coordinator runs: closing would move the log into the file */
	files->db = read_file(path(dir, "jobs.db"), &files->n_db);
	files->wal = read_file(path(dir, "jobs.db-wal"), &files->n_wal);
	gr_store_close(&store);
	gr_loop_free(&waits);
	assert_int_equal(gr_remove_at(AT_FDCWD, dir), 0);
	return 0;
}

static int forget(void **state)
{
	free(files->db);
	free(files->wal);
	free(files);
	return 0;
}

static int see(void *ctx, int64_t task, int64_t state, int64_t attempt)
{
	struct seen *s = ctx;

	s->has_hole |= task != s->next || state != 4 || attempt != 1;
	s->next = task + 1;
	return 0;
}

/* How many tasks are there, from the first on; -1: the store says that it is damaged. */
static int64_t tasks_in(const char *dir)
{
	struct gr_loop *loop = gr_loop_new(1);
	struct gr_store *store = NULL;
	struct gr_err err = { 0 };
	struct seen s[2] = { { 0 } };
	int rc = gr_store_open(loop, dir, &ops, NULL, &store, &err);

	damage[0] = 0;
	for (int j = 0; j < 2 && rc >= 0; j++) {
		rc = gr_store_each_outcome(store, j + 1, see, &s[j]);
		assert_false(s[j].has_hole);
	}
	if (rc < 0 && !damage[0])
		snprintf(damage, sizeof(damage), "%s", err.text);
	if (store)
		gr_store_close(&store);
	gr_loop_free(&loop);
	if (rc < 0)
		return -1;
	assert_int_equal(s[0].next, s[1].next);
	return s[0].next;
}

static int64_t tasks_after(const char *wal, size_t n_wal)
{
	char dir[64];
	int64_t n;

	make_dir(dir);
	write_file(path(dir, "jobs.db"), files->db, files->n_db);
	write_file(path(dir, "jobs.db-wal"), wal, n_wal);
	n = tasks_in(dir);
	assert_int_equal(gr_remove_at(AT_FDCWD, dir), 0);
	return n;
}

static void check_cut(size_t at)
{
	int64_t n = tasks_after(files->wal, at), acked = 0;

	while (acked < N_TASKS && files->acked_at[acked] <= at)
		acked++;
	if (n != acked)
		fail_msg("the log cut at byte %zu of %zu: %lld tasks are there, %lld were acknowledged", at, files->n_wal, (long long)n, (long long)acked);
}

static void a_log_that_ends_at_any_byte_keeps_what_was_acknowledged(void **state)
{
	assert_int_equal(files->acked_at[N_TASKS - 1], files->n_wal);
	assert_true(files->acked_at[0] < files->n_wal / 2);
	for (size_t at = 0; at <= WAL_HEADER + 30; at++)
		check_cut(at);
	/* about each frame's end, and through the whole of the last frame in steps of 61 bytes */
	for (size_t end = WAL_HEADER + FRAME; end <= files->n_wal; end += FRAME) {
		check_cut(end - 1);
		check_cut(end);
	}
	for (size_t at = files->n_wal - FRAME; at < files->n_wal; at += 61)
		check_cut(at);
}

static void a_byte_of_the_log_that_changed_ends_it_there(void **state)
{
	struct gr_rng rng = { 7 };
	char *wal = gr_xmemdup(files->wal, files->n_wal);

	for (int i = 0; i < 60; i++) {
		size_t at = WAL_HEADER + gr_rng_below(&rng, (uint32_t)(files->n_wal - WAL_HEADER));
		int64_t n, acked = 0;

		wal[at] = (char)(wal[at] ^ (1 << i % 8));
		n = tasks_after(wal, files->n_wal);
		while (acked < N_TASKS && files->acked_at[acked] <= at)
			acked++;
		/* all before the frame, nothing behind it */
		if (n != acked)
			fail_msg("byte %zu of the log changed: %lld tasks are there, %lld were whole", at, (long long)n, (long long)acked);
		wal[at] = files->wal[at];
	}
	free(wal);
}

static void a_damaged_database_is_told_and_is_never_an_empty_queue(void **state)
{
	size_t n_whole;
	char dir[64], *whole;

	/* all of it in the file, none in a log */
	make_dir(dir);
	write_file(path(dir, "jobs.db"), files->db, files->n_db);
	write_file(path(dir, "jobs.db-wal"), files->wal, files->n_wal);
	assert_int_equal(tasks_in(dir), N_TASKS);
	whole = read_file(path(dir, "jobs.db"), &n_whole);
	assert_true(n_whole > 16384);
	for (int how = 0; how < 6; how++) {
		char *bytes = gr_xmemdup(whole, n_whole);
		size_t n = n_whole;
		int64_t left;

		if (how == 0)
			memset(bytes, 0x55, 100);                     /* the header */
		else if (how == 1)
			n = n_whole / 2;
		else if (how == 2)
			n = 4096 + 17;
		else if (how == 3)
			memset(bytes + 4096, 0, n_whole - 4096);      /* every page but the first */
		else if (how == 4)
			memset(bytes + 100, 0xff, 3000);              /* the schema */
		else
			memset(bytes + n_whole - 8192, 0xaa, 8192);   /* the last two pages */
		unlink(path(dir, "jobs.db-wal"));
		unlink(path(dir, "jobs.db-shm"));
		write_file(path(dir, "jobs.db"), bytes, n);
		left = tasks_in(dir);
		if (left >= 0 && left != N_TASKS)
			fail_msg("damage %d: %lld of %d tasks, and nothing is said", how, (long long)left, N_TASKS);
		if (left < 0 && !strstr(damage, "--recover"))
			fail_msg("damage %d: the message does not say what to do: %s", how, damage);
		if (how < 5)
			assert_int_equal(left, -1);
		free(bytes);
	}
	free(whole);
	assert_int_equal(gr_remove_at(AT_FDCWD, dir), 0);
}

static void on_soon(void *ctx) { gr_loop_stop(waits); }

static void on_told(void *ctx, int rc)
{
	*(int *)ctx = rc;
	gr_loop_stop(waits);
}

static void put(struct gr_store *store, int64_t task, bool may_fail, int *rc)
{
	struct gr_store_tx *tx = gr_store_tx_new(store);

	*rc = 1;
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)1, task, (int64_t)4, (int64_t)1);
	gr_store_commit(&tx, may_fail, on_told, rc);
}

static int tell(void *ctx, int64_t task, int64_t state, int64_t attempt)
{
	*(uint32_t *)ctx |= 1u << task;
	return 0;
}

/* Files may not grow: what a full disk is to the store, without a disk of its own. */
static void a_full_disk_refuses_what_may_fail_and_keeps_the_rest(void **state)
{
	struct rlimit old, full;
	struct gr_store *store;
	struct gr_err err = { 0 };
	struct gr_timer *late;
	uint32_t there = 0;
	int first, refused, kept;
	char dir[64];

	signal(SIGXFSZ, SIG_IGN);
	make_dir(dir);
	waits = gr_loop_new(1);
	late = gr_timer_start(waits, 60000, 0, on_late, NULL);
	assert_int_equal(gr_store_open(waits, dir, &ops, NULL, &store, &err), 0);
	put(store, 0, true, &first);
	gr_loop_run(waits);
	assert_int_equal(first, 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	full = old;
	full.rlim_cur = 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	put(store, 1, true, &refused);
	gr_loop_run(waits);
	assert_true(refused < 0);
	put(store, 2, false, &kept);
	while (!gr_store_trouble(store)) {
		struct gr_timer *soon = gr_timer_start(waits, 10, 0, on_soon, NULL);

		gr_loop_run(waits);
		gr_timer_stop(&soon);
	}
	assert_int_equal(kept, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	while (kept == 1)
		gr_loop_run(waits);
	assert_int_equal(kept, 0);
	assert_null(gr_store_trouble(store));
	assert_int_equal(gr_store_each_outcome(store, 1, tell, &there), 0);
	assert_int_equal(there, 1u << 0 | 1u << 2);
	gr_timer_stop(&late);
	gr_store_close(&store);
	gr_loop_free(&waits);
	assert_int_equal(gr_remove_at(AT_FDCWD, dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_that_ends_at_any_byte_keeps_what_was_acknowledged),
		cmocka_unit_test(a_byte_of_the_log_that_changed_ends_it_there),
		cmocka_unit_test(a_full_disk_refuses_what_may_fail_and_keeps_the_rest),
		cmocka_unit_test(a_damaged_database_is_told_and_is_never_an_empty_queue),
	};

	return cmocka_run_group_tests(tests, record, forget);
}
