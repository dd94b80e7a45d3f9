/* merge.c - tallies: what the threads of all shards counted, added up exactly */
#include <stdlib.h>
#include <string.h>

#include "coordinator/load/load.h"
#include "lib/base/alloc.h"

void gr_tally_init(struct gr_tally *t, const struct gr_load_plan *p)
{
	size_t n = p->n_requests;

	*t = (struct gr_tally){ .n_requests = p->n_requests, .n_series = GR_LOAD_SERIES(p->n_requests, 0) };
	t->fails = gr_xalloc(n * 32 * sizeof(*t->fails));
	t->status = gr_xalloc(n * 512 * sizeof(*t->status));
	t->checks = gr_xalloc(n * 16 * sizeof(*t->checks));
	t->series = gr_xalloc(t->n_series * sizeof(*t->series));
}

void gr_tally_fini(struct gr_tally *t)
{
	for (uint32_t i = 0; i < t->n_series; i++)
		gr_hdr_fini(&t->series[i]);
	free(t->fails);
	free(t->status);
	free(t->checks);
	free(t->series);
	*t = (struct gr_tally){ 0 };
}

static int add_number(struct gr_tally *t, uint32_t key, uint64_t v)
{
	uint64_t *at = NULL;
	uint32_t n = t->n_requests;

	if (key < GR_LOAD_N_COUNTERS)
		at = &t->n[key];
	else if (key >= GR_LOAD_KEY_GAUGE(0) && key < GR_LOAD_KEY_GAUGE(GR_LOAD_N_GAUGES))
		at = &t->gauges[key - GR_LOAD_KEY_GAUGE(0)];
	else if (key >= GR_LOAD_KEY_FAIL(0, 0) && key < GR_LOAD_KEY_FAIL(n, 0))
		at = &t->fails[key - GR_LOAD_KEY_FAIL(0, 0)];
	else if (key >= GR_LOAD_KEY_STATUS(0, 100) && key < GR_LOAD_KEY_STATUS(n, 100))
		at = &t->status[key - GR_LOAD_KEY_STATUS(0, 100)];
	else if (key >= GR_LOAD_KEY_CHECK(0, 0) && key < GR_LOAD_KEY_CHECK(n, 0))
		at = &t->checks[key - GR_LOAD_KEY_CHECK(0, 0)];
	if (!at || v > INT64_MAX - *at)
		return GR_EPROTO;
	*at += v;
	return 0;
}

int gr_tally_add(struct gr_tally *t, const struct gr_load_stats *m)
{
	struct gr_rd r = gr_load_stats_read(m);
	struct gr_load_series_msg s;
	uint64_t v;
	uint32_t key;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < m->n_numbers && gr_load_stats_next_number(&r, &key, &v); i++)
		rc = add_number(t, key, v);
	for (uint32_t i = 0; rc == 0 && i < m->n_series && gr_load_stats_next_series(&r, &s); i++) {
		struct gr_hdr one = { 0 };

		if (s.key >= t->n_series)
			return GR_EPROTO;
		rc = gr_hdr_decode(s.hdr, &one);
		if (rc == 0)
			rc = gr_hdr_set_exact(&one, s.min, s.max, s.sum);
		if (rc == 0)
			gr_hdr_merge(&t->series[s.key], &one);
		gr_hdr_fini(&one);
	}
	return rc < 0 ? GR_EPROTO : 0;
}

void gr_tally_merge(struct gr_tally *into, const struct gr_tally *from)
{
	for (uint32_t i = 0; i < GR_LOAD_N_COUNTERS; i++)
		into->n[i] += from->n[i];
	memcpy(into->gauges, from->gauges, sizeof(into->gauges));
	for (uint32_t i = 0; i < into->n_requests * 32; i++)
		into->fails[i] += from->fails[i];
	for (uint32_t i = 0; i < into->n_requests * 512; i++)
		into->status[i] += from->status[i];
	for (uint32_t i = 0; i < into->n_requests * 16; i++)
		into->checks[i] += from->checks[i];
	for (uint32_t i = 0; i < into->n_series; i++)
		gr_hdr_merge(&into->series[i], &from->series[i]);
}

void gr_tally_latency(const struct gr_tally *t, int request, struct gr_hdr *out)
{
	for (enum gr_load_request_series r = GR_LOAD_R_OTHER; r <= GR_LOAD_R_5XX; r++)
		gr_tally_series(t, request, r, out);
}

void gr_tally_series(const struct gr_tally *t, int request, enum gr_load_request_series r, struct gr_hdr *out)
{
	for (uint32_t i = 0; i < t->n_requests; i++)
		if (request < 0 || (uint32_t)request == i)
			gr_hdr_merge(out, &t->series[GR_LOAD_SERIES(i, r)]);
}

uint64_t gr_tally_failed(const struct gr_tally *t, int request)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < t->n_requests; i++)
		for (uint32_t f = 0; f < 32 && (request < 0 || (uint32_t)request == i); f++)
			n += t->fails[i * 32 + f];
	return n;
}

uint64_t gr_tally_errors(const struct gr_tally *t)
{
	uint64_t n = gr_tally_failed(t, -1);

	for (uint32_t i = 0; i < t->n_requests; i++)
		n += t->series[GR_LOAD_SERIES(i, GR_LOAD_R_5XX)].total;
	return n;
}

/* ---- as JSON ---- */

/* [V2 text, count, min, max, sum] in ns: what the text cannot say exactly stands beside it. */
json_t *gr_hdr_json(const struct gr_hdr *h)
{
	struct gr_buf b = { 0 };
	json_t *o;

	gr_hdr_encode_text(h, &b);
	o = json_pack("[s, I, I, I, f]", gr_buf_str(&b), (json_int_t)h->total, (json_int_t)h->min, (json_int_t)h->max, h->sum);
	gr_buf_fini(&b);
	return o;
}

json_t *gr_hdr_ms_json(const struct gr_hdr *h, double q) { return h->total ? json_real((double)gr_hdr_quantile(h, q) / 1e6) : json_null(); }

static void set(json_t *o, const char *name, uint64_t v)
{
	if (v)
		json_object_set_new(o, name, json_integer((json_int_t)v));
}

static json_t *request_json(const struct gr_tally *t, const struct gr_load_plan *p, uint32_t i)
{
	json_t *o = json_object(), *status = json_object(), *fails = json_object(), *checks = json_object(), *times = json_object();
	char code[8];

	for (uint32_t s = 0; s < 500; s++) {
		snprintf(code, sizeof(code), "%u", s + 100);
		set(status, code, t->status[i * 512 + s]);
	}
	for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++)
		set(fails, gr_load_fail_name(f), t->fails[i * 32 + f]);
	for (uint32_t k = 0; k < p->by_id[i]->n_checks; k++)
		set(checks, p->by_id[i]->checks[k].label, t->checks[i * 16 + k]);
	for (uint32_t r = 0; r <= GR_LOAD_R_FAILED; r++)
		if (t->series[GR_LOAD_SERIES(i, r)].total)
			json_object_set_new(times, gr_load_series_name(r), gr_hdr_json(&t->series[GR_LOAD_SERIES(i, r)]));
	json_object_set_new(o, "status", status);
	json_object_set_new(o, "fails", fails);
	json_object_set_new(o, "checks", checks);
	json_object_set_new(o, "times", times);
	return o;
}

json_t *gr_tally_json(const struct gr_tally *t, const struct gr_load_plan *p)
{
	static const char *const wide[] = { "connect", "tls", "send" };
	json_t *o = json_object(), *n = json_object(), *times = json_object(), *requests = json_object();

	for (uint32_t i = 0; i < GR_LOAD_N_COUNTERS; i++)
		set(n, gr_load_counter_name(i), t->n[i]);
	for (uint32_t i = 0; i < GR_LOAD_N_GAUGES; i++)
		set(n, gr_load_gauge_name(i), t->gauges[i]);
	for (uint32_t i = 0; i < GR_LEN(wide); i++)
		if (t->series[i].total)
			json_object_set_new(times, wide[i], gr_hdr_json(&t->series[i]));
	for (uint32_t i = 0; i < t->n_requests; i++)
		json_object_set_new(requests, p->by_id[i]->name, request_json(t, p, i));
	json_object_set_new(o, "n", n);
	json_object_set_new(o, "times", times);
	json_object_set_new(o, "requests", requests);
	return o;
}
