/* job_expand_test.c - lib/job/expand: GNU parallel's places, as its users know them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/job/expand.h"

#define V(text) { (const uint8_t *)(text), sizeof(text) - 1 }
#define MAX 200
static const struct gr_slice one[] = { V("/data/run.1/a b.tar.gz") };
static const struct gr_slice three[] = { V("x.c"), V("dir/y.h"), V("z") };
static const char *const names[] = { "src", "hdr", "opt" };

static void gives(const char *word, const struct gr_expand_args *a, const char *want, int n)
{
	struct gr_buf b = { 0 };
	struct gr_err err;

	assert_int_equal(gr_expand(word, a, MAX, &b, &err), n);
	assert_string_equal(gr_buf_str(&b), want);
	gr_buf_fini(&b);
}

static void fills_the_parts_of_one_argument(void **state)
{
	struct gr_expand_args a = { .values = one, .n_values = 1, .index = 6, .total = 12, .slot = 3 };

	(void)state;
	gives("{}", &a, "/data/run.1/a b.tar.gz", 1);
	gives("{.}", &a, "/data/run.1/a b.tar", 1);
	gives("{/}", &a, "a b.tar.gz", 1);
	gives("{//}", &a, "/data/run.1", 1);
	gives("{/.}", &a, "a b.tar", 1);
	gives("out/{#}-of-{##}.{/}", &a, "out/7-of-12.a b.tar.gz", 3);
	gives("{index} {%}", &a, "6 4", 2);
}

static void a_dot_in_a_folder_or_in_front_is_no_extension(void **state)
{
	const struct gr_slice v[] = { V("run.1/plain"), V(".profile") };
	struct gr_expand_args a = { .values = v, .n_values = 2 };

	(void)state;
	gives("{1.}", &a, "run.1/plain", 1);
	gives("{1/.}", &a, "plain", 1);
	gives("{2.}", &a, ".profile", 1);
	gives("{2//}", &a, ".", 1);
}

static void fills_by_position_and_from_behind(void **state)
{
	struct gr_expand_args a = { .values = three, .n_values = 3 };

	(void)state;
	gives("{3}{1}", &a, "zx.c", 2);
	gives("{-1} {-3}", &a, "z x.c", 2);
	gives("{2/.}", &a, "y", 1);
	gives("{}", &a, "x.c dir/y.h z", 1);
	gives("{.}", &a, "x dir/y z", 1);
}

static void fills_by_name(void **state)
{
	struct gr_expand_args a = { .values = three, .names = names, .n_values = 3 };

	(void)state;
	gives("-I{hdr//} {src.}.o {opt}", &a, "-Idir x.o z", 3);
	gives("{none}", &a, "{none}", 0);
}

static void leaves_braces_that_are_no_places(void **state)
{
	struct gr_expand_args a = { .values = one, .n_values = 1 };

	(void)state;
	gives("awk '{print $1}' {", &a, "awk '{print $1}' {", 0);
	gives("a{b,c}d}", &a, "a{b,c}d}", 0);
	gives("{0}", &a, "{0}", 0);
	gives("{{}}", &a, "{/data/run.1/a b.tar.gz}", 1);
	gives("", &a, "", 0);
}

static void an_empty_value_has_empty_parts(void **state)
{
	const struct gr_slice v[] = { V(""), { NULL, 0 } };
	struct gr_expand_args a = { .values = v, .n_values = 2 };

	(void)state;
	gives("<{1}{1.}{1/}{1/.}{2}{2.}{2/}>", &a, "<>", 7);
	gives("{1//}", &a, ".", 1);
}

static void a_word_may_not_grow_without_end(void **state)
{
	struct gr_expand_args a = { .values = one, .n_values = 1 };
	struct gr_buf b = { 0 };
	struct gr_err err;

	(void)state;
	assert_int_equal(gr_expand("{}{}{}{}{}{}{}{}{}{}{}", &a, MAX, &b, &err), GR_ELIMIT);
	assert_true(b.n < 2 * MAX);
	gr_buf_fini(&b);
}

static void a_position_beyond_the_arguments_is_an_error(void **state)
{
	struct gr_expand_args a = { .values = three, .n_values = 3 };
	struct gr_buf b = { 0 };
	struct gr_err err;

	(void)state;
	assert_int_equal(gr_expand("{4}", &a, MAX, &b, &err), GR_EINVAL);
	assert_string_equal(err.text, "{4}: there are 3 values");
	assert_int_equal(gr_expand("{-4}", &a, MAX, &b, &err), GR_EINVAL);
	gr_buf_fini(&b);
}

static void finds_places(void **state)
{
	struct gr_err err;
	size_t n = 0;

	(void)state;
	assert_int_equal(gr_expand_find("a{}", 0, NULL, 0, SIZE_MAX, &n, &err), 1);
	assert_int_equal(n, 2);
	assert_int_equal(gr_expand_find("{x} {#}", 0, NULL, 0, SIZE_MAX, &n, &err), 4);
	assert_int_equal(gr_expand_find("{x} {#}", 5, NULL, 0, SIZE_MAX, &n, &err), GR_ENOENT);
	assert_int_equal(gr_expand_find("{x}", 0, NULL, 0, SIZE_MAX, &n, &err), GR_ENOENT);
	assert_int_equal(gr_expand_find("{src/.}", 0, names, 3, 3, &n, &err), 0);
	assert_int_equal(n, 7);
	assert_int_equal(gr_expand_find("{ print }", 0, names, 3, 3, &n, &err), GR_ENOENT);
	assert_int_equal(gr_expand_find("{", 0, names, 3, 3, &n, &err), GR_ENOENT);
	assert_int_equal(gr_expand_find("{3}", 0, NULL, 0, 2, &n, &err), GR_EINVAL);
	assert_string_equal(err.text, "{3}: there are 2 values");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_the_parts_of_one_argument),
		cmocka_unit_test(a_dot_in_a_folder_or_in_front_is_no_extension),
		cmocka_unit_test(fills_by_position_and_from_behind),
		cmocka_unit_test(fills_by_name),
		cmocka_unit_test(leaves_braces_that_are_no_places),
		cmocka_unit_test(an_empty_value_has_empty_parts),
		cmocka_unit_test(a_word_may_not_grow_without_end),
		cmocka_unit_test(a_position_beyond_the_arguments_is_an_error),
		cmocka_unit_test(finds_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
