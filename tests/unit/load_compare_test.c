/* load_compare_test.c - two runs compared: equal servers are seldom said to differ, different ones are; and the line of one that runs */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client/load/result.h"
#include "lib/base/alloc.h"
#include "lib/base/rng.h"

static double uniform(struct gr_rng *r) { return ((double)(gr_rng_u64(r) >> 11) + .5) / (double)(1ull << 53); }
static double normal(struct gr_rng *r) { return sqrt(-2 * log(uniform(r))) * cos(6.283185307179586 * uniform(r)); }

struct runs { size_t n; int per; double ms, answered; bool is_ramp; };

/* @n seconds of @per answers, latencies log-normal around @ms. Each second is faster or slower as a whole, and half of that
 * carries over into the next one. A ramp: of the last second's rate four times the first one's, and slower with it. */
static void fill(struct gr_lresult *r, struct gr_rng *g, struct runs how, double ms, double answered)
{
	size_t n = how.n;
	double mood = .3 * normal(g), up;

	memset(r, 0, sizeof(*r));
	r->run = json_pack("{s:f}", "len_s", (double)n);
	r->intervals = gr_xalloc(n * sizeof(*r->intervals));
	r->n_intervals = n;
	for (size_t i = 0; i < n; i++) {
		struct gr_linterval *v = &r->intervals[i];

		v->t_s = (double)i;
		v->len_s = 1;
		mood = .5 * mood + .26 * normal(g);
		up = how.is_ramp ? 1 + 3 * (double)i / (double)n : 1;
		v->n[GR_LOAD_N_DUE] = (uint64_t)(how.per * up);
		for (int k = 0; k < (int)(how.per * up * answered * (1 + .02 * normal(g))); k++)
			gr_hdr_add(&v->latency, (uint64_t)(ms * up * 1e6 * exp(mood + .5 * normal(g))));
		v->fails[0] = gr_rng_below(g, 3);
	}
}

static void empty(struct gr_lresult *r)
{
	for (size_t i = 0; i < r->n_intervals; i++)
		gr_hdr_fini(&r->intervals[i].latency);
	free(r->intervals);
	json_decref(r->run);
}

enum { P50, P90, P99, P99_9, RATE, ERRORS, N };

static void compare(struct gr_rng *g, struct runs how, struct gr_lcompare out[N])
{
	struct gr_lresult a, b;

	fill(&a, g, how, 1, 1);
	fill(&b, g, how, how.ms, how.answered);
	assert_int_equal(gr_lcompare(&a, &b, out, N), N);
	empty(&a);
	empty(&b);
}

/* 5 % is meant. With 200, 100 and 100 pairs it is 0 to 2, 0 to 5 and 0 to 7 % by figure; of fewer, a tenth is no surprise. */
static void equal_servers_are_seldom_said_to_differ(void **state)
{
	static const struct { struct runs how; int pairs; } cases[] = {
		{ { 12, 60, 1, 1, false }, 120 }, { { 30, 80, 1, 1, false }, 60 }, { { 20, 40, 1, 1, true }, 60 },
	};
	struct gr_rng g = { 4 };

	(void)state;
	for (size_t k = 0; k < GR_LEN(cases); k++) {
		int n_real[N] = { 0 };

		for (int p = 0; p < cases[k].pairs; p++) {
			struct gr_lcompare c[N];

			compare(&g, cases[k].how, c);
			for (int i = 0; i < N; i++)
				n_real[i] += c[i].is_real;
		}
		for (int i = 0; i < N; i++)
			if (n_real[i] > cases[k].pairs / 10)
				fail_msg("case %zu: of %d pairs %d are said to differ in figure %d", k, cases[k].pairs, n_real[i], i);
	}
}

static void a_server_twice_as_slow_is_seen(void **state)
{
	struct gr_rng g = { 5 };
	struct gr_lcompare c[N];

	(void)state;
	compare(&g, (struct runs){ 30, 200, 2, 1, false }, c);
	assert_true(c[P50].is_real && c[P50].low > .5 && c[P50].high < 2);
	assert_true(c[P90].is_real && c[P99].is_real);
	assert_false(c[RATE].is_real);
	assert_false(c[P99_9].is_real || c[P99_9].is_judged);    /* six answers lie beyond it */
}

static void a_tenth_fewer_answers_on_a_ramp_is_seen(void **state)
{
	struct gr_rng g = { 7 };
	struct gr_lcompare c[N];

	(void)state;
	compare(&g, (struct runs){ 20, 100, 1, .9, true }, c);
	assert_true(c[RATE].is_real && c[RATE].high < 0);
}

static void few_intervals_say_nothing(void **state)
{
	struct gr_rng g = { 6 };
	struct gr_lcompare c[N];

	(void)state;
	compare(&g, (struct runs){ 6, 200, 9, 1, false }, c);
	for (int i = 0; i < N; i++)
		assert_false(c[i].is_real || c[i].is_judged);
}

static void the_line_of_a_test_that_only_waits_keeps_the_rate_it_had(void **state)
{
	struct gr_rng g = { 8 };
	struct gr_lresult r;
	char line[256], rate[32];

	(void)state;
	fill(&r, &g, (struct runs){ 5, 100, 1, 1, false }, 1, 1);
	json_object_set_new(r.run, "len_s", json_real(3));      /* the 4th and 5th second: nothing is sent, one is answered, one fails */
	gr_hdr_fini(&r.intervals[4].latency);
	memset(&r.intervals[4].latency, 0, sizeof(r.intervals[4].latency));
	memset(r.intervals[2].fails, 0, sizeof(r.intervals[2].fails));
	r.intervals[3].fails[0] = 1;
	r.intervals[4].fails[0] = 2;
	r.intervals[4].gauges[GR_LOAD_G_IN_FLIGHT] = 7;
	gr_lshow_line(&r, line, sizeof(line));
	snprintf(rate, sizeof(rate), " %.1f/s ", (double)r.intervals[2].latency.total);
	if (!strstr(line, rate) || strncmp(line, "    5 s", 7) || !strstr(line, " 7 in flight  3 errors"))
		fail_msg("%s", line);
	empty(&r);
}

/* A kept result may come from anywhere: whatever stands in it is text on the page. */
static void what_a_result_says_is_text_on_its_page(void **state)
{
	static const char *const lines[] = {
		"{\"type\": \"run\", \"run\": \"<x>1\", \"name\": \"<x>2\", \"target\": \"<x>3\", \"model\": \"<x>4\"}",
		"{\"type\": \"end\", \"verdict\": \"<x>5\", \"why\": \"<x>6\", \"thresholds\": [{\"is\": \"<x>7\", \"value\": 1, \"unit\": \"<x>8\"}]}",
	};
	struct gr_lresult r[2] = { 0 };
	const struct gr_lresult *both[] = { &r[0], &r[1] };
	char *page = NULL, *at;
	size_t n = 0;
	FILE *out = open_memstream(&page, &n);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		r[i].run = json_loads(lines[0], 0, NULL);
		r[i].end = json_loads(lines[1], 0, NULL);
		r[i].plan = json_pack("{s:i}", "<x>9", (int)i);
		r[i].events = json_pack("[{s:s, s:s, s:s}]", "type", "<x>10", "worker", "<x>11", "why", "<x>12");
	}
	gr_lshow_html(both, 2, out);
	assert_int_equal(fclose(out), 0);
	at = strstr(page, "<x>");
	if (at)
		fail_msg("%.200s", at);
	for (int i = 1; i <= 12; i++) {
		char want[16];

		snprintf(want, sizeof(want), "&lt;x&gt;%d", i);
		if (!strstr(page, want))
			fail_msg("%s is not on the page", want);
	}
	free(page);
	for (size_t i = 0; i < 2; i++)
		gr_lresult_fini(&r[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_servers_are_seldom_said_to_differ),
		cmocka_unit_test(a_server_twice_as_slow_is_seen),
		cmocka_unit_test(a_tenth_fewer_answers_on_a_ramp_is_seen),
		cmocka_unit_test(few_intervals_say_nothing),
		cmocka_unit_test(the_line_of_a_test_that_only_waits_keeps_the_rate_it_had),
		cmocka_unit_test(what_a_result_says_is_text_on_its_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
