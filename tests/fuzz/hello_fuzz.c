/* hello_fuzz.c - JSON bodies and HELLO: what a stranger may say before anybody knows who it is */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/wire/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct gr_slice in = gr_slice(data, n), body;
	struct gr_buf f = { 0 };
	struct gr_hello h;
	struct gr_err err;
	json_t *j, *again;

	if (gr_json_decode(in, &j, &err) == 0) {
		/* What was read can be written, and read again as the same. */
		gr_json_encode(&f, GR_MSG_CTL_REQ, j);
		if (gr_frame_open(gr_buf_slice(&f), &body) == GR_MSG_CTL_REQ) {
			if (gr_json_decode(body, &again, &err) < 0 || !json_equal(j, again))
				abort();
			json_decref(again);
		}
		json_decref(j);
		gr_buf_fini(&f);
	}
	if (gr_hello_decode(in, &h, &err) == 0) {
		if (!h.name[0] || strlen(h.name) >= sizeof(h.name) || h.version_min > h.version_max || !gr_role_name(h.role)[1])
			abort();
		gr_hello_fini(&h);
	} else if (!memchr(err.text, 0, sizeof(err.text))) {
		abort();
	}
	return 0;
}
