/* batch_restore.c - jobs come out of the store: all of them at a start, one that is over when somebody looks at it */
#include "coordinator/batch_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"

int gr_bj_begin(struct gr_bj *j, struct gr_spec **spec, struct gr_err *err)
{
	j->spec = *spec;
	*spec = NULL;
	gr_bjob_init(&j->b, j->spec, &j->batch->trust, &gr_batch_job_ops, j);
	j->b.floor = j->floor;
	j->n_tasks = j->spec->n_tasks;
	return gr_bj_map_lines(j, err);
}

static int restore_outcome(void *ctx, int64_t task, int64_t state, int64_t attempt)
{
	struct gr_bj *j = ctx;

	(void)attempt;
	if (task >= 0 && task < j->n_tasks && state > GR_B_RUNNING && state < GR_B_N)
		gr_bjob_restore(&j->b, (uint32_t)task, (enum gr_bstate)state);
	return 0;
}

struct restore {
	struct gr_bj *j;
	uint32_t n_lost;
	uint64_t due_ns;
};

static int restore_attempt(void *ctx, const struct gr_store_attempt_row *r)
{
	struct restore *x = ctx;
	struct gr_bj *j = x->j;
	struct gr_blive *l;
	struct gr_btask *t;
	uint32_t same;
	uint8_t state;

	if (r->task < 0 || r->task >= j->n_tasks)
		return 0;
	state = gr_states_get(&j->b.states, (uint32_t)r->task);
	if (state >= GR_B_DONE)
		return 0;
	t = gr_bjob_record(&j->b, (uint32_t)r->task);
	if (r->ordinal > t->ordinal)
		t->ordinal = (uint32_t)r->ordinal;
	if (r->counts < 0)                        /* of before a retry: it begins anew, also with the memory that was asked for */
		return 0;
	same = r->same ? gr_run_same(j, &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)r->task)], r->same) : 0;
	if (r->end_ms && r->of) {
		gr_bjob_restore_verdict(&j->b, (uint32_t)r->task, (uint32_t)r->of, (uint32_t)r->against, (enum gr_bcause)r->cause, r->counts != 0);
	} else if (r->end_ms && r->cause == GR_BC_DONE && r->digest.n == GR_DIGEST_BYTES) {
		struct gr_digest d;

		memcpy(d.b, r->digest.p, sizeof(d.b));
		gr_bjob_restore_result(&j->b, (uint32_t)r->task, (uint32_t)r->attempt, r->worker_id, r->node_id, &d);
		t->same = same;
	} else if (r->end_ms) {
		t->n_tries += r->counts != 0;
		t->n_lost += r->cause == GR_BC_LOST;
		if (r->cause == GR_BC_OOM)
			gr_btask_grow(t);
		if (r->cause == GR_BC_CHECKPOINT)
			t->has_checkpoint = true;
	} else if (r->attempt > 0 &&
		   (l = gr_bjob_restore_live(&j->b, (uint32_t)r->task, (uint32_t)r->attempt, r->worker_id, r->node_id, x->due_ns))) {
		l->is_stored = true;
		l->ordinal = (uint32_t)r->ordinal;
		l->of = (uint32_t)r->of;
		l->against = (uint32_t)r->against;
		l->same = same;
		if (!l->of && !t->n_results)
			t->same = same;
		x->n_lost++;
	}
	return 0;
}

static int parse_spec(struct gr_bj *j, const char *text, struct gr_spec **out, struct gr_err *err)
{
	json_t *json = json_loads(text, 0, NULL);
	int rc = json ? gr_spec_parse(json, out, err) : gr_err_set(err, GR_ECORRUPT, "its description is no JSON");

	json_decref(json);
	return rc < 0 ? gr_err_wrap(err, "job %" PRIu64, j->id) : 0;
}

int gr_bj_load(struct gr_bj *j, struct gr_err *err)
{
	struct gr_spec *spec = NULL;
	char *text;
	int rc;

	j->used_ns = gr_coord_now(j->batch->c);
	if (j->spec)
		return 0;
	text = gr_store_spec(j->batch->store, (int64_t)j->id);
	if (!text)
		return gr_err_set(err, GR_ENOENT, "job %" PRIu64 " cannot be read", j->id);
	rc = parse_spec(j, text, &spec, err);
	free(text);
	if (rc < 0)
		return rc;
	rc = gr_bj_begin(j, &spec, err);
	if (rc >= 0 && (rc = gr_store_each_outcome(j->batch->store, (int64_t)j->id, restore_outcome, j)) < 0)
		gr_err_set(err, rc, "job %" PRIu64 " cannot be read", j->id);
	if (rc < 0) {
		gr_bj_unload(j);
		return rc;
	}
	/* it is over: what has no row of its own was cancelled, or never could run */
	if (j->state != GR_J_OPEN) {
		gr_bjob_open(&j->b);
		gr_bjob_cancel(&j->b, GR_BC_CANCELLED);
	}
	return 0;
}

/* An open job after a restart: outcomes, histories, attempts that may still be alive somewhere. */
static int take_up(struct gr_bj *j, const char *spec_text, struct gr_err *err)
{
	struct restore x = { j, 0, j->batch->settle_until_ns };
	struct gr_spec *spec;
	int rc = parse_spec(j, spec_text, &spec, err);

	if (rc < 0)
		return rc;
	rc = gr_bj_begin(j, &spec, err);
	if (rc < 0)
		return rc;
	rc = gr_store_each_outcome(j->batch->store, (int64_t)j->id, restore_outcome, j);
	if (rc >= 0)
		rc = gr_store_each_attempt(j->batch->store, (int64_t)j->id, -1, false, restore_attempt, &x);
	if (rc < 0)
		return gr_err_set(err, rc, "job %" PRIu64 " cannot be read", j->id);
	gr_info("batch", "job %" PRIu64 " (%s) goes on: %u tasks, %u done, %u attempts may still run", j->id, j->name, j->n_tasks,
		j->b.states.count[GR_B_DONE], x.n_lost);
	return 0;
}

/* One that is over may be asked to run again: its inputs stay. Its description is not kept in memory. */
static void pin_over(struct gr_bj *j, const char *spec_text)
{
	struct gr_spec *spec = NULL;
	struct gr_err err;

	if (!strstr(spec_text, "\"blobs\":["))          /* most have none; the text is ours, without blanks */
		return;
	if (parse_spec(j, spec_text, &spec, &err) < 0) {
		gr_warn("batch", "%s: its inputs may be removed", err.text);
		return;
	}
	gr_bj_pin_spec(j, spec);
	gr_spec_free(&spec);
}

void gr_bj_say_gone(const struct gr_bj *j, const json_t *missing, struct gr_err *err)
{
	const char *hex = json_string_value(json_array_get(missing, 0)), *path = NULL;
	size_t n = json_array_size(missing), k;
	const json_t *v;
	char more[48];

	for (uint32_t i = 0; i < j->spec->n_stages && !path; i++)
		json_array_foreach(json_object_get(j->spec->stages[i].json, "inputs"), k, v)
			if (json_is_string(json_object_get(v, "blob")) && !strcmp(json_string_value(json_object_get(v, "blob")), hex)) {
				path = json_string_value(json_object_get(v, "path"));
				break;
			}
	snprintf(more, sizeof(more), " and %zu more are", n - 1);
	gr_err_set(err, GR_ENOENT, "job %" PRIu64 " cannot run again: its input %.200s%s not kept any more; submit it anew, which brings its files along",
		   j->id, path ? path : hex, n > 1 ? more : " is");
}

struct load {
	struct gr_batch *b;
	json_t *open;                     /* [[job, spec], ..]: a query inside a query is asked for later */
};

static int load_row(void *ctx, const struct gr_store_job_row *r)
{
	struct load *x = ctx;
	struct gr_bj *j;
	json_t *counts, *v;

	if (r->job < 1 || (uint64_t)r->job > GR_WIRE_MAX_JOB || !r->spec)
		return 0;
	j = gr_bj_new(x->b, (uint64_t)r->job);
	j->token = r->token ? gr_xstrdup(r->token) : NULL;
	j->name = gr_xstrdup(r->name ? r->name : "");
	j->tenant = gr_xstrdup(r->tenant ? r->tenant : "default");
	j->owner = gr_xstrdup(r->owner ? r->owner : "");
	j->reason = r->reason ? gr_xstrdup(r->reason) : NULL;
	j->priority = (int)r->priority;
	j->n_tasks = (uint32_t)r->n_tasks;
	j->submitted_ms = r->submitted_ms;
	j->started_ms = r->started_ms;
	j->ended_ms = r->ended_ms;
	j->state = (enum gr_jstate)r->state;
	j->is_paused = r->is_paused;
	j->is_committed = true;
	j->was_cancelled = r->is_cancelled;
	j->n_failed_before = (uint32_t)r->n_failed_before;
	j->floor = (uint32_t)r->floor;
	counts = r->counts ? json_loads(r->counts, 0, NULL) : NULL;
	for (int i = 0; i < GR_B_N; i++) {
		v = json_object_get(counts, gr_bstate_name((enum gr_bstate)i));
		j->counts[i] = (uint64_t)json_integer_value(v);
	}
	json_decref(counts);
	if ((uint64_t)r->job >= x->b->next_job)
		x->b->next_job = (uint64_t)r->job + 1;
	if (j->state == GR_J_OPEN)
		json_array_append_new(x->open, json_pack("[I,s]", (json_int_t)r->job, r->spec));
	else
		pin_over(j, r->spec);
	return 0;
}

/* Attempt numbers of this life are above those of the last. */
static void raise_floor(struct gr_bj *j, struct gr_store_tx *tx)
{
	j->floor = j->b.floor += GR_BATCH_STRIDE;
	gr_store_add(tx, GR_SQL_JOB_FLOOR, (int64_t)j->id, (int64_t)j->floor);
	j->is_raising = true;
}

struct span { uint32_t first, end; bool is_single, is_check; };

static int by_first(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* What may run only when something else is on disk, which then offers it: sorted; the caller's. */
static struct span *waits_for_commit(const struct gr_bj *j, uint32_t *n)
{
	struct span *all = NULL;
	uint32_t cap = 0;

	*n = 0;
	GR_LIST_EACH(p, &j->batch->pends, struct gr_pend, link)
		for (uint32_t k = 0; k < p->n_ready && p->job == j->id; k++) {
			const struct gr_pend_ready *r = &p->ready[k];

			GR_GROW(all, cap, *n + 1);
			all[(*n)++] = (struct span){ r->first, r->first + r->count, r->is_single, r->is_check };
		}
	if (all)
		qsort(all, *n, sizeof(*all), by_first);
	return all;
}

/* A worker that came back at once has told of ends meanwhile, whose rows are behind the floor's. */
static void offer_all(struct gr_bj *j)
{
	uint32_t n, at = 0;
	struct span *later = waits_for_commit(j, &n);
	struct gr_btask *t;
	size_t k;

	for (uint32_t i = 0; i < n; i++) {
		if (later[i].first > at)
			gr_run_offer(j, at, later[i].first - at, NULL);
		at = later[i].end > at ? later[i].end : at;
	}
	if (j->n_tasks > at)
		gr_run_offer(j, at, j->n_tasks - at, NULL);
	for (k = 0; j->spec && (t = gr_map_each(&j->b.tasks, &k));) {
		uint32_t copies = t->n_queued;
		bool is_check = t->is_check_queued;

		for (uint32_t i = 0; i < n; i++) {
			if (!later[i].is_single || later[i].first != t->task)
				continue;
			if (later[i].is_check)
				is_check = false;
			else if (copies)
				copies--;
		}
		for (; copies; copies--)
			gr_run_offer(j, (uint32_t)t->task, 1, t);
		if (is_check)
			gr_run_offer_check(j, t);
	}
	free(later);
}

/* A life that ends before this is one whose numbers nobody has seen. */
static void on_raised(void *ctx, int rc)
{
	struct gr_batch *b = ctx;
	struct gr_bj *j;
	size_t i = 0;

	(void)rc;
	while ((j = gr_map_each(&b->jobs, &i))) {
		if (!j->is_raising)
			continue;
		j->is_raising = false;
		offer_all(j);
	}
}

static int trust_row(void *ctx, uint64_t worker, uint64_t toolchain, int64_t n)
{
	gr_trust_set(ctx, worker, toolchain, (uint32_t)n);
	return 0;
}

int gr_batch_load(struct gr_batch *b, struct gr_err *err)
{
	struct load x = { b, json_array() };
	struct gr_store_tx *tx;
	const json_t *row;
	size_t i = 0;
	struct gr_bj *j;
	int rc;

	b->next_job = (uint64_t)gr_store_meta(b->store, "next_job", 1);
	rc = gr_store_each_job(b->store, load_row, &x);
	if (rc >= 0)
		rc = gr_store_each_trust(b->store, trust_row, &b->trust);
	if (rc < 0)
		gr_err_set(err, rc, "jobs cannot be read from the store");
	tx = gr_store_tx_new(b->store);
	if (rc >= 0)
		json_array_foreach(x.open, i, row) {
			j = gr_bj_find(b, (uint64_t)json_integer_value(json_array_get(row, 0)));
			rc = take_up(j, json_string_value(json_array_get(row, 1)), err);
			if (rc < 0)
				break;
			raise_floor(j, tx);
			rc = gr_bj_join_placement(j);
			if (rc < 0) {
				gr_err_set(err, rc, "job %" PRIu64 " cannot be placed", j->id);
				break;
			}
		}
	json_decref(x.open);
	i = 0;
	while (rc >= 0 && (j = gr_map_each(&b->jobs, &i)))
		rc = gr_bj_pin_all(j);
	gr_store_commit(&tx, false, on_raised, b);
	i = 0;
	while (rc >= 0 && (j = gr_map_each(&b->jobs, &i)))
		if (j->state == GR_J_OPEN) {
			if (j->b.states.count[GR_B_FAILED] > j->n_failed_before)
				gr_bjob_check_limit(&j->b);
			gr_bjob_open(&j->b);
			if (j->was_cancelled)
				gr_bjob_cancel(&j->b, GR_BC_CANCELLED);
			gr_bj_settle(j, NULL);
		}
	return rc < 0 ? rc : 0;
}
