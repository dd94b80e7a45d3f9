/* argfile.c - @file words, as libiberty's expandargv reads them: white space separates, '...' and "..." quote, a
 * backslash takes the next character as it is, in quotes too. An @file that cannot be opened stays a word. Nested ones
 * are read; a file that reads itself ends at the depth limit. */
#include "lib/cc/args.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/path.h"

#define MAX_DEPTH 16

struct words {
	char **w;
	size_t n, cap;
	size_t bytes;
	const char *cwd;
	bool is_expanded;
};

static int expand_word(struct words *ws, const char *word, int depth, struct gr_err *err);

static int add(struct words *ws, const char *p, size_t n, struct gr_err *err)
{
	ws->bytes += n + 1;
	if (ws->n >= GR_CC_MAX_ARGS || ws->bytes > GR_CC_MAX_ARG_BYTES)
		return gr_err_set(err, GR_ELIMIT, "command line: too long");
	GR_GROW(ws->w, ws->cap, ws->n + 1);
	ws->w[ws->n++] = gr_xstrndup(p, n);
	return 0;
}

/* One word of @p[*i..n) into @out; false at the end of the text. */
static bool next_word(const char *p, size_t n, size_t *i, struct gr_buf *out)
{
	char quote = 0;

	gr_buf_clear(out);
	while (*i < n && isspace((unsigned char)p[*i]))
		(*i)++;
	if (*i >= n)
		return false;
	for (; *i < n; (*i)++) {
		char c = p[*i];

		if (c == '\\' && *i + 1 < n) {
			gr_buf_add_byte(out, (uint8_t)p[++*i]);
		} else if (quote) {
			if (c == quote)
				quote = 0;
			else
				gr_buf_add_byte(out, (uint8_t)c);
		} else if (c == '\'' || c == '"') {
			quote = c;
		} else if (isspace((unsigned char)c)) {
			break;
		} else if (c != '\\') {
			gr_buf_add_byte(out, (uint8_t)c);
		}
	}
	return true;
}

static int expand_text(struct words *ws, const char *p, size_t n, int depth, struct gr_err *err)
{
	struct gr_buf word = { 0 };
	size_t i = 0;
	int rc = 0;

	while (rc == 0 && next_word(p, n, &i, &word))
		rc = expand_word(ws, gr_buf_str(&word), depth, err);
	gr_buf_fini(&word);
	return rc;
}

static int expand_word(struct words *ws, const char *word, int depth, struct gr_err *err)
{
	struct gr_buf path = { 0 }, text = { 0 };
	int rc;

	if (word[0] != '@' || !word[1])
		return add(ws, word, strlen(word), err);
	if (depth >= MAX_DEPTH)
		return gr_err_set(err, GR_ELIMIT, "%s: @files nested too deep", word);
	/* Not cleaned: ".." behind a symlink is the kernel's to resolve. */
	if (word[1] != '/')
		gr_buf_printf(&path, "%s/", ws->cwd);
	gr_buf_add_str(&path, word + 1);
	rc = gr_file_read(gr_buf_str(&path), GR_CC_MAX_ARG_BYTES, &text, NULL);
	gr_buf_fini(&path);
	if (rc < 0) {
		gr_buf_fini(&text);
		return add(ws, word, strlen(word), err);
	}
	ws->is_expanded = true;
	rc = expand_text(ws, gr_buf_str(&text), strlen(gr_buf_str(&text)), depth + 1, err);
	gr_buf_fini(&text);
	return rc;
}

int gr_cc_args_expand(int argc, char *const *argv, const char *cwd, struct gr_cc_argv *out, struct gr_err *err)
{
	struct words ws = { .cwd = cwd };
	int rc = 0;

	for (int i = 0; i < argc && rc == 0; i++)
		rc = i == 0 ? add(&ws, argv[0], strlen(argv[0]), err) : expand_word(&ws, argv[i], 0, err);
	GR_GROW(ws.w, ws.cap, ws.n + 1);
	ws.w[ws.n] = NULL;
	*out = (struct gr_cc_argv){ .argc = (int)ws.n, .argv = ws.w, .is_expanded = ws.is_expanded };
	if (rc < 0)
		gr_cc_argv_fini(out);
	return rc;
}

void gr_cc_argv_fini(struct gr_cc_argv *a)
{
	for (int i = 0; i < a->argc; i++)
		free(a->argv[i]);
	free(a->argv);
	*a = (struct gr_cc_argv){ 0 };
}
