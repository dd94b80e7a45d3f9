/**
 * buf - a growable byte buffer, and a borrowed slice of bytes
 *
 * `struct gr_buf b = { 0 };` is a valid empty buffer. The bytes are always followed by a NUL that is not counted,
 * once anything was added. Growth doubles; a peer's size must be checked against a limit before it gets here.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include "lib/base/err.h"

struct gr_slice {
	const uint8_t *p;
	size_t n;
};

struct gr_buf {
	uint8_t *p;
	size_t n, cap;
};

void gr_buf_fini(struct gr_buf *b);                       /* frees and empties */
void gr_buf_clear(struct gr_buf *b);                      /* n = 0, memory kept */
void gr_buf__grow(struct gr_buf *b, size_t more);
static inline void gr_buf_reserve(struct gr_buf *b, size_t more)      /* room for @more bytes behind n */
{
	if (__builtin_expect(b->n + more + 1 > b->cap, 0))
		gr_buf__grow(b, more);
}
void gr_buf_add(struct gr_buf *b, const void *p, size_t n);
void gr_buf_add_str(struct gr_buf *b, const char *s);     /* without its NUL */
static inline void gr_buf_add_byte(struct gr_buf *b, uint8_t c)
{
	gr_buf_reserve(b, 1);
	b->p[b->n++] = c;
	b->p[b->n] = 0;
}
void gr_buf_add_int(struct gr_buf *b, int64_t v);         /* decimal, as "%" PRId64 would */
void gr_buf_printf(struct gr_buf *b, const char *fmt, ...) GR_PRINTF(2, 3);
/* The bytes become the caller's (NUL behind them; never NULL); @b is empty after it. */
char *gr_buf_take(struct gr_buf *b, size_t *n);
/* NUL-terminated view, valid until @b changes. */
const char *gr_buf_str(struct gr_buf *b);

static inline struct gr_slice gr_slice(const void *p, size_t n)
{
	return (struct gr_slice){ (const uint8_t *)p, n };
}
static inline struct gr_slice gr_buf_slice(const struct gr_buf *b) { return gr_slice(b->p, b->n); }
struct gr_slice gr_slice_str(const char *s);
bool gr_slice_eq(struct gr_slice a, struct gr_slice b);
bool gr_slice_is(struct gr_slice a, const char *s);
/* True and *rest set (may alias a) when @a starts with @prefix. */
bool gr_slice_prefix(struct gr_slice a, const char *prefix, struct gr_slice *rest);
