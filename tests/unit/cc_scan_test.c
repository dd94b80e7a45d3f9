/* The include scanner: directives wherever a compiler would see one, and nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/cc/macro.h"
#include "lib/cc/scan.h"

/* "i:"name, "i<name", "i~tokens" for include; n next, m import, h has, H has_next, s/S .include/.incbin in a string,
 * a/A the same outside. */
static char *found(const char *text, uint32_t *flags)
{
	static const char kinds[] = "inmhHsSaA", forms[] = ":<~";
	struct gr_cc_scan *s = gr_cc_scan(text, strlen(text));
	struct gr_buf b = { 0 };

	for (uint32_t i = 0; i < s->n_inc; i++) {
		assert_int_equal(strlen(s->text + s->inc[i].off), s->inc[i].len);
		gr_buf_printf(&b, "%s%c%c%s", i ? " " : "", kinds[s->inc[i].kind], forms[s->inc[i].form], s->text + s->inc[i].off);
	}
	if (flags)
		*flags = s->flags;
	free(s);
	return gr_buf_take(&b, NULL);
}

static const struct { const char *text, *want; } table[] = {
	{ "", "" }, { "\n", "" }, { "int x;", "" },
	{ "#include \"a.h\"\n", "i:a.h" }, { "#include <a.h>", "i<a.h" }, { "  #  include\t<a.h>  \r\n", "i<a.h" },
	{ "#include<a.h>\n#include\"b.h\"\n", "i<a.h i:b.h" }, { "#include_next <a.h>\n#import \"b.h\"\n", "n<a.h m:b.h" },
	{ "%:include <a.h>\n", "i<a.h" }, { "\?\?=include <a.h>\n", "i<a.h" }, { "\xef\xbb\xbf#include <a.h>\n", "i<a.h" },
	{ "#if 0\n#include <dead.h>\n#endif\n", "i<dead.h" }, { "#include <a,b +c.h>\n", "i<a,b +c.h" },
	{ "#include <a.h>\n#include <a.h>\n#include \"a.h\"\n", "i<a.h i:a.h" },
	/* not a directive */
	{ "x #include <a.h>\n", "" }, { "\"#include <a.h>\"\n", "" }, { "// #include <a.h>\n", "" }, { "/* \n#include <a.h>\n*/\n", "" },
	{ "#includes <a.h>\n", "" }, { "# include\n", "" }, { "#include\n<a.h>\n", "" }, { "#include \"\"\n", "" }, { "#include <a.h\n", "" },
	{ "#error don't\n#include <a.h>\n", "i<a.h" }, { "#error \"x\n#include <a.h>\n", "i<a.h" },
	/* comments */
	{ "/**/#/**/include/**/<a.h>/**/\n", "i<a.h" }, { "/* x */ /* y */ #include <a.h>\n", "i<a.h" },
	{ "/*/ #include <a.h>\n*/#include <b.h>\n", "i<b.h" }, { "/***/#include <a.h>\n", "i<a.h" }, { "/*\n*\n**/ #include <a.h>\n", "i<a.h" },
	{ "// x \\\n#include <a.h>\n#include <b.h>\n", "i<b.h" }, { "// x \\ \r\n#include <a.h>\n#include <b.h>\n", "i<b.h" },
	{ "/* unterminated\n#include <a.h>\n", "" }, { "\"/*\"\n#include <a.h>\n\"*/\"\n", "i<a.h" }, { "'\"'\n#include <a.h>\n", "i<a.h" },
	{ "'\\''; \"\\\"/*\"\n#include <a.h>\n", "i<a.h" }, { "x = y / z; /\n#include <a.h>\n", "i<a.h" },
	{ "#include <a//b.h>\n", "i<a//b.h" }, { "#include \"a/*b.h\"\n#include <c.h>\n", "i:a/*b.h i<c.h" },
	/* splices */
	{ "#include \\\n<a.h>\n", "i<a.h" }, { "#include \\\r\n<a.h>\n", "i<a.h" }, { "\\\n#include <a.h>\n", "i<a.h" },
	{ "#include <a\\\nb.h>\n", "i<ab.h" }, { "#define X \\\n#include <a.h>\n#include <b.h>\n", "i<b.h" },
	{ "char *s = \"a\\\n#include <a.h>\n\";\n#include <b.h>\n", "i<b.h" }, { "x \\\n y\n#include <a.h>\n", "i<a.h" },
	/* raw strings, digit separators */
	{ "auto s = R\"(\n#include <a.h>\n)\";\n#include <b.h>\n", "i<b.h" },
	{ "auto s = u8R\"xy(\n)\"\n#include <a.h>\n)xy\";\n#include <b.h>\n", "i<b.h" },
	{ "FOOR\"(\n#include <a.h>\n)\"\n", "i<a.h" }, { "R\"(no end\n#include <a.h>\n", "i<a.h" },
	{ "int x = 1'000; /*\n#include <a.h>\n*/\n", "" }, { "int x = 0x1'00'0; // it's /*\n#include <a.h>\n", "i<a.h" },
	{ "u'x'; L'\"'; /*\n#include <a.h>\n*/", "" },
	/* computed */
	{ "#include HEADER\n", "i~HEADER" }, { "#include FOO( a , /* c */ b ) // x\n", "i~FOO( a ,   b )" },
	{ "#include A \\\n B\n#include <c.h>\n", "i~A  B i<c.h" }, { "#include_next X\n", "n~X" },
	/* __has_include */
	{ "#if __has_include(<a.h>)\n#endif\n", "h<a.h" }, { "#if defined(X) && __has_include ( \"a.h\" )\n", "h:a.h" },
	{ "#ifdef __has_include\n#if __has_include_next(<a.h>) || __has_include(B)\n", "H<a.h h~B" },
	{ "#define __has_include(x) 0\n", "" }, { "// __has_include(<a.h>)\n", "" }, { "#if x__has_include(<a.h>)\n", "" },
	{ "#if __has_include(F(1,(2)))\n", "h~F(1,(2))" },
	/* assembly in strings and outside */
	{ "asm(\".incbin \\\"a.bin\\\"\\n\");\n", "S:a.bin" }, { "asm(\"\\t.incbin\\t\\\"a b.bin\\\"\");\n", "S:a b.bin" },
	{ "asm(\".include \\\"a.s\\\"\");\n", "s:a.s" }, { "asm(\".incbin \\\"\" NAME \"\\\"\");\n", "S~" }, { "asm(\".incbin %0\");\n", "S~" },
	{ "\".including\"; \".incbinary\";\n", "" }, { ".incbin \"a.bin\"\n", "A:a.bin" }, { "x: .include \"a.s\" ; .incbin \"b\", 3\n", "a:a.s A:b" },
	{ ".macro m f\n.incbin \\f\n.endm\n", "A~" }, { "# .incbin \"a\"\n", "A:a" }, { "/* .incbin \"a\" */\n", "" },
	{ "s.include = 1;\n", "" }, { "{ .include = 1 }\n", "a~" },
};

static void directives_are_found_where_a_compiler_sees_them(void **state)
{
	for (size_t i = 0; i < GR_LEN(table); i++) {
		char *got = found(table[i].text, NULL);

		if (strcmp(got, table[i].want)) {
			print_error("text <%s>\n got <%s>\nwant <%s>\n", table[i].text, got, table[i].want);
			fail();
		}
		free(got);
	}
}

static void rare_words_raise_flags_only_in_code(void **state)
{
	static const struct { const char *text; uint32_t flags; } t[] = {
		{ "char *d = __DATE__ __TIME__;", GR_CC_SCAN_DATE | GR_CC_SCAN_TIME }, { "x(__TIMESTAMP__)", GR_CC_SCAN_TIMESTAMP },
		{ "// __DATE__", 0 }, { "\"__DATE__\"", 0 }, { "x__DATE__ __DATE__x __DATE", 0 }, { "#undef __DATE__\n", 0 },
		{ "#define __DATE__ \"x\"\n", 0 }, { "#define V __DATE__\n", GR_CC_SCAN_DATE },
		{ "#embed <x>\n", GR_CC_SCAN_EMBED }, { "#if __has_embed(<x>)\n", GR_CC_SCAN_EMBED },
		{ "#pragma GCC pch_preprocess \"x\"\n", GR_CC_SCAN_PCH }, { "# pragma  GCC  dependency \"x\"\n", GR_CC_SCAN_PCH },
		{ "#pragma GCC diagnostic push\n", 0 }, { "#include X\n", GR_CC_SCAN_COMPUTED },
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		uint32_t flags;

		free(found(t[i].text, &flags));
		if (flags != t[i].flags)
			print_error("text <%s>\n", t[i].text);
		assert_int_equal(flags, t[i].flags);
	}
}

static void definitions_come_without_comments_and_splices(void **state)
{
	static const struct { const char *text, *want; } t[] = {
		{ "#define A b\n", "A b" }, { "#define A\n", "A " }, { "# define  A /* x */ b // y\n", "A   b" },
		{ "#define A(x, y) x \\\n y\n#define B\n", "A(x, y) x  y" }, { "#define A (x)\n", "A  (x)" }, { "#define A \"/*\" b\n", "A  \"/*\" b" },
		{ "\xef\xbb\xbf#define A b\n", "A b" },
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		struct gr_cc_scan *s = gr_cc_scan(t[i].text, strlen(t[i].text));
		struct gr_buf b = { 0 };
		char *want, *got;

		assert_true(s->n_def >= 1);
		assert_int_equal(s->def[0].hash, gr_cc_name_hash("A", 1));
		gr_cc_scan_define(t[i].text, strlen(t[i].text), s->def[0].off, &b);
		got = gr_buf_take(&b, NULL);
		want = gr_xstrdup(t[i].want);
		/* how many blanks stand between does not matter */
		for (char **p = (char *[]){ got, want, NULL }; *p; p++) {
			char *o = *p;

			for (char *c = *p; *c; c++)
				if (*c != ' ' || (o > *p && o[-1] != ' '))
					*o++ = *c;
			*o = 0;
		}
		assert_string_equal(got, want);
		free(got);
		free(want);
		gr_buf_fini(&b);
		free(s);
	}
}

/* ---- macros ---- */
static char *eval(const char *const *defs, const char *directive, enum gr_cc__eval *verdict)
{
	struct gr_cc__defs d;
	struct gr_buf out = { 0 }, text = { 0 };

	gr_cc__defs_init(&d);
	for (; *defs; defs++)
		gr_cc__defs_add(&d, *defs);
	*verdict = gr_cc__macro_eval(&d, directive, &out);
	for (const char *p = (char *)out.p; p && p < (char *)out.p + out.n; p += strlen(p) + 1)
		gr_buf_printf(&text, "%s%s", text.n ? " " : "", p);
	gr_buf_fini(&out);
	gr_cc__defs_fini(&d);
	return gr_buf_take(&text, NULL);
}

static void computed_includes_become_every_name_they_may_have(void **state)
{
	static const struct { const char *defs[8], *directive, *want; enum gr_cc__eval verdict; } t[] = {
		{ { "H \"a.h\"" }, "H", "qa.h", GR_CC__EVAL_FOUND },
		{ { "H <sys/a.h>" }, "H", "<sys/a.h", GR_CC__EVAL_FOUND },
		{ { "H G", "G \"a.h\"", "G \"b.h\"" }, "H", "qb.h qa.h", GR_CC__EVAL_FOUND },
		{ { "S(x) S1(x)", "S1(x...) #x", "P ../../drivers/gpu", "I(sys) S(P/sys.h)", "F T", "T i915" }, "I(F)",
		  "q../../drivers/gpu/i915.h qP/i915.h q../../drivers/gpu/T.h qP/T.h q../../drivers/gpu/F.h qP/F.h", GR_CC__EVAL_FOUND },
		{ { "I(s) I1(s)", "I1(s) <trace/events/s.h>", "F sched" }, "I(F)", "<trace/events/sched.h <trace/events/F.h", GR_CC__EVAL_FOUND },
		{ { "CAT(a,b) a##b", "AB \"ab.h\"" }, "CAT(A,B)", "qab.h", GR_CC__EVAL_FOUND },
		{ { "X X \"x.h\"" }, "X", "", GR_CC__EVAL_DEAD }, { { NULL }, "CONFIG_FILE", "", GR_CC__EVAL_DEAD },
		{ { NULL }, "__FILE__", "", GR_CC__EVAL_UNKNOWN }, { { "A B", "B A" }, "A", "", GR_CC__EVAL_DEAD },
		{ { "F(x) x" }, "F", "", GR_CC__EVAL_DEAD }, { { "F(x) x" }, "F(\"a.h\"", "", GR_CC__EVAL_DEAD },
		{ { "F(x, y) x" }, "F(<a/b.h>, c)", "<a/b.h", GR_CC__EVAL_FOUND },
		{ { "S(...) #__VA_ARGS__" }, "S(a/b.h)", "qa/b.h", GR_CC__EVAL_FOUND },
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		enum gr_cc__eval verdict;
		char *got = eval(t[i].defs, t[i].directive, &verdict);

		/* the order of combinations is not promised: each wanted name must be there */
		for (const char *w = t[i].want, *end; *w; w = *end ? end + 1 : end) {
			char one[128];

			end = strchrnul(w, ' ');
			snprintf(one, sizeof(one), "%.*s", (int)(end - w), w);
			if (!strstr(got, one)) {
				print_error("%s: got <%s>, no %s\n", t[i].directive, got, one);
				fail();
			}
		}
		assert_int_equal(strlen(got), strlen(t[i].want));
		assert_int_equal(verdict, t[i].verdict);
		free(got);
	}
}

static void macros_that_grow_without_end_meet_a_bound(void **state)
{
	static const char *const grow[] = { "A(x) A(x x)", "B B1 B1", "B1 B2 B2 B2 B2", "B2 B3 B3 B3 B3", "B3 B4 B4 B4 B4", "B4 B5 B5 B5 B5",
					    "B5 B6 B6 B6 B6", "B6 x x x x x x x x x x x", NULL };
	char many[80][16];
	const char *defs[81];
	enum gr_cc__eval verdict;

	free(eval(grow, "A(B)", &verdict));
	assert_int_equal(verdict, GR_CC__EVAL_UNKNOWN);
	for (int i = 0; i < 80; i++) {
		snprintf(many[i], sizeof(many[i]), "N%d <n%d>", i % 40, i);
		defs[i] = many[i];
	}
	defs[80] = NULL;
	free(eval(defs, "N1 N2 N3 N4 N5 N6 N7 N8 N9 N10 N11 N12 N13 N14 N15", &verdict));
	assert_int_equal(verdict, GR_CC__EVAL_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directives_are_found_where_a_compiler_sees_them), cmocka_unit_test(rare_words_raise_flags_only_in_code),
		cmocka_unit_test(definitions_come_without_comments_and_splices),
		cmocka_unit_test(computed_includes_become_every_name_they_may_have), cmocka_unit_test(macros_that_grow_without_end_meet_a_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
