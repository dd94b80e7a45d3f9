/* store_full_test.c - the store when nothing can be written: what may fail is refused, the rest waits until it can be
 *
 * Files may not grow (RLIMIT_FSIZE): to the store that is a full disk, without a disk of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "coordinator/store/store.h"
#include "lib/base/remove.h"

static struct gr_loop *loop;

static void on_damage(void *ctx, const char *text) { fail_msg("%s", text); }
static const struct gr_store_ops ops = { .on_damage = on_damage };
static void on_late(void *ctx) { fail_msg("not told in time"); }
static void on_soon(void *ctx) { gr_loop_stop(loop); }

static void on_told(void *ctx, int rc)
{
	*(int *)ctx = rc;
	gr_loop_stop(loop);
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

static void a_full_disk_refuses_what_may_fail_and_keeps_the_rest(void **state)
{
	struct rlimit old, full;
	struct gr_store *store;
	struct gr_err err = { 0 };
	struct gr_timer *late;
	uint32_t there = 0;
	int first, refused, kept;
	char dir[] = "/tmp/griddle-full-test-XXXXXX";

	signal(SIGXFSZ, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	loop = gr_loop_new(1);
	late = gr_timer_start(loop, 60000, 0, on_late, NULL);
	assert_int_equal(gr_store_open(loop, dir, &ops, NULL, &store, &err), 0);
	put(store, 0, true, &first);
	gr_loop_run(loop);
	assert_int_equal(first, 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	full = old;
	full.rlim_cur = 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	put(store, 1, true, &refused);
	gr_loop_run(loop);
	assert_true(refused < 0);
	put(store, 2, false, &kept);
	while (!gr_store_trouble(store)) {
		struct gr_timer *soon = gr_timer_start(loop, 10, 0, on_soon, NULL);

		gr_loop_run(loop);
		gr_timer_stop(&soon);
	}
	assert_int_equal(kept, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	while (kept == 1)
		gr_loop_run(loop);
	assert_int_equal(kept, 0);
	assert_null(gr_store_trouble(store));
	assert_int_equal(gr_store_each_outcome(store, 1, tell, &there), 0);
	assert_int_equal(there, 1u << 0 | 1u << 2);
	gr_timer_stop(&late);
	gr_store_close(&store);
	gr_loop_free(&loop);
	assert_int_equal(gr_remove_at(AT_FDCWD, dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_full_disk_refuses_what_may_fail_and_keeps_the_rest) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
