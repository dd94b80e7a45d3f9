/* log.c - see log.h. No time stamps: journald, Kubernetes and `griddle up`'s log files add their own. */
#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
	const char *program;
	enum gr_log_level level;
} sink = { "griddle", GR_LOG_INFO };

static const char *const names[] = { "error", "warn", "info", "debug" };

void gr_log_init(const char *program, enum gr_log_level level)
{
	sink.program = program;
	sink.level = level;
}

int gr_log_level_parse(const char *text)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(text, names[i]))
			return i;
	return GR_EINVAL;
}

void gr_log(enum gr_log_level level, const char *module, const char *fmt, ...)
{
	char line[2048];
	va_list ap;
	int n, m;

	if (level > sink.level)
		return;
	n = snprintf(line, sizeof(line), "%s: %s: %s: ", sink.program, names[level], module);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	n += m < 0 ? 0 : m;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;   /* nowhere left to say it */
}
