/**
 * zap - who may connect: libzmq's authentication requests, answered from the allow list; private to lib/net
 *
 * A thread of its own, because libzmq's I/O thread waits for the answers while the loop may be busy.
 */
#pragma once
#include "lib/net/keys.h"
#include "lib/net/loop.h"

#define GR_ZAP_DOMAIN "griddle"

struct gr_zap;
/* Bound before it returns. One a loop: GR_EEXIST. @allow outlives it. */
int gr_zap_new(struct gr_loop *loop, struct gr_allow *allow, struct gr_zap **out, struct gr_err *err) GR_MUST_CHECK;
void gr_zap_free(struct gr_zap **z);     /* ends the thread and waits for it */
