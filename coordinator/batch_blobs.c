/* batch_blobs.c - files of jobs: uploads of clients and workers, downloads of both, results that wait for their files
 *
 * They lie in a cache of their own, state/blobs, where everything a job names is pinned as long as the job is there. An
 * upload that no job names yet may be put out by others. A worker's ENDED that names files we lack is kept until they
 * came: FETCH asks for them, which also means that what two tasks write alike travels once. Who knows the digest of a
 * file may have it: SHA-256 is not guessed.
 */
#include "coordinator/batch_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"

#define MAX_UPLOADS 64u                   /* of one peer at once */
#define MAX_WANTED 65536u
#define TURN_BYTES (4u << 20)
#define PUMP_MS 3

struct upload {
	struct gr_list link;
	const void *peer;
	struct gr_digest digest;
	struct gr_cas_put *put;
	uint64_t total, got;
};
struct wait {                             /* an ENDED that waits for files */
	struct gr_list link;
	struct gr_bworker *bw;            /* borrowed: forgotten with it */
	uint64_t job, task;
	uint32_t attempt;
	struct gr_buf body;               /* of the ENDED */
	struct gr_digest *outputs;        /* digests of its outputs, in their order */
	struct gr_digest *wanted, *pinned;       /* pinned: what came, or was here, is not put out while others are waited for */
	uint32_t n_wanted, n_pinned, cap_wanted, cap_pinned;
};
struct outbox {
	struct gr_list link;
	struct gr_peer *peer;
	uint64_t session;
	struct gr_digest *wanted;
	uint32_t n, at;
	int fd;
	uint64_t size, offset;
};

/* ---- arrivals ---- */

static void upload_free(struct upload *u)
{
	gr_list_del(&u->link);
	gr_cas_put_abort(&u->put);
	free(u);
}

static struct upload *upload_of(struct gr_batch *b, const void *peer, const struct gr_digest *d, uint32_t *n)
{
	*n = 0;
	GR_LIST_EACH(u, &b->uploads, struct upload, link) {
		if (u->peer != peer)
			continue;
		++*n;
		if (gr_digest_eq(&u->digest, d))
			return u;
	}
	return NULL;
}

static void wait_free(struct gr_batch *b, struct wait *x)
{
	gr_list_del(&x->link);
	for (uint32_t i = 0; i < x->n_pinned; i++)
		gr_cas_unpin(b->cas, &x->pinned[i]);
	gr_buf_fini(&x->body);
	free(x->outputs);
	free(x->wanted);
	free(x->pinned);
	free(x);
}

/* It waits no longer: everything came, or @why it will not. */
static void settle(struct gr_batch *b, struct wait *x, const char *why)
{
	struct gr_ended_msg m;

	gr_list_del(&x->link);
	if (gr_ended_decode(gr_buf_slice(&x->body), &m) == 0 && x->bw->w) {
		if (why)
			gr_run_ended_without(b, x->bw, &m, why);
		else
			gr_run_ended(b, x->bw, &m, x->outputs);
	}
	wait_free(b, x);
}

static void arrived(struct gr_batch *b, const struct gr_digest *d)
{
	GR_LIST_EACH_SAFE(x, &b->waits, struct wait, link) {
		for (uint32_t i = 0; i < x->n_wanted; i++)
			if (gr_digest_eq(&x->wanted[i], d)) {
				x->wanted[i] = x->wanted[--x->n_wanted];
				break;
			}
		if (!x->n_wanted) {
			settle(b, x, NULL);
			return arrived(b, d);     /* the list may be another now */
		}
	}
}

/* Of @peer alone: another that has the same file is asked for it, too, and may well send it. */
static void cannot(struct gr_batch *b, const void *peer, const struct gr_digest *d, const char *why)
{
	GR_LIST_EACH_SAFE(x, &b->waits, struct wait, link)
		for (uint32_t i = 0; x->bw->w && x->bw->w->peer == peer && i < x->n_wanted; i++)
			if (gr_digest_eq(&x->wanted[i], d)) {
				settle(b, x, why);
				cannot(b, peer, d, why);
				return;
			}
}

static int take_piece(struct gr_batch *b, const void *peer, const char *name, struct gr_slice body)
{
	struct gr_blob_msg m;
	struct upload *u;
	uint32_t n;
	int rc = gr_blob_decode(body, &m);

	if (rc < 0)
		return rc;
	gr_buf_clear(&b->scratch);
	rc = gr_unpack(m.data, m.enc, m.raw_n, GR_WIRE_CHUNK_BYTES, &b->scratch);
	if (rc < 0)
		return rc;
	u = upload_of(b, peer, &m.digest, &n);
	if (!m.offset && m.raw_n == m.total) {
		if (u)
			upload_free(u);
		rc = gr_cas_put(b->cas, &m.digest, b->scratch.n ? b->scratch.p : (const uint8_t *)"", b->scratch.n);
		goto out;
	}
	if (!m.offset) {
		if (u)
			upload_free(u);
		else if (n >= MAX_UPLOADS)
			return GR_ELIMIT;
		GR_NEW(u);
		u->peer = peer;
		u->digest = m.digest;
		u->total = m.total;
		gr_list_init(&u->link);
		gr_list_push(&b->uploads, &u->link);
		rc = gr_cas_put_begin(b->cas, &u->digest, u->total, &u->put);
	} else if (!u) {
		return 0;                 /* given up a moment ago */
	} else if (m.offset != u->got || m.total != u->total) {
		return GR_EPROTO;
	}
	if (rc >= 0)
		rc = gr_cas_put_add(u->put, gr_buf_slice(&b->scratch));
	if (rc < 0) {
		upload_free(u);
		goto out;
	}
	u->got += m.raw_n;
	if (u->got < u->total)
		return 0;
	rc = gr_cas_put_commit(&u->put);
	upload_free(u);
out:
	if (rc < 0) {
		gr_warn("batch", "a file of %s cannot be kept: %s", name, gr_err_text(rc));
		cannot(b, peer, &m.digest, rc == GR_ENOSPACE ? "the coordinator has no room for its files" : "its files came damaged");
		return rc == GR_ECORRUPT ? rc : 0;
	}
	gr_store_files_written(b->store);
	arrived(b, &m.digest);
	return 0;
}

int gr_batch_worker_blob(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	return take_piece(c->batch, w->peer, w->name, body);
}

int gr_batch_client_blob(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	return take_piece(c->batch, cl->peer, gr_peer_name(cl->peer), body);
}

int gr_batch_worker_missing(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	struct gr_digests_msg m;
	int rc = gr_digests_decode(body, &m);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < m.n; i++) {
		struct gr_digest d = gr_digests_at(&m, i);

		cannot(c->batch, w->peer, &d, "its worker no longer has its files");
	}
	return 0;
}

/* ---- results that wait ---- */

static void pin(struct gr_batch *b, struct wait *x, const struct gr_digest *d)
{
	GR_GROW(x->pinned, x->cap_pinned, x->n_pinned + 1);
	x->pinned[x->n_pinned++] = *d;
	gr_cas_pin(b->cas, d);
}

static void want(struct gr_batch *b, struct wait *x, const struct gr_item *i)
{
	if (i->has_data)
		return;
	pin(b, x, &i->digest);
	if (gr_cas_has(b->cas, &i->digest))
		return;
	for (uint32_t k = 0; k < x->n_wanted; k++)
		if (gr_digest_eq(&x->wanted[k], &i->digest))
			return;
	GR_GROW(x->wanted, x->cap_wanted, x->n_wanted + 1);
	x->wanted[x->n_wanted++] = i->digest;
}

/* The files of an ENDED: what travelled inside is kept, and hashed this once; the others are wanted. Errors of gr_cas_put_new. */
static int take_files(struct gr_batch *b, struct wait *x, const struct gr_ended_msg *m)
{
	struct gr_list_it it = gr_list_begin(&m->outputs);
	struct gr_digest *d = x->outputs = gr_xalloc((m->outputs.n + 1) * sizeof(*d));
	struct gr_placed_file f;
	int rc = 0;

	want(b, x, &m->out);
	want(b, x, &m->err);
	for (; rc >= 0 && gr_placed_next(&it, &f, true); d++) {
		if (f.kind != GR_PLACED_FILE)
			continue;
		if (f.item.has_data) {
			rc = gr_cas_put_new(b->cas, f.item.data.n ? f.item.data.p : (const uint8_t *)"", f.item.data.n, d);
			pin(b, x, d);
			gr_store_files_written(b->store);
		} else {
			*d = f.item.digest;
			want(b, x, &f.item);
		}
	}
	return rc;
}

void gr_bblobs_await(struct gr_batch *b, struct gr_bworker *bw, struct gr_slice body, const struct gr_ended_msg *m)
{
	struct gr_bj *j = gr_bj_find(b, m->job);
	struct gr_btask *t = j && j->spec && m->task < j->n_tasks ? gr_bjob_find(&j->b, (uint32_t)m->task) : NULL;
	struct wait *x;
	int rc;

	if (!t || !gr_btask_live(t, m->attempt)) {
		gr_run_ended(b, bw, m, NULL);     /* not wanted: its files neither */
		return;
	}
	GR_NEW(x);
	gr_list_init(&x->link);
	x->bw = bw;
	x->job = m->job;
	x->task = m->task;
	x->attempt = m->attempt;
	rc = take_files(b, x, m);
	if (rc < 0 || !x->n_wanted) {
		if (rc < 0)
			gr_run_ended_without(b, bw, m, "the coordinator cannot keep its files");
		else
			gr_run_ended(b, bw, m, x->outputs);
		wait_free(b, x);
		return;
	}
	gr_buf_add(&x->body, body.p, body.n);
	/* sent again: the newer one stands */
	GR_LIST_EACH_SAFE(old, &b->waits, struct wait, link)
		if (old->bw == bw && old->job == x->job && old->task == x->task && old->attempt == x->attempt)
			wait_free(b, old);
	gr_list_push(&b->waits, &x->link);
	for (uint32_t i = 0; i < x->n_wanted; i += GR_WIRE_MAX_DIGESTS) {
		struct gr_buf fetch = { 0 };

		gr_digests_encode(&fetch, GR_MSG_FETCH, m->job, x->wanted + i,
				  x->n_wanted - i < GR_WIRE_MAX_DIGESTS ? x->n_wanted - i : GR_WIRE_MAX_DIGESTS);
		if (gr_peers_send(b->c, bw->w->peer, &fetch) < 0)
			gr_warn("batch", "worker %s cannot be asked for files", bw->w->name);
	}
}

void gr_bblobs_forget(struct gr_batch *b, struct gr_bworker *bw)
{
	GR_LIST_EACH_SAFE(x, &b->waits, struct wait, link)
		if (x->bw == bw)
			wait_free(b, x);
	if (bw->w)
		gr_bblobs_peer_gone(b, bw->w->peer);
}

/* ---- departures ---- */

static void outbox_free(struct outbox *o)
{
	if (o->fd >= 0)
		close(o->fd);
	gr_list_del(&o->link);
	free(o->wanted);
	free(o);
}

void gr_bblobs_peer_gone(struct gr_batch *b, struct gr_peer *peer)
{
	GR_LIST_EACH_SAFE(u, &b->uploads, struct upload, link)
		if (u->peer == peer)
			upload_free(u);
	GR_LIST_EACH_SAFE(o, &b->outboxes, struct outbox, link)
		if (o->peer == peer)
			outbox_free(o);
}

/* Return: 1 a piece went, 0 all is sent, < 0 not now. */
static int send_piece(struct gr_batch *b, struct outbox *o)
{
	struct gr_blob_msg m = { .session = o->session };
	struct gr_buf f = { 0 };
	ssize_t n;
	int rc;

	if (o->at == o->n)
		return 0;
	m.digest = o->wanted[o->at];
	if (o->fd < 0) {
		o->fd = gr_cas_open_blob(b->cas, &m.digest, &o->size);
		o->offset = 0;
		if (o->fd < 0) {
			gr_digests_encode(&f, GR_MSG_MISSING, o->session, &m.digest, 1);
			rc = gr_peers_send(b->c, o->peer, &f);
			if (rc < 0)
				return rc;
			o->at++;
			return 1;
		}
	}
	gr_buf_clear(&b->scratch);
	gr_buf_reserve(&b->scratch, GR_WIRE_CHUNK_BYTES);
	n = pread(o->fd, b->scratch.p, GR_WIRE_CHUNK_BYTES, (off_t)o->offset);
	if (n < 0 || (!n && o->offset < o->size)) {
		close(o->fd);
		o->fd = -1;
		gr_digests_encode(&f, GR_MSG_MISSING, o->session, &m.digest, 1);
		o->at++;
		return gr_peers_send(b->c, o->peer, &f) < 0 ? -1 : 1;
	}
	m.total = o->size;
	m.offset = o->offset;
	m.raw_n = (uint32_t)n;
	m.data = gr_slice(b->scratch.p, (size_t)n);
	gr_blob_encode(&f, &m);
	rc = gr_peers_send(b->c, o->peer, &f);
	if (rc < 0)
		return rc;
	o->offset += (uint64_t)n;
	if (o->offset >= o->size) {
		close(o->fd);
		o->fd = -1;
		o->at++;
	}
	return 1;
}

static void pump(void *ctx)
{
	struct gr_batch *b = ctx;

	gr_timer_stop(&b->pump);
	GR_LIST_EACH_SAFE(o, &b->outboxes, struct outbox, link) {
		int rc = 1;

		for (uint32_t i = 0; i < TURN_BYTES / GR_WIRE_CHUNK_BYTES * 16 && rc > 0; i++)
			rc = send_piece(b, o);
		if (!rc)
			outbox_free(o);
	}
	if (!gr_list_is_empty(&b->outboxes))
		b->pump = gr_timer_start(b->c->loop, PUMP_MS, 0, pump, b);
}

int gr_batch_need(struct gr_coord *c, struct gr_peer *peer, struct gr_slice body)
{
	struct gr_batch *b = c->batch;
	struct gr_digests_msg m;
	struct outbox *o;
	uint64_t n = 0;
	int rc = gr_digests_decode(body, &m);

	if (rc < 0)
		return rc;
	GR_LIST_EACH(old, &b->outboxes, struct outbox, link)
		if (old->peer == peer)
			n += old->n - old->at;
	if (n + m.n > MAX_WANTED)
		return GR_ELIMIT;
	GR_NEW(o);
	o->peer = peer;
	o->session = m.session;
	o->fd = -1;
	o->n = m.n;
	o->wanted = gr_xalloc((m.n + 1) * sizeof(*o->wanted));
	for (uint32_t i = 0; i < m.n; i++)
		o->wanted[i] = gr_digests_at(&m, i);
	gr_list_init(&o->link);
	gr_list_push(&b->outboxes, &o->link);
	if (!b->pump)
		b->pump = gr_timer_start(c->loop, 0, 0, pump, b);
	return 0;
}

int gr_batch_open_blob(struct gr_coord *c, const struct gr_digest *d, uint64_t *size)
{
	return gr_cas_open_blob(c->batch->cas, d, size);
}

int gr_batch_put_begin(struct gr_coord *c, const struct gr_digest *d, uint64_t bytes, struct gr_cas_put **out)
{
	struct gr_cas_stats st;

	gr_cas_stats(c->batch->cas, &st);
	if (bytes > st.cap_bytes)
		return GR_ELIMIT;
	return gr_cas_put_begin(c->batch->cas, d, bytes, out);
}

int gr_batch_put_add(struct gr_cas_put *p, struct gr_slice piece) { return gr_cas_put_add(p, piece); }

int gr_batch_put_end(struct gr_coord *c, struct gr_cas_put **p)
{
	gr_store_files_written(c->batch->store);
	return gr_cas_put_commit(p);
}

void gr_batch_put_abort(struct gr_cas_put **p)
{
	if (*p)
		gr_cas_put_abort(p);
}

struct nth {
	uint32_t left;
	bool is_found;
	struct gr_digest digest;
};

static int nth_output(void *ctx, const struct gr_store_output_row *r)
{
	struct nth *x = ctx;

	if (r->index == GR_WIRE_CHECKPOINT || x->is_found || x->left-- > 0)
		return 0;
	if (r->kind == GR_PLACED_FILE && r->digest.n == GR_DIGEST_BYTES) {
		memcpy(x->digest.b, r->digest.p, GR_DIGEST_BYTES);
		x->is_found = true;
	} else {
		x->left = UINT32_MAX;
	}
	return 0;
}

int gr_batch_open_output(struct gr_coord *c, uint64_t job, uint32_t task, uint32_t n, uint64_t *size)
{
	struct nth x = { .left = n };
	int rc;

	if (!gr_bj_find(c->batch, job))
		return GR_ENOENT;
	rc = gr_store_each_output(c->batch->store, (int64_t)job, task, (int64_t)task + 1, 0, nth_output, &x);
	if (rc < 0 || !x.is_found)
		return GR_ENOENT;
	return gr_cas_open_blob(c->batch->cas, &x.digest, size);
}

/* Adds what a spec names and is not here to @list. Return: true when something is missing. */
bool gr_bblobs_missing(struct gr_batch *b, const struct gr_spec *spec, json_t *list, struct gr_err *err)
{
	char hex[GR_DIGEST_HEX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < spec->n_blobs; i++) {
		if (gr_cas_has(b->cas, &spec->blobs[i].digest))
			continue;
		gr_digest_hex(&spec->blobs[i].digest, hex);
		json_array_append_new(list, json_string(hex));
		n++;
	}
	if (n)
		gr_err_set(err, GR_ENOENT, "%u of its %u files are not here", n, spec->n_blobs);
	return n != 0;
}

void gr_bblobs_close(struct gr_batch *b)
{
	gr_timer_stop(&b->pump);
	GR_LIST_EACH_SAFE(u, &b->uploads, struct upload, link)
		upload_free(u);
	GR_LIST_EACH_SAFE(o, &b->outboxes, struct outbox, link)
		outbox_free(o);
	GR_LIST_EACH_SAFE(x, &b->waits, struct wait, link)
		wait_free(b, x);
}
