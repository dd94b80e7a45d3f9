/* jobfile.c - see jobfile.h. A table of members for the file and one for a task; each row converts one member. What the
 * coordinator knows better (do the stages fit together) is left to gr_spec_parse, which runs behind this. */
#include "client/job/jobfile_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/job/shell.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/path.h"
#include "lib/conf/suggest.h"
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

int gr_jf_only(struct gr_jf *j, const json_t *o, const char *const *known)
{
	const char *key, *near;
	size_t n = 0, i;
	json_t *v;

	while (known[n])
		n++;
	json_object_foreach((json_t *)o, key, v) {
		for (i = 0; i < n && strcmp(known[i], key); i++)
			;
		if (i < n)
			continue;
		near = gr_suggest(key, known, n);
		return gr_jf_bad(j, GR_EINVAL, "\"%.60s\" is not known%s%s%s", key, near ? "; did you mean \"" : "", near ? near : "",
				 near ? "\"?" : "");
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

static int bad_value(struct gr_jf *j, const json_t *v, const char *what)
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

static json_t *word_of(struct gr_jf *j, const char *text)
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
	out = word_of(j, json_string_value(t));
	json_decref(t);
	return out;
}

/* ---- members ---- */

struct member {
	const char *name;
	int (*fn)(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m);
	const char *to;                     /* name in the spec; NULL: the same */
	int64_t min, max;
};

static const char *to(const struct member *m) { return m->to ? m->to : m->name; }

static int pass(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	(void)j;
	json_object_set(out, to(m), (json_t *)v);
	return 0;
}

static int skip(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	(void)j, (void)v, (void)out, (void)m;
	return 0;                           /* taken elsewhere */
}

static int m_text(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	if (!json_is_string(v) || !json_string_length(v))
		return bad_value(j, v, "no text");
	return pass(j, v, out, m);
}

static int m_bool(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	return json_is_boolean(v) ? pass(j, v, out, m) : bad_value(j, v, "neither true nor false");
}

static int m_int(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	char what[80];

	snprintf(what, sizeof(what), "no whole number from %" PRId64 " to %" PRId64, m->min, m->max);
	return json_is_integer(v) && json_integer_value(v) >= m->min && json_integer_value(v) <= m->max ? pass(j, v, out, m) :
	       bad_value(j, v, what);
}

static int m_bytes(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	uint64_t n;

	if (!gr_jobfile_bytes(v, &n))
		return bad_value(j, v, "not a size, e.g. 512M");
	json_object_set_new(out, to(m), json_integer((json_int_t)n));
	return 0;
}

static int m_ms(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	uint64_t ms;

	if (!gr_jobfile_ms(v, &ms))
		return bad_value(j, v, "not a time, e.g. \"90s\" or \"1h30m\"");
	json_object_set_new(out, to(m), json_integer((json_int_t)ms));
	return 0;
}

static int m_deadline(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	uint64_t ms;

	if (json_is_integer(v) && json_integer_value(v) > 0)
		return pass(j, v, out, m);
	if (!gr_jobfile_ms(v, &ms))
		return bad_value(j, v, "neither a time from now, e.g. \"2h\", nor milliseconds since 1970");
	json_object_set_new(out, to(m), json_integer((json_int_t)(j->now_ms + ms)));
	return 0;
}

static int m_milli(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	uint32_t n;

	if (!gr_jobfile_milli(v, &n))
		return bad_value(j, v, "not a number of them, e.g. 2 or 0.5");
	json_object_set_new(out, to(m), json_integer(n));
	return 0;
}

static int m_ints(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	json_t *x;
	size_t i;

	if (json_is_integer(v)) {
		json_object_set_new(out, to(m), json_pack("[O]", v));
		return 0;
	}
	if (!json_is_array(v))
		return bad_value(j, v, "no list of exit codes");
	json_array_foreach(v, i, x)
		if (!json_is_integer(x) || json_integer_value(x) < 0 || json_integer_value(x) > 255)
			return bad_value(j, x, "no exit code from 0 to 255");
	return pass(j, v, out, m);
}

/* Members of an object by their table. */
static int members(struct gr_jf *j, const json_t *v, json_t *out, const struct member *table, size_t n)
{
	const char *known[40], *key;
	json_t *x;
	int rc;

	if (!json_is_object(v))
		return bad_value(j, v, "no object");
	for (size_t i = 0; i < n; i++)
		known[i] = table[i].name;
	known[n] = NULL;
	rc = gr_jf_only(j, v, known);
	json_object_foreach((json_t *)v, key, x) {
		size_t was, i = 0;

		if (rc < 0)
			return rc;
		while (strcmp(table[i].name, key))
			i++;
		was = gr_jf_in(j, key);
		rc = table[i].fn(j, x, out, &table[i]);
		gr_jf_out(j, was);
	}
	return rc;
}

static int below(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m, const struct member *table, size_t n)
{
	json_t *o = json_object();
	int rc = members(j, v, o, table, n);

	json_object_set_new(out, to(m), o);
	return rc;
}

static int m_resources(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	static const struct member table[] = {
		{ "cpus", m_milli, "cpu_mcpu", 0, 0 }, { "mem", m_bytes, "mem_bytes", 0, 0 }, { "disk", m_bytes, "disk_bytes", 0, 0 },
		{ "gpus", m_milli, "gpu_milli", 0, 0 },
	};

	return below(j, v, out, m, table, GR_LEN(table));
}

static int m_retry(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	static const struct member table[] = {
		{ "max", m_int, NULL, 0, 1000 }, { "on", pass, NULL, 0, 0 }, { "exit_codes", m_ints, NULL, 0, 0 },
		{ "never", m_ints, "never_codes", 0, 0 }, { "backoff", m_ms, "backoff_ms", 0, 0 }, { "backoff_max", m_ms, "backoff_max_ms", 0, 0 },
	};
	json_t *o;
	int rc;

	if (json_is_integer(v)) {           /* "retry": 3 means: whatever went wrong, three times more */
		rc = m_int(j, v, out, &(struct member){ .name = "max", .min = 0, .max = 1000 });
		json_object_del(out, "max");
		if (rc < 0)
			return rc;
		json_object_set_new(out, to(m), json_pack("{s:O, s:[s, s, s, s]}", "max", v, "on", "lost", "oom", "timeout", "exit"));
		return 0;
	}
	rc = below(j, v, out, m, table, GR_LEN(table));
	o = json_object_get(out, to(m));
	if (rc == 0 && json_object_get(o, "exit_codes") && !json_object_get(o, "on"))
		json_object_set_new(o, "on", json_pack("[s, s, s]", "lost", "oom", "exit"));
	return rc;
}

static int m_checkpoint(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	static const struct member table[] = { { "exit_code", m_int, NULL, 1, 255 }, { "dir", m_text, NULL, 0, 0 } };

	return below(j, v, out, m, table, GR_LEN(table));
}

static int m_spread(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	static const struct member table[] = { { "by", m_text, NULL, 0, 0 }, { "max", m_int, NULL, 1, 1000000 }, { "soft", m_bool, NULL, 0, 0 } };

	return below(j, v, out, m, table, GR_LEN(table));
}

static int m_quorum(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	static const struct member table[] = {
		{ "replicas", m_int, NULL, 1, 8 }, { "min", m_int, NULL, 1, 8 }, { "trust", m_bool, NULL, 0, 0 }, { "compare", pass, NULL, 0, 0 },
	};

	return below(j, v, out, m, table, GR_LEN(table));
}

/* {"arch": "x86_64", "zone": ["a", "b"], "gpu": true, "slow": false}, or the list of terms itself. */
static int m_constraints(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	json_t *terms, *x;
	const char *key;

	if (json_is_array(v))
		return pass(j, v, out, m);
	if (!json_is_object(v))
		return bad_value(j, v, "no object of labels");
	terms = json_array();
	json_object_set_new(out, to(m), terms);
	json_object_foreach((json_t *)v, key, x) {
		if (json_is_boolean(x))
			json_array_append_new(terms, json_pack("{s:s, s:s}", "label", key, "op", json_is_true(x) ? "exists" : "absent"));
		else if (json_is_string(x))
			json_array_append_new(terms, json_pack("{s:s, s:s, s:[O]}", "label", key, "op", "in", "values", x));
		else if (json_is_array(x))
			json_array_append_new(terms, json_pack("{s:s, s:s, s:O}", "label", key, "op", "in", "values", x));
		else {
			size_t was = gr_jf_in(j, key);
			int rc = bad_value(j, x, "neither a value, a list of values, true (has the label) nor false");

			gr_jf_out(j, was);
			return rc;
		}
	}
	return 0;
}

static int m_after(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	static const char *const known[] = { "task", "each", NULL };
	json_t *list = json_array(), *x, *all = json_is_array(v) ? json_incref((json_t *)v) : json_pack("[O]", v);
	size_t i;
	int rc = 0;

	json_object_set_new(out, to(m), list);
	json_array_foreach(all, i, x) {
		size_t was = json_is_array(v) ? gr_jf_at(j, i) : j->n_at, k;
		const char *name = json_is_string(x) ? json_string_value(x) : json_string_value(json_object_get(x, "task"));
		json_t *st;
		bool is_there = false;

		if (json_is_object(x))
			rc = gr_jf_only(j, x, known);
		json_array_foreach(j->stages, k, st)
			is_there |= name && !strcmp(json_string_value(json_object_get(st, "name")), name);
		if (rc == 0 && !is_there)
			rc = bad_value(j, x, "no task that stands before this one");
		if (rc == 0)
			json_array_append_new(list, json_pack("{s:s, s:b}", "stage", name, "each", json_is_true(json_object_get(x, "each"))));
		gr_jf_out(j, was);
		if (rc < 0)
			break;
	}
	json_decref(all);
	return rc;
}

static int m_command(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	json_t *argv, *x, *word;
	struct gr_err e;
	size_t i;

	if (json_is_string(v)) {
		json_t *written = json_string_length(v) ? word_of(j, json_string_value(v)) : NULL;

		if (!written)
			return json_string_length(v) ? j->err->code : gr_jf_bad(j, GR_EINVAL, "is empty");
		argv = gr_shell_argv(json_string_value(written), j->names, j->has_hidden ? 0 : j->n_names,
				     j->has_hidden ? SIZE_MAX : j->n_values, &e);
		json_decref(written);
		if (!argv)
			return gr_jf_bad(j, GR_EINVAL, "%s", e.text);
		json_object_set_new(out, to(m), argv);
		return 0;
	}
	if (!json_is_array(v) || !json_array_size(v))
		return bad_value(j, v, "neither a command line nor a list of words");
	argv = json_array();
	json_object_set_new(out, to(m), argv);
	json_array_foreach(v, i, x) {
		size_t was = gr_jf_at(j, i);

		word = gr_jf_word(j, x);
		gr_jf_out(j, was);
		if (!word)
			return j->err->code;
		json_array_append_new(argv, word);
	}
	return 0;
}

static int m_word(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	json_t *word = gr_jf_word(j, v);

	if (!word)
		return j->err->code;
	json_object_set_new(out, to(m), word);
	return 0;
}

static int m_env(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	json_t *o = json_object(), *x, *word;
	const char *key;

	json_object_set_new(out, to(m), o);
	if (!json_is_object(v))
		return bad_value(j, v, "no object of names and texts");
	json_object_foreach((json_t *)v, key, x) {
		size_t was = gr_jf_in(j, key);

		word = !*key || strchr(key, '=') ? NULL : gr_jf_word(j, x);
		if (!word && (!*key || strchr(key, '=')))
			gr_jf_bad(j, GR_EINVAL, "a name has at least one character and no \"=\"");
		gr_jf_out(j, was);
		if (!word)
			return j->err->code;
		json_object_set_new(o, key, word);
	}
	return 0;
}

static int m_outputs(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	static const char *const known[] = { "path", "required", NULL };
	json_t *list = json_array(), *x, *word;
	size_t i;
	int rc = 0;

	json_object_set_new(out, to(m), list);
	if (!json_is_array(v))
		return bad_value(j, v, "no list of paths");
	json_array_foreach(v, i, x) {
		size_t was = gr_jf_at(j, i);

		if (json_is_object(x))
			rc = gr_jf_only(j, x, known);
		word = rc < 0 ? NULL : gr_jf_word(j, json_is_object(x) ? json_object_get(x, "path") : x);
		gr_jf_out(j, was);
		if (!word)
			return j->err->code;
		json_array_append_new(list, json_pack("{s:o, s:b}", "path", word, "required", !json_is_false(json_object_get(x, "required"))));
	}
	return 0;
}

static const struct member task_members[] = {
	{ "name", m_text, NULL, 0, 0 }, { "after", m_after, NULL, 0, 0 }, { "array", skip, NULL, 0, 0 }, { "inputs", skip, NULL, 0, 0 },
	{ "stdin", skip, NULL, 0, 0 }, { "command", m_command, "argv", 0, 0 }, { "env", m_env, NULL, 0, 0 }, { "cwd", m_word, NULL, 0, 0 },
	{ "outputs", m_outputs, NULL, 0, 0 }, { "resources", m_resources, NULL, 0, 0 }, { "constraints", m_constraints, NULL, 0, 0 },
	{ "prefer", pass, NULL, 0, 0 }, { "spread", m_spread, NULL, 0, 0 }, { "timeout", m_ms, "timeout_ms", 0, 0 },
	{ "time_left", m_ms, "left_ms", 0, 0 }, { "retry", m_retry, NULL, 0, 0 }, { "checkpoint", m_checkpoint, NULL, 0, 0 },
	{ "gang", m_bool, NULL, 0, 0 }, { "quorum", m_quorum, NULL, 0, 0 }, { "network", m_bool, NULL, 0, 0 },
	{ "mem_limit", m_bytes, "mem_limit_bytes", 0, 0 }, { "output_cap", m_bytes, "output_cap_bytes", 0, 0 }, { "secrets", pass, NULL, 0, 0 },
};

static bool wants_hidden(struct gr_jf *j, const json_t *task)
{
	const json_t *x;
	size_t i, n;

	json_array_foreach(json_object_get(task, "inputs"), i, x) {
		const char *file = json_is_string(x) ? json_string_value(x) : json_string_value(json_object_get(x, "file"));

		if (file && gr_expand_find(file, 0, j->names, j->n_names, SIZE_MAX, &n, NULL) >= 0)
			return true;
	}
	x = json_object_get(task, "stdin");
	return json_is_string(x) && gr_expand_find(json_string_value(x), 0, j->names, j->n_names, SIZE_MAX, &n, NULL) >= 0;
}

static int read_task(struct gr_jf *j, const json_t *task, size_t i_task, json_t *stage)
{
	const json_t *a = json_object_get(task, "array"), *in = json_object_get(task, "inputs"), *std = json_object_get(task, "stdin");
	json_t *array = NULL, *list = json_array();
	uint64_t count = 1;
	char name[24];
	size_t was;
	int rc = 0;

	j->n_names = j->n_values = j->n_rows = 0;
	j->has_hidden = false;
	json_decref(j->rows);
	j->rows = NULL;
	if (a) {
		was = gr_jf_in(j, "array");
		rc = gr_jf_array(j, a, &count, &array);
		gr_jf_out(j, was);
	}
	j->has_hidden = wants_hidden(j, task);
	if (rc == 0 && in) {
		was = gr_jf_in(j, "inputs");
		rc = gr_jf_inputs(j, in, list, &array, count);
		gr_jf_out(j, was);
	}
	if (rc == 0 && std) {
		was = gr_jf_in(j, "stdin");
		rc = gr_jf_stdin(j, std, stage, &array, count);
		gr_jf_out(j, was);
	}
	if (json_array_size(list))
		json_object_set(stage, "inputs", list);
	json_decref(list);
	if (array)
		json_object_set_new(stage, "array", array);
	if (rc == 0)
		rc = members(j, task, stage, task_members, GR_LEN(task_members));
	if (rc < 0)
		return rc;
	if (!json_object_get(task, "command"))
		return gr_jf_bad(j, GR_EINVAL, "wants a \"command\"");
	if (!json_object_get(stage, "name")) {
		snprintf(name, sizeof(name), "task-%zu", i_task);
		json_object_set_new(stage, "name", json_string(name));
	}
	j->out->n_tasks += count;
	return 0;
}

/* What "defaults" says and the task does not; objects are joined one level deep. */
static json_t *with_defaults(const json_t *task, const json_t *defaults)
{
	json_t *o = json_copy((json_t *)task), *v, *own;
	const char *key;

	json_object_foreach((json_t *)defaults, key, v) {
		own = json_object_get(o, key);
		if (json_is_object(own) && json_is_object(v)) {
			json_t *joined = json_copy(v);

			json_object_update(joined, own);
			json_object_set_new(o, key, joined);
		} else if (!own) {
			json_object_set(o, key, v);
		}
	}
	return o;
}

/* ---- the file ---- */

static int m_stop(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	const char *s = json_string_value(v);
	double share;
	char *end;

	(void)m;
	if (json_is_integer(v) && json_integer_value(v) >= 1) {
		json_object_set(out, "max_failures", (json_t *)v);
		return 0;
	}
	share = s ? strtod(s, &end) : -1;
	if (!s || end == s || strcmp(end, "%") || !(share >= 0 && share <= 100))
		return bad_value(j, v, "neither a number of failed tasks nor a share of them, e.g. \"10%\"");
	json_object_set_new(out, "max_failures_permille", json_integer((json_int_t)(share * 10 + 0.5)));
	return 0;
}

static void base64(const uint8_t *p, size_t n, struct gr_buf *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);

		gr_buf_add_byte(out, (uint8_t)digits[v >> 18]);
		gr_buf_add_byte(out, (uint8_t)digits[v >> 12 & 63]);
		gr_buf_add_byte(out, i + 1 < n ? (uint8_t)digits[v >> 6 & 63] : '=');
		gr_buf_add_byte(out, i + 2 < n ? (uint8_t)digits[v & 63] : '=');
	}
}

/* {"token": {"file": "path"}, "key": {"env": "NAME"}}: values leave this machine beside the spec, never in it. */
static int m_secrets(struct gr_jf *j, const json_t *v, json_t *out, const struct member *m)
{
	static const char *const known[] = { "file", "env", NULL };
	const char *key;
	json_t *x;
	int rc = 0;

	(void)out, (void)m;
	if (!json_is_object(v))
		return bad_value(j, v, "no object of names, e.g. {\"token\": {\"file\": \"token.txt\"}}");
	j->out->secrets = json_object();
	json_object_foreach((json_t *)v, key, x) {
		const char *file = json_string_value(json_object_get(x, "file")), *env = json_string_value(json_object_get(x, "env")), *value;
		struct gr_buf text = { 0 }, b64 = { 0 };
		size_t was = gr_jf_in(j, key);
		struct gr_err e;
		char *full;

		rc = json_is_object(x) ? gr_jf_only(j, x, known) : bad_value(j, x, "no object with file or env");
		if (rc == 0 && !file == !env)
			rc = gr_jf_bad(j, GR_EINVAL, "wants one of file and env");
		if (rc == 0 && file) {
			full = gr_inputs_path(j->base, file);
			rc = gr_file_read(full, 65536, &text, &e);
			free(full);
			if (rc < 0)
				gr_jf_bad(j, rc, "%s", e.text);
		} else if (rc == 0) {
			value = getenv(env);
			if (value)
				gr_buf_add_str(&text, value);
			else
				rc = gr_jf_bad(j, GR_ENOENT, "%s is not in the environment", env);
		}
		if (rc == 0) {
			base64(text.p, text.n, &b64);
			json_object_set_new(j->out->secrets, key, json_string(gr_buf_str(&b64)));
		}
		if (text.p)
			explicit_bzero(text.p, text.n);
		gr_buf_fini(&text);
		gr_buf_fini(&b64);
		gr_jf_out(j, was);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static const struct member file_members[] = {
	{ "$schema", skip, NULL, 0, 0 }, { "description", skip, NULL, 0, 0 }, { "name", m_text, NULL, 0, 0 }, { "tenant", m_text, NULL, 0, 0 },
	{ "weight", m_int, NULL, 1, 1000000 }, { "priority", m_int, NULL, -15, 15 }, { "idle", m_bool, NULL, 0, 0 },
	{ "stop_after_failures", m_stop, NULL, 0, 0 }, { "deadline", m_deadline, "deadline_ms", 0, 0 }, { "keep", m_ms, "keep_ms", 0, 0 },
	{ "keep_logs", m_text, NULL, 0, 0 }, { "secrets", m_secrets, NULL, 0, 0 }, { "defaults", skip, NULL, 0, 0 }, { "tasks", skip, NULL, 0, 0 },
};

static bool is_task_member(const char *key)
{
	for (size_t i = 0; i < GR_LEN(task_members); i++)
		if (!strcmp(task_members[i].name, key) && strcmp(key, "name") && strcmp(key, "secrets"))
			return true;
	return false;
}

/* A file with a command of its own is one task: what belongs to tasks is put together. */
static json_t *only_task(const json_t *file, json_t *rest)
{
	json_t *task = json_object(), *v;
	const char *key;

	json_object_foreach((json_t *)file, key, v)
		json_object_set(is_task_member(key) ? task : rest, key, v);
	json_object_set_new(task, "name", json_string("main"));
	if (json_object_get(file, "secrets")) {
		json_t *names = json_array();

		json_object_foreach(json_object_get(file, "secrets"), key, v)
			json_array_append_new(names, json_string(key));
		json_object_set_new(task, "secrets", names);
	}
	return task;
}

/* A name that is no member of the file, with what was meant, of tasks' members too. */
static int check_names(struct gr_jf *j, const json_t *file, bool has_tasks)
{
	const char *known[GR_LEN(file_members) + GR_LEN(task_members)], *key, *near;
	size_t n = 0, i;
	json_t *v;

	for (i = 0; i < GR_LEN(file_members); i++)
		known[n++] = file_members[i].name;
	for (i = 0; i < GR_LEN(task_members); i++)
		known[n++] = task_members[i].name;
	json_object_foreach((json_t *)file, key, v) {
		for (i = 0; i < n && strcmp(known[i], key); i++)
			;
		if (i < GR_LEN(file_members) || (i < n && !has_tasks))
			continue;
		if (i < n)
			return gr_jf_bad(j, GR_EINVAL, "\"%s\" belongs to a task: put it into one, or into \"defaults\" for all", key);
		near = gr_suggest(key, known, n);
		return gr_jf_bad(j, GR_EINVAL, "\"%.60s\" is not known%s%s%s", key, near ? "; did you mean \"" : "", near ? near : "",
				 near ? "\"?" : "");
	}
	return 0;
}

static int read_file(struct gr_jf *j, const json_t *file)
{
	const json_t *tasks = json_object_get(file, "tasks"), *defaults = json_object_get(file, "defaults"), *t;
	json_t *rest = json_object(), *single = NULL, *stage;
	size_t i, was;
	int rc = 0;

	if (!json_object_get(file, "command") || tasks)
		json_object_update(rest, (json_t *)file);
	else
		single = only_task(file, rest);
	rc = check_names(j, file, !single && tasks);
	if (rc == 0)
		rc = members(j, rest, j->out->spec, file_members, GR_LEN(file_members));
	json_decref(rest);
	if (rc == 0 && !single && !json_is_array(tasks))
		rc = gr_jf_bad(j, GR_EINVAL, "wants \"tasks\", a list, or a \"command\"");
	if (rc == 0 && !single && !json_array_size(tasks))
		rc = gr_jf_bad(j, GR_EINVAL, "tasks: is empty");
	if (rc == 0 && defaults && !json_is_object(defaults))
		rc = gr_jf_bad(j, GR_EINVAL, "defaults: wants an object");
	if (rc == 0 && single) {
		stage = json_object();
		json_array_append_new(j->stages, stage);
		rc = read_task(j, single, 0, stage);
	}
	was = rc == 0 && !single ? gr_jf_in(j, "tasks") : 0;
	if (!single)
		json_array_foreach(tasks, i, t) {
			size_t at;
			json_t *whole;

			if (rc < 0)
				break;
			at = gr_jf_at(j, i);
			stage = json_object();
			if (!json_is_object(t))
				rc = bad_value(j, t, "no object");
			if (rc == 0) {
				whole = with_defaults(t, defaults);
				rc = read_task(j, whole, i, stage);
				json_decref(whole);
			}
			json_array_append_new(j->stages, stage);
			gr_jf_out(j, at);
		}
	gr_jf_out(j, was);
	json_decref(single);
	return rc;
}

int gr_jobfile_read(const json_t *json, const char *base, const char *name, uint64_t now_real_ms, struct gr_jobfile *out,
		    struct gr_err *err)
{
	struct gr_jf j = { .out = out, .base = base, .now_ms = now_real_ms, .err = err };
	int rc;

	*out = (struct gr_jobfile){ .spec = json_object() };
	j.stages = json_array();
	json_object_set_new(out->spec, "stages", j.stages);
	if (!json_is_object(json))
		return gr_err_set(err, GR_EINVAL, "wants a JSON object");
	rc = read_file(&j, json);
	json_decref(j.rows);
	if (rc == 0 && !json_object_get(out->spec, "name") && name)
		json_object_set_new(out->spec, "name", json_string(name));
	return rc;
}

void gr_jobfile_seal(struct gr_jobfile *f)
{
	if (f->inputs.by_digest.n)
		json_object_set_new(f->spec, "blobs", gr_inputs_json(&f->inputs));
}

void gr_jobfile_fini(struct gr_jobfile *f)
{
	json_decref(f->spec);
	json_decref(f->secrets);
	gr_inputs_fini(&f->inputs);
	*f = (struct gr_jobfile){ 0 };
}
