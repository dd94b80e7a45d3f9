/**
 * pool - what is allocated and freed once for each task, of one size: kept for the next one
 *
 * `struct gr_pool p = { .size = sizeof(struct x) };` is a valid empty pool. What comes out is zeroed. At most GR_POOL_MAX free ones are
 * kept; the last that was freed comes first, so that it is in the cache still. Built with AddressSanitizer
 * nothing is kept: it shall see each use of what was freed. Thread: any, one at a time.
 */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"

#define GR_POOL_MAX 4096u

struct gr_pool {
	size_t size;              /* of one, at least a pointer's */
	uint32_t n;
	void *free;               /* its first bytes: the next one */
};

static inline void *gr_pool_get(struct gr_pool *p)
{
	void *x = p->free;

	if (!x)
		return gr_xalloc(p->size);
	memcpy(&p->free, x, sizeof(p->free));
	p->n--;
	return memset(x, 0, p->size);
}

static inline void gr_pool_put(struct gr_pool *p, void *x)
{
#ifdef __SANITIZE_ADDRESS__
	free(x);
	(void)p;
#else
	if (p->n == GR_POOL_MAX) {
		free(x);
		return;
	}
	memcpy(x, &p->free, sizeof(p->free));
	p->free = x;
	p->n++;
#endif
}

static inline void gr_pool_fini(struct gr_pool *p)
{
	for (void *x = p->free, *next; x; x = next) {
		memcpy(&next, x, sizeof(next));
		free(x);
	}
	p->free = NULL;
	p->n = 0;
}
