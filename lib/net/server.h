/**
 * server - the coordinator's end: a ROUTER that knows its peers
 *
 * Does the handshake (HELLO checked for version, role and key; WELCOME or REJECT), heartbeats both ways, and drops
 * peers that are silent or send what they may not. Plain (no CURVE) only on loopback TCP and ipc; any other endpoint
 * without keys is refused with GR_EAUTH at bind. The ZAP handler is bound before the first CURVE endpoint.
 * Thread: the loop's.
 */
#pragma once
#include "lib/net/keys.h"
#include "lib/net/loop.h"
#include "lib/wire/msg.h"

struct gr_server;
struct gr_peer;

struct gr_server_ops {
	/* A valid HELLO of an allowed role. Return 0 to accept, with the WELCOME's extra members added to @welcome;
	 * or an error with @err: the peer gets REJECT with that text. What is sent to @peer from here (64 frames at
	 * most) goes behind the WELCOME. @peer may not be dropped from here: return an error. */
	int (*on_hello)(void *ctx, struct gr_peer *peer, const struct gr_hello *hello, json_t *welcome, struct gr_err *err);
	/* Any other message this role may send, frame and header checked; heartbeats are handled inside, but a PING's
	 * signals are passed on. Return < 0 of class PEER: the peer is dropped, with a log line. */
	int (*on_msg)(void *ctx, struct gr_peer *peer, int type, struct gr_slice body);
	/* For each peer that on_hello accepted, once, also from gr_server_drop and gr_server_close. @peer is freed after
	 * it returns. */
	void (*on_gone)(void *ctx, struct gr_peer *peer, int code, const char *why);
};
struct gr_server_config {
	const struct gr_keypair *keys;    /* NULL: plain */
	struct gr_allow *allow;           /* needed with keys */
	uint32_t heartbeat_ms;            /* default 1000 */
	uint32_t dead_ms;                 /* default 5000: silent so long = gone */
	uint32_t max_peers;               /* default 4096 */
};
struct gr_server *gr_server_new(struct gr_loop *loop, const struct gr_server_config *cfg,
				const struct gr_server_ops *ops, void *ctx);
/* "tcp://127.0.0.1:0" picks a port. @bound (may be NULL) gets the real endpoint, >= 256 bytes. */
int gr_server_bind(struct gr_server *s, const char *endpoint, char *bound, struct gr_err *err) GR_MUST_CHECK;
/* Takes the frame's bytes: 0, and @frame is empty. On an error @frame is as it was. GR_EBUSY when the peer's queue is full: the peer is too slow and
 * the caller decides; GR_EGONE when the peer is gone. */
int gr_server_send(struct gr_server *s, struct gr_peer *peer, struct gr_buf *frame);
void gr_server_drop(struct gr_server *s, struct gr_peer *peer, int code, const char *why);   /* sends BYE */
void gr_server_close(struct gr_server **s);

enum gr_role gr_peer_role(const struct gr_peer *p);
const char *gr_peer_name(const struct gr_peer *p);     /* from HELLO */
const char *gr_peer_key_name(const struct gr_peer *p); /* from the allow list, or "loopback" */
uint64_t gr_peer_rtt_ns(const struct gr_peer *p);      /* smoothed; 0 unknown */
void *gr_peer_data(const struct gr_peer *p);
void gr_peer_set_data(struct gr_peer *p, void *data);
