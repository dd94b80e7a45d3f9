/**
 * griddle-cc - the compiler wrapper: hand the compile to the agent, or become the compiler
 *
 *   griddle-cc gcc -c x.c        or, masquerading, a symlink named gcc (cc, clang, x86_64-linux-gnu-gcc-12 ...) to it
 *
 * It stands in front of every compile of a build, so it is one static program without a heap: fixed buffers on the
 * stack, one packet out, one packet in. Whatever goes wrong before the answer (no agent, another version, a dead or
 * stopped one, a socket that is not ours) ends in execve of the real compiler: a build never breaks because of
 * griddle. After a DONE answer the outputs are already written; the messages and the exit status are left.
 *
 * Not kept: a dynamic program (+0.12 ms an exec), an own libc-free start-up (saves 40 us, costs every portability).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "client/agent/proto.h"
#include "client/cc/note.h"
#include "lib/cc/triage.h"

#define MAX_DEPTH 16        /* griddle-cc that finds itself behind a compiler's name */
#define ALIVE_MS 5000      /* so long without an answer, then ask whether the agent still lives */

struct wrapper {
	char **argv;            /* the compiler's words; argv[0] as it was typed */
	int argc;
	char **envp;
	char exe[4096];         /* the real compiler */
	char depth[32];
	bool is_verbose;
};

static const char *env_get(char **envp, const char *name)
{
	size_t n = strlen(name);

	for (; *envp; envp++)
		if (!strncmp(*envp, name, n) && (*envp)[n] == '=')
			return *envp + n + 1;
	return NULL;
}

static void say(const char *a, const char *b, const char *c)
{
	char line[1400];
	int n = snprintf(line, sizeof(line), "griddle-cc: %s%s%s\n", a, b, c);

	if (n > 0 && write(2, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
		return;
}

/* What of the environment can change what a compiler writes. A trailing '*' is a prefix. */
static bool env_matters(const char *e)
{
	static const char *const names[] = {
		"LANG=", "LANGUAGE=", "LC_*", "SOURCE_DATE_EPOCH=", "CPATH=", "C_INCLUDE_PATH=", "CPLUS_INCLUDE_PATH=",
		"OBJC_INCLUDE_PATH=", "GCC_*", "CC_*", "CCC_*", "CLANG_*", "COMPILER_PATH=", "LIBRARY_PATH=", "COLUMNS=", "TERM=",
		"NO_COLOR=", "COLORTERM=", "TERM_URLS=", "DEPENDENCIES_OUTPUT=", "SUNPRO_DEPENDENCIES=", "PWD=", "GRIDDLE_BUILD=",
		"GRIDDLE_NO_CACHE=", NULL,
	};
	const char *const *n;

	for (n = names; *n; n++) {
		const char *a = e, *b = *n;

		while (*b && *b != '*' && *a == *b) {
			a++;
			b++;
		}
		if (!*b || *b == '*')
			return true;
	}
	return false;
}

/* The compile stays here, for a reason that the agent has not counted. */
static void note(struct wrapper *w, const char *why)
{
	const char *path = env_get(w->envp, GR_NOTE_ENV), *source;

	if (w->is_verbose)
		say("run here: ", why, "");
	if (!path)
		return;
	source = gr_cc_source_word(w->argc, w->argv);
	gr_note_call(path, gr_cc_is_unit(w->argc, w->argv), why, source ? source : w->argv[w->argc - 1]);
}

/* Replaces this process; returns only when there is nothing to run. */
static int become_compiler(struct wrapper *w)
{
	char *env[4096];
	size_t n = 0, i;

	/* Room for our one entry; an environment larger than this goes without the loop guard. */
	for (i = 0; w->envp[i] && n + 2 < sizeof(env) / sizeof(env[0]); i++)
		if (strncmp(w->envp[i], "GRIDDLE_CC_DEPTH=", 17))
			env[n++] = w->envp[i];
	env[n++] = w->depth;
	env[n] = NULL;
	execve(w->exe, w->argv, w->envp[i] ? w->envp : env);
	say(w->exe, ": ", strerror(errno));
	return errno == ENOENT ? 127 : 126;
}

/* The first executable of that name in PATH that is not this program. */
static int find_compiler(struct wrapper *w, const char *self_path)
{
	const char *name = w->argv[0], *slash = strrchr(name, '/'), *path, *end;
	struct stat self, st;
	bool is_behind = false, has_self = stat("/proc/self/exe", &self) == 0 || stat(self_path, &self) == 0;
	size_t n_name;

	if (slash) {
		if (strlen(name) >= sizeof(w->exe))
			return -1;
		strcpy(w->exe, name);
		if (!has_self || stat(name, &st) < 0 || st.st_dev != self.st_dev || st.st_ino != self.st_ino)
			return 0;
		name = slash + 1;       /* a masquerading link by its path: find the one behind it */
		is_behind = true;
	}
	path = env_get(w->envp, "PATH");
	if (!path)
		path = "/usr/local/bin:/usr/bin:/bin";
	n_name = strlen(name);
	if (!n_name)
		return -1;
	for (;; path = end + 1) {
		size_t n;

		end = strchrnul(path, ':');
		n = (size_t)(end - path);
		if (n + n_name + 3 < sizeof(w->exe)) {
			memcpy(w->exe, n ? path : ".", n ? n : 1);
			n = n ? n : 1;
			w->exe[n] = '/';
			memcpy(w->exe + n + 1, name, n_name + 1);
			if (stat(w->exe, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) && !access(w->exe, X_OK)) {
				if (!has_self || st.st_dev != self.st_dev || st.st_ino != self.st_ino) {
					/* A driver finds its parts from its own name: that must not be the link in front of it. */
					if (is_behind)
						w->argv[0] = w->exe;
					return 0;
				}
				is_behind = true;
			}
		}
		if (!*end)
			return -1;
	}
}

static bool socket_name(struct wrapper *w, struct sockaddr_un *sa)
{
	const char *p;
	int n;

	sa->sun_family = AF_UNIX;
	p = env_get(w->envp, "GRIDDLE_SOCKET");
	if (p && *p)
		n = snprintf(sa->sun_path, sizeof(sa->sun_path), "%s", p);
	else if ((p = env_get(w->envp, "GRIDDLE_RUNTIME_DIR")) && *p)
		n = snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/agent.sock", p);
	else if ((p = env_get(w->envp, "XDG_RUNTIME_DIR")) && *p)
		n = snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/griddle/agent.sock", p);
	else
		n = snprintf(sa->sun_path, sizeof(sa->sun_path), "/tmp/griddle-%u/agent.sock", (unsigned)getuid());
	return n > 0 && (size_t)n < sizeof(sa->sun_path);
}

static int connect_agent(struct wrapper *w)
{
	struct sockaddr_un sa;
	struct timeval patience = { ALIVE_MS / 1000, 0 };     /* a stopped agent's queue may be full */
	struct ucred cred;
	socklen_t n = sizeof(cred);
	int fd;

	if (!socket_name(w, &sa))
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && fd <= 2) {      /* stdin, stdout or stderr is closed: what then happens is the compiler's business */
		close(fd);
		return -1;
	}
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 || (cred.uid != getuid() && cred.uid != 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The body: cwd, compiler, argv, environment. Return: its size, which may be more than @max (then nothing more was
 * written than fits); 0 when there is no cwd. */
static size_t fill_body(struct wrapper *w, char *body, size_t max, struct gr_agent_head *head)
{
	size_t n, k;
	int i;

	if (max < 4096 || !getcwd(body, 4096) || body[0] != '/')
		return 0;
	n = strlen(body) + 1;
	for (i = -1; i < w->argc; i++) {
		const char *s = i < 0 ? w->exe : w->argv[i];

		k = strlen(s) + 1;
		if (n + k <= max)
			memcpy(body + n, s, k);
		n += k;
	}
	head->u.compile.n_args = (uint32_t)w->argc;
	for (i = 0; w->envp[i]; i++) {
		if (!env_matters(w->envp[i]))
			continue;
		k = strlen(w->envp[i]) + 1;
		if (n + k <= max)
			memcpy(body + n, w->envp[i], k);
		n += k;
		head->u.compile.n_env++;
	}
	return n;
}

/* A body too large for a packet goes through a memfd. Return: the memfd, or -1. */
static int fill_memfd(struct wrapper *w, size_t n_body, struct gr_agent_head *head)
{
	size_t room;
	char *p;
	int fd;

	if (n_body > GR_AGENT_MAX_BODY)
		return -1;
	room = n_body + 4096;        /* fill_body wants a whole path's room for the cwd */
	fd = memfd_create("griddle-cc", MFD_CLOEXEC);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)room) < 0)
		goto out;
	p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		goto out;
	head->u.compile.n_env = 0;
	n_body = fill_body(w, p, room, head);
	munmap(p, room);
	if (!n_body || ftruncate(fd, (off_t)n_body) < 0)
		goto out;
	head->n_body = (uint32_t)n_body;
	head->flags |= GR_AGENT_F_MEMFD;
	return fd;
out:
	close(fd);
	return -1;
}

/* One packet, with @fd in it when it is not -1. */
static ssize_t send_packet(int sock, const void *p, size_t n, int fd)
{
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t rc;

	if (fd >= 0) {
		mh.msg_control = ctl.b;
		mh.msg_controllen = sizeof(ctl.b);
		ctl.align.cmsg_level = SOL_SOCKET;
		ctl.align.cmsg_type = SCM_RIGHTS;
		ctl.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&ctl.align), &fd, sizeof(int));
	}
	do
		rc = sendmsg(sock, &mh, MSG_NOSIGNAL);
	while (rc < 0 && errno == EINTR);
	return rc;
}

static bool send_request(struct wrapper *w, int sock)
{
	struct {
		struct gr_agent_head head;
		char body[GR_AGENT_MAX_PACKET - sizeof(struct gr_agent_head)];
	} pkt;
	struct gr_agent_head *head = &pkt.head;
	size_t n_body;
	ssize_t n = -1;
	mode_t mask = umask(0);
	struct winsize ws;
	int fd;

	umask(mask);
	memset(head, 0, sizeof(*head));
	head->magic = GR_AGENT_MAGIC;
	head->version = GR_AGENT_VERSION;
	head->type = GR_AGENT_COMPILE;
	head->flags = (isatty(2) ? GR_AGENT_F_STDERR_TTY : 0) | (w->is_verbose ? GR_AGENT_F_VERBOSE : 0);
	head->u.compile.umask = mask;
	if (head->flags & GR_AGENT_F_STDERR_TTY && ioctl(0, TIOCGWINSZ, &ws) == 0)
		head->u.compile.columns = ws.ws_col;
	n_body = fill_body(w, pkt.body, sizeof(pkt.body), head);
	if (!n_body)
		return false;
	head->n_body = (uint32_t)n_body;
	if (n_body <= sizeof(pkt.body)) {
		n = send_packet(sock, &pkt, sizeof(*head) + n_body, -1);
		if (n >= 0 || errno != EMSGSIZE)
			return n == (ssize_t)(sizeof(*head) + n_body);
	}
	fd = fill_memfd(w, n_body, head);
	if (fd < 0)
		return false;
	n = send_packet(sock, head, sizeof(*head), fd);
	close(fd);
	return n == (ssize_t)sizeof(*head);
}

static void print_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EAGAIN) {
			struct pollfd pfd = { fd, POLLOUT, 0 };

			poll(&pfd, 1, -1);
			continue;
		}
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return;
		p += k;
		n -= (size_t)k;
	}
}

static bool finish(struct wrapper *w, const struct gr_agent_head *head, const char *body, size_t n_body)
{
	size_t n_out = head->u.reply.n_out, n_err = head->u.reply.n_err;

	if (n_out > n_body || n_err > n_body - n_out)
		return false;
	print_all(1, body, n_out);
	print_all(2, body + n_out, n_err);
	if (w->is_verbose) {
		char why[1024];
		size_t n = n_body - n_out - n_err;

		n = n < sizeof(why) - 1 ? n : sizeof(why) - 1;
		memcpy(why, body + n_out + n_err, n);
		why[n] = 0;
		say(head->type == GR_AGENT_DONE ? "" : "run here: ", why, "");
	}
	return head->type == GR_AGENT_DONE;
}

static bool finish_memfd(struct wrapper *w, const struct gr_agent_head *head, int fd)
{
	struct stat st;
	bool is_done = false;
	char *p;

	if (fstat(fd, &st) < 0 || st.st_size != head->n_body || !st.st_size)
		return false;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return false;
	is_done = finish(w, head, p, (size_t)st.st_size);
	munmap(p, (size_t)st.st_size);
	return is_done;
}

/* True with the answer when it is DONE and printed; false when the compiler must be run here. */
static bool wait_answer(struct wrapper *w, int sock, struct gr_agent_head *answer)
{
	struct {
		struct gr_agent_head head;
		char body[GR_AGENT_MAX_PACKET - sizeof(struct gr_agent_head)];
	} pkt;
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct gr_agent_head ask = { .magic = GR_AGENT_MAGIC, .version = GR_AGENT_VERSION, .type = GR_AGENT_ALIVE };
	struct pollfd pfd = { sock, POLLIN, 0 };
	bool has_asked = false;

	for (;;) {
		struct iovec iov = { &pkt, sizeof(pkt) };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.b, .msg_controllen = sizeof(ctl.b) };
		struct cmsghdr *cm;
		ssize_t n;
		int fd, rc = poll(&pfd, 1, ALIVE_MS);

		if (rc < 0 && errno == EINTR)
			continue;
		if (rc < 0)
			return false;
		if (rc == 0) {
			if (has_asked || send(sock, &ask, sizeof(ask), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
				return false;
			has_asked = true;
			continue;
		}
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(pkt.head) || pkt.head.magic != GR_AGENT_MAGIC || pkt.head.version != GR_AGENT_VERSION)
			return false;
		has_asked = false;
		if (pkt.head.type == GR_AGENT_ALIVE)
			continue;
		*answer = pkt.head;
		if (!(pkt.head.flags & GR_AGENT_F_MEMFD))
			return pkt.head.n_body == (size_t)n - sizeof(pkt.head) && finish(w, &pkt.head, pkt.body, pkt.head.n_body);
		cm = CMSG_FIRSTHDR(&mh);
		if (!cm || cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS || cm->cmsg_len != CMSG_LEN(sizeof(int)))
			return false;
		memcpy(&fd, CMSG_DATA(cm), sizeof(int));
		return finish_memfd(w, &pkt.head, fd);
	}
}

static void die_by_signal(int signum)
{
	struct rlimit none = { 0, 0 };
	sigset_t set;

	setrlimit(RLIMIT_CORE, &none);
	signal(signum, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signum);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(signum);
}

static int own_words(const char *word)
{
	if (word && !strcmp(word, "--version")) {
		puts("griddle-cc " GR_VERSION);
		return fflush(stdout) ? 1 : 0;
	}
	fputs("usage: griddle-cc COMPILER ARGUMENT...\n"
	      "Runs the compile on the cluster through the griddle agent, or here when it cannot.\n"
	      "A symlink to it named as a compiler does the same for the compiler of that name in PATH.\n"
	      "  GRIDDLE_SOCKET=PATH   the agent's socket\n"
	      "  GRIDDLE_DISABLE=1     always run the compiler here\n"
	      "  GRIDDLE_VERBOSE=1     say on stderr where a compile ran and why\n", word ? stdout : stderr);
	return word ? 0 : 2;
}

int main(int argc, char **argv, char **envp)
{
	struct wrapper w;
	struct gr_agent_head answer = { 0 };
	const char *base, *v;
	const char *why;
	int sock, depth;

	if (argc < 1)
		return 2;
	base = strrchr(argv[0], '/');
	base = base ? base + 1 : argv[0];
	w.argv = argv;
	w.argc = argc;
	w.envp = envp;
	if (!strcmp(base, "griddle-cc")) {
		if (argc < 2 || !strcmp(argv[1], "--version") || !strcmp(argv[1], "--help"))
			return own_words(argc < 2 ? NULL : argv[1]);
		w.argv++;
		w.argc--;
	}
	v = env_get(envp, "GRIDDLE_VERBOSE");
	w.is_verbose = v && *v && strcmp(v, "0");
	v = env_get(envp, "GRIDDLE_CC_DEPTH");
	depth = v ? atoi(v) : 0;
	if (find_compiler(&w, argv[0]) < 0) {
		say(w.argv[0], ": ", "compiler not found in PATH");
		return 127;
	}
	if (depth < 0 || depth >= MAX_DEPTH) {
		say(w.exe, ": ", "calls griddle-cc again and again; name the real compiler");
		return 1;
	}
	snprintf(w.depth, sizeof(w.depth), "GRIDDLE_CC_DEPTH=%d", depth + 1);
	v = env_get(envp, "GRIDDLE_DISABLE");
	why = v && *v && strcmp(v, "0") ? "GRIDDLE_DISABLE is set" : gr_cc_triage(w.argc, w.argv);
	if (why) {
		note(&w, why);
		return become_compiler(&w);
	}
	sock = connect_agent(&w);
	if (sock < 0) {
		note(&w, "no agent");
		return become_compiler(&w);
	}
	if (!send_request(&w, sock) || !wait_answer(&w, sock, &answer)) {
		if (answer.type != GR_AGENT_LOCAL)     /* that one the agent has counted, and said why */
			note(&w, "no answer from the agent");
		/* The agent watches this process until it ends; the socket closes at the exec. */
		return become_compiler(&w);
	}
	if (answer.u.reply.term_signal > 0 && answer.u.reply.term_signal < 65)
		die_by_signal(answer.u.reply.term_signal);
	_exit(answer.u.reply.exit_code & 0xff);
}
