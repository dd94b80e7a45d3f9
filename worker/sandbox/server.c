/*
 * server.c - a session's server: forks a child a task, inside what the tier set up
 *
 * One thread, one poll over the worker's socket and SIGCHLD. A child becomes a process group, opens the folders it may
 * write, takes the second Landlock layer and the seccomp filter, closes every descriptor but 0, 1, 2 and execs. What
 * went wrong on the way is left in a shared page, so that no pipe is needed. Children may not leave their group
 * (setsid and setpgid are refused), so one signal to the group ends a task with all it started; orphans come to the
 * server, which is a subreaper or the first process of its namespace.
 */
#include "worker/sandbox/sandbox_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"

enum stage { ST_NONE, ST_CWD, ST_FDS, ST_LIMITS, ST_LANDLOCK, ST_SECCOMP, ST_EXEC };
static const char *const stage_text[] = { "", "working directory", "descriptors", "limits", "landlock", "seccomp", "exec" };

struct trouble {                       /* one a slot, in the shared page */
	int stage, error;
};
struct server {
	struct sb_server *s;
	struct trouble *trouble;
	pid_t pids[GR_SANDBOX_SLOTS];
	bool has_tmp[GR_SANDBOX_SLOTS];
	uint32_t n_running;
	char *packet;                  /* receive buffer */
};

struct spawn {
	struct sb_spawn m;
	char *program, *cwd, **argv, **env, **writable;
	int out, err;
};

static void report(struct server *v, const struct gr_sandbox_event *ev)
{
	while (gr_sb_send(v->s->ctl, ev, sizeof(*ev), NULL, 0, NULL, 0) == -EAGAIN) {
		struct pollfd p = { v->s->ctl, POLLOUT, 0 };

		poll(&p, 1, -1);
	}
}

static void refuse(struct server *v, uint32_t slot, const char *text)
{
	struct gr_sandbox_event ev = { .kind = GR_SANDBOX_EXIT, .slot = slot, .code = GR_ESANDBOX };

	snprintf(ev.text, sizeof(ev.text), "%s", text);
	report(v, &ev);
}

/* ---- in the child ---- */

static void give_up(struct trouble *t, enum stage stage, int error) __attribute__((noreturn));
static void give_up(struct trouble *t, enum stage stage, int error)
{
	t->stage = stage;
	t->error = error;
	_exit(127);
}

static void limit(int what, uint64_t value)
{
	struct rlimit r = { value, value }, old;

	if (getrlimit(what, &old) == 0 && old.rlim_max < r.rlim_max)
		r.rlim_cur = r.rlim_max = old.rlim_max;
	setrlimit(what, &r);
}

static void set_limits(const struct sb_spawn *m)
{
	limit(RLIMIT_CORE, 0);
	if (m->as_bytes)
		limit(RLIMIT_AS, m->as_bytes);
	if (m->fsize_bytes)
		limit(RLIMIT_FSIZE, m->fsize_bytes);
	if (m->cpu_s)
		limit(RLIMIT_CPU, m->cpu_s);
	if (m->n_proc)
		limit(RLIMIT_NPROC, m->n_proc);
}

static void child(struct server *v, struct spawn *sp, int tmpfd)
{
	struct trouble *t = &v->trouble[sp->m.slot];
	struct sb_server *s = v->s;
	int dirs[GR_SANDBOX_MAX_WRITABLE], cwd, e;
	uint32_t n_dirs = 0;
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	cwd = gr_sb_open_in(s->rootfd, sp->cwd, O_PATH | O_DIRECTORY, 0);
	if (cwd < 0 || fchdir(cwd) < 0)
		give_up(t, ST_CWD, errno);
	for (uint32_t i = 0; i < sp->m.n_writable; i++) {
		/* one that is not there is the compiler's to complain about */
		int fd = gr_sb_open_in(s->rootfd, sp->writable[i], O_PATH | O_DIRECTORY, 0);

		if (fd >= 0)
			dirs[n_dirs++] = fd;
	}
	set_limits(&sp->m);
	e = gr_sb_landlock_task(s, dirs, n_dirs, tmpfd);
	if (e)
		give_up(t, ST_LANDLOCK, e);
	if (dup2(s->nullfd, 0) < 0 || dup2(sp->out, 1) < 0 || dup2(sp->err, 2) < 0 || close_range(3, ~0u, 0) < 0)
		give_up(t, ST_FDS, errno);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &s->filter) < 0)
		give_up(t, ST_SECCOMP, errno);
	execve(sp->program, sp->argv, sp->env);
	give_up(t, ST_EXEC, errno);
}

/* ---- in the server ---- */

static void empty_dir(int parent, const char *name, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	while (dir && depth < 32 && (de = readdir(dir))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (unlinkat(fd, de->d_name, 0) < 0 && errno == EISDIR)
			empty_dir(fd, de->d_name, depth + 1);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	unlinkat(parent, name, AT_REMOVEDIR);
}

/* The slot's temporary folder, empty. One call when the last task left nothing behind. */
static int open_tmp(struct server *v, uint32_t slot)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", slot);
	if (!v->has_tmp[slot] && mkdirat(v->s->tmpfd, name, 0700) < 0) {
		if (errno != EEXIST)
			return -1;
		empty_dir(v->s->tmpfd, name, 0);
		if (mkdirat(v->s->tmpfd, name, 0700) < 0)
			return -1;
	}
	v->has_tmp[slot] = true;
	return openat(v->s->tmpfd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Removal that fails with "not empty" is the test for something left. */
static void check_tmp(struct server *v, uint32_t slot)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", slot);
	if (unlinkat(v->s->tmpfd, name, AT_REMOVEDIR) < 0)
		empty_dir(v->s->tmpfd, name, 0);
	v->has_tmp[slot] = mkdirat(v->s->tmpfd, name, 0700) == 0;
}

static char **take_list(char **p, char *end, uint32_t n, const char *extra)
{
	char **list = gr_tryalloc((n + 2) * sizeof(*list));
	uint32_t i;

	if (!list)
		return NULL;
	for (i = 0; i < n; i++)
		if (!(list[i] = gr_sb_str(p, end))) {
			free(list);
			return NULL;
		}
	list[n] = (char *)(uintptr_t)extra;
	return list;
}

static void spawn(struct server *v, const struct sb_spawn *m, char *payload, const int *fds)
{
	struct spawn sp = { .m = *m, .out = fds[0], .err = fds[1] };
	char *p = payload, *end = payload + m->n_payload, tmpdir[4200];
	bool is_good;
	int tmpfd;
	pid_t pid;

	if (m->slot >= GR_SANDBOX_SLOTS || m->n_writable > GR_SANDBOX_MAX_WRITABLE || v->pids[m->slot] ||
	    m->n_argv > SB_MAX_PAYLOAD || m->n_env > SB_MAX_PAYLOAD || m->n_argv == 0) {
		refuse(v, m->slot, "malformed request");
		return;
	}
	snprintf(tmpdir, sizeof(tmpdir), "TMPDIR=%s" GR_SANDBOX_PRIVATE "/tmp/%u", v->s->root_path, m->slot);
	sp.program = gr_sb_str(&p, end);
	sp.cwd = gr_sb_str(&p, end);
	sp.argv = take_list(&p, end, m->n_argv, NULL);
	sp.env = take_list(&p, end, m->n_env, tmpdir);
	sp.writable = take_list(&p, end, m->n_writable, NULL);
	is_good = sp.program && sp.cwd && sp.argv && sp.env && sp.writable && p == end;
	tmpfd = is_good ? open_tmp(v, m->slot) : -1;
	if (!is_good) {
		refuse(v, m->slot, "malformed request");
	} else if (tmpfd < 0) {
		refuse(v, m->slot, "temporary folder: no space left");
	} else {
		v->trouble[m->slot] = (struct trouble){ 0 };
		pid = fork();
		if (pid == 0)
			child(v, &sp, tmpfd);
		if (pid < 0) {
			refuse(v, m->slot, "cannot fork");
		} else {
			setpgid(pid, pid);
			v->pids[m->slot] = pid;
			v->n_running++;
		}
	}
	if (tmpfd >= 0)
		close(tmpfd);
	free(sp.argv);
	free(sp.env);
	free(sp.writable);
}

static void on_spawn(struct server *v, ssize_t n, int *fds, int n_fds)
{
	struct sb_spawn m;
	char *big = NULL, *payload = v->packet + sizeof(m);

	memcpy(&m, v->packet, sizeof(m));
	if (n_fds == 3 && m.n_payload <= SB_MAX_PAYLOAD) {
		big = gr_tryalloc(m.n_payload + 1);
		if (big && pread(fds[2], big, m.n_payload, 0) == (ssize_t)m.n_payload)
			payload = big;
		else
			payload = NULL;
	} else if (n_fds != 2 || (size_t)n != sizeof(m) + m.n_payload) {
		payload = NULL;
	}
	if (payload)
		spawn(v, &m, payload, fds);
	else
		refuse(v, m.slot, "malformed request");
	free(big);
}

static void on_exit_of(struct server *v, uint32_t slot, int status, const struct rusage *ru)
{
	struct trouble *t = &v->trouble[slot];
	struct gr_sandbox_event ev = {
		.kind = GR_SANDBOX_EXIT, .slot = slot, .status = status,
		.cpu_us = (uint64_t)ru->ru_utime.tv_sec * 1000000 + (uint64_t)ru->ru_utime.tv_usec +
			  (uint64_t)ru->ru_stime.tv_sec * 1000000 + (uint64_t)ru->ru_stime.tv_usec,
		.max_rss_bytes = (uint64_t)ru->ru_maxrss * 1024,
	};

	if (t->stage != ST_NONE) {
		ev.code = GR_ESANDBOX;
		snprintf(ev.text, sizeof(ev.text), "%s: %s", stage_text[t->stage], strerror(t->error));
	}
	v->pids[slot] = 0;
	v->n_running--;
	check_tmp(v, slot);
	report(v, &ev);
}

static void reap(struct server *v)
{
	siginfo_t si;
	struct rusage ru;
	int status;

	for (;;) {
		uint32_t slot = 0;

		si.si_pid = 0;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
			return;
		while (slot < GR_SANDBOX_SLOTS && v->pids[slot] != si.si_pid)
			slot++;
		/* while the leader is not waited for, its group's number belongs to nobody else */
		if (slot < GR_SANDBOX_SLOTS)
			kill(-si.si_pid, SIGKILL);
		if (wait4(si.si_pid, &status, 0, &ru) == si.si_pid && slot < GR_SANDBOX_SLOTS)
			on_exit_of(v, slot, status, &ru);
	}
}

static void end(struct server *v) __attribute__((noreturn));
static void end(struct server *v)
{
	for (uint32_t i = 0; i < GR_SANDBOX_SLOTS; i++)
		if (v->pids[i])
			kill(-v->pids[i], SIGKILL);
	for (uint32_t i = 0; i < GR_SANDBOX_SLOTS; i++)
		if (v->pids[i])
			waitpid(v->pids[i], NULL, 0);
	_exit(0);
}

static void on_packet(struct server *v)
{
	int fds[SB_MAX_FDS], n_fds;
	ssize_t n = gr_sb_recv(v->s->ctl, v->packet, sizeof(struct sb_spawn) + SB_INLINE_BYTES, fds, &n_fds, MSG_DONTWAIT);
	uint32_t head[2] = { 0, 0 };

	if (n == -EAGAIN)
		return;
	if (n <= 0)
		end(v);
	if ((size_t)n >= sizeof(head))
		memcpy(head, v->packet, sizeof(head));
	if (head[0] == SB_SPAWN && (size_t)n >= sizeof(struct sb_spawn))
		on_spawn(v, n, fds, n_fds);
	else if (head[0] == SB_KILL && head[1] < GR_SANDBOX_SLOTS && v->pids[head[1]])
		kill(-v->pids[head[1]], SIGKILL);
	for (int i = 0; i < n_fds; i++)
		close(fds[i]);
}

void gr_sb_server_main(struct sb_server *s)
{
	struct server *v = gr_xalloc(sizeof(*v));
	struct signalfd_siginfo si;
	struct pollfd p[2];
	sigset_t set;

	v->s = s;
	v->packet = gr_xalloc(sizeof(struct sb_spawn) + SB_INLINE_BYTES);
	v->trouble = mmap(NULL, GR_SANDBOX_SLOTS * sizeof(*v->trouble), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (v->trouble == MAP_FAILED)
		_exit(1);
	prctl(PR_SET_NAME, "griddle-session", 0, 0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fcntl(s->ctl, F_SETFL, 0);
	p[0] = (struct pollfd){ s->ctl, POLLIN, 0 };
	p[1] = (struct pollfd){ signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0 };
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			end(v);
		if (p[1].revents) {
			while (read(p[1].fd, &si, sizeof(si)) > 0)
				;
			reap(v);
		}
		if (p[0].revents)
			on_packet(v);
	}
}
