/* conn.c - connections: opened when none is free, the last used taken first, kept while the peer keeps them
 *
 * Registered once with epoll, edge triggered, for reading and writing. What is read goes into one buffer of the thread;
 * only an unfinished head is kept with its connection. Tried and not kept: taking the longest unused first (the others'
 * memory is cold, and the peer's time limit for idle ones is met more often). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/net/loop.h"
#include "worker/load/gen.h"

static enum gr_load_fail fail_of(int e)
{
	switch (e) {
	case ECONNREFUSED: return GR_LOAD_F_REFUSED;
	case ETIMEDOUT: return GR_LOAD_F_CONNECT_TIMEOUT;
	case ECONNRESET:
	case EPIPE:
	case ECONNABORTED: return GR_LOAD_F_RESET;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
	case EADDRINUSE: return GR_LOAD_F_LOCAL;
	default: return GR_LOAD_F_UNREACHABLE;
	}
}

/* ---- bytes ---- */

static long tls_result(struct gr_conn *c, int n)
{
	int e = SSL_get_error(c->ssl, n);

	ERR_clear_error();
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return -1;
	if (e == SSL_ERROR_ZERO_RETURN)
		return 0;
	return -2;
}

long gr_conn_read(struct gr_gen *g, struct gr_conn *c, void *p, size_t n)
{
	long got;

	if (c->ssl) {
		int rc = SSL_read(c->ssl, p, (int)n);

		got = rc > 0 ? rc : tls_result(c, rc);
	} else {
		got = read(c->fd, p, n);
		if (got < 0)
			got = errno == EAGAIN || errno == EINTR ? -1 : -2;
	}
	if (got > 0)
		g->c.n[GR_LOAD_BYTES_IN] += (uint64_t)got;
	return got;
}

long gr_conn_write(struct gr_gen *g, struct gr_conn *c, const void *p, size_t n)
{
	long put;

	if (c->ssl) {
		int rc = SSL_write(c->ssl, p, (int)(n > 1 << 20 ? 1 << 20 : n));

		put = rc > 0 ? rc : tls_result(c, rc);
		put = put == 0 ? -2 : put;
	} else {
		put = send(c->fd, p, n, MSG_NOSIGNAL);
		if (put < 0)
			put = errno == EAGAIN || errno == EINTR ? -1 : -2;
	}
	if (put > 0)
		g->c.n[GR_LOAD_BYTES_OUT] += (uint64_t)put;
	return put;
}

/* ---- opening and closing ---- */

static int open_socket(struct gr_pool *p)
{
	struct gr_names *names = gr_shard__names(p->g);
	uint32_t version = gr_names_version(names), i;
	int fd, one = 1, e;

	if (p->names != version) {
		gr_names_get(names, p->i_origin, &p->addrs);
		p->names = version;
	}
	i = p->i_addr++ % p->addrs.n;
	fd = socket(p->addrs.a[i].ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&p->addrs.a[i], p->addrs.len[i]) < 0 && errno != EINPROGRESS) {
		e = errno;
		close(fd);
		return -e;
	}
	return fd;
}

/* @v NULL: for whoever comes. Return: 0, or why not (the visit is the caller's still), negative errno. */
static int open_conn(struct gr_gen *g, struct gr_pool *p, struct gr_visit *v)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	struct gr_conn *c;
	int fd = open_socket(p), e;

	if (fd < 0)
		return fd;
	GR_NEW(c);
	gr_list_init(&c->link);
	gr_list_init(&c->dirty);
	gr_list_init(&c->all);
	c->pool = p;
	c->fd = fd;
	c->opened_ns = g->now_ns;
	ev.data.ptr = c;
	if (epoll_ctl(g->ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
		e = errno;
		close(fd);
		free(c);
		return -e;
	}
	c->visit = v;
	if (v) {
		v->conn = c;
		v->is_fresh = true;
	}
	p->n_opening++;
	gr_list_push(&g->conns, &c->all);
	g->n_conns++;
	g->c.n[GR_LOAD_N_OPENED]++;
	return 0;
}

bool gr_conn_warm(struct gr_gen *g, struct gr_pool *p) { return open_conn(g, p, NULL) == 0; }

void gr_conn_close(struct gr_gen *g, struct gr_conn *c)
{
	struct gr_pool *p = c->pool;

	if (c->state == GR_CONN_GONE)
		return;
	if (c->state < GR_CONN_IDLE)
		p->n_opening--;
	if (c->h2)
		gr_h2_free(g, c, GR_LOAD_F_CANCELLED);
	if (c->pool->upgrade && c->state >= GR_CONN_IDLE && !c->n_out)
		gr_ws_bye(g, c);
	gr_list_del(&c->link);
	gr_list_del(&c->dirty);
	gr_list_del(&c->all);
	if (c->ssl) {
		SSL_set_quiet_shutdown(c->ssl, 1);       /* else the session would not be taken again */
		SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
		ERR_clear_error();
	}
	close(c->fd);
	gr_buf_fini(&c->carry);
	c->state = GR_CONN_GONE;
	g->n_conns--;
	gr_list_push(&g->dead, &c->link);                /* an event of this turn may still name it */
	gr_pool_kick(g, p);
}

void gr_conn_broke(struct gr_gen *g, struct gr_conn *c, enum gr_load_fail why)
{
	struct gr_visit *v = c->visit;

	c->visit = NULL;
	if (c->h2)
		gr_h2_free(g, c, why);
	if (v)
		v->conn = NULL;
	if (c->state == GR_CONN_GONE)
		return;
	gr_conn_close(g, c);
	if (v)
		gr_visit_lost(g, v, why);
}

/* ---- who gets which ---- */

static bool make_room(struct gr_gen *g, struct gr_pool *p)
{
	if (g->n_conns < g->max_conns)
		return true;
	for (uint32_t i = 0; i < g->n_pools; i++) {      /* one that nobody uses, of another host */
		struct gr_pool *o = &g->pools[i];
		struct gr_conn *unused = NULL;

		if (o == p)
			continue;
		if (!gr_list_is_empty(&o->idle))
			unused = GR_CONTAINER(o->idle.prev, struct gr_conn, link);
		GR_LIST_EACH(c, &o->shared, struct gr_conn, link)
			if (gr_h2_is_idle(c))
				unused = c;
		if (unused) {
			gr_conn_close(g, unused);
			return g->n_conns < g->max_conns;
		}
	}
	return false;
}

static void send_on(struct gr_gen *g, struct gr_conn *c, struct gr_visit *v)
{
	const struct gr_load_request *r = v->request;

	c->visit = v;
	v->conn = c;
	c->state = GR_CONN_BUSY;
	c->n_requests++;
	gr_http1_init(&c->h1, r->method[0] == 'H' && !strcmp(r->method, "HEAD"));
	gr_visit_sent(g, v);
	gr_conn_send(g, c, r->is_static ? gr_buf_slice(&g->fixed[r->id]) : gr_visit_render(g, v));
}

static void wait_for_one(struct gr_visit *v)
{
	gr_list_push(&v->pool->waiting, &v->link);
	v->is_waiting = true;
	v->pool->n_waiting++;
}

static struct gr_visit *stop_waiting(struct gr_pool *p)
{
	struct gr_visit *v = GR_CONTAINER(gr_list_pop(&p->waiting), struct gr_visit, link);

	v->is_waiting = false;
	p->n_waiting--;
	return v;
}

static struct gr_conn *with_room(struct gr_pool *p)
{
	GR_LIST_EACH(c, &p->shared, struct gr_conn, link)
		if (gr_h2_room(c))
			return c;
	return NULL;
}

/* Streams of a connection are shared: one is opened when those that open now will not be enough. */
static void want_shared(struct gr_gen *g, struct gr_visit *v)
{
	struct gr_pool *p = v->pool;
	struct gr_conn *c = with_room(p);

	if (c && gr_list_is_empty(&p->waiting) && gr_h2_request(g, c, v))
		return;
	wait_for_one(v);
	gr_pool_kick(g, p);
}

void gr_conn_want(struct gr_gen *g, struct gr_visit *v)
{
	struct gr_pool *p = v->pool;
	struct gr_conn *c;
	int rc;

	if (gr_gen_is_h2(g, p)) {
		want_shared(g, v);
		return;
	}
	if (!gr_list_is_empty(&p->idle)) {
		c = GR_CONTAINER(p->idle.next, struct gr_conn, link);
		gr_list_del(&c->link);
		v->is_fresh = !c->n_requests;
		send_on(g, c, v);
		return;
	}
	if (!gr_list_is_empty(&p->waiting) || !make_room(g, p)) {
		wait_for_one(v);
		return;
	}
	rc = open_conn(g, p, v);
	if (rc < 0)
		gr_visit_failed(g, v, fail_of(-rc));
}

/* A connection went: those that wait may have one opened. */
void gr_pool_kick(struct gr_gen *g, struct gr_pool *p)
{
	struct gr_visit *v;
	int rc;

	if (gr_gen_is_h2(g, p)) {
		while (!g->is_stopping && p->n_waiting > p->n_opening * g->plan->n_streams && make_room(g, p)) {
			rc = open_conn(g, p, NULL);
			if (rc < 0) {
				gr_visit_failed(g, stop_waiting(p), fail_of(-rc));
				return;
			}
		}
		return;
	}
	while (!gr_list_is_empty(&p->waiting) && !g->is_stopping && make_room(g, p)) {
		v = stop_waiting(p);
		rc = open_conn(g, p, v);
		if (rc < 0)
			gr_visit_failed(g, v, fail_of(-rc));
	}
}

void gr_pools_balance(struct gr_gen *g)
{
	for (uint32_t i = 0; g->plan->n_origins > 1 && i < g->n_pools; i++)
		if (g->pools[i].n_waiting)
			gr_pool_kick(g, &g->pools[i]);
}

enum gr_load_fail gr_pool_overdue(struct gr_gen *g, struct gr_pool *p)
{
	enum gr_load_fail why = p->n_opening && gr_list_is_empty(&p->shared) ? GR_LOAD_F_CONNECT_TIMEOUT : GR_LOAD_F_NO_CONNECTION;

	GR_LIST_EACH_SAFE(c, &g->conns, struct gr_conn, all) {
		if (c->pool != p || c->state >= GR_CONN_IDLE || c->opened_ns + g->plan->timeout_ns > g->now_ns)
			continue;
		if (c->state == GR_CONN_TLS)
			why = GR_LOAD_F_TLS;
		gr_conn_close(g, c);             /* opens another for those that wait */
	}
	return why;
}

void gr_conn_free_for_next(struct gr_gen *g, struct gr_conn *c, bool is_reusable)
{
	struct gr_pool *p = c->pool;

	c->visit = NULL;
	c->out = NULL;
	c->n_out = 0;
	if (!is_reusable || g->is_over) {
		gr_conn_close(g, c);
		return;
	}
	if (c->carry.cap)
		gr_buf_fini(&c->carry);
	if (!gr_list_is_empty(&p->waiting)) {
		struct gr_visit *v = stop_waiting(p);

		v->is_fresh = !c->n_requests;
		send_on(g, c, v);
		return;
	}
	c->state = GR_CONN_IDLE;
	gr_list_push_front(&p->idle, &c->link);
}

void gr_conn_ready(struct gr_gen *g, struct gr_conn *c)
{
	struct gr_pool *p = c->pool;
	struct gr_visit *v = c->visit;

	p->n_opening--;
	if (gr_gen_is_h2(g, p)) {
		c->state = GR_CONN_SHARED;
		gr_list_push_front(&p->shared, &c->link);
		if (!gr_h2_open(g, c)) {
			gr_conn_broke(g, c, GR_LOAD_F_H2_PROTOCOL);
			return;
		}
		while (p->n_waiting && c->state == GR_CONN_SHARED && gr_h2_room(c)) {
			struct gr_visit *w = stop_waiting(p);

			w->is_fresh = true;
			if (!gr_h2_request(g, c, w)) {
				gr_list_push_front(&p->waiting, &w->link);
				w->is_waiting = true;
				p->n_waiting++;
				break;
			}
		}
		return;
	}
	c->state = GR_CONN_BUSY;
	if (v)
		send_on(g, c, v);
	else
		gr_conn_free_for_next(g, c, true);
}

/* ---- input and output ---- */

void gr_conn_flush(struct gr_gen *g, struct gr_conn *c)
{
	while (c->n_out) {
		long n = gr_conn_write(g, c, c->out, c->n_out);

		if (n == -1)
			return;                  /* epoll says when */
		if (n < 0) {
			/* what it said before it closed may be there to read */
			if (c->state == GR_CONN_BUSY && !c->ssl) {
				c->n_out = 0;
				return;
			}
			gr_conn_broke(g, c, GR_LOAD_F_RESET);
			return;
		}
		c->out += n;
		c->n_out -= (uint32_t)n;
	}
}

void gr_conn_send(struct gr_gen *g, struct gr_conn *c, struct gr_slice bytes)
{
	c->out = bytes.p;
	c->n_out = (uint32_t)bytes.n;
	gr_conn_flush(g, c);
}

static bool input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in)
{
	if (c->h2)
		return gr_h2_input(g, c, in);
	if (c->state == GR_CONN_UPGRADING)
		return gr_ws_upgrade_input(g, c, in);
	switch (c->pool->origin->scheme) {
	case GR_LOAD_WS:
	case GR_LOAD_WSS:
		return gr_ws_input(g, c, in);
	case GR_LOAD_TCP:
		return gr_tcp_input(g, c, in);
	default:
		return gr_h1_input(g, c, in);
	}
}

/* The peer closed (@n 0) or broke (@n -2) the connection. */
static void ended(struct gr_gen *g, struct gr_conn *c, long n)
{
	struct gr_visit *v = c->visit;
	enum gr_load_fail why = n < 0 ? GR_LOAD_F_RESET : GR_LOAD_F_CLOSED;

	if (c->state == GR_CONN_UPGRADING) {
		gr_conn_broke(g, c, GR_LOAD_F_UPGRADE);
		return;
	}
	if (v && v->first_ns && n == 0) {
		if (!c->h2 && (c->pool->origin->scheme == GR_LOAD_HTTP || c->pool->origin->scheme == GR_LOAD_HTTPS) &&
		    gr_http1_is_in_body(&c->h1) && gr_http1_is_whole_at_end(&c->h1)) {
			c->visit = NULL;
			gr_conn_close(g, c);
			gr_visit_answered(g, v);
			return;
		}
		why = GR_LOAD_F_TRUNCATED;
	}
	gr_conn_broke(g, c, why);
}

static void readable(struct gr_gen *g, struct gr_conn *c, bool is_end)
{
	for (int rounds = 0; c->state != GR_CONN_GONE; rounds++) {
		long n = gr_conn_read(g, c, g->rx, GR_GEN_RX_BYTES);

		g->now_ns = gr_clock_mono_ns();
		if (n == -1)
			return;
		if (n <= 0) {
			ended(g, c, n);
			return;
		}
		if (c->visit && !c->visit->first_ns)
			c->visit->first_ns = g->now_ns;
		if (!input(g, c, gr_slice(g->rx, (size_t)n)))
			return;
		/* a short read emptied it, and more will be told of; an end is only seen by reading */
		if (!c->ssl && !is_end && (size_t)n < GR_GEN_RX_BYTES)
			return;
		if (rounds == 16) {              /* an endless answer leaves the others their turn: told of again */
			struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };

			epoll_ctl(g->ep, EPOLL_CTL_MOD, c->fd, &ev);
			return;
		}
	}
}

static void connected(struct gr_gen *g, struct gr_conn *c)
{
	int e = 0;
	socklen_t n = sizeof(e);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0 || e) {
		struct gr_visit *v = c->visit;
		struct gr_pool *p = c->pool;

		/* HTTP/2 opens for all that wait: the one that waits longest learns it */
		if (!v && p->n_waiting && gr_gen_is_h2(g, p))
			v = stop_waiting(p);
		c->visit = NULL;
		if (v)
			v->conn = NULL;
		gr_conn_close(g, c);
		if (v)
			gr_visit_failed(g, v, fail_of(e));
		return;
	}
	gr_count_time(g, GR_LOAD_H_CONNECT, c->opened_ns, g->now_ns);
	c->opened_ns = g->now_ns;
	if (c->pool->origin->is_tls) {
		c->state = GR_CONN_TLS;
		if (!gr_tls_start(g, c))
			gr_conn_broke(g, c, GR_LOAD_F_TLS);
		return;
	}
	if (c->pool->upgrade)
		gr_ws_upgrade(g, c);
	else
		gr_conn_ready(g, c);
}

static void shake_hands(struct gr_gen *g, struct gr_conn *c)
{
	int rc = gr_tls_handshake(g, c);
	enum gr_load_fail why = GR_LOAD_F_TLS;

	if (!rc)
		return;
	if (rc > 0 && gr_gen_is_h2(g, c->pool) && !gr_tls_has_h2(c)) {
		rc = -1;
		why = GR_LOAD_F_ALPN;
	}
	if (rc < 0) {
		struct gr_visit *v = c->visit;
		struct gr_pool *p = c->pool;

		if (!v && p->n_waiting && gr_gen_is_h2(g, p)) {
			v = stop_waiting(p);
			v->is_fresh = true;
			c->visit = v;
		}
		gr_conn_broke(g, c, why);
		return;
	}
	gr_count_time(g, GR_LOAD_H_TLS, c->opened_ns, g->now_ns);
	g->c.n[GR_LOAD_N_SESSIONS_REUSED] += (uint64_t)SSL_session_reused(c->ssl);
	if (c->pool->upgrade)
		gr_ws_upgrade(g, c);
	else
		gr_conn_ready(g, c);
}

void gr_conn_event(struct gr_gen *g, struct gr_conn *c, uint32_t events)
{
	bool is_end = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

	if (c->state < GR_CONN_IDLE)
		g->now_ns = gr_clock_mono_ns();
	if (c->state == GR_CONN_OPENING) {
		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		connected(g, c);
		events &= ~(uint32_t)EPOLLOUT;
	}
	if (c->state == GR_CONN_TLS) {
		shake_hands(g, c);
		if (c->state == GR_CONN_TLS || c->state == GR_CONN_GONE)
			return;
	}
	if (c->state == GR_CONN_GONE)
		return;
	if (events & EPOLLOUT) {
		if (c->h2 && !gr_h2_flush(g, c))
			return;
		if (c->n_out)
			gr_conn_flush(g, c);
	}
	if (c->state != GR_CONN_GONE && ((events & EPOLLIN) || is_end || c->ssl))
		readable(g, c, is_end);
}
