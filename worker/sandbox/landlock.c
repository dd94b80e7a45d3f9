/*
 * landlock.c - what tasks may touch, by Landlock; two layers
 *
 * Layer 1 is the server's own, set once a session: read everything that is shown, execute only the toolchains' files,
 * write anywhere in the root and the temporary folder. Layer 2 is added in each task's child: write only to the
 * task's output folders, its own temporary folder and /dev/null. Both refuse TCP and signals to the outside where the
 * kernel knows how.
 *
 * As a tier of its own nothing else hides files: layer 1 then names the toolchains' paths, the session's root and
 * nothing more, so /etc/passwd is refused though it can be named.
 *
 * A runner has one layer, for itself and all it starts: its commands are one job's, one at a time.
 *
 * Not kept: one ruleset a task with all rules (40 more calls a task); one layer for the server only (a task could
 * then write to other tasks' folders).
 */
#include "worker/sandbox/sandbox_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "worker/sandbox/runner.h"

/* Names newer than the headers of the oldest system we build on. */
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define FS_IOCTL_DEV (1ull << 15)
#define NET_BOTH 3ull
#define SCOPE_BOTH 3ull

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_MAKE (LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | \
		 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define FS_FILE (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)

struct ruleset_attr {              /* as of ABI 6; an older kernel takes the shorter form */
	uint64_t fs, net, scoped;
};

static uint64_t handled(int abi)
{
	return ((1ull << 13) - 1) | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) | (abi >= 5 ? FS_IOCTL_DEV : 0);
}

static uint64_t fs_write(int abi)
{
	return LANDLOCK_ACCESS_FS_WRITE_FILE | FS_MAKE | (abi >= 3 ? FS_TRUNCATE : 0);
}

int gr_sb_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static int make_ruleset(int abi, bool has_net)
{
	struct ruleset_attr a = { handled(abi), abi >= 4 && !has_net ? NET_BOTH : 0, abi >= 6 ? SCOPE_BOTH : 0 };

	return (int)syscall(SYS_landlock_create_ruleset, &a, abi >= 6 ? 24 : abi >= 4 ? 16 : 8, 0);
}

static int allow_fd(int ruleset, int fd, uint64_t access, bool is_dir)
{
	struct landlock_path_beneath_attr r = { .allowed_access = is_dir ? access : access & FS_FILE, .parent_fd = fd };

	return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &r, 0);
}

static int allow_path(int ruleset, int dirfd, const char *path, uint64_t access)
{
	int fd = openat(dirfd, path, O_PATH | O_CLOEXEC), rc;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -1;
	rc = fstat(fd, &st) < 0 ? -1 : allow_fd(ruleset, fd, access, S_ISDIR(st.st_mode));
	close(fd);
	return rc;
}

static int restrict_self(int ruleset)
{
	return (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
}

int gr_sb_landlock_base(struct sb_server *s, struct gr_err *err)
{
	bool is_tier = s->tier == GR_TIER_LANDLOCK;
	int abi = s->landlock_abi, rs, rc = 0;

	if (!abi)
		return is_tier ? gr_err_set(err, GR_ESANDBOX, "landlock: not in this kernel, or switched off") : 0;
	rs = make_ruleset(abi, false);
	if (rs < 0)
		return gr_err_set(err, GR_ESANDBOX, "landlock: %s", strerror(errno));
	/* REFER: links and renames between folders stay possible inside one writable place, never out of it */
	rc |= allow_fd(rs, s->rootfd, FS_READ | fs_write(abi) | (abi >= 2 ? FS_REFER : 0), true);
	rc |= allow_fd(rs, s->tmpfd, FS_READ | fs_write(abi), true);
	rc |= allow_fd(rs, s->nullfd, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE, false);
	for (uint32_t i = 0; i < s->n_shown; i++)
		rc |= s->shown[i][0] == '@' ? 0 : allow_path(rs, AT_FDCWD, s->shown[i],
							     FS_READ | LANDLOCK_ACCESS_FS_EXECUTE);
	if (rc == 0)
		rc = restrict_self(rs);
	if (rc < 0)
		gr_err_set(err, GR_ESANDBOX, "landlock: layer 1: %s", strerror(errno));
	close(rs);
	return rc < 0 ? GR_ESANDBOX : 0;
}

int gr_sb_landlock_task(const struct sb_server *s, const int *dirs, uint32_t n, int tmpfd)
{
	int abi = s->landlock_abi, rs, rc = 0, e;
	int slash;

	if (!abi)
		return 0;
	rs = make_ruleset(abi, false);
	if (rs < 0)
		return errno;
	slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (slash < 0)
		return errno;
	rc |= allow_fd(rs, slash, FS_READ | LANDLOCK_ACCESS_FS_EXECUTE, true);
	for (uint32_t i = 0; i < n; i++)
		rc |= allow_fd(rs, dirs[i], fs_write(abi), true);
	rc |= allow_fd(rs, tmpfd, fs_write(abi), true);
	rc |= allow_fd(rs, s->nullfd, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE, false);
	if (rc == 0)
		rc = restrict_self(rs);
	e = errno;
	close(slash);
	close(rs);
	return rc < 0 ? e : 0;
}

int gr_sb_landlock_runner(struct sb_server *s, struct gr_err *err)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom" };
	const uint64_t device = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
	bool is_tier = s->tier == GR_TIER_LANDLOCK;
	int abi = s->landlock_abi, rs, rc = 0;
	const int own[] = { s->taskfd, s->tmpfd, s->shmfd };

	if (!abi)
		return is_tier ? gr_err_set(err, GR_ESANDBOX, "landlock: not in this kernel, or switched off") : 0;
	rs = make_ruleset(abi, s->has_net || !is_tier);   /* with a network namespace the loopback is free to use */
	if (rs < 0)
		return gr_err_set(err, GR_ESANDBOX, "landlock: %s", strerror(errno));
	for (size_t i = 0; i < GR_LEN(own); i++)
		if (own[i] >= 0)
			rc |= allow_fd(rs, own[i], FS_READ | LANDLOCK_ACCESS_FS_EXECUTE | fs_write(abi) | LANDLOCK_ACCESS_FS_MAKE_SOCK |
			      LANDLOCK_ACCESS_FS_MAKE_FIFO | (abi >= 2 ? FS_REFER : 0), true);
	for (size_t i = 0; i < GR_LEN(devices); i++)
		rc |= allow_path(rs, AT_FDCWD, devices[i], device);
	if (s->procfd >= 0)
		rc |= allow_fd(rs, s->procfd, FS_READ | (is_tier ? 0 : LANDLOCK_ACCESS_FS_WRITE_FILE), true);
	if (is_tier) {
		rc |= allow_path(rs, s->rootfd, GR_RUNNER_SECRETS + 1, FS_READ);
		for (uint32_t i = 0; i < s->n_shown; i++)
			rc |= allow_path(rs, AT_FDCWD, s->shown[i], FS_READ | LANDLOCK_ACCESS_FS_EXECUTE);
	} else {
		rc |= allow_fd(rs, s->rootfd, FS_READ | LANDLOCK_ACCESS_FS_EXECUTE, true);
	}
	if (rc == 0)
		rc = restrict_self(rs);
	if (rc < 0)
		gr_err_set(err, GR_ESANDBOX, "landlock: %s", strerror(errno));
	close(rs);
	return rc < 0 ? GR_ESANDBOX : 0;
}

int gr_sb_landlock_scope(int abi)
{
	struct ruleset_attr a = { 0, 0, SCOPE_BOTH };

	return abi < 6 ? -1 : (int)syscall(SYS_landlock_create_ruleset, &a, 24, 0);
}

int gr_sb_landlock_enter(struct sb_server *s, struct gr_err *err)
{
	int e = gr_sb_drop_all(s->uid, s->gid), fd;

	if (e)
		return gr_err_set(err, GR_ESANDBOX, "dropping privileges: %s", strerror(e));
	if (s->root_path[0] != '/')
		return gr_err_set(err, GR_ESANDBOX, "landlock: the state folder has no absolute path");
	fd = open(s->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return gr_err_set(err, GR_ESANDBOX, "%s: not reachable for user %u: %s", s->root_path, s->uid, strerror(errno));
	close(fd);
	return 0;
}
