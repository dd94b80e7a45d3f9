/**
 * watch - one collection of the API server, listed once and watched from there
 *
 * Listed in pages, then watched from the list's resourceVersion with bookmarks. A watch that ends (they all do, after some
 * minutes) is taken up again at the last resourceVersion; when that is too old (410) everything is listed anew. What fails
 * is tried again after 0.2 s, doubling up to 15 s, and to a minute where the server says no (403, 404). Thread: the loop's.
 */
#pragma once
#include <jansson.h>

#include "coordinator/kube/api.h"

struct gr_kwatch;
struct gr_kwatch_ops {
	/* All of these may not call gr_kapi_send. @obj borrowed. */
	void (*on_object)(void *ctx, const json_t *obj, bool is_live);   /* there; @is_live: by the watch, just now */
	void (*on_deleted)(void *ctx, const json_t *obj);
	void (*on_list)(void *ctx);                                      /* a list begins; what it does not name is gone */
	void (*on_listed)(void *ctx);                                    /* it is whole */
	/* It works (again), @why NULL, or it does not. @is_ours: the server says no to this alone,
	 * and others may work. Called at each change, and at each failure. */
	void (*on_state)(void *ctx, const char *why, bool is_ours);
};

/* @path "/api/v1/nodes", @selector a label selector or NULL; both copied. Begins at once. @timeout_ms for a page of a list. */
struct gr_kwatch *gr_kwatch_new(struct gr_kapi *a, struct gr_loop *loop, const char *path, const char *selector, uint32_t timeout_ms,
				const struct gr_kwatch_ops *ops, void *ctx);
void gr_kwatch_free(struct gr_kwatch **w);
/* True from the first whole list on. */
bool gr_kwatch_is_synced(const struct gr_kwatch *w);
uint64_t gr_kwatch_events(const struct gr_kwatch *w);       /* that came; 0 for NULL */
