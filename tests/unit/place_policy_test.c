/* place_policy_test.c - lib/place: tenants, constraints, what is learned, bad input, the log */
#include "tests/unit/place_fixture.h"

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
		T(a_cordoned_node_takes_nothing_new),
		T(what_runs_already_is_taken_in),
		T(an_oom_kill_asks_for_half_as_much_again),
		T(a_broken_job_takes_no_worker_out_and_a_broken_worker_is_taken_out),
		T(misuse_is_an_error_and_changes_nothing),
		T(a_damaged_log_is_refused_where_it_is_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
