/* batch_restart_test.c - a store is taken up by a whole coordinator on one loop, asked by its own functions; nobody is connected */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/batch_int.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define LIMIT_S 60
#define JOB 1
#define WORKER 77

struct world {
	struct gr_loop *loop;
	struct gr_coord c;
	struct gr_timer *tick;
	char dir[64];
};

static void on_tick(void *ctx) { (void)ctx; }

static void on_damage(void *ctx, const char *text)
{
	(void)ctx;
	fail_msg("%s", text);
}

static void on_flag(void *ctx, int rc)
{
	assert_int_equal(rc, 0);
	*(bool *)ctx = true;
}

static void until(struct world *w, const bool *flag)
{
	uint64_t end = gr_loop_now_ns(w->loop) + LIMIT_S * GR_NS_PER_S;

	while (!*flag) {
		if (gr_loop_now_ns(w->loop) > end)
			fail_msg("waited %d s", LIMIT_S);
		uv_run(gr_loop_uv(w->loop), UV_RUN_ONCE);
	}
}

/* A life before: job 1, of two stages of three, each task of the second behind one of the first, whose task 0 was begun. */
static void leave_a_job(struct world *w)
{
	static const struct gr_store_ops ops = { .on_damage = on_damage };
	static const char spec[] = "{\"name\":\"two\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"array\":{\"range\":[1,3]}},"
				   "{\"name\":\"b\",\"argv\":[\"true\"],\"array\":{\"range\":[1,3]},\"after\":[{\"stage\":\"a\",\"each\":true}]}]}";
	struct gr_store_tx *tx;
	struct gr_store *s;
	struct gr_err err;
	bool is_told = false;

	if (gr_store_open(w->loop, w->dir, &ops, w, &s, &err) < 0)
		fail_msg("%s", err.text);
	tx = gr_store_tx_new(s);
	gr_store_add(tx, GR_SQL_META, "next_job", (int64_t)2);
	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "two", "t", (int64_t)0, (int64_t)6, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	gr_store_add(tx, GR_SQL_BEGIN, (int64_t)JOB, (int64_t)0, (int64_t)1, (int64_t)1, "w", "n", (int64_t)WORKER, (int64_t)WORKER, (int64_t)1000,
		     (int64_t)0, (int64_t)0);
	gr_store_commit(&tx, false, on_flag, &is_told);
	until(w, &is_told);
	gr_store_close(&s);
}

static int set_up(void **state)
{
	struct gr_err err = { 0 };
	struct world *w;

	GR_NEW(w);
	gr_log_init("test", GR_LOG_ERROR);
	snprintf(w->dir, sizeof(w->dir), "/tmp/griddle-restart.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->loop = gr_loop_new(1);
	w->tick = gr_timer_start(w->loop, 5, 5, on_tick, w);
	leave_a_job(w);
	w->c.cfg = (struct gr_coord_config){
		.listen = (char *)"tcp://127.0.0.1:0", .http = (char *)"off", .state = w->dir, .cache_bytes = 1 << 30, .job_bytes = 1 << 30,
		.heartbeat_ms = 1000, .dead_ms = 5000, .max_peers = 100, .credits = 16, .max_sessions = 4, .session_log_bytes = 1 << 20,
		.session_linger_ms = 60000, .result_bytes = 1 << 20, .settle_ms = 600000, .work_target_ms = 60000, .keep_jobs_ms = 604800000,
	};
	if (gr_coord_open(&w->c, w->loop, &err) < 0)
		fail_msg("%s", err.text);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	gr_coord_close(&w->c);
	gr_coord_fini(&w->c);
	gr_timer_stop(&w->tick);
	gr_loop_free(&w->loop);
	(void)gr_rm_rf(w->dir);
	free(w);
	return 0;
}

static uint32_t n_ranges_with(const struct gr_bj *j, uint32_t task)
{
	uint32_t n = 0;

	GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link)
		n += task - r->place.first < r->place.count;
	return n;
}

/* Seed 9000 of the simulated clusters, the 1,000 workers of it: a worker that came back at once told of an end while the attempt
 * numbers of this life were on their way to the disk; when they were there, everything that may run was offered, and so
 * what only this end made ready, whose row was not on disk. Here it shows as the same task offered twice. */
static void what_an_end_made_ready_is_offered_when_the_end_is_on_disk_and_once(void **state)
{
	const struct gr_ended_msg m = { .job = JOB, .task = 0, .attempt = 1, .outcome = GR_OUTCOME_DONE, .reason = { NULL, 0 },
					.out.has_data = true, .err.has_data = true };
	struct world *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	struct gr_store_tx *tx;
	bool is_told = false;
	int64_t stored = 0;

	assert_non_null(j);
	assert_true(j->is_raising);
	assert_int_equal(gr_states_get(&j->b.states, 3), GR_B_BLOCKED);
	gr_run_end(j, NULL, WORKER, &m, GR_BC_DONE);
	assert_int_equal(gr_states_get(&j->b.states, 3), GR_B_READY);
	assert_int_equal(n_ranges_with(j, 3), 0);
	tx = gr_store_tx_new(w->c.batch->store);          /* behind it */
	gr_store_add(tx, GR_SQL_TRUST, (int64_t)7, (int64_t)7, (int64_t)1);
	gr_store_commit(&tx, false, on_flag, &is_told);
	until(w, &is_told);
	assert_false(j->is_raising);
	assert_true(gr_store_outcome_attempt(w->c.batch->store, JOB, 0, &stored) > 0);
	assert_int_equal(stored, GR_B_DONE);
	assert_int_equal(n_ranges_with(j, 3), 1);
	assert_int_equal(n_ranges_with(j, 1), 1);         /* what could run before too */
	assert_int_equal(n_ranges_with(j, 2), 1);
	assert_int_equal(n_ranges_with(j, 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		T(what_an_end_made_ready_is_offered_when_the_end_is_on_disk_and_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
