/* run.c - what happens, one event after another: the coordinator's part of the game. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/sim/sim.h"

#define BATCH 256u
#define STUCK_NS (5 * GR_NS_PER_S)

void sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (s->r.why[0])
		return;
	n = snprintf(s->r.why, sizeof(s->r.why), "%.6f s: ", (double)s->now_ns / 1e9);
	va_start(ap, fmt);
	vsnprintf(s->r.why + n, sizeof(s->r.why) - (size_t)n, fmt, ap);
	va_end(ap);
}

void sim_say(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->cfg.verbose)
		return;
	printf("%12.6f ", (double)s->now_ns / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static uint64_t clock_of(const struct sim *s)
{
	return s->clock_ns ? s->clock_ns() : 0;
}

/* ---- workers that come and go ---- */

static void lost(struct sim *s, uint32_t worker, bool is_cut)
{
	struct sim_worker *w = &s->workers[worker];
	uint32_t *tasks, n = 0;
	enum gr_verdict *verdicts;

	if (!w->is_up || w->is_cut)
		return;
	sim_say(s, "worker %u is %s with %u tasks", worker, is_cut ? "cut off" : "lost", w->n_held);
	s->policy->worker_down(s->p, worker);
	if (is_cut)
		w->is_cut = true;
	else
		w->is_up = false;
	tasks = gr_xalloc((w->n_held + 1) * sizeof(*tasks));
	verdicts = gr_xalloc((w->n_held + 1) * sizeof(*verdicts));
	for (uint32_t k = 0; k < w->n_held; k++) {
		struct sim_attempt *a = &s->attempts[w->held[k]];

		s->r.n_lost++;
		sim_attempt_detach(s, w->held[k]);
		tasks[n] = a->task;
		verdicts[n++] = sim_verdict(s, a, GR_CAUSE_LOST);
		a->is_cut = true;
	}
	if (!is_cut) {
		while (w->n_held) {
			uint32_t id = w->held[0];

			sim_attempt_off(s, id);
			sim_attempt_free(s, id);
		}
		w->gen++;
		w->n_have = 0;
		sim_node_plan(s, w->node);
	}
	for (uint32_t i = 0; i < n; i++)
		if (s->tasks[tasks[i]].state == SIM_PLACED)
			sim_conclude(s, tasks[i], verdicts[i], false);
	free(tasks);
	free(verdicts);
}

/* The worker is heard again: what it ended meanwhile is told, what still runs there is stopped. */
static void heal(struct sim *s, uint32_t worker)
{
	struct sim_worker *w = &s->workers[worker];

	if (!w->is_up || !w->is_cut)
		return;
	for (uint32_t id = 0; id < s->n_attempts; id++) {
		struct sim_attempt *a = &s->attempts[id];

		if (!a->is_cut || a->worker != worker)
			continue;
		a->is_cut = false;
		if (a->state != SIM_OVER) {
			sim_attempt_off(s, id);
		} else if (a->is_copy) {
			uint32_t task = a->task;
			enum gr_verdict v = sim_verdict(s, a, GR_CAUSE_DONE);

			sim_say(s, "task %u done late on worker %u: verdict %d", task, worker, (int)v);
			sim_conclude(s, task, v, true);
		}
		sim_attempt_free(s, id);
	}
	w->is_cut = false;
	w->gen++;
	sim_node_plan(s, w->node);
	s->policy->worker_up(s->p, worker);
	if (w->is_draining && s->policy->worker_drain)
		s->policy->worker_drain(s->p, worker, s->nodes[w->node].gone_ns);
}

static void node_down(struct sim *s, uint32_t node)
{
	struct sim_node *n = &s->nodes[node];

	n->is_up = false;
	for (uint32_t i = 0; i < n->n_workers; i++) {
		struct sim_worker *w = &s->workers[n->workers[i]];

		if (w->is_cut) {
			/* what it ended is lost with it */
			for (uint32_t id = 0; id < s->n_attempts; id++) {
				struct sim_attempt *a = &s->attempts[id];

				if (!a->is_cut || a->worker != n->workers[i])
					continue;
				if (a->state != SIM_OVER)
					sim_attempt_off(s, id);
				a->is_cut = false;
				sim_attempt_free(s, id);
			}
			w->is_cut = w->is_up = false;
			w->gen++;
			w->n_have = 0;
		}
		lost(s, n->workers[i], false);
		w->is_draining = false;
	}
	n->gone_ns = 0;
}

static void node_up(struct sim *s, uint32_t node)
{
	struct sim_node *n = &s->nodes[node];

	if (n->is_up)
		return;
	n->is_up = true;
	n->upto_ns = s->now_ns;
	for (uint32_t i = 0; i < n->n_workers; i++) {
		s->workers[n->workers[i]].is_up = true;
		s->policy->worker_up(s->p, n->workers[i]);
	}
}

static void notice(struct sim *s, uint32_t node, uint32_t grace_ms)
{
	struct sim_node *n = &s->nodes[node];

	if (!n->is_up || n->gone_ns)
		return;
	n->gone_ns = s->now_ns + grace_ms * GR_NS_PER_MS;
	sim_say(s, "node %u goes in %u ms", node, grace_ms);
	for (uint32_t i = 0; i < n->n_workers; i++) {
		struct sim_worker *w = &s->workers[n->workers[i]];

		w->is_draining = true;
		if (w->is_up && !w->is_cut && s->policy->worker_drain)
			s->policy->worker_drain(s->p, n->workers[i], n->gone_ns);
	}
	sim_at(s, n->gone_ns, SIM_EV_NODE_DOWN, node, 0);
}

/* ---- jobs ---- */

static void know_job(struct sim *s, uint32_t job)
{
	struct sim_job *j = &s->jobs[job];

	if (j->is_known)
		return;
	j->is_known = true;
	j->policy_queued = -1;
	if (s->cfg.is_checked)
		gr_job_init(&j->life, job);
	if (s->policy->job_add)
		s->policy->job_add(s->p, job);
}

static void arrive(struct sim *s, uint32_t first, uint32_t count)
{
	uint32_t job = s->tasks[first].job;
	struct sim_job *j = &s->jobs[job];

	know_job(s, job);
	if (j->is_cancelled) {
		for (uint32_t i = 0; i < count; i++)
			sim_task_ended(s, first + i, false);
		return;
	}
	for (uint32_t i = first; i < first + count; i++) {
		if (s->cfg.is_checked) {
			GR_NEW(s->tasks[i].life);
			gr_task_init(s->tasks[i].life, &j->life, i, 1);
		}
		sim_task_ready(s, i);
		if (j->is_gang)
			j->gang[j->n_gang++] = i;
	}
	s->policy->ready(s->p, first, count);
}

static void cancel_job(struct sim *s, uint32_t job)
{
	struct sim_job *j = &s->jobs[job];
	uint64_t n;

	if (!j->is_known || j->is_cancelled || !s->policy->job_cancel)
		return;
	j->is_cancelled = true;
	n = s->policy->job_cancel(s->p, job);
	if (n != j->n_queued)
		sim_fail(s, "job %u: %u tasks wait, the policy cancelled %llu", job, j->n_queued, (unsigned long long)n);
	j->n_gang = 0;
	for (uint32_t i = j->first; i < s->n_tasks; i++) {
		struct sim_task *t = &s->tasks[i];

		if (t->job != job || t->state == SIM_LATER || t->state == SIM_ENDED)
			continue;
		if (t->state == SIM_QUEUED)
			sim_task_taken(s, i);
		t->n_accepted++;
		if (t->life)
			gr_task_move(t->life, GR_TASK_ENDED);
		sim_task_ended(s, i, false);
		while (t->n_live)
			sim_attempt_stop(s, t->live[0], GR_CAUSE_CANCELLED);
	}
}

/* ---- decisions ---- */

static uint32_t live_by_handle(const struct sim *s, const struct sim_pick *d)
{
	const struct sim_task *t = &s->tasks[d->task];

	for (uint32_t i = 0; i < t->n_live; i++)
		if (s->attempts[t->live[i]].handle == d->handle)
			return t->live[i];
	return SIM_NONE;
}

static void run_one(struct sim *s, const struct sim_pick *d)
{
	struct sim_task *t = &s->tasks[d->task];
	struct sim_worker *w = &s->workers[d->worker];
	struct sim_job *j = &s->jobs[t->job];
	uint32_t id = sim_attempt_new(s);
	struct sim_attempt *a = &s->attempts[id];

	*a = (struct sim_attempt){
		.task = d->task, .worker = d->worker, .state = SIM_WAITING, .is_copy = d->act == SIM_COPY, .handle = d->handle,
		.placed_ns = s->now_ns, .mem_mib = t->asked_mib,
		.is_slow = s->cfg.straggler_ppm && gr_rng_below(&s->rng, 1000000) < s->cfg.straggler_ppm,
	};
	if (t->life)
		a->number = gr_task_begin(t->life, w->policy_id, w, 0, s->now_ns)->number;
	if (d->act == SIM_RUN)
		sim_task_taken(s, d->task);
	t->state = SIM_PLACED;
	t->live[t->n_live++] = id;
	j->n_live++;
	s->n_live++;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		j->used.v[r] += r == GR_PLACE_MEM_MIB ? a->mem_mib : j->need.v[r];
	GR_GROW(w->held, w->cap_held, w->n_held + 1);
	w->held[w->n_held++] = id;
	sim_worker_pump(s, d->worker);
}

static void take_back(struct sim *s, const struct sim_pick *d)
{
	uint32_t id = live_by_handle(s, d), task = d->task;
	enum gr_verdict v;

	if (id == SIM_NONE)
		return;               /* ended by what was done before it in this batch */
	if (d->act == SIM_RETRACT && s->attempts[id].state != SIM_WAITING) {
		if (s->policy->kept)
			s->policy->kept(s->p, id);
		return;
	}
	v = sim_attempt_stop(s, id, GR_CAUSE_DRAINED);
	if (s->tasks[task].state == SIM_PLACED)
		sim_conclude(s, task, v, false);
}

/* No attempt is left for a copy: the policy hears that it is over. */
static void decline(struct sim *s, const struct sim_pick *d)
{
	uint32_t id = sim_attempt_new(s);

	s->attempts[id] = (struct sim_attempt){ .task = d->task, .worker = d->worker, .state = SIM_OVER, .handle = d->handle };
	s->policy->ended(s->p, id, SIM_STOPPED, 0, 0);
	sim_attempt_free(s, id);
}

static void note_stopped(struct sim *s, const struct sim_pick *d)
{
	struct sim_worker *w = &s->workers[d->worker];
	uint32_t band = s->jobs[s->tasks[d->task].job].band;

	if (w->stopped_ns != s->now_ns)
		w->n_stops = w->n_came = 0;
	if (!w->n_stops || w->stopped_round != s->round)
		w->n_stops++;
	if (w->stopped_ns != s->now_ns || band > w->stopped_band)
		w->stopped_band = band;
	w->stopped_round = s->round;
	w->stopped_ns = s->stopped_ns = s->now_ns;
}

static void carry_out(struct sim *s, const struct sim_pick *d)
{
	static const char *const names[] = { "runs on", "is copied to", "is taken back from", "is preempted on", "leaves" };

	s->r.hash = (s->r.hash ^ d->task) * 0x100000001b3ull;
	s->r.hash = (s->r.hash ^ d->worker ^ (uint64_t)d->act << 40) * 0x100000001b3ull;
	sim_say(s, "task %u (job %u band %u) %s worker %u%s", d->task, s->tasks[d->task].job, s->jobs[s->tasks[d->task].job].band,
		names[d->act], d->worker, d->gang ? " (gang)" : "");
	if (s->cfg.is_checked)
		sim_check_pick(s, d);
	if (s->on_pick)
		s->on_pick(s, d);
	if (s->r.why[0])
		return;
	if (d->act != SIM_RUN && d->act != SIM_COPY)
		s->jobs[s->tasks[d->task].job].stopped_round = s->round;
	switch (d->act) {
	case SIM_COPY:
		if (s->tasks[d->task].life && !gr_task_may_try(s->tasks[d->task].life)) {
			decline(s, d);
			break;
		}
		s->r.n_copies++;
		run_one(s, d);
		break;
	case SIM_RUN:
		s->workers[d->worker].n_came += s->jobs[s->tasks[d->task].job].band < s->workers[d->worker].stopped_band;
		run_one(s, d);
		break;
	case SIM_RETRACT:
		s->r.n_retracts++;
		s->stopped_ns = s->now_ns;    /* room may be made so, too */
		take_back(s, d);
		break;
	case SIM_PREEMPT:
		s->r.n_preempts++;
		s->tasks[d->task].preempted_ns = s->now_ns;
		s->tasks[d->task].preempted_on = d->worker;
		note_stopped(s, d);
		take_back(s, d);
		break;
	case SIM_MOVE:
		s->r.n_moves++;
		take_back(s, d);
		break;
	}
}

static void decide(struct sim *s)
{
	struct sim_pick picks[BATCH];
	uint32_t n, rounds = 0;
	uint64_t from, wake_ns;

	do {
		s->round++;
		from = clock_of(s);
		n = s->policy->next(s->p, picks, BATCH);
		s->r.decide_s += (double)(clock_of(s) - from) / 1e9;
		s->r.n_decisions += n;
		for (uint32_t i = 0; i < n && !s->r.why[0]; i++)
			carry_out(s, &picks[i]);
		if (++rounds > 1000)
			sim_fail(s, "the policy decides for ever");
	} while (n && !s->r.why[0]);
	if (s->r.why[0])
		return;
	if (s->cfg.is_checked)
		sim_check_idle(s);
	wake_ns = s->policy->wake_ns ? s->policy->wake_ns(s->p) : UINT64_MAX;
	/* an earlier one asks again */
	if (wake_ns < s->wake_ns) {
		s->wake_ns = wake_ns > s->now_ns ? wake_ns : s->now_ns + 1000;
		sim_at(s, s->wake_ns, SIM_EV_WAKE, 0, 0);
	}
}

/* ---- events ---- */

static void node_event(struct sim *s, uint32_t node)
{
	struct sim_node *n = &s->nodes[node];
	uint32_t due[SIM_MAX_PODS * 8], n_due = 0;

	sim_node_advance(s, node);
	for (uint32_t i = 0; i < n->n_workers; i++) {
		const struct sim_worker *w = &s->workers[n->workers[i]];

		for (uint32_t k = 0; k < w->n_held && n_due < GR_LEN(due); k++)
			if (s->attempts[w->held[k]].state == SIM_RUNNING && s->attempts[w->held[k]].left_us <= 0.001)
				due[n_due++] = w->held[k];
	}
	for (uint32_t i = 0; i < n_due; i++)
		if (s->attempts[due[i]].state == SIM_RUNNING && s->attempts[due[i]].left_us <= 0.001)
			sim_attempt_finish(s, due[i]);
	sim_node_plan(s, node);
}

static void unstick(struct sim *s)
{
	for (uint32_t i = 0; i < s->n_tasks; i++) {
		struct sim_task *t = &s->tasks[i];

		if (t->state != SIM_QUEUED || !t->n_exclude || !s->policy->is_stuck || !s->policy->is_stuck(s->p, i))
			continue;
		s->policy->cancel(s->p, i);
		t->n_exclude = 0;
		s->policy->ready(s->p, i, 1);
	}
}

static void all_signals(struct sim *s)
{
	for (uint32_t i = 0; i < s->n_workers; i++)
		if (s->workers[i].is_up && !s->workers[i].is_cut && s->policy->signals)
			s->policy->signals(s->p, i);
}

static void happen(struct sim *s, const struct sim_event *e)
{
	switch ((enum sim_happening)e->kind) {
	case SIM_EV_READY:
		arrive(s, e->a, e->b);
		break;
	case SIM_EV_NODE:
		if (e->b == s->nodes[e->a].stamp)
			node_event(s, e->a);
		break;
	case SIM_EV_FETCHED:
		if (e->b == s->workers[e->a].gen)
			sim_worker_pump(s, e->a);
		break;
	case SIM_EV_SIGNALS:
		all_signals(s);
		if (s->n_ended < s->n_tasks)
			sim_at(s, s->now_ns + s->cfg.signals_ns, SIM_EV_SIGNALS, 0, 0);
		break;
	case SIM_EV_WAKE:
		s->wake_ns = UINT64_MAX;
		break;
	case SIM_EV_STUCK:
		unstick(s);
		if (s->n_ended < s->n_tasks)
			sim_at(s, s->now_ns + STUCK_NS, SIM_EV_STUCK, 0, 0);
		break;
	case SIM_EV_NODE_DOWN:
		node_down(s, e->a);
		break;
	case SIM_EV_NODE_UP:
		node_up(s, e->a);
		break;
	case SIM_EV_NOTICE:
		notice(s, e->a, e->b);
		break;
	case SIM_EV_FOREIGN:
		sim_node_advance(s, e->a);
		s->nodes[e->a].foreign_mcpu = e->b;
		sim_node_plan(s, e->a);
		break;
	case SIM_EV_QUOTA:
		sim_node_advance(s, s->workers[e->a].node);
		s->workers[e->a].quota_mcpu = e->b;
		sim_node_plan(s, s->workers[e->a].node);
		break;
	case SIM_EV_CUT:
		lost(s, e->a, true);
		break;
	case SIM_EV_HEAL:
		heal(s, e->a);
		break;
	case SIM_EV_CANCEL:
		cancel_job(s, e->a);
		break;
	case SIM_EV_PAUSE:
	case SIM_EV_RESUME:
		if (!s->jobs[e->a].is_known || !s->policy->job_pause)
			break;
		s->jobs[e->a].is_paused = e->kind == SIM_EV_PAUSE;
		s->policy->job_pause(s->p, e->a, s->jobs[e->a].is_paused);
		break;
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void sum_up(struct sim *s)
{
	double sum = 0;

	if (!s->n_responses)
		return;
	for (uint32_t i = 0; i < s->n_responses; i++)
		sum += s->responses[i];
	qsort(s->responses, s->n_responses, sizeof(*s->responses), by_value);
	s->r.mean_s = sum / s->n_responses;
	s->r.p50_s = s->responses[s->n_responses / 2];
	s->r.p99_s = s->responses[(uint64_t)s->n_responses * 99 / 100];
}

static void say_all(struct sim *s)
{
	for (uint32_t i = 0; i < s->n_workers; i++) {
		const struct sim_worker *w = &s->workers[i];
		const struct sim_node *n = &s->nodes[w->node];

		sim_say(s, "worker %u on node %u (zone %u, %u mcpu, speed %.2f): %u slots + %u, %u mcpu, %u MiB, gpu %u, toolchains %x%s", i,
			w->node, n->zone, n->cores_mcpu, n->speed, w->slots, w->prefetch, w->cap.v[GR_PLACE_CPU_MCPU],
			w->cap.v[GR_PLACE_MEM_MIB], w->cap.v[GR_PLACE_GPU_MILLI], w->env_mask, w->is_black_hole ? ", fails all" : "");
	}
	for (uint32_t i = 0; i < s->n_jobs; i++) {
		const struct sim_job *j = &s->jobs[i];

		sim_say(s, "job %u: tasks %u..%u of band %u, tenant %u, %u mcpu, %u MiB, gpu %u, toolchain %u, zone %u, set %d%s%s, at most %u, "
			"spread by %u: %u", i, j->first, j->first + j->n_tasks - 1, j->band, j->tenant, j->need.v[GR_PLACE_CPU_MCPU],
			j->need.v[GR_PLACE_MEM_MIB], j->need.v[GR_PLACE_GPU_MILLI], j->env, j->zone, (int)j->set, j->is_gang ? ", gang" : "",
			j->is_preemptible ? ", preemptible" : "", j->max_placed, j->spread_by, j->spread_max);
	}
}

int sim_run(struct sim *s)
{
	struct sim_event e;

	if (s->cfg.verbose)
		say_all(s);
	s->p = s->policy->start(s);
	for (uint32_t i = 0; i < s->n_workers; i++)
		if (s->workers[i].is_up)
			s->policy->worker_up(s->p, i);
	if (s->cfg.signals_ns)
		sim_at(s, s->cfg.signals_ns, SIM_EV_SIGNALS, 0, 0);
	if (s->cfg.is_checked)
		sim_at(s, STUCK_NS, SIM_EV_STUCK, 0, 0);
	while (!s->r.why[0] && s->n_ended < s->n_tasks && sim_events_pop(&s->events, &e)) {
		s->now_ns = e.at_ns;
		if (s->cfg.limit_ns && s->now_ns > s->cfg.limit_ns)
			break;
		s->r.n_events++;
		if ((e.kind == SIM_EV_NODE && e.b != s->nodes[e.a].stamp) || (e.kind == SIM_EV_WAKE && e.at_ns != s->wake_ns))
			continue;     /* an earlier one took its place */
		happen(s, &e);
		/* what is submitted together is decided about together */
		if (e.kind == SIM_EV_READY && s->events.n && s->events.heap[0].kind == SIM_EV_READY && s->events.heap[0].at_ns == e.at_ns)
			continue;
		if (!s->r.why[0])
			decide(s);
		if (s->cfg.is_checked && !s->r.why[0])
			sim_check(s);
	}
	if (s->cfg.is_checked && !s->r.why[0])
		sim_check_end(s);
	sum_up(s);
	return s->r.why[0] ? -1 : 0;
}
