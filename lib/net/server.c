/* server.c - see server.h
 *
 * A peer is a ROUTER's name for a connection: five bytes, the first zero, which libzmq makes and never uses again. A
 * name of another form was chosen by the peer and is ignored, so that nobody can step into another's shoes. Under
 * CURVE each frame also carries the key of its connection, which must stay the peer's.
 *
 * To drop a peer is to say BYE, to forget it, and to cut its connection a moment later (cut.h: a ROUTER cannot close one);
 * what it sends meanwhile is a stranger's, and a stranger is heard only if it says HELLO, which spares the connection.
 * The same goes for whom HELLO did not admit, and for strangers that send what is no frame. libzmq's own heartbeat closes
 * connections that are dead.
 *
 * Silence is the absence of whole frames. Before a silent peer is dropped the kernel is asked whether bytes still come
 * in: one large frame on a slow line takes longer than dead_ms, and hides the heartbeats behind it.
 *
 * A name whose connection is gone shows at the next send, at the latest with the next PING: the peer is marked and
 * reaped from the timer, because a send happens inside somebody's callback.
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
#include "lib/net/cut.h"
#include "lib/net/endpoint.h"
#include "lib/net/outbox.h"
#include "lib/net/zap.h"

#define ID_BYTES 5u
#define MAX_MSGS 512                /* a wake-up */
#define MAX_BYTES (32u << 20)
#define MAX_FRAMES 128u             /* of bundles: then what they brought about leaves, before more is taken */
#define BYE_LINGER_MS 300
#define CUT_AFTER_MS 1000           /* from BYE or REJECT to the connection's end */
#define MAX_EARLY 64u               /* frames sent from on_hello, before the WELCOME */
#define STRANGER_EVERY_MS 10u       /* at most one answer to frames of unknown peers */
#define ZAP_ENFORCE_DOMAIN 93       /* libzmq knows it, zmq.h names it only with the draft API */

struct gr_peer {
	struct gr_list node;
	uint8_t id[ID_BYTES];
	enum gr_role role;
	char name[64], key_name[64], key[41];
	void *data;
	struct gr_gate *gate;
	struct gr_outbox outbox;
	struct gr_list gathered;    /* server->gathered, while something is in it */
	bool is_welcome, is_gone, is_unreachable;
	struct gr_cut conn;         /* libzmq's descriptor */
	uint64_t last_rx_ns, ping_seq, ping_ns, rtt_ns;
	struct gr_buf *early;
	uint32_t n_early;
};

struct gr_server {
	struct gr_loop *loop;
	struct gr_keypair keys;
	bool is_curve, is_closed;
	struct gr_allow *allow;
	uint32_t heartbeat_ms, dead_ms, max_peers;
	const struct gr_server_ops *ops;
	void *ctx;
	struct gr_sock *sock;
	struct gr_zap *zap;
	uv_timer_t timer;
	struct gr_list peers, gathered;
	struct gr_map by_id;
	uint64_t n_removed;         /* peers that are gone */
	uint32_t n_frames;          /* in bundles that came in this wake-up */
	struct gr_cuts *cuts;
	uint64_t last_tick_ns, last_stranger_ns, last_stranger_log_ns, allow_version;
};

static void on_timer(uv_timer_t *h);
static void on_sock(void *ctx);

static void cut_soon(struct gr_server *s, const struct gr_cut *conn)
{
	if (s->cuts)            /* else all end with the socket */
		gr_cuts_add(s->cuts, conn, gr_loop_now_ns(s->loop) + CUT_AFTER_MS * GR_NS_PER_MS);
}

static struct gr_slice id_of(const struct gr_peer *p) { return gr_slice(p->id, ID_BYTES); }

/* REJECT and BYE */
static void send_farewell(struct gr_server *s, struct gr_slice id, enum gr_msg_type type, int code, const char *why)
{
	struct gr_buf frame = { 0 };
	json_t *j = json_pack("{s:s, s:s, s:i, s:i}", "code", gr_err_name(code), "why", why,
			      "wire_min", GR_WIRE_VERSION, "wire_max", GR_WIRE_VERSION);

	if (!j)   /* a reason that is not UTF-8 */
		j = json_pack("{s:s, s:s}", "code", gr_err_name(code), "why", gr_err_text(code));
	gr_json_encode(&frame, type, j);
	json_decref(j);
	if (!s->is_closed)
		gr_sock_send(s->sock, id, NULL, &frame);   /* a peer that cannot be reached learns it from the silence */
	gr_buf_fini(&frame);
}

/* ---- peers ---- */

static void free_peer(struct gr_peer *p)
{
	for (uint32_t i = 0; i < p->n_early; i++)
		gr_buf_fini(&p->early[i]);
	free(p->early);
	gr_list_del(&p->gathered);
	gr_outbox_fini(&p->outbox);
	gr_gate_unref(&p->gate);
	free(p);
}

static void remove_peer(struct gr_server *s, struct gr_peer *p, int code, const char *why)
{
	p->is_gone = true;
	s->n_removed++;
	gr_list_del(&p->node);
	gr_map_del(&s->by_id, p->id, ID_BYTES);
	cut_soon(s, &p->conn);
	s->ops->on_gone(s->ctx, p, code, why);
	free_peer(p);
}

void gr_server_drop(struct gr_server *s, struct gr_peer *peer, int code, const char *why)
{
	if (peer->is_gone)
		return;
	if (!s->is_closed)
		gr_outbox_send(&peer->outbox, s->sock, id_of(peer), peer->gate);
	send_farewell(s, id_of(peer), GR_MSG_BYE, code, why);
	remove_peer(s, peer, code, why);
}

/* For what the peer did wrong: also a line in the log. */
static void drop_bad(struct gr_server *s, struct gr_peer *p, int code, const char *why)
{
	gr_warn("net", "%s %s (%s) dropped: %s", gr_role_name(p->role), p->name, p->key_name, why);
	gr_server_drop(s, p, code, why);
}

static int sent(struct gr_server *s, struct gr_peer *p, int rc)
{
	if (rc != GR_EUNREACH)
		return rc;
	if (!p->is_unreachable) {
		p->is_unreachable = true;
		uv_timer_start(&s->timer, on_timer, 0, s->heartbeat_ms);
	}
	return GR_EGONE;
}

static int send_to(struct gr_server *s, struct gr_peer *p, struct gr_gate *gate, struct gr_buf *frame)
{
	return sent(s, p, gr_sock_send(s->sock, id_of(p), gate, frame));
}

/* In order: what is long goes behind what was gathered. */
static int gather(struct gr_server *s, struct gr_peer *p, struct gr_buf *frame)
{
	int rc;

	if (!gr_outbox_fits(frame)) {
		rc = sent(s, p, gr_outbox_send(&p->outbox, s->sock, id_of(p), p->gate));
		return rc < 0 ? rc : send_to(s, p, p->gate, frame);
	}
	rc = sent(s, p, gr_outbox_add(&p->outbox, s->sock, id_of(p), p->gate, frame));
	if (rc == 0 && gr_list_is_empty(&p->gathered))
		gr_list_push(&s->gathered, &p->gathered);
	return rc;
}

static bool send_gathered(void *ctx)
{
	struct gr_server *s = ctx;
	bool is_all = true;

	GR_LIST_EACH_SAFE(p, &s->gathered, struct gr_peer, gathered) {
		if (sent(s, p, gr_outbox_send(&p->outbox, s->sock, id_of(p), p->gate)) == GR_EBUSY)
			is_all = false;
		else
			gr_list_del(&p->gathered);
	}
	return is_all;
}

int gr_server_send(struct gr_server *s, struct gr_peer *peer, struct gr_buf *frame)
{
	if (peer->is_gone || peer->is_unreachable || s->is_closed)
		return GR_EGONE;
	if (peer->is_welcome)
		return gather(s, peer, frame);
	if (peer->n_early == MAX_EARLY)
		return GR_EBUSY;
	peer->early = gr_xrealloc(peer->early, (peer->n_early + 1) * sizeof(*peer->early));
	peer->early[peer->n_early++] = *frame;
	*frame = (struct gr_buf){ 0 };
	return 0;
}

/* ---- HELLO ---- */

/* What the connection itself proves. Return: the role mask, or 0. */
static int roles_of(struct gr_server *s, const char *key, char name[64])
{
	if (s->is_curve)
		return gr_allow_find(s->allow, key, name);
	strcpy(name, "loopback");
	return GR_ROLE_CLIENT | GR_ROLE_WORKER | GR_ROLE_ADMIN;
}

static int check_hello(struct gr_server *s, const struct gr_hello *h, const char *key, char key_name[64], struct gr_err *err)
{
	int roles;

	if (h->version_min > GR_WIRE_VERSION || h->version_max < GR_WIRE_VERSION)
		return gr_err_set(err, GR_EVERSION, "this coordinator (griddle %s) speaks protocol %d; %s (griddle %s) speaks %u to %u",
				  GR_VERSION, GR_WIRE_VERSION, h->name, h->version, h->version_min, h->version_max);
	roles = roles_of(s, key, key_name);
	if (roles <= 0)
		return gr_err_set(err, GR_EAUTH, "key not authorised");
	if (!(roles & (int)h->role))
		return gr_err_set(err, GR_EROLE, "key \"%s\" is not allowed as %s", key_name, gr_role_name(h->role));
	if (s->by_id.n >= s->max_peers)
		return gr_err_set(err, GR_EBUSY, "%u peers are connected already", s->max_peers);
	return 0;
}

static void welcome(struct gr_server *s, struct gr_peer *p, json_t *body)
{
	struct gr_buf frame = { 0 };
	int rc;

	gr_json_encode(&frame, GR_MSG_WELCOME, body);
	rc = send_to(s, p, NULL, &frame);
	gr_buf_fini(&frame);
	p->is_welcome = true;
	for (uint32_t i = 0; rc == 0 && i < p->n_early; i++)
		rc = send_to(s, p, p->gate, &p->early[i]);
	for (uint32_t i = 0; i < p->n_early; i++)
		gr_buf_fini(&p->early[i]);
	p->n_early = 0;
	if (rc < 0 && !p->is_gone)
		gr_server_drop(s, p, GR_EGONE, "connection closed");
}

static int admit(struct gr_server *s, struct gr_peer *p, const struct gr_hello *h, json_t *body, struct gr_err *err)
{
	int rc;

	json_object_set_new(body, "version", json_string(GR_VERSION));
	json_object_set_new(body, "wire", json_integer(GR_WIRE_VERSION));
	json_object_set_new(body, "heartbeat_ms", json_integer(s->heartbeat_ms));
	json_object_set_new(body, "dead_ms", json_integer(s->dead_ms));
	rc = s->ops->on_hello(s->ctx, p, h, body, err);
	if (rc < 0 && err->text[0] == 0)
		gr_err_set(err, rc, "%s", gr_err_text(rc));
	return rc;
}

static void on_hello(struct gr_server *s, struct gr_slice id, const char *key, int fd, struct gr_slice body)
{
	struct gr_cut conn = gr_cut_of(fd);
	struct gr_err err = { 0 };
	struct gr_hello h;
	struct gr_peer *p;
	json_t *reply;
	int rc;

	gr_cuts_spare(s->cuts, &conn);
	rc = gr_hello_decode(body, &h, &err);
	if (rc < 0) {
		gr_warn("net", "refused: %s", err.text);
		send_farewell(s, id, GR_MSG_REJECT, rc, err.text);
		cut_soon(s, &conn);
		return;
	}
	GR_NEW(p);
	gr_list_init(&p->node);
	gr_list_init(&p->gathered);
	rc = check_hello(s, &h, key, p->key_name, &err);
	if (rc < 0)
		goto refuse;
	memcpy(p->id, id.p, ID_BYTES);
	p->conn = conn;
	p->role = h.role;
	memcpy(p->name, h.name, sizeof(p->name));
	snprintf(p->key, sizeof(p->key), "%s", key);
	p->gate = gr_gate_new();
	p->last_rx_ns = gr_loop_now_ns(s->loop);
	reply = json_object();
	rc = admit(s, p, &h, reply, &err);
	if (rc < 0) {
		json_decref(reply);
		goto refuse;
	}
	if (s->is_closed) {
		json_decref(reply);
		free_peer(p);
		gr_hello_fini(&h);
		return;
	}
	gr_list_push(&s->peers, &p->node);
	gr_map_put(&s->by_id, p->id, ID_BYTES, p);
	welcome(s, p, reply);
	json_decref(reply);
	gr_hello_fini(&h);
	return;
refuse:
	gr_warn("net", "%s %s refused: %s", gr_role_name(h.role), h.name, err.text);
	send_farewell(s, id, GR_MSG_REJECT, rc, err.text);
	cut_soon(s, &conn);
	free_peer(p);
	gr_hello_fini(&h);
}

/* Not a peer, or not any more: only HELLO is heard. Others are told that they are not known, but not often. */
static void on_stranger(struct gr_server *s, struct gr_slice id, const char *key, int fd, struct gr_slice frame)
{
	struct gr_slice body = { NULL, 0 };
	uint64_t now = gr_loop_now_ns(s->loop);
	int type = gr_frame_open(frame, &body);

	if (type == GR_MSG_HELLO) {
		on_hello(s, id, key, fd, body);
		return;
	}
	if (type == GR_MSG_BYE || now < s->last_stranger_ns + STRANGER_EVERY_MS * GR_NS_PER_MS)
		return;
	s->last_stranger_ns = now;
	if (type < 0) {
		struct gr_cut conn = gr_cut_of(fd);

		cut_soon(s, &conn);
	}
	if (type < 0 && now >= s->last_stranger_log_ns + GR_NS_PER_S) {
		s->last_stranger_log_ns = now;
		gr_warn("net", "a stranger sent what is no frame of ours: %s", gr_err_text(type));
	}
	if (type == GR_EVERSION)
		send_farewell(s, id, GR_MSG_REJECT, GR_EVERSION, "this coordinator (griddle " GR_VERSION ") speaks another protocol");
	else if (type < 0)
		send_farewell(s, id, GR_MSG_BYE, type, gr_err_text(type));
	else
		send_farewell(s, id, GR_MSG_BYE, GR_EGONE, "not known here (any more): say HELLO first");
}

/* ---- frames of peers ---- */

/* Return: true when there is something in it for on_msg. */
static bool on_ping(struct gr_server *s, struct gr_peer *p, int type, struct gr_slice body)
{
	struct gr_buf frame = { 0 };
	struct gr_ping m;
	uint64_t ns;
	int rc = gr_ping_decode(body, &m);

	if (rc < 0) {
		drop_bad(s, p, rc, "malformed heartbeat");
		return false;
	}
	if (type == GR_MSG_PONG) {
		if (p->ping_ns && m.seq == p->ping_seq && m.t_ns == p->ping_ns) {
			ns = gr_loop_now_ns(s->loop) - p->ping_ns;
			p->rtt_ns = p->rtt_ns ? p->rtt_ns - p->rtt_ns / 8 + ns / 8 : ns;
			p->ping_ns = 0;
		}
		return false;
	}
	gr_ping_encode(&frame, GR_MSG_PONG, &m);
	send_to(s, p, NULL, &frame);   /* no room: the next one will do */
	gr_buf_fini(&frame);
	return m.n_signals > 0;
}

static void on_frame(struct gr_server *s, struct gr_peer *p, struct gr_slice frame);

/* Since @n_removed was n_removed the peer was dropped, or the server closed. */
static bool is_over(const struct gr_server *s, const struct gr_peer *p, uint64_t n_removed)
{
	if (s->is_closed || n_removed == s->n_removed)
		return s->is_closed;
	GR_LIST_EACH(other, &s->peers, struct gr_peer, node)
		if (other == p)
			return false;
	return true;
}

static void on_bundle(struct gr_server *s, struct gr_peer *p, struct gr_slice body)
{
	uint64_t n_removed = s->n_removed;
	struct gr_loop *loop = s->loop;
	struct gr_slice frame;
	int rc = gr_bundle_check(body);

	if (rc < 0) {
		drop_bad(s, p, rc, "malformed bundle");
		return;
	}
	gr_loop_stand(loop);
	s->n_frames += (uint32_t)rc;
	while (!is_over(s, p, n_removed) && gr_bundle_next(&body, &frame))     /* unless dropped for what one of them said */
		on_frame(s, p, frame);
	gr_loop_go_on(loop);
}

static void on_frame(struct gr_server *s, struct gr_peer *p, struct gr_slice frame)
{
	struct gr_slice body = { NULL, 0 };
	uint64_t n_removed = s->n_removed;
	char text[160];
	int type = gr_frame_open(frame, &body), rc;

	p->last_rx_ns = gr_loop_now_ns(s->loop);
	if (type < 0) {
		drop_bad(s, p, type, gr_err_text(type));
		return;
	}
	if (type == GR_MSG_HELLO || !gr_msg_may_send(type, p->role == GR_ROLE_WORKER ? 'W' : 'C')) {
		snprintf(text, sizeof(text), "a %s may not send %s%s", gr_role_name(p->role), gr_msg_name(type),
			 type == GR_MSG_HELLO ? " twice" : "");
		drop_bad(s, p, type == GR_MSG_HELLO ? GR_EPROTO : GR_EROLE, text);
		return;
	}
	if (type == GR_MSG_BUNDLE) {
		on_bundle(s, p, body);
		return;
	}
	if ((type == GR_MSG_PING || type == GR_MSG_PONG) && !on_ping(s, p, type, body))
		return;
	if (type == GR_MSG_BYE) {
		remove_peer(s, p, GR_EGONE, "said goodbye");
		return;
	}
	rc = s->ops->on_msg(s->ctx, p, type, body);
	/* The callback may have dropped the peer, or closed the server. */
	if (rc >= 0 || gr_err_class(rc) != GR_CLASS_PEER || is_over(s, p, n_removed))
		return;
	snprintf(text, sizeof(text), "%s: %s", gr_msg_name(type), gr_err_text(rc));
	drop_bad(s, p, rc, text);
}

/* A message whose sender is proven, or not: then it is nobody's. */
static void on_message(struct gr_server *s, struct gr_slice id, zmq_msg_t *msg)
{
	struct gr_slice frame = gr_slice(zmq_msg_data(msg), zmq_msg_size(msg));
	const char *key = zmq_msg_gets(msg, "User-Id"), *address = zmq_msg_gets(msg, "Peer-Address");
	struct gr_peer *p;

	if (id.n != ID_BYTES || id.p[0] != 0)
		return;
	if (s->is_curve ? !key || !gr_key_is_valid(key) : !gr_address_is_loopback(address ? address : ""))
		return;
	p = gr_map_get(&s->by_id, id.p, ID_BYTES);
	if (!p)
		on_stranger(s, id, s->is_curve ? key : "", zmq_msg_get(msg, ZMQ_SRCFD), frame);
	else if (s->is_curve && strcmp(p->key, key))
		drop_bad(s, p, GR_EAUTH, "its key changed");
	else
		on_frame(s, p, frame);
}

/* A message is [name][frame]. Return: its size, or < 0 when there is none. */
static int64_t receive_one(struct gr_server *s)
{
	void *zmq = gr_sock_zmq(s->sock);
	zmq_msg_t id, msg;
	int64_t n = -1;
	bool is_long = false;

	zmq_msg_init(&id);
	zmq_msg_init(&msg);
	if (zmq_msg_recv(&id, zmq, ZMQ_DONTWAIT) < 0 || zmq_msg_recv(&msg, zmq, ZMQ_DONTWAIT) < 0)
		goto out;
	n = (int64_t)zmq_msg_size(&msg);
	while (zmq_msg_more(&msg)) {
		is_long = true;
		if (zmq_msg_recv(&msg, zmq, ZMQ_DONTWAIT) < 0)
			goto out;
	}
	if (!is_long) {
		on_message(s, gr_slice(zmq_msg_data(&id), zmq_msg_size(&id)), &msg);
	} else {
		struct gr_peer *p = gr_map_get(&s->by_id, zmq_msg_data(&id), zmq_msg_size(&id));

		if (p)
			drop_bad(s, p, GR_EPROTO, "a message of several parts");
	}
out:
	zmq_msg_close(&id);
	zmq_msg_close(&msg);
	return n;
}

static void receive(struct gr_server *s)
{
	int64_t n_bytes = 0;

	s->n_frames = 0;
	for (int i = 0; i < MAX_MSGS && n_bytes < MAX_BYTES && s->n_frames < MAX_FRAMES && !s->is_closed; i++) {
		int64_t n = receive_one(s);

		if (n < 0)
			return;
		n_bytes += n;
	}
}

static void on_sock(void *ctx) { receive(ctx); }

/* ---- time ---- */

static bool is_silent(const struct gr_server *s, const struct gr_peer *p, uint64_t now)
{
	uint64_t ms = now > p->last_rx_ns ? (now - p->last_rx_ns) / GR_NS_PER_MS : 0;

	return ms > s->dead_ms && (ms > (uint64_t)s->dead_ms * GR_ARRIVING_PATIENCE || !gr_sock_is_arriving(p->conn.fd, s->dead_ms));
}

static bool is_revoked(struct gr_server *s, const struct gr_peer *p)
{
	char name[64];

	return !(gr_allow_find(s->allow, p->key, name) & (int)p->role);
}

/* The first peer that must go, and why. */
static struct gr_peer *find_over(struct gr_server *s, uint64_t now, bool list_changed, int *code, char why[96])
{
	GR_LIST_EACH(p, &s->peers, struct gr_peer, node) {
		*code = 0;
		if (p->is_unreachable) {
			*code = GR_EGONE;
			snprintf(why, 96, "connection closed");
		} else if (is_silent(s, p, now)) {
			*code = GR_ETIME;
			snprintf(why, 96, "nothing heard for %llu ms", (unsigned long long)((now - p->last_rx_ns) / GR_NS_PER_MS));
		} else if (list_changed && is_revoked(s, p)) {
			*code = GR_EAUTH;
			snprintf(why, 96, "its key is not authorised any more");
		}
		if (*code < 0)
			return p;
	}
	return NULL;
}

static void reap(struct gr_server *s, uint64_t now)
{
	uint64_t version = s->is_curve && s->allow ? gr_allow_version(s->allow) : 0;
	bool list_changed = version != s->allow_version;
	struct gr_peer *p;
	char why[96];
	int code;

	s->allow_version = version;
	/* on_gone may drop others: after each one the list is looked at anew. */
	while (!s->is_closed && (p = find_over(s, now, list_changed, &code, why))) {
		if (code == GR_EGONE)
			remove_peer(s, p, code, why);
		else if (code == GR_EAUTH)
			drop_bad(s, p, code, why);
		else
			gr_server_drop(s, p, code, why);
	}
}

static void on_timer(uv_timer_t *h)
{
	struct gr_server *s = h->data;
	uint64_t now = gr_loop_now_ns(s->loop);
	bool was_stopped = (now - s->last_tick_ns) / GR_NS_PER_MS > s->heartbeat_ms + s->dead_ms / 2;

	s->last_tick_ns = now;
	if (was_stopped)
		GR_LIST_EACH(p, &s->peers, struct gr_peer, node)
			p->last_rx_ns = now;
	receive(s);
	if (s->is_closed)
		return;
	gr_cuts_tick(s->cuts, now);
	/* Still something to read: whose it is nobody knows, so nobody is judged. */
	if (!gr_sock_has_input(s->sock))
		reap(s, now);
	if (s->is_closed)
		return;
	GR_LIST_EACH(p, &s->peers, struct gr_peer, node) {
		struct gr_ping ping = { .seq = ++p->ping_seq, .t_ns = now };
		struct gr_buf frame = { 0 };

		gr_ping_encode(&frame, GR_MSG_PING, &ping);
		if (send_to(s, p, NULL, &frame) == 0)
			p->ping_ns = now;
		gr_buf_fini(&frame);
	}
}

/* ---- the face ---- */

static void set_curve(struct gr_server *s, void *zmq, const struct gr_server_config *cfg)
{
	int on = 1;

	s->is_curve = true;
	s->keys = *cfg->keys;
	s->allow_version = cfg->allow ? gr_allow_version(cfg->allow) : 0;
	gr_sock_set_int(zmq, ZMQ_CURVE_SERVER, 1);
	gr_sock_set_str(zmq, ZMQ_CURVE_SECRETKEY, s->keys.secret_key);
	gr_sock_set_str(zmq, ZMQ_ZAP_DOMAIN, GR_ZAP_DOMAIN);
	/* Without a handler nobody gets in, rather than anybody. gr_server_bind sees to the handler in any case, so a
	 * libzmq that does not know the option loses nothing. */
	(void)!zmq_setsockopt(zmq, ZAP_ENFORCE_DOMAIN, &on, sizeof(on));
}

struct gr_server *gr_server_new(struct gr_loop *loop, const struct gr_server_config *cfg,
				const struct gr_server_ops *ops, void *ctx)
{
	void *zmq = zmq_socket(gr_loop__zmq(loop), ZMQ_ROUTER);
	struct gr_server *s;

	if (!zmq)
		abort();
	GR_NEW(s);
	s->loop = loop;
	s->heartbeat_ms = cfg->heartbeat_ms ? cfg->heartbeat_ms : 1000;
	s->dead_ms = cfg->dead_ms ? cfg->dead_ms : 5000;
	s->max_peers = cfg->max_peers ? cfg->max_peers : 4096;
	s->allow = cfg->allow;
	s->ops = ops;
	s->ctx = ctx;
	s->last_tick_ns = gr_loop_now_ns(loop);
	gr_list_init(&s->peers);
	gr_list_init(&s->gathered);
	s->by_id.seed = gr_rng_u64(gr_loop_rng(loop));
	s->cuts = gr_cuts_new();
	gr_sock_set_limits(zmq);
	gr_sock_set_int(zmq, ZMQ_ROUTER_MANDATORY, 1);
	gr_sock_set_int(zmq, ZMQ_BACKLOG, 1024);
	gr_sock_set_int(zmq, ZMQ_HEARTBEAT_IVL, 30000);
	gr_sock_set_int(zmq, ZMQ_HEARTBEAT_TIMEOUT, 120000);
	if (cfg->keys)
		set_curve(s, zmq, cfg);
	s->sock = gr_sock_new(loop, zmq, on_sock, s);
	gr_sock_before_wait(s->sock, send_gathered);
	uv_timer_init(gr_loop_uv(loop), &s->timer);
	s->timer.data = s;
	uv_timer_start(&s->timer, on_timer, s->heartbeat_ms, s->heartbeat_ms);
	return s;
}

int gr_server_bind(struct gr_server *s, const char *endpoint, char *bound, struct gr_err *err)
{
	char text[256];
	size_t n = sizeof(text);
	struct gr_endpoint e;
	int rc = gr_endpoint_parse(endpoint, true, &e, err);

	if (rc < 0)
		return rc;
	if (!s->is_curve && !e.is_loopback)
		return gr_err_set(err, GR_EAUTH, "%s: without keys only loopback and ipc are allowed; give a key file and an "
				  "allow list (griddle keys)", endpoint);
	if (s->is_curve && !s->allow)
		return gr_err_set(err, GR_EAUTH, "%s: keys without an allow list would admit anybody", endpoint);
	if (s->is_curve && !s->zap) {
		rc = gr_zap_new(s->loop, s->allow, &s->zap, err);
		if (rc < 0)
			return rc;
	}
	gr_sock_set_int(gr_sock_zmq(s->sock), ZMQ_IPV6, e.is_v6);
	if (zmq_bind(gr_sock_zmq(s->sock), endpoint) < 0)
		return gr_err_set(err, errno == EADDRINUSE ? GR_EEXIST : GR_EIO, "%s: %s", endpoint, zmq_strerror(errno));
	if (zmq_getsockopt(gr_sock_zmq(s->sock), ZMQ_LAST_ENDPOINT, text, &n) < 0)
		return gr_err_set(err, GR_EIO, "%s: %s", endpoint, zmq_strerror(errno));
	if (bound)
		snprintf(bound, 256, "%s", text);
	return 0;
}

static void on_closed(uv_handle_t *h)
{
	struct gr_server *s = h->data;

	explicit_bzero(&s->keys, sizeof(s->keys));
	free(s);
}

void gr_server_close(struct gr_server **sp)
{
	struct gr_server *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	while (!gr_list_is_empty(&s->peers))
		gr_server_drop(s, GR_CONTAINER(s->peers.next, struct gr_peer, node), GR_EGONE, "the coordinator ends");
	s->is_closed = true;
	gr_map_fini(&s->by_id);
	gr_cuts_free(&s->cuts);
	gr_sock_close(&s->sock, BYE_LINGER_MS);
	gr_zap_free(&s->zap);
	uv_close((uv_handle_t *)&s->timer, on_closed);
}

enum gr_role gr_peer_role(const struct gr_peer *p) { return p->role; }
const char *gr_peer_name(const struct gr_peer *p) { return p->name; }
const char *gr_peer_key_name(const struct gr_peer *p) { return p->key_name; }
uint64_t gr_peer_rtt_ns(const struct gr_peer *p) { return p->rtt_ns; }
void *gr_peer_data(const struct gr_peer *p) { return p->data; }
void gr_peer_set_data(struct gr_peer *p, void *data) { p->data = data; }
