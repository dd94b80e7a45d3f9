/**
 * scan - the include directives of a source text, blind to #if
 *
 * Comments, line splices, strings, character literals and raw strings are understood; CRLF and "%:" too. Everything
 * found may be dead code: the result is a superset of what a compiler acts on. Memory: one block a file.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"

enum gr_cc_inc_kind {
	GR_CC_INC_INCLUDE, GR_CC_INC_NEXT, GR_CC_INC_IMPORT,
	GR_CC_INC_HAS, GR_CC_INC_HAS_NEXT,        /* __has_include(...), __has_include_next(...) */
	GR_CC_INC_ASM,                            /* .include: asm search */
	GR_CC_INC_INCBIN,                         /* .incbin */
};
enum gr_cc_inc_form { GR_CC_FORM_QUOTE, GR_CC_FORM_ANGLE, GR_CC_FORM_COMPUTED };
struct gr_cc_inc {
	uint8_t kind, form;
	uint32_t off, len;                        /* the name, or the tokens of a computed one, in `text` */
};
enum gr_cc_scan_flag {
	GR_CC_SCAN_DATE = 1, GR_CC_SCAN_TIME = 2, GR_CC_SCAN_TIMESTAMP = 4,
	GR_CC_SCAN_EMBED = 8, GR_CC_SCAN_PCH = 16,       /* #embed; #pragma GCC pch_preprocess, #pragma GCC dependency */
	GR_CC_SCAN_ASM_COMPUTED = 32,                    /* .incbin or .include whose name is no literal */
	GR_CC_SCAN_COMPUTED = 64,                        /* at least one computed include */
};
struct gr_cc_def {                                /* where a #define stands, for the macro evaluator */
	uint32_t hash;                            /* gr_cc_name_hash of the macro's name */
	uint32_t off;                             /* of the name in the source text */
};
struct gr_cc_scan {
	uint32_t flags, n_inc, n_def;
	const struct gr_cc_inc *inc;              /* in order, duplicates removed */
	const struct gr_cc_def *def;              /* in order */
	const char *text;                         /* names, NUL after each */
};
uint32_t gr_cc_name_hash(const char *name, size_t n);
/* @lang_asm: the text is assembly (.S): .incbin and .include stand outside strings. Never fails; *free() the result. */
struct gr_cc_scan *gr_cc_scan(const char *text, size_t n, bool lang_asm);
/**
 * gr_cc_scan_define - the definition at @off of the same text (gr_cc_def.off), comments and splices taken out
 * Appends "NAME(ARGS) BODY" or "NAME BODY" to @out.
 */
void gr_cc_scan_define(const char *text, size_t n, uint32_t off, struct gr_buf *out);
