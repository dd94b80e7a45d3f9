/* msg_session.c - sessions and their logs of records. */
#include "lib/wire/msg.h"

#include "lib/base/path.h"

void gr_session_encode(struct gr_buf *b, enum gr_msg_type type, uint64_t session, uint32_t n_records)
{
	size_t at = gr_frame_begin(b, type);

	gr_wr_u64(b, session);
	gr_wr_u32(b, n_records);
	gr_frame_end(b, at);
}

int gr_session_decode(struct gr_slice body, uint64_t *session, uint32_t *n_records)
{
	struct gr_rd r = gr_rd_init(body);
	uint64_t s = gr_rd_u64(&r);
	uint32_t n = gr_rd_u32(&r);

	if (gr_rd_end(&r) < 0)
		return r.rc;
	if (n > GR_WIRE_MAX_RECORDS)
		return GR_ELIMIT;
	*session = s;
	*n_records = n;
	return 0;
}

void gr_record_encode(struct gr_buf *b, const struct gr_record *rec)
{
	gr_wr_u8(b, (uint8_t)rec->tag);
	if (rec->tag == GR_RECORD_STR) {
		gr_wr_bytes(b, rec->str);
		return;
	}
	gr_wr_varint(b, rec->path);
	gr_wr_u8(b, (uint8_t)((unsigned)rec->kind | (rec->is_exec ? 0x80 : 0)));
	if (rec->kind == GR_FILE_REG) {
		gr_wr_varint(b, rec->size);
		gr_wr_digest(b, &rec->digest);
	} else if (rec->kind == GR_FILE_LINK) {
		gr_wr_bytes(b, rec->str);
	}
}

int gr_record_next(struct gr_rd *r, struct gr_record *out)
{
	struct gr_record rec = { 0 };
	uint8_t tag, kind;

	if (r->rc < 0)
		return r->rc;
	if (!gr_rd_left(r))
		return 0;
	tag = gr_rd_u8(r);
	rec.tag = tag;
	if (tag == GR_RECORD_STR) {
		rec.str = gr_rd_bytes(r, GR_WIRE_MAX_STR_BYTES);
	} else if (tag == GR_RECORD_FILE) {
		rec.path = (uint32_t)gr_rd_varint(r, GR_WIRE_MAX_RECORDS - 1);
		kind = gr_rd_u8(r);
		rec.is_exec = kind & 0x80;
		rec.kind = kind & 0x7f;
		if (rec.kind < GR_FILE_REG || rec.kind > GR_FILE_ABSENT || (rec.is_exec && rec.kind != GR_FILE_REG))
			r->rc = r->rc ? r->rc : GR_EPROTO;
		if (rec.kind == GR_FILE_REG) {
			rec.size = gr_rd_varint(r, GR_WIRE_MAX_BLOB_BYTES);
			rec.digest = gr_rd_digest(r);
		} else if (rec.kind == GR_FILE_LINK) {
			rec.str = gr_rd_bytes(r, 4095);
			if (r->rc == 0 && rec.str.n == 0)
				r->rc = GR_EPROTO;
		}
	} else {
		r->rc = r->rc ? r->rc : GR_EPROTO;
	}
	if (r->rc < 0)
		return r->rc;
	*out = rec;
	return 1;
}

void gr_log_encode(struct gr_buf *b, const struct gr_log_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_LOG);

	gr_wr_u64(b, m->session);
	gr_wr_varint(b, m->first);
	gr_wr_varint(b, m->n);
	gr_buf_add(b, m->bytes.p, m->bytes.n);
	gr_frame_end(b, at);
}

int gr_log_decode(struct gr_slice body, struct gr_log_msg *m)
{
	struct gr_rd r = gr_rd_init(body), records;
	struct gr_log_msg log = { 0 };
	struct gr_record rec;
	uint32_t n = 0;
	int rc;

	log.session = gr_rd_u64(&r);
	log.first = (uint32_t)gr_rd_varint(&r, GR_WIRE_MAX_RECORDS);
	log.n = (uint32_t)gr_rd_varint(&r, GR_WIRE_MAX_RECORDS);
	if (r.rc < 0)
		return r.rc;
	if (log.n > GR_WIRE_MAX_RECORDS - log.first)
		return GR_ELIMIT;
	log.bytes = gr_slice(r.p, gr_rd_left(&r));
	records = gr_rd_init(log.bytes);
	while ((rc = gr_record_next(&records, &rec)) > 0)
		if (++n > log.n)
			return GR_EPROTO;
	if (rc < 0)
		return rc;
	if (n != log.n)
		return GR_EPROTO;
	*m = log;
	return 0;
}
