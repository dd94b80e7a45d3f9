/**
 * runner_ahead - between runner.c and runner_ahead.c: commands that wait in a runner, and its events that wait for company
 */
#pragma once
#include "lib/base/buf.h"
#include "worker/sandbox/runner.h"

struct sb_ahead {
	struct sb_packet { char *p; size_t n; } packets[GR_RUNNER_MAX_AHEAD];   /* the oldest first */
	uint32_t n;
};
/* A copy of @p. False: it is full. */
bool gr_sb_ahead_push(struct sb_ahead *a, const char *p, size_t n) GR_MUST_CHECK;
/* The caller frees p; NULL when there is none. */
struct sb_packet gr_sb_ahead_pop(struct sb_ahead *a);

struct sb_post {
	int ctl;                       /* the worker's socket */
	struct gr_buf held;            /* events with their data, in their order */
	uint32_t n;
	uint64_t since_ns;             /* the oldest */
};
/* Kept until gr_sb_post_flush, or until there is no more room for it. @now_ns: monotonic. */
void gr_sb_post_add(struct sb_post *p, const struct gr_runner_event *ev, const void *data, uint64_t now_ns);
/* Waits while the worker takes none. */
void gr_sb_post_flush(struct sb_post *p);
