/* wire_msg_test.c - the codec, frames and messages: what goes in comes out, and nothing hostile gets through */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/wire/msg.h"

static struct gr_slice body_of(const struct gr_buf *frame)
{
	return gr_slice(frame->p + GR_WIRE_HEADER_BYTES, frame->n - GR_WIRE_HEADER_BYTES);
}

/* ---- codec ---- */

static void varints_round_trip_in_their_shortest_form(void **state)
{
	static const uint64_t values[] = { 0, 1, 127, 128, 16383, 16384, 1ull << 32, 1ull << 63, UINT64_MAX };
	struct gr_buf b = { 0 };

	for (size_t i = 0; i < GR_LEN(values); i++) {
		struct gr_rd r;

		gr_buf_clear(&b);
		gr_wr_varint(&b, values[i]);
		r = gr_rd_init(gr_buf_slice(&b));
		assert_true(gr_rd_varint(&r, UINT64_MAX) == values[i]);
		assert_int_equal(gr_rd_end(&r), 0);
	}
	gr_buf_fini(&b);
}

static void bad_varints_are_refused(void **state)
{
	static const struct { const char *bytes; size_t n; uint64_t max; int rc; } t[] = {
		{ "\x80\x00", 2, 100, GR_EPROTO },                                     /* longer than needed */
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, UINT64_MAX, GR_EPROTO },   /* 65 bits */
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01", 11, UINT64_MAX, GR_EPROTO },
		{ "\x80", 1, 100, GR_ETRUNC },
		{ "", 0, 100, GR_ETRUNC },
		{ "\x65", 1, 100, GR_ELIMIT },
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		struct gr_rd r = gr_rd_init(gr_slice(t[i].bytes, t[i].n));

		assert_int_equal(gr_rd_varint(&r, t[i].max), 0);
		assert_int_equal(r.rc, t[i].rc);
		assert_int_equal(gr_rd_u8(&r), 0);   /* stays failed */
		assert_int_equal(gr_rd_end(&r), t[i].rc);
	}
}

static void a_length_beyond_the_end_reads_nothing(void **state)
{
	struct gr_rd r = gr_rd_init(gr_slice("\x05" "abc", 4));
	struct gr_slice s = gr_rd_bytes(&r, 100);

	assert_int_equal(s.n, 0);
	assert_int_equal(r.rc, GR_ETRUNC);
	r = gr_rd_init(gr_slice("\x03" "abcd", 5));
	s = gr_rd_bytes(&r, 100);
	assert_true(gr_slice_is(s, "abc"));
	assert_int_equal(gr_rd_end(&r), GR_EPROTO);
}

/* ---- frames ---- */

static void each_type_has_a_name_and_senders(void **state)
{
	assert_string_equal(gr_msg_name(GR_MSG_TASK), "TASK");
	assert_string_equal(gr_msg_name(0), "?");
	assert_string_equal(gr_msg_name(7), "?");
	assert_string_equal(gr_msg_name(-1), "?");
	assert_string_equal(gr_msg_name(1000), "?");
	assert_true(gr_msg_may_send(GR_MSG_TASK, 'C'));
	assert_true(gr_msg_may_send(GR_MSG_TASK, 'S'));
	assert_false(gr_msg_may_send(GR_MSG_TASK, 'W'));
	assert_false(gr_msg_may_send(GR_MSG_DRAIN, 'C'));
	assert_false(gr_msg_may_send(7, 'C'));
	assert_false(gr_msg_may_send(GR_MSG_PING, 0));
}

static void headers_are_checked(void **state)
{
	struct gr_buf f = { 0 };
	struct gr_slice body = { 0 };

	gr_drain_encode(&f, 1);
	assert_int_equal(gr_frame_open(gr_buf_slice(&f), &body), GR_MSG_DRAIN);
	assert_int_equal(body.n, 4);
	for (size_t n = 0; n < f.n; n++)
		assert_int_equal(gr_frame_open(gr_slice(f.p, n), &body), GR_ETRUNC);
	gr_wr_u8(&f, 0);
	assert_int_equal(gr_frame_open(gr_buf_slice(&f), &body), GR_EPROTO);
	f.n--;
	f.p[0] = 'G';
	assert_int_equal(gr_frame_open(gr_buf_slice(&f), &body), GR_EPROTO);
	f.p[0] = 'g';
	f.p[3] = 7;
	assert_int_equal(gr_frame_open(gr_buf_slice(&f), &body), GR_EPROTO);
	f.p[3] = GR_MSG_DRAIN;
	f.p[2] = 2;
	body.p = NULL;
	assert_int_equal(gr_frame_open(gr_buf_slice(&f), &body), GR_EVERSION);
	assert_null(body.p);
	f.p[3] = GR_MSG_HELLO;
	assert_int_equal(gr_frame_open(gr_buf_slice(&f), &body), GR_EVERSION);
	assert_non_null(body.p);
	gr_buf_fini(&f);
}

static void a_type_is_held_to_its_own_limit(void **state)
{
	struct gr_buf f = { 0 };
	struct gr_slice body;
	size_t at = gr_frame_begin(&f, GR_MSG_BLOB);

	gr_buf_reserve(&f, GR_WIRE_CHUNK_BYTES + 4096);
	memset(f.p + f.n, 0, GR_WIRE_CHUNK_BYTES + 4096);
	f.n += GR_WIRE_CHUNK_BYTES + 4096;
	gr_frame_end(&f, at);
	assert_int_equal(gr_frame_open(gr_buf_slice(&f), &body), GR_ELIMIT);
	gr_buf_fini(&f);
}

/* ---- JSON ---- */

static void json_bodies_are_objects_without_tricks(void **state)
{
	static const struct { const char *text; int rc; } t[] = {
		{ "{}", 0 }, { "{\"a\":[1,{\"b\":null}]}", 0 }, { "{\"a\":\"[[[[{{{{\\\"[[\"}", 0 },
		{ "", GR_EPROTO }, { "[]", GR_EPROTO }, { "1", GR_EPROTO }, { "{", GR_EPROTO }, { "{} {}", GR_EPROTO },
		{ "{\"a\":1,\"a\":2}", GR_EPROTO }, { "{\"a\":\"\\u0000\"}", GR_EPROTO }, { "{\"a\":1e999}", GR_EPROTO },
		{ "{\"a\":\"\xff\"}", GR_EPROTO },
	};
	struct gr_buf deep = { 0 };
	struct gr_err err;
	json_t *j;

	for (size_t i = 0; i < GR_LEN(t); i++) {
		int rc = gr_json_decode(gr_slice_str(t[i].text), &j, &err);

		if (rc != t[i].rc)
			fail_msg("%s: %d", t[i].text, rc);
		if (rc == 0)
			json_decref(j);
	}
	gr_buf_add_str(&deep, "{\"a\":");
	for (int i = 0; i < 100000; i++)
		gr_buf_add_byte(&deep, '[');
	assert_int_equal(gr_json_decode(gr_buf_slice(&deep), &j, &err), GR_ELIMIT);
	gr_buf_clear(&deep);
	gr_buf_add_str(&deep, "{\"a\":\"");
	for (int i = 0; i < (1 << 20) + 10; i++)
		gr_buf_add_byte(&deep, 'x');
	gr_buf_add_str(&deep, "\"}");
	assert_int_equal(gr_json_decode(gr_buf_slice(&deep), &j, &err), GR_ELIMIT);
	gr_buf_fini(&deep);
}

static void hello_round_trips_and_is_checked(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"role\":\"king\",\"name\":\"a\",\"version\":\"1\",\"wire_min\":1,\"wire_max\":1}",
		"{\"role\":\"client\",\"name\":\"\",\"version\":\"1\",\"wire_min\":1,\"wire_max\":1}",
		"{\"role\":\"client\",\"name\":\"a b\",\"version\":\"1\",\"wire_min\":1,\"wire_max\":1}",
		"{\"role\":\"client\",\"name\":\"../x\",\"version\":\"1\",\"wire_min\":1,\"wire_max\":1}",
		"{\"role\":\"client\",\"name\":\"a\",\"version\":\"\\n\",\"wire_min\":1,\"wire_max\":1}",
		"{\"role\":\"client\",\"name\":\"a\",\"version\":\"1\",\"wire_min\":2,\"wire_max\":1}",
		"{\"role\":\"client\",\"name\":\"a\",\"version\":\"1\",\"wire_min\":0,\"wire_max\":1}",
		"{\"role\":\"client\",\"name\":\"a\",\"version\":\"1\",\"wire_min\":1,\"wire_max\":\"1\"}",
		"{\"role\":1,\"name\":\"a\",\"version\":\"1\",\"wire_min\":1,\"wire_max\":1}",
		"{\"role\":\"client\",\"name\":\"0123456789012345678901234567890123456789012345678901234567890123\","
		"\"version\":\"1\",\"wire_min\":1,\"wire_max\":1}",
	};
	struct gr_buf f = { 0 };
	struct gr_hello h;
	struct gr_err err;
	json_t *j = gr_hello_json(GR_ROLE_WORKER, "rack 7/w-1");

	json_object_set_new(j, "slots", json_integer(4));
	gr_json_encode(&f, GR_MSG_HELLO, j);
	json_decref(j);
	assert_int_equal(gr_hello_decode(body_of(&f), &h, &err), 0);
	assert_int_equal(h.role, GR_ROLE_WORKER);
	assert_string_equal(h.name, "rack-7-w-1");
	assert_int_equal(h.version_max, GR_WIRE_VERSION);
	assert_int_equal(json_integer_value(json_object_get(h.json, "slots")), 4);
	gr_hello_fini(&h);
	gr_buf_fini(&f);
	for (size_t i = 0; i < GR_LEN(bad); i++)
		if (gr_hello_decode(gr_slice_str(bad[i]), &h, &err) != GR_EPROTO)
			fail_msg("accepted: %s", bad[i]);
}

static void roles_and_outcomes_have_names(void **state)
{
	assert_int_equal(gr_role_parse("admin"), GR_ROLE_ADMIN);
	assert_int_equal(gr_role_parse("root"), GR_EINVAL);
	assert_string_equal(gr_role_name(GR_ROLE_CLIENT), "client");
	assert_string_equal(gr_outcome_name(GR_OUTCOME_RETRY), "retry");
	assert_string_equal(gr_outcome_name(99), "?");
}

/* ---- logs ---- */

static int decode_log(uint32_t first, uint32_t n, struct gr_slice bytes)
{
	struct gr_log_msg m = { 1, first, n, bytes };
	struct gr_buf f = { 0 };
	int rc;

	gr_log_encode(&f, &m);
	rc = gr_log_decode(body_of(&f), &m);
	gr_buf_fini(&f);
	return rc;
}

static void a_log_is_checked_record_by_record(void **state)
{
	static const struct { const char *bytes; size_t n; uint32_t first, count; int rc; } t[] = {
		{ "", 0, 0, 0, 0 },
		{ "\x01\x01" "a", 3, 0, 1, 0 },
		{ "\x01\x01" "a", 3, 0, 2, GR_ETRUNC },                  /* fewer than announced */
		{ "\x01\x01" "a\x01\x01" "b", 6, 0, 1, GR_EPROTO },      /* more */
		{ "\x01\x02" "a", 3, 0, 1, GR_ETRUNC },
		{ "\x01\x01\x00", 3, 0, 1, GR_EPROTO },                  /* NUL in a string */
		{ "\x03\x01" "a", 3, 0, 1, GR_EPROTO },                  /* no such tag */
		{ "\x02\x00\x02", 3, 1, 1, 0 },                          /* a folder */
		{ "\x02\x01\x02", 3, 1, 1, GR_EPROTO },                  /* names itself */
		{ "\x02\x00\x82", 3, 1, 1, GR_EPROTO },                  /* an executable folder */
		{ "\x02\x00\x05", 3, 1, 1, GR_EPROTO },                  /* no such kind */
		{ "\x02\x00\x00", 3, 1, 1, GR_EPROTO },
		{ "\x02\x00\x03\x00", 4, 1, 1, GR_EPROTO },              /* a link to nothing */
		{ "\x02\x00\x03\x01" "x", 5, 1, 1, 0 },
		{ "\x02\x00\x01\x05short", 9, 1, 1, GR_ETRUNC },         /* half a digest */
		{ "\x01\x01" "a", 3, GR_WIRE_MAX_RECORDS, 1, GR_ELIMIT },
		{ "\x01\x01" "a", 3, UINT32_MAX, 2, GR_ELIMIT },         /* would wrap */
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		int rc = decode_log(t[i].first, t[i].count, gr_slice(t[i].bytes, t[i].n));

		if (rc != t[i].rc)
			fail_msg("log %zu: %d", i, rc);
	}
}

/* ---- tasks ---- */

static void task_lists_come_back_as_they_went(void **state)
{
	static const uint32_t argv[] = { 5, 0, 5, 299 }, inputs[] = { 0, 1, 2, 130, 298 };
	struct gr_task_msg *m = gr_xalloc(sizeof(*m));
	struct gr_buf f = { 0 }, a = { 0 }, b = { 0 };
	struct gr_ids_it it;
	uint32_t id, n = 0;

	gr_ids_encode(&a, argv, 4, false);
	gr_ids_encode(&b, inputs, 5, true);
	m->n_records = 300;
	m->argv = (struct gr_ids){ gr_buf_slice(&a), 4, false };
	m->inputs = (struct gr_ids){ gr_buf_slice(&b), 5, true };
	gr_task_encode(&f, m);
	assert_int_equal(gr_task_decode(body_of(&f), m), 0);
	it = gr_ids_begin(&m->argv);
	while (gr_ids_next(&it, &id))
		assert_int_equal(id, argv[n++]);
	assert_int_equal(n, 4);
	n = 0;
	it = gr_ids_begin(&m->inputs);
	while (gr_ids_next(&it, &id))
		assert_int_equal(id, inputs[n++]);
	assert_int_equal(n, 5);
	/* every shortened body is refused */
	for (size_t k = 0; k < body_of(&f).n; k++)
		assert_true(gr_task_decode(gr_slice(f.p + GR_WIRE_HEADER_BYTES, k), m) < 0);
	gr_buf_fini(&f);
	gr_buf_fini(&a);
	gr_buf_fini(&b);
	free(m);
}

static void a_task_names_only_records_it_announces(void **state)
{
	struct gr_task_msg *m = gr_xalloc(sizeof(*m));
	struct gr_buf f = { 0 };

	for (int i = 0; i < 6; i++) {
		uint32_t ids[] = { i == 1 ? 10 : 1 };
		struct gr_buf a = { 0 };
		int rc;

		*m = (struct gr_task_msg){ .n_records = 10, .n_outputs = 1 };
		gr_ids_encode(&a, ids, 1, false);
		m->argv = (struct gr_ids){ gr_buf_slice(&a), 1, false };
		if (i == 2)
			m->cwd = 10;
		if (i == 3)
			m->outputs[0].path = 10;
		if (i == 4)
			m->outputs[0].flags = 2;
		if (i == 5)
			m->flags = 16;
		gr_buf_clear(&f);
		gr_task_encode(&f, m);
		rc = gr_task_decode(body_of(&f), m);
		assert_int_equal(rc, i == 0 ? 0 : GR_EPROTO);
		gr_buf_fini(&a);
	}
	gr_buf_fini(&f);
	free(m);
}

static void a_sorted_list_cannot_wrap(void **state)
{
	/* two gaps whose sum leaves 32 bits */
	struct gr_ids ids = { gr_slice("\xfe\xff\xff\xff\x0f\xfe\xff\xff\xff\x0f", 10), 2, true };
	struct gr_ids_it it = gr_ids_begin(&ids);
	uint32_t id, n = 0;

	while (gr_ids_next(&it, &id))
		n++;
	assert_int_equal(n, 1);
	assert_int_equal(it.rd.rc, GR_ELIMIT);
}

static struct gr_result_msg *result(void)
{
	struct gr_result_msg *m = gr_xalloc(sizeof(*m));

	m->outcome = GR_OUTCOME_DONE;
	m->n_outputs = 2;
	m->outputs[0] = (struct gr_result_out){ 0, 0644, GR_ENC_RAW, 3, gr_slice_str("abc") };
	m->outputs[1] = (struct gr_result_out){ 63, 0755, GR_ENC_ZLIB, 100, gr_slice_str("zzz") };
	return m;
}

static void results_are_held_to_their_limits(void **state)
{
	static const int want[] = { 0, GR_EPROTO, GR_EPROTO, GR_EPROTO, GR_EPROTO, GR_EPROTO, GR_ELIMIT, GR_ELIMIT, GR_EPROTO };

	for (int i = 0; i < (int)GR_LEN(want); i++) {
		struct gr_result_msg *m = result(), *got = gr_xalloc(sizeof(*got));
		struct gr_buf f = { 0 };
		int rc;

		switch (i) {
		case 1: m->outcome = 0; break;
		case 2: m->outcome = 7; break;
		case 3: m->outputs[1].index = 0; break;                 /* twice */
		case 4: m->outputs[0].mode = 04755; break;
		case 5: m->outputs[0].size = 4; break;                  /* raw and of another size */
		case 6: m->outputs[1].size = GR_WIRE_MAX_OUTPUT_BYTES; break;   /* the sum */
		case 7: m->outputs[1].index = 64; break;
		case 8: m->outputs[1].enc = 2; break;
		}
		gr_result_encode(&f, m);
		rc = gr_result_decode(body_of(&f), got);
		if (rc != want[i])
			fail_msg("result %d: %d", i, rc);
		gr_buf_fini(&f);
		free(m);
		free(got);
	}
}

/* ---- blobs ---- */

static void pieces_of_blobs_lie_within_them(void **state)
{
	static const struct { uint64_t total, offset; uint32_t raw_n; uint8_t enc; int rc; } t[] = {
		{ 10, 0, 3, 0, 0 }, { 10, 7, 3, 0, 0 }, { 10, 8, 3, 0, GR_EPROTO }, { 10, UINT64_MAX, 3, 0, GR_EPROTO },
		{ 10, 0, 4, 0, GR_EPROTO }, { 10, 0, 0, 0, GR_EPROTO }, { 10, 0, 3, 2, GR_EPROTO },
		{ GR_WIRE_MAX_BLOB_BYTES + 1, 0, 3, 0, GR_ELIMIT }, { 1 << 30, 0, GR_WIRE_CHUNK_BYTES + 1, 1, GR_ELIMIT },
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		struct gr_blob_msg m = { .total = t[i].total, .offset = t[i].offset, .raw_n = t[i].raw_n, .enc = t[i].enc,
					 .data = gr_slice_str("abc") };
		struct gr_buf f = { 0 };
		int rc;

		gr_blob_encode(&f, &m);
		rc = gr_blob_decode(body_of(&f), &m);
		if (rc != t[i].rc)
			fail_msg("blob %zu: %d", i, rc);
		gr_buf_fini(&f);
	}
}

static void lists_of_digests_are_bounded(void **state)
{
	struct gr_digest *d = gr_xalloc(sizeof(*d) * (GR_WIRE_MAX_DIGESTS + 1));
	struct gr_digests_msg m;
	struct gr_buf f = { 0 };
	struct gr_digest one;
	struct gr_slice body;

	d[1].b[0] = 9;
	gr_digests_encode(&f, GR_MSG_NEED, 4, d, GR_WIRE_MAX_DIGESTS);
	assert_int_equal(gr_frame_open(gr_buf_slice(&f), &body), GR_MSG_NEED);
	assert_int_equal(gr_digests_decode(body, &m), 0);
	one = gr_digests_at(&m, 1);
	assert_int_equal(one.b[0], 9);
	gr_buf_clear(&f);
	gr_digests_encode(&f, GR_MSG_NEED, 4, d, GR_WIRE_MAX_DIGESTS + 1);
	assert_int_equal(gr_digests_decode(body_of(&f), &m), GR_ELIMIT);
	gr_buf_fini(&f);
	free(d);
}

static void pings_carry_at_most_their_signals(void **state)
{
	struct gr_ping m = { .n_signals = GR_MAX_SIGNALS };
	struct gr_buf f = { 0 };
	struct gr_slice body;

	for (uint32_t i = 0; i < GR_MAX_SIGNALS; i++)
		m.signals[i].value = UINT64_MAX;
	gr_ping_encode(&f, GR_MSG_PING, &m);
	assert_int_equal(gr_frame_open(gr_buf_slice(&f), &body), GR_MSG_PING);
	assert_int_equal(gr_ping_decode(body, &m), 0);
	f.p[GR_WIRE_HEADER_BYTES + 16] = GR_MAX_SIGNALS + 1;
	assert_int_equal(gr_ping_decode(body, &m), GR_ELIMIT);
	gr_buf_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(varints_round_trip_in_their_shortest_form),
		cmocka_unit_test(bad_varints_are_refused),
		cmocka_unit_test(a_length_beyond_the_end_reads_nothing),
		cmocka_unit_test(each_type_has_a_name_and_senders),
		cmocka_unit_test(headers_are_checked),
		cmocka_unit_test(a_type_is_held_to_its_own_limit),
		cmocka_unit_test(json_bodies_are_objects_without_tricks),
		cmocka_unit_test(hello_round_trips_and_is_checked),
		cmocka_unit_test(roles_and_outcomes_have_names),
		cmocka_unit_test(a_log_is_checked_record_by_record),
		cmocka_unit_test(task_lists_come_back_as_they_went),
		cmocka_unit_test(a_task_names_only_records_it_announces),
		cmocka_unit_test(a_sorted_list_cannot_wrap),
		cmocka_unit_test(results_are_held_to_their_limits),
		cmocka_unit_test(pieces_of_blobs_lie_within_them),
		cmocka_unit_test(lists_of_digests_are_bounded),
		cmocka_unit_test(pings_carry_at_most_their_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
