/* place_wait_test.c - lib/place: who waits, is stopped or moved for whom: gangs, reservations, preemption, copies, leaving workers, a job's last tasks */
#include "tests/unit/place_fixture.h"

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

/* What fills the workers has more of its own kind waiting, which found no room: the urgent asks for the same, and may stop somebody. */
static void the_urgent_is_not_held_up_by_those_of_its_class_who_wait(void **state)
{
	struct world *w = *state;
	uint32_t idle = owner(w, 0, 31, true), urgent = owner(w, 0, 0, false), c = plain(w);

	up(w, (struct pod){ .tag = 1, .slots = 4 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = idle, .class = c, .count = 100 });
	assert_int_equal(next(w), 4);
	w->now += GR_NS_PER_S;
	assert_int_equal(next(w), 0);
	assert_int_equal(gr_place_owner_pause(w->p, urgent, true), 0);
	put(w, (struct gr_place_task){ .tag = 2, .owner = urgent, .class = c });
	assert_int_equal(next(w), 0);
	assert_int_equal(gr_place_owner_pause(w->p, urgent, false), 0);
	for (int k = 0; k < 2; k++) {             /* one that goes on, and one that comes */
		if (k)
			put(w, (struct gr_place_task){ .tag = 2, .owner = urgent, .class = c });
		assert_int_equal(next(w), 1);
		assert_int_equal(w->d[0].act, GR_PLACE_PREEMPT);
		end(w, w->d[0].placed, GR_PLACE_STOPPED, 0);
		assert_int_equal(next(w), 1);
		assert_int_equal(w->d[0].act, GR_PLACE_RUN);
		assert_int_equal(w->d[0].tag, 2);
		assert_int_equal(next(w), 0);
	}
}

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

/* One worker more, all of its slots taken by what may be stopped. */
static void full_of_idle_work(struct world *w, uint64_t tag, uint32_t n, const char *node)
{
	up(w, (struct pod){ .tag = tag, .slots = n, .node = node });
	put(w, (struct gr_place_task){ .tag = 1, .owner = owner(w, 0, 31, true), .class = plain(w), .count = n });
	assert_int_equal(next(w), n);
}

static uint32_t n_stopped(struct world *w)
{
	uint32_t n = (uint32_t)next(w), sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += w->d[i].act == GR_PLACE_PREEMPT;
	return sum;
}

static void no_more_is_stopped_than_the_tenants_quota_allows(void **state)
{
	struct world *w = *state;
	uint32_t tenant = (uint32_t)gr_place_tenant_add(w->p, &(struct gr_place_tenant){ .weight = 1, .quota.v = { 2000 } });

	for (uint64_t i = 1; i <= 4; i++)
		full_of_idle_work(w, i, 1, NULL);
	w->now += GR_NS_PER_S;
	put(w, (struct gr_place_task){ .tag = 2, .owner = owner(w, tenant, 0, false), .class = class_of(w, (struct gr_place_class){ .need.v = { 1000, 16 } }),
				       .count = 5 });
	assert_int_equal(n_stopped(w), 2);
	assert_int_equal(next(w), 0);
}

/* Four of six slots are one node's: room is made for as many of a job as may be on a node, not for more. */
static void no_more_is_stopped_than_the_spread_allows(void **state)
{
	struct world *w = *state;
	struct gr_place_class c = { .need.v = { 1000, 16 }, .spread_by = GR_PLACE_BY_NODE, .spread_max = 1 };

	full_of_idle_work(w, 1, 2, "a");
	full_of_idle_work(w, 2, 2, "a");
	full_of_idle_work(w, 3, 2, "b");
	w->now += GR_NS_PER_S;
	put(w, (struct gr_place_task){ .tag = 2, .owner = owner(w, 0, 0, false), .class = class_of(w, c), .count = 6 });
	assert_int_equal(n_stopped(w), 2);
	assert_int_equal(next(w), 0);
}

/* Two kinds of an owner's tasks, and one more of both may be placed: an idle worker is only for the kind for which nothing
 * is stopped. @o asks for what only the full one has, then for what both have. */
static void what_is_stopped_for_one_kind_is_not_made_useless_by_another(struct world *w, uint32_t o, struct gr_place_class of)
{
	uint32_t ssd = (uint32_t)gr_place_label(w->p, "disk", "ssd"), any = class_of(w, of);
	uint64_t victim;

	up(w, (struct pod){ .tag = 1, .slots = 1, .node = "a", .label = ssd });
	put(w, (struct gr_place_task){ .tag = 1, .owner = owner(w, 0, 31, true), .class = plain(w) });
	assert_int_equal(next(w), 1);
	w->now += GR_NS_PER_S;
	up(w, (struct pod){ .tag = 2, .slots = 1, .node = "a" });
	of.term[0] = (struct gr_place_term){ .op = GR_PLACE_IN, .n = 1, .label = { ssd } };
	put(w, (struct gr_place_task){ .tag = 2, .owner = o, .class = class_of(w, of), .work_ms = 10000 });
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].act, GR_PLACE_PREEMPT);
	victim = w->d[0].placed;
	put(w, (struct gr_place_task){ .tag = 3, .owner = o, .class = any });
	assert_int_equal(next(w), 0);
	end(w, victim, GR_PLACE_STOPPED, 0);
	put(w, (struct gr_place_task){ .tag = 1, .owner = owner(w, 0, 31, true), .class = plain(w) });
	assert_int_equal(next(w), 2);
	assert_int_equal(w->d[0].tag, 2);
	assert_int_equal(w->d[0].worker_tag, 1);
	assert_int_equal(w->d[1].tag, 1);
	/* and the other kind comes when the first is gone */
	end(w, w->d[1].placed, GR_PLACE_DONE, 0);
	end(w, w->d[0].placed, GR_PLACE_DONE, 0);
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].tag, 3);
}

static void a_quota_is_for_what_was_stopped_for_it_first(void **state)
{
	struct world *w = *state;
	uint32_t tenant = (uint32_t)gr_place_tenant_add(w->p, &(struct gr_place_tenant){ .weight = 1, .quota.v = { 1000 } });

	what_is_stopped_for_one_kind_is_not_made_useless_by_another(w, owner(w, tenant, 4, false), (struct gr_place_class){ 0 });
}

static void a_limit_is_for_what_was_stopped_for_it_first(void **state)
{
	struct world *w = *state;
	int rc = gr_place_owner_add(w->p, &(struct gr_place_owner){ .tag = 5, .weight = 1, .band = 4, .max_placed = 1 });

	assert_true(rc >= 0);
	what_is_stopped_for_one_kind_is_not_made_useless_by_another(w, (uint32_t)rc, (struct gr_place_class){ 0 });
}

static void a_spread_is_for_what_was_stopped_for_it_first(void **state)
{
	struct world *w = *state;

	what_is_stopped_for_one_kind_is_not_made_useless_by_another(w, w->owner, (struct gr_place_class){ .spread_by = GR_PLACE_BY_NODE });
}

/* A better place has come free meanwhile: it is for who was stopped. */
static void who_was_waited_for_takes_the_room_that_was_made(void **state)
{
	struct world *w = *state;
	uint32_t urgent = owner(w, 0, 0, false), c = class_of(w, (struct gr_place_class){ .need.v = { 1000, 16 } });
	uint64_t victim;

	full_of_idle_work(w, 1, 1, NULL);
	w->now += GR_NS_PER_S;
	put(w, (struct gr_place_task){ .tag = 2, .owner = urgent, .class = c });
	assert_int_equal(n_stopped(w), 1);
	victim = w->d[0].placed;
	assert_int_equal(gr_place_worker_signals(w->p, w->d[0].worker, &(struct gr_place_signals){ .node_foreign_mcpu = 4000 }), 0);
	for (uint64_t i = 2; i < 12; i++)
		up(w, (struct pod){ .tag = i, .slots = 4 });
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

static void what_waits_is_taken_back_for_an_idle_worker_that_has_its_files(void **state)
{
	struct world *w = *state;
	struct gr_place_task t = { .owner = w->owner, .class = plain(w), .count = 1, .work_ms = 1000, .input_bytes = 1000u << 20 };
	struct gr_place_why y[4];
	uint64_t on_2;

	assert_int_equal(gr_place_owner_bytes(w->p, w->owner, t.input_bytes), 0);
	up(w, (struct pod){ .tag = 1, .slots = 1, .prefetch = 4 });
	put(w, t);
	assert_int_equal(next(w), 1);
	up(w, (struct pod){ .tag = 2, .slots = 1 });
	put(w, t);
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].worker_tag, 2);
	on_2 = w->d[0].placed;
	assert_int_equal(gr_place_explain(w->p, w->now, &t, y, 4), 2);
	assert_int_equal(y[0].fetch_us, 0);
	assert_int_equal(y[1].fetch_us, 0);
	put(w, t);
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].worker_tag, 1);      /* waits there for 2 s; the files take 10 to fetch */
	end(w, on_2, GR_PLACE_DONE, 0);
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].act, GR_PLACE_RETRACT);
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

/* Ten ends every ten milliseconds are one each millisecond, told together or one by one: not an end each microsecond. */
static void ends_that_are_told_together_are_no_faster(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w), id = up(w, (struct pod){ .tag = 1, .slots = 1, .prefetch = 250 });
	struct gr_place_task t = { .tag = 1, .owner = w->owner, .class = c, .count = 1000 };
	struct gr_place_worker_info info;
	uint64_t placed[1000];
	uint32_t n = 0, ended = 0;

	put(w, t);
	for (int round = 0; round < 20; round++) {
		int k = next(w);

		for (int i = 0; i < k; i++)
			if (w->d[i].act == GR_PLACE_RUN)
				placed[n++] = w->d[i].placed;
		w->now += 10 * GR_NS_PER_MS;
		for (int i = 0; i < 10 && ended < n; i++)
			end(w, placed[ended++], GR_PLACE_DONE, 100);
	}
	assert_int_equal(gr_place_worker_info(w->p, id, &info), 0);
	assert_in_range(info.depth, 20, 24);      /* 20 ms at that pace, one, and what runs */
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

/* 150 classes, more than a word of bits has, wait for the one slot of either of two workers: one of them with memory for a third of
 * the classes alone. What ends opens those that fit, one of them takes the slot, the others are closed again. */
static void many_classes_wait_for_one_slot(void **state)
{
	enum { N = 150, EACH = 3 };
	struct world *w = *state;
	uint32_t n_done[N] = { 0 }, n_large = 0;
	uint64_t placed[2], worker_of[2];

	up(w, (struct pod){ .tag = 0, .slots = 1, .mem = 4096 });
	up(w, (struct pod){ .tag = 1, .slots = 1, .mem = 1024 });
	for (uint32_t i = 0; i < N; i++) {
		struct gr_place_class c;

		memset(&c, 0, sizeof(c));
		c.need.v[GR_PLACE_MEM_MIB] = (i % 3 ? 2048 : 512) + i;
		put(w, (struct gr_place_task){ .tag = i, .owner = w->owner, .class = class_of(w, c), .count = EACH });
	}
	assert_int_equal(next(w), 2);
	for (int i = 0; i < 2; i++) {
		placed[i] = w->d[i].placed;
		worker_of[i] = w->d[i].worker_tag;
	}
	for (uint32_t n = 0; n < N * EACH; n++) {
		uint32_t i = n % 2 && placed[1] ? 1 : placed[0] ? 0 : 1;
		struct gr_place_decision *d = w->d;

		w->now += GR_NS_PER_MS;
		assert_true(placed[i] != 0);
		end(w, placed[i], GR_PLACE_DONE, 1000);
		placed[i] = 0;
		if (!next(w))
			continue;
		assert_int_equal(d->worker_tag, worker_of[i]);
		assert_true(d->worker_tag == 0 || d->tag % 3 == 0);
		placed[i] = d->placed;
		n_done[d->tag]++;
		n_large += d->tag % 3 != 0;
		assert_int_equal(next(w), 0);
	}
	assert_int_equal(placed[0] + placed[1], 0);
	assert_true(n_large >= 100 * EACH - 2);
	for (uint32_t i = 0; i < N; i++)
		assert_in_range(n_done[i], EACH - 1, EACH);
	/* nothing waits, so nothing is to be asked again */
	assert_int_equal(gr_place_wake_ns(w->p), UINT64_MAX);
}

/* Room is kept for what waited 5 s for it: since this time, not since its class waited for some long ago. */
static void who_waited_long_ago_is_not_taken_to_wait_since(void **state)
{
	struct world *w = *state;
	uint32_t c = plain(w);
	uint64_t first;

	up(w, (struct pod){ .tag = 0, .slots = 1 });
	put(w, (struct gr_place_task){ .owner = w->owner, .class = c, .count = 2, .work_ms = 200 });
	assert_int_equal(next(w), 1);
	first = w->d[0].placed;
	w->now += GR_NS_PER_MS;
	end(w, first, GR_PLACE_DONE, 1000);
	assert_int_equal(next(w), 1);
	w->now += 3600 * GR_NS_PER_S;
	put(w, (struct gr_place_task){ .owner = w->owner, .class = c, .work_ms = 200 });
	assert_int_equal(next(w), 0);
	assert_int_equal(gr_place_wake_ns(w->p), w->now + 5 * GR_NS_PER_S);
}

/* Room to wait behind others is room: what had none is tried when a worker gains it, however few cores are free there. */
static void a_credit_that_comes_free_is_seen(void **state)
{
	struct world *w = *state;
	struct gr_place_class c;
	uint32_t two_cores, large, three_cores;
	uint64_t memory = 0;

	memset(&c, 0, sizeof(c));
	c.need.v[GR_PLACE_CPU_MCPU] = 2000;
	c.need.v[GR_PLACE_MEM_MIB] = 1024;
	two_cores = class_of(w, c);
	c.need.v[GR_PLACE_CPU_MCPU] = 1000;
	c.need.v[GR_PLACE_MEM_MIB] = 7000;
	large = class_of(w, c);
	c.need.v[GR_PLACE_CPU_MCPU] = 3000;
	c.need.v[GR_PLACE_MEM_MIB] = 4096;
	three_cores = class_of(w, c);
	up(w, (struct pod){ .tag = 0, .slots = 4, .prefetch = 2, .mem = 8192 });
	put(w, (struct gr_place_task){ .tag = 1, .owner = w->owner, .class = two_cores });
	put(w, (struct gr_place_task){ .tag = 2, .owner = w->owner, .class = large });
	assert_int_equal(next(w), 2);
	for (int i = 0; i < 2; i++)
		memory = w->d[i].tag == 2 ? w->d[i].placed : memory;
	put(w, (struct gr_place_task){ .tag = 3, .owner = w->owner, .class = three_cores });
	assert_int_equal(next(w), 0);
	w->now += GR_NS_PER_MS;
	end(w, memory, GR_PLACE_DONE, 1000);
	assert_int_equal(next(w), 1);
	assert_int_equal(w->d[0].tag, 3);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_gang_comes_whole_or_not_at_all),
		T(a_large_task_is_not_starved_by_small_ones),
		T(what_room_is_kept_for_is_not_held_up_by_its_like),
		T(a_reservation_that_lapses_leaves_nobody_waiting),
		T(the_urgent_is_not_held_up_by_those_of_its_class_who_wait),
		T(the_urgent_stops_just_enough_of_what_may_be_stopped),
		T(no_more_is_stopped_than_waits_for_what_it_frees),
		T(what_was_stopped_for_an_urgent_task_leaves_it_its_tenants_quota),
		T(no_more_is_stopped_than_the_tenants_quota_allows),
		T(no_more_is_stopped_than_the_spread_allows),
		T(a_quota_is_for_what_was_stopped_for_it_first),
		T(a_limit_is_for_what_was_stopped_for_it_first),
		T(a_spread_is_for_what_was_stopped_for_it_first),
		T(who_was_waited_for_takes_the_room_that_was_made),
		T(the_urgent_does_not_wait_behind_the_less_urgent),
		T(nothing_of_the_same_band_is_stopped),
		T(what_waits_is_taken_back_for_an_idle_worker_that_has_its_files),
		T(what_waits_is_taken_back_when_another_worker_is_idle),
		T(ends_that_are_told_together_are_no_faster), T(a_straggler_gets_one_copy_on_another_node),
		T(a_leaving_worker_keeps_what_ends_in_time_and_gives_back_the_rest),
		T(what_is_over_its_time_is_not_taken_to_end_at_once_on_a_leaving_worker),
		T(the_last_task_waits_for_the_fast_worker_where_it_ends_sooner),
		T(a_short_one_behind_it_takes_the_slow_worker_meanwhile),
		T(nothing_waits_where_more_may_come),
		T(the_wait_ends_when_the_fast_worker_is_late),
		T(many_classes_wait_for_one_slot),
		T(who_waited_long_ago_is_not_taken_to_wait_since), T(a_credit_that_comes_free_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
