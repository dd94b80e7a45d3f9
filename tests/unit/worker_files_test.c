/* worker_files_test.c - a command's files: what may be put into its folder, what is taken out of it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/remove.h"
#include "worker/files.h"

struct fix {
	char dir[64];
	int top, in, out;
	struct gr_files_list list;
	struct gr_err err;                 /* of the last take() */
};

static int setup(void **state)
{
	struct fix *f;

	GR_NEW(f);
	*state = f;
	strcpy(f->dir, "/tmp/files-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->top = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(f->top, "in", 0755), 0);
	assert_int_equal(mkdirat(f->top, "out", 0755), 0);
	f->in = openat(f->top, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->out = openat(f->top, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	gr_files_list_fini(&f->list);
	close(f->in);
	close(f->out);
	assert_int_equal(gr_remove_in(f->top), 0);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static int put(struct fix *f, const char *path, const char *text)
{
	struct gr_files_in in = { .path = path, .kind = GR_FILES_REG, .mode = 0640 };
	int rc;

	in.fd = openat(f->top, "src", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(gr_write_all(in.fd, text, strlen(text)), 0);
	rc = gr_files_put(f->in, &in, NULL);
	close(in.fd);
	return rc;
}

static int take(struct fix *f, const char *path)
{
	int rc;

	f->err = (struct gr_err){ 0 };
	rc = gr_files_take(f->in, path, f->out, "t", 1000, &f->list, &f->err);
	assert_int_equal(rc, f->err.code);
	return rc;
}

static void knows_paths_that_stay_below(void **state)
{
	static const char *const good[] = { "a", "a/b", "..a", "a..", ".a", "a b/c" }, *const bad[] = {
		"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "./a", "a/./b", "a/../b" };
	char longest[5000];

	(void)state;
	for (size_t i = 0; i < GR_LEN(good); i++)
		assert_true(gr_files_path_ok(good[i]));
	for (size_t i = 0; i < GR_LEN(bad); i++)
		assert_false(gr_files_path_ok(bad[i]));
	memset(longest, 'a', sizeof(longest));
	longest[256] = 0;
	assert_false(gr_files_path_ok(longest));
	for (size_t i = 1; i < sizeof(longest); i += 2)
		longest[i] = '/';
	longest[256] = 'a';
	longest[4999] = 0;
	assert_false(gr_files_path_ok(longest));
}

static void puts_a_file_with_its_mode_and_folders(void **state)
{
	struct fix *f = *state;
	struct stat st;

	assert_int_equal(put(f, "a/b/c", "text"), 0);
	assert_int_equal(fstatat(f->in, "a/b/c", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(st.st_size, 4);
}

static void puts_nothing_over_another_or_through_a_link(void **state)
{
	struct fix *f = *state;
	struct gr_files_in link = { .path = "l", .kind = GR_FILES_LINK, .target = ".." }, dir = { .path = "a", .kind = GR_FILES_DIR };

	assert_int_equal(put(f, "a", "1"), 0);
	assert_int_equal(put(f, "a", "2"), GR_EEXIST);
	assert_true(gr_files_put(f->in, &dir, NULL) < 0);
	assert_int_equal(put(f, "a/b", "3"), GR_EPATH);
	assert_int_equal(gr_files_put(f->in, &link, NULL), 0);
	assert_int_equal(put(f, "l/x", "4"), GR_EPATH);
	assert_int_equal(put(f, "../x", "5"), GR_EPATH);
	assert_int_equal(faccessat(f->top, "x", F_OK, 0), -1);
}

static void takes_a_file_away_with_its_digest(void **state)
{
	struct fix *f = *state;
	struct gr_digest d;

	assert_int_equal(put(f, "d/o", "text"), 0);
	assert_int_equal(take(f, "d/o"), 0);
	gr_sha256_of("text", 4, &d);
	assert_int_equal(f->list.n, 1);
	assert_true(gr_digest_eq(&d, &f->list.items[0].digest));
	assert_int_equal(faccessat(f->in, "d/o", F_OK, 0), -1);
	assert_int_equal(faccessat(f->out, f->list.items[0].name, F_OK, 0), 0);
	gr_files_load(&f->list, f->out, 100, 100);
	assert_true(f->list.items[0].has_data);
	assert_memory_equal(f->list.items[0].data.p, "text", 4);
}

static void one_content_under_two_names_comes_twice(void **state)
{
	struct fix *f = *state;

	assert_int_equal(put(f, "a", "text"), 0);
	assert_int_equal(linkat(f->in, "a", f->in, "b", 0), 0);
	assert_int_equal(take(f, "a"), 0);
	assert_int_equal(take(f, "b"), 0);
	assert_int_equal(f->list.n, 2);
	assert_true(gr_digest_eq(&f->list.items[0].digest, &f->list.items[1].digest));
}

static void refuses_what_is_no_file_and_what_leads_out(void **state)
{
	struct fix *f = *state;

	assert_int_equal(symlinkat("/etc/passwd", f->in, "link"), 0);
	assert_int_equal(take(f, "link"), GR_EPATH);
	assert_int_equal(mkfifoat(f->in, "pipe", 0600), 0);
	assert_int_equal(take(f, "pipe"), GR_EPATH);
	assert_int_equal(symlinkat("..", f->in, "up"), 0);
	assert_int_equal(take(f, "up/src"), GR_EPATH);
	assert_int_equal(take(f, "../src"), GR_EPATH);
	assert_int_equal(take(f, "none"), GR_ENOENT);
	assert_int_equal(take(f, "none/x"), GR_ENOENT);
	assert_int_equal(f->list.n, 0);
}

/* latin1's e with an accent: JSON cannot hold it */
static void a_name_that_is_not_utf8_is_told(void **state)
{
	struct fix *f = *state;

	assert_int_equal(put(f, "d/caf\xe9", "1"), 0);
	assert_int_equal(take(f, "d"), GR_EPATH);
	assert_string_equal(f->err.text, "d/caf\\xe9: a name that is not UTF-8 cannot be brought back");
	assert_int_equal(mkdirat(f->in, "l", 0755), 0);
	assert_int_equal(symlinkat("caf\xe9", f->in, "l/x"), 0);
	assert_int_equal(take(f, "l"), GR_EPATH);
	assert_string_equal(f->err.text, "l/x: a link to a name that is not UTF-8 cannot be brought back: caf\\xe9");
	assert_int_equal(put(f, "e/caf\xc3\xa9", "1"), 0);
	assert_int_equal(take(f, "e"), 0);
}

static void links_in_a_folder_may_stay_in_it(void **state)
{
	static const struct { const char *target; int rc; } cases[] = {
		{ "x", 0 }, { "../x", 0 }, { "./../d/x", 0 }, { "../../x", GR_EPATH }, { "/x", GR_EPATH }, { "../d/../../x", GR_EPATH },
	};
	struct fix *f = *state;

	for (size_t i = 0; i < GR_LEN(cases); i++) {
		char dir[16], path[32];

		snprintf(dir, sizeof(dir), "o%zu", i);
		snprintf(path, sizeof(path), "o%zu/d", i);
		assert_int_equal(mkdirat(f->in, dir, 0755), 0);
		assert_int_equal(mkdirat(f->in, path, 0755), 0);
		snprintf(path, sizeof(path), "o%zu/d/l", i);
		assert_int_equal(symlinkat(cases[i].target, f->in, path), 0);
		if (take(f, dir) != cases[i].rc)
			fail_msg("%s", cases[i].target);
	}
}

static void outputs_over_the_limit_are_refused(void **state)
{
	struct fix *f = *state;
	char text[701];

	memset(text, 'x', 700);
	text[700] = 0;
	assert_int_equal(put(f, "a", text), 0);
	assert_int_equal(put(f, "b", text), 0);
	assert_int_equal(take(f, "a"), 0);
	assert_int_equal(take(f, "b"), GR_ELIMIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_paths_that_stay_below),
		TEST(puts_a_file_with_its_mode_and_folders),
		TEST(puts_nothing_over_another_or_through_a_link),
		TEST(takes_a_file_away_with_its_digest),
		TEST(one_content_under_two_names_comes_twice),
		TEST(refuses_what_is_no_file_and_what_leads_out),
		TEST(links_in_a_folder_may_stay_in_it), TEST(a_name_that_is_not_utf8_is_told),
		TEST(outputs_over_the_limit_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
