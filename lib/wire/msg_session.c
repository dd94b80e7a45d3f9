/* msg_session.c - sessions and their logs of records; see msg.h
 *
 * A record is a tag byte and then, for a string, its length and bytes; for a file the id of its path, one byte of
 * kind (low bits) and the executable flag (0x80), and what the kind needs. A record names only earlier records, so a
 * log can be checked while it streams in.
 */
#include "lib/wire/msg.h"

#include <string.h>

#define EXEC_BIT 0x80u
#define MAX_LINK_BYTES 4095u

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
	uint64_t id = gr_rd_u64(&r);
	uint32_t n = gr_rd_u32(&r);
	int rc = gr_rd_end(&r);

	if (rc < 0)
		return rc;
	if (n > GR_WIRE_MAX_RECORDS)
		return GR_ELIMIT;
	*session = id;
	*n_records = n;
	return 0;
}

void gr_record_encode(struct gr_buf *bytes, const struct gr_record *r)
{
	gr_wr_u8(bytes, (uint8_t)r->tag);
	if (r->tag == GR_RECORD_STR) {
		gr_wr_bytes(bytes, r->str);
		return;
	}
	gr_wr_varint(bytes, r->path);
	gr_wr_u8(bytes, (uint8_t)r->kind | (r->kind == GR_FILE_REG && r->is_exec ? EXEC_BIT : 0));
	if (r->kind == GR_FILE_REG) {
		gr_wr_varint(bytes, r->size);
		gr_wr_digest(bytes, &r->digest);
	} else if (r->kind == GR_FILE_LINK) {
		gr_wr_bytes(bytes, r->str);
	}
}

static bool has_nul(struct gr_slice s) { return s.n > 0 && memchr(s.p, 0, s.n); }

/* The form of a FILE record behind its tag. */
static int read_file(struct gr_rd *r, struct gr_record *o)
{
	uint8_t kind;

	o->path = (uint32_t)gr_rd_varint(r, GR_WIRE_MAX_RECORDS - 1);
	kind = gr_rd_u8(r);
	if (r->rc < 0)
		return r->rc;
	o->is_exec = kind & EXEC_BIT;
	o->kind = (enum gr_file_kind)(kind & ~EXEC_BIT);
	if (o->is_exec && o->kind != GR_FILE_REG)
		return GR_EPROTO;
	switch (o->kind) {
	case GR_FILE_REG:
		o->size = gr_rd_varint(r, GR_WIRE_MAX_BLOB_BYTES);
		o->digest = gr_rd_digest(r);
		return r->rc;
	case GR_FILE_LINK:
		o->str = gr_rd_bytes(r, MAX_LINK_BYTES);
		if (r->rc == 0 && (o->str.n == 0 || has_nul(o->str)))
			return GR_EPROTO;
		return r->rc;
	case GR_FILE_DIR:
	case GR_FILE_ABSENT:
		return 0;
	}
	return GR_EPROTO;
}

int gr_record_next(struct gr_rd *r, struct gr_record *out)
{
	struct gr_record o = { 0 };
	int rc;

	if (r->rc < 0)
		return r->rc;
	if (gr_rd_left(r) == 0)
		return 0;
	o.tag = (enum gr_record_tag)gr_rd_u8(r);
	if (o.tag == GR_RECORD_STR) {
		o.str = gr_rd_bytes(r, GR_WIRE_MAX_STR_BYTES);
		rc = r->rc < 0 ? r->rc : has_nul(o.str) ? GR_EPROTO : 0;
	} else if (o.tag == GR_RECORD_FILE) {
		rc = read_file(r, &o);
	} else {
		rc = GR_EPROTO;
	}
	if (rc < 0) {
		r->rc = rc;
		r->p = r->end;
		return rc;
	}
	*out = o;
	return 1;
}

void gr_log_encode(struct gr_buf *b, const struct gr_log_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_LOG);

	gr_wr_u64(b, m->session);
	gr_wr_u32(b, m->first);
	gr_wr_u32(b, m->n);
	gr_buf_add(b, m->bytes.p, m->bytes.n);
	gr_frame_end(b, at);
}

int gr_log_decode(struct gr_slice body, struct gr_log_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct gr_log_msg o = { .session = gr_rd_u64(&r), .first = gr_rd_u32(&r), .n = gr_rd_u32(&r) };
	struct gr_record rec;
	uint32_t n = 0;
	int rc;

	if (r.rc < 0)
		return r.rc;
	if (o.first > GR_WIRE_MAX_RECORDS || o.n > GR_WIRE_MAX_RECORDS - o.first)
		return GR_ELIMIT;
	o.bytes = gr_slice(r.p, gr_rd_left(&r));
	while ((rc = gr_record_next(&r, &rec)) == 1) {
		if (n == o.n)
			return GR_EPROTO;
		if (rec.tag == GR_RECORD_FILE && rec.path >= o.first + n)
			return GR_EPROTO;
		n++;
	}
	if (rc < 0)
		return rc;
	if (n != o.n)
		return GR_ETRUNC;
	*m = o;
	return 0;
}
