/**
 * sock - one ZeroMQ socket on the libuv loop; private to lib/net
 *
 * Thread: the loop's.
 */
#pragma once
#include <stdatomic.h>
#include "lib/base/buf.h"
#include "lib/net/loop.h"

void *gr_loop__zmq(struct gr_loop *l);              /* the context */
uint64_t gr_loop__serial(struct gr_loop *l);        /* 1, 2, 3...: for names of inproc endpoints */

/* What is on its way to one peer: bytes given to libzmq and not yet written to the network. */
struct gr_gate {
	atomic_size_t bytes;
	atomic_uint refs;
};
struct gr_gate *gr_gate_new(void);
void gr_gate_unref(struct gr_gate **g);

struct gr_sock;
/**
 * gr_sock_new - watch @zmq, which becomes the sock's
 * @on_ready: there may be something to receive, or, after gr_sock_want_out, room to send. It need not take everything:
 *            it is called again, once a turn of the loop, while something is left.
 */
struct gr_sock *gr_sock_new(struct gr_loop *loop, void *zmq, void (*on_ready)(void *ctx), void *ctx);
void *gr_sock_zmq(const struct gr_sock *s);
void gr_sock_want_out(struct gr_sock *s, bool on);
bool gr_sock_has_input(const struct gr_sock *s);
/* @fn is called each time before the loop waits: to send what was gathered. It returns false when something could not go
 * yet: then it is called again within 10 ms. */
void gr_sock_before_wait(struct gr_sock *s, bool (*fn)(void *ctx));
/* No callback after it; libzmq goes on sending what is queued for @linger_ms at most. */
void gr_sock_close(struct gr_sock **s, int linger_ms);

/**
 * gr_sock_send - queue one frame, never blocking
 * @id: NULL, or the ROUTER's name for the peer      @gate: NULL for short frames that nobody counts
 * Return: 0, the frame is empty; GR_EBUSY, GR_EUNREACH, GR_ELIMIT: the frame is as it was.
 */
int gr_sock_send(struct gr_sock *s, struct gr_slice id, struct gr_gate *gate, struct gr_buf *frame);

/**
 * gr_sock_is_arriving - is a frame on its way in, though none has come whole?
 * @fd: the connection: zmq_msg_get(msg, ZMQ_SRCFD)     @within_ms: bytes must have come since
 * Only for TCP, false for all else. A descriptor that was closed and used again gives a wrong answer about a dead
 * connection, so the caller has to have another way to find that out, and a limit to its patience.
 */
bool gr_sock_is_arriving(int fd, uint32_t within_ms);

/* zmq_setsockopt with values that cannot be wrong; aborts when they are. */
void gr_sock_set_int(void *zmq, int option, int value);
void gr_sock_set_str(void *zmq, int option, const char *value);
void gr_sock_set_limits(void *zmq);                 /* what both ends of a link have in common */

#define GR_ARRIVING_PATIENCE 10u                    /* times dead_ms, for one frame */
