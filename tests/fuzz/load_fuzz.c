/* load_fuzz.c - load tests: the first byte chooses the binary messages or the plan */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/load/plan.h"
#include "lib/stats/hdr.h"
#include "lib/wire/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool claim)
{
	if (!claim)
		abort();
}

static void same(struct gr_buf *frame, struct gr_slice body)
{
	struct gr_slice again;

	must(gr_frame_open(gr_buf_slice(frame), &again) > 0 && gr_slice_eq(again, body));
	gr_buf_fini(frame);
}

static void messages(struct gr_slice in)
{
	struct gr_buf f = { 0 };
	struct gr_load_series_msg s;
	struct gr_load_stats m;
	struct gr_load_share share;
	struct gr_load_clock clock;
	uint64_t a, b;
	uint32_t key;
	size_t at;

	if (gr_load_stats_decode(in, &m) == 0) {
		struct gr_rd r = gr_load_stats_read(&m);

		gr_load_stats_begin(&f, &m, &at);
		for (uint32_t i = 0; i < m.n_numbers; i++) {
			must(gr_load_stats_next_number(&r, &key, &a));
			gr_load_stats_number(&f, key, a);
		}
		for (uint32_t i = 0; i < m.n_series; i++) {
			struct gr_hdr h = { 0 };

			must(gr_load_stats_next_series(&r, &s));
			gr_load_stats_series(&f, &s);
			if (gr_hdr_decode(s.hdr, &h) == 0 && gr_hdr_set_exact(&h, s.min, s.max, s.sum) == 0)
				must(h.min <= h.max);
			gr_hdr_fini(&h);
		}
		gr_frame_end(&f, at);
		same(&f, in);
	}
	if (gr_load_share_decode(in, &share) == 0) {
		gr_load_share_encode(&f, &share);
		same(&f, in);
	}
	if (gr_load_clock_decode(in, &clock) == 0) {
		gr_load_clock_encode(&f, &clock);
		same(&f, in);
	}
	if (gr_load_start_decode(in, &a, &b) == 0) {
		gr_load_start_encode(&f, a, b);
		same(&f, in);
	}
}

static void plan(struct gr_slice in)
{
	struct gr_load_plan *p = NULL;
	struct gr_err err = { 0 };
	struct gr_buf out = { 0 };
	uint32_t at = 0;

	if (gr_load_plan_parse((const char *)in.p, in.n, &p, &err) < 0) {
		must(!p && err.text[0]);
		return;
	}
	for (uint64_t k = 0; k < 64 && k < gr_load_n_arrivals(&p->sched); k++) {
		const struct gr_load_scenario *s = gr_load_pick(p, k);
		struct gr_load_ctx c = { 0 };

		must(gr_load_when(&p->sched, &at, k) <= (uint64_t)(p->sched.len_s * 1e9) + 1);
		gr_load_ctx_init(&c, p, k);
		for (uint32_t i = 0; i < s->n_requests; i++) {
			gr_load_render(&s->requests[i].path, &c, &out);
			gr_load_render(&s->requests[i].body, &c, &out);
		}
		gr_buf_clear(&out);
	}
	gr_buf_fini(&out);
	gr_load_plan_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > 0 && (data[0] & 1))
		plan(gr_slice(data + 1, n - 1));
	else if (n > 0)
		messages(gr_slice(data + 1, n - 1));
	return 0;
}
