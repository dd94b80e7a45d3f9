/*
 * namespace.c - the strongest tier: own user, mount, network, IPC, UTS and PID namespaces
 *
 * The session's root becomes the root folder at a mount of its own; the toolchains' files and folders are bound into
 * it, read-only; temporary files go to a tmpfs; /dev/null is the only device and there is no /proc. The server is
 * the first process of its PID namespace, so tasks see nobody and the kernel ends them with it.
 *
 * With a user namespace (has_userns) no privilege is needed: the user is mapped to itself. Without, the spawner kept
 * CAP_SYS_ADMIN and the server drops it here.
 *
 * A runner's root is the same with more in it: the machine's programs read-only, its own /proc, /dev/shm, a loopback
 * interface, and two writable folders, /task and /tmp, in a root that is read-only itself.
 *
 * Not kept: overlayfs with the toolchain below (its files would show through and negative look-ups would not be the
 * client's); a fresh /proc
 * for compiles (one more mount, and pods with a masked /proc forbid it).
 */
#include "worker/sandbox/sandbox_int.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib/base/alloc.h"

struct place {
	char *real;
	bool is_dir;
};

static int fail(struct gr_err *err, const char *what)
{
	return gr_err_set(err, GR_ESANDBOX, "%s: %s", what, strerror(errno));
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

static int map_ids(const struct sb_server *s, struct gr_err *err)
{
	char text[64];

	if (write_file("/proc/self/setgroups", "deny") < 0 && errno != ENOENT)
		return fail(err, "/proc/self/setgroups");
	snprintf(text, sizeof(text), "%u %u 1", s->uid, s->uid);
	if (write_file("/proc/self/uid_map", text) < 0)
		return fail(err, "/proc/self/uid_map");
	snprintf(text, sizeof(text), "%u %u 1", s->gid, s->gid);
	if (write_file("/proc/self/gid_map", text) < 0)
		return fail(err, "/proc/self/gid_map");
	return 0;
}

static int bind_one(int rootfd, const struct place *pl, bool is_writable, struct gr_err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | (is_writable ? 0 : MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV) };
	int src, dst, rc;

	src = open_tree(AT_FDCWD, pl->real, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (pl->is_dir ? AT_RECURSIVE : 0));
	if (src < 0)
		return fail(err, pl->real);
	rc = mount_setattr(src, "", AT_EMPTY_PATH | (pl->is_dir ? AT_RECURSIVE : 0), &attr, sizeof(attr));
	dst = rc < 0 ? -1 : gr_sb_open_in(rootfd, pl->real, O_PATH, 0);
	if (dst >= 0)
		rc = move_mount(src, "", dst, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	if (rc < 0 || dst < 0)
		rc = fail(err, pl->real);
	close(src);
	if (dst >= 0)
		close(dst);
	return rc;
}

static bool is_covered(const struct place *list, uint32_t n, uint32_t i)
{
	for (uint32_t j = 0; j < n; j++) {
		size_t len = strlen(list[j].real);

		if (j == i || strncmp(list[i].real, list[j].real, len))
			continue;
		if (list[i].real[len] == 0 ? j < i : list[j].is_dir && list[i].real[len] == '/')
			return true;
	}
	return false;
}

static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom" };

/* All places first, then the mounts: a place below a mounted folder could not be made any more. */
static int bind_all(struct sb_server *s, struct gr_err *err)
{
	struct place *list = gr_xalloc((s->n_shown + 1) * sizeof(*list));
	uint32_t n = 0;
	char real[4096];
	int rc = 0;

	for (uint32_t i = 0; i < s->n_shown && rc >= 0; i++) {
		rc = gr_sb_show_place(s, s->shown[i], real, &list[n].is_dir, err);
		if (rc > 0 && strcmp(real, "/"))
			list[n++].real = gr_xstrdup(real);
	}
	for (uint32_t i = 0; i < n && rc >= 0; i++)
		if (!is_covered(list, n, i))
			rc = bind_one(s->rootfd, &list[i], false, err);
	for (size_t i = 0; i < (s->is_runner ? GR_LEN(devices) : 1) && rc >= 0; i++) {
		rc = gr_sb_show_place(s, devices[i], real, &list[n].is_dir, err);
		if (rc > 0)
			rc = bind_one(s->rootfd, &(struct place){ real, false }, true, err);
	}
	for (uint32_t i = 0; i < n; i++)
		free(list[i].real);
	free(list);
	return rc < 0 ? rc : 0;
}

static int mount_tmp(struct sb_server *s, const char *at, unsigned flags, struct gr_err *err)
{
	char size[32];
	int fs, mnt, dst, rc = -1;

	snprintf(size, sizeof(size), "%llu", (unsigned long long)s->tmp_bytes);
	fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return fail(err, "tmpfs");
	if ((s->tmp_bytes && fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) < 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0700", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
		close(fs);
		return fail(err, "tmpfs");
	}
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | flags);
	close(fs);
	dst = mnt < 0 ? -1 : gr_sb_open_in(s->rootfd, at, O_PATH | O_DIRECTORY, 0);
	if (dst >= 0)
		rc = move_mount(mnt, "", dst, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	if (rc < 0)
		rc = fail(err, "tmpfs");
	else if (!s->has_userns && fchownat(mnt, "", s->uid, s->gid, AT_EMPTY_PATH) < 0)
		rc = fail(err, "tmpfs");
	if (mnt >= 0)
		close(mnt);
	if (dst >= 0)
		close(dst);
	return rc;
}

/* A folder of the root as a mount of its own: it stays writable when the root no longer is. */
static int bind_self(int rootfd, const char *name, struct gr_err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
	int at = gr_sb_open_in(rootfd, name, O_PATH | O_DIRECTORY, 0), src, rc = -1;

	src = at < 0 ? -1 : open_tree(at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (src >= 0 && mount_setattr(src, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
		rc = move_mount(src, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	if (rc < 0)
		rc = fail(err, name);
	if (src >= 0)
		close(src);
	if (at >= 0)
		close(at);
	return rc;
}

/* Not everywhere allowed (a pod's /proc is masked): a command then has none. */
static void mount_proc(struct sb_server *s)
{
	int fs = fsopen("proc", FSOPEN_CLOEXEC), mnt = -1, dst = -1;

	if (fs >= 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (mnt >= 0)
		dst = gr_sb_open_in(s->rootfd, "/proc", O_PATH | O_DIRECTORY, 0);
	s->has_proc = dst >= 0 && move_mount(mnt, "", dst, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
	if (fs >= 0)
		close(fs);
	if (mnt >= 0)
		close(mnt);
	if (dst >= 0)
		close(dst);
}

/* Programs talk to themselves by 127.0.0.1; the namespace has no other interface. */
static void raise_loopback(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		errno = 0;            /* then 127.0.0.1 is not reachable, and the program says so */
	close(fd);
}

static int fill_runner(struct sb_server *s, struct gr_err *err)
{
	static const struct { const char *name, *target; } links[] = {
		{ "fd", "/proc/self/fd" }, { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
	};
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY };
	int dev = gr_sb_open_in(s->rootfd, "/dev", O_PATH | O_DIRECTORY, 0), rc;

	if (dev < 0)
		return fail(err, "/dev");
	for (size_t i = 0; i < GR_LEN(links); i++)
		if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST)
			errno = 0;    /* a command that wants it will say so */
	rc = mkdirat(dev, "shm", 0700) < 0 && errno != EEXIST ? fail(err, "/dev/shm") : 0;
	close(dev);
	if (rc == 0)
		rc = mount_tmp(s, "/dev/shm", 0, err);
	if (rc == 0)
		rc = bind_self(s->rootfd, "/task", err);
	if (rc == 0)
		rc = bind_self(s->rootfd, "/tmp", err);
	if (rc < 0)
		return rc;
	if (mkdirat(s->rootfd, "proc", 0555) == 0 || errno == EEXIST)
		mount_proc(s);
	if (!s->has_net)
		raise_loopback();
	if (mount_setattr(s->rootfd, "", AT_EMPTY_PATH, &ro, sizeof(ro)) < 0)
		return fail(err, "read-only root");
	return 0;
}

int gr_sb_namespace_enter(struct sb_server *s, struct gr_err *err)
{
	int here, tree, rc;

	if (s->has_userns && (rc = map_ids(s, err)) < 0)
		return rc;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail(err, "private mounts");
	/* the spawner's child went into the root folder before it cloned: "." lies in this namespace, rootfd does not */
	here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	tree = here < 0 ? -1 : open_tree(here, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0 || move_mount(tree, "", here, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return fail(err, "root folder");
	close(here);
	close(s->rootfd);
	s->rootfd = tree;
	if ((rc = bind_all(s, err)) < 0)
		return rc;
	rc = s->is_runner ? fill_runner(s, err) : mount_tmp(s, GR_SANDBOX_PRIVATE "/tmp", MOUNT_ATTR_NOEXEC, err);
	if (rc < 0)
		return rc;
	if (fchdir(s->rootfd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return fail(err, "pivot_root");
	close(s->rootfd);
	s->rootfd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->rootfd < 0)
		return fail(err, "/");
	rc = gr_sb_drop_all(s->uid, s->gid);
	return rc ? gr_err_set(err, GR_ESANDBOX, "dropping privileges: %s", strerror(rc)) : 0;
}
