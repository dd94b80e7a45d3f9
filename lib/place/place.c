/* place.c - the state as a whole, and the loop that decides.
 *
 * gr_place_next: what was blocked is free again, stragglers become due, shares follow the cluster; then, as long as
 * something is open: whose turn, search, commit. What finds no room is parked with its class, or stuck alone when its
 * own excludes, spread or gang may be the reason, until an event that could fit it. A run of equal tasks goes to the
 * found worker in one go as long as it is still that owner's turn and the worker's cost has not moved: the search is
 * paid once. What is placed already is looked at last. */
#include "lib/place/place.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/place/place_int.h"

#define FILL_FROM 32u                 /* a range with so many left is a run */
#define FILL_WORKERS 64u
#define STUCK_PER_CALL 16u
#define CHOOSY_PER_CALL 16u
#define RETRY_NS (10 * GR_NS_PER_MS)
#define RESERVE_EVERY_NS GR_NS_PER_S

struct gr_place *gr_place_new(const struct gr_place_config *cfg)
{
	struct gr_place *p;
	struct gr_place_config *c;

	GR_NEW(p);
	p->cfg = *cfg;
	c = &p->cfg;
	if (!c->n_sample)
		c->n_sample = 8;
	if (c->n_sample > 32)
		c->n_sample = 32;
	if (!c->max_credits)
		c->max_credits = 40;
	if (c->max_credits > 200)
		c->max_credits = 200;
	if (!c->fast_fails)
		c->fast_fails = 3;
	if (!c->fast_fail_ns)
		c->fast_fail_ns = 2 * GR_NS_PER_S;
	if (!c->quarantine_ns)
		c->quarantine_ns = 30 * GR_NS_PER_S;
	if (!c->reserve_after_ns)
		c->reserve_after_ns = 5 * GR_NS_PER_S;
	if (!c->min_run_ns)
		c->min_run_ns = 60 * GR_NS_PER_S;
	if (!c->copy_permille)
		c->copy_permille = 50;
	if (!c->bandwidth_kib_per_ms)
		c->bandwidth_kib_per_ms = 100;
	p->rng.s = c->seed;
	p->us_per_kib_1024 = p->least_us_per_kib_1024 = 1000u * 1024 / c->bandwidth_kib_per_ms;
	p->changes = 1;
	p->wake_ns = p->retry_ns = UINT64_MAX;
	p->free_queue = p->free_queued = p->free_placed = p->free_worker = p->free_owner = NIL;
	p->free_node = p->free_cap = p->free_stand = p->free_line = p->first_due = p->reserve.queue = p->held = p->near = NIL;
	p->families = gr_xtable(FAMILY_SLOTS * sizeof(*p->families));
	p->sets = gr_xalloc(N_SETS * sizeof(*p->sets));
	p->mean_work_us = UNKNOWN_WORK_US;
	p->workers = gr_xspan(GR_PLACE_MAX_WORKERS * sizeof(*p->workers));
	p->holds = gr_xspan(GR_PLACE_MAX_WORKERS * sizeof(*p->holds));
	p->spots = gr_xspan(GR_PLACE_MAX_WORKERS * sizeof(*p->spots));
	p->placed = gr_xspan(GR_PLACE_MAX_PLACED * sizeof(*p->placed));
	p->asked = gr_xspan(GR_PLACE_MAX_PLACED * sizeof(*p->asked));
	for (uint32_t i = 0; i < WHEEL_SLOTS; i++)
		p->wheel[i] = NIL;
	for (uint32_t i = 0; i <= GR_PLACE_MAX_BAND; i++)
		p->bands[i].first_victim = NIL;
	GR_GROW(p->envs, p->cap_envs, 1);
	p->n_envs = 1;
	GR_GROW(p->tenants, p->cap_tenants, 1);
	p->tenants[p->n_tenants++] = (struct gr_place__tenant){ .is_used = true, .weight = 1, .first_stand = NIL };
	gr_place__room(p, 1);
	LOG(p, OP_NEW, LOG_VERSION, c->seed, c->n_sample, c->max_credits, c->fast_fails, c->fast_fail_ns, c->quarantine_ns, c->reserve_after_ns,
	    c->min_run_ns, c->copy_permille, c->bandwidth_kib_per_ms, c->acts, c->is_node_blind, c->is_fair_preempt);
	return p;
}

void gr_place_free(struct gr_place **pp)
{
	struct gr_place *p = *pp;

	if (!p)
		return;
	gr_place_log_flush(p);
	for (uint32_t i = 0; i < p->n_nodes; i++)
		free(p->nodes[i].name);
	for (uint32_t i = 0; i < p->n_labels; i++)
		free(p->labels[i].text);
	for (uint32_t i = 0; i < p->n_pools; i++) {
		for (uint32_t g = 0; g < N_GROUPS; g++) {
			for (uint32_t r = 0; p->pools[i].groups[g].buckets && r < N_RANKS; r++)
				free(p->pools[i].groups[g].buckets[r].w);
			free(p->pools[i].groups[g].buckets);
		}
		free(p->pools[i].envs);
		free(p->pools[i].labels);
	}
	for (uint32_t i = 0; i < p->n_classes; i++) {
		free(p->classes[i].pools);
		free(p->classes[i].prefer);
		free(p->classes[i].pool_at);
	}
	for (uint32_t i = 0; i < p->n_queues; i++)
		free(p->queues[i].heap);
	for (uint32_t i = 0; i < p->n_lines; i++)
		free(p->lines[i].tree);
	for (uint32_t b = 0; b <= GR_PLACE_MAX_BAND; b++)
		for (int r = 0; r < GR_PLACE_N_RES; r++)
			free(p->bands[b].by[r].heap);
	gr_xspan_free(p->workers, GR_PLACE_MAX_WORKERS * sizeof(*p->workers));
	gr_xspan_free(p->holds, GR_PLACE_MAX_WORKERS * sizeof(*p->holds));
	gr_xspan_free(p->spots, GR_PLACE_MAX_WORKERS * sizeof(*p->spots));
	gr_xspan_free(p->placed, GR_PLACE_MAX_PLACED * sizeof(*p->placed));
	gr_xspan_free(p->asked, GR_PLACE_MAX_PLACED * sizeof(*p->asked));
	free(p->ix_env.slots);
	free(p->ix_node.slots);
	free(p->ix_label.slots);
	free(p->ix_class.slots);
	free(p->ix_cap.slots);
	free(p->ix_pool.slots);
	free(p->envs);
	free(p->nodes);
	free(p->price_1024);
	free(p->labels);
	free(p->caps);
	free(p->pools);
	free(p->classes);
	free(p->over);
	free(p->late);
	free(p->group);
	free(p->rank);
	free(p->blocked);
	free(p->kept);
	free(p->leaving);
	free(p->tenants);
	free(p->owners);
	free(p->stands);
	free(p->lines);
	free(p->queues);
	free(p->queue_at);
	free(p->queued);
	free(p->parked);
	free(p->stuck);
	free(p->have);
	free(p->sets);
	free(p->tally);
	free(p->bandwidth);
	free(p->families);
	free(p->log_buf);
	free(p);
	*pp = NULL;
}

static inline FETCH void fetch_owner(const struct gr_place__owner *o)
{
	for (uint32_t i = 0; i < sizeof(*o); i += 64)
		__builtin_prefetch((const char *)o + i);
}

/* ---- deciding ---- */

/* The next @n of the item were placed. */
static OFTEN void advance(struct gr_place *p, uint32_t i, uint32_t n)
{
	struct gr_place__queued *item = &p->queued[i];
	uint32_t queue = item->queue;
	struct gr_place__queue *q = &p->queues[queue];
	struct gr_place__owner *o = &p->owners[q->owner];

	o->n_queued -= n;
	p->tasks_queued -= n;
	p->queued_ms -= (uint64_t)item->each_ms * n;
	q->stuck_ns = 0;
	q->n_tried = 0;
	item->nth += n;
	if (item->nth == item->t.count)
		gr_place__take(p, i);
	if (o->spec.max_placed && !gr_place__may_more(p, o))
		gr_place__owner_hold(p, q->owner);
	if (p->reserve.queue == queue)
		gr_place__reserve_drop(p);
}

/* @is_exact: no worker at all has room for the class, not even to wait there. */
static APART void no_room(struct gr_place *p, uint32_t queue, uint64_t now_ns, bool is_cut, bool is_exact)
{
	struct gr_place__queue *q = &p->queues[queue];

	if (is_cut)
		p->retry_ns = now_ns + RETRY_NS;
	/* room that is kept for another queue of its class says nothing about that one */
	if (p->reserve.queue != NIL && p->reserve.queue != queue && p->queues[p->reserve.queue].class == q->class) {
		q->n_tried = 0;
		gr_place__queue_move(p, queue, Q_STUCK);
		return;
	}
	if (!q->is_choosy && p->classes[q->class].is_even) {
		gr_place__park(p, q->class, now_ns, is_exact);
		return;
	}
	/* the others of the queue may exclude other workers */
	if (q->is_choosy && ++q->n_tried < q->n) {
		gr_place__demote(p, queue);
		if (q->n_tried % CHOOSY_PER_CALL)
			return;
		p->is_more_stuck = true;
		gr_place__queue_move(p, queue, Q_STUCK);
		q->stuck_at--;
		return;
	}
	q->n_tried = 0;
	gr_place__queue_move(p, queue, Q_STUCK);
}

/* All of a gang or none: placed one by one, taken back when one finds no room. */
static APART uint32_t place_gang(struct gr_place *p, uint32_t queue, uint64_t now_ns, struct gr_place_decision *out)
{
	struct gr_place__queue *q = &p->queues[queue];
	const struct gr_place__queued *item = &p->queued[q->front];
	const struct gr_place__owner *o = &p->owners[q->owner];
	struct gr_place__search s;
	uint32_t count = item->t.count, n;
	bool may = gr_place__quota_allows(p, &p->tenants[o->spec.tenant], &p->classes[q->class], o->spec.band, count) &&
		   count <= gr_place__wanted(o);
	uint64_t tag = item->t.tag;
	uint32_t first = item->t.first;

	gr_place__search_for(p, q->front, now_ns, &s);
	for (n = 0; n < count && may; n++) {
		gr_place__search(p, &s);
		if (s.worker == NIL)
			break;
		gr_place__commit(p, &s, tag, first + n, 1, GR_PLACE_RUN, &out[n]);
		out[n].gang = count;
	}
	if (n < count) {
		p->decisions -= n;
		p->acts[GR_PLACE_RUN] -= n;
		gr_place__queue_move(p, queue, Q_STUCK);
		while (n)
			gr_place__release(p, (uint32_t)out[--n].placed);
		q->stuck_at = p->changes;      /* taking back is no change */
		return 0;
	}
	advance(p, q->front, count);
	return count;
}

/* How many equal tasks more the worker runs at once, without its node becoming slower by them; or one. */
static uint32_t room_for(const struct gr_place *p, const struct gr_place__search *s)
{
	const struct gr_place__worker *w = &p->workers[s->worker];
	const struct gr_place__node *node = &p->nodes[w->node];
	const struct gr_place__class *c = s->class;
	uint32_t n = w->n_placed < w->slots && !w->n_waiting ? w->slots - w->n_placed : 0, cpu = c->spec.need.v[GR_PLACE_CPU_MCPU];
	uint32_t cores = node->said_mcpu ? node->said_mcpu : node->sum_mcpu, used = node->used_mcpu + node->foreign_mcpu;

	for (uint32_t k = 0; k < c->n_need; k++) {
		int32_t free = *gr_place__free((struct gr_place *)(uintptr_t)p, s->worker, c->need_res[k]);

		n = free > 0 ? gr_place__min(n, (uint32_t)free / c->spec.need.v[c->need_res[k]]) : 0;
	}
	if (!n || (w->flags & (W_RESERVED | W_KEPT)) || w->mem_psi_32)
		return 0;
	if (cpu && cores)
		n = gr_place__min(n, used < cores ? (cores - used) / cpu : 0);
	if (cpu && w->quota_10mcpu)
		n = gr_place__min(n, w->quota_10mcpu * 10u > w->run_mcpu ? (w->quota_10mcpu * 10u - w->run_mcpu) / cpu : 0);
	return n ? n : 1;
}

static bool is_alone(const struct gr_place *p, uint32_t queue)
{
	const struct gr_place__queue *q = &p->queues[queue];

	return p->lines[q->line].n == 1 && gr_place__n_open(p, 2) == 1 && !p->tenants[p->owners[q->owner].spec.tenant].has_quota;
}

/* A run of equal tasks, of which @done were just placed: how many the worker found is given, @most at most. */
static uint32_t part_of(const struct gr_place *p, uint32_t queue, const struct gr_place__search *s, uint32_t done, uint32_t most)
{
	const struct gr_place__queue *q = &p->queues[queue];
	uint32_t left = p->queued[q->front].t.count - p->queued[q->front].nth - done, part = room_for(p, s);
	uint64_t placed = p->tasks_placed + done, room = p->slots_up > placed ? p->slots_up - placed : 1, wanted;

	part = gr_place__min(part, (uint32_t)((uint64_t)left * part / room) + 1);
	part = gr_place__min(gr_place__min(part, most), left - 1);
	wanted = (p->n_kept ? gr_place__queue_wanted(p, queue) : gr_place__wanted(&p->owners[q->owner])) - done;
	return part < wanted ? part : (uint32_t)wanted;
}

/* The worker's part of the run. At once when nobody else is in line; one by one, as long as it is still that owner's turn, when
 * somebody is. */
static APART uint32_t fill(struct gr_place *p, uint32_t queue, struct gr_place__search *s, bool alone, struct gr_place_decision *out, uint32_t n,
			   uint32_t max)
{
	const struct gr_place__queue *q = &p->queues[queue];
	uint32_t item = q->front, part = part_of(p, queue, s, 0, max - n);

	if (part && alone) {
		gr_place__commit(p, s, s->t->tag, s->t->first + p->queued[item].nth, part, GR_PLACE_RUN, &out[n]);
		advance(p, item, part);
		return n + part;
	}
	for (; part && gr_place__choose(p) == queue && q->front == item; part--) {
		gr_place__commit(p, s, s->t->tag, s->t->first + p->queued[item].nth, 1, GR_PLACE_RUN, &out[n++]);
		advance(p, item, 1);
	}
	return n;
}

/* The same for many workers at once, when there is nothing to tell them apart but their rank: no files, one owner, whom it is
 * counted for once. */
static APART uint32_t fill_many(struct gr_place *p, uint32_t queue, struct gr_place__search *s, struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	uint32_t w[FILL_WORKERS], n_w, item = p->queues[queue].front, nth = p->queued[item].nth, left = p->queued[item].t.count - nth;
	uint32_t done = 0, before;

	max -= n;
	out += n;
	do {
		before = done;
		n_w = gr_place__best_rank(p, s, w, FILL_WORKERS);
		for (uint32_t i = 0; i < n_w && done < max && left - done > FILL_FROM; i++) {
			uint32_t part;

			s->worker = w[i];
			part = part_of(p, queue, s, done, max - done);
			if (part)
				gr_place__put(p, s, s->t->tag, s->t->first + nth + done, part, GR_PLACE_RUN, &out[done]);
			done += part;
		}
	} while (done < max && done > before && left - done > FILL_FROM);
	if (done) {
		gr_place__account(p, s, done, GR_PLACE_RUN);
		advance(p, item, done);
	}
	return n + done;
}

/* It would wait behind what runs. Not behind what is less urgent: that is stopped, and the queue waits for its room. */
static RARE bool stops_rather(struct gr_place *p, uint32_t queue, uint64_t now_ns, const struct gr_place__search *s,
			 struct gr_place_decision *out, uint32_t *n, uint32_t max)
{
	struct gr_place__search now = *s;
	uint32_t n_before = *n;

	now.with_credits = false;
	*n = gr_place__preempt(p, now_ns, queue, &now, out, *n, max);
	if (*n == n_before && (!s->class->n_kept || s->class->n_kept < gr_place__queue_wanted(p, queue)))
		return false;
	no_room(p, queue, now_ns, false, false);
	return true;
}

static OFTEN uint32_t place(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	while (n < max) {
		uint32_t queue = gr_place__choose(p), item, left;
		struct gr_place__search s;
		bool alone;

		if (queue == NIL)
			return n;
		if (p->n_kept && !gr_place__queue_wanted(p, queue)) {
			gr_place__queue_move(p, queue, Q_STUCK);    /* room was made for others of its owner, up to its limit */
			continue;
		}
		fetch_owner(&p->owners[p->queues[queue].owner]);        /* while the item is asked for, not after it */
		item = p->queues[queue].front;
		left = p->queued[item].t.count - p->queued[item].nth;
		if (p->queued[item].t.is_gang) {
			if (max - n >= left)
				n += place_gang(p, queue, now_ns, out + n);
			else if (n)
				return n;
			else
				gr_place__queue_move(p, queue, Q_STUCK);    /* the caller's room is too small for it */
			continue;
		}
		gr_place__search_for(p, item, now_ns, &s);
		s.may_wait = true;
		gr_place__search(p, &s);
		p->looked += s.n_looked;
		if (s.worker == NIL) {
			s.with_credits = false;
			n = gr_place__preempt(p, now_ns, queue, &s, out, n, max);
			no_room(p, queue, now_ns, s.is_cut, !s.is_cut);
			continue;
		}
		if (s.with_credits && p->victim_bits >> p->owners[s.owner].spec.band > 1 && stops_rather(p, queue, now_ns, &s, out, &n, max))
			continue;
		if (gr_place__is_tail(p, queue)) {
			item = gr_place__tail(p, queue, &s);
			if (item == NIL) {
				p->held = queue;
				gr_place__park(p, p->queues[queue].class, now_ns, false);
				continue;
			}
		}
		gr_place__commit(p, &s, s.t->tag, s.t->first + p->queued[item].nth, 1, GR_PLACE_RUN, &out[n++]);
		advance(p, item, 1);
		if (p->has_woken)
			gr_place__park_woken(p);
		if (left <= FILL_FROM || s.with_credits || p->queues[queue].is_choosy || s.class->has_policy || n == max)
			continue;
		alone = is_alone(p, queue);
		if (!s.input_kib && s.is_plain && alone && !p->owners[s.owner].spec.max_placed)
			n = fill_many(p, queue, &s, out, n, max);
		else
			n = fill(p, queue, &s, alone, out, n, max);
	}
	return n;
}

/* Queues that were stuck for reasons of their own: some of them are tried again after something changed. */
static APART void unstick(struct gr_place *p)
{
	uint32_t n = gr_place__min(p->n_stuck, 4 * STUCK_PER_CALL), tried = 0;

	p->is_more_stuck = p->n_stuck > n;
	while (n-- && p->n_stuck && tried < STUCK_PER_CALL) {
		uint32_t queue = p->stuck[p->stuck_turn++ % p->n_stuck];

		if (p->queues[queue].stuck_at == p->changes)
			continue;
		gr_place__queue_move(p, queue, gr_place__may_more(p, &p->owners[p->queues[queue].owner]) ? Q_LINE : Q_HELD);
		tried++;
	}
	p->is_more_stuck |= tried == STUCK_PER_CALL;
}

/* The queue that waits longest for room in the most urgent band, when that is long; of one class, that of the tenant that has least. */
static RARE uint32_t longest_waiting(const struct gr_place *p, uint64_t now_ns)
{
	uint32_t best = NIL, best_band = GR_PLACE_MAX_BAND + 1;
	uint64_t since = now_ns > p->cfg.reserve_after_ns ? now_ns - p->cfg.reserve_after_ns : 0, best_ns = UINT64_MAX;
	uint64_t best_share = 0;

	for (uint32_t i = 0; i < p->n_stuck; i++) {
		const struct gr_place__queue *q = &p->queues[p->stuck[i]];
		uint32_t band = p->owners[q->owner].spec.band;

		if (q->stuck_ns <= since && (band < best_band || (band == best_band && q->stuck_ns < best_ns))) {
			best = p->stuck[i];
			best_band = band;
			best_ns = q->stuck_ns;
		}
	}
	if (!p->has_closed)
		return best;
	for (uint32_t bands = p->band_bits; bands; bands &= bands - 1) {
		uint32_t band = (uint32_t)__builtin_ctz(bands);

		for (uint32_t r = 0; r < GR_PLACE_N_RES; r++)
			for (uint32_t k = 0; k < p->bands[band].by[r].n; k++) {
				const struct gr_place__standing *seat = &p->bands[band].by[r].heap[k];
				uint32_t l = p->stands[gr_place__who(seat)].first_line;

				for (; l != NIL; l = p->lines[l].next) {
					const struct gr_place__class *c = &p->classes[p->lines[l].class];

					if (!gr_place__is_parked(p, p->lines[l].class) || c->parked_ns > since || band > best_band ||
					    (band == best_band && (c->parked_ns > best_ns || (c->parked_ns == best_ns && seat->share >= best_share))))
						continue;
					best = p->lines[l].first;
					best_band = band;
					best_ns = c->parked_ns;
					best_share = seat->share;
				}
			}
	}
	return best;
}

/* It did not come true: before others are placed, so that what it kept out is asked for in this call. */
static void reserve_lapse(struct gr_place *p, uint64_t now_ns)
{
	if (p->reserve.queue != NIL && now_ns >= p->reserve.made_ns + RESERVE_EVERY_NS && now_ns >= p->reserve.until_ns + RESERVE_EVERY_NS)
		gr_place__reserve_drop(p);
}

static void reserve(struct gr_place *p, uint64_t now_ns)
{
	uint32_t queue;

	if (p->reserve.queue != NIL || now_ns < p->reserve.made_ns + RESERVE_EVERY_NS || (!p->n_stuck && !p->has_closed))
		return;
	p->reserve.made_ns = now_ns;
	queue = longest_waiting(p, now_ns);
	if (queue != NIL)
		gr_place__reserve_for(p, now_ns, queue);
}

WHOLE int gr_place_next(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t max)
{
	uint32_t n;

	if (now_ns < p->now_ns || max > INT32_MAX)
		return GR_EINVAL;
	if (p->cfg.log)
		gr_place__log_next(p, now_ns, max);
	if (max > GR_PLACE_MAX_PLACED - p->tasks_placed)
		max = (uint32_t)(GR_PLACE_MAX_PLACED - p->tasks_placed);
	gr_place__now(p, now_ns);
	gr_place__unblock(p, now_ns);
	gr_place__totals(p);
	if (p->n_kept)
		gr_place__kept_check(p, now_ns);
	gr_place__room(p, max);
	if (p->wheel_tick < now_ns >> WHEEL_SHIFT)
		gr_place__wheel_turn(p, now_ns);
	if (p->retry_ns <= now_ns) {
		p->retry_ns = UINT64_MAX;
		gr_place__wake_all(p);
	}
	if (p->n_stuck)
		unstick(p);
	if (p->held != NIL) {
		gr_place__unpark(p, p->queues[p->held].class);
		p->held = NIL;
	}
	reserve_lapse(p, now_ns);
	n = p->n_leaving ? gr_place__evacuate(p, now_ns, out, 0, max) : 0;
	n = place(p, now_ns, out, n, max);
	if (!p->open && p->n_late)
		n = gr_place__relieve(p, now_ns, out, n, max);
	if (p->first_due != NIL)
		n = gr_place__copies(p, now_ns, out, n, max);
	reserve(p, now_ns);
	for (uint32_t i = 0; p->cfg.log && i < n; i++)
		gr_place__log_decided(p, &out[i]);
	return (int)n;
}

uint64_t gr_place_wake_ns(const struct gr_place *p)
{
	uint64_t at = p->wake_ns < p->retry_ns ? p->wake_ns : p->retry_ns, wheel = gr_place__wheel_ns(p), due;

	if (wheel < at)
		at = wheel;
	if (p->n_kept && p->now_ns + RESERVE_EVERY_NS < at)
		at = p->now_ns + RESERVE_EVERY_NS;
	if (p->is_more_stuck && p->now_ns + RETRY_NS < at)
		at = p->now_ns + RETRY_NS;
	/* something waits for room: it may be given a reservation, or one that did not come true is made anew */
	if (p->n_stuck || p->has_closed) {
		due = p->reserve.queue != NIL ? p->reserve.until_ns + RESERVE_EVERY_NS : p->now_ns + p->cfg.reserve_after_ns;
		if (due <= p->now_ns)
			due = p->now_ns + RESERVE_EVERY_NS;
		if (due < at)
			at = due;
	}
	return at;
}

/* ---- endings ---- */

/* An end is a handful of records far apart: fetched side by side they cost one wait for memory, one after another six. */
static inline FETCH void fetch_ahead(const struct gr_place *p, uint32_t i)
{
	const struct gr_place__placed *pl = gr_place__at(p, i);

	__builtin_prefetch(&p->workers[pl->worker]);
	__builtin_prefetch(&p->holds[pl->worker]);
	__builtin_prefetch(&p->nodes[pl->node]);
	__builtin_prefetch(&p->spots[pl->worker]);
	__builtin_prefetch(&p->group[pl->worker]);
	__builtin_prefetch(&p->rank[pl->worker]);
	__builtin_prefetch(gr_place__family(p, pl->family));
	/* whether there is one is as good as random: then itself */
	__builtin_prefetch(gr_place__at(p, (uint32_t)gr_place__either(pl->prev, i, pl->prev == NIL)));
	__builtin_prefetch(gr_place__at(p, (uint32_t)gr_place__either(pl->next, i, pl->next == NIL)));
	if (pl->wheel_prev != NIL && (pl->flags & (P_WHEEL | P_DUE)))
		__builtin_prefetch(gr_place__at(p, pl->wheel_prev));
	if (pl->wheel_next != NIL && (pl->flags & (P_WHEEL | P_DUE)))
		__builtin_prefetch(gr_place__at(p, pl->wheel_next));
	fetch_owner(&p->owners[pl->owner]);
	__builtin_prefetch(gr_place__asked(p, i), 1);      /* the next placement's record is the one that becomes free */
}

OFTEN void gr_place_soon(struct gr_place *p, uint64_t placed, bool is_near)
{
	uint32_t i = (uint32_t)placed;

	if (i >= p->n_placed)
		return;
	if (!is_near) {
		__builtin_prefetch(gr_place__at(p, i));
		return;
	}
	fetch_ahead(p, i);
	p->near = i;
}

WHOLE int gr_place_end(struct gr_place *p, uint64_t now_ns, uint64_t placed, const struct gr_place_ended *e)
{
	uint32_t i = gr_place__placed(p, placed);
	const struct gr_place__placed *pl;
	uint32_t node, queue;

	if (i == NIL)
		return GR_ENOENT;
	if (now_ns < p->now_ns || e->how >= GR_PLACE_N_HOWS)
		return GR_EINVAL;
	gr_place__now(p, now_ns);
	if (p->cfg.log)
		gr_place__log_end(p, now_ns, placed, e);
	pl = gr_place__at(p, i);
	if (p->near != i)
		fetch_ahead(p, i);
	/* when all is taken, what ends makes room for its own owner, who has least now: what comes next is asked for meanwhile */
	queue = p->owners[pl->owner].first_queue;
	if (queue != NIL)
		__builtin_prefetch(&p->queues[queue]);
	node = pl->node;
	gr_place__learn(p, pl, now_ns, e);
	gr_place__release(p, i);
	if (p->nodes[node].is_speed_new)
		gr_place__node_price(p, node);
	return 0;
}

int gr_place_adopt(struct gr_place *p, uint64_t now_ns, uint32_t owner, uint32_t class, uint32_t worker, uint64_t tag, uint32_t nth,
		   uint32_t work_ms, uint64_t *placed)
{
	uint32_t i = gr_place__worker(p, worker), o = gr_place__owner(p, owner), res;
	struct gr_place_task t = { .count = 1 };
	struct gr_place__search s = { .t = &t, .owner = o, .class_id = class, .avoid_node = NIL, .reserved_for = NIL, .with_credits = true,
				      .worker = i, .now_ns = now_ns };
	struct gr_place_decision d;

	if (now_ns < p->now_ns)
		return GR_EINVAL;
	if (i == NIL || o == NIL || p->owners[o].is_going || class >= p->n_classes || !p->classes[class].is_used)
		return GR_ENOENT;
	if (p->tasks_placed == GR_PLACE_MAX_PLACED)
		return GR_ELIMIT;
	s.class = &p->classes[class];
	s.work_us = gr_place__work_us(p, 0, work_ms);
	memset(s.next, 0xff, sizeof(s.next));
	/* whatever else is in the way: it runs */
	for (uint32_t k = 0; k < s.class->n_need; k++) {
		res = s.class->need_res[k];
		if (res != GR_PLACE_CPU_MCPU && *gr_place__free(p, i, res) < (int32_t)s.class->spec.need.v[res])
			return GR_EBUSY;
	}
	if (p->workers[i].n_waiting == UINT8_MAX)
		return GR_EBUSY;
	gr_place__now(p, now_ns);
	LOG(p, OP_ADOPT, now_ns, owner, class, worker, tag, nth, work_ms);
	gr_place__room(p, 1);
	gr_place__totals(p);
	gr_place__commit(p, &s, tag, nth, 1, GR_PLACE_RUN, &d);
	gr_place__owner_hold(p, o);
	*placed = d.placed;
	return 0;
}

int gr_place_kept(struct gr_place *p, uint64_t placed)
{
	uint32_t i = gr_place__placed(p, placed);

	if (i == NIL)
		return GR_ENOENT;
	LOG(p, OP_KEPT, placed);
	gr_place__at(p, i)->flags &= (uint16_t)~P_LEAVING;
	return 0;
}

int gr_place_started(struct gr_place *p, uint64_t now_ns, uint64_t placed)
{
	uint32_t i = gr_place__placed(p, placed);

	if (i == NIL)
		return GR_ENOENT;
	if (now_ns < p->now_ns)
		return GR_EINVAL;
	gr_place__now(p, now_ns);
	LOG(p, OP_STARTED, now_ns, placed);
	if (gr_place__at(p, i)->flags & P_RUNNING)
		gr_place__at(p, i)->start_ns = now_ns;
	return 0;
}

uint64_t gr_place_work_ms(const struct gr_place *p)
{
	return p->queued_ms + p->placed_ms;
}
