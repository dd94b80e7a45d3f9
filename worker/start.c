/*
 * start.c - what needs privileges, giving them up, and the choice of the tier
 *
 * Started as root the worker makes its state folder, reads its key, keeps one tiny helper that will write the ready
 * file (its folder may be root's), and becomes --user for good before a loop or a socket exists. Started as anybody
 * else it stays that. The state folder is the current folder from here on, so that it need not be reachable by name.
 *
 * A tier is chosen by opening a session in it and, when there is a compiler, running it.
 */
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "worker/sandbox/sandbox_int.h"

#define PROBE_MS 20000
#define MAX_READY_BYTES 65536

/* Reads the text from a pipe to its end and puts it at @path; no text: the worker ended before it was ready. */
static int start_ready_helper(const char *path)
{
	struct gr_buf text = { 0 };
	int fds[2];
	pid_t pid;

	if (!path || pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid != 0) {
		close(fds[0]);
		if (pid < 0) {
			close(fds[1]);
			return -1;
		}
		waitpid(pid, NULL, 0);
		return fds[1];
	}
	if (fork() != 0)
		_exit(0);   /* the helper is nobody's child: no zombie stays for it */
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	close_range(3, (unsigned)fds[0] - 1, 0);
	close_range((unsigned)fds[0] + 1, ~0u, 0);
	if (gr_file_read_fd(fds[0], MAX_READY_BYTES, &text) == 0 && text.n &&
	    gr_file_replace(path, text.p, text.n, 0644, false, NULL) < 0)
		gr_warn("start", "%s: %s", path, strerror(errno));
	_exit(0);
}

static uid_t chown_uid;

static int chown_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)flag;
	(void)ftw;
	if (st->st_uid != chown_uid && lchown(path, chown_uid, chown_uid) < 0)
		return errno == ENOENT ? 0 : -1;
	return 0;
}

static int become(struct gr_start *st, struct gr_err *err)
{
	struct stat sb;
	int e;

	if (geteuid() == 0 && st->uid != 0) {
		chown_uid = st->uid;
		if (stat(".", &sb) == 0 && sb.st_uid != st->uid && nftw(".", chown_one, 32, FTW_PHYS | FTW_MOUNT) != 0)
			return gr_err_set(err, gr_err_errno(errno), "%s: chown: %s", st->state_path, strerror(errno));
		/* root's own: the copies other sessions share must not be the tasks' to write */
		mkdir("copies", 0700);
		if (chown("copies", 0, 0) == 0)
			st->copies_fd = open("copies", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	}
	e = gr_sb_drop_all(st->uid, st->gid);
	if (e)
		return gr_err_set(err, GR_ESANDBOX, "becoming user %u: %s", st->uid, strerror(e));
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);   /* tasks may be the same user: /proc/PID is not theirs to read */
	return 0;
}

/* Before anything is forked that is no child, and before privileges go. */
static void open_groups(const struct gr_worker_config *cfg, const struct gr_cgroup *own, struct gr_start *st)
{
	struct gr_err why = { 0 };
	struct stat sb;

	if (cfg->cgroups == GR_CGROUPS_OFF || cfg->commands == GR_COMMANDS_OFF || stat(cfg->state, &sb) < 0)
		return;
	gr_err_set(&why, GR_ESANDBOX, "no cgroups");
	for (int is_v2 = 1; is_v2 >= 0 && !st->groups; is_v2--) {
		const char *dir = gr_cgroup_own(own, is_v2);

		if (dir)
			st->groups = gr_groups_open(dir, is_v2, (uint64_t)sb.st_dev << 40 ^ sb.st_ino, st->uid, st->gid, &why);
	}
	if (!st->groups) {
		gr_info("start", "the memory of commands is watched: %s", why.text);
		return;
	}
	gr_info("start", "the memory of commands is limited in %s", gr_groups_path(st->groups));
	if (gr_groups_keep(gr_groups_path(st->groups)) < 0)
		gr_warn("start", "nobody will remove that folder: %s", strerror(errno));
}

int gr_start_privileged(const struct gr_worker_config *cfg, const struct gr_cgroup *own, struct gr_start *st, struct gr_err *err)
{
	int rc;

	st->copies_fd = -1;
	st->uid = geteuid() == 0 && cfg->user ? (uid_t)cfg->user : geteuid();
	st->gid = geteuid() == 0 && cfg->user ? (gid_t)cfg->user : getegid();
	if (cfg->keys) {
		rc = gr_keypair_load(cfg->keys, &st->keys, err);
		if (rc < 0)
			return rc;
		st->has_keys = true;
	}
	rc = gr_mkdir_p(cfg->state, 0711, err);
	if (rc < 0)
		return rc;
	open_groups(cfg, own, st);
	st->ready_fd = start_ready_helper(cfg->ready_file);
	if (chdir(cfg->state) < 0 || !getcwd(st->state_path, sizeof(st->state_path)))
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", cfg->state, strerror(errno));
	rc = become(st, err);
	if (rc < 0)
		return rc;
	/* trees of an earlier life: their sessions are known to nobody */
	rc = gr_rm_rf("sessions");
	if (mkdir("sessions", 0711) < 0 && errno != EEXIST)
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", cfg->state, strerror(errno));
	if (rc < 0)
		gr_warn("start", "%s/sessions: what was left there cannot be removed", cfg->state);
	return 0;
}

/* ---- the tier ---- */

static int wait_event(int fd, struct gr_sandbox_event *ev)
{
	struct pollfd p = { fd, POLLIN, 0 };
	int rc;

	while ((rc = gr_sandbox_next(fd, ev)) == 0)
		if (poll(&p, 1, PROBE_MS) <= 0)
			return GR_ETIME;
	return rc;
}

static int try_compiler(struct gr_worker *w, int fd, struct gr_err *err)
{
	const struct gr_cc_toolchain *tc = w->tools.list[0].tc;
	const char *argv[] = { tc->driver, "--version" }, *env[] = { "LC_ALL=C" };
	struct gr_sandbox_task t = { .program = tc->real, .argv = argv, .n_argv = 2, .env = env, .n_env = 1, .cwd = "/" };
	struct gr_sandbox_event ev = { 0 };
	int out = memfd_create("probe", MFD_CLOEXEC), rc;

	if (out < 0)
		return gr_err_set(err, GR_ESANDBOX, "memfd: %s", strerror(errno));
	t.out_fd = t.err_fd = out;
	rc = gr_sandbox_spawn(fd, &t);
	if (rc == 0)
		rc = wait_event(fd, &ev);
	close(out);
	if (rc < 0)
		return gr_err_set(err, rc, "%s --version: %s", tc->real, gr_err_text(rc));
	if (ev.code || ev.status)
		return gr_err_set(err, GR_ESANDBOX, "%s --version: %s (status %d)", tc->real, ev.code ? ev.text : "failed", ev.status);
	return 0;
}

static int try_tier(struct gr_worker *w, enum gr_tier tier, bool has_userns, struct gr_err *err)
{
	struct gr_sandbox_spec spec = {
		.tier = tier, .has_userns = has_userns, .cachefd = w->start.copies_fd, .uid = w->start.uid, .gid = w->start.gid,
		.tmp_bytes = 1 << 20, .shown = w->tools.shown, .n_shown = w->tools.n_shown,
	};
	struct gr_sandbox_event ev = { 0 };
	char root[4352];
	int fd = -1, rc;

	if (tier == GR_TIER_CHROOT && w->start.copies_fd < 0)
		return gr_err_set(err, GR_ESANDBOX, "needs to be started as root");
	gr_rm_rf("sessions/probe");
	if (mkdir("sessions/probe", 0755) < 0)
		return gr_err_set(err, gr_err_errno(errno), "sessions/probe: %s", strerror(errno));
	snprintf(root, sizeof(root), "%s/sessions/probe", w->start.state_path);
	spec.root_path = tier == GR_TIER_LANDLOCK ? root : NULL;
	spec.rootfd = open("sessions/probe", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = spec.rootfd < 0 ? GR_EIO : 0;
	if (rc == 0)
		rc = fd = gr_sandbox_open(w->start.spawner_fd, &spec, err);
	if (rc >= 0) {
		rc = wait_event(fd, &ev);
		if (rc < 0)
			gr_err_set(err, rc, "no answer");
		else if (ev.kind != GR_SANDBOX_READY)
			rc = gr_err_set(err, GR_ESANDBOX, "%s", ev.text);
	}
	if (rc >= 0 && w->tools.n)
		rc = try_compiler(w, fd, err);
	w->landlock_abi = ev.landlock_abi;
	if (fd >= 0)
		close(fd);
	if (spec.rootfd >= 0)
		close(spec.rootfd);
	gr_rm_rf("sessions/probe");
	return rc < 0 ? rc : 0;
}

int gr_start_choose_tier(struct gr_worker *w, struct gr_err *err)
{
	static const struct { enum gr_tier tier; bool has_userns; int wanted; } order[] = {
		{ GR_TIER_NAMESPACE, true, GR_SANDBOX_WANT_NAMESPACE }, { GR_TIER_NAMESPACE, false, GR_SANDBOX_WANT_NAMESPACE },
		{ GR_TIER_CHROOT, false, GR_SANDBOX_WANT_CHROOT }, { GR_TIER_LANDLOCK, false, GR_SANDBOX_WANT_LANDLOCK },
	};
	static const enum gr_tier least[] = { GR_TIER_LANDLOCK, GR_TIER_LANDLOCK, GR_TIER_CHROOT, GR_TIER_NAMESPACE };
	struct gr_err why = { 0 };
	char reasons[900] = "";
	size_t n = 0;

	for (size_t i = 0; i < GR_LEN(order) && w->tier == GR_TIER_NONE; i++) {
		if ((w->cfg->sandbox != GR_SANDBOX_AUTO && w->cfg->sandbox != order[i].wanted) ||
		    order[i].tier < least[w->cfg->require_sandbox])
			continue;
		if (order[i].tier == GR_TIER_NAMESPACE && !order[i].has_userns && w->start.copies_fd < 0)
			continue;           /* was never root */
		if (try_tier(w, order[i].tier, order[i].has_userns, &why) < 0) {
			n += (size_t)snprintf(reasons + n, sizeof(reasons) - n, "%s%s%s: %s", n ? "; " : "", gr_tier_name(order[i].tier),
					      order[i].has_userns ? " (user namespace)" : "", why.text);
			if (n >= sizeof(reasons))
				n = sizeof(reasons) - 1;
			continue;
		}
		w->tier = order[i].tier;
		w->has_userns = order[i].has_userns;
	}
	if (w->tier == GR_TIER_NONE)
		return gr_err_set(err, GR_ESANDBOX, "no sandbox as asked for (--sandbox %s --require-sandbox %s) works here: %s",
				  w->cfg->sandbox == GR_SANDBOX_AUTO ? "auto" : gr_tier_name((enum gr_tier)(4 - w->cfg->sandbox)),
				  w->cfg->require_sandbox == GR_REQUIRE_ANY ? "any" : gr_tier_name(least[w->cfg->require_sandbox]),
				  reasons[0] ? reasons : "the two contradict each other");
	if (gr_spawner_settle(w->start.spawner_fd, w->tier, w->has_userns, w->start.uid, w->start.gid) < 0)
		return gr_err_set(err, GR_ESANDBOX, "the spawner is gone");
	gr_info("sandbox", "tier %s%s, user %u, landlock ABI %u%s%s", gr_tier_name(w->tier), w->has_userns ? " (user namespace)" : "",
		w->start.uid, w->landlock_abi, reasons[0] ? "; not possible: " : "", reasons);
	return 0;
}
