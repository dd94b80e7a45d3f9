/* msg_beat.c - PING, PONG and DRAIN: short fixed messages that keep the parties informed of each other; see msg.h */
#include "lib/wire/msg.h"

#include "lib/base/alloc.h"

void gr_ping_encode(struct gr_buf *b, enum gr_msg_type ping_or_pong, const struct gr_ping *m)
{
	size_t at = gr_frame_begin(b, ping_or_pong);
	uint32_t n = ping_or_pong == GR_MSG_PONG ? 0 : m->n_signals;

	gr_wr_u64(b, m->seq);
	gr_wr_u64(b, m->t_ns);
	gr_wr_u8(b, (uint8_t)n);
	for (uint32_t i = 0; i < n; i++) {
		gr_wr_u8(b, m->signals[i].key);
		gr_wr_varint(b, m->signals[i].value);
	}
	gr_frame_end(b, at);
}

int gr_ping_decode(struct gr_slice body, struct gr_ping *m)
{
	struct gr_rd r = gr_rd_init(body);
	struct gr_ping out = { .seq = gr_rd_u64(&r), .t_ns = gr_rd_u64(&r), .n_signals = gr_rd_u8(&r) };
	int rc;

	if (out.n_signals > GR_MAX_SIGNALS)
		return GR_ELIMIT;
	for (uint32_t i = 0; i < out.n_signals; i++) {
		out.signals[i].key = gr_rd_u8(&r);
		out.signals[i].value = gr_rd_varint(&r, UINT64_MAX);
	}
	rc = gr_rd_end(&r);
	if (rc < 0)
		return rc;
	*m = out;
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
	uint32_t v = gr_rd_u32(&r);
	int rc = gr_rd_end(&r);

	if (rc < 0)
		return rc;
	*grace_ms = v;
	return 0;
}
