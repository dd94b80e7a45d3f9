/* visit.c - a visit from one request to the next: planned, issued, sent, answered or failed */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/net/loop.h"
#include "worker/load/gen.h"

/* ---- thinking: a heap by planned_ns ---- */

static bool is_earlier(const struct gr_visit *a, const struct gr_visit *b) { return a->planned_ns < b->planned_ns; }

void gr_heap_push(struct gr_gen *g, struct gr_visit *v)
{
	uint32_t i = g->n_heap++;

	GR_GROW(g->heap, g->cap_heap, g->n_heap);
	for (; i && is_earlier(v, g->heap[(i - 1) / 2]); i = (i - 1) / 2)
		g->heap[i] = g->heap[(i - 1) / 2];
	g->heap[i] = v;
}

struct gr_visit *gr_heap_pop(struct gr_gen *g)
{
	struct gr_visit *top = g->heap[0], *last = g->heap[--g->n_heap];
	uint32_t i = 0, k;

	while ((k = 2 * i + 1) < g->n_heap) {
		k += k + 1 < g->n_heap && is_earlier(g->heap[k + 1], g->heap[k]);
		if (!is_earlier(g->heap[k], last))
			break;
		g->heap[i] = g->heap[k];
		i = k;
	}
	if (g->n_heap)
		g->heap[i] = last;
	return top;
}

/* ---- life ---- */

static void start(struct gr_gen *g, struct gr_visit *v, uint64_t seq, uint64_t planned_ns)
{
	v->scenario = gr_load_pick(g->plan, seq);
	v->seq = seq;
	v->planned_ns = planned_ns;
	v->i_step = 0;
	if (v->x) {
		gr_load_ctx_init(&v->x->ctx, g->plan, seq);
		memset(v->x->vars, 0, g->plan->n_vars * sizeof(v->x->vars[0]));
		gr_jar_clear(&v->x->jar);
	}
}

struct gr_visit *gr_visit_new(struct gr_gen *g, uint64_t seq, uint64_t planned_ns)
{
	struct gr_visit *v;

	if (!gr_list_is_empty(&g->spare)) {
		v = GR_CONTAINER(g->spare.prev, struct gr_visit, link);   /* the last used: its memory is warm */
		gr_list_del(&v->link);
	} else {
		if (g->n_visits >= GR_GEN_MAX_VISITS)
			return NULL;
		GR_NEW(v);
		gr_list_init(&v->link);
		gr_list_init(&v->time);
	}
	g->n_visits++;
	start(g, v, seq, planned_ns);
	return v;
}

void gr_visit_fini(struct gr_visit *v)
{
	struct gr_extra *x = v->x;

	if (!x)
		return;
	for (uint32_t i = 0; i < GR_LOAD_MAX_VARS; i++)
		gr_buf_fini(&x->values[i]);
	gr_buf_fini(&x->out);
	gr_buf_fini(&x->body_out);
	gr_buf_fini(&x->path);
	gr_buf_fini(&x->head);
	gr_buf_fini(&x->body);
	gr_jar_fini(&x->jar);
	gr_buf_fini(&x->cookies);
	free(x);
	v->x = NULL;
}

void gr_visit_want_extra(struct gr_gen *g, struct gr_visit *v)
{
	if (v->x)
		return;
	GR_NEW(v->x);
	v->x->ctx.vars = v->x->vars;
	gr_load_ctx_init(&v->x->ctx, g->plan, v->seq);
}

void gr_visit_issue(struct gr_gen *g, struct gr_visit *v)
{
	const struct gr_load_request *r = &v->scenario->requests[v->i_step];
	uint64_t late = g->now_ns > v->planned_ns ? g->now_ns - v->planned_ns : 0;
	enum gr_load_scheme scheme = g->plan->origins[r->origin].scheme;

	v->request = r;
	v->pool = &g->pools[scheme == GR_LOAD_WS || scheme == GR_LOAD_WSS ? g->plan->n_origins + r->id : r->origin];
	v->conn = NULL;
	v->issued_ns = g->now_ns;
	v->sent_ns = v->first_ns = v->n_body = 0;
	v->status = 0;
	v->is_retried = v->is_fresh = false;
	if (!r->is_static || r->wants_headers || r->wants_body) {
		gr_visit_want_extra(g, v);
		gr_buf_clear(&v->x->head);
		gr_buf_clear(&v->x->body);
	}
	g->c.n[GR_LOAD_N_STARTED]++;
	gr_hdr_add(&g->c.series[GR_LOAD_H_SEND], late);
	g->c.n[GR_LOAD_N_LATE] += late > g->plan->late_ns;
	gr_list_push(&g->limits, &v->time);
	g->n_in_flight++;
	gr_conn_want(g, v);
}

void gr_visit_sent(struct gr_gen *g, struct gr_visit *v)
{
	v->sent_ns = g->now_ns;
	if (!g->first_ns)
		g->first_ns = g->now_ns;
}

static uint64_t think(const struct gr_load_request *r, struct gr_visit *v)
{
	struct gr_rng one = { v->seq * 31 + v->i_step };
	struct gr_rng *rng = v->x ? &v->x->ctx.rng : &one;

	if (r->think_hi_ns == r->think_lo_ns)
		return r->think_lo_ns;
	return r->think_lo_ns + gr_rng_u64(rng) % (r->think_hi_ns - r->think_lo_ns + 1);
}

static void next(struct gr_gen *g, struct gr_visit *v, bool has_failed)
{
	uint64_t wait = has_failed ? 0 : think(v->request, v);
	bool is_last = has_failed || v->i_step + 1 == v->scenario->n_requests;

	gr_list_del(&v->time);
	g->n_in_flight--;
	v->conn = NULL;
	if (g->is_over || (is_last && (!g->plan->is_closed || g->n_users > g->n_wanted))) {
		if (g->plan->is_closed)
			g->n_users--;
		g->n_visits--;
		gr_list_push(&g->spare, &v->link);
		return;
	}
	if (is_last) {
		start(g, v, gr_gen_next_seq(g), g->now_ns + wait);
		g->c.n[GR_LOAD_N_DUE]++;
		/* a target that refuses at once is not asked a million times a second */
		if (has_failed)
			v->planned_ns = g->now_ns + (wait = GR_GEN_BACKOFF_NS);
	} else {
		v->i_step++;
		v->planned_ns = g->now_ns + wait;
	}
	if (wait)
		gr_heap_push(g, v);
	else
		gr_list_push(&g->ready, &v->link);
}

void gr_visit_answered(struct gr_gen *g, struct gr_visit *v)
{
	const struct gr_load_request *r = v->request;
	uint64_t latency = g->now_ns - v->planned_ns;
	enum gr_load_fail why = GR_LOAD_N_FAILS;

	if (v->first_ns > v->sent_ns)
		gr_gen_learn(g, v->first_ns - v->sent_ns);
	gr_count_time(g, GR_LOAD_SERIES(r->id, GR_LOAD_R_FIRST_BYTE), v->sent_ns, v->first_ns ? v->first_ns : g->now_ns);
	if (g->now_ns >= v->issued_ns + g->plan->timeout_ns)
		why = GR_LOAD_F_SLOW;           /* seen before its time-out was, both being due */
	else if (r->n_checks || r->n_captures)
		why = gr_answer_judge(g, v, latency);
	if (why != GR_LOAD_N_FAILS) {
		gr_visit_failed(g, v, why);
		return;
	}
	gr_hdr_add(&g->c.series[GR_LOAD_SERIES(r->id, gr_load_class(v->status))], latency);
	if (v->status >= 100 && v->status < 600)
		g->c.status[r->id * 512 + v->status - 100]++;
	g->c.n[GR_LOAD_N_DONE]++;
	next(g, v, false);
}

void gr_visit_failed(struct gr_gen *g, struct gr_visit *v, enum gr_load_fail why)
{
	const struct gr_load_request *r = v->request;

	if (!g->first_ns)                        /* it was refused before it could leave: the start was then */
		g->first_ns = v->issued_ns;
	g->c.fails[r->id * 32 + why]++;
	g->c.n[GR_LOAD_N_FAILED]++;
	gr_count_time(g, GR_LOAD_SERIES(r->id, GR_LOAD_R_FAILED), v->planned_ns, g->now_ns);
	next(g, v, true);
}

void gr_visit_lost(struct gr_gen *g, struct gr_visit *v, enum gr_load_fail why)
{
	if (v->is_fresh || v->is_retried || v->first_ns || g->is_stopping || g->now_ns >= v->issued_ns + g->plan->timeout_ns) {
		gr_visit_failed(g, v, why);
		return;
	}
	v->is_retried = true;
	v->conn = NULL;
	g->c.n[GR_LOAD_N_RETRIED]++;
	gr_conn_want(g, v);
}

bool gr_visit_body(struct gr_gen *g, struct gr_visit *v, struct gr_slice data)
{
	v->n_body += data.n;
	if (v->n_body > g->plan->body_limit)
		return false;
	if (v->request->wants_body && v->x->body.n < GR_GEN_KEEP_BYTES)
		gr_buf_add(&v->x->body, data.p, data.n < GR_GEN_KEEP_BYTES - v->x->body.n ? data.n : GR_GEN_KEEP_BYTES - v->x->body.n);
	return true;
}

void gr_visit_timeout(struct gr_gen *g, struct gr_visit *v)
{
	struct gr_conn *c = v->conn;
	enum gr_load_fail why = v->first_ns ? GR_LOAD_F_SLOW : GR_LOAD_F_TIMEOUT;

	if (v->is_waiting) {
		gr_list_del(&v->link);
		v->is_waiting = false;
		v->pool->n_waiting--;
		why = gr_gen_is_h2(g, v->pool) ? gr_pool_overdue(g, v->pool) : GR_LOAD_F_NO_CONNECTION;
	} else if (c && c->state == GR_CONN_SHARED) {
		gr_h2_cancel(g, c, v);
	} else if (c) {
		if (c->state == GR_CONN_OPENING)
			why = GR_LOAD_F_CONNECT_TIMEOUT;
		else if (c->state == GR_CONN_TLS)
			why = GR_LOAD_F_TLS;
		else if (c->state == GR_CONN_UPGRADING)
			why = GR_LOAD_F_UPGRADE;
		c->visit = NULL;
		gr_conn_close(g, c);
	}
	gr_visit_failed(g, v, why);
}

/* ---- the bytes of a request ---- */

void gr_visit_add_path(struct gr_buf *out, const struct gr_buf *path)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < path->n; i++) {   /* a table's cell may hold blanks, or umlauts */
		uint8_t c = path->p[i];

		if (c > ' ' && c < 127 && c != '#') {
			gr_buf_add_byte(out, c);
			continue;
		}
		gr_buf_add_byte(out, '%');
		gr_buf_add_byte(out, (uint8_t)hex[c >> 4]);
		gr_buf_add_byte(out, (uint8_t)hex[c & 15]);
	}
}

/* A captured value may not begin another header. */
void gr_visit_join_lines(struct gr_buf *b, size_t from)
{
	for (size_t i = from; i < b->n; i++)
		if (b->p[i] == '\r' || b->p[i] == '\n' || !b->p[i])
			b->p[i] = ' ';
}

struct gr_slice gr_visit_render(struct gr_gen *g, struct gr_visit *v)
{
	const struct gr_load_request *r = v->request;
	const struct gr_load_origin *o = v->pool->origin;
	struct gr_extra *x = v->x;
	bool has_host = false, has_agent = false, has_accept = false;
	struct gr_slice cookies;
	char text[32];
	size_t at;

	gr_buf_clear(&x->out);
	gr_buf_clear(&x->path);
	gr_buf_clear(&x->body_out);
	gr_load_render(&r->body, &x->ctx, &x->body_out);
	if (o->scheme == GR_LOAD_TCP)
		return gr_buf_slice(&x->body_out);
	if (o->scheme == GR_LOAD_WS || o->scheme == GR_LOAD_WSS) {
		gr_ws_frame(g, &x->out, r->is_text, gr_buf_slice(&x->body_out));
		return gr_buf_slice(&x->out);
	}
	gr_load_render(&r->path, &x->ctx, &x->path);
	cookies = gr_answer_cookies(v);
	gr_buf_add_str(&x->out, r->method);
	gr_buf_add_byte(&x->out, ' ');
	gr_visit_add_path(&x->out, &x->path);
	gr_buf_add_str(&x->out, " HTTP/1.1\r\n");
	for (uint32_t i = 0; i < r->n_headers; i++) {
		has_host |= !strcasecmp(r->headers[i].name, "host");
		has_agent |= !strcasecmp(r->headers[i].name, "user-agent");
		has_accept |= !strcasecmp(r->headers[i].name, "accept");
		gr_buf_add_str(&x->out, r->headers[i].name);
		gr_buf_add_str(&x->out, ": ");
		at = x->out.n;
		gr_load_render(&r->headers[i].value, &x->ctx, &x->out);
		gr_visit_join_lines(&x->out, at);
		gr_buf_add_str(&x->out, "\r\n");
	}
	if (!has_host) {
		gr_buf_add_str(&x->out, "Host: ");
		gr_buf_add_str(&x->out, o->authority);
		gr_buf_add_str(&x->out, "\r\n");
	}
	if (!has_agent)
		gr_buf_add_str(&x->out, "User-Agent: griddle/" GR_VERSION "\r\n");
	if (!has_accept)
		gr_buf_add_str(&x->out, "Accept: */*\r\n");
	if (cookies.n) {
		gr_buf_add_str(&x->out, "Cookie: ");
		gr_buf_add(&x->out, cookies.p, cookies.n);
		gr_buf_add_str(&x->out, "\r\n");
	}
	if (!g->plan->is_keepalive)
		gr_buf_add_str(&x->out, "Connection: close\r\n");
	if (r->has_body || !strcmp(r->method, "POST") || !strcmp(r->method, "PUT"))
		gr_buf_add(&x->out, text, (size_t)snprintf(text, sizeof(text), "Content-Length: %zu\r\n", x->body_out.n));
	gr_buf_add_str(&x->out, "\r\n");
	if (x->body_out.n)
		gr_buf_add(&x->out, x->body_out.p, x->body_out.n);
	return gr_buf_slice(&x->out);
}
