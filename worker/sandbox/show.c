/*
 * show.c - making places for the toolchain's files inside a session's root
 *
 * A path outside is walked component by component. What is a symlink outside becomes the same symlink inside, and the
 * walk goes on at its target, so that /lib64/ld-linux.so names the same thing in both worlds and a client's own record
 * of the link "/lib -> usr/lib" meets what it wants. Everything inside is reached with openat2(RESOLVE_IN_ROOT).
 */
#include "worker/sandbox/sandbox_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_LINKS 40

int gr_sb_open_in(int rootfd, const char *path, int flags, unsigned mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	while (*path == '/')
		path++;
	do
		fd = syscall(SYS_openat2, rootfd, *path ? path : ".", &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return (int)fd;
}

/* As root the folders are given to the user who fills the tree. */
static void give(const struct sb_server *s, int pfd, const char *name)
{
	if (geteuid() == 0 && s->uid != 0 && fchownat(pfd, name, s->uid, s->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return;   /* the first write into it will say so */
}

static int make_one(const struct sb_server *s, const char *cur, const char *name, const struct stat *st, const char *target)
{
	int pfd = gr_sb_open_in(s->rootfd, cur, O_PATH | O_DIRECTORY, 0), rc;

	if (pfd < 0)
		return -1;
	if (S_ISLNK(st->st_mode))
		rc = symlinkat(target, pfd, name);
	else if (S_ISDIR(st->st_mode))
		rc = mkdirat(pfd, name, 0755);
	else
		rc = mknodat(pfd, name, S_IFREG | 0555, 0);
	if (rc == 0 && S_ISDIR(st->st_mode))
		give(s, pfd, name);
	if (rc < 0 && errno == EEXIST)
		rc = 0;
	close(pfd);
	return rc;
}

int gr_sb_show_place(const struct sb_server *s, const char *path, char real[4096], bool *is_dir, struct gr_err *err)
{
	char todo[8192], next[4352], target[4096], cur[4096] = "";
	int n_links = 0;
	char *p = todo;

	bool is_link_only = path[0] == '@';

	path += is_link_only;
	*is_dir = true;
	if (snprintf(todo, sizeof(todo), "%s", path) >= 4096)
		return 0;
	while (*p) {
		char *name = p, *slash = strchr(p, '/');
		struct stat st;

		if (slash)
			*slash = 0;
		p = slash ? slash + 1 : p + strlen(p);
		if (!*name || !strcmp(name, "."))
			continue;
		if (!strcmp(name, "..")) {
			char *up = strrchr(cur, '/');

			if (up)
				*up = 0;
			continue;
		}
		if (strlen(name) > 255 || snprintf(next, sizeof(next), "%s/%s", cur, name) >= 4096 || lstat(next, &st) < 0)
			return 0;
		target[0] = 0;
		if (S_ISLNK(st.st_mode)) {
			ssize_t n = readlink(next, target, sizeof(target) - 1);

			if (n <= 0 || ++n_links > MAX_LINKS)
				return 0;
			target[n] = 0;
		}
		if (make_one(s, cur, name, &st, target) < 0)
			return gr_err_set(err, GR_ESANDBOX, "%s: %s", next, strerror(errno));
		if (S_ISLNK(st.st_mode) && is_link_only && !*p)
			return 0;
		if (S_ISLNK(st.st_mode)) {
			char rest[8192];

			if (snprintf(rest, sizeof(rest), "%s/%s", target, p) >= (int)sizeof(todo))
				return 0;
			strcpy(todo, rest);
			p = todo;
			if (target[0] == '/')
				cur[0] = 0;
			continue;
		}
		*is_dir = S_ISDIR(st.st_mode);
		if (!*is_dir && *p)
			return 0;
		strcpy(cur, next);
	}
	strcpy(real, cur[0] ? cur : "/");
	return 1;
}
