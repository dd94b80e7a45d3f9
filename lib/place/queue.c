/* queue.c - what waits: a heap per (owner, class), longest expected work first, else first come. Ranks are two steps an
 * octave, so that noise in the estimates does not undo the order of arrival. Records come from a free list; a range is
 * one record until all of it is decided. */
#include "lib/place/place.h"

#include <assert.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

static bool goes_before(const struct gr_place *p, uint32_t a, uint32_t b)
{
	const struct gr_place__queued *x = &p->queued[a], *y = &p->queued[b];

	return x->rank != y->rank ? x->rank > y->rank : x->seq < y->seq;
}

static void put_at(struct gr_place *p, struct gr_place__queue *q, uint32_t at, uint32_t item)
{
	q->heap[at] = item;
	p->queued[item].at = at;
}

static void sift(struct gr_place *p, struct gr_place__queue *q, uint32_t at)
{
	uint32_t item = q->heap[at];

	while (at && goes_before(p, item, q->heap[(at - 1) / 2])) {
		put_at(p, q, at, q->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		uint32_t kid = at * 2 + 1;

		if (kid >= q->n)
			break;
		if (kid + 1 < q->n && goes_before(p, q->heap[kid + 1], q->heap[kid]))
			kid++;
		if (!goes_before(p, q->heap[kid], item))
			break;
		put_at(p, q, at, q->heap[kid]);
		at = kid;
	}
	put_at(p, q, at, item);
}

/* 0 for unknown: behind all that are known to be long, in order of arrival. */
static uint16_t rank_of(uint32_t work_us)
{
	uint32_t log2 = 31 - (uint32_t)__builtin_clz(work_us | 1);

	return (uint16_t)(log2 * 2 + (log2 && work_us >> (log2 - 1) & 1));
}

static uint32_t queue_for(struct gr_place *p, uint32_t owner, uint32_t class, bool is_picky)
{
	struct gr_place__queue *q;
	uint32_t i;

	for (i = p->owners[owner].first_queue; i != NIL; i = p->queues[i].next)
		if (p->queues[i].class == class && p->queues[i].is_picky == is_picky)
			return i;
	/* an empty queue of a class that is no longer asked for serves as well */
	for (i = p->owners[owner].first_queue; i != NIL; i = p->queues[i].next)
		if (!p->queues[i].n)
			break;
	if (i == NIL) {
		i = p->free_queue;
		if (i != NIL) {
			p->free_queue = p->queues[i].next;
		} else {
			GR_GROW(p->queues, p->cap_queues, p->n_queues + 1);
			i = p->n_queues++;
		}
		p->queues[i].next = p->owners[owner].first_queue;
		p->owners[owner].first_queue = i;
	}
	q = &p->queues[i];
	q->owner = owner;
	q->class = class;
	q->is_picky = is_picky;
	q->parked_at = 0;
	return i;
}

int gr_place_ready(struct gr_place *p, uint64_t now_ns, const struct gr_place_task *t)
{
	struct gr_place__queued *item;
	uint32_t id;

	(void)now_ns;
	if (!t->count || t->n_exclude > GR_PLACE_MAX_EXCLUDES)
		return GR_EINVAL;
	assert(t->owner < p->n_owners && p->owners[t->owner].is_used && !p->owners[t->owner].is_going);
	assert(t->class < p->n_classes && p->classes[t->class].is_used);
	id = p->free_queued;
	if (id != NIL) {
		p->free_queued = p->queued[id].next_free;
	} else {
		GR_GROW(p->queued, p->cap_queued, p->n_queued + 1);
		id = p->n_queued++;
	}
	item = &p->queued[id];
	*item = (struct gr_place__queued){ .t = *t, .seq = ++p->seq };
	item->rank = rank_of(gr_place__work_us(p, t));
	item->queue = queue_for(p, t->owner, t->class, t->n_exclude > 0);
	gr_place__queue_push(p, id);
	p->classes[t->class].n_task++;
	p->owners[t->owner].n_queued += t->count;
	p->tasks_queued += t->count;
	return (int)id;
}

void gr_place__queue_push(struct gr_place *p, uint32_t queued)
{
	struct gr_place__queue *q = &p->queues[p->queued[queued].queue];

	GR_GROW(q->heap, q->cap, q->n + 1);
	put_at(p, q, q->n++, queued);
	sift(p, q, q->n - 1);
	if (q->heap[0] == queued)
		q->parked_at = 0;
}

void gr_place__queue_take(struct gr_place *p, uint32_t queued)
{
	struct gr_place__queued *item = &p->queued[queued];
	struct gr_place__queue *q = &p->queues[item->queue];
	uint32_t at = item->at, last = q->heap[--q->n];

	if (last != queued) {
		put_at(p, q, at, last);
		sift(p, q, at);
	}
	if (!at)
		q->parked_at = 0;
	p->classes[item->t.class].n_task--;
	item->next_free = p->free_queued;
	p->free_queued = queued;
}

void gr_place_cancel(struct gr_place *p, uint32_t queued)
{
	struct gr_place__queued *item = &p->queued[queued];
	uint32_t left = item->t.count - item->nth;

	assert(queued < p->n_queued && left && p->queues[item->queue].heap[item->at] == queued);
	p->owners[item->t.owner].n_queued -= left;
	p->tasks_queued -= left;
	item->nth = item->t.count;
	gr_place__queue_take(p, queued);
}
