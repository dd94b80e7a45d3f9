/* h2.c - HTTP/2 by nghttp2: a connection carries as many requests as the plan's "streams" and the peer allow */
#include <ctype.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "worker/load/gen.h"

#define MAX_NV (GR_LOAD_MAX_HEADERS + 8)
#define GATHER_BYTES 16384u
#define MAX_FIELD_BYTES 65536u                  /* of an answer's header */

struct gr_h2 {
	nghttp2_session *session;
	struct gr_gen *g;
	struct gr_conn *c;
	struct gr_list visits;
	struct gr_visit *last;                  /* whose fields came last; NULL unknown */
	uint32_t n_streams, most;               /* most: what plan and peer allow */
	bool is_leaving;                        /* GOAWAY came: nothing new on it */
	struct gr_buf out;                      /* what nghttp2 gave and is not yet written */
};

static struct gr_visit *visit_of(nghttp2_session *s, int32_t stream) { return nghttp2_session_get_stream_user_data(s, stream); }

/* The same stream's, field after field: without looking it up each time. */
static struct gr_visit *visit_again(struct gr_h2 *h, int32_t stream)
{
	if (!h->last || h->last->stream != stream)
		h->last = visit_of(h->session, stream);
	return h->last;
}

static void let_go(struct gr_h2 *h, struct gr_visit *v)
{
	nghttp2_session_set_stream_user_data(h->session, v->stream, NULL);
	gr_list_del(&v->link);
	h->last = NULL;
	v->conn = NULL;
	h->n_streams--;
}

static void first(struct gr_h2 *h, struct gr_visit *v)
{
	if (!v->first_ns)
		v->first_ns = h->g->now_ns;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t n_name, const uint8_t *value, size_t n_value,
		     uint8_t flags, void *ctx)
{
	struct gr_h2 *h = ctx;
	struct gr_visit *v = visit_again(h, f->hd.stream_id);

	(void)flags;
	if (!v)
		return 0;
	first(h, v);
	v->n_fields += n_name + n_value;        /* trailers too */
	if (v->n_fields > MAX_FIELD_BYTES) {
		nghttp2_submit_rst_stream(s, 0, v->stream, NGHTTP2_CANCEL);
		let_go(h, v);
		gr_visit_failed(h->g, v, GR_LOAD_F_HEADER_FLOOD);
		return 0;
	}
	if (n_name == 7 && !memcmp(name, ":status", 7) && n_value == 3)
		v->status = (uint16_t)((value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0');
	else if (v->request->wants_headers && *name != ':')
		gr_answer_field(v, gr_slice(name, n_name), gr_slice(value, n_value));
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *data, size_t n, void *ctx)
{
	struct gr_h2 *h = ctx;
	struct gr_visit *v = visit_again(h, stream);

	(void)flags;
	if (!v)
		return 0;
	first(h, v);
	if (gr_visit_body(h->g, v, gr_slice(data, n)))
		return 0;
	nghttp2_submit_rst_stream(s, 0, stream, NGHTTP2_CANCEL);
	let_go(h, v);
	gr_visit_failed(h->g, v, GR_LOAD_F_BODY_LIMIT);
	return 0;
}

static void look_at_limits(struct gr_h2 *h)
{
	uint32_t theirs = nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	h->most = h->g->plan->n_streams;
	h->most = theirs < h->most ? theirs : h->most;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *ctx)
{
	struct gr_h2 *h = ctx;

	(void)s;
	if (f->hd.type == NGHTTP2_GOAWAY)
		h->is_leaving = true;
	if (f->hd.type == NGHTTP2_SETTINGS)
		look_at_limits(h);
	return 0;
}

static int on_close(nghttp2_session *s, int32_t stream, uint32_t code, void *ctx)
{
	struct gr_h2 *h = ctx;
	struct gr_visit *v = visit_of(s, stream);

	if (!v)
		return 0;
	let_go(h, v);
	if (code == NGHTTP2_NO_ERROR && v->status)
		gr_visit_answered(h->g, v);
	else if (h->is_leaving && code == NGHTTP2_REFUSED_STREAM)
		gr_visit_lost(h->g, v, GR_LOAD_F_GOAWAY);
	else
		gr_visit_failed(h->g, v, code == NGHTTP2_PROTOCOL_ERROR ? GR_LOAD_F_H2_PROTOCOL : GR_LOAD_F_STREAM_RESET);
	return 0;
}

bool gr_h2_open(struct gr_gen *g, struct gr_conn *c)
{
	nghttp2_settings_entry iv[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 }, { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (1u << 24) - 1 },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0 },
	};
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt = NULL;
	struct gr_h2 *h;
	int rc;

	if (nghttp2_session_callbacks_new(&cb))
		return false;
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	GR_NEW(h);
	h->g = g;
	h->c = c;
	gr_list_init(&h->visits);
	/* streams that are over are of no use to a client without priorities: not kept */
	rc = nghttp2_option_new(&opt);
	if (!rc) {
		nghttp2_option_set_no_closed_streams(opt, 1);
		rc = nghttp2_session_client_new2(&h->session, cb, h, opt);
		nghttp2_option_del(opt);
	}
	nghttp2_session_callbacks_del(cb);
	if (rc) {
		free(h);
		return false;
	}
	c->h2 = h;
	look_at_limits(h);
	nghttp2_submit_settings(h->session, 0, iv, GR_LEN(iv));
	nghttp2_session_set_local_window_size(h->session, 0, 0, 1 << 28);
	return gr_h2_flush(g, c);
}

uint32_t gr_h2_room(const struct gr_conn *c)
{
	const struct gr_h2 *h = c->h2;

	if (h->is_leaving || h->n_streams >= h->most || !nghttp2_session_check_request_allowed(h->session))
		return 0;
	return h->most - h->n_streams;
}

bool gr_h2_is_idle(const struct gr_conn *c) { return !c->h2->n_streams; }

/* What nghttp2 has, gathered: it gives a frame at a time, and a write a frame would cost more than all else.
 * false: the connection broke, and is gone. */
bool gr_h2_flush(struct gr_gen *g, struct gr_conn *c)
{
	struct gr_h2 *h = c->h2;

	for (;;) {
		const uint8_t *frame;
		ssize_t more = 0;
		long n;

		while (h->out.n < GATHER_BYTES && (more = nghttp2_session_mem_send(h->session, &frame)) > 0)
			gr_buf_add(&h->out, frame, (size_t)more);
		if (more < 0) {
			gr_conn_broke(g, c, GR_LOAD_F_H2_PROTOCOL);
			return false;
		}
		if (!h->out.n)
			return true;
		n = gr_conn_write(g, c, h->out.p, h->out.n);
		if (n == -1)
			return true;
		if (n < 0 && !c->ssl) {
			/* why it closed, and answers before that, may be there to read; the end is, too */
			h->out.n = 0;
			return true;
		}
		if (n < 0) {
			gr_conn_broke(g, c, GR_LOAD_F_RESET);
			return false;
		}
		memmove(h->out.p, h->out.p + n, h->out.n - (size_t)n);
		h->out.n -= (size_t)n;
	}
}

bool gr_h2_input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in)
{
	struct gr_h2 *h = c->h2;
	ssize_t n = nghttp2_session_mem_recv(h->session, in.p, in.n);

	if (n < 0) {
		gr_conn_broke(g, c, h->is_leaving ? GR_LOAD_F_GOAWAY : GR_LOAD_F_H2_PROTOCOL);
		return false;
	}
	if (!gr_h2_flush(g, c))
		return false;
	if ((h->is_leaving && !h->n_streams) || (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session)) ||
	    (g->is_over && !h->n_streams)) {
		gr_conn_broke(g, c, h->is_leaving ? GR_LOAD_F_GOAWAY : GR_LOAD_F_H2_PROTOCOL);
		return false;
	}
	/* who waits takes the streams that were freed; those of the closed model that just ended are on the ready list */
	while (c->pool->n_waiting && c->state == GR_CONN_SHARED && gr_h2_room(c)) {
		struct gr_visit *v = GR_CONTAINER(gr_list_pop(&c->pool->waiting), struct gr_visit, link);

		v->is_waiting = false;
		c->pool->n_waiting--;
		if (!gr_h2_request(g, c, v))
			break;
	}
	return c->state != GR_CONN_GONE;
}

/* ---- a request ---- */

static ssize_t read_body(nghttp2_session *s, int32_t stream, uint8_t *buf, size_t n, uint32_t *flags, nghttp2_data_source *src, void *ctx)
{
	struct gr_visit *v = visit_of(s, stream);

	(void)src, (void)ctx;
	if (!v || n >= v->body_left.n) {
		n = v ? v->body_left.n : 0;
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	}
	if (n) {
		memcpy(buf, v->body_left.p, n);
		v->body_left = gr_slice(v->body_left.p + n, v->body_left.n - n);
	}
	return (ssize_t)n;
}

/* What lives as long as the plan need not be copied; names of the plan are, which makes them lower case. */
#define CONSTANT (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)
static void field(nghttp2_nv *nv, const char *name, const uint8_t *value, size_t n, uint8_t flags)
{
	*nv = (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), n, flags };
}

/* Path and values are rendered behind each other into one buffer, then named by their offsets: it may move meanwhile. */
static size_t fields(struct gr_visit *v, nghttp2_nv *nv)
{
	const struct gr_load_request *r = v->request;
	const struct gr_load_origin *o = v->pool->origin;
	struct gr_slice cookies;
	struct gr_extra *x = v->x;
	size_t ends[MAX_NV], n = 0, at = 0, n_end = 0;
	bool has_agent = false;

	gr_buf_clear(&x->out);
	gr_buf_clear(&x->path);
	gr_load_render(&r->path, &x->ctx, &x->path);
	gr_visit_add_path(&x->out, &x->path);
	ends[n_end++] = x->out.n;
	cookies = gr_answer_cookies(v);
	for (uint32_t i = 0; i < r->n_headers; i++) {
		gr_load_render(&r->headers[i].value, &x->ctx, &x->out);
		ends[n_end++] = x->out.n;
	}
	for (size_t i = 0; i < x->out.n; i++)
		if (x->out.p[i] < ' ' || x->out.p[i] == 127)
			x->out.p[i] = ' ';
	gr_buf_reserve(&x->out, 1);
	field(&nv[n++], ":method", (const uint8_t *)r->method, strlen(r->method), CONSTANT);
	field(&nv[n++], ":scheme", (const uint8_t *)(o->is_tls ? "https" : "http"), o->is_tls ? 5 : 4, CONSTANT);
	field(&nv[n++], ":authority", (const uint8_t *)o->authority, strlen(o->authority), CONSTANT);
	field(&nv[n++], ":path", x->out.p, ends[0], NGHTTP2_NV_FLAG_NO_COPY_NAME);
	at = ends[0];
	for (uint32_t i = 0; i < r->n_headers; i++) {
		has_agent |= !strcasecmp(r->headers[i].name, "user-agent");
		if (strcasecmp(r->headers[i].name, "host"))
			field(&nv[n++], r->headers[i].name, x->out.p + at, ends[i + 1] - at, NGHTTP2_NV_FLAG_NONE);
		at = ends[i + 1];
	}
	if (!has_agent)
		field(&nv[n++], "user-agent", (const uint8_t *)"griddle/" GR_VERSION, strlen("griddle/" GR_VERSION), CONSTANT);
	if (cookies.n)
		field(&nv[n++], "cookie", cookies.p, cookies.n, NGHTTP2_NV_FLAG_NO_COPY_NAME);
	return n;
}

/* A request without templates: its body, and its fields packed with names in lower case, so that nothing is copied a request. */
struct gr_h2_fixed {
	size_t n;
	struct gr_buf text, body;
	nghttp2_nv nv[MAX_NV];
};

static const struct gr_h2_fixed *fixed(struct gr_gen *g, struct gr_visit *v)
{
	struct gr_h2_fixed **at = &g->h2_fixed[v->request->id], *f = *at;
	struct gr_visit one = { .request = v->request, .pool = v->pool };
	struct gr_extra *x;
	size_t n_text = 0, k = 0;

	if (f)
		return f;
	one.x = GR_NEW(x);
	x->ctx.plan = g->plan;
	GR_NEW(f);
	f->n = fields(&one, f->nv);
	gr_load_render(&one.request->body, &x->ctx, &f->body);
	for (size_t i = 0; i < f->n; i++)
		n_text += f->nv[i].namelen + f->nv[i].valuelen;
	gr_buf_reserve(&f->text, n_text + 1);
	for (size_t i = 0; i < f->n; i++) {
		nghttp2_nv *nv = &f->nv[i];

		gr_buf_add(&f->text, nv->name, nv->namelen);
		gr_buf_add(&f->text, nv->value, nv->valuelen);
		for (nv->name = f->text.p + k; k < f->text.n - nv->valuelen; k++)
			f->text.p[k] = (uint8_t)tolower(f->text.p[k]);
		nv->value = f->text.p + k;
		k = f->text.n;
		nv->flags = CONSTANT;
	}
	gr_visit_fini(&one);
	return *at = f;
}

void gr_h2_fini(struct gr_gen *g)
{
	for (uint32_t i = 0; g->h2_fixed && i < g->plan->n_requests; i++)
		if (g->h2_fixed[i]) {
			gr_buf_fini(&g->h2_fixed[i]->text);
			gr_buf_fini(&g->h2_fixed[i]->body);
			free(g->h2_fixed[i]);
		}
	free(g->h2_fixed);
}

bool gr_h2_request(struct gr_gen *g, struct gr_conn *c, struct gr_visit *v)
{
	struct gr_h2 *h = c->h2;
	nghttp2_data_provider body = { .read_callback = read_body };
	bool has_body = v->request->has_body;

	if (v->request->is_static) {
		const struct gr_h2_fixed *f = fixed(g, v);

		v->body_left = gr_buf_slice(&f->body);
		v->stream = nghttp2_submit_request(h->session, NULL, f->nv, f->n, has_body ? &body : NULL, v);
	} else {
		nghttp2_nv nv[MAX_NV];
		size_t n = fields(v, nv);

		gr_buf_clear(&v->x->body_out);
		gr_load_render(&v->request->body, &v->x->ctx, &v->x->body_out);
		v->body_left = gr_buf_slice(&v->x->body_out);
		v->stream = nghttp2_submit_request(h->session, NULL, nv, n, has_body ? &body : NULL, v);
	}
	if (v->stream < 0) {
		h->is_leaving = true;
		gr_visit_failed(g, v, GR_LOAD_F_H2_PROTOCOL);
		return true;
	}
	v->conn = c;
	v->n_body = 0;
	v->n_fields = 0;
	gr_list_push(&h->visits, &v->link);
	h->n_streams++;
	gr_visit_sent(g, v);
	c->n_requests++;
	gr_list_del(&c->dirty);
	gr_list_push(&g->dirty, &c->dirty);      /* written once a turn, with whatever else is for it */
	return true;
}

void gr_h2_cancel(struct gr_gen *g, struct gr_conn *c, struct gr_visit *v)
{
	struct gr_h2 *h = c->h2;

	nghttp2_submit_rst_stream(h->session, 0, v->stream, NGHTTP2_CANCEL);
	let_go(h, v);
	gr_h2_flush(g, c);
}

void gr_h2_free(struct gr_gen *g, struct gr_conn *c, enum gr_load_fail why)
{
	struct gr_h2 *h = c->h2;

	c->h2 = NULL;
	gr_list_del(&c->link);                   /* who is sent again must not come here */
	gr_list_del(&c->dirty);
	while (!gr_list_is_empty(&h->visits)) {
		struct gr_visit *v = GR_CONTAINER(h->visits.next, struct gr_visit, link);

		let_go(h, v);
		gr_visit_lost(g, v, h->is_leaving ? GR_LOAD_F_GOAWAY : why);
	}
	nghttp2_session_del(h->session);
	gr_buf_fini(&h->out);
	free(h);
}
