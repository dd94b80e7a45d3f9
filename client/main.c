/* main.c - griddle: finds the command in the table and runs it. Options before the command are --help and --version only;
 * everything else belongs to a command. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd/cmd.h"
#include "lib/base/log.h"
#include "lib/base/suggest.h"

static int unknown(const char *word)
{
	const char *names[64], *near;
	size_t n = 0;

	for (; gr_cmds[n] && n < 64; n++)
		names[n] = gr_cmds[n]->name;
	near = gr_suggest(word, names, n);
	fprintf(stderr, "griddle: %s: no such command%s%s%s\n`griddle help` lists them.\n", word, near ? "; did you mean " : "",
		near ? near : "", near ? "?" : "");
	return GR_EXIT_USAGE;
}

static bool is_help(const char *word) { return !strcmp(word, "--help") || !strcmp(word, "-h"); }

/* "griddle job show --help": a command of verbs has none of other programs' arguments, which might be called so. */
static bool asks_behind_verb(const struct gr_cmd *cmd, int argc, char **argv)
{
	if (*cmd->args < 'a' || *cmd->args > 'z')
		return false;
	for (int i = 3; i < argc; i++)
		if (!strcmp(argv[i], "--help") || (i == 3 && is_help(argv[i])))
			return true;
	return false;
}

/* What was printed and did not get there, on a full disk say, is no success, whatever the command made of it. Where the reader has
 * had enough it is none of our concern. */
static int with_stdout(int code)
{
	bool is_lost = ferror(stdout);

	errno = 0;
	if ((fflush(stdout) == 0 && !is_lost) || errno == EPIPE || code != GR_EXIT_OK)
		return code;
	fprintf(stderr, "griddle: standard output could not be written%s%s\n", errno ? ": " : "", errno ? strerror(errno) : "");
	return GR_EXIT_LOCAL;
}

/* One that was closed (>&-) would be the next thing opened, and get what is printed: a file that cannot be written either stands in. */
static void hold_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0)
			return;
}

int main(int argc, char **argv)
{
	const struct gr_cmd *cmd;

	hold_standard_fds();
	gr_log_init("griddle", GR_LOG_INFO);
	if (argc < 2) {
		gr_help_print(stderr);
		return GR_EXIT_USAGE;
	}
	if (is_help(argv[1])) {
		gr_help_print(stdout);
		return with_stdout(GR_EXIT_OK);
	}
	cmd = gr_cmd_find(!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V") ? "version" : argv[1]);
	if (!cmd)
		return unknown(argv[1]);
	if ((argc > 2 && is_help(argv[2])) || asks_behind_verb(cmd, argc, argv)) {
		gr_help_print_cmd(cmd, stdout);
		return with_stdout(GR_EXIT_OK);
	}
	return with_stdout(cmd->run(cmd, argc - 1, argv + 1));
}
