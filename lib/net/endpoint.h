/**
 * endpoint - "tcp://host:port" and "ipc://path", taken apart
 */
#pragma once
#include <stdbool.h>
#include "lib/base/err.h"

struct gr_endpoint {
	bool is_ipc;
	bool is_loopback;     /* ipc, or a TCP address no other machine can reach; a name is loopback only as "localhost" */
	bool is_v6;           /* a literal IPv6 address */
	bool is_name;         /* a host name, to be resolved */
	char host[256];       /* without brackets; "*" for all interfaces; the path for ipc */
	unsigned port;        /* 0 only when asked for */
};
/**
 * gr_endpoint_parse - check an address before libzmq sees it
 * @is_bind: port 0 and host "*" are allowed
 * Return: 0; GR_EINVAL with a sentence in @err.
 */
int gr_endpoint_parse(const char *text, bool is_bind, struct gr_endpoint *out, struct gr_err *err) GR_MUST_CHECK;
/* True for the peer address libzmq reports of a connection from this machine: 127/8, ::1, or an ipc peer. */
bool gr_address_is_loopback(const char *peer_address);
