/* explain.c - looking: why here, why not there, what is it waiting for, how much of everything. The costs are those the
 * decision uses. A class's list of pools is a cache of what is there already, brought up to date here too. */
#include "lib/place/place.h"

#include <string.h>

#include "lib/place/place_int.h"

static const char *const act_names[] = { "none", "run", "copy", "retract", "preempt", "move" };
static const char *const verdict_texts[] = {
#define X(NAME, name, text) text,
	GR_PLACE_VERDICT_MAP(X)
#undef X
};
static const char *const verdict_names[] = {
#define X(NAME, name, text) name,
	GR_PLACE_VERDICT_MAP(X)
#undef X
};
static const char *const pending_texts[] = {
#define X(NAME, name, text) text,
	GR_PLACE_PENDING_MAP(X)
#undef X
};
static const char *const pending_names[] = {
#define X(NAME, name, text) name,
	GR_PLACE_PENDING_MAP(X)
#undef X
};
static const char *const res_names[] = { "cpu_mcpu", "mem_mib", "disk_mib", "gpu_milli", "user0", "user1", "user2", "user3" };

const char *gr_place_act_name(enum gr_place_act a) { return (unsigned)a < GR_PLACE_N_ACTS ? act_names[a] : "?"; }
const char *gr_place_verdict_name(enum gr_place_verdict v) { return (unsigned)v < GR_PLACE_N_VERDICTS ? verdict_names[v] : "?"; }
const char *gr_place_verdict_text(enum gr_place_verdict v) { return (unsigned)v < GR_PLACE_N_VERDICTS ? verdict_texts[v] : "?"; }
const char *gr_place_pending_name(enum gr_place_pending r) { return (unsigned)r < GR_PLACE_N_PENDING ? pending_names[r] : "?"; }
const char *gr_place_pending_text(enum gr_place_pending r) { return (unsigned)r < GR_PLACE_N_PENDING ? pending_texts[r] : "?"; }
const char *gr_place_res_name(enum gr_place_res r) { return (unsigned)r < GR_PLACE_N_RES ? res_names[r] : "?"; }

static struct gr_place__class *class_of(const struct gr_place *p, uint32_t class)
{
	struct gr_place__class *c = &p->classes[class];

	gr_place__class_pools((struct gr_place *)(uintptr_t)p, c);
	return c;
}

/* The first resource of which the class asks more than the worker has when empty; GR_PLACE_N_RES none. */
static uint32_t too_small(const struct gr_place *p, const struct gr_place__worker *w, const struct gr_place_vec *need)
{
	uint32_t r;

	for (r = 0; r < GR_PLACE_N_RES && need->v[r] <= p->caps[w->cap].v.v[r]; r++)
		;
	return r;
}

/* ---- one worker's answer ---- */

static enum gr_place_verdict why_no_pool(const struct gr_place *p, const struct gr_place__class *c, const struct gr_place__worker *w,
					 struct gr_place_why *y)
{
	const struct gr_place__pool *pool = &p->pools[w->pool];
	bool has_env = !c->spec.env;
	uint32_t r = too_small(p, w, &c->spec.need);

	for (uint32_t i = 0; i < pool->n_envs; i++)
		has_env |= pool->envs[i] == c->spec.env;
	if (!has_env)
		return GR_PLACE_V_NO_ENV;
	if (c->spec.zone && c->spec.zone != pool->zone)
		return GR_PLACE_V_ZONE;
	if (!gr_place__labels_match(p, c, pool) || r == GR_PLACE_N_RES)
		return GR_PLACE_V_LABEL;
	y->res = (enum gr_place_res)r;
	return GR_PLACE_V_TOO_SMALL;
}

static void judge(const struct gr_place *p, uint32_t worker, struct gr_place__search *s, struct gr_place_why *y)
{
	const struct gr_place__worker *w = &p->workers[worker];
	uint32_t res = 0;

	if (!s->class->pool_at[w->pool]) {
		y->verdict = why_no_pool(p, s->class, w, y);
		res = y->res;
	} else {
		/* as it would be on credit: what only lacks a core waits there */
		s->with_credits = true;
		y->verdict = gr_place__fits(p, worker, s, &res);
		y->res = (enum gr_place_res)res;
		if (y->verdict == GR_PLACE_V_FITS && (w->flags & W_DRAINING))
			y->verdict = GR_PLACE_V_DRAINING;
		else if (y->verdict == GR_PLACE_V_FITS && p->nodes[w->node].is_cordoned)
			y->verdict = GR_PLACE_V_CORDONED;
		else if (y->verdict == GR_PLACE_V_FITS && (w->flags & W_BLOCKED))
			y->verdict = w->flags & W_QUARANTINED ? GR_PLACE_V_QUARANTINED : GR_PLACE_V_PAUSED;
		else if (y->verdict == GR_PLACE_V_FITS && !p->group[worker])
			y->verdict = GR_PLACE_V_NO_CREDIT;
	}
	if (y->verdict == GR_PLACE_V_TOO_SMALL || y->verdict == GR_PLACE_V_NO_ROOM) {
		int32_t free = *gr_place__free((struct gr_place *)(uintptr_t)p, worker, res);

		y->asked = s->class->spec.need.v[res];
		y->free = y->verdict == GR_PLACE_V_TOO_SMALL ? p->caps[w->cap].v.v[res] : free > 0 ? (uint32_t)free : 0;
	} else if (y->verdict == GR_PLACE_V_NO_CREDIT) {
		y->asked = w->n_placed;
		y->free = gr_place__depth(p, w);
	}
}

uint32_t gr_place_explain(const struct gr_place *p, uint64_t now_ns, const struct gr_place_task *t,
			  struct gr_place_why *out, uint32_t max)
{
	uint32_t owner = gr_place__owner(p, t->owner), n = 0;
	struct gr_place__search s = { .t = t, .owner = owner, .class_id = t->class, .avoid_node = NIL, .reserved_for = NIL, .now_ns = now_ns };

	if (owner == NIL || t->class >= p->n_classes || !p->classes[t->class].is_used || now_ns < p->epoch_ns)
		return 0;
	s.class = class_of(p, t->class);
	s.work_us = gr_place__work_us(p, t->family, t->work_ms);
	s.input_kib = t->input_bytes >> 10 > UINT32_MAX ? UINT32_MAX : (uint32_t)(t->input_bytes >> 10);
	gr_place__files(p, &s);
	for (uint32_t i = 0; i < p->n_workers && n < max; i++) {
		const struct gr_place__worker *w = &p->workers[i];
		struct gr_place__cost cost;

		if (!(w->flags & W_UP))
			continue;
		cost = gr_place__cost(p, i, &s);
		out[n] = (struct gr_place_why){
			.worker = w->id, .worker_tag = w->tag, .wait_us = cost.wait_us, .fetch_us = cost.fetch_us, .run_us = cost.run_us,
			.score_us = cost.wait_us + cost.fetch_us + cost.run_us + cost.more_us,
			.speed_permille = p->nodes[w->node].speed_permille,
			.contention_permille = gr_place__contention(p, w, s.class->spec.need.v[GR_PLACE_CPU_MCPU]),
		};
		judge(p, i, &s, &out[n++]);
	}
	return n;
}

/* ---- could it go anywhere ---- */

static bool could_run(const struct gr_place *p, uint32_t worker, const struct gr_place__class *c, const uint32_t *exclude, uint32_t n_exclude)
{
	const struct gr_place__worker *w = &p->workers[worker];

	if (!(w->flags & W_UP) || p->group[worker] == G_NONE || !c->pool_at[w->pool])
		return false;
	for (uint32_t k = 0; k < n_exclude; k++)
		if (exclude[k] == w->id)
			return false;
	return too_small(p, w, &c->spec.need) == GR_PLACE_N_RES;
}

uint32_t gr_place_feasible(const struct gr_place *p, uint32_t class, const uint32_t *exclude, uint32_t n_exclude, uint32_t enough)
{
	struct gr_place__class *c;
	uint32_t n = 0;

	if (class >= p->n_classes || !p->classes[class].is_used)
		return 0;
	c = class_of(p, class);
	/* full workers stand in no bucket: whether one could is asked for every task, and mostly it is who could the last time */
	if (enough == 1 && c->could_at < p->n_workers && could_run(p, c->could_at, c, exclude, n_exclude))
		return 1;
	for (uint32_t i = 0; i < p->n_workers && n < enough && c->n_pools; i++)
		if (could_run(p, i, c, exclude, n_exclude)) {
			c->could_at = i;
			n++;
		}
	return n;
}

/* ---- what does it wait for ---- */

static bool could_go(const struct gr_place *p, uint32_t class, const struct gr_place_task *t)
{
	const struct gr_place__class *c;

	if (!t->n_exclude_node)
		return gr_place_feasible(p, class, t->exclude, t->n_exclude, 1);
	c = class_of(p, class);
	for (uint32_t i = 0; i < p->n_workers && c->n_pools; i++)
		if (could_run(p, i, c, NULL, 0) && !gr_place__is_excluded(&p->workers[i], t))
			return true;
	return false;
}

int gr_place_pending(const struct gr_place *p, int64_t queued)
{
	uint32_t i = gr_place__queued(p, queued), first;
	const struct gr_place__queued *item;
	const struct gr_place__queue *q;
	const struct gr_place__owner *o;

	if (i == NIL)
		return GR_ENOENT;
	item = &p->queued[i];
	q = &p->queues[item->queue];
	o = &p->owners[q->owner];
	if (o->is_paused)
		return GR_PLACE_P_PAUSED;
	if (!gr_place__may_more(p, o))
		return GR_PLACE_P_LIMIT;
	if (!could_go(p, q->class, &item->t))
		return GR_PLACE_P_NOWHERE;
	if (!gr_place__quota_allows(p, &p->tenants[o->spec.tenant], &p->classes[q->class], o->spec.band, item->t.is_gang ? item->t.count : 1))
		return GR_PLACE_P_QUOTA;
	if (item->queue == p->held)
		return GR_PLACE_P_FASTER;
	if (item->t.is_gang && q->where == Q_STUCK)
		return GR_PLACE_P_GANG;
	if (q->where == Q_STUCK || gr_place__is_parked(p, q->class))
		return GR_PLACE_P_ROOM;
	first = gr_place__choose(p);
	if (first == NIL)
		return GR_PLACE_P_ROOM;
	if (p->owners[p->queues[first].owner].spec.band < o->spec.band)
		return GR_PLACE_P_BAND;
	return first == item->queue && q->front == i ? GR_PLACE_P_NEXT : GR_PLACE_P_BEHIND;
}

/* ---- sums ---- */

void gr_place_stats(const struct gr_place *p, uint64_t now_ns, struct gr_place_stats *out)
{
	struct gr_place_stats s = {
		.n_held = p->held != NIL ? (uint32_t)p->tasks_queued : 0, .n_queued = p->tasks_queued,
		.n_placed = p->tasks_placed, .decisions = p->decisions, .looked = p->looked,
	};

	(void)now_ns;
	memcpy(s.acts, p->acts, sizeof(s.acts));
	for (uint32_t i = 0; i < p->n_workers; i++) {
		const struct gr_place__worker *w = &p->workers[i];

		if (!(w->flags & W_UP))
			continue;
		s.n_workers++;
		s.n_running += w->n_placed < w->slots ? w->n_placed : w->slots;
		s.n_draining += (w->flags & W_DRAINING) != 0;
		s.n_quarantined += (w->flags & W_QUARANTINED) != 0;
		if ((w->flags & (W_DRAINING | W_QUARANTINED)) || p->nodes[w->node].is_cordoned)
			continue;
		s.slots += w->slots;
		s.free_slots += w->n_placed < w->slots ? w->slots - w->n_placed : 0;
	}
	for (uint32_t i = 0; i < p->n_owners; i++)
		s.n_owners += p->owners[i].is_used && !p->owners[i].is_going;
	for (uint32_t i = 0; i < p->n_tenants; i++)
		s.n_tenants += p->tenants[i].is_used;
	for (uint32_t i = 0; i < p->n_classes; i++)
		s.n_classes += p->classes[i].is_used;
	for (uint32_t i = 1; i < p->n_envs; i++)
		s.n_envs += p->envs[i].n_worker > 0;
	for (uint32_t i = 0; i < p->n_nodes; i++)
		s.n_nodes += p->nodes[i].n_workers > 0;
	for (uint32_t i = 0; i < p->n_pools; i++)
		s.n_pools += p->pools[i].is_used;
	*out = s;
}

void gr_place_memory(const struct gr_place *p, size_t *all, size_t *workers)
{
	size_t each = sizeof(*p->workers) + sizeof(*p->holds) + sizeof(*p->spots) + sizeof(*p->group) + sizeof(*p->rank);
	size_t w = p->cap_workers * each + (size_t)p->cap_have * sizeof(*p->have) + (size_t)p->cap_late * sizeof(*p->late) + (p->over ? (size_t)p->cap_over * sizeof(*p->over) : 0), a;

	for (uint32_t i = 0; i < p->n_pools; i++)
		for (uint32_t g = 0; g < N_GROUPS; g++)
			for (uint32_t r = 0; p->pools[i].groups[g].buckets && r < N_RANKS; r++)
				w += p->pools[i].groups[g].buckets[r].cap * sizeof(uint32_t);
	a = w + sizeof(*p) + FAMILY_SLOTS * sizeof(*p->families) + N_SETS * sizeof(*p->sets) +
	    (size_t)p->cap_nodes * (sizeof(*p->nodes) + sizeof(*p->price_1024)) + (size_t)p->cap_owners * sizeof(*p->owners) + (size_t)p->cap_queues * (sizeof(*p->queues) + sizeof(*p->queue_at)) +
	    (size_t)p->cap_queued * sizeof(*p->queued) + (size_t)p->room_placed * (sizeof(*p->placed) + sizeof(*p->asked)) +
	    (size_t)p->cap_classes * sizeof(*p->classes) + (size_t)p->cap_pools * sizeof(*p->pools) + (size_t)p->cap_tally * sizeof(*p->tally) +
	    (size_t)p->cap_lines * sizeof(*p->lines) + (size_t)p->cap_stands * sizeof(*p->stands) + (size_t)p->ix_node.cap * sizeof(*p->ix_node.slots);
	for (uint32_t i = 0; i < p->n_nodes; i++)
		a += p->nodes[i].name ? strlen(p->nodes[i].name) + 1 : 0;
	for (uint32_t i = 0; i < p->n_queues; i++)
		a += p->queues[i].cap * sizeof(uint32_t);
	for (uint32_t i = 0; i < p->n_lines; i++)
		a += p->lines[i].cap * (2 * sizeof(uint64_t) + sizeof(struct gr_place__seat));
	*all = a;
	*workers = w;
}
