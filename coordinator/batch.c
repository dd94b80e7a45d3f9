/* batch.c - jobs as the coordinator has them: made, stored, taken up after a restart, ended, removed; see batch.h
 *
 * What a job is lies in the store; here is what it takes to run it. A job that is over keeps a line's worth of memory
 * until somebody looks at it (gr_bj_load), and is put away again a while later.
 */
#include "coordinator/batch_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define TICK_MS 100
#define LINES_STEP 16u
#define IDLE_NS (60 * GR_NS_PER_S)

struct gr_tenant_row {
	uint32_t id, weight, n_jobs;
	char name[64];
};

/* ---- jobs ---- */

struct gr_bj *gr_bj_find(struct gr_batch *b, uint64_t id)
{
	return gr_map_get(&b->jobs, &id, sizeof(id));
}

struct gr_bj *gr_bj_new(struct gr_batch *b, uint64_t id)
{
	struct gr_bj *j;

	GR_NEW(j);
	j->id = id;
	j->batch = b;
	gr_list_init(&j->ranges);
	gr_map_put(&b->jobs, &j->id, sizeof(j->id), j);
	return j;
}

static void unload(struct gr_bj *j)
{
	if (!j->spec)
		return;
	for (int i = 0; i < GR_B_N; i++)
		j->counts[i] = j->b.states.count[i];
	for (uint32_t i = 0; j->lines && i < j->spec->n_stages; i++) {
		if (j->lines[i].p)
			munmap((void *)(uintptr_t)j->lines[i].p, j->lines[i].n);
		free(j->lines[i].at);
	}
	free(j->lines);
	j->lines = NULL;
	gr_bjob_fini(&j->b);
	gr_spec_free(&j->spec);
	gr_buf_fini(&j->spec_frame);
}

static void unpin_all(struct gr_bj *j)
{
	for (uint32_t i = 0; i < j->n_pins; i++)
		gr_cas_unpin(j->batch->cas, &j->pins[i].digest);
	free(j->pins);
	j->pins = NULL;
	j->n_pins = j->cap_pins = 0;
}

void gr_bj_free(struct gr_bj **jp)
{
	struct gr_bj *j = *jp;

	*jp = NULL;
	gr_bj_leave_placement(j);
	unload(j);
	unpin_all(j);
	gr_map_del(&j->batch->jobs, &j->id, sizeof(j->id));
	free(j->token);
	free(j->name);
	free(j->tenant);
	free(j->owner);
	free(j->reason);
	free(j);
}

void gr_bj_pin(struct gr_bj *j, const struct gr_digest *d, uint64_t size)
{
	if (j->n_pins == j->cap_pins) {
		j->cap_pins = j->cap_pins ? 2 * j->cap_pins : 16;
		j->pins = gr_xrealloc(j->pins, j->cap_pins * sizeof(*j->pins));
	}
	j->pins[j->n_pins++] = (struct gr_spec_blob){ *d, size };
	gr_cas_pin(j->batch->cas, d);
}

static int pin_row(void *ctx, struct gr_slice digest, int64_t size)
{
	struct gr_digest d;

	memcpy(d.b, digest.p, sizeof(d.b));
	gr_bj_pin(ctx, &d, (uint64_t)size);
	return 0;
}

/* Everything the spec and the rows name. */
int gr_bj_pin_all(struct gr_bj *j)
{
	for (uint32_t i = 0; j->spec && i < j->spec->n_blobs; i++)
		gr_bj_pin(j, &j->spec->blobs[i].digest, j->spec->blobs[i].size);
	return gr_store_each_digest(j->batch->store, (int64_t)j->id, pin_row, j);
}

/* ---- lists in files ---- */

static int map_lines(struct gr_bj *j, uint32_t stage, struct gr_err *err)
{
	const struct gr_stage *st = &j->spec->stages[stage];
	struct gr_lines *l = &j->lines[stage];
	uint32_t n = 0;
	uint64_t size;
	int fd = gr_cas_open_blob(j->batch->cas, &st->list_blob, &size);

	if (fd < 0)
		return gr_err_set(err, GR_ENOENT, "stages[%u].array.list_blob: not there", stage);
	l->n = (size_t)size;
	l->p = size ? mmap(NULL, l->n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	close(fd);
	if (l->p == MAP_FAILED || size > UINT32_MAX) {
		l->p = NULL;
		return gr_err_set(err, GR_ENOMEM, "stages[%u].array.list_blob: cannot be mapped", stage);
	}
	l->at = gr_xalloc((st->count / LINES_STEP + 2) * sizeof(*l->at));
	for (size_t at = 0; at < l->n && n < st->count; n++) {
		const char *nl = memchr(l->p + at, '\n', l->n - at);

		if (n % LINES_STEP == 0)
			l->at[n / LINES_STEP] = (uint32_t)at;
		at = nl ? (size_t)(nl - l->p) + 1 : l->n;
	}
	if (n < st->count)
		return gr_err_set(err, GR_EINVAL, "stages[%u].array: \"n\" is %u, the list has %u lines", stage, st->count, n);
	return 0;
}

static struct gr_slice line_of(const struct gr_lines *l, uint32_t index)
{
	size_t at = l->at[index / LINES_STEP];
	const char *nl;

	for (uint32_t i = index % LINES_STEP; i; i--)
		at = (size_t)((const char *)memchr(l->p + at, '\n', l->n - at) - l->p) + 1;
	nl = memchr(l->p + at, '\n', l->n - at);
	return gr_slice(l->p + at, nl ? (size_t)(nl - l->p) - at : l->n - at);
}

uint32_t gr_bj_values(struct gr_bj *j, uint32_t task, struct gr_slice out[GR_SPEC_MAX_VALUES], struct gr_buf *text)
{
	uint32_t stage = gr_spec_stage_of(j->spec, task);
	const struct gr_stage *st = &j->spec->stages[stage];

	if (st->array != GR_ARRAY_LIST_BLOB)
		return gr_spec_values(st, task - st->first, out, text);
	return gr_spec_line_values(line_of(&j->lines[stage], task - st->first), out);
}

/* ---- taking up ---- */

int gr_bj_begin(struct gr_bj *j, struct gr_spec **spec, struct gr_err *err)
{
	int rc = 0;

	j->spec = *spec;
	*spec = NULL;
	gr_bjob_init(&j->b, j->spec, &j->batch->trust, &gr_batch_job_ops, j);
	j->b.floor = j->floor;
	j->n_tasks = j->spec->n_tasks;
	j->lines = gr_xalloc(j->spec->n_stages * sizeof(*j->lines));
	for (uint32_t i = 0; i < j->spec->n_stages && rc >= 0; i++)
		if (j->spec->stages[i].array == GR_ARRAY_LIST_BLOB)
			rc = map_lines(j, i, err);
	return rc;
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
	struct gr_btask *t;
	uint8_t state;

	if (r->task < 0 || r->task >= j->n_tasks)
		return 0;
	state = gr_states_get(&j->b.states, (uint32_t)r->task);
	if (state >= GR_B_DONE)
		return 0;
	t = gr_bjob_record(&j->b, (uint32_t)r->task);
	if (r->ordinal > t->ordinal)
		t->ordinal = (uint32_t)r->ordinal;
	if (r->end_ms) {
		t->n_tries += r->counts != 0;
		if (r->cause == GR_BC_OOM)
			t->mem_permille += t->mem_permille / 2;
		if (r->cause == GR_BC_CHECKPOINT)
			t->has_checkpoint = true;
	} else if (r->attempt > 0 && gr_bjob_restore_live(&j->b, (uint32_t)r->task, (uint32_t)r->attempt, r->worker_id, r->node_id, x->due_ns)) {
		gr_btask_live(t, (uint32_t)r->attempt)->ordinal = (uint32_t)r->ordinal;
		x->n_lost++;
	}
	return 0;
}

static int find_spec(void *ctx, const struct gr_store_job_row *r)
{
	struct { int64_t job; char *spec; } *x = ctx;

	if (r->job == x->job && r->spec)
		x->spec = gr_xstrdup(r->spec);
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
	struct { int64_t job; char *spec; } x = { (int64_t)j->id, NULL };
	struct gr_spec *spec = NULL;
	int rc;

	j->used_ns = gr_coord_now(j->batch->c);
	if (j->spec)
		return 0;
	rc = gr_store_each_job(j->batch->store, find_spec, &x);
	if (rc < 0 || !x.spec)
		return gr_err_set(err, rc < 0 ? rc : GR_ENOENT, "job %" PRIu64 " cannot be read", j->id);
	rc = parse_spec(j, x.spec, &spec, err);
	free(x.spec);
	if (rc < 0)
		return rc;
	rc = gr_bj_begin(j, &spec, err);
	if (rc >= 0 && (rc = gr_store_each_outcome(j->batch->store, (int64_t)j->id, restore_outcome, j)) < 0)
		gr_err_set(err, rc, "job %" PRIu64 " cannot be read", j->id);
	if (rc < 0) {
		unload(j);
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

struct load {
	struct gr_batch *b;
	struct gr_err *err;
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
	return 0;
}

/* Attempt numbers of this life are above those of the last. */
static void raise_floor(struct gr_bj *j, struct gr_store_tx *tx)
{
	j->floor = j->b.floor += GR_BATCH_STRIDE;
	gr_store_add(tx, GR_SQL_JOB_FLOOR, (int64_t)j->id, (int64_t)j->floor);
}

static int trust_row(void *ctx, uint64_t worker, uint64_t toolchain, int64_t n)
{
	gr_trust_set(ctx, worker, toolchain, (uint32_t)n);
	return 0;
}

static int load_all(struct gr_batch *b, struct gr_err *err)
{
	struct load x = { b, err, json_array() };
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
	gr_store_commit(&tx, false, NULL, NULL);
	i = 0;
	while (rc >= 0 && (j = gr_map_each(&b->jobs, &i)))
		if (j->state == GR_J_OPEN) {
			gr_bjob_check_limit(&j->b);
			gr_bjob_open(&j->b);
			if (j->was_cancelled)
				gr_bjob_cancel(&j->b, GR_BC_CANCELLED);
			gr_bj_settle(j, NULL);
		}
	return rc < 0 ? rc : 0;
}

/* ---- placement's owners ---- */

static struct gr_tenant_row *tenant_of(struct gr_batch *b, const char *name, uint32_t weight)
{
	struct gr_tenant_row *t = gr_map_get(&b->tenants, name, strlen(name));
	struct gr_place_tenant spec = { .weight = weight };
	int rc;

	if (t) {
		if (weight != t->weight) {
			t->weight = weight;
			gr_place_tenant_set(b->c->place, t->id, &spec);
		}
		return t;
	}
	rc = gr_place_tenant_add(b->c->place, &spec);
	if (rc < 0)
		return NULL;
	GR_NEW(t);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->id = (uint32_t)rc;
	t->weight = weight;
	gr_map_put(&b->tenants, t->name, strlen(t->name), t);
	return t;
}

/* Compiles that people wait for are in band 0; jobs by their priority at it or behind it, idle ones last of all. */
static uint8_t band_of(const struct gr_spec *s)
{
	int band = s->is_idle ? (int)GR_PLACE_MAX_BAND : 15 - s->priority;

	return (uint8_t)(band < 0 ? 0 : band);
}

int gr_bj_join_placement(struct gr_bj *j)
{
	struct gr_tenant_row *t = tenant_of(j->batch, j->tenant, j->spec->weight);
	struct gr_place_owner o = { .tag = j->id << 1 | 1, .weight = 1, .band = band_of(j->spec), .is_preemptible = true };
	int rc;

	if (!t)
		return GR_ELIMIT;
	o.tenant = t->id;
	rc = gr_place_owner_add(j->batch->c->place, &o);
	if (rc < 0)
		return rc;
	t->n_jobs++;
	j->place_owner = (uint32_t)rc;
	j->has_owner = true;
	if (j->is_paused)
		gr_place_owner_pause(j->batch->c->place, j->place_owner, true);
	return 0;
}

void gr_bj_leave_placement(struct gr_bj *j)
{
	struct gr_tenant_row *t = j->tenant ? gr_map_get(&j->batch->tenants, j->tenant, strlen(j->tenant)) : NULL;

	if (!j->has_owner)
		return;
	gr_run_drop_ranges(j);
	j->has_owner = false;
	gr_place_owner_remove(j->batch->c->place, j->place_owner);
	if (t && !--t->n_jobs) {
		gr_place_tenant_remove(j->batch->c->place, t->id);
		gr_map_del(&j->batch->tenants, t->name, strlen(t->name));
		free(t);
	}
}

/* ---- what waits for a commit ---- */

struct gr_pend *gr_pend_new(struct gr_batch *b)
{
	struct gr_pend *p;

	GR_NEW(p);
	p->batch = b;
	return p;
}

void gr_pend_event(struct gr_pend *p, const char *type, json_t *data)
{
	if (!p->events)
		p->events = json_array();
	json_array_append_new(p->events, json_pack("[s,o]", type, data));
}

static void pend_free(struct gr_pend *p)
{
	gr_bworker_unref(&p->bw);
	json_decref(p->events);
	json_decref(p->rep);
	free(p->ready);
	free(p);
}

static void on_commit(void *ctx, int rc)
{
	struct gr_pend *p = ctx;
	struct gr_batch *b = p->batch;
	struct gr_bj *j = gr_bj_find(b, p->job);
	const json_t *e;
	size_t i;

	if (rc < 0) {
		struct gr_err err;

		gr_err_set(&err, rc, "cannot be stored: %s", gr_store_trouble(b->store) ? gr_store_trouble(b->store) : gr_err_text(rc));
		if (j && !j->is_committed)
			gr_bj_free(&j);
		if (p->fn)
			p->fn(p->ctx, NULL, &err);
		pend_free(p);
		return;
	}
	if (p->settles && j)
		j->is_ending = false;
	if (p->is_submit && j) {
		j->is_committed = true;
		b->submitted++;
		gr_history(b, "accept", j->id, j->n_tasks, 0, "");
	}
	if (p->bw)
		gr_run_ack(p->bw, p->job, p->task, p->attempt);
	for (uint32_t k = 0; k < p->n_ready && j && j->spec; k++) {
		struct gr_btask *t = p->ready[k].is_single ? gr_bjob_find(&j->b, p->ready[k].first) : NULL;

		gr_run_offer(j, p->ready[k].first, p->ready[k].count, t);
	}
	if (p->events)
		json_array_foreach(p->events, i, e)
			gr_batch_emit(b, json_string_value(json_array_get(e, 0)), json_incref(json_array_get(e, 1)));
	if (p->is_over && j && j->spec)
		gr_watch_over(j, (uint32_t)p->task);
	if (p->fn) {
		p->fn(p->ctx, p->rep, NULL);
		p->rep = NULL;
	}
	pend_free(p);
}

void gr_pend_commit(struct gr_pend *p, struct gr_store_tx *tx, bool may_fail)
{
	if (p->batch->pend == p)
		p->batch->pend = NULL;
	gr_store_commit(&tx, may_fail, on_commit, p);
}

/* ---- states of jobs ---- */

const char *gr_bj_state_name(const struct gr_bj *j)
{
	switch (j->is_ending ? GR_J_OPEN : j->state) {
	case GR_J_DONE: return "done";
	case GR_J_FAILED: return "failed";
	case GR_J_CANCELLED: return "cancelled";
	case GR_J_OPEN: break;
	}
	if (j->spec && j->b.is_cancelled)
		return "cancelling";
	if (j->is_paused)
		return "paused";
	return j->started_ms ? "running" : "queued";
}

void gr_bj_save_state(struct gr_bj *j, struct gr_store_tx *tx)
{
	gr_store_add(tx, GR_SQL_JOB_STATE, (int64_t)j->id, (int64_t)j->state, j->reason, (int64_t)j->is_paused, j->started_ms, j->ended_ms);
}

static void save_counts(struct gr_bj *j, struct gr_store_tx *tx)
{
	json_t *o = json_object();
	char *text;

	for (int i = 0; i < GR_B_N; i++)
		json_object_set_new(o, gr_bstate_name((enum gr_bstate)i), json_integer(j->b.states.count[i]));
	text = json_dumps(o, JSON_COMPACT);
	gr_store_add(tx, GR_SQL_JOB_COUNTS, (int64_t)j->id, text);
	free(text);
	json_decref(o);
}

/* As it will be when it is on disk, which is when it is told. */
static json_t *ended_event(struct gr_bj *j)
{
	json_t *o;

	j->is_ending = false;
	o = gr_show_summary(j);
	j->is_ending = true;
	return o;
}

void gr_bj_settle(struct gr_bj *j, struct gr_store_tx *tx)
{
	struct gr_store_tx *own = NULL;
	const uint32_t *n = j->b.states.count;

	if (j->state != GR_J_OPEN || !gr_bjob_is_over(&j->b))
		return;
	if (!tx)
		tx = own = gr_store_tx_new(j->batch->store);
	j->state = n[GR_B_DONE] == j->n_tasks ? GR_J_DONE : j->b.is_cancelled ? GR_J_CANCELLED : GR_J_FAILED;
	if (j->state == GR_J_FAILED && !j->reason) {
		struct gr_buf t = { 0 };

		gr_buf_printf(&t, "%u of %u tasks failed%s", n[GR_B_FAILED], j->n_tasks, j->b.is_stopping ? ": as many as were allowed" : "");
		j->reason = gr_buf_take(&t, NULL);
	}
	j->ended_ms = (int64_t)gr_clock_real_ms();
	j->is_ending = true;
	gr_bj_save_state(j, tx);
	save_counts(j, tx);
	gr_store_add(tx, GR_SQL_SECRET_RM, (int64_t)j->id);
	gr_bj_leave_placement(j);
	j->used_ns = gr_coord_now(j->batch->c);
	gr_info("batch", "job %" PRIu64 " (%s) is %s: %u done, %u failed, %u cancelled, %u skipped", j->id, j->name, gr_bj_state_name(j), n[GR_B_DONE],
		n[GR_B_FAILED], n[GR_B_CANCELLED], n[GR_B_SKIPPED]);
	GR_LIST_EACH(w, &j->batch->c->workers, struct gr_worker, link) {
		struct gr_buf f = { 0 };
		struct gr_bworker *bw = w->batch;
		uint64_t *key = bw ? gr_map_del(&bw->specs, &j->id, sizeof(j->id)) : NULL;

		if (!key)
			continue;
		free(key);
		gr_session_encode(&f, GR_MSG_SESSION_CLOSE, j->id, 0);
		gr_peers_send(j->batch->c, w->peer, &f);
	}
	if (own) {
		struct gr_pend *p = gr_pend_new(j->batch);

		p->job = j->id;
		p->settles = true;
		gr_pend_event(p, "job.state", ended_event(j));
		gr_pend_commit(p, own, false);
	} else if (j->batch->pend) {
		j->batch->pend->settles = true;
		gr_pend_event(j->batch->pend, "job.state", ended_event(j));
	}
}

void gr_bj_remove(struct gr_bj *j, struct gr_store_tx *tx)
{
	static const enum gr_store_sql all[] = { GR_SQL_RM_JOB, GR_SQL_RM_ATTEMPTS, GR_SQL_RM_OUTCOMES, GR_SQL_RM_OUTPUTS, GR_SQL_SECRET_RM };

	for (size_t i = 0; i < GR_LEN(all); i++)
		gr_store_add(tx, all[i], (int64_t)j->id);
	gr_bj_free(&j);
}

/* Jobs that are over for long enough go; those that nobody looked at are put away; deadlines. */
static void look_at(struct gr_batch *b, struct gr_bj *j, uint64_t now_ns, int64_t now_ms)
{
	uint64_t keep = j->spec && j->spec->keep_ms ? j->spec->keep_ms : (uint64_t)b->c->cfg.keep_jobs_ms;

	if (j->state != GR_J_OPEN) {
		if (now_ms - j->ended_ms > (int64_t)keep) {
			struct gr_store_tx *tx = gr_store_tx_new(b->store);

			gr_info("batch", "job %" PRIu64 " (%s) is removed: over for longer than it is kept", j->id, j->name);
			gr_bj_remove(j, tx);
			gr_store_commit(&tx, false, NULL, NULL);
		} else if (j->spec && now_ns - j->used_ns > IDLE_NS) {
			unload(j);
		}
		return;
	}
	gr_bjob_tick(&j->b, now_ns);
	if (j->spec->deadline_ms && now_ms > j->spec->deadline_ms && !j->b.is_cancelled && !j->b.is_stopping) {
		gr_info("batch", "job %" PRIu64 " (%s) has reached its deadline", j->id, j->name);
		free(j->reason);
		j->reason = gr_xstrdup("its deadline passed");
		j->b.is_stopping = true;
		gr_bjob_cancel(&j->b, GR_BC_DEADLINE);
		gr_bj_settle(j, NULL);
	}
}

static void on_tick(void *ctx)
{
	struct gr_batch *b = ctx;
	uint64_t now_ns = gr_coord_now(b->c);
	int64_t now_ms = (int64_t)gr_clock_real_ms();
	struct gr_bj **all;
	struct gr_bj *j;
	size_t i = 0, n = 0;

	gr_run_tick(b);
	gr_watch_tick(b);
	all = gr_xalloc((b->jobs.n + 1) * sizeof(struct gr_bj *));
	while ((j = gr_map_each(&b->jobs, &i)))
		if (j->is_committed)
			all[n++] = j;
	for (i = 0; i < n; i++)
		look_at(b, all[i], now_ns, now_ms);
	free(all);
}

/* ---- open and close ---- */

static void on_damage(void *ctx, const char *text)
{
	struct gr_batch *b = ctx;

	gr_error("batch", "%s", text);
	b->c->exit_rc = GR_ECORRUPT;
	gr_loop_stop(b->c->loop);
}

static const struct gr_store_ops store_ops = { .on_damage = on_damage };

int gr_batch_open(struct gr_coord *c, struct gr_err *err)
{
	struct gr_digest commands;
	struct gr_batch *b;
	char path[4200];
	int rc;

	GR_NEW(b);
	c->batch = b;
	b->c = c;
	b->log_fd = -1;
	b->jobs.seed = gr_rng_u64(gr_loop_rng(c->loop));
	b->tenants.seed = gr_rng_u64(gr_loop_rng(c->loop));
	gr_trust_init(&b->trust, gr_rng_u64(gr_loop_rng(c->loop)));
	gr_list_init(&b->watchers);
	gr_list_init(&b->uploads);
	gr_list_init(&b->outboxes);
	gr_list_init(&b->waits);
	gr_list_init(&b->asked);
	b->settle_until_ns = gr_coord_now(c) + (uint64_t)c->cfg.settle_ms * GR_NS_PER_MS;
	gr_sha256_of("griddle commands", 16, &commands);
	rc = gr_place_env(c->place, &commands);
	if (rc < 0)
		return gr_err_set(err, rc, "placement takes no environment");
	b->commands_env = (uint32_t)rc;
	gr_place_env_hold(c->place, b->commands_env, true);
	snprintf(path, sizeof(path), "%s/blobs", c->cfg.state);
	rc = gr_cas_open(path, (uint64_t)c->cfg.job_bytes, &b->cas, err);
	if (rc < 0)
		return gr_err_wrap(err, "blobs");
	if (c->cfg.history) {
		b->log_fd = open(c->cfg.history, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
		if (b->log_fd < 0)
			return gr_err_set(err, gr_err_errno(errno), "history: %s cannot be opened", c->cfg.history);
		gr_history(b, "start", 0, -1, 0, "");
	}
	rc = gr_store_open(c->loop, c->cfg.state, &store_ops, b, &b->store, err);
	if (rc >= 0)
		rc = load_all(b, err);
	if (rc < 0)
		return rc;
	b->tick = gr_timer_start(c->loop, TICK_MS, TICK_MS, on_tick, b);
	return 0;
}

void gr_batch_close(struct gr_coord *c)
{
	struct gr_batch *b = c->batch;
	struct gr_tenant_row *t;
	struct gr_bj *j;
	size_t i;

	if (!b)
		return;
	b->is_closing = true;
	gr_timer_stop(&b->tick);
	gr_store_close(&b->store);
	gr_ops_close(b);
	gr_watch_close(b);
	gr_bblobs_close(b);
	while (i = 0, (j = gr_map_each(&b->jobs, &i)))
		gr_bj_free(&j);
	gr_map_fini(&b->jobs);
	while (i = 0, (t = gr_map_each(&b->tenants, &i))) {
		gr_map_del(&b->tenants, t->name, strlen(t->name));
		free(t);
	}
	gr_map_fini(&b->tenants);
	gr_trust_fini(&b->trust);
	gr_cas_close(&b->cas);
	gr_buf_fini(&b->scratch);
	if (b->log_fd >= 0)
		close(b->log_fd);
	free(b);
	c->batch = NULL;
}

void gr_batch_stats(const struct gr_coord *c, struct gr_batch_stats *out)
{
	const struct gr_batch *b = c->batch;
	struct gr_cas_stats cas;
	struct gr_bj *j;
	size_t i = 0;

	memset(out, 0, sizeof(*out));
	if (!b)
		return;
	while ((j = gr_map_each(&b->jobs, &i))) {
		out->n_jobs++;
		out->n_open += j->state == GR_J_OPEN;
		for (int k = 0; k < GR_B_N; k++)
			out->counts[k] += j->spec ? j->b.states.count[k] : j->counts[k];
	}
	out->submitted = b->submitted;
	out->attempts = b->attempts;
	out->fenced = b->fenced;
	out->adopted = b->adopted;
	memcpy(out->causes, b->causes, sizeof(out->causes));
	out->cpu_us = b->cpu_us;
	out->wasted_us = b->wasted_us;
	out->in_bytes = b->in_bytes;
	out->out_bytes = b->out_bytes;
	out->trouble = gr_store_trouble(b->store);
	gr_store_stats(b->store, &out->store);
	gr_cas_stats(b->cas, &cas);
	out->blobs = cas.n_blobs;
	out->blob_bytes = cas.bytes;
}
