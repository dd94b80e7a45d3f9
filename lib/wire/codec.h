/**
 * codec - bounds-checked reading and writing of bytes; every decoder of griddle goes through this one reader
 *
 * Little endian. A reader that ran off its end, or met a bad varint, stays failed: check gr_rd_ok() (or `rc`) once at
 * the end; until then every read gives zero or an empty slice. Nothing is allocated; slices borrow the input.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "lib/base/buf.h"
#include "lib/base/sha256.h"

struct gr_rd {
	const uint8_t *p, *end;
	int rc;   /* 0, or GR_ETRUNC / GR_EPROTO / GR_ELIMIT */
};

static inline struct gr_rd gr_rd_init(struct gr_slice s) { return (struct gr_rd){ s.p, s.p + s.n, 0 }; }
static inline size_t gr_rd_left(const struct gr_rd *r) { return (size_t)(r->end - r->p); }
const uint8_t *gr_rd__none(struct gr_rd *r);                     /* too short: fails. Return: NULL */
static inline const uint8_t *gr_rd__take(struct gr_rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (__builtin_expect(gr_rd_left(r) < n, 0))                     /* one that failed has nothing left */
		return gr_rd__none(r);
	r->p += n;
	return p;
}
/* @n is a literal: one load. */
static inline __attribute__((always_inline)) uint64_t gr_rd__le(struct gr_rd *r, size_t n)
{
	const uint8_t *p = gr_rd__take(r, n);
	uint64_t v = 0;

	if (!p)
		return 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}
static inline uint8_t gr_rd_u8(struct gr_rd *r) { return (uint8_t)gr_rd__le(r, 1); }
static inline uint16_t gr_rd_u16(struct gr_rd *r) { return (uint16_t)gr_rd__le(r, 2); }
static inline uint32_t gr_rd_u32(struct gr_rd *r) { return (uint32_t)gr_rd__le(r, 4); }
static inline uint64_t gr_rd_u64(struct gr_rd *r) { return gr_rd__le(r, 8); }
uint64_t gr_rd__varint(struct gr_rd *r, uint64_t max);           /* of any length */
static inline uint64_t gr_rd_varint(struct gr_rd *r, uint64_t max)      /* LEB128, shortest form only; GR_ELIMIT above @max */
{
	return r->p < r->end && *r->p < 0x80 && *r->p <= max ? *r->p++ : gr_rd__varint(r, max);
}
struct gr_slice gr_rd_raw(struct gr_rd *r, size_t n);
struct gr_slice gr_rd_bytes(struct gr_rd *r, size_t max);        /* varint length, then the bytes */
struct gr_digest gr_rd_digest(struct gr_rd *r);
/* Fails with GR_EPROTO when bytes are left over. Return: the reader's rc. */
int gr_rd_end(struct gr_rd *r) GR_MUST_CHECK;

#define GR_WR_VARINT_MAX 10                                      /* bytes */
/* @v behind @at, where GR_WR_VARINT_MAX bytes have room. Return: behind it. */
static inline uint8_t *gr_put_varint(uint8_t *at, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*at++ = (uint8_t)(v | 0x80);
	*at++ = (uint8_t)v;
	return at;
}
static inline __attribute__((always_inline)) void gr_wr__le(struct gr_buf *b, uint64_t v, size_t n)
{
	uint8_t raw[8];

	for (size_t i = 0; i < n; i++)
		raw[i] = (uint8_t)(v >> (8 * i));
	gr_buf_reserve(b, n);
	memcpy(b->p + b->n, raw, n);
	b->n += n;
	b->p[b->n] = 0;
}
static inline void gr_wr_u8(struct gr_buf *b, uint8_t v) { gr_buf_add_byte(b, v); }
static inline void gr_wr_u16(struct gr_buf *b, uint16_t v) { gr_wr__le(b, v, 2); }
static inline void gr_wr_u32(struct gr_buf *b, uint32_t v) { gr_wr__le(b, v, 4); }
static inline void gr_wr_u64(struct gr_buf *b, uint64_t v) { gr_wr__le(b, v, 8); }
static inline void gr_wr_varint(struct gr_buf *b, uint64_t v)
{
	gr_buf_reserve(b, GR_WR_VARINT_MAX);
	b->n = (size_t)(gr_put_varint(b->p + b->n, v) - b->p);
	b->p[b->n] = 0;
}
void gr_wr_bytes(struct gr_buf *b, struct gr_slice s);           /* varint length, then the bytes */
void gr_wr_digest(struct gr_buf *b, const struct gr_digest *d);
