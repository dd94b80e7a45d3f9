/* options.c - see options.h. Options of the families -f -W -m -O -g are allowed when no entry denies them: they are
 * hundreds, and only few of them read or write files. Everything else must have an entry. */
#include "lib/cc/options.h"

#include <string.h>

#include "lib/base/alloc.h"

#define MODULES "modules"
#define PROFILE "profile data"
#define REPORT "compiler report"
#define DUMP "compiler dump"
#define DRIVER "changes which programs run"
#define CHARSET "source character set"

/* Sorted by strcmp: looked up by binary search for each prefix of the word, longest first. */
static const struct gr_cc__option options[] = {
	{ "--coverage", OPT_EXACT, OPT_GCNO, NULL },
	{ "--gcc-toolchain=", OPT_JOINED, OPT_SEARCH, NULL },
	{ "--param", OPT_EITHER, OPT_SKIP, NULL },
	{ "--std=", OPT_JOINED, OPT_OK, NULL },
	{ "--sysroot", OPT_SEPARATE, OPT_SYSROOT, NULL },
	{ "--sysroot=", OPT_JOINED, OPT_SYSROOT, NULL },
	{ "--target=", OPT_JOINED, OPT_SEARCH, NULL },
	{ "-B", OPT_JOINED, OPT_LOCAL, DRIVER },
	{ "-C", OPT_EXACT, OPT_LOCAL, "-E" },
	{ "-CC", OPT_EXACT, OPT_LOCAL, "-E" },
	{ "-D", OPT_EITHER, OPT_DEFINE, NULL },
	{ "-H", OPT_EXACT, OPT_OK, NULL },
	{ "-I", OPT_EITHER, OPT_DIR_BRACKET, NULL },
	{ "-L", OPT_EITHER, OPT_SKIP, NULL },
	{ "-MD", OPT_EXACT, OPT_DEP_MD, NULL },
	{ "-MF", OPT_EITHER, OPT_DEP_FILE, NULL },
	{ "-MG", OPT_EXACT, OPT_LOCAL, "-MG" },
	{ "-MMD", OPT_EXACT, OPT_DEP_MMD, NULL },
	{ "-MP", OPT_EXACT, OPT_OK, NULL },
	{ "-MQ", OPT_EITHER, OPT_DEP_TARGET, NULL },
	{ "-MT", OPT_EITHER, OPT_DEP_TARGET, NULL },
	{ "-O", OPT_JOINED, OPT_OK, NULL },
	{ "-Qunused-arguments", OPT_EXACT, OPT_OK, NULL },
	{ "-U", OPT_EITHER, OPT_UNDEF, NULL },
	{ "-W", OPT_JOINED, OPT_OK, NULL },
	{ "-Wa,", OPT_JOINED, OPT_TO_AS, NULL },
	{ "-Wp,", OPT_JOINED, OPT_TO_CPP, NULL },
	{ "-ansi", OPT_EXACT, OPT_OK, NULL },
	{ "-c", OPT_EXACT, OPT_OK, NULL },
	{ "-f", OPT_JOINED, OPT_OK, NULL },
	{ "-fada-spec-parent=", OPT_JOINED, OPT_LOCAL, DUMP },
	{ "-fapinotes", OPT_JOINED, OPT_LOCAL, MODULES },
	{ "-fauto-profile", OPT_EXACT, OPT_LOCAL, PROFILE },
	{ "-fauto-profile=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fbasic-block-sections=list=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fbranch-probabilities", OPT_EXACT, OPT_LOCAL, PROFILE },
	{ "-fbuild-session", OPT_JOINED, OPT_LOCAL, MODULES },
	{ "-fcallgraph-info", OPT_JOINED, OPT_CI, NULL },
	{ "-fcolor-diagnostics", OPT_EXACT, OPT_COLOR_ON, NULL },
	{ "-fcompare-debug", OPT_JOINED, OPT_LOCAL, "-fcompare-debug" },
	{ "-fcoverage-prefix-map=", OPT_JOINED, OPT_PREFIX_MAP, NULL },
	{ "-fcrash-diagnostics-dir=", OPT_JOINED, OPT_LOCAL, REPORT },
	{ "-fcs-profile-use", OPT_JOINED, OPT_LOCAL, PROFILE },
	{ "-fdebug-prefix-map=", OPT_JOINED, OPT_PREFIX_MAP, NULL },
	{ "-fdeps-", OPT_JOINED, OPT_LOCAL, MODULES },
	{ "-fdiagnostics-add-output=", OPT_JOINED, OPT_LOCAL, REPORT },
	{ "-fdiagnostics-color", OPT_EXACT, OPT_COLOR_ON, NULL },
	{ "-fdiagnostics-color=", OPT_JOINED, OPT_COLOR, NULL },
	{ "-fdiagnostics-format=json-file", OPT_EXACT, OPT_LOCAL, REPORT },
	{ "-fdiagnostics-format=sarif-file", OPT_EXACT, OPT_LOCAL, REPORT },
	{ "-fdirectives-only", OPT_EXACT, OPT_LOCAL, "preprocessed source" },
	{ "-fdump-", OPT_JOINED, OPT_LOCAL, DUMP },
	{ "-fembed-offload-object", OPT_JOINED, OPT_LOCAL, "offloading" },
	{ "-fexec-charset=", OPT_JOINED, OPT_LOCAL, CHARSET },
	{ "-ffile-prefix-map=", OPT_JOINED, OPT_PREFIX_MAP, NULL },
	{ "-fhip", OPT_JOINED, OPT_LOCAL, "offloading" },
	{ "-fimplicit-module", OPT_JOINED, OPT_LOCAL, MODULES },
	{ "-finput-charset=", OPT_JOINED, OPT_LOCAL, CHARSET },
	{ "-fmacro-prefix-map=", OPT_JOINED, OPT_PREFIX_MAP, NULL },
	{ "-fmem-report", OPT_JOINED, OPT_LOCAL, REPORT },
	{ "-fmodule", OPT_JOINED, OPT_LOCAL, MODULES },
	{ "-fno-callgraph-info", OPT_EXACT, OPT_OK, NULL },
	{ "-fno-color-diagnostics", OPT_EXACT, OPT_COLOR_OFF, NULL },
	{ "-fno-diagnostics-color", OPT_EXACT, OPT_COLOR_OFF, NULL },
	{ "-fno-integrated-as", OPT_EXACT, OPT_LOCAL, DRIVER },
	{ "-foffload", OPT_JOINED, OPT_LOCAL, "offloading" },
	{ "-fopenmp-targets=", OPT_JOINED, OPT_LOCAL, "offloading" },
	{ "-fopt-info", OPT_JOINED, OPT_DENY_FILE, REPORT },
	{ "-foptimization-record", OPT_JOINED, OPT_LOCAL, REPORT },
	{ "-fpass-plugin=", OPT_JOINED, OPT_PLUGIN, NULL },
	{ "-fpch-", OPT_JOINED, OPT_LOCAL, GR_CC__PCH },
	{ "-fplugin-arg-", OPT_JOINED, OPT_OK, NULL },
	{ "-fplugin=", OPT_JOINED, OPT_PLUGIN, NULL },
	{ "-fprebuilt-", OPT_JOINED, OPT_LOCAL, MODULES },
	{ "-fpreprocessed", OPT_EXACT, OPT_LOCAL, "preprocessed source" },
	{ "-fproc-stat-report", OPT_JOINED, OPT_LOCAL, REPORT },
	{ "-fprofile-instr-use", OPT_EXACT, OPT_LOCAL, PROFILE },
	{ "-fprofile-instr-use=", OPT_JOINED, OPT_LOCAL, PROFILE },
	{ "-fprofile-list=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fprofile-note=", OPT_JOINED, OPT_LOCAL, PROFILE },
	{ "-fprofile-prefix-map=", OPT_JOINED, OPT_PREFIX_MAP, NULL },
	{ "-fprofile-remapping-file=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fprofile-sample-use", OPT_JOINED, OPT_LOCAL, PROFILE },
	{ "-fprofile-use", OPT_JOINED, OPT_LOCAL, PROFILE },
	{ "-frandomize-layout-seed-file=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-frepo", OPT_EXACT, OPT_LOCAL, "-frepo" },
	{ "-freport-bug", OPT_EXACT, OPT_LOCAL, REPORT },
	{ "-frewrite-", OPT_JOINED, OPT_LOCAL, "-E" },
	{ "-fsanitize-blacklist=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fsanitize-coverage-allowlist=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fsanitize-coverage-ignorelist=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fsanitize-ignorelist=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fsanitize-system-ignorelist=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fsave-optimization-record", OPT_JOINED, OPT_LOCAL, REPORT },
	{ "-fself-test", OPT_JOINED, OPT_LOCAL, REPORT },
	{ "-fstack-usage", OPT_EXACT, OPT_SU, NULL },
	{ "-fsystem-module", OPT_EXACT, OPT_LOCAL, MODULES },
	{ "-ftest-coverage", OPT_EXACT, OPT_GCNO, NULL },
	{ "-fthinlto-index=", OPT_JOINED, OPT_LOCAL, PROFILE },
	{ "-ftime-", OPT_JOINED, OPT_LOCAL, REPORT },
	{ "-fuse-ld=", OPT_JOINED, OPT_OK, NULL },
	{ "-fworking-directory", OPT_EXACT, OPT_OK, NULL },
	{ "-fxray-always-instrument=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fxray-attr-list=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-fxray-never-instrument=", OPT_JOINED, OPT_INPUT, NULL },
	{ "-g", OPT_JOINED, OPT_DEBUG, NULL },
	{ "-g0", OPT_EXACT, OPT_NO_DEBUG, NULL },
	{ "-gno-split-dwarf", OPT_EXACT, OPT_NO_SPLIT, NULL },
	{ "-gsplit-dwarf", OPT_EXACT, OPT_SPLIT, NULL },
	{ "-gsplit-dwarf=single", OPT_EXACT, OPT_DEBUG, NULL },
	{ "-gsplit-dwarf=split", OPT_EXACT, OPT_SPLIT, NULL },
	{ "-idirafter", OPT_EITHER, OPT_DIR_AFTER, NULL },
	{ "-imacros", OPT_EITHER, OPT_IMACROS, NULL },
	{ "-include", OPT_EITHER, OPT_INCLUDE, NULL },
	{ "-include-pch", OPT_SEPARATE, OPT_LOCAL, GR_CC__PCH },
	{ "-iquote", OPT_EITHER, OPT_DIR_QUOTE, NULL },
	{ "-isysroot", OPT_EITHER, OPT_SYSROOT, NULL },
	{ "-isystem", OPT_EITHER, OPT_DIR_SYSTEM, NULL },
	{ "-isystem-after", OPT_EITHER, OPT_LOCAL, "search folder relative to the sysroot" },
	{ "-l", OPT_JOINED, OPT_SKIP, NULL },
	{ "-m", OPT_JOINED, OPT_OK, NULL },
	{ "-m16", OPT_EXACT, OPT_SEARCH, NULL },
	{ "-m32", OPT_EXACT, OPT_SEARCH, NULL },
	{ "-m64", OPT_EXACT, OPT_SEARCH, NULL },
	{ "-mabi=", OPT_JOINED, OPT_SEARCH, NULL },
	{ "-march=", OPT_JOINED, OPT_ARCH, NULL },
	{ "-marm", OPT_EXACT, OPT_SEARCH, NULL },
	{ "-mbig-endian", OPT_EXACT, OPT_SEARCH, NULL },
	{ "-mcpu=", OPT_JOINED, OPT_ARCH, NULL },
	{ "-mfloat-abi=", OPT_JOINED, OPT_SEARCH, NULL },
	{ "-mfpu=", OPT_JOINED, OPT_ARCH, NULL },
	{ "-mlittle-endian", OPT_EXACT, OPT_SEARCH, NULL },
	{ "-mllvm", OPT_SEPARATE, OPT_LOCAL, "-mllvm" },
	{ "-mthumb", OPT_EXACT, OPT_SEARCH, NULL },
	{ "-mtune=", OPT_JOINED, OPT_ARCH, NULL },
	{ "-mx32", OPT_EXACT, OPT_SEARCH, NULL },
	{ "-no-pie", OPT_EXACT, OPT_OK, NULL },
	{ "-nodefaultlibs", OPT_EXACT, OPT_OK, NULL },
	{ "-nolibc", OPT_EXACT, OPT_OK, NULL },
	{ "-nostartfiles", OPT_EXACT, OPT_OK, NULL },
	{ "-nostdinc", OPT_EXACT, OPT_NO_STD, NULL },
	{ "-nostdinc++", OPT_EXACT, OPT_NO_STD_CXX, NULL },
	{ "-nostdlib", OPT_EXACT, OPT_OK, NULL },
	{ "-nostdlib++", OPT_EXACT, OPT_OK, NULL },
	{ "-o", OPT_EITHER, OPT_OUTPUT, NULL },
	{ "-p", OPT_EXACT, OPT_OK, NULL },
	{ "-pedantic", OPT_EXACT, OPT_OK, NULL },
	{ "-pedantic-errors", OPT_EXACT, OPT_OK, NULL },
	{ "-pg", OPT_EXACT, OPT_OK, NULL },
	{ "-pie", OPT_EXACT, OPT_OK, NULL },
	{ "-pipe", OPT_EXACT, OPT_OK, NULL },
	{ "-pthread", OPT_EXACT, OPT_OK, NULL },
	{ "-rdynamic", OPT_EXACT, OPT_OK, NULL },
	{ "-s", OPT_EXACT, OPT_OK, NULL },
	{ "-save-temps", OPT_JOINED, OPT_LOCAL, "-save-temps" },
	{ "-shared", OPT_EXACT, OPT_OK, NULL },
	{ "-shared-libgcc", OPT_EXACT, OPT_OK, NULL },
	{ "-specs", OPT_JOINED, OPT_LOCAL, DRIVER },
	{ "-static", OPT_EXACT, OPT_OK, NULL },
	{ "-static-libgcc", OPT_EXACT, OPT_OK, NULL },
	{ "-static-libstdc++", OPT_EXACT, OPT_OK, NULL },
	{ "-static-pie", OPT_EXACT, OPT_OK, NULL },
	{ "-std=", OPT_JOINED, OPT_OK, NULL },
	{ "-stdlib=", OPT_JOINED, OPT_SEARCH, NULL },
	{ "-target", OPT_SEPARATE, OPT_SEARCH, NULL },
	{ "-trigraphs", OPT_EXACT, OPT_OK, NULL },
	{ "-undef", OPT_EXACT, OPT_OK, NULL },
	{ "-w", OPT_EXACT, OPT_OK, NULL },
	{ "-x", OPT_EITHER, OPT_LANG, NULL },
};

/* The longest entry that begins @word and takes it in its shape. Each round finds, by bisection, the last entry at or
 * before the first @n bytes; when that is no prefix, a prefix can only be as long as what the two have in common. */
const struct gr_cc__option *gr_cc__option_find(const char *word)
{
	size_t n = strlen(word);

	while (n > 1) {
		size_t lo = 0, hi = GR_LEN(options), same = 0, n_name;
		const struct gr_cc__option *o;

		while (lo < hi) {
			size_t mid = (lo + hi) / 2;
			int c = strncmp(options[mid].name, word, n);

			if (c < 0 || (c == 0 && strlen(options[mid].name) <= n))
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo == 0)
			return NULL;
		o = &options[lo - 1];
		n_name = strlen(o->name);
		while (same < n_name && same < n && o->name[same] == word[same])
			same++;
		if (same == n_name && (o->shape == OPT_JOINED || o->shape == OPT_EITHER || !word[n_name]))
			return o;
		n = same == n_name ? same - 1 : same;
	}
	return NULL;
}
