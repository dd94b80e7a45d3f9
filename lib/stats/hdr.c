/* hdr.c - counting, merging and asking; the encodings are in hdr_code.c */
#include "lib/stats/hdr.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

void gr_hdr_fini(struct gr_hdr *h)
{
	free(h->counts);
	*h = (struct gr_hdr){ 0 };
}

void gr_hdr_clear(struct gr_hdr *h)
{
	if (h->total)
		memset(h->counts + h->i_low, 0, (h->i_high - h->i_low + 1) * sizeof(*h->counts));
	h->total = h->min = h->max = 0;
	h->i_low = h->i_high = 0;
	h->sum = 0;
}

/* To the end of the doubling that @i lies in: the next growth is far away. */
void gr_hdr__grow(struct gr_hdr *h, uint32_t i)
{
	uint32_t n = (i | 1023) + 1;

	if (n < 2048)
		n = 2048;
	if (n <= h->n_counts)
		return;
	h->counts = gr_xrealloc(h->counts, n * sizeof(*h->counts));
	memset(h->counts + h->n_counts, 0, (n - h->n_counts) * sizeof(*h->counts));
	h->n_counts = n;
}

void gr_hdr_merge(struct gr_hdr *into, const struct gr_hdr *from)
{
	if (!from->total)
		return;
	gr_hdr__grow(into, from->i_high);
	for (uint32_t i = from->i_low; i <= from->i_high; i++)
		into->counts[i] += from->counts[i];
	if (!into->total || from->i_low < into->i_low)
		into->i_low = from->i_low;
	if (!into->total || from->i_high > into->i_high)
		into->i_high = from->i_high;
	if (!into->total || from->min < into->min)
		into->min = from->min;
	if (!into->total || from->max > into->max)
		into->max = from->max;
	into->total += from->total;
	into->sum += from->sum;
}

uint64_t gr_hdr_value_low(uint32_t i)
{
	uint32_t bucket = i >> 10, sub = (i & 1023) + 1024;

	if (!bucket)
		return (uint64_t)i << 6;
	return (uint64_t)sub << (bucket - 1 + 6);
}

uint64_t gr_hdr_value_high(uint32_t i)
{
	uint32_t bucket = i >> 10;

	return gr_hdr_value_low(i) + (64ull << (bucket ? bucket - 1 : 0)) - 1;
}

uint64_t gr_hdr_quantile(const struct gr_hdr *h, double q)
{
	uint64_t want, n = 0, v;

	if (!h->total)
		return 0;
	if (q >= 1)                              /* totals beyond 2^53 do not survive the product */
		return h->max;
	q = q < 0 ? 0 : q;
	want = (uint64_t)(q * (double)h->total);
	want += (double)want < q * (double)h->total;         /* rounded up */
	if (!want)
		want = 1;
	for (uint32_t i = h->i_low; i <= h->i_high; i++) {
		n += h->counts[i];
		if (n >= want) {
			v = gr_hdr_value_high(i);
			return v > h->max ? h->max : v;
		}
	}
	return h->max;
}

double gr_hdr_mean(const struct gr_hdr *h)
{
	return h->total ? h->sum / (double)h->total : 0;
}

uint64_t gr_hdr_count_above(const struct gr_hdr *h, uint64_t v)
{
	uint32_t i = gr_hdr_index(v > GR_HDR_HIGHEST ? GR_HDR_HIGHEST : v) + 1;
	uint64_t n = 0;

	if (!h->total)
		return 0;
	for (i = i < h->i_low ? h->i_low : i; i <= h->i_high; i++)
		n += h->counts[i];
	return n;
}
