/* watch.c - see watch.h
 *
 * Two states, LIST and WATCH, and one timer for the next try. A state's request ends in one place each, where what comes next
 * is decided; within a request only notes are made. */
#include "coordinator/kube/watch.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define PAGE 32                            /* objects: some ms of parsing */
#define WATCH_MIN_S 300u                   /* a watch lives so long and up to as long again, so that not all end at once */
#define BACKOFF_MIN_MS 200u
#define BACKOFF_MAX_MS 15000u
#define DENIED_MS 60000u
#define MAX_RV 128
#define MAX_BROKEN 3                       /* a connection may break; when so many do, that is said */

struct gr_kwatch {
	struct gr_kapi *api;
	struct gr_loop *loop;
	const struct gr_kwatch_ops *ops;
	void *ctx;
	char *path, *selector;             /* selector: "&labelSelector=...", escaped, or "" */
	uint32_t timeout_ms, backoff_ms;
	char rv[MAX_RV], *more;            /* where the watch goes on; where the list does */
	bool is_synced, is_told_up, is_too_old, has_lines;
	bool is_unread;                    /* the last watch was not understood: a list alone does not say that it works */
	uint32_t n_broken;                 /* watches in a row that began and broke */
	uint32_t n_unreached;              /* requests in a row that got no answer */
	uint64_t since_ns;                 /* when the watch began */
	struct gr_kreq *req;
	struct gr_timer *timer;
	uint64_t n_events;
	char why[128];
};

static void begin_list(struct gr_kwatch *w);
static void begin_watch(struct gr_kwatch *w);

static void on_timer(void *ctx)
{
	struct gr_kwatch *w = ctx;

	gr_timer_stop(&w->timer);
	if (w->rv[0])
		begin_watch(w);
	else
		begin_list(w);
}

static void again_in(struct gr_kwatch *w, uint32_t ms)
{
	gr_timer_stop(&w->timer);
	w->timer = gr_timer_start(w->loop, ms, 0, on_timer, w);
}

/* Later each time; by how much exactly is left to chance, so that many coordinators do not come together. */
static void back_off(struct gr_kwatch *w)
{
	uint32_t ms = w->backoff_ms / 2 + (uint32_t)(gr_rng_u64(gr_loop_rng(w->loop)) % (w->backoff_ms / 2 + 1));

	w->backoff_ms = w->backoff_ms < BACKOFF_MAX_MS / 2 ? 2 * w->backoff_ms : BACKOFF_MAX_MS;
	again_in(w, ms);
}

static void works(struct gr_kwatch *w)
{
	if (w->is_unread)
		return;
	if (!w->is_told_up)
		w->ops->on_state(w->ctx, NULL, false);
	w->is_told_up = true;
}

static void fails(struct gr_kwatch *w, const char *why, bool is_ours)
{
	w->is_told_up = false;
	w->ops->on_state(w->ctx, why, is_ours);
}

static bool is_denied(int status)
{
	return status == 403 || status == 404;
}

static void failed(struct gr_kwatch *w, const struct gr_kanswer *a)
{
	bool is_ours = is_denied(a->status) || a->rc == GR_ELIMIT || a->rc == GR_EPROTO;

	/* once may be a connection that the server closed just as it was used again */
	if (a->rc == GR_EUNREACH && !a->status && !w->n_unreached++) {
		back_off(w);
		return;
	}
	fails(w, a->why, is_ours);
	if (is_denied(a->status))
		again_in(w, DENIED_MS);
	else
		back_off(w);
}

static void keep_rv(struct gr_kwatch *w, const json_t *obj)
{
	const char *rv = json_string_value(json_object_get(json_object_get(obj, "metadata"), "resourceVersion"));

	if (rv && *rv && strlen(rv) < sizeof(w->rv))
		snprintf(w->rv, sizeof(w->rv), "%s", rv);
}

/* ---- the list ---- */

static void forget_more(struct gr_kwatch *w)
{
	free(w->more);
	w->more = NULL;
}

static void take_page(struct gr_kwatch *w, const json_t *page)
{
	const char *more = json_string_value(json_object_get(json_object_get(page, "metadata"), "continue"));
	const json_t *obj;
	size_t i;

	if (!w->more)
		w->ops->on_list(w->ctx);
	forget_more(w);
	json_array_foreach(json_object_get(page, "items"), i, obj)
		w->ops->on_object(w->ctx, obj, false);
	if (more && *more) {
		w->more = gr_xstrdup(more);
		begin_list(w);
		return;
	}
	w->is_synced = true;
	w->n_unreached = 0;
	w->ops->on_listed(w->ctx);
	keep_rv(w, page);
	works(w);
	begin_watch(w);
}

static void on_list_end(void *ctx, const struct gr_kanswer *a)
{
	struct gr_kwatch *w = ctx;
	json_t *page;

	w->req = NULL;
	if (a->status == 410 && w->more) {       /* the rest of the list is too old: from the start */
		forget_more(w);
		back_off(w);
		return;
	}
	if (a->rc < 0 || a->status != 200) {
		struct gr_kanswer bad = *a;

		if (!bad.why)
			bad.why = "no list in the answer";
		forget_more(w);
		failed(w, &bad);
		return;
	}
	page = json_loadb((const char *)a->body.p, a->body.n, 0, NULL);
	if (!json_is_array(json_object_get(page, "items")) || !json_is_string(json_object_get(json_object_get(page, "metadata"), "resourceVersion"))) {
		forget_more(w);
		fails(w, "the answer is no list", true);
		back_off(w);
	} else {
		take_page(w, page);
	}
	json_decref(page);
}

static void begin_list(struct gr_kwatch *w)
{
	struct gr_kcall call = { .method = "GET", .timeout_ms = w->timeout_ms, .on_end = on_list_end, .ctx = w };
	struct gr_buf path = { 0 };

	gr_buf_printf(&path, "%s?limit=%d%s", w->path, PAGE, w->selector);
	if (w->more) {
		gr_buf_add_str(&path, "&continue=");
		gr_kapi_escape(&path, w->more);
	}
	call.path = gr_buf_str(&path);
	w->req = gr_kapi_send(w->api, &call);
	gr_buf_fini(&path);
}

/* ---- the watch ---- */

static int on_error_event(struct gr_kwatch *w, const json_t *status)
{
	const char *said = json_string_value(json_object_get(status, "message"));

	if (json_integer_value(json_object_get(status, "code")) == 410) {
		w->is_too_old = true;
		return GR_EGONE;
	}
	snprintf(w->why, sizeof(w->why), "the watch ended: %.100s", said ? said : "an error without text");
	return GR_EPROTO;
}

static int on_line(void *ctx, struct gr_slice line)
{
	struct gr_kwatch *w = ctx;
	json_t *event = json_loadb((const char *)line.p, line.n, 0, NULL);
	const char *type = json_string_value(json_object_get(event, "type"));
	const json_t *obj = json_object_get(event, "object");
	int rc = 0;

	if (!type || !json_is_object(obj)) {
		snprintf(w->why, sizeof(w->why), "a line of the watch is no event");
		json_decref(event);
		return GR_EPROTO;
	}
	w->n_events++;
	if (!strcmp(type, "ERROR")) {
		rc = on_error_event(w, obj);
	} else {
		w->has_lines = true;
		w->is_unread = false;
		w->n_broken = 0;
		w->backoff_ms = BACKOFF_MIN_MS;
		works(w);
		if (!strcmp(type, "DELETED"))
			w->ops->on_deleted(w->ctx, obj);
		else if (!strcmp(type, "ADDED") || !strcmp(type, "MODIFIED"))
			w->ops->on_object(w->ctx, obj, true);
		keep_rv(w, obj);
	}
	json_decref(event);
	return rc;
}

static void on_watch_end(void *ctx, const struct gr_kanswer *a)
{
	struct gr_kwatch *w = ctx;
	struct gr_kanswer bad = *a;
	bool is_fresh = !w->has_lines && gr_loop_now_ns(w->loop) - w->since_ns < 5 * GR_NS_PER_S;

	w->req = NULL;
	if (w->is_too_old || a->status == 410) {
		gr_debug("kube", "%s: the watch is too far behind: listed anew", w->path);
		w->rv[0] = 0;
		if (is_fresh)
			back_off(w);
		else
			begin_list(w);
		return;
	}
	if (a->rc == GR_EPROTO || a->rc == GR_ELIMIT) {
		w->rv[0] = 0;            /* what was not understood is not met again by going on from before it */
		w->is_unread = true;
	}
	if (a->rc == GR_EPROTO && w->why[0])
		bad.why = w->why;
	if (a->rc == GR_ETIME && a->status == 200)
		bad.rc = 0;              /* it was to end by then */
	if (bad.rc == GR_EUNREACH && a->status == 200) {
		if (++w->n_broken == MAX_BROKEN) {
			w->is_unread = true;
			fails(w, a->why, true);
		}
		back_off(w);
		return;
	}
	if (bad.rc < 0 || a->status != 200) {
		if (!bad.why)
			bad.why = "no watch in the answer";
		failed(w, &bad);
		return;
	}
	if (is_fresh) {
		back_off(w);             /* a server that ends watches at once is not asked in a circle */
		return;
	}
	w->backoff_ms = BACKOFF_MIN_MS;
	begin_watch(w);
}

static void on_head(void *ctx)
{
	((struct gr_kwatch *)ctx)->n_unreached = 0;
	works(ctx);
}

static void begin_watch(struct gr_kwatch *w)
{
	uint32_t seconds = WATCH_MIN_S + (uint32_t)(gr_rng_u64(gr_loop_rng(w->loop)) % WATCH_MIN_S);
	struct gr_kcall call = { .method = "GET", .timeout_ms = (seconds + 30) * 1000,
				 .on_head = on_head, .on_line = on_line, .on_end = on_watch_end, .ctx = w };
	struct gr_buf path = { 0 };

	gr_buf_printf(&path, "%s?watch=1&allowWatchBookmarks=true&timeoutSeconds=%u%s&resourceVersion=", w->path, seconds, w->selector);
	gr_kapi_escape(&path, w->rv);
	call.path = gr_buf_str(&path);
	w->is_too_old = w->has_lines = false;
	w->why[0] = 0;
	w->since_ns = gr_loop_now_ns(w->loop);
	w->req = gr_kapi_send(w->api, &call);
	gr_buf_fini(&path);
}

struct gr_kwatch *gr_kwatch_new(struct gr_kapi *a, struct gr_loop *loop, const char *path, const char *selector, uint32_t timeout_ms,
				const struct gr_kwatch_ops *ops, void *ctx)
{
	struct gr_buf sel = { 0 };
	struct gr_kwatch *w;

	GR_NEW(w);
	w->api = a;
	w->loop = loop;
	w->ops = ops;
	w->ctx = ctx;
	w->path = gr_xstrdup(path);
	if (selector && *selector) {
		gr_buf_add_str(&sel, "&labelSelector=");
		gr_kapi_escape(&sel, selector);
	}
	w->selector = gr_buf_take(&sel, NULL);
	w->timeout_ms = timeout_ms;
	w->backoff_ms = BACKOFF_MIN_MS;
	begin_list(w);
	return w;
}

void gr_kwatch_free(struct gr_kwatch **wp)
{
	struct gr_kwatch *w = *wp;

	*wp = NULL;
	if (!w)
		return;
	gr_kreq_cancel(&w->req);
	gr_timer_stop(&w->timer);
	free(w->path);
	free(w->selector);
	free(w->more);
	free(w);
}

bool gr_kwatch_is_synced(const struct gr_kwatch *w) { return w->is_synced; }
uint64_t gr_kwatch_events(const struct gr_kwatch *w) { return w ? w->n_events : 0; }
