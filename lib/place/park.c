/* park.c - a class that found no room is not tried again before something changed that could fit it.
 *
 * It stands in p->parked and its lines are closed. Room that a worker gained opens the classes that could use it, and the
 * first of them takes it: most are closed again a moment later, so that all this time they keep their place in p->parked. */
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

/* Few words say it: what is opened or closed is not counted one by one. */
static inline void open_anew(struct gr_place *p)
{
	uint64_t open = 0;

	for (uint32_t i = 0; i * 64 < p->n_classes; i++)
		open |= p->in_line[i] & ~p->closed[i];
	p->open = open;
}

void gr_place__count_line(struct gr_place *p, uint32_t class, int n)
{
	struct gr_place__class *c = &p->classes[class];

	c->n_lines += (uint32_t)n;
	if (c->n_lines)
		p->in_line[class / 64] |= 1ull << class % 64;
	else
		p->in_line[class / 64] &= ~(1ull << class % 64);
	if (!gr_place__is_parked(p, class))
		p->n_open += (uint32_t)n;
	open_anew(p);
}

/* The caller sees to p->open. */
static inline void close_it(struct gr_place *p, uint32_t class)
{
	p->closed[class / 64] |= 1ull << class % 64;
	p->n_closed++;
	p->n_open -= p->classes[class].n_lines;
}

static inline void open_it(struct gr_place *p, uint32_t class)
{
	p->closed[class / 64] &= ~(1ull << class % 64);
	p->n_closed--;
	p->n_open += p->classes[class].n_lines;
}

static void found_none(struct gr_place__class *c, uint64_t now_ns, uint64_t none_at)
{
	c->none_at = none_at;
	if (!c->parked_ns)
		c->parked_ns = now_ns + 1;
}

void gr_place__park(struct gr_place *p, uint32_t class, uint64_t now_ns, bool is_exact)
{
	struct gr_place__class *c = &p->classes[class];
	struct gr_place__parked *k;

	if (gr_place__is_parked(p, class))
		return;
	if (c->parked_at == NIL) {
		GR_GROW(p->parked, p->cap_parked, p->n_parked + 1);
		k = &p->parked[p->n_parked];
		k->class = class;
		k->pools = c->pool_bits;
		memcpy(k->need4, c->need4, sizeof(k->need4));
		c->parked_at = p->n_parked++;
		p->parked_pools |= k->pools;
	}
	close_it(p, class);
	open_anew(p);
	found_none(c, now_ns, is_exact ? p->changes : 0);
}

/* Off the list; the caller sees to p->open. */
static void take_off(struct gr_place *p, uint32_t class)
{
	struct gr_place__class *c = &p->classes[class];

	p->parked[c->parked_at] = p->parked[--p->n_parked];
	p->classes[p->parked[c->parked_at].class].parked_at = c->parked_at;
	c->parked_at = NIL;
	if (gr_place__is_parked(p, class))
		open_it(p, class);
}

void gr_place__unpark(struct gr_place *p, uint32_t class)
{
	if (p->classes[class].parked_at == NIL)
		return;
	take_off(p, class);
	open_anew(p);
}

uint32_t gr_place__changed(const struct gr_place *p, const struct gr_place__class *c, uint32_t out[N_CHANGED])
{
	uint64_t n = p->changes - c->none_at;

	if (!c->none_at || n >= N_CHANGED)
		return NIL;
	for (uint32_t i = 0; i < n; i++) {
		out[i] = p->changed[(p->changes - i) % N_CHANGED];
		if (out[i] == NIL)
			return NIL;
	}
	return (uint32_t)n;
}

/* The bits of a class's pools are of one pool each as long as there are 64 at most. A new pool opens all classes, so that
 * they know of all that have workers. */
static RARE bool may_run_in(struct gr_place *p, struct gr_place__class *c, uint32_t pool)
{
	gr_place__class_pools(p, c);
	return c->pool_at[pool];
}

OFTEN void gr_place__wake_parked(struct gr_place *p, uint32_t worker)
{
	const struct gr_place__worker *w = &p->workers[worker];
	const int32_t *f = w->free;
	/* what waits behind others needs no core yet */
	int32_t cpu = p->group[worker] == 1 ? INT32_MAX : f[GR_PLACE_CPU_MCPU];
	uint64_t pools = 0;

	for (uint32_t i = p->n_parked; i-- > 0;) {
		const struct gr_place__parked *k = &p->parked[i];
		uint32_t class = k->class;
		struct gr_place__class *c = &p->classes[class];

		pools |= k->pools;
		if (!(k->pools >> w->pool % 64 & 1) ||
		    ((cpu - k->need4[0]) | (f[1] - k->need4[1]) | (f[2] - k->need4[2]) | (f[3] - k->need4[3])) < 0)
			continue;
		if (!gr_place__is_parked(p, class) || (p->n_pools > 64 && !may_run_in(p, c, w->pool)))
			continue;
		if (p->n_woken < N_WOKEN && c->n_items && c->is_even) {
			open_it(p, class);
			p->woken[p->n_woken++] = class;
		} else {
			take_off(p, class);
		}
	}
	p->woken_gen = p->pools_gen;
	p->parked_pools = pools;
	open_anew(p);
}

/* Not exact: a worker that may be asked by a search may still be refused. */
static bool may_take(const struct gr_place *p, const struct gr_place__class *c, uint32_t worker)
{
	const struct gr_place__worker *w = &p->workers[worker];
	const int32_t *f = w->free;

	if (!gr_place__has_room(p, worker) || !c->pool_at[w->pool] ||
	    ((f[1] - c->need4[1]) | (f[2] - c->need4[2]) | (f[3] - c->need4[3])) < 0)
		return false;
	return w->prefetch || f[GR_PLACE_CPU_MCPU] >= c->need4[GR_PLACE_CPU_MCPU];
}

enum hope { NO_HOPE, SOME_HOPE, UNKNOWN };

/* Whether the class, for which no worker had room @n events ago, may find some now. */
static enum hope hope_of(const struct gr_place *p, const struct gr_place__class *c, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint32_t worker = p->changed[(p->changes - i) % N_CHANGED];

		if (worker == NIL)
			return UNKNOWN;
		if (may_take(p, c, worker))
			return SOME_HOPE;
	}
	return NO_HOPE;
}

/* One free slot wakes every class that could use it, and the first of them takes it: the others need no search of their
 * own to learn that it is gone. Those that could stop somebody for room are left to try. */
OFTEN void gr_place__park_woken(struct gr_place *p, uint64_t now_ns)
{
	/* [n]: pools of the workers of the last n events that have room still, as bits by pool % 64: mostly none that the class may use */
	uint64_t pools[N_CHANGED] = { 0 };
	uint32_t kept = 0, n_pools = 0;

	if (p->victim_bits || p->woken_gen != p->pools_gen)
		p->n_woken = 0;
	for (uint32_t i = 0; i < p->n_woken; i++) {
		uint32_t class = p->woken[i];
		struct gr_place__class *c = &p->classes[class];
		uint64_t n = p->changes - c->none_at;
		enum hope hope = NO_HOPE;

		if (!c->n_items || !c->none_at || n >= N_CHANGED || gr_place__is_parked(p, class))
			continue;
		for (; n_pools < n; n_pools++) {
			uint32_t worker = p->changed[(p->changes - n_pools) % N_CHANGED];
			uint64_t bit = worker == NIL ? UINT64_MAX : (uint64_t)gr_place__has_room(p, worker) << p->workers[worker].pool % 64;

			pools[n_pools + 1] = pools[n_pools] | bit;
		}
		if (pools[n] & c->pool_bits)
			hope = hope_of(p, c, n);
		if (hope == SOME_HOPE) {
			p->woken[kept++] = class;
		} else if (hope == NO_HOPE && c->parked_at != NIL) {
			close_it(p, class);
			found_none(c, now_ns, p->changes);
		} else if (hope == NO_HOPE) {
			gr_place__park(p, class, now_ns, true);
		}
	}
	p->n_woken = kept;
	open_anew(p);
}

void gr_place__wake_all(struct gr_place *p)
{
	gr_place__change(p, NIL);
	while (p->n_parked)
		take_off(p, p->parked[p->n_parked - 1].class);
	open_anew(p);
}

