/* The real compilers of this machine: what a toolchain is, and closures beside the compiler's own -M list. Skipped
 * where a compiler is not installed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/cc/closure.h"
#include "lib/cc/depfile.h"

static struct gr_cc_toolchain *probe(const char *driver)
{
	struct gr_cc_toolchain *t;
	struct gr_err err;

	if (access(driver, X_OK) < 0)
		skip();
	if (gr_cc_toolchain_probe(driver, &t, &err) < 0) {
		print_error("%s\n", err.text);
		fail();
	}
	return t;
}

static bool shows(const struct gr_cc_toolchain *t, const char *path)
{
	for (uint32_t i = 0; i < t->n_show; i++)
		if (!strcmp(t->show[i].path, path))
			return true;
	return false;
}

static void a_toolchain_knows_its_parts(void **state)
{
	struct gr_cc_toolchain *t = probe("/usr/bin/gcc");

	assert_int_equal(t->family, GR_CC_GCC);
	assert_true(!strncmp(t->name, "gcc ", 4));
	assert_true(t->n_own_dirs >= 1);
	assert_true(shows(t, t->real));
	assert_true(shows(t, t->driver));
	assert_true(gr_cc_toolchain_is_current(t));
	for (uint32_t i = 0; i < t->n_show; i++) {
		struct stat st;

		/* physical: a shown file is no symlink, a shown link is one */
		assert_int_equal(lstat(t->show[i].path, &st), 0);
		assert_true(t->show[i].kind == GR_CC_SHOW_LINK ? S_ISLNK(st.st_mode) : t->show[i].kind == GR_CC_SHOW_DIR ?
			    S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
		assert_true((t->show[i].target != NULL) == (t->show[i].kind == GR_CC_SHOW_LINK));
	}
	gr_cc_toolchain_free(&t);
}

static void two_names_of_one_compiler_are_one_toolchain(void **state)
{
	struct gr_cc_toolchain *a = probe("/usr/bin/gcc"), *b;
	char *real = realpath("/usr/bin/gcc", NULL);

	b = probe(real);
	assert_true(gr_digest_eq(&a->digest, &b->digest));
	gr_cc_toolchain_free(&a);
	gr_cc_toolchain_free(&b);
	free(real);
}

static void what_is_no_compiler_is_refused(void **state)
{
	struct gr_cc_toolchain *t;
	struct gr_err err;

	assert_int_equal(gr_cc_toolchain_probe("/bin/cat", &t, &err), GR_EUNSUP);
	assert_int_equal(gr_cc_toolchain_probe("/no/such/gcc", &t, &err), GR_ENOENT);
	assert_int_equal(gr_cc_toolchain_probe("gcc", &t, &err), GR_EINVAL);
}

/* ---- closures ---- */
struct rig {
	char dir[64];
	struct gr_cc_files *files;
	struct gr_cc_closer *closer;
};

static int setup(void **state)
{
	struct rig *r;
	struct gr_cc_fs fs;

	GR_NEW(r);
	strcpy(r->dir, "/tmp/cc_closure_XXXXXX");
	if (!mkdtemp(r->dir) || gr_cc_fs_real(&fs, NULL) < 0)
		return -1;
	r->files = gr_cc_files_new(&fs);
	r->closer = gr_cc_closer_new(r->files);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	gr_cc_closer_free(&r->closer);
	gr_cc_files_free(&r->files);
	gr_rm_rf(r->dir);
	free(r);
	return 0;
}

static void write_file(struct rig *r, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	*strrchr(path, '/') = 0;
	assert_int_equal(gr_mkdir_p(path, 0755, NULL), 0);
	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	assert_int_equal(gr_file_replace(path, text, strlen(text), 0644, false, NULL), 0);
}

/* Everything that `argv -M` lists is in the closure. */
static void holds_all(struct rig *r, const char *driver, char **words)
{
	struct gr_cc_toolchain *t = probe(driver);
	const struct gr_cc_search *search;
	struct gr_cc_closure cl = { 0 };
	struct gr_cc_depfile dep;
	struct gr_buf out = { 0 }, errout = { 0 };
	struct gr_cc_closure_in in;
	struct gr_cc_cmd cmd;
	const char *argv[64];
	struct timespec now;
	int n = 0, n_own = 0;

	argv[n++] = driver;
	for (char **w = words; *w; w++)
		argv[n++] = *w;
	argv[n] = NULL;
	gr_cc_args_parse(&cmd, t->family, n, (char *const *)(uintptr_t)argv, NULL);
	assert_int_equal(cmd.verdict, GR_CC_REMOTE);
	assert_int_equal(gr_cc_toolchain_search(t, &cmd, r->dir, &search, NULL), 0);
	for (uint32_t i = 0; i < t->n_own_dirs; i++)
		gr_cc_files_mark_tool(r->files, t->own_dirs[i], 1);
	clock_gettime(CLOCK_REALTIME, &now);
	gr_cc_files_drain(r->files, now.tv_sec * 1000000000ll + now.tv_nsec);
	in = (struct gr_cc_closure_in){ .cmd = &cmd, .cwd = r->dir, .search = search, .tool = 1 };
	gr_cc_closure_of(r->closer, &in, &cl);
	if (cl.verdict != GR_CC_CLOSURE_OK)
		print_error("%s %s\n", cl.reason, cl.detail);
	assert_int_equal(cl.verdict, GR_CC_CLOSURE_OK);
	argv[n++] = "-M";
	argv[n] = NULL;
	if (gr_proc_capture(argv, NULL, r->dir, 4u << 20, &out, &errout, NULL) != 0) {
		print_error("%s\n", gr_buf_str(&errout));
		fail();
	}
	assert_int_equal(gr_cc_depfile_parse(gr_buf_str(&out), out.n, &dep), 0);
	for (uint32_t i = 0; i < dep.n_files; i++) {
		struct gr_cc_node *e = gr_cc_files_entry(r->files, cl.cwd, dep.files[i]);
		bool is_there = false;

		for (uint32_t k = 0; k < cl.n_entries && !is_there; k++)
			is_there = cl.entries[k] == e;
		if (!is_there) {
			print_error("%s %s: %s is missing\n", driver, cmd.source, dep.files[i]);
			fail();
		}
		n_own += e->tool == 1;
	}
	for (uint32_t i = 0; i < cl.n_files; i++)
		assert_int_not_equal(cl.files[i]->tool, 1);
	print_message("%s %s: %u read, %d of them the compiler's own, closure %u\n", driver, cmd.source, dep.n_files, n_own, cl.n_entries);
	gr_cc_depfile_fini(&dep);
	gr_buf_fini(&out);
	gr_buf_fini(&errout);
	gr_cc_closure_fini(&cl);
	gr_cc_cmd_fini(&cmd);
	gr_cc_toolchain_free(&t);
}

#define WORDS(...) (char *[]){ __VA_ARGS__, NULL }
#define W(s) (char *)(uintptr_t)(s)

static void put_sources(struct rig *r)
{
	write_file(r, "x.c", "#include <stdio.h>\n#include <stdlib.h>\n#include <limits.h>\n#include <stdint.h>\n#include <stdatomic.h>\n"
			     "#include <sys/socket.h>\n#include <pthread.h>\n#include <signal.h>\n#include <math.h>\n#include <tgmath.h>\n"
			     "#include \"sub/a.h\"\n#include WHICH\nint main(void) { return 0; }\n");
	write_file(r, "sub/a.h", "#include \"b.h\"\n#include <c.h>\n#if __has_include(<d.h>)\n# include <d.h>\n#endif\n");
	write_file(r, "sub/b.h", "#include_next <b.h>\n");
	write_file(r, "inc/b.h", "");
	write_file(r, "inc/c.h", "#define WHICH STR(sub/w.h)\n#define STR(x) STR1(x)\n#define STR1(x) #x\n");
	write_file(r, "inc/d.h", "");
	write_file(r, "sub/w.h", "");
	write_file(r, "f.h", "#include \"sub/b.h\"\n");
	write_file(r, "x.cc", "#include <iostream>\n#include <vector>\n#include <map>\n#include <thread>\n#include <regex>\n#include <random>\n"
			      "#include <filesystem>\n#include <cmath>\n#include <cstdlib>\n#include <memory>\n#include <atomic>\n"
			      "#include \"sub/b.h\"\nint main() { return 0; }\n");
	write_file(r, "y.cc", "#include <bits/stdc++.h>\nint main() { return 0; }\n");
	write_file(r, "x.S", "#include <sys/syscall.h>\n#include \"sub/b.h\"\n");
}

static void gcc_reads_nothing_that_is_not_in_the_closure(void **state)
{
	struct rig *r = *state;

	put_sources(r);
	holds_all(r, "/usr/bin/gcc", WORDS(W("-Iinc"), W("-include"), W("f.h"), W("-O2"), W("-c"), W("x.c")));
	holds_all(r, "/usr/bin/gcc", WORDS(W("-isystem"), W("inc"), W("-D_GNU_SOURCE"), W("-fopenmp"), W("-c"), W("x.c")));
	holds_all(r, "/usr/bin/gcc", WORDS(W("-Iinc"), W("-c"), W("x.S")));
}

static void g_plus_plus_reads_nothing_that_is_not_in_the_closure(void **state)
{
	struct rig *r = *state;

	put_sources(r);
	holds_all(r, "/usr/bin/g++", WORDS(W("-Iinc"), W("-std=c++20"), W("-c"), W("x.cc")));
	holds_all(r, "/usr/bin/g++", WORDS(W("-Iinc"), W("-std=c++17"), W("-c"), W("y.cc")));
}

static void clang_reads_nothing_that_is_not_in_the_closure(void **state)
{
	struct rig *r = *state;

	put_sources(r);
	holds_all(r, "/usr/bin/clang", WORDS(W("-Iinc"), W("-include"), W("f.h"), W("-c"), W("x.c")));
	holds_all(r, "/usr/bin/clang", WORDS(W("-idirafter"), W("inc"), W("-O2"), W("-c"), W("x.c")));
	holds_all(r, "/usr/bin/clang++", WORDS(W("-Iinc"), W("-std=c++17"), W("-c"), W("x.cc")));
}

static void a_file_written_between_two_requests_is_seen(void **state)
{
	struct rig *r = *state;
	struct gr_digest d;
	struct timespec now;
	struct gr_cc_node *n;
	char path[128];

	snprintf(path, sizeof(path), "%s/a.h", r->dir);
	for (int i = 0; i < 200; i++) {
		char text[8];
		FILE *f;

		/* same name, same size, in place, faster than the clock of the file system ticks */
		snprintf(text, sizeof(text), "%07d", i);
		f = fopen(path, "w");
		assert_non_null(f);
		fputs(text, f);
		fclose(f);
		clock_gettime(CLOCK_REALTIME, &now);
		gr_cc_files_drain(r->files, now.tv_sec * 1000000000ll + now.tv_nsec);
		n = gr_cc_files_entry(r->files, NULL, path);
		assert_int_equal(gr_cc_node_digest(r->files, n), 0);
		gr_sha256_of(text, 7, &d);
		assert_true(gr_digest_eq(&d, &n->digest));
	}
}

static void a_folder_made_renamed_and_removed_is_seen(void **state)
{
	struct rig *r = *state;
	struct timespec now;
	char a[128], b[128], file[160];

	snprintf(a, sizeof(a), "%s/a", r->dir);
	snprintf(b, sizeof(b), "%s/b", r->dir);
	snprintf(file, sizeof(file), "%s/x.h", a);
#define DRAIN() (clock_gettime(CLOCK_REALTIME, &now), gr_cc_files_drain(r->files, now.tv_sec * 1000000000ll + now.tv_nsec))
	for (int i = 0; i < 20; i++) {
		DRAIN();
		assert_int_equal(gr_cc_files_entry(r->files, NULL, file)->kind, GR_CC_ABSENT);
		write_file(r, "b/x.h", "x");
		assert_int_equal(rename(b, a), 0);
		DRAIN();
		assert_int_equal(gr_cc_files_entry(r->files, NULL, file)->kind, GR_CC_REG);
		assert_int_equal(rename(a, b), 0);
		DRAIN();
		assert_int_equal(gr_cc_files_entry(r->files, NULL, file)->kind, GR_CC_ABSENT);
		assert_int_equal(rename(b, a), 0);
		assert_int_equal(unlink(file), 0);
		DRAIN();
		assert_int_equal(gr_cc_files_entry(r->files, NULL, file)->kind, GR_CC_ABSENT);
		assert_int_equal(rmdir(a), 0);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_toolchain_knows_its_parts), cmocka_unit_test(two_names_of_one_compiler_are_one_toolchain),
		cmocka_unit_test(what_is_no_compiler_is_refused), T(gcc_reads_nothing_that_is_not_in_the_closure),
		T(g_plus_plus_reads_nothing_that_is_not_in_the_closure), T(clang_reads_nothing_that_is_not_in_the_closure),
		T(a_file_written_between_two_requests_is_seen), T(a_folder_made_renamed_and_removed_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
