/* log.c - the decision log: every call that changed the state, and every decision, as numbers of variable length.
 *
 * A record is its opcode, how many numbers, the numbers, and for names how many bytes and the bytes. Replaying makes the
 * same calls on a new state and compares what that writes, byte for byte: so the log holds no copy of the state, and
 * whatever is not the same is found at the first record that differs. Costs tens of nanoseconds a record. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

#define BUF_BYTES (32u << 10)
#define MAX_RECORD (4u << 10)

static uint8_t *put(uint8_t *b, uint64_t v)
{
	while (v >= 0x80) {
		*b++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*b++ = (uint8_t)v;
	return b;
}

void gr_place_log_flush(struct gr_place *p)
{
	if (p->cfg.log && p->n_log)
		p->cfg.log->write(p->cfg.log->ctx, p->log_buf, p->n_log);
	p->n_log = 0;
}

void gr_place__log(struct gr_place *p, enum gr_place__op op, const uint64_t *v, uint32_t n, const void *bytes, uint32_t n_bytes)
{
	uint8_t *b;

	if (!p->log_buf)
		p->log_buf = gr_xalloc(BUF_BYTES);
	if (p->n_log > BUF_BYTES - MAX_RECORD)
		gr_place_log_flush(p);
	b = put(p->log_buf + p->n_log, op);
	b = put(b, n);
	for (uint32_t i = 0; i < n; i++)
		b = put(b, v[i]);
	b = put(b, n_bytes);
	if (n_bytes)
		memcpy(b, bytes, n_bytes);
	p->n_log = (uint32_t)(b + n_bytes - p->log_buf);
}
