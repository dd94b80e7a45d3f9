/* key.c - see key.h. Every part is hashed with its length or a NUL behind it, so that parts cannot run into each other,
 * and under a version word, so that a change of this file's meaning makes old caches miss instead of lie. */
#include "lib/cc/key.h"

#include <string.h>

#include "lib/base/alloc.h"

#define KEY_VERSION "griddle compile key 1"

/* A trailing '*' is a prefix. */
static const char *const always[] = {
	"LANG=", "LANGUAGE=", "LC_*", "SOURCE_DATE_EPOCH=", "CPATH=", "C_INCLUDE_PATH=", "CPLUS_INCLUDE_PATH=", "OBJC_INCLUDE_PATH=",
	"GCC_COLORS=", "GCC_URLS=", "GCC_EXTRA_DIAGNOSTIC_OUTPUT=", "NO_COLOR=", "PWD=",
};
static const char *const on_tty[] = { "TERM=", "COLUMNS=", "TERM_URLS=" };

static bool is_one_of(const char *entry, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(list[i]);

		if (list[i][len - 1] == '*' ? !strncmp(entry, list[i], len - 1) : !strncmp(entry, list[i], len))
			return true;
	}
	return false;
}

bool gr_cc_env_matters(const char *entry)
{
	return is_one_of(entry, always, GR_LEN(always)) || is_one_of(entry, on_tty, GR_LEN(on_tty));
}

/* An exclusive or of the entries' digests would forget their number; a sum in any order is not needed either: the
 * order of an environment may differ between two makes, so entries go in by the order of the tables above. */
static void add_env(struct gr_sha256 *h, char *const *envp, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(list[i]);
		bool is_prefix = list[i][len - 1] == '*';
		const char *last = NULL;

		/* a prefix has several entries: smallest first */
		for (;;) {
			const char *best = NULL;

			for (char *const *e = envp; *e; e++)
				if (!strncmp(*e, list[i], is_prefix ? len - 1 : len) && (!last || strcmp(*e, last) > 0) &&
				    (!best || strcmp(*e, best) < 0))
					best = *e;
			if (!best)
				break;
			gr_sha256_add_str(h, best);
			last = best;
			if (!is_prefix)
				break;
		}
	}
}

void gr_cc_key1(const struct gr_digest *toolchain, const struct gr_cc_cmd *cmd, const char *cwd, char *const *envp, bool is_tty,
		const struct gr_digest *source, struct gr_digest *out)
{
	struct gr_sha256 *h = gr_sha256_new();
	struct gr_buf words = { 0 };
	const char *base = strrchr(cmd->argv[0], '/');
	uint64_t n;

	gr_sha256_add_str(h, KEY_VERSION);
	gr_sha256_add(h, toolchain->b, GR_DIGEST_BYTES);
	/* the driver's name is in its messages, and tells gcc from g++ */
	gr_sha256_add_str(h, base ? base + 1 : cmd->argv[0]);
	gr_cc_cmd_normal(cmd, &words);
	n = words.n;
	gr_sha256_add(h, &n, sizeof(n));
	gr_sha256_add(h, words.p, words.n);
	gr_buf_fini(&words);
	gr_sha256_add_str(h, cwd);
	if (envp) {
		add_env(h, envp, always, GR_LEN(always));
		if (is_tty)
			add_env(h, envp, on_tty, GR_LEN(on_tty));
	}
	gr_sha256_add_str(h, is_tty ? "tty" : "");
	gr_sha256_add(h, source->b, GR_DIGEST_BYTES);
	gr_sha256_end(h, out);
	gr_sha256_free(&h);
}
