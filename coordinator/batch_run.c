/* batch_run.c - tasks go to workers and come back: offering ranges to placement, COMMANDs, ENDEDs, lost and found attempts
 *
 * The order that makes a result count: the engine of lib/job decides (fence, retry, copies), the rows of it go to the
 * store in one transaction, and only when that is on disk is the worker told, and only then is what became ready
 * offered, so that a task never starts on inputs that a crash could take back. A result that is fenced is confirmed
 * through the same queue: an earlier one of the same attempt may still be on its way to the disk.
 */
#include "coordinator/batch_int.h"
#include "coordinator/http/recent.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define PAUSE_NS (20 * GR_NS_PER_MS)
#define YIELD_MS 10000u
#define UNPLACED UINT64_MAX                /* as placed: an adopted attempt */

static uint64_t node_of(const struct gr_worker *w)
{
	return gr_hash64(w->node, strlen(w->node), 7);
}

/* What trust is kept by besides the worker: the program. */
uint64_t gr_run_toolchain(const struct gr_stage *st)
{
	const char *argv0 = json_string_value(json_array_get(json_object_get(st->json, "argv"), 0));

	return gr_hash64(argv0, strlen(argv0), 11);
}

/* ---- workers ---- */

struct gr_bworker *gr_bworker_of(struct gr_batch *b, struct gr_worker *w)
{
	struct gr_bworker *bw = w->batch;

	if (bw)
		return bw;
	GR_NEW(bw);
	bw->w = w;
	bw->n_refs = 1;
	bw->node = node_of(w);
	bw->specs.seed = gr_rng_u64(gr_loop_rng(b->c->loop));
	bw->ends.seed = gr_rng_u64(gr_loop_rng(b->c->loop));
	w->batch = bw;
	return bw;
}

void gr_bworker_unref(struct gr_bworker **bwp)
{
	struct gr_bworker *bw = *bwp;
	void *key;
	size_t i = 0;

	*bwp = NULL;
	if (!bw || --bw->n_refs)
		return;
	while ((key = gr_map_each(&bw->specs, &i)))
		free(key);
	gr_map_fini(&bw->specs);
	gr_map_fini(&bw->ends);
	free(bw);
}

static int send_to(struct gr_batch *b, struct gr_worker *w, struct gr_buf *f)
{
	return gr_peers_send(b->c, w->peer, f);
}

void gr_run_ack(struct gr_bworker *bw, uint64_t job, uint64_t task, uint32_t attempt)
{
	struct gr_buf f = { 0 };

	if (!bw->w)
		return;
	gr_taskref_encode(&f, GR_MSG_RESULT_ACK, job, task, attempt);
	gr_peers_send(bw->w->coord, bw->w->peer, &f);
}

static void send_stop(struct gr_batch *b, struct gr_worker *w, uint64_t job, uint64_t task, uint32_t attempt, enum gr_stop_how how)
{
	const struct gr_stop_msg m = { job, task, attempt, (uint8_t)how, how == GR_STOP_YIELD ? YIELD_MS : 0 };
	struct gr_buf f = { 0 };

	gr_stop_encode(&f, &m);
	send_to(b, w, &f);
}

/* ---- offering ---- */

/* The request class of a stage's task; GR_ELIMIT. */
static int class_of(struct gr_bj *j, const struct gr_stage *st, uint64_t mem_bytes)
{
	struct gr_place *p = j->batch->c->place;
	struct gr_place_class k;
	const json_t *v;
	size_t i;

	memset(&k, 0, sizeof(k));
	k.env = j->batch->commands_env;
	k.need.v[GR_PLACE_CPU_MCPU] = st->cpu_mcpu;
	k.need.v[GR_PLACE_MEM_MIB] = (uint32_t)((mem_bytes + (1 << 20) - 1) >> 20);
	k.need.v[GR_PLACE_DISK_MIB] = (uint32_t)((st->disk_bytes + (1 << 20) - 1) >> 20);
	k.need.v[GR_PLACE_GPU_MILLI] = st->gpu_milli;
	k.left_ms = st->left_ms;
	for (uint32_t t = 0; t < st->n_terms && t < GR_PLACE_MAX_TERMS; t++) {
		const struct gr_term *from = &st->terms[t];
		struct gr_place_term *to = &k.term[t];
		int rc;

		to->op = !strcmp(from->op, "in") ? GR_PLACE_IN : !strcmp(from->op, "not_in") ? GR_PLACE_NOT_IN :
			 !strcmp(from->op, "exists") ? GR_PLACE_EXISTS : GR_PLACE_ABSENT;
		if (to->op == GR_PLACE_EXISTS || to->op == GR_PLACE_ABSENT) {
			rc = gr_place_label_key(p, from->label);
			to->key = rc > 0 ? (uint32_t)rc : 0;
		} else {
			rc = 0;
			json_array_foreach(from->values, i, v) {
				if (i >= GR_PLACE_MAX_TERM_VALUES)
					break;
				rc = gr_place_label(p, from->label, json_string_value(v));
				if (rc < 0)
					break;
				to->label[to->n++] = (uint32_t)rc;
			}
		}
		if (rc < 0)
			return rc;
	}
	json_array_foreach(st->prefer, i, v) {
		const char *value = json_string_value(json_object_get(v, "value"));
		const json_t *permille = json_object_get(v, "permille");
		int rc = gr_place_label(p, json_string_value(json_object_get(v, "label")), value ? value : "");

		if (i >= GR_PLACE_MAX_PREFER || rc < 0)
			break;
		k.prefer[i].label = (uint32_t)rc;
		k.prefer[i].permille = permille ? (int32_t)json_integer_value(permille) : 200;
	}
	if (st->spread_by) {
		k.spread_by = !strcmp(st->spread_by, "worker") ? GR_PLACE_BY_WORKER : !strcmp(st->spread_by, "node") ? GR_PLACE_BY_NODE : GR_PLACE_BY_ZONE;
		k.spread_max = st->spread_max;
		k.is_spread_soft = st->is_spread_soft;
		k.spread_ms = st->is_spread_soft ? 60000 : 0;
	}
	return gr_place_class(p, &k);
}

static uint64_t mem_of(const struct gr_stage *st, const struct gr_btask *t)
{
	return t && t->mem_permille != 1000 ? st->mem_bytes / 1000 * t->mem_permille : st->mem_bytes;
}

/* Copies never on one node, as far as placement can be told; begin looks again. */
static void exclude_copies(struct gr_bj *j, const struct gr_btask *t, struct gr_place_task *p)
{
	GR_LIST_EACH(w, &j->batch->c->workers, struct gr_worker, link) {
		uint64_t node = node_of(w);
		bool is_used = false;
		int id;

		for (uint32_t i = 0; i < t->n_lives; i++)
			is_used = is_used || t->lives[i].node == node;
		for (uint32_t i = 0; i < t->n_results; i++)
			is_used = is_used || t->results[i].node == node;
		if (!is_used || p->n_exclude_node == GR_PLACE_MAX_EXCLUDES)
			continue;
		id = gr_place_node(j->batch->c->place, w->node);
		for (uint32_t i = 0; i < p->n_exclude_node && id >= 0; i++)
			if (p->exclude_node[i] == (uint32_t)id)
				id = -1;
		if (id >= 0)
			p->exclude_node[p->n_exclude_node++] = (uint32_t)id;
	}
}

static void queue_range(struct gr_bj *j, struct gr_jrange *r)
{
	struct gr_coord *c = j->batch->c;

	r->queued = gr_place_ready(c->place, gr_coord_now(c), &r->place);
	if (r->queued < 0)
		gr_warn("batch", "job %" PRIu64 ": %u tasks cannot be queued now: %s", j->id, r->n_left, gr_err_text((int)r->queued));
	gr_dispatch_kick(c);
}

/* One stage, all the same. @t: the record of a single one, or NULL. */
static void offer_run(struct gr_bj *j, const struct gr_stage *st, uint32_t first, uint32_t count, struct gr_btask *t)
{
	struct gr_jrange *r;
	int class = class_of(j, st, mem_of(st, t));

	GR_NEW(r);
	r->n_left = count;
	r->place = (struct gr_place_task){
		.tag = j->id << 1 | 1, .owner = j->place_owner, .class = class > 0 ? (uint32_t)class : 0, .first = first, .count = count,
		.is_gang = st->is_gang && count == st->count,
		.family = gr_hash64(st->name, strlen(st->name), gr_hash64(&j->id, sizeof(j->id), 3)),
	};
	if (t && st->replicas)
		exclude_copies(j, t, &r->place);
	gr_list_push(&j->ranges, &r->link);
	r->queued = GR_ELIMIT;
	if (class >= 0)
		queue_range(j, r);
}

void gr_run_offer(struct gr_bj *j, uint32_t first, uint32_t count, struct gr_btask *t)
{
	uint32_t at = first, end = first + count, n, from;

	if (!j->has_owner || j->state != GR_J_OPEN)
		return;
	if (t && t->n_queued) {                   /* another copy of a task that runs already */
		const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, first)];

		offer_run(j, st, first, 1, t);
		return;
	}
	/* what waited for a commit may have changed meanwhile */
	while (at < end && (n = gr_states_run(&j->b.states, at, end, 1u << GR_B_READY, &from, NULL))) {
		const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, from)];

		if (from + n > st->first + st->count)
			n = st->first + st->count - from;
		offer_run(j, st, from, n, count == 1 ? gr_bjob_find(&j->b, from) : NULL);
		at = from + n;
	}
}

static void range_free(struct gr_bj *j, struct gr_jrange *r)
{
	if (r->queued >= 0 && r->n_left)
		gr_place_cancel(j->batch->c->place, r->queued);
	gr_list_del(&r->link);
	free(r);
}

void gr_run_drop_ranges(struct gr_bj *j)
{
	GR_LIST_EACH_SAFE(r, &j->ranges, struct gr_jrange, link)
		range_free(j, r);
}

/* ---- what the engine says ---- */

static void on_ready(void *ctx, uint32_t first, uint32_t count, struct gr_btask *t)
{
	struct gr_bj *j = ctx;
	struct gr_pend *p = j->batch->pend;

	if (!p) {
		gr_run_offer(j, first, count, t);
		return;
	}
	p->ready = gr_xrealloc(p->ready, (p->n_ready + 1) * sizeof(*p->ready));
	p->ready[p->n_ready].first = first;
	p->ready[p->n_ready].count = count;
	p->ready[p->n_ready++].is_single = t != NULL;
}

/* All of a closed job; of a single one the decision that still comes is given back. */
static void on_withdrawn(void *ctx, uint32_t first, uint32_t count)
{
	struct gr_bj *j = ctx;

	(void)first, (void)count;
	if (j->b.is_cancelled || j->b.is_stopping)
		gr_run_drop_ranges(j);
}

static void on_ended_unrun(void *ctx, uint32_t first, uint32_t count, enum gr_bstate state)
{
	struct gr_bj *j = ctx;

	j->is_dirty = true;
	j->batch->ended_counts[state] += count;
	gr_history(j->batch, gr_bstate_name(state), j->id, first, count, "run");
}

static void on_stop(void *ctx, struct gr_btask *t, struct gr_blive *l, enum gr_bcause why)
{
	struct gr_bj *j = ctx;

	if (!l->peer || l->stopping == GR_STOP_CANCEL)
		return;
	l->stopping = GR_STOP_CANCEL;
	l->stop_cause = why;
	send_stop(j->batch, l->peer, j->id, t->task, l->number, GR_STOP_CANCEL);
}

const struct gr_bjob_ops gr_batch_job_ops = { .ready = on_ready, .withdrawn = on_withdrawn, .ended = on_ended_unrun, .stop = on_stop };

/* ---- COMMAND ---- */

static json_t *stage_for_worker(const struct gr_stage *st)
{
	static const char *const unneeded[] = { "array", "after", "constraints", "prefer", "spread", "retry", "quorum", "resources", "secrets" };
	json_t *o = json_copy((json_t *)st->json), *names, *axis;
	size_t i;

	for (i = 0; i < GR_LEN(unneeded); i++)
		json_object_del(o, unneeded[i]);
	json_object_set_new(o, "name", json_string(st->name));
	json_object_set_new(o, "count", json_integer(st->count));
	if (st->array == GR_ARRAY_MATRIX) {
		names = json_array();
		json_array_foreach(st->list, i, axis)
			json_array_append(names, json_array_get(axis, 0));
		json_object_set_new(o, "names", names);
	}
	return o;
}

static int send_spec(struct gr_bj *j, struct gr_bworker *bw)
{
	struct gr_buf copy = { 0 };
	uint64_t *key;
	int rc;

	if (gr_map_get(&bw->specs, &j->id, sizeof(j->id)))
		return 0;
	if (!j->spec_frame.n) {
		json_t *list = json_array(), *o;

		for (uint32_t i = 0; i < j->spec->n_stages; i++)
			json_array_append_new(list, stage_for_worker(&j->spec->stages[i]));
		o = json_pack("{s:I, s:s, s:o}", "job", (json_int_t)j->id, "name", j->name, "stages", list);
		gr_json_encode(&j->spec_frame, GR_MSG_SPEC, o);
		json_decref(o);
	}
	gr_buf_add(&copy, j->spec_frame.p, j->spec_frame.n);
	rc = send_to(j->batch, bw->w, &copy);
	if (rc < 0)
		return rc;
	GR_NEW(key);
	*key = j->id;
	gr_map_put(&bw->specs, key, sizeof(*key), key);
	return 0;
}

struct inputs {
	struct gr_buf *raw;
	uint32_t *n;
	const struct gr_from *from;       /* NULL: the checkpoint */
	const struct gr_stage *source;
};

/* Where another task's output @r goes: at the path asked for, or below it. */
static int add_input(void *ctx, const struct gr_store_output_row *r)
{
	struct inputs *x = ctx;
	struct gr_placed_file f = { .kind = (uint8_t)r->kind, .mode = (uint16_t)r->mode };
	const json_t *declared = x->source ? json_array_get(json_object_get(x->source->json, "outputs"), (size_t)r->index) : NULL;
	const char *wanted = x->from ? x->from->output : NULL, *rest = r->path;
	struct gr_buf path = { 0 };

	if (x->from ? r->index == GR_WIRE_CHECKPOINT : r->index != GR_WIRE_CHECKPOINT)
		return 0;
	if (wanted && (!declared || strcmp(json_string_value(json_object_get(declared, "path")), wanted)))
		return 0;
	if (x->from) {
		gr_buf_add_str(&path, x->from->path);
		if (!x->from->is_each)
			gr_buf_printf(&path, "/%" PRId64, r->task - (x->source ? x->source->first : 0));
		if (!x->from->is_each || !wanted) {
			gr_buf_add_byte(&path, '/');
			gr_buf_add_str(&path, r->path);
		} else {
			/* the declared output's own path is replaced; what lies below a folder stays below */
			size_t n = strlen(wanted);

			rest = strchr(wanted, '{') ? "" : !strncmp(r->path, wanted, n) ? r->path + n : "";
			gr_buf_add_str(&path, rest);
		}
	} else {
		gr_buf_add_str(&path, r->path);
	}
	f.path = gr_buf_slice(&path);
	f.item.size = (uint64_t)r->size;
	if (r->digest.n == GR_DIGEST_BYTES)
		memcpy(f.item.digest.b, r->digest.p, GR_DIGEST_BYTES);
	f.target = gr_slice_str(r->target ? r->target : "");
	gr_placed_add(x->raw, x->n, &f, false);
	gr_buf_fini(&path);
	return 0;
}

static int64_t last_checkpoint(struct gr_bj *j, uint32_t task);

static int add_inputs(struct gr_bj *j, const struct gr_stage *st, const struct gr_btask *t, uint32_t task, struct gr_buf *raw, uint32_t *n)
{
	struct inputs x = { raw, n, NULL, NULL };
	int rc = 0;

	for (uint32_t i = 0; i < st->n_from && rc >= 0; i++) {
		x.from = &st->from[i];
		x.source = &j->spec->stages[x.from->stage];
		if (x.from->is_each)
			rc = gr_store_each_output(j->batch->store, (int64_t)j->id, x.source->first + (task - st->first),
						  x.source->first + (task - st->first) + 1, 0, add_input, &x);
		else
			rc = gr_store_each_output(j->batch->store, (int64_t)j->id, x.source->first, x.source->first + x.source->count, 0, add_input, &x);
	}
	if (rc >= 0 && t->has_checkpoint) {
		int64_t attempt = last_checkpoint(j, task);

		x.from = NULL;
		if (attempt)
			rc = gr_store_each_output(j->batch->store, (int64_t)j->id, task, (int64_t)task + 1, attempt, add_input, &x);
	}
	return rc;
}

static int find_checkpoint(void *ctx, const struct gr_store_attempt_row *r)
{
	if (r->cause == GR_BC_CHECKPOINT)
		*(int64_t *)ctx = r->attempt;
	return 0;
}

static int64_t last_checkpoint(struct gr_bj *j, uint32_t task)
{
	int64_t attempt = 0;

	return gr_store_each_attempt(j->batch->store, (int64_t)j->id, task, false, find_checkpoint, &attempt) < 0 ? 0 : attempt;
}

struct secrets {
	const struct gr_stage *st;
	struct gr_buf raw;
	uint32_t n;
};

static int add_secret(void *ctx, const char *name, struct gr_slice value)
{
	struct secrets *x = ctx;
	const struct gr_secret s = { gr_slice_str(name), value };

	if (gr_spec_has_secret(x->st, name))
		gr_secret_add(&x->raw, &x->n, &s);
	return 0;
}

static int send_command(struct gr_bj *j, struct gr_bworker *bw, const struct gr_stage *st, struct gr_btask *t, const struct gr_blive *l)
{
	uint32_t task = (uint32_t)t->task, n = 0;
	struct gr_slice values[GR_SPEC_MAX_VALUES];
	struct gr_command_msg m = {
		.job = j->id, .task = task, .attempt = l->number, .stage = (uint32_t)(st - j->spec->stages), .index = task - st->first,
		.ordinal = l->ordinal, .timeout_ms = st->timeout_ms, .mem_bytes = mem_of(st, t),
		.mem_limit_bytes = st->mem_limit_bytes ? st->mem_limit_bytes / 1000 * t->mem_permille : mem_of(st, t),
	};
	struct gr_buf frame = { 0 }, v = { 0 }, in = { 0 };
	struct secrets secrets = { .st = st };
	uint32_t n_values = gr_bj_values(j, task, values, &j->batch->scratch);
	int rc;

	for (uint32_t i = 0; i < n_values; i++)
		gr_value_add(&v, &m.values.n, values[i]);
	rc = add_inputs(j, st, t, task, &in, &n);
	if (rc >= 0 && st->secrets)
		rc = gr_store_each_secret(j->batch->store, (int64_t)j->id, add_secret, &secrets);
	if (rc >= 0) {
		m.values.raw = gr_buf_slice(&v);
		m.inputs = (struct gr_list_msg){ gr_buf_slice(&in), n };
		m.secrets = (struct gr_list_msg){ gr_buf_slice(&secrets.raw), secrets.n };
		gr_command_encode(&frame, &m);
		rc = send_to(j->batch, bw->w, &frame);
	}
	gr_buf_fini(&v);
	gr_buf_fini(&in);
	gr_buf_fini(&secrets.raw);
	return rc;
}

/* ---- decisions ---- */

/* The range a decision came from: one less is queued. */
static void took(struct gr_bj *j, uint32_t task)
{
	GR_LIST_EACH_SAFE(r, &j->ranges, struct gr_jrange, link)
		if (task - r->place.first < r->place.count && r->n_left) {
			if (!--r->n_left)
				range_free(j, r);
			return;
		}
}

static void give_back(struct gr_coord *c, uint64_t placed)
{
	const struct gr_place_ended stopped = { .how = GR_PLACE_STOPPED };

	gr_place_end(c->place, gr_coord_now(c), placed, &stopped);
}

static bool may_go_to(const struct gr_btask *t, uint64_t node)
{
	for (uint32_t i = 0; t && i < t->n_lives; i++)
		if (t->lives[i].node == node && !t->lives[i].is_lost)
			return false;
	for (uint32_t i = 0; t && i < t->n_results; i++)
		if (t->results[i].node == node)
			return false;
	return true;
}

static void store_begin(struct gr_bj *j, const struct gr_worker *w, uint32_t task, const struct gr_blive *l, int64_t now_ms)
{
	struct gr_store_tx *tx = gr_store_tx_new(j->batch->store);

	if (!j->started_ms) {
		j->started_ms = now_ms;
		gr_bj_save_state(j, tx);
	}
	gr_store_add(tx, GR_SQL_BEGIN, (int64_t)j->id, (int64_t)task, (int64_t)l->number, (int64_t)l->ordinal, w->name, w->node, (int64_t)w->identity,
		     (int64_t)l->node, now_ms);
	gr_store_commit(&tx, false, NULL, NULL);
}

/* For the page's timeline. */
static void show_begin(const struct gr_bj *j, const struct gr_stage *st, uint32_t task, const struct gr_blive *l, const struct gr_worker *w)
{
	char name[80];
	struct gr_recent_attempt a = { .kind = "command", .worker = w->name, .name = name, .job = j->id, .task = task, .attempt = l->number };

	snprintf(name, sizeof(name), "%.40s: %.20s %u", j->name, st->name, task - st->first);
	gr_recent_begin(j->batch->c->recent, gr_clock_real_ms(), &a);
}

/* Return: false when the worker takes nothing now. */
static bool start(struct gr_bj *j, uint32_t task, struct gr_worker *w, uint64_t placed)
{
	struct gr_batch *b = j->batch;
	struct gr_bworker *bw = gr_bworker_of(b, w);
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];
	struct gr_btask *t = gr_bjob_find(&j->b, task);
	enum gr_bstate state = (enum gr_bstate)gr_states_get(&j->b.states, task);
	uint64_t now = gr_coord_now(b->c);
	struct gr_blive *l;
	int rc;

	if (state != GR_B_READY && !(t && t->n_queued)) {
		give_back(b->c, placed);          /* adopted, cancelled or done meanwhile */
		return true;
	}
	if (st->replicas && !may_go_to(t, bw->node)) {
		give_back(b->c, placed);
		gr_run_offer(j, task, 1, t);
		return true;
	}
	rc = send_spec(j, bw);
	if (rc < 0)
		goto busy;
	l = gr_bjob_begin(&j->b, task, w->identity, bw->node, gr_run_toolchain(st), w, placed, now);
	if (!l) {
		give_back(b->c, placed);
		gr_warn("batch", "job %" PRIu64 " task %u: too many attempts", j->id, task);
		return true;
	}
	t = gr_bjob_find(&j->b, task);
	rc = send_command(j, bw, st, t, l);
	if (rc < 0) {
		const struct gr_bend e = { .cause = GR_BC_UNSENT };
		uint32_t number = l->number;

		give_back(b->c, placed);
		if (rc == GR_EBUSY || rc == GR_EGONE)
			gr_place_worker_pause(b->c->place, now, w->place, now + PAUSE_NS);
		gr_bjob_end(&j->b, task, number, w->identity, &e, now);
		return rc != GR_EBUSY;
	}
	b->attempts++;
	j->is_dirty = true;
	store_begin(j, w, task, l, (int64_t)gr_clock_real_ms());
	gr_history(b, "begin", j->id, task, l->number, w->name);
	show_begin(j, st, task, l, w);
	gr_watch_began(j, task, l);
	return true;
busy:
	give_back(b->c, placed);
	gr_place_worker_pause(b->c->place, now, w->place, now + PAUSE_NS);
	gr_run_offer(j, task, 1, t);
	return false;
}

static void stop_for_placement(struct gr_bj *j, uint32_t task, uint64_t placed, enum gr_place_act act)
{
	struct gr_btask *t = gr_bjob_find(&j->b, task);

	for (uint32_t i = 0; t && i < t->n_lives; i++) {
		struct gr_blive *l = &t->lives[i];
		enum gr_stop_how how = act == GR_PLACE_RETRACT ? GR_STOP_RETRACT : GR_STOP_YIELD;

		if (l->placed != placed || l->is_lost || l->stopping)
			continue;
		l->stopping = (uint8_t)how;
		l->stop_cause = act == GR_PLACE_PREEMPT ? GR_BC_PREEMPTED : act == GR_PLACE_MOVE ? GR_BC_EVICTED : GR_BC_UNSENT;
		send_stop(j->batch, l->peer, j->id, task, l->number, how);
	}
}

bool gr_batch_act(struct gr_coord *c, const struct gr_place_decision *d)
{
	struct gr_bj *j = gr_bj_find(c->batch, d->tag >> 1);

	if (d->act == GR_PLACE_RUN) {
		if (!j || !j->spec || j->state != GR_J_OPEN) {
			give_back(c, d->placed);
			return true;
		}
		took(j, d->nth);
		return start(j, d->nth, (struct gr_worker *)(uintptr_t)d->worker_tag, d->placed);
	}
	if (d->act == GR_PLACE_COPY) {
		/* the engine has copies of its own; a second try of a slow task is begun like a task that is ready */
		give_back(c, d->placed);
		return true;
	}
	if (j && j->spec)
		stop_for_placement(j, d->nth, d->placed, d->act);
	return true;
}

/* ---- ENDED ---- */

static enum gr_bcause cause_of(const struct gr_stage *st, const struct gr_blive *l, const struct gr_ended_msg *m)
{
	switch (m->outcome) {
	case GR_OUTCOME_DONE:
		if (st->has_checkpoint && !m->term_signal && m->exit_code == st->checkpoint_code)
			return GR_BC_CHECKPOINT;
		if (m->term_signal || m->exit_code)
			return l->stopping == GR_STOP_YIELD && m->term_signal ? l->stop_cause : GR_BC_EXIT;
		return m->flags & GR_ENDED_F_NO_OUTPUT ? GR_BC_OUTPUT : GR_BC_DONE;
	case GR_OUTCOME_REFUSED:
		return GR_BC_REFUSED;
	case GR_OUTCOME_TIMEOUT:
		return GR_BC_TIMEOUT;
	case GR_OUTCOME_OOM:
		return GR_BC_OOM;
	case GR_OUTCOME_CANCELLED:
		return l->stop_cause ? l->stop_cause : m->flags & GR_ENDED_F_DRAINED ? GR_BC_EVICTED : GR_BC_CANCELLED;
	default:
		return m->flags & GR_ENDED_F_DRAINED ? GR_BC_EVICTED : GR_BC_WORKER;
	}
}

/* What copies are compared by: the streams and outputs, or those that were named. */
static void digest_of(const struct gr_stage *st, const struct gr_ended_msg *m, struct gr_digest *out)
{
	struct gr_list_it it = gr_list_begin(&m->outputs);
	struct gr_sha256 *h = gr_sha256_new();
	struct gr_placed_file f;
	struct gr_digest d;
	const json_t *v;
	size_t i;

	while (gr_placed_next(&it, &f, true)) {
		bool is_wanted = !st->compare;

		json_array_foreach(st->compare, i, v)
			is_wanted = is_wanted || gr_slice_is(f.path, json_string_value(v));
		if (!is_wanted)
			continue;
		gr_sha256_add(h, f.path.p, f.path.n);
		gr_sha256_add(h, &f.kind, 1);
		d = f.item.digest;
		if (f.item.has_data)
			gr_sha256_of(f.item.data.p, f.item.data.n, &d);
		gr_sha256_add(h, d.b, sizeof(d.b));
		gr_sha256_add(h, f.target.p, f.target.n);
	}
	if (!st->compare) {
		d = m->out.digest;
		if (m->out.has_data)
			gr_sha256_of(m->out.data.p, m->out.data.n, &d);
		gr_sha256_add(h, d.b, sizeof(d.b));
	}
	gr_sha256_end(h, out);
	gr_sha256_free(&h);
}

/* Outputs and streams of an attempt whose result stands (or may come to stand), as rows; files are pinned. Return: bytes. */
static uint64_t store_outputs(struct gr_bj *j, struct gr_store_tx *tx, const struct gr_ended_msg *m)
{
	struct gr_list_it it = gr_list_begin(&m->outputs);
	struct gr_placed_file f;
	uint64_t bytes = 0;
	int64_t seq = 0;

	while (gr_placed_next(&it, &f, true)) {
		char *path = gr_xstrndup((const char *)f.path.p, f.path.n), *target = NULL;
		struct gr_digest d = f.item.digest;

		if (f.kind == GR_PLACED_FILE) {
			if (f.item.has_data)
				gr_sha256_of(f.item.data.p, f.item.data.n, &d);
			gr_bj_pin(j, &d, f.item.size);
			bytes += f.item.size;
		}
		if (f.kind == GR_PLACED_LINK)
			target = gr_xstrndup((const char *)f.target.p, f.target.n);
		gr_store_add(tx, GR_SQL_OUTPUT, (int64_t)j->id, (int64_t)m->task, (int64_t)m->attempt, seq++, (int64_t)f.index, (int64_t)f.kind, path,
			     (int64_t)f.mode, (int64_t)f.item.size, f.kind == GR_PLACED_FILE ? gr_slice(d.b, sizeof(d.b)) : gr_slice(NULL, 0), target);
		free(path);
		free(target);
	}
	return bytes;
}

static struct gr_slice digest_slice(struct gr_bj *j, const struct gr_item *i, bool is_kept)
{
	if (i->has_data || !is_kept)
		return gr_slice(NULL, 0);
	gr_bj_pin(j, &i->digest, i->size);
	return gr_slice(i->digest.b, sizeof(i->digest.b));
}

static void store_end(struct gr_bj *j, struct gr_store_tx *tx, const struct gr_ended_msg *m, enum gr_bcause cause, bool counts)
{
	bool is_kept = j->spec->keep_logs == GR_KEEP_ALL || (j->spec->keep_logs == GR_KEEP_FAILED && cause != GR_BC_DONE);
	char *reason = m->reason.n ? gr_xstrndup((const char *)m->reason.p, m->reason.n < 2000 ? m->reason.n : 2000) : NULL;

	gr_store_add(tx, GR_SQL_END, (int64_t)j->id, (int64_t)m->task, (int64_t)m->attempt, (int64_t)gr_clock_real_ms(), (int64_t)cause,
		     (int64_t)m->exit_code, (int64_t)m->term_signal, (int64_t)m->cpu_us, (int64_t)m->wall_us, (int64_t)m->max_rss_bytes, (int64_t)m->wait_us,
		     (int64_t)m->in_bytes, reason, (int64_t)m->flags, (int64_t)m->out.size, (int64_t)m->err.size,
		     is_kept && m->out.has_data ? m->out.data : gr_slice(NULL, 0), is_kept && m->err.has_data ? m->err.data : gr_slice(NULL, 0),
		     digest_slice(j, &m->out, is_kept), digest_slice(j, &m->err, is_kept), (int64_t)counts);
	free(reason);
}

static void store_usage(struct gr_bj *j, struct gr_store_tx *tx, const struct gr_ended_msg *m, const struct gr_bended *v, uint64_t out_bytes)
{
	bool is_wasted = v->verdict != GR_BV_DONE && v->verdict != GR_BV_WAIT;
	struct gr_batch *b = j->batch;
	uint64_t mem = (m->max_rss_bytes >> 20) * (m->wall_us / 1000);

	b->cpu_us += m->cpu_us;
	b->in_bytes += m->in_bytes;
	b->out_bytes += out_bytes;
	b->wasted_us += is_wasted ? m->cpu_us : 0;
	gr_store_add(tx, GR_SQL_USAGE, (int64_t)j->id, j->tenant, (int64_t)m->cpu_us, (int64_t)mem, (int64_t)m->in_bytes, (int64_t)out_bytes, (int64_t)1,
		     (int64_t)(v->verdict == GR_BV_AGAIN || v->verdict == GR_BV_LATER), (int64_t)(is_wasted ? m->cpu_us : 0),
		     (int64_t)(v->verdict == GR_BV_DONE), (int64_t)(v->verdict == GR_BV_FAILED));
}

static void release(struct gr_coord *c, const struct gr_blive *l, enum gr_bcause cause, const struct gr_ended_msg *m)
{
	struct gr_place_ended e = { .how = GR_PLACE_STOPPED, .cpu_us = m->cpu_us, .max_rss_bytes = m->max_rss_bytes };

	if (l->is_lost || l->placed == UNPLACED)
		return;
	if (cause == GR_BC_DONE || cause == GR_BC_EXIT)
		e.how = GR_PLACE_DONE;
	else if (cause == GR_BC_OOM)
		e.how = GR_PLACE_OOM;
	else if (cause == GR_BC_WORKER)
		e.how = GR_PLACE_FAILED;
	gr_place_end(c->place, gr_coord_now(c), l->placed, &e);
}

static json_t *ended_event(const struct gr_bj *j, const struct gr_ended_msg *m, const struct gr_bended *v, enum gr_bcause cause)
{
	const char *state = v->verdict == GR_BV_DONE ? "done" : v->verdict == GR_BV_FAILED ? "failed" : "cancelled";

	return json_pack("{s:I, s:I, s:s, s:s, s:i, s:i, s:i}", "job", (json_int_t)j->id, "task", (json_int_t)m->task, "state", state, "cause",
			 gr_bcause_name(cause), "exit_code", m->exit_code, "signal", m->term_signal, "ordinal", (int)v->was.ordinal);
}

static void store_trust(struct gr_bj *j, struct gr_store_tx *tx, const struct gr_stage *st, const struct gr_bresult *r, uint32_t n)
{
	uint64_t tool = gr_run_toolchain(st);

	for (uint32_t i = 0; i < n; i++)
		gr_store_add(tx, GR_SQL_TRUST, (int64_t)r[i].worker, (int64_t)tool, (int64_t)gr_trust_valid(&j->batch->trust, r[i].worker, tool));
}

/* The one place where the end of an attempt becomes rows, events and an acknowledgement. @bw NULL: nobody is to be told. */
static void end_attempt(struct gr_bj *j, struct gr_bworker *bw, uint64_t worker, const struct gr_ended_msg *m, enum gr_bcause cause)
{
	struct gr_batch *b = j->batch;
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)m->task)];
	struct gr_btask *t = gr_bjob_find(&j->b, (uint32_t)m->task);
	struct gr_bresult *results = t && t->n_results ? gr_xmemdup(t->results, t->n_results * sizeof(*t->results)) : NULL;
	uint32_t n_results = t ? t->n_results : 0, tries = t ? t->n_tries : 0;
	struct gr_bend e = { .cause = cause, .exit_code = m->exit_code, .toolchain = gr_run_toolchain(st) };
	struct gr_store_tx *tx = gr_store_tx_new(b->store);
	struct gr_pend *p = gr_pend_new(b);
	struct gr_bended v;
	uint64_t out_bytes = 0;
	bool counts;

	p->job = j->id;
	p->task = m->task;
	p->attempt = m->attempt;
	if (bw) {
		bw->n_refs++;
		p->bw = bw;
	}
	if (st->replicas && cause == GR_BC_DONE)
		digest_of(st, m, &e.digest);
	if (cause == GR_BC_CHECKPOINT && t)
		t->has_checkpoint = true;
	b->pend = p;
	v = gr_bjob_end(&j->b, (uint32_t)m->task, m->attempt, worker, &e, gr_coord_now(b->c));
	if (v.verdict == GR_BV_FENCED) {
		b->fenced++;
		gr_history(b, "fenced", j->id, (int64_t)m->task, m->attempt, "");
		gr_pend_commit(p, tx, false);
		free(results);
		return;
	}
	j->is_dirty = true;
	b->causes[cause]++;
	gr_recent_end(b->c->recent, gr_clock_real_ms(), j->id, m->task, m->attempt, gr_bcause_name(cause), m->exit_code);
	if (bw)
		release(b->c, &v.was, cause, m);
	t = gr_bjob_find(&j->b, (uint32_t)m->task);
	counts = t ? t->n_tries > tries : v.verdict == GR_BV_FAILED;
	if (cause == GR_BC_DONE || cause == GR_BC_CHECKPOINT)
		out_bytes = store_outputs(j, tx, m);
	store_end(j, tx, m, cause, counts);
	store_usage(j, tx, m, &v, out_bytes);
	if (st->replicas && v.verdict == GR_BV_DONE) {
		const struct gr_bresult own = { e.digest, worker, 0, m->attempt };

		store_trust(j, tx, st, results, n_results);
		store_trust(j, tx, st, &own, 1);
	}
	free(results);
	p->is_over = v.verdict == GR_BV_DONE || v.verdict == GR_BV_FAILED || v.verdict == GR_BV_CANCELLED;
	if (v.verdict == GR_BV_DONE || v.verdict == GR_BV_FAILED) {
		gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)j->id, (int64_t)m->task, (int64_t)(v.verdict == GR_BV_DONE ? GR_B_DONE : GR_B_FAILED),
			     (int64_t)(v.verdict == GR_BV_DONE ? v.canonical : m->attempt));
		gr_pend_event(p, "task.ended", ended_event(j, m, &v, cause));
		b->ended_counts[v.verdict == GR_BV_DONE ? GR_B_DONE : GR_B_FAILED]++;
		gr_history(b, v.verdict == GR_BV_DONE ? "done" : "failed", j->id, (int64_t)m->task, v.verdict == GR_BV_DONE ? v.canonical : m->attempt,
			   gr_bcause_name(cause));
	} else if (v.verdict == GR_BV_CANCELLED) {
		gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)j->id, (int64_t)m->task, (int64_t)GR_B_CANCELLED, (int64_t)m->attempt);
		gr_pend_event(p, "task.ended", ended_event(j, m, &v, cause));
		gr_history(b, "cancelled", j->id, (int64_t)m->task, m->attempt, "");
	} else {
		gr_pend_event(p, "task.retry", json_pack("{s:I, s:I, s:s, s:I}", "job", (json_int_t)j->id, "task", (json_int_t)m->task, "cause",
				gr_bcause_name(cause), "delay_ms", (json_int_t)(v.due_ns ? (v.due_ns - gr_coord_now(b->c)) / GR_NS_PER_MS : 0)));
		gr_history(b, "again", j->id, (int64_t)m->task, m->attempt, gr_bcause_name(cause));
	}
	gr_bj_settle(j, tx);
	gr_pend_commit(p, tx, false);
	gr_dispatch_kick(b->c);
}

void gr_run_ended(struct gr_batch *b, struct gr_bworker *bw, struct gr_buf *frame)
{
	struct gr_ended_msg m;
	struct gr_btask *t;
	struct gr_blive *l;
	struct gr_slice body;
	struct gr_bj *j;
	bool is_ok = gr_frame_open(gr_buf_slice(frame), &body) > 0 && gr_ended_decode(body, &m) == 0 && bw->w;

	if (is_ok) {
		j = gr_bj_find(b, m.job);
		t = j && j->spec && j->state == GR_J_OPEN && m.task < j->n_tasks ? gr_bjob_find(&j->b, (uint32_t)m.task) : NULL;
		l = t ? gr_btask_live(t, m.attempt) : NULL;
		if (l && l->worker == bw->w->identity) {
			end_attempt(j, bw, bw->w->identity, &m, cause_of(&j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)m.task)], l, &m));
		} else {
			struct gr_store_tx *tx = gr_store_tx_new(b->store);
			struct gr_pend *p = gr_pend_new(b);

			b->fenced++;
			gr_history(b, "fenced", m.job, (int64_t)m.task, m.attempt, bw->w->name);
			p->job = m.job;
			p->task = m.task;
			p->attempt = m.attempt;
			p->bw = bw;
			bw->n_refs++;
			gr_pend_commit(p, tx, false);
		}
	}
	gr_buf_fini(frame);
}

void gr_run_ended_without(struct gr_batch *b, struct gr_bworker *bw, struct gr_buf *frame, const char *why)
{
	struct gr_ended_msg m, none;
	struct gr_slice body;
	struct gr_bj *j;

	if (gr_frame_open(gr_buf_slice(frame), &body) > 0 && gr_ended_decode(body, &m) == 0 && bw->w) {
		j = gr_bj_find(b, m.job);
		none = (struct gr_ended_msg){ .job = m.job, .task = m.task, .attempt = m.attempt, .outcome = GR_OUTCOME_RETRY, .cpu_us = m.cpu_us,
					      .wall_us = m.wall_us, .max_rss_bytes = m.max_rss_bytes, .reason = gr_slice_str(why),
					      .out.has_data = true, .err.has_data = true };
		if (j && j->spec && j->state == GR_J_OPEN && m.task < j->n_tasks)
			end_attempt(j, bw, bw->w->identity, &none, GR_BC_WORKER);
	}
	gr_buf_fini(frame);
}

int gr_batch_ended(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	struct gr_batch *b = c->batch;
	struct gr_ended_msg m;
	struct gr_buf frame = { 0 };
	size_t at;
	int rc = gr_ended_decode(body, &m);

	if (rc < 0)
		return rc;
	at = gr_frame_begin(&frame, GR_MSG_ENDED);
	gr_buf_add(&frame, body.p, body.n);
	gr_frame_end(&frame, at);
	gr_bblobs_await(b, gr_bworker_of(b, w), &frame, &m);
	return 0;
}

int gr_batch_started(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	uint64_t job, task;
	uint32_t attempt;
	struct gr_bj *j;
	struct gr_btask *t;
	struct gr_blive *l;
	int rc = gr_taskref_decode(body, &job, &task, &attempt);

	if (rc < 0)
		return rc;
	j = gr_bj_find(c->batch, job);
	t = j && j->spec && task < j->n_tasks ? gr_bjob_find(&j->b, (uint32_t)task) : NULL;
	l = t ? gr_btask_live(t, attempt) : NULL;
	if (!l || l->worker != w->identity || l->is_lost)
		return 0;
	if (l->stopping == GR_STOP_RETRACT) {     /* too late: it runs, and stays */
		l->stopping = 0;
		l->stop_cause = GR_BC_NONE;
		gr_place_kept(c->place, l->placed);
	}
	if (!l->is_started) {
		l->is_started = true;
		gr_place_started(c->place, gr_coord_now(c), l->placed);
	}
	return 0;
}

/* ---- workers come and go ---- */

int gr_batch_hello_offer(struct gr_coord *c, struct gr_worker *w, const json_t *hello, struct gr_place_worker *spec, uint32_t *labels, uint32_t *envs,
			 struct gr_err *err)
{
	const json_t *list = json_object_get(hello, "labels");
	const char *key;
	json_t *v;

	(void)w;
	if (!c->batch)
		return 0;
	json_object_foreach((json_t *)list, key, v) {
		int rc = json_is_string(v) && spec->n_labels < GR_PLACE_MAX_WORKER_LABELS ? gr_place_label(c->place, key, json_string_value(v)) : GR_EINVAL;

		if (rc < 0)
			return gr_err_set(err, GR_EPROTO, "\"labels\" must be at most %u texts by name; \"%.60s\" is none", GR_PLACE_MAX_WORKER_LABELS, key);
		labels[spec->n_labels++] = (uint32_t)rc;
	}
	spec->labels = labels;
	if (json_is_true(json_object_get(hello, "commands")) && spec->n_envs < GR_PLACE_MAX_WORKER_ENVS)
		gr_place_env_hold(c->place, envs[spec->n_envs++] = c->batch->commands_env, true);      /* the caller lets go of each */
	spec->cap.v[GR_PLACE_DISK_MIB] = (uint32_t)((uint64_t)json_integer_value(json_object_get(hello, "disk_bytes")) >> 20 & 0x3fffffff);
	spec->cap.v[GR_PLACE_GPU_MILLI] = (uint32_t)json_integer_value(json_object_get(hello, "gpu_milli")) & 0x3fffffff;
	return 0;
}

static void adopt(struct gr_batch *b, struct gr_worker *w, uint64_t job, uint64_t task, uint32_t attempt)
{
	struct gr_bj *j = gr_bj_find(b, job);
	struct gr_blive *l;

	if (j && j->spec && j->state == GR_J_OPEN && task < j->n_tasks && !j->b.is_cancelled && !j->b.is_stopping &&
	    gr_bjob_adopt(&j->b, (uint32_t)task, attempt, w->identity, w, UNPLACED, &l)) {
		const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)task)];
		int class = class_of(j, st, mem_of(st, gr_bjob_find(&j->b, (uint32_t)task)));
		uint64_t placed;

		/* without room there by placement's reckoning it runs all the same */
		if (class >= 0 && gr_place_adopt(b->c->place, gr_coord_now(b->c), j->place_owner, (uint32_t)class, w->place, j->id << 1 | 1,
						 (uint32_t)task, 0, &placed) >= 0)
			l->placed = placed;
		b->adopted++;
		j->is_dirty = true;
		gr_history(b, "adopted", job, (int64_t)task, attempt, w->name);
		gr_watch_began(j, (uint32_t)task, l);
		return;
	}
	gr_info("batch", "worker %s still runs job %" PRIu64 " task %" PRIu64 " attempt %u, which is not wanted any more", w->name, job, task, attempt);
	if (job && job <= GR_WIRE_MAX_JOB)
		send_stop(b, w, job, task, attempt, GR_STOP_CANCEL);
}

void gr_batch_worker_up(struct gr_coord *c, struct gr_worker *w, const json_t *hello)
{
	const json_t *list = json_object_get(hello, "attempts"), *v;
	struct gr_bworker *bw;
	size_t i;

	if (!c->batch)
		return;
	bw = gr_bworker_of(c->batch, w);
	bw->hello_ns = gr_coord_now(c);
	bw->is_settling = true;
	if (json_array_size(list) > 65536)
		return;
	json_array_foreach(list, i, v)
		adopt(c->batch, w, (uint64_t)json_integer_value(json_array_get(v, 0)), (uint64_t)json_integer_value(json_array_get(v, 1)),
		      (uint32_t)json_integer_value(json_array_get(v, 2)));
}

/* An attempt that is with nobody: whoever had it is gone, or came back without it. */
static void lose(struct gr_bj *j, uint32_t task, const struct gr_blive *l, enum gr_bcause cause)
{
	const struct gr_ended_msg m = { .job = j->id, .task = task, .attempt = l->number, .outcome = GR_OUTCOME_RETRY, .out.has_data = true,
					.err.has_data = true };

	end_attempt(j, NULL, l->worker, &m, cause);
}

/* Its attempts, collected first: what follows from a loss changes the tables that are walked. */
static void each_attempt(struct gr_batch *b, const struct gr_worker *w, enum gr_bcause cause)
{
	struct { struct gr_bj *j; uint32_t task, number; } *all = NULL;
	uint32_t n = 0, cap = 0;
	struct gr_btask *t;
	struct gr_bj *j;
	size_t i = 0, k;

	while ((j = gr_map_each(&b->jobs, &i))) {
		if (!j->spec || j->state != GR_J_OPEN)
			continue;
		for (k = 0; (t = gr_map_each(&j->b.tasks, &k));)
			for (uint32_t x = 0; x < t->n_lives; x++) {
				if (t->lives[x].is_lost || t->lives[x].peer != w)
					continue;
				if (n == cap) {
					cap = cap ? 2 * cap : 64;
					all = gr_xrealloc(all, cap * sizeof(*all));
				}
				all[n].j = j;
				all[n].task = (uint32_t)t->task;
				all[n++].number = t->lives[x].number;
			}
	}
	for (uint32_t x = 0; x < n; x++) {
		struct gr_blive *l;

		t = gr_bjob_find(&all[x].j->b, all[x].task);
		l = t ? gr_btask_live(t, all[x].number) : NULL;
		if (l && !l->is_lost)
			lose(all[x].j, all[x].task, l, w->is_draining && cause == GR_BC_LOST ? GR_BC_EVICTED : cause);
	}
	free(all);
}

void gr_batch_worker_gone(struct gr_coord *c, struct gr_worker *w)
{
	struct gr_bworker *bw = w->batch;

	if (!c->batch)
		return;
	if (!c->is_ending)
		each_attempt(c->batch, w, GR_BC_LOST);
	if (bw) {
		gr_bblobs_forget(c->batch, bw);
		bw->w = NULL;
		w->batch = NULL;
		gr_bworker_unref(&bw);
	}
}

void gr_run_tick(struct gr_batch *b)
{
	struct gr_bj *j;
	size_t i = 0;

	/* what placement had no room for */
	while ((j = gr_map_each(&b->jobs, &i)))
		if (j->state == GR_J_OPEN && j->has_owner)
			GR_LIST_EACH_SAFE(r, &j->ranges, struct gr_jrange, link)
				if (r->queued < 0) {
					uint32_t first = r->place.first, count = r->place.count;

					r->n_left = 0;
					range_free(j, r);
					gr_run_offer(j, first, count, NULL);
				}
}

/* ---- why is it not running ---- */

const char *gr_run_pending(struct gr_bj *j, uint32_t task, struct gr_buf *text)
{
	enum gr_bstate s = (enum gr_bstate)gr_states_get(&j->b.states, task);
	struct gr_coord *c = j->batch->c;
	struct gr_btask *t = gr_bjob_find(&j->b, task);

	gr_buf_clear(text);
	if (s == GR_B_BLOCKED) {
		const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];

		for (uint32_t i = 0; i < st->n_after; i++) {
			const struct gr_stage *other = &j->spec->stages[st->after[i].stage];

			if (j->b.n_stage_done[st->after[i].stage] < other->count) {
				gr_buf_printf(text, "waits for stage %s: %u of %u done", other->name, j->b.n_stage_done[st->after[i].stage], other->count);
				return gr_buf_str(text);
			}
		}
		return "waits for another task";
	}
	if (s == GR_B_BACKOFF && t) {
		uint64_t now = gr_coord_now(c);

		gr_buf_printf(text, t->n_lives ? "its worker may still come back; tried again in %.1f s" : "tried again in %.1f s",
			      t->due_ns > now ? (double)(t->due_ns - now) / GR_NS_PER_S : 0.0);
		return gr_buf_str(text);
	}
	if (s != GR_B_READY)
		return NULL;
	if (gr_store_trouble(j->batch->store))
		return "the coordinator cannot write its store now";
	GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link) {
		int rc;

		if (task - r->place.first >= r->place.count)
			continue;
		if (r->queued < 0)
			return "placement has no room for it yet";
		rc = gr_place_pending(c->place, r->queued);
		return rc < 0 ? "about to start" : gr_place_pending_text((enum gr_place_pending)rc);
	}
	return "about to be queued";
}
