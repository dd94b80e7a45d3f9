/* batch_fixture.h - lives of a whole coordinator in one folder, on one loop, asked by its own functions; nobody is connected */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/batch_int.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define LIFE_LIMIT_S 60

struct life {
	struct gr_loop *loop;
	struct gr_coord c;               /* c.batch: it is open */
	struct gr_timer *tick;           /* so that a turn of the loop ends */
	char dir[64];
};

static inline void life_on_tick(void *ctx) { (void)ctx; }

static inline void life_on_damage(void *ctx, const char *text)
{
	(void)ctx;
	fail_msg("%s", text);
}

/* Told of a commit: @ctx is a bool. */
static inline void life_on_flag(void *ctx, int rc)
{
	assert_int_equal(rc, 0);
	*(bool *)ctx = true;
}

static inline uint64_t life_limit(const struct life *w) { return gr_loop_now_ns(w->loop) + LIFE_LIMIT_S * GR_NS_PER_S; }

static inline void life_turn(struct life *w, uint64_t limit)
{
	if (gr_loop_now_ns(w->loop) > limit)
		fail_msg("waited %d s", LIFE_LIMIT_S);
	uv_run(gr_loop_uv(w->loop), UV_RUN_ONCE);
}

static inline void life_until(struct life *w, const bool *flag)
{
	uint64_t limit = life_limit(w);

	while (!*flag)
		life_turn(w, limit);
}

/* The store alone, before a life or after it. */
static inline struct gr_store *life_store(struct life *w)
{
	static const struct gr_store_ops ops = { .on_damage = life_on_damage };
	struct gr_store *s;
	struct gr_err err;

	if (gr_store_open(w->loop, w->dir, &ops, w, &s, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static inline void life_commit(struct life *w, struct gr_store_tx **tx)
{
	bool is_told = false;

	gr_store_commit(tx, false, life_on_flag, &is_told);
	life_until(w, &is_told);
}

static inline void life_begin(struct life *w, uint32_t settle_ms)
{
	struct gr_err err = { 0 };

	w->c.cfg = (struct gr_coord_config){
		.listen = (char *)"tcp://127.0.0.1:0", .http = (char *)"off", .state = w->dir, .cache_bytes = 1 << 30, .job_bytes = 1 << 30,
		.heartbeat_ms = 1000, .dead_ms = 5000, .max_peers = 100, .credits = 16, .max_sessions = 4, .session_log_bytes = 1 << 20,
		.session_linger_ms = 60000, .result_bytes = 1 << 20, .settle_ms = settle_ms, .work_target_ms = 60000, .keep_jobs_ms = 604800000,
	};
	if (gr_coord_open(&w->c, w->loop, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void life_end(struct life *w)
{
	gr_coord_close(&w->c);
	gr_coord_fini(&w->c);
	memset(&w->c, 0, sizeof(w->c));
}

static inline void life_init(struct life *w, const char *name)
{
	gr_log_init("test", GR_LOG_ERROR);
	snprintf(w->dir, sizeof(w->dir), "/tmp/griddle-%s.XXXXXX", name);
	assert_non_null(mkdtemp(w->dir));
	w->loop = gr_loop_new(1);
	w->tick = gr_timer_start(w->loop, 5, 5, life_on_tick, w);
}

static inline void life_fini(struct life *w)
{
	if (w->c.batch)
		life_end(w);
	gr_timer_stop(&w->tick);
	gr_loop_free(&w->loop);
	(void)gr_rm_rf(w->dir);
}
