/**
 * procs - a shard in several processes, for more connections than one process may have descriptors
 *
 * Each process is this program again (/proc/self/exe) with GR_PROCS_ARG alone, and speaks over a socket pair what coordinator and
 * worker speak: LOAD_PREPARE, LOAD_START, LOAD_SHARE, LOAD_STOP and LOAD_CLOCK there, LOAD_STATE and LOAD_STATS back. Process p of n
 * of share INDEX of OF has share INDEX + OF * p of OF * n: the same arrivals and connections together. A thread here watches them. One
 * that hears nothing for the plan's lease, or whose socket ends, stops by itself.
 */
#pragma once
#include <jansson.h>
#include "worker/load/shard.h"

#define GR_PROCS_ARG "--generate-load"
#define GR_PROCS_MAX_PARTS 64u                   /* processes and threads of one shard: what the coordinator counts apart */

struct gr_procs;
enum gr_procs_event { GR_PROCS_READY, GR_PROCS_FAILED, GR_PROCS_REPORT, GR_PROCS_BROKEN, GR_PROCS_ENDED };
/* From the thread. READY and ENDED: all of them, once. FAILED before READY, BROKEN after it: @text says why; the others are stopped, ENDED
 * follows. REPORT: takes @frame. */
typedef void gr_procs_fn(void *ctx, enum gr_procs_event e, const char *text, struct gr_buf *frame);
/* Processes that a share of @plan wants, 1: none beside this one. GR_ELIMIT: more than can be. */
int gr_procs_wanted(const struct gr_load_plan *plan, uint32_t index, uint32_t of, struct gr_err *err) GR_MUST_CHECK;
/* Connections that @n_procs processes of this kind of machine may have, each. */
uint32_t gr_procs_room(void);
int gr_procs_new(const struct gr_shard_spec *spec, uint32_t n, gr_procs_fn *fn, void *ctx, struct gr_procs **out, struct gr_err *err) GR_MUST_CHECK;
void gr_procs_start(struct gr_procs *p, uint64_t start_ns);
void gr_procs_share(struct gr_procs *p, uint64_t from, uint32_t index, uint32_t of);
void gr_procs_stop(struct gr_procs *p);
void gr_procs_free(struct gr_procs **p);         /* kills what still runs */
int gr_procs_child(void);                        /* main of such a process; its exit status */
