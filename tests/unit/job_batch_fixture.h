/* job_batch_fixture.h - a job alone: what it asks for is counted, time and workers are the test's */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/job/batch.h"

#define SEED 20261125

struct world {
	struct gr_bjob j;
	struct gr_spec *spec;
	struct gr_trust trust;
	uint32_t n_ready[4096], n_stops, n_checks;
	uint64_t now_ns;
};

static inline void on_ready(void *ctx, uint32_t first, uint32_t count, struct gr_btask *t)
{
	struct world *w = ctx;

	for (uint32_t i = 0; i < count; i++)
		w->n_ready[first + i]++;
}

static inline void on_run(void *ctx, uint32_t first, uint32_t count)
{
}

static inline void on_ended(void *ctx, uint32_t first, uint32_t count, enum gr_bstate state)
{
}

static inline void on_stop(void *ctx, struct gr_btask *t, struct gr_blive *l, enum gr_bcause why)
{
	((struct world *)ctx)->n_stops++;
}

static inline void on_check(void *ctx, struct gr_btask *t)
{
	((struct world *)ctx)->n_checks++;
}

static const struct gr_bjob_ops ops = { on_ready, on_run, on_ended, on_check, on_stop };

static inline struct world *world_new(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	struct gr_err err = { 0 };
	struct world *w;

	GR_NEW(w);
	assert_non_null(json);
	if (gr_spec_parse(json, &w->spec, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	gr_trust_init(&w->trust, SEED);
	gr_bjob_init(&w->j, w->spec, &w->trust, &ops, w);
	gr_bjob_open(&w->j);
	return w;
}

static inline void world_free(struct world *w)
{
	gr_bjob_fini(&w->j);
	gr_trust_fini(&w->trust);
	gr_spec_free(&w->spec);
	free(w);
}

static inline enum gr_bstate state(const struct world *w, uint32_t task)
{
	return (enum gr_bstate)gr_states_get(&w->j.states, task);
}

static inline uint32_t begin(struct world *w, uint32_t task, uint64_t worker)
{
	return gr_bjob_begin(&w->j, task, worker, worker, 1, w, 1, w->now_ns)->number;
}

static inline enum gr_bverdict end(struct world *w, uint32_t task, uint32_t number, uint64_t worker, enum gr_bcause cause, int code, uint8_t digest)
{
	struct gr_bend e = { .cause = cause, .exit_code = code, .digest = { { digest } }, .toolchain = 1 };

	return gr_bjob_end(&w->j, task, number, worker, &e, w->now_ns).verdict;
}
