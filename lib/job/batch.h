/**
 * batch - the life of a durable job: its tasks' states, what waits for what, retries, copies, failure limits
 *
 * The states of all tasks are in struct gr_states; a record (struct gr_btask) exists only for a task that runs, waits for
 * its next try, or has a history that counts. What becomes ready leaves through ops.ready in runs; what ends without
 * having run (skipped, cancelled) through ops.ended. An attempt is one placement of one task; its number never comes
 * twice in a job's life (floor), and a result is taken from a number that is live, or lost, while the task has no
 * outcome. Where a stage has a comparator, comparing two results is an attempt of the task, too, with a number of the same
 * kind and of, against set: it is fenced, lost, adopted and stopped like the others. Pure: no clock, no I/O; the same calls give the same states. Thread: any, one at a time.
 */
#pragma once
#include "lib/base/map.h"
#include "lib/base/pool.h"
#include "lib/job/quorum.h"
#include "lib/job/spec.h"
#include "lib/job/states.h"

#define GR_BATCH_STRIDE 65536u            /* attempts of a task in one life of the coordinator */
#define GR_BATCH_MAX_LOST 20u             /* workers that may die under a task, besides its tries: or retry.max when that is more */
#define GR_BATCH_MAX_LIVES 16u            /* live and lost attempts that are remembered */
#define GR_BATCH_MEM_AS_ASKED 1000u       /* gr_btask.mem_permille, unless it was killed for want of it */

/* X(NAME, name, has its outcome) - order: they are stored */
#define GR_BSTATE_MAP(X) \
	X(BLOCKED, "blocked", 0) X(READY, "ready", 0) X(BACKOFF, "backoff", 0) X(RUNNING, "running", 0) \
	X(DONE, "done", 1) X(FAILED, "failed", 1) X(CANCELLED, "cancelled", 1) X(SKIPPED, "skipped", 1)
enum gr_bstate {
#define X(name, text, final) GR_B_##name,
	GR_BSTATE_MAP(X)
#undef X
	GR_B_N
};
const char *gr_bstate_name(enum gr_bstate s);
int gr_bstate_parse(const char *name);            /* GR_EINVAL */
#define GR_B_OPEN_MASK (1u << GR_B_BLOCKED | 1u << GR_B_READY | 1u << GR_B_BACKOFF | 1u << GR_B_RUNNING)

/* Why an attempt ended. X(NAME, name, counts as a try) */
#define GR_BCAUSE_MAP(X) \
	X(NONE, "none", 0) X(DONE, "done", 0) X(EXIT, "exit", 1) X(OUTPUT, "output missing", 1) X(TIMEOUT, "timeout", 1) X(OOM, "oom", 1) \
	X(LOST, "lost", 0) X(WORKER, "worker trouble", 1) X(REFUSED, "refused", 1) X(CANCELLED, "cancelled", 0) X(UNSENT, "unsent", 0) \
	X(EVICTED, "evicted", 0) X(PREEMPTED, "preempted", 0) X(CHECKPOINT, "checkpointed", 0) X(DISAGREED, "copies disagree", 1) \
	X(DEADLINE, "deadline", 0) X(ATTEMPTS, "too many attempts", 0) X(RESTART, "coordinator restarted", 0) X(SUPERFLUOUS, "another copy was first", 0) \
	X(DISK, "disk", 1) X(EQUAL, "equal", 0) X(DIFFERENT, "different", 0) X(COMPARE, "comparison failed", 1)
enum gr_bcause {
#define X(name, text, counts) GR_BC_##name,
	GR_BCAUSE_MAP(X)
#undef X
	GR_BC_N
};
const char *gr_bcause_name(enum gr_bcause c);
/* It did what it was to do; a comparison, too, that found a difference. */
static inline bool gr_bcause_is_good(enum gr_bcause c) { return c == GR_BC_DONE || c == GR_BC_EQUAL || c == GR_BC_DIFFERENT; }

struct gr_blive {                         /* an attempt that may still bring a result */
	uint32_t number, ordinal;
	uint32_t of, against;             /* a comparison of the results of these two attempts; 0, 0: the task itself */
	uint32_t same;                    /* of a copy: gr_btask.same as it began */
	bool is_lost;                     /* its worker is not there; not placed */
	bool is_started, is_alone;        /* alone: trusted without copies */
	bool is_charged;                  /* its loss was counted: not when its worker comes back with it */
	bool is_stored;                   /* the caller's: there is a row of it */
	uint8_t stopping;                 /* what it was told, 0 nothing; enum gr_stop_how */
	enum gr_bcause stop_cause;        /* what its end will be put down to then */
	uint64_t worker, node;            /* identities */
	void *peer;                       /* the caller's, NULL when lost */
	uint64_t placed;                  /* the caller's placement handle */
	uint64_t start_ns;
};
struct gr_bresult {                       /* what a copy brought */
	struct gr_qresult q;
	uint64_t worker, node;
	uint32_t number;
};
struct gr_bjob;
struct gr_btask {
	uint64_t task;                    /* key */
	struct gr_bjob *job;
	uint32_t ordinal, n_tries, k;     /* attempts ever; that counted; numbers used in this life */
	uint32_t n_lost;                  /* lost with their workers: no fault of the task, unless it kills them all */
	uint32_t mem_permille;            /* of what was asked: grows after OOM, gr_btask_grow */
	uint64_t due_ns;                  /* BACKOFF until; RUNNING: further copies and comparisons not before */
	bool is_awaited;                  /* until then workers of an earlier life may come back with it */
	uint32_t heap_at;                 /* in job->due, from 1; 0: not there */
	uint32_t n_target;                /* copies wanted; 0 undecided, or no quorum */
	bool has_begun;                   /* an attempt of it that is not lost is_started */
	bool is_with_worker;              /* an attempt of it is not lost */
	uint32_t n_queued;                /* copies that wait for placement besides (the caller's word) */
	bool is_check_queued, is_check_held;      /* a comparison: waits for placement; until due_ns */
	uint32_t n_check_tries, n_check_lost;     /* comparisons that failed, that were lost, since the last verdict */
	uint64_t check_bad_node;          /* where one failed: others first; 0 none */
	uint32_t n_lives, cap_lives, n_results;
	struct gr_blive *lives;           /* at most GR_BATCH_MAX_LIVES; @own while there was never more than one */
	struct gr_blive own;
	struct gr_bresult *results;
	bool has_checkpoint;              /* files of its last attempt are to be carried along */
	uint32_t same;                    /* what workers of copies share, by the caller's word, who sets it before the first begins; 0 nothing:
					   * of the copies none runs or has brought a result, and the next one may go anywhere */
	void *queued;                     /* the caller's */
};
struct gr_bjob_ops {
	/* Tasks that are READY now; offered until they begin. @t: the record of a single one that has one, else NULL. */
	void (*ready)(void *ctx, uint32_t first, uint32_t count, struct gr_btask *t);
	/* A task READY no longer that has a record or not: it may be queued. */
	void (*withdrawn)(void *ctx, uint32_t first, uint32_t count);
	/* Tasks that ended without a result of their own. */
	void (*ended)(void *ctx, uint32_t first, uint32_t count, enum gr_bstate state);
	/* Two results are to be compared, which is offered until gr_bjob_begin_check. NULL where no stage has a comparator. */
	void (*check)(void *ctx, struct gr_btask *t);
	/* The attempt is not wanted any more. */
	void (*stop)(void *ctx, struct gr_btask *t, struct gr_blive *l, enum gr_bcause why);
};
struct gr_bjob {
	const struct gr_spec *spec;       /* borrowed */
	const struct gr_bjob_ops *ops;
	void *ctx;
	struct gr_trust *trust;           /* borrowed; for stages with copies */
	struct gr_states states;
	struct gr_states anew;            /* of those that a retry began anew 1, until an attempt follows; n 0: there was no retry */
	struct gr_map tasks;              /* gr_btask by its number */
	struct gr_pool spare;             /* of those that are over */
	struct gr_btask *last;            /* that was looked for, NULL */
	struct gr_btask **due;            /* heap by due_ns */
	uint32_t n_due, cap_due;
	uint32_t *n_stage_done;           /* by stage */
	/* Of those RUNNING: has_begun; is_with_worker. One that has begun nowhere waits at its worker; one that is with none, for its next copy
	 * or comparison. */
	uint32_t n_begun, n_with_worker;
	uint32_t n_grown;                 /* records whose task gets more memory than was asked */
	uint32_t floor, n_numbers;        /* attempts of this life are numbered floor + 1 to floor + n_numbers - 1, each task's anew */
	bool wants_numbers;               /* one has used half of the last GR_BATCH_STRIDE: gr_bjob_more_numbers */
	bool is_cancelled, is_stopping;   /* asked to; the failure limit was reached */
};

void gr_bjob_init(struct gr_bjob *j, const struct gr_spec *spec, struct gr_trust *trust, const struct gr_bjob_ops *ops, void *ctx);
void gr_bjob_fini(struct gr_bjob *j);
/* As stored: an outcome; a task's history. Before gr_bjob_open. */
void gr_bjob_restore(struct gr_bjob *j, uint32_t task, enum gr_bstate outcome);
struct gr_btask *gr_bjob_record(struct gr_bjob *j, uint32_t task);        /* made when there is none */
/* An attempt the store knows without an end: lost until its worker is back; the task waits until @due_ns. */
struct gr_blive *gr_bjob_restore_live(struct gr_bjob *j, uint32_t task, uint32_t number, uint64_t worker, uint64_t node, uint64_t due_ns);
/* A copy's result, a verdict of the comparator about two of them, one that failed: in the order of their numbers. */
void gr_bjob_restore_result(struct gr_bjob *j, uint32_t task, uint32_t number, uint64_t worker, uint64_t node, const struct gr_digest *digest);
void gr_bjob_restore_verdict(struct gr_bjob *j, uint32_t task, uint32_t of, uint32_t against, enum gr_bcause cause, bool counts);
/* As many failed as may: what has no outcome is cancelled (when a job is taken up again). */
void gr_bjob_check_limit(struct gr_bjob *j);
/* Everything that can go becomes ready (or skipped). */
void gr_bjob_open(struct gr_bjob *j);

struct gr_btask *gr_bjob_find(struct gr_bjob *j, uint32_t task);    /* NULL: no record */
struct gr_blive *gr_btask_live(const struct gr_btask *t, uint32_t number);
uint32_t gr_btask_n_live(const struct gr_btask *t);                       /* not lost */
bool gr_btask_is_at(const struct gr_btask *t, uint64_t node);             /* a copy runs there, or has brought its result from there */
/* It was killed at its memory limit: what is tried of it from now on gets half as much again, until it has a thousand times what was asked. */
void gr_btask_grow(struct gr_btask *t);
/**
 * gr_bjob_begin - a READY task (or another copy of one that runs) goes to a worker
 * Return: the attempt, borrowed until the record changes; NULL when it has used its numbers: then it FAILED.
 */
struct gr_blive *gr_bjob_begin(struct gr_bjob *j, uint32_t task, uint64_t worker, uint64_t node, uint64_t toolchain, void *peer, uint64_t placed,
			       uint64_t now_ns);
/* The two results that are to be compared next, borrowed until the record changes. Return: false when none are. */
bool gr_bjob_pair(const struct gr_bjob *j, const struct gr_btask *t, const struct gr_bresult **of, const struct gr_bresult **against);
/* That comparison goes to a worker. Return: as gr_bjob_begin; NULL, too, when none is wanted. */
struct gr_blive *gr_bjob_begin_check(struct gr_bjob *j, uint32_t task, uint64_t worker, uint64_t node, void *peer, uint64_t placed, uint64_t now_ns);
/* What a comparison needs is not to be had now: not before @due_ns. */
void gr_bjob_hold_check(struct gr_bjob *j, uint32_t task, uint64_t due_ns);
/* A lost attempt's worker is back with it. Return: false when it is not wanted: a copy, too, that has not what the others share. */
bool gr_bjob_adopt(struct gr_bjob *j, uint32_t task, uint32_t number, uint64_t worker, void *peer, uint64_t placed, struct gr_blive **out);

/* The worker says that it really runs now. @l: one of @t's, not lost. */
void gr_bjob_started(struct gr_btask *t, struct gr_blive *l);

struct gr_bend {
	enum gr_bcause cause;
	int exit_code;
	struct gr_digest digest;          /* DONE of a stage with copies: what is compared */
	uint64_t toolchain;
};
enum gr_bverdict { GR_BV_FENCED, GR_BV_DONE, GR_BV_FAILED, GR_BV_AGAIN, GR_BV_LATER, GR_BV_WAIT, GR_BV_CANCELLED };
struct gr_bended {
	enum gr_bverdict verdict;
	enum gr_bcause cause;             /* the one told, or SUPERFLUOUS: a node has one say, and what copies share has changed; DISAGREED: the
					   * last result there may be */
	uint32_t canonical;               /* DONE: the attempt whose result stands, which of a comparison is another one */
	uint64_t due_ns;                  /* LATER */
	struct gr_blive was;              /* the attempt, unless FENCED */
};
/* An attempt ended. All that follows from it (what becomes ready, what is stopped) is done through ops before it returns. */
struct gr_bended gr_bjob_end(struct gr_bjob *j, uint32_t task, uint32_t number, uint64_t worker, const struct gr_bend *e, uint64_t now_ns);
void gr_bjob_tick(struct gr_bjob *j, uint64_t now_ns);                    /* BACKOFF that is over */
uint64_t gr_bjob_due_ns(const struct gr_bjob *j);                         /* UINT64_MAX: nothing */
/* All that has no outcome: cancelled now, or when it stopped. */
void gr_bjob_cancel(struct gr_bjob *j, enum gr_bcause why);
/* What is to be kept as the floor, so that the next life, which begins GR_BATCH_STRIDE above it, gives no number twice. */
uint32_t gr_bjob_stored_floor(const struct gr_bjob *j);
/* As many numbers more, which what is kept as the floor has room for; the caller sees to that first. */
void gr_bjob_more_numbers(struct gr_bjob *j);
/* Before gr_bjob_retry: numbers above all that were given, because records go. */
void gr_bjob_raise(struct gr_bjob *j);
/* FAILED, SKIPPED, CANCELLED of the range are open again. Return: how many. */
uint32_t gr_bjob_retry(struct gr_bjob *j, uint32_t first, uint32_t count);
/* A retry began it anew, and it was not begun since: its record has gone, and with it how many attempts there were. The caller, who keeps
 * them, tells the last one's ordinal, 0 none, before gr_bjob_begin. */
bool gr_bjob_is_anew(const struct gr_bjob *j, uint32_t task);
void gr_bjob_count_on(struct gr_bjob *j, uint32_t task, uint32_t ordinal);
bool gr_bjob_is_over(const struct gr_bjob *j);
