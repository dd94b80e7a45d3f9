/**
 * rng - a small seeded generator (splitmix64), for jitter and sampling; never for keys or secrets
 */
#pragma once
#include <stdint.h>

struct gr_rng {
	uint64_t s;
};

static inline uint64_t gr_rng_u64(struct gr_rng *r)
{
	uint64_t z = (r->s += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}
/* Uniform in [0, n), n > 0. */
static inline uint32_t gr_rng_below(struct gr_rng *r, uint32_t n)
{
	return (uint32_t)(((gr_rng_u64(r) >> 32) * n) >> 32);
}
