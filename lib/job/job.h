/**
 * job - the life of a task and of its attempts
 *
 * A job owns tasks; each task is on exactly one of the job's lists, the one its state names, and gr_task_move is the
 * only code that changes either. An attempt is one placement of one task, numbered. The promise: a task reaches exactly
 * one outcome; it may run more than once; at most one result is accepted, fenced by (task, attempt, worker).
 * Nothing is allocated: the caller embeds struct gr_task. Pure; thread: any, one at a time.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/err.h"
#include "lib/base/list.h"

#define GR_JOB_MAX_TRIES 3u      /* attempts that count: the worker failed or was lost */
#define GR_JOB_MAX_ATTEMPTS 8u   /* all, with those that were handed back unharmed (drain, full queue) */

/* X(NAME, what it means) - each state is a list of the job, in order of age */
#define GR_TASK_STATE_MAP(X) \
	X(NEW, "accepted, cannot go anywhere yet") \
	X(QUEUED, "waiting for placement") \
	X(RUNNING, "at least one attempt is with a worker") \
	X(ENDED, "has its outcome, the owner has not confirmed it yet") \
	X(GONE, "on no list; may be freed")
enum gr_task_state {
#define X(name, text) GR_TASK_##name,
	GR_TASK_STATE_MAP(X)
#undef X
	GR_TASK_N_STATES
};
const char *gr_task_state_name(enum gr_task_state s);   /* "queued" */

/* Why an attempt ended. X(NAME, name, does it count as a try, may another worker do it) */
#define GR_CAUSE_MAP(X) \
	X(DONE, "done", 1, 0) X(REFUSED, "refused", 1, 0) X(TIMEOUT, "timeout", 1, 0) X(RETRY, "retry", 1, 1) \
	X(OOM, "oom", 1, 1) X(LOST, "lost", 1, 1) X(CANCELLED, "cancelled", 0, 1) X(UNSENT, "unsent", 0, 1) \
	X(DRAINED, "drained", 0, 1)
enum gr_cause {
	GR_CAUSE_NONE,
#define X(name, text, counts, elsewhere) GR_CAUSE_##name,
	GR_CAUSE_MAP(X)
#undef X
	GR_CAUSE_N
};
const char *gr_cause_name(enum gr_cause c);              /* "lost" */

enum gr_attempt_state { GR_ATTEMPT_LIVE = 1, GR_ATTEMPT_LOST, GR_ATTEMPT_OVER };
struct gr_attempt {
	uint32_t number;              /* what travels */
	enum gr_attempt_state state;
	enum gr_cause cause;          /* when not LIVE */
	uint64_t worker;              /* who: a hash of the worker's name and key, the same after it reconnects */
	void *peer;                   /* the caller's; NULL when not LIVE */
	uint64_t placed;              /* the caller's placement handle; valid while LIVE */
	uint64_t start_ns, end_ns;
};

struct gr_job {
	uint64_t id;
	struct gr_list lists[GR_TASK_N_STATES];
	uint32_t n[GR_TASK_N_STATES];
};
struct gr_task {
	struct gr_list link;          /* on job->lists[state] */
	struct gr_job *job;
	uint64_t id;
	enum gr_task_state state;
	uint32_t first_attempt;       /* number of the first attempt, >= 1 */
	uint32_t n_attempts, n_tries;
	struct gr_attempt attempts[GR_JOB_MAX_ATTEMPTS];
};

void gr_job_init(struct gr_job *j, uint64_t id);
/* Asserts that every list is empty. */
void gr_job_fini(struct gr_job *j);
uint32_t gr_job_count(const struct gr_job *j);           /* tasks on all lists */

/* NEW, at the end of the job's list. */
void gr_task_init(struct gr_task *t, struct gr_job *j, uint64_t id, uint32_t first_attempt);
/* The one mover. Asserts that the table allows it; to GONE takes it off every list. */
void gr_task_move(struct gr_task *t, enum gr_task_state to);
bool gr_task_may_move(enum gr_task_state from, enum gr_task_state to);

/* A QUEUED task goes to a worker, or a RUNNING one to another besides (a copy): a new LIVE attempt, state RUNNING. Borrowed until the task is freed. */
struct gr_attempt *gr_task_begin(struct gr_task *t, uint64_t worker, void *peer, uint64_t placed, uint64_t now_ns);
struct gr_attempt *gr_task_attempt(struct gr_task *t, uint32_t number);   /* NULL when there is none */
bool gr_task_may_try(const struct gr_task *t);           /* another attempt is allowed */
uint32_t gr_task_live(const struct gr_task *t);          /* LIVE attempts */

enum gr_verdict {
	GR_VERDICT_FENCED,        /* not, or no longer, wanted: confirm to the worker and drop it */
	GR_VERDICT_ACCEPT,        /* the outcome: the task is ENDED; LIVE attempts that are left are to be cancelled */
	GR_VERDICT_AGAIN,         /* the task is QUEUED again */
	GR_VERDICT_WAIT,          /* another attempt is still running */
	GR_VERDICT_EXHAUSTED,     /* tried often enough: the task is ENDED with this cause */
};
/**
 * gr_task_end - an attempt ended, or its worker says so
 * @worker: who says it; another than the attempt's is fenced
 * A LOST attempt may still bring DONE while the task has no outcome: the first valid result wins.
 */
enum gr_verdict gr_task_end(struct gr_task *t, uint32_t number, uint64_t worker, enum gr_cause cause, uint64_t now_ns);
