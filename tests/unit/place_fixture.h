/* place_fixture.h - a placement with a made-up clock, whose decision log is replayed behind every test */
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
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/place/place.h"
#include "lib/place/place_check.h"
#include "lib/place/replay.h"

#define ALL_ACTS (1u << GR_PLACE_COPY | 1u << GR_PLACE_RETRACT | 1u << GR_PLACE_PREEMPT | 1u << GR_PLACE_MOVE)

struct world {
	struct gr_place *p;
	uint64_t now;
	uint32_t owner;
	struct gr_place_decision d[GR_PLACE_MAX_GANG];
	struct gr_buf log_bytes;
	struct gr_place_log log;
};

static inline void keep_log(void *ctx, const void *bytes, size_t n) { gr_buf_add(ctx, bytes, n); }

static inline uint32_t owner(struct world *w, uint32_t tenant, uint8_t band, bool is_preemptible)
{
	struct gr_place_owner o = { .tag = 1, .tenant = tenant, .weight = 1, .band = band, .is_preemptible = is_preemptible };
	int rc = gr_place_owner_add(w->p, &o);

	assert_true(rc >= 0);
	return (uint32_t)rc;
}

static inline int set_up(void **state)
{
	struct world *w;
	struct gr_place_config cfg = { .seed = 42, .acts = ALL_ACTS };

	GR_NEW(w);
	w->log = (struct gr_place_log){ keep_log, &w->log_bytes };
	cfg.log = &w->log;
	w->p = gr_place_new(&cfg);
	w->now = GR_NS_PER_S;
	w->owner = owner(w, 0, 4, false);
	*state = w;
	return 0;
}

/* Whatever a test did: its log replays to the same decisions. */
static inline int tear_down(void **state)
{
	struct world *w = *state;
	struct gr_place_replay r;

	gr_place_free(&w->p);
	assert_int_equal(gr_place_replay((const uint8_t *)w->log_bytes.p, w->log_bytes.n, NULL, NULL, &r), 0);
	assert_true(r.is_same);
	assert_int_equal(r.n_bytes, w->log_bytes.n);
	gr_buf_fini(&w->log_bytes);
	free(w);
	return 0;
}

struct pod { uint64_t tag; uint32_t slots, prefetch, mem, zone; const char *node; uint32_t label; };
static inline uint32_t up(struct world *w, struct pod pod)
{
	struct gr_place_worker spec = { .tag = pod.tag, .slots = pod.slots, .prefetch = pod.prefetch, .zone = pod.zone,
					.labels = &pod.label, .n_labels = pod.label != 0 };
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "node-%u", (unsigned)pod.tag);
	spec.cap.v[GR_PLACE_CPU_MCPU] = pod.slots * 1000;
	spec.cap.v[GR_PLACE_MEM_MIB] = pod.mem ? pod.mem : 4096;
	spec.node = (uint32_t)gr_place_node(w->p, pod.node ? pod.node : name);
	rc = gr_place_worker_up(w->p, w->now, &spec);
	assert_true(rc >= 0);
	return (uint32_t)rc;
}

static inline uint32_t class_of(struct world *w, struct gr_place_class c)
{
	int rc;

	if (!c.need.v[GR_PLACE_CPU_MCPU])
		c.need.v[GR_PLACE_CPU_MCPU] = 1000;
	rc = gr_place_class(w->p, &c);
	assert_true(rc >= 0);
	return (uint32_t)rc;
}

static inline uint32_t plain(struct world *w)
{
	struct gr_place_class c;

	memset(&c, 0, sizeof(c));
	return class_of(w, c);
}

static inline int64_t put(struct world *w, struct gr_place_task t)
{
	int64_t h;

	if (!t.count)
		t.count = 1;
	h = gr_place_ready(w->p, w->now, &t);
	assert_true(h >= 0);
	return h;
}

static inline int next(struct world *w)
{
	int n = gr_place_next(w->p, w->now, w->d, GR_PLACE_MAX_GANG);
	char why[200] = "";

	if (!gr_place_check(w->p, why, sizeof(why)))
		fail_msg("%s", why);
	return n;
}

static inline void end(struct world *w, uint64_t placed, enum gr_place_how how, uint64_t cpu_us)
{
	struct gr_place_ended e = { .how = how, .cpu_us = cpu_us };

	assert_int_equal(gr_place_end(w->p, w->now, placed, &e), 0);
}
