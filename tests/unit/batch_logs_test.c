/* batch_logs_test.c - a reader of a task's output that is slower than the task: what it did not take comes later, once, and then the end
 *
 * A whole coordinator on one loop with a job of a life before, whose only task runs; nobody is connected. */
#include "tests/unit/batch_fixture.h"

#define JOB 1
#define WORKER 77
#define TEXT "what it printed"

struct reader {
	bool is_full;
	int n_refused, n_ended;
	struct gr_buf text;
};
struct world {
	struct life life;
	struct reader reader;
	struct gr_follower *follower;
};

static void until_n(struct world *w, const int *n, int least)
{
	uint64_t limit = life_limit(&w->life);

	while (*n < least)
		life_turn(&w->life, limit);
}

static void leave_a_job(struct world *w)
{
	static const char spec[] = "{\"name\":\"one\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"]}]}";
	struct gr_store *s = life_store(&w->life);
	struct gr_store_tx *tx = gr_store_tx_new(s);

	gr_store_add(tx, GR_SQL_META, "next_job", (int64_t)JOB + 1);
	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "one", "t", (int64_t)0, (int64_t)1, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	gr_store_add(tx, GR_SQL_BEGIN, (int64_t)JOB, (int64_t)0, (int64_t)1, (int64_t)1, "w", "n", (int64_t)WORKER, (int64_t)WORKER, (int64_t)1000,
		     (int64_t)0, (int64_t)0);
	life_commit(&w->life, &tx);
	gr_store_close(&s);
}

static int take(void *ctx, struct gr_slice data)
{
	struct reader *r = ctx;

	assert_int_equal(r->n_ended, 0);
	if (r->is_full) {
		r->n_refused++;
		return GR_EBUSY;
	}
	gr_buf_add(&r->text, data.p, data.n);
	return 0;
}

static void end(void *ctx) { ((struct reader *)ctx)->n_ended++; }

static const struct gr_log_sink sink = { take, end };

static int set_up(void **state)
{
	struct world *w;

	GR_NEW(w);
	life_init(&w->life, "logs");
	leave_a_job(w);
	life_begin(&w->life, 600000);
	assert_int_equal(gr_batch_log_follow(&w->life.c, JOB, 0, GR_STREAM_OUT, 0, &sink, &w->reader, &w->follower), 0);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	life_fini(&w->life);
	gr_buf_fini(&w->reader.text);
	free(w);
	return 0;
}

/* The task ends, having printed TEXT; the follower is told when that is on disk. */
static void end_the_task(struct world *w)
{
	const struct gr_ended_msg m = { .job = JOB, .task = 0, .attempt = 1, .outcome = GR_OUTCOME_DONE, .reason = { NULL, 0 },
					.out = { .has_data = true, .size = sizeof(TEXT) - 1, .data = gr_slice_str(TEXT) }, .err.has_data = true };

	gr_run_end(gr_bj_find(w->life.c.batch, JOB), NULL, WORKER, &m, GR_BC_DONE);
}

static void assert_has_all(const struct world *w)
{
	assert_int_equal(w->reader.n_ended, 1);
	assert_int_equal(w->reader.text.n, sizeof(TEXT) - 1);
	assert_memory_equal(w->reader.text.p, TEXT, sizeof(TEXT) - 1);
}

/* ---- tests ---- */

static void what_a_full_reader_refused_at_the_end_comes_with_a_tick_and_once(void **state)
{
	struct world *w = *state;

	w->reader.is_full = true;
	end_the_task(w);
	until_n(w, &w->reader.n_refused, 3);      /* when the end was on disk, and with ticks */
	assert_int_equal(w->reader.n_ended, 0);
	assert_int_equal(w->reader.text.n, 0);
	w->reader.is_full = false;
	until_n(w, &w->reader.n_ended, 1);
	assert_has_all(w);
	for (uint32_t n = w->life.c.batch->n_ticks + 3; w->life.c.batch->n_ticks < n;)
		uv_run(gr_loop_uv(w->life.loop), UV_RUN_ONCE);
	assert_has_all(w);
}

/* tail.c: its reader has taken what was held. */
static void or_when_the_reader_asks_for_more(void **state)
{
	struct world *w = *state;

	w->reader.is_full = true;
	end_the_task(w);
	until_n(w, &w->reader.n_refused, 1);
	gr_batch_log_more(&w->life.c, w->follower);
	assert_int_equal(w->reader.n_refused, 2);
	assert_int_equal(w->reader.n_ended, 0);
	w->reader.is_full = false;
	gr_batch_log_more(&w->life.c, w->follower);
	assert_has_all(w);
}

static void of_one_that_follows_from_an_offset_from_there_on(void **state)
{
	struct world *w = *state;

	gr_batch_log_stop(&w->follower);
	assert_int_equal(gr_batch_log_follow(&w->life.c, JOB, 0, GR_STREAM_OUT, 5, &sink, &w->reader, &w->follower), 0);
	w->reader.is_full = true;
	end_the_task(w);
	until_n(w, &w->reader.n_refused, 2);
	w->reader.is_full = false;
	until_n(w, &w->reader.n_ended, 1);
	assert_int_equal(w->reader.text.n, sizeof(TEXT) - 1 - 5);
	assert_memory_equal(w->reader.text.p, &TEXT[5], sizeof(TEXT) - 1 - 5);
}

static void a_full_reader_of_a_job_that_is_removed_is_let_go(void **state)
{
	struct world *w = *state;
	struct gr_bj *j = gr_bj_find(w->life.c.batch, JOB);

	w->reader.is_full = true;
	end_the_task(w);
	until_n(w, &w->reader.n_refused, 1);
	assert_int_equal(w->reader.n_ended, 0);
	gr_bj_remove(j, NULL);
	until_n(w, &w->reader.n_ended, 1);
	assert_int_equal(w->reader.text.n, 0);
}

static void one_that_goes_away_while_it_is_full_is_told_nothing(void **state)
{
	struct world *w = *state;

	w->reader.is_full = true;
	end_the_task(w);
	until_n(w, &w->reader.n_refused, 1);
	gr_batch_log_stop(&w->follower);
	assert_null(w->follower);
	for (uint32_t n = w->life.c.batch->n_ticks + 3; w->life.c.batch->n_ticks < n;)
		uv_run(gr_loop_uv(w->life.loop), UV_RUN_ONCE);
	assert_int_equal(w->reader.n_refused, 1);
	assert_int_equal(w->reader.n_ended, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		T(what_a_full_reader_refused_at_the_end_comes_with_a_tick_and_once),
		T(or_when_the_reader_asks_for_more),
		T(of_one_that_follows_from_an_offset_from_there_on),
		T(a_full_reader_of_a_job_that_is_removed_is_let_go),
		T(one_that_goes_away_while_it_is_full_is_told_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
