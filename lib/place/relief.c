/* relief.c - decisions about what is placed already: stop for the urgent, take back for the idle, move from the leaving.
 *
 * Preemption ends because it follows a strict order: a victim's band is behind the asker's; inside a band (only when
 * switched on) a victim is taken from a tenant that would, after the swap, still not have less than the asker's, and only
 * once it ran for a while. So no two can stop each other in turn. Of the victims the newest goes: least is lost.
 * Taking back replaces stealing between workers: only what has not begun, by the one place that knows all. */
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/place/place_int.h"

#define MAX_VICTIMS_LOOKED 64u
#define MAX_ROUNDS 64u
#define MAX_VICTIMS 64u
#define RELIEF_TRIES 8u
#define KEEP_NS GR_NS_PER_S
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

/* ---- what is preempted is for whom it was preempted ---- */

static void keep(struct gr_place *p, uint64_t now_ns, uint32_t worker, uint32_t class, const struct gr_place__owner *asker, uint32_t n)
{
	GR_GROW(p->kept, p->cap_kept, p->n_kept + 1);
	p->kept[p->n_kept++] = (struct gr_place__kept){ worker, class, n, asker->id, asker->spec.tenant, asker->spec.band, now_ns };
	p->classes[class].n_kept += n;
	p->workers[worker].flags |= W_KEPT;
}

RARE void gr_place__kept_drop(struct gr_place *p, uint32_t i)
{
	uint32_t worker = p->kept[i].worker;

	p->classes[p->kept[i].class].n_kept -= p->kept[i].n;
	p->kept[i] = p->kept[--p->n_kept];
	p->workers[worker].flags &= (uint8_t)~W_KEPT;
	gr_place__change(p, worker);          /* of quota, limit and spread, too, something is free again */
	gr_place__wake(p, worker);
}

RARE void gr_place__kept_came(struct gr_place *p, uint32_t worker, uint32_t class)
{
	for (uint32_t i = p->n_kept; i-- > 0;)
		if (p->kept[i].worker == worker && p->kept[i].class == class)
			gr_place__kept_drop(p, i);
}

bool gr_place__kept_from(const struct gr_place *p, uint32_t worker, uint32_t class, uint8_t band)
{
	for (uint32_t i = 0; i < p->n_kept; i++)
		if (p->kept[i].worker == worker)
			return p->kept[i].class != class && p->kept[i].band <= band;
	return false;
}

uint32_t gr_place__kept_for(const struct gr_place *p, uint32_t owner, uint32_t but)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_kept; i++)
		if (p->kept[i].owner == p->owners[owner].id && p->kept[i].class != but)
			n += p->kept[i].n;
	return n;
}

uint32_t gr_place__kept_near(const struct gr_place *p, uint32_t owner, uint32_t but, uint8_t by, uint32_t what)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_kept; i++)
		if (p->kept[i].owner == p->owners[owner].id && p->kept[i].class != but && gr_place__tally_of(p, p->kept[i].worker, by) == what)
			n += p->kept[i].n;
	return n;
}

static bool is_emptying(const struct gr_place *p, uint32_t worker)
{
	for (uint32_t i = p->holds[worker].first; i != NIL; i = gr_place__at(p, i)->next)
		if (gr_place__at(p, i)->flags & P_LEAVING)
			return true;
	return false;
}

/* Nobody of the class waits any more, or of the asker, or what was stopped is gone and it did not come for it. */
RARE void gr_place__kept_check(struct gr_place *p, uint64_t now_ns)
{
	for (uint32_t i = p->n_kept; i-- > 0;) {
		const struct gr_place__kept *k = &p->kept[i];
		uint32_t owner = gr_place__owner(p, k->owner);

		if (!p->classes[k->class].n_items || owner == NIL || !p->owners[owner].n_queued || p->owners[owner].is_paused ||
		    (now_ns > k->since_ns + KEEP_NS && !is_emptying(p, k->worker)))
			gr_place__kept_drop(p, i);
	}
}

struct lack { int64_t of[GR_PLACE_N_RES]; int64_t slots; };

static bool is_enough(const struct lack *l)
{
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		if (l->of[r] > 0)
			return false;
	return l->slots <= 0;
}

/* How many of the class fit where nothing lacks any more for the first: a stop may make room for several. */
static uint32_t how_many(const struct lack *l, const struct gr_place__class *c, uint64_t most)
{
	uint64_t n = most - 1;

	for (int r = 0; r < GR_PLACE_N_RES; r++)
		if (c->spec.need.v[r] && (uint64_t)-l->of[r] / c->spec.need.v[r] < n)
			n = (uint64_t)-l->of[r] / c->spec.need.v[r];
	if ((uint64_t)-l->slots < n)
		n = (uint64_t)-l->slots;
	return 1 + (uint32_t)n;
}

static void give(const struct gr_place *p, struct lack *l, const struct gr_place__placed *v, int sign)
{
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		l->of[r] -= sign * (int64_t)p->classes[v->class].spec.need.v[r];
	l->slots -= sign;
}

/* How many more of the asker's may be there at once, those among them that room is kept for already. */
static uint64_t spread_left(const struct gr_place *p, uint32_t worker, const struct gr_place__search *s)
{
	const struct gr_place_class *spec = &s->class->spec;
	uint32_t what = gr_place__tally_of(p, worker, spec->spread_by);
	uint64_t n;

	if (!spec->spread_by || spec->is_spread_soft)
		return UINT64_MAX;
	n = gr_place__tally_get(p, s->owner, spec->spread_by, what) + gr_place__kept_near(p, s->owner, NIL, spec->spread_by, what);
	return n < spec->spread_max ? spec->spread_max - n : 0;
}

/* Orders to stop just enough of @worker that the class has room there, if stopping is all that is in the way. */
static uint32_t stop_on(struct gr_place *p, uint64_t now_ns, uint32_t worker, const struct gr_place__search *s, uint64_t wanted,
			struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	const struct gr_place__owner *asker = &p->owners[s->owner];
	const struct gr_place__worker *w = &p->workers[worker];
	const struct gr_place__class *c = s->class;
	uint32_t victim[MAX_VICTIMS], n_victims = 0, res;
	uint64_t most = spread_left(p, worker, s);
	struct lack l = { .slots = (int64_t)w->n_placed - w->slots + 1 };

	if (!(w->flags & W_UP) || (w->flags & (W_DRAINING | W_BLOCKED | W_KEPT)) || p->nodes[w->node].is_cordoned || !c->pool_at[w->pool] ||
	    !most || gr_place__fits(p, worker, s, &res) != GR_PLACE_V_NO_ROOM)
		return n;
	for (uint32_t r = 0; r < GR_PLACE_N_RES; r++)
		l.of[r] = c->spec.need.v[r] ? (int64_t)c->spec.need.v[r] - *gr_place__free(p, worker, r) : INT64_MIN / 2;
	for (uint32_t i = p->holds[worker].first; i != NIL; i = gr_place__at(p, i)->next)
		if (gr_place__at(p, i)->flags & P_LEAVING)
			give(p, &l, gr_place__at(p, i), 1);
	/* the least urgent first, of those the newest */
	for (uint32_t band = GR_PLACE_MAX_BAND + 1; band-- > 0 && !is_enough(&l);)
		for (uint32_t i = p->holds[worker].last; i != NIL && !is_enough(&l) && n_victims < MAX_VICTIMS; i = gr_place__at(p, i)->prev) {
			struct gr_place__placed *v = gr_place__at(p, i);

			if (p->owners[v->owner].spec.band != band || !may_stop(p, now_ns, asker, c, v))
				continue;
			give(p, &l, v, 1);
			victim[n_victims++] = i;
		}
	if (!is_enough(&l))
		return n;
	/* some may have been too little, and are not needed beside those that came later: the most urgent are spared first */
	for (uint32_t k = n_victims; k-- > 0;) {
		give(p, &l, gr_place__at(p, victim[k]), -1);
		if (is_enough(&l))
			victim[k] = NIL;
		else
			give(p, &l, gr_place__at(p, victim[k]), 1);
	}
	if (n_victims > max - n)
		return n;
	for (uint32_t k = 0; k < n_victims; k++) {
		bool is_begun = victim[k] != NIL && (gr_place__at(p, victim[k])->flags & P_RUNNING);

		if (victim[k] != NIL)
			gr_place__order(p, is_begun || !may_ask(p, GR_PLACE_RETRACT) ? GR_PLACE_PREEMPT : GR_PLACE_RETRACT, victim[k], &out[n++]);
	}
	keep(p, now_ns, worker, s->class_id, asker, how_many(&l, c, most < wanted ? most : wanted));
	return n;
}

/* The stops of one worker, out[from..from+count). */
struct stops { uint32_t worker, from, count; };

/* A later stop made room for several, so that an earlier one is not needed: it is taken back, the orders behind it move up. */
static uint32_t spare(struct gr_place *p, struct gr_place__class *c, uint32_t class, uint64_t n_wanted, struct stops *stops, uint32_t n_stops,
		      struct gr_place_decision *out, uint32_t n)
{
	for (uint32_t i = 0; i < n_stops && c->n_kept > n_wanted; i++) {
		uint32_t k = p->n_kept - 1;

		while (p->kept[k].worker != stops[i].worker || p->kept[k].class != class)
			k--;
		if (c->n_kept - p->kept[k].n < n_wanted)
			continue;
		for (uint32_t d = stops[i].from; d < stops[i].from + stops[i].count; d++) {
			gr_place__at(p, (uint32_t)out[d].placed)->flags &= (uint16_t)~P_LEAVING;
			p->acts[out[d].act]--;
		}
		n -= stops[i].count;
		memmove(&out[stops[i].from], &out[stops[i].from + stops[i].count], (n - stops[i].from) * sizeof(*out));
		for (uint32_t later = i + 1; later < n_stops; later++)
			stops[later].from -= stops[i].count;
		gr_place__kept_drop(p, k);
	}
	return n;
}

APART uint32_t gr_place__preempt(struct gr_place *p, uint64_t now_ns, uint32_t queue, const struct gr_place__search *s,
			   struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	const struct gr_place__queue *q = &p->queues[queue];
	const struct gr_place__owner *o = &p->owners[q->owner];
	struct gr_place__class *c = &p->classes[q->class];
	uint64_t wanted = gr_place__queue_wanted(p, queue);
	struct stops stops[MAX_ROUNDS];
	uint32_t rounds = 0;

	if (!may_ask(p, GR_PLACE_PREEMPT) || p->queued[q->front].t.is_gang)
		return n;
	gr_place__class_pools(p, c);
	for (uint32_t band = GR_PLACE_MAX_BAND + 1; band-- > o->spec.band;) {
		uint32_t looked = 0, i = p->bands[band].first_victim, next;

		for (; i != NIL && looked < MAX_VICTIMS_LOOKED; i = next, looked++) {
			uint32_t before = n;

			next = gr_place__asked(p, i)->victim_next;
			if (c->n_kept >= wanted || n == max || rounds == MAX_ROUNDS)
				return spare(p, c, q->class, wanted, stops, rounds, out, n);
			if (!may_stop(p, now_ns, o, c, gr_place__at(p, i)))
				continue;
			n = stop_on(p, now_ns, gr_place__at(p, i)->worker, s, wanted, out, n, max);
			if (n > before)
				stops[rounds++] = (struct stops){ gr_place__at(p, i)->worker, before, n - before };
		}
	}
	return spare(p, c, q->class, wanted, stops, rounds, out, n);
}

/* ---- taking back what waits, when somebody else is idle ---- */

APART uint32_t gr_place__relieve(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	if (!may_ask(p, GR_PLACE_RETRACT))
		return n;
	for (uint32_t try = 0; try < RELIEF_TRIES && p->n_late && n < max; try++) {
		uint32_t a = p->late[gr_rng_below(&p->rng, p->n_late)], b = p->late[gr_rng_below(&p->rng, p->n_late)];
		const struct gr_place__worker *w;
		const struct gr_place__placed *pl;
		uint32_t last;
		struct gr_place_task t = { .n_exclude = 1 };
		struct gr_place__search s = { .t = &t, .avoid_node = NIL, .reserved_for = NIL, .now_ns = now_ns };

		/* the one where more waits a slot */
		if ((uint64_t)p->workers[b].backlog_ms * p->workers[a].slots > (uint64_t)p->workers[a].backlog_ms * p->workers[b].slots)
			a = b;
		w = &p->workers[a];
		last = p->holds[a].last;
		pl = gr_place__at(p, last);
		if (pl->flags & (P_LEAVING | P_RUNNING))
			continue;
		t.family = pl->family;
		t.input_set = gr_place__asked(p, last)->input_set;
		t.exclude[0] = w->id;
		s.owner = pl->owner;
		s.class_id = pl->class;
		s.class = &p->classes[pl->class];
		s.work_us = pl->work_us;
		s.input_kib = gr_place__asked(p, last)->input_kib;
		gr_place__files(p, &s);
		gr_place__search(p, &s);
		/* it must gain more than the way back and there costs */
		if (s.worker != NIL && now_ns + (s.finish_us + 64ull * w->rtt_16us) * GR_NS_PER_US < gr_place__end_ns(p, last))
			gr_place__order(p, GR_PLACE_RETRACT, last, &out[n++]);
	}
	return n;
}

/* ---- moving from workers that will be gone ---- */

/* What is over its time by now is taken to be so for as long again: no knowledge of it is left, and it would be lost. */
static uint64_t leaves_ns(const struct gr_place *p, uint32_t placed, uint64_t now_ns)
{
	const struct gr_place__placed *pl = gr_place__at(p, placed);
	uint64_t end = gr_place__end_ns(p, placed), run_ns = (uint64_t)pl->work_us * GR_NS_PER_US;

	if (end <= now_ns && now_ns > pl->start_ns + run_ns)
		end = now_ns + (now_ns - pl->start_ns - run_ns);
	return end;
}

APART uint32_t gr_place__evacuate(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	for (uint32_t k = 0; k < p->n_leaving; k++) {
		struct gr_place__leaving *l = &p->leaving[k];

		for (uint32_t i = l->is_new ? p->holds[l->worker].first : NIL; i != NIL; i = gr_place__at(p, i)->next) {
			const struct gr_place__placed *pl = gr_place__at(p, i);
			enum gr_place_act act = pl->flags & P_RUNNING ? GR_PLACE_MOVE : GR_PLACE_RETRACT;

			if ((pl->flags & P_LEAVING) || !may_ask(p, act) ||
			    (act == GR_PLACE_MOVE && leaves_ns(p, i, now_ns) + LEAVE_MARGIN_NS <= l->gone_ns))
				continue;
			if (n == max)
				return n;
			gr_place__order(p, act, i, &out[n++]);
		}
		l->is_new = false;
	}
	return n;
}
