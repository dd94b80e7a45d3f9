/* pack.c - compression with limits; see msg.h
 *
 * zlib at level 1 is the floor every party has. deflate gives at most 1032 bytes for one (a run of zeroes), so a
 * claim beyond that is refused before any memory is taken for it; a claim within it is believed only up to its own
 * size, which the caller has bounded.
 */
#include "lib/wire/msg.h"

#include <zlib.h>

#define MIN_BYTES 128u        /* below this the header and the call cost more than they save */
#define MAX_RATIO 1032u

int gr_pack(struct gr_slice in, struct gr_buf *out)
{
	z_stream z = { 0 };
	size_t room = in.n - in.n / 8, start = out->n;
	int rc;

	if (in.n < MIN_BYTES || in.n > GR_WIRE_MAX_BLOB_BYTES || deflateInit(&z, 1) != Z_OK)
		goto raw;
	gr_buf_reserve(out, room);
	z.next_in = (Bytef *)(uintptr_t)in.p;
	z.avail_in = (uInt)in.n;
	z.next_out = out->p + start;
	z.avail_out = (uInt)room;
	rc = deflate(&z, Z_FINISH);
	room -= z.avail_out;
	deflateEnd(&z);
	if (rc == Z_STREAM_END) {
		out->n = start + room;
		out->p[out->n] = 0;
		return GR_ENC_ZLIB;
	}
	out->p[start] = 0;
raw:
	gr_buf_add(out, in.p, in.n);
	return GR_ENC_RAW;
}

int gr_unpack(struct gr_slice in, uint8_t enc, uint64_t raw_n, uint64_t max, struct gr_buf *out)
{
	z_stream z = { 0 };
	size_t start = out->n;
	uint8_t spare[1];
	int rc;

	if (raw_n > max || raw_n > GR_WIRE_MAX_BLOB_BYTES || in.n > GR_WIRE_MAX_BLOB_BYTES)
		return GR_ELIMIT;
	if (enc == GR_ENC_RAW) {
		if (in.n != raw_n)
			return GR_EPROTO;
		gr_buf_add(out, in.p, in.n);
		return 0;
	}
	if (enc != GR_ENC_ZLIB || raw_n / MAX_RATIO > in.n)
		return GR_EPROTO;
	if (inflateInit(&z) != Z_OK)
		return GR_ENOMEM;
	gr_buf_reserve(out, (size_t)raw_n);
	z.next_in = (Bytef *)(uintptr_t)in.p;
	z.avail_in = (uInt)in.n;
	z.next_out = raw_n > 0 ? out->p + start : spare;
	z.avail_out = (uInt)raw_n;
	rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	if (rc != Z_STREAM_END || z.avail_out != 0 || z.avail_in != 0) {
		out->p[start] = 0;
		return GR_EPROTO;
	}
	out->n = start + (size_t)raw_n;
	out->p[out->n] = 0;
	return 0;
}
