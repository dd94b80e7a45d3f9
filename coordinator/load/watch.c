/* watch.c - tests while they run: points for the live page, families for Prometheus */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "coordinator/load/load.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"

void gr_point_add(struct gr_run *r, const struct gr_interval *v)
{
	struct gr_hdr h = { 0 };
	struct gr_point *p;

	if (r->n_points == GR_LOAD_MAX_POINTS) {
		memmove(r->points, r->points + 1, (GR_LOAD_MAX_POINTS - 1) * sizeof(*r->points));
		r->n_points--;
	}
	p = &r->points[r->n_points++];
	gr_tally_latency(&v->t, -1, &h);
	*p = (struct gr_point){
		.t_s = (double)v->i * (double)r->plan->interval_ns / 1e9, .due = v->t.n[GR_LOAD_N_DUE], .answers = h.total, .errors = gr_tally_errors(&v->t),
		.in_flight = v->t.gauges[GR_LOAD_G_IN_FLIGHT], .open = v->t.gauges[GR_LOAD_G_OPEN], .p50_ns = gr_hdr_quantile(&h, .5),
		.p99_ns = gr_hdr_quantile(&h, .99), .max_ns = h.max,
	};
	gr_hdr_fini(&h);
}

/* Of an interval without an answer there is none. */
static json_t *ms_json(const struct gr_point *p, uint64_t ns) { return p->answers ? json_real((double)ns / 1e6) : json_null(); }

static json_t *points_json(const struct gr_run *r)
{
	double s = (double)r->plan->interval_ns / 1e9;
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->n_points; i++) {
		const struct gr_point *p = &r->points[i];

		json_array_append_new(list, json_pack("{s:f, s:f, s:f, s:I, s:I, s:I, s:o, s:o, s:o}", "t_s", p->t_s, "due_per_s", (double)p->due / s,
						      "rate_per_s", (double)p->answers / s, "errors", (json_int_t)p->errors, "in_flight",
						      (json_int_t)p->in_flight, "open", (json_int_t)p->open, "p50_ms", ms_json(p, p->p50_ns), "p99_ms",
						      ms_json(p, p->p99_ns), "max_ms", ms_json(p, p->max_ns)));
	}
	return list;
}

json_t *gr_load_live_json(const struct gr_coord *c)
{
	json_t *list = json_array();

	if (!c->load)
		return json_pack("{s:o}", "runs", list);
	GR_LIST_EACH(r, &c->load->runs, struct gr_run, link) {
		uint64_t now = r->ended_ns ? r->ended_ns : gr_coord_now(c);
		json_t *kinds = json_object(), *burns = json_array();
		char id[17];

		for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++) {
			uint64_t n = 0;

			for (uint32_t i = 0; i < r->total.n_requests; i++)
				n += r->total.fails[i * 32 + f];
			if (n)
				json_object_set_new(kinds, gr_load_fail_name(f), json_integer((json_int_t)n));
		}
		if (gr_tally_errors(&r->total) > gr_tally_failed(&r->total, -1))
			json_object_set_new(kinds, "status_5xx", json_integer((json_int_t)(gr_tally_errors(&r->total) - gr_tally_failed(&r->total, -1))));
		for (uint32_t i = 0; i < r->plan->n_burns; i++)
			json_array_append_new(burns, json_pack("{s:f, s:f}", "at_s", (double)r->plan->burns[i].at_ns / 1e9, "for_s",
							       (double)r->plan->burns[i].len_ns / 1e9));
		snprintf(id, sizeof(id), "%016" PRIx64, r->id);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:i, s:I, s:o, s:o, s:o}", "run", id, "name", r->plan->name,
						      "target", r->plan->origins[0].authority, "state", gr_run_state_names[r->state], "verdict",
						      gr_load_verdict_name(r->verdict), "why", r->why, "elapsed_s",
						      r->start_ns && now > r->start_ns ? (double)(now - r->start_ns) / 1e9 : 0.0, "len_s",
						      r->plan->sched.len_s, "interval_s", (double)r->plan->interval_ns / 1e9, "workers", (int)r->n_wanted,
						      "errors", (json_int_t)gr_tally_errors(&r->total), "errors_by_kind", kinds, "burns", burns, "points", points_json(r)));
	}
	return json_pack("{s:o}", "runs", list);
}

/* ---- Prometheus ---- */

/* One sample a running or just ended test; label: its id, which is hex. What there is no value of is NaN, as Prometheus has it. */
static void family(const struct gr_coord *c, struct gr_buf *b, const char *name, const char *type, const char *help,
		   double (*value)(const struct gr_run *r))
{
	gr_metrics_head(b, name, type, help);
	GR_LIST_EACH(r, &c->load->runs, struct gr_run, link) {
		double v = value(r);

		gr_buf_printf(b, "griddle_%s{test=\"%016" PRIx64 "\"} ", name, r->id);
		if (isnan(v))
			gr_buf_add_str(b, "NaN\n");
		else
			gr_buf_printf(b, "%.15g\n", v);
	}
}

static const struct gr_point *last(const struct gr_run *r)
{
	static const struct gr_point none;

	return r->n_points ? &r->points[r->n_points - 1] : &none;
}
static double answers(const struct gr_run *r)
{
	struct gr_hdr h = { 0 };
	double n;

	gr_tally_latency(&r->total, -1, &h);
	n = (double)h.total;
	gr_hdr_fini(&h);
	return n;
}
static double errors(const struct gr_run *r) { return (double)gr_tally_errors(&r->total); }
static double due(const struct gr_run *r) { return (double)r->total.n[GR_LOAD_N_DUE]; }
static double late(const struct gr_run *r) { return (double)r->total.n[GR_LOAD_N_LATE]; }
static double in_flight(const struct gr_run *r) { return (double)last(r)->in_flight; }
static double open_now(const struct gr_run *r) { return (double)last(r)->open; }
static double seconds(const struct gr_run *r, uint64_t ns) { return last(r)->answers ? (double)ns / 1e9 : NAN; }
static double p50(const struct gr_run *r) { return seconds(r, last(r)->p50_ns); }
static double p99(const struct gr_run *r) { return seconds(r, last(r)->p99_ns); }
static double most(const struct gr_run *r) { return seconds(r, last(r)->max_ns); }

void gr_load_metrics(const struct gr_coord *c, struct gr_buf *b)
{
	if (!c->load)
		return;
	family(c, b, "load_arrivals_total", "counter", "Arrivals of the plan that came due.", due);
	family(c, b, "load_answers_total", "counter", "Requests answered.", answers);
	family(c, b, "load_errors_total", "counter", "Requests without an answer, and answers of class 5xx.", errors);
	family(c, b, "load_late_total", "counter", "Requests that left late by the generators' own fault.", late);
	family(c, b, "load_in_flight", "gauge", "Requests under way at the end of the last interval.", in_flight);
	family(c, b, "load_connections", "gauge", "Connections open at the end of the last interval.", open_now);
	family(c, b, "load_latency_p50_seconds", "gauge", "Median latency of the last interval; NaN without an answer.", p50);
	family(c, b, "load_latency_p99_seconds", "gauge", "99th percentile of the last interval's latencies; NaN without an answer.", p99);
	family(c, b, "load_latency_max_seconds", "gauge", "Longest latency of the last interval; NaN without an answer.", most);
}
