/* base_test.c - lib/base: err, buf, map, path, file, sha256, proc, list */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/path.h"
#include "lib/base/pool.h"
#include "lib/base/proc.h"
#include "lib/base/remove.h"
#include "lib/base/rng.h"
#include "lib/base/sha256.h"
#include "lib/base/suggest.h"
#include "lib/base/utf8.h"

/* ---- err ---- */

static void every_error_has_a_name_a_text_an_exit_status_and_a_class(void **state)
{
	static const int codes[] = {
#define X(num, name, text, exit, class) GR_##name,
		GR_ERR_MAP(X)
#undef X
	};

	for (size_t i = 0; i < GR_LEN(codes); i++) {
		assert_true(codes[i] < 0);
		assert_string_not_equal(gr_err_name(codes[i]), "EUNKNOWN");
		assert_true(strlen(gr_err_text(codes[i])) > 0);
		assert_true(gr_err_exit(codes[i]) > 0);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(codes[i], codes[k]);
	}
	assert_string_equal(gr_err_name(-9999), "EUNKNOWN");
	assert_int_equal(gr_err_exit(-9999), GR_EXIT_BUG);
	assert_int_equal(gr_err_class(GR_EPROTO), GR_CLASS_PEER);
	assert_int_equal(gr_err_exit(GR_EUNREACH), GR_EXIT_UNREACHABLE);
}

static void a_caller_prepends_what_it_was_doing(void **state)
{
	struct gr_err e;

	assert_int_equal(gr_err_set(&e, GR_EIO, "disk %d", 7), GR_EIO);
	assert_int_equal(gr_err_wrap(&e, "cache %s", "x"), GR_EIO);
	gr_err_wrap(&e, "task");
	assert_string_equal(e.text, "task: cache x: disk 7");
	assert_int_equal(gr_err_set(NULL, GR_EBUSY, "nobody reads this"), GR_EBUSY);
	assert_int_equal(gr_err_wrap(NULL, "x"), 0);
}

static void a_long_error_text_is_cut_and_stays_terminated(void **state)
{
	struct gr_err e;

	gr_err_set(&e, GR_EIO, "%02000d", 1);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	gr_err_wrap(&e, "%02000d", 2);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	gr_err_wrap(&e, "short");
	assert_int_equal(strncmp(e.text, "short: ", 7), 0);
}

static void errno_values_map_to_the_table(void **state)
{
	assert_int_equal(gr_err_errno(ENOSPC), GR_ENOSPACE);
	assert_int_equal(gr_err_errno(ENOENT), GR_ENOENT);
	assert_int_equal(gr_err_errno(ENOTDIR), GR_ENOENT);
	assert_int_equal(gr_err_errno(ETIMEDOUT), GR_ETIME);
	assert_int_equal(gr_err_errno(EXDEV), GR_EIO);
}

/* ---- buf ---- */

static void a_buffer_grows_and_stays_terminated(void **state)
{
	struct gr_buf b = { 0 };
	size_t n;
	char *s;

	assert_string_equal(gr_buf_str(&b), "");
	for (int i = 0; i < 1000; i++)
		gr_buf_printf(&b, "%03d,", i);
	assert_int_equal(b.n, 4000);
	assert_int_equal(b.p[4000], 0);
	assert_memory_equal(b.p + 3996, "999,", 4);
	gr_buf_clear(&b);
	assert_string_equal(gr_buf_str(&b), "");
	gr_buf_add(&b, "a\0b", 3);
	s = gr_buf_take(&b, &n);
	assert_int_equal(n, 3);
	assert_memory_equal(s, "a\0b", 4);
	assert_null(b.p);
	free(s);
	s = gr_buf_take(&b, &n);
	assert_string_equal(s, "");
	free(s);
	gr_buf_fini(&b);
}

static void printf_into_a_buffer_takes_any_length(void **state)
{
	struct gr_buf b = { 0 };

	gr_buf_printf(&b, "%s", "");
	gr_buf_printf(&b, "%5000d|", 1);
	assert_int_equal(b.n, 5001);
	assert_int_equal(b.p[5000], '|');
	gr_buf_fini(&b);
	for (int64_t v = INT64_MIN;; v = v < 0 ? v / 7 : v * 7 + 3) {
		char want[32];

		snprintf(want, sizeof(want), "%" PRId64, v);
		gr_buf_add_int(&b, v);
		assert_string_equal(gr_buf_str(&b), want);
		gr_buf_clear(&b);
		if (v > INT64_MAX / 8)
			break;
	}
	gr_buf_add_int(&b, INT64_MAX);
	assert_string_equal(gr_buf_str(&b), "9223372036854775807");
	gr_buf_fini(&b);
	/* each length beside each room there may be */
	for (size_t before = 0; before < 140; before++)
		for (int n = 0; n < 70; n++) {
			for (size_t i = 0; i < before; i++)
				gr_buf_add_byte(&b, 'x');
			gr_buf_printf(&b, "%.*s", n, "0123456789012345678901234567890123456789012345678901234567890123456789");
			assert_int_equal(b.n, before + (size_t)n);
			assert_true(b.n < b.cap);
			assert_int_equal(strlen((const char *)b.p), b.n);
			assert_true(n == 0 || b.p[b.n - 1] == '0' + (n - 1) % 10);
			gr_buf_fini(&b);
		}
}

static void slices_compare_and_lose_prefixes(void **state)
{
	struct gr_slice rest;

	assert_true(gr_slice_is(gr_slice("abc", 3), "abc"));
	assert_false(gr_slice_is(gr_slice("abc", 2), "abc"));
	assert_true(gr_slice_eq(gr_slice(NULL, 0), gr_slice("x", 0)));
	assert_true(gr_slice_prefix(gr_slice_str("-Ifoo"), "-I", &rest));
	assert_true(gr_slice_is(rest, "foo"));
	assert_false(gr_slice_prefix(gr_slice_str("-"), "-I", &rest));
}

/* ---- map ---- */

static void a_map_agrees_with_an_array_through_puts_and_deletes(void **state)
{
	enum { N = 500 };
	static uint32_t keys[N];
	struct gr_map m = { 0 };
	struct gr_rng rng = { 42 };
	bool is_in[N] = { false };
	size_t n = 0, i = 0, seen = 0;

	for (uint32_t k = 0; k < N; k++)
		keys[k] = k;
	for (int step = 0; step < 20000; step++) {
		uint32_t k = gr_rng_below(&rng, N);
		void *old;

		if (gr_rng_below(&rng, 2)) {
			old = gr_map_put(&m, &keys[k], sizeof(keys[k]), &keys[k]);
			assert_ptr_equal(old, is_in[k] ? &keys[k] : NULL);
			n += !is_in[k];
			is_in[k] = true;
		} else {
			old = gr_map_del(&m, &keys[k], sizeof(keys[k]));
			assert_ptr_equal(old, is_in[k] ? &keys[k] : NULL);
			n -= is_in[k];
			is_in[k] = false;
		}
		assert_int_equal(m.n, n);
	}
	for (uint32_t k = 0; k < N; k++)
		assert_ptr_equal(gr_map_get(&m, &keys[k], sizeof(keys[k])), is_in[k] ? &keys[k] : NULL);
	while (gr_map_each(&m, &i))
		seen++;
	assert_int_equal(seen, n);
	gr_map_fini(&m);
	assert_null(gr_map_get(&m, "x", 1));
	assert_null(gr_map_del(&m, "x", 1));
}

static void a_map_tells_keys_apart_by_length_too(void **state)
{
	struct gr_map m = { .seed = 7 };
	int a, b;

	gr_map_put(&m, "ab", 1, &a);
	gr_map_put(&m, "ab", 2, &b);
	assert_ptr_equal(gr_map_get(&m, "a", 1), &a);
	assert_ptr_equal(gr_map_get(&m, "ab", 2), &b);
	assert_null(gr_map_get(&m, "", 0));
	assert_ptr_equal(gr_map_put(&m, "ab", 2, &a), &b);
	gr_map_fini(&m);
}

/* ---- path ---- */

static void paths_join_and_come_out_clean(void **state)
{
	static const struct { const char *dir, *name, *want; } rows[] = {
		{ "/a", "b", "/a/b" }, { "/a/", "./b//c/", "/a/b/c" }, { "/a", "/b", "/b" }, { "/a", "..", "/" },
		{ "/a", "../..", "/" }, { "/", "../x", "/x" }, { "", "", "." }, { "a", "..", "." }, { "a", "../..", ".." },
		{ "..", "..", "../.." }, { "../a", "..", ".." }, { "a/b", "../c", "a/c" }, { "/a/b/../c", ".", "/a/c" },
		{ "", "a", "a" }, { "a", "", "a" }, { "/", "", "/" }, { "//", "a", "/a" }, { "/a", "b/..", "/a" },
	};
	struct gr_buf b = { 0 };

	for (size_t i = 0; i < GR_LEN(rows); i++) {
		gr_buf_clear(&b);
		gr_buf_add_str(&b, "kept:");
		gr_path_join(&b, gr_slice_str(rows[i].dir), gr_slice_str(rows[i].name));
		assert_string_equal(gr_buf_str(&b) + 5, rows[i].want);
	}
	gr_buf_fini(&b);
}

static void below_means_the_folder_or_in_it(void **state)
{
	assert_true(gr_path_is_below(gr_slice_str("/a/b"), gr_slice_str("/a")));
	assert_true(gr_path_is_below(gr_slice_str("/a"), gr_slice_str("/a")));
	assert_true(gr_path_is_below(gr_slice_str("/a"), gr_slice_str("/")));
	assert_false(gr_path_is_below(gr_slice_str("/ab"), gr_slice_str("/a")));
	assert_false(gr_path_is_below(gr_slice_str("/"), gr_slice_str("/a")));
}

static void only_absolute_clean_short_paths_are_safe(void **state)
{
	static const char *const bad[] = { "", "/", "a", "/a/", "//a", "/a//b", "/a/./b", "/a/../b", "/..", "/.", "/a/.." };
	char *longest = gr_xalloc(5000);

	for (size_t i = 0; i < GR_LEN(bad); i++)
		assert_false(gr_path_is_safe(gr_slice_str(bad[i])));
	assert_true(gr_path_is_safe(gr_slice_str("/a")));
	assert_true(gr_path_is_safe(gr_slice_str("/a/..b/.c/...")));
	assert_false(gr_path_is_safe(gr_slice("/a\0b", 4)));
	memset(longest, 'x', 4999);
	for (size_t i = 0; i < 4999; i += 200)
		longest[i] = '/';
	assert_false(gr_path_is_safe(gr_slice(longest, 4096)));
	assert_true(gr_path_is_safe(gr_slice(longest, 4095)));
	memset(longest + 1, 'x', 300);
	assert_false(gr_path_is_safe(gr_slice(longest, 260)));
	free(longest);
}

static void paths_have_a_folder_a_name_and_an_ending(void **state)
{
	assert_true(gr_slice_is(gr_path_dir(gr_slice_str("a/b")), "a"));
	assert_true(gr_slice_is(gr_path_dir(gr_slice_str("b")), "."));
	assert_true(gr_slice_is(gr_path_dir(gr_slice_str("/b")), "/"));
	assert_true(gr_slice_is(gr_path_base(gr_slice_str("a/b.c")), "b.c"));
	assert_true(gr_slice_is(gr_path_ext(gr_slice_str("a.b/c.tar.gz")), ".gz"));
	assert_int_equal(gr_path_ext(gr_slice_str("a.b/.hidden")).n, 0);
	assert_int_equal(gr_path_ext(gr_slice_str("a.b/c")).n, 0);
}

/* ---- file ---- */

static char dir[64];

static void in_dir(char *out, const char *name) { snprintf(out, 128, "%s/%s", dir, name); }

static void a_file_is_replaced_whole_and_leaves_no_temporary(void **state)
{
	struct gr_buf b = { 0 };
	struct gr_err e;
	struct stat st;
	char path[128];

	in_dir(path, "f");
	assert_int_equal(gr_file_replace(path, "one", 3, 0640, true, &e), 0);
	assert_int_equal(gr_file_replace(path, "two!", 4, 0600, false, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(gr_file_read(path, 4, &b, &e), 0);
	assert_string_equal(gr_buf_str(&b), "two!");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	gr_buf_fini(&b);
}

static void a_file_larger_than_the_limit_is_an_error(void **state)
{
	struct gr_buf b = { 0 };
	struct gr_err e;
	char path[128];

	in_dir(path, "big");
	assert_int_equal(gr_file_replace(path, "12345", 5, 0600, false, &e), 0);
	assert_int_equal(gr_file_read(path, 4, &b, &e), GR_ELIMIT);
	assert_non_null(strstr(e.text, path));
	assert_int_equal(gr_file_read("/proc/self/maps", 10, &b, &e), GR_ELIMIT);   /* a file that tells no size */
	in_dir(path, "absent");
	assert_int_equal(gr_file_read(path, 10, &b, &e), GR_ENOENT);
	gr_buf_fini(&b);
}

static void folders_are_made_and_removed_as_a_tree(void **state)
{
	char path[128], link_path[128], outside[128];
	struct gr_err e;
	struct stat st;

	in_dir(path, "a/b/c");
	in_dir(link_path, "a/link");
	in_dir(outside, "outside");
	assert_int_equal(gr_mkdir_p(path, 0755, &e), 0);
	assert_int_equal(gr_mkdir_p(path, 0755, &e), 0);
	assert_int_equal(gr_file_replace(outside, "x", 1, 0600, false, &e), 0);
	assert_int_equal(symlink(dir, link_path), 0);
	in_dir(path, "a");
	assert_int_equal(gr_rm_rf(path), 0);
	assert_int_not_equal(lstat(path, &st), 0);
	assert_int_equal(stat(outside, &st), 0);
	assert_int_equal(gr_rm_rf(path), 0);
	in_dir(path, "outside/x");
	assert_int_equal(gr_mkdir_p(path, 0755, &e), GR_ENOENT);
}

/* ---- sha256 ---- */

static void removes_trees_of_any_depth_and_mode(void **state)
{
	char tree[] = "/tmp/remove-test-XXXXXX";
	int fd, top;

	(void)state;
	assert_non_null(mkdtemp(tree));
	top = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		int sub;

		assert_int_equal(mkdirat(fd, "dddddddd", 0755), 0);
		sub = openat(fd, "dddddddd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = sub;
	}
	close(openat(fd, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0));
	close(fd);
	assert_int_equal(symlinkat("/etc", top, "link"), 0);
	assert_int_equal(mkdirat(top, "closed", 0755), 0);
	assert_int_equal(mkdirat(top, "closed/in", 0755), 0);
	assert_int_equal(fchmodat(top, "closed", 0, 0), 0);
	assert_int_equal(gr_remove_in(top), 0);
	assert_int_equal(rmdir(tree), 0);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
}

static void digests_match_the_published_vectors(void **state)
{
	struct gr_digest d, again;
	struct gr_sha256 *h = gr_sha256_new();
	char hex[GR_DIGEST_HEX];

	gr_sha256_of("abc", 3, &d);
	gr_digest_hex(&d, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(gr_digest_parse(hex, &again), 0);
	assert_true(gr_digest_eq(&d, &again));
	gr_sha256_of("", 0, &d);
	gr_digest_hex(&d, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	gr_sha256_add(h, "a", 1);
	gr_sha256_add(h, "bc", 2);
	gr_sha256_end(h, &d);
	assert_true(gr_digest_eq(&d, &again));
	gr_sha256_add_str(h, "ab");
	gr_sha256_add_str(h, "c");
	gr_sha256_end(h, &d);
	gr_sha256_add_str(h, "a");
	gr_sha256_add_str(h, "bc");
	gr_sha256_end(h, &again);
	assert_false(gr_digest_eq(&d, &again));
	gr_sha256_free(&h);
	assert_null(h);
}

static void a_digest_is_exactly_64_hex_digits(void **state)
{
	struct gr_digest d;
	char hex[80];

	memset(hex, 'a', sizeof(hex));
	hex[64] = 0;
	assert_int_equal(gr_digest_parse(hex, &d), 0);
	hex[10] = 'g';
	assert_int_equal(gr_digest_parse(hex, &d), GR_EINVAL);
	hex[10] = 'a';
	hex[63] = 0;
	assert_int_equal(gr_digest_parse(hex, &d), GR_EINVAL);
	memset(hex, 'a', 65);
	hex[65] = 0;
	assert_int_equal(gr_digest_parse(hex, &d), GR_EINVAL);
	assert_int_equal(gr_digest_parse("", &d), GR_EINVAL);
}

static void a_file_is_digested_from_its_start(void **state)
{
	struct gr_digest want, got;
	uint64_t size;
	char path[128];
	FILE *f;

	in_dir(path, "d");
	f = fopen(path, "w+");
	for (int i = 0; i < 100000; i++)
		fputs("abcdefghij", f);
	fflush(f);
	{
		struct gr_buf b = { 0 };

		assert_int_equal(gr_file_read(path, 1 << 21, &b, NULL), 0);
		gr_sha256_of(b.p, b.n, &want);
		gr_buf_fini(&b);
	}
	rewind(f);
	assert_int_equal(gr_sha256_fd(fileno(f), &got, &size), 0);
	assert_int_equal(size, 1000000);
	assert_true(gr_digest_eq(&want, &got));
	fclose(f);
}

/* ---- proc ---- */

static void a_program_gives_its_output_and_its_code(void **state)
{
	const char *const argv[] = { "sh", "-c", "cat; pwd; echo \"$X\"; echo err >&2; exit 3", NULL };
	const char *const envp[] = { "X=y", "PATH=/usr/bin:/bin", NULL };
	struct gr_buf out = { 0 }, err = { 0 };
	struct gr_err e;

	assert_int_equal(gr_proc_capture(argv, (char *const *)envp, "/", 1000, &out, &err, &e), 3);
	assert_string_equal(gr_buf_str(&out), "/\ny\n");
	assert_string_equal(gr_buf_str(&err), "err\n");
	gr_buf_fini(&out);
	gr_buf_fini(&err);
}

static void a_program_that_fills_both_pipes_does_not_hang(void **state)
{
	const char *const argv[] = { "sh", "-c", "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero", NULL };
	struct gr_buf out = { 0 }, err = { 0 };

	assert_int_equal(gr_proc_capture(argv, NULL, NULL, 1 << 20, &out, &err, NULL), 0);
	assert_int_equal(out.n, 300000);
	assert_int_equal(err.n, 300000);
	gr_buf_fini(&out);
	gr_buf_fini(&err);
}

static void a_program_that_says_too_much_is_ended(void **state)
{
	const char *const argv[] = { "cat", "/dev/zero", NULL }, *const absent[] = { "no-such-program-here", NULL };
	const char *const killed[] = { "sh", "-c", "kill -9 $$", NULL };
	struct gr_buf out = { 0 };
	struct gr_err e;

	assert_int_equal(gr_proc_capture(argv, NULL, NULL, 100000, &out, NULL, &e), GR_ELIMIT);
	assert_int_equal(gr_proc_capture(absent, NULL, NULL, 10, &out, NULL, &e), GR_ENOENT);
	assert_int_equal(gr_proc_capture(killed, NULL, NULL, 10, NULL, NULL, &e), 128 + SIGKILL);
	gr_buf_fini(&out);
}

/* ---- list, alloc ---- */

struct item {
	int v;
	struct gr_list link;
};

static void a_list_keeps_order_and_forgets_twice_without_harm(void **state)
{
	struct item items[4];
	struct gr_list head;
	int sum = 0, n = 0;

	gr_list_init(&head);
	assert_true(gr_list_is_empty(&head));
	assert_null(gr_list_pop(&head));
	for (int i = 0; i < 4; i++) {
		items[i].v = i;
		gr_list_init(&items[i].link);
		if (i < 3)
			gr_list_push(&head, &items[i].link);
		else
			gr_list_push_front(&head, &items[i].link);
	}
	GR_LIST_EACH(it, &head, struct item, link)
		sum = sum * 10 + it->v;
	assert_int_equal(sum, 3012);
	GR_LIST_EACH_SAFE(it, &head, struct item, link) {
		if (it->v & 1) {
			gr_list_del(&it->link);
			gr_list_del(&it->link);
		}
		n++;
	}
	assert_int_equal(n, 4);
	assert_ptr_equal(gr_list_pop(&head), &items[0].link);
	assert_ptr_equal(gr_list_pop(&head), &items[2].link);
	assert_true(gr_list_is_empty(&head));
}

static void a_list_is_spliced_whole_behind_another(void **state)
{
	struct item items[5];
	struct gr_list a, b;

	gr_list_init(&a);
	gr_list_init(&b);
	gr_list_splice(&a, &b);
	assert_true(gr_list_is_empty(&a));
	for (int i = 0; i < 5; i++) {
		items[i].v = i + 1;
		gr_list_push(i < 2 ? &a : &b, &items[i].link);
	}
	for (int turn = 0; turn < 2; turn++) {
		int sum = 0;

		gr_list_splice(turn ? &b : &a, turn ? &a : &b);               /* behind some; into none */
		assert_true(gr_list_is_empty(turn ? &a : &b));
		GR_LIST_EACH(it, turn ? &b : &a, struct item, link)
			sum = sum * 10 + it->v;
		assert_int_equal(sum, 12345);
	}
	for (int i = 5; i > 0; i--) {                                         /* and the same from the end */
		assert_ptr_equal(b.prev, &items[i - 1].link);
		gr_list_del(b.prev);
	}
	assert_true(gr_list_is_empty(&b));
}

static void what_comes_out_of_a_pool_is_zeroed_and_its_own(void **state)
{
	struct gr_pool p = { .size = 40 };
	uint8_t *x[100];

	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i < 100; i++) {
			x[i] = gr_pool_get(&p);
			for (int k = 0; k < 40; k++)
				assert_int_equal(x[i][k], 0);
			memset(x[i], i + 1, 40);
		}
		for (int i = 0; i < 100; i++) {
			for (int k = 0; k < 40; k++)
				assert_int_equal(x[i][k], i + 1);
			gr_pool_put(&p, x[i]);
		}
	}
	gr_pool_fini(&p);
	assert_null(p.free);
}

static void arrays_grow_by_doubling_and_keep_their_content(void **state)
{
	uint32_t cap = 0;
	int *a = NULL;

	for (int i = 0; i < 1000; i++) {
		GR_GROW(a, cap, i + 1);
		a[i] = i;
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(a[i], i);
	assert_true(cap >= 1000 && cap <= 2048);
	free(a);
	assert_null(gr_tryalloc((size_t)1 << 62));
}

static void a_span_grows_in_place(void **state)
{
	enum { MOST = 1 << 30, STEP = 3 << 20 };
	uint8_t *span = gr_xspan(MOST);

	(void)state;
	assert_int_equal((uintptr_t)span % 64, 0);
	for (size_t n = 0; n < 5 * STEP; n += STEP) {
		gr_xspan_use(span, n, n + STEP);
		for (size_t i = n; i < n + STEP; i += 4096) {
			assert_int_equal(span[i], 0);
			span[i] = (uint8_t)(i >> 12);
		}
		assert_int_equal(span[n + STEP - 1], 0);
	}
	for (size_t i = 0; i < 5 * STEP; i += 4096)
		assert_int_equal(span[i], (uint8_t)(i >> 12));
	gr_xspan_free(span, MOST);
	gr_xspan_free(NULL, MOST);
}

static void utf8_is_what_json_takes(void **state)
{
	static const char *const good[] = { "", "a/b", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\xe9", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80", "\x80", "\xe2\x82", "\xe2\x82z", "a\xff" };
	static const struct { const char *text; size_t max; const char *shown; } shows[] = {
		{ "a\xe9 \xc3\xa9\n\x7f", 99, "a\\xe9 \xc3\xa9\\x0a\\x7f" }, { "ab\xc3\xa9", 4, "ab\xc3\xa9" }, { "ab\xc3\xa9", 3, "ab..." },
		{ "a\xff", 4, "a..." }, { "", 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < GR_LEN(good); i++)
		assert_true(gr_utf8_is(gr_slice_str(good[i])));
	for (size_t i = 0; i < GR_LEN(bad); i++)
		assert_false(gr_utf8_is(gr_slice_str(bad[i])));
	for (size_t i = 0; i < GR_LEN(shows); i++) {
		struct gr_buf b = { 0 };

		gr_utf8_show(&b, gr_slice_str(shows[i].text), shows[i].max);
		assert_string_equal(gr_buf_str(&b), shows[i].shown);
		gr_buf_fini(&b);
	}
}

static void suggests_near_words_only(void **state)
{
	static const char *const stems[] = { "mem", "mem_limit", "me" };
	static const char *const names[] = { "make", "status", "nodes", "keys", "doctor", "version" };

	(void)state;
	assert_string_equal(gr_suggest("mkae", names, 6), "make");
	assert_string_equal(gr_suggest("stat", names, 6), "status");
	assert_string_equal(gr_suggest("node", names, 6), "nodes");
	assert_null(gr_suggest("frobnicate", names, 6));
	assert_string_equal(gr_suggest("memory", stems, 3), "mem");
	assert_string_equal(gr_suggest("mem_limit_mb", stems, 3), "mem_limit");
	assert_null(gr_suggest("memory", stems + 1, 2));
	assert_null(gr_suggest("", names, 6));
}

static void a_complaint_ends_with_what_was_meant_or_with_what_there_is(void **state)
{
	static const char *const names[] = { "cpus", "mem", "disk", "a", "b", "c", "d", "e", "f" };
	struct gr_buf b = { 0 };

	(void)state;
	gr_suggest_add("cpu", names, 3, &b);
	assert_string_equal(gr_buf_str(&b), "; did you mean \"cpus\"?");
	gr_buf_clear(&b);
	gr_suggest_add("ram", names, 3, &b);
	assert_string_equal(gr_buf_str(&b), "; there is cpus, mem and disk");
	gr_buf_clear(&b);
	gr_suggest_add("frobnicate", names, 9, &b);      /* too many to list */
	assert_string_equal(gr_buf_str(&b), "");
	gr_buf_fini(&b);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/base_test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return gr_rm_rf(dir);
}

int main(void)
{
#define T(f) cmocka_unit_test(f)
#define TD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(every_error_has_a_name_a_text_an_exit_status_and_a_class), T(a_caller_prepends_what_it_was_doing),
		T(a_long_error_text_is_cut_and_stays_terminated), T(errno_values_map_to_the_table),
		T(a_buffer_grows_and_stays_terminated), T(printf_into_a_buffer_takes_any_length), T(slices_compare_and_lose_prefixes),
		T(a_map_agrees_with_an_array_through_puts_and_deletes), T(a_map_tells_keys_apart_by_length_too),
		T(paths_join_and_come_out_clean), T(below_means_the_folder_or_in_it), T(only_absolute_clean_short_paths_are_safe),
		T(paths_have_a_folder_a_name_and_an_ending),
		TD(a_file_is_replaced_whole_and_leaves_no_temporary), TD(a_file_larger_than_the_limit_is_an_error),
		TD(folders_are_made_and_removed_as_a_tree), T(removes_trees_of_any_depth_and_mode),
		T(digests_match_the_published_vectors),
		T(a_digest_is_exactly_64_hex_digits), TD(a_file_is_digested_from_its_start),
		T(a_program_gives_its_output_and_its_code), T(a_program_that_fills_both_pipes_does_not_hang),
		T(a_program_that_says_too_much_is_ended), T(a_list_keeps_order_and_forgets_twice_without_harm),
		T(a_list_is_spliced_whole_behind_another), T(what_comes_out_of_a_pool_is_zeroed_and_its_own),
		T(arrays_grow_by_doubling_and_keep_their_content), T(a_span_grows_in_place), T(suggests_near_words_only), T(utf8_is_what_json_takes),
		T(a_complaint_ends_with_what_was_meant_or_with_what_there_is),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
