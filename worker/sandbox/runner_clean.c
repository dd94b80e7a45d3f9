/*
 * runner_clean.c - what a command left in its folders: nothing, most of the time
 *
 * To look into three folders behind each command is twelve system calls. A watch on them instead says in one read that
 * nothing was ever put in there, which is what is asked. Where there can be no watch (the user's inotify instances are used
 * up) the folders are looked into. What the worker puts into the command's folder counts as well: such a command has files,
 * and its folder is emptied by the worker.
 *
 * Not kept: comparing the folders' times, which move by the kernel's tick and miss what is made within one.
 */
#include "worker/sandbox/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/remove.h"
#include "worker/sandbox/sandbox_int.h"

void gr_sb_watch_folders(struct sb_server *s)
{
	const int fds[] = { s->taskfd, s->tmpfd, s->shmfd };
	bool is_good = true;

	s->watchfd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->watchfd < 0)
		return;
	for (size_t i = 0; i < GR_LEN(fds) && is_good; i++)
		if (fds[i] >= 0)
			is_good = fchdir(fds[i]) == 0 && inotify_add_watch(s->watchfd, ".", IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) >= 0;
	if (fchdir(s->rootfd) < 0)
		is_good = false;
	if (is_good)
		return;
	close(s->watchfd);
	s->watchfd = -1;
}

bool gr_sb_folders_untouched(const struct sb_server *s)
{
	char events[4096];
	bool is_touched = false;

	if (s->watchfd < 0)
		return false;
	while (read(s->watchfd, events, sizeof(events)) > 0)
		is_touched = true;
	return !is_touched && errno == EAGAIN;
}

bool gr_sb_empty_tmp(const struct sb_server *s)
{
	const int fds[] = { s->tmpfd, s->shmfd };

	for (size_t i = 0; i < GR_LEN(fds); i++) {
		int fd;

		if (fds[i] < 0 || gr_dir_is_empty(fds[i]))
			continue;
		fd = openat(fds[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && gr_remove_in(fd) < 0)
			return false;
	}
	return true;
}
