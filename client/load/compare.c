/* compare.c - is B slower than A, or does it only look so? Whole intervals are drawn again with replacement (a block
 * bootstrap), the quantile taken of what was drawn, 400 times; the middle 95 % of the differences are what is believed.
 * Requests of one second share the server's state, so drawing single requests would claim far too much. */
#include <stdlib.h>
#include <string.h>

#include "client/load/result.h"
#include "lib/base/alloc.h"
#include "lib/base/rng.h"

#define N_ROUNDS 400

static const struct { const char *what; double q; } quantiles[] = {
	{ "p50_ms", .5 }, { "p90_ms", .9 }, { "p99_ms", .99 }, { "p99_9_ms", .999 },
};
#define N_Q GR_LEN(quantiles)

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* out[0..N_Q-1] quantiles in ms, out[N_Q] rate, out[N_Q + 1] share of errors */
static void draw(const struct gr_lresult *r, struct gr_rng *rng, struct gr_hdr *h, double *out)
{
	size_t n = gr_lresult_n_whole(r);
	uint64_t errors = 0, all = 0;
	double s = 0;

	gr_hdr_clear(h);
	for (size_t i = 0; i < n; i++) {
		const struct gr_linterval *v = &r->intervals[rng ? gr_rng_below(rng, (uint32_t)n) : i];

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
	double (*diffs)[N_ROUNDS] = gr_xalloc((N_Q + 2) * sizeof(*diffs)), va[N_Q + 2], vb[N_Q + 2];
	size_t n = 0;

	for (int k = 0; k < N_ROUNDS; k++) {
		draw(a, &rng, &h, va);
		draw(b, &rng, &h, vb);
		for (size_t i = 0; i < N_Q + 2; i++)
			diffs[i][k] = vb[i] - va[i];
	}
	draw(a, NULL, &h, va);
	draw(b, NULL, &h, vb);
	for (size_t i = 0; i < N_Q + 2 && n < max; i++) {
		struct gr_lcompare *c = &out[n++];

		qsort(diffs[i], N_ROUNDS, sizeof(double), by_value);
		c->what = i < N_Q ? quantiles[i].what : i == N_Q ? "rate_per_s" : "error_share";
		c->a = va[i];
		c->b = vb[i];
		c->low = diffs[i][N_ROUNDS / 40];
		c->high = diffs[i][N_ROUNDS - 1 - N_ROUNDS / 40];
		/* a few intervals say nothing of how intervals differ */
		c->is_real = (c->low > 0 || c->high < 0) && gr_lresult_n_whole(a) >= 5 && gr_lresult_n_whole(b) >= 5;
	}
	free(diffs);
	gr_hdr_fini(&h);
	return n;
}
