/* stream.c - exchanges that are no HTTP: a WebSocket message for a message, raw TCP bytes for bytes
 *
 * The state of a scan lies in the connection's h1 member, of which only the counters are used. */
#include <openssl/evp.h>
#include <string.h>

#include "worker/load/gen.h"

static bool refuse(struct gr_gen *g, struct gr_conn *c, enum gr_load_fail why)
{
	struct gr_visit *v = c->visit;

	c->visit = NULL;
	gr_conn_close(g, c);
	if (v)
		gr_visit_failed(g, v, why);
	return false;
}

static bool whole(struct gr_gen *g, struct gr_conn *c, bool is_reusable)
{
	struct gr_visit *v = c->visit;

	gr_conn_free_for_next(g, c, is_reusable && !c->n_out);
	gr_visit_answered(g, v);
	return c->state != GR_CONN_GONE;
}

/* ---- raw TCP ---- */

bool gr_tcp_input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in)
{
	struct gr_visit *v = c->visit;
	const char *until;
	size_t n_until;

	if (!v) {
		gr_conn_close(g, c);
		return false;
	}
	until = v->request->until;
	if (!gr_visit_body(g, v, in))
		return refuse(g, c, GR_LOAD_F_BODY_LIMIT);
	if (!until) {
		if (v->n_body < v->request->n_receive)
			return true;
		return whole(g, c, v->n_body == v->request->n_receive && g->plan->is_keepalive);
	}
	/* the delimiter may lie across two reads: its length less one is kept */
	n_until = strlen(until);
	gr_buf_add(&c->carry, in.p, in.n);
	if (memmem(c->carry.p, c->carry.n, until, n_until)) {
		bool is_end = c->carry.n >= n_until && !memcmp(c->carry.p + c->carry.n - n_until, until, n_until);

		return whole(g, c, is_end && g->plan->is_keepalive);
	}
	if (c->carry.n >= n_until) {
		memmove(c->carry.p, c->carry.p + c->carry.n - (n_until - 1), n_until - 1);
		c->carry.n = n_until - 1;
	}
	return true;
}

/* ---- WebSocket (RFC 6455) ---- */

static void frame(struct gr_buf *out, uint8_t opcode, struct gr_slice text, uint32_t key)
{
	uint8_t mask[4] = { (uint8_t)(key >> 24), (uint8_t)(key >> 16), (uint8_t)(key >> 8), (uint8_t)key };
	size_t at;

	gr_buf_add_byte(out, 0x80 | opcode);
	if (text.n < 126) {
		gr_buf_add_byte(out, (uint8_t)(0x80 | text.n));
	} else if (text.n < 65536) {
		gr_buf_add_byte(out, 0x80 | 126);
		gr_buf_add_byte(out, (uint8_t)(text.n >> 8));
		gr_buf_add_byte(out, (uint8_t)text.n);
	} else {
		gr_buf_add_byte(out, 0x80 | 127);
		for (int i = 56; i >= 0; i -= 8)
			gr_buf_add_byte(out, (uint8_t)((uint64_t)text.n >> i));
	}
	gr_buf_add(out, mask, 4);
	at = out->n;
	if (text.n)
		gr_buf_add(out, text.p, text.n);
	for (size_t i = 0; i < text.n; i++)
		out->p[at + i] ^= mask[i & 3];
}

void gr_ws_frame(struct gr_gen *g, struct gr_buf *out, bool is_text, struct gr_slice text)
{
	struct gr_rng r = { g->now_ns };

	frame(out, is_text ? 1 : 2, text, (uint32_t)gr_rng_u64(&r));
}

/* Whoever counts how its sessions end sees an orderly end; an answer is not waited for. */
void gr_ws_bye(struct gr_gen *g, struct gr_conn *c)
{
	static const uint8_t normal[2] = { 1000 >> 8, 1000 & 255 };
	struct gr_buf b = { 0 };

	frame(&b, 8, gr_slice(normal, sizeof(normal)), (uint32_t)g->now_ns);
	gr_conn_write(g, c, b.p, b.n);
	gr_buf_fini(&b);
}

void gr_ws_upgrade(struct gr_gen *g, struct gr_conn *c)
{
	const struct gr_load_request *r = c->pool->upgrade;
	struct gr_rng rng = { g->now_ns ^ (uint64_t)c->fd << 40 };
	/* address and headers are those of the visit that it is opened for; others use the connection after it */
	struct gr_load_ctx ctx = { .plan = g->plan, .vars = c->visit && c->visit->x ? c->visit->x->vars : NULL };
	uint64_t nonce[2] = { gr_rng_u64(&rng), gr_rng_u64(&rng) };
	char key[32];
	struct gr_buf b = { 0 }, path = { 0 };

	EVP_EncodeBlock((unsigned char *)key, (const unsigned char *)nonce, 16);
	memcpy(&c->h1.left, nonce, 8);           /* kept for the answer's proof */
	gr_load_ctx_init(&ctx, g->plan, c->visit ? c->visit->seq : 0);
	gr_buf_add_str(&b, "GET ");
	gr_load_render(&r->path, &ctx, &path);
	gr_visit_add_path(&b, &path);
	gr_buf_fini(&path);
	gr_buf_printf(&b, " HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		      "Sec-WebSocket-Key: %s\r\n", c->pool->origin->authority, key);
	for (uint32_t i = 0; i < r->n_headers; i++) {
		size_t at;

		gr_buf_printf(&b, "%s: ", r->headers[i].name);
		at = b.n;
		gr_load_render(&r->headers[i].value, &ctx, &b);
		gr_visit_join_lines(&b, at);
		gr_buf_add_str(&b, "\r\n");
	}
	gr_buf_add_str(&b, "\r\n");
	c->state = GR_CONN_UPGRADING;
	gr_http1_init(&c->h1, false);
	/* the proof is SHA-1 of the key and a fixed text; it lies behind what was sent until the answer came */
	gr_buf_add_str(&b, key);
	gr_buf_fini(&c->carry);
	{
		long n = gr_conn_write(g, c, b.p, b.n - strlen(key));

		/* a few hundred bytes into an empty socket buffer go at once or not at all */
		if (n != (long)(b.n - strlen(key))) {
			gr_buf_fini(&b);
			gr_conn_broke(g, c, GR_LOAD_F_UPGRADE);
			return;
		}
	}
	gr_buf_add(&c->carry, key, strlen(key));
	gr_buf_fini(&b);
}

static bool is_proof(struct gr_slice value, const char *key)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char sum[EVP_MAX_MD_SIZE], text[64];
	char in[80];
	unsigned n;

	snprintf(in, sizeof(in), "%.24s%s", key, guid);
	if (!EVP_Digest(in, strlen(in), sum, &n, EVP_sha1(), NULL))
		return false;
	EVP_EncodeBlock(text, sum, (int)n);
	return gr_slice_is(value, (const char *)text);
}

bool gr_ws_upgrade_input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in)
{
	struct gr_slice head, data, proof;
	enum gr_http1_step step;
	char key[32];
	size_t used;

	memcpy(key, c->carry.p, 24);
	gr_buf_add(&c->carry, in.p, in.n);
	head = gr_slice(c->carry.p + 24, c->carry.n - 24);
	step = gr_http1_feed(&c->h1, head, &used, &data);
	if (step == GR_HTTP1_MORE && !used)
		return true;
	if (step != GR_HTTP1_HEAD || c->h1.status != 101 || !gr_http1_find(c->h1.head, "sec-websocket-accept", &proof) ||
	    !is_proof(proof, key) || used != head.n) {
		gr_conn_broke(g, c, GR_LOAD_F_UPGRADE);
		return false;
	}
	gr_buf_fini(&c->carry);
	if (c->visit)
		c->visit->first_ns = 0;
	gr_conn_ready(g, c);
	return c->state != GR_CONN_GONE;
}

/* One frame from the front of what was kept. Return: its bytes, 0 not whole, -1 malformed, -2 beyond the limit. */
static long one_frame(const struct gr_gen *g, struct gr_slice in, uint8_t *first, struct gr_slice *payload)
{
	uint64_t n;
	size_t at = 2;

	if (in.n < 2)
		return 0;
	*first = in.p[0];
	if ((in.p[0] & 0x70) || (in.p[1] & 0x80))
		return -1;                       /* an extension nobody asked for; a masked frame of a server */
	n = in.p[1] & 0x7f;
	if ((in.p[0] & 8) && (n > 125 || !(in.p[0] & 0x80)))
		return -1;
	if (n >= 126) {
		size_t width = n == 126 ? 2 : 8;

		if (in.n < 2 + width)
			return 0;
		n = 0;
		for (size_t i = 0; i < width; i++)
			n = n << 8 | in.p[2 + i];
		at += width;
	}
	if (n > g->plan->body_limit)
		return -2;
	if (in.n < at + n)
		return 0;
	*payload = gr_slice(in.p + at, (size_t)n);
	return (long)(at + n);
}

/* A frame of a message. Return: 1 ends the one that is awaited, 0 not, -1 malformed, -2 beyond the limit. */
static int data_frame(struct gr_gen *g, struct gr_conn *c, uint8_t first, struct gr_slice payload, bool is_awaited)
{
	bool is_last = first & 0x80, is_more = !(first & 15);
	enum gr_ws_message of = is_more ? c->message : is_awaited ? GR_WS_OURS : GR_WS_PUSHED;

	if (is_more == (c->message == GR_WS_NONE))
		return -1;                       /* more of none, or another in the middle of one */
	c->message = is_last ? GR_WS_NONE : of;
	if (of == GR_WS_PUSHED)
		return 0;
	return gr_visit_body(g, c->visit, payload) ? is_last : -2;
}

/* false: the connection cannot go on. */
static bool answer_ping(struct gr_gen *g, struct gr_conn *c, struct gr_slice payload)
{
	struct gr_buf pong = { 0 };
	long n = 0;

	frame(&pong, 10, payload, (uint32_t)g->now_ns);
	if (!c->n_out)                           /* else in the middle of a frame: one ping goes without an answer */
		n = gr_conn_write(g, c, pong.p, pong.n);
	n = n > 0 && n < (long)pong.n ? -3 : n;
	gr_buf_fini(&pong);
	return n != -3;
}

bool gr_ws_input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in)
{
	bool is_whole = false, is_closed = false;
	struct gr_buf rest = { 0 };
	size_t at = 0;

	gr_buf_add(&c->carry, in.p, in.n);
	while (!is_closed) {
		struct gr_slice payload;
		uint8_t first;
		long n = one_frame(g, gr_slice(c->carry.p + at, c->carry.n - at), &first, &payload);
		int rc = 0;

		if (n == 0)
			break;
		if (n < 0)
			return refuse(g, c, n == -2 ? GR_LOAD_F_BODY_LIMIT : GR_LOAD_F_MALFORMED);
		at += (size_t)n;
		switch (first & 15) {
		case 8:
			is_closed = true;
			break;
		case 9:
			if (!answer_ping(g, c, payload)) {
				gr_conn_broke(g, c, GR_LOAD_F_RESET);
				return false;
			}
			break;
		case 10:
			break;
		case 0:
		case 1:
		case 2:
			rc = data_frame(g, c, first, payload, c->visit && !is_whole);
			is_whole |= rc == 1;
			break;
		default:
			rc = -1;
		}
		if (rc < 0)
			return refuse(g, c, rc == -2 ? GR_LOAD_F_BODY_LIMIT : GR_LOAD_F_MALFORMED);
	}
	if (is_closed && !is_whole) {
		if (c->visit)
			gr_conn_broke(g, c, GR_LOAD_F_CLOSED);
		else
			gr_conn_close(g, c);
		return false;
	}
	memmove(c->carry.p, c->carry.p + at, c->carry.n - at);
	c->carry.n -= at;
	if (!is_whole)
		return true;
	if (c->carry.n) {                        /* the begin of a frame behind the answer stays with the connection */
		rest = c->carry;
		c->carry = (struct gr_buf){ 0 };
	}
	if (!whole(g, c, !is_closed)) {
		gr_buf_fini(&rest);
		return false;
	}
	if (rest.n)
		c->carry = rest;
	return true;
}
