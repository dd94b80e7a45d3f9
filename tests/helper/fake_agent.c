/**
 * fake_agent - stands where the agent's socket is and answers one wrapper after another in one chosen way
 *
 * usage: fake_agent SOCKET MODE     ends by itself when it was not asked for 60 s
 *   local      the packet is well-formed: LOCAL "told so"; prints cwd, compiler and words, one a line
 *   done       DONE with exit code 7, "out" and "err"
 *   signal     DONE with term_signal 9
 *   long       DONE whose 600000 bytes of stderr lie in a memfd
 *   eof        closes after the request          garbage    answers 64 bytes of noise
 *   version    answers in another version        short      answers half a head
 *   hang       never reads                       alive      answers ALIVE when asked, then DONE 0
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "client/agent/proto.h"

static struct {
	struct gr_agent_head head;
	char body[GR_AGENT_MAX_PACKET];
} req, rep;

static void answer(int c, int type, int exit_code, int sig, const char *out, const char *err, const char *why)
{
	rep.head = (struct gr_agent_head){ .magic = GR_AGENT_MAGIC, .version = GR_AGENT_VERSION, .type = (uint16_t)type };
	rep.head.u.reply.exit_code = exit_code;
	rep.head.u.reply.term_signal = sig;
	rep.head.u.reply.n_out = (uint32_t)strlen(out);
	rep.head.u.reply.n_err = (uint32_t)strlen(err);
	rep.head.n_body = (uint32_t)sprintf(rep.body, "%s%s%s", out, err, why);
	if (send(c, &rep, sizeof(rep.head) + rep.head.n_body, MSG_NOSIGNAL) < 0)
		perror("send");
}

static void answer_long(int c)
{
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { &rep.head, sizeof(rep.head) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.b, .msg_controllen = sizeof(ctl.b) };
	int fd = memfd_create("long", 0), i;

	for (i = 0; i < 60000; i++)
		if (write(fd, "123456789\n", 10) != 10)
			exit(1);
	rep.head = (struct gr_agent_head){ .magic = GR_AGENT_MAGIC, .version = GR_AGENT_VERSION, .type = GR_AGENT_DONE,
					   .flags = GR_AGENT_F_MEMFD, .n_body = 600000 };
	rep.head.u.reply.n_err = 600000;
	ctl.align.cmsg_level = SOL_SOCKET;
	ctl.align.cmsg_type = SCM_RIGHTS;
	ctl.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&ctl.align), &fd, sizeof(int));
	sendmsg(c, &mh, MSG_NOSIGNAL);
	close(fd);
}

static void print_request(void)
{
	const char *p = req.body, *end = p + req.head.n_body;
	unsigned i;

	for (i = 0; i < 2 + req.head.u.compile.n_args && p < end; i++, p += strlen(p) + 1)
		puts(p);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct pollfd pfd = { .events = POLLIN };
	const char *mode;

	if (argc != 3 || strlen(argv[1]) >= sizeof(sa.sun_path))
		return 2;
	mode = argv[2];
	strcpy(sa.sun_path, argv[1]);
	unlink(argv[1]);
	pfd.fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (pfd.fd < 0 || bind(pfd.fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(pfd.fd, 8) < 0)
		return 1;
	while (poll(&pfd, 1, 60000) > 0) {
		int c;

		if (!strcmp(mode, "hang")) {
			pause();
			continue;
		}
		c = accept(pfd.fd, NULL, NULL);
		if (recv(c, &req, sizeof(req), 0) < (ssize_t)sizeof(req.head) || req.head.magic != GR_AGENT_MAGIC)
			return 1;
		if (!strcmp(mode, "local")) {
			print_request();
			answer(c, GR_AGENT_LOCAL, 0, 0, "", "", "told so");
		} else if (!strcmp(mode, "done")) {
			answer(c, GR_AGENT_DONE, 7, 0, "out\n", "err\n", "why");
		} else if (!strcmp(mode, "signal")) {
			answer(c, GR_AGENT_DONE, 0, 9, "", "", "");
		} else if (!strcmp(mode, "long")) {
			answer_long(c);
		} else if (!strcmp(mode, "garbage")) {
			memset(&rep, 0x5a, 64);
			send(c, &rep, 64, MSG_NOSIGNAL);
		} else if (!strcmp(mode, "short")) {
			send(c, &req, sizeof(req.head) / 2, MSG_NOSIGNAL);
		} else if (!strcmp(mode, "version")) {
			rep.head = (struct gr_agent_head){ .magic = GR_AGENT_MAGIC, .version = GR_AGENT_VERSION + 1, .type = GR_AGENT_DONE };
			send(c, &rep, sizeof(rep.head), MSG_NOSIGNAL);
		} else if (!strcmp(mode, "alive")) {
			if (recv(c, &req, sizeof(req), 0) == sizeof(req.head) && req.head.type == GR_AGENT_ALIVE)
				send(c, &req, sizeof(req.head), MSG_NOSIGNAL);
			answer(c, GR_AGENT_DONE, 0, 0, "", "", "");
		}
		close(c);
	}
	return 0;
}
