/*
 * command_io.c - a command's files in and out, by a thread of the pool
 *
 * In: files are copied from the cache into a folder of the command's own while it waits; at the start they are renamed into
 * the runner's folder, entry by entry at its top. Out: outputs are moved to a folder of ours and hashed, the cache takes
 * them by renaming; then the runner's folder is emptied. A command without files and outputs in whose folder nothing was
 * made costs no call here; one whose folder is empty at its end, five and no thread.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/remove.h"
#include "worker/command.h"

#define BATCH_FILES 64u                        /* open blobs at a time */
#define INLINE_ALL_BYTES (2u << 20)            /* of outputs in one result */

struct job {                                   /* of the thread */
	uv_work_t req;
	struct gr_wcommand *t;
	struct gr_err err;
	int rc, dirfd;
	uint32_t from, to;                     /* of t->placed */
	int *fds;                              /* one a placed of from..to, -1: no file */
	bool is_bare;                          /* nothing to take: only to be emptied */
	bool has_missing, is_over_disk;
	int remove_rc, log_rc;
};

/* ---- in ---- */

static void dir_name(const struct gr_wcommand *t, char out[16])
{
	snprintf(out, 16, "%u", t->serial);
}

void gr_command_unstage(struct gr_wcommand *t)
{
	char name[16];

	if (!t->is_staged)
		return;
	t->is_staged = false;
	dir_name(t, name);
	if (gr_remove_at(t->c->stagefd, name) < 0)
		gr_warn("command", "stage/%s cannot be removed", name);
}

static void stage_work(uv_work_t *req)
{
	struct job *j = GR_CONTAINER(req, struct job, req);

	for (uint32_t i = j->from; i < j->to && j->rc == 0; i++) {
		const struct gr_placed *p = &j->t->placed[i];
		struct gr_files_in f = { p->path, p->kind, p->mode, j->fds[i - j->from], p->target };

		j->rc = gr_files_put(j->dirfd, &f, &j->err);
	}
}

static void close_fds(struct job *j)
{
	for (uint32_t i = 0; i < j->to - j->from; i++)
		if (j->fds[i] >= 0)
			close(j->fds[i]);
	free(j->fds);
	j->fds = NULL;
}

static void stage_end(struct job *j)
{
	struct gr_wcommand *t = j->t;
	int rc = j->rc;

	if (j->fds)
		close_fds(j);
	if (j->dirfd >= 0)
		close(j->dirfd);
	t->is_in_thread = false;
	if (t->is_cancelled)
		gr_command_give_up(t, GR_OUTCOME_CANCELLED, GR_ENDED_F_NOT_STARTED, "cancelled");
	else if (t->is_handed_back)
		gr_command_give_up(t, GR_OUTCOME_RETRY, GR_ENDED_F_NOT_STARTED | GR_ENDED_F_DRAINED, "draining");
	else if (rc < 0)
		gr_command_give_up(t, rc == GR_ENOSPACE || rc == GR_ECORRUPT || rc == GR_ENOENT || rc == GR_EIO ? GR_OUTCOME_RETRY :
				   GR_OUTCOME_REFUSED, GR_ENDED_F_NOT_STARTED, "input %s", j->err.text);
	else
		gr_command_move(t, GR_CS_READY);
	free(j);
}

/* Opens the blobs of the next files. Return: false when there is nothing more, or an error (in j->rc). */
static bool next_batch(struct job *j)
{
	struct gr_wcommand *t = j->t;
	uint32_t n = t->n_placed - j->to < BATCH_FILES ? t->n_placed - j->to : BATCH_FILES;

	if (j->fds)
		close_fds(j);
	j->from = j->to;
	if (!n || j->rc < 0)
		return false;
	j->fds = gr_xalloc(n * sizeof(*j->fds));
	for (uint32_t i = 0; i < n; i++)
		j->fds[i] = -1;
	j->to = j->from + n;
	for (uint32_t i = 0; i < n; i++) {
		struct gr_placed *p = &t->placed[j->from + i];
		uint64_t size;

		if (p->kind != GR_FILES_REG)
			continue;
		j->fds[i] = gr_cas_open_blob(t->c->w->cas, &p->digest, &size);
		if (j->fds[i] < 0) {
			j->rc = gr_err_set(&j->err, j->fds[i], "%s: the cache lost it", p->path);
			return false;
		}
		t->in_bytes += size;
	}
	return true;
}

static void stage_done(uv_work_t *req, int status)
{
	struct job *j = GR_CONTAINER(req, struct job, req);
	struct gr_commands *c = j->t->c;

	if (status < 0 && j->rc == 0)
		j->rc = gr_err_set(&j->err, GR_EIO, "interrupted");
	if (!j->t->is_cancelled && !j->t->is_handed_back && next_batch(j) &&
	    uv_queue_work(gr_loop_uv(c->w->loop), &j->req, stage_work, stage_done) == 0)
		return;
	stage_end(j);
	gr_worker_pump(c->w);
}

void gr_command_stage(struct gr_wcommand *t)
{
	struct gr_commands *c = t->c;
	struct job *j;
	char name[16];

	if (!t->n_placed) {
		gr_command_move(t, GR_CS_READY);
		return;
	}
	GR_NEW(j);
	j->t = t;
	dir_name(t, name);
	j->dirfd = mkdirat(c->stagefd, name, 0700) < 0 ? -1 : openat(c->stagefd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dirfd < 0)
		j->rc = gr_err_set(&j->err, gr_err_errno(errno), "%s", errno == ENOSPC ? "disk full" : strerror(errno));
	else
		t->is_staged = true;
	t->is_in_thread = true;
	if (j->rc == 0 && next_batch(j) && uv_queue_work(gr_loop_uv(c->w->loop), &j->req, stage_work, stage_done) == 0)
		return;
	if (j->rc == 0)
		j->rc = gr_err_set(&j->err, GR_EIO, "no thread");
	stage_end(j);
}

static int move_staged(struct gr_wcommand *t, struct gr_err *err)
{
	char name[16];
	struct dirent *de;
	DIR *dir;
	int fd, rc = 0;

	dir_name(t, name);
	fd = openat(t->c->stagefd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return gr_err_set(err, gr_err_errno(errno), "stage/%s: %s", name, strerror(errno));
	while (rc == 0 && (de = readdir(dir)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, "..") &&
		    renameat(fd, de->d_name, t->runner->taskfd, de->d_name) < 0)
			rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", de->d_name, strerror(errno));
	closedir(dir);
	gr_command_unstage(t);
	return rc;
}

static bool is_secret_name(struct gr_slice n)
{
	for (size_t i = 0; i < n.n; i++)
		if (n.p[i] == '/' || n.p[i] == 0)
			return false;
	return n.n && n.n < 128 && n.p[0] != '.';
}

static int write_secrets(struct gr_wcommand *t, struct gr_err *err)
{
	struct gr_list_it it = gr_list_begin(&t->m.secrets);
	struct gr_secret s;
	char name[128];
	int fd, rc = 0;

	while (rc == 0 && gr_secret_next(&it, &s)) {
		if (!is_secret_name(s.name))
			return gr_err_set(err, GR_EPATH, "a secret's name that is no file name");
		snprintf(name, sizeof(name), "%.*s", (int)s.name.n, (const char *)s.name.p);
		fd = openat(t->runner->secretsfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		rc = fd < 0 ? gr_err_errno(errno) : gr_write_all(fd, s.value.p, s.value.n);
		if (fd >= 0)
			close(fd);
		if (rc < 0)
			gr_err_set(err, rc, "secret %s: %s", name, gr_err_text(rc));
	}
	return rc < 0 ? rc : 0;
}

int gr_command_install(struct gr_wcommand *t, struct gr_err *err)
{
	int rc = t->is_staged ? move_staged(t, err) : 0;

	return rc == 0 && t->m.secrets.n ? write_secrets(t, err) : rc;
}

/* ---- out ---- */

static void take_output(struct job *j, const char *path, uint32_t index, bool is_required)
{
	struct gr_wcommand *t = j->t;
	struct gr_err err = { 0 };
	char prefix[12];
	int rc;

	snprintf(prefix, sizeof(prefix), "%u", t->serial);
	rc = gr_files_take(t->runner->taskfd, path, t->c->outfd, prefix, GR_WIRE_MAX_BLOB_BYTES, &t->found, &err);
	GR_GROW(t->found_of, t->cap_found_of, t->found.n + 1);
	for (uint32_t i = 0; i < t->found.n; i++)
		if (!t->found_of[i])
			t->found_of[i] = index + 1;
	if (rc == 0 || (rc == GR_ENOENT && !is_required) || j->rc < 0)
		return;
	j->rc = rc;
	j->has_missing = true;
	j->err = err;
}

static void take_work(uv_work_t *req)
{
	struct job *j = GR_CONTAINER(req, struct job, req);
	struct gr_wcommand *t = j->t;
	const struct gr_wstage *s = t->stage;
	bool is_saved = s->checkpoint_code >= 0 && t->end.status == s->checkpoint_code << 8 && !t->end.code;

	/* before its outputs leave it; what is over takes nothing along */
	if (t->runner && t->end_outcome == GR_OUTCOME_DONE && s->disk_bytes && gr_files_disk(t->runner->taskfd, s->disk_bytes) > s->disk_bytes)
		j->is_bare = j->is_over_disk = true;
	if (!j->is_bare && s->checkpoint_dir && is_saved)
		take_output(j, s->checkpoint_dir, GR_WIRE_CHECKPOINT, false);
	else if (!j->is_bare && t->runner)
		for (uint32_t i = 0; i < s->n_outputs; i++)
			take_output(j, t->outputs[i], i, s->outputs[i].is_required && t->end.status == 0);
	gr_files_load(&t->found, t->c->outfd, GR_COMMAND_INLINE_BYTES, INLINE_ALL_BYTES);
	for (int i = 0; i < 2; i++)
		if (t->logs[i].fd >= 0 && (lseek(t->logs[i].fd, 0, SEEK_SET) < 0 ||
					   gr_sha256_fd(t->logs[i].fd, &t->logs[i].digest, NULL) < 0))
			j->log_rc = GR_EIO;
	if (!t->runner)
		return;
	if (gr_remove_in(openat(t->runner->taskfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		j->remove_rc = GR_EIO;
	if (t->m.secrets.n && gr_remove_in(openat(t->runner->secretsfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		j->remove_rc = GR_EIO;
}

/* The files found become the cache's, and stay there until the result is committed. */
static int adopt(struct gr_wcommand *t, struct gr_err *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < t->found.n; i++) {
		struct gr_files_found *f = &t->found.items[i];

		if (f->kind != GR_FILES_REG || f->has_data)
			continue;
		if (rc == 0)
			rc = gr_cas_adopt(t->c->w->cas, &f->digest, t->c->outfd, f->name);
		if (rc < 0)
			unlinkat(t->c->outfd, f->name, 0);
		else
			gr_command_pin(t, &f->digest);
	}
	for (int i = 0; i < 2; i++) {
		char name[24];

		if (t->logs[i].fd < 0)
			continue;
		gr_command_log_name(t, i, name);
		if (rc == 0)
			rc = gr_cas_adopt(t->c->w->cas, &t->logs[i].digest, t->c->logfd, name);
		if (rc == 0)
			gr_command_pin(t, &t->logs[i].digest);
	}
	return rc < 0 ? gr_err_set(err, rc, "outputs: %s", rc == GR_ENOSPACE ? "no room for them in the worker's cache" : gr_err_text(rc)) : 0;
}

static void take_end(struct job *j)
{
	struct gr_wcommand *t = j->t;
	struct gr_runner *r = t->runner;

	t->is_in_thread = false;
	if (r && j->remove_rc < 0) {
		t->runner = NULL;
		gr_commands_take_back(t->c, r);
		gr_runners_drop(&r);
	} else if (r) {
		gr_command_leave(t);
	}
	if (j->is_over_disk)
		gr_command_judge_disk(t);
	if (j->log_rc < 0 && t->end_outcome == GR_OUTCOME_DONE) {
		t->end_outcome = GR_OUTCOME_RETRY;
		snprintf(t->why, sizeof(t->why), "its output cannot be read back");
	}
	if (adopt(t, &j->err) < 0 && t->end_outcome == GR_OUTCOME_DONE) {
		t->end_outcome = GR_OUTCOME_RETRY;
		snprintf(t->why, sizeof(t->why), "%.300s", j->err.text);
	} else if (j->has_missing && t->end_outcome == GR_OUTCOME_DONE) {
		if (j->rc == GR_ENOSPACE || j->rc == GR_EIO)
			t->end_outcome = GR_OUTCOME_RETRY;
		else
			t->end_flags |= GR_ENDED_F_NO_OUTPUT;
		snprintf(t->why, sizeof(t->why), "output %.300s", j->err.text);
	}
	free(j);
	gr_command_finish(t);
}

static void take_done(uv_work_t *req, int status)
{
	struct job *j = GR_CONTAINER(req, struct job, req);
	struct gr_commands *c = j->t->c;

	if (status < 0)
		j->remove_rc = GR_EIO;
	take_end(j);
	gr_worker_pump(c->w);
}

void gr_command_take(struct gr_wcommand *t)
{
	bool is_bare = t->end_outcome != GR_OUTCOME_DONE || !t->runner || (!t->stage->n_outputs && t->stage->checkpoint_code < 0);
	struct job *j;

	if (is_bare && t->logs[0].fd < 0 && t->logs[1].fd < 0 && (!t->runner || (!t->m.secrets.n && (t->end.is_clean || gr_dir_is_empty(t->runner->taskfd))))) {
		if (t->runner)
			gr_command_leave(t);
		gr_command_finish(t);
		return;
	}
	GR_NEW(j);
	j->t = t;
	j->is_bare = is_bare;
	t->is_in_thread = true;
	if (uv_queue_work(gr_loop_uv(t->c->w->loop), &j->req, take_work, take_done) < 0) {
		take_work(&j->req);
		take_end(j);
	}
}
