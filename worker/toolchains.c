/*
 * toolchains.c - the compilers this worker offers
 *
 * "auto" looks through PATH for gcc, g++, cc, c++, clang, clang++ and their versioned and target-prefixed names. Names
 * that lead to the same program are probed once, toolchains with the same digest are kept once.
 */
#include "worker/worker.h"

#include <fnmatch.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/log.h"

static const char *const patterns[] = {
	"gcc", "g++", "cc", "c++", "clang", "clang++", "gcc-[0-9]*", "g++-[0-9]*", "clang-[0-9]*", "clang++-[0-9]*",
	"*-linux-*-gcc", "*-linux-*-g++", "*-linux-*-gcc-[0-9]*", "*-linux-*-g++-[0-9]*",
};

const struct gr_wtool *gr_tools_get(const struct gr_wtools *t, const struct gr_digest *d)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (gr_digest_eq(&t->list[i].tc->digest, d))
			return &t->list[i];
	return NULL;
}

static bool is_known(const struct gr_wtools *t, const char *driver)
{
	char real[4096];

	if (!realpath(driver, real))
		return true;
	for (uint32_t i = 0; i < t->n; i++)
		if (!strcmp(t->list[i].tc->real, real))
			return true;
	return false;
}

static void probe(struct gr_wtools *t, const char *driver, bool is_asked_for)
{
	struct gr_cc_toolchain *tc;
	struct gr_err err = { 0 };
	char hex[GR_DIGEST_HEX];
	struct gr_wtool *wt;

	if (t->n == GR_WORKER_MAX_TOOLCHAINS || (!is_asked_for && is_known(t, driver)))
		return;
	if (gr_cc_toolchain_probe(driver, &tc, &err) < 0) {
		if (is_asked_for)
			gr_warn("toolchain", "%s: %s", driver, err.text);
		return;
	}
	if (gr_tools_get(t, &tc->digest)) {
		gr_cc_toolchain_free(&tc);
		return;
	}
	wt = &t->list[t->n++];
	wt->tc = tc;
	wt->driver_dir = gr_xstrdup(driver);
	*strrchr(wt->driver_dir, '/') = 0;
	gr_digest_hex(&tc->digest, hex);
	gr_info("toolchain", "%s (%s) %.12s", tc->name, driver, hex);
}

static void probe_folder(struct gr_wtools *t, const char *dir)
{
	struct dirent **list;
	int n = dir[0] == '/' ? scandir(dir, &list, NULL, alphasort) : -1;

	for (size_t k = 0; k < GR_LEN(patterns); k++)
		for (int i = 0; i < n; i++) {
			char path[4400];

			if (fnmatch(patterns[k], list[i]->d_name, 0))
				continue;
			snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
			if (access(path, X_OK) == 0)
				probe(t, path, false);
		}
	for (int i = 0; i < n; i++)
		free(list[i]);
	if (n >= 0)
		free(list);
}

static void add_shown(struct gr_wtools *t, const struct gr_cc_show *sh, uint32_t *cap)
{
	const char *path = sh->path;

	if (sh->kind == GR_CC_SHOW_LINK) {
		char *p = gr_xalloc(strlen(sh->path) + 2);

		p[0] = '@';
		strcpy(p + 1, sh->path);
		t->owned = gr_xrealloc(t->owned, (t->n_owned + 1) * sizeof(*t->owned));
		t->owned[t->n_owned++] = p;
		path = p;
	}
	for (uint32_t i = 0; i < t->n_shown; i++)
		if (!strcmp(t->shown[i], path))
			return;
	GR_GROW(t->shown, *cap, t->n_shown + 1);
	t->shown[t->n_shown++] = path;
}

void gr_tools_find(struct gr_wtools *t, const char *spec)
{
	bool is_auto = !strcmp(spec, "auto");
	const char *path = getenv("PATH");
	char *list = gr_xstrdup(is_auto ? path && *path ? path : "/usr/local/bin:/usr/bin:/bin" : spec), *save, *word;
	uint32_t cap = 0;

	for (word = strtok_r(list, is_auto ? ":" : ",", &save); word; word = strtok_r(NULL, is_auto ? ":" : ",", &save)) {
		if (is_auto)
			probe_folder(t, word);
		else if (word[0] == '/')
			probe(t, word, true);
		else
			gr_warn("toolchain", "%s: wants an absolute path", word);
	}
	free(list);
	for (uint32_t i = 0; i < t->n; i++)
		for (uint32_t k = 0; k < t->list[i].tc->n_show; k++)
			add_shown(t, &t->list[i].tc->show[k], &cap);
	if (!t->n)
		gr_warn("toolchain", "no compiler found (--toolchains %s): nothing can be compiled here", spec);
}

bool gr_tools_are_current(const struct gr_wtools *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (!gr_cc_toolchain_is_current(t->list[i].tc))
			return false;
	return true;
}

void gr_tools_fini(struct gr_wtools *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		gr_cc_toolchain_free(&t->list[i].tc);
		free(t->list[i].driver_dir);
	}
	for (uint32_t i = 0; i < t->n_owned; i++)
		free(t->owned[i]);
	free(t->owned);
	free(t->shown);
	memset(t, 0, sizeof(*t));
}
