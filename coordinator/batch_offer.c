/* batch_offer.c - what may run is told to placement, as ranges of equal tasks; and why a task is not running yet
 *
 * A range is one record however many tasks it has. What placement had no room for is offered again at the next tick.
 */
#include "coordinator/batch_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define RELAX_NS (10 * GR_NS_PER_S)
#define COPY_NS (2 * GR_NS_PER_S)         /* where a copy goes last */

_Static_assert(GR_SPEC_MAX_AMOUNT == GR_PLACE_MAX_AMOUNT, "what a job may ask for, placement counts");

/* ---- offering ---- */

static uint64_t mem_of(const struct gr_stage *st, uint32_t mem_permille)
{
	return mem_permille == GR_BATCH_MEM_AS_ASKED ? st->mem_bytes : st->mem_bytes / GR_BATCH_MEM_AS_ASKED * mem_permille;
}

/* @same: the label of workers that it must go to, 0 none. Return: the request class; GR_ELIMIT. */
static int class_of(struct gr_bj *j, const struct gr_stage *st, uint32_t mem_permille, uint32_t same)
{
	uint64_t mem_mib = (mem_of(st, mem_permille) + (1 << 20) - 1) >> 20;
	struct gr_place *p = j->batch->c->place;
	struct gr_place_class k;
	const json_t *v;
	size_t i;

	memset(&k, 0, sizeof(k));
	k.env = j->batch->commands_env;
	k.need.v[GR_PLACE_CPU_MCPU] = st->cpu_mcpu;
	k.need.v[GR_PLACE_MEM_MIB] = mem_mib > GR_PLACE_MAX_AMOUNT ? GR_PLACE_MAX_AMOUNT : (uint32_t)mem_mib;
	k.need.v[GR_PLACE_DISK_MIB] = (uint32_t)((st->disk_bytes + (1 << 20) - 1) >> 20);
	k.need.v[GR_PLACE_GPU_MILLI] = st->gpu_milli;
	k.left_ms = st->left_ms;
	for (uint32_t t = 0; t < st->n_terms && t < GR_PLACE_MAX_TERMS; t++) {
		const struct gr_term *from = &st->terms[t];
		struct gr_place_term *to = &k.term[t];
		int rc;

		to->op = !strcmp(from->op, "in") ? GR_PLACE_IN : !strcmp(from->op, "not_in") ? GR_PLACE_NOT_IN :
			 !strcmp(from->op, "exists") ? GR_PLACE_EXISTS : GR_PLACE_ABSENT;
		if (to->op == GR_PLACE_EXISTS || to->op == GR_PLACE_ABSENT) {
			rc = gr_place_label_key(p, from->label);
			to->key = rc > 0 ? (uint32_t)rc : 0;
		} else {
			rc = 0;
			json_array_foreach(from->values, i, v) {
				if (i >= GR_PLACE_MAX_TERM_VALUES)
					break;
				rc = gr_place_label(p, from->label, json_string_value(v));
				if (rc < 0)
					break;
				to->label[to->n++] = (uint32_t)rc;
			}
		}
		if (rc < 0)
			return rc;
	}
	if (same)
		k.term[st->n_terms] = same == gr_run_same(j, st, "") ?
			(struct gr_place_term){ .op = GR_PLACE_ABSENT, .key = (uint32_t)gr_place_label_key(p, st->same) } :
			(struct gr_place_term){ .op = GR_PLACE_IN, .n = 1, .label = { same } };
	json_array_foreach(st->prefer, i, v) {
		const char *value = json_string_value(json_object_get(v, "value"));
		const json_t *permille = json_object_get(v, "permille");
		int rc = gr_place_label(p, json_string_value(json_object_get(v, "label")), value ? value : "");

		if (i >= GR_PLACE_MAX_PREFER || rc < 0)
			break;
		k.prefer[i].label = (uint32_t)rc;
		k.prefer[i].permille = permille ? (int32_t)json_integer_value(permille) : 200;
	}
	if (st->spread_by) {
		k.spread_by = !strcmp(st->spread_by, "worker") ? GR_PLACE_BY_WORKER : !strcmp(st->spread_by, "node") ? GR_PLACE_BY_NODE : GR_PLACE_BY_ZONE;
		k.spread_max = st->spread_max;
		k.is_spread_soft = st->is_spread_soft;
		k.spread_ms = st->is_spread_soft ? 60000 : 0;
	}
	return gr_place_class(p, &k);
}

uint64_t gr_run_mem(const struct gr_stage *st, const struct gr_btask *t)
{
	return mem_of(st, t ? t->mem_permille : GR_BATCH_MEM_AS_ASKED);
}

int gr_run_class(struct gr_bj *j, const struct gr_stage *st, const struct gr_btask *task)
{
	return class_of(j, st, task ? task->mem_permille : GR_BATCH_MEM_AS_ASKED, task ? task->same : 0);
}

/* As far as placement can be told: a node that nobody is at now, it does not know; who begins looks again. */
static void exclude_node(struct gr_bj *j, uint64_t node, struct gr_place_task *p)
{
	GR_LIST_EACH(w, &j->batch->c->workers, struct gr_worker, link) {
		int id = gr_bworker_node(w) == node && p->n_exclude_node < GR_PLACE_MAX_EXCLUDES ? gr_place_node(j->batch->c->place, w->node) : -1;

		if (id < 0)
			continue;
		for (uint32_t i = 0; i < p->n_exclude_node; i++)
			if (p->exclude_node[i] == (uint32_t)id)
				return;
		p->exclude_node[p->n_exclude_node++] = (uint32_t)id;
		return;
	}
}

/* Copies never on one node. Where one was lost, for a while: it may come back. */
static void exclude_copies(struct gr_bj *j, const struct gr_btask *t, struct gr_jrange *r)
{
	struct gr_place_task *p = &r->place;

	for (uint32_t i = 0; i < t->n_results; i++)
		exclude_node(j, t->results[i].node, p);
	for (uint32_t i = 0; i < t->n_lives; i++)
		if (!t->lives[i].of && !t->lives[i].is_lost)
			exclude_node(j, t->lives[i].node, p);
	r->n_exclude = p->n_exclude_node;
	for (uint32_t i = 0; i < t->n_lives; i++)
		if (!t->lives[i].of && t->lives[i].is_lost)
			exclude_node(j, t->lives[i].node, p);
	if (p->n_exclude_node > r->n_exclude)
		r->relax_ns = gr_coord_now(j->batch->c) + COPY_NS;
}

/* Where two results came from, they are not compared; where a comparison failed, not before others had their chance. */
static void exclude_parties(struct gr_bj *j, const struct gr_btask *t, struct gr_jrange *r)
{
	struct gr_place_task *p = &r->place;
	const struct gr_bresult *of, *against;

	if (!gr_bjob_pair(&j->b, t, &of, &against))
		return;
	exclude_node(j, of->node, p);
	exclude_node(j, against->node, p);
	r->n_exclude = p->n_exclude_node;
	if (!t->check_bad_node)
		return;
	exclude_node(j, t->check_bad_node, p);
	r->relax_ns = gr_coord_now(j->batch->c) + RELAX_NS;
}

/* Copies go to those whose last result was found invalid when nobody else came for a while. */
static void put_off_liars(struct gr_bj *j, const struct gr_stage *st, struct gr_jrange *r)
{
	struct gr_place_task *p = &r->place;
	uint64_t tool = gr_run_toolchain(st);
	bool has_others = false;

	if (!j->batch->trust.n_lied)
		return;
	GR_LIST_EACH(w, &j->batch->c->workers, struct gr_worker, link) {
		if (!gr_trust_lied(&j->batch->trust, w->identity, tool))
			has_others |= !w->is_draining;
		else if (p->n_exclude < GR_PLACE_MAX_EXCLUDES)
			p->exclude[p->n_exclude++] = w->place;
	}
	if (!has_others)
		p->n_exclude = 0;
	if (p->n_exclude)
		r->relax_ns = gr_coord_now(j->batch->c) + COPY_NS;
}

/* @t: the record of a single one, or NULL. When placement refuses, r->queued says why, and the tick asks again. */
static void queue_range(struct gr_bj *j, struct gr_jrange *r, const struct gr_btask *t)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, r->place.first)];
	struct gr_coord *c = j->batch->c;

	r->same = t && !r->is_check ? t->same : 0;
	r->queued = r->is_check ? gr_run_class(j, st->check, NULL) : class_of(j, st, r->mem_permille, r->same);
	if (r->queued < 0)
		return;
	r->place.class = (uint32_t)r->queued;
	r->queued = gr_place_ready(c->place, gr_coord_now(c), &r->place);
	gr_dispatch_kick(c);
}

/* One stage, all the same. @t: the record of a single one; of several, of one that needs as much memory as any of them; or NULL.
 * @to_all: liars, too. */
static void offer_run(struct gr_bj *j, const struct gr_stage *st, uint32_t first, uint32_t count, struct gr_btask *t, bool is_check, bool to_all)
{
	struct gr_batch *b = j->batch;
	struct gr_jrange *r;

	GR_NEW(r);
	do
		r->tag = (b->next_range++ & INT32_MAX) << 33 | GR_BATCH_TAG(j->id);
	while (gr_map_get(&b->ranges, &r->tag, sizeof(r->tag)));
	gr_map_put(&b->ranges, &r->tag, sizeof(r->tag), r);
	r->n_left = count;
	r->place = (struct gr_place_task){
		.tag = r->tag, .owner = j->place_owner, .first = first, .count = count,
		.is_gang = st->is_gang && count == st->count,
		.family = gr_hash64(st->name, strlen(st->name), gr_hash64(&j->id, sizeof(j->id), is_check ? 4 : 3)),
	};
	r->is_check = is_check;
	r->mem_permille = t && !is_check ? t->mem_permille : GR_BATCH_MEM_AS_ASKED;
	if (is_check)
		exclude_parties(j, t, r);
	else if (t && st->replicas)
		exclude_copies(j, t, r);
	if (st->replicas && !is_check && !to_all)
		put_off_liars(j, st, r);
	gr_list_push(&j->ranges, &r->link);
	queue_range(j, r, count == 1 ? t : NULL);
	if (r->queued < 0)
		gr_warn("batch", "job %" PRIu64 ": %u tasks cannot be queued now: %s", j->id, r->n_left, gr_err_text((int)r->queued));
}

static int by_task(const void *a, const void *b)
{
	const struct gr_btask *x = *(struct gr_btask *const *)a, *y = *(struct gr_btask *const *)b;

	return x->task < y->task ? -1 : x->task > y->task;
}

/* Those of the range that get more memory than was asked, in order; NULL: none. The caller's. O(the fewer: of the range, with a record) */
static struct gr_btask **all_grown(struct gr_bj *j, uint32_t first, uint32_t count, uint32_t *n)
{
	struct gr_btask **all = NULL, *t;
	uint32_t cap = 0;
	size_t i = 0;

	*n = 0;
	if (!j->b.n_grown)
		return NULL;
	if (count <= j->b.tasks.n) {
		for (; i < count && *n < j->b.n_grown; i++)
			if ((t = gr_bjob_find(&j->b, first + (uint32_t)i)) && t->mem_permille != GR_BATCH_MEM_AS_ASKED) {
				GR_GROW(all, cap, *n + 1);
				all[(*n)++] = t;
			}
		return all;
	}
	while (*n < j->b.n_grown && (t = gr_map_each(&j->b.tasks, &i)))
		if (t->task - first < count && t->mem_permille != GR_BATCH_MEM_AS_ASKED) {
			GR_GROW(all, cap, *n + 1);
			all[(*n)++] = t;
		}
	if (all)
		qsort(all, *n, sizeof(*all), by_task);
	return all;
}

/* A gang is placed as one range: as if each of it needed what the neediest does. */
static struct gr_btask *neediest(struct gr_btask **all, uint32_t n)
{
	struct gr_btask *most = NULL;

	for (uint32_t i = 0; i < n; i++)
		if (!most || all[i]->mem_permille > most->mem_permille)
			most = all[i];
	return most;
}

/* Several of one stage: those that were killed for want of memory need more than the others. */
static void offer_several(struct gr_bj *j, const struct gr_stage *st, uint32_t first, uint32_t count, bool to_all)
{
	uint32_t n_grown, i = 0, n;
	struct gr_btask **grown = all_grown(j, first, count, &n_grown);

	if (st->is_gang && count == st->count) {
		offer_run(j, st, first, count, neediest(grown, n_grown), false, to_all);
		count = 0;
	}
	for (uint32_t at = first, end = first + count; at < end; at += n) {
		struct gr_btask *t = i < n_grown && grown[i]->task == at ? grown[i] : NULL;

		n = t ? 1 : (i < n_grown ? (uint32_t)grown[i]->task : end) - at;
		for (i += t != NULL; t && !st->replicas && i < n_grown && grown[i]->task == at + n && grown[i]->mem_permille == t->mem_permille; i++)
			n++;
		offer_run(j, st, at, n, t, false, to_all);
	}
	free(grown);
}

static void range_free(struct gr_bj *j, struct gr_jrange *r);

/* A gang whose tasks became ready one by one (none of their workers came back) is one again: in parts each could hold up the others. */
static bool offer_gang(struct gr_bj *j, const struct gr_stage *st, bool to_all)
{
	uint32_t first;

	if (!st->is_gang || st->count < 2 ||
	    gr_states_run(&j->b.states, st->first, st->first + st->count, 1u << GR_B_READY, &first, NULL) < st->count)
		return false;
	GR_LIST_EACH_SAFE(r, &j->ranges, struct gr_jrange, link)
		if (r->place.first >= st->first && r->place.first < st->first + st->count)
			range_free(j, r);
	offer_several(j, st, st->first, st->count, to_all);
	return true;
}

/* What of them is READY: what waited for a commit may have changed meanwhile. */
static void offer_ready(struct gr_bj *j, uint32_t first, uint32_t count, bool to_all)
{
	uint32_t at = first, end = first + count, n, from;

	while (at < end && (n = gr_states_run(&j->b.states, at, end, 1u << GR_B_READY, &from, NULL))) {
		const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, from)];

		if (from + n > st->first + st->count)
			n = st->first + st->count - from;
		if (n < st->count && offer_gang(j, st, to_all)) {
			at = st->first + st->count;
			continue;
		}
		if (count == 1)
			offer_run(j, st, from, 1, gr_bjob_find(&j->b, from), false, to_all);
		else
			offer_several(j, st, from, n, to_all);
		at = from + n;
	}
}

void gr_run_offer(struct gr_bj *j, uint32_t first, uint32_t count, struct gr_btask *t)
{
	if (!j->has_owner || j->state != GR_J_OPEN || j->is_raising)
		return;
	if (t && t->n_queued)                     /* another copy of a task that runs already */
		offer_run(j, &j->spec->stages[gr_spec_stage_of(j->spec, first)], first, 1, t, false, false);
	else
		offer_ready(j, first, count, false);
}

void gr_run_offer_check(struct gr_bj *j, struct gr_btask *t)
{
	uint32_t task = (uint32_t)t->task;

	if (j->has_owner && j->state == GR_J_OPEN && !j->is_raising && t->is_check_queued)
		offer_run(j, &j->spec->stages[gr_spec_stage_of(j->spec, task)], task, 1, t, true, true);
}

static void range_free(struct gr_bj *j, struct gr_jrange *r)
{
	if (r->queued >= 0 && r->n_left)
		gr_place_cancel(j->batch->c->place, r->queued);
	gr_map_del(&j->batch->ranges, &r->tag, sizeof(r->tag));
	if (j->batch->last_range == r)
		j->batch->last_range = NULL;
	gr_list_del(&r->link);
	free(r);
}

void gr_run_drop_ranges(struct gr_bj *j)
{
	GR_LIST_EACH_SAFE(r, &j->ranges, struct gr_jrange, link)
		range_free(j, r);
}

/* A task may be in two ranges: offered anew when what made it leave READY came to nothing, while the older entry is queued
 * still. So the decision says which it came of. */
bool gr_run_took(struct gr_batch *b, uint64_t tag, uint32_t *mem_permille)
{
	struct gr_jrange *r = b->last_range && b->last_range->tag == tag ? b->last_range : gr_map_get(&b->ranges, &tag, sizeof(tag));
	bool is_check = r && r->is_check;

	b->last_range = r;
	*mem_permille = r ? r->mem_permille : GR_BATCH_MEM_AS_ASKED;
	if (r && !--r->n_left)
		range_free(gr_bj_find(b, GR_BATCH_TAG_JOB(tag)), r);
	return is_check;
}

static void queue_anew(struct gr_bj *j, struct gr_jrange *r)
{
	if (r->queued >= 0)
		gr_place_cancel(j->batch->c->place, r->queued);
	queue_range(j, r, r->place.count == 1 ? gr_bjob_find(&j->b, r->place.first) : NULL);
}

/* No other worker came: the one where a comparison failed, or a copy was lost, may have it again, those that lied a copy. */
static void relax(struct gr_bj *j, struct gr_jrange *r)
{
	uint32_t first = r->place.first, count = r->place.count;

	if (r->n_left < count) {                  /* some of it went: the rest anew */
		range_free(j, r);
		offer_ready(j, first, count, true);
		return;
	}
	r->relax_ns = 0;
	r->place.n_exclude_node = r->n_exclude;
	r->place.n_exclude = 0;
	queue_anew(j, r);
}

/* It was offered to workers like those of other copies, which are no more, or before there was another. */
static bool is_for_others(struct gr_bj *j, const struct gr_jrange *r)
{
	const struct gr_btask *t;

	if (r->place.count != 1 || r->is_check || !j->spec->stages[gr_spec_stage_of(j->spec, r->place.first)].same)
		return false;
	t = gr_bjob_find(&j->b, r->place.first);
	return t && t->same != r->same;
}

void gr_run_tick(struct gr_batch *b)
{
	uint64_t now = gr_coord_now(b->c);
	struct gr_bj *j;
	size_t i = 0;

	/* what placement had no room for */
	while ((j = gr_map_each(&b->jobs, &i))) {
		if (j->state != GR_J_OPEN || !j->has_owner)
			continue;
		GR_LIST_EACH_SAFE(r, &j->ranges, struct gr_jrange, link) {
			if (r->relax_ns && now >= r->relax_ns)
				relax(j, r);
			else if (r->queued < 0 || is_for_others(j, r))
				queue_anew(j, r);
		}
	}
}

/* ---- what the engine says ---- */

static void offer_behind(struct gr_pend *p, uint32_t first, uint32_t count, bool is_single, bool is_check)
{
	p->ready = gr_xrealloc(p->ready, (p->n_ready + 1) * sizeof(*p->ready));
	p->ready[p->n_ready].first = first;
	p->ready[p->n_ready].count = count;
	p->ready[p->n_ready].is_single = is_single;
	p->ready[p->n_ready++].is_check = is_check;
}

static void on_ready(void *ctx, uint32_t first, uint32_t count, struct gr_btask *t)
{
	struct gr_bj *j = ctx;

	if (j->batch->pend)
		offer_behind(j->batch->pend, first, count, t != NULL, false);
	else
		gr_run_offer(j, first, count, t);
}

static void on_check(void *ctx, struct gr_btask *t)
{
	struct gr_bj *j = ctx;

	if (j->batch->pend)
		offer_behind(j->batch->pend, (uint32_t)t->task, 1, true, true);
	else
		gr_run_offer_check(j, t);
}

/* All of a closed job; of a single one the decision that still comes is given back. */
static void on_withdrawn(void *ctx, uint32_t first, uint32_t count)
{
	struct gr_bj *j = ctx;

	(void)first, (void)count;
	if (j->b.is_cancelled || j->b.is_stopping)
		gr_run_drop_ranges(j);
}

static void on_ended_unrun(void *ctx, uint32_t first, uint32_t count, enum gr_bstate state)
{
	struct gr_bj *j = ctx;

	j->is_dirty = true;
	gr_history(j->batch, gr_bstate_name(state), j->id, first, count, "run");
}

static void on_stop(void *ctx, struct gr_btask *t, struct gr_blive *l, enum gr_bcause why)
{
	struct gr_bj *j = ctx;

	/* The record of a task that is over goes: nobody could give the room back when this one says that it ended. */
	if (why == GR_BC_SUPERFLUOUS && !l->is_lost && l->placed != GR_UNPLACED) {
		gr_run_give_back(j->batch->c, l->placed);
		l->placed = GR_UNPLACED;
	}
	gr_begun_now(j, (uint32_t)t->task, l);
	if (!l->peer || l->stopping == GR_STOP_CANCEL)
		return;
	l->stopping = GR_STOP_CANCEL;
	l->stop_cause = why;
	gr_bworker_stop(j->batch, l->peer, j->id, t->task, l->number, GR_STOP_CANCEL, 0);
}

const struct gr_bjob_ops gr_batch_job_ops = { .ready = on_ready, .withdrawn = on_withdrawn, .ended = on_ended_unrun, .check = on_check,
						  .stop = on_stop };

/* ---- why is it not running ---- */

/* A copy that goes nowhere, because the others say what kind of worker it wants. */
static const char *nowhere_alike(struct gr_bj *j, const struct gr_jrange *r, struct gr_buf *text)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, r->place.first)];
	const char *value = gr_place_label_value(j->batch->c->place, r->same);

	gr_buf_printf(text, *value ? "no worker could run it on another node that has the %s of its other copies, \"%s\"" :
		      "no worker could run it on another node that has no %s, as those of its other copies", st->same, value);
	return gr_buf_str(text);
}

const char *gr_run_pending(struct gr_bj *j, uint32_t task, struct gr_buf *text)
{
	enum gr_bstate s = (enum gr_bstate)gr_states_get(&j->b.states, task);
	struct gr_coord *c = j->batch->c;
	struct gr_btask *t = gr_bjob_find(&j->b, task);
	bool is_check;

	gr_buf_clear(text);
	if (s == GR_B_BLOCKED) {
		const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];

		for (uint32_t i = 0; i < st->n_after; i++) {
			const struct gr_stage *other = &j->spec->stages[st->after[i].stage];

			if (j->b.n_stage_done[st->after[i].stage] < other->count) {
				gr_buf_printf(text, "waits for stage %s: %u of %u done", other->name, j->b.n_stage_done[st->after[i].stage], other->count);
				return gr_buf_str(text);
			}
		}
		return "waits for another task";
	}
	if (s == GR_B_BACKOFF && t) {
		uint64_t now = gr_coord_now(c);

		gr_buf_printf(text, t->n_lives ? "its worker may still come back; tried again in %.1f s" : "tried again in %.1f s",
			      t->due_ns > now ? (double)(t->due_ns - now) / GR_NS_PER_S : 0.0);
		return gr_buf_str(text);
	}
	if (s == GR_B_RUNNING && t && !t->has_begun && t->is_with_worker) {
		const struct gr_worker *w = NULL;

		for (uint32_t i = 0; i < t->n_lives && !w; i++)
			w = t->lives[i].peer;
		gr_buf_printf(text, "handed to %s, which has not begun it", w ? w->name : "a worker");
		return gr_buf_str(text);
	}
	if (s == GR_B_RUNNING && t && t->heap_at && !t->is_with_worker && !t->n_queued && !t->is_check_queued) {
		uint64_t now = gr_coord_now(c);

		gr_buf_printf(text, "tried again in %.1f s", t->due_ns > now ? (double)(t->due_ns - now) / GR_NS_PER_S : 0.0);
		return gr_buf_str(text);
	}
	is_check = t && t->is_check_queued && !t->n_queued;
	if (s != GR_B_READY && !(s == GR_B_RUNNING && t && !t->is_with_worker))
		return NULL;
	if (gr_store_trouble(j->batch->store))
		return "the coordinator cannot write its store now";
	GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link) {
		int rc;

		if (task - r->place.first >= r->place.count || r->is_check != is_check)
			continue;
		if (r->queued < 0)
			return "placement has no room for it yet";
		rc = gr_place_pending(c->place, r->queued);
		if (is_check) {
			gr_buf_printf(text, "its results are to be compared on a node that brought neither: %s",
				      rc < 0 ? "about to start" : gr_place_pending_text((enum gr_place_pending)rc));
			return gr_buf_str(text);
		}
		if (rc == GR_PLACE_P_NOWHERE && r->same)
			return nowhere_alike(j, r, text);
		return rc < 0 ? "about to start" : gr_place_pending_text((enum gr_place_pending)rc);
	}
	return "about to be queued";
}
