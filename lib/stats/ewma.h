/**
 * ewma - an exponentially weighted moving average with a warm-up: the first samples weigh as a plain mean
 */
#pragma once
#include <stdint.h>

struct gr_ewma {
	double mean;
	uint32_t n;
};

/* @weight_n: about how many of the last samples count, >= 1. */
static inline void gr_ewma_add(struct gr_ewma *e, double x, uint32_t weight_n)
{
	uint32_t k = e->n < weight_n ? ++e->n : weight_n;

	e->mean += (x - e->mean) / k;
}
