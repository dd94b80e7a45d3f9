/* load_regex_test.c - expressions over bodies: what matches, what is refused, what it may cost */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/load/regex.h"

#define BIG (1u << 20)

/* "FROM-TO FROM-TO", "none", "over", or why it is refused; valid until the next call. */
static const char *found_in(const char *expr, struct gr_slice in)
{
	static char out[80];
	struct gr_regex_match m[2];
	uint64_t steps = GR_REGEX_STEPS;
	const char *why = NULL;
	struct gr_regex *re = gr_regex_new(expr, &why);
	int rc;

	if (!re)
		return why;
	rc = gr_regex_find(re, in, m, &steps);
	gr_regex_free(&re);
	assert_null(re);
	if (rc == 1)
		snprintf(out, sizeof(out), "%zu-%zu %zu-%zu", m[0].from, m[0].to, m[1].from, m[1].to);
	return rc == 1 ? out : rc == GR_ELIMIT ? "over" : "none";
}
static const char *found(const char *expr, const char *text) { return found_in(expr, gr_slice(text, strlen(text))); }

static void finds_the_leftmost_longest_match_and_its_first_group(void **state)
{
	static const struct { const char *expr, *text, *want; } cases[] = {
		{ "b+", "abbbc", "1-4 1-4" }, { "a|ab", "xab", "1-3 1-3" }, { "abcd|bc", "abcx", "1-3 1-3" }, { "abcd|bc", "abcd", "0-4 0-4" },
		{ "\"id\":\"([0-9]+)\"", "{\"id\":\"42\"}", "1-10 7-9" }, { "x(a)?", "x", "0-1 0-1" }, { "(a+)(b+)", "aabb", "0-4 0-2" },
		{ "((a)b)", "ab", "0-2 0-2" }, { "(a|b)*c", "abc", "0-3 1-2" }, { "", "abc", "0-0 0-0" }, { "a*", "baa", "0-0 0-0" }, { "()a", "ba", "1-2 1-1" },
		{ "^a", "ba", "none" }, { "a$", "ab", "none" }, { "a$", "ba", "1-2 1-2" }, { "^$", "", "0-0 0-0" }, { "x$", "x\n", "none" }, { "(^a|b)c", "ac", "0-2 0-1" },
		{ "a{2}", "aaa", "0-2 0-2" }, { "a{2,}", "aaaa", "0-4 0-4" }, { "a{,2}b", "aaab", "1-4 1-4" }, { "a{0}b", "ab", "1-2 1-2" }, { "(ab){2,3}", "ababababx", "0-6 4-6" },
		{ "[]a]+", "x]a", "1-3 1-3" }, { "[^]a]+", "]ax", "2-3 2-3" }, { "[a-c-]+", "xa-c", "1-4 1-4" }, { "[[:digit:]_]+", "a1_", "1-3 1-3" }, { "[\\d]+", "\\d", "0-2 0-2" },
		{ "\\w+\\s\\d", "__ 1", "0-4 0-4" }, { "\\W\\S\\D", "a .x", "1-4 1-4" }, { "\\bab\\b", "cab ab", "4-6 4-6" }, { "a\\Bb", "ab", "0-2 0-2" }, { "\\<b\\>", "ab b", "3-4 3-4" },
		{ "\\.", "a.", "1-2 1-2" }, { "a.b", "a\nb", "0-3 0-3" }, { "a\\nb", "a\nb", "0-3 0-3" }, { "{\"a\":{", "{\"a\":{}", "0-6 0-6" }, { "a)", "a)", "0-2 0-2" },
		{ "(a*)*b", "aab", "0-3 0-2" }, { "(|a)+b", "aab", "0-3 1-2" }, { "a||b", "b", "0-1 0-1" }, { "a||b", "c", "0-0 0-0" }, { "(a^b)*a", "aaba", "0-1 0-1" }, { "a**", "aa", "0-2 0-2" }, { "(a?){3}a{3}", "aaa", "0-3 0-0" },
	};

	(void)state;
	for (size_t i = 0; i < GR_LEN(cases); i++) {
		const char *got = found(cases[i].expr, cases[i].text);

		if (strcmp(got, cases[i].want))
			fail_msg("%s in %s: %s, not %s", cases[i].expr, cases[i].text, got, cases[i].want);
	}
}

static void bytes_are_bytes(void **state)
{
	(void)state;
	assert_string_equal(found_in("b.c", gr_slice("a\0b\0c\xff", 6)), "2-5 2-5");
	assert_string_equal(found_in("[^a]$", gr_slice("a\xff", 2)), "1-2 1-2");
	assert_string_equal(found_in("a", gr_slice(NULL, 0)), "none");
}

static void refuses_what_it_cannot_or_may_not_do(void **state)
{
	static const struct { const char *expr, *why; } cases[] = {
		{ "(", "a ( without its )" }, { "[a", "a [ without its ]" }, { "[]", "a [ without its ]" }, { "*a", "nothing to repeat" }, { "a|*b", "nothing to repeat" },
		{ "^*", "nothing to repeat" }, { "(?:a)", "nothing to repeat" }, { "a\\", "a \\ at the end" }, { "(a)\\1", "back references are not supported" },
		{ "\\q", "an unknown \\ and letter" }, { "[b-a]", "a range whose end is before its beginning" }, { "[[:foo:]]", "an unknown [:class:]" }, { "[[.a.]]", "[. and [= are not supported" },
		{ "[a-[:alpha:]]", "a range that ends in a class" }, { "a{3,2}", "a {m,n} with m over n" }, { "a{1001}", "more than 1000 in {}" }, { "a{99999999999}", "more than 1000 in {}" },
		{ "(((a{100}){100}){100}){100}", "more than 2000 states" }, { "((((){1000}){1000}){1000}){1000}", "more than 2000 states" }, { "(a{1000}){3}", "more than 2000 states" },
		{ "((((x{0,9}){0,9}){0,9}){0,9}){0,9}", "more than 2000 states" },
	};
	char text[1200];

	(void)state;
	for (size_t i = 0; i < GR_LEN(cases); i++) {
		const char *got = found(cases[i].expr, "aaa");

		if (strcmp(got, cases[i].why))
			fail_msg("%s: %s, not %s", cases[i].expr, got, cases[i].why);
	}
	memset(text, 'a', sizeof(text) - 1);
	text[1001] = 0;
	assert_string_equal(found(text, "a"), "more than 1000 characters");
	memset(text, '(', 60);
	text[60] = 0;
	assert_string_equal(found(text, "a"), "more than 50 groups in each other");
}

/* What regexec of glibc takes hours for, or the square of the body. */
static void a_pathological_expression_costs_no_more_than_its_limit(void **state)
{
	static const char *const linear[] = { "(a+)+$", "a*b$", "(a|aa)+$", "(a*)*c", "(x+x+)+y", "a.*c" };
	uint8_t *body = malloc(BIG);
	struct gr_regex_match m[2];
	const char *why;

	(void)state;
	assert_non_null(body);
	memset(body, 'a', BIG);
	body[BIG - 1] = 'z';
	for (size_t i = 0; i < GR_LEN(linear); i++) {
		struct gr_regex *re = gr_regex_new(linear[i], &why);
		uint64_t steps = UINT64_MAX;

		assert_non_null(re);
		assert_int_equal(gr_regex_find(re, gr_slice(body, BIG), m, &steps), 0);
		if (UINT64_MAX - steps > 24ull * BIG)
			fail_msg("%s: %llu steps", linear[i], (unsigned long long)(UINT64_MAX - steps));
		gr_regex_free(&re);
	}
	/* hundreds of states alive at each byte: cut short, and told */
	assert_string_equal(found_in("(a|b)*a(a|b){300}c", gr_slice(body, BIG)), "over");
	assert_string_equal(found_in("(a{0,20}){40}c", gr_slice(body, BIG)), "over");
	free(body);
}

static void what_is_spent_is_taken_off(void **state)
{
	const char *why;
	struct gr_regex *re = gr_regex_new("(a+)+$", &why);
	struct gr_regex_match m[2] = { { 7, 7 }, { 7, 7 } };
	uint64_t steps = 1000, before;

	(void)state;
	assert_non_null(re);
	assert_int_equal(gr_regex_find(re, gr_slice("aaaa", 4), m, &steps), 1);
	before = steps;
	assert_in_range(before, 1, 990);
	m[0].from = 7;
	steps = 1000 - before - 1;
	assert_int_equal(gr_regex_find(re, gr_slice("aaaa", 4), m, &steps), GR_ELIMIT);
	assert_int_equal(steps, 0);
	assert_int_equal(m[0].from, 7);
	gr_regex_free(&re);
}

/* Random expressions over three letters: glibc says where the match is. "^" and "$" at the ends alone: within, glibc takes one
 * for true in the middle of the text, as in ([ab](([ab][ab]a*)^c)*){0,3}a(b{0,3}) over aababcaabbb. */
static void add_random(struct gr_rng *rng, char *out, size_t max, int depth)
{
	static const char *const pieces[] = { "a", "b", "c", ".", "[ab]", "[^a]" };
	static const char *const repeats[] = { "*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}" };
	uint32_t n = 1 + (uint32_t)(gr_rng_u64(rng) % 3);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t pick = gr_rng_u64(rng) % 16;

		if (strlen(out) + 40 > max)
			return;
		if (pick < 4 && depth < 3) {
			strcat(out, "(");
			add_random(rng, out, max - 20, depth + 1);
			strcat(out, ")");
		} else {
			strcat(out, pieces[gr_rng_u64(rng) % GR_LEN(pieces)]);
		}
		if (gr_rng_u64(rng) % 3 == 0)
			strcat(out, repeats[gr_rng_u64(rng) % GR_LEN(repeats)]);
		if (gr_rng_u64(rng) % 6 == 0 && i + 1 < n)
			strcat(out, "|");
	}
}

static void finds_what_regexec_finds(void **state)
{
	struct gr_rng rng = { 20260101 };
	uint32_t n_found = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char expr[210] = "", text[16], want[40] = "none", got[40];
		size_t n = gr_rng_u64(&rng) % 12;
		regmatch_t m[1];
		regex_t re;

		strcpy(expr, gr_rng_u64(&rng) % 8 ? "" : "^");
		add_random(&rng, expr, 200, 0);
		strcat(expr, gr_rng_u64(&rng) % 8 ? "" : "$");
		for (size_t k = 0; k < n; k++)
			text[k] = (char)('a' + gr_rng_u64(&rng) % 3);
		text[n] = 0;
		if (regcomp(&re, expr, REG_EXTENDED))
			continue;
		if (!regexec(&re, text, 1, m, 0)) {
			snprintf(want, sizeof(want), "%d-%d", (int)m[0].rm_so, (int)m[0].rm_eo);
			n_found++;
		}
		regfree(&re);
		snprintf(got, sizeof(got), "%s", found(expr, text));
		got[strcspn(got, " ")] = 0;
		if (strcmp(got, want))
			fail_msg("%s in \"%s\": %s, not %s", expr, text, got, want);
	}
	assert_in_range(n_found, 5000, 19000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_leftmost_longest_match_and_its_first_group),
		cmocka_unit_test(bytes_are_bytes),
		cmocka_unit_test(refuses_what_it_cannot_or_may_not_do),
		cmocka_unit_test(a_pathological_expression_costs_no_more_than_its_limit),
		cmocka_unit_test(what_is_spent_is_taken_off),
		cmocka_unit_test(finds_what_regexec_finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
