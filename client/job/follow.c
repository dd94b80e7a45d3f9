/* follow.c - see follow.h. Events say which tasks ended; what they printed is asked for then (logs.c), and what they made (fetch.c). After
 * a break the tasks are listed once, and a bit a task tells which are in the queue already. */
#include "client/job/follow.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/job/fetch.h"
#include "client/job/logs.h"
#include "client/view/jobs.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define NAP_MS 200
#define SHOW_EVERY_MS 2000          /* job.show, should an event have been lost */
#define LIST_AT_ONCE 1000

struct follow {
	struct gr_talk *b;
	const struct gr_follow_opts *o;
	struct gr_jobline *line;
	uint64_t job, n_tasks, next;        /* next: keeps_order: the task whose turn it is to be asked for */
	uint8_t *is_ended;                  /* a bit a task */
	uint32_t *queue;                    /* tasks that ended, in that order; asked for up to i_queue */
	size_t i_queue, n_queue, cap_queue;
	struct gr_logs *logs;               /* of those asked for and not printed yet */
	bool is_within[2];                  /* a line with a tag, of stdout and stderr */
	struct gr_fetch *fetch;             /* of those printed; NULL: nothing is fetched */
	uint64_t n_unfetched;
	struct gr_err why_unfetched;        /* the first */
	json_t *counts;
	bool must_look, is_over, wants_list;
	uint64_t begun_ms, shown_ms;
};

static bool bit(const uint8_t *bits, uint64_t i) { return bits[i / 8] >> i % 8 & 1; }
static void set_bit(uint8_t *bits, uint64_t i) { bits[i / 8] |= (uint8_t)(1 << i % 8); }

static bool is_over_state(const char *s) { return !strcmp(s, "done") || !strcmp(s, "failed") || !strcmp(s, "cancelled"); }

static void task_ended(struct follow *f, uint64_t task)
{
	if (f->o->what != GR_FOLLOW_ENDED || task >= f->n_tasks || bit(f->is_ended, task))
		return;
	set_bit(f->is_ended, task);
	GR_GROW(f->queue, f->cap_queue, f->n_queue + 1);
	f->queue[f->n_queue++] = (uint32_t)task;
}

static void on_event(void *ctx, const json_t *e)
{
	struct follow *f = ctx;
	const char *type = gr_jstr(e, "type"), *state = gr_jstr(e, "state");

	if (!strcmp(type, "reset"))
		f->must_look = f->wants_list = true;
	if ((uint64_t)gr_jnum(e, "job") == f->job) {
		if (!strcmp(type, "task.ended")) {
			task_ended(f, (uint64_t)gr_jnum(e, "task"));
		} else if (!strcmp(type, "job.progress") && json_object_get(e, "counts")) {
			json_decref(f->counts);
			f->counts = json_incref(json_object_get(e, "counts"));
		} else if (!strcmp(type, "job.state")) {
			f->must_look |= is_over_state(state);
		}
	}
	gr_rpc_poke(f->b->rpc);
}

static void on_up(void *ctx)
{
	struct follow *f = ctx;

	f->must_look = f->wants_list = true;
	gr_rpc_poke(f->b->rpc);
}

static void on_note(void *ctx)
{
	struct follow *f = ctx;

	gr_jobline_hide(f->line);
}

/* Subscribes, lists what ended before, and looks whether the job is over. */
static int look(struct follow *f, struct gr_follow_end *end, struct gr_err *err)
{
	json_t *rep = NULL, *t;
	uint64_t after = 0;
	bool is_first = true;
	size_t i;
	int rc = 0;

	f->must_look = false;
	if (f->wants_list) {
		f->wants_list = false;
		rc = gr_talk_call(f->b, true, json_pack("{s:s, s:i, s:I, s:b}", "op", "events.subscribe", "since", 0, "job", (json_int_t)f->job,
							 "tasks", f->o->what == GR_FOLLOW_ENDED), NULL, err);
		/* before job.show: what ends between the two is then in the list, or comes as an event */
		while (rc == 0 && f->o->what == GR_FOLLOW_ENDED) {
			json_t *req = json_pack("{s:s, s:I, s:i}", "op", "task.ls", "job", (json_int_t)f->job, "limit", LIST_AT_ONCE);

			if (!is_first)
				json_object_set_new(req, "after", json_integer((json_int_t)after));
			rc = gr_talk_call(f->b, true, req, &rep, err);
			if (rc < 0)
				break;
			json_array_foreach(json_object_get(rep, "tasks"), i, t) {
				after = (uint64_t)gr_jnum(t, "task");
				if (is_over_state(gr_jstr(t, "state")))
					task_ended(f, after);
			}
			is_first = false;
			if (!json_is_integer(json_object_get(rep, "next"))) {
				json_decref(rep);
				break;
			}
			after = (uint64_t)gr_jnum(rep, "next");
			json_decref(rep);
		}
	}
	rep = NULL;
	if (rc == 0)
		rc = gr_talk_call(f->b, true, json_pack("{s:s, s:I}", "op", "job.show", "job", (json_int_t)f->job), &rep, err);
	if (rc < 0)
		return rc;
	json_decref(f->counts);
	f->counts = json_incref(json_object_get(rep, "counts"));
	f->is_over = is_over_state(gr_jstr(rep, "state"));
	json_decref(end->show);
	end->show = rep;
	snprintf(end->state, sizeof(end->state), "%s", gr_jstr(rep, "state"));
	return 0;
}

/* Lines begin with @tag; *is_within: one has begun and goes on. */
static void put_tagged(FILE *out, struct gr_slice data, const char *tag, bool *is_within)
{
	const char *p = (const char *)data.p, *end = p + data.n;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *to = nl ? nl + 1 : end;

		if (!*is_within)
			fprintf(out, "%s\t", tag);
		fwrite(p, 1, (size_t)(to - p), out);
		*is_within = !nl;
		p = to;
	}
}

static const char *tag_of(const struct gr_task_log *t, struct gr_buf *text)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(t->show, "values"), i, v)
		gr_buf_printf(text, "%s%s", i ? " " : "", json_string_value(v));
	if (!text->n)
		gr_buf_printf(text, "%" PRIu64, t->task);
	return gr_buf_str(text);
}

static void print_piece(void *ctx, const struct gr_task_log *t, int stream, struct gr_slice data)
{
	bool is_err = stream == GR_STREAM_ERR;
	FILE *out = is_err ? stderr : stdout;
	struct gr_buf tag = { 0 };
	struct follow *f = ctx;

	if ((is_err ? f->o->hides_err : f->o->hides_out) || f->b->lost)
		return;
	gr_jobline_hide(f->line);
	errno = 0;
	if (f->o->tags)
		put_tagged(out, data, tag_of(t, &tag), &f->is_within[is_err]);
	else
		fwrite(data.p, 1, data.n, out);
	if (fflush(out) || ferror(out))
		gr_talk_lost(f->b, stream, errno);
	gr_buf_fini(&tag);
}

/* Its last lines may have no end. */
static void end_lines(struct follow *f)
{
	for (int i = 0; i < 2; i++)
		if (f->is_within[i])
			fputc('\n', i ? stderr : stdout);
	f->is_within[0] = f->is_within[1] = false;
	errno = 0;
	if (fflush(stdout) || ferror(stdout))
		gr_talk_lost(f->b, GR_STREAM_OUT, errno);
}

static bool is_good(const struct gr_task_log *t)
{
	return json_is_integer(json_object_get(t->end, "exit_code")) && !gr_jnum(t->end, "exit_code") && !gr_jnum(t->end, "signal");
}

static void not_fetched(struct follow *f, uint64_t task, const struct gr_err *why)
{
	gr_talk_note(f->b, "task %" PRIu64 ": %s", task, why->text);
	if (!f->n_unfetched++)
		f->why_unfetched = *why;
}

/* What is on its way, until there is room for one more task's, or, @whole, until all of it is here. */
static int take_fetched(struct follow *f, bool whole, struct gr_err *err)
{
	struct gr_fetched done;
	int rc = 0;

	while (rc == 0 && f->fetch && (whole ? !gr_fetch_is_empty(f->fetch) : gr_fetch_is_full(f->fetch))) {
		rc = gr_fetch_pop(f->fetch, &done, err);
		if (rc == 0 && done.rc < 0)
			not_fetched(f, done.task, &done.why);
	}
	return rc;
}

static int fetch_task(struct follow *f, const struct gr_task_log *t, struct gr_err *err)
{
	int rc = 0;

	if (!f->fetch || !is_good(t))
		return 0;
	if (!t->show) {
		not_fetched(f, t->task, &t->why);
		return 0;
	}
	rc = take_fetched(f, false, err);
	if (rc == 0)
		gr_fetch_push(f->fetch, t->task, t->show, f->o->fetch_to);
	return rc;
}

/* Whose output is wanted next and there is. */
static bool next_ended(struct follow *f, uint64_t *task)
{
	if (f->o->keeps_order ? f->next >= f->n_tasks || !bit(f->is_ended, f->next) : f->i_queue == f->n_queue)
		return false;
	*task = f->o->keeps_order ? f->next++ : f->queue[f->i_queue++];
	return true;
}

static int print_ended(struct follow *f, struct gr_err *err)
{
	struct gr_task_log t;
	uint64_t task;
	int rc = 0;

	while (rc == 0) {
		while (!gr_logs_is_full(f->logs) && next_ended(f, &task))
			gr_logs_push(f->logs, task);
		if (gr_logs_is_empty(f->logs))
			break;
		rc = gr_logs_pop(f->logs, &t, err);
		end_lines(f);
		if (rc == 0 && !t.rc)
			rc = fetch_task(f, &t, err);
		gr_task_log_fini(&t);
		gr_jobline_update(f->line, f->job, f->counts, f->n_tasks, gr_rpc_now_ms(f->b->rpc));
	}
	return rc < 0 ? rc : take_fetched(f, true, err);
}

static void cancel(struct follow *f, const char *why, const char *reason)
{
	struct gr_err err;
	int rc;

	gr_talk_note(f->b, "cancelling job %" PRIu64 "%s%s", f->job, *why ? ": " : "", why);
	rc = gr_talk_call(f->b, false, json_pack("{s:s, s:I, s:s}", "op", "job.cancel", "job", (json_int_t)f->job, "reason", reason), NULL, &err);
	if (rc < 0 && rc != GR_ESTATE)          /* it may have ended meanwhile */
		gr_talk_note(f->b, "job %" PRIu64 " could not be cancelled: %s", f->job, err.text);
}

/* What would be printed further is not wanted either, as by a SIGPIPE; but the job does not go on alone. @rc: what would be ended with. */
static int unprinted(struct follow *f, int rc, struct gr_err *err)
{
	struct gr_err why = { 0 };
	int code = gr_talk_lost_err(f->b, &why);

	gr_rpc_take_signal(f->b->rpc);
	if (f->o->cancels && !f->is_over)
		cancel(f, code == GR_EGONE ? why.text : "", code == GR_EGONE ? why.text : "its user's machine could not take its output");
	if (code == GR_EGONE)
		return f->is_over ? rc : gr_err_set(err, GR_EGONE, "interrupted");
	return gr_err_set(err, code, "%s; `griddle job logs %" PRIu64 "` prints what there is again", why.text, f->job);
}

/* A signal: the job is cancelled, or left alone. A second one ends at once. */
static int interrupted(struct follow *f, struct gr_follow_end *end, struct gr_err *err)
{
	int signum = gr_rpc_take_signal(f->b->rpc);

	gr_jobline_hide(f->line);
	if (!f->o->cancels) {
		end->is_detached = true;
		gr_talk_note(f->b, "job %" PRIu64 " goes on; `griddle job cancel %" PRIu64 "` ends it", f->job, f->job);
		return gr_err_set(err, GR_EGONE, "interrupted");
	}
	cancel(f, "", signum == SIGINT ? "interrupted by its user" : "its user's program was ended");
	return gr_err_set(err, GR_EGONE, "interrupted");
}

/* A task that ended well and failed all the same: no output, say. Its last attempt has the words. */
static int ask_reason(struct follow *f, struct gr_follow_end *end, struct gr_err *err)
{
	const json_t *list;
	json_t *task = NULL;
	int rc = gr_talk_call(f->b, true, json_pack("{s:s, s:I, s:i}", "op", "task.show", "job", (json_int_t)f->job, "task", 0), &task, err);

	list = json_object_get(task, "attempts");
	snprintf(end->reason, sizeof(end->reason), "%s", gr_jstr(json_array_get(list, json_array_size(list) - 1), "reason"));
	json_decref(task);
	return rc;
}

static int live(struct follow *f, struct gr_follow_end *end, struct gr_err *err)
{
	struct gr_fetched done;
	json_t *rep = NULL;
	int rc = gr_logs_copy(f->b, f->job, 0, 0, true, 1, 2, &rep, err);

	if (rc < 0)
		return rc;
	f->is_over = true;
	if (f->b->lost)                         /* it is over all the same: what it made is still wanted */
		gr_rpc_take_signal(f->b->rpc);
	end->exit_code = (int)gr_jnum(rep, "exit_code");
	end->signum = (int)gr_jnum(rep, "signal");
	snprintf(end->cause, sizeof(end->cause), "%s", gr_jstr(rep, "cause"));
	snprintf(end->state, sizeof(end->state), "%s", gr_jstr(rep, "state"));
	json_decref(rep);
	if (!end->exit_code && !end->signum && !strcmp(end->state, "failed")) {
		rc = ask_reason(f, end, err);
		if (rc < 0)
			return rc;
	}
	if (f->o->fetch_to && !end->exit_code && !end->signum) {
		f->fetch = gr_fetch_new(f->b, f->job);
		gr_fetch_push(f->fetch, 0, NULL, f->o->fetch_to);
		rc = gr_fetch_pop(f->fetch, &done, err);
		gr_fetch_free(&f->fetch);
		if (rc == 0 && done.rc < 0)
			rc = gr_err_set(err, done.rc, "%s", done.why.text);
		if (rc < 0)
			return rc;
	}
	return gr_talk_call(f->b, true, json_pack("{s:s, s:I}", "op", "job.show", "job", (json_int_t)f->job), &end->show, err);
}

static int wait_over(struct follow *f, struct gr_follow_end *end, struct gr_err *err)
{
	int rc = 0;

	f->logs = gr_logs_new(f->b, f->job, f->o->tags || f->o->fetch_to, print_piece, f);
	f->fetch = f->o->fetch_to ? gr_fetch_new(f->b, f->job) : NULL;
	f->must_look = f->wants_list = true;
	while (rc == 0) {
		uint64_t now = gr_rpc_now_ms(f->b->rpc);

		if (now - f->shown_ms > SHOW_EVERY_MS) {
			f->must_look = true;
			f->shown_ms = now;
		}
		if (f->must_look)
			rc = look(f, end, err);
		if (rc == 0)
			gr_jobline_update(f->line, f->job, f->counts, f->n_tasks, gr_rpc_now_ms(f->b->rpc));
		if (rc == 0)
			rc = print_ended(f, err);
		if (rc < 0 || (f->is_over && !f->must_look))
			break;
		if (gr_rpc_sleep(f->b->rpc, NAP_MS) < 0)
			rc = gr_err_set(err, GR_EGONE, "interrupted");
	}
	/* the last events may be on their way still: once more, from the list */
	if (rc == 0 && f->o->what == GR_FOLLOW_ENDED) {
		f->wants_list = true;
		rc = look(f, end, err);
		if (rc == 0)
			rc = print_ended(f, err);
	}
	gr_fetch_free(&f->fetch);
	gr_logs_free(&f->logs);
	return rc;
}

int gr_follow(struct gr_talk *b, uint64_t job, uint64_t n_tasks, const struct gr_follow_opts *o, struct gr_follow_end *end, struct gr_err *err)
{
	struct follow f = { .b = b, .o = o, .job = job, .n_tasks = n_tasks, .begun_ms = gr_rpc_now_ms(b->rpc) };
	int rc;

	*end = (struct gr_follow_end){ 0 };
	f.is_ended = gr_xalloc(n_tasks / 8 + 1);
	f.line = gr_jobline_new(o->is_quiet || o->what == GR_FOLLOW_LIVE);
	if (o->cancels)
		signal(SIGPIPE, SIG_IGN);
	b->ctx = &f;
	b->on_event = on_event;
	b->on_up = on_up;
	b->on_note = on_note;
	rc = o->what == GR_FOLLOW_LIVE ? live(&f, end, err) : wait_over(&f, end, err);
	if (b->lost)
		rc = unprinted(&f, rc, err);
	else if (rc == GR_EGONE)
		rc = interrupted(&f, end, err);
	gr_jobline_free(&f.line);
	b->on_event = NULL;
	b->on_up = NULL;
	b->on_note = NULL;
	if (rc == 0 && !o->is_quiet && o->what != GR_FOLLOW_LIVE)
		gr_jobs_summary(end->show, gr_rpc_now_ms(b->rpc) - f.begun_ms, stderr);
	if (rc == 0 && f.n_unfetched)
		rc = gr_err_set(err, f.why_unfetched.code, "what %" PRIu64 " tasks made is not here; `griddle job fetch %" PRIu64 "` fetches again",
				f.n_unfetched, job);
	json_decref(f.counts);
	free(f.queue);
	free(f.is_ended);
	return rc;
}

void gr_follow_end_fini(struct gr_follow_end *e)
{
	json_decref(e->show);
	e->show = NULL;
}
