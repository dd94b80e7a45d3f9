/* share.c - who is next: bands strictly in order; in a band the tenant that has least, in it the owner that has least.
 *
 * An owner's share is dominant over its weight: of the resource it uses most of. A tenant's is that of the resource which
 * the class in question asks most of, so each tenant stands once for each such resource. Neither the sum of its owners'
 * dominant shares nor the dominant share of the sum was kept: with them, what one owner holds of memory starves another
 * owner of the same tenant that asks for CPU (H-DRF, SoCC'13); H-DRF's own rescaling to the least active owner was not
 * kept because a tenant that opens ever new owners would always count as having least.
 * Both are kept up to date after every placement and every end, in indexed 4-ary heaps; ties go to the lower id. */
#include "lib/place/place.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

/* ---- keys ---- */

/* Of all there is. A cluster that shrank a hundredfold under what is placed would overflow it. */
static uint64_t share_of(const struct gr_place *p, uint64_t used, uint32_t res)
{
	return used >> 7 > p->total[res] ? SHARE_ONE << 7 : used * p->inverse[res];
}

static uint64_t owner_share(const struct gr_place *p, const struct gr_place__owner *o)
{
	uint64_t most = 0;

	for (uint32_t r = 0, n = p->over ? GR_PLACE_N_RES : N_INLINE; r < n; r++) {
		uint64_t s = share_of(p, o->used[r], r);

		if (s > most)
			most = s;
	}
	return most / o->spec.weight;
}

static uint64_t stand_key(const struct gr_place *p, const struct gr_place__stand *s)
{
	const struct gr_place__tenant *t = &p->tenants[s->tenant];

	return share_of(p, t->used[s->res], s->res) / t->weight;
}

/* ---- a band's heap of stands ---- */

static bool stand_before(const struct gr_place *p, uint32_t a, uint32_t b)
{
	const struct gr_place__stand *x = &p->stands[a], *y = &p->stands[b];

	return x->key != y->key ? x->key < y->key : x->tenant < y->tenant;
}

static void stand_sift(struct gr_place *p, uint32_t stand)
{
	struct gr_place__stand *s = &p->stands[stand];
	uint32_t *heap = p->bands[s->band].by[s->res].heap, n = p->bands[s->band].by[s->res].n, at = s->at;

	while (at && stand_before(p, stand, heap[(at - 1) / 4])) {
		heap[at] = heap[(at - 1) / 4];
		p->stands[heap[at]].at = at;
		at = (at - 1) / 4;
	}
	for (;;) {
		uint32_t kid = at * 4 + 1, best = NIL;

		for (uint32_t k = kid; k < kid + 4 && k < n; k++)
			if (best == NIL || stand_before(p, heap[k], heap[best]))
				best = k;
		if (best == NIL || !stand_before(p, heap[best], stand))
			break;
		heap[at] = heap[best];
		p->stands[heap[at]].at = at;
		at = best;
	}
	heap[at] = stand;
	s->at = at;
}

static uint32_t stand_get(struct gr_place *p, uint32_t tenant, uint8_t band, uint8_t res)
{
	struct gr_place__band *b = &p->bands[band];
	struct gr_place__stand *s;
	uint32_t i;

	for (i = p->tenants[tenant].first_stand; i != NIL; i = p->stands[i].next)
		if (p->stands[i].band == band && p->stands[i].res == res)
			return i;
	i = p->free_stand;
	if (i != NIL) {
		p->free_stand = p->stands[i].next;
	} else {
		GR_GROW(p->stands, p->cap_stands, p->n_stands + 1);
		i = p->n_stands++;
	}
	s = &p->stands[i];
	*s = (struct gr_place__stand){ .tenant = tenant, .band = band, .res = res, .first_line = NIL,
				       .next = p->tenants[tenant].first_stand };
	p->tenants[tenant].first_stand = i;
	s->key = stand_key(p, s);
	GR_GROW(b->by[res].heap, b->by[res].cap, b->by[res].n + 1);
	s->at = b->by[res].n++;
	b->by[res].heap[s->at] = i;
	b->res |= (uint8_t)(1u << res);
	p->band_bits |= 1u << band;
	stand_sift(p, i);
	return i;
}

static void stand_free(struct gr_place *p, uint32_t stand)
{
	struct gr_place__stand *s = &p->stands[stand];
	struct gr_place__band *b = &p->bands[s->band];
	uint32_t last = b->by[s->res].heap[--b->by[s->res].n], *at;

	if (last != stand) {
		b->by[s->res].heap[s->at] = last;
		p->stands[last].at = s->at;
		stand_sift(p, last);
	}
	if (!b->by[s->res].n)
		b->res &= (uint8_t)~(1u << s->res);
	if (!b->res)
		p->band_bits &= ~(1u << s->band);
	for (at = &p->tenants[s->tenant].first_stand; *at != stand; at = &p->stands[*at].next)
		;
	*at = s->next;
	s->next = p->free_stand;
	p->free_stand = stand;
}

/* ---- a line's heap of queues ---- */

static bool seat_before(const struct gr_place *p, const struct gr_place__seat *a, const struct gr_place__seat *b)
{
	if (a->share != b->share)
		return a->share < b->share;
	return p->queues[a->queue].owner < p->queues[b->queue].owner;
}

static void seat_sift(struct gr_place *p, struct gr_place__line *l, uint32_t at, struct gr_place__seat seat)
{
	struct gr_place__seat *heap = l->heap;

	while (at && seat_before(p, &seat, &heap[(at - 1) / 4])) {
		heap[at] = heap[(at - 1) / 4];
		p->queues[heap[at].queue].at = at;
		at = (at - 1) / 4;
	}
	for (;;) {
		uint32_t kid = at * 4 + 1, best = NIL;

		for (uint32_t k = kid; k < kid + 4 && k < l->n; k++)
			if (best == NIL || seat_before(p, &heap[k], &heap[best]))
				best = k;
		if (best == NIL || !seat_before(p, &heap[best], &seat))
			break;
		heap[at] = heap[best];
		p->queues[heap[at].queue].at = at;
		at = best;
	}
	heap[at] = seat;
	p->queues[seat.queue].at = at;
	l->key = heap[0].share;
}

/* @n lines of the class are open now that were not, or the other way round. */
static void count_open(struct gr_place *p, uint32_t class, int n)
{
	uint32_t at = class % 64;

	p->n_open += (uint32_t)n;
	p->n_open_at[at] += (uint32_t)n;
	p->open = p->n_open_at[at] ? p->open | 1ull << at : p->open & ~(1ull << at);
}

static uint32_t line_get(struct gr_place *p, uint32_t stand, uint32_t class)
{
	struct gr_place__class *c = &p->classes[class];
	struct gr_place__line *l;
	uint32_t i = c->line_hint;

	if (i != NIL && p->lines[i].n && p->lines[i].class == class && p->lines[i].stand == stand)
		return i;
	for (i = p->stands[stand].first_line; i != NIL; i = p->lines[i].next)
		if (p->lines[i].class == class)
			break;
	if (i == NIL) {
		i = p->free_line;
		if (i != NIL) {
			p->free_line = p->lines[i].next;
		} else {
			GR_GROW(p->lines, p->cap_lines, p->n_lines + 1);
			i = p->n_lines++;
		}
		l = &p->lines[i];
		l->stand = stand;
		l->class = class;
		l->next = p->stands[stand].first_line;
		p->stands[stand].first_line = i;
		c->n_lines++;
		p->stands[stand].classes |= 1ull << class % 64;
		count_open(p, class, !gr_place__is_parked(p, class));
	}
	c->line_hint = i;
	return i;
}

static void line_free(struct gr_place *p, uint32_t line)
{
	struct gr_place__line *l = &p->lines[line];
	uint32_t *at;

	p->classes[l->class].n_lines--;
	count_open(p, l->class, -!gr_place__is_parked(p, l->class));
	for (at = &p->stands[l->stand].first_line; *at != line; at = &p->lines[*at].next)
		;
	*at = l->next;
	p->stands[l->stand].classes = 0;
	for (uint32_t i = p->stands[l->stand].first_line; i != NIL; i = p->lines[i].next)
		p->stands[l->stand].classes |= 1ull << p->lines[i].class % 64;
	if (p->stands[l->stand].first_line == NIL)
		stand_free(p, l->stand);
	l->next = p->free_line;
	p->free_line = line;
}

static void line_leave(struct gr_place *p, struct gr_place__queue *q)
{
	struct gr_place__line *l = &p->lines[q->line];
	struct gr_place__seat last = l->heap[--l->n];

	if (q->at < l->n)
		seat_sift(p, l, q->at, last);
	if (!l->n)
		line_free(p, q->line);
}

static void line_join(struct gr_place *p, uint32_t queue)
{
	struct gr_place__queue *q = &p->queues[queue];
	const struct gr_place__owner *o = &p->owners[q->owner];
	uint32_t stand = stand_get(p, o->spec.tenant, o->spec.band, p->classes[q->class].dominant);
	struct gr_place__line *l;

	q->line = line_get(p, stand, q->class);
	l = &p->lines[q->line];
	GR_GROW(l->heap, l->cap, l->n + 1);
	seat_sift(p, l, l->n++, (struct gr_place__seat){ o->share, queue });
}

void gr_place__queue_move(struct gr_place *p, uint32_t queue, enum gr_place__where to)
{
	struct gr_place__queue *q = &p->queues[queue];
	uint32_t last;

	if (q->where == to)
		return;
	if (q->where == Q_LINE) {
		line_leave(p, q);
	} else if (q->where == Q_STUCK) {
		last = p->stuck[--p->n_stuck];
		p->stuck[q->at] = last;
		p->queues[last].at = q->at;
	}
	q->where = (uint8_t)to;
	if (to == Q_LINE) {
		line_join(p, queue);
	} else if (to == Q_STUCK) {
		q->stuck_at = p->changes;
		if (!q->stuck_ns)
			q->stuck_ns = p->now_ns + 1;
		GR_GROW(p->stuck, p->cap_stuck, p->n_stuck + 1);
		q->at = p->n_stuck;
		p->stuck[p->n_stuck++] = queue;
	} else {
		if (p->reserve.queue == queue)
			gr_place__reserve_drop(p);
		if (to == Q_EMPTY)
			q->stuck_ns = 0;
	}
}

/* ---- parking: a class that found no room is not tried again before something changed that could fit it ---- */

void gr_place__park(struct gr_place *p, uint32_t class, uint64_t now_ns, bool is_exact)
{
	struct gr_place__class *c = &p->classes[class];
	struct gr_place__parked *k;

	if (c->parked_at != NIL)
		return;
	GR_GROW(p->parked, p->cap_parked, p->n_parked + 1);
	k = &p->parked[p->n_parked];
	k->class = class;
	k->pools = c->pool_bits;
	memcpy(k->need4, c->need4, sizeof(k->need4));
	c->parked_at = p->n_parked++;
	c->none_at = is_exact ? p->changes : 0;
	p->closed[class / 64] |= 1ull << class % 64;
	count_open(p, class, -(int)c->n_lines);
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
	p->closed[class / 64] &= ~(1ull << class % 64);
	count_open(p, class, (int)c->n_lines);
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
	int32_t cpu = w->group == 1 ? INT32_MAX : f[GR_PLACE_CPU_MCPU];

	if (!w->group || w->group == G_NONE)
		return;
	gr_place__change(p, worker);
	for (uint32_t i = p->n_parked; i-- > 0;) {
		const struct gr_place__parked *k = &p->parked[i];
		uint32_t class = k->class;

		if (!(k->pools >> w->pool % 64 & 1) ||
		    ((cpu - k->need4[0]) | (f[1] - k->need4[1]) | (f[2] - k->need4[2]) | (f[3] - k->need4[3])) < 0)
			continue;
		gr_place__class_pools(p, &p->classes[class]);
		if (!p->classes[class].pool_at[w->pool])
			continue;
		gr_place__unpark(p, class);
		if (p->n_woken < N_WOKEN)
			p->woken[p->n_woken++] = class;
	}
}

/* Not exact: a worker that may be asked by a search may still be refused. */
static bool may_take(const struct gr_place *p, const struct gr_place__class *c, uint32_t worker)
{
	const struct gr_place__worker *w = &p->workers[worker];
	const int32_t *f = w->free;

	if (!w->group || w->group == G_NONE || !c->pool_at[w->pool] ||
	    ((f[1] - c->need4[1]) | (f[2] - c->need4[2]) | (f[3] - c->need4[3])) < 0)
		return false;
	return w->prefetch || f[GR_PLACE_CPU_MCPU] >= c->need4[GR_PLACE_CPU_MCPU];
}

/* One free slot wakes every class that could use it, and the first of them takes it: the others need no search of their
 * own to learn that it is gone. Those that could stop somebody for room are left to try. */
void gr_place__park_woken(struct gr_place *p, uint64_t now_ns)
{
	uint32_t kept = 0, w[N_CHANGED];

	if (p->victim_bits)
		p->n_woken = 0;
	for (uint32_t i = 0; i < p->n_woken; i++) {
		uint32_t class = p->woken[i], n;
		struct gr_place__class *c = &p->classes[class];
		bool may = false;

		if (c->parked_at != NIL || !c->n_items || !c->none_at || c->has_policy || c->spec.left_ms || c->pools_gen != p->pools_gen)
			continue;
		n = gr_place__changed(p, c, w);
		if (n == NIL)
			continue;
		for (uint32_t k = 0; k < n && !may; k++)
			may = may_take(p, c, w[k]);
		if (may)
			p->woken[kept++] = class;
		else
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

/* ---- whose turn ---- */

static uint64_t promised(const struct gr_place *p, uint32_t tenant, uint8_t band, uint32_t res)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < p->n_kept; i++) {
		const struct gr_place__kept *k = &p->kept[i];

		if (k->tenant == tenant && k->band < band)
			sum += (uint64_t)p->classes[k->class].spec.need.v[res] * k->n;
	}
	return sum;
}

bool gr_place__quota_allows(const struct gr_place *p, const struct gr_place__tenant *t, const struct gr_place__class *c, uint8_t band, uint32_t n)
{
	for (uint32_t k = 0; t->has_quota && k < c->n_need; k++) {
		uint32_t r = c->need_res[k];

		if (t->quota.v[r] && t->used[r] + (uint64_t)c->spec.need.v[r] * n + promised(p, (uint32_t)(t - p->tenants), band, r) > t->quota.v[r])
			return false;
	}
	return true;
}

static uint16_t front_rank(const struct gr_place *p, const struct gr_place__line *l)
{
	return p->queued[p->queues[l->heap[0].queue].heap[0]].rank;
}

/* The open line of a stand whose first owner has least; of one owner's, that with the longest task. */
static uint32_t open_line(const struct gr_place *p, const struct gr_place__stand *s)
{
	const struct gr_place__tenant *t = &p->tenants[s->tenant];
	uint32_t best = NIL;

	for (uint32_t i = s->first_line; i != NIL; i = p->lines[i].next) {
		const struct gr_place__line *l = &p->lines[i], *b;
		uint32_t x, y;

		if (gr_place__is_parked(p, l->class) || (t->has_quota && !gr_place__quota_allows(p, t, &p->classes[l->class], s->band, 1)))
			continue;
		if (best == NIL) {
			best = i;
			continue;
		}
		b = &p->lines[best];
		if (l->key != b->key) {
			best = l->key < b->key ? i : best;
			continue;
		}
		x = p->queues[l->heap[0].queue].owner;
		y = p->queues[b->heap[0].queue].owner;
		if (x < y || (x == y && front_rank(p, l) > front_rank(p, b)))
			best = i;
	}
	return best;
}

struct turn { uint32_t stand, line; };

static void explore(const struct gr_place *p, const uint32_t *heap, uint32_t n, uint32_t at, struct turn *best)
{
	uint32_t line;

	if (at >= n || (best->stand != NIL && !stand_before(p, heap[at], best->stand)))
		return;
	line = p->stands[heap[at]].classes & p->open ? open_line(p, &p->stands[heap[at]]) : NIL;
	if (line != NIL) {
		*best = (struct turn){ heap[at], line };
		return;
	}
	for (uint32_t k = at * 4 + 1; k < at * 4 + 5; k++)
		explore(p, heap, n, k, best);
}

uint32_t gr_place__choose(const struct gr_place *p)
{
	if (!p->n_open)
		return NIL;
	for (uint32_t bands = p->band_bits; bands; bands &= bands - 1) {
		const struct gr_place__band *b = &p->bands[__builtin_ctz(bands)];
		struct turn best = { NIL, NIL };

		for (uint32_t res = b->res; res; res &= res - 1)
			explore(p, b->by[__builtin_ctz(res)].heap, b->by[__builtin_ctz(res)].n, 0, &best);
		if (best.line != NIL)
			return p->lines[best.line].heap[0].queue;
	}
	return NIL;
}

/* ---- shares change ---- */

static void owner_rekey(struct gr_place *p, struct gr_place__owner *o)
{
	uint64_t share = owner_share(p, o);

	if (share == o->share)
		return;
	o->share = share;
	for (uint32_t i = o->first_queue; i != NIL; i = p->queues[i].next)
		if (p->queues[i].where == Q_LINE)
			seat_sift(p, &p->lines[p->queues[i].line], p->queues[i].at, (struct gr_place__seat){ share, i });
}

void gr_place__charge(struct gr_place *p, uint32_t owner, const struct gr_place__class *c, int n)
{
	struct gr_place__owner *o = &p->owners[owner];
	struct gr_place__tenant *t = &p->tenants[o->spec.tenant];
	uint32_t changed = 0;

	for (uint32_t k = 0; k < c->n_need; k++) {
		uint32_t r = c->need_res[k];
		uint64_t amount = (uint64_t)(int64_t)n * c->spec.need.v[r];

		o->used[r] += amount;
		t->used[r] += amount;
		changed |= 1u << r;
	}
	owner_rekey(p, o);
	for (uint32_t i = t->first_stand; i != NIL; i = p->stands[i].next) {
		struct gr_place__stand *s = &p->stands[i];

		if (!(changed >> s->res & 1))
			continue;
		s->key = stand_key(p, s);
		stand_sift(p, i);
	}
}

void gr_place__tenant_rekey(struct gr_place *p, uint32_t tenant)
{
	for (uint32_t s = p->tenants[tenant].first_stand; s != NIL; s = p->stands[s].next) {
		p->stands[s].key = stand_key(p, &p->stands[s]);
		stand_sift(p, s);
	}
}

static bool is_dominant_new(struct gr_place *p)
{
	bool is_new = false;

	for (uint32_t i = 0; i < p->n_classes; i++) {
		struct gr_place__class *c = &p->classes[i];
		uint64_t most = 0, share;
		uint8_t res = c->dominant;

		for (uint32_t k = 0; k < c->n_need; k++) {
			uint32_t r = c->need_res[k];

			share = c->spec.need.v[r] * p->inverse[r];
			if (share > most) {
				most = share;
				res = (uint8_t)r;
			}
		}
		is_new |= res != c->dominant;
		c->dominant = res;
	}
	return is_new;
}

void gr_place__totals(struct gr_place *p)
{
	if (!p->is_total_new)
		return;
	p->is_total_new = false;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		p->inverse[r] = p->total[r] ? SHARE_ONE / p->total[r] : 0;
	if (is_dominant_new(p)) {
		/* those in line stand anew, by what their class asks most of now */
		for (uint32_t i = 0; i < p->n_queues; i++)
			if (p->queues[i].where == Q_LINE) {
				gr_place__queue_move(p, i, Q_HELD);
				p->queues[i].where = Q_HELD;
			} else if (p->queues[i].where == Q_HELD) {
				p->queues[i].where = Q_EMPTY;
			}
		for (uint32_t i = 0; i < p->n_queues; i++) {
			if (p->queues[i].where == Q_HELD)
				gr_place__queue_move(p, i, Q_LINE);
			else if (p->queues[i].where == Q_EMPTY && p->queues[i].n)
				p->queues[i].where = Q_HELD;
		}
	}
	for (uint32_t i = 0; i < p->n_owners; i++)
		if (p->owners[i].is_used)
			owner_rekey(p, &p->owners[i]);
	for (uint32_t i = 0; i < p->n_tenants; i++)
		gr_place__tenant_rekey(p, i);
}
