/**
 * files - a command's files on their way into its folder and out of it
 *
 * The folder is the command's to fill with what it likes, so every path is walked with openat2, below the folder and
 * through no symlink. No state: called from a thread of the pool.
 */
#pragma once
#include <stdint.h>
#include "lib/base/buf.h"
#include "lib/base/sha256.h"

#define GR_FILES_MAX_DEPTH 64u
#define GR_FILES_MAX_FOUND 65536u

/* True for a path a job may name below a command's folder: relative, no empty, "." or ".." component, no NUL, shorter than
 * PATH_MAX. */
bool gr_files_path_ok(const char *path);

enum gr_files_kind { GR_FILES_REG = 1, GR_FILES_DIR, GR_FILES_LINK };

struct gr_files_in {
	const char *path;
	enum gr_files_kind kind;
	unsigned mode;                /* permission bits, REG and DIR */
	int fd;                       /* REG: what is copied, from its beginning */
	const char *target;           /* LINK */
};
/* Makes it below @dirfd, with the folders above it. GR_EPATH, GR_EEXIST (there is something), GR_ENOSPACE, GR_EIO. */
int gr_files_put(int dirfd, const struct gr_files_in *f, struct gr_err *err) GR_MUST_CHECK;

struct gr_files_found {
	char *path;                   /* below the command's folder */
	enum gr_files_kind kind;
	unsigned mode;                /* 0755 or 0644; permission bits of folders */
	uint64_t size;
	struct gr_digest digest;      /* REG */
	char name[24];                /* REG: what it is called in the folder it was moved to */
	char *target;                 /* LINK: leads to something in the same output */
	struct gr_buf data;           /* REG, when has_data: its bytes, and there is no file any more */
	bool has_data;
};
struct gr_files_list {
	struct gr_files_found *items;
	uint32_t n, cap;
	uint64_t bytes;
};
/**
 * gr_files_take - an output: a regular file, or a folder with all that is in it
 * @tofd: regular files are moved here, under names that begin with @prefix
 * @max_bytes: of @list together, what it has counted in
 * Return: 0; GR_ENOENT: no such path; GR_EPATH: a device, a socket, a pipe, a link that leads out, a link on the way;
 * GR_ELIMIT: too much; GR_ENOSPACE, GR_EIO. What was moved before an error is in @list.
 */
int gr_files_take(int dirfd, const char *path, int tofd, const char *prefix, uint64_t max_bytes, struct gr_files_list *list,
		  struct gr_err *err) GR_MUST_CHECK;
/* Small files become data: up to @max_item bytes each and @max_all together. */
void gr_files_load(struct gr_files_list *list, int fromfd, size_t max_item, size_t max_all);
/* Bytes that all below @dirfd takes on the disk, a file of several names once when all of them are there; not counted on when it
 * is more than @limit. At most GR_FILES_DISK_DEPTH folders deep. */
#define GR_FILES_DISK_DEPTH 256u
uint64_t gr_files_disk(int dirfd, uint64_t limit);
void gr_files_list_fini(struct gr_files_list *list);
