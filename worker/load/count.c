/* count.c - what a generator counted in an interval, as one frame; then from zero again */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/net/loop.h"
#include "lib/wire/msg.h"
#include "worker/load/gen.h"

void gr_count_init(struct gr_gen *g)
{
	struct gr_count *c = &g->c;
	uint32_t n = g->plan->n_requests;

	c->status = gr_xalloc((size_t)n * 512 * sizeof(*c->status));
	c->fails = gr_xalloc((size_t)n * 32 * sizeof(*c->fails));
	c->checks = gr_xalloc((size_t)n * 16 * sizeof(*c->checks));
	c->n_series = GR_LOAD_SERIES(n, 0);
	c->series = gr_xalloc(c->n_series * sizeof(*c->series));
}

void gr_count_fini(struct gr_gen *g)
{
	struct gr_count *c = &g->c;

	for (uint32_t i = 0; i < c->n_series; i++)
		gr_hdr_fini(&c->series[i]);
	free(c->series);
	free(c->status);
	free(c->fails);
	free(c->checks);
	*c = (struct gr_count){ 0 };
}

/* Each number that is not zero, in rising order of key; counts them, or writes them when @b. */
static uint32_t numbers(struct gr_gen *g, const uint64_t *gauges, struct gr_buf *b)
{
	struct gr_count *c = &g->c;
	uint32_t n = 0;

	for (uint32_t i = 0; i < GR_LOAD_N_COUNTERS; i++)
		if (c->n[i] && ++n && b)
			gr_load_stats_number(b, GR_LOAD_KEY_COUNTER(i), c->n[i]);
	for (uint32_t i = 0; i < GR_LOAD_N_GAUGES; i++)
		if (gauges[i] && ++n && b)
			gr_load_stats_number(b, GR_LOAD_KEY_GAUGE(i), gauges[i]);
	for (uint32_t i = 0; i < g->plan->n_requests * 32; i++)
		if (c->fails[i] && ++n && b)
			gr_load_stats_number(b, GR_LOAD_KEY_FAIL(0, 0) + i, c->fails[i]);
	for (uint32_t i = 0; i < g->plan->n_requests * 512; i++)
		if (c->status[i] && ++n && b)
			gr_load_stats_number(b, GR_LOAD_KEY_STATUS(0, 100) + i, c->status[i]);
	for (uint32_t i = 0; i < g->plan->n_requests * 16; i++)
		if (c->checks[i] && ++n && b)
			gr_load_stats_number(b, GR_LOAD_KEY_CHECK(0, 0) + i, c->checks[i]);
	return n;
}

void gr_count_report(struct gr_gen *g, bool is_last)
{
	struct gr_load_stats m = { .part = (uint16_t)g->part, .n_parts = (uint16_t)g->n_parts, .interval = g->interval, .is_last = is_last,
				   .first_ns = g->first_ns };
	uint64_t cpu = gr_clock_thread_cpu_ns(), gauges[GR_LOAD_N_GAUGES] = { g->n_conns, g->n_in_flight, g->n_users };
	struct gr_count *c = &g->c;
	struct gr_buf b = { 0 }, hdr = { 0 };
	size_t at;

	m.run = gr_shard__run(g, &m.shard);
	c->n[GR_LOAD_CPU_US] = cpu / 1000 - g->cpu_ns / 1000;
	g->cpu_ns = cpu;
	m.n_numbers = numbers(g, gauges, NULL);
	for (uint32_t i = 0; i < c->n_series; i++)
		m.n_series += c->series[i].total > 0;
	gr_load_stats_begin(&b, &m, &at);
	numbers(g, gauges, &b);
	for (uint32_t i = 0; i < c->n_series; i++) {
		struct gr_hdr *h = &c->series[i];
		struct gr_load_series_msg s = { .key = i, .min = h->min, .max = h->max, .sum = h->sum };

		if (!h->total)
			continue;
		gr_buf_clear(&hdr);
		gr_hdr_encode(h, &hdr);
		s.hdr = gr_buf_slice(&hdr);
		gr_load_stats_series(&b, &s);
		gr_hdr_clear(h);
	}
	gr_frame_end(&b, at);
	gr_buf_fini(&hdr);
	memset(c->n, 0, sizeof(c->n));
	memset(c->status, 0, (size_t)g->plan->n_requests * 512 * sizeof(*c->status));
	memset(c->fails, 0, (size_t)g->plan->n_requests * 32 * sizeof(*c->fails));
	memset(c->checks, 0, (size_t)g->plan->n_requests * 16 * sizeof(*c->checks));
	gr_shard__report(g, &b);
	g->interval++;
}
