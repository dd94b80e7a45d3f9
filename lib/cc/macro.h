/**
 * macro - what a computed include may name, given every definition its macros may have (private to lib/cc)
 *
 * Blind to #if, a macro has a set of candidate definitions. Each evaluation fixes one candidate for every macro it
 * meets ("undefined" being one for macros without arguments) and expands as a preprocessor does; all combinations are
 * tried up to a bound. What does not become a header name is a combination that cannot be live.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"
#include "lib/base/map.h"

#define GR_CC_MACRO_MAX_COMBINATIONS 4096
#define GR_CC_MACRO_MAX_TOKENS 2048
#define GR_CC_MACRO_MAX_NAMES 64       /* different macros in one directive's expansion */

struct gr_cc__defs {
	struct gr_map by_name;         /* name -> struct gr_cc__cand * */
	void *mem;
	uint32_t n;
};
void gr_cc__defs_init(struct gr_cc__defs *d);
void gr_cc__defs_fini(struct gr_cc__defs *d);
/* @text: "NAME(ARGS) BODY" or "NAME BODY"; copied; a text already there is not added twice. False when malformed. */
bool gr_cc__defs_add(struct gr_cc__defs *d, const char *text);

/* Calls @word for each identifier in @text (not inside strings). */
void gr_cc__each_word(const char *text, void (*word)(void *ctx, const char *p, size_t n), void *ctx);

enum gr_cc__eval {
	GR_CC__EVAL_FOUND,         /* at least one combination named a header */
	GR_CC__EVAL_DEAD,          /* none did, and none could: a plain undefined macro */
	GR_CC__EVAL_UNKNOWN,       /* none did, for reasons that a real preprocessor may not share, or a bound was met */
};
/**
 * gr_cc__macro_eval - every header name @directive's tokens may become
 * @out: appended: for each name 'q' or '<', the name, NUL; each once
 */
enum gr_cc__eval gr_cc__macro_eval(const struct gr_cc__defs *d, const char *directive, struct gr_buf *out);
