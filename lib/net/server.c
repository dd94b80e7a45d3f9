/* server.c - the coordinator's end; see server.h
 *
 * A peer is a ROUTER routing id. It is known from its first valid HELLO on; whatever else an unknown id sends is answered
 * with one BYE ("say hello"), which makes a link that outlived our restart shake hands again. libzmq 4.3 cannot close one
 * connection of a ROUTER, so a peer that was dropped stays in the table as deaf until it has been silent for dead_ms:
 * what it goes on sending is not looked at.
 *
 * Judging silence: the timer first takes in everything that is queued, and when it is itself late by more than half of
 * dead_ms (we were stopped, or the machine slept) it counts all silences anew, so that our own absence kills nobody.
 */
#include "lib/net/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/net/net_int.h"

#define MAX_ID 255
#define BATCH 256

enum state { UP, DEAF };

struct gr_peer {
	struct gr_list link;
	enum state state;
	uint8_t id[MAX_ID];
	size_t n_id;
	enum gr_role role;
	char name[64], key_name[64];
	uint64_t seen_ns, rtt_ns, ping_seq;
	bool is_lost;             /* a send said so; told to the owner from the timer, never from inside a send */
	void *data;
};

struct gr_server {
	struct gr_loop *loop;
	struct gr_server_config cfg;
	struct gr_server_ops ops;
	void *ctx;
	struct gr_sock *sock;
	struct gr_zap *zap;
	struct gr_timer *tick, *soon;
	struct gr_map by_id;
	struct gr_list peers;
	uint64_t ticked_ns, warned_ns;
	uint32_t n_quiet;         /* log lines swallowed since warned_ns */
	bool is_closing;
};

static uint64_t now(struct gr_server *s) { return gr_loop_now_ns(s->loop); }

enum gr_role gr_peer_role(const struct gr_peer *p) { return p->role; }
const char *gr_peer_name(const struct gr_peer *p) { return p->name; }
const char *gr_peer_key_name(const struct gr_peer *p) { return p->key_name; }
uint64_t gr_peer_rtt_ns(const struct gr_peer *p) { return p->rtt_ns; }
void *gr_peer_data(const struct gr_peer *p) { return p->data; }
void gr_peer_set_data(struct gr_peer *p, void *data) { p->data = data; }

/* A stranger must not be able to fill the log: ten lines a second, then a count. */
static bool may_warn(struct gr_server *s)
{
	uint64_t t = now(s);

	if (t - s->warned_ns > GR_NS_PER_S) {
		if (s->n_quiet > 10)
			gr_warn("net", "%u more lines like these were left out", s->n_quiet - 10);
		s->warned_ns = t;
		s->n_quiet = 0;
	}
	return ++s->n_quiet <= 10;
}

static int send_to(struct gr_server *s, const uint8_t *id, size_t n_id, struct gr_buf *frame)
{
	void *z = gr_sock_zmq(s->sock);
	int e;

	if (zmq_send(z, id, n_id, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
		e = errno;
		gr_buf_fini(frame);
		return e == EAGAIN ? GR_EBUSY : GR_EGONE;
	}
	return gr_sock_send(z, frame) < 0 ? GR_EGONE : 0;
}

static void send_text(struct gr_server *s, const uint8_t *id, size_t n_id, enum gr_msg_type type, int code, const char *text)
{
	json_t *j = json_pack("{s:s, s:s}", "code", gr_err_name(code), "text", text);
	struct gr_buf b = { 0 };

	gr_json_encode(&b, type, j);
	json_decref(j);
	(void)send_to(s, id, n_id, &b);
}

static void bury(void *arg);

int gr_server_send(struct gr_server *s, struct gr_peer *p, struct gr_buf *frame)
{
	int rc;

	if (p->state != UP || p->is_lost) {
		gr_buf_fini(frame);
		return GR_EGONE;
	}
	rc = send_to(s, p->id, p->n_id, frame);
	if (rc == GR_EGONE) {
		p->is_lost = true;
		if (!s->soon)
			s->soon = gr_timer_start(s->loop, 0, 0, bury, s);
	}
	return rc;
}

static void forget(struct gr_server *s, struct gr_peer *p)
{
	gr_map_del(&s->by_id, p->id, p->n_id);
	gr_list_del(&p->link);
	free(p);
}

/* Tells the owner; @stays keeps the id as deaf. */
static void end_peer(struct gr_server *s, struct gr_peer *p, int code, const char *why, bool stays)
{
	p->state = DEAF;
	s->ops.on_gone(s->ctx, p, code, why);
	p->data = NULL;
	if (!stays)
		forget(s, p);
}

static void bury(void *arg)
{
	struct gr_server *s = arg;

	gr_timer_stop(&s->soon);
	GR_LIST_EACH_SAFE(p, &s->peers, struct gr_peer, link)
		if (p->is_lost && p->state == UP) {
			end_peer(s, p, GR_EGONE, "connection closed", false);
			bury(s);   /* on_gone may have changed the list: begin anew */
			return;
		}
}

void gr_server_drop(struct gr_server *s, struct gr_peer *p, int code, const char *why)
{
	if (p->state != UP)
		return;
	send_text(s, p->id, p->n_id, GR_MSG_BYE, code, why);
	end_peer(s, p, code, why, true);
}

static void drop_malformed(struct gr_server *s, struct gr_peer *p, int code, const char *what)
{
	char why[200];

	snprintf(why, sizeof(why), "%s: %s", what, gr_err_text(code));
	gr_warn("net", "%s %s (%s) dropped: %s", gr_role_name(p->role), p->name, p->key_name, why);
	gr_server_drop(s, p, code, why);
}

/* ---- handshake ---- */
static void reject(struct gr_server *s, const uint8_t *id, size_t n_id, int code, const char *text)
{
	if (may_warn(s))
		gr_warn("net", "a peer was refused: %s", text);
	send_text(s, id, n_id, GR_MSG_REJECT, code, text);
}

static int check_key(struct gr_server *s, const char *user_id, const struct gr_hello *h, char key_name[64], struct gr_err *err)
{
	int roles;

	if (!s->cfg.keys) {
		strcpy(key_name, "loopback");
		return 0;
	}
	roles = user_id ? gr_allow_find(s->cfg.allow, user_id, key_name) : 0;
	if (!roles)
		return gr_err_set(err, GR_EAUTH, "key not authorised");
	if (!(roles & (int)h->role) && !(roles & GR_ROLE_ADMIN && h->role == GR_ROLE_CLIENT))
		return gr_err_set(err, GR_EROLE, "key \"%s\" may not be a %s", key_name, gr_role_name(h->role));
	return 0;
}

static void welcome(struct gr_server *s, struct gr_peer *p, json_t *extra)
{
	struct gr_buf b = { 0 };

	json_object_set_new(extra, "protocol", json_integer(GR_WIRE_VERSION));
	json_object_set_new(extra, "heartbeat_ms", json_integer(s->cfg.heartbeat_ms));
	json_object_set_new(extra, "dead_ms", json_integer(s->cfg.dead_ms));
	json_object_set_new(extra, "version", json_string(GR_VERSION));
	gr_json_encode(&b, GR_MSG_WELCOME, extra);
	(void)gr_server_send(s, p, &b);
}

static void take_hello(struct gr_server *s, const uint8_t *id, size_t n_id, const char *user_id, struct gr_slice body)
{
	struct gr_err err = { 0 };
	struct gr_hello h = { 0 };
	char key_name[64] = "";
	struct gr_peer *p;
	json_t *extra;
	int rc;

	rc = gr_hello_decode(body, &h, &err);
	if (rc == 0 && (h.version_min > GR_WIRE_VERSION || h.version_max < GR_WIRE_VERSION))
		rc = gr_err_set(&err, GR_EVERSION, "%s %s speaks protocol %u to %u, this coordinator speaks %u: use griddle %s on both sides",
				gr_role_name(h.role), h.name, h.version_min, h.version_max, GR_WIRE_VERSION, GR_VERSION);
	if (rc == 0)
		rc = check_key(s, user_id, &h, key_name, &err);
	if (rc == 0 && s->by_id.n >= s->cfg.max_peers)
		rc = gr_err_set(&err, GR_ELIMIT, "too many peers (--max-peers %u)", s->cfg.max_peers);
	if (rc < 0) {
		reject(s, id, n_id, rc, err.text);
		gr_hello_fini(&h);
		return;
	}
	GR_NEW(p);
	memcpy(p->id, id, n_id);
	p->n_id = n_id;
	p->role = h.role;
	strcpy(p->name, h.name);
	strcpy(p->key_name, key_name);
	p->seen_ns = now(s);
	extra = json_object();
	rc = s->ops.on_hello(s->ctx, p, &h, extra, &err);
	if (rc < 0) {
		reject(s, id, n_id, rc, err.text);
		free(p);
	} else {
		gr_map_put(&s->by_id, p->id, p->n_id, p);
		gr_list_push(&s->peers, &p->link);
		welcome(s, p, extra);
	}
	json_decref(extra);
	gr_hello_fini(&h);
}

/* ---- messages ---- */
static void take_ping(struct gr_server *s, struct gr_peer *p, struct gr_slice body)
{
	struct gr_ping m;
	struct gr_buf b = { 0 };
	uint32_t n;

	if (gr_ping_decode(body, &m) < 0) {
		drop_malformed(s, p, GR_EPROTO, "PING");
		return;
	}
	n = m.n_signals;
	m.n_signals = 0;
	gr_ping_encode(&b, GR_MSG_PONG, &m);
	(void)gr_server_send(s, p, &b);
	if (n && p->state == UP && s->ops.on_msg(s->ctx, p, GR_MSG_PING, body) < 0)
		drop_malformed(s, p, GR_EPROTO, "PING");
}

static void take_pong(struct gr_server *s, struct gr_peer *p, struct gr_slice body)
{
	struct gr_ping m;
	uint64_t t = now(s), rtt;

	if (gr_ping_decode(body, &m) < 0 || m.t_ns > t) {
		drop_malformed(s, p, GR_EPROTO, "PONG");
		return;
	}
	rtt = t - m.t_ns;
	p->rtt_ns = p->rtt_ns ? p->rtt_ns - p->rtt_ns / 8 + rtt / 8 : rtt;
}

static void take_msg(struct gr_server *s, struct gr_peer *p, int type, struct gr_slice body)
{
	char who = p->role == GR_ROLE_WORKER ? 'W' : 'C';
	int rc;

	p->seen_ns = now(s);
	if (type < 0) {
		drop_malformed(s, p, type, "frame");
	} else if (type == GR_MSG_HELLO || !gr_msg_may_send(type, who)) {
		drop_malformed(s, p, GR_EROLE, gr_msg_name(type));
	} else if (type == GR_MSG_PING) {
		take_ping(s, p, body);
	} else if (type == GR_MSG_PONG) {
		take_pong(s, p, body);
	} else if (type == GR_MSG_BYE) {
		end_peer(s, p, GR_EGONE, "said bye", false);
	} else {
		rc = s->ops.on_msg(s->ctx, p, type, body);
		if (rc < 0 && gr_err_class(rc) == GR_CLASS_PEER && p->state == UP)
			drop_malformed(s, p, rc, gr_msg_name(type));
	}
}

static void take_frame(struct gr_server *s, const uint8_t *id, size_t n_id, const char *user_id, struct gr_slice frame)
{
	struct gr_peer *p = gr_map_get(&s->by_id, id, n_id);
	struct gr_slice body = { 0 };
	int type = gr_frame_open(frame, &body);

	if (p && p->state == DEAF) {
		p->seen_ns = now(s);
		return;
	}
	if (p) {
		take_msg(s, p, type, body);
		return;
	}
	if (type == GR_MSG_HELLO) {
		take_hello(s, id, n_id, user_id, body);
	} else if (type == GR_EVERSION) {
		reject(s, id, n_id, GR_EVERSION, "the peer speaks another version of the protocol than 1");
	} else {
		if (type < 0 && may_warn(s))
			gr_warn("net", "a stranger sent %zu bytes that are no message (%s)", frame.n, gr_err_text(type));
		send_text(s, id, n_id, GR_MSG_BYE, GR_EPROTO, "say hello first");
	}
}

/* One message: routing id and exactly one frame; whatever else comes is thrown away part by part. */
static bool receive(struct gr_server *s)
{
	void *z = gr_sock_zmq(s->sock);
	zmq_msg_t id, frame, extra;
	bool is_whole = true;

	zmq_msg_init(&id);
	if (zmq_msg_recv(&id, z, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&id);
		return false;
	}
	zmq_msg_init(&frame);
	if (!zmq_msg_more(&id) || zmq_msg_recv(&frame, z, 0) < 0)
		is_whole = false;
	while (is_whole && zmq_msg_more(&frame)) {
		int more = 1;

		while (more) {
			zmq_msg_init(&extra);
			if (zmq_msg_recv(&extra, z, 0) < 0)
				more = 0;
			else
				more = zmq_msg_more(&extra);
			zmq_msg_close(&extra);
		}
		is_whole = false;
	}
	if (zmq_msg_size(&id) <= MAX_ID)
		take_frame(s, zmq_msg_data(&id), zmq_msg_size(&id), s->cfg.keys && is_whole ? zmq_msg_gets(&frame, "User-Id") : NULL,
			   is_whole ? gr_slice(zmq_msg_data(&frame), zmq_msg_size(&frame)) : gr_slice("", 0));
	zmq_msg_close(&frame);
	zmq_msg_close(&id);
	return true;
}

static void on_msgs(void *ctx)
{
	struct gr_server *s = ctx;

	for (int i = 0; i < BATCH && !s->is_closing && receive(s); i++)
		;
}

static void judge(struct gr_server *s, uint64_t t)
{
	uint64_t dead_ns = s->cfg.dead_ms * GR_NS_PER_MS;

	GR_LIST_EACH_SAFE(p, &s->peers, struct gr_peer, link) {
		if (t < p->seen_ns + dead_ns)
			continue;
		if (p->state == DEAF) {
			forget(s, p);
			continue;
		}
		gr_warn("net", "%s %s: silent for %u ms, given up", gr_role_name(p->role), p->name, s->cfg.dead_ms);
		gr_server_drop(s, p, GR_ETIME, "silent for too long");   /* the BYE makes it shake hands again when it wakes */
		judge(s, t);   /* on_gone may have changed the list */
		return;
	}
}

static void ticked(void *ctx)
{
	struct gr_server *s = ctx;
	uint64_t late_ns, t;

	for (int i = 0; i < 64 * BATCH && receive(s); i++)
		;
	t = now(s);
	late_ns = t - s->ticked_ns;
	s->ticked_ns = t;
	if (late_ns > s->cfg.dead_ms * GR_NS_PER_MS / 2 + s->cfg.heartbeat_ms * GR_NS_PER_MS)
		GR_LIST_EACH(p, &s->peers, struct gr_peer, link)
			p->seen_ns = t;
	judge(s, t);
	GR_LIST_EACH(p, &s->peers, struct gr_peer, link) {
		struct gr_ping m = { .seq = ++p->ping_seq, .t_ns = t };
		struct gr_buf b = { 0 };

		if (p->state != UP)
			continue;
		gr_ping_encode(&b, GR_MSG_PING, &m);
		(void)gr_server_send(s, p, &b);
	}
}

/* ---- life ---- */
struct gr_server *gr_server_new(struct gr_loop *loop, const struct gr_server_config *cfg, const struct gr_server_ops *ops, void *ctx)
{
	struct gr_server *s;
	int one = 1;
	void *z;

	GR_NEW(s);
	s->loop = loop;
	s->cfg = *cfg;
	s->cfg.heartbeat_ms = cfg->heartbeat_ms ? cfg->heartbeat_ms : 1000;
	s->cfg.dead_ms = cfg->dead_ms ? cfg->dead_ms : 5000;
	s->cfg.max_peers = cfg->max_peers ? cfg->max_peers : 4096;
	s->ops = *ops;
	s->ctx = ctx;
	s->by_id.seed = gr_rng_u64(gr_loop_rng(loop));
	gr_list_init(&s->peers);
	z = zmq_socket(gr_loop__zmq(loop), ZMQ_ROUTER);
	gr_sock_options(z);
	zmq_setsockopt(z, ZMQ_ROUTER_MANDATORY, &one, sizeof(one));
	s->sock = gr_sock_new(loop, z, on_msgs, s);
	s->ticked_ns = now(s);
	s->tick = gr_timer_start(loop, s->cfg.heartbeat_ms, s->cfg.heartbeat_ms, ticked, s);
	return s;
}

static int use_curve(struct gr_server *s, struct gr_err *err)
{
	void *z = gr_sock_zmq(s->sock);
	int one = 1, rc;

	if (!s->cfg.allow)
		return gr_err_set(err, GR_EAUTH, "keys are given but no list of authorised keys (--allow FILE)");
	if (!s->zap) {
		rc = gr_zap_start(s->loop, s->cfg.allow, &s->zap, err);
		if (rc < 0)
			return rc;
	}
	if (zmq_setsockopt(z, ZMQ_ZAP_DOMAIN, "griddle", 7) < 0 || zmq_setsockopt(z, ZMQ_CURVE_SERVER, &one, sizeof(one)) < 0 ||
	    zmq_setsockopt(z, ZMQ_CURVE_SECRETKEY, s->cfg.keys->secret_key, 41) < 0)
		return gr_err_set(err, GR_EAUTH, "CURVE cannot be set up: %s", zmq_strerror(errno));
	return 0;
}

int gr_server_bind(struct gr_server *s, const char *endpoint, char *bound, struct gr_err *err)
{
	void *z = gr_sock_zmq(s->sock);
	char real[256];
	size_t n = sizeof(real);
	int rc;

	if (!s->cfg.keys && !gr_endpoint_is_local(endpoint))
		return gr_err_set(err, GR_EAUTH, "%s: listening beyond loopback needs keys (griddle keys new; --keys FILE --allow FILE)", endpoint);
	if (s->cfg.keys) {
		rc = use_curve(s, err);
		if (rc < 0)
			return rc;
	}
	if (zmq_bind(z, endpoint) < 0)
		return gr_err_set(err, errno == EINVAL || errno == EPROTONOSUPPORT ? GR_EINVAL : GR_EUNREACH, "%s: %s", endpoint,
				  zmq_strerror(errno));
	if (bound && zmq_getsockopt(z, ZMQ_LAST_ENDPOINT, real, &n) == 0)
		strcpy(bound, real);
	return 0;
}

void gr_server_close(struct gr_server **sp)
{
	struct gr_server *s = *sp;
	int linger_ms = 200;

	if (!s)
		return;
	*sp = NULL;
	s->is_closing = true;
	GR_LIST_EACH_SAFE(p, &s->peers, struct gr_peer, link) {
		if (p->state == UP)
			send_text(s, p->id, p->n_id, GR_MSG_BYE, GR_EGONE, "the coordinator is shutting down");
		forget(s, p);
	}
	gr_timer_stop(&s->tick);
	gr_timer_stop(&s->soon);
	zmq_setsockopt(gr_sock_zmq(s->sock), ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
	gr_sock_close(&s->sock);
	gr_zap_stop(&s->zap);
	gr_map_fini(&s->by_id);
	free(s);
}
