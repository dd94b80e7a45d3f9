/* stats_hdr_test.c - the histogram against sorted values, its merge, and the public V2 encoding */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/rng.h"
#include "lib/stats/hdr.h"

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* From nanoseconds to minutes, each order of magnitude as likely. */
static uint64_t some_time(struct gr_rng *r)
{
	return gr_rng_u64(r) >> (23 + gr_rng_below(r, 40));
}

static void quantiles_are_within_a_thousandth_of_the_sorted_values(void **state)
{
	static const double qs[] = { 0, .001, .1, .5, .9, .99, .999, .9999, 1 };
	struct gr_rng r = { 7 };
	struct gr_hdr h = { 0 };
	enum { N = 100000 };
	uint64_t *v = gr_xalloc(N * sizeof(*v));

	(void)state;
	for (int i = 0; i < N; i++) {
		v[i] = some_time(&r);
		gr_hdr_add(&h, v[i]);
	}
	qsort(v, N, sizeof(*v), by_value);
	for (size_t i = 0; i < GR_LEN(qs); i++) {
		size_t at = (size_t)(qs[i] * N);
		uint64_t want, got = gr_hdr_quantile(&h, qs[i]);

		at = (double)at < qs[i] * N ? at + 1 : at;
		want = v[at ? at - 1 : 0];
		assert_true(got >= want);
		assert_true(got - want <= want / 1000 + 64);
	}
	assert_int_equal(gr_hdr_quantile(&h, 1), v[N - 1]);
	assert_int_equal(h.min, v[0]);
	assert_int_equal(h.max, v[N - 1]);
	free(v);
	gr_hdr_fini(&h);
}

static void every_counter_holds_exactly_its_own_values(void **state)
{
	uint64_t next = 0;

	(void)state;
	for (uint32_t i = 0; i <= gr_hdr_index(GR_HDR_HIGHEST); i++) {
		assert_int_equal(gr_hdr_value_low(i), next);
		assert_int_equal(gr_hdr_index(gr_hdr_value_low(i)), i);
		assert_int_equal(gr_hdr_index(gr_hdr_value_high(i)), i);
		next = gr_hdr_value_high(i) + 1;
	}
	assert_true(gr_hdr_index(GR_HDR_HIGHEST) < GR_HDR_N_COUNTS);
}

static bool same(const struct gr_hdr *a, const struct gr_hdr *b)
{
	if (a->total != b->total || a->min != b->min || a->max != b->max)
		return false;
	for (uint32_t i = a->i_low; i <= a->i_high && a->total; i++)
		if (i >= b->n_counts || a->counts[i] != b->counts[i])
			return false;
	return true;
}

static void merging_parts_gives_count_for_count_the_whole(void **state)
{
	struct gr_rng r = { 11 };

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct gr_hdr whole = { 0 }, part[4] = { { 0 } }, sum = { 0 };

		for (int i = 0; i < 2000; i++) {
			uint64_t v = some_time(&r);

			gr_hdr_add(&whole, v);
			gr_hdr_add(&part[gr_rng_below(&r, 4)], v);
		}
		for (int i = 0; i < 4; i++)
			gr_hdr_merge(&sum, &part[i]);
		assert_true(same(&whole, &sum));
		assert_true(whole.sum - sum.sum < 1 && sum.sum - whole.sum < 1);
		for (int i = 0; i < 4; i++)
			gr_hdr_fini(&part[i]);
		gr_hdr_fini(&whole);
		gr_hdr_fini(&sum);
	}
}

static void clearing_leaves_nothing_of_the_old_counts(void **state)
{
	struct gr_hdr h = { 0 };

	(void)state;
	gr_hdr_add(&h, 1000000);
	gr_hdr_add(&h, 50);
	gr_hdr_clear(&h);
	assert_int_equal(gr_hdr_quantile(&h, .5), 0);
	gr_hdr_add(&h, 77000);
	assert_int_equal(h.total, 1);
	assert_int_equal(gr_hdr_quantile(&h, 0), 77000);
	for (uint32_t i = 0; i < h.n_counts; i++)
		assert_int_equal(h.counts[i], i == gr_hdr_index(77000));
	gr_hdr_fini(&h);
}

static void what_is_longer_than_an_hour_counts_as_an_hour(void **state)
{
	struct gr_hdr h = { 0 };

	(void)state;
	gr_hdr_add(&h, UINT64_MAX);
	assert_int_equal(h.max, GR_HDR_HIGHEST);
	assert_int_equal(gr_hdr_quantile(&h, .5), GR_HDR_HIGHEST);
	gr_hdr_fini(&h);
}

static void an_encoded_histogram_decodes_to_the_same_counts(void **state)
{
	struct gr_rng r = { 13 };

	(void)state;
	for (int round = 0; round < 100; round++) {
		struct gr_hdr a = { 0 }, b = { 0 }, c = { 0 };
		struct gr_buf raw = { 0 }, text = { 0 };

		for (uint32_t i = gr_rng_below(&r, 500); i > 0; i--)
			gr_hdr_add_n(&a, some_time(&r), 1 + gr_rng_u64(&r) % (1ull << gr_rng_below(&r, 40)));
		gr_hdr_encode(&a, &raw);
		gr_hdr_encode_text(&a, &text);
		assert_int_equal(gr_hdr_decode(gr_buf_slice(&raw), &b), 0);
		assert_int_equal(gr_hdr_set_exact(&b, a.min, a.max, a.sum), 0);
		assert_true(same(&a, &b));
		assert_int_equal(gr_hdr_decode_text(gr_buf_str(&text), &c), 0);
		assert_int_equal(c.total, a.total);
		gr_buf_fini(&raw);
		gr_buf_fini(&text);
		gr_hdr_fini(&a);
		gr_hdr_fini(&b);
		gr_hdr_fini(&c);
	}
}

/* By hand from the format: 1 ms once (counter 3 * 1024 + (1000000 >> 9). */
static void the_encoding_has_the_published_form(void **state)
{
	static const uint8_t want[] = {
		0x1c, 0x84, 0x93, 0x13, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 64,
		0, 0, 0x03, 0x46, 0x30, 0xb8, 0xa0, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0,
		0xc1, 0x4e,              /* -5025: counters 0..5024 */
		0x02,                    /* 1 */
	};
	struct gr_buf b = { 0 };
	struct gr_hdr h = { 0 };
	uint32_t i = gr_hdr_index(1000000);

	(void)state;
	assert_int_equal(i, 3 * 1024 + 1953);
	gr_hdr_add(&h, 1000000);
	gr_hdr_encode(&h, &b);
	assert_int_equal(b.n, sizeof(want) );
	assert_memory_equal(b.p + 8, want + 8, 32);
	assert_memory_equal(b.p, want, 4);
	assert_int_equal(b.p[7], b.n - 40);
	assert_memory_equal(b.p + 40, want + 40, sizeof(want) - 40);
	gr_buf_fini(&b);
	gr_hdr_fini(&h);
}

static void damaged_encodings_are_refused_and_change_nothing(void **state)
{
	struct gr_hdr a = { 0 }, b = { 0 };
	struct gr_buf raw = { 0 };

	(void)state;
	gr_hdr_add(&a, 5000);
	gr_hdr_add(&a, 5000000);
	gr_hdr_encode(&a, &raw);
	for (size_t n = 0; n < raw.n; n++)
		assert_true(gr_hdr_decode(gr_slice(raw.p, n), &b) < 0);
	raw.p[15] = 2;
	assert_int_equal(gr_hdr_decode(gr_buf_slice(&raw), &b), GR_EUNSUP);
	assert_int_equal(b.total, 0);
	assert_int_equal(gr_hdr_decode_text("not base64!!", &b), GR_EPROTO);
	assert_int_equal(gr_hdr_decode_text("", &b), GR_ETRUNC);
	assert_int_equal(gr_hdr_set_exact(&a, 5000, 5000, 1), GR_EPROTO);
	gr_buf_fini(&raw);
	gr_hdr_fini(&a);
	gr_hdr_fini(&b);
}

/* The public readers: npm's hdr-histogram-js or Python's hdrhistogram, whichever is here. */
static void the_public_tools_read_the_same_percentiles(void **state)
{
	static const char py[] =
		"import sys\nfrom hdrh.histogram import HdrHistogram\nh = HdrHistogram.decode(sys.argv[1])\n"
		"print(h.total_count, *[h.get_value_at_percentile(p) for p in (50, 90, 99, 99.9)])\n";
	static const char js[] =
		"const h = require('hdr-histogram-js').decodeFromCompressedBase64(process.argv[1]);\n"
		"console.log(h.totalCount, ...[50, 90, 99, 99.9].map(p => h.getValueAtPercentile(p)));\n";
	static const double qs[] = { .5, .9, .99, .999 };
	struct gr_buf text = { 0 }, out = { 0 }, why = { 0 };
	struct gr_rng r = { 17 };
	struct gr_hdr h = { 0 };
	unsigned long long n, v[4];
	int rc;

	(void)state;
	for (int i = 0; i < 20000; i++)
		gr_hdr_add(&h, some_time(&r));
	gr_hdr_encode_text(&h, &text);
	rc = gr_proc_capture((const char *[]){ "python3", "-c", py, gr_buf_str(&text), NULL }, NULL, NULL, 4096, &out, &why, NULL);
	if (rc != 0) {
		gr_buf_clear(&out);
		rc = gr_proc_capture((const char *[]){ "node", "-e", js, gr_buf_str(&text), NULL }, NULL, getenv("HDR_NODE_DIR"), 4096,
				     &out, &why, NULL);
	}
	if (rc != 0) {
		gr_buf_fini(&text), gr_buf_fini(&out), gr_buf_fini(&why);
		gr_hdr_fini(&h);
		print_message("# skipped: neither Python's hdrhistogram nor npm's hdr-histogram-js is installed\n");
		return;
	}
	assert_int_equal(sscanf(gr_buf_str(&out), "%llu %llu %llu %llu %llu", &n, &v[0], &v[1], &v[2], &v[3]), 5);
	assert_int_equal(n, 20000);
	for (int i = 0; i < 4; i++)
		assert_int_equal(gr_hdr_index(v[i]), gr_hdr_index(gr_hdr_quantile(&h, qs[i])));
	gr_buf_fini(&text), gr_buf_fini(&out), gr_buf_fini(&why);
	gr_hdr_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quantiles_are_within_a_thousandth_of_the_sorted_values),
		cmocka_unit_test(every_counter_holds_exactly_its_own_values),
		cmocka_unit_test(merging_parts_gives_count_for_count_the_whole),
		cmocka_unit_test(clearing_leaves_nothing_of_the_old_counts),
		cmocka_unit_test(what_is_longer_than_an_hour_counts_as_an_hour),
		cmocka_unit_test(an_encoded_histogram_decodes_to_the_same_counts),
		cmocka_unit_test(the_encoding_has_the_published_form),
		cmocka_unit_test(damaged_encodings_are_refused_and_change_nothing),
		cmocka_unit_test(the_public_tools_read_the_same_percentiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
