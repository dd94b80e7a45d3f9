/**
 * listen - the agent's socket: accepts, reads one packet at a time, checks every length, answers
 *
 * Only our own user and root may connect (the folder is 0700 besides; SO_PEERCRED is the second lock). A connection
 * that sends nonsense is closed: the wrapper behind it then runs its compiler itself. A wrapper's connection is
 * watched while its unit lives; when it hangs up the unit is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "client/agent/agent.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define MAX_CONNS 8192u
#define MAX_FDS 3

struct gr_conn {
	struct gr_list on;
	struct gr_agent *agent;
	int fd;
	uv_poll_t poll;
	pid_t pid;
	struct gr_unit *unit;
	struct gr_build *build;      /* registered over this connection */
};
struct gr_listen {
	int fd, lock_fd;
	uv_poll_t poll;
	struct gr_list conns;
	uint32_t n_conns, max_conns;
	uint8_t packet[GR_AGENT_MAX_PACKET];
};

static void on_conn_closed(uv_handle_t *h)
{
	free(GR_CONTAINER(h, struct gr_conn, poll));
}

/* The unit must have let go of it. */
static void conn_close(struct gr_conn *c)
{
	gr_list_del(&c->on);
	c->agent->listen->n_conns--;
	if (c->build)
		gr_build_close(c->agent, &c->build);
	uv_poll_stop(&c->poll);
	close(c->fd);
	c->fd = -1;
	uv_close((uv_handle_t *)&c->poll, on_conn_closed);
}

static void hung_up(struct gr_conn *c)
{
	struct gr_unit *u = c->unit;

	c->unit = NULL;
	if (u) {
		u->conn = NULL;
		gr_unit_hung_up(u);
	}
	conn_close(c);
}

static int send_packet(int sock, struct gr_slice packet, int fd)
{
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { (void *)(uintptr_t)packet.p, packet.n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		mh.msg_control = ctl.b;
		mh.msg_controllen = sizeof(ctl.b);
		ctl.align.cmsg_level = SOL_SOCKET;
		ctl.align.cmsg_type = SCM_RIGHTS;
		ctl.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&ctl.align), &fd, sizeof(int));
	}
	return sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)packet.n ? 0 : GR_EIO;
}

/* A packet too long for the socket: head alone, body in a memfd. */
static int send_long(int sock, struct gr_slice packet)
{
	struct gr_agent_head head;
	int fd, rc = GR_EIO;

	memcpy(&head, packet.p, sizeof(head));
	head.flags |= GR_AGENT_F_MEMFD;
	fd = memfd_create("griddle-agent", MFD_CLOEXEC);
	if (fd < 0)
		return gr_err_errno(errno);
	if (gr_write_all(fd, packet.p + sizeof(head), packet.n - sizeof(head)) == 0 && lseek(fd, 0, SEEK_SET) == 0)
		rc = send_packet(sock, gr_slice(&head, sizeof(head)), fd);
	close(fd);
	return rc;
}

static int send_any(int sock, struct gr_slice packet)
{
	return packet.n <= GR_AGENT_MAX_PACKET && send_packet(sock, packet, -1) == 0 ? 0 : send_long(sock, packet);
}

void gr_conn_answer(struct gr_conn **conn, struct gr_slice packet, int fd)
{
	struct gr_conn *c = *conn;

	*conn = NULL;
	c->unit = NULL;
	/* A wrapper that cannot be told runs its compiler itself. */
	if (send_any(c->fd, packet) < 0)
		gr_debug("listen", "a wrapper is gone before its answer");
	conn_close(c);
}

void gr_conn_set_unit(struct gr_conn *conn, struct gr_unit *u)
{
	conn->unit = u;
}

void gr_conn_drop(struct gr_conn **conn)
{
	struct gr_conn *c = *conn;

	*conn = NULL;
	c->unit = NULL;
	conn_close(c);
}

bool gr_conn_is_alive(const struct gr_conn *conn)
{
	struct pollfd pfd = { conn->fd, POLLRDHUP, 0 };

	return poll(&pfd, 1, 0) == 0;
}

/* Splits @req->bytes (n_body bytes) into its strings. */
static bool split_request(struct gr_request *req, size_t n_body, const struct gr_agent_head *head)
{
	size_t n_str = 2 + (size_t)head->u.compile.n_args + head->u.compile.n_env, i;
	char *p = req->bytes, *end = p + n_body;

	if (!head->u.compile.n_args || head->u.compile.n_args > GR_AGENT_MAX_ARGS || head->u.compile.n_env > GR_AGENT_MAX_ENV)
		return false;
	req->n_args = head->u.compile.n_args;
	req->n_env = head->u.compile.n_env;
	req->umask = head->u.compile.umask & 0777;
	req->flags = head->flags;
	req->columns = head->u.compile.columns;
	req->argv = gr_xalloc((req->n_args + 1 + req->n_env + 1) * sizeof(char *));
	req->env = req->argv + req->n_args + 1;
	for (i = 0; i < n_str; i++) {
		char *nul = p < end ? memchr(p, 0, (size_t)(end - p)) : NULL;

		if (!nul)
			return false;
		if (i == 0)
			req->cwd = p;
		else if (i == 1)
			req->exe = p;
		else if (i - 2 < req->n_args)
			req->argv[i - 2] = p;
		else
			req->env[i - 2 - req->n_args] = p;
		p = nul + 1;
	}
	return p == end && req->cwd[0] == '/';
}

static void on_compile(struct gr_conn *c, const struct gr_agent_head *head, struct gr_slice body, int memfd)
{
	struct gr_request req = { 0 };

	if (c->unit || c->build)
		goto bad;
	if (head->flags & GR_AGENT_F_MEMFD) {
		struct gr_buf b = { 0 };
		size_t n;

		if (memfd < 0 || head->n_body > GR_AGENT_MAX_BODY || lseek(memfd, 0, SEEK_SET) < 0 ||
		    gr_file_read_fd(memfd, head->n_body, &b) < 0 || b.n != head->n_body) {
			gr_buf_fini(&b);
			goto bad;
		}
		req.bytes = gr_buf_take(&b, &n);
	} else {
		req.bytes = gr_xmemdup(body.p, body.n);
	}
	if (!split_request(&req, head->n_body, head))
		goto bad;
	req.pid = c->pid;
	gr_unit_new(c->agent, c, &req);
	return;
bad:
	free(req.argv);
	free(req.bytes);
	hung_up(c);
}

static void on_control(struct gr_conn *c, struct gr_slice body, int *fds, int n_fd)
{
	struct gr_agent_head head = { .magic = GR_AGENT_MAGIC, .version = GR_AGENT_VERSION, .type = GR_AGENT_CONTROL };
	struct gr_buf b = { 0 };
	json_t *j = gr_control_handle(c->agent, &c->build, body, fds, n_fd);
	char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	head.n_body = text ? (uint32_t)strlen(text) : 0;
	gr_buf_add(&b, &head, sizeof(head));
	gr_buf_add(&b, text, head.n_body);
	free(text);
	if (send_any(c->fd, gr_buf_slice(&b)) < 0)
		hung_up(c);
	gr_buf_fini(&b);
}

/* Every descriptor that came is closed here or taken by nobody. */
static void on_packet(struct gr_conn *c, size_t n, int *fds, int n_fd)
{
	struct gr_listen *l = c->agent->listen;
	struct gr_agent_head head, alive = { .magic = GR_AGENT_MAGIC, .version = GR_AGENT_VERSION, .type = GR_AGENT_ALIVE };
	struct gr_slice body;
	bool is_good = n >= sizeof(head);

	if (is_good) {
		memcpy(&head, l->packet, sizeof(head));
		body = gr_slice(l->packet + sizeof(head), n - sizeof(head));
		is_good = head.magic == GR_AGENT_MAGIC && head.version == GR_AGENT_VERSION &&
			  (head.flags & GR_AGENT_F_MEMFD ? body.n == 0 : body.n == head.n_body);
	}
	if (!is_good)
		hung_up(c);
	else if (head.type == GR_AGENT_COMPILE)
		on_compile(c, &head, body, n_fd > 0 ? fds[0] : -1);
	else if (head.type == GR_AGENT_CONTROL && !c->unit)
		on_control(c, body, fds, n_fd);
	else if (head.type != GR_AGENT_ALIVE || send_packet(c->fd, gr_slice(&alive, sizeof(alive)), -1) < 0)
		hung_up(c);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
	struct gr_conn *c = GR_CONTAINER(h, struct gr_conn, poll);
	struct gr_listen *l = c->agent->listen;
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} ctl;
	struct iovec iov = { l->packet, sizeof(l->packet) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.b, .msg_controllen = sizeof(ctl.b) };
	struct cmsghdr *cm;
	int fds[MAX_FDS], n_fd = 0;
	ssize_t n;

	n = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hung_up(c);
		return;
	}
	for (cm = CMSG_FIRSTHDR(&mh); cm; cm = CMSG_NXTHDR(&mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n_fd = (int)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		n_fd = n_fd > MAX_FDS ? MAX_FDS : n_fd;
		memcpy(fds, CMSG_DATA(cm), (size_t)n_fd * sizeof(int));
	}
	if (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		hung_up(c);
	else
		on_packet(c, (size_t)n, fds, n_fd);
	while (n_fd)
		close(fds[--n_fd]);
}

static void on_connection(uv_poll_t *h, int status, int events)
{
	struct gr_agent *a = h->data;
	struct gr_listen *l = a->listen;

	for (;;) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct ucred cred = { 0 };
		socklen_t n = sizeof(cred);
		struct gr_conn *c;

		if (fd < 0)
			return;
		if (l->n_conns >= l->max_conns || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 ||
		    (cred.uid != getuid() && cred.uid != 0)) {
			close(fd);      /* the wrapper runs its compiler itself */
			continue;
		}
		GR_NEW(c);
		c->agent = a;
		c->fd = fd;
		c->pid = cred.pid;
		if (uv_poll_init(gr_loop_uv(a->loop), &c->poll, fd) < 0) {
			close(fd);
			free(c);
			continue;
		}
		gr_list_init(&c->on);
		gr_list_push(&l->conns, &c->on);
		l->n_conns++;
		if (uv_poll_start(&c->poll, UV_READABLE, on_readable) < 0) {
			hung_up(c);
			continue;
		}
		/* The packet is there as a rule: one turn of the loop less. */
		on_readable(&c->poll, 0, UV_READABLE);
	}
}

/* One agent a socket: the lock file says so, whatever became of the one before. */
static int take_lock(struct gr_listen *l, const char *path, struct gr_err *err)
{
	struct gr_buf name = { 0 };
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int rc = 0;

	gr_buf_printf(&name, "%s.lock", path);
	l->lock_fd = open(gr_buf_str(&name), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->lock_fd < 0)
		rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", gr_buf_str(&name), strerror(errno));
	else if (fcntl(l->lock_fd, F_SETLK, &fl) < 0)
		rc = gr_err_set(err, GR_EBUSY, "another agent listens at %s", path);
	gr_buf_fini(&name);
	return rc;
}

/* A connection and a pidfd a unit, and a rest for everything else: accept never fails for want of descriptors. */
static uint32_t room_for_conns(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return 256;
	if (rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max < 4 * MAX_CONNS ? rl.rlim_max : 4 * MAX_CONNS;
		if (setrlimit(RLIMIT_NOFILE, &rl) < 0 && getrlimit(RLIMIT_NOFILE, &rl) < 0)
			return 256;
	}
	return rl.rlim_cur / 3 < MAX_CONNS ? (uint32_t)(rl.rlim_cur / 3) : MAX_CONNS;
}

int gr_listen_open(struct gr_agent *a, struct gr_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = a->conf->socket;
	struct gr_listen *l;
	mode_t old;
	int rc;

	/* Made under another name and renamed when it listens: who sees the socket can connect. */
	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "%s~", path) >= (int)sizeof(sa.sun_path))
		return gr_err_set(err, GR_ECONFIG, "socket: %s is longer than a socket's name may be (%zu)", path, sizeof(sa.sun_path) - 2);
	GR_NEW(l);
	l->max_conns = room_for_conns();
	gr_list_init(&l->conns);
	l->fd = -1;
	rc = take_lock(l, path, err);
	if (rc < 0)
		goto out;
	unlink(sa.sun_path);
	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	old = umask(0177);
	if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(l->fd, 1024) < 0 ||
	    rename(sa.sun_path, path) < 0)
		rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno));
	umask(old);
	if (rc < 0)
		goto out;
	if (uv_poll_init(gr_loop_uv(a->loop), &l->poll, l->fd) < 0 || uv_poll_start(&l->poll, UV_READABLE, on_connection) < 0) {
		rc = gr_err_set(err, GR_EIO, "%s: cannot be watched", path);
		goto out;
	}
	l->poll.data = a;
	a->listen = l;
	return 0;
out:
	if (l->fd >= 0)
		close(l->fd);
	if (l->lock_fd >= 0)
		close(l->lock_fd);
	free(l);
	return rc;
}

static void on_listen_closed(uv_handle_t *h)
{
	struct gr_listen *l = GR_CONTAINER(h, struct gr_listen, poll);

	close(l->lock_fd);
	free(l);
}

void gr_listen_close(struct gr_agent *a)
{
	struct gr_listen *l = a->listen;

	if (!l)
		return;
	unlink(a->conf->socket);
	uv_poll_stop(&l->poll);
	close(l->fd);
	while (!gr_list_is_empty(&l->conns))
		hung_up(GR_CONTAINER(l->conns.next, struct gr_conn, on));
	a->listen = NULL;
	uv_close((uv_handle_t *)&l->poll, on_listen_closed);
}
