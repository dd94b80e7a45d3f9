/**
 * path - text operations on paths; nothing here touches the file system
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "lib/base/buf.h"

/* Joins @dir and @name (absolute @name wins) and cleans the result: no "//", no ".", ".." taken lexically, no trailing
 * slash; "" gives ".". Appends to @out. Lexical ".." is only right when no component is a symlink: callers that must
 * follow the kernel's idea resolve first. */
void gr_path_join(struct gr_buf *out, struct gr_slice dir, struct gr_slice name);
/* True when the absolute clean @path is @dir or lies below it. */
bool gr_path_is_below(struct gr_slice path, struct gr_slice dir);
/* True for a path that may be made below a root by a peer's word: absolute, clean, no "..", no NUL, <= 4095 bytes. */
bool gr_path_is_safe(struct gr_slice path);
struct gr_slice gr_path_dir(struct gr_slice path);    /* "a/b" -> "a"; "b" -> "."; "/b" -> "/" */
struct gr_slice gr_path_base(struct gr_slice path);
struct gr_slice gr_path_ext(struct gr_slice path);    /* ".c" or empty */
