/* follow.c - see follow.h. Events say which tasks ended; what they printed is asked for then. After a break the tasks are
 * listed once, and a bit a task tells which are in the queue already. */
#include "client/job/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/view/jobs.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define NAP_MS 200
#define SHOW_EVERY_MS 2000          /* job.show, should an event have been lost */
#define LIST_AT_ONCE 1000

/* ---- one task's logs ---- */

struct log {
	struct gr_talk *b;
	json_t *req;                        /* of the call that runs; its offsets follow what came */
	uint64_t job, task, at[2];
	uint32_t attempt;
	int fds[2];
	struct gr_buf *into[2];             /* instead of fds */
	bool is_broken;                     /* nobody reads our output */
};

static void on_log_out(void *ctx, const struct gr_out_msg *m)
{
	struct log *l = ctx;
	int s = m->stream == GR_STREAM_ERR;
	struct gr_slice data = m->data;

	if (m->job != l->job || m->task != l->task || (m->stream != GR_STREAM_OUT && m->stream != GR_STREAM_ERR))
		return;
	if (l->attempt && m->attempt != l->attempt) {
		if (l->at[0] || l->at[1])
			gr_talk_note(l->b, "the task is tried again; its output begins anew");
		l->at[0] = l->at[1] = 0;
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

static int read_log(struct log *l, uint64_t ordinal, bool is_live, json_t **rep, struct gr_err *err)
{
	struct gr_talk *b = l->b;
	int rc;

	l->req = json_pack("{s:s, s:I, s:I, s:I, s:i, s:i, s:b}", "op", "logs.read", "job", (json_int_t)l->job, "task", (json_int_t)l->task,
			   "ordinal", (json_int_t)ordinal, "out", 0, "err", 0, "follow", is_live);
	b->on_out = on_log_out;
	b->out_ctx = l;
	rc = gr_talk_call(b, true, json_incref(l->req), rep, err);
	b->on_out = NULL;
	json_decref(l->req);
	return rc;
}

int gr_follow_logs(struct gr_talk *b, uint64_t job, uint64_t task, uint64_t ordinal, bool is_live, int out, int errout, json_t **rep,
		   struct gr_err *err)
{
	struct log l = { .b = b, .job = job, .task = task, .fds = { out, errout } };

	return read_log(&l, ordinal, is_live, rep, err);
}

/* ---- outputs ---- */

/* A link that one task left must not lead what another left out of the folder. Of @full, whose first @n_dir bytes are the folder, the
 * first part that is a symbolic link and has something below it, or is wanted as a folder; NULL none. It is cut there then. */
static const char *link_above(char *full, size_t n_dir, bool is_dir)
{
	struct stat st;

	for (char *p = full + n_dir + 1; *p; p++) {
		bool is_link;

		if (*p != '/' && (p[1] || !is_dir))
			continue;
		if (*p == '/')
			*p = 0;
		is_link = lstat(full, &st) == 0 && S_ISLNK(st.st_mode);
		if (is_link)
			return full;
		if (!*p)
			*p = '/';
	}
	return NULL;
}

static int fetch_one(struct gr_talk *b, uint64_t job, const json_t *o, const char *dir, struct gr_err *err)
{
	const char *path = json_string_value(json_object_get(o, "path")), *kind = gr_jstr(o, "kind"), *link;
	struct gr_buf full = { 0 }, tmp = { 0 };
	char *parent, *slash;
	struct gr_digest d;
	int fd, rc;

	if (!path || !*path || path[0] == '/' || !strcmp(path, "..") || !strncmp(path, "../", 3) || strstr(path, "/../"))
		return gr_err_set(err, GR_EPATH, "output \"%.100s\" would leave the folder", path ? path : "");
	gr_buf_printf(&full, "%s/%s", dir, path);
	link = link_above((char *)gr_buf_str(&full), strlen(dir), !strcmp(kind, "dir"));
	if (link) {
		rc = gr_err_set(err, GR_EPATH, "output \"%.100s\" lies below \"%.200s\", which is a symbolic link: remove it, or fetch to another folder",
				path, link);
		gr_buf_fini(&full);
		return rc;
	}
	parent = gr_xstrdup(gr_buf_str(&full));
	slash = strrchr(parent, '/');
	*slash = 0;
	rc = gr_mkdir_p(!strcmp(kind, "dir") ? gr_buf_str(&full) : parent, 0777, err);
	free(parent);
	if (rc == 0 && !strcmp(kind, "link")) {
		unlink(gr_buf_str(&full));
		if (symlink(gr_jstr(o, "target"), gr_buf_str(&full)) < 0)
			rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", gr_buf_str(&full), strerror(errno));
	} else if (rc == 0 && strcmp(kind, "dir")) {
		gr_buf_printf(&tmp, "%s.griddle-%d", gr_buf_str(&full), (int)getpid());
		fd = open(gr_buf_str(&tmp), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
		rc = fd < 0 ? gr_err_set(err, gr_err_errno(errno), "%s: %s", gr_buf_str(&tmp), strerror(errno)) :
		     gr_digest_parse(gr_jstr(o, "digest"), &d);
		if (fd >= 0 && rc == 0)
			rc = gr_rpc_download(b->rpc, job, &d, fd, err);
		if (fd >= 0) {
			mode_t mask = umask(0);

			umask(mask);
			if (fchmod(fd, ((gr_jnum(o, "mode") & 0111 ? 0777 : 0666) & ~mask)) < 0 || close(fd) < 0)
				rc = rc < 0 ? rc : gr_err_set(err, GR_EIO, "%s: %s", gr_buf_str(&tmp), strerror(errno));
		}
		if (rc == 0 && rename(gr_buf_str(&tmp), gr_buf_str(&full)) < 0)
			rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", gr_buf_str(&full), strerror(errno));
		if (rc < 0 && fd >= 0)
			unlink(gr_buf_str(&tmp));
	}
	gr_buf_fini(&full);
	gr_buf_fini(&tmp);
	return rc < 0 ? gr_err_wrap(err, "output %s", path) : 0;
}

int gr_follow_fetch(struct gr_talk *b, uint64_t job, uint64_t task, const char *dir, struct gr_err *err)
{
	json_t *rep = NULL, *o;
	size_t i;
	int n = 0, rc = gr_talk_call(b, true, json_pack("{s:s, s:I, s:I}", "op", "task.show", "job", (json_int_t)job, "task", (json_int_t)task),
				      &rep, err);

	if (rc < 0)
		return rc;
	json_array_foreach(json_object_get(rep, "outputs"), i, o) {
		rc = fetch_one(b, job, o, dir, err);
		if (rc < 0)
			break;
		n++;
	}
	json_decref(rep);
	return rc < 0 ? rc : n;
}

/* ---- the job ---- */

struct follow {
	struct gr_talk *b;
	const struct gr_follow_opts *o;
	struct gr_jobline *line;
	uint64_t job, n_tasks, next;        /* next: keeps_order: the task whose turn it is */
	uint8_t *is_ended;                  /* a bit a task */
	uint32_t *queue;                    /* tasks that ended, in that order; printed up to i_queue */
	size_t i_queue, n_queue, cap_queue;
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

static void put_tagged(FILE *out, const struct gr_buf *b, const char *tag)
{
	const char *p = (const char *)b->p, *end = p + b->n, *nl;

	for (; p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		fprintf(out, "%s\t", tag);
		fwrite(p, 1, (size_t)((nl ? nl : end) - p), out);
		fputc('\n', out);
		if (!nl)
			break;
	}
}

static const char *tag_of(struct follow *f, uint64_t task, struct gr_buf *text)
{
	json_t *rep = NULL, *v;
	size_t i;

	if (gr_talk_call(f->b, true, json_pack("{s:s, s:I, s:I}", "op", "task.show", "job", (json_int_t)f->job, "task", (json_int_t)task), &rep, NULL) == 0)
		json_array_foreach(json_object_get(rep, "values"), i, v)
			gr_buf_printf(text, "%s%s", i ? " " : "", json_string_value(v));
	json_decref(rep);
	if (!text->n)
		gr_buf_printf(text, "%" PRIu64, task);
	return gr_buf_str(text);
}

static int print_task(struct follow *f, uint64_t task, struct gr_err *err)
{
	struct gr_buf out = { 0 }, errs = { 0 }, tag = { 0 };
	struct log l = { .b = f->b, .job = f->job, .task = task, .into = { &out, &errs } };
	json_t *rep = NULL;
	struct gr_err e;
	int rc = read_log(&l, 0, false, &rep, err);

	if (rc == GR_ENOENT || rc == GR_ESTATE) {       /* it has none: cancelled before it began, or not kept */
		rc = 0;
	} else if (rc == 0) {
		bool is_good = json_is_integer(json_object_get(rep, "exit_code")) && !gr_jnum(rep, "exit_code") && !gr_jnum(rep, "signal");

		if (out.n || errs.n)
			gr_jobline_hide(f->line);
		if (f->o->tags && (out.n || errs.n)) {
			tag_of(f, task, &tag);
			put_tagged(stdout, &out, gr_buf_str(&tag));
			fflush(stdout);
			put_tagged(stderr, &errs, gr_buf_str(&tag));
		} else {
			if (out.n)
				fwrite(out.p, 1, out.n, stdout);
			fflush(stdout);
			if (errs.n)
				fwrite(errs.p, 1, errs.n, stderr);
		}
		if (is_good && f->o->fetch_to && gr_follow_fetch(f->b, f->job, task, f->o->fetch_to, &e) < 0)
			gr_talk_note(f->b, "task %" PRIu64 ": %s", task, e.text);
	}
	gr_buf_fini(&out);
	gr_buf_fini(&errs);
	gr_buf_fini(&tag);
	json_decref(rep);
	return rc;
}

static int print_ended(struct follow *f, struct gr_err *err)
{
	int rc = 0;

	while (rc == 0) {
		uint64_t task;

		if (f->o->keeps_order ? f->next >= f->n_tasks || !bit(f->is_ended, f->next) : f->i_queue == f->n_queue)
			break;
		task = f->o->keeps_order ? f->next++ : f->queue[f->i_queue++];
		rc = print_task(f, task, err);
		gr_jobline_update(f->line, f->job, f->counts, f->n_tasks, gr_rpc_now_ms(f->b->rpc));
	}
	return rc;
}

/* A signal: the job is cancelled, or left alone. A second one ends at once. */
static int interrupted(struct follow *f, struct gr_follow_end *end, struct gr_err *err)
{
	int signum = gr_rpc_take_signal(f->b->rpc), rc;

	gr_jobline_hide(f->line);
	if (!f->o->cancels) {
		end->is_detached = true;
		gr_talk_note(f->b, "job %" PRIu64 " goes on; `griddle job cancel %" PRIu64 "` ends it", f->job, f->job);
		return gr_err_set(err, GR_EGONE, "interrupted");
	}
	gr_talk_note(f->b, "cancelling job %" PRIu64, f->job);
	rc = gr_talk_call(f->b, false, json_pack("{s:s, s:I, s:s}", "op", "job.cancel", "job", (json_int_t)f->job, "reason",
						  signum == 2 ? "interrupted by its user" : "its user's program was ended"), NULL, err);
	if (rc < 0)
		gr_talk_note(f->b, "job %" PRIu64 " could not be cancelled: %s", f->job, err->text);
	return gr_err_set(err, GR_EGONE, "interrupted");
}

static int live(struct follow *f, struct gr_follow_end *end, struct gr_err *err)
{
	json_t *rep = NULL;
	int rc = gr_follow_logs(f->b, f->job, 0, 0, true, 1, 2, &rep, err);

	if (rc < 0)
		return rc;
	end->exit_code = (int)gr_jnum(rep, "exit_code");
	end->signum = (int)gr_jnum(rep, "signal");
	snprintf(end->cause, sizeof(end->cause), "%s", gr_jstr(rep, "cause"));
	snprintf(end->state, sizeof(end->state), "%s", gr_jstr(rep, "state"));
	json_decref(rep);
	if (f->o->fetch_to && !end->exit_code && !end->signum) {
		rc = gr_follow_fetch(f->b, f->job, 0, f->o->fetch_to, err);
		if (rc < 0)
			return rc;
	}
	return gr_talk_call(f->b, true, json_pack("{s:s, s:I}", "op", "job.show", "job", (json_int_t)f->job), &end->show, err);
}

static int wait_over(struct follow *f, struct gr_follow_end *end, struct gr_err *err)
{
	int rc = 0;

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
	return rc;
}

int gr_follow(struct gr_talk *b, uint64_t job, uint64_t n_tasks, const struct gr_follow_opts *o, struct gr_follow_end *end, struct gr_err *err)
{
	struct follow f = { .b = b, .o = o, .job = job, .n_tasks = n_tasks, .begun_ms = gr_rpc_now_ms(b->rpc) };
	int rc;

	*end = (struct gr_follow_end){ 0 };
	f.is_ended = gr_xalloc(n_tasks / 8 + 1);
	f.line = gr_jobline_new(o->is_quiet || o->what == GR_FOLLOW_LIVE);
	b->ctx = &f;
	b->on_event = on_event;
	b->on_up = on_up;
	b->on_note = on_note;
	rc = o->what == GR_FOLLOW_LIVE ? live(&f, end, err) : wait_over(&f, end, err);
	if (rc == GR_EGONE)
		rc = interrupted(&f, end, err);
	gr_jobline_free(&f.line);
	b->on_event = NULL;
	b->on_up = NULL;
	b->on_note = NULL;
	if (rc == 0 && !o->is_quiet && o->what != GR_FOLLOW_LIVE)
		gr_jobs_summary(end->show, gr_rpc_now_ms(b->rpc) - f.begun_ms, stderr);
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
