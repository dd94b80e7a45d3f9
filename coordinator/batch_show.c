/* batch_show.c - jobs and tasks as JSON, for the wire and for HTTP alike */
#include "coordinator/batch_int.h"

#include <string.h>

#include "lib/base/alloc.h"

/* Of what is with a worker only what has begun there is told as running, and what is with none as ready. Takes @counts. */
static json_t *counts_json(uint64_t counts[GR_B_N], uint64_t n_with_worker, uint64_t n_begun)
{
	json_t *o = json_object();

	counts[GR_B_READY] += counts[GR_B_RUNNING] - n_with_worker;
	counts[GR_B_RUNNING] = n_begun;
	for (int i = 0; i < GR_B_N; i++)
		json_object_set_new(o, gr_bstate_name((enum gr_bstate)i), json_integer((json_int_t)counts[i]));
	json_object_set_new(o, GR_SHOW_SENT, json_integer((json_int_t)(n_with_worker - n_begun)));
	return o;
}

static json_t *job_counts(const struct gr_bj *j)
{
	uint64_t counts[GR_B_N];

	for (int i = 0; i < GR_B_N; i++)
		counts[i] = j->spec ? j->b.states.count[i] : j->counts[i];
	return counts_json(counts, j->spec ? j->b.n_with_worker : counts[GR_B_RUNNING], j->spec ? j->b.n_begun : counts[GR_B_RUNNING]);
}

/* Why nothing of an open job runs: what is in the way of its first task that has not begun. */
static const char *why_pending(struct gr_bj *j)
{
	uint32_t first;

	if (!j->spec || j->state != GR_J_OPEN || j->b.n_with_worker || j->b.is_cancelled)
		return NULL;
	if (j->is_paused)
		return "it is paused";
	if (!gr_states_run(&j->b.states, 0, j->n_tasks, 1u << GR_B_READY, &first, NULL) &&
	    !gr_states_run(&j->b.states, 0, j->n_tasks, 1u << GR_B_RUNNING, &first, NULL) &&
	    !gr_states_run(&j->b.states, 0, j->n_tasks, 1u << GR_B_BACKOFF, &first, NULL))
		return NULL;
	return gr_run_pending(j, first, &j->batch->scratch);
}

json_t *gr_show_summary(struct gr_bj *j)
{
	const char *pending = why_pending(j);

	json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:I, s:o, s:I, s:I, s:I, s:i}", "job", (json_int_t)j->id, "name", j->name, "tenant", j->tenant,
			      "state", gr_bj_state_name(j), "n_tasks", (json_int_t)j->n_tasks, "counts", job_counts(j), "submitted_ms",
			      (json_int_t)j->submitted_ms, "started_ms", (json_int_t)j->started_ms, "ended_ms", (json_int_t)j->ended_ms, "priority",
			      j->priority);

	if (j->reason)
		json_object_set_new(o, "reason", json_string(j->reason));
	if (pending)
		json_object_set_new(o, "pending", json_string(pending));
	if (j->owner && *j->owner)
		json_object_set_new(o, "owner", json_string(j->owner));
	return o;
}

static json_t *stage_json(const struct gr_bj *j, const struct gr_stage *st)
{
	uint32_t at = st->first, end = st->first + st->count, first, n;
	uint64_t counts[GR_B_N] = { 0 }, n_begun = 0, n_with_worker = 0;
	struct gr_btask *t;
	size_t i = 0;
	uint8_t state;

	while ((n = gr_states_run(&j->b.states, at, end, (1u << GR_B_N) - 1, &first, &state))) {
		counts[state] += n;
		at = first + n;
	}
	while ((t = gr_map_each(&j->b.tasks, &i))) {
		n_begun += t->has_begun && t->task >= st->first && t->task < end;
		n_with_worker += t->is_with_worker && t->task >= st->first && t->task < end;
	}
	return json_pack("{s:s, s:i, s:i, s:o}", "name", st->name, "first", (int)st->first, "count", (int)st->count, "counts",
			 counts_json(counts, n_with_worker, n_begun));
}

json_t *gr_show_job(struct gr_bj *j)
{
	json_t *o = gr_show_summary(j), *stages = json_array(), *usage = gr_store_usage(j->batch->store, NULL, (int64_t)j->id), *spec;
	char *text = json_dumps(j->spec->json, JSON_COMPACT);

	for (uint32_t i = 0; i < j->spec->n_stages; i++)
		json_array_append_new(stages, stage_json(j, &j->spec->stages[i]));
	json_object_set_new(o, "stages", stages);
	if (json_array_size(usage))
		json_object_set(o, "accounting", json_array_get(usage, 0));
	json_decref(usage);
	/* an answer is one frame: a large description is left out */
	if (text && strlen(text) < 512 << 10) {
		spec = json_incref(j->spec->json);
		json_object_set_new(o, "spec", spec);
	}
	free(text);
	return o;
}

static json_t *values_json(struct gr_bj *j, uint32_t task)
{
	struct gr_slice values[GR_SPEC_MAX_VALUES];
	uint32_t n = gr_bj_values(j, task, values, &j->batch->scratch);
	json_t *list = json_array();

	for (uint32_t i = 0; i < n; i++) {
		json_t *v = json_stringn((const char *)values[i].p, values[i].n < 1024 ? values[i].n : 1024);

		json_array_append_new(list, v ? v : json_string("?"));
	}
	return list;
}

struct last {
	json_t *o;
	json_t *list;
	const struct gr_bj *j;
	int64_t n, outcome;
};

static int last_attempt(void *ctx, const struct gr_store_attempt_row *r)
{
	struct last *x = ctx;

	x->n++;
	/* what stands, not a copy that was late; a comparison on the way is no news of the task */
	if (x->outcome ? r->attempt != x->outcome : r->of != 0)
		return 0;
	json_object_set_new(x->o, "worker", json_string(r->worker ? r->worker : ""));
	json_object_set_new(x->o, "start_ms", json_integer(r->start_ms));
	json_object_set_new(x->o, "end_ms", json_integer(r->end_ms));
	/* while it runs nothing is said of its end, nor is the end of the one before it told as its own */
	json_object_del(x->o, "exit_code");
	json_object_del(x->o, "signal");
	json_object_del(x->o, "cause");
	if (!r->end_ms)
		return 0;
	json_object_set_new(x->o, "exit_code", json_integer(r->exit_code));
	json_object_set_new(x->o, "signal", json_integer(r->term_signal));
	json_object_set_new(x->o, "cause", json_string(gr_bcause_name((enum gr_bcause)r->cause)));
	return 0;
}

const char *gr_show_state(struct gr_bj *j, uint32_t task)
{
	enum gr_bstate state = (enum gr_bstate)gr_states_get(&j->b.states, task);
	const struct gr_btask *t = state == GR_B_RUNNING ? gr_bjob_find(&j->b, task) : NULL;

	if (t && !t->has_begun)
		return t->is_with_worker ? GR_SHOW_SENT : gr_bstate_name(GR_B_READY);
	return gr_bstate_name(state);
}

json_t *gr_show_task_row(struct gr_bj *j, uint32_t task)
{
	uint32_t s = gr_spec_stage_of(j->spec, task);
	const struct gr_stage *st = &j->spec->stages[s];
	enum gr_bstate state = (enum gr_bstate)gr_states_get(&j->b.states, task);
	const char *shown = gr_show_state(j, task);
	int64_t stored;
	json_t *o;
	struct last x = { 0 };

	if (state == GR_B_DONE || state == GR_B_FAILED)
		x.outcome = gr_store_outcome_attempt(j->batch->store, (int64_t)j->id, task, &stored);
	/* an outcome that is not on disk yet is none */
	if ((state == GR_B_DONE || state == GR_B_FAILED) && !x.outcome)
		shown = gr_bstate_name(GR_B_RUNNING);
	o = json_pack("{s:i, s:s, s:i, s:s}", "task", (int)task, "stage", st->name, "index", (int)(task - st->first), "state",
		      shown);
	x.o = o;
	(void)!gr_store_each_attempt(j->batch->store, (int64_t)j->id, task, false, last_attempt, &x);
	json_object_set_new(o, "attempts", json_integer(x.n));
	if (st->array != GR_ARRAY_NONE)
		json_object_set_new(o, "values", values_json(j, task));
	return o;
}

static int attempt_row(void *ctx, const struct gr_store_attempt_row *r)
{
	struct last *x = ctx;
	json_t *o = json_pack("{s:I, s:I, s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "attempt", (json_int_t)r->attempt, "ordinal",
			      (json_int_t)r->ordinal, "worker", r->worker ? r->worker : "", "node", r->node ? r->node : "", "start_ms",
			      (json_int_t)r->start_ms, "end_ms", (json_int_t)r->end_ms, "cause", r->end_ms ? gr_bcause_name((enum gr_bcause)r->cause) : "",
			      "exit_code", (json_int_t)r->exit_code, "signal", (json_int_t)r->term_signal, "cpu_us", (json_int_t)r->cpu_us, "wall_us",
			      (json_int_t)r->wall_us, "max_rss_bytes", (json_int_t)r->max_rss, "out_bytes", (json_int_t)r->out_size, "err_bytes",
			      (json_int_t)r->err_size);

	if (r->reason)
		json_object_set_new(o, "reason", json_string(r->reason));
	if (r->of)
		json_object_set_new(o, "compares", json_pack("[I, I]", (json_int_t)r->against, (json_int_t)r->of));
	json_array_append_new(x->list, o);
	if (r->end_ms && (x->outcome ? r->attempt == x->outcome : !r->of))
		json_object_set_new(x->o, "logs", json_pack("{s:I, s:I, s:b, s:b}", "out_bytes", (json_int_t)r->out_size, "err_bytes",
				    (json_int_t)r->err_size, "out_cut", (int)(r->flags & GR_ENDED_F_OUT_CUT), "err_cut",
				    (int)(r->flags & GR_ENDED_F_ERR_CUT)));
	return 0;
}

static int output_row(void *ctx, const struct gr_store_output_row *r)
{
	static const char *const kinds[] = { "?", "file", "dir", "link" };
	struct last *x = ctx;
	char hex[GR_DIGEST_HEX];
	struct gr_digest d;
	json_t *o;

	if (r->index == GR_WIRE_CHECKPOINT)
		return 0;
	o = json_pack("{s:s, s:s, s:I, s:I}", "path", r->path, "kind", kinds[r->kind & 3], "mode", (json_int_t)r->mode, "size", (json_int_t)r->size);
	if (r->digest.n == GR_DIGEST_BYTES) {
		memcpy(d.b, r->digest.p, sizeof(d.b));
		gr_digest_hex(&d, hex);
		json_object_set_new(o, "digest", json_string(hex));
	}
	if (r->target)
		json_object_set_new(o, "target", json_string(r->target));
	json_array_append_new(x->list, o);
	return 0;
}

json_t *gr_show_task(struct gr_bj *j, uint32_t task)
{
	json_t *o = gr_show_task_row(j, task);
	struct last x = { .o = o, .list = json_array(), .j = j };
	struct gr_buf text = { 0 };
	const char *why;
	int64_t state;

	if (gr_states_get(&j->b.states, task) == GR_B_DONE)
		x.outcome = gr_store_outcome_attempt(j->batch->store, (int64_t)j->id, task, &state);
	(void)!gr_store_each_attempt(j->batch->store, (int64_t)j->id, task, false, attempt_row, &x);
	json_object_set_new(o, "attempts", x.list);
	x.list = json_array();
	(void)!gr_store_each_output(j->batch->store, (int64_t)j->id, task, (int64_t)task + 1, 0, output_row, &x);
	json_object_set_new(o, "outputs", x.list);
	why = j->state == GR_J_OPEN ? gr_run_pending(j, task, &text) : NULL;
	if (why)
		json_object_set_new(o, "pending", json_string(why));
	json_object_set_new(o, "job", json_integer((json_int_t)j->id));
	gr_buf_fini(&text);
	return o;
}
