/* batch_stages.c - states of tasks, and which wait for which
 *
 * One function (gr_bjob__put) changes a task's state and keeps the counts of its stage. A stage's tasks are looked at one by one only
 * when they wait task by task; a stage that waits for whole stages goes in one range. What was tried and not kept: a list of tasks per
 * state (a million links), and a queue of what waits for each task (the stage's table says it).
 */
#include <string.h>

#include "lib/job/batch_int.h"

static const char *const names[] = {
#define X(name, text, final) text,
	GR_BSTATE_MAP(X)
#undef X
};

const char *gr_bstate_name(enum gr_bstate s)
{
	return s < GR_B_N ? names[s] : "?";
}

int gr_bstate_parse(const char *name)
{
	for (int i = 0; i < GR_B_N; i++)
		if (!strcmp(names[i], name))
			return i;
	return GR_EINVAL;
}

static void count(struct gr_bjob *j, uint32_t stage, enum gr_bstate from, enum gr_bstate to, uint32_t n)
{
	j->n_stage_done[stage] += (to == GR_B_DONE ? n : 0) - (from == GR_B_DONE ? n : 0);
}

void gr_bjob__put(struct gr_bjob *j, uint32_t task, enum gr_bstate to)
{
	enum gr_bstate from = gr_bjob__state(j, task);

	if (from == to)
		return;
	count(j, gr_spec_stage_of(j->spec, task), from, to, 1);
	gr_states_set(&j->states, task, to);
	if (gr_bstate__is_final(to)) {
		struct gr_btask *t = gr_bjob_find(j, task);

		if (t)
			gr_btask__free(t);
	}
}

void gr_bjob__put_run(struct gr_bjob *j, uint32_t first, uint32_t n, enum gr_bstate from, enum gr_bstate to)
{
	count(j, gr_spec_stage_of(j->spec, first), from, to, n);
	gr_states_set_range(&j->states, first, n, to);
	if (gr_bstate__is_final(to) && j->tasks.n)
		for (uint32_t i = 0; i < n && j->tasks.n; i++) {
			struct gr_btask *t = gr_bjob_find(j, first + i);

			if (t)
				gr_btask__free(t);
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
		if (st->after[i].is_each && gr_bjob__state(j, j->spec->stages[st->after[i].stage].first + index) != GR_B_DONE)
			return false;
	return true;
}

static void ready_run(struct gr_bjob *j, uint32_t first, uint32_t n, enum gr_bstate from)
{
	gr_bjob__put_run(j, first, n, from, GR_B_READY);
	j->ops->ready(j->ctx, first, n, NULL);
}

bool gr_bjob__is_closed(const struct gr_bjob *j)
{
	return j->is_cancelled || j->is_stopping;
}

/* Everything BLOCKED of the stage that waits no longer. */
static void open_stage(struct gr_bjob *j, uint32_t stage)
{
	const struct gr_stage *st = &j->spec->stages[stage];
	uint32_t at = st->first, end = st->first + st->count, first, n, run = 0;

	if (gr_bjob__is_closed(j) || !stages_are_done(j, st))
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
			} else if (!gr_bjob__is_closed(j) && gr_bjob__state(j, task) == GR_B_BLOCKED && stages_are_done(j, st) && index_is_done(j, st, index)) {
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
				gr_bjob__put_run(j, first, n, GR_B_BLOCKED, GR_B_SKIPPED);
				j->ops->ended(j->ctx, first, n, GR_B_SKIPPED);
				skip_after(j, s, first - st->first, n);
				at = first + n;
			}
		}
	}
}

void gr_bjob__go_on(struct gr_bjob *j, uint32_t task, enum gr_bstate to)
{
	uint32_t stage = gr_spec_stage_of(j->spec, task), index = task - j->spec->stages[stage].first;

	if (to == GR_B_DONE)
		open_after(j, stage, index);
	else
		skip_after(j, stage, index, 1);
}

void gr_bjob__open_stages(struct gr_bjob *j)
{
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

bool gr_bjob_is_over(const struct gr_bjob *j)
{
	return !(j->states.count[GR_B_BLOCKED] + j->states.count[GR_B_READY] + j->states.count[GR_B_BACKOFF] + j->states.count[GR_B_RUNNING]);
}
