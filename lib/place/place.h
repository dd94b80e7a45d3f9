/**
 * place - what runs next, and where
 *
 * One incremental state machine. Deltas go in (workers come, go, drain, say how they are; tasks become ready, end),
 * decisions come out in batches. Pure: no I/O, no clock, no environment, no log; `now_ns` and the seed are arguments,
 * so the same calls give the same decisions, byte for byte (gr_place_config.log, lib/place/replay.h). Nothing is
 * allocated per decision: memory grows by doubling, or by a fixed step, at the start of a call.
 *
 * Words: an *environment* is what a worker must have to run a task (a toolchain), named by a digest. A *class* is an
 * interned request: resources, environment, constraints, spread. A *node* is a machine; workers (pods) of one node share
 * its cores and are weighed together. A *tenant* owns *owners* (a client's session, a job), an owner has a priority band
 * and a weight. An *input set* is a set of files that tasks share; who has been sent how much of it is remembered.
 * A *credit* is room for a task beyond what a worker runs, so that the next one is there when one ends.
 *
 * Ids are small integers with a generation, given out here: one that is unknown, or of something that ended, is
 * GR_ENOENT. Every call that fails leaves the state as it was. Time that goes backwards is GR_EINVAL.
 * Thread: any, one at a time. Model and algorithms with their sources: docs/placement.md.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/err.h"
#include "lib/base/sha256.h"

enum gr_place_res {
	GR_PLACE_CPU_MCPU, GR_PLACE_MEM_MIB, GR_PLACE_DISK_MIB, GR_PLACE_GPU_MILLI,
	GR_PLACE_USER_0, GR_PLACE_USER_1, GR_PLACE_USER_2, GR_PLACE_USER_3, GR_PLACE_N_RES
};
#define GR_PLACE_MAX_AMOUNT 0x3fffffffu   /* of one resource, asked or offered; more is GR_EINVAL */
struct gr_place_vec { uint32_t v[GR_PLACE_N_RES]; };

#define GR_PLACE_MAX_WORKERS ((1u << 20) - 1)
#define GR_PLACE_MAX_OWNERS (1u << 20)
#define GR_PLACE_MAX_PLACED (1u << 24)    /* placements at a time: what is ready beyond waits */
#define GR_PLACE_MAX_TENANTS 65536u
#define GR_PLACE_MAX_ENVS 4096u
#define GR_PLACE_MAX_WORKER_ENVS 64u
#define GR_PLACE_MAX_WORKER_LABELS 32u
#define GR_PLACE_MAX_LABELS 65536u
#define GR_PLACE_MAX_CLASSES 4096u
#define GR_PLACE_MAX_POOLS 4096u          /* different kinds of workers: environments, labels, zone together */
#define GR_PLACE_MAX_TERMS 6u
#define GR_PLACE_MAX_TERM_VALUES 6u
#define GR_PLACE_MAX_PREFER 4u
#define GR_PLACE_MAX_EXCLUDES 8u
#define GR_PLACE_MAX_GANG 256u
#define GR_PLACE_MAX_BAND 31u
#define GR_PLACE_NO_ENV 0u                /* as an environment's id: any worker will do */

struct gr_place;

/* What gr_place_next may ask for. RUN always; the others when gr_place_config.acts has their bit (1 << act). */
enum gr_place_act {
	GR_PLACE_RUN = 1,                 /* start it there */
	GR_PLACE_COPY,                    /* start a second attempt there; the first valid result wins */
	GR_PLACE_RETRACT,                 /* take it back when it has not started: gr_place_end(STOPPED) and ready again, or gr_place_kept */
	GR_PLACE_PREEMPT,                 /* stop it for something more urgent: end(STOPPED) when it stopped, and ready again */
	GR_PLACE_MOVE,                    /* its worker goes before it would end: as PREEMPT */
	GR_PLACE_N_ACTS
};
const char *gr_place_act_name(enum gr_place_act a);

struct gr_place_log {                     /* a sink for the decision log; it gets whole records, some KiB at a time */
	void (*write)(void *ctx, const void *bytes, size_t n);
	void *ctx;
};
struct gr_place_config {
	uint64_t seed;
	uint32_t n_sample;                /* candidates looked at per decision; 0: 8 */
	uint32_t max_credits;             /* most tasks beyond what it runs that a worker is given; 0: 40 */
	uint32_t fast_fails;              /* fast failures that quarantine a worker; 0: 3 */
	uint64_t fast_fail_ns;            /* a failure sooner than this after its start is fast; 0: 2 s */
	uint64_t quarantine_ns;           /* 0: 30 s; doubles with each quarantine in a row, up to 16 times */
	uint64_t reserve_after_ns;        /* what waited so long for room has room kept for it; 0: 5 s */
	uint64_t min_run_ns;              /* before so long nothing of the same band is preempted for fairness; 0: 60 s */
	uint32_t copy_permille;           /* most speculative copies, of the running tasks; 0: 50 */
	uint32_t bandwidth_kib_per_ms;    /* what fetching is reckoned with when a zone says nothing; 0: 100 */
	uint32_t acts;                    /* bits 1 << act that the caller carries out, besides RUN */
	bool is_node_blind;               /* every worker is weighed as a node of its own (for measurements) */
	bool is_fair_preempt;             /* preempt also inside a band, from tenants over their share */
	const struct gr_place_log *log;   /* borrowed for the life of the object; NULL none */
};
struct gr_place *gr_place_new(const struct gr_place_config *cfg);
void gr_place_free(struct gr_place **p);          /* flushes the log */
void gr_place_log_flush(struct gr_place *p);

/* ---- names to ids ---- */
/* The id of an environment, made when new. Return: > 0; GR_ELIMIT when all GR_PLACE_MAX_ENVS are in use. */
int gr_place_env(struct gr_place *p, const struct gr_digest *d) GR_MUST_CHECK;
/* As above for one that a worker has or a class names: > 0, or GR_ENOENT. */
int gr_place_env_find(const struct gr_place *p, const struct gr_digest *d) GR_MUST_CHECK;
/* Keeps an environment's id although nothing names it yet (between gr_place_env and gr_place_worker_up), or lets go. */
int gr_place_env_hold(struct gr_place *p, uint32_t env, bool is_held);
/* The id of a node by its name (1..255 bytes), made when new; kept as long as a worker is on it. >= 0; GR_EINVAL. */
int gr_place_node(struct gr_place *p, const char *name) GR_MUST_CHECK;
/* Ids of a label and of its key, made when new, for ever. Keys 1..127 bytes, values 0..127. > 0; GR_EINVAL, GR_ELIMIT. */
int gr_place_label(struct gr_place *p, const char *key, const char *value) GR_MUST_CHECK;
int gr_place_label_key(struct gr_place *p, const char *key) GR_MUST_CHECK;
const char *gr_place_label_value(const struct gr_place *p, uint32_t label);     /* "" of none and of a key; borrowed for ever */

enum gr_place_op { GR_PLACE_OP_NONE, GR_PLACE_IN, GR_PLACE_NOT_IN, GR_PLACE_EXISTS, GR_PLACE_ABSENT };
struct gr_place_term {                    /* one hard constraint on a worker's labels; all of a class must hold */
	uint8_t op;                       /* enum gr_place_op */
	uint8_t n;                        /* IN, NOT_IN: labels, any of them */
	uint32_t key;                     /* EXISTS, ABSENT */
	uint32_t label[GR_PLACE_MAX_TERM_VALUES];
};
enum gr_place_by { GR_PLACE_BY_NONE, GR_PLACE_BY_WORKER, GR_PLACE_BY_NODE, GR_PLACE_BY_ZONE };
struct gr_place_class {
	struct gr_place_vec need;
	uint32_t env;                     /* id, or GR_PLACE_NO_ENV */
	uint32_t zone;                    /* 0 any */
	struct gr_place_term term[GR_PLACE_MAX_TERMS];
	struct { uint32_t label; int32_t permille; } prefer[GR_PLACE_MAX_PREFER];  /* cost changes by -permille; < 0: avoid */
	uint8_t spread_by;                /* enum gr_place_by: at most spread_max of one owner's tasks there; */
	uint8_t near_by;                  /* enum gr_place_by: near the owner's other tasks, else it costs near_ms */
	bool is_spread_soft;              /* one more there costs spread_ms instead */
	uint32_t spread_max;              /* 0: 1 */
	uint32_t spread_ms, near_ms;
	uint32_t left_ms;                 /* not on a worker known to go sooner than this; 0 any */
};
/* The id of a request class, interned: equal content, equal id. Ids of classes without tasks are given out anew once all
 * are in use. >= 0; GR_EINVAL, GR_ELIMIT. Zero the struct before filling it. */
int gr_place_class(struct gr_place *p, const struct gr_place_class *spec) GR_MUST_CHECK;

/* ---- workers ---- */
struct gr_place_worker {
	uint64_t tag;                     /* the caller's; comes back in decisions */
	struct gr_place_vec cap;          /* what it offers */
	uint32_t slots;                   /* tasks it runs at once, 1..4096 */
	uint32_t prefetch;                /* most tasks it may hold besides; how many it gets is learned */
	uint32_t node;                    /* from gr_place_node */
	uint32_t node_cpu_mcpu;           /* the whole node's cores; 0: the sum of its workers' */
	uint32_t zone;                    /* 0 unknown */
	const uint32_t *envs;             /* borrowed for the call */
	uint32_t n_envs;
	const uint32_t *labels;           /* likewise */
	uint32_t n_labels;
};
/* Return: the worker's id, >= 0; GR_EINVAL, GR_ENOENT (node, env, label), GR_ELIMIT. */
int gr_place_worker_up(struct gr_place *p, uint64_t now_ns, const struct gr_place_worker *spec) GR_MUST_CHECK;
/* Gone. What was placed on it ends here: those handles are void and the caller makes the tasks ready again. */
int gr_place_worker_down(struct gr_place *p, uint64_t now_ns, uint32_t worker);
/* Nothing new goes there; what runs there goes on, except that, when @gone_ns is not 0 (monotonic: when it will be gone),
 * decisions MOVE what would not end before, and RETRACT what waits there. @is_draining false takes it back; with a
 * @gone_ns then it only says until when it lives, for classes that need time left. */
int gr_place_worker_drain(struct gr_place *p, uint64_t now_ns, uint32_t worker, bool is_draining, uint64_t gone_ns);
/* Nothing new goes there until @until_ns (a full send queue). */
int gr_place_worker_pause(struct gr_place *p, uint64_t now_ns, uint32_t worker, uint64_t until_ns);

struct gr_place_signals {                 /* what a worker says of its machine; 0 where unknown */
	uint32_t quota_mcpu;              /* cores its cgroup may use */
	uint32_t throttled_permille, steal_permille;
	uint32_t cpu_psi_permille, mem_psi_permille, io_psi_permille;
	uint32_t node_foreign_mcpu;       /* cores of the node that others use */
	uint32_t slots;                   /* new number of slots; 0 unchanged */
	uint64_t rtt_ns;
};
int gr_place_worker_signals(struct gr_place *p, uint32_t worker, const struct gr_place_signals *s);
/* Cores of a node that became known, and its cordon: a cordoned node takes nothing new. */
int gr_place_node_set(struct gr_place *p, uint32_t node, uint32_t cpu_mcpu, bool is_cordoned);
/* How fast a zone's workers fetch; 0: the default. */
int gr_place_zone_bandwidth(struct gr_place *p, uint32_t zone, uint32_t kib_per_ms);

/* ---- tenants, owners, input sets ---- */
struct gr_place_tenant {
	uint32_t weight;                  /* share among the tenants of a band, 1..1000000 */
	struct gr_place_vec quota;        /* most in use at once, 0 no limit */
};
/* Tenant 0 is there from the start: weight 1, no quota. Return: id, > 0; GR_EINVAL, GR_ELIMIT. */
int gr_place_tenant_add(struct gr_place *p, const struct gr_place_tenant *spec) GR_MUST_CHECK;
int gr_place_tenant_set(struct gr_place *p, uint32_t tenant, const struct gr_place_tenant *spec);
int gr_place_tenant_remove(struct gr_place *p, uint32_t tenant);   /* GR_ESTATE while it has owners */

struct gr_place_owner {
	uint64_t tag;
	uint32_t tenant;
	uint32_t weight;                  /* share among the owners of its tenant and band, 1..1000000 */
	uint32_t max_placed;              /* most of its tasks placed at once; 0 no limit */
	uint8_t band;                     /* priority: bands strictly in order, 0 first; 0..GR_PLACE_MAX_BAND */
	bool is_preemptible;              /* may be stopped for a more urgent band */
	bool is_whole;                    /* no task comes after its first ones: its last may wait for a faster worker that is busy */
};
/* Return: the owner's id, >= 0; GR_EINVAL, GR_ENOENT (tenant), GR_ELIMIT. */
int gr_place_owner_add(struct gr_place *p, const struct gr_place_owner *spec) GR_MUST_CHECK;
/* What it has queued is cancelled; what it has placed may end later. */
int gr_place_owner_remove(struct gr_place *p, uint32_t owner);
/* A paused owner keeps its queue and is given nothing. */
int gr_place_owner_pause(struct gr_place *p, uint32_t owner, bool is_paused);
/* Sum of the distinct input bytes its tasks share: by it a worker's warmth for this owner is judged. */
int gr_place_owner_bytes(struct gr_place *p, uint32_t owner, uint64_t bytes);

/* ---- tasks ---- */
struct gr_place_task {                    /* one task, or a range of @count equal ones */
	uint64_t tag;                     /* the caller's; comes back in decisions */
	uint32_t owner, class;
	uint32_t first, count;            /* numbered first .. first + count - 1; count >= 1 */
	uint32_t work_ms;                 /* expected CPU time of one, 0 unknown */
	bool is_gang;                     /* all of the range at once or none; count <= GR_PLACE_MAX_GANG */
	uint8_t n_exclude, n_exclude_node;
	uint64_t family;                  /* what learned times are kept by, 0 none */
	uint64_t input_bytes;             /* what a cold worker would have to fetch for one */
	uint64_t input_set;               /* files shared beyond the owner, by a hash of them; 0: the owner's own */
	uint32_t exclude[GR_PLACE_MAX_EXCLUDES];       /* workers it must not go to; one that is gone excludes nobody */
	uint32_t exclude_node[GR_PLACE_MAX_EXCLUDES];  /* nodes, likewise */
};
/* Return: a handle for gr_place_cancel, >= 0, void once all of the range were decided. GR_EINVAL, GR_ENOENT, GR_ELIMIT. */
int64_t gr_place_ready(struct gr_place *p, uint64_t now_ns, const struct gr_place_task *t) GR_MUST_CHECK;
/* Takes what is left of it off the queue. Return: how many tasks that were; GR_ENOENT. */
int64_t gr_place_cancel(struct gr_place *p, int64_t queued);

#define GR_PLACE_N_NEXT 3u
struct gr_place_next { uint32_t worker, score_us; };   /* worker UINT32_MAX: none */
struct gr_place_decision {
	enum gr_place_act act;
	uint64_t tag;                     /* the task's */
	uint32_t nth;                     /* which of its range */
	uint64_t placed;                  /* handle for gr_place_end; of the new attempt for RUN and COPY */
	uint64_t other;                   /* COPY: handle of the attempt that runs already */
	uint32_t worker;
	uint64_t worker_tag;
	uint32_t gang;                    /* members of the gang, which follow one another; 0 no gang */
	uint32_t n_looked;                /* workers scored */
	uint64_t finish_us;               /* predicted: wait, fetch and run together, from now */
	struct gr_place_next next[GR_PLACE_N_NEXT];    /* the runners-up */
};
/**
 * gr_place_next - decide placements until nothing runnable fits or @max are made
 * @now_ns:  monotonic; never earlier than the last call's
 * @out:     @max decisions, in the order they must be sent; each is already committed to the state
 * @max:     at least GR_PLACE_MAX_GANG when gangs are in use: a gang is never split over two calls
 * O(k + log owners) a decision, k = n_sample; no work per worker.
 * Return: decisions made, 0..@max; GR_EINVAL (time went backwards).
 */
int gr_place_next(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t max) GR_MUST_CHECK;

enum gr_place_how {
	GR_PLACE_DONE,                    /* ran to its end: its times teach */
	GR_PLACE_FAILED,                  /* it failed there: the worker may be at fault */
	GR_PLACE_OOM,                     /* killed for its memory: its family is given more */
	GR_PLACE_STOPPED,                 /* cancelled, or taken back: teaches nothing */
	GR_PLACE_N_HOWS
};
struct gr_place_ended {
	enum gr_place_how how;
	uint64_t cpu_us;                  /* 0 unknown */
	uint64_t max_rss_bytes;           /* 0 unknown */
};
/* GR_ENOENT: unknown, ended already, or its worker is gone. Whoever ends one of two copies stops the other. */
int gr_place_end(struct gr_place *p, uint64_t now_ns, uint64_t placed, const struct gr_place_ended *e);
/**
 * gr_place_soon - it will end soon: asks memory for what that needs, so that it is there when it does
 * @is_near: false: for its record. True, called again some other work later: for what the record names
 * Decides nothing, whatever @placed is. A few ns; what it saves is waiting for memory, most with many workers.
 */
void gr_place_soon(struct gr_place *p, uint64_t placed, bool is_near);
/**
 * gr_place_adopt - a task runs already (its worker came back, or we did): it takes its room without a decision
 * @nth:     which of its range; @work_ms expected, 0 unknown
 * @placed:  handle for gr_place_end
 * Return: 0; GR_ENOENT (owner, class, worker), GR_EINVAL (time), GR_EBUSY: the worker has no room for it, GR_ELIMIT.
 */
int gr_place_adopt(struct gr_place *p, uint64_t now_ns, uint32_t owner, uint32_t class, uint32_t worker, uint64_t tag, uint32_t nth,
		   uint32_t work_ms, uint64_t *placed) GR_MUST_CHECK;
/* A RETRACT came too late: it runs, and stays. */
int gr_place_kept(struct gr_place *p, uint64_t placed);
/* It has really begun to run (where the worker says so): predictions count from here. */
int gr_place_started(struct gr_place *p, uint64_t now_ns, uint64_t placed);

/* When gr_place_next should be called again although no delta came (a quarantine ends, a straggler is due); UINT64_MAX: never. */
uint64_t gr_place_wake_ns(const struct gr_place *p);

/* What a task of @family should ask for, MiB: its learned peak and a quarter, after an OOM kill at least 1.5 times what
 * was asked; @asked_mib when nothing is known. */
uint32_t gr_place_mem_hint(const struct gr_place *p, uint64_t family, uint32_t asked_mib);
/* Expected work of all that is queued and placed, ms of CPU: what the number of wanted workers is made from. */
uint64_t gr_place_work_ms(const struct gr_place *p);

/* ---- looking ---- */
/* Workers that take new tasks (not draining, not quarantined) and could run the class when empty, less the excluded;
 * counted up to @enough. 0: it can go nowhere now. */
uint32_t gr_place_feasible(const struct gr_place *p, uint32_t class, const uint32_t *exclude, uint32_t n_exclude, uint32_t enough);

/* X(NAME, name, text) */
#define GR_PLACE_VERDICT_MAP(X) \
	X(FITS, "fits", "fits") X(NO_ENV, "no_env", "lacks the toolchain") X(LABEL, "label", "labels do not match") X(ZONE, "zone", "in another zone") \
	X(TOO_SMALL, "too_small", "too small") X(NO_ROOM, "no_room", "no room now") X(NO_CREDIT, "no_credit", "holds enough tasks") X(DRAINING, "draining", "draining") \
	X(CORDONED, "cordoned", "its node is cordoned") X(QUARANTINED, "quarantined", "quarantined") X(PAUSED, "paused", "does not keep up with what it is sent") \
	X(EXCLUDED, "excluded", "was tried already") X(SPREAD, "spread", "enough of this job are there") X(LEAVING, "leaving", "goes too soon") \
	X(RESERVED, "reserved", "kept for a task that waits longer")
enum gr_place_verdict {
#define X(NAME, name, text) GR_PLACE_V_##NAME,
	GR_PLACE_VERDICT_MAP(X)
#undef X
	GR_PLACE_N_VERDICTS
};
const char *gr_place_verdict_name(enum gr_place_verdict v);   /* "no_room" */
const char *gr_place_verdict_text(enum gr_place_verdict v);   /* "no room now" */
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

/* Why something queued is not placed yet. X(NAME, name, text) */
#define GR_PLACE_PENDING_MAP(X) \
	X(NEXT, "next", "it is next") X(BEHIND, "behind", "others of its priority have had less, or came first") \
	X(BAND, "band", "work of higher priority goes first") X(ROOM, "room", "no worker that could run it has room") \
	X(NOWHERE, "nowhere", "no worker could run it") X(PAUSED, "paused", "its job is paused") X(LIMIT, "limit", "its job runs as many as it may") \
	X(QUOTA, "quota", "its tenant has used its quota") X(GANG, "gang", "not enough workers are free at once") \
	X(FASTER, "faster", "a faster worker that is busy is expected to end it sooner than one that is free")
enum gr_place_pending {
#define X(NAME, name, text) GR_PLACE_P_##NAME,
	GR_PLACE_PENDING_MAP(X)
#undef X
	GR_PLACE_N_PENDING
};
const char *gr_place_pending_name(enum gr_place_pending r);
const char *gr_place_pending_text(enum gr_place_pending r);
/* >= 0: enum gr_place_pending; GR_ENOENT. O(workers) at most. */
int gr_place_pending(const struct gr_place *p, int64_t queued);

struct gr_place_stats {
	uint32_t n_workers, n_draining, n_quarantined, n_owners, n_tenants, n_classes, n_envs, n_nodes, n_pools;
	uint32_t slots;                   /* of workers that take work */
	uint32_t free_slots;              /* of those, not taken by a placed task */
	uint32_t n_held;                  /* of the queued, what waits for a faster worker (FASTER) */
	uint64_t n_queued, n_placed;      /* tasks now */
	uint64_t n_running;               /* of the placed, what has a slot; the others wait at their workers */
	uint64_t decisions, looked;       /* ever; looked: workers scored */
	uint64_t acts[GR_PLACE_N_ACTS];   /* ever, by kind */
};
void gr_place_stats(const struct gr_place *p, uint64_t now_ns, struct gr_place_stats *out);
struct gr_place_worker_info {
	uint32_t slots, depth, n_placed, speed_permille, contention_permille;
	uint64_t quarantined_until_ns, done, failed;
	bool is_draining;
};
int gr_place_worker_info(const struct gr_place *p, uint32_t worker, struct gr_place_worker_info *out);
struct gr_place_owner_info {
	uint64_t n_queued, n_placed, share_ppm;   /* dominant share over weight */
	struct gr_place_vec used;
};
int gr_place_owner_info(const struct gr_place *p, uint32_t owner, struct gr_place_owner_info *out);
/* Dominant share of @tenant over its weight, ppm, by the resource it uses most. */
int gr_place_tenant_info(const struct gr_place *p, uint32_t tenant, struct gr_place_owner_info *out);
/* Bytes the state takes: all of it, and of that what is kept for each worker. */
void gr_place_memory(const struct gr_place *p, size_t *all, size_t *workers);
