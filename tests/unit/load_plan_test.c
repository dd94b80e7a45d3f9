/* load_plan_test.c - plans: what is refused and with which words, schedules as properties, templates, thresholds */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/load/plan.h"

static struct gr_load_plan *plan(const char *text)
{
	struct gr_load_plan *p = NULL;
	struct gr_err err = { 0 };

	if (gr_load_plan_parse(text, strlen(text), &p, &err) < 0)
		fail_msg("%s\n%s", text, err.text);
	return p;
}

static void refused(const char *text, const char *why)
{
	struct gr_load_plan *p = NULL;
	struct gr_err err = { 0 };
	int rc = gr_load_plan_parse(text, strlen(text), &p, &err);

	assert_null(p);
	assert_int_equal(rc, GR_ECONFIG);
	if (!strstr(err.text, why))
		fail_msg("%s\nsays \"%s\", not \"%s\"", text, err.text, why);
}

#define T "\"target\":\"http://h/\","
#define HOLD "\"stages\":[{\"rate\":\"500/s\",\"for\":\"2s\"}]"

static void what_is_wrong_is_told_with_its_path(void **state)
{
	(void)state;
	refused("[]", "a plan is a JSON object");
	refused("{\"a\":1,\"a\":2}", "duplicate");
	refused("{" T "\"stages\":[]}", "stages: wants a list of 1 to 64 stages");
	refused("{" HOLD "}", "wants scenarios, requests or at least a target");
	refused("{" T "\"rate\":1," HOLD "}", "\"rate\" is not known here; there are name, target");
	refused("{" T "\"stages\":[{\"rate\":\"5/s\",\"for\":\"2s\"},{\"rate\":\"x\",\"for\":\"1s\"}]}", "stages[1].rate: wants a rate");
	refused("{" T "\"stages\":[{\"rate\":\"5/s\"}]}", "stages[0]: for is missing");
	refused("{" T "\"stages\":[{\"kind\":\"jump\",\"for\":\"1s\"}]}", "stages[0].kind: \"jump\" is no kind of stage");
	refused("{" T "\"stages\":[{\"kind\":\"sine\",\"rate\":\"5/s\",\"amplitude\":\"6/s\",\"period\":\"1s\",\"for\":\"1s\"}]}", "stages[0]: amplitude 6 is more");
	refused("{" T "\"stages\":[{\"rate\":\"0/s\",\"for\":\"1s\"}]}", "there is no load");
	refused("{" T HOLD ",\"requests\":[{\"url\":\"x\"}]}", "requests[0].url: \"x\" is neither a whole address nor a path");
	refused("{" T HOLD ",\"scenarios\":[{\"requests\":[{\"url\":\"/\"},{\"url\":\"/{{nope}}\"}]}]}", "scenarios[0].requests[1].url: {{nope}}: neither uuid");
	refused("{" T HOLD ",\"requests\":[{\"headers\":{\"Connection\":\"x\"}}]}", "requests[0].headers.Connection: is set by the generator itself");
	refused("{" T HOLD ",\"requests\":[{\"headers\":{\"X\":\"a\\r\\nb\"}}]}", "requests[0].headers.X: wants a header name");
	refused("{" T HOLD ",\"requests\":[{\"checks\":[{\"status\":20}]}]}", "requests[0].checks[0]: status 20 is not within");
	refused("{" T HOLD ",\"requests\":[{\"checks\":[{\"regex\":\"(\"}]}]}", "requests[0].checks[0]: \"(\" is no regular expression");
	refused("{" T HOLD ",\"requests\":[{\"capture\":[{\"as\":\"x\"}]}]}", "requests[0].capture[0]: wants one of json, header, regex");
	refused("{" T HOLD ",\"requests\":[{\"url\":\"/\"},{\"url\":\"/\"}]}", "requests[1]: name: \"GET /\" is already");
	refused("{" T HOLD ",\"requests\":[{\"url\":\"tcp://h\"}]}", "requests[0].url: \"tcp://h\": wants HOST:PORT behind tcp://");
	refused("{" T HOLD ",\"requests\":[{\"url\":\"http://u@h/\"}]}", "holds a user name");
	refused("{" T HOLD ",\"requests\":[{\"url\":\"tcp://h:1\",\"body\":\"x\"}]}", "requests[0]: a tcp:// exchange wants");
	refused("{" T HOLD ",\"thresholds\":[\"p99\"]}", "thresholds[0]: \"p99\" wants WHAT OP VALUE");
	refused("{" T HOLD ",\"thresholds\":[\"nope.p99 < 1s\"]}", "thresholds[0]: \"nope\" is neither a request");
	refused("{" T HOLD ",\"thresholds\":[\"p99 < 1\"]}", "wants a time with its unit");
	refused("{" T HOLD ",\"thresholds\":[\"connect.rate > 1/s\"]}", "have times alone");
	refused("{" HOLD ",\"requests\":[{\"url\":\"tcp://h:1\",\"body\":\"x\",\"receive\":2000000}]}", "requests[0]: receive: is more than the plan's body_limit of 1048576 bytes");
	refused("{" T HOLD ",\"connections\":3,\"workers\":2,\"threads\":2}", "connections: 3 are fewer than one for each of 4 threads");
	/* a check of two kinds would hold whatever the second says */
	refused("{" T HOLD ",\"requests\":[{\"checks\":[{\"status\":200,\"body\":\"ok\"}]}]}", "requests[0].checks[0]: wants one of status, header, body, regex, json, max, each in a check");
	refused("{" T HOLD ",\"requests\":[{\"checks\":[{\"header\":\"X\",\"equals\":\"1\"}]}]}", "requests[0].checks[0]: contains is of header, and equals of json");
	refused("{" T HOLD ",\"requests\":[{\"checks\":[{\"contains\":\"1\"}]}]}", "requests[0].checks[0]: wants one of");
	refused("{" T HOLD ",\"requests\":[{\"checks\":[{\"json\":\"a/b\"}]}]}", "requests[0].checks[0]: json wants a JSON pointer, which begins with /");
	refused("{" T HOLD ",\"requests\":[{\"checks\":[{\"json\":\"/a~b\"}]}]}", "in a JSON pointer ~ is written ~0");
	refused("{" T HOLD ",\"requests\":[{\"capture\":[{\"as\":\"x\",\"json\":\"/a~\"}]}]}", "in a JSON pointer ~ is written ~0");
	/* of a threshold that nothing can be measured for one would learn when the test is over */
	refused("{" T HOLD ",\"thresholds\":[\"checks < 1%\"]}", "thresholds[0]: \"checks < 1%\": the plan's requests have no checks");
	refused("{" T HOLD ",\"requests\":[{\"name\":\"a\"},{\"name\":\"b\",\"checks\":[{\"status\":200}]}],\"thresholds\":[\"a.checks < 1\"]}", "this request has no checks");
	refused("{" T HOLD ",\"thresholds\":[\"tls.p99 < 1s\"]}", "thresholds[0]: \"tls.p99 < 1s\": no request of the plan uses TLS");
	refused("{" T HOLD ",\"thresholds\":[\"errors < 101%\"]}", "of 100% at the most");
	refused("{" T HOLD ",\"thresholds\":[\"errors < nan\"]}", "\"nan\" wants a number, or a share such as 0.1%");
	refused("{" T HOLD ",\"thresholds\":[\"errors < 5ms\"]}", "\"5ms\" wants a number");
	refused("{" T HOLD ",\"thresholds\":[\"rate > 950ms\"]}", "\"950ms\" wants a rate");
	refused("{" T HOLD ",\"thresholds\":[\"rate > 95%\"]}", "\"95%\" wants a rate");
	refused("{" T HOLD ",\"thresholds\":[\"p99 < 200/s\"]}", "\"200/s\" wants a time");
	refused("{" T HOLD ",\"thresholds\":[\"p99 =< 200ms\"]}", "\"p99 =\" is none of");
	/* a value that another scenario captures is none of this one's */
	refused("{" T HOLD ",\"scenarios\":[{\"requests\":[{\"url\":\"/a\",\"capture\":[{\"as\":\"t\",\"header\":\"T\"}]}]},{\"requests\":[{\"url\":\"/{{t}}\"}]}]}",
		"scenarios[1].requests[0].url: {{t}}: neither uuid");
	refused("{" T HOLD ",\"requests\":[{\"url\":\"/{{t}}\",\"capture\":[{\"as\":\"t\",\"header\":\"T\"}]}]}", "requests[0].url: {{t}}: neither uuid");
	refused("{" T "\"stages\":[{\"rate\":\"5/s\",\"for\":\"0s\"}]}", "stages[0].for: 0 s is not within");
	refused("{" T "\"stages\":[{\"kind\":\"spike\",\"rate\":1,\"peak\":2,\"at\":\"2s\",\"width\":\"1s\",\"for\":\"2s\"}]}", "stages[0].width: 1 s is not within");
	refused("{" T "\"stages\":[{\"kind\":\"spike\",\"rate\":1,\"peak\":2,\"at\":\"1s\",\"width\":0,\"for\":\"2s\"}]}", "stages[0].width: 0 s is not within");
	refused("{" T "\"stages\":[{\"kind\":\"sine\",\"rate\":2,\"amplitude\":1,\"period\":0,\"for\":\"2s\"}]}", "stages[0].period: 0 s is not within");
	refused("{" T HOLD ",\"csv\":{\"u\":\"a,b\\n\\n\"}}", "csv.u: there is no row");
	refused("{" T HOLD ",\"csv\":{\"u\":\"a,b\\n1\\n\"}}", "csv.u: row 1 has 1 fields, the first line 2");
	refused("{" T HOLD ",\"burns\":[{}]}", "burns[0]: burns nothing");
	refused("{" T HOLD ",\"model\":\"half\"}", "model: \"half\" is neither \"open\" nor \"closed\"");
	refused("{" T HOLD ",\"timeout\":\"soon\"}", "timeout: wants a time");
	refused("{\"target\":\"0ttp:'/shop\"," HOLD "}", "it begins with http://");
	refused("{\"target\":\"ftp://x\"," HOLD "}", "it begins with http://");
}

static void a_plan_of_every_part_is_taken(void **state)
{
	struct gr_load_plan *p = plan("{" T "\"name\":\"shop\",\"stages\":["
		"{\"kind\":\"ramp\",\"from\":\"0/s\",\"to\":\"100/s\",\"for\":\"10s\"},{\"rate\":\"100/s\",\"for\":\"10s\"},"
		"{\"kind\":\"step\",\"from\":\"100/s\",\"to\":\"300/s\",\"steps\":3,\"for\":\"3s\"},"
		"{\"kind\":\"spike\",\"rate\":\"10/s\",\"peak\":\"1k/s\",\"at\":\"1s\",\"width\":\"500ms\",\"for\":\"4s\"},"
		"{\"kind\":\"sine\",\"rate\":\"60/min\",\"amplitude\":\"30/min\",\"period\":\"2s\",\"for\":\"4s\"}],"
		"\"csv\":{\"u\":\"name,pw\\nann,\\\"a,\\\"\\\"1\\\"\\nbob,b2\\n\"},"
		"\"scenarios\":[{\"name\":\"buy\",\"weight\":3,\"cookies\":true,\"requests\":["
		"{\"name\":\"login\",\"method\":\"POST\",\"url\":\"/login\",\"body\":{\"u\":\"{{csv u name}}\"},\"capture\":[{\"as\":\"tok\",\"json\":\"/t\"}]},"
		"{\"name\":\"cart\",\"url\":\"/cart?id={{rand 1 9}}\",\"headers\":{\"Authorization\":\"Bearer {{tok}}\"},\"think\":[\"1s\",\"2s\"],"
		"\"checks\":[{\"status\":\"2xx\"},{\"header\":\"X\"},{\"body\":\"ok\"},{\"regex\":\"a+\"},{\"json\":\"/a/0\",\"equals\":\"1\"},{\"max\":\"1s\"}]}]},"
		"{\"requests\":[\"https://other:8443/x\"]}],"
		"\"thresholds\":[\"http.p99 < 200ms\",\"errors < 0.1%\",\"rate > 950/s\",\"login.p99.9 <= 1s\",\"errors < 5\",{\"is\":\"checks < 1%\",\"abort\":true,\"after\":\"5s\"}],"
		"\"burns\":[{\"cpu\":2,\"workers\":[\"w1\"]}]}");

	(void)state;
	assert_int_equal(p->n_scenarios, 2);
	assert_int_equal(p->n_requests, 3);
	assert_int_equal(p->n_origins, 2);
	assert_string_equal(p->origins[1].port, "8443");
	assert_true(p->origins[1].is_tls);
	assert_int_equal(p->n_thresholds, 6);
	assert_true(fabs(p->thresholds[0].limit - 200e6) < 1);
	assert_true(fabs(p->thresholds[3].q - .999) < 1e-9);
	assert_int_equal(p->thresholds[3].subject, GR_LOAD_S_REQUEST);
	assert_int_equal(p->thresholds[4].stat, GR_LOAD_ERRORS);
	assert_true(gr_load_holds(&p->thresholds[3], 1e9) && !gr_load_holds(&p->thresholds[0], 200e6));
	assert_true(fabs(p->sched.len_s - 31) < 1e-9);
	assert_true(fabs(p->sched.peak - 1000) < 1e-9);
	/* 500 + 1000 + 600 + (10 + 500 + 25) + 4 */
	assert_int_equal(gr_load_n_arrivals(&p->sched), 2639);
	gr_load_plan_free(&p);
	assert_null(p);
}

/* Extremes: to nothing, from nothing, a whole second at nothing, a spike over all of its stage, a sine that touches 0. */
static void stages_at_their_extremes_make_what_they_say(void **state)
{
	static const struct { const char *stages; uint64_t n; double first_s, last_s; } all[] = {
		{ "{\"kind\":\"ramp\",\"from\":100,\"to\":0,\"for\":2}", 100, 0, 1.8 },
		{ "{\"kind\":\"ramp\",\"from\":0,\"to\":100,\"for\":2}", 100, 0, 1.9899 },
		{ "{\"kind\":\"ramp\",\"from\":5,\"to\":5,\"for\":2}", 10, 0, 1.8 },
		{ "{\"kind\":\"spike\",\"rate\":0,\"peak\":50,\"at\":0,\"width\":2,\"for\":2}", 100, 0, 1.98 },
		{ "{\"kind\":\"spike\",\"rate\":10,\"peak\":0,\"at\":1,\"width\":1,\"for\":3}", 20, 0, 2.9 },
		{ "{\"kind\":\"sine\",\"rate\":50,\"amplitude\":50,\"period\":2,\"for\":2}", 100, 0, 1.9 },
		{ "{\"rate\":\"1/h\",\"for\":1}", 1, 0, 0 },
		{ "{\"rate\":\"7/min\",\"for\":60}", 7, 0, 51.4286 },
		{ "{\"rate\":10,\"for\":1.1},{\"rate\":0,\"for\":10},{\"rate\":10,\"for\":1}", 21, 0, 12 },
	};

	(void)state;
	for (size_t i = 0; i < GR_LEN(all); i++) {
		struct gr_buf b = { 0 };
		struct gr_load_plan *p;
		uint32_t at = 0;
		double first, last;

		gr_buf_printf(&b, "{" T "\"stages\":[%s]}", all[i].stages);
		p = plan(gr_buf_str(&b));
		assert_int_equal(gr_load_n_arrivals(&p->sched), all[i].n);
		first = (double)gr_load_when(&p->sched, &at, 0) / 1e9;
		last = (double)gr_load_when(&p->sched, &at, all[i].n - 1) / 1e9;
		if (fabs(first - all[i].first_s) > 1e-6 || fabs(last - all[i].last_s) > .1)
			fail_msg("%s: from %f to %f s", all[i].stages, first, last);
		gr_load_plan_free(&p);
		gr_buf_fini(&b);
	}
	{
		/* ten a second for 1.1 s are eleven: the twelfth is not due before the pause is over */
		struct gr_load_plan *p = plan("{" T "\"stages\":[{\"rate\":10,\"for\":1.1},{\"rate\":0,\"for\":10},{\"rate\":10,\"for\":1}]}");
		uint32_t at = 0;

		assert_int_equal(gr_load_when(&p->sched, &at, 10), 1000000000);
		assert_int_equal(gr_load_when(&p->sched, &at, 11), 11100000000);
		gr_load_plan_free(&p);
	}
}

static void stage(struct gr_rng *r, struct gr_buf *b)
{
	double len = .2 + gr_rng_below(r, 4000) / 1000.0, a = gr_rng_below(r, 20000) / 10.0, c = gr_rng_below(r, 20000) / 10.0;

	switch (gr_rng_below(r, 5)) {
	case 0:
		gr_buf_printf(b, "{\"rate\":%g,\"for\":%g}", a, len);
		break;
	case 1:
		gr_buf_printf(b, "{\"kind\":\"ramp\",\"from\":%g,\"to\":%g,\"for\":%g}", a, c, len);
		break;
	case 2:
		gr_buf_printf(b, "{\"kind\":\"step\",\"from\":%g,\"to\":%g,\"steps\":%u,\"for\":%g}", a, c, 2 + gr_rng_below(r, 9), len);
		break;
	case 3:
		gr_buf_printf(b, "{\"kind\":\"spike\",\"rate\":%g,\"peak\":%g,\"at\":%g,\"width\":%g,\"for\":%g}", a, c, len / 4, len / 3, len);
		break;
	default:
		gr_buf_printf(b, "{\"kind\":\"sine\",\"rate\":%g,\"amplitude\":%g,\"period\":%g,\"for\":%g}", a, a * gr_rng_below(r, 100) / 100,
			      .1 + len * gr_rng_below(r, 100) / 50, len);
	}
}

/* Arrival k is due when the integral of the rate reaches k: in order, and never more than the rounding away. */
static void arrivals_follow_the_integral_of_the_rate(void **state)
{
	struct gr_rng r = { 3 };

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct gr_buf b = { 0 };
		struct gr_load_plan *p;
		uint64_t n, last = 0;
		uint32_t at = 0, cold;

		gr_buf_add_str(&b, "{" T "\"stages\":[{\"rate\":10,\"for\":1}");
		for (uint32_t i = gr_rng_below(&r, 5); i > 0; i--) {
			gr_buf_add_str(&b, ",");
			stage(&r, &b);
		}
		gr_buf_add_str(&b, "]}");
		p = plan(gr_buf_str(&b));
		n = gr_load_n_arrivals(&p->sched);
		for (uint64_t k = 0; k < n; k++) {
			uint64_t t = gr_load_when(&p->sched, &at, k);

			assert_true(t >= last);
			assert_true((double)t <= p->sched.len_s * 1e9 + 1);
			if (fabs(gr_load_count_at(&p->sched, (double)t / 1e9) - (double)k) > 1e-3 && (double)t < p->sched.len_s * 1e9 - 1)
				fail_msg("%s: arrival %llu at %llu ns, but %f are due", gr_buf_str(&b), (unsigned long long)k,
					 (unsigned long long)t, gr_load_count_at(&p->sched, (double)t / 1e9));
			if (k % 97 == 0) {       /* a cursor that comes from elsewhere finds the same */
				cold = gr_rng_below(&r, p->sched.n_segs);
				assert_int_equal(gr_load_when(&p->sched, &cold, k), t);
			}
			last = t;
		}
		gr_load_plan_free(&p);
		gr_buf_fini(&b);
	}
}

/* The shares of S shards are the plan's arrivals, each once: at every moment their sum is the plan's. */
static void the_shares_of_all_shards_add_up_to_the_plan(void **state)
{
	struct gr_load_plan *p = plan("{" T "\"stages\":[{\"kind\":\"ramp\",\"from\":0,\"to\":777,\"for\":3},{\"kind\":\"sine\",\"rate\":500,"
				      "\"amplitude\":300,\"period\":1.7,\"for\":4}]}");
	uint64_t n = gr_load_n_arrivals(&p->sched);

	(void)state;
	for (uint32_t of = 1; of <= 9; of++) {
		for (double t = 0; t <= p->sched.len_s; t += .0937) {
			uint64_t due = 0, sum = 0;
			uint32_t at = 0;

			for (uint64_t k = 0; k < n && (double)gr_load_when(&p->sched, &at, k) < t * 1e9; k++)
				due++;
			for (uint32_t i = 0; i < of; i++) {
				at = 0;
				for (uint64_t k = i; k < n && (double)gr_load_when(&p->sched, &at, k) < t * 1e9; k += of)
					sum++;
			}
			assert_int_equal(sum, due);
		}
		for (uint32_t whole = 0; whole < 50; whole++) {
			uint32_t sum = 0;

			for (uint32_t i = 0; i < of; i++)
				sum += gr_load_part(whole, i, of);
			assert_int_equal(sum, whole);
		}
	}
	gr_load_plan_free(&p);
}

static void a_template_renders_the_same_for_the_same_arrival(void **state)
{
	struct gr_load_plan *p = plan("{" T HOLD ",\"csv\":{\"u\":\"\xef\xbb\xbf" "a,b\\n1,x y\\n2,\\\"q\\\"\\\"q\\\"\\n\"},\"requests\":[{\"url\":\"/\",\"capture\":[{\"as\":\"v\",\"header\":\"H\"}]},"
				      "{\"url\":\"/{{seq}}/{{csv u a}}/{{csv u b}}/{{rand 5 5}}/{{rand -3 3}}/{{v}}/{{uuid}}\"}]}");
	struct gr_slice v[1] = { gr_slice_str("val") };
	struct gr_load_ctx c = { .vars = v };
	struct gr_buf a = { 0 }, b = { 0 };

	(void)state;
	gr_load_ctx_init(&c, p, 7);
	gr_load_render(&p->by_id[1]->path, &c, &a);
	gr_load_ctx_init(&c, p, 7);
	gr_load_render(&p->by_id[1]->path, &c, &b);
	assert_string_equal(gr_buf_str(&a), gr_buf_str(&b));
	assert_int_equal(strncmp(gr_buf_str(&a), "/7/2/q\"q/5/", 11), 0);
	assert_non_null(strstr(gr_buf_str(&a), "/val/"));
	assert_int_equal(strlen(strrchr(gr_buf_str(&a), '/') + 1), 36);
	gr_buf_clear(&b);
	gr_load_ctx_init(&c, p, 8);
	gr_load_render(&p->by_id[1]->path, &c, &b);
	assert_string_not_equal(gr_buf_str(&a), gr_buf_str(&b));
	gr_buf_fini(&a);
	gr_buf_fini(&b);
	gr_load_plan_free(&p);
}

static void rendered(struct gr_load_plan *p, const struct gr_load_tmpl *t, uint64_t seq, struct gr_slice *vars, const char *want)
{
	struct gr_load_ctx c = { .vars = vars };
	struct gr_buf b = { 0 };

	gr_load_ctx_init(&c, p, seq);
	gr_load_render(t, &c, &b);
	assert_string_equal(gr_buf_str(&b), want);
	gr_buf_fini(&b);
}

static void what_is_put_into_json_is_escaped_for_it(void **state)
{
	struct gr_load_plan *p = plan("{" T HOLD ",\"csv\":{\"u\":\"n\\r\\n\\\"O\\\"\\\"Hara \\\\ \\n x\\\"\\r\\n\"},\"requests\":["
				      "{\"url\":\"/a\",\"method\":\"POST\",\"body\":{\"u\":\"{{csv u n}}\"},\"capture\":[{\"as\":\"v\",\"json\":\"/a~1b/m~0n\"}]},"
				      "{\"url\":\"/b\",\"body\":[\"{{v}}\"]},{\"url\":\"/c\",\"body\":\"u={{csv u n}}&{{v}}\"}]}");
	struct gr_slice v[1] = { gr_slice_str("{\"a\":1}") };

	(void)state;
	rendered(p, &p->by_id[0]->body, 0, v, "{\"u\":\"O\\\"Hara \\\\ \\u000a x\"}");
	rendered(p, &p->by_id[1]->body, 0, v, "[\"{\\\"a\\\":1}\"]");
	rendered(p, &p->by_id[2]->body, 0, v, "u=O\"Hara \\ \n x&{\"a\":1}");
	gr_load_plan_free(&p);
}

/* As spreadsheets and editors write them: a mark in front, CR LF, quotes, blank lines, no newline at the end. */
static void tables_are_read_as_they_are_written(void **state)
{
	struct gr_load_plan *p = plan("{" T HOLD ",\"csv\":{\"u\":\"\xef\xbb\xbf" "a,\\\"b c\\\"\\r\\n1,\\\"x,\\r\\ny\\\"\\r\\n\\r\\n,\\n\\n3,z\",\"one\":\"n\\nann\\n\\n\\\"\\\"\\nbob\\n\\n\"},"
				      "\"requests\":[\"/{{csv u a}}\",\"/{{csv one n}}\"]}");

	(void)state;
	assert_int_equal(p->csv[0].n_columns, 2);
	assert_string_equal(p->csv[0].columns[0], "a");
	assert_string_equal(p->csv[0].columns[1], "b c");
	assert_int_equal(p->csv[0].n_rows, 3);
	assert_true(gr_slice_is(p->csv[0].cells[1], "x,\r\ny"));
	assert_true(gr_slice_is(p->csv[0].cells[2], "") && gr_slice_is(p->csv[0].cells[3], ""));
	assert_true(gr_slice_is(p->csv[0].cells[5], "z"));
	assert_int_equal(p->csv[1].n_rows, 3);           /* what is quoted is a row, also when it is empty */
	rendered(p, &p->by_id[1]->path, 1, NULL, "/");
	rendered(p, &p->by_id[1]->path, 5, NULL, "/bob");
	gr_load_plan_free(&p);
}

/* Results are kept by these names, as keys of JSON: no two alike, none with half a character at its end. */
static void checks_and_requests_have_names_of_their_own(void **state)
{
	char text[2000], a60[62] = "", umlauts[160] = "";
	struct gr_load_plan *p;
	json_t *key;

	(void)state;
	memset(a60, 'a', 60);
	strcat(umlauts, "x");
	for (int i = 0; i < 40; i++)
		strcat(umlauts, "\xc3\xa4");
	snprintf(text, sizeof(text), "{" T HOLD ",\"requests\":[{\"url\":\"/%s\",\"checks\":[{\"body\":\"%sb\"},{\"body\":\"%sc\"},{\"body\":\"%sd\"},{\"body\":\"%s\"},"
		 "{\"status\":\"2xx\"},{\"status\":200}]}]}", umlauts, a60, a60, a60, umlauts);
	p = plan(text);
	assert_int_equal(p->by_id[0]->n_checks, 6);
	for (uint32_t i = 0; i < 6; i++) {
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(p->by_id[0]->checks[i].label, p->by_id[0]->checks[k].label);
		key = json_string(p->by_id[0]->checks[i].label);
		assert_non_null(key);
		json_decref(key);
	}
	assert_string_equal(p->by_id[0]->checks[4].label, "status 2xx");
	key = json_string(p->by_id[0]->name);
	assert_non_null(key);
	json_decref(key);
	gr_load_plan_free(&p);
}

static void scenarios_are_picked_by_their_weight(void **state)
{
	struct gr_load_plan *p = plan("{" T HOLD ",\"scenarios\":[{\"weight\":3,\"requests\":[\"/a\"]},{\"weight\":1,\"requests\":[\"/b\"]}]}");
	int n = 0;

	(void)state;
	for (uint64_t k = 0; k < 100000; k++)
		n += gr_load_pick(p, k) == &p->scenarios[0];
	assert_true(n > 74500 && n < 75500);
	gr_load_plan_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_is_told_with_its_path),
		cmocka_unit_test(a_plan_of_every_part_is_taken),
		cmocka_unit_test(stages_at_their_extremes_make_what_they_say),
		cmocka_unit_test(arrivals_follow_the_integral_of_the_rate),
		cmocka_unit_test(the_shares_of_all_shards_add_up_to_the_plan),
		cmocka_unit_test(a_template_renders_the_same_for_the_same_arrival),
		cmocka_unit_test(what_is_put_into_json_is_escaped_for_it),
		cmocka_unit_test(tables_are_read_as_they_are_written),
		cmocka_unit_test(checks_and_requests_have_names_of_their_own),
		cmocka_unit_test(scenarios_are_picked_by_their_weight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
