/**
 * names - the addresses of a plan's hosts, looked up by a thread of its own
 *
 * getaddrinfo may take half a minute and cannot be called off, so nobody waits for the thread: it is detached, and shares
 * this object with its owner by two references. Names are looked up again every REFRESH seconds, since the resolver does
 * not tell how long an answer holds; connections opened after that go to the new addresses. A host whose later look-up fails,
 * or takes long, keeps its addresses.
 */
#pragma once
#include <stdatomic.h>
#include <sys/socket.h>
#include "lib/base/err.h"
#include "lib/load/plan.h"

#define GR_NAMES_MAX_ADDRS 8u
struct gr_addrs {
	struct sockaddr_storage a[GR_NAMES_MAX_ADDRS];
	socklen_t len[GR_NAMES_MAX_ADDRS];
	uint32_t n;
};
struct gr_names;
/* Once, when all names have an address or one has none (@rc < 0 with @err). From the thread, or not at all once
 * gr_names_free was called; must not call gr_names_free itself. */
typedef void gr_names_done(void *ctx, int rc, const struct gr_err *err);
/* @refresh_ns 0: looked up once. @plan need not outlive the call. GR_EIO: no thread. */
int gr_names_new(const struct gr_load_plan *plan, uint64_t refresh_ns, gr_names_done *done, void *ctx, struct gr_names **out, struct gr_err *err) GR_MUST_CHECK;
void gr_names_free(struct gr_names **n);                  /* at once, whatever the thread waits for */
/* Changes with every look-up that found other addresses; any thread. Starts at 1 when done was called well. */
uint32_t gr_names_version(struct gr_names *n);
/* The addresses of the plan's origin @i; any thread. */
void gr_names_get(struct gr_names *n, uint32_t i, struct gr_addrs *out);
