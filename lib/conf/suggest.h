/**
 * suggest - "did you mean": the name nearest to a mistyped word
 */
#pragma once
#include <stddef.h>

/**
 * gr_suggest - nearest of @names by edit distance (a swap of neighbours counts one), or by being its only prefix match, or, when nothing is
 *              near (more than a third of the letters wrong), the longest that it goes on from: "memory" from "mem", at least 3 letters
 * Return: one of @names, or NULL. O(n * len^2).
 */
const char *gr_suggest(const char *word, const char *const *names, size_t n);
