/* recent.c - see recent.h. An attempt has a number that never changes and a stamp that is renewed when it ends; "what is
 * new since stamp X" is a walk over the ring, which is short and happens once in two seconds for each page that looks. */
#include "coordinator/http/recent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/map.h"

/* Of a build's session, whose id is 64 bits: what JSON readers keep exact, enough to tell builds apart. */
#define MAX_EXACT ((1ull << 53) - 1)

struct attempt_key {
	uint64_t job, task;
	uint32_t attempt, zero;
};
struct attempt {
	uint64_t n, stamp, start_ms, end_ms;
	struct attempt_key key;
	const char *kind, *cause;
	int exit_code;
	char worker[64], name[80];
};
struct gr_recent {
	struct gr_recent_sample last, ring[GR_RECENT_SECONDS];
	uint64_t n_samples, last_ms;
	struct attempt *attempts;           /* GR_RECENT_ATTEMPTS, by number */
	struct gr_map live;                 /* key -> attempt, of those that did not end */
	uint64_t n, stamp, n_since;         /* since: the last sample */
};

struct gr_recent *gr_recent_new(void)
{
	struct gr_recent *r;

	GR_NEW(r);
	r->attempts = gr_xalloc(GR_RECENT_ATTEMPTS * sizeof(*r->attempts));
	return r;
}

void gr_recent_free(struct gr_recent **r)
{
	if (!*r)
		return;
	gr_map_fini(&(*r)->live);
	free((*r)->attempts);
	free(*r);
	*r = NULL;
}

void gr_recent_sample(struct gr_recent *r, uint64_t now_real_ms, const struct gr_recent_sample *s)
{
	struct gr_recent_sample *slot = &r->ring[r->n_samples % GR_RECENT_SECONDS];

	*slot = *s;
	slot->ended = r->n_samples ? s->ended - r->last.ended : 0;
	slot->failed = r->n_samples ? s->failed - r->last.failed : 0;
	r->last = *s;
	r->last_ms = now_real_ms;
	r->n_samples++;
	r->n_since = 0;
}

bool gr_recent_has_room(const struct gr_recent *r) { return r && r->n_since < GR_RECENT_A_SECOND; }

uint64_t gr_recent_begin(struct gr_recent *r, uint64_t now_real_ms, const struct gr_recent_attempt *a)
{
	struct attempt *slot;

	if (!gr_recent_has_room(r))
		return 0;
	r->n_since++;
	slot = &r->attempts[++r->n % GR_RECENT_ATTEMPTS];
	if (slot->n && !slot->end_ms)
		gr_map_del(&r->live, &slot->key, sizeof(slot->key));
	*slot = (struct attempt){
		.n = r->n, .stamp = ++r->stamp, .start_ms = now_real_ms, .kind = a->kind,
		.key = { .job = a->job, .task = a->task, .attempt = a->attempt },
	};
	memcpy(slot->worker, a->worker, strnlen(a->worker, sizeof(slot->worker) - 1));
	memcpy(slot->name, a->name, strnlen(a->name, sizeof(slot->name) - 1));
	gr_map_put(&r->live, &slot->key, sizeof(slot->key), slot);
	return r->n;
}

void gr_recent_end(struct gr_recent *r, uint64_t now_real_ms, uint64_t job, uint64_t task, uint32_t attempt, const char *cause,
		   int exit_code)
{
	struct attempt_key key = { .job = job, .task = task, .attempt = attempt };
	struct attempt *a = r ? gr_map_del(&r->live, &key, sizeof(key)) : NULL;

	if (!a)
		return;
	a->end_ms = now_real_ms;
	a->cause = cause;
	a->exit_code = exit_code;
	a->stamp = ++r->stamp;
}

static json_t *column(const struct gr_recent *r, int which)
{
	uint64_t n = r->n_samples < GR_RECENT_SECONDS ? r->n_samples : GR_RECENT_SECONDS;
	json_t *list = json_array();

	for (uint64_t i = r->n_samples - n; i < r->n_samples; i++) {
		const struct gr_recent_sample *s = &r->ring[i % GR_RECENT_SECONDS];
		uint64_t v = which == 0 ? s->ended : which == 1 ? s->failed : which == 2 ? s->running : which == 3 ? s->queued : s->slots;

		json_array_append_new(list, json_integer((json_int_t)v));
	}
	return list;
}

json_t *gr_recent_history_json(const struct gr_recent *r, uint64_t now_real_ms)
{
	static const char *const names[] = { "ended", "failed", "running", "queued", "slots" };
	json_t *o = json_pack("{s:i, s:I}", "step_ms", 1000, "end_ms", (json_int_t)(r->n_samples ? r->last_ms : now_real_ms));

	for (int i = 0; i < (int)GR_LEN(names); i++)
		json_object_set_new(o, names[i], column(r, i));
	return o;
}

static json_t *attempt_json(const struct attempt *a)
{
	json_t *o = json_pack("{s:I, s:s, s:I, s:I, s:i, s:I}", "n", (json_int_t)a->n, "kind", a->kind, "job", (json_int_t)(a->key.job & MAX_EXACT), "task",
			      (json_int_t)a->key.task, "attempt", (int)a->key.attempt, "start_ms", (json_int_t)a->start_ms);
	json_t *name = json_string(a->name);

	json_object_set_new(o, "worker", json_string(a->worker));
	json_object_set_new(o, "name", name ? name : json_string("?"));   /* cut within a character */
	if (a->end_ms) {
		json_object_set_new(o, "end_ms", json_integer((json_int_t)a->end_ms));
		json_object_set_new(o, "cause", json_string(a->cause));
		json_object_set_new(o, "exit_code", json_integer(a->exit_code));
	}
	return o;
}

json_t *gr_recent_timeline_json(const struct gr_recent *r, uint64_t now_real_ms, uint64_t after)
{
	bool is_other = after > r->stamp;       /* a number of a coordinator before this one */
	uint64_t first = r->n > GR_RECENT_ATTEMPTS ? r->n - GR_RECENT_ATTEMPTS + 1 : 1;
	json_t *list = json_array();

	for (uint64_t n = first; n <= r->n; n++) {
		const struct attempt *a = &r->attempts[n % GR_RECENT_ATTEMPTS];

		if (is_other || a->stamp > after)
			json_array_append_new(list, attempt_json(a));
	}
	return json_pack("{s:I, s:I, s:b, s:o}", "now_ms", (json_int_t)now_real_ms, "next", (json_int_t)r->stamp, "restarted", is_other,
			 "attempts", list);
}
