/* result.c - lines into numbers; see result.h. The "end" line carries the totals once more: they replace those that were
 * added up from the intervals, since they also hold what came too late for its interval. */
#include "client/load/result.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

const char *gr_lresult_str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

double gr_lresult_num(const json_t *o, const char *key) { return json_number_value(json_object_get(o, key)); }

size_t gr_lresult_n_whole(const struct gr_lresult *r)
{
	double len = gr_lresult_num(r->run, "len_s");
	size_t n = r->n_intervals;

	while (n > 1 && r->intervals[n - 1].t_s >= len - 1e-9)
		n--;
	return n;
}

double gr_lresult_elapsed(const struct gr_lresult *r)
{
	const struct gr_linterval *last = r->n_intervals ? &r->intervals[r->n_intervals - 1] : NULL;
	double s = last ? last->t_s + last->len_s : 0, len = gr_lresult_num(r->run, "len_s");

	if (r->end)
		return gr_lresult_num(r->end, "elapsed_s");
	return len > 0 && s > len ? len : s;
}

const char *gr_lresult_measured(const json_t *threshold, char out[48])
{
	const char *unit = gr_lresult_str(threshold, "unit");
	bool is_share = !strcmp(unit, "share");

	if (!json_is_number(json_object_get(threshold, "value")))
		return json_object_get(threshold, "failed") ? "so many failed" : "nothing to judge";
	snprintf(out, 48, "%.4g%s%s", gr_lresult_num(threshold, "value") * (is_share ? 100 : 1), *unit && *unit != '/' ? " " : "", is_share ? "%" : unit);
	return out;
}

const char *gr_lresult_verdict(const struct gr_lresult *r) { return r->end ? gr_lresult_str(r->end, "verdict") : "running"; }

static void request_clear(struct gr_lrequest *q)
{
	gr_hdr_fini(&q->latency);
	gr_hdr_fini(&q->first_byte);
	gr_hdr_fini(&q->failed);
	for (size_t i = 0; i < GR_LEN(q->by_class); i++)
		gr_hdr_fini(&q->by_class[i]);
	memset(q->status, 0, sizeof(q->status));
	memset(q->fails, 0, sizeof(q->fails));
	q->n_failed = q->n_5xx = 0;
	json_object_clear(q->checks);
}

static void clear_totals(struct gr_lresult *r)
{
	for (uint32_t i = 0; i < r->n_requests; i++)
		request_clear(&r->requests[i]);
	gr_hdr_fini(&r->latency);
	gr_hdr_fini(&r->first_byte);
	gr_hdr_fini(&r->connect);
	gr_hdr_fini(&r->tls);
	gr_hdr_fini(&r->send);
	memset(r->n, 0, sizeof(r->n));
	memset(r->fails, 0, sizeof(r->fails));
	r->n_failed = r->n_5xx = 0;
}

void gr_lresult_fini(struct gr_lresult *r)
{
	clear_totals(r);
	for (uint32_t i = 0; i < r->n_requests; i++) {
		free(r->requests[i].name);
		json_decref(r->requests[i].checks);
	}
	for (size_t i = 0; i < r->n_intervals; i++)
		gr_hdr_fini(&r->intervals[i].latency);
	free(r->requests);
	free(r->intervals);
	gr_buf_fini(&r->rest);
	json_decref(r->run);
	json_decref(r->plan);
	json_decref(r->end);
	json_decref(r->summary);
	json_decref(r->events);
	*r = (struct gr_lresult){ 0 };
}

static struct gr_lrequest *request_of(struct gr_lresult *r, const char *name)
{
	for (uint32_t i = 0; i < r->n_requests; i++)
		if (!strcmp(r->requests[i].name, name))
			return &r->requests[i];
	r->requests = gr_xrealloc(r->requests, (r->n_requests + 1) * sizeof(*r->requests));
	memset(&r->requests[r->n_requests], 0, sizeof(*r->requests));
	r->requests[r->n_requests].name = gr_xstrdup(name);
	r->requests[r->n_requests].checks = json_object();
	return &r->requests[r->n_requests++];
}

/* [text, count, min, max, sum] */
static void add_hdr(struct gr_lresult *r, const json_t *a, struct gr_hdr *into)
{
	const char *text = json_string_value(json_array_get(a, 0));
	struct gr_hdr one = { 0 };

	if (!a)
		return;
	if (!text || gr_hdr_decode_text(text, &one) < 0 ||
	    gr_hdr_set_exact(&one, (uint64_t)json_integer_value(json_array_get(a, 2)), (uint64_t)json_integer_value(json_array_get(a, 3)),
			     json_number_value(json_array_get(a, 4))) < 0)
		r->is_damaged = true;
	else
		gr_hdr_merge(into, &one);
	gr_hdr_fini(&one);
}

static void add_request(struct gr_lresult *r, const char *name, const json_t *o, struct gr_linterval *v)
{
	const json_t *times = json_object_get(o, "times");
	struct gr_lrequest *q = request_of(r, name);
	struct gr_hdr all = { 0 };
	const char *key;
	json_t *n;

	for (uint32_t c = GR_LOAD_R_OTHER; c <= GR_LOAD_R_5XX; c++) {
		struct gr_hdr one = { 0 };

		add_hdr(r, json_object_get(times, gr_load_series_name(c)), &one);
		if (c == GR_LOAD_R_5XX) {
			q->n_5xx += one.total;
			r->n_5xx += one.total;
			if (v)
				v->n_5xx += one.total;
		}
		gr_hdr_merge(&q->by_class[c], &one);
		gr_hdr_merge(&all, &one);
		gr_hdr_fini(&one);
	}
	gr_hdr_merge(&q->latency, &all);
	gr_hdr_merge(&r->latency, &all);
	if (v)
		gr_hdr_merge(&v->latency, &all);
	gr_hdr_fini(&all);
	add_hdr(r, json_object_get(times, "failed"), &q->failed);
	add_hdr(r, json_object_get(times, "first_byte"), &q->first_byte);
	add_hdr(r, json_object_get(times, "first_byte"), &r->first_byte);
	json_object_foreach(json_object_get(o, "status"), key, n) {
		int code = atoi(key);

		if (code >= 100 && code < 600)
			q->status[code - 100] += (uint64_t)json_integer_value(n);
	}
	for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++) {
		uint64_t k = (uint64_t)json_integer_value(json_object_get(json_object_get(o, "fails"), gr_load_fail_name(f)));

		q->fails[f] += k;
		r->fails[f] += k;
		q->n_failed += k;
		r->n_failed += k;
		if (v)
			v->fails[f] += k;
	}
	json_object_foreach(json_object_get(o, "checks"), key, n)
		json_object_set_new(q->checks, key, json_integer(json_integer_value(json_object_get(q->checks, key)) + json_integer_value(n)));
}

static void add_tally(struct gr_lresult *r, const json_t *o, struct gr_linterval *v)
{
	const json_t *n = json_object_get(o, "n"), *times = json_object_get(o, "times");
	const char *name;
	json_t *q;

	for (uint32_t i = 0; i < GR_LOAD_N_COUNTERS; i++) {
		uint64_t k = (uint64_t)json_integer_value(json_object_get(n, gr_load_counter_name(i)));

		r->n[i] += k;
		if (v)
			v->n[i] = k;
	}
	for (uint32_t i = 0; v && i < GR_LOAD_N_GAUGES; i++)
		v->gauges[i] = (uint64_t)json_integer_value(json_object_get(n, gr_load_gauge_name(i)));
	add_hdr(r, json_object_get(times, "connect"), &r->connect);
	add_hdr(r, json_object_get(times, "tls"), &r->tls);
	add_hdr(r, json_object_get(times, "send"), &r->send);
	json_object_foreach(json_object_get(o, "requests"), name, q)
		add_request(r, name, q, v);
}

static void keep(json_t **at, json_t *o)
{
	json_decref(*at);
	*at = json_incref(o);
}

static void line(struct gr_lresult *r, const char *text, size_t n)
{
	json_t *o = json_loadb(text, n, 0, NULL);
	const char *type = gr_lresult_str(o, "type");

	if (!strcmp(type, "run")) {
		keep(&r->run, o);
	} else if (!strcmp(type, "plan")) {
		keep(&r->plan, json_object_get(o, "plan"));
	} else if (!strcmp(type, "interval")) {
		struct gr_linterval *v;

		GR_GROW(r->intervals, r->cap_intervals, r->n_intervals + 1);
		v = &r->intervals[r->n_intervals++];
		memset(v, 0, sizeof(*v));
		v->t_s = gr_lresult_num(o, "t_s");
		v->len_s = gr_lresult_num(o, "len_s");
		if (v->len_s <= 0)
			v->len_s = 1;
		add_tally(r, o, v);
	} else if (!strcmp(type, "end")) {
		keep(&r->end, o);
		clear_totals(r);
		add_tally(r, o, NULL);
	} else if (!strcmp(type, "summary")) {
		keep(&r->summary, o);
	} else if (!strcmp(type, "lost") || !strcmp(type, "note")) {
		if (!r->events)
			r->events = json_array();
		json_array_append(r->events, o);
	} else {
		r->is_damaged = true;
	}
	json_decref(o);
}

void gr_lresult_feed(struct gr_lresult *r, const char *text, size_t n)
{
	size_t at = 0;

	gr_buf_add(&r->rest, text, n);
	for (;;) {
		const uint8_t *p = r->rest.p + at, *lf = at < r->rest.n ? memchr(p, '\n', r->rest.n - at) : NULL;

		if (!lf)
			break;
		if (lf > p)
			line(r, (const char *)p, (size_t)(lf - p));
		at = (size_t)(lf + 1 - r->rest.p);
	}
	memmove(r->rest.p, r->rest.p + at, r->rest.n - at);
	r->rest.n -= at;
}
