/* file.c - see file.h */
#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct gr_err *err, const char *path)
{
	int e = errno;

	return gr_err_set(err, gr_err_errno(e), "%s: %s", path, strerror(e));
}

int gr_file_read_fd(int fd, size_t max, struct gr_buf *out)
{
	struct stat st;
	size_t start = out->n;
	ssize_t n;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if ((uint64_t)st.st_size > max)
			return GR_ELIMIT;
		gr_buf_reserve(out, (size_t)st.st_size + 1);
	}
	for (;;) {
		if (out->cap - out->n < 4096)
			gr_buf_reserve(out, 65536);
		n = read(fd, out->p + out->n, out->cap - out->n - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		out->n += (size_t)n;
		if (out->n - start > max)
			return GR_ELIMIT;
	}
	gr_buf_reserve(out, 0);
	out->p[out->n] = 0;
	return n < 0 ? gr_err_errno(errno) : 0;
}

int gr_file_read(const char *path, size_t max, struct gr_buf *out, struct gr_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	struct stat st;
	bool is_folder;

	if (fd < 0)
		return fail(err, path);
	rc = gr_file_read_fd(fd, max, out);
	is_folder = rc == GR_EIO && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	close(fd);
	if (rc < 0)
		return gr_err_set(err, rc, "%s: %s", path, is_folder ? "is a folder, not a file" : gr_err_text(rc));
	return 0;
}

int gr_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return gr_err_errno(errno);
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int gr_file_replace(const char *path, const void *p, size_t n, mode_t mode, bool sync, struct gr_err *err)
{
	char tmp[4200];
	int fd, rc;

	if (snprintf(tmp, sizeof(tmp), "%s.tmp-XXXXXX", path) >= (int)sizeof(tmp))
		return gr_err_set(err, GR_EPATH, "%s: path too long", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return fail(err, tmp);
	rc = gr_write_all(fd, p, n);
	if (rc == 0 && (fchmod(fd, mode) < 0 || (sync && fsync(fd) < 0)))
		rc = gr_err_errno(errno);
	if (close(fd) < 0 && rc == 0)
		rc = gr_err_errno(errno);
	if (rc == 0 && rename(tmp, path) < 0)
		rc = gr_err_errno(errno);
	if (rc < 0) {
		unlink(tmp);
		return gr_err_set(err, rc, "%s: %s", path, gr_err_text(rc));
	}
	return 0;
}

int gr_file_add_line(const char *path, const char *line, mode_t mode, struct gr_err *err)
{
	struct gr_buf b = { 0 };
	char last = '\n';
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, mode), rc;

	if (fd < 0)
		return fail(err, path);
	errno = EIO;                            /* a file that was cut just now has no last byte */
	if (flock(fd, LOCK_EX) < 0 || fstat(fd, &st) < 0 || (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1) || lseek(fd, 0, SEEK_END) < 0) {
		rc = fail(err, path);
		close(fd);
		return rc;
	}
	gr_buf_printf(&b, "%s%s\n", last == '\n' ? "" : "\n", line);     /* one without its end must not swallow it */
	rc = gr_write_all(fd, b.p, b.n);
	if (rc == 0 && fsync(fd) < 0)
		rc = gr_err_errno(errno);
	if (rc < 0 && ftruncate(fd, st.st_size) < 0)
		rc = gr_err_errno(errno);
	gr_buf_fini(&b);
	close(fd);
	return rc < 0 ? gr_err_set(err, rc, "%s: %s", path, gr_err_text(rc)) : 0;
}

int gr_mkdir_p(const char *path, mode_t mode, struct gr_err *err)
{
	char part[4200];
	size_t n = strlen(path);

	if (n >= sizeof(part))
		return gr_err_set(err, GR_EPATH, "%s: path too long", path);
	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	memcpy(part, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (part[i] != '/' && part[i] != 0)
			continue;
		part[i] = 0;
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return fail(err, part);
		part[i] = i < n ? '/' : 0;
	}
	return 0;
}

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	remove(path);
	return 0;
}

int gr_rm_rf(const char *path)
{
	struct stat st;

	if (nftw(path, rm_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
		return gr_err_errno(errno);
	return lstat(path, &st) == 0 ? GR_EIO : 0;
}
