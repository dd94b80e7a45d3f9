/* place_random_test.c - lib/place under random deltas: nothing is lost, doubled or overfilled, and the same calls decide the same */
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
#include "lib/base/rng.h"
#include "lib/place/place.h"
#include "lib/place/place_check.h"

struct chaos {
	struct gr_place *p;
	struct gr_rng rng;
	uint64_t now, hash;
	bool is_told;                 /* what may end is named before, and much that may not */
	struct { uint32_t id; bool is_up; uint32_t slots, depth, n, toolchain; } w[24];
	struct { uint64_t placed; uint32_t worker; bool is_used; } run[4096];
	uint32_t n_ready, n_run, n_done, n_back;
	uint32_t owner[3];
};

static void chaos_step(struct chaos *c)
{
	struct gr_place_decision d[32];
	uint32_t k = gr_rng_below(&c->rng, 24);
	int n;

	c->now += gr_rng_below(&c->rng, 1000) * GR_NS_PER_MS / 100;
	switch (gr_rng_below(&c->rng, 10)) {
	case 0: {
		struct gr_digest dg = { .b = { (uint8_t)(1 + k % 3) } };
		uint32_t e = (uint32_t)gr_place_env(c->p, &dg);
		struct gr_place_worker spec = { .tag = k, .slots = 1 + k % 4, .prefetch = k % 3, .envs = &e, .n_envs = 1 };
		char node[8];

		if (c->w[k].is_up)
			return;
		snprintf(node, sizeof(node), "n%u", k % 7);
		spec.cap.v[GR_PLACE_CPU_MCPU] = spec.slots * 1000;
		spec.cap.v[GR_PLACE_MEM_MIB] = 2000;
		spec.node = (uint32_t)gr_place_node(c->p, node);
		c->w[k].id = (uint32_t)gr_place_worker_up(c->p, c->now, &spec);
		c->w[k].is_up = true;
		c->w[k].depth = spec.slots + spec.prefetch;
		c->w[k].n = 0;
		c->w[k].toolchain = 1 + k % 3;
		return;
	}
	case 1:
		if (!c->w[k].is_up || gr_rng_below(&c->rng, 4))
			return;
		gr_place_worker_down(c->p, c->now, c->w[k].id);
		c->w[k].is_up = false;
		for (uint32_t i = 0; i < 4096; i++)
			if (c->run[i].is_used && c->run[i].worker == k) {
				c->run[i].is_used = false;
				c->n_run--;
				c->n_back++;
			}
		return;
	case 2:
		if (c->w[k].is_up)
			gr_place_worker_drain(c->p, c->now, c->w[k].id, gr_rng_below(&c->rng, 3) == 0, 0);
		return;
	case 3: case 4: case 5: {
		struct gr_digest dg = { .b = { (uint8_t)(1 + gr_rng_below(&c->rng, 3)) } };
		struct gr_place_class cl = { .need.v = { 1000, gr_rng_below(&c->rng, 3) * 500 } };
		struct gr_place_task t = { .count = 1 + gr_rng_below(&c->rng, 3), .work_ms = gr_rng_below(&c->rng, 1000) };
		int e = gr_place_env_find(c->p, &dg), cls;

		if (e < 0 || c->n_ready + c->n_run > 3000)
			return;
		cl.env = (uint32_t)e;
		cls = gr_place_class(c->p, &cl);
		assert_true(cls >= 0);
		t.class = (uint32_t)cls;
		t.tag = (uint64_t)dg.b[0];
		t.owner = c->owner[gr_rng_below(&c->rng, 3)];
		t.family = 1 + gr_rng_below(&c->rng, 20);
		assert_true(gr_place_ready(c->p, c->now, &t) >= 0);
		c->n_ready += t.count;
		return;
	}
	case 6: case 7:
		for (uint32_t tries = 0; tries < 64; tries++) {
			uint32_t i = gr_rng_below(&c->rng, 4096);
			struct gr_place_ended e = { .how = (enum gr_place_how)gr_rng_below(&c->rng, GR_PLACE_N_HOWS),
						    .cpu_us = gr_rng_below(&c->rng, 1000000) };

			for (int near = 0; c->is_told && near < 2; near++) {
				gr_place_soon(c->p, c->run[i].placed, near);
				gr_place_soon(c->p, UINT64_MAX - i, near);
			}
			if (!c->run[i].is_used)
				continue;
			assert_int_equal(gr_place_end(c->p, c->now, c->run[i].placed, &e), 0);
			assert_int_equal(gr_place_end(c->p, c->now, c->run[i].placed, &e), GR_ENOENT);
			c->run[i].is_used = false;
			c->w[c->run[i].worker].n--;
			c->n_run--;
			c->n_done++;
		}
		return;
	default:
		n = gr_place_next(c->p, c->now, d, 32);
		for (int i = 0; i < n; i++) {
			uint32_t who = (uint32_t)d[i].worker_tag, slot = (uint32_t)d[i].placed;

			assert_true(c->w[who].is_up);
			assert_int_equal(c->w[who].id, d[i].worker);
			assert_int_equal(c->w[who].toolchain, d[i].tag);
			assert_true(++c->w[who].n <= c->w[who].depth);
			assert_true(slot < 4096 && !c->run[slot].is_used);
			c->run[slot].is_used = true;
			c->run[slot].placed = d[i].placed;
			c->run[slot].worker = who;
			c->n_ready--;
			c->n_run++;
			c->hash = c->hash * 31 + d[i].worker * 7 + d[i].placed + d[i].finish_us;
		}
	}
}

static uint64_t chaos_run(uint64_t seed, uint32_t steps, bool is_told)
{
	struct gr_place_config cfg = { .seed = seed };
	struct gr_place_owner o = { .weight = 1 };
	struct gr_place_stats st;
	struct chaos *c;
	uint64_t hash;

	GR_NEW(c);
	c->rng.s = seed;
	c->now = 1;
	c->is_told = is_told;
	c->p = gr_place_new(&cfg);
	for (int i = 0; i < 3; i++) {
		o.weight = (uint32_t)i + 1;
		c->owner[i] = (uint32_t)gr_place_owner_add(c->p, &o);
	}
	for (uint32_t i = 0; i < steps; i++) {
		chaos_step(c);
		char why[200] = "";

		if (i % 7 == 0 && !gr_place_check(c->p, why, sizeof(why)))
			fail_msg("step %u: %s", i, why);
		gr_place_stats(c->p, c->now, &st);
		assert_int_equal(st.n_queued, c->n_ready);
		assert_int_equal(st.n_placed, c->n_run);
	}
	hash = c->hash;
	gr_place_free(&c->p);
	free(c);
	return hash;
}

static void no_task_is_lost_or_doubled_and_no_worker_overfilled(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		print_message("# seed %u\n", (unsigned)seed);
		chaos_run(seed, 4000, false);
	}
}

static void the_same_calls_give_the_same_decisions(void **state)
{
	(void)state;
	assert_true(chaos_run(99, 4000, false) == chaos_run(99, 4000, false));
	assert_true(chaos_run(99, 4000, false) == chaos_run(99, 4000, true));
	assert_true(chaos_run(99, 4000, false) != chaos_run(98, 4000, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_task_is_lost_or_doubled_and_no_worker_overfilled),
		cmocka_unit_test(the_same_calls_give_the_same_decisions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
