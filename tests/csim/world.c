/* world.c - time and chance: the events, and lib/net's loop.h and aside.h made of them; see csim.h */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/net/aside.h"
#include "tests/csim/csim.h"

#define WALL_START_MS 1700000000000ll

struct cs *cs_now;

void cs_fail(struct cs *s, const char *fmt, ...)
{
	va_list ap;

	if (s->why[0])
		return;
	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	cs_say(s, "BROKEN: %s", s->why);
}

void cs_say(struct cs *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->verbose)
		return;
	printf("# %10.6f ", (double)s->now_ns / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

uint64_t cs_below(struct cs *s, uint64_t n) { return n ? gr_rng_u64(&s->rng) % n : 0; }
bool cs_chance(struct cs *s, uint32_t permille) { return cs_below(s, 1000) < permille; }

uint64_t cs_around(struct cs *s, uint64_t typical)
{
	uint64_t kind = cs_below(s, 16);

	if (!kind)
		return typical * (1 + cs_below(s, 10));
	return typical / 10 + cs_below(s, typical + typical / 2 + 1);
}

void cs_hash(struct cs *s, uint64_t v) { s->hash = gr_hash64(&v, sizeof(v), s->hash); }

/* ---- events ---- */

static bool is_before(const struct cs_event *a, const struct cs_event *b)
{
	return a->t_ns < b->t_ns || (a->t_ns == b->t_ns && a->seq < b->seq);
}

static void heap_push(struct cs *s, struct cs_event *e)
{
	uint32_t i = s->n_heap++;

	if (i == s->cap_heap) {
		s->cap_heap = s->cap_heap ? 2 * s->cap_heap : 256;
		s->heap = gr_xrealloc(s->heap, s->cap_heap * sizeof(struct cs_event *));
	}
	for (; i && is_before(e, s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = e;
}

static struct cs_event *heap_pop(struct cs *s)
{
	struct cs_event *top, *e;
	uint32_t i = 0, kid;

	if (!s->n_heap)
		return NULL;
	top = s->heap[0];
	e = s->heap[--s->n_heap];
	while ((kid = 2 * i + 1) < s->n_heap) {
		if (kid + 1 < s->n_heap && is_before(s->heap[kid + 1], s->heap[kid]))
			kid++;
		if (!is_before(s->heap[kid], e))
			break;
		s->heap[i] = s->heap[kid];
		i = kid;
	}
	s->heap[i] = e;
	return top;
}

struct cs_event *cs_at(struct cs *s, uint64_t t_ns, uint32_t who, void (*fn)(void *ctx), void *ctx)
{
	struct cs_event *e;

	GR_NEW(e);
	*e = (struct cs_event){ t_ns < s->now_ns ? s->now_ns : t_ns, s->seq++, who, fn, ctx };
	heap_push(s, e);
	return e;
}

struct cs_event *cs_in(struct cs *s, uint64_t ns, uint32_t who, void (*fn)(void *ctx), void *ctx)
{
	return cs_at(s, s->now_ns + ns, who, fn, ctx);
}

/* Until when the event's owner is stopped; 0: it is not. */
static uint64_t stopped_ns(const struct cs *s, uint32_t who)
{
	if (who == CS_WORLD)
		return 0;
	return who == CS_COORD ? s->coord_stopped_ns : s->nodes[who]->stopped_ns;
}

bool cs_step(struct cs *s)
{
	struct cs_event *e = heap_pop(s);
	uint64_t until;

	if (!e)
		return false;
	s->now_ns = e->t_ns;
	until = e->fn ? stopped_ns(s, e->who) : 0;
	if (until > s->now_ns) {          /* later, in the order in which they came */
		e->t_ns = until;
		e->seq = s->seq++;
		heap_push(s, e);
		return true;
	}
	if (e->fn) {
		s->st.events++;
		cs_hash(s, e->t_ns ^ (uint64_t)e->who << 32);
		e->fn(e->ctx);
	}
	free(e);
	return true;
}

void cs_events_free(struct cs *s)
{
	for (uint32_t i = 0; i < s->n_heap; i++)
		free(s->heap[i]);
	free(s->heap);
}

/* ---- loop.h ---- */

struct gr_loop {
	struct cs *s;
	struct gr_rng rng;
	struct gr_list timers;
	uv_loop_t uv;                     /* for handles that a folder's own code makes; it is not run */
	bool has_uv;
};
struct gr_timer {
	struct gr_list node;
	struct gr_loop *l;
	struct cs_event *e;
	uint64_t repeat_ns;
	void (*fn)(void *ctx);
	void *ctx;
};

struct gr_loop *gr_loop_new(uint64_t seed)
{
	struct gr_loop *l;

	GR_NEW(l);
	l->s = cs_now;
	l->rng.s = seed;
	gr_list_init(&l->timers);
	return l;
}

void gr_loop_free(struct gr_loop **lp)
{
	struct gr_loop *l = *lp;

	*lp = NULL;
	GR_LIST_EACH_SAFE(t, &l->timers, struct gr_timer, node) {
		struct gr_timer *one = t;

		gr_timer_stop(&one);
	}
	if (l->has_uv) {
		uv_run(&l->uv, UV_RUN_NOWAIT);
		uv_loop_close(&l->uv);
	}
	free(l);
}

uv_loop_t *gr_loop_uv(struct gr_loop *l)
{
	if (!l->has_uv)
		uv_loop_init(&l->uv);
	l->has_uv = true;
	return &l->uv;
}

struct gr_rng *gr_loop_rng(struct gr_loop *l) { return &l->rng; }
uint64_t gr_loop_now_ns(struct gr_loop *l) { return l->s->now_ns; }
uint64_t gr_loop_real_ms(struct gr_loop *l) { return l ? gr_clock_real_ms() : 0; }
void gr_loop_stand(struct gr_loop *l) { (void)l; }      /* it stands by itself */
void gr_loop_go_on(struct gr_loop *l) { (void)l; }
uint64_t gr_clock_mono_ns(void) { return cs_now->now_ns; }
uint64_t gr_clock_thread_cpu_ns(void) { return cs_now->now_ns; }
uint64_t gr_clock_real_ms(void) { return (uint64_t)(WALL_START_MS + cs_now->wall_ms + (int64_t)(cs_now->now_ns / GR_NS_PER_MS)); }
int gr_loop_run(struct gr_loop *l) { return l ? 0 : GR_EIO; }
void gr_loop_stop(struct gr_loop *l) { cs_fail(l->s, "the coordinator stopped its loop: the store is damaged"); }

void gr_loop_on_term(struct gr_loop *l, void (*fn)(void *ctx, int signum), void *ctx)
{
	(void)l, (void)fn, (void)ctx;
}

static void on_timer(void *ctx)
{
	struct gr_timer *t = ctx;

	t->e = t->repeat_ns ? cs_in(t->l->s, t->repeat_ns, CS_COORD, on_timer, t) : NULL;
	t->fn(t->ctx);
}

struct gr_timer *gr_timer_new(struct gr_loop *l, void (*fn)(void *ctx), void *ctx)
{
	struct gr_timer *t;

	GR_NEW(t);
	t->l = l;
	t->fn = fn;
	t->ctx = ctx;
	gr_list_init(&t->node);
	gr_list_push(&l->timers, &t->node);
	return t;
}

struct gr_timer *gr_timer_start(struct gr_loop *l, uint64_t first_ms, uint64_t repeat_ms, void (*fn)(void *ctx), void *ctx)
{
	struct gr_timer *t = gr_timer_new(l, fn, ctx);

	t->repeat_ns = repeat_ms * GR_NS_PER_MS;
	t->e = cs_in(l->s, first_ms * GR_NS_PER_MS, CS_COORD, on_timer, t);
	return t;
}

void gr_timer_clear(struct gr_timer *t)
{
	if (t->e)
		t->e->fn = NULL;
	t->e = NULL;
}

void gr_timer_set(struct gr_timer *t, uint64_t ms)
{
	gr_timer_clear(t);
	t->e = cs_in(t->l->s, ms * GR_NS_PER_MS, CS_COORD, on_timer, t);
}

void gr_timer_stop(struct gr_timer **tp)
{
	struct gr_timer *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	gr_timer_clear(t);
	gr_list_del(&t->node);
	free(t);
}

/* ---- aside.h: the store's thread; between its work and the word of it anything may happen ---- */

struct gr_aside {
	struct cs *s;
	int (*work)(void *ctx);
	void (*done)(void *ctx);
	void *ctx;
	uint32_t again_ms;
	struct cs_event *works, *tells;
};

static void aside_work(void *ctx);

static void aside_soon(struct gr_aside *a, uint64_t ns)
{
	if (!a->works)
		a->works = cs_in(a->s, ns, CS_COORD, aside_work, a);
}

static void aside_tell(void *ctx)
{
	struct gr_aside *a = ctx;

	a->tells = NULL;
	a->done(a->ctx);
}

static void aside_work(void *ctx)
{
	struct gr_aside *a = ctx;
	int rc;

	a->works = NULL;
	rc = a->work(a->ctx);
	a->s->st.commits++;
	if (!a->tells)
		a->tells = cs_in(a->s, cs_around(a->s, 20 * GR_NS_PER_US), CS_COORD, aside_tell, a);
	if (rc > 0)
		aside_soon(a, cs_around(a->s, a->s->p.commit_ns));
	else if (rc < 0)
		aside_soon(a, a->again_ms * GR_NS_PER_MS);
}

struct gr_aside *gr_aside_new(struct gr_loop *l, uint32_t again_ms, int (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
	struct gr_aside *a;

	GR_NEW(a);
	*a = (struct gr_aside){ .s = l->s, .work = work, .done = done, .ctx = ctx, .again_ms = again_ms };
	return a;
}

void gr_aside_wake(struct gr_aside *a) { aside_soon(a, cs_around(a->s, a->s->p.commit_ns)); }

void gr_aside_close(struct gr_aside **ap)
{
	struct gr_aside *a = *ap;

	*ap = NULL;
	if (!a)
		return;
	while (!a->s->is_crashing && a->work(a->ctx) > 0)
		;
	if (a->works)
		a->works->fn = NULL;
	if (a->tells)
		a->tells->fn = NULL;
	free(a);
}
