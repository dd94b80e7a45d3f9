/* msg_load.c - load tests: start, stop, clocks, shares, and the numbers of an interval; see msg.h. PREPARE and STATE are
 * JSON. */
#include "lib/wire/msg.h"

void gr_load_start_encode(struct gr_buf *b, uint64_t run, uint64_t start_ns)
{
	size_t at = gr_frame_begin(b, GR_MSG_LOAD_START);

	gr_wr_u64(b, run);
	gr_wr_u64(b, start_ns);
	gr_frame_end(b, at);
}

int gr_load_start_decode(struct gr_slice body, uint64_t *run, uint64_t *start_ns)
{
	struct gr_rd r = gr_rd_init(body);
	uint64_t a = gr_rd_u64(&r), b = gr_rd_u64(&r);
	int rc = gr_rd_end(&r);

	if (rc < 0)
		return rc;
	*run = a;
	*start_ns = b;
	return 0;
}

void gr_load_stop_encode(struct gr_buf *b, uint64_t run)
{
	size_t at = gr_frame_begin(b, GR_MSG_LOAD_STOP);

	gr_wr_u64(b, run);
	gr_frame_end(b, at);
}

int gr_load_stop_decode(struct gr_slice body, uint64_t *run)
{
	struct gr_rd r = gr_rd_init(body);
	uint64_t a = gr_rd_u64(&r);
	int rc = gr_rd_end(&r);

	if (rc < 0)
		return rc;
	*run = a;
	return 0;
}

void gr_load_clock_encode(struct gr_buf *b, const struct gr_load_clock *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_LOAD_CLOCK);

	gr_wr_u64(b, m->sent_ns);
	gr_wr_u64(b, m->received_ns);
	gr_wr_u64(b, m->back_ns);
	gr_frame_end(b, at);
}

int gr_load_clock_decode(struct gr_slice body, struct gr_load_clock *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct gr_load_clock out = { .sent_ns = gr_rd_u64(&r), .received_ns = gr_rd_u64(&r), .back_ns = gr_rd_u64(&r) };
	int rc = gr_rd_end(&r);

	if (rc < 0)
		return rc;
	*m = out;
	return 0;
}

void gr_load_share_encode(struct gr_buf *b, const struct gr_load_share *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_LOAD_SHARE);

	gr_wr_u64(b, m->run);
	gr_wr_u64(b, m->from);
	gr_wr_u32(b, m->index);
	gr_wr_u32(b, m->of);
	gr_frame_end(b, at);
}

int gr_load_share_decode(struct gr_slice body, struct gr_load_share *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct gr_load_share out = { .run = gr_rd_u64(&r), .from = gr_rd_u64(&r), .index = gr_rd_u32(&r), .of = gr_rd_u32(&r) };
	int rc = gr_rd_end(&r);

	if (rc < 0)
		return rc;
	if (!out.of || out.of > 65536 || out.index >= out.of)
		return GR_EPROTO;
	*m = out;
	return 0;
}

void gr_load_stats_begin(struct gr_buf *b, const struct gr_load_stats *m, size_t *at)
{
	*at = gr_frame_begin(b, GR_MSG_LOAD_STATS);
	gr_wr_u64(b, m->run);
	gr_wr_u32(b, m->interval);
	gr_wr_u16(b, m->shard);
	gr_wr_u16(b, m->part);
	gr_wr_u16(b, m->n_parts);
	gr_wr_u8(b, m->is_last);
	gr_wr_u64(b, m->first_ns);
	gr_wr_u32(b, m->n_numbers);
	gr_wr_u32(b, m->n_series);
}

void gr_load_stats_number(struct gr_buf *b, uint32_t key, uint64_t value)
{
	gr_wr_varint(b, key);
	gr_wr_varint(b, value);
}

void gr_load_stats_series(struct gr_buf *b, const struct gr_load_series_msg *s)
{
	uint64_t bits;

	__builtin_memcpy(&bits, &s->sum, sizeof(bits));
	gr_wr_varint(b, s->key);
	gr_wr_varint(b, s->min);
	gr_wr_varint(b, s->max);
	gr_wr_u64(b, bits);
	gr_wr_bytes(b, s->hdr);
}

static bool next_number(struct gr_rd *r, uint32_t *key, uint64_t *value)
{
	*key = (uint32_t)gr_rd_varint(r, GR_LOAD_MAX_KEY);
	*value = gr_rd_varint(r, INT64_MAX);
	return r->rc >= 0;
}

static bool next_series(struct gr_rd *r, struct gr_load_series_msg *s)
{
	uint64_t bits;

	s->key = (uint32_t)gr_rd_varint(r, GR_LOAD_MAX_KEY);
	s->min = gr_rd_varint(r, INT64_MAX);
	s->max = gr_rd_varint(r, INT64_MAX);
	bits = gr_rd_u64(r);
	__builtin_memcpy(&s->sum, &bits, sizeof(bits));
	s->hdr = gr_rd_bytes(r, GR_LOAD_MAX_HDR_BYTES);
	return r->rc >= 0;
}

int gr_load_stats_decode(struct gr_slice body, struct gr_load_stats *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct gr_load_stats out = { .run = gr_rd_u64(&r), .interval = gr_rd_u32(&r), .shard = gr_rd_u16(&r), .part = gr_rd_u16(&r),
				     .n_parts = gr_rd_u16(&r) };
	struct gr_load_series_msg s;
	uint64_t value;
	uint32_t key;

	out.is_last = gr_rd_u8(&r);
	out.first_ns = gr_rd_u64(&r);
	out.n_numbers = gr_rd_u32(&r);
	out.n_series = gr_rd_u32(&r);
	if (r.rc < 0)
		return r.rc;
	if (out.n_numbers > GR_LOAD_MAX_NUMBERS || out.n_series > GR_LOAD_MAX_SERIES)
		return GR_ELIMIT;
	if (out.is_last > 1 || !out.n_parts || out.part >= out.n_parts)
		return GR_EPROTO;
	out.rest = gr_slice(r.p, gr_rd_left(&r));
	for (uint32_t i = 0; i < out.n_numbers && next_number(&r, &key, &value); i++)
		;
	for (uint32_t i = 0; i < out.n_series && r.rc >= 0 && next_series(&r, &s); i++)
		;
	if (r.rc < 0)
		return r.rc;
	if (gr_rd_end(&r) < 0)
		return r.rc;
	*m = out;
	return 0;
}

struct gr_rd gr_load_stats_read(const struct gr_load_stats *m) { return gr_rd_init(m->rest); }
bool gr_load_stats_next_number(struct gr_rd *r, uint32_t *key, uint64_t *value) { return next_number(r, key, value); }
bool gr_load_stats_next_series(struct gr_rd *r, struct gr_load_series_msg *s) { return next_series(r, s); }
