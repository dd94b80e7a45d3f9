/**
 * fetch - what tasks made, into folders here; up to 16 tasks and 16 files of them on their way at a time
 *
 * Tasks' files appear in the order the tasks were pushed, so that of two with one path the later one's stays. Nothing is written
 * outside the folder, also not through a symbolic link that a task left in it.
 */
#pragma once
#include "client/job/talk.h"

struct gr_fetch;
struct gr_fetched {
	uint64_t task;
	int rc;                             /* an error: @why, and not all of its files are here */
	unsigned n_files;
	struct gr_err why;
};

struct gr_fetch *gr_fetch_new(struct gr_talk *b, uint64_t job);
void gr_fetch_free(struct gr_fetch **f);        /* what is on its way leaves nothing behind */
bool gr_fetch_is_full(const struct gr_fetch *f);
bool gr_fetch_is_empty(const struct gr_fetch *f);
/* Outputs of @task below @dir. @show: its task.show; NULL: is asked for. Not when full. */
void gr_fetch_push(struct gr_fetch *f, uint64_t task, const json_t *show, const char *dir);
/* Waits for the task that was pushed first. Not when empty. GR_EGONE when a signal came; what else went wrong is in @out. */
int gr_fetch_pop(struct gr_fetch *f, struct gr_fetched *out, struct gr_err *err) GR_MUST_CHECK;
