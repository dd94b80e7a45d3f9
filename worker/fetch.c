/*
 * fetch.c - asking for blobs that are missing, and taking them in
 *
 * A blob is asked for once, however many tasks wait for it, in NEED messages of up to 256, with so many under way that
 * a link is busy and a coordinator is not flooded. A piece that does not fit, a digest that is not right and a silence
 * make it be asked for again, a few times; then its tasks are handed back.
 */
#include "worker/fetch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "worker/worker.h"

#define NEED_MAX 256u
#define WINDOW_BLOBS 1024u
#define WINDOW_BYTES (64ull << 20)
#define SILENCE_NS (60 * GR_NS_PER_S)
#define MAX_ASKS 4u

struct want {
	struct gr_digest digest;
	struct gr_list link;            /* queued or asked */
	uint64_t session, size, asked_ns, at;
	uint32_t n_asks;
	bool is_asked;
	struct gr_cas_put *put;         /* between the first piece and the last */
	struct gr_waiter **tasks;
	uint32_t n_tasks, cap_tasks;
};
struct gr_fetch {
	struct gr_worker *w;
	struct gr_map wants;
	struct gr_list queued, asked;
	uint32_t n_asked;
	uint64_t asked_bytes;
	struct gr_buf raw;              /* an unpacked piece */
};

struct gr_fetch *gr_fetch_new(struct gr_worker *w)
{
	struct gr_fetch *f;

	GR_NEW(f);
	f->w = w;
	gr_list_init(&f->queued);
	gr_list_init(&f->asked);
	return f;
}

static uint64_t known(const struct want *wt)
{
	return wt->size == GR_FETCH_ANY_SIZE ? 0 : wt->size;
}

static void unask(struct gr_fetch *f, struct want *wt)
{
	gr_cas_put_abort(&wt->put);
	if (wt->is_asked) {
		f->n_asked--;
		f->asked_bytes -= known(wt);
	}
	wt->is_asked = false;
	gr_list_del(&wt->link);
}

static void drop(struct gr_fetch *f, struct want *wt)
{
	unask(f, wt);
	gr_map_del(&f->wants, wt->digest.b, sizeof(wt->digest.b));
	free(wt->tasks);
	free(wt);
}

void gr_fetch_free(struct gr_fetch **fp)
{
	struct gr_fetch *f = *fp;

	if (!f)
		return;
	GR_LIST_EACH_SAFE(a, &f->queued, struct want, link)
		drop(f, a);
	GR_LIST_EACH_SAFE(b, &f->asked, struct want, link)
		drop(f, b);
	gr_map_fini(&f->wants);
	gr_buf_fini(&f->raw);
	free(f);
	*fp = NULL;
}

void gr_fetch_want(struct gr_fetch *f, struct gr_waiter *t, const struct gr_digest *d, uint64_t size)
{
	struct want *wt = gr_map_get(&f->wants, d->b, sizeof(d->b));

	if (!wt) {
		GR_NEW(wt);
		wt->digest = *d;
		wt->size = size;
		wt->session = t->session;
		gr_list_init(&wt->link);
		gr_list_push(&f->queued, &wt->link);
		gr_map_put(&f->wants, wt->digest.b, sizeof(wt->digest.b), wt);
	}
	for (uint32_t i = wt->n_tasks; i-- > 0 && i + 4 > wt->n_tasks;)
		if (wt->tasks[i] == t)
			return;   /* the same content at two paths */
	GR_GROW(wt->tasks, wt->cap_tasks, wt->n_tasks + 1);
	wt->tasks[wt->n_tasks++] = t;
	t->n_missing++;
}

static void forget_in(struct want *wt, struct gr_waiter *t)
{
	for (uint32_t i = 0; i < wt->n_tasks;)
		if (wt->tasks[i] == t)
			wt->tasks[i] = wt->tasks[--wt->n_tasks];
		else
			i++;
}

/* What nobody waits for any more still comes when it was asked for: it may be of use, and dropping it loses pieces. */
void gr_fetch_forget(struct gr_fetch *f, struct gr_waiter *t)
{
	if (!t->n_missing)
		return;
	GR_LIST_EACH_SAFE(a, &f->queued, struct want, link) {
		forget_in(a, t);
		if (!a->n_tasks)
			drop(f, a);
	}
	GR_LIST_EACH(b, &f->asked, struct want, link)
		forget_in(b, t);
	t->n_missing = 0;
}

static void finish(struct gr_fetch *f, struct want *wt)
{
	struct gr_waiter **tasks = wt->tasks;
	uint32_t n = wt->n_tasks;

	wt->tasks = NULL;
	drop(f, wt);
	for (uint32_t i = 0; i < n; i++) {
		tasks[i]->n_missing--;
		tasks[i]->on_here(tasks[i]);
	}
	free(tasks);
}

static void fail(struct gr_fetch *f, struct want *wt, int outcome, const char *why)
{
	char hex[GR_DIGEST_HEX], text[160];
	struct gr_digest d = wt->digest;

	gr_digest_hex(&d, hex);
	snprintf(text, sizeof(text), "input %.12s: %s", hex, why);
	/* giving a task up takes it off every want, so begin anew each time */
	while ((wt = gr_map_get(&f->wants, d.b, sizeof(d.b))) && wt->n_tasks)
		wt->tasks[0]->on_failed(wt->tasks[0], outcome, text);
	if (wt)
		drop(f, wt);
}

/* The client of one session has it no more; another session or job that waits for the same is asked for next. */
static void fail_session(struct gr_fetch *f, struct want *wt)
{
	struct gr_digest d = wt->digest;
	uint64_t session = wt->session;

	for (uint32_t i = 0; (wt = gr_map_get(&f->wants, d.b, sizeof(d.b))) && i < wt->n_tasks;) {
		if (wt->tasks[i]->session == session)
			wt->tasks[i]->on_failed(wt->tasks[i], GR_OUTCOME_REFUSED, "an input changed or went away");
		else
			i++;
	}
	if (!wt)
		return;
	if (!wt->n_tasks) {
		drop(f, wt);
		return;
	}
	wt->session = wt->tasks[0]->session;
	unask(f, wt);
	wt->n_asks = 0;
	gr_list_push(&f->queued, &wt->link);
}

static void ask_again(struct gr_fetch *f, struct want *wt, const char *why)
{
	if (wt->n_asks >= MAX_ASKS) {
		fail(f, wt, GR_OUTCOME_RETRY, why);
		return;
	}
	unask(f, wt);
	gr_list_push(&f->queued, &wt->link);
}

static int take_piece(struct gr_fetch *f, struct want *wt, const struct gr_blob_msg *m)
{
	struct gr_cas *cas = f->w->cas;
	int rc;

	if (m->offset == 0) {
		gr_cas_put_abort(&wt->put);
		wt->at = 0;
	}
	if (wt->size == GR_FETCH_ANY_SIZE && m->offset == 0) {
		wt->size = m->total;
		f->asked_bytes += m->total;
	}
	if (m->total != wt->size || m->offset != wt->at || m->raw_n > m->total - wt->at)
		return GR_EPROTO;
	gr_buf_clear(&f->raw);
	rc = gr_unpack(m->data, m->enc, m->raw_n, GR_WIRE_CHUNK_BYTES, &f->raw);
	if (rc < 0)
		return rc;
	wt->asked_ns = gr_loop_now_ns(f->w->loop);
	if (m->offset == 0 && m->raw_n == m->total) {
		rc = gr_cas_put(cas, &wt->digest, f->raw.p, f->raw.n);
		return rc < 0 ? rc : 1;
	}
	if (m->offset == 0) {
		rc = gr_cas_put_begin(cas, &wt->digest, m->total, &wt->put);
		if (rc < 0)
			return rc;
	}
	if (!wt->put)
		return GR_EPROTO;
	rc = gr_cas_put_add(wt->put, gr_buf_slice(&f->raw));
	if (rc < 0)
		return rc;
	wt->at += m->raw_n;
	if (wt->at < m->total)
		return 0;
	rc = gr_cas_put_commit(&wt->put);
	return rc < 0 ? rc : 1;
}

void gr_fetch_blob(struct gr_fetch *f, const struct gr_blob_msg *m)
{
	struct want *wt = gr_map_get(&f->wants, m->digest.b, sizeof(m->digest.b));
	char hex[GR_DIGEST_HEX];
	int rc;

	if (!wt || !wt->is_asked)
		return;   /* not ours to want, or asked for anew and then come twice */
	rc = take_piece(f, wt, m);
	if (rc == 1) {
		finish(f, wt);
	} else if (rc == GR_ENOSPACE) {
		fail(f, wt, GR_OUTCOME_RETRY, "disk full");
	} else if (rc < 0) {
		gr_digest_hex(&m->digest, hex);
		gr_warn("fetch", "blob %.12s: %s; asking again", hex, gr_err_text(rc));
		ask_again(f, wt, gr_err_text(rc));
	}
}

void gr_fetch_missing(struct gr_fetch *f, const struct gr_digests_msg *m)
{
	for (uint32_t i = 0; i < m->n; i++) {
		struct gr_digest d = gr_digests_at(m, i);
		struct want *wt = gr_map_get(&f->wants, d.b, sizeof(d.b));

		if (wt && wt->session == m->session)
			fail_session(f, wt);
	}
}

void gr_fetch_pump(struct gr_fetch *f)
{
	struct gr_digest list[NEED_MAX];
	struct gr_buf frame = { 0 };

	while (gr_link_is_up(f->w->link) && !gr_list_is_empty(&f->queued) && f->n_asked < WINDOW_BLOBS &&
	       f->asked_bytes < WINDOW_BYTES) {
		uint64_t session = GR_CONTAINER(f->queued.next, struct want, link)->session;
		uint32_t n = 0;

		GR_LIST_EACH_SAFE(wt, &f->queued, struct want, link) {
			if (wt->session != session || n == NEED_MAX || f->n_asked >= WINDOW_BLOBS || f->asked_bytes >= WINDOW_BYTES)
				break;
			list[n++] = wt->digest;
			wt->is_asked = true;
			wt->n_asks++;
			wt->at = 0;
			wt->asked_ns = gr_loop_now_ns(f->w->loop);
			f->n_asked++;
			f->asked_bytes += known(wt);
			gr_list_del(&wt->link);
			gr_list_push(&f->asked, &wt->link);
		}
		gr_buf_clear(&frame);
		gr_digests_encode(&frame, GR_MSG_NEED, session, list, n);
		if (gr_link_send(f->w->link, &frame) < 0) {
			/* the queue is full or the link went: they are taken as unasked, and the next tick tries again */
			for (uint32_t i = n; i-- > 0;) {
				struct want *wt = gr_map_get(&f->wants, list[i].b, sizeof(list[i].b));

				wt->n_asks--;
				unask(f, wt);
				gr_list_push_front(&f->queued, &wt->link);
			}
			break;
		}
	}
	gr_buf_fini(&frame);
}

void gr_fetch_ask_again(struct gr_fetch *f)
{
	GR_LIST_EACH_SAFE(wt, &f->asked, struct want, link) {
		unask(f, wt);
		wt->n_asks = 0;
		gr_list_push(&f->queued, &wt->link);
	}
	gr_fetch_pump(f);
}

void gr_fetch_tick(struct gr_fetch *f)
{
	uint64_t now_ns = gr_loop_now_ns(f->w->loop);

	/* failing one may end others: look from the front until the front is young */
	while (gr_link_is_up(f->w->link) && !gr_list_is_empty(&f->asked)) {
		struct want *wt = GR_CONTAINER(f->asked.next, struct want, link);

		if (now_ns - wt->asked_ns < SILENCE_NS)
			break;
		ask_again(f, wt, "no answer for it");
	}
	gr_fetch_pump(f);
}
