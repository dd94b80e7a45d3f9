/**
 * shard - a share of a load test, driven by threads of its own beside the program's loop
 *
 * Every thread has an epoll of its own and shares nothing with the others but the plan, which is read only. What it
 * counted comes out as LOAD_STATS frames, one a thread and interval.
 *
 * With more connections than a process may have descriptors the threads are in several processes (procs.h).
 *
 *   PREPARING --(names resolved, sockets may be opened, warm connections are open)--> READY --start--> RUNNING --(plan over, or stop)--> ENDED
 *   PREPARING --> FAILED
 */
#pragma once
#include <jansson.h>
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/load/plan.h"

enum gr_shard_state { GR_SHARD_PREPARING, GR_SHARD_READY, GR_SHARD_RUNNING, GR_SHARD_ENDED, GR_SHARD_FAILED };
struct gr_shard;
struct gr_shard_spec {
	uint64_t run;
	uint16_t shard;                        /* number of this one, for the frames */
	uint32_t index, of;                    /* arrivals whose number is index modulo of */
	const struct gr_load_plan *plan;       /* borrowed until gr_shard_free */
	const json_t *plan_json;               /* of the same plan, borrowed for gr_shard_new; NULL: this process alone */
	uint32_t n_procs;                      /* at least so many processes; 0: as few as the limit of descriptors allows */
	uint32_t part, n_parts;                /* of a process among several: number of its first thread; n_parts 0: it is alone */
	void (*notify)(void *ctx);             /* from any thread: the state changed, or a report is there */
	void *ctx;
};
/* Starts the threads. GR_EIO when they cannot be made. */
int gr_shard_new(const struct gr_shard_spec *spec, struct gr_shard **out, struct gr_err *err) GR_MUST_CHECK;
enum gr_shard_state gr_shard_state(struct gr_shard *s);
const char *gr_shard_error(struct gr_shard *s);                         /* FAILED: why; ENDED: why before its time, "" it was not */
void gr_shard_start(struct gr_shard *s, uint64_t start_ns);             /* of CLOCK_MONOTONIC here; READY only */
void gr_shard_share(struct gr_shard *s, uint64_t from, uint32_t index, uint32_t of);
/* No request leaves after it; what is under way is given up as cancelled. Then the last reports, then ENDED. */
void gr_shard_stop(struct gr_shard *s);
bool gr_shard_take_report(struct gr_shard *s, struct gr_buf *frame);    /* false: none is there */
void gr_shard_free(struct gr_shard **s);                                /* stops and joins */
