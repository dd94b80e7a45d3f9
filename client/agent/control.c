/**
 * control - the blocking client side of the agent's control requests
 *
 * One SOCK_SEQPACKET connection; a request is one packet, an answer one packet or, when it is long, a memfd. Nothing
 * of the agent's own state is touched here: `griddle make` and `griddle status` link this file and talk.
 * Answers come in the order of the requests: one that was not waited for is read and dropped before the next request.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "client/agent/control.h"
#include "client/agent/proto.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define ANSWER_MS 10000
#define PROGRESS_MS 500            /* the next one tells the same, and its caller has other things to do */

struct gr_control {
	int fd;
	uint32_t n_owed;           /* answers that were not waited for */
	char *path;
	uint8_t packet[GR_AGENT_MAX_PACKET];
};

int gr_control_connect(const char *socket_path, struct gr_control **out, struct gr_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct gr_control *c;
	int fd;

	if (strlen(socket_path) >= sizeof(sa.sun_path))
		return gr_err_set(err, GR_EINVAL, "%s: longer than a socket's name may be", socket_path);
	strcpy(sa.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return gr_err_set(err, GR_EIO, "socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		gr_err_set(err, GR_EUNREACH, "no agent at %s: %s", socket_path, strerror(errno));
		close(fd);
		return GR_EUNREACH;
	}
	GR_NEW(c);
	c->fd = fd;
	c->path = gr_xstrdup(socket_path);
	*out = c;
	return 0;
}

void gr_control_close(struct gr_control **c)
{
	if (!*c)
		return;
	close((*c)->fd);
	free((*c)->path);
	free(*c);
	*c = NULL;
}

static int send_request(struct gr_control *c, const json_t *req, const int *fds, int n_fd, struct gr_err *err)
{
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(2 * sizeof(int))];
	} ctl = { 0 };
	struct gr_agent_head head = { .magic = GR_AGENT_MAGIC, .version = GR_AGENT_VERSION, .type = GR_AGENT_CONTROL };
	char *text = json_dumps(req, JSON_COMPACT);
	struct iovec iov[2] = { { &head, sizeof(head) }, { text, text ? strlen(text) : 0 } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	if (!text)
		return gr_err_set(err, GR_EINVAL, "request cannot be written as JSON");
	head.n_body = (uint32_t)iov[1].iov_len;
	if (n_fd) {
		mh.msg_control = ctl.b;
		mh.msg_controllen = CMSG_SPACE((size_t)n_fd * sizeof(int));
		ctl.align.cmsg_level = SOL_SOCKET;
		ctl.align.cmsg_type = SCM_RIGHTS;
		ctl.align.cmsg_len = CMSG_LEN((size_t)n_fd * sizeof(int));
		memcpy(CMSG_DATA(&ctl.align), fds, (size_t)n_fd * sizeof(int));
	}
	do
		n = sendmsg(c->fd, &mh, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	free(text);
	if (n < 0)
		return gr_err_set(err, GR_EUNREACH, "agent at %s: %s", c->path, strerror(errno));
	return 0;
}

static int read_answer(struct gr_control *c, int wait_ms, struct gr_buf *out, struct gr_err *err)
{
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct iovec iov = { c->packet, sizeof(c->packet) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.b, .msg_controllen = sizeof(ctl.b) };
	struct pollfd pfd = { c->fd, POLLIN, 0 };
	struct gr_agent_head head;
	struct cmsghdr *cm;
	int memfd = -1, rc;
	ssize_t n;

	do
		rc = poll(&pfd, 1, wait_ms);
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return gr_err_set(err, GR_ETIME, "agent at %s does not answer", c->path);
	do
		n = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return gr_err_set(err, GR_EUNREACH, "agent at %s went away", c->path);
	for (cm = CMSG_FIRSTHDR(&mh); cm; cm = CMSG_NXTHDR(&mh, cm))
		if (cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS && cm->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(&memfd, CMSG_DATA(cm), sizeof(int));
	rc = gr_err_set(err, GR_EPROTO, "agent at %s: malformed answer", c->path);
	if ((size_t)n < sizeof(head))
		goto out;
	memcpy(&head, c->packet, sizeof(head));
	if (head.magic != GR_AGENT_MAGIC)
		goto out;
	if (head.version != GR_AGENT_VERSION) {
		rc = gr_err_set(err, GR_EVERSION, "agent at %s speaks version %u, not %u", c->path, head.version, GR_AGENT_VERSION);
		goto out;
	}
	if (head.type != GR_AGENT_CONTROL)
		goto out;
	if (head.flags & GR_AGENT_F_MEMFD) {
		if (memfd >= 0)
			rc = gr_file_read_fd(memfd, GR_AGENT_MAX_BODY, out);
	} else if (head.n_body == (size_t)n - sizeof(head)) {
		gr_buf_add(out, c->packet + sizeof(head), head.n_body);
		rc = 0;
	}
out:
	if (memfd >= 0)
		close(memfd);
	return rc < 0 ? rc : 0;
}

static int drop_late(struct gr_control *c, int wait_ms, struct gr_err *err)
{
	int rc = 0;

	while (c->n_owed && rc >= 0) {
		struct gr_buf b = { 0 };

		rc = read_answer(c, wait_ms, &b, err);
		gr_buf_fini(&b);
		if (rc >= 0)
			c->n_owed--;
	}
	return rc;
}

/* Takes @req. */
static int ask_for(struct gr_control *c, int wait_ms, json_t *req, const int *fds, int n_fd, json_t **out, struct gr_err *err)
{
	struct gr_buf b = { 0 };
	json_error_t jerr;
	json_t *j = NULL;
	const char *text;
	int rc;

	rc = drop_late(c, wait_ms == PROGRESS_MS ? 0 : wait_ms, err);
	if (rc >= 0)
		rc = send_request(c, req, fds, n_fd, err);
	json_decref(req);
	if (rc < 0)
		return rc;
	rc = read_answer(c, wait_ms, &b, err);
	if (rc == GR_ETIME)
		c->n_owed++;
	if (rc < 0)
		goto out;
	j = json_loadb((const char *)b.p, b.n, JSON_REJECT_DUPLICATES, &jerr);
	if (!json_is_object(j)) {
		rc = gr_err_set(err, GR_EPROTO, "agent at %s: answer is no JSON object", c->path);
		goto out;
	}
	text = json_string_value(json_object_get(j, "error"));
	if (text) {
		rc = gr_err_set(err, GR_EINVAL, "agent: %s", text);
		goto out;
	}
	rc = 0;
	if (out) {
		*out = j;
		j = NULL;
	}
out:
	json_decref(j);
	gr_buf_fini(&b);
	return rc;
}

static int ask(struct gr_control *c, json_t *req, const int *fds, int n_fd, json_t **out, struct gr_err *err)
{
	return ask_for(c, ANSWER_MS, req, fds, n_fd, out, err);
}

int gr_control_build_open(struct gr_control *c, const struct gr_control_build *b, struct gr_err *err)
{
	int fds[2] = { b->jobserver_rfd, b->jobserver_wfd };
	json_t *req = json_pack("{s:s, s:s, s:b, s:i}", "op", "build", "id", b->id, "no_cache", b->no_cache, "n_job", (int)b->n_job);

	if (b->remote)
		json_object_set_new(req, "remote", json_string(b->remote));
	return ask(c, req, fds, fds[0] >= 0 && fds[1] >= 0 ? 2 : 0, NULL, err);
}

static uint64_t number(const json_t *j, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(j, key));

	return v < 0 ? 0 : (uint64_t)v;
}

int gr_control_progress(struct gr_control *c, struct gr_control_progress *out, struct gr_err *err)
{
	json_t *j;
	int rc;

	rc = ask_for(c, PROGRESS_MS, json_pack("{s:s}", "op", "progress"), NULL, 0, &j, err);
	if (rc < 0)
		return rc;
	*out = (struct gr_control_progress){
		.remote = number(j, "remote"), .cached = number(j, "cached"), .local = number(j, "local"),
		.failed = number(j, "failed"), .in_flight = number(j, "in_flight"), .waiting_local = number(j, "waiting_local"),
		.bytes_sent = number(j, "bytes_sent"), .bytes_received = number(j, "bytes_received"),
		.slots = (uint32_t)number(j, "slots"), .workers = (uint32_t)number(j, "workers"),
		.is_connected = json_is_true(json_object_get(j, "connected")),
	};
	json_decref(j);
	return 0;
}

int gr_control_summary(struct gr_control *c, json_t **out, struct gr_err *err)
{
	return ask(c, json_pack("{s:s}", "op", "summary"), NULL, 0, out, err);
}

int gr_control_status(struct gr_control *c, json_t **out, struct gr_err *err)
{
	return ask(c, json_pack("{s:s}", "op", "status"), NULL, 0, out, err);
}

int gr_control_stop(struct gr_control *c, struct gr_err *err)
{
	return ask(c, json_pack("{s:s}", "op", "stop"), NULL, 0, NULL, err);
}
