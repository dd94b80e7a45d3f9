/* tail.c - the last tasks of the only job in line: which of them should wait for a worker that is busy
 *
 * Sampling asks where the front task ends first among the workers that are free now. With many tasks to come that is right,
 * for no worker stays idle. With few left it is not: the longest of them, started on a slow worker that happens to be free,
 * is what everybody waits for in the end. So the rest is planned as a list: longest first, each to the slot where it ends
 * first, busy slots included from when they are expected to be free. What the plan starts now is placed; what it gives
 * to a busy worker waits in the queue, and the plan is made anew at the next event, or when the first such slot should
 * have become free. A slot that is late is expected to be late by a quarter of what it ran, so a wait ends.
 *
 * Source: list scheduling on uniform machines, longest first (Gonzalez, Ibarra and Sahni 1977). */
#include "lib/place/place_int.h"

#include "lib/base/clock.h"

#define TAIL_TASKS 32u
#define TAIL_WORKERS 64u
#define TAIL_SLOTS 256u
#define TAIL_WORK_US 100000u          /* below it a wait costs more than it gains */
#define GAIN_SHARE 16u                /* a wait must gain so much of the run there */
#define LATE_SHARE 4u
#define KNOWN_RUNS 3u
#define RECHECK_NS (20 * GR_NS_PER_MS)

struct slot { uint32_t worker; uint64_t free_ns; bool is_free; };
struct item { uint32_t queued; uint32_t worker; uint64_t set; };      /* a range stands here once for each of its tasks */

struct plan {
	struct slot slot[TAIL_SLOTS];
	struct item item[TAIL_TASKS];
	uint32_t n_slots, n_items;
};

static uint64_t expected_end_ns(const struct gr_place *p, uint32_t placed)
{
	const struct gr_place__placed *pl = gr_place__at(p, placed);
	uint64_t end = gr_place__end_ns(p, placed);

	return end > p->now_ns || !(pl->flags & P_RUNNING) ? end : p->now_ns + (p->now_ns - pl->start_ns) / LATE_SHARE + RECHECK_NS;
}

/* Return: false when there are too many for a plan. */
static bool add_slots(const struct gr_place *p, uint32_t worker, const struct gr_place__search *s, struct plan *plan)
{
	const struct gr_place__worker *w = &p->workers[worker];
	uint32_t res, n_free = 0;

	if (gr_place__fits(p, worker, s, &res) == GR_PLACE_V_FITS && w->n_placed < w->slots) {
		n_free = w->slots - w->n_placed;
		for (uint32_t r = 0; r < N_INLINE; r++)
			if (s->class->need4[r])
				n_free = gr_place__min(n_free, (uint32_t)(w->free[r] / s->class->need4[r]));
	}
	if (plan->n_slots + n_free + w->n_placed > TAIL_SLOTS)
		return false;
	while (n_free--)
		plan->slot[plan->n_slots++] = (struct slot){ worker, s->now_ns, true };
	for (uint32_t i = p->holds[worker].first; i != NIL; i = gr_place__at(p, i)->next)
		plan->slot[plan->n_slots++] = (struct slot){ worker, expected_end_ns(p, i), false };
	return true;
}

static bool make_slots(struct gr_place *p, const struct gr_place__search *s, struct plan *plan)
{
	plan->n_slots = 0;
	for (uint32_t i = 0; i < p->n_workers; i++) {
		const struct gr_place__worker *w = &p->workers[i];

		if (!(w->flags & W_UP) || (w->flags & (W_DRAINING | W_BLOCKED | W_RESERVED | W_KEPT | W_LEAVING)) || w->n_waiting ||
		    p->nodes[w->node].is_cordoned || !s->class->pool_at[w->pool])
			continue;
		if (!add_slots(p, i, s, plan))
			return false;
	}
	return true;
}

/* The tasks that wait, longest first. */
static void make_items(const struct gr_place *p, const struct gr_place__queue *q, struct plan *plan)
{
	plan->n_items = 0;
	for (uint32_t i = 0; i < q->n; i++) {
		const struct gr_place__queued *t = &p->queued[q->heap[i]];
		uint32_t at = plan->n_items, n = t->t.count - t->nth;

		for (; at; at--) {
			const struct gr_place__queued *other = &p->queued[plan->item[at - 1].queued];

			if (other->each_ms > t->each_ms || (other->each_ms == t->each_ms && other->seq < t->seq))
				break;
			plan->item[at - 1 + n] = plan->item[at - 1];
		}
		for (uint32_t k = at; k < at + n; k++)
			plan->item[k] = (struct item){ .queued = q->heap[i], .worker = NIL, .set = t->t.input_set };
		plan->n_items += n;
	}
}

/* On a busy slot it runs in the place of what runs there now. */
static uint64_t there_us(const struct gr_place *p, const struct gr_place__search *s, const struct slot *slot, const struct plan *plan, uint32_t i_item)
{
	const struct gr_place__worker *w = &p->workers[slot->worker];
	uint64_t m = gr_place__contention(p, w, slot->is_free ? s->class->spec.need.v[GR_PLACE_CPU_MCPU] : 0);
	uint64_t run_us = s->work_us * m / p->nodes[w->node].speed_permille;

	/* the files come with an earlier one of the plan */
	for (uint32_t i = 0; i < i_item && s->t->input_set; i++)
		if (plan->item[i].worker == slot->worker && plan->item[i].set == s->t->input_set)
			return run_us;
	return run_us + gr_place__fetch_us(p, slot->worker, s);
}

/* Something is known of what it takes. */
static bool is_expected(const struct gr_place *p, const struct gr_place_task *t)
{
	return t->work_ms || gr_place__family(p, t->family)->n >= KNOWN_RUNS;
}

bool gr_place__is_tail(const struct gr_place *p, uint32_t queue)
{
	const struct gr_place__queue *q = &p->queues[queue];
	const struct gr_place__owner *o = &p->owners[q->owner];
	const struct gr_place__queued *front = &p->queued[q->front];
	uint64_t n = 0;

	if (!o->spec.is_whole || p->tasks_queued > TAIL_TASKS || q->n > p->tasks_queued || p->n_up > TAIL_WORKERS || p->n_up < 2 || q->is_choosy ||
	    !p->classes[q->class].is_plain || o->spec.max_placed || p->tenants[o->spec.tenant].has_quota || p->reserve.queue != NIL ||
	    front->each_ms * 1000ull < TAIL_WORK_US || !is_expected(p, &front->t))
		return false;
	for (uint32_t i = 0; i < q->n; i++)
		n += p->queued[q->heap[i]].t.count - p->queued[q->heap[i]].nth;
	return n == p->tasks_queued;
}

APART uint32_t gr_place__tail(struct gr_place *p, uint32_t queue, struct gr_place__search *s)
{
	const struct gr_place__queue *q = &p->queues[queue];
	struct plan plan;
	uint64_t wait_ns = UINT64_MAX, now_ns = s->now_ns;

	if (!make_slots(p, s, &plan) || !plan.n_slots)
		return q->front;
	make_items(p, q, &plan);
	for (uint32_t i = 0; i < plan.n_items; i++) {
		struct slot *best = NULL, *best_free = NULL;
		uint64_t best_ns = UINT64_MAX, free_ns = UINT64_MAX;

		gr_place__search_for(p, plan.item[i].queued, now_ns, s);
		for (uint32_t k = 0; k < plan.n_slots; k++) {
			struct slot *slot = &plan.slot[k];
			uint64_t end = slot->free_ns + there_us(p, s, slot, &plan, i) * GR_NS_PER_US;

			if (slot->is_free && end < free_ns) {
				free_ns = end;
				best_free = slot;
			}
			if (end < best_ns) {
				best_ns = end;
				best = slot;
			}
		}
		if (best_free && best_ns + (free_ns - now_ns) / GAIN_SHARE >= free_ns) {
			best = best_free;
			best_ns = free_ns;
		}
		if (best->is_free && gr_place__search_at(p, s, best->worker))
			return plan.item[i].queued;
		plan.item[i].worker = best->worker;
		wait_ns = best->free_ns < wait_ns ? best->free_ns : wait_ns;
		best->free_ns = best_ns;
	}
	wait_ns = (wait_ns > now_ns ? wait_ns : now_ns) + RECHECK_NS;
	p->retry_ns = wait_ns < p->retry_ns ? wait_ns : p->retry_ns;
	return NIL;
}
