/* http1_fuzz.c - an answer cut in two at every place the first byte says gives what it gives in one piece */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/load/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct outcome {
	enum gr_http1_step end;
	uint16_t status;
	uint64_t n_body, sum;
};

static struct outcome run(const uint8_t *data, size_t n, size_t cut, bool is_head)
{
	struct outcome o = { 0 };
	struct gr_http1 h;
	size_t at = 0, end = cut;

	gr_http1_init(&h, is_head);
	for (size_t turns = 0; turns < 4 * n + 16; turns++) {
		struct gr_slice body = { 0 };
		size_t used;
		uint8_t *copy = malloc(end - at ? end - at : 1);   /* so that a step over the end is seen */

		memcpy(copy, data + at, end - at);
		o.end = gr_http1_feed(&h, gr_slice(copy, end - at), &used, &body);
		if (o.end == GR_HTTP1_HEAD) {
			struct gr_slice rest = h.head, name, value;

			while (gr_http1_field(&rest, &name, &value))
				o.sum += name.n * 31 + value.n;
			o.status = h.status;
		}
		if (o.end == GR_HTTP1_BODY) {
			o.n_body += body.n;
			for (size_t i = 0; i < body.n; i++)
				o.sum += body.p[i];
		}
		if (used > end - at)
			abort();
		free(copy);
		at += used;
		if (o.end == GR_HTTP1_MORE && !used) {
			if (end == n)
				return o;
			end = n;
		} else if (o.end == GR_HTTP1_DONE || o.end >= GR_HTTP1_BAD_HEAD) {
			return o;
		} else if (at == end && end < n) {
			end = n;
		}
	}
	abort();                                 /* no progress */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct outcome whole, cut;
	bool is_head;

	if (n < 2)
		return 0;
	is_head = data[0] & 0x80;
	whole = run(data + 1, n - 1, n - 1, is_head);
	cut = run(data + 1, n - 1, (data[0] & 0x7f) * (n - 1) / 128, is_head);
	if (whole.end != cut.end || whole.status != cut.status || whole.n_body != cut.n_body || whole.sum != cut.sum)
		abort();
	return 0;
}
