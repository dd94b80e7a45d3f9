/* What the agent writes: outputs as the compiler would, and the cache's journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "client/agent/journal.h"
#include "client/agent/outputs.h"
#include "lib/base/file.h"

static char dir[64];

static int enter(void **state)
{
	strcpy(dir, "/tmp/griddle-unit.XXXXXX");
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	return chdir("/") == 0 ? gr_rm_rf(dir) : -1;
}

static void make(const char *path, const char *text)
{
	assert_int_equal(gr_file_replace(path, text, strlen(text), 0644, false, NULL), 0);
}

static void expect(const char *path, const char *text)
{
	struct gr_buf b = { 0 };

	assert_int_equal(gr_file_read(path, 1 << 20, &b, NULL), 0);
	assert_string_equal(gr_buf_str(&b), text);
	gr_buf_fini(&b);
}

static struct gr_slice text(const char *s)
{
	return gr_slice_str(s);
}

static void a_new_output_has_the_wrappers_mode(void **state)
{
	struct stat st;

	assert_int_equal(gr_output_write("a.o", GR_OUTPUT_ANEW, 0640, text("one")), 0);
	assert_int_equal(stat("a.o", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(gr_output_write("a.d", GR_OUTPUT_IN_PLACE, 0604, text("two")), 0);
	assert_int_equal(stat("a.d", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
}

static void an_object_is_not_written_through_a_hard_link(void **state)
{
	make("old", "kept");
	assert_int_equal(link("old", "a.o"), 0);
	assert_int_equal(gr_output_write("a.o", GR_OUTPUT_ANEW, 0644, text("new")), 0);
	expect("old", "kept");
	expect("a.o", "new");
}

static void an_object_replaces_a_symlink_to_an_object(void **state)
{
	struct stat st;

	make("old", "kept");
	assert_int_equal(symlink("old", "a.o"), 0);
	assert_int_equal(gr_output_write("a.o", GR_OUTPUT_ANEW, 0644, text("new")), 0);
	expect("old", "kept");
	assert_int_equal(lstat("a.o", &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void a_dangling_symlink_is_written_through(void **state)
{
	assert_int_equal(symlink("target", "a.o"), 0);
	assert_int_equal(gr_output_write("a.o", GR_OUTPUT_ANEW, 0644, text("new")), 0);
	expect("target", "new");
}

static void a_depfile_keeps_its_inode_and_mode(void **state)
{
	struct stat before, after;

	make("a.d", "old and longer");
	assert_int_equal(chmod("a.d", 0600), 0);
	assert_int_equal(stat("a.d", &before), 0);
	assert_int_equal(gr_output_write("a.d", GR_OUTPUT_IN_PLACE, 0644, text("new")), 0);
	assert_int_equal(stat("a.d", &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(after.st_mode & 07777, 0600);
	expect("a.d", "new");
}

static void devices_pipes_and_folders_are_not_written(void **state)
{
	assert_int_equal(mkfifo("p", 0600), 0);
	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(gr_output_write("p", GR_OUTPUT_ANEW, 0644, text("x")), GR_EPATH);
	assert_int_equal(gr_output_write("p", GR_OUTPUT_IN_PLACE, 0644, text("x")), GR_EPATH);
	assert_int_equal(gr_output_write("d", GR_OUTPUT_ANEW, 0644, text("x")), GR_EPATH);
	assert_int_equal(gr_output_write("/dev/null", GR_OUTPUT_ANEW, 0644, text("x")), GR_EPATH);
}

static void a_missing_folder_is_an_error(void **state)
{
	assert_int_equal(gr_output_write("no/a.o", GR_OUTPUT_ANEW, 0644, text("x")), GR_ENOENT);
}

static void a_symlink_to_a_device_is_not_written_through(void **state)
{
	assert_int_equal(symlink("/dev/full", "a.o"), 0);
	assert_int_equal(gr_output_write("a.o", GR_OUTPUT_IN_PLACE, 0644, text("x")), GR_EPATH);
}

static void collect(void *ctx, struct gr_slice record)
{
	struct gr_buf *b = ctx;

	gr_buf_add(b, record.p, record.n);
	gr_buf_add_byte(b, ';');
}

static void a_journal_gives_back_what_was_added(void **state)
{
	struct gr_buf seen = { 0 };
	struct gr_journal *j;

	assert_int_equal(gr_journal_open("j", collect, &seen, &j, NULL), 0);
	assert_int_equal(gr_journal_add(j, text("one")), 0);
	assert_int_equal(gr_journal_add(j, text("")), 0);
	assert_int_equal(gr_journal_add(j, text("three")), 0);
	gr_journal_close(&j);
	assert_int_equal(seen.n, 0);
	assert_int_equal(gr_journal_open("j", collect, &seen, &j, NULL), 0);
	assert_string_equal(gr_buf_str(&seen), "one;;three;");
	gr_journal_close(&j);
	gr_buf_fini(&seen);
}

static void a_torn_end_is_cut_off_at_every_byte(void **state)
{
	struct gr_buf whole = { 0 };
	struct gr_journal *j;
	size_t n;

	assert_int_equal(gr_journal_open("j", collect, &whole, &j, NULL), 0);
	assert_int_equal(gr_journal_add(j, text("first")), 0);
	assert_int_equal(gr_journal_add(j, text("second")), 0);
	gr_journal_close(&j);
	assert_int_equal(gr_file_read("j", 4096, &whole, NULL), 0);
	for (n = 0; n <= whole.n; n++) {
		struct gr_buf seen = { 0 };

		assert_int_equal(gr_file_replace("k", whole.p, n, 0600, false, NULL), 0);
		assert_int_equal(gr_journal_open("k", collect, &seen, &j, NULL), 0);
		assert_string_equal(gr_buf_str(&seen), n == whole.n ? "first;second;" : n >= 13 ? "first;" : "");
		assert_int_equal(gr_journal_add(j, text("after")), 0);
		gr_journal_close(&j);
		gr_buf_clear(&seen);
		assert_int_equal(gr_journal_open("k", collect, &seen, &j, NULL), 0);
		assert_string_equal(gr_buf_str(&seen), n == whole.n ? "first;second;after;" : n >= 13 ? "first;after;" : "after;");
		gr_journal_close(&j);
		gr_buf_fini(&seen);
	}
	gr_buf_fini(&whole);
}

static void a_damaged_record_ends_the_journal(void **state)
{
	struct gr_buf all = { 0 }, seen = { 0 };
	struct gr_journal *j;

	assert_int_equal(gr_journal_open("j", collect, &seen, &j, NULL), 0);
	assert_int_equal(gr_journal_add(j, text("first")), 0);
	assert_int_equal(gr_journal_add(j, text("second")), 0);
	gr_journal_close(&j);
	assert_int_equal(gr_file_read("j", 4096, &all, NULL), 0);
	all.p[all.n - 1] ^= 1;
	assert_int_equal(gr_file_replace("j", all.p, all.n, 0600, false, NULL), 0);
	assert_int_equal(gr_journal_open("j", collect, &seen, &j, NULL), 0);
	assert_string_equal(gr_buf_str(&seen), "first;");
	gr_journal_close(&j);
	gr_buf_fini(&seen);
	gr_buf_fini(&all);
}

static void two_agents_do_not_share_a_journal(void **state)
{
	struct gr_buf seen = { 0 };
	struct gr_journal *j, *k;

	assert_int_equal(gr_journal_open("j", collect, &seen, &j, NULL), 0);
	assert_int_equal(gr_journal_open("j", collect, &seen, &k, NULL), GR_EBUSY);
	gr_journal_close(&j);
	gr_buf_fini(&seen);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_output_has_the_wrappers_mode), TEST(an_object_is_not_written_through_a_hard_link),
		TEST(an_object_replaces_a_symlink_to_an_object), TEST(a_dangling_symlink_is_written_through),
		TEST(a_depfile_keeps_its_inode_and_mode), TEST(devices_pipes_and_folders_are_not_written),
		TEST(a_missing_folder_is_an_error), TEST(a_symlink_to_a_device_is_not_written_through), TEST(a_journal_gives_back_what_was_added),
		TEST(a_torn_end_is_cut_off_at_every_byte), TEST(a_damaged_record_ends_the_journal),
		TEST(two_agents_do_not_share_a_journal),
	};
	return cmocka_run_group_tests_name("agent_files", tests, NULL, NULL);
}
