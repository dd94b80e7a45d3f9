/* net_stall_test.c - processes that are stopped and lines that are slow: who is silent, and who only waits */
#include "tests/unit/net_fixture.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a process of its own: writes 'u' for each up, 'd' for each down to @fd. */
struct child { struct gr_loop *loop; int fd; };
static json_t *child_hello(void *ctx) { return gr_hello_json(GR_ROLE_WORKER, "child"); }
static void child_up(void *ctx, const json_t *welcome) { (void)!write(((struct child *)ctx)->fd, "u", 1); }
static void child_down(void *ctx, int code, const char *why) { (void)!write(((struct child *)ctx)->fd, "d", 1); }
static int child_msg(void *ctx, int type, struct gr_slice body)
{
	_exit(0);
}

static pid_t start_child(const char *endpoint, int fd)
{
	static const struct gr_link_ops ops = { .make_hello = child_hello, .on_up = child_up, .on_down = child_down, .on_msg = child_msg };
	struct gr_link_config cfg = { endpoint, NULL, NULL };
	struct child c = { .fd = fd };
	struct gr_link *link;
	pid_t pid = fork();

	if (pid)
		return pid;
	c.loop = gr_loop_new(3);
	alarm(60);
	if (gr_link_new(c.loop, &cfg, &ops, &c, &link, NULL) == 0)
		gr_loop_run(c.loop);
	_exit(1);
}

static void a_stopped_process_is_found_out_and_returns_when_it_goes_on(void **state)
{
	struct gr_server_config cfg = { .heartbeat_ms = 50, .dead_ms = 300 };
	struct world w = { 0 };
	struct gr_buf f = { 0 };
	char endpoint[128], events[64] = "", *first;
	int fds[2], status, n;
	pid_t pid;

	/* The child is forked before this process has a loop; the address must be known before. */
	snprintf(endpoint, sizeof(endpoint), "ipc:///tmp/griddle-net-stop-%d.sock", (int)getpid());
	assert_int_equal(pipe(fds), 0);
	pid = start_child(endpoint, fds[1]);
	fx_open(&w, endpoint, &cfg);
	RUN_UNTIL(&w, w.n_hello == 1);
	kill(pid, SIGSTOP);
	RUN_UNTIL(&w, w.n_gone == 1);
	assert_int_equal(w.gone_code, GR_ETIME);
	kill(pid, SIGCONT);
	RUN_UNTIL(&w, w.n_hello == 2 && w.peer);
	gr_drain_encode(&f, 1);
	f.p[3] = GR_MSG_CLUSTER;
	assert_int_equal(gr_server_send(w.server, w.peer, &f), 0);
	RUN_UNTIL(&w, waitpid(pid, &status, WNOHANG) == pid);
	assert_int_equal(status, 0);
	n = (int)read(fds[0], events, sizeof(events) - 1);
	assert_true(n >= 3);
	/* It may have tried before the address was bound. */
	first = strchr(events, 'u');
	assert_non_null(first);
	assert_int_equal(first[1], 'd');
	assert_non_null(strchr(first + 1, 'u'));
	close(fds[0]);
	close(fds[1]);
	fx_close(&w);
	unlink(endpoint + 6);
}

static void read_bytes(int fd, char *out, size_t room)
{
	ssize_t n = read(fd, out, room - 1);

	out[n > 0 ? n : 0] = 0;
}

/* Answers what a link says, as a coordinator whose peers may be silent for 300 ms. Return: PINGs seen of @id, < 0 when
 * another connection said HELLO. */
static int serve(void *router, struct gr_buf *id, struct gr_buf *frame)
{
	json_t *j = json_pack("{s:i, s:i, s:i}", "wire", GR_WIRE_VERSION, "heartbeat_ms", 50, "dead_ms", 300);
	struct gr_buf peer = { 0 }, answer = { 0 };
	struct gr_slice body;
	struct gr_ping ping;
	int n = 0;

	while (n >= 0 && fx_raw_recv(router, &peer) && fx_raw_recv(router, frame)) {
		int type = gr_frame_open(gr_buf_slice(frame), &body);

		gr_buf_clear(&answer);
		if (type == GR_MSG_HELLO && id->n > 0) {
			n = -1;
			break;
		}
		if (type == GR_MSG_HELLO) {
			gr_buf_add(id, peer.p, peer.n);
			gr_json_encode(&answer, GR_MSG_WELCOME, j);
		} else if (type == GR_MSG_PING && gr_ping_decode(body, &ping) == 0) {
			gr_ping_encode(&answer, GR_MSG_PONG, &ping);
			n++;
		}
		zmq_send(router, peer.p, peer.n, ZMQ_SNDMORE | ZMQ_DONTWAIT);
		zmq_send(router, answer.p, answer.n, ZMQ_DONTWAIT);
	}
	gr_buf_fini(&peer);
	gr_buf_fini(&answer);
	json_decref(j);
	return n;
}

static void a_process_that_was_stopped_does_not_blame_the_other(void **state)
{
	struct world w = { 0 };
	struct gr_buf id = { 0 }, frame = { 0 };
	char endpoint[128], events[64];
	uint64_t since_ns;
	int fds[2], n = 0, got;
	void *router;
	pid_t pid;

	snprintf(endpoint, sizeof(endpoint), "ipc:///tmp/griddle-net-cont-%d.sock", (int)getpid());
	assert_int_equal(pipe(fds), 0);
	pid = start_child(endpoint, fds[1]);
	w.loop = gr_loop_new(1);
	router = zmq_socket(gr_loop__zmq(w.loop), ZMQ_ROUTER);
	gr_sock_set_int(router, ZMQ_LINGER, 0);
	assert_int_equal(zmq_bind(router, endpoint), 0);
	RUN_UNTIL(&w, (n += serve(router, &id, &frame)) >= 3);
	read_bytes(fds[0], events, sizeof(events));
	kill(pid, SIGSTOP);
	since_ns = gr_loop_now_ns(w.loop);
	RUN_UNTIL(&w, (serve(router, &id, &frame), gr_loop_now_ns(w.loop) - since_ns > 1000 * GR_NS_PER_MS));
	kill(pid, SIGCONT);
	n = 0;
	RUN_UNTIL(&w, (got = serve(router, &id, &frame)) < 0 || (n += got) >= 10);
	assert_true(got >= 0);   /* still the same connection */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(write(fds[1], "e", 1), 1);
	read_bytes(fds[0], events, sizeof(events));
	assert_string_equal(events, "e");
	close(fds[0]);
	close(fds[1]);
	gr_buf_fini(&id);
	gr_buf_fini(&frame);
	zmq_close(router);
	fx_close(&w);
	unlink(endpoint + 6);
}

/* Both ways between two sockets, a little at each call. */
struct narrow { int listener, a, b; };

static void pump(struct narrow *n)
{
	static uint8_t bytes[32768];
	int ends[2] = { n->a, n->b };

	for (int i = 0; i < 2; i++) {
		ssize_t got = recv(ends[i], bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK), sent;

		if (got <= 0)
			continue;
		sent = send(ends[!i], bytes, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0)
			assert_int_equal(recv(ends[i], bytes, (size_t)sent, 0), sent);
	}
}

static void a_large_frame_on_a_slow_line_is_no_silence(void **state)
{
	struct gr_server_config cfg = { .heartbeat_ms = 50, .dead_ms = 500 };
	struct world w = { 0 };
	struct seen_link s = { .role = GR_ROLE_WORKER, .name = "slow" };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n_a = sizeof(a);
	struct narrow line = { 0 };
	struct gr_buf f = { 0 };
	size_t at;

	fx_open(&w, "tcp://127.0.0.1:0", &cfg);
	line.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(line.listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(line.listener, 1), 0);
	assert_int_equal(getsockname(line.listener, (struct sockaddr *)&a, &n_a), 0);
	line.b = tcp_to(w.endpoint);
	snprintf(w.endpoint, sizeof(w.endpoint), "tcp://127.0.0.1:%d", ntohs(a.sin_port));
	fx_link(&w, &s, NULL, NULL);
	uv_run(gr_loop_uv(w.loop), UV_RUN_ONCE);
	line.a = accept(line.listener, NULL, NULL);
	RUN_UNTIL(&w, (pump(&line), s.n_up == 1));
	at = gr_frame_begin(&f, GR_MSG_RESULT);
	gr_buf_reserve(&f, 12 << 20);
	memset(f.p + f.n, 3, 12 << 20);
	f.n += 12 << 20;
	gr_frame_end(&f, at);
	assert_int_equal(gr_link_send(s.link, &f), 0);
	RUN_UNTIL(&w, (pump(&line), w.n_msgs == 1));
	assert_int_equal(s.n_down, 0);
	assert_int_equal(w.n_gone, 0);
	gr_link_close(&s.link);
	close(line.a);
	close(line.b);
	close(line.listener);
	fx_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stopped_process_is_found_out_and_returns_when_it_goes_on),
		cmocka_unit_test(a_process_that_was_stopped_does_not_blame_the_other),
		cmocka_unit_test(a_large_frame_on_a_slow_line_is_no_silence),
	};

	gr_log_init("net_stall_test", GR_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
