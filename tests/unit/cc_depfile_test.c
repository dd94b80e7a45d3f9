/* Dependency files, as gcc and clang write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/cc/depfile.h"

/* "targets : files" with '|' between names; "!" and the error's name when it fails. */
static char *parsed(const char *text)
{
	struct gr_cc_depfile d;
	struct gr_buf b = { 0 };
	int rc = gr_cc_depfile_parse(text, strlen(text), &d);

	if (rc < 0)
		gr_buf_printf(&b, "!%s", gr_err_name(rc));
	for (uint32_t i = 0; rc == 0 && i < d.n_targets; i++)
		gr_buf_printf(&b, "%s%s", i ? "|" : "", d.targets[i]);
	if (rc == 0)
		gr_buf_add_str(&b, " : ");
	for (uint32_t i = 0; rc == 0 && i < d.n_files; i++)
		gr_buf_printf(&b, "%s%s", i ? "|" : "", d.files[i]);
	gr_cc_depfile_fini(&d);
	return gr_buf_take(&b, NULL);
}

static void names_are_read_with_their_escapes(void **state)
{
	static const struct { const char *text, *want; } t[] = {
		{ "x.o: x.c a.h\n", "x.o : x.c|a.h" }, { "x.o: x.c \\\n  a.h \\\n b.h\n", "x.o : x.c|a.h|b.h" },
		{ "x.o: x.c \\\r\n a.h\r\n", "x.o : x.c|a.h" }, { "x.o:x.c\n", "!EPROTO" }, { "x.o : x.c\n", "x.o : x.c" },
		{ "a.o b.o: x.c\n", "a.o|b.o : x.c" }, { "x.o: a\\ b.h c\\#d.h\n", "x.o : a b.h|c#d.h" },
		{ "x.o: a$$b.h\n", "x.o : a$b.h" }, { "x.o: a\\\\\\ b.h\n", "x.o : a\\ b.h" }, { "x.o: a\\b.h\n", "x.o : a\\b.h" },
		{ "x.o: x.c a.h\n\na.h:\n", "x.o|a.h : x.c|a.h" }, { "x.o: x.c a.h x.c\n", "x.o : x.c|a.h" }, { "x.o:\n", "x.o : " },
		{ "c:/x.o: d:/x.c\n", "c:/x.o : d:/x.c" }, { "x.o: x.c", "x.o : x.c" }, { "x.o: \\", "x.o : " }, { "x.o: a\\", "x.o : a" },
		{ "x.o: a\\\n b\n", "x.o : a|b" }, { "x.o: a\\\\\n", "x.o : a\\" }, { "x.o: \\\rx\n", "x.o : \\\rx" },
		{ "", "!EPROTO" }, { "words only\n", "!EPROTO" }, { "\n\n", "!EPROTO" }, { "x.o: \\\n", "x.o : " },
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		char *got = parsed(t[i].text);

		if (strcmp(got, t[i].want)) {
			print_error("<%s>: got <%s>, want <%s>\n", t[i].text, got, t[i].want);
			fail();
		}
		free(got);
	}
}

static void a_nul_is_refused(void **state)
{
	struct gr_cc_depfile d;

	assert_int_equal(gr_cc_depfile_parse("x.o: a\0b\n", 9, &d), GR_EPROTO);
	gr_cc_depfile_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_read_with_their_escapes), cmocka_unit_test(a_nul_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
