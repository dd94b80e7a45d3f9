/* job_batch_test.c - lib/job/batch.h, states.h, spec.h: states, stages, tries, trust */
#include "tests/unit/job_batch_fixture.h"

static void states_agree_with_a_plain_array(void **st)
{
	struct gr_rng rng = { SEED };
	struct gr_states s;
	uint32_t n = 10000;
	uint8_t *plain = gr_xalloc(n);

	gr_states_init(&s, n, 3);
	memset(plain, 3, n);
	for (int i = 0; i < 3000; i++) {
		uint32_t first = gr_rng_below(&rng, n), count = 1 + gr_rng_below(&rng, i % 7 ? 3 : n - first), at, from, len;
		uint8_t v = (uint8_t)gr_rng_below(&rng, 8), got;

		if (count > n - first)
			count = n - first;
		gr_states_set_range(&s, first, count, v);
		memset(plain + first, v, count);
		at = gr_rng_below(&rng, n);
		assert_int_equal(gr_states_get(&s, at), plain[at]);
		len = gr_states_run(&s, at, n, 1u << v, &from, &got);
		while (at < n && plain[at] != v)
			at++;
		if (at == n) {
			assert_int_equal(len, 0);
			continue;
		}
		assert_int_equal(from, at);
		while (at < n && plain[at] == v)
			at++;
		assert_int_equal(from + len, at);
	}
	for (int v = 0; v < 8; v++) {
		uint32_t count = 0;

		for (uint32_t i = 0; i < n; i++)
			count += plain[i] == v;
		assert_int_equal(s.count[v], count);
	}
	gr_states_fini(&s);
	free(plain);
}

static void a_million_tasks_take_a_few_kib(void **st)
{
	struct gr_states s;

	gr_states_init(&s, 1000000, GR_B_BLOCKED);
	gr_states_set_range(&s, 0, 1000000, GR_B_READY);
	assert_true(gr_states_bytes(&s) < 4096);
	gr_states_set(&s, 500000, GR_B_RUNNING);
	assert_true(gr_states_bytes(&s) < 8192);
	gr_states_fini(&s);
}

static void stages_wait_for_stages_and_tasks_for_tasks(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"name\":\"a\",\"argv\":[\"x\"],\"array\":{\"range\":[0,2]}},"
				    "{\"name\":\"b\",\"argv\":[\"x\"],\"array\":{\"range\":[0,2]},\"after\":[{\"stage\":\"a\",\"each\":true}]},"
				    "{\"name\":\"c\",\"argv\":[\"x\"],\"after\":[{\"stage\":\"b\"}]}]}");

	assert_int_equal(state(w, 0), GR_B_READY);
	assert_int_equal(state(w, 4), GR_B_BLOCKED);
	assert_int_equal(end(w, 1, begin(w, 1, 7), 7, GR_BC_DONE, 0, 0), GR_BV_DONE);
	assert_int_equal(state(w, 4), GR_B_READY);
	assert_int_equal(state(w, 3), GR_B_BLOCKED);
	assert_int_equal(end(w, 0, begin(w, 0, 7), 7, GR_BC_EXIT, 1, 0), GR_BV_FAILED);
	assert_int_equal(state(w, 3), GR_B_SKIPPED);
	assert_int_equal(state(w, 6), GR_B_SKIPPED);
	assert_int_equal(end(w, 4, begin(w, 4, 7), 7, GR_BC_DONE, 0, 0), GR_BV_DONE);
	gr_bjob_raise(&w->j);
	assert_int_equal(gr_bjob_retry(&w->j, 0, 7), 3);
	assert_int_equal(state(w, 0), GR_B_READY);
	assert_int_equal(state(w, 3), GR_B_BLOCKED);
	assert_int_equal(state(w, 4), GR_B_DONE);
	world_free(w);
}

static void causes_and_exit_codes_decide_about_another_try(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"array\":{\"range\":[0,9]},\"retry\":{\"max\":1,\"on\":[\"exit\",\"lost\"],"
				    "\"exit_codes\":[75],\"backoff_ms\":1000}}]}");

	assert_int_equal(end(w, 0, begin(w, 0, 1), 1, GR_BC_EXIT, 2, 0), GR_BV_FAILED);
	assert_int_equal(end(w, 1, begin(w, 1, 1), 1, GR_BC_EXIT, 75, 0), GR_BV_LATER);
	assert_int_equal(gr_bjob_due_ns(&w->j), 1000 * GR_NS_PER_MS);
	gr_bjob_tick(&w->j, 999 * GR_NS_PER_MS);
	assert_int_equal(state(w, 1), GR_B_BACKOFF);
	gr_bjob_tick(&w->j, 1000 * GR_NS_PER_MS);
	assert_int_equal(state(w, 1), GR_B_READY);
	assert_int_equal(end(w, 1, begin(w, 1, 1), 1, GR_BC_EXIT, 75, 0), GR_BV_FAILED);
	assert_int_equal(end(w, 2, begin(w, 2, 1), 1, GR_BC_OOM, 0, 0), GR_BV_FAILED);
	/* what its worker or we took back is no try */
	for (int i = 0; i < 50; i++)
		assert_int_equal(end(w, 3, begin(w, 3, 1), 1, GR_BC_PREEMPTED, 0, 0), GR_BV_AGAIN);
	assert_int_equal(end(w, 3, begin(w, 3, 1), 1, GR_BC_DONE, 0, 0), GR_BV_DONE);
	world_free(w);
}

static void enough_failures_end_the_job(void **st)
{
	struct world *w = world_new("{\"max_failures\":2,\"stages\":[{\"argv\":[\"x\"],\"array\":{\"range\":[0,99]}}]}");
	uint32_t n2 = begin(w, 2, 1);

	end(w, 0, begin(w, 0, 1), 1, GR_BC_EXIT, 1, 0);
	assert_int_equal(state(w, 50), GR_B_READY);
	end(w, 1, begin(w, 1, 1), 1, GR_BC_EXIT, 1, 0);
	assert_int_equal(state(w, 50), GR_B_CANCELLED);
	assert_int_equal(w->n_stops, 1);
	assert_int_equal(end(w, 2, n2, 1, GR_BC_CANCELLED, 0, 0), GR_BV_CANCELLED);
	assert_true(gr_bjob_is_over(&w->j));
	world_free(w);
}

static void a_result_is_fenced_by_attempt_and_worker(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"]}]}");
	uint32_t first = begin(w, 0, 1), second;

	assert_int_equal(end(w, 0, first, 2, GR_BC_DONE, 0, 0), GR_BV_FENCED);
	assert_int_equal(end(w, 0, first + 1, 1, GR_BC_DONE, 0, 0), GR_BV_FENCED);
	assert_int_equal(end(w, 0, first, 1, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	second = begin(w, 0, 2);
	assert_true(second > first);
	/* the lost one comes back first: its result is the one, the other is stopped and its own comes to nothing */
	assert_int_equal(end(w, 0, first, 1, GR_BC_DONE, 0, 0), GR_BV_DONE);
	assert_int_equal(w->n_stops, 1);
	assert_int_equal(end(w, 0, second, 2, GR_BC_DONE, 0, 0), GR_BV_FENCED);
	assert_int_equal(end(w, 0, first, 1, GR_BC_DONE, 0, 0), GR_BV_FENCED);
	world_free(w);
}

/* A connection that breaks again and again is no worker that is lost again and again. */
static void a_loss_is_no_try_when_the_worker_comes_back_with_it(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"retry\":{\"max\":1}}]}");
	uint32_t a = begin(w, 0, 1);
	struct gr_blive *l;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(end(w, 0, a, 1, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
		assert_true(gr_bjob_adopt(&w->j, 0, a, 1, w, 0, &l));
	}
	for (uint32_t i = 1; i <= GR_BATCH_MAX_LOST; i++) {
		assert_int_equal(end(w, 0, a, i, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
		a = begin(w, 0, i + 1);
	}
	assert_int_equal(end(w, 0, a, GR_BATCH_MAX_LOST + 1, GR_BC_LOST, 0, 0), GR_BV_FAILED);
	world_free(w);
}

/* A worker whose disk fails hands a task back at once, and is free for it again at once. */
static void begun_counts_tasks_of_which_an_attempt_runs(void **st)
{
	struct world *w = world_new("{\"stages\": [{\"argv\": [\"x\"], \"array\": {\"range\": [0, 2]}}, {\"name\": \"second\", \"argv\": [\"y\"], \"quorum\": {\"replicas\": 2}}]}");
	uint32_t a = begin(w, 0, 1), b = begin(w, 1, 1), c = begin(w, 3, 1), d = begin(w, 3, 2), e;
	struct gr_btask *t = gr_bjob_find(&w->j, 0);
	struct gr_blive *l;

	assert_int_equal(w->j.n_begun, 0);
	gr_bjob_started(t, gr_btask_live(t, a));
	gr_bjob_started(t, gr_btask_live(t, a));
	assert_int_equal(w->j.n_begun, 1);
	t = gr_bjob_find(&w->j, 3);
	gr_bjob_started(t, gr_btask_live(t, c));
	gr_bjob_started(t, gr_btask_live(t, d));
	assert_int_equal(w->j.n_begun, 2);
	end(w, 3, c, 1, GR_BC_LOST, 0, 0);                       /* the other copy runs */
	assert_int_equal(w->j.n_begun, 2);
	end(w, 3, d, 2, GR_BC_EXIT, 1, 0);
	assert_int_equal(w->j.n_begun, 1);
	end(w, 0, a, 1, GR_BC_LOST, 0, 0);
	assert_int_equal(w->j.n_begun, 0);
	assert_true(gr_bjob_adopt(&w->j, 0, a, 1, w, 2, &l));     /* it said before that it began */
	assert_int_equal(w->j.n_begun, 1);
	e = begin(w, 2, 2);
	t = gr_bjob_find(&w->j, 2);
	gr_bjob_started(t, gr_btask_live(t, e));
	end(w, 0, a, 1, GR_BC_DONE, 0, 1);
	end(w, 1, b, 1, GR_BC_DONE, 0, 1);
	assert_int_equal(w->j.n_begun, 1);
	end(w, 2, e, 2, GR_BC_DONE, 0, 1);
	assert_int_equal(w->j.n_begun, 0);
	world_free(w);
}

static void a_worker_in_trouble_does_not_use_up_the_tries_in_an_instant(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"retry\":{\"max\":2}}]}");

	assert_int_equal(end(w, 0, begin(w, 0, 1), 1, GR_BC_WORKER, 0, 0), GR_BV_LATER);
	gr_bjob_tick(&w->j, GR_NS_PER_S - 1);
	assert_int_equal(gr_states_get(&w->j.states, 0), GR_B_BACKOFF);
	gr_bjob_tick(&w->j, GR_NS_PER_S);
	assert_int_equal(gr_states_get(&w->j.states, 0), GR_B_READY);
	world_free(w);
}

/* Workers that die, one every few seconds, do not use up what a task may fail by itself; one that kills them all ends. */
static void workers_that_die_cost_a_task_no_try(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"array\":{\"range\":[0,9]},\"retry\":{\"max\":1,\"on\":[\"exit\",\"lost\"],"
				    "\"backoff_ms\":1000}},{\"name\":\"b\",\"argv\":[\"x\"],\"retry\":{\"max\":0,\"on\":[\"lost\"]}},"
				    "{\"name\":\"c\",\"argv\":[\"x\"],\"retry\":{\"max\":30}}]}");

	for (uint32_t i = 0; i < GR_BATCH_MAX_LOST; i++)       /* at once, not after a pause */
		assert_int_equal(end(w, 0, begin(w, 0, i + 1), i + 1, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	assert_int_equal(end(w, 0, begin(w, 0, 1), 1, GR_BC_EXIT, 1, 0), GR_BV_LATER);
	gr_bjob_tick(&w->j, 1000 * GR_NS_PER_MS);
	assert_int_equal(end(w, 0, begin(w, 0, 99), 99, GR_BC_LOST, 0, 0), GR_BV_FAILED);
	assert_int_equal(end(w, 10, begin(w, 10, 1), 1, GR_BC_LOST, 0, 0), GR_BV_FAILED);      /* no second time whatever happens */
	for (uint32_t i = 0; i < 30; i++)
		assert_int_equal(end(w, 11, begin(w, 11, i + 1), i + 1, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	assert_int_equal(end(w, 11, begin(w, 11, 1), 1, GR_BC_LOST, 0, 0), GR_BV_FAILED);
	world_free(w);
}

static void trust_grows_with_valid_results_and_falls_at_once(void **st)
{
	struct gr_trust t;
	uint32_t n = 0;

	gr_trust_init(&t, SEED);
	for (uint32_t i = 0; i < GR_TRUST_MIN; i++) {
		assert_false(gr_trust_ask(&t, 5, 6));
		gr_trust_tell(&t, 5, 6, true);
	}
	for (int i = 0; i < 10000; i++)
		n += gr_trust_ask(&t, 5, 6);
	assert_in_range(n, 8800, 9200);       /* 1 - 1/10 */
	assert_false(gr_trust_lied(&t, 5, 6));
	gr_trust_tell(&t, 5, 6, false);
	assert_false(gr_trust_ask(&t, 5, 6));
	assert_true(gr_trust_lied(&t, 5, 6));
	assert_false(gr_trust_lied(&t, 5, 7));        /* nothing is known of it */
	assert_int_equal(t.n_lied, 1);
	gr_trust_set(&t, 8, 6, 0);
	gr_trust_tell(&t, 5, 6, true);
	assert_false(gr_trust_lied(&t, 5, 6));
	assert_int_equal(t.n_lied, 1);
	gr_trust_fini(&t);
}

/* Random begins, ends, losses, late results, ticks: every task gets one outcome, and counts agree with the states. */
static void whatever_happens_each_task_has_one_outcome(void **st)
{
	for (uint64_t seed = SEED; seed < SEED + 40; seed++) {
		struct world *w = world_new("{\"stages\":[{\"name\":\"a\",\"argv\":[\"x\"],\"array\":{\"range\":[0,39]},\"retry\":{\"max\":2,\"on\":[\"lost\","
					    "\"exit\"],\"backoff_ms\":5}},{\"name\":\"b\",\"argv\":[\"x\"],\"array\":{\"range\":[0,39]},"
					    "\"after\":[{\"stage\":\"a\",\"each\":true}]},{\"name\":\"c\",\"argv\":[\"x\"],\"after\":[{\"stage\":\"b\"}]}]}");
		struct { uint32_t task, number; uint64_t worker; } log[8192];
		struct gr_rng rng = { seed };
		uint32_t n_log = 0, n_outcomes[81] = { 0 }, steps = 0;

		while (!gr_bjob_is_over(&w->j) && steps++ < 100000) {
			uint32_t task = gr_rng_below(&rng, 81), what = gr_rng_below(&rng, 4);

			w->now_ns += GR_NS_PER_MS;
			gr_bjob_tick(&w->j, w->now_ns);
			if (what < 2 && state(w, task) == GR_B_READY && n_log < GR_LEN(log)) {
				log[n_log].task = task;
				log[n_log].worker = 1 + gr_rng_below(&rng, 5);
				log[n_log].number = begin(w, task, log[n_log].worker);
				n_log++;
			} else if (n_log) {
				uint32_t i = gr_rng_below(&rng, n_log), r = gr_rng_below(&rng, 10);
				enum gr_bverdict v = end(w, log[i].task, log[i].number, log[i].worker,
							 r < 6 ? GR_BC_DONE : r < 8 ? GR_BC_LOST : r < 9 ? GR_BC_EXIT : GR_BC_EVICTED, 1, 0);

				n_outcomes[log[i].task] += v == GR_BV_DONE || v == GR_BV_FAILED;
			}
		}
		if (!gr_bjob_is_over(&w->j))
			fail_msg("seed %llu: never over", (unsigned long long)seed);
		for (uint32_t i = 0; i < 81; i++)
			if (n_outcomes[i] != (state(w, i) != GR_B_SKIPPED))
				fail_msg("seed %llu: task %u has %u outcomes and is %s", (unsigned long long)seed, i, n_outcomes[i],
					 gr_bstate_name(state(w, i)));
		for (uint32_t s = 0; s < 3; s++) {
			const struct gr_stage *stage = &w->spec->stages[s];
			uint32_t n_done = 0;

			for (uint32_t i = stage->first; i < stage->first + stage->count; i++) {
				enum gr_bstate is = state(w, i);

				assert_true(is != GR_B_BLOCKED && is != GR_B_READY && is != GR_B_BACKOFF && is != GR_B_RUNNING);
				n_done += is == GR_B_DONE;
			}
			assert_int_equal(w->j.n_stage_done[s], n_done);
		}
		assert_int_equal(w->j.tasks.n, 0);
		world_free(w);
	}
}

static void a_complaint_names_the_place(void **st)
{
	static const struct { const char *spec, *want; } rows[] = {
		{ "{\"stages\":[]}", "stages: at least one" },
		{ "{\"stages\":[{\"argv\":[\"x\"],\"retry\":{\"max\":-1}}]}", "stages[0].retry.max: must be a number" },
		{ "{\"stages\":[{\"argv\":[\"x\"]},{\"name\":\"b\",\"argv\":[\"x\"],\"after\":[{\"stage\":\"c\"}]}]}", "stages[1].after[0].stage: no earlier" },
		{ "{\"stages\":[{\"argv\":[\"x\"],\"outputs\":[{\"path\":\"../x\"}]}]}", "stages[0].outputs[0].path: " },
		{ "{\"stages\":[{\"argv\":[\"x\"],\"retires\":1}]}", "stages[0]: \"retires\" is not known; did you mean \"retry\"?" },
		{ "{\"stagse\":[]}", "\"stagse\" is not known; did you mean \"stages\"?" },
		{ "{\"stages\":[{\"argv\":[\"x\"],\"resources\":{\"mem\":1}}]}", "stages[0].resources: \"mem\" is not known; did you mean \"mem_bytes\"?" },
		{ "{\"stages\":[{\"argv\":[\"x\"],\"resources\":{\"cores\":1}}]}",
		  "stages[0].resources: \"cores\" is not known; there is cpu_mcpu, mem_bytes, " },
		{ "{\"stages\":[{\"argv\":[]}]}", "stages[0]: \"argv\" is wanted" },
		{ "{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"compare\":{}}}]}", "stages[0].quorum.compare: \"argv\" is wanted" },
		{ "{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"compare\":{\"argv\":[\"y\"],\"retries\":101}}}]}",
		  "stages[0].quorum.compare.retries: must be a number 0..100" },
		{ "{\"stages\":[{\"argv\":[\"x\"]},{\"name\":\"b\",\"argv\":[\"x\"],\"quorum\":{\"compare\":{\"argv\":[\"y\"],"
		  "\"inputs\":[{\"path\":\"p\",\"from\":{\"stage\":\"main\"}}]}}}]}", "stages[1].quorum.compare: inputs: those of other" },
		{ "{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"compare\":5}}]}", "stages[0].quorum.compare: must be a list" },
		{ "{\"stages\":[{\"argv\":[\"x\"],\"array\":{\"range\":[1,5,-1]}}]}", "stages[0].array.range: never comes" },
	};

	for (size_t i = 0; i < GR_LEN(rows); i++) {
		json_t *json = json_loads(rows[i].spec, 0, NULL);
		struct gr_err err = { 0 };
		struct gr_spec *s = NULL;

		assert_non_null(json);
		assert_true(gr_spec_parse(json, &s, &err) < 0);
		if (!strstr(err.text, rows[i].want))
			fail_msg("\"%s\" lacks \"%s\"", err.text, rows[i].want);
		json_decref(json);
	}
}

/* An idle task that is stopped every minute has used its numbers of one life after 45 days: it stayed where it was, for ever. */
static void a_task_is_begun_more_often_than_a_life_has_numbers_for(void **state)
{
	struct world *w = world_new("{\"stages\":[{\"name\":\"a\",\"argv\":[\"x\"]}]}");
	uint32_t last = 0, number;

	(void)state;
	for (uint32_t i = 0; i < 3 * GR_BATCH_STRIDE; i++) {
		if (w->j.wants_numbers)
			gr_bjob_more_numbers(&w->j);
		number = begin(w, 0, 7);
		assert_true(number > last);
		assert_true(number < gr_bjob_stored_floor(&w->j) + GR_BATCH_STRIDE);       /* the next life begins above it */
		last = number;
		assert_int_equal(end(w, 0, number, 7, GR_BC_PREEMPTED, 0, 0), GR_BV_AGAIN);
	}
	gr_bjob_raise(&w->j);
	assert_true(begin(w, 0, 7) > last);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_agree_with_a_plain_array),
		cmocka_unit_test(a_million_tasks_take_a_few_kib),
		cmocka_unit_test(stages_wait_for_stages_and_tasks_for_tasks),
		cmocka_unit_test(causes_and_exit_codes_decide_about_another_try),
		cmocka_unit_test(enough_failures_end_the_job),
		cmocka_unit_test(a_result_is_fenced_by_attempt_and_worker),
		cmocka_unit_test(begun_counts_tasks_of_which_an_attempt_runs),
		cmocka_unit_test(a_worker_in_trouble_does_not_use_up_the_tries_in_an_instant),
		cmocka_unit_test(workers_that_die_cost_a_task_no_try),
		cmocka_unit_test(a_loss_is_no_try_when_the_worker_comes_back_with_it),
		cmocka_unit_test(a_task_is_begun_more_often_than_a_life_has_numbers_for),
		cmocka_unit_test(trust_grows_with_valid_results_and_falls_at_once),
		cmocka_unit_test(whatever_happens_each_task_has_one_outcome),
		cmocka_unit_test(a_complaint_names_the_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
