/* wire_fuzz.c - every binary decoder of lib/wire; the first byte of an input chooses it
 *
 * What a decoder accepts must encode to the same bytes again: a message has one form. Lists inside are walked, so that
 * a borrow that reaches too far is found.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/wire/msg_job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static volatile uint8_t sink;

static void touch(struct gr_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		sink ^= s.p[i];
}

static void must(bool claim)
{
	if (!claim)
		abort();
}

/* @frame is a whole frame of the encoder's; takes it. */
static void same(struct gr_buf *frame, struct gr_slice body)
{
	struct gr_slice again;

	must(gr_frame_open(gr_buf_slice(frame), &again) > 0);
	must(gr_slice_eq(again, body));
	gr_buf_fini(frame);
}

static void walk_ids(const struct gr_ids *ids, uint32_t n_records)
{
	struct gr_ids_it it = gr_ids_begin(ids);
	int64_t last = -1;
	uint32_t id, n = 0;

	while (gr_ids_next(&it, &id)) {
		must(id < n_records);
		must(!ids->is_sorted || (int64_t)id > last);
		last = id;
		n++;
	}
	must(n == ids->n);
}

static void fuzz_frame(struct gr_slice in)
{
	struct gr_slice body = { NULL, 0 }, frame, inner;
	int type = gr_frame_open(in, &body), n;

	if (type > 0 || body.p)
		touch(body);
	n = type == GR_MSG_BUNDLE ? gr_bundle_check(body) : 0;
	for (int i = 0; i < n; i++) {
		must(gr_bundle_next(&body, &frame));
		must(gr_frame_open(frame, &inner) > 0);
		touch(inner);
	}
	must(n <= 0 || !body.n);
}

static void fuzz_ping(struct gr_slice in)
{
	struct gr_buf f = { 0 };
	struct gr_ping m;

	if (gr_ping_decode(in, &m) < 0)
		return;
	gr_ping_encode(&f, GR_MSG_PING, &m);
	same(&f, in);
}

static void fuzz_session(struct gr_slice in)
{
	struct gr_buf f = { 0 };
	uint64_t session;
	uint32_t n;

	if (gr_session_decode(in, &session, &n) < 0)
		return;
	gr_session_encode(&f, GR_MSG_SESSION_OK, session, n);
	same(&f, in);
}

static void fuzz_log(struct gr_slice in)
{
	struct gr_buf f = { 0 }, bytes = { 0 };
	struct gr_log_msg m;
	struct gr_record r;
	struct gr_rd rd;

	if (gr_log_decode(in, &m) < 0)
		return;
	rd = gr_rd_init(m.bytes);
	while (gr_record_next(&rd, &r) == 1) {
		touch(r.str);
		gr_record_encode(&bytes, &r);
	}
	m.bytes = gr_buf_slice(&bytes);
	gr_log_encode(&f, &m);
	if (in.n < 1 << 20)
		same(&f, in);
	gr_buf_fini(&f);
	gr_buf_fini(&bytes);
}

static void fuzz_task(struct gr_slice in)
{
	struct gr_task_msg *m = gr_xalloc(sizeof(*m));
	struct gr_buf f = { 0 };

	if (gr_task_decode(in, m) == 0) {
		walk_ids(&m->argv, m->n_records);
		walk_ids(&m->env, m->n_records);
		walk_ids(&m->inputs, m->n_records);
		gr_task_encode(&f, m);
		gr_task_patch_attempt(&f, m->attempt);
		if (in.n < 1 << 20)
			same(&f, in);
		gr_buf_fini(&f);
	}
	free(m);
}

static void fuzz_result(struct gr_slice in)
{
	struct gr_result_msg *m = gr_xalloc(sizeof(*m));
	struct gr_buf f = { 0 };

	if (gr_result_decode(in, m) == 0) {
		touch(m->reason);
		touch(m->out);
		touch(m->err);
		for (uint32_t i = 0; i < m->n_outputs; i++) {
			struct gr_buf out = { 0 };

			touch(m->outputs[i].data);
			if (m->outputs[i].size < 1 << 16)
				(void)!gr_unpack(m->outputs[i].data, m->outputs[i].enc, m->outputs[i].size, 1 << 16, &out);
			gr_buf_fini(&out);
		}
		gr_result_encode(&f, m);
		same(&f, in);
	}
	free(m);
}

static void fuzz_taskref(struct gr_slice in)
{
	struct gr_buf f = { 0 };
	uint64_t session, task;
	uint32_t attempt;

	if (gr_taskref_decode(in, &session, &task, &attempt) < 0)
		return;
	gr_taskref_encode(&f, GR_MSG_CANCEL, session, task, attempt);
	same(&f, in);
}

static void fuzz_digests(struct gr_slice in)
{
	struct gr_digests_msg m;

	if (gr_digests_decode(in, &m) < 0)
		return;
	for (uint32_t i = 0; i < m.n; i++)
		sink ^= gr_digests_at(&m, i).b[31];
}

static void fuzz_blob(struct gr_slice in)
{
	struct gr_buf f = { 0 }, out = { 0 };
	struct gr_blob_msg m;

	if (gr_blob_decode(in, &m) < 0)
		return;
	must(m.offset + m.raw_n <= m.total);
	if (gr_unpack(m.data, m.enc, m.raw_n, GR_WIRE_CHUNK_BYTES, &out) == 0)
		must(out.n == m.raw_n);
	gr_blob_encode(&f, &m);
	same(&f, in);
	gr_buf_fini(&out);
}

static void fuzz_drain(struct gr_slice in)
{
	struct gr_buf f = { 0 };
	uint32_t grace;

	if (gr_drain_decode(in, &grace) < 0)
		return;
	gr_drain_encode(&f, grace);
	same(&f, in);
}

static void fuzz_command(struct gr_slice in)
{
	struct gr_buf f = { 0 }, values = { 0 }, inputs = { 0 }, secrets = { 0 };
	struct gr_placed_file file;
	struct gr_command_msg m;
	struct gr_secret secret;
	struct gr_list_it it;
	struct gr_slice v;
	uint32_t n[3] = { 0 };

	if (gr_command_decode(in, &m) < 0)
		return;
	for (it = gr_list_begin(&m.values); gr_value_next(&it, &v); gr_value_add(&values, &n[0], v))
		touch(v);
	for (it = gr_list_begin(&m.inputs); gr_placed_next(&it, &file, false); gr_placed_add(&inputs, &n[1], &file, false))
		touch(file.path);
	for (it = gr_list_begin(&m.secrets); gr_secret_next(&it, &secret); gr_secret_add(&secrets, &n[2], &secret))
		touch(secret.value);
	must(n[0] == m.values.n && n[1] == m.inputs.n && n[2] == m.secrets.n);
	m.values.raw = gr_buf_slice(&values);
	m.inputs.raw = gr_buf_slice(&inputs);
	m.secrets.raw = gr_buf_slice(&secrets);
	gr_command_encode(&f, &m);
	same(&f, in);
	gr_buf_fini(&values);
	gr_buf_fini(&inputs);
	gr_buf_fini(&secrets);
}

static void fuzz_ended(struct gr_slice in)
{
	struct gr_buf f = { 0 }, outputs = { 0 };
	struct gr_placed_file file;
	struct gr_ended_msg m;
	struct gr_list_it it;
	uint32_t n = 0;

	if (gr_ended_decode(in, &m) < 0)
		return;
	touch(m.reason);
	touch(m.out.data);
	touch(m.err.data);
	for (it = gr_list_begin(&m.outputs); gr_placed_next(&it, &file, true); gr_placed_add(&outputs, &n, &file, true)) {
		touch(file.path);
		touch(file.item.data);
	}
	must(n == m.outputs.n);
	m.outputs.raw = gr_buf_slice(&outputs);
	gr_ended_encode(&f, &m);
	same(&f, in);
	gr_buf_fini(&outputs);
}

static void fuzz_stream(struct gr_slice in)
{
	struct gr_buf f = { 0 };
	struct gr_follow_msg follow;
	struct gr_stop_msg stop;
	struct gr_out_msg out;

	if (gr_out_decode(in, &out) == 0) {
		touch(out.data);
		gr_out_encode(&f, &out);
		if (in.n < GR_WIRE_CHUNK_BYTES)
			same(&f, in);
		gr_buf_fini(&f);
	}
	if (gr_follow_decode(in, &follow) == 0) {
		gr_follow_encode(&f, &follow);
		same(&f, in);
	}
	if (gr_stop_decode(in, &stop) == 0) {
		gr_stop_encode(&f, &stop);
		same(&f, in);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static void (*const decoders[])(struct gr_slice) = {
		fuzz_frame, fuzz_ping, fuzz_session, fuzz_log, fuzz_task, fuzz_result, fuzz_taskref, fuzz_digests, fuzz_blob, fuzz_drain,
		fuzz_command, fuzz_ended, fuzz_stream,
	};

	if (n > 0)
		decoders[data[0] % GR_LEN(decoders)](gr_slice(data + 1, n - 1));
	return 0;
}
