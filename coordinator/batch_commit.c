/* batch_commit.c - what waits for a commit: answers, acknowledgements, events, and tasks that may run only then */
#include "coordinator/batch_int.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

struct gr_pend *gr_pend_new(struct gr_batch *b)
{
	struct gr_pend *p;

	b->spare_pends.size = sizeof(*p);
	p = gr_pool_get(&b->spare_pends);
	p->batch = b;
	gr_list_init(&p->link);
	gr_list_push(&b->pends, &p->link);
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
	gr_list_del(&p->link);
	gr_bworker_unref(&p->bw);
	json_decref(p->events);
	json_decref(p->rep);
	free(p->ready);
	gr_pool_put(&p->batch->spare_pends, p);
}

/* One of several attempts, whose task goes on with the others, is no news of the task. */
static void tell_end(const struct gr_pend *p)
{
	bool is_final = p->is_over;
	json_t *o;

	if (!is_final && p->ended.verdict != GR_BV_AGAIN && p->ended.verdict != GR_BV_LATER)
		return;
	o = json_pack("{s:I, s:I, s:s}", "job", (json_int_t)p->job, "task", (json_int_t)p->task, "cause", gr_bcause_name(p->ended.cause));

	if (is_final)
		json_object_update_new(o, json_pack("{s:s, s:i, s:i, s:i}", "state", p->ended.verdict == GR_BV_DONE ? "done" :
					p->ended.verdict == GR_BV_FAILED ? "failed" : "cancelled", "exit_code", p->ended.exit_code, "signal",
					p->ended.term_signal, "ordinal", (int)p->ended.ordinal));
	else
		json_object_set_new(o, "delay_ms", json_integer((json_int_t)p->ended.delay_ms));
	gr_batch_emit(p->batch, is_final ? "task.ended" : "task.retry", o);
}

static void on_commit(void *ctx, int rc)
{
	struct gr_pend *p = ctx;
	struct gr_batch *b = p->batch;
	struct gr_bj *j = gr_bj_find(b, p->job);
	const json_t *e;
	size_t i;

	/* what it would confirm was given back meanwhile; with no row of its own, this one came through */
	if (rc == 0 && p->confirms && !(j && j->is_committed))
		rc = GR_EIO;
	if (rc < 0) {
		struct gr_err err;

		gr_err_set(&err, rc, "cannot be stored: %s", gr_store_trouble(b->store) ? gr_store_trouble(b->store) : gr_err_text(rc));
		if (j && p->is_submit && !j->is_committed)
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

		if (t && p->ready[k].is_check)
			gr_run_offer_check(j, t);
		else if (!p->ready[k].is_check)
			gr_run_offer(j, p->ready[k].first, p->ready[k].count, t);
	}
	if (p->is_end && gr_watch_wants_tasks(b))
		tell_end(p);
	if (p->events)
		json_array_foreach(p->events, i, e)
			gr_batch_emit(b, json_string_value(json_array_get(e, 0)), json_incref(json_array_get(e, 1)));
	if (p->is_over && j && j->spec)
		gr_logs_over(j, (uint32_t)p->task);
	if (p->fn) {
		p->fn(p->ctx, p->rep, NULL);
		p->rep = NULL;
	}
	pend_free(p);
}

void gr_pends_close(struct gr_batch *b)
{
	GR_LIST_EACH_SAFE(p, &b->pends, struct gr_pend, link)
		pend_free(p);
	gr_pool_fini(&b->spare_pends);
}

void gr_pend_commit(struct gr_pend *p, struct gr_store_tx *tx, bool may_fail)
{
	if (p->batch->pend == p)
		p->batch->pend = NULL;
	gr_store_commit(&tx, may_fail, on_commit, p);
}
