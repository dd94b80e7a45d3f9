/* msg_task.c - tasks, their results, and references to them; see msg.h
 *
 * A list of ids travels as its count, the length of its bytes, and the bytes: varints, plain or, for a sorted list,
 * each as the gap to its predecessor less one, which makes every sequence of gaps a strictly rising list. Decoders
 * walk each list once, so that gr_ids_next cannot fail afterwards.
 */
#include "lib/wire/msg.h"

#define ATTEMPT_AT (GR_WIRE_HEADER_BYTES + 16)
#define ALL_TASK_FLAGS (GR_TASK_F_GCOV | GR_TASK_F_SPLIT_DWARF | GR_TASK_F_PLUGIN | GR_TASK_F_DEBUG)
#define MAX_REASON_BYTES 65536u

/* ---- lists of ids ---- */

struct gr_ids_it gr_ids_begin(const struct gr_ids *ids)
{
	return (struct gr_ids_it){ .rd = gr_rd_init(ids->raw), .left = ids->n, .last = UINT32_MAX,
				   .is_sorted = ids->is_sorted };
}

bool gr_ids_next(struct gr_ids_it *it, uint32_t *id)
{
	uint64_t v;

	if (it->left == 0)
		return false;
	v = gr_rd_varint(&it->rd, UINT32_MAX);
	if (it->is_sorted && it->last != UINT32_MAX)
		v += (uint64_t)it->last + 1;
	if (it->rd.rc == 0 && v >= UINT32_MAX)
		it->rd.rc = GR_ELIMIT;
	if (it->rd.rc < 0) {
		it->left = 0;
		return false;
	}
	it->left--;
	it->last = (uint32_t)v;
	*id = (uint32_t)v;
	return true;
}

void gr_ids_encode(struct gr_buf *raw, const uint32_t *ids, uint32_t n, bool is_sorted)
{
	for (uint32_t i = 0; i < n; i++)
		gr_wr_varint(raw, is_sorted && i > 0 ? ids[i] - ids[i - 1] - 1 : ids[i]);
}

static void write_ids(struct gr_buf *b, const struct gr_ids *ids)
{
	gr_wr_varint(b, ids->n);
	gr_wr_bytes(b, ids->raw);
}

/* At most @max ids, each below @n_records, the bytes used up exactly. */
static int read_ids(struct gr_rd *r, uint32_t max, uint32_t n_records, bool is_sorted, struct gr_ids *out)
{
	struct gr_ids_it it;
	uint32_t id;

	out->n = (uint32_t)gr_rd_varint(r, max);
	out->raw = gr_rd_bytes(r, (size_t)max * 5);
	out->is_sorted = is_sorted;
	if (r->rc < 0)
		return r->rc;
	it = gr_ids_begin(out);
	while (gr_ids_next(&it, &id))
		if (id >= n_records)
			return GR_EPROTO;
	return gr_rd_end(&it.rd);
}

/* ---- TASK ---- */

void gr_task_encode(struct gr_buf *b, const struct gr_task_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_TASK);

	gr_wr_u64(b, m->session);
	gr_wr_u64(b, m->task);
	gr_wr_u32(b, m->attempt);
	gr_wr_u32(b, m->n_records);
	gr_wr_u32(b, m->flags);
	gr_wr_digest(b, &m->toolchain);
	gr_wr_u64(b, m->family);
	gr_wr_varint(b, m->cpu_ms);
	gr_wr_varint(b, m->mem_bytes);
	gr_wr_varint(b, m->timeout_ms);
	gr_wr_varint(b, m->cwd);
	write_ids(b, &m->argv);
	write_ids(b, &m->env);
	write_ids(b, &m->inputs);
	gr_wr_varint(b, m->n_outputs);
	for (uint32_t i = 0; i < m->n_outputs; i++) {
		gr_wr_varint(b, m->outputs[i].path);
		gr_wr_u8(b, m->outputs[i].flags);
	}
	gr_frame_end(b, at);
}

static int read_task_outputs(struct gr_rd *r, struct gr_task_msg *m)
{
	m->n_outputs = (uint32_t)gr_rd_varint(r, GR_WIRE_MAX_OUTPUTS);
	for (uint32_t i = 0; i < m->n_outputs; i++) {
		m->outputs[i].path = (uint32_t)gr_rd_varint(r, UINT32_MAX);
		m->outputs[i].flags = gr_rd_u8(r);
		if (r->rc < 0)
			return r->rc;
		if (m->outputs[i].path >= m->n_records || (m->outputs[i].flags & ~GR_OUTPUT_REQUIRED))
			return GR_EPROTO;
	}
	return gr_rd_end(r);
}

int gr_task_decode(struct gr_slice body, struct gr_task_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	int rc;

	m->session = gr_rd_u64(&r);
	m->task = gr_rd_u64(&r);
	m->attempt = gr_rd_u32(&r);
	m->n_records = gr_rd_u32(&r);
	m->flags = gr_rd_u32(&r);
	m->toolchain = gr_rd_digest(&r);
	m->family = gr_rd_u64(&r);
	m->cpu_ms = (uint32_t)gr_rd_varint(&r, UINT32_MAX);
	m->mem_bytes = gr_rd_varint(&r, UINT64_MAX);
	m->timeout_ms = (uint32_t)gr_rd_varint(&r, UINT32_MAX);
	m->cwd = (uint32_t)gr_rd_varint(&r, UINT32_MAX);
	if (r.rc < 0)
		return r.rc;
	if (m->n_records > GR_WIRE_MAX_RECORDS)
		return GR_ELIMIT;
	if (m->cwd >= m->n_records || (m->flags & ~(uint32_t)ALL_TASK_FLAGS))
		return GR_EPROTO;
	rc = read_ids(&r, GR_WIRE_MAX_ARGS, m->n_records, false, &m->argv);
	if (rc < 0)
		return rc;
	if (m->argv.n == 0)
		return GR_EPROTO;
	rc = read_ids(&r, GR_WIRE_MAX_ARGS, m->n_records, false, &m->env);
	if (rc < 0)
		return rc;
	rc = read_ids(&r, GR_WIRE_MAX_INPUTS, m->n_records, true, &m->inputs);
	if (rc < 0)
		return rc;
	return read_task_outputs(&r, m);
}

void gr_task_patch_attempt(struct gr_buf *frame, uint32_t attempt)
{
	for (size_t i = 0; frame->n >= ATTEMPT_AT + 4 && i < 4; i++)
		frame->p[ATTEMPT_AT + i] = (uint8_t)(attempt >> (8 * i));
}

/* ---- RESULT ---- */

void gr_result_encode(struct gr_buf *b, const struct gr_result_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_RESULT);

	gr_wr_u64(b, m->session);
	gr_wr_u64(b, m->task);
	gr_wr_u32(b, m->attempt);
	gr_wr_u8(b, m->outcome);
	gr_wr_u32(b, (uint32_t)m->exit_code);
	gr_wr_u32(b, (uint32_t)m->term_signal);
	gr_wr_varint(b, m->cpu_us);
	gr_wr_varint(b, m->wall_us);
	gr_wr_varint(b, m->max_rss_bytes);
	gr_wr_varint(b, m->wait_us);
	gr_wr_bytes(b, m->reason);
	gr_wr_bytes(b, m->out);
	gr_wr_bytes(b, m->err);
	gr_wr_varint(b, m->n_outputs);
	for (uint32_t i = 0; i < m->n_outputs; i++) {
		const struct gr_result_out *o = &m->outputs[i];

		gr_wr_varint(b, o->index);
		gr_wr_u16(b, (uint16_t)o->mode);
		gr_wr_u8(b, o->enc);
		gr_wr_varint(b, o->size);
		gr_wr_bytes(b, o->data);
	}
	gr_frame_end(b, at);
}

static int read_result_out(struct gr_rd *r, struct gr_result_out *o)
{
	o->index = (uint32_t)gr_rd_varint(r, GR_WIRE_MAX_OUTPUTS - 1);
	o->mode = gr_rd_u16(r);
	o->enc = gr_rd_u8(r);
	o->size = gr_rd_varint(r, GR_WIRE_MAX_OUTPUT_BYTES);
	o->data = gr_rd_bytes(r, GR_WIRE_MAX_OUTPUT_BYTES);
	if (r->rc < 0)
		return r->rc;
	if (o->mode != 0644 && o->mode != 0755)
		return GR_EPROTO;
	if (o->enc == GR_ENC_RAW ? o->data.n != o->size : o->enc != GR_ENC_ZLIB || o->data.n > o->size)
		return GR_EPROTO;
	return 0;
}

int gr_result_decode(struct gr_slice body, struct gr_result_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	uint64_t seen = 0, sum = 0;
	int rc;

	m->session = gr_rd_u64(&r);
	m->task = gr_rd_u64(&r);
	m->attempt = gr_rd_u32(&r);
	m->outcome = gr_rd_u8(&r);
	m->exit_code = (int32_t)gr_rd_u32(&r);
	m->term_signal = (int32_t)gr_rd_u32(&r);
	m->cpu_us = gr_rd_varint(&r, UINT64_MAX);
	m->wall_us = gr_rd_varint(&r, UINT64_MAX);
	m->max_rss_bytes = gr_rd_varint(&r, UINT64_MAX);
	m->wait_us = gr_rd_varint(&r, UINT64_MAX);
	m->reason = gr_rd_bytes(&r, MAX_REASON_BYTES);
	m->out = gr_rd_bytes(&r, GR_WIRE_MAX_STREAM_BYTES);
	m->err = gr_rd_bytes(&r, GR_WIRE_MAX_STREAM_BYTES);
	m->n_outputs = (uint32_t)gr_rd_varint(&r, GR_WIRE_MAX_OUTPUTS);
	if (r.rc < 0)
		return r.rc;
	if (m->outcome < GR_OUTCOME_DONE || m->outcome > GR_OUTCOME_OOM)
		return GR_EPROTO;
	for (uint32_t i = 0; i < m->n_outputs; i++) {
		rc = read_result_out(&r, &m->outputs[i]);
		if (rc < 0)
			return rc;
		if (seen >> m->outputs[i].index & 1)
			return GR_EPROTO;
		seen |= 1ull << m->outputs[i].index;
		sum += m->outputs[i].size;
		if (sum > GR_WIRE_MAX_OUTPUT_BYTES)
			return GR_ELIMIT;
	}
	return gr_rd_end(&r);
}

/* ---- CANCEL, RESULT_ACK ---- */

void gr_taskref_encode(struct gr_buf *b, enum gr_msg_type type, uint64_t session, uint64_t task, uint32_t attempt)
{
	size_t at = gr_frame_begin(b, type);

	gr_wr_u64(b, session);
	gr_wr_u64(b, task);
	gr_wr_u32(b, attempt);
	gr_frame_end(b, at);
}

int gr_taskref_decode(struct gr_slice body, uint64_t *session, uint64_t *task, uint32_t *attempt)
{
	struct gr_rd r = gr_rd_init(body);
	uint64_t s = gr_rd_u64(&r), t = gr_rd_u64(&r);
	uint32_t a = gr_rd_u32(&r);
	int rc = gr_rd_end(&r);

	if (rc < 0)
		return rc;
	*session = s;
	*task = t;
	*attempt = a;
	return 0;
}
