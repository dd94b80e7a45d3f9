/* search.c - which worker: some candidates, an exact score, the smallest wins.
 *
 * Candidates are the workers that hold the task's files (they were used last for it), and up to n_sample drawn from the
 * buckets of the lowest predicted cost among those whose room may suffice. The score is what the task would take there:
 * waiting behind what the worker holds, fetching what it lacks over its zone's bandwidth, running at its node's learned
 * speed while the node's cores are shared; and what the others on that node lose meanwhile. Preferences change it in
 * permille, spread and nearness add to it. Ties go to the worker with fewer tasks a slot. Every 64th decision takes, of a few workers that fit, the one whose node was
 * measured longest ago: what is never tried is never found to have become fast. */
#include "lib/place/place.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/place/place_int.h"

#define MAX_CANDIDATES 128u
#define MAX_POOLS_LOOKED 16u
#define SCAN_MAX 64u
#define WARM_LOOKED 6u               /* holders of the files that may take it */
#define WARM_TRIED 16u               /* holders asked whether they may */
#define EXPLORE_EVERY 64u
#define EXPLORE_SAMPLE 4u
#define STALE_S 60u
#define MEM_PSI_HEAVY 4u              /* pressure on memory above 12 %: nothing that asks for more than its part */

/* ---- what a worker was sent ---- */

static uint64_t set_of(const struct gr_place__owner *o, uint64_t set)
{
	return set ? set : o->id + 1ull;
}

/* Where it stands, and above it 16 bits by which it is known. */
static uint32_t have_key(uint64_t set, uint32_t worker_id)
{
	uint64_t h = (set ^ (uint64_t)worker_id << 32 ^ worker_id) * 0x9e3779b97f4a7c15ull;

	h ^= h >> 29;
	return (uint32_t)(h * 0xd6e8feb86659fd93ull >> 32);
}

/* KiB in 16 bits: 11 of mantissa, rounded up; above 2 TiB it is 2 TiB. The larger stays the larger: packed ones can be compared. */
static uint16_t pack_kib(uint64_t kib)
{
	uint32_t e = 52 - (uint32_t)__builtin_clzll(kib | 2048);
	uint64_t v = (e << 11) + ((kib + (1ull << e) - 1) >> e);

	return v > UINT16_MAX ? UINT16_MAX : (uint16_t)v;
}

static uint64_t unpack_kib(uint16_t v)
{
	return v < 2048 ? v : (uint64_t)((v & 2047) + 2048) << ((v >> 11) - 1);
}

/* Whether a worker with this key has all of it is as good as random to the processor, and no branch hangs on it; some of it is rare. */
static inline uint64_t missing_kib(const struct gr_place *p, const struct gr_place__search *s, uint32_t key)
{
	uint32_t slot = p->have[key & (p->cap_have - 1)];
	bool has = (slot != 0) & !((slot ^ key) >> 16), has_all = has & ((uint16_t)slot >= s->all_packed);

	if (has > has_all)
		return s->input_kib * (s->all_kib - unpack_kib((uint16_t)slot)) / s->all_kib;
	return s->input_kib & ((uint64_t)has_all - 1);
}

OFTEN void gr_place__warm(struct gr_place *p, uint32_t worker, struct gr_place__owner *o, const struct gr_place__search *s)
{
	uint32_t id = p->workers[worker].id, key, *at, slot;
	uint64_t set = s->t->input_set, more;
	struct gr_place__warm *warm = &o->warm;
	bool is_new;

	if (!s->input_kib)
		return;
	key = have_key(s->set, id);
	at = &p->have[key & (p->cap_have - 1)];
	is_new = !*at || *at >> 16 != key >> 16;
	more = missing_kib(p, s, key);
	if (!is_new && !more)
		return;
	*at = (key & 0xffff0000u) | pack_kib((is_new ? 0 : unpack_kib((uint16_t)*at)) + more + 1);
	if (!is_new)
		return;
	if (set) {
		slot = (uint32_t)(set ^ set >> 29) % N_SETS;
		if (p->sets[slot].set != set) {
			p->sets[slot].set = set;
			p->sets[slot].warm.n = 0;
		}
		warm = &p->sets[slot].warm;
	}
	/* one that was forgotten by the table may stand here twice: it is only looked at twice */
	warm->w[warm->n < N_WARM ? warm->n++ : gr_rng_below(&p->rng, N_WARM)] = id;
}

/* ---- tallies: an owner's tasks by worker, node or zone ---- */

static uint64_t tally_key(uint32_t owner, uint8_t by, uint32_t what)
{
	return (uint64_t)owner << 40 | (uint64_t)by << 36 | (uint64_t)(what & 0xfffffffu) << 1 | 1;
}

static uint32_t tally_slot(const struct gr_place *p, uint64_t key)
{
	uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32) & (p->cap_tally - 1);

	while (p->tally[i].key && p->tally[i].key != key)
		i = (i + 1) & (p->cap_tally - 1);
	return i;
}

uint32_t gr_place__tally_of(const struct gr_place *p, uint32_t worker, uint8_t by)
{
	const struct gr_place__worker *w = &p->workers[worker];

	return by == GR_PLACE_BY_WORKER ? worker : by == GR_PLACE_BY_NODE ? w->node : p->pools[w->pool].zone;
}

uint32_t gr_place__tally_get(const struct gr_place *p, uint32_t owner, uint8_t by, uint32_t what)
{
	return p->cap_tally ? p->tally[tally_slot(p, tally_key(owner, by, what))].n : 0;
}

/* Room was made by gr_place__room. An entry at 0 goes, by back-shift. */
APART void gr_place__tally_add(struct gr_place *p, uint32_t owner, uint8_t by, uint32_t what, int sign)
{
	uint64_t key = tally_key(owner, by, what);
	uint32_t i = tally_slot(p, key), mask = p->cap_tally - 1, hole;

	if (!p->tally[i].key) {
		p->tally[i].key = key;
		p->tally[i].n = 0;
		p->n_tally++;
	}
	p->tally[i].n += (uint32_t)sign;
	if (p->tally[i].n)
		return;
	p->n_tally--;
	for (hole = i, i = (i + 1) & mask; p->tally[i].key; i = (i + 1) & mask) {
		uint32_t home = (uint32_t)(p->tally[i].key * 0x9e3779b97f4a7c15ull >> 32) & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		p->tally[hole] = p->tally[i];
		hole = i;
	}
	p->tally[hole] = (struct gr_place__tally){ 0, 0 };
}

/* ---- what it would take ---- */

OFTEN uint32_t gr_place__contention(const struct gr_place *p, const struct gr_place__worker *w, uint32_t more_mcpu)
{
	const struct gr_place__node *n = &p->nodes[w->node];
	uint64_t cores = n->said_mcpu ? n->said_mcpu : n->sum_mcpu, used = (uint64_t)n->used_mcpu + n->foreign_mcpu + more_mcpu, m = 1000, own;

	if (used > cores && cores)
		m = used * 1000 / cores;
	if (w->quota_10mcpu) {
		own = (w->run_mcpu + more_mcpu) * 100ull / w->quota_10mcpu;
		m = own > m ? own : m;
	}
	if (n->steal_permille | w->slow_permille)
		m = m * (1000u + n->steal_permille) / 1000 * (1000u + w->slow_permille) / 1000;
	return m > 100000 ? 100000 : (uint32_t)m;
}

/* What the tasks that run on its node lose while one more runs there, as a part of its run: each of them goes on at b/m of
 * its pace, b and m the node's contention before and after. Without it, the fast nodes are filled until they thrash. */
static uint64_t others_permille(const struct gr_place *p, const struct gr_place__worker *w, uint32_t more_mcpu)
{
	const struct gr_place__node *n = &p->nodes[w->node];
	uint64_t cores = n->said_mcpu ? n->said_mcpu : n->sum_mcpu, used = (uint64_t)n->used_mcpu + n->foreign_mcpu;

	if (used + more_mcpu <= cores || !cores)
		return 0;
	return (used + more_mcpu - (used > cores ? used : cores)) * n->used_mcpu / (used + more_mcpu);
}

/* @key: have_key of the task's set and the worker. */
static inline uint64_t fetch_us(const struct gr_place *p, const struct gr_place__worker *w, const struct gr_place__search *s, uint32_t key)
{
	uint64_t us = w->rtt_16us * 16ull, missing;
	uint32_t zone, bandwidth;

	if (!s->input_kib)
		return us;
	missing = missing_kib(p, s, key);
	if (!p->cap_bandwidth)
		return us + (missing * p->us_per_kib_1024 >> 10);
	zone = p->pools[w->pool].zone;
	bandwidth = zone < p->cap_bandwidth ? p->bandwidth[zone] : 0;
	return us + missing * 1000 / (bandwidth ? bandwidth : p->cfg.bandwidth_kib_per_ms);
}

/* A free slot starts at once; else the backlog drains through all slots. */
static uint64_t wait_us(const struct gr_place *p, const struct gr_place__worker *w, const struct gr_place__search *s, uint64_t m)
{
	if (w->n_placed < w->slots && !w->n_waiting && s->class->need4[GR_PLACE_CPU_MCPU] <= w->free[GR_PLACE_CPU_MCPU])
		return 0;
	return w->backlog_ms * m / p->nodes[w->node].speed_permille * 1000 * (w->n_waiting + 1) / (w->n_placed + 1u) / w->slots;
}

OFTEN uint64_t gr_place__fetch_us(const struct gr_place *p, uint32_t worker, const struct gr_place__search *s)
{
	return fetch_us(p, &p->workers[worker], s, have_key(s->set, p->workers[worker].id));
}

static inline uint64_t contention_with(const struct gr_place *p, const struct gr_place__worker *w, const struct gr_place__search *s)
{
	return gr_place__contention(p, w, s->class->spec.need.v[GR_PLACE_CPU_MCPU]);
}

static inline uint64_t run_us(const struct gr_place *p, const struct gr_place__worker *w, const struct gr_place__search *s, uint64_t m)
{
	return s->work_us * m / p->nodes[w->node].speed_permille;
}

/* The task's own part of it. */
static inline struct gr_place__cost own_cost(const struct gr_place *p, uint32_t worker, const struct gr_place__search *s, uint64_t fetch)
{
	const struct gr_place__worker *w = &p->workers[worker];
	uint64_t m = contention_with(p, w, s);

	return (struct gr_place__cost){ .run_us = run_us(p, w, s, m), .fetch_us = fetch, .wait_us = wait_us(p, w, s, m) };
}

APART struct gr_place__cost gr_place__cost(const struct gr_place *p, uint32_t worker, const struct gr_place__search *s)
{
	const struct gr_place__worker *w = &p->workers[worker];
	const struct gr_place__class *c = s->class;
	struct gr_place__cost cost = own_cost(p, worker, s, gr_place__fetch_us(p, worker, s));
	uint32_t at = c->pool_at[w->pool];
	int64_t more = (int64_t)(cost.run_us * others_permille(p, w, c->spec.need.v[GR_PLACE_CPU_MCPU]) / 1000);

	if (at && c->prefer[at - 1])
		more -= (int64_t)(cost.run_us + cost.fetch_us) * c->prefer[at - 1] / 1000;
	if (c->spec.spread_by && c->spec.is_spread_soft)
		more += (int64_t)gr_place__tally_get(p, s->owner, c->spec.spread_by, gr_place__tally_of(p, worker, c->spec.spread_by)) *
			c->spec.spread_ms * 1000;
	if (c->spec.near_by && p->owners[s->owner].n_placed &&
	    !gr_place__tally_get(p, s->owner, c->spec.near_by, gr_place__tally_of(p, worker, c->spec.near_by)))
		more += (int64_t)c->spec.near_ms * 1000;
	if (more < 0 && (uint64_t)-more > cost.run_us + cost.fetch_us)
		more = -(int64_t)(cost.run_us + cost.fetch_us);
	cost.more_us = (uint64_t)more;
	return cost;
}

/* ---- may it go there ---- */

bool gr_place__is_excluded(const struct gr_place__worker *w, const struct gr_place_task *t)
{
	for (uint32_t i = 0; i < t->n_exclude; i++)
		if (t->exclude[i] == w->id)
			return true;
	for (uint32_t i = 0; i < t->n_exclude_node; i++)
		if (t->exclude_node[i] == w->node)
			return true;
	return false;
}

static uint64_t gone_ns(const struct gr_place *p, uint32_t worker)
{
	for (uint32_t k = 0; k < p->n_leaving; k++)
		if (p->leaving[k].worker == worker)
			return p->leaving[k].gone_ns;
	return UINT64_MAX;
}

APART enum gr_place_verdict gr_place__fits(const struct gr_place *p, uint32_t worker, const struct gr_place__search *s, uint32_t *res)
{
	const struct gr_place__worker *w = &p->workers[worker];
	const struct gr_place__class *c = s->class;
	const struct gr_place_class *spec = &c->spec;

	/* room last: NO_ROOM says that nothing else is in the way */
	if ((s->t->n_exclude || s->t->n_exclude_node) && gr_place__is_excluded(w, s->t))
		return GR_PLACE_V_EXCLUDED;
	if (w->node == s->avoid_node)
		return GR_PLACE_V_EXCLUDED;
	if (spec->spread_by && !spec->is_spread_soft) {
		uint32_t what = gr_place__tally_of(p, worker, spec->spread_by), n = gr_place__tally_get(p, s->owner, spec->spread_by, what);

		if (n + (p->n_kept ? gr_place__kept_near(p, s->owner, s->class_id, spec->spread_by, what) : 0) >= spec->spread_max)
			return GR_PLACE_V_SPREAD;
	}
	if (spec->left_ms && (w->flags & W_LEAVING) && s->now_ns + spec->left_ms * GR_NS_PER_MS > gone_ns(p, worker))
		return GR_PLACE_V_LEAVING;
	for (uint32_t k = 0; k < c->n_need; k++) {
		uint32_t r = c->need_res[k];
		int32_t need = (int32_t)spec->need.v[r], free = r < N_INLINE ? w->free[r] : p->over[worker][r - N_INLINE];

		/* cores are what slots stand for, and credits go beyond them on purpose; the rest is hard */
		if (need <= free || (r == GR_PLACE_CPU_MCPU && s->with_credits && need <= (int32_t)p->caps[w->cap].v.v[r]))
			continue;
		*res = r;
		return need > (int32_t)p->caps[w->cap].v.v[r] ? GR_PLACE_V_TOO_SMALL : GR_PLACE_V_NO_ROOM;
	}
	if (w->mem_psi_32 >= MEM_PSI_HEAVY && spec->need.v[GR_PLACE_MEM_MIB] > p->caps[w->cap].v.v[GR_PLACE_MEM_MIB] / w->slots) {
		*res = GR_PLACE_MEM_MIB;
		return GR_PLACE_V_NO_ROOM;
	}
	if ((w->flags & W_KEPT) && gr_place__kept_from(p, worker, s->class_id, p->owners[s->owner].spec.band))
		return GR_PLACE_V_RESERVED;
	if (w->flags & W_RESERVED) {
		uint64_t end_ns = s->now_ns + run_us(p, w, s, contention_with(p, w, s)) * 5 / 4 * GR_NS_PER_US;

		if (gr_place__is_kept(p, worker, s->reserved_for, end_ns))
			return GR_PLACE_V_RESERVED;
	}
	return GR_PLACE_V_FITS;
}

/* ---- looking ---- */

/* Most classes ask for one core and room, most workers have neither a quota nor pressure: then the node's price is all
 * that gr_place__cost would find, to within its rounding. */
static inline bool is_quick(const struct gr_place__search *s, const struct gr_place__worker *w)
{
	return s->is_plain && !(w->flags & (W_RESERVED | W_KEPT | W_ODD)) && !s->with_credits;
}

/* Return: false when it does not fit. */
static inline bool quick(const struct gr_place *p, const struct gr_place__search *s, uint32_t worker, uint32_t key, uint64_t *score)
{
	const struct gr_place__worker *w = &p->workers[worker];
	gr_place__four free;
	struct gr_place__cost c;
	uint32_t res;

	memcpy(&free, w->free, sizeof(free));
	if (s->with_credits)
		free[GR_PLACE_CPU_MCPU] = INT32_MAX;
	if (!gr_place__suffices(free, s->class->need4))
		return false;
	/* what will wait there takes a credit, also where a slot is free and only cores are not */
	if (s->with_credits && (!w->prefetch || (w->n_waiting && w->n_waiting >= gr_place__credits(p, w))))
		return false;
	if (!is_quick(s, w)) {
		if (gr_place__fits(p, worker, s, &res) != GR_PLACE_V_FITS)
			return false;
		c = gr_place__cost(p, worker, s);
		*score = c.wait_us + c.fetch_us + c.run_us + c.more_us;
		return true;
	}
	*score = ((uint64_t)s->work_us * p->price_1024[w->node] >> 10) + fetch_us(p, w, s, key);
	return true;
}

/* Of those looked at, the one that takes it and the next three, in order: the score above, the worker below. */
#define BEST_SHIFT WORKER_BITS
#define BEST_MOST ((1ull << (64 - BEST_SHIFT)) - 3)     /* one more is not yet nobody */
struct best { uint64_t key[1 + GR_PLACE_N_NEXT]; uint32_t n_looked; };

static inline struct best best_of(const struct gr_place__search *s)
{
	struct best b = { .n_looked = s->n_looked };

	memcpy(b.key, s->best, sizeof(b.key));
	return b;
}

static inline void tell(struct gr_place__search *s, const struct best *b)
{
	s->n_looked = b->n_looked;
	memcpy(s->best, b->key, sizeof(s->best));
	s->score = b->key[0] >> BEST_SHIFT;
	s->worker = b->key[0] == UINT64_MAX ? NIL : (uint32_t)b->key[0] & WORKER_MASK;
}

static inline void in_order(uint64_t *a, uint64_t *b)
{
	uint64_t less = *a < *b ? *a : *b, more = *a < *b ? *b : *a;

	*a = less;
	*b = more;
}

/* Of two that score the same the one with more tasks a slot is a microsecond worse. */
static RARE void set_apart(const struct gr_place *p, struct best *b, uint32_t worker, uint64_t *key)
{
	const struct gr_place__worker *w = &p->workers[worker], *v = &p->workers[b->key[0] & WORKER_MASK];
	bool wins = (uint32_t)w->n_placed * v->slots < (uint32_t)v->n_placed * w->slots;

	*(wins ? &b->key[0] : key) += 1ull << BEST_SHIFT;
}

/* Which of two is better is as good as random to the processor: no branch hangs on it. @hash: have_key of the task's set and the worker. */
static inline __attribute__((always_inline)) void weigh(const struct gr_place *p, const struct gr_place__search *s, struct best *b, uint32_t worker,
							uint32_t hash)
{
	uint64_t score, key;

	if (!quick(p, s, worker, hash, &score))
		return;
	key = (score < BEST_MOST ? score : BEST_MOST) << BEST_SHIFT | worker;
	if (key == b->key[0])
		return;
	b->n_looked++;
	if (!((key ^ b->key[0]) >> BEST_SHIFT))
		set_apart(p, b, worker, &key);
	for (uint32_t i = 0; i < 1 + GR_PLACE_N_NEXT; i++)
		in_order(&b->key[i], &key);
}

static __attribute__((noinline)) void look(const struct gr_place *p, struct gr_place__search *s, uint32_t worker)
{
	struct best b = best_of(s);

	weigh(p, s, &b, worker, have_key(s->set, p->workers[worker].id));
	tell(s, &b);
}

struct field {                                /* the buckets a class may look at, rank by rank */
	const struct gr_place__pool *pool[MAX_POOLS_LOOKED];
	uint64_t ranks[MAX_POOLS_LOOKED], all;
	uint32_t n, groups;
	bool is_cut;
};

static inline void make_field(struct gr_place *p, const struct gr_place__search *s, struct field *f)
{
	const struct gr_place__class *c = s->class;
	uint32_t n = c->n_pools, start = 0;

	f->n = 0;
	f->all = 0;
	f->groups = s->with_credits ? G_SOME_ROOM : c->group_mask;
	f->is_cut = n > MAX_POOLS_LOOKED;
	if (f->is_cut)
		start = gr_rng_below(&p->rng, n);
	for (uint32_t i = 0; i < n && f->n < MAX_POOLS_LOOKED; i++) {
		uint32_t at = start + i;
		const struct gr_place__pool *pool = &p->pools[c->pools[at < n ? at : at - n]];
		uint64_t ranks = s->with_credits ? gr_place__ranks(pool, f->groups) : pool->at_least[c->room_level];

		if (!ranks)
			continue;
		f->pool[f->n] = pool;
		f->ranks[f->n++] = ranks;
		f->all |= ranks;
	}
}

static uint32_t fetched(const struct gr_place *p, uint32_t worker)
{
	__builtin_prefetch(&p->workers[worker]);
	return worker;
}

/* Up to @want workers into @out, from the lowest rank on: all of a rank when they are few, else drawn. Return: how many. */
static OFTEN APART uint32_t draw(struct gr_place *p, const struct field *f, uint32_t *out, uint32_t want, bool *is_all)
{
	const struct gr_place__bucket *b[MAX_POOLS_LOOKED * 4];
	uint32_t got = 0;

	*is_all = true;
	for (uint64_t all = f->all; all; all &= all - 1) {
		uint32_t rank = (uint32_t)__builtin_ctzll(all), n_b = 0, n = 0;

		if (got >= want) {
			*is_all = false;
			return got;
		}
		for (uint32_t i = 0; i < f->n; i++) {
			if (!(f->ranks[i] >> rank & 1))
				continue;
			for (uint32_t g = f->pool[i]->group_bits & f->groups; g; g &= g - 1) {
				const struct gr_place__group *group = &f->pool[i]->groups[__builtin_ctz(g)];

				if (!(group->ranks >> rank & 1))
					continue;
				if (n_b == MAX_POOLS_LOOKED * 4) {
					*is_all = false;
					break;
				}
				b[n_b] = &group->buckets[rank];
				n += b[n_b++]->n;
			}
		}
		if (n <= want - got) {
			for (uint32_t i = 0; i < n_b; i++)
				for (uint32_t k = 0; k < b[i]->n; k++)
					out[got++] = fetched(p, b[i]->w[k]);
			continue;
		}
		*is_all = false;
		while (got < want) {
			uint32_t at = gr_rng_below(&p->rng, n), i = 0;

			while (at >= b[i]->n)
				at -= b[i++]->n;
			out[got++] = fetched(p, b[i]->w[at]);
		}
	}
	return got;
}

/* Return: have_key of the task's set and the worker. */
static inline uint32_t ask_for_files(const struct gr_place *p, const struct gr_place__search *s, uint32_t worker_id)
{
	uint32_t key = have_key(s->set, worker_id);

	__builtin_prefetch(&p->have[key & (p->cap_have - 1)]);
	return key;
}

/* The price is for the score, the others for the one that is taken. */
static inline FETCH void ask_for_node(const struct gr_place *p, uint32_t worker)
{
	uint32_t node = p->workers[worker].node;

	__builtin_prefetch(&p->price_1024[node]);
	__builtin_prefetch(&p->nodes[node]);
	__builtin_prefetch(&p->holds[worker]);
}

/* Of the workers that hold the files, a few from a random one on. In two passes, here and below: what each needs is on its way while
 * the others are looked at. */
static inline void look_at_warm(struct gr_place *p, struct gr_place__search *s, uint32_t groups)
{
	const struct gr_place__owner *o = &p->owners[s->owner];
	const struct gr_place__warm *warm = &o->warm;
	uint32_t slot = (uint32_t)(s->t->input_set ^ s->t->input_set >> 29) % N_SETS, some[WARM_TRIED], n_some = 0, n = 0, at, tried;
	uint32_t w[WARM_LOOKED], key[WARM_LOOKED];
	struct best b = best_of(s);

	if (s->t->input_set) {
		if (p->sets[slot].set != s->t->input_set)
			return;
		warm = &p->sets[slot].warm;
	}
	if (!warm->n)
		return;
	at = warm->n > WARM_LOOKED ? gr_rng_below(&p->rng, warm->n) : 0;
	tried = gr_place__min(warm->n, WARM_TRIED);
	/* most have no room: only where they stand is looked at, and no branch hangs on it */
	for (uint32_t i = 0; i < tried; i++) {
		uint32_t id = warm->w[at];

		at++;
		at &= -(uint32_t)(at < warm->n);
		some[n_some] = id;
		n_some += groups >> p->group[id & WORKER_MASK] & 1;
	}
	for (uint32_t i = 0; i < n_some && n < WARM_LOOKED; i++) {
		key[n] = ask_for_files(p, s, some[i]);
		w[n] = gr_place__worker(p, some[i]);
		if (w[n] == NIL || !s->class->pool_at[p->workers[w[n]].pool])
			continue;
		ask_for_node(p, w[n]);
		n++;
	}
	for (uint32_t i = 0; i < n; i++)
		weigh(p, s, &b, w[i], key[i]);
	tell(s, &b);
}

/* They were asked for when they were found. */
static OFTEN APART void look_at(struct gr_place *p, struct gr_place__search *s, const uint32_t *w, uint32_t n)
{
	uint32_t key[MAX_CANDIDATES];
	struct best b = best_of(s);

	for (uint32_t i = 0; i < n; i++) {
		key[i] = ask_for_files(p, s, p->workers[w[i]].id);
		ask_for_node(p, w[i]);
	}
	for (uint32_t i = 0; i < n; i++)
		weigh(p, s, &b, w[i], key[i]);
	tell(s, &b);
}

static inline struct gr_place_next next_of(const struct gr_place *p, const struct gr_place__search *s, uint64_t key)
{
	uint64_t us = key >> BEST_SHIFT;
	bool is_none = key == UINT64_MAX;     /* as good as random: then any worker is asked for its id, and it is not told */

	us = us < UINT32_MAX ? us : UINT32_MAX - 1;
	return (struct gr_place_next){
		p->workers[gr_place__either(key & WORKER_MASK, s->worker, is_none)].id | -(uint32_t)is_none, (uint32_t)us | -(uint32_t)is_none,
	};
}

/* What the caller is told: who came next, and when the task would be done, without what the others lose. */
static OFTEN void finish(const struct gr_place *p, struct gr_place__search *s)
{
	const struct gr_place__worker *w;
	struct gr_place__cost c;
	uint64_t with_others;

	if (s->worker == NIL)
		return;
	__builtin_prefetch(&p->holds[s->worker]);
	for (uint32_t i = 0; i < GR_PLACE_N_NEXT; i++)
		s->next[i] = next_of(p, s, s->best[1 + i]);
	w = &p->workers[s->worker];
	if (is_quick(s, w)) {
		with_others = (uint64_t)s->work_us * p->price_1024[w->node] >> 10;
		s->finish_us = (s->score > with_others ? s->score - with_others : 0) + run_us(p, w, s, contention_with(p, w, s));
		return;
	}
	c = own_cost(p, s->worker, s, gr_place__fetch_us(p, s->worker, s));
	s->finish_us = c.wait_us + c.fetch_us + c.run_us;
}

static void forget(struct gr_place__search *s)
{
	s->worker = NIL;
	s->score = UINT64_MAX;
	for (uint32_t i = 0; i < 1 + GR_PLACE_N_NEXT; i++)
		s->best[i] = UINT64_MAX;
}

APART bool gr_place__search_at(const struct gr_place *p, struct gr_place__search *s, uint32_t worker)
{
	forget(s);
	look(p, s, worker);
	finish(p, s);
	return s->worker != NIL;
}

/* Of a few workers that fit, wherever they rank, the one whose node was measured longest ago, when that is long. */
static RARE bool explore(struct gr_place *p, struct gr_place__search *s, const struct field *f)
{
	uint32_t best = NIL, res, now_s = (uint32_t)((s->now_ns - p->epoch_ns) / GR_NS_PER_S);

	for (uint32_t i = 0; i < EXPLORE_SAMPLE && f->n; i++) {
		const struct gr_place__pool *pool = f->pool[gr_rng_below(&p->rng, f->n)];
		uint32_t bits = pool->group_bits & f->groups, skip = gr_rng_below(&p->rng, (uint32_t)__builtin_popcount(bits)), w;
		const struct gr_place__group *g;
		const struct gr_place__bucket *b;
		const struct gr_place__node *node;
		uint64_t ranks;

		while (skip--)
			bits &= bits - 1;
		g = &pool->groups[__builtin_ctz(bits)];
		ranks = g->ranks;
		for (skip = gr_rng_below(&p->rng, (uint32_t)__builtin_popcountll(ranks)); skip--;)
			ranks &= ranks - 1;
		b = &g->buckets[__builtin_ctzll(ranks)];
		w = b->w[gr_rng_below(&p->rng, b->n)];
		node = &p->nodes[p->workers[w].node];
		if (node->n_samples >= 4 && now_s - node->sample_s < STALE_S)
			continue;
		if (gr_place__fits(p, w, s, &res) != GR_PLACE_V_FITS)
			continue;
		if (best == NIL || node->sample_s < p->nodes[p->workers[best].node].sample_s)
			best = w;
	}
	if (best == NIL)
		return false;
	return gr_place__search_at(p, s, best);
}

/* What it would take, at the least, where none of its files are: the cheapest rank's price and all of the transfer
 * to the quickest zone. */
static uint64_t cold_us(const struct gr_place *p, const struct gr_place__search *s, const struct field *f)
{
	return ((uint64_t)s->work_us * gr_place__rank_price(f->all) >> 10) + ((uint64_t)s->input_kib * p->least_us_per_kib_1024 >> 10);
}

/* One pass over the field. Return: false when not all that may fit were looked at. */
static inline bool pass(struct gr_place *p, struct gr_place__search *s, const struct field *f)
{
	uint32_t out[MAX_CANDIDATES], n, k = p->cfg.n_sample;
	bool is_all;

	if (s->input_kib) {
		look_at_warm(p, s, f->groups);
		if (!s->with_credits && s->worker != NIL && s->score <= cold_us(p, s, f))
			return !f->is_cut;
	}
	/* what waits behind others is told apart by more than its rank: look at more */
	n = draw(p, f, out, s->with_credits ? k * 2 : k, &is_all);
	look_at(p, s, out, n);
	if (s->worker != NIL || is_all)
		return !f->is_cut;
	n = draw(p, f, out, SCAN_MAX, &is_all);
	look_at(p, s, out, n);
	return is_all && !f->is_cut;
}

/* Room that was made for the class by stopping others is taken before any other: else they were stopped for nothing. */
static RARE bool look_at_kept(const struct gr_place *p, struct gr_place__search *s)
{
	for (uint32_t i = 0; i < p->n_kept; i++)
		if (p->kept[i].class == s->class_id && (s->class->group_mask >> p->group[p->kept[i].worker] & 1))
			look(p, s, p->kept[i].worker);
	return s->worker != NIL;
}

/* No worker had room for the class a few events ago, and those say who gained some since: it is one of them or none.
 * Return: false when that is not known. */
static bool look_at_changed(struct gr_place *p, struct gr_place__search *s)
{
	uint32_t w[N_CHANGED], n = gr_place__changed(p, s->class_id, w);

	if (n == NIL)
		return false;
	for (int pass = 0; pass < 1 + s->may_wait && s->worker == NIL; pass++) {
		s->with_credits = pass;
		for (uint32_t i = 0; i < n; i++) {
			uint32_t groups = pass ? G_SOME_ROOM : s->class->group_mask;

			if ((groups >> p->group[w[i]] & 1) && s->class->pool_at[p->workers[w[i]].pool])
				look(p, s, w[i]);
		}
	}
	return true;
}

APART uint32_t gr_place__best_rank(struct gr_place *p, const struct gr_place__search *s, uint32_t *out, uint32_t max)
{
	struct field f;
	uint32_t n = 0, rank;

	make_field(p, s, &f);
	if (!f.all)
		return 0;
	rank = (uint32_t)__builtin_ctzll(f.all);
	for (uint32_t i = 0; i < f.n; i++)
		for (uint32_t g = f.pool[i]->group_bits & f.groups; g; g &= g - 1) {
			const struct gr_place__group *group = &f.pool[i]->groups[__builtin_ctz(g)];
			const struct gr_place__bucket *b;

			if (!group->buckets || !(group->ranks >> rank & 1))
				continue;
			b = &group->buckets[rank];
			for (uint32_t k = 0; k < b->n && n < max; k++)
				out[n++] = b->w[b->n - 1 - k];
		}
	return n;
}

void gr_place__files(const struct gr_place *p, struct gr_place__search *s)
{
	const struct gr_place__owner *o = &p->owners[s->owner];

	s->set = set_of(o, s->t->input_set);
	/* an owner's files are counted together, a shared set is the task's own */
	s->all_kib = s->t->input_set ? s->input_kib : o->bytes >> 10;
	s->all_packed = pack_kib(s->all_kib);
}

OFTEN void gr_place__search_for(const struct gr_place *p, uint32_t queued, uint64_t now_ns, struct gr_place__search *s)
{
	const struct gr_place__queued *item = &p->queued[queued];
	uint64_t kib = item->t.input_bytes >> 10;

	s->t = &item->t;
	s->owner = item->t.owner;
	s->class_id = item->t.class;
	s->class = &p->classes[item->t.class];
	s->work_us = gr_place__work_us(p, item->t.family, item->t.work_ms);
	s->input_kib = kib > UINT32_MAX ? UINT32_MAX : (uint32_t)kib;
	gr_place__files(p, s);
	s->avoid_node = NIL;
	s->reserved_for = item->queue;
	s->may_wait = s->with_credits = false;
	s->now_ns = now_ns;
	s->is_plain = s->class->is_plain && !s->t->n_exclude && !s->t->n_exclude_node;
}

OFTEN void gr_place__search(struct gr_place *p, struct gr_place__search *s)
{
	struct field f;

	forget(s);
	s->n_looked = 0;
	s->is_cut = s->with_credits = false;
	if (s->class->pools_gen != p->pools_gen)
		gr_place__class_pools(p, &p->classes[s->class_id]);
	if ((s->class->n_kept && look_at_kept(p, s)) || look_at_changed(p, s)) {
		finish(p, s);
		return;
	}
	for (;;) {
		/* then also groups that have no core for it, and may have credit */
		make_field(p, s, &f);
		if (f.n && !s->with_credits && p->decisions % EXPLORE_EVERY == EXPLORE_EVERY - 1 && explore(p, s, &f))
			return;
		if (f.n)
			s->is_cut |= !pass(p, s, &f);
		else if (!s->with_credits)
			s->is_cut = f.is_cut;
		if (s->worker != NIL || s->with_credits || !s->may_wait)
			break;
		s->with_credits = true;
	}
	finish(p, s);
}
