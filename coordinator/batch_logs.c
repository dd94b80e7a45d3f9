/* batch_logs.c - output of tasks: read as it is stored, and followed while it is written
 *
 * Output that is stored comes from the store. Of an attempt that runs, its worker is asked (FOLLOW) and what it sends is
 * passed on; when the attempt's end is on disk, whatever a follower has not had comes from the store, so that it gets
 * every byte once, in order, whichever way it went.
 */
#include "coordinator/batch_int.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"

#define MAX_FOLLOWERS 4096u

struct gr_follower {
	struct gr_list link;
	struct gr_peer *peer;             /* NULL: a sink */
	const struct gr_log_sink *sink;
	void *ctx;                        /* sink's */
	json_t *id;
	uint64_t job;
	uint32_t task, ordinal, attempt;  /* attempt: whose output it gets now */
	bool is_once;                     /* it does not follow: what there is now, and the answer */
	bool wants[3];                    /* by stream */
	uint64_t at[3];
};

/* ---- as it is stored ---- */

struct find {
	uint32_t ordinal, attempt;        /* what is looked for; 0: the last that ended */
	uint32_t found;
	struct gr_slice data;
	struct gr_buf *out;
	int stream;
	uint64_t offset, total;
	size_t max;
	struct gr_batch *b;
};

static int find_log(void *ctx, const struct gr_store_attempt_row *r)
{
	struct find *x = ctx;
	struct gr_slice data = x->stream == GR_STREAM_OUT ? r->out_data : r->err_data, digest = x->stream == GR_STREAM_OUT ? r->out_digest : r->err_digest;
	struct gr_digest d;
	uint64_t size;
	ssize_t n;
	int fd;

	if ((x->attempt && r->attempt != x->attempt) || (x->ordinal && r->ordinal != x->ordinal) || !r->end_ms ||
	    (r->of && !x->attempt && !x->ordinal))      /* what a comparator says is no output of the task */
		return 0;
	x->found = (uint32_t)r->attempt;
	x->total = data.n;
	gr_buf_clear(x->out);
	if (digest.n != GR_DIGEST_BYTES) {
		if (x->offset < data.n)
			gr_buf_add(x->out, data.p + x->offset, data.n - x->offset < x->max ? data.n - x->offset : x->max);
		return 0;
	}
	memcpy(d.b, digest.p, sizeof(d.b));
	fd = gr_cas_open_blob(x->b->cas, &d, &size);
	if (fd < 0)
		return 0;
	x->total = size;
	gr_buf_reserve(x->out, x->max);
	n = pread(fd, x->out->p, x->max, (off_t)x->offset);
	if (n > 0)
		x->out->n = (size_t)n;
	close(fd);
	return 0;
}

static int read_log(struct gr_batch *b, uint64_t job, uint32_t task, struct find *x)
{
	int rc = gr_store_each_attempt(b->store, (int64_t)job, task, true, find_log, x);

	return rc < 0 ? rc : x->found ? 0 : GR_ENOENT;
}

int gr_batch_log_read(struct gr_coord *c, uint64_t job, uint32_t task, uint32_t ordinal, int stream, uint64_t offset, size_t max, struct gr_buf *out,
		      uint64_t *total)
{
	struct gr_buf piece = { 0 };
	struct find x = { .b = c->batch, .ordinal = ordinal, .stream = stream, .offset = offset, .max = max, .out = &piece };
	int64_t state = 0, stands = ordinal ? 0 : gr_store_outcome_attempt(c->batch->store, (int64_t)job, task, &state);
	int rc;

	if (state == GR_B_DONE)                   /* of copies not the last one's, which may be a liar's */
		x.attempt = (uint32_t)stands;
	rc = read_log(c->batch, job, task, &x);
	if (rc >= 0) {
		gr_buf_add(out, piece.p, piece.n);
		*total = x.total;
	}
	gr_buf_fini(&piece);
	return rc;
}

/* ---- to those who follow ---- */

static int send_out(struct gr_batch *b, struct gr_follower *w, int stream, uint64_t offset, struct gr_slice data, uint32_t attempt)
{
	const struct gr_out_msg m = { w->job, w->task, attempt, (uint8_t)stream, 0, offset, data };
	struct gr_buf f = { 0 };

	if (w->sink)
		return w->sink->take(w->ctx, data);
	gr_out_encode(&f, &m);
	return gr_peers_send(b->c, w->peer, &f);
}

/* What the store has of @attempt (0: of the ordinal asked for) and the follower has not. Return: 0 all went, GR_EBUSY. */
static int send_stored(struct gr_batch *b, struct gr_follower *w, uint32_t attempt)
{
	struct gr_buf piece = { 0 };
	int rc = 0;

	for (int s = GR_STREAM_OUT; s <= GR_STREAM_ERR && rc >= 0; s++)
		while (w->wants[s]) {
			struct find x = { .b = b, .ordinal = attempt ? 0 : w->ordinal, .attempt = attempt, .stream = s, .offset = w->at[s],
					  .max = GR_WIRE_CHUNK_BYTES / 2, .out = &piece };

			if (read_log(b, w->job, w->task, &x) < 0)
				break;
			if (w->attempt && w->attempt != x.found)
				w->at[s] = x.offset = 0;
			if (w->attempt && w->attempt != x.found && read_log(b, w->job, w->task, &x) < 0)
				break;
			if (w->attempt != x.found) {
				w->at[3 - s] = w->attempt ? 0 : w->at[3 - s];
				w->attempt = x.found;
			}
			if (!piece.n)
				break;
			rc = send_out(b, w, s, w->at[s], gr_buf_slice(&piece), x.found);
			if (rc < 0)
				break;
			w->at[s] += piece.n;
		}
	gr_buf_fini(&piece);
	return rc;
}

static void follower_free(struct gr_follower *w)
{
	gr_list_del(&w->link);
	if (w->sink)
		w->sink->end(w->ctx);
	json_decref(w->id);
	free(w);
}

/* A sink's end says it. */
static int answer(struct gr_batch *b, const struct gr_follower *w, json_t *rep)
{
	if (w->peer)
		return gr_watch_reply(b, w->peer, w->id, rep);
	json_decref(rep);
	return 0;
}

/* Return: whether the answer went; a follower that takes nothing now gets it with a tick. */
static bool refuse(struct gr_batch *b, struct gr_follower *w, const char *why)
{
	if (answer(b, w, json_pack("{s:s, s:s}", "error", why, "code", "ENOENT")) == GR_EBUSY)
		return false;
	follower_free(w);
	return true;
}

static int find_ordinal(void *ctx, const struct gr_store_attempt_row *r)
{
	struct find *x = ctx;

	if (r->ordinal == x->ordinal)
		x->found = (uint32_t)r->attempt;
	return 0;
}

/* Whether there was or is the attempt that @w asked for. One that runs has no row for some milliseconds. */
static bool has_attempt(struct gr_batch *b, const struct gr_follower *w, struct gr_bj *j)
{
	const struct gr_btask *t = gr_bjob_find(&j->b, w->task);
	struct find x = { .ordinal = w->ordinal };

	if (!w->ordinal || (t && w->ordinal <= t->ordinal))
		return true;
	return gr_store_each_attempt(b->store, (int64_t)w->job, w->task, false, find_ordinal, &x) < 0 || x.found;
}

/* Return: as refuse. */
static bool finish(struct gr_batch *b, struct gr_follower *w, struct gr_bj *j)
{
	static const char *const kept[] = { "state", "exit_code", "signal", "cause" };
	json_t *row, *rep, *v;
	char why[64];

	if (!has_attempt(b, w, j)) {
		snprintf(why, sizeof(why), "task %u has no attempt %u", w->task, w->ordinal);
		return refuse(b, w, why);
	}
	row = gr_show_task_row(j, w->task);
	rep = json_object();
	for (size_t i = 0; i < GR_LEN(kept); i++)
		if ((v = json_object_get(row, kept[i])))
			json_object_set(rep, kept[i], v);
	json_decref(row);
	if (answer(b, w, rep) == GR_EBUSY)
		return false;
	follower_free(w);
	return true;
}

/* Return: true when the follower has all there will be (all there is, when it asked once), and is gone. */
static bool try_finish(struct gr_batch *b, struct gr_follower *w)
{
	struct gr_bj *j = gr_bj_find(b, w->job);
	struct gr_err err;
	int64_t state, attempt;
	uint8_t now;

	if (!j || gr_bj_load(j, &err) < 0)
		return refuse(b, w, "the job is gone");
	now = gr_states_get(&j->b.states, w->task);
	if (now < GR_B_DONE && w->is_once)
		return send_stored(b, w, 0) >= 0 && finish(b, w, j);
	if (now < GR_B_DONE)
		return false;
	attempt = gr_store_outcome_attempt(b->store, (int64_t)w->job, w->task, &state);
	if (!attempt && (now == GR_B_DONE || now == GR_B_FAILED))
		return false;                     /* on its way to the disk */
	if (send_stored(b, w, w->ordinal ? 0 : (uint32_t)attempt) < 0)
		return false;
	return finish(b, w, j);
}

static void follow(struct gr_batch *b, struct gr_follower *w, const struct gr_blive *l)
{
	const struct gr_follow_msg m = { w->job, w->task, l->number, true, w->at[GR_STREAM_OUT], w->at[GR_STREAM_ERR] };
	const struct gr_worker *worker = l->peer;
	struct gr_buf f = { 0 };

	gr_follow_encode(&f, &m);
	gr_peers_send(b->c, worker->peer, &f);
}

/* Of an attempt that runs, if one does. */
static void follow_live(struct gr_batch *b, struct gr_follower *w, struct gr_bj *j)
{
	struct gr_btask *t = gr_bjob_find(&j->b, w->task);

	for (uint32_t i = 0; t && i < t->n_lives; i++)
		if (!t->lives[i].is_lost && t->lives[i].peer && !t->lives[i].of) {
			w->attempt = t->lives[i].number;
			follow(b, w, &t->lives[i]);
			return;
		}
}

void gr_logs_began(struct gr_bj *j, uint32_t task, struct gr_blive *l)
{
	GR_LIST_EACH(w, &j->batch->followers, struct gr_follower, link)
		if (w->job == j->id && w->task == task && l->peer && !l->of && !w->is_once) {
			if (w->attempt != l->number && (w->attempt || !w->sink))
				w->at[GR_STREAM_OUT] = w->at[GR_STREAM_ERR] = 0;
			w->attempt = l->number;
			follow(j->batch, w, l);
		}
}

void gr_logs_out(struct gr_batch *b, const struct gr_out_msg *m)
{
	GR_LIST_EACH(w, &b->followers, struct gr_follower, link) {
		uint64_t skip;

		if (w->job != m->job || w->task != m->task || w->attempt != m->attempt || w->is_once || !w->wants[m->stream] ||
		    m->offset > w->at[m->stream] || m->offset + m->data.n <= w->at[m->stream])
			continue;
		skip = w->at[m->stream] - m->offset;
		if (send_out(b, w, m->stream, w->at[m->stream], gr_slice(m->data.p + skip, m->data.n - skip), m->attempt) >= 0)
			w->at[m->stream] = m->offset + m->data.n;
	}
}

int gr_batch_out(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	struct gr_out_msg m;
	struct gr_btask *t;
	struct gr_blive *l;
	struct gr_bj *j;
	int rc = gr_out_decode(body, &m);

	if (rc < 0)
		return rc;
	j = gr_bj_find(c->batch, m.job);
	t = j && j->spec && m.task < j->n_tasks ? gr_bjob_find(&j->b, (uint32_t)m.task) : NULL;
	l = t ? gr_btask_live(t, m.attempt) : NULL;
	if (l && l->peer == w)                    /* nobody speaks for another's attempt */
		gr_logs_out(c->batch, &m);
	return 0;
}

void gr_logs_over(struct gr_bj *j, uint32_t task)
{
	GR_LIST_EACH_SAFE(w, &j->batch->followers, struct gr_follower, link)
		if (w->job == j->id && w->task == task)
			try_finish(j->batch, w);
}

void gr_logs_tick(struct gr_batch *b)
{
	GR_LIST_EACH_SAFE(w, &b->followers, struct gr_follower, link)
		try_finish(b, w);
}

/* ---- questions ---- */

static int64_t num(const json_t *req, const char *key, int64_t def)
{
	const json_t *v = json_object_get(req, key);

	return json_is_integer(v) ? json_integer_value(v) : def;
}

/* NULL: too many follow already. */
static struct gr_follower *follower_add(struct gr_batch *b, uint64_t job, uint32_t task)
{
	struct gr_follower *w;
	uint32_t n = 0;

	GR_LIST_EACH(old, &b->followers, struct gr_follower, link)
		n++;
	if (n >= MAX_FOLLOWERS)
		return NULL;
	GR_NEW(w);
	w->job = job;
	w->task = task;
	gr_list_init(&w->link);
	gr_list_push(&b->followers, &w->link);
	return w;
}

void gr_logs_read(struct gr_batch *b, struct gr_peer *peer, const json_t *req)
{
	struct gr_bj *j = gr_bj_find(b, (uint64_t)num(req, "job", 0));
	int64_t task = num(req, "task", -1);
	struct gr_follower *w;
	struct gr_err err;

	if (!j || !j->is_committed || !gr_watch_may_see(b, peer, j) || gr_bj_load(j, &err) < 0 || task < 0 || task >= (int64_t)j->n_tasks) {
		gr_watch_refuse(b, peer, req, GR_ENOENT, "there is no such task");
		return;
	}
	if (num(req, "out", 0) < 0 || num(req, "err", 0) < 0 || num(req, "ordinal", 0) < 0 || num(req, "ordinal", 0) > UINT32_MAX) {
		gr_watch_refuse(b, peer, req, GR_EINVAL, "\"out\", \"err\" and \"ordinal\" are whole numbers from 0");
		return;                           /* a worker would take such an offset for our mistake, and hang up */
	}
	w = follower_add(b, j->id, (uint32_t)task);
	if (!w) {
		gr_watch_refuse(b, peer, req, GR_EBUSY, "too many follow already");
		return;
	}
	w->peer = peer;
	w->id = json_incref(json_object_get(req, "id"));
	w->ordinal = (uint32_t)num(req, "ordinal", 0);
	w->wants[GR_STREAM_OUT] = json_object_get(req, "out") != NULL;
	w->wants[GR_STREAM_ERR] = json_object_get(req, "err") != NULL;
	w->at[GR_STREAM_OUT] = (uint64_t)num(req, "out", 0);
	w->at[GR_STREAM_ERR] = (uint64_t)num(req, "err", 0);
	w->is_once = !json_is_true(json_object_get(req, "follow"));
	if (!try_finish(b, w) && !w->is_once)     /* what its full queue did not take goes with the ticks */
		follow_live(b, w, j);
}

void gr_logs_stop(struct gr_batch *b, struct gr_peer *peer, const json_t *req)
{
	GR_LIST_EACH_SAFE(x, &b->followers, struct gr_follower, link)
		if (x->peer == peer && x->id && json_equal(x->id, json_object_get(req, "of")))
			follower_free(x);
	gr_watch_reply(b, peer, json_object_get(req, "id"), json_object());
}

int gr_batch_log_follow(struct gr_coord *c, uint64_t job, uint32_t task, int stream, uint64_t offset, const struct gr_log_sink *sink, void *ctx,
			struct gr_follower **out)
{
	struct gr_batch *b = c->batch;
	struct gr_bj *j = gr_bj_find(b, job);
	struct gr_follower *w;
	struct gr_err err;

	if (!j || !j->is_committed || gr_bj_load(j, &err) < 0 || task >= j->n_tasks)
		return GR_ENOENT;
	w = follower_add(b, job, task);
	if (!w)
		return GR_EBUSY;
	w->sink = sink;
	w->ctx = ctx;
	w->wants[stream] = true;
	w->at[stream] = offset;
	if (gr_states_get(&j->b.states, task) < GR_B_DONE)
		follow_live(b, w, j);
	*out = w;
	return 0;
}

void gr_batch_log_more(struct gr_coord *c, struct gr_follower *w)
{
	try_finish(c->batch, w);
}

void gr_batch_log_stop(struct gr_follower **w)
{
	if (!*w)
		return;
	(*w)->sink = NULL;
	follower_free(*w);
	*w = NULL;
}

void gr_logs_peer_gone(struct gr_batch *b, struct gr_peer *peer)
{
	GR_LIST_EACH_SAFE(w, &b->followers, struct gr_follower, link)
		if (w->peer == peer)
			follower_free(w);
}

void gr_logs_close(struct gr_batch *b)
{
	GR_LIST_EACH_SAFE(w, &b->followers, struct gr_follower, link)
		follower_free(w);
}
