/* relief.c - decisions about what is placed already: stop for the urgent, take back for the idle, move from the leaving.
 *
 * Preemption ends because it follows a strict order: a victim's band is behind the asker's; inside a band (only when
 * switched on) a victim is taken from a tenant that would, after the swap, still not have less than the asker's, and only
 * once it ran for a while. So no two can stop each other in turn. Of the victims the newest goes: least is lost.
 * Taking back replaces stealing between workers: only what has not begun, by the one place that knows all. */
#include "lib/base/clock.h"
#include "lib/place/place_int.h"

#define MAX_VICTIMS_LOOKED 64u
#define MAX_ROUNDS 64u
#define RELIEF_TRIES 8u
#define LEAVE_MARGIN_NS (500 * GR_NS_PER_MS)

static bool may_ask(const struct gr_place *p, enum gr_place_act act) { return p->cfg.acts >> act & 1; }

/* ---- preemption ---- */

static uint64_t tenant_after(const struct gr_place *p, uint32_t tenant, uint32_t res, int64_t change)
{
	const struct gr_place__tenant *t = &p->tenants[tenant];
	int64_t used = (int64_t)t->used[res] + change;

	return (uint64_t)(used < 0 ? 0 : used) * p->inverse[res] / t->weight;
}

static bool may_stop(const struct gr_place *p, uint64_t now_ns, const struct gr_place__owner *asker, const struct gr_place__class *c,
		     const struct gr_place__placed *v)
{
	const struct gr_place__owner *o = &p->owners[v->owner];
	uint32_t r = c->dominant;

	/* what was placed in this very call is not stopped in it */
	if (!(v->flags & P_VICTIM) || (v->flags & P_LEAVING) || v->start_ns == now_ns)
		return false;
	if (o->spec.band != asker->spec.band)
		return o->spec.band > asker->spec.band;
	if (!p->cfg.is_fair_preempt || o->spec.tenant == asker->spec.tenant || !(v->flags & P_RUNNING) ||
	    now_ns - v->start_ns < p->cfg.min_run_ns)
		return false;
	return tenant_after(p, o->spec.tenant, r, -(int64_t)p->classes[v->class].spec.need.v[r]) >=
	       tenant_after(p, asker->spec.tenant, r, c->spec.need.v[r]);
}

/* Whether @worker could run the class if all it may stop were gone; then the orders to stop just enough of it. */
static uint32_t stop_on(struct gr_place *p, uint64_t now_ns, uint32_t worker, const struct gr_place__owner *asker, uint32_t class,
			struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	const struct gr_place__worker *w = &p->workers[worker];
	struct gr_place__class *c = &p->classes[class];
	int64_t lack[GR_PLACE_N_RES];
	uint32_t more = w->n_placed >= w->slots ? w->n_placed - w->slots + 1u : 0, n_victims = 0;
	bool is_first = true;

	if (!(w->flags & W_UP) || (w->flags & (W_DRAINING | W_BLOCKED)) || p->nodes[w->node].is_cordoned || !c->pool_at[w->pool])
		return n;
	for (uint32_t k = 0; k < c->n_need; k++)
		lack[k] = (int64_t)c->spec.need.v[c->need_res[k]] - *gr_place__free(p, worker, c->need_res[k]);
	for (int pass = 0; pass < 2; pass++) {
		int64_t left[GR_PLACE_N_RES];
		uint32_t slots = more;
		bool is_enough;

		for (uint32_t k = 0; k < c->n_need; k++)
			left[k] = lack[k];
		for (uint32_t i = w->last; i != NIL; i = gr_place__at(p, i)->prev) {
			struct gr_place__placed *v = gr_place__at(p, i);
			bool is_leaving = v->flags & P_LEAVING;

			is_enough = !slots;
			for (uint32_t k = 0; k < c->n_need; k++)
				is_enough &= left[k] <= 0;
			if (is_enough)
				break;
			if (!is_leaving && !may_stop(p, now_ns, asker, c, v))
				continue;
			for (uint32_t k = 0; k < c->n_need; k++)
				left[k] -= p->classes[v->class].spec.need.v[c->need_res[k]];
			slots -= slots > 0;
			if (is_leaving)
				continue;
			if (!pass) {
				n_victims++;
				continue;
			}
			gr_place__order(p, GR_PLACE_PREEMPT, i, &out[n++]);
			if (is_first) {
				v->for_class = class;
				c->n_preempting++;
				is_first = false;
			}
		}
		is_enough = !slots;
		for (uint32_t k = 0; k < c->n_need; k++)
			is_enough &= left[k] <= 0;
		if (!is_enough || !n_victims || n_victims > max - n)
			return n;
	}
	return n;
}

uint32_t gr_place__preempt(struct gr_place *p, uint64_t now_ns, uint32_t queue, struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	const struct gr_place__queue *q = &p->queues[queue];
	const struct gr_place__owner *o = &p->owners[q->owner];
	struct gr_place__class *c = &p->classes[q->class];
	uint32_t rounds = 0;

	if (!may_ask(p, GR_PLACE_PREEMPT) || p->queued[q->heap[0]].t.is_gang)
		return n;
	gr_place__class_pools(p, c);
	for (uint32_t band = GR_PLACE_MAX_BAND + 1; band-- > o->spec.band;) {
		uint32_t looked = 0, i = p->bands[band].first_victim, next;

		for (; i != NIL && looked < MAX_VICTIMS_LOOKED; i = next, looked++) {
			uint32_t before = n;

			next = gr_place__at(p, i)->victim_next;
			if (c->n_preempting >= o->n_queued || n == max || rounds == MAX_ROUNDS)
				return n;
			if (!may_stop(p, now_ns, o, c, gr_place__at(p, i)))
				continue;
			n = stop_on(p, now_ns, gr_place__at(p, i)->worker, o, q->class, out, n, max);
			rounds += n > before;
		}
	}
	return n;
}

/* ---- taking back what waits, when somebody else is idle ---- */

uint32_t gr_place__relieve(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	if (!may_ask(p, GR_PLACE_RETRACT))
		return n;
	for (uint32_t try = 0; try < RELIEF_TRIES && p->n_late && n < max; try++) {
		uint32_t a = p->late[gr_rng_below(&p->rng, p->n_late)], b = p->late[gr_rng_below(&p->rng, p->n_late)];
		const struct gr_place__worker *w;
		struct gr_place__placed *pl;
		struct gr_place_task t = { .n_exclude = 1 };
		struct gr_place__search s = { .t = &t, .avoid_node = NIL, .reserved_for = NIL, .now_ns = now_ns };

		/* the one where more waits a slot */
		if ((uint64_t)p->workers[b].backlog_ms * p->workers[a].slots > (uint64_t)p->workers[a].backlog_ms * p->workers[b].slots)
			a = b;
		w = &p->workers[a];
		pl = gr_place__at(p, w->last);
		if (pl->flags & (P_LEAVING | P_RUNNING))
			continue;
		t.family = pl->family;
		t.input_set = pl->input_set;
		t.exclude[0] = w->id;
		s.owner = pl->owner;
		s.class_id = pl->class;
		s.class = &p->classes[pl->class];
		s.work_us = pl->work_us;
		s.input_kib = pl->input_kib;
		gr_place__search(p, &s);
		/* it must gain more than the way back and there costs */
		if (s.worker != NIL && now_ns + (s.finish_us + 64ull * w->rtt_16us) * GR_NS_PER_US < gr_place__end_ns(p, w->last))
			gr_place__order(p, GR_PLACE_RETRACT, w->last, &out[n++]);
	}
	return n;
}

/* ---- moving from workers that will be gone ---- */

uint32_t gr_place__evacuate(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	(void)now_ns;
	for (uint32_t k = 0; k < p->n_leaving; k++) {
		struct gr_place__leaving *l = &p->leaving[k];

		for (uint32_t i = l->is_new ? p->workers[l->worker].first : NIL; i != NIL; i = gr_place__at(p, i)->next) {
			const struct gr_place__placed *pl = gr_place__at(p, i);
			enum gr_place_act act = pl->flags & P_RUNNING ? GR_PLACE_MOVE : GR_PLACE_RETRACT;

			if ((pl->flags & P_LEAVING) || !may_ask(p, act) ||
			    (act == GR_PLACE_MOVE && gr_place__end_ns(p, i) + LEAVE_MARGIN_NS <= l->gone_ns))
				continue;
			if (n == max)
				return n;
			gr_place__order(p, act, i, &out[n++]);
		}
		l->is_new = false;
	}
	return n;
}
