/* verdict.c - what came of a test. One verdict: that the generators could not keep up stands above a kept or broken
 * threshold, since nothing that was measured then means what it says. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/load/load.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"

#define BEHIND_SHARE .01                         /* so many late sends, and the plan was not what was run */

const char *gr_load_verdict_name(enum gr_load_verdict v)
{
	static const char *const names[] = { "none", "passed", "threshold", "behind", "stopped", "lost", "error" };

	return v < GR_LEN(names) ? names[v] : "?";
}

static double elapsed_s(const struct gr_run *r)
{
	uint64_t now = r->ended_ns ? r->ended_ns : gr_coord_now(r->c);
	double s = r->start_ns && now > r->start_ns ? (double)(now - r->start_ns) / 1e9 : 0;

	return s > r->plan->sched.len_s ? r->plan->sched.len_s : s;
}

/* What the total is about: whole intervals while it runs, so that the rate is not that of a second of which half was told. */
static double counted_s(const struct gr_run *r)
{
	double s = (double)r->i_next * (double)r->plan->interval_ns / 1e9, now = elapsed_s(r);

	return r->state == GR_RUN_RUNNING && s < now ? s : now;
}

static double share(uint64_t part, uint64_t whole) { return whole ? (double)part / (double)whole : 0; }
/* Of nothing at all no share holds: that none of no requests failed is no good news. */
static double share_of_some(uint64_t part, uint64_t whole) { return whole ? share(part, whole) : NAN; }

/* How many checks were made; also those of an answer that failed afterwards, since a value to capture was not in it. */
static uint64_t n_checks_made(const struct gr_run *r, int request)
{
	const struct gr_tally *t = &r->total;
	struct gr_hdr h = { 0 };
	uint64_t n;

	if (request < 0)
		return t->n[GR_LOAD_N_CHECKS];
	gr_tally_latency(t, request, &h);
	n = h.total + t->fails[request * 32 + GR_LOAD_F_CAPTURE] + t->fails[request * 32 + GR_LOAD_F_REGEX_LIMIT];
	gr_hdr_fini(&h);
	return n * r->plan->by_id[request]->n_checks;
}

/* A fold of the tally that the subject is about. */
static void subject(const struct gr_run *r, const struct gr_load_threshold *t, struct gr_hdr *h)
{
	static const int wide[] = { [GR_LOAD_S_CONNECT] = GR_LOAD_H_CONNECT, [GR_LOAD_S_TLS] = GR_LOAD_H_TLS, [GR_LOAD_S_SEND] = GR_LOAD_H_SEND };

	switch (t->subject) {
	case GR_LOAD_S_ALL:
		gr_tally_latency(&r->total, -1, h);
		break;
	case GR_LOAD_S_REQUEST:
		gr_tally_latency(&r->total, (int)t->request, h);
		break;
	case GR_LOAD_S_FIRST_BYTE:
		gr_tally_series(&r->total, -1, GR_LOAD_R_FIRST_BYTE, h);
		break;
	default:
		gr_hdr_merge(h, &r->total.series[wide[t->subject]]);
	}
}

/* What failed by the target, or the way to it: not by the generators, and not because the test ended. */
static uint64_t unanswered(const struct gr_run *r, const struct gr_load_threshold *t)
{
	static const enum gr_load_fail own[] = { GR_LOAD_F_LOCAL, GR_LOAD_F_CANCELLED, GR_LOAD_F_LOST, GR_LOAD_F_REGEX_LIMIT };
	int request = t->subject == GR_LOAD_S_REQUEST ? (int)t->request : -1;
	uint64_t n = gr_tally_failed(&r->total, request);

	if (t->subject != GR_LOAD_S_ALL && t->subject != GR_LOAD_S_REQUEST)
		return 0;
	for (uint32_t i = 0; i < r->total.n_requests; i++)
		for (size_t k = 0; k < GR_LEN(own) && (request < 0 || (uint32_t)request == i); k++)
			n -= r->total.fails[i * 32 + own[k]];
	return n;
}

/* In what time so many of all were answered, those among them that never were: infinite when these begin there. */
static double quantile_of_all(const struct gr_hdr *h, uint64_t failed, double q)
{
	double all = (double)h->total + (double)failed, rank = ceil(q * all - 1e-6);     /* 0.999 of 1000 is 999 */

	if (q <= 0)
		return (double)h->min;
	if (rank > (double)h->total)
		return INFINITY;
	return (double)gr_hdr_quantile(h, failed ? (rank - .5) / (double)h->total : q);
}

double gr_threshold_value(const struct gr_run *r, const struct gr_load_threshold *t)
{
	int request = t->subject == GR_LOAD_S_REQUEST ? (int)t->request : -1;
	uint64_t failed = gr_tally_failed(&r->total, request), asked, bad;
	struct gr_hdr h = { 0 };
	double v = 0, s = counted_s(r);

	subject(r, t, &h);
	asked = h.total + failed;
	if (!h.total && (t->stat == GR_LOAD_Q || t->stat == GR_LOAD_MEAN))
		return NAN;                      /* of no answer: nothing holds of it */
	switch (t->stat) {
	case GR_LOAD_Q:
		v = quantile_of_all(&h, unanswered(r, t), t->q);
		break;
	case GR_LOAD_MEAN:
		v = gr_hdr_mean(&h);
		break;
	case GR_LOAD_COUNT:
		v = (double)h.total;
		break;
	case GR_LOAD_RATE:
		v = s > 0 ? (double)h.total / s : 0;
		break;
	case GR_LOAD_ERRORS:
	case GR_LOAD_ERROR_SHARE:
		/* what the server itself calls its failure is one */
		for (uint32_t i = 0; i < r->total.n_requests; i++)
			if (request < 0 || (uint32_t)request == i)
				failed += r->total.series[GR_LOAD_SERIES(i, GR_LOAD_R_5XX)].total;
		v = !asked ? NAN : t->stat == GR_LOAD_ERRORS ? (double)failed : share(failed, asked);
		break;
	case GR_LOAD_CHECKS:
	case GR_LOAD_CHECK_SHARE:
		bad = 0;
		for (uint32_t i = 0; i < r->total.n_requests; i++)
			for (uint32_t k = 0; k < 16 && (request < 0 || (uint32_t)request == i); k++)
				bad += r->total.checks[i * 16 + k];
		v = share_of_some(bad, n_checks_made(r, request));
		if (t->stat == GR_LOAD_CHECKS && !isnan(v))
			v = (double)bad;
		break;
	case GR_LOAD_LATE_SHARE:
		v = share_of_some(r->total.n[GR_LOAD_N_LATE], r->total.n[GR_LOAD_N_STARTED]);
		break;
	}
	gr_hdr_fini(&h);
	return v;
}

void gr_load_watch(struct gr_run *r)
{
	double s = elapsed_s(r);

	for (uint32_t i = 0; i < r->plan->n_thresholds && !r->is_stopping && r->state == GR_RUN_RUNNING; i++) {
		const struct gr_load_threshold *t = &r->plan->thresholds[i];
		double v = gr_threshold_value(r, t);

		if (!t->is_abort || s * 1e9 < (double)t->after_ns || isnan(v) || gr_load_holds(t, v))
			continue;
		r->broken = t;
		gr_run_stop(r, GR_LOAD_V_THRESHOLD, "%s does not hold after %.1f s", t->text, s);
	}
}

static json_t *members_json(const struct gr_run *r)
{
	static const char *const states[] = { "asked", "ready", "running", "ended", "lost" };
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->n_members; i++) {
		const struct gr_member *m = &r->members[i];
		json_t *o = json_pack("{s:s, s:s, s:s, s:b, s:f, s:f, s:I, s:I, s:o}", "worker", m->name, "node", m->node, "state", states[m->state],
				      "traffic", m->is_traffic, "clock_offset_us", (double)m->offset_ns / 1e3, "clock_error_us",
				      (double)m->rtt_ns / 2e3, "due", (json_int_t)m->due, "answered", (json_int_t)m->requests, "latency",
				      gr_hdr_json(&m->latency));

		if (m->first_ns)
			json_object_set_new(o, "first_ms", json_real((double)((int64_t)m->first_ns - m->offset_ns - (int64_t)r->start_ns) / 1e6));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *thresholds_json(struct gr_run *r, const char **broken)
{
	json_t *list = json_array(), *o;

	for (uint32_t i = 0; i < r->plan->n_thresholds; i++) {
		const struct gr_load_threshold *t = &r->plan->thresholds[i];
		double v = gr_threshold_value(r, t);
		bool is_ok = r->start_ns && gr_load_holds(t, v) && t != r->broken;      /* that ended it, whatever came after */
		bool is_time = t->stat == GR_LOAD_Q || t->stat == GR_LOAD_MEAN;

		if (!is_ok && !*broken)
			*broken = t->text;
		o = json_pack("{s:s, s:o, s:s, s:b}", "is", t->text, "value", !isfinite(v) ? json_null() : json_real(is_time ? v / 1e6 : v), "unit",
						      is_time ? "ms" : t->stat == GR_LOAD_RATE ? "/s" : t->stat == GR_LOAD_ERROR_SHARE ||
						      t->stat == GR_LOAD_CHECK_SHARE || t->stat == GR_LOAD_LATE_SHARE ? "share" : "", "holds", is_ok);
		if (isinf(v))
			json_object_set_new(o, "failed", json_integer((json_int_t)unanswered(r, t)));
		json_array_append_new(list, o);
	}
	return list;
}

static bool speaks_of(const struct gr_load_plan *p, enum gr_load_stat a, enum gr_load_stat b)
{
	for (uint32_t i = 0; i < p->n_thresholds; i++)
		if (p->thresholds[i].stat == a || p->thresholds[i].stat == b)
			return true;
	return false;
}

/* Nothing at all went well, and no threshold speaks of that: nobody said that this might be. A service that answers
 * nothing but 503 does so fast: no latency tells. */
static bool is_all_bad(const struct gr_run *r, uint64_t started, char *why, size_t n_why)
{
	bool has_errors = speaks_of(r->plan, GR_LOAD_ERRORS, GR_LOAD_ERROR_SHARE);
	uint64_t made = n_checks_made(r, -1);

	if (gr_tally_failed(&r->total, -1) == started && !has_errors && !speaks_of(r->plan, GR_LOAD_COUNT, GR_LOAD_RATE))
		snprintf(why, n_why, "none of %llu requests was answered", (unsigned long long)started);
	else if (gr_tally_errors(&r->total) == started && gr_tally_failed(&r->total, -1) < started && !has_errors)
		snprintf(why, n_why, "none of %llu requests was answered but with a status of class 5xx", (unsigned long long)started);
	else if (made && r->total.n[GR_LOAD_N_CHECKS_FAILED] == made && !speaks_of(r->plan, GR_LOAD_CHECKS, GR_LOAD_CHECK_SHARE))
		snprintf(why, n_why, "none of %llu checks held", (unsigned long long)made);
	else
		return false;
	return true;
}

json_t *gr_load_end_line(struct gr_run *r)
{
	uint64_t late = r->total.n[GR_LOAD_N_LATE] + r->total.n[GR_LOAD_N_DROPPED], started = r->total.n[GR_LOAD_N_STARTED];
	const char *broken = NULL;
	json_t *thresholds = thresholds_json(r, &broken), *o;

	if (r->verdict == GR_LOAD_V_NONE) {
		r->verdict = broken ? GR_LOAD_V_THRESHOLD : GR_LOAD_V_PASSED;
		if (broken)
			snprintf(r->why, sizeof(r->why), "%s does not hold", broken);
		if (share(late, started) > BEHIND_SHARE) {
			r->verdict = GR_LOAD_V_BEHIND;
			snprintf(r->why, sizeof(r->why), "the generators could not keep up: %llu of %llu requests left more than %.1f ms late",
				 (unsigned long long)late, (unsigned long long)started, (double)r->plan->late_ns / 1e6);
		}
		/* the neighbours were to burn: without that it was another test */
		if (r->burn[0]) {
			r->verdict = GR_LOAD_V_ERROR;
			snprintf(r->why, sizeof(r->why), "%s", r->burn);
		}
		if (started && !broken && is_all_bad(r, started, r->why, sizeof(r->why)))
			r->verdict = GR_LOAD_V_ERROR;
		if (!started) {
			r->verdict = GR_LOAD_V_ERROR;
			snprintf(r->why, sizeof(r->why), "no request left");
		}
	}
	o = gr_tally_json(&r->total, r->plan);
	json_object_set_new(o, "type", json_string("end"));
	json_object_set_new(o, "verdict", json_string(gr_load_verdict_name(r->verdict)));
	json_object_set_new(o, "why", json_string(r->why));
	json_object_set_new(o, "started_ms", json_integer((json_int_t)r->started_ms));
	json_object_set_new(o, "elapsed_s", json_real(elapsed_s(r)));
	json_object_set_new(o, "skew_ms", json_real(gr_members_skew_ms(r)));
	json_object_set_new(o, "thresholds", thresholds);
	json_object_set_new(o, "members", members_json(r));
	return o;
}

json_t *gr_load_summary_line(const struct gr_run *r)
{
	struct gr_hdr h = { 0 };
	double s = elapsed_s(r);
	json_t *o;

	gr_tally_latency(&r->total, -1, &h);
	o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:o, s:o, s:o, s:f}", "type", "summary", "verdict", gr_load_verdict_name(r->verdict), "why", r->why,
		      "answered", (json_int_t)h.total, "failed", (json_int_t)gr_tally_failed(&r->total, -1), "errors", (json_int_t)gr_tally_errors(&r->total), "rate_per_s",
		      s > 0 ? (double)h.total / s : 0.0, "p50_ms", gr_hdr_ms_json(&h, .5), "p99_ms", gr_hdr_ms_json(&h, .99), "max_ms",
		      gr_hdr_ms_json(&h, 1), "elapsed_s", s);
	gr_hdr_fini(&h);
	return o;
}
