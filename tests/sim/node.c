/* node.c - what really happens on the machines: cores shared by the pods of a node, caches, fetching. */
#include <math.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/sim/sim.h"

#define BLACK_HOLE_US 50000.0
#define STALL 12.0                    /* a straggler goes on so many times slower */

double sim_slowdown(const struct sim *s, const struct sim_worker *w, uint32_t more_mcpu)
{
	const struct sim_node *n = &s->nodes[w->node];
	double m = (double)(n->demand_mcpu + n->foreign_mcpu + more_mcpu) / n->cores_mcpu, q = 0;

	if (w->quota_mcpu)
		q = (double)(w->demand_mcpu + more_mcpu) / w->quota_mcpu;
	m = m > q ? m : q;
	return m > 1 ? m : 1;
}

static double rate(const struct sim *s, const struct sim_worker *w, const struct sim_attempt *a)
{
	double r = s->nodes[w->node].speed / sim_slowdown(s, w, 0);

	return a->is_slow ? r / STALL : r;
}

void sim_node_advance(struct sim *s, uint32_t node)
{
	struct sim_node *n = &s->nodes[node];
	double dt_us = (double)(s->now_ns - n->upto_ns) / 1e3;

	n->upto_ns = s->now_ns;
	if (dt_us <= 0 || !n->demand_mcpu)
		return;
	for (uint32_t i = 0; i < n->n_workers; i++) {
		struct sim_worker *w = &s->workers[n->workers[i]];

		for (uint32_t k = 0; k < w->n_held; k++) {
			struct sim_attempt *a = &s->attempts[w->held[k]];

			if (a->state == SIM_RUNNING)
				a->left_us -= dt_us * rate(s, w, a);
		}
	}
}

void sim_node_plan(struct sim *s, uint32_t node)
{
	struct sim_node *n = &s->nodes[node];
	double first_us = INFINITY;

	n->stamp++;
	for (uint32_t i = 0; i < n->n_workers; i++) {
		struct sim_worker *w = &s->workers[n->workers[i]];

		for (uint32_t k = 0; k < w->n_held; k++) {
			const struct sim_attempt *a = &s->attempts[w->held[k]];
			double us = a->state == SIM_RUNNING ? a->left_us / rate(s, w, a) : INFINITY;

			if (us < first_us)
				first_us = us;
		}
	}
	if (first_us < INFINITY)
		sim_at(s, s->now_ns + (uint64_t)ceil((first_us > 0 ? first_us : 0) * 1e3), SIM_EV_NODE, node, n->stamp);
}

static struct sim_have *have_of(const struct sim_worker *w, uint32_t set)
{
	for (uint32_t i = 0; i < w->n_have; i++)
		if (w->have[i].set == set)
			return &w->have[i];
	return NULL;
}

uint64_t sim_missing_us(const struct sim *s, const struct sim_worker *w, uint32_t set)
{
	uint64_t per_s = s->cfg.bandwidth_bytes_per_s[s->nodes[w->node].zone % 4];
	const struct sim_have *h;

	if (set == SIM_NONE)
		return 0;
	h = have_of(w, set);
	if (h)
		return h->from_ns > s->now_ns ? (h->from_ns - s->now_ns) / 1000 : 0;
	return s->sets[set].bytes * 1000000 / (per_s ? per_s : 100000000);
}

/* The set is there, or on its way. Return: when. A full cache drops what was used longest ago. */
static uint64_t fetch(struct sim *s, struct sim_worker *w, uint32_t set)
{
	uint64_t at_ns = s->now_ns + sim_missing_us(s, w, set) * 1000;
	struct sim_have *h;

	if (set == SIM_NONE)
		return s->now_ns;
	h = have_of(w, set);
	if (!h) {
		s->r.n_misses++;
		if (!w->have)
			w->have = gr_xalloc(w->max_have * sizeof(*w->have));
		if (w->n_have < w->max_have) {
			h = &w->have[w->n_have++];
		} else {
			h = w->have;
			for (uint32_t i = 1; i < w->n_have; i++)
				if (w->have[i].used_ns < h->used_ns)
					h = &w->have[i];
		}
		*h = (struct sim_have){ .set = set, .from_ns = at_ns };
	}
	h->used_ns = s->now_ns;
	return at_ns;
}

static void need_of(const struct sim *s, uint32_t task, uint32_t mem_mib, struct gr_place_vec *need)
{
	*need = s->jobs[s->tasks[task].job].need;
	need->v[GR_PLACE_MEM_MIB] = mem_mib;
}

static bool has_room(const struct sim_worker *w, const struct gr_place_vec *need)
{
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		if (need->v[r] > w->cap.v[r] - w->used.v[r])
			return false;
	return true;
}

bool sim_fits(const struct sim *s, const struct sim_worker *w, const struct sim_task *t)
{
	const struct sim_job *j = &s->jobs[t->job];
	struct gr_place_vec need;

	if (!w->is_up || w->is_draining || w->is_cut || w->n_held >= w->slots)
		return false;
	if ((j->env && !(w->env_mask >> j->env & 1)) || (j->zone && j->zone != s->nodes[w->node].zone))
		return false;
	need_of(s, (uint32_t)(t - s->tasks), t->asked_mib, &need);
	return has_room(w, &need);
}

static void start(struct sim *s, struct sim_worker *w, struct sim_attempt *a)
{
	const struct sim_task *t = &s->tasks[a->task];
	uint32_t cpu_mcpu = s->jobs[t->job].need.v[GR_PLACE_CPU_MCPU];

	a->state = SIM_RUNNING;
	a->start_ns = s->now_ns;
	a->left_us = w->is_black_hole ? BLACK_HOLE_US * s->nodes[w->node].speed : t->work_us;
	w->demand_mcpu += cpu_mcpu;
	s->nodes[w->node].demand_mcpu += cpu_mcpu;
	s->n_running++;
	if (s->policy->started && !a->is_cut)
		s->policy->started(s->p, (uint32_t)(a - s->attempts));
}

void sim_worker_pump(struct sim *s, uint32_t worker)
{
	struct sim_worker *w = &s->workers[worker];

	sim_node_advance(s, w->node);
	for (uint32_t k = 0; k < w->n_held; k++) {
		uint32_t id = w->held[k];
		struct sim_attempt *a = &s->attempts[id];
		struct gr_place_vec need;
		uint64_t at_ns;

		if (a->state == SIM_FETCHING && s->now_ns >= a->start_ns)
			start(s, w, a);
		if (a->state != SIM_WAITING)
			continue;
		need_of(s, a->task, a->mem_mib, &need);
		if (w->n_busy >= w->slots || !has_room(w, &need))
			break;
		w->n_busy++;
		for (int r = 0; r < GR_PLACE_N_RES; r++)
			w->used.v[r] += need.v[r];
		s->nodes[w->node].taken_mcpu += need.v[GR_PLACE_CPU_MCPU];
		at_ns = fetch(s, w, s->tasks[a->task].set);
		if (at_ns > s->now_ns) {
			a->state = SIM_FETCHING;
			a->start_ns = at_ns;
			sim_at(s, at_ns, SIM_EV_FETCHED, worker, w->gen);
		} else {
			start(s, w, a);
		}
	}
	sim_node_plan(s, w->node);
}

void sim_attempt_off(struct sim *s, uint32_t attempt)
{
	struct sim_attempt *a = &s->attempts[attempt];
	struct sim_worker *w = &s->workers[a->worker];
	uint32_t k = 0;

	sim_node_advance(s, w->node);
	while (w->held[k] != attempt)
		k++;
	memmove(&w->held[k], &w->held[k + 1], (w->n_held - k - 1) * sizeof(*w->held));
	w->n_held--;
	if (a->state == SIM_RUNNING) {
		uint32_t cpu_mcpu = s->jobs[s->tasks[a->task].job].need.v[GR_PLACE_CPU_MCPU];

		w->demand_mcpu -= cpu_mcpu;
		s->nodes[w->node].demand_mcpu -= cpu_mcpu;
		s->n_running--;
	}
	if (a->state == SIM_RUNNING || a->state == SIM_FETCHING) {
		struct gr_place_vec need;

		need_of(s, a->task, a->mem_mib, &need);
		w->n_busy--;
		s->nodes[w->node].taken_mcpu -= need.v[GR_PLACE_CPU_MCPU];
		for (int r = 0; r < GR_PLACE_N_RES; r++)
			w->used.v[r] -= need.v[r];
	}
	a->state = SIM_OVER;
}
