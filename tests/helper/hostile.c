/**
 * hostile - a peer that does one forbidden thing, and prints what it is told
 *
 * usage: hostile ENDPOINT MODE [SERVER_KEY PUBLIC SECRET]
 *   says each answer on a line of its own: "WELCOME", "REJECT CODE WHY", "BYE CODE WHY", "RESULT OUTCOME REASON",
 *   "SESSION_CLOSE", "SILENCE" (nothing more came). Ends after the first REJECT, BYE, RESULT or silence of 3 s,
 *   or, where nothing may come, with the answer to a heartbeat that was sent behind.
 *   Exit code 0 when an answer came, 1 for silence, 2 for misuse.
 * Written on bare ZeroMQ: lib/net would refuse to send most of this.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/base/alloc.h"
#include "lib/wire/msg.h"
#include "lib/wire/msg_job.h"

#define SESSION (0x00c0ffee00000000ull + (uint64_t)getpid())
#define WAIT_MS 3000

static void *zctx, *sock;
static const char *endpoint;
static struct gr_digest toolchain;      /* the first the cluster has */
static bool is_over;
static uint64_t heard_ms;
static bool ends_at_close, is_barred;

/* ---- the wire ---- */

static void connect_now(char **keys)
{
	int linger = 500, limit = WAIT_MS;

	zctx = zmq_ctx_new();
	sock = zmq_socket(zctx, ZMQ_DEALER);
	zmq_setsockopt(sock, ZMQ_LINGER, &linger, sizeof(linger));
	zmq_setsockopt(sock, ZMQ_RCVTIMEO, &limit, sizeof(limit));
	if (keys) {
		zmq_setsockopt(sock, ZMQ_CURVE_SERVERKEY, keys[0], strlen(keys[0]));
		zmq_setsockopt(sock, ZMQ_CURVE_PUBLICKEY, keys[1], strlen(keys[1]));
		zmq_setsockopt(sock, ZMQ_CURVE_SECRETKEY, keys[2], strlen(keys[2]));
	}
	if (zmq_connect(sock, endpoint) < 0) {
		fprintf(stderr, "hostile: %s: %s\n", endpoint, zmq_strerror(zmq_errno()));
		exit(2);
	}
}

static void send_raw(const void *p, size_t n) { zmq_send(sock, p, n, 0); }

static void send_buf(struct gr_buf *b)
{
	send_raw(b->p, b->n);
	gr_buf_fini(b);
}

static void print_json(const char *what, struct gr_slice body)
{
	json_t *j = NULL;

	if (gr_json_decode(body, &j, NULL) < 0)
		return;
	printf("%s %s %s\n", what, json_string_value(json_object_get(j, "code")), json_string_value(json_object_get(j, "why")));
	json_decref(j);
}

static void read_cluster(struct gr_slice body)
{
	json_t *j = NULL;
	const char *hex;

	if (gr_json_decode(body, &j, NULL) < 0)
		return;
	hex = json_string_value(json_array_get(json_object_get(j, "toolchains"), 0));
	if (hex && gr_digest_parse(hex, &toolchain) < 0)
		memset(&toolchain, 0, sizeof(toolchain));
	json_decref(j);
}

/* Return: the type, 0 for silence. The body borrows from @msg, or from the bundle until the next call. */
static int receive(zmq_msg_t *msg, struct gr_slice *body)
{
	static struct gr_buf bundle;
	static struct gr_slice left;      /* of it */
	struct gr_slice frame;
	int type;

	zmq_msg_init(msg);
	if (!gr_bundle_next(&left, &frame)) {
		if (zmq_msg_recv(msg, sock, 0) < 0)
			return 0;
		frame = gr_slice(zmq_msg_data(msg), zmq_msg_size(msg));
	}
	type = gr_frame_open(frame, body);
	if (type != GR_MSG_BUNDLE)
		return type > 0 ? type : -1;
	if (gr_bundle_check(*body) < 0)
		return -1;
	gr_buf_clear(&bundle);
	gr_buf_add(&bundle, body->p, body->n);
	left = gr_buf_slice(&bundle);
	gr_bundle_next(&left, &frame);
	return gr_frame_open(frame, body);
}

static void handle_result(struct gr_slice body)
{
	struct gr_result_msg *m;

	GR_NEW(m);
	if (gr_result_decode(body, m) == 0)
		printf("RESULT %s %.*s\n", gr_outcome_name(m->outcome), (int)m->reason.n, (const char *)m->reason.p);
	free(m);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Handles one message. Return: its type; 0 for silence, which heartbeats are too. */
static int turn(void (*on_fetch)(struct gr_slice body))
{
	struct gr_slice body = { NULL, 0 };
	zmq_msg_t msg;
	int type = receive(&msg, &body);

	if (type > 0 && type != GR_MSG_PING && type != GR_MSG_CLUSTER)
		heard_ms = now_ms();
	if (!type || now_ms() - heard_ms > WAIT_MS) {
		puts("SILENCE");
		is_over = true;
		zmq_msg_close(&msg);
		return 0;
	}
	switch (type) {
	case GR_MSG_WELCOME:
		puts("WELCOME");
		read_cluster(body);
		break;
	case GR_MSG_CLUSTER:
		read_cluster(body);
		break;
	case GR_MSG_REJECT:
		print_json("REJECT", body);
		is_over = true;
		break;
	case GR_MSG_BYE:
		print_json("BYE", body);
		is_over = true;
		break;
	case GR_MSG_RESULT:
		handle_result(body);
		is_over = true;
		break;
	case GR_MSG_CTL_REP:
		print_json("CTL", body);
		is_over = true;
		break;
	case GR_MSG_SESSION_CLOSE:
		puts("SESSION_CLOSE");
		is_over = ends_at_close;
		break;
	case GR_MSG_PONG:
		if (is_barred) {
			puts("SILENCE");
			is_over = true;
		}
		break;
	case GR_MSG_FETCH:
		if (on_fetch)
			on_fetch(body);
		break;
	case GR_MSG_PING: {
		struct gr_buf b = { 0 };
		struct gr_ping ping;

		if (gr_ping_decode(body, &ping) == 0) {
			gr_ping_encode(&b, GR_MSG_PONG, &ping);
			send_buf(&b);
		}
		break;
	}
	default:
		break;
	}
	fflush(stdout);
	zmq_msg_close(&msg);
	return type;
}

static int answers(void (*on_fetch)(struct gr_slice body))
{
	int last = 1;

	heard_ms = now_ms();
	while (!is_over)
		last = turn(on_fetch);
	return last ? 0 : 1;
}

/* As answers, but what did not come before the answer to a heartbeat behind all that was sent does not come. */
static int answers_at_once(void)
{
	struct gr_ping ping = { .seq = 1 };
	struct gr_buf b = { 0 };

	gr_ping_encode(&b, GR_MSG_PING, &ping);
	send_buf(&b);
	is_barred = true;
	return answers(NULL);
}

static void hello(const char *role, int version)
{
	json_t *j = gr_hello_json(GR_ROLE_CLIENT, "hostile");
	struct gr_buf b = { 0 };

	json_object_set_new(j, "role", json_string(role));
	if (version != GR_WIRE_VERSION) {
		json_object_set_new(j, "wire_min", json_integer(version));
		json_object_set_new(j, "wire_max", json_integer(version));
	}
	if (!strcmp(role, "worker"))
		json_object_set_new(j, "slots", json_integer(1));
	gr_json_encode(&b, GR_MSG_HELLO, j);
	json_decref(j);
	if (version > 255)
		b.p[2] = 9;
	send_buf(&b);
}

static void greet(const char *role)
{
	hello(role, GR_WIRE_VERSION);
	heard_ms = now_ms();
	while (!is_over && turn(NULL) != GR_MSG_WELCOME)
		;
}

/* ---- a session with one task ---- */

struct lie {
	const char *output;            /* of the task */
	const char *link, *target;     /* NULL: no symlink in the log */
	const char *content;           /* digest of the source is this one's */
	uint32_t size;
};

static void open_session(void)
{
	struct gr_buf b = { 0 };
	char hex[17];
	json_t *j;

	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)SESSION);
	j = json_pack("{s:s}", "session", hex);
	gr_json_encode(&b, GR_MSG_SESSION_OPEN, j);
	json_decref(j);
	send_buf(&b);
}

static uint32_t add_str(struct gr_buf *log, uint32_t *n, const char *s)
{
	struct gr_record r = { .tag = GR_RECORD_STR, .str = gr_slice_str(s) };

	gr_record_encode(log, &r);
	return (*n)++;
}

static void send_log_and_task(const struct lie *lie, int times)
{
	struct gr_buf log = { 0 }, b = { 0 }, argv = { 0 }, none = { 0 }, inputs = { 0 };
	uint32_t n = 0, words[5], cwd, src, out, files[4], n_files = 0;
	struct gr_record r = { .tag = GR_RECORD_FILE, .kind = GR_FILE_REG, .size = lie->size };
	struct gr_log_msg lm = { .session = SESSION };
	struct gr_task_msg *m;

	words[0] = add_str(&log, &n, "gcc");
	words[1] = add_str(&log, &n, "-c");
	words[3] = add_str(&log, &n, "-o");
	cwd = add_str(&log, &n, "/hostile");
	src = words[2] = add_str(&log, &n, "/hostile/a.c");
	out = words[4] = add_str(&log, &n, lie->output);
	r.path = src;
	gr_sha256_of(lie->content, strlen(lie->content), &r.digest);
	gr_record_encode(&log, &r);
	files[n_files++] = n++;
	if (lie->link) {
		r = (struct gr_record){ .tag = GR_RECORD_FILE, .kind = GR_FILE_LINK, .str = gr_slice_str(lie->target) };
		r.path = add_str(&log, &n, lie->link);
		gr_record_encode(&log, &r);
		files[n_files++] = n++;
	}
	lm.n = n;
	lm.bytes = gr_buf_slice(&log);
	for (int i = 0; i < times; i++) {
		gr_log_encode(&b, &lm);
		send_buf(&b);
	}
	GR_NEW(m);
	m->session = SESSION;
	m->task = 1;
	m->n_records = n;
	m->toolchain = toolchain;
	m->cwd = cwd;
	gr_ids_encode(&argv, words, 5, false);
	gr_ids_encode(&inputs, files, n_files, true);
	m->argv = (struct gr_ids){ gr_buf_slice(&argv), 5, false };
	m->env = (struct gr_ids){ gr_buf_slice(&none), 0, false };
	m->inputs = (struct gr_ids){ gr_buf_slice(&inputs), n_files, true };
	m->n_outputs = 1;
	m->outputs[0].path = out;
	m->outputs[0].flags = GR_OUTPUT_REQUIRED;
	for (int i = 0; i < times; i++) {
		gr_task_encode(&b, m);
		send_buf(&b);
	}
	free(m);
	gr_buf_fini(&log);
	gr_buf_fini(&argv);
	gr_buf_fini(&inputs);
}

static const char source[] = "int hostile;\n";

static void send_source(struct gr_slice body)
{
	struct gr_blob_msg m = { .session = SESSION, .total = strlen(source), .raw_n = (uint32_t)strlen(source),
				 .data = gr_slice_str(source) };
	struct gr_buf b = { 0 };

	(void)body;
	gr_sha256_of(source, strlen(source), &m.digest);
	gr_blob_encode(&b, &m);
	send_buf(&b);
}

/* A blob of BOMB_BYTES as the log says, in zlib that unpacks to a mebibyte. */
#define BOMB_BYTES 8000u
static void send_bomb(struct gr_slice body)
{
	struct gr_blob_msg m = { .session = SESSION, .total = BOMB_BYTES, .raw_n = BOMB_BYTES, .enc = GR_ENC_ZLIB };
	struct gr_buf zeros = { 0 }, packed = { 0 }, b = { 0 };

	(void)body;
	gr_buf_reserve(&zeros, 1 << 20);
	memset(zeros.p, 0, 1 << 20);
	zeros.n = 1 << 20;
	gr_pack(gr_buf_slice(&zeros), &packed);
	gr_sha256_of(source, strlen(source), &m.digest);
	m.data = gr_buf_slice(&packed);
	gr_blob_encode(&b, &m);
	send_buf(&b);
	gr_buf_fini(&zeros);
	gr_buf_fini(&packed);
}

static void send_other_content(struct gr_slice body)
{
	struct gr_blob_msg m = { .session = SESSION, .total = strlen(source), .raw_n = (uint32_t)strlen(source),
				 .data = gr_slice_str("int eliltso;\n") };
	struct gr_buf b = { 0 };

	(void)body;
	gr_sha256_of(source, strlen(source), &m.digest);
	gr_blob_encode(&b, &m);
	send_buf(&b);
}

/* ---- modes ---- */

static int garbage(void)
{
	uint8_t noise[300];

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 167 + 13);
	send_raw(noise, sizeof(noise));
	return answers(NULL);
}

static int garbage_after_hello(void)
{
	greet("client");
	return garbage();
}

static int empty(void)
{
	greet("client");
	send_raw("", 0);
	return answers(NULL);
}

/* No ZeroMQ at all: an HTTP request, then noise. Says "CLOSED" when the other end hangs up. */
static int tcp(void)
{
	static const char words[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n\377\377\377\377";
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct timeval limit = { 5, 0 };
	const char *colon = strrchr(endpoint, ':');
	char buf[256];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n;

	sa.sin_port = htons((uint16_t)atoi(colon + 1));
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || send(fd, words, sizeof(words), MSG_NOSIGNAL) < 0)
		return 2;
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		;
	puts(n == 0 ? "CLOSED" : "OPEN");
	close(fd);
	return 0;
}

static int truncated(void)
{
	struct gr_buf b = { 0 };
	size_t at;

	greet("client");
	at = gr_frame_begin(&b, GR_MSG_TASK);
	gr_buf_add(&b, "12345678", 8);
	gr_frame_end(&b, at);
	send_buf(&b);
	return answers(NULL);
}

static int short_frame(void)
{
	struct gr_buf b = { 0 };
	size_t at;

	greet("client");
	at = gr_frame_begin(&b, GR_MSG_TASK);
	gr_buf_add(&b, "12345678", 8);
	gr_frame_end(&b, at);
	send_raw(b.p, b.n - 4);
	gr_buf_fini(&b);
	return answers(NULL);
}

/* An offset of a running command's output that only a signed number can have. */
static int far_offset(void)
{
	struct gr_buf b = { 0 };
	json_t *j = json_pack("{s:i, s:s, s:i, s:i, s:b, s:i, s:i}", "id", 1, "op", "logs.read", "job", 1, "task", 0, "follow", 1, "out", -1, "err", 0);

	greet("client");
	gr_json_encode(&b, GR_MSG_CTL_REQ, j);
	json_decref(j);
	send_buf(&b);
	return answers(NULL);
}

/* A worker that tells what another's command is supposed to print. */
static int foreign_output(void)
{
	greet("worker");
	for (uint32_t attempt = 1; attempt < 5; attempt++) {
		const struct gr_out_msg m = { 1, 0, attempt, GR_STREAM_OUT, 0, 0, gr_slice_str("forged\n") };
		struct gr_buf b = { 0 };

		gr_out_encode(&b, &m);
		send_buf(&b);
	}
	return answers_at_once();
}

/* A heartbeat of a megabyte: whole and well-formed as a frame, far over what its type may have. */
static int oversized(void)
{
	struct gr_buf b = { 0 };
	size_t at;

	greet("client");
	at = gr_frame_begin(&b, GR_MSG_PING);
	gr_buf_reserve(&b, 1 << 20);
	memset(b.p + b.n, 0, 1 << 20);
	b.n += 1 << 20;
	gr_frame_end(&b, at);
	send_buf(&b);
	return answers(NULL);
}

static int two_parts(void)
{
	greet("client");
	zmq_send(sock, "gr", 2, ZMQ_SNDMORE);
	zmq_send(sock, "gr", 2, 0);
	return answers(NULL);
}

static int wrong_version(void)
{
	hello("client", 99);
	return answers(NULL);
}

static int wrong_header_version(void)
{
	hello("client", 999);
	return answers(NULL);
}

static int wrong_role(void)
{
	struct gr_buf b = { 0 };

	greet("client");
	gr_drain_encode(&b, 1000);
	send_buf(&b);
	return answers(NULL);
}

static int worker_as_client(void)
{
	greet("worker");
	open_session();
	return answers(NULL);
}

static int unknown_role(void)
{
	hello("emperor", GR_WIRE_VERSION);
	return answers(NULL);
}

static int hello_twice(void)
{
	greet("client");
	hello("client", GR_WIRE_VERSION);
	return answers(NULL);
}

static int no_hello(void)
{
	open_session();
	return answers(NULL);
}

static int plain(void)
{
	greet("client");
	return is_over ? 0 : 1;
}

static int task(const struct lie *lie, int times, void (*on_fetch)(struct gr_slice body))
{
	greet("client");
	open_session();
	send_log_and_task(lie, times);
	return answers(on_fetch);
}

#define GOOD .content = source, .size = sizeof(source) - 1
static int honest(void) { return task(&(struct lie){ .output = "/hostile/a.o", GOOD }, 1, send_source); }
static int climb(void) { return task(&(struct lie){ .output = "/hostile/../../etc/passwd", GOOD }, 1, send_source); }
static int relative(void) { return task(&(struct lie){ .output = "a.o", GOOD }, 1, send_source); }
static int absolute(void) { return task(&(struct lie){ .output = "/etc/hostile.o", GOOD }, 1, send_source); }
static int bomb(void)
{
	return task(&(struct lie){ .output = "/hostile/a.o", .content = source, .size = BOMB_BYTES }, 1, send_bomb);
}
static int liar(void) { return task(&(struct lie){ .output = "/hostile/a.o", GOOD }, 1, send_other_content); }
static int through_link(void)
{
	return task(&(struct lie){ .output = "/hostile/d/hostile.o", .link = "/hostile/d", .target = "/etc", GOOD }, 1, send_source);
}
static int onto_link(void)
{
	return task(&(struct lie){ .output = "/hostile/a.o", .link = "/hostile/a.o", .target = "/etc/hostile.o", GOOD }, 1, send_source);
}

/* Every frame three times: one task, one result, and no more. */
static int replay(void)
{
	int rc = task(&(struct lie){ .output = "/hostile/a.o", GOOD }, 3, send_source);

	is_over = false;
	answers(send_source);
	return rc;
}

static int contradict(void)
{
	greet("client");
	open_session();
	send_log_and_task(&(struct lie){ .output = "/hostile/a.o", GOOD }, 1);
	send_log_and_task(&(struct lie){ .output = "/hostile/b.o", GOOD }, 1);
	ends_at_close = true;
	return answers(send_source);
}

static int forged_result(void)
{
	struct gr_result_msg *m;
	struct gr_buf b = { 0 };

	greet("worker");
	GR_NEW(m);
	m->session = SESSION;
	m->task = 1;
	m->attempt = 1;
	m->outcome = GR_OUTCOME_DONE;
	gr_result_encode(&b, m);
	free(m);
	send_buf(&b);
	return answers_at_once();
}

static const struct {
	const char *mode;
	int (*fn)(void);
} modes[] = {
	{ "garbage", garbage }, { "garbage-after-hello", garbage_after_hello }, { "empty", empty }, { "tcp", tcp },
	{ "truncated", truncated }, { "short-frame", short_frame }, { "oversized", oversized }, { "two-parts", two_parts },
	{ "far-offset", far_offset }, { "foreign-output", foreign_output },
	{ "version", wrong_version }, { "header-version", wrong_header_version }, { "role", wrong_role },
	{ "worker-as-client", worker_as_client }, { "unknown-role", unknown_role }, { "hello-twice", hello_twice },
	{ "no-hello", no_hello }, { "plain", plain }, { "honest", honest }, { "climb", climb }, { "relative", relative },
	{ "absolute", absolute }, { "bomb", bomb }, { "liar", liar }, { "through-link", through_link }, { "onto-link", onto_link },
	{ "replay", replay }, { "contradict", contradict }, { "forged-result", forged_result },
};

int main(int argc, char **argv)
{
	int rc = 2;

	if (argc != 3 && argc != 6) {
		fprintf(stderr, "usage: hostile ENDPOINT MODE [SERVER_KEY PUBLIC SECRET]\n");
		return 2;
	}
	endpoint = argv[1];
	heard_ms = now_ms();
	connect_now(argc == 6 ? argv + 3 : NULL);
	for (size_t i = 0; i < GR_LEN(modes); i++)
		if (!strcmp(modes[i].mode, argv[2]))
			rc = modes[i].fn();
	zmq_close(sock);
	zmq_ctx_term(zctx);
	return rc;
}
