/**
 * tail - connections that get a task's output for as long as it runs (text/plain, chunked)
 */
#pragma once
#include <stdint.h>
#include <microhttpd.h>
#include "lib/base/err.h"

struct gr_coord;
struct gr_tail;
struct gr_tails;
/* @turn: called after a connection was woken, so that the daemon runs; not from within it. */
struct gr_tails *gr_tails_new(struct gr_coord *c, void (*turn)(void *ctx), void *ctx);
/* Cuts all of them short: the coordinator ends. MHD frees them when the daemon stops. */
void gr_tails_end(struct gr_tails *t);
void gr_tails_free(struct gr_tails **t);
/* Every 10 s or so: those whose reader is gone are noticed, which a connection that waits is not by itself. */
void gr_tails_ping(struct gr_tails *t);
/* GR_ENOENT no such task; GR_EBUSY too many follow. @stream: GR_STREAM_*. */
int gr_tail_new(struct gr_tails *t, uint64_t job, uint32_t task, int stream, uint64_t offset, struct gr_tail **out) GR_MUST_CHECK;
void gr_tail_free(struct gr_tail **t);                   /* one that no response was made of; NULL is fine */
/* The response that goes on; it frees @t. NULL: there is no memory, @t is as it was. */
struct MHD_Response *gr_tail_respond(struct gr_tail **t, struct MHD_Connection *conn);
