/* scenario.c - clusters and loads drawn from a seed. The small one has everything that can happen; the quality ones have
 * only load, for comparing policies: Poisson arrivals at a share of what the cores can do. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/sim/sim.h"

static uint32_t between(struct gr_rng *r, uint32_t from, uint32_t to) { return from + gr_rng_below(r, to - from + 1); }
static bool chance(struct gr_rng *r, uint32_t percent) { return gr_rng_below(r, 100) < percent; }

/* ---- small ---- */

#define SMALL_END_MS 20000u           /* bad luck comes before this */

static void small_nodes(struct sim *s, struct gr_rng *r, uint32_t scale)
{
	uint32_t n_nodes = between(r, 2, 6) * scale;

	for (uint32_t i = 0; i < n_nodes; i++) {
		uint32_t cores_mcpu = i ? between(r, 2, 8) * 1000 : 8000, node, n_pods = i ? between(r, 1, 4) : between(r, 1, 2);

		node = sim_node_add(s, cores_mcpu, 0.5 + sim_uniform(r), i ? between(r, 1, 2) : 1);
		s->nodes[node].is_anchor = !i;
		for (uint32_t k = 0; k < n_pods; k++) {
			struct sim_worker w = {
				.slots = i ? between(r, 1, 4) : 4, .prefetch = chance(r, 50) ? 0 : between(r, 1, 3),
				.env_mask = i ? gr_rng_below(r, 8) << 1 : 0xe, .is_black_hole = i && chance(r, 5),
			};

			w.cap.v[GR_PLACE_CPU_MCPU] = i ? between(r, 2, 4) * 1000 : 8000;
			w.cap.v[GR_PLACE_MEM_MIB] = i ? between(r, 1, 8) * 512 : 8192;
			w.cap.v[GR_PLACE_DISK_MIB] = 10000;
			w.cap.v[GR_PLACE_GPU_MILLI] = i ? (chance(r, 20) ? 1000 : 0) : 2000;
			w.quota_mcpu = chance(r, 30) ? w.cap.v[GR_PLACE_CPU_MCPU] : 0;
			sim_worker_add(s, node, &w, between(r, 1, 4));
		}
	}
}

static void small_jobs(struct sim *s, struct gr_rng *r, uint32_t scale)
{
	uint32_t n_jobs = between(r, 2, 7) * scale, n_tenants = between(r, 1, 3) * scale, work_us[64];

	for (uint32_t i = 1; i < n_tenants; i++) {
		struct gr_place_vec quota = { 0 };

		if (chance(r, 50))
			quota.v[GR_PLACE_CPU_MCPU] = between(r, 4, 12) * 1000;
		if (chance(r, 20))
			quota.v[GR_PLACE_MEM_MIB] = 8192;
		sim_tenant_add(s, between(r, 1, 4), &quota);
	}
	for (uint32_t i = 0; i < n_jobs; i++) {
		struct sim_job like = {
			.tenant = gr_rng_below(r, n_tenants), .weight = between(r, 1, 4), .band = chance(r, 60) ? 1 : gr_rng_below(r, 3),
			.max_placed = chance(r, 15) ? between(r, 1, 4) : 0, .is_preemptible = chance(r, 50), .is_whole = i % 2,
			.env = chance(r, 50) ? between(r, 1, 3) : 0, .zone = chance(r, 10) ? 1 : 0,
			.set = chance(r, 60) ? sim_set_add(s, between(r, 1, 100) * 1000000ull) : SIM_NONE, .family = i + 1,
		};
		uint32_t kind = gr_rng_below(r, 10), job, n = between(r, 1, 20), at_ms = gr_rng_below(r, 8000);
		uint32_t mean_ms = between(r, 50, 3000);

		like.need.v[GR_PLACE_CPU_MCPU] = chance(r, 70) ? 1000 : between(r, 1, 4) * 500;
		like.need.v[GR_PLACE_MEM_MIB] = between(r, 1, 8) * 128;
		like.need.v[GR_PLACE_GPU_MILLI] = chance(r, 10) ? 500 : 0;
		like.work_hint_ms = chance(r, 50) ? mean_ms : 0;
		like.is_gang = kind >= 8;
		if (like.is_gang) {
			like.need.v[GR_PLACE_CPU_MCPU] = 1000;
			like.max_placed = 0;
			n = between(r, 2, 4);
		} else if (chance(r, 15)) {
			like.spread_by = between(r, GR_PLACE_BY_WORKER, GR_PLACE_BY_ZONE);
			like.spread_max = between(r, 1, 3);
		}
		job = sim_job_add(s, &like);
		for (uint32_t k = 0; k < n; k++)
			work_us[k] = (uint32_t)(1000 * sim_exp(r, mean_ms)) + 1000;
		if (kind >= 4)
			sim_submit(s, at_ms * GR_NS_PER_MS, job, work_us, n);      /* a range, or a gang */
		for (uint32_t k = 0; k < n && kind < 4; k++)
			sim_submit(s, (at_ms + gr_rng_below(r, 2000)) * GR_NS_PER_MS, job, &work_us[k], 1);
		for (uint32_t k = 0; k < n; k++)
			if (chance(r, 3) && !like.is_gang && s->tasks[s->n_tasks - 1 - k].asked_mib < 4096)
				s->tasks[s->n_tasks - 1 - k].rss_mib = like.need.v[GR_PLACE_MEM_MIB] * between(r, 5, 9) / 4;
		if (chance(r, 8))
			sim_at(s, (at_ms + gr_rng_below(r, 4000)) * GR_NS_PER_MS, SIM_EV_CANCEL, job, 0);
		if (chance(r, 8)) {
			sim_at(s, (at_ms + gr_rng_below(r, 2000)) * GR_NS_PER_MS, SIM_EV_PAUSE, job, 0);
			sim_at(s, (at_ms + 4000) * GR_NS_PER_MS, SIM_EV_RESUME, job, 0);
		}
	}
}

static void small_luck(struct sim *s, struct gr_rng *r, uint32_t scale)
{
	uint32_t n = gr_rng_below(r, 6) * scale;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t node = gr_rng_below(r, s->n_nodes), worker = gr_rng_below(r, s->n_workers);
		uint64_t at_ns = between(r, 1, SMALL_END_MS) * GR_NS_PER_MS;
		uint64_t later_ns = at_ns + between(r, 100, 8000) * GR_NS_PER_MS;

		switch (gr_rng_below(r, 5)) {
		case 0:
			if (s->nodes[node].is_anchor)
				break;
			sim_at(s, at_ns, SIM_EV_NODE_DOWN, node, 0);
			sim_at(s, later_ns, SIM_EV_NODE_UP, node, 0);
			break;
		case 1:
			if (s->nodes[node].is_anchor)
				break;
			sim_at(s, at_ns, SIM_EV_NOTICE, node, between(r, 100, 5000));
			sim_at(s, at_ns + 8000 * GR_NS_PER_MS, SIM_EV_NODE_UP, node, 0);
			break;
		case 2:
			sim_at(s, at_ns, SIM_EV_CUT, worker, 0);
			sim_at(s, later_ns, SIM_EV_HEAL, worker, 0);
			break;
		case 3:
			sim_at(s, at_ns, SIM_EV_FOREIGN, node, between(r, 1, 8) * 1000);
			sim_at(s, later_ns, SIM_EV_FOREIGN, node, 0);
			break;
		default:
			sim_at(s, at_ns, SIM_EV_QUOTA, worker, between(r, 1, 4) * 500);
			sim_at(s, later_ns, SIM_EV_QUOTA, worker, 0);
			break;
		}
	}
}

struct sim *sim_small(const struct sim_policy *policy, uint64_t seed, uint32_t verbose)
{
	struct sim_config cfg = {
		.seed = seed, .is_checked = true, .verbose = verbose, .limit_ns = 3600 * GR_NS_PER_S, .mem_cap_mib = 8192,
		.bandwidth_bytes_per_s = { 0, 100000000, 20000000, 0 },
	};
	struct gr_rng r = { seed * 0xd1342543de82ef95ull + 99 };
	struct sim *s;
	uint32_t scale = seed % 500 ? 1 : 5;     /* now and then one that is not so small */

	/* without reservations more can be said of each decision */
	if (chance(&r, 50))
		cfg.reserve_ns = 5 * GR_NS_PER_S;
	if (chance(&r, 30))
		cfg.straggler_ppm = 50000;
	if (chance(&r, 30))
		cfg.fail_ppm = 30000;
	if (chance(&r, 70))
		cfg.signals_ns = between(&r, 1, 5) * GR_NS_PER_S;
	s = sim_new(policy, &cfg);
	small_nodes(s, &r, scale);
	small_jobs(s, &r, scale);
	small_luck(s, &r, scale);
	return s;
}

/* ---- quality ---- */

#define SHORT_S 2.0                   /* mean work of a compile-like task */
#define LONG_S 30.0                   /* of a batch task */
#define SPREAD 0.95                   /* of the logarithm of what sources promise; families are octaves of that */
#define NOISE 0.35                    /* of the logarithm of the work about what its source promises */

struct sim *sim_quality(const struct sim_policy *policy, const struct sim_quality *q)
{
	struct sim_config cfg = { .seed = q->seed, .signals_ns = 2 * GR_NS_PER_S };
	struct gr_rng r = { q->seed + 4711 };
	uint32_t *jobs = gr_xalloc((q->n_sets + 1) * sizeof(*jobs));
	double power = 0, at_s = 0, mean_s = SHORT_S, rate;
	struct sim *s;

	s = sim_new(policy, &cfg);
	for (uint32_t i = 0; i < q->n_nodes; i++) {
		double speed = 0.5 + sim_uniform(&r);
		uint32_t node = sim_node_add(s, q->cores * 1000, speed, 1);

		power += speed * q->cores;
		for (uint32_t k = 0; k < q->pods; k++) {
			struct sim_worker w = { .slots = q->slots, .env_mask = 0xe };

			/* as pods mostly are: each is allowed all cores of its node */
			w.cap.v[GR_PLACE_CPU_MCPU] = q->cores * 1000;
			w.cap.v[GR_PLACE_MEM_MIB] = 65536 / q->pods;
			sim_worker_add(s, node, &w, q->n_have ? q->n_have : q->n_sets);
		}
	}
	for (uint32_t i = 0; i < q->n_sets; i++) {
		struct sim_job like = { .weight = 1, .set = sim_set_add(s, between(&r, 50, 400) * 1000000ull), .family = i + 1 };

		like.need.v[GR_PLACE_CPU_MCPU] = 1000;
		like.need.v[GR_PLACE_MEM_MIB] = 512;
		jobs[i] = sim_job_add(s, &like);
	}
	if (q->is_mixed) {
		struct sim_job like = { .weight = 1, .set = SIM_NONE, .family = 100000, .work_hint_ms = (uint32_t)(LONG_S * 4000) };

		like.need.v[GR_PLACE_CPU_MCPU] = 4000;
		like.need.v[GR_PLACE_MEM_MIB] = 4096;
		jobs[q->n_sets] = sim_job_add(s, &like);
		mean_s = 0.98 * SHORT_S + 0.02 * LONG_S * 4;
	}
	rate = q->load * power / mean_s;
	for (uint64_t i = 0; i < q->n_tasks; i++) {
		bool is_long = q->is_mixed && gr_rng_below(&r, 100) < 2;
		double promise_s = sim_lognormal(&r, is_long ? LONG_S : SHORT_S, is_long ? 0 : SPREAD);
		uint32_t work_us = (uint32_t)(promise_s * sim_lognormal(&r, 1, NOISE) * 1e6), set = gr_rng_below(&r, q->n_sets);
		uint32_t octave = 31 - (uint32_t)__builtin_clz((uint32_t)(promise_s * 1000) | 1);

		at_s += sim_exp(&r, 1 / rate);
		sim_submit(s, (uint64_t)(at_s * 1e9), jobs[is_long ? q->n_sets : set], &work_us, 1);
		if (!is_long)
			s->tasks[s->n_tasks - 1].family = (uint64_t)set * 32 + octave + 1;
	}
	/* the first fifth fills the cluster and the caches */
	s->cfg.warm_ns = (uint64_t)(at_s * 1e9 / 5);
	free(jobs);
	return s;
}
