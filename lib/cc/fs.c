/* fs.c - struct gr_cc_fs for the real system: lstat, readlink, read, and inotify on directories. Which file systems
 * report every change to inotify is a list of those known to; all others are looked at again on each request. */
#include "lib/cc/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/base/alloc.h"

#define NAME_EVENTS (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define SELF_EVENTS (IN_DELETE_SELF | IN_MOVE_SELF)
#define CONTENT_EVENTS (IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE)

struct real {
	int fd;                     /* -1: no inotify here */
	size_t n, at;               /* bytes read, bytes handed out */
	_Alignas(struct inotify_event) char buf[65536];
};

static void fill(struct gr_cc_stat *out, const struct stat *st)
{
	*out = (struct gr_cc_stat){
		.kind = S_ISREG(st->st_mode) ? GR_CC_REG : S_ISDIR(st->st_mode) ? GR_CC_DIR : S_ISLNK(st->st_mode) ? GR_CC_LINK : GR_CC_OTHER,
		.is_exec = st->st_mode & 0100,
		.nlink = (uint32_t)st->st_nlink, .size = (uint64_t)st->st_size, .ino = st->st_ino, .dev = st->st_dev,
		.mtime_ns = st->st_mtim.tv_sec * 1000000000ll + st->st_mtim.tv_nsec,
		.ctime_ns = st->st_ctim.tv_sec * 1000000000ll + st->st_ctim.tv_nsec,
	};
}

static int real_lstat(void *ctx, const char *path, struct gr_cc_stat *out)
{
	struct stat st;

	if (lstat(path, &st) == 0) {
		fill(out, &st);
		return 0;
	}
	*out = (struct gr_cc_stat){ .kind = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG ? GR_CC_ABSENT : GR_CC_DENIED };
	return 0;
}

static int real_readlink(void *ctx, const char *path, struct gr_buf *out)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof(target));

	if (n < 0)
		return gr_err_errno(errno);
	if (n == sizeof(target))
		return GR_ELIMIT;
	gr_buf_add(out, target, (size_t)n);
	return 0;
}

static int read_all(int fd, size_t max, struct gr_buf *out, struct gr_cc_stat *st)
{
	struct stat before, after;
	size_t start = out->n;
	ssize_t n;

	if (fstat(fd, &before) < 0)
		return gr_err_errno(errno);
	if (!S_ISREG(before.st_mode))
		return GR_ENOENT;
	if ((uint64_t)before.st_size > max)
		return GR_ELIMIT;
	gr_buf_reserve(out, (size_t)before.st_size + 1);
	do {
		size_t room = out->cap - out->n - 1;

		if (out->n - start > max)
			return GR_ELIMIT;
		if (!room) {
			gr_buf_reserve(out, 65536);
			room = out->cap - out->n - 1;
		}
		n = read(fd, out->p + out->n, room);
		if (n > 0)
			out->n += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	out->p[out->n] = 0;
	if (n < 0 || fstat(fd, &after) < 0)
		return gr_err_errno(errno);
	if (out->n - start != (size_t)after.st_size || before.st_mtim.tv_nsec != after.st_mtim.tv_nsec ||
	    before.st_mtim.tv_sec != after.st_mtim.tv_sec || before.st_size != after.st_size)
		return GR_EBUSY;
	fill(st, &after);
	return 0;
}

static int real_read(void *ctx, const char *path, size_t max, struct gr_buf *out, struct gr_cc_stat *st)
{
	size_t start = out->n;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), rc;

	if (fd < 0)
		return errno == ELOOP || errno == ENOTDIR ? GR_ENOENT : gr_err_errno(errno);
	rc = read_all(fd, max, out, st);
	close(fd);
	if (rc < 0 && out->p) {
		out->n = start;
		out->p[start] = 0;
	}
	return rc;
}

static bool reports_changes(const char *path)
{
	static const uint32_t known[] = {
		0xef53,     /* ext2, ext3, ext4 */   0x58465342, /* xfs */    0x9123683e, /* btrfs */   0x01021994, /* tmpfs */
		0x858458f6, /* ramfs */              0x794c7630, /* overlay */ 0xf2f52010, /* f2fs */    0x2fc12fc1, /* zfs */
		0xca451a4e, /* bcachefs */           0x52654973, /* reiserfs */ 0x3153464a, /* jfs */    0x73717368, /* squashfs */
		0x9660,     /* iso9660 */            0xe0f5e1e2, /* erofs */   0x4d44,    /* vfat */     0x2011bab0, /* exfat */
	};
	struct statfs st;

	if (statfs(path, &st) < 0)
		return false;
	for (size_t i = 0; i < GR_LEN(known); i++)
		if ((uint32_t)st.f_type == known[i])
			return true;
	return false;
}

static int real_watch(void *ctx, const char *path, bool with_content)
{
	struct real *r = ctx;
	int wd;

	if (r->fd < 0 || !reports_changes(path))
		return GR_EUNSUP;
	wd = inotify_add_watch(r->fd, path, NAME_EVENTS | SELF_EVENTS | (with_content ? CONTENT_EVENTS : 0) |
			       IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD);
	return wd < 0 ? gr_err_errno(errno) : wd;
}

static void real_unwatch(void *ctx, int wd)
{
	struct real *r = ctx;

	inotify_rm_watch(r->fd, wd);
}

static int real_events(void *ctx, struct gr_cc_event *out, int max)
{
	struct real *r = ctx;
	int n = 0;

	if (r->fd < 0)
		return 0;
	if (r->at >= r->n) {
		ssize_t got;

		do
			got = read(r->fd, r->buf, sizeof(r->buf));
		while (got < 0 && errno == EINTR);
		if (got <= 0)
			return 0;
		r->n = (size_t)got;
		r->at = 0;
	}
	while (n < max && r->at < r->n) {
		const struct inotify_event *e = (const struct inotify_event *)(r->buf + r->at);
		uint8_t flags = 0;

		r->at += sizeof(*e) + e->len;
		if (e->mask & IN_Q_OVERFLOW)
			flags |= GR_CC_EV_OVERFLOW;
		if (e->mask & (IN_IGNORED | IN_UNMOUNT | SELF_EVENTS))
			flags |= GR_CC_EV_GONE;
		if (e->mask & NAME_EVENTS)
			flags |= GR_CC_EV_NAME;
		if (e->mask & CONTENT_EVENTS)
			flags |= GR_CC_EV_CONTENT;
		out[n++] = (struct gr_cc_event){ e->wd, flags, e->len ? e->name : "" };
	}
	return n;
}

static int real_fd(void *ctx) { return ((struct real *)ctx)->fd; }

static void real_fini(void *ctx)
{
	struct real *r = ctx;

	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

int gr_cc_fs_real(struct gr_cc_fs *out, struct gr_err *err)
{
	struct real *r;

	GR_NEW(r);
	r->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	*out = (struct gr_cc_fs){ r, real_lstat, real_readlink, real_read, real_watch, real_unwatch, real_events, real_fd, real_fini };
	return 0;
}
