/*
 * command_disk.c - what a command's folder takes on the disk, against what its job asked for
 *
 * A quota of the file system would need privileges and one that has them, so the folder is walked, in a thread: while the
 * command runs, again and again with pauses far longer than the walks, and once when it ended, so that a command's outcome
 * does not hang on when it was looked at. Like du it sees no file that was deleted while open, and nothing of a tmpfs.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "worker/command.h"

#define PAUSE_NS (GR_NS_PER_S / 2)
#define PAUSE_FACTOR 10u

struct walk {
	uv_work_t req;
	struct gr_commands *c;
	uint64_t job, task, limit, bytes, begun_ns;
	uint32_t attempt;
	int fd;
};

static void walk_work(uv_work_t *req)
{
	struct walk *k = GR_CONTAINER(req, struct walk, req);

	k->bytes = gr_files_disk(k->fd, k->limit);
}

static void walk_done(uv_work_t *req, int status)
{
	struct walk *k = GR_CONTAINER(req, struct walk, req);
	struct gr_wcommand *t = gr_commands_find(k->c, k->job, k->task, k->attempt);
	uint64_t now_ns = gr_loop_now_ns(k->c->w->loop);

	k->c->n_walks--;
	close(k->fd);
	if (t && t->state == GR_CS_RUNNING) {
		t->is_walked = false;
		t->walk_ns = now_ns + PAUSE_NS + PAUSE_FACTOR * (now_ns - k->begun_ns);
		if (status == 0 && k->bytes > k->limit && !t->is_over_disk) {
			t->is_over_disk = true;
			t->kill_ns = now_ns + GR_NS_PER_S;      /* should the packet not have gone */
			gr_runner_signal(t->runner->fd, t->serial, SIGKILL);
		}
	}
	free(k);
}

void gr_command_watch_disk(struct gr_wcommand *t, uint64_t now_ns)
{
	struct walk *k;
	int fd;

	if (!t->stage->disk_bytes || t->is_walked || t->is_over_disk || now_ns < t->walk_ns)
		return;
	fd = openat(t->runner->taskfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	GR_NEW(k);
	*k = (struct walk){ .c = t->c, .job = t->key.job, .task = t->key.task, .attempt = (uint32_t)t->key.attempt,
			    .limit = t->stage->disk_bytes, .begun_ns = now_ns, .fd = fd };
	if (uv_queue_work(gr_loop_uv(t->c->w->loop), &k->req, walk_work, walk_done) < 0) {
		close(fd);
		free(k);
		return;
	}
	t->is_walked = true;
	t->c->n_walks++;
}

void gr_command_judge_disk(struct gr_wcommand *t)
{
	t->end_outcome = GR_OUTCOME_DISK;
	snprintf(t->why, sizeof(t->why), "its folder took more than its %" PRIu64 " MiB of disk", t->stage->disk_bytes >> 20);
}
