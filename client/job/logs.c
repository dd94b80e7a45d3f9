/* logs.c - see logs.h. A ring of questions; they are answered in any order and handed out in the order they were asked. How many are
 * on their way begins at one, doubles while logs are small, and is one again after a large one. What comes of the first one is passed on
 * as it comes; of the others up to HELD_BYTES are held together. One that would be more is stopped, and asked for again, from where it
 * was, when it is the first. */
#include "client/job/logs.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"

#define AHEAD 16u
#define LARGE_BYTES (256u << 10)
#define HELD_BYTES (16u << 20)

struct log {
	struct gr_talk *b;
	json_t *req;                        /* of the question; its offsets follow what came */
	uint64_t job, task, at[2];
	uint32_t attempt;
	/* A piece that was not had before. Return: false: it is not wanted now. */
	bool (*pass)(struct log *l, int s, struct gr_slice data);
	void (*forget)(struct log *l);      /* what came of an earlier try */
};
struct slot {
	struct log log;
	struct gr_logs *all;
	struct gr_buf held[2];
	struct gr_rpc_question *logs, *show;    /* logs: NULL while it is stopped */
};
struct gr_logs {
	struct gr_talk *b;
	uint64_t job;
	bool wants_show;
	gr_logs_take *take;
	void *ctx;
	struct slot slots[AHEAD];
	unsigned i_first, n, max;
	size_t n_held;
	const struct gr_task_log *first;    /* being handed out; NULL none */
};

static void take_out(struct log *l, const struct gr_out_msg *m)
{
	int s = m->stream == GR_STREAM_ERR;
	bool is_new = m->attempt != l->attempt;
	struct gr_slice data = m->data;

	if (m->job != l->job || m->task != l->task || (m->stream != GR_STREAM_OUT && m->stream != GR_STREAM_ERR))
		return;
	if (l->attempt && is_new) {
		l->forget(l);
		l->at[0] = l->at[1] = 0;
	}
	l->attempt = m->attempt;
	if (m->offset + data.n <= l->at[s])
		return;                         /* had before the connection broke */
	if (m->offset > l->at[s] && !is_new)
		return;                         /* of a reading that was stopped */
	if (m->offset < l->at[s]) {
		data.p += l->at[s] - m->offset;
		data.n -= l->at[s] - m->offset;
	}
	if (!l->pass(l, s, data))
		return;
	l->at[s] = m->offset + m->data.n;
	json_object_set_new(l->req, "out", json_integer((json_int_t)l->at[0]));
	json_object_set_new(l->req, "err", json_integer((json_int_t)l->at[1]));
}

static void note_anew(const struct log *l)
{
	if (l->at[0] || l->at[1])
		gr_talk_note(l->b, "the task is tried again; its output begins anew");
}

static json_t *request(uint64_t job, uint64_t task, uint64_t ordinal, bool is_live)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:i, s:i, s:b}", "op", "logs.read", "job", (json_int_t)job, "task", (json_int_t)task, "ordinal",
			 (json_int_t)ordinal, "out", 0, "err", 0, "follow", is_live);
}

/* ---- one ---- */

struct copy {
	struct log log;
	int fds[2];
};

static bool write_piece(struct log *l, int s, struct gr_slice data)
{
	struct copy *c = GR_CONTAINER(l, struct copy, log);

	if (c->fds[s] >= 0 && !l->b->lost && gr_write_all(c->fds[s], data.p, data.n) < 0)
		gr_talk_lost(l->b, s ? GR_STREAM_ERR : GR_STREAM_OUT, errno);
	return true;
}

static void begin_copy_anew(struct log *l) { note_anew(l); }

static void on_out_of_one(void *ctx, const struct gr_out_msg *m)
{
	struct copy *c = ctx;

	take_out(&c->log, m);
}

int gr_logs_copy(struct gr_talk *b, uint64_t job, uint64_t task, uint64_t ordinal, bool is_live, int out, int errout, json_t **rep,
		 struct gr_err *err)
{
	struct copy c = { .log = { .b = b, .job = job, .task = task, .req = request(job, task, ordinal, is_live), .pass = write_piece,
				   .forget = begin_copy_anew }, .fds = { out, errout } };
	int rc;

	b->on_out = on_out_of_one;
	b->out_ctx = &c;
	rc = gr_talk_call(b, true, json_incref(c.log.req), rep, err);
	b->on_out = NULL;
	json_decref(c.log.req);
	return rc;
}

/* ---- many ---- */

static struct slot *slot_at(struct gr_logs *l, unsigned i) { return &l->slots[(l->i_first + i) % AHEAD]; }

/* No more of it: the question is given up, and the coordinator told. */
static void stop(struct slot *s)
{
	struct gr_rpc *rpc = s->all->b->rpc;
	struct gr_rpc_question *q = gr_rpc_ask(rpc, json_pack("{s:s, s:O}", "op", "logs.stop", "of", json_object_get(s->log.req, "id")));

	gr_rpc_drop(&q);
	gr_rpc_drop(&s->logs);
}

static bool hold_piece(struct log *log, int i, struct gr_slice data)
{
	struct slot *s = GR_CONTAINER(log, struct slot, log);
	struct gr_logs *l = s->all;

	if (l->first && s == slot_at(l, 0)) {
		l->take(l->ctx, l->first, i ? GR_STREAM_ERR : GR_STREAM_OUT, data);
		return true;
	}
	if (l->n_held + data.n > HELD_BYTES) {
		stop(s);
		return false;
	}
	gr_buf_add(&s->held[i], data.p, data.n);
	l->n_held += data.n;
	return true;
}

static void forget_held(struct slot *s)
{
	for (int i = 0; i < 2; i++) {
		s->all->n_held -= s->held[i].n;
		gr_buf_fini(&s->held[i]);
	}
}

static void begin_slot_anew(struct log *log)
{
	struct slot *s = GR_CONTAINER(log, struct slot, log);

	if (s->all->first && s == slot_at(s->all, 0))
		note_anew(log);
	forget_held(s);
}

static void on_out(void *ctx, const struct gr_out_msg *m)
{
	struct gr_logs *l = ctx;

	for (unsigned i = 0; i < l->n; i++)
		if (slot_at(l, i)->logs)
			take_out(&slot_at(l, i)->log, m);
}

struct gr_logs *gr_logs_new(struct gr_talk *b, uint64_t job, bool wants_show, gr_logs_take *take, void *ctx)
{
	struct gr_logs *l;

	GR_NEW(l);
	l->b = b;
	l->job = job;
	l->wants_show = wants_show;
	l->take = take;
	l->ctx = ctx;
	l->max = 1;
	b->on_out = on_out;
	b->out_ctx = l;
	return l;
}

static void slot_fini(struct slot *s)
{
	gr_rpc_drop(&s->logs);
	gr_rpc_drop(&s->show);
	json_decref(s->log.req);
	forget_held(s);
}

void gr_logs_free(struct gr_logs **lp)
{
	struct gr_logs *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	for (unsigned i = 0; i < l->n; i++)
		slot_fini(slot_at(l, i));
	l->b->on_out = NULL;
	free(l);
}

bool gr_logs_is_full(const struct gr_logs *l) { return l->n >= l->max; }
bool gr_logs_is_empty(const struct gr_logs *l) { return !l->n; }

void gr_logs_push(struct gr_logs *l, uint64_t task)
{
	struct slot *s = slot_at(l, l->n++);

	*s = (struct slot){ .all = l };
	s->log = (struct log){ .b = l->b, .job = l->job, .task = task, .req = request(l->job, task, 0, false), .pass = hold_piece,
			       .forget = begin_slot_anew };
	if (l->wants_show)                      /* first, as pieces are not passed on without it */
		s->show = gr_rpc_ask(l->b->rpc, json_pack("{s:s, s:I, s:I}", "op", "task.show", "job", (json_int_t)l->job, "task", (json_int_t)task));
	s->logs = gr_rpc_ask(l->b->rpc, json_incref(s->log.req));
}

/* From here on what comes of @s is passed on. */
static void hand_out(struct gr_logs *l, struct slot *s, const struct gr_task_log *out)
{
	l->first = out;
	for (int i = 0; i < 2; i++)
		if (s->held[i].n)
			l->take(l->ctx, out, i ? GR_STREAM_ERR : GR_STREAM_OUT, gr_buf_slice(&s->held[i]));
	forget_held(s);
	if (!s->logs)
		s->logs = gr_rpc_ask(l->b->rpc, json_incref(s->log.req));
}

int gr_logs_pop(struct gr_logs *l, struct gr_task_log *out, struct gr_err *err)
{
	struct slot *s = slot_at(l, 0);
	int rc = 0;

	*out = (struct gr_task_log){ .task = s->log.task };
	if (s->show && gr_rpc_answer(l->b->rpc, &s->show, 0, &out->show, &out->why) == GR_EGONE)
		rc = gr_err_set(err, GR_EGONE, "%s", out->why.text);
	if (rc == 0) {
		hand_out(l, s, out);
		rc = gr_rpc_answer(l->b->rpc, &s->logs, 0, &out->end, err);
		l->first = NULL;
		l->max = s->log.at[0] + s->log.at[1] > LARGE_BYTES ? 1 : l->max < AHEAD ? l->max * 2 : AHEAD;
	}
	if (rc == GR_ENOENT || rc == GR_ESTATE) {       /* cancelled before it began, or not kept */
		out->rc = rc;
		rc = 0;
	}
	slot_fini(s);
	l->i_first = (l->i_first + 1) % AHEAD;
	l->n--;
	return rc;
}

void gr_task_log_fini(struct gr_task_log *t)
{
	json_decref(t->end);
	json_decref(t->show);
	*t = (struct gr_task_log){ 0 };
}
