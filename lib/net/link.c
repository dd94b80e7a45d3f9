/* link.c - a client's or worker's end; see link.h
 *
 * One socket an attempt: libzmq would reconnect by itself, but it keeps what was queued, and a half-done conversation with
 * a coordinator that has since restarted is worse than a new one. The socket's monitor says when the connection stands
 * (then HELLO goes out), when it breaks, and why a handshake failed, which is the only place where "key not authorised"
 * can be seen from this side.
 */
#include "lib/net/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/net_int.h"

#define BATCH 256
#define FIRST_BACKOFF_MS 100
#define MAX_BACKOFF_MS 5000
#define WELCOME_WITHIN_MS 5000
#define TICK_CONNECTING_MS 500

enum state { WAITING, CONNECTING, GREETED, UP };

struct gr_link {
	struct gr_loop *loop;
	char *endpoint;
	struct gr_keypair keys;
	char server_key[41];
	bool has_curve;
	struct gr_link_ops ops;
	void *ctx;

	enum state state;
	struct gr_sock *sock, *monitor;
	struct gr_timer *timer;      /* WAITING: the next attempt; else the heartbeat */
	uint32_t backoff_ms, heartbeat_ms, dead_ms;
	uint32_t n_made;             /* sockets made: names the monitors */
	uint64_t since_ns, seen_ns, ticked_ns, rtt_ns, ping_seq;
	int last_code;               /* of the last report, so that a long outage is said once */
	bool is_closing;
};

static void start(void *arg);
static void tick(void *arg);

static uint64_t now(struct gr_link *l) { return gr_loop_now_ns(l->loop); }
bool gr_link_is_up(const struct gr_link *l) { return l->state == UP; }
uint64_t gr_link_rtt_ns(const struct gr_link *l) { return l->rtt_ns; }

static void close_sockets(struct gr_link *l)
{
	if (l->sock)
		zmq_socket_monitor(gr_sock_zmq(l->sock), NULL, 0);
	gr_sock_close(&l->monitor);
	gr_sock_close(&l->sock);
}

/* The attempt or connection is over; the next begins after a while. @slow: no hope in hurrying (refused). */
static void fail(struct gr_link *l, int code, const char *why, bool slow)
{
	bool was_up = l->state == UP;
	uint32_t wait_ms;
	char text[512];

	if (l->state == WAITING || l->is_closing)
		return;
	snprintf(text, sizeof(text), "%s", why);
	l->state = WAITING;
	close_sockets(l);
	gr_timer_stop(&l->timer);
	if (was_up || !l->backoff_ms)
		l->backoff_ms = FIRST_BACKOFF_MS;
	/* jitter: a fleet that lost its coordinator must not come back in step */
	wait_ms = slow ? MAX_BACKOFF_MS : l->backoff_ms / 2 + gr_rng_below(gr_loop_rng(l->loop), l->backoff_ms / 2 + 1);
	l->backoff_ms = l->backoff_ms * 2 < MAX_BACKOFF_MS ? l->backoff_ms * 2 : MAX_BACKOFF_MS;
	l->timer = gr_timer_start(l->loop, wait_ms, 0, start, l);
	if (was_up || slow || code != l->last_code) {
		l->last_code = code;
		l->ops.on_down(l->ctx, code, text);
	}
}

static void say_hello(struct gr_link *l)
{
	struct gr_buf b = { 0 };
	json_t *hello;

	hello = l->ops.make_hello(l->ctx);
	gr_json_encode(&b, GR_MSG_HELLO, hello);
	json_decref(hello);
	if (gr_sock_send(gr_sock_zmq(l->sock), &b) == 0)
		l->state = GREETED;
}

/* ---- the monitor ---- */
static void monitor_event(struct gr_link *l, int event, int value)
{
	char text[400];

	switch (event) {
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		if (l->state == CONNECTING)
			say_hello(l);
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
		snprintf(text, sizeof(text), "%s: key not authorised (%d): have an administrator run `griddle keys allow %s ROLE NAME` there",
			 l->endpoint, value, l->keys.public_key);
		fail(l, GR_EAUTH, text, true);
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
		snprintf(text, sizeof(text), "%s: the handshake failed: %s", l->endpoint,
			 l->has_curve ? "is --server-key the coordinator's public key, and does it use keys?"
				      : "does the coordinator want keys (--keys, --server-key)?");
		fail(l, GR_EAUTH, text, true);
		break;
	case ZMQ_EVENT_DISCONNECTED:
		snprintf(text, sizeof(text), "%s: connection closed", l->endpoint);
		fail(l, GR_EUNREACH, text, false);
		break;
	default:
		break;
	}
}

static void on_monitor(void *ctx)
{
	struct gr_link *l = ctx;

	while (l->monitor) {
		zmq_msg_t what, where;
		uint16_t event = 0;
		int32_t value = 0;

		zmq_msg_init(&what);
		zmq_msg_init(&where);
		if (zmq_msg_recv(&what, gr_sock_zmq(l->monitor), ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&what);
			break;
		}
		if (zmq_msg_more(&what))
			zmq_msg_recv(&where, gr_sock_zmq(l->monitor), 0);
		if (zmq_msg_size(&what) >= 6) {
			memcpy(&event, zmq_msg_data(&what), 2);
			memcpy(&value, (char *)zmq_msg_data(&what) + 2, 4);
		}
		zmq_msg_close(&what);
		zmq_msg_close(&where);
		monitor_event(l, event, value);
	}
}

/* ---- messages ---- */
static uint32_t ms_of(const json_t *j, const char *key, uint32_t def)
{
	json_int_t v = json_integer_value(json_object_get(j, key));

	return v >= 10 && v <= 3600000 ? (uint32_t)v : def;
}

static void take_welcome(struct gr_link *l, struct gr_slice body)
{
	struct gr_err err;
	json_t *j;

	if (gr_json_decode(body, &j, &err) < 0) {
		fail(l, GR_EPROTO, err.text, true);
		return;
	}
	l->state = UP;
	l->last_code = 0;
	l->backoff_ms = FIRST_BACKOFF_MS;
	l->heartbeat_ms = ms_of(j, "heartbeat_ms", 1000);
	l->dead_ms = ms_of(j, "dead_ms", 5000);
	gr_timer_stop(&l->timer);
	l->ticked_ns = now(l);
	l->timer = gr_timer_start(l->loop, l->heartbeat_ms, l->heartbeat_ms, tick, l);
	l->ops.on_up(l->ctx, j);
	json_decref(j);
}

/* REJECT and BYE: {"code": name, "text": ...} */
static void take_end(struct gr_link *l, int type, struct gr_slice body)
{
	char text[400];
	const char *name;
	int code = GR_EUNREACH;
	json_t *j;

	if (gr_json_decode(body, &j, NULL) < 0) {
		fail(l, GR_EPROTO, "the coordinator sent a malformed message", true);
		return;
	}
	name = json_string_value(json_object_get(j, "code"));
	for (int c = -1; name && c > -64; c--)
		if (!strcmp(gr_err_name(c), name))
			code = c;
	snprintf(text, sizeof(text), "%s: %s: %.300s", l->endpoint, type == GR_MSG_REJECT ? "refused" : "ended by the coordinator",
		 json_string_value(json_object_get(j, "text")) ?: "no reason given");
	json_decref(j);
	fail(l, code, text, type == GR_MSG_REJECT);
}

static void take_ping(struct gr_link *l, int type, struct gr_slice body)
{
	struct gr_ping m;
	struct gr_buf b = { 0 };
	uint64_t t = now(l);

	if (gr_ping_decode(body, &m) < 0) {
		fail(l, GR_EPROTO, "the coordinator sent a malformed heartbeat", false);
		return;
	}
	if (type == GR_MSG_PING) {
		m.n_signals = 0;
		gr_ping_encode(&b, GR_MSG_PONG, &m);
		(void)gr_sock_send(gr_sock_zmq(l->sock), &b);
	} else if (m.t_ns <= t) {
		l->rtt_ns = l->rtt_ns ? l->rtt_ns - l->rtt_ns / 8 + (t - m.t_ns) / 8 : t - m.t_ns;
	}
}

static void take_frame(struct gr_link *l, struct gr_slice frame)
{
	struct gr_slice body;
	char text[160];
	int type = gr_frame_open(frame, &body), rc;

	l->seen_ns = now(l);
	if (type < 0 || !gr_msg_may_send(type, 'S')) {
		snprintf(text, sizeof(text), "the coordinator sent %s", type < 0 ? gr_err_text(type) : "what only others may");
		fail(l, type == GR_EVERSION ? GR_EVERSION : GR_EPROTO, text, true);
	} else if (type == GR_MSG_REJECT || type == GR_MSG_BYE) {
		take_end(l, type, body);
	} else if (type == GR_MSG_WELCOME && l->state != UP) {
		take_welcome(l, body);
	} else if (l->state == UP && (type == GR_MSG_PING || type == GR_MSG_PONG)) {
		take_ping(l, type, body);
	} else if (l->state == UP && type != GR_MSG_WELCOME) {
		rc = l->ops.on_msg(l->ctx, type, body);
		if (rc < 0 && gr_err_class(rc) == GR_CLASS_PEER) {
			snprintf(text, sizeof(text), "%s: %s from the coordinator", gr_err_text(rc), gr_msg_name(type));
			fail(l, rc, text, false);
		}
	}
}

static bool receive(struct gr_link *l)
{
	zmq_msg_t m;

	if (!l->sock)
		return false;
	zmq_msg_init(&m);
	if (zmq_msg_recv(&m, gr_sock_zmq(l->sock), ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&m);
		return false;
	}
	take_frame(l, gr_slice(zmq_msg_data(&m), zmq_msg_size(&m)));
	zmq_msg_close(&m);
	return true;
}

static void on_msgs(void *ctx)
{
	struct gr_link *l = ctx;

	for (int i = 0; i < BATCH && receive(l); i++)
		;
}

/* ---- time ---- */
static void tick(void *arg)
{
	struct gr_link *l = arg;
	struct gr_ping m = { 0 };
	struct gr_buf b = { 0 };
	uint64_t t, late_ns;

	for (int i = 0; i < 64 * BATCH && receive(l); i++)
		;
	if (l->state == WAITING)
		return;
	t = now(l);
	if (l->state != UP) {
		if (t - l->since_ns > WELCOME_WITHIN_MS * GR_NS_PER_MS) {
			char text[300];

			snprintf(text, sizeof(text), "%s: no answer", l->endpoint);
			fail(l, GR_EUNREACH, text, false);
		} else if (l->state == CONNECTING) {
			say_hello(l);   /* should the monitor's word have been lost */
		}
		return;
	}
	late_ns = t - l->ticked_ns;
	l->ticked_ns = t;
	if (late_ns > l->dead_ms * GR_NS_PER_MS / 2 + l->heartbeat_ms * GR_NS_PER_MS)
		l->seen_ns = t;   /* we were stopped: the silence was ours */
	if (t - l->seen_ns > l->dead_ms * GR_NS_PER_MS) {
		fail(l, GR_ETIME, "the coordinator is silent", false);
		return;
	}
	m.seq = ++l->ping_seq;
	m.t_ns = t;
	if (l->ops.fill_ping)
		l->ops.fill_ping(l->ctx, &m);
	gr_ping_encode(&b, GR_MSG_PING, &m);
	(void)gr_sock_send(gr_sock_zmq(l->sock), &b);
}

static void start(void *arg)
{
	struct gr_link *l = arg;
	void *ctx = gr_loop__zmq(l->loop), *z, *mon;
	int one = 1;
	char name[64];

	gr_timer_stop(&l->timer);
	z = zmq_socket(ctx, ZMQ_DEALER);
	gr_sock_options(z);
	zmq_setsockopt(z, ZMQ_IMMEDIATE, &one, sizeof(one));
	if (l->has_curve) {
		zmq_setsockopt(z, ZMQ_CURVE_SERVERKEY, l->server_key, 41);
		zmq_setsockopt(z, ZMQ_CURVE_PUBLICKEY, l->keys.public_key, 41);
		zmq_setsockopt(z, ZMQ_CURVE_SECRETKEY, l->keys.secret_key, 41);
	}
	snprintf(name, sizeof(name), "inproc://griddle-link-%p-%u", (void *)l, ++l->n_made);
	zmq_socket_monitor(z, name, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
			   ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_DISCONNECTED);
	mon = zmq_socket(ctx, ZMQ_PAIR);
	zmq_connect(mon, name);
	l->state = CONNECTING;
	l->since_ns = l->seen_ns = now(l);
	l->sock = gr_sock_new(l->loop, z, on_msgs, l);
	l->monitor = gr_sock_new(l->loop, mon, on_monitor, l);
	l->timer = gr_timer_start(l->loop, TICK_CONNECTING_MS, TICK_CONNECTING_MS, tick, l);
	if (zmq_connect(z, l->endpoint) < 0)
		fail(l, GR_EUNREACH, zmq_strerror(errno), true);
}

/* ---- life ---- */
int gr_link_new(struct gr_loop *loop, const struct gr_link_config *cfg, const struct gr_link_ops *ops, void *ctx, struct gr_link **out,
		struct gr_err *err)
{
	struct gr_link *l;
	bool has_curve = cfg->keys && cfg->server_key && *cfg->server_key;

	if (strncmp(cfg->endpoint, "tcp://", 6) && strncmp(cfg->endpoint, "ipc://", 6))
		return gr_err_set(err, GR_EINVAL, "\"%s\" is no endpoint: wants tcp://HOST:PORT or ipc://PATH", cfg->endpoint);
	if (!strncmp(cfg->endpoint, "tcp://", 6) && (!strrchr(cfg->endpoint + 6, ':') || !atoi(strrchr(cfg->endpoint + 6, ':') + 1)))
		return gr_err_set(err, GR_EINVAL, "\"%s\" lacks a port: wants tcp://HOST:PORT", cfg->endpoint);
	if (has_curve && !gr_key_is_valid(cfg->server_key))
		return gr_err_set(err, GR_ECONFIG, "--server-key \"%s\" is not a public key (40 characters of Z85)", cfg->server_key);
	if (!has_curve && !gr_endpoint_is_local(cfg->endpoint))
		return gr_err_set(err, GR_EAUTH, "%s: beyond loopback keys are needed (griddle keys new; --keys FILE --server-key KEY)",
				  cfg->endpoint);
	GR_NEW(l);
	l->loop = loop;
	l->endpoint = gr_xstrdup(cfg->endpoint);
	l->has_curve = has_curve;
	if (has_curve) {
		l->keys = *cfg->keys;
		snprintf(l->server_key, sizeof(l->server_key), "%s", cfg->server_key);
	}
	l->ops = *ops;
	l->ctx = ctx;
	l->timer = gr_timer_start(loop, 0, 0, start, l);
	*out = l;
	return 0;
}

int gr_link_send(struct gr_link *l, struct gr_buf *frame)
{
	int rc;

	if (l->state != UP) {
		gr_buf_fini(frame);
		return GR_EUNREACH;
	}
	rc = gr_sock_send(gr_sock_zmq(l->sock), frame);
	return rc == 0 ? 0 : rc == -EAGAIN ? GR_EBUSY : GR_EUNREACH;
}

void gr_link_close(struct gr_link **lp)
{
	struct gr_link *l = *lp;
	struct gr_buf b = { 0 };
	int linger_ms = 200;
	json_t *j;

	if (!l)
		return;
	*lp = NULL;
	l->is_closing = true;
	if (l->state == UP) {
		j = json_pack("{s:s, s:s}", "code", "EGONE", "text", "bye");
		gr_json_encode(&b, GR_MSG_BYE, j);
		json_decref(j);
		(void)gr_sock_send(gr_sock_zmq(l->sock), &b);
		zmq_setsockopt(gr_sock_zmq(l->sock), ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
	}
	gr_timer_stop(&l->timer);
	close_sockets(l);
	explicit_bzero(&l->keys, sizeof(l->keys));
	free(l->endpoint);
	free(l);
}
