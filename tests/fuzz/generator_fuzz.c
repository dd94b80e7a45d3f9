/* generator_fuzz.c - the whole load generator against a hostile server, HTTP/1.1, HTTP/2, WebSocket and raw TCP
 *
 * Sockets, epoll and the clock are the ones below (linked with --wrap), so that nothing depends on the machine. The first
 * byte chooses a plan; the rest are turns of the loop: an operation, which connection, and what the operation wants. Each
 * request that was begun has to be answered or failed once, and no connection may be left. */
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/wire/msg.h"
#include "worker/load/gen.h"
#include "worker/load/procs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define FD_BASE 1000000
#define FD_EPOLL 999999
#define MAX_CONNS 64
#define MS 1000000ull

static void must(bool claim)
{
	if (!claim)
		abort();
}

/* ---- the world ---- */

struct wire {
	bool is_open, is_connected, is_refused, is_end, is_reset, is_told_again;
	void *ptr;                               /* epoll's */
	struct gr_buf rx;
	size_t at;
	char key[25];                            /* of a WebSocket upgrade */
};
static struct {
	struct wire wires[MAX_CONNS];
	struct gr_slice in;
	uint64_t now_ns;
	size_t send_most;
	bool is_started, wants_stop, refuses;
	uint64_t started, done, failed, by_kind;
} w;

static uint8_t take(void)
{
	uint8_t b = w.in.n ? *w.in.p : 0;

	w.in.p += w.in.n > 0;
	w.in.n -= w.in.n > 0;
	return b;
}

static struct wire *wire_of(int fd) { return fd >= FD_BASE && fd < FD_BASE + MAX_CONNS ? &w.wires[fd - FD_BASE] : NULL; }

int __wrap_socket(int family, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *a, socklen_t n);
int __wrap_setsockopt(int fd, int level, int name, const void *v, socklen_t n);
int __wrap_getsockopt(int fd, int level, int name, void *v, socklen_t *n);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags);
int __wrap_close(int fd);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_pwait2(int ep, struct epoll_event *ev, int max, const struct timespec *ts, const sigset_t *set);
uint64_t __wrap_gr_clock_mono_ns(void);
ssize_t __real_read(int fd, void *p, size_t n);
int __real_close(int fd);

int __wrap_socket(int family, int type, int protocol)
{
	for (int i = 0; i < MAX_CONNS; i++)
		if (!w.wires[i].is_open) {
			w.wires[i] = (struct wire){ .is_open = true };
			return FD_BASE + i;
		}
	errno = EMFILE;
	return -1;
}

int __wrap_connect(int fd, const struct sockaddr *a, socklen_t n)
{
	errno = w.refuses ? ECONNREFUSED : EINPROGRESS;
	return -1;
}

int __wrap_setsockopt(int fd, int level, int name, const void *v, socklen_t n) { return 0; }

int __wrap_getsockopt(int fd, int level, int name, void *v, socklen_t *n)
{
	*(int *)v = wire_of(fd)->is_refused ? ECONNREFUSED : 0;
	return 0;
}

ssize_t __wrap_read(int fd, void *p, size_t n)
{
	struct wire *c = wire_of(fd);

	if (!c)
		return __real_read(fd, p, n);
	must(c->is_open);
	if (c->at < c->rx.n) {
		n = n < c->rx.n - c->at ? n : c->rx.n - c->at;
		memcpy(p, c->rx.p + c->at, n);
		c->at += n;
		return (ssize_t)n;
	}
	errno = c->is_reset ? ECONNRESET : EAGAIN;
	return c->is_end && !c->is_reset ? 0 : -1;
}

ssize_t __wrap_send(int fd, const void *p, size_t n, int flags)
{
	struct wire *c = wire_of(fd);
	const char *key = memmem(p, n, "Sec-WebSocket-Key: ", 19);

	must(c && c->is_open && n);
	if (key && (const char *)p + n - key >= 19 + 24)
		memcpy(c->key, key + 19, 24);
	errno = c->is_reset ? EPIPE : EAGAIN;
	if (c->is_reset || !w.send_most)
		return -1;
	return (ssize_t)(n < w.send_most ? n : w.send_most);
}

int __wrap_close(int fd)
{
	struct wire *c = wire_of(fd);

	if (fd == FD_EPOLL)
		return 0;
	if (!c)
		return __real_close(fd);
	must(c->is_open);
	gr_buf_fini(&c->rx);
	*c = (struct wire){ 0 };
	return 0;
}

int __wrap_epoll_create1(int flags) { return FD_EPOLL; }

int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	struct wire *c = wire_of(fd);

	if (c) {
		c->ptr = ev->data.ptr;
		c->is_told_again = op == EPOLL_CTL_MOD;
	}
	return 0;
}

uint64_t __wrap_gr_clock_mono_ns(void) { return w.now_ns; }

/* ---- what a server says ---- */

static void frame(struct gr_buf *b, uint32_t len, uint8_t type, uint8_t flags, uint32_t stream)
{
	uint8_t h[9] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
			 (uint8_t)(stream >> 8), (uint8_t)stream };

	gr_buf_add(b, h, 9);
}

/* Something an honest server would say at this point: the fuzzer need not find it. */
static void say_well(const struct gr_load_plan *p, struct wire *c, uint8_t which)
{
	static const char h1[] = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nSet-Cookie: a=1; Path=/\r\nX-Token: t\r\n\r\n{\"a\":\"b\"}   ";
	unsigned char sum[EVP_MAX_MD_SIZE], text[64];
	char in[80];
	unsigned n;

	switch (p->origins[0].scheme) {
	case GR_LOAD_WS:
		if (which & 1) {
			gr_buf_add(&c->rx, "\x81\x02ok", 4);
			break;
		}
		snprintf(in, sizeof(in), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", c->key);
		EVP_Digest(in, strlen(in), sum, &n, EVP_sha1(), NULL);
		EVP_EncodeBlock(text, sum, (int)n);
		gr_buf_printf(&c->rx, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n", (char *)text);
		break;
	case GR_LOAD_TCP:
		gr_buf_add(&c->rx, "12345678\r\n", 10);
		break;
	default:
		if (!p->is_http2) {
			gr_buf_add(&c->rx, h1, sizeof(h1) - 1);
			break;
		}
		if (which & 1) {                         /* :status 200 from the static table, then a short body */
			uint32_t stream = (which >> 1) * 2 + 1u;

			frame(&c->rx, 1, 1, 4, stream);
			gr_buf_add_byte(&c->rx, 0x88);
			frame(&c->rx, 3, 0, 1, stream);
			gr_buf_add(&c->rx, "ok\n", 3);
			break;
		}
		frame(&c->rx, 0, 4, 0, 0);
		break;
	}
}

enum { SAY, SAY_MORE, CONNECT, END, RESET, TIME, SAY_WELL, SEND };

static const struct gr_load_plan *plan_now;

/* One turn: what the loop is told. */
int __wrap_epoll_pwait2(int ep, struct epoll_event *ev, int max, const struct timespec *ts, const sigset_t *set)
{
	uint8_t op, which;
	struct wire *c = NULL;
	size_t n;

	w.now_ns += MS / 4;
	if (!w.is_started || !w.in.n) {
		w.wants_stop = w.is_started;
		w.is_started = true;
		*ev = (struct epoll_event){ .events = EPOLLIN };
		return 1;
	}
	for (int i = 0; i < MAX_CONNS; i++)
		if (w.wires[i].is_open && w.wires[i].is_told_again) {
			w.wires[i].is_told_again = false;
			*ev = (struct epoll_event){ .events = EPOLLIN | EPOLLOUT, .data.ptr = w.wires[i].ptr };
			return 1;
		}
	op = take();
	which = op >> 3;
	for (int i = 0, left = which; i < MAX_CONNS; i++)
		if (w.wires[i].is_open && (!c || left-- > 0))
			c = &w.wires[i];
	switch (op & 7) {
	case TIME:
		w.now_ns += (uint64_t)take() * take() * MS / 16;
		return 0;
	case SEND:
		n = take();
		w.refuses = n == 1;
		w.send_most = n == 255 ? SIZE_MAX : n;
		break;
	}
	if (!c)
		return 0;
	*ev = (struct epoll_event){ .events = EPOLLIN, .data.ptr = c->ptr };
	switch (op & 7) {
	case CONNECT:
		c->is_refused = take() == 7;
		c->is_connected = true;
		break;
	case SEND:
		break;
	case END:
		c->is_end = true;
		ev->events |= EPOLLRDHUP;
		break;
	case RESET:
		c->is_reset = true;
		ev->events |= EPOLLRDHUP | EPOLLHUP | EPOLLERR;
		break;
	case SAY_WELL:
		say_well(plan_now, c, take());
		break;
	default:
		n = take();
		if ((op & 7) == SAY_MORE)
			n = n << 8 | take();
		n = n < w.in.n ? n : w.in.n;
		if (n)
			gr_buf_add(&c->rx, w.in.p, n);
		w.in.p += n;
		w.in.n -= n;
	}
	/* nothing is said before there is a connection; what was put there waits */
	c->is_connected |= (op & 7) != RESET;
	ev->events |= c->is_connected ? EPOLLOUT : 0;
	return 1;
}

/* ---- in place of shard.c and names.c ---- */

bool gr_shard__commands(struct gr_gen *g)
{
	if (!g->start_ns)
		g->start_ns = w.now_ns;
	g->is_stopping |= w.wants_stop;
	return true;
}

void gr_shard__report(struct gr_gen *g, struct gr_buf *f)
{
	struct gr_load_stats m;
	struct gr_slice body;
	struct gr_rd r;
	uint64_t v;
	uint32_t key;

	must(gr_frame_open(gr_buf_slice(f), &body) == GR_MSG_LOAD_STATS && gr_load_stats_decode(body, &m) == 0);
	r = gr_load_stats_read(&m);
	for (uint32_t i = 0; i < m.n_numbers && gr_load_stats_next_number(&r, &key, &v); i++) {
		w.started += key == GR_LOAD_N_STARTED ? v : 0;
		w.done += key == GR_LOAD_N_DONE ? v : 0;
		w.failed += key == GR_LOAD_N_FAILED ? v : 0;
		w.by_kind += key >= GR_LOAD_KEY_FAIL(0, 0) && key < GR_LOAD_KEY_STATUS(0, 100) ? v : 0;
	}
	gr_buf_fini(f);
}

struct gr_names *gr_shard__names(const struct gr_gen *g) { return NULL; }
uint64_t gr_shard__run(const struct gr_gen *g, uint16_t *shard) { *shard = 0; return 1; }
uint32_t gr_procs_room(void) { return 64; }
uint32_t gr_names_version(struct gr_names *n) { return 1; }
void gr_names_get(struct gr_names *n, uint32_t i, struct gr_addrs *out)
{
	memset(out, 0, sizeof(*out));
	out->a[0].ss_family = AF_INET;
	out->len[0] = sizeof(struct sockaddr_in);
	out->n = 1;
}

/* ---- the plans ---- */

#define STAGE "\"stages\":[{\"rate\":\"200/s\",\"for\":\"1s\"}],\"timeout\":\"300ms\",\"interval\":\"100ms\","
#define CLOSED "\"model\":\"closed\",\"stages\":[{\"users\":4,\"for\":\"1s\"}],\"timeout\":\"300ms\",\"interval\":\"100ms\","
#define ASKING "[{\"url\":\"http://h/\",\"checks\":[{\"status\":200},{\"header\":\"x-token\",\"contains\":\"t\"},{\"json\":\"/a\",\"equals\":\"b\"}," \
	"{\"regex\":\"a|b\"},{\"body\":\"a\"},{\"max\":\"1s\"}],\"capture\":[{\"as\":\"v\",\"json\":\"/a\"},{\"as\":\"h\",\"header\":\"x-token\"}]}," \
	"{\"url\":\"http://h/{{v}}\",\"name\":\"n\",\"method\":\"POST\",\"body\":\"{{h}}\",\"headers\":{\"X\":\"{{v}}\"},\"capture\":[{\"as\":\"r\",\"regex\":\"(a+)b\"}]}," \
	"{\"url\":\"http://h/x\",\"method\":\"HEAD\",\"think\":[\"1ms\",\"5ms\"]}]"

static const char *const plans[] = {
	"{" STAGE "\"cookies\":true,\"requests\":" ASKING "}",
	"{" CLOSED "\"connections\":3,\"body_limit\":1024,\"requests\":[{\"url\":\"http://h/\"}]}",
	"{" STAGE "\"http\":\"2\",\"cookies\":true,\"streams\":5,\"connections\":2,\"requests\":" ASKING "}",
	"{" CLOSED "\"http\":\"2\",\"streams\":3,\"body_limit\":1024,\"connections\":2,\"requests\":[{\"url\":\"http://h/\"},{\"url\":\"http://h/b\",\"body\":\"static\"}]}",
	"{" STAGE "\"connections\":4,\"requests\":[{\"url\":\"ws://h/\",\"body\":\"m {{seq}}\",\"checks\":[{\"body\":\"o\"}]}]}",
	"{" CLOSED "\"body_limit\":1024,\"warm\":true,\"connections\":2,\"requests\":[{\"url\":\"ws://h/\",\"body\":\"m\",\"text\":false},{\"url\":\"ws://h/2\",\"body\":\"m\"}]}",
	"{" STAGE "\"connections\":4,\"requests\":[{\"url\":\"tcp://h:1/\",\"body\":\"m\",\"until\":\"\\r\\n\"}]}",
	"{" CLOSED "\"warm\":true,\"connections\":3,\"requests\":[{\"url\":\"tcp://h:1/\",\"body\":\"m\",\"receive\":8}]}",
};
#define N_PLANS GR_LEN(plans)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct gr_load_plan *parsed[N_PLANS];
	struct gr_err err;
	struct gr_gen g = { .n_parts = 1, .share = { 0, 0, 1 }, .wake_fd = 0 };
	uint32_t i;

	if (!n)
		return 0;
	i = data[0] % N_PLANS;
	if (!parsed[i])
		must(gr_load_plan_parse(plans[i], strlen(plans[i]), &parsed[i], &err) == 0);
	memset(&w, 0, sizeof(w));
	w.in = gr_slice(data + 1, n - 1);
	w.now_ns = 1000 * MS;
	w.send_most = SIZE_MAX;
	plan_now = g.plan = parsed[i];
	must(gr_gen_init(&g) == 0);
	gr_gen_warm(&g);
	gr_gen_run(&g);
	must(!g.n_in_flight && !g.n_visits);
	gr_gen_fini(&g);
	for (int k = 0; k < MAX_CONNS; k++)
		must(!w.wires[k].is_open);
	must(w.started == w.done + w.failed && w.failed == w.by_kind);
	return 0;
}
