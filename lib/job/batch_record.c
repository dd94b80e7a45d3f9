/* batch_record.c - records of tasks that run, wait for a next try, or have a history that counts; and what of them is due when */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/job/batch_int.h"

#define MAX_GROWN 1000000u                /* permille: not beyond it */

/* What is done for one task asks for it several times. */
struct gr_btask *gr_bjob_find(struct gr_bjob *j, uint32_t task)
{
	uint64_t key = task;

	if (!j->last || j->last->task != task)
		j->last = gr_map_get(&j->tasks, &key, sizeof(key));
	return j->last;
}

struct gr_btask *gr_bjob_record(struct gr_bjob *j, uint32_t task)
{
	struct gr_btask *t = gr_bjob_find(j, task);

	if (t)
		return t;
	j->spare.size = sizeof(*t);
	t = gr_pool_get(&j->spare);
	t->task = task;
	t->job = j;
	t->mem_permille = GR_BATCH_MEM_AS_ASKED;
	gr_map_put(&j->tasks, &t->task, sizeof(t->task), t);
	j->last = t;
	return t;
}

void gr_btask__recount(struct gr_btask *t)
{
	bool has_begun = false, is_with_worker = false;

	for (uint32_t i = 0; i < t->n_lives; i++) {
		is_with_worker |= !t->lives[i].is_lost;
		has_begun |= t->lives[i].is_started && !t->lives[i].is_lost;
	}
	t->job->n_begun += (uint32_t)has_begun - (uint32_t)t->has_begun;
	t->job->n_with_worker += (uint32_t)is_with_worker - (uint32_t)t->is_with_worker;
	t->has_begun = has_begun;
	t->is_with_worker = is_with_worker;
}

void gr_btask__free(struct gr_btask *t)
{
	struct gr_bjob *j = t->job;

	t->job->n_begun -= t->has_begun;
	t->job->n_with_worker -= t->is_with_worker;
	t->job->n_grown -= t->mem_permille != GR_BATCH_MEM_AS_ASKED;
	gr_btask__due_drop(t);
	gr_map_del(&t->job->tasks, &t->task, sizeof(t->task));
	if (j->last == t)
		j->last = NULL;
	if (t->lives != &t->own)
		free(t->lives);
	free(t->results);
	gr_pool_put(&j->spare, t);
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

void gr_btask__live_drop(struct gr_btask *t, struct gr_blive *l)
{
	*l = t->lives[--t->n_lives];
}

struct gr_blive *gr_btask__live_add(struct gr_btask *t)
{
	uint32_t i;

	if (!t->cap_lives) {
		t->lives = &t->own;
		t->cap_lives = 1;
	} else if (t->n_lives == t->cap_lives && t->cap_lives < GR_BATCH_MAX_LIVES) {
		t->cap_lives *= 2;
		t->lives = gr_xrealloc(t->lives != &t->own ? t->lives : NULL, t->cap_lives * sizeof(*t->lives));
		if (t->n_lives == 1)
			t->lives[0] = t->own;
	}
	if (t->n_lives == GR_BATCH_MAX_LIVES) {
		for (i = 0; i < t->n_lives && !t->lives[i].is_lost; i++)
			;
		if (i == t->n_lives)
			return NULL;
		gr_btask__live_drop(t, &t->lives[i]);
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

void gr_btask__due_drop(struct gr_btask *t)
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

void gr_btask__due_add(struct gr_btask *t, uint64_t due_ns)
{
	struct gr_bjob *j = t->job;

	gr_btask__due_drop(t);
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
