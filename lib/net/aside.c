/* aside.c - see aside.h
 *
 * What wakes the thread is a flag under a lock, so that a wake during a piece of work is not lost: the piece may have
 * looked before the new one was there. */
#include "lib/net/aside.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/alloc.h"

struct gr_aside {
	int (*work)(void *ctx);
	void (*done)(void *ctx);
	void *ctx;
	uint32_t again_ms;
	uv_async_t async;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool is_due, is_ending;
};

/* Under the lock. The end of the program does not wait for it. */
static void wait_a_moment(struct gr_aside *a)
{
	struct timespec t;
	uint64_t until_ns = gr_clock_mono_ns() + a->again_ms * 1000000ull;

	t.tv_sec = (time_t)(until_ns / 1000000000);
	t.tv_nsec = (long)(until_ns % 1000000000);
	while (!a->is_ending && gr_clock_mono_ns() < until_ns)
		pthread_cond_timedwait(&a->wake, &a->lock, &t);
}

static void *run(void *arg)
{
	struct gr_aside *a = arg;
	int rc = 0;

	pthread_mutex_lock(&a->lock);
	for (;;) {
		while (!a->is_due && !a->is_ending)
			pthread_cond_wait(&a->wake, &a->lock);
		if (!a->is_due)
			break;
		a->is_due = false;
		pthread_mutex_unlock(&a->lock);
		while ((rc = a->work(a->ctx)) > 0)
			uv_async_send(&a->async);
		uv_async_send(&a->async);
		pthread_mutex_lock(&a->lock);
		if (rc >= 0)
			continue;
		if (a->is_ending)
			break;
		a->is_due = true;
		wait_a_moment(a);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static void on_async(uv_async_t *h)
{
	struct gr_aside *a = h->data;

	a->done(a->ctx);
}

static void on_closed(uv_handle_t *h) { free(h->data); }

struct gr_aside *gr_aside_new(struct gr_loop *l, uint32_t again_ms, int (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
	pthread_condattr_t attr;
	struct gr_aside *a;

	GR_NEW(a);
	a->work = work;
	a->done = done;
	a->ctx = ctx;
	a->again_ms = again_ms;
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->wake, &attr);
	pthread_condattr_destroy(&attr);
	uv_async_init(gr_loop_uv(l), &a->async, on_async);
	a->async.data = a;
	if (pthread_create(&a->thread, NULL, run, a)) {
		uv_close((uv_handle_t *)&a->async, on_closed);
		return NULL;
	}
	return a;
}

void gr_aside_wake(struct gr_aside *a)
{
	pthread_mutex_lock(&a->lock);
	a->is_due = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
}

void gr_aside_close(struct gr_aside **ap)
{
	struct gr_aside *a = *ap;

	*ap = NULL;
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->is_ending = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->wake);
	uv_close((uv_handle_t *)&a->async, on_closed);
}
