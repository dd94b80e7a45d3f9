/*
 * chroot.c - the tier for a container that has the default capabilities but may not make namespaces
 *
 * The spawner keeps CHROOT, SETUID, SETGID, SETPCAP, DAC_OVERRIDE, CHOWN and MKNOD, and only its children use them,
 * before they serve. The toolchain is hard-linked from copies in a folder that belongs to root: a task runs as another
 * user and cannot write, chmod or replace what other sessions share. /dev/null is a device where mknod is allowed,
 * else an empty file nobody may write.
 */
#include "worker/sandbox/sandbox_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "lib/base/file.h"
#include "lib/base/map.h"

#define MAX_DEPTH 24

static int fail(struct gr_err *err, const char *what)
{
	return gr_err_set(err, GR_ESANDBOX, "%s: %s", what, strerror(errno));
}

static int copy_file(int from, int dirfd, const char *name)
{
	int to = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0555), rc = 0;
	ssize_t n;

	if (to < 0)
		return -1;
	while (rc == 0 && (n = copy_file_range(from, NULL, to, NULL, 1 << 30, 0)) != 0) {
		if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
			char chunk[65536];

			while ((n = read(from, chunk, sizeof(chunk))) > 0 && rc == 0)
				rc = gr_write_all(to, chunk, (size_t)n);
			rc = n < 0 ? -1 : rc;
			break;
		}
		rc = n < 0 ? -1 : 0;
	}
	close(to);
	return rc < 0 ? -1 : 0;
}

/* @path outside becomes @name in @pfd: a link to the shared copy, which is made when it is not there. */
static int place_file(struct sb_server *s, const char *path, int pfd, const char *name, struct gr_err *err)
{
	int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;
	char copy[64], tmp[96];
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0 || !S_ISREG(st.st_mode)) {
		if (from >= 0)
			close(from);
		return 0;   /* not readable for the user: then not for the compiler either */
	}
	snprintf(copy, sizeof(copy), "%016llx-%llx-%llx",
		 (unsigned long long)gr_hash64(path, strlen(path), (uint64_t)st.st_ino),
		 (unsigned long long)st.st_size,
		 (unsigned long long)st.st_mtim.tv_sec * 1000000000ull + (unsigned long long)st.st_mtim.tv_nsec);
	unlinkat(pfd, name, 0);
	if (linkat(s->cachefd, copy, pfd, name, 0) < 0) {
		snprintf(tmp, sizeof(tmp), "%s.%d", copy, (int)getpid());
		if (copy_file(from, s->cachefd, tmp) < 0 || renameat(s->cachefd, tmp, s->cachefd, copy) < 0 ||
		    linkat(s->cachefd, copy, pfd, name, 0) < 0) {
			rc = fail(err, path);
			unlinkat(s->cachefd, tmp, 0);
		}
	}
	close(from);
	return rc;
}

static int place_tree(struct sb_server *s, const char *path, int depth, struct gr_err *err)
{
	int pfd = gr_sb_open_in(s->rootfd, path, O_PATH | O_DIRECTORY, 0), rc = 0;
	DIR *dir = opendir(path);
	struct dirent *de;

	while (dir && pfd >= 0 && rc >= 0 && depth < MAX_DEPTH && (de = readdir(dir))) {
		char sub[4096], target[4096];
		struct stat st;
		ssize_t n;

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..") ||
		    snprintf(sub, sizeof(sub), "%s/%s", path, de->d_name) >= (int)sizeof(sub) || lstat(sub, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			if (mkdirat(pfd, de->d_name, 0755) < 0 && errno != EEXIST)
				rc = fail(err, sub);
			else
				rc = place_tree(s, sub, depth + 1, err);
		} else if (S_ISLNK(st.st_mode) && (n = readlink(sub, target, sizeof(target) - 1)) > 0) {
			target[n] = 0;
			if (symlinkat(target, pfd, de->d_name) < 0 && errno != EEXIST)
				rc = fail(err, sub);
		} else if (S_ISREG(st.st_mode)) {
			rc = place_file(s, sub, pfd, de->d_name, err);
		}
	}
	if (dir)
		closedir(dir);
	if (pfd >= 0)
		close(pfd);
	return rc;
}

static int place_one(struct sb_server *s, const char *path, struct gr_err *err)
{
	char real[4096], *base;
	bool is_dir;
	int rc = gr_sb_show_place(s, path, real, &is_dir, err), pfd;

	if (rc <= 0 || !strcmp(real, "/"))
		return rc;
	if (is_dir)
		return place_tree(s, real, 0, err);
	base = strrchr(real, '/');
	*base = 0;
	pfd = gr_sb_open_in(s->rootfd, real, O_PATH | O_DIRECTORY, 0);
	*base = '/';
	if (pfd < 0)
		return fail(err, real);
	rc = place_file(s, real, pfd, base + 1, err);
	close(pfd);
	return rc;
}

static void make_null(struct sb_server *s)
{
	int dev;

	if (mkdirat(s->rootfd, "dev", 0755) < 0 && errno != EEXIST)
		return;
	dev = openat(s->rootfd, "dev", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dev < 0)
		return;
	if (mknodat(dev, "null", S_IFCHR | 0666, makedev(1, 3)) == 0) {
		if (fchmodat(dev, "null", 0666, 0) < 0)
			unlinkat(dev, "null", 0);
	} else if (errno != EEXIST && mknodat(dev, "null", S_IFREG | 0444, 0) < 0 && errno != EEXIST) {
		gr_err_set(NULL, GR_EIO, "null");   /* a compiler that wants it will say so */
	}
	close(dev);
}

int gr_sb_chroot_enter(struct sb_server *s, struct gr_err *err)
{
	int rc = 0;

	make_null(s);
	for (uint32_t i = 0; i < s->n_shown && rc >= 0; i++)
		rc = place_one(s, s->shown[i], err);
	if (rc < 0)
		return rc;
	if (fchdir(s->rootfd) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return fail(err, "chroot");
	rc = gr_sb_drop_all(s->uid, s->gid);
	return rc ? gr_err_set(err, GR_ESANDBOX, "dropping privileges: %s", strerror(rc)) : 0;
}
