/* job_batch_test.c - lib/job/batch.h, states.h, quorum.h, spec.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/job/batch.h"

#define SEED 20261125

struct world {
	struct gr_bjob j;
	struct gr_spec *spec;
	struct gr_trust trust;
	uint32_t n_ready[4096], n_stops, n_checks;
	uint64_t now_ns;
};

static void on_ready(void *ctx, uint32_t first, uint32_t count, struct gr_btask *t)
{
	struct world *w = ctx;

	for (uint32_t i = 0; i < count; i++)
		w->n_ready[first + i]++;
}

static void on_run(void *ctx, uint32_t first, uint32_t count)
{
}

static void on_ended(void *ctx, uint32_t first, uint32_t count, enum gr_bstate state)
{
}

static void on_stop(void *ctx, struct gr_btask *t, struct gr_blive *l, enum gr_bcause why)
{
	((struct world *)ctx)->n_stops++;
}

static void on_check(void *ctx, struct gr_btask *t)
{
	((struct world *)ctx)->n_checks++;
}

static const struct gr_bjob_ops ops = { on_ready, on_run, on_ended, on_check, on_stop };

static struct world *world_new(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	struct gr_err err = { 0 };
	struct world *w;

	GR_NEW(w);
	assert_non_null(json);
	if (gr_spec_parse(json, &w->spec, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	gr_trust_init(&w->trust, SEED);
	gr_bjob_init(&w->j, w->spec, &w->trust, &ops, w);
	gr_bjob_open(&w->j);
	return w;
}

static void world_free(struct world *w)
{
	gr_bjob_fini(&w->j);
	gr_trust_fini(&w->trust);
	gr_spec_free(&w->spec);
	free(w);
}

static enum gr_bstate state(const struct world *w, uint32_t task)
{
	return (enum gr_bstate)gr_states_get(&w->j.states, task);
}

static uint32_t begin(struct world *w, uint32_t task, uint64_t worker)
{
	return gr_bjob_begin(&w->j, task, worker, worker, 1, w, 1, w->now_ns)->number;
}

static enum gr_bverdict end(struct world *w, uint32_t task, uint32_t number, uint64_t worker, enum gr_bcause cause, int code, uint8_t digest)
{
	struct gr_bend e = { .cause = cause, .exit_code = code, .digest = { { digest } }, .toolchain = 1 };

	return gr_bjob_end(&w->j, task, number, worker, &e, w->now_ns).verdict;
}

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

static void copies_must_agree_and_a_third_decides(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"replicas\":2}}]}");
	uint32_t a = begin(w, 0, 1), b, c;

	assert_int_equal(w->n_ready[0], 2);
	b = begin(w, 0, 2);
	assert_int_equal(end(w, 0, a, 1, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
	assert_int_equal(end(w, 0, b, 2, GR_BC_DONE, 0, 'y'), GR_BV_WAIT);
	assert_int_equal(w->n_ready[0], 3);
	c = begin(w, 0, 3);
	assert_int_equal(end(w, 0, c, 3, GR_BC_DONE, 0, 'x'), GR_BV_DONE);
	assert_int_equal(gr_trust_valid(&w->trust, 1, 1), 1);
	assert_int_equal(gr_trust_valid(&w->trust, 2, 1), 0);
	assert_int_equal(gr_trust_valid(&w->trust, 3, 1), 1);
	world_free(w);
}

#define FUZZY(replicas) "{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"replicas\":" #replicas ",\"compare\":{\"argv\":[\"cmp\"]}}}]}"

/* The comparison that is wanted goes to @worker. @pair: of which two results. */
static uint32_t begin_check(struct world *w, uint64_t worker, uint32_t pair[2])
{
	struct gr_blive *l = gr_bjob_begin_check(&w->j, 0, worker, worker, w, 1, w->now_ns);

	assert_non_null(l);
	pair[0] = l->of;
	pair[1] = l->against;
	return l->number;
}

static void equal_by_the_comparator_is_equal(void **st)
{
	struct world *w = world_new(FUZZY(2));
	uint32_t a = begin(w, 0, 1), b = begin(w, 0, 2), c, pair[2];

	assert_int_equal(end(w, 0, a, 1, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
	assert_int_equal(w->n_checks, 0);
	assert_int_equal(end(w, 0, b, 2, GR_BC_DONE, 0, 'y'), GR_BV_WAIT);
	assert_int_equal(w->n_checks, 1);
	assert_int_equal(w->n_ready[0], 2);
	c = begin_check(w, 3, pair);
	assert_int_equal(pair[0], b);
	assert_int_equal(pair[1], a);
	assert_int_equal(end(w, 0, c, 3, GR_BC_EQUAL, 0, 0), GR_BV_DONE);
	assert_int_equal(gr_trust_valid(&w->trust, 1, 1), 1);
	assert_int_equal(gr_trust_valid(&w->trust, 2, 1), 1);
	assert_int_equal(gr_trust_valid(&w->trust, 3, 1), 0);
	world_free(w);
}

static void bytes_that_are_equal_need_no_comparison(void **st)
{
	struct world *w = world_new(FUZZY(2));
	uint32_t a = begin(w, 0, 1), b = begin(w, 0, 2);

	assert_int_equal(end(w, 0, a, 1, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
	assert_int_equal(end(w, 0, b, 2, GR_BC_DONE, 0, 'x'), GR_BV_DONE);
	assert_int_equal(w->n_checks, 0);
	world_free(w);
}

/* Of three: x and y are equal, z is neither: it is compared with the first of them alone, and costs its worker the trust. */
static void a_liar_is_compared_with_each_group_once(void **st)
{
	struct world *w = world_new(FUZZY(3));
	uint32_t a = begin(w, 0, 1), z = begin(w, 0, 2), b = begin(w, 0, 3), pair[2];
	struct gr_bend e = { .cause = GR_BC_EQUAL, .toolchain = 1 };
	struct gr_bended v;

	gr_trust_tell(&w->trust, 2, 1, true);
	assert_int_equal(end(w, 0, a, 1, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
	assert_int_equal(end(w, 0, z, 2, GR_BC_DONE, 0, 'z'), GR_BV_WAIT);
	assert_int_equal(end(w, 0, begin_check(w, 4, pair), 4, GR_BC_DIFFERENT, 0, 0), GR_BV_WAIT);
	assert_int_equal(w->n_checks, 1);
	assert_int_equal(end(w, 0, b, 3, GR_BC_DONE, 0, 'y'), GR_BV_WAIT);
	assert_int_equal(w->n_checks, 2);
	v = gr_bjob_end(&w->j, 0, begin_check(w, 4, pair), 4, &e, 0);
	assert_int_equal(pair[0], b);
	assert_int_equal(pair[1], a);
	assert_int_equal(v.verdict, GR_BV_DONE);
	assert_int_equal(v.canonical, a);
	assert_int_equal(gr_trust_valid(&w->trust, 1, 1), 1);
	assert_int_equal(gr_trust_valid(&w->trust, 2, 1), 0);
	assert_int_equal(gr_trust_valid(&w->trust, 3, 1), 1);
	world_free(w);
}

/* Each is like its neighbours: 1 ~ 2 ~ 3, and 1 is not like 3. Who is a group is said by its first. */
static void what_is_like_a_neighbour_alone_is_no_kin(void **st)
{
	struct gr_qresult r[3] = { { { { 'a' } }, 0, 0 }, { { { 'b' } }, 0, 0 }, { { { 'c' } }, 0, 0 } };
	struct gr_qview v;

	assert_int_equal(gr_quorum_check(r, 3, 2, false, &v), GR_QUORUM_SHORT);
	assert_int_equal(gr_quorum_check(r, 3, 3, true, &v), GR_QUORUM_COMPARE);
	assert_int_equal(v.of, 1);
	assert_int_equal(v.against, 0);
	r[1].same = r[0].same = 1 << 0 | 1 << 1;
	assert_int_equal(gr_quorum_check(r, 3, 3, true, &v), GR_QUORUM_COMPARE);
	assert_int_equal(v.of, 2);
	assert_int_equal(v.against, 0);
	r[2].same = 1 << 1;                   /* which nobody asked for */
	r[2].differs = 1 << 0;
	assert_int_equal(gr_quorum_check(r, 3, 3, true, &v), GR_QUORUM_MET);
	assert_int_equal(v.canonical, 0);
	assert_int_equal(v.kin[1], 0);
	assert_int_equal(v.kin[2], 2);
	assert_int_equal(gr_quorum_check(r, 3, 4, true, &v), GR_QUORUM_SHORT);
}

static void a_comparator_that_fails_is_tried_again_and_then_the_task_fails(void **st)
{
	struct world *w = world_new(FUZZY(2));
	uint32_t a = begin(w, 0, 1), b = begin(w, 0, 2), pair[2];

	end(w, 0, a, 1, GR_BC_DONE, 0, 'x');
	end(w, 0, b, 2, GR_BC_DONE, 0, 'y');
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(end(w, 0, begin_check(w, 3, pair), 3, i ? GR_BC_COMPARE : GR_BC_TIMEOUT, 2, 0), GR_BV_LATER);
		assert_int_equal(w->n_checks, 1 + i);
		gr_bjob_tick(&w->j, w->now_ns += GR_NS_PER_S - 1);
		assert_int_equal(w->n_checks, 1 + i);
		gr_bjob_tick(&w->j, ++w->now_ns);
		assert_int_equal(w->n_checks, 2 + i);
		/* losing the worker, or making room for others, is not its fault */
		assert_int_equal(end(w, 0, begin_check(w, 3, pair), 3, i ? GR_BC_LOST : GR_BC_EVICTED, 0, 0), GR_BV_AGAIN);
		w->n_checks--;
	}
	assert_int_equal(end(w, 0, begin_check(w, 3, pair), 3, GR_BC_COMPARE, 2, 0), GR_BV_FAILED);
	assert_int_equal(state(w, 0), GR_B_FAILED);
	world_free(w);
}

/* Its worker was gone, another compares, and the first comes back with a verdict: it counts, once. */
static void a_verdict_is_fenced_like_a_result(void **st)
{
	struct world *w = world_new(FUZZY(3));
	uint32_t a = begin(w, 0, 1), b = begin(w, 0, 2), pair[2], first, second;

	begin(w, 0, 3);
	end(w, 0, a, 1, GR_BC_DONE, 0, 'x');
	end(w, 0, b, 2, GR_BC_DONE, 0, 'y');
	first = begin_check(w, 4, pair);
	assert_int_equal(end(w, 0, first, 4, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	second = begin_check(w, 5, pair);
	assert_int_equal(end(w, 0, first, 5, GR_BC_EQUAL, 0, 0), GR_BV_FENCED);
	assert_int_equal(end(w, 0, first, 4, GR_BC_EQUAL, 0, 0), GR_BV_WAIT);
	assert_int_equal(w->n_stops, 1);
	assert_int_equal(end(w, 0, second, 5, GR_BC_SUPERFLUOUS, 0, 0), GR_BV_AGAIN);
	assert_int_equal(end(w, 0, first, 4, GR_BC_EQUAL, 0, 0), GR_BV_FENCED);
	assert_int_equal(w->n_checks, 2);
	world_free(w);
}

static void a_cancel_ends_a_comparison(void **st)
{
	struct world *w = world_new(FUZZY(2));
	uint32_t a = begin(w, 0, 1), b = begin(w, 0, 2), c, pair[2];

	end(w, 0, a, 1, GR_BC_DONE, 0, 'x');
	end(w, 0, b, 2, GR_BC_DONE, 0, 'y');
	c = begin_check(w, 3, pair);
	gr_bjob_cancel(&w->j, GR_BC_CANCELLED);
	assert_int_equal(w->n_stops, 1);
	assert_int_equal(end(w, 0, c, 3, GR_BC_CANCELLED, 0, 0), GR_BV_CANCELLED);
	world_free(w);
	/* and one that only waits for a place */
	w = world_new(FUZZY(2));
	a = begin(w, 0, 1);
	b = begin(w, 0, 2);
	end(w, 0, a, 1, GR_BC_DONE, 0, 'x');
	end(w, 0, b, 2, GR_BC_DONE, 0, 'y');
	gr_bjob_cancel(&w->j, GR_BC_CANCELLED);
	assert_int_equal(state(w, 0), GR_B_CANCELLED);
	world_free(w);
}

/* What the store knows is not done again: results, verdicts, a comparison that may still run. */
static void copies_and_verdicts_outlive_a_restart(void **st)
{
	json_t *json;
	struct gr_digest x = { { 'x' } }, y = { { 'y' } }, z = { { 'z' } };
	struct world *w;
	struct gr_blive *l;
	uint32_t pair[2];

	GR_NEW(w);
	gr_trust_init(&w->trust, SEED);
	json = json_loads(FUZZY(3), 0, NULL);
	assert_true(gr_spec_parse(json, &w->spec, NULL) >= 0);
	json_decref(json);
	gr_bjob_init(&w->j, w->spec, &w->trust, &ops, w);
	gr_bjob_restore_result(&w->j, 0, 1, 1, 1, &x);
	gr_bjob_restore_result(&w->j, 0, 2, 2, 2, &y);
	gr_bjob_restore_result(&w->j, 0, 3, 3, 3, &z);
	gr_bjob_restore_verdict(&w->j, 0, 2, 1, GR_BC_DIFFERENT, false);
	l = gr_bjob_restore_live(&w->j, 0, 5, 4, 4, GR_NS_PER_S);
	l->of = 3;
	l->against = 1;
	w->j.floor = GR_BATCH_STRIDE;
	gr_bjob_open(&w->j);
	assert_int_equal(w->n_ready[0] + w->n_checks, 0);
	assert_true(gr_bjob_adopt(&w->j, 0, 5, 4, w, 0, &l));
	assert_int_equal(end(w, 0, 5, 4, GR_BC_DIFFERENT, 0, 0), GR_BV_WAIT);
	assert_int_equal(w->n_checks, 1);
	assert_int_equal(end(w, 0, begin_check(w, 4, pair), 4, GR_BC_EQUAL, 0, 0), GR_BV_DONE);
	assert_int_equal(pair[0], 3);
	assert_int_equal(pair[1], 2);
	assert_int_equal(w->n_ready[0], 0);
	world_free(w);
}

/* A job of one task that waits to be taken up: results and attempts are restored before gr_bjob_open. */
static struct world *world_of_before(const char *text)
{
	struct world *w = world_new(text);

	gr_bjob_fini(&w->j);
	memset(w->n_ready, 0, sizeof(w->n_ready));
	gr_bjob_init(&w->j, w->spec, &w->trust, &ops, w);
	return w;
}

static struct gr_digest digest(uint8_t b) { return (struct gr_digest){ { b } }; }

/* After a restart, a copy whose worker is awaited was held there and is told of: what is compared then runs, and is stopped with its job. */
static void what_is_compared_runs_whatever_its_task_waited_for(void **st)
{
	for (uint32_t is_ready = 0; is_ready < 2; is_ready++) {
		struct world *w = world_of_before(FUZZY(2));
		uint32_t pair[2], c;
		struct gr_digest x = digest('x');

		if (!is_ready)
			gr_bjob_restore_result(&w->j, 0, 1, 1, 1, &x);
		else
			assert_non_null(gr_bjob_restore_live(&w->j, 0, 1, 1, 1, GR_NS_PER_S));
		assert_non_null(gr_bjob_restore_live(&w->j, 0, 2, 2, 2, GR_NS_PER_S));
		w->j.floor = GR_BATCH_STRIDE;
		gr_bjob_open(&w->j);
		if (is_ready) {               /* nobody came in time: it waits for a place */
			gr_bjob_tick(&w->j, GR_NS_PER_S);
			assert_int_equal(state(w, 0), GR_B_READY);
			assert_int_equal(end(w, 0, 1, 1, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
		}
		assert_int_equal(end(w, 0, 2, 2, GR_BC_DONE, 0, 'y'), GR_BV_WAIT);
		assert_int_equal(w->n_checks, 1);
		c = begin_check(w, 3, pair);
		assert_int_equal(state(w, 0), GR_B_RUNNING);
		gr_bjob_cancel(&w->j, GR_BC_CANCELLED);
		assert_int_equal(w->n_stops, 1);
		assert_int_equal(end(w, 0, c, 3, GR_BC_CANCELLED, 0, 0), GR_BV_CANCELLED);
		world_free(w);
	}
}

/* The same where the verdict of another comparison is what comes late. */
static void what_is_compared_next_runs_whatever_its_task_waited_for(void **st)
{
	struct world *w = world_of_before(FUZZY(3));
	struct gr_digest x = digest('x'), y = digest('y'), z = digest('z');
	struct gr_blive *l;
	uint32_t pair[2];

	gr_bjob_restore_result(&w->j, 0, 1, 1, 1, &x);
	gr_bjob_restore_result(&w->j, 0, 2, 2, 2, &y);
	gr_bjob_restore_result(&w->j, 0, 3, 3, 3, &z);
	l = gr_bjob_restore_live(&w->j, 0, 4, 4, 4, GR_NS_PER_S);
	l->of = 2;
	l->against = 1;
	w->j.floor = GR_BATCH_STRIDE;
	gr_bjob_open(&w->j);
	assert_int_equal(end(w, 0, 4, 4, GR_BC_DIFFERENT, 1, 0), GR_BV_WAIT);
	begin_check(w, 4, pair);
	assert_int_equal(state(w, 0), GR_B_RUNNING);
	gr_bjob_cancel(&w->j, GR_BC_CANCELLED);
	assert_int_equal(w->n_stops, 1);
	world_free(w);
}

/* A copy was lost with its connection, another was begun on that node, and then the first is told of: one result of them counts. */
static void a_node_has_one_say(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"replicas\":2}}]}");
	struct gr_bend e = { .cause = GR_BC_DONE, .digest = { { 'x' } }, .toolchain = 1 };
	uint32_t a = begin(w, 0, 1), b = begin(w, 0, 2), a2;
	struct gr_blive *l;
	struct gr_bended v;

	assert_int_equal(end(w, 0, a, 1, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	assert_false(gr_btask_is_at(gr_bjob_find(&w->j, 0), 1));
	a2 = begin(w, 0, 1);
	assert_true(gr_btask_is_at(gr_bjob_find(&w->j, 0), 1));
	assert_false(gr_bjob_adopt(&w->j, 0, a, 1, w, 0, &l));
	assert_int_equal(end(w, 0, a, 1, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
	assert_int_equal(w->n_stops, 1);
	v = gr_bjob_end(&w->j, 0, a2, 1, &e, 0);
	assert_int_equal(v.verdict, GR_BV_AGAIN);
	assert_int_equal(v.cause, GR_BC_SUPERFLUOUS);
	assert_int_equal(gr_bjob_find(&w->j, 0)->n_results, 1);
	assert_int_equal(end(w, 0, b, 2, GR_BC_DONE, 0, 'x'), GR_BV_DONE);
	world_free(w);
}

/* Its worker was away and is back with the comparison: it is not done again, and coming back is no loss. */
static void a_comparison_that_comes_back_is_not_done_twice(void **st)
{
	struct world *w = world_new(FUZZY(3));
	uint32_t a = begin(w, 0, 1), b = begin(w, 0, 2), pair[2], first, second;
	struct gr_blive *l;

	begin(w, 0, 3);
	end(w, 0, a, 1, GR_BC_DONE, 0, 'x');
	end(w, 0, b, 2, GR_BC_DONE, 0, 'y');
	first = begin_check(w, 4, pair);
	for (uint32_t i = 0; i < 2 * GR_BATCH_MAX_LOST; i++) {
		assert_int_equal(end(w, 0, first, 4, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
		assert_true(gr_bjob_adopt(&w->j, 0, first, 4, w, 0, &l));
		assert_null(gr_bjob_begin_check(&w->j, 0, 5, 5, w, 1, w->now_ns));
	}
	assert_int_equal(end(w, 0, first, 4, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	second = begin_check(w, 5, pair);
	assert_int_equal(end(w, 0, second, 5, GR_BC_EQUAL, 0, 0), GR_BV_WAIT);
	assert_false(gr_bjob_adopt(&w->j, 0, first, 4, w, 0, &l));     /* there is a verdict */
	world_free(w);
}

/* The same for a copy: what was to take its place, and has none yet, is not wanted any more. */
static void a_copy_that_comes_back_has_no_other_in_its_place(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"replicas\":2}}]}");
	uint32_t a = begin(w, 0, 1);
	struct gr_blive *l;

	begin(w, 0, 2);
	assert_int_equal(end(w, 0, a, 1, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	assert_int_equal(gr_bjob_find(&w->j, 0)->n_queued, 1);
	assert_true(gr_bjob_adopt(&w->j, 0, a, 1, w, 0, &l));
	assert_int_equal(gr_bjob_find(&w->j, 0)->n_queued, 0);
	world_free(w);
}

#define ALIKE "{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"replicas\":2,\"same\":\"cpu\"}}]}"

static uint32_t begin_alike(struct world *w, uint64_t worker, uint32_t same)
{
	struct gr_btask *t = gr_bjob_record(&w->j, 0);

	if (!t->same)
		t->same = same;
	return begin(w, 0, worker);
}

/* Their only copy was lost with the last worker of its kind: the next waited for such a worker for ever. */
static void copies_of_which_nothing_is_left_go_to_another_kind_of_worker(void **st)
{
	static const enum gr_bcause causes[] = { GR_BC_LOST, GR_BC_UNSENT, GR_BC_EVICTED, GR_BC_EXIT };

	for (size_t i = 0; i < GR_LEN(causes); i++) {
		struct world *w = world_new(ALIKE);
		uint32_t a = begin_alike(w, 1, 7);
		const struct gr_btask *t = gr_bjob_find(&w->j, 0);

		w->spec->stages[0].retry_max = 1;
		assert_int_equal(gr_btask_live(t, a)->same, 7);
		w->spec->stages[0].retry_on |= GR_RETRY_EXIT;
		end(w, 0, a, 1, causes[i], 1, 0);
		assert_int_equal(t->same, 0);
		a = begin_alike(w, 2, 8);
		assert_int_equal(end(w, 0, a, 2, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
		assert_int_equal(end(w, 0, begin_alike(w, 3, 9), 3, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
		assert_int_equal(t->same, 8);             /* a result is there */
		world_free(w);
	}
}

/* It was lost, and others were begun on workers of another kind: what it says could not be compared with what they say. */
static void a_lost_copy_of_another_kind_of_worker_is_not_taken(void **st)
{
	struct world *w = world_new(ALIKE);
	uint32_t a = begin_alike(w, 1, 7), b;
	struct gr_blive *l;

	assert_int_equal(end(w, 0, a, 1, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	assert_true(gr_bjob_adopt(&w->j, 0, a, 1, w, 0, &l));
	assert_int_equal(gr_bjob_find(&w->j, 0)->same, 7);
	assert_int_equal(end(w, 0, a, 1, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	b = begin_alike(w, 2, 8);
	assert_false(gr_bjob_adopt(&w->j, 0, a, 1, w, 0, &l));
	assert_int_equal(end(w, 0, a, 1, GR_BC_DONE, 0, 'x'), GR_BV_FENCED);
	assert_int_equal(gr_bjob_find(&w->j, 0)->n_results, 0);
	assert_int_equal(end(w, 0, b, 2, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	assert_int_equal(end(w, 0, a, 1, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);     /* now it says what they share again */
	assert_int_equal(gr_bjob_find(&w->j, 0)->same, 7);
	assert_false(gr_bjob_adopt(&w->j, 0, b, 2, w, 0, &l));
	assert_int_equal(end(w, 0, begin_alike(w, 3, 9), 3, GR_BC_DONE, 0, 'x'), GR_BV_DONE);
	world_free(w);
}

/* A task that failed by its comparator is retried, and then the coordinator restarts: what counted then does not count now. */
static void comparisons_that_failed_before_a_retry_do_not_count(void **st)
{
	for (uint32_t is_forgotten = 0; is_forgotten < 2; is_forgotten++) {
		struct world *w = world_of_before(FUZZY(2));
		struct gr_digest x = digest('x'), y = digest('y');
		uint32_t pair[2];

		for (uint32_t i = 0; i < 4; i++) {
			gr_bjob_record(&w->j, 0);
			gr_bjob_restore_verdict(&w->j, 0, 2, 1, GR_BC_COMPARE, !is_forgotten);
		}
		gr_bjob_restore_result(&w->j, 0, 11, 1, 1, &x);
		gr_bjob_restore_result(&w->j, 0, 12, 2, 2, &y);
		w->j.floor = GR_BATCH_STRIDE;
		gr_bjob_open(&w->j);
		assert_int_equal(end(w, 0, begin_check(w, 3, pair), 3, GR_BC_COMPARE, 2, 0), is_forgotten ? GR_BV_LATER : GR_BV_FAILED);
		world_free(w);
	}
}

/* Two results differ, and a third copy runs already, in the place of one that came back: when it comes to nothing another is wanted. */
static void a_copy_that_was_to_decide_and_is_lost_has_another_in_its_place(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"replicas\":2}}]}");
	uint32_t a = begin(w, 0, 1), b = begin(w, 0, 2), c;

	assert_int_equal(end(w, 0, a, 1, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	c = begin(w, 0, 3);
	assert_int_equal(end(w, 0, a, 1, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
	assert_int_equal(end(w, 0, b, 2, GR_BC_DONE, 0, 'y'), GR_BV_WAIT);
	assert_int_equal(gr_bjob_find(&w->j, 0)->n_queued, 0);
	assert_int_equal(end(w, 0, c, 3, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	assert_int_equal(gr_bjob_find(&w->j, 0)->n_queued, 1);
	assert_int_equal(end(w, 0, begin(w, 0, 4), 4, GR_BC_DONE, 0, 'y'), GR_BV_DONE);
	world_free(w);
}

static void as_many_results_as_there_may_be_that_all_differ_are_a_cause(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"replicas\":2}}]}");
	struct gr_bended v = { .verdict = GR_BV_WAIT };

	for (uint8_t i = 1; i <= GR_SPEC_MAX_REPLICAS; i++) {
		struct gr_bend e = { .cause = GR_BC_DONE, .digest = { { i } }, .toolchain = 1 };

		assert_int_equal(v.verdict, GR_BV_WAIT);
		v = gr_bjob_end(&w->j, 0, begin(w, 0, i), i, &e, 0);
	}
	assert_int_equal(v.verdict, GR_BV_FAILED);
	assert_int_equal(v.cause, GR_BC_DISAGREED);
	world_free(w);
}

/* After a restart workers have a time to come back; when the last of them has, nobody is waited for. */
static void the_pause_for_lost_copies_is_over_when_all_are_back(void **st)
{
	struct world *w = world_of_before(FUZZY(3));
	struct gr_digest x = digest('x'), y = digest('y');
	struct gr_blive *l;

	gr_bjob_restore_result(&w->j, 0, 1, 1, 1, &x);
	gr_bjob_restore_result(&w->j, 0, 2, 2, 2, &y);
	assert_non_null(gr_bjob_restore_live(&w->j, 0, 3, 3, 3, GR_NS_PER_S));
	l = gr_bjob_restore_live(&w->j, 0, 4, 4, 4, GR_NS_PER_S);
	l->of = 2;
	l->against = 1;
	w->j.floor = GR_BATCH_STRIDE;
	gr_bjob_open(&w->j);
	assert_true(gr_bjob_adopt(&w->j, 0, 3, 3, w, 0, &l));
	assert_int_equal(gr_bjob_due_ns(&w->j), GR_NS_PER_S);
	assert_int_equal(w->n_checks, 0);     /* its comparison may come back still */
	assert_true(gr_bjob_adopt(&w->j, 0, 4, 4, w, 0, &l));
	assert_int_equal(gr_bjob_due_ns(&w->j), UINT64_MAX);
	assert_int_equal(w->n_checks + w->n_ready[0], 0);
	assert_int_equal(end(w, 0, 4, 4, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	assert_int_equal(w->n_checks, 1);
	world_free(w);
}

static void a_comparison_that_cannot_be_sent_now_is_put_off(void **st)
{
	struct world *w = world_new(FUZZY(2));
	uint32_t a = begin(w, 0, 1), b = begin(w, 0, 2), pair[2];

	end(w, 0, a, 1, GR_BC_DONE, 0, 'x');
	end(w, 0, b, 2, GR_BC_DONE, 0, 'y');
	gr_bjob_hold_check(&w->j, 0, GR_NS_PER_S);
	assert_null(gr_bjob_begin_check(&w->j, 0, 3, 3, w, 1, 0));
	gr_bjob_tick(&w->j, GR_NS_PER_S - 1);
	assert_int_equal(w->n_checks, 1);
	gr_bjob_tick(&w->j, GR_NS_PER_S);
	assert_int_equal(w->n_checks, 2);
	assert_int_equal(end(w, 0, begin_check(w, 3, pair), 3, GR_BC_EQUAL, 0, 0), GR_BV_DONE);
	world_free(w);
}

/* The same pause that a task without copies has; a comparison has no part in it. */
static void a_worker_in_trouble_does_not_use_up_the_tries_of_copies_either(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"replicas\":2},\"retry\":{\"max\":2}}]}");
	uint32_t a = begin(w, 0, 1), b = begin(w, 0, 2);

	assert_int_equal(w->n_ready[0], 2);
	assert_int_equal(end(w, 0, a, 1, GR_BC_WORKER, 0, 0), GR_BV_LATER);
	assert_int_equal(end(w, 0, b, 2, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
	gr_bjob_tick(&w->j, GR_NS_PER_S - 1);
	assert_int_equal(w->n_ready[0], 2);
	gr_bjob_tick(&w->j, GR_NS_PER_S);
	assert_int_equal(w->n_ready[0], 3);
	assert_int_equal(end(w, 0, begin(w, 0, 3), 3, GR_BC_DONE, 0, 'x'), GR_BV_DONE);
	world_free(w);
}

/* After a restart: how many copies it was to have is not known any more, and one of two goes. */
static void a_lost_copy_does_not_make_ready_what_another_copy_runs(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"quorum\":{\"replicas\":2}}]}");
	struct gr_blive *l;

	assert_non_null(gr_bjob_restore_live(&w->j, 0, 1, 1, 1, w->now_ns + GR_NS_PER_S));
	assert_non_null(gr_bjob_restore_live(&w->j, 0, 2, 2, 2, w->now_ns + GR_NS_PER_S));
	assert_true(gr_bjob_adopt(&w->j, 0, 1, 1, w, 0, &l));
	assert_true(gr_bjob_adopt(&w->j, 0, 2, 2, w, 0, &l));
	assert_int_equal(end(w, 0, 1, 1, GR_BC_LOST, 0, 0), GR_BV_AGAIN);
	assert_int_equal(gr_states_get(&w->j.states, 0), GR_B_RUNNING);
	assert_int_equal(gr_btask_n_live(gr_bjob_find(&w->j, 0)), 1);
	assert_int_equal(gr_bjob_find(&w->j, 0)->n_queued, 1);
	world_free(w);
}

static void a_cancel_ends_what_only_waits_for_another_copy(void **st)
{
	struct world *w = world_new("{\"stages\":[{\"argv\":[\"x\"],\"array\":{\"range\":[0,1]},\"quorum\":{\"replicas\":2}}]}");
	uint32_t a = begin(w, 0, 1), b = begin(w, 1, 1), c = begin(w, 1, 2);

	assert_int_equal(end(w, 0, a, 1, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
	assert_int_equal(gr_bjob_find(&w->j, 0)->n_queued, 1);
	gr_bjob_cancel(&w->j, GR_BC_CANCELLED);
	assert_int_equal(gr_states_get(&w->j.states, 0), GR_B_CANCELLED);
	/* copies that differ are not sent out once more */
	assert_int_equal(end(w, 1, b, 1, GR_BC_DONE, 0, 'x'), GR_BV_WAIT);
	assert_int_equal(end(w, 1, c, 2, GR_BC_DONE, 0, 'y'), GR_BV_CANCELLED);
	assert_true(gr_bjob_is_over(&w->j));
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
		cmocka_unit_test(a_lost_copy_does_not_make_ready_what_another_copy_runs),
		cmocka_unit_test(a_cancel_ends_what_only_waits_for_another_copy),
		cmocka_unit_test(a_loss_is_no_try_when_the_worker_comes_back_with_it),
		cmocka_unit_test(copies_must_agree_and_a_third_decides),
		cmocka_unit_test(equal_by_the_comparator_is_equal),
		cmocka_unit_test(bytes_that_are_equal_need_no_comparison),
		cmocka_unit_test(a_liar_is_compared_with_each_group_once),
		cmocka_unit_test(what_is_like_a_neighbour_alone_is_no_kin),
		cmocka_unit_test(a_comparator_that_fails_is_tried_again_and_then_the_task_fails),
		cmocka_unit_test(a_verdict_is_fenced_like_a_result),
		cmocka_unit_test(a_cancel_ends_a_comparison),
		cmocka_unit_test(copies_and_verdicts_outlive_a_restart),
		cmocka_unit_test(what_is_compared_runs_whatever_its_task_waited_for),
		cmocka_unit_test(what_is_compared_next_runs_whatever_its_task_waited_for),
		cmocka_unit_test(a_node_has_one_say),
		cmocka_unit_test(a_comparison_that_comes_back_is_not_done_twice),
		cmocka_unit_test(a_copy_that_comes_back_has_no_other_in_its_place),
		cmocka_unit_test(copies_of_which_nothing_is_left_go_to_another_kind_of_worker),
		cmocka_unit_test(a_lost_copy_of_another_kind_of_worker_is_not_taken),
		cmocka_unit_test(comparisons_that_failed_before_a_retry_do_not_count),
		cmocka_unit_test(a_copy_that_was_to_decide_and_is_lost_has_another_in_its_place),
		cmocka_unit_test(as_many_results_as_there_may_be_that_all_differ_are_a_cause),
		cmocka_unit_test(the_pause_for_lost_copies_is_over_when_all_are_back),
		cmocka_unit_test(a_comparison_that_cannot_be_sent_now_is_put_off),
		cmocka_unit_test(a_worker_in_trouble_does_not_use_up_the_tries_of_copies_either),
		cmocka_unit_test(a_task_is_begun_more_often_than_a_life_has_numbers_for),
		cmocka_unit_test(trust_grows_with_valid_results_and_falls_at_once),
		cmocka_unit_test(whatever_happens_each_task_has_one_outcome),
		cmocka_unit_test(a_complaint_names_the_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
