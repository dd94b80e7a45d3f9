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

#define MAX_WEIGHT 1000000u

uint32_t gr_place__owner(const struct gr_place *p, uint32_t id)
{
	uint32_t i = id & WORKER_MASK;

	return i < p->n_owners && p->owners[i].is_used && p->owners[i].id == id ? i : NIL;
}

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
		p->n_open += !gr_place__is_parked(p, class);
	}
	c->line_hint = i;
	return i;
}

static void line_free(struct gr_place *p, uint32_t line)
{
	struct gr_place__line *l = &p->lines[line];
	uint32_t *at;

	p->classes[l->class].n_lines--;
	p->n_open -= !gr_place__is_parked(p, l->class);
	for (at = &p->stands[l->stand].first_line; *at != line; at = &p->lines[*at].next)
		;
	*at = l->next;
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
	p->n_open -= c->n_lines;
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
	p->n_open += c->n_lines;
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
		if (p->classes[class].pool_at[w->pool])
			gr_place__unpark(p, class);
	}
}

void gr_place__wake_all(struct gr_place *p)
{
	gr_place__change(p, NIL);
	while (p->n_parked)
		gr_place__unpark(p, p->parked[p->n_parked - 1].class);
}

/* ---- whose turn ---- */

bool gr_place__quota_allows(const struct gr_place *p, const struct gr_place__tenant *t, const struct gr_place__class *c, uint32_t n)
{
	(void)p;
	for (uint32_t k = 0; t->has_quota && k < c->n_need; k++) {
		uint32_t r = c->need_res[k];

		if (t->quota.v[r] && t->used[r] + (uint64_t)c->spec.need.v[r] * n > t->quota.v[r])
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

		if (gr_place__is_parked(p, l->class) || (t->has_quota && !gr_place__quota_allows(p, t, &p->classes[l->class], 1)))
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
	line = open_line(p, &p->stands[heap[at]]);
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
		for (uint32_t s = p->tenants[i].first_stand; s != NIL; s = p->stands[s].next) {
			p->stands[s].key = stand_key(p, &p->stands[s]);
			stand_sift(p, s);
		}
}

/* ---- owners ---- */

bool gr_place__may_more(const struct gr_place *p, const struct gr_place__owner *o)
{
	(void)p;
	return !o->is_paused && (!o->spec.max_placed || o->n_placed < o->spec.max_placed);
}

void gr_place__owner_hold(struct gr_place *p, uint32_t owner)
{
	struct gr_place__owner *o = &p->owners[owner];
	bool may = gr_place__may_more(p, o);

	for (uint32_t i = o->first_queue; i != NIL; i = p->queues[i].next) {
		struct gr_place__queue *q = &p->queues[i];

		if (q->n && may && q->where == Q_HELD)
			gr_place__queue_move(p, i, Q_LINE);
		else if (q->n && !may && q->where != Q_HELD)
			gr_place__queue_move(p, i, Q_HELD);
	}
}

int gr_place_owner_add(struct gr_place *p, const struct gr_place_owner *spec)
{
	struct gr_place__owner *o;
	uint32_t i = p->free_owner;

	if (!spec->weight || spec->weight > MAX_WEIGHT || spec->band > GR_PLACE_MAX_BAND)
		return GR_EINVAL;
	if (spec->tenant >= p->n_tenants || !p->tenants[spec->tenant].is_used)
		return GR_ENOENT;
	if (i != NIL) {
		p->free_owner = p->owners[i].first_queue;
	} else {
		if (p->n_owners >= GR_PLACE_MAX_OWNERS)
			return GR_ELIMIT;
		GR_GROW(p->owners, p->cap_owners, p->n_owners + 1);
		i = p->n_owners++;
	}
	o = &p->owners[i];
	*o = (struct gr_place__owner){
		.is_used = true, .spec = *spec, .first_queue = NIL,
		.id = i | ((o->id >> WORKER_BITS) + 1) % WORKER_GENS << WORKER_BITS,
	};
	p->tenants[spec->tenant].n_owners++;
	LOG(p, OP_OWNER, o->id, spec->tag, spec->tenant, spec->weight, spec->max_placed, spec->band, spec->is_preemptible);
	return (int)o->id;
}

/* Once nothing of it is placed any more. */
static void owner_free(struct gr_place *p, uint32_t owner)
{
	struct gr_place__owner *o = &p->owners[owner];

	p->tenants[o->spec.tenant].n_owners--;
	o->is_used = false;
	o->first_queue = p->free_owner;
	p->free_owner = owner;
}

void gr_place__owner_done(struct gr_place *p, uint32_t owner)
{
	if (p->owners[owner].is_going && !p->owners[owner].n_placed)
		owner_free(p, owner);
}

int gr_place_owner_remove(struct gr_place *p, uint32_t owner)
{
	uint32_t i = gr_place__owner(p, owner);
	struct gr_place__owner *o;

	if (i == NIL || p->owners[i].is_going)
		return GR_ENOENT;
	LOG(p, OP_OWNER_DEL, owner);
	o = &p->owners[i];
	while (o->first_queue != NIL) {
		struct gr_place__queue *q = &p->queues[o->first_queue];
		uint32_t next = q->next;

		while (q->n)
			gr_place__take(p, q->heap[0]);
		q->next = p->free_queue;
		p->free_queue = o->first_queue;
		o->first_queue = next;
	}
	o->is_going = true;
	gr_place__owner_done(p, i);
	return 0;
}

int gr_place_owner_pause(struct gr_place *p, uint32_t owner, bool is_paused)
{
	uint32_t i = gr_place__owner(p, owner);

	if (i == NIL || p->owners[i].is_going)
		return GR_ENOENT;
	LOG(p, OP_OWNER_PAUSE, owner, is_paused);
	p->owners[i].is_paused = is_paused;
	gr_place__owner_hold(p, i);
	return 0;
}

int gr_place_owner_bytes(struct gr_place *p, uint32_t owner, uint64_t bytes)
{
	uint32_t i = gr_place__owner(p, owner);

	if (i == NIL)
		return GR_ENOENT;
	LOG(p, OP_OWNER_BYTES, owner, bytes);
	p->owners[i].bytes = bytes;
	return 0;
}

static uint64_t ppm(uint64_t share) { return share / (SHARE_ONE / 1000000); }

static void fill_used(const uint64_t *used, struct gr_place_owner_info *out)
{
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		out->used.v[r] = used[r] > UINT32_MAX ? UINT32_MAX : (uint32_t)used[r];
}

int gr_place_owner_info(const struct gr_place *p, uint32_t owner, struct gr_place_owner_info *out)
{
	uint32_t i = gr_place__owner(p, owner);
	const struct gr_place__owner *o;

	if (i == NIL)
		return GR_ENOENT;
	o = &p->owners[i];
	*out = (struct gr_place_owner_info){ .n_queued = o->n_queued, .n_placed = o->n_placed, .share_ppm = ppm(o->share) };
	fill_used(o->used, out);
	return 0;
}

/* ---- tenants ---- */

static int check_tenant(const struct gr_place_tenant *s)
{
	if (!s->weight || s->weight > MAX_WEIGHT)
		return GR_EINVAL;
	return 0;
}

static void set_tenant(struct gr_place__tenant *t, const struct gr_place_tenant *s)
{
	t->weight = s->weight;
	t->quota = s->quota;
	t->has_quota = false;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		t->has_quota |= s->quota.v[r] > 0;
}

#define LOG_TENANT(p, op, id, s) LOG(p, op, id, (s)->weight, (s)->quota.v[0], (s)->quota.v[1], (s)->quota.v[2], \
	(s)->quota.v[3], (s)->quota.v[4], (s)->quota.v[5], (s)->quota.v[6], (s)->quota.v[7])

int gr_place_tenant_add(struct gr_place *p, const struct gr_place_tenant *spec)
{
	uint32_t i;
	int rc = check_tenant(spec);

	if (rc < 0)
		return rc;
	for (i = 0; i < p->n_tenants && p->tenants[i].is_used; i++)
		;
	if (i >= GR_PLACE_MAX_TENANTS)
		return GR_ELIMIT;
	if (i == p->n_tenants) {
		GR_GROW(p->tenants, p->cap_tenants, p->n_tenants + 1);
		p->n_tenants++;
	}
	p->tenants[i] = (struct gr_place__tenant){ .is_used = true, .first_stand = NIL };
	set_tenant(&p->tenants[i], spec);
	LOG_TENANT(p, OP_TENANT, i, spec);
	return (int)i;
}

int gr_place_tenant_set(struct gr_place *p, uint32_t tenant, const struct gr_place_tenant *spec)
{
	int rc = check_tenant(spec);

	if (rc < 0)
		return rc;
	if (tenant >= p->n_tenants || !p->tenants[tenant].is_used)
		return GR_ENOENT;
	LOG_TENANT(p, OP_TENANT_SET, tenant, spec);
	set_tenant(&p->tenants[tenant], spec);
	for (uint32_t s = p->tenants[tenant].first_stand; s != NIL; s = p->stands[s].next) {
		p->stands[s].key = stand_key(p, &p->stands[s]);
		stand_sift(p, s);
	}
	return 0;
}

int gr_place_tenant_remove(struct gr_place *p, uint32_t tenant)
{
	if (!tenant || tenant >= p->n_tenants || !p->tenants[tenant].is_used)
		return GR_ENOENT;
	if (p->tenants[tenant].n_owners)
		return GR_ESTATE;
	LOG(p, OP_TENANT_DEL, tenant);
	p->tenants[tenant].is_used = false;
	return 0;
}

int gr_place_tenant_info(const struct gr_place *p, uint32_t tenant, struct gr_place_owner_info *out)
{
	const struct gr_place__tenant *t;
	uint64_t most = 0;

	if (tenant >= p->n_tenants || !p->tenants[tenant].is_used)
		return GR_ENOENT;
	t = &p->tenants[tenant];
	*out = (struct gr_place_owner_info){ 0 };
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		if (t->used[r] * p->inverse[r] > most)
			most = t->used[r] * p->inverse[r];
	out->share_ppm = ppm(most / t->weight);
	for (uint32_t i = 0; i < p->n_owners; i++)
		if (p->owners[i].is_used && p->owners[i].spec.tenant == tenant) {
			out->n_queued += p->owners[i].n_queued;
			out->n_placed += p->owners[i].n_placed;
		}
	fill_used(t->used, out);
	return 0;
}
