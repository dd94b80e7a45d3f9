/* events.c - see events.h. The text of an event is made once, however many read it. */
#include "coordinator/http/events.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lib/base/alloc.h"

struct gr_events {
	uint64_t next;                      /* number of the next event */
	uint64_t first;                     /* of the first that was ever here */
	struct gr_buf ring[GR_EVENTS_KEPT];
	void (*on_news)(void *ctx);
	void *ctx;
};

struct gr_events *gr_events_new(uint64_t now_real_ms)
{
	struct gr_events *e;

	GR_NEW(e);
	e->next = e->first = now_real_ms * 1000 + 1;   /* below 2^53 for some centuries: JSON readers keep it exact */
	return e;
}

void gr_events_free(struct gr_events **e)
{
	if (!*e)
		return;
	for (uint32_t i = 0; i < GR_EVENTS_KEPT; i++)
		gr_buf_fini(&(*e)->ring[i]);
	free(*e);
	*e = NULL;
}

void gr_events_watch(struct gr_events *e, void (*on_news)(void *ctx), void *ctx)
{
	e->on_news = on_news;
	e->ctx = ctx;
}

void gr_events_emit(struct gr_events *e, const char *type, json_t *data)
{
	struct gr_buf *b;
	char *text;

	if (!e) {
		json_decref(data);
		return;
	}
	text = json_dumps(data, JSON_COMPACT);
	b = &e->ring[e->next % GR_EVENTS_KEPT];
	gr_buf_clear(b);
	gr_buf_printf(b, "id: %" PRIu64 "\nevent: %s\ndata: %s\n\n", e->next, type, text ? text : "{}");
	e->next++;
	free(text);
	json_decref(data);
	if (e->on_news)
		e->on_news(e->ctx);
}

uint32_t gr_events_read(const struct gr_events *e, uint64_t *after, size_t max, struct gr_buf *out)
{
	uint64_t oldest = e->next - e->first > GR_EVENTS_KEPT ? e->next - GR_EVENTS_KEPT : e->first;
	uint32_t n = 0;

	if (*after + 1 < oldest || *after >= e->next) {
		*after = e->next - 1;
		gr_buf_printf(out, "id: %" PRIu64 "\nevent: reset\ndata: {}\n\n", *after);
		return 1;
	}
	while (*after + 1 < e->next && (!n || out->n < max)) {
		const struct gr_buf *b = &e->ring[++*after % GR_EVENTS_KEPT];

		gr_buf_add(out, b->p, b->n);
		n++;
	}
	return n;
}
