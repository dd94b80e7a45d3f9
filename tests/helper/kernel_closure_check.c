/**
 * kernel_closure_check TREE [TIMES] - does the include closure hold every file that gcc really read?
 *
 * For each .NAME.cmd that a kernel build left in TREE (built there, or O=): the compile command in it is parsed, its
 * closure taken, and every file of its dependency list looked for in the closure. Prints units, files really read,
 * files of the closures, their ratio, and the CPU time of a closure when all is warm. Exit 0: none missing.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/cc/closure.h"

struct unit {
	char **argv;
	int argc;
	char **deps;
	uint32_t n_deps, cap_deps;
	char *name;
};

static struct unit *units;
static size_t n_units, cap_units;

static double cpu_now(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) + (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

/* The words of the first command on a .cmd line, as sh and make's $$ and \# make them. */
static void split(struct unit *u, const char *p, const char *end)
{
	struct gr_buf w = { 0 };
	size_t cap = 0;
	char quote = 0;
	bool has_word = false;

	for (; p <= end; p++) {
		char c = p < end ? *p : ' ';

		if (!quote && (c == ' ' || c == ';' || c == '\t')) {
			if (has_word) {
				GR_GROW(u->argv, cap, (size_t)u->argc + 2);
				u->argv[u->argc++] = gr_buf_take(&w, NULL);
				u->argv[u->argc] = NULL;
			}
			has_word = false;
			if (c == ';')
				break;
			continue;
		}
		has_word = true;
		if (c == quote) {
			quote = 0;
		} else if (!quote && (c == '\'' || c == '"')) {
			quote = c;
		} else if (c == '$' && p + 1 < end && p[1] == '$') {
			gr_buf_add_byte(&w, '$');
			p++;
		} else if (c == '\\' && p + 1 < end && (quote != '\'' || p[1] == '#')) {
			gr_buf_add_byte(&w, (uint8_t)*++p);
		} else {
			gr_buf_add_byte(&w, (uint8_t)c);
		}
	}
	gr_buf_fini(&w);
}

static void add_dep(struct unit *u, const char *p, size_t n)
{
	if (!n || p[0] == '\\' || p[0] == '$')
		return;
	GR_GROW(u->deps, u->cap_deps, u->n_deps + 1);
	u->deps[u->n_deps++] = gr_xstrndup(p, n);
}

static int take_cmd(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	const char *base = path + ftw->base, *p, *eol, *eq;
	struct gr_buf text = { 0 };
	struct unit u = { 0 };
	size_t n = strlen(base);

	(void)st;
	if (flag != FTW_F || base[0] != '.' || n < 7 || strcmp(base + n - 6, ".o.cmd"))
		return 0;
	if (gr_file_read(path, 64u << 20, &text, NULL) < 0)
		return 0;
	p = gr_buf_str(&text);
	eq = strstr(p, " := ");
	eol = strchrnul(p, '\n');
	if (eq && eq < eol)
		split(&u, eq + 4, eol);
	if (u.argc < 3 || (p = strstr(gr_buf_str(&text), "\nsource_")) == NULL)
		goto out;
	p = strstr(p, " := ");
	if (!p)
		goto out;
	p += 4;
	eol = strchrnul(p, '\n');
	add_dep(&u, p, (size_t)(eol - p));
	p = strstr(eol, "\ndeps_");
	p = p ? strchr(p + 1, '\n') : NULL;
	while (p && *p == '\n' && p[1] == ' ') {
		for (p++; *p == ' '; p++)
			;
		eol = p + strcspn(p, " \n");
		if (strncmp(p, "$(", 2))
			add_dep(&u, p, (size_t)(eol - p));
		p = strchrnul(eol, '\n');
	}
	u.name = gr_xstrdup(path);
	GR_GROW(units, cap_units, n_units + 1);
	units[n_units++] = u;
out:
	gr_buf_fini(&text);
	return 0;
}

int main(int argc, char **argv)
{
	size_t n_missing = 0, n_remote = 0, n_local = 0, n_real = 0, n_closure = 0, n_asm = 0, n_bytes = 0;
	struct gr_cc_search search = { 0 };
	struct gr_cc_closure cl = { 0 };
	struct gr_cc_files *files;
	struct gr_cc_closer *closer;
	struct gr_cc_files_stats st;
	struct gr_cc_fs fs;
	int times = argc > 2 ? atoi(argv[2]) : 3;
	char cwd[4096];

	if (argc < 2 || chdir(argv[1]) < 0 || !getcwd(cwd, sizeof(cwd))) {
		fprintf(stderr, "usage: kernel_closure_check TREE [TIMES]\n");
		return 2;
	}
	nftw(".", take_cmd, 32, FTW_PHYS);
	if (gr_cc_fs_real(&fs, NULL) < 0)
		return 2;
	files = gr_cc_files_new(&fs);
	closer = gr_cc_closer_new(files);
	for (int round = 0; round < times; round++) {
		double t0 = cpu_now(), in_parse = 0;
		size_t n_entries = 0;

		n_remote = n_local = n_real = n_closure = n_missing = n_asm = n_bytes = 0;
		for (size_t i = 0; i < n_units; i++) {
			struct unit *u = &units[i];
			struct gr_cc_closure_in in = { 0 };
			struct timespec now;
			struct gr_cc_cmd cmd;
			double t1 = cpu_now();

			clock_gettime(CLOCK_REALTIME, &now);
			gr_cc_args_parse(&cmd, GR_CC_GCC, u->argc, u->argv, NULL);
			in_parse += cpu_now() - t1;
			if (cmd.verdict != GR_CC_REMOTE) {
				if (round == 0)
					printf("# local: %s: %s %s\n", u->name, cmd.reason, cmd.detail);
				n_local++;
				gr_cc_cmd_fini(&cmd);
				continue;
			}
			gr_cc_files_drain(files, now.tv_sec * 1000000000ll + now.tv_nsec);
			in.cmd = &cmd;
			in.cwd = cwd;
			in.search = &search;
			gr_cc_closure_of(closer, &in, &cl);
			n_entries += cl.n_entries;
			n_asm += cmd.lang == GR_CC_LANG_ASM;
			if (cl.verdict != GR_CC_CLOSURE_OK) {
				if (round == 0)
					printf("# %s: %s: %s (%s)\n", cl.verdict == GR_CC_CLOSURE_LOCAL ? "local" : "preprocessor", u->name,
					       cl.reason, cl.detail);
				n_local++;
				gr_cc_cmd_fini(&cmd);
				continue;
			}
			n_remote++;
			if (round == 0) {
				n_real += u->n_deps;
				n_closure += cl.n_files;
				for (uint32_t k = 0; k < u->n_deps; k++) {
					struct gr_cc_node *e = gr_cc_files_entry(files, cl.cwd, u->deps[k]);
					bool is_there = false;

					for (uint32_t j = 0; j < cl.n_entries && !is_there; j++)
						is_there = cl.entries[j] == e;
					if (!is_there) {
						printf("missing: %s: %s\n", u->name, u->deps[k]);
						n_missing++;
					}
				}
			}
			gr_cc_cmd_fini(&cmd);
		}
		if (round == 0)
			printf("units %zu (assembly %zu), local %zu, really read %zu, closure %zu, ratio %.3f, missing %zu\n", n_remote, n_asm,
			       n_local, n_real, n_closure, (double)n_closure / (double)(n_real ? n_real : 1), n_missing);
		else
			n_missing += 0;
		printf("round %d: %.1f us of CPU a unit (%.1f of it parsing), %.0f files a unit\n", round, (cpu_now() - t0) * 1e6 / (double)n_units,
		       in_parse * 1e6 / (double)n_units, (double)n_entries / (double)(n_remote ? n_remote : 1));
		if (round == 0 && n_missing)
			return 1;
	}
	gr_cc_files_stats(files, &st);
	printf("files known %llu, folders watched %llu, lstat %llu, read %llu (%.1f MB), scanned %llu, events %llu\n",
	       (unsigned long long)st.n_nodes, (unsigned long long)st.n_dirs_watched, (unsigned long long)st.n_stat,
	       (unsigned long long)st.n_read, (double)st.read_bytes / 1e6, (unsigned long long)st.n_scan, (unsigned long long)st.n_events);
	gr_cc_closure_fini(&cl);
	gr_cc_closer_free(&closer);
	gr_cc_files_free(&files);
	return n_units ? 0 : 2;
}
