/* codec.c - see codec.h
 *
 * A failed reader has p == end, so every later read is too short as well and gives zero; only the first failure is
 * kept in rc. Lengths are always compared with what is left, never added to a pointer first.
 */
#include "lib/wire/codec.h"

#include <string.h>

static void fail(struct gr_rd *r, int rc)
{
	if (r->rc == 0)
		r->rc = rc;
	r->p = r->end;
}

static inline const uint8_t *take(struct gr_rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (__builtin_expect(r->rc < 0 || gr_rd_left(r) < n, 0)) {
		fail(r, GR_ETRUNC);
		return NULL;
	}
	r->p += n;
	return p;
}

/* @n is a literal: one load. */
static inline __attribute__((always_inline)) uint64_t take_le(struct gr_rd *r, size_t n)
{
	const uint8_t *p = take(r, n);
	uint64_t v = 0;

	if (!p)
		return 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t gr_rd_u8(struct gr_rd *r) { return (uint8_t)take_le(r, 1); }
uint16_t gr_rd_u16(struct gr_rd *r) { return (uint16_t)take_le(r, 2); }
uint32_t gr_rd_u32(struct gr_rd *r) { return (uint32_t)take_le(r, 4); }
uint64_t gr_rd_u64(struct gr_rd *r) { return take_le(r, 8); }

uint64_t gr_rd_varint(struct gr_rd *r, uint64_t max)
{
	uint64_t v = 0;

	if (r->p < r->end && *r->p < 0x80 && *r->p <= max)             /* most; one that failed has nothing left */
		return *r->p++;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		const uint8_t *p = take(r, 1);

		if (!p)
			return 0;
		/* The tenth byte holds bit 63 alone; a last byte of zero could have been left out. */
		if ((shift == 63 && *p > 1) || (shift > 0 && *p == 0)) {
			fail(r, GR_EPROTO);
			return 0;
		}
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (*p & 0x80)
			continue;
		if (v > max) {
			fail(r, GR_ELIMIT);
			return 0;
		}
		return v;
	}
	fail(r, GR_EPROTO);
	return 0;
}

struct gr_slice gr_rd_raw(struct gr_rd *r, size_t n)
{
	const uint8_t *p = take(r, n);

	return p ? gr_slice(p, n) : gr_slice(NULL, 0);
}

struct gr_slice gr_rd_bytes(struct gr_rd *r, size_t max)
{
	uint64_t n = gr_rd_varint(r, max);

	return gr_rd_raw(r, (size_t)n);
}

struct gr_digest gr_rd_digest(struct gr_rd *r)
{
	const uint8_t *p = take(r, GR_DIGEST_BYTES);
	struct gr_digest d = { { 0 } };

	if (p)
		memcpy(d.b, p, sizeof(d.b));
	return d;
}

int gr_rd_end(struct gr_rd *r)
{
	if (r->rc == 0 && r->p != r->end)
		fail(r, GR_EPROTO);
	return r->rc;
}

static inline __attribute__((always_inline)) void put_le(struct gr_buf *b, uint64_t v, size_t n)
{
	uint8_t raw[8];

	for (size_t i = 0; i < n; i++)
		raw[i] = (uint8_t)(v >> (8 * i));
	gr_buf_reserve(b, n);
	memcpy(b->p + b->n, raw, n);
	b->n += n;
	b->p[b->n] = 0;
}

void gr_wr_u8(struct gr_buf *b, uint8_t v) { gr_buf_add_byte(b, v); }
void gr_wr_u16(struct gr_buf *b, uint16_t v) { put_le(b, v, 2); }
void gr_wr_u32(struct gr_buf *b, uint32_t v) { put_le(b, v, 4); }
void gr_wr_u64(struct gr_buf *b, uint64_t v) { put_le(b, v, 8); }

void gr_wr_varint(struct gr_buf *b, uint64_t v)
{
	gr_buf_reserve(b, GR_WR_VARINT_MAX);
	b->n = (size_t)(gr_put_varint(b->p + b->n, v) - b->p);
	b->p[b->n] = 0;
}

void gr_wr_bytes(struct gr_buf *b, struct gr_slice s)
{
	gr_wr_varint(b, s.n);
	gr_buf_add(b, s.p, s.n);
}

void gr_wr_digest(struct gr_buf *b, const struct gr_digest *d) { gr_buf_add(b, d->b, sizeof(d->b)); }
