/* shell.c - see shell.h. The scanner knows sh's three kinds of quoting and nothing else of its grammar: enough to know how a
 * parameter must be written where a place stood. */
#include "client/job/shell.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/job/expand.h"

enum quoting { BARE, SINGLE, DOUBLE };

/* The parameter's number for this place: the same place again is the same parameter. argv[4] is $1. */
static size_t param_of(json_t *argv, const char *place, size_t n)
{
	for (size_t i = 4; i < json_array_size(argv); i++) {
		const char *have = json_string_value(json_array_get(argv, i));

		if (strlen(have) == n && !memcmp(have, place, n))
			return i - 3;
	}
	json_array_append_new(argv, json_stringn(place, n));
	return json_array_size(argv) - 4;
}

/* Text up to a place goes as it is; where it leaves the quoting is kept in @q. */
static void add_text(struct gr_buf *out, const char *p, size_t n, enum quoting *q)
{
	gr_buf_add(out, p, n);
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\\' && *q != SINGLE)
			i++;
		else if (p[i] == '\'' && *q != DOUBLE)
			*q = *q == SINGLE ? BARE : SINGLE;
		else if (p[i] == '"' && *q != SINGLE)
			*q = *q == DOUBLE ? BARE : DOUBLE;
	}
}

json_t *gr_shell_argv(const char *script, const char *const *names, size_t n_names, size_t n_values, struct gr_err *err)
{
	json_t *argv = json_pack("[s, s, s, s]", "/bin/sh", "-c", "", "sh");
	enum quoting q = BARE;
	struct gr_buf b = { 0 };
	size_t at = 0, n = 0;
	int64_t place;

	while ((place = gr_expand_find(script, at, names, n_names, n_values, &n, err)) >= 0) {
		size_t k = param_of(argv, script + place, n);

		if (k > 9) {                    /* $10 is $1 and a 0, and ${10} would be a place again */
			place = gr_err_set(err, GR_ELIMIT, "more than 9 different places in a command for sh");
			break;
		}
		add_text(&b, script + at, (size_t)place - at, &q);
		gr_buf_printf(&b, q == DOUBLE ? "$%zu" : q == SINGLE ? "'\"$%zu\"'" : "\"$%zu\"", k);
		at = (size_t)place + n;
	}
	if (place != GR_ENOENT) {
		json_decref(argv);
		gr_buf_fini(&b);
		return NULL;
	}
	add_text(&b, script + at, strlen(script) - at, &q);
	json_array_set_new(argv, 2, json_string(gr_buf_str(&b)));
	gr_buf_fini(&b);
	return argv;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_-./:=@%+,{}#", c);
}

void gr_shell_quote(const char *word, struct gr_buf *out)
{
	bool is_safe = *word;

	for (const char *p = word; *p && is_safe; p++)
		is_safe = is_plain(*p);
	if (is_safe && *word != '#') {
		gr_buf_add_str(out, word);
		return;
	}
	gr_buf_add_byte(out, '\'');
	for (const char *p = word; *p; p++) {
		if (*p == '\'')
			gr_buf_add_str(out, "'\\''");
		else
			gr_buf_add_byte(out, (uint8_t)*p);
	}
	gr_buf_add_byte(out, '\'');
}
