/**
 * place_int - what the files of lib/place share
 *
 * Indices instead of pointers: the arrays grow. NIL ends a chain. Inside, a worker is its index; outside, its id.
 *
 *   who next:  band -> resource -> heap of stands (a tenant, by its use of that resource)
 *                stand -> lines (a class) -> tournament of queues (an owner, by its dominant share) -> heap of items
 *   where:     pool (a kind of worker) -> group (room) -> rank (predicted cost) -> bucket of workers
 */
#pragma once
#include <string.h>

#include "lib/base/rng.h"
#include "lib/place/place.h"

#define NIL UINT32_MAX
/* What a decision seldom needs stands in a function of its own, so that those it needs save no registers for it. */
#define RARE __attribute__((noinline, cold))
#define APART __attribute__((noinline))       /* nor these, which are quick all the same */
/* What each decision goes through stands side by side: spread over all of the library, some of it was always just forced out of the
 * processor's 32 KiB for code. */
#define OFTEN __attribute__((hot))
/* What it calls stands in it, but for RARE and APART: of what a decision goes through, a twelfth was saving and restoring registers. */
#define WHOLE OFTEN __attribute__((flatten))
/* What only asks memory for something has no effect to a compiler, which leaves a call of it out: it has to be inline. */
#define FETCH __attribute__((always_inline))
#define WORKER_BITS 20                /* a worker's or owner's id: its index, above it how often the index was given out */
#define WORKER_MASK ((1u << WORKER_BITS) - 1)
#define WORKER_GENS 2048u
#define OWNER_BITS 20
#define N_CPU_LEVELS 5u               /* of room; a class looks at the groups whose room may suffice */
#define N_MEM_LEVELS 4u
#define N_LEVELS (N_CPU_LEVELS * N_MEM_LEVELS)
#define N_GROUPS (2 + N_LEVELS)      /* 0 is full and in no bucket, 1 has credits alone, from 2 on by room */
#define G_NONE 31u                    /* draining, quarantined, cordoned: in no bucket either; a bit that no mask of groups has */
#define G_SOME_ROOM (((1u << N_GROUPS) - 1) & ~1u)    /* the groups where a task may run, or wait on credit */
#define N_RANKS 64u                   /* of predicted slowness, eight an octave; 27: the typical worker, idle */
#define RANK_TYPICAL 27u
#define FEW_STANDS 16u                /* tenants that are looked through; more stand in a heap */
#define N_INLINE 4u                   /* resources that stand in the worker itself */
#define N_WARM 61u                    /* with what stands before them, four lines of memory */
#define N_CHANGED 16u
#define N_CLASS_WORDS (GR_PLACE_MAX_CLASSES / 64)
#define N_SETS 1024u                  /* input sets whose holders are remembered, direct mapped */
#define FAMILY_SLOTS 8192u            /* direct mapped; a collision forgets the older family */
#define UNKNOWN_WORK_US 200000u       /* the median of a kernel unit's compile */
#define ROOM_STEP 65536u              /* so many more placements at a time, in whole huge pages: growing copies nothing */
#define WHEEL_SLOTS 512u
#define WHEEL_SHIFT 27                /* a tick is 134 ms */
#define SHARE_ONE (1ull << 56)        /* a dominant share of all there is, weight 1; 256 times as much fits */

/* ---- a hash index of ids: the caller compares ---- */
struct gr_place__slot { uint32_t hash, id1; };        /* id + 1; 0 empty */
struct gr_place__index { struct gr_place__slot *slots; uint32_t n, cap; };
void gr_place__index_add(struct gr_place__index *x, uint32_t hash, uint32_t id);
void gr_place__index_del(struct gr_place__index *x, uint32_t hash, uint32_t id);
/* The next id with this hash, from *at (start at NIL) on; NIL: no more. */
uint32_t gr_place__index_next(const struct gr_place__index *x, uint32_t hash, uint32_t *at);

struct gr_place__env {
	struct gr_digest digest;
	uint32_t n_worker, n_class;   /* workers that have it; classes that name it, and holds */
};
struct gr_place__label { char *text; uint32_t key; uint32_t hash; };   /* "key\0value"; a key alone has key 0 */
struct gr_place__node {               /* 64 bytes: one look, one line */
	char *name;
	uint32_t hash, first_worker, n_workers;
	uint32_t said_mcpu, sum_mcpu; /* cores as told, 0: the sum of its workers' */
	uint32_t used_mcpu;           /* of tasks of ours that run there */
	uint32_t foreign_mcpu;        /* that others use */
	uint32_t inverse_cores;       /* 2^30 / cores */
	uint32_t load_permille;       /* what one more core costs there, the others' loss with it; 1000: nothing but itself */
	uint32_t sample_s;            /* when its speed was last measured */
	uint32_t n_odd;               /* of its workers, those that are W_ODD: the others rank as the node does */
	uint16_t speed_permille;      /* 1000: the typical node */
	uint16_t steal_permille;
	uint16_t n_samples;
	uint8_t rank;                 /* log of the price, as it was when its workers were ranked */
	bool is_cordoned, is_used;
	bool is_speed_new;            /* its price does not say so yet */
};
struct gr_place__cap { struct gr_place_vec v; uint32_t hash, n_ref; };
struct gr_place__bucket { uint32_t *w; uint32_t n, cap; };
struct gr_place__group { uint64_t ranks; struct gr_place__bucket *buckets; };      /* N_RANKS of them, once used */
struct gr_place__pool {
	uint32_t *envs, *labels;      /* sorted */
	uint32_t n_envs, n_labels, zone, hash, n_workers;
	uint32_t group_bits;          /* groups that have workers */
	uint8_t has_res;              /* bit: its workers offer that resource */
	bool is_used;
	uint64_t at_least[N_LEVELS];  /* for the levels of p->levels: ranks of the workers with that room or more */
	struct gr_place__group groups[N_GROUPS];
};
struct gr_place__class {
	struct gr_place_class spec;
	uint32_t hash, n_task;        /* queued and placed tasks of it: a range counts once while queued */
	uint32_t *pools, n_pools, cap_pools, pools_gen;       /* where it could run */
	uint64_t pool_bits;           /* of those, by pool % 64 */
	int32_t *prefer;              /* permille for each of `pools` */
	uint16_t *pool_at; uint32_t cap_pool_at;              /* by pool: place in `pools` + 1, 0 not there */
	uint32_t line_hint, n_lines;  /* lines that have queues */
	uint32_t parked_at;           /* place in p->parked, NIL not parked */
	uint32_t n_kept;              /* tasks of it that room is kept for: p->kept */
	uint32_t n_items;             /* queued records of it */
	uint32_t could_at;            /* a worker that could run it when it was last asked who could */
	uint64_t parked_ns;           /* since when it found no room */
	uint64_t none_at;             /* state of p->changes when no worker at all had room for it, or when it was parked; 0 not known */
	int32_t need4[N_INLINE];
	uint8_t n_need, n_user, need_res[GR_PLACE_N_RES];     /* user: of those, resources that do not stand in the worker */
	bool is_plain;                /* fits and cost need no more than room and price */
	uint8_t dominant;
	uint32_t group_mask;          /* groups whose room may suffice: of room_level or more */
	uint8_t room_level;
	bool is_used, has_policy;     /* spread or nearness: queues of it are weighed one by one */
	bool is_even;                 /* what has no room for one task of it has none for another */
};
struct gr_place__worker {             /* what a search looks at: one line of memory */
	int32_t free[N_INLINE];       /* CPU goes below 0 by credits */
	uint32_t id, node;
	uint16_t pool, slots, n_placed;
	uint8_t prefetch, n_waiting, flags;
	uint8_t mem_psi_32;           /* memory pressure, permille / 32 */
	uint16_t rtt_16us;            /* round trip */
	uint16_t quota_10mcpu;        /* 0 none */
	uint16_t slow_permille;       /* lost to throttling, pressure: beyond 1000 */
	uint16_t gap_8us;             /* mean time between two ends, 0 unknown; half a second and longer are the same */
	uint32_t cap;
	uint32_t backlog_ms;          /* expected work of all it holds, at speed 1000 */
	uint32_t run_mcpu;            /* of what runs */
	uint64_t tag;                 /* the caller's */
};
/* Of many in a line of memory, for what goes from worker to worker: a node's price that moves, a bucket that closes up. */
struct gr_place__spot {
	uint32_t pos;                 /* its place in its bucket */
	uint32_t node_next : WORKER_BITS;      /* the next of its node, or a free one: gr_place__node_next */
	uint32_t pool : 32 - WORKER_BITS;      /* as its record says */
};
struct gr_place__holds {              /* the rest of it, at the same index of p->holds: what it holds and did */
	uint32_t first, last, wait;   /* chain of placements in order of sending; `wait`: the first that does not run yet */
	uint32_t last_us;             /* when something ended there, wraps */
	uint32_t done;
	uint16_t failed;
	uint8_t suspicion;            /* fast failures that were not their owner's; learn.c */
	uint8_t quarantines : 3;      /* in a row */
	uint8_t n_together : 5;       /* ends since last_us, at the same time */
};
_Static_assert(N_GROUPS <= G_NONE, "a bit for each group, and for none");
_Static_assert(sizeof(struct gr_place__worker) == 64 && sizeof(struct gr_place__holds) == 24, "a worker's record");
_Static_assert(sizeof(struct gr_place__node) == 64, "a node's record");
enum { W_UP = 1, W_DRAINING = 2, W_BLOCKED = 4, W_QUARANTINED = 8, W_RESERVED = 16, W_LEAVING = 32, W_KEPT = 64,
       W_ODD = 128 };                 /* leaving: in p->leaving; kept: in p->kept; odd: it has a quota, or pressure */

struct gr_place__queued {             /* what a decision needs stands together: the excludes, which few have, end it */
	uint64_t seq;
	uint32_t each_ms;             /* expected work of one */
	uint32_t gen, nth;            /* decided so far */
	uint32_t queue;
	uint32_t at;                  /* its place in the queue's heap; next free record */
	uint16_t rank;                /* expected work, two steps an octave */
	bool is_used;
	struct gr_place_task t;       /* owner: its index */
};
enum gr_place__where { Q_EMPTY, Q_LINE, Q_STUCK, Q_HELD };    /* the list a queue is on */
struct gr_place__queue {              /* of one (owner, class); tasks that are choosy wait apart, to hold up nobody. One line of memory */
	uint32_t owner, class;
	bool is_choosy;
	uint8_t where;
	uint32_t line;
	uint32_t next;                /* chain of the owner's queues, or of free ones */
	uint32_t *heap, n, cap;       /* items, by rank falling, then seq rising */
	uint32_t n_tried;             /* choosy ones that found no room since the last that did */
	uint32_t front;               /* heap[0], which a decision asks for */
	uint64_t stuck_at;            /* state of p->changes when nothing fitted */
	uint64_t stuck_ns;            /* since when */
} __attribute__((aligned(64)));
struct gr_place__line {               /* queues of one class in one stand. One line of memory */
	uint64_t least;               /* tree[1] */
	uint32_t first, first_owner;  /* whose that is */
	/* A seat's key is its owner's share, the place in its lowest bits: [cap] and on the n of them, then UINT64_MAX up to cap, a power
	 * of two; [k]: the lesser of [2 k] and [2 k + 1] */
	uint64_t *tree;
	struct gr_place__seat *seats; /* behind the tree */
	uint32_t n, cap;
	uint32_t stand, class;
	uint32_t next;                /* in its stand, or free */
} __attribute__((aligned(64)));
struct gr_place__seat { uint32_t queue, owner; };
/* A stand's in its band. Name: the stand, in the upper half its tenant, by which equals stand; classes: bit by class % 64, it has a
 * line of such a class. */
struct gr_place__standing { uint64_t share, name, classes; };
struct gr_place__stand {              /* a tenant in a band, for the classes whose dominant resource is res */
	uint32_t tenant;
	uint8_t band, res;
	uint32_t first_line;
	uint32_t at;                  /* in the band's heap */
	uint32_t next;                /* of the tenant, or free */
};
struct gr_place__band {
	struct { struct gr_place__standing *heap; uint32_t n, cap; } by[GR_PLACE_N_RES];
	uint8_t res;                  /* bits of the heaps in use */
	uint32_t first_victim;        /* chain of placements that may be preempted, the newest first */
	uint64_t n_queued;
};
struct gr_place__tenant {
	bool is_used;
	uint32_t weight, n_owners, first_stand;
	struct gr_place_vec quota;
	bool has_quota;
	uint64_t used[GR_PLACE_N_RES];
};
struct gr_place__warm { uint32_t n, w[N_WARM]; };      /* workers that were used last, by id */
struct gr_place__owner {
	bool is_used, is_going, is_paused;
	uint32_t id;
	struct gr_place_owner spec;
	uint32_t first_queue;
	uint32_t fail_permille;       /* of its attempts, lately */
	uint64_t share;               /* dominant share over weight, of SHARE_ONE */
	uint64_t n_placed, n_queued;
	uint64_t used[GR_PLACE_N_RES];       /* with what is above, all that an end needs: two lines of memory */
	uint64_t bytes;
	struct gr_place__warm warm;
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct gr_place__owner, used) == 64 && sizeof(struct gr_place__owner) == 384 && sizeof(struct gr_place__queue) == 64 &&
	       sizeof(struct gr_place__line) == 64, "lines of memory");
/* alone: no copies of it; unknown: it began before its family was known */
enum { P_USED = 1, P_RUNNING = 2, P_LEAVING = 4, P_COPY = 8, P_VICTIM = 16, P_WHEEL = 32, P_DUE = 64, P_ALONE = 128, P_UNKNOWN = 256 };
struct gr_place__placed {             /* one line of memory */
	uint32_t gen;
	uint16_t flags, slot;
	uint32_t worker, node, work_us;       /* node: the worker's, so that an end can ask memory for both at once */
	uint32_t owner : OWNER_BITS, class : 32 - OWNER_BITS;
	uint32_t prev, next;          /* chain of the worker, or of free ones */
	uint64_t family;
	uint64_t start_ns;            /* of running; of sending while it waits */
	uint32_t twin;                /* the other copy */
	uint32_t nth;
	uint32_t wheel_prev;
	uint32_t wheel_next;          /* while it is the first that waits: its worker's place in p->late */
};
struct gr_place__asked {              /* the rest of it: what an end does not need */
	uint64_t tag, input_set;
	uint32_t input_kib;
	uint32_t victim_prev, victim_next;
};
_Static_assert(sizeof(struct gr_place__placed) == 64, "a placement's record");
_Static_assert(GR_PLACE_MAX_WORKERS < 1u << WORKER_BITS && GR_PLACE_MAX_POOLS <= 1u << (32 - WORKER_BITS), "they fit a worker's spot");
_Static_assert(GR_PLACE_MAX_OWNERS <= 1u << OWNER_BITS && GR_PLACE_MAX_CLASSES <= 1u << (32 - OWNER_BITS), "they fit a placement's record");
struct gr_place__family {
	uint64_t hash;
	uint32_t work_us;             /* at speed 1000 */
	int32_t log_256;              /* mean log2 of it, 256 an octave */
	uint32_t dev_us;              /* mean absolute deviation */
	uint32_t mem_mib;             /* peak, with what an OOM kill taught */
	uint32_t n;
};
struct gr_place__blocked { uint32_t worker; uint64_t until_ns; };
struct gr_place__leaving { uint32_t worker; bool is_new; uint64_t gone_ns; };  /* will be gone then; new: to be emptied */
struct gr_place__kept { uint32_t worker, class, n, owner, tenant; uint8_t band; uint64_t since_ns; }; /* what is preempted there is for n of that class; owner: the asker's id */
struct gr_place__parked { int32_t need4[N_INLINE]; uint64_t pools; uint32_t class; };  /* bit: pool % 64 */
struct gr_place__tally { uint64_t key; uint32_t n; };          /* an owner's tasks on a worker, node or zone */
struct gr_place__reserve {            /* room kept for what waits longest: EASY's one reservation */
	uint32_t queue;               /* NIL none */
	uint32_t n;
	uint64_t until_ns, made_ns;   /* when all of it is expected to be free */
	uint32_t worker[GR_PLACE_MAX_GANG];
};

struct gr_place {
	struct gr_place_config cfg;
	struct gr_rng rng;
	uint64_t now_ns, epoch_ns;
	uint64_t changes;             /* events that could make something fit */
	uint32_t changed[N_CHANGED];  /* the worker that gained room in each of the last of them, by number; NIL: anywhere */
	uint64_t seq, decisions, looked, acts[GR_PLACE_N_ACTS];
	struct gr_place__index ix_env, ix_node, ix_label, ix_class, ix_cap, ix_pool;
	struct gr_place__env *envs;   /* [0]: every worker */
	uint32_t n_envs, cap_envs;
	struct gr_place__label *labels;
	uint32_t n_labels, cap_labels;
	struct gr_place__node *nodes;
	uint32_t *price_1024;         /* by node, load over speed: what a unit of work costs there; apart, so that a score waits for no node */
	uint32_t n_nodes, cap_nodes, free_node;
	struct gr_place__cap *caps;
	uint32_t n_caps, cap_caps, free_cap;
	struct gr_place__pool *pools;
	uint32_t n_pools, cap_pools, pools_gen;
	struct gr_place__class *classes;
	uint32_t n_classes, cap_classes;
	uint32_t levels, level_mask[N_LEVELS];                 /* bit: some class has that room_level; the groups of that room or more */
	struct gr_place__worker *workers;
	struct gr_place__holds *holds;
	struct gr_place__spot *spots;
	uint8_t *group, *rank;        /* where each stands: apart, since it is what most of those asked are turned down by */
	uint32_t n_workers, cap_workers, free_worker, n_up;
	int32_t (*over)[GR_PLACE_N_RES - N_INLINE];            /* free user resources by worker, once one has any */
	uint32_t cap_over;
	uint32_t *late, n_late, cap_late;                      /* workers where something waits */
	struct gr_place__kept *kept; uint32_t n_kept, cap_kept;
	struct gr_place__blocked *blocked;
	uint32_t n_blocked, cap_blocked;
	struct gr_place__leaving *leaving; uint32_t n_leaving, cap_leaving;
	struct gr_place__tenant *tenants;
	uint32_t n_tenants, cap_tenants;
	struct gr_place__owner *owners;
	uint32_t n_owners, cap_owners, free_owner;
	struct gr_place__band bands[GR_PLACE_MAX_BAND + 1];
	uint32_t band_bits, victim_bits;      /* bands with lines of tasks; with placed tasks that may be preempted */
	struct gr_place__stand *stands;
	uint32_t n_stands, cap_stands, free_stand;
	struct gr_place__line *lines;
	uint32_t n_lines, cap_lines, free_line;
	struct gr_place__queue *queues;
	uint32_t *queue_at;           /* by queue, its seat in the line or its place in p->stuck */
	uint32_t n_queues, cap_queues, free_queue;
	struct gr_place__queued *queued;
	uint32_t n_queued, cap_queued, free_queued;
	struct gr_place__placed *placed;                       /* GR_PLACE_MAX_PLACED of them, of which room_placed may be used */
	struct gr_place__asked *asked;
	uint32_t room_placed, n_placed, free_placed;
	struct gr_place__parked *parked; uint32_t n_parked, cap_parked;      /* classes that found no room, and some that may have now */
	uint64_t in_line[N_CLASS_WORDS];                       /* bit by class, here and below: it has lines */
	uint64_t closed[N_CLASS_WORDS];                        /* parked, and no room for it since */
	uint64_t exact[N_CLASS_WORDS];                         /* parked when no worker at all had room for it */
	uint64_t woken[N_CLASS_WORDS];                         /* parked, and opened for the room of a worker that changed since woken_at */
	uint64_t hit[N_CLASS_WORDS];                           /* scratch, all 0 between two uses */
	uint64_t woken_at; uint32_t woken_gen;                 /* state of p->changes, and of pools_gen */
	bool has_closed, has_woken;
	uint64_t open, parked_pools;                           /* bit by class % 64: lines that are open; by pool % 64: in `parked`, or was */
	uint32_t *stuck, n_stuck, cap_stuck;                   /* queues that found none of their own */
	uint32_t stuck_turn;
	bool is_more_stuck;           /* not all that may be tried again were, in the last call */
	uint32_t *have, cap_have;     /* what a set's worker was sent, direct mapped: 16 bits of a key, 16 of KiB */
	struct { uint64_t set; struct gr_place__warm warm; } *sets;
	struct gr_place__tally *tally; uint32_t n_tally, cap_tally;
	struct gr_place_vec total_lo; uint64_t total[GR_PLACE_N_RES];  /* of workers that are up */
	uint64_t inverse[GR_PLACE_N_RES], most_mcpu;           /* SHARE_ONE / total; of the cores, a hundredfold */
	bool is_total_new;
	uint32_t us_per_kib_1024, least_us_per_kib_1024;       /* of a zone that says nothing; of the quickest */
	uint32_t *bandwidth, cap_bandwidth;                    /* by zone */
	uint64_t slots_up;
	struct gr_place__family *families;
	uint32_t mean_work_us;
	uint64_t queued_ms, placed_ms;                         /* expected work */
	uint32_t wheel[WHEEL_SLOTS]; uint64_t wheel_bits[WHEEL_SLOTS / 64];
	uint64_t wheel_tick;
	uint32_t first_due, n_copies;
	struct gr_place__reserve reserve;
	uint64_t wake_ns;             /* the first blocked worker's */
	uint64_t retry_ns;            /* a search was cut short, or what is held is to be planned anew: look again then */
	uint32_t near;                /* the placement that was asked of memory last, as near */
	uint32_t held;                /* the queue whose last tasks wait for busy workers, or NIL; tail.c */
	uint64_t tasks_queued, tasks_placed;
	uint8_t *log_buf; uint32_t n_log;
};

static inline struct gr_place__placed *gr_place__at(const struct gr_place *p, uint32_t i)
{
	return &p->placed[i];
}
static inline struct gr_place__asked *gr_place__asked(const struct gr_place *p, uint32_t i)
{
	return &p->asked[i];
}
/* Of what waits: up to its excludes. */
static inline FETCH void gr_place__fetch_item(const struct gr_place *p, uint32_t queued)
{
	__builtin_prefetch(&p->queued[queued]);
	__builtin_prefetch(&p->queued[queued].t.input_set);
}
static inline void gr_place__now(struct gr_place *p, uint64_t now_ns)
{
	if (!p->epoch_ns)
		p->epoch_ns = now_ns;
	p->now_ns = now_ns;
}
static inline int32_t *gr_place__free(struct gr_place *p, uint32_t worker, uint32_t res)
{
	return res < N_INLINE ? &p->workers[worker].free[res] : &p->over[worker][res - N_INLINE];
}
static inline bool gr_place__is_parked(const struct gr_place *p, uint32_t class)
{
	return p->closed[class / 64] >> class % 64 & 1;
}
static inline uint32_t gr_place__who(const struct gr_place__standing *s) { return (uint32_t)s->name; }
/* Of the workers of a node, or of the free ones, the next; NIL: no more. */
static inline uint32_t gr_place__node_next(const struct gr_place *p, uint32_t worker)
{
	return p->spots[worker].node_next == WORKER_MASK ? NIL : p->spots[worker].node_next;
}
/* For a task that runs, or waits on credit: it stands in a bucket. */
static inline bool gr_place__has_room(const struct gr_place *p, uint32_t worker)
{
	return G_SOME_ROOM >> p->group[worker] & 1;
}
static inline uint32_t gr_place__min(uint32_t a, uint32_t b) { return a < b ? a : b; }
/* @b when it @is_b, else @a, by what is no branch: where a guess would be wrong half of the time. */
static inline uint64_t gr_place__either(uint64_t a, uint64_t b, bool is_b) { return a ^ ((a ^ b) & -(uint64_t)is_b); }

/* A worker's resources side by side. */
typedef int32_t gr_place__four __attribute__((vector_size(16)));
typedef uint64_t gr_place__halves __attribute__((vector_size(16)));
_Static_assert(sizeof(gr_place__four) == N_INLINE * sizeof(int32_t), "all that stand in the worker");
/* Whether all of it is there; no branch hangs on which is not. */
static inline bool gr_place__suffices(gr_place__four free, const int32_t *need4)
{
	gr_place__four need;
	gr_place__halves lack;

	memcpy(&need, need4, sizeof(need));
	lack = (gr_place__halves)(free - need);
	return !((lack[0] | lack[1]) & 0x8000000080000000ull);
}

/* ---- names.c ---- */
/* The pool and the capacity of a worker, made when new. >= 0; GR_ELIMIT. */
int gr_place__pool(struct gr_place *p, const struct gr_place_worker *spec);
void gr_place__pool_unref(struct gr_place *p, uint32_t pool);
uint32_t gr_place__cap(struct gr_place *p, const struct gr_place_vec *v);
void gr_place__cap_unref(struct gr_place *p, uint32_t cap);
/* The class's list of pools brought up to date. */
void gr_place__class_pools(struct gr_place *p, struct gr_place__class *c);
bool gr_place__labels_match(const struct gr_place *p, const struct gr_place__class *c, const struct gr_place__pool *pool);
void gr_place__node_unref(struct gr_place *p, uint32_t node);

/* ---- worker.c ---- */
/* The worker's index, or NIL for an id that is not, or no longer, a worker. */
uint32_t gr_place__worker(const struct gr_place *p, uint32_t id);
/* Puts the worker where its room and cost say; call after anything they depend on changed. */
void gr_place__refresh(struct gr_place *p, uint32_t worker);
/* The node's load, cores or speed changed: its price follows, and the ranks of its workers when it moved far. */
void gr_place__node_load(struct gr_place *p, uint32_t node, int32_t more_mcpu);
void gr_place__node_price(struct gr_place *p, uint32_t node);
uint32_t gr_place__credits(const struct gr_place *p, const struct gr_place__worker *w);   /* most that may wait there */
uint32_t gr_place__rank_price(uint64_t ranks);         /* the least price_1024 of the lowest of them */
uint8_t gr_place__room_level(const struct gr_place_vec *need);
uint32_t gr_place__group_mask(uint8_t room_level);
uint64_t gr_place__ranks(const struct gr_place__pool *pool, uint32_t groups);      /* of the workers that stand in them */
void gr_place__level_add(struct gr_place *p, uint8_t room_level);                  /* a class of that level is new */
uint32_t gr_place__depth(const struct gr_place *p, const struct gr_place__worker *w);
void gr_place__block(struct gr_place *p, uint32_t worker, uint64_t until_ns);
void gr_place__unblock(struct gr_place *p, uint64_t now_ns);
void gr_place__late_add(struct gr_place *p, uint32_t worker);
void gr_place__late_del(struct gr_place *p, uint32_t at);

/* ---- share.c ---- */
uint32_t gr_place__owner(const struct gr_place *p, uint32_t id);       /* its index, or NIL */
void gr_place__charge(struct gr_place *p, uint32_t owner, const struct gr_place__class *c, int n);
void gr_place__tenant_rekey(struct gr_place *p, uint32_t tenant);     /* its use or weight changed */
void gr_place__totals(struct gr_place *p);             /* shares anew after the cluster changed */
uint64_t gr_place__wanted(const struct gr_place__owner *o);           /* of its queued tasks, how many may be placed */
/* Of the queue's own, of its first 64 items, as many as quota and limit allow beside what room was made for. */
uint64_t gr_place__queue_wanted(const struct gr_place *p, uint32_t queue);
bool gr_place__may_more(const struct gr_place *p, const struct gr_place__owner *o);
/* How many more of the class for an owner of @band; @n of them: what was preempted for another class or a more urgent band of the tenant is theirs. */
uint64_t gr_place__quota_left(const struct gr_place *p, const struct gr_place__tenant *t, const struct gr_place__class *c, uint8_t band);
bool gr_place__quota_allows(const struct gr_place *p, const struct gr_place__tenant *t, const struct gr_place__class *c, uint8_t band, uint32_t n);
/* The one mover of queues. */
void gr_place__queue_move(struct gr_place *p, uint32_t queue, enum gr_place__where to);
/* The owner's queues to where they belong: in line, or held while it is paused or at its limit. */
void gr_place__owner_hold(struct gr_place *p, uint32_t owner);
/* A removed owner whose last placement ended is no more. */
void gr_place__owner_done(struct gr_place *p, uint32_t owner);
uint32_t gr_place__choose(const struct gr_place *p);   /* the queue whose turn it is, or NIL */

/* ---- park.c ---- */
/* A line of the class came (@n 1) or went (-1). */
void gr_place__count_line(struct gr_place *p, uint32_t class, int n);
/* Lines whose class is open, counted up to @most or a few more. */
uint32_t gr_place__n_open(const struct gr_place *p, uint32_t most);
void gr_place__park(struct gr_place *p, uint32_t class, uint64_t now_ns, bool is_exact);
void gr_place__unpark(struct gr_place *p, uint32_t class);
/* Something changed: @worker, or for NIL who knows which, may have room now that had none. */
static inline void gr_place__change(struct gr_place *p, uint32_t worker)
{
	p->changed[++p->changes % N_CHANGED] = worker;
}
void gr_place__wake_parked(struct gr_place *p, uint32_t worker);
/* The worker gained room: classes that wait for it may be tried again. */
static inline void gr_place__wake(struct gr_place *p, uint32_t worker)
{
	if (!gr_place__has_room(p, worker))
		return;
	gr_place__change(p, worker);
	if (p->parked_pools >> p->workers[worker].pool % 64 & 1)
		gr_place__wake_parked(p, worker);
}
void gr_place__wake_all(struct gr_place *p);
/* A commit took room: of the classes woken for a few workers' room, those that still find none there go back. */
void gr_place__park_woken(struct gr_place *p);
/* The workers that changed since no worker had room for the class, into @out. Return: how many; NIL: not known. */
uint32_t gr_place__changed(const struct gr_place *p, uint32_t class, uint32_t out[N_CHANGED]);

/* ---- queue.c ---- */
void gr_place__take(struct gr_place *p, uint32_t queued);      /* off its heap, record free */
/* The front item goes behind the others. */
void gr_place__demote(struct gr_place *p, uint32_t queue);
int64_t gr_place__queued_handle(const struct gr_place *p, uint32_t queued);
uint32_t gr_place__queued(const struct gr_place *p, int64_t handle);   /* or NIL */

/* ---- learn.c ---- */
struct gr_place__family *gr_place__family(const struct gr_place *p, uint64_t hash);
uint32_t gr_place__work_us(const struct gr_place *p, uint64_t family, uint32_t work_ms);
void gr_place__learn(struct gr_place *p, const struct gr_place__placed *pl, uint64_t now_ns, const struct gr_place_ended *e);

/* ---- search.c ---- */
struct gr_place__search {
	const struct gr_place_task *t;
	uint32_t owner;               /* index */
	const struct gr_place__class *class;
	uint32_t class_id;
	uint32_t work_us, input_kib;
	uint32_t avoid_node;          /* NIL none */
	uint32_t reserved_for;        /* the queue that asks; the reservation's own may take what is kept */
	bool may_wait;                /* also behind what runs there, when nothing has room */
	bool with_credits;            /* it looks at those now; and out: it will wait there */
	uint64_t now_ns;
	/* out */
	uint32_t worker, n_looked;
	uint64_t set, all_kib;        /* the input set's name; what a worker that has all of it was sent */
	uint16_t all_packed;          /* that as p->have says it */
	bool is_plain;                /* the class is, and nothing is excluded or avoided */
	bool is_cut;                  /* not all that could fit were looked at */
	uint64_t score, finish_us;
	uint64_t best[1 + GR_PLACE_N_NEXT];   /* the found one and the runners-up, as search.c keeps them */
	struct gr_place_next next[GR_PLACE_N_NEXT];    /* the runners-up, as the caller is told of them */
};
bool gr_place__is_excluded(const struct gr_place__worker *w, const struct gr_place_task *t);
struct gr_place__cost { uint64_t wait_us, fetch_us, run_us, more_us; };
/* Asks for the next of a queued item; then gr_place__search looks for the worker, or search_at scores one alone (false: it does not fit). */
void gr_place__search_for(const struct gr_place *p, uint32_t queued, uint64_t now_ns, struct gr_place__search *s);
void gr_place__search(struct gr_place *p, struct gr_place__search *s);
bool gr_place__search_at(const struct gr_place *p, struct gr_place__search *s, uint32_t worker);
/* The task's files by name and size, from its owner, set and input_kib. */
void gr_place__files(const struct gr_place *p, struct gr_place__search *s);
/* Different workers of the lowest predicted cost whose room may suffice, up to @max. */
uint32_t gr_place__best_rank(struct gr_place *p, const struct gr_place__search *s, uint32_t *out, uint32_t max);
/* The round trip and the transfer of what it lacks. */
uint64_t gr_place__fetch_us(const struct gr_place *p, uint32_t worker, const struct gr_place__search *s);
struct gr_place__cost gr_place__cost(const struct gr_place *p, uint32_t worker, const struct gr_place__search *s);
/* Whether it fits there now; the reason when not. */
enum gr_place_verdict gr_place__fits(const struct gr_place *p, uint32_t worker, const struct gr_place__search *s, uint32_t *res);
uint32_t gr_place__contention(const struct gr_place *p, const struct gr_place__worker *w, uint32_t more_mcpu);
void gr_place__warm(struct gr_place *p, uint32_t worker, struct gr_place__owner *o, const struct gr_place__search *s);
uint32_t gr_place__tally_get(const struct gr_place *p, uint32_t owner, uint8_t by, uint32_t what);
void gr_place__tally_add(struct gr_place *p, uint32_t owner, uint8_t by, uint32_t what, int sign);
uint32_t gr_place__tally_of(const struct gr_place *p, uint32_t worker, uint8_t by);     /* what a worker counts as */

/* ---- commit.c ---- */
void gr_place__room_make(struct gr_place *p, uint32_t n);
/* Each placement may add an entry for its spread and one for its nearness. */
static inline bool gr_place__is_tally_small(const struct gr_place *p, uint32_t cap, uint32_t n)
{
	return (p->n_tally + 2ull * n) * 4 > cap * 3ull;
}
/* Records for n more placements, tallies too. */
static inline void gr_place__room(struct gr_place *p, uint32_t n)
{
	if (p->room_placed < p->tasks_placed + n || gr_place__is_tally_small(p, p->cap_tally, n))
		gr_place__room_make(p, n);
}
/* @n equal tasks to the found worker, @n > 1 only when all of them run at once. Return: the first's record. Of it, the worker's part, and
 * that of who asked, which may be done once for some. */
uint32_t gr_place__commit(struct gr_place *p, const struct gr_place__search *s, uint64_t tag, uint32_t nth, uint32_t n,
			  enum gr_place_act act, struct gr_place_decision *d);
uint32_t gr_place__put(struct gr_place *p, const struct gr_place__search *s, uint64_t tag, uint32_t nth, uint32_t n,
		       enum gr_place_act act, struct gr_place_decision *d);
void gr_place__account(struct gr_place *p, const struct gr_place__search *s, uint32_t n, enum gr_place_act act);
void gr_place__release(struct gr_place *p, uint32_t placed);      /* takes back what the placement holds */
uint64_t gr_place__handle(const struct gr_place *p, uint32_t placed);
uint32_t gr_place__placed(const struct gr_place *p, uint64_t handle);  /* or NIL */
uint64_t gr_place__end_ns(const struct gr_place *p, uint32_t placed);  /* when it is expected to end */
/* A decision about what is placed already; marks it as leaving. */
void gr_place__order(struct gr_place *p, enum gr_place_act act, uint32_t placed, struct gr_place_decision *d);

/* ---- relief.c, copies.c, reserve.c: each adds decisions at out[n..max), returns the new n ---- */
uint32_t gr_place__preempt(struct gr_place *p, uint64_t now_ns, uint32_t queue, const struct gr_place__search *s,
			   struct gr_place_decision *out, uint32_t n, uint32_t max);
/* Room that was preempted for a class is kept for it until it came; @i in p->kept. */
void gr_place__kept_drop(struct gr_place *p, uint32_t i);
void gr_place__kept_came(struct gr_place *p, uint32_t worker, uint32_t class);    /* one that it was kept for */
void gr_place__kept_check(struct gr_place *p, uint64_t now_ns);
bool gr_place__kept_from(const struct gr_place *p, uint32_t worker, uint32_t class, uint8_t band);
/* How many tasks of an owner (index) room is kept for, but those of class @but (NIL none); of them those in that place of its spread. */
uint32_t gr_place__kept_for(const struct gr_place *p, uint32_t owner, uint32_t but);
uint32_t gr_place__kept_near(const struct gr_place *p, uint32_t owner, uint32_t but, uint8_t by, uint32_t what);
uint32_t gr_place__relieve(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t n, uint32_t max);
uint32_t gr_place__evacuate(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t n, uint32_t max);
void gr_place__wheel_add(struct gr_place *p, uint32_t placed);   /* when copies may be asked for */
void gr_place__wheel_del(struct gr_place *p, uint32_t placed);
void gr_place__wheel_turn(struct gr_place *p, uint64_t now_ns);
uint64_t gr_place__wheel_ns(const struct gr_place *p);
uint32_t gr_place__copies(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t n, uint32_t max);
void gr_place__reserve_for(struct gr_place *p, uint64_t now_ns, uint32_t queue);
void gr_place__reserve_drop(struct gr_place *p);
/* Whether @worker is kept from a task that would end at @end_ns. */
bool gr_place__is_kept(const struct gr_place *p, uint32_t worker, uint32_t queue, uint64_t end_ns);

/* ---- log.c: opcodes are the log's format, docs/placement.md#log ---- */
#define LOG_VERSION 7u                 /* what the records say */
enum gr_place__op {
	OP_NEW = 1, OP_ENV, OP_HOLD, OP_NODE, OP_LABEL, OP_KEY, OP_CLASS, OP_UP, OP_DOWN, OP_DRAIN, OP_PAUSE, OP_SIGNALS,
	OP_NODE_SET, OP_ZONE, OP_TENANT, OP_TENANT_SET, OP_TENANT_DEL, OP_OWNER, OP_OWNER_DEL, OP_OWNER_PAUSE, OP_OWNER_BYTES,
	OP_READY, OP_CANCEL, OP_NEXT, OP_DECIDED, OP_END, OP_KEPT, OP_STARTED, OP_ADOPT, OP_N
};
void gr_place__log(struct gr_place *p, enum gr_place__op op, const uint64_t *v, uint32_t n, const void *bytes, uint32_t n_bytes);
void gr_place__log_next(struct gr_place *p, uint64_t now_ns, uint32_t max);
void gr_place__log_decided(struct gr_place *p, const struct gr_place_decision *d);
void gr_place__log_end(struct gr_place *p, uint64_t now_ns, uint64_t placed, const struct gr_place_ended *e);
#define LOG_ARGS(...) (const uint64_t[]){ __VA_ARGS__ }, sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t)
#define LOG(p, op, ...) do { if ((p)->cfg.log) gr_place__log((p), (op), LOG_ARGS(__VA_ARGS__), NULL, 0); } while (0)
#define LOG_BYTES(p, op, b, n, ...) do { if ((p)->cfg.log) gr_place__log((p), (op), LOG_ARGS(__VA_ARGS__), (b), (n)); } while (0)

/* ---- tail.c ---- */
/* The queue holds all that waits, few enough for few enough workers to be planned as a list. O(its items, of which it has 32 at most then). */
bool gr_place__is_tail(const struct gr_place *p, uint32_t queue);
/* The item of it that starts now, and in @s where; NIL: all of them had better wait, and are asked for again at p->retry_ns. */
uint32_t gr_place__tail(struct gr_place *p, uint32_t queue, struct gr_place__search *s);
