/**
 * shell - a script with places in it, as argv for sh
 *
 * A value is never pasted into the script: each place becomes a positional parameter, quoted as its surroundings want it,
 * and the place itself an argument that the worker fills in. So a file called "; rm -rf ~" stays a file's name.
 */
#pragma once
#include <jansson.h>
#include "lib/base/err.h"

/**
 * gr_shell_argv - ["/bin/sh", "-c", script, "sh", place...]
 * @names, @n_names, @n_values: as for gr_expand_find
 * Return: a new array; NULL with @err for {N} beyond the values.
 */
json_t *gr_shell_argv(const char *script, const char *const *names, size_t n_names, size_t n_values, struct gr_err *err);
/* @word as sh reads it: as it is when that is safe, else in quotes. Appends. For showing commands to people. */
struct gr_buf;
void gr_shell_quote(const char *word, struct gr_buf *out);
