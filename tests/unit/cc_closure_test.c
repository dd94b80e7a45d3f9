/* The closure: which files a compile may read, how the answer stays true, and the key that goes with it. */
#include "tests/unit/cc_closure_fixture.h"

static bool is_listed(struct gr_cc_node *const *list, uint32_t n, const char *path)
{
	struct gr_buf b = { 0 };
	bool is_there = false;

	for (uint32_t i = 0; i < n; i++) {
		gr_buf_clear(&b);
		gr_cc_node_path(list[i], &b);
		is_there |= !strcmp(gr_buf_str(&b), path);
	}
	gr_buf_fini(&b);
	return is_there;
}

/* @want: paths with blanks between; all of them and nothing else. */
static void list_is(const char *what, struct gr_cc_node *const *list, uint32_t n, const char *want)
{
	struct gr_buf b = { 0 };
	uint32_t n_want = 0;

	for (uint32_t i = 0; i < n; i++) {
		gr_buf_add_byte(&b, ' ');
		gr_cc_node_path(list[i], &b);
	}
	for (const char *p = want, *end; *p; p = *end ? end + 1 : end, n_want++) {
		char one[256];

		end = strchrnul(p, ' ');
		snprintf(one, sizeof(one), "%.*s", (int)(end - p), p);
		if (!is_listed(list, n, one)) {
			print_error("%s: no %s in%s\n", what, one, gr_buf_str(&b));
			fail();
		}
	}
	if (n != n_want) {
		print_error("%s: want %s, got%s\n", what, want, gr_buf_str(&b));
		fail();
	}
	gr_buf_fini(&b);
}

static void files_are(struct rig *r, const char *want)
{
	if (r->cl.verdict != GR_CC_CLOSURE_OK)
		print_error("verdict %d: %s %s\n", r->cl.verdict, r->cl.reason, r->cl.detail);
	assert_int_equal(r->cl.verdict, GR_CC_CLOSURE_OK);
	assert_ptr_equal(r->cl.files[0], r->cl.source);
	for (uint32_t i = 0; i < r->cl.n_files; i++)
		assert_true(r->cl.files[i]->kind == GR_CC_REG && r->cl.files[i]->has_digest);
	list_is("files", r->cl.files, r->cl.n_files, want);
}

static void is_local(struct rig *r, const char *reason)
{
	assert_int_equal(r->cl.verdict, GR_CC_CLOSURE_LOCAL);
	assert_string_equal(r->cl.reason, reason);
}

/* ---- searching ---- */
static void quotes_are_searched_beside_the_includer_first(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/src/x.c", "#include \"a.h\"\n#include <b.h>\n");
	put(r->w, "/w/src/a.h", "#include \"c.h\"\n");
	put(r->w, "/w/src/b.h", "");
	put(r->w, "/w/src/c.h", "");
	put(r->w, "/w/inc/a.h", "");
	put(r->w, "/w/inc/b.h", "");
	put(r->w, "/w/inc/c.h", "");
	close_over(r, "gcc -Iinc -c src/x.c");
	files_are(r, "/w/src/x.c /w/src/a.h /w/src/c.h /w/inc/b.h");
}

static void search_kinds_come_in_the_compilers_order(void **state)
{
	struct rig *r = *state;
	static const char *const dirs[] = { "q", "i", "s", "/b", "z" };

	r->search.dirs = r->search_dirs;
	r->search_dirs[0] = (char *)"/b";
	r->search.n_dirs = 1;
	put(r->w, "/w/x.c", "#include \"a.h\"\n#include <b.h>\n");
	put_dir(r->w, "/b");
	for (int k = 4; k >= 0; k--) {
		char path[64], want[128];

		for (const char *name = "a\0b"; name; name = *name == 'a' ? name + 2 : NULL) {
			snprintf(path, sizeof(path), "%s%s/%s.h", *dirs[k] == '/' ? "" : "/w/", dirs[k], name);
			put(r->w, path, "");
		}
		snprintf(want, sizeof(want), "/w/x.c %s%s/a.h %s%s/b.h", *dirs[k] == '/' ? "" : "/w/", dirs[k],
			 *dirs[k] == '/' ? "" : "/w/", k ? dirs[k] : "i");
		close_over(r, "gcc -idirafter z -isystem s -I i -iquote q -c x.c");
		files_are(r, want);
	}
}

static void a_folder_that_is_a_system_folder_too_is_searched_there(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include <a.h>\n");
	put(r->w, "/w/sys/a.h", "");
	put(r->w, "/w/inc/a.h", "");
	close_over(r, "gcc -Isys -Iinc -isystem ./sys -c x.c");
	files_are(r, "/w/x.c /w/inc/a.h");
	close_over(r, "gcc -Isys -Iinc -c x.c");
	files_are(r, "/w/x.c /w/sys/a.h");
}

static void include_next_takes_every_candidate(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include <a.h>\n");
	put(r->w, "/w/i1/a.h", "#include_next <a.h>\n");
	put(r->w, "/w/i2/a.h", "#include_next <a.h>\n");
	put(r->w, "/w/i3/a.h", "");
	close_over(r, "gcc -Ii1 -Ii2 -Ii3 -c x.c");
	files_are(r, "/w/x.c /w/i1/a.h /w/i2/a.h /w/i3/a.h");
}

static void has_include_brings_the_file_it_asks_for(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#if __has_include(\"a.h\") && __has_include(<no.h>)\n#endif\n");
	put(r->w, "/w/a.h", "");
	close_over(r, "gcc -I. -c x.c");
	files_are(r, "/w/x.c /w/a.h");
}

static void folders_and_absent_names_are_passed_over(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include <a>\n#include <none.h>\n#include \"a/../b.h\"\n");
	put_dir(r->w, "/w/i1/a");
	put(r->w, "/w/i2/a", "");
	put_dir(r->w, "/w/a");
	put(r->w, "/w/b.h", "");
	close_over(r, "gcc -Ii1 -Ii2 -Inone -c x.c");
	files_are(r, "/w/x.c /w/i2/a /w/b.h");
	list_is("dirs", r->cl.dirs, r->cl.n_dirs, "/w /w/i1 /w/i2 /w/a /w/i1/a");
}

static void forced_includes_are_searched_from_the_current_folder(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/src/x.c", "");
	put(r->w, "/w/f.h", "#include \"g.h\"\n");
	put(r->w, "/w/g.h", "");
	put(r->w, "/w/inc/m.h", "");
	put(r->w, "/w/src/f.h", "");
	close_over(r, "gcc -Iinc -include f.h -imacros m.h -c src/x.c");
	files_are(r, "/w/src/x.c /w/f.h /w/g.h /w/inc/m.h");
}

static void links_and_dotdots_are_told(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include <a.h>\n#include \"sub/../b.h\"\n");
	put(r->w, "/real/inc/deep/a.h", "#include \"c.h\"\n");
	put(r->w, "/real/inc/c.h", "");
	put(r->w, "/w/c.h", "");
	put_link(r->w, "/w/inc", "/real/inc");
	put_link(r->w, "/real/inc/a.h", "deep/a.h");
	put_dir(r->w, "/w/sub");
	put(r->w, "/w/b.h", "");
	close_over(r, "gcc -Iinc -c x.c");
	/* a.h is looked from where its link lies, as the compiler spells it */
	files_are(r, "/w/x.c /real/inc/deep/a.h /real/inc/c.h /w/b.h");
	list_is("links", r->cl.links, r->cl.n_links, "/w/inc /real/inc/a.h");
	list_is("dirs", r->cl.dirs, r->cl.n_dirs, "/w /real/inc /w/sub");
}

static void a_toolchains_own_headers_are_read_through_but_not_listed(void **state)
{
	struct rig *r = *state;

	r->search.dirs = r->search_dirs;
	r->search_dirs[0] = (char *)"/tool/include";
	r->search_dirs[1] = (char *)"/usr/include";
	r->search.n_dirs = 2;
	put(r->w, "/w/x.c", "#include <limits.h>\n");
	put(r->w, "/tool/include/limits.h", "#include_next <limits.h>\n");
	put(r->w, "/usr/include/limits.h", "");
	put(r->w, "/usr/include/stdc-predef.h", "");
	drain(r->w);
	gr_cc_files_mark_tool(r->w->files, "/tool/include", 1);
	r->tool = 1;
	close_over(r, "gcc -c x.c");
	files_are(r, "/w/x.c /usr/include/limits.h /usr/include/stdc-predef.h");
	assert_true(is_listed(r->cl.entries, r->cl.n_entries, "/tool/include/limits.h"));
	list_is("dirs", r->cl.dirs, r->cl.n_dirs, "/w /usr/include");
	close_over(r, "gcc -nostdinc -c x.c");
	assert_false(is_listed(r->cl.files, r->cl.n_files, "/usr/include/stdc-predef.h"));
}

/* ---- staying true ---- */
static void a_header_that_appears_earlier_in_the_list_is_taken(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include <a.h>\n");
	put(r->w, "/w/i2/a.h", "");
	put_dir(r->w, "/w/i1");
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i2/a.h");
	put(r->w, "/w/i1/a.h", "");
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i1/a.h");
	take_away(r->w, "/w/i1/a.h");
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i2/a.h");
}

static void a_search_folder_that_appears_is_searched(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include <a.h>\n");
	put(r->w, "/w/i2/a.h", "");
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i2/a.h");
	put(r->w, "/w/i1/a.h", "");
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i1/a.h");
}

static void a_changed_header_is_scanned_again(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include \"a.h\"\n");
	put(r->w, "/w/a.h", "");
	put(r->w, "/w/b.h", "");
	world_settle(r->w);
	close_over(r, "gcc -c x.c");
	files_are(r, "/w/x.c /w/a.h");
	put(r->w, "/w/a.h", "#include \"b.h\"\n");
	close_over(r, "gcc -c x.c");
	files_are(r, "/w/x.c /w/a.h /w/b.h");
}

static void without_watches_the_answer_is_as_true(void **state)
{
	struct rig *r = *state;

	r->w->watch_fails = true;
	a_changed_header_is_scanned_again(state);
	put(r->w, "/w/i2/n.h", "");
	put(r->w, "/w/x.c", "#include <n.h>\n");
	put_dir(r->w, "/w/i1");
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i2/n.h");
	put(r->w, "/w/i1/n.h", "");
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i1/n.h");
}

static void a_warm_closure_makes_no_system_call(void **state)
{
	struct rig *r = *state;
	unsigned had;

	put(r->w, "/w/x.c", "#include \"a.h\"\n#include <none.h>\n");
	put(r->w, "/w/a.h", "#include \"b.h\"\n");
	put(r->w, "/w/b.h", "");
	world_settle(r->w);
	close_over(r, "gcc -Iinc -MD -o x.o -c x.c");
	had = r->w->n_stat + r->w->n_read;
	put(r->w, "/w/x.o", "object");
	close_over(r, "gcc -Iinc -MD -o x.o -c x.c");
	files_are(r, "/w/x.c /w/a.h /w/b.h");
	assert_int_equal(r->w->n_stat + r->w->n_read, had);
}

static void what_was_shipped_and_is_gone_is_told(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include <a.h>\n#include <never.h>\n");
	put(r->w, "/w/i1/a.h", "");
	put(r->w, "/w/i2/a.h", "");
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i1/a.h");
	for (uint32_t i = 0; i < r->cl.n_files; i++)
		r->cl.files[i]->was_shipped = true;
	take_away(r->w, "/w/i1/a.h");
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i2/a.h");
	list_is("gone", r->cl.gone, r->cl.n_gone, "/w/i1/a.h");
	take_away(r->w, "/w/i2/a.h");
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	list_is("gone", r->cl.gone, r->cl.n_gone, "/w/i1/a.h");
}

/* ---- what stays at home ---- */
static void troubles_are_local_with_a_reason(void **state)
{
	struct rig *r = *state;

	close_over(r, "gcc -c none.c");
	is_local(r, "an input is missing");
	put(r->w, "/w/x.c", "");
	close_over(r, "gcc -o out/x.o -c x.c");
	is_local(r, "output folder is missing");
	close_over(r, "gcc -include none.h -c x.c");
	is_local(r, "an input is missing");
	close_over(r, "gcc -fplugin=./none.so -c x.c");
	is_local(r, "an input is missing");
	close_over(r, "gcc -Ix.c -c x.c");
	is_local(r, "search folder is no folder");
	r->cwd = "/nowhere";
	close_over(r, "gcc -c /w/x.c");
	is_local(r, "current folder is gone");
	r->cwd = "/w";
	world_put(r->w, "/w/fifo.h", GR_CC_OTHER, "");
	put(r->w, "/w/x.c", "#include \"fifo.h\"\n");
	close_over(r, "gcc -c x.c");
	is_local(r, "an input is no regular file");
	put(r->w, "/w/x.c", "#include \"d.h\"\n");
	put(r->w, "/w/d.h", "");
	world_find(r->w, "/w/d.h")->is_denied = true;
	close_over(r, "gcc -c x.c");
	is_local(r, "an input is no regular file");
}

static void precompiled_headers_are_local(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include <a.h>\n");
	put(r->w, "/w/inc/a.h", "");
	close_over(r, "gcc -Inone -Iinc -c x.c");
	files_are(r, "/w/x.c /w/inc/a.h");
	put(r->w, "/w/inc/a.h.gch", "");
	close_over(r, "gcc -Inone -Iinc -c x.c");
	is_local(r, "precompiled header");
	take_away(r->w, "/w/inc/a.h.gch");
	put(r->w, "/w/f.h", "");
	put(r->w, "/w/f.h.pch", "");
	close_over(r, "clang -Iinc -include f.h -c x.c");
	is_local(r, "precompiled header");
}

static void dates_are_local_without_an_epoch(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include \"v.h\"\n");
	put(r->w, "/w/v.h", "char v[] = __DATE__ __TIME__;\n");
	close_over(r, "gcc -c x.c");
	is_local(r, "__DATE__ or __TIME__");
	close_over(r, "gcc -D__DATE__=1 -D__TIME__=2 -c x.c");
	files_are(r, "/w/x.c /w/v.h");
	put(r->w, "/w/v.h", "char v[] = __TIMESTAMP__;\n");
	close_over(r, "gcc -c x.c");
	is_local(r, "__TIMESTAMP__");
}

/* ---- what the assembler reads ---- */
static void assembled_files_are_inputs(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/d/x.S", ".incbin \"blob.bin\"\n.include \"m.s\"\n#include \"c.h\"\n");
	put(r->w, "/w/d/c.h", "struct x y = { .include = 1 };\n");
	put(r->w, "/w/blob.bin", "#include <not.h>\n");
	put(r->w, "/w/d/blob.bin", "not this one");
	put(r->w, "/w/inc/m.s", ".incbin \"n.bin\"\n");
	put(r->w, "/w/inc/n.bin", "");
	close_over(r, "gcc -Iinc -c d/x.S");
	is_local(r, ".include of a computed name");
	put(r->w, "/w/d/c.h", "");
	close_over(r, "gcc -Iinc -c d/x.S");
	files_are(r, "/w/d/x.S /w/d/c.h /w/blob.bin /w/inc/m.s /w/inc/n.bin");
	put(r->w, "/w/y.c", "asm(\".incbin \\\"blob.bin\\\"\");\n#include \"d/c.h\"\n");
	put(r->w, "/w/d/c.h", "struct x y = { .include = 1 };\n");
	close_over(r, "gcc -c y.c");
	files_are(r, "/w/y.c /w/d/c.h /w/blob.bin");
	put(r->w, "/w/y.c", "asm(\".incbin \\\"\" B \"\\\"\");\n");
	close_over(r, "gcc -c y.c");
	is_local(r, ".incbin of a computed name");
}

static void a_blob_is_looked_at_each_time(void **state)
{
	struct rig *r = *state;
	struct gr_digest had;

	put(r->w, "/w/x.S", ".incbin \"blob.bin\"\n");
	put(r->w, "/w/blob.bin", "one");
	world_settle(r->w);
	close_over(r, "gcc -c x.S");
	files_are(r, "/w/x.S /w/blob.bin");
	had = entry(r->w, "/w/blob.bin")->digest;
	r->w->loses_events = true;
	put(r->w, "/w/blob.bin", "two");
	close_over(r, "gcc -c x.S");
	assert_false(gr_digest_eq(&had, &entry(r->w, "/w/blob.bin")->digest));
	/* behind a link too */
	put(r->w, "/w/real.bin", "one");
	put_link(r->w, "/w/l.bin", "real.bin");
	r->w->loses_events = false;
	put(r->w, "/w/y.S", ".incbin \"l.bin\"\n");
	world_settle(r->w);
	close_over(r, "gcc -c y.S");
	files_are(r, "/w/y.S /w/real.bin");
	list_is("links", r->cl.links, r->cl.n_links, "/w/l.bin");
	had = entry(r->w, "/w/real.bin")->digest;
	r->w->loses_events = true;
	put(r->w, "/w/real.bin", "two");
	close_over(r, "gcc -c y.S");
	assert_false(gr_digest_eq(&had, &entry(r->w, "/w/real.bin")->digest));
}

static void plugins_and_lists_are_inputs(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "");
	put(r->w, "/w/p/r.so", "elf");
	close_over(r, "gcc -fplugin=./p/r.so -c x.c");
	files_are(r, "/w/x.c /w/p/r.so");
}

/* ---- computed includes ---- */
static void put_trace(struct rig *r)
{
	put(r->w, "/w/inc/trace/define_trace.h",
	    "#ifdef CREATE\n#undef CREATE\n#ifndef TRACE_INCLUDE_FILE\n# define TRACE_INCLUDE_FILE TRACE_SYSTEM\n#endif\n"
	    "#ifndef TRACE_INCLUDE_PATH\n# define __TRACE_INCLUDE(system) <trace/events/system.h>\n#else\n"
	    "# define __TRACE_INCLUDE(system) __stringify(TRACE_INCLUDE_PATH/system.h)\n#endif\n"
	    "# define TRACE_INCLUDE(system) __TRACE_INCLUDE(system)\n#include TRACE_INCLUDE(TRACE_INCLUDE_FILE)\n#endif\n");
	put(r->w, "/w/inc/linux/stringify.h", "#define __stringify_1(x...) #x\n#define __stringify(x...) __stringify_1(x)\n");
	put(r->w, "/w/inc/trace/events/sched.h", "#define TRACE_SYSTEM sched\n#include <trace/define_trace.h>\n");
}

static void a_kernel_trace_header_is_found(void **state)
{
	struct rig *r = *state;

	put_trace(r);
	put(r->w, "/w/fs/x.c", "#include <linux/stringify.h>\n#define CREATE\n#include \"trace.h\"\n");
	put(r->w, "/w/fs/trace.h", "#define TRACE_SYSTEM fs\n#define TRACE_INCLUDE_PATH ../../fs/deep\n#define TRACE_INCLUDE_FILE evil\n"
				   "#include <trace/define_trace.h>\n");
	put(r->w, "/w/fs/deep/evil.h", "#include \"more.h\"\n");
	put(r->w, "/w/fs/deep/more.h", "");
	close_over(r, "gcc -Iinc -nostdinc -c fs/x.c");
	/* ../../fs/deep from inc/trace */
	files_are(r, "/w/fs/x.c /w/inc/linux/stringify.h /w/fs/trace.h /w/inc/trace/define_trace.h /w/fs/deep/evil.h /w/fs/deep/more.h");
}

static void command_line_definitions_count(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include CONFIG\n#include STR(F)\n#define STR(x) STR1(x)\n#define STR1(x) #x\n");
	put(r->w, "/w/cfg/c.h", "");
	put(r->w, "/w/g.h", "");
	close_over(r, "gcc -DCONFIG=<cfg/c.h> -DF=g.h -I. -c x.c");
	files_are(r, "/w/x.c /w/cfg/c.h /w/g.h");
	close_over(r, "gcc -DF=g.h -I. -c x.c");
	files_are(r, "/w/x.c /w/g.h");
}

static void a_definition_found_behind_a_computed_include_counts(void **state)
{
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#define A \"a.h\"\n#include A\n#include B\n");
	put(r->w, "/w/a.h", "#define B \"b.h\"\n");
	put(r->w, "/w/b.h", "");
	close_over(r, "gcc -c x.c");
	files_are(r, "/w/x.c /w/a.h /w/b.h");
	put(r->w, "/w/a.h", "#define B \"c.h\"\n");
	put(r->w, "/w/c.h", "");
	close_over(r, "gcc -c x.c");
	files_are(r, "/w/x.c /w/a.h /w/c.h");
}

static void what_cannot_be_computed_asks_for_a_preprocessor(void **state)
{
	static const char *const known[] = { "x.c", "./h.h" };
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include __UNKNOWN_TO_US\n");
	put(r->w, "/w/h.h", "#include \"i.h\"\n");
	put(r->w, "/w/i.h", "");
	close_over(r, "gcc -c x.c");
	assert_int_equal(r->cl.verdict, GR_CC_CLOSURE_NEEDS_PREPROCESSOR);
	r->known = known;
	r->n_known = 2;
	close_over(r, "gcc -c x.c");
	files_are(r, "/w/x.c /w/h.h /w/i.h");
	put(r->w, "/w/x.c", "#if __has_include(PARAM)\n#endif\n");
	close_over(r, "gcc -c x.c");
	is_local(r, "computed __has_include");
}

/* What a preprocessor found stands for names that are not known: nothing that lay earlier on the path may stay there. */
static void what_was_shipped_and_is_gone_is_said_with_a_preprocessors_list(void **state)
{
	static const char *const known[] = { "x.c", "i2/h.h" };
	struct rig *r = *state;

	put(r->w, "/w/x.c", "#include __UNKNOWN_TO_US\n");
	put(r->w, "/w/i1/h.h", "");
	put(r->w, "/w/i2/h.h", "");
	put(r->w, "/w/i1/odd/name.h", "");
	put(r->w, "/w/y.c", "");
	close_over(r, "gcc -include i1/h.h -include i1/odd/name.h -c y.c");
	files_are(r, "/w/y.c /w/i1/h.h /w/i1/odd/name.h");
	gr_cc_files_entry(r->w->files, gr_cc_files_dir(r->w->files, "/w"), "i1/h.h")->was_shipped = true;
	gr_cc_files_entry(r->w->files, gr_cc_files_dir(r->w->files, "/w"), "i1/odd/name.h")->was_shipped = true;
	take_away(r->w, "/w/i1/h.h");
	take_away(r->w, "/w/i1/odd/name.h");
	r->known = known;
	r->n_known = 2;
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i2/h.h");
	list_is("gone", r->cl.gone, r->cl.n_gone, "/w/i1/h.h /w/i1/odd/name.h");
}

static void a_name_earlier_on_the_path_than_a_preprocessors_is_noticed(void **state)
{
	static const char *const known[] = { "x.c", "i2/sub/h.h" };
	struct rig *r = *state;
	uint64_t gen;

	put(r->w, "/w/x.c", "#include __UNKNOWN_TO_US\n");
	put(r->w, "/w/i1/none", "");
	put(r->w, "/w/i2/sub/h.h", "");
	r->known = known;
	r->n_known = 2;
	close_over(r, "gcc -Ii1 -Ii2 -c x.c");
	files_are(r, "/w/x.c /w/i2/sub/h.h");
	gen = gr_cc_files_names_gen(r->w->files);
	put(r->w, "/w/i1/sub/h.h", "");
	drain(r->w);
	assert_true(gr_cc_files_names_gen(r->w->files) != gen);
}

/* ---- key 2 ---- */
static struct gr_digest key2(struct rig *r, const char *line)
{
	struct gr_digest key1 = { { 7 } }, out;

	close_over(r, line);
	assert_int_equal(r->cl.verdict, GR_CC_CLOSURE_OK);
	assert_int_equal(gr_cc_closure_key2(r->closer, &r->cl, &key1, r->cl.entries, r->cl.n_entries, &out), 0);
	return out;
}

static void key_2_changes_with_content_and_with_what_includes_find(void **state)
{
	struct rig *r = *state;
	struct gr_digest a, b;

	put(r->w, "/w/x.c", "#include <a.h>\n");
	put(r->w, "/w/i2/a.h", "one");
	put_dir(r->w, "/w/i1");
	world_settle(r->w);
	a = key2(r, "gcc -Ii1 -Ii2 -c x.c");
	b = key2(r, "gcc -Ii1 -Ii2 -c x.c");
	assert_true(gr_digest_eq(&a, &b));
	put(r->w, "/w/i1/other.h", "");
	put(r->w, "/w/x.o", "");
	b = key2(r, "gcc -Ii1 -Ii2 -c x.c");
	assert_true(gr_digest_eq(&a, &b));
	put(r->w, "/w/i2/a.h", "two");
	b = key2(r, "gcc -Ii1 -Ii2 -c x.c");
	assert_false(gr_digest_eq(&a, &b));
	put(r->w, "/w/i2/a.h", "one");
	b = key2(r, "gcc -Ii1 -Ii2 -c x.c");
	assert_true(gr_digest_eq(&a, &b));
	put(r->w, "/w/i1/a.h", "one");        /* the same text, found elsewhere: __FILE__ differs */
	b = key2(r, "gcc -Ii1 -Ii2 -c x.c");
	assert_false(gr_digest_eq(&a, &b));
}

static void key_2_of_what_was_read_ignores_the_rest(void **state)
{
	struct rig *r = *state;
	struct gr_digest key1 = { { 7 } }, a, b;
	struct gr_cc_node *read[2];

	put(r->w, "/w/x.c", "#include \"a.h\"\n#if 0\n#include \"dead.h\"\n#endif\n");
	put(r->w, "/w/a.h", "");
	put(r->w, "/w/dead.h", "one");
	world_settle(r->w);
	close_over(r, "gcc -c x.c");
	read[0] = entry(r->w, "/w/x.c");
	read[1] = entry(r->w, "/w/a.h");
	assert_int_equal(gr_cc_closure_key2(r->closer, &r->cl, &key1, read, 2, &a), 0);
	put(r->w, "/w/dead.h", "two");
	close_over(r, "gcc -c x.c");
	assert_int_equal(gr_cc_closure_key2(r->closer, &r->cl, &key1, read, 2, &b), 0);
	assert_true(gr_digest_eq(&a, &b));
	take_away(r->w, "/w/a.h");
	close_over(r, "gcc -c x.c");
	assert_int_equal(gr_cc_closure_key2(r->closer, &r->cl, &key1, read, 2, &b), GR_ENOENT);
}

static void key_2_sees_the_blob(void **state)
{
	struct rig *r = *state;
	struct gr_digest a, b;

	put(r->w, "/w/x.S", ".incbin \"blob.bin\"\n");
	put(r->w, "/w/blob.bin", "one");
	world_settle(r->w);
	a = key2(r, "gcc -c x.S");
	put(r->w, "/w/blob.bin", "two");
	b = key2(r, "gcc -c x.S");
	assert_false(gr_digest_eq(&a, &b));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(quotes_are_searched_beside_the_includer_first), T(search_kinds_come_in_the_compilers_order),
		T(a_folder_that_is_a_system_folder_too_is_searched_there), T(include_next_takes_every_candidate),
		T(has_include_brings_the_file_it_asks_for), T(folders_and_absent_names_are_passed_over),
		T(forced_includes_are_searched_from_the_current_folder), T(links_and_dotdots_are_told),
		T(a_toolchains_own_headers_are_read_through_but_not_listed), T(a_header_that_appears_earlier_in_the_list_is_taken),
		T(a_search_folder_that_appears_is_searched), T(a_changed_header_is_scanned_again), T(without_watches_the_answer_is_as_true),
		T(a_warm_closure_makes_no_system_call), T(what_was_shipped_and_is_gone_is_told), T(troubles_are_local_with_a_reason),
		T(precompiled_headers_are_local), T(dates_are_local_without_an_epoch), T(assembled_files_are_inputs),
		T(a_blob_is_looked_at_each_time), T(plugins_and_lists_are_inputs), T(a_kernel_trace_header_is_found),
		T(command_line_definitions_count), T(a_definition_found_behind_a_computed_include_counts),
		T(what_cannot_be_computed_asks_for_a_preprocessor),
		T(what_was_shipped_and_is_gone_is_said_with_a_preprocessors_list), T(a_name_earlier_on_the_path_than_a_preprocessors_is_noticed), T(key_2_changes_with_content_and_with_what_includes_find),
		T(key_2_of_what_was_read_ignores_the_rest), T(key_2_sees_the_blob),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
