/* show.c - a load test for people, for programs, for spreadsheets and for CI */
#include <inttypes.h>
#include <string.h>

#include "client/load/result.h"
#include "client/view/table.h"
#include "lib/base/alloc.h"

static double ms(uint64_t ns) { return (double)ns / 1e6; }
static double q_ms(const struct gr_hdr *h, double q) { return ms(gr_hdr_quantile(h, q)); }
/* Null when nothing was answered: 0 ms would pass whatever looks for a small number. */
static json_t *q_json(const struct gr_hdr *h, double q) { return h->total ? json_real(q > 0 ? q_ms(h, q) : ms(h->min)) : json_null(); }
static double per(uint64_t n, double s) { return s > 0 ? (double)n / s : 0; }
static double share(uint64_t part, uint64_t whole) { return whole ? (double)part / (double)whole : 0; }

/* Few digits, and never fewer than three that mean something. */
static const char *fmt_ms(double v, char out[24])
{
	snprintf(out, 24, v >= 1000 ? "%.0f" : v >= 100 ? "%.1f" : v >= 10 ? "%.2f" : "%.3f", v);
	return out;
}

void gr_lshow_line(const struct gr_lresult *r, char *out, size_t n)
{
	const struct gr_linterval *v, *last;
	uint64_t errors = 0;
	char a[24] = "-", b[24] = "-", c[24] = "-";

	if (!r->n_intervals) {
		snprintf(out, n, "preparing");
		return;
	}
	/* While what is under way is waited for, nothing is sent: the rate is that of before, what fails now is told. */
	last = &r->intervals[r->n_intervals - 1];
	v = &r->intervals[gr_lresult_n_whole(r) - 1];
	for (const struct gr_linterval *i = v; i <= last; i++) {
		errors += i->n_5xx;
		for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++)
			errors += i->fails[f];
	}
	if (v->latency.total) {
		fmt_ms(q_ms(&v->latency, .5), a);
		fmt_ms(q_ms(&v->latency, .99), b);
		fmt_ms(ms(v->latency.max), c);
	}
	snprintf(out, n, "%5.0f s  %9.1f/s  p50 %s  p99 %s  max %s ms  %" PRIu64 " in flight  %" PRIu64 " errors%s", last->t_s + last->len_s,
		 per(v->latency.total, v->len_s), a, b, c,
		 last->gauges[GR_LOAD_G_IN_FLIGHT], errors,
		 share(v->n[GR_LOAD_N_LATE], v->n[GR_LOAD_N_STARTED]) > .01 ? "  (the generators are late)" : "");
}

/* ---- the table ---- */

static void row(struct gr_table *t, const char *name, const struct gr_hdr *h, double s, uint64_t errors)
{
	static const double qs[] = { .5, .9, .99, .999, 1 };
	char a[24];

	gr_table_cell(t, "%s", name);
	gr_table_cell(t, "%" PRIu64, h->total);
	gr_table_cell(t, "%.1f", per(h->total, s));
	for (size_t i = 0; i < GR_LEN(qs); i++)
		gr_table_cell(t, "%s", !h->total ? "-" : fmt_ms(qs[i] < 1 ? q_ms(h, qs[i]) : ms(h->max), a));
	gr_table_cell(t, "%" PRIu64, errors);
}

static void times_row(const char *name, const struct gr_hdr *h, FILE *out)
{
	char a[4][24];

	if (h->total)
		fprintf(out, "%-12s p50 %s  p99 %s  p99.9 %s  max %s ms\n", name, fmt_ms(q_ms(h, .5), a[0]), fmt_ms(q_ms(h, .99), a[1]),
			fmt_ms(q_ms(h, .999), a[2]), fmt_ms(ms(h->max), a[3]));
}

void gr_lshow_table(const struct gr_lresult *r, FILE *out)
{
	static const char *const heads[] = { "REQUEST", ">ANSWERS", ">PER S", ">P50 ms", ">P90", ">P99", ">P99.9", ">MAX", ">ERRORS", NULL };
	struct gr_table *t = gr_table_new(heads);
	double s = gr_lresult_elapsed(r);
	const json_t *list, *o;
	uint64_t n_status[500] = { 0 };
	const char *why = gr_lresult_str(r->end, "why"), *key;
	char measured[48];
	bool is_said;
	int n_answers = 0;               /* characters of their line */
	json_t *n;
	size_t i;

	for (uint32_t k = 0; k < r->n_requests; k++) {
		const struct gr_lrequest *q = &r->requests[k];

		row(t, q->name, &q->latency, s, q->n_failed + q->n_5xx);
		for (int c = 0; c < 500; c++)
			n_status[c] += q->status[c];
	}
	if (r->n_requests != 1)
		row(t, "all", &r->latency, s, r->n_failed + r->n_5xx);
	gr_table_print(t, out);
	gr_table_free(&t);
	fprintf(out, "\n");
	times_row("first byte", &r->first_byte, out);
	times_row("connect", &r->connect, out);
	times_row("tls", &r->tls, out);
	times_row("send late", &r->send, out);
	for (int c = 0; c < 500; c++)
		if (n_status[c])
			n_answers += fprintf(out, "%s %d: %" PRIu64, n_answers ? "" : "status      ", c + 100, n_status[c]);
	if (n_answers)
		fprintf(out, "\n");
	for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++)
		if (r->fails[f])
			fprintf(out, "%-12s %" PRIu64 " %s: %s\n", "errors", r->fails[f], gr_load_fail_name(f), gr_load_fail_text(f));
	for (uint32_t k = 0; k < r->n_requests; k++)
		json_object_foreach(r->requests[k].checks, key, n)
			fprintf(out, "%-12s %s: %s failed %" JSON_INTEGER_FORMAT " times\n", "checks", r->requests[k].name, key, json_integer_value(n));
	json_array_foreach(json_object_get(r->end, "thresholds"), i, o)
		fprintf(out, "%-12s %s %s (%s)\n", "threshold", json_is_true(json_object_get(o, "holds")) ? "holds:" : "BROKEN:", gr_lresult_str(o, "is"),
			gr_lresult_measured(o, measured));
	list = json_object_get(r->end, "members");
	fprintf(out, "%-12s %zu, %" PRIu64 " connections opened, %.2f s of generator CPU", "workers", json_array_size(list), r->n[GR_LOAD_N_OPENED],
		(double)r->n[GR_LOAD_CPU_US] / 1e6);
	if (json_array_size(list) > 1)
		fprintf(out, ", started within %.2f ms", gr_lresult_num(r->end, "skew_ms"));
	fprintf(out, "\n");
	json_array_foreach(r->events, i, o)
		fprintf(out, "%-12s worker %s: %s\n", gr_lresult_str(o, "type"), gr_lresult_str(o, "worker"),
			*gr_lresult_str(o, "why") ? gr_lresult_str(o, "why") : gr_lresult_str(o, "text"));
	is_said = !strncmp(why, gr_lresult_verdict(r), strlen(gr_lresult_verdict(r)));     /* "stopped by ann" */
	fprintf(out, "%-12s %s%s%s (test %s, %.1f s)\n", "verdict", is_said ? "" : gr_lresult_verdict(r), *why && !is_said ? ": " : "", why,
		gr_lresult_str(r->run, "run"), s);
}

/* ---- JSON ---- */

static json_t *times_json(const struct gr_hdr *h)
{
	struct gr_buf b = { 0 };
	json_t *o;

	gr_hdr_encode_text(h, &b);
	o = json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "count", (json_int_t)h->total, "min_ms", q_json(h, 0), "mean_ms",
		      h->total ? json_real(gr_hdr_mean(h) / 1e6) : json_null(), "p50_ms", q_json(h, .5), "p90_ms", q_json(h, .9), "p99_ms",
		      q_json(h, .99), "p99_9_ms", q_json(h, .999), "max_ms", q_json(h, 1), "histogram", gr_buf_str(&b));
	gr_buf_fini(&b);
	return o;
}

static json_t *fails_json(const uint64_t *fails, uint64_t n_5xx)
{
	json_t *o = json_object();

	for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++)
		if (fails[f])
			json_object_set_new(o, gr_load_fail_name(f), json_integer((json_int_t)fails[f]));
	if (n_5xx)
		json_object_set_new(o, "status_5xx", json_integer((json_int_t)n_5xx));
	return o;
}

static json_t *request_json(const struct gr_lrequest *q, double s)
{
	uint64_t errors = q->n_failed + q->n_5xx;
	json_t *status = json_object(), *classes = json_object();
	char code[8];

	for (int c = 0; c < 500; c++) {
		snprintf(code, sizeof(code), "%d", c + 100);
		if (q->status[c])
			json_object_set_new(status, code, json_integer((json_int_t)q->status[c]));
	}
	for (uint32_t c = GR_LOAD_R_OTHER; c <= GR_LOAD_R_5XX; c++)
		if (q->by_class[c].total)
			json_object_set_new(classes, gr_load_series_name(c), times_json(&q->by_class[c]));
	return json_pack("{s:s, s:o, s:f, s:I, s:f, s:o, s:o, s:o, s:o, s:O}", "name", q->name, "latency", times_json(&q->latency), "rate_per_s",
			 per(q->latency.total, s), "errors", (json_int_t)errors, "error_share", share(errors, q->latency.total + q->n_failed), "errors_by_kind",
			 fails_json(q->fails, q->n_5xx), "status", status, "latency_by_class", classes, "first_byte", times_json(&q->first_byte),
			 "checks_failed", q->checks);
}

static json_t *intervals_json(const struct gr_lresult *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_intervals; i++) {
		const struct gr_linterval *v = &r->intervals[i];

		json_array_append_new(list, json_pack("{s:f, s:f, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "t_s", v->t_s, "rate_per_s",
						      per(v->latency.total, v->len_s), "due", (json_int_t)v->n[GR_LOAD_N_DUE], "in_flight",
						      (json_int_t)v->gauges[GR_LOAD_G_IN_FLIGHT], "open", (json_int_t)v->gauges[GR_LOAD_G_OPEN], "p50_ms",
						      q_json(&v->latency, .5), "p90_ms", q_json(&v->latency, .9), "p99_ms", q_json(&v->latency, .99), "max_ms",
						      q_json(&v->latency, 1), "errors_by_kind", fails_json(v->fails, v->n_5xx)));
	}
	return list;
}

void gr_lshow_json(const struct gr_lresult *r, FILE *out)
{
	double s = gr_lresult_elapsed(r);
	uint64_t errors = r->n_failed + r->n_5xx;
	json_t *o = json_object(), *list = json_array(), *n = json_object();

	for (uint32_t i = 0; i < GR_LOAD_N_COUNTERS; i++)
		json_object_set_new(n, gr_load_counter_name(i), json_integer((json_int_t)r->n[i]));
	for (uint32_t i = 0; i < r->n_requests; i++)
		json_array_append_new(list, request_json(&r->requests[i], s));
	json_object_set_new(o, "run", json_string(gr_lresult_str(r->run, "run")));
	json_object_set_new(o, "name", json_string(gr_lresult_str(r->run, "name")));
	json_object_set_new(o, "target", json_string(gr_lresult_str(r->run, "target")));
	json_object_set_new(o, "verdict", json_string(gr_lresult_verdict(r)));
	json_object_set_new(o, "why", json_string(gr_lresult_str(r->end, "why")));
	json_object_set_new(o, "elapsed_s", json_real(s));
	json_object_set_new(o, "latency", times_json(&r->latency));
	json_object_set_new(o, "rate_per_s", json_real(per(r->latency.total, s)));
	json_object_set_new(o, "errors", json_integer((json_int_t)errors));
	json_object_set_new(o, "error_share", json_real(share(errors, r->latency.total + r->n_failed)));
	json_object_set_new(o, "errors_by_kind", fails_json(r->fails, r->n_5xx));
	json_object_set_new(o, "first_byte", times_json(&r->first_byte));
	json_object_set_new(o, "connect", times_json(&r->connect));
	json_object_set_new(o, "tls", times_json(&r->tls));
	json_object_set_new(o, "send_late", times_json(&r->send));
	json_object_set_new(o, "counters", n);
	json_object_set_new(o, "requests", list);
	if (r->end) {
		json_object_set_new(o, "skew_ms", json_real(gr_lresult_num(r->end, "skew_ms")));
		json_object_set(o, "thresholds", json_object_get(r->end, "thresholds"));
		json_object_set(o, "workers", json_object_get(r->end, "members"));
	}
	if (r->events)
		json_object_set(o, "events", r->events);
	json_object_set_new(o, "intervals", intervals_json(r));
	json_dumpf(o, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
	fputc('\n', out);
	json_decref(o);
}

/* ---- CSV ---- */

void gr_lshow_csv(const struct gr_lresult *r, FILE *out)
{
	static const double qs[] = { .5, .9, .99, .999, 1 };

	fprintf(out, "t_s,due,answered,rate_per_s,errors,in_flight,open,p50_ms,p90_ms,p99_ms,p99_9_ms,max_ms\n");
	for (size_t i = 0; i < r->n_intervals; i++) {
		const struct gr_linterval *v = &r->intervals[i];
		uint64_t failed = v->n_5xx;

		for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++)
			failed += v->fails[f];
		fprintf(out, "%g,%" PRIu64 ",%" PRIu64 ",%.3f,%" PRIu64 ",%" PRIu64 ",%" PRIu64, v->t_s, v->n[GR_LOAD_N_DUE], v->latency.total,
			per(v->latency.total, v->len_s), failed, v->gauges[GR_LOAD_G_IN_FLIGHT], v->gauges[GR_LOAD_G_OPEN]);
		for (size_t k = 0; k < GR_LEN(qs); k++)
			if (v->latency.total)
				fprintf(out, ",%.6g", q_ms(&v->latency, qs[k]));
			else
				fprintf(out, ",");
		fprintf(out, "\n");
	}
}

/* ---- JUnit ---- */

static void xml_text(FILE *out, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '<': fputs("&lt;", out); break;
		case '>': fputs("&gt;", out); break;
		case '&': fputs("&amp;", out); break;
		case '"': fputs("&quot;", out); break;
		default: fputc((unsigned char)*s < ' ' ? ' ' : *s, out);
		}
}

/* One test case a threshold, and one for the verdict as a whole. */
void gr_lshow_junit(const struct gr_lresult *r, FILE *out)
{
	const json_t *list = json_object_get(r->end, "thresholds"), *o;
	const char *verdict = gr_lresult_verdict(r);
	bool is_ok = !strcmp(verdict, "passed") || !strcmp(verdict, "threshold");
	char measured[48];
	size_t i, n_bad = !is_ok;

	json_array_foreach(list, i, o)
		n_bad += !json_is_true(json_object_get(o, "holds"));
	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"");
	xml_text(out, gr_lresult_str(r->run, "name"));
	fprintf(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"0\" time=\"%.3f\">\n  <testcase classname=\"load\" name=\"the test ran as planned\" time=\"%.3f\">",
		json_array_size(list) + 1, n_bad, gr_lresult_elapsed(r), gr_lresult_elapsed(r));
	if (!is_ok) {
		fprintf(out, "<failure type=\"%s\" message=\"%s: ", verdict, verdict);
		xml_text(out, gr_lresult_str(r->end, "why"));
		fprintf(out, "\"/>");
	}
	fprintf(out, "</testcase>\n");
	json_array_foreach(list, i, o) {
		fprintf(out, "  <testcase classname=\"load\" name=\"");
		xml_text(out, gr_lresult_str(o, "is"));
		fprintf(out, "\">");
		if (!json_is_true(json_object_get(o, "holds")))
			fprintf(out, "<failure type=\"threshold\" message=\"measured: %s\"/>", gr_lresult_measured(o, measured));
		fprintf(out, "</testcase>\n");
	}
	fprintf(out, "</testsuite>\n");
}
