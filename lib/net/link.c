/* link.c - see link.h
 *
 * A link is in one state: WAIT for its next attempt, CONNECT until libzmq has a connection (and with it room to send),
 * GREET from HELLO to WELCOME or REJECT, UP, CLOSED. Every attempt has a DEALER of its own with libzmq's own reconnect
 * switched off: a fresh socket means that nothing of the old conversation is left in a queue, that the name is resolved
 * again, and that the server sees a new peer. A socket monitor tells why a connection was refused or lost.
 *
 * Silence is judged by a tick, and bytes of a frame that is not whole yet are no silence. A tick that comes far too late means that this process was stopped, not that the peer
 * was: the judgement starts anew, and what is queued is always read first.
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
#include "lib/net/endpoint.h"
#include "lib/net/outbox.h"

#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 5000u
#define ATTEMPT_MS 5000u           /* to connect, and again to be welcomed */
#define HEARTBEAT_MS 1000u         /* until the WELCOME says otherwise */
#define DEAD_MS 5000u
#define STABLE_MS 2000u            /* up so long: the next failure is a first failure */
#define BYE_LINGER_MS 300
#define MAX_MSGS 256               /* a wake-up */
#define MAX_BYTES (16u << 20)

enum state { WAIT, CONNECT, GREET, UP, CLOSED };

struct gr_link {
	struct gr_loop *loop;
	char *endpoint, *server_key;
	bool is_name, is_v6;
	struct gr_keypair keys;
	const struct gr_link_ops *ops;
	void *ctx;
	enum state state;
	struct gr_sock *sock, *monitor;
	struct gr_gate *gate;
	struct gr_outbox outbox;
	uv_timer_t timer;
	uint32_t n_failed, heartbeat_ms, dead_ms;
	uint64_t attempt_ns, last_tick_ns, last_rx_ns;
	uint64_t ping_seq, ping_ns, rtt_ns;
	int fd;                            /* of the connection; libzmq's */
};

static void on_timer(uv_timer_t *h);

static uint64_t now_ns(struct gr_link *l) { return gr_loop_now_ns(l->loop); }

static void set_timer(struct gr_link *l, uint64_t first_ms, uint64_t repeat_ms)
{
	uv_update_time(gr_loop_uv(l->loop));
	uv_timer_start(&l->timer, on_timer, first_ms, repeat_ms);
}

static void drop_sockets(struct gr_link *l, int linger_ms)
{
	if (l->sock)
		zmq_socket_monitor(gr_sock_zmq(l->sock), NULL, 0);
	gr_sock_close(&l->sock, linger_ms);
	gr_sock_close(&l->monitor, 0);
	gr_gate_unref(&l->gate);
	gr_outbox_fini(&l->outbox);
}

/* The one way out of CONNECT, GREET and UP but close. The callback may close the link. */
static void fail(struct gr_link *l, int code, const char *why)
{
	uint64_t up_ms = (now_ns(l) - l->attempt_ns) / GR_NS_PER_MS;
	bool was_stable = l->state == UP && up_ms >= STABLE_MS;
	uint32_t wait_ms;

	drop_sockets(l, 0);
	l->state = WAIT;
	l->n_failed = was_stable ? 1 : l->n_failed + 1;
	wait_ms = l->n_failed > 6 ? BACKOFF_MAX_MS : BACKOFF_MIN_MS << (l->n_failed - 1);
	if (wait_ms > BACKOFF_MAX_MS || code == GR_EAUTH || code == GR_EVERSION || code == GR_EROLE)
		wait_ms = BACKOFF_MAX_MS;
	wait_ms = wait_ms / 2 + gr_rng_below(gr_loop_rng(l->loop), wait_ms / 2 + 1);
	set_timer(l, wait_ms, 0);
	l->ops->on_down(l->ctx, code, why);
}

/* ---- what comes in ---- */

static int code_of(const char *name)
{
#define X(num, err_name, text, exit, class) if (!strcmp(name, #err_name)) return GR_##err_name;
	GR_ERR_MAP(X)
#undef X
	return GR_EGONE;
}

/* REJECT and BYE: {"code": "EROLE", "why": "..."} */
static void on_farewell(struct gr_link *l, int type, struct gr_slice body)
{
	struct gr_err err = { 0 };
	const char *name = NULL, *why = NULL;
	char text[512];
	json_t *j = NULL;
	int code = GR_EPROTO;

	if (gr_json_decode(body, &j, &err) == 0) {
		name = json_string_value(json_object_get(j, "code"));
		why = json_string_value(json_object_get(j, "why"));
		code = name ? code_of(name) : GR_EGONE;
	}
	snprintf(text, sizeof(text), "%s: %s", type == GR_MSG_REJECT ? "refused" : "the other end said goodbye",
		 why ? why : gr_err_text(code));
	json_decref(j);
	fail(l, code, text);
}

static uint32_t clamp_ms(const json_t *j, const char *key, uint32_t fallback, uint32_t min, uint32_t max)
{
	const json_t *v = json_object_get(j, key);
	json_int_t n = json_is_integer(v) ? json_integer_value(v) : (json_int_t)fallback;

	return n < (json_int_t)min ? min : n > (json_int_t)max ? max : (uint32_t)n;
}

static void on_welcome(struct gr_link *l, struct gr_slice body)
{
	struct gr_err err = { 0 };
	json_t *j;
	int rc = gr_json_decode(body, &j, &err);

	if (rc < 0) {
		fail(l, rc, err.text);
		return;
	}
	l->heartbeat_ms = clamp_ms(j, "heartbeat_ms", HEARTBEAT_MS, 20, 60000);
	l->dead_ms = clamp_ms(j, "dead_ms", DEAD_MS, 2 * l->heartbeat_ms, 600000);
	l->state = UP;
	l->last_tick_ns = l->last_rx_ns = l->attempt_ns = now_ns(l);
	l->ping_ns = 0;
	/* The first PING goes at once: the round trip is wanted early. */
	set_timer(l, 1, l->heartbeat_ms);
	l->ops->on_up(l->ctx, j);
	json_decref(j);
}

static void on_ping(struct gr_link *l, int type, struct gr_slice body)
{
	struct gr_buf frame = { 0 };
	struct gr_ping m;
	uint64_t ns;
	int rc = gr_ping_decode(body, &m);

	if (rc < 0) {
		fail(l, rc, "malformed heartbeat");
		return;
	}
	if (type == GR_MSG_PING) {
		gr_ping_encode(&frame, GR_MSG_PONG, &m);
		gr_sock_send(l->sock, gr_slice(NULL, 0), NULL, &frame);   /* no room: the next one will do */
		gr_buf_fini(&frame);
	} else if (l->ping_ns && m.seq == l->ping_seq && m.t_ns == l->ping_ns) {
		ns = now_ns(l) - l->ping_ns;
		l->rtt_ns = l->rtt_ns ? l->rtt_ns - l->rtt_ns / 8 + ns / 8 : ns;
		l->ping_ns = 0;
	}
}

static void on_frame(struct gr_link *l, struct gr_slice frame);

static void on_bundle(struct gr_link *l, struct gr_slice body)
{
	struct gr_sock *sock = l->sock;
	struct gr_slice frame;
	int rc = gr_bundle_check(body);

	if (rc < 0) {
		fail(l, rc, "malformed bundle");
		return;
	}
	gr_loop_stand(l->loop);
	while (l->sock == sock && gr_bundle_next(&body, &frame))
		on_frame(l, frame);
	gr_loop_go_on(l->loop);
}

static void on_frame(struct gr_link *l, struct gr_slice frame)
{
	struct gr_slice body = { NULL, 0 };
	char text[160];
	int type = gr_frame_open(frame, &body), rc;

	if (type == GR_EVERSION && body.p && frame.p[3] == GR_MSG_REJECT) {
		on_farewell(l, GR_MSG_REJECT, body);
		return;
	}
	if (type < 0) {
		fail(l, type, gr_err_text(type));
		return;
	}
	l->last_rx_ns = now_ns(l);
	if (type == GR_MSG_REJECT || type == GR_MSG_BYE) {
		on_farewell(l, type, body);
	} else if (l->state == GREET && type == GR_MSG_WELCOME) {
		on_welcome(l, body);
	} else if (l->state != UP || type == GR_MSG_WELCOME || !gr_msg_may_send(type, 'S')) {
		snprintf(text, sizeof(text), "%s is not what the coordinator may send now", gr_msg_name(type));
		fail(l, GR_EPROTO, text);
	} else if (type == GR_MSG_BUNDLE) {
		on_bundle(l, body);
	} else if (type == GR_MSG_PING || type == GR_MSG_PONG) {
		on_ping(l, type, body);
	} else {
		rc = l->ops->on_msg(l->ctx, type, body);
		if (rc < 0 && gr_err_class(rc) == GR_CLASS_PEER && l->state == UP) {
			snprintf(text, sizeof(text), "%s: %s", gr_msg_name(type), gr_err_text(rc));
			fail(l, rc, text);
		}
	}
}

static void receive(struct gr_link *l)
{
	struct gr_sock *sock = l->sock;
	size_t n_bytes = 0;

	/* A callback may end this connection, and begin another only after the next turn of the loop. */
	for (int i = 0; i < MAX_MSGS && n_bytes < MAX_BYTES && l->sock == sock && sock; i++) {
		zmq_msg_t msg;

		zmq_msg_init(&msg);
		if (zmq_msg_recv(&msg, gr_sock_zmq(sock), ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&msg);
			return;
		}
		n_bytes += zmq_msg_size(&msg);
		l->fd = zmq_msg_get(&msg, ZMQ_SRCFD);
		if (zmq_msg_more(&msg))
			fail(l, GR_EPROTO, "a message of several parts");
		else
			on_frame(l, gr_slice(zmq_msg_data(&msg), zmq_msg_size(&msg)));
		zmq_msg_close(&msg);
	}
}

/* ---- connecting ---- */

static void say_hello(struct gr_link *l)
{
	struct gr_buf frame = { 0 };
	json_t *hello = l->ops->make_hello(l->ctx);
	int rc;

	gr_json_encode(&frame, GR_MSG_HELLO, hello);
	json_decref(hello);
	rc = gr_sock_send(l->sock, gr_slice(NULL, 0), NULL, &frame);
	gr_buf_fini(&frame);
	if (rc == GR_EBUSY)
		return;
	if (rc < 0) {
		fail(l, rc, "HELLO could not be sent");
		return;
	}
	gr_sock_want_out(l->sock, false);
	l->state = GREET;
	set_timer(l, ATTEMPT_MS, 0);
}

static void on_sock(void *ctx)
{
	struct gr_link *l = ctx;

	if (l->state == CONNECT)
		say_hello(l);
	receive(l);
}

static void on_connection_lost(struct gr_link *l, unsigned event, uint32_t value)
{
	const char *why = l->state == CONNECT ? "cannot connect" : "connection closed by the other end";
	int code = GR_EUNREACH;

	switch (event) {
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
		code = GR_EAUTH;
		why = "key not authorised";
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
		if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) {
			code = GR_EAUTH;
			why = l->server_key ? "encryption asked for, and the other end has no keys" :
					      "the other end asks for encryption: keys and its public key are needed";
		} else if (value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC) {
			code = GR_EAUTH;
			why = "the other end does not hold the server key that was given";
		} else {
			why = "the other end does not speak ZeroMQ as griddle does";
		}
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
		why = l->server_key ? "connection closed in the handshake (is the server key right?)" :
				      "connection closed in the handshake (it may want keys, and none were given)";
		break;
	default:
		break;
	}
	fail(l, code, why);
}

static void on_monitor(void *ctx)
{
	struct gr_link *l = ctx;
	struct gr_sock *monitor = l->monitor;

	while (l->monitor == monitor && monitor) {
		void *zmq = gr_sock_zmq(monitor);
		uint8_t head[6], address[512];
		uint16_t event;
		uint32_t value;

		if (zmq_recv(zmq, head, sizeof(head), ZMQ_DONTWAIT) != sizeof(head))
			return;
		if (zmq_recv(zmq, address, sizeof(address), ZMQ_DONTWAIT) < 0)
			return;
		memcpy(&event, head, 2);
		memcpy(&value, head + 2, 4);
		if (event == ZMQ_EVENT_CONNECTED || event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED || event == ZMQ_EVENT_CONNECT_DELAYED)
			continue;
		/* What arrived before the connection went may say why. */
		receive(l);
		if (l->monitor == monitor)
			on_connection_lost(l, event, value);
	}
}

static int send_gathered(struct gr_link *l)
{
	if (!l->outbox.n)
		return 0;
	if (l->ops->before_send)
		l->ops->before_send(l->ctx);
	return gr_outbox_send(&l->outbox, l->sock, gr_slice(NULL, 0), l->gate);
}

static bool before_wait(void *ctx)
{
	struct gr_link *l = ctx;

	return l->state != UP || send_gathered(l) == 0;
}

static void *open_monitor(struct gr_link *l, void *zmq)
{
	void *pair = zmq_socket(gr_loop__zmq(l->loop), ZMQ_PAIR);
	char name[64];

	snprintf(name, sizeof(name), "inproc://griddle.monitor.%llu", (unsigned long long)gr_loop__serial(l->loop));
	if (!pair || zmq_socket_monitor(zmq, name, ZMQ_EVENT_ALL) < 0 || zmq_connect(pair, name) < 0)
		abort();
	gr_sock_set_int(pair, ZMQ_LINGER, 0);
	return pair;
}

static void connect_now(struct gr_link *l)
{
	void *zmq = zmq_socket(gr_loop__zmq(l->loop), ZMQ_DEALER);
	int rc;

	if (!zmq) {   /* out of descriptors: later */
		fail(l, GR_EUNREACH, zmq_strerror(errno));
		return;
	}
	gr_sock_set_limits(zmq);
	gr_sock_set_int(zmq, ZMQ_IMMEDIATE, 1);
	gr_sock_set_int(zmq, ZMQ_RECONNECT_IVL, -1);
	gr_sock_set_int(zmq, ZMQ_CONNECT_TIMEOUT, ATTEMPT_MS);
	/* A name may have addresses of both kinds, and not both need answer: take turns. */
	gr_sock_set_int(zmq, ZMQ_IPV6, l->is_v6 || (l->is_name && l->n_failed % 2 == 1));
	if (l->server_key) {
		gr_sock_set_str(zmq, ZMQ_CURVE_SERVERKEY, l->server_key);
		gr_sock_set_str(zmq, ZMQ_CURVE_PUBLICKEY, l->keys.public_key);
		gr_sock_set_str(zmq, ZMQ_CURVE_SECRETKEY, l->keys.secret_key);
	}
	l->state = CONNECT;
	l->attempt_ns = now_ns(l);
	l->gate = gr_gate_new();
	l->monitor = gr_sock_new(l->loop, open_monitor(l, zmq), on_monitor, l);
	l->sock = gr_sock_new(l->loop, zmq, on_sock, l);
	gr_sock_before_wait(l->sock, before_wait);
	gr_sock_want_out(l->sock, true);
	set_timer(l, ATTEMPT_MS, 0);
	rc = zmq_connect(zmq, l->endpoint);
	if (rc < 0)
		fail(l, GR_EUNREACH, zmq_strerror(errno));
}

/* ---- time ---- */

static void send_ping(struct gr_link *l, uint64_t now)
{
	struct gr_ping ping = { .seq = ++l->ping_seq, .t_ns = now };
	struct gr_buf frame = { 0 };

	if (l->ops->fill_ping)
		l->ops->fill_ping(l->ctx, &ping);
	gr_ping_encode(&frame, GR_MSG_PING, &ping);
	if (l->sock && gr_sock_send(l->sock, gr_slice(NULL, 0), NULL, &frame) == 0)
		l->ping_ns = now;
	gr_buf_fini(&frame);
}

static bool is_silent(const struct gr_link *l, uint64_t now)
{
	uint64_t ms = now > l->last_rx_ns ? (now - l->last_rx_ns) / GR_NS_PER_MS : 0;

	return ms > l->dead_ms && (ms > (uint64_t)l->dead_ms * GR_ARRIVING_PATIENCE || !gr_sock_is_arriving(l->fd, l->dead_ms)) &&
	       !gr_sock_has_input(l->sock);
}

static void heartbeat(struct gr_link *l)
{
	uint64_t now = now_ns(l), late_ms = (now - l->last_tick_ns) / GR_NS_PER_MS;
	char text[96];

	l->last_tick_ns = now;
	if (late_ms > l->heartbeat_ms + l->dead_ms / 2)
		l->last_rx_ns = now;
	receive(l);
	if (l->state != UP)
		return;
	if (is_silent(l, now)) {
		snprintf(text, sizeof(text), "nothing heard for %llu ms",
			 (unsigned long long)((now - l->last_rx_ns) / GR_NS_PER_MS));
		fail(l, GR_ETIME, text);
		return;
	}
	send_ping(l, now);
}

static void on_timer(uv_timer_t *h)
{
	struct gr_link *l = h->data;
	char text[200];

	switch (l->state) {
	case WAIT:
		connect_now(l);
		break;
	case CONNECT:
		snprintf(text, sizeof(text), "no connection within %u s", ATTEMPT_MS / 1000);
		fail(l, GR_EUNREACH, text);
		break;
	case GREET:
		receive(l);
		if (l->state != GREET)
			break;
		snprintf(text, sizeof(text), "no WELCOME within %u s", ATTEMPT_MS / 1000);
		fail(l, GR_ETIME, text);
		break;
	case UP:
		heartbeat(l);
		break;
	case CLOSED:
		break;
	}
}

/* ---- the face ---- */

int gr_link_new(struct gr_loop *loop, const struct gr_link_config *cfg, const struct gr_link_ops *ops, void *ctx,
		struct gr_link **out, struct gr_err *err)
{
	struct gr_endpoint e;
	struct gr_link *l;
	int rc = gr_endpoint_parse(cfg->endpoint, false, &e, err);

	if (rc < 0)
		return rc;
	if (!cfg->server_key && !e.is_loopback)
		return gr_err_set(err, GR_EAUTH, "%s: without keys only loopback and ipc are allowed; give a key file and "
				  "the server's public key", cfg->endpoint);
	if (cfg->server_key && !cfg->keys)
		return gr_err_set(err, GR_EINVAL, "%s: a server key needs a key pair of one's own", cfg->endpoint);
	if (cfg->server_key && !gr_key_is_valid(cfg->server_key))
		return gr_err_set(err, GR_EINVAL, "not a public key (40 characters of Z85): %s", cfg->server_key);
	GR_NEW(l);
	l->loop = loop;
	l->endpoint = gr_xstrdup(cfg->endpoint);
	l->is_name = e.is_name;
	l->is_v6 = e.is_v6;
	if (cfg->server_key) {
		l->server_key = gr_xstrdup(cfg->server_key);
		l->keys = *cfg->keys;
	}
	l->ops = ops;
	l->ctx = ctx;
	uv_timer_init(gr_loop_uv(loop), &l->timer);
	l->timer.data = l;
	/* From the loop, so that no callback comes before the caller has its link. */
	set_timer(l, 0, 0);
	*out = l;
	return 0;
}

int gr_link_send(struct gr_link *l, struct gr_buf *frame)
{
	int rc;

	if (l->state != UP)
		return GR_EUNREACH;
	if (gr_outbox_fits(frame)) {
		if (l->outbox.bundle.n + frame->n > GR_WIRE_MAX_BUNDLE_BYTES && (rc = send_gathered(l)) < 0)
			return rc;
		return gr_outbox_add(&l->outbox, l->sock, gr_slice(NULL, 0), l->gate, frame);
	}
	rc = send_gathered(l);
	if (rc < 0)
		return rc;
	if (l->ops->before_send)
		l->ops->before_send(l->ctx);
	return gr_sock_send(l->sock, gr_slice(NULL, 0), l->gate, frame);
}

bool gr_link_is_up(const struct gr_link *l) { return l->state == UP; }
uint64_t gr_link_rtt_ns(const struct gr_link *l) { return l->rtt_ns; }

static void on_closed(uv_handle_t *h)
{
	struct gr_link *l = h->data;

	explicit_bzero(&l->keys, sizeof(l->keys));
	free(l->endpoint);
	free(l->server_key);
	free(l);
}

void gr_link_close(struct gr_link **lp)
{
	struct gr_link *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	if (l->state == UP) {
		struct gr_buf frame = { 0 };
		json_t *j = json_pack("{s:s, s:s}", "code", "EGONE", "why", "closed");

		send_gathered(l);
		gr_json_encode(&frame, GR_MSG_BYE, j);
		json_decref(j);
		gr_sock_send(l->sock, gr_slice(NULL, 0), NULL, &frame);
		gr_buf_fini(&frame);
	}
	drop_sockets(l, l->state == UP ? BYE_LINGER_MS : 0);
	l->state = CLOSED;
	uv_close((uv_handle_t *)&l->timer, on_closed);
}
