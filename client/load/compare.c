/* compare.c - is B slower than A, or does it only look so? Runs of whole intervals are drawn again with replacement (a circular
 * block bootstrap), the quantile taken of what was drawn, 400 times; the middle 95 % of the differences, widened as Student's t is
 * beside the normal distribution for so few blocks, are what is believed.
 * Requests of one second share the server's state, and a second that of the one before, so drawing single requests would claim
 * far too much. A quantile that fewer than MIN_BEYOND answers lie beyond is not judged: it is not far from the maximum, of which
 * drawing again tells nothing. tests/unit/load_compare_test.c has how often two equal servers are said to differ. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/load/result.h"
#include "lib/base/alloc.h"
#include "lib/base/rng.h"

#define N_ROUNDS 400
#define MIN_INTERVALS 8u
#define MIN_BEYOND 20.0

static const struct { const char *what; double q; } quantiles[] = {
	{ "p50_ms", .5 }, { "p90_ms", .9 }, { "p99_ms", .99 }, { "p99_9_ms", .999 },
};
#define N_Q GR_LEN(quantiles)

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Intervals drawn together: about the cube root of all. */
static size_t n_block(size_t n) { return n < 8 ? 1 : (size_t)(cbrt((double)n) + .5); }

/* Quantile .975 of Student's t over the normal one's, and the bias of a variance of @n. */
static double widen(double n)
{
	double df = n - 1, z = 1.96, z2 = z * z, t;

	if (df < 3)
		return 3;
	t = z * (1 + (z2 + 1) / (4 * df) + (5 * z2 * z2 + 16 * z2 + 3) / (96 * df * df));
	return t / z * sqrt(n / df);
}

/* out[0..N_Q-1] quantiles in ms, out[N_Q] rate, out[N_Q + 1] share of errors */
static void draw(const struct gr_lresult *r, struct gr_rng *rng, struct gr_hdr *h, double *out)
{
	size_t n = gr_lresult_n_whole(r);
	uint64_t errors = 0, all = 0;
	double s = 0;

	gr_hdr_clear(h);
	for (size_t i = 0, at = 0, block = n_block(n); i < n; i++) {
		const struct gr_linterval *v;

		at = !rng ? i : i % block ? (at + 1) % n : gr_rng_below(rng, (uint32_t)n);
		v = &r->intervals[at];

		gr_hdr_merge(h, &v->latency);
		s += v->len_s;
		for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++)
			errors += v->fails[f];
		all += v->latency.total;
		for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++)
			all += v->fails[f];
		errors += v->n_5xx;
	}
	for (size_t i = 0; i < N_Q; i++)
		out[i] = (double)gr_hdr_quantile(h, quantiles[i].q) / 1e6;
	out[N_Q] = s > 0 ? (double)h->total / s : 0;
	out[N_Q + 1] = all ? (double)errors / (double)all : 0;
}

size_t gr_lcompare(const struct gr_lresult *a, const struct gr_lresult *b, struct gr_lcompare *out, size_t max)
{
	struct gr_rng rng = { 20161108 };
	struct gr_hdr h = { 0 };
	double (*diffs)[N_ROUNDS] = gr_xalloc((N_Q + 2) * sizeof(*diffs)), va[N_Q + 2], vb[N_Q + 2], wide, n_answers;
	size_t n = 0, n_a = gr_lresult_n_whole(a), n_b = gr_lresult_n_whole(b), n_least = n_a < n_b ? n_a : n_b;

	for (int k = 0; k < N_ROUNDS; k++) {
		draw(a, &rng, &h, va);
		draw(b, &rng, &h, vb);
		for (size_t i = 0; i < N_Q + 2; i++)
			diffs[i][k] = vb[i] - va[i];
	}
	draw(a, NULL, &h, va);
	n_answers = (double)h.total;
	draw(b, NULL, &h, vb);
	n_answers = (double)h.total < n_answers ? (double)h.total : n_answers;
	wide = n_least ? widen((double)n_least / (double)n_block(n_least)) : 1;
	for (size_t i = 0; i < N_Q + 2 && n < max; i++) {
		struct gr_lcompare *c = &out[n++];

		qsort(diffs[i], N_ROUNDS, sizeof(double), by_value);
		c->what = i < N_Q ? quantiles[i].what : i == N_Q ? "rate_per_s" : "error_share";
		c->a = va[i];
		c->b = vb[i];
		c->low = c->b - c->a + (diffs[i][N_ROUNDS / 40] - (c->b - c->a)) * wide;
		c->high = c->b - c->a + (diffs[i][N_ROUNDS - 1 - N_ROUNDS / 40] - (c->b - c->a)) * wide;
		/* a few intervals say nothing of how intervals differ */
		c->is_real = (c->low > 0 || c->high < 0) && n_least >= MIN_INTERVALS && (i >= N_Q || n_answers * (1 - quantiles[i].q) >= MIN_BEYOND);
	}
	free(diffs);
	gr_hdr_fini(&h);
	return n;
}
