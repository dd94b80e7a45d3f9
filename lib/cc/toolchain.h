/**
 * toolchain - a compiler on this machine: what it consists of, its digest, and where it looks for headers
 *
 * Two machines have the same toolchain when the digest is equal: driver, cc1, cc1plus, as (clang: the clang binary),
 * the shared libraries they load, and every file below the compiler's own include folder, each with its physical path
 * and bytes. Version texts are for people only. Probing runs the compiler a few times and blocks for ~50-300 ms.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/err.h"
#include "lib/base/sha256.h"
#include "lib/cc/args.h"

/* What a sandbox must show for the compiler to run; physical paths, LINKs for the ways that lead there. Parents first. */
enum gr_cc_show_kind { GR_CC_SHOW_FILE, GR_CC_SHOW_DIR, GR_CC_SHOW_LINK };
struct gr_cc_show {
	enum gr_cc_show_kind kind;
	bool is_optional;                /* message catalogues, locales: shown when there */
	char *path, *target;             /* target: of a LINK */
};

/* The compiler's own search list for one language and set of flags, as `-E -v` prints it. */
struct gr_cc_search {
	char **dirs;                     /* existing and absent ones (absent ones behind `n_dirs`) are in order */
	uint32_t n_dirs;
	char **absent;                   /* "ignoring nonexistent directory": may appear later */
	uint32_t n_absent;
};

struct gr_cc_toolchain {
	enum gr_cc_family family;
	char *driver, *real;             /* as probed (absolute); its realpath */
	char *name;                      /* "gcc 12.2.0" */
	char *version, *target;          /* "12.2.0", "x86_64-linux-gnu" */
	struct gr_digest digest;
	char **own_dirs;                 /* the include folder(s) the digest covers: physical, absolute; files there are not shipped */
	uint32_t n_own_dirs;
	struct gr_cc_show *show;
	uint32_t n_show;
	void *priv;
};

/**
 * gr_cc_toolchain_probe
 * @driver: absolute path of gcc, g++, cc, clang, x86_64-linux-gnu-gcc-12 ...
 * Errors: GR_ENOENT; GR_EUNSUP when it is neither gcc nor clang; GR_EIO.
 */
int gr_cc_toolchain_probe(const char *driver, struct gr_cc_toolchain **out, struct gr_err *err) GR_MUST_CHECK;
void gr_cc_toolchain_free(struct gr_cc_toolchain **t);
/* False when a file of the digest changed since the probe (size, mtime, inode): probe again. ~1 us a file, ~20 files. */
bool gr_cc_toolchain_is_current(const struct gr_cc_toolchain *t);
/* The search list for @cmd; runs the compiler the first time for a cmd->search_key and language. Borrowed from @t. */
int gr_cc_toolchain_search(struct gr_cc_toolchain *t, const struct gr_cc_cmd *cmd, const char *cwd,
			   const struct gr_cc_search **out, struct gr_err *err) GR_MUST_CHECK;
