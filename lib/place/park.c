/* park.c - a class that found no room is not tried again before something changed that could fit it.
 *
 * It stands in p->parked and its lines are closed. Room that a worker gained opens the classes that could use it, and the
 * first of them takes it: most are closed again a moment later, so that all this time they keep their place in p->parked.
 * Each change that could fit a closed class opens it. So of one that is open since p->woken_at, and was closed when no worker at
 * all had room for it, it is known that only those have some now that changed since. */
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

static inline uint32_t n_words(const struct gr_place *p) { return (p->n_classes + 63) / 64; }
static inline void set(uint64_t *bits, uint32_t i) { bits[i / 64] |= 1ull << i % 64; }
static inline void unset(uint64_t *bits, uint32_t i) { bits[i / 64] &= ~(1ull << i % 64); }
static inline bool has(const uint64_t *bits, uint32_t i) { return bits[i / 64] >> i % 64 & 1; }

/* Few words say it: what is opened or closed is not counted one by one. */
static inline void sum_up(struct gr_place *p)
{
	uint64_t open = 0, closed = 0, woken = 0;

	for (uint32_t i = 0; i < n_words(p); i++) {
		open |= p->in_line[i] & ~p->closed[i];
		closed |= p->closed[i];
		woken |= p->woken[i];
	}
	p->open = open;
	p->has_closed = closed;
	p->has_woken = woken;
}

void gr_place__count_line(struct gr_place *p, uint32_t class, int n)
{
	struct gr_place__class *c = &p->classes[class];

	c->n_lines += (uint32_t)n;
	if (c->n_lines)
		set(p->in_line, class);
	else
		unset(p->in_line, class);
	sum_up(p);
}

APART uint32_t gr_place__n_open(const struct gr_place *p, uint32_t most)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_words(p); i++)
		for (uint64_t open = p->in_line[i] & ~p->closed[i]; open && n < most; open &= open - 1)
			n += p->classes[i * 64 + (uint32_t)__builtin_ctzll(open)].n_lines;
	return n;
}

APART void gr_place__park(struct gr_place *p, uint32_t class, uint64_t now_ns, bool is_exact)
{
	struct gr_place__class *c = &p->classes[class];
	struct gr_place__parked *k;

	if (has(p->closed, class))
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
	set(p->closed, class);
	unset(p->woken, class);
	unset(p->exact, class);
	if (is_exact)
		set(p->exact, class);
	c->none_at = is_exact ? p->changes : 0;
	if (!c->parked_ns)
		c->parked_ns = now_ns + 1;
	sum_up(p);
}

/* Off the list; the caller sums up. */
static void take_off(struct gr_place *p, uint32_t class)
{
	struct gr_place__class *c = &p->classes[class];

	p->parked[c->parked_at] = p->parked[--p->n_parked];
	p->classes[p->parked[c->parked_at].class].parked_at = c->parked_at;
	c->parked_at = NIL;
	unset(p->closed, class);
	unset(p->woken, class);
	unset(p->exact, class);
}

APART void gr_place__unpark(struct gr_place *p, uint32_t class)
{
	if (p->classes[class].parked_at == NIL)
		return;
	take_off(p, class);
	sum_up(p);
}

uint32_t gr_place__changed(const struct gr_place *p, uint32_t class, uint32_t out[N_CHANGED])
{
	uint64_t none_at = has(p->woken, class) ? p->woken_at : p->classes[class].none_at, n = p->changes - none_at;

	if (!none_at || n >= N_CHANGED)
		return NIL;
	for (uint32_t i = 0; i < n; i++) {
		out[i] = p->changed[(p->changes - i) % N_CHANGED];
		if (out[i] == NIL)
			return NIL;
	}
	return (uint32_t)n;
}

/* The bits of a class's pools are of one pool each as long as there are 64 at most. A new pool opens all classes, so that
 * they know of all that have workers. Return: those of word @i of @hit that may run in the pool. */
static RARE uint64_t that_may_run_in(struct gr_place *p, uint32_t i, uint64_t hit, uint32_t pool)
{
	for (uint64_t bits = hit; bits; bits &= bits - 1) {
		struct gr_place__class *c = &p->classes[i * 64 + (uint32_t)__builtin_ctzll(bits)];

		gr_place__class_pools(p, c);
		if (!c->pool_at[pool])
			hit &= ~(bits & -bits);
	}
	return hit;
}

/* Those of word @i are no longer parked. */
static RARE void take_off_all(struct gr_place *p, uint32_t i, uint64_t off)
{
	for (; off; off &= off - 1)
		take_off(p, i * 64 + (uint32_t)__builtin_ctzll(off));
}

OFTEN APART void gr_place__wake_parked(struct gr_place *p, uint32_t worker)
{
	const struct gr_place__worker *w = &p->workers[worker];
	uint64_t *hit = p->hit, pools = 0;
	uint32_t n = n_words(p), pool = w->pool;
	gr_place__four free;

	memcpy(&free, w->free, sizeof(free));
	if (w->prefetch)
		free[GR_PLACE_CPU_MCPU] = INT32_MAX;  /* what waits behind others needs no core yet: as in may_take */
	for (uint32_t i = 0; i < p->n_parked; i++) {
		const struct gr_place__parked *k = &p->parked[i];

		pools |= k->pools;
		hit[k->class / 64] |= (k->pools >> pool % 64 & gr_place__suffices(free, k->need4)) << k->class % 64;
	}
	p->parked_pools = pools;
	if (!p->has_woken)
		p->woken_at = p->changes - 1;
	p->woken_gen = p->pools_gen;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t open = hit[i] & p->closed[i], known;

		hit[i] = 0;
		if (p->n_pools > 64)
			open = that_may_run_in(p, i, open, pool);
		known = open & p->exact[i] & p->in_line[i];
		p->closed[i] &= ~open;
		p->woken[i] |= known;
		if (open & ~known)
			take_off_all(p, i, open & ~known);
	}
	sum_up(p);
}

/* Not exact: a worker that may be asked by a search may still be refused. */
static bool may_take(const struct gr_place *p, const struct gr_place__class *c, uint32_t worker)
{
	const struct gr_place__worker *w = &p->workers[worker];
	gr_place__four free;

	if (!gr_place__has_room(p, worker) || !c->pool_at[w->pool])
		return false;
	memcpy(&free, w->free, sizeof(free));
	if (w->prefetch)
		free[GR_PLACE_CPU_MCPU] = INT32_MAX;
	return gr_place__suffices(free, c->need4);
}

/* Of word @i those that may find room with one of the workers. */
static APART uint64_t that_may_go(const struct gr_place *p, uint32_t i, const uint32_t *worker, uint32_t n)
{
	uint64_t may = 0;

	for (uint64_t bits = p->woken[i]; bits; bits &= bits - 1) {
		const struct gr_place__class *c = &p->classes[i * 64 + (uint32_t)__builtin_ctzll(bits)];
		uint32_t k;

		for (k = 0; k < n && !may_take(p, c, worker[k]); k++)
			;
		may |= k < n ? bits & -bits : 0;
	}
	return may;
}

/* One free slot wakes every class that could use it, and the first of them takes it: the others need no search of their
 * own to learn that it is gone. Those that could stop somebody for room are left to try. */
OFTEN APART void gr_place__park_woken(struct gr_place *p)
{
	uint64_t n_changes = p->changes - p->woken_at;
	uint32_t with_room[N_CHANGED], n = 0, n_all = n_words(p);
	bool is_known = !p->victim_bits && p->woken_gen == p->pools_gen && n_changes < N_CHANGED;

	for (uint64_t i = 0; is_known && i < n_changes; i++) {
		uint32_t worker = p->changed[(p->changes - i) % N_CHANGED];

		is_known = worker != NIL;
		if (is_known && gr_place__has_room(p, worker))
			with_room[n++] = worker;
	}
	for (uint32_t i = 0; i < n_all; i++) {
		/* of those that were placed whole, nothing waits */
		uint64_t off = is_known ? p->woken[i] & ~p->in_line[i] : p->woken[i], may;

		if (off)
			take_off_all(p, i, off);
		may = n ? that_may_go(p, i, with_room, n) : 0;
		p->closed[i] |= p->woken[i] & ~may;
		p->woken[i] = may;
	}
	sum_up(p);
}

RARE void gr_place__wake_all(struct gr_place *p)
{
	gr_place__change(p, NIL);
	while (p->n_parked)
		take_off(p, p->parked[p->n_parked - 1].class);
	sum_up(p);
}
