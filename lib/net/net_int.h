/**
 * net_int - shared inside lib/net: a ZeroMQ socket on the libuv loop, and the ZAP handler
 */
#pragma once
#include "lib/net/keys.h"
#include "lib/net/loop.h"

void *gr_loop__zmq(struct gr_loop *l);

/* ---- sock.c: ZMQ_FD is edge-triggered and any send may swallow the edge, so readiness is asked again before the loop
 * blocks (prepare) and an idle handle keeps it from blocking while messages wait. ---- */
struct gr_sock;
/* @on_msgs is called with at least one message waiting; it must receive until EAGAIN or until it has had enough. */
struct gr_sock *gr_sock_new(struct gr_loop *l, void *zmq_socket, void (*on_msgs)(void *ctx), void *ctx);
void *gr_sock_zmq(struct gr_sock *s);
bool gr_sock_has_input(struct gr_sock *s);
/* Closes the ZeroMQ socket at once; the memory goes with the last close callback. NULLs *s. */
void gr_sock_close(struct gr_sock **s);

/* Limits and keep-alives every socket of ours has. */
void gr_sock_options(void *zmq_socket);
/* True for ipc:// and tcp:// with a loopback address or "localhost". */
bool gr_endpoint_is_local(const char *endpoint);
/* One frame, the buffer's memory handed over when large. @frame is empty after it. Return: 0 or -errno. */
int gr_sock_send(void *zmq_socket, struct gr_buf *frame);

/* ---- zap.c ---- */
struct gr_zap;
/* Binds the handler before it returns; denies every key that @allow does not list. */
int gr_zap_start(struct gr_loop *l, struct gr_allow *allow, struct gr_zap **out, struct gr_err *err) GR_MUST_CHECK;
void gr_zap_stop(struct gr_zap **z);
