/**
 * triage - "certainly local" or "ask the agent", decided by the wrapper before it opens a socket
 *
 * Header only, libc only, no memory: griddle-cc is a static program that runs in front of every compile. It answers
 * only what one pass over the words can tell; everything finer is args.c's, in the agent. Words that it does not
 * understand go to the agent, which knows more; a mistake in that direction costs a round trip and no wrong result.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Most of a command line: -W..., -O..., -g..., -D..., -I..., -f..., -m... in one word, of which no word of the tables
 * below is one. */
static inline bool gr_cc_is_plain_family(const char *w)
{
	switch (w[1]) {
	case 'W': case 'O': case 'g': case 'D': case 'I':
		return w[2] != 0 && w[2] != 'c';        /* -gcc-toolchain */
	case 'f':
		return w[2] != 's' && w[2] != 'r' && w[2] != 'm' && w[2] != 'p';
	case 'm':
		return w[2] != 'l';
	default:
		return false;
	}
}

/* An option whose argument is the next word when it is written exactly so. Used by args.c too. */
static inline bool gr_cc_takes_next(const char *w)
{
	static const char *const one = "oxDUILlTuzABbVeGhFyq";      /* -o FILE; "-ofile" carries its own */
	static const char *const more[] = {
		"-include", "-imacros", "-isystem", "-iquote", "-idirafter", "-iprefix", "-iwithprefix", "-iwithprefixbefore",
		"-isysroot", "-imultilib", "-imultiarch", "-MF", "-MT", "-MQ", "-Xpreprocessor", "-Xassembler", "-Xlinker", "-Xclang",
		"-aux-info", "-dumpbase", "-dumpdir", "-dumpbase-ext", "-wrapper", "-arch", "-target", "-mllvm", "-Xanalyzer",
		"-Xopenmp-target", "-iframework", "-framework", "-rpath", "-include-pch", "-ivfsoverlay", "-working-directory",
		"-cxx-isystem", "-isystem-after", "-gcc-toolchain", "-iwithsysroot", "-serialize-diagnostics", "-isystem-prefix",
		"-MJ", "-fmodules-cache-path", "--param", "--sysroot", "--output", "--language", "--define-macro", "--include",
		"--include-directory", "--undefine-macro", "--imacros", "--specs", "--config", "--target", "-install_name",
		"-undefined", "-current_version", "-compatibility_version", "-bundle_loader", "-fplugin-arg", NULL,
	};
	size_t i;

	if (w[0] != '-' || !w[1])
		return false;
	if (!w[2])
		return strchr(one, w[1]) != NULL;
	if (gr_cc_is_plain_family(w))
		return false;
	for (i = 0; more[i]; i++)
		if (w[1] == more[i][1] && w[2] == more[i][2] && !strcmp(w, more[i]))
			return true;
	return false;
}

/* Words after which the compiler only prints something, or stops before an object. */
static inline const char *gr_cc_triage_word(const char *w)
{
	static const char *const exact[] = {
		"-E", "-S", "-M", "-MM", "-###", "-v", "--version", "--help", "--target-help", "-dumpversion", "-dumpmachine",
		"-dumpspecs", "-dumpfullversion", "-fsyntax-only", "-pass-exit-codes", "-no-canonical-prefixes", "-emit-llvm", "-cc1",
		"-cc1as", "--preprocess", "--assemble", "-no-integrated-cpp", "-V", "--verbose", "-Q", NULL,
	};
	static const char *const prefix[] = { "-print-", "--print-", "--help=", "-wrapper", NULL };
	size_t i;

	if (gr_cc_is_plain_family(w))
		return NULL;
	for (i = 0; exact[i]; i++)
		if (w[1] == exact[i][1] && w[2] == exact[i][2] && !strcmp(w, exact[i]))
			return exact[i];
	for (i = 0; prefix[i]; i++)
		if (w[1] == prefix[i][1] && !strncmp(w, prefix[i], strlen(prefix[i])))
			return prefix[i];
	return NULL;
}

/* Files that configure scripts and build systems compile to learn something: quick, often meant to fail. */
static inline bool gr_cc_is_probe_name(const char *path)
{
	static const char *const start[] = { "conftest.", "_configtest.", "CMakeCCompilerId.", "CMakeCXXCompilerId.",
		"testCCompiler.", "testCXXCompiler.", "CheckSymbolExists.", "CheckFunctionExists.", "CheckIncludeFile.", NULL };
	const char *b = strrchr(path, '/');
	size_t i;

	b = b ? b + 1 : path;
	for (i = 0; start[i]; i++)
		if (!strncmp(b, start[i], strlen(start[i])))
			return true;
	return strstr(path, "CMakeFiles/CMakeTmp/") || strstr(path, "CMakeFiles/CMakeScratch/") || strstr(path, "meson-private/");
}

/* Whether a word names something that is compiled, by its extension; objects and libraries do not. */
static inline bool gr_cc_is_source_name(const char *w)
{
	static const char *const ext[] = { "c", "i", "s", "S", "sx", "m", "cc", "cp", "cxx", "cpp", "CPP", "c++", "C", "ii", "mm", "f", "f90", NULL };
	const char *slash = strrchr(w, '/'), *dot = strrchr(slash ? slash : w, '.');
	size_t i;

	for (i = 0; dot && ext[i]; i++)
		if (!strcmp(dot + 1, ext[i]))
			return true;
	return false;
}

/* The last source among the words; NULL when there is none. */
static inline const char *gr_cc_source_word(int argc, char *const *argv)
{
	const char *found = NULL;
	int i;

	for (i = 1; i < argc; i++)
		if (argv[i][0] != '-' && gr_cc_is_source_name(argv[i]))
			found = argv[i];
		else if (gr_cc_takes_next(argv[i]))
			i++;
	return found;
}

/* Whether a command that stays here would have made an object of a source file: a translation unit to a person who counts.
 * Links, probes, what only prints, and what comes from a pipe (in practice a probe, Kbuild's) are not. */
static inline bool gr_cc_is_unit(int argc, char *const *argv)
{
	static const char *const no_object[] = { "-E", "-S", "-M", "-MM", "-###", "--version", "--help", "--target-help", "-fsyntax-only",
		"--preprocess", "--assemble", NULL };
	bool has_c = false, has_input = false, has_source = false;
	int i, k;

	for (i = 1; i < argc; i++) {
		const char *w = argv[i];

		if (w[0] != '-' || !w[1]) {
			if (!strncmp(w, "/dev/", 5) || gr_cc_is_probe_name(w))
				return false;
			has_input = has_input || w[0] != '-';
			has_source = has_source || gr_cc_is_source_name(w);
			continue;
		}
		for (k = 0; no_object[k]; k++)
			if (!strcmp(w, no_object[k]))
				return false;
		if (!strncmp(w, "-dump", 5) || !strncmp(w, "-print-", 7) || !strncmp(w, "--print-", 8) || !strncmp(w, "--help=", 7) ||
		    !strncmp(w, "-o/dev/", 7) || (!strcmp(w, "-o") && i + 1 < argc && !strncmp(argv[i + 1], "/dev/", 5)))
			return false;
		has_c = has_c || !strcmp(w, "-c") || !strcmp(w, "--compile");
		if (gr_cc_takes_next(w))
			i++;
	}
	return has_c ? has_input : has_source;
}

/**
 * gr_cc_triage - may this command go to the agent?
 * @argc, @argv: the compiler's own words, argv[0] being the compiler
 * Return: NULL to ask the agent, or a constant reason why the compiler must be run here.
 * Cost: under 10 us for a kernel's command line.
 */
static inline const char *gr_cc_triage(int argc, char *const *argv)
{
	bool has_c = false, has_at = false;
	int n_source = 0, i;

	for (i = 1; i < argc; i++) {
		const char *w = argv[i], *why;

		if (w[0] == '@') {
			has_at = true;
			continue;
		}
		if (w[0] != '-') {
			if (!*w)
				return "empty word";
			if (!strncmp(w, "/dev/", 5))
				return "source is a device";
			if (gr_cc_is_probe_name(w))
				return "configure probe";
			n_source++;
			continue;
		}
		if (!w[1])
			return "stdin";
		if (w[1] == 'c' && !w[2]) {
			has_c = true;
			continue;
		}
		why = gr_cc_triage_word(w);
		if (why)
			return why;
		if (w[1] == 'o' && (!strncmp(w + 2, "/dev/", 5) || (!w[2] && i + 1 < argc && !strncmp(argv[i + 1], "/dev/", 5))))
			return "output is a device";
		if (!strcmp(w, "--compile"))
			has_c = true;
		else if (gr_cc_takes_next(w))
			i++;
	}
	if (has_at)
		return NULL;
	if (n_source == 0)
		return "no source";
	if (!has_c)
		return gr_cc_source_word(argc, argv) ? "compile and link in one call" : "link";
	if (n_source > 1)
		return "several sources";
	return NULL;
}
