/**
 * args - see args.h. Each word is looked up in the table of options (options.h); what the table does not have is LOCAL,
 * so a new option of a new compiler costs speed and never a wrong object.
 *
 * Not kept: asking the driver (-###), which costs 1.5 ms a unit; a parser per compiler, whose tables were the same
 * but for a dozen lines.
 */
#include "lib/cc/args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/cc/options.h"
#include "lib/cc/triage.h"

/* ---- memory ---- */
struct chunk {
	struct chunk *next;
	char text[];
};

/* @p NULL: room for @n bytes and a NUL */
static char *keep(struct gr_cc_cmd *cmd, const char *p, size_t n)
{
	struct chunk *c = gr_xalloc(sizeof(*c) + n + 1);

	if (p)
		memcpy(c->text, p, n);
	c->next = cmd->chunks;
	cmd->chunks = c;
	return c->text;
}

void gr_cc_cmd_fini(struct gr_cc_cmd *cmd)
{
	for (struct chunk *c = cmd->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(cmd->dirs);
	free(cmd->forced);
	free(cmd->defines);
	free(cmd->inputs);
	free(cmd->asm_dirs);
	free(cmd->paths);
	memset(cmd, 0, sizeof(*cmd));
}

/* ---- building blocks ---- */
struct parse {
	struct gr_cc_cmd *cmd;
	const char *output;
	const char *depfile;            /* -MF, or the file of -Wp,-MD */
	bool has_md, has_wp_md, is_driver_cxx;
	bool has_gcno, has_su, has_ci, has_c;
	enum gr_cc_lang x_lang;         /* of -x; NONE: by name */
	bool has_x;
	struct gr_buf key;              /* search_key */
};

static void local(struct gr_cc_cmd *cmd, const char *reason, const char *detail)
{
	if (cmd->verdict == GR_CC_LOCAL)
		return;
	cmd->verdict = GR_CC_LOCAL;
	cmd->reason = reason;
	snprintf(cmd->detail, sizeof(cmd->detail), "%s", detail ? detail : "");
}

static void add_path(struct gr_cc_cmd *cmd, enum gr_cc_path_kind kind, uint32_t arg, size_t off, size_t len)
{
	GR_GROW(cmd->paths, cmd->cap_paths, cmd->n_paths + 1);
	cmd->paths[cmd->n_paths++] = (struct gr_cc_path){ kind, arg, (uint32_t)off, (uint32_t)len };
}

static void add_dir(struct gr_cc_cmd *cmd, enum gr_cc_dir_kind kind, const char *path)
{
	if (!*path || *path == '=' || !strncmp(path, "$SYSROOT", 8) || !strcmp(path, "-")) {
		local(cmd, *path == '-' ? "-I-" : "search folder relative to the sysroot", path);
		return;
	}
	GR_GROW(cmd->dirs, cmd->cap_dirs, cmd->n_dirs + 1);
	cmd->dirs[cmd->n_dirs++] = (struct gr_cc_dir){ kind, path, (uint32_t)strlen(path) };
}

static void add_str(const char ***a, uint32_t *n, uint32_t *cap, const char *s)
{
	GR_GROW(*a, *cap, *n + 1);
	(*a)[(*n)++] = s;
}

static void add_define(struct gr_cc_cmd *cmd, const char *text, bool is_undef)
{
	GR_GROW(cmd->defines, cmd->cap_defines, cmd->n_defines + 1);
	cmd->defines[cmd->n_defines++] = (struct gr_cc_define){ text, is_undef };
}

/* -imacros files are read before -include files, each kind in order. */
static void add_forced(struct gr_cc_cmd *cmd, const char *name, bool is_macros)
{
	uint32_t at = cmd->n_forced;

	GR_GROW(cmd->forced, cmd->cap_forced, cmd->n_forced + 1);
	if (is_macros)
		for (at = 0; at < cmd->n_forced && cmd->forced[at].is_macros; at++)
			;
	memmove(&cmd->forced[at + 1], &cmd->forced[at], (cmd->n_forced - at) * sizeof(*cmd->forced));
	cmd->forced[at] = (struct gr_cc_forced){ name, is_macros };
	cmd->n_forced++;
}

static void add_key(struct parse *p, const char *word, const char *next)
{
	gr_buf_add_str(&p->key, word);
	gr_buf_add_byte(&p->key, '\n');
	if (next) {
		gr_buf_add_str(&p->key, next);
		gr_buf_add_byte(&p->key, '\n');
	}
}

enum gr_cc_lang gr_cc_lang_of(const char *name, const char **why)
{
	static const struct { const char *ext; enum gr_cc_lang lang; const char *why; } by_ext[] = {
		{ ".c", GR_CC_LANG_C, NULL }, { ".cc", GR_CC_LANG_CXX, NULL }, { ".cpp", GR_CC_LANG_CXX, NULL },
		{ ".cxx", GR_CC_LANG_CXX, NULL }, { ".c++", GR_CC_LANG_CXX, NULL }, { ".C", GR_CC_LANG_CXX, NULL },
		{ ".CPP", GR_CC_LANG_CXX, NULL }, { ".cp", GR_CC_LANG_CXX, NULL }, { ".S", GR_CC_LANG_ASM, NULL },
		{ ".sx", GR_CC_LANG_ASM, NULL },
		{ ".s", 0, "plain assembly" }, { ".i", 0, "preprocessed source" }, { ".ii", 0, "preprocessed source" },
		{ ".h", 0, GR_CC__PCH }, { ".hh", 0, GR_CC__PCH }, { ".hpp", 0, GR_CC__PCH }, { ".H", 0, GR_CC__PCH }, { ".hxx", 0, GR_CC__PCH }, { ".hp", 0, GR_CC__PCH },
		{ ".h++", 0, GR_CC__PCH }, { ".tcc", 0, GR_CC__PCH },
		{ ".o", 0, "link" }, { ".a", 0, "link" }, { ".so", 0, "link" }, { ".lo", 0, "link" },
	};
	const char *base = strrchr(name, '/'), *dot;

	base = base ? base + 1 : name;
	dot = strrchr(base, '.');
	for (size_t i = 0; dot && i < GR_LEN(by_ext); i++) {
		if (strcmp(dot, by_ext[i].ext))
			continue;
		if (why)
			*why = by_ext[i].why;
		return by_ext[i].lang;
	}
	if (why)
		*why = "language";
	return GR_CC_LANG_NONE;
}

const char *gr_cc_lang_name(enum gr_cc_lang lang)
{
	return lang == GR_CC_LANG_C ? "c" : lang == GR_CC_LANG_CXX ? "c++" : lang == GR_CC_LANG_ASM ? "assembler-with-cpp" : "none";
}

/* ---- options that carry more options ---- */
static void parse_cpp(struct parse *p, uint32_t i_arg)
{
	struct gr_cc_cmd *cmd = p->cmd;
	const char *word = cmd->argv[i_arg], *s = word + 4, *end;
	enum { NONE, FILE_OF_MD, TARGET } want = NONE;

	/* "-Wp,-MMD,dir/.x.o.d": cc1 takes the next part as the file. */
	for (;; s = end + 1) {
		char *part;

		end = strchrnul(s, ',');
		part = keep(cmd, s, (size_t)(end - s));
		if (want == FILE_OF_MD) {
			add_path(cmd, GR_CC_PATH_DEPFILE, i_arg, (size_t)(s - word), (size_t)(end - s));
			if (p->depfile)
				local(cmd, "two dependency files", word);
			p->depfile = part;
			want = NONE;
		} else if (want == TARGET) {
			add_path(cmd, GR_CC_PATH_TARGET, i_arg, (size_t)(s - word), (size_t)(end - s));
			want = NONE;
		} else if (!strcmp(part, "-MD") || !strcmp(part, "-MMD")) {
			if (p->has_md || p->has_wp_md)
				local(cmd, "two dependency files", word);
			p->has_wp_md = true;
			cmd->depfile_has_system = part[2] == 'D';
			want = FILE_OF_MD;
		} else if (!strcmp(part, "-MT") || !strcmp(part, "-MQ")) {
			want = TARGET;
		} else if (!strncmp(part, "-D", 2) && part[2]) {
			add_define(cmd, part + 2, false);
		} else if (!strncmp(part, "-U", 2) && part[2]) {
			add_define(cmd, part + 2, true);
		} else if (!strncmp(part, "-I", 2) && part[2]) {
			add_dir(cmd, GR_CC_DIR_BRACKET, part + 2);
			add_path(cmd, GR_CC_PATH_DIR, i_arg, (size_t)(s - word) + 2, strlen(part + 2));
		} else if (strcmp(part, "-MP") && strcmp(part, "-w") && strcmp(part, "-undef")) {
			local(cmd, "-Wp option", word);
		}
		if (!*end)
			break;
	}
	if (want != NONE)
		local(cmd, "-Wp option", word);
}

static void parse_as(struct parse *p, uint32_t i_arg)
{
	static const char *const ok[] = { "-g", "-W", "-K", "--64", "--32", "--x32", "-L", "-Z", "-R", "-n", "-EL", "-EB", "-k", NULL };
	static const char *const ok_prefix[] = { "-m", "--noexecstack", "--execstack", "--fatal-warnings", "--gdwarf", "--gstabs",
		"--warn", "--no-warn", "--compress-debug", "--nocompress-debug", "--defsym=", "-gdwarf", "--generate-missing-build-notes",
		"-no-pad-sections", "--no-pad-sections", "-mrelax", "--reduce-memory-overheads", "--hash-size", "--strip-local-absolute",
		"--keep-locals", "--elf-stt-common", "-no", "--sectname-subst", "-momit", NULL };
	struct gr_cc_cmd *cmd = p->cmd;
	const char *word = cmd->argv[i_arg], *s = word + 4, *end;
	bool is_text = false, is_dir = false;

	for (;; s = end + 1) {
		bool is_ok = false;
		char *part;

		end = strchrnul(s, ',');
		part = keep(cmd, s, (size_t)(end - s));
		if (is_text) {
			is_text = false;
			is_ok = true;
		} else if (is_dir || (!strncmp(part, "-I", 2) && part[2])) {
			size_t skip = is_dir ? 0 : 2;

			add_path(cmd, GR_CC_PATH_DIR, i_arg, (size_t)(s - word) + skip, strlen(part) - skip);
			add_str(&cmd->asm_dirs, &cmd->n_asm_dirs, &cmd->cap_asm_dirs, part + skip);
			is_dir = false;
			is_ok = true;
		} else if (!strcmp(part, "-I")) {
			is_ok = is_dir = true;
		} else if (!strcmp(part, "--defsym") || !strcmp(part, "-defsym")) {
			is_ok = is_text = true;
		}
		for (size_t i = 0; !is_ok && ok[i]; i++)
			is_ok = !strcmp(part, ok[i]);
		for (size_t i = 0; !is_ok && ok_prefix[i]; i++)
			is_ok = !strncmp(part, ok_prefix[i], strlen(ok_prefix[i]));
		if (!is_ok)
			local(cmd, "-Wa option", word);
		if (!*end)
			break;
	}
	if (is_text || is_dir)
		local(cmd, "-Wa option", word);
}

static void parse_lang(struct parse *p, const char *name)
{
	p->has_x = true;
	if (!strcmp(name, "c"))
		p->x_lang = GR_CC_LANG_C;
	else if (!strcmp(name, "c++"))
		p->x_lang = GR_CC_LANG_CXX;
	else if (!strcmp(name, "assembler-with-cpp"))
		p->x_lang = GR_CC_LANG_ASM;
	else if (!strcmp(name, "none"))
		p->has_x = false;
	else
		local(p->cmd, strstr(name, "header") ? GR_CC__PCH : strstr(name, "cpp-output") ? "preprocessed source" : "language", name);
}

static void parse_source(struct parse *p, uint32_t i_arg)
{
	struct gr_cc_cmd *cmd = p->cmd;
	const char *why = NULL;

	if (cmd->source) {
		local(cmd, "several sources", cmd->argv[i_arg]);
		return;
	}
	cmd->source = cmd->argv[i_arg];
	cmd->source_arg = i_arg;
	cmd->lang = p->has_x ? p->x_lang : gr_cc_lang_of(cmd->source, &why);
	if (!p->has_x && cmd->lang == GR_CC_LANG_C && p->is_driver_cxx)
		cmd->lang = GR_CC_LANG_CXX;
	if (why)
		local(cmd, why, cmd->source);
	add_path(cmd, GR_CC_PATH_SOURCE, i_arg, 0, strlen(cmd->source));
}

/* @arg: the option's argument, in argv[i_arg] at @off. */
static void act(struct parse *p, const struct gr_cc__option *o, const char *word, const char *arg, uint32_t i_arg, size_t off)
{
	struct gr_cc_cmd *cmd = p->cmd;
	size_t n = strlen(arg);

	switch (o->action) {
	case OPT_OK:
	case OPT_SKIP:
		break;
	case OPT_LOCAL:
		local(cmd, o->why, word);
		break;
	case OPT_DENY_FILE:
		if (strchr(arg, '='))
			local(cmd, o->why, word);
		break;
	case OPT_DIR_QUOTE:
	case OPT_DIR_BRACKET:
	case OPT_DIR_SYSTEM:
	case OPT_DIR_AFTER:
		add_dir(cmd, (enum gr_cc_dir_kind)(o->action - OPT_DIR_QUOTE + GR_CC_DIR_QUOTE), arg);
		add_path(cmd, GR_CC_PATH_DIR, i_arg, off, n);
		if (o->action == OPT_DIR_BRACKET)
			add_str(&cmd->asm_dirs, &cmd->n_asm_dirs, &cmd->cap_asm_dirs, arg);
		break;
	case OPT_SYSROOT:
		if (!n)
			local(cmd, "empty word", word);
		add_path(cmd, GR_CC_PATH_DIR, i_arg, off, n);
		add_key(p, word, word == arg - off ? NULL : arg);
		break;
	case OPT_INCLUDE:
	case OPT_IMACROS:
		add_forced(cmd, arg, o->action == OPT_IMACROS);
		add_path(cmd, GR_CC_PATH_INPUT, i_arg, off, n);
		break;
	case OPT_DEFINE:
	case OPT_UNDEF:
		add_define(cmd, arg, o->action == OPT_UNDEF);
		break;
	case OPT_OUTPUT:
		if (p->output)
			local(cmd, "two outputs", arg);
		if (!n || arg[n - 1] == '/' || !strcmp(arg, "-"))
			local(cmd, "output is no file", arg);
		p->output = arg;
		cmd->has_output_arg = true;
		add_path(cmd, GR_CC_PATH_OUTPUT, i_arg, off, n);
		break;
	case OPT_LANG:
		parse_lang(p, arg);
		break;
	case OPT_PLUGIN:
		if (!strchr(arg, '/') && !strstr(arg, ".so"))
			local(cmd, "plugin by name", word);
		cmd->has_plugin = true;
		/* fall through */
	case OPT_INPUT:
		add_str(&cmd->inputs, &cmd->n_inputs, &cmd->cap_inputs, arg);
		add_path(cmd, GR_CC_PATH_INPUT, i_arg, off, n);
		break;
	case OPT_PREFIX_MAP: {
		const char *eq = strrchr(arg, '=');

		if (!eq)
			local(cmd, "bad prefix map", word);
		else
			add_path(cmd, GR_CC_PATH_PREFIX_OLD, i_arg, off, (size_t)(eq - arg));
		break;
	}
	case OPT_DEP_MD:
	case OPT_DEP_MMD:
		if (p->has_wp_md)
			local(cmd, "two dependency files", word);
		/* with both, the driver lets -MMD win */
		cmd->depfile_has_system = o->action == OPT_DEP_MD && (!p->has_md || cmd->depfile_has_system);
		p->has_md = true;
		break;
	case OPT_DEP_FILE:
		if (p->depfile)
			local(cmd, "two dependency files", word);
		if (!n || !strcmp(arg, "-") || !strncmp(arg, "/dev/", 5))
			local(cmd, "dependency file is no file", word);
		p->depfile = arg;
		add_path(cmd, GR_CC_PATH_DEPFILE, i_arg, off, n);
		break;
	case OPT_DEP_TARGET:
		add_path(cmd, GR_CC_PATH_TARGET, i_arg, off, n);
		break;
	case OPT_TO_CPP:
		parse_cpp(p, i_arg);
		break;
	case OPT_TO_AS:
		parse_as(p, i_arg);
		break;
	case OPT_NO_STD:
		cmd->no_std_inc = true;
		add_key(p, word, NULL);
		break;
	case OPT_NO_STD_CXX:
		cmd->no_std_inc_cxx = true;
		add_key(p, word, NULL);
		break;
	case OPT_ARCH:
		if (strstr(arg, "native"))
			local(cmd, "-march=native", word);
		/* fall through */
	case OPT_SEARCH:
		add_key(p, word, word == arg - off || o->shape == OPT_EXACT ? NULL : arg);
		break;
	case OPT_SPLIT:
		cmd->has_split_dwarf = cmd->has_debug = true;
		break;
	case OPT_NO_SPLIT:
		cmd->has_split_dwarf = false;
		break;
	case OPT_GCNO:
		p->has_gcno = cmd->has_gcov = true;
		break;
	case OPT_SU:
		p->has_su = true;
		break;
	case OPT_CI:
		p->has_ci = true;
		break;
	case OPT_DEBUG:
		cmd->has_debug = true;
		break;
	case OPT_NO_DEBUG:
		cmd->has_debug = false;
		break;
	case OPT_COLOR:
		if (!strcmp(arg, "always"))
			cmd->color = GR_CC_COLOR_ALWAYS;
		else if (!strcmp(arg, "never"))
			cmd->color = GR_CC_COLOR_NEVER;
		else
			cmd->color = GR_CC_COLOR_AUTO;
		break;
	case OPT_COLOR_ON:
	case OPT_COLOR_OFF:
		cmd->color = o->action == OPT_COLOR_ON ? GR_CC_COLOR_ALWAYS : GR_CC_COLOR_NEVER;
		break;
	}
}

/* ---- environment ---- */
static void add_env_dirs(struct gr_cc_cmd *cmd, enum gr_cc_dir_kind kind, const char *list)
{
	const char *end;

	for (;; list = end + 1) {
		end = strchrnul(list, ':');
		/* an empty element is the current folder */
		add_dir(cmd, kind, end == list ? "." : keep(cmd, list, (size_t)(end - list)));
		if (!*end)
			break;
	}
}

static void parse_env(struct parse *p, char *const *envp)
{
	static const char *const denied[] = { "DEPENDENCIES_OUTPUT=", "SUNPRO_DEPENDENCIES=", "GCC_EXEC_PREFIX=", "COMPILER_PATH=",
		"GCC_COMPARE_DEBUG=", "CCC_OVERRIDE_OPTIONS=", "CCC_ADD_ARGS=", "CC_PRINT_OPTIONS=", "CC_PRINT_HEADERS=",
		"CC_LOG_DIAGNOSTICS=", "CC_PRINT_PROC_STAT=", "CC_PRINT_INTERNAL_STAT=", "CLANG_MODULE_CACHE_PATH=", "COMPILER_PATH=" };
	struct gr_cc_cmd *cmd = p->cmd;

	for (; envp && *envp; envp++) {
		const char *e = *envp, *value = strchr(e, '=');

		if (!value || !*++value || (*e != 'C' && *e != 'D' && *e != 'S' && *e != 'G'))
			continue;
		for (size_t i = 0; i < GR_LEN(denied); i++)
			if (!strncmp(e, denied[i], strlen(denied[i])))
				local(cmd, "environment variable", denied[i]);
		if (!strncmp(e, "CPATH=", 6))
			add_env_dirs(cmd, GR_CC_DIR_BRACKET, value);
		else if (!strncmp(e, "C_INCLUDE_PATH=", 15) && cmd->lang != GR_CC_LANG_CXX)
			add_env_dirs(cmd, GR_CC_DIR_SYSTEM, value);
		else if (!strncmp(e, "CPLUS_INCLUDE_PATH=", 19) && cmd->lang == GR_CC_LANG_CXX)
			add_env_dirs(cmd, GR_CC_DIR_SYSTEM, value);
		else if (!strncmp(e, "SOURCE_DATE_EPOCH=", 18))
			cmd->has_date_macros_epoch = true;
	}
}

/* ---- outputs ---- */
/* @stem with its last extension replaced; both compilers name their side files so. */
static const char *aux_name(struct gr_cc_cmd *cmd, const char *stem, const char *ext)
{
	const char *slash = strrchr(stem, '/'), *dot = strrchr(slash ? slash : stem, '.');
	size_t n = dot && dot != (slash ? slash + 1 : stem) ? (size_t)(dot - stem) : strlen(stem), n_ext = strlen(ext);
	char *s = keep(cmd, NULL, n + n_ext);

	memcpy(s, stem, n);
	memcpy(s + n, ext, n_ext + 1);
	return s;
}

static void add_output(struct gr_cc_cmd *cmd, enum gr_cc_output_kind kind, const char *path, bool is_required)
{
	for (uint32_t i = 0; i < cmd->n_outputs; i++)
		if (!strcmp(cmd->outputs[i].path, path))
			local(cmd, "two outputs of one name", path);
	if (!strcmp(path, cmd->source))
		local(cmd, "output is the source", path);
	if (!*path || path[strlen(path) - 1] == '/' || !strcmp(path, "-") || !strncmp(path, "/dev/", 5))
		local(cmd, "output is no file", path);
	if (cmd->n_outputs < GR_CC_MAX_SIDE_OUTPUTS)
		cmd->outputs[cmd->n_outputs++] = (struct gr_cc_output){ kind, is_required, path };
}

static void name_outputs(struct parse *p)
{
	struct gr_cc_cmd *cmd = p->cmd;
	const char *slash = strrchr(cmd->source, '/'), *base = slash ? slash + 1 : cmd->source;
	const char *stem = p->output ? p->output : base;

	add_output(cmd, GR_CC_OUT_OBJECT, p->output ? p->output : aux_name(cmd, base, ".o"), true);
	if (p->has_md || p->has_wp_md) {
		cmd->has_depfile = true;
		add_output(cmd, GR_CC_OUT_DEPFILE, p->depfile ? p->depfile : aux_name(cmd, stem, ".d"), true);
	} else if (p->depfile) {
		local(cmd, "-MF without -MD", p->depfile);
	}
	if (cmd->has_split_dwarf)
		add_output(cmd, GR_CC_OUT_DWO, aux_name(cmd, stem, ".dwo"), false);
	if (p->has_gcno)
		add_output(cmd, GR_CC_OUT_GCNO, aux_name(cmd, stem, ".gcno"), false);
	if (p->has_su)
		add_output(cmd, GR_CC_OUT_SU, aux_name(cmd, stem, ".su"), false);
	if (p->has_ci)
		add_output(cmd, GR_CC_OUT_CI, aux_name(cmd, stem, ".ci"), false);
}

static void parse_word(struct parse *p, uint32_t *i)
{
	struct gr_cc_cmd *cmd = p->cmd;
	const char *word = cmd->argv[*i];
	const struct gr_cc__option *o;
	size_t n;

	if (word[0] == '@') {
		local(cmd, "@file that cannot be read", word);
		return;
	}
	if (word[0] != '-' || !word[1]) {
		parse_source(p, *i);
		return;
	}
	o = gr_cc__option_find(word);
	if (!o) {
		local(cmd, "unknown option", word);
		return;
	}
	n = strlen(o->name);
	if (o->shape == OPT_EXACT || o->shape == OPT_JOINED || (o->shape == OPT_EITHER && word[n])) {
		act(p, o, word, word + n, *i, n);
		return;
	}
	if (*i + 1 >= (uint32_t)cmd->argc) {
		local(cmd, "option without its argument", word);
		return;
	}
	++*i;
	act(p, o, word, cmd->argv[*i], *i, 0);
}

void gr_cc_args_parse(struct gr_cc_cmd *cmd, enum gr_cc_family family, int argc, char *const *argv, char *const *envp)
{
	struct parse p = { .cmd = cmd };
	const char *why, *base;

	memset(cmd, 0, sizeof(*cmd));
	cmd->verdict = GR_CC_REMOTE;
	cmd->family = family;
	cmd->argc = argc;
	cmd->argv = argv;
	cmd->search_key = "";
	why = gr_cc_triage(argc, argv);
	if (why) {
		local(cmd, why, NULL);
		return;
	}
	if (argc > GR_CC_MAX_ARGS) {
		local(cmd, "command line too long", NULL);
		return;
	}
	base = strrchr(argv[0], '/');
	p.is_driver_cxx = strstr(base ? base + 1 : argv[0], "++") != NULL;
	for (uint32_t i = 1; i < (uint32_t)argc && cmd->verdict == GR_CC_REMOTE; i++)
		parse_word(&p, &i);
	if (cmd->verdict == GR_CC_REMOTE && !cmd->source)
		local(cmd, "no source", NULL);
	if (cmd->verdict == GR_CC_REMOTE)
		parse_env(&p, envp);
	if (cmd->verdict == GR_CC_REMOTE)
		name_outputs(&p);
	if (p.key.n)
		cmd->search_key = keep(cmd, (const char *)p.key.p, p.key.n);
	gr_buf_fini(&p.key);
}

void gr_cc_cmd_normal(const struct gr_cc_cmd *cmd, struct gr_buf *out)
{
	for (int i = 1; i < cmd->argc; i++) {
		const char *word = cmd->argv[i];
		const struct gr_cc__option *o = word[0] == '-' ? gr_cc__option_find(word) : NULL;

		if (!strcmp(word, "-pipe"))
			continue;
		gr_buf_add_str(out, word);
		if (o && (o->shape == OPT_EITHER || o->shape == OPT_SEPARATE) && !word[strlen(o->name)] && i + 1 < cmd->argc) {
			/* a separate argument whose joined form means the same: one text for both */
			if (o->shape == OPT_SEPARATE)
				gr_buf_add_byte(out, '=');
			gr_buf_add_str(out, cmd->argv[++i]);
		}
		gr_buf_add_byte(out, 0);
	}
}

/* "-Wp,-MMD,file,-DX": without the parts about dependency files. */
static void add_cpp_word(struct gr_buf *out, const char *word)
{
	const char *s = word + 4, *end;
	bool skips = false, has_any = false;

	for (;; s = end + 1) {
		size_t n;

		end = strchrnul(s, ',');
		n = (size_t)(end - s);
		if (skips) {
			skips = false;
		} else if ((n == 3 && (!memcmp(s, "-MD", 3) || !memcmp(s, "-MT", 3) || !memcmp(s, "-MQ", 3))) ||
			   (n == 4 && !memcmp(s, "-MMD", 4))) {
			skips = true;
		} else if (n != 3 || memcmp(s, "-MP", 3)) {
			gr_buf_add_str(out, has_any ? "," : "-Wp,");
			gr_buf_add(out, s, n);
			has_any = true;
		}
		if (!*end)
			break;
	}
	if (has_any)
		gr_buf_add_byte(out, 0);
}

void gr_cc_cmd_depends(const struct gr_cc_cmd *cmd, struct gr_buf *out)
{
	for (int i = 1; i < cmd->argc; i++) {
		const char *word = cmd->argv[i];
		const struct gr_cc__option *o = word[0] == '-' ? gr_cc__option_find(word) : NULL;
		bool has_next = o && (o->shape == OPT_EITHER || o->shape == OPT_SEPARATE) && !word[strlen(o->name)] && i + 1 < cmd->argc;

		if (o && o->action == OPT_TO_CPP) {
			add_cpp_word(out, word);
			continue;
		}
		if (!strcmp(word, "-c") || !strcmp(word, "-MP") ||
		    (o && (o->action == OPT_OUTPUT || o->action == OPT_DEP_MD || o->action == OPT_DEP_MMD ||
			   o->action == OPT_DEP_FILE || o->action == OPT_DEP_TARGET))) {
			i += has_next;
			continue;
		}
		gr_buf_add(out, word, strlen(word) + 1);
		if (has_next) {
			i++;
			gr_buf_add(out, cmd->argv[i], strlen(cmd->argv[i]) + 1);
		}
	}
	gr_buf_add(out, "-M", 3);
}
