/* cas_test.c - lib/cas: what is put comes back, what is damaged does not, and a full disk hurts one call only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/cas/cas.h"

struct fix {
	char dir[64];
	struct gr_cas *c;
};

static void reopen(struct fix *f, uint64_t cap)
{
	gr_cas_close(&f->c);
	assert_int_equal(gr_cas_open(f->dir, cap, &f->c, NULL), 0);
}

static int setup(void **state)
{
	struct fix *f;

	GR_NEW(f);
	strcpy(f->dir, "/tmp/cas-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	reopen(f, 1 << 20);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	gr_cas_close(&f->c);
	gr_rm_rf(f->dir);
	free(f);
	return 0;
}

static struct gr_digest digest_of(const void *p, size_t n)
{
	struct gr_digest d;

	gr_sha256_of(p, n, &d);
	return d;
}

static struct gr_digest put_fill(struct gr_cas *c, char fill, size_t n)
{
	char *p = gr_xalloc(n);
	struct gr_digest d;

	memset(p, fill, n);
	d = digest_of(p, n);
	assert_int_equal(gr_cas_put(c, &d, p, n), 0);
	free(p);
	return d;
}

static void blob_path(struct fix *f, const struct gr_digest *d, char out[256])
{
	char hex[GR_DIGEST_HEX];

	gr_digest_hex(d, hex);
	snprintf(out, 256, "%s/%.2s/%s", f->dir, hex, hex + 2);
}

static int count_tmp(struct fix *f)
{
	char path[256];
	struct dirent *de;
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/tmp", f->dir);
	dir = opendir(path);
	assert_non_null(dir);
	while ((de = readdir(dir)))
		n += de->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void a_blob_put_whole_comes_back(void **state)
{
	struct fix *f = *state;
	struct gr_digest d = digest_of("hello", 5);
	struct gr_buf b = { 0 };

	assert_false(gr_cas_has(f->c, &d));
	assert_int_equal(gr_cas_put(f->c, &d, "hello", 5), 0);
	assert_int_equal(gr_cas_put(f->c, &d, "hello", 5), 0);
	assert_true(gr_cas_has(f->c, &d));
	assert_int_equal(gr_cas_read(f->c, &d, 5, &b), 0);
	assert_memory_equal(b.p, "hello", 5);
	assert_int_equal(gr_cas_read(f->c, &d, 4, &b), GR_ELIMIT);
	gr_buf_fini(&b);
}

static void an_empty_blob_is_a_blob(void **state)
{
	struct fix *f = *state;
	struct gr_digest d = digest_of("", 0);
	struct gr_buf b = { 0 };

	assert_int_equal(gr_cas_put(f->c, &d, NULL, 0), 0);
	assert_int_equal(gr_cas_read(f->c, &d, 10, &b), 0);
	assert_int_equal(b.n, 0);
	gr_buf_fini(&b);
}

static void what_nobody_has_hashed_is_put_under_its_digest(void **state)
{
	struct fix *f = *state;
	struct gr_digest d = digest_of("hello", 5), got;
	struct gr_buf b = { 0 };

	assert_int_equal(gr_cas_put_new(f->c, "hello", 5, &got), 0);
	assert_true(gr_digest_eq(&got, &d));
	assert_int_equal(gr_cas_put_new(f->c, "hello", 5, &got), 0);
	assert_true(gr_digest_eq(&got, &d));
	assert_int_equal(gr_cas_read(f->c, &d, 100, &b), 0);
	assert_memory_equal(b.p, "hello", 5);
	gr_buf_fini(&b);
	assert_int_equal(count_tmp(f), 0);
}

static void wrong_content_is_refused_and_leaves_nothing(void **state)
{
	struct fix *f = *state;
	struct gr_digest d = digest_of("hello", 5);
	struct gr_cas_put *p;

	assert_int_equal(gr_cas_put(f->c, &d, "hellO", 5), GR_ECORRUPT);
	assert_int_equal(gr_cas_put_begin(f->c, &d, 5, &p), 0);
	assert_int_equal(gr_cas_put_add(p, gr_slice_str("hel")), 0);
	assert_int_equal(gr_cas_put_add(p, gr_slice_str("lOO")), GR_ECORRUPT);
	assert_int_equal(gr_cas_put_commit(&p), GR_ECORRUPT);
	assert_int_equal(gr_cas_put_begin(f->c, &d, 5, &p), 0);
	assert_int_equal(gr_cas_put_add(p, gr_slice_str("hel")), 0);
	assert_int_equal(gr_cas_put_commit(&p), GR_ECORRUPT);
	assert_null(p);
	assert_false(gr_cas_has(f->c, &d));
	assert_int_equal(count_tmp(f), 0);
}

static void a_blob_put_in_pieces_comes_back(void **state)
{
	struct fix *f = *state;
	struct gr_digest d = digest_of("hello world", 11);
	struct gr_buf b = { 0 };
	struct gr_cas_put *p;

	assert_int_equal(gr_cas_put_begin(f->c, &d, 11, &p), 0);
	assert_int_equal(gr_cas_put_add(p, gr_slice_str("hello")), 0);
	assert_int_equal(gr_cas_put_add(p, gr_slice_str(" world")), 0);
	assert_false(gr_cas_has(f->c, &d));
	assert_int_equal(gr_cas_put_commit(&p), 0);
	assert_int_equal(gr_cas_read(f->c, &d, 100, &b), 0);
	assert_memory_equal(b.p, "hello world", 11);
	gr_buf_fini(&b);
}

static void a_damaged_blob_is_found_while_running_and_removed(void **state)
{
	struct fix *f = *state;
	struct gr_digest d = put_fill(f->c, 'a', 5000);
	struct gr_cas_stats st;
	char path[256];
	uint64_t size;
	int fd;

	fd = gr_cas_open_blob(f->c, &d, &size);
	assert_true(fd >= 0);
	assert_int_equal(size, 5000);
	close(fd);
	blob_path(f, &d, path);
	assert_int_equal(chmod(path, 0644), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "b", 1, 100), 1);
	close(fd);
	assert_int_equal(gr_cas_open_blob(f->c, &d, &size), GR_ECORRUPT);
	assert_int_equal(gr_cas_open_blob(f->c, &d, &size), GR_ENOENT);
	assert_false(gr_cas_has(f->c, &d));
	gr_cas_stats(f->c, &st);
	assert_int_equal(st.corrupt, 1);
	assert_int_equal(st.bytes, 0);
	put_fill(f->c, 'a', 5000);
	fd = gr_cas_open_blob(f->c, &d, &size);
	assert_true(fd >= 0);
	close(fd);
}

static void a_hole_left_by_a_crash_is_found_after_a_restart(void **state)
{
	struct fix *f = *state;
	struct gr_digest d = put_fill(f->c, 'a', 5000);
	struct gr_buf b = { 0 };
	char path[256];

	blob_path(f, &d, path);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(truncate(path, 5000), 0);
	reopen(f, 1 << 20);
	assert_true(gr_cas_has(f->c, &d));
	assert_int_equal(gr_cas_read(f->c, &d, 10000, &b), GR_ECORRUPT);
	assert_int_equal(b.n, 0);
	assert_false(gr_cas_has(f->c, &d));
	gr_buf_fini(&b);
}

static void temporary_files_older_than_an_hour_go_at_start(void **state)
{
	struct fix *f = *state;
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	char path[256];

	snprintf(path, sizeof(path), "%s/tmp/1-1", f->dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	utimensat(AT_FDCWD, path, old, 0);
	snprintf(path, sizeof(path), "%s/tmp/1-2", f->dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	reopen(f, 1 << 20);
	assert_int_equal(count_tmp(f), 1);
}

static void the_least_recently_used_goes_first(void **state)
{
	struct fix *f = *state;
	struct gr_cas_stats st;
	struct gr_digest a, b, d;
	uint64_t size;

	reopen(f, 10000);
	a = put_fill(f->c, 'a', 4000);
	b = put_fill(f->c, 'b', 4000);
	close(gr_cas_open_blob(f->c, &a, &size));
	d = put_fill(f->c, 'd', 4000);
	assert_true(gr_cas_has(f->c, &a));
	assert_false(gr_cas_has(f->c, &b));
	assert_true(gr_cas_has(f->c, &d));
	gr_cas_stats(f->c, &st);
	assert_int_equal(st.evicted, 1);
	assert_int_equal(st.bytes, 8000);
}

static void a_pinned_blob_stays(void **state)
{
	struct fix *f = *state;
	struct gr_digest a, b;

	reopen(f, 10000);
	a = put_fill(f->c, 'a', 4000);
	gr_cas_pin(f->c, &a);
	gr_cas_pin(f->c, &a);
	gr_cas_unpin(f->c, &a);
	b = put_fill(f->c, 'b', 4000);
	put_fill(f->c, 'd', 4000);
	assert_true(gr_cas_has(f->c, &a));
	assert_false(gr_cas_has(f->c, &b));
	gr_cas_unpin(f->c, &a);
	put_fill(f->c, 'e', 4000);
	assert_false(gr_cas_has(f->c, &a));
}

static void a_pin_may_come_before_the_blob(void **state)
{
	struct fix *f = *state;
	struct gr_digest a = digest_of("aaaa", 4);

	gr_cas_pin(f->c, &a);
	assert_false(gr_cas_has(f->c, &a));
	assert_int_equal(gr_cas_put(f->c, &a, "aaaa", 4), 0);
	assert_true(gr_cas_has(f->c, &a));
	gr_cas_unpin(f->c, &a);
	assert_true(gr_cas_has(f->c, &a));
	gr_cas_unpin(f->c, &a);
}

static void the_cap_holds_at_start(void **state)
{
	struct fix *f = *state;
	struct gr_cas_stats st;

	put_fill(f->c, 'a', 4000);
	put_fill(f->c, 'b', 4000);
	put_fill(f->c, 'd', 4000);
	reopen(f, 9000);
	gr_cas_stats(f->c, &st);
	assert_int_equal(st.n_blobs, 2);
	assert_int_equal(st.bytes, 8000);
}

static void two_processes_share_a_folder(void **state)
{
	struct fix *f = *state;
	struct gr_digest d = digest_of("from the other", 14), e;
	struct gr_buf b = { 0 };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct gr_cas *c;

		if (gr_cas_open(f->dir, 1 << 20, &c, NULL) < 0 || gr_cas_put(c, &d, "from the other", 14) < 0)
			_exit(1);
		for (int i = 0; i < 200; i++) {
			char text[16];
			int n = snprintf(text, sizeof(text), "%d", i);

			gr_sha256_of(text, (size_t)n, &e);
			if (gr_cas_put(c, &e, text, (size_t)n) < 0)
				_exit(2);
		}
		_exit(0);
	}
	for (int i = 0; i < 200; i++) {
		char text[16];
		int n = snprintf(text, sizeof(text), "%d", i);

		gr_sha256_of(text, (size_t)n, &e);
		assert_int_equal(gr_cas_put(f->c, &e, text, (size_t)n), 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(gr_cas_has(f->c, &d));
	assert_int_equal(gr_cas_read(f->c, &d, 100, &b), 0);
	assert_int_equal(b.n, 14);
	assert_int_equal(count_tmp(f), 0);
	gr_buf_fini(&b);
}

static void a_cap_that_is_said_late_spares_what_was_pinned_before(void **state)
{
	struct fix *f = *state;
	struct gr_digest d[3];
	char text[1000];

	for (int i = 0; i < 3; i++) {
		memset(text, 'a' + i, sizeof(text));
		d[i] = digest_of(text, sizeof(text));
		assert_int_equal(gr_cas_put(f->c, &d[i], text, sizeof(text)), 0);
	}
	reopen(f, UINT64_MAX);
	gr_cas_pin(f->c, &d[0]);
	gr_cas_pin(f->c, &d[2]);
	gr_cas_set_cap(f->c, 1000);
	assert_true(gr_cas_has(f->c, &d[0]));
	assert_false(gr_cas_has(f->c, &d[1]));
	assert_true(gr_cas_has(f->c, &d[2]));
	gr_cas_unpin(f->c, &d[0]);
	gr_cas_set_cap(f->c, 1000);
	assert_false(gr_cas_has(f->c, &d[0]));
	assert_true(gr_cas_has(f->c, &d[2]));
}

static void a_blob_another_process_evicted_is_not_found(void **state)
{
	struct fix *f = *state;
	struct gr_digest d = put_fill(f->c, 'a', 100);
	char path[256];
	uint64_t size;

	blob_path(f, &d, path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(gr_cas_open_blob(f->c, &d, &size), GR_ENOENT);
	assert_false(gr_cas_has(f->c, &d));
	put_fill(f->c, 'a', 100);
	assert_true(gr_cas_has(f->c, &d));
}

static void a_copy_is_private_and_must_be_new(void **state)
{
	struct fix *f = *state;
	struct gr_digest d = put_fill(f->c, 'a', 300000);
	char path[256], blob[256];
	struct stat st, st2;

	snprintf(path, sizeof(path), "%s/out", f->dir);
	assert_int_equal(gr_cas_copy_out(f->c, &d, AT_FDCWD, path, 0644), 0);
	assert_int_equal(gr_cas_copy_out(f->c, &d, AT_FDCWD, path, 0644), GR_EEXIST);
	blob_path(f, &d, blob);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(stat(blob, &st2), 0);
	assert_int_equal(st.st_size, 300000);
	assert_int_not_equal(st.st_ino, st2.st_ino);
	assert_int_equal(st2.st_nlink, 1);
}

/* RLIMIT_FSIZE stands in for a full disk where a small tmpfs cannot be mounted. */
static void a_write_that_fails_hurts_that_call_only(void **state)
{
	struct fix *f = *state;
	struct rlimit old, small = { 2000, 2000 };
	struct gr_digest d;
	char *p = gr_xalloc(8000);
	struct gr_cas_put *put;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	d = digest_of(p, 8000);
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(gr_cas_put(f->c, &d, p, 8000), GR_ENOSPACE);
	assert_int_equal(gr_cas_put_begin(f->c, &d, 8000, &put), 0);
	assert_int_equal(gr_cas_put_add(put, gr_slice(p, 8000)), GR_ENOSPACE);
	assert_int_equal(gr_cas_put_commit(&put), GR_ENOSPACE);
	put_fill(f->c, 'a', 1000);
	assert_int_equal(count_tmp(f), 0);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(gr_cas_put(f->c, &d, p, 8000), 0);
	free(p);
}

static void a_full_disk_makes_room_by_evicting_or_fails_cleanly(void **state)
{
	struct fix *f = *state;
	struct gr_digest a, big;
	char *p;

	gr_cas_close(&f->c);
	if (mount("none", f->dir, "tmpfs", 0, "size=1m") < 0)
		skip();
	reopen(f, 1 << 30);
	a = put_fill(f->c, 'a', 400000);
	put_fill(f->c, 'b', 400000);
	put_fill(f->c, 'd', 400000);   /* fits only when a went */
	assert_false(gr_cas_has(f->c, &a));
	p = gr_xalloc(3 << 20);
	big = digest_of(p, 3 << 20);
	assert_int_equal(gr_cas_put(f->c, &big, p, 3 << 20), GR_ENOSPACE);
	assert_int_equal(count_tmp(f), 0);
	put_fill(f->c, 'e', 100000);
	free(p);
	gr_cas_close(&f->c);
	umount(f->dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_blob_put_whole_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(an_empty_blob_is_a_blob, setup, teardown),
		cmocka_unit_test_setup_teardown(what_nobody_has_hashed_is_put_under_its_digest, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_content_is_refused_and_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_blob_put_in_pieces_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_blob_is_found_while_running_and_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hole_left_by_a_crash_is_found_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(temporary_files_older_than_an_hour_go_at_start, setup, teardown),
		cmocka_unit_test_setup_teardown(the_least_recently_used_goes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pinned_blob_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pin_may_come_before_the_blob, setup, teardown),
		cmocka_unit_test_setup_teardown(the_cap_holds_at_start, setup, teardown),
		cmocka_unit_test_setup_teardown(two_processes_share_a_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cap_that_is_said_late_spares_what_was_pinned_before, setup, teardown),
		cmocka_unit_test_setup_teardown(a_blob_another_process_evicted_is_not_found, setup, teardown),
		cmocka_unit_test_setup_teardown(a_copy_is_private_and_must_be_new, setup, teardown),
		cmocka_unit_test_setup_teardown(a_write_that_fails_hurts_that_call_only, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_makes_room_by_evicting_or_fails_cleanly, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
