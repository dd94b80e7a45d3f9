/**
 * place_int - what the files of lib/place share
 *
 * Indices instead of pointers: the arrays grow. NIL ends a chain. Inside, a worker is its index; outside, its id.
 */
#pragma once
#include "lib/base/rng.h"
#include "lib/place/place.h"

#define NIL UINT32_MAX
#define WORKER_BITS 20                /* a worker's id: its index, and above it how often the index was given out */
#define WORKER_MASK ((1u << WORKER_BITS) - 1)
#define WORKER_GENS 2048u
#define FAMILY_SLOTS 8192u            /* direct mapped; a collision forgets the older family */
#define UNKNOWN_WORK_US 200000u       /* the median of a kernel unit's compile */
#define BANDWIDTH_KIB_PER_MS 100u     /* 100 MB/s: what fetching is reckoned with */

struct gr_place__env {
	struct gr_digest digest;
	uint32_t n_class;             /* classes that name it */
	uint32_t *workers;            /* first n_avail of them can be given a task */
	uint32_t n, n_avail, cap;
};
struct gr_place__node {
	char name[256];
	uint32_t n_workers;
	uint32_t said_mcpu;           /* cores as told; 0: sum_mcpu */
	uint32_t sum_mcpu;            /* of its workers */
	uint32_t used_mcpu;           /* placed by us */
	uint32_t foreign_permille;    /* slowest word of its workers on pressure from others */
};
struct gr_place__class {
	struct gr_place_class spec;
	uint32_t n_task;              /* queued and placed tasks of it: a range counts once while queued */
	bool is_used;
};
struct gr_place__worker {
	bool is_up, is_draining, is_avail;
	uint32_t id;
	uint64_t tag;
	struct gr_place_vec cap, used;
	uint32_t slots, prefetch, node, zone, n_placed;
	uint32_t quota_mcpu, pressure_permille;
	uint32_t speed_permille;      /* 1000: the typical worker */
	uint32_t fast_fails, quarantines;
	uint64_t blocked_until_ns;    /* quarantine or pause; 0 none */
	bool is_quarantined;
	uint64_t rtt_us, backlog_us;  /* backlog: expected work of all it holds, at speed 1000 */
	uint64_t done, failed;
	uint32_t first_placed;        /* chain of placements */
	uint32_t room;                /* most it ever could hold */
	uint32_t n_envs;
	uint32_t env[GR_PLACE_MAX_WORKER_ENVS + 1], pos[GR_PLACE_MAX_WORKER_ENVS + 1];   /* [0] is NO_ENV: all workers */
};
struct gr_place__queued {
	struct gr_place_task t;
	uint64_t seq;
	uint32_t nth;                 /* decided so far */
	uint32_t queue;
	uint32_t at;                  /* its place in the queue's heap */
	uint16_t rank;                /* expected work, two steps an octave */
	uint32_t next_free;
};
struct gr_place__queue {              /* of one (owner, class); tasks that exclude workers wait apart, to hold up nobody */
	uint32_t owner, class;
	bool is_picky;
	uint32_t *heap, n, cap;       /* by rank falling, then seq rising */
	uint64_t parked_at;           /* state of `changes` when nothing fitted; 0 not parked */
	uint32_t next;                /* chain of the owner's queues, or of free ones */
};
struct gr_place__owner {
	bool is_used, is_going;
	struct gr_place_owner spec;
	struct gr_place_vec used;
	uint64_t n_placed, n_queued;
	uint64_t bytes;
	uint64_t share;               /* dominant share of the cluster, millionths over weight */
	uint32_t first_queue;
	uint32_t *have_kib, n_have;   /* by worker: how much of `bytes` it was sent */
	uint32_t warm[8], n_warm;     /* the workers that were used last */
};
struct gr_place__placed {
	uint64_t tag, family, start_ns;
	uint32_t worker, class, owner, work_us;
	uint32_t prev, next;          /* chain of the worker, or of free ones */
	bool is_used;
};
struct gr_place__family {
	uint64_t hash;
	uint32_t work_us;             /* at speed 1000 */
	uint32_t n;
};

struct gr_place {
	struct gr_place_config cfg;
	struct gr_rng rng;
	uint64_t changes;             /* events that could make something fit */
	uint64_t seq, decisions, looked;
	struct gr_place__env *envs;   /* [0]: every worker */
	uint32_t n_envs, cap_envs;
	struct gr_place__node *nodes;
	uint32_t n_nodes, cap_nodes;
	struct gr_place__class *classes;
	uint32_t n_classes, cap_classes;
	struct gr_place__worker *workers;
	uint32_t n_workers, cap_workers;
	struct gr_place__owner *owners;
	uint32_t n_owners, cap_owners;
	struct gr_place__queue *queues;
	uint32_t n_queues, cap_queues, free_queue;
	struct gr_place__queued *queued;
	uint32_t n_queued, cap_queued, free_queued;
	struct gr_place__placed *placed;
	uint32_t n_placed, cap_placed, free_placed;
	struct gr_place_vec total;    /* of workers that are up */
	uint32_t room;
	uint64_t tasks_queued, tasks_placed;
	uint64_t wake_ns;
	struct gr_place__family *families;
	uint64_t mean_work_us;
};

bool gr_place__fits_shape(const struct gr_place *p, const struct gr_place__worker *w, const struct gr_place_class *c,
			  enum gr_place_res *res);
bool gr_place__has_env(const struct gr_place__worker *w, uint32_t env);
uint32_t gr_place__depth(const struct gr_place *p, const struct gr_place__worker *w);
/* Puts the worker on the right side of each of its environments' arrays; call after anything it depends on changed. */
void gr_place__refresh(struct gr_place *p, uint32_t worker);
uint32_t gr_place__work_us(const struct gr_place *p, const struct gr_place_task *t);
uint32_t gr_place__contention(const struct gr_place *p, const struct gr_place__worker *w, uint32_t more_mcpu);
struct gr_place__cost { uint64_t wait_us, fetch_us, run_us; };
struct gr_place__cost gr_place__cost(const struct gr_place *p, uint32_t worker, const struct gr_place_task *t,
				     uint32_t work_us, uint32_t cpu_mcpu);
void gr_place__queue_push(struct gr_place *p, uint32_t queued);
void gr_place__queue_take(struct gr_place *p, uint32_t queued);   /* off its heap, record free */
void gr_place__share(struct gr_place *p, struct gr_place__owner *o);
void gr_place__release(struct gr_place *p, uint32_t placed);      /* takes back what the placement holds */
