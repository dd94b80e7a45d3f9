/* probe.c - /livez and /readyz of a worker, for a kubelet or another supervisor
 *
 * Alive means that the loop turns: no answer here depends on the coordinator, so that its absence never restarts a
 * worker. Ready means connected and taking tasks. libmicrohttpd on the program's own loop, as in the coordinator. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "lib/base/alloc.h"
#include "lib/net/addr.h"
#include "worker/worker.h"

#define MAX_CONNECTIONS 16u
#define IDLE_S 5u

struct gr_probe {
	struct gr_worker *w;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer;
	int n_open;                    /* handles that are not closed yet */
};

static const char *why_not_ready(const struct gr_worker *w)
{
	if (w->is_draining)
		return "draining\n";
	if (!w->link || !gr_link_is_up(w->link))
		return "not connected to the coordinator\n";
	return w->has_stale_tools ? "a compiler was replaced; looking at all of them again\n" : NULL;
}

static enum MHD_Result reply(struct MHD_Connection *conn, unsigned status, const char *text)
{
	struct MHD_Response *resp = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result ok;

	if (!resp)
		return MHD_NO;
	MHD_add_response_header(resp, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
	MHD_add_response_header(resp, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	ok = MHD_queue_response(conn, status, resp);
	MHD_destroy_response(resp);
	return ok;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *conn, const char *url, const char *method, const char *version,
				  const char *upload, size_t *n_upload, void **state)
{
	const struct gr_probe *p = ctx;
	const char *why;

	(void)version, (void)upload, (void)state;
	if (*n_upload)
		return MHD_NO;
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return reply(conn, 405, "only GET and HEAD are served here\n");
	if (!strcmp(url, "/livez"))
		return reply(conn, 200, "ok\n");
	if (strcmp(url, "/readyz"))
		return reply(conn, 404, "there are /livez and /readyz\n");
	why = why_not_ready(p->w);
	return why ? reply(conn, 503, why) : reply(conn, 200, "ok\n");
}

static void turn(struct gr_probe *p);

static void on_poll(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	turn(poll->data);
}

static void on_timer(uv_timer_t *timer)
{
	turn(timer->data);
}

static void turn(struct gr_probe *p)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(p->daemon);
	if (MHD_get_timeout(p->daemon, &ms) == MHD_YES)
		uv_timer_start(&p->timer, on_timer, ms, 0);
	else
		uv_timer_stop(&p->timer);
}

int gr_probe_open(struct gr_worker *w, const char *endpoint, struct gr_probe **out, struct gr_err *err)
{
	unsigned flags = MHD_USE_EPOLL;
	const union MHD_DaemonInfo *info;
	struct sockaddr_storage ss;
	struct gr_probe *p;
	bool is_loopback;
	int rc = gr_addr_parse(endpoint, &ss, &is_loopback, err);

	if (rc < 0)
		return gr_err_wrap(err, "probe");
	if (ss.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	GR_NEW(p);
	p->w = w;
	p->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, p,
				     MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&ss,
				     MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
				     MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)8192,
				     MHD_OPTION_END);
	if (!p->daemon) {
		free(p);
		return gr_err_set(err, GR_EIO, "probe: cannot listen on %s", endpoint);
	}
	info = MHD_get_daemon_info(p->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || info->epoll_fd < 0 || uv_poll_init(gr_loop_uv(w->loop), &p->poll, info->epoll_fd) < 0) {
		MHD_stop_daemon(p->daemon);
		free(p);
		return gr_err_set(err, GR_EIO, "probe: libmicrohttpd has no epoll here");
	}
	uv_timer_init(gr_loop_uv(w->loop), &p->timer);
	p->poll.data = p->timer.data = p;
	p->n_open = 2;
	uv_poll_start(&p->poll, UV_READABLE, on_poll);
	*out = p;
	return 0;
}

uint16_t gr_probe_port(const struct gr_probe *p)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(p->daemon, MHD_DAEMON_INFO_BIND_PORT);

	return info ? info->port : 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct gr_probe *p = handle->data;

	if (--p->n_open)
		return;
	MHD_stop_daemon(p->daemon);
	free(p);
}

void gr_probe_close(struct gr_probe **pp)
{
	struct gr_probe *p = *pp;

	*pp = NULL;
	if (!p)
		return;
	uv_poll_stop(&p->poll);
	uv_close((uv_handle_t *)&p->poll, on_closed);
	uv_close((uv_handle_t *)&p->timer, on_closed);
}
