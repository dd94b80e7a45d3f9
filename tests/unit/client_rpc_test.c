/* client_rpc_test.c - client/rpc and client/job/logs against a coordinator's end in a child that answers when and in what order it likes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/job/logs.h"
#include "lib/base/alloc.h"
#include "lib/net/server.h"

#define WAIT_S 120u     /* then SIGALRM ends the test: an answer that was waited for in vain */

/* ---- the other end ---- */

struct end {
	struct gr_server *server;
	void (*on_req)(struct end *e, struct gr_peer *peer, json_t *req);
	json_t *held[16];
	unsigned n_held, n_batches;
};

static int on_hello(void *ctx, struct gr_peer *peer, const struct gr_hello *h, json_t *welcome, struct gr_err *err) { return 0; }
static void on_gone(void *ctx, struct gr_peer *peer, int code, const char *why) { }

static int on_msg(void *ctx, struct gr_peer *peer, int type, struct gr_slice body)
{
	struct end *e = ctx;
	struct gr_err err;
	json_t *req;

	if (type != GR_MSG_CTL_REQ || gr_json_decode(body, &req, &err) < 0)
		return 0;
	e->on_req(e, peer, req);
	json_decref(req);
	return 0;
}

/* With what was asked in "said". */
static void answer(struct end *e, struct gr_peer *peer, const json_t *req)
{
	json_t *rep = json_pack("{s:O, s:O}", "id", json_object_get(req, "id"), "said", req);
	struct gr_buf f = { 0 };

	gr_json_encode(&f, GR_MSG_CTL_REP, rep);
	json_decref(rep);
	gr_server_send(e->server, peer, &f);
}

static void print(struct end *e, struct gr_peer *peer, const json_t *req, uint32_t attempt, uint64_t offset, const char *text)
{
	const struct gr_out_msg m = { (uint64_t)json_integer_value(json_object_get(req, "job")), (uint64_t)json_integer_value(json_object_get(req, "task")),
				      attempt, GR_STREAM_OUT, 0, offset, gr_slice(text, strlen(text)) };
	struct gr_buf f = { 0 };

	gr_out_encode(&f, &m);
	gr_server_send(e->server, peer, &f);
}

static void drop_held(struct end *e)
{
	while (e->n_held)
		json_decref(e->held[--e->n_held]);
}

static pid_t serve(void (*on_req)(struct end *e, struct gr_peer *peer, json_t *req), struct gr_talk *b)
{
	static const struct gr_server_ops ops = { on_hello, on_msg, on_gone };
	static const struct gr_server_config cfg = { .heartbeat_ms = 500, .dead_ms = 60000 };
	char endpoint[256] = "";
	struct gr_err err = { 0 };
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct gr_loop *loop = gr_loop_new(1);
		struct end e = { .on_req = on_req };

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(WAIT_S);
		e.server = gr_server_new(loop, &cfg, &ops, &e);
		if (gr_server_bind(e.server, "tcp://127.0.0.1:0", endpoint, &err) < 0 || write(fds[1], endpoint, sizeof(endpoint)) < 0)
			_exit(1);
		gr_loop_run(loop);
		_exit(1);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], endpoint, sizeof(endpoint)), sizeof(endpoint));
	close(fds[0]);
	*b = (struct gr_talk){ .is_quiet = true };
	b->target.endpoint = gr_xstrdup(endpoint);
	return pid;
}

static void on_out(void *ctx, const struct gr_out_msg *m)
{
	struct gr_talk *b = ctx;

	if (b->on_out)
		b->on_out(b->out_ctx, m);
}

static void open_talk(struct gr_talk *b)
{
	static const struct gr_rpc_ops ops = { .on_out = on_out };
	struct gr_err err = { 0 };

	assert_int_equal(gr_rpc_open(&b->target, &ops, b, &b->rpc, &err), 0);
}

static void end_all(struct gr_talk *b, pid_t pid)
{
	gr_rpc_close(&b->rpc);
	gr_target_fini(&b->target);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void hears(struct gr_talk *b, struct gr_rpc_question **q, const char *op, int out)
{
	json_t *rep = NULL, *said;
	struct gr_err err = { 0 };

	assert_int_equal(gr_rpc_answer(b->rpc, q, 0, &rep, &err), 0);
	assert_null(*q);
	said = json_object_get(rep, "said");
	assert_string_equal(json_string_value(json_object_get(said, "op")), op);
	assert_int_equal(json_integer_value(json_object_get(said, "out")), out);
	json_decref(rep);
}

/* ---- questions ---- */

/* None before three are there; the last is answered first. */
static void reverse_of_three(struct end *e, struct gr_peer *peer, json_t *req)
{
	e->held[e->n_held++] = json_incref(req);
	if (e->n_held < 3)
		return;
	for (unsigned i = 3; i-- > 0;)
		answer(e, peer, e->held[i]);
	drop_held(e);
}

static void questions_travel_beside_each_other_and_may_be_answered_in_any_order(void **state)
{
	struct gr_talk b;
	pid_t pid = serve(reverse_of_three, &b);
	struct gr_rpc_question *q[3];

	open_talk(&b);
	q[0] = gr_rpc_ask(b.rpc, json_pack("{s:s}", "op", "a"));
	q[1] = gr_rpc_ask(b.rpc, json_pack("{s:s}", "op", "b"));
	q[2] = gr_rpc_ask(b.rpc, json_pack("{s:s}", "op", "c"));
	hears(&b, &q[0], "a", 0);
	hears(&b, &q[2], "c", 0);
	hears(&b, &q[1], "b", 0);
	end_all(&b, pid);
}

/* The first of three is answered and the connection cut; after that each is answered at once. */
static void cut_after_the_first(struct end *e, struct gr_peer *peer, json_t *req)
{
	e->held[e->n_held++] = json_incref(req);
	if (e->n_batches) {
		answer(e, peer, req);
	} else if (e->n_held == 3) {
		answer(e, peer, e->held[0]);
		e->n_batches = 1;
		gr_server_drop(e->server, peer, GR_EGONE, "a test");
	}
}

static void after_a_break_only_what_is_still_wanted_is_asked_anew_as_it_is_then(void **state)
{
	struct gr_talk b;
	pid_t pid = serve(cut_after_the_first, &b);
	struct gr_rpc_question *q[3];
	json_t *kept = json_pack("{s:s, s:i}", "op", "c", "out", 0);

	open_talk(&b);
	q[0] = gr_rpc_ask(b.rpc, json_pack("{s:s}", "op", "a"));
	q[1] = gr_rpc_ask(b.rpc, json_pack("{s:s}", "op", "b"));
	q[2] = gr_rpc_ask(b.rpc, json_incref(kept));
	hears(&b, &q[0], "a", 0);
	json_object_set_new(kept, "out", json_integer(5));
	gr_rpc_drop(&q[1]);
	assert_null(q[1]);
	hears(&b, &q[2], "c", 5);
	q[1] = gr_rpc_ask(b.rpc, json_pack("{s:s}", "op", "d"));
	hears(&b, &q[1], "d", 0);
	json_decref(kept);
	end_all(&b, pid);
}

static void silent_about_a(struct end *e, struct gr_peer *peer, json_t *req)
{
	if (strcmp(json_string_value(json_object_get(req, "op")), "a"))
		answer(e, peer, req);
}

static void an_answer_that_does_not_come_in_time_is_an_error_and_the_next_is_heard(void **state)
{
	struct gr_talk b;
	pid_t pid = serve(silent_about_a, &b);
	struct gr_err err = { 0 };
	struct gr_rpc_question *q[2];
	json_t *rep = NULL;

	open_talk(&b);
	assert_int_equal(gr_rpc_call(b.rpc, json_pack("{s:s}", "op", "a"), 500, &rep, &err), GR_EUNREACH);
	assert_null(rep);
	q[0] = gr_rpc_ask(b.rpc, json_pack("{s:s}", "op", "b"));
	q[1] = gr_rpc_ask(b.rpc, json_pack("{s:s}", "op", "c"));
	hears(&b, &q[0], "b", 0);
	hears(&b, &q[1], "c", 0);
	end_all(&b, pid);
}

/* ---- logs ---- */

static void hear_piece(void *ctx, const struct gr_task_log *t, int stream, struct gr_slice data)
{
	gr_buf_add(ctx, data.p, data.n);
}

/* Each batch is answered when it is whole, last first: of 1, 2, 3 and 5 tasks, which is what doubles. In the second the connection is cut
 * once, behind a part of an output. */
static void in_batches(struct end *e, struct gr_peer *peer, json_t *req)
{
	static const unsigned wants[] = { 1, 2, 3, 5 };
	char text[64];

	e->held[e->n_held++] = json_incref(req);
	if (e->n_held < wants[e->n_batches % 4])
		return;
	if (e->n_batches == 1 && !json_integer_value(json_object_get(e->held[0], "out"))) {
		print(e, peer, e->held[0], 1, 0, "tas");
		drop_held(e);
		gr_server_drop(e->server, peer, GR_EGONE, "a test");
		return;
	}
	for (unsigned i = e->n_held; i-- > 0;) {
		uint64_t at = (uint64_t)json_integer_value(json_object_get(e->held[i], "out"));

		snprintf(text, sizeof(text), "task %lld\n", (long long)json_integer_value(json_object_get(e->held[i], "task")));
		print(e, peer, e->held[i], 1, at, text + at);
		answer(e, peer, e->held[i]);
	}
	drop_held(e);
	e->n_batches++;
}

static void logs_are_on_their_way_together_and_handed_out_in_the_order_they_were_asked_for(void **state)
{
	struct gr_talk b;
	pid_t pid = serve(in_batches, &b);
	struct gr_task_log t;
	struct gr_logs *logs;
	struct gr_err err = { 0 };
	struct gr_buf text = { 0 };
	uint64_t next = 0;
	char want[64];

	open_talk(&b);
	logs = gr_logs_new(&b, 7, false, hear_piece, &text);
	for (uint64_t task = 0; task < 11; task++) {
		while (next < 11 && !gr_logs_is_full(logs))
			gr_logs_push(logs, next++);
		assert_int_equal(gr_logs_pop(logs, &t, &err), 0);
		assert_int_equal(t.rc, 0);
		assert_int_equal(t.task, task);
		snprintf(want, sizeof(want), "task %u\n", (unsigned)task);
		assert_string_equal(gr_buf_str(&text), want);
		gr_buf_clear(&text);
		gr_task_log_fini(&t);
	}
	gr_buf_fini(&text);
	assert_true(gr_logs_is_empty(logs));
	gr_logs_free(&logs);
	assert_null(b.on_out);
	end_all(&b, pid);
}

/* The first is small; the second and third are asked for together. The third was tried again between two pieces, and is large then. */
static void again(struct end *e, struct gr_peer *peer, json_t *req)
{
	char *large;

	e->held[e->n_held++] = json_incref(req);
	if (e->n_batches == 1 && e->n_held < 2)
		return;
	if (e->n_batches++ == 1) {
		large = gr_xalloc((300u << 10) + 1);
		memset(large, 'x', 300u << 10);
		print(e, peer, e->held[1], 1, 0, "of the first try");
		print(e, peer, e->held[1], 2, 0, large);
		answer(e, peer, e->held[1]);
		free(large);
	}
	print(e, peer, e->held[0], 1, 0, "small");
	answer(e, peer, e->held[0]);
	drop_held(e);
}

static void a_try_begun_anew_replaces_what_came_and_large_logs_come_one_at_a_time(void **state)
{
	static const size_t sizes[] = { 5, 5, 300u << 10, 5 };
	struct gr_talk b;
	pid_t pid = serve(again, &b);
	struct gr_buf text = { 0 };
	struct gr_task_log t;
	struct gr_logs *logs;
	struct gr_err err = { 0 };
	uint64_t next = 0;

	open_talk(&b);
	logs = gr_logs_new(&b, 7, false, hear_piece, &text);
	for (uint64_t task = 0; task < 4; task++) {
		while (next < (task < 3 ? 3 : 4) && !gr_logs_is_full(logs))
			gr_logs_push(logs, next++);
		assert_int_equal(gr_logs_is_full(logs), task != 2);
		assert_int_equal(gr_logs_pop(logs, &t, &err), 0);
		assert_int_equal(text.n, sizes[task]);
		assert_int_equal(text.p[0], task == 2 ? 'x' : 's');
		gr_buf_clear(&text);
		gr_task_log_fini(&t);
	}
	gr_buf_fini(&text);
	gr_logs_free(&logs);
	end_all(&b, pid);
}

#define PIECE_BYTES (512u << 10)
#define N_PIECES 3u
#define FIRST_LARGE 15u

static char letter_at(uint64_t task, uint64_t offset) { return (char)('a' + (task + offset / PIECE_BYTES) % 26); }

static void print_large(struct end *e, struct gr_peer *peer, const json_t *req)
{
	uint64_t task = (uint64_t)json_integer_value(json_object_get(req, "task")), at = (uint64_t)json_integer_value(json_object_get(req, "out"));
	char *piece = gr_xalloc(PIECE_BYTES + 1);

	for (; at < N_PIECES * PIECE_BYTES; at += PIECE_BYTES) {
		memset(piece, letter_at(task, at), PIECE_BYTES);
		print(e, peer, req, 1, at, piece);
	}
	answer(e, peer, req);
	free(piece);
}

/* Sixteen large ones are printed when all are asked for, the last first. */
static void sixteen_large(struct end *e, struct gr_peer *peer, json_t *req)
{
	if (!strcmp(json_string_value(json_object_get(req, "op")), "logs.stop")) {
		answer(e, peer, req);
	} else if (json_integer_value(json_object_get(req, "task")) < FIRST_LARGE) {
		print(e, peer, req, 1, 0, "small");
		answer(e, peer, req);
	} else if (e->n_batches) {
		print_large(e, peer, req);
	} else {
		e->held[e->n_held++] = json_incref(req);
		if (e->n_held < 16)
			return;
		for (unsigned i = 16; i-- > 0;)
			print_large(e, peer, e->held[i]);
		drop_held(e);
		e->n_batches = 1;
	}
}

static void logs_that_wait_are_held_up_to_a_limit_and_come_whole_all_the_same(void **state)
{
	struct gr_talk b;
	pid_t pid = serve(sixteen_large, &b);
	struct gr_buf text = { 0 };
	unsigned n_anew = 0;
	struct gr_task_log t;
	struct gr_logs *logs;
	struct gr_err err = { 0 };
	uint64_t next = 0;

	open_talk(&b);
	logs = gr_logs_new(&b, 7, false, hear_piece, &text);
	for (uint64_t task = 0; task < FIRST_LARGE + 16; task++) {
		while (next < FIRST_LARGE + 16 && !gr_logs_is_full(logs))
			gr_logs_push(logs, next++);
		assert_int_equal(gr_logs_pop(logs, &t, &err), 0);
		if (task >= FIRST_LARGE) {
			assert_int_equal(text.n, N_PIECES * PIECE_BYTES);
			for (uint64_t at = 0; at < text.n; at += PIECE_BYTES / 2)
				assert_int_equal(text.p[at], letter_at(task, at));
			/* ten are 15 MiB; of the next there was room for two pieces */
			n_anew += json_integer_value(json_object_get(json_object_get(t.end, "said"), "out")) == 2 * PIECE_BYTES;
		}
		gr_buf_clear(&text);
		gr_task_log_fini(&t);
	}
	assert_int_equal(n_anew, 1);
	gr_buf_fini(&text);
	gr_logs_free(&logs);
	end_all(&b, pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_travel_beside_each_other_and_may_be_answered_in_any_order),
		cmocka_unit_test(after_a_break_only_what_is_still_wanted_is_asked_anew_as_it_is_then),
		cmocka_unit_test(an_answer_that_does_not_come_in_time_is_an_error_and_the_next_is_heard),
		cmocka_unit_test(logs_are_on_their_way_together_and_handed_out_in_the_order_they_were_asked_for),
		cmocka_unit_test(a_try_begun_anew_replaces_what_came_and_large_logs_come_one_at_a_time),
		cmocka_unit_test(logs_that_wait_are_held_up_to_a_limit_and_come_whole_all_the_same),
	};

	alarm(WAIT_S);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
