/**
 * outputs - a compile's files written as the compiler would have written them
 */
#pragma once
#include <sys/types.h>
#include "lib/base/buf.h"
#include "lib/base/err.h"

enum gr_output_style {
	GR_OUTPUT_ANEW,      /* as binutils: an existing file that is not empty, or a symlink to one, is unlinked first */
	GR_OUTPUT_IN_PLACE,  /* as fopen(path, "w"): same inode, links followed */
};
/**
 * gr_output_write - the whole file, or nothing at @path
 * @mode: already masked. Only regular files are written: GR_EPATH for an existing device, pipe or folder.
 * Errors LOCAL; a file that could not be written whole is removed.
 */
int gr_output_write(const char *path, enum gr_output_style style, mode_t mode, struct gr_slice bytes) GR_MUST_CHECK;
/* What a driver does to its output after a failed compile: removes it when it is a regular file. */
void gr_output_discard(const char *path);
