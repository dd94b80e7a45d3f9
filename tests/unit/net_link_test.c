/* net_link_test.c - a link and a server on one loop, without keys: handshake, heartbeats, loss and misbehaviour */
#include "tests/unit/net_fixture.h"
#include "lib/net/cut.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

/* For peers that say nothing on a machine that is busy. */
static const struct gr_server_config patient = { .heartbeat_ms = 50, .dead_ms = 30000 };
static const struct gr_server_config quick = { .heartbeat_ms = 50, .dead_ms = 1000 };

static void a_worker_is_welcomed_and_messages_travel_both_ways(void **state)
{
	struct world w = { 0 };
	struct seen_link s = { .role = GR_ROLE_WORKER, .name = "w-1", .n_signals = 1 };
	struct gr_buf f = { 0 };

	fx_open(&w, "tcp://127.0.0.1:0", &quick);
	fx_link(&w, &s, NULL, NULL);
	RUN_UNTIL(&w, s.n_up == 1 && w.peer);
	assert_int_equal(gr_peer_role(w.peer), GR_ROLE_WORKER);
	assert_string_equal(gr_peer_name(w.peer), "w-1");
	assert_string_equal(gr_peer_key_name(w.peer), "loopback");

	gr_drain_encode(&f, 500);
	assert_int_equal(gr_link_send(s.link, &f), 0);
	assert_int_equal(f.n, 0);
	gr_session_encode(&f, GR_MSG_SESSION_CLOSE, 9, 0);
	assert_int_equal(gr_server_send(w.server, w.peer, &f), 0);
	assert_int_equal(f.n, 0);
	RUN_UNTIL(&w, w.n_msgs == 1 && s.n_msgs == 1);
	assert_int_equal(w.last_type, GR_MSG_DRAIN);
	assert_int_equal(s.last_type, GR_MSG_SESSION_CLOSE);

	RUN_UNTIL(&w, gr_peer_rtt_ns(w.peer) > 0 && gr_link_rtt_ns(s.link) > 0 && w.signal.key == GR_SIGNAL_SLOTS);
	assert_int_equal(w.signal.value, 12);
	gr_link_close(&s.link);
	RUN_UNTIL(&w, w.n_gone == 1);
	assert_string_equal(w.gone_why, "said goodbye");
	fx_close(&w);
}

static void ipc_works_like_tcp(void **state)
{
	struct world w = { 0 };
	struct seen_link s = { .role = GR_ROLE_CLIENT, .name = "c" };
	char path[128];

	snprintf(path, sizeof(path), "ipc:///tmp/griddle-net-test-%d.sock", (int)getpid());
	fx_open(&w, path, &quick);
	fx_link(&w, &s, NULL, NULL);
	RUN_UNTIL(&w, s.n_up == 1);
	gr_link_close(&s.link);
	fx_close(&w);
	unlink(path + 6);
}

static void what_on_hello_sends_arrives_behind_the_welcome(void **state)
{
	struct world w = { .n_early = 3 };
	struct seen_link s = { .role = GR_ROLE_CLIENT, .name = "c" };

	fx_open(&w, "tcp://127.0.0.1:0", &quick);
	fx_link(&w, &s, NULL, NULL);
	RUN_UNTIL(&w, s.n_msgs == 3);
	assert_int_equal(s.n_up, 1);
	assert_int_equal(s.n_down, 0);
	gr_link_close(&s.link);
	fx_close(&w);
}

static void a_refusal_of_the_program_reaches_the_link_in_words(void **state)
{
	struct world w = { .hello_rc = GR_EROLE };
	struct seen_link s = { .role = GR_ROLE_CLIENT, .name = "c" };

	fx_open(&w, "tcp://127.0.0.1:0", &quick);
	fx_link(&w, &s, NULL, NULL);
	RUN_UNTIL(&w, s.n_down == 1);
	assert_int_equal(s.code, GR_EROLE);
	assert_non_null(strstr(s.why, "not today"));
	assert_int_equal(w.n_gone, 0);
	gr_link_close(&s.link);
	fx_close(&w);
}

static void expect_reject(struct world *w, void *raw, int code)
{
	struct gr_buf frame = { 0 };
	struct gr_slice body;
	struct gr_err err;
	json_t *j;

	RUN_UNTIL(w, fx_raw_got(raw, GR_MSG_REJECT, &frame));
	assert_int_equal(gr_frame_open(gr_buf_slice(&frame), &body), GR_MSG_REJECT);
	assert_int_equal(gr_json_decode(body, &j, &err), 0);
	assert_string_equal(json_string_value(json_object_get(j, "code")), gr_err_name(code));
	assert_true(strlen(json_string_value(json_object_get(j, "why"))) > 10);
	json_decref(j);
	gr_buf_fini(&frame);
}

static void another_protocol_version_is_refused_with_a_reason(void **state)
{
	struct world w = { 0 };
	struct gr_buf f = { 0 };
	json_t *j = gr_hello_json(GR_ROLE_CLIENT, "future");
	void *raw;

	fx_open(&w, "tcp://127.0.0.1:0", &quick);
	raw = fx_raw(&w);
	json_object_set_new(j, "wire_min", json_integer(2));
	json_object_set_new(j, "wire_max", json_integer(3));
	gr_json_encode(&f, GR_MSG_HELLO, j);
	fx_raw_send(raw, &f);
	expect_reject(&w, raw, GR_EVERSION);
	gr_json_encode(&f, GR_MSG_HELLO, j);
	f.p[2] = 3;   /* a frame of that version, too */
	fx_raw_send(raw, &f);
	expect_reject(&w, raw, GR_EVERSION);
	assert_int_equal(w.n_hello, 0);
	json_decref(j);
	zmq_close(raw);
	fx_close(&w);
}

static void too_many_peers_are_refused(void **state)
{
	struct gr_server_config one = quick;
	struct world w = { 0 };
	void *first, *second;

	one.max_peers = 1;
	fx_open(&w, "tcp://127.0.0.1:0", &one);
	first = fx_raw(&w);
	fx_raw_hello(first, GR_ROLE_CLIENT, "one");
	RUN_UNTIL(&w, w.peer);
	second = fx_raw(&w);
	fx_raw_hello(second, GR_ROLE_CLIENT, "two");
	expect_reject(&w, second, GR_EBUSY);
	zmq_close(first);
	zmq_close(second);
	fx_close(&w);
}

static void a_silent_peer_is_dropped(void **state)
{
	struct gr_server_config cfg = { .heartbeat_ms = 50, .dead_ms = 200 };
	struct world w = { 0 };
	struct gr_buf frame = { 0 };
	void *raw;

	fx_open(&w, "tcp://127.0.0.1:0", &cfg);
	raw = fx_raw(&w);
	fx_raw_hello(raw, GR_ROLE_WORKER, "mute");
	RUN_UNTIL(&w, w.n_gone == 1);
	assert_int_equal(w.gone_code, GR_ETIME);
	RUN_UNTIL(&w, fx_raw_got(raw, GR_MSG_BYE, &frame));
	gr_buf_fini(&frame);
	zmq_close(raw);
	fx_close(&w);
}

static void a_closed_connection_shows_before_the_silence_does(void **state)
{
	struct gr_server_config cfg = { .heartbeat_ms = 50, .dead_ms = 60000 };
	struct world w = { 0 };
	void *raw;

	fx_open(&w, "tcp://127.0.0.1:0", &cfg);
	raw = fx_raw(&w);
	fx_raw_hello(raw, GR_ROLE_WORKER, "gone");
	RUN_UNTIL(&w, w.peer);
	zmq_close(raw);
	RUN_UNTIL(&w, w.n_gone == 1);
	assert_int_equal(w.gone_code, GR_EGONE);
	fx_close(&w);
}

static void a_link_leaves_a_server_that_falls_silent_and_comes_back(void **state)
{
	struct world w = { .loop = gr_loop_new(1) };
	struct seen_link s = { .role = GR_ROLE_CLIENT, .name = "c" };
	struct gr_buf frame = { 0 };
	void *router = zmq_socket(gr_loop__zmq(w.loop), ZMQ_ROUTER);
	size_t n = sizeof(w.endpoint);
	json_t *j = json_pack("{s:i, s:i, s:i}", "wire", GR_WIRE_VERSION, "heartbeat_ms", 50, "dead_ms", 200);

	gr_sock_set_int(router, ZMQ_LINGER, 0);
	assert_int_equal(zmq_bind(router, "tcp://127.0.0.1:0"), 0);
	assert_int_equal(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, w.endpoint, &n), 0);
	fx_link(&w, &s, NULL, NULL);
	for (int i = 1; i <= 2; i++) {
		uint8_t id[16];
		int n_id;

		RUN_UNTIL(&w, (n_id = zmq_recv(router, id, sizeof(id), ZMQ_DONTWAIT)) == 5);
		RUN_UNTIL(&w, fx_raw_got(router, GR_MSG_HELLO, &frame));
		gr_buf_clear(&frame);
		gr_json_encode(&frame, GR_MSG_WELCOME, j);
		assert_int_equal(zmq_send(router, id, (size_t)n_id, ZMQ_SNDMORE), n_id);
		fx_raw_send(router, &frame);
		RUN_UNTIL(&w, s.n_up == i);
		RUN_UNTIL(&w, s.n_down == i);
		assert_int_equal(s.code, GR_ETIME);
		/* the pings of this connection */
		while (zmq_recv(router, id, sizeof(id), ZMQ_DONTWAIT) >= 0)
			;
	}
	json_decref(j);
	gr_buf_fini(&frame);
	gr_link_close(&s.link);
	zmq_close(router);
	fx_close(&w);
}

static void a_link_comes_back_when_the_server_does(void **state)
{
	struct world w = { 0 };
	struct seen_link s = { .role = GR_ROLE_CLIENT, .name = "c" };
	struct gr_buf f = { 0 };
	char endpoint[256];

	fx_open(&w, "tcp://127.0.0.1:0", &quick);
	strcpy(endpoint, w.endpoint);
	fx_link(&w, &s, NULL, NULL);
	RUN_UNTIL(&w, s.n_up == 1);
	gr_server_close(&w.server);
	RUN_UNTIL(&w, s.n_down >= 1);
	assert_false(gr_link_is_up(s.link));
	gr_drain_encode(&f, 1);
	assert_int_equal(gr_link_send(s.link, &f), GR_EUNREACH);
	assert_true(f.n > 0);
	gr_buf_fini(&f);
	RUN_UNTIL(&w, s.n_down >= 3);
	assert_int_equal(s.code, GR_EUNREACH);
	fx_open(&w, endpoint, &quick);
	RUN_UNTIL(&w, s.n_up == 2);
	gr_link_close(&s.link);
	fx_close(&w);
}

/* Each of these, from one peer, ends that peer and leaves the other alone. */
/* @f becomes a bundle of @n of it, without the last @cut bytes. */
static void bundle(struct gr_buf *f, int n, size_t cut)
{
	struct gr_buf b = { 0 };
	size_t at = gr_frame_begin(&b, GR_MSG_BUNDLE);

	for (int i = 0; i < n; i++)
		gr_buf_add(&b, f->p, f->n);
	b.n -= cut;
	gr_frame_end(&b, at);
	gr_buf_fini(f);
	*f = b;
}

static void short_frames_travel_together_and_long_ones_keep_their_place(void **state)
{
	static const uint8_t zeros[4096];
	struct world w = { 0 };
	struct gr_buf f = { 0 };
	struct gr_slice body;
	int seen[8], n = 0, n_frames = 0;
	void *raw;
	size_t at;

	fx_open(&w, "tcp://127.0.0.1:0", &patient);
	raw = fx_raw(&w);
	fx_raw_hello(raw, GR_ROLE_WORKER, "w");
	RUN_UNTIL(&w, w.peer);
	for (int i = 0; i < 4; i++) {
		if (i == 2) {
			at = gr_frame_begin(&f, GR_MSG_CLUSTER);
			gr_buf_add(&f, zeros, sizeof(zeros));
			gr_frame_end(&f, at);
		} else {
			gr_session_encode(&f, GR_MSG_SESSION_CLOSE, 9, 0);
		}
		assert_int_equal(gr_server_send(w.server, w.peer, &f), 0);
	}
	/* two together, the long one, one alone */
	while (n < 3) {
		RUN_UNTIL(&w, fx_raw_recv(raw, &f));
		seen[n] = gr_frame_open(gr_buf_slice(&f), &body);
		n_frames += seen[n] == GR_MSG_BUNDLE ? gr_bundle_check(body) : 0;
		n += seen[n] != GR_MSG_WELCOME && seen[n] != GR_MSG_PING;
	}
	assert_int_equal(seen[0], GR_MSG_BUNDLE);
	assert_int_equal(n_frames, 2);
	assert_int_equal(seen[1], GR_MSG_CLUSTER);
	assert_int_equal(seen[2], GR_MSG_SESSION_CLOSE);
	/* and the other way */
	gr_buf_clear(&f);
	gr_drain_encode(&f, 1);
	bundle(&f, 3, 0);
	fx_raw_send(raw, &f);
	RUN_UNTIL(&w, w.n_msgs == 3 && w.last_type == GR_MSG_DRAIN);
	gr_buf_fini(&f);
	zmq_close(raw);
	fx_close(&w);
}

static void what_must_be_written_first_is_asked_for_before_frames_leave(void **state)
{
	struct world w = { 0 };
	struct seen_link s = { .role = GR_ROLE_WORKER, .name = "w" };
	struct gr_buf f = { 0 };

	fx_open(&w, "tcp://127.0.0.1:0", &patient);
	fx_link(&w, &s, NULL, NULL);
	RUN_UNTIL(&w, s.n_up == 1);
	for (int i = 0; i < 5; i++) {
		gr_drain_encode(&f, 1);
		assert_int_equal(gr_link_send(s.link, &f), 0);
	}
	assert_int_equal(s.n_before_send, 0);
	RUN_UNTIL(&w, w.n_msgs == 5);
	assert_int_equal(s.n_before_send, 1);
	/* what was gathered goes before the goodbye */
	gr_drain_encode(&f, 1);
	assert_int_equal(gr_link_send(s.link, &f), 0);
	gr_link_close(&s.link);
	RUN_UNTIL(&w, w.n_gone == 1);
	assert_int_equal(w.n_msgs, 6);
	fx_close(&w);
}

static void a_misbehaving_peer_is_dropped_and_nobody_else(void **state)
{
	static const struct { const char *what; int code; } cases[] = {
		{ "garbage", GR_EPROTO }, { "truncated", GR_ETRUNC }, { "too long for its type", GR_ELIMIT },
		{ "unknown type", GR_EPROTO }, { "length differs", GR_EPROTO }, { "another version", GR_EVERSION },
		{ "wrong role", GR_EROLE }, { "hello again", GR_EPROTO }, { "empty", GR_ETRUNC }, { "several parts", GR_EPROTO },
		{ "bad heartbeat", GR_ETRUNC }, { "refused by the program", GR_ELIMIT },
		{ "a bundle of one", GR_EPROTO }, { "a bundle cut short", GR_ETRUNC }, { "wrong role in a bundle", GR_EROLE },
		{ "a bundle in a bundle", GR_EPROTO },
	};
	static const uint8_t zeros[1024];
	struct world w = { 0 };
	struct seen_link s = { .role = GR_ROLE_WORKER, .name = "good" };
	struct gr_peer *good;
	struct gr_buf seen = { 0 };

	fx_open(&w, "tcp://127.0.0.1:0", &patient);
	fx_link(&w, &s, NULL, NULL);
	RUN_UNTIL(&w, s.n_up == 1);
	good = w.peer;
	for (size_t i = 0; i < GR_LEN(cases); i++) {
		struct gr_buf f = { 0 };
		void *raw = fx_raw(&w);
		size_t at;

		fx_raw_hello(raw, GR_ROLE_CLIENT, "bad");
		RUN_UNTIL(&w, w.peer && w.peer != good);
		gr_taskref_encode(&f, GR_MSG_CANCEL, 1, 2, 3);
		switch (i) {
		case 0: gr_buf_clear(&f); gr_buf_add_str(&f, "GET / HTTP/1.1\r\n\r\n"); break;
		case 1: f.n -= 3; break;
		case 2: gr_buf_clear(&f); at = gr_frame_begin(&f, GR_MSG_PING); gr_buf_add(&f, zeros, sizeof(zeros)); gr_frame_end(&f, at);
			break;
		case 3: f.p[3] = 250; break;
		case 4: gr_wr_u8(&f, 0); break;
		case 5: f.p[2] = 9; break;
		case 6: gr_buf_clear(&f); gr_drain_encode(&f, 5); break;
		case 7: gr_buf_clear(&f); fx_raw_hello(raw, GR_ROLE_CLIENT, "bad"); break;
		case 8: gr_buf_clear(&f); break;
		case 9: assert_int_equal(zmq_send(raw, "x", 1, ZMQ_SNDMORE), 1); break;
		case 10: gr_buf_clear(&f); at = gr_frame_begin(&f, GR_MSG_PING); gr_wr_u64(&f, 1); gr_frame_end(&f, at); break;
		case 11: w.msg_rc = GR_ELIMIT; break;
		case 12: bundle(&f, 1, 0); break;
		case 13: bundle(&f, 2, 3); break;
		case 14: gr_buf_clear(&f); gr_drain_encode(&f, 5); bundle(&f, 2, 0); break;
		case 15: bundle(&f, 2, 0); bundle(&f, 2, 0); break;
		}
		if (i != 7)
			fx_raw_send(raw, &f);
		RUN_UNTIL(&w, w.n_gone == (int)i + 1);
		if (w.gone_code != cases[i].code)
			fail_msg("%s: %s", cases[i].what, w.gone_why);
		assert_string_equal(w.gone_name, "bad");
		RUN_UNTIL(&w, fx_raw_got(raw, GR_MSG_BYE, &seen));
		w.msg_rc = 0;
		gr_buf_fini(&f);
		zmq_close(raw);
	}
	assert_int_equal(s.n_down, 0);
	gr_buf_fini(&seen);
	gr_link_close(&s.link);
	fx_close(&w);
}

static void a_frame_above_the_limit_never_gets_in(void **state)
{
	struct gr_server_config cfg = { .heartbeat_ms = 50, .dead_ms = 20000 };
	struct world w = { 0 };
	struct seen_link s = { .role = GR_ROLE_WORKER, .name = "good" };
	size_t n = GR_WIRE_MAX_FRAME_BYTES + 100;
	void *big = gr_xalloc(n), *raw;

	fx_open(&w, "tcp://127.0.0.1:0", &cfg);
	fx_link(&w, &s, NULL, NULL);
	RUN_UNTIL(&w, s.n_up == 1);
	raw = fx_raw(&w);
	fx_raw_hello(raw, GR_ROLE_WORKER, "bad");
	RUN_UNTIL(&w, w.n_hello == 2);
	assert_int_equal(zmq_send(raw, big, n, 0), (int)n);
	RUN_UNTIL(&w, w.n_gone == 1);   /* libzmq closes that connection */
	assert_string_equal(w.gone_name, "bad");
	assert_int_equal(s.n_down, 0);
	assert_int_equal(w.n_msgs, 0);
	free(big);
	zmq_close(raw);
	gr_link_close(&s.link);
	fx_close(&w);
}

static void frames_of_a_dropped_peer_are_a_strangers(void **state)
{
	struct world w = { 0 };
	struct gr_buf f = { 0 };
	void *raw;

	fx_open(&w, "tcp://127.0.0.1:0", &quick);
	raw = fx_raw(&w);
	fx_raw_hello(raw, GR_ROLE_WORKER, "w");
	RUN_UNTIL(&w, w.peer);
	gr_server_drop(w.server, w.peer, GR_ELIMIT, "enough");
	assert_int_equal(w.n_gone, 1);
	gr_drain_encode(&f, 1);
	fx_raw_send(raw, &f);
	RUN_UNTIL(&w, fx_raw_got(raw, GR_MSG_BYE, &f));
	RUN_UNTIL(&w, fx_raw_got(raw, GR_MSG_BYE, &f));   /* "not known here" */
	assert_int_equal(w.n_msgs, 0);
	gr_buf_fini(&f);
	zmq_close(raw);
	fx_close(&w);
}

static void a_peer_that_does_not_read_makes_the_sender_busy(void **state)
{
	struct world w = { 0 };
	struct gr_server_config cfg = { .heartbeat_ms = 1000, .dead_ms = 60000 };
	struct gr_buf f = { 0 };
	void *raw;
	int rc = 0, n = 0;

	fx_open(&w, "tcp://127.0.0.1:0", &cfg);
	raw = zmq_socket(gr_loop__zmq(w.loop), ZMQ_DEALER);
	gr_sock_set_int(raw, ZMQ_LINGER, 0);
	gr_sock_set_int(raw, ZMQ_RCVHWM, 1);
	assert_int_equal(zmq_connect(raw, w.endpoint), 0);
	fx_raw_hello(raw, GR_ROLE_CLIENT, "slow");
	RUN_UNTIL(&w, w.peer);
	for (; rc == 0 && n < 1000; n++) {
		gr_buf_clear(&f);
		gr_buf_reserve(&f, 1 << 20);
		memset(f.p, 7, 1 << 20);
		f.n = 1 << 20;
		rc = gr_server_send(w.server, w.peer, &f);
	}
	assert_int_equal(rc, GR_EBUSY);
	assert_true(n < 100);
	assert_int_equal(f.n, 1 << 20);
	assert_int_equal(f.p[12345], 7);
	/* Room again once it reads. */
	RUN_UNTIL(&w, (fx_raw_recv(raw, &f), 1) && f.n == 1 << 20);
	f.n = 1 << 20;
	RUN_UNTIL(&w, (rc = gr_server_send(w.server, w.peer, &f)) == 0 || (zmq_recv(raw, &n, 1, ZMQ_DONTWAIT), 0));
	gr_buf_fini(&f);
	zmq_close(raw);
	fx_close(&w);
}

static void plain_is_refused_beyond_loopback(void **state)
{
	struct world w = { .loop = gr_loop_new(1) };
	struct gr_link_config cfg = { "tcp://192.0.2.1:7420", NULL, NULL };
	struct gr_err err = { 0 };
	struct gr_link *link = NULL;

	w.server = gr_server_new(w.loop, &quick, &fx_server_ops, &w);
	assert_int_equal(gr_server_bind(w.server, "tcp://0.0.0.0:0", NULL, &err), GR_EAUTH);
	assert_non_null(strstr(err.text, "without keys"));
	assert_int_equal(gr_server_bind(w.server, "tcp://*:0", NULL, &err), GR_EAUTH);
	assert_int_equal(gr_server_bind(w.server, "tcp://build-box:0", NULL, &err), GR_EAUTH);
	assert_int_equal(gr_link_new(w.loop, &cfg, &fx_link_ops, &w, &link, &err), GR_EAUTH);
	assert_non_null(strstr(err.text, "without keys"));
	cfg.endpoint = "tcp://localhost";
	assert_int_equal(gr_link_new(w.loop, &cfg, &fx_link_ops, &w, &link, &err), GR_EINVAL);
	fx_close(&w);
}

static void localhost_is_found_by_name(void **state)
{
	struct world w = { 0 };
	struct seen_link s = { .role = GR_ROLE_CLIENT, .name = "c" };
	char port[16];

	fx_open(&w, "tcp://127.0.0.1:0", &quick);
	snprintf(port, sizeof(port), "%s", strrchr(w.endpoint, ':'));
	snprintf(w.endpoint, sizeof(w.endpoint), "tcp://localhost%s", port);
	fx_link(&w, &s, NULL, NULL);
	RUN_UNTIL(&w, s.n_up == 1);
	gr_link_close(&s.link);
	fx_close(&w);
}

static void what_is_not_zeromq_at_all_disturbs_nobody(void **state)
{
	static const char *const lines[] = {
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x03", "\xff", "\x01\x00",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	};
	struct world w = { 0 };
	struct seen_link s = { .role = GR_ROLE_WORKER, .name = "good" };
	struct gr_buf f = { 0 };
	int fds[GR_LEN(lines)];

	fx_open(&w, "tcp://127.0.0.1:0", &quick);
	fx_link(&w, &s, NULL, NULL);
	RUN_UNTIL(&w, s.n_up == 1);
	for (size_t i = 0; i < GR_LEN(lines); i++) {
		fds[i] = tcp_to(w.endpoint);
		assert_true(send(fds[i], lines[i], strlen(lines[i]), MSG_NOSIGNAL) > 0);
	}
	gr_drain_encode(&f, 1);
	assert_int_equal(gr_link_send(s.link, &f), 0);
	RUN_UNTIL(&w, w.n_msgs == 1);
	assert_int_equal(s.n_down, 0);
	assert_int_equal(w.n_hello, 1);
	for (size_t i = 0; i < GR_LEN(lines); i++)
		close(fds[i]);
	gr_link_close(&s.link);
	fx_close(&w);
}

/* A raw socket and a monitor of it. */
static void *watch(struct world *w, void *raw, const char *name)
{
	void *m = zmq_socket(gr_loop__zmq(w->loop), ZMQ_PAIR);

	gr_sock_set_int(m, ZMQ_LINGER, 0);
	assert_int_equal(zmq_socket_monitor(raw, name, ZMQ_EVENT_DISCONNECTED), 0);
	assert_int_equal(zmq_connect(m, name), 0);
	return m;
}

static bool is_cut(void *monitor)
{
	char b[300];

	return zmq_recv(monitor, b, sizeof(b), ZMQ_DONTWAIT) > 0;
}

static void a_dropped_peers_connection_is_closed_from_here(void **state)
{
	struct gr_server_config cfg = { .heartbeat_ms = 50, .dead_ms = 10000 };
	struct gr_buf f = { 0 };
	struct world w = { 0 };
	void *raw[3], *seen[3];

	fx_open(&w, "tcp://127.0.0.1:0", &cfg);
	for (int i = 0; i < 3; i++) {
		char name[32];

		raw[i] = fx_raw(&w);
		snprintf(name, sizeof(name), "inproc://seen-%d", i);
		seen[i] = watch(&w, raw[i], name);
	}
	fx_raw_hello(raw[0], GR_ROLE_WORKER, "bad");
	RUN_UNTIL(&w, w.n_hello == 1);
	fx_raw_hello(raw[1], GR_ROLE_WORKER, "good");
	RUN_UNTIL(&w, w.n_hello == 2);
	gr_buf_add_str(&f, "no frame at all");
	fx_raw_send(raw[0], &f);
	gr_buf_add_str(&f, "nor this");
	fx_raw_send(raw[2], &f);                      /* never said HELLO */
	RUN_UNTIL(&w, fx_raw_got(raw[0], GR_MSG_BYE, &f));     /* it is told before */
	RUN_UNTIL(&w, fx_raw_got(raw[2], GR_MSG_BYE, &f));
	RUN_UNTIL(&w, is_cut(seen[0]));
	RUN_UNTIL(&w, is_cut(seen[2]));
	assert_false(is_cut(seen[1]));
	assert_string_equal(gr_peer_name(w.peer), "good");
	for (int i = 0; i < 3; i++) {
		zmq_close(raw[i]);
		zmq_close(seen[i]);
	}
	gr_buf_fini(&f);
	fx_close(&w);
}

static void a_connection_that_says_hello_again_is_spared(void **state)
{
	struct gr_server_config cfg = { .heartbeat_ms = 50, .dead_ms = 10000 };
	struct gr_buf f = { 0 };
	struct world w = { 0 };
	void *raw, *seen;
	uint64_t until;

	fx_open(&w, "tcp://127.0.0.1:0", &cfg);
	raw = fx_raw(&w);
	seen = watch(&w, raw, "inproc://again");
	fx_raw_hello(raw, GR_ROLE_WORKER, "w");
	RUN_UNTIL(&w, w.n_hello == 1);
	gr_server_drop(w.server, w.peer, GR_EGONE, "for a moment");
	RUN_UNTIL(&w, fx_raw_got(raw, GR_MSG_BYE, &f));
	fx_raw_hello(raw, GR_ROLE_WORKER, "w");
	RUN_UNTIL(&w, w.n_hello == 2);
	until = gr_loop_now_ns(w.loop) + 1300 * GR_NS_PER_MS;
	RUN_UNTIL(&w, gr_loop_now_ns(w.loop) > until);
	assert_false(is_cut(seen));
	assert_non_null(w.peer);
	zmq_close(raw);
	zmq_close(seen);
	gr_buf_fini(&f);
	fx_close(&w);
}

static void a_descriptor_that_became_anothers_is_left_alone(void **state)
{
	struct gr_cuts *l = gr_cuts_new();
	struct gr_cut was, now;
	int a[2], b[2];
	char c;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
	was = gr_cut_of(a[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
	assert_int_equal(dup2(b[0], a[0]), a[0]);
	assert_false(gr_cut_now(&was));
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(read(a[0], &c, 1), 1);
	now = gr_cut_of(a[0]);
	for (int i = 0; i < 3000; i++)
		gr_cuts_add(l, &was, 5);
	gr_cuts_add(l, &now, 10);
	gr_cuts_tick(l, 9);
	assert_int_equal(write(b[1], "x", 1), 1);
	gr_cuts_tick(l, 10);
	assert_int_equal(send(b[1], "x", 1, MSG_NOSIGNAL), -1);
	assert_false(gr_cut_now(&(struct gr_cut){ -1, 0 }));
	assert_int_equal(gr_cut_of(-1).fd, -1);
	gr_cuts_free(&l);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_is_welcomed_and_messages_travel_both_ways),
		cmocka_unit_test(ipc_works_like_tcp),
		cmocka_unit_test(what_on_hello_sends_arrives_behind_the_welcome),
		cmocka_unit_test(a_refusal_of_the_program_reaches_the_link_in_words),
		cmocka_unit_test(another_protocol_version_is_refused_with_a_reason),
		cmocka_unit_test(too_many_peers_are_refused),
		cmocka_unit_test(a_silent_peer_is_dropped),
		cmocka_unit_test(a_closed_connection_shows_before_the_silence_does),
		cmocka_unit_test(a_link_leaves_a_server_that_falls_silent_and_comes_back),
		cmocka_unit_test(a_link_comes_back_when_the_server_does),
		cmocka_unit_test(short_frames_travel_together_and_long_ones_keep_their_place),
		cmocka_unit_test(what_must_be_written_first_is_asked_for_before_frames_leave),
		cmocka_unit_test(a_misbehaving_peer_is_dropped_and_nobody_else),
		cmocka_unit_test(what_is_not_zeromq_at_all_disturbs_nobody),
		cmocka_unit_test(a_frame_above_the_limit_never_gets_in),
		cmocka_unit_test(frames_of_a_dropped_peer_are_a_strangers),
		cmocka_unit_test(a_peer_that_does_not_read_makes_the_sender_busy),
		cmocka_unit_test(plain_is_refused_beyond_loopback),
		cmocka_unit_test(localhost_is_found_by_name),
		cmocka_unit_test(a_dropped_peers_connection_is_closed_from_here), cmocka_unit_test(a_connection_that_says_hello_again_is_spared),
		cmocka_unit_test(a_descriptor_that_became_anothers_is_left_alone),
	};

	gr_log_init("net_link_test", GR_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
