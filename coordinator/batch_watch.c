/* batch_watch.c - events to those who asked for them over the wire, and the history file; HTTP's are http/events.c's */
#include "coordinator/batch_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/http/events.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define MAX_SUBSCRIBERS 4096u
#define PROGRESS_TICKS 2u

struct subscriber {
	struct gr_list link;
	struct gr_peer *peer;
	uint64_t job;                     /* 0: every job's events */
	bool has_tasks;
};

/* ---- history ---- */

void gr_history(struct gr_batch *b, const char *what, uint64_t job, int64_t task, uint32_t attempt, const char *more)
{
	char line[256];
	int n;

	if (b->log_fd < 0)
		return;
	n = snprintf(line, sizeof(line), "%" PRIu64 " %s %" PRIu64 " %" PRId64 " %u %s\n", gr_clock_real_ms(), what, job, task, attempt, more);
	if (n > 0 && gr_write_all(b->log_fd, line, (size_t)(n < (int)sizeof(line) ? n : (int)sizeof(line) - 1)) < 0)
		gr_warn("batch", "the history cannot be written");
}

/* ---- events ---- */

static bool is_of_task(const char *type)
{
	return !strncmp(type, "task.", 5);
}

bool gr_watch_wants_tasks(const struct gr_batch *b)
{
	GR_LIST_EACH(w, &b->subscribers, struct subscriber, link)
		if (w->has_tasks)
			return true;
	return false;
}

void gr_batch_emit(struct gr_batch *b, const char *type, json_t *data)
{
	uint64_t job = (uint64_t)json_integer_value(json_object_get(data, "job"));
	struct gr_buf frame = { 0 };

	b->event_id++;
	if (!is_of_task(type))
		gr_events_emit(b->c->events, type, json_incref(data));
	json_object_set_new(data, "type", json_string(type));
	json_object_set_new(data, "id", json_integer((json_int_t)b->event_id));
	json_object_set_new(data, "t_ms", json_integer((json_int_t)gr_clock_real_ms()));
	GR_LIST_EACH(w, &b->subscribers, struct subscriber, link) {
		struct gr_buf copy = { 0 };

		if ((w->job && w->job != job) || (is_of_task(type) && !w->has_tasks))
			continue;
		if (!frame.n) {
			json_t *o = json_pack("{s:[O]}", "events", data);

			gr_json_encode(&frame, GR_MSG_EVENT, o);
			json_decref(o);
		}
		gr_buf_add(&copy, frame.p, frame.n);
		gr_peers_send(b->c, w->peer, &copy);      /* one that is too slow misses some, and asks when it is over */
	}
	gr_buf_fini(&frame);
	json_decref(data);
}

void gr_watch_tick(struct gr_batch *b)
{
	struct gr_bj *j;
	size_t i = 0;

	if (++b->n_ticks % PROGRESS_TICKS)
		return;
	while ((j = gr_map_each(&b->jobs, &i)))
		if (j->is_dirty && j->is_committed) {
			json_t *s = gr_show_summary(j);

			j->is_dirty = false;
			gr_batch_emit(b, "job.progress", json_pack("{s:I, s:O}", "job", (json_int_t)j->id, "counts", json_object_get(s, "counts")));
			json_decref(s);
		}
}

/* ---- questions ---- */

int gr_watch_reply(struct gr_batch *b, struct gr_peer *peer, json_t *id, json_t *rep)
{
	struct gr_buf f = { 0 };

	if (id)
		json_object_set(rep, "id", id);
	gr_json_encode(&f, GR_MSG_CTL_REP, rep);
	json_decref(rep);
	return gr_peers_send(b->c, peer, &f);
}

void gr_watch_refuse(struct gr_batch *b, struct gr_peer *peer, const json_t *req, int code, const char *why)
{
	gr_watch_reply(b, peer, json_object_get(req, "id"), json_pack("{s:s, s:s}", "error", why, "code", gr_err_name(code)));
}

bool gr_watch_may_see(struct gr_batch *b, struct gr_peer *peer, const struct gr_bj *j)
{
	return !b->c->cfg.keys || gr_peer_role(peer) == GR_ROLE_ADMIN || !strcmp(gr_peer_key_name(peer), j->owner);
}

static void subscribe(struct gr_batch *b, struct gr_peer *peer, const json_t *req)
{
	uint64_t job = (uint64_t)json_integer_value(json_object_get(req, "job"));
	struct gr_bj *j = gr_bj_find(b, job);
	struct subscriber *w;
	uint32_t n = 0;

	if (b->c->cfg.keys && gr_peer_role(peer) != GR_ROLE_ADMIN && (!j || !gr_watch_may_see(b, peer, j))) {
		gr_watch_refuse(b, peer, req, GR_EROLE, "events of all jobs are for admins; name a job of yours");
		return;
	}
	GR_LIST_EACH(old, &b->subscribers, struct subscriber, link)
		n++;
	if (n >= MAX_SUBSCRIBERS) {
		gr_watch_refuse(b, peer, req, GR_EBUSY, "too many follow already");
		return;
	}
	GR_NEW(w);
	w->peer = peer;
	w->job = job;
	w->has_tasks = json_is_true(json_object_get(req, "tasks"));
	gr_list_init(&w->link);
	gr_list_push(&b->subscribers, &w->link);
	gr_watch_reply(b, peer, json_object_get(req, "id"), json_pack("{s:I}", "next", (json_int_t)b->event_id));
}

static void subscriber_free(struct subscriber *w)
{
	gr_list_del(&w->link);
	free(w);
}

void gr_watch_peer_gone(struct gr_batch *b, struct gr_peer *peer)
{
	GR_LIST_EACH_SAFE(w, &b->subscribers, struct subscriber, link)
		if (w->peer == peer)
			subscriber_free(w);
}

static void unsubscribe(struct gr_batch *b, struct gr_peer *peer, const json_t *req)
{
	gr_watch_peer_gone(b, peer);
	gr_watch_reply(b, peer, json_object_get(req, "id"), json_object());
}

void gr_watch_close(struct gr_batch *b)
{
	GR_LIST_EACH_SAFE(w, &b->subscribers, struct subscriber, link)
		subscriber_free(w);
}

static const struct {
	const char *op;
	void (*fn)(struct gr_batch *b, struct gr_peer *peer, const json_t *req);
} ops[] = {
	{ "logs.read", gr_logs_read }, { "logs.stop", gr_logs_stop }, { "events.subscribe", subscribe }, { "events.unsubscribe", unsubscribe },
};

bool gr_watch_is_op(const char *op)
{
	for (size_t i = 0; i < GR_LEN(ops); i++)
		if (!strcmp(op, ops[i].op))
			return true;
	return false;
}

void gr_watch_op(struct gr_batch *b, struct gr_peer *peer, const char *op, const json_t *req)
{
	for (size_t i = 0; i < GR_LEN(ops); i++)
		if (!strcmp(op, ops[i].op))
			ops[i].fn(b, peer, req);
}
