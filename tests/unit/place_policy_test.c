/* place_policy_test.c - lib/place: tenants, constraints, gangs, preemption, copies, draining, memory, bad input, the log */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/place/place.h"
#include "lib/place/place_check.h"
#include "lib/place/replay.h"

#define ALL_ACTS (1u << GR_PLACE_COPY | 1u << GR_PLACE_RETRACT | 1u << GR_PLACE_PREEMPT | 1u << GR_PLACE_MOVE)

struct world {
	struct gr_place *p;
	uint64_t now;
	uint32_t owner;
	struct gr_place_decision d[GR_PLACE_MAX_GANG];
	struct gr_buf log_bytes;
	struct gr_place_log log;
};

static void keep_log(void *ctx, const void *bytes, size_t n) { gr_buf_add(ctx, bytes, n); }

static uint32_t owner(struct world *w, uint32_t tenant, uint8_t band, bool is_preemptible)
{
	struct gr_place_owner o = { .tag = 1, .tenant = tenant, .weight = 1, .band = band, .is_preemptible = is_preemptible };
	int rc = gr_place_owner_add(w->p, &o);

	assert_true(rc >= 0);
	return (uint32_t)rc;
}

static int set_up(void **state)
{
	struct world *w;
	struct gr_place_config cfg = { .seed = 42, .acts = ALL_ACTS };

	GR_NEW(w);
	w->log = (struct gr_place_log){ keep_log, &w->log_bytes };
	cfg.log = &w->log;
	w->p = gr_place_new(&cfg);
	w->now = GR_NS_PER_S;
	w->owner = owner(w, 0, 4, false);
	*state = w;
	return 0;
}

/* Whatever a test did: its log replays to the same decisions. */
static int tear_down(void **state)
{
	struct world *w = *state;
	struct gr_place_replay r;

	gr_place_free(&w->p);
	assert_int_equal(gr_place_replay((const uint8_t *)w->log_bytes.p, w->log_bytes.n, NULL, NULL, &r), 0);
	assert_true(r.is_same);
	assert_int_equal(r.n_bytes, w->log_bytes.n);
	gr_buf_fini(&w->log_bytes);
	free(w);
	return 0;
}

struct pod { uint64_t tag; uint32_t slots, prefetch, mem, zone; const char *node; uint32_t label; };
static uint32_t up(struct world *w, struct pod pod)
{
	struct gr_place_worker spec = { .tag = pod.tag, .slots = pod.slots, .prefetch = pod.prefetch, .zone = pod.zone,
					.labels = &pod.label, .n_labels = pod.label != 0 };
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "node-%u", (unsigned)pod.tag);
	spec.cap.v[GR_PLACE_CPU_MCPU] = pod.slots * 1000;
	spec.cap.v[GR_PLACE_MEM_MIB] = pod.mem ? pod.mem : 4096;
	spec.node = (uint32_t)gr_place_node(w->p, pod.node ? pod.node : name);
	rc = gr_place_worker_up(w->p, w->now, &spec);
	assert_true(rc >= 0);
	return (uint32_t)rc;
}

static uint32_t class_of(struct world *w, struct gr_place_class c)
{
	int rc;

	if (!c.need.v[GR_PLACE_CPU_MCPU])
		c.need.v[GR_PLACE_CPU_MCPU] = 1000;
	rc = gr_place_class(w->p, &c);
	assert_true(rc >= 0);
	return (uint32_t)rc;
}

static uint32_t plain(struct world *w)
{
	struct gr_place_class c;

	memset(&c, 0, sizeof(c));
	return class_of(w, c);
}

static int64_t put(struct world *w, struct gr_place_task t)
{
	int64_t h;

	if (!t.count)
		t.count = 1;
	h = gr_place_ready(w->p, w->now, &t);
	assert_true(h >= 0);
	return h;
}

static int next(struct world *w)
{
	int n = gr_place_next(w->p, w->now, w->d, GR_PLACE_MAX_GANG);
	char why[200] = "";

	if (!gr_place_check(w->p, why, sizeof(why)))
		fail_msg("%s", why);
	return n;
}

static void end(struct world *w, uint64_t placed, enum gr_place_how how, uint64_t cpu_us)
{
	struct gr_place_ended e = { .how = how, .cpu_us = cpu_us };

	assert_int_equal(gr_place_end(w->p, w->now, placed, &e), 0);
}

/* ---- tenants ---- */

static void tenants_share_by_weight_and_not_by_their_number_of_owners(void **state)
{
	struct world *w = *state;
	int big = gr_place_tenant_add(w->p, &(struct gr_place_tenant){ .weight = 3 });
	uint32_t c = plain(w), mine = 0;

	assert_true(big > 0);
	/* tenant 0 comes with ten owners, the other with one */
	for (int i = 0; i < 10; i++)
		put(w, (struct gr_place_task){ .tag = 1, .owner = owner(w, 0, 4, false), .class = c, .count = 40 });
	put(w, (struct gr_place_task){ .tag = 2, .owner = owner(w, (uint32_t)big, 4, false), .class = c, .count = 40 });
	up(w, (struct pod){ .tag = 1, .slots = 40 });
	assert_int_equal(next(w), 40);
	for (int i = 0; i < 40; i++)
		mine += w->d[i].tag == 2;
	assert_int_equal(mine, 30);
}

static void memory_of_one_owner_does_not_starve_the_cores_of_another(void **state)
{
	struct world *w = *state;
	uint32_t other = (uint32_t)gr_place_tenant_add(w->p, &(struct gr_place_tenant){ .weight = 1 });
	uint32_t hungry = class_of(w, (struct gr_place_class){ .need.v = { 10, 900 } }), lean = class_of(w, (struct gr_place_class){ .need.v = { 1000, 1 } });
	uint32_t of[3] = { 0 };

	up(w, (struct pod){ .tag = 1, .slots = 64, .mem = 4000 });
	put(w, (struct gr_place_task){ .tag = 0, .owner = owner(w, 0, 4, false), .class = hungry, .count = 4 });
	assert_int_equal(next(w), 4);
	put(w, (struct gr_place_task){ .tag = 1, .owner = owner(w, 0, 4, false), .class = lean, .count = 50 });
	put(w, (struct gr_place_task){ .tag = 2, .owner = owner(w, other, 4, false), .class = lean, .count = 50 });
	next(w);
	for (int i = 0; i < 40; i++)
		of[w->d[i].tag]++;
	assert_in_range(of[1], 19, 21);
}

static void a_quota_holds_and_says_so(void **state)
{
	struct world *w = *state;
	struct gr_place_tenant t = { .weight = 1, .quota.v = { 3000 } };
	uint32_t id = (uint32_t)gr_place_tenant_add(w->p, &t);
	int64_t h;

	up(w, (struct pod){ .tag = 1, .slots = 8 });
	h = put(w, (struct gr_place_task){ .tag = 1, .owner = owner(w, id, 4, false), .class = plain(w), .count = 8 });
	assert_int_equal(next(w), 3);
	assert_int_equal(gr_place_pending(w->p, h), GR_PLACE_P_QUOTA);
	end(w, w->d[0].placed, GR_PLACE_DONE, 1000);
	assert_int_equal(next(w), 1);
	assert_int_equal(gr_place_tenant_remove(w->p, id), GR_ESTATE);
}

static void a_paused_owner_keeps_its_queue_and_a_limit_is_kept(void **state)
{
	struct world *w = *state;
	struct gr_place_owner o = { .weight = 1, .band = 4, .max_placed = 2 };
	uint32_t id = (uint32_t)gr_place_owner_add(w->p, &o);
	int64_t h = put(w, (struct gr_place_task){ .tag = 1, .owner = id, .class = plain(w), .count = 5 });

	up(w, (struct pod){ .tag = 1, .slots = 8 });
	assert_int_equal(gr_place_owner_pause(w->p, id, true), 0);
	assert_int_equal(next(w), 0);
	assert_int_equal(gr_place_pending(w->p, h), GR_PLACE_P_PAUSED);
	assert_int_equal(gr_place_owner_pause(w->p, id, false), 0);
	assert_int_equal(next(w), 2);
	assert_int_equal(gr_place_pending(w->p, h), GR_PLACE_P_LIMIT);
	end(w, w->d[1].placed, GR_PLACE_STOPPED, 0);
	assert_int_equal(next(w), 1);
}

/* ---- constraints ---- */

static void labels_are_a_must_and_a_preference(void **state)
{
	struct world *w = *state;
	uint32_t ssd = (uint32_t)gr_place_label(w->p, "disk", "ssd"), hdd = (uint32_t)gr_place_label(w->p, "disk", "hdd");
	struct gr_place_class must, without, prefer;

	memset(&must, 0, sizeof(must));
	must.term[0] = (struct gr_place_term){ .op = GR_PLACE_IN, .n = 1, .label = { ssd } };
	memset(&without, 0, sizeof(without));
	without.term[0] = (struct gr_place_term){ .op = GR_PLACE_ABSENT, .key = (uint32_t)gr_place_label_key(w->p, "disk") };
	memset(&prefer, 0, sizeof(prefer));
	prefer.prefer[0].label = hdd;
	prefer.prefer[0].permille = 500;
	up(w, (struct pod){ .tag = 1, .slots = 4, .label = hdd });
	up(w, (struct pod){ .tag = 2, .slots = 4, .label = ssd });
	up(w, (struct pod){ .tag = 3, .slots = 4 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = class_of(w, must) });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].worker_tag, 2);
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = class_of(w, without) });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].worker_tag, 3);
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = class_of(w, prefer) });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].worker_tag, 1);
}

static void hard_spread_waits_and_is_woken_when_its_place_is_free(void **state)
{
	struct world *w = *state;
	struct gr_place_class c;

	memset(&c, 0, sizeof(c));
	c.spread_by = GR_PLACE_BY_NODE;
	up(w, (struct pod){ .tag = 1, .slots = 4, .node = "a" });
	up(w, (struct pod){ .tag = 2, .slots = 4, .node = "a" });
	up(w, (struct pod){ .tag = 3, .slots = 4, .node = "b" });
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = class_of(w, c), .count = 3 });
	assert_int_equal(next(w), 2);
	assert_true((w->d[0].worker_tag == 3) != (w->d[1].worker_tag == 3));
	end(w, w->d[0].placed, GR_PLACE_DONE, 1000);
	assert_int_equal(next(w), 1);
}

static void named_resources_are_counted(void **state)
{
	struct world *w = *state;
	struct gr_place_worker spec = { .tag = 1, .slots = 8, .cap.v = { 8000, 4096, [GR_PLACE_USER_1] = 2 } };
	struct gr_place_class c;

	memset(&c, 0, sizeof(c));
	c.need.v[GR_PLACE_USER_1] = 1;
	up(w, (struct pod){ .tag = 9, .slots = 8 });
	spec.node = (uint32_t)gr_place_node(w->p, "n");
	assert_true(gr_place_worker_up(w->p, w->now, &spec) >= 0);
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = class_of(w, c), .count = 3 });
	assert_int_equal(next(w), 2);
	assert_int_equal(w->d[0].worker_tag, 1);
}

static void who_needs_time_does_not_start_on_a_worker_that_goes_sooner(void **state)
{
	struct world *w = *state;
	struct gr_place_class c;
	uint32_t a = up(w, (struct pod){ .tag = 1, .slots = 4 });

	memset(&c, 0, sizeof(c));
	c.left_ms = 60000;
	assert_int_equal(gr_place_worker_drain(w->p, w->now, a, false, w->now + 30 * GR_NS_PER_S), 0);
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = class_of(w, c) });
	put(w, (struct gr_place_task){ .tag = 2, .owner = w->owner, .class = plain(w) });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].tag, 2);
	up(w, (struct pod){ .tag = 2, .slots = 4 });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].worker_tag, 2);
}

/* ---- gangs and reservations ---- */

static void a_gang_comes_whole_or_not_at_all(void **state)
{
	struct world *w = *state;
	struct gr_place_class c;
	int64_t h;

	memset(&c, 0, sizeof(c));
	c.spread_by = GR_PLACE_BY_WORKER;
	for (uint64_t i = 1; i <= 3; i++)
		up(w, (struct pod){ .tag = i, .slots = 2 });
	h = put(w, (struct gr_place_task){ .tag = 7, .owner = w->owner, .class = class_of(w, c), .count = 4, .is_gang = true });
	assert_int_equal(next(w), 0);
	assert_int_equal(gr_place_pending(w->p, h), GR_PLACE_P_GANG);
	up(w, (struct pod){ .tag = 4, .slots = 2 });
	assert_int_equal(next(w), 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(w->d[i].gang, 4);
		assert_int_equal(w->d[i].nth, i);
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(w->d[i].worker, w->d[k].worker);
	}
}

/* Small tasks would always take the room: after a while it is kept for the large one, and short ones still go before. */
static void a_large_task_is_not_starved_by_small_ones(void **state)
{
	struct world *w = *state;
	uint32_t small = plain(w), large = class_of(w, (struct gr_place_class){ .need.v = { 4000 } });
	uint64_t running[4];
	bool is_placed = false;

	up(w, (struct pod){ .tag = 1, .slots = 4 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = small, .count = 10000, .work_ms = 1000 });
	assert_int_equal(next(w), 4);
	for (int i = 0; i < 4; i++)
		running[i] = w->d[i].placed;
	put(w, (struct gr_place_task){ .tag = 2, .owner = owner(w, 0, 4, false), .class = large, .work_ms = 1000 });
	for (int step = 0; step < 200 && !is_placed; step++) {
		int n;

		w->now += 250 * GR_NS_PER_MS;
		if (running[step % 4])
			end(w, running[step % 4], GR_PLACE_DONE, 1000000);
		running[step % 4] = 0;
		n = next(w);
		for (int i = 0; i < n; i++) {
			is_placed |= w->d[i].tag == 2;
			if (w->d[i].tag == 1)
				running[step % 4] = w->d[i].placed;
		}
	}
	assert_true(is_placed);
}

/* Room is kept for one owner's queue; another's, of the same class, is in line before it, and is refused. */
static void what_room_is_kept_for_is_not_held_up_by_its_like(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w), other = owner(w, 0, 4, false);
	uint64_t running[4];

	up(w, (struct pod){ .tag = 1, .slots = 4 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = c, .count = 100, .work_ms = 5000 });
	assert_int_equal(next(w), 4);
	for (int i = 0; i < 4; i++)
		running[i] = w->d[i].placed;
	put(w, (struct gr_place_task){ .tag = 2, .owner = other, .class = c, .count = 100, .work_ms = 5000 });
	for (int k = 0; k < 60; k++) {
		w->now += GR_NS_PER_S;
		assert_int_equal(next(w), 0);
	}
	for (int i = 0; i < 4; i++)
		end(w, running[i], GR_PLACE_DONE, 1000000);
	assert_int_not_equal(next(w), 0);
}

/* One that did not come true is let go, and what it kept out is asked for again without anything else happening. */
static void a_reservation_that_lapses_leaves_nobody_waiting(void **state)
{
	struct world *w = *state;
	uint32_t small = plain(w), large = class_of(w, (struct gr_place_class){ .need.v = { 4000 } });

	up(w, (struct pod){ .tag = 1, .slots = 4 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = small, .work_ms = 1000 });
	assert_int_equal(next(w), 1);
	put(w, (struct gr_place_task){ .tag = 2, .owner = owner(w, 0, 4, false), .class = large, .work_ms = 1000 });
	for (int k = 0; k < 3; k++) {             /* until it has waited for long, and the worker is kept for it */
		assert_int_equal(next(w), 0);
		if (k < 2)
			w->now = gr_place_wake_ns(w->p);
	}
	put(w, (struct gr_place_task){ .tag = 3, .owner = w->owner, .class = small, .work_ms = 100000 });
	assert_int_equal(next(w), 0);
	for (int k = 0; k < 10 && !next(w); k++) {
		assert_true(gr_place_wake_ns(w->p) != UINT64_MAX);
		w->now = gr_place_wake_ns(w->p);
	}
	assert_int_equal(w->d[0].tag, 3);
}

/* ---- what is placed already ---- */

static void the_urgent_stops_just_enough_of_what_may_be_stopped(void **state)
{
	struct world *w = *state;
	uint32_t idle = owner(w, 0, 31, true), urgent = owner(w, 0, 0, false), c = plain(w);
	uint64_t tag_stopped;

	up(w, (struct pod){ .tag = 1, .slots = 4 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = idle, .class = c, .count = 4 });
	assert_int_equal(next(w), 4);
	w->now += GR_NS_PER_S;
	put(w, (struct gr_place_task){ .tag = 2, .owner = urgent, .class = c });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].act, GR_PLACE_PREEMPT);
	tag_stopped = w->d[0].tag;
	assert_int_equal(tag_stopped, 1);
	/* not again while the first is on its way out */
	assert_int_equal(next(w), 0);
	end(w, w->d[0].placed, GR_PLACE_STOPPED, 0);
	put(w, (struct gr_place_task){ .tag = 1, .owner = idle, .class = c });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].act, GR_PLACE_RUN);
	assert_int_equal(w->d[0].tag, 2);
	assert_int_equal(next(w), 0);
}

static uint32_t on_label(struct world *w, uint32_t label)
{
	struct gr_place_class c;

	memset(&c, 0, sizeof(c));
	c.term[0] = (struct gr_place_term){ .op = GR_PLACE_IN, .n = 1, .label = { label } };
	return class_of(w, c);
}

static void no_more_is_stopped_than_waits_for_what_it_frees(void **state)
{
	struct world *w = *state;
	uint32_t idle = owner(w, 0, 31, true), urgent = owner(w, 0, 0, false), c = plain(w);
	uint32_t other = on_label(w, (uint32_t)gr_place_label(w->p, "disk", "ssd"));

	for (uint64_t i = 1; i <= 4; i++)
		up(w, (struct pod){ .tag = i, .slots = 1 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = idle, .class = c, .count = 4 });
	assert_int_equal(next(w), 4);
	w->now += GR_NS_PER_S;
	/* ten of the same owner wait for something else */
	put(w, (struct gr_place_task){ .tag = 3, .owner = urgent, .class = other, .count = 10 });
	put(w, (struct gr_place_task){ .tag = 2, .owner = urgent, .class = c });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].act, GR_PLACE_PREEMPT);
}

static void what_was_stopped_for_an_urgent_task_leaves_it_its_tenants_quota(void **state)
{
	struct world *w = *state;
	uint32_t ssd = (uint32_t)gr_place_label(w->p, "disk", "ssd");
	uint32_t tenant = (uint32_t)gr_place_tenant_add(w->p, &(struct gr_place_tenant){ .weight = 1, .quota.v = { 1000 } });
	uint32_t idle = owner(w, 0, 31, true), urgent = owner(w, tenant, 0, false), lesser = owner(w, tenant, 5, false);
	uint64_t victim;

	up(w, (struct pod){ .tag = 1, .slots = 1, .label = ssd });
	put(w, (struct gr_place_task){ .tag = 1, .owner = idle, .class = on_label(w, ssd) });
	assert_int_equal(next(w), 1);
	up(w, (struct pod){ .tag = 2, .slots = 1 });
	w->now += GR_NS_PER_S;
	put(w, (struct gr_place_task){ .tag = 2, .owner = urgent, .class = on_label(w, ssd) });
	put(w, (struct gr_place_task){ .tag = 3, .owner = lesser, .class = plain(w) });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].act, GR_PLACE_PREEMPT);
	victim = w->d[0].placed;
	end(w, victim, GR_PLACE_STOPPED, 0);
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].tag, 2);
	assert_int_equal(w->d[0].worker_tag, 1);
}

static void the_urgent_does_not_wait_behind_the_less_urgent(void **state)
{
	struct world *w = *state;
	uint32_t idle = owner(w, 0, 31, true), urgent = owner(w, 0, 0, false), c = plain(w);

	up(w, (struct pod){ .tag = 1, .slots = 2, .prefetch = 4 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = idle, .class = c, .count = 2 });
	assert_int_equal(next(w), 2);
	w->now += GR_NS_PER_S;
	put(w, (struct gr_place_task){ .tag = 2, .owner = urgent, .class = c });
	assert_int_equal(next(w), 1);             /* it could be sent there, to wait; for a task that may be stopped it does not */
	assert_int_equal(w->d[0].act, GR_PLACE_PREEMPT);
	assert_int_equal(next(w), 0);
	end(w, w->d[0].placed, GR_PLACE_STOPPED, 0);
	put(w, (struct gr_place_task){ .tag = 1, .owner = idle, .class = c });
	assert_true(next(w) >= 1);
	assert_int_equal(w->d[0].act, GR_PLACE_RUN);
	assert_int_equal(w->d[0].tag, 2);
}

static void nothing_of_the_same_band_is_stopped(void **state)
{
	struct world *w = *state;
	uint32_t a = owner(w, 0, 4, true), b = owner(w, 0, 4, true), c = plain(w);

	up(w, (struct pod){ .tag = 1, .slots = 2 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = a, .class = c, .count = 2 });
	assert_int_equal(next(w), 2);
	w->now += 600 * GR_NS_PER_S;
	put(w, (struct gr_place_task){ .tag = 2, .owner = b, .class = c });
	assert_int_equal(next(w), 0);
}

static void what_waits_is_taken_back_when_another_worker_is_idle(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w);

	up(w, (struct pod){ .tag = 1, .slots = 1, .prefetch = 4 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = c, .count = 3, .work_ms = 10000 });
	assert_int_equal(next(w), 3);
	up(w, (struct pod){ .tag = 2, .slots = 1 });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].act, GR_PLACE_RETRACT);
	assert_int_equal(w->d[0].worker_tag, 1);
	/* too late: it stays, and is not asked for again at once */
	assert_int_equal(gr_place_kept(w->p, w->d[0].placed), 0);
	assert_int_equal(next(w), 1);
	end(w, w->d[0].placed, GR_PLACE_STOPPED, 0);
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = c, .work_ms = 10000 });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].act, GR_PLACE_RUN);
	assert_int_equal(w->d[0].worker_tag, 2);
}

static void a_straggler_gets_one_copy_on_another_node(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w);
	uint64_t first;

	for (uint64_t i = 1; i <= 3; i++)
		up(w, (struct pod){ .tag = i, .slots = 8 });
	for (int i = 0; i < 8; i++) {
		put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = c, .family = 5 });
		assert_int_equal(next(w), 1);
		w->now += GR_NS_PER_S;
		end(w, w->d[0].placed, GR_PLACE_DONE, 1000000);
	}
	put(w, (struct gr_place_task){ .tag = 9, .owner = w->owner, .class = c, .family = 5 });
	assert_int_equal(next(w), 1);
	first = w->d[0].worker;
	for (int i = 0; i < 40; i++) {
		w->now += 250 * GR_NS_PER_MS;
		if (next(w))
			break;
	}
	assert_int_equal(w->d[0].act, GR_PLACE_COPY);
	assert_int_equal(w->d[0].tag, 9);
	assert_int_not_equal(w->d[0].worker, first);
	for (int i = 0; i < 100; i++) {
		w->now += GR_NS_PER_S;
		assert_int_equal(next(w), 0);
	}
	end(w, w->d[0].placed, GR_PLACE_DONE, 1000000);
	end(w, w->d[0].other, GR_PLACE_STOPPED, 0);
}

static void a_leaving_worker_keeps_what_ends_in_time_and_gives_back_the_rest(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w), a = up(w, (struct pod){ .tag = 1, .slots = 2, .prefetch = 4 });
	int n, moved = 0, taken = 0;

	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = c, .work_ms = 5000 });
	put(w, (struct gr_place_task){ .tag = 2, .owner = w->owner, .class = c, .work_ms = 100000 });
	assert_int_equal(next(w), 2);
	put(w, (struct gr_place_task){ .tag = 3, .owner = w->owner, .class = c, .work_ms = 5000 });
	assert_int_equal(next(w), 1);
	assert_int_equal(gr_place_worker_drain(w->p, w->now, a, true, w->now + 30 * GR_NS_PER_S), 0);
	n = next(w);
	for (int i = 0; i < n; i++) {
		moved += w->d[i].act == GR_PLACE_MOVE && w->d[i].tag == 2;
		taken += w->d[i].act == GR_PLACE_RETRACT && w->d[i].tag == 3;
	}
	assert_int_equal(n, 2);
	assert_int_equal(moved, 1);
	assert_int_equal(taken, 1);
	assert_int_equal(next(w), 0);
}

static void what_is_over_its_time_is_not_taken_to_end_at_once_on_a_leaving_worker(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w), a = up(w, (struct pod){ .tag = 1, .slots = 2 });

	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = c, .work_ms = 1000 });
	assert_int_equal(next(w), 1);
	w->now += 60 * GR_NS_PER_S;                        /* 59 s more than it was to take */
	assert_int_equal(gr_place_worker_drain(w->p, w->now, a, true, w->now + 300 * GR_NS_PER_S), 0);
	assert_int_equal(next(w), 0);
	assert_int_equal(gr_place_worker_drain(w->p, w->now, a, true, w->now + 30 * GR_NS_PER_S), 0);
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].act, GR_PLACE_MOVE);
}

static void a_cordoned_node_takes_nothing_new(void **state)
{
	struct world *w = *state;
	uint32_t node = (uint32_t)gr_place_node(w->p, "a");

	up(w, (struct pod){ .tag = 1, .slots = 4, .node = "a" });
	assert_int_equal(gr_place_node_set(w->p, node, 0, true), 0);
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = plain(w) });
	assert_int_equal(next(w), 0);
	assert_int_equal(gr_place_node_set(w->p, node, 0, false), 0);
	assert_int_equal(next(w), 1);
}

static void what_runs_already_is_taken_in(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, (struct pod){ .tag = 1, .slots = 2 });
	uint64_t placed;

	assert_int_equal(gr_place_adopt(w->p, w->now, w->owner, plain(w), a, 77, 3, 0, &placed), 0);
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = plain(w), .count = 2 });
	assert_int_equal(next(w), 1);
	end(w, placed, GR_PLACE_DONE, 1000);
	assert_int_equal(next(w), 1);
	assert_int_equal(gr_place_adopt(w->p, w->now, w->owner, plain(w), a + 7, 77, 3, 0, &placed), GR_ENOENT);
}

/* ---- learning ---- */

static void an_oom_kill_asks_for_half_as_much_again(void **state)
{
	struct world *w = *state;
	uint32_t c = class_of(w, (struct gr_place_class){ .need.v = { 1000, 1000 } });

	up(w, (struct pod){ .tag = 1, .slots = 2 });
	assert_int_equal(gr_place_mem_hint(w->p, 5, 1000), 1000);
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = c, .family = 5 });
	assert_int_equal(next(w), 1);
	end(w, w->d[0].placed, GR_PLACE_OOM, 0);
	assert_int_equal(gr_place_mem_hint(w->p, 5, 1000), 1500);
}

static void a_broken_job_takes_no_worker_out_and_a_broken_worker_is_taken_out(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w), bad_job = owner(w, 0, 4, false);
	struct gr_place_stats st;

	for (uint64_t i = 1; i <= 10; i++)
		up(w, (struct pod){ .tag = i, .slots = 1 });
	for (int i = 0; i < 300; i++) {
		put(w, (struct gr_place_task){ .tag = 1, .owner = bad_job, .class = c });
		assert_int_equal(next(w), 1);
		w->now += 10 * GR_NS_PER_MS;
		end(w, w->d[0].placed, GR_PLACE_FAILED, 0);
	}
	gr_place_stats(w->p, w->now, &st);
	assert_int_equal(st.n_quarantined, 0);
	/* the same failures of a job that runs well elsewhere, on one worker */
	for (int i = 0; i < 200 && !st.n_quarantined; i++) {
		put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = c });
		assert_int_equal(next(w), 1);
		w->now += 10 * GR_NS_PER_MS;
		end(w, w->d[0].placed, w->d[0].worker_tag == 4 ? GR_PLACE_FAILED : GR_PLACE_DONE, 1000);
		gr_place_stats(w->p, w->now, &st);
	}
	assert_int_equal(st.n_quarantined, 1);
}

/* ---- misuse ---- */

static void misuse_is_an_error_and_changes_nothing(void **state)
{
	struct world *w = *state;
	uint32_t a = up(w, (struct pod){ .tag = 1, .slots = 2 }), c = plain(w);
	struct gr_place_class bad;
	struct gr_place_task t = { .owner = w->owner, .class = c, .count = 1 };
	struct gr_place_worker wk = { .slots = 1, .node = 9999 };
	struct gr_place_ended e = { .how = GR_PLACE_N_HOWS };
	uint64_t placed;

	memset(&bad, 0, sizeof(bad));
	bad.need.v[GR_PLACE_MEM_MIB] = GR_PLACE_MAX_AMOUNT + 1;
	assert_int_equal(gr_place_class(w->p, &bad), GR_EINVAL);
	memset(&bad, 0, sizeof(bad));
	bad.term[0].op = GR_PLACE_IN;
	assert_int_equal(gr_place_class(w->p, &bad), GR_EINVAL);
	bad.term[0].n = 1;
	bad.term[0].label[0] = 12345;
	assert_int_equal(gr_place_class(w->p, &bad), GR_ENOENT);
	assert_int_equal(gr_place_worker_up(w->p, w->now, &wk), GR_ENOENT);
	wk.slots = 0;
	assert_int_equal(gr_place_worker_up(w->p, w->now, &wk), GR_EINVAL);
	t.class = 4000;
	assert_int_equal(gr_place_ready(w->p, w->now, &t), GR_ENOENT);
	t.class = c;
	t.owner = 77;
	assert_int_equal(gr_place_ready(w->p, w->now, &t), GR_ENOENT);
	t.owner = w->owner;
	t.count = 0;
	assert_int_equal(gr_place_ready(w->p, w->now, &t), GR_EINVAL);
	t.first = UINT32_MAX;
	t.count = 2;
	assert_int_equal(gr_place_ready(w->p, w->now, &t), GR_EINVAL);
	t = (struct gr_place_task){ .owner = w->owner, .class = c, .count = GR_PLACE_MAX_GANG + 1, .is_gang = true };
	assert_int_equal(gr_place_ready(w->p, w->now, &t), GR_EINVAL);
	put(w, (struct gr_place_task){ .owner = w->owner, .class = c });
	assert_int_equal(next(w), 1);
	placed = w->d[0].placed;
	assert_int_equal(gr_place_end(w->p, w->now, placed, &e), GR_EINVAL);
	e.how = GR_PLACE_DONE;
	assert_int_equal(gr_place_end(w->p, w->now - 1, placed, &e), GR_EINVAL);
	assert_int_equal(gr_place_next(w->p, w->now - 1, w->d, 1), GR_EINVAL);
	assert_int_equal(gr_place_worker_down(w->p, w->now - 1, a), GR_EINVAL);
	assert_int_equal(gr_place_worker_drain(w->p, w->now, a, true, w->now - 1), GR_EINVAL);
	end(w, placed, GR_PLACE_DONE, 1000);
	assert_int_equal(gr_place_end(w->p, w->now, placed, &e), GR_ENOENT);
	assert_int_equal(gr_place_kept(w->p, placed), GR_ENOENT);
	assert_int_equal(gr_place_worker_down(w->p, w->now, a), 0);
	assert_int_equal(gr_place_worker_down(w->p, w->now, a), GR_ENOENT);
	assert_int_equal(gr_place_worker_signals(w->p, a, &(struct gr_place_signals){ 0 }), GR_ENOENT);
	assert_int_equal(gr_place_cancel(w->p, -1), GR_ENOENT);
	assert_int_equal(gr_place_tenant_remove(w->p, 0), GR_ENOENT);
	assert_int_equal(next(w), 0);
}

static void a_damaged_log_is_refused_where_it_is_damaged(void **state)
{
	struct world *w = *state;
	struct gr_place_replay r;
	struct gr_buf b = { 0 };

	up(w, (struct pod){ .tag = 1, .slots = 2 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = plain(w), .count = 2 });
	assert_int_equal(next(w), 2);
	gr_place_log_flush(w->p);
	gr_buf_add(&b, w->log_bytes.p, w->log_bytes.n);
	assert_int_equal(gr_place_replay((const uint8_t *)b.p, b.n - 3, NULL, NULL, &r), 0);      /* torn at its end */
	assert_true(r.is_same);
	b.p[0] = 99;
	assert_int_equal(gr_place_replay((const uint8_t *)b.p, b.n, NULL, NULL, &r), GR_EPROTO);
	gr_buf_fini(&b);
}

/* ---- the last tasks of a job ---- */

/* Two machines, each of one slot, the second three times as fast as the first: learned from what they ran. */
static void two_speeds(struct world *w, uint32_t c, uint32_t out[2])
{
	for (uint32_t i = 0; i < 2; i++)
		out[i] = up(w, (struct pod){ .tag = i + 1, .slots = 1 });
	for (int i = 0; i < 60; i++) {
		put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = c, .family = 7, .count = 2 });
		assert_int_equal(next(w), 2);
		w->now += 6 * GR_NS_PER_S;
		for (int k = 0; k < 2; k++)
			end(w, w->d[k].placed, GR_PLACE_DONE, w->d[k].worker_tag == 2 ? 2000000 : 6000000);
	}
}

static uint32_t whole(struct world *w)
{
	int rc = gr_place_owner_add(w->p, &(struct gr_place_owner){ .tag = 9, .weight = 1, .band = 4, .is_whole = true });

	assert_true(rc >= 0);
	return (uint32_t)rc;
}

/* The fast machine has begun 3 s of work; a task of 3 s more is at hand. Return: its handle. */
static int64_t one_left(struct world *w, uint32_t owner, uint32_t c, uint64_t *running)
{
	int64_t h;

	put(w, (struct gr_place_task){ .tag = 20, .owner = owner, .class = c, .work_ms = 3000 });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].worker_tag, 2);
	*running = w->d[0].placed;
	w->now += 1900 * GR_NS_PER_MS;
	h = put(w, (struct gr_place_task){ .tag = 21, .owner = owner, .class = c, .work_ms = 3000 });
	return h;
}

static void the_last_task_waits_for_the_fast_worker_where_it_ends_sooner(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w), worker[2];
	uint64_t running;
	int64_t h;

	two_speeds(w, c, worker);
	h = one_left(w, whole(w), c, &running);
	assert_int_equal(next(w), 0);
	assert_int_equal(gr_place_pending(w->p, h), GR_PLACE_P_FASTER);
	w->now += 200 * GR_NS_PER_MS;
	end(w, running, GR_PLACE_DONE, 2000000);
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].tag, 21);
	assert_int_equal(w->d[0].worker_tag, 2);
}

static void a_short_one_behind_it_takes_the_slow_worker_meanwhile(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w), worker[2], o = whole(w);
	uint64_t running;

	two_speeds(w, c, worker);
	one_left(w, o, c, &running);
	put(w, (struct gr_place_task){ .tag = 22, .owner = o, .class = c, .work_ms = 300 });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].tag, 22);
	assert_int_equal(w->d[0].worker_tag, 1);
}

static void nothing_waits_where_more_may_come(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w), worker[2];
	uint64_t running;

	two_speeds(w, c, worker);
	one_left(w, w->owner, c, &running);
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].worker_tag, 1);
}

static void the_wait_ends_when_the_fast_worker_is_late(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w), worker[2], n_asked = 0;
	uint64_t running, since;

	two_speeds(w, c, worker);
	one_left(w, whole(w), c, &running);
	since = w->now;
	while (!next(w)) {
		uint64_t at = gr_place_wake_ns(w->p);

		assert_true(at > w->now && at != UINT64_MAX);
		w->now = at;
		n_asked++;
		assert_true(w->now < since + 60 * GR_NS_PER_S);
	}
	assert_int_equal(w->d[0].worker_tag, 1);
	assert_in_range(n_asked, 1, 200);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(tenants_share_by_weight_and_not_by_their_number_of_owners),
		T(memory_of_one_owner_does_not_starve_the_cores_of_another),
		T(a_quota_holds_and_says_so),
		T(a_paused_owner_keeps_its_queue_and_a_limit_is_kept),
		T(labels_are_a_must_and_a_preference),
		T(hard_spread_waits_and_is_woken_when_its_place_is_free),
		T(named_resources_are_counted),
		T(who_needs_time_does_not_start_on_a_worker_that_goes_sooner),
		T(a_gang_comes_whole_or_not_at_all),
		T(a_large_task_is_not_starved_by_small_ones),
		T(what_room_is_kept_for_is_not_held_up_by_its_like),
		T(a_reservation_that_lapses_leaves_nobody_waiting),
		T(the_urgent_stops_just_enough_of_what_may_be_stopped),
		T(no_more_is_stopped_than_waits_for_what_it_frees),
		T(what_was_stopped_for_an_urgent_task_leaves_it_its_tenants_quota),
		T(the_urgent_does_not_wait_behind_the_less_urgent),
		T(nothing_of_the_same_band_is_stopped),
		T(what_waits_is_taken_back_when_another_worker_is_idle),
		T(a_straggler_gets_one_copy_on_another_node),
		T(a_leaving_worker_keeps_what_ends_in_time_and_gives_back_the_rest),
		T(what_is_over_its_time_is_not_taken_to_end_at_once_on_a_leaving_worker),
		T(a_cordoned_node_takes_nothing_new),
		T(what_runs_already_is_taken_in),
		T(an_oom_kill_asks_for_half_as_much_again),
		T(a_broken_job_takes_no_worker_out_and_a_broken_worker_is_taken_out),
		T(the_last_task_waits_for_the_fast_worker_where_it_ends_sooner),
		T(a_short_one_behind_it_takes_the_slow_worker_meanwhile),
		T(nothing_waits_where_more_may_come),
		T(the_wait_ends_when_the_fast_worker_is_late),
		T(misuse_is_an_error_and_changes_nothing),
		T(a_damaged_log_is_refused_where_it_is_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
