/* batch_end.c - an attempt ends: ENDED becomes rows, events and an acknowledgement
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

/* What trust is kept by besides the worker: the program. */
uint64_t gr_run_toolchain(const struct gr_stage *st)
{
	const char *argv0 = json_string_value(json_array_get(json_object_get(st->json, "argv"), 0));

	return gr_hash64(argv0, strlen(argv0), 11);
}

static enum gr_bcause cause_of(const struct gr_stage *st, const struct gr_blive *l, const struct gr_ended_msg *m)
{
	switch (m->outcome) {
	case GR_OUTCOME_DONE:
		if (l->of)
			return gr_check_cause(m);
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
	case GR_OUTCOME_DISK:
		return GR_BC_DISK;
	case GR_OUTCOME_CANCELLED:
		return l->stop_cause ? l->stop_cause : m->flags & GR_ENDED_F_DRAINED ? GR_BC_EVICTED : GR_BC_CANCELLED;
	default:
		return m->flags & GR_ENDED_F_DRAINED ? GR_BC_EVICTED : GR_BC_WORKER;
	}
}

/* What copies are compared by: the streams and outputs (@digests), or those that were named. */
static void digest_of(const struct gr_stage *st, const struct gr_ended_msg *m, const struct gr_digest *digests, struct gr_digest *out)
{
	struct gr_list_it it = gr_list_begin(&m->outputs);
	struct gr_sha256 *h = gr_sha256_new();
	struct gr_placed_file f;
	struct gr_digest d;
	const json_t *v;
	size_t i;

	for (; gr_placed_next(&it, &f, true); digests++) {
		bool is_wanted = !st->compare;

		json_array_foreach(st->compare, i, v)
			is_wanted = is_wanted || gr_slice_is(f.path, json_string_value(v));
		if (!is_wanted)
			continue;
		gr_sha256_add(h, f.path.p, f.path.n);
		gr_sha256_add(h, &f.kind, 1);
		gr_sha256_add(h, digests->b, sizeof(digests->b));
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
static uint64_t store_outputs(struct gr_bj *j, struct gr_store_tx *tx, const struct gr_ended_msg *m, const struct gr_digest *digests)
{
	struct gr_list_it it = gr_list_begin(&m->outputs);
	struct gr_placed_file f;
	uint64_t bytes = 0;
	int64_t seq = 0;

	for (; gr_placed_next(&it, &f, true); digests++) {
		char *path = gr_xstrndup((const char *)f.path.p, f.path.n), *target = NULL;

		if (f.kind == GR_PLACED_FILE) {
			gr_bj_pin(j, digests, f.item.size);
			bytes += f.item.size;
		}
		if (f.kind == GR_PLACED_LINK)
			target = gr_xstrndup((const char *)f.target.p, f.target.n);
		gr_store_add(tx, GR_SQL_OUTPUT, (int64_t)j->id, (int64_t)m->task, (int64_t)m->attempt, seq++, (int64_t)f.index, (int64_t)f.kind, path,
			     (int64_t)f.mode, (int64_t)f.item.size, f.kind == GR_PLACED_FILE ? gr_slice(digests->b, sizeof(digests->b)) : gr_slice(NULL, 0), target);
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

static bool is_kept(const struct gr_bj *j, const struct gr_stage *st, enum gr_bcause cause)
{
	return j->spec->keep_logs == GR_KEEP_ALL || (j->spec->keep_logs == GR_KEEP_FAILED && !gr_bcause_is_good(cause)) ||
	       (st->replicas && cause == GR_BC_DONE && st->check);     /* it is a comparator's input */
}

struct now {                               /* read once for all that is said of an end */
	uint64_t ns;
	int64_t ms;                       /* of the wall clock */
};

static int64_t start_ms(const struct gr_blive *was, const struct now *now) { return now->ms - (int64_t)((now->ns - was->start_ns) / GR_NS_PER_MS); }

/* It did its task, and a few numbers and bytes are all there is to say of it. */
static bool is_plain(const struct gr_bj *j, const struct gr_stage *st, const struct gr_ended_msg *m, const struct gr_bended *v)
{
	bool has_streams = is_kept(j, st, v->cause);

	return v->verdict == GR_BV_DONE && v->cause == GR_BC_DONE && !st->replicas && !v->was.is_stored && !m->outputs.n && !m->reason.n &&
	       (!has_streams || (m->out.has_data && m->err.has_data && m->out.data.n + m->err.data.n <= GR_STORE_DONE_BYTES));
}

static int64_t mem_mib_ms(const struct gr_ended_msg *m) { return (int64_t)((m->max_rss_bytes >> 20) * (m->wall_us / 1000)); }

/* In place of store_end and the rows of usage and outcome. */
static void store_plain(struct gr_bj *j, const struct gr_stage *st, struct gr_store_tx *tx, const struct gr_ended_msg *m, const struct gr_blive *was,
			const struct now *now)
{
	bool has_streams = is_kept(j, st, GR_BC_DONE);
	const struct gr_worker *w = was->peer;
	const struct gr_store_attempt_row row = {
		.task = (int64_t)m->task, .attempt = (int64_t)m->attempt, .ordinal = (int64_t)was->ordinal, .worker = w ? w->name : "",
		.node = w ? w->node : "", .worker_id = was->worker, .node_id = was->node, .start_ms = start_ms(was, now), .end_ms = now->ms,
		.cause = GR_BC_DONE, .cpu_us = (int64_t)m->cpu_us, .wall_us = (int64_t)m->wall_us, .max_rss = (int64_t)m->max_rss_bytes,
		.wait_us = (int64_t)m->wait_us, .in_bytes = (int64_t)m->in_bytes, .flags = (int64_t)m->flags, .out_size = (int64_t)m->out.size,
		.err_size = (int64_t)m->err.size, .out_data = has_streams ? m->out.data : gr_slice(NULL, 0),
		.err_data = has_streams ? m->err.data : gr_slice(NULL, 0),
	};

	gr_store_done(tx, (int64_t)j->id, j->tenant, mem_mib_ms(m), &row);
}

/* @was: the attempt. Of a short one the row of its beginning is not written yet (batch_begun.c): then this is all of it. */
static void store_end(struct gr_bj *j, const struct gr_stage *st, struct gr_store_tx *tx, const struct gr_ended_msg *m, const struct gr_blive *was,
		      const struct gr_bend *e, bool counts, const struct now *now)
{
	const struct gr_worker *w = was->peer;
	enum gr_bcause cause = e->cause;
	bool has_streams = is_kept(j, st, cause);
	struct gr_slice digest = st->replicas && cause == GR_BC_DONE ? gr_slice(e->digest.b, sizeof(e->digest.b)) : gr_slice(NULL, 0);
	char *reason = m->reason.n ? gr_xstrndup((const char *)m->reason.p, m->reason.n < 2000 ? m->reason.n : 2000) : NULL;
	struct gr_slice out = has_streams && m->out.has_data ? m->out.data : gr_slice(NULL, 0), out_digest = digest_slice(j, &m->out, has_streams);
	struct gr_slice err = has_streams && m->err.has_data ? m->err.data : gr_slice(NULL, 0), err_digest = digest_slice(j, &m->err, has_streams);

	if (was->is_stored)
		gr_store_add(tx, GR_SQL_END, (int64_t)j->id, (int64_t)m->task, (int64_t)m->attempt, now->ms, (int64_t)cause, (int64_t)m->exit_code,
			     (int64_t)m->term_signal, (int64_t)m->cpu_us, (int64_t)m->wall_us, (int64_t)m->max_rss_bytes, (int64_t)m->wait_us,
			     (int64_t)m->in_bytes, reason, (int64_t)m->flags, (int64_t)m->out.size, (int64_t)m->err.size, out, err, out_digest,
			     err_digest, (int64_t)counts, digest);
	else
		gr_store_add(tx, GR_SQL_ATTEMPT, (int64_t)j->id, (int64_t)m->task, (int64_t)m->attempt, (int64_t)was->ordinal, w ? w->name : "",
			     w ? w->node : "", (int64_t)was->worker, (int64_t)was->node,
			     start_ms(was, now), now->ms, (int64_t)cause, (int64_t)counts,
			     (int64_t)m->exit_code, (int64_t)m->term_signal, (int64_t)m->cpu_us, (int64_t)m->wall_us, (int64_t)m->max_rss_bytes,
			     (int64_t)m->wait_us, (int64_t)m->in_bytes, reason, (int64_t)m->flags, (int64_t)m->out.size, (int64_t)m->err.size, out,
			     err, out_digest, err_digest, digest, (int64_t)was->of, (int64_t)was->against);
	if (!was->is_stored)
		gr_begun_add_same(j, tx, (uint32_t)m->task, was);
	free(reason);
}

/* @tx NULL: the row of it is another one's part. */
static void store_usage(struct gr_bj *j, struct gr_store_tx *tx, const struct gr_ended_msg *m, const struct gr_bended *v, enum gr_bcause cause,
			uint64_t out_bytes)
{
	bool was_sent = cause != GR_BC_UNSENT;       /* what was taken back before it began is no attempt to account for */
	struct gr_batch *b = j->batch;
	const struct gr_tenant_use use = {
		.cpu_us = m->cpu_us, .wasted_us = v->verdict == GR_BV_DONE || v->verdict == GR_BV_WAIT ? 0 : m->cpu_us, .attempts = was_sent,
		.retries = was_sent && (v->verdict == GR_BV_AGAIN || v->verdict == GR_BV_LATER),
		.done = v->verdict == GR_BV_DONE, .failed = v->verdict == GR_BV_FAILED,
	};

	b->cpu_us += m->cpu_us;
	b->in_bytes += m->in_bytes;
	b->out_bytes += out_bytes;
	b->wasted_us += use.wasted_us;
	gr_batch_used(j, &use);
	if (!tx)
		return;
	gr_store_add(tx, GR_SQL_USAGE, (int64_t)j->id, j->tenant, (int64_t)use.cpu_us, mem_mib_ms(m), (int64_t)m->in_bytes, (int64_t)out_bytes,
		     (int64_t)use.attempts, (int64_t)use.retries, (int64_t)use.wasted_us, (int64_t)use.done, (int64_t)use.failed);
}

/* The task was over before: another copy was first, or it was cancelled. What this one cost is kept, its result is not. */
static void store_late(struct gr_bj *j, struct gr_store_tx *tx, const struct gr_ended_msg *m)
{
	gr_store_add(tx, GR_SQL_END_LATE, (int64_t)j->id, (int64_t)m->task, (int64_t)m->attempt, (int64_t)gr_clock_real_ms(),
		     (int64_t)GR_BC_SUPERFLUOUS, (int64_t)m->cpu_us, (int64_t)m->wall_us, (int64_t)m->max_rss_bytes);
	gr_store_add(tx, GR_SQL_USAGE_LATE, (int64_t)j->id, j->tenant, (int64_t)m->cpu_us);
}

static void release(struct gr_coord *c, const struct gr_blive *l, enum gr_bcause cause, const struct gr_ended_msg *m, uint64_t now_ns)
{
	struct gr_place_ended e = { .how = GR_PLACE_STOPPED, .cpu_us = m->cpu_us, .max_rss_bytes = m->max_rss_bytes };

	if (l->is_lost || l->placed == GR_UNPLACED)
		return;
	if (gr_bcause_is_good(cause) || cause == GR_BC_EXIT || cause == GR_BC_COMPARE || cause == GR_BC_DISAGREED)
		e.how = GR_PLACE_DONE;
	else if (cause == GR_BC_OOM)
		e.how = GR_PLACE_OOM;
	else if (cause == GR_BC_WORKER)
		e.how = GR_PLACE_FAILED;
	gr_place_end(c->place, now_ns, l->placed, &e);
}

static void store_trust(struct gr_bj *j, struct gr_store_tx *tx, const struct gr_stage *st, const struct gr_bresult *r, uint32_t n)
{
	uint64_t tool = gr_run_toolchain(st);

	for (uint32_t i = 0; i < n; i++)
		gr_store_add(tx, GR_SQL_TRUST, (int64_t)r[i].worker, (int64_t)tool, (int64_t)gr_trust_valid(&j->batch->trust, r[i].worker, tool));
}

/* gr_run_end of one with files, whose digests are @digests. */
static void run_end(struct gr_bj *j, struct gr_bworker *bw, uint64_t worker, const struct gr_ended_msg *m, const struct gr_digest *digests,
		    enum gr_bcause cause)
{
	struct gr_batch *b = j->batch;
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)m->task)];
	struct gr_btask *t = gr_bjob_find(&j->b, (uint32_t)m->task);
	struct gr_bresult *results = t && t->n_results ? gr_xmemdup(t->results, t->n_results * sizeof(*t->results)) : NULL;
	uint32_t n_results = t ? t->n_results : 0, tries = t ? t->n_tries + t->n_check_tries : 0;
	struct gr_bend e = { .cause = cause, .exit_code = m->exit_code, .toolchain = st->replicas ? gr_run_toolchain(st) : 0 };
	struct gr_store_tx *tx = gr_store_tx_new(b->store);
	const struct now now = { gr_coord_now(b->c), (int64_t)gr_loop_real_ms(b->c->loop) };
	struct gr_pend *p = gr_pend_new(b);
	struct gr_blive *l = t ? gr_btask_live(t, m->attempt) : NULL;
	struct gr_bended v;
	uint64_t out_bytes = 0;
	bool counts, is_packed;

	if (bw && l)
		gr_place_soon(b->c->place, l->placed, true);
	p->job = j->id;
	p->task = m->task;
	p->attempt = m->attempt;
	if (bw) {
		bw->n_refs++;
		p->bw = bw;
	}
	if (st->replicas && cause == GR_BC_DONE)
		digest_of(st, m, digests, &e.digest);
	if (cause == GR_BC_CHECKPOINT && t)
		t->has_checkpoint = true;
	b->pend = p;
	v = gr_bjob_end(&j->b, (uint32_t)m->task, m->attempt, worker, &e, now.ns);
	if (v.verdict == GR_BV_FENCED) {
		b->fenced++;
		gr_history(b, "fenced", j->id, (int64_t)m->task, m->attempt, "");
		gr_pend_commit(p, tx, false);
		free(results);
		return;
	}
	cause = e.cause = v.cause;
	j->is_dirty = true;
	b->causes[cause]++;
	gr_recent_end(b->c->recent, (uint64_t)now.ms, j->id, m->task, m->attempt, gr_bcause_name(cause), m->exit_code);
	if (bw)
		release(b->c, &v.was, cause, m, now.ns);
	t = gr_bjob_find(&j->b, (uint32_t)m->task);
	counts = t ? t->n_tries + t->n_check_tries > tries : v.verdict == GR_BV_FAILED;
	if (cause == GR_BC_DONE || cause == GR_BC_CHECKPOINT)
		out_bytes = store_outputs(j, tx, m, digests);
	is_packed = is_plain(j, st, m, &v);
	if (is_packed)
		store_plain(j, st, tx, m, &v.was, &now);
	else
		store_end(j, st, tx, m, &v.was, &e, counts, &now);
	l = t ? gr_btask_live(t, m->attempt) : NULL;
	if (l)
		l->is_stored = true;      /* it was lost, and may come back */
	store_usage(j, is_packed ? NULL : tx, m, &v, cause, out_bytes);
	if (st->replicas && v.verdict == GR_BV_DONE) {
		const struct gr_bresult own = { .worker = worker };

		store_trust(j, tx, st, results, n_results);
		if (!v.was.of)
			store_trust(j, tx, st, &own, 1);
	}
	free(results);
	p->is_end = true;
	p->ended.verdict = v.verdict;
	p->ended.cause = v.verdict == GR_BV_DONE ? GR_BC_DONE : cause;
	if (v.verdict != GR_BV_DONE) {             /* of the task, that is: a comparison may have found the last difference */
		p->ended.exit_code = m->exit_code;
		p->ended.term_signal = m->term_signal;
	}
	p->ended.ordinal = v.was.ordinal;
	p->ended.delay_ms = v.due_ns ? (v.due_ns - now.ns) / GR_NS_PER_MS : 0;
	p->is_over = v.verdict == GR_BV_DONE || v.verdict == GR_BV_FAILED || v.verdict == GR_BV_CANCELLED;
	if (v.verdict == GR_BV_DONE || v.verdict == GR_BV_FAILED) {
		if (!is_packed)
			gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)j->id, (int64_t)m->task, (int64_t)(v.verdict == GR_BV_DONE ? GR_B_DONE : GR_B_FAILED),
				     (int64_t)(v.verdict == GR_BV_DONE ? v.canonical : m->attempt));
		gr_history(b, v.verdict == GR_BV_DONE ? "done" : "failed", j->id, (int64_t)m->task, v.verdict == GR_BV_DONE ? v.canonical : m->attempt,
			   gr_bcause_name(cause));
	} else if (v.verdict == GR_BV_CANCELLED) {
		gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)j->id, (int64_t)m->task, (int64_t)GR_B_CANCELLED, (int64_t)m->attempt);
		gr_history(b, "cancelled", j->id, (int64_t)m->task, m->attempt, "");
	} else {
		gr_history(b, "again", j->id, (int64_t)m->task, m->attempt, gr_bcause_name(cause));
	}
	gr_bj_settle(j, tx);
	gr_pend_commit(p, tx, false);
	gr_dispatch_kick(b->c);
}

void gr_run_end(struct gr_bj *j, struct gr_bworker *bw, uint64_t worker, const struct gr_ended_msg *m, enum gr_bcause cause)
{
	run_end(j, bw, worker, m, NULL, cause);
}

void gr_run_ended(struct gr_batch *b, struct gr_bworker *bw, const struct gr_ended_msg *m, const struct gr_digest *digests)
{
	struct gr_bj *j = gr_bj_find(b, m->job);
	struct gr_btask *t = j && j->spec && j->state == GR_J_OPEN && m->task < j->n_tasks ? gr_bjob_find(&j->b, (uint32_t)m->task) : NULL;
	struct gr_blive *l = t ? gr_btask_live(t, m->attempt) : NULL;

	if (l && l->worker == bw->w->identity) {
		gr_place_soon(b->c->place, l->placed, false);
		run_end(j, bw, bw->w->identity, m, digests, cause_of(&j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)m->task)], l, m));
	} else {
		struct gr_store_tx *tx = gr_store_tx_new(b->store);
		struct gr_pend *p = gr_pend_new(b);

		b->fenced++;
		gr_history(b, "fenced", m->job, (int64_t)m->task, m->attempt, bw->w->name);
		p->job = m->job;
		p->task = m->task;
		p->attempt = m->attempt;
		p->bw = bw;
		bw->n_refs++;
		if (j)
			store_late(j, tx, m);
		gr_pend_commit(p, tx, false);
	}
}

void gr_run_ended_without(struct gr_batch *b, struct gr_bworker *bw, const struct gr_ended_msg *m, const char *why)
{
	const struct gr_ended_msg none = { .job = m->job, .task = m->task, .attempt = m->attempt, .outcome = GR_OUTCOME_RETRY, .cpu_us = m->cpu_us,
					   .wall_us = m->wall_us, .max_rss_bytes = m->max_rss_bytes, .reason = gr_slice_str(why),
					   .out.has_data = true, .err.has_data = true };
	struct gr_bj *j = gr_bj_find(b, m->job);

	if (j && j->spec && j->state == GR_J_OPEN && m->task < j->n_tasks)
		gr_run_end(j, bw, bw->w->identity, &none, GR_BC_WORKER);
}

int gr_batch_ended(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	struct gr_batch *b = c->batch;
	struct gr_ended_msg m;
	int rc = gr_ended_decode(body, &m);

	if (rc < 0)
		return rc;
	if (m.out.has_data && m.err.has_data && !m.outputs.n)      /* it names no files: nothing to wait for, nothing to keep */
		gr_run_ended(b, gr_bworker_of(b, w), &m, NULL);
	else
		gr_bblobs_await(b, gr_bworker_of(b, w), body, &m);
	return 0;
}
