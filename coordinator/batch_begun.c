/* batch_begun.c - the rows of attempts that have begun, some milliseconds late
 *
 * A short command has ended before anybody could ask of its beginning: then beginning and end are one row, written once. What
 * lasts longer gets its row when it is LATE_MS old, all that are in one transaction. Nothing waits for these rows: a COMMAND has left
 * before its row is on disk in any case, and a coordinator that dies in between takes such an attempt for a stranger's when its
 * worker comes back with it, stops it and runs the task anew; its number is not used again (floor).
 */
#include "coordinator/batch_int.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"

#define LATE_MS 25u                       /* what a loaded worker needs to answer for a command that does nothing, and more */
#define MAX_BEGUN 65536u

struct gr_bbegun {
	uint64_t job, begun_ns;
	uint32_t task, number;
};

static void add_row(struct gr_bj *j, struct gr_store_tx *tx, uint32_t task, const struct gr_blive *l)
{
	const struct gr_worker *w = l->peer;
	uint64_t ago_ms = (gr_coord_now(j->batch->c) - l->start_ns) / GR_NS_PER_MS;

	gr_store_add(tx, GR_SQL_BEGIN, (int64_t)j->id, (int64_t)task, (int64_t)l->number, (int64_t)l->ordinal, w ? w->name : "", w ? w->node : "",
		     (int64_t)l->worker, (int64_t)l->node, (int64_t)(gr_clock_real_ms() - ago_ms),
		     (int64_t)l->of, (int64_t)l->against);
	gr_begun_add_same(j, tx, task, l);
}

void gr_begun_add_same(struct gr_bj *j, struct gr_store_tx *tx, uint32_t task, const struct gr_blive *l)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];
	const struct gr_worker *w = l->peer;

	if (st->same && !l->of && w)
		gr_store_add(tx, GR_SQL_SAME, (int64_t)j->id, (int64_t)task, (int64_t)l->number, gr_bworker_label(w->batch, st->same));
}

/* The oldest @n are written, those of them that are alive. */
static void flush(struct gr_batch *b, uint32_t n)
{
	struct gr_store_tx *tx = NULL;

	for (uint32_t i = b->first_begun; i < b->first_begun + n; i++) {
		const struct gr_bbegun *x = &b->begun[i];
		struct gr_bj *j = gr_bj_find(b, x->job);
		struct gr_btask *t = j && j->spec ? gr_bjob_find(&j->b, x->task) : NULL;
		struct gr_blive *l = t ? gr_btask_live(t, x->number) : NULL;

		if (!l || l->is_stored)
			continue;
		if (!tx)
			tx = gr_store_tx_new(b->store);
		l->is_stored = true;
		add_row(j, tx, x->task, l);
	}
	b->first_begun += n;
	b->n_begun -= n;
	if (b->first_begun > b->n_begun) {        /* each is moved once at most */
		memcpy(b->begun, b->begun + b->first_begun, b->n_begun * sizeof(*b->begun));
		b->first_begun = 0;
	}
	if (tx)
		gr_store_commit(&tx, false, NULL, NULL);
}

void gr_begun_flush(struct gr_batch *b)
{
	if (!b->n_begun)
		return;
	flush(b, b->n_begun);
	gr_timer_clear(b->begun_timer);
}

void gr_begun_now(struct gr_bj *j, uint32_t task, struct gr_blive *l)
{
	struct gr_store_tx *tx;

	if (l->is_stored)
		return;
	tx = gr_store_tx_new(j->batch->store);
	l->is_stored = true;
	add_row(j, tx, task, l);
	gr_store_commit(&tx, false, NULL, NULL);
}

static void on_late(void *ctx)
{
	struct gr_batch *b = ctx;
	uint64_t now = gr_coord_now(b->c), late = LATE_MS * GR_NS_PER_MS;
	uint32_t n = 0;

	while (n < b->n_begun && b->begun[b->first_begun + n].begun_ns + late <= now)
		n++;
	flush(b, n);
	if (b->n_begun)
		gr_timer_set(b->begun_timer, (b->begun[b->first_begun].begun_ns + late - now + GR_NS_PER_MS - 1) / GR_NS_PER_MS);
}

void gr_begun_add(struct gr_bj *j, uint32_t task, const struct gr_blive *l)
{
	struct gr_batch *b = j->batch;

	if (b->n_begun == MAX_BEGUN)
		flush(b, MAX_BEGUN / 2);
	if (!b->n_begun)
		gr_timer_set(b->begun_timer, LATE_MS);
	if (b->first_begun + b->n_begun == b->cap_begun) {
		b->cap_begun = b->cap_begun ? 2 * b->cap_begun : 64;
		b->begun = gr_xrealloc(b->begun, b->cap_begun * sizeof(*b->begun));
	}
	b->begun[b->first_begun + b->n_begun++] = (struct gr_bbegun){ j->id, l->start_ns, task, l->number };
}

void gr_begun_init(struct gr_batch *b) { b->begun_timer = gr_timer_new(b->c->loop, on_late, b); }

void gr_begun_close(struct gr_batch *b)
{
	gr_begun_flush(b);
	gr_timer_stop(&b->begun_timer);
	free(b->begun);
	b->begun = NULL;
}
