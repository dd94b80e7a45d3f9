/**
 * outputs - a compile's files written as the compiler would have written them
 *
 * as and objcopy unlink an existing output (bfd: when it is not empty; the link itself when it is a symlink), so an
 * object that other names share is not written through; cc1 writes depfiles and .gcno files with a plain "w". What a
 * build system can notice of it, inode, links, modes, comes out the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "client/agent/outputs.h"
#include "lib/base/file.h"

int gr_output_write(const char *path, enum gr_output_style style, mode_t mode, struct gr_slice bytes)
{
	struct stat st, link;
	int fd, rc, flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	fd = -1;
	if (style == GR_OUTPUT_ANEW) {
		/* The usual case first: there is nothing, or what is there goes. */
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 && errno == EEXIST && stat(path, &st) == 0 && st.st_size > 0 && lstat(path, &link) == 0 &&
		    (S_ISREG(link.st_mode) || S_ISLNK(link.st_mode))) {
			unlink(path);
			fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		}
		if (fd >= 0 && fchmod(fd, mode) < 0) {
			rc = gr_err_errno(errno);
			close(fd);
			unlink(path);
			return rc;
		}
	}
	if (fd < 0) {
		bool was_there = stat(path, &st) == 0;

		if (was_there && !S_ISREG(st.st_mode))
			return GR_EPATH;
		fd = open(path, flags, 0600);
		if (fd < 0)
			return gr_err_errno(errno);
		if (!was_there && fchmod(fd, mode) < 0) {
			rc = gr_err_errno(errno);
			close(fd);
			return rc;
		}
		if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
			close(fd);
			return GR_EPATH;
		}
	}
	rc = gr_write_all(fd, bytes.p, bytes.n);
	/* A full disk or quota may only show here. */
	if (close(fd) < 0 && rc == 0)
		rc = gr_err_errno(errno);
	if (rc < 0)
		unlink(path);
	return rc;
}

void gr_output_discard(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		unlink(path);
}
