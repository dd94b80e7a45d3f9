/* http.c - libmicrohttpd on the program's own loop: its epoll descriptor in one uv_poll, its timeout in one uv_timer. No
 * thread. Connections, their memory, their idle time and the bodies of requests are bounded; who asks is checked before
 * a body is taken in. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <microhttpd.h>

#include "coordinator/batch.h"
#include "coordinator/coord.h"
#include "coordinator/http/http.h"
#include "coordinator/http/recent.h"
#include "coordinator/http/stream.h"
#include "coordinator/http/tail.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/net/addr.h"

#define MAX_CONNECTIONS 256u
#define MAX_PER_ADDRESS 192u  /* all that may stay open to events and logs, and as many beside */
#define IDLE_S 15u
#define PING_MS 10000u
#define WAKE_MS 50u
#define CSP "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct gr_http {
	struct gr_coord *c;
	struct MHD_Daemon *daemon;
	struct gr_http_access access;
	struct gr_streams *streams;
	struct gr_tails *tails;
	struct gr_timer *ping, *second;
	uv_poll_t poll;
	uv_timer_t timer;
	bool is_waking;                /* the timer is set to wake the streams */
	int n_open;                    /* handles that are not closed yet */
	struct gr_list waiting;        /* requests whose answer comes later */
};
struct gr_later {
	struct request *q;             /* NULL: the request is gone */
};
struct request {
	struct gr_request rq;
	struct gr_reply r;
	const struct gr_route *route;  /* NULL: r is the answer already */
	char *scratch;
	struct gr_buf body;
	bool is_body_due;
	struct gr_list link;           /* of those that wait */
	struct gr_http *h;
	struct MHD_Connection *conn;
	struct gr_later *later;
	bool is_asked, is_asleep;
};

static void turn_soon(struct gr_http *h);

/* ---- requests ---- */

static enum MHD_Result queue(struct gr_http *h, struct MHD_Connection *conn, struct request *q)
{
	struct gr_reply *r = &q->r;
	struct MHD_Response *resp = NULL;
	enum MHD_Result ok;
	size_t n;
	char *text;

	if (r->is_stream) {
		resp = gr_stream_open(h->streams, conn, q->rq.last_event_id);
		if (!resp)
			gr_api_problem(r, 503, "too many listen already");
	}
	if (r->tail)
		resp = gr_tail_respond(&r->tail, conn);
	if (!resp && r->has_file) {
		resp = MHD_create_response_from_fd64(r->n_file, r->file);
		r->has_file = !resp;           /* the response closes it */
		if (!resp)
			return MHD_NO;
	}
	if (!resp && r->still.p)
		resp = MHD_create_response_from_buffer(r->still.n, (void *)(uintptr_t)r->still.p, MHD_RESPMEM_PERSISTENT);
	if (!resp) {
		text = gr_buf_take(&r->body, &n);
		resp = MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
		if (!resp)
			free(text);
	}
	if (!resp)
		return MHD_NO;
	MHD_add_response_header(resp, MHD_HTTP_HEADER_CONTENT_TYPE, r->type);
	MHD_add_response_header(resp, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(resp, "X-Content-Type-Options", "nosniff");
	if (r->is_page) {
		MHD_add_response_header(resp, "Content-Security-Policy", CSP);
		MHD_add_response_header(resp, "Referrer-Policy", "no-referrer");
	}
	if (r->status == 405)
		MHD_add_response_header(resp, MHD_HTTP_HEADER_ALLOW, r->location);
	if (r->status == 201)
		MHD_add_response_header(resp, MHD_HTTP_HEADER_LOCATION, r->location);
	if (r->status == 401)
		MHD_add_response_header(resp, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"griddle\"");
	ok = MHD_queue_response(conn, r->status, resp);
	MHD_destroy_response(resp);
	return ok;
}

static enum MHD_Result add_query(void *ctx, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct gr_request *rq = ctx;

	(void)kind;
	if (rq->n_query < GR_HTTP_MAX_QUERY)
		rq->query[rq->n_query++] = (struct gr_query){ key, value ? value : "" };
	return MHD_YES;
}

static const char *header(struct MHD_Connection *conn, const char *name)
{
	return MHD_lookup_connection_value(conn, MHD_HEADER_KIND, name);
}

/* What can be said before the body: no such path, not allowed, too large. Return: the route, or NULL with the reply. */
static const struct gr_route *judge(struct gr_http *h, struct MHD_Connection *conn, struct request *q)
{
	struct gr_auth_facts f = {
		.authorization = header(conn, "Authorization"), .host = header(conn, "Host"), .origin = header(conn, "Origin"),
		.fetch_site = header(conn, "Sec-Fetch-Site"),
	};
	const char *length = header(conn, "Content-Length"), *last = header(conn, "Last-Event-ID");
	const struct gr_route *route;

	q->is_body_due = header(conn, "Transfer-Encoding") || (length && strtoull(length, NULL, 10));
	route = gr_api_route(&q->rq, q->scratch, &q->r);
	if (!route || !gr_auth_check(&h->access, &f, gr_route_role(route), &q->rq, &q->r))
		return NULL;
	q->rq.length = length ? (int64_t)(strtoull(length, NULL, 10) & INT64_MAX) : q->is_body_due ? -1 : 0;
	if (gr_route_begins(route))
		return gr_route_begins(route)(h->c, &q->rq, &q->r) ? route : NULL;
	if (length && strtoull(length, NULL, 10) > GR_HTTP_MAX_BODY_BYTES) {
		gr_api_problem(&q->r, 413, "the body is over %u MiB", GR_HTTP_MAX_BODY_BYTES >> 20);
		return NULL;
	}
	q->rq.last_event_id = last ? strtoull(last, NULL, 10) : 0;
	MHD_get_connection_values(conn, MHD_GET_ARGUMENT_KIND, add_query, &q->rq);
	return route;
}

static bool read_body(struct request *q)
{
	json_error_t je;

	if (!q->body.n)
		return true;
	q->rq.body = json_loadb((const char *)q->body.p, q->body.n, JSON_REJECT_DUPLICATES, &je);
	if (!json_is_object(q->rq.body)) {
		if (q->rq.body)
			gr_api_problem(&q->r, 400, "the body is no JSON object");
		else
			gr_api_problem(&q->r, 400, "the body is no JSON: %s at line %d, column %d", je.text, je.line, je.column);
		return false;
	}
	return true;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *conn, const char *url, const char *method, const char *version,
				  const char *upload, size_t *n_upload, void **state)
{
	struct request *q = *state;
	struct gr_http *h = ctx;

	(void)version;
	if (!q) {
		*state = GR_NEW(q);
		q->rq.method = method;
		q->rq.path = url;
		q->rq.http = q;
		q->h = h;
		gr_list_init(&q->link);
		q->scratch = gr_xalloc(strlen(url) + 1);
		q->route = judge(h, conn, q);
		if (q->route || !q->is_body_due)
			return MHD_YES;
		return queue(h, conn, q);       /* the body is not read: the connection ends behind the answer */
	}
	if (*n_upload) {
		if (q->rq.put) {
			if (q->rq.put_rc >= 0)
				q->rq.put_rc = gr_batch_put_add(q->rq.put, gr_slice(upload, *n_upload));
			*n_upload = 0;
			return MHD_YES;
		}
		if (!q->route || q->body.n + *n_upload > GR_HTTP_MAX_BODY_BYTES)
			return MHD_NO;
		gr_buf_add(&q->body, upload, *n_upload);
		*n_upload = 0;
		return MHD_YES;
	}
	if (!q->is_asked && q->route && read_body(q)) {
		q->is_asked = true;
		q->conn = conn;
		gr_api_answer(h->c, q->route, &q->rq, &q->r);
	}
	if (q->later) {
		q->is_asleep = true;
		gr_list_push(&h->waiting, &q->link);
		MHD_suspend_connection(conn);
		return MHD_YES;
	}
	return queue(h, conn, q);
}

static void on_done(void *ctx, struct MHD_Connection *conn, void **state, enum MHD_RequestTerminationCode code)
{
	struct request *q = *state;

	(void)ctx, (void)conn, (void)code;
	if (!q)
		return;
	if (q->later)
		q->later->q = NULL;
	gr_list_del(&q->link);
	json_decref(q->rq.body);
	gr_batch_put_abort(&q->rq.put);
	gr_tail_free(&q->r.tail);
	if (q->r.has_file)
		close(q->r.file);
	gr_buf_fini(&q->body);
	gr_buf_fini(&q->r.body);
	free(q->scratch);
	free(q);
	*state = NULL;
}

struct gr_later *gr_http_later(struct gr_request *rq)
{
	struct request *q = rq->http;

	GR_NEW(q->later);
	q->later->q = q;
	return q->later;
}

struct gr_tails *gr_http_tails(const struct gr_request *rq)
{
	const struct request *q = rq->http;

	return q->h->tails;
}

struct gr_reply *gr_later_reply(struct gr_later *l)
{
	return l->q ? &l->q->r : NULL;
}

static void wake(struct request *q)
{
	q->later = NULL;
	if (!q->is_asleep)
		return;
	q->is_asleep = false;
	gr_list_del(&q->link);
	MHD_resume_connection(q->conn);
	turn_soon(q->h);
}

void gr_later_done(struct gr_later **l)
{
	struct request *q = (*l)->q;

	free(*l);
	*l = NULL;
	if (q)
		wake(q);
}

static void on_log(void *ctx, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void on_log(void *ctx, const char *fmt, va_list ap)
{
	char line[256];
	int n;

	(void)ctx;
	n = vsnprintf(line, sizeof(line), fmt, ap);
	while (n > 0 && n < (int)sizeof(line) && line[n - 1] == '\n')
		line[--n] = 0;
	gr_debug("http", "%s", line);
}

/* ---- the loop ---- */

static void turn(struct gr_http *h);

static void on_poll(uv_poll_t *p, int status, int events)
{
	(void)status, (void)events;
	turn(p->data);
}

static void on_timer(uv_timer_t *t)
{
	struct gr_http *h = t->data;

	if (h->is_waking) {
		h->is_waking = false;
		gr_streams_wake(h->streams);
	}
	turn(h);
}

static void turn(struct gr_http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(h->daemon);
	if (h->is_waking)
		return;                 /* the timer is due soon */
	if (MHD_get_timeout(h->daemon, &ms) == MHD_YES)
		uv_timer_start(&h->timer, on_timer, ms, 0);
	else
		uv_timer_stop(&h->timer);
}

/* Not from within the daemon's own callbacks. */
static void turn_soon(struct gr_http *h)
{
	uv_timer_start(&h->timer, on_timer, 0, 0);
}

static void turn_now(void *ctx)
{
	turn(ctx);
}

static void turn_after(void *ctx)
{
	turn_soon(ctx);
}

/* Events come in bursts: who listens is woken once in 50 ms. */
static void on_news(void *ctx)
{
	struct gr_http *h = ctx;

	if (h->is_waking)
		return;
	h->is_waking = true;
	uv_timer_start(&h->timer, on_timer, WAKE_MS, 0);
}

static void on_ping(void *ctx)
{
	struct gr_http *h = ctx;

	gr_streams_ping(h->streams);
	gr_tails_ping(h->tails);
}

static void say_where(struct gr_http *h, const char *endpoint)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
	const char *colon = strrchr(endpoint, ':');

	snprintf(h->c->http_endpoint, sizeof(h->c->http_endpoint), "%.*s:%u", (int)(colon - endpoint), endpoint, info ? info->port : 0);
}

static void http_free(struct gr_http *h)
{
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	gr_streams_free(&h->streams);
	gr_tails_free(&h->tails);
	gr_tokens_free(&h->access.tokens);
	free(h);
}

static void on_second(void *ctx)
{
	struct gr_http *h = ctx;
	struct gr_coord *c = h->c;
	struct gr_recent_sample s = { 0 };

	gr_status_sample(c, &s);
	gr_recent_sample(c->recent, gr_clock_real_ms(), &s);
}

int gr_http_open(struct gr_coord *c, struct gr_err *err)
{
	unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME;
	const union MHD_DaemonInfo *info;
	struct sockaddr_storage ss;
	struct gr_http *h;
	bool is_loopback = false;
	int rc = gr_addr_parse(c->cfg.http, &ss, &is_loopback, err);

	if (rc < 0)
		return rc;
	if (!is_loopback && !c->cfg.http_tokens && !c->cfg.http_anywhere)
		return gr_err_set(err, GR_ECONFIG, "%s is beyond loopback: --http-tokens FILE says who may use the API there, "
				  "--http-anywhere serves health and metrics alone", c->cfg.http);
	GR_NEW(h);
	h->c = c;
	gr_list_init(&h->waiting);
	h->access.is_loopback = is_loopback;
	if (c->cfg.http_tokens) {
		rc = gr_tokens_open(c->cfg.http_tokens, &h->access.tokens, err);
		if (rc < 0) {
			http_free(h);
			return gr_err_wrap(err, "http-tokens");
		}
	}
	if (ss.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, h,
				     MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
				     MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&ss,
				     MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL,
				     MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
				     MHD_OPTION_PER_IP_CONNECTION_LIMIT, MAX_PER_ADDRESS,
				     MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32768,
				     MHD_OPTION_END);
	if (!h->daemon) {
		http_free(h);
		return gr_err_set(err, GR_EIO, "cannot listen on %s", c->cfg.http);
	}
	info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || info->epoll_fd < 0 || uv_poll_init(gr_loop_uv(c->loop), &h->poll, info->epoll_fd) < 0) {
		http_free(h);
		return gr_err_set(err, GR_EIO, "libmicrohttpd has no epoll here");
	}
	uv_timer_init(gr_loop_uv(c->loop), &h->timer);
	h->poll.data = h->timer.data = h;
	h->n_open = 2;
	uv_poll_start(&h->poll, UV_READABLE, on_poll);
	c->events = gr_events_new(gr_clock_real_ms());
	h->streams = gr_streams_new(c->events, turn_now, h);
	h->tails = gr_tails_new(c, turn_after, h);
	gr_events_watch(c->events, on_news, h);
	c->recent = gr_recent_new();
	h->second = gr_timer_start(c->loop, 0, 1000, on_second, h);
	h->ping = gr_timer_start(c->loop, PING_MS, PING_MS, on_ping, h);
	say_where(h, c->cfg.http);
	c->http = h;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct gr_http *h = handle->data;

	if (!--h->n_open)
		http_free(h);
}

void gr_http_close(struct gr_coord *c)
{
	struct gr_http *h = c->http;

	if (!h)
		return;
	c->http = NULL;
	gr_events_watch(c->events, NULL, NULL);
	h->is_waking = false;
	GR_LIST_EACH_SAFE(q, &h->waiting, struct request, link) {
		gr_api_problem(&q->r, 503, "the coordinator is ending");
		q->later->q = NULL;
		wake(q);
	}
	gr_tails_end(h->tails);
	gr_streams_end(h->streams);         /* suspended connections would keep the daemon */
	MHD_run(h->daemon);
	gr_timer_stop(&h->ping);
	gr_timer_stop(&h->second);
	uv_poll_stop(&h->poll);
	uv_timer_stop(&h->timer);
	uv_close((uv_handle_t *)&h->poll, on_closed);
	uv_close((uv_handle_t *)&h->timer, on_closed);
}
