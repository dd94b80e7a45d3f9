/**
 * regex - POSIX extended expressions over bodies a server chose, at a cost that has a limit
 *
 * Syntax: that of regcomp's REG_EXTENDED over bytes ("." and "[^x]" match a newline, "^" and "$" are the body's ends), with
 * \w \W \s \S \d \D \b \B \< \> \n \r \t besides. Among matches the leftmost, of these the longest. The first group is told by
 * the first alternative that leads there, as in most libraries; POSIX would have the longest (they differ in (a|ab)(bc|c)).
 * Not there: back references, [.x.], [=x=].
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"

#define GR_REGEX_MAX_CHARS 1000u                /* of an expression */
#define GR_REGEX_MAX_INSTRS 2000u               /* of its program; a{100} has 100 */
#define GR_REGEX_MAX_REPEAT 1000u               /* in {m,n} */
#define GR_REGEX_MAX_DEPTH 50u                  /* groups in groups */
#define GR_REGEX_STEPS (1u << 19)               /* what one answer may cost: 3 ms, so that no send is late by it */

struct gr_regex;
/* Return: yours, to be freed with gr_regex_free; NULL: @why, static text, says what is wrong. */
struct gr_regex *gr_regex_new(const char *text, const char **why);
void gr_regex_free(struct gr_regex **re);

struct gr_regex_match { size_t from, to; };     /* bytes [from, to) */
/**
 * gr_regex_find - the leftmost longest match in @in
 * @m:     m[0] all of it, m[1] the first group; the same as m[0] when there is no group or it took no part
 * @steps: what is left to spend, in moves of one state; what was used is taken off
 * O(bytes times states) moves, O(states) memory, taken and given back. Any thread: a gr_regex does not change.
 * Return: 1 found, 0 not, GR_ELIMIT: @steps did not suffice (@m is untouched, @steps 0).
 */
int gr_regex_find(const struct gr_regex *re, struct gr_slice in, struct gr_regex_match m[2], uint64_t *steps);
