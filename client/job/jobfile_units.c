/* jobfile_units.c - sizes, times and shares of a core as people write them */
#include "client/job/jobfile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

struct unit {
	const char *name;
	double factor;
};

/* A number and a unit from the table; *rest behind it. */
static bool number_unit(const char *s, const struct unit *units, size_t n_units, double *out, const char **rest)
{
	char *end;
	double v;

	if (!(*s >= '0' && *s <= '9') && *s != '.')
		return false;
	v = strtod(s, &end);
	if (end == s || !isfinite(v))
		return false;
	for (size_t i = 0; i < n_units; i++) {
		size_t n = strlen(units[i].name);

		if (strncmp(end, units[i].name, n) || (end[n] && !(end[n] >= '0' && end[n] <= '9')))
			continue;
		*out = v * units[i].factor;
		*rest = end + n;
		return true;
	}
	return false;
}

static bool whole(double v, uint64_t *out)
{
	if (!(v >= 0) || v > 9e15)
		return false;
	*out = (uint64_t)(v + 0.5);
	return true;
}

bool gr_jobfile_bytes(const json_t *v, uint64_t *out)
{
	static const struct unit units[] = {
		{ "KiB", 1024 }, { "MiB", 1048576 }, { "GiB", 1073741824 }, { "TiB", 1099511627776 }, { "kB", 1e3 }, { "KB", 1e3 },
		{ "MB", 1e6 }, { "GB", 1e9 }, { "TB", 1e12 }, { "K", 1024 }, { "k", 1024 }, { "M", 1048576 }, { "G", 1073741824 },
		{ "T", 1099511627776 }, { "B", 1 }, { "", 1 },
	};
	const char *s = json_string_value(v), *rest;
	double n;

	if (json_is_number(v))
		return whole(json_number_value(v), out);
	return s && number_unit(s, units, GR_LEN(units), &n, &rest) && !*rest && whole(n, out);
}

bool gr_jobfile_ms(const json_t *v, uint64_t *out)
{
	static const struct unit units[] = { { "ms", 1 }, { "s", 1e3 }, { "min", 6e4 }, { "m", 6e4 }, { "h", 36e5 }, { "d", 864e5 } };
	const char *s = json_string_value(v);
	double n, sum = 0;

	if (!s || !*s)
		return false;
	while (*s) {                            /* "1h30m" */
		if (!number_unit(s, units, GR_LEN(units), &n, &s))
			return false;
		sum += n;
	}
	return whole(sum, out);
}

bool gr_jobfile_milli(const json_t *v, uint32_t *out)
{
	static const struct unit units[] = { { "m", 1e-3 }, { "", 1 } };
	const char *s = json_string_value(v), *rest = "";
	double n = 0;

	if (json_is_number(v))
		n = json_number_value(v);
	else if (!s || !number_unit(s, units, GR_LEN(units), &n, &rest) || *rest)
		return false;
	if (!(n >= 0) || n > 100000)
		return false;
	*out = (uint32_t)(n * 1000 + 0.5);
	return true;
}
