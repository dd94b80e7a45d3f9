/* log.c - the decision log: every call that changed the state, and every decision, as numbers of variable length.
 *
 * A record is its opcode, how many numbers, the numbers, and for names how many bytes and the bytes. Replaying makes the
 * same calls on a new state and compares what that writes, byte for byte: so the log holds no copy of the state, and
 * whatever is not the same is found at the first record that differs. Costs tens of nanoseconds a record. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

#define BUF_BYTES (8u << 10)           /* what is written again and again stays in the processor's caches */
#define MAX_RECORD (4u << 10)

static inline uint8_t *put(uint8_t *b, uint64_t v)
{
	while (v >= 0x80) {
		*b++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*b++ = (uint8_t)v;
	return b;
}

/* The same for what is seldom short: spread over eight bytes and written as one word, without a branch a byte. */
static inline uint8_t *put_long(uint8_t *b, uint64_t v)
{
	uint32_t n = ((64 - (uint32_t)__builtin_clzll(v | 1)) * 9 + 64) / 64;

	if (v >> 56)
		return put(b, v);
	v = (v & 0xfffffff) | (v & 0xfffffff0000000) << 4;
	v = (v & 0x3fff00003fff) | (v & 0xfffc0000fffc000) << 2;
	v = (v & 0x7f007f007f007f) | (v & 0x3f803f803f803f80) << 1;
	v = htole64(v | (0x80808080808080 & ((1ull << (n * 8 - 8)) - 1)));
	memcpy(b, &v, sizeof(v));
	return b + n;
}

void gr_place_log_flush(struct gr_place *p)
{
	if (p->cfg.log && p->n_log)
		p->cfg.log->write(p->cfg.log->ctx, p->log_buf, p->n_log);
	p->n_log = 0;
}

static inline uint8_t *begin(struct gr_place *p, enum gr_place__op op, uint32_t n)
{
	uint8_t *b;

	if (!p->log_buf)
		p->log_buf = gr_xalloc(BUF_BYTES);
	if (p->n_log > BUF_BYTES - MAX_RECORD)
		gr_place_log_flush(p);
	b = p->log_buf + p->n_log;
	*b++ = (uint8_t)op;
	return put(b, n);
}

static inline void finish(struct gr_place *p, uint8_t *b) { p->n_log = (uint32_t)(b - p->log_buf); }

void gr_place__log(struct gr_place *p, enum gr_place__op op, const uint64_t *v, uint32_t n, const void *bytes, uint32_t n_bytes)
{
	uint8_t *b = begin(p, op, n);

	for (uint32_t i = 0; i < n; i++)
		b = put(b, v[i]);
	b = put(b, n_bytes);
	if (n_bytes)
		memcpy(b, bytes, n_bytes);
	finish(p, b + n_bytes);
}

/* The records of a decision, number by number: most of the log. */

APART void gr_place__log_next(struct gr_place *p, uint64_t now_ns, uint32_t max)
{
	uint8_t *b = begin(p, OP_NEXT, 2);

	b = put_long(b, now_ns);
	b = put(b, max);
	*b++ = 0;
	finish(p, b);
}

APART void gr_place__log_decided(struct gr_place *p, const struct gr_place_decision *d)
{
	uint8_t *b = begin(p, OP_DECIDED, 9);

	b = put(b, d->act);
	b = put_long(b, d->tag);
	b = put(b, d->nth);
	b = put_long(b, d->placed);
	b = put(b, d->other);
	b = put_long(b, d->worker);
	b = put(b, d->gang);
	b = put(b, d->n_looked);
	b = put_long(b, d->finish_us);
	*b++ = 0;
	finish(p, b);
}

APART void gr_place__log_end(struct gr_place *p, uint64_t now_ns, uint64_t placed, const struct gr_place_ended *e)
{
	uint8_t *b = begin(p, OP_END, 5);

	b = put_long(b, now_ns);
	b = put_long(b, placed);
	b = put(b, e->how);
	b = put_long(b, e->cpu_us);
	b = put_long(b, e->max_rss_bytes);
	*b++ = 0;
	finish(p, b);
}
