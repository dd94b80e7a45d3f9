/* html.c - one page that needs nothing else: verdict, tables and charts as SVG; several runs are laid over each other
 *
 * No script: what is shown is what was measured, also in a mail or an archive. Colours follow the reader's light or dark.
 * A chart's lines are SVG stretched to whatever room there is, its labels are text laid over it in shares of that room: so it
 * fits a phone as it fits a desk, and the letters keep their size. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "client/load/result.h"
#include "lib/base/alloc.h"
#include "lib/load/plan.h"

#define W 860.0
#define H 260.0
#define MAX_POINTS 600

static const char *const colours[] = { "var(--c0)", "var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)" };

static void text(FILE *out, const char *s)
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

static double ms(uint64_t ns) { return (double)ns / 1e6; }

/* ---- a chart's frame ---- */

struct axis {
	double lo, hi;
	bool is_log;
};
static double place(const struct axis *a, double v, double from, double to)
{
	double t;

	if (a->is_log) {
		v = v > a->lo ? v : a->lo;
		t = (log10(v) - log10(a->lo)) / (log10(a->hi) - log10(a->lo));
	} else {
		t = (v - a->lo) / (a->hi - a->lo);
	}
	return from + (t < 0 ? 0 : t > 1 ? 1 : t) * (to - from);
}
static double px(const struct axis *a, double v) { return place(a, v, 0, W); }
static double py(const struct axis *a, double v) { return place(a, v, H, 0); }

static double nice(double v)
{
	double p = pow(10, floor(log10(v > 0 ? v : 1))), m = v / p;

	return (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10) * p;
}

static void number(FILE *out, double v)
{
	if (v >= 1e6)
		fprintf(out, "%.3gM", v / 1e6);
	else if (v >= 1e4)
		fprintf(out, "%.4gk", v / 1e3);
	else
		fprintf(out, "%.4g", v);
}

static void y_tick(FILE *out, const struct axis *y, double v, bool is_label)
{
	if (!is_label) {
		fprintf(out, "<line class=g x1=0 x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>", W, py(y, v), py(y, v));
		return;
	}
	fprintf(out, "<b class=y style=\"top:%.2f%%\">", 100 * py(y, v) / H);
	number(out, v);
	fprintf(out, "</b>");
}

static void y_ticks(FILE *out, const struct axis *y, bool is_label)
{
	if (y->is_log)
		for (double v = pow(10, ceil(log10(y->lo) - 1e-9)); v <= y->hi * 1.0001; v *= 10)
			y_tick(out, y, v, is_label);
	else
		for (double step = nice((y->hi - y->lo) / 4), v = y->lo; v <= y->hi * 1.0001; v += step)
			y_tick(out, y, v, is_label);
}

/* Then what is drawn, end_drawing, labels of x, finish. */
static void begin(FILE *out, const char *title, const char *y_name, const struct axis *y)
{
	fprintf(out, "<figure><figcaption>");
	text(out, title);
	fprintf(out, "</figcaption><div class=plot><b class=n>%s</b>", y_name);
	y_ticks(out, y, true);
	fprintf(out, "<svg viewBox=\"0 0 %.0f %.0f\" preserveAspectRatio=none role=img aria-label=\"", W, H);
	text(out, title);
	fprintf(out, "\">");
	y_ticks(out, y, false);
}

static void end_drawing(FILE *out) { fprintf(out, "</svg>"); }

/* Every second one is left out where there is little room; one at the end stays within. */
static void x_label(FILE *out, const struct axis *x, double v, int i)
{
	fprintf(out, "<b class=\"x%s%s\" style=\"left:%.2f%%\">", i % 2 ? " o" : "", px(x, v) > W * .97 ? " e" : "", 100 * px(x, v) / W);
}

static void x_times(FILE *out, const struct axis *x)
{
	int i = 0;

	for (double step = nice((x->hi - x->lo) / 8), v = x->lo; v <= x->hi * 1.0001; v += step) {
		x_label(out, x, v, i++);
		number(out, v);
		fprintf(out, "</b>");
	}
	fprintf(out, "<b class=s>seconds</b>");
}

static void finish(FILE *out) { fprintf(out, "</div></figure>\n"); }

static void begin_line(FILE *out, size_t colour, const char *extra)
{
	fprintf(out, "<polyline fill=none stroke=\"%s\" %s points=\"", colours[colour % GR_LEN(colours)], extra);
}

static void legend(FILE *out, const struct gr_lresult *const *runs, size_t n)
{
	if (n < 2)
		return;
	fprintf(out, "<p class=legend>");
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "<span><i style=\"background:%s\"></i>", colours[i % GR_LEN(colours)]);
		text(out, gr_lresult_str(runs[i]->run, "name"));
		fputc(' ', out);
		text(out, gr_lresult_str(runs[i]->run, "run"));
		fprintf(out, "</span>");
	}
	fprintf(out, "</p>\n");
}

/* ---- the charts ---- */

/* Charts over time end with the plan: what is answered after it stands in the tables, and would be a spike here. */
static double len_of(const struct gr_lresult *r)
{
	const struct gr_linterval *v = r->n_intervals ? &r->intervals[gr_lresult_n_whole(r) - 1] : NULL;

	return v ? v->t_s + v->len_s : 1;
}

static double seconds(const json_t *v, double none)
{
	uint64_t ns;

	if (json_is_string(v) && gr_load_time(json_string_value(v), &ns) >= 0)
		return (double)ns / 1e9;
	return json_is_number(v) ? json_number_value(v) : none;
}

/* While stress-ng burns on the workers the ground is shaded; the word stands over it. */
static void burns(FILE *out, const struct gr_lresult *const *runs, size_t n, const struct axis *x, bool is_label)
{
	const json_t *o;
	size_t k;

	for (size_t i = 0; i < n; i++)
		json_array_foreach(json_object_get(runs[i]->plan, "burns"), k, o) {
			double at = seconds(json_object_get(o, "at"), 0), end = at + seconds(json_object_get(o, "for"), len_of(runs[i]) - at);

			if (is_label)
				fprintf(out, "<b class=u style=\"left:%.2f%%\">burn</b>", 100 * px(x, at) / W);
			else
				fprintf(out, "<rect x=\"%.1f\" y=0 width=\"%.1f\" height=\"%.0f\" fill=\"%s\" opacity=\".12\"/>", px(x, at),
					px(x, end) - px(x, at), H, colours[i % GR_LEN(colours)]);
		}
}

static void bounds(const struct gr_lresult *const *runs, size_t n, double *lo_ms, double *hi_ms, double *len_s)
{
	*lo_ms = 1e9;
	*hi_ms = .001;
	*len_s = 1;
	for (size_t i = 0; i < n; i++) {
		const struct gr_lresult *r = runs[i];

		*len_s = len_of(r) > *len_s ? len_of(r) : *len_s;
		if (!r->latency.total)
			continue;
		*lo_ms = ms(gr_hdr_quantile(&r->latency, .001)) < *lo_ms ? ms(gr_hdr_quantile(&r->latency, .001)) : *lo_ms;
		*hi_ms = ms(r->latency.max) > *hi_ms ? ms(r->latency.max) : *hi_ms;
	}
	*lo_ms = *lo_ms > *hi_ms ? .01 : pow(10, floor(log10(*lo_ms > .001 ? *lo_ms : .001)));
	*hi_ms = pow(10, ceil(log10(*hi_ms)));
	if (*hi_ms <= *lo_ms)
		*hi_ms = *lo_ms * 10;
}

static void by_percentile(FILE *out, const struct gr_lresult *const *runs, size_t n, const struct axis *y)
{
	static const struct { double q; const char *name; } marks[] = {
		{ 0, "0" }, { .5, "50 %" }, { .9, "90 %" }, { .99, "99 %" }, { .999, "99.9 %" }, { .9999, "99.99 %" }, { .99999, "99.999 %" },
	};
	struct axis x = { 1, 10, true };
	uint64_t most = 1;

	for (size_t i = 0; i < n; i++)
		most = runs[i]->latency.total > most ? runs[i]->latency.total : most;
	while (x.hi < (double)most && x.hi < 1e7)
		x.hi *= 10;
	begin(out, "Latency by percentile", "ms", y);
	for (size_t i = 0; i < GR_LEN(marks); i++)
		if (1 / (1 - marks[i].q) <= x.hi * 1.01)
			fprintf(out, "<line class=g x1=\"%.1f\" x2=\"%.1f\" y1=0 y2=\"%.0f\"/>", px(&x, 1 / (1 - marks[i].q)), px(&x, 1 / (1 - marks[i].q)), H);
	for (size_t i = 0; i < n; i++) {
		const struct gr_hdr *h = &runs[i]->latency;

		if (!h->total)
			continue;
		begin_line(out, i, "stroke-width=2");
		for (double k = 0; k <= 200; k++) {
			double inv = pow(10, log10(x.hi) * k / 200), q = 1 - 1 / inv;

			if (inv > (double)h->total * 1.01)
				break;
			fprintf(out, "%.1f,%.1f ", px(&x, inv), py(y, ms(gr_hdr_quantile(h, q))));
		}
		fprintf(out, "\"/>");
	}
	end_drawing(out);
	for (size_t i = 0; i < GR_LEN(marks); i++)
		if (1 / (1 - marks[i].q) <= x.hi * 1.01) {
			x_label(out, &x, 1 / (1 - marks[i].q), (int)i);
			fprintf(out, "%s</b>", marks[i].name);
		}
	finish(out);
}

static void over_time(FILE *out, const struct gr_lresult *const *runs, size_t n, const struct axis *x, const struct axis *y)
{
	static const struct { double q; const char *dash; } qs[] = { { .5, "stroke-dasharray=\"5 3\"" }, { .99, "stroke-width=2" }, { 1, "opacity=.45" } };

	begin(out, "Latency over time: p50 dashed, p99 thick, max thin", "ms", y);
	burns(out, runs, n, x, false);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < GR_LEN(qs); k++) {
			size_t n_whole = gr_lresult_n_whole(runs[i]), step = n_whole / MAX_POINTS + 1;

			begin_line(out, i, qs[k].dash);
			for (size_t j = 0; j < n_whole; j += step) {
				const struct gr_linterval *v = &runs[i]->intervals[j];

				if (v->latency.total)
					fprintf(out, "%.1f,%.1f ", px(x, v->t_s + v->len_s / 2), py(y, ms(gr_hdr_quantile(&v->latency, qs[k].q))));
			}
			fprintf(out, "\"/>");
		}
	end_drawing(out);
	x_times(out, x);
	burns(out, runs, n, x, true);
	finish(out);
}

static void heat(FILE *out, const struct gr_lresult *r, bool is_one, size_t colour, const struct axis *x, const struct axis *y)
{
	enum { ROWS = 44 };
	size_t n_whole = gr_lresult_n_whole(r), cols = n_whole < 200 ? n_whole : 200;
	char title[200];
	double most = 1, (*cells)[ROWS] = gr_xalloc((cols + 1) * sizeof(*cells));

	for (size_t j = 0; j < n_whole; j++) {
		const struct gr_hdr *h = &r->intervals[j].latency;
		size_t c = j * cols / n_whole;

		for (uint32_t k = h->i_low; h->total && k <= h->i_high; k++) {
			int row = (int)place(y, ms(gr_hdr_value_low(k) / 2 + gr_hdr_value_high(k) / 2), 0, ROWS - .001);

			cells[c][row] += (double)h->counts[k];
			most = cells[c][row] > most ? cells[c][row] : most;
		}
	}
	snprintf(title, sizeof(title), "Every answer%s%.16s: when, and how long it took (darker: more of them)", is_one ? "" : " of ",
		 is_one ? "" : gr_lresult_str(r->run, "run"));
	begin(out, title, "ms", y);
	for (size_t c = 0; c < cols; c++)
		for (int row = 0; row < ROWS; row++) {
			double len = len_of(r), a = px(x, len * (double)c / (double)cols), b = px(x, len * (double)(c + 1) / (double)cols);
			double cell = H / ROWS;

			if (cells[c][row] > 0)
				fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\" opacity=\"%.2f\"/>", a,
					H - cell * (row + 1), b - a + .3, cell + .3, colours[colour % GR_LEN(colours)], .12 + .88 * log1p(cells[c][row]) / log1p(most));
		}
	end_drawing(out);
	x_times(out, x);
	finish(out);
	free(cells);
}

static uint64_t fails_of(const struct gr_linterval *v)
{
	uint64_t n = v->n_5xx;

	for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++)
		n += v->fails[f];
	return n;
}

static double value_of(const struct gr_linterval *v, int what)
{
	return (double)(what == 0 ? v->latency.total : what == 1 ? fails_of(v) : v->n[GR_LOAD_N_DUE]) / v->len_s;
}

/* @what: 0 answers, 1 errors; with answers, what was due is drawn thin. */
static void rates(FILE *out, const struct gr_lresult *const *runs, size_t n, const struct axis *x, int what)
{
	struct axis y = { 0, 1, false };

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < gr_lresult_n_whole(runs[i]); j++) {
			double a = value_of(&runs[i]->intervals[j], what), b = what ? 0 : value_of(&runs[i]->intervals[j], 2);

			y.hi = a > y.hi ? a : b > y.hi ? b : y.hi;
		}
	y.hi *= 1.08;
	begin(out, what ? "Errors a second" : "Answers a second (thin: arrivals of the plan)", "per s", &y);
	burns(out, runs, n, x, false);
	for (size_t i = 0; i < n; i++)
		for (int k = what ? 1 : 0; k < 3; k += 2) {
			size_t step = gr_lresult_n_whole(runs[i]) / MAX_POINTS + 1;

			begin_line(out, i, k == 2 ? "opacity=.5 stroke-dasharray=\"2 3\"" : "stroke-width=2");
			for (size_t j = 0; j < gr_lresult_n_whole(runs[i]); j += step)
				fprintf(out, "%.1f,%.1f ", px(x, runs[i]->intervals[j].t_s + runs[i]->intervals[j].len_s / 2),
					py(&y, value_of(&runs[i]->intervals[j], k)));
			fprintf(out, "\"/>");
		}
	end_drawing(out);
	x_times(out, x);
	burns(out, runs, n, x, true);
	finish(out);
}

/* ---- tables: on a phone a row is its name and below it the cells, each with its column's name (data-k) ---- */

static void times_cells(FILE *out, const struct gr_hdr *h)
{
	static const struct { double q; const char *name; } qs[] = { { .5, "p50 ms" }, { .9, "p90" }, { .99, "p99" }, { .999, "p99.9" }, { 1, "max" } };

	for (size_t i = 0; i < GR_LEN(qs); i++) {
		fprintf(out, "<td data-k=\"%s\">", qs[i].name);
		if (h->total)
			fprintf(out, "%.4g", ms(gr_hdr_quantile(h, qs[i].q)));
		else
			fprintf(out, "-");
	}
}

static void request_row(FILE *out, const char *name, const struct gr_hdr *h, double s, uint64_t errors)
{
	fprintf(out, "<tr><th>");
	text(out, name);
	fprintf(out, "<td data-k=answers>%" PRIu64 "<td data-k=\"per s\">%.1f", h->total, s > 0 ? (double)h->total / s : 0);
	times_cells(out, h);
	fprintf(out, "<td data-k=errors>%" PRIu64, errors);
}

static void run_section(FILE *out, const struct gr_lresult *r)
{
	double s = gr_lresult_elapsed(r);
	const json_t *o, *list = json_object_get(r->end, "thresholds");
	const char *verdict = gr_lresult_verdict(r);
	time_t at = (time_t)(gr_lresult_num(r->run, "asked_ms") / 1000);
	struct tm tm;
	char when[40] = "", measured[48];
	size_t i, n_traffic = 0;

	if (gmtime_r(&at, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	fprintf(out, "<section><h2>");
	text(out, gr_lresult_str(r->run, "name"));
	fprintf(out, " <b class=\"v %s\">", strcmp(verdict, "passed") ? "bad" : "good");
	text(out, verdict);
	fprintf(out, "</b></h2><p>");
	text(out, gr_lresult_str(r->end, "why"));
	fprintf(out, "</p><p class=dim>test ");
	text(out, gr_lresult_str(r->run, "run"));
	fprintf(out, " of ");
	text(out, gr_lresult_str(r->run, "target"));
	json_array_foreach(json_object_get(r->end, "members"), i, o)
		n_traffic += json_is_true(json_object_get(o, "traffic"));
	fprintf(out, ", %s, %.1f s, ", when, s);
	text(out, gr_lresult_str(r->run, "model"));
	fprintf(out, " model, %zu worker%s", n_traffic, n_traffic == 1 ? "" : "s");
	if (n_traffic > 1)
		fprintf(out, ", started within %.2f ms of each other", gr_lresult_num(r->end, "skew_ms"));
	if (json_array_size(json_object_get(r->end, "members")) > n_traffic)
		fprintf(out, "; %zu more that burned", json_array_size(json_object_get(r->end, "members")) - n_traffic);
	fprintf(out, "</p>\n");
	fprintf(out, "<table><tr><th>request<th>answers<th>per s<th>p50 ms<th>p90<th>p99<th>p99.9<th>max<th>errors\n");
	for (uint32_t k = 0; k < r->n_requests; k++)
		request_row(out, r->requests[k].name, &r->requests[k].latency, s, r->requests[k].n_failed + r->requests[k].n_5xx);
	if (r->n_requests != 1)
		request_row(out, "all", &r->latency, s, r->n_failed + r->n_5xx);
	fprintf(out, "</table>\n<table><tr><th>part<th>count<th><th>p50 ms<th>p90<th>p99<th>p99.9<th>max\n");
	{
		const struct { const char *name; const struct gr_hdr *h; } parts[] = {
			{ "connect", &r->connect }, { "tls", &r->tls }, { "first byte", &r->first_byte }, { "send late", &r->send },
		};

		for (i = 0; i < GR_LEN(parts); i++) {
			if (!parts[i].h->total)
				continue;
			fprintf(out, "<tr><th>%s<td data-k=count>%" PRIu64 "<td>", parts[i].name, parts[i].h->total);
			times_cells(out, parts[i].h);
		}
	}
	fprintf(out, "</table>\n");
	if (json_array_size(list)) {
		fprintf(out, "<table><tr><th>threshold<th>measured<th>\n");
		json_array_foreach(list, i, o) {
			fprintf(out, "<tr><th>");
			text(out, gr_lresult_str(o, "is"));
			fprintf(out, "<td data-k=measured>");
			text(out, gr_lresult_measured(o, measured));
			fprintf(out, "<td class=%s", json_is_true(json_object_get(o, "holds")) ? "good>holds" : "bad>broken");
		}
		fprintf(out, "</table>\n");
	}
	if (r->n_failed + r->n_5xx) {
		fprintf(out, "<table><tr><th>error<th>count<th>\n");
		for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++)
			if (r->fails[f])
				fprintf(out, "<tr><th>%s<td data-k=count>%" PRIu64 "<td class=l>%s", gr_load_fail_name(f), r->fails[f], gr_load_fail_text(f));
		if (r->n_5xx)
			fprintf(out, "<tr><th>status_5xx<td data-k=count>%" PRIu64 "<td class=l>answers of class 5xx", r->n_5xx);
		fprintf(out, "</table>\n");
	}
	json_array_foreach(r->events, i, o) {
		fprintf(out, "<p>");
		text(out, gr_lresult_str(o, "type"));
		fprintf(out, ": worker ");
		text(out, gr_lresult_str(o, "worker"));
		fprintf(out, ": ");
		text(out, *gr_lresult_str(o, "why") ? gr_lresult_str(o, "why") : gr_lresult_str(o, "text"));
		fprintf(out, "</p>\n");
	}
	fprintf(out, "</section>\n");
}

static void compare_section(FILE *out, const struct gr_lresult *a, const struct gr_lresult *b)
{
	struct gr_lcompare c[16];
	const char *members[32];
	size_t n = gr_lcompare(a, b, c, GR_LEN(c));

	fprintf(out, "<section><h2>Difference, the second less the first</h2><table><tr><th>what<th>first<th>second<th>difference, 95 %%<th>\n");
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "<tr><th>%s<td data-k=first>%.5g<td data-k=second>%.5g<td data-k=\"difference, 95 %%\">", c[i].what, c[i].a, c[i].b);
		if (c[i].is_judged)
			fprintf(out, "%+.4g .. %+.4g", c[i].low, c[i].high);
		else
			fprintf(out, "-");
		fprintf(out, "<td class=l>%s", gr_lcompare_word(&c[i]));
	}
	fprintf(out, "</table>");
	for (size_t i = 0, n_members = gr_lcompare_plans(a, b, members, GR_LEN(members)); i < n_members; i++) {
		fprintf(out, "%s", i ? ", " : "<p>The plans differ in ");
		text(out, members[i]);
		fprintf(out, "%s", i + 1 == n_members ? ".</p>" : "");
	}
	fprintf(out, "</section>\n");
}

void gr_lshow_html(const struct gr_lresult *const *runs, size_t n_runs, FILE *out)
{
	struct axis x = { 0, 1, false }, y = { .01, 1000, true };

	bounds(runs, n_runs, &y.lo, &y.hi, &x.hi);
	fprintf(out, "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>");
	text(out, gr_lresult_str(runs[0]->run, "name"));
	fprintf(out, " - griddle load</title><style>\n"
		":root{--bg:#fff;--fg:#1c2024;--dim:#667;--line:#dde;--c0:#2563eb;--c1:#d97706;--c2:#059669;--c3:#db2777;--c4:#7c3aed;--c5:#475569;"
		"--good:#047857;--bad:#b91c1c}\n"
		"@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e4e6e9;--dim:#99a;--line:#333a42;--c0:#7aa5ff;--c1:#f5b04c;--c2:#4cc79a;"
		"--c3:#f285b8;--c4:#b39bf7;--c5:#a3b1c2;--good:#4cc79a;--bad:#ff8a80}}\n"
		"body{background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,sans-serif;max-width:920px;margin:2em auto;padding:0 1em}\n"
		"h1{font-size:1.5em}h2{font-size:1.2em;margin:1.6em 0 .3em}p{margin:.3em 0}.dim{color:var(--dim)}\n"
		"table{border-collapse:collapse;margin:.8em 0;display:block;overflow-x:auto;font-variant-numeric:tabular-nums}th{text-align:left;font-weight:500}tr:first-child th+th{text-align:right}\n"
		"tr>th:first-child{min-width:7em;overflow-wrap:anywhere}td{text-align:right}td.l{text-align:left}td,th{padding:.15em .9em .15em 0;border-bottom:1px solid var(--line)}\n"
		".v{font-size:.8em;padding:.1em .6em;border-radius:1em;border:1px solid}.good{color:var(--good)}.bad{color:var(--bad)}\n"
		"figure{margin:1.2em 0}figcaption{font-weight:500}.plot{position:relative;height:14em;margin:1.5em .6em 3em 3.2em}\n"
		"svg{position:absolute;width:100%%;height:100%%}svg .g{stroke:var(--line)}line,polyline{vector-effect:non-scaling-stroke}\n"
		".plot b{position:absolute;font:11px/1 system-ui,sans-serif;color:var(--dim);white-space:nowrap}.y{right:100%%;margin-right:.6em;transform:translateY(-50%%)}"
		".x{top:100%%;margin-top:.6em;transform:translateX(-50%%)}.plot .e{left:auto!important;right:-.6em;transform:none}.s{top:100%%;left:0;right:0;margin-top:2em;text-align:center}"
		".n{right:100%%;bottom:100%%;margin:0 .6em .8em}.u{top:.4em;margin-left:.4em}@media(max-width:600px){.plot .o{display:none}}\n"
		"@media(max-width:600px){tbody{display:block}tr{display:grid;grid-template-columns:repeat(auto-fill,minmax(5.4em,1fr));gap:.2em .8em;padding:.5em 0;border-bottom:1px solid var(--line)}"
		"tr:first-child,td:empty{display:none}td,th{border:0;padding:0}tr>th:first-child{grid-column:1/-1}td{text-align:left}.l{grid-column:1/-1}[data-k^=diff]{grid-column:span 2}"
		"td[data-k]::before{content:attr(data-k);display:block;font-size:.75em;color:var(--dim)}}\n"
		".legend span{margin-right:1.2em}.legend i{display:inline-block;width:1em;height:.3em;margin-right:.4em;vertical-align:middle}\n"
		"</style></head><body><h1>Load test%s</h1>\n", n_runs > 1 ? "s compared" : "");
	if (n_runs == 2)                         /* what was asked first, the runs one by one below it */
		compare_section(out, runs[0], runs[1]);
	for (size_t i = 0; i < n_runs; i++)
		run_section(out, runs[i]);
	legend(out, runs, n_runs);
	by_percentile(out, runs, n_runs, &y);
	over_time(out, runs, n_runs, &x, &y);
	for (size_t i = 0; i < n_runs; i++)
		heat(out, runs[i], n_runs == 1, i, &x, &y);
	rates(out, runs, n_runs, &x, 0);
	rates(out, runs, n_runs, &x, 1);
	fprintf(out, "<p class=dim>Latency counts from the moment the plan said a request should leave. Charts over time end with the plan; what was answered after it is in the tables. griddle " GR_VERSION "</p></body></html>\n");
}
