/**
 * cut - closing the connections of peers that were dropped; private to lib/net
 *
 * A ROUTER closes no single connection. (ZMQ_ROUTER_HANDOVER lets a new peer take a name over, which here would let
 * anybody step into another's shoes; zmq_disconnect_peer is a draft that Debian's libzmq lacks; ZMTP's heartbeat closes
 * those that do not answer it, and libzmq's own answer it whatever the peer does; ZMQ_EVENT_ACCEPTED tells a descriptor
 * and no name.) But each message names the descriptor it came over, and shutdown() there ends the connection as a peer's
 * own end would: libzmq reads the end of the stream, closes it and forgets the name. The descriptor stays libzmq's.
 *
 * By the time a connection is cut its descriptor may be another's. So it is remembered with the socket's cookie, which
 * the kernel gives once (SO_COOKIE), and compared on a duplicate, which cannot change its meaning any more.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct gr_cut {                           /* a connection as it was; fd -1: none */
	int fd;
	uint64_t cookie;
};
struct gr_cut gr_cut_of(int fd);
/* Ends the connection if it is still that one. Return: whether it was. */
bool gr_cut_now(const struct gr_cut *c);

struct gr_cuts;                           /* connections to be cut after a moment in which a BYE can leave */
struct gr_cuts *gr_cuts_new(void);
void gr_cuts_free(struct gr_cuts **l);    /* those still waiting end with their socket */
/* At most 1024 wait; the oldest is cut then at once. */
void gr_cuts_add(struct gr_cuts *l, const struct gr_cut *c, uint64_t due_ns);
/* A connection that is wanted again. */
void gr_cuts_spare(struct gr_cuts *l, const struct gr_cut *c);
void gr_cuts_tick(struct gr_cuts *l, uint64_t now_ns);
