/* explain.c - why a task is where it is, or why it is nowhere yet: from the decision that placed it, and from what every
 * worker answers now. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/coord.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"

#define MAX_EXPLAIN 1024u
#define MAX_TASKS 200u

static void set(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static const struct gr_worker *worker_by_place(const struct gr_coord *c, uint32_t id)
{
	GR_LIST_EACH(w, &c->workers, struct gr_worker, link)
		if (w->place == id)
			return w;
	return NULL;
}

/* What it waits for, in one line; "" once it runs. */
static const char *pending_text(const struct gr_coord *c, const struct gr_ctask *t)
{
	int rc;

	if (t->t.state == GR_TASK_NEW)
		return "no worker that could run it is connected";
	if (t->t.state != GR_TASK_QUEUED)
		return "";
	rc = gr_place_pending(c->place, t->queued);
	return rc < 0 ? "about to be sent" : gr_place_pending_text((enum gr_place_pending)rc);
}

/* The decision that sent it where it is, and who was next. */
static json_t *decision_json(const struct gr_coord *c, const struct gr_place_decision *d)
{
	json_t *o = json_object(), *list = json_array();
	const struct gr_worker *w = worker_by_place(c, d->worker);

	json_object_set_new(o, "worker", json_string(w ? w->name : "a worker that is gone"));
	set(o, "looked_at", d->n_looked);
	set(o, "finish_us", d->finish_us);
	for (uint32_t i = 0; i < GR_PLACE_N_NEXT && d->next[i].worker != UINT32_MAX; i++) {
		w = worker_by_place(c, d->next[i].worker);
		json_array_append_new(list, json_pack("{s:s, s:I}", "worker", w ? w->name : "a worker that is gone", "score_us",
						      (json_int_t)d->next[i].score_us));
	}
	json_object_set_new(o, "next", list);
	return o;
}

static json_t *attempts_json(const struct gr_ctask *t)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < t->t.n_attempts; i++) {
		const struct gr_attempt *a = &t->t.attempts[i];
		const struct gr_worker *w = a->peer;
		json_t *o = json_object();

		set(o, "attempt", a->number);
		json_object_set_new(o, "state", json_string(a->state == GR_ATTEMPT_LIVE ? "live" :
							    a->state == GR_ATTEMPT_LOST ? "lost" : "over"));
		json_object_set_new(o, "cause", json_string(gr_cause_name(a->cause)));
		if (w)
			json_object_set_new(o, "worker", json_string(w->name));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *why_json(const struct gr_place_why *y)
{
	const struct gr_worker *w = (const struct gr_worker *)(uintptr_t)y->worker_tag;
	json_t *o = json_object();

	json_object_set_new(o, "worker", json_string(w->name));
	json_object_set_new(o, "verdict", json_string(gr_place_verdict_name(y->verdict)));
	json_object_set_new(o, "reason", json_string(gr_place_verdict_text(y->verdict)));
	if (y->verdict == GR_PLACE_V_TOO_SMALL || y->verdict == GR_PLACE_V_NO_ROOM)
		json_object_set_new(o, "of", json_string(y->res == GR_COORD_RES_ROOT ? "sandbox tier" : gr_place_res_name(y->res)));
	if (y->asked || y->free) {
		set(o, y->verdict == GR_PLACE_V_NO_CREDIT ? "holds" : "asked", y->asked);
		set(o, y->verdict == GR_PLACE_V_NO_CREDIT ? "may_hold" : "free", y->free);
	}
	set(o, "wait_us", y->wait_us);
	set(o, "fetch_us", y->fetch_us);
	set(o, "run_us", y->run_us);
	set(o, "score_us", y->score_us);
	set(o, "speed_permille", y->speed_permille);
	set(o, "contention_permille", y->contention_permille);
	return o;
}

json_t *gr_explain_json(const struct gr_coord *c, const struct gr_ctask *t)
{
	struct gr_place_why *rows;
	json_t *o = json_object(), *list = json_array();
	uint64_t now = gr_coord_now(c);
	uint32_t n = 0;
	char hex[GR_DIGEST_HEX];

	gr_digest_hex(&t->toolchain, hex);
	set(o, "task", t->t.id);
	json_object_set_new(o, "state", json_string(gr_task_state_name(t->t.state)));
	json_object_set_new(o, "toolchain", json_string(hex));
	set(o, "age_ms", (now - t->accepted_ns) / GR_NS_PER_MS);
	set(o, "input_bytes", t->place.input_bytes);
	set(o, "tries", t->t.n_tries);
	json_object_set_new(o, "attempts", attempts_json(t));
	json_object_set_new(o, "pending", json_string(pending_text(c, t)));
	if (t->t.n_attempts)
		json_object_set_new(o, "decision", decision_json(c, &t->why));
	/* its class is only sure to stand while it is queued */
	if (t->t.state == GR_TASK_QUEUED) {
		rows = gr_xalloc(MAX_EXPLAIN * sizeof(*rows));
		n = gr_place_explain(c->place, now, &t->place, rows, MAX_EXPLAIN);
		for (uint32_t i = 0; i < n; i++)
			json_array_append_new(list, why_json(&rows[i]));
		free(rows);
	}
	json_object_set_new(o, "workers", list);
	return o;
}

/* The tasks of sessions that @key_name may see (NULL: all): what waits first, then what runs; no more than MAX_TASKS. */
json_t *gr_tasks_json(const struct gr_coord *c, const char *key_name)
{
	static const enum gr_task_state shown[] = { GR_TASK_NEW, GR_TASK_QUEUED, GR_TASK_RUNNING };
	json_t *list = json_array();
	uint64_t n = 0;

	for (size_t k = 0; k < GR_LEN(shown); k++) {
		struct gr_session *s;
		size_t i = 0;

		while ((s = gr_map_each(&c->sessions, &i))) {
			if (key_name && strcmp(s->key_name, key_name))
				continue;
			GR_LIST_EACH(t, &s->job.lists[shown[k]], struct gr_ctask, t.link) {
				const struct gr_worker *w = t->t.n_attempts ? t->t.attempts[t->t.n_attempts - 1].peer : NULL;
				char hex[17];

				if (n++ >= MAX_TASKS)
					continue;
				snprintf(hex, sizeof(hex), "%016" PRIx64, s->id);
				json_array_append_new(list, json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:I}", "session", hex,
					"task", (json_int_t)t->t.id, "client", s->client_name, "state", gr_task_state_name(t->t.state),
					"worker", w ? w->name : "", "pending", pending_text(c, t),
					"age_ms", (json_int_t)((gr_coord_now(c) - t->accepted_ns) / GR_NS_PER_MS)));
			}
		}
	}
	return json_pack("{s:o, s:I}", "tasks", list, "n", (json_int_t)n);
}
