/*
 * runner.c - the runner's own process: starts a command, takes its output, measures and ends its tree
 *
 * One thread, one poll over the worker's socket, SIGCHLD and the two pipes. The pipes and the sandbox are made once; the
 * child is made by vfork, so that a command costs no copy of page tables. Output goes to the worker in packets up to the
 * command's limit; beyond it the runner reads on and counts, so that a flood neither stops the command nor costs the
 * worker anything. While the worker takes no packet the pipes are not read, which stops the command.
 *
 * The end: the first process has ended; whatever it left has become the runner's child (first process of a PID
 * namespace, or subreaper), so "no child is left" is one wait4 that fails with ECHILD, and killing repeats until then.
 *
 * Memory: every SAMPLE_MS the tree is measured (memory.c) and ends when it has more than its limit.
 *
 * Not kept: fork (0.1 ms more for the copied page tables), output into files (two files a command made and removed, and
 * no limit that leaves the command alive), a runner a command (namespaces and mounts are 3 ms).
 */
#include "worker/sandbox/runner.h"

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
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/net/loop.h"
#include "worker/sandbox/memory.h"
#include "worker/sandbox/runner_ahead.h"
#include "worker/sandbox/sandbox_int.h"

#define FIRST_SAMPLE_MS 50
#define SAMPLE_MS 200
#define PIPE_BYTES 65536
#define LITTLE_BYTES 4096              /* output that may wait for company */
#define KILL_ROUND_MS 50
#define KILL_ROUNDS 200                /* then the runner itself ends, and in a PID namespace all goes with it */
#define MAX_TREE 16384

struct runner {
	struct sb_server *s;
	int sigfd, pipes[2][2];        /* of stdout and stderr: read end, write end */
	char *packet;
	uint8_t *chunk;                /* read from a pipe, and not yet taken by the worker */
	struct gr_runner_event held;   /* chunk's head, when is_held */
	bool is_held;
	pid_t pid;                     /* of the command; 0 none runs */
	struct sb_start m;
	struct sb_ahead ahead;
	struct sb_post post;
	uint64_t began_ns;
	bool is_left;                  /* the last one left something, and the worker has sent none since it knows */
	uint64_t n_sent[2], n_dropped[2];
	struct rusage ru;              /* of all that was waited for */
	uint64_t peak_bytes, group_limit;      /* group_limit: as it is set */
	struct gr_group_seen before;           /* the command */
	bool is_oom, is_grouped;
	uint32_t n_killed;
	bool is_reaped;
	uint64_t sample_ns;            /* the next look at its memory */
	rlim_t most_processes;         /* our own limit */
	pid_t *tree, *parents;
};

/* Return: false when the worker takes no more now. */
static bool send_held(struct runner *r)
{
	gr_sb_post_flush(&r->post);    /* that is before it */
	return gr_sb_send(r->s->ctl, &r->held, sizeof(r->held), r->chunk, r->held.n_data, NULL, 0) != -EAGAIN;
}

/* ---- the tree ---- */

/* All that descends from this process, at most MAX_TREE. In a PID namespace of its own everything else does. */
static uint32_t list_tree(struct runner *r)
{
	pid_t self = getpid();
	uint32_t n = 0, n_in = 0;
	struct dirent *de;
	bool is_grown;
	DIR *dir;
	int fd;

	if (r->s->procfd < 0 || (fd = openat(r->s->procfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 0;
	dir = fdopendir(fd);
	while (dir && n < MAX_TREE && (de = readdir(dir))) {
		pid_t pid = (pid_t)strtol(de->d_name, NULL, 10);

		if (pid <= 0 || pid == self)
			continue;
		r->parents[n] = r->s->has_pidns ? self : gr_sb_parent(r->s->procfd, pid);
		r->tree[n++] = pid;
	}
	if (dir)
		closedir(dir);
	else
		close(fd);
	/* those whose parent is in come to the front, until none does any more */
	do {
		is_grown = false;
		for (uint32_t i = n_in; i < n; i++) {
			bool is_in = r->parents[i] == self;
			pid_t pid = r->tree[i], parent = r->parents[i];

			for (uint32_t k = 0; k < n_in && !is_in; k++)
				is_in = r->tree[k] == parent;
			if (!is_in)
				continue;
			r->tree[i] = r->tree[n_in];
			r->parents[i] = r->parents[n_in];
			r->tree[n_in] = pid;
			r->parents[n_in++] = parent;
			is_grown = true;
		}
	} while (is_grown && n_in < n);
	return n_in;
}

static uint32_t kill_tree(struct runner *r)
{
	uint32_t n;

	if (r->pid && !r->is_reaped)
		kill(-r->pid, SIGKILL);
	if (r->s->has_pidns)
		return kill(-1, SIGKILL) == 0;
	/* stopped first: what is stopped forks no more while the rest is looked for */
	for (int signum = SIGSTOP;; signum = SIGKILL) {
		n = list_tree(r);
		for (uint32_t i = 0; i < n; i++)
			kill(r->tree[i], signum);
		if (signum == SIGKILL)
			return n;
	}
}

static void add_usage(struct runner *r, const struct rusage *ru)
{
	struct timeval *a[2] = { &r->ru.ru_utime, &r->ru.ru_stime };
	const struct timeval *b[2] = { &ru->ru_utime, &ru->ru_stime };

	for (int i = 0; i < 2; i++) {
		a[i]->tv_sec += b[i]->tv_sec;
		a[i]->tv_usec += b[i]->tv_usec;
	}
	if (ru->ru_maxrss > r->ru.ru_maxrss)
		r->ru.ru_maxrss = ru->ru_maxrss;
}

/* Ends all that is left. Return: false when something would not die. */
static bool end_tree(struct runner *r)
{
	struct signalfd_siginfo si;
	struct rusage ru;
	int status;
	pid_t pid;

	for (int i = 0; i < KILL_ROUNDS; i++) {
		struct pollfd p = { r->sigfd, POLLIN, 0 };

		while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0) {
			r->n_killed += pid != r->pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
			add_usage(r, &ru);
		}
		if (pid < 0 && errno == ECHILD)
			return true;
		kill_tree(r);
		poll(&p, 1, KILL_ROUND_MS);
		while (read(r->sigfd, &si, sizeof(si)) > 0)
			;
	}
	return false;
}

/* ---- memory ---- */

static void begin_memory(struct runner *r)
{
	r->peak_bytes = 0;
	r->is_oom = false;
	if (gr_group_is_open(&r->s->group) && r->group_limit != r->m.mem_bytes &&
	    gr_group_limit(&r->s->group, r->m.mem_bytes))
		r->group_limit = r->m.mem_bytes;
	r->is_grouped = gr_group_is_open(&r->s->group) && r->group_limit == r->m.mem_bytes;
	if (r->is_grouped && r->m.mem_bytes)
		gr_group_count(&r->s->group, &r->before);
}

/* @is_over: nothing of it is there any more, but what the kernel counted. */
static void look_at_group(struct runner *r, bool is_over)
{
	struct gr_group_seen now;

	(is_over ? gr_group_count : gr_group_look)(&r->s->group, &now);
	if (now.resident_bytes > r->peak_bytes)
		r->peak_bytes = now.resident_bytes;
	if (!r->m.mem_bytes || now.n_full == r->before.n_full || now.n_killed == r->before.n_killed)
		return;
	r->is_oom = true;
	if (r->peak_bytes < r->m.mem_bytes)
		r->peak_bytes = r->m.mem_bytes;
}

static void sample(struct runner *r)
{
	uint64_t bytes;

	if (r->is_grouped) {
		look_at_group(r, false);
		if (r->is_oom)
			kill_tree(r);  /* the kernel has killed one of them */
		return;
	}
	bytes = gr_sb_memory(r->s->procfd, r->tree, list_tree(r), r->m.mem_bytes);
	if (bytes > r->peak_bytes)
		r->peak_bytes = bytes;
	if (r->m.mem_bytes && bytes > r->m.mem_bytes) {
		r->is_oom = true;
		kill_tree(r);
	}
}

/* ---- output ---- */

/* One piece of a stream. Return: false when there is nothing more now, or the worker takes no more. */
static bool pump_stream(struct runner *r, int i)
{
	ssize_t n;

	if (r->is_held)
		return false;
	n = read(r->pipes[i][0], r->chunk, PIPE_BYTES);
	if (n <= 0)
		return false;
	if (r->n_sent[i] + (uint64_t)n > r->m.out_bytes) {
		uint64_t fits = r->m.out_bytes - r->n_sent[i];

		r->n_dropped[i] += (uint64_t)n - fits;
		n = (ssize_t)fits;
	}
	if (!n)
		return true;
	r->n_sent[i] += (uint64_t)n;
	r->held = (struct gr_runner_event){ .kind = GR_RUNNER_OUTPUT, .stream = (uint32_t)i + 1, .id = r->m.id, .n_data = (uint32_t)n };
	if (r->ahead.n && n <= LITTLE_BYTES)
		gr_sb_post_add(&r->post, &r->held, r->chunk, gr_clock_mono_ns());
	else
		r->is_held = !send_held(r);
	return true;
}

/* ---- starting ---- */

struct start {
	char *cwd, **argv, **env, *program;
	int stdin_fd, cwd_fd;
	volatile int error;            /* the child shares our memory until it execs */
};

static void limit(int what, uint64_t value)
{
	struct rlimit l = { value, value }, old;

	if (getrlimit(what, &old) == 0 && old.rlim_max < l.rlim_max)
		l.rlim_cur = l.rlim_max = old.rlim_max;
	setrlimit(what, &l);
}

static void child(struct runner *r, struct start *st) __attribute__((noreturn, noinline));
static void child(struct runner *r, struct start *st)
{
	sigset_t none;

	setsid();
	if (!r->s->has_pidns)
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (r->m.fsize_bytes)
		limit(RLIMIT_FSIZE, r->m.fsize_bytes);
	if (r->m.cpu_s)
		limit(RLIMIT_CPU, r->m.cpu_s);
	if (r->m.n_proc) {
		struct rlimit l = { r->m.n_proc, r->m.n_proc };

		if (l.rlim_max > r->most_processes)
			l.rlim_cur = l.rlim_max = r->most_processes;
		setrlimit(RLIMIT_NPROC, &l);
	}
	/* 0 and 1 are this process's own already, see make_ready */
	if (fchdir(st->cwd_fd) < 0 || (st->stdin_fd >= 0 && dup2(st->stdin_fd, 0) < 0) ||
	    dup2(r->pipes[r->m.is_merged ? 0 : 1][1], 2) < 0) {
		st->error = errno;
		_exit(127);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if ((r->s->scopefd >= 0 && syscall(SYS_landlock_restrict_self, r->s->scopefd, 0) < 0) ||
	    (r->s->is_filter_late && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &r->s->filter) < 0)) {
		st->error = errno;
		_exit(127);
	}
	execve(st->program, st->argv, st->env);
	if (errno == ENOEXEC) {            /* a script without "#!": as a shell would take it */
		st->argv[-1] = (char *)(uintptr_t)"sh";
		st->argv[0] = st->program;
		execve("/bin/sh", st->argv - 1, st->env);
	}
	st->error = errno;
	_exit(127);
}

static char **take_list(char **p, char *end, uint32_t n)
{
	char **list = gr_tryalloc((n + 2) * sizeof(*list));   /* one before, for a shell's name; one behind */

	for (uint32_t i = 0; list && i < n; i++)
		if (!(list[i + 1] = gr_sb_str(p, end))) {
			free(list);
			return NULL;
		}
	return list;
}

/* A name without a slash is looked for where the command's own PATH says. Return: 0 or an errno. */
static int find_program(const struct start *st, char out[4096])
{
	const char *name = st->argv[0], *path = "/usr/local/bin:/usr/bin:/bin";
	int rc = ENOENT;

	if (strchr(name, '/') || !*name) {
		snprintf(out, 4096, "%s", name);
		return *name ? 0 : ENOENT;
	}
	for (char **e = st->env; *e; e++)
		if (!strncmp(*e, "PATH=", 5))
			path = *e + 5;
	for (;;) {
		size_t n = strcspn(path, ":");
		struct stat sb;

		if (n && snprintf(out, 4096, "%.*s/%s", (int)n, path, name) < 4096 &&
		    fstatat(st->cwd_fd, out, &sb, 0) == 0 && S_ISREG(sb.st_mode)) {
			if (faccessat(st->cwd_fd, out, X_OK, 0) == 0)
				return 0;
			rc = EACCES;
		}
		if (!path[n])
			return rc;
		path += n + 1;
	}
}

static void refuse(struct runner *r, uint32_t id, int code, const char *what, int error)
{
	struct gr_runner_event ev = { .kind = GR_RUNNER_EXIT, .id = id, .code = code };

	snprintf(ev.text, sizeof(ev.text), "%.180s: %s", what, strerror(error));
	gr_sb_post_add(&r->post, &ev, NULL, gr_clock_mono_ns());
}

static int code_of(int error)
{
	return error == ENOENT || error == ENOTDIR ? GR_ENOENT : error == EACCES || error == EPERM || error == ELOOP ? GR_EPATH :
	       error == E2BIG ? GR_ELIMIT : error == EAGAIN || error == ENOMEM ? GR_ENOMEM : GR_EINVAL;
}

static void launch(struct runner *r, struct start *st)
{
	char program[4096];
	int e;
	pid_t pid = -1;

	st->cwd_fd = *st->cwd ? gr_sb_open_in(r->s->taskfd, st->cwd, O_PATH | O_DIRECTORY, 0) : r->s->taskfd;
	if (st->cwd_fd < 0) {
		refuse(r, r->m.id, code_of(errno), st->cwd, errno);
		return;
	}
	e = find_program(st, program);
	if (e == 0) {
		st->program = program;
		r->n_sent[0] = r->n_sent[1] = r->n_dropped[0] = r->n_dropped[1] = 0;
		r->n_killed = 0;
		begin_memory(r);
		memset(&r->ru, 0, sizeof(r->ru));
		r->began_ns = gr_clock_mono_ns();
		gr_sb_oom_offer(r->s, true);
		pid = vfork();
		if (pid == 0)
			child(r, st);
		gr_sb_oom_offer(r->s, false);
		e = pid < 0 ? errno : st->error;
		if (pid > 0 && e)
			waitpid(pid, NULL, 0);
	}
	if (st->cwd_fd != r->s->taskfd)
		close(st->cwd_fd);
	if (e) {
		refuse(r, r->m.id, code_of(e), st->argv[0], e);
		return;
	}
	r->pid = pid;
	r->sample_ns = r->began_ns + FIRST_SAMPLE_MS * GR_NS_PER_MS;
}

static void begin(struct runner *r, char *packet, size_t n, const int *fds, int n_fds)
{
	struct start st = { .stdin_fd = -1 };
	char *payload = packet + sizeof(r->m), *big = NULL, *p, *end;
	int want = 0;

	memcpy(&r->m, packet, sizeof(r->m));
	want = r->m.has_stdin + r->m.is_in_fd;
	if (n_fds != want || r->m.n_payload > GR_RUNNER_MAX_PAYLOAD || r->m.n_argv > r->m.n_payload ||
	    r->m.n_env > r->m.n_payload || !r->m.n_argv || (!r->m.is_in_fd && n != sizeof(r->m) + r->m.n_payload)) {
		refuse(r, r->m.id, GR_EINVAL, "start", EINVAL);
		return;
	}
	if (r->m.is_in_fd) {
		payload = big = gr_tryalloc(r->m.n_payload + 1);
		if (!big || pread(fds[want - 1], big, r->m.n_payload, 0) != (ssize_t)r->m.n_payload)
			r->m.n_payload = 0;
	}
	if (r->m.has_stdin)
		st.stdin_fd = fds[0];
	p = payload;
	end = payload + r->m.n_payload;
	st.cwd = gr_sb_str(&p, end);
	st.argv = take_list(&p, end, r->m.n_argv);
	st.env = take_list(&p, end, r->m.n_env);
	if (st.cwd && st.argv && st.env) {
		char **argv = st.argv, **env = st.env;

		st.argv++;
		st.env++;
		launch(r, &st);
		st.argv = argv;
		st.env = env;
	} else {
		refuse(r, r->m.id, GR_EINVAL, "start", EINVAL);
	}
	free(st.argv);
	free(st.env);
	free(big);
}

static void say_returned(struct runner *r, uint32_t id)
{
	struct gr_runner_event ev = { .kind = GR_RUNNER_RETURNED, .id = id };

	gr_sb_post_add(&r->post, &ev, NULL, gr_clock_mono_ns());
}

/* What waits is another runner's, or later ours. */
static void give_back(struct runner *r)
{
	struct sb_packet next;
	struct sb_start m;

	while ((next = gr_sb_ahead_pop(&r->ahead)).p) {
		memcpy(&m, next.p, sizeof(m));
		say_returned(r, m.id);
		free(next.p);
	}
}

static void on_start(struct runner *r, ssize_t n, const int *fds, int n_fds)
{
	struct sb_start m;

	memcpy(&m, r->packet, sizeof(m));
	if (!m.is_ahead)
		r->is_left = false;
	if (r->is_left)
		say_returned(r, m.id);
	else if (!r->pid)
		begin(r, r->packet, (size_t)n, fds, n_fds);
	else if (n_fds || !gr_sb_ahead_push(&r->ahead, r->packet, (size_t)n))
		refuse(r, m.id, GR_EINVAL, "start", EINVAL);
}

static void go_on(struct runner *r)
{
	struct sb_packet next;

	while (!r->pid && (next = gr_sb_ahead_pop(&r->ahead)).p) {
		begin(r, next.p, next.n, NULL, 0);
		free(next.p);
	}
}

/* ---- ending ---- */

static void on_exited(struct runner *r, int status)
{
	struct gr_runner_event ev = { .kind = GR_RUNNER_EXIT, .id = r->m.id, .status = status, .began_ns = r->began_ns };
	bool is_dead;
	uint64_t rss;

	r->is_reaped = true;
	is_dead = end_tree(r);
	if (r->is_grouped && r->m.mem_bytes)
		look_at_group(r, is_dead);
	for (int i = 0; i < 2; i++)
		do
			if (r->is_held) {
				gr_sb_post_add(&r->post, &r->held, r->chunk, 0);
				gr_sb_post_flush(&r->post);
				r->is_held = false;
			}
		while (pump_stream(r, i) || r->is_held);
	rss = (uint64_t)r->ru.ru_maxrss * 1024;
	ev.cpu_us = (uint64_t)(r->ru.ru_utime.tv_sec + r->ru.ru_stime.tv_sec) * 1000000 +
		    (uint64_t)(r->ru.ru_utime.tv_usec + r->ru.ru_stime.tv_usec);
	ev.max_rss_bytes = r->peak_bytes > rss ? r->peak_bytes : rss;
	memcpy(ev.n_dropped, r->n_dropped, sizeof(ev.n_dropped));
	ev.is_oom = r->is_oom;
	ev.n_killed = r->n_killed;
	ev.is_clean = is_dead && gr_sb_folders_untouched(r->s);
	r->pid = 0;
	r->is_reaped = false;
	ev.ended_ns = gr_clock_mono_ns();
	gr_sb_post_add(&r->post, &ev, NULL, ev.ended_ns);
	r->is_left = !ev.is_clean;
	if (r->is_left) {
		give_back(r);
		gr_sb_post_flush(&r->post);    /* before what may take long */
	}
	if (!is_dead || (!ev.is_clean && !gr_sb_empty_tmp(r->s)))
		_exit(1);                      /* a new runner has empty folders */
	go_on(r);
}

static void reap(struct runner *r)
{
	struct rusage ru;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0) {
		add_usage(r, &ru);
		if (pid == r->pid) {
			on_exited(r, status);
			return;
		}
	}
}

static void end(struct runner *r) __attribute__((noreturn));
static void end(struct runner *r)
{
	end_tree(r);
	_exit(0);
}

static void on_packet(struct runner *r)
{
	int fds[SB_MAX_FDS], n_fds;
	ssize_t n = gr_sb_recv(r->s->ctl, r->packet, sizeof(struct sb_start) + SB_INLINE_BYTES, fds, &n_fds, MSG_DONTWAIT);
	uint32_t head[3] = { 0 };

	if (n == -EAGAIN)
		return;
	if (n <= 0)
		end(r);
	memcpy(head, r->packet, (size_t)n < sizeof(head) ? (size_t)n : sizeof(head));
	if (head[0] == SB_START && (size_t)n >= sizeof(struct sb_start))
		on_start(r, n, fds, n_fds);
	else if (head[0] == SB_RECALL)
		give_back(r);
	else if (head[0] == SB_SIGNAL && r->pid && head[2] == r->m.id && head[1] == SIGKILL)
		kill_tree(r);
	else if (head[0] == SB_SIGNAL && r->pid && head[2] == r->m.id && head[1] < 64)
		kill(-r->pid, (int)head[1]);
	for (int i = 0; i < n_fds; i++)
		close(fds[i]);
}

/* What every command has from us and needs no call of its own. */
static void make_ready(struct runner *r)
{
	static const int signals[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD };
	struct rlimit l;
	sigset_t all;

	for (size_t i = 0; i < GR_LEN(signals); i++)
		signal(signals[i], SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	limit(RLIMIT_CORE, 0);
	r->most_processes = getrlimit(RLIMIT_NPROC, &l) == 0 ? l.rlim_max : RLIM_INFINITY;
	for (int i = 0; i < 2; i++) {
		if (pipe2(r->pipes[i], O_CLOEXEC) < 0)
			_exit(1);
		fcntl(r->pipes[i][0], F_SETFL, O_NONBLOCK);
	}
	if (dup2(r->s->nullfd, 0) < 0 || dup2(r->pipes[0][1], 1) < 0)
		_exit(1);
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);       /* and what is opened later is so from the start */
}

/* Until something is to be done that nothing wakes us for; -1 never. */
static int poll_ms(const struct runner *r)
{
	uint64_t now, due = r->sample_ns;

	if (!r->pid)
		return -1;
	now = gr_clock_mono_ns();
	if (r->ahead.n && r->began_ns + GR_RUNNER_AHEAD_MS * GR_NS_PER_MS < due)
		due = r->began_ns + GR_RUNNER_AHEAD_MS * GR_NS_PER_MS;
	if (r->post.n && r->post.since_ns + GR_RUNNER_HOLD_MS * GR_NS_PER_MS < due)
		due = r->post.since_ns + GR_RUNNER_HOLD_MS * GR_NS_PER_MS;
	return due <= now ? 0 : (int)((due - now + GR_NS_PER_MS - 1) / GR_NS_PER_MS);
}

static void on_time(struct runner *r, uint64_t now)
{
	if (r->ahead.n && now >= r->began_ns + GR_RUNNER_AHEAD_MS * GR_NS_PER_MS)
		give_back(r);
	if (now < r->sample_ns)
		return;
	sample(r);
	r->sample_ns = now + SAMPLE_MS * GR_NS_PER_MS;
}

/* As long as others wait the worker need not know at once. */
static void tell(struct runner *r)
{
	if (r->post.n && (!r->pid || !r->ahead.n || gr_clock_mono_ns() >= r->post.since_ns + GR_RUNNER_HOLD_MS * GR_NS_PER_MS))
		gr_sb_post_flush(&r->post);
}

void gr_sb_runner_main(struct sb_server *s)
{
	struct runner *r = gr_xalloc(sizeof(*r));
	struct signalfd_siginfo si;
	struct pollfd p[4];
	sigset_t set;

	r->s = s;
	r->packet = gr_xalloc(sizeof(struct sb_start) + SB_INLINE_BYTES);
	r->chunk = gr_xalloc(PIPE_BYTES);
	r->tree = gr_xalloc(2 * MAX_TREE * sizeof(*r->tree));
	r->parents = r->tree + MAX_TREE;
	prctl(PR_SET_NAME, "griddle-runner", 0, 0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);          /* what it runs is the same user */
	make_ready(r);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	fcntl(s->ctl, F_SETFL, O_NONBLOCK);
	r->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	r->post.ctl = s->ctl;
	for (;;) {
		bool is_reading = r->pid && !r->is_held;

		tell(r);
		p[0] = (struct pollfd){ s->ctl, (short)(POLLIN | (r->is_held ? POLLOUT : 0)), 0 };
		p[1] = (struct pollfd){ r->sigfd, POLLIN, 0 };
		p[2] = (struct pollfd){ is_reading ? r->pipes[0][0] : -1, POLLIN, 0 };
		p[3] = (struct pollfd){ is_reading ? r->pipes[1][0] : -1, POLLIN, 0 };
		if (poll(p, 4, poll_ms(r)) < 0 && errno != EINTR)
			end(r);
		if (p[0].revents & (POLLOUT | POLLERR) && r->is_held)
			r->is_held = !send_held(r);
		for (int i = 0; i < 2; i++)
			if (p[2 + i].revents)
				pump_stream(r, i);
		if (r->pid)
			on_time(r, gr_clock_mono_ns());
		if (p[1].revents) {
			/* one of a kind is kept: there is no second one to be read */
			if (read(r->sigfd, &si, sizeof(si)) < 0 && errno != EAGAIN)
				end(r);
			reap(r);
		}
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
			on_packet(r);
	}
}
