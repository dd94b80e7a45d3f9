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

const uint8_t *gr_rd__none(struct gr_rd *r)
{
	fail(r, GR_ETRUNC);
	return NULL;
}

uint64_t gr_rd__varint(struct gr_rd *r, uint64_t max)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		const uint8_t *p = gr_rd__take(r, 1);

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
	const uint8_t *p = gr_rd__take(r, n);

	return p ? gr_slice(p, n) : gr_slice(NULL, 0);
}

struct gr_slice gr_rd_bytes(struct gr_rd *r, size_t max)
{
	uint64_t n = gr_rd_varint(r, max);

	return gr_rd_raw(r, (size_t)n);
}

struct gr_digest gr_rd_digest(struct gr_rd *r)
{
	const uint8_t *p = gr_rd__take(r, GR_DIGEST_BYTES);
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

void gr_wr_bytes(struct gr_buf *b, struct gr_slice s)
{
	gr_wr_varint(b, s.n);
	gr_buf_add(b, s.p, s.n);
}

void gr_wr_digest(struct gr_buf *b, const struct gr_digest *d) { gr_buf_add(b, d->b, sizeof(d->b)); }
