/* msg.c - names, senders, sizes and frames; see msg.h
 *
 * The header's fields keep their places in every version of the protocol, and HELLO and REJECT stay JSON, so that two
 * programs of different age can at least tell each other why they do not talk.
 */
#include "lib/wire/msg.h"

#include <string.h>

#include "lib/base/alloc.h"

#define JSON_BYTES (1u << 20)
#define DIGESTS_BYTES (16u + 32u * GR_WIRE_MAX_DIGESTS)

struct msg_type {
	const char *name, *who;
};

static const struct msg_type types[] = {
#define X(num, type_name, senders) [num] = { .name = #type_name, .who = senders },
	GR_MSG_MAP(X)
#undef X
};

static const struct msg_type *type_of(int type)
{
	if (type < 0 || (size_t)type >= GR_LEN(types) || !types[type].name)
		return NULL;
	return &types[type];
}

static uint32_t max_body(int type)
{
	switch (type) {
	case GR_MSG_PING:
	case GR_MSG_PONG:
		return 17 + GR_MAX_SIGNALS * 11;
	case GR_MSG_SESSION_OK:
	case GR_MSG_SESSION_CLOSE:
	case GR_MSG_CANCEL:
	case GR_MSG_RESULT_ACK:
	case GR_MSG_DRAIN:
	case GR_MSG_LOAD_START:
	case GR_MSG_LOAD_STOP:
	case GR_MSG_LOAD_CLOCK:
	case GR_MSG_LOAD_SHARE:
		return 32;
	case GR_MSG_LOAD_STATS:
		return 8u << 20;
	case GR_MSG_BUNDLE:
		return GR_WIRE_MAX_BUNDLE_BYTES;
	case GR_MSG_LOG:
		return 16u << 20;
	case GR_MSG_TASK:
		return 1u << 20;
	case GR_MSG_RESULT:
		return GR_WIRE_MAX_FRAME_BYTES;
	case GR_MSG_NEED:
	case GR_MSG_FETCH:
	case GR_MSG_MISSING:
		return DIGESTS_BYTES;
	case GR_MSG_BLOB:
	case GR_MSG_OUT:
		return GR_WIRE_CHUNK_BYTES + 128;
	case GR_MSG_SPEC:
		return GR_WIRE_MAX_SPEC_BYTES;
	case GR_MSG_COMMAND:
	case GR_MSG_ENDED:
		return GR_WIRE_MAX_COMMAND_BYTES;
	case GR_MSG_STARTED:
		return 32;
	case GR_MSG_FOLLOW:
	case GR_MSG_STOP:
		return 64;
	default:
		return JSON_BYTES;
	}
}

const char *gr_msg_name(int type)
{
	const struct msg_type *t = type_of(type);

	return t ? t->name : "?";
}

bool gr_msg_may_send(int type, char who)
{
	const struct msg_type *t = type_of(type);
	const char *p = t ? t->who : "";

	while (*p && *p != who)
		p++;
	return *p;
}

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
		if (!strcmp(text, gr_role_name((enum gr_role)role)))
			return role;
	return GR_EINVAL;
}

const char *gr_outcome_name(int outcome)
{
	switch (outcome) {
	case GR_OUTCOME_DONE: return "done";
	case GR_OUTCOME_REFUSED: return "refused";
	case GR_OUTCOME_RETRY: return "retry";
	case GR_OUTCOME_CANCELLED: return "cancelled";
	case GR_OUTCOME_TIMEOUT: return "timeout";
	case GR_OUTCOME_OOM: return "out of memory";
	case GR_OUTCOME_DISK: return "over its disk";
	}
	return "?";
}

int gr_frame_open(struct gr_slice frame, struct gr_slice *body)
{
	struct gr_rd r = gr_rd_init(frame);
	uint64_t head = gr_rd_u64(&r);
	uint8_t magic0 = (uint8_t)head, magic1 = (uint8_t)(head >> 8), version = (uint8_t)(head >> 16), type = (uint8_t)(head >> 24);
	uint32_t n = (uint32_t)(head >> 32);

	if (r.rc < 0)
		return r.rc;
	if (magic0 != 'g' || magic1 != 'r')
		return GR_EPROTO;
	if (n != gr_rd_left(&r))
		return gr_rd_left(&r) < n ? GR_ETRUNC : GR_EPROTO;
	if (version != GR_WIRE_VERSION) {
		if ((type == GR_MSG_HELLO || type == GR_MSG_REJECT) && n <= JSON_BYTES)
			*body = gr_slice(r.p, n);
		return GR_EVERSION;
	}
	if (!type_of(type))
		return GR_EPROTO;
	if (n > max_body(type))
		return GR_ELIMIT;
	*body = gr_slice(r.p, n);
	return type;
}

bool gr_bundle_next(struct gr_slice *body, struct gr_slice *frame)
{
	size_t n;

	if (body->n < GR_WIRE_HEADER_BYTES)
		return false;
	n = (size_t)body->p[4] | (size_t)body->p[5] << 8 | (size_t)body->p[6] << 16 | (size_t)body->p[7] << 24;
	if (n > body->n - GR_WIRE_HEADER_BYTES)
		return false;
	*frame = gr_slice(body->p, GR_WIRE_HEADER_BYTES + n);
	*body = gr_slice(frame->p + frame->n, body->n - frame->n);
	return true;
}

int gr_bundle_check(struct gr_slice body)
{
	struct gr_slice frame, inner = { NULL, 0 };
	int n = 0;

	for (; gr_bundle_next(&body, &frame); n++) {
		int type = gr_frame_open(frame, &inner);

		if (type < 0)
			return type;
		if (type == GR_MSG_BUNDLE || type == GR_MSG_HELLO || type == GR_MSG_WELCOME || type == GR_MSG_REJECT)
			return GR_EPROTO;
	}
	return body.n ? GR_ETRUNC : n < 2 ? GR_EPROTO : n;
}

size_t gr_frame_begin(struct gr_buf *b, enum gr_msg_type type)
{
	size_t at = b->n;

	gr_wr_u64(b, 'g' | 'r' << 8 | GR_WIRE_VERSION << 16 | (uint64_t)type << 24);     /* the length: gr_frame_end */
	return at;
}

void gr_frame_end(struct gr_buf *b, size_t at)
{
	size_t n = b->n - at - GR_WIRE_HEADER_BYTES;

	for (size_t i = 0; i < 4; i++)
		b->p[at + 4 + i] = (uint8_t)(n >> (8 * i));
}
