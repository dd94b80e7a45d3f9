/* worker.c - workers, and the index they stand in.
 *
 * Each worker that has room, be it on credit, stands in one bucket: of its pool, by room (group) and by cost (rank: eight steps
 * an octave of its node's contention over its node's speed). Moving is a swap with the bucket's last. Nobody asks for full ones.
 * A node's workers are ranked anew only when its quantised contention moves. Buckets by emptiness were not kept: idle
 * workers tend to be the slow ones. */
#include "lib/place/place.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/place/place_int.h"

#define MAX_SLOTS 4096u
#define TOLD_16US 125u                /* a worker tells of commands together, up to 2 ms late */
#define TOLD_SHORT_16US 1250u         /* those of less than SHORT_8US: its runners go on by themselves for up to 10 ms, and as much waits behind */
#define SHORT_8US 500u
#define CREDITS_UNKNOWN 2u            /* before the first round trips were measured */
#define RANK_BASE 53u                 /* log8 of 1024 / 10: ten times as fast as the typical worker */

uint32_t gr_place__worker(const struct gr_place *p, uint32_t id)
{
	uint32_t i = id & WORKER_MASK;

	return i < p->n_workers && p->workers[i].id == id && (p->workers[i].flags & W_UP) ? i : NIL;
}

/* ---- where it stands ---- */

/* Eight steps an octave. */
static uint32_t log8(uint32_t v)
{
	uint32_t n = 31 - (uint32_t)__builtin_clz(v | 8);

	return n * 8 + (v >> (n - 3) & 7);
}

static uint8_t rank_for(uint64_t price_1024)
{
	uint32_t r = log8(price_1024 > 1000000 ? 1000000 : (uint32_t)price_1024);

	r = r < RANK_BASE ? 0 : r - RANK_BASE;
	return (uint8_t)gr_place__min(r, N_RANKS - 1);
}

uint32_t gr_place__rank_price(uint64_t ranks)
{
	uint32_t r = (uint32_t)__builtin_ctzll(ranks) + RANK_BASE;

	return (8 + r % 8) << (r / 8 - 3);
}

static uint8_t rank_of(const struct gr_place *p, const struct gr_place__worker *w)
{
	const struct gr_place__node *n = &p->nodes[w->node];
	uint64_t m, own;

	if (!(w->quota_10mcpu | w->slow_permille))
		return n->rank;
	m = n->load_permille;
	if (w->quota_10mcpu) {
		own = (w->run_mcpu + 1000) * 100ull / w->quota_10mcpu;
		m = own > m ? own : m;
	}
	return rank_for(m * (1000u + w->slow_permille) / 1000 * 1024 / n->speed_permille);
}

static uint32_t cpu_level(uint32_t mcpu)
{
	return (mcpu >= 500) + (mcpu >= 1000) + (mcpu >= 2000) + (mcpu >= 8000);
}

static uint32_t mem_level(uint32_t mib)
{
	return (mib >= 256) + (mib >= 2048) + (mib >= 8192);
}

uint8_t gr_place__room_level(const struct gr_place_vec *need)
{
	return (uint8_t)(cpu_level(need->v[GR_PLACE_CPU_MCPU]) * N_MEM_LEVELS + mem_level(need->v[GR_PLACE_MEM_MIB]));
}

uint32_t gr_place__group_mask(uint8_t room_level)
{
	uint32_t one = (1u << N_MEM_LEVELS) - (1u << room_level % N_MEM_LEVELS), mask = 0;

	for (uint32_t c = room_level / N_MEM_LEVELS; c < N_CPU_LEVELS; c++)
		mask |= one << (2 + c * N_MEM_LEVELS);
	return mask;
}

uint64_t gr_place__ranks(const struct gr_place__pool *pool, uint32_t groups)
{
	uint64_t ranks = 0;

	for (uint32_t bits = pool->group_bits & groups; bits; bits &= bits - 1)
		ranks |= pool->groups[__builtin_ctz(bits)].ranks;
	return ranks;
}

void gr_place__level_add(struct gr_place *p, uint8_t room_level)
{
	p->levels |= 1u << room_level;
	p->level_mask[room_level] = gr_place__group_mask(room_level);
	for (uint32_t i = 0; i < p->n_pools; i++)
		p->pools[i].at_least[room_level] = gr_place__ranks(&p->pools[i], p->level_mask[room_level]);
}

APART uint32_t gr_place__credits(const struct gr_place *p, const struct gr_place__worker *w)
{
	uint32_t most = gr_place__min(w->prefetch, p->cfg.max_credits), n = CREDITS_UNKNOWN;

	/* one, and what ends there during a round trip and before it is told */
	if (w->gap_8us)
		n = 1 + (2u * (w->rtt_16us + ((uint32_t)w->gap_8us * w->slots < SHORT_8US ? TOLD_SHORT_16US : TOLD_16US)) + w->gap_8us - 1) / w->gap_8us;
	return gr_place__min(most, n);
}

uint32_t gr_place__depth(const struct gr_place *p, const struct gr_place__worker *w)
{
	return w->slots + gr_place__credits(p, w);
}

static uint8_t group_of(const struct gr_place *p, const struct gr_place__worker *w)
{
	if ((w->flags & (W_UP | W_DRAINING | W_QUARANTINED)) != W_UP || p->nodes[w->node].is_cordoned)
		return G_NONE;
	if (w->flags & W_BLOCKED)
		return 0;
	if (!w->n_waiting && w->n_placed < w->slots && w->free[GR_PLACE_CPU_MCPU] > 0)
		return (uint8_t)(2 + cpu_level((uint32_t)w->free[GR_PLACE_CPU_MCPU]) * N_MEM_LEVELS +
				 mem_level((uint32_t)w->free[GR_PLACE_MEM_MIB]));
	return w->prefetch && (!w->n_waiting || w->n_waiting < gr_place__credits(p, w));
}

/* A bucket got its first worker or lost its last: that is seldom, a search wants to know each time. */
static __attribute__((noinline)) void sum_ranks(const struct gr_place *p, struct gr_place__pool *pool)
{
	for (uint32_t levels = p->levels; levels; levels &= levels - 1) {
		uint32_t level = (uint32_t)__builtin_ctz(levels);

		pool->at_least[level] = gr_place__ranks(pool, p->level_mask[level]);
	}
}

static RARE void bucket_grow(struct gr_place__bucket *b)
{
	GR_GROW(b->w, b->cap, b->n + 1);
}

static RARE void group_make(struct gr_place__group *g)
{
	g->buckets = gr_xalloc(N_RANKS * sizeof(*g->buckets));
}

static inline void bucket_del(struct gr_place *p, struct gr_place__pool *pool, struct gr_place__spot *spots, uint32_t worker, uint32_t group,
			      uint32_t rank)
{
	struct gr_place__group *g = &pool->groups[group];
	struct gr_place__bucket *b = &g->buckets[rank];
	uint32_t last = b->w[--b->n], pos = spots[worker].pos;

	b->w[pos] = last;
	spots[last].pos = pos;
	if (b->n)
		return;
	g->ranks &= ~(1ull << rank);
	if (!g->ranks)
		pool->group_bits &= ~(1u << group);
	sum_ranks(p, pool);
}

static inline void bucket_add(struct gr_place *p, struct gr_place__pool *pool, struct gr_place__spot *spots, uint32_t worker, uint32_t group,
			      uint32_t rank)
{
	struct gr_place__group *g = &pool->groups[group];
	struct gr_place__bucket *b;

	if (!g->buckets)
		group_make(g);
	b = &g->buckets[rank];
	if (b->n == b->cap)
		bucket_grow(b);
	spots[worker].pos = b->n;
	b->w[b->n++] = worker;
	if (b->n > 1)
		return;
	g->ranks |= 1ull << rank;
	pool->group_bits |= 1u << group;
	sum_ranks(p, pool);
}

/* From where it stands to there. */
static OFTEN void move(struct gr_place *p, uint32_t worker, uint32_t group, uint32_t rank)
{
	struct gr_place__spot *spots = p->spots;
	struct gr_place__pool *pool = &p->pools[spots[worker].pool];
	uint32_t from = p->group[worker], from_rank = p->rank[worker];

	p->group[worker] = (uint8_t)group;
	p->rank[worker] = (uint8_t)rank;
	if (G_SOME_ROOM >> from & 1)
		bucket_del(p, pool, spots, worker, from, from_rank);
	if (G_SOME_ROOM >> group & 1)
		bucket_add(p, pool, spots, worker, group, rank);
}

OFTEN void gr_place__refresh(struct gr_place *p, uint32_t worker)
{
	struct gr_place__worker *w = &p->workers[worker];
	uint8_t group = group_of(p, w), rank = G_SOME_ROOM >> group & 1 ? rank_of(p, w) : 0;

	if ((group ^ p->group[worker]) | (rank ^ p->rank[worker]))
		move(p, worker, group, rank);
}

static OFTEN __attribute__((noinline)) void rank_node(struct gr_place *p, uint32_t node, uint8_t rank)
{
	bool is_same = !p->nodes[node].n_odd;          /* for all of them: then their records are not asked for */

	p->nodes[node].rank = rank;
	for (uint32_t i = p->nodes[node].first_worker; i != NIL; i = gr_place__node_next(p, i))
		if (gr_place__has_room(p, i) && p->rank[i] != (is_same ? rank : (rank = rank_of(p, &p->workers[i]))))
			move(p, i, p->group[i], rank);
}

/* Ranks follow two steps behind: candidates are scored exactly, so what moves by less is not worth moving its workers. */
OFTEN void gr_place__node_price(struct gr_place *p, uint32_t node)
{
	struct gr_place__node *n = &p->nodes[node];
	uint32_t price = n->load_permille * 1024 / n->speed_permille;  /* the load is a million at most */
	uint8_t rank = rank_for(price);

	p->price_1024[node] = price;
	n->is_speed_new = false;
	if (rank + 1u < n->rank || n->rank + 1u < rank)
		rank_node(p, node, rank);
}

OFTEN void gr_place__node_load(struct gr_place *p, uint32_t node, int32_t more_mcpu)
{
	struct gr_place__node *n = &p->nodes[node];
	uint64_t cores = n->said_mcpu ? n->said_mcpu : n->sum_mcpu, used, m = 1000, before;

	n->used_mcpu = (uint32_t)((int32_t)n->used_mcpu + more_mcpu);
	used = (uint64_t)n->used_mcpu + n->foreign_mcpu;
	if (!more_mcpu)
		n->inverse_cores = cores ? (uint32_t)((1ull << 30) / cores) : 0;
	if (cores && used + 1000 > cores) {
		/* one more is slow there, and makes what runs there slower: search.c */
		before = used > cores ? used * n->inverse_cores * 125 >> 27 : 1000;
		m = (used + 1000) * n->inverse_cores * 125 >> 27;
		m += m > before ? (m - before) * n->used_mcpu >> 10 : 0;
	}
	if (n->steal_permille)
		m = m * (1000u + n->steal_permille) / 1000;
	if (m < 1000)
		m = 1000;
	if (m > 1000000)
		m = 1000000;
	if ((uint32_t)m == n->load_permille && more_mcpu && !n->is_speed_new)
		return;
	n->load_permille = (uint32_t)m;
	gr_place__node_price(p, node);
}

/* ---- those where something waits behind what runs ---- */

APART void gr_place__late_add(struct gr_place *p, uint32_t worker)
{
	gr_place__at(p, p->holds[worker].wait)->wheel_next = p->n_late;
	p->late[p->n_late++] = worker;
}

APART void gr_place__late_del(struct gr_place *p, uint32_t at)
{
	uint32_t last = p->late[--p->n_late];

	p->late[at] = last;
	if (at < p->n_late)
		gr_place__at(p, p->holds[last].wait)->wheel_next = at;
}

/* ---- blocked for a while ---- */

RARE void gr_place__block(struct gr_place *p, uint32_t worker, uint64_t until_ns)
{
	struct gr_place__worker *w = &p->workers[worker];
	uint32_t i;

	for (i = 0; i < p->n_blocked && p->blocked[i].worker != worker; i++)
		;
	if (i == p->n_blocked) {
		GR_GROW(p->blocked, p->cap_blocked, p->n_blocked + 1);
		p->blocked[p->n_blocked++] = (struct gr_place__blocked){ worker, 0 };
	}
	if (p->blocked[i].until_ns < until_ns)
		p->blocked[i].until_ns = until_ns;
	if (p->wake_ns > p->blocked[i].until_ns)
		p->wake_ns = p->blocked[i].until_ns;
	w->flags |= W_BLOCKED;
	gr_place__refresh(p, worker);
}

static void forget_blocked(struct gr_place *p, uint32_t worker)
{
	for (uint32_t i = 0; i < p->n_blocked; i++)
		if (p->blocked[i].worker == worker) {
			p->blocked[i] = p->blocked[--p->n_blocked];
			return;
		}
}

static RARE void unblock_due(struct gr_place *p, uint64_t now_ns)
{
	p->wake_ns = UINT64_MAX;
	for (uint32_t i = 0; i < p->n_blocked;) {
		struct gr_place__blocked b = p->blocked[i];

		if (b.until_ns > now_ns) {
			if (b.until_ns < p->wake_ns)
				p->wake_ns = b.until_ns;
			i++;
			continue;
		}
		p->blocked[i] = p->blocked[--p->n_blocked];
		p->workers[b.worker].flags &= (uint8_t)~(W_BLOCKED | W_QUARANTINED);
		gr_place__refresh(p, b.worker);
		gr_place__wake(p, b.worker);
	}
}

void gr_place__unblock(struct gr_place *p, uint64_t now_ns)
{
	if (now_ns >= p->wake_ns)
		unblock_due(p, now_ns);
}

/* ---- coming and going ---- */

static int check_worker(const struct gr_place *p, const struct gr_place_worker *s)
{
	if (!s->slots || s->slots > MAX_SLOTS || s->n_envs > GR_PLACE_MAX_WORKER_ENVS || s->n_labels > GR_PLACE_MAX_WORKER_LABELS ||
	    s->node_cpu_mcpu > GR_PLACE_MAX_AMOUNT)
		return GR_EINVAL;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		if (s->cap.v[r] > GR_PLACE_MAX_AMOUNT)
			return GR_EINVAL;
	if (s->node >= p->n_nodes || !p->nodes[s->node].is_used)
		return GR_ENOENT;
	for (uint32_t i = 0; i < s->n_envs; i++)
		if (s->envs[i] >= p->n_envs)
			return GR_ENOENT;
	for (uint32_t i = 0; i < s->n_labels; i++)
		if (!s->labels[i] || s->labels[i] >= p->n_labels)
			return GR_ENOENT;
	return 0;
}

/* The table of who was sent what grows with the workers. What it held is forgotten: they are asked for it again. */
static void grow_have(struct gr_place *p)
{
	uint32_t cap = p->cap_have ? p->cap_have : 65536;

	while (cap < p->n_workers * 2)
		cap *= 2;
	if (cap == p->cap_have)
		return;
	free(p->have);
	p->have = gr_xtable(cap * sizeof(*p->have));
	p->cap_have = cap;
}

/* Not by doubling: there may be a hundred thousand, and they are most of the memory. */
static void grow_workers(struct gr_place *p)
{
	size_t old = p->cap_workers;
	uint32_t cap = gr_place__min(p->cap_workers + p->cap_workers / 32 + 16, GR_PLACE_MAX_WORKERS);

	if (p->n_workers < p->cap_workers)
		return;
	gr_xspan_use(p->workers, old * sizeof(*p->workers), cap * sizeof(*p->workers));
	gr_xspan_use(p->holds, old * sizeof(*p->holds), cap * sizeof(*p->holds));
	gr_xspan_use(p->spots, old * sizeof(*p->spots), cap * sizeof(*p->spots));
	p->late = gr_xrealloc(p->late, cap * sizeof(*p->late));
	p->group = gr_xrealloc(p->group, cap);
	p->rank = gr_xrealloc(p->rank, cap);
	p->cap_workers = cap;
}

/* A node-blind state gives each worker a node of its own. */
static uint32_t own_node(struct gr_place *p, uint32_t worker)
{
	char name[24] = "worker:";
	const struct gr_place_log *log = p->cfg.log;
	uint32_t n = 7;
	int rc;

	for (uint32_t v = worker, k = 0; k < 8; k++, v >>= 4)
		name[n++] = "0123456789abcdef"[v & 15];
	p->cfg.log = NULL;
	rc = gr_place_node(p, name);
	p->cfg.log = log;
	return (uint32_t)rc;
}

static void log_up(struct gr_place *p, uint64_t now_ns, const struct gr_place_worker *s, uint32_t id)
{
	uint64_t v[10 + GR_PLACE_N_RES + GR_PLACE_MAX_WORKER_ENVS + GR_PLACE_MAX_WORKER_LABELS];
	uint32_t n = 0;

	v[n++] = now_ns;
	v[n++] = id;
	v[n++] = s->tag;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		v[n++] = s->cap.v[r];
	v[n++] = s->slots;
	v[n++] = s->prefetch;
	v[n++] = s->node;
	v[n++] = s->node_cpu_mcpu;
	v[n++] = s->zone;
	v[n++] = s->n_envs;
	for (uint32_t i = 0; i < s->n_envs; i++)
		v[n++] = s->envs[i];
	v[n++] = s->n_labels;
	for (uint32_t i = 0; i < s->n_labels; i++)
		v[n++] = s->labels[i];
	gr_place__log(p, OP_UP, v, n, NULL, 0);
}

static void count_total(struct gr_place *p, const struct gr_place_vec *cap, int sign)
{
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		p->total[r] += (uint64_t)(int64_t)sign * cap->v[r];
	p->is_total_new = true;
}

int gr_place_worker_up(struct gr_place *p, uint64_t now_ns, const struct gr_place_worker *spec)
{
	struct gr_place__worker *w;
	struct gr_place__node *node;
	uint32_t i, on;
	bool has_user = false;
	int rc = now_ns < p->now_ns ? GR_EINVAL : check_worker(p, spec), pool;

	if (rc < 0)
		return rc;
	if (p->free_worker == NIL && p->n_workers >= GR_PLACE_MAX_WORKERS)
		return GR_ELIMIT;
	pool = gr_place__pool(p, spec);
	if (pool < 0)
		return pool;
	gr_place__now(p, now_ns);
	i = p->free_worker;
	if (i != NIL) {
		p->free_worker = gr_place__node_next(p, i);
	} else {
		grow_workers(p);
		i = p->n_workers++;
		grow_have(p);
	}
	for (uint32_t r = N_INLINE; r < GR_PLACE_N_RES; r++)
		has_user |= spec->cap.v[r] > 0;
	if (has_user || p->over)
		GR_GROW(p->over, p->cap_over, p->n_workers);
	on = p->cfg.is_node_blind ? own_node(p, i) : spec->node;
	w = &p->workers[i];
	*w = (struct gr_place__worker){
		.flags = W_UP, .id = i | ((w->id >> WORKER_BITS) + 1) % WORKER_GENS << WORKER_BITS,
		.cap = gr_place__cap(p, &spec->cap), .slots = (uint16_t)spec->slots,
		.prefetch = (uint8_t)gr_place__min(spec->prefetch, 255), .node = on, .pool = (uint16_t)pool, .tag = spec->tag,
	};
	p->group[i] = G_NONE;
	p->rank[i] = 0;
	p->holds[i] = (struct gr_place__holds){ .first = NIL, .last = NIL, .wait = NIL };
	for (uint32_t r = 0; r < GR_PLACE_N_RES; r++)
		if (r < N_INLINE || p->over)
			*gr_place__free(p, i, r) = (int32_t)spec->cap.v[r];
	node = &p->nodes[on];
	p->spots[i].node_next = node->first_worker & WORKER_MASK;
	p->spots[i].pool = (uint32_t)pool & (GR_PLACE_MAX_POOLS - 1);
	node->first_worker = i;
	node->n_workers++;
	node->sum_mcpu += spec->cap.v[GR_PLACE_CPU_MCPU];
	if (spec->node_cpu_mcpu)
		node->said_mcpu = spec->node_cpu_mcpu;
	p->n_up++;
	p->slots_up += spec->slots;
	count_total(p, &spec->cap, 1);
	if (p->cfg.log)
		log_up(p, now_ns, spec, w->id);
	gr_place__node_load(p, on, 0);
	gr_place__refresh(p, i);
	gr_place__wake(p, i);
	return (int)w->id;
}

static void leave_not(struct gr_place *p, uint32_t worker)
{
	for (uint32_t k = 0; k < p->n_leaving; k++)
		if (p->leaving[k].worker == worker) {
			p->leaving[k] = p->leaving[--p->n_leaving];
			break;
		}
	p->workers[worker].flags &= (uint8_t)~W_LEAVING;
}

int gr_place_worker_down(struct gr_place *p, uint64_t now_ns, uint32_t worker)
{
	uint32_t i = gr_place__worker(p, worker), before, on;
	struct gr_place__worker *w;
	struct gr_place__node *node;

	if (now_ns < p->now_ns)
		return GR_EINVAL;
	if (i == NIL)
		return GR_ENOENT;
	gr_place__now(p, now_ns);
	LOG(p, OP_DOWN, now_ns, worker);
	w = &p->workers[i];
	w->flags &= (uint8_t)~W_UP;               /* nothing that is released makes it gain room */
	while (p->holds[i].first != NIL)
		gr_place__release(p, p->holds[i].first);
	gr_place__refresh(p, i);
	if (w->flags & W_BLOCKED)
		forget_blocked(p, i);
	for (uint32_t k = p->n_kept; (w->flags & W_KEPT) && k-- > 0;)
		if (p->kept[k].worker == i)
			gr_place__kept_drop(p, k);
	if (w->flags & W_RESERVED)
		gr_place__reserve_drop(p);
	if (w->flags & W_LEAVING)
		leave_not(p, i);
	on = w->node;
	node = &p->nodes[on];
	if (node->first_worker == i) {
		node->first_worker = gr_place__node_next(p, i);
	} else {
		for (before = node->first_worker; p->spots[before].node_next != i; before = p->spots[before].node_next)
			;
		p->spots[before].node_next = p->spots[i].node_next;
	}
	node->n_workers--;
	node->n_odd -= (w->flags & W_ODD) > 0;
	node->sum_mcpu -= p->caps[w->cap].v.v[GR_PLACE_CPU_MCPU];
	if (node->n_workers)
		gr_place__node_load(p, on, 0);
	gr_place__node_unref(p, on);
	p->n_up--;
	p->slots_up -= w->slots;
	count_total(p, &p->caps[w->cap].v, -1);
	gr_place__cap_unref(p, w->cap);
	gr_place__pool_unref(p, w->pool);
	w->flags = 0;
	p->spots[i].node_next = p->free_worker & WORKER_MASK;
	p->free_worker = i;
	return 0;
}

int gr_place_worker_drain(struct gr_place *p, uint64_t now_ns, uint32_t worker, bool is_draining, uint64_t gone_ns)
{
	uint32_t i = gr_place__worker(p, worker);
	struct gr_place__worker *w;

	if (i == NIL)
		return GR_ENOENT;
	if (now_ns < p->now_ns || (gone_ns && gone_ns < now_ns))
		return GR_EINVAL;
	gr_place__now(p, now_ns);
	LOG(p, OP_DRAIN, now_ns, worker, is_draining, gone_ns);
	w = &p->workers[i];
	w->flags = (uint8_t)(is_draining ? w->flags | W_DRAINING : w->flags & ~W_DRAINING);
	if (w->flags & W_LEAVING)
		leave_not(p, i);
	if (gone_ns) {
		GR_GROW(p->leaving, p->cap_leaving, p->n_leaving + 1);
		p->leaving[p->n_leaving++] = (struct gr_place__leaving){ i, is_draining, gone_ns };
		w->flags |= W_LEAVING;
	}
	if (is_draining && (w->flags & W_RESERVED))
		gr_place__reserve_drop(p);
	gr_place__refresh(p, i);
	if (!is_draining)
		gr_place__wake(p, i);
	return 0;
}

int gr_place_worker_pause(struct gr_place *p, uint64_t now_ns, uint32_t worker, uint64_t until_ns)
{
	uint32_t i = gr_place__worker(p, worker);

	if (i == NIL)
		return GR_ENOENT;
	if (now_ns < p->now_ns)
		return GR_EINVAL;
	gr_place__now(p, now_ns);
	LOG(p, OP_PAUSE, now_ns, worker, until_ns);
	if (until_ns > now_ns)
		gr_place__block(p, i, until_ns);
	return 0;
}

/* ---- what it says of its machine ---- */

static uint32_t at_most(uint32_t v, uint32_t most) { return v < most ? v : most; }

static void set_slots(struct gr_place *p, uint32_t worker, uint32_t slots)
{
	struct gr_place__worker *w = &p->workers[worker];
	struct gr_place_vec cap = p->caps[w->cap].v;
	int32_t more = (int32_t)(slots * 1000) - (int32_t)cap.v[GR_PLACE_CPU_MCPU];

	/* cores that follow the slots follow them; those that were told apart stay */
	if (cap.v[GR_PLACE_CPU_MCPU] == w->slots * 1000u) {
		count_total(p, &cap, -1);
		gr_place__cap_unref(p, w->cap);
		cap.v[GR_PLACE_CPU_MCPU] = slots * 1000;
		w->cap = gr_place__cap(p, &cap);
		count_total(p, &cap, 1);
		w->free[GR_PLACE_CPU_MCPU] += more;
		p->nodes[w->node].sum_mcpu += (uint32_t)more;
	}
	p->slots_up += slots - w->slots;
	w->slots = (uint16_t)slots;
}

int gr_place_worker_signals(struct gr_place *p, uint32_t worker, const struct gr_place_signals *s)
{
	uint32_t i = gr_place__worker(p, worker), away, slow;
	struct gr_place__worker *w;
	struct gr_place__node *node;
	uint64_t rtt = s->rtt_ns >> 14;

	if (i == NIL)
		return GR_ENOENT;
	if (s->slots > MAX_SLOTS || s->quota_mcpu > GR_PLACE_MAX_AMOUNT || s->node_foreign_mcpu > GR_PLACE_MAX_AMOUNT)
		return GR_EINVAL;
	LOG(p, OP_SIGNALS, worker, s->quota_mcpu, s->throttled_permille, s->steal_permille, s->cpu_psi_permille, s->mem_psi_permille,
	    s->io_psi_permille, s->node_foreign_mcpu, s->slots, s->rtt_ns);
	w = &p->workers[i];
	node = &p->nodes[w->node];
	if (s->quota_mcpu)
		w->quota_10mcpu = (uint16_t)at_most((s->quota_mcpu + 9) / 10, UINT16_MAX);
	if (rtt)
		w->rtt_16us = (uint16_t)at_most(rtt > UINT16_MAX ? UINT16_MAX : (uint32_t)rtt, UINT16_MAX);
	/* what throttling takes of the time stretches a run; of pressure on memory and disks, half: our own load is counted apart */
	away = at_most(s->throttled_permille, 900);
	slow = away * 1000 / (1000 - away) + at_most(s->mem_psi_permille, 1000) / 2 + at_most(s->io_psi_permille, 1000) / 4;
	if (!s->node_foreign_mcpu)
		slow += at_most(s->cpu_psi_permille, 1000) / 4;
	w->slow_permille = (uint16_t)slow;
	w->mem_psi_32 = (uint8_t)at_most(s->mem_psi_permille / 32, 255);
	node->n_odd -= (w->flags & W_ODD) > 0;
	w->flags = (uint8_t)(w->quota_10mcpu | w->slow_permille | w->mem_psi_32 ? w->flags | W_ODD : w->flags & ~W_ODD);
	node->n_odd += (w->flags & W_ODD) > 0;
	node->steal_permille = (uint16_t)((node->steal_permille + at_most(s->steal_permille, 900) + 1) / 2);
	if (!s->steal_permille && node->steal_permille == 1)
		node->steal_permille = 0;
	node->foreign_mcpu = s->node_foreign_mcpu;
	if (s->slots && s->slots != w->slots)
		set_slots(p, i, s->slots);
	gr_place__node_load(p, w->node, 0);
	gr_place__refresh(p, i);
	gr_place__wake(p, i);
	return 0;
}

int gr_place_node_set(struct gr_place *p, uint32_t node, uint32_t cpu_mcpu, bool is_cordoned)
{
	struct gr_place__node *n;

	if (node >= p->n_nodes || !p->nodes[node].is_used)
		return GR_ENOENT;
	if (cpu_mcpu > GR_PLACE_MAX_AMOUNT)
		return GR_EINVAL;
	LOG(p, OP_NODE_SET, node, cpu_mcpu, is_cordoned);
	n = &p->nodes[node];
	n->is_cordoned = is_cordoned;
	if (cpu_mcpu)
		n->said_mcpu = cpu_mcpu;
	gr_place__node_load(p, node, 0);
	for (uint32_t i = n->first_worker; i != NIL; i = gr_place__node_next(p, i)) {
		gr_place__refresh(p, i);
		gr_place__wake(p, i);
	}
	return 0;
}

int gr_place_zone_bandwidth(struct gr_place *p, uint32_t zone, uint32_t kib_per_ms)
{
	if (zone >= 65536)
		return GR_EINVAL;
	LOG(p, OP_ZONE, zone, kib_per_ms);
	GR_GROW(p->bandwidth, p->cap_bandwidth, zone + 1);
	p->bandwidth[zone] = kib_per_ms;
	p->least_us_per_kib_1024 = p->us_per_kib_1024;
	for (uint32_t i = 0; i < p->cap_bandwidth; i++)
		if (p->bandwidth[i])
			p->least_us_per_kib_1024 = gr_place__min(p->least_us_per_kib_1024, 1000u * 1024 / p->bandwidth[i]);
	return 0;
}

int gr_place_worker_info(const struct gr_place *p, uint32_t worker, struct gr_place_worker_info *out)
{
	uint32_t i = gr_place__worker(p, worker);
	const struct gr_place__worker *w;

	if (i == NIL)
		return GR_ENOENT;
	w = &p->workers[i];
	*out = (struct gr_place_worker_info){
		.slots = w->slots, .depth = gr_place__depth(p, w), .n_placed = w->n_placed,
		.speed_permille = p->nodes[w->node].speed_permille, .contention_permille = gr_place__contention(p, w, 0),
		.done = p->holds[i].done, .failed = p->holds[i].failed, .is_draining = w->flags & W_DRAINING,
	};
	for (uint32_t k = 0; k < p->n_blocked && (w->flags & W_QUARANTINED); k++)
		if (p->blocked[k].worker == i)
			out->quarantined_until_ns = p->blocked[k].until_ns;
	return 0;
}
