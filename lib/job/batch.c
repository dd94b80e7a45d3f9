/* batch.c - attempts of tasks: how they begin, what their ends come to; see batch.h
 *
 * gr_bjob_end is the only one that turns the end of an attempt into the state of its task, which batch_stages.c keeps.
 */
#include "lib/job/batch_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"

static const struct { const char *name; bool counts; } causes[] = {
#define X(name, text, counts) { text, counts },
	GR_BCAUSE_MAP(X)
#undef X
};

const char *gr_bcause_name(enum gr_bcause c)
{
	return c < GR_BC_N ? causes[c].name : "?";
}

bool gr_bcause__counts(enum gr_bcause c) { return causes[c].counts; }

/* ---- begin ---- */

void gr_bjob_init(struct gr_bjob *j, const struct gr_spec *spec, struct gr_trust *trust, const struct gr_bjob_ops *ops, void *ctx)
{
	memset(j, 0, sizeof(*j));
	j->spec = spec;
	j->trust = trust;
	j->ops = ops;
	j->ctx = ctx;
	j->n_numbers = GR_BATCH_STRIDE;
	gr_states_init(&j->states, spec->n_tasks, GR_B_BLOCKED);
	j->n_stage_done = gr_xalloc(spec->n_stages * sizeof(*j->n_stage_done));
}

void gr_bjob_fini(struct gr_bjob *j)
{
	struct gr_btask *t;
	size_t i;

	while (i = 0, (t = gr_map_each(&j->tasks, &i)))
		gr_btask__free(t);
	gr_map_fini(&j->tasks);
	gr_pool_fini(&j->spare);
	free(j->due);
	free(j->n_stage_done);
	gr_states_fini(&j->states);
	if (j->anew.n)
		gr_states_fini(&j->anew);
}

void gr_bjob_restore(struct gr_bjob *j, uint32_t task, enum gr_bstate outcome)
{
	gr_bjob__put(j, task, outcome);
}

struct gr_blive *gr_bjob_restore_live(struct gr_bjob *j, uint32_t task, uint32_t number, uint64_t worker, uint64_t node, uint64_t due_ns)
{
	struct gr_btask *t;
	struct gr_blive *l;

	if (gr_bstate__is_final(gr_bjob__state(j, task)))
		return NULL;
	t = gr_bjob_record(j, task);
	l = gr_btask__live_add(t);
	if (!l)
		return NULL;
	l->number = number;
	l->is_lost = true;
	l->worker = worker;
	l->node = node;
	gr_bjob__put(j, task, GR_B_BACKOFF);
	gr_btask__due_add(t, due_ns);
	t->is_awaited = true;
	return l;
}

void gr_bjob_open(struct gr_bjob *j)
{
	struct gr_btask *t;
	size_t i = 0;

	while ((t = gr_map_each(&j->tasks, &i)))
		if (t->n_results && !t->n_target)
			gr_copies__resume(j, t);
	gr_bjob__open_stages(j);
}

struct gr_blive *gr_btask__begin(struct gr_btask *t, uint64_t worker, uint64_t node, void *peer, uint64_t placed, uint64_t now_ns)
{
	struct gr_blive *l = t->k + 1 < t->job->n_numbers ? gr_btask__live_add(t) : NULL;

	t->job->wants_numbers |= t->k + 1 >= t->job->n_numbers - GR_BATCH_STRIDE / 2;
	if (l)
		*l = (struct gr_blive){
			.number = t->job->floor + ++t->k, .ordinal = ++t->ordinal, .worker = worker, .node = node, .peer = peer,
			.placed = placed, .start_ns = now_ns, .same = t->same,
		};
	gr_btask__recount(t);
	return l;
}

struct gr_blive *gr_bjob_begin(struct gr_bjob *j, uint32_t task, uint64_t worker, uint64_t node, uint64_t toolchain, void *peer, uint64_t placed,
			       uint64_t now_ns)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];
	struct gr_btask *t = gr_bjob_record(j, task);
	struct gr_blive *l;
	uint32_t number;

	assert(!gr_bstate__is_final(gr_bjob__state(j, task)) && gr_bjob__state(j, task) != GR_B_BLOCKED);
	l = gr_btask__begin(t, worker, node, peer, placed, now_ns);
	if (!l)
		return NULL;
	if (gr_bjob__state(j, task) == GR_B_BACKOFF)
		gr_btask__due_drop(t);             /* a pause of a task with copies holds the others back still */
	number = l->number;
	if (t->n_queued)
		t->n_queued--;
	gr_bjob__put(j, task, GR_B_RUNNING);
	if (st->replicas) {
		gr_copies__want(j, st, t, l, toolchain);
		gr_copies__offer(j, st, t);
	}
	return gr_btask_live(t, number);
}

bool gr_bjob_adopt(struct gr_bjob *j, uint32_t task, uint32_t number, uint64_t worker, void *peer, uint64_t placed, struct gr_blive **out)
{
	struct gr_btask *t = task < j->spec->n_tasks ? gr_bjob_find(j, task) : NULL;
	struct gr_blive *l = t ? gr_btask_live(t, number) : NULL;
	const struct gr_stage *st;
	enum gr_bstate was;

	if (!l || !l->is_lost || l->worker != worker)
		return false;
	st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];
	if (gr_btask_n_live(t) && !st->replicas)
		return false;                     /* another attempt runs already: that one */
	if (l->of ? !gr_copies__is_open_pair(t, l->of, l->against) : st->replicas && (gr_btask_is_at(t, l->node) || !gr_copies__is_alike(t, l)))
		return false;                     /* there is a verdict already; another copy is there, or was begun on another kind of worker */
	was = gr_bjob__state(j, task);
	if (l->of)
		t->n_check_lost -= l->is_charged;
	else
		t->n_lost -= l->is_charged;
	l->is_charged = l->is_lost = false;
	l->peer = peer;
	l->placed = placed;
	if (!l->of)
		t->same = l->same;
	if (l->of)                                /* it was offered anew: the decision that still comes is given back */
		t->is_check_queued = false;
	else if (t->n_queued && gr_copies__running(t, false) + t->n_results + t->n_queued > t->n_target && t->n_target)
		t->n_queued--;
	if (!t->n_target && !st->is_adaptive)     /* else it is not known any more whether it went alone */
		t->n_target = st->replicas;
	if (st->replicas ? t->is_awaited && !gr_copies__has_lost(t, false) && !gr_copies__has_lost(t, true) : was == GR_B_BACKOFF) {
		gr_btask__due_drop(t);
		t->is_check_held = false;
	}
	if (was == GR_B_READY && !st->replicas)
		j->ops->withdrawn(j->ctx, task, 1);
	gr_bjob__put(j, task, GR_B_RUNNING);
	gr_btask__recount(t);
	if (st->replicas)
		gr_copies__offer(j, st, t);
	*out = l;
	return true;
}

void gr_bjob_started(struct gr_btask *t, struct gr_blive *l)
{
	l->is_started = true;
	gr_btask__recount(t);
}

/* ---- end ---- */

static bool has_code(const json_t *codes, int code)
{
	const json_t *v;
	size_t i;

	json_array_foreach(codes, i, v)
		if (json_integer_value(v) == code)
			return true;
	return false;
}

static bool may_retry(const struct gr_stage *st, const struct gr_btask *t, enum gr_bcause cause, int exit_code)
{
	uint32_t bit = 0;

	switch (cause) {
	case GR_BC_CANCELLED: case GR_BC_UNSENT: case GR_BC_EVICTED: case GR_BC_PREEMPTED: case GR_BC_CHECKPOINT: case GR_BC_RESTART:
	case GR_BC_SUPERFLUOUS:
		return true;
	case GR_BC_LOST:
		return st->retry_on & GR_RETRY_LOST && st->retry_max &&
		       t->n_lost <= (st->retry_max > GR_BATCH_MAX_LOST ? st->retry_max : GR_BATCH_MAX_LOST);
	case GR_BC_WORKER:
		bit = GR_RETRY_LOST;
		break;
	case GR_BC_OOM:
		bit = GR_RETRY_OOM;
		break;
	case GR_BC_TIMEOUT:
		bit = GR_RETRY_TIMEOUT;
		break;
	case GR_BC_EXIT: case GR_BC_OUTPUT:
		if (has_code(st->never_codes, exit_code) || (st->exit_codes && !has_code(st->exit_codes, exit_code)))
			return false;
		bit = GR_RETRY_EXIT;
		break;
	default:
		return false;
	}
	return st->retry_on & bit && t->n_tries <= st->retry_max;
}

static void limit_failures(struct gr_bjob *j)
{
	uint64_t n = j->states.count[GR_B_FAILED];
	const struct gr_spec *s = j->spec;

	if (gr_bjob__is_closed(j) || !n)
		return;
	if ((s->max_failures && n >= s->max_failures) ||
	    (s->max_failures_permille >= 0 && n * 1000 > (uint64_t)s->max_failures_permille * s->n_tasks)) {
		j->is_stopping = true;
		gr_bjob_cancel(j, GR_BC_CANCELLED);
	}
}

void gr_bjob_check_limit(struct gr_bjob *j)
{
	limit_failures(j);
}

enum gr_bverdict gr_bjob__end_closed(struct gr_bjob *j, struct gr_btask *t)
{
	if (gr_btask_n_live(t))
		return GR_BV_WAIT;
	gr_bjob__put(j, (uint32_t)t->task, GR_B_CANCELLED);
	return GR_BV_CANCELLED;
}

static void stop_others(struct gr_bjob *j, struct gr_btask *t, enum gr_bcause why)
{
	for (uint32_t i = 0; i < t->n_lives; i++)
		if (!t->lives[i].is_lost)
			j->ops->stop(j->ctx, t, &t->lives[i], why);
	if (t->n_queued || t->is_check_queued)
		j->ops->withdrawn(j->ctx, (uint32_t)t->task, 1);
}

void gr_bjob__finish(struct gr_bjob *j, struct gr_btask *t, enum gr_bstate to)
{
	uint32_t task = (uint32_t)t->task;

	stop_others(j, t, GR_BC_SUPERFLUOUS);
	gr_bjob__put(j, task, to);
	gr_bjob__go_on(j, task, to);
	if (to == GR_B_FAILED)
		limit_failures(j);
}

static uint64_t backoff_ns(const struct gr_stage *st, uint32_t n_tries)
{
	uint64_t ms = st->backoff_ms;

	for (uint32_t i = 1; i < n_tries && ms < st->backoff_max_ms; i++)
		ms *= 2;
	if (ms > st->backoff_max_ms)
		ms = st->backoff_max_ms;
	return ms * GR_NS_PER_MS;
}

/* Another try, now or later. */
static enum gr_bverdict again(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, const struct gr_bend *e, uint64_t now_ns,
			      struct gr_bended *out)
{
	enum gr_bcause cause = out->cause;
	uint64_t wait = gr_bcause__counts(cause) ? backoff_ns(st, t->n_tries) : 0;
	enum gr_bverdict v;

	/* a worker whose disk fails is free again at once: without a pause it would use up all tries of the task */
	if (cause == GR_BC_WORKER && wait < GR_BATCH__TROUBLE_NS)
		wait = GR_BATCH__TROUBLE_NS;
	if (st->replicas) {
		if (!t->n_target)         /* it is not remembered over a restart */
			t->n_target = st->replicas;
		if (wait)
			gr_copies__hold(t, out->due_ns = now_ns + wait);
		gr_copies__offer(j, st, t);
		/* the others may have brought all that was wanted, and waited for this one to be more */
		v = gr_copies__running(t, false) || t->n_queued ? GR_BV_WAIT : gr_copies__decide(j, st, t, st->quorum, e->toolchain, out);
		return v != GR_BV_WAIT ? v : wait ? GR_BV_LATER : GR_BV_AGAIN;
	}
	if (wait) {
		gr_bjob__put(j, (uint32_t)t->task, GR_B_BACKOFF);
		gr_btask__due_add(t, out->due_ns = now_ns + wait);
		return GR_BV_LATER;
	}
	gr_bjob__put(j, (uint32_t)t->task, GR_B_READY);
	j->ops->ready(j->ctx, (uint32_t)t->task, 1, t);
	return GR_BV_AGAIN;
}

struct gr_bended gr_bjob_end(struct gr_bjob *j, uint32_t task, uint32_t number, uint64_t worker, const struct gr_bend *e, uint64_t now_ns)
{
	struct gr_bended out = { .verdict = GR_BV_FENCED, .cause = e->cause };
	struct gr_btask *t = task < j->spec->n_tasks ? gr_bjob_find(j, task) : NULL;
	struct gr_blive *l = t ? gr_btask_live(t, number) : NULL;
	const struct gr_stage *st;
	bool was_lost;

	if (!l || l->worker != worker)
		return out;
	st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];
	if (st->replicas && e->cause == GR_BC_DONE && (gr_copies__has_result(t, l->node) || !gr_copies__is_alike(t, l)))
		out.cause = GR_BC_SUPERFLUOUS;    /* a lost copy and the one in its place, on one node: the first has its say */
	was_lost = l->is_lost;
	if (was_lost && !gr_bcause_is_good(out.cause))
		return out;
	out.was = *l;
	if (e->cause == GR_BC_LOST || e->cause == GR_BC_RESTART) {
		l->is_lost = true;
		l->peer = NULL;
	} else {
		gr_btask__live_drop(t, l);
	}
	gr_btask__recount(t);
	if (out.was.of) {
		out.verdict = gr_copies__end_check(j, st, t, &out.was, e, now_ns, &out);
		return out;
	}
	if (e->cause == GR_BC_OOM)
		gr_btask_grow(t);
	if (out.cause == GR_BC_DONE) {
		if (st->replicas) {
			t->same = out.was.same;
			out.verdict = gr_copies__end(j, st, t, &out.was, e, &out);
			return out;
		}
		if (gr_bjob__state(j, task) == GR_B_READY)
			j->ops->withdrawn(j->ctx, task, 1);
		out.verdict = GR_BV_DONE;
		out.canonical = number;
		gr_bjob__finish(j, t, GR_B_DONE);
		return out;
	}
	gr_copies__unbind(t);
	if (gr_bjob__is_closed(j)) {
		out.verdict = gr_bjob__end_closed(j, t);
		return out;
	}
	t->n_tries += gr_bcause__counts(out.cause);
	if (e->cause == GR_BC_LOST) {
		t->n_lost++;
		l->is_charged = true;
	}
	if (may_retry(st, t, out.cause, e->exit_code)) {
		if (!st->replicas && gr_btask_n_live(t)) {
			out.verdict = GR_BV_WAIT;
			return out;
		}
		out.verdict = again(j, st, t, e, now_ns, &out);
		return out;
	}
	if (!st->replicas && gr_btask_n_live(t)) {
		out.verdict = GR_BV_WAIT;
		return out;
	}
	out.verdict = GR_BV_FAILED;
	gr_bjob__finish(j, t, GR_B_FAILED);
	return out;
}

void gr_bjob_tick(struct gr_bjob *j, uint64_t now_ns)
{
	while (j->n_due && j->due[0]->due_ns <= now_ns) {
		struct gr_btask *t = j->due[0];

		gr_btask__due_drop(t);
		gr_copies__unbind(t);
		t->is_check_held = false;
		if (t->n_results || gr_bjob__state(j, (uint32_t)t->task) == GR_B_RUNNING) {
			gr_bjob__put(j, (uint32_t)t->task, GR_B_RUNNING);
			gr_copies__offer(j, &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)t->task)], t);
			continue;
		}
		if (gr_bjob__state(j, (uint32_t)t->task) != GR_B_BACKOFF)
			continue;
		gr_bjob__put(j, (uint32_t)t->task, GR_B_READY);
		j->ops->ready(j->ctx, (uint32_t)t->task, 1, t);
	}
}

/* ---- all at once ---- */

void gr_bjob_cancel(struct gr_bjob *j, enum gr_bcause why)
{
	struct gr_btask *t;
	uint32_t *idle, n_idle = 0;
	size_t i = 0;

	if (!j->is_stopping)
		j->is_cancelled = true;
	for (uint32_t s = 0; s < j->spec->n_stages; s++) {
		const struct gr_stage *st = &j->spec->stages[s];
		uint32_t at = st->first, first, n;
		uint8_t state;

		while ((n = gr_states_run(&j->states, at, st->first + st->count, 1u << GR_B_BLOCKED | 1u << GR_B_READY | 1u << GR_B_BACKOFF, &first,
					  &state))) {
			if (state == GR_B_READY)
				j->ops->withdrawn(j->ctx, first, n);
			gr_bjob__put_run(j, first, n, (enum gr_bstate)state, GR_B_CANCELLED);
			j->ops->ended(j->ctx, first, n, GR_B_CANCELLED);
			at = first + n;
		}
	}
	/* one that waits for another copy, and has none that runs, has nothing more to wait for */
	idle = gr_xalloc((j->tasks.n + 1) * sizeof(*idle));
	while ((t = gr_map_each(&j->tasks, &i))) {
		stop_others(j, t, why);
		t->n_queued = 0;
		t->is_check_queued = false;
		if (!gr_btask_n_live(t) && gr_bjob__state(j, (uint32_t)t->task) == GR_B_RUNNING)
			idle[n_idle++] = (uint32_t)t->task;
	}
	for (i = 0; i < n_idle; i++) {
		gr_bjob__put(j, idle[i], GR_B_CANCELLED);
		j->ops->ended(j->ctx, idle[i], 1, GR_B_CANCELLED);
	}
	free(idle);
}

uint32_t gr_bjob_stored_floor(const struct gr_bjob *j) { return j->floor + j->n_numbers - GR_BATCH_STRIDE; }

void gr_bjob_more_numbers(struct gr_bjob *j)
{
	j->n_numbers += GR_BATCH_STRIDE;
	j->wants_numbers = false;
}

void gr_bjob_raise(struct gr_bjob *j) { j->floor += j->n_numbers; }

uint32_t gr_bjob_retry(struct gr_bjob *j, uint32_t first, uint32_t count)
{
	uint32_t end = first + count, n_all = 0;

	j->is_cancelled = j->is_stopping = false;
	for (uint32_t s = 0; s < j->spec->n_stages; s++) {
		const struct gr_stage *st = &j->spec->stages[s];
		uint32_t at = first > st->first ? first : st->first, to = end < st->first + st->count ? end : st->first + st->count, from, n;
		uint8_t state;

		while (at < to && (n = gr_states_run(&j->states, at, to, 1u << GR_B_FAILED | 1u << GR_B_CANCELLED | 1u << GR_B_SKIPPED, &from, &state))) {
			gr_bjob__put_run(j, from, n, (enum gr_bstate)state, GR_B_BLOCKED);
			if (!j->anew.n)
				gr_states_init(&j->anew, j->spec->n_tasks, 0);
			gr_states_set_range(&j->anew, from, n, 1);
			n_all += n;
			at = from + n;
		}
	}
	gr_bjob_open(j);
	return n_all;
}

bool gr_bjob_is_anew(const struct gr_bjob *j, uint32_t task) { return j->anew.n && gr_states_get(&j->anew, task); }

void gr_bjob_count_on(struct gr_bjob *j, uint32_t task, uint32_t ordinal)
{
	gr_states_set(&j->anew, task, 0);
	gr_bjob_record(j, task)->ordinal = ordinal;
}
