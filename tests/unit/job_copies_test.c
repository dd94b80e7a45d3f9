/* job_copies_test.c - lib/job/quorum.h: copies of a task, those who must agree, and comparators */
#include "tests/unit/job_batch_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
		cmocka_unit_test(a_lost_copy_does_not_make_ready_what_another_copy_runs),
		cmocka_unit_test(a_cancel_ends_what_only_waits_for_another_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
