/* batch.c - see batch.h
 *
 * One function (put) changes a task's state and keeps the counts of its stage; gr_bjob_end is the only one that turns the
 * end of an attempt into the state of its task. A stage's tasks are looked at one by one only when they wait task by
 * task; a stage that waits for whole stages goes in one range. What was tried and not kept: a list of tasks per state
 * (a million links), and a queue of what waits for each task (the stage's table says it).
 */
#include "lib/job/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"

#define TROUBLE_NS GR_NS_PER_S
#define MAX_GROWN 1000000u                /* permille: not beyond it */

static const struct { const char *name; bool is_final; } states[] = {
#define X(name, text, final) { text, final },
	GR_BSTATE_MAP(X)
#undef X
};
static const struct { const char *name; bool counts; } causes[] = {
#define X(name, text, counts) { text, counts },
	GR_BCAUSE_MAP(X)
#undef X
};

const char *gr_bstate_name(enum gr_bstate s)
{
	return s < GR_B_N ? states[s].name : "?";
}

int gr_bstate_parse(const char *name)
{
	for (int i = 0; i < GR_B_N; i++)
		if (!strcmp(states[i].name, name))
			return i;
	return GR_EINVAL;
}

const char *gr_bcause_name(enum gr_bcause c)
{
	return c < GR_BC_N ? causes[c].name : "?";
}

/* ---- records ---- */

struct gr_btask *gr_bjob_find(const struct gr_bjob *j, uint32_t task)
{
	uint64_t key = task;

	return gr_map_get(&j->tasks, &key, sizeof(key));
}

struct gr_btask *gr_bjob_record(struct gr_bjob *j, uint32_t task)
{
	struct gr_btask *t = gr_bjob_find(j, task);

	if (t)
		return t;
	GR_NEW(t);
	t->task = task;
	t->job = j;
	t->mem_permille = GR_BATCH_MEM_AS_ASKED;
	gr_map_put(&j->tasks, &t->task, sizeof(t->task), t);
	return t;
}

static void heap_drop(struct gr_btask *t);

/* After its lives changed. */
static void recount(struct gr_btask *t)
{
	bool has_begun = false;

	for (uint32_t i = 0; i < t->n_lives; i++)
		has_begun |= t->lives[i].is_started && !t->lives[i].is_lost;
	t->job->n_begun += (uint32_t)has_begun - (uint32_t)t->has_begun;
	t->has_begun = has_begun;
}

static void record_free(struct gr_btask *t)
{
	t->job->n_begun -= t->has_begun;
	t->job->n_grown -= t->mem_permille != GR_BATCH_MEM_AS_ASKED;
	heap_drop(t);
	gr_map_del(&t->job->tasks, &t->task, sizeof(t->task));
	free(t->lives);
	free(t->results);
	free(t);
}

struct gr_blive *gr_btask_live(const struct gr_btask *t, uint32_t number)
{
	for (uint32_t i = 0; i < t->n_lives; i++)
		if (t->lives[i].number == number)
			return &t->lives[i];
	return NULL;
}

uint32_t gr_btask_n_live(const struct gr_btask *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n_lives; i++)
		n += !t->lives[i].is_lost;
	return n;
}

void gr_btask_grow(struct gr_btask *t)
{
	t->job->n_grown += t->mem_permille == GR_BATCH_MEM_AS_ASKED;
	if (t->mem_permille < MAX_GROWN)
		t->mem_permille += t->mem_permille / 2;
}

static void live_drop(struct gr_btask *t, struct gr_blive *l)
{
	*l = t->lives[--t->n_lives];
}

static struct gr_blive *live_add(struct gr_btask *t)
{
	uint32_t i;

	if (t->n_lives == t->cap_lives && t->cap_lives < GR_BATCH_MAX_LIVES) {       /* most have one */
		t->cap_lives = t->cap_lives ? 2 * t->cap_lives : 1;
		t->lives = gr_xrealloc(t->lives, t->cap_lives * sizeof(*t->lives));
	}
	if (t->n_lives == GR_BATCH_MAX_LIVES) {
		for (i = 0; i < t->n_lives && !t->lives[i].is_lost; i++)
			;
		if (i == t->n_lives)
			return NULL;
		live_drop(t, &t->lives[i]);
	}
	memset(&t->lives[t->n_lives], 0, sizeof(*t->lives));
	return &t->lives[t->n_lives++];
}

/* ---- what is due ---- */

static void heap_put(struct gr_bjob *j, uint32_t i, struct gr_btask *t)
{
	j->due[i] = t;
	t->heap_at = i + 1;
}

static void heap_fix(struct gr_bjob *j, uint32_t i)
{
	struct gr_btask *t = j->due[i];

	while (i && j->due[(i - 1) / 2]->due_ns > t->due_ns) {
		heap_put(j, i, j->due[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (uint32_t kid; (kid = 2 * i + 1) < j->n_due; i = kid) {
		if (kid + 1 < j->n_due && j->due[kid + 1]->due_ns < j->due[kid]->due_ns)
			kid++;
		if (j->due[kid]->due_ns >= t->due_ns)
			break;
		heap_put(j, i, j->due[kid]);
	}
	heap_put(j, i, t);
}

static void heap_drop(struct gr_btask *t)
{
	struct gr_bjob *j = t->job;
	uint32_t i = t->heap_at - 1;

	if (!t->heap_at)
		return;
	t->heap_at = 0;
	t->is_awaited = false;
	if (i == --j->n_due)
		return;
	heap_put(j, i, j->due[j->n_due]);
	heap_fix(j, i);
}

static void heap_add(struct gr_btask *t, uint64_t due_ns)
{
	struct gr_bjob *j = t->job;

	heap_drop(t);
	t->due_ns = due_ns;
	if (j->n_due == j->cap_due) {
		j->cap_due = j->cap_due ? 2 * j->cap_due : 16;
		j->due = gr_xrealloc(j->due, j->cap_due * sizeof(*j->due));
	}
	heap_put(j, j->n_due++, t);
	heap_fix(j, j->n_due - 1);
}

uint64_t gr_bjob_due_ns(const struct gr_bjob *j)
{
	return j->n_due ? j->due[0]->due_ns : UINT64_MAX;
}

/* ---- states ---- */

static enum gr_bstate state_of(const struct gr_bjob *j, uint32_t task)
{
	return (enum gr_bstate)gr_states_get(&j->states, task);
}

static void count(struct gr_bjob *j, uint32_t stage, enum gr_bstate from, enum gr_bstate to, uint32_t n)
{
	j->n_stage_done[stage] += (to == GR_B_DONE ? n : 0) - (from == GR_B_DONE ? n : 0);
	j->n_stage_final[stage] += (states[to].is_final ? n : 0) - (states[from].is_final ? n : 0);
}

static void put(struct gr_bjob *j, uint32_t task, enum gr_bstate to)
{
	enum gr_bstate from = state_of(j, task);

	if (from == to)
		return;
	count(j, gr_spec_stage_of(j->spec, task), from, to, 1);
	gr_states_set(&j->states, task, to);
	if (states[to].is_final) {
		struct gr_btask *t = gr_bjob_find(j, task);

		if (t)
			record_free(t);
	}
}

/* A run that lies in one stage, all in state @from. Records of final ones go. */
static void put_run(struct gr_bjob *j, uint32_t first, uint32_t n, enum gr_bstate from, enum gr_bstate to)
{
	count(j, gr_spec_stage_of(j->spec, first), from, to, n);
	gr_states_set_range(&j->states, first, n, to);
	if (states[to].is_final && j->tasks.n)
		for (uint32_t i = 0; i < n && j->tasks.n; i++) {
			struct gr_btask *t = gr_bjob_find(j, first + i);

			if (t)
				record_free(t);
		}
}

static bool stages_are_done(const struct gr_bjob *j, const struct gr_stage *st)
{
	for (uint32_t i = 0; i < st->n_after; i++) {
		const struct gr_after *a = &st->after[i];

		if (!a->is_each && j->n_stage_done[a->stage] < j->spec->stages[a->stage].count)
			return false;
	}
	return true;
}

static bool has_each(const struct gr_stage *st)
{
	for (uint32_t i = 0; i < st->n_after; i++)
		if (st->after[i].is_each)
			return true;
	return false;
}

static bool index_is_done(const struct gr_bjob *j, const struct gr_stage *st, uint32_t index)
{
	for (uint32_t i = 0; i < st->n_after; i++)
		if (st->after[i].is_each && state_of(j, j->spec->stages[st->after[i].stage].first + index) != GR_B_DONE)
			return false;
	return true;
}

static void ready_run(struct gr_bjob *j, uint32_t first, uint32_t n, enum gr_bstate from)
{
	put_run(j, first, n, from, GR_B_READY);
	j->ops->ready(j->ctx, first, n, NULL);
}

static bool is_closed(const struct gr_bjob *j)
{
	return j->is_cancelled || j->is_stopping;
}

/* Everything BLOCKED of the stage that waits no longer. */
static void open_stage(struct gr_bjob *j, uint32_t stage)
{
	const struct gr_stage *st = &j->spec->stages[stage];
	uint32_t at = st->first, end = st->first + st->count, first, n, run = 0;

	if (is_closed(j) || !stages_are_done(j, st))
		return;
	while ((n = gr_states_run(&j->states, at, end, 1u << GR_B_BLOCKED, &first, NULL))) {
		at = first + n;
		if (!has_each(st)) {
			ready_run(j, first, n, GR_B_BLOCKED);
			continue;
		}
		run = 0;
		for (uint32_t i = 0; i <= n; i++) {
			if (i < n && index_is_done(j, st, first + i - st->first)) {
				run++;
				continue;
			}
			if (run)
				ready_run(j, first + i - run, run, GR_B_BLOCKED);
			run = 0;
		}
	}
}

/* Task @index of @stage is DONE: who waited for it? */
static void open_after(struct gr_bjob *j, uint32_t stage, uint32_t index)
{
	bool is_whole = j->n_stage_done[stage] == j->spec->stages[stage].count;

	for (uint32_t s = stage + 1; s < j->spec->n_stages; s++) {
		const struct gr_stage *st = &j->spec->stages[s];

		for (uint32_t i = 0; i < st->n_after; i++) {
			uint32_t task = st->first + index;

			if (st->after[i].stage != stage)
				continue;
			if (!st->after[i].is_each) {
				if (is_whole)
					open_stage(j, s);
			} else if (!is_closed(j) && state_of(j, task) == GR_B_BLOCKED && stages_are_done(j, st) && index_is_done(j, st, index)) {
				ready_run(j, task, 1, GR_B_BLOCKED);
			}
		}
	}
}

/* Tasks of @stage, @n from index @from, will not be DONE: what waited for them cannot run. */
static void skip_after(struct gr_bjob *j, uint32_t stage, uint32_t from, uint32_t n_from)
{
	for (uint32_t s = stage + 1; s < j->spec->n_stages; s++) {
		const struct gr_stage *st = &j->spec->stages[s];

		for (uint32_t i = 0; i < st->n_after; i++) {
			uint32_t at = st->first, end = st->first + st->count, first, n;

			if (st->after[i].stage != stage)
				continue;
			if (st->after[i].is_each) {
				at = st->first + from;
				end = at + n_from;
			}
			while ((n = gr_states_run(&j->states, at, end, 1u << GR_B_BLOCKED, &first, NULL))) {
				put_run(j, first, n, GR_B_BLOCKED, GR_B_SKIPPED);
				j->ops->ended(j->ctx, first, n, GR_B_SKIPPED);
				skip_after(j, s, first - st->first, n);
				at = first + n;
			}
		}
	}
}

/* ---- copies ---- */

/* Attempts that run, which are comparisons or not. */
static uint32_t n_running(const struct gr_btask *t, bool is_check)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n_lives; i++)
		n += !t->lives[i].is_lost && !t->lives[i].of == !is_check;
	return n;
}

static bool has_result_from(const struct gr_btask *t, uint64_t node)
{
	for (uint32_t i = 0; i < t->n_results; i++)
		if (t->results[i].node == node)
			return true;
	return false;
}

bool gr_btask_is_at(const struct gr_btask *t, uint64_t node)
{
	for (uint32_t i = 0; i < t->n_lives; i++)
		if (t->lives[i].node == node && !t->lives[i].is_lost && !t->lives[i].of)
			return true;
	return has_result_from(t, node);
}

/* Whose worker may come back. */
static bool has_lost(const struct gr_btask *t, bool is_check)
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

/* Two results are there, and nobody has said yet whether they are equal. */
static bool is_open_pair(const struct gr_btask *t, uint32_t of, uint32_t against)
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

/* How many copies the task needs is known when the first goes somewhere. */
static void want_copies(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, struct gr_blive *l, uint64_t toolchain)
{
	if (t->n_target)
		return;
	t->n_target = st->replicas;
	if (st->is_adaptive && j->trust && gr_trust_ask(j->trust, l->worker, toolchain)) {
		t->n_target = 1;
		l->is_alone = true;
	}
}

/* What the task lacks to be decided: copies, a comparison. Nothing while it pauses. */
static void offer_more(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t)
{
	const struct gr_bresult *of, *against;

	if (is_closed(j))
		return;
	while (!t->heap_at && n_running(t, false) + t->n_results + t->n_queued < t->n_target) {
		t->n_queued++;
		j->ops->ready(j->ctx, (uint32_t)t->task, 1, t);
	}
	if (st->check && !t->is_check_queued && !t->is_check_held && !n_running(t, true) && !(t->is_awaited && has_lost(t, true)) &&
	    gr_bjob_pair(j, t, &of, &against)) {
		t->is_check_queued = true;
		j->ops->check(j->ctx, t);
	}
}

/* The longer pause of two. */
static void hold(struct gr_btask *t, uint64_t due_ns)
{
	if (!t->heap_at || t->due_ns < due_ns)
		heap_add(t, due_ns);
}

/* ---- begin ---- */

void gr_bjob_init(struct gr_bjob *j, const struct gr_spec *spec, struct gr_trust *trust, const struct gr_bjob_ops *ops, void *ctx)
{
	memset(j, 0, sizeof(*j));
	j->spec = spec;
	j->trust = trust;
	j->ops = ops;
	j->ctx = ctx;
	gr_states_init(&j->states, spec->n_tasks, GR_B_BLOCKED);
	j->n_stage_done = gr_xalloc(spec->n_stages * sizeof(*j->n_stage_done));
	j->n_stage_final = gr_xalloc(spec->n_stages * sizeof(*j->n_stage_final));
}

void gr_bjob_fini(struct gr_bjob *j)
{
	struct gr_btask *t;
	size_t i;

	while (i = 0, (t = gr_map_each(&j->tasks, &i)))
		record_free(t);
	gr_map_fini(&j->tasks);
	free(j->due);
	free(j->n_stage_done);
	free(j->n_stage_final);
	gr_states_fini(&j->states);
}

void gr_bjob_restore(struct gr_bjob *j, uint32_t task, enum gr_bstate outcome)
{
	put(j, task, outcome);
}

struct gr_blive *gr_bjob_restore_live(struct gr_bjob *j, uint32_t task, uint32_t number, uint64_t worker, uint64_t node, uint64_t due_ns)
{
	struct gr_btask *t;
	struct gr_blive *l;

	if (states[state_of(j, task)].is_final)
		return NULL;
	t = gr_bjob_record(j, task);
	l = live_add(t);
	if (!l)
		return NULL;
	l->number = number;
	l->is_lost = true;
	l->worker = worker;
	l->node = node;
	put(j, task, GR_B_BACKOFF);
	heap_add(t, due_ns);
	t->is_awaited = true;
	return l;
}

void gr_bjob_restore_result(struct gr_bjob *j, uint32_t task, uint32_t number, uint64_t worker, uint64_t node, const struct gr_digest *digest)
{
	struct gr_btask *t;

	if (states[state_of(j, task)].is_final)
		return;
	t = gr_bjob_record(j, task);
	add_result(t, digest, worker, node, number);
	if (state_of(j, task) != GR_B_BACKOFF)
		put(j, task, GR_B_RUNNING);
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

/* Results were restored: what is there is not done again. */
static void resume(struct gr_bjob *j, struct gr_btask *t)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)t->task)];
	enum gr_quorum q;
	struct gr_qview v;

	/* with as many as that its outcome is in the row beside the last one's end; should it not be, that one is run again */
	while ((q = weigh(t, st->check, st->quorum, &v)) == GR_QUORUM_MET || (q == GR_QUORUM_SHORT && t->n_results >= GR_SPEC_MAX_REPLICAS))
		t->n_results--;
	t->n_target = st->replicas > t->n_results ? st->replicas : t->n_results + (q == GR_QUORUM_SHORT);
	if (state_of(j, (uint32_t)t->task) == GR_B_RUNNING)
		offer_more(j, st, t);
}

void gr_bjob_open(struct gr_bjob *j)
{
	struct gr_btask *t;
	size_t i = 0;

	while ((t = gr_map_each(&j->tasks, &i)))
		if (t->n_results && !t->n_target)
			resume(j, t);
	for (uint32_t s = 0; s < j->spec->n_stages; s++) {
		const struct gr_stage *st = &j->spec->stages[s];
		uint32_t at = st->first, first, n;
		uint8_t state;

		while ((n = gr_states_run(&j->states, at, st->first + st->count, 1u << GR_B_FAILED | 1u << GR_B_CANCELLED | 1u << GR_B_SKIPPED, &first,
					  &state))) {
			skip_after(j, s, first - st->first, n);
			at = first + n;
		}
		open_stage(j, s);
	}
}

/* NULL: the task has used its numbers. */
static struct gr_blive *new_live(struct gr_btask *t, uint64_t worker, uint64_t node, void *peer, uint64_t placed, uint64_t now_ns)
{
	struct gr_blive *l = t->k + 1 < GR_BATCH_STRIDE ? live_add(t) : NULL;

	if (l)
		*l = (struct gr_blive){
			.number = t->job->floor + ++t->k, .ordinal = ++t->ordinal, .worker = worker, .node = node, .peer = peer,
			.placed = placed, .start_ns = now_ns,
		};
	return l;
}

struct gr_blive *gr_bjob_begin(struct gr_bjob *j, uint32_t task, uint64_t worker, uint64_t node, uint64_t toolchain, void *peer, uint64_t placed,
			       uint64_t now_ns)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];
	struct gr_btask *t = gr_bjob_record(j, task);
	struct gr_blive *l;
	uint32_t number;

	assert(!states[state_of(j, task)].is_final && state_of(j, task) != GR_B_BLOCKED);
	l = new_live(t, worker, node, peer, placed, now_ns);
	if (!l)
		return NULL;
	if (state_of(j, task) == GR_B_BACKOFF)
		heap_drop(t);             /* a pause of a task with copies holds the others back still */
	number = l->number;
	if (t->n_queued)
		t->n_queued--;
	put(j, task, GR_B_RUNNING);
	if (st->replicas) {
		want_copies(j, st, t, l, toolchain);
		offer_more(j, st, t);
	}
	return gr_btask_live(t, number);
}

struct gr_blive *gr_bjob_begin_check(struct gr_bjob *j, uint32_t task, uint64_t worker, uint64_t node, void *peer, uint64_t placed, uint64_t now_ns)
{
	struct gr_btask *t = gr_bjob_find(j, task);
	const struct gr_bresult *of, *against;
	struct gr_blive *l;

	if (!t || !t->is_check_queued || !gr_bjob_pair(j, t, &of, &against))
		return NULL;
	l = new_live(t, worker, node, peer, placed, now_ns);
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
	hold(t, due_ns);
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
	if (l->of ? !is_open_pair(t, l->of, l->against) : st->replicas && gr_btask_is_at(t, l->node))
		return false;                     /* there is a verdict already; another copy is there */
	was = state_of(j, task);
	if (l->of)
		t->n_check_lost -= l->is_charged;
	else
		t->n_lost -= l->is_charged;
	l->is_charged = l->is_lost = false;
	l->peer = peer;
	l->placed = placed;
	if (l->of)                                /* it was offered anew: the decision that still comes is given back */
		t->is_check_queued = false;
	else if (t->n_queued && n_running(t, false) + t->n_results + t->n_queued > t->n_target && t->n_target)
		t->n_queued--;
	if (!t->n_target && !st->is_adaptive)     /* else it is not known any more whether it went alone */
		t->n_target = st->replicas;
	if (st->replicas ? t->is_awaited && !has_lost(t, false) && !has_lost(t, true) : was == GR_B_BACKOFF) {
		heap_drop(t);
		t->is_check_held = false;
	}
	if (was == GR_B_READY && !st->replicas)
		j->ops->withdrawn(j->ctx, task, 1);
	put(j, task, GR_B_RUNNING);
	recount(t);
	if (st->replicas)
		offer_more(j, st, t);
	*out = l;
	return true;
}

void gr_bjob_started(struct gr_btask *t, struct gr_blive *l)
{
	l->is_started = true;
	recount(t);
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

	if (is_closed(j) || !n)
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

static void stop_others(struct gr_bjob *j, struct gr_btask *t, enum gr_bcause why)
{
	for (uint32_t i = 0; i < t->n_lives; i++)
		if (!t->lives[i].is_lost)
			j->ops->stop(j->ctx, t, &t->lives[i], why);
	if (t->n_queued || t->is_check_queued)
		j->ops->withdrawn(j->ctx, (uint32_t)t->task, 1);
}

static void finish(struct gr_bjob *j, struct gr_btask *t, enum gr_bstate to)
{
	uint32_t task = (uint32_t)t->task, stage = gr_spec_stage_of(j->spec, task), index = task - j->spec->stages[stage].first;

	stop_others(j, t, GR_BC_SUPERFLUOUS);
	put(j, task, to);
	if (to == GR_B_DONE)
		open_after(j, stage, index);
	else
		skip_after(j, stage, index, 1);
	if (to == GR_B_FAILED)
		limit_failures(j);
}

static void tell_trust(struct gr_bjob *j, const struct gr_btask *t, const struct gr_qview *v, uint64_t toolchain)
{
	for (uint32_t i = 0; j->trust && i < t->n_results; i++)
		gr_trust_tell(j->trust, t->results[i].worker, toolchain, v->kin[i] == v->canonical);
}

/* A result or a verdict came: is it enough? */
static enum gr_bverdict decide(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, uint32_t quorum, uint64_t toolchain,
			       struct gr_bended *out)
{
	struct gr_qview v;
	enum gr_quorum q = weigh(t, st->check, quorum, &v);

	if (q == GR_QUORUM_MET) {
		out->canonical = t->results[v.canonical].number;
		tell_trust(j, t, &v, toolchain);
		finish(j, t, GR_B_DONE);
		return GR_BV_DONE;
	}
	if (q == GR_QUORUM_SHORT && (n_running(t, false) || t->n_queued))
		return GR_BV_WAIT;
	if (is_closed(j)) {
		if (gr_btask_n_live(t))
			return GR_BV_WAIT;
		put(j, (uint32_t)t->task, GR_B_CANCELLED);
		return GR_BV_CANCELLED;
	}
	if (q == GR_QUORUM_SHORT && t->n_results >= GR_SPEC_MAX_REPLICAS) {
		out->cause = GR_BC_DISAGREED;
		finish(j, t, GR_B_FAILED);
		return GR_BV_FAILED;
	}
	if (q == GR_QUORUM_SHORT && t->n_target <= t->n_results)
		t->n_target = t->n_results + 1;
	offer_more(j, st, t);
	return GR_BV_WAIT;
}

/* A comparison ended. */
static enum gr_bverdict end_check(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, const struct gr_blive *was,
				  const struct gr_bend *e, uint64_t now_ns, struct gr_bended *out)
{
	if (e->cause == GR_BC_EQUAL || e->cause == GR_BC_DIFFERENT) {
		put(j, (uint32_t)t->task, GR_B_RUNNING);      /* as in end_copy */
		note_verdict(t, was->of, was->against, e->cause == GR_BC_EQUAL);
		t->n_check_tries = t->n_check_lost = 0;
		t->check_bad_node = 0;
		for (uint32_t i = 0; i < t->n_lives; i++) {   /* it was lost, and came back first */
			if (!t->lives[i].is_lost && t->lives[i].of == was->of && t->lives[i].against == was->against)
				j->ops->stop(j->ctx, t, &t->lives[i], GR_BC_SUPERFLUOUS);
			if (t->lives[i].of)
				t->lives[i].is_charged = false;
		}
		return decide(j, st, t, st->quorum, e->toolchain, out);
	}
	if (is_closed(j)) {
		if (gr_btask_n_live(t))
			return GR_BV_WAIT;
		put(j, (uint32_t)t->task, GR_B_CANCELLED);
		return GR_BV_CANCELLED;
	}
	t->n_check_tries += causes[e->cause].counts;
	if (e->cause == GR_BC_LOST) {
		t->n_check_lost++;
		gr_btask_live(t, was->number)->is_charged = true;
	}
	if (t->n_check_tries > st->check->retry_max || t->n_check_lost > GR_BATCH_MAX_LOST) {
		finish(j, t, GR_B_FAILED);
		return GR_BV_FAILED;
	}
	if (causes[e->cause].counts) {
		t->check_bad_node = was->node;
		t->is_check_held = true;
		hold(t, out->due_ns = now_ns + TROUBLE_NS);
		return GR_BV_LATER;
	}
	offer_more(j, st, t);
	return GR_BV_AGAIN;
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
	uint64_t wait = causes[cause].counts ? backoff_ns(st, t->n_tries) : 0;
	enum gr_bverdict v;

	/* a worker whose disk fails is free again at once: without a pause it would use up all tries of the task */
	if (cause == GR_BC_WORKER && wait < TROUBLE_NS)
		wait = TROUBLE_NS;
	if (st->replicas) {
		if (!t->n_target)         /* it is not remembered over a restart */
			t->n_target = st->replicas;
		if (wait)
			hold(t, out->due_ns = now_ns + wait);
		offer_more(j, st, t);
		/* the others may have brought all that was wanted, and waited for this one to be more */
		v = n_running(t, false) || t->n_queued ? GR_BV_WAIT : decide(j, st, t, st->quorum, e->toolchain, out);
		return v != GR_BV_WAIT ? v : wait ? GR_BV_LATER : GR_BV_AGAIN;
	}
	if (wait) {
		put(j, (uint32_t)t->task, GR_B_BACKOFF);
		heap_add(t, out->due_ns = now_ns + wait);
		return GR_BV_LATER;
	}
	put(j, (uint32_t)t->task, GR_B_READY);
	j->ops->ready(j->ctx, (uint32_t)t->task, 1, t);
	return GR_BV_AGAIN;
}

/* A copy brought its result. */
static enum gr_bverdict end_copy(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, const struct gr_blive *was, const struct gr_bend *e,
				 struct gr_bended *out)
{
	/* of one that was lost it may come while the task waits for that worker, or for a place: that is over */
	put(j, (uint32_t)t->task, GR_B_RUNNING);
	for (uint32_t i = 0; i < t->n_lives; i++)             /* begun there meanwhile */
		if (!t->lives[i].is_lost && !t->lives[i].of && t->lives[i].node == was->node)
			j->ops->stop(j->ctx, t, &t->lives[i], GR_BC_SUPERFLUOUS);
	add_result(t, &e->digest, was->worker, was->node, was->number);
	return decide(j, st, t, was->is_alone && t->n_target == 1 ? 1 : st->quorum, e->toolchain, out);
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
	if (st->replicas && e->cause == GR_BC_DONE && has_result_from(t, l->node))
		out.cause = GR_BC_SUPERFLUOUS;    /* a lost copy and the one in its place, on one node: the first has its say */
	was_lost = l->is_lost;
	if (was_lost && !gr_bcause_is_good(out.cause))
		return out;
	out.was = *l;
	if (e->cause == GR_BC_LOST || e->cause == GR_BC_RESTART) {
		l->is_lost = true;
		l->peer = NULL;
	} else {
		live_drop(t, l);
	}
	recount(t);
	if (out.was.of) {
		out.verdict = end_check(j, st, t, &out.was, e, now_ns, &out);
		return out;
	}
	if (e->cause == GR_BC_OOM)
		gr_btask_grow(t);
	if (out.cause == GR_BC_DONE) {
		if (st->replicas) {
			out.verdict = end_copy(j, st, t, &out.was, e, &out);
			return out;
		}
		if (state_of(j, task) == GR_B_READY)
			j->ops->withdrawn(j->ctx, task, 1);
		out.verdict = GR_BV_DONE;
		out.canonical = number;
		finish(j, t, GR_B_DONE);
		return out;
	}
	if (is_closed(j)) {
		if (gr_btask_n_live(t)) {
			out.verdict = GR_BV_WAIT;
			return out;
		}
		out.verdict = GR_BV_CANCELLED;
		put(j, task, GR_B_CANCELLED);
		return out;
	}
	t->n_tries += causes[out.cause].counts;
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
	finish(j, t, GR_B_FAILED);
	return out;
}

void gr_bjob_tick(struct gr_bjob *j, uint64_t now_ns)
{
	while (j->n_due && j->due[0]->due_ns <= now_ns) {
		struct gr_btask *t = j->due[0];

		heap_drop(t);
		t->is_check_held = false;
		if (t->n_results || state_of(j, (uint32_t)t->task) == GR_B_RUNNING) {
			put(j, (uint32_t)t->task, GR_B_RUNNING);
			offer_more(j, &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)t->task)], t);
			continue;
		}
		if (state_of(j, (uint32_t)t->task) != GR_B_BACKOFF)
			continue;
		put(j, (uint32_t)t->task, GR_B_READY);
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
			put_run(j, first, n, (enum gr_bstate)state, GR_B_CANCELLED);
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
		if (!gr_btask_n_live(t) && state_of(j, (uint32_t)t->task) == GR_B_RUNNING)
			idle[n_idle++] = (uint32_t)t->task;
	}
	for (i = 0; i < n_idle; i++) {
		put(j, idle[i], GR_B_CANCELLED);
		j->ops->ended(j->ctx, idle[i], 1, GR_B_CANCELLED);
	}
	free(idle);
}

uint32_t gr_bjob_retry(struct gr_bjob *j, uint32_t first, uint32_t count)
{
	uint32_t end = first + count, n_all = 0;

	j->is_cancelled = j->is_stopping = false;
	j->floor += GR_BATCH_STRIDE;              /* records are gone: numbers must not come twice */
	for (uint32_t s = 0; s < j->spec->n_stages; s++) {
		const struct gr_stage *st = &j->spec->stages[s];
		uint32_t at = first > st->first ? first : st->first, to = end < st->first + st->count ? end : st->first + st->count, from, n;
		uint8_t state;

		while (at < to && (n = gr_states_run(&j->states, at, to, 1u << GR_B_FAILED | 1u << GR_B_CANCELLED | 1u << GR_B_SKIPPED, &from, &state))) {
			put_run(j, from, n, (enum gr_bstate)state, GR_B_BLOCKED);
			n_all += n;
			at = from + n;
		}
	}
	gr_bjob_open(j);
	return n_all;
}

bool gr_bjob_is_over(const struct gr_bjob *j)
{
	return !(j->states.count[GR_B_BLOCKED] + j->states.count[GR_B_READY] + j->states.count[GR_B_BACKOFF] + j->states.count[GR_B_RUNNING]);
}
