/* help.c - `griddle help`, the man page and the bash completion: three prints of the one table of commands, so that they
 * cannot drift from what the program does (tests/e2e/11-docs.t compares the installed copies). */
#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd/commands.h"
#include "lib/base/alloc.h"
#include "lib/base/suggest.h"

void gr_help_print(FILE *out)
{
	fprintf(out, "griddle " GR_VERSION " - builds C and C++ on many machines, byte for byte as here\n\n"
		"  griddle up                        start a coordinator and workers on this machine\n"
		"  griddle make -j auto bzImage      make, with its compiles spread over the cluster\n"
		"  make CC=\"griddle-cc gcc\"          the same for any build, once an agent runs\n\n"
		"usage: griddle COMMAND [OPTIONS] ...\n\n");
	for (size_t i = 0; gr_cmds[i]; i++)
		fprintf(out, "  %-12s %s\n", gr_cmds[i]->name, gr_cmds[i]->summary);
	fprintf(out, "\n`griddle help COMMAND` says more. Exit codes: 0 ok, 1 failed, 2 usage or configuration,\n"
		"4 not authorised, 8 interrupted, 32 cluster unreachable, 36 local trouble, 37 a bug;\n"
		"cc and make pass on the compiler's and make's own.\n");
}

static char short_of(const struct gr_cmd *cmd, const char *key)
{
	for (const char *s = cmd->shorts; s && *s; s += strcspn(s, " "), s += *s == ' ')
		if (!strncmp(s + 2, key, strlen(key)) && strcspn(s + 2, " ") == strlen(key))
			return s[0];
	return 0;
}

void gr_help_print_cmd(const struct gr_cmd *cmd, FILE *out)
{
	fprintf(out, "griddle %s - %s\n\n%s\nusage: griddle %s%s%s%s\n", cmd->name, cmd->summary, cmd->help, cmd->name,
		gr_cmd_n_keys(cmd) ? " [OPTIONS]" : "", *cmd->args ? " " : "", cmd->args);
	if (gr_cmd_n_keys(cmd)) {
		struct gr_conf view = { cmd->keys, gr_cmd_n_keys(cmd), NULL, NULL };

		fprintf(out, "\n");
		gr_conf_print_help(&view, out);
	}
	for (const char *s = cmd->shorts; s && *s; s += strcspn(s, " "), s += *s == ' ')
		fprintf(out, "%s-%c is --%.*s%s", s == cmd->shorts ? "\n" : ", ", s[0], (int)strcspn(s + 2, " "), s + 2,
			strchr(s, ' ') ? "" : ".\n");
}

/* ---- man page ---- */

static void man_text(FILE *out, const char *s)
{
	for (bool is_start = true; *s; is_start = *s++ == '\n') {
		if (is_start && (*s == '.' || *s == '\''))
			fputs("\\&", out);
		if (*s == '\\') {
			fputs("\\e", out);
			continue;
		}
		if (*s == '-')
			fputc('\\', out);
		fputc(*s, out);
	}
}

/* Lines that begin with a blank are an example or a table and keep their form. */
static void man_body(FILE *out, const char *s)
{
	bool is_literal = false;

	while (*s) {
		size_t n = strcspn(s, "\n");
		bool wants_literal = *s == ' ' || (is_literal && n == 0 && s[n] && s[n + 1] == ' ');
		char *line = gr_xstrndup(s, n);

		if (wants_literal != is_literal)
			fprintf(out, wants_literal ? ".nf\n" : ".fi\n");
		is_literal = wants_literal;
		if (!n)
			fprintf(out, ".PP\n");
		else {
			man_text(out, line);
			fputc('\n', out);
		}
		free(line);
		s += n + (s[n] == '\n');
	}
	if (is_literal)
		fprintf(out, ".fi\n");
}

static void man_options(const struct gr_cmd *cmd, FILE *out)
{
	for (size_t i = 0; i < gr_cmd_n_keys(cmd); i++) {
		const struct gr_conf_key *k = &cmd->keys[i];
		char letter = short_of(cmd, k->key);

		fprintf(out, ".TP\n");
		if (letter)
			fprintf(out, "\\fB\\-%c\\fR, ", letter);
		fprintf(out, "\\fB\\-\\-");
		man_text(out, k->key);
		fprintf(out, "\\fR");
		if (k->type == GR_CONF_ENUM)
			for (size_t c = 0; k->choices[c]; c++)
				fprintf(out, "%s%s", c ? "|" : " ", k->choices[c]);
		else if (k->type != GR_CONF_BOOL)
			fprintf(out, " \\fI%s\\fR", k->unit && *k->unit ? k->unit : "N");
		fprintf(out, "\n");
		man_text(out, k->text);
		if (k->def && *k->def) {
			const char *quote = k->def[strlen(k->def) - 1] == '.' ? "\"" : "";

			fprintf(out, " Default: %s", quote);
			man_text(out, k->def);
			fprintf(out, "%s.", quote);
		}
		fprintf(out, "\n");
	}
}

void gr_help_print_man(FILE *out)
{
	fprintf(out, ".TH GRIDDLE 1 \"\" \"griddle " GR_VERSION "\" \"User Commands\"\n"
		".SH NAME\ngriddle \\- builds C and C++ on many machines, byte for byte as here\n"
		".SH SYNOPSIS\n.B griddle\n.I COMMAND\n[\\fIOPTIONS\\fR] ...\n"
		".SH DESCRIPTION\nA coordinator shards compiles across workers; source files travel, not preprocessed text, and\n"
		"objects, messages and exit codes equal those of a local run. What cannot travel is compiled here.\n"
		".SH COMMANDS\n");
	for (size_t i = 0; gr_cmds[i]; i++) {
		fprintf(out, ".SS griddle %s%s%s%s\n", gr_cmds[i]->name, gr_cmd_n_keys(gr_cmds[i]) ? " [OPTIONS]" : "",
			*gr_cmds[i]->args ? " " : "", gr_cmds[i]->args);
		man_text(out, gr_cmds[i]->summary);
		fprintf(out, ".\n.PP\n");
		man_body(out, gr_cmds[i]->help);
		man_options(gr_cmds[i], out);
	}
	fprintf(out, ".SH ENVIRONMENT\nEvery option is also read from GRIDDLE_ and its name in capitals, \\- as _; a flag is stronger.\n"
		".TP\n\\fBGRIDDLE_RUNTIME_DIR\\fR, \\fBGRIDDLE_STATE_DIR\\fR, \\fBGRIDDLE_CONFIG_DIR\\fR\n"
		"Where sockets, logs and caches, and keys are; else the XDG folders.\n"
		".TP\n\\fBGRIDDLE_SOCKET\\fR\nThe agent's socket.\n"
		".TP\n\\fBGRIDDLE_DISABLE\\fR\nSet to 1: griddle\\-cc runs the compiler here, always.\n"
		".TP\n\\fBGRIDDLE_VERBOSE\\fR\nSet to 1: griddle\\-cc says why it compiled here.\n"
		".SH EXIT STATUS\n0 ok, 1 failed, 2 usage or configuration, 4 not authorised, 8 interrupted, 32 cluster unreachable,\n"
		"36 local trouble, 37 a bug; \\fBcc\\fR and \\fBmake\\fR pass on the compiler's and make's own.\n"
		".SH SEE ALSO\n.BR make (1),\n.BR gcc (1)\n");
}

/* ---- bash completion ---- */

void gr_help_print_bash(FILE *out)
{
	fprintf(out, "# bash completion for griddle; from `griddle completion bash`\n"
		"_griddle() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
		"\tif [ \"$COMP_CWORD\" = 1 ]; then\n\t\twords='");
	for (size_t i = 0; gr_cmds[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", gr_cmds[i]->name);
	fprintf(out, "'\n\telse\n\t\tcase ${COMP_WORDS[1]}:$prev in\n");
	for (size_t i = 0; gr_cmds[i]; i++)
		for (size_t k = 0; k < gr_cmd_n_keys(gr_cmds[i]); k++) {
			const struct gr_conf_key *key = &gr_cmds[i]->keys[k];
			char letter = short_of(gr_cmds[i], key->key);

			if (key->type != GR_CONF_ENUM)
				continue;
			fprintf(out, "\t\t%s:--%s", gr_cmds[i]->name, key->key);
			if (letter)
				fprintf(out, "|%s:-%c", gr_cmds[i]->name, letter);
			fprintf(out, ") words='");
			for (size_t c = 0; key->choices[c]; c++)
				fprintf(out, "%s%s", c ? " " : "", key->choices[c]);
			fprintf(out, "' ;;\n");
		}
	for (size_t i = 0; gr_cmds[i]; i++) {
		if (!strcmp(gr_cmds[i]->name, "help")) {
			fprintf(out, "\t\thelp:*) words='");
			for (size_t k = 0; gr_cmds[k]; k++)
				fprintf(out, "%s%s", k ? " " : "", gr_cmds[k]->name);
			fprintf(out, "' ;;\n");
			continue;
		}
		fprintf(out, "\t\t%s:*) words='", gr_cmds[i]->name);
		for (const char *s = gr_cmds[i]->args; *s;) {   /* lower-case words of the usage line: "new|show|allow" */
			size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz");

			if (n)
				fprintf(out, "%.*s ", (int)n, s);
			s += n;
			while (*s && !islower((unsigned char)*s))
				s++;
		}
		for (size_t k = 0; k < gr_cmd_n_keys(gr_cmds[i]); k++)
			fprintf(out, "--%s ", gr_cmds[i]->keys[k].key);
		fprintf(out, "--help' ;;\n");
	}
	fprintf(out, "\t\tesac\n\tfi\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
		"\t[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$cur\"))\n}\ncomplete -F _griddle griddle\n");
}

/* ---- the commands ---- */

struct help_opts {
	bool man;
};
static const struct gr_conf_key help_keys[] = {
	{ "man", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Print the man page griddle.1.", offsetof(struct help_opts, man), NULL },
};

static int run_help(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct help_opts o;
	struct gr_conf conf;
	struct gr_err err;
	const struct gr_cmd *about;
	const char *names[64];
	size_t n = 0;
	int i = gr_cmd_options(cmd, argc, argv, &conf, &o, &err);
	bool wants_man = i >= 0 && o.man;

	if (i < 0)
		return gr_cmd_fail(cmd, &err);
	gr_conf_fini(&conf);
	if (wants_man) {
		gr_help_print_man(stdout);
		return GR_EXIT_OK;
	}
	if (i >= argc) {
		gr_help_print(stdout);
		return GR_EXIT_OK;
	}
	about = gr_cmd_find(argv[i]);
	if (about) {
		gr_help_print_cmd(about, stdout);
		return GR_EXIT_OK;
	}
	for (; gr_cmds[n] && n < 64; n++)
		names[n] = gr_cmds[n]->name;
	fprintf(stderr, "griddle help: %s: no such command", argv[i]);
	if (gr_suggest(argv[i], names, n))
		fprintf(stderr, "; did you mean %s?", gr_suggest(argv[i], names, n));
	fputc('\n', stderr);
	return GR_EXIT_USAGE;
}

const struct gr_cmd gr_cmd_help = {
	.name = "help", .args = "[COMMAND]", .summary = "say what a command does",
	.help = "  griddle help make\n  griddle help --man | man -l -\n\n"
		"Without a command: the list of commands.\n",
	.keys = help_keys, .n_keys = GR_LEN(help_keys), .run = run_help,
};

static int run_version(const struct gr_cmd *cmd, int argc, char **argv)
{
	if (argc > 1)
		return gr_cmd_usage(cmd, argv[1]);
	printf("griddle " GR_VERSION "\n");
	return GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_version = {
	.name = "version", .args = "", .summary = "print the version",
	.help = "  griddle version\n\nThe versions of the coordinator and the workers are in `griddle status` and `griddle nodes`.\n",
	.run = run_version,
};

static int run_completion(const struct gr_cmd *cmd, int argc, char **argv)
{
	if (argc != 2 || strcmp(argv[1], "bash"))
		return gr_cmd_usage(cmd, argc > 1 ? argv[1] : NULL);
	gr_help_print_bash(stdout);
	return GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_completion = {
	.name = "completion", .args = "bash", .summary = "print a completion script for the shell",
	.help = "  . <(griddle completion bash)\n  griddle completion bash > ~/.local/share/bash-completion/completions/griddle\n\n"
		"Completes commands, options and their choices.\n",
	.run = run_completion,
};
