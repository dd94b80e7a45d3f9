/* alloc.c - see alloc.h */
#include "lib/base/alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE (2u << 20)
#define PAGE 65536u                   /* of any machine */
#define LINE 64u

static void die(size_t n)
{
	fprintf(stderr, "griddle: out of memory: %zu bytes\n", n);
	abort();
}

void *gr_xalloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		die(n);
	return p;
}

static void *aligned(size_t to, size_t n)
{
	void *p = aligned_alloc(to, (n + to - 1) / to * to);

	if (!p)
		die(n);
	return p;
}

void *gr_xlines(size_t n) { return aligned(LINE, n ? n : 1); }

void *gr_xtable(size_t n)
{
	void *p;

	if (n < HUGE) {
		p = gr_xlines(n);
	} else {
		p = aligned(HUGE, n);
		madvise(p, (n + HUGE - 1) / HUGE * HUGE, MADV_HUGEPAGE);
	}
	memset(p, 0, n);
	return p;
}

void *gr_xtable_grow(void *old, size_t n_old, size_t n)
{
	void *p = gr_xtable(n);

	if (n_old)
		memcpy(p, old, n_old);
	free(old);
	return p;
}

/* What is used of a span: by small pages up to one huge one. */
static size_t whole(size_t n)
{
	size_t page = n < HUGE ? PAGE : HUGE;

	return (n + page - 1) / page * page;
}

void *gr_xspan(size_t most)
{
	size_t n = whole(most) + HUGE, before;
	char *p = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die(most);
	before = -(uintptr_t)p % HUGE;
	if (before)
		munmap(p, before);
	if (HUGE - before)
		munmap(p + before + whole(most), HUGE - before);
	return p + before;
}

void gr_xspan_use(void *span, size_t from, size_t to)
{
	char *p = span;

	from = whole(from);
	to = whole(to);
	if (from == to)
		return;
	if (mprotect(p + from, to - from, PROT_READ | PROT_WRITE) < 0)
		die(to - from);
	madvise(p + from, to - from, MADV_HUGEPAGE);
}

void gr_xspan_free(void *span, size_t most)
{
	if (span)
		munmap(span, whole(most));
}

void *gr_xrealloc(void *old, size_t n)
{
	void *p = realloc(old, n ? n : 1);

	if (!p)
		die(n);
	return p;
}

void *gr_xmemdup(const void *src, size_t n)
{
	char *p = gr_xalloc(n + 1);

	if (n)
		memcpy(p, src, n);
	return p;
}

char *gr_xstrdup(const char *s) { return gr_xmemdup(s, strlen(s)); }
char *gr_xstrndup(const char *s, size_t n) { return gr_xmemdup(s, strnlen(s, n)); }
void *gr_tryalloc(size_t n) { return calloc(1, n ? n : 1); }

void *gr_xgrow_sz(void *p, size_t *cap, size_t need, size_t elem)
{
	size_t n = *cap ? *cap : 8;

	while (n < need)
		n *= 2;
	p = gr_xrealloc(p, n * elem);
	memset((char *)p + *cap * elem, 0, (n - *cap) * elem);
	*cap = n;
	return p;
}
