/* net_fixture.h - a coordinator's end, links and raw sockets on one loop, for the tests of lib/net */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <zmq.h>

#include <arpa/inet.h>
#include <sys/socket.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/link.h"
#include "lib/net/server.h"
#include "lib/net/sock.h"

#define WAIT_MS 60000u

struct world;
struct seen_link {
	struct world *w;
	enum gr_role role;
	const char *name;
	struct gr_link *link;
	int n_up, n_down, n_msgs, last_type, first_type, n_before_send;
	int code;
	char why[1024];
	uint32_t n_signals;
};
struct world {
	struct gr_loop *loop;
	struct gr_server *server;
	char endpoint[256];
	int n_hello, n_gone, n_msgs, last_type, gone_code, hello_rc, msg_rc, n_early;
	char gone_why[256], gone_name[64];
	struct gr_peer *peer;          /* the last one admitted, NULL when it went */
	struct gr_signal_seen { uint8_t key; uint64_t value; } signal;
	bool is_late;
};

static inline int fx_on_hello(void *ctx, struct gr_peer *peer, const struct gr_hello *h, json_t *welcome, struct gr_err *err)
{
	struct world *w = ctx;

	w->n_hello++;
	if (w->hello_rc < 0)
		return gr_err_set(err, w->hello_rc, "not today");
	w->peer = peer;
	json_object_set_new(welcome, "credits", json_integer(7));
	for (int i = 0; i < w->n_early; i++) {
		struct gr_buf f = { 0 };

		gr_session_encode(&f, GR_MSG_SESSION_OK, 1, (uint32_t)i);
		assert_int_equal(gr_server_send(w->server, peer, &f), 0);
		assert_int_equal(f.n, 0);
	}
	return 0;
}

static inline int fx_on_server_msg(void *ctx, struct gr_peer *peer, int type, struct gr_slice body)
{
	struct world *w = ctx;
	struct gr_ping ping;

	if (type == GR_MSG_PING) {
		assert_int_equal(gr_ping_decode(body, &ping), 0);
		w->signal = (struct gr_signal_seen){ ping.signals[0].key, ping.signals[0].value };
		return 0;
	}
	w->n_msgs++;
	w->last_type = type;
	return w->msg_rc;
}

static inline void fx_on_gone(void *ctx, struct gr_peer *peer, int code, const char *why)
{
	struct world *w = ctx;

	w->n_gone++;
	w->gone_code = code;
	snprintf(w->gone_why, sizeof(w->gone_why), "%s", why);
	snprintf(w->gone_name, sizeof(w->gone_name), "%s", gr_peer_name(peer));
	if (w->peer == peer)
		w->peer = NULL;
}

static const struct gr_server_ops fx_server_ops = { fx_on_hello, fx_on_server_msg, fx_on_gone };

static inline json_t *fx_make_hello(void *ctx)
{
	struct seen_link *s = ctx;

	return gr_hello_json(s->role, s->name);
}
static inline void fx_on_up(void *ctx, const json_t *welcome)
{
	struct seen_link *s = ctx;

	s->n_up++;
	assert_int_equal(json_integer_value(json_object_get(welcome, "wire")), GR_WIRE_VERSION);
}
static inline void fx_on_down(void *ctx, int code, const char *why)
{
	struct seen_link *s = ctx;

	s->n_down++;
	s->code = code;
	snprintf(s->why, sizeof(s->why), "%s", why);
}
static inline int fx_on_link_msg(void *ctx, int type, struct gr_slice body)
{
	struct seen_link *s = ctx;

	if (s->n_msgs++ == 0)
		s->first_type = type;
	s->last_type = type;
	return 0;
}
static inline void fx_fill_ping(void *ctx, struct gr_ping *ping)
{
	struct seen_link *s = ctx;

	ping->n_signals = s->n_signals;
	ping->signals[0].key = GR_SIGNAL_SLOTS;
	ping->signals[0].value = 12;
}
static inline void fx_before_send(void *ctx) { ((struct seen_link *)ctx)->n_before_send++; }
static const struct gr_link_ops fx_link_ops = { .make_hello = fx_make_hello, .on_up = fx_on_up, .on_down = fx_on_down, .on_msg = fx_on_link_msg,
						  .fill_ping = fx_fill_ping, .before_send = fx_before_send };

static inline void fx_on_tick(void *ctx) { }
static inline void fx_on_late(void *ctx) { ((struct world *)ctx)->is_late = true; }

/* Runs the loop until @condition, evaluated after each turn; fails the test when that takes WAIT_MS. */
#define RUN_UNTIL(w, condition) do { \
	struct gr_timer *late_ = gr_timer_start((w)->loop, WAIT_MS, 0, fx_on_late, (w)); \
	struct gr_timer *tick_ = gr_timer_start((w)->loop, 2, 2, fx_on_tick, (w));   /* raw sockets wake no loop */ \
	(w)->is_late = false; \
	while (!(condition) && !(w)->is_late) \
		uv_run(gr_loop_uv((w)->loop), UV_RUN_ONCE); \
	gr_timer_stop(&late_); \
	gr_timer_stop(&tick_); \
	if ((w)->is_late) \
		fail_msg("waited in vain for: %s", #condition); \
} while (0)

static inline void fx_open(struct world *w, const char *endpoint, const struct gr_server_config *cfg)
{
	struct gr_err err = { 0 };

	if (!w->loop)
		w->loop = gr_loop_new(42);
	w->server = gr_server_new(w->loop, cfg, &fx_server_ops, w);
	if (gr_server_bind(w->server, endpoint, w->endpoint, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void fx_link(struct world *w, struct seen_link *s, const struct gr_keypair *keys, const char *server_key)
{
	struct gr_link_config cfg = { w->endpoint, keys, server_key };
	struct gr_err err = { 0 };

	s->w = w;
	if (gr_link_new(w->loop, &cfg, &fx_link_ops, s, &s->link, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void fx_close(struct world *w)
{
	gr_server_close(&w->server);
	gr_loop_run(w->loop);
	gr_loop_free(&w->loop);
}

/* ---- a raw DEALER: a peer that does what it likes ---- */
static inline void *fx_raw(struct world *w)
{
	void *zmq = zmq_socket(gr_loop__zmq(w->loop), ZMQ_DEALER);

	gr_sock_set_int(zmq, ZMQ_LINGER, 0);
	assert_int_equal(zmq_connect(zmq, w->endpoint), 0);
	return zmq;
}
static inline void fx_raw_send(void *zmq, struct gr_buf *frame)
{
	assert_int_equal(zmq_send(zmq, frame->p, frame->n, 0), (int)frame->n);
	gr_buf_fini(frame);
}
static inline void fx_raw_hello(void *zmq, enum gr_role role, const char *name)
{
	struct gr_buf frame = { 0 };
	json_t *j = gr_hello_json(role, name);

	gr_json_encode(&frame, GR_MSG_HELLO, j);
	json_decref(j);
	fx_raw_send(zmq, &frame);
}
/* One frame that has arrived, or false. */
static inline bool fx_raw_recv(void *zmq, struct gr_buf *frame)
{
	zmq_msg_t msg;
	bool ok;

	zmq_msg_init(&msg);
	ok = zmq_msg_recv(&msg, zmq, ZMQ_DONTWAIT) >= 0;
	gr_buf_clear(frame);
	if (ok)
		gr_buf_add(frame, zmq_msg_data(&msg), zmq_msg_size(&msg));
	zmq_msg_close(&msg);
	return ok;
}
/* Reads until a frame of @type came. */
static inline bool fx_raw_got(void *zmq, int type, struct gr_buf *frame)
{
	struct gr_slice body;

	while (fx_raw_recv(zmq, frame))
		if (gr_frame_open(gr_buf_slice(frame), &body) == type)
			return true;
	return false;
}

static inline int tcp_to(const char *endpoint)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}
