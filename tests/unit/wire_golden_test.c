/* wire_golden_test.c - every message has one form on the wire: tests/golden/NAME.hex, byte for byte
 *
 * The files were written from docs/protocol.md by other means than the encoders. A frame that must change means a new
 * protocol version.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/wire/msg_job.h"

#define SESSION 0x1122334455667788ull

static struct gr_digest digest(bool is_of_nothing)
{
	struct gr_digest d;

	for (uint8_t i = 0; i < sizeof(d.b); i++)
		d.b[i] = i;
	if (is_of_nothing)
		gr_sha256_of("", 0, &d);
	return d;
}

static void read_golden(const char *name, struct gr_buf *out)
{
	struct gr_buf text = { 0 };
	struct gr_err err;
	char path[128];

	snprintf(path, sizeof(path), "tests/golden/%s.hex", name);
	if (gr_file_read(path, 1 << 20, &text, &err) < 0)
		fail_msg("%s", err.text);
	for (const char *c = gr_buf_str(&text); *c; ) {
		if (*c == '#') {
			c += strcspn(c, "\n");
		} else if (isspace((unsigned char)*c)) {
			c++;
		} else {
			unsigned byte;

			if (sscanf(c, "%2x", &byte) != 1)
				fail_msg("%s: not a byte: %.10s", path, c);
			gr_buf_add_byte(out, (uint8_t)byte);
			c += 2;
		}
	}
	gr_buf_fini(&text);
}

/* Takes @frame. */
static void expect_golden(const char *name, int type, struct gr_buf *frame)
{
	struct gr_buf golden = { 0 };
	struct gr_slice body;

	read_golden(name, &golden);
	for (size_t i = 0; i < golden.n && i < frame->n; i++)
		if (golden.p[i] != frame->p[i])
			fail_msg("%s: byte %zu is %02x, golden %02x", name, i, frame->p[i], golden.p[i]);
	if (golden.n != frame->n)
		fail_msg("%s: %zu bytes, golden %zu", name, frame->n, golden.n);
	assert_int_equal(gr_frame_open(gr_buf_slice(frame), &body), type);
	gr_buf_fini(&golden);
	gr_buf_fini(frame);
}

static void expect_json(const char *name, enum gr_msg_type type, const char *text)
{
	struct gr_buf frame = { 0 };
	struct gr_err err;
	json_t *j;

	assert_int_equal(gr_json_decode(gr_slice_str(text), &j, &err), 0);
	gr_json_encode(&frame, type, j);
	json_decref(j);
	expect_golden(name, type, &frame);
}

static void json_messages_have_their_golden_form(void **state)
{
	expect_json("hello", GR_MSG_HELLO, "{\"slots\":8,\"role\":\"worker\",\"name\":\"w-1\",\"version\":\"0.1.0\","
		    "\"wire_min\":1,\"wire_max\":1}");
	expect_json("welcome", GR_MSG_WELCOME, "{\"version\":\"0.1.0\",\"wire\":1,\"heartbeat_ms\":1000,\"dead_ms\":5000,\"credits\":16}");
	expect_json("reject", GR_MSG_REJECT, "{\"code\":\"EVERSION\",\"why\":\"this coordinator speaks protocol 1\","
		    "\"wire_min\":1,\"wire_max\":1}");
	expect_json("bye", GR_MSG_BYE, "{\"code\":\"EGONE\",\"why\":\"the coordinator ends\"}");
	expect_json("ctl_req", GR_MSG_CTL_REQ, "{\"op\":\"status\"}");
	expect_json("ctl_rep", GR_MSG_CTL_REP, "{\"ok\":true}");
	expect_json("cluster", GR_MSG_CLUSTER, "{\"slots\":8,\"free\":3,\"workers\":2,\"credits\":16,\"toolchains\":"
		    "[\"0000000000000000000000000000000000000000000000000000000000000000\"]}");
	expect_json("session_open", GR_MSG_SESSION_OPEN, "{\"session\":\"1122334455667788\"}");
}

static void heartbeats_have_their_golden_form(void **state)
{
	struct gr_ping m = { .seq = 7, .t_ns = 1000000000, .n_signals = 2,
			     .signals = { { GR_SIGNAL_SLOTS, 16 }, { GR_SIGNAL_CPU_PSI_PERMILLE, 300 } } };
	struct gr_buf frame = { 0 };

	gr_ping_encode(&frame, GR_MSG_PING, &m);
	expect_golden("ping", GR_MSG_PING, &frame);
	gr_ping_encode(&frame, GR_MSG_PONG, &m);
	expect_golden("pong", GR_MSG_PONG, &frame);
	gr_drain_encode(&frame, 30000);
	expect_golden("drain", GR_MSG_DRAIN, &frame);
}

static void a_bundle_has_its_golden_form(void **state)
{
	struct gr_buf frame = { 0 };
	size_t at = gr_frame_begin(&frame, GR_MSG_BUNDLE);

	gr_taskref_encode(&frame, GR_MSG_CANCEL, SESSION, 5, 0);
	gr_drain_encode(&frame, 30000);
	gr_frame_end(&frame, at);
	expect_golden("bundle", GR_MSG_BUNDLE, &frame);
}

static void sessions_have_their_golden_form(void **state)
{
	static const char *const strings[] = { "/src/a.c", "/src/inc", "/src/link.h", "/src/gone.h" };
	static const struct gr_record files[] = {
		{ .tag = GR_RECORD_FILE, .path = 0, .kind = GR_FILE_REG, .is_exec = true, .size = 300 },
		{ .tag = GR_RECORD_FILE, .path = 1, .kind = GR_FILE_DIR },
		{ .tag = GR_RECORD_FILE, .path = 2, .kind = GR_FILE_LINK, .str = { (const uint8_t *)"a.h", 3 } },
		{ .tag = GR_RECORD_FILE, .path = 3, .kind = GR_FILE_ABSENT },
	};
	struct gr_buf frame = { 0 }, bytes = { 0 };
	struct gr_log_msg m = { .session = SESSION, .n = 8 };

	gr_session_encode(&frame, GR_MSG_SESSION_OK, SESSION, 42);
	expect_golden("session_ok", GR_MSG_SESSION_OK, &frame);
	gr_session_encode(&frame, GR_MSG_SESSION_CLOSE, SESSION, 0);
	expect_golden("session_close", GR_MSG_SESSION_CLOSE, &frame);
	for (size_t i = 0; i < GR_LEN(strings); i++) {
		struct gr_record r = { .tag = GR_RECORD_STR, .str = gr_slice_str(strings[i]) };

		gr_record_encode(&bytes, &r);
	}
	for (size_t i = 0; i < GR_LEN(files); i++) {
		struct gr_record r = files[i];

		r.digest = digest(true);
		gr_record_encode(&bytes, &r);
	}
	m.bytes = gr_buf_slice(&bytes);
	gr_log_encode(&frame, &m);
	assert_int_equal(gr_log_decode(gr_slice(frame.p + GR_WIRE_HEADER_BYTES, frame.n - GR_WIRE_HEADER_BYTES), &m), 0);
	expect_golden("log", GR_MSG_LOG, &frame);
	gr_buf_fini(&bytes);
}

static void tasks_have_their_golden_form(void **state)
{
	static const uint32_t argv[] = { 1, 2, 1 }, inputs[] = { 4, 200, 201 };
	struct gr_task_msg m = { .session = SESSION, .task = 5, .attempt = 0, .n_records = 300, .flags = GR_TASK_F_DEBUG,
				 .cpu_ms = 120, .mem_bytes = 64 << 20, .family = 0xfeed, .cwd = 3, .n_outputs = 2,
				 .outputs = { { 6, GR_OUTPUT_REQUIRED }, { 7, 0 } } };
	struct gr_buf frame = { 0 }, a = { 0 }, b = { 0 };

	m.toolchain = digest(false);
	gr_ids_encode(&a, argv, 3, false);
	gr_ids_encode(&b, inputs, 3, true);
	m.argv = (struct gr_ids){ gr_buf_slice(&a), 3, false };
	m.inputs = (struct gr_ids){ gr_buf_slice(&b), 3, true };
	gr_task_encode(&frame, &m);
	gr_task_patch_attempt(&frame, 1);
	expect_golden("task", GR_MSG_TASK, &frame);
	gr_taskref_encode(&frame, GR_MSG_CANCEL, SESSION, 5, 0);
	expect_golden("cancel", GR_MSG_CANCEL, &frame);
	gr_taskref_encode(&frame, GR_MSG_RESULT_ACK, SESSION, 5, 1);
	expect_golden("result_ack", GR_MSG_RESULT_ACK, &frame);
	gr_buf_fini(&a);
	gr_buf_fini(&b);
}

static void a_result_has_its_golden_form(void **state)
{
	struct gr_result_msg *m = gr_xalloc(sizeof(*m));
	struct gr_buf frame = { 0 };

	m->session = SESSION;
	m->task = 5;
	m->attempt = 1;
	m->outcome = GR_OUTCOME_DONE;
	m->exit_code = 1;
	m->cpu_us = 250000;
	m->wall_us = 300000;
	m->max_rss_bytes = 50 << 20;
	m->wait_us = 1000;
	m->err = gr_slice_str("oops\n");
	m->n_outputs = 1;
	m->outputs[0] = (struct gr_result_out){ .index = 0, .mode = 0644, .enc = GR_ENC_RAW, .size = 3, .data = gr_slice_str("ELF") };
	gr_result_encode(&frame, m);
	expect_golden("result", GR_MSG_RESULT, &frame);
	free(m);
}

static void blobs_have_their_golden_form(void **state)
{
	static const struct { const char *name; enum gr_msg_type type; } lists[] = {
		{ "need", GR_MSG_NEED }, { "fetch", GR_MSG_FETCH }, { "missing", GR_MSG_MISSING },
	};
	struct gr_digest d[2] = { digest(false), digest(true) };
	struct gr_blob_msg tail = { .session = SESSION, .digest = d[0], .total = (1 << 20) + 5, .offset = 1 << 20, .raw_n = 5,
				    .data = gr_slice_str("tail\n") };
	struct gr_blob_msg empty = { .session = SESSION, .digest = d[1] };
	struct gr_buf frame = { 0 };

	for (size_t i = 0; i < GR_LEN(lists); i++) {
		gr_digests_encode(&frame, lists[i].type, SESSION, d, 2);
		expect_golden(lists[i].name, lists[i].type, &frame);
	}
	gr_blob_encode(&frame, &tail);
	expect_golden("blob", GR_MSG_BLOB, &frame);
	gr_blob_encode(&frame, &empty);
	expect_golden("blob_empty", GR_MSG_BLOB, &frame);
}

static void a_command_has_its_golden_form(void **state)
{
	struct gr_command_msg m = { .job = 7, .task = 999999, .attempt = 65537, .stage = 1, .index = 300, .ordinal = 2,
				    .flags = GR_COMMAND_F_STREAM, .timeout_ms = 60000, .mem_limit_bytes = 1 << 30 };
	const struct gr_placed_file inputs[] = {
		{ .kind = GR_PLACED_FILE, .path = gr_slice_str("in/a.ppm"), .mode = 0644, .item = { .size = 300, .digest = digest(false) } },
		{ .kind = GR_PLACED_DIR, .path = gr_slice_str("d"), .mode = 0755 },
		{ .kind = GR_PLACED_LINK, .path = gr_slice_str("l"), .target = gr_slice_str("in/a.ppm") },
	};
	const struct gr_secret secret = { gr_slice_str("token"), gr_slice_str("s3") };
	struct gr_buf frame = { 0 }, v = { 0 }, i = { 0 }, s = { 0 };

	gr_value_add(&v, &m.values.n, gr_slice_str("alpha"));
	gr_value_add(&v, &m.values.n, gr_slice_str(""));
	for (size_t k = 0; k < GR_LEN(inputs); k++)
		gr_placed_add(&i, &m.inputs.n, &inputs[k], false);
	gr_secret_add(&s, &m.secrets.n, &secret);
	m.values.raw = gr_buf_slice(&v);
	m.inputs.raw = gr_buf_slice(&i);
	m.secrets.raw = gr_buf_slice(&s);
	gr_command_encode(&frame, &m);
	assert_int_equal(gr_command_decode(gr_slice(frame.p + GR_WIRE_HEADER_BYTES, frame.n - GR_WIRE_HEADER_BYTES), &m), 0);
	expect_golden("command", GR_MSG_COMMAND, &frame);
	gr_buf_fini(&v);
	gr_buf_fini(&i);
	gr_buf_fini(&s);
}

static void the_end_of_a_command_has_its_golden_form(void **state)
{
	struct gr_ended_msg m = { .job = 7, .task = 999999, .attempt = 65537, .outcome = GR_OUTCOME_DONE, .exit_code = 3,
				  .flags = GR_ENDED_F_ERR_CUT, .cpu_us = 250000, .wall_us = 300000, .max_rss_bytes = 50 << 20,
				  .wait_us = 1000, .in_bytes = 70300,
				  .out = { .size = 3, .has_data = true, .data = gr_slice_str("hi\n") },
				  .err = { .size = 1 << 20, .digest = digest(false) } };
	const struct gr_placed_file outputs[] = {
		{ .kind = GR_PLACED_FILE, .path = gr_slice_str("out.txt"), .mode = 0644,
		  .item = { .size = 3, .has_data = true, .data = gr_slice_str("abc") } },
		{ .index = GR_WIRE_CHECKPOINT, .kind = GR_PLACED_FILE, .path = gr_slice_str("ckpt/s"), .mode = 0600,
		  .item = { .size = 70000, .digest = digest(false) } },
	};
	struct gr_buf frame = { 0 }, o = { 0 };

	for (size_t k = 0; k < GR_LEN(outputs); k++)
		gr_placed_add(&o, &m.outputs.n, &outputs[k], true);
	m.outputs.raw = gr_buf_slice(&o);
	gr_ended_encode(&frame, &m);
	assert_int_equal(gr_ended_decode(gr_slice(frame.p + GR_WIRE_HEADER_BYTES, frame.n - GR_WIRE_HEADER_BYTES), &m), 0);
	expect_golden("ended", GR_MSG_ENDED, &frame);
	gr_buf_fini(&o);
}

static void short_messages_of_jobs_have_their_golden_form(void **state)
{
	const struct gr_out_msg out = { 7, 999999, 65537, GR_STREAM_ERR, GR_OUT_F_END, 4096, gr_slice_str("oops\n") };
	const struct gr_follow_msg follow = { 7, 999999, 65537, true, 0, 4096 };
	const struct gr_stop_msg stop = { 7, GR_WIRE_ALL_TASKS, 0, GR_STOP_YIELD, 30000 };
	struct gr_buf frame = { 0 };

	gr_out_encode(&frame, &out);
	expect_golden("out", GR_MSG_OUT, &frame);
	gr_follow_encode(&frame, &follow);
	expect_golden("follow", GR_MSG_FOLLOW, &frame);
	gr_taskref_encode(&frame, GR_MSG_STARTED, 7, 999999, 65537);
	expect_golden("started", GR_MSG_STARTED, &frame);
	gr_stop_encode(&frame, &stop);
	expect_golden("stop", GR_MSG_STOP, &frame);
	expect_json("event", GR_MSG_EVENT, "{\"events\":[]}");
	expect_json("spec", GR_MSG_SPEC, "{\"stages\":[],\"job\":7}");
}

/* What a peer may not say of paths, sizes and jobs. */
static void what_a_worker_may_not_say_is_refused(void **state)
{
	static const char *const bad[] = { "", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "." };
	struct gr_ended_msg m = { .job = 1, .outcome = GR_OUTCOME_DONE, .out.has_data = true, .err.has_data = true }, out;
	struct gr_buf f = { 0 }, o = { 0 };
	struct gr_slice body;

	for (size_t k = 0; k < GR_LEN(bad); k++) {
		struct gr_placed_file p = { .kind = GR_PLACED_DIR, .path = gr_slice_str(bad[k]), .mode = 0755 };

		gr_buf_clear(&o);
		gr_buf_clear(&f);
		m.outputs.n = 0;
		gr_placed_add(&o, &m.outputs.n, &p, true);
		m.outputs.raw = gr_buf_slice(&o);
		gr_ended_encode(&f, &m);
		assert_true(gr_frame_open(gr_buf_slice(&f), &body) > 0);
		if (gr_ended_decode(body, &out) != GR_EPATH)
			fail_msg("\"%s\" was taken", bad[k]);
	}
	m.outputs = (struct gr_list_msg){ 0 };
	m.job = 1ull << 32;
	gr_buf_clear(&f);
	gr_ended_encode(&f, &m);
	assert_true(gr_frame_open(gr_buf_slice(&f), &body) > 0);
	assert_int_equal(gr_ended_decode(body, &out), GR_EPROTO);
	gr_buf_fini(&f);
	gr_buf_fini(&o);
}

static void load_tests_have_their_golden_form(void **state)
{
	static const uint8_t hdr[] = {
		0x1c, 0x84, 0x93, 0x13, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0x03, 0x46, 0x30, 0xb8, 0xa0, 0,
		0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc1, 0x4e, 0x02,
	};
	struct gr_load_stats m = { .run = SESSION, .interval = 7, .shard = 2, .n_parts = 1, .is_last = 1, .first_ns = 6000000000, .n_numbers = 2,
				   .n_series = 1 };
	struct gr_load_series_msg s = { .key = 10, .min = 1000000, .max = 1000000, .sum = 1e6, .hdr = gr_slice(hdr, sizeof(hdr)) };
	struct gr_buf f = { 0 };
	size_t at;

	(void)state;
	gr_load_start_encode(&f, SESSION, 5000000000);
	expect_golden("load_start", GR_MSG_LOAD_START, &f);
	gr_load_stop_encode(&f, SESSION);
	expect_golden("load_stop", GR_MSG_LOAD_STOP, &f);
	gr_load_clock_encode(&f, &(struct gr_load_clock){ 1, 2, 3 });
	expect_golden("load_clock", GR_MSG_LOAD_CLOCK, &f);
	gr_load_share_encode(&f, &(struct gr_load_share){ SESSION, 1000, 1, 3 });
	expect_golden("load_share", GR_MSG_LOAD_SHARE, &f);
	gr_load_stats_begin(&f, &m, &at);
	gr_load_stats_number(&f, 0, 500);
	gr_load_stats_number(&f, 0x10064, 499);
	gr_load_stats_series(&f, &s);
	gr_frame_end(&f, at);
	expect_golden("load_stats", GR_MSG_LOAD_STATS, &f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_messages_have_their_golden_form),
		cmocka_unit_test(heartbeats_have_their_golden_form),
		cmocka_unit_test(a_bundle_has_its_golden_form),
		cmocka_unit_test(sessions_have_their_golden_form),
		cmocka_unit_test(tasks_have_their_golden_form),
		cmocka_unit_test(a_result_has_its_golden_form),
		cmocka_unit_test(blobs_have_their_golden_form),
		cmocka_unit_test(a_command_has_its_golden_form),
		cmocka_unit_test(the_end_of_a_command_has_its_golden_form),
		cmocka_unit_test(short_messages_of_jobs_have_their_golden_form),
		cmocka_unit_test(load_tests_have_their_golden_form),
		cmocka_unit_test(what_a_worker_may_not_say_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
