/* err.c - see err.h. One table, expanded four times, so that enum, name, text and class cannot drift. */
#include "lib/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct row {
	int code;
	const char *name, *text;
	int exit;
	enum gr_err_class class;
};

static const struct row rows[] = {
#define X(num, name, text, exit, class) { -(num), #name, text, GR_EXIT_##exit, GR_CLASS_##class },
	GR_ERR_MAP(X)
#undef X
};

static const struct row *find(int code)
{
	static const struct row unknown = { 0, "EUNKNOWN", "unknown error", GR_EXIT_BUG, GR_CLASS_LOCAL };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].code == code)
			return &rows[i];
	return &unknown;
}

const char *gr_err_name(int code) { return find(code)->name; }
const char *gr_err_text(int code) { return find(code)->text; }
enum gr_err_class gr_err_class(int code) { return find(code)->class; }
int gr_err_exit(int code) { return find(code)->exit; }

int gr_err_set(struct gr_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

int gr_err_wrap(struct gr_err *err, const char *fmt, ...)
{
	char old[sizeof(err->text)];
	va_list ap;
	int n;

	if (!err)
		return 0;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->text) - 3)
		snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", old);
	return err->code;
}

int gr_err_errno(int e)
{
	switch (e) {
	case ENOMEM: return GR_ENOMEM;
	case ENOSPC: case EDQUOT: case EFBIG: return GR_ENOSPACE;
	case ENOENT: case ENOTDIR: return GR_ENOENT;
	case EEXIST: return GR_EEXIST;
	case EINVAL: return GR_EINVAL;
	case EAGAIN: case EINTR: case EBUSY: return GR_EBUSY;
	case ECONNREFUSED: case EHOSTUNREACH: case ENETUNREACH: return GR_EUNREACH;
	case ETIMEDOUT: return GR_ETIME;
	case ELOOP: return GR_EPATH;
	default: return GR_EIO;
	}
}
