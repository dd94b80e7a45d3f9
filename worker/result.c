/*
 * result.c - what came of a task, and keeping it until the coordinator has it
 *
 * Outputs are read only from the paths the task declared, regular files only, never through a link, with sizes capped;
 * then they leave the tree. The encoded RESULT is kept and sent again after a reconnect until RESULT_ACK; kept bytes
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

struct reading {
	struct gr_result_msg m;
	struct gr_buf out, err, files[GR_WIRE_MAX_OUTPUTS];
	char reason[512];
	char root[4352];        /* landlock: what is taken out again */
};

static void refuse(struct reading *r, int outcome, const char *reason)
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

static void unmap_file(struct gr_wtask *t, struct reading *r, const char *name, struct gr_buf *b)
{
	if (!r->root[0] || !gr_mentions(r->root, gr_buf_slice(b)))
		return;
	if (b->n > 4 && !memcmp(b->p, "\177ELF", 4)) {
		refuse(r, GR_OUTCOME_REFUSED, "the landlock tier left its own paths in the object");
		return;
	}
	if (is_depfile(name))
		gr_unmap_depfile(r->root, t->tool->tc->family, b);
	else
		gr_unmap_text(r->root, b);
}

static void read_output(struct gr_wtask *t, struct reading *r, uint32_t i, uint64_t *total)
{
	struct gr_result_out *o = &r->m.outputs[r->m.n_outputs];
	const char *name = gr_session_str(t->s, t->m.outputs[i].path);
	struct gr_buf *b = &r->files[i];
	int fd = gr_tree_open_file(t->s, name), rc;
	struct stat st;

	if (fd < 0) {
		if (errno != ENOENT)
			refuse(r, GR_OUTCOME_REFUSED, "an output is not a regular file");
		else if ((t->m.outputs[i].flags & GR_OUTPUT_REQUIRED) && r->m.exit_code == 0 && r->m.term_signal == 0)
			refuse(r, GR_OUTCOME_RETRY, "an output that must be there is not");
		return;
	}
	rc = fstat(fd, &st) < 0 ? GR_EIO : 0;
	if (rc == 0 && (uint64_t)st.st_size > GR_WIRE_MAX_OUTPUT_BYTES - *total)
		rc = GR_ELIMIT;
	if (rc == 0)
		rc = gr_file_read_fd(fd, (size_t)st.st_size, b);
	close(fd);
	if (rc < 0) {
		refuse(r, rc == GR_ELIMIT ? GR_OUTCOME_REFUSED : GR_OUTCOME_RETRY,
		       rc == GR_ELIMIT ? "outputs beyond the size limit" : "an output could not be read");
		return;
	}
	*total += b->n;
	unmap_file(t, r, name, b);
	if (r->m.outcome != GR_OUTCOME_DONE)
		return;
	o->index = i;
	o->mode = st.st_mode & 0111 ? 0755 : 0644;
	o->size = b->n;
	o->enc = GR_ENC_RAW;
	if (t->s->w->is_compressing) {
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

static void read_all(struct gr_wtask *t, struct reading *r, const struct gr_sandbox_event *ev)
{
	struct gr_worker *w = t->s->w;
	uint64_t total = 0;

	r->m.cpu_us = ev->cpu_us;
	r->m.max_rss_bytes = ev->max_rss_bytes;
	if (WIFSIGNALED(ev->status))
		r->m.term_signal = WTERMSIG(ev->status);
	else
		r->m.exit_code = WEXITSTATUS(ev->status);
	if (r->m.outcome != GR_OUTCOME_DONE)
		return;
	if (w->tier == GR_TIER_LANDLOCK)
		snprintf(r->root, sizeof(r->root), "%s/%s/root", w->start.state_path, t->s->dir);
	if (read_stream(t->out_fd, &r->out) < 0 || read_stream(t->err_fd, &r->err) < 0) {
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
	for (uint32_t i = 0; i < t->m.n_outputs && r->m.outcome == GR_OUTCOME_DONE; i++)
		read_output(t, r, i, &total);
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

void gr_result_make(struct gr_wtask *t, int outcome, const char *reason, const struct gr_sandbox_event *ev)
{
	struct gr_wsession *s = t->s;
	struct gr_worker *w = s->w;
	uint64_t now_ns = gr_loop_now_ns(w->loop);
	struct gr_buf frame = { 0 };
	struct reading *r;

	GR_NEW(r);
	snprintf(r->reason, sizeof(r->reason), "%s", reason);
	r->m.session = t->m.session;
	r->m.task = t->m.task;
	r->m.attempt = t->m.attempt;
	r->m.outcome = (uint8_t)outcome;
	r->m.wait_us = ((t->started_ns ? t->started_ns : now_ns) - t->received_ns) / GR_NS_PER_US;
	r->m.wall_us = t->started_ns ? (now_ns - t->started_ns) / GR_NS_PER_US : 0;
	if (ev)
		read_all(t, r, ev);
	if (t->started_ns)
		for (uint32_t i = 0; i < t->m.n_outputs; i++)
			gr_tree_unlink(s, gr_session_str(s, t->m.outputs[i].path));
	r->m.reason = gr_slice_str(r->reason);
	if (r->m.outcome == GR_OUTCOME_DONE) {
		r->m.out = gr_buf_slice(&r->out);
		r->m.err = gr_buf_slice(&r->err);
	} else {
		gr_debug("task", "%016" PRIx64 "/%" PRIu64 ": %s: %s", t->key.session, t->key.task,
			 gr_outcome_name(r->m.outcome), r->reason);
	}
	gr_result_encode(&frame, &r->m);
	gr_buf_fini(&r->out);
	gr_buf_fini(&r->err);
	for (uint32_t i = 0; i < t->m.n_outputs; i++)
		gr_buf_fini(&r->files[i]);
	free(r);
	gr_task_release(t);
	gr_task_move(t, GR_TS_HELD);
	t->s = NULL;
	s->n_tasks--;
	s->last_used_ns = now_ns;
	w->n_done++;
	free(t->inputs);
	t->inputs = NULL;
	for (int i = 0; i < 2; i++) {
		int *fd = i ? &t->err_fd : &t->out_fd;

		if (*fd >= 0)
			close(*fd);
		*fd = -1;
	}
	hold(w, t, &frame);
	send_one(w, t);
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
