/* compare.c - is B slower than A, or does it only look so? Whole intervals are drawn again with replacement, 200 times, and the statistic
 * taken of what was drawn: what it varies by from interval to interval. Requests of one second share the server's state, so drawing
 * single requests would claim far too much; and a second shares it with the one before, so the spread is widened as the statistic's
 * own share of each interval says that it carries over (an AR(1) process, its correlation corrected for what is lost in short
 * series). Student's t with as many degrees of freedom as there are independent intervals by that, or fewer when those that lie beyond a
 * quantile are in few intervals, gives the middle 95 %. Two tests
 * of one schedule with ramps or steps are drawn together, interval by interval, so that those are no chance. Latencies are compared by their ratio.
 * Tried and not kept: drawing runs of neighbours, of the cube root's length: a dozen intervals hold too few of them, and one comparison of
 * seven of a server with itself was said to differ. A quantile that fewer than MIN_BEYOND answers lie beyond is not judged: it is not far
 * from the maximum, of which drawing again tells nothing. tests/unit/load_compare_test.c has how often equal servers are said to differ. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/load/result.h"
#include "lib/base/alloc.h"
#include "lib/base/rng.h"

#define N_ROUNDS 200
#define MIN_INTERVALS 8u
#define MIN_BEYOND 20.0
#define MOST_CARRIED .9
#define USUAL_CARRIED .5                         /* what is believed of a series until it shows better: so many intervals' worth */
#define USUAL_WEIGHT 16.0

static const struct { const char *what; double q; } quantiles[] = {
	{ "p50_ms", .5 }, { "p90_ms", .9 }, { "p99_ms", .99 }, { "p99_9_ms", .999 },
};
#define N_Q GR_LEN(quantiles)
#define N_STATS (N_Q + 2)
enum { RATE = N_Q, ERRORS };

static uint64_t errors_of(const struct gr_linterval *v)
{
	uint64_t n = v->n_5xx;

	for (uint32_t f = 0; f < GR_LOAD_N_FAILS; f++)
		n += v->fails[f];
	return n;
}

size_t gr_lcompare_plans(const struct gr_lresult *a, const struct gr_lresult *b, const char **names, size_t max)
{
	static const char *const harmless[] = { "name", "comment", "$schema", "thresholds", "interval" };
	const json_t *plans[2] = { a->plan, b->plan };
	size_t n = 0;

	for (int s = 0; s < 2; s++) {
		const char *key;
		json_t *v, *other;

		json_object_foreach((json_t *)plans[s], key, v) {
			bool is_harmless = false;

			for (size_t i = 0; i < GR_LEN(harmless); i++)
				is_harmless |= !strcmp(harmless[i], key);
			other = json_object_get(plans[!s], key);
			if (n < max && !is_harmless && (s ? !other : !json_equal(v, other)))
				names[n++] = key;
		}
	}
	return n;
}

/* Quantile .975 of Student's t. */
static double student(double df)
{
	static const double few[] = { 12.706, 12.706, 4.303, 3.182 };
	double z = 1.96, z2 = z * z;

	if (df < 3)                              /* between whole numbers on a line */
		return few[(int)df] + (few[(int)df + 1] - few[(int)df]) * (df - floor(df));
	return z * (1 + (z2 + 1) / (4 * df) + (5 * z2 * z2 + 16 * z2 + 3) / (96 * df * df));
}

/* The statistics of the intervals @at; ms, per second, share. */
static void stats_of(const struct gr_lresult *r, const uint32_t *at, size_t n, struct gr_hdr *h, double out[N_STATS])
{
	uint64_t errors = 0;
	double s = 0;

	gr_hdr_clear(h);
	for (size_t i = 0; i < n; i++) {
		const struct gr_linterval *v = &r->intervals[at[i]];

		gr_hdr_merge(h, &v->latency);
		s += v->len_s;
		errors += errors_of(v);
	}
	for (size_t i = 0; i < N_Q; i++)
		out[i] = (double)gr_hdr_quantile(h, quantiles[i].q) / 1e6;
	out[RATE] = s > 0 ? (double)h->total / s : 0;
	out[ERRORS] = h->total + errors ? (double)errors / (double)(h->total + errors) : 0;
}

/* What interval @i adds to statistic @k, which is @value in all: above it, below it, and by how much. */
static double share_of(const struct gr_linterval *v, size_t k, double value)
{
	double n = (double)v->latency.total, errors;

	if (k < N_Q)
		return (double)gr_hdr_count_above(&v->latency, (uint64_t)(value * 1e6)) - n * (1 - quantiles[k].q);
	if (k == RATE)
		return n / v->len_s - value;
	errors = (double)errors_of(v);
	return errors - value * (n + errors);
}

/* How much of an interval carries over into the next. */
static double carried(const double *z, size_t n)
{
	double mean = 0, c0 = 0, c1 = 0, rho;

	for (size_t i = 0; i < n; i++)
		mean += z[i] / (double)n;
	for (size_t i = 0; i < n; i++) {
		c0 += (z[i] - mean) * (z[i] - mean);
		c1 += i ? (z[i] - mean) * (z[i - 1] - mean) : 0;
	}
	rho = c0 > 0 ? c1 / c0 : 0;
	rho += (1 + 3 * rho) / (double)n;        /* what a short series shows too little of it */
	rho = (rho * (double)n + USUAL_CARRIED * USUAL_WEIGHT) / ((double)n + USUAL_WEIGHT);
	return rho < 0 ? 0 : rho > MOST_CARRIED ? MOST_CARRIED : rho;
}

/* Variance of a mean whose intervals are @z, and are drawn with deviation @sd, as if they were independent. What matters lies in @n_in of
 * them; @is_part: always in the same ones, neighbours on a ramp. */
static double widened(double sd, const double *z, size_t n_z, double n_in, bool is_part, double *df)
{
	double rho = carried(z, n_z), each = (1 + rho) / (1 - rho), n = is_part ? n_in : (double)n_z;

	each = each > n / 2 ? n / 2 : each;      /* so many intervals are worth one */
	*df = (n / each < n_in ? n / each : n_in) - 1;
	*df = *df > 1 ? *df : 1;
	return sd * sd * each / (1 - each / n);
}

/* In how many intervals what lies beyond quantile @k does lie: all of p50's, few of p99's when the slow ones come together. */
static double n_beyond(const struct gr_lresult *r, size_t n, size_t k, double value)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; k < N_Q && i < n; i++) {
		double beyond = (double)gr_hdr_count_above(&r->intervals[i].latency, (uint64_t)(value * 1e6));

		sum += beyond;
		squares += beyond * beyond;
	}
	return squares > 0 ? sum * sum / squares : (double)n;
}

static double scaled(size_t k, double v) { return k < N_Q ? log(v > 1e-6 ? v : 1e-6) : v; }

struct side {
	const struct gr_lresult *r;
	size_t n;
	double value[N_STATS], n_answers;
	double (*drawn)[N_ROUNDS];
};

static double deviation(const double *v)
{
	double mean = 0, sum = 0;

	for (size_t i = 0; i < N_ROUNDS; i++)
		mean += v[i] / N_ROUNDS;
	for (size_t i = 0; i < N_ROUNDS; i++)
		sum += (v[i] - mean) * (v[i] - mean);
	return sqrt(sum / (N_ROUNDS - 1));
}

/* The half width of what is believed of @k's difference, on its scale. */
static double half_width(const struct side *a, const struct side *b, bool is_paired, size_t k)
{
	const struct side *sides[2] = { a, b };
	double *z = gr_xalloc((a->n + b->n) * sizeof(*z)), diff[N_ROUNDS], var[2] = { 0 }, df, over = 0;

	if (is_paired) {
		for (size_t i = 0; i < a->n; i++)
			z[i] = share_of(&b->r->intervals[i], k, b->value[k]) - share_of(&a->r->intervals[i], k, a->value[k]);
		for (size_t i = 0; i < N_ROUNDS; i++)
			diff[i] = b->drawn[k][i] - a->drawn[k][i];
		var[0] = widened(deviation(diff), z, a->n, n_beyond(a->r, a->n, k, a->value[k]), true, &df);
	} else {
		for (int s = 0; s < 2; s++) {
			for (size_t i = 0; i < sides[s]->n; i++)
				z[i] = share_of(&sides[s]->r->intervals[i], k, sides[s]->value[k]);
			var[s] = widened(deviation(sides[s]->drawn[k]), z, sides[s]->n, n_beyond(sides[s]->r, sides[s]->n, k, sides[s]->value[k]), false, &df);
			over += var[s] * var[s] / df;
		}
		df = over > 0 ? pow(var[0] + var[1], 2) / over : 1;      /* Welch */
	}
	free(z);
	return sqrt(var[0] + var[1]) * student(df);
}

/* One schedule of different levels: as much was due in each interval, and not the same in all. */
static bool are_paired(const struct gr_lresult *a, const struct gr_lresult *b, size_t n_a, size_t n_b)
{
	double least = INFINITY, most = 0;

	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++) {
		double x = (double)a->intervals[i].n[GR_LOAD_N_DUE], y = (double)b->intervals[i].n[GR_LOAD_N_DUE];

		if (fabs(x - y) > 2 + (x + y) / 100 || a->intervals[i].len_s != b->intervals[i].len_s)
			return false;
		least = x < least ? x : least;
		most = x > most ? x : most;
	}
	return most > 2 + least * 1.2;
}

const char *gr_lcompare_word(const struct gr_lcompare *c)
{
	return c->is_real ? "real" : c->is_judged ? "chance does as much" : "too little to tell";
}

size_t gr_lcompare(const struct gr_lresult *a, const struct gr_lresult *b, struct gr_lcompare *out, size_t max)
{
	struct side sides[2] = { { .r = a, .n = gr_lresult_n_whole(a) }, { .r = b, .n = gr_lresult_n_whole(b) } };
	size_t n = 0, n_most = sides[0].n > sides[1].n ? sides[0].n : sides[1].n, n_least = sides[0].n < sides[1].n ? sides[0].n : sides[1].n;
	bool is_paired = are_paired(a, b, sides[0].n, sides[1].n);
	uint32_t *at = gr_xalloc((n_most + 1) * sizeof(*at));
	struct gr_rng rng = { 20161108 };
	struct gr_hdr h = { 0 };
	double n_answers = INFINITY, v[N_STATS];

	for (int s = 0; s < 2; s++) {
		sides[s].drawn = gr_xalloc(N_STATS * sizeof(*sides[s].drawn));
		for (size_t i = 0; i < sides[s].n; i++)
			at[i] = (uint32_t)i;
		stats_of(sides[s].r, at, sides[s].n, &h, sides[s].value);
		n_answers = (double)h.total < n_answers ? (double)h.total : n_answers;
	}
	for (int round = 0; n_least > 1 && round < N_ROUNDS; round++)
		for (int s = 0; s < 2; s++) {
			for (size_t i = 0; i < sides[s].n && !(s && is_paired); i++)
				at[i] = gr_rng_below(&rng, (uint32_t)sides[s].n);
			stats_of(sides[s].r, at, sides[s].n, &h, v);
			for (size_t k = 0; k < N_STATS; k++)
				sides[s].drawn[k][round] = scaled(k, v[k]);
		}
	for (size_t k = 0; k < N_STATS && n < max; k++) {
		struct gr_lcompare *c = &out[n++];
		double wide = n_least > 1 ? half_width(&sides[0], &sides[1], is_paired, k) : 0, d;

		c->what = k < N_Q ? quantiles[k].what : k == RATE ? "rate_per_s" : "error_share";
		c->a = sides[0].value[k];
		c->b = sides[1].value[k];
		d = scaled(k, c->b) - scaled(k, c->a);
		c->low = k < N_Q ? c->a * expm1(d - wide) : d - wide;
		c->high = k < N_Q ? c->a * expm1(d + wide) : d + wide;
		/* a few intervals say nothing of how intervals differ */
		c->is_judged = n_least >= MIN_INTERVALS && (k >= N_Q || n_answers * (1 - quantiles[k].q) >= MIN_BEYOND);
		c->is_real = (c->low > 0 || c->high < 0) && c->is_judged;
	}
	for (int s = 0; s < 2; s++)
		free(sides[s].drawn);
	free(at);
	gr_hdr_fini(&h);
	return n;
}
