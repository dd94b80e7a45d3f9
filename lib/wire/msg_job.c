/* msg_job.c - see msg_job.h
 *
 * A list travels as its count, the length of its bytes, and the bytes. A path that a peer names is relative and clean:
 * no empty part, no "." or "..", no NUL; what it may lie on is for whoever makes it to check.
 */
#include "lib/wire/msg_job.h"

#include <string.h>

#include "lib/base/utf8.h"

#define MAX_REASON_BYTES 65536u
#define MAX_PATH_BYTES 4095u
#define MAX_NAME_BYTES 127u
#define MAX_LIST_BYTES (16u << 20)
#define ALL_ENDED_FLAGS 31u

enum part { PART_VALUE, PART_INPUT, PART_OUTPUT, PART_SECRET };

static bool is_clean(struct gr_slice p)
{
	size_t from = 0;

	if (!p.n || p.n > MAX_PATH_BYTES || memchr(p.p, 0, p.n) || !gr_utf8_is(p))
		return false;
	for (size_t i = 0; i <= p.n; i++) {
		if (i < p.n && p.p[i] != '/')
			continue;
		if (i == from || (i - from == 1 && p.p[from] == '.') || (i - from == 2 && !memcmp(p.p + from, "..", 2)))
			return false;
		from = i + 1;
	}
	return true;
}

/* ---- items and entries ---- */

static void write_item(struct gr_buf *b, const struct gr_item *i)
{
	gr_wr_varint(b, i->size);
	gr_wr_u8(b, i->has_data);
	if (i->has_data)
		gr_buf_add(b, i->data.p, i->data.n);
	else
		gr_wr_digest(b, &i->digest);
}

static void read_item(struct gr_rd *r, struct gr_item *i)
{
	uint8_t how;

	*i = (struct gr_item){ .size = gr_rd_varint(r, GR_WIRE_MAX_BLOB_BYTES) };
	how = gr_rd_u8(r);
	i->has_data = how;
	if (r->rc == 0 && (how > 1 || (how && i->size > GR_WIRE_MAX_INLINE_BYTES)))
		r->rc = how > 1 ? GR_EPROTO : GR_ELIMIT;
	if (i->has_data)
		i->data = gr_rd_raw(r, (size_t)i->size);
	else
		i->digest = gr_rd_digest(r);
}

void gr_value_add(struct gr_buf *raw, uint32_t *n, struct gr_slice value)
{
	gr_wr_bytes(raw, value);
	++*n;
}

void gr_secret_add(struct gr_buf *raw, uint32_t *n, const struct gr_secret *s)
{
	gr_wr_bytes(raw, s->name);
	gr_wr_bytes(raw, s->value);
	++*n;
}

void gr_placed_add(struct gr_buf *raw, uint32_t *n, const struct gr_placed_file *f, bool is_output)
{
	if (is_output)
		gr_wr_varint(raw, f->index);
	gr_wr_u8(raw, f->kind);
	gr_wr_bytes(raw, f->path);
	if (f->kind != GR_PLACED_LINK)
		gr_wr_u16(raw, f->mode);
	if (f->kind == GR_PLACED_FILE)
		write_item(raw, &f->item);
	if (f->kind == GR_PLACED_LINK)
		gr_wr_bytes(raw, f->target);
	++*n;
}

static void read_placed(struct gr_rd *r, struct gr_placed_file *f, bool is_output)
{
	*f = (struct gr_placed_file){ 0 };
	if (is_output)
		f->index = (uint32_t)gr_rd_varint(r, GR_WIRE_CHECKPOINT);
	f->kind = gr_rd_u8(r);
	f->path = gr_rd_bytes(r, MAX_PATH_BYTES);
	if (r->rc == 0 && (f->kind < GR_PLACED_FILE || f->kind > GR_PLACED_LINK))
		r->rc = GR_EPROTO;
	if (r->rc == 0 && !is_clean(f->path))
		r->rc = GR_EPATH;
	if (f->kind != GR_PLACED_LINK) {
		f->mode = gr_rd_u16(r);
		if (r->rc == 0 && f->mode > 0777)
			r->rc = GR_EPROTO;
	}
	if (f->kind == GR_PLACED_FILE)
		read_item(r, &f->item);
	if (f->kind == GR_PLACED_LINK) {
		f->target = gr_rd_bytes(r, MAX_PATH_BYTES);
		if (r->rc == 0 && (!f->target.n || memchr(f->target.p, 0, f->target.n) || !gr_utf8_is(f->target)))
			r->rc = GR_EPATH;
	}
	if (r->rc == 0 && !is_output && f->item.has_data)
		r->rc = GR_EPROTO;
}

static void read_secret(struct gr_rd *r, struct gr_secret *s)
{
	s->name = gr_rd_bytes(r, MAX_NAME_BYTES);
	s->value = gr_rd_bytes(r, GR_WIRE_MAX_STR_BYTES);
	if (r->rc == 0 && (!is_clean(s->name) || memchr(s->name.p, '/', s->name.n)))
		r->rc = GR_EPATH;
}

static void skip_part(struct gr_rd *r, enum part part)
{
	struct gr_placed_file f;
	struct gr_secret s;
	struct gr_slice v;

	switch (part) {
	case PART_VALUE:
		v = gr_rd_bytes(r, GR_WIRE_MAX_STR_BYTES);
		if (r->rc == 0 && v.n && memchr(v.p, 0, v.n))
			r->rc = GR_EPROTO;
		break;
	case PART_INPUT:
	case PART_OUTPUT:
		read_placed(r, &f, part == PART_OUTPUT);
		break;
	case PART_SECRET:
		read_secret(r, &s);
		break;
	}
}

/* ---- lists ---- */

static void write_list(struct gr_buf *b, const struct gr_list_msg *l)
{
	gr_wr_varint(b, l->n);
	gr_wr_bytes(b, l->raw);
}

static void read_list(struct gr_rd *r, uint32_t max, enum part part, struct gr_list_msg *l)
{
	struct gr_rd in;

	l->n = (uint32_t)gr_rd_varint(r, max);
	l->raw = gr_rd_bytes(r, MAX_LIST_BYTES);
	if (r->rc < 0)
		return;
	in = gr_rd_init(l->raw);
	for (uint32_t i = 0; i < l->n && in.rc == 0; i++)
		skip_part(&in, part);
	r->rc = gr_rd_end(&in);
}

static bool next(struct gr_list_it *it)
{
	if (!it->left || it->rd.rc < 0)
		return false;
	it->left--;
	return true;
}

bool gr_value_next(struct gr_list_it *it, struct gr_slice *out)
{
	if (!next(it))
		return false;
	*out = gr_rd_bytes(&it->rd, GR_WIRE_MAX_STR_BYTES);
	return it->rd.rc == 0;
}

bool gr_placed_next(struct gr_list_it *it, struct gr_placed_file *out, bool is_output)
{
	if (!next(it))
		return false;
	read_placed(&it->rd, out, is_output);
	return it->rd.rc == 0;
}

bool gr_secret_next(struct gr_list_it *it, struct gr_secret *out)
{
	if (!next(it))
		return false;
	read_secret(&it->rd, out);
	return it->rd.rc == 0;
}

/* ---- references ---- */

struct ref {
	uint64_t job, task;
	uint32_t attempt;
};

static void write_ref(struct gr_buf *b, uint64_t job, uint64_t task, uint32_t attempt)
{
	gr_wr_u64(b, job);
	gr_wr_u64(b, task);
	gr_wr_u32(b, attempt);
}

static struct ref read_ref(struct gr_rd *r)
{
	struct ref x = { .job = gr_rd_u64(r), .task = gr_rd_u64(r), .attempt = gr_rd_u32(r) };

	if (r->rc == 0 && (!x.job || x.job > GR_WIRE_MAX_JOB))
		r->rc = GR_EPROTO;
	return x;
}

/* ---- COMMAND ---- */

void gr_command_encode(struct gr_buf *b, const struct gr_command_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_COMMAND);

	write_ref(b, m->job, m->task, m->attempt);
	gr_wr_varint(b, m->stage);
	gr_wr_varint(b, m->index);
	gr_wr_varint(b, m->ordinal);
	gr_wr_u32(b, m->flags);
	gr_wr_varint(b, m->timeout_ms);
	gr_wr_varint(b, m->mem_limit_bytes);
	gr_wr_varint(b, m->mem_bytes);
	write_list(b, &m->values);
	write_list(b, &m->inputs);
	write_list(b, &m->secrets);
	gr_frame_end(b, at);
}

int gr_command_decode(struct gr_slice body, struct gr_command_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct ref ref = read_ref(&r);
	struct gr_command_msg o = { .job = ref.job, .task = ref.task, .attempt = ref.attempt };
	int rc;

	o.stage = (uint32_t)gr_rd_varint(&r, UINT32_MAX);
	o.index = (uint32_t)gr_rd_varint(&r, UINT32_MAX);
	o.ordinal = (uint32_t)gr_rd_varint(&r, UINT32_MAX);
	o.flags = gr_rd_u32(&r);
	o.timeout_ms = gr_rd_varint(&r, INT64_MAX);
	o.mem_limit_bytes = gr_rd_varint(&r, INT64_MAX);
	o.mem_bytes = gr_rd_varint(&r, INT64_MAX);
	read_list(&r, GR_WIRE_MAX_VALUES, PART_VALUE, &o.values);
	read_list(&r, GR_WIRE_MAX_PLACED_FILES, PART_INPUT, &o.inputs);
	read_list(&r, GR_WIRE_MAX_SECRETS, PART_SECRET, &o.secrets);
	if (r.rc == 0 && o.flags & ~(uint32_t)GR_COMMAND_F_STREAM)
		r.rc = GR_EPROTO;
	rc = gr_rd_end(&r);
	if (rc < 0)
		return rc;
	*m = o;
	return 0;
}

/* ---- ENDED ---- */

void gr_ended_encode(struct gr_buf *b, const struct gr_ended_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_ENDED);

	write_ref(b, m->job, m->task, m->attempt);
	gr_wr_u8(b, m->outcome);
	gr_wr_u32(b, (uint32_t)m->exit_code);
	gr_wr_u32(b, (uint32_t)m->term_signal);
	gr_wr_u32(b, m->flags);
	gr_wr_varint(b, m->cpu_us);
	gr_wr_varint(b, m->wall_us);
	gr_wr_varint(b, m->max_rss_bytes);
	gr_wr_varint(b, m->wait_us);
	gr_wr_varint(b, m->in_bytes);
	gr_wr_bytes(b, m->reason);
	write_item(b, &m->out);
	write_item(b, &m->err);
	write_list(b, &m->outputs);
	gr_frame_end(b, at);
}

int gr_ended_decode(struct gr_slice body, struct gr_ended_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct ref ref = read_ref(&r);
	struct gr_ended_msg o = { .job = ref.job, .task = ref.task, .attempt = ref.attempt };
	int rc;

	o.outcome = gr_rd_u8(&r);
	o.exit_code = (int32_t)gr_rd_u32(&r);
	o.term_signal = (int32_t)gr_rd_u32(&r);
	o.flags = gr_rd_u32(&r);
	o.cpu_us = gr_rd_varint(&r, INT64_MAX);
	o.wall_us = gr_rd_varint(&r, INT64_MAX);
	o.max_rss_bytes = gr_rd_varint(&r, INT64_MAX);
	o.wait_us = gr_rd_varint(&r, INT64_MAX);
	o.in_bytes = gr_rd_varint(&r, INT64_MAX);
	o.reason = gr_rd_bytes(&r, MAX_REASON_BYTES);
	read_item(&r, &o.out);
	read_item(&r, &o.err);
	read_list(&r, GR_WIRE_MAX_PLACED_FILES, PART_OUTPUT, &o.outputs);
	if (r.rc == 0 && (o.outcome < GR_OUTCOME_DONE || o.outcome > GR_OUTCOME_DISK || o.flags & ~ALL_ENDED_FLAGS))
		r.rc = GR_EPROTO;
	rc = gr_rd_end(&r);
	if (rc < 0)
		return rc;
	*m = o;
	return 0;
}

/* ---- OUT, FOLLOW, STOP ---- */

void gr_out_encode(struct gr_buf *b, const struct gr_out_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_OUT);

	write_ref(b, m->job, m->task, m->attempt);
	gr_wr_u8(b, m->stream);
	gr_wr_u8(b, m->flags);
	gr_wr_u64(b, m->offset);
	gr_buf_add(b, m->data.p, m->data.n);
	gr_frame_end(b, at);
}

int gr_out_decode(struct gr_slice body, struct gr_out_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct ref ref = read_ref(&r);
	struct gr_out_msg o = { .job = ref.job, .task = ref.task, .attempt = ref.attempt };

	o.stream = gr_rd_u8(&r);
	o.flags = gr_rd_u8(&r);
	o.offset = gr_rd_u64(&r);
	if (r.rc < 0)
		return r.rc;
	o.data = gr_slice(r.p, gr_rd_left(&r));
	if (o.data.n > GR_WIRE_CHUNK_BYTES || o.offset > INT64_MAX)
		return GR_ELIMIT;
	if (o.stream < GR_STREAM_OUT || o.stream > GR_STREAM_ERR || o.flags > GR_OUT_F_END || (!o.data.n && !o.flags))
		return GR_EPROTO;
	*m = o;
	return 0;
}

void gr_follow_encode(struct gr_buf *b, const struct gr_follow_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_FOLLOW);

	write_ref(b, m->job, m->task, m->attempt);
	gr_wr_u8(b, m->is_on);
	gr_wr_u64(b, m->out);
	gr_wr_u64(b, m->err);
	gr_frame_end(b, at);
}

int gr_follow_decode(struct gr_slice body, struct gr_follow_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct ref ref = read_ref(&r);
	struct gr_follow_msg o = { .job = ref.job, .task = ref.task, .attempt = ref.attempt };
	uint8_t on = gr_rd_u8(&r);
	int rc;

	o.is_on = on;
	o.out = gr_rd_u64(&r);
	o.err = gr_rd_u64(&r);
	rc = gr_rd_end(&r);
	if (rc < 0)
		return rc;
	if (on > 1 || o.out > INT64_MAX || o.err > INT64_MAX)
		return GR_EPROTO;
	*m = o;
	return 0;
}

void gr_stop_encode(struct gr_buf *b, const struct gr_stop_msg *m)
{
	size_t at = gr_frame_begin(b, GR_MSG_STOP);

	write_ref(b, m->job, m->task, m->attempt);
	gr_wr_u8(b, m->how);
	gr_wr_u32(b, m->grace_ms);
	gr_frame_end(b, at);
}

int gr_stop_decode(struct gr_slice body, struct gr_stop_msg *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct ref ref = read_ref(&r);
	struct gr_stop_msg o = { .job = ref.job, .task = ref.task, .attempt = ref.attempt };
	int rc;

	o.how = gr_rd_u8(&r);
	o.grace_ms = gr_rd_u32(&r);
	rc = gr_rd_end(&r);
	if (rc < 0)
		return rc;
	if (o.how < GR_STOP_CANCEL || o.how > GR_STOP_RETRACT)
		return GR_EPROTO;
	*m = o;
	return 0;
}
