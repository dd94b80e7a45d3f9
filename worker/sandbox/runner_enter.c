/*
 * runner_enter.c - a runner's sandbox, made once: namespaces or nothing, Landlock, seccomp
 *
 * The chroot tier cannot show a whole /usr (it would have to be copied), so on such a machine commands run in the
 * landlock tier. Everything here is the runner's own too: what it starts has it by inheritance, and nobody can take a
 * Landlock layer or a filter off again.
 */
#include "worker/sandbox/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "worker/sandbox/sandbox_int.h"

/* Under memory pressure the kernel takes a command before its runner, and both before the worker: see gr_sb_oom_offer.
 * Opened while this process may be looked into, since the file is root's otherwise. */
static void open_oom(struct sb_server *s)
{
	bool was_dumpable = prctl(PR_GET_DUMPABLE) == 1;
	ssize_t n;

	if (!was_dumpable)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	s->oomfd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	if (!was_dumpable)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	n = s->oomfd < 0 ? -1 : pread(s->oomfd, s->oom_own, sizeof(s->oom_own) - 1, 0);
	s->oom_own[n > 0 ? n : 0] = 0;
}

void gr_sb_oom_offer(const struct sb_server *s, bool is_offered)
{
	const char *text = is_offered ? "500" : s->oom_own;

	if (s->oomfd >= 0 && atoi(s->oom_own) < 500 && pwrite(s->oomfd, text, strlen(text), 0) < 0)
		errno = 0;            /* then they are equals */
}

static int open_own(const struct sb_server *s, const char *name, struct gr_err *err)
{
	int fd = gr_sb_open_in(s->rootfd, name, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		gr_err_set(err, GR_ESANDBOX, "%s: %s", name, strerror(errno));
	return fd;
}

int gr_sb_runner_enter(struct sb_server *s, struct gr_err *err)
{
	int rc;

	open_oom(s);
	s->shmfd = s->procfd = s->scopefd = s->watchfd = -1;
	rc = s->tier == GR_TIER_NAMESPACE ? gr_sb_namespace_enter(s, err) : gr_sb_landlock_enter(s, err);
	if (rc < 0)
		return rc;
	if (s->tier != GR_TIER_NAMESPACE)
		s->has_proc = true;
	s->taskfd = open_own(s, GR_RUNNER_TASK, err);
	s->tmpfd = s->taskfd < 0 ? -1 : open_own(s, GR_RUNNER_TMP, err);
	if (s->tmpfd < 0)
		return GR_ESANDBOX;
	if (s->tier == GR_TIER_NAMESPACE)
		s->shmfd = gr_sb_open_in(s->rootfd, "/dev/shm", O_RDONLY | O_DIRECTORY, 0);
	if (s->has_proc)
		s->procfd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!s->has_pidns)
		s->scopefd = gr_sb_landlock_scope(s->landlock_abi);
	gr_sb_watch_folders(s);
	rc = gr_sb_landlock_runner(s, err);
	if (rc < 0)
		return rc;
	gr_group_join(&s->group);      /* as the user it stays; what it cannot join it does without */
	/* where a task may not signal, its runner must: it takes the filter after the vfork then */
	if (!s->is_filter_late && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &s->filter) < 0)
		return gr_err_set(err, GR_ESANDBOX, "seccomp: %s", strerror(errno));
	return 0;
}
