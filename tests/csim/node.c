/* node.c - what workers and clients have in common: connecting, heartbeats, being stopped; lib/net/link.c in small */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/csim/csim.h"

#define AGAIN_NS (400 * GR_NS_PER_MS)

static void connect_now(void *ctx);
static void beat(void *ctx);

static void connect_soon(struct cs_node *n)
{
	if (n->is_alive && !n->again)
		n->again = cs_in(n->s, cs_around(n->s, AGAIN_NS), n->index, connect_now, n);
}

static void connect_now(void *ctx)
{
	struct cs_node *n = ctx;
	struct gr_buf frame = { 0 };
	json_t *hello;

	n->again = NULL;
	n->conn = cs_connect(n);
	if (!n->conn) {
		connect_soon(n);
		return;
	}
	n->heard_ns = n->s->now_ns;
	hello = gr_hello_json(n->is_worker ? GR_ROLE_WORKER : GR_ROLE_CLIENT, n->name);
	if (n->is_worker)
		cs_worker_hello(n, hello);
	gr_json_encode(&frame, GR_MSG_HELLO, hello);
	json_decref(hello);
	cs_send(n->conn, CS_UP, &frame);
}

static void beat(void *ctx)
{
	struct cs_node *n = ctx;
	struct cs *s = n->s;
	uint64_t every = s->p.heartbeat_ms * GR_NS_PER_MS;
	struct gr_buf frame = { 0 };
	struct gr_ping m = { .seq = ++n->ping_seq, .t_ns = s->now_ns };
	bool was_late = n->beat_ns && s->now_ns > n->beat_ns + every / 2;

	n->beat = cs_in(s, every, n->index, beat, n);
	n->beat_ns = s->now_ns + every;
	if (!n->conn)
		return;
	if (was_late)
		n->heard_ns = s->now_ns;
	if (s->now_ns - n->heard_ns > s->p.dead_ms * GR_NS_PER_MS) {
		cs_node_down(n, "silence");
		return;
	}
	if (!n->is_up)
		return;
	if (n->is_worker)
		cs_worker_ping(n, &m);
	gr_ping_encode(&frame, GR_MSG_PING, &m);
	cs_node_send(n, &frame);
}

struct cs_node *cs_node_new(struct cs *s, bool is_worker)
{
	struct cs_node *n;

	GR_NEW(n);
	n->s = s;
	n->index = s->n_nodes;
	n->is_worker = is_worker;
	gr_list_init(&n->runs);
	gr_list_init(&n->specs);
	gr_list_init(&n->trees);
	s->nodes[s->n_nodes++] = n;
	return n;
}

void cs_node_start(struct cs_node *n)
{
	n->is_alive = true;
	if (!n->beat)
		n->beat = cs_in(n->s, cs_below(n->s, n->s->p.heartbeat_ms * GR_NS_PER_MS), n->index, beat, n);
	connect_soon(n);
}

void cs_node_down(struct cs_node *n, const char *why)
{
	struct cs_conn *c = n->conn;

	cs_say(n->s, "%s: down: %s", n->name, why);
	n->conn = NULL;
	if (c) {
		cs_cut(c, false);
		c->node = NULL;
	}
	if (n->is_up && !n->is_worker)
		cs_client_down(n);
	n->is_up = false;
	connect_soon(n);
}

int cs_node_send(struct cs_node *n, struct gr_buf *frame)
{
	if (!n->is_up) {
		gr_buf_fini(frame);
		return GR_EGONE;
	}
	cs_send(n->conn, CS_UP, frame);
	return 0;
}

void cs_node_receive(struct cs_node *n, struct gr_slice frame)
{
	struct gr_slice body = { NULL, 0 };
	struct gr_buf pong = { 0 };
	struct gr_ping m;
	int type = gr_frame_open(frame, &body);

	n->heard_ns = n->s->now_ns;
	if (type < 0 || !gr_msg_may_send(type, 'S')) {
		cs_fail(n->s, "%s got from the coordinator what is no frame of its: %d", n->name, type);
	} else if (type == GR_MSG_WELCOME) {
		cs_say(n->s, "%s: up", n->name);
		n->is_up = true;
		if (n->is_worker)
			cs_worker_up(n);
		else
			cs_client_up(n);
	} else if (type == GR_MSG_BYE || type == GR_MSG_REJECT) {
		cs_node_down(n, gr_msg_name(type));
	} else if (type == GR_MSG_PING) {
		if (gr_ping_decode(body, &m) < 0) {
			cs_fail(n->s, "a PING cannot be read");
			return;
		}
		m.n_signals = 0;
		gr_ping_encode(&pong, GR_MSG_PONG, &m);
		cs_node_send(n, &pong);
	} else if (type != GR_MSG_PONG && type != GR_MSG_CLUSTER) {
		if (n->is_worker)
			cs_worker_message(n, type, body);
		else
			cs_client_message(n, type, body);
	}
}

static void forget(struct cs_event **e)
{
	if (*e)
		(*e)->fn = NULL;
	*e = NULL;
}

void cs_node_die(struct cs_node *n)
{
	struct cs_conn *c = n->conn;

	n->is_alive = n->is_up = false;
	n->conn = NULL;
	n->stopped_ns = 0;
	forget(&n->again);
	if (c) {
		/* a machine that lost its power tells nobody */
		cs_cut(c, cs_chance(n->s, 300));
		c->node = NULL;
	}
}

void cs_node_free(struct cs_node *n)
{
	if (n->is_worker)
		cs_worker_free(n);
	else
		cs_client_free(n);
	free(n);
}
