/* batch_ops.c - questions about jobs: one row an operation; see batch.h and docs/protocol.md
 *
 * An operation answers at once, or through what waits for a commit. Whose job it is: on a wire with keys, a client sees
 * and changes jobs its own key submitted, an admin all.
 */
#include "coordinator/batch_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"

#define MAX_FLOOR (UINT32_MAX / 2)         /* of attempt numbers: after 32,767 retries and restarts of the coordinator */

struct ask {
	struct gr_batch *b;
	const struct gr_batch_who *who;
	const json_t *req;
	gr_batch_done *fn;
	void *ctx;
	struct gr_err err;
	json_t *more;                     /* members for an error */
};

static int64_t num(const struct ask *a, const char *key, int64_t def)
{
	const json_t *v = json_object_get(a->req, key);

	return json_is_integer(v) ? json_integer_value(v) : def;
}

static const char *text(const struct ask *a, const char *key)
{
	return json_string_value(json_object_get(a->req, key));
}

static bool may(const struct ask *a, const struct gr_bj *j)
{
	return a->who->is_admin || !a->b->c->cfg.keys || !strcmp(a->who->name, j->owner);
}

/* The job that is asked for, loaded when @is_whole. NULL with a->err. */
static struct gr_bj *job_of(struct ask *a, bool is_whole)
{
	int64_t id = num(a, "job", 0);
	struct gr_bj *j = id > 0 ? gr_bj_find(a->b, (uint64_t)id) : NULL;

	if (!j || !j->is_committed || !may(a, j)) {
		gr_err_set(&a->err, id > 0 ? GR_ENOENT : GR_EUSAGE, id > 0 ? "there is no job %" PRId64 : "\"job\" is wanted: a number", id);
		return NULL;
	}
	if (is_whole && gr_bj_load(j, &a->err) < 0)
		return NULL;
	return j;
}

/* ---- submit ---- */

static int decode64(const char *s, struct gr_buf *out)
{
	uint32_t v = 0, n = 0;

	for (; *s && *s != '='; s++) {
		static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
		const char *at = strchr(all, *s);

		if (!at)
			return GR_EINVAL;
		v = v << 6 | (uint32_t)(at - all);
		if (++n % 4 == 0 || n % 4 == 2 || n % 4 == 3)
			gr_buf_add_byte(out, (uint8_t)(n % 4 == 2 ? v >> 4 : n % 4 == 3 ? v >> 2 : v));
	}
	return n % 4 == 1 ? GR_EINVAL : 0;
}

static json_t *read_spec(struct ask *a)
{
	const char *hex = text(a, "spec_blob");
	struct gr_buf body = { 0 };
	struct gr_digest d;
	json_t *spec = json_object_get(a->req, "spec");
	int rc;

	if (!hex) {
		if (!spec)
			gr_err_set(&a->err, GR_EUSAGE, "\"spec\" or \"spec_blob\" is wanted");
		return json_incref(spec);
	}
	rc = gr_digest_parse(hex, &d);
	if (rc < 0) {
		gr_err_set(&a->err, GR_EINVAL, "spec_blob: must be a digest");
		return NULL;
	}
	rc = gr_cas_read(a->b->cas, &d, GR_WIRE_MAX_SPEC_BYTES, &body);
	spec = NULL;
	if (rc == GR_ENOENT) {
		gr_err_set(&a->err, rc, "its description is not here");
		a->more = json_pack("{s:[s]}", "missing", hex);
	} else if (rc < 0) {
		gr_err_set(&a->err, rc, "spec_blob: %s", gr_err_text(rc));
	} else if (gr_json_decode_max(gr_buf_slice(&body), GR_WIRE_MAX_SPEC_BYTES, &spec, &a->err) < 0) {
		spec = NULL;
	}
	gr_buf_fini(&body);
	return spec;
}

static struct gr_bj *by_token(struct gr_batch *b, const char *token)
{
	struct gr_bj *j;
	size_t i = 0;

	while ((j = gr_map_each(&b->jobs, &i)))
		if (j->token && !strcmp(j->token, token))
			return j;
	return NULL;
}

/* Each secret a stage names must have come, and is stored. */
static int take_secrets(struct ask *a, const struct gr_spec *spec, uint64_t id, struct gr_store_tx *tx)
{
	const json_t *given = json_object_get(a->req, "secrets"), *v;
	struct gr_buf value = { 0 };
	const char *name;
	json_t *s;
	size_t i;

	for (uint32_t k = 0; k < spec->n_stages; k++)
		json_array_foreach(spec->stages[k].secrets, i, v)
			if (!json_is_string(json_object_get(given, json_string_value(v))))
				return gr_err_set(&a->err, GR_EINVAL, "stages[%u].secrets[%zu]: the value of \"%s\" did not come along", k, i,
						  json_string_value(v));
	json_object_foreach((json_t *)given, name, s) {
		gr_buf_clear(&value);
		if (!json_is_string(s) || decode64(json_string_value(s), &value) < 0 || value.n > GR_WIRE_MAX_STR_BYTES) {
			gr_buf_fini(&value);
			return gr_err_set(&a->err, GR_EINVAL, "secrets.%.60s: must be base64, at most %u bytes", name, GR_WIRE_MAX_STR_BYTES);
		}
		if (tx)
			gr_store_add(tx, GR_SQL_SECRET, (int64_t)id, name, gr_buf_slice(&value));
	}
	if (value.p)
		memset(value.p, 0, value.cap);
	gr_buf_fini(&value);
	return 0;
}

static void op_submit(struct ask *a)
{
	const char *token = text(a, "token");
	bool is_dry = json_is_true(json_object_get(a->req, "dry_run"));
	struct gr_batch *b = a->b;
	struct gr_spec *spec = NULL;
	struct gr_store_tx *tx;
	struct gr_pend *p;
	struct gr_bj *j;
	json_t *json = NULL, *missing;
	char *spec_text;

	if (token && (strlen(token) > 64 || !*token)) {
		gr_err_set(&a->err, GR_EINVAL, "token: 1 to 64 bytes");
		return;
	}
	j = token ? by_token(b, token) : NULL;
	if (j && may(a, j)) {
		/* the same once more: confirmed behind the first, which may still be on its way */
		p = gr_pend_new(b);
		p->fn = a->fn;
		p->ctx = a->ctx;
		p->job = j->id;
		p->confirms = true;
		p->rep = json_pack("{s:I, s:I, s:b}", "job", (json_int_t)j->id, "n_tasks", (json_int_t)j->n_tasks, "existing", 1);
		gr_pend_commit(p, gr_store_tx_new(b->store), false);
		a->fn = NULL;
		return;
	}
	json = read_spec(a);
	if (!json || gr_spec_parse(json, &spec, &a->err) < 0)
		goto out;
	/* before files are asked for, which could not be kept either */
	if (gr_store_trouble(b->store)) {
		gr_err_set(&a->err, GR_ENOSPACE, "nothing can be stored now: %s", gr_store_trouble(b->store));
		goto out;
	}
	missing = json_array();
	if (!is_dry && gr_bblobs_missing(b, spec, missing, &a->err)) {
		a->more = json_pack("{s:o}", "missing", missing);
		goto out;
	}
	json_decref(missing);
	if (is_dry) {
		if (take_secrets(a, spec, 0, NULL) >= 0) {
			a->fn(a->ctx, json_pack("{s:i, s:I, s:b}", "job", 0, "n_tasks", (json_int_t)spec->n_tasks, "existing", 0), NULL);
			a->fn = NULL;
		}
		goto out;
	}
	if (b->next_job > GR_WIRE_MAX_JOB) {
		gr_err_set(&a->err, GR_ELIMIT, "no job numbers are left");
		goto out;
	}
	tx = gr_store_tx_new(b->store);
	j = gr_bj_new(b, b->next_job);
	j->token = token ? gr_xstrdup(token) : NULL;
	j->name = gr_xstrdup(spec->name);
	j->tenant = gr_xstrdup(spec->tenant);
	j->owner = gr_xstrdup(a->who->name);
	j->priority = spec->priority;
	j->submitted_ms = (int64_t)gr_clock_real_ms();
	spec_text = json_dumps(json, JSON_COMPACT);
	if (take_secrets(a, spec, j->id, tx) < 0 || gr_bj_begin(j, &spec, &a->err) < 0 || gr_bj_join_placement(j) < 0) {
		if (!a->err.code)
			gr_err_set(&a->err, GR_ELIMIT, "placement takes no more jobs");
		gr_store_drop(&tx);
		free(spec_text);
		gr_bj_free(&j);
		goto out;
	}
	b->next_job++;
	gr_bj_pin_spec(j, j->spec);
	if (j->spec->n_blobs)
		gr_store_files_named(b->store);
	gr_store_add(tx, GR_SQL_META, "next_job", (int64_t)b->next_job);
	gr_store_add(tx, GR_SQL_JOB, (int64_t)j->id, j->token, spec_text, j->name, j->tenant, (int64_t)j->priority, (int64_t)j->n_tasks, j->submitted_ms,
		     (int64_t)j->floor, j->owner);
	free(spec_text);
	p = gr_pend_new(b);
	p->job = j->id;
	p->fn = a->fn;
	p->ctx = a->ctx;
	p->rep = json_pack("{s:I, s:I, s:b}", "job", (json_int_t)j->id, "n_tasks", (json_int_t)j->n_tasks, "existing", 0);
	a->fn = NULL;
	b->pend = p;
	gr_bjob_open(&j->b);                      /* what is ready is offered when it is on disk */
	b->pend = NULL;
	gr_pend_event(p, "job.submitted", gr_show_summary(j));
	p->is_submit = true;
	gr_pend_commit(p, tx, true);
out:
	json_decref(json);
	gr_spec_free(&spec);
}

/* ---- looking ---- */

static void done(struct ask *a, json_t *rep)
{
	a->fn(a->ctx, rep, NULL);
	a->fn = NULL;
}

static void op_have(struct ask *a)
{
	const json_t *list = json_object_get(a->req, "digests"), *v;
	json_t *missing;
	struct gr_digest d;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > 10000) {
		gr_err_set(&a->err, GR_EUSAGE, "\"digests\" must be a list of at most 10000");
		return;
	}
	missing = json_array();
	json_array_foreach(list, i, v)
		if (!json_is_string(v) || gr_digest_parse(json_string_value(v), &d) < 0 || !gr_cas_has(a->b->cas, &d))
			json_array_append(missing, (json_t *)v);
	done(a, json_pack("{s:o}", "missing", missing));
}

static int by_id(const void *x, const void *y)
{
	const struct gr_bj *a = *(struct gr_bj *const *)x, *b = *(struct gr_bj *const *)y;

	return a->id < b->id ? -1 : a->id > b->id;
}

/* Those of gr_bj_state_name. */
static bool is_job_state(struct ask *a, const char *state)
{
	static const char *const states[] = { "queued", "running", "paused", "cancelling", "done", "failed", "cancelled" };
	struct gr_buf all = { 0 };

	for (size_t i = 0; i < GR_LEN(states); i++) {
		if (!strcmp(states[i], state)) {
			gr_buf_fini(&all);
			return true;
		}
		gr_buf_printf(&all, "%s%s", i ? ", " : "", states[i]);
	}
	gr_err_set(&a->err, GR_EUSAGE, "\"%.40s\" is no state of a job; there are %s", state, gr_buf_str(&all));
	gr_buf_fini(&all);
	return false;
}

static void op_ls(struct ask *a)
{
	int64_t after = num(a, "after", 0), limit = num(a, "limit", 100);
	const char *state = text(a, "state"), *tenant = text(a, "tenant");
	bool newest = json_is_true(json_object_get(a->req, "newest"));
	struct gr_bj **all, *j;
	json_t *list, *rep;
	size_t i = 0, n = 0;
	int64_t next = 0;

	if (state && !is_job_state(a, state))
		return;
	all = gr_xalloc((a->b->jobs.n + 1) * sizeof(struct gr_bj *));
	list = json_array();
	if (limit < 1 || limit > 1000)
		limit = 1000;
	while ((j = gr_map_each(&a->b->jobs, &i)))
		if (j->is_committed && may(a, j) && (!tenant || !strcmp(tenant, j->tenant)) && (!state || !strcmp(state, gr_bj_state_name(j))) &&
		    (!after || (newest ? (int64_t)j->id < after : (int64_t)j->id > after)))
			all[n++] = j;
	qsort(all, n, sizeof(struct gr_bj *), by_id);
	for (i = 0; i < n && json_array_size(list) < (size_t)limit; i++) {
		j = newest ? all[n - 1 - i] : all[i];
		json_array_append_new(list, gr_show_summary(j));
		next = (int64_t)j->id;
	}
	rep = json_pack("{s:o}", "jobs", list);
	if (i < n)
		json_object_set_new(rep, "next", json_integer(next));
	free(all);
	done(a, rep);
}

static void op_show(struct ask *a)
{
	struct gr_bj *j = job_of(a, true);

	if (j)
		done(a, gr_show_job(j));
}

static void no_task_state(struct ask *a, const char *state)
{
	struct gr_buf all = { 0 };

	for (int i = 0; i < GR_B_N; i++)
		gr_buf_printf(&all, "%s, ", gr_bstate_name((enum gr_bstate)i));
	gr_err_set(&a->err, GR_EUSAGE, "\"%.40s\" is no state of a task; there are %s" GR_SHOW_SENT, state, gr_buf_str(&all));
	gr_buf_fini(&all);
}

static void op_task_ls(struct ask *a)
{
	struct gr_bj *j = job_of(a, true);
	int64_t after = num(a, "after", -1), limit = num(a, "limit", 100);
	const char *state = text(a, "state");
	int want = state && !strcmp(state, GR_SHOW_SENT) ? GR_B_RUNNING : state ? gr_bstate_parse(state) : 0;
	uint32_t mask = !state ? (1u << GR_B_N) - 1 : want == GR_B_READY ? 1u << GR_B_READY | 1u << GR_B_RUNNING : want >= 0 ? 1u << want : 0;
	bool is_shared = mask >> GR_B_RUNNING & 1 && state;      /* several are shown of that one */
	uint32_t first, n, at;
	json_t *list, *rep;

	if (!j)
		return;
	if (state && want < 0) {
		no_task_state(a, state);
		return;
	}
	if (limit < 1 || limit > 1000)
		limit = 1000;
	list = json_array();
	at = after < 0 ? 0 : after >= (int64_t)j->n_tasks ? j->n_tasks : (uint32_t)after + 1;
	while (json_array_size(list) < (size_t)limit && (n = gr_states_run(&j->b.states, at, j->n_tasks, mask, &first, NULL)))
		for (at = first; at < first + n && json_array_size(list) < (size_t)limit; at++)
			if (!is_shared || !strcmp(gr_show_state(j, at), state))
				json_array_append_new(list, gr_show_task_row(j, at));
	rep = json_pack("{s:o}", "tasks", list);
	if (gr_states_run(&j->b.states, at, j->n_tasks, mask, &first, NULL))
		json_object_set_new(rep, "next", json_integer((json_int_t)at - 1));
	done(a, rep);
}

static void op_task_show(struct ask *a)
{
	struct gr_bj *j = job_of(a, true);
	int64_t task = num(a, "task", -1);

	if (!j)
		return;
	if (task < 0 || task >= (int64_t)j->n_tasks)
		gr_err_set(&a->err, GR_ENOENT, "job %" PRIu64 " has no task %" PRId64 "; it has %u", j->id, task, j->n_tasks);
	else
		done(a, gr_show_task(j, (uint32_t)task));
}

static void op_usage(struct ask *a)
{
	int64_t job = num(a, "job", 0);

	if (job && !job_of(a, false))
		return;
	if (!job && a->b->c->cfg.keys && !a->who->is_admin) {
		gr_err_set(&a->err, GR_EROLE, "usage of all jobs is for admins; name a job");
		return;
	}
	done(a, json_pack("{s:o}", "rows", gr_store_usage(a->b->store, text(a, "tenant"), job)));
}

/* ---- changing ---- */

/* Answers with the job's state once it is on disk. */
static void answer_stored(struct ask *a, struct gr_bj *j, struct gr_store_tx *tx, struct gr_pend *p, json_t *rep)
{
	p->job = j->id;
	p->fn = a->fn;
	p->ctx = a->ctx;
	p->rep = rep ? rep : json_pack("{s:s}", "state", gr_bj_state_name(j));
	gr_pend_event(p, "job.state", gr_show_summary(j));
	a->fn = NULL;
	gr_pend_commit(p, tx, false);
}

static bool is_open(struct ask *a, const struct gr_bj *j)
{
	if (j->state == GR_J_OPEN)
		return true;
	gr_err_set(&a->err, GR_EEXIST, "job %" PRIu64 " is over: %s", j->id, gr_bj_state_name(j));
	return false;
}

static void op_cancel(struct ask *a)
{
	struct gr_bj *j = job_of(a, true);
	const char *reason = text(a, "reason");
	struct gr_store_tx *tx;
	struct gr_pend *p;

	if (!j || !is_open(a, j))
		return;
	if (j->b.is_cancelled) {
		done(a, json_pack("{s:s}", "state", gr_bj_state_name(j)));
		return;
	}
	tx = gr_store_tx_new(a->b->store);
	p = gr_pend_new(a->b);
	free(j->reason);
	j->reason = gr_xstrdup(reason && *reason ? reason : "cancelled by its owner");
	gr_history(a->b, "cancel", j->id, -1, 0, "");
	a->b->pend = p;
	gr_bjob_cancel(&j->b, GR_BC_CANCELLED);
	gr_store_add(tx, GR_SQL_CANCEL, (int64_t)j->id);
	gr_bj_save_state(j, tx);
	gr_bj_settle(j, tx);
	a->b->pend = NULL;
	answer_stored(a, j, tx, p, NULL);
}

static void set_paused(struct ask *a, bool is_paused)
{
	struct gr_bj *j = job_of(a, true);
	struct gr_store_tx *tx;

	if (!j || !is_open(a, j))
		return;
	j->is_paused = is_paused;
	gr_place_owner_pause(a->b->c->place, j->place_owner, is_paused);
	gr_dispatch_kick(a->b->c);
	tx = gr_store_tx_new(a->b->store);
	gr_bj_save_state(j, tx);
	answer_stored(a, j, tx, gr_pend_new(a->b), NULL);
}

static void op_pause(struct ask *a)
{
	set_paused(a, true);
}

static void op_resume(struct ask *a)
{
	set_paused(a, false);
}

/* What runs in an open job keeps its tries, and the results it has. Return: how many tasks. */
static uint32_t retry_range(struct gr_bj *j, struct gr_store_tx *tx, bool was_open, uint32_t first, uint32_t count)
{
	int64_t end = (int64_t)first + count;

	gr_store_add(tx, GR_SQL_FORGET, (int64_t)j->id, (int64_t)first, end, (int64_t)was_open);
	gr_store_add(tx, GR_SQL_OUTCOME_RM, (int64_t)j->id, (int64_t)first, end);
	return gr_bjob_retry(&j->b, first, count);
}

/* Of a job that goes on in part: what stays cancelled would be taken for what has not run yet by the next life. */
static void keep_cancelled(struct gr_bj *j, struct gr_store_tx *tx)
{
	uint32_t at = 0, first, n;

	while ((n = gr_states_run(&j->b.states, at, j->n_tasks, 1u << GR_B_CANCELLED, &first, NULL))) {
		at = first + n;
		gr_store_add(tx, GR_SQL_OUTCOMES_CANCELLED, (int64_t)j->id, (int64_t)first, (int64_t)at);
	}
}

static bool has_open_again(const struct gr_bj *j, int64_t first, int64_t count)
{
	uint32_t from;

	return gr_states_run(&j->b.states, (uint32_t)first, (uint32_t)(first + count), 1u << GR_B_FAILED | 1u << GR_B_CANCELLED | 1u << GR_B_SKIPPED, &from,
			     NULL);
}

/* Is there anything to begin anew in @ranges, or all? */
static bool has_any_again(const struct gr_bj *j, const json_t *ranges)
{
	const json_t *v;
	size_t i;

	if (!json_array_size(ranges))
		return has_open_again(j, 0, j->n_tasks);
	json_array_foreach(ranges, i, v)
		if (has_open_again(j, json_integer_value(json_array_get(v, 0)), json_integer_value(json_array_get(v, 1))))
			return true;
	return false;
}

/* Of one that is over. Return: whether it may go on; false with a->err. */
static bool may_run_again(struct ask *a, const struct gr_bj *j)
{
	bool is_missing;
	json_t *missing;

	if (j->spec->deadline_ms && (int64_t)gr_clock_real_ms() > j->spec->deadline_ms) {
		gr_err_set(&a->err, GR_EEXIST, "job %" PRIu64 " cannot run again: its deadline has passed; submit it anew with a later one", j->id);
		return false;
	}
	for (uint32_t i = 0; i < j->spec->n_stages; i++)
		if (json_array_size(j->spec->stages[i].secrets)) {
			gr_err_set(&a->err, GR_ENOENT, "job %" PRIu64 " cannot run again: its secrets are not kept when it is over; submit it anew, which brings "
				   "them along", j->id);
			return false;
		}
	missing = json_array();
	is_missing = gr_bblobs_missing(a->b, j->spec, missing, &a->err);
	if (is_missing)
		gr_bj_say_gone(j, missing, &a->err);
	json_decref(missing);
	return !is_missing;
}

static void op_retry(struct ask *a)
{
	struct gr_bj *j = job_of(a, true);
	const json_t *ranges = json_object_get(a->req, "tasks"), *v;
	bool was_open = j && j->state == GR_J_OPEN;
	struct gr_store_tx *tx;
	struct gr_pend *p;
	uint32_t n = 0;
	size_t i;

	if (!j)
		return;
	json_array_foreach(ranges, i, v)
		if (!json_is_integer(json_array_get(v, 0)) || !json_is_integer(json_array_get(v, 1)) || json_integer_value(json_array_get(v, 0)) < 0 ||
		    json_integer_value(json_array_get(v, 1)) < 1 ||
		    json_integer_value(json_array_get(v, 0)) + json_integer_value(json_array_get(v, 1)) > (json_int_t)j->n_tasks) {
			gr_err_set(&a->err, GR_EINVAL, "tasks[%zu]: must be [first, count] within the job's %u tasks", i, j->n_tasks);
			return;
		}
	if (j->state == GR_J_OPEN && (j->b.is_cancelled || j->b.is_stopping)) {
		gr_err_set(&a->err, GR_EBUSY, "job %" PRIu64 " is being cancelled; try again when it is", j->id);
		return;
	}
	if (!has_any_again(j, ranges)) {          /* it stays what it is: one that was cancelled would end anew, as failed */
		done(a, json_pack("{s:i}", "n", 0));
		return;
	}
	if (j->floor > MAX_FLOOR) {
		gr_err_set(&a->err, GR_ELIMIT, "job %" PRIu64 " was taken up too often; submit it again", j->id);
		return;
	}
	if (j->state != GR_J_OPEN) {
		if (!may_run_again(a, j))
			return;
		if (gr_bj_join_placement(j) < 0) {
			gr_err_set(&a->err, GR_ELIMIT, "placement takes no more jobs");
			return;
		}
		gr_bj_pin_spec(j, j->spec);
		j->state = GR_J_OPEN;
		j->ended_ms = 0;
		free(j->reason);
		j->reason = NULL;
	}
	tx = gr_store_tx_new(a->b->store);
	p = gr_pend_new(a->b);
	a->b->pend = p;
	gr_bjob_raise(&j->b);
	if (!json_array_size(ranges))
		n = retry_range(j, tx, was_open, 0, j->n_tasks);
	json_array_foreach(ranges, i, v) {
		n += retry_range(j, tx, was_open, (uint32_t)json_integer_value(json_array_get(v, 0)),
				 (uint32_t)json_integer_value(json_array_get(v, 1)));
	}
	keep_cancelled(j, tx);
	j->floor = gr_bjob_stored_floor(&j->b);
	gr_store_add(tx, GR_SQL_JOB_FLOOR, (int64_t)j->id, (int64_t)j->floor);
	gr_store_add(tx, GR_SQL_UNCANCEL, (int64_t)j->id, (int64_t)j->b.states.count[GR_B_FAILED]);
	gr_bj_save_state(j, tx);
	gr_history(a->b, "retry", j->id, -1, 0, "");
	gr_bj_settle(j, tx);
	a->b->pend = NULL;
	answer_stored(a, j, tx, p, json_pack("{s:i}", "n", (int)n));
}

static void op_rm(struct ask *a)
{
	struct gr_bj *j = job_of(a, false);
	struct gr_pend *p;

	if (!j)
		return;
	if (j->state == GR_J_OPEN) {
		gr_err_set(&a->err, GR_EBUSY, "job %" PRIu64 " is not over: cancel it first", j->id);
		return;
	}
	p = gr_pend_new(a->b);
	p->fn = a->fn;
	p->ctx = a->ctx;
	p->rep = json_object();
	a->fn = NULL;
	gr_history(a->b, "rm", j->id, -1, 0, "");
	gr_bj_remove(j, p);
}

/* ---- care ---- */

static void look_after(struct ask *a, enum gr_care_kind kind)
{
	if (gr_care_ask(a->b, kind, text(a, "name"), a->who->peer, a->fn, a->ctx, &a->err) >= 0)
		a->fn = NULL;
}

static void op_check(struct ask *a) { look_after(a, GR_CARE_CHECK); }
static void op_vacuum(struct ask *a) { look_after(a, GR_CARE_VACUUM); }
static void op_backup(struct ask *a) { look_after(a, GR_CARE_BACKUP); }
static void op_export(struct ask *a) { look_after(a, GR_CARE_EXPORT); }

static const struct {
	const char *op;
	bool is_for_admin;
	void (*fn)(struct ask *a);
} ops[] = {
	{ "blob.have", false, op_have }, { "job.submit", false, op_submit }, { "job.ls", false, op_ls }, { "job.show", false, op_show },
	{ "job.cancel", false, op_cancel }, { "job.pause", false, op_pause }, { "job.resume", false, op_resume }, { "job.retry", false, op_retry },
	{ "job.rm", false, op_rm }, { "task.ls", false, op_task_ls }, { "task.show", false, op_task_show }, { "usage", false, op_usage },
	{ "admin.check", true, op_check }, { "admin.vacuum", true, op_vacuum }, { "admin.backup", true, op_backup }, { "admin.export", true, op_export },
};

bool gr_batch_is_op(const char *op)
{
	for (size_t i = 0; i < GR_LEN(ops); i++)
		if (!strcmp(ops[i].op, op))
			return true;
	return gr_watch_is_op(op);
}

void gr_batch_op(struct gr_coord *c, const struct gr_batch_who *who, const char *op, const json_t *req, gr_batch_done *fn, void *ctx)
{
	struct ask a = { .b = c->batch, .who = who, .req = req, .fn = fn, .ctx = ctx };
	size_t i = 0;

	while (i < GR_LEN(ops) && strcmp(ops[i].op, op))
		i++;
	if (i == GR_LEN(ops))
		gr_err_set(&a.err, GR_EUNSUP, "unknown op \"%.40s\"", op);
	else if (ops[i].is_for_admin && c->cfg.keys && !who->is_admin)
		gr_err_set(&a.err, GR_EROLE, "%s is for admins", op);
	else
		ops[i].fn(&a);
	if (a.fn)
		a.fn(ctx, a.more, &a.err);
	else
		json_decref(a.more);
}

/* ---- over the wire ---- */

struct wire {
	struct gr_list link;
	struct gr_batch *b;
	struct gr_peer *peer;             /* NULL: gone meanwhile */
	json_t *id;
};

static void answer(void *ctx, json_t *rep, const struct gr_err *err)
{
	struct wire *x = ctx;
	struct gr_buf f = { 0 };

	if (!rep)
		rep = json_object();
	if (err) {
		json_object_set_new(rep, "error", json_string(err->text));
		json_object_set_new(rep, "code", json_string(gr_err_name(err->code)));
	}
	if (x->id)
		json_object_set(rep, "id", x->id);
	if (x->peer && !x->b->is_closing) {
		gr_json_encode(&f, GR_MSG_CTL_REP, rep);
		if (gr_peers_send(x->b->c, x->peer, &f) == GR_EBUSY)
			gr_warn("batch", "client %s does not read its answers", gr_peer_name(x->peer));
	}
	json_decref(rep);
	json_decref(x->id);
	gr_list_del(&x->link);
	free(x);
}

void gr_batch_control(struct gr_coord *c, struct gr_peer *peer, const char *op, const json_t *req)
{
	struct gr_batch_who who = { .name = gr_peer_key_name(peer), .is_admin = gr_peer_role(peer) == GR_ROLE_ADMIN, .peer = peer };
	struct wire *x;

	if (gr_watch_is_op(op)) {
		gr_watch_op(c->batch, peer, op, req);
		return;
	}
	GR_NEW(x);
	x->b = c->batch;
	x->peer = peer;
	x->id = json_incref(json_object_get(req, "id"));
	gr_list_init(&x->link);
	gr_list_push(&c->batch->asked, &x->link);
	gr_batch_op(c, &who, op, req, answer, x);
}

void gr_batch_peer_gone(struct gr_coord *c, struct gr_peer *peer)
{
	if (!c->batch)
		return;
	GR_LIST_EACH(x, &c->batch->asked, struct wire, link)
		if (x->peer == peer)
			x->peer = NULL;
	gr_care_peer_gone(c->batch, peer);
	gr_bblobs_peer_gone(c->batch, peer);
	gr_logs_peer_gone(c->batch, peer);
	gr_watch_peer_gone(c->batch, peer);
}

void gr_ops_close(struct gr_batch *b)
{
	GR_LIST_EACH_SAFE(x, &b->asked, struct wire, link) {
		gr_list_del(&x->link);
		json_decref(x->id);
		free(x);
	}
}
