/* msg.c - names, who may send what, how large each type may be, and the frame around every message. */
#include "lib/wire/msg.h"

#include <string.h>

#define JSON_MAX (1u << 20)

struct type_row {
	const char *name, *who;
	uint32_t max;   /* body bytes */
};

static const struct type_row types[64] = {
#define X(num, name, who) [num] = { #name, who, JSON_MAX },
	GR_MSG_MAP(X)
#undef X
};

/* What differs from the megabyte that is enough for the rest. */
static uint32_t max_body(int type)
{
	switch (type) {
	case GR_MSG_LOG: return 8u << 20;
	case GR_MSG_TASK: return 4u << 20;
	case GR_MSG_BLOB: return GR_WIRE_CHUNK_BYTES + (64u << 10);
	case GR_MSG_RESULT: return GR_WIRE_MAX_FRAME_BYTES - GR_WIRE_HEADER_BYTES;
	case GR_MSG_PING: case GR_MSG_PONG: return 1024;
	default: return types[type].max;
	}
}

static bool is_known(int type) { return type > 0 && type < 64 && types[type].name; }
const char *gr_msg_name(int type) { return is_known(type) ? types[type].name : "?"; }
bool gr_msg_may_send(int type, char who) { return is_known(type) && strchr(types[type].who, who); }

const char *gr_role_name(enum gr_role role)
{
	switch (role) {
	case GR_ROLE_CLIENT: return "client";
	case GR_ROLE_WORKER: return "worker";
	case GR_ROLE_ADMIN: return "admin";
	}
	return "?";
}

int gr_role_parse(const char *text)
{
	for (int role = GR_ROLE_CLIENT; role <= GR_ROLE_ADMIN; role <<= 1)
		if (!strcmp(text, gr_role_name(role)))
			return role;
	return GR_EINVAL;
}

const char *gr_outcome_name(int outcome)
{
	static const char *const names[] = { "?", "done", "refused", "retry", "cancelled", "timeout", "oom" };

	return outcome >= GR_OUTCOME_DONE && outcome <= GR_OUTCOME_OOM ? names[outcome] : names[0];
}

int gr_frame_open(struct gr_slice frame, struct gr_slice *body)
{
	struct gr_rd r = gr_rd_init(frame);
	uint8_t g = gr_rd_u8(&r), x = gr_rd_u8(&r), version = gr_rd_u8(&r), type = gr_rd_u8(&r);
	uint32_t n = gr_rd_u32(&r);

	if (r.rc < 0)
		return r.rc;
	if (g != 'g' || x != 'r')
		return GR_EPROTO;
	if (version != GR_WIRE_VERSION) {
		if (type == GR_MSG_HELLO && n == gr_rd_left(&r) && n <= JSON_MAX)
			*body = gr_slice(r.p, n);
		return GR_EVERSION;
	}
	if (!is_known(type))
		return GR_EPROTO;
	if (n > max_body(type))
		return GR_ELIMIT;
	if (gr_rd_left(&r) < n)
		return GR_ETRUNC;
	if (gr_rd_left(&r) > n)
		return GR_EPROTO;
	*body = gr_slice(r.p, n);
	return type;
}

size_t gr_frame_begin(struct gr_buf *b, enum gr_msg_type type)
{
	size_t at = b->n;

	gr_wr_u8(b, 'g');
	gr_wr_u8(b, 'r');
	gr_wr_u8(b, GR_WIRE_VERSION);
	gr_wr_u8(b, (uint8_t)type);
	gr_wr_u32(b, 0);
	return at;
}

void gr_frame_end(struct gr_buf *b, size_t at)
{
	uint32_t n = (uint32_t)(b->n - at - GR_WIRE_HEADER_BYTES);

	for (int i = 0; i < 4; i++)
		b->p[at + 4 + (size_t)i] = (uint8_t)(n >> (8 * i));
}

/* ---- heartbeats ---- */
void gr_ping_encode(struct gr_buf *b, enum gr_msg_type type, const struct gr_ping *m)
{
	size_t at = gr_frame_begin(b, type);

	gr_wr_u64(b, m->seq);
	gr_wr_u64(b, m->t_ns);
	gr_wr_varint(b, m->n_signals);
	for (uint32_t i = 0; i < m->n_signals; i++) {
		gr_wr_u8(b, m->signals[i].key);
		gr_wr_u64(b, m->signals[i].value);
	}
	gr_frame_end(b, at);
}

int gr_ping_decode(struct gr_slice body, struct gr_ping *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct gr_ping p = { 0 };

	p.seq = gr_rd_u64(&r);
	p.t_ns = gr_rd_u64(&r);
	p.n_signals = (uint32_t)gr_rd_varint(&r, GR_MAX_SIGNALS);
	for (uint32_t i = 0; i < p.n_signals; i++) {
		p.signals[i].key = gr_rd_u8(&r);
		p.signals[i].value = gr_rd_u64(&r);
	}
	if (gr_rd_end(&r) < 0)
		return r.rc;
	*m = p;
	return 0;
}

void gr_drain_encode(struct gr_buf *b, uint32_t grace_ms)
{
	size_t at = gr_frame_begin(b, GR_MSG_DRAIN);

	gr_wr_u32(b, grace_ms);
	gr_frame_end(b, at);
}

int gr_drain_decode(struct gr_slice body, uint32_t *grace_ms)
{
	struct gr_rd r = gr_rd_init(body);
	uint32_t ms = gr_rd_u32(&r);

	if (gr_rd_end(&r) < 0)
		return r.rc;
	*grace_ms = ms;
	return 0;
}
