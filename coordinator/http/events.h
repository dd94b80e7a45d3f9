/**
 * events - what happened lately, numbered, for /api/v1/events
 *
 * A ring of the last GR_EVENTS_KEPT. Numbers rise for ever, over restarts too, since they begin at the wall clock; so a
 * reader that comes back with a number gets what it missed, or is told that it missed too much. Thread: the loop's.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"

#define GR_EVENTS_KEPT 2048u

struct gr_events;
struct gr_events *gr_events_new(uint64_t now_real_ms);
void gr_events_free(struct gr_events **e);
/* @on_news: called for each event, to wake those who wait; may be NULL. */
void gr_events_watch(struct gr_events *e, void (*on_news)(void *ctx), void *ctx);
/* @type: constant, letters and dots. Takes @data. @e may be NULL: nobody listens. */
void gr_events_emit(struct gr_events *e, const char *type, json_t *data);
/**
 * gr_events_read - append what comes behind event @after as text/event-stream, at most about @max bytes
 * @after: moved on. 0, or a number of a time that is no longer kept, gives "event: reset" first: the reader looks at
 * everything anew, and gets what comes from now on.
 * Return: events written.
 */
uint32_t gr_events_read(const struct gr_events *e, uint64_t *after, size_t max, struct gr_buf *out);
