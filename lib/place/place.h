/**
 * place - what runs next, and where
 *
 * One incremental state machine. Deltas go in (workers come, go, drain, say how they are; tasks become ready, end),
 * decisions come out in batches. Pure: no I/O, no clock, no environment, no log; `now_ns` and the seed are arguments,
 * so the same calls give the same decisions. Nothing is allocated per decision or per ended task: memory grows only in
 * gr_place_new and in the calls that add something (worker, owner, class, queued task), by doubling.
 *
 * Words: an *environment* is what a worker must have to run a task (a toolchain), named by a digest. A *class* is an
 * interned request: resources and environment. An *owner* is whom tasks belong to (a client's session, a job): it has a
 * priority band and a weight. A *node* is a machine; workers of one node share its cores and are weighed together.
 * All ids and handles are small integers given out here; they may be used again after their object ended.
 * Thread: any, one at a time. Misuse of a handle is a bug of the caller and meets assert().
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/err.h"
#include "lib/base/sha256.h"

enum gr_place_res {
	GR_PLACE_CPU_MCPU, GR_PLACE_MEM_MIB, GR_PLACE_DISK_MIB, GR_PLACE_GPU_MILLI,
	GR_PLACE_USER_0, GR_PLACE_USER_1, GR_PLACE_USER_2, GR_PLACE_USER_3, GR_PLACE_N_RES
};
struct gr_place_vec { uint32_t v[GR_PLACE_N_RES]; };

#define GR_PLACE_MAX_WORKERS (1u << 20)
#define GR_PLACE_MAX_ENVS 4096u
#define GR_PLACE_MAX_WORKER_ENVS 64u
#define GR_PLACE_MAX_CLASSES 4096u
#define GR_PLACE_MAX_EXCLUDES 4u
#define GR_PLACE_NO_ENV 0u                /* as an environment's id: any worker will do */

struct gr_place;
struct gr_place_config {
	uint64_t seed;
	uint32_t n_sample;                /* candidates looked at per decision; 0: 8 */
	uint32_t max_depth;               /* most tasks beyond its slots that a worker is given; 0: 40 */
	uint32_t fast_fails;              /* fast failures in a row that quarantine a worker; 0: 3 */
	uint64_t fast_fail_ns;            /* a failure sooner than this after placement is fast; 0: 2 s */
	uint64_t quarantine_ns;           /* 0: 30 s; doubles with each quarantine in a row, up to 16 times */
};
struct gr_place *gr_place_new(const struct gr_place_config *cfg);
void gr_place_free(struct gr_place **p);

/* ---- names to ids ---- */
/* The id of an environment, made when new. Return: > 0; GR_ELIMIT when all GR_PLACE_MAX_ENVS are in use. */
int gr_place_env(struct gr_place *p, const struct gr_digest *d) GR_MUST_CHECK;
/* As above for one that a worker has or a class names: > 0, or GR_ENOENT. */
int gr_place_env_find(const struct gr_place *p, const struct gr_digest *d) GR_MUST_CHECK;
/* Keeps an environment's id although nothing names it yet (between gr_place_env and gr_place_worker_up), or lets go. */
void gr_place_env_hold(struct gr_place *p, uint32_t env, bool is_held);
/* The id of a node by its name (1..255 bytes), made when new; kept as long as a worker is on it. */
int gr_place_node(struct gr_place *p, const char *name) GR_MUST_CHECK;

struct gr_place_class {
	struct gr_place_vec need;
	uint32_t env;                     /* id, or GR_PLACE_NO_ENV */
	uint32_t zone;                    /* 0 any */
};
/* The id of a request class, interned: equal content, equal id. >= 0; GR_ELIMIT. Unused ones are given out anew. */
int gr_place_class(struct gr_place *p, const struct gr_place_class *spec) GR_MUST_CHECK;

/* ---- workers ---- */
struct gr_place_worker {
	uint64_t tag;                     /* the caller's; comes back in decisions */
	struct gr_place_vec cap;          /* what it offers */
	uint32_t slots;                   /* tasks it runs at once, >= 1 */
	uint32_t prefetch;                /* tasks it may hold besides */
	uint32_t node;                    /* from gr_place_node */
	uint32_t node_cpu_mcpu;           /* the whole node's cores; 0: the sum of its workers' */
	uint32_t zone;                    /* 0 unknown */
	const uint32_t *envs;             /* borrowed for the call */
	uint32_t n_envs;
};
/* Return: the worker's id, >= 0; GR_EINVAL (no slots), GR_ELIMIT. */
int gr_place_worker_up(struct gr_place *p, uint64_t now_ns, const struct gr_place_worker *spec) GR_MUST_CHECK;
/* Gone. What was placed on it ends here: those handles are void and the caller makes the tasks ready again. */
void gr_place_worker_down(struct gr_place *p, uint64_t now_ns, uint32_t worker);
/* Nothing new goes there; what runs there goes on. @is_draining false takes it back. */
void gr_place_worker_drain(struct gr_place *p, uint32_t worker, bool is_draining);
/* Nothing new goes there until @until_ns (a full send queue). */
void gr_place_worker_pause(struct gr_place *p, uint32_t worker, uint64_t until_ns);

struct gr_place_signals {                 /* what a worker says of its machine; 0 where unknown */
	uint32_t quota_mcpu;              /* cores its cgroup may use */
	uint32_t throttled_permille, steal_permille, cpu_psi_permille, mem_psi_permille;
	uint32_t slots;                   /* new number of slots; 0 unchanged */
	uint64_t rtt_ns;
};
void gr_place_worker_signals(struct gr_place *p, uint32_t worker, const struct gr_place_signals *s);

/* ---- owners ---- */
struct gr_place_owner {
	uint64_t tag;
	uint8_t priority;                 /* bands, strictly in order; 0 first. 0..31 */
	uint32_t weight;                  /* share among the owners of a band, >= 1 */
};
/* Return: the owner's id, >= 0; GR_EINVAL. */
int gr_place_owner_add(struct gr_place *p, const struct gr_place_owner *spec) GR_MUST_CHECK;
/* The owner has nothing queued (gr_place_cancel) any more; what it has placed may end later. */
void gr_place_owner_remove(struct gr_place *p, uint32_t owner);
/* Sum of the distinct input bytes its tasks share: by it a worker's warmth for this owner is judged. */
void gr_place_owner_bytes(struct gr_place *p, uint32_t owner, uint64_t bytes);

/* ---- tasks ---- */
struct gr_place_task {                    /* one task, or a range of @count equal ones */
	uint64_t tag;                     /* the caller's; comes back in decisions */
	uint32_t owner, class;
	uint32_t count;                   /* >= 1 */
	uint32_t work_ms;                 /* expected CPU time, 0 unknown */
	uint64_t family;                  /* what learned times are kept by, 0 none */
	uint64_t input_bytes;             /* what a cold worker would have to fetch for it */
	uint32_t exclude[GR_PLACE_MAX_EXCLUDES];   /* workers it must not go to */
	uint32_t n_exclude;
};
/* Return: a handle for gr_place_cancel, >= 0, void once all of the range were decided. GR_EINVAL. */
int gr_place_ready(struct gr_place *p, uint64_t now_ns, const struct gr_place_task *t) GR_MUST_CHECK;
void gr_place_cancel(struct gr_place *p, uint32_t queued);

enum gr_place_act { GR_PLACE_RUN = 1 };   /* a caller skips kinds it does not know */
struct gr_place_decision {
	enum gr_place_act act;
	uint64_t tag;                     /* the task's */
	uint32_t nth;                     /* which of its range, 0.. */
	uint32_t placed;                  /* handle for gr_place_end */
	uint32_t worker;
	uint64_t worker_tag;
	uint32_t n_looked;                /* workers scored */
	uint64_t finish_us;               /* predicted: wait, fetch and run together, from now */
};
/**
 * gr_place_next - decide placements until nothing runnable fits or @max are made
 * @now_ns:  monotonic; never earlier than the last call's
 * @out:     @max decisions, in the order they must be sent; each is already committed to the state
 * O(owners + classes of the owner + k + log queued) a decision, k = n_sample; no allocation.
 * Return: decisions made, 0..@max.
 */
uint32_t gr_place_next(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t max);

enum gr_place_how {
	GR_PLACE_DONE,                    /* ran to its end: its times teach */
	GR_PLACE_FAILED,                  /* the worker could not do it */
	GR_PLACE_STOPPED,                 /* cancelled, or taken back: teaches nothing */
};
struct gr_place_ended {
	enum gr_place_how how;
	uint64_t cpu_us;                  /* 0 unknown */
	uint64_t max_rss_bytes;           /* 0 unknown */
};
void gr_place_end(struct gr_place *p, uint64_t now_ns, uint32_t placed, const struct gr_place_ended *e);

/* When gr_place_next should be called again although no delta came (a quarantine or pause ends); UINT64_MAX: never. */
uint64_t gr_place_wake_ns(const struct gr_place *p);

/* ---- looking ---- */
/* Workers that take new tasks (not draining, not quarantined) and could run the class when empty, less the excluded;
 * counted up to @enough. 0: it can go nowhere now. */
uint32_t gr_place_feasible(const struct gr_place *p, uint32_t class, const uint32_t *exclude, uint32_t n_exclude, uint32_t enough);

enum gr_place_verdict {
	GR_PLACE_V_FITS, GR_PLACE_V_NO_ENV, GR_PLACE_V_TOO_SMALL, GR_PLACE_V_NO_ROOM, GR_PLACE_V_NO_CREDIT,
	GR_PLACE_V_DRAINING, GR_PLACE_V_QUARANTINED, GR_PLACE_V_PAUSED, GR_PLACE_V_EXCLUDED, GR_PLACE_V_ZONE,
};
const char *gr_place_verdict_name(enum gr_place_verdict v);
const char *gr_place_res_name(enum gr_place_res r);
struct gr_place_why {                     /* one worker's answer to one request */
	uint32_t worker;
	uint64_t worker_tag;
	enum gr_place_verdict verdict;
	enum gr_place_res res;            /* TOO_SMALL, NO_ROOM: of which */
	uint32_t asked, free;             /* of @res; NO_CREDIT: tasks held, most it may hold */
	uint64_t wait_us, fetch_us, run_us, score_us;   /* predicted, also when it does not fit now */
	uint32_t speed_permille, contention_permille;
};
/* Every worker's answer to @t (its tag and count do not matter), in id order. O(workers). Return: rows, 0..@max. */
uint32_t gr_place_explain(const struct gr_place *p, uint64_t now_ns, const struct gr_place_task *t,
			  struct gr_place_why *out, uint32_t max);

struct gr_place_stats {
	uint32_t n_workers, n_draining, n_quarantined, n_owners, n_classes, n_envs, n_nodes;
	uint32_t slots;                   /* of workers that take work */
	uint32_t free_slots;              /* of those, not taken by a placed task */
	uint64_t n_queued, n_placed;      /* tasks now */
	uint64_t decisions, looked;       /* ever; looked: workers scored */
};
void gr_place_stats(const struct gr_place *p, uint64_t now_ns, struct gr_place_stats *out);
struct gr_place_worker_info {
	uint32_t slots, depth, n_placed, speed_permille, contention_permille;
	uint64_t quarantined_until_ns, done, failed;
	bool is_draining;
};
void gr_place_worker_info(const struct gr_place *p, uint32_t worker, struct gr_place_worker_info *out);
