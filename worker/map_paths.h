/**
 * map_paths - the landlock tier has no root of its own: the client's paths are put below the session's folder in the
 * command line, and taken out again of what the compiler writes
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/cc/args.h"

struct gr_mapped {
	char **argv, **env;              /* all owned */
	uint32_t n_argv, n_env;
	bool has_sysroot;
};

/**
 * gr_map_command - every absolute path in @argv and @env below @root; adds --sysroot and -ffile-prefix-map
 * Return: 0, or GR_EUNSUP with what cannot be mapped so that the bytes stay the same. *out is to be freed in any case.
 */
int gr_map_command(const char *root, enum gr_cc_family family, const char *const *argv, uint32_t n_argv,
		   const char *const *env, uint32_t n_env, struct gr_mapped *out, struct gr_err *err) GR_MUST_CHECK;
void gr_mapped_fini(struct gr_mapped *m);

/* Takes every "@root" out of @text (diagnostics). */
void gr_unmap_text(const char *root, struct gr_buf *text);
/* The same for a depfile, whose lines are broken at a width: they are broken anew as the compiler would have. */
void gr_unmap_depfile(const char *root, enum gr_cc_family family, struct gr_buf *text);
bool gr_mentions(const char *root, struct gr_slice bytes);
