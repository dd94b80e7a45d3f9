/* codec.c - see codec.h. What is left is compared with what is asked (never p + n with the end), so nothing can wrap. */
#include "lib/wire/codec.h"

#include <string.h>

static const uint8_t *take(struct gr_rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->rc < 0)
		return NULL;
	if (gr_rd_left(r) < n) {
		r->rc = GR_ETRUNC;
		return NULL;
	}
	r->p += n;
	return p;
}

static uint64_t fixed(struct gr_rd *r, size_t n)
{
	const uint8_t *p = take(r, n);
	uint64_t v = 0;

	for (size_t i = 0; p && i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t gr_rd_u8(struct gr_rd *r) { return (uint8_t)fixed(r, 1); }
uint16_t gr_rd_u16(struct gr_rd *r) { return (uint16_t)fixed(r, 2); }
uint32_t gr_rd_u32(struct gr_rd *r) { return (uint32_t)fixed(r, 4); }
uint64_t gr_rd_u64(struct gr_rd *r) { return fixed(r, 8); }

uint64_t gr_rd_varint(struct gr_rd *r, uint64_t max)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 70; shift += 7) {
		const uint8_t *p = take(r, 1);

		if (!p)
			return 0;
		if ((shift == 63 && *p > 1) || shift > 63 || (*p == 0 && shift > 0))
			break;   /* over 64 bits, or not the shortest form */
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p & 0x80)) {
			if (v <= max)
				return v;
			r->rc = GR_ELIMIT;
			return 0;
		}
	}
	r->rc = GR_EPROTO;
	return 0;
}

struct gr_slice gr_rd_raw(struct gr_rd *r, size_t n)
{
	const uint8_t *p = take(r, n);

	return p ? gr_slice(p, n) : gr_slice("", 0);
}

struct gr_slice gr_rd_bytes(struct gr_rd *r, size_t max)
{
	uint64_t n = gr_rd_varint(r, max);

	return gr_rd_raw(r, (size_t)n);
}

struct gr_digest gr_rd_digest(struct gr_rd *r)
{
	struct gr_digest d = { { 0 } };
	const uint8_t *p = take(r, sizeof(d.b));

	if (p)
		memcpy(d.b, p, sizeof(d.b));
	return d;
}

int gr_rd_end(struct gr_rd *r)
{
	if (r->rc == 0 && r->p != r->end)
		r->rc = GR_EPROTO;
	return r->rc;
}

static void put(struct gr_buf *b, uint64_t v, size_t n)
{
	uint8_t p[8];

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	gr_buf_add(b, p, n);
}

void gr_wr_u8(struct gr_buf *b, uint8_t v) { gr_buf_add_byte(b, v); }
void gr_wr_u16(struct gr_buf *b, uint16_t v) { put(b, v, 2); }
void gr_wr_u32(struct gr_buf *b, uint32_t v) { put(b, v, 4); }
void gr_wr_u64(struct gr_buf *b, uint64_t v) { put(b, v, 8); }

void gr_wr_varint(struct gr_buf *b, uint64_t v)
{
	uint8_t p[10];
	size_t n = 0;

	while (v >= 0x80) {
		p[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	p[n++] = (uint8_t)v;
	gr_buf_add(b, p, n);
}

void gr_wr_bytes(struct gr_buf *b, struct gr_slice s)
{
	gr_wr_varint(b, s.n);
	gr_buf_add(b, s.p, s.n);
}

void gr_wr_digest(struct gr_buf *b, const struct gr_digest *d) { gr_buf_add(b, d->b, sizeof(d->b)); }
