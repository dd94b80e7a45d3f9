/* coord_task_test.c - what becomes of a task: where it goes, who may say how it ended, who is told */
#include "tests/unit/coord_fixture.h"

static void a_task_goes_to_a_worker_behind_its_log_and_the_result_comes_back(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_log_msg log;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	assert_int_equal(wk->seen[0].type, GR_MSG_SESSION_OPEN);
	assert_int_equal(wk->seen[1].type, GR_MSG_LOG);
	assert_int_equal(wk->seen[2].type, GR_MSG_TASK);
	assert_int_equal(gr_log_decode(nth(wk, GR_MSG_LOG, 0), &log), 0);
	assert_true(gr_slice_eq(log.bytes, gr_buf_slice(&w->log)));
	assert_int_equal(task_at(wk, 0, NULL), 1);
	send_result(wk, 1, 1, GR_OUTCOME_DONE);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1 && count(wk, GR_MSG_RESULT_ACK) == 1);
	assert_int_equal(outcome_at(cl, 0, NULL), GR_OUTCOME_DONE);
	send_ref(cl, GR_MSG_RESULT_ACK, 1, 1);
	settle(cl);
	assert_int_equal(gr_job_count(&gr_session_find(&w->c, SESSION)->job), 0);
	assert_int_equal(w->c.m.outcomes[GR_OUTCOME_DONE], 1);
}

static void ask_for_coverage(struct gr_task_msg *m) { m->flags = GR_TASK_F_GCOV; }

static void what_a_tier_cannot_do_goes_to_another_when_there_is_one(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *poor, *rich;

	poor = fake_new(w, GR_ROLE_WORKER, "poor");
	poor->tier = "landlock";
	poor->slots = 8;
	UNTIL(w, poor->is_up);
	send_task_with(cl, 1, ask_for_coverage);
	UNTIL(w, count(poor, GR_MSG_TASK) == 1);           /* it says itself that it cannot */
	rich = worker_of(w, "rich", 8, 0, 'g');
	for (uint64_t i = 2; i <= 6; i++)
		send_task_with(cl, i, ask_for_coverage);
	UNTIL(w, count(rich, GR_MSG_TASK) == 5);
	assert_int_equal(count(poor, GR_MSG_TASK), 1);
}

static void a_lost_workers_task_runs_elsewhere(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2;

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	w2 = worker(w, "w2");
	leave(w1);
	UNTIL(w, count(w2, GR_MSG_TASK) == 1);
	assert_int_equal(task_at(w2, 0, NULL), 2);
	send_result(w2, 1, 2, GR_OUTCOME_DONE);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	assert_int_equal(w->c.m.attempts_ended[GR_CAUSE_LOST], 1);
}

static void the_late_result_of_a_worker_given_up_wins_and_the_other_attempt_is_cancelled(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2, *again;

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	w2 = worker(w, "w2");
	leave(w1);
	UNTIL(w, count(w2, GR_MSG_TASK) == 1);
	again = worker(w, "w1");
	send_result(again, 1, 1, GR_OUTCOME_DONE);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1 && count(w2, GR_MSG_CANCEL) == 1 && count(again, GR_MSG_RESULT_ACK) == 1);
	send_result(w2, 1, 2, GR_OUTCOME_DONE);
	UNTIL(w, count(w2, GR_MSG_RESULT_ACK) == 1);
	assert_int_equal(count(cl, GR_MSG_RESULT), 1);
	assert_int_equal(w->c.m.results_fenced, 1);
}

static void a_result_of_a_worker_that_was_not_asked_is_fenced(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2;

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	w2 = worker(w, "w2");
	send_result(w2, 1, 1, GR_OUTCOME_DONE);
	UNTIL(w, count(w2, GR_MSG_RESULT_ACK) == 1);
	settle(cl);
	assert_int_equal(count(cl, GR_MSG_RESULT), 0);
	assert_int_equal(w->c.m.results_fenced, 1);
}

static void an_output_nobody_asked_for_drops_the_worker(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1");
	struct gr_result_msg *m;
	struct gr_buf b = { 0 };

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	GR_NEW(m);
	m->session = SESSION;
	m->task = 1;
	m->attempt = 1;
	m->outcome = GR_OUTCOME_DONE;
	m->n_outputs = 1;
	m->outputs[0] = (struct gr_result_out){ .index = 3, .mode = 0644 };
	gr_result_encode(&b, m);
	free(m);
	send_frame(w1, &b);
	UNTIL(w, w1->n_down >= 1);
	UNTIL(w, w->c.m.attempts_ended[GR_CAUSE_LOST] == 1);
}

static void a_task_that_fails_everywhere_comes_back_as_retry(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk[4];
	char name[8], reason[128];

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "w%d", i);
		wk[i] = worker(w, name);
	}
	send_task(cl, 1);
	for (uint32_t try = 1; try <= 3; try++) {
		int who = -1;

		UNTIL(w, count(wk[0], GR_MSG_TASK) + count(wk[1], GR_MSG_TASK) + count(wk[2], GR_MSG_TASK) + count(wk[3], GR_MSG_TASK) == try);
		for (int i = 0; i < 4; i++) {
			assert_true(count(wk[i], GR_MSG_TASK) <= 1);    /* never the same worker twice */
			if (count(wk[i], GR_MSG_TASK) && task_at(wk[i], 0, NULL) == try)
				who = i;
		}
		assert_true(who >= 0);
		assert_int_equal(count(cl, GR_MSG_RESULT), 0);
		send_result(wk[who], 1, try, GR_OUTCOME_RETRY);
	}
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	assert_int_equal(outcome_at(cl, 0, reason), GR_OUTCOME_RETRY);
	assert_string_equal(reason, "because");
}

static void a_task_its_only_worker_cannot_do_comes_back_at_once(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	char reason[128];

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	send_result(wk, 1, 1, GR_OUTCOME_RETRY);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	assert_int_equal(outcome_at(cl, 0, reason), GR_OUTCOME_RETRY);
	assert_non_null(strstr(reason, "was tried"));
}

static void no_worker_with_the_toolchain_is_a_refusal_with_a_reason(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);
	char reason[128];

	worker_of(w, "w1", 1, 0, 'x');
	send_task(cl, 1);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	assert_int_equal(outcome_at(cl, 0, reason), GR_OUTCOME_REFUSED);
	assert_string_equal(reason, "no worker has toolchain 676767676767");
}

static void after_the_start_a_task_waits_for_its_worker(void **state)
{
	struct world *w = *state;
	const char *const more[] = { "--settle", "600s", NULL };
	struct fake *cl, *wk;

	start(w, more);
	cl = client(w, "agent");
	open_session(cl, SESSION);
	basic_log(w, cl, "/src/a.o");
	send_task(cl, 1);
	settle(cl);
	assert_int_equal(count(cl, GR_MSG_RESULT), 0);
	wk = worker(w, "w1");
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
}

static void a_refusal_is_passed_on_and_not_tried_elsewhere(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2;

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	w2 = worker(w, "w2");
	send_result(w1, 1, 1, GR_OUTCOME_REFUSED);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	assert_int_equal(outcome_at(cl, 0, NULL), GR_OUTCOME_REFUSED);
	assert_int_equal(count(w2, GR_MSG_TASK), 0);
}

static void what_the_client_cancels_stops_and_is_confirmed(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");

	send_task(cl, 1);
	send_task(cl, 2);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	send_ref(cl, GR_MSG_CANCEL, 2, 0);                /* queued */
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	send_ref(cl, GR_MSG_CANCEL, 1, 0);                /* running */
	UNTIL(w, count(wk, GR_MSG_CANCEL) == 1 && count(cl, GR_MSG_RESULT) == 2);
	assert_int_equal(outcome_at(cl, 0, NULL), GR_OUTCOME_CANCELLED);
	assert_int_equal(outcome_at(cl, 1, NULL), GR_OUTCOME_CANCELLED);
}

/* Placement may take a task back from one worker for another that is idle: it may be sent twice, its outcome comes once. */
static void fifty_tasks_on_four_workers_each_end_once(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk[4];
	size_t done[4] = { 0 };
	uint8_t seen[51] = { 0 };
	char name[8];

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "w%d", i);
		wk[i] = worker_of(w, name, 2, i, 'g');
	}
	for (uint64_t i = 1; i <= 50; i++)
		send_task(cl, i);
	while (count(cl, GR_MSG_RESULT) < 50) {
		UNTIL(w, count(cl, GR_MSG_RESULT) == 50 || count(wk[0], GR_MSG_TASK) > done[0] || count(wk[1], GR_MSG_TASK) > done[1] ||
			 count(wk[2], GR_MSG_TASK) > done[2] || count(wk[3], GR_MSG_TASK) > done[3]);
		for (int i = 0; i < 4; i++)
			while (done[i] < count(wk[i], GR_MSG_TASK)) {
				uint64_t task;
				uint32_t attempt = task_at(wk[i], done[i]++, &task);

				send_result(wk[i], task, attempt, GR_OUTCOME_DONE);
			}
	}
	for (size_t i = 0; i < 50; i++) {
		struct gr_result_msg *m;

		GR_NEW(m);
		assert_int_equal(gr_result_decode(nth(cl, GR_MSG_RESULT, i), m), 0);
		assert_in_range(m->task, 1, 50);
		assert_int_equal(seen[m->task]++, 0);
		free(m);
	}
	assert_int_equal(w->c.m.outcomes[GR_OUTCOME_DONE], 50);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_task_goes_to_a_worker_behind_its_log_and_the_result_comes_back),
		T(what_a_tier_cannot_do_goes_to_another_when_there_is_one),
		T(a_lost_workers_task_runs_elsewhere),
		T(the_late_result_of_a_worker_given_up_wins_and_the_other_attempt_is_cancelled),
		T(a_result_of_a_worker_that_was_not_asked_is_fenced),
		T(an_output_nobody_asked_for_drops_the_worker),
		T(a_task_that_fails_everywhere_comes_back_as_retry),
		T(a_task_its_only_worker_cannot_do_comes_back_at_once),
		T(no_worker_with_the_toolchain_is_a_refusal_with_a_reason),
		T(after_the_start_a_task_waits_for_its_worker),
		T(a_refusal_is_passed_on_and_not_tried_elsewhere),
		T(what_the_client_cancels_stops_and_is_confirmed),
		T(fifty_tasks_on_four_workers_each_end_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
