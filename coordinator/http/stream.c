/* stream.c - see stream.h. A connection that has nothing to get is suspended, which takes it out of the daemon's timeouts
 * and out of its epoll; news resume it. */
#include "coordinator/http/stream.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/list.h"

#define MAX_STREAMS 64u
#define MAX_READ (64u << 10)

struct gr_streams {
	struct gr_events *events;
	struct gr_list list;
	uint32_t n;
	bool is_ending;
	void (*turn)(void *ctx);
	void *ctx;
};
struct stream {
	struct gr_list link;
	struct gr_streams *all;
	struct MHD_Connection *conn;
	uint64_t after;
	struct gr_buf text;
	size_t at;
	bool is_asleep, wants_ping, is_begun;
};

struct gr_streams *gr_streams_new(struct gr_events *events, void (*turn)(void *ctx), void *ctx)
{
	struct gr_streams *s;

	GR_NEW(s);
	s->events = events;
	s->turn = turn;
	s->ctx = ctx;
	gr_list_init(&s->list);
	return s;
}

void gr_streams_free(struct gr_streams **s)
{
	free(*s);
	*s = NULL;
}

static void fill(struct stream *st)
{
	gr_buf_clear(&st->text);
	st->at = 0;
	if (!st->is_begun) {
		gr_buf_add_str(&st->text, "retry: 2000\n\n");
		st->is_begun = true;
	}
	gr_events_read(st->all->events, &st->after, MAX_READ, &st->text);
	if (!st->text.n && st->wants_ping)
		gr_buf_add_str(&st->text, ": still here\n\n");
	st->wants_ping = false;
}

static ssize_t on_read(void *ctx, uint64_t pos, char *out, size_t max)
{
	struct stream *st = ctx;
	size_t n;

	(void)pos;
	if (st->all->is_ending)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (st->at == st->text.n)
		fill(st);
	n = st->text.n - st->at;
	if (!n) {
		st->is_asleep = true;
		MHD_suspend_connection(st->conn);
		return 0;
	}
	if (n > max)
		n = max;
	memcpy(out, st->text.p + st->at, n);
	st->at += n;
	return (ssize_t)n;
}

static void on_free(void *ctx)
{
	struct stream *st = ctx;

	gr_list_del(&st->link);
	st->all->n--;
	gr_buf_fini(&st->text);
	free(st);
}

struct MHD_Response *gr_stream_open(struct gr_streams *s, struct MHD_Connection *conn, uint64_t last_event_id)
{
	struct MHD_Response *resp;
	struct stream *st;

	if (s->n >= MAX_STREAMS)
		return NULL;
	GR_NEW(st);
	st->all = s;
	st->conn = conn;
	st->after = last_event_id;
	gr_list_init(&st->link);
	resp = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, on_read, st, on_free);
	if (!resp) {
		free(st);
		return NULL;
	}
	gr_list_push(&s->list, &st->link);
	s->n++;
	return resp;
}

void gr_streams_wake(struct gr_streams *s)
{
	bool is_any = false;

	GR_LIST_EACH(st, &s->list, struct stream, link) {
		if (!st->is_asleep)
			continue;
		st->is_asleep = false;
		is_any = true;
		MHD_resume_connection(st->conn);
	}
	if (is_any)
		s->turn(s->ctx);
}

void gr_streams_ping(struct gr_streams *s)
{
	GR_LIST_EACH(st, &s->list, struct stream, link)
		st->wants_ping = true;
	gr_streams_wake(s);
}

void gr_streams_end(struct gr_streams *s)
{
	s->is_ending = true;
	gr_streams_wake(s);
}
