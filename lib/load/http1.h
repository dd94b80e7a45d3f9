/**
 * http1 - what an HTTP/1.1 server answers, byte by byte, without memory of its own
 *
 * Headers are read when the block is whole: gr_http1_feed says GR_HTTP1_MORE until the blank line is there, and the caller
 * keeps what it gave (nothing is copied here). The body is counted and passed over in pieces of any size. Interim answers
 * (1xx but 101) are passed over. Everything that RFC 9112 lets a client refuse is refused: two different lengths, a length
 * beside chunked, bad chunk sizes, a header line without a colon, control characters.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"

#define GR_HTTP1_MAX_HEAD_BYTES 65536u

enum gr_http1_step {
	GR_HTTP1_MORE,                  /* wants more bytes (behind those of the head, when it is not whole) */
	GR_HTTP1_HEAD,                  /* the head was read: status and fields are set; feed the rest */
	GR_HTTP1_BODY,                  /* @data: bytes of the body; feed the rest */
	GR_HTTP1_DONE,                  /* the answer is whole */
	GR_HTTP1_BAD_HEAD, GR_HTTP1_BAD_CHUNK, GR_HTTP1_FLOOD   /* malformed; head beyond the limit */
};
struct gr_http1 {
	uint8_t state;
	bool is_head_request, is_close;
	uint16_t status;
	uint32_t n_seen;                /* of an unfinished head: the blank line is not within so many bytes */
	uint32_t n_line;                /* of a chunk's size line or a trailer */
	uint64_t left;                  /* of the body or the chunk */
	struct gr_slice head;           /* the fields: NAME: VALUE lines; valid at GR_HTTP1_HEAD */
};

void gr_http1_init(struct gr_http1 *h, bool is_head_request);
/**
 * gr_http1_feed - one step over @in
 * @n_used: bytes of @in that are dealt with; at GR_HTTP1_MORE in the head: 0, and @in comes again with more behind it
 */
enum gr_http1_step gr_http1_feed(struct gr_http1 *h, struct gr_slice in, size_t *n_used, struct gr_slice *data);
/* The connection ended: is the answer whole by that? */
bool gr_http1_is_whole_at_end(const struct gr_http1 *h);
/* Has any byte of the answer's head been read? */
bool gr_http1_is_in_body(const struct gr_http1 *h);
/* The next field of a head; false at the end. @rest: start with h->head. */
bool gr_http1_field(struct gr_slice *rest, struct gr_slice *name, struct gr_slice *value);
bool gr_http1_find(struct gr_slice head, const char *name, struct gr_slice *value);
