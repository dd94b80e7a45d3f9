/**
 * key - the action cache's two keys, pure functions of digests and words
 *
 * Key 1 says which compile it is: toolchain, words, folder, environment, source. It leads to the list of files such a
 * compile read last time. Key 2 (gr_cc_closure_key2) says what is in those files now and how includes resolve.
 */
#pragma once
#include "lib/base/sha256.h"
#include "lib/cc/args.h"

/**
 * gr_cc_key1
 * @envp: the client's environment; only what changes the compiler's output goes in (LANG, LC_*, SOURCE_DATE_EPOCH,
 *	CPATH and kin, GCC_COLORS, COLUMNS and TERM when @is_tty). NULL: none
 */
void gr_cc_key1(const struct gr_digest *toolchain, const struct gr_cc_cmd *cmd, const char *cwd, char *const *envp, bool is_tty,
		const struct gr_digest *source, struct gr_digest *out);
/* True for an environment entry "K=V" that changes what a compiler writes; what a task should carry. */
bool gr_cc_env_matters(const char *entry);
