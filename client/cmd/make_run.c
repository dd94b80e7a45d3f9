/* make_run.c - see make_run.h. make has a process group of its own so that an interrupt reaches all its children and
 * nothing else; on a terminal that group is put in the foreground, because menus and gcc's colours ask for it. A stop
 * (Ctrl-Z) then stops only make's group: we notice, take the terminal back, stop ourselves, and resume both. */
#include "client/cmd/make_run.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/view/progress.h"
#include "lib/net/loop.h"

#define TICK_MS 500

struct run {
	struct gr_loop *loop;
	struct gr_control *control;      /* NULL once it failed */
	struct gr_progress *progress;
	struct gr_timer *tick;
	uv_signal_t child;
	pid_t pid;
	uint64_t started_ns;
	bool had_control, has_tty, has_ended;
	int n_signals;
	struct gr_make_result *out;
};

static uint64_t elapsed_ms(const struct run *r) { return (gr_loop_now_ns(r->loop) - r->started_ns) / 1000000; }

static void give_tty(const struct run *r, pid_t group)
{
	if (r->has_tty)
		tcsetpgrp(STDIN_FILENO, group);   /* SIGTTOU is ignored; a hung-up terminal is nothing to act on */
}

static void on_tick(void *ctx)
{
	struct run *r = ctx;
	struct gr_control_progress p;

	if (r->control && gr_control_progress(r->control, &p, NULL) < 0)
		r->control = NULL;
	if (r->control || r->had_control)
		gr_progress_update(r->progress, r->control ? &p : NULL, elapsed_ms(r));
}

static void on_term(void *ctx, int signum)
{
	struct run *r = ctx;

	r->out->is_interrupted = true;
	r->n_signals++;
	kill(-r->pid, r->n_signals == 1 ? signum : r->n_signals == 2 ? SIGTERM : SIGKILL);
}

static void on_child(uv_signal_t *h, int signum)
{
	struct run *r = h->data;
	struct rusage ru;
	int status;
	pid_t pid;

	(void)signum;
	pid = wait4(r->pid, &status, WNOHANG | WUNTRACED, &ru);
	if (pid != r->pid)
		return;
	if (WIFSTOPPED(status)) {
		give_tty(r, getpgrp());
		raise(SIGSTOP);
		give_tty(r, r->pid);
		kill(-r->pid, SIGCONT);
		return;
	}
	r->has_ended = true;
	r->out->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM))
		r->out->is_interrupted = true;
	r->out->wall_ms = elapsed_ms(r);
	r->out->cpu_ms = (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000 +
			 (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000;
	gr_timer_stop(&r->tick);
	uv_close((uv_handle_t *)&r->child, NULL);
	gr_loop_stop(r->loop);
}

static int spawn(struct run *r, const struct gr_make_args *m, int rfd, int wfd)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, dflt;
	int rc;

	posix_spawn_file_actions_init(&fa);
	if (rfd >= 0) {   /* onto itself: clears close-on-exec in the child alone */
		posix_spawn_file_actions_adddup2(&fa, rfd, rfd);
		posix_spawn_file_actions_adddup2(&fa, wfd, wfd);
	}
	if (r->has_tty)
		posix_spawn_file_actions_addtcsetpgrp_np(&fa, STDIN_FILENO);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setpgroup(&attr, 0);
	sigemptyset(&none);
	sigfillset(&dflt);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &dflt);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawnp(&r->pid, m->argv[0], &fa, &attr, m->argv, m->envp);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	return rc;
}

int gr_make_run(const struct gr_make_args *m, struct gr_control *control, int rfd, int wfd, struct gr_make_result *out,
		struct gr_err *err)
{
	struct run r = { .control = control, .had_control = control, .out = out };
	int rc;

	*out = (struct gr_make_result){ 0 };
	r.has_tty = isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
	r.loop = gr_loop_new((uint64_t)getpid());
	signal(SIGTTOU, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	gr_loop_on_term(r.loop, on_term, &r);
	uv_signal_init(gr_loop_uv(r.loop), &r.child);
	r.child.data = &r;
	uv_signal_start(&r.child, on_child, SIGCHLD);
	r.started_ns = gr_loop_now_ns(r.loop);
	rc = spawn(&r, m, rfd, wfd);
	if (rc) {
		uv_close((uv_handle_t *)&r.child, NULL);
		rc = gr_err_set(err, gr_err_errno(rc), "%s: cannot start: %s", m->argv[0], strerror(rc));
	} else {
		r.progress = gr_progress_new(STDERR_FILENO, STDOUT_FILENO);
		r.tick = gr_timer_start(r.loop, TICK_MS, TICK_MS, on_tick, &r);
		gr_loop_run(r.loop);
		gr_progress_free(&r.progress);
		give_tty(&r, getpgrp());
		if (out->is_interrupted)
			kill(-r.pid, SIGTERM);   /* what did not listen to the interrupt */
	}
	gr_loop_free(&r.loop);
	return rc;
}
