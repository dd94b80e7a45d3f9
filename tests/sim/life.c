/* life.c - tasks and attempts: what their ends mean, with lib/job for each task's life where the run is checked. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/sim/sim.h"

/* ---- tasks and attempts ---- */

void sim_task_ready(struct sim *s, uint32_t task)
{
	struct sim_task *t = &s->tasks[task];

	t->state = SIM_QUEUED;
	t->queued_ns = s->now_ns;
	t->round = s->round;
	s->jobs[t->job].n_queued++;
	s->n_queued++;
	if (t->life && t->life->state == GR_TASK_NEW)
		gr_task_move(t->life, GR_TASK_QUEUED);
}

void sim_task_taken(struct sim *s, uint32_t task)
{
	struct sim_task *t = &s->tasks[task];
	struct sim_job *j = &s->jobs[t->job];

	j->n_queued--;
	s->n_queued--;
	for (uint32_t i = 0; i < j->n_gang; i++)
		if (j->gang[i] == task) {
			memmove(&j->gang[i], &j->gang[i + 1], (j->n_gang - i - 1) * sizeof(*j->gang));
			j->n_gang--;
		}
}

void sim_task_ended(struct sim *s, uint32_t task, bool is_ok)
{
	struct sim_task *t = &s->tasks[task];

	t->state = SIM_ENDED;
	t->is_ok = is_ok;
	t->done_ns = s->now_ns;
	s->n_ended++;
	if (is_ok)
		s->r.n_done++;
	else
		s->r.n_failed++;
	s->r.end_ns = s->now_ns;
	if (is_ok && t->ready_ns >= s->cfg.warm_ns) {
		GR_GROW(s->responses, s->cap_responses, s->n_responses + 1);
		s->responses[s->n_responses++] = (double)(t->done_ns - t->ready_ns) / 1e9;
	}
}

uint32_t sim_attempt_new(struct sim *s)
{
	uint32_t id = s->free_attempt;

	if (id != SIM_NONE) {
		s->free_attempt = s->attempts[id].next_free;
	} else {
		GR_GROW(s->attempts, s->cap_attempts, s->n_attempts + 1);
		id = s->n_attempts++;
	}
	return id;
}

/* No longer among the live attempts of its task; its worker may hold it still. */
void sim_attempt_detach(struct sim *s, uint32_t attempt)
{
	struct sim_attempt *a = &s->attempts[attempt];
	struct sim_task *t = &s->tasks[a->task];
	struct sim_job *j = &s->jobs[t->job];
	uint32_t i = 0;

	while (t->live[i] != attempt)
		i++;
	t->live[i] = t->live[--t->n_live];
	j->n_live--;
	s->n_live--;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		j->used.v[r] -= r == GR_PLACE_MEM_MIB ? a->mem_mib : j->need.v[r];
}

void sim_attempt_free(struct sim *s, uint32_t attempt)
{
	s->attempts[attempt].is_cut = false;  /* one that was lost is not looked for when its worker is heard again */
	s->attempts[attempt].next_free = s->free_attempt;
	s->free_attempt = attempt;
}

enum gr_verdict sim_verdict(struct sim *s, const struct sim_attempt *a, enum gr_cause cause)
{
	struct sim_task *t = &s->tasks[a->task];

	if (t->life)
		return gr_task_end(t->life, a->number, s->workers[a->worker].policy_id, cause, s->now_ns);
	if (t->state == SIM_ENDED)
		return GR_VERDICT_FENCED;
	if (cause == GR_CAUSE_DONE)
		return GR_VERDICT_ACCEPT;
	return t->n_live ? GR_VERDICT_WAIT : GR_VERDICT_AGAIN;
}

/* Stops a live attempt: the worker is told, the policy too. */
enum gr_verdict sim_attempt_stop(struct sim *s, uint32_t attempt, enum gr_cause cause)
{
	struct sim_attempt *a = &s->attempts[attempt];
	uint32_t worker = a->worker;
	enum gr_verdict v;

	s->policy->ended(s->p, attempt, SIM_STOPPED, 0, 0);
	sim_attempt_off(s, attempt);
	sim_attempt_detach(s, attempt);
	v = sim_verdict(s, a, cause);
	sim_attempt_free(s, attempt);
	sim_worker_pump(s, worker);
	return v;
}

/* All members that are alive are stopped; those without outcome wait again, all or none. */
static void gang_again(struct sim *s, uint32_t job)
{
	struct sim_job *j = &s->jobs[job];

	if (j->n_queued) {
		s->policy->cancel(s->p, j->gang[0]);
		s->n_queued -= j->n_queued;
		j->n_queued = 0;
	}
	j->n_gang = 0;
	for (uint32_t i = 0; i < j->n_tasks; i++) {
		uint32_t task = j->first + i;
		struct sim_task *t = &s->tasks[task];

		while (t->n_live)
			sim_attempt_stop(s, t->live[0], GR_CAUSE_DRAINED);
		if (t->state != SIM_ENDED && t->life && t->life->state == GR_TASK_ENDED) {
			t->n_accepted++;
			sim_task_ended(s, task, false);
		}
		if (t->state == SIM_ENDED)
			continue;
		sim_task_ready(s, task);
		j->gang[j->n_gang++] = task;
	}
	if (j->n_gang)
		s->policy->ready(s->p, j->gang[0], j->n_gang);
}

static void requeue(struct sim *s, uint32_t task)
{
	struct sim_task *t = &s->tasks[task];

	if (s->jobs[t->job].is_gang) {
		gang_again(s, t->job);
		return;
	}
	sim_task_ready(s, task);
	s->policy->ready(s->p, task, 1);
}

static void exclude(struct sim *s, struct sim_task *t, uint32_t worker)
{
	if (t->n_exclude < GR_LEN(t->exclude) && !s->jobs[t->job].is_gang)
		t->exclude[t->n_exclude++] = s->workers[worker].policy_id;
}

/* What the verdict on an attempt means for its task. */
void sim_conclude(struct sim *s, uint32_t task, enum gr_verdict v, bool is_ok)
{
	struct sim_task *t = &s->tasks[task];
	bool was_queued = t->state == SIM_QUEUED;

	switch (v) {
	case GR_VERDICT_ACCEPT:
	case GR_VERDICT_EXHAUSTED:
		t->n_accepted++;
		if (was_queued && s->jobs[t->job].is_gang) {
			sim_task_ended(s, task, is_ok);
			gang_again(s, t->job);
			break;
		}
		if (was_queued) {
			s->policy->cancel(s->p, task);
			sim_task_taken(s, task);
		}
		sim_task_ended(s, task, is_ok);
		while (t->n_live)
			sim_attempt_stop(s, t->live[0], GR_CAUSE_CANCELLED);
		break;
	case GR_VERDICT_AGAIN:
		requeue(s, task);
		break;
	case GR_VERDICT_WAIT:
	case GR_VERDICT_FENCED:
		break;
	}
	/* a gang goes on only whole */
	if (v != GR_VERDICT_AGAIN && v != GR_VERDICT_FENCED && !is_ok && s->jobs[t->job].is_gang && !s->jobs[t->job].n_queued)
		gang_again(s, t->job);
}

void sim_attempt_finish(struct sim *s, uint32_t attempt)
{
	struct sim_attempt *a = &s->attempts[attempt];
	struct sim_worker *w = &s->workers[a->worker];
	struct sim_task *t = &s->tasks[a->task];
	const struct sim_job *j = &s->jobs[t->job];
	uint32_t task = a->task, worker = a->worker;
	enum sim_how how = SIM_DONE;
	enum gr_cause cause = GR_CAUSE_DONE;
	double cpu_us = (double)t->work_us * j->need.v[GR_PLACE_CPU_MCPU] / 1000 / s->nodes[w->node].speed;
	enum gr_verdict v;

	if (w->is_black_hole || (s->cfg.fail_ppm && gr_rng_below(&s->rng, 1000000) < s->cfg.fail_ppm)) {
		how = SIM_FAILED;
		cause = GR_CAUSE_RETRY;
	} else if (t->rss_mib > a->mem_mib) {
		how = SIM_OOM;
		cause = GR_CAUSE_OOM;
	}
	sim_attempt_off(s, attempt);
	if (a->is_cut) {
		/* nobody hears it now; SIM_EV_HEAL tells */
		a->is_copy = how == SIM_DONE;
		s->r.n_late++;
		return;
	}
	w->done += how == SIM_DONE;
	s->policy->ended(s->p, attempt, how, (uint64_t)(how == SIM_DONE ? cpu_us : cpu_us / 2),
			 (uint64_t)(t->rss_mib < a->mem_mib ? t->rss_mib : a->mem_mib) << 20);
	sim_attempt_detach(s, attempt);
	if (how == SIM_FAILED)
		exclude(s, t, worker);
	v = sim_verdict(s, a, cause);
	if (how == SIM_OOM && v == GR_VERDICT_AGAIN) {
		uint32_t more = s->policy->mem_hint ? s->policy->mem_hint(s->p, task) : 0;

		t->asked_mib = more > t->asked_mib ? more : t->asked_mib * 3 / 2;
		if (s->cfg.mem_cap_mib && t->asked_mib > s->cfg.mem_cap_mib)
			t->asked_mib = s->cfg.mem_cap_mib;
		/* a gang asks one amount for all */
		for (uint32_t i = 0; j->is_gang && i < j->n_tasks; i++)
			s->tasks[j->first + i].asked_mib = t->asked_mib;
	}
	sim_attempt_free(s, attempt);
	sim_say(s, "task %u %s on worker %u", task, how == SIM_DONE ? "done" : how == SIM_OOM ? "out of memory" : "failed", worker);
	sim_conclude(s, task, v, how == SIM_DONE);
	sim_worker_pump(s, worker);
}
