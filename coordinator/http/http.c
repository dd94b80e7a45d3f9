/* http.c - libmicrohttpd on the program's own loop: its epoll descriptor in one uv_poll, its timeout in one uv_timer. No
 * thread. Connections, their memory and their idle time are bounded; bodies of requests are read and thrown away up to
 * a limit, since only GET is served. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "coordinator/coord.h"
#include "coordinator/http/http.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"

#define MAX_CONNECTIONS 128u
#define MAX_PER_ADDRESS 64u
#define IDLE_S 15u
#define MAX_BODY_BYTES 65536u

struct gr_http {
	struct gr_coord *c;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer;
	int n_open;                    /* handles that are not closed yet */
};
struct request {
	size_t n_body;
};

/* ---- requests ---- */

static enum MHD_Result answer(struct gr_http *h, struct MHD_Connection *conn, const char *method, const char *path)
{
	struct gr_reply r = { 0 };
	struct MHD_Response *resp;
	enum MHD_Result ok;
	size_t n;
	char *text;

	gr_api_answer(h->c, method, path, &r);
	text = gr_buf_take(&r.body, &n);
	resp = MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
	if (!resp) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(resp, MHD_HTTP_HEADER_CONTENT_TYPE, r.type);
	MHD_add_response_header(resp, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(resp, "X-Content-Type-Options", "nosniff");
	if (r.status == 405)
		MHD_add_response_header(resp, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	ok = MHD_queue_response(conn, r.status, resp);
	MHD_destroy_response(resp);
	return ok;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *conn, const char *url, const char *method, const char *version,
				  const char *upload, size_t *n_upload, void **state)
{
	struct request *rq = *state;

	(void)version, (void)upload;
	if (!rq) {
		*state = GR_NEW(rq);
		return MHD_YES;
	}
	if (*n_upload) {
		rq->n_body += *n_upload;
		*n_upload = 0;
		return rq->n_body > MAX_BODY_BYTES ? MHD_NO : MHD_YES;
	}
	return answer(ctx, conn, method, url);
}

static void on_done(void *ctx, struct MHD_Connection *conn, void **state, enum MHD_RequestTerminationCode code)
{
	(void)ctx, (void)conn, (void)code;
	free(*state);
	*state = NULL;
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
	turn(t->data);
}

static void turn(struct gr_http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(h->daemon);
	if (MHD_get_timeout(h->daemon, &ms) == MHD_YES)
		uv_timer_start(&h->timer, on_timer, ms, 0);
	else
		uv_timer_stop(&h->timer);
}

/* "HOST:PORT", HOST a numeric IPv4 address, "[IPv6]", "localhost" or "*". */
static int parse(const char *endpoint, struct sockaddr_storage *ss, bool *is_loopback, struct gr_err *err)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	const char *colon = strrchr(endpoint, ':');
	char host[64] = "", *end = NULL;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
	size_t n = colon ? (size_t)(colon - endpoint) : 0;

	memset(ss, 0, sizeof(*ss));
	if (!colon || !colon[1] || *end || port > 65535 || !n || n >= sizeof(host))
		return gr_err_set(err, GR_ECONFIG, "\"%s\" is not HOST:PORT", endpoint);
	memcpy(host, endpoint, n);
	if (!strcmp(host, "localhost"))
		strcpy(host, "127.0.0.1");
	if (!strcmp(host, "*"))
		strcpy(host, "0.0.0.0");
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = 0;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
			return gr_err_set(err, GR_ECONFIG, "\"%s\" is not an IPv6 address", host + 1);
		*is_loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
		return 0;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		return gr_err_set(err, GR_ECONFIG, "\"%s\" is not an IP address", host);
	*is_loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
	return 0;
}

static void say_where(struct gr_http *h, const char *endpoint)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
	const char *colon = strrchr(endpoint, ':');

	snprintf(h->c->http_endpoint, sizeof(h->c->http_endpoint), "%.*s:%u", (int)(colon - endpoint), endpoint, info ? info->port : 0);
}

int gr_http_open(struct gr_coord *c, const char *endpoint, bool anywhere, struct gr_err *err)
{
	unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG;
	const union MHD_DaemonInfo *info;
	struct sockaddr_storage ss;
	struct gr_http *h;
	bool is_loopback = false;
	int rc = parse(endpoint, &ss, &is_loopback, err);

	if (rc < 0)
		return rc;
	if (!is_loopback && !anywhere)
		return gr_err_set(err, GR_ECONFIG, "%s is beyond loopback, and what is served there needs no key; "
				  "--http-anywhere allows it", endpoint);
	if (ss.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	GR_NEW(h);
	h->c = c;
	h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, h,
				     MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
				     MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&ss,
				     MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL,
				     MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
				     MHD_OPTION_PER_IP_CONNECTION_LIMIT, MAX_PER_ADDRESS,
				     MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32768,
				     MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
				     MHD_OPTION_END);
	if (!h->daemon) {
		free(h);
		return gr_err_set(err, GR_EIO, "cannot listen on %s", endpoint);
	}
	info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || info->epoll_fd < 0 || uv_poll_init(gr_loop_uv(c->loop), &h->poll, info->epoll_fd) < 0) {
		MHD_stop_daemon(h->daemon);
		free(h);
		return gr_err_set(err, GR_EIO, "libmicrohttpd has no epoll here");
	}
	uv_timer_init(gr_loop_uv(c->loop), &h->timer);
	h->poll.data = h->timer.data = h;
	h->n_open = 2;
	uv_poll_start(&h->poll, UV_READABLE, on_poll);
	say_where(h, endpoint);
	c->http = h;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct gr_http *h = handle->data;

	if (--h->n_open)
		return;
	MHD_stop_daemon(h->daemon);
	free(h);
}

void gr_http_close(struct gr_coord *c)
{
	struct gr_http *h = c->http;

	if (!h)
		return;
	c->http = NULL;
	uv_poll_stop(&h->poll);
	uv_close((uv_handle_t *)&h->poll, on_closed);
	uv_close((uv_handle_t *)&h->timer, on_closed);
}
