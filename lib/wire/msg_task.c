/* msg_task.c - tasks and their results, the two hot messages. A TASK's attempt lies at a fixed offset behind session and
 * task, so that the coordinator forwards the client's bytes and only overwrites these four. */
#include "lib/wire/msg.h"

#include <string.h>

#define ATTEMPT_AT (GR_WIRE_HEADER_BYTES + 16)

struct gr_ids_it gr_ids_begin(const struct gr_ids *ids)
{
	return (struct gr_ids_it){ gr_rd_init(ids->raw), ids->n, 0, ids->is_sorted, false };
}

/* Sorted lists hold the first id as it is and then each difference minus one: strictly rising by construction. */
static uint64_t next_id(struct gr_ids_it *it)
{
	uint64_t v = gr_rd_varint(&it->rd, GR_WIRE_MAX_RECORDS - 1);

	if (it->is_sorted && it->is_begun)
		v += (uint64_t)it->last + 1;
	it->is_begun = true;
	it->last = (uint32_t)v;
	return v;
}

bool gr_ids_next(struct gr_ids_it *it, uint32_t *id)
{
	if (!it->left)
		return false;
	it->left--;
	*id = (uint32_t)next_id(it);
	return it->rd.rc == 0;
}

void gr_ids_encode(struct gr_buf *raw, const uint32_t *ids, uint32_t n, bool is_sorted)
{
	for (uint32_t i = 0; i < n; i++)
		gr_wr_varint(raw, is_sorted && i ? ids[i] - ids[i - 1] - 1 : ids[i]);
}

static void put_ids(struct gr_buf *b, const struct gr_ids *ids)
{
	gr_wr_varint(b, ids->n);
	gr_wr_bytes(b, ids->raw);
}

static struct gr_ids take_ids(struct gr_rd *r, uint32_t max, bool is_sorted, uint32_t n_records)
{
	struct gr_ids ids = { .n = (uint32_t)gr_rd_varint(r, max), .is_sorted = is_sorted };
	struct gr_ids_it it;
	uint64_t v;

	ids.raw = gr_rd_bytes(r, (size_t)max * 5);
	if (r->rc < 0)
		return (struct gr_ids){ 0 };
	it = gr_ids_begin(&ids);
	for (uint32_t i = 0; i < ids.n && it.rd.rc == 0; i++) {
		v = next_id(&it);
		if (it.rd.rc == 0 && v >= n_records)
			it.rd.rc = GR_EPROTO;
	}
	if (gr_rd_end(&it.rd) < 0) {
		r->rc = it.rd.rc;
		return (struct gr_ids){ 0 };
	}
	return ids;
}

void gr_task_encode(struct gr_buf *b, const struct gr_task_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_TASK);

	gr_wr_u64(b, m->session);
	gr_wr_u64(b, m->task);
	gr_wr_u32(b, m->attempt);
	gr_wr_u32(b, m->n_records);
	gr_wr_u32(b, m->flags);
	gr_wr_digest(b, &m->toolchain);
	gr_wr_u32(b, m->cpu_ms);
	gr_wr_u64(b, m->mem_bytes);
	gr_wr_u64(b, m->family);
	gr_wr_u32(b, m->timeout_ms);
	gr_wr_varint(b, m->cwd);
	put_ids(b, &m->argv);
	put_ids(b, &m->env);
	put_ids(b, &m->inputs);
	gr_wr_varint(b, m->n_outputs);
	for (uint32_t i = 0; i < m->n_outputs; i++) {
		gr_wr_varint(b, m->outputs[i].path);
		gr_wr_u8(b, m->outputs[i].flags);
	}
	gr_frame_end(b, at);
}

int gr_task_decode(struct gr_slice body, struct gr_task_msg *m)
{
	struct gr_rd r = gr_rd_init(body);

	m->session = gr_rd_u64(&r);
	m->task = gr_rd_u64(&r);
	m->attempt = gr_rd_u32(&r);
	m->n_records = gr_rd_u32(&r);
	m->flags = gr_rd_u32(&r);
	m->toolchain = gr_rd_digest(&r);
	m->cpu_ms = gr_rd_u32(&r);
	m->mem_bytes = gr_rd_u64(&r);
	m->family = gr_rd_u64(&r);
	m->timeout_ms = gr_rd_u32(&r);
	if (r.rc == 0 && m->n_records > GR_WIRE_MAX_RECORDS)
		return GR_ELIMIT;
	m->cwd = (uint32_t)gr_rd_varint(&r, GR_WIRE_MAX_RECORDS - 1);
	m->argv = take_ids(&r, GR_WIRE_MAX_ARGS, false, m->n_records);
	m->env = take_ids(&r, GR_WIRE_MAX_ARGS, false, m->n_records);
	m->inputs = take_ids(&r, GR_WIRE_MAX_INPUTS, true, m->n_records);
	m->n_outputs = (uint32_t)gr_rd_varint(&r, GR_WIRE_MAX_OUTPUTS);
	for (uint32_t i = 0; i < m->n_outputs; i++) {
		m->outputs[i].path = (uint32_t)gr_rd_varint(&r, GR_WIRE_MAX_RECORDS - 1);
		m->outputs[i].flags = gr_rd_u8(&r);
		if (r.rc == 0 && (m->outputs[i].path >= m->n_records || m->outputs[i].flags & ~GR_OUTPUT_REQUIRED))
			return GR_EPROTO;
	}
	if (gr_rd_end(&r) < 0)
		return r.rc;
	return m->argv.n == 0 || m->cwd >= m->n_records ? GR_EPROTO : 0;
}

void gr_task_patch_attempt(struct gr_buf *frame, uint32_t attempt)
{
	for (int i = 0; i < 4; i++)
		frame->p[ATTEMPT_AT + i] = (uint8_t)(attempt >> (8 * i));
}

void gr_result_encode(struct gr_buf *b, const struct gr_result_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_RESULT);

	gr_wr_u64(b, m->session);
	gr_wr_u64(b, m->task);
	gr_wr_u32(b, m->attempt);
	gr_wr_u8(b, m->outcome);
	gr_wr_u32(b, (uint32_t)m->exit_code);
	gr_wr_u32(b, (uint32_t)m->term_signal);
	gr_wr_u64(b, m->cpu_us);
	gr_wr_u64(b, m->wall_us);
	gr_wr_u64(b, m->max_rss_bytes);
	gr_wr_u64(b, m->wait_us);
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

static int take_output(struct gr_rd *r, struct gr_result_out *o, uint64_t *total)
{
	o->index = (uint32_t)gr_rd_varint(r, GR_WIRE_MAX_OUTPUTS - 1);
	o->mode = gr_rd_u16(r);
	o->enc = gr_rd_u8(r);
	o->size = gr_rd_varint(r, GR_WIRE_MAX_OUTPUT_BYTES);
	o->data = gr_rd_bytes(r, GR_WIRE_MAX_OUTPUT_BYTES);
	if (r->rc < 0)
		return r->rc;
	*total += o->size;
	if (*total > GR_WIRE_MAX_OUTPUT_BYTES)
		return GR_ELIMIT;
	if ((o->mode != 0644 && o->mode != 0755) || o->enc > GR_ENC_ZLIB || (o->enc == GR_ENC_RAW && o->size != o->data.n))
		return GR_EPROTO;
	return 0;
}

int gr_result_decode(struct gr_slice body, struct gr_result_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	uint64_t total = 0, seen = 0;
	int rc;

	m->session = gr_rd_u64(&r);
	m->task = gr_rd_u64(&r);
	m->attempt = gr_rd_u32(&r);
	m->outcome = gr_rd_u8(&r);
	m->exit_code = (int32_t)gr_rd_u32(&r);
	m->term_signal = (int32_t)gr_rd_u32(&r);
	m->cpu_us = gr_rd_u64(&r);
	m->wall_us = gr_rd_u64(&r);
	m->max_rss_bytes = gr_rd_u64(&r);
	m->wait_us = gr_rd_u64(&r);
	m->reason = gr_rd_bytes(&r, 4096);
	m->out = gr_rd_bytes(&r, GR_WIRE_MAX_STREAM_BYTES);
	m->err = gr_rd_bytes(&r, GR_WIRE_MAX_STREAM_BYTES);
	m->n_outputs = (uint32_t)gr_rd_varint(&r, GR_WIRE_MAX_OUTPUTS);
	for (uint32_t i = 0; i < m->n_outputs && r.rc == 0; i++) {
		rc = take_output(&r, &m->outputs[i], &total);
		if (rc < 0)
			return rc;
		if (seen >> m->outputs[i].index & 1)
			return GR_EPROTO;   /* one output twice */
		seen |= 1ull << m->outputs[i].index;
	}
	if (gr_rd_end(&r) < 0)
		return r.rc;
	return m->outcome < GR_OUTCOME_DONE || m->outcome > GR_OUTCOME_OOM || m->exit_code < 0 || m->exit_code > 255 ||
	       m->term_signal < 0 || m->term_signal > 127 ? GR_EPROTO : 0;
}

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

	if (gr_rd_end(&r) < 0)
		return r.rc;
	*session = s;
	*task = t;
	*attempt = a;
	return 0;
}
