/**
 * file - whole files and folders in one call each; everything opened O_CLOEXEC
 *
 * Errors LOCAL by gr_err_errno(); @err (may be NULL) gets "PATH: strerror". Blocking: not for a loop callback on a
 * slow disk.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/base/buf.h"
#include "lib/base/err.h"

/* Appends the file to @out. GR_ELIMIT when it is larger than @max. */
int gr_file_read(const char *path, size_t max, struct gr_buf *out, struct gr_err *err) GR_MUST_CHECK;
int gr_file_read_fd(int fd, size_t max, struct gr_buf *out) GR_MUST_CHECK;
/* All bytes or an error; retries short writes and EINTR. */
int gr_write_all(int fd, const void *p, size_t n) GR_MUST_CHECK;
/* Written to a temporary name in the same folder, synced when @sync, renamed over @path. No temporary is left. */
int gr_file_replace(const char *path, const void *p, size_t n, mode_t mode, bool sync, struct gr_err *err) GR_MUST_CHECK;
/* @line and its end behind what is there, synced: all of it or nothing, one process at a time. Made with @mode when there is none. */
int gr_file_add_line(const char *path, const char *line, mode_t mode, struct gr_err *err) GR_MUST_CHECK;
/* mkdir -p; existing folders are fine. @mode for those it makes. */
int gr_mkdir_p(const char *path, mode_t mode, struct gr_err *err) GR_MUST_CHECK;
/* rm -rf, never following symlinks; what cannot be removed is left. Return: 0, or the last error. */
int gr_rm_rf(const char *path);
