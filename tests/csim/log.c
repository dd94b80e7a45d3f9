/* log.c - lib/base/log.h in its place: what a coordinator says of a disk that is made to fail is no news in a quiet run */
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "tests/csim/csim.h"

static enum gr_log_level most;

void gr_log_init(const char *program, enum gr_log_level level)
{
	(void)program;
	most = level;
}

int gr_log_level_parse(const char *text)
{
	(void)text;
	return GR_EINVAL;
}

void gr_log(enum gr_log_level level, const char *module, const char *fmt, ...)
{
	va_list ap;

	if (level > most || (cs_now && !cs_now->verbose && cs_now->st.disk_errors))
		return;
	fprintf(stderr, "csim: %s: ", module);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}
