/*
 * send_blob.c - outputs on their way to the coordinator, as it asks for them
 *
 * One file after another, in pieces, as far as the link's queue takes them; the rest goes when there is room again.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "worker/command.h"

#define TURN_BYTES (8u << 20)
#define MAX_QUEUED 262144u
#define AGAIN_MS 3

struct send {
	struct gr_list link;
	uint64_t session;
	struct gr_digest digest;
};
struct gr_sends {
	struct gr_worker *w;
	struct gr_list queue;
	uint32_t n;
	int fd;                        /* of the first, -1 */
	uint64_t size, offset;
	struct gr_buf chunk, packed;
	struct gr_timer *again;
};

struct gr_sends *gr_sends_new(struct gr_worker *w)
{
	struct gr_sends *s;

	GR_NEW(s);
	s->w = w;
	s->fd = -1;
	gr_list_init(&s->queue);
	return s;
}

static void pop(struct gr_sends *s)
{
	struct send *x = GR_CONTAINER(gr_list_pop(&s->queue), struct send, link);

	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->n--;
	gr_cas_unpin(s->w->cas, &x->digest);
	free(x);
}

void gr_sends_forget(struct gr_sends *s)
{
	while (!gr_list_is_empty(&s->queue))
		pop(s);
}

void gr_sends_free(struct gr_sends **sp)
{
	struct gr_sends *s = *sp;

	if (!s)
		return;
	gr_sends_forget(s);
	gr_timer_stop(&s->again);
	gr_buf_fini(&s->chunk);
	gr_buf_fini(&s->packed);
	free(s);
	*sp = NULL;
}

void gr_sends_add(struct gr_sends *s, uint64_t session, const struct gr_digest *d)
{
	struct send *x;

	if (s->n >= MAX_QUEUED)
		return;                /* it asks again */
	GR_NEW(x);
	x->session = session;
	x->digest = *d;
	gr_list_init(&x->link);
	gr_list_push(&s->queue, &x->link);
	gr_cas_pin(s->w->cas, d);
	s->n++;
}

static int say_missing(struct gr_sends *s, const struct send *x)
{
	struct gr_buf b = { 0 };
	int rc;

	gr_digests_encode(&b, GR_MSG_MISSING, x->session, &x->digest, 1);
	rc = gr_link_send(s->w->link, &b);
	gr_buf_fini(&b);
	return rc;
}

/* Return: bytes of the piece that went (and 1 for an empty file); < 0: the link takes no more, or is down. */
static int64_t send_piece(struct gr_sends *s)
{
	struct send *x = GR_CONTAINER(s->queue.next, struct send, link);
	struct gr_blob_msg m = { .session = x->session, .digest = x->digest };
	struct gr_buf b = { 0 };
	ssize_t n = -1;
	int rc;

	if (s->fd < 0) {
		s->fd = gr_cas_open_blob(s->w->cas, &x->digest, &s->size);
		s->offset = 0;
	}
	if (s->fd >= 0) {
		gr_buf_clear(&s->chunk);
		gr_buf_reserve(&s->chunk, GR_WIRE_CHUNK_BYTES + 1);
		n = pread(s->fd, s->chunk.p, GR_WIRE_CHUNK_BYTES, (off_t)s->offset);
	}
	if (n < 0 || (n == 0 && s->offset < s->size)) {
		rc = say_missing(s, x);
		if (rc >= 0)
			pop(s);
		return rc < 0 ? rc : 1;
	}
	m.total = s->size;
	m.offset = s->offset;
	m.raw_n = (uint32_t)n;
	m.enc = GR_ENC_RAW;
	m.data = gr_slice(s->chunk.p, (size_t)n);
	if (s->w->is_compressing && n) {
		gr_buf_clear(&s->packed);
		m.enc = (uint8_t)gr_pack(m.data, &s->packed);
		m.data = gr_buf_slice(&s->packed);
	}
	gr_blob_encode(&b, &m);
	rc = gr_link_send(s->w->link, &b);
	gr_buf_fini(&b);
	if (rc < 0)
		return rc;
	s->offset += (uint64_t)n;
	if (s->offset >= s->size)
		pop(s);
	return n ? n : 1;
}

static void on_again(void *ctx)
{
	struct gr_sends *s = ctx;

	gr_timer_stop(&s->again);
	gr_sends_pump(s);
}

void gr_sends_pump(struct gr_sends *s)
{
	int64_t n = 0, rc = 0;

	while (gr_link_is_up(s->w->link) && !gr_list_is_empty(&s->queue) && n < (int64_t)TURN_BYTES && (rc = send_piece(s)) >= 0)
		n += rc;
	if (!gr_list_is_empty(&s->queue) && gr_link_is_up(s->w->link) && !s->again)
		s->again = gr_timer_start(s->w->loop, AGAIN_MS, 0, on_again, s);
}
