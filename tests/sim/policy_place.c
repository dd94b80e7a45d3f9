/* policy_place.c - lib/place as a policy of the simulation: the calls a coordinator makes, in its order. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place.h"
#include "tests/sim/sim.h"
#if __has_include("lib/place/place_check.h")
#include "lib/place/place_check.h"
#define HAS_CHECK 1
#else
#define HAS_CHECK 0
#endif

#define BATCH 1024u
#define GANG_TAG (1ull << 32)         /* a gang's tag is its job's number; others' is their first task */

struct place {
	struct sim *s;
	struct gr_place *p;
	uint32_t env[SIM_MAX_ENVS];
	struct gr_place_decision *out;
	char why[160];
};

static uint32_t ok(struct sim *s, int64_t rc, const char *what)
{
	if (rc < 0)
		sim_fail(s, "%s: %s", what, gr_err_name((int)rc));
	return (uint32_t)rc;
}

static void *start_with(struct sim *s, bool is_blind)
{
	struct gr_place_config cfg = {
		.seed = s->cfg.seed + 1, .is_node_blind = is_blind, .copy_permille = s->cfg.copy_permille,
		.reserve_after_ns = s->cfg.reserve_ns ? s->cfg.reserve_ns : 1ull << 60,
		.acts = s->cfg.is_checked ? 1u << GR_PLACE_RETRACT | 1u << GR_PLACE_PREEMPT | 1u << GR_PLACE_MOVE | 1u << GR_PLACE_COPY
					  : (s->cfg.copy_permille ? 1u << GR_PLACE_COPY : 0) | (s->cfg.may_retract ? 1u << GR_PLACE_RETRACT : 0),
	};
	struct place *pl;

	GR_NEW(pl);
	pl->s = s;
	pl->p = gr_place_new(&cfg);
	pl->out = gr_xalloc(BATCH * sizeof(*pl->out));
	for (uint32_t i = 1; i < SIM_MAX_ENVS; i++) {
		struct gr_digest d = { .b = { (uint8_t)i } };

		pl->env[i] = ok(s, gr_place_env(pl->p, &d), "env");
		gr_place_env_hold(pl->p, pl->env[i], true);
	}
	for (uint32_t i = 1; i < s->n_tenants; i++)
		s->tenants[i].policy_id = ok(s, gr_place_tenant_add(pl->p, &(struct gr_place_tenant){
			.weight = s->tenants[i].weight, .quota = s->tenants[i].quota }), "tenant");
	for (uint32_t zone = 0; zone < 4; zone++)
		if (s->cfg.bandwidth_bytes_per_s[zone])
			ok(s, gr_place_zone_bandwidth(pl->p, zone, (uint32_t)(s->cfg.bandwidth_bytes_per_s[zone] / 1024000)), "zone");
	return pl;
}
static void *start(struct sim *s) { return start_with(s, false); }
static void *start_blind(struct sim *s) { return start_with(s, true); }

static void stop(void *ctx)
{
	struct place *pl = ctx;

	gr_place_free(&pl->p);
	free(pl->out);
	free(pl);
}

static void signals(void *ctx, uint32_t worker)
{
	struct place *pl = ctx;
	const struct sim_worker *w = &pl->s->workers[worker];
	const struct sim_node *n = &pl->s->nodes[w->node];
	double q = w->quota_mcpu ? (double)w->demand_mcpu / w->quota_mcpu : 0, m = sim_slowdown(pl->s, w, 0);
	struct gr_place_signals sig = {
		.quota_mcpu = w->quota_mcpu, .throttled_permille = q > 1 ? (uint32_t)(1000 - 1000 / q) : 0,
		.cpu_psi_permille = (uint32_t)(1000 - 1000 / m), .node_foreign_mcpu = n->foreign_mcpu,
	};

	ok(pl->s, gr_place_worker_signals(pl->p, (uint32_t)w->policy_id, &sig), "signals");
}

static void worker_up(void *ctx, uint32_t worker)
{
	struct place *pl = ctx;
	struct sim *s = pl->s;
	struct sim_worker *w = &s->workers[worker];
	const struct sim_node *n = &s->nodes[w->node];
	struct gr_place_worker spec = {
		.tag = worker, .cap = w->cap, .slots = w->slots, .prefetch = w->prefetch, .node_cpu_mcpu = n->cores_mcpu, .zone = n->zone,
	};
	uint32_t envs[SIM_MAX_ENVS];
	char name[32];

	snprintf(name, sizeof(name), "node-%u", w->node);
	spec.node = ok(s, gr_place_node(pl->p, name), "node");
	for (uint32_t i = 1; i < SIM_MAX_ENVS; i++)
		if (w->env_mask >> i & 1)
			envs[spec.n_envs++] = pl->env[i];
	spec.envs = envs;
	w->policy_id = ok(s, gr_place_worker_up(pl->p, s->now_ns, &spec), "worker_up");
	if (w->quota_mcpu)
		signals(ctx, worker);
}

static void worker_down(void *ctx, uint32_t worker)
{
	struct place *pl = ctx;

	ok(pl->s, gr_place_worker_down(pl->p, pl->s->now_ns, (uint32_t)pl->s->workers[worker].policy_id), "worker_down");
}

static void worker_drain(void *ctx, uint32_t worker, uint64_t gone_ns)
{
	struct place *pl = ctx;

	ok(pl->s, gr_place_worker_drain(pl->p, pl->s->now_ns, (uint32_t)pl->s->workers[worker].policy_id, true, gone_ns), "drain");
}

static uint32_t class_of(struct place *pl, const struct sim_job *j, uint32_t mem_mib)
{
	struct gr_place_class c;

	memset(&c, 0, sizeof(c));
	c.need = j->need;
	c.need.v[GR_PLACE_MEM_MIB] = mem_mib;
	c.env = pl->env[j->env];
	c.zone = j->zone;
	c.spread_by = (uint8_t)j->spread_by;
	c.spread_max = j->spread_max;
	return ok(pl->s, gr_place_class(pl->p, &c), "class");
}

static void job_add(void *ctx, uint32_t job)
{
	struct place *pl = ctx;
	struct sim_job *j = &pl->s->jobs[job];
	struct gr_place_owner spec = {
		.tag = job, .tenant = pl->s->tenants[j->tenant].policy_id, .weight = j->weight, .max_placed = j->max_placed,
		.band = (uint8_t)j->band, .is_preemptible = j->is_preemptible, .is_whole = j->is_whole,
	};

	j->policy_id = ok(pl->s, gr_place_owner_add(pl->p, &spec), "owner");
	if (j->set != SIM_NONE)
		ok(pl->s, gr_place_owner_bytes(pl->p, (uint32_t)j->policy_id, pl->s->sets[j->set].bytes), "bytes");
}

static void job_pause(void *ctx, uint32_t job, bool is_paused)
{
	struct place *pl = ctx;

	ok(pl->s, gr_place_owner_pause(pl->p, (uint32_t)pl->s->jobs[job].policy_id, is_paused), "pause");
}

static struct gr_place_task spec_of(struct place *pl, uint32_t task)
{
	const struct sim_task *t = &pl->s->tasks[task];
	const struct sim_job *j = &pl->s->jobs[t->job];
	struct gr_place_task spec = {
		.tag = task, .owner = (uint32_t)j->policy_id, .class = class_of(pl, j, t->asked_mib), .count = 1,
		.work_ms = j->work_hint_ms, .family = t->family,
		.input_bytes = t->set != SIM_NONE ? pl->s->sets[t->set].bytes : 0,
		.input_set = t->set != j->set ? (t->set + 1) * 0x9e3779b97f4a7c15ull : 0,
	};

	if (j->is_hint_exact)
		spec.work_ms = (uint32_t)((uint64_t)t->work_us * j->need.v[GR_PLACE_CPU_MCPU] / 1000000);
	for (uint32_t i = 0; i < t->n_exclude; i++)
		spec.exclude[spec.n_exclude++] = (uint32_t)t->exclude[i];
	return spec;
}

static void ready(void *ctx, uint32_t first, uint32_t count)
{
	struct place *pl = ctx;
	struct sim_job *j = &pl->s->jobs[pl->s->tasks[first].job];
	struct gr_place_task spec = spec_of(pl, first);
	int64_t queued;

	spec.count = count;
	if (j->is_gang) {
		spec.is_gang = true;
		spec.tag = GANG_TAG | pl->s->tasks[first].job;
		spec.n_exclude = 0;
	}
	queued = gr_place_ready(pl->p, pl->s->now_ns, &spec);
	ok(pl->s, queued < 0 ? queued : 0, "ready");
	if (j->is_gang)
		j->policy_queued = queued;
	else if (count > 1)
		pl->s->tasks[first].policy_range = queued;
	else
		pl->s->tasks[first].policy_queued = queued;
}

static void cancel(void *ctx, uint32_t task)
{
	struct place *pl = ctx;
	struct sim_job *j = &pl->s->jobs[pl->s->tasks[task].job];
	int64_t *queued = j->is_gang ? &j->policy_queued : &pl->s->tasks[task].policy_queued;

	ok(pl->s, gr_place_cancel(pl->p, *queued), "cancel");
	*queued = -1;
}

/* A handle may be void since all of it was decided. */
static uint64_t cancel_one(struct place *pl, int64_t queued)
{
	int64_t rc = queued >= 0 ? gr_place_cancel(pl->p, queued) : 0;

	return rc > 0 ? (uint64_t)rc : 0;
}

static uint64_t job_cancel(void *ctx, uint32_t job)
{
	struct place *pl = ctx;
	struct sim_job *j = &pl->s->jobs[job];
	uint64_t n = 0;

	for (uint32_t i = 0; i < pl->s->n_tasks; i++) {
		const struct sim_task *t = &pl->s->tasks[i];

		if (t->job == job)
			n += cancel_one(pl, t->policy_queued) + cancel_one(pl, t->policy_range);
	}
	return n + cancel_one(pl, j->policy_queued);
}

static uint32_t next(void *ctx, struct sim_pick *out, uint32_t max)
{
	static const enum sim_act acts[GR_PLACE_N_ACTS] = {
		[GR_PLACE_RUN] = SIM_RUN, [GR_PLACE_COPY] = SIM_COPY, [GR_PLACE_RETRACT] = SIM_RETRACT,
		[GR_PLACE_PREEMPT] = SIM_PREEMPT, [GR_PLACE_MOVE] = SIM_MOVE,
	};
	struct place *pl = ctx;
	struct sim *s = pl->s;
	int rc = gr_place_next(pl->p, s->now_ns, pl->out, max);
	uint32_t n_left = 0;

	ok(s, rc, "next");
	if (rc < 0)
		return 0;
	for (int i = 0; i < rc; i++) {
		const struct gr_place_decision *d = &pl->out[i];

		if (s->cfg.verbose > 1)
			sim_say(s, "decision %d of %d: %s, tag %llx, nth %u, handle %llx, worker %llu", i + 1, rc, gr_place_act_name(d->act),
				(unsigned long long)d->tag, d->nth, (unsigned long long)d->placed, (unsigned long long)d->worker_tag);
		/* of a gang, nth is the place among those that waited: read before carrying out moves them */
		out[i] = (struct sim_pick){
			.act = acts[d->act], .worker = (uint32_t)d->worker_tag, .handle = d->placed, .gang = d->gang,
			.task = d->tag & GANG_TAG ? s->jobs[(uint32_t)d->tag].gang[d->nth] : (uint32_t)d->tag + d->nth,
		};
		if (d->act == GR_PLACE_RUN || d->act == GR_PLACE_COPY) {
			if (d->act == GR_PLACE_RUN && d->gang && !n_left)
				n_left = d->gang;
			n_left -= n_left > 0;
		}
		if (d->act != GR_PLACE_RUN && d->tag & GANG_TAG)
			out[i].task = SIM_NONE;       /* by handle: whoever waited then has its place no more */
	}
	if (n_left)
		sim_fail(s, "a gang of which %u members were left out", n_left);
	for (int i = 0; i < rc; i++) {
		const struct gr_place_decision *d = &pl->out[i];

		if (out[i].task != SIM_NONE)
			continue;
		for (uint32_t id = 0; id < s->n_attempts && out[i].task == SIM_NONE; id++)
			if (s->attempts[id].handle == (d->act == GR_PLACE_COPY ? d->other : d->placed) &&
			    s->attempts[id].state != SIM_OVER && !s->attempts[id].is_cut)
				out[i].task = s->attempts[id].task;
		for (int k = 0; k < i; k++)
			if (out[k].handle == d->placed && out[k].act == SIM_RUN && out[i].task == SIM_NONE) {
				sim_fail(s, "task %u is placed and stopped in one go (%s)", out[k].task, gr_place_act_name(d->act));
				return 0;
			}
		if (out[i].task == SIM_NONE)
			sim_fail(s, "%s of an attempt nobody knows: tag %llx, handle %llx, %d of %d", gr_place_act_name(d->act),
				 (unsigned long long)d->tag, (unsigned long long)d->placed, i, rc);
	}
	return (uint32_t)rc;
}

static void ended(void *ctx, uint32_t attempt, enum sim_how how, uint64_t cpu_us, uint64_t rss_bytes)
{
	static const enum gr_place_how hows[] = {
		[SIM_DONE] = GR_PLACE_DONE, [SIM_FAILED] = GR_PLACE_FAILED, [SIM_OOM] = GR_PLACE_OOM, [SIM_STOPPED] = GR_PLACE_STOPPED,
	};
	struct place *pl = ctx;
	struct gr_place_ended e = { .how = hows[how], .cpu_us = cpu_us, .max_rss_bytes = rss_bytes };

	ok(pl->s, gr_place_end(pl->p, pl->s->now_ns, pl->s->attempts[attempt].handle, &e), "end");
}

static void kept(void *ctx, uint32_t attempt)
{
	struct place *pl = ctx;

	ok(pl->s, gr_place_kept(pl->p, pl->s->attempts[attempt].handle), "kept");
}

static void started(void *ctx, uint32_t attempt)
{
	struct place *pl = ctx;

	ok(pl->s, gr_place_started(pl->p, pl->s->now_ns, pl->s->attempts[attempt].handle), "started");
}

static uint64_t wake_ns(void *ctx)
{
	return gr_place_wake_ns(((struct place *)ctx)->p);
}

static uint32_t mem_hint(void *ctx, uint32_t task)
{
	struct place *pl = ctx;
	const struct sim_task *t = &pl->s->tasks[task];

	return gr_place_mem_hint(pl->p, t->family, t->asked_mib);
}

static bool is_stuck(void *ctx, uint32_t task)
{
	struct place *pl = ctx;
	struct gr_place_task spec = spec_of(pl, task);

	return !gr_place_feasible(pl->p, spec.class, spec.exclude, spec.n_exclude, 1);
}

static bool is_blocked(void *ctx, uint32_t worker)
{
	struct place *pl = ctx;
	struct gr_place_worker_info info;

	ok(pl->s, gr_place_worker_info(pl->p, (uint32_t)pl->s->workers[worker].policy_id, &info), "worker_info");
	return info.quarantined_until_ns > pl->s->now_ns;
}

static bool is_holding(void *ctx)
{
	struct place *pl = ctx;
	struct gr_place_stats st;

	gr_place_stats(pl->p, pl->s->now_ns, &st);
	return st.n_held;
}

static const char *why(void *ctx, uint32_t task, uint32_t worker)
{
	struct place *pl = ctx;
	struct gr_place_task spec = spec_of(pl, task);
	struct gr_place_why *rows = gr_xalloc(pl->s->n_workers * sizeof(*rows));
	uint32_t n = gr_place_explain(pl->p, pl->s->now_ns, &spec, rows, pl->s->n_workers);
	const char *text = "unknown";

	for (uint32_t i = 0; i < n; i++)
		if (rows[i].worker_tag == worker)
			text = gr_place_verdict_text(rows[i].verdict);
	free(rows);
	return text;
}

static const char *check(void *ctx)
{
	struct place *pl = ctx;
	struct sim *s = pl->s;
	struct gr_place_stats st;

	gr_place_stats(pl->p, s->now_ns, &st);
	if (st.n_queued != s->n_queued || st.n_placed != s->n_live) {
		snprintf(pl->why, sizeof(pl->why), "%llu tasks wait and %llu are placed; the policy counts %llu and %llu",
			 (unsigned long long)s->n_queued, (unsigned long long)s->n_live,
			 (unsigned long long)st.n_queued, (unsigned long long)st.n_placed);
		return pl->why;
	}
#if HAS_CHECK
	if (s->r.n_events % s->cfg.check_every == 0 && !gr_place_check(pl->p, pl->why, sizeof(pl->why)))
		return pl->why;
#endif
	return NULL;
}

#define PLACE(id, text, fn) \
	const struct sim_policy id = { .name = text, .does_gangs = true, .start = fn, .stop = stop, .worker_up = worker_up, \
		.worker_down = worker_down, .worker_drain = worker_drain, .signals = signals, .job_add = job_add, .job_pause = job_pause, \
		.ready = ready, .cancel = cancel, .job_cancel = job_cancel, .next = next, .ended = ended, .kept = kept, .started = started, \
		.wake_ns = wake_ns, .mem_hint = mem_hint, .is_stuck = is_stuck, \
		.is_blocked = is_blocked, .is_holding = is_holding, .why = why, .check = check }
PLACE(sim_place, "lib/place", start);
PLACE(sim_place_blind, "lib/place blind to nodes", start_blind);

const struct sim_policy *const sim_policies[] = {
	&sim_place, &sim_oracle, &sim_social, &sim_icecream, &sim_emptiest, &sim_two, &sim_random, &sim_place_blind, NULL,
};
