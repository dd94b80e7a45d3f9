/*
 * files.c - see files.h
 *
 * Outputs are moved and not copied: nothing of the command is alive any more, so nobody writes them, and the cache takes
 * them by a rename too. A file with a second name (a hard link) is copied instead, since that name may be an output too.
 */
#include "worker/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/fs.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/utf8.h"

#define COPY_BYTES (256u << 10)

bool gr_files_path_ok(const char *path)
{
	size_t n = strlen(path);

	if (!n || n > 4000 || path[0] == '/' || path[n - 1] == '/')
		return false;
	for (const char *p = path;; p++) {
		size_t len = strcspn(p, "/");

		if (!len || len > 255 || (p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.'))))
			return false;
		p += len;
		if (!*p)
			return true;
	}
}

static int open_beneath(int dirfd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return (int)fd;
}

static int fail(struct gr_err *err, const char *path)
{
	int e = errno, rc = gr_err_errno(e);

	if (e == ELOOP || e == EXDEV || e == ENOTDIR)
		return gr_err_set(err, GR_EPATH, "%s: a symlink or a file is in the way", path);
	return gr_err_set(err, rc, "%s: %s", path, e == ENOSPC ? "disk full" : strerror(e));
}

/* The folder @path lies in, made when it is not there. -1 with errno. */
static int parent_of(int dirfd, const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');
	char part[4096];
	int fd;

	*base = slash ? slash + 1 : path;
	if (!slash)
		return openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
	fd = open_beneath(dirfd, part, O_PATH | O_DIRECTORY);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	for (char *p = part;; p++) {
		int at;

		p += strcspn(p, "/");
		{
			char kept = *p;
			char *last;

			*p = 0;
			last = strrchr(part, '/');
			if (last)
				*last = 0;
			at = last ? open_beneath(dirfd, part, O_PATH | O_DIRECTORY) : openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
			if (last)
				*last = '/';
			if (at < 0)
				return -1;
			if (mkdirat(at, last ? last + 1 : part, 0755) < 0 && errno != EEXIST) {
				close(at);
				return -1;
			}
			close(at);
			*p = kept;
			if (!kept)
				return open_beneath(dirfd, part, O_PATH | O_DIRECTORY);
		}
	}
}

static int copy(int from, int to)
{
	uint8_t *chunk;
	ssize_t n;
	int rc = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	chunk = gr_xalloc(COPY_BYTES);
	if (lseek(from, 0, SEEK_SET) < 0)
		rc = GR_EIO;
	while (rc == 0 && (n = read(from, chunk, COPY_BYTES)) != 0)
		rc = n < 0 ? gr_err_errno(errno) : gr_write_all(to, chunk, (size_t)n);
	free(chunk);
	return rc < 0 ? rc : 0;
}

static int put_file(int pfd, const char *base, const struct gr_files_in *f, struct gr_err *err)
{
	int to = openat(pfd, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), rc;

	if (to < 0)
		return fail(err, f->path);
	rc = copy(f->fd, to);
	if (rc == 0 && fchmod(to, f->mode & 0777) < 0)
		rc = gr_err_errno(errno);
	if (close(to) < 0 && rc == 0)
		rc = gr_err_errno(errno);
	if (rc < 0) {
		unlinkat(pfd, base, 0);
		return gr_err_set(err, rc, "%s: %s", f->path, rc == GR_ENOSPACE ? "disk full" : gr_err_text(rc));
	}
	return 0;
}

int gr_files_put(int dirfd, const struct gr_files_in *f, struct gr_err *err)
{
	const char *base;
	struct stat st;
	int pfd, rc = 0;

	if (!gr_files_path_ok(f->path))
		return gr_err_set(err, GR_EPATH, "%.200s: wants a path below the task's folder", f->path);
	pfd = parent_of(dirfd, f->path, &base);
	if (pfd < 0)
		return fail(err, f->path);
	if (f->kind == GR_FILES_REG) {
		rc = put_file(pfd, base, f, err);
	} else if (f->kind == GR_FILES_LINK) {
		rc = symlinkat(f->target, pfd, base) < 0 ? fail(err, f->path) : 0;
	} else if (mkdirat(pfd, base, 0700) < 0 && errno != EEXIST) {
		rc = fail(err, f->path);
	} else if (fstatat(pfd, base, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)) {
		rc = gr_err_set(err, GR_EEXIST, "%s: a file of that name is there", f->path);
	} else if (fchmodat(pfd, base, (f->mode & 0777) | 0700, 0) < 0) {
		rc = fail(err, f->path);
	}
	close(pfd);
	return rc;
}

/* ---- outputs ---- */

struct taking {
	int tofd;
	const char *prefix;
	uint64_t max_bytes;
	size_t n_top;                  /* length of the output's own path: links may not lead above it */
	struct gr_files_list *list;
	struct gr_err *err;
};

static struct gr_files_found *add(struct gr_files_list *l, const char *path, enum gr_files_kind kind, unsigned mode)
{
	struct gr_files_found *f;

	GR_GROW(l->items, l->cap, l->n + 1);
	f = &l->items[l->n++];
	memset(f, 0, sizeof(*f));
	f->path = gr_xstrdup(path);
	f->kind = kind;
	f->mode = mode;
	return f;
}

static int take_file(struct taking *t, int pfd, const char *base, const char *path, int fd, const struct stat *st)
{
	struct gr_files_found *f;
	int rc, to;

	if ((uint64_t)st->st_size > t->max_bytes || t->list->bytes > t->max_bytes - (uint64_t)st->st_size)
		return gr_err_set(t->err, GR_ELIMIT, "%s: the outputs are over the limit of %llu bytes", path,
				  (unsigned long long)t->max_bytes);
	f = add(t->list, path, GR_FILES_REG, st->st_mode & 0100 ? 0755 : 0644);
	snprintf(f->name, sizeof(f->name), "%s-%u", t->prefix, t->list->n - 1);
	rc = gr_sha256_fd(fd, &f->digest, NULL);
	if (rc == 0 && st->st_nlink == 1) {
		rc = renameat(pfd, base, t->tofd, f->name) < 0 ? gr_err_errno(errno) : 0;
	} else if (rc == 0) {
		to = openat(t->tofd, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		rc = to < 0 ? gr_err_errno(errno) : copy(fd, to);
		if (to >= 0)
			close(to);
	}
	if (rc < 0) {
		free(f->path);
		t->list->n--;
		return gr_err_set(t->err, rc, "%s: %s", path, rc == GR_ENOSPACE ? "disk full" : gr_err_text(rc));
	}
	f->size = (uint64_t)st->st_size;
	t->list->bytes += f->size;
	return 0;
}

/* Names go to users as JSON: one that JSON cannot hold is told, not lost. */
static int refuse(struct taking *t, const char *path, const char *why, const char *target)
{
	struct gr_buf shown = { 0 };

	gr_utf8_show(&shown, gr_slice_str(path), 150);
	gr_buf_printf(&shown, ": %s", why);
	if (target)
		gr_utf8_show(&shown, gr_slice_str(target), 150);
	gr_err_set(t->err, GR_EPATH, "%s", gr_buf_str(&shown));
	gr_buf_fini(&shown);
	return GR_EPATH;
}

/* Lexically: a target below the output's own folder, so that it means the same wherever the output is put. */
static bool leads_out(const char *path, size_t n_top, const char *target)
{
	int depth = -1;                /* the link's own name is no folder */

	if (target[0] == '/' || !target[0])
		return true;
	for (const char *p = path + n_top; *p; p++)
		depth += *p == '/';
	for (const char *p = target;;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.')
			depth--;
		else if (n && !(n == 1 && p[0] == '.'))
			depth++;
		if (depth < 0)
			return true;
		if (!p[n])
			return false;
		p += n + 1;
	}
}

static int take_link(struct taking *t, int pfd, const char *base, const char *path)
{
	char target[4096];
	ssize_t n = readlinkat(pfd, base, target, sizeof(target) - 1);

	if (n <= 0 || n == sizeof(target) - 1)
		return gr_err_set(t->err, GR_EPATH, "%s: a link that cannot be read", path);
	target[n] = 0;
	if (leads_out(path, t->n_top, target))
		return refuse(t, path, "a link that leads out of the output: ", target);
	if (!gr_utf8_is(gr_slice_str(target)))
		return refuse(t, path, "a link to a name that is not UTF-8 cannot be brought back: ", target);
	add(t->list, path, GR_FILES_LINK, 0777)->target = gr_xstrdup(target);
	return 0;
}

static int take_one(struct taking *t, int pfd, const char *base, const char *path, unsigned depth);

static int take_folder(struct taking *t, int fd, const char *path, unsigned mode, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *de;
	int rc = 0;

	if (!dir) {
		close(fd);
		return fail(t->err, path);
	}
	add(t->list, path, GR_FILES_DIR, mode & 0777);
	while (rc == 0 && (de = readdir(dir))) {
		char sub[4352];

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (snprintf(sub, sizeof(sub), "%s/%s", path, de->d_name) > 4000 || depth >= GR_FILES_MAX_DEPTH)
			rc = gr_err_set(t->err, GR_ELIMIT, "%.200s...: folders too deep", path);
		else if (!gr_utf8_is(gr_slice_str(de->d_name)))
			rc = refuse(t, sub, "a name that is not UTF-8 cannot be brought back", NULL);
		else
			rc = take_one(t, fd, de->d_name, sub, depth + 1);
	}
	closedir(dir);
	return rc;
}

static int take_one(struct taking *t, int pfd, const char *base, const char *path, unsigned depth)
{
	int fd, rc;
	struct stat st;

	if (t->list->n >= GR_FILES_MAX_FOUND)
		return gr_err_set(t->err, GR_ELIMIT, "%s: more than %u files", path, GR_FILES_MAX_FOUND);
	fd = openat(pfd, base, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ELOOP && depth)
		return take_link(t, pfd, base, path);
	/* closed to its owner: the owner may open it again */
	if (fd < 0 && errno == EACCES && fstatat(pfd, base, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(st.st_mode) &&
	    fchmodat(pfd, base, st.st_mode | 0700, 0) == 0)
		fd = openat(pfd, base, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENXIO ? gr_err_set(t->err, GR_EPATH, "%s: neither file nor folder", path) : fail(t->err, path);
	if (fstat(fd, &st) < 0) {
		rc = fail(t->err, path);
	} else if (S_ISDIR(st.st_mode)) {
		return take_folder(t, fd, path, st.st_mode, depth);
	} else if (S_ISREG(st.st_mode)) {
		rc = take_file(t, pfd, base, path, fd, &st);
	} else {
		rc = gr_err_set(t->err, GR_EPATH, "%s: neither file nor folder", path);
	}
	close(fd);
	return rc;
}

int gr_files_take(int dirfd, const char *path, int tofd, const char *prefix, uint64_t max_bytes, struct gr_files_list *list,
		  struct gr_err *err)
{
	struct taking t = { tofd, prefix, max_bytes, strlen(path), list, err };
	const char *slash = strrchr(path, '/');
	char dir[4096];
	int pfd, rc;

	if (!gr_files_path_ok(path))
		return gr_err_set(err, GR_EPATH, "%.200s: wants a path below the task's folder", path);
	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	pfd = open_beneath(dirfd, dir, O_PATH | O_DIRECTORY);
	if (pfd < 0)
		return errno == ENOENT ? gr_err_set(err, GR_ENOENT, "%s: not found", path) : fail(err, path);
	rc = take_one(&t, pfd, slash ? slash + 1 : path, path, 0);
	close(pfd);
	return rc;
}

void gr_files_load(struct gr_files_list *l, int fromfd, size_t max_item, size_t max_all)
{
	for (uint32_t i = 0; i < l->n; i++) {
		struct gr_files_found *f = &l->items[i];
		int fd;

		if (f->kind != GR_FILES_REG || f->size > max_item || f->size > max_all)
			continue;
		fd = openat(fromfd, f->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		f->has_data = gr_file_read_fd(fd, max_item, &f->data) == 0 && f->data.n == f->size;
		close(fd);
		if (!f->has_data) {
			gr_buf_fini(&f->data);
			continue;
		}
		unlinkat(fromfd, f->name, 0);
		max_all -= f->data.n;
	}
}

void gr_files_list_fini(struct gr_files_list *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		gr_buf_fini(&l->items[i].data);
		free(l->items[i].path);
		free(l->items[i].target);
	}
	free(l->items);
	memset(l, 0, sizeof(*l));
}

/* Takes @fd. */
static uint64_t disk_below(int fd, uint64_t limit, uint32_t depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *de;
	uint64_t sum = 0;
	struct stat st;

	if (!dir) {
		close(fd);
		return 0;
	}
	while (sum <= limit && (de = readdir(dir))) {
		int sub;

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..") || fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sum += (uint64_t)st.st_blocks * 512 / (S_ISDIR(st.st_mode) || !st.st_nlink ? 1 : st.st_nlink);
		if (!S_ISDIR(st.st_mode) || depth == GR_FILES_DISK_DEPTH)
			continue;
		sub = openat(fd, de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			sum += disk_below(sub, limit > sum ? limit - sum : 0, depth + 1);
	}
	closedir(dir);
	return sum;
}

uint64_t gr_files_disk(int dirfd, uint64_t limit)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? 0 : disk_below(fd, limit, 1);
}
