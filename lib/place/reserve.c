/* reserve.c - one reservation, for what waits longest: a gang, or a task so large that smaller ones always take its room.
 *
 * EASY backfilling: for one queue at a time, the workers that will be free soonest are kept; others may run there only
 * what is expected to end before all of them are free (the shadow time). Making it costs a look at every worker that could
 * do it, at most once a second. A reservation that did not come true by its time is made anew. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/place/place_int.h"

/* When the worker will have room for the class: what it runs ends one after another, as expected. UINT64_MAX: never. */
static uint64_t free_at(struct gr_place *p, uint32_t worker, const struct gr_place__search *s)
{
	const struct gr_place__worker *w = &p->workers[worker];
	const struct gr_place__class *c = s->class;
	int64_t lack[GR_PLACE_N_RES];
	uint32_t slots = w->n_placed >= w->slots ? w->n_placed - w->slots + 1u : 0;
	uint64_t at = s->now_ns, last = 0;

	for (uint32_t k = 0; k < c->n_need; k++) {
		if (c->spec.need.v[c->need_res[k]] > p->caps[w->cap].v.v[c->need_res[k]])
			return UINT64_MAX;
		lack[k] = (int64_t)c->spec.need.v[c->need_res[k]] - *gr_place__free(p, worker, c->need_res[k]);
	}
	for (;;) {
		bool is_enough = !slots;
		uint32_t best = NIL;
		uint64_t best_ns = UINT64_MAX;

		for (uint32_t k = 0; k < c->n_need; k++)
			is_enough &= lack[k] <= 0;
		if (is_enough)
			return at;
		/* the next to end after `last`; few are placed on one worker */
		for (uint32_t i = p->holds[worker].first; i != NIL; i = gr_place__at(p, i)->next) {
			uint64_t end = gr_place__end_ns(p, i) + i % 1024;     /* told apart when they end together */

			if (end > last && end < best_ns) {
				best = i;
				best_ns = end;
			}
		}
		if (best == NIL)
			return UINT64_MAX;
		last = best_ns;
		at = best_ns;
		slots -= slots > 0;
		for (uint32_t k = 0; k < c->n_need; k++)
			lack[k] -= p->classes[gr_place__at(p, best)->class].spec.need.v[c->need_res[k]];
	}
}

RARE void gr_place__reserve_drop(struct gr_place *p)
{
	for (uint32_t i = 0; i < p->reserve.n; i++)
		p->workers[p->reserve.worker[i]].flags &= (uint8_t)~W_RESERVED;
	p->reserve.queue = NIL;
	p->reserve.n = 0;
	gr_place__wake_all(p);
}

bool gr_place__is_kept(const struct gr_place *p, uint32_t worker, uint32_t queue, uint64_t end_ns)
{
	(void)worker;
	return p->reserve.queue != queue && end_ns > p->reserve.until_ns;
}

RARE void gr_place__reserve_for(struct gr_place *p, uint64_t now_ns, uint32_t queue)
{
	struct gr_place__search s;
	uint64_t at[GR_PLACE_MAX_GANG];
	uint32_t worker[GR_PLACE_MAX_GANG], n = 0, want, res;
	const struct gr_place__queued *item = &p->queued[p->queues[queue].front];
	uint8_t by = p->classes[p->queues[queue].class].spec.spread_by;

	gr_place__search_for(p, p->queues[queue].front, now_ns, &s);
	gr_place__class_pools(p, &p->classes[s.class_id]);
	want = item->t.is_gang ? item->t.count : 1;
	for (uint32_t i = 0; i < p->n_workers; i++) {
		const struct gr_place__worker *w = &p->workers[i];
		uint64_t free_ns;
		uint32_t k;
		enum gr_place_verdict v;

		if (!(w->flags & W_UP) || (w->flags & (W_DRAINING | W_BLOCKED)) || p->nodes[w->node].is_cordoned || !s.class->pool_at[w->pool])
			continue;
		v = gr_place__fits(p, i, &s, &res);
		if (v != GR_PLACE_V_FITS && v != GR_PLACE_V_NO_ROOM)
			continue;
		free_ns = free_at(p, i, &s);
		if (free_ns == UINT64_MAX)
			continue;
		/* the soonest, one a node when the gang is spread over nodes */
		for (k = 0; by == GR_PLACE_BY_NODE && k < n && p->workers[worker[k]].node != w->node; k++)
			;
		if (by == GR_PLACE_BY_NODE && k < n) {
			if (at[k] <= free_ns)
				continue;
			memmove(at + k, at + k + 1, (n - k - 1) * sizeof(*at));
			memmove(worker + k, worker + k + 1, (n - k - 1) * sizeof(*worker));
			n--;
		}
		for (k = n; k && at[k - 1] > free_ns; k--)
			;
		if (k == want)
			continue;
		if (n == want)
			n--;
		memmove(at + k + 1, at + k, (n - k) * sizeof(*at));
		memmove(worker + k + 1, worker + k, (n - k) * sizeof(*worker));
		at[k] = free_ns;
		worker[k] = i;
		n++;
	}
	if (!n || (n < want && by))
		return;
	p->reserve.queue = queue;
	p->reserve.n = n;
	p->reserve.until_ns = at[n - 1];
	for (uint32_t i = 0; i < n; i++) {
		p->reserve.worker[i] = worker[i];
		p->workers[worker[i]].flags |= W_RESERVED;
	}
}
