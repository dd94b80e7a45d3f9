/**
 * args - what a gcc or clang command line asks for, and whether it may run on another machine
 *
 * gr_cc_args_expand() replaces @file words as the driver does; gr_cc_args_parse() then reads the words into a struct
 * gr_cc_cmd. The verdict is REMOTE or LOCAL with a reason; LOCAL is the answer for everything the option table does
 * not know. Nothing here touches the file system but the reading of @files. All strings of a cmd are borrowed from the
 * argv it was parsed from, or lie in the cmd; they live until gr_cc_cmd_fini().
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"
#include "lib/base/err.h"

enum gr_cc_family { GR_CC_GCC = 1, GR_CC_CLANG };
enum gr_cc_verdict { GR_CC_REMOTE = 1, GR_CC_LOCAL };
enum gr_cc_lang { GR_CC_LANG_NONE = 0, GR_CC_LANG_C, GR_CC_LANG_CXX, GR_CC_LANG_ASM };   /* ASM: assembler-with-cpp */
enum gr_cc_color { GR_CC_COLOR_AUTO = 0, GR_CC_COLOR_ALWAYS, GR_CC_COLOR_NEVER };

/* ---- @file ---- */
#define GR_CC_MAX_ARGS 16384
#define GR_CC_MAX_ARG_BYTES (4u << 20)

struct gr_cc_argv {
	int argc;
	char **argv;             /* NULL behind the last; argv[0] is the compiler */
	bool is_expanded;        /* at least one @file was read */
};
/**
 * gr_cc_args_expand - a copy of @argv with every readable @file replaced by its words, nested ones too
 * @cwd: what relative names in @argv are relative to
 * As libiberty's expandargv: quotes and backslashes; an @file that cannot be read stays as it is.
 * Return: 0; GR_ELIMIT (too many words or too deep). *out is freed with gr_cc_argv_fini.
 */
int gr_cc_args_expand(int argc, char *const *argv, const char *cwd, struct gr_cc_argv *out, struct gr_err *err) GR_MUST_CHECK;
void gr_cc_argv_fini(struct gr_cc_argv *a);

/* ---- the command ---- */
enum gr_cc_dir_kind { GR_CC_DIR_QUOTE, GR_CC_DIR_BRACKET, GR_CC_DIR_SYSTEM, GR_CC_DIR_AFTER, GR_CC_DIR_KINDS };
struct gr_cc_dir {
	enum gr_cc_dir_kind kind;      /* -iquote, -I (and CPATH), -isystem (and C_INCLUDE_PATH), -idirafter */
	const char *path;              /* as spelled */
	uint32_t n_path;
};

struct gr_cc_forced {            /* -include, -imacros; in the order the compiler reads them: all -imacros first */
	const char *name;
	bool is_macros;
};

struct gr_cc_define {            /* -D and -U in order */
	const char *text;              /* NAME, NAME=BODY, NAME(ARGS)=BODY; for -U the name */
	bool is_undef;
};

enum gr_cc_output_kind { GR_CC_OUT_OBJECT, GR_CC_OUT_DEPFILE, GR_CC_OUT_DWO, GR_CC_OUT_GCNO, GR_CC_OUT_SU, GR_CC_OUT_CI };
struct gr_cc_output {
	enum gr_cc_output_kind kind;
	bool is_required;              /* exists whenever the compiler ends with 0 */
	const char *path;              /* as the compiler will open it: relative to cwd, or absolute */
};

/* Where argv carries a path: bytes off..off+len of argv[arg]. For a tier that must map absolute paths. */
enum gr_cc_path_kind {
	GR_CC_PATH_SOURCE, GR_CC_PATH_INPUT,     /* the source; another file the compiler reads (-include, -fplugin=, ...) */
	GR_CC_PATH_DIR,                          /* a search directory, --sysroot */
	GR_CC_PATH_OUTPUT, GR_CC_PATH_DEPFILE,
	GR_CC_PATH_TARGET,                       /* -MT, -MQ: text that ends up in the depfile; not a path to map */
	GR_CC_PATH_PREFIX_OLD,                   /* OLD of -f*-prefix-map=OLD=NEW: matches names the compiler sees */
};
struct gr_cc_path {
	enum gr_cc_path_kind kind;
	uint32_t arg, off, len;
};

#define GR_CC_MAX_SIDE_OUTPUTS 8

struct gr_cc_cmd {
	enum gr_cc_verdict verdict;
	const char *reason;            /* LOCAL: a few constant words for statistics: "link", "-E", "unknown option" */
	char detail[96];               /* LOCAL: the word it was about, shortened; may be "" */
	enum gr_cc_family family;
	int argc;
	char *const *argv;             /* borrowed */

	enum gr_cc_lang lang;
	const char *source;            /* as spelled */
	uint32_t source_arg;           /* its place in argv */
	bool has_output_arg;           /* -o was given */

	struct gr_cc_output outputs[GR_CC_MAX_SIDE_OUTPUTS];   /* [0] is the object */
	uint32_t n_outputs;
	bool has_depfile;              /* then one of the outputs is of kind DEPFILE */
	bool depfile_has_system;       /* -MD and not -MMD */

	struct gr_cc_dir *dirs;        /* in command line order; CPATH and friends behind those of their kind */
	uint32_t n_dirs;
	struct gr_cc_forced *forced;
	uint32_t n_forced;
	struct gr_cc_define *defines;
	uint32_t n_defines;
	const char **inputs;           /* further files the compiler reads: plugins, profile and sanitizer lists */
	uint32_t n_inputs;
	const char **asm_dirs;         /* -Wa,-I and -I: where .include and .incbin look after cwd */
	uint32_t n_asm_dirs;
	struct gr_cc_path *paths;
	uint32_t n_paths;

	bool no_std_inc, no_std_inc_cxx;          /* -nostdinc, -nostdinc++ */
	enum gr_cc_color color;                   /* -fdiagnostics-color...: AUTO when not given */
	bool has_debug, has_split_dwarf, has_gcov, has_plugin;
	bool has_date_macros_epoch;               /* SOURCE_DATE_EPOCH is in the environment */
	const char *search_key;                   /* the words that change the compiler's own search list, "" for most;
						     what gr_cc_toolchain_search() caches by */

	/* ---- private ---- */
	uint32_t cap_dirs, cap_forced, cap_defines, cap_inputs, cap_asm_dirs, cap_paths;
	void *chunks;
};

/**
 * gr_cc_args_parse - read an expanded command line
 * @family: of the driver, from the toolchain's probe
 * @envp: the client's environment ("K=V", NULL at the end), or NULL; it is looked at for CPATH, C_INCLUDE_PATH,
 *	CPLUS_INCLUDE_PATH, SOURCE_DATE_EPOCH, DEPENDENCIES_OUTPUT and the like
 * Always fills *cmd, fit for gr_cc_cmd_fini; with verdict LOCAL only verdict, reason and detail mean something.
 * Cost ~5-10 us for a kernel's 100 words.
 */
void gr_cc_args_parse(struct gr_cc_cmd *cmd, enum gr_cc_family family, int argc, char *const *argv, char *const *envp);
void gr_cc_cmd_fini(struct gr_cc_cmd *cmd);

/**
 * gr_cc_cmd_normal - the words that decide what comes out, for cache keys: NUL-terminated strings appended to @out
 * Left out: argv[0], -pipe, and how an option's argument was attached ("-I x" is "-Ix"). The order stays.
 */
void gr_cc_cmd_normal(const struct gr_cc_cmd *cmd, struct gr_buf *out);

/**
 * gr_cc_cmd_depends - the command that prints what the preprocessor would read, as NUL-terminated words behind argv[0]
 * The same words without those that name outputs, and -M: a rule on stdout, nothing else written. Verdict REMOTE.
 */
void gr_cc_cmd_depends(const struct gr_cc_cmd *cmd, struct gr_buf *out);

/* "c", "c++", "assembler-with-cpp" */
const char *gr_cc_lang_name(enum gr_cc_lang lang);
/* Language of a source by its name; NONE when it is not one that can go away (reason in *why, may be NULL). */
enum gr_cc_lang gr_cc_lang_of(const char *name, const char **why);
