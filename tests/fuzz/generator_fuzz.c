/* generator_fuzz.c - the whole load generator against a hostile server: HTTP/1.1, HTTP/2, WebSocket, raw TCP, and TLS below them
 *
 * Sockets, epoll and the clock are the ones below (linked with --wrap), so that nothing depends on the machine. The first
 * byte chooses a plan; the rest are turns of the loop: an operation, which connection, and what the operation wants. Each
 * request that was begun has to be answered or failed once, and no connection may be left.
 *
 * Under TLS the server is a real one, so what is said is said inside; tls_hostile cuts, changes and repeats records, says
 * alerts and goes on after them. Its randomness comes from a counter: the same input gives the same bytes. */
#define OPENSSL_SUPPRESS_DEPRECATED              /* RAND_set_rand_method */
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
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
	SSL *ssl;                                /* the server's side; said things wait in its BIO while is_held */
	bool is_held;
};
static struct {
	struct wire wires[MAX_CONNS];
	struct gr_slice in;
	uint64_t now_ns;
	size_t send_most;
	bool is_started, wants_stop, refuses, is_tls12;
	uint64_t started, done, failed, by_kind, n_random;
	SSL_CTX *server;
} w;

static uint8_t take(void)
{
	uint8_t b = w.in.n ? *w.in.p : 0;

	w.in.p += w.in.n > 0;
	w.in.n -= w.in.n > 0;
	return b;
}

static size_t take_bytes(const uint8_t **p, size_t n)
{
	n = n < w.in.n ? n : w.in.n;
	*p = w.in.p;
	w.in.p += n;
	w.in.n -= n;
	return n;
}

static struct wire *wire_of(int fd) { return fd >= FD_BASE && fd < FD_BASE + MAX_CONNS ? &w.wires[fd - FD_BASE] : NULL; }

int __wrap_socket(int family, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *a, socklen_t n);
int __wrap_setsockopt(int fd, int level, int name, const void *v, socklen_t n);
int __wrap_getsockopt(int fd, int level, int name, void *v, socklen_t *n);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags);
int __wrap_close(int fd);
int __wrap_SSL_set_fd(SSL *ssl, int fd);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_pwait2(int ep, struct epoll_event *ev, int max, const struct timespec *ts, const sigset_t *set);
uint64_t __wrap_gr_clock_mono_ns(void);
ssize_t __real_read(int fd, void *p, size_t n);
int __real_close(int fd);

/* ---- the server's TLS ---- */

static void find_key(struct wire *c, const void *p, size_t n)
{
	const char *key = memmem(p, n, "Sec-WebSocket-Key: ", 19);

	if (key && (const char *)p + n - key >= 19 + 24)
		memcpy(c->key, key + 19, 24);
}

static void tls_release(struct wire *c, size_t most)
{
	uint8_t piece[4096];
	int n = 1;

	while (most && n > 0) {
		n = BIO_read(SSL_get_wbio(c->ssl), piece, (int)(most < sizeof(piece) ? most : sizeof(piece)));
		if (n > 0) {
			gr_buf_add(&c->rx, piece, (size_t)n);
			most -= (size_t)n;
			c->is_told_again = true;
		}
	}
	ERR_clear_error();
}

/* The server reads all that came, shakes hands and answers on its own. */
static void tls_go_on(struct wire *c)
{
	uint8_t in[4096];
	int n;

	while ((n = SSL_read(c->ssl, in, sizeof(in))) > 0)
		find_key(c, in, (size_t)n);
	ERR_clear_error();
	if (!c->is_held)
		tls_release(c, SIZE_MAX);
}

static void tls_heard(struct wire *c, const void *p, size_t n)
{
	BIO_write(SSL_get_rbio(c->ssl), p, (int)n);
	tls_go_on(c);
}

/* What the server says: inside TLS once the hands are shaken, below it until then. */
static void say(struct wire *c, const void *p, size_t n)
{
	if (!n)
		return;
	if (!c->ssl || SSL_in_init(c->ssl)) {
		gr_buf_add(&c->rx, p, n);
		return;
	}
	SSL_write(c->ssl, p, (int)n);
	ERR_clear_error();
	if (!c->is_held)
		tls_release(c, SIZE_MAX);
}

/* What no honest peer does with its records. */
static void tls_hostile(struct wire *c)
{
	uint8_t what = take();
	const uint8_t *p;
	size_t n, left = c->rx.n - c->at;

	switch (what & 15) {
	case 0:
		SSL_shutdown(c->ssl);
		break;
	case 1:                                  /* its data goes on behind its close_notify */
		SSL_shutdown(c->ssl);
		SSL_set_shutdown(c->ssl, 0);
		break;
	case 2:                                  /* an alert nobody protected */
		gr_buf_add(&c->rx, "\x15\x03\x03\x00\x02", 5);
		gr_buf_add_byte(&c->rx, (what >> 4) & 1 ? 1 : 2);
		gr_buf_add_byte(&c->rx, take());
		break;
	case 3:                                  /* it takes offence: a protected fatal alert */
		BIO_write(SSL_get_rbio(c->ssl), "\x17\x03\x03\x00\x20 none of this is what it should be", 37);
		tls_go_on(c);
		break;
	case 4:                                  /* cut */
		n = take();
		c->rx.n -= n < left ? n : left;
		break;
	case 5:
		n = take();
		if (left)
			c->rx.p[c->at + n % left] ^= (uint8_t)(1u << (what >> 5));
		break;
	case 6:                                  /* below TLS */
		n = take_bytes(&p, take());
		if (n)
			gr_buf_add(&c->rx, p, n);
		break;
	case 7:                                  /* a record's head, more promised than there is */
		gr_buf_add_byte(&c->rx, (uint8_t)(20 + (what >> 4) % 6));
		gr_buf_add(&c->rx, "\x03\x03", 2);
		gr_buf_add_byte(&c->rx, take());
		gr_buf_add_byte(&c->rx, take());
		break;
	case 8:
		SSL_key_update(c->ssl, (what >> 4) & 1 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
		SSL_do_handshake(c->ssl);
		break;
	case 9:
		SSL_renegotiate(c->ssl);
		SSL_do_handshake(c->ssl);
		break;
	case 10:
		SSL_new_session_ticket(c->ssl);
		SSL_do_handshake(c->ssl);
		break;
	case 11:
		c->is_held = true;
		return;
	case 12:                                 /* so many bytes of what was held */
		tls_release(c, take());
		return;
	case 13:
		c->is_held = false;
		break;
	case 14:                                 /* said again: a record twice */
		if (left) {
			struct gr_buf twice = { 0 };

			gr_buf_add(&twice, c->rx.p + c->at, left);
			gr_buf_add(&c->rx, twice.p, twice.n);
			gr_buf_fini(&twice);
		}
		break;
	case 15:
		w.is_tls12 = !w.is_tls12;
		return;
	}
	ERR_clear_error();
	if (!c->is_held)
		tls_release(c, SIZE_MAX);
}

static int counted_bytes(unsigned char *p, int n)
{
	for (int i = 0; i < n; i++) {            /* splitmix64, a byte a number */
		uint64_t z = (w.n_random++ + 1) * 0x9e3779b97f4a7c15ull;

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
		p[i] = (unsigned char)(z >> 32);
	}
	return 1;
}
static int counted_status(void) { return 1; }

/* h2 when it is offered, else http/1.1 */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *n_out, const unsigned char *in, unsigned n_in, void *arg)
{
	return SSL_select_next_proto((unsigned char **)out, n_out, (const unsigned char *)"\x02h2\x08http/1.1", 12, in, n_in) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void tls_server_init(void)
{
	static const RAND_METHOD counted = { .bytes = counted_bytes, .pseudorand = counted_bytes, .status = counted_status };
	static EVP_PKEY *key;
	static X509 *cert;

	if (!key) {
		RAND_set_rand_method(&counted);
		key = EVP_EC_gen("P-256");
		cert = X509_new();
		must(key && cert);
		ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
		X509_gmtime_adj(X509_getm_notBefore(cert), 0);
		X509_gmtime_adj(X509_getm_notAfter(cert), 86400 * 30);
		X509_set_pubkey(cert, key);
		X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"h", -1, -1, 0);
		X509_set_issuer_name(cert, X509_get_subject_name(cert));
		must(X509_sign(cert, key, EVP_sha256()) > 0);
	}
	w.n_random = 0;
	w.server = SSL_CTX_new(TLS_server_method());
	must(w.server && SSL_CTX_use_certificate(w.server, cert) == 1 && SSL_CTX_use_PrivateKey(w.server, key) == 1);
	SSL_CTX_set_alpn_select_cb(w.server, choose_alpn, NULL);
	SSL_CTX_set_options(w.server, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
}

/* The generator's side reads and writes its wire, as OpenSSL's socket BIO would. */
static int bio_read(BIO *b, char *p, int n)
{
	ssize_t got = __wrap_read((int)(intptr_t)BIO_get_data(b), p, (size_t)n);

	BIO_clear_retry_flags(b);
	BIO_clear_flags(b, BIO_FLAGS_IN_EOF);
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	if (!got)
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
	return (int)got;
}

static int bio_write(BIO *b, const char *p, int n)
{
	ssize_t put = __wrap_send((int)(intptr_t)BIO_get_data(b), p, (size_t)n, 0);

	BIO_clear_retry_flags(b);
	if (put < 0 && errno == EAGAIN)
		BIO_set_retry_write(b);
	return (int)put;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	switch (cmd) {
	case BIO_CTRL_EOF:
		return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
	case BIO_CTRL_FLUSH:
	case BIO_CTRL_DUP:
		return 1;
	}
	return 0;
}

int __wrap_SSL_set_fd(SSL *ssl, int fd)
{
	static BIO_METHOD *method;
	struct wire *c = wire_of(fd);
	BIO *b;

	if (!method) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
		must(method && BIO_meth_set_read(method, bio_read) && BIO_meth_set_write(method, bio_write) && BIO_meth_set_ctrl(method, bio_ctrl));
	}
	must(c && c->is_open && !c->ssl);
	b = BIO_new(method);
	must(b != NULL);
	BIO_set_data(b, (void *)(intptr_t)fd);
	BIO_set_init(b, 1);
	SSL_set_bio(ssl, b, b);
	c->ssl = SSL_new(w.server);
	must(c->ssl != NULL);
	SSL_set_bio(c->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(c->ssl);
	if (w.is_tls12)
		SSL_set_max_proto_version(c->ssl, TLS1_2_VERSION);
	return 1;
}

/* ---- sockets ---- */

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

	must(c && c->is_open && n);
	errno = c->is_reset ? EPIPE : EAGAIN;
	if (c->is_reset || !w.send_most)
		return -1;
	n = n < w.send_most ? n : w.send_most;
	if (c->ssl)
		tls_heard(c, p, n);
	else
		find_key(c, p, n);
	return (ssize_t)n;
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
	SSL_free(c->ssl);
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
	struct gr_buf b = { 0 };
	char in[80];
	unsigned n;

	switch (p->origins[0].scheme) {
	case GR_LOAD_WS:
	case GR_LOAD_WSS:
		if (which & 1) {
			gr_buf_add(&b, "\x81\x02ok", 4);
			break;
		}
		snprintf(in, sizeof(in), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", c->key);
		EVP_Digest(in, strlen(in), sum, &n, EVP_sha1(), NULL);
		EVP_EncodeBlock(text, sum, (int)n);
		gr_buf_printf(&b, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n", (char *)text);
		break;
	case GR_LOAD_TCP:
		gr_buf_add(&b, "12345678\r\n", 10);
		break;
	default:
		if (!p->is_http2) {
			gr_buf_add(&b, h1, sizeof(h1) - 1);
			break;
		}
		if (which & 1) {                         /* :status 200 from the static table, then a short body */
			uint32_t stream = (which >> 1) * 2 + 1u;

			frame(&b, 1, 1, 4, stream);
			gr_buf_add_byte(&b, 0x88);
			frame(&b, 3, 0, 1, stream);
			gr_buf_add(&b, "ok\n", 3);
			break;
		}
		frame(&b, 0, 4, 0, 0);
		break;
	}
	say(c, b.p, b.n);
	gr_buf_fini(&b);
}

enum { SAY, SAY_MORE, CONNECT, END, RESET, TIME, SAY_WELL, SEND };

static const struct gr_load_plan *plan_now;

/* One turn: what the loop is told. */
int __wrap_epoll_pwait2(int ep, struct epoll_event *ev, int max, const struct timespec *ts, const sigset_t *set)
{
	uint8_t op, which;
	const uint8_t *said;
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
		if (c->ssl) {
			tls_hostile(c);
			break;
		}
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
		n = take_bytes(&said, n);
		say(c, said, n);
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
	"{" STAGE "\"connections\":6,\"cookies\":true,\"requests\":[{\"url\":\"https://h/\",\"capture\":[{\"as\":\"v\",\"json\":\"/a\"}]},{\"url\":\"https://h/{{v}}\"}]}",
	"{" CLOSED "\"connections\":3,\"keepalive\":false,\"body_limit\":1024,\"requests\":[{\"url\":\"https://h/\"}]}",
	"{" STAGE "\"http\":\"2\",\"streams\":5,\"connections\":2,\"requests\":[{\"url\":\"https://h/\"},{\"url\":\"https://h/b\",\"body\":\"static\"}]}",
	"{" CLOSED "\"warm\":true,\"connections\":2,\"requests\":[{\"url\":\"wss://h/\",\"body\":\"m\"}]}",
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
	if (plan_now->origins[0].is_tls)
		tls_server_init();
	must(gr_gen_init(&g) == 0);
	gr_gen_warm(&g);
	gr_gen_run(&g);
	must(!g.n_in_flight && !g.n_visits);
	gr_gen_fini(&g);
	for (int k = 0; k < MAX_CONNS; k++)
		must(!w.wires[k].is_open);
	SSL_CTX_free(w.server);
	must(w.started == w.done + w.failed && w.failed == w.by_kind);
	return 0;
}
