/**
 * outbox - short frames to one peer, gathered while the loop is at work and sent as one message before it waits again
 *
 * A message of its own costs each side a lock, a wake-up of libzmq's thread and a system call; many tasks travel in frames
 * of fifty bytes, so that was most of what a task that does nothing cost. Order is kept: whoever sends a frame that does
 * not go in (gr_outbox_fits) sends what is in here first. Private to lib/net. Thread: the loop's.
 */
#pragma once
#include "lib/net/sock.h"

struct gr_outbox {                        /* {0} is empty */
	struct gr_buf bundle;
	uint32_t n;                       /* frames in it */
};
bool gr_outbox_fits(const struct gr_buf *frame);
/* Takes the bytes of a frame that fits. GR_EBUSY: it is full and the peer takes nothing; others as gr_sock_send. */
int gr_outbox_add(struct gr_outbox *o, struct gr_sock *s, struct gr_slice id, struct gr_gate *gate, struct gr_buf *frame);
/* Return: 0, it is empty; an error of gr_sock_send, it is as it was. */
int gr_outbox_send(struct gr_outbox *o, struct gr_sock *s, struct gr_slice id, struct gr_gate *gate);
void gr_outbox_fini(struct gr_outbox *o);
