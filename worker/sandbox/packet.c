/*
 * packet.c - SEQPACKET packets with descriptors, and the worker's side of the sandbox
 */
#include "worker/sandbox/sandbox_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"

const char *gr_tier_name(enum gr_tier tier)
{
	static const char *const names[] = { "none", "landlock", "chroot", "namespace" };

	return (unsigned)tier < GR_LEN(names) ? names[tier] : "none";
}

ssize_t gr_sb_send(int fd, const void *head, size_t n_head, const void *tail, size_t n_tail, const int *fds, int n_fds)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)head, n_head }, { (void *)(uintptr_t)tail, n_tail } };
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(SB_MAX_FDS * sizeof(int))];
	} c = { 0 };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = n_tail ? 2 : 1 };
	ssize_t n;

	if (n_fds) {
		m.msg_control = c.space;
		m.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
		memcpy(CMSG_DATA(&c.h), fds, (size_t)n_fds * sizeof(int));
	}
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t gr_sb_recv(int fd, void *p, size_t max, int *fds, int *n_fds, int flags)
{
	struct iovec iov = { p, max };
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(SB_MAX_FDS * sizeof(int))];
	} c;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.space, .msg_controllen = sizeof(c.space) };
	ssize_t n;

	*n_fds = 0;
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		*n_fds = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(h), (size_t)*n_fds * sizeof(int));
	}
	return n;
}

char *gr_sb_str(char **p, char *end)
{
	char *s = *p, *nul = s < end ? memchr(s, 0, (size_t)(end - s)) : NULL;

	if (!nul)
		return NULL;
	*p = nul + 1;
	return s;
}

static void add_str(struct gr_buf *b, const char *s)
{
	gr_buf_add(b, s, strlen(s) + 1);
}

static int payload_fd(const struct gr_buf *b)
{
	int fd = memfd_create("payload", MFD_CLOEXEC);

	if (fd >= 0 && gr_write_all(fd, b->p, b->n) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int gr_sandbox_open(int spawner_fd, const struct gr_sandbox_spec *spec, struct gr_err *err)
{
	struct sb_open o = { SB_OPEN, spec->tier, spec->has_userns, spec->n_shown, spec->uid, spec->gid, 0, 0,
			     spec->tmp_bytes, spec->is_runner, spec->has_net, spec->group != NULL, spec->group && spec->group->is_v2 };
	struct gr_buf b = { 0 };
	int sv[2], fds[SB_OPEN_FDS + GR_GROUP_FDS];
	ssize_t n;

	add_str(&b, spec->root_path ? spec->root_path : "");
	o.n_root_path = (uint32_t)b.n;
	for (uint32_t i = 0; i < spec->n_shown; i++)
		add_str(&b, spec->shown[i]);
	o.n_payload = (uint32_t)b.n;
	fds[3] = payload_fd(&b);
	gr_buf_fini(&b);
	if (fds[3] < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
		if (fds[3] >= 0)
			close(fds[3]);
		return gr_err_set(err, GR_ESANDBOX, "sandbox: %s", strerror(errno));
	}
	fds[0] = sv[1];
	fds[1] = spec->rootfd;
	fds[2] = spec->cachefd >= 0 ? spec->cachefd : spec->rootfd;
	if (spec->group)
		memcpy(fds + SB_OPEN_FDS, spec->group->fds, sizeof(spec->group->fds));
	n = gr_sb_send(spawner_fd, &o, sizeof(o), NULL, 0, fds, SB_OPEN_FDS + (spec->group ? (int)GR_GROUP_FDS : 0));
	close(sv[1]);
	close(fds[3]);
	if (n < 0) {
		close(sv[0]);
		return gr_err_set(err, GR_ESANDBOX, "spawner: %s", strerror((int)-n));
	}
	fcntl(sv[0], F_SETFL, O_NONBLOCK);
	return sv[0];
}

int gr_spawner_settle(int spawner_fd, enum gr_tier tier, bool has_userns, uid_t uid, gid_t gid)
{
	struct sb_settle m = { SB_SETTLE, tier, has_userns, uid, gid };

	return gr_sb_send(spawner_fd, &m, sizeof(m), NULL, 0, NULL, 0) < 0 ? GR_ESANDBOX : 0;
}

int gr_sandbox_spawn(int fd, const struct gr_sandbox_task *t)
{
	struct sb_spawn m = { SB_SPAWN, t->slot, t->n_argv, t->n_env, t->n_writable, t->cpu_s, t->n_proc, 0,
			      t->as_bytes, t->fsize_bytes };
	int fds[3] = { t->out_fd, t->err_fd, -1 }, n_fds = 2;
	struct gr_buf b = { 0 };
	ssize_t n;

	add_str(&b, t->program);
	add_str(&b, t->cwd);
	for (uint32_t i = 0; i < t->n_argv; i++)
		add_str(&b, t->argv[i]);
	for (uint32_t i = 0; i < t->n_env; i++)
		add_str(&b, t->env[i]);
	for (uint32_t i = 0; i < t->n_writable; i++)
		add_str(&b, t->writable[i]);
	if (b.n > SB_MAX_PAYLOAD || t->n_writable > GR_SANDBOX_MAX_WRITABLE || t->slot >= GR_SANDBOX_SLOTS) {
		gr_buf_fini(&b);
		return GR_ELIMIT;
	}
	m.n_payload = (uint32_t)b.n;
	if (b.n > SB_INLINE_BYTES) {
		fds[n_fds++] = payload_fd(&b);
		gr_buf_clear(&b);
		if (fds[2] < 0) {
			gr_buf_fini(&b);
			return GR_ENOMEM;
		}
	}
	n = gr_sb_send(fd, &m, sizeof(m), b.p, b.n, fds, n_fds);
	if (fds[2] >= 0)
		close(fds[2]);
	gr_buf_fini(&b);
	if (n >= 0)
		return 0;
	return n == -EAGAIN || n == -ENOBUFS ? GR_EBUSY : GR_EGONE;
}

int gr_sandbox_kill(int fd, uint32_t slot)
{
	struct sb_kill m = { SB_KILL, slot };

	return gr_sb_send(fd, &m, sizeof(m), NULL, 0, NULL, 0) < 0 ? GR_EBUSY : 0;
}

int gr_sandbox_next(int fd, struct gr_sandbox_event *ev)
{
	ssize_t n;

	do
		n = recv(fd, ev, sizeof(*ev), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n != (ssize_t)sizeof(*ev))
		return GR_EGONE;
	ev->text[sizeof(ev->text) - 1] = 0;
	return 1;
}
