/* proc.c - see proc.h. Both pipes are read with poll, so that a child that fills one while we wait on the other
 * cannot hang us. */
#include "lib/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static bool pump(int fd, size_t max, struct gr_buf *b, bool *is_over)
{
	char chunk[16384];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	if (b->n + (size_t)n > max) {
		*is_over = true;
		return false;
	}
	gr_buf_add(b, chunk, (size_t)n);
	return true;
}

int gr_proc_capture_for(const char *const *argv, char *const *envp, const char *cwd, size_t max, int silent_ms,
			struct gr_buf *out, struct gr_buf *errout, struct gr_err *err)
{
	int fds[2][2] = { { -1, -1 }, { -1, -1 } }, rc, status;
	struct gr_buf *bufs[2] = { out, errout };
	posix_spawn_file_actions_t fa;
	bool is_over = false, is_late = false;
	pid_t pid = -1;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (cwd)
		posix_spawn_file_actions_addchdir_np(&fa, cwd);
	rc = 0;
	for (int i = 0; i < 2 && rc == 0; i++) {
		if (!bufs[i])
			posix_spawn_file_actions_addopen(&fa, i + 1, "/dev/null", O_WRONLY, 0);
		else if (pipe2(fds[i], O_CLOEXEC) < 0)
			rc = errno;
		else
			posix_spawn_file_actions_adddup2(&fa, fds[i][1], i + 1);
	}
	if (rc == 0)
		rc = posix_spawnp(&pid, argv[0], &fa, NULL, (char *const *)argv, envp ? envp : environ);
	posix_spawn_file_actions_destroy(&fa);
	for (int i = 0; i < 2; i++)
		if (fds[i][1] >= 0)
			close(fds[i][1]);
	if (rc) {
		for (int i = 0; i < 2; i++)
			if (fds[i][0] >= 0)
				close(fds[i][0]);
		return gr_err_set(err, gr_err_errno(rc), "%s: %s", argv[0], strerror(rc));
	}
	while (fds[0][0] >= 0 || fds[1][0] >= 0) {
		struct pollfd p[2] = { { fds[0][0], POLLIN, 0 }, { fds[1][0], POLLIN, 0 } };

		rc = poll(p, 2, silent_ms);
		if (rc < 0 && errno == EINTR)
			continue;
		is_late = rc == 0;
		if (rc <= 0)
			break;
		for (int i = 0; i < 2; i++)
			if (p[i].revents && fds[i][0] >= 0 && !pump(fds[i][0], max, bufs[i], &is_over)) {
				close(fds[i][0]);
				fds[i][0] = -1;
			}
	}
	for (int i = 0; i < 2; i++)
		if (fds[i][0] >= 0)
			close(fds[i][0]);
	if (is_over || is_late)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (is_over)
		return gr_err_set(err, GR_ELIMIT, "%s: printed more than %zu bytes", argv[0], max);
	if (is_late)
		return gr_err_set(err, GR_ETIME, "%s: silent for %d ms", argv[0], silent_ms);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int gr_proc_capture(const char *const *argv, char *const *envp, const char *cwd, size_t max,
		    struct gr_buf *out, struct gr_buf *errout, struct gr_err *err)
{
	return gr_proc_capture_for(argv, envp, cwd, max, -1, out, errout, err);
}
