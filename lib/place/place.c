/* place.c - names, workers and owners of the placement state. A worker stands in one array per environment it has (and
 * in environment 0, which is all of them); the front part of each array holds those that can be given a task, so that
 * sampling never looks at a full worker. Moving over the border is a swap. Buckets by cost rank are not here: the
 * sample is scored instead. */
#include "lib/place/place.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/place/place_int.h"

struct gr_place *gr_place_new(const struct gr_place_config *cfg)
{
	struct gr_place *p;

	GR_NEW(p);
	p->cfg = *cfg;
	if (!p->cfg.n_sample)
		p->cfg.n_sample = 8;
	if (!p->cfg.max_depth)
		p->cfg.max_depth = 40;
	if (!p->cfg.fast_fails)
		p->cfg.fast_fails = 3;
	if (!p->cfg.fast_fail_ns)
		p->cfg.fast_fail_ns = 2 * GR_NS_PER_S;
	if (!p->cfg.quarantine_ns)
		p->cfg.quarantine_ns = 30 * GR_NS_PER_S;
	p->rng.s = cfg->seed;
	p->changes = 1;
	p->wake_ns = UINT64_MAX;
	p->free_queue = p->free_queued = p->free_placed = NIL;
	p->families = gr_xalloc(FAMILY_SLOTS * sizeof(*p->families));
	p->mean_work_us = UNKNOWN_WORK_US;
	GR_GROW(p->envs, p->cap_envs, 1);
	p->n_envs = 1;
	return p;
}

void gr_place_free(struct gr_place **pp)
{
	struct gr_place *p = *pp;

	if (!p)
		return;
	for (uint32_t i = 0; i < p->n_envs; i++)
		free(p->envs[i].workers);
	for (uint32_t i = 0; i < p->n_queues; i++)
		free(p->queues[i].heap);
	for (uint32_t i = 0; i < p->n_owners; i++)
		free(p->owners[i].have_kib);
	free(p->envs);
	free(p->nodes);
	free(p->classes);
	free(p->workers);
	free(p->owners);
	free(p->queues);
	free(p->queued);
	free(p->placed);
	free(p->families);
	free(p);
	*pp = NULL;
}

/* ---- names ---- */

/* A scan: environments are few, and a map of borrowed keys would dangle when the array grows. */
int gr_place_env_find(const struct gr_place *p, const struct gr_digest *d)
{
	for (uint32_t i = 1; i < p->n_envs; i++) {
		const struct gr_place__env *e = &p->envs[i];

		if ((e->n || e->n_class) && gr_digest_eq(&e->digest, d))
			return (int)i;
	}
	return GR_ENOENT;
}

int gr_place_env(struct gr_place *p, const struct gr_digest *d)
{
	int rc = gr_place_env_find(p, d);
	uint32_t i;

	if (rc > 0)
		return rc;
	for (i = 1; i < p->n_envs; i++)
		if (!p->envs[i].n && !p->envs[i].n_class)
			break;
	if (i == p->n_envs) {
		if (p->n_envs >= GR_PLACE_MAX_ENVS)
			return GR_ELIMIT;
		GR_GROW(p->envs, p->cap_envs, p->n_envs + 1);
		p->n_envs++;
	}
	p->envs[i].digest = *d;
	return (int)i;
}

void gr_place_env_hold(struct gr_place *p, uint32_t env, bool is_held)
{
	assert(env < p->n_envs);
	p->envs[env].n_class += is_held ? 1 : -1u;
}

int gr_place_node(struct gr_place *p, const char *name)
{
	size_t n = strlen(name);
	uint32_t hole = NIL;

	if (!n || n >= sizeof(p->nodes->name))
		return GR_EINVAL;
	for (uint32_t i = 0; i < p->n_nodes; i++) {
		if (!strcmp(p->nodes[i].name, name))
			return (int)i;
		if (!p->nodes[i].n_workers)
			hole = i;
	}
	if (hole == NIL) {
		GR_GROW(p->nodes, p->cap_nodes, p->n_nodes + 1);
		hole = p->n_nodes++;
	}
	memset(&p->nodes[hole], 0, sizeof(p->nodes[hole]));
	memcpy(p->nodes[hole].name, name, n + 1);
	return (int)hole;
}

int gr_place_class(struct gr_place *p, const struct gr_place_class *spec)
{
	struct gr_place__class *c;
	uint32_t hole = NIL;

	assert(spec->env < p->n_envs);
	for (uint32_t i = 0; i < p->n_classes; i++) {
		c = &p->classes[i];
		if (c->is_used && c->spec.env == spec->env && c->spec.zone == spec->zone &&
		    !memcmp(&c->spec.need, &spec->need, sizeof(spec->need)))
			return (int)i;
		if (!c->is_used || !c->n_task)
			hole = i;
	}
	if (hole == NIL) {
		if (p->n_classes >= GR_PLACE_MAX_CLASSES)
			return GR_ELIMIT;
		GR_GROW(p->classes, p->cap_classes, p->n_classes + 1);
		hole = p->n_classes++;
	}
	c = &p->classes[hole];
	if (c->is_used)
		p->envs[c->spec.env].n_class--;
	*c = (struct gr_place__class){ .spec = *spec, .is_used = true };
	p->envs[spec->env].n_class++;
	return (int)hole;
}

/* ---- where a worker stands in its environments' arrays ---- */

bool gr_place__has_env(const struct gr_place__worker *w, uint32_t env)
{
	for (uint32_t i = 0; i < w->n_envs; i++)
		if (w->env[i] == env)
			return true;
	return false;
}

static uint32_t *pos_in(struct gr_place__worker *w, uint32_t env)
{
	for (uint32_t i = 0; i < w->n_envs; i++)
		if (w->env[i] == env)
			return &w->pos[i];
	abort();
}

static void swap_in_env(struct gr_place *p, uint32_t env, uint32_t a, uint32_t b)
{
	struct gr_place__env *e = &p->envs[env];
	uint32_t wa = e->workers[a], wb = e->workers[b];

	e->workers[a] = wb;
	e->workers[b] = wa;
	*pos_in(&p->workers[wb], env) = a;
	*pos_in(&p->workers[wa], env) = b;
}

static void set_avail(struct gr_place *p, uint32_t worker, bool is_avail)
{
	struct gr_place__worker *w = &p->workers[worker];

	if (w->is_avail == is_avail)
		return;
	w->is_avail = is_avail;
	for (uint32_t i = 0; i < w->n_envs; i++) {
		struct gr_place__env *e = &p->envs[w->env[i]];

		if (is_avail)
			swap_in_env(p, w->env[i], w->pos[i], e->n_avail++);
		else
			swap_in_env(p, w->env[i], w->pos[i], --e->n_avail);
	}
}

uint32_t gr_place__depth(const struct gr_place *p, const struct gr_place__worker *w)
{
	uint32_t more = w->prefetch < p->cfg.max_depth ? w->prefetch : p->cfg.max_depth;

	return w->slots + more;
}

void gr_place__refresh(struct gr_place *p, uint32_t worker)
{
	struct gr_place__worker *w = &p->workers[worker];

	set_avail(p, worker, w->is_up && !w->is_draining && !w->blocked_until_ns && w->n_placed < gr_place__depth(p, w));
	if (w->is_avail)
		p->changes++;
}

/* Records of placements for as many as the workers may hold: they grow with the workers, not with decisions. */
static void reserve(struct gr_place *p, struct gr_place__worker *w)
{
	uint32_t depth = gr_place__depth(p, w);

	if (depth <= w->room)
		return;
	p->room += depth - w->room;
	w->room = depth;
	GR_GROW(p->placed, p->cap_placed, p->room);
}

/* ---- workers ---- */

int gr_place_worker_up(struct gr_place *p, uint64_t now_ns, const struct gr_place_worker *spec)
{
	struct gr_place__worker *w;
	uint32_t id;

	(void)now_ns;
	if (!spec->slots || spec->n_envs > GR_PLACE_MAX_WORKER_ENVS)
		return GR_EINVAL;
	assert(spec->node < p->n_nodes);
	for (id = 0; id < p->n_workers && p->workers[id].is_up; id++)
		;
	if (id >= GR_PLACE_MAX_WORKERS)
		return GR_ELIMIT;
	if (id == p->n_workers) {
		GR_GROW(p->workers, p->cap_workers, p->n_workers + 1);
		p->n_workers++;
	}
	w = &p->workers[id];
	*w = (struct gr_place__worker){
		.is_up = true, .id = id | ((w->id >> WORKER_BITS) + 1) % WORKER_GENS << WORKER_BITS, .tag = spec->tag,
		.cap = spec->cap, .slots = spec->slots, .prefetch = spec->prefetch,
		.node = spec->node, .zone = spec->zone, .speed_permille = 1000, .first_placed = NIL,
	};
	for (uint32_t i = 0; i <= spec->n_envs; i++) {
		uint32_t env = i ? spec->envs[i - 1] : GR_PLACE_NO_ENV;
		struct gr_place__env *e = &p->envs[env];

		assert(env < p->n_envs);
		if (gr_place__has_env(w, env))
			continue;
		GR_GROW(e->workers, e->cap, e->n + 1);
		w->env[w->n_envs] = env;
		w->pos[w->n_envs++] = e->n;
		e->workers[e->n++] = id;
	}
	for (uint32_t i = 0; i < p->n_owners; i++) {
		struct gr_place__owner *o = &p->owners[i];

		if (!o->is_used)
			continue;
		GR_GROW(o->have_kib, o->n_have, p->n_workers);
		o->have_kib[id] = 0;
	}
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		p->total.v[r] += spec->cap.v[r];
	p->nodes[spec->node].n_workers++;
	p->nodes[spec->node].sum_mcpu += spec->cap.v[GR_PLACE_CPU_MCPU];
	if (spec->node_cpu_mcpu)
		p->nodes[spec->node].said_mcpu = spec->node_cpu_mcpu;
	reserve(p, w);
	gr_place__refresh(p, id);
	return (int)w->id;
}

static struct gr_place__worker *worker_of(const struct gr_place *p, uint32_t worker)
{
	struct gr_place__worker *w = &p->workers[worker & WORKER_MASK];

	assert((worker & WORKER_MASK) < p->n_workers && w->is_up && w->id == worker);
	return w;
}

void gr_place_worker_down(struct gr_place *p, uint64_t now_ns, uint32_t worker)
{
	struct gr_place__worker *w = worker_of(p, worker);
	struct gr_place__node *node = &p->nodes[w->node];

	(void)now_ns;
	worker &= WORKER_MASK;
	while (w->first_placed != NIL)
		gr_place__release(p, w->first_placed);
	set_avail(p, worker, false);
	for (uint32_t i = 0; i < w->n_envs; i++) {
		struct gr_place__env *e = &p->envs[w->env[i]];

		swap_in_env(p, w->env[i], w->pos[i], e->n - 1);
		e->n--;
	}
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		p->total.v[r] -= w->cap.v[r];
	node->n_workers--;
	node->sum_mcpu -= w->cap.v[GR_PLACE_CPU_MCPU];
	w->is_up = false;
	w->n_envs = 0;
	p->room -= w->room;
	for (uint32_t i = 0; i < p->n_owners; i++) {
		struct gr_place__owner *o = &p->owners[i];

		for (uint32_t k = 0; k < o->n_warm; k++)
			if (o->warm[k] == worker)
				o->warm[k--] = o->warm[--o->n_warm];
	}
}

void gr_place_worker_drain(struct gr_place *p, uint32_t worker, bool is_draining)
{
	worker_of(p, worker)->is_draining = is_draining;
	gr_place__refresh(p, worker & WORKER_MASK);
}

void gr_place_worker_pause(struct gr_place *p, uint32_t worker, uint64_t until_ns)
{
	struct gr_place__worker *w = worker_of(p, worker);

	if (w->blocked_until_ns < until_ns)
		w->blocked_until_ns = until_ns;
	if (p->wake_ns > w->blocked_until_ns)
		p->wake_ns = w->blocked_until_ns;
	gr_place__refresh(p, worker & WORKER_MASK);
}

void gr_place_worker_signals(struct gr_place *p, uint32_t worker, const struct gr_place_signals *s)
{
	struct gr_place__worker *w = worker_of(p, worker);
	struct gr_place__node *node = &p->nodes[w->node];
	uint32_t away = s->throttled_permille + s->steal_permille;

	if (s->quota_mcpu)
		w->quota_mcpu = s->quota_mcpu;
	if (s->rtt_ns)
		w->rtt_us = s->rtt_ns / GR_NS_PER_US;
	/* what others take of the time, and half of what tasks wait for a core: our own load is counted apart */
	w->pressure_permille = (away > 900 ? 900 : away) + (s->cpu_psi_permille > 1000 ? 500 : s->cpu_psi_permille / 2);
	node->foreign_permille = (node->foreign_permille + s->steal_permille) / 2;
	if (s->slots && s->slots != w->slots) {
		w->slots = s->slots;
		reserve(p, w);
		gr_place__refresh(p, worker & WORKER_MASK);
	}
}

void gr_place_worker_info(const struct gr_place *p, uint32_t worker, struct gr_place_worker_info *out)
{
	const struct gr_place__worker *w = worker_of(p, worker);

	*out = (struct gr_place_worker_info){
		.slots = w->slots, .depth = gr_place__depth(p, w), .n_placed = w->n_placed,
		.speed_permille = w->speed_permille, .contention_permille = gr_place__contention(p, w, 0),
		.quarantined_until_ns = w->is_quarantined ? w->blocked_until_ns : 0,
		.done = w->done, .failed = w->failed, .is_draining = w->is_draining,
	};
}

/* ---- owners ---- */

int gr_place_owner_add(struct gr_place *p, const struct gr_place_owner *spec)
{
	struct gr_place__owner *o;
	uint32_t id;

	if (!spec->weight || spec->priority > 31)
		return GR_EINVAL;
	for (id = 0; id < p->n_owners && p->owners[id].is_used; id++)
		;
	if (id == p->n_owners) {
		GR_GROW(p->owners, p->cap_owners, p->n_owners + 1);
		p->n_owners++;
	}
	o = &p->owners[id];
	free(o->have_kib);
	*o = (struct gr_place__owner){ .is_used = true, .spec = *spec, .first_queue = NIL };
	if (p->n_workers)
		GR_GROW(o->have_kib, o->n_have, p->n_workers);
	return (int)id;
}

static struct gr_place__owner *owner_of(const struct gr_place *p, uint32_t owner)
{
	assert(owner < p->n_owners && p->owners[owner].is_used);
	return &p->owners[owner];
}

void gr_place_owner_remove(struct gr_place *p, uint32_t owner)
{
	struct gr_place__owner *o = owner_of(p, owner);

	assert(!o->n_queued);
	while (o->first_queue != NIL) {
		uint32_t q = o->first_queue;

		o->first_queue = p->queues[q].next;
		p->queues[q].next = p->free_queue;
		p->free_queue = q;
	}
	o->is_going = true;
	if (!o->n_placed)
		o->is_used = false;
}

void gr_place_owner_bytes(struct gr_place *p, uint32_t owner, uint64_t bytes)
{
	owner_of(p, owner)->bytes = bytes;
}

/* ---- looking ---- */

bool gr_place__fits_shape(const struct gr_place *p, const struct gr_place__worker *w, const struct gr_place_class *c,
			  enum gr_place_res *res)
{
	(void)p;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		if (c->need.v[r] > w->cap.v[r]) {
			*res = (enum gr_place_res)r;
			return false;
		}
	return true;
}

uint32_t gr_place_feasible(const struct gr_place *p, uint32_t class, const uint32_t *exclude, uint32_t n_exclude, uint32_t enough)
{
	const struct gr_place_class *c = &p->classes[class].spec;
	const struct gr_place__env *e = &p->envs[c->env];
	enum gr_place_res res;
	uint32_t n = 0;

	/* those that can take one now come first in the array, so mostly the first look is enough */
	for (uint32_t i = 0; i < e->n && n < enough; i++) {
		const struct gr_place__worker *w = &p->workers[e->workers[i]];
		bool is_out = w->is_draining || w->is_quarantined || (c->zone && c->zone != w->zone) || !gr_place__fits_shape(p, w, c, &res);

		for (uint32_t k = 0; k < n_exclude && !is_out; k++)
			is_out = exclude[k] == w->id;
		n += !is_out;
	}
	return n;
}

void gr_place_stats(const struct gr_place *p, uint64_t now_ns, struct gr_place_stats *out)
{
	struct gr_place_stats s = {
		.n_queued = p->tasks_queued, .n_placed = p->tasks_placed, .decisions = p->decisions, .looked = p->looked,
	};

	(void)now_ns;
	for (uint32_t i = 0; i < p->n_workers; i++) {
		const struct gr_place__worker *w = &p->workers[i];

		if (!w->is_up)
			continue;
		s.n_workers++;
		s.n_draining += w->is_draining;
		s.n_quarantined += w->is_quarantined;
		if (w->is_draining || w->is_quarantined)
			continue;
		s.slots += w->slots;
		s.free_slots += w->n_placed < w->slots ? w->slots - w->n_placed : 0;
	}
	for (uint32_t i = 0; i < p->n_owners; i++)
		s.n_owners += p->owners[i].is_used && !p->owners[i].is_going;
	for (uint32_t i = 0; i < p->n_classes; i++)
		s.n_classes += p->classes[i].is_used;
	for (uint32_t i = 1; i < p->n_envs; i++)
		s.n_envs += p->envs[i].n > 0;
	for (uint32_t i = 0; i < p->n_nodes; i++)
		s.n_nodes += p->nodes[i].n_workers > 0;
	*out = s;
}
