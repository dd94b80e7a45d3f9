/*
 * result.c - what came of a task, and keeping it until the coordinator has it
 *
 * Outputs are opened only at the paths the task declared, regular files only, never through a link; then they leave the
 * tree and the task lets slot and files go. They are read with sizes capped and compressed by a thread when that is more
 * than the loop should do (64 MiB take a second to compress; a heartbeat must not wait for that). The encoded RESULT is kept and sent again after a reconnect until RESULT_ACK; kept bytes
 * are bounded, and beyond the bound the oldest is dropped (the coordinator then runs the task again).
 */
#include "worker/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "worker/map_paths.h"

#define LOOP_RAW_BYTES (1u << 20)     /* more than takes the loop's thread about a millisecond: read, */
#define LOOP_PACK_BYTES (64u << 10)   /* and compressed */

/* One ended task's result being made. Everything in it is its own: a thread may work on it. */
struct gr_reading {
	uv_work_t work;
	struct gr_wtask *t;     /* NULL: nobody wants it any more */
	struct gr_result_msg m;
	struct gr_buf out, err, files[GR_WIRE_MAX_OUTPUTS], frame;
	struct {
		int fd, error;
		bool is_required, is_depfile;
		uint64_t size;
		uint32_t mode;
	} opened[GR_WIRE_MAX_OUTPUTS];
	uint32_t n_opened;
	int out_fd, err_fd;
	bool has_run, is_compressing;
	enum gr_cc_family family;
	char reason[512];
	char root[4352];        /* landlock: what is taken out again */
};

static void refuse(struct gr_reading *r, int outcome, const char *reason)
{
	r->m.outcome = (uint8_t)outcome;
	snprintf(r->reason, sizeof(r->reason), "%s", reason);
	r->m.n_outputs = 0;
}

/* The offset is the children's too: where it stands is how much was written. */
static int read_stream(int fd, struct gr_buf *b)
{
	off_t n = lseek(fd, 0, SEEK_CUR);

	if (n <= 0)
		return 0;
	if ((uint64_t)n >= GR_WIRE_MAX_STREAM_BYTES)
		return GR_ELIMIT;
	gr_buf_reserve(b, (size_t)n + 1);
	if (pread(fd, b->p, (size_t)n, 0) != n)
		return GR_EIO;
	b->n = (size_t)n;
	b->p[b->n] = 0;
	return 0;
}

/* Of the texts a compile leaves, stack usage (.su) and call graphs (.ci) have lines of their own; the rest are depfiles,
 * which -MF may name as it likes. */
static bool is_depfile(const char *name)
{
	size_t n = strlen(name);

	return n < 3 || (strcmp(name + n - 3, ".su") && strcmp(name + n - 3, ".ci"));
}

static void unmap_file(struct gr_reading *r, bool is_depfile_, struct gr_buf *b)
{
	if (!r->root[0] || !gr_mentions(r->root, gr_buf_slice(b)))
		return;
	if (b->n > 4 && !memcmp(b->p, "\177ELF", 4)) {
		refuse(r, GR_OUTCOME_REFUSED, "the landlock tier left its own paths in the object");
		return;
	}
	if (is_depfile_)
		gr_unmap_depfile(r->root, r->family, b);
	else
		gr_unmap_text(r->root, b);
}

static void read_output(struct gr_reading *r, uint32_t i, uint64_t *total)
{
	struct gr_result_out *o = &r->m.outputs[r->m.n_outputs];
	struct gr_buf *b = &r->files[i];
	int rc = 0;

	if (r->opened[i].fd < 0) {
		if (r->opened[i].error != ENOENT)
			refuse(r, GR_OUTCOME_REFUSED, "an output is not a regular file");
		else if (r->opened[i].is_required && r->m.exit_code == 0 && r->m.term_signal == 0)
			refuse(r, GR_OUTCOME_RETRY, "an output that must be there is not");
		return;
	}
	if (r->opened[i].size > GR_WIRE_MAX_OUTPUT_BYTES - *total)
		rc = GR_ELIMIT;
	if (rc == 0)
		rc = gr_file_read_fd(r->opened[i].fd, (size_t)r->opened[i].size, b);
	if (rc < 0) {
		refuse(r, rc == GR_ELIMIT ? GR_OUTCOME_REFUSED : GR_OUTCOME_RETRY,
		       rc == GR_ELIMIT ? "outputs beyond the size limit" : "an output could not be read");
		return;
	}
	*total += b->n;
	unmap_file(r, r->opened[i].is_depfile, b);
	if (r->m.outcome != GR_OUTCOME_DONE)
		return;
	o->index = i;
	o->mode = r->opened[i].mode;
	o->size = b->n;
	o->enc = GR_ENC_RAW;
	if (r->is_compressing) {
		struct gr_buf packed = { 0 };

		o->enc = (uint8_t)gr_pack(gr_buf_slice(b), &packed);
		gr_buf_fini(b);
		*b = packed;
	}
	o->data = gr_buf_slice(b);
	r->m.n_outputs++;
}

static bool says(const struct gr_buf *b, const char *text)
{
	return b->n && memmem(b->p, b->n, text, strlen(text));
}

/* Any thread. */
static void read_all(struct gr_reading *r)
{
	uint64_t total = 0;

	if (read_stream(r->out_fd, &r->out) < 0 || read_stream(r->err_fd, &r->err) < 0) {
		refuse(r, GR_OUTCOME_REFUSED, "printed more than fits");
		return;
	}
	if (r->root[0]) {
		gr_unmap_text(r->root, &r->out);
		gr_unmap_text(r->root, &r->err);
	}
	if (r->m.term_signal == SIGKILL || says(&r->err, "Killed signal terminated program") ||
	    (r->m.exit_code && (says(&r->err, "out of memory allocating") || says(&r->err, "virtual memory exhausted")))) {
		refuse(r, GR_OUTCOME_OOM, "killed for its memory");
		return;
	}
	if (r->m.exit_code && says(&r->err, "No space left on device")) {
		refuse(r, GR_OUTCOME_RETRY, "disk full");
		return;
	}
	for (uint32_t i = 0; i < r->n_opened && r->m.outcome == GR_OUTCOME_DONE; i++)
		read_output(r, i, &total);
}

/* Any thread. */
static void make_frame(struct gr_reading *r)
{
	if (r->has_run && r->m.outcome == GR_OUTCOME_DONE)
		read_all(r);
	r->m.reason = gr_slice_str(r->reason);
	if (r->m.outcome == GR_OUTCOME_DONE) {
		r->m.out = gr_buf_slice(&r->out);
		r->m.err = gr_buf_slice(&r->err);
	}
	gr_result_encode(&r->frame, &r->m);
}

/* What is at the paths of the outputs now. They may leave the tree after it: the descriptors stay. */
static void open_outputs(struct gr_wtask *t, struct gr_reading *r, const struct gr_sandbox_event *ev)
{
	struct gr_worker *w = t->w;
	struct stat st;

	r->has_run = true;
	r->m.cpu_us = ev->cpu_us;
	r->m.max_rss_bytes = ev->max_rss_bytes;
	if (WIFSIGNALED(ev->status))
		r->m.term_signal = WTERMSIG(ev->status);
	else
		r->m.exit_code = WEXITSTATUS(ev->status);
	if (r->m.outcome != GR_OUTCOME_DONE)
		return;
	r->family = t->tool->tc->family;
	r->is_compressing = w->is_compressing;
	if (w->tier == GR_TIER_LANDLOCK)
		snprintf(r->root, sizeof(r->root), "%s/%s/root", w->start.state_path, t->s->dir);
	for (uint32_t i = 0; i < t->m.n_outputs; i++) {
		const char *name = gr_session_str(t->s, t->m.outputs[i].path);
		int fd = gr_tree_open_file(t->s, name);

		r->opened[i].error = fd < 0 ? errno : 0;
		if (fd >= 0 && fstat(fd, &st) < 0) {
			r->opened[i].error = EIO;
			close(fd);
			fd = -1;
		}
		r->opened[i].fd = fd;
		r->opened[i].is_required = t->m.outputs[i].flags & GR_OUTPUT_REQUIRED;
		r->opened[i].is_depfile = is_depfile(name);
		if (fd >= 0) {
			r->opened[i].size = (uint64_t)st.st_size;
			r->opened[i].mode = st.st_mode & 0111 ? 0755 : 0644;
		}
		r->n_opened++;
	}
}

/* Whether it is more work than the loop should do. */
static bool is_much(const struct gr_reading *r)
{
	uint64_t n = 0;
	off_t at;

	for (uint32_t i = 0; i < r->n_opened; i++)
		n += r->opened[i].size;
	at = lseek(r->out_fd, 0, SEEK_CUR);
	n += at > 0 ? (uint64_t)at : 0;
	at = lseek(r->err_fd, 0, SEEK_CUR);
	n += at > 0 ? (uint64_t)at : 0;
	return n > (r->is_compressing ? LOOP_PACK_BYTES : LOOP_RAW_BYTES);
}

static void reading_free(struct gr_reading *r)
{
	gr_buf_fini(&r->out);
	gr_buf_fini(&r->err);
	gr_buf_fini(&r->frame);
	for (uint32_t i = 0; i < r->n_opened; i++) {
		gr_buf_fini(&r->files[i]);
		if (r->opened[i].fd >= 0)
			close(r->opened[i].fd);
	}
	if (r->out_fd >= 0)
		close(r->out_fd);
	if (r->err_fd >= 0)
		close(r->err_fd);
	free(r);
}

static void hold(struct gr_worker *w, struct gr_wtask *t, struct gr_buf *frame)
{
	gr_buf_fini(&t->frame);
	t->frame = *frame;
	w->held_bytes += t->frame.n;
	while (w->held_bytes > GR_WORKER_MAX_HELD_BYTES) {
		struct gr_wtask *old = GR_CONTAINER(w->lists[GR_TS_HELD].next, struct gr_wtask, link);

		if (old == t)
			break;
		gr_warn("result", "too many results wait to be acknowledged: the oldest is dropped");
		gr_result_acked(w, old->key.session, old->key.task, (uint32_t)old->key.attempt);
	}
}

static bool send_one(struct gr_worker *w, struct gr_wtask *t)
{
	struct gr_buf copy = { 0 };

	if (!gr_link_is_up(w->link))
		return false;
	gr_buf_add(&copy, t->frame.p, t->frame.n);
	t->is_sent = gr_link_send(w->link, &copy) >= 0;
	gr_buf_fini(&copy);
	return t->is_sent;
}

/* The frame is made. */
static void finish(struct gr_reading *r)
{
	struct gr_wtask *t = r->t;
	struct gr_worker *w = t->w;

	if (r->m.outcome != GR_OUTCOME_DONE)
		gr_debug("task", "%016" PRIx64 "/%" PRIu64 ": %s: %s", t->key.session, t->key.task,
			 gr_outcome_name(r->m.outcome), r->reason);
	t->reading = NULL;
	gr_task_move(t, GR_TS_HELD);
	hold(w, t, &r->frame);
	r->frame = (struct gr_buf){ 0 };
	reading_free(r);
	send_one(w, t);
}

static void pack_work(uv_work_t *work)
{
	make_frame(GR_CONTAINER(work, struct gr_reading, work));
}

static void pack_done(uv_work_t *work, int status)
{
	struct gr_reading *r = GR_CONTAINER(work, struct gr_reading, work);

	(void)status;
	if (!r->t) {
		reading_free(r);
		return;
	}
	gr_debug("result", "%016" PRIx64 "/%" PRIu64 ": made by a thread, %zu bytes", r->m.session, r->m.task, r->frame.n);
	finish(r);
}

void gr_result_forget(struct gr_wtask *t)
{
	if (t->reading)
		t->reading->t = NULL;
	t->reading = NULL;
}

void gr_result_make(struct gr_wtask *t, int outcome, const char *reason, const struct gr_sandbox_event *ev)
{
	struct gr_wsession *s = t->s;
	struct gr_worker *w = s->w;
	uint64_t now_ns = gr_loop_now_ns(w->loop);
	struct gr_reading *r;

	GR_NEW(r);
	r->t = t;
	r->out_fd = t->out_fd;
	r->err_fd = t->err_fd;
	t->out_fd = t->err_fd = -1;
	snprintf(r->reason, sizeof(r->reason), "%s", reason);
	r->m.session = t->m.session;
	r->m.task = t->m.task;
	r->m.attempt = t->m.attempt;
	r->m.outcome = (uint8_t)outcome;
	r->m.wait_us = ((t->started_ns ? t->started_ns : now_ns) - t->received_ns) / GR_NS_PER_US;
	r->m.wall_us = t->started_ns ? (now_ns - t->started_ns) / GR_NS_PER_US : 0;
	if (ev)
		open_outputs(t, r, ev);
	if (t->started_ns)
		for (uint32_t i = 0; i < t->m.n_outputs; i++)
			gr_tree_unlink(s, gr_session_str(s, t->m.outputs[i].path));
	gr_task_release(t);
	t->s = NULL;
	s->n_tasks--;
	s->last_used_ns = now_ns;
	w->n_done++;
	free(t->inputs);
	t->inputs = NULL;
	if (r->n_opened && t->state == GR_TS_RUNNING && is_much(r)) {
		t->reading = r;
		gr_task_move(t, GR_TS_PACKING);
		if (uv_queue_work(gr_loop_uv(w->loop), &r->work, pack_work, pack_done) < 0)
			abort();      /* only for a NULL function */
		return;
	}
	make_frame(r);
	finish(r);
}

void gr_result_acked(struct gr_worker *w, uint64_t session, uint64_t task, uint32_t attempt)
{
	GR_LIST_EACH_SAFE(t, &w->lists[GR_TS_HELD], struct gr_wtask, link) {
		if (t->key.session != session || t->key.task != task || (attempt && t->key.attempt != attempt))
			continue;
		gr_map_del(&w->tasks, &t->key, sizeof(t->key));
		w->n_tasks--;
		w->held_bytes -= t->frame.n;
		gr_task_free(t);
		if (attempt)
			break;
	}
	gr_worker_check_drained(w);
}

void gr_result_send_all(struct gr_worker *w, bool again)
{
	GR_LIST_EACH(t, &w->lists[GR_TS_HELD], struct gr_wtask, link)
		if ((again || !t->is_sent) && !send_one(w, t))
			return;
}
