/*
 * command_log.c - what a command prints: kept, and sent to who follows it
 *
 * Up to what a result carries it stays in memory; beyond that it goes into a file, which the cache takes at the end. The
 * runner has cut it at the job's limit already. Who follows gets it from where he is, as the link takes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "worker/command.h"

#define SEND_BYTES 65536u

void gr_command_log_name(const struct gr_wcommand *t, int stream, char out[24])
{
	snprintf(out, 24, "%u.%s", t->serial, stream ? "err" : "out");
}

void gr_command_log_add(struct gr_wcommand *t, int stream, const uint8_t *p, size_t n)
{
	struct gr_command_log *l = &t->logs[stream];
	char name[24];
	int rc = 0;

	if (l->is_cut)
		return;
	if (l->fd < 0 && l->mem.n + n > GR_COMMAND_INLINE_BYTES) {
		gr_command_log_name(t, stream, name);
		l->fd = openat(t->c->logfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		rc = l->fd < 0 ? gr_err_errno(errno) : gr_write_all(l->fd, l->mem.p, l->mem.n);
		if (rc == 0)
			gr_buf_fini(&l->mem);
	}
	if (rc == 0 && l->fd >= 0)
		rc = gr_write_all(l->fd, p, n);
	else if (rc == 0)
		gr_buf_add(&l->mem, p, n);
	if (rc < 0) {
		gr_warn("command", "%" PRIu64 "/%" PRIu64 ": its output cannot be kept: %s", t->key.job, t->key.task,
			rc == GR_ENOSPACE ? "disk full" : gr_err_text(rc));
		l->is_cut = true;
		if (l->fd >= 0 && (ftruncate(l->fd, (off_t)l->n) < 0 || lseek(l->fd, 0, SEEK_END) < 0))
			l->n = 0;
		return;
	}
	l->n += n;
	if (t->is_followed)
		gr_command_log_send(t);
}

void gr_command_log_cut(struct gr_wcommand *t, int stream, uint64_t n_dropped)
{
	char text[96];

	if (!n_dropped || t->logs[stream].is_cut)
		return;
	snprintf(text, sizeof(text), "\n[griddle: output cut here, %" PRIu64 " bytes more]\n", n_dropped);
	gr_command_log_add(t, stream, (const uint8_t *)text, strlen(text));
	t->logs[stream].is_cut = true;
}

/* Return: false when the link takes no more. */
static bool send_one(struct gr_wcommand *t, int stream)
{
	struct gr_command_log *l = &t->logs[stream];
	bool is_over = t->state == GR_CS_HELD || t->state == GR_CS_TAKING;
	uint8_t chunk[SEND_BYTES];

	while (l->n_sent < l->n || (is_over && !l->is_end_said)) {
		size_t n = l->n - l->n_sent < SEND_BYTES ? (size_t)(l->n - l->n_sent) : SEND_BYTES;
		struct gr_out_msg m = { .job = t->key.job, .task = t->key.task, .attempt = (uint32_t)t->key.attempt,
					.stream = (uint8_t)(stream ? GR_STREAM_ERR : GR_STREAM_OUT), .offset = l->n_sent };
		struct gr_buf b = { 0 };
		int rc;

		if (l->fd >= 0 && n && pread(l->fd, chunk, n, (off_t)l->n_sent) != (ssize_t)n)
			return true;
		m.data = n ? gr_slice(l->fd >= 0 ? chunk : l->mem.p + l->n_sent, n) : (struct gr_slice){ 0 };
		m.flags = is_over && l->n_sent + n == l->n ? GR_OUT_F_END : 0;
		gr_out_encode(&b, &m);
		rc = gr_link_send(t->c->w->link, &b);
		gr_buf_fini(&b);
		if (rc < 0)
			return false;
		l->n_sent += n;
		l->is_end_said = m.flags;
	}
	return true;
}

void gr_command_log_send(struct gr_wcommand *t)
{
	if (t->is_followed && gr_link_is_up(t->c->w->link) && send_one(t, 0))
		send_one(t, 1);
}

void gr_command_log_fini(struct gr_wcommand *t)
{
	char name[24];

	for (int i = 0; i < 2; i++) {
		gr_buf_fini(&t->logs[i].mem);
		if (t->logs[i].fd < 0)
			continue;
		close(t->logs[i].fd);
		t->logs[i].fd = -1;
		gr_command_log_name(t, i, name);
		unlinkat(t->c->logfd, name, 0);       /* unless the cache took it */
	}
}
