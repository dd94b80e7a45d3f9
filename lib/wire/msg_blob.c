/* msg_blob.c - asking for content by digest, and content in pieces. */
#include "lib/wire/msg.h"

#include <string.h>

void gr_digests_encode(struct gr_buf *b, enum gr_msg_type type, uint64_t session, const struct gr_digest *d, uint32_t n)
{
	size_t at = gr_frame_begin(b, type);

	gr_wr_u64(b, session);
	gr_wr_varint(b, n);
	for (uint32_t i = 0; i < n; i++)
		gr_wr_digest(b, &d[i]);
	gr_frame_end(b, at);
}

int gr_digests_decode(struct gr_slice body, struct gr_digests_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	uint64_t session = gr_rd_u64(&r);
	uint32_t n = (uint32_t)gr_rd_varint(&r, GR_WIRE_MAX_DIGESTS);
	struct gr_slice raw = gr_rd_raw(&r, (size_t)n * GR_DIGEST_BYTES);

	if (gr_rd_end(&r) < 0)
		return r.rc;
	*m = (struct gr_digests_msg){ session, n, raw.p };
	return 0;
}

struct gr_digest gr_digests_at(const struct gr_digests_msg *m, uint32_t i)
{
	struct gr_digest d;

	memcpy(d.b, m->digests + (size_t)i * GR_DIGEST_BYTES, sizeof(d.b));
	return d;
}

void gr_blob_encode(struct gr_buf *b, const struct gr_blob_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_BLOB);

	gr_wr_u64(b, m->session);
	gr_wr_digest(b, &m->digest);
	gr_wr_varint(b, m->total);
	gr_wr_varint(b, m->offset);
	gr_wr_u8(b, m->enc);
	gr_wr_varint(b, m->raw_n);
	gr_wr_bytes(b, m->data);
	gr_frame_end(b, at);
}

int gr_blob_decode(struct gr_slice body, struct gr_blob_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct gr_blob_msg p = { 0 };

	p.session = gr_rd_u64(&r);
	p.digest = gr_rd_digest(&r);
	p.total = gr_rd_varint(&r, GR_WIRE_MAX_BLOB_BYTES);
	p.offset = gr_rd_varint(&r, GR_WIRE_MAX_BLOB_BYTES);
	p.enc = gr_rd_u8(&r);
	p.raw_n = (uint32_t)gr_rd_varint(&r, GR_WIRE_CHUNK_BYTES);
	p.data = gr_rd_bytes(&r, GR_WIRE_CHUNK_BYTES + 4096);
	if (gr_rd_end(&r) < 0)
		return r.rc;
	if (p.enc > GR_ENC_ZLIB || p.offset > p.total || p.raw_n > p.total - p.offset ||
	    (p.enc == GR_ENC_RAW && p.raw_n != p.data.n) || (p.raw_n == 0 && p.total != 0))
		return GR_EPROTO;
	*m = p;
	return 0;
}
