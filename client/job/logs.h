/**
 * logs - what tasks printed: one task's as it comes, or many tasks' one after the other, several of them on their way at a time
 *
 * Each byte comes once over restarts of the coordinator and lost connections.
 */
#pragma once
#include "client/job/talk.h"
#include "lib/base/buf.h"

/* One task's kept output to @out and @errout (-1: not), at once or (@is_live) until the task is over. *rep: the reply, may be NULL.
 * b->lost is set, also with an answer, when they did not take it; GR_EGONE then when there is none yet. */
int gr_logs_copy(struct gr_talk *b, uint64_t job, uint64_t task, uint64_t ordinal, bool is_live, int out, int errout, json_t **rep,
		 struct gr_err *err) GR_MUST_CHECK;

/* A line of tasks whose output is asked for; it takes b->on_out until it is freed. */
struct gr_logs;
struct gr_task_log {
	uint64_t task;
	int rc;                             /* GR_ENOENT, GR_ESTATE: it has no output; there is no end then */
	json_t *end;                        /* state, exit_code, signal, cause; as each is known */
	json_t *show;                       /* task.show; NULL: not wanted, or refused for @why */
	struct gr_err why;
};
/* A piece of what @t's task printed to @stream (GR_STREAM_OUT, GR_STREAM_ERR), in order; of @t there is task and show, the rest is to come. */
typedef void gr_logs_take(void *ctx, const struct gr_task_log *t, int stream, struct gr_slice data);

/* @wants_show: task.show is asked for beside the output. @take is called from gr_logs_pop, for that task alone. */
struct gr_logs *gr_logs_new(struct gr_talk *b, uint64_t job, bool wants_show, gr_logs_take *take, void *ctx);
void gr_logs_free(struct gr_logs **l);
/* Whether one more would be too many: at most 16, and fewer while what they print is large. Of all but the first 16 MiB are held. */
bool gr_logs_is_full(const struct gr_logs *l);
bool gr_logs_is_empty(const struct gr_logs *l);
/* Not when full. */
void gr_logs_push(struct gr_logs *l, uint64_t task);
/**
 * gr_logs_pop - pass on the output of the task that was pushed first, until all of it is there. Not when empty.
 * @out: to be freed with gr_task_log_fini in every case
 * Errors: as gr_rpc_call's, without those of @out's rc.
 */
int gr_logs_pop(struct gr_logs *l, struct gr_task_log *out, struct gr_err *err) GR_MUST_CHECK;
void gr_task_log_fini(struct gr_task_log *t);
