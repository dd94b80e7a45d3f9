/* batch_copies.c - a task done more than once: copies, comparisons of their results by the user's command, and the quorum (quorum.h) */
#include <stdlib.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/job/batch_int.h"

uint32_t gr_copies__running(const struct gr_btask *t, bool is_check)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n_lives; i++)
		n += !t->lives[i].is_lost && !t->lives[i].of == !is_check;
	return n;
}

bool gr_copies__has_result(const struct gr_btask *t, uint64_t node)
{
	for (uint32_t i = 0; i < t->n_results; i++)
		if (t->results[i].node == node)
			return true;
	return false;
}

bool gr_copies__is_alike(const struct gr_btask *t, const struct gr_blive *l) { return !t->same || l->same == t->same; }

/* BOINC's rule (sched/transitioner.cpp: a class is reset without a success and none in progress). What has brought a result stays: the
 * worker to compare it with may come again, and what was computed is not thrown away unasked. */
void gr_copies__unbind(struct gr_btask *t)
{
	if (!t->n_results && !gr_copies__running(t, false) && !t->is_awaited)
		t->same = 0;
}

bool gr_btask_is_at(const struct gr_btask *t, uint64_t node)
{
	for (uint32_t i = 0; i < t->n_lives; i++)
		if (t->lives[i].node == node && !t->lives[i].is_lost && !t->lives[i].of)
			return true;
	return gr_copies__has_result(t, node);
}

bool gr_copies__has_lost(const struct gr_btask *t, bool is_check)
{
	for (uint32_t i = 0; i < t->n_lives; i++)
		if (t->lives[i].is_lost && !t->lives[i].of == !is_check)
			return true;
	return false;
}

static enum gr_quorum weigh(const struct gr_btask *t, bool is_fuzzy, uint32_t quorum, struct gr_qview *out)
{
	struct gr_qresult r[GR_QUORUM_MAX];

	for (uint32_t i = 0; i < t->n_results; i++)
		r[i] = t->results[i].q;
	return gr_quorum_check(r, t->n_results, quorum, is_fuzzy, out);
}

static struct gr_bresult *result_of(const struct gr_btask *t, uint32_t number)
{
	for (uint32_t i = 0; i < t->n_results; i++)
		if (t->results[i].number == number)
			return &t->results[i];
	return NULL;
}

static void add_result(struct gr_btask *t, const struct gr_digest *digest, uint64_t worker, uint64_t node, uint32_t number)
{
	if (!t->results)
		t->results = gr_xalloc(GR_QUORUM_MAX * sizeof(*t->results));
	if (t->n_results < GR_QUORUM_MAX)         /* more are those of lost workers that came back: there are enough without */
		t->results[t->n_results++] = (struct gr_bresult){ { .digest = *digest }, worker, node, number };
}

static void note_verdict(struct gr_btask *t, uint32_t of, uint32_t against, bool is_equal)
{
	struct gr_bresult *a = result_of(t, of), *b = result_of(t, against);

	if (!a || !b)
		return;
	if (is_equal) {
		a->q.same |= (uint16_t)(1u << (b - t->results));
		b->q.same |= (uint16_t)(1u << (a - t->results));
	} else {
		a->q.differs |= (uint16_t)(1u << (b - t->results));
		b->q.differs |= (uint16_t)(1u << (a - t->results));
	}
}

bool gr_copies__is_open_pair(const struct gr_btask *t, uint32_t of, uint32_t against)
{
	const struct gr_bresult *a = result_of(t, of), *b = result_of(t, against);

	return a && b && !((a->q.same | a->q.differs) >> (b - t->results) & 1);
}

bool gr_bjob_pair(const struct gr_bjob *j, const struct gr_btask *t, const struct gr_bresult **of, const struct gr_bresult **against)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)t->task)];
	struct gr_qview v;

	if (!st->check || weigh(t, true, st->quorum, &v) != GR_QUORUM_COMPARE)
		return false;
	*of = &t->results[v.of];
	*against = &t->results[v.against];
	return true;
}

void gr_copies__want(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, struct gr_blive *l, uint64_t toolchain)
{
	if (t->n_target)
		return;
	t->n_target = st->replicas;
	if (st->is_adaptive && j->trust && gr_trust_ask(j->trust, l->worker, toolchain)) {
		t->n_target = 1;
		l->is_alone = true;
	}
}

void gr_copies__offer(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t)
{
	const struct gr_bresult *of, *against;

	if (gr_bjob__is_closed(j))
		return;
	while (!t->heap_at && gr_copies__running(t, false) + t->n_results + t->n_queued < t->n_target) {
		t->n_queued++;
		j->ops->ready(j->ctx, (uint32_t)t->task, 1, t);
	}
	if (st->check && !t->is_check_queued && !t->is_check_held && !gr_copies__running(t, true) && !(t->is_awaited && gr_copies__has_lost(t, true)) &&
	    gr_bjob_pair(j, t, &of, &against)) {
		t->is_check_queued = true;
		j->ops->check(j->ctx, t);
	}
}

void gr_copies__hold(struct gr_btask *t, uint64_t due_ns)
{
	if (!t->heap_at || t->due_ns < due_ns)
		gr_btask__due_add(t, due_ns);
}

void gr_copies__resume(struct gr_bjob *j, struct gr_btask *t)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)t->task)];
	enum gr_quorum q;
	struct gr_qview v;

	/* with as many as that its outcome is in the row beside the last one's end; should it not be, that one is run again */
	while ((q = weigh(t, st->check, st->quorum, &v)) == GR_QUORUM_MET || (q == GR_QUORUM_SHORT && t->n_results >= GR_SPEC_MAX_REPLICAS))
		t->n_results--;
	t->n_target = st->replicas > t->n_results ? st->replicas : t->n_results + (q == GR_QUORUM_SHORT);
	if (gr_bjob__state(j, (uint32_t)t->task) == GR_B_RUNNING)
		gr_copies__offer(j, st, t);
}

void gr_bjob_restore_result(struct gr_bjob *j, uint32_t task, uint32_t number, uint64_t worker, uint64_t node, const struct gr_digest *digest)
{
	struct gr_btask *t;

	if (gr_bstate__is_final(gr_bjob__state(j, task)))
		return;
	t = gr_bjob_record(j, task);
	add_result(t, digest, worker, node, number);
	if (gr_bjob__state(j, task) != GR_B_BACKOFF)
		gr_bjob__put(j, task, GR_B_RUNNING);
}

void gr_bjob_restore_verdict(struct gr_bjob *j, uint32_t task, uint32_t of, uint32_t against, enum gr_bcause cause, bool counts)
{
	struct gr_btask *t = gr_bjob_find(j, task);

	if (!t)
		return;
	if (cause == GR_BC_EQUAL || cause == GR_BC_DIFFERENT) {
		note_verdict(t, of, against, cause == GR_BC_EQUAL);
		t->n_check_tries = t->n_check_lost = 0;
	} else {
		t->n_check_tries += counts;
		t->n_check_lost += cause == GR_BC_LOST;
	}
}

struct gr_blive *gr_bjob_begin_check(struct gr_bjob *j, uint32_t task, uint64_t worker, uint64_t node, void *peer, uint64_t placed, uint64_t now_ns)
{
	struct gr_btask *t = gr_bjob_find(j, task);
	const struct gr_bresult *of, *against;
	struct gr_blive *l;

	if (!t || !t->is_check_queued || !gr_bjob_pair(j, t, &of, &against))
		return NULL;
	l = gr_btask__begin(t, worker, node, peer, placed, now_ns);
	if (!l)
		return NULL;
	l->of = of->number;
	l->against = against->number;
	t->is_check_queued = false;
	return l;
}

void gr_bjob_hold_check(struct gr_bjob *j, uint32_t task, uint64_t due_ns)
{
	struct gr_btask *t = gr_bjob_find(j, task);

	t->is_check_queued = false;
	t->is_check_held = true;
	gr_copies__hold(t, due_ns);
}

static void tell_trust(struct gr_bjob *j, const struct gr_btask *t, const struct gr_qview *v, uint64_t toolchain)
{
	for (uint32_t i = 0; j->trust && i < t->n_results; i++)
		gr_trust_tell(j->trust, t->results[i].worker, toolchain, v->kin[i] == v->canonical);
}

enum gr_bverdict gr_copies__decide(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, uint32_t quorum, uint64_t toolchain,
			       struct gr_bended *out)
{
	struct gr_qview v;
	enum gr_quorum q = weigh(t, st->check, quorum, &v);

	if (q == GR_QUORUM_MET) {
		out->canonical = t->results[v.canonical].number;
		tell_trust(j, t, &v, toolchain);
		gr_bjob__finish(j, t, GR_B_DONE);
		return GR_BV_DONE;
	}
	if (q == GR_QUORUM_SHORT && (gr_copies__running(t, false) || t->n_queued))
		return GR_BV_WAIT;
	if (gr_bjob__is_closed(j))
		return gr_bjob__end_closed(j, t);
	if (q == GR_QUORUM_SHORT && t->n_results >= GR_SPEC_MAX_REPLICAS) {
		out->cause = GR_BC_DISAGREED;
		gr_bjob__finish(j, t, GR_B_FAILED);
		return GR_BV_FAILED;
	}
	if (q == GR_QUORUM_SHORT && t->n_target <= t->n_results)
		t->n_target = t->n_results + 1;
	gr_copies__offer(j, st, t);
	return GR_BV_WAIT;
}

enum gr_bverdict gr_copies__end_check(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, const struct gr_blive *was,
				  const struct gr_bend *e, uint64_t now_ns, struct gr_bended *out)
{
	if (e->cause == GR_BC_EQUAL || e->cause == GR_BC_DIFFERENT) {
		gr_bjob__put(j, (uint32_t)t->task, GR_B_RUNNING);      /* as in end_copy */
		note_verdict(t, was->of, was->against, e->cause == GR_BC_EQUAL);
		t->n_check_tries = t->n_check_lost = 0;
		t->check_bad_node = 0;
		for (uint32_t i = 0; i < t->n_lives; i++) {   /* it was lost, and came back first */
			if (!t->lives[i].is_lost && t->lives[i].of == was->of && t->lives[i].against == was->against)
				j->ops->stop(j->ctx, t, &t->lives[i], GR_BC_SUPERFLUOUS);
			if (t->lives[i].of)
				t->lives[i].is_charged = false;
		}
		return gr_copies__decide(j, st, t, st->quorum, e->toolchain, out);
	}
	if (gr_bjob__is_closed(j))
		return gr_bjob__end_closed(j, t);
	t->n_check_tries += gr_bcause__counts(e->cause);
	if (e->cause == GR_BC_LOST) {
		t->n_check_lost++;
		gr_btask_live(t, was->number)->is_charged = true;
	}
	if (t->n_check_tries > st->check->retry_max || t->n_check_lost > GR_BATCH_MAX_LOST) {
		gr_bjob__finish(j, t, GR_B_FAILED);
		return GR_BV_FAILED;
	}
	if (gr_bcause__counts(e->cause)) {
		t->check_bad_node = was->node;
		t->is_check_held = true;
		gr_copies__hold(t, out->due_ns = now_ns + GR_BATCH__TROUBLE_NS);
		return GR_BV_LATER;
	}
	gr_copies__offer(j, st, t);
	return GR_BV_AGAIN;
}

enum gr_bverdict gr_copies__end(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, const struct gr_blive *was, const struct gr_bend *e,
				 struct gr_bended *out)
{
	/* of one that was lost it may come while the task waits for that worker, or for a place: that is over */
	gr_bjob__put(j, (uint32_t)t->task, GR_B_RUNNING);
	for (uint32_t i = 0; i < t->n_lives; i++)             /* begun there meanwhile */
		if (!t->lives[i].is_lost && !t->lives[i].of && t->lives[i].node == was->node)
			j->ops->stop(j->ctx, t, &t->lives[i], GR_BC_SUPERFLUOUS);
	add_result(t, &e->digest, was->worker, was->node, was->number);
	return gr_copies__decide(j, st, t, was->is_alone && t->n_target == 1 ? 1 : st->quorum, e->toolchain, out);
}
