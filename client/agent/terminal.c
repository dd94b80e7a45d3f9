/**
 * terminal - colours, links and width
 *
 * Both compilers decide by isatty(2), TERM and a few variables; the rules here are theirs, seen on gcc 12 and clang 14
 * with a pseudo-terminal (tests/e2e/33-terminal.t). The width cannot be asked for by an option, so messages that are
 * too wide for the terminal are made again here.
 */
#include <stdlib.h>
#include <string.h>
#include "client/agent/terminal.h"

const char *gr_request_env(const struct gr_request *req, const char *name)
{
	size_t n = strlen(name);
	char **e;

	for (e = req->env; *e; e++)
		if (!strncmp(*e, name, n) && (*e)[n] == '=')
			return *e + n + 1;
	return NULL;
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c)
{
	return word && (!strcmp(word, a) || (b && !strcmp(word, b)) || (c && !strcmp(word, c)));
}

/* gcc writes links around option names, except on terminals that are known not to understand them. */
static bool has_links(const struct gr_request *req)
{
	const char *colorterm = gr_request_env(req, "COLORTERM");

	if (is_one_of(colorterm, "xfce4-terminal", "gnome-terminal", NULL))
		return false;
	if (gr_request_env(req, "GCC_URLS") || gr_request_env(req, "TERM_URLS"))
		return true;
	return colorterm || !is_one_of(gr_request_env(req, "TERM"), "xterm", "linux", NULL);
}

static bool has_option(const struct gr_cc_cmd *cmd, const char *start)
{
	int i;

	for (i = 1; i < cmd->argc; i++)
		if (!strncmp(cmd->argv[i], start, strlen(start)))
			return true;
	return false;
}

/* clang asks the terminal's description, which is not asked here. */
static bool clang_has_colors(const char *term)
{
	static const char *const start[] = { "xterm", "screen", "tmux", "linux", "rxvt", "konsole", "alacritty", "foot", NULL };
	size_t i;

	for (i = 0; start[i]; i++)
		if (!strncmp(term, start[i], strlen(start[i])))
			return true;
	return false;
}

int gr_terminal_flags(const struct gr_request *req, const struct gr_cc_cmd *cmd, int gcc_major, const char *out[2])
{
	const char *term = gr_request_env(req, "TERM"), *colors = gr_request_env(req, "GCC_COLORS");
	bool wants_links;
	int n = 0;

	if (!(req->flags & GR_AGENT_F_STDERR_TTY) || !term || !*term || !strcmp(term, "dumb"))
		return 0;
	if (has_option(cmd, "-frecord-") || has_option(cmd, "-grecord-command-line"))
		return -1;
	if (cmd->family == GR_CC_CLANG) {
		if (cmd->color == GR_CC_COLOR_AUTO && !clang_has_colors(term))
			return -1;
		if (cmd->color == GR_CC_COLOR_AUTO)
			out[n++] = "-fcolor-diagnostics";
		return n;
	}
	if (has_option(cmd, "-fdiagnostics-plain-output"))
		return 0;
	wants_links = gcc_major >= 10 && has_links(req) && !has_option(cmd, "-fdiagnostics-urls") && !has_option(cmd, "-fdiagnostics-format");
	/* gcc writes -fdiagnostics-urls, unlike -fdiagnostics-color, into DW_AT_producer. */
	if (wants_links && (cmd->has_debug || has_option(cmd, "-flto")))
		return -1;
	if (cmd->color == GR_CC_COLOR_AUTO && !(colors && !*colors))
		out[n++] = "-fdiagnostics-color=always";
	if (wants_links)
		out[n++] = "-fdiagnostics-urls=always";
	return n;
}

static uint32_t width_of(const struct gr_request *req)
{
	const char *columns = gr_request_env(req, "COLUMNS");
	int n = columns ? atoi(columns) : 0;

	return n > 0 ? (uint32_t)n : req->columns;
}

/* Bytes of the escape sequence at @p: CSI up to its letter, OSC up to BEL or ST. */
static size_t escape(const uint8_t *p, size_t n)
{
	size_t i;

	if (n < 2)
		return n;
	for (i = 2; i < n; i++) {
		if (p[1] == '[' && p[i] >= '@' && p[i] <= '~')
			return i + 1;
		if (p[1] == ']' && p[i] == 7)
			return i + 1;
		if (p[1] == ']' && p[i] == '\\' && p[i - 1] == 27)
			return i + 1;
		if (p[1] != '[' && p[1] != ']')
			return 2;
	}
	return n;
}

bool gr_terminal_fits(const struct gr_request *req, struct gr_slice text)
{
	uint32_t width, column = 0;
	size_t i = 0;

	if (!(req->flags & GR_AGENT_F_STDERR_TTY))
		return true;
	width = width_of(req);
	if (!width)
		return true;
	while (i < text.n) {
		if (text.p[i] == 27) {
			i += escape(text.p + i, text.n - i);
			continue;
		}
		column = text.p[i] == '\n' ? 0 : column + (text.p[i] == '\t' ? 8 : 1);
		if (column + 2 > width)
			return false;
		i++;
	}
	return true;
}
