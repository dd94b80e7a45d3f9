/* coord_tell_test.c - what the coordinator tells: the cluster, answers, metrics */
#include "tests/unit/coord_fixture.h"

static void clients_hear_of_workers_that_come(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);
	struct gr_err err = { 0 };
	json_t *j = NULL;

	worker_of(w, "w1", 3, 0, 'g');
	UNTIL(w, count(cl, GR_MSG_CLUSTER) >= 1 &&
		 (json_decref(j), gr_json_decode(nth(cl, GR_MSG_CLUSTER, count(cl, GR_MSG_CLUSTER) - 1), &j, &err) == 0) &&
		 json_integer_value(json_object_get(j, "slots")) == 3);
	assert_int_equal(json_integer_value(json_object_get(j, "workers")), 1);
	assert_int_equal(json_integer_value(json_object_get(j, "credits")), 1024);
	assert_int_equal(json_array_size(json_object_get(j, "toolchains")), 1);
	json_decref(j);
}

static void questions_are_answered(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);
	json_t *rep;

	worker_of(w, "w1", 1, 0, 'g');
	send_task(cl, 1);
	send_task(cl, 2);
	rep = ask(cl, json_pack("{s:s, s:i}", "op", "status", "id", 7));
	assert_int_equal(json_integer_value(json_object_get(rep, "id")), 7);
	assert_int_equal(json_integer_value(json_object_get(rep, "workers")), 1);
	json_decref(rep);
	rep = ask(cl, json_pack("{s:s}", "op", "nodes"));
	assert_int_equal(json_array_size(json_object_get(rep, "nodes")), 1);
	json_decref(rep);
	rep = ask(cl, json_pack("{s:s}", "op", "sessions"));
	assert_int_equal(json_array_size(json_object_get(rep, "sessions")), 1);
	json_decref(rep);
	rep = ask(cl, json_pack("{s:s, s:s, s:i}", "op", "explain", "session", "1122334455667788", "task", 2));
	assert_string_equal(json_string_value(json_object_get(rep, "state")), "queued");
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(rep, "workers"), 0), "verdict")),
			    "no_credit");
	json_decref(rep);
	rep = ask(cl, json_pack("{s:s, s:s, s:i}", "op", "explain", "session", "1122334455667788", "task", 99));
	assert_non_null(json_object_get(rep, "error"));
	json_decref(rep);
	rep = ask(cl, json_pack("{s:s}", "op", "dance"));
	assert_string_equal(json_string_value(json_object_get(rep, "error")), "unknown op \"dance\"");
	json_decref(rep);
}

static json_t *heavy_plan(void)
{
	return json_pack("{s:s, s:[{s:s, s:s}]}", "target", "http://127.0.0.1:9/", "stages", "rate", "1001/s", "for", "1s");
}

/* The client's own --yes is no more than a courtesy: whoever speaks the wire without it is asked here. */
static void a_heavy_load_test_that_nobody_confirmed_is_refused_here(void **state)
{
	static const char *const not_so[] = { NULL, "false", "\"true\"", "1" };
	struct fake *cl = begin(*state);
	json_t *rep, *req;

	for (size_t i = 0; i < GR_LEN(not_so); i++) {
		req = json_pack("{s:s, s:o}", "op", "load-start", "plan", heavy_plan());
		if (not_so[i])
			json_object_set_new(req, "confirmed", json_loads(not_so[i], JSON_DECODE_ANY, NULL));
		rep = ask(cl, req);
		assert_non_null(strstr(json_string_value(json_object_get(rep, "error")), "1001/s is above 1000: such a test has to be confirmed"));
		assert_null(json_object_get(rep, "run"));
		json_decref(rep);
	}
	rep = ask(cl, json_pack("{s:s, s:o, s:b}", "op", "load-start", "plan", heavy_plan(), "confirmed", 1));
	assert_null(strstr(json_string_value(json_object_get(rep, "error")), "confirmed"));      /* there is no worker for it */
	json_decref(rep);
}

static void the_metrics_page_tells_families_once_each_with_help_and_type(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_buf page = { 0 };
	char seen[256][64];
	int n_seen = 0;
	const char *line;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	gr_metrics_print(&w->c, &page);
	for (line = gr_buf_str(&page); *line; line = strchr(line, '\n') + 1) {
		char name[64];

		if (sscanf(line, "# TYPE %63s", name) != 1)
			continue;
		for (int i = 0; i < n_seen; i++)
			assert_string_not_equal(seen[i], name);
		strcpy(seen[n_seen++], name);
	}
	assert_true(n_seen > 30);
	assert_non_null(strstr(gr_buf_str(&page), "\ngriddle_attempts_total 1\n"));
	assert_non_null(strstr(gr_buf_str(&page), "\ngriddle_workers 1\n"));
	assert_non_null(strstr(gr_buf_str(&page), "griddle_placement_decision_seconds_bucket{le=\"+Inf\"} 1\n"));
	gr_buf_fini(&page);
}

static void wanted_workers_follow_the_work(void **state)
{
	(void)state;
	assert_int_equal(gr_metrics_desired(0, 0, 0, 8, 4, 60000), 0);
	assert_int_equal(gr_metrics_desired(1, 0, 1, 8, 4, 60000), 1);          /* work is never nothing */
	assert_int_equal(gr_metrics_desired(0, 0, 5, 8, 4, 60000), 1);          /* also when its length is not known */
	assert_int_equal(gr_metrics_desired(600000, 0, 1000, 8, 4, 60000), 5);  /* 600 s on 2 slots a worker, in 60 s */
	assert_int_equal(gr_metrics_desired(600000, 0, 6, 8, 4, 60000), 3);     /* never more slots than tasks */
	assert_int_equal(gr_metrics_desired(0, 120, 120, 0, 0, 60000), 2);      /* nobody is there yet */
	assert_int_equal(gr_metrics_desired(UINT64_MAX / 4, 0, UINT64_MAX / 4, 1, 1, 1000), UINT32_MAX);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wanted_workers_follow_the_work),
		T(clients_hear_of_workers_that_come),
		T(questions_are_answered),
		T(a_heavy_load_test_that_nobody_confirmed_is_refused_here),
		T(the_metrics_page_tells_families_once_each_with_help_and_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
