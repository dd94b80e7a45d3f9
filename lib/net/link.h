/**
 * link - a client's or worker's end: a DEALER that stays connected
 *
 * Connects outward, says HELLO, heartbeats, and after a silence, an error or a BYE closes the socket and connects anew
 * by name (resolved again) with exponential back-off and jitter (100 ms .. 5 s). A REJECT for version, role or key is
 * tried again only every 5 s and reported each time. Thread: the loop's.
 */
#pragma once
#include "lib/net/keys.h"
#include "lib/net/loop.h"
#include "lib/wire/msg.h"

struct gr_link;
struct gr_link_ops {
	/* The HELLO to send: a new reference from gr_hello_json plus the caller's members. Called for each connection. */
	json_t *(*make_hello)(void *ctx);
	void (*on_up)(void *ctx, const json_t *welcome);
	/* Was up and is not any more, or could not be made. @code: GR_EUNREACH, GR_EAUTH, GR_EVERSION, GR_EROLE, GR_ETIME...
	 * @why does not name the endpoint. */
	void (*on_down)(void *ctx, int code, const char *why);
	int (*on_msg)(void *ctx, int type, struct gr_slice body);   /* < 0 of class PEER: the link is made anew */
	/* May be NULL: adds signals to the next PING. */
	void (*fill_ping)(void *ctx, struct gr_ping *ping);
	/* May be NULL. Frames that gr_link_send took since the last call are about to leave: what must be on disk before the
	 * other end knows of it is written here, once for all of them. It sends nothing itself. */
	void (*before_send)(void *ctx);
};
struct gr_link_config {
	const char *endpoint;               /* "tcp://host:port" or "ipc://..." */
	const struct gr_keypair *keys;      /* with server_key: CURVE. Without: plain, loopback and ipc only */
	const char *server_key;             /* Z85 public key of the coordinator */
};
/* GR_EAUTH for plain beyond loopback; GR_EINVAL for a bad endpoint. */
int gr_link_new(struct gr_loop *loop, const struct gr_link_config *cfg, const struct gr_link_ops *ops, void *ctx,
		struct gr_link **out, struct gr_err *err) GR_MUST_CHECK;
/* Takes the frame's bytes: 0, and @frame is empty. GR_EUNREACH when not up, GR_EBUSY when the queue is full: @frame is
 * as it was. Short frames are gathered, and go before the loop waits again. */
int gr_link_send(struct gr_link *l, struct gr_buf *frame);
bool gr_link_is_up(const struct gr_link *l);
uint64_t gr_link_rtt_ns(const struct gr_link *l);
void gr_link_close(struct gr_link **l);     /* says BYE when up */
