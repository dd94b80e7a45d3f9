/**
 * suggest - "did you mean": the name nearest to a mistyped word
 */
#pragma once
#include <stddef.h>
#include "lib/base/buf.h"

/**
 * gr_suggest - nearest of @names by edit distance (a swap of neighbours counts one), or by being its only prefix match, or, when nothing is
 *              near (more than a third of the letters wrong), the longest that it goes on from: "memory" from "mem", at least 3 letters
 * Return: one of @names, or NULL. O(n * len^2).
 */
const char *gr_suggest(const char *word, const char *const *names, size_t n);

/* Adds what a complaint about the unknown @word ends with: "; did you mean \"command\"?", or, when nothing is near, which there are
 * ("; there is a, b and c"), unless they are more than 8. */
void gr_suggest_add(const char *word, const char *const *names, size_t n, struct gr_buf *to);
