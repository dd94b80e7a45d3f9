/* load_http1_test.c - answers of HTTP/1.1: whole, in single bytes, interim, chunked, until the end, and malformed ones */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/load/http1.h"

struct got {
	enum gr_http1_step end;
	char body[512];
	size_t n_body, n_left;
	struct gr_http1 h;
};

/* @piece bytes at a time; what is not used stays in front of the next. */
static struct got run(const char *text, size_t n, size_t piece, bool is_head)
{
	struct got g = { 0 };
	size_t at = 0, end = 0;

	gr_http1_init(&g.h, is_head);
	for (;;) {
		struct gr_slice data = { 0 };
		size_t used;

		g.end = gr_http1_feed(&g.h, gr_slice(text + at, end - at), &used, &data);
		at += used;
		if (g.end == GR_HTTP1_BODY) {
			memcpy(g.body + g.n_body, data.p, data.n);
			g.n_body += data.n;
		} else if (g.end != GR_HTTP1_HEAD && g.end != GR_HTTP1_MORE) {
			break;
		} else if (g.end == GR_HTTP1_MORE && !used) {
			if (end == n)
				break;
			end = end + piece > n ? n : end + piece;
		}
	}
	g.n_left = n - at;
	return g;
}

static void expect(const char *text, bool is_head, enum gr_http1_step end, int status, const char *body, bool is_close)
{
	for (size_t piece = 1; piece <= strlen(text); piece++) {
		struct got g = run(text, strlen(text), piece, is_head);

		if (g.end != end)
			fail_msg("%s\nin pieces of %zu ends as %d, not %d", text, piece, g.end, end);
		if (end >= GR_HTTP1_BAD_HEAD)
			continue;
		assert_int_equal(g.h.status, status);
		assert_int_equal(g.n_body, strlen(body));
		assert_memory_equal(g.body, body, g.n_body);
		assert_int_equal(g.h.is_close, is_close);
	}
}

static void answers_are_read_in_pieces_of_any_size(void **state)
{
	(void)state;
	expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, GR_HTTP1_DONE, 200, "hello", false);
	expect("HTTP/1.1 200\r\nContent-Length: 5\r\nConnection: x, Close\r\n\r\nhello", false, GR_HTTP1_DONE, 200, "hello", true);
	expect("HTTP/1.0 200 OK\nContent-Length:5\n\nhello", false, GR_HTTP1_DONE, 200, "hello", true);
	expect("HTTP/1.1 204 No Content\r\n\r\n", false, GR_HTTP1_DONE, 204, "", false);
	expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, GR_HTTP1_DONE, 200, "", false);
	expect("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, GR_HTTP1_DONE, 200, "", false);
	expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;e=1\r\n0123456789\r\n0\r\nT: x\r\n\r\n", false, GR_HTTP1_DONE, 200,
	       "abc0123456789", false);
	expect("HTTP/1.1 101 Other\r\n\r\n", false, GR_HTTP1_DONE, 101, "", true);   /* what follows is no HTTP */
	expect("HTTP/1.1 200 OK\r\n\r\nto the end", false, GR_HTTP1_MORE, 200, "to the end", true);
}

static void what_is_malformed_is_refused(void **state)
{
	(void)state;
	expect("SSH-2.0-OpenSSH_9\r\n", false, GR_HTTP1_BAD_HEAD, 0, "", false);
	expect("HTTP/1.1 20x OK\r\n\r\n", false, GR_HTTP1_BAD_HEAD, 0, "", false);
	expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", false, GR_HTTP1_BAD_HEAD, 0, "", false);
	expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false, GR_HTTP1_BAD_HEAD, 0, "", false);
	expect("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", false, GR_HTTP1_BAD_HEAD, 0, "", false);
	expect("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", false, GR_HTTP1_BAD_HEAD, 0, "", false);
	expect("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", false, GR_HTTP1_BAD_HEAD, 0, "", false);
	expect("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", false, GR_HTTP1_BAD_HEAD, 0, "", false);
	expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", false, GR_HTTP1_BAD_CHUNK, 0, "", false);
	expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", false, GR_HTTP1_BAD_CHUNK, 0, "", false);
	expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", false, GR_HTTP1_BAD_CHUNK, 0, "", false);
}

static void a_flood_of_headers_ends_at_the_limit(void **state)
{
	struct gr_buf b = { 0 };
	struct gr_http1 h;
	struct gr_slice data;
	size_t used;

	(void)state;
	gr_buf_add_str(&b, "HTTP/1.1 200 OK\r\n");
	while (b.n <= GR_HTTP1_MAX_HEAD_BYTES)
		gr_buf_add_str(&b, "X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
	gr_http1_init(&h, false);
	assert_int_equal(gr_http1_feed(&h, gr_buf_slice(&b), &used, &data), GR_HTTP1_FLOOD);
	gr_buf_fini(&b);
}

static void fields_are_found_whatever_their_case(void **state)
{
	struct gr_slice head = gr_slice_str("Server: x\r\nX-Token:  abc \r\nEmpty:\r\n"), v;

	(void)state;
	assert_true(gr_http1_find(head, "x-tokeN", &v));
	assert_true(gr_slice_is(v, "abc"));
	assert_true(gr_http1_find(head, "empty", &v));
	assert_int_equal(v.n, 0);
	assert_false(gr_http1_find(head, "token", &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_in_pieces_of_any_size),
		cmocka_unit_test(what_is_malformed_is_refused),
		cmocka_unit_test(a_flood_of_headers_ends_at_the_limit),
		cmocka_unit_test(fields_are_found_whatever_their_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
