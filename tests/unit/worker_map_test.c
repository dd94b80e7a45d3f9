/* worker_map_test.c - the landlock tier's paths: in on the command line, out of what the compiler writes
 *
 * The depfiles are checked against what the machine's own gcc and clang write for the same names without the root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "worker/map_paths.h"

#define ROOT "/state/sessions/1/root"

static char *mapped(const char *const *argv, uint32_t n, int *rc)
{
	struct gr_buf b = { 0 };
	struct gr_mapped m;

	*rc = gr_map_command(ROOT, GR_CC_GCC, argv, n, NULL, 0, &m, NULL);
	for (uint32_t i = 1; i < m.n_argv; i++)
		gr_buf_printf(&b, "%s%s", i > 1 ? " " : "", m.argv[i]);
	gr_mapped_fini(&m);
	return gr_buf_take(&b, NULL);
}

#define MAPS(expected, ...) do { \
	const char *const argv_[] = { "gcc", __VA_ARGS__ }; \
	int rc_; \
	char *got_ = mapped(argv_, GR_LEN(argv_), &rc_); \
	assert_int_equal(rc_, 0); \
	assert_string_equal(got_, "-ffile-prefix-map=" ROOT "= " expected " --sysroot=" ROOT); \
	free(got_); \
} while (0)

#define DECLINES(...) do { \
	const char *const argv_[] = { "gcc", __VA_ARGS__ }; \
	int rc_; \
	free(mapped(argv_, GR_LEN(argv_), &rc_)); \
	assert_int_equal(rc_, GR_EUNSUP); \
} while (0)

static void absolute_paths_go_below_the_root(void **state)
{
	MAPS("-c " ROOT "/w/a.c -o " ROOT "/w/a.o", "-c", "/w/a.c", "-o", "/w/a.o");
	MAPS("-c a.c -o a.o", "-c", "a.c", "-o", "a.o");
	MAPS("-I" ROOT "/i -I " ROOT "/j -isystem" ROOT "/k -o" ROOT "/a.o", "-I/i", "-I", "/j", "-isystem/k", "-o/a.o");
	MAPS("-Wp,-MMD," ROOT "/w/.a.d,-MT,/w/a.o -Wa,-I" ROOT "/x", "-Wp,-MMD,/w/.a.d,-MT,/w/a.o", "-Wa,-I/x");
}

static void what_only_looks_like_a_path_stays(void **state)
{
	MAPS("-MT /w/a.o -MQ /w/b.o -D /x -DP=\"/y\"", "-MT", "/w/a.o", "-MQ", "/w/b.o", "-D", "/x", "-DP=\"/y\"");
}

static void a_sysroot_of_the_clients_is_kept(void **state)
{
	const char *const argv[] = { "gcc", "--sysroot=/sdk", "-c", "a.c" };
	char *got;
	int rc;

	got = mapped(argv, GR_LEN(argv), &rc);
	assert_int_equal(rc, 0);
	assert_string_equal(got, "-ffile-prefix-map=" ROOT "= --sysroot=" ROOT "/sdk -c a.c");
	free(got);
}

/* Every compile of the kernel has one, and was declined in a restricted pod. */
static void a_map_of_macros_goes_behind_ours(void **state)
{
	const char *const argv[] = { "clang", "-fmacro-prefix-map=/s/=", "-c", "a.c" };
	struct gr_mapped m;

	MAPS("-fmacro-prefix-map=" ROOT "/s/= -c " ROOT "/s/a.c", "-fmacro-prefix-map=/s/=", "-c", "/s/a.c");
	MAPS("-fmacro-prefix-map=./= -c a.c", "-fmacro-prefix-map=./=", "-c", "a.c");
	assert_int_equal(gr_map_command(ROOT, GR_CC_CLANG, argv, GR_LEN(argv), NULL, 0, &m, NULL), GR_EUNSUP);
	gr_mapped_fini(&m);
}

static void what_would_change_the_bytes_is_declined(void **state)
{
	DECLINES("-ffile-prefix-map=/a=/b", "-c", "a.c");
	DECLINES("-gsplit-dwarf", "-c", "a.c");
	DECLINES("--coverage", "-c", "a.c");
	DECLINES("-flto", "-c", "a.c");
	DECLINES("@words", "-c", "a.c");
	DECLINES("-c", "a.cc");
	DECLINES("-x", "c++", "-c", "a.c");
}

static void search_paths_of_the_environment_are_mapped(void **state)
{
	const char *const argv[] = { "gcc", "-c", "a.c" }, *const env[] = { "CPATH=/a:b:/c", "PWD=/w", "LANG=/x" };
	struct gr_mapped m;

	assert_int_equal(gr_map_command(ROOT, GR_CC_GCC, argv, 3, env, 3, &m, NULL), 0);
	assert_string_equal(m.env[0], "CPATH=" ROOT "/a:b:" ROOT "/c");
	assert_string_equal(m.env[1], "PWD=" ROOT "/w");
	assert_string_equal(m.env[2], "LANG=/x");
	gr_mapped_fini(&m);
}

static void the_root_goes_out_of_texts(void **state)
{
	struct gr_buf b = { 0 };

	gr_buf_add_str(&b, ROOT "/w/a.c:1:2: error: no " ROOT "/x\nIn file included from " ROOT "/y\n");
	gr_unmap_text(ROOT, &b);
	assert_string_equal(gr_buf_str(&b), "/w/a.c:1:2: error: no /x\nIn file included from /y\n");
	gr_buf_fini(&b);
}

/* Headers with names of all lengths, some to be escaped, once below ROOT and once not. */
static void like_the_compiler(const char *compiler, enum gr_cc_family family)
{
	char dir[] = "/tmp/map-test-XXXXXX", root[64], path[256], out[256], src[300];
	const char *argv[] = { compiler, "-E", "-MD", "-MP", "-MF", out, "-MT", "some target", "-MT", "b", src, "-o", "/dev/null", NULL };
	struct gr_buf text = { 0 }, a = { 0 }, b = { 0 };
	int rc;

	assert_non_null(mkdtemp(dir));
	snprintf(root, sizeof(root), "%s/a-root-of-some-length", dir);
	for (int side = 0; side < 2; side++) {
		const char *base = side ? root : "";

		gr_buf_clear(&text);
		for (int i = 1; i < 90; i++) {
			snprintf(path, sizeof(path), "%s%s/h", base, dir);
			assert_int_equal(gr_mkdir_p(path, 0755, NULL), 0);
			snprintf(path, sizeof(path), "%s%s/h/%.*s%s%d.h", base, dir, i % 47,
				 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", i % 7 ? "" : i % 2 ? " x" : "$y", i);
			assert_int_equal(gr_file_replace(path, "", 0, 0644, false, NULL), 0);
			gr_buf_printf(&text, "#include \"%s\"\n", path);
		}
		snprintf(src, sizeof(src), "%s%s/s.c", base, dir);
		assert_int_equal(gr_file_replace(src, text.p, text.n, 0644, false, NULL), 0);
		snprintf(out, sizeof(out), "%s/%d.d", dir, side);
		rc = gr_proc_capture(argv, NULL, NULL, 1 << 20, NULL, NULL, NULL);
		if (rc == GR_ENOENT) {
			gr_rm_rf(dir);
			gr_buf_fini(&text);
			skip();
		}
		assert_int_equal(rc, 0);
		assert_int_equal(gr_file_read(out, 1 << 20, side ? &b : &a, NULL), 0);
	}
	gr_unmap_depfile(root, family, &b);
	assert_string_equal(gr_buf_str(&b), gr_buf_str(&a));
	gr_rm_rf(dir);
	gr_buf_fini(&text);
	gr_buf_fini(&a);
	gr_buf_fini(&b);
}

static void depfiles_are_broken_as_gcc_breaks_them(void **state) { like_the_compiler("gcc", GR_CC_GCC); }
static void depfiles_are_broken_as_clang_breaks_them(void **state) { like_the_compiler("clang", GR_CC_CLANG); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absolute_paths_go_below_the_root),
		cmocka_unit_test(what_only_looks_like_a_path_stays),
		cmocka_unit_test(a_sysroot_of_the_clients_is_kept),
		cmocka_unit_test(a_map_of_macros_goes_behind_ours),
		cmocka_unit_test(what_would_change_the_bytes_is_declined),
		cmocka_unit_test(search_paths_of_the_environment_are_mapped),
		cmocka_unit_test(the_root_goes_out_of_texts),
		cmocka_unit_test(depfiles_are_broken_as_gcc_breaks_them),
		cmocka_unit_test(depfiles_are_broken_as_clang_breaks_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
