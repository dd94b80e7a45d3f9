/* jobfile_place.c - the place in a job file that complaints name, and words with places ({}) in them */
#include "client/job/jobfile_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/suggest.h"
#include "lib/job/expand.h"

/* ---- the place in the file ---- */

int gr_jf_bad(struct gr_jf *j, int code, const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return gr_err_set(j->err, code, "%s%s%s", j->at, j->n_at ? ": " : "", text);
}

static size_t enter(struct gr_jf *j, const char *fmt, const char *key, size_t i)
{
	size_t was = j->n_at, room = sizeof(j->at) - was;
	int n = key ? snprintf(j->at + was, room, fmt, was ? "." : "", key) : snprintf(j->at + was, room, fmt, i);

	j->n_at = n > 0 && (size_t)n < room ? was + (size_t)n : was;
	j->at[j->n_at] = 0;
	return was;
}

size_t gr_jf_in(struct gr_jf *j, const char *key) { return enter(j, "%s%.80s", key, 0); }
size_t gr_jf_at(struct gr_jf *j, size_t i) { return enter(j, "[%zu]", NULL, i); }

void gr_jf_out(struct gr_jf *j, size_t was)
{
	j->n_at = was;
	j->at[was] = 0;
}

int gr_jf_unknown(struct gr_jf *j, const char *key, const char *const *known, size_t n)
{
	struct gr_buf meant = { 0 };
	int rc;

	gr_suggest_add(key, known, n, &meant);
	rc = gr_jf_bad(j, GR_EINVAL, "\"%.60s\" is not known%s", key, gr_buf_str(&meant));
	gr_buf_fini(&meant);
	return rc;
}

int gr_jf_only(struct gr_jf *j, const json_t *o, const char *const *known)
{
	const char *key;
	size_t n = 0, i;
	json_t *v;

	while (known[n])
		n++;
	json_object_foreach((json_t *)o, key, v) {
		for (i = 0; i < n && strcmp(known[i], key); i++)
			;
		if (i == n)
			return gr_jf_unknown(j, key, known, n);
	}
	return 0;
}

char *gr_jf_show(const json_t *v)
{
	char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));

	if (text && strlen(text) > 60)
		strcpy(text + 56, "...");
	return text ? text : gr_xstrdup("?");
}

int gr_jf_bad_value(struct gr_jf *j, const json_t *v, const char *what)
{
	char *text = gr_jf_show(v);

	gr_jf_bad(j, GR_EINVAL, "%s is %s", text, what);
	free(text);
	return GR_EINVAL;
}

/* ---- words with places ---- */

/* {} -> {1} {2}; {name.} -> {3.}; {-1} -> {2}: for tasks whose values got hidden company. @place without braces. */
static void write_out_place(const struct gr_jf *j, const char *place, size_t n, struct gr_buf *out)
{
	static const char *const suffixes[] = { "//", "/.", "/", ".", "" };
	static const char *const kept[] = { "#", "##", "%", "index" };
	size_t n_name = n, s = 0;

	for (size_t i = 0; i < GR_LEN(kept); i++)
		if (strlen(kept[i]) == n && !memcmp(kept[i], place, n)) {
			gr_buf_printf(out, "{%s}", kept[i]);
			return;
		}
	while (strlen(suffixes[s]) > n || memcmp(place + n - strlen(suffixes[s]), suffixes[s], strlen(suffixes[s])))
		s++;
	n_name -= strlen(suffixes[s]);
	for (size_t i = 0; i < j->n_values; i++) {
		char number[24], back[24];

		snprintf(number, sizeof(number), "%zu", i + 1);
		snprintf(back, sizeof(back), "-%zu", j->n_values - i);
		if (!n_name)
			gr_buf_printf(out, "%s{%zu%s}", i ? " " : "", i + 1, suffixes[s]);
		else if ((strlen(number) == n_name && !memcmp(number, place, n_name)) ||
			 (strlen(back) == n_name && !memcmp(back, place, n_name)) ||
			 (i < j->n_names && strlen(j->names[i]) == n_name && !memcmp(j->names[i], place, n_name)))
			gr_buf_printf(out, "{%zu%s}", i + 1, suffixes[s]);
	}
}

json_t *gr_jf_written(struct gr_jf *j, const char *text)
{
	struct gr_buf b = { 0 };
	struct gr_err e;
	size_t at = 0, n = 0;
	int64_t place;
	json_t *out;

	while ((place = gr_expand_find(text, at, j->names, j->n_names, j->n_values, &n, &e)) >= 0) {
		gr_buf_add(&b, text + at, (size_t)place - at);
		if (j->has_hidden)
			write_out_place(j, text + place + 1, n - 2, &b);
		else
			gr_buf_add(&b, text + place, n);
		at = (size_t)place + n;
	}
	if (place != GR_ENOENT) {
		gr_jf_bad(j, GR_EINVAL, "%s", e.text);
		gr_buf_fini(&b);
		return NULL;
	}
	gr_buf_add_str(&b, text + at);
	out = json_string(gr_buf_str(&b));
	gr_buf_fini(&b);
	return out;
}

json_t *gr_jf_word(struct gr_jf *j, const json_t *v)
{
	json_t *t = gr_jf_text_of(v), *out;

	if (!t) {
		gr_jf_bad(j, GR_EINVAL, "wants a text");
		return NULL;
	}
	out = gr_jf_written(j, json_string_value(t));
	json_decref(t);
	return out;
}
