/**
 * scan - the include directives of a source text, blind to #if
 *
 * Comments, line splices, strings, character literals, digit separators and raw strings are understood; CRLF, "%:" and
 * "??=" too. Everything found may be dead code: the result is a superset of what a compiler acts on. The same scan
 * serves C, C++ and assembly: what only assembly reads (.include outside a string) is of a kind of its own.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"

enum gr_cc_inc_kind {
	GR_CC_INC_INCLUDE, GR_CC_INC_NEXT, GR_CC_INC_IMPORT,
	GR_CC_INC_HAS, GR_CC_INC_HAS_NEXT,             /* __has_include(...), __has_include_next(...) */
	GR_CC_INC_STR_INCLUDE, GR_CC_INC_STR_INCBIN,   /* .include, .incbin inside a string: inline assembly of C */
	GR_CC_INC_ASM_INCLUDE, GR_CC_INC_ASM_INCBIN,   /* the same outside strings: assembly */
};
enum gr_cc_inc_form { GR_CC_FORM_QUOTE, GR_CC_FORM_ANGLE, GR_CC_FORM_COMPUTED };
struct gr_cc_inc {
	uint8_t kind, form;                       /* COMPUTED .incbin: the name is no literal; len 0 */
	uint32_t off, len;                        /* the name, or the tokens of a computed one, in `text` */
};
enum gr_cc_scan_flag {
	GR_CC_SCAN_DATE = 1, GR_CC_SCAN_TIME = 2, GR_CC_SCAN_TIMESTAMP = 4,
	GR_CC_SCAN_EMBED = 8,                     /* #embed, __has_embed */
	GR_CC_SCAN_PCH = 16,                      /* #pragma GCC pch_preprocess, #pragma GCC dependency */
	GR_CC_SCAN_COMPUTED = 32,                 /* at least one computed #include or __has_include */
};
struct gr_cc_def {                                /* where a #define stands, for the macro evaluator */
	uint32_t hash;                            /* gr_cc_name_hash of the macro's name */
	uint32_t off;                             /* of the name in the source text */
};
struct gr_cc_scan {                               /* one block of memory: free() it */
	uint32_t flags, n_inc, n_def;
	const struct gr_cc_inc *inc;              /* in order of first appearance, each once */
	const struct gr_cc_def *def;              /* in order */
	const char *text;                         /* the names, a NUL after each */
};
uint32_t gr_cc_name_hash(const char *name, size_t n);
/**
 * gr_cc_scan - scan @text
 * @n: below 4 GiB; text[n] must be NUL (as in a struct gr_buf)
 * Never fails. ~1 GB/s on plain text.
 */
struct gr_cc_scan *gr_cc_scan(const char *text, size_t n);
/* The definition at @off of the same text (gr_cc_def.off), comments and splices taken out: "NAME(ARGS) BODY" appended. */
void gr_cc_scan_define(const char *text, size_t n, uint32_t off, struct gr_buf *out);
