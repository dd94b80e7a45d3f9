/* rpc.c - see rpc.h. The loop runs inside each call that waits; what arrives without having been asked (CLUSTER) is passed over.
 * Files the coordinator asks for are read in pieces and go out as the link takes them, also while nothing is called. Questions
 * are told apart by the number they carry, so that any of them may be answered first. */
#include "client/rpc_int.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"

#define AGAIN_MS 2
#define MAX_TURN_BYTES (4u << 20)
#define MAX_WANTED 262144u

struct wanted {
	struct gr_list link;
	uint64_t session;
	struct gr_digest digest;
};
struct gr_rpc_question {
	struct gr_list link;                    /* of r->questions until it is answered or dropped */
	json_t *req, *rep;
	json_int_t id;
	bool is_asked, is_done;
	int rc;
	struct gr_err err;
};

/* Of a question: its answer @rc, with @err's text when it is an error. */
static void end(struct gr_rpc *r, struct gr_rpc_question *q, int rc, const struct gr_err *err)
{
	q->rc = rc;
	if (rc < 0)
		q->err = *err;
	q->is_done = true;
	gr_list_del(&q->link);
	if (r->awaited == q)
		gr_loop_stop(r->loop);
}

static json_t *make_hello(void *ctx)
{
	char name[64];

	(void)ctx;
	snprintf(name, sizeof(name), "griddle-%d", (int)getpid());
	return gr_hello_json(GR_ROLE_CLIENT, name);
}

static void ask(struct gr_rpc *r)
{
	if (!gr_link_is_up(r->link))
		return;
	GR_LIST_EACH(q, &r->questions, struct gr_rpc_question, link) {
		struct gr_buf frame = { 0 };

		if (q->is_asked)
			continue;
		gr_json_encode(&frame, GR_MSG_CTL_REQ, q->req);
		q->is_asked = gr_link_send(r->link, &frame) >= 0;
		gr_buf_fini(&frame);
	}
}

static void on_up(void *ctx, const json_t *welcome)
{
	struct gr_rpc *r = ctx;

	(void)welcome;
	if (r->ops && r->ops->on_link)
		r->ops->on_link(r->ctx, true, "");
	r->why[0] = 0;
	ask(r);
	gr_rpc__files_up(r);
}

static void forget_files(struct gr_rpc *r)
{
	struct gr_list *n;

	while ((n = gr_list_pop(&r->wanted)))
		free(GR_CONTAINER(n, struct wanted, link));
	r->n_wanted = 0;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	gr_timer_stop(&r->again);
}

bool gr_rpc__is_final(int code) { return code == GR_EAUTH || code == GR_EROLE || code == GR_EVERSION; }

static void on_down(void *ctx, int code, const char *why)
{
	struct gr_rpc *r = ctx;
	bool is_first = !r->why[0];

	GR_LIST_EACH(q, &r->questions, struct gr_rpc_question, link)
		q->is_asked = false;
	if (r->is_uploading)
		gr_loop_stop(r->loop);
	r->why_code = code;
	snprintf(r->why, sizeof(r->why), "%s", why && *why ? why : gr_err_text(code));
	forget_files(r);
	gr_rpc__files_down(r, code);
	if (is_first && r->ops && r->ops->on_link)
		r->ops->on_link(r->ctx, false, r->why);
	if (gr_rpc__is_final(code))
		GR_LIST_EACH_SAFE(q, &r->questions, struct gr_rpc_question, link) {
			struct gr_err err;

			end(r, q, gr_err_set(&err, code, "%s", r->why), &err);
		}
}

/* ---- files ---- */

static void send_missing(struct gr_rpc *r, const struct wanted *w)
{
	struct gr_buf b = { 0 };

	gr_digests_encode(&b, GR_MSG_MISSING, w->session, &w->digest, 1);
	gr_link_send(r->link, &b);
	gr_buf_fini(&b);
}

static void next_file(struct gr_rpc *r)
{
	free(GR_CONTAINER(gr_list_pop(&r->wanted), struct wanted, link));
	r->n_wanted--;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

/* Return: bytes sent; 0 when the link takes no more now; an error when the file cannot be read as it was. */
static int64_t send_piece(struct gr_rpc *r, const struct wanted *w)
{
	uint64_t left = r->size - r->offset, n = left < GR_WIRE_CHUNK_BYTES ? left : GR_WIRE_CHUNK_BYTES;
	struct gr_blob_msg m = { .session = w->session, .digest = w->digest, .total = r->size, .offset = r->offset, .raw_n = (uint32_t)n };
	struct gr_buf raw = { 0 }, packed = { 0 }, frame = { 0 };
	int64_t rc = GR_EIO;

	gr_buf_reserve(&raw, n + 1);
	while (raw.n < n) {
		ssize_t got = pread(r->fd, raw.p + raw.n, n - raw.n, (off_t)(r->offset + raw.n));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			goto out;
		raw.n += (size_t)got;
	}
	m.enc = n ? (uint8_t)gr_pack(gr_buf_slice(&raw), &packed) : GR_ENC_RAW;
	m.data = n ? gr_buf_slice(&packed) : gr_slice("", 0);
	gr_blob_encode(&frame, &m);
	rc = 0;
	if (gr_link_send(r->link, &frame) >= 0) {
		r->offset += n;
		rc = (int64_t)n + 64;
	}
out:
	gr_buf_fini(&raw);
	gr_buf_fini(&packed);
	gr_buf_fini(&frame);
	return rc;
}

static void pump(void *ctx)
{
	struct gr_rpc *r = ctx;
	uint64_t n_sent = 0;

	gr_timer_stop(&r->again);
	while (r->n_wanted && n_sent < MAX_TURN_BYTES) {
		struct wanted *w = GR_CONTAINER(r->wanted.next, struct wanted, link);
		int64_t rc;

		if (r->fd < 0) {
			r->offset = 0;
			r->fd = r->ops && r->ops->open_blob ? r->ops->open_blob(r->ctx, &w->digest, &r->size) : GR_ENOENT;
			if (r->fd < 0) {
				r->fd = -1;
				send_missing(r, w);
				next_file(r);
				continue;
			}
		}
		rc = send_piece(r, w);
		if (rc == 0)
			break;
		if (rc < 0)
			send_missing(r, w);
		else
			n_sent += (uint64_t)rc;
		if (rc < 0 || r->offset == r->size)
			next_file(r);
	}
	if (!r->n_wanted && r->is_uploading)
		gr_loop_stop(r->loop);
	if (r->n_wanted)
		r->again = gr_timer_start(r->loop, n_sent ? 0 : AGAIN_MS, 0, pump, r);
}

static void want(struct gr_rpc *r, uint64_t session, const struct gr_digest *digest)
{
	struct wanted *w;

	GR_NEW(w);
	w->session = session;
	w->digest = *digest;
	gr_list_push(&r->wanted, &w->link);
	r->n_wanted++;
}

static int on_fetch(struct gr_rpc *r, struct gr_slice body)
{
	struct gr_digests_msg m;
	int rc = gr_digests_decode(body, &m);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < m.n && r->n_wanted < MAX_WANTED; i++) {
		struct gr_digest d = gr_digests_at(&m, i);

		want(r, m.session, &d);
	}
	if (!r->again)
		pump(r);
	return 0;
}

/* ---- answers ---- */

static int code_of(const char *name)
{
	for (int code = -1; code > -64 && name; code--)
		if (!strcmp(gr_err_name(code), name))
			return code;
	return GR_EUNSUP;
}

static struct gr_rpc_question *question_of(struct gr_rpc *r, json_int_t id)
{
	GR_LIST_EACH(q, &r->questions, struct gr_rpc_question, link)
		if (q->id == id)
			return q;
	return NULL;
}

static int on_reply(struct gr_rpc *r, struct gr_slice body)
{
	struct gr_rpc_question *q;
	const char *refusal;
	struct gr_err err;
	json_t *rep;
	int rc = gr_json_decode(body, &rep, &err);

	if (rc < 0)
		return rc;
	q = question_of(r, json_integer_value(json_object_get(rep, "id")));
	if (!q) {
		json_decref(rep);       /* of a question that was given up */
		return 0;
	}
	refusal = json_string_value(json_object_get(rep, "error"));
	if (refusal) {
		end(r, q, gr_err_set(&err, code_of(json_string_value(json_object_get(rep, "code"))), "%s", refusal), &err);
		json_decref(rep);
		return 0;
	}
	json_object_del(rep, "id");
	q->rep = rep;
	end(r, q, 0, NULL);
	return 0;
}

static int on_notice(struct gr_rpc *r, int type, struct gr_slice body)
{
	struct gr_out_msg out;
	struct gr_err err;
	size_t i;
	json_t *o, *e;
	int rc;

	if (type == GR_MSG_OUT) {
		rc = gr_out_decode(body, &out);
		if (rc >= 0 && r->ops && r->ops->on_out)
			r->ops->on_out(r->ctx, &out);
		return rc;
	}
	rc = gr_json_decode(body, &o, &err);
	if (rc < 0)
		return rc;
	json_array_foreach(json_object_get(o, "events"), i, e)
		if (r->ops && r->ops->on_event)
			r->ops->on_event(r->ctx, e);
	json_decref(o);
	return 0;
}

static int on_msg(void *ctx, int type, struct gr_slice body)
{
	struct gr_rpc *r = ctx;

	if (type == GR_MSG_CTL_REP)
		return on_reply(r, body);
	if (type == GR_MSG_FETCH)
		return on_fetch(r, body);
	if (type == GR_MSG_OUT || type == GR_MSG_EVENT)
		return on_notice(r, type, body);
	if (type == GR_MSG_BLOB)
		return gr_rpc__file_piece(r, body);
	if (type == GR_MSG_MISSING)
		return gr_rpc__file_missing(r, body);
	return 0;
}

void gr_rpc_interrupt(struct gr_rpc *r, int signum)
{
	r->signum = signum;
	gr_loop_stop(r->loop);
}

static void on_term(void *ctx, int signum) { gr_rpc_interrupt(ctx, signum); }

int gr_rpc_open(const struct gr_target *t, const struct gr_rpc_ops *ops, void *ctx, struct gr_rpc **out, struct gr_err *err)
{
	static const struct gr_link_ops link_ops = { .make_hello = make_hello, .on_up = on_up, .on_down = on_down, .on_msg = on_msg };
	struct gr_link_config cfg = { .endpoint = t->endpoint, .server_key = t->server_key };
	struct gr_rpc *r;
	int rc = 0;

	GR_NEW(r);
	r->ops = ops;
	r->ctx = ctx;
	r->fd = -1;
	r->endpoint = gr_xstrdup(t->endpoint);
	gr_list_init(&r->wanted);
	gr_list_init(&r->questions);
	gr_list_init(&r->files);
	r->loop = gr_loop_new((uint64_t)getpid() << 20 ^ (uint64_t)(uintptr_t)r);
	if (t->keys) {
		rc = gr_keypair_load(t->keys, &r->keys, err);
		if (rc < 0)
			gr_err_wrap(err, "the key pair (`griddle keys new` makes one)");
		cfg.keys = &r->keys;
	}
	if (rc == 0)
		rc = gr_link_new(r->loop, &cfg, &link_ops, r, &r->link, err);
	if (rc < 0) {
		gr_rpc_close(&r);
		return rc;
	}
	gr_loop_on_term(r->loop, on_term, r);
	*out = r;
	return 0;
}

void gr_rpc_close(struct gr_rpc **rp)
{
	struct gr_rpc *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	r->ops = NULL;
	forget_files(r);
	if (r->link) {
		gr_link_close(&r->link);
		gr_loop_run(r->loop);   /* the handles' close callbacks */
	}
	gr_loop_free(&r->loop);
	explicit_bzero(&r->keys, sizeof(r->keys));
	free(r->endpoint);
	free(r);
}

static void on_limit(void *ctx)
{
	struct gr_rpc *r = ctx;

	r->is_limited = true;
	gr_loop_stop(r->loop);
}

struct gr_rpc_question *gr_rpc_ask(struct gr_rpc *r, json_t *req)
{
	struct gr_rpc_question *q;

	GR_NEW(q);
	q->req = req;
	if (!req) {
		q->rc = gr_err_set(&q->err, GR_EUSAGE, "a word that is not UTF-8 cannot be sent");
		q->is_done = true;
		return q;
	}
	q->id = ++r->last_id;
	json_object_set_new(req, "id", json_integer(q->id));
	gr_list_push(&r->questions, &q->link);
	ask(r);
	return q;
}

void gr_rpc_drop(struct gr_rpc_question **qp)
{
	struct gr_rpc_question *q = *qp;

	*qp = NULL;
	if (!q)
		return;
	if (!q->is_done)
		gr_list_del(&q->link);
	json_decref(q->req);
	json_decref(q->rep);
	free(q);
}

bool gr_rpc_is_answered(const struct gr_rpc_question *q) { return q->is_done; }

int gr_rpc_answer(struct gr_rpc *r, struct gr_rpc_question **qp, int limit_ms, json_t **rep, struct gr_err *err)
{
	struct gr_timer *limit = limit_ms ? gr_timer_start(r->loop, (uint64_t)limit_ms, 0, on_limit, r) : NULL;
	struct gr_rpc_question *q = *qp;
	int rc = 0;

	r->is_limited = false;
	r->awaited = q;
	while (!q->is_done && !r->is_limited && !r->signum)
		gr_loop_run(r->loop);
	r->awaited = NULL;
	gr_timer_stop(&limit);
	if (q->is_done && q->rc >= 0) {
		*rep = q->rep;
		q->rep = NULL;
	} else if (q->is_done) {
		rc = gr_err_set(err, q->rc, "%s", q->err.text);
	} else if (r->signum) {
		rc = gr_err_set(err, GR_EGONE, "interrupted");
	} else if (r->why[0]) {
		rc = gr_err_set(err, r->why_code, "%s", r->why);
	} else {
		rc = gr_err_set(err, GR_EUNREACH, "no answer");
	}
	gr_rpc_drop(qp);
	if (rc == GR_EUNREACH || rc == GR_EAUTH || rc == GR_EVERSION)
		gr_err_wrap(err, "coordinator %s", r->endpoint);
	return rc;
}

int gr_rpc_call(struct gr_rpc *r, json_t *req, int limit_ms, json_t **rep, struct gr_err *err)
{
	struct gr_rpc_question *q = gr_rpc_ask(r, req);

	return gr_rpc_answer(r, &q, limit_ms, rep, err);
}

int gr_rpc_sleep(struct gr_rpc *r, int ms)
{
	struct gr_timer *limit = gr_timer_start(r->loop, (uint64_t)ms, 0, on_limit, r);

	r->is_limited = r->is_poked = false;
	while (!r->is_limited && !r->is_poked && !r->signum)
		gr_loop_run(r->loop);
	gr_timer_stop(&limit);
	return r->signum ? GR_EGONE : 0;
}

void gr_rpc_poke(struct gr_rpc *r)
{
	r->is_poked = true;
	gr_loop_stop(r->loop);
}

int gr_rpc_upload(struct gr_rpc *r, const struct gr_digest *digests, size_t n, struct gr_err *err)
{
	if (!gr_link_is_up(r->link))
		return gr_err_set(err, GR_EUNREACH, "the connection went");
	for (size_t i = 0; i < n; i++)
		want(r, 0, &digests[i]);
	r->is_uploading = true;
	pump(r);
	while (r->n_wanted && gr_link_is_up(r->link) && !r->signum)
		gr_loop_run(r->loop);
	r->is_uploading = false;
	if (r->signum)
		return gr_err_set(err, GR_EGONE, "interrupted");
	return gr_link_is_up(r->link) ? 0 : gr_err_set(err, GR_EUNREACH, "the connection went");
}

int gr_rpc_take_signal(struct gr_rpc *r)
{
	int signum = r->signum;

	r->signum = 0;
	return signum;
}

uint64_t gr_rpc_now_ms(struct gr_rpc *r) { return gr_loop_now_ns(r->loop) / GR_NS_PER_MS; }
uint64_t gr_rpc_real_ms(void) { return gr_clock_real_ms(); }
struct gr_loop *gr_rpc_loop(struct gr_rpc *r) { return r->loop; }
