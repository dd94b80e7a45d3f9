/**
 * remove - take away a folder that somebody hostile filled
 *
 * Never follows a symlink, opens folders its owner closed (0000), needs a bounded number of descriptors and no path at
 * all, so that a tree a million folders deep is no harder than a flat one.
 */
#pragma once
#include <stdbool.h>

/* True when the folder @fd has no entry. @fd stays open. */
bool gr_dir_is_empty(int fd);
/* Removes all that is in folder @fd, which it closes. Return: 0, or the last error's GR_E*. */
int gr_remove_in(int fd);
/* Removes @name in @dirfd, whatever it is. 0 when there is nothing. */
int gr_remove_at(int dirfd, const char *name);
