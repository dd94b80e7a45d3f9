/*
 * remove.c - emptying folders, however deep
 *
 * Down to MAX_DEPTH by recursion with a descriptor a level; a folder that lies deeper is renamed into the topmost one and
 * taken there in a later pass. nftw(3), which gr_rm_rf uses for trees of our own, gives up beyond PATH_MAX.
 */
#include "lib/base/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/err.h"

#define MAX_DEPTH 48
#define MAX_PASSES 100000

struct removal {
	int topfd;
	unsigned n_moved;
	int rc;
};

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Without readdir(3), its buffer and its other calls: a command's folders are looked at behind each, and most are empty. */
bool gr_dir_is_empty(int fd)
{
	union { struct dirent64 first; char bytes[1024]; } text;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_empty = copy >= 0;
	ssize_t n;

	while (is_empty && (n = getdents64(copy, &text, sizeof(text)))) {
		is_empty = n > 0;
		for (ssize_t at = 0; is_empty && at < n;) {
			const struct dirent64 *de = (const void *)(text.bytes + at);

			is_empty = is_dot(de->d_name);
			at += de->d_reclen;
		}
	}
	if (copy >= 0)
		close(copy);
	return is_empty;
}

static int open_folder(int parent, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(parent, name, flags);

	if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
		fd = openat(parent, name, flags);
	return fd;
}

static void empty(struct removal *r, int fd, int depth)
{
	DIR *dir = fdopendir(fd);
	bool is_opened = false;
	struct dirent *de;

	if (!dir) {
		r->rc = gr_err_errno(errno);
		close(fd);
		return;
	}
	while ((de = readdir(dir))) {
		char moved[32];
		int sub;

		if (is_dot(de->d_name))
			continue;
		if (unlinkat(fd, de->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno == EACCES && !is_opened) {     /* a folder that may be listed and not written */
			is_opened = true;
			if (fchmod(fd, 0700) == 0 && unlinkat(fd, de->d_name, 0) == 0)
				continue;
		}
		if (unlinkat(fd, de->d_name, AT_REMOVEDIR) == 0)
			continue;
		if (depth >= MAX_DEPTH) {
			snprintf(moved, sizeof(moved), ".gr-moved-%u", r->n_moved++);
			if (renameat(fd, de->d_name, r->topfd, moved) < 0)
				r->rc = gr_err_errno(errno);
			continue;
		}
		sub = open_folder(fd, de->d_name);
		if (sub < 0) {
			r->rc = gr_err_errno(errno);
			continue;
		}
		fchmod(sub, 0700);
		empty(r, sub, depth + 1);
		if (unlinkat(fd, de->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
			r->rc = gr_err_errno(errno);
	}
	closedir(dir);
}

int gr_remove_in(int fd)
{
	struct removal r = { .topfd = fd };
	bool is_empty = gr_dir_is_empty(fd);

	for (int i = 0; i < MAX_PASSES && !is_empty; i++) {
		unsigned n_moved = r.n_moved;
		int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (copy < 0) {
			r.rc = gr_err_errno(errno);
			break;
		}
		r.rc = 0;
		empty(&r, copy, 0);
		is_empty = gr_dir_is_empty(fd);
		/* without anything moved a second pass only helps where readdir passed something over */
		if (r.rc < 0 && n_moved == r.n_moved)
			break;
	}
	if (r.rc == 0 && !is_empty)
		r.rc = GR_EIO;
	close(fd);
	return r.rc;
}

int gr_remove_at(int dirfd, const char *name)
{
	int fd, rc;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
		return 0;
	fd = open_folder(dirfd, name);
	if (fd < 0)
		return gr_err_errno(errno);
	rc = gr_remove_in(fd);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return rc < 0 ? rc : gr_err_errno(errno);
	return rc;
}
