/* sock.c - see sock.h
 *
 * ZMQ_FD becomes readable when something *may* have changed, once; only ZMQ_EVENTS says what is there, and any send or
 * receive may use the news up. So the descriptor only wakes the loop, and before the loop sleeps a prepare handle asks
 * ZMQ_EVENTS: when something is left, an idle handle keeps the loop from sleeping and calls on_ready in the next turn.
 * Not kept: a loop in the poll callback until nothing is left, which lets one fast peer starve timers and all others.
 *
 * Large frames are handed over without a copy. Their bytes count against the gate until libzmq frees them, on its own
 * thread, after writing them to the network; the gate is shared by the owner and the frames in flight.
 */
#include "lib/net/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zmq.h>

#include "lib/base/alloc.h"
#include "lib/wire/msg.h"

#define COPY_BYTES 2048u                  /* up to this a copy is cheaper than counting */
#define GATE_BYTES (32u << 20)            /* in flight to one peer; one larger frame may go when nothing else does */
#define SEND_HWM 4096                     /* frames: with COPY_BYTES this bounds the small ones */
#define RECEIVE_HWM 128
#define AGAIN_MS 10

struct gr_sock {
	void *zmq;
	void (*on_ready)(void *ctx);
	bool (*before_wait)(void *ctx);
	void *ctx;
	uv_poll_t poll;
	uv_prepare_t prepare;
	uv_idle_t idle;
	uv_timer_t again;
	int n_handles;
	bool want_out, is_closed;
};

/* ---- the gate ---- */

struct flight {
	struct gr_gate *gate;
	size_t n;
};

struct gr_gate *gr_gate_new(void)
{
	struct gr_gate *g;

	GR_NEW(g);
	atomic_init(&g->refs, 1);
	atomic_init(&g->bytes, 0);
	return g;
}

void gr_gate_unref(struct gr_gate **g)
{
	struct gr_gate *gate = *g;

	*g = NULL;
	if (gate && atomic_fetch_sub_explicit(&gate->refs, 1, memory_order_acq_rel) == 1)
		free(gate);
}

/* libzmq's thread. The read of bytes orders this free behind the owner's writes to the frame. */
static void flight_landed(void *data, void *hint)
{
	struct flight *f = hint;

	atomic_fetch_sub_explicit(&f->gate->bytes, f->n, memory_order_acq_rel);
	gr_gate_unref(&f->gate);
	free(data);
	free(f);
}

/* ---- events ---- */

static int events(const struct gr_sock *s)
{
	int ev = 0;
	size_t n = sizeof(ev);

	if (zmq_getsockopt(s->zmq, ZMQ_EVENTS, &ev, &n) < 0)
		return 0;
	return ev & (ZMQ_POLLIN | (s->want_out ? ZMQ_POLLOUT : 0));
}

static void on_poll(uv_poll_t *h, int status, int ev)
{
	struct gr_sock *s = h->data;

	if (!s->is_closed && events(s))
		s->on_ready(s->ctx);
}

static void on_idle(uv_idle_t *h)
{
	struct gr_sock *s = h->data;

	if (!s->is_closed && events(s))
		s->on_ready(s->ctx);
}

static void on_again(uv_timer_t *h) { (void)h; }   /* it has woken the loop */

static void on_prepare(uv_prepare_t *h)
{
	struct gr_sock *s = h->data;

	if (s->is_closed)
		return;
	if (s->before_wait && !s->before_wait(s->ctx))
		uv_timer_start(&s->again, on_again, AGAIN_MS, 0);
	if (s->is_closed)
		return;
	if (events(s))
		uv_idle_start(&s->idle, on_idle);
	else
		uv_idle_stop(&s->idle);
}

struct gr_sock *gr_sock_new(struct gr_loop *loop, void *zmq, void (*on_ready)(void *ctx), void *ctx)
{
	uv_loop_t *uv = gr_loop_uv(loop);
	struct gr_sock *s;
	int fd = -1;
	size_t n = sizeof(fd);

	GR_NEW(s);
	s->zmq = zmq;
	s->on_ready = on_ready;
	s->ctx = ctx;
	if (zmq_getsockopt(zmq, ZMQ_FD, &fd, &n) < 0 || uv_poll_init(uv, &s->poll, fd) < 0)
		abort();
	uv_prepare_init(uv, &s->prepare);
	uv_idle_init(uv, &s->idle);
	uv_timer_init(uv, &s->again);
	s->poll.data = s->prepare.data = s->idle.data = s->again.data = s;
	s->n_handles = 4;
	uv_poll_start(&s->poll, UV_READABLE, on_poll);
	uv_prepare_start(&s->prepare, on_prepare);
	return s;
}

void *gr_sock_zmq(const struct gr_sock *s) { return s->zmq; }
void gr_sock_before_wait(struct gr_sock *s, bool (*fn)(void *ctx)) { s->before_wait = fn; }
void gr_sock_want_out(struct gr_sock *s, bool on) { s->want_out = on; }
bool gr_sock_has_input(const struct gr_sock *s) { return events(s) & ZMQ_POLLIN; }

static void on_handle_closed(uv_handle_t *h)
{
	struct gr_sock *s = h->data;

	if (--s->n_handles == 0)
		free(s);
}

void gr_sock_close(struct gr_sock **sp, int linger_ms)
{
	struct gr_sock *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	s->is_closed = true;
	uv_close((uv_handle_t *)&s->poll, on_handle_closed);
	uv_close((uv_handle_t *)&s->prepare, on_handle_closed);
	uv_close((uv_handle_t *)&s->idle, on_handle_closed);
	uv_close((uv_handle_t *)&s->again, on_handle_closed);
	gr_sock_set_int(s->zmq, ZMQ_LINGER, linger_ms);
	zmq_close(s->zmq);
	s->zmq = NULL;
}

/* ---- sending ---- */

static int send_rc(void)
{
	return errno == EAGAIN || errno == EINTR ? GR_EBUSY : GR_EUNREACH;
}

static bool is_counted(const struct gr_gate *gate, const struct gr_buf *frame)
{
	return gate && frame->n > COPY_BYTES;
}

static bool has_room(struct gr_sock *s, bool is_router, struct gr_gate *gate, size_t n)
{
	size_t now = atomic_load_explicit(&gate->bytes, memory_order_acquire);
	int ev = 0;
	size_t n_ev = sizeof(ev);

	if (now > 0 && now + n > GATE_BYTES)
		return false;
	/* A ROUTER answers for the peer when the name is sent. */
	return is_router || (zmq_getsockopt(s->zmq, ZMQ_EVENTS, &ev, &n_ev) == 0 && (ev & ZMQ_POLLOUT));
}

/* A message that carries the frame's bytes. Return: what counts them, or NULL for a copy. */
static struct flight *wrap_frame(zmq_msg_t *msg, struct gr_gate *gate, const struct gr_buf *frame)
{
	struct flight *f;

	if (!is_counted(gate, frame)) {
		if (zmq_msg_init_size(msg, frame->n) < 0)
			abort();
		if (frame->n > 0)
			memcpy(zmq_msg_data(msg), frame->p, frame->n);
		return NULL;
	}
	GR_NEW(f);
	*f = (struct flight){ gate, frame->n };
	atomic_fetch_add_explicit(&gate->refs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&gate->bytes, frame->n, memory_order_acq_rel);
	if (zmq_msg_init_data(msg, frame->p, frame->n, flight_landed, f) < 0)
		abort();
	return f;
}

int gr_sock_send(struct gr_sock *s, struct gr_slice id, struct gr_gate *gate, struct gr_buf *frame)
{
	struct flight *f;
	zmq_msg_t msg;
	int rc;

	if (frame->n > GR_WIRE_MAX_FRAME_BYTES + GR_WIRE_HEADER_BYTES)
		return GR_ELIMIT;
	if (is_counted(gate, frame) && !has_room(s, id.n > 0, gate, frame->n))
		return GR_EBUSY;
	/* The peer's name goes first: when it is taken, the ROUTER takes the rest of the message as well. */
	if (id.n > 0 && zmq_send(s->zmq, id.p, id.n, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
		return send_rc();
	f = wrap_frame(&msg, gate, frame);
	if (zmq_msg_send(&msg, s->zmq, ZMQ_DONTWAIT) < 0) {
		rc = send_rc();
		/* Closing the message frees the bytes, which are still the caller's: leave it a copy. */
		if (f)
			*frame = (struct gr_buf){ gr_xmemdup(frame->p, frame->n), frame->n, frame->n + 1 };
		zmq_msg_close(&msg);
		return rc;
	}
	if (f)
		*frame = (struct gr_buf){ 0 };   /* libzmq frees the bytes */
	else
		gr_buf_fini(frame);
	return 0;
}

/* ---- life ---- */

bool gr_sock_is_arriving(int fd, uint32_t within_ms)
{
	struct tcp_info info = { 0 };
	socklen_t n = sizeof(info);

	return fd >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && info.tcpi_last_data_recv < within_ms;
}

/* ---- options ---- */

void gr_sock_set_int(void *zmq, int option, int value)
{
	if (zmq_setsockopt(zmq, option, &value, sizeof(value)) < 0)
		abort();
}

void gr_sock_set_str(void *zmq, int option, const char *value)
{
	if (zmq_setsockopt(zmq, option, value, strlen(value)) < 0)
		abort();
}

void gr_sock_set_limits(void *zmq)
{
	int64_t max = GR_WIRE_MAX_FRAME_BYTES + GR_WIRE_HEADER_BYTES + 256;   /* what CURVE adds */

	if (zmq_setsockopt(zmq, ZMQ_MAXMSGSIZE, &max, sizeof(max)) < 0)
		abort();
	gr_sock_set_int(zmq, ZMQ_LINGER, 0);
	gr_sock_set_int(zmq, ZMQ_SNDHWM, SEND_HWM);
	gr_sock_set_int(zmq, ZMQ_RCVHWM, RECEIVE_HWM);
	gr_sock_set_int(zmq, ZMQ_HANDSHAKE_IVL, 5000);
	gr_sock_set_int(zmq, ZMQ_TCP_KEEPALIVE, 1);
}
