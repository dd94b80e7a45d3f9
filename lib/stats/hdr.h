/**
 * hdr - a histogram of times with three significant digits from 64 ns to an hour, merged exactly
 *
 * The layout is HdrHistogram's with lowest discernible value 64 (ns), highest 3.6e12, 3 digits: 2048 linear counters of
 * 64 ns, then 1024 for each doubling. Two histograms are merged count by count, so that the percentiles of a merged one
 * are those of all the values, with no more error than one histogram has. Minimum, maximum and sum are kept exactly
 * beside the counts. The counters grow with the largest value met: an untouched histogram costs 64 bytes.
 *
 * gr_hdr_encode gives the public V2 encoding (uncompressed, or zlib and base64 as the HdrHistogram tools exchange it).
 * Source: hdrhistogram.org; HdrHistogram/HdrHistogram, AbstractHistogram.java, encodeIntoByteBuffer.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"
#include "lib/base/err.h"

#define GR_HDR_LOWEST 64ull
#define GR_HDR_HIGHEST 3600000000000ull          /* larger values count as this */
#define GR_HDR_N_COUNTS 27648u
#define GR_HDR_MAX_ENCODED_BYTES (40u + 9u * GR_HDR_N_COUNTS)

struct gr_hdr {                                  /* zeroed: empty and valid */
	uint64_t *counts;
	uint32_t n_counts;                       /* allocated */
	uint32_t i_low, i_high;                  /* touched counters are within i_low..i_high when total > 0 */
	uint64_t total, min, max;
	double sum;
};

void gr_hdr_fini(struct gr_hdr *h);
void gr_hdr_clear(struct gr_hdr *h);             /* empty; memory kept */
void gr_hdr__grow(struct gr_hdr *h, uint32_t i);

static inline uint32_t gr_hdr_index(uint64_t v)
{
	uint32_t bucket = 64 - (uint32_t)__builtin_clzll(v | 0x1ffff) - 17;

	return (bucket << 10) + (uint32_t)(v >> (bucket + 6));
}
/* @n values of @v at once. O(1); allocates only for a value larger than any before. */
static inline void gr_hdr_add_n(struct gr_hdr *h, uint64_t v, uint64_t n)
{
	uint32_t i;

	if (v > GR_HDR_HIGHEST)
		v = GR_HDR_HIGHEST;
	i = gr_hdr_index(v);
	if (__builtin_expect(i >= h->n_counts, 0))
		gr_hdr__grow(h, i);
	if (!h->total) {
		h->i_low = h->i_high = i;
		h->min = h->max = v;
	}
	h->counts[i] += n;
	h->total += n;
	h->sum += (double)v * (double)n;
	if (i < h->i_low)
		h->i_low = i;
	if (i > h->i_high)
		h->i_high = i;
	if (v < h->min)
		h->min = v;
	if (v > h->max)
		h->max = v;
}
static inline void gr_hdr_add(struct gr_hdr *h, uint64_t v) { gr_hdr_add_n(h, v, 1); }
void gr_hdr_merge(struct gr_hdr *into, const struct gr_hdr *from);               /* exact */

uint64_t gr_hdr_value_low(uint32_t i);           /* smallest and largest value that counter @i stands for */
uint64_t gr_hdr_value_high(uint32_t i);
/* The value that @q (0..1) of all are at or below, as HdrHistogram gives it: the highest equivalent one, and never more
 * than the exact maximum; 0 when empty. */
uint64_t gr_hdr_quantile(const struct gr_hdr *h, double q);
double gr_hdr_mean(const struct gr_hdr *h);      /* exact; 0 when empty */
uint64_t gr_hdr_count_above(const struct gr_hdr *h, uint64_t v);  /* in counters that lie wholly above @v's */

/* Appends the V2 encoding: cookie, header, then zigzag LEB128 counts with negative numbers for runs of zeros. */
void gr_hdr_encode(const struct gr_hdr *h, struct gr_buf *out);
/**
 * gr_hdr_decode - adds an encoded histogram's counts to @into
 * Only this layout is taken. min, max and sum become those of the counters' bounds and middles; who knows them better
 * uses gr_hdr_set_exact. Bounded: at most GR_HDR_N_COUNTS counters, totals must not overflow.
 * Return: 0; GR_ETRUNC, GR_EPROTO, GR_ELIMIT, GR_EUNSUP (another layout), and @into is as it was.
 */
int gr_hdr_decode(struct gr_slice in, struct gr_hdr *into) GR_MUST_CHECK;
/* For one that was only just decoded. What contradicts the counts is GR_EPROTO. */
int gr_hdr_set_exact(struct gr_hdr *h, uint64_t min, uint64_t max, double sum) GR_MUST_CHECK;
/* The text the HdrHistogram tools take: base64 of the zlib-compressed V2 form. */
void gr_hdr_encode_text(const struct gr_hdr *h, struct gr_buf *out);
int gr_hdr_decode_text(const char *text, struct gr_hdr *into) GR_MUST_CHECK;
