/* job_test.c - lib/job: the life of a task */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/rng.h"
#include "lib/job/job.h"

#define A 11u       /* workers' identities */
#define B 22u
#define C 33u

struct world {
	struct gr_job job;
	struct gr_task t;
};

static int set_up(void **state)
{
	static struct world w;

	gr_job_init(&w.job, 7);
	gr_task_init(&w.t, &w.job, 1, 1);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	if (w->t.state != GR_TASK_GONE) {
		if (w->t.state == GR_TASK_RUNNING)
			gr_task_move(&w->t, GR_TASK_ENDED);
		gr_task_move(&w->t, GR_TASK_GONE);
	}
	gr_job_fini(&w->job);
	return 0;
}

static uint32_t begin(struct world *w, uint64_t worker)
{
	if (w->t.state == GR_TASK_NEW)
		gr_task_move(&w->t, GR_TASK_QUEUED);
	return gr_task_begin(&w->t, worker, w, 5, 100)->number;
}

static void a_task_is_on_the_list_its_state_names(void **state)
{
	struct world *w = *state;

	assert_int_equal(w->job.n[GR_TASK_NEW], 1);
	gr_task_move(&w->t, GR_TASK_QUEUED);
	assert_int_equal(w->job.n[GR_TASK_NEW], 0);
	assert_int_equal(w->job.n[GR_TASK_QUEUED], 1);
	assert_ptr_equal(w->job.lists[GR_TASK_QUEUED].next, &w->t.link);
	gr_task_move(&w->t, GR_TASK_GONE);
	assert_int_equal(gr_job_count(&w->job), 0);
}

static void the_table_allows_what_it_names_and_nothing_else(void **state)
{
	(void)state;
	assert_true(gr_task_may_move(GR_TASK_NEW, GR_TASK_QUEUED));
	assert_true(gr_task_may_move(GR_TASK_RUNNING, GR_TASK_QUEUED));
	assert_false(gr_task_may_move(GR_TASK_NEW, GR_TASK_RUNNING));
	assert_false(gr_task_may_move(GR_TASK_ENDED, GR_TASK_RUNNING));
	assert_false(gr_task_may_move(GR_TASK_ENDED, GR_TASK_QUEUED));
	for (int to = 0; to < GR_TASK_N_STATES; to++)
		assert_false(gr_task_may_move(GR_TASK_GONE, (enum gr_task_state)to));
}

static void a_result_ends_the_task_once(void **state)
{
	struct world *w = *state;
	uint32_t n = begin(w, A);

	assert_int_equal(n, 1);
	assert_int_equal(gr_task_end(&w->t, n, A, GR_CAUSE_DONE, 200), GR_VERDICT_ACCEPT);
	assert_int_equal(w->t.state, GR_TASK_ENDED);
	assert_int_equal(gr_task_end(&w->t, n, A, GR_CAUSE_DONE, 201), GR_VERDICT_FENCED);
}

static void a_result_of_another_worker_or_attempt_is_fenced(void **state)
{
	struct world *w = *state;
	uint32_t n = begin(w, A);

	assert_int_equal(gr_task_end(&w->t, n, B, GR_CAUSE_DONE, 1), GR_VERDICT_FENCED);
	assert_int_equal(gr_task_end(&w->t, n + 1, A, GR_CAUSE_DONE, 1), GR_VERDICT_FENCED);
	assert_int_equal(gr_task_end(&w->t, 0, A, GR_CAUSE_DONE, 1), GR_VERDICT_FENCED);
	assert_int_equal(w->t.state, GR_TASK_RUNNING);
}

static void a_lost_attempt_is_tried_again(void **state)
{
	struct world *w = *state;
	uint32_t n = begin(w, A);

	assert_int_equal(gr_task_end(&w->t, n, A, GR_CAUSE_LOST, 1), GR_VERDICT_AGAIN);
	assert_int_equal(w->t.state, GR_TASK_QUEUED);
	assert_int_equal(begin(w, B), n + 1);
}

static void the_late_result_of_a_lost_attempt_wins_while_the_task_is_open(void **state)
{
	struct world *w = *state;
	uint32_t a = begin(w, A), b;

	gr_task_end(&w->t, a, A, GR_CAUSE_LOST, 1);
	b = begin(w, B);
	assert_int_equal(gr_task_end(&w->t, a, A, GR_CAUSE_DONE, 2), GR_VERDICT_ACCEPT);
	assert_int_equal(gr_task_live(&w->t), 1);
	assert_int_equal(gr_task_end(&w->t, b, B, GR_CAUSE_DONE, 3), GR_VERDICT_FENCED);
	assert_int_equal(gr_task_live(&w->t), 0);
}

static void the_late_result_of_a_lost_attempt_wins_while_the_task_is_queued(void **state)
{
	struct world *w = *state;
	uint32_t a = begin(w, A);

	gr_task_end(&w->t, a, A, GR_CAUSE_LOST, 1);
	assert_int_equal(gr_task_end(&w->t, a, A, GR_CAUSE_RETRY, 2), GR_VERDICT_FENCED);
	assert_int_equal(gr_task_end(&w->t, a, A, GR_CAUSE_DONE, 2), GR_VERDICT_ACCEPT);
}

static void three_failures_exhaust_it(void **state)
{
	struct world *w = *state;

	assert_int_equal(gr_task_end(&w->t, begin(w, A), A, GR_CAUSE_RETRY, 1), GR_VERDICT_AGAIN);
	assert_int_equal(gr_task_end(&w->t, begin(w, B), B, GR_CAUSE_LOST, 1), GR_VERDICT_AGAIN);
	assert_int_equal(gr_task_end(&w->t, begin(w, C), C, GR_CAUSE_OOM, 1), GR_VERDICT_EXHAUSTED);
	assert_int_equal(w->t.state, GR_TASK_ENDED);
}

static void what_was_handed_back_unharmed_does_not_count_but_ends_too(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < GR_JOB_MAX_ATTEMPTS - 1; i++)
		assert_int_equal(gr_task_end(&w->t, begin(w, A + i), A + i, GR_CAUSE_DRAINED, 1), GR_VERDICT_AGAIN);
	assert_int_equal(w->t.n_tries, 0);
	assert_int_equal(gr_task_end(&w->t, begin(w, C), C, GR_CAUSE_DRAINED, 1), GR_VERDICT_EXHAUSTED);
}

static void a_refusal_is_an_outcome(void **state)
{
	struct world *w = *state;

	assert_int_equal(gr_task_end(&w->t, begin(w, A), A, GR_CAUSE_REFUSED, 1), GR_VERDICT_ACCEPT);
}

/* Whatever is said in whatever order: one acceptance at most, and none after the end. */
static void no_order_of_words_accepts_twice(void **state)
{
	struct gr_rng rng = { 20261123 };

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct gr_job job;
		struct gr_task t;
		int n_accept = 0;

		gr_job_init(&job, 1);
		gr_task_init(&t, &job, 1, 1 + gr_rng_below(&rng, 3));
		gr_task_move(&t, GR_TASK_QUEUED);
		for (int step = 0; step < 30; step++) {
			uint64_t who = 1 + gr_rng_below(&rng, 3);

			if (t.state == GR_TASK_QUEUED && gr_rng_below(&rng, 2)) {
				assert_true(gr_task_may_try(&t));
				gr_task_begin(&t, who, &t, 0, 1);
			} else {
				enum gr_cause cause = (enum gr_cause)(1 + gr_rng_below(&rng, GR_CAUSE_N - 1));
				enum gr_task_state was = t.state;
				enum gr_verdict v = gr_task_end(&t, gr_rng_below(&rng, 12), who, cause, 1);

				n_accept += v == GR_VERDICT_ACCEPT || v == GR_VERDICT_EXHAUSTED;
				assert_true(was != GR_TASK_ENDED || v == GR_VERDICT_FENCED);
				assert_true(v != GR_VERDICT_AGAIN || t.state == GR_TASK_QUEUED);
				assert_true(v != GR_VERDICT_WAIT || gr_task_live(&t));
			}
			assert_int_equal(gr_job_count(&job), 1);
			assert_true((t.state == GR_TASK_RUNNING) >= (gr_task_live(&t) > 0) || t.state == GR_TASK_ENDED);
		}
		assert_int_equal(n_accept, t.state == GR_TASK_ENDED);
		gr_task_move(&t, GR_TASK_GONE);
	}
}

static void names_are_told(void **state)
{
	(void)state;
	assert_string_equal(gr_task_state_name(GR_TASK_RUNNING), "running");
	assert_string_equal(gr_cause_name(GR_CAUSE_LOST), "lost");
	assert_string_equal(gr_cause_name((enum gr_cause)99), "?");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_task_is_on_the_list_its_state_names),
		T(the_table_allows_what_it_names_and_nothing_else),
		T(a_result_ends_the_task_once),
		T(a_result_of_another_worker_or_attempt_is_fenced),
		T(a_lost_attempt_is_tried_again),
		T(the_late_result_of_a_lost_attempt_wins_while_the_task_is_open),
		T(the_late_result_of_a_lost_attempt_wins_while_the_task_is_queued),
		T(three_failures_exhaust_it),
		T(what_was_handed_back_unharmed_does_not_count_but_ends_too),
		T(a_refusal_is_an_outcome),
		T(no_order_of_words_accepts_twice),
		T(names_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
