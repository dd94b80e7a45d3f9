/* Command lines: what may go away, what stays and why, what comes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/cc/args.h"
#include "lib/cc/key.h"
#include "lib/cc/triage.h"

#define MAX_WORDS 64

/* Blanks separate words; '...' is one word. */
static int words(const char *line, char *buf, char **argv)
{
	int n = 0;

	strcpy(buf, line);
	for (char *p = buf; *p;) {
		char *out;

		while (*p == ' ')
			p++;
		if (!*p)
			break;
		assert_true(n < MAX_WORDS - 1);
		argv[n++] = out = p;
		while (*p && *p != ' ') {
			if (*p == '\'') {
				for (p++; *p && *p != '\'';)
					*out++ = *p++;
				p++;
			} else {
				*out++ = *p++;
			}
		}
		if (*p)
			p++;
		*out = 0;
	}
	argv[n] = NULL;
	return n;
}

struct parsed {
	struct gr_cc_cmd cmd;
	char buf[4096];
	char *argv[MAX_WORDS];
	int argc;
};

static struct parsed *parse_env(const char *line, char *const *envp)
{
	struct parsed *p;
	bool is_clang;

	GR_NEW(p);
	p->argc = words(line, p->buf, p->argv);
	is_clang = strstr(p->argv[0], "clang") != NULL;
	gr_cc_args_parse(&p->cmd, is_clang ? GR_CC_CLANG : GR_CC_GCC, p->argc, p->argv, envp);
	return p;
}
static struct parsed *parse(const char *line) { return parse_env(line, NULL); }
static void drop(struct parsed *p)
{
	gr_cc_cmd_fini(&p->cmd);
	free(p);
}

/* ---- local, with the reason ---- */
static const struct { const char *line, *reason; } locals[] = {
	{ "gcc", "no source" }, { "gcc x.c", "compile and link in one call" }, { "gcc -o x x.o y.o", "link" }, { "gcc -c", "no source" },
	{ "gcc -E x.c", "-E" }, { "gcc -E -o x.i x.c", "-E" }, { "gcc -S x.c", "-S" }, { "gcc -S -o - x.c", "-S" },
	{ "gcc -S -o x.s x.c", "-S" }, { "gcc -M x.c", "-M" }, { "gcc -MM -MF x.d x.c", "-MM" }, { "gcc -c -", "stdin" },
	{ "gcc -x c -c -o x.o -", "stdin" }, { "gcc -c a.c b.c", "several sources" }, { "gcc -c -o x.o a.c b.c", "several sources" },
	{ "gcc -c -x c /dev/null -o x.o", "source is a device" }, { "gcc -c x.c -o /dev/null", "output is a device" },
	{ "gcc -c x.c -o/dev/null", "output is a device" }, { "gcc --version", "--version" }, { "gcc -v -c x.c", "-v" },
	{ "gcc -### -c x.c", "-###" }, { "gcc -print-prog-name=as", "-print-" }, { "gcc -dumpmachine", "-dumpmachine" },
	{ "gcc --help=warnings", "--help=" }, { "gcc -fsyntax-only -c x.c", "-fsyntax-only" }, { "gcc -c conftest.c", "configure probe" },
	{ "gcc -c CMakeFiles/CMakeTmp/src.c", "configure probe" },
	{ "gcc -march=native -c x.c", "-march=native" }, { "gcc -mtune=native -c x.c", "-march=native" },
	{ "gcc -mcpu=native+nosve -c x.c", "-march=native" },
	{ "gcc -c x.h", "precompiled header" }, { "g++ -c x.hpp -o x.hpp.gch", "precompiled header" },
	{ "gcc -x c-header -c x.c", "precompiled header" }, { "gcc -x c++-header -c x.h", "precompiled header" },
	{ "gcc -c x.s", "plain assembly" }, { "gcc -c x.i", "preprocessed source" }, { "g++ -c x.ii", "preprocessed source" },
	{ "gcc -c x.m", "language" }, { "gcc -c x.f90", "language" }, { "gcc -c x", "language" }, { "gcc -x ada -c x.c", "language" },
	{ "gcc -x cpp-output -c x.c", "preprocessed source" }, { "gcc -fpreprocessed -c x.c", "preprocessed source" },
	{ "gcc -fdirectives-only -c x.c", "preprocessed source" }, { "gcc -c x.o", "link" },
	{ "gcc -fmodules-ts -c x.cc", "modules" }, { "clang++ -fmodules -c x.cc", "modules" },
	{ "clang++ -fmodule-file=x.pcm -c x.cc", "modules" }, { "clang++ -fprebuilt-module-path=. -c x.cc", "modules" },
	{ "g++ -frepo -c x.cc", "-frepo" }, { "gcc -save-temps -c x.c", "-save-temps" }, { "gcc -save-temps=obj -c x.c", "-save-temps" },
	{ "gcc -fdump-tree-all -c x.c", "compiler dump" }, { "gcc -dumpbase x -c x.c", "unknown option" },
	{ "gcc -da -c x.c", "unknown option" }, { "gcc -specs=x.specs -c x.c", "changes which programs run" },
	{ "gcc -B. -c x.c", "changes which programs run" },
	{ "gcc -wrapper gdb,--args -c x.c", "-wrapper" }, { "clang -fno-integrated-as -c x.c", "changes which programs run" },
	{ "gcc -fprofile-use -c x.c", "profile data" }, { "gcc -fprofile-use=dir -c x.c", "profile data" },
	{ "gcc -fbranch-probabilities -c x.c", "profile data" }, { "clang -fprofile-instr-use=x -c x.c", "profile data" },
	{ "gcc -fplugin=name -c x.c", "plugin by name" }, { "gcc -Wa,-al=x.lst -c x.c", "-Wa option" },
	{ "gcc -Wa,--MD,x.d -c x.c", "-Wa option" }, { "gcc -Wa,@file -c x.c", "-Wa option" }, { "gcc -Wa,macros.s -c x.c", "-Wa option" },
	{ "gcc -Wa,-I -c x.c", "-Wa option" }, { "gcc -Wp,-include,x.h -c x.c", "-Wp option" }, { "gcc -Wp,-MD -c x.c", "-Wp option" },
	{ "gcc -Xassembler -al -c x.c", "unknown option" }, { "gcc -Xpreprocessor -MD -c x.c", "unknown option" },
	{ "clang -Xclang -load -c x.c", "unknown option" }, { "clang -mllvm -stats -c x.c", "-mllvm" },
	{ "gcc -MD -Wp,-MMD,x.d -c x.c", "two dependency files" }, { "gcc -Wp,-MD,a.d -Wp,-MMD,b.d -c x.c", "two dependency files" },
	{ "gcc -MD -MF a.d -MF b.d -c x.c", "two dependency files" }, { "gcc -MF x.d -c x.c", "-MF without -MD" },
	{ "gcc -MD -MF - -c x.c", "dependency file is no file" }, { "gcc -MD -MF /dev/stdout -c x.c", "dependency file is no file" },
	{ "gcc -MD -MG -c x.c", "-MG" }, { "gcc -I- -c x.c", "-I-" }, { "gcc -I=inc -c x.c", "search folder relative to the sysroot" },
	{ "gcc -isystem =/inc -c x.c", "search folder relative to the sysroot" },
	{ "gcc '-I$SYSROOT/x' -c x.c", "search folder relative to the sysroot" }, { "gcc -iprefix x -c x.c", "unknown option" },
	{ "gcc -iwithprefix x -c x.c", "unknown option" }, { "gcc -imultilib x -c x.c", "unknown option" },
	{ "gcc -o a.o -o b.o -c x.c", "two outputs" }, { "gcc -o dir/ -c x.c", "output is no file" }, { "gcc -o x.c -c x.c", "output is the source" },
	{ "gcc -MD -MF x.o -o x.o -c x.c", "two outputs of one name" }, { "gcc -c x.c -o", "option without its argument" },
	{ "gcc -c x.c -MF", "option without its argument" }, { "gcc --unheard-of -c x.c", "unknown option" }, { "gcc -Zx -c x.c", "unknown option" },
	{ "gcc @nofile -c x.c", "@file that cannot be read" }, { "gcc -foffload=nvptx -c x.c", "offloading" },
	{ "gcc -finput-charset=utf-16 -c x.c", "source character set" }, { "gcc -fopt-info-vec=x.txt -c x.c", "compiler report" },
	{ "gcc -ftime-report -c x.c", "compiler report" }, { "clang -ftime-trace -c x.c", "compiler report" },
	{ "clang -fsave-optimization-record -c x.c", "compiler report" }, { "gcc -fcompare-debug -c x.c", "-fcompare-debug" },
	{ "clang -emit-llvm -c x.c", "-emit-llvm" }, { "clang -include-pch x.pch -c x.c", "precompiled header" },
	{ "gcc -C -c x.c", "-E" }, { "gcc -fdiagnostics-format=json-file -c x.c", "compiler report" },
	{ "gcc '' -c x.c", "empty word" }, { "gcc -I '' -c x.c", "search folder relative to the sysroot" },
	{ "gcc -traditional-cpp -c x.c", "unknown option" }, { "clang -ivfsoverlay x.yaml -c x.c", "unknown option" },
	{ "clang -working-directory /x -c x.c", "unknown option" }, { "gcc -ffile-prefix-map=x -c x.c", "bad prefix map" },
};

static void what_must_stay_is_local_with_its_reason(void **state)
{
	for (size_t i = 0; i < GR_LEN(locals); i++) {
		struct parsed *p = parse(locals[i].line);

		if (p->cmd.verdict != GR_CC_LOCAL || strcmp(p->cmd.reason, locals[i].reason)) {
			print_error("%s: %s, expected %s\n", locals[i].line, p->cmd.verdict == GR_CC_LOCAL ? p->cmd.reason : "remote",
				    locals[i].reason);
			fail();
		}
		drop(p);
	}
}

/* ---- remote, with what comes out ---- */
static const struct { const char *line, *outputs; } remotes[] = {
	{ "gcc -c x.c", "x.o" }, { "gcc -c dir/x.c", "x.o" }, { "gcc -c x.y.c", "x.y.o" }, { "gcc -c -o out/x.o x.c", "out/x.o" },
	{ "gcc -c -oout/x.o x.c", "out/x.o" }, { "gcc -O2 -g -Wall -Wextra -Werror -fPIC -m64 -std=gnu11 -c x.c", "x.o" },
	{ "g++ -c x.cc", "x.o" }, { "g++ -c x.C", "x.o" }, { "clang++ -std=c++17 -stdlib=libc++ -c x.cpp", "x.o" },
	{ "gcc -c x.S", "x.o" }, { "gcc -c -x assembler-with-cpp x.asm", "x.o" }, { "gcc -x c++ -c x.c", "x.o" },
	{ "gcc -MD -c x.c", "x.o x.d" }, { "gcc -MD -c -o out/x.o x.c", "out/x.o out/x.d" }, { "gcc -MMD -o out/x.y.o -c x.c", "out/x.y.o out/x.y.d" },
	{ "gcc -MD -o out/x -c x.c", "out/x out/x.d" }, { "gcc -MD -MF deps/x.dep -MT tgt -MP -c x.c", "x.o deps/x.dep" },
	{ "gcc -MD -MFdeps/x.dep -MQ tgt -c x.c", "x.o deps/x.dep" }, { "gcc -Wp,-MMD,kernel/.fork.o.d -c -o kernel/fork.o kernel/fork.c", "kernel/fork.o kernel/.fork.o.d" },
	{ "gcc -Wp,-MD,.x.o.d,-MT,x.o -c x.c", "x.o .x.o.d" }, { "gcc -Wp,-D_FORTIFY_SOURCE=2 -c x.c", "x.o" },
	{ "gcc -g -gsplit-dwarf -o d/x.o -c x.c", "d/x.o d/x.dwo" }, { "gcc -gsplit-dwarf -gno-split-dwarf -c x.c", "x.o" },
	{ "gcc --coverage -o d/x.o -c x.c", "d/x.o d/x.gcno" }, { "gcc -fprofile-arcs -ftest-coverage -c x.c", "x.o x.gcno" },
	{ "gcc -fprofile-arcs -c x.c", "x.o" }, { "gcc -fstack-usage -fcallgraph-info=su -o d/x.o -c x.c", "d/x.o d/x.su d/x.ci" },
	{ "clang -fcolor-diagnostics -c x.c", "x.o" }, { "gcc -fplugin=./p/randstruct.so -fplugin-arg-randstruct-seed=1 -c x.c", "x.o" },
	{ "gcc -include linux/kconfig.h -imacros m.h -iquote q -isystem s -idirafter a -I i -Ij -c x.c", "x.o" },
	{ "gcc -D X -DY=1 -U Z -DKBUILD_MODFILE='\"kernel/fork\"' -c x.c", "x.o" }, { "gcc --sysroot=/s -isysroot /t -c x.c", "x.o" },
	{ "clang --target=aarch64-linux-gnu -c x.c", "x.o" }, { "clang -target arm-linux -c x.c", "x.o" },
	{ "gcc --param=x=1 --param y=2 -pipe -pthread -c x.c", "x.o" }, { "gcc -Wl,-z,now -lm -L. -shared -c x.c", "x.o" },
	{ "gcc -Wa,--noexecstack,-mrelax-relocations=no,-I,inc -c x.S", "x.o" }, { "gcc -fdebug-prefix-map=/a=/b -ffile-prefix-map=/a=/b -c x.c", "x.o" },
	{ "gcc -fdiagnostics-color=always -fmessage-length=0 -c x.c", "x.o" }, { "gcc -fsanitize=address,undefined -c x.c", "x.o" },
	{ "clang -fsanitize-ignorelist=list.txt -c x.c", "x.o" }, { "gcc -flto=auto -ffat-lto-objects -c x.c", "x.o" },
	{ "gcc -march=x86-64-v3 -mtune=generic -mno-sse -mcmodel=kernel -c x.c", "x.o" }, { "gcc -nostdinc -c x.c", "x.o" },
	{ "gcc -fopt-info-vec -c x.c", "x.o" }, { "gcc -c ./-x.c", "-x.o" }, { "gcc -x c -x none -c x.cc", "x.o" },
};

static void what_may_go_is_remote_with_its_outputs(void **state)
{
	for (size_t i = 0; i < GR_LEN(remotes); i++) {
		struct parsed *p = parse(remotes[i].line);
		struct gr_buf b = { 0 };

		if (p->cmd.verdict == GR_CC_LOCAL) {
			print_error("%s: local: %s %s\n", remotes[i].line, p->cmd.reason, p->cmd.detail);
			fail();
		}
		for (uint32_t k = 0; k < p->cmd.n_outputs; k++)
			gr_buf_printf(&b, "%s%s", k ? " " : "", p->cmd.outputs[k].path);
		assert_string_equal(gr_buf_str(&b), remotes[i].outputs);
		assert_int_equal(p->cmd.outputs[0].kind, GR_CC_OUT_OBJECT);
		gr_buf_fini(&b);
		drop(p);
	}
}

static void the_wrapper_asks_for_every_command_that_may_go(void **state)
{
	for (size_t i = 0; i < GR_LEN(remotes); i++) {
		char buf[4096], *argv[MAX_WORDS];
		int argc = words(remotes[i].line, buf, argv);

		assert_null(gr_cc_triage(argc, argv));
	}
}

static void the_language_comes_from_the_name_x_or_the_driver(void **state)
{
	static const struct { const char *line; enum gr_cc_lang lang; } t[] = {
		{ "gcc -c x.c", GR_CC_LANG_C }, { "gcc -c x.cc", GR_CC_LANG_CXX }, { "g++ -c x.c", GR_CC_LANG_CXX },
		{ "/usr/bin/x86_64-linux-gnu-g++-12 -c x.c", GR_CC_LANG_CXX }, { "clang++ -c x.c", GR_CC_LANG_CXX },
		{ "g++ -x c -c x.cc", GR_CC_LANG_C }, { "gcc -c x.S", GR_CC_LANG_ASM }, { "gcc -c x.sx", GR_CC_LANG_ASM },
		{ "gcc -xc++ -c x.c", GR_CC_LANG_CXX }, { "gcc -xc++ -xnone -c x.c", GR_CC_LANG_C },
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		struct parsed *p = parse(t[i].line);

		assert_int_equal(p->cmd.verdict, GR_CC_REMOTE);
		assert_int_equal(p->cmd.lang, t[i].lang);
		drop(p);
	}
}

static void search_folders_keep_kind_and_order(void **state)
{
	struct parsed *p = parse("gcc -I a -isystem s1 -iquote q -Ib -idirafter z -isystems2 -iquoteq2 -Wp,-Iw -c x.c");
	static const struct { enum gr_cc_dir_kind kind; const char *path; } want[] = {
		{ GR_CC_DIR_BRACKET, "a" }, { GR_CC_DIR_SYSTEM, "s1" }, { GR_CC_DIR_QUOTE, "q" }, { GR_CC_DIR_BRACKET, "b" },
		{ GR_CC_DIR_AFTER, "z" }, { GR_CC_DIR_SYSTEM, "s2" }, { GR_CC_DIR_QUOTE, "q2" }, { GR_CC_DIR_BRACKET, "w" },
	};

	assert_int_equal(p->cmd.n_dirs, GR_LEN(want));
	for (size_t i = 0; i < GR_LEN(want); i++) {
		assert_int_equal(p->cmd.dirs[i].kind, want[i].kind);
		assert_string_equal(p->cmd.dirs[i].path, want[i].path);
	}
	drop(p);
}

static void macro_files_are_read_before_include_files(void **state)
{
	struct parsed *p = parse("gcc -include a.h -imacros m1.h -include b.h -imacros m2.h -c x.c");
	static const char *const want[] = { "m1.h", "m2.h", "a.h", "b.h" };

	assert_int_equal(p->cmd.n_forced, 4);
	for (int i = 0; i < 4; i++)
		assert_string_equal(p->cmd.forced[i].name, want[i]);
	assert_true(p->cmd.forced[1].is_macros);
	assert_false(p->cmd.forced[2].is_macros);
	drop(p);
}

static void paths_in_words_are_found_with_their_place(void **state)
{
	struct parsed *p = parse("gcc -I/abs/inc -isystem /sys -o /out/x.o -Wp,-MMD,/out/.x.d -MT /t -include /f.h -fplugin=/p.so "
				 "-ffile-prefix-map=/old=/new -Wa,-I,/ai -c /src/x.c");
	static const struct { enum gr_cc_path_kind kind; const char *text; } want[] = {
		{ GR_CC_PATH_DIR, "/abs/inc" }, { GR_CC_PATH_DIR, "/sys" }, { GR_CC_PATH_OUTPUT, "/out/x.o" }, { GR_CC_PATH_DEPFILE, "/out/.x.d" },
		{ GR_CC_PATH_TARGET, "/t" }, { GR_CC_PATH_INPUT, "/f.h" }, { GR_CC_PATH_INPUT, "/p.so" }, { GR_CC_PATH_PREFIX_OLD, "/old" },
		{ GR_CC_PATH_DIR, "/ai" }, { GR_CC_PATH_SOURCE, "/src/x.c" },
	};

	assert_int_equal(p->cmd.verdict, GR_CC_REMOTE);
	assert_int_equal(p->cmd.n_paths, GR_LEN(want));
	for (size_t i = 0; i < GR_LEN(want); i++) {
		const struct gr_cc_path *a = &p->cmd.paths[i];

		assert_int_equal(a->kind, want[i].kind);
		assert_int_equal(a->len, strlen(want[i].text));
		assert_memory_equal(p->argv[a->arg] + a->off, want[i].text, a->len);
	}
	drop(p);
}

static void flags_that_matter_to_a_sandbox_are_told(void **state)
{
	struct parsed *p = parse("gcc -g3 -gsplit-dwarf --coverage -fplugin=./x.so -c x.c");

	assert_true(p->cmd.has_debug && p->cmd.has_split_dwarf && p->cmd.has_gcov && p->cmd.has_plugin);
	drop(p);
	p = parse("gcc -g -g0 -c x.c");
	assert_false(p->cmd.has_debug || p->cmd.has_split_dwarf || p->cmd.has_gcov || p->cmd.has_plugin);
	drop(p);
}

static void the_environment_adds_folders_and_can_forbid(void **state)
{
	static char *env[] = { "HOME=/x", "CPATH=/c1::/c2", "C_INCLUDE_PATH=/ci", "CPLUS_INCLUDE_PATH=/cxx", "SOURCE_DATE_EPOCH=1", NULL };
	static char *deps[] = { "DEPENDENCIES_OUTPUT=x.d", NULL };
	static char *prefix[] = { "GCC_EXEC_PREFIX=/x", NULL };
	static char *empty[] = { "COMPILER_PATH=", NULL };
	struct parsed *p = parse_env("gcc -I a -c x.c", env);
	static const char *const want[] = { "a", "/c1", ".", "/c2", "/ci" };

	assert_int_equal(p->cmd.n_dirs, 5);
	for (int i = 0; i < 5; i++)
		assert_string_equal(p->cmd.dirs[i].path, want[i]);
	assert_int_equal(p->cmd.dirs[4].kind, GR_CC_DIR_SYSTEM);
	assert_true(p->cmd.has_date_macros_epoch);
	drop(p);
	p = parse_env("gcc -c x.c", deps);
	assert_string_equal(p->cmd.reason, "environment variable");
	drop(p);
	p = parse_env("gcc -c x.c", prefix);
	assert_string_equal(p->cmd.reason, "environment variable");
	drop(p);
	p = parse_env("gcc -c x.c", empty);
	assert_int_equal(p->cmd.verdict, GR_CC_REMOTE);
	drop(p);
}

static void only_flags_that_move_the_search_list_are_in_its_key(void **state)
{
	struct parsed *p = parse("gcc -O2 -m32 --sysroot=/s -isysroot /t -march=i686 -DX -c x.c");

	assert_string_equal(p->cmd.search_key, "-m32\n--sysroot=/s\n-isysroot\n/t\n-march=i686\n");
	drop(p);
	p = parse("gcc -O2 -Wall -mno-sse -fPIC -c x.c");
	assert_string_equal(p->cmd.search_key, "");
	drop(p);
}

static void response_files_are_taken_apart_as_gcc_does(void **state)
{
	char dir[] = "/tmp/cc_args_XXXXXX", path[128];
	static const char text[] = "-DA='x y' \"-DB=\\\"q\\\"\"\n  -I\\ z @inner\t-c\n'' x.c";
	static const char inner[] = "-O2 -Wall";
	char *argv[] = { (char *)"gcc", (char *)"@words", (char *)"@none", (char *)"-g", NULL };
	static const char *const want[] = { "gcc", "-DA=x y", "-DB=\"q\"", "-I z", "-O2", "-Wall", "-c", "", "x.c", "@none", "-g" };
	struct gr_cc_argv out;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/words", dir);
	assert_int_equal(gr_file_replace(path, text, strlen(text), 0644, false, NULL), 0);
	snprintf(path, sizeof(path), "%s/inner", dir);
	assert_int_equal(gr_file_replace(path, inner, strlen(inner), 0644, false, NULL), 0);
	assert_int_equal(gr_cc_args_expand(4, argv, dir, &out, NULL), 0);
	assert_int_equal(out.argc, GR_LEN(want));
	for (int i = 0; i < out.argc; i++)
		assert_string_equal(out.argv[i], want[i]);
	assert_true(out.is_expanded);
	gr_cc_argv_fini(&out);
	/* one that names itself ends at a limit */
	assert_int_equal(gr_file_replace(path, "@inner", 6, 0644, false, NULL), 0);
	assert_int_equal(gr_cc_args_expand(4, argv, dir, &out, NULL), GR_ELIMIT);
	gr_rm_rf(dir);
}

static struct gr_digest key(const char *line, char *const *env, bool is_tty)
{
	struct gr_digest tool = { { 1 } }, source = { { 2 } }, out;
	struct parsed *p = parse(line);

	gr_cc_key1(&tool, &p->cmd, "/cwd", env, is_tty, &source, &out);
	drop(p);
	return out;
}

static void key_1_sees_what_matters_and_nothing_else(void **state)
{
	static char *lang_c[] = { "LANG=C", "HOME=/x", "LC_ALL=C", NULL }, *reordered[] = { "LC_ALL=C", "LANG=C", "MAKELEVEL=3", NULL };
	static char *lang_de[] = { "LANG=de_DE", "LC_ALL=C", NULL }, *term[] = { "LANG=C", "LC_ALL=C", "TERM=xterm", NULL };
	struct gr_digest a = key("gcc -I inc -DX -c x.c", lang_c, false), b;
#define SAME(...) (b = key(__VA_ARGS__), gr_digest_eq(&a, &b))
	assert_true(SAME("gcc -Iinc -D X -c x.c", lang_c, false));
	assert_true(SAME("gcc -pipe -I inc -DX -c x.c", lang_c, false));
	assert_true(SAME("/usr/bin/gcc -I inc -DX -c x.c", reordered, false));
	assert_true(SAME("gcc -I inc -DX -c x.c", term, false));
	assert_false(SAME("gcc -I inc -DX -c x.c", term, true));
	assert_false(SAME("gcc -I inc -DX -c x.c", lang_de, false));
	assert_false(SAME("gcc -I inc -DX -O2 -c x.c", lang_c, false));
	assert_false(SAME("gcc -DX -I inc -c x.c", lang_c, false));
	assert_false(SAME("gcc -I inc -DX -o y.o -c x.c", lang_c, false));
	assert_false(SAME("g++ -I inc -DX -c x.c", lang_c, false));
}

static void what_stays_here_is_a_unit_when_it_makes_an_object_of_a_source(void **state)
{
	static const struct { const char *line; bool is_unit; const char *source; } t[] = {
		{ "gcc -c x.c", true, "x.c" }, { "gcc -c a.c b.c", true, "b.c" }, { "gcc -x c -c -o x.o -", false, NULL }, { "gcc -x c -c x.txt", true, NULL }, { "gcc x.c -o x", true, "x.c" },
		{ "gcc -v -c x.c", true, "x.c" }, { "clang -emit-llvm -c x.c", true, "x.c" }, { "gcc -o x x.o y.a", false, NULL },
		{ "gcc -S x.c", false, "x.c" }, { "gcc -E -c x.c", false, "x.c" }, { "gcc -MM x.c", false, "x.c" }, { "gcc --version", false, NULL },
		{ "gcc -c -x c /dev/null -o x.o", false, NULL }, { "gcc -c x.c -o /dev/null", false, "x.c" }, { "gcc -c conftest.c", false, "conftest.c" },
		{ "gcc -print-file-name=x", false, NULL }, { "gcc -dumpmachine x.c", false, "x.c" }, { "gcc -o x.c y.o", false, NULL }, { "gcc -", false, NULL },
		{ "gcc -###", false, NULL }, { "gcc", false, NULL }, { "g++ -shared a.cpp -lz", true, "a.cpp" },
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		char *copy = gr_xstrdup(t[i].line), *argv[16], *save = NULL;
		const char *source;
		int argc = 0;

		for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
			argv[argc++] = w;
		argv[argc] = NULL;
		source = gr_cc_source_word(argc, argv);
		if (gr_cc_is_unit(argc, argv) != t[i].is_unit || strcmp(source ? source : "", t[i].source ? t[i].source : ""))
			fail_msg("%s: unit %d, source %s", t[i].line, gr_cc_is_unit(argc, argv), source ? source : "none");
		free(copy);
	}
}

static void the_preprocessors_command_names_no_output(void **state)
{
	static const struct { const char *line, *want; } t[] = {
		{ "gcc -Wp,-MMD,a/.x.o.d -nostdinc -I inc -D X=1 -O2 -c -o x.o x.c", "-nostdinc -I inc -D X=1 -O2 x.c -M" },
		{ "gcc -MD -MP -MF x.d -MT t -MQ q -ox.o -c x.c", "x.c -M" }, { "gcc -MMD -MFx.d -MTt -c x.c -DY", "x.c -DY -M" },
		{ "gcc -Wp,-MD,x.d,-DA,-MT,t,-MP,-UB -c x.c", "-Wp,-DA,-UB x.c -M" }, { "gcc -x c -c x.txt -include o.h", "-x c x.txt -include o.h -M" },
		{ "gcc -g -fpic -I./o -iquote c -c x.c -o o", "-g -fpic -I./o -iquote c x.c -M" },
	};

	for (size_t i = 0; i < GR_LEN(t); i++) {
		char buf[512], *argv[MAX_WORDS];
		struct gr_cc_cmd cmd;
		struct gr_buf out = { 0 };
		int argc = words(t[i].line, buf, argv);

		gr_cc_args_parse(&cmd, GR_CC_GCC, argc, argv, NULL);
		assert_int_equal(cmd.verdict, GR_CC_REMOTE);
		gr_cc_cmd_depends(&cmd, &out);
		for (size_t k = 0; k + 1 < out.n; k++)
			if (!out.p[k])
				out.p[k] = ' ';
		assert_string_equal((const char *)out.p, t[i].want);
		gr_buf_fini(&out);
		gr_cc_cmd_fini(&cmd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_must_stay_is_local_with_its_reason), cmocka_unit_test(what_may_go_is_remote_with_its_outputs),
		cmocka_unit_test(the_wrapper_asks_for_every_command_that_may_go),
		cmocka_unit_test(the_language_comes_from_the_name_x_or_the_driver), cmocka_unit_test(search_folders_keep_kind_and_order),
		cmocka_unit_test(macro_files_are_read_before_include_files), cmocka_unit_test(paths_in_words_are_found_with_their_place),
		cmocka_unit_test(flags_that_matter_to_a_sandbox_are_told), cmocka_unit_test(the_environment_adds_folders_and_can_forbid),
		cmocka_unit_test(only_flags_that_move_the_search_list_are_in_its_key),
		cmocka_unit_test(response_files_are_taken_apart_as_gcc_does), cmocka_unit_test(key_1_sees_what_matters_and_nothing_else),
		cmocka_unit_test(the_preprocessors_command_names_no_output), cmocka_unit_test(what_stays_here_is_a_unit_when_it_makes_an_object_of_a_source),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
