/**
 * options - the table of compiler options (private to lib/cc)
 *
 * Each entry says how its argument is attached and what args.c does with it. A word belongs to the longest entry that
 * fits; a word without one is unknown.
 */
#pragma once

enum gr_cc__option_shape { OPT_EXACT, OPT_JOINED, OPT_SEPARATE, OPT_EITHER };   /* -x; -xARG; -x ARG; -xARG or -x ARG */

enum gr_cc__option_action {
	OPT_OK, OPT_LOCAL, OPT_DENY_FILE,
	OPT_DIR_QUOTE, OPT_DIR_BRACKET, OPT_DIR_SYSTEM, OPT_DIR_AFTER, OPT_SYSROOT,
	OPT_INCLUDE, OPT_IMACROS, OPT_DEFINE, OPT_UNDEF, OPT_OUTPUT, OPT_LANG, OPT_INPUT, OPT_PLUGIN, OPT_PREFIX_MAP, OPT_SKIP,
	OPT_DEP_MD, OPT_DEP_MMD, OPT_DEP_FILE, OPT_DEP_TARGET, OPT_TO_CPP, OPT_TO_AS,
	OPT_NO_STD, OPT_NO_STD_CXX, OPT_SEARCH, OPT_ARCH, OPT_SPLIT, OPT_NO_SPLIT, OPT_GCNO, OPT_SU, OPT_CI, OPT_DEBUG, OPT_NO_DEBUG,
	OPT_COLOR, OPT_COLOR_ON, OPT_COLOR_OFF,
};

struct gr_cc__option {
	const char *name;
	enum gr_cc__option_shape shape;
	enum gr_cc__option_action action;
	const char *why;        /* OPT_LOCAL, OPT_DENY_FILE: the reason */
};

#define GR_CC__PCH "precompiled header"

/* The longest entry that begins @word ("-...") and takes it in its shape; NULL when there is none. */
const struct gr_cc__option *gr_cc__option_find(const char *word);
