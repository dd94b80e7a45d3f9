/* batch_check.c - two results of a task are compared by the user's command, on a worker that brought neither
 *
 * The coordinator runs nothing of a client's. A comparison is an attempt of the task, so that all that holds for attempts holds
 * for it: its number fences it, it is in the store, its worker may be lost or come back with it. Its command has a folder each
 * with the outputs of the two, a/ and b/, and their standard outputs a.stdout and b.stdout beside them; it exits with 0 when they are
 * equal and with 1 when they differ, as cmp and diff do. Anything else is a comparator that failed: it is tried again, elsewhere
 * first. What a stage's comparator is to a worker is a stage of its own, behind all others in the SPEC.
 */
#include "coordinator/batch_int.h"

#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"

#define EXIT_EQUAL 0
#define EXIT_DIFFERENT 1

enum gr_bcause gr_check_cause(const struct gr_ended_msg *m)
{
	if (m->term_signal || (m->exit_code != EXIT_EQUAL && m->exit_code != EXIT_DIFFERENT))
		return GR_BC_COMPARE;
	return m->exit_code == EXIT_EQUAL ? GR_BC_EQUAL : GR_BC_DIFFERENT;
}

struct side {
	struct gr_bj *j;
	const char *name;
	uint32_t attempt;
	struct gr_check_files *files;
	bool is_found;
};

/* What its result names is pinned; should it be gone all the same, no worker could have it either. */
static int place(struct side *x, const char *path, struct gr_placed_file *f)
{
	if (x->files->n >= GR_WIRE_MAX_PLACED_FILES)
		return GR_ELIMIT;
	if (f->kind == GR_PLACED_FILE && !gr_cas_has(x->j->batch->cas, &f->item.digest))
		return GR_ENOENT;
	f->path = gr_slice_str(path);
	gr_placed_add(&x->files->raw, &x->files->n, f, false);
	return 0;
}

static int add_output(void *ctx, const struct gr_store_output_row *r)
{
	struct gr_placed_file f = { .kind = (uint8_t)r->kind, .mode = (uint16_t)r->mode, .item.size = (uint64_t)r->size,
				    .target = gr_slice_str(r->target ? r->target : "") };
	struct gr_buf path = { 0 };
	struct side *x = ctx;
	int rc;

	if (r->index == GR_WIRE_CHECKPOINT)
		return 0;
	if (r->digest.n == GR_DIGEST_BYTES)
		memcpy(f.item.digest.b, r->digest.p, GR_DIGEST_BYTES);
	gr_buf_printf(&path, "%s/%s", x->name, r->path);
	rc = place(x, gr_buf_str(&path), &f);
	gr_buf_fini(&path);
	return rc;
}

/* A short one is in the row itself, and becomes a file for the worker to fetch: no row names it, so it is pinned here. */
static int add_stdout(void *ctx, const struct gr_store_attempt_row *r)
{
	struct gr_placed_file f = { .kind = GR_PLACED_FILE, .mode = 0644, .item.size = (uint64_t)r->out_size };
	struct side *x = ctx;
	struct gr_buf path = { 0 };
	int rc = 0;

	if (r->attempt != x->attempt || !r->end_ms || r->cause != GR_BC_DONE)      /* one that was lost has a row of that, too */
		return 0;
	x->is_found = true;
	if (r->out_digest.n == GR_DIGEST_BYTES) {
		memcpy(f.item.digest.b, r->out_digest.p, GR_DIGEST_BYTES);
	} else {
		f.item.size = r->out_data.n;
		rc = gr_cas_put_new(x->j->batch->cas, r->out_data.n ? r->out_data.p : (const uint8_t *)"", r->out_data.n, &f.item.digest);
		if (rc >= 0)
			gr_bj_pin_once(x->j, &f.item.digest, r->out_data.n);
	}
	gr_buf_printf(&path, "%s.stdout", x->name);
	if (rc >= 0)
		rc = place(x, gr_buf_str(&path), &f);
	gr_buf_fini(&path);
	return rc;
}

static int add_side(struct side *x, uint32_t task)
{
	struct gr_placed_file folder = { .kind = GR_PLACED_DIR, .mode = 0755 };
	struct gr_store *s = x->j->batch->store;
	int rc = place(x, x->name, &folder);

	if (rc >= 0)
		rc = gr_store_each_attempt(s, (int64_t)x->j->id, task, true, add_stdout, x);
	if (rc >= 0 && !x->is_found)
		return GR_EBUSY;
	if (rc >= 0)
		rc = gr_store_each_output(s, (int64_t)x->j->id, task, (int64_t)task + 1, x->attempt, add_output, x);
	return rc;
}

int gr_check_gather(struct gr_bj *j, uint32_t task, uint32_t of, uint32_t against, struct gr_check_files *out)
{
	struct side a = { j, "a", against, out, false }, b = { j, "b", of, out, false };
	int rc = add_side(&a, task);

	return rc < 0 ? rc : add_side(&b, task);
}

int gr_check_send(struct gr_bj *j, struct gr_bworker *bw, const struct gr_stage *st, uint32_t task, const struct gr_blive *l,
		  const struct gr_check_files *files)
{
	const struct gr_stage *c = st->check;
	struct gr_command_msg m = {
		.job = j->id, .task = task, .attempt = l->number, .stage = j->spec->n_stages + st->check_at, .index = task - st->first,
		.ordinal = l->ordinal, .timeout_ms = c->timeout_ms, .mem_bytes = c->mem_bytes,
		.mem_limit_bytes = c->mem_limit_bytes ? c->mem_limit_bytes : c->mem_bytes,
		.inputs = { gr_buf_slice(&files->raw), files->n },
	};
	struct gr_buf frame = { 0 }, v = { 0 };

	m.values.n = gr_run_add_values(j, task, &v);
	m.values.raw = gr_buf_slice(&v);
	gr_command_encode(&frame, &m);
	gr_buf_fini(&v);
	return gr_run_send_frame(j, bw, &frame);
}
