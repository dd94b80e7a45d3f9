/**
 * follow - stay with a job until it is over: its progress on stderr, its tasks' output on stdout and stderr
 *
 * Carries on by itself over a restart of the coordinator or a lost connection; nothing is printed twice.
 */
#pragma once
#include "client/job/talk.h"

enum gr_follow_what {
	GR_FOLLOW_STATE,                    /* only progress and the end */
	GR_FOLLOW_ENDED,                    /* each task's output, whole, when it ended */
	GR_FOLLOW_LIVE,                     /* the one task's output as it is written */
};
struct gr_follow_opts {
	enum gr_follow_what what;
	bool keeps_order;                   /* ENDED: in the order of the tasks */
	bool tags;                          /* ENDED: lines begin with the task's values, or its number */
	bool hides_out, hides_err;          /* ENDED: not what went to standard output, to standard error */
	bool is_quiet;                      /* no progress, no summary */
	bool cancels;                       /* a signal cancels the job; else it is left alone */
	const char *fetch_to;               /* ENDED, LIVE: outputs of good tasks are put below this folder; NULL: not */
};
struct gr_follow_end {
	json_t *show;                       /* job.show at the end */
	char state[16];
	int exit_code, signum;              /* LIVE: of the task */
	char cause[24];
	char reason[256];                   /* LIVE: what the worker said of an end that was neither code nor signal; may be "" */
	bool is_detached;                   /* a signal came and the job goes on */
};

/* GR_EGONE when a signal came (is_detached, or the job was cancelled), or nobody reads what is printed; when that cannot be written for
 * another reason, the error says where and why, and the job is cancelled as by a signal. The first error of those that kept outputs from being here, which
 * a line on stderr tells of each, when the job is over. @end is to be freed in every case. */
int gr_follow(struct gr_talk *b, uint64_t job, uint64_t n_tasks, const struct gr_follow_opts *o, struct gr_follow_end *end,
	      struct gr_err *err) GR_MUST_CHECK;
void gr_follow_end_fini(struct gr_follow_end *e);
