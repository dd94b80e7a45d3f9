/*
 * spawner.c - the small process that forks the session servers
 *
 * It is forked first thing in main, so neither it nor anything below it has ever held a loop, a ZeroMQ context, a
 * thread or a descriptor of theirs. It starts with the worker's privileges, because which tier works is only known by
 * trying; when the worker has chosen it keeps what that tier needs, usually nothing. It answers nothing itself: the
 * servers speak on their own sockets.
 */
#include "worker/sandbox/sandbox_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "worker/sandbox/runner.h"

#define SWEEP_ROUNDS 200
#define END_ROUNDS 1000
#define CAP(x) (1ull << CAP_##x)
#define CAPS_CHROOT (CAP(SYS_CHROOT) | CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP) | CAP(DAC_OVERRIDE) | CAP(CHOWN) | CAP(MKNOD))
#define CAPS_NAMESPACE (CAP(SYS_ADMIN) | CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP) | CAP(DAC_OVERRIDE) | CAP(CHOWN))

int gr_spawner_fork(struct gr_err *err)
{
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return gr_err_set(err, GR_ESANDBOX, "spawner: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		close(sv[0]);
		gr_sb_spawner_main(sv[1]);
	}
	close(sv[1]);
	if (pid < 0) {
		close(sv[0]);
		return gr_err_set(err, GR_ESANDBOX, "spawner: fork: %s", strerror(errno));
	}
	return sv[0];
}

static int enter(struct sb_server *s, struct gr_err *err)
{
	if (s->tier == GR_TIER_NAMESPACE)
		return gr_sb_namespace_enter(s, err);
	if (s->tier == GR_TIER_CHROOT)
		return gr_sb_chroot_enter(s, err);
	return gr_sb_landlock_enter(s, err);
}

static void say(const struct sb_server *s, uint32_t kind, int code, const char *text)
{
	struct gr_sandbox_event ev = { .kind = kind, .code = code, .landlock_abi = (uint32_t)s->landlock_abi };
	struct gr_runner_event rev = { .kind = kind, .code = code, .landlock_abi = ev.landlock_abi, .has_proc = s->has_proc,
						.has_group = gr_group_is_open(&s->group) };

	snprintf(ev.text, sizeof(ev.text), "%s", text);
	snprintf(rev.text, sizeof(rev.text), "%s", text);
	if (s->is_runner)
		gr_sb_send(s->ctl, &rev, sizeof(rev), NULL, 0, NULL, 0);
	else
		gr_sb_send(s->ctl, &ev, sizeof(ev), NULL, 0, NULL, 0);
}

static void fail_and_end(struct sb_server *s, const struct gr_err *err)
{
	say(s, GR_SANDBOX_FAILED, err->code, err->text);
	_exit(1);
}

static void serve_runner(struct sb_server *s, struct gr_err *err)
{
	if (gr_sb_runner_enter(s, err) < 0)
		fail_and_end(s, err);
	say(s, GR_RUNNER_READY, 0, "");
	gr_sb_runner_main(s);
}

static int make_tmp(struct sb_server *s, struct gr_err *err)
{
	static const char *const parts[] = { GR_SANDBOX_PRIVATE + 1, GR_SANDBOX_PRIVATE "/tmp" + 1 };

	for (size_t i = 0; i < GR_LEN(parts); i++)
		if (mkdirat(s->rootfd, parts[i], 0700) < 0 && errno != EEXIST)
			return gr_err_set(err, GR_ESANDBOX, "%s: %s", parts[i], strerror(errno));
	for (size_t i = 0; i < GR_LEN(parts) && geteuid() == 0 && s->uid; i++)
		if (fchownat(s->rootfd, parts[i], s->uid, s->gid, AT_SYMLINK_NOFOLLOW) < 0)
			return gr_err_set(err, GR_ESANDBOX, "%s: %s", parts[i], strerror(errno));
	return 0;
}

/* In the new process, in its namespaces if it has any. */
static void serve(struct sb_server *s)
{
	struct gr_err err = { 0 };
	int rc;

	umask(022);
	/* opened before the root changes: in the new one it may be a plain file */
	s->nullfd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (s->nullfd < 0) {
		gr_err_set(&err, GR_ESANDBOX, "/dev/null: %s", strerror(errno));
		fail_and_end(s, &err);
	}
	if (s->is_runner)
		serve_runner(s, &err);
	rc = s->tier == GR_TIER_LANDLOCK ? 0 : make_tmp(s, &err);
	if (rc == 0)
		rc = enter(s, &err);
	if (rc == 0 && s->tier == GR_TIER_LANDLOCK)
		rc = make_tmp(s, &err);
	if (rc == 0) {
		s->tmpfd = gr_sb_open_in(s->rootfd, GR_SANDBOX_PRIVATE "/tmp", O_RDONLY | O_DIRECTORY, 0);
		if (s->tmpfd < 0)
			rc = gr_err_set(&err, GR_ESANDBOX, "temporary folder: %s", strerror(errno));
	}
	if (rc == 0)
		rc = gr_sb_landlock_base(s, &err);
	if (rc < 0)
		fail_and_end(s, &err);
	say(s, GR_SANDBOX_READY, 0, "");
	gr_sb_server_main(s);
}

static void start_server(struct sb_server *s)
{
	unsigned long flags = SIGCHLD;
	struct gr_err err = { 0 };
	long pid;
	int e;

	if (s->tier == GR_TIER_NAMESPACE) {
		flags |= CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID | (s->has_net ? 0 : CLONE_NEWNET);
		if (s->has_userns) {
			flags |= CLONE_NEWUSER;
			if ((e = gr_sb_drop_all(s->uid, s->gid))) {
				gr_err_set(&err, GR_ESANDBOX, "dropping privileges: %s", strerror(e));
				fail_and_end(s, &err);
			}
			/* after a change of user /proc/self belongs to root, and the maps could not be written */
			prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		}
	}
	if (fchdir(s->rootfd) < 0) {
		gr_err_set(&err, GR_ESANDBOX, "root folder: %s", strerror(errno));
		fail_and_end(s, &err);
	}
	if (s->tier == GR_TIER_LANDLOCK)
		serve(s);              /* the spawner knows it by its number then, and what it leaves behind from it */
	s->has_pidns = flags & CLONE_NEWPID;
	pid = syscall(SYS_clone, flags, 0, 0, 0, 0);
	if (pid == 0)
		serve(s);
	if (pid < 0) {
		gr_err_set(&err, GR_ESANDBOX, "%s: %s", s->tier == GR_TIER_NAMESPACE ? "namespaces" : "fork", strerror(errno));
		fail_and_end(s, &err);
	}
	_exit(0);
}

static char *map_payload(int fd, size_t n)
{
	char *p = gr_tryalloc(n + 1);

	if (p && pread(fd, p, n, 0) != (ssize_t)n) {
		free(p);
		p = NULL;
	}
	return p;
}

/* ---- what servers left behind ---- */

static struct {
	pid_t *pids;
	uint32_t n, cap;
} known;

static bool is_known(pid_t pid)
{
	for (uint32_t i = 0; i < known.n; i++)
		if (known.pids[i] == pid)
			return true;
	return false;
}

/* Ends every child that is no server. A namespace's processes go with their first; these are the landlock tier's, whose
 * runner died before it could end them. Return: how many there were. */
static uint32_t sweep(void)
{
	char path[64], text[512], *p;
	DIR *dir = opendir("/proc");
	struct dirent *de;
	uint32_t n = 0;

	while (dir && (de = readdir(dir))) {
		pid_t pid = (pid_t)strtol(de->d_name, NULL, 10);
		ssize_t len;
		int fd;

		if (pid <= 0 || is_known(pid))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		if (fd >= 0)
			close(fd);
		if (len <= 0)
			continue;
		text[len] = 0;
		p = strrchr(text, ')');
		if (p && p[1] == ' ' && p[2] != 'Z' && strtol(p + 4, NULL, 10) == getpid()) {
			kill(pid, SIGKILL);
			n++;
		}
	}
	if (dir)
		closedir(dir);
	return n;
}

static void reap(void)
{
	bool is_server_gone = false;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (uint32_t i = 0; i < known.n; i++)
			if (known.pids[i] == pid) {
				known.pids[i] = known.pids[--known.n];
				is_server_gone = true;
			}
	/* what is killed leaves children of its own, which come to us in turn */
	for (int i = 0; is_server_gone && i < SWEEP_ROUNDS && sweep(); i++)
		usleep(1000);
}

/* The worker is gone: servers see the end of their sockets and end; then what they left. */
static void end(void) __attribute__((noreturn));
static void end(void)
{
	for (int i = 0; known.n && i < END_ROUNDS; i++) {
		reap();
		usleep(10000);
	}
	_exit(0);
}

static void on_open(const struct sb_open *o, const int *fds)
{
	struct sb_server s = { .tier = o->tier, .has_userns = o->has_userns, .ctl = fds[0], .rootfd = fds[1],
			       .cachefd = fds[2], .uid = o->uid, .gid = o->gid, .tmp_bytes = o->tmp_bytes,
			       .is_runner = o->is_runner, .has_net = o->has_net };
	char *p, *end, *payload = map_payload(fds[3], o->n_payload);
	struct gr_err err = { 0 };
	bool may_signal;

	if (!payload)
		return;
	gr_group_init(&s.group);
	s.group.is_v2 = o->is_group_v2;
	if (o->has_group)
		memcpy(s.group.fds, fds + SB_OPEN_FDS, sizeof(s.group.fds));
	p = payload;
	end = payload + o->n_payload;
	s.root_path = gr_sb_str(&p, end);
	s.shown = gr_xalloc((o->n_shown + 1) * sizeof(*s.shown));
	while (s.root_path && s.n_shown < o->n_shown && (s.shown[s.n_shown] = gr_sb_str(&p, end)))
		s.n_shown++;
	s.landlock_abi = gr_sb_landlock_abi();
	may_signal = s.tier == GR_TIER_NAMESPACE || s.landlock_abi >= 6;
	s.is_filter_late = !may_signal;
	if ((s.is_runner ? gr_sb_seccomp_build_runner(s.tier, may_signal, s.has_net, &s.filter, &err) :
			   gr_sb_seccomp_build(s.tier, may_signal, &s.filter, &err)) < 0) {
		say(&s, GR_SANDBOX_FAILED, err.code, err.text);
	} else {
		pid_t pid = fork();

		if (pid == 0)
			start_server(&s);
		if (pid > 0 && s.tier == GR_TIER_LANDLOCK) {
			GR_GROW(known.pids, known.cap, known.n + 1);
			known.pids[known.n++] = pid;
		}
		if (pid < 0)
			say(&s, GR_SANDBOX_FAILED, GR_ESANDBOX, "spawner: cannot fork");
	}
	free(s.filter.filter);
	free(s.shown);
	free(payload);
}

static void on_settle(const struct sb_settle *m)
{
	int e;

	if (m->tier == GR_TIER_CHROOT)
		e = gr_sb_keep_caps(CAPS_CHROOT);
	else if (m->tier == GR_TIER_NAMESPACE && !m->has_userns)
		e = gr_sb_keep_caps(CAPS_NAMESPACE);
	else
		e = gr_sb_drop_all(m->uid, m->gid);
	if (e)
		_exit(1);   /* the worker sees the end of the socket and stops */
}

void gr_sb_spawner_main(int fd)
{
	union {
		uint32_t op;
		struct sb_open open;
		struct sb_settle settle;
	} m;
	struct signalfd_siginfo si;
	struct pollfd p[2];
	sigset_t set;

	prctl(PR_SET_NAME, "griddle-spawner", 0, 0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);   /* servers stay below us when their first parent is gone */
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p[0] = (struct pollfd){ fd, POLLIN, 0 };
	p[1] = (struct pollfd){ signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0 };
	for (;;) {
		int fds[SB_MAX_FDS], n_fds;
		ssize_t n;

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents) {
			while (read(p[1].fd, &si, sizeof(si)) > 0)
				;
			reap();
		}
		if (!p[0].revents)
			continue;
		n = gr_sb_recv(fd, &m, sizeof(m), fds, &n_fds, 0);

		if (n == (ssize_t)sizeof(m.open) && m.op == SB_OPEN &&
		    n_fds == SB_OPEN_FDS + (m.open.has_group ? (int)GR_GROUP_FDS : 0))
			on_open(&m.open, fds);
		else if (n == (ssize_t)sizeof(m.settle) && m.op == SB_SETTLE)
			on_settle(&m.settle);
		for (int i = 0; i < n_fds; i++)
			close(fds[i]);
		if (n <= 0)
			end();
	}
}
