/* park.c - a class that found no room is not tried again before something changed that could fit it.
 *
 * It stands in p->parked and its lines are closed. Room that a worker gained opens the classes that could use it, and the
 * first of them takes it: most are closed again a moment later, so that all this time they keep their place in p->parked. */
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

void gr_place__count_open(struct gr_place *p, uint32_t class, int n)
{
	uint32_t at = class % 64;

	p->n_open += (uint32_t)n;
	p->n_open_at[at] += (uint32_t)n;
	p->open = p->n_open_at[at] ? p->open | 1ull << at : p->open & ~(1ull << at);
}

static void set_closed(struct gr_place *p, uint32_t class, bool is_closed)
{
	p->closed[class / 64] ^= 1ull << class % 64;
	p->n_closed += is_closed ? 1u : UINT32_MAX;
	gr_place__count_open(p, class, is_closed ? -(int)p->classes[class].n_lines : (int)p->classes[class].n_lines);
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
	}
	set_closed(p, class, true);
	c->none_at = is_exact ? p->changes : 0;
	if (!c->parked_ns)
		c->parked_ns = now_ns + 1;
}

void gr_place__unpark(struct gr_place *p, uint32_t class)
{
	struct gr_place__class *c = &p->classes[class];

	if (c->parked_at == NIL)
		return;
	p->parked[c->parked_at] = p->parked[--p->n_parked];
	p->classes[p->parked[c->parked_at].class].parked_at = c->parked_at;
	c->parked_at = NIL;
	if (gr_place__is_parked(p, class))
		set_closed(p, class, false);
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

void gr_place__change(struct gr_place *p, uint32_t worker)
{
	p->changed[++p->changes % N_CHANGED] = worker;
}

void gr_place__wake(struct gr_place *p, uint32_t worker)
{
	const struct gr_place__worker *w = &p->workers[worker];
	const int32_t *f = w->free;
	/* what waits behind others needs no core yet */
	int32_t cpu = p->group[worker] == 1 ? INT32_MAX : f[GR_PLACE_CPU_MCPU];

	if (!(G_SOME_ROOM >> p->group[worker] & 1))
		return;
	gr_place__change(p, worker);
	for (uint32_t i = p->n_parked; i-- > 0;) {
		const struct gr_place__parked *k = &p->parked[i];
		uint32_t class = k->class;

		if (!(k->pools >> w->pool % 64 & 1) ||
		    ((cpu - k->need4[0]) | (f[1] - k->need4[1]) | (f[2] - k->need4[2]) | (f[3] - k->need4[3])) < 0)
			continue;
		if (p->classes[class].pools_gen != p->pools_gen)
			gr_place__class_pools(p, &p->classes[class]);
		if (!p->classes[class].pool_at[w->pool] || !gr_place__is_parked(p, class))
			continue;
		if (p->n_woken < N_WOKEN && p->classes[class].n_items) {
			set_closed(p, class, false);
			p->woken[p->n_woken++] = class;
		} else {
			gr_place__unpark(p, class);
		}
	}
}

/* Not exact: a worker that may be asked by a search may still be refused. */
static bool may_take(const struct gr_place *p, const struct gr_place__class *c, uint32_t worker)
{
	const struct gr_place__worker *w = &p->workers[worker];
	const int32_t *f = w->free;

	if (!(G_SOME_ROOM >> p->group[worker] & 1) || !c->pool_at[w->pool] ||
	    ((f[1] - c->need4[1]) | (f[2] - c->need4[2]) | (f[3] - c->need4[3])) < 0)
		return false;
	return w->prefetch || f[GR_PLACE_CPU_MCPU] >= c->need4[GR_PLACE_CPU_MCPU];
}

enum hope { NO_HOPE, SOME_HOPE, UNKNOWN };

/* Whether the class, for which no worker had room some events ago, may find some now. */
static enum hope hope_of(const struct gr_place *p, const struct gr_place__class *c)
{
	if (!c->n_items || !c->none_at || c->has_policy || c->spec.left_ms || c->pools_gen != p->pools_gen || p->changes - c->none_at >= N_CHANGED)
		return UNKNOWN;
	for (uint64_t at = p->changes; at != c->none_at; at--) {
		uint32_t worker = p->changed[at % N_CHANGED];

		if (worker == NIL)
			return UNKNOWN;
		if (may_take(p, c, worker))
			return SOME_HOPE;
	}
	return NO_HOPE;
}

/* One free slot wakes every class that could use it, and the first of them takes it: the others need no search of their
 * own to learn that it is gone. Those that could stop somebody for room are left to try. */
void gr_place__park_woken(struct gr_place *p, uint64_t now_ns)
{
	uint32_t kept = 0;

	if (p->victim_bits)
		p->n_woken = 0;
	for (uint32_t i = 0; i < p->n_woken; i++) {
		uint32_t class = p->woken[i];
		enum hope hope = gr_place__is_parked(p, class) ? UNKNOWN : hope_of(p, &p->classes[class]);

		if (hope == SOME_HOPE)
			p->woken[kept++] = class;
		else if (hope == NO_HOPE)
			gr_place__park(p, class, now_ns, true);
	}
	p->n_woken = kept;
}

void gr_place__wake_all(struct gr_place *p)
{
	gr_place__change(p, NIL);
	while (p->n_parked)
		gr_place__unpark(p, p->parked[p->n_parked - 1].class);
}

