/* wire_pack_test.c - compression: a round trip for everything, and no memory for a liar */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/rng.h"
#include "lib/wire/msg.h"

static void expect_round_trip(struct gr_slice in, int want_enc)
{
	struct gr_buf packed = { 0 }, out = { 0 };
	int enc;

	gr_buf_add_str(&packed, "head");   /* both append */
	gr_buf_add_str(&out, "head");
	enc = gr_pack(in, &packed);
	assert_int_equal(enc, want_enc);
	assert_int_equal(gr_unpack(gr_slice(packed.p + 4, packed.n - 4), (uint8_t)enc, in.n, in.n, &out), 0);
	assert_int_equal(out.n, in.n + 4);
	if (in.n > 0)
		assert_memory_equal(out.p + 4, in.p, in.n);
	gr_buf_fini(&packed);
	gr_buf_fini(&out);
}

static void what_shrinks_is_packed_and_the_rest_is_not(void **state)
{
	struct gr_rng rng = { 1 };
	uint8_t *p = gr_xalloc(1 << 20);

	expect_round_trip(gr_slice("", 0), GR_ENC_RAW);
	expect_round_trip(gr_slice("x", 1), GR_ENC_RAW);
	expect_round_trip(gr_slice(p, 1 << 20), GR_ENC_ZLIB);
	memset(p, 'x', 1000);
	expect_round_trip(gr_slice(p, 1000), GR_ENC_ZLIB);
	for (size_t i = 0; i < 1 << 20; i++)
		p[i] = (uint8_t)gr_rng_u64(&rng);
	expect_round_trip(gr_slice(p, 1 << 20), GR_ENC_RAW);
	free(p);
}

static void a_bomb_is_refused_before_it_is_opened(void **state)
{
	uint8_t *zeros = gr_xalloc(1 << 20);
	struct gr_buf packed = { 0 }, out = { 0 };

	assert_int_equal(gr_pack(gr_slice(zeros, 1 << 20), &packed), GR_ENC_ZLIB);
	/* says less than it holds, more than it holds, more than is allowed, more than deflate can do */
	assert_int_equal(gr_unpack(gr_buf_slice(&packed), GR_ENC_ZLIB, 1000, 1 << 20, &out), GR_EPROTO);
	assert_int_equal(gr_unpack(gr_buf_slice(&packed), GR_ENC_ZLIB, (1 << 20) + 1, 2 << 20, &out), GR_EPROTO);
	assert_int_equal(gr_unpack(gr_buf_slice(&packed), GR_ENC_ZLIB, 1 << 20, 1 << 19, &out), GR_ELIMIT);
	assert_true(out.cap <= 2 << 20);
	assert_int_equal(gr_unpack(gr_slice(packed.p, 64), GR_ENC_ZLIB, 1 << 30, 1 << 30, &out), GR_EPROTO);
	assert_true(out.cap <= 2 << 20);
	assert_int_equal(out.n, 0);
	gr_buf_fini(&packed);
	gr_buf_fini(&out);
	free(zeros);
}

static void damaged_data_is_refused_and_leaves_the_buffer_alone(void **state)
{
	char text[4096];
	struct gr_buf packed = { 0 }, out = { 0 };
	int rc;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "int main(void) { return 0; }\n"[i % 29];
	assert_int_equal(gr_pack(gr_slice(text, sizeof(text)), &packed), GR_ENC_ZLIB);
	gr_buf_add_str(&out, "kept");
	for (size_t i = 0; i < packed.n; i++) {
		packed.p[i] ^= 0x10;
		rc = gr_unpack(gr_buf_slice(&packed), GR_ENC_ZLIB, sizeof(text), sizeof(text), &out);
		assert_int_equal(rc, GR_EPROTO);
		assert_string_equal(gr_buf_str(&out), "kept");
		packed.p[i] ^= 0x10;
	}
	for (size_t n = 0; n < packed.n; n++)
		assert_int_equal(gr_unpack(gr_slice(packed.p, n), GR_ENC_ZLIB, sizeof(text), sizeof(text), &out), GR_EPROTO);
	gr_buf_add_byte(&packed, 0);
	assert_int_equal(gr_unpack(gr_buf_slice(&packed), GR_ENC_ZLIB, sizeof(text), sizeof(text), &out), GR_EPROTO);
	assert_int_equal(gr_unpack(gr_slice("abc", 3), GR_ENC_RAW, 4, 10, &out), GR_EPROTO);
	assert_int_equal(gr_unpack(gr_slice("abc", 3), 9, 3, 10, &out), GR_EPROTO);
	assert_int_equal(out.n, 4);
	gr_buf_fini(&packed);
	gr_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_shrinks_is_packed_and_the_rest_is_not),
		cmocka_unit_test(a_bomb_is_refused_before_it_is_opened),
		cmocka_unit_test(damaged_data_is_refused_and_leaves_the_buffer_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
