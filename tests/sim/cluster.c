/* cluster.c - building the cluster and the load of a simulation, and taking it down. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/sim/sim.h"

double sim_exp(struct gr_rng *r, double mean)
{
	return -mean * log(1.0 - sim_uniform(r));
}

/* By Box and Muller; the mean is that of the lognormal itself. */
double sim_lognormal(struct gr_rng *r, double mean, double sigma)
{
	double u = 1.0 - sim_uniform(r), v = sim_uniform(r);

	return mean * exp(sigma * sqrt(-2 * log(u)) * cos(6.283185307179586 * v) - sigma * sigma / 2);
}

struct sim *sim_new(const struct sim_policy *policy, const struct sim_config *cfg)
{
	struct sim *s;

	GR_NEW(s);
	s->cfg = *cfg;
	if (!s->cfg.check_every)
		s->cfg.check_every = 1;
	s->policy = policy;
	s->rng.s = cfg->seed * 0x9e3779b97f4a7c15ull + 1;
	s->wake_ns = UINT64_MAX;
	s->free_attempt = SIM_NONE;
	GR_GROW(s->tenants, s->cap_tenants, 1);
	s->tenants[0] = (struct sim_tenant){ .weight = 1 };
	s->n_tenants = 1;
	return s;
}

void sim_free(struct sim **sp)
{
	struct sim *s = *sp;

	if (!s)
		return;
	if (s->p)
		s->policy->stop(s->p);
	for (uint32_t i = 0; i < s->n_workers; i++) {
		free(s->workers[i].held);
		free(s->workers[i].have);
	}
	for (uint32_t i = 0; i < s->n_tasks; i++)
		free(s->tasks[i].life);
	free(s->nodes);
	free(s->workers);
	free(s->tenants);
	free(s->jobs);
	free(s->tasks);
	free(s->attempts);
	free(s->sets);
	free(s->responses);
	free(s->events.heap);
	free(s);
	*sp = NULL;
}

uint32_t sim_node_add(struct sim *s, uint32_t cores_mcpu, double speed, uint32_t zone)
{
	GR_GROW(s->nodes, s->cap_nodes, s->n_nodes + 1);
	s->nodes[s->n_nodes] = (struct sim_node){ .cores_mcpu = cores_mcpu, .speed = speed, .zone = zone, .is_up = true };
	return s->n_nodes++;
}

uint32_t sim_worker_add(struct sim *s, uint32_t node, const struct sim_worker *like, uint32_t max_have)
{
	struct sim_node *n = &s->nodes[node];
	struct sim_worker *w;

	GR_GROW(s->workers, s->cap_workers, s->n_workers + 1);
	w = &s->workers[s->n_workers];
	*w = *like;
	w->node = node;
	w->is_up = true;
	w->max_have = max_have;
	n->workers[n->n_workers++] = s->n_workers;
	return s->n_workers++;
}

uint32_t sim_tenant_add(struct sim *s, uint32_t weight, const struct gr_place_vec *quota)
{
	GR_GROW(s->tenants, s->cap_tenants, s->n_tenants + 1);
	s->tenants[s->n_tenants] = (struct sim_tenant){ .weight = weight, .quota = quota ? *quota : (struct gr_place_vec){ { 0 } } };
	return s->n_tenants++;
}

uint32_t sim_set_add(struct sim *s, uint64_t bytes)
{
	GR_GROW(s->sets, s->cap_sets, s->n_sets + 1);
	s->sets[s->n_sets].bytes = bytes;
	return s->n_sets++;
}

uint32_t sim_job_add(struct sim *s, const struct sim_job *like)
{
	GR_GROW(s->jobs, s->cap_jobs, s->n_jobs + 1);
	s->jobs[s->n_jobs] = *like;
	s->jobs[s->n_jobs].first = s->n_tasks;
	return s->n_jobs++;
}

void sim_at(struct sim *s, uint64_t at_ns, enum sim_happening what, uint32_t a, uint32_t b)
{
	sim_events_push(&s->events, at_ns, what, a, b);
}

void sim_submit(struct sim *s, uint64_t at_ns, uint32_t job, const uint32_t *work_us, uint32_t count)
{
	uint32_t first = s->n_tasks, asked = s->jobs[job].need.v[GR_PLACE_MEM_MIB], set = s->jobs[job].set;

	GR_GROW(s->tasks, s->cap_tasks, s->n_tasks + count);
	for (uint32_t i = 0; i < count; i++)
		s->tasks[s->n_tasks++] = (struct sim_task){
			.job = job, .work_us = work_us[i] ? work_us[i] : 1, .set = set, .family = s->jobs[job].family,
			.ready_ns = at_ns, .asked_mib = asked,
			.rss_mib = asked * 3 / 4, .policy_queued = -1, .policy_range = -1,
		};
	s->jobs[job].n_tasks += count;
	sim_at(s, at_ns, SIM_EV_READY, first, count);
}
