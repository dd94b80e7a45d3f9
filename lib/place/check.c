/* check.c - the invariants of the placement state, from scratch: rooms, chains, buckets, heaps, shares, counters. */
#include "lib/place/place_check.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

struct fault { char *why; size_t n; };

/* No printf here: lib/place is pure. */
static bool fault(struct fault *f, const char *what, uint64_t a, uint64_t b)
{
	char text[160], *t = text;
	uint64_t v[2] = { a, b };
	size_t n = strlen(what);

	memcpy(t, what, n > 100 ? 100 : n);
	t += n > 100 ? 100 : n;
	for (int i = 0; i < 2; i++) {
		char digits[24];
		int k = 0;

		*t++ = ' ';
		do
			digits[k++] = (char)('0' + v[i] % 10);
		while (v[i] /= 10);
		while (k)
			*t++ = digits[--k];
	}
	*t = 0;
	n = (size_t)(t - text);
	if (f->n) {
		n = n < f->n ? n : f->n - 1;
		memcpy(f->why, text, n);
		f->why[n] = 0;
	}
	return false;
}

static bool check_worker(const struct gr_place *p, uint32_t i, uint32_t *node_used, uint32_t *n_late, struct fault *f)
{
	const struct gr_place__worker *w = &p->workers[i];
	const struct gr_place__holds *h = &p->holds[i];
	int64_t free[GR_PLACE_N_RES];
	uint32_t n = 0, n_waiting = 0, run = 0, prev = NIL, backlog = 0;

	for (int r = 0; r < GR_PLACE_N_RES; r++)
		free[r] = p->caps[w->cap].v.v[r];
	for (uint32_t k = h->first; k != NIL; prev = k, k = gr_place__at(p, k)->next) {
		const struct gr_place__placed *pl = gr_place__at(p, k);
		const struct gr_place_vec *need = &p->classes[pl->class].spec.need;

		if (!(pl->flags & P_USED) || pl->worker != i || pl->node != w->node || pl->prev != prev)
			return fault(f, "worker's chain is broken: worker, placement", i, k);
		for (int r = 0; r < GR_PLACE_N_RES; r++)
			free[r] -= need->v[r];
		if (!(pl->flags & P_RUNNING) && !n_waiting && h->wait != k)
			return fault(f, "first waiting is not where it should be: worker, placement", i, k);
		if ((pl->flags & P_RUNNING) && n_waiting)
			return fault(f, "runs behind one that waits: worker, placement", i, k);
		n_waiting += !(pl->flags & P_RUNNING);
		run += pl->flags & P_RUNNING ? need->v[GR_PLACE_CPU_MCPU] : 0;
		backlog += pl->work_us / 1000;
		if (++n > p->tasks_placed)
			return fault(f, "worker's chain is endless", i, 0);
	}
	if (h->last != prev || n != w->n_placed || n_waiting != w->n_waiting || run != w->run_mcpu || backlog != w->backlog_ms)
		return fault(f, "worker's counts are off: worker, placed", i, n);
	for (uint32_t r = 0; r < GR_PLACE_N_RES; r++)
		if ((r < N_INLINE || p->over) && *gr_place__free((struct gr_place *)(uintptr_t)p, i, r) != free[r])
			return fault(f, "worker's room is off: worker, resource", i, r);
	for (uint32_t r = 1; r < GR_PLACE_N_RES; r++)
		if (free[r] < 0)
			return fault(f, "worker is over its limit: worker, resource", i, r);
	if (w->n_waiting && (gr_place__at(p, h->wait)->wheel_next >= p->n_late || p->late[gr_place__at(p, h->wait)->wheel_next] != i))
		return fault(f, "worker's place among the late is off", i, gr_place__at(p, h->wait)->wheel_next);
	*n_late += n_waiting > 0;
	if (w->n_waiting > w->prefetch && w->n_waiting > p->cfg.max_credits)
		return fault(f, "more waits there than it may hold: worker, waiting", i, w->n_waiting);
	if ((w->flags & W_ODD) != (w->quota_10mcpu | w->slow_permille | w->mem_psi_32 ? W_ODD : 0))
		return fault(f, "worker's quota or pressure is not marked", i, w->flags);
	if (gr_place__has_room(p, i)) {
		const struct gr_place__bucket *b = &p->pools[w->pool].groups[p->group[i]].buckets[p->rank[i]];

		if (p->spots[i].pos >= b->n || b->w[p->spots[i].pos] != i)
			return fault(f, "worker is not in its bucket", i, p->spots[i].pos);
	}
	node_used[w->node] += run;
	return true;
}

static bool check_node(const struct gr_place *p, uint32_t i, uint32_t used_mcpu, struct fault *f)
{
	const struct gr_place__node *node = &p->nodes[i];
	uint32_t n = 0, n_odd = 0;

	if (node->used_mcpu != used_mcpu)
		return fault(f, "node's load is off: node, used", i, node->used_mcpu);
	for (uint32_t k = node->first_worker; k != NIL && n <= p->n_workers; k = gr_place__node_next(p, k), n++) {
		n_odd += (p->workers[k].flags & W_ODD) > 0;
		if (!(p->workers[k].flags & W_UP) || p->workers[k].node != i || p->spots[k].pool != p->workers[k].pool)
			return fault(f, "node's chain is broken: node, worker", i, k);
	}
	return (n == node->n_workers && n_odd == node->n_odd) || fault(f, "node's workers, counted: node, odd", i, node->n_odd);
}

static bool check_buckets(const struct gr_place *p, struct fault *f)
{
	uint32_t n_in = 0, n_should = 0;

	for (uint32_t i = 0; i < p->n_pools; i++) {
		for (uint32_t level = 0; level < N_LEVELS; level++)
			if ((p->levels >> level & 1) && p->pools[i].at_least[level] != gr_place__ranks(&p->pools[i], gr_place__group_mask((uint8_t)level)))
				return fault(f, "ranks of a pool's level are off: pool, level", i, level);
		for (uint32_t g = 0; g < N_GROUPS; g++) {
			const struct gr_place__group *group = &p->pools[i].groups[g];

			if ((group->ranks != 0) != (p->pools[i].group_bits >> g & 1))
				return fault(f, "pool's group bits are off: pool, group", i, g);
			for (uint32_t r = 0; group->buckets && r < N_RANKS; r++) {
				n_in += group->buckets[r].n;
				if ((group->buckets[r].n > 0) != (group->ranks >> r & 1))
					return fault(f, "group's rank bits are off: pool, rank", i, r);
			}
		}
	}
	for (uint32_t i = 0; i < p->n_workers; i++)
		n_should += (p->workers[i].flags & W_UP) && gr_place__has_room(p, i);
	return n_in == n_should || fault(f, "workers in buckets, that should be", n_in, n_should);
}

static bool check_line(const struct gr_place *p, uint32_t i, struct fault *f)
{
	const struct gr_place__line *l = &p->lines[i];

	if (!l->n)
		return fault(f, "line is empty: line, class", i, l->class);
	for (uint32_t k = 0; k < l->cap; k++) {
		const struct gr_place__seat *s = &l->seats[k];
		uint64_t share = k < l->n ? (p->owners[s->owner].share & -(uint64_t)l->cap) | k : UINT64_MAX;

		if (l->tree[l->cap + k] != share)
			return fault(f, "line's seat has an old key: line, seat", i, k);
	}
	for (uint32_t k = 1; k < l->cap; k++) {
		const uint64_t *two = &l->tree[k * 2];

		if (l->tree[k] != (two[1] < two[0] ? two[1] : two[0]))
			return fault(f, "line's tournament is off: line, place", i, k);
	}
	if (l->least != l->tree[1] || l->first != l->seats[l->least % l->cap].queue || l->first_owner != l->seats[l->least % l->cap].owner)
		return fault(f, "line's first is off: line, queue", i, l->first);
	return true;
}

static bool has_seat(const struct gr_place *p, uint32_t queue)
{
	const struct gr_place__queue *q = &p->queues[queue];
	const struct gr_place__line *l = &p->lines[q->line];
	uint32_t at = p->queue_at[queue];

	return l->class == q->class && at < l->n && l->seats[at].queue == queue && l->seats[at].owner == q->owner;
}

static bool check_queue(const struct gr_place *p, uint32_t i, uint64_t *queued, struct fault *f)
{
	const struct gr_place__queue *q = &p->queues[i];

	for (uint32_t k = 0; k < q->n; k++) {
		const struct gr_place__queued *item = &p->queued[q->heap[k]];

		if (!item->is_used || item->at != k || item->queue != i || item->nth >= item->t.count)
			return fault(f, "queued item is off: queue, place", i, k);
		if (k) {
			const struct gr_place__queued *up = &p->queued[q->heap[(k - 1) / 2]];

			if (up->rank < item->rank || (up->rank == item->rank && up->seq > item->seq))
				return fault(f, "queue is no heap: queue, place", i, k);
		}
		queued[q->owner] += item->t.count - item->nth;
	}
	if ((q->where == Q_EMPTY) != (q->n == 0))
		return fault(f, "queue is on the wrong list: queue, where", i, q->where);
	if (q->n && q->front != q->heap[0])
		return fault(f, "queue's front is off: queue, item", i, q->front);
	if (q->where == Q_LINE && !has_seat(p, i))
		return fault(f, "queue's seat in line is off: queue, seat", i, p->queue_at[i]);
	if (q->where == Q_STUCK && p->stuck[p->queue_at[i]] != i)
		return fault(f, "stuck queue is not where it should be: queue, place", i, p->queue_at[i]);
	return q->where != Q_HELD || !gr_place__may_more(p, &p->owners[q->owner]) || fault(f, "queue is held for nothing", i, 0);
}

static bool check_lines(const struct gr_place *p, struct fault *f)
{
	for (uint32_t b = 0; b <= GR_PLACE_MAX_BAND; b++)
		for (uint32_t r = 0; r < GR_PLACE_N_RES; r++)
			for (uint32_t k = 0; k < p->bands[b].by[r].n; k++) {
				const struct gr_place__standing *heap = p->bands[b].by[r].heap;
				const struct gr_place__stand *s = &p->stands[gr_place__who(&heap[k])];
				const struct gr_place__tenant *t = &p->tenants[s->tenant];

				if (s->at != k || s->band != b || s->res != r || s->first_line == NIL)
					return fault(f, "stand is off: band, place", b, k);
				if (t->used[r] >> 7 <= p->total[r] && heap[k].share != t->used[r] * p->inverse[r] / t->weight && !p->is_total_new)
					return fault(f, "stand's key is old: band, place", b, k);
				if (k && (p->bands[b].by[r].n <= FEW_STANDS ? heap[k - 1].name >> 32 >= heap[k].name >> 32 : heap[(k - 1) / 4].share > heap[k].share))
					return fault(f, "band's stands are in no order: band, place", b, k);
				for (uint32_t l = s->first_line; l != NIL; l = p->lines[l].next)
					if (!check_line(p, l, f))
						return false;
			}
	return true;
}

static bool check_parked(const struct gr_place *p, struct fault *f)
{
	uint32_t n_parked = 0;
	uint64_t open = 0;
	bool has_closed = false, has_woken = false;

	for (uint32_t i = 0; i < p->n_classes; i++) {
		uint32_t at = p->classes[i].parked_at;

		bool is_woken = p->woken[i / 64] >> i % 64 & 1, is_exact = p->exact[i / 64] >> i % 64 & 1;

		has_closed |= gr_place__is_parked(p, i);
		has_woken |= is_woken;
		n_parked += at != NIL;
		open |= (uint64_t)(p->classes[i].n_lines && !gr_place__is_parked(p, i)) << i % 64;
		if (at != NIL && (p->parked[at].pools & ~p->parked_pools))
			return fault(f, "pool of a parked class is not among those of all: class, place", i, at);
		if (at == NIL ? gr_place__is_parked(p, i) : p->parked[at].class != i)
			return fault(f, "class is not where it is parked: class, place", i, at);
		if (at == NIL ? is_woken || is_exact : gr_place__is_parked(p, i) == is_woken || (is_woken && !is_exact))
			return fault(f, "parked class is neither closed nor woken: class, place", i, at);
	}
	if (open != p->open)
		return fault(f, "open classes, by number", open, p->open);
	return (has_closed == p->has_closed && has_woken == p->has_woken && n_parked == p->n_parked) ||
	       fault(f, "parked classes, whether some are closed", n_parked, has_closed);
}

static bool check_owners(const struct gr_place *p, const uint64_t *queued, const uint64_t *placed, const uint64_t (*used)[GR_PLACE_N_RES],
			 struct fault *f)
{
	uint64_t n_queued = 0, n_placed = 0;

	for (uint32_t i = 0; i < p->n_owners; i++) {
		const struct gr_place__owner *o = &p->owners[i];

		if (!o->is_used)
			continue;
		if (o->n_queued != queued[i] || o->n_placed != placed[i])
			return fault(f, "owner's counts are off: owner, queued", i, queued[i]);
		if (o->spec.max_placed && o->n_placed > o->spec.max_placed + p->n_copies)
			return fault(f, "owner is over its limit: owner, placed", i, o->n_placed);
		for (int r = 0; r < GR_PLACE_N_RES; r++)
			if (o->used[r] != used[i][r])
				return fault(f, "owner's use is off: owner, resource", i, (uint64_t)r);
		n_queued += queued[i];
		n_placed += placed[i];
	}
	if (n_queued != p->tasks_queued || n_placed != p->tasks_placed)
		return fault(f, "tasks queued, placed", n_queued, n_placed);
	for (uint32_t t = 0; t < p->n_tenants; t++)
		for (int r = 0; r < GR_PLACE_N_RES; r++) {
			uint64_t sum = 0;

			for (uint32_t i = 0; i < p->n_owners; i++)
				if (p->owners[i].is_used && p->owners[i].spec.tenant == t)
					sum += used[i][r];
			if (p->tenants[t].is_used && sum != p->tenants[t].used[r])
				return fault(f, "tenant's use is off: tenant, resource", t, (uint64_t)r);
			if (p->tenants[t].is_used && p->tenants[t].quota.v[r] && sum > p->tenants[t].quota.v[r] && !p->n_copies)
				return fault(f, "tenant is over its quota: tenant, resource", t, (uint64_t)r);
		}
	return true;
}

bool gr_place_check(const struct gr_place *p, char *why, size_t n_why)
{
	struct fault f = { why, n_why };
	uint32_t *node_used = gr_xalloc((p->n_nodes + 1) * sizeof(*node_used));
	uint64_t *queued = gr_xalloc((p->n_owners + 1) * sizeof(*queued)), *placed = gr_xalloc((p->n_owners + 1) * sizeof(*placed));
	uint64_t (*used)[GR_PLACE_N_RES] = gr_xalloc((p->n_owners + 1) * sizeof(*used));
	uint32_t n_late = 0;
	bool is_ok = true;

	for (uint32_t i = 0; i < p->n_workers && is_ok; i++)
		if (p->workers[i].flags & W_UP)
			is_ok = check_worker(p, i, node_used, &n_late, &f);
	is_ok = is_ok && (n_late == p->n_late || fault(&f, "workers where something waits, listed", n_late, p->n_late));
	for (uint32_t i = 0; i < p->n_nodes && is_ok; i++)
		is_ok = !p->nodes[i].is_used || check_node(p, i, node_used[i], &f);
	is_ok = is_ok && check_buckets(p, &f);
	for (uint32_t i = 0; i < p->n_owners && is_ok; i++)
		for (uint32_t q = p->owners[i].is_used ? p->owners[i].first_queue : NIL; q != NIL && is_ok; q = p->queues[q].next)
			is_ok = check_queue(p, q, queued, &f);
	for (uint32_t i = 0; i < p->n_placed && is_ok; i++) {
		const struct gr_place__placed *pl = gr_place__at(p, i);

		if (!(pl->flags & P_USED))
			continue;
		placed[pl->owner]++;
		for (int r = 0; r < GR_PLACE_N_RES; r++)
			used[pl->owner][r] += p->classes[pl->class].spec.need.v[r];
	}
	is_ok = is_ok && check_lines(p, &f) && check_parked(p, &f) && check_owners(p, queued, placed, (const uint64_t (*)[GR_PLACE_N_RES])used, &f);
	free(node_used);
	free(queued);
	free(placed);
	free(used);
	return is_ok;
}
