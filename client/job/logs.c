/* logs.c - see logs.h. A ring of questions; they are answered in any order and handed out in the order they were asked. How many are
 * on their way begins at one, doubles while logs are small, and is one again after a large one. */
#include "client/job/logs.h"

#include <stdlib.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define AHEAD 16u
#define LARGE_BYTES (256u << 10)

struct log {
	struct gr_talk *b;
	json_t *req;                        /* of the question; its offsets follow what came */
	uint64_t job, task, at[2];
	uint32_t attempt;
	int fds[2];
	struct gr_buf *into[2];             /* instead of fds */
	bool is_broken;                     /* nobody reads our output */
};
struct slot {
	struct log log;
	struct gr_buf out, err;
	struct gr_rpc_question *logs, *show;
};
struct gr_logs {
	struct gr_talk *b;
	uint64_t job;
	bool wants_show;
	struct slot slots[AHEAD];
	unsigned i_first, n, max;
};

static void take_out(struct log *l, const struct gr_out_msg *m)
{
	int s = m->stream == GR_STREAM_ERR;
	struct gr_slice data = m->data;

	if (m->job != l->job || m->task != l->task || (m->stream != GR_STREAM_OUT && m->stream != GR_STREAM_ERR))
		return;
	if (l->attempt && m->attempt != l->attempt) {
		if ((l->at[0] || l->at[1]) && !l->into[s])
			gr_talk_note(l->b, "the task is tried again; its output begins anew");
		for (int i = 0; i < 2; i++) {
			l->at[i] = 0;
			if (l->into[i])
				gr_buf_clear(l->into[i]);
		}
	}
	l->attempt = m->attempt;
	if (m->offset + data.n <= l->at[s])
		return;                         /* had before the connection broke */
	if (m->offset < l->at[s]) {
		data.p += l->at[s] - m->offset;
		data.n -= l->at[s] - m->offset;
	}
	l->at[s] = m->offset + m->data.n;
	if (l->into[s])
		gr_buf_add(l->into[s], data.p, data.n);
	else if (l->fds[s] >= 0 && !l->is_broken && gr_write_all(l->fds[s], data.p, data.n) < 0)
		l->is_broken = true;
	json_object_set_new(l->req, "out", json_integer((json_int_t)l->at[0]));
	json_object_set_new(l->req, "err", json_integer((json_int_t)l->at[1]));
}

static json_t *request(uint64_t job, uint64_t task, uint64_t ordinal, bool is_live)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:i, s:i, s:b}", "op", "logs.read", "job", (json_int_t)job, "task", (json_int_t)task, "ordinal",
			 (json_int_t)ordinal, "out", 0, "err", 0, "follow", is_live);
}

static void on_out_of_one(void *ctx, const struct gr_out_msg *m)
{
	take_out(ctx, m);
}

int gr_logs_copy(struct gr_talk *b, uint64_t job, uint64_t task, uint64_t ordinal, bool is_live, int out, int errout, json_t **rep,
		 struct gr_err *err)
{
	struct log l = { .b = b, .job = job, .task = task, .fds = { out, errout }, .req = request(job, task, ordinal, is_live) };
	int rc;

	b->on_out = on_out_of_one;
	b->out_ctx = &l;
	rc = gr_talk_call(b, true, json_incref(l.req), rep, err);
	b->on_out = NULL;
	json_decref(l.req);
	return rc;
}

/* ---- many ---- */

static struct slot *slot_at(struct gr_logs *l, unsigned i) { return &l->slots[(l->i_first + i) % AHEAD]; }

static void on_out(void *ctx, const struct gr_out_msg *m)
{
	struct gr_logs *l = ctx;

	for (unsigned i = 0; i < l->n; i++)
		if (slot_at(l, i)->log.task == m->task)
			take_out(&slot_at(l, i)->log, m);
}

struct gr_logs *gr_logs_new(struct gr_talk *b, uint64_t job, bool wants_show)
{
	struct gr_logs *l;

	GR_NEW(l);
	l->b = b;
	l->job = job;
	l->wants_show = wants_show;
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
	gr_buf_fini(&s->out);
	gr_buf_fini(&s->err);
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

	*s = (struct slot){ 0 };
	s->log = (struct log){ .b = l->b, .job = l->job, .task = task, .into = { &s->out, &s->err }, .req = request(l->job, task, 0, false) };
	s->logs = gr_rpc_ask(l->b->rpc, json_incref(s->log.req));
	if (l->wants_show)
		s->show = gr_rpc_ask(l->b->rpc, json_pack("{s:s, s:I, s:I}", "op", "task.show", "job", (json_int_t)l->job, "task", (json_int_t)task));
}

int gr_logs_pop(struct gr_logs *l, struct gr_task_log *out, struct gr_err *err)
{
	struct slot *s = slot_at(l, 0);
	int rc;

	*out = (struct gr_task_log){ .task = s->log.task };
	rc = gr_rpc_answer(l->b->rpc, &s->logs, 0, &out->end, err);
	if (rc == GR_ENOENT || rc == GR_ESTATE) {       /* cancelled before it began, or not kept */
		out->rc = rc;
		rc = 0;
	} else if (rc == 0) {
		out->out = s->out;
		out->err = s->err;
		s->out = s->err = (struct gr_buf){ 0 };
		l->max = out->out.n + out->err.n > LARGE_BYTES ? 1 : l->max < AHEAD ? l->max * 2 : AHEAD;
		if (s->show && gr_rpc_answer(l->b->rpc, &s->show, 0, &out->show, &out->why) == GR_EGONE)
			rc = gr_err_set(err, GR_EGONE, "%s", out->why.text);
	}
	slot_fini(s);
	l->i_first = (l->i_first + 1) % AHEAD;
	l->n--;
	return rc;
}

void gr_task_log_fini(struct gr_task_log *t)
{
	gr_buf_fini(&t->out);
	gr_buf_fini(&t->err);
	json_decref(t->end);
	json_decref(t->show);
	*t = (struct gr_task_log){ 0 };
}
