/**
 * events - what happens next: a binary heap by (time, order of insertion), so that equal times keep their order
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include "lib/base/alloc.h"

struct sim_event {
	uint64_t at_ns, seq;
	uint32_t kind, a, b;
};
struct sim_events {
	struct sim_event *heap;
	uint32_t n, cap;
	uint64_t seq;
};

static inline bool sim_event_before(const struct sim_event *x, const struct sim_event *y)
{
	return x->at_ns != y->at_ns ? x->at_ns < y->at_ns : x->seq < y->seq;
}
static inline void sim_events_push(struct sim_events *q, uint64_t at_ns, uint32_t kind, uint32_t a, uint32_t b)
{
	struct sim_event e = { at_ns, ++q->seq, kind, a, b };
	uint32_t i = q->n;

	GR_GROW(q->heap, q->cap, q->n + 1);
	q->n++;
	for (; i && sim_event_before(&e, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
		q->heap[i] = q->heap[(i - 1) / 2];
	q->heap[i] = e;
}
static inline bool sim_events_pop(struct sim_events *q, struct sim_event *out)
{
	struct sim_event last;
	uint32_t i = 0, kid;

	if (!q->n)
		return false;
	*out = q->heap[0];
	last = q->heap[--q->n];
	while ((kid = 2 * i + 1) < q->n) {
		kid += kid + 1 < q->n && sim_event_before(&q->heap[kid + 1], &q->heap[kid]);
		if (!sim_event_before(&q->heap[kid], &last))
			break;
		q->heap[i] = q->heap[kid];
		i = kid;
	}
	q->heap[i] = last;
	return true;
}
