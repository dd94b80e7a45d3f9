/* buf.c - see buf.h */
#include "lib/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

#define FIRST_BYTES 128u                  /* what a short frame needs: to grow costs as much as to make one */

void gr_buf_fini(struct gr_buf *b)
{
	free(b->p);
	*b = (struct gr_buf){ 0 };
}

void gr_buf_clear(struct gr_buf *b)
{
	b->n = 0;
	if (b->p)
		b->p[0] = 0;
}

void gr_buf__grow(struct gr_buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : FIRST_BYTES;

	while (cap < b->n + more + 1)
		cap *= 2;
	b->p = gr_xrealloc(b->p, cap);
	b->cap = cap;
}

void gr_buf_add(struct gr_buf *b, const void *p, size_t n)
{
	gr_buf_reserve(b, n);
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = 0;
}

void gr_buf_add_str(struct gr_buf *b, const char *s) { gr_buf_add(b, s, strlen(s)); }

void gr_buf_add_int(struct gr_buf *b, int64_t v)
{
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		text[--at] = '-';
	gr_buf_add(b, text + at, sizeof(text) - at);
}

void gr_buf_printf(struct gr_buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	gr_buf_reserve(b, 32);                    /* for most that is enough, at once */
	va_start(ap, fmt);
	n = vsnprintf((char *)b->p + b->n, b->cap - b->n, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->p[b->n] = 0;
		return;
	}
	if ((size_t)n >= b->cap - b->n) {
		gr_buf_reserve(b, (size_t)n);
		va_start(ap, fmt);
		vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->n += (size_t)n;
}

char *gr_buf_take(struct gr_buf *b, size_t *n)
{
	char *p;

	gr_buf_reserve(b, 0);
	b->p[b->n] = 0;
	p = (char *)b->p;
	if (n)
		*n = b->n;
	*b = (struct gr_buf){ 0 };
	return p;
}

const char *gr_buf_str(struct gr_buf *b)
{
	gr_buf_reserve(b, 0);
	b->p[b->n] = 0;
	return (const char *)b->p;
}

struct gr_slice gr_slice_str(const char *s) { return gr_slice(s, strlen(s)); }

bool gr_slice_eq(struct gr_slice a, struct gr_slice b)
{
	return a.n == b.n && (a.n == 0 || !memcmp(a.p, b.p, a.n));
}

bool gr_slice_is(struct gr_slice a, const char *s) { return gr_slice_eq(a, gr_slice_str(s)); }

bool gr_slice_prefix(struct gr_slice a, const char *prefix, struct gr_slice *rest)
{
	size_t n = strlen(prefix);

	if (a.n < n || memcmp(a.p, prefix, n))
		return false;
	if (rest)
		*rest = gr_slice(a.p + n, a.n - n);
	return true;
}
