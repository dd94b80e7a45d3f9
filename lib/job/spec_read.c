/* spec_read.c - see spec_int.h */
#include "lib/job/spec_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/suggest.h"

void gr_rd_bad(struct gr_rd *r, int code, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (r->rc < 0)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->rc = gr_err_set(r->err, code, "%s%s%s", r->path, r->n_path ? ": " : "", text);
}

size_t gr_rd_in(struct gr_rd *r, const char *key)
{
	size_t was = r->n_path;
	int n = snprintf(r->path + was, sizeof(r->path) - was, "%s%s", was ? "." : "", key);

	r->n_path = n > 0 && (size_t)n < sizeof(r->path) - was ? was + (size_t)n : was;
	r->path[r->n_path] = 0;
	return was;
}

size_t gr_rd_at(struct gr_rd *r, size_t i)
{
	size_t was = r->n_path;
	int n = snprintf(r->path + was, sizeof(r->path) - was, "[%zu]", i);

	r->n_path = n > 0 && (size_t)n < sizeof(r->path) - was ? was + (size_t)n : was;
	r->path[r->n_path] = 0;
	return was;
}

void gr_rd_out(struct gr_rd *r, size_t was)
{
	r->n_path = was;
	r->path[was] = 0;
}

/* ---- members ---- */

void gr_rd_only(struct gr_rd *r, const json_t *o, const char *const *known)
{
	const char *key;
	size_t n = 0;
	json_t *v;

	while (known[n])
		n++;
	if (!json_is_object(o)) {
		gr_rd_bad(r, GR_EINVAL, "must be an object");
		return;
	}
	json_object_foreach((json_t *)o, key, v) {
		struct gr_buf meant = { 0 };
		size_t i = 0;

		while (i < n && strcmp(known[i], key))
			i++;
		if (i < n)
			continue;
		gr_suggest_add(key, known, n, &meant);
		gr_rd_bad(r, GR_EINVAL, "\"%.40s\" is not known%s", key, gr_buf_str(&meant));
		gr_buf_fini(&meant);
		return;
	}
}

int64_t gr_rd_num(struct gr_rd *r, const json_t *o, const char *key, int64_t def, int64_t min, int64_t max)
{
	const json_t *v = json_object_get(o, key);
	size_t was;

	if (!v)
		return def;
	if (json_is_integer(v) && json_integer_value(v) >= min && json_integer_value(v) <= max)
		return json_integer_value(v);
	was = gr_rd_in(r, key);
	gr_rd_bad(r, GR_EINVAL, "must be a number %" PRId64 "..%" PRId64, min, max);
	gr_rd_out(r, was);
	return def;
}

bool gr_rd_flag(struct gr_rd *r, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	size_t was;

	if (v && !json_is_boolean(v)) {
		was = gr_rd_in(r, key);
		gr_rd_bad(r, GR_EINVAL, "must be true or false");
		gr_rd_out(r, was);
	}
	return json_is_true(v);
}

void gr_rd_is_text(struct gr_rd *r, const json_t *v, size_t max)
{
	if (!json_is_string(v))
		gr_rd_bad(r, GR_EINVAL, "must be text");
	else if (json_string_length(v) > max)
		gr_rd_bad(r, GR_ELIMIT, "is %zu bytes long, %zu allowed", json_string_length(v), max);
	else if (strlen(json_string_value(v)) != json_string_length(v))
		gr_rd_bad(r, GR_EINVAL, "holds a NUL");
}

const char *gr_rd_text(struct gr_rd *r, const json_t *o, const char *key, const char *def, size_t max)
{
	const json_t *v = json_object_get(o, key);
	size_t was;

	if (!v)
		return def;
	was = gr_rd_in(r, key);
	gr_rd_is_text(r, v, max);
	gr_rd_out(r, was);
	return r->rc < 0 ? def : json_string_value(v);
}

const json_t *gr_rd_list(struct gr_rd *r, const json_t *o, const char *key, size_t max)
{
	const json_t *v = json_object_get(o, key);
	size_t was;

	if (!v)
		return NULL;
	was = gr_rd_in(r, key);
	if (!json_is_array(v))
		gr_rd_bad(r, GR_EINVAL, "must be a list");
	else if (json_array_size(v) > max)
		gr_rd_bad(r, GR_ELIMIT, "has %zu entries, %zu allowed", json_array_size(v), max);
	gr_rd_out(r, was);
	return r->rc < 0 ? NULL : v;
}

void gr_rd_texts(struct gr_rd *r, const json_t *o, const char *key, size_t max_n, size_t max)
{
	const json_t *l = gr_rd_list(r, o, key, max_n), *v;
	size_t i, was, at;

	if (!l)
		return;
	was = gr_rd_in(r, key);
	json_array_foreach(l, i, v) {
		at = gr_rd_at(r, i);
		gr_rd_is_text(r, v, max);
		gr_rd_out(r, at);
	}
	gr_rd_out(r, was);
}

bool gr_rd_is_name(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return n && n < 64 && !s[n] && strcmp(s, ".") && strcmp(s, "..");
}

/* Below the task's folder. Places ({}) are filled later, and the worker looks again. */
void gr_rd_path(struct gr_rd *r, const json_t *o, const char *key, bool is_wanted)
{
	const char *p = gr_rd_text(r, o, key, NULL, 4095), *from;
	size_t was;

	if (!p && !is_wanted)
		return;
	was = gr_rd_in(r, key);
	if (!p || !*p)
		gr_rd_bad(r, GR_EINVAL, "a path is wanted");
	else if (*p == '/')
		gr_rd_bad(r, GR_EPATH, "\"%.100s\" must be relative: a task writes below its own folder", p);
	for (from = p; from && *from; ) {
		size_t n = strcspn(from, "/");

		if (!n || (n == 1 && *from == '.' && p[1]) || (n == 2 && !strncmp(from, "..", 2)))
			gr_rd_bad(r, GR_EPATH, "\"%.100s\" must have no empty part, \".\" or \"..\"", p);
		from += n + (from[n] == '/');
		if (from > p && from[-1] == '/' && !*from)
			gr_rd_bad(r, GR_EPATH, "\"%.100s\" ends with a slash", p);
	}
	gr_rd_out(r, was);
}
