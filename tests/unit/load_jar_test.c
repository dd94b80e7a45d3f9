/* load_jar_test.c - cookies: which are kept, which are given to whom, and how many */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/load/jar.h"

#define NOW 1800000000

/* "https://host/path" */
static struct gr_jar_url url_of(const char *text, char host[128])
{
	const char *at = strstr(text, "://") + 3, *slash = strchr(at, '/');

	snprintf(host, 128, "%.*s", (int)(slash - at), at);
	return (struct gr_jar_url){ .host = host, .path = gr_slice(slash, strlen(slash)), .is_tls = text[4] == 's' };
}

static void take_at(struct gr_jar *j, const char *from, const char *field, int64_t now_s)
{
	char host[128];
	struct gr_jar_url url = url_of(from, host);

	gr_jar_take(j, gr_slice(field, strlen(field)), &url, now_s);
}

static const char *given_at(struct gr_jar *j, const char *to, int64_t now_s)
{
	static char text[GR_JAR_MAX_BYTES];
	char host[128];
	struct gr_jar_url url = url_of(to, host);
	struct gr_buf b = { 0 };

	gr_jar_give(j, &url, now_s, &b);
	snprintf(text, sizeof(text), "%s", gr_buf_str(&b));
	gr_buf_fini(&b);
	return text;
}

/* One field from one address, and what another is given of it. */
static void one(const char *from, const char *field, const char *to, const char *want)
{
	struct gr_jar j = { 0 };
	const char *got;

	take_at(&j, from, field, NOW);
	got = given_at(&j, to, NOW);
	if (strcmp(got, want))
		fail_msg("%s from %s: %s is given \"%s\", not \"%s\"", field, from, to, got, want);
	gr_jar_fini(&j);
}

#define H "http://h.example.org/a/b"

static void reads_fields_as_leniently_as_it_should(void **state)
{
	(void)state;
	one(H, "a=1", H, "a=1");
	one(H, "  a =  1 2 ; Path=/", H, "a=1 2");
	one(H, "a=1=2;;; =x; foo; bar=baz", H, "a=1=2");
	one(H, "a=\"1, 2\"", H, "a=\"1, 2\"");
	one(H, "a=", H, "a=");
	one(H, "a", H, "");
	one(H, "=1", H, "");
	one(H, "", H, "");
	one(H, "a=1\rb", H, "");
	one(H, "a=1\x7f", H, "");
}

static void keeps_to_the_host_or_what_is_below_the_domain(void **state)
{
	(void)state;
	one(H, "a=1", "http://H.EXAMPLE.org/a/", "a=1");
	one(H, "a=1", "http://example.org/a/", "");
	one(H, "a=1", "http://x.h.example.org/a/", "");
	one(H, "a=1; Domain=example.org", "http://x.example.org/a/", "a=1");
	one(H, "a=1; domain=.EXAMPLE.ORG", "http://example.org/a/", "a=1");
	one(H, "a=1; Domain=example.org", "http://badexample.org/a/", "");
	one(H, "a=1; Domain=h.example.org", "http://x.h.example.org/a/", "a=1");
	one(H, "a=1; Domain=h.example.org", "http://example.org/a/", "");
	one(H, "a=1; Domain=other.org", H, "");                        /* not of this host: refused */
	one(H, "a=1; Domain=x.h.example.org", H, "");
	one(H, "a=1; Domain=org", H, "");                              /* of half the world */
	one(H, "a=1; Domain=", H, "a=1");
	one(H, "a=1; Domain=other.org; Domain=example.org", H, "a=1"); /* the last counts */
	one("http://localhost/a", "a=1; Domain=localhost", "http://localhost/a", "a=1");
	one("http://localhost/a", "a=1; Domain=localhost", "http://x.localhost/a", "");
	one("http://10.0.0.1/a", "a=1; Domain=10.0.0.1", "http://10.0.0.1/a", "a=1");
	one("http://10.0.0.1/a", "a=1; Domain=0.0.1", "http://10.0.0.1/a", "");
	one("http://10.0.0.1/a", "a=1", "http://1.10.0.0.1/a", "");
}

static void keeps_to_the_path(void **state)
{
	(void)state;
	one(H, "a=1", "http://h.example.org/a", "a=1");                /* the default: /a */
	one(H, "a=1", "http://h.example.org/a/c/d?x=/z", "a=1");
	one(H, "a=1", "http://h.example.org/ab", "");
	one(H, "a=1", "http://h.example.org/", "");
	one("http://h/a?x=/b/c", "a=1", "http://h/z", "a=1");          /* the query has no part in it */
	one(H, "a=1; Path=/x", H, "");
	one(H, "a=1; Path=/x", "http://h.example.org/x/y", "a=1");
	one(H, "a=1; Path=/x/", "http://h.example.org/x", "");
	one(H, "a=1; path=/", "http://h.example.org/", "a=1");
	one(H, "a=1; Path=x", "http://h.example.org/a/z", "a=1");      /* none: the default */
	one(H, "a=1; Path=/x; Path=", "http://h.example.org/a/z", "a=1");
	one(H, "a=1; Path=/A", "http://h.example.org/a", "");
}

static void gives_secure_ones_over_tls_alone(void **state)
{
	(void)state;
	one("https://h/", "a=1; Secure", "http://h/", "");
	one("https://h/", "a=1; secure; HttpOnly", "https://h/", "a=1");
	one("https://h/", "a=1; Secure=no", "http://h/", "");          /* whatever its value */
	one("https://h/", "a=1; HttpOnly", "http://h/", "a=1");
}

static void ends_by_age_and_date(void **state)
{
	struct gr_jar j = { 0 };

	(void)state;
	one(H, "a=1; Max-Age=0", H, "");
	one(H, "a=1; Max-Age=-5", H, "");
	one(H, "a=1; Max-Age=1", H, "a=1");
	one(H, "a=1; Max-Age=99999999999999999999999", H, "a=1");
	one(H, "a=1; Max-Age=0x", H, "a=1");                           /* none: as if it were not there */
	one(H, "a=1; Max-Age=-", H, "a=1");
	one(H, "a=1; Max-Age=", H, "a=1");
	one(H, "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", H, "");
	one(H, "a=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT", H, "a=1");
	one(H, "a=1; Expires=never", H, "a=1");
	one(H, "a=1; Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT", H, "a=1");   /* Max-Age stands above Expires */
	one(H, "a=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT; Max-Age=0", H, "");
	take_at(&j, H, "a=1; Max-Age=10", NOW);
	take_at(&j, H, "b=2; Path=/a", NOW);
	assert_string_equal(given_at(&j, H, NOW + 9), "a=1; b=2");
	assert_string_equal(given_at(&j, H, NOW + 10), "b=2");
	take_at(&j, H, "b=; Path=/a; Max-Age=0", NOW + 10);
	assert_string_equal(given_at(&j, H, NOW + 10), "");
	assert_int_equal(j.n, 0);                                      /* the expired one went too */
	gr_jar_fini(&j);
}

static void reads_dates_of_every_kind(void **state)
{
	static const struct { const char *text; int64_t at; } dates[] = {
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 }, { "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 }, { "Sun Nov  6 08:49:37 1994", 784111777 },
		{ "6 november 94 8:49:37", 784111777 }, { "8:49:37zone 06th NOV 1994", 784111777 }, { "08:49:37 06 Nov 1994x", 784111777 }, { "Thu, 01-Jan-70 00:00:00 GMT", 0 },
		{ "1 Jan 69 00:00:00", 3124224000 }, { "29 Feb 2024 00:00:00", 1709164800 }, { "29 Feb 2023 00:00:00", -1 }, { "31 Apr 2024 00:00:00", -1 },
		{ "1 Jan 2024 24:00:00", -1 }, { "1 Jan 2024 00:60:00", -1 }, { "0 Jan 2024 00:00:00", -1 }, { "1 Jan 1600 00:00:00", -1 }, { "1 Jan 2024", -1 },
		{ "Jan 2024 00:00:00", -1 }, { "1 2024 00:00:00", -1 }, { "1 Jan 00:00:00", -1 }, { "", -1 }, { "1 Jan 20245 00:00:00", -1 }, { "1 Jan 2024 000:00:00", -1 },
	};

	(void)state;
	for (size_t i = 0; i < GR_LEN(dates); i++) {
		int64_t at = -1;

		if (!gr_jar_date(gr_slice(dates[i].text, strlen(dates[i].text)), &at))
			at = -1;
		if (at != dates[i].at)
			fail_msg("%s: %lld, not %lld", dates[i].text, (long long)at, (long long)dates[i].at);
	}
}

static void gives_long_paths_first_then_the_older(void **state)
{
	struct gr_jar j = { 0 };

	(void)state;
	take_at(&j, H, "root=1; Path=/", NOW);
	take_at(&j, H, "one=1", NOW);
	take_at(&j, H, "two=1", NOW);
	take_at(&j, H, "deep=1; Path=/a/b", NOW);
	take_at(&j, H, "one=2", NOW);                                  /* replaced: as old as it was */
	take_at(&j, H, "one=3; Path=/", NOW);                          /* another */
	take_at(&j, H, "one=4; Domain=example.org", NOW);              /* and another */
	assert_string_equal(given_at(&j, H, NOW), "deep=1; one=2; two=1; one=4; root=1; one=3");
	assert_int_equal(j.n, 6);
	gr_jar_clear(&j);
	assert_string_equal(given_at(&j, H, NOW), "");
	gr_jar_fini(&j);
}

static void keeps_a_bounded_number_the_longest_unused_goes(void **state)
{
	static char field[6000];
	struct gr_jar j = { 0 };

	(void)state;
	for (uint32_t i = 0; i < GR_JAR_MAX_COOKIES; i++) {
		snprintf(field, sizeof(field), "c%u=1; Path=/p%u", i, i);
		take_at(&j, "http://h/", field, NOW);
	}
	assert_string_equal(given_at(&j, "http://h/p0", NOW), "c0=1");       /* used: c1 is the next to go */
	take_at(&j, "http://h/", "more=1; Path=/p0", NOW);
	assert_int_equal(j.n, GR_JAR_MAX_COOKIES);
	assert_string_equal(given_at(&j, "http://h/p0", NOW), "c0=1; more=1");
	assert_string_equal(given_at(&j, "http://h/p1", NOW), "");
	assert_string_equal(given_at(&j, "http://h/p2", NOW), "c2=1");
	/* small ones made large ones: the bytes have a limit of their own */
	for (uint32_t i = 0; i < 3 * GR_JAR_MAX_COOKIES; i++) {
		int n = snprintf(field, sizeof(field), "c%u=", i % GR_JAR_MAX_COOKIES);

		memset(field + n, 'x', 4000);
		snprintf(field + n + 4000, sizeof(field) - (size_t)n - 4000, "; Path=/p%u", i % GR_JAR_MAX_COOKIES);
		take_at(&j, "http://h/", field, NOW);
		assert_true(j.b.n <= GR_JAR_MAX_BYTES);
	}
	assert_in_range(j.n, 5, 9);
	memset(field, 'x', 5000);
	memcpy(field, "big=", 4);
	field[5000] = 0;
	take_at(&j, "http://h/", field, NOW);
	assert_string_equal(given_at(&j, "http://h/", NOW), "");             /* beyond 4096 bytes: not kept */
	gr_jar_fini(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_fields_as_leniently_as_it_should),
		cmocka_unit_test(keeps_to_the_host_or_what_is_below_the_domain),
		cmocka_unit_test(keeps_to_the_path),
		cmocka_unit_test(gives_secure_ones_over_tls_alone),
		cmocka_unit_test(ends_by_age_and_date),
		cmocka_unit_test(reads_dates_of_every_kind),
		cmocka_unit_test(gives_long_paths_first_then_the_older),
		cmocka_unit_test(keeps_a_bounded_number_the_longest_unused_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
