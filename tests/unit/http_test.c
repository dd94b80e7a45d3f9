/* http_test.c - coordinator/http: who may ask, events and their numbers, what is kept of the last minutes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "coordinator/http/events.h"
#include "coordinator/http/http.h"
#include "coordinator/http/recent.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/sha256.h"

/* ---- who asks ---- */

static unsigned asks(const struct gr_http_access *a, const struct gr_auth_facts *f, int wants)
{
	struct gr_request rq = { 0 };
	struct gr_reply r = { .status = 200 };
	bool is_in = gr_auth_check(a, f, wants, &rq, &r);

	assert_int_equal(is_in, r.status == 200);
	gr_buf_fini(&r.body);
	return r.status;
}

static void loopback_without_tokens_is_open_to_this_machine(void **state)
{
	const struct gr_http_access a = { .is_loopback = true };
	static const char *const hosts[] = { "127.0.0.1:7421", "localhost:7421", "LOCALHOST", "[::1]:7421", "127.1.2.3" };

	(void)state;
	for (size_t i = 0; i < GR_LEN(hosts); i++)
		assert_int_equal(asks(&a, &(struct gr_auth_facts){ .host = hosts[i] }, GR_HTTP_ADMIN), 200);
}

static void a_name_that_was_rebound_to_loopback_is_refused(void **state)
{
	const struct gr_http_access a = { .is_loopback = true };
	static const char *const hosts[] = { "evil.example:7421", "127.0.0.1.evil.example", "localhost.evil.example", "127.evil", "[::2]", "" };

	(void)state;
	for (size_t i = 0; i < GR_LEN(hosts); i++)
		assert_int_equal(asks(&a, &(struct gr_auth_facts){ .host = hosts[i] }, GR_HTTP_VIEWER), 403);
	assert_int_equal(asks(&a, &(struct gr_auth_facts){ 0 }, GR_HTTP_VIEWER), 403);
}

static void a_page_of_another_site_is_refused(void **state)
{
	const struct gr_http_access a = { .is_loopback = true };
	const char *h = "127.0.0.1:7421";

	(void)state;
	assert_int_equal(asks(&a, &(struct gr_auth_facts){ .host = h, .origin = "http://127.0.0.1:7421" }, GR_HTTP_ADMIN), 200);
	assert_int_equal(asks(&a, &(struct gr_auth_facts){ .host = h, .origin = "http://127.0.0.1:80" }, GR_HTTP_ADMIN), 403);
	assert_int_equal(asks(&a, &(struct gr_auth_facts){ .host = h, .origin = "null" }, GR_HTTP_ADMIN), 403);
	assert_int_equal(asks(&a, &(struct gr_auth_facts){ .host = h, .fetch_site = "cross-site" }, GR_HTTP_ADMIN), 403);
	assert_int_equal(asks(&a, &(struct gr_auth_facts){ .host = h, .fetch_site = "same-origin" }, GR_HTTP_ADMIN), 200);
	assert_int_equal(asks(&a, &(struct gr_auth_facts){ .host = "evil" }, 0), 200);
}

static void beyond_loopback_without_tokens_only_health_is_served(void **state)
{
	const struct gr_http_access a = { .is_loopback = false };
	const struct gr_auth_facts f = { .host = "127.0.0.1:7421", .authorization = "Bearer x" };

	(void)state;
	assert_int_equal(asks(&a, &f, GR_HTTP_VIEWER), 403);
	assert_int_equal(asks(&a, &f, 0), 200);
}

static void write_tokens(const char *path, const char *roles)
{
	char hex[GR_DIGEST_HEX], text[256];
	struct gr_digest d;

	gr_sha256_of("secret", 6, &d);
	gr_digest_hex(&d, hex);
	snprintf(text, sizeof(text), "# who may\n\n%s %s anna  # here\n", hex, roles);
	assert_int_equal(gr_file_replace(path, text, strlen(text), 0600, false, NULL), 0);
}

static void a_token_has_the_roles_of_its_line(void **state)
{
	char dir[] = "/tmp/http_test.XXXXXX", path[64];
	struct gr_http_access a = { .is_loopback = false };
	struct gr_auth_facts f = { .authorization = "bearer  secret" };
	struct gr_err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/tokens", dir);
	write_tokens(path, "viewer");
	assert_int_equal(gr_tokens_open(path, &a.tokens, &err), 0);
	assert_int_equal(asks(&a, &f, GR_HTTP_VIEWER), 200);
	assert_int_equal(asks(&a, &f, GR_HTTP_CLIENT), 403);
	write_tokens(path, "viewer,admin");
	assert_int_equal(asks(&a, &f, GR_HTTP_ADMIN), 200);
	f.authorization = "Bearer secre";
	assert_int_equal(asks(&a, &f, GR_HTTP_VIEWER), 401);
	f.authorization = "Basic secret";
	assert_int_equal(asks(&a, &f, GR_HTTP_VIEWER), 401);
	f.authorization = NULL;
	assert_int_equal(asks(&a, &f, GR_HTTP_VIEWER), 401);
	f.authorization = "Bearer secret";
	assert_int_equal(gr_file_replace(path, "rubbish\n", 8, 0600, false, NULL), 0);
	assert_int_equal(asks(&a, &f, GR_HTTP_VIEWER), 401);
	unlink(path);
	assert_int_equal(asks(&a, &f, GR_HTTP_VIEWER), 401);
	write_tokens(path, "admin");
	assert_int_equal(asks(&a, &f, GR_HTTP_ADMIN), 200);
	gr_tokens_free(&a.tokens);
	gr_rm_rf(dir);
}

static void a_bad_token_file_is_told_with_its_line(void **state)
{
	static const struct { const char *text, *says; } bad[] = {
		{ "# x\nabc viewer anna\n", ":2: wants" },
		{ "0000000000000000000000000000000000000000000000000000000000000000 root anna\n", ":1: wants" },
		{ "0000000000000000000000000000000000000000000000000000000000000000 viewer\n", ":1: wants" },
		{ "0000000000000000000000000000000000000000000000000000000000000000 viewer a b\n", ":1: wants" },
	};
	char dir[] = "/tmp/http_test.XXXXXX", path[64];
	struct gr_tokens *t = NULL;
	struct gr_err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/tokens", dir);
	for (size_t i = 0; i < GR_LEN(bad); i++) {
		assert_int_equal(gr_file_replace(path, bad[i].text, strlen(bad[i].text), 0600, false, NULL), 0);
		assert_int_equal(gr_tokens_open(path, &t, &err), GR_ECONFIG);
		assert_non_null(strstr(err.text, bad[i].says));
	}
	chmod(path, 0606);
	assert_int_equal(gr_tokens_open(path, &t, &err), GR_ECONFIG);
	unlink(path);
	assert_int_equal(gr_tokens_open(path, &t, &err), GR_ENOENT);
	gr_rm_rf(dir);
}

/* ---- events ---- */

static uint32_t count(const struct gr_buf *b, const char *what)
{
	uint32_t n = 0;

	for (const char *p = (const char *)b->p; p && (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void a_reader_gets_each_event_once_and_in_order(void **state)
{
	struct gr_events *e = gr_events_new(1000);
	struct gr_buf b = { 0 };
	uint64_t at = 0;

	(void)state;
	assert_int_equal(gr_events_read(e, &at, 65536, &b), 1);        /* reset */
	assert_int_equal(count(&b, "event: reset"), 1);
	for (int i = 0; i < 5; i++)
		gr_events_emit(e, "job.state", json_pack("{s:i}", "job", i));
	gr_buf_clear(&b);
	assert_int_equal(gr_events_read(e, &at, 65536, &b), 5);
	assert_int_equal(count(&b, "event: job.state"), 5);
	assert_true(strstr(gr_buf_str(&b), "{\"job\":0}") < strstr(gr_buf_str(&b), "{\"job\":4}"));
	assert_int_equal(gr_events_read(e, &at, 65536, &b), 0);
	gr_buf_fini(&b);
	gr_events_free(&e);
}

static void a_reader_that_missed_too_much_is_told(void **state)
{
	struct gr_events *e = gr_events_new(1000);
	struct gr_buf b = { 0 };
	uint64_t at = 0, old;

	(void)state;
	gr_events_emit(e, "x", json_object());
	gr_events_read(e, &at, 65536, &b);
	old = at;
	for (uint32_t i = 0; i < GR_EVENTS_KEPT; i++)
		gr_events_emit(e, "x", json_object());
	gr_buf_clear(&b);
	assert_int_equal(gr_events_read(e, &at, SIZE_MAX, &b), GR_EVENTS_KEPT);
	gr_events_emit(e, "x", json_object());
	gr_buf_clear(&b);
	assert_int_equal(gr_events_read(e, &old, SIZE_MAX, &b), 1);
	assert_int_equal(count(&b, "event: reset"), 1);
	old = UINT64_MAX;
	assert_int_equal(gr_events_read(e, &old, SIZE_MAX, &b), 1);    /* of a clock that went back */
	gr_buf_fini(&b);
	gr_events_free(&e);
}

static void an_answer_is_bounded(void **state)
{
	struct gr_events *e = gr_events_new(1000);
	struct gr_buf b = { 0 };
	uint64_t at = 0;
	uint32_t n;

	(void)state;
	gr_events_read(e, &at, 1, &b);
	for (int i = 0; i < 100; i++)
		gr_events_emit(e, "x", json_pack("{s:s}", "text", "some forty bytes of text, more or less."));
	gr_buf_clear(&b);
	n = gr_events_read(e, &at, 1000, &b);
	assert_in_range(n, 1, 15);
	assert_int_equal(gr_events_read(e, &at, SIZE_MAX, &b), 100 - n);
	gr_buf_fini(&b);
	gr_events_free(&e);
}

/* ---- recent ---- */

static json_int_t at(json_t *o, const char *list, size_t i)
{
	return json_integer_value(json_array_get(json_object_get(o, list), i));
}

static void the_history_tells_what_each_second_added(void **state)
{
	struct gr_recent *r = gr_recent_new();
	json_t *o;

	(void)state;
	for (uint64_t i = 0; i < GR_RECENT_SECONDS + 5; i++)
		gr_recent_sample(r, 1000 * i, &(struct gr_recent_sample){ .ended = 1000 + i * i, .failed = i, .running = (uint32_t)i });
	o = gr_recent_history_json(r, 0);
	assert_int_equal(json_array_size(json_object_get(o, "ended")), GR_RECENT_SECONDS);
	assert_int_equal(at(o, "ended", GR_RECENT_SECONDS - 1), 2 * (GR_RECENT_SECONDS + 4) - 1);
	assert_int_equal(at(o, "failed", 0), 1);
	assert_int_equal(at(o, "running", 0), 5);
	json_decref(o);
	gr_recent_free(&r);
}

static void the_timeline_tells_what_changed(void **state)
{
	struct gr_recent *r = gr_recent_new();
	struct gr_recent_attempt a = { .kind = "command", .worker = "w", .name = "x", .job = 1, .task = 2, .attempt = 1 };
	json_t *o, *list;
	json_int_t next;

	(void)state;
	gr_recent_begin(r, 10, &a);
	a.task = 3;
	gr_recent_begin(r, 11, &a);
	o = gr_recent_timeline_json(r, 20, 0);
	assert_int_equal(json_array_size(json_object_get(o, "attempts")), 2);
	next = json_integer_value(json_object_get(o, "next"));
	json_decref(o);
	gr_recent_end(r, 30, 1, 2, 1, "done", 7);
	gr_recent_end(r, 30, 1, 2, 9, "done", 7);       /* never began */
	o = gr_recent_timeline_json(r, 40, (uint64_t)next);
	list = json_object_get(o, "attempts");
	assert_int_equal(json_array_size(list), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "exit_code")), 7);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "end_ms")), 30);
	json_decref(o);
	o = gr_recent_timeline_json(r, 40, 99999);      /* a page that knew another coordinator */
	assert_true(json_is_true(json_object_get(o, "restarted")));
	assert_int_equal(json_array_size(json_object_get(o, "attempts")), 2);
	json_decref(o);
	for (uint64_t i = 0; i < 2 * GR_RECENT_ATTEMPTS; i++) {
		if (!gr_recent_has_room(r))
			gr_recent_sample(r, 50, &(struct gr_recent_sample){ .ended = 0 });
		a.task = 100 + i;
		assert_true(gr_recent_begin(r, 50, &a) > 0);
	}
	gr_recent_end(r, 60, 1, 3, 1, "done", 0);       /* no longer kept */
	o = gr_recent_timeline_json(r, 70, 0);
	assert_int_equal(json_array_size(json_object_get(o, "attempts")), GR_RECENT_ATTEMPTS);
	json_decref(o);
	gr_recent_free(&r);
}

static void the_timeline_keeps_some_of_a_flood(void **state)
{
	struct gr_recent *r = gr_recent_new();
	struct gr_recent_attempt a = { .kind = "command", .worker = "w", .name = "x", .job = 1, .attempt = 1 };
	uint32_t n = 0;
	json_t *o;

	(void)state;
	for (int second = 0; second < 3; second++) {
		for (uint64_t i = 0; i < 2 * GR_RECENT_A_SECOND; i++, a.task++)
			n += gr_recent_begin(r, 10, &a) > 0;
		assert_false(gr_recent_has_room(r));
		gr_recent_sample(r, 1000, &(struct gr_recent_sample){ .ended = 0 });
	}
	assert_int_equal(n, 3 * GR_RECENT_A_SECOND);
	o = gr_recent_timeline_json(r, 20, 0);
	assert_int_equal(json_array_size(json_object_get(o, "attempts")), 3 * GR_RECENT_A_SECOND);
	json_decref(o);
	gr_recent_free(&r);
}

/* ---- routes ---- */

static void routes_are_matched_whole(void **state)
{
	static const struct { const char *method, *path; unsigned status; } cases[] = {
		{ "GET", "/livez", 200 }, { "HEAD", "/livez", 200 }, { "GET", "/livez/", 404 }, { "GET", "/live", 404 }, { "GET", "", 404 },
		{ "POST", "/livez", 405 }, { "GET", "/web/app.js", 200 }, { "GET", "/web/", 404 }, { "GET", "/web/a/b", 404 },
		{ "BREW", "/api/v1/status", 405 },
	};

	(void)state;
	for (size_t i = 0; i < GR_LEN(cases); i++) {
		struct gr_request rq = { .method = cases[i].method, .path = cases[i].path };
		struct gr_reply r = { 0 };
		char scratch[64];

		assert_int_equal(gr_api_route(&rq, scratch, &r) != NULL, cases[i].status == 200);
		assert_int_equal(r.status, cases[i].status);
		gr_buf_fini(&r.body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loopback_without_tokens_is_open_to_this_machine),
		cmocka_unit_test(a_name_that_was_rebound_to_loopback_is_refused),
		cmocka_unit_test(a_page_of_another_site_is_refused),
		cmocka_unit_test(beyond_loopback_without_tokens_only_health_is_served),
		cmocka_unit_test(a_token_has_the_roles_of_its_line),
		cmocka_unit_test(a_bad_token_file_is_told_with_its_line),
		cmocka_unit_test(a_reader_gets_each_event_once_and_in_order),
		cmocka_unit_test(a_reader_that_missed_too_much_is_told),
		cmocka_unit_test(an_answer_is_bounded),
		cmocka_unit_test(the_history_tells_what_each_second_added),
		cmocka_unit_test(the_timeline_tells_what_changed), cmocka_unit_test(the_timeline_keeps_some_of_a_flood),
		cmocka_unit_test(routes_are_matched_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
