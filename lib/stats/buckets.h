/**
 * buckets - a histogram with fixed bounds, as Prometheus takes it: counts per bucket, sum and count
 */
#pragma once
#include <stdint.h>

#define GR_BUCKETS_MAX 24u

struct gr_buckets {
	const double *bounds;         /* rising; borrowed */
	uint32_t n_bounds;            /* <= GR_BUCKETS_MAX; one more bucket holds what is above */
	uint64_t counts[GR_BUCKETS_MAX + 1], count;
	double sum;
};

static inline void gr_buckets_init(struct gr_buckets *b, const double *bounds, uint32_t n_bounds)
{
	*b = (struct gr_buckets){ .bounds = bounds, .n_bounds = n_bounds < GR_BUCKETS_MAX ? n_bounds : GR_BUCKETS_MAX };
}
/* @n equal observations of @x at once. */
static inline void gr_buckets_add(struct gr_buckets *b, double x, uint64_t n)
{
	uint32_t i = 0;

	while (i < b->n_bounds && x > b->bounds[i])
		i++;
	b->counts[i] += n;
	b->count += n;
	b->sum += x * (double)n;
}
