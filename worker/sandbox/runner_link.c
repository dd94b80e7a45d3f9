/* runner_link.c - the worker's side of a runner: packets out, events in */
#include "worker/sandbox/runner.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/base/file.h"
#include "worker/sandbox/sandbox_int.h"

static void add_str(struct gr_buf *b, const char *s)
{
	gr_buf_add(b, s, strlen(s) + 1);
}

int gr_runner_start(int fd, const struct gr_runner_task *t)
{
	struct sb_start m = { .op = SB_START, .n_argv = t->n_argv, .n_env = t->n_env, .mem_bytes = t->mem_bytes,
			      .fsize_bytes = t->fsize_bytes, .out_bytes = t->out_bytes, .cpu_s = t->cpu_s, .n_proc = t->n_proc,
			      .is_merged = t->is_merged, .id = t->id, .is_ahead = t->is_ahead, .has_stdin = t->stdin_fd >= 0 };
	int fds[2], n_fds = 0, payload = -1;
	struct gr_buf b = { 0 };
	ssize_t n;

	add_str(&b, t->cwd);
	for (uint32_t i = 0; i < t->n_argv && b.n <= GR_RUNNER_MAX_PAYLOAD; i++)
		add_str(&b, t->argv[i]);
	for (uint32_t i = 0; i < t->n_env && b.n <= GR_RUNNER_MAX_PAYLOAD; i++)
		add_str(&b, t->env[i]);
	if (b.n > (t->is_ahead ? GR_RUNNER_AHEAD_BYTES : GR_RUNNER_MAX_PAYLOAD) || !t->n_argv || (t->is_ahead && t->stdin_fd >= 0)) {
		gr_buf_fini(&b);
		return GR_ELIMIT;
	}
	m.n_payload = (uint32_t)b.n;
	if (t->stdin_fd >= 0)
		fds[n_fds++] = t->stdin_fd;
	if (b.n > SB_INLINE_BYTES) {
		payload = memfd_create("payload", MFD_CLOEXEC);
		if (payload < 0 || gr_write_all(payload, b.p, b.n) < 0) {
			if (payload >= 0)
				close(payload);
			gr_buf_fini(&b);
			return GR_ENOMEM;
		}
		fds[n_fds++] = payload;
		m.is_in_fd = 1;
		gr_buf_clear(&b);
	}
	n = gr_sb_send(fd, &m, sizeof(m), b.p, b.n, fds, n_fds);
	if (payload >= 0)
		close(payload);
	gr_buf_fini(&b);
	if (n >= 0)
		return 0;
	return n == -EAGAIN || n == -ENOBUFS ? GR_EBUSY : GR_EGONE;
}

int gr_runner_signal(int fd, uint32_t id, int signum)
{
	struct sb_signal m = { SB_SIGNAL, (uint32_t)signum, id };

	return gr_sb_send(fd, &m, sizeof(m), NULL, 0, NULL, 0) < 0 ? GR_EBUSY : 0;
}

int gr_runner_recall(int fd)
{
	struct sb_signal m = { .op = SB_RECALL };

	return gr_sb_send(fd, &m, sizeof(m), NULL, 0, NULL, 0) < 0 ? GR_EBUSY : 0;
}

int gr_runner_next(int fd, struct gr_runner_event *ev, uint8_t *data)
{
	struct iovec iov[2] = { { ev, sizeof(*ev) }, { data, GR_RUNNER_OUTPUT_BYTES } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	do
		n = recvmsg(fd, &m, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n < (ssize_t)sizeof(*ev) || (size_t)n != sizeof(*ev) + ev->n_data)
		return GR_EGONE;
	ev->text[sizeof(ev->text) - 1] = 0;
	return 1;
}
