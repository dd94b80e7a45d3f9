/**
 * cmd - the table of griddle's commands; help, the man page and the shell completion are printed from it
 *
 * One file a command (client/cmd/NAME.c) with its options, its help and its run function; table.c lists them.
 */
#pragma once
#include <stdio.h>
#include "lib/base/err.h"
#include "lib/conf/conf.h"

struct gr_cmd {
	const char *name;
	const char *args;                   /* behind "griddle NAME [OPTIONS]" in the usage line; "" for none */
	const char *summary;                /* one line, no full stop */
	const char *help;                   /* examples first, then what it does; lines <= 100 columns */
	const struct gr_conf_key *keys;     /* its options; each is GRIDDLE_<KEY> in the environment too */
	size_t n_keys;
	const size_t *n_keys_of;            /* instead of n_keys, for a table that stands elsewhere */
	const char *shorts;                 /* "o=output j=jobs": one-letter names of options; NULL none */
	/* @argv[0] is the command's name. Return: an exit status, enum gr_exit, or for cc and make the program's own. */
	int (*run)(const struct gr_cmd *cmd, int argc, char **argv);
};

static inline size_t gr_cmd_n_keys(const struct gr_cmd *cmd) { return cmd->n_keys_of ? *cmd->n_keys_of : cmd->n_keys; }

extern const struct gr_cmd *const gr_cmds[];   /* in the order of the help text; NULL at the end */
const struct gr_cmd *gr_cmd_find(const char *name);

/**
 * gr_cmd_options - fill @obj from the command's table: defaults, environment, then flags, short ones included
 * @conf: the view, for gr_conf_fini when the command is done with @obj
 * Return: index in @argv of the first word that is no option (behind "--" when there was one); GR_ECONFIG, GR_EUSAGE.
 */
int gr_cmd_options(const struct gr_cmd *cmd, int argc, char **argv, struct gr_conf *conf, void *obj,
		   struct gr_err *err) GR_MUST_CHECK;
/* "griddle NAME: text" on stderr. Return: the code's exit status. */
int gr_cmd_fail(const struct gr_cmd *cmd, const struct gr_err *err);
/* As gr_cmd_fail for words left over, with the usage line. Return: GR_EXIT_USAGE. */
int gr_cmd_usage(const struct gr_cmd *cmd, const char *word);

void gr_help_print(FILE *out);                                  /* the list of commands */
void gr_help_print_cmd(const struct gr_cmd *cmd, FILE *out);
void gr_help_print_man(FILE *out);                              /* griddle.1 in man(7) */
void gr_help_print_bash(FILE *out);

/* client/agent: griddle agent in the foreground, until SIGTERM. */
int gr_cmd_agent(int argc, char **argv);
