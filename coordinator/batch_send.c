/* batch_send.c - what a worker is sent: a job's SPEC once, then a COMMAND for each attempt with its values, files and secrets
 *
 * Outputs of other tasks and a checkpoint are looked up in the store at that moment: what a COMMAND names is committed.
 */
#include "coordinator/batch_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

static json_t *stage_for_worker(const struct gr_stage *st)
{
	static const char *const unneeded[] = { "array", "after", "constraints", "prefer", "spread", "retry", "quorum", "secrets",
							"rerunnable" };
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

int gr_run_send_spec(struct gr_bj *j, struct gr_bworker *bw)
{
	struct gr_buf copy = { 0 };
	uint64_t *key;
	int rc;

	if (bw->last_spec == j->id)
		return 0;
	if (gr_map_get(&bw->specs, &j->id, sizeof(j->id))) {
		bw->last_spec = j->id;
		return 0;
	}
	if (!j->spec_frame.n) {
		json_t *list = json_array(), *o;

		for (uint32_t i = 0; i < j->spec->n_stages; i++)
			json_array_append_new(list, stage_for_worker(&j->spec->stages[i]));
		for (uint32_t i = 0; i < j->spec->n_stages; i++)     /* comparators behind them, in order of check_at */
			if (j->spec->stages[i].check)
				json_array_append_new(list, stage_for_worker(j->spec->stages[i].check));
		o = json_pack("{s:I, s:s, s:o}", "job", (json_int_t)j->id, "name", j->name, "stages", list);
		gr_json_encode(&j->spec_frame, GR_MSG_SPEC, o);
		json_decref(o);
	}
	gr_buf_add(&copy, j->spec_frame.p, j->spec_frame.n);
	rc = gr_peers_send(j->batch->c, bw->w->peer, &copy);
	if (rc < 0)
		return rc;
	GR_NEW(key);
	*key = j->id;
	gr_map_put(&bw->specs, key, sizeof(*key), key);
	bw->last_spec = j->id;
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
	if (*x->n >= GR_WIRE_MAX_PLACED_FILES)
		return GR_ELIMIT;
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

uint32_t gr_run_add_values(struct gr_bj *j, uint32_t task, struct gr_buf *raw)
{
	struct gr_slice values[GR_SPEC_MAX_VALUES];
	uint32_t n_values = gr_bj_values(j, task, values, &j->batch->scratch), n = 0;

	for (uint32_t i = 0; i < n_values; i++)
		gr_value_add(raw, &n, values[i]);
	return n;
}

int gr_run_send_frame(struct gr_bj *j, struct gr_bworker *bw, struct gr_buf *frame)
{
	if (frame->n <= GR_WIRE_MAX_COMMAND_BYTES + GR_WIRE_HEADER_BYTES)
		return gr_peers_send(j->batch->c, bw->w->peer, frame);
	gr_buf_fini(frame);               /* its worker would take it for our mistake, and hang up */
	return GR_ELIMIT;
}

int gr_run_send_command(struct gr_bj *j, struct gr_bworker *bw, const struct gr_stage *st, struct gr_btask *t, const struct gr_blive *l)
{
	uint32_t task = (uint32_t)t->task, n = 0;
	struct gr_command_msg m = {
		.job = j->id, .task = task, .attempt = l->number, .stage = (uint32_t)(st - j->spec->stages), .index = task - st->first,
		.ordinal = l->ordinal, .timeout_ms = st->timeout_ms, .mem_bytes = gr_run_mem(st, t),
		.mem_limit_bytes = st->mem_limit_bytes ? st->mem_limit_bytes / GR_BATCH_MEM_AS_ASKED * t->mem_permille : gr_run_mem(st, t),
	};
	struct gr_buf frame = { 0 }, v = { 0 }, in = { 0 };
	struct secrets secrets = { .st = st };
	int rc;

	m.values.n = gr_run_add_values(j, task, &v);
	rc = add_inputs(j, st, t, task, &in, &n);
	if (rc >= 0 && st->secrets)
		rc = gr_store_each_secret(j->batch->store, (int64_t)j->id, add_secret, &secrets);
	if (rc >= 0) {
		m.values.raw = gr_buf_slice(&v);
		m.inputs = (struct gr_list_msg){ gr_buf_slice(&in), n };
		m.secrets = (struct gr_list_msg){ gr_buf_slice(&secrets.raw), secrets.n };
		gr_command_encode(&frame, &m);
		rc = gr_run_send_frame(j, bw, &frame);
	}
	gr_buf_fini(&v);
	gr_buf_fini(&in);
	gr_buf_fini(&secrets.raw);
	return rc;
}
