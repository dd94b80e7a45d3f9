/* make_args.c - see make_args.h. The compilers are set as make's command-line variables, because that is what reaches
 * every sub-make and beats an assignment in a Makefile; the environment would not. */
#include "client/cmd/make_args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/buf.h"

#define MAX_JOBS 65536

static size_t count(char *const *v)
{
	size_t n = 0;

	while (v[n])
		n++;
	return n;
}

static void append(char ***v, char *word)
{
	size_t n = count(*v);

	*v = gr_xrealloc(*v, (n + 2) * sizeof(**v));
	(*v)[n] = word;
	(*v)[n + 1] = NULL;
}

static const char *value_of(const char *word, const char *name)
{
	size_t n = strlen(name);

	if (strncmp(word, name, n))
		return NULL;
	if (word[n] == ':')   /* CC:=x */
		n++;
	return word[n] == '=' ? word + n + 1 : NULL;
}

static const char *find_env(char *const *env, const char *name)
{
	for (; *env; env++) {
		const char *v = value_of(*env, name);

		if (v && *v)
			return v;
	}
	return NULL;
}

static int parse_jobs(const char *text, int *out, struct gr_err *err)
{
	char *end;
	long n;

	if (!strcmp(text, "auto")) {
		*out = GR_MAKE_AUTO;
		return 0;
	}
	n = strtol(text, &end, 10);
	if (end == text || *end || n < 1 || n > MAX_JOBS)
		return gr_err_set(err, GR_EUSAGE, "-j %.40s: wants auto or a number", text);
	*out = (int)n;
	return 0;
}

/* Is words[i] a -j? Return: how many words it takes, 0 for none. */
static int take_jobs(struct gr_make_args *m, int n_words, char *const *words, int i, struct gr_err *err)
{
	const char *w = words[i], *value = NULL;
	int rc, n = 1;

	if (!strncmp(w, "--jobs", 6) && (!w[6] || w[6] == '='))
		value = w[6] ? w + 7 : "auto";
	else if (!strncmp(w, "-j", 2) && w[2])
		value = w + 2;
	else if (!strcmp(w, "-j")) {
		const char *next = i + 1 < n_words ? words[i + 1] : "";

		value = "auto";
		if (!strcmp(next, "auto") || (*next >= '0' && *next <= '9')) {
			value = next;
			n = 2;
		}
	}
	if (!value)
		return 0;
	rc = parse_jobs(value, &m->n_job, err);
	return rc < 0 ? rc : n;
}

static char *wrapped(const char *name, const char *wrapper, const char *compiler)
{
	struct gr_buf b = { 0 };

	if (strstr(compiler, "griddle-cc"))
		gr_buf_printf(&b, "%s=%s", name, compiler);
	else
		gr_buf_printf(&b, "%s=%s %s", name, wrapper, compiler);
	return gr_buf_take(&b, NULL);
}

/* What plain make would call: LLVM=1, LLVM=-15 and LLVM=/bin/ are Kbuild's three forms. */
static char *default_compiler(const char *llvm, const char *cross, bool is_cxx)
{
	struct gr_buf b = { 0 };

	if (llvm && *llvm == '-')
		gr_buf_printf(&b, "clang%s%s", is_cxx ? "++" : "", llvm);
	else if (llvm && strchr(llvm, '/'))
		gr_buf_printf(&b, "%sclang%s", llvm, is_cxx ? "++" : "");
	else if (llvm && *llvm && strcmp(llvm, "0"))
		gr_buf_printf(&b, "clang%s", is_cxx ? "++" : "");
	else
		gr_buf_printf(&b, "%s%s", cross ? cross : "", is_cxx ? "g++" : "gcc");
	return gr_buf_take(&b, NULL);
}

/* Without -jN and the job server of a make above us: its descriptors are not ours. */
static char *strip_makeflags(const char *flags)
{
	struct gr_buf b = { 0 };

	gr_buf_add_str(&b, "MAKEFLAGS=");
	while (*flags) {
		size_t n = strcspn(flags, " ");

		if (n && strncmp(flags, "-j", 2) && strncmp(flags, "--jobserver", 11) && strncmp(flags, "--sync-mutex", 12)) {
			gr_buf_add(&b, flags, n);
			gr_buf_add_byte(&b, ' ');
		}
		flags += n + (flags[n] == ' ');
	}
	return gr_buf_take(&b, NULL);
}

static void copy_env(struct gr_make_args *m, char *const *env)
{
	for (; *env; env++) {
		const char *flags = value_of(*env, "MAKEFLAGS");

		if (value_of(*env, "MAKELEVEL") || value_of(*env, "MFLAGS"))
			continue;
		append(&m->envp, flags ? strip_makeflags(flags) : gr_xstrdup(*env));
	}
}

int gr_make_args_init(struct gr_make_args *m, const char *wrapper, const char *jobs, int n_words, char *const *words,
		      char *const *env, struct gr_err *err)
{
	const char *llvm = find_env(env, "LLVM"), *cross = find_env(env, "CROSS_COMPILE");
	static const char *const names[] = { "CC", "CXX" };
	bool is_given[2] = { false, false };
	int rc;

	*m = (struct gr_make_args){ .argv = gr_xalloc(sizeof(char *)), .envp = gr_xalloc(sizeof(char *)) };
	append(&m->argv, gr_xstrdup("make"));
	rc = parse_jobs(jobs, &m->n_job, err);
	for (int i = 0; i < n_words && rc >= 0; i += rc) {
		const char *w = words[i], *cc = value_of(w, "CC"), *cxx = value_of(w, "CXX");

		rc = take_jobs(m, n_words, words, i, err);
		if (rc)
			continue;
		rc = 1;
		if (cc || cxx) {
			append(&m->argv, wrapped(names[!cc], wrapper, cc ? cc : cxx));
			is_given[!cc] = true;
			continue;
		}
		llvm = value_of(w, "LLVM") ? value_of(w, "LLVM") : llvm;
		cross = value_of(w, "CROSS_COMPILE") ? value_of(w, "CROSS_COMPILE") : cross;
		append(&m->argv, gr_xstrdup(w));
		if (w[0] == '-' && strchr("CfIoW", w[1]) && w[1] && !w[2] && i + 1 < n_words) {
			append(&m->argv, gr_xstrdup(words[i + 1]));
			rc = 2;
		}
	}
	if (rc < 0) {
		gr_make_args_fini(m);
		return rc;
	}
	for (int i = 0; i < 2; i++) {
		char *fallback = default_compiler(llvm, cross, i);

		if (!is_given[i])
			append(&m->argv, wrapped(names[i], wrapper, find_env(env, names[i]) ? find_env(env, names[i]) : fallback));
		free(fallback);
	}
	copy_env(m, env);
	return 0;
}

void gr_make_args_setenv(struct gr_make_args *m, const char *name, const char *value)
{
	struct gr_buf b = { 0 };

	gr_buf_printf(&b, "%s=%s", name, value);
	for (char **e = m->envp; *e; e++)
		if (value_of(*e, name)) {
			free(*e);
			*e = gr_buf_take(&b, NULL);
			return;
		}
	append(&m->envp, gr_buf_take(&b, NULL));
}

void gr_make_args_set_jobs(struct gr_make_args *m, int rfd, int wfd)
{
	const char *old = find_env(m->envp, "MAKEFLAGS") ? find_env(m->envp, "MAKEFLAGS") : "", *vars = strstr(old, "-- ");
	size_t n_flags = vars ? (size_t)(vars - old) : strlen(old);
	struct gr_buf b = { 0 };

	if (rfd < 0) {
		gr_buf_printf(&b, "-j%d", m->n_job);
		append(&m->argv, gr_buf_take(&b, NULL));
		return;
	}
	/* "kw -j ... -- X=1": make takes a first word without '-' as its one-letter flags, and what follows -- as variables */
	gr_buf_printf(&b, "%.*s -j --jobserver-auth=%d,%d %s", (int)n_flags, old, rfd, wfd, vars ? vars : "");
	gr_make_args_setenv(m, "MAKEFLAGS", gr_buf_str(&b));
	gr_buf_fini(&b);
}

void gr_make_args_fini(struct gr_make_args *m)
{
	for (char **v = m->argv; v && *v; v++)
		free(*v);
	for (char **v = m->envp; v && *v; v++)
		free(*v);
	free(m->argv);
	free(m->envp);
	*m = (struct gr_make_args){ 0 };
}
