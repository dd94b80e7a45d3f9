/* queue.c - what waits: a heap per (owner, class), longest expected work first, else first come. Ranks are two steps an
 * octave, so that noise in the estimates does not undo the order of arrival. Records come from a free list; a range is
 * one record until all of it is decided. Tasks that exclude workers, and gangs, wait apart from the others of their
 * class: what holds them up holds up nobody else. */
#include "lib/place/place.h"

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
	if (!at)
		q->front = item;
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

static uint16_t rank_of(uint32_t work_us)
{
	uint32_t log2 = 31 - (uint32_t)__builtin_clz(work_us | 1);

	return (uint16_t)(log2 * 2 + (log2 && work_us >> (log2 - 1) & 1));
}

static void grow_queues(struct gr_place *p)
{
	uint32_t cap = p->cap_queues ? p->cap_queues * 2 : 8;

	p->queues = gr_xtable_grow(p->queues, p->n_queues * sizeof(*p->queues), cap * sizeof(*p->queues));
	p->queue_at = gr_xrealloc(p->queue_at, cap * sizeof(*p->queue_at));
	p->cap_queues = cap;
}

static uint32_t queue_for(struct gr_place *p, uint32_t owner, uint32_t class, bool is_choosy)
{
	struct gr_place__queue *q;
	uint32_t i;

	for (i = p->owners[owner].first_queue; i != NIL; i = p->queues[i].next)
		if (p->queues[i].class == class && p->queues[i].is_choosy == is_choosy)
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
			if (p->n_queues == p->cap_queues)
				grow_queues(p);
			i = p->n_queues++;
		}
		p->queues[i].next = p->owners[owner].first_queue;
		p->owners[owner].first_queue = i;
	}
	q = &p->queues[i];
	q->owner = owner;
	q->class = class;
	q->is_choosy = is_choosy;
	q->where = Q_EMPTY;
	q->stuck_ns = 0;
	return i;
}

static int check_task(const struct gr_place *p, const struct gr_place_task *t)
{
	uint32_t owner = gr_place__owner(p, t->owner);

	if (!t->count || t->count - 1 > UINT32_MAX - t->first || t->n_exclude > GR_PLACE_MAX_EXCLUDES ||
	    t->n_exclude_node > GR_PLACE_MAX_EXCLUDES || (t->is_gang && t->count > GR_PLACE_MAX_GANG))
		return GR_EINVAL;
	if (owner == NIL || p->owners[owner].is_going || t->class >= p->n_classes || !p->classes[t->class].is_used)
		return GR_ENOENT;
	if (p->n_queued >= INT32_MAX)
		return GR_ELIMIT;
	return 0;
}

static void log_ready(struct gr_place *p, uint64_t now_ns, const struct gr_place_task *t)
{
	uint64_t v[16 + 2 * GR_PLACE_MAX_EXCLUDES];
	uint32_t n = 0;

	v[n++] = now_ns;
	v[n++] = t->tag;
	v[n++] = t->owner;
	v[n++] = t->class;
	v[n++] = t->first;
	v[n++] = t->count;
	v[n++] = t->work_ms;
	v[n++] = t->is_gang;
	v[n++] = t->family;
	v[n++] = t->input_bytes;
	v[n++] = t->input_set;
	v[n++] = t->n_exclude;
	for (uint32_t i = 0; i < t->n_exclude; i++)
		v[n++] = t->exclude[i];
	v[n++] = t->n_exclude_node;
	for (uint32_t i = 0; i < t->n_exclude_node; i++)
		v[n++] = t->exclude_node[i];
	gr_place__log(p, OP_READY, v, n, NULL, 0);
}

int64_t gr_place__queued_handle(const struct gr_place *p, uint32_t queued)
{
	return (int64_t)p->queued[queued].gen << 32 | queued;
}

uint32_t gr_place__queued(const struct gr_place *p, int64_t handle)
{
	uint32_t i = (uint32_t)handle;

	return handle >= 0 && i < p->n_queued && p->queued[i].is_used && p->queued[i].gen == handle >> 32 ? i : NIL;
}

int64_t gr_place_ready(struct gr_place *p, uint64_t now_ns, const struct gr_place_task *t)
{
	struct gr_place__queued *item;
	struct gr_place__queue *q;
	struct gr_place__owner *o;
	struct gr_place__class *c;
	uint32_t id = p->free_queued, gen;
	int rc = now_ns < p->now_ns ? GR_EINVAL : check_task(p, t);

	if (rc < 0)
		return rc;
	gr_place__now(p, now_ns);
	if (p->cfg.log)
		log_ready(p, now_ns, t);
	if (id != NIL) {
		p->free_queued = p->queued[id].at;
	} else {
		GR_GROW(p->queued, p->cap_queued, p->n_queued + 1);
		id = p->n_queued++;
	}
	item = &p->queued[id];
	gen = (item->gen + 1) & INT32_MAX;
	*item = (struct gr_place__queued){ .t = *t, .seq = ++p->seq, .gen = gen, .is_used = true };
	item->t.owner = t->owner & WORKER_MASK;
	item->rank = rank_of(gr_place__work_us(p, t->family, t->work_ms));
	item->queue = queue_for(p, item->t.owner, t->class, t->n_exclude || t->n_exclude_node || t->is_gang);
	item->each_ms = gr_place__work_us(p, t->family, t->work_ms) / 1000 + 1;
	q = &p->queues[item->queue];
	GR_GROW(q->heap, q->cap, q->n + 1);
	put_at(p, q, q->n++, id);
	sift(p, q, q->n - 1);
	c = &p->classes[t->class];
	if (!c->n_items)
		c->parked_ns = c->parked_at == NIL ? 0 : now_ns + 1;      /* nothing of it waited: since now, when it has to */
	c->n_task++;
	c->n_items++;
	o = &p->owners[item->t.owner];
	o->n_queued += t->count;
	p->tasks_queued += t->count;
	p->queued_ms += (uint64_t)item->each_ms * t->count;
	if (!gr_place__may_more(p, o))
		gr_place__queue_move(p, item->queue, Q_HELD);
	else if (q->where == Q_EMPTY || (q->where == Q_STUCK && (q->is_choosy || q->front == id)))
		gr_place__queue_move(p, item->queue, Q_LINE);
	return gr_place__queued_handle(p, id);
}

RARE void gr_place__demote(struct gr_place *p, uint32_t queue)
{
	struct gr_place__queue *q = &p->queues[queue];
	struct gr_place__queued *item = &p->queued[q->front];

	item->rank = 0;
	item->seq = ++p->seq;
	sift(p, q, 0);
}

APART void gr_place__take(struct gr_place *p, uint32_t queued)
{
	struct gr_place__queued *item = &p->queued[queued];
	struct gr_place__queue *q = &p->queues[item->queue];
	struct gr_place__owner *o = &p->owners[item->t.owner];
	uint32_t at = item->at, last = q->heap[--q->n], left = item->t.count - item->nth;

	o->n_queued -= left;
	p->tasks_queued -= left;
	p->queued_ms -= (uint64_t)item->each_ms * left;
	if (last != queued) {
		put_at(p, q, at, last);
		sift(p, q, at);
	}
	if (!q->n)
		gr_place__queue_move(p, item->queue, Q_EMPTY);
	else if (!at && q->where == Q_STUCK)
		gr_place__queue_move(p, item->queue, Q_LINE);
	p->classes[item->t.class].n_task--;
	p->classes[item->t.class].n_items--;
	item->is_used = false;
	item->at = p->free_queued;
	p->free_queued = queued;
}

int64_t gr_place_cancel(struct gr_place *p, int64_t queued)
{
	uint32_t i = gr_place__queued(p, queued), left;

	if (i == NIL)
		return GR_ENOENT;
	LOG(p, OP_CANCEL, (uint64_t)queued);
	left = p->queued[i].t.count - p->queued[i].nth;
	gr_place__take(p, i);
	return left;
}
