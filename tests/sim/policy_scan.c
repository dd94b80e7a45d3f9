/* policy_scan.c - what lib/place is measured against, each in a few lines: a central queue in order of arrival (bands
 * first), and another rule for the worker.
 *   oracle    every worker that fits; the least of true fetch time + true work at true speed and true contention
 *   social    the same and what the others on the node lose by it: the least of all tasks' time, not of its own
 *   emptiest  every worker; the least share of slots taken
 *   random    any that fits
 *   two       the emptier of two that fit, drawn at random (Mitzenmacher's power of two choices)
 *   icecream  icecc's rule re-coded from its scheduler: speed x (1 - 0.5 jobs / slots) x (1 - load of others), hosts that
 *             have the toolchain before those that would install it. It is given the true speed, and none of its defects.
 * None of them holds tasks ahead: a task is given to a free slot or waits here. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/sim/sim.h"

enum rule { ORACLE, SOCIAL, EMPTIEST, RANDOM, TWO, ICECREAM };
struct fifo { uint32_t *task, n, cap, head; bool is_blocked; };
struct scan {
	struct sim *s;
	enum rule rule;
	struct gr_rng rng;
	struct fifo *jobs;
	uint32_t n_jobs, cap_jobs;
};

static void *start(struct sim *s, enum rule rule)
{
	struct scan *p;

	GR_NEW(p);
	p->s = s;
	p->rule = rule;
	p->rng.s = s->cfg.seed + 77;
	return p;
}
static void *start_oracle(struct sim *s) { return start(s, ORACLE); }
static void *start_social(struct sim *s) { return start(s, SOCIAL); }
static void *start_emptiest(struct sim *s) { return start(s, EMPTIEST); }
static void *start_random(struct sim *s) { return start(s, RANDOM); }
static void *start_two(struct sim *s) { return start(s, TWO); }
static void *start_icecream(struct sim *s) { return start(s, ICECREAM); }

static void stop(void *ctx)
{
	struct scan *p = ctx;

	for (uint32_t i = 0; i < p->n_jobs; i++)
		free(p->jobs[i].task);
	free(p->jobs);
	free(p);
}

static void unblock(struct scan *p)
{
	for (uint32_t i = 0; i < p->n_jobs; i++)
		p->jobs[i].is_blocked = false;
}

static void on_worker(void *ctx, uint32_t worker)
{
	(void)worker;
	unblock(ctx);
}

static void ready(void *ctx, uint32_t first, uint32_t count)
{
	struct scan *p = ctx;
	uint32_t job = p->s->tasks[first].job;
	struct fifo *f;

	while (p->n_jobs <= job) {
		GR_GROW(p->jobs, p->cap_jobs, p->n_jobs + 1);
		p->jobs[p->n_jobs++] = (struct fifo){ 0 };
	}
	f = &p->jobs[job];
	if (f->head && f->n + count > f->cap) {
		memmove(f->task, f->task + f->head, (f->n - f->head) * sizeof(*f->task));
		f->n -= f->head;
		f->head = 0;
	}
	GR_GROW(f->task, f->cap, f->n + count);
	for (uint32_t i = 0; i < count; i++)
		f->task[f->n++] = first + i;
}

static double fill(const struct sim_worker *w)
{
	return (double)w->n_held / w->slots;
}

static double oracle_cost(const struct scan *p, const struct sim_worker *w, const struct sim_task *t)
{
	const struct sim *s = p->s;
	const struct sim_job *j = &s->jobs[t->job];
	const struct sim_node *n = &s->nodes[w->node];
	uint32_t cpu_mcpu = j->need.v[GR_PLACE_CPU_MCPU];
	double before = (double)(n->taken_mcpu + n->foreign_mcpu) / n->cores_mcpu, m = before + (double)cpu_mcpu / n->cores_mcpu, run_us;

	m = m > 1 ? m : 1;
	before = before > 1 ? before : 1;
	run_us = t->work_us * m / n->speed;
	/* each of the others goes on at before / m of its pace as long as this one runs */
	if (p->rule == SOCIAL)
		run_us += run_us * (1 - before / m) * n->taken_mcpu / 1000;
	return (double)sim_missing_us(s, w, t->set) + run_us;
}

static double icecream_cost(const struct scan *p, const struct sim_worker *w, const struct sim_task *t)
{
	const struct sim *s = p->s;
	const struct sim_node *n = &s->nodes[w->node];
	double load = (double)n->foreign_mcpu / n->cores_mcpu;
	double speed = n->speed * (load < 1 ? 1 - load : 0.001) * (1 - 0.5 * fill(w));

	/* any host with the toolchain goes before every host without */
	return -speed + (sim_missing_us(s, w, t->set) ? 1000 : 0);
}

static uint32_t draw(struct scan *p, const struct sim_task *t)
{
	struct sim *s = p->s;
	uint32_t n = 0, at;

	for (int i = 0; i < 32; i++) {
		at = gr_rng_below(&p->rng, s->n_workers);
		if (sim_fits(s, &s->workers[at], t))
			return at;
	}
	for (uint32_t i = 0; i < s->n_workers; i++)
		n += sim_fits(s, &s->workers[i], t);
	if (!n)
		return SIM_NONE;
	n = gr_rng_below(&p->rng, n);
	for (at = 0; !sim_fits(s, &s->workers[at], t) || n--; at++)
		;
	return at;
}

static uint32_t choose(struct scan *p, const struct sim_task *t)
{
	struct sim *s = p->s;
	uint32_t best = SIM_NONE, other, ties = 0;
	double least = INFINITY;

	if (p->rule == RANDOM || p->rule == TWO) {
		best = draw(p, t);
		if (p->rule == TWO && best != SIM_NONE) {
			other = draw(p, t);
			if (fill(&s->workers[other]) < fill(&s->workers[best]))
				best = other;
		}
		return best;
	}
	for (uint32_t i = 0; i < s->n_workers; i++) {
		const struct sim_worker *w = &s->workers[i];
		double cost;

		if (!sim_fits(s, w, t))
			continue;
		cost = p->rule <= SOCIAL ? oracle_cost(p, w, t) : p->rule == EMPTIEST ? fill(w) : icecream_cost(p, w, t);
		if (cost > least)
			continue;
		ties = cost < least ? 1 : ties + 1;
		if (ties > 1 && gr_rng_below(&p->rng, ties))
			continue;
		least = cost;
		best = i;
	}
	return best;
}

static uint32_t next(void *ctx, struct sim_pick *out, uint32_t max)
{
	struct scan *p = ctx;
	struct sim *s = p->s;

	(void)max;
	for (;;) {
		struct fifo *f = NULL;
		const struct sim_task *t, *other;
		uint32_t worker;

		for (uint32_t i = 0; i < p->n_jobs; i++) {
			struct fifo *g = &p->jobs[i];

			if (g->is_blocked || g->head == g->n)
				continue;
			if (f) {
				t = &s->tasks[g->task[g->head]];
				other = &s->tasks[f->task[f->head]];
				if (s->jobs[t->job].band > s->jobs[other->job].band ||
				    (s->jobs[t->job].band == s->jobs[other->job].band && t->queued_ns >= other->queued_ns))
					continue;
			}
			f = g;
		}
		if (!f)
			return 0;
		worker = choose(p, &s->tasks[f->task[f->head]]);
		if (worker == SIM_NONE) {
			f->is_blocked = true;
			continue;
		}
		/* one at a time: the cost of the next depends on this one being there */
		out[0] = (struct sim_pick){ .act = SIM_RUN, .task = f->task[f->head++], .worker = worker };
		return 1;
	}
}

static void ended(void *ctx, uint32_t attempt, enum sim_how how, uint64_t cpu_us, uint64_t rss_bytes)
{
	(void)attempt, (void)how, (void)cpu_us, (void)rss_bytes;
	unblock(ctx);
}

#define SCAN(id, text, fn) \
	const struct sim_policy id = { .name = text, .start = fn, .stop = stop, .worker_up = on_worker, .worker_down = on_worker, \
				       .ready = ready, .next = next, .ended = ended }
SCAN(sim_oracle, "full scan of the true cost", start_oracle);
SCAN(sim_social, "full scan, others' delay too", start_social);
SCAN(sim_emptiest, "emptiest first", start_emptiest);
SCAN(sim_random, "random", start_random);
SCAN(sim_two, "power of two choices", start_two);
SCAN(sim_icecream, "icecream-like full scan", start_icecream);
