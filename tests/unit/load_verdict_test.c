/* load_verdict_test.c - what is said of a test from what was counted: above all, that nothing at all is no pass */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include <string.h>

#include "coordinator/load/load.h"
#include "lib/base/alloc.h"

#define PLAN(thresholds) \
	"{\"target\":\"http://h/\",\"stages\":[{\"rate\":10,\"for\":\"1s\"}],\"requests\":[{\"name\":\"a\",\"checks\":[{\"status\":200},{\"body\":\"x\"}]}," \
	"{\"name\":\"b\",\"checks\":[{\"status\":200}]},{\"name\":\"c\"}]" thresholds "}"

/* How the ten requests of a test ended; all are of request a. */
struct counted { uint64_t ok, s5xx, refused, captured_not, checks_failed, late, of_b, lost; };

static json_t *end_of(const char *text, struct counted n, const struct gr_load_threshold *(*broken)(const struct gr_load_plan *p))
{
	uint64_t answered = n.ok + n.s5xx, judged = answered + n.captured_not;
	struct gr_run r = { .start_ns = 1, .ended_ns = 1000000001, .state = GR_RUN_ENDED };
	struct gr_err err = { 0 };
	json_t *o;

	if (gr_load_plan_parse(text, strlen(text), &r.plan, &err) < 0)
		fail_msg("%s", err.text);
	gr_tally_init(&r.total, r.plan);
	for (uint64_t i = 0; i < n.ok; i++)
		gr_hdr_add(&r.total.series[GR_LOAD_SERIES(0, GR_LOAD_R_2XX)], 1000000);
	for (uint64_t i = 0; i < n.s5xx; i++)
		gr_hdr_add(&r.total.series[GR_LOAD_SERIES(0, GR_LOAD_R_5XX)], 1000000);
	for (uint64_t i = 0; i < n.of_b; i++)
		gr_hdr_add(&r.total.series[GR_LOAD_SERIES(1, GR_LOAD_R_2XX)], 1000000);
	r.total.fails[GR_LOAD_F_REFUSED] = n.refused;
	r.total.fails[GR_LOAD_F_CAPTURE] = n.captured_not;
	r.total.fails[GR_LOAD_F_LOST] = n.lost;
	r.total.checks[0] = n.checks_failed;
	r.total.n[GR_LOAD_N_STARTED] = answered + n.refused + n.captured_not + n.lost + n.of_b;
	r.total.n[GR_LOAD_N_DONE] = answered + n.of_b;
	r.total.n[GR_LOAD_N_FAILED] = n.refused + n.captured_not + n.lost;
	r.total.n[GR_LOAD_N_CHECKS] = 2 * judged + n.of_b;
	r.total.n[GR_LOAD_N_CHECKS_FAILED] = n.checks_failed;
	r.total.n[GR_LOAD_N_LATE] = n.late;
	if (broken) {
		r.broken = broken(r.plan);
		r.verdict = GR_LOAD_V_THRESHOLD;
	}
	o = gr_load_end_line(&r);
	gr_tally_fini(&r.total);
	gr_load_plan_free(&r.plan);
	return o;
}

static void ends(const char *text, struct counted n, const char *verdict, const char *why)
{
	json_t *o = end_of(text, n, NULL);
	const char *is = json_string_value(json_object_get(o, "verdict")), *said = json_string_value(json_object_get(o, "why"));

	if (strcmp(is, verdict) || strcmp(said, why))
		fail_msg("%s\nis \"%s: %s\", not \"%s: %s\"", text, is, said, verdict, why);
	json_decref(o);
}

static void without_a_threshold_something_has_to_go_well(void **state)
{
	(void)state;
	ends(PLAN(""), (struct counted){ .ok = 1, .refused = 9 }, "passed", "");
	ends(PLAN(""), (struct counted){ .ok = 1, .s5xx = 9, .checks_failed = 19 }, "passed", "");
	ends(PLAN(""), (struct counted){ 0 }, "error", "no request left");
	ends(PLAN(""), (struct counted){ .refused = 10 }, "error", "none of 10 requests was answered");
	ends(PLAN(""), (struct counted){ .s5xx = 10 }, "error", "none of 10 requests was answered but with a status of class 5xx");
	ends(PLAN(""), (struct counted){ .s5xx = 4, .refused = 6 }, "error", "none of 10 requests was answered but with a status of class 5xx");
	ends(PLAN(""), (struct counted){ .ok = 10, .checks_failed = 20 }, "error", "none of 20 checks held");
	ends(PLAN(""), (struct counted){ .ok = 10, .checks_failed = 19 }, "passed", "");
	ends(PLAN(""), (struct counted){ .ok = 10, .late = 2 }, "behind", "the generators could not keep up: 2 of 10 requests left more than 5.0 ms late");
}

static void with_one_that_it_may_be_so_it_may(void **state)
{
	(void)state;
	ends(PLAN(",\"thresholds\":[\"errors > 99%\"]"), (struct counted){ .refused = 10 }, "passed", "");
	ends(PLAN(",\"thresholds\":[\"errors > 99%\"]"), (struct counted){ .s5xx = 10 }, "passed", "");
	ends(PLAN(",\"thresholds\":[\"count < 1\"]"), (struct counted){ .refused = 10 }, "passed", "");
	ends(PLAN(",\"thresholds\":[\"checks > 99%\"]"), (struct counted){ .ok = 10, .checks_failed = 20 }, "passed", "");
}

/* 503 in a millisecond: neither latency nor rate tells. */
static void one_of_something_else_does_not_say_so(void **state)
{
	static const char *const all[] = { "p99 < 1s", "rate > 5/s", "count > 5", "late < 1%", "checks < 99%" };
	char text[1000];

	(void)state;
	for (size_t i = 0; i < GR_LEN(all); i++) {
		snprintf(text, sizeof(text), PLAN(",\"thresholds\":[\"%s\"]"), all[i]);
		ends(text, (struct counted){ .s5xx = 10, .checks_failed = 10 }, "error", "none of 10 requests was answered but with a status of class 5xx");
	}
	ends(PLAN(",\"thresholds\":[\"p99 < 1s\"]"), (struct counted){ .ok = 10, .checks_failed = 20 }, "error", "none of 20 checks held");
}

static void of_nothing_nothing_holds(void **state)
{
	static const char *const all[] = { "p99 < 1s", "min < 1s", "mean < 1s", "checks < 1%", "checks < 1", "late < 1%", "errors < 1%", "errors < 1", "connect.p50 < 1s" };
	static const char *const of_b[] = { "b.p99 < 1s", "b.checks < 1%", "b.errors < 1%", "b.errors < 1", "b.checks < 1" };
	char text[1000], why[100];

	(void)state;
	for (size_t i = 0; i < GR_LEN(all); i++) {
		snprintf(text, sizeof(text), PLAN(",\"thresholds\":[\"%s\"]"), all[i]);
		snprintf(why, sizeof(why), "%s does not hold", all[i]);
		/* all were refused: that none of them left late is no pass either */
		if (!strncmp(all[i], "late", 4))
			ends(text, (struct counted){ .refused = 10 }, "error", "none of 10 requests was answered");
		else
			ends(text, (struct counted){ .refused = 10 }, "threshold", why);
	}
	/* the first request of each visit was refused: of the second one there is none */
	for (size_t i = 0; i < GR_LEN(of_b); i++) {
		snprintf(text, sizeof(text), PLAN(",\"thresholds\":[\"%s\"]"), of_b[i]);
		snprintf(why, sizeof(why), "%s does not hold", of_b[i]);
		ends(text, (struct counted){ .refused = 10 }, "threshold", why);
		ends(text, (struct counted){ .ok = 10 }, "threshold", why);
		ends(text, (struct counted){ .ok = 5, .of_b = 5 }, "passed", "");
	}
}

/* "p90 < 1s": of ten requests nine are answered within a second. What failed at once was not. */
static void a_request_that_failed_was_not_answered_in_time(void **state)
{
	static const struct { const char *is; struct counted n; bool holds; } rows[] = {
		{ "p90 < 1s", { .ok = 9, .refused = 1 }, true }, { "p90 < 1s", { .ok = 8, .refused = 2 }, false }, { "p50 < 1s", { .ok = 5, .refused = 5 }, true },
		{ "p50 < 1s", { .ok = 4, .refused = 6 }, false }, { "max < 1s", { .ok = 10 }, true }, { "max < 1s", { .ok = 9, .refused = 1 }, false },
		{ "min < 1s", { .ok = 1, .refused = 9 }, true }, { "a.p99 < 1s", { .ok = 5, .refused = 5 }, false }, { "b.p99 < 1s", { .of_b = 5, .refused = 5 }, true },
		{ "p99 < 1s", { .ok = 5, .lost = 5 }, true },
		{ "p99 > 1s", { .ok = 5, .refused = 5 }, true }, { "first_byte.p99 > 0ms", { .ok = 5, .refused = 5 }, false },
	};
	char text[1000], why[100];

	(void)state;
	for (size_t i = 0; i < GR_LEN(rows); i++) {
		snprintf(text, sizeof(text), PLAN(",\"thresholds\":[\"%s\"]"), rows[i].is);
		snprintf(why, sizeof(why), "%s does not hold", rows[i].is);
		ends(text, rows[i].n, rows[i].holds ? "passed" : "threshold", rows[i].holds ? "" : why);
	}
}

/* An error page fails the checks and has no value to capture: no answer counts, the checks do. */
static void checks_of_answers_that_fail_afterwards_count(void **state)
{
	(void)state;
	ends(PLAN(",\"thresholds\":[\"a.checks < 1%\"]"), (struct counted){ .captured_not = 10, .checks_failed = 20 }, "threshold", "a.checks < 1% does not hold");
	ends(PLAN(",\"thresholds\":[\"checks <= 50%\"]"), (struct counted){ .ok = 1, .captured_not = 9, .checks_failed = 10 }, "passed", "");
	ends(PLAN(",\"thresholds\":[\"a.checks <= 50%\"]"), (struct counted){ .ok = 1, .captured_not = 9, .checks_failed = 10 }, "passed", "");
	ends(PLAN(",\"thresholds\":[\"a.checks < 50%\"]"), (struct counted){ .ok = 1, .captured_not = 9, .checks_failed = 10 }, "threshold", "a.checks < 50% does not hold");
}

static const struct gr_load_threshold *first(const struct gr_load_plan *p) { return &p->thresholds[0]; }

/* Or the JUnit report of a test that was ended by it would have nothing broken in it. */
static void the_one_that_ended_a_test_does_not_hold_whatever_came_after(void **state)
{
	json_t *o = end_of(PLAN(",\"thresholds\":[{\"is\":\"errors < 50%\",\"abort\":true},\"errors < 60%\"]"), (struct counted){ .ok = 6, .refused = 4 }, first), *list;

	(void)state;
	list = json_object_get(o, "thresholds");
	assert_true(json_is_false(json_object_get(json_array_get(list, 0), "holds")));
	assert_true(json_is_true(json_object_get(json_array_get(list, 1), "holds")));
	assert_string_equal(json_string_value(json_object_get(o, "verdict")), "threshold");
	json_decref(o);
}

static void what_did_not_burn_as_planned_is_no_pass(void **state)
{
	struct gr_run r = { .start_ns = 1, .ended_ns = 1000000001, .state = GR_RUN_ENDED, .burn = "worker c: burn 0: stress-ng ended with 3" };
	struct gr_err err = { 0 };
	json_t *o;

	(void)state;
	assert_int_equal(gr_load_plan_parse(PLAN(""), strlen(PLAN("")), &r.plan, &err), 0);
	gr_tally_init(&r.total, r.plan);
	gr_hdr_add(&r.total.series[GR_LOAD_SERIES(2, GR_LOAD_R_2XX)], 1000000);
	r.total.n[GR_LOAD_N_STARTED] = r.total.n[GR_LOAD_N_DONE] = 1;
	o = gr_load_end_line(&r);
	assert_string_equal(json_string_value(json_object_get(o, "verdict")), "error");
	assert_string_equal(json_string_value(json_object_get(o, "why")), r.burn);
	json_decref(o);
	gr_tally_fini(&r.total);
	gr_load_plan_free(&r.plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_threshold_something_has_to_go_well),
		cmocka_unit_test(with_one_that_it_may_be_so_it_may),
		cmocka_unit_test(one_of_something_else_does_not_say_so),
		cmocka_unit_test(of_nothing_nothing_holds), cmocka_unit_test(a_request_that_failed_was_not_answered_in_time),
		cmocka_unit_test(checks_of_answers_that_fail_afterwards_count),
		cmocka_unit_test(the_one_that_ended_a_test_does_not_hold_whatever_came_after),
		cmocka_unit_test(what_did_not_burn_as_planned_is_no_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
