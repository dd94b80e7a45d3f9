/**
 * result - a load test as read from its lines: the same while it runs and when it was kept
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include "lib/base/buf.h"
#include "lib/load/kinds.h"
#include "lib/stats/hdr.h"

struct gr_lrequest {
	char *name;
	struct gr_hdr latency, first_byte, failed, by_class[GR_LOAD_R_5XX + 1];   /* by_class: GR_LOAD_R_OTHER.. */
	uint64_t status[500], fails[GR_LOAD_N_FAILS], n_failed, n_5xx;
	json_t *checks;                          /* label -> how often it failed */
};
struct gr_linterval {
	double t_s, len_s;
	struct gr_hdr latency;
	uint64_t n[GR_LOAD_N_COUNTERS], gauges[GR_LOAD_N_GAUGES], fails[GR_LOAD_N_FAILS], n_5xx;
};
struct gr_lresult {
	json_t *run, *plan, *end, *summary, *events;   /* events: lost workers and notes */
	struct gr_lrequest *requests;
	uint32_t n_requests;
	struct gr_linterval *intervals;
	size_t n_intervals, cap_intervals;
	struct gr_hdr latency, first_byte, connect, tls, send;
	uint64_t n[GR_LOAD_N_COUNTERS], fails[GR_LOAD_N_FAILS], n_failed, n_5xx;
	struct gr_buf rest;                      /* an unfinished line */
	bool is_damaged;
};
void gr_lresult_fini(struct gr_lresult *r);
/* More of the text. Lines that make no sense set is_damaged and are passed over. */
void gr_lresult_feed(struct gr_lresult *r, const char *text, size_t n);
const char *gr_lresult_str(const json_t *o, const char *key);    /* "" when absent */
double gr_lresult_num(const json_t *o, const char *key);
double gr_lresult_elapsed(const struct gr_lresult *r);
/* Intervals of the plan's own time: after them only what was still under way is answered. At least 1 if there are any. */
size_t gr_lresult_n_whole(const struct gr_lresult *r);
const char *gr_lresult_measured(const json_t *threshold, char out[48]);        /* "116.7 ms", "1.2 %", "nothing to judge" */
const char *gr_lresult_verdict(const struct gr_lresult *r);      /* "running" without an end */

/* ---- showing ---- */
void gr_lshow_table(const struct gr_lresult *r, FILE *out);
void gr_lshow_json(const struct gr_lresult *r, FILE *out);
void gr_lshow_csv(const struct gr_lresult *r, FILE *out);        /* a line an interval */
void gr_lshow_line(const struct gr_lresult *r, char *out, size_t n);   /* of the last interval */
void gr_lshow_junit(const struct gr_lresult *r, FILE *out);
void gr_lshow_html(const struct gr_lresult *const *runs, size_t n_runs, FILE *out);

/* ---- comparing ---- */
struct gr_lcompare {
	const char *what;
	double a, b, low, high;                  /* b - a lies within low..high with 95 % confidence */
	bool is_judged, is_real;                 /* judged: there is enough to say anything; real: 0 is not within */
};
/* Members of the plans that differ and may be why the results do, into @names (borrowed from the plans): not name, thresholds and the like. */
size_t gr_lcompare_plans(const struct gr_lresult *a, const struct gr_lresult *b, const char **names, size_t max);
const char *gr_lcompare_word(const struct gr_lcompare *c);       /* what came of it, for people */
/* By resampling whole intervals, since requests close to each other are no independent samples. */
size_t gr_lcompare(const struct gr_lresult *a, const struct gr_lresult *b, struct gr_lcompare *out, size_t max);
