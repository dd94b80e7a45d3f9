/*
 * tree.c - a session's folder tree: records made true on disk
 *
 * Every folder is reached with openat2(RESOLVE_IN_ROOT), so a client's symlinks lead where they would lead at the
 * client and never out of the root; the last component is always worked on by name in its folder, never followed. The
 * folder written to last is kept open: inputs come in runs of one folder. Files are copies of the cache's blobs.
 */
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/path.h"
#include "worker/sandbox/sandbox_int.h"

void gr_tree_forget_folder(struct gr_wsession *s)
{
	if (s->last.fd >= 0)
		close(s->last.fd);
	s->last.fd = -1;
}

int gr_tree_open(struct gr_wsession *s, struct gr_err *err)
{
	if (s->rootfd >= 0)
		return 0;
	snprintf(s->dir, sizeof(s->dir), "sessions/%016" PRIx64 "-%u", s->id, s->w->n_session_dirs++);
	if (mkdir(s->dir, 0711) == 0) {
		char root[80];

		snprintf(root, sizeof(root), "%s/root", s->dir);
		if (mkdir(root, 0755) == 0)
			s->rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (s->rootfd < 0)
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", s->dir, errno == ENOSPC ? "disk full" : strerror(errno));
	s->n_generation++;
	return 0;
}

/* Makes @dir and what is above it. A dangling symlink on the way is an error, not a thing to write through. */
static int make_folders(struct gr_wsession *s, const char *dir)
{
	char path[4096];
	size_t n = strlen(dir);

	memcpy(path, dir, n + 1);
	for (size_t i = 1; i <= n; i++) {
		char *base;
		int pfd, fd;

		if (path[i] != '/' && path[i] != 0)
			continue;
		path[i] = 0;
		fd = gr_sb_open_in(s->rootfd, path, O_PATH | O_DIRECTORY, 0);
		if (fd >= 0) {
			close(fd);
		} else if (errno != ENOENT) {
			return -1;
		} else {
			base = strrchr(path, '/');
			*base = 0;
			pfd = gr_sb_open_in(s->rootfd, path, O_PATH | O_DIRECTORY, 0);
			*base = '/';
			if (pfd < 0)
				return -1;
			if (mkdirat(pfd, base + 1, 0755) < 0) {
				int e = errno;

				close(pfd);
				errno = e == EEXIST ? ELOOP : e;
				return -1;
			}
			close(pfd);
		}
		path[i] = i < n ? '/' : 0;
	}
	return 0;
}

/* The folder @path lies in: a descriptor that stays the session's; -1 with errno. */
static int folder_of(struct gr_wsession *s, const char *path, bool make)
{
	const char *base = strrchr(path, '/');
	size_t n = (size_t)(base - path);
	int fd;

	if (s->last.fd >= 0 && strlen(s->last.dir) == n && !memcmp(s->last.dir, path, n))
		return s->last.fd;
	gr_tree_forget_folder(s);
	memcpy(s->last.dir, path, n);
	s->last.dir[n] = 0;
	fd = gr_sb_open_in(s->rootfd, s->last.dir, O_PATH | O_DIRECTORY, 0);
	if (fd < 0 && errno == ENOENT && make && make_folders(s, s->last.dir) == 0)
		fd = gr_sb_open_in(s->rootfd, s->last.dir, O_PATH | O_DIRECTORY, 0);
	s->last.fd = fd;
	return fd;
}

/* Whatever lies at @base goes, but a folder with things in it. */
static int clear(int pfd, const char *base)
{
	if (unlinkat(pfd, base, 0) == 0 || errno == ENOENT)
		return 0;
	if ((errno == EISDIR || errno == EPERM) && (unlinkat(pfd, base, AT_REMOVEDIR) == 0 || errno == ENOENT))
		return 0;
	return -1;
}

/* Landlock's tier has no root of its own: "/a/b" seen from /x/y is "../../a/b". */
static void relative_target(const char *path, const char *target, char out[8192])
{
	size_t n = 0;

	for (const char *p = path + 1; (p = strchr(p, '/')); p++)
		n += (size_t)snprintf(out + n, 8192 - n, "../");
	snprintf(out + n, 8192 - n, "%s", target[1] ? target + 1 : ".");
}

static int put_link(struct gr_wsession *s, const struct gr_srecord *r, int pfd, const char *base)
{
	char mapped[8192], old[4096];
	const char *target = r->file.target;
	ssize_t n;

	if (s->w->tier == GR_TIER_LANDLOCK && target[0] == '/') {
		relative_target(r->file.path->name, target, mapped);
		target = mapped;
	}
	if (symlinkat(target, pfd, base) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	n = readlinkat(pfd, base, old, sizeof(old));
	if (n > 0 && (size_t)n == strlen(target) && !memcmp(old, target, (size_t)n))
		return 0;
	return clear(pfd, base) < 0 ? -1 : symlinkat(target, pfd, base);
}

static int put_dir(struct gr_wsession *s, const char *path, bool was_link, int pfd, const char *base)
{
	struct stat st;
	int fd;

	if (mkdirat(pfd, base, 0755) == 0)
		return 0;
	if (errno != EEXIST || fstatat(pfd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		return 0;
	/* "/lib" that leads to a folder is one, unless the client had it as a link before */
	fd = S_ISLNK(st.st_mode) && !was_link ? gr_sb_open_in(s->rootfd, path, O_PATH | O_DIRECTORY, 0) : -1;
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	return unlinkat(pfd, base, 0) < 0 ? -1 : mkdirat(pfd, base, 0755);
}

static int put_file(struct gr_wsession *s, const struct gr_srecord *r, int pfd, const char *base)
{
	unsigned mode = r->is_exec ? 0555 : 0444;
	int rc;

	if (r->file.path->may_exist && clear(pfd, base) < 0)
		return GR_EPATH;
	rc = gr_cas_copy_out(s->w->cas, &r->file.digest, pfd, base, mode);
	if (rc == GR_EEXIST)
		rc = clear(pfd, base) < 0 ? GR_EPATH : gr_cas_copy_out(s->w->cas, &r->file.digest, pfd, base, mode);
	return rc;
}

static void count(struct gr_wsession *s, struct gr_path *p, uint64_t size)
{
	uint64_t old = (uint64_t)p->size << 10;

	p->size = (uint32_t)((size + 1023) >> 10);
	s->tree_bytes += ((uint64_t)p->size << 10) - old;
	s->w->tree_bytes += ((uint64_t)p->size << 10) - old;
}

int gr_tree_put(struct gr_wsession *s, uint32_t id, struct gr_err *err)
{
	const struct gr_srecord *r = &s->records[id];
	struct gr_path *p = r->file.path;
	const char *base = strrchr(p->name, '/') + 1;
	int pfd, rc = 0;

	errno = 0;
	pfd = folder_of(s, p->name, r->kind != GR_FILE_ABSENT);
	if (pfd < 0) {
		if (r->kind == GR_FILE_ABSENT && (errno == ENOENT || errno == ENOTDIR))
			goto done;
		rc = gr_err_errno(errno);
		return gr_err_set(err, rc == GR_ENOENT ? GR_EPATH : rc, "%s: %s", p->name, strerror(errno));
	}
	switch (r->kind) {
	case GR_FILE_REG:
		rc = put_file(s, r, pfd, base);
		break;
	case GR_FILE_LINK:
		rc = put_link(s, r, pfd, base) < 0 ? gr_err_errno(errno) : 0;
		gr_tree_forget_folder(s);
		break;
	case GR_FILE_DIR:
		rc = put_dir(s, p->name, p->was_link, pfd, base) < 0 ? gr_err_errno(errno) : 0;
		if (p->was_link)
			gr_tree_forget_folder(s);
		break;
	default:
		/* a folder that has become "no such file" for a search keeps what others put into it */
		if (clear(pfd, base) < 0 && errno != ENOTEMPTY && errno != EEXIST)
			rc = gr_err_errno(errno);
		gr_tree_forget_folder(s);
	}
	if (rc < 0) {
		p->may_exist = true;
		if (r->kind != GR_FILE_REG && rc == GR_ENOENT)
			rc = GR_EPATH;
		return gr_err_set(err, rc, "%s: %s", p->name, rc == GR_ENOSPACE ? "disk full" : gr_err_text(rc));
	}
done:
	p->may_exist = r->kind != GR_FILE_ABSENT;
	p->was_link = r->kind == GR_FILE_LINK;
	p->is_clean = true;
	count(s, p, r->kind == GR_FILE_REG ? r->file.size : 0);
	return 0;
}

void gr_tree_unlink(struct gr_wsession *s, const char *path)
{
	int pfd = folder_of(s, path, false);

	if (pfd >= 0)
		clear(pfd, strrchr(path, '/') + 1);
}

int gr_tree_open_file(struct gr_wsession *s, const char *path)
{
	int pfd = folder_of(s, path, false);
	struct stat st;
	int fd;

	if (pfd < 0)
		return -1;
	fd = openat(pfd, strrchr(path, '/') + 1, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		errno = ELOOP;
		return -1;
	}
	return fd;
}

void gr_tree_alias(struct gr_wsession *s, const char *at, const char *target)
{
	int fd = gr_sb_open_in(s->rootfd, at, O_PATH | O_NOFOLLOW, 0), pfd;

	if (fd >= 0) {
		close(fd);
		return;
	}
	pfd = folder_of(s, at, true);
	if (pfd >= 0 && symlinkat(target, pfd, strrchr(at, '/') + 1) < 0)
		errno = 0;   /* the compiler finds its parts without, if it can */
}
