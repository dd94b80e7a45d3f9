/* commit.c - what a placement takes, and giving it back: the only code that changes a worker's room.
 *
 * A worker runs what fits its slots and cores, in the order of sending; the rest waits there on credit, and is counted as
 * running, with its share of the node's cores, once what ended before it made room. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/place/place_int.h"

/* ---- records ---- */

RARE void gr_place__room_make(struct gr_place *p, uint32_t n)
{
	uint32_t cap = p->cap_tally ? p->cap_tally : 64;

	while (p->room_placed < p->tasks_placed + n) {
		size_t from = p->room_placed, to = from + ROOM_STEP;

		gr_xspan_use(p->placed, from * sizeof(*p->placed), to * sizeof(*p->placed));
		gr_xspan_use(p->asked, from * sizeof(*p->asked), to * sizeof(*p->asked));
		p->room_placed = (uint32_t)to;
	}
	while (gr_place__is_tally_small(p, cap, n))
		cap *= 2;
	if (cap != p->cap_tally) {
		struct gr_place__tally *old = p->tally;
		uint32_t n_old = p->cap_tally;

		p->tally = gr_xalloc(cap * sizeof(*p->tally));
		p->cap_tally = cap;
		p->n_tally = 0;
		for (uint32_t i = 0; i < n_old; i++)
			if (old[i].key) {
				uint32_t at = (uint32_t)(old[i].key * 0x9e3779b97f4a7c15ull >> 32) & (cap - 1);

				while (p->tally[at].key)
					at = (at + 1) & (cap - 1);
				p->tally[at] = old[i];
				p->n_tally++;
			}
		free(old);
	}
}

static inline struct gr_place__placed *record_new(struct gr_place *p, uint32_t *id)
{
	struct gr_place__placed *pl;

	*id = p->free_placed != NIL ? p->free_placed : p->n_placed;
	pl = gr_place__at(p, *id);
	if (p->free_placed != NIL)
		p->free_placed = pl->next;
	else
		p->n_placed++;
	return pl;
}

uint64_t gr_place__handle(const struct gr_place *p, uint32_t placed)
{
	return (uint64_t)gr_place__at(p, placed)->gen << 32 | placed;
}

uint32_t gr_place__placed(const struct gr_place *p, uint64_t handle)
{
	uint32_t i = (uint32_t)handle;
	const struct gr_place__placed *pl;

	if (i >= p->n_placed)
		return NIL;
	pl = gr_place__at(p, i);
	return (pl->flags & P_USED) && pl->gen == handle >> 32 ? i : NIL;
}

/* ---- what runs and what waits ---- */

static uint32_t cpu_of(const struct gr_place *p, const struct gr_place__placed *pl)
{
	return p->classes[pl->class].spec.need.v[GR_PLACE_CPU_MCPU];
}

static bool can_run(const struct gr_place *p, const struct gr_place__worker *w, uint32_t cpu_mcpu)
{
	uint32_t n_running = (uint32_t)w->n_placed - w->n_waiting;

	return n_running < w->slots && (!n_running || w->run_mcpu + cpu_mcpu <= p->caps[w->cap].v.v[GR_PLACE_CPU_MCPU]);
}

/* It runs: it may be late one day. */
static inline void watch(struct gr_place *p, uint32_t placed)
{
	if (p->cfg.acts >> GR_PLACE_COPY & 1)
		gr_place__wheel_add(p, placed);
}

static inline void run(struct gr_place *p, uint32_t worker, uint32_t placed, struct gr_place__placed *pl)
{
	struct gr_place__worker *w = &p->workers[worker];
	uint32_t cpu = cpu_of(p, pl);

	pl->flags |= P_RUNNING;
	pl->start_ns = p->now_ns;
	w->run_mcpu += cpu;
	if (cpu)
		gr_place__node_load(p, w->node, (int32_t)cpu);
	watch(p, placed);
}

/* The first that waits is another one now, or none: its record says where the worker stands among the late. */
static APART void wait_next(struct gr_place *p, uint32_t worker)
{
	struct gr_place__holds *h = &p->holds[worker];
	uint32_t late = gr_place__at(p, h->wait)->wheel_next;

	h->wait = gr_place__at(p, h->wait)->next;
	if (!--p->workers[worker].n_waiting) {
		h->wait = NIL;
		gr_place__late_del(p, late);
	} else {
		gr_place__at(p, h->wait)->wheel_next = late;
	}
}

/* What waits moves up, in order. */
static void promote(struct gr_place *p, uint32_t worker)
{
	struct gr_place__worker *w = &p->workers[worker];

	while (w->n_waiting && can_run(p, w, cpu_of(p, gr_place__at(p, p->holds[worker].wait)))) {
		uint32_t placed = p->holds[worker].wait;

		wait_next(p, worker);
		run(p, worker, placed, gr_place__at(p, placed));
	}
}

static void chain_add(struct gr_place *p, struct gr_place__holds *h, uint32_t placed, struct gr_place__placed *pl)
{
	pl->prev = h->last;
	pl->next = NIL;
	if (h->last != NIL)
		gr_place__at(p, h->last)->next = placed;
	else
		h->first = placed;
	h->last = placed;
}

/* Whether it is the first, or the last, is as good as random: where its neighbours' links stand is chosen without a branch. */
static void chain_del(struct gr_place *p, struct gr_place__holds *h, uint32_t placed, struct gr_place__placed *pl)
{
	bool is_first = pl->prev == NIL, is_last = pl->next == NIL;
	struct gr_place__placed *before = gr_place__at(p, (uint32_t)gr_place__either(pl->prev, placed, is_first));
	struct gr_place__placed *after = gr_place__at(p, (uint32_t)gr_place__either(pl->next, placed, is_last));
	uint32_t prev = pl->prev, next = pl->next;

	*(uint32_t *)(uintptr_t)gr_place__either((uintptr_t)&before->next, (uintptr_t)&h->first, is_first) = next;
	*(uint32_t *)(uintptr_t)gr_place__either((uintptr_t)&after->prev, (uintptr_t)&h->last, is_last) = prev;
}

/* ---- those that may be preempted, by band, the newest first ---- */

static APART void victim_add(struct gr_place *p, uint32_t placed)
{
	struct gr_place__placed *pl = gr_place__at(p, placed);
	struct gr_place__asked *k = gr_place__asked(p, placed);
	uint8_t band = p->owners[pl->owner].spec.band;
	uint32_t *first = &p->bands[band].first_victim;

	p->victim_bits |= 1u << band;
	pl->flags |= P_VICTIM;
	k->victim_prev = NIL;
	k->victim_next = *first;
	if (*first != NIL)
		gr_place__asked(p, *first)->victim_prev = placed;
	*first = placed;
}

static APART void victim_del(struct gr_place *p, uint32_t placed)
{
	const struct gr_place__placed *pl = gr_place__at(p, placed);
	const struct gr_place__asked *k = gr_place__asked(p, placed);

	if (k->victim_prev != NIL) {
		gr_place__asked(p, k->victim_prev)->victim_next = k->victim_next;
	} else {
		uint8_t band = p->owners[pl->owner].spec.band;

		p->bands[band].first_victim = k->victim_next;
		if (k->victim_next == NIL)
			p->victim_bits &= ~(1u << band);
	}
	if (k->victim_next != NIL)
		gr_place__asked(p, k->victim_next)->victim_prev = k->victim_prev;
}

static APART void tally(struct gr_place *p, uint32_t owner, const struct gr_place__class *c, uint32_t worker, int sign)
{
	uint8_t a = c->spec.spread_by, b = c->spec.near_by;

	if (a)
		gr_place__tally_add(p, owner, a, gr_place__tally_of(p, worker, a), sign);
	if (b && b != a)
		gr_place__tally_add(p, owner, b, gr_place__tally_of(p, worker, b), sign);
}

/* ---- taking and giving back ---- */

/* @n tasks of the class take room there; a negative n gives it back. */
static void take_room(struct gr_place *p, uint32_t worker, const struct gr_place__class *c, int32_t n)
{
	int32_t *f = p->workers[worker].free;

	for (uint32_t r = 0; r < N_INLINE; r++)
		f[r] -= c->need4[r] * n;
	for (uint32_t r = N_INLINE; c->n_user && r < GR_PLACE_N_RES; r++)
		p->over[worker][r - N_INLINE] -= (int32_t)c->spec.need.v[r] * n;
}

static inline struct gr_place__placed *record(struct gr_place *p, const struct gr_place__search *s, uint64_t tag, uint32_t nth,
					      enum gr_place_act act, struct gr_place_decision *d)
{
	struct gr_place__worker *w = &p->workers[s->worker];
	uint32_t id, gen;
	struct gr_place__placed *pl = record_new(p, &id);

	gen = pl->gen + 1;
	*pl = (struct gr_place__placed){
		.family = s->t->family, .start_ns = s->now_ns, .gen = gen, .nth = nth,
		.worker = s->worker, .node = w->node, .class = s->class_id, .owner = s->owner, .work_us = s->work_us,
		.twin = NIL, .flags = (uint16_t)(P_USED | (act == GR_PLACE_COPY ? P_COPY : 0) |
				    (s->t->n_exclude || s->t->n_exclude_node || s->t->is_gang ? P_ALONE : 0)),
	};
	*gr_place__asked(p, id) = (struct gr_place__asked){ .tag = tag, .input_set = s->t->input_set, .input_kib = s->input_kib };
	d->act = act;
	d->tag = tag;
	d->nth = nth;
	d->placed = (uint64_t)gen << 32 | id;
	d->other = 0;
	d->worker = w->id;
	d->worker_tag = w->tag;
	d->gang = 0;
	d->n_looked = s->n_looked;
	d->finish_us = s->finish_us;
	memcpy(d->next, s->next, sizeof(d->next));
	chain_add(p, &p->holds[s->worker], id, pl);
	if (p->owners[s->owner].spec.is_preemptible && !s->t->is_gang)
		victim_add(p, id);
	return pl;
}

OFTEN uint32_t gr_place__put(struct gr_place *p, const struct gr_place__search *s, uint64_t tag, uint32_t nth, uint32_t n,
			     enum gr_place_act act, struct gr_place_decision *d)
{
	struct gr_place__worker *w = &p->workers[s->worker];
	struct gr_place__class *c = &p->classes[s->class_id];
	uint32_t first, cpu = c->spec.need.v[GR_PLACE_CPU_MCPU];
	struct gr_place__placed *pl;
	bool runs = n > 1 || (!w->n_waiting && can_run(p, w, cpu));

	pl = record(p, s, tag, nth, act, d);
	first = (uint32_t)d->placed;
	for (uint32_t i = 1; n > 1 && i <= n; i++) {
		pl->flags |= P_RUNNING;
		watch(p, (uint32_t)d[i - 1].placed);
		if (i < n)
			pl = record(p, s, tag, nth + i, act, &d[i]);
	}
	take_room(p, s->worker, c, (int32_t)n);
	w->backlog_ms += s->work_us / 1000 * n;
	w->n_placed = (uint16_t)(w->n_placed + n);
	if (n > 1) {
		w->run_mcpu += cpu * n;
		gr_place__node_load(p, w->node, (int32_t)(cpu * n));
	} else if (runs) {
		run(p, s->worker, first, pl);
	} else if (!w->n_waiting++) {
		p->holds[s->worker].wait = first;
		gr_place__late_add(p, s->worker);
	}
	if (w->flags & W_KEPT)
		gr_place__kept_came(p, s->worker, s->class_id);
	if (c->has_policy)
		tally(p, s->owner, c, s->worker, 1);
	gr_place__warm(p, s->worker, &p->owners[s->owner], s);
	gr_place__refresh(p, s->worker);
	return first;
}

OFTEN void gr_place__account(struct gr_place *p, const struct gr_place__search *s, uint32_t n, enum gr_place_act act)
{
	struct gr_place__class *c = &p->classes[s->class_id];

	p->placed_ms += (uint64_t)(s->work_us / 1000) * n;
	p->owners[s->owner].n_placed += n;
	p->tasks_placed += n;
	c->n_task += n;
	c->parked_ns = c->parked_at == NIL ? 0 : p->now_ns + 1;       /* it found room, and may be closed again in a moment */
	gr_place__charge(p, s->owner, c, (int)n);
	p->decisions += n;
	p->acts[act] += n;
}

OFTEN uint32_t gr_place__commit(struct gr_place *p, const struct gr_place__search *s, uint64_t tag, uint32_t nth, uint32_t n,
			  enum gr_place_act act, struct gr_place_decision *d)
{
	uint32_t first = gr_place__put(p, s, tag, nth, n, act, d);

	gr_place__account(p, s, n, act);
	return first;
}

OFTEN void gr_place__release(struct gr_place *p, uint32_t placed)
{
	struct gr_place__placed *pl = gr_place__at(p, placed);
	struct gr_place__worker *w = &p->workers[pl->worker];
	struct gr_place__class *c = &p->classes[pl->class];
	struct gr_place__owner *o = &p->owners[pl->owner];
	uint32_t worker = pl->worker, cpu = cpu_of(p, pl);

	if (pl->flags & (P_WHEEL | P_DUE))
		gr_place__wheel_del(p, placed);
	if (pl->flags & P_VICTIM)
		victim_del(p, placed);
	if (pl->flags & P_COPY)
		p->n_copies--;
	if (pl->twin != NIL)
		gr_place__at(p, pl->twin)->twin = NIL;
	take_room(p, worker, c, -1);
	w->n_placed--;
	if (w->n_waiting && p->holds[worker].wait == placed)
		wait_next(p, worker);
	else if (!(pl->flags & P_RUNNING))
		w->n_waiting--;
	chain_del(p, &p->holds[worker], placed, pl);
	w->backlog_ms -= pl->work_us / 1000;
	p->placed_ms -= pl->work_us / 1000;
	if (pl->flags & P_RUNNING) {
		w->run_mcpu -= cpu;
		if (cpu)
			gr_place__node_load(p, w->node, -(int32_t)cpu);
	}
	promote(p, worker);
	o->n_placed--;
	p->tasks_placed--;
	c->n_task--;
	if (c->has_policy)
		tally(p, pl->owner, c, worker, -1);
	if (c->has_policy)
		gr_place__change(p, NIL);     /* its place counted elsewhere on that node and zone too */
	gr_place__charge(p, pl->owner, c, -1);
	if (o->spec.max_placed && !o->is_going)
		gr_place__owner_hold(p, pl->owner);
	gr_place__owner_done(p, pl->owner);
	pl->flags = 0;
	pl->next = p->free_placed;
	p->free_placed = placed;
	gr_place__refresh(p, worker);
	gr_place__wake(p, worker);
}

uint64_t gr_place__end_ns(const struct gr_place *p, uint32_t placed)
{
	const struct gr_place__placed *pl = gr_place__at(p, placed);
	const struct gr_place__worker *w = &p->workers[pl->worker];
	uint64_t m = gr_place__contention(p, w, 0), speed = p->nodes[w->node].speed_permille;
	uint64_t run_ns = pl->work_us * m / speed * GR_NS_PER_US, end;

	if (pl->flags & P_RUNNING)
		end = pl->start_ns + run_ns;
	else
		end = p->now_ns + w->backlog_ms * m / speed / w->slots * GR_NS_PER_MS + run_ns / 2;
	return end > p->now_ns ? end : p->now_ns;
}

void gr_place__order(struct gr_place *p, enum gr_place_act act, uint32_t placed, struct gr_place_decision *d)
{
	struct gr_place__placed *pl = gr_place__at(p, placed);
	const struct gr_place__worker *w = &p->workers[pl->worker];

	pl->flags |= P_LEAVING;
	*d = (struct gr_place_decision){
		.act = act, .tag = gr_place__asked(p, placed)->tag, .nth = pl->nth, .placed = gr_place__handle(p, placed),
		.worker = w->id, .worker_tag = w->tag,
	};
	for (uint32_t i = 0; i < GR_PLACE_N_NEXT; i++)
		d->next[i].worker = d->next[i].score_us = UINT32_MAX;
	p->acts[act]++;
}
