/*
 * map_paths.c - see map_paths.h
 *
 * Words are mapped by form: an absolute path as a word of its own, behind an option that takes one joined, or as a part
 * of -Wp, and -Wa,. What is not a path for the compiler (-MT, -D) stays. A command with prefix maps of its own, or with
 * options whose files we do not know, is declined: the client does it.
 *
 * Depfiles: gcc breaks a line before a word that, without the blank, would pass column 72; clang before one that with
 * blank and " \\" would pass 75, counting names before they are escaped. The words are taken apart, freed of the root and
 * put together again by these rules.
 */
#include "worker/map_paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"

#define GCC_COLUMNS 72
#define CLANG_COLUMNS 75

static const char *const joined[] = {
	"-I", "-L", "-isystem", "-iquote", "-idirafter", "-include", "-imacros", "-isysroot", "--sysroot=", "-o", "-MF",
	"--include=", "--imacros=", "-iwithprefix", "-iprefix", "-imultilib",
};
static const char *const declined[] = {
	"-ffile-prefix-map", "-fdebug-prefix-map", "-fprofile", "-fplugin", "-specs", "--specs", "-B",
	"-wrapper", "-fdump", "-save-temps", "-dumpdir", "-dumpbase", "-fdebug-compilation-dir", "-ivfsoverlay", "-working-directory",
	"-flto", "-fauxbase", "-gsplit-dwarf", "--coverage", "-coverage", "-ftest-coverage", "-fcoverage", "-ftime-trace", "-fmodule",
};

static void add(char ***list, uint32_t *n, char *word)
{
	*list = gr_xrealloc(*list, (*n + 2) * sizeof(**list));
	(*list)[(*n)++] = word;
	(*list)[*n] = NULL;
}

static char *join2(const char *a, size_t n_a, const char *root, const char *b)
{
	struct gr_buf s = { 0 };

	gr_buf_add(&s, a, n_a);
	gr_buf_add_str(&s, root);
	gr_buf_add_str(&s, b);
	return gr_buf_take(&s, NULL);
}

/* One part of a word: a path, or an option with a path joined to it; else as it is. */
static char *map_part(const char *root, const char *w)
{
	if (w[0] == '/')
		return join2("", 0, root, w);
	for (size_t i = 0; i < GR_LEN(joined); i++) {
		size_t n = strlen(joined[i]);

		if (!strncmp(w, joined[i], n) && w[n] == '/')
			return join2(w, n, root, w + n);
	}
	return gr_xstrdup(w);
}

/* "-Wp,-MMD,/x/y.d": each part between commas, but not what follows -MT and -MQ. */
static char *map_commas(const char *root, const char *w)
{
	char *copy = gr_xstrdup(w), *p = copy;
	struct gr_buf s = { 0 };
	bool is_target = false;

	for (;;) {
		char *comma = strchr(p, ','), *part;

		if (comma)
			*comma = 0;
		part = is_target ? gr_xstrdup(p) : map_part(root, p);
		is_target = !strcmp(p, "-MT") || !strcmp(p, "-MQ");
		gr_buf_add_str(&s, part);
		free(part);
		if (!comma)
			break;
		gr_buf_add_byte(&s, ',');
		p = comma + 1;
	}
	free(copy);
	return gr_buf_take(&s, NULL);
}

static char *map_list(const char *root, const char *name, const char *value)
{
	struct gr_buf s = { 0 };

	gr_buf_add_str(&s, name);
	for (const char *p = value; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
		if (p != value)
			gr_buf_add_byte(&s, ':');
		if (*p == '/')
			gr_buf_add_str(&s, root);
		gr_buf_add(&s, p, strcspn(p, ":"));
	}
	return gr_buf_take(&s, NULL);
}

static void map_env(const char *root, const char *kv, struct gr_mapped *out)
{
	static const char *const lists[] = { "CPATH=", "C_INCLUDE_PATH=", "CPLUS_INCLUDE_PATH=", "OBJC_INCLUDE_PATH=", "PWD=" };

	for (size_t i = 0; i < GR_LEN(lists); i++)
		if (!strncmp(kv, lists[i], strlen(lists[i]))) {
			add(&out->env, &out->n_env, map_list(root, lists[i], kv + strlen(lists[i])));
			return;
		}
	add(&out->env, &out->n_env, gr_xstrdup(kv));
}

/* The C++ library's headers are found from the compiler's own place, not from a sysroot. */
static bool is_cxx(const char *const *argv, uint32_t n_argv)
{
	static const char *const ends[] = { ".cc", ".cpp", ".cxx", ".c++", ".C", ".cp", ".CPP" };

	for (uint32_t i = 0; i < n_argv; i++) {
		const char *w = argv[i];
		size_t n = strlen(w);

		if ((i == 0 && strstr(w, "++")) || !strncmp(w, "-xc++", 5) || (i && !strcmp(argv[i - 1], "-x") && !strncmp(w, "c++", 3)))
			return true;
		for (size_t k = 0; k < GR_LEN(ends) && w[0] != '-'; k++)
			if (n > strlen(ends[k]) && !strcmp(w + n - strlen(ends[k]), ends[k]))
				return true;
	}
	return false;
}

/* gcc applies the last map given that fits, and one alone: a map of the command's behind ours, its path below the root, sees
 * the name it means. Every kernel compile has one. The debug information does not tell of them. */
#define MACRO_MAP "-fmacro-prefix-map="

int gr_map_command(const char *root, enum gr_cc_family family, const char *const *argv, uint32_t n_argv,
		   const char *const *env, uint32_t n_env, struct gr_mapped *out, struct gr_err *err)
{
	bool is_plain = false;

	memset(out, 0, sizeof(*out));
	if (is_cxx(argv, n_argv))
		return gr_err_set(err, GR_EUNSUP, "the landlock tier cannot map C++'s own headers");
	add(&out->argv, &out->n_argv, gr_xstrdup(argv[0]));
	add(&out->argv, &out->n_argv, join2("-ffile-prefix-map=", 18, root, "="));
	for (uint32_t i = 1; i < n_argv; i++) {
		const char *w = argv[i];

		if (is_plain) {
			add(&out->argv, &out->n_argv, gr_xstrdup(w));
			is_plain = false;
			continue;
		}
		for (size_t k = 0; k < GR_LEN(declined); k++)
			if (!strncmp(w, declined[k], strlen(declined[k])))
				return gr_err_set(err, GR_EUNSUP, "the landlock tier cannot map %.64s", w);
		if (w[0] == '@')
			return gr_err_set(err, GR_EUNSUP, "the landlock tier cannot map %.64s", w);
		if (!strncmp(w, MACRO_MAP, strlen(MACRO_MAP))) {
			if (family != GR_CC_GCC)
				return gr_err_set(err, GR_EUNSUP, "the landlock tier cannot map %.64s", w);
			add(&out->argv, &out->n_argv, w[strlen(MACRO_MAP)] == '/' ? join2(MACRO_MAP, strlen(MACRO_MAP), root, w + strlen(MACRO_MAP)) : gr_xstrdup(w));
			continue;
		}
		if (!strncmp(w, "--sysroot", 9) || !strncmp(w, "-isysroot", 9))
			out->has_sysroot = true;
		is_plain = !strcmp(w, "-MT") || !strcmp(w, "-MQ") || !strcmp(w, "-D") || !strcmp(w, "-U");
		add(&out->argv, &out->n_argv, !strncmp(w, "-Wp,", 4) || !strncmp(w, "-Wa,", 4) ? map_commas(root, w) : map_part(root, w));
	}
	if (!out->has_sysroot)
		add(&out->argv, &out->n_argv, join2("--sysroot=", 10, root, ""));
	for (uint32_t i = 0; i < n_env; i++) {
		if (!strncmp(env[i], "DEPENDENCIES_OUTPUT=", 20) || !strncmp(env[i], "SUNPRO_DEPENDENCIES=", 20))
			return gr_err_set(err, GR_EUNSUP, "the landlock tier cannot map %.32s", env[i]);
		map_env(root, env[i], out);
	}
	return 0;
}

void gr_mapped_fini(struct gr_mapped *m)
{
	for (uint32_t i = 0; i < m->n_argv; i++)
		free(m->argv[i]);
	for (uint32_t i = 0; i < m->n_env; i++)
		free(m->env[i]);
	free(m->argv);
	free(m->env);
	memset(m, 0, sizeof(*m));
}

bool gr_mentions(const char *root, struct gr_slice bytes)
{
	return bytes.n && memmem(bytes.p, bytes.n, root, strlen(root));
}

void gr_unmap_text(const char *root, struct gr_buf *text)
{
	size_t n_root = strlen(root), from = 0, to = 0;

	if (!gr_mentions(root, gr_buf_slice(text)))
		return;
	while (from < text->n) {
		const uint8_t *hit = memmem(text->p + from, text->n - from, root, n_root);
		size_t n = hit ? (size_t)(hit - text->p) - from : text->n - from;

		memmove(text->p + to, text->p + from, n);
		to += n;
		from += n + (hit ? n_root : 0);
	}
	text->n = to;
	text->p[to] = 0;
}

/* The next word of a rule: up to a blank that is not escaped. Steps over blanks and broken lines. */
static struct gr_slice next_word(const uint8_t *p, size_t n, size_t *i)
{
	size_t start;

	while (*i < n && (p[*i] == ' ' || p[*i] == '\t' || (p[*i] == '\\' && *i + 1 < n && p[*i + 1] == '\n')))
		*i += p[*i] == '\\' ? 2 : 1;
	start = *i;
	while (*i < n && p[*i] != ' ' && p[*i] != '\n' && !(p[*i] == '\\' && *i + 1 < n && p[*i + 1] == '\n'))
		*i += p[*i] == '\\' && *i + 1 < n ? 2 : 1;
	return gr_slice(p + start, *i - start);
}

/* What clang counts for a word: the name before it was escaped. */
static size_t length(struct gr_slice w)
{
	size_t n = 0;

	for (size_t i = 0; i < w.n; i++, n++)
		if (i + 1 < w.n && ((w.p[i] == '\\' && (w.p[i + 1] == ' ' || w.p[i + 1] == '#')) || (w.p[i] == '$' && w.p[i + 1] == '$')))
			i++;
	return n;
}

void gr_unmap_depfile(const char *root, enum gr_cc_family family, struct gr_buf *text)
{
	unsigned max = family == GR_CC_CLANG ? CLANG_COLUMNS : GCC_COLUMNS;
	struct gr_buf out = { 0 };
	size_t i = 0;

	gr_unmap_text(root, text);
	while (i < text->n) {
		size_t column = 0;
		bool is_first = true, is_target = true;

		for (;;) {
			struct gr_slice w = next_word(text->p, text->n, &i);

			if (!w.n)
				break;
			if (is_first) {
				gr_buf_add(&out, w.p, w.n);
				column = w.n;
			} else if (family == GR_CC_CLANG) {
				bool is_over = column + length(w) + (is_target ? 2 : 3) > max;

				if (is_over)
					gr_buf_add_str(&out, " \\\n ");
				if (is_over)
					column = is_target ? 1 : 2;
				gr_buf_add_byte(&out, ' ');
				gr_buf_add(&out, w.p, w.n);
				column += length(w) + 1;
			} else {
				bool is_over = column + w.n > max;

				gr_buf_add_str(&out, is_over ? " \\\n " : " ");
				gr_buf_add(&out, w.p, w.n);
				column = (is_over ? 0 : column) + 1 + w.n;
			}
			is_first = false;
			is_target = is_target && w.p[w.n - 1] != ':';
		}
		while (i < text->n && text->p[i] == '\n') {
			gr_buf_add_byte(&out, '\n');
			i++;
		}
	}
	gr_buf_fini(text);
	*text = out;
}
