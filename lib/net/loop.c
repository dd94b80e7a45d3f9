/* loop.c - see loop.h
 *
 * One uv_loop_t, one ZeroMQ context and one clock a program. Signal handles do not keep the loop running; timers do.
 */
#include "lib/net/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <zmq.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/net/sock.h"

struct gr_loop {
	uv_loop_t uv;
	void *zmq;
	struct gr_rng rng;
	uint64_t serial;
	uint64_t now_ns, real_ms;         /* while the clocks stand, else 0 */
	struct gr_list timers;
	bool has_signals;
	uv_signal_t on_sigterm, on_sigint;
	void (*term_fn)(void *ctx, int signum);
	void *term_ctx;
};

struct gr_timer {
	uv_timer_t uv;
	struct gr_list node;
	void (*fn)(void *ctx);
	void *ctx;
};

struct gr_loop *gr_loop_new(uint64_t seed)
{
	struct gr_loop *l;

	GR_NEW(l);
	l->zmq = zmq_ctx_new();
	if (!l->zmq || uv_loop_init(&l->uv) < 0)
		abort();
	l->rng.s = seed;
	gr_list_init(&l->timers);
	return l;
}

static void close_timer(struct gr_timer *t);

void gr_loop_free(struct gr_loop **lp)
{
	struct gr_loop *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	while (!gr_list_is_empty(&l->timers))
		close_timer(GR_CONTAINER(l->timers.next, struct gr_timer, node));
	if (l->has_signals) {
		uv_close((uv_handle_t *)&l->on_sigterm, NULL);
		uv_close((uv_handle_t *)&l->on_sigint, NULL);
	}
	for (int i = 0; i < 16 && uv_run(&l->uv, UV_RUN_NOWAIT); i++)
		;
	if (uv_loop_close(&l->uv) < 0)
		gr_error("loop", "ended with handles still open");
	zmq_ctx_term(l->zmq);
	free(l);
}

uv_loop_t *gr_loop_uv(struct gr_loop *l) { return &l->uv; }
struct gr_rng *gr_loop_rng(struct gr_loop *l) { return &l->rng; }
void *gr_loop__zmq(struct gr_loop *l) { return l->zmq; }
uint64_t gr_loop__serial(struct gr_loop *l) { return ++l->serial; }

uint64_t gr_clock_mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * GR_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t gr_clock_thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * GR_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t gr_loop_now_ns(struct gr_loop *l) { return l->now_ns ? l->now_ns : gr_clock_mono_ns(); }

uint64_t gr_clock_real_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / GR_NS_PER_MS;
}

uint64_t gr_loop_real_ms(struct gr_loop *l) { return l->real_ms ? l->real_ms : gr_clock_real_ms(); }

void gr_loop_stand(struct gr_loop *l)
{
	l->now_ns = gr_clock_mono_ns();
	l->real_ms = gr_clock_real_ms();
}

void gr_loop_go_on(struct gr_loop *l) { l->now_ns = l->real_ms = 0; }

int gr_loop_run(struct gr_loop *l) { return uv_run(&l->uv, UV_RUN_DEFAULT) < 0 ? GR_EIO : 0; }
void gr_loop_stop(struct gr_loop *l) { uv_stop(&l->uv); }

/* ---- signals ---- */

static void on_signal(uv_signal_t *h, int signum)
{
	struct gr_loop *l = h->data;

	l->term_fn(l->term_ctx, signum);
}

void gr_loop_on_term(struct gr_loop *l, void (*fn)(void *ctx, int signum), void *ctx)
{
	l->term_fn = fn;
	l->term_ctx = ctx;
	if (l->has_signals)
		return;
	l->has_signals = true;
	uv_signal_init(&l->uv, &l->on_sigterm);
	uv_signal_init(&l->uv, &l->on_sigint);
	l->on_sigterm.data = l->on_sigint.data = l;
	uv_signal_start(&l->on_sigterm, on_signal, SIGTERM);
	uv_signal_start(&l->on_sigint, on_signal, SIGINT);
	uv_unref((uv_handle_t *)&l->on_sigterm);
	uv_unref((uv_handle_t *)&l->on_sigint);
}

/* ---- timers ---- */

static void on_timer_closed(uv_handle_t *h) { free(h->data); }

static void close_timer(struct gr_timer *t)
{
	gr_list_del(&t->node);
	uv_close((uv_handle_t *)&t->uv, on_timer_closed);
}

static void on_timer(uv_timer_t *h)
{
	struct gr_timer *t = h->data;

	t->fn(t->ctx);
}

struct gr_timer *gr_timer_new(struct gr_loop *l, void (*fn)(void *ctx), void *ctx)
{
	struct gr_timer *t;

	GR_NEW(t);
	t->fn = fn;
	t->ctx = ctx;
	uv_timer_init(&l->uv, &t->uv);
	t->uv.data = t;
	gr_list_push(&l->timers, &t->node);
	return t;
}

struct gr_timer *gr_timer_start(struct gr_loop *l, uint64_t first_ms, uint64_t repeat_ms, void (*fn)(void *ctx), void *ctx)
{
	struct gr_timer *t = gr_timer_new(l, fn, ctx);

	uv_update_time(&l->uv);
	uv_timer_start(&t->uv, on_timer, first_ms, repeat_ms);
	return t;
}

void gr_timer_set(struct gr_timer *t, uint64_t ms) { uv_timer_start(&t->uv, on_timer, ms, 0); }
void gr_timer_clear(struct gr_timer *t) { uv_timer_stop(&t->uv); }

void gr_timer_stop(struct gr_timer **tp)
{
	struct gr_timer *t = *tp;

	*tp = NULL;
	if (t)
		close_timer(t);
}
