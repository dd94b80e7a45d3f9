/* coord_worker_test.c - workers that come, drain, fail and tell of themselves */
#include "tests/unit/coord_fixture.h"

static void a_draining_worker_gets_nothing_new_and_its_returns_do_not_count(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker_of(w, "w1", 4, 0, 'g'), *w2;
	struct gr_buf b = { 0 };

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	gr_drain_encode(&b, 10000);
	send_frame(w1, &b);
	w2 = worker(w, "w2");
	send_task(cl, 2);
	UNTIL(w, count(w2, GR_MSG_TASK) == 1);
	assert_int_equal(count(w1, GR_MSG_TASK), 1);
	send_result(w2, 2, 1, GR_OUTCOME_DONE);
	send_result(w1, 1, 1, GR_OUTCOME_RETRY);
	UNTIL(w, count(w2, GR_MSG_TASK) == 2);
	assert_int_equal(w->c.m.attempts_ended[GR_CAUSE_DRAINED], 1);
	assert_int_equal(w->c.m.attempts_ended[GR_CAUSE_RETRY], 0);
}

static void a_second_connection_of_a_name_takes_the_place_of_the_first(void **state)
{
	struct world *w = *state;
	struct fake *w1, *w2;

	begin(w);
	w1 = worker(w, "w1");
	w2 = worker(w, "w1");
	UNTIL(w, w1->n_down >= 1);
	assert_int_equal(w->c.n_workers, 1);
	leave(w1);
	settle(w->fakes[0]);
	assert_true(w2->is_up);
}

static void a_hello_with_nonsense_is_refused_with_the_reason(void **state)
{
	struct world *w = *state;
	struct fake *f;

	begin(w);
	f = fake_new(w, GR_ROLE_WORKER, "w1");
	f->slots = -1;
	UNTIL(w, f->n_down >= 1);
	assert_int_equal(f->down_code, GR_EPROTO);
	assert_int_equal(w->c.n_workers, 0);
}

static void a_worker_that_fails_fast_is_left_alone_for_a_while(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *bad = worker_of(w, "bad", 8, 0, 'g'), *good;

	for (uint64_t i = 1; i <= 3; i++)
		send_task(cl, i);
	UNTIL(w, count(bad, GR_MSG_TASK) == 3);
	good = worker_of(w, "good", 16, 0, 'g');
	for (uint64_t i = 1; i <= 3; i++)
		send_result(bad, i, 1, GR_OUTCOME_RETRY);
	UNTIL(w, count(good, GR_MSG_TASK) == 3);
	for (uint64_t i = 4; i <= 12; i++)
		send_task(cl, i);
	UNTIL(w, count(good, GR_MSG_TASK) == 12);
	assert_int_equal(count(bad, GR_MSG_TASK), 3);
}

static void tasks_whose_only_worker_is_quarantined_go_home(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *bad = worker_of(w, "bad", 3, 0, 'g');
	size_t n_seen = 0;
	char reason[128];

	for (uint64_t i = 1; i <= 5; i++)
		send_task(cl, i);
	while (count(cl, GR_MSG_RESULT) < 5) {
		UNTIL(w, count(bad, GR_MSG_TASK) > n_seen || count(cl, GR_MSG_RESULT) == 5);
		while (n_seen < count(bad, GR_MSG_TASK)) {
			uint64_t task;
			uint32_t attempt = task_at(bad, n_seen++, &task);

			send_result(bad, task, attempt, GR_OUTCOME_RETRY);
		}
	}
	for (size_t i = 0; i < 5; i++)
		assert_true(outcome_at(cl, i, reason) == GR_OUTCOME_RETRY || strstr(reason, "takes tasks now"));
}

static void a_worker_told_of_more_slots_gets_more(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_ping ping = { .seq = 1, .n_signals = 1, .signals = { { GR_SIGNAL_SLOTS, 3 } } };
	struct gr_buf b = { 0 };

	for (uint64_t i = 1; i <= 5; i++)
		send_task(cl, i);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	gr_ping_encode(&b, GR_MSG_PING, &ping);
	send_frame(wk, &b);
	UNTIL(w, count(wk, GR_MSG_TASK) == 3);
}

static struct gr_worker *find_worker(struct world *w, const char *name)
{
	GR_LIST_EACH(x, &w->c.workers, struct gr_worker, link)
		if (!strcmp(x->name, name))
			return x;
	fail_msg("no worker %s", name);
	return NULL;
}

static uint64_t signal_of(struct world *w, const char *name, enum gr_signal key) { return find_worker(w, name)->signals[key]; }

/* What of a node others use is what is busy less what our own workers there use; figures are cut to what can be. */
static void the_cores_of_a_node_that_others_use_are_told_to_placement(void **state)
{
	static const struct { const char *name; uint64_t used, busy; } said[] = { { "w1", 1000, 3500 }, { "w2", 500, 3600 }, { "w3", 700, 900 } };
	struct world *w = *state;
	struct fake *wk[3];
	struct gr_buf b = { 0 };
	json_t *nodes;

	start(w, NULL);
	for (size_t i = 0; i < 3; i++) {
		struct gr_ping ping = { .seq = 1, .n_signals = 3, .signals = { { GR_SIGNAL_CPU_USED_MCPU, said[i].used },
			{ GR_SIGNAL_NODE_BUSY_MCPU, said[i].busy }, { GR_SIGNAL_CPU_PSI_PERMILLE, UINT64_MAX } } };

		wk[i] = fake_new(w, GR_ROLE_WORKER, said[i].name);
		wk[i]->slots = 1;
		snprintf(wk[i]->node, sizeof(wk[i]->node), "%s", i < 2 ? "shared" : "alone");
		UNTIL(w, wk[i]->is_up);
		gr_ping_encode(&b, GR_MSG_PING, &ping);
		send_frame(wk[i], &b);
	}
	UNTIL(w, signal_of(w, "w3", GR_SIGNAL_NODE_BUSY_MCPU) == 900 && signal_of(w, "w2", GR_SIGNAL_NODE_BUSY_MCPU) == 3600);
	assert_int_equal(gr_signals_foreign_mcpu(find_worker(w, "w1")), 2100);
	assert_int_equal(gr_signals_foreign_mcpu(find_worker(w, "w2")), 2100);
	assert_int_equal(gr_signals_foreign_mcpu(find_worker(w, "w3")), 200);
	assert_int_equal(signal_of(w, "w1", GR_SIGNAL_CPU_PSI_PERMILLE), 1000);
	nodes = gr_nodes_json(&w->c);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(json_array_get(json_object_get(nodes, "nodes"), 0), "signals"), "node_foreign_mcpu")), 2100);
	json_decref(nodes);
	gr_metrics_print(&w->c, &b);
	assert_non_null(strstr(gr_buf_str(&b), "griddle_worker_cpu_used_cores{worker=\"w2\",node=\"shared\"} 0.5\n"));
	assert_non_null(strstr(gr_buf_str(&b), "griddle_worker_cpu_pressure_ratio{worker=\"w1\",node=\"shared\"} 1\n"));
	gr_buf_fini(&b);
	/* one goes: its part of the sum goes with it */
	gr_link_close(&wk[0]->link);
	UNTIL(w, w->c.n_workers == 2);
	assert_int_equal(gr_signals_foreign_mcpu(find_worker(w, "w2")), 3100);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_draining_worker_gets_nothing_new_and_its_returns_do_not_count),
		T(a_second_connection_of_a_name_takes_the_place_of_the_first),
		T(a_hello_with_nonsense_is_refused_with_the_reason),
		T(a_worker_that_fails_fast_is_left_alone_for_a_while),
		T(tasks_whose_only_worker_is_quarantined_go_home),
		T(a_worker_told_of_more_slots_gets_more),
		T(the_cores_of_a_node_that_others_use_are_told_to_placement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
