/* batch_workers.c - workers as jobs know them: what they offer, attempts they come back with, attempts lost with them; see batch.h
 *
 * What is known of a worker (gr_bworker) outlives its connection as long as a commit may still want to tell it something.
 */
#include "coordinator/batch_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"

uint64_t gr_bworker_node(const struct gr_worker *w)
{
	return gr_hash64(w->node, strlen(w->node), 7);
}

struct gr_bworker *gr_bworker_of(struct gr_batch *b, struct gr_worker *w)
{
	struct gr_bworker *bw = w->batch;

	if (bw)
		return bw;
	GR_NEW(bw);
	bw->w = w;
	bw->n_refs = 1;
	bw->node = gr_bworker_node(w);
	gr_list_init(&bw->owing);
	bw->specs.seed = gr_rng_u64(gr_loop_rng(b->c->loop));
	w->batch = bw;
	return bw;
}

const char *gr_bworker_label(const struct gr_bworker *bw, const char *key)
{
	const char *value = json_string_value(json_object_get(bw->labels, key));

	if (!value && bw->w)
		value = gr_peers_own_label(bw->w, key);
	return value ? value : "";
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
	json_decref(bw->labels);
	gr_map_fini(&bw->specs);
	gr_list_del(&bw->owing);
	gr_buf_fini(&bw->owed);
	free(bw);
}

/* ---- what must not be forgotten when a worker's queue is full ---- */

/* Takes the frame. Behind what is owed already, so that it stays in order. */
static void send_or_owe(struct gr_batch *b, struct gr_bworker *bw, struct gr_buf *f)
{
	if (bw->owed.n || gr_peers_try(b->c, bw->w->peer, f) == GR_EBUSY) {
		gr_buf_add(&bw->owed, f->p, f->n);
		gr_list_del(&bw->owing);
		gr_list_push(&b->owing, &bw->owing);
	}
	gr_buf_fini(f);
}

void gr_batch_send(struct gr_coord *c, struct gr_worker *w, struct gr_buf *frame)
{
	if (w->batch)
		send_or_owe(c->batch, w->batch, frame);
	else
		gr_peers_send(c, w->peer, frame);      /* it is going */
}

static size_t first_frame(struct gr_slice frames)
{
	struct gr_rd r = gr_rd_init(frames);

	gr_rd_u32(&r);
	return GR_WIRE_HEADER_BYTES + gr_rd_u32(&r);
}

void gr_bworkers_tick(struct gr_batch *b)
{
	GR_LIST_EACH_SAFE(bw, &b->owing, struct gr_bworker, owing) {
		struct gr_slice left = gr_buf_slice(&bw->owed);
		struct gr_buf rest = { 0 };
		int rc = bw->w ? 0 : GR_EGONE;

		while (left.n && rc >= 0) {
			struct gr_buf one = { 0 };
			size_t n = first_frame(left);

			gr_buf_add(&one, left.p, n);
			rc = gr_peers_send(b->c, bw->w->peer, &one);
			if (rc >= 0)
				left = gr_slice(left.p + n, left.n - n);
		}
		if (rc == GR_EBUSY)
			gr_buf_add(&rest, left.p, left.n);
		else
			gr_list_del(&bw->owing);
		gr_buf_fini(&bw->owed);
		bw->owed = rest;
	}
}

void gr_run_ack(struct gr_bworker *bw, uint64_t job, uint64_t task, uint32_t attempt)
{
	struct gr_buf f = { 0 };

	if (!bw->w)
		return;
	gr_taskref_encode(&f, GR_MSG_RESULT_ACK, job, task, attempt);
	send_or_owe(bw->w->coord->batch, bw, &f);
}

void gr_bworker_stop(struct gr_batch *b, struct gr_worker *w, uint64_t job, uint64_t task, uint32_t attempt, enum gr_stop_how how,
		     uint32_t grace_ms)
{
	const struct gr_stop_msg m = { job, task, attempt, (uint8_t)how, grace_ms };
	struct gr_buf f = { 0 };

	gr_stop_encode(&f, &m);
	send_or_owe(b, gr_bworker_of(b, w), &f);
}

/* ---- workers come and go ---- */

int gr_batch_hello_offer(struct gr_coord *c, struct gr_worker *w, const json_t *hello, struct gr_place_worker *spec, uint32_t *labels, uint32_t *envs,
			 struct gr_err *err)
{
	const json_t *list = json_object_get(hello, "labels");
	const char *key;
	json_t *v;

	if (!c->batch)
		return 0;
	json_object_foreach((json_t *)list, key, v) {
		int rc = json_is_string(v) && spec->n_labels < GR_PLACE_MAX_WORKER_LABELS ? gr_place_label(c->place, key, json_string_value(v)) : GR_EINVAL;

		if (rc < 0)
			return gr_err_set(err, GR_EPROTO, "\"labels\" must be at most %u texts by name; \"%.60s\" is none", GR_PLACE_MAX_WORKER_LABELS, key);
		labels[spec->n_labels++] = (uint32_t)rc;
		if (!strcmp(key, "node-ip"))
			snprintf(w->node_ip, sizeof(w->node_ip), "%s", json_string_value(v));
	}
	spec->labels = labels;
	if (json_is_true(json_object_get(hello, "commands")) && spec->n_envs < GR_PLACE_MAX_WORKER_ENVS)
		gr_place_env_hold(c->place, envs[spec->n_envs++] = c->batch->commands_env, true);      /* the caller lets go of each */
	spec->cap.v[GR_PLACE_DISK_MIB] = (uint32_t)((uint64_t)json_integer_value(json_object_get(hello, "disk_bytes")) >> 20 & 0x3fffffff);
	spec->cap.v[GR_PLACE_GPU_MILLI] = (uint32_t)json_integer_value(json_object_get(hello, "gpu_milli")) & 0x3fffffff;
	return 0;
}

static void adopt(struct gr_batch *b, struct gr_worker *w, uint64_t job, uint64_t task, uint32_t attempt, bool has_begun)
{
	struct gr_bj *j = gr_bj_find(b, job);
	struct gr_blive *l;

	if (j && j->spec && j->state == GR_J_OPEN && task < j->n_tasks && !j->b.is_cancelled && !j->b.is_stopping &&
	    gr_bjob_adopt(&j->b, (uint32_t)task, attempt, w->identity, w, GR_UNPLACED, &l)) {
		const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)task)];
		int class = l->of ? gr_run_class(j, st->check, NULL) : gr_run_class(j, st, gr_bjob_find(&j->b, (uint32_t)task));
		uint64_t placed;

		/* without room there by placement's reckoning it runs all the same */
		if (class >= 0 && gr_place_adopt(b->c->place, gr_coord_now(b->c), j->place_owner, (uint32_t)class, w->place, GR_BATCH_TAG(j->id),
						 (uint32_t)task, 0, &placed) >= 0)
			l->placed = placed;
		if (has_begun)
			gr_run_started(j, gr_bjob_find(&j->b, (uint32_t)task), l);
		b->adopted++;
		j->is_dirty = true;
		gr_history(b, "adopted", job, (int64_t)task, attempt, w->name);
		if (!l->of)
			gr_logs_began(j, (uint32_t)task, l);
		return;
	}
	gr_info("batch", "worker %s still runs job %" PRIu64 " task %" PRIu64 " attempt %u, which is not wanted any more", w->name, job, task, attempt);
	if (job && job <= GR_WIRE_MAX_JOB)
		gr_bworker_stop(b, w, job, task, attempt, GR_STOP_CANCEL, 0);
}

void gr_batch_worker_up(struct gr_coord *c, struct gr_worker *w, const json_t *hello)
{
	const json_t *list = json_object_get(hello, "attempts"), *v;
	struct gr_bworker *bw;
	size_t i;

	if (!c->batch)
		return;
	bw = gr_bworker_of(c->batch, w);
	json_decref(bw->labels);
	bw->labels = json_incref(json_object_get(hello, "labels"));
	if (json_array_size(list) > 65536)
		return;
	json_array_foreach(list, i, v)
		adopt(c->batch, w, (uint64_t)json_integer_value(json_array_get(v, 0)), (uint64_t)json_integer_value(json_array_get(v, 1)),
		      (uint32_t)json_integer_value(json_array_get(v, 2)), json_integer_value(json_array_get(v, 3)) > 0);
}

/* An attempt that is with nobody: whoever had it is gone, or came back without it. */
static void lose(struct gr_bj *j, uint32_t task, const struct gr_blive *l, enum gr_bcause cause)
{
	const struct gr_ended_msg m = { .job = j->id, .task = task, .attempt = l->number, .outcome = GR_OUTCOME_RETRY, .out.has_data = true,
					.err.has_data = true };

	gr_run_end(j, NULL, l->worker, &m, cause);
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
	if (c->is_ending)
		gr_begun_flush(c->batch);
	else
		each_attempt(c->batch, w, GR_BC_LOST);
	if (bw) {
		gr_bblobs_forget(c->batch, bw);
		bw->w = NULL;
		w->batch = NULL;
		gr_bworker_unref(&bw);
	}
}
