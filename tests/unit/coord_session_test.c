/* coord_session_test.c - a session: its log on the way to workers, and its client that goes and comes back */
#include "tests/unit/coord_fixture.h"

static void the_log_travels_once_a_worker(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker_of(w, "w1", 2, 0, 'g');
	struct gr_record r = { .tag = GR_RECORD_STR, .str = gr_slice_str("more") };
	struct gr_buf more = { 0 };
	struct gr_log_msg log;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	gr_record_encode(&more, &r);
	send_log(cl, 6, 1, gr_buf_slice(&more));
	send_task(cl, 2);
	UNTIL(w, count(wk, GR_MSG_TASK) == 2);
	assert_int_equal(count(wk, GR_MSG_SESSION_OPEN), 1);
	assert_int_equal(count(wk, GR_MSG_LOG), 2);
	assert_int_equal(gr_log_decode(nth(wk, GR_MSG_LOG, 1), &log), 0);
	assert_int_equal(log.first, 6);
	assert_int_equal(log.n, 1);
	gr_buf_fini(&more);
}

static void records_a_worker_says_it_lacks_are_sent_again(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker_of(w, "w1", 2, 0, 'g');
	struct gr_buf b = { 0 };
	struct gr_log_msg log;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	gr_session_encode(&b, GR_MSG_SESSION_OK, SESSION, 0);         /* the answer to SESSION_OPEN */
	send_frame(wk, &b);
	gr_session_encode(&b, GR_MSG_SESSION_OK, SESSION, 2);         /* unasked */
	send_frame(wk, &b);
	UNTIL(w, count(wk, GR_MSG_LOG) == 2);
	assert_int_equal(gr_log_decode(nth(wk, GR_MSG_LOG, 1), &log), 0);
	assert_int_equal(log.first, 2);
	gr_session_encode(&b, GR_MSG_SESSION_CLOSE, SESSION, 0);      /* lost all of it, with a task in hand */
	send_frame(wk, &b);
	UNTIL(w, count(wk, GR_MSG_SESSION_OPEN) == 2 && count(wk, GR_MSG_LOG) == 3);
}

static void a_worker_that_kept_the_log_is_sent_what_came_since(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk;
	struct gr_log_msg log;

	settle(cl);
	wk = fake_new(w, GR_ROLE_WORKER, "w1");
	wk->has_session = 4;
	UNTIL(w, wk->is_up);
	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	assert_int_equal(count(wk, GR_MSG_SESSION_OPEN), 0);
	assert_int_equal(gr_log_decode(nth(wk, GR_MSG_LOG, 0), &log), 0);
	assert_int_equal(log.first, 4);
	assert_int_equal(log.n, 2);
}

static void a_client_that_goes_has_its_tasks_stopped_and_its_session_kept(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1"), *again;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	leave(cl);
	UNTIL(w, count(wk, GR_MSG_CANCEL) == 1);
	assert_int_equal(count(wk, GR_MSG_SESSION_CLOSE), 0);
	again = client(w, "agent");
	open_session(again, SESSION);
	assert_int_equal(has_records(again), 6);
	send_log(again, 0, 6, gr_buf_slice(&w->log));     /* the same again is fine */
	send_task(again, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 2);
	assert_true(task_at(wk, 1, NULL) > task_at(wk, 0, NULL) + 1);     /* an old result cannot be taken for the new one's */
	send_result(wk, 1, 1, GR_OUTCOME_CANCELLED);
	send_result(wk, 1, task_at(wk, 1, NULL), GR_OUTCOME_DONE);
	UNTIL(w, count(again, GR_MSG_RESULT) == 1);
	assert_int_equal(outcome_at(again, 0, NULL), GR_OUTCOME_DONE);
}

static void an_unconfirmed_result_is_there_after_a_reconnect(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1"), *again;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	send_result(wk, 1, 1, GR_OUTCOME_DONE);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	leave(cl);
	UNTIL(w, w->c.n_clients == 0);
	again = client(w, "agent");
	open_session(again, SESSION);
	UNTIL(w, count(again, GR_MSG_RESULT) == 1);
	send_task(again, 1);                              /* and it is not run again */
	UNTIL(w, count(again, GR_MSG_RESULT) == 2);
	assert_int_equal(count(wk, GR_MSG_TASK), 1);
}

static void a_session_nobody_comes_back_for_is_closed_everywhere(void **state)
{
	struct world *w = *state;
	const char *const more[] = { "--session-linger", "0", NULL };
	struct fake *cl, *wk;

	start(w, more);
	cl = client(w, "agent");
	wk = worker(w, "w1");
	open_session(cl, SESSION);
	basic_log(w, cl, "/src/a.o");
	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	leave(cl);
	UNTIL(w, count(wk, GR_MSG_SESSION_CLOSE) == 1);
	assert_int_equal(w->c.sessions.n, 0);
}

static void a_log_that_contradicts_itself_ends_the_session_not_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);
	struct gr_record r = { .tag = GR_RECORD_STR, .str = gr_slice_str("clang") };
	struct gr_buf other = { 0 };

	gr_record_encode(&other, &r);
	send_log(cl, 0, 1, gr_buf_slice(&other));
	UNTIL(w, count(cl, GR_MSG_SESSION_CLOSE) == 1);
	settle(cl);
	assert_true(cl->is_up);
	assert_int_equal(w->c.sessions.n, 0);
	gr_buf_fini(&other);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(the_log_travels_once_a_worker),
		T(records_a_worker_says_it_lacks_are_sent_again),
		T(a_worker_that_kept_the_log_is_sent_what_came_since),
		T(a_client_that_goes_has_its_tasks_stopped_and_its_session_kept),
		T(an_unconfirmed_result_is_there_after_a_reconnect),
		T(a_session_nobody_comes_back_for_is_closed_everywhere),
		T(a_log_that_contradicts_itself_ends_the_session_not_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
