/**
 * fetch - blobs that are missing, asked of the coordinator for whoever waits
 */
#pragma once
#include "lib/wire/msg.h"

#define GR_FETCH_ANY_SIZE UINT64_MAX            /* the first piece tells it */

struct gr_worker;
struct gr_fetch;
struct gr_waiter {                              /* inside a task or a command */
	uint64_t session;                       /* or the job: whom to ask for */
	uint32_t n_missing;
	void (*on_here)(struct gr_waiter *t);   /* one came; n_missing is counted down before */
	/* One will not come: the waiter ends, and takes itself off with gr_fetch_forget. @outcome: enum gr_outcome. */
	void (*on_failed)(struct gr_waiter *t, int outcome, const char *why);
};
struct gr_fetch *gr_fetch_new(struct gr_worker *w);
void gr_fetch_free(struct gr_fetch **f);
/* @t waits for @d; its n_missing counts. */
void gr_fetch_want(struct gr_fetch *f, struct gr_waiter *t, const struct gr_digest *d, uint64_t size);
void gr_fetch_forget(struct gr_fetch *f, struct gr_waiter *t);
void gr_fetch_blob(struct gr_fetch *f, const struct gr_blob_msg *m);
void gr_fetch_missing(struct gr_fetch *f, const struct gr_digests_msg *m);
void gr_fetch_pump(struct gr_fetch *f);
void gr_fetch_ask_again(struct gr_fetch *f);     /* a new connection: nothing is under way any more */
void gr_fetch_tick(struct gr_fetch *f);
