/* place_test.c - lib/place: what runs next, and where */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/place/place.h"
#include "lib/place/place_check.h"

struct world {
	struct gr_place *p;
	uint64_t now;
	uint32_t owner;
	struct gr_place_decision d[256];
};

static int set_up(void **state)
{
	struct gr_place_config cfg = { .seed = 42 };
	struct gr_place_owner o = { .tag = 1, .weight = 1 };
	struct world *w;

	GR_NEW(w);
	w->p = gr_place_new(&cfg);
	w->now = GR_NS_PER_S;
	w->owner = (uint32_t)gr_place_owner_add(w->p, &o);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	gr_place_free(&w->p);
	free(w);
	return 0;
}

static struct gr_digest digest(uint8_t b)
{
	struct gr_digest d;

	memset(d.b, b, sizeof(d.b));
	return d;
}

static uint32_t env(struct world *w, uint8_t b)
{
	struct gr_digest d = digest(b);
	int rc = gr_place_env(w->p, &d);

	assert_true(rc > 0);
	return (uint32_t)rc;
}

/* A worker on a node of its own unless named. */
static uint32_t up(struct world *w, uint64_t tag, uint32_t slots, uint32_t prefetch, uint8_t toolchain, const char *node)
{
	char name[32];
	uint32_t e = toolchain ? env(w, toolchain) : 0;
	struct gr_place_worker spec = { .tag = tag, .slots = slots, .prefetch = prefetch, .envs = &e, .n_envs = toolchain != 0 };
	int rc;

	snprintf(name, sizeof(name), "node-%u", (unsigned)tag);
	spec.cap.v[GR_PLACE_CPU_MCPU] = slots * 1000;
	spec.cap.v[GR_PLACE_MEM_MIB] = 4096;
	spec.node = (uint32_t)gr_place_node(w->p, node ? node : name);
	rc = gr_place_worker_up(w->p, w->now, &spec);
	assert_true(rc >= 0);
	return (uint32_t)rc;
}

static uint32_t class(struct world *w, uint8_t toolchain, uint32_t mem_mib)
{
	struct gr_place_class c = { .need.v = { [GR_PLACE_CPU_MCPU] = 1000, [GR_PLACE_MEM_MIB] = mem_mib } };
	int rc;

	c.env = toolchain ? env(w, toolchain) : 0;
	rc = gr_place_class(w->p, &c);
	assert_true(rc >= 0);
	return (uint32_t)rc;
}

static int64_t ready(struct world *w, uint64_t tag, uint32_t cls, uint32_t work_ms)
{
	struct gr_place_task t = { .tag = tag, .owner = w->owner, .class = cls, .count = 1, .work_ms = work_ms };

	return gr_place_ready(w->p, w->now, &t);
}

static void put(struct world *w, const struct gr_place_task *t)
{
	assert_true(gr_place_ready(w->p, w->now, t) >= 0);
}

static void end(struct world *w, uint64_t placed, enum gr_place_how how, uint64_t cpu_us)
{
	struct gr_place_ended e = { .how = how, .cpu_us = cpu_us };

	assert_int_equal(gr_place_end(w->p, w->now, placed, &e), 0);
}

static int next(struct world *w, uint32_t max)
{
	int n = gr_place_next(w->p, w->now, w->d, max);
	char why[200] = "";

	if (!gr_place_check(w->p, why, sizeof(why)))
		fail_msg("%s", why);
	return n;
}

static void places_what_is_ready_on_who_is_there(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, 100, 1, 0, 0, NULL);

	ready(w, 7, class(w, 0, 0), 0);
	assert_int_equal(next(w, 10), 1);
	assert_int_equal(w->d[0].act, GR_PLACE_RUN);
	assert_int_equal(w->d[0].tag, 7);
	assert_int_equal(w->d[0].worker, a);
	assert_int_equal(w->d[0].worker_tag, 100);
	assert_true(w->d[0].finish_us > 0);
	end(w, w->d[0].placed, GR_PLACE_DONE, 1000);
}

static void a_toolchain_is_a_must(void **state)
{
	struct world *w = *state;

	up(w, 1, 4, 0, 1, NULL);
	up(w, 2, 4, 0, 2, NULL);
	for (int i = 0; i < 3; i++)
		ready(w, (uint64_t)i, class(w, 2, 0), 0);
	assert_int_equal(next(w, 10), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(w->d[i].worker_tag, 2);
}

static void a_worker_is_given_its_slots_and_prefetch_and_no_more(void **state)
{
	struct world *w = *state;
	struct gr_place_stats st;
	uint32_t c;

	up(w, 1, 2, 3, 0, NULL);
	c = class(w, 0, 0);
	for (int i = 0; i < 20; i++)
		ready(w, (uint64_t)i, c, 0);
	/* three may wait there, and before round trips are known two do */
	assert_int_equal(next(w, 100), 4);
	gr_place_stats(w->p, w->now, &st);
	assert_int_equal(st.n_placed, 4);
	assert_int_equal(st.n_running, 2);
	assert_int_equal(next(w, 100), 0);
	end(w, w->d[0].placed, GR_PLACE_DONE, 1000);
	assert_int_equal(next(w, 100), 1);
}

static void memory_is_hard(void **state)
{
	struct world *w = *state;
	uint32_t c;

	up(w, 1, 8, 0, 0, NULL);
	c = class(w, 0, 1500);
	for (int i = 0; i < 4; i++)
		ready(w, (uint64_t)i, c, 0);
	assert_int_equal(next(w, 100), 2);
	assert_int_equal(gr_place_feasible(w->p, c, NULL, 0, 100), 1);
	assert_int_equal(gr_place_feasible(w->p, class(w, 0, 5000), NULL, 0, 100), 0);
}

static void a_full_worker_could_run_more_until_it_goes(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, 1, 1, 0, 0, NULL), b = up(w, 2, 1, 0, 0, NULL), c = class(w, 0, 0);

	ready(w, 1, c, 0);
	ready(w, 2, c, 0);
	assert_int_equal(next(w, 100), 2);
	for (uint32_t enough = 1; enough < 4; enough++)
		assert_int_equal(gr_place_feasible(w->p, c, NULL, 0, enough), enough < 2 ? 1 : 2);
	assert_int_equal(gr_place_feasible(w->p, c, &a, 1, 1), 1);
	assert_int_equal(gr_place_worker_drain(w->p, w->now, b, true, 0), 0);
	assert_int_equal(gr_place_feasible(w->p, c, &a, 1, 1), 0);
	assert_int_equal(gr_place_feasible(w->p, c, NULL, 0, 1), 1);
	assert_int_equal(gr_place_worker_down(w->p, w->now, a), 0);
	assert_int_equal(gr_place_feasible(w->p, c, NULL, 0, 1), 0);
}

static void the_longest_expected_goes_first_then_the_oldest(void **state)
{
	struct world *w = *state;
	uint32_t c = class(w, 0, 0);
	static const uint64_t want[] = { 3, 5, 2, 1, 4 };

	ready(w, 1, c, 10);
	ready(w, 2, c, 100);
	ready(w, 3, c, 5000);
	ready(w, 4, c, 10);
	ready(w, 5, c, 5000);
	up(w, 1, 8, 0, 0, NULL);
	assert_int_equal(next(w, 10), 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(w->d[i].tag, want[i]);
}

static void a_range_is_one_record_and_many_decisions(void **state)
{
	struct world *w = *state;
	struct gr_place_task t = { .tag = 9, .owner = w->owner, .class = class(w, 0, 0), .count = 100 };
	struct gr_place_stats st;
	int64_t h;

	up(w, 1, 30, 0, 0, NULL);
	h = gr_place_ready(w->p, w->now, &t);
	assert_true(h >= 0);
	assert_int_equal(next(w, 256), 30);
	for (uint32_t i = 0; i < 30; i++) {
		assert_int_equal(w->d[i].tag, 9);
		assert_int_equal(w->d[i].nth, i);
	}
	gr_place_stats(w->p, w->now, &st);
	assert_int_equal(st.n_queued, 70);
	assert_int_equal(gr_place_cancel(w->p, h), 70);
	assert_int_equal(gr_place_cancel(w->p, h), GR_ENOENT);
	gr_place_stats(w->p, w->now, &st);
	assert_int_equal(st.n_queued, 0);
}

static void an_idle_worker_is_better_than_a_queue(void **state)
{
	struct world *w = *state;
	uint32_t c = class(w, 0, 0), on[3] = { 0 };

	up(w, 1, 2, 8, 0, NULL);
	up(w, 2, 2, 8, 0, NULL);
	for (int i = 0; i < 4; i++)
		ready(w, (uint64_t)i, c, 100);
	assert_int_equal(next(w, 10), 4);
	for (int i = 0; i < 4; i++)
		on[w->d[i].worker_tag]++;
	assert_int_equal(on[1], 2);
	assert_int_equal(on[2], 2);
}

static void workers_of_one_node_share_its_cores(void **state)
{
	struct world *w = *state;
	struct gr_place_worker spec = { .slots = 4, .node_cpu_mcpu = 4000 };
	uint32_t c = class(w, 0, 0), on[4] = { 0 };

	/* two pods of 4 slots on a node of 4 cores, and one with a node of its own */
	spec.cap.v[GR_PLACE_CPU_MCPU] = 4000;
	spec.cap.v[GR_PLACE_MEM_MIB] = 4096;
	spec.node = (uint32_t)gr_place_node(w->p, "shared");
	spec.tag = 1;
	assert_true(gr_place_worker_up(w->p, w->now, &spec) >= 0);
	spec.tag = 2;
	assert_true(gr_place_worker_up(w->p, w->now, &spec) >= 0);
	spec.node = (uint32_t)gr_place_node(w->p, "own");
	spec.tag = 3;
	assert_true(gr_place_worker_up(w->p, w->now, &spec) >= 0);
	for (int i = 0; i < 8; i++)
		ready(w, (uint64_t)i, c, 1000);
	assert_int_equal(next(w, 10), 8);
	for (int i = 0; i < 8; i++)
		on[w->d[i].worker_tag]++;
	assert_int_equal(on[3], 4);
	assert_int_equal(on[1] + on[2], 4);
}

static void a_faster_worker_is_learned_and_preferred(void **state)
{
	struct world *w = *state;
	uint32_t c = class(w, 0, 0), fast = up(w, 1, 1, 0, 0, NULL), slow = up(w, 2, 1, 0, 0, NULL);
	struct gr_place_worker_info fi, si;

	for (int i = 0; i < 200; i++) {
		struct gr_place_task t = { .tag = (uint64_t)i, .owner = w->owner, .class = c, .count = 1, .family = 77 };

		put(w, &t);
		put(w, &t);
		assert_int_equal(next(w, 2), 2);
		for (int k = 0; k < 2; k++)
			end(w, w->d[k].placed, GR_PLACE_DONE, w->d[k].worker_tag == 1 ? 100000 : 300000);
	}
	gr_place_worker_info(w->p, fast, &fi);
	gr_place_worker_info(w->p, slow, &si);
	assert_true(fi.speed_permille > si.speed_permille * 2);
	ready(w, 1, c, 1000);
	assert_int_equal(next(w, 1), 1);
	assert_int_equal(w->d[0].worker_tag, 1);
}

static void a_worker_that_has_the_files_is_preferred(void **state)
{
	struct world *w = *state;
	struct gr_place_task t = { .tag = 1, .owner = w->owner, .class = class(w, 0, 0), .count = 1, .work_ms = 10,
				   .input_bytes = 40 << 20 };
	uint64_t first;

	up(w, 1, 4, 0, 0, NULL);
	up(w, 2, 4, 0, 0, NULL);
	gr_place_owner_bytes(w->p, w->owner, 40 << 20);
	put(w, &t);
	assert_int_equal(next(w, 1), 1);
	first = w->d[0].worker_tag;
	for (int i = 0; i < 3; i++) {
		put(w, &t);
		assert_int_equal(next(w, 1), 1);
		assert_int_equal(w->d[0].worker_tag, first);
	}
}

/* The one that holds the files is slow by now; the link to the other is quick: it is asked too. */
static void files_are_fetched_where_the_link_is_quick(void **state)
{
	struct world *w = *state;
	struct gr_place_task t = { .tag = 1, .owner = w->owner, .class = class(w, 0, 0), .count = 1, .work_ms = 1000,
				   .input_bytes = 400 << 20 };
	struct gr_place_worker spec = { .slots = 4, .cap.v = { [GR_PLACE_CPU_MCPU] = 4000, [GR_PLACE_MEM_MIB] = 4096 } };

	gr_place_owner_bytes(w->p, w->owner, 400 << 20);
	for (uint32_t zone = 0; zone < 2; zone++) {
		spec.tag = spec.zone = zone;
		spec.node_cpu_mcpu = zone ? 8000 : 2000;
		spec.node = (uint32_t)gr_place_node(w->p, zone ? "quick" : "full");
		assert_true(gr_place_worker_up(w->p, w->now, &spec) >= 0);
		for (int i = 0; !zone && i < 2; i++) {
			put(w, &t);
			assert_int_equal(next(w, 1), 1);
		}
	}
	assert_int_equal(gr_place_zone_bandwidth(w->p, 1, 100000), 0);
	put(w, &t);
	assert_int_equal(next(w, 1), 1);
	assert_int_equal(w->d[0].worker_tag, 1);
}

static void owners_share_by_weight(void **state)
{
	struct world *w = *state;
	struct gr_place_owner heavy = { .tag = 2, .weight = 3 };
	struct gr_place_task t = { .class = class(w, 0, 0), .count = 1 };
	uint32_t other = (uint32_t)gr_place_owner_add(w->p, &heavy), n = 0;

	up(w, 1, 40, 0, 0, NULL);
	for (int i = 0; i < 100; i++) {
		t.owner = w->owner;
		t.tag = 1;
		put(w, &t);
		t.owner = other;
		t.tag = 2;
		put(w, &t);
	}
	assert_int_equal(next(w, 100), 40);
	for (int i = 0; i < 40; i++)
		n += w->d[i].tag == 2;
	assert_in_range(n, 29, 31);
}

static void priority_bands_are_strict(void **state)
{
	struct world *w = *state;
	struct gr_place_owner late = { .tag = 2, .weight = 1000, .band = 1 };
	struct gr_place_task t = { .class = class(w, 0, 0), .count = 1 };
	uint32_t other = (uint32_t)gr_place_owner_add(w->p, &late);

	for (int i = 0; i < 3; i++) {
		t.owner = other;
		t.tag = 2;
		put(w, &t);
		t.owner = w->owner;
		t.tag = 1;
		put(w, &t);
	}
	up(w, 1, 4, 0, 0, NULL);
	assert_int_equal(next(w, 10), 4);
	for (int i = 0; i < 3; i++)
		assert_int_equal(w->d[i].tag, 1);
	assert_int_equal(w->d[3].tag, 2);
}

static void what_fits_nowhere_holds_up_nobody(void **state)
{
	struct world *w = *state;

	up(w, 1, 4, 0, 0, NULL);
	ready(w, 1, class(w, 0, 9000), 100000);
	ready(w, 2, class(w, 0, 0), 10);
	assert_int_equal(next(w, 10), 1);
	assert_int_equal(w->d[0].tag, 2);
}

/* It was told to wait for room. */
static void what_every_node_is_excluded_for_waits_for_another(void **state)
{
	struct world *w = *state;
	uint32_t c = class(w, 0, 0);
	struct gr_place_task t = { .tag = 1, .owner = w->owner, .class = c, .count = 1, .n_exclude_node = 1 };
	int64_t q;

	up(w, 1, 4, 0, 0, NULL);
	t.exclude_node[0] = (uint32_t)gr_place_node(w->p, "node-1");
	q = gr_place_ready(w->p, w->now, &t);
	assert_int_equal(next(w, 10), 0);
	assert_int_equal(gr_place_pending(w->p, q), GR_PLACE_P_NOWHERE);
	up(w, 2, 1, 0, 0, NULL);
	assert_int_not_equal(gr_place_pending(w->p, q), GR_PLACE_P_NOWHERE);
	assert_int_equal(next(w, 10), 1);
}

static void an_excluded_worker_is_not_asked_and_its_like_goes_past(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, 1, 4, 0, 0, NULL), c = class(w, 0, 0);
	struct gr_place_task t = { .tag = 1, .owner = w->owner, .class = c, .count = 1, .exclude = { a }, .n_exclude = 1 };

	assert_int_equal(gr_place_feasible(w->p, c, t.exclude, 1, 100), 0);
	put(w, &t);
	ready(w, 2, c, 0);
	assert_int_equal(next(w, 10), 1);
	assert_int_equal(w->d[0].tag, 2);
	up(w, 2, 4, 0, 0, NULL);
	assert_int_equal(next(w, 10), 1);
	assert_int_equal(w->d[0].worker_tag, 2);
}

static void a_worker_that_returns_is_not_taken_for_the_excluded_one(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, 1, 1, 0, 0, NULL), b;
	struct gr_place_task t = { .tag = 1, .owner = w->owner, .class = class(w, 0, 0), .count = 1, .exclude = { a }, .n_exclude = 1 };

	put(w, &t);
	gr_place_worker_down(w->p, w->now, a);
	b = up(w, 2, 1, 0, 0, NULL);
	assert_int_not_equal(a, b);
	assert_int_equal(next(w, 10), 1);
	assert_int_equal(w->d[0].worker, b);
}

static void a_draining_worker_gets_nothing_new(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, 1, 4, 0, 0, NULL), c = class(w, 0, 0);

	ready(w, 1, c, 0);
	assert_int_equal(next(w, 1), 1);
	gr_place_worker_drain(w->p, w->now, a, true, 0);
	ready(w, 2, c, 0);
	assert_int_equal(next(w, 1), 0);
	end(w, w->d[0].placed, GR_PLACE_DONE, 100);
	assert_int_equal(next(w, 1), 0);
	assert_int_equal(gr_place_feasible(w->p, c, NULL, 0, 100), 0);
	gr_place_worker_drain(w->p, w->now, a, false, 0);
	assert_int_equal(next(w, 1), 1);
}

static void a_worker_that_fails_fast_is_quarantined_and_probed(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, 1, 1, 0, 0, NULL), c = class(w, 0, 0);
	struct gr_place_worker_info info;

	for (int i = 0; i < 3; i++) {
		ready(w, (uint64_t)i, c, 0);
		assert_int_equal(next(w, 1), 1);
		w->now += GR_NS_PER_MS;
		end(w, w->d[0].placed, GR_PLACE_FAILED, 0);
	}
	gr_place_worker_info(w->p, a, &info);
	assert_true(info.quarantined_until_ns > w->now);
	assert_int_equal(gr_place_feasible(w->p, c, NULL, 0, 1), 0);
	ready(w, 9, c, 0);
	assert_int_equal(next(w, 1), 0);
	while (w->now < info.quarantined_until_ns) {
		w->now = gr_place_wake_ns(w->p);
		assert_true(w->now <= info.quarantined_until_ns);
		if (w->now < info.quarantined_until_ns)
			assert_int_equal(next(w, 1), 0);
	}
	assert_int_equal(next(w, 1), 1);
	/* the probe fails as well: back at once, for longer */
	end(w, w->d[0].placed, GR_PLACE_FAILED, 0);
	gr_place_worker_info(w->p, a, &info);
	assert_true(info.quarantined_until_ns - w->now > 50 * GR_NS_PER_S);
}

static void a_paused_worker_comes_back_in_time(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, 1, 1, 0, 0, NULL);

	gr_place_worker_pause(w->p, w->now, a, w->now + 5);
	ready(w, 1, class(w, 0, 0), 0);
	assert_int_equal(next(w, 1), 0);
	assert_int_equal(gr_place_wake_ns(w->p), w->now + 5);
	w->now += 5;
	assert_int_equal(next(w, 1), 1);
	assert_int_equal(gr_place_wake_ns(w->p), UINT64_MAX);
}

/* A class that waited for room when the last of it was withdrawn: its place in the table is another's later. */
static void a_class_that_was_parked_leaves_nothing_behind(void **state)
{
	struct world *w = *state;
	uint64_t runs;
	uint32_t parked;
	int64_t waits;

	up(w, 1, 1, 0, 0, NULL);
	ready(w, 1, class(w, 0, 0), 0);
	assert_int_equal(next(w, 1), 1);
	runs = w->d[0].placed;
	parked = class(w, 0, 1);
	waits = ready(w, 2, parked, 0);
	assert_int_equal(next(w, 1), 0);
	assert_int_equal(gr_place_cancel(w->p, waits), 1);
	for (uint32_t i = 2; i < GR_PLACE_MAX_CLASSES; i++)
		class(w, 0, 4096 + i);
	assert_int_equal(class(w, 0, 2), parked);
	ready(w, 3, parked, 0);
	assert_int_equal(next(w, 1), 0);
	end(w, runs, GR_PLACE_DONE, 1000);
	assert_int_equal(next(w, 1), 1);
	assert_int_equal(w->d[0].tag, 3);
}

static void what_was_on_a_lost_worker_ends_with_it(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, 1, 4, 0, 0, NULL), c = class(w, 0, 0);
	struct gr_place_stats st;

	for (int i = 0; i < 4; i++)
		ready(w, (uint64_t)i, c, 0);
	assert_int_equal(next(w, 10), 4);
	gr_place_worker_down(w->p, w->now, a);
	gr_place_stats(w->p, w->now, &st);
	assert_int_equal(st.n_placed, 0);
	assert_int_equal(st.n_running, 0);
	assert_int_equal(st.n_workers, 0);
	assert_int_equal(st.slots, 0);
}

static void more_slots_are_used_at_once(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, 1, 1, 0, 0, NULL), c = class(w, 0, 0);
	struct gr_place_signals s = { .slots = 3 };

	for (int i = 0; i < 5; i++)
		ready(w, (uint64_t)i, c, 0);
	assert_int_equal(next(w, 10), 1);
	gr_place_worker_signals(w->p, a, &s);
	assert_int_equal(next(w, 10), 2);
}

static void explain_gives_numbers_for_every_worker(void **state)
{
	struct world *w = *state;
	struct gr_place_why y[8];
	uint32_t d, c = class(w, 1, 100);
	struct gr_place_task t = { .owner = w->owner, .class = c, .count = 1, .work_ms = 100 };

	up(w, 1, 1, 0, 2, NULL);                   /* another toolchain */
	d = up(w, 2, 1, 0, 1, NULL);
	gr_place_worker_drain(w->p, w->now, d, true, 0);
	up(w, 3, 1, 0, 1, NULL);
	ready(w, 1, c, 0);
	assert_int_equal(next(w, 1), 1);           /* fills worker 3 */
	up(w, 4, 1, 0, 1, NULL);
	assert_int_equal(gr_place_explain(w->p, w->now, &t, y, 8), 4);
	assert_int_equal(y[0].verdict, GR_PLACE_V_NO_ENV);
	assert_int_equal(y[1].verdict, GR_PLACE_V_DRAINING);
	assert_int_equal(y[2].verdict, GR_PLACE_V_NO_CREDIT);
	assert_int_equal(y[2].asked, 1);
	assert_int_equal(y[2].free, 1);
	assert_true(y[2].wait_us > 0);
	assert_int_equal(y[3].verdict, GR_PLACE_V_FITS);
	assert_int_equal(y[3].run_us, 100000);
	assert_int_equal(y[3].score_us, y[3].wait_us + y[3].fetch_us + y[3].run_us);
	assert_string_equal(gr_place_verdict_name(y[0].verdict), "no_env");
}

static void an_owner_that_left_is_forgotten_when_its_last_task_ends(void **state)
{
	struct world *w = *state;
	struct gr_place_owner o = { .tag = 5, .weight = 1 };
	uint32_t id = (uint32_t)gr_place_owner_add(w->p, &o);
	struct gr_place_task t = { .tag = 1, .owner = id, .class = class(w, 0, 0), .count = 1 };

	up(w, 1, 1, 0, 0, NULL);
	put(w, &t);
	assert_int_equal(next(w, 1), 1);
	gr_place_owner_remove(w->p, id);
	assert_int_not_equal(gr_place_owner_add(w->p, &o), id);
	end(w, w->d[0].placed, GR_PLACE_DONE, 1);
	/* its place is used again, its id is not */
	assert_int_not_equal(gr_place_owner_add(w->p, &o), id);
	assert_int_equal(gr_place_owner_bytes(w->p, id, 1), GR_ENOENT);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(places_what_is_ready_on_who_is_there),
		T(a_toolchain_is_a_must),
		T(a_worker_is_given_its_slots_and_prefetch_and_no_more),
		T(memory_is_hard),
		T(a_full_worker_could_run_more_until_it_goes),
		T(the_longest_expected_goes_first_then_the_oldest),
		T(a_range_is_one_record_and_many_decisions),
		T(an_idle_worker_is_better_than_a_queue),
		T(workers_of_one_node_share_its_cores),
		T(a_faster_worker_is_learned_and_preferred),
		T(a_worker_that_has_the_files_is_preferred),
		T(files_are_fetched_where_the_link_is_quick),
		T(owners_share_by_weight),
		T(priority_bands_are_strict),
		T(what_fits_nowhere_holds_up_nobody),
		T(what_every_node_is_excluded_for_waits_for_another),
		T(an_excluded_worker_is_not_asked_and_its_like_goes_past),
		T(a_worker_that_returns_is_not_taken_for_the_excluded_one),
		T(a_draining_worker_gets_nothing_new),
		T(a_worker_that_fails_fast_is_quarantined_and_probed),
		T(a_paused_worker_comes_back_in_time),
		T(a_class_that_was_parked_leaves_nothing_behind),
		T(what_was_on_a_lost_worker_ends_with_it),
		T(more_slots_are_used_at_once),
		T(explain_gives_numbers_for_every_worker),
		T(an_owner_that_left_is_forgotten_when_its_last_task_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
