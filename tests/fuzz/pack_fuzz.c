/* pack_fuzz.c - compression: bytes 0-3 the claimed size, byte 4 the encoding, the rest data to unpack and to pack */
#include <stdint.h>
#include <stdlib.h>

#include "lib/wire/msg.h"

#define MAX_BYTES (1u << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct gr_rd r = gr_rd_init(gr_slice(data, n));
	uint32_t raw_n = gr_rd_u32(&r) % (2 * MAX_BYTES);
	uint8_t enc = gr_rd_u8(&r);
	struct gr_slice in = gr_slice(r.p, gr_rd_left(&r));
	struct gr_buf out = { 0 }, packed = { 0 };
	int rc;

	if (r.rc < 0)
		return 0;
	rc = gr_unpack(in, enc, raw_n, MAX_BYTES, &out);
	if (out.n != (rc == 0 ? raw_n : 0) || out.cap > 4 * MAX_BYTES)
		abort();
	gr_buf_clear(&out);
	enc = (uint8_t)gr_pack(in, &packed);
	if (gr_unpack(gr_buf_slice(&packed), enc, in.n, in.n, &out) < 0 || !gr_slice_eq(gr_buf_slice(&out), in))
		abort();
	gr_buf_fini(&packed);
	gr_buf_fini(&out);
	return 0;
}
