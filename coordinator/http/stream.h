/**
 * stream - connections that get events for as long as they stay (text/event-stream)
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <microhttpd.h>
#include "coordinator/http/events.h"

struct gr_streams;
/* @turn: called after connections were woken, so that the daemon runs. */
struct gr_streams *gr_streams_new(struct gr_events *events, void (*turn)(void *ctx), void *ctx);
/* Wakes every stream for its end; MHD frees them when the daemon stops. */
void gr_streams_end(struct gr_streams *s);
void gr_streams_free(struct gr_streams **s);
/* A response that goes on; NULL when there are too many. */
struct MHD_Response *gr_stream_open(struct gr_streams *s, struct MHD_Connection *conn, uint64_t last_event_id);
/* New events: those that wait get them. */
void gr_streams_wake(struct gr_streams *s);
/* Every 10 s or so: a comment, so that nothing between gives the connection up, and dead ones are noticed. */
void gr_streams_ping(struct gr_streams *s);
