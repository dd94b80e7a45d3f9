/**
 * closer - the closure's memory (private to lib/cc: closure.c, resolve.c, computed.c)
 */
#pragma once
#include "lib/cc/closure.h"
#include "lib/cc/macro.h"

/* An ordered search list, interned: two units with the same list share every resolution. */
struct gr_cc__set {
	uint32_t n_dirs, n_quote;              /* the first n_quote are searched for "..." only */
	uint32_t n_asm;                        /* folders of -I for the assembler, behind the n_dirs */
	uint32_t n_key;
	bool is_asm;                           /* the unit is assembly */
	struct gr_cc_node *cwd;
	struct gr_map found;                   /* form byte, name -> struct gr_cc__found */
	struct gr_cc_node **dirs;
	uint32_t *key;
};

/* What a name resolves to in a search list. */
struct gr_cc__found {
	uint64_t names_gen;
	bool is_volatile;
	struct gr_cc_node *entry;              /* NULL: nowhere */
	struct gr_cc_node **extra;             /* links gone through, directories of "..", absent ones that were shipped */
	uint32_t n_extra, cap_extra;
	uint32_t n_name;
	char name[];                           /* form byte, then the name */
};

struct gr_cc__site {                           /* a computed include */
	const char *text;                      /* in the content's scan */
	uint8_t kind;
};

/* What one entry includes, by one search list. */
struct gr_cc__memo {
	struct gr_cc__memo *next;              /* of the same entry, other lists */
	struct gr_cc__set *set;
	struct gr_cc_node *entry;
	uint64_t names_gen;
	struct gr_cc_node *content;            /* the file behind the entry; NULL when it is none */
	uint32_t version;                      /* of content */
	uint32_t flags;                        /* of its scan */
	bool is_volatile, is_root, has_key;
	const char *trouble;                   /* a reason for LOCAL, or NULL */
	struct gr_cc_node **edges;             /* entries included */
	uint32_t n_edges, cap_edges;
	struct gr_cc_node **leaves;            /* entries that are read but not for includes: .incbin */
	uint32_t n_leaves, cap_leaves;
	struct gr_cc_node **extra;
	uint32_t n_extra, cap_extra;
	struct gr_cc__site *sites;
	uint32_t n_sites, cap_sites;
	uint32_t wanted_gen;                   /* defs are complete for so many wanted names */
	char **defs;                           /* definitions of wanted macros in content */
	uint32_t n_defs, cap_defs;
	struct gr_digest key;
};

struct gr_cc_closer {
	struct gr_cc_files *files;
	struct gr_map sets;                    /* key -> struct gr_cc__set */
	size_t n_memos;
	uint32_t epoch;
	struct gr_cc_walk walk;                /* scratch */
	/* computed includes */
	struct gr_map wanted;                  /* name -> struct gr_cc__name: macros that computed includes may meet */
	uint32_t *wanted_hashes;               /* of the names, open addressing, 0 empty */
	uint32_t n_wanted, cap_hashes;
	struct gr_map evals;                   /* digest -> struct gr_cc__evaluated */
	/* one request */
	struct gr_cc__memo **visited;
	size_t n_visited, cap_visited;
	struct gr_cc_node **stack;
	size_t n_stack, cap_stack;
	struct gr_sha256 *sha;
	struct gr_buf text;
};

void gr_cc__add(struct gr_cc_node ***a, uint32_t *n, uint32_t *cap, struct gr_cc_node *node);

/* ---- resolve.c ---- */
struct gr_cc__set *gr_cc__set_get(struct gr_cc_closer *c, struct gr_cc_node **dirs, uint32_t n_quote, uint32_t n_dirs, uint32_t n_asm,
				  struct gr_cc_node *cwd, bool is_asm);
/* A name in the set's list; @is_quote: from its beginning. Never NULL. */
const struct gr_cc__found *gr_cc__set_find(struct gr_cc_closer *c, struct gr_cc__set *set, bool is_quote, const char *name, size_t n);
/* The memo of @entry, true now. @is_root: the unit's source. NULL never. */
struct gr_cc__memo *gr_cc__memo_get(struct gr_cc_closer *c, struct gr_cc_node *entry, struct gr_cc__set *set, bool is_root);
/* One name from includer directory @dir (NULL: none) in quote form or not, onto @m's lists. */
void gr_cc__resolve(struct gr_cc_closer *c, struct gr_cc__memo *m, struct gr_cc_node *dir, bool is_quote, const char *name, size_t n);
void gr_cc__forget_all(struct gr_cc_closer *c);

/* ---- computed.c ---- */
/* After the walk: what the visited memos' computed includes may name. Entries that were found are in *found (edges,
 * extra), as if it were a memo. Return: 0, or a verdict with *reason and *detail set. */
int gr_cc__computed(struct gr_cc_closer *c, const struct gr_cc_closure_in *in, struct gr_cc__memo *found, const char **reason,
		    const char **detail);
void gr_cc__computed_fini(struct gr_cc_closer *c);
