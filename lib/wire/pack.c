/* pack.c - compression of what travels: zlib level 1, the floor every peer has. Decoding is bounded by the size that was
 * announced and checked, so a bomb costs its announced size at most and is refused when it has more inside. */
#include "lib/wire/msg.h"

#include <zlib.h>

int gr_pack(struct gr_slice in, struct gr_buf *out)
{
	uLongf n = compressBound((uLong)in.n);
	size_t start = out->n;

	if (in.n >= 64) {
		gr_buf_reserve(out, n);
		if (compress2(out->p + start, &n, in.p, (uLong)in.n, 1) == Z_OK && n < in.n - in.n / 8) {
			out->n += n;
			out->p[out->n] = 0;
			return GR_ENC_ZLIB;
		}
	}
	gr_buf_add(out, in.p, in.n);
	return GR_ENC_RAW;
}

static int inflate_exactly(struct gr_slice in, size_t raw_n, uint8_t *to)
{
	z_stream z = { .next_in = (Bytef *)in.p, .avail_in = (uInt)in.n };
	uint8_t one_more;
	int rc;

	if (inflateInit(&z) != Z_OK)
		return GR_ENOMEM;
	z.next_out = to;
	z.avail_out = (uInt)raw_n;
	rc = inflate(&z, Z_FINISH);
	if (rc == Z_OK || rc == Z_BUF_ERROR) {   /* full, but the stream's end was not met: may be just the trailer */
		z.next_out = &one_more;
		z.avail_out = 1;
		rc = inflate(&z, Z_FINISH);
	}
	rc = rc == Z_STREAM_END && z.total_out == raw_n && z.avail_in == 0 ? 0 : GR_EPROTO;
	inflateEnd(&z);
	return rc;
}

int gr_unpack(struct gr_slice in, uint8_t enc, uint64_t raw_n, uint64_t max, struct gr_buf *out)
{
	int rc;

	if (raw_n > max || raw_n > UINT32_MAX || in.n > UINT32_MAX)
		return GR_ELIMIT;
	if (enc == GR_ENC_RAW) {
		if (in.n != raw_n)
			return GR_EPROTO;
		gr_buf_add(out, in.p, in.n);
		return 0;
	}
	if (enc != GR_ENC_ZLIB)
		return GR_EPROTO;
	/* zlib cannot give more than about 1032 bytes for one: what claims more is refused before any memory is taken */
	if (raw_n / 1040 > in.n)
		return GR_EPROTO;
	gr_buf_reserve(out, (size_t)raw_n);
	rc = inflate_exactly(in, (size_t)raw_n, out->p + out->n);
	if (rc == 0)
		out->n += (size_t)raw_n;
	out->p[out->n] = 0;
	return rc;
}
