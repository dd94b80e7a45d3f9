/* pick.c - the decision: whose turn it is, which task, which worker.
 *
 * Whose turn: the lowest priority band with work, in it the owner with the smallest dominant share over weight. Which
 * task: the front of that owner's queues. Which worker: up to n_sample drawn among the available holders of the
 * environment, and the workers that served this owner last (they have its files); the smallest predicted finish wins:
 * waiting behind what the worker holds, fetching what it lacks, running at its learned speed while its node's cores are
 * shared. Ties go to the one with fewer tasks per slot. When all holders fit into the sample, all are looked at; when
 * no sampled one has room, a bounded scan follows. A queue whose front fits nowhere is parked until something changed.
 * Emptiest-first was not kept: idle workers tend to be the slow ones. */
#include "lib/place/place.h"

#include <assert.h>
#include <string.h>

#include "lib/place/place_int.h"

#define SCAN_MAX 64u

/* ---- what is expected ---- */

static struct gr_place__family *family_of(const struct gr_place *p, uint64_t hash)
{
	return &p->families[(hash ^ hash >> 29) % FAMILY_SLOTS];
}

uint32_t gr_place__work_us(const struct gr_place *p, const struct gr_place_task *t)
{
	const struct gr_place__family *f = family_of(p, t->family);
	uint64_t us;

	if (t->family && f->hash == t->family && f->n)
		return f->work_us;
	us = t->work_ms ? (uint64_t)t->work_ms * 1000 : p->mean_work_us;
	return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

uint32_t gr_place__contention(const struct gr_place *p, const struct gr_place__worker *w, uint32_t more_mcpu)
{
	const struct gr_place__node *n = &p->nodes[w->node];
	uint64_t cores = n->said_mcpu ? n->said_mcpu : n->sum_mcpu, used = n->used_mcpu + more_mcpu, m = 1000, own;

	if (cores && used > cores)
		m = used * 1000 / cores;
	own = w->used.v[GR_PLACE_CPU_MCPU] + more_mcpu;
	if (w->quota_mcpu && own * 1000 / w->quota_mcpu > m)
		m = own * 1000 / w->quota_mcpu;
	m = m * (1000 + n->foreign_permille + w->pressure_permille) / 1000;
	return m > 100000 ? 100000 : (uint32_t)m;
}

/* KiB that @worker lacks of what the task reads: the share of the owner's files it was not sent yet. */
static uint64_t missing_kib(const struct gr_place *p, uint32_t worker, const struct gr_place_task *t)
{
	const struct gr_place__owner *o = &p->owners[t->owner];
	uint64_t all = o->bytes >> 10, have = o->have_kib[worker];

	if (!all)
		return have ? 0 : t->input_bytes >> 10;
	return have >= all ? 0 : (t->input_bytes >> 10) * (all - have) / all;
}

struct gr_place__cost gr_place__cost(const struct gr_place *p, uint32_t worker, const struct gr_place_task *t,
				     uint32_t work_us, uint32_t cpu_mcpu)
{
	const struct gr_place__worker *w = &p->workers[worker];
	uint64_t m = gr_place__contention(p, w, cpu_mcpu);
	struct gr_place__cost c = { 0 };

	c.run_us = work_us * m / w->speed_permille;
	c.fetch_us = missing_kib(p, worker, t) * 1000 / BANDWIDTH_KIB_PER_MS + w->rtt_us;
	/* a free slot starts at once; else the backlog drains through all slots */
	if (w->n_placed >= w->slots)
		c.wait_us = w->backlog_us * m / w->speed_permille * (w->n_placed + 1 - w->slots) / w->n_placed / w->slots;
	return c;
}

/* ---- whose turn ---- */

void gr_place__share(struct gr_place *p, struct gr_place__owner *o)
{
	uint64_t most = 0;

	for (int r = 0; r < GR_PLACE_N_RES; r++) {
		uint64_t s = p->total.v[r] ? o->used.v[r] * 1000000ull / p->total.v[r] : 0;

		if (s > most)
			most = s;
	}
	o->share = most / o->spec.weight;
}

/* The front queue of an owner that is not parked: longest expected work, else the oldest. */
static uint32_t front_queue(const struct gr_place *p, const struct gr_place__owner *o)
{
	uint32_t best = NIL;

	for (uint32_t i = o->first_queue; i != NIL; i = p->queues[i].next) {
		const struct gr_place__queue *q = &p->queues[i];
		const struct gr_place__queued *a, *b;

		if (!q->n || q->parked_at == p->changes)
			continue;
		if (best == NIL) {
			best = i;
			continue;
		}
		a = &p->queued[q->heap[0]];
		b = &p->queued[p->queues[best].heap[0]];
		if (a->rank != b->rank ? a->rank > b->rank : a->seq < b->seq)
			best = i;
	}
	return best;
}

static uint32_t next_queue(const struct gr_place *p)
{
	const struct gr_place__owner *best = NULL;
	uint32_t best_queue = NIL;

	for (uint32_t i = 0; i < p->n_owners; i++) {
		const struct gr_place__owner *o = &p->owners[i];
		uint32_t q;

		if (!o->is_used || !o->n_queued)
			continue;
		if (best && (o->spec.priority > best->spec.priority ||
			     (o->spec.priority == best->spec.priority && o->share >= best->share)))
			continue;
		q = front_queue(p, o);
		if (q == NIL)
			continue;
		best = o;
		best_queue = q;
	}
	return best_queue;
}

/* ---- which worker ---- */

static bool has_room(const struct gr_place *p, const struct gr_place__worker *w, const struct gr_place_class *c)
{
	enum gr_place_res res;

	if (!gr_place__fits_shape(p, w, c, &res))
		return false;
	/* CPU is what slots stand for, and prefetch goes beyond it on purpose; the rest is hard */
	for (int r = GR_PLACE_CPU_MCPU + 1; r < GR_PLACE_N_RES; r++)
		if (c->need.v[r] > w->cap.v[r] - w->used.v[r])
			return false;
	return !c->zone || c->zone == w->zone;
}

struct search {
	const struct gr_place__queued *item;
	const struct gr_place_class *class;
	uint32_t work_us, worker, n_looked;
	uint64_t score, load, finish_us;
};

static void look(const struct gr_place *p, struct search *s, uint32_t worker)
{
	const struct gr_place__worker *w = &p->workers[worker];
	struct gr_place__cost c;
	uint64_t score, load;

	if (!has_room(p, w, s->class))
		return;
	for (uint32_t i = 0; i < s->item->t.n_exclude; i++)
		if (s->item->t.exclude[i] == w->id)
			return;
	s->n_looked++;
	c = gr_place__cost(p, worker, &s->item->t, s->work_us, s->class->need.v[GR_PLACE_CPU_MCPU]);
	score = c.wait_us + c.fetch_us + c.run_us;
	load = (uint64_t)w->n_placed * 1000 / w->slots;
	if (s->worker != NIL && (score > s->score || (score == s->score && load >= s->load)))
		return;
	s->worker = worker;
	s->score = s->finish_us = score;
	s->load = load;
}

static void search(struct gr_place *p, struct search *s)
{
	const struct gr_place__env *e = &p->envs[s->class->env];
	const struct gr_place__owner *o = &p->owners[s->item->t.owner];
	uint32_t k = p->cfg.n_sample, start;

	if (!e->n_avail)
		return;
	if (e->n_avail <= k + k / 2) {
		for (uint32_t i = 0; i < e->n_avail; i++)
			look(p, s, e->workers[i]);
		return;
	}
	for (uint32_t i = 0; i < o->n_warm; i++) {
		const struct gr_place__worker *w = &p->workers[o->warm[i]];

		if (w->is_avail && gr_place__has_env(w, s->class->env))
			look(p, s, o->warm[i]);
	}
	for (uint32_t i = 0; i < k; i++)
		look(p, s, e->workers[gr_rng_below(&p->rng, e->n_avail)]);
	if (s->worker != NIL)
		return;
	start = gr_rng_below(&p->rng, e->n_avail);
	for (uint32_t i = 0; i < e->n_avail && i < SCAN_MAX; i++)
		look(p, s, e->workers[(start + i) % e->n_avail]);
}

/* ---- commit and release ---- */

static uint32_t placed_new(struct gr_place *p)
{
	uint32_t id = p->free_placed;

	if (id != NIL) {
		p->free_placed = p->placed[id].next;
		return id;
	}
	assert(p->n_placed < p->cap_placed);
	return p->n_placed++;
}

static void warm(struct gr_place *p, struct gr_place__owner *o, uint32_t worker, const struct gr_place_task *t)
{
	uint64_t have = o->have_kib[worker] + missing_kib(p, worker, t) + 1;
	uint32_t i;

	o->have_kib[worker] = have > UINT32_MAX ? UINT32_MAX : (uint32_t)have;
	for (i = 0; i < o->n_warm && o->warm[i] != worker; i++)
		;
	if (i < o->n_warm)
		return;
	if (o->n_warm < sizeof(o->warm) / sizeof(o->warm[0]))
		i = o->n_warm++;
	else
		i = gr_rng_below(&p->rng, o->n_warm);
	o->warm[i] = worker;
}

static void commit(struct gr_place *p, uint64_t now_ns, const struct search *s, uint32_t queued,
		   struct gr_place_decision *d)
{
	struct gr_place__worker *w = &p->workers[s->worker];
	struct gr_place__queued *item = &p->queued[queued];
	struct gr_place__owner *o = &p->owners[item->t.owner];
	const struct gr_place_vec *need = &s->class->need;
	uint32_t id = placed_new(p);

	p->placed[id] = (struct gr_place__placed){
		.tag = item->t.tag, .family = item->t.family, .start_ns = now_ns, .worker = s->worker,
		.class = item->t.class, .owner = item->t.owner, .work_us = s->work_us,
		.prev = NIL, .next = w->first_placed, .is_used = true,
	};
	if (w->first_placed != NIL)
		p->placed[w->first_placed].prev = id;
	w->first_placed = id;
	*d = (struct gr_place_decision){
		.act = GR_PLACE_RUN, .tag = item->t.tag, .nth = item->nth, .placed = id, .worker = w->id,
		.worker_tag = w->tag, .n_looked = s->n_looked, .finish_us = s->finish_us,
	};
	for (int r = 0; r < GR_PLACE_N_RES; r++) {
		w->used.v[r] += need->v[r];
		o->used.v[r] += need->v[r];
	}
	p->nodes[w->node].used_mcpu += need->v[GR_PLACE_CPU_MCPU];
	w->backlog_us += s->work_us;
	w->n_placed++;
	o->n_placed++;
	p->tasks_placed++;
	p->classes[item->t.class].n_task++;
	warm(p, o, s->worker, &item->t);
	o->n_queued--;
	p->tasks_queued--;
	if (++item->nth == item->t.count)
		gr_place__queue_take(p, queued);
	gr_place__share(p, o);
	if (w->n_placed >= gr_place__depth(p, w))
		gr_place__refresh(p, s->worker);
}

void gr_place__release(struct gr_place *p, uint32_t placed)
{
	struct gr_place__placed *pl = &p->placed[placed];
	struct gr_place__worker *w = &p->workers[pl->worker];
	struct gr_place__owner *o = &p->owners[pl->owner];
	const struct gr_place_vec *need = &p->classes[pl->class].spec.need;

	for (int r = 0; r < GR_PLACE_N_RES; r++) {
		w->used.v[r] -= need->v[r];
		o->used.v[r] -= need->v[r];
	}
	p->nodes[w->node].used_mcpu -= need->v[GR_PLACE_CPU_MCPU];
	w->backlog_us -= pl->work_us;
	w->n_placed--;
	o->n_placed--;
	p->tasks_placed--;
	p->classes[pl->class].n_task--;
	gr_place__share(p, o);
	if (o->is_going && !o->n_placed)
		o->is_used = false;
	if (pl->prev != NIL)
		p->placed[pl->prev].next = pl->next;
	else
		w->first_placed = pl->next;
	if (pl->next != NIL)
		p->placed[pl->next].prev = pl->prev;
	pl->is_used = false;
	pl->next = p->free_placed;
	p->free_placed = placed;
	gr_place__refresh(p, (uint32_t)(w - p->workers));
}

/* ---- deltas ---- */

static void unblock(struct gr_place *p, uint64_t now_ns)
{
	if (now_ns < p->wake_ns)
		return;
	p->wake_ns = UINT64_MAX;
	for (uint32_t i = 0; i < p->n_workers; i++) {
		struct gr_place__worker *w = &p->workers[i];

		if (!w->is_up || !w->blocked_until_ns)
			continue;
		if (w->blocked_until_ns <= now_ns) {
			w->blocked_until_ns = 0;
			w->is_quarantined = false;
			gr_place__refresh(p, i);
		} else if (w->blocked_until_ns < p->wake_ns) {
			p->wake_ns = w->blocked_until_ns;
		}
	}
}

uint32_t gr_place_next(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t max)
{
	uint32_t n = 0;

	unblock(p, now_ns);
	while (n < max && p->tasks_queued) {
		uint32_t iq = next_queue(p);
		struct gr_place__queue *q;
		struct search s = { .worker = NIL };

		if (iq == NIL)
			break;
		q = &p->queues[iq];
		s.item = &p->queued[q->heap[0]];
		s.class = &p->classes[q->class].spec;
		s.work_us = gr_place__work_us(p, &s.item->t);
		search(p, &s);
		p->looked += s.n_looked;
		if (s.worker == NIL) {
			q->parked_at = p->changes;
			continue;
		}
		p->decisions++;
		commit(p, now_ns, &s, q->heap[0], &out[n++]);
	}
	return n;
}

static void learn(struct gr_place *p, struct gr_place__worker *w, const struct gr_place__placed *pl, uint64_t cpu_us)
{
	struct gr_place__family *f = family_of(p, pl->family);
	uint64_t norm = cpu_us * w->speed_permille / 1000, ratio;

	if (norm > UINT32_MAX)
		norm = UINT32_MAX;
	p->mean_work_us += ((int64_t)norm - (int64_t)p->mean_work_us) / 64;
	if (!pl->family)
		return;
	if (f->hash != pl->family) {
		*f = (struct gr_place__family){ .hash = pl->family, .work_us = (uint32_t)norm, .n = 1 };
		return;
	}
	if (f->n >= 3 && f->work_us) {
		/* each sample moves the speed by at most a fifth of its sixteenth: one odd run teaches little */
		ratio = (uint64_t)f->work_us * 1000 / (cpu_us ? cpu_us : 1);
		if (ratio > w->speed_permille * 5ull / 4)
			ratio = w->speed_permille * 5ull / 4;
		if (ratio < w->speed_permille * 4ull / 5)
			ratio = w->speed_permille * 4ull / 5;
		w->speed_permille = (uint32_t)((w->speed_permille * 15ull + ratio + 8) / 16);
		if (w->speed_permille < 100)
			w->speed_permille = 100;
		if (w->speed_permille > 10000)
			w->speed_permille = 10000;
	}
	if (f->n < 16)
		f->n++;
	f->work_us = (uint32_t)((int64_t)f->work_us + ((int64_t)norm - (int64_t)f->work_us) / f->n);
}

static void failed(struct gr_place *p, struct gr_place__worker *w, uint64_t now_ns, uint64_t ran_ns)
{
	uint32_t n;

	w->failed++;
	if (ran_ns >= p->cfg.fast_fail_ns) {
		w->fast_fails = 0;
		return;
	}
	if (++w->fast_fails < p->cfg.fast_fails)
		return;
	/* one more fast failure after it is enough to go back: the first task is the probe */
	w->fast_fails = p->cfg.fast_fails - 1;
	n = w->quarantines < 4 ? w->quarantines : 4;
	w->quarantines++;
	w->is_quarantined = true;
	w->blocked_until_ns = now_ns + (p->cfg.quarantine_ns << n);
	if (w->blocked_until_ns < p->wake_ns)
		p->wake_ns = w->blocked_until_ns;
}

void gr_place_end(struct gr_place *p, uint64_t now_ns, uint32_t placed, const struct gr_place_ended *e)
{
	struct gr_place__placed *pl = &p->placed[placed];
	struct gr_place__worker *w;

	assert(placed < p->n_placed && pl->is_used);
	w = &p->workers[pl->worker];
	if (e->how == GR_PLACE_DONE) {
		w->done++;
		w->fast_fails = 0;
		w->quarantines = 0;
		if (e->cpu_us)
			learn(p, w, pl, e->cpu_us);
	} else if (e->how == GR_PLACE_FAILED) {
		failed(p, w, now_ns, now_ns - pl->start_ns);
	}
	gr_place__release(p, placed);
}

uint64_t gr_place_wake_ns(const struct gr_place *p)
{
	return p->wake_ns;
}
