/* make_run.c - see make_run.h. make has a process group of its own so that an interrupt reaches all its children and
 * nothing else; on a terminal that group is put in the foreground, because menus and gcc's colours ask for it. A stop
 * (Ctrl-Z) then stops only make's group: we notice, take the terminal back, stop ourselves, and resume both.
 *
 * Ctrl-C on that terminal reaches make's group and not us, and make's end does not always tell: GNU make 4.3 may lose
 * its child in its own handler and end with 2 ("wait: No child processes"; 3 of 40 times, 26 of 40 after a stop). So a
 * witness sits in the group: a `cat` that reads nothing and dies of the same SIGINT. */
#include "client/cmd/make_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cluster.h"
#include "client/view/progress.h"
#include "lib/net/loop.h"

#define TICK_MS 500
#define GROUP_TERM_MS 3000         /* after an interrupt: so long it is asked, */
#define GROUP_KILL_MS 1000         /* and then it is made to go */
#define GROUP_AGAIN_MS 500
#define NAP_MS 10

struct run {
	struct gr_loop *loop;
	struct gr_control *control;      /* NULL once it failed */
	struct gr_calls *calls;
	struct gr_progress *progress;
	struct gr_timer *tick;
	uv_signal_t child;
	pid_t pid, witness;              /* witness: 0 none */
	int witness_fd;                  /* its end is the witness's */
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

	int rc = r->control ? gr_control_progress(r->control, &p, NULL) : 0;

	if (rc == GR_ETIME)
		return;
	if (rc < 0)
		r->control = NULL;
	if (r->calls) {
		gr_calls_read(r->calls);
		if (r->control)
			p.local += gr_calls_n_units(r->calls);
	}
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

/* With every signal as a fresh program expects it, in process group @group (0: its own). Return: 0 or an errno. */
static int spawn_in_group(pid_t *pid, pid_t group, const posix_spawn_file_actions_t *fa, char *const *argv, char *const *envp)
{
	posix_spawnattr_t attr;
	sigset_t none, dflt;
	int rc;

	posix_spawnattr_init(&attr);
	posix_spawnattr_setpgroup(&attr, group);
	sigemptyset(&none);
	sigfillset(&dflt);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &dflt);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawnp(pid, argv[0], fa, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	return rc;
}

static int spawn(struct run *r, const struct gr_make_args *m, int rfd, int wfd)
{
	posix_spawn_file_actions_t fa;
	int rc;

	posix_spawn_file_actions_init(&fa);
	if (rfd >= 0) {   /* onto itself: clears close-on-exec in the child alone */
		posix_spawn_file_actions_adddup2(&fa, rfd, rfd);
		posix_spawn_file_actions_adddup2(&fa, wfd, wfd);
	}
	if (r->has_tty)
		posix_spawn_file_actions_addtcsetpgrp_np(&fa, STDIN_FILENO);
	rc = spawn_in_group(&r->pid, 0, &fa, m->argv, m->envp);
	posix_spawn_file_actions_destroy(&fa);
	return rc;
}

/* Without one (make ended already, no cat) only make's own end counts. */
static void post_witness(struct run *r, const struct gr_make_args *m)
{
	char *argv[] = { (char[]){ "cat" }, NULL };
	posix_spawn_file_actions_t fa;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fds[0], STDIN_FILENO);
	posix_spawn_file_actions_addopen(&fa, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (spawn_in_group(&r->witness, r->pid, &fa, argv, m->envp)) {
		r->witness = 0;
		close(fds[1]);
	} else {
		r->witness_fd = fds[1];
	}
	posix_spawn_file_actions_destroy(&fa);
	close(fds[0]);
}

/* A SIGINT that is still on its way kills the witness before it can see the end of its input. */
static bool saw_interrupt(struct run *r)
{
	int status = 0;

	if (!r->witness)
		return false;
	close(r->witness_fd);
	kill(r->witness, SIGCONT);
	while (waitpid(r->witness, &status, 0) < 0 && errno == EINTR)
		;
	r->witness = 0;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGINT;
}

/* What did not listen to the interrupt ends now, and nothing of make's group is left when we return: make waits for its
 * own children alone, and on a busy machine theirs live on for a while after the signal. Orphans come to us
 * (PR_SET_CHILD_SUBREAPER), so that they can be waited for. */
static void end_group(const struct run *r)
{
	int ms;

	for (ms = 0; ms < GROUP_TERM_MS + GROUP_KILL_MS && kill(-r->pid, 0) == 0; ms += NAP_MS) {
		if (ms % GROUP_AGAIN_MS == 0)
			kill(-r->pid, ms < GROUP_TERM_MS ? SIGTERM : SIGKILL);
		kill(-r->pid, SIGCONT);
		while (waitpid(-r->pid, NULL, WNOHANG) > 0)
			;
		gr_cluster_nap(NAP_MS);
	}
}

int gr_make_run(const struct gr_make_args *m, struct gr_control *control, struct gr_calls *calls, int rfd, int wfd,
		struct gr_make_result *out, struct gr_err *err)
{
	struct run r = { .control = control, .calls = calls, .had_control = control, .out = out };
	int rc;

	*out = (struct gr_make_result){ 0 };
	r.has_tty = isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
	r.loop = gr_loop_new((uint64_t)getpid());
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
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
		if (r.has_tty)
			post_witness(&r, m);
		r.progress = gr_progress_new(STDERR_FILENO, STDOUT_FILENO);
		r.tick = gr_timer_start(r.loop, TICK_MS, TICK_MS, on_tick, &r);
		gr_loop_run(r.loop);
		gr_progress_free(&r.progress);
		give_tty(&r, getpgrp());
		if (saw_interrupt(&r) && out->exit_code)
			out->is_interrupted = true;
		if (out->is_interrupted)
			end_group(&r);
	}
	gr_loop_free(&r.loop);
	return rc;
}
