/* wire.c - lib/net's server.h over connections that are made up; see csim.h
 *
 * A connection brings frames in order, each way with a delay of its own, until it is cut; of what was on its way then,
 * a part arrives. The server learns of a cut at its next send, as from a ROUTER, or by silence; heartbeats are sent and
 * heard as in lib/net/server.c. That file's handshake and its table of who may send what are kept to here: a peer that
 * the coordinator drops for what it sent breaks the run, because no model sends what it may not.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "tests/csim/csim.h"

#define MAX_EARLY 64u

struct gr_peer {
	struct gr_list node;
	struct cs_conn *conn;
	enum gr_role role;
	char name[64];
	void *data;
	bool is_welcome, is_gone, is_unroutable;
	uint64_t heard_ns, ping_seq, ping_ns, rtt_ns;
	struct gr_buf early[MAX_EARLY];
	uint32_t n_early;
};
struct gr_server {
	struct cs *s;
	struct gr_loop *loop;
	const struct gr_server_ops *ops;
	void *ctx;
	uint32_t heartbeat_ms, dead_ms, max_peers;
	struct gr_list peers;
	uint32_t n_peers;
	uint64_t tick_ns;
	struct gr_timer *timer, *reap;
	bool is_closed;
};
struct msg {
	struct cs_conn *c;
	int dir;
	uint64_t seq;
	struct gr_buf frame;
};

static void server_receive(struct gr_server *sv, struct cs_conn *c, struct gr_slice frame);

/* ---- connections ---- */

struct cs_conn *cs_connect(struct cs_node *n)
{
	struct cs *s = n->s;
	struct cs_conn *c;

	if (!s->server)
		return NULL;
	GR_NEW(c);
	c->s = s;
	c->node = n;
	c->server = s->server;
	gr_list_init(&c->link);
	gr_list_push(&s->conns, &c->link);
	s->st.conns++;
	return c;
}

static bool is_lost(const struct msg *m)
{
	return m->c->is_cut && m->seq > m->c->dir[m->dir].until;
}

static void deliver(void *ctx)
{
	struct msg *m = ctx;
	struct cs_conn *c = m->c;
	struct cs *s = c->s;

	c->dir[m->dir].had = m->seq;
	if (is_lost(m))
		s->st.lost_frames++;
	else if (m->dir == CS_UP && s->server && s->server == c->server)
		server_receive(s->server, c, gr_buf_slice(&m->frame));
	else if (m->dir == CS_DOWN && c->node && c->node->conn == c)
		cs_node_receive(c->node, gr_buf_slice(&m->frame));
	gr_buf_fini(&m->frame);
	free(m);
}

void cs_send(struct cs_conn *c, int dir, struct gr_buf *frame)
{
	struct cs *s = c->s;
	uint64_t at = s->now_ns + cs_around(s, s->p.delay_ns);
	struct msg *m;

	if (c->is_cut) {
		gr_buf_fini(frame);
		return;
	}
	/* several that come in one wake-up are common */
	if (at < c->dir[dir].last_ns || cs_chance(s, 300))
		at = c->dir[dir].last_ns > s->now_ns ? c->dir[dir].last_ns : at;
	c->dir[dir].last_ns = at;
	GR_NEW(m);
	*m = (struct msg){ c, dir, ++c->dir[dir].sent, *frame };
	*frame = (struct gr_buf){ 0 };
	s->st.frames++;
	cs_hash(s, gr_hash64(m->frame.p, m->frame.n, (uint64_t)dir));
	cs_at(s, at, dir == CS_UP ? CS_COORD : c->node ? c->node->index : CS_WORLD, deliver, m);
}

static void noticed_by_node(void *ctx)
{
	struct cs_conn *c = ctx;

	if (c->node && c->node->conn == c)
		cs_node_down(c->node, "the connection broke");
}

static void noticed_by_server(void *ctx)
{
	struct cs_conn *c = ctx;

	c->is_noticed = true;
	if (c->peer)
		c->peer->is_unroutable = true;
}

void cs_cut(struct cs_conn *c, bool is_silent)
{
	struct cs *s = c->s;

	if (c->is_cut)
		return;
	c->is_cut = true;
	for (int d = 0; d < 2; d++)
		c->dir[d].until = c->dir[d].had + cs_below(s, c->dir[d].sent - c->dir[d].had + 1);
	if (is_silent)
		return;
	if (c->node)
		cs_at(s, c->dir[CS_DOWN].last_ns + cs_around(s, s->p.delay_ns), c->node->index, noticed_by_node, c);
	cs_at(s, c->dir[CS_UP].last_ns + cs_around(s, s->p.delay_ns), CS_COORD, noticed_by_server, c);
}

void cs_conns_free(struct cs *s)
{
	GR_LIST_EACH_SAFE(c, &s->conns, struct cs_conn, link)
		free(c);
}

/* Frames that were still on their way when the world ended. */
void cs_frames_free(struct cs *s)
{
	for (uint32_t i = 0; i < s->n_heap; i++)
		if (s->heap[i]->fn == deliver) {
			struct msg *m = s->heap[i]->ctx;

			gr_buf_fini(&m->frame);
			free(m);
		}
}

/* ---- peers ---- */

static void cut_later(void *ctx) { cs_cut(ctx, false); }

static void farewell(struct gr_server *sv, struct cs_conn *c, enum gr_msg_type type, int code, const char *why)
{
	json_t *j = json_pack("{s:s, s:s}", "code", gr_err_name(code), "why", why);
	struct gr_buf frame = { 0 };

	gr_json_encode(&frame, type, j);
	json_decref(j);
	if (sv->s->is_crashing)
		gr_buf_fini(&frame);
	else
		cs_send(c, CS_DOWN, &frame);
	cs_in(sv->s, GR_NS_PER_S, CS_WORLD, cut_later, c);
}

static void peer_free(struct gr_peer *p)
{
	for (uint32_t i = 0; i < p->n_early; i++)
		gr_buf_fini(&p->early[i]);
	free(p);
}

static void remove_peer(struct gr_server *sv, struct gr_peer *p, int code, const char *why)
{
	p->is_gone = true;
	gr_list_del(&p->node);
	sv->n_peers--;
	p->conn->peer = NULL;
	sv->ops->on_gone(sv->ctx, p, code, why);
	peer_free(p);
}

void gr_server_drop(struct gr_server *sv, struct gr_peer *p, int code, const char *why)
{
	if (p->is_gone)
		return;
	cs_say(sv->s, "server: drops %s: %s", p->name, why);
	farewell(sv, p->conn, GR_MSG_BYE, code, why);
	remove_peer(sv, p, code, why);
}

static void drop_bad(struct gr_server *sv, struct gr_peer *p, int code, const char *why)
{
	/* one whose queue of a few frames is full when it is to be answered is dropped on purpose */
	if (code != GR_ELIMIT || sv->s->p.queue_max > 64)
		cs_fail(sv->s, "%s is dropped for what it sent: %s: %s", p->name, gr_err_name(code), why);
	gr_server_drop(sv, p, code, why);
}

static int send_to(struct gr_server *sv, struct gr_peer *p, struct gr_buf *frame, bool is_gated)
{
	struct cs_conn *c = p->conn;

	if (p->is_unroutable) {
		gr_timer_set(sv->reap, 0);
		return GR_EGONE;
	}
	if (is_gated && c->dir[CS_DOWN].sent - c->dir[CS_DOWN].had >= sv->s->p.queue_max)
		return GR_EBUSY;
	cs_send(c, CS_DOWN, frame);
	*frame = (struct gr_buf){ 0 };
	return 0;
}

int gr_server_send(struct gr_server *sv, struct gr_peer *p, struct gr_buf *frame)
{
	if (p->is_gone || sv->is_closed || sv->s->is_crashing)
		return GR_EGONE;
	if (p->is_welcome)
		return send_to(sv, p, frame, true);
	if (p->n_early == MAX_EARLY)
		return GR_EBUSY;
	p->early[p->n_early++] = *frame;
	*frame = (struct gr_buf){ 0 };
	return 0;
}

/* ---- what comes in ---- */

static void hello(struct gr_server *sv, struct cs_conn *c, struct gr_slice body)
{
	struct gr_err err = { 0 };
	struct gr_buf frame = { 0 };
	struct gr_hello h;
	struct gr_peer *p;
	json_t *reply;
	int rc = gr_hello_decode(body, &h, &err);

	if (rc < 0) {
		cs_fail(sv->s, "a HELLO cannot be read: %s", err.text);
		return;
	}
	GR_NEW(p);
	gr_list_init(&p->node);
	p->conn = c;
	p->role = h.role;
	memcpy(p->name, h.name, sizeof(p->name));
	p->heard_ns = sv->s->now_ns;
	p->is_unroutable = c->is_noticed;
	reply = json_pack("{s:s, s:i, s:i, s:i}", "version", GR_VERSION, "wire", GR_WIRE_VERSION, "heartbeat_ms", (int)sv->heartbeat_ms, "dead_ms",
			  (int)sv->dead_ms);
	rc = sv->n_peers >= sv->max_peers ? gr_err_set(&err, GR_EBUSY, "too many peers") : sv->ops->on_hello(sv->ctx, p, &h, reply, &err);
	gr_hello_fini(&h);
	if (rc < 0) {
		cs_fail(sv->s, "%s is refused: %s", p->name, err.text);
		farewell(sv, c, GR_MSG_REJECT, rc, err.text);
		json_decref(reply);
		peer_free(p);
		return;
	}
	c->peer = p;
	gr_list_push(&sv->peers, &p->node);
	sv->n_peers++;
	gr_json_encode(&frame, GR_MSG_WELCOME, reply);
	json_decref(reply);
	send_to(sv, p, &frame, false);
	gr_buf_fini(&frame);
	p->is_welcome = true;
	for (uint32_t i = 0; i < p->n_early; i++) {
		send_to(sv, p, &p->early[i], false);
		gr_buf_fini(&p->early[i]);
	}
	p->n_early = 0;
}

/* Return: true when there is something in it for on_msg. */
static bool ping(struct gr_server *sv, struct gr_peer *p, int type, struct gr_slice body)
{
	struct gr_buf frame = { 0 };
	struct gr_ping m;

	if (gr_ping_decode(body, &m) < 0) {
		drop_bad(sv, p, GR_EPROTO, "malformed heartbeat");
		return false;
	}
	if (type == GR_MSG_PONG) {
		if (p->ping_ns && m.seq == p->ping_seq && m.t_ns == p->ping_ns) {
			uint64_t ns = sv->s->now_ns - p->ping_ns;

			p->rtt_ns = p->rtt_ns ? p->rtt_ns - p->rtt_ns / 8 + ns / 8 : ns;
			p->ping_ns = 0;
		}
		return false;
	}
	gr_ping_encode(&frame, GR_MSG_PONG, &m);
	send_to(sv, p, &frame, false);
	gr_buf_fini(&frame);
	return m.n_signals > 0;
}

static void server_receive(struct gr_server *sv, struct cs_conn *c, struct gr_slice frame)
{
	struct gr_slice body = { NULL, 0 };
	int type = gr_frame_open(frame, &body), rc;
	struct gr_peer *p = c->peer;
	char text[200];

	if (!p) {
		if (type == GR_MSG_HELLO)
			hello(sv, c, body);
		else if (type != GR_MSG_BYE)
			farewell(sv, c, GR_MSG_BYE, GR_EGONE, "not known here (any more): say HELLO first");
		return;
	}
	p->heard_ns = sv->s->now_ns;
	if (type < 0 || type == GR_MSG_HELLO || !gr_msg_may_send(type, p->role == GR_ROLE_WORKER ? 'W' : 'C')) {
		drop_bad(sv, p, type < 0 ? type : GR_EROLE, type < 0 ? gr_err_text(type) : gr_msg_name(type));
		return;
	}
	if ((type == GR_MSG_PING || type == GR_MSG_PONG) && !ping(sv, p, type, body))
		return;
	if (type == GR_MSG_BYE) {
		remove_peer(sv, p, GR_EGONE, "said goodbye");
		return;
	}
	rc = sv->ops->on_msg(sv->ctx, p, type, body);
	if (rc >= 0 || gr_err_class(rc) != GR_CLASS_PEER || sv->s->server != sv || c->peer != p)
		return;
	snprintf(text, sizeof(text), "%s: %s", gr_msg_name(type), gr_err_text(rc));
	drop_bad(sv, p, rc, text);
}

/* ---- time ---- */

static struct gr_peer *find_over(struct gr_server *sv, bool only_unroutable)
{
	GR_LIST_EACH(p, &sv->peers, struct gr_peer, node)
		if (p->is_unroutable || (!only_unroutable && sv->s->now_ns - p->heard_ns > sv->dead_ms * GR_NS_PER_MS))
			return p;
	return NULL;
}

static void reap(struct gr_server *sv, bool only_unroutable)
{
	struct gr_peer *p;

	while ((p = find_over(sv, only_unroutable))) {
		if (p->is_unroutable)
			remove_peer(sv, p, GR_EGONE, "connection closed");
		else
			gr_server_drop(sv, p, GR_ETIME, "nothing heard");
	}
}

static void on_reap(void *ctx) { reap(ctx, true); }

static void on_tick(void *ctx)
{
	struct gr_server *sv = ctx;
	uint64_t now = sv->s->now_ns;
	bool was_stopped = (now - sv->tick_ns) / GR_NS_PER_MS > sv->heartbeat_ms + sv->dead_ms / 2;

	sv->tick_ns = now;
	if (was_stopped)
		GR_LIST_EACH(p, &sv->peers, struct gr_peer, node)
			p->heard_ns = now;
	reap(sv, false);
	GR_LIST_EACH(p, &sv->peers, struct gr_peer, node) {
		struct gr_ping m = { .seq = ++p->ping_seq, .t_ns = now };
		struct gr_buf frame = { 0 };

		gr_ping_encode(&frame, GR_MSG_PING, &m);
		if (send_to(sv, p, &frame, false) == 0)
			p->ping_ns = now;
		gr_buf_fini(&frame);
	}
}

/* ---- the face ---- */

struct gr_server *gr_server_new(struct gr_loop *loop, const struct gr_server_config *cfg, const struct gr_server_ops *ops, void *ctx)
{
	struct gr_server *sv;

	GR_NEW(sv);
	sv->s = cs_now;
	sv->loop = loop;
	sv->ops = ops;
	sv->ctx = ctx;
	sv->heartbeat_ms = cfg->heartbeat_ms;
	sv->dead_ms = cfg->dead_ms;
	sv->max_peers = cfg->max_peers;
	sv->tick_ns = sv->s->now_ns;
	gr_list_init(&sv->peers);
	sv->timer = gr_timer_start(loop, cfg->heartbeat_ms, cfg->heartbeat_ms, on_tick, sv);
	sv->reap = gr_timer_new(loop, on_reap, sv);
	return sv;
}

int gr_server_bind(struct gr_server *sv, const char *endpoint, char *bound, struct gr_err *err)
{
	(void)err;
	snprintf(bound, 256, "%s", endpoint);
	sv->s->server = sv;
	return 0;
}

void gr_server_close(struct gr_server **svp)
{
	struct gr_server *sv = *svp;

	*svp = NULL;
	if (!sv)
		return;
	while (!gr_list_is_empty(&sv->peers))
		gr_server_drop(sv, GR_CONTAINER(sv->peers.next, struct gr_peer, node), GR_EGONE, "the coordinator ends");
	gr_timer_stop(&sv->timer);
	gr_timer_stop(&sv->reap);
	sv->s->server = NULL;
	GR_LIST_EACH(c, &sv->s->conns, struct cs_conn, link)
		if (c->server == sv) {
			c->server = NULL;
			if (sv->s->is_crashing)
				cs_cut(c, false);
		}
	free(sv);
}

enum gr_role gr_peer_role(const struct gr_peer *p) { return p->role; }
const char *gr_peer_name(const struct gr_peer *p) { return p->name; }
const char *gr_peer_key_name(const struct gr_peer *p) { return p ? "loopback" : ""; }
uint64_t gr_peer_rtt_ns(const struct gr_peer *p) { return p->rtt_ns; }
void *gr_peer_data(const struct gr_peer *p) { return p->data; }
void gr_peer_set_data(struct gr_peer *p, void *data) { p->data = data; }
