/**
 * closure - every file a compile may read: the transitive includes, blind to #if, resolved as gcc and clang do
 *
 * Per (file, search list) the resolved includes are remembered and good as long as names_gen and the file's version
 * stand; a unit's closure is then a walk over pointers. Computed includes are expanded with every definition the
 * closure's files have for the macros involved. What cannot be decided is said: LOCAL, or NEEDS_PREPROCESSOR.
 */
#pragma once
#include "lib/cc/args.h"
#include "lib/cc/files.h"
#include "lib/cc/toolchain.h"

enum gr_cc_closure_verdict {
	GR_CC_CLOSURE_OK = 1,
	GR_CC_CLOSURE_LOCAL,                  /* compile here; reason */
	GR_CC_CLOSURE_NEEDS_PREPROCESSOR,     /* run the compiler with -M and call again with `known` */
};

struct gr_cc_closure_in {
	const struct gr_cc_cmd *cmd;              /* verdict REMOTE */
	const char *cwd;                          /* absolute, as the client spells it */
	const struct gr_cc_search *search;        /* gr_cc_toolchain_search() for cmd */
	uint8_t tool;                             /* number given to gr_cc_files_mark_tool, 0 none */
	const char *const *known;                 /* paths a preprocessor found (gr_cc_depfile), or NULL */
	uint32_t n_known;
};

/* Zero it before the first use; the arrays are reused. Node lists hold each node once. */
struct gr_cc_closure {
	enum gr_cc_closure_verdict verdict;
	const char *reason;                       /* constant words; LOCAL and NEEDS_PREPROCESSOR */
	char detail[160];
	struct gr_cc_node *cwd, *source;          /* source: the regular file */
	struct gr_cc_node **files;                /* REG with a digest that is true now, toolchain's own left out; [0] source */
	uint32_t n_files, cap_files;
	struct gr_cc_node **links;                /* LINK */
	uint32_t n_links, cap_links;
	struct gr_cc_node **dirs;                 /* DIR that must exist: cwd, search dirs, output dirs, dirs of ".." */
	uint32_t n_dirs, cap_dirs;
	struct gr_cc_node **gone;                 /* ABSENT, looked for, and `was_shipped` */
	uint32_t n_gone, cap_gone;
	struct gr_cc_node **entries;              /* every entry visited (links not followed), toolchain's too: for keys */
	uint32_t n_entries, cap_entries;
	struct gr_cc_node **outdirs;              /* one for each of cmd->outputs: the folder it goes to */
	uint32_t n_outdirs, cap_outdirs;
	uint32_t flags;                           /* enum gr_cc_scan_flag, all files together */
	/* ---- private ---- */
	void *search;                             /* the interned search list */
	struct gr_cc_node **roots;                /* source, forced includes, computed includes */
	uint32_t n_roots, cap_roots;
	struct gr_cc_node **leaves;               /* read, but not for includes: .incbin, plugins */
	uint32_t n_leaves, cap_leaves;
};

struct gr_cc_closer;                              /* memory of resolutions, over one file table; freed before it */
struct gr_cc_closer *gr_cc_closer_new(struct gr_cc_files *files);
void gr_cc_closer_free(struct gr_cc_closer **c);
/**
 * gr_cc_closure_of - fill *out; gr_cc_files_drain() was called for this request
 * Blocks on reading files not seen before. Warm: ~50 us for 500 files.
 */
void gr_cc_closure_of(struct gr_cc_closer *c, const struct gr_cc_closure_in *in, struct gr_cc_closure *out);
void gr_cc_closure_fini(struct gr_cc_closure *out);

/**
 * gr_cc_closure_key2 - digest of what was really read and how its includes resolve now
 * @cl: just filled for this request (verdict OK)
 * @read, @n: entries (from `entries`, or gr_cc_files_entry() of depfile prerequisites), in a fixed order
 * Covers for each: path, content, and which file each of its include directives finds. The source's and the forced
 * includes' own lookups are covered too. Errors: GR_ENOENT when one is no longer a regular file: no hit is possible.
 */
int gr_cc_closure_key2(struct gr_cc_closer *c, const struct gr_cc_closure *cl, const struct gr_digest *key1,
		       struct gr_cc_node *const *read, uint32_t n, struct gr_digest *out) GR_MUST_CHECK;
