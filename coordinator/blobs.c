/* blobs.c - files on their way from clients through the cache to workers.
 *
 * NEED from a worker: what the cache has goes to the worker's outbox; the rest is asked of the session's client with
 * FETCH, once however many workers wait. Pieces go into the cache as they come; a whole blob moves its waiters to their
 * outboxes. An outbox sends one blob after another in pieces, as far as the peer's queue takes them (lib/net counts the
 * bytes that are under way), so memory is bounded by that queue and a piece in hand, not by sizes of files. Passing
 * pieces on before the blob is whole and verified was not kept: a worker could not tell a liar from a damaged line. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/coord.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"

#define TURN_BYTES (4u << 20)          /* sent to one worker in one turn of the loop */
#define MAX_WANTS 65536u               /* of one worker */
#define AGAIN_MS 3

struct want {
	struct gr_list link;           /* fetch->waiters or outbox->ready */
	struct gr_list of_worker;      /* outbox->wants: all of the worker's */
	struct gr_digest digest;
	uint64_t session;
	struct gr_worker *worker;
	bool is_pinned, is_second_try;
};
struct fetch {
	struct gr_digest digest;
	struct gr_session *source;     /* whose client was asked */
	uint64_t size, got;
	struct gr_cas_put *put;
	struct gr_list waiters;
};
struct gr_outbox {
	struct gr_list link;           /* blobs->busy while something is ready */
	struct gr_worker *worker;
	struct gr_list wants, ready;
	uint32_t n_wants;
	int fd;                        /* of the first ready one, -1 */
	uint64_t size, offset, sent;
};
struct gr_blobs {
	struct gr_map fetches;
	struct gr_list busy;
	struct gr_buf scratch;
	struct gr_timer *again;
};

void gr_blobs_init(struct gr_coord *c)
{
	GR_NEW(c->blobs);
	gr_list_init(&c->blobs->busy);
	c->blobs->fetches.seed = gr_rng_u64(gr_loop_rng(c->loop));
}

/* ---- wants ---- */

static struct gr_outbox *outbox_of(struct gr_worker *w)
{
	struct gr_outbox *o = w->outbox;

	if (o)
		return o;
	GR_NEW(o);
	o->worker = w;
	o->fd = -1;
	gr_list_init(&o->link);
	gr_list_init(&o->wants);
	gr_list_init(&o->ready);
	w->outbox = o;
	return o;
}

static void want_free(struct gr_coord *c, struct want *x)
{
	struct gr_outbox *o = x->worker->outbox;

	if (x->is_pinned)
		gr_cas_unpin(c->cas, &x->digest);
	if (o->fd >= 0 && o->ready.next == &x->link) {
		close(o->fd);
		o->fd = -1;
	}
	gr_list_del(&x->link);
	gr_list_del(&x->of_worker);
	o->n_wants--;
	free(x);
}

static void say_missing(struct gr_coord *c, struct gr_worker *w, uint64_t session, const struct gr_digest *d)
{
	struct gr_buf b = { 0 };

	gr_digests_encode(&b, GR_MSG_MISSING, session, d, 1);
	gr_peers_send(c, w->peer, &b);
	c->m.blobs_missing++;
}

static void pump_soon(struct gr_coord *c);

static void make_ready(struct gr_coord *c, struct want *x)
{
	struct gr_outbox *o = outbox_of(x->worker);

	gr_cas_pin(c->cas, &x->digest);
	x->is_pinned = true;
	gr_list_del(&x->link);
	gr_list_push(&o->ready, &x->link);
	gr_list_del(&o->link);
	gr_list_push(&c->blobs->busy, &o->link);
	pump_soon(c);
}

/* ---- fetching from clients ---- */

static void fetch_free(struct gr_coord *c, struct fetch *f)
{
	gr_map_del(&c->blobs->fetches, f->digest.b, sizeof(f->digest.b));
	gr_cas_put_abort(&f->put);
	free(f);
}

static int ask(struct gr_coord *c, struct gr_session *s, const struct gr_digest *d, uint32_t n)
{
	struct gr_buf b = { 0 };
	int rc;

	if (!n)
		return 0;
	gr_digests_encode(&b, GR_MSG_FETCH, s->id, d, n);
	rc = gr_peers_send(c, s->client->peer, &b);
	if (rc < 0)
		gr_warn("blobs", "client %s cannot be asked for %u files: %s", s->client_name, n, gr_err_text(rc));
	return rc;
}

static void fetch_failed(struct gr_coord *c, struct fetch *f)
{
	while (!gr_list_is_empty(&f->waiters)) {
		struct want *x = GR_CONTAINER(f->waiters.next, struct want, link);

		say_missing(c, x->worker, x->session, &x->digest);
		want_free(c, x);
	}
	fetch_free(c, f);
}

static void fetch_done(struct gr_coord *c, struct fetch *f)
{
	c->m.blobs_in++;
	while (!gr_list_is_empty(&f->waiters))
		make_ready(c, GR_CONTAINER(f->waiters.next, struct want, link));
	fetch_free(c, f);
}

/* A worker that asks again, because it heard nothing for long, is waiting already. */
static bool is_awaited(const struct gr_coord *c, const struct gr_worker *w, const struct gr_digest *d)
{
	const struct fetch *f = gr_map_get(&c->blobs->fetches, d->b, sizeof(d->b));

	if (!f)
		return false;
	GR_LIST_EACH(x, &f->waiters, struct want, link)
		if (x->worker == w)
			return true;
	return false;
}

/* Return: true when the client must still be asked for it. */
static bool want_from_client(struct gr_coord *c, struct gr_session *s, struct want *x, uint64_t size)
{
	struct fetch *f = gr_map_get(&c->blobs->fetches, x->digest.b, sizeof(x->digest.b));
	bool is_new = !f;

	if (is_new) {
		GR_NEW(f);
		f->digest = x->digest;
		f->size = size;
		f->source = s;
		gr_list_init(&f->waiters);
		gr_map_put(&c->blobs->fetches, f->digest.b, sizeof(f->digest.b), f);
	}
	gr_list_push(&f->waiters, &x->link);
	return is_new;
}

int gr_blobs_need(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	struct gr_outbox *o = outbox_of(w);
	struct gr_digest *wanted = NULL;
	struct gr_digests_msg m;
	struct gr_session *s;
	uint32_t n_wanted = 0;
	int rc = gr_digests_decode(body, &m);

	if (rc < 0)
		return rc;
	if (o->n_wants + m.n > MAX_WANTS) {
		gr_warn("blobs", "worker %s wants more than %u files at once", w->name, MAX_WANTS);
		return GR_ELIMIT;
	}
	s = gr_session_find(c, m.session);
	wanted = gr_xalloc((m.n + 1) * sizeof(*wanted));
	for (uint32_t i = 0; i < m.n; i++) {
		struct gr_digest d = gr_digests_at(&m, i);
		const struct gr_content *content = s ? gr_map_get(&s->contents, d.b, sizeof(d.b)) : NULL;
		struct want *x;
		bool has;

		/* only what the session's own log names: a worker cannot fish for others' files */
		has = content && gr_cas_has(c->cas, &d);
		if (!content || (!has && !s->client)) {
			say_missing(c, w, m.session, &d);
			continue;
		}
		if (!has && is_awaited(c, w, &d))
			continue;
		GR_NEW(x);
		x->digest = d;
		x->session = m.session;
		x->worker = w;
		gr_list_init(&x->link);
		gr_list_push(&o->wants, &x->of_worker);
		o->n_wants++;
		if (has)
			make_ready(c, x);
		else if (want_from_client(c, s, x, content->size))
			wanted[n_wanted++] = d;
	}
	if (n_wanted && ask(c, s, wanted, n_wanted) < 0)
		for (uint32_t i = 0; i < n_wanted; i++) {
			struct fetch *f = gr_map_get(&c->blobs->fetches, wanted[i].b, sizeof(wanted[i].b));

			fetch_failed(c, f);
		}
	free(wanted);
	return 0;
}

/* ---- what clients send ---- */

static int put_piece(struct gr_coord *c, struct fetch *f, struct gr_slice piece)
{
	int rc;

	if (!f->got && piece.n == f->size)
		rc = gr_cas_put(c->cas, &f->digest, piece.p, piece.n);
	else if (!f->got)
		rc = gr_cas_put_begin(c->cas, &f->digest, f->size, &f->put);
	else
		rc = 0;
	if (rc >= 0 && f->put)
		rc = gr_cas_put_add(f->put, piece);
	if (rc < 0)
		return rc;
	f->got += piece.n;
	if (f->got < f->size)
		return 0;
	return f->put ? gr_cas_put_commit(&f->put) : 0;
}

/* The cache does not take it (a full disk): a blob of one piece goes to who waits for it all the same, once its digest was
 * seen to be right. Return: false when that is not possible. */
static bool pass_on(struct gr_coord *c, struct fetch *f, struct gr_slice raw)
{
	struct gr_digest d;

	if (raw.n != f->size)
		return false;
	gr_sha256_of(raw.p, raw.n, &d);
	if (!gr_digest_eq(&d, &f->digest))
		return false;
	while (!gr_list_is_empty(&f->waiters)) {
		struct want *x = GR_CONTAINER(f->waiters.next, struct want, link);
		struct gr_blob_msg m = { .session = x->session, .digest = d, .total = raw.n, .enc = GR_ENC_RAW,
					 .raw_n = (uint32_t)raw.n, .data = raw };
		struct gr_buf b = { 0 };

		gr_blob_encode(&b, &m);
		if (gr_peers_send(c, x->worker->peer, &b) < 0)
			say_missing(c, x->worker, x->session, &d);
		want_free(c, x);
	}
	fetch_free(c, f);
	return true;
}

int gr_blobs_piece(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	struct gr_blob_msg m;
	struct fetch *f;
	struct gr_buf *raw = &c->blobs->scratch;
	char hex[GR_DIGEST_HEX];
	int rc = gr_blob_decode(body, &m);

	if (rc < 0)
		return rc;
	f = gr_map_get(&c->blobs->fetches, m.digest.b, sizeof(m.digest.b));
	if (!f || f->source->client != cl)
		return 0;       /* no longer wanted */
	gr_digest_hex(&m.digest, hex);
	if (m.total != f->size || (m.offset && m.offset != f->got) || m.raw_n > f->size - m.offset ||
	    (!m.raw_n && f->size)) {
		gr_warn("blobs", "client %s: piece of %.12s does not fit: %" PRIu64 " of %" PRIu64 " bytes at %" PRIu64,
			gr_peer_name(cl->peer), hex, (uint64_t)m.raw_n, m.total, m.offset);
		return GR_EPROTO;
	}
	if (!m.offset && f->got) {
		gr_cas_put_abort(&f->put);
		f->got = 0;
	}
	gr_buf_clear(raw);
	rc = gr_unpack(m.data, m.enc, m.raw_n, GR_WIRE_CHUNK_BYTES, raw);
	if (rc < 0) {
		gr_warn("blobs", "client %s: piece of %.12s cannot be unpacked: %s", gr_peer_name(cl->peer), hex, gr_err_text(rc));
		return rc;
	}
	c->m.blob_bytes_in += m.raw_n;
	rc = put_piece(c, f, gr_buf_slice(raw));
	if (rc < 0) {
		c->m.blobs_corrupt += rc == GR_ECORRUPT;
		gr_warn("blobs", "%.12s of client %s cannot be stored: %s", hex, gr_peer_name(cl->peer), gr_err_text(rc));
		if (rc == GR_ECORRUPT || !pass_on(c, f, gr_buf_slice(raw)))
			fetch_failed(c, f);
		return 0;
	}
	if (f->got == f->size)
		fetch_done(c, f);
	return 0;
}

int gr_blobs_missing(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	struct gr_digests_msg m;
	int rc = gr_digests_decode(body, &m);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < m.n; i++) {
		struct gr_digest d = gr_digests_at(&m, i);
		struct fetch *f = gr_map_get(&c->blobs->fetches, d.b, sizeof(d.b));

		if (f && f->source->client == cl)
			fetch_failed(c, f);
	}
	return 0;
}

/* ---- sending to workers ---- */

/* The cache had it and has it no more (damaged on disk): once more from the client. Return: false when nobody can be asked. */
static bool fetch_again(struct gr_coord *c, struct want *x)
{
	struct gr_session *s = gr_session_find(c, x->session);
	const struct gr_content *content = s ? gr_map_get(&s->contents, x->digest.b, sizeof(x->digest.b)) : NULL;

	if (x->is_second_try || !content || !s->client)
		return false;
	x->is_second_try = true;
	gr_cas_unpin(c->cas, &x->digest);
	x->is_pinned = false;
	gr_list_del(&x->link);
	if (want_from_client(c, s, x, content->size) && ask(c, s, &x->digest, 1) < 0)
		fetch_failed(c, gr_map_get(&c->blobs->fetches, x->digest.b, sizeof(x->digest.b)));
	return true;
}

/* Return: 1 a piece went, 0 nothing is left, < 0 the worker takes nothing now. */
static int send_piece(struct gr_coord *c, struct gr_outbox *o)
{
	struct gr_blob_msg m = { 0 };
	struct gr_buf b = { 0 };
	struct want *x;
	ssize_t n;
	int rc;

	if (gr_list_is_empty(&o->ready))
		return 0;
	x = GR_CONTAINER(o->ready.next, struct want, link);
	if (o->fd < 0) {
		rc = gr_cas_open_blob(c->cas, &x->digest, &o->size);
		if (rc < 0) {
			gr_warn("blobs", "a file of the cache cannot be used: %s", gr_err_text(rc));
			if (fetch_again(c, x))
				return 1;
			say_missing(c, o->worker, x->session, &x->digest);
			want_free(c, x);
			return 1;
		}
		o->fd = rc;
		o->offset = 0;
	}
	gr_buf_clear(&c->blobs->scratch);
	gr_buf_reserve(&c->blobs->scratch, GR_WIRE_CHUNK_BYTES);
	n = pread(o->fd, c->blobs->scratch.p, GR_WIRE_CHUNK_BYTES, (off_t)o->offset);
	if (n < 0 || (!n && o->offset < o->size)) {
		say_missing(c, o->worker, x->session, &x->digest);
		want_free(c, x);
		return 1;
	}
	m.session = x->session;
	m.digest = x->digest;
	m.total = o->size;
	m.offset = o->offset;
	m.enc = GR_ENC_RAW;
	m.raw_n = (uint32_t)n;
	m.data = gr_slice(c->blobs->scratch.p, (size_t)n);
	gr_blob_encode(&b, &m);
	rc = gr_peers_send(c, o->worker->peer, &b);
	if (rc < 0)
		return rc;
	o->offset += (uint64_t)n;
	o->sent += (uint64_t)n + 64;
	c->m.blob_bytes_out += (uint64_t)n;
	if (o->offset >= o->size) {
		c->m.blobs_out++;
		want_free(c, x);
	}
	return 1;
}

static void on_again(void *ctx)
{
	struct gr_coord *c = ctx;
	struct gr_blobs *bl = c->blobs;

	gr_timer_stop(&bl->again);
	GR_LIST_EACH_SAFE(o, &bl->busy, struct gr_outbox, link) {
		uint64_t from = o->sent;

		while (o->sent - from < TURN_BYTES && send_piece(c, o) > 0)
			;
		if (gr_list_is_empty(&o->ready))
			gr_list_del(&o->link);
	}
	if (!gr_list_is_empty(&bl->busy))
		bl->again = gr_timer_start(c->loop, AGAIN_MS, 0, on_again, c);
}

static void pump_soon(struct gr_coord *c)
{
	if (!c->blobs->again)
		c->blobs->again = gr_timer_start(c->loop, 0, 0, on_again, c);
}

/* ---- farewell ---- */

void gr_blobs_worker_gone(struct gr_worker *w)
{
	struct gr_coord *c = w->coord;
	struct gr_outbox *o = w->outbox;

	if (!o)
		return;
	/* what was asked of clients for it goes on into the cache: the tasks are placed elsewhere in a moment */
	while (!gr_list_is_empty(&o->wants))
		want_free(c, GR_CONTAINER(o->wants.next, struct want, of_worker));
	gr_list_del(&o->link);
	if (o->fd >= 0)
		close(o->fd);
	free(o);
	w->outbox = NULL;
}

/* The client went: who else waits for the same file is served by another session that has it, or hears that it is missing. */
static void source_gone(struct gr_coord *c, struct fetch *f)
{
	gr_cas_put_abort(&f->put);
	f->got = 0;
	f->source = NULL;
	while (!gr_list_is_empty(&f->waiters)) {
		struct want *x = GR_CONTAINER(f->waiters.next, struct want, link);
		struct gr_session *other = gr_session_find(c, x->session);

		if (other && other->client && gr_map_get(&other->contents, f->digest.b, sizeof(f->digest.b)) &&
		    ask(c, other, &f->digest, 1) >= 0) {
			f->source = other;
			return;
		}
		say_missing(c, x->worker, x->session, &x->digest);
		want_free(c, x);
	}
	fetch_free(c, f);
}

void gr_blobs_session_gone(struct gr_session *s)
{
	struct gr_coord *c = s->coord;
	struct fetch *f;
	size_t i = 0;

	while ((f = gr_map_each(&c->blobs->fetches, &i))) {
		GR_LIST_EACH_SAFE(x, &f->waiters, struct want, link)
			if (x->session == s->id) {
				say_missing(c, x->worker, x->session, &x->digest);
				want_free(c, x);
			}
		if (f->source != s)
			continue;
		source_gone(c, f);
		i = 0;          /* the table moved */
	}
}

void gr_blobs_fini(struct gr_coord *c)
{
	struct fetch *f;
	size_t i;

	if (!c->blobs)
		return;
	while (i = 0, (f = gr_map_each(&c->blobs->fetches, &i)))
		fetch_free(c, f);
	gr_map_fini(&c->blobs->fetches);
	gr_timer_stop(&c->blobs->again);
	gr_buf_fini(&c->blobs->scratch);
	free(c->blobs);
	c->blobs = NULL;
}
