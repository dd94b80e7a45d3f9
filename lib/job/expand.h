/**
 * expand - words with places in them, as users of GNU parallel know them, filled from one task's values
 *
 *   {}  {1} {-1}   the value; all of them, with blanks between, when there are several: the n-th, the n-th from behind
 *   {.}            without its extension        {/}   without its folder       {//}  its folder ("." for a bare name)
 *   {/.}           without folder and extension {1.} {1/} {1//} {1/.}          the same of the n-th
 *   {#}            the task's index + 1         {##}  how many tasks there are
 *   {index}        the task's index, from 0     {%}   the slot it runs in, from 1
 *   {NAME}         the value of that name, where values have names (a matrix); {NAME.} {NAME/} {NAME//} {NAME/.}
 * Anything else between braces, "{", "}" and "{a,b}" stay as they are. Pure; thread: any.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"

struct gr_expand_args {
	const struct gr_slice *values;              /* n_values, borrowed */
	const char *const *names;                   /* n_values names, or NULL when they have none */
	size_t n_values;
	uint64_t index, total;                      /* index from 0 */
	uint32_t slot;                              /* from 0 */
};

/**
 * gr_expand - append @word to @out with its places filled
 * @max: most bytes that @out may hold then
 * Return: places filled; GR_EINVAL for {N} beyond the values there are, GR_ELIMIT above @max. @out may have grown then.
 */
int gr_expand(const char *word, const struct gr_expand_args *a, size_t max, struct gr_buf *out, struct gr_err *err) GR_MUST_CHECK;

/**
 * gr_expand_find - the first place in @word at or behind @at
 * @n_values: {N} must be within it; SIZE_MAX: any. @names as above, n_names of them.
 * @n: its bytes, braces included
 * Return: the offset of its "{"; GR_ENOENT when there is none; GR_EINVAL with @err for {N} beyond the values.
 */
int64_t gr_expand_find(const char *word, size_t at, const char *const *names, size_t n_names, size_t n_values, size_t *n,
		       struct gr_err *err) GR_MUST_CHECK;
