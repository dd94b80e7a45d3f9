/* store_test.c - what the store makes of many transactions: one commit, in order, nothing of it lost */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "coordinator/store/store.h"
#include "lib/base/alloc.h"
#include "lib/base/remove.h"

#define N_JOBS 40          /* more than are added up at once */
#define N_ENDS 25

struct world {
	struct gr_loop *loop;
	struct gr_store *store;
	char dir[64];
	int n_done, n_wanted, last;
	bool is_disordered;
};
static struct world *world;

struct done { int nth; };

static void on_done(void *ctx, int rc)
{
	struct done *d = ctx;

	assert_int_equal(rc, 0);
	world->is_disordered = world->is_disordered || d->nth < world->last;
	world->last = d->nth;
	free(d);
	if (++world->n_done == world->n_wanted)
		gr_loop_stop(world->loop);
}

static void on_late(void *ctx) { fail_msg("not committed in time"); }
static void on_damage(void *ctx, const char *text) { fail_msg("%s", text); }
static const struct gr_store_ops ops = { .on_damage = on_damage };

static void open_it(struct world *w)
{
	struct gr_err err = { 0 };

	world = w;
	if (!w->loop) {
		snprintf(w->dir, sizeof(w->dir), "/tmp/griddle-store-test-XXXXXX");
		assert_non_null(mkdtemp(w->dir));
		w->loop = gr_loop_new(1);
	}
	if (gr_store_open(w->loop, w->dir, &ops, w, &w->store, &err) < 0)
		fail_msg("%s", err.text);
}

static void close_it(struct world *w)
{
	gr_store_close(&w->store);
	gr_loop_free(&w->loop);
	assert_int_equal(gr_remove_at(-100, w->dir), 0);      /* AT_FDCWD */
}

static void usage(struct gr_store_tx *tx, int64_t job, const char *tenant, int64_t by)
{
	gr_store_add(tx, GR_SQL_USAGE, job, tenant, by, 2 * by, 3 * by, 4 * by, (int64_t)1, (int64_t)0, 5 * by, (int64_t)1, (int64_t)0);
}

static void commit(struct world *w, struct gr_store_tx *tx)
{
	struct done *d;

	GR_NEW(d);
	d->nth = w->n_wanted++;
	gr_store_commit(&tx, false, on_done, d);
}

static void run(struct world *w)
{
	struct gr_timer *late = gr_timer_start(w->loop, 60000, 0, on_late, w);

	gr_loop_run(w->loop);
	gr_timer_stop(&late);
	assert_int_equal(w->n_done, w->n_wanted);
	assert_false(w->is_disordered);
}

static int64_t number(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }

static void usage_is_added_up_and_nothing_of_it_is_lost(void **state)
{
	struct world w = { 0 };
	struct gr_store_stats s;
	json_t *rows, *o;
	size_t i;

	open_it(&w);
	for (int k = 0; k < N_ENDS; k++)
		for (int64_t j = 1; j <= N_JOBS; j++) {
			struct gr_store_tx *tx = gr_store_tx_new(w.store);

			usage(tx, j, j % 2 ? "odd" : "even", j + k);
			commit(&w, tx);
		}
	run(&w);
	gr_store_stats(w.store, &s);
	assert_int_equal(s.transactions, N_ENDS * N_JOBS);
	assert_int_equal(s.waiting, 0);
	assert_int_equal(s.commits, 1);
	rows = gr_store_usage(w.store, NULL, 0);
	assert_int_equal(json_array_size(rows), N_JOBS);
	json_array_foreach(rows, i, o) {
		int64_t j = number(o, "job"), sum = N_ENDS * j + N_ENDS * (N_ENDS - 1) / 2;

		assert_string_equal(json_string_value(json_object_get(o, "tenant")), j % 2 ? "odd" : "even");
		assert_int_equal(number(o, "in_bytes"), 3 * sum);
		assert_int_equal(number(o, "out_bytes"), 4 * sum);
		assert_int_equal(number(o, "attempts"), N_ENDS);
		assert_int_equal(number(o, "tasks_done"), N_ENDS);
	}
	json_decref(rows);
	close_it(&w);
}

static int count(void *ctx, int64_t task, int64_t state, int64_t attempt)
{
	++*(int *)ctx;
	return 0;
}

static void what_nobody_waits_for_keeps_its_place_and_outlives_a_close(void **state)
{
	struct world w = { 0 };
	struct gr_store_tx *tx;
	int n = 0;

	open_it(&w);
	/* a quiet one, what undoes it, another quiet one; and the store is closed before the loop has run */
	tx = gr_store_tx_new(w.store);
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)1, (int64_t)0, (int64_t)5, (int64_t)1);
	gr_store_commit(&tx, false, NULL, NULL);
	tx = gr_store_tx_new(w.store);
	gr_store_add(tx, GR_SQL_OUTCOME_RM, (int64_t)1, (int64_t)0, (int64_t)1);
	commit(&w, tx);
	tx = gr_store_tx_new(w.store);
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)1, (int64_t)7, (int64_t)4, (int64_t)1);
	gr_store_commit(&tx, false, NULL, NULL);
	run(&w);
	tx = gr_store_tx_new(w.store);
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)1, (int64_t)8, (int64_t)4, (int64_t)1);
	gr_store_commit(&tx, false, NULL, NULL);
	gr_store_close(&w.store);
	open_it(&w);
	assert_int_equal(gr_store_each_outcome(w.store, 1, count, &n), 0);
	assert_int_equal(n, 2);
	close_it(&w);
}

static void files_are_on_disk_before_the_next_commit_and_once_for_many(void **state)
{
	struct world w = { 0 };
	struct gr_store_stats s;
	struct gr_store_tx *tx;

	open_it(&w);
	for (int k = 0; k < 4; k++) {
		for (int i = 0; k % 2 && i < 10; i++)
			gr_store_files_written(w.store);
		tx = gr_store_tx_new(w.store);
		gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)1, (int64_t)k, (int64_t)4, (int64_t)1);
		commit(&w, tx);
		run(&w);
		gr_store_stats(w.store, &s);
		assert_int_equal(s.commits, k + 1);
		assert_int_equal(s.file_syncs, (k + 1) / 2);
	}
	close_it(&w);
}

/* Stands before libc's: a disk that has much to write. */
static atomic_bool is_held;

int syncfs(int fd)
{
	while (atomic_load(&is_held))
		usleep(1000);
	return (int)syscall(SYS_syncfs, fd);
}

static void on_told(void *ctx, int rc)
{
	*(int *)ctx = rc;
	gr_loop_stop(world->loop);
}

static void on_soon(void *ctx) { gr_loop_stop(world->loop); }

static void run_a_little(struct world *w)
{
	struct gr_timer *soon = gr_timer_start(w->loop, 10, 0, on_soon, w);

	gr_loop_run(w->loop);
	gr_timer_stop(&soon);
}

static void put(struct world *w, int64_t task, bool may_fail, int *rc)
{
	struct gr_store_tx *tx = gr_store_tx_new(w->store);

	*rc = 1;
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)1, task, (int64_t)4, (int64_t)1);
	gr_store_commit(&tx, may_fail, on_told, rc);
}

static int tell(void *ctx, int64_t task, int64_t state, int64_t attempt)
{
	*(uint32_t *)ctx |= 1u << task;
	return 0;
}

/* Files may not grow (RLIMIT_FSIZE): to the store that is a full disk, without a disk of its own. @old: as it was. */
static void fill_disk(struct rlimit *old)
{
	struct rlimit full;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, old), 0);
	full = *old;
	full.rlim_cur = 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
}

/* A first submit took seconds where other programs had written much: the first commit of a life synced all of the file system. */
static void only_what_names_files_waits_for_those_of_an_earlier_life(void **state)
{
	static const uint8_t digest[GR_DIGEST_BYTES] = { 1 };
	struct world w = { 0 };
	struct gr_store_tx *tx;

	atomic_store(&is_held, true);
	open_it(&w);
	tx = gr_store_tx_new(w.store);
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)1, (int64_t)1, (int64_t)4, (int64_t)1);
	commit(&w, tx);
	run(&w);                                  /* told, and nothing is synced yet */
	tx = gr_store_tx_new(w.store);
	gr_store_add(tx, GR_SQL_OUTPUT, (int64_t)1, (int64_t)1, (int64_t)1, (int64_t)0, (int64_t)0, (int64_t)1, "out", (int64_t)0644, (int64_t)9,
		     gr_slice(digest, sizeof(digest)), NULL);
	commit(&w, tx);
	run_a_little(&w);
	assert_int_equal(w.n_done, 1);
	atomic_store(&is_held, false);
	run(&w);
	close_it(&w);
}

static void a_full_disk_refuses_what_may_fail_and_keeps_the_rest(void **state)
{
	struct world w = { 0 };
	struct rlimit old;
	struct gr_timer *late;
	uint32_t there = 0;
	int first, refused, kept;

	open_it(&w);
	late = gr_timer_start(w.loop, 60000, 0, on_late, &w);
	put(&w, 0, true, &first);
	gr_loop_run(w.loop);
	assert_int_equal(first, 0);
	fill_disk(&old);
	put(&w, 1, true, &refused);
	gr_loop_run(w.loop);
	assert_true(refused < 0);
	put(&w, 2, false, &kept);
	for (struct gr_store_stats s = { 0 }; s.failures < 2; gr_store_stats(w.store, &s))       /* the kept one has failed too */
		run_a_little(&w);
	assert_int_equal(kept, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	while (kept == 1)
		gr_loop_run(w.loop);
	assert_int_equal(kept, 0);
	assert_null(gr_store_trouble(w.store));
	assert_int_equal(gr_store_each_outcome(w.store, 1, tell, &there), 0);
	assert_int_equal(there, 1u << 0 | 1u << 2);
	gr_timer_stop(&late);
	close_it(&w);
}

/* Who asks for a job is refused while there is trouble: so nothing comes that would show that it is over. */
static void a_store_with_nothing_to_write_sees_that_it_could_again(void **state)
{
	struct world w = { 0 };
	struct rlimit old;
	struct gr_timer *late;
	int refused;

	open_it(&w);
	late = gr_timer_start(w.loop, 20000, 0, on_late, &w);
	fill_disk(&old);
	put(&w, 1, true, &refused);
	gr_loop_run(w.loop);
	assert_true(refused < 0);
	assert_non_null(gr_store_trouble(w.store));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	while (gr_store_trouble(w.store))
		run_a_little(&w);
	gr_timer_stop(&late);
	close_it(&w);
}

static void a_store_that_cannot_be_opened_says_what_the_system_said(void **state)
{
	struct world w = { 0 };
	struct gr_store *none = NULL;
	struct gr_err err = { 0 };
	char path[96];

	open_it(&w);                              /* a folder, and its name */
	gr_store_close(&w.store);
	snprintf(path, sizeof(path), "%s/jobs.db", w.dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(gr_store_open(w.loop, w.dir, &ops, &w, &none, &err) < 0);
	assert_null(none);
	assert_non_null(strstr(err.text, "jobs.db: cannot be opened: Is a directory"));
	close_it(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usage_is_added_up_and_nothing_of_it_is_lost),
		cmocka_unit_test(files_are_on_disk_before_the_next_commit_and_once_for_many),
		cmocka_unit_test(only_what_names_files_waits_for_those_of_an_earlier_life),
		cmocka_unit_test(a_full_disk_refuses_what_may_fail_and_keeps_the_rest),
		cmocka_unit_test(a_store_with_nothing_to_write_sees_that_it_could_again),
		cmocka_unit_test(a_store_that_cannot_be_opened_says_what_the_system_said),
		cmocka_unit_test(what_nobody_waits_for_keeps_its_place_and_outlives_a_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
