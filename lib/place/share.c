/* share.c - who is next: bands strictly in order; in a band the tenant that has least, in it the owner that has least.
 *
 * An owner's share is dominant over its weight: of the resource it uses most of. A tenant's is that of the resource which
 * the class in question asks most of, so each tenant stands once for each such resource. Neither the sum of its owners'
 * dominant shares nor the dominant share of the sum was kept: with them, what one owner holds of memory starves another
 * owner of the same tenant that asks for CPU (H-DRF, SoCC'13); H-DRF's own rescaling to the least active owner was not
 * kept because a tenant that opens ever new owners would always count as having least.
 * Both are kept up to date after every placement and every end; of equal tenants the lower id is first, of equal owners the one that
 * sits first in line. The owners of a line play a knock-out
 * tournament: of two the one that has less goes on, and who has least of all stands at the top. What changes plays its way up again,
 * which is the same few steps whoever wins: in a heap each step hangs on a guess of the processor's. Tenants that are many stand in an
 * indexed 4-ary heap. Up to FEW_STANDS of them stand by id and are looked through: to put one right after each placement and each
 * end costs more. */
#include "lib/place/place.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

/* ---- keys ---- */

/* Of all there is. Cores are taken by what waits, too, and a cluster may shrink under it: a hundred times all there is, and more, is the
 * same. Of the rest nobody has more than there is. */
static inline uint64_t share_of(const struct gr_place *p, uint64_t used, uint32_t res)
{
	return res == GR_PLACE_CPU_MCPU && used > p->most_mcpu ? SHARE_ONE << 7 : used * p->inverse[res];
}

static inline uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

static inline uint64_t owner_share(const struct gr_place *p, const struct gr_place__owner *o)
{
	uint64_t most = 0;

#pragma GCC unroll 4
	for (uint32_t r = 0; r < N_INLINE; r++)
		most = larger(most, share_of(p, o->used[r], r));
	for (uint32_t r = N_INLINE; p->over && r < GR_PLACE_N_RES; r++)
		most = larger(most, share_of(p, o->used[r], r));
	return most / o->spec.weight;
}

static uint64_t stand_key(const struct gr_place *p, const struct gr_place__stand *s)
{
	const struct gr_place__tenant *t = &p->tenants[s->tenant];

	return share_of(p, t->used[s->res], s->res) / t->weight;
}

/* ---- the stands of a band: a heap of seats, or few by id ---- */

/* Which of two comes first is as good as random to the processor: no branch hangs on it, here and below. */
static inline unsigned __int128 key_of(const struct gr_place__standing *s) { return (unsigned __int128)s->share << 64 | s->name; }
static inline bool goes_before(const struct gr_place__standing *a, const struct gr_place__standing *b) { return key_of(a) < key_of(b); }

static inline uint32_t first_kid(const struct gr_place__standing *heap, uint32_t n, uint32_t at)
{
	uint32_t a = at * 4 + 1, b = a + 2;

	if (b + 1 < n) {
		a += goes_before(&heap[a + 1], &heap[a]);
		b += goes_before(&heap[b + 1], &heap[b]);
		return a + (b - a) * goes_before(&heap[b], &heap[a]);
	}
	for (uint32_t k = a + 1; k < n; k++)
		a = goes_before(&heap[k], &heap[a]) ? k : a;
	return a;
}

static inline void sit(struct gr_place *p, struct gr_place__standing *heap, uint32_t at, struct gr_place__standing seat)
{
	heap[at] = seat;
	p->stands[gr_place__who(&seat)].at = at;
}

/* @seat, which was or is to be at @at, goes where it belongs. */
static void sift(struct gr_place *p, struct gr_place__standing *heap, uint32_t n, uint32_t at, struct gr_place__standing seat)
{
	uint32_t from = at, kid;

	while (at && goes_before(&seat, &heap[(at - 1) / 4])) {
		sit(p, heap, at, heap[(at - 1) / 4]);
		at = (at - 1) / 4;
	}
	while (at == from && at * 4 + 1 < n) {
		kid = first_kid(heap, n, at);
		if (!goes_before(&heap[kid], &seat))
			break;
		sit(p, heap, at, heap[kid]);
		from = at = kid;
	}
	sit(p, heap, at, seat);
}

static inline struct gr_place__standing *standing_of(struct gr_place *p, const struct gr_place__stand *s)
{
	return &p->bands[s->band].by[s->res].heap[s->at];
}

/* Its key is another one now. */
static inline void stand_sift(struct gr_place *p, uint32_t stand)
{
	const struct gr_place__stand *s = &p->stands[stand];
	struct gr_place__standing *standing = standing_of(p, s);
	uint32_t n = p->bands[s->band].by[s->res].n;

	standing->share = stand_key(p, s);
	if (n > FEW_STANDS)
		sift(p, p->bands[s->band].by[s->res].heap, n, s->at, *standing);
}

/* One came or went: few stand by their ids, many as a heap. */
static void stands_order(struct gr_place *p, struct gr_place__standing *heap, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct gr_place__standing seat = heap[i];
		uint32_t at = i;

		if (n > FEW_STANDS) {
			sift(p, heap, i + 1, i, seat);
			continue;
		}
		for (; at && heap[at - 1].name > seat.name; at--)
			sit(p, heap, at, heap[at - 1]);
		sit(p, heap, at, seat);
	}
}

/* ---- stands ---- */

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
	GR_GROW(b->by[res].heap, b->by[res].cap, b->by[res].n + 1);
	b->res |= (uint8_t)(1u << res);
	p->band_bits |= 1u << band;
	s->at = b->by[res].n++;
	*standing_of(p, s) = (struct gr_place__standing){ .name = (uint64_t)tenant << 32 | i };
	stand_sift(p, i);
	if (b->by[res].n <= FEW_STANDS + 1)
		stands_order(p, b->by[res].heap, b->by[res].n);
	return i;
}

static void stand_free(struct gr_place *p, uint32_t stand)
{
	struct gr_place__stand *s = &p->stands[stand];
	struct gr_place__band *b = &p->bands[s->band];
	struct gr_place__standing last = b->by[s->res].heap[--b->by[s->res].n];
	uint32_t *at;

	if (gr_place__who(&last) != stand) {
		sit(p, b->by[s->res].heap, s->at, last);
		stand_sift(p, gr_place__who(&last));
	}
	if (b->by[s->res].n <= FEW_STANDS)
		stands_order(p, b->by[s->res].heap, b->by[s->res].n);
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

/* ---- lines ---- */

static void grow_lines(struct gr_place *p)
{
	uint32_t cap = p->cap_lines ? p->cap_lines * 2 : 8;

	p->lines = gr_xtable_grow(p->lines, p->n_lines * sizeof(*p->lines), cap * sizeof(*p->lines));
	p->cap_lines = cap;
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
			if (p->n_lines == p->cap_lines)
				grow_lines(p);
			i = p->n_lines++;
		}
		l = &p->lines[i];
		l->stand = stand;
		l->class = class;
		l->next = p->stands[stand].first_line;
		p->stands[stand].first_line = i;
		standing_of(p, &p->stands[stand])->classes |= 1ull << class % 64;
		gr_place__count_line(p, class, 1);
	}
	c->line_hint = i;
	return i;
}

static void line_free(struct gr_place *p, uint32_t line)
{
	struct gr_place__line *l = &p->lines[line];
	struct gr_place__standing *standing;
	uint32_t *at;

	gr_place__count_line(p, l->class, -1);
	for (at = &p->stands[l->stand].first_line; *at != line; at = &p->lines[*at].next)
		;
	*at = l->next;
	standing = standing_of(p, &p->stands[l->stand]);
	standing->classes = 0;
	for (uint32_t i = p->stands[l->stand].first_line; i != NIL; i = p->lines[i].next)
		standing->classes |= 1ull << p->lines[i].class % 64;
	if (p->stands[l->stand].first_line == NIL)
		stand_free(p, l->stand);
	l->next = p->free_line;
	p->free_line = line;
}

/* The seat at @at has a new key: from there up, the lesser of each two goes on. */
static inline void play(struct gr_place__line *l, uint32_t at, uint64_t key)
{
	uint64_t *t = l->tree, other;
	size_t i = (size_t)l->cap + at;
	const struct gr_place__seat *first;

	t[i] = key;
	while (i > 1) {
		other = t[i ^ 1];
		key = other < key ? other : key;
		i /= 2;
		t[i] = key;
	}
	first = &l->seats[key & (l->cap - 1)];
	l->least = key;
	l->first = first->queue;
	l->first_owner = first->owner;
}

/* The rounding of a share is far above the lowest bits, of which there are as many as the line needs to number its seats. */
static inline void queue_play(struct gr_place *p, uint32_t line, uint32_t queue, uint64_t share)
{
	struct gr_place__line *l = &p->lines[line];
	uint32_t at = p->queue_at[queue];

	play(l, at, (share & -(uint64_t)l->cap) | at);
}

static void line_grow(struct gr_place__line *l)
{
	uint32_t old = l->cap, cap = old ? old * 2 : 4;
	uint64_t *tree = gr_xlines(cap * (2 * sizeof(*tree) + sizeof(*l->seats)));
	struct gr_place__seat *seats = (struct gr_place__seat *)(tree + 2 * (size_t)cap);

	for (uint32_t i = 0; i < cap; i++) {
		tree[cap + i] = i < old ? (l->tree[old + i] & -(uint64_t)cap) | i : UINT64_MAX;
		seats[i] = i < old ? l->seats[i] : (struct gr_place__seat){ NIL, NIL };
	}
	for (uint32_t i = cap - 1; i; i--)
		tree[i] = tree[i * 2 + 1] < tree[i * 2] ? tree[i * 2 + 1] : tree[i * 2];
	free(l->tree);
	l->tree = tree;
	l->seats = seats;
	l->cap = cap;
}

static void line_leave(struct gr_place *p, uint32_t queue)
{
	uint32_t line = p->queues[queue].line, at = p->queue_at[queue], last;
	struct gr_place__line *l = &p->lines[line];

	last = l->seats[--l->n].queue;
	play(l, l->n, UINT64_MAX);
	if (at < l->n) {
		p->queue_at[last] = at;
		l->seats[at] = l->seats[l->n];
		queue_play(p, line, last, p->owners[l->seats[at].owner].share);
	}
	if (!l->n)
		line_free(p, line);
}

static void line_join(struct gr_place *p, uint32_t queue)
{
	struct gr_place__queue *q = &p->queues[queue];
	const struct gr_place__owner *o = &p->owners[q->owner];
	uint32_t stand = stand_get(p, o->spec.tenant, o->spec.band, p->classes[q->class].dominant);
	struct gr_place__line *l;

	q->line = line_get(p, stand, q->class);
	l = &p->lines[q->line];
	if (l->n == l->cap)
		line_grow(l);
	p->queue_at[queue] = l->n;
	l->seats[l->n++] = (struct gr_place__seat){ queue, q->owner };
	queue_play(p, q->line, queue, o->share);
	/* who closed the class may have been of a band that could stop nobody */
	if (p->victim_bits >> o->spec.band > (p->cfg.is_fair_preempt ? 0 : 1) && gr_place__is_parked(p, q->class))
		gr_place__unpark(p, q->class);
}

APART void gr_place__queue_move(struct gr_place *p, uint32_t queue, enum gr_place__where to)
{
	struct gr_place__queue *q = &p->queues[queue];
	uint32_t last;

	if (q->where == to)
		return;
	if (q->where == Q_LINE) {
		line_leave(p, queue);
	} else if (q->where == Q_STUCK) {
		last = p->stuck[--p->n_stuck];
		p->stuck[p->queue_at[queue]] = last;
		p->queue_at[last] = p->queue_at[queue];
	}
	q->where = (uint8_t)to;
	if (to == Q_LINE) {
		line_join(p, queue);
	} else if (to == Q_STUCK) {
		q->stuck_at = p->changes;
		if (!q->stuck_ns)
			q->stuck_ns = p->now_ns + 1;
		GR_GROW(p->stuck, p->cap_stuck, p->n_stuck + 1);
		p->queue_at[queue] = p->n_stuck;
		p->stuck[p->n_stuck++] = queue;
	} else {
		if (p->reserve.queue == queue)
			gr_place__reserve_drop(p);
		if (to == Q_EMPTY)
			q->stuck_ns = 0;
	}
}

/* ---- whose turn ---- */

static uint64_t promised(const struct gr_place *p, uint32_t tenant, uint32_t class, uint8_t band, uint32_t res)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < p->n_kept; i++) {
		const struct gr_place__kept *k = &p->kept[i];

		if (k->tenant == tenant && (k->band < band || (k->band == band && k->class != class)))
			sum += (uint64_t)p->classes[k->class].spec.need.v[res] * k->n;
	}
	return sum;
}

APART uint64_t gr_place__quota_left(const struct gr_place *p, const struct gr_place__tenant *t, const struct gr_place__class *c, uint8_t band)
{
	uint64_t left = UINT64_MAX;

	for (uint32_t k = 0; t->has_quota && k < c->n_need; k++) {
		uint32_t r = c->need_res[k];
		uint64_t taken = t->used[r] + promised(p, (uint32_t)(t - p->tenants), (uint32_t)(c - p->classes), band, r), n;

		if (!t->quota.v[r])
			continue;
		n = taken < t->quota.v[r] ? (t->quota.v[r] - taken) / c->spec.need.v[r] : 0;
		left = n < left ? n : left;
	}
	return left;
}

bool gr_place__quota_allows(const struct gr_place *p, const struct gr_place__tenant *t, const struct gr_place__class *c, uint8_t band, uint32_t n)
{
	return !t->has_quota || gr_place__quota_left(p, t, c, band) >= n;
}

static uint16_t front_rank(const struct gr_place *p, const struct gr_place__line *l)
{
	return p->queued[p->queues[l->first].front].rank;
}

/* Of a class that has lines. Of 64 classes at most, p->open tells them apart. */
static inline bool is_open(const struct gr_place *p, uint32_t class)
{
	return (p->open >> class % 64 & 1) && (p->n_classes <= 64 || !gr_place__is_parked(p, class));
}

/* The open line of a stand whose first owner has least; of one owner's, that with the longest task. */
static OFTEN uint32_t open_line(const struct gr_place *p, const struct gr_place__stand *s)
{
	const struct gr_place__tenant *t = &p->tenants[s->tenant];
	uint64_t least = UINT64_MAX;
	uint32_t best = NIL, owner = NIL;
	bool has_quota = t->has_quota;

	for (uint32_t i = s->first_line; i != NIL; i = p->lines[i].next) {
		const struct gr_place__line *l = &p->lines[i];
		bool is_first = l->least < least;

		if (!is_open(p, l->class) || (has_quota && !gr_place__quota_allows(p, t, &p->classes[l->class], s->band, 1)))
			continue;
		if (l->first_owner == owner)
			is_first = front_rank(p, l) > front_rank(p, &p->lines[best]);
		least = gr_place__either(least, l->least, is_first);
		owner = (uint32_t)gr_place__either(owner, l->first_owner, is_first);
		best = (uint32_t)gr_place__either(best, i, is_first);
	}
	return best;
}

struct turn { uint32_t at, line; };           /* a seat of the heap, and the line of its tenant; NIL: nobody */
#define NOBODY (struct turn){ NIL, NIL }

static void explore(const struct gr_place *p, const struct gr_place__standing *heap, uint32_t n, uint32_t at, struct turn *best)
{
	const struct gr_place__stand *s;
	uint32_t line;

	if (at >= n || (best->at != NIL && !goes_before(&heap[at], &heap[best->at])))
		return;
	s = &p->stands[gr_place__who(&heap[at])];
	line = heap[at].classes & p->open ? open_line(p, s) : NIL;
	if (line != NIL) {
		*best = (struct turn){ at, line };
		return;
	}
	for (uint32_t k = at * 4 + 1; k < at * 4 + 5; k++)
		explore(p, heap, n, k, best);
}

static __attribute__((noinline)) struct turn first_of_many(const struct gr_place *p, const struct gr_place__standing *heap, uint32_t n)
{
	struct turn best = NOBODY;

	explore(p, heap, n, 0, &best);
	return best;
}

/* Of few, the one that has least and a line of a class that is open; of equals the first, since they stand by id. Its place
 * stands in the lowest bits of the share, which are below its rounding: one number to compare, and no branch on it. */
static inline uint32_t least_of(const struct gr_place *p, const struct gr_place__standing *seat, uint32_t n, uint32_t but)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t k = 0; k < n; k++) {
		bool is_open = (seat[k].classes & p->open) && !(but >> k & 1);
		uint64_t key = (seat[k].share & ~(FEW_STANDS - 1ull)) | k | -(uint64_t)!is_open;

		least = key < least ? key : least;
	}
	return least == UINT64_MAX ? NIL : least % FEW_STANDS;
}

static inline struct turn first_of_few(const struct gr_place *p, const struct gr_place__standing *seat, uint32_t n)
{
	uint32_t k = least_of(p, seat, n, 0), tried = 0, line;

	while (k != NIL) {
		line = open_line(p, &p->stands[gr_place__who(&seat[k])]);
		if (line != NIL)
			return (struct turn){ k, line };
		tried |= 1u << k;             /* the bits are of more classes than one */
		k = least_of(p, seat, n, tried);
	}
	return NOBODY;
}

OFTEN uint32_t gr_place__choose(const struct gr_place *p)
{
	if (!p->open)
		return NIL;
	for (uint32_t bands = p->band_bits; bands; bands &= bands - 1) {
		const struct gr_place__band *b = &p->bands[__builtin_ctz(bands)];
		const struct gr_place__standing *first = NULL;
		uint32_t line = NIL;

		for (uint32_t res = b->res; res; res &= res - 1) {
			const struct gr_place__standing *heap = b->by[__builtin_ctz(res)].heap;
			uint32_t n = b->by[__builtin_ctz(res)].n;
			struct turn turn = n <= FEW_STANDS ? first_of_few(p, heap, n) : first_of_many(p, heap, n);

			if (turn.at == NIL || (first && !goes_before(&heap[turn.at], first)))
				continue;
			first = &heap[turn.at];
			line = turn.line;
		}
		if (line != NIL)
			return p->lines[line].first;
	}
	return NIL;
}

/* ---- shares change ---- */

static OFTEN void owner_rekey(struct gr_place *p, struct gr_place__owner *o)
{
	uint64_t share = owner_share(p, o);

	if (share == o->share)
		return;
	o->share = share;
	for (uint32_t i = o->first_queue; i != NIL; i = p->queues[i].next)
		if (p->queues[i].where == Q_LINE) {
			gr_place__fetch_item(p, p->queues[i].front);
			queue_play(p, p->queues[i].line, i, share);
		}
}

static RARE void charge_user(struct gr_place__owner *o, struct gr_place__tenant *t, const struct gr_place__class *c, int n)
{
	for (uint32_t r = N_INLINE; r < GR_PLACE_N_RES; r++) {
		o->used[r] += (uint64_t)(int64_t)n * c->spec.need.v[r];
		t->used[r] += (uint64_t)(int64_t)n * c->spec.need.v[r];
	}
}

OFTEN void gr_place__charge(struct gr_place *p, uint32_t owner, const struct gr_place__class *c, int n)
{
	struct gr_place__owner *o = &p->owners[owner];
	struct gr_place__tenant *t = &p->tenants[o->spec.tenant];

	for (uint32_t r = 0; r < N_INLINE; r++) {
		uint64_t more = (uint64_t)((int64_t)n * c->need4[r]);

		o->used[r] += more;
		t->used[r] += more;
	}
	if (c->n_user)
		charge_user(o, t, c, n);
	owner_rekey(p, o);
	for (uint32_t i = t->first_stand; i != NIL; i = p->stands[i].next)
		if (c->spec.need.v[p->stands[i].res])
			stand_sift(p, i);
}

void gr_place__tenant_rekey(struct gr_place *p, uint32_t tenant)
{
	for (uint32_t s = p->tenants[tenant].first_stand; s != NIL; s = p->stands[s].next)
		stand_sift(p, s);
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

static RARE void totals_anew(struct gr_place *p)
{
	p->is_total_new = false;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		p->inverse[r] = p->total[r] ? SHARE_ONE / p->total[r] : 0;
	p->most_mcpu = p->total[GR_PLACE_CPU_MCPU] << 7 | 127;
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

void gr_place__totals(struct gr_place *p)
{
	if (p->is_total_new)
		totals_anew(p);
}
