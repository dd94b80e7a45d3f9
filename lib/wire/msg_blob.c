/* msg_blob.c - blobs in pieces, and the digests that are wanted or missing; see msg.h */
#include "lib/wire/msg.h"

#include <string.h>

void gr_digests_encode(struct gr_buf *b, enum gr_msg_type type, uint64_t session, const struct gr_digest *d, uint32_t n)
{
	size_t at = gr_frame_begin(b, type);

	gr_wr_u64(b, session);
	gr_wr_u32(b, n);
	for (uint32_t i = 0; i < n; i++)
		gr_wr_digest(b, &d[i]);
	gr_frame_end(b, at);
}

int gr_digests_decode(struct gr_slice body, struct gr_digests_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	uint64_t session = gr_rd_u64(&r);
	uint32_t n = gr_rd_u32(&r);
	struct gr_slice raw;
	int rc;

	if (r.rc < 0)
		return r.rc;
	if (n > GR_WIRE_MAX_DIGESTS)
		return GR_ELIMIT;
	raw = gr_rd_raw(&r, (size_t)n * GR_DIGEST_BYTES);
	rc = gr_rd_end(&r);
	if (rc < 0)
		return rc;
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
	gr_wr_u64(b, m->total);
	gr_wr_u64(b, m->offset);
	gr_wr_u8(b, m->enc);
	gr_wr_u32(b, m->raw_n);
	gr_buf_add(b, m->data.p, m->data.n);
	gr_frame_end(b, at);
}

int gr_blob_decode(struct gr_slice body, struct gr_blob_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct gr_blob_msg o = { .session = gr_rd_u64(&r), .digest = gr_rd_digest(&r) };

	o.total = gr_rd_u64(&r);
	o.offset = gr_rd_u64(&r);
	o.enc = gr_rd_u8(&r);
	o.raw_n = gr_rd_u32(&r);
	if (r.rc < 0)
		return r.rc;
	o.data = gr_slice(r.p, gr_rd_left(&r));
	if (o.total > GR_WIRE_MAX_BLOB_BYTES || o.raw_n > GR_WIRE_CHUNK_BYTES)
		return GR_ELIMIT;
	if (o.offset > o.total || o.raw_n > o.total - o.offset)
		return GR_EPROTO;
	/* A piece of nothing is how an empty blob travels; otherwise it would only make a peer busy. */
	if (o.raw_n == 0 && o.total > 0)
		return GR_EPROTO;
	if (o.enc == GR_ENC_RAW ? o.data.n != o.raw_n : o.enc != GR_ENC_ZLIB || o.data.n > o.raw_n)
		return GR_EPROTO;
	*m = o;
	return 0;
}
