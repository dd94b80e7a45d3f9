/* spec.c - see spec.h. A cursor carries the path of what is being read, so that every complaint can name it; the first one
 * stands. Members that are not known are refused: a misspelt "retires" must not be silence. */
#include "lib/job/spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

struct rd {
	struct gr_err *err;
	int rc;
	char path[512];
	size_t n_path;
};

static void bad(struct rd *r, int code, const char *fmt, ...) GR_PRINTF(3, 4);
static void bad(struct rd *r, int code, const char *fmt, ...)
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

static size_t enter(struct rd *r, const char *key)
{
	size_t was = r->n_path;
	int n = snprintf(r->path + was, sizeof(r->path) - was, "%s%s", was ? "." : "", key);

	r->n_path = n > 0 && (size_t)n < sizeof(r->path) - was ? was + (size_t)n : was;
	r->path[r->n_path] = 0;
	return was;
}

static size_t enter_i(struct rd *r, size_t i)
{
	size_t was = r->n_path;
	int n = snprintf(r->path + was, sizeof(r->path) - was, "[%zu]", i);

	r->n_path = n > 0 && (size_t)n < sizeof(r->path) - was ? was + (size_t)n : was;
	r->path[r->n_path] = 0;
	return was;
}

static void leave(struct rd *r, size_t was)
{
	r->n_path = was;
	r->path[was] = 0;
}

/* ---- members ---- */

static void only(struct rd *r, const json_t *o, const char *const *known)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o)) {
		bad(r, GR_EINVAL, "must be an object");
		return;
	}
	json_object_foreach((json_t *)o, key, v) {
		size_t i = 0;

		while (known[i] && strcmp(known[i], key))
			i++;
		if (!known[i])
			bad(r, GR_EINVAL, "\"%.40s\" is not known", key);
	}
}

static int64_t num(struct rd *r, const json_t *o, const char *key, int64_t def, int64_t min, int64_t max)
{
	const json_t *v = json_object_get(o, key);
	size_t was;

	if (!v)
		return def;
	if (json_is_integer(v) && json_integer_value(v) >= min && json_integer_value(v) <= max)
		return json_integer_value(v);
	was = enter(r, key);
	bad(r, GR_EINVAL, "must be a number %" PRId64 "..%" PRId64, min, max);
	leave(r, was);
	return def;
}

static bool flag(struct rd *r, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	size_t was;

	if (v && !json_is_boolean(v)) {
		was = enter(r, key);
		bad(r, GR_EINVAL, "must be true or false");
		leave(r, was);
	}
	return json_is_true(v);
}

static void check_text(struct rd *r, const json_t *v, size_t max)
{
	if (!json_is_string(v))
		bad(r, GR_EINVAL, "must be text");
	else if (json_string_length(v) > max)
		bad(r, GR_ELIMIT, "is %zu bytes long, %zu allowed", json_string_length(v), max);
	else if (strlen(json_string_value(v)) != json_string_length(v))
		bad(r, GR_EINVAL, "holds a NUL");
}

static const char *text(struct rd *r, const json_t *o, const char *key, const char *def, size_t max)
{
	const json_t *v = json_object_get(o, key);
	size_t was;

	if (!v)
		return def;
	was = enter(r, key);
	check_text(r, v, max);
	leave(r, was);
	return r->rc < 0 ? def : json_string_value(v);
}

static const json_t *list(struct rd *r, const json_t *o, const char *key, size_t max)
{
	const json_t *v = json_object_get(o, key);
	size_t was;

	if (!v)
		return NULL;
	was = enter(r, key);
	if (!json_is_array(v))
		bad(r, GR_EINVAL, "must be a list");
	else if (json_array_size(v) > max)
		bad(r, GR_ELIMIT, "has %zu entries, %zu allowed", json_array_size(v), max);
	leave(r, was);
	return r->rc < 0 ? NULL : v;
}

static void texts(struct rd *r, const json_t *o, const char *key, size_t max_n, size_t max)
{
	const json_t *l = list(r, o, key, max_n), *v;
	size_t i, was, at;

	if (!l)
		return;
	was = enter(r, key);
	json_array_foreach(l, i, v) {
		at = enter_i(r, i);
		check_text(r, v, max);
		leave(r, at);
	}
	leave(r, was);
}

static bool is_name(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return n && n < 64 && !s[n] && strcmp(s, ".") && strcmp(s, "..");
}

/* Below the task's folder. Places ({}) are filled later, and the worker looks again. */
static void check_path(struct rd *r, const json_t *o, const char *key, bool is_wanted)
{
	const char *p = text(r, o, key, NULL, 4095), *from;
	size_t was;

	if (!p && !is_wanted)
		return;
	was = enter(r, key);
	if (!p || !*p)
		bad(r, GR_EINVAL, "a path is wanted");
	else if (*p == '/')
		bad(r, GR_EPATH, "\"%.100s\" must be relative: a task writes below its own folder", p);
	for (from = p; from && *from; ) {
		size_t n = strcspn(from, "/");

		if (!n || (n == 1 && *from == '.' && p[1]) || (n == 2 && !strncmp(from, "..", 2)))
			bad(r, GR_EPATH, "\"%.100s\" must have no empty part, \".\" or \"..\"", p);
		from += n + (from[n] == '/');
		if (from > p && from[-1] == '/' && !*from)
			bad(r, GR_EPATH, "\"%.100s\" ends with a slash", p);
	}
	leave(r, was);
}

/* ---- parts of a stage ---- */

static struct gr_stage *find(struct gr_spec *s, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(s->stages[i].name, name))
			return &s->stages[i];
	return NULL;
}

static uint32_t earlier(struct rd *r, struct gr_spec *s, uint32_t i_stage, const json_t *o)
{
	const char *name = text(r, o, "stage", NULL, 63);
	const struct gr_stage *st = name ? find(s, i_stage, name) : NULL;
	size_t was = enter(r, "stage");

	if (!name)
		bad(r, GR_EINVAL, "the name of an earlier stage is wanted");
	else if (!st)
		bad(r, GR_EINVAL, "no earlier stage is called \"%s\"", name);
	leave(r, was);
	return st ? (uint32_t)(st - s->stages) : 0;
}

static void same_count(struct rd *r, const struct gr_spec *s, uint32_t other, const struct gr_stage *st)
{
	if (r->rc >= 0 && s->stages[other].count != st->count)
		bad(r, GR_EINVAL, "stage \"%s\" has %u tasks and this one %u: task by task needs the same number", s->stages[other].name,
		    s->stages[other].count, st->count);
}

static void read_after(struct rd *r, struct gr_spec *s, struct gr_stage *st, uint32_t i_stage)
{
	static const char *const known[] = { "stage", "each", NULL };
	const json_t *l = list(r, st->json, "after", GR_SPEC_MAX_STAGES), *v;
	size_t i, was = enter(r, "after"), at;

	if (l) {
		st->after = gr_xalloc((json_array_size(l) + 1) * sizeof(*st->after));
		json_array_foreach(l, i, v) {
			at = enter_i(r, i);
			only(r, v, known);
			st->after[i].stage = earlier(r, s, i_stage, v);
			st->after[i].is_each = flag(r, v, "each");
			if (st->after[i].is_each)
				same_count(r, s, st->after[i].stage, st);
			st->n_after++;
			leave(r, at);
		}
	}
	leave(r, was);
}

static void read_inputs(struct rd *r, struct gr_spec *s, struct gr_stage *st, uint32_t i_stage)
{
	static const char *const known[] = { "path", "blob", "size", "mode", "dir", "link", "from", NULL };
	static const char *const known_from[] = { "stage", "which", "output", NULL };
	const json_t *l = list(r, st->json, "inputs", 65536), *v, *f;
	size_t i, was = enter(r, "inputs"), at;

	if (l)
		st->from = gr_xalloc((json_array_size(l) + 1) * sizeof(*st->from));
	if (l)
		json_array_foreach(l, i, v) {
			int n_kinds = !!json_object_get(v, "blob") + !!json_object_get(v, "dir") + !!json_object_get(v, "link") +
				      !!json_object_get(v, "from");

			at = enter_i(r, i);
			only(r, v, known);
			check_path(r, v, "path", true);
			text(r, v, "blob", NULL, 512);
			text(r, v, "link", NULL, 4095);
			num(r, v, "size", 0, 0, INT64_MAX);
			num(r, v, "mode", 0644, 0, 0777);
			flag(r, v, "dir");
			if (n_kinds != 1)
				bad(r, GR_EINVAL, "one of \"blob\", \"dir\", \"link\" and \"from\" is wanted");
			f = json_object_get(v, "from");
			if (f && r->rc >= 0) {
				struct gr_from *x = &st->from[st->n_from++];
				size_t in = enter(r, "from");
				const char *which;

				only(r, f, known_from);
				x->stage = earlier(r, s, i_stage, f);
				which = text(r, f, "which", "all", 8);
				if (strcmp(which, "all") && strcmp(which, "each"))
					bad(r, GR_EINVAL, "\"which\" must be \"each\" or \"all\"");
				x->is_each = !strcmp(which, "each");
				if (x->is_each)
					same_count(r, s, x->stage, st);
				x->path = json_string_value(json_object_get(v, "path"));
				x->output = text(r, f, "output", NULL, 4095);
				leave(r, in);
			}
			leave(r, at);
		}
	leave(r, was);
}

/* An input from a stage is also waiting for it. */
static void wait_for_inputs(struct gr_stage *st)
{
	for (uint32_t i = 0; i < st->n_from; i++) {
		bool is_there = false;

		for (uint32_t k = 0; k < st->n_after; k++)
			is_there = is_there || (st->after[k].stage == st->from[i].stage && (!st->after[k].is_each || st->from[i].is_each));
		if (is_there)
			continue;
		st->after = gr_xrealloc(st->after, (st->n_after + 2) * sizeof(*st->after));
		st->after[st->n_after++] = (struct gr_after){ st->from[i].stage, st->from[i].is_each };
	}
}

static void count_is(struct rd *r, struct gr_stage *st, uint64_t n)
{
	if (n < 1 || n > GR_SPEC_MAX_TASKS)
		bad(r, n ? GR_ELIMIT : GR_EINVAL, "has %" PRIu64 " tasks; 1 to %u are possible", n, GR_SPEC_MAX_TASKS);
	st->count = (uint32_t)n;
}

static void read_range(struct rd *r, struct gr_stage *st, const json_t *a)
{
	int64_t v[3] = { 0, 0, 1 };

	if (json_array_size(a) < 2 || json_array_size(a) > 3)
		bad(r, GR_EINVAL, "must be [first, last] or [first, last, step]");
	for (size_t i = 0; i < 3 && i < json_array_size(a); i++) {
		const json_t *x = json_array_get(a, i);

		if (!json_is_integer(x) || json_integer_value(x) > 1ll << 53 || json_integer_value(x) < -(1ll << 53))
			bad(r, GR_EINVAL, "must hold whole numbers");
		v[i] = json_integer_value(x);
	}
	if (r->rc < 0)
		return;
	if (!v[2] || (v[2] > 0) != (v[1] >= v[0])) {
		if (v[0] != v[1] || !v[2]) {
			bad(r, GR_EINVAL, "never comes from %" PRId64 " to %" PRId64 " by steps of %" PRId64, v[0], v[1], v[2]);
			return;
		}
	}
	st->range_first = v[0];
	st->range_step = v[2];
	count_is(r, st, v[2] > 0 ? (uint64_t)((v[1] - v[0]) / v[2]) + 1 : (uint64_t)((v[0] - v[1]) / -v[2]) + 1);
}

static void check_value(struct rd *r, const json_t *v)
{
	const json_t *x;
	size_t i, at;

	if (!json_is_array(v)) {
		check_text(r, v, 65536);
		return;
	}
	if (json_array_size(v) > GR_SPEC_MAX_VALUES)
		bad(r, GR_ELIMIT, "has more than %u values", GR_SPEC_MAX_VALUES);
	json_array_foreach(v, i, x) {
		at = enter_i(r, i);
		check_text(r, x, 65536);
		leave(r, at);
	}
}

static void read_matrix(struct rd *r, struct gr_stage *st, const json_t *a)
{
	const json_t *axis, *v;
	uint64_t n = 1;
	size_t i, k, at;

	if (!json_is_array(a) || !json_array_size(a) || json_array_size(a) > GR_SPEC_MAX_VALUES) {
		bad(r, GR_EINVAL, "must be a list of 1 to %u [name, [values]]", GR_SPEC_MAX_VALUES);
		return;
	}
	json_array_foreach(a, i, axis) {
		const json_t *values = json_array_get(axis, 1);

		at = enter_i(r, i);
		if (json_array_size(axis) != 2 || !json_is_string(json_array_get(axis, 0)) || !json_is_array(values) || !json_array_size(values))
			bad(r, GR_EINVAL, "must be [name, [values]]");
		else if (!is_name(json_string_value(json_array_get(axis, 0))))
			bad(r, GR_EINVAL, "its name may hold letters, digits, '.', '_' and '-'");
		else
			json_array_foreach(values, k, v)
				check_text(r, v, 65536);
		if (r->rc >= 0 && n <= GR_SPEC_MAX_TASKS)
			n *= json_array_size(values);
		leave(r, at);
	}
	if (r->rc >= 0)
		count_is(r, st, n);
}

static void read_array(struct rd *r, struct gr_stage *st)
{
	static const char *const known[] = { "range", "list", "list_blob", "n", "matrix", NULL };
	const json_t *a = json_object_get(st->json, "array"), *v;
	size_t was = enter(r, "array"), in, i, at;
	const char *key = "";

	st->count = 1;
	if (!a)
		goto out;
	only(r, a, known);
	if (!!json_object_get(a, "range") + !!json_object_get(a, "list") + !!json_object_get(a, "list_blob") + !!json_object_get(a, "matrix") != 1)
		bad(r, GR_EINVAL, "one of \"range\", \"list\", \"list_blob\" and \"matrix\" is wanted");
	if (r->rc < 0)
		goto out;
	if ((v = json_object_get(a, key = "range"))) {
		st->array = GR_ARRAY_RANGE;
		in = enter(r, key);
		read_range(r, st, v);
		leave(r, in);
	} else if (list(r, a, key = "list", GR_SPEC_MAX_TASKS)) {
		st->array = GR_ARRAY_LIST;
		st->list = json_object_get(a, key);
		in = enter(r, key);
		count_is(r, st, json_array_size(st->list));
		json_array_foreach(st->list, i, v) {
			at = enter_i(r, i);
			check_value(r, v);
			leave(r, at);
		}
		leave(r, in);
	} else if ((v = json_object_get(a, key = "matrix"))) {
		st->array = GR_ARRAY_MATRIX;
		st->list = v;
		in = enter(r, key);
		read_matrix(r, st, v);
		leave(r, in);
	} else if ((v = json_object_get(a, key = "list_blob"))) {
		st->array = GR_ARRAY_LIST_BLOB;
		if (!json_is_string(v) || gr_digest_parse(json_string_value(v), &st->list_blob) < 0)
			bad(r, GR_EINVAL, "\"list_blob\" must be a digest");
		count_is(r, st, (uint64_t)num(r, a, "n", 0, 1, GR_SPEC_MAX_TASKS));
	}
out:
	leave(r, was);
}

static void read_command(struct rd *r, const struct gr_stage *st)
{
	const json_t *argv = json_object_get(st->json, "argv"), *env = json_object_get(st->json, "env"), *in = json_object_get(st->json, "stdin");
	static const char *const known_stdin[] = { "blob", NULL };
	const char *key;
	json_t *v;
	size_t was;

	texts(r, st->json, "argv", 16384, 131072);
	if (!json_array_size(argv))
		bad(r, GR_EINVAL, "\"argv\" is wanted: what is to be run");
	else if (r->rc >= 0 && !json_string_length(json_array_get(argv, 0)))
		bad(r, GR_EINVAL, "\"argv\" begins with an empty word");
	was = enter(r, "env");
	if (env && !json_is_object(env))
		bad(r, GR_EINVAL, "must be an object");
	json_object_foreach((json_t *)env, key, v) {
		size_t at = enter(r, key);

		if (!*key || strchr(key, '='))
			bad(r, GR_EINVAL, "is no name of a variable");
		check_text(r, v, 131072);
		leave(r, at);
	}
	leave(r, was);
	was = enter(r, "stdin");
	if (in) {
		only(r, in, known_stdin);
		if (!text(r, in, "blob", NULL, 512))
			bad(r, GR_EINVAL, "\"blob\" is wanted");
	}
	leave(r, was);
	check_path(r, st->json, "cwd", false);
}

static void read_outputs(struct rd *r, const struct gr_stage *st)
{
	static const char *const known[] = { "path", "required", NULL };
	const json_t *l = list(r, st->json, "outputs", 4096), *v;
	size_t i, was = enter(r, "outputs"), at;

	if (l)
		json_array_foreach(l, i, v) {
			at = enter_i(r, i);
			only(r, v, known);
			check_path(r, v, "path", true);
			flag(r, v, "required");
			leave(r, at);
		}
	leave(r, was);
}

static void read_resources(struct rd *r, struct gr_stage *st)
{
	static const char *const known[] = { "cpu_mcpu", "mem_bytes", "disk_bytes", "gpu_milli", NULL };
	const json_t *o = json_object_get(st->json, "resources");
	size_t was = enter(r, "resources");

	if (o)
		only(r, o, known);
	st->cpu_mcpu = (uint32_t)num(r, o, "cpu_mcpu", 1000, 0, 1 << 30);
	st->gpu_milli = (uint32_t)num(r, o, "gpu_milli", 0, 0, 1 << 30);
	st->mem_bytes = (uint64_t)num(r, o, "mem_bytes", 0, 0, 1ll << 50);
	st->disk_bytes = (uint64_t)num(r, o, "disk_bytes", 0, 0, 1ll << 50);
	leave(r, was);
}

static void read_constraints(struct rd *r, struct gr_stage *st)
{
	static const char *const known[] = { "label", "op", "values", NULL }, *const known_prefer[] = { "label", "value", "permille", NULL };
	static const char *const known_spread[] = { "by", "max", "soft", NULL };
	static const char *const ops[] = { "in", "not_in", "exists", "absent", NULL };
	const json_t *l = list(r, st->json, "constraints", GR_SPEC_MAX_TERMS), *v, *o;
	size_t i, was = enter(r, "constraints"), at;

	if (l)
		json_array_foreach(l, i, v) {
			struct gr_term *t = &st->terms[st->n_terms++];
			size_t k = 0;

			at = enter_i(r, i);
			only(r, v, known);
			t->label = text(r, v, "label", "", 127);
			t->op = text(r, v, "op", "in", 16);
			texts(r, v, "values", 6, 127);
			t->values = json_object_get(v, "values");
			while (ops[k] && strcmp(ops[k], t->op))
				k++;
			if (!ops[k])
				bad(r, GR_EINVAL, "\"op\" must be in, not_in, exists or absent");
			if (!*t->label)
				bad(r, GR_EINVAL, "\"label\" is wanted");
			if (k < 2 && !json_array_size(t->values))
				bad(r, GR_EINVAL, "\"values\" are wanted");
			leave(r, at);
		}
	leave(r, was);
	was = enter(r, "prefer");
	st->prefer = list(r, st->json, "prefer", 4);
	if (st->prefer)
		json_array_foreach(st->prefer, i, v) {
			at = enter_i(r, i);
			only(r, v, known_prefer);
			if (!*text(r, v, "label", "", 127))
				bad(r, GR_EINVAL, "\"label\" is wanted");
			text(r, v, "value", "", 127);
			num(r, v, "permille", 200, -1000, 1000);
			leave(r, at);
		}
	leave(r, was);
	o = json_object_get(st->json, "spread");
	was = enter(r, "spread");
	if (o) {
		only(r, o, known_spread);
		st->spread_by = text(r, o, "by", "node", 8);
		if (strcmp(st->spread_by, "worker") && strcmp(st->spread_by, "node") && strcmp(st->spread_by, "zone"))
			bad(r, GR_EINVAL, "\"by\" must be worker, node or zone");
		st->spread_max = (uint32_t)num(r, o, "max", 1, 1, 1 << 20);
		st->is_spread_soft = flag(r, o, "soft");
	}
	leave(r, was);
}

static const json_t *codes(struct rd *r, const json_t *o, const char *key)
{
	const json_t *l = list(r, o, key, 256), *v;
	size_t i;

	if (l)
		json_array_foreach(l, i, v)
			if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > 255)
				bad(r, GR_EINVAL, "\"%s\" must hold numbers 0..255", key);
	return l;
}

static void read_retry(struct rd *r, struct gr_stage *st)
{
	static const char *const known[] = { "max", "on", "exit_codes", "never_codes", "backoff_ms", "backoff_max_ms", NULL };
	static const struct { const char *name; uint32_t bit; } causes[] = {
		{ "lost", GR_RETRY_LOST }, { "oom", GR_RETRY_OOM }, { "timeout", GR_RETRY_TIMEOUT }, { "exit", GR_RETRY_EXIT },
	};
	const json_t *o = json_object_get(st->json, "retry"), *on, *v;
	size_t was = enter(r, "retry"), i, k;

	if (o)
		only(r, o, known);
	st->retry_max = (uint32_t)num(r, o, "max", 2, 0, 1000);
	st->backoff_ms = (uint64_t)num(r, o, "backoff_ms", 0, 0, 86400000);
	st->backoff_max_ms = (uint64_t)num(r, o, "backoff_max_ms", 60000, 0, 86400000);
	st->retry_on = GR_RETRY_LOST | GR_RETRY_OOM;
	on = list(r, o, "on", 8);
	if (on) {
		st->retry_on = 0;
		json_array_foreach(on, i, v) {
			for (k = 0; k < GR_LEN(causes); k++)
				if (json_is_string(v) && !strcmp(json_string_value(v), causes[k].name))
					break;
			if (k == GR_LEN(causes))
				bad(r, GR_EINVAL, "\"on\" may hold lost, oom, timeout and exit");
			else
				st->retry_on |= causes[k].bit;
		}
	}
	st->exit_codes = codes(r, o, "exit_codes");
	st->never_codes = codes(r, o, "never_codes");
	leave(r, was);
}

static void read_special(struct rd *r, struct gr_stage *st)
{
	static const char *const known[] = { "exit_code", "dir", NULL }, *const known_quorum[] = { "replicas", "min", "trust", "compare", NULL };
	const json_t *o = json_object_get(st->json, "checkpoint"), *q = json_object_get(st->json, "quorum"), *v;
	size_t was = enter(r, "checkpoint"), i;

	if (o) {
		only(r, o, known);
		st->has_checkpoint = true;
		st->checkpoint_code = (int)num(r, o, "exit_code", 77, 1, 255);
		check_path(r, o, "dir", true);
		st->checkpoint_dir = text(r, o, "dir", "", 4095);
	}
	leave(r, was);
	was = enter(r, "quorum");
	if (q) {
		only(r, q, known_quorum);
		st->replicas = (uint32_t)num(r, q, "replicas", 2, 1, GR_SPEC_MAX_REPLICAS);
		st->quorum = (uint32_t)num(r, q, "min", st->replicas, 1, GR_SPEC_MAX_REPLICAS);
		st->is_adaptive = flag(r, q, "trust");
		texts(r, q, "compare", 64, 4095);
		st->compare = json_object_get(q, "compare");
		if (st->quorum > st->replicas)
			bad(r, GR_EINVAL, "\"min\" is more than \"replicas\"");
		if (st->has_checkpoint)
			bad(r, GR_EINVAL, "a task with a checkpoint cannot be compared with its copies");
	}
	leave(r, was);
	st->is_gang = flag(r, st->json, "gang");
	if (st->is_gang && st->count > GR_SPEC_MAX_GANG)
		bad(r, GR_ELIMIT, "a gang of %u tasks; %u are possible", st->count, GR_SPEC_MAX_GANG);
	if (st->is_gang && st->replicas)
		bad(r, GR_EINVAL, "a gang has no copies: leave \"quorum\" out");
	texts(r, st->json, "secrets", 32, 63);
	st->secrets = json_object_get(st->json, "secrets");
	if (st->secrets && r->rc >= 0)
		json_array_foreach(st->secrets, i, v)
			if (!is_name(json_string_value(v)))
				bad(r, GR_EINVAL, "secrets[%zu]: its name may hold letters, digits, '.', '_' and '-'", i);
}

static void read_stage(struct rd *r, struct gr_spec *s, uint32_t i)
{
	static const char *const known[] = { "name", "after", "array", "argv", "env", "cwd", "stdin", "inputs", "outputs", "resources", "constraints",
		"prefer", "spread", "timeout_ms", "left_ms", "retry", "checkpoint", "gang", "quorum", "network", "mem_limit_bytes", "output_cap_bytes",
		"secrets", NULL };
	struct gr_stage *st = &s->stages[i];

	only(r, st->json, known);
	st->name = text(r, st->json, "name", "main", 63);
	if (r->rc < 0)
		return;
	if (!is_name(st->name))
		bad(r, GR_EINVAL, "its name may hold letters, digits, '.', '_' and '-'");
	if (find(s, i, st->name))
		bad(r, GR_EINVAL, "there is a stage \"%s\" already", st->name);
	read_array(r, st);
	read_command(r, st);
	read_after(r, s, st, i);
	read_inputs(r, s, st, i);
	read_outputs(r, st);
	read_resources(r, st);
	read_constraints(r, st);
	read_retry(r, st);
	read_special(r, st);
	st->timeout_ms = (uint64_t)num(r, st->json, "timeout_ms", 0, 0, 1ll << 42);
	st->left_ms = (uint32_t)num(r, st->json, "left_ms", 0, 0, UINT32_MAX);
	st->mem_limit_bytes = (uint64_t)num(r, st->json, "mem_limit_bytes", 0, 0, 1ll << 50);
	num(r, st->json, "output_cap_bytes", 0, 0, 1ll << 30);
	flag(r, st->json, "network");
	if (r->rc >= 0)
		wait_for_inputs(st);
	st->first = s->n_tasks;
	if (r->rc >= 0 && st->count > GR_SPEC_MAX_TASKS - s->n_tasks)
		bad(r, GR_ELIMIT, "more than %u tasks in all", GR_SPEC_MAX_TASKS);
	s->n_tasks += st->count;
}

/* ---- the whole ---- */

static void read_blobs(struct rd *r, struct gr_spec *s)
{
	const json_t *l = list(r, s->json, "blobs", 1u << 20), *v;
	size_t i, was = enter(r, "blobs"), at;

	if (l) {
		s->blobs = gr_xalloc((json_array_size(l) + 1) * sizeof(*s->blobs));
		json_array_foreach(l, i, v) {
			const char *hex = json_string_value(json_array_get(v, 0));
			const json_t *size = json_array_get(v, 1);

			at = enter_i(r, i);
			if (!hex || gr_digest_parse(hex, &s->blobs[i].digest) < 0 || !json_is_integer(size) || json_integer_value(size) < 0)
				bad(r, GR_EINVAL, "must be [digest, size]");
			else
				s->blobs[i].size = (uint64_t)json_integer_value(size);
			s->n_blobs++;
			leave(r, at);
		}
	}
	leave(r, was);
}

static void read_keep(struct rd *r, struct gr_spec *s)
{
	const char *keep = text(r, s->json, "keep_logs", "all", 16);

	s->keep_logs = !strcmp(keep, "failed") ? GR_KEEP_FAILED : !strcmp(keep, "none") ? GR_KEEP_NONE : GR_KEEP_ALL;
	if (s->keep_logs == GR_KEEP_ALL && strcmp(keep, "all"))
		bad(r, GR_EINVAL, "keep_logs: must be all, failed or none");
}

int gr_spec_parse(json_t *json, struct gr_spec **out, struct gr_err *err)
{
	static const char *const known[] = { "name", "tenant", "weight", "priority", "idle", "max_failures", "max_failures_permille", "deadline_ms",
		"keep_ms", "keep_logs", "blobs", "stages", NULL };
	struct rd r = { .err = err };
	const json_t *stages, *v;
	struct gr_spec *s;
	size_t i, was, at;

	GR_NEW(s);
	s->json = json_incref(json);
	only(&r, json, known);
	s->name = text(&r, json, "name", "", 128);
	s->tenant = text(&r, json, "tenant", "default", 63);
	if (r.rc >= 0 && !is_name(s->tenant))
		bad(&r, GR_EINVAL, "tenant: may hold letters, digits, '.', '_' and '-'");
	s->weight = (uint32_t)num(&r, json, "weight", 1, 1, 1000000);
	s->priority = (int)num(&r, json, "priority", 0, -15, 15);
	s->is_idle = flag(&r, json, "idle");
	s->max_failures = (uint64_t)num(&r, json, "max_failures", 0, 0, INT64_MAX);
	s->max_failures_permille = (int)num(&r, json, "max_failures_permille", -1, 0, 1000);
	s->deadline_ms = num(&r, json, "deadline_ms", 0, 0, INT64_MAX);
	s->keep_ms = (uint64_t)num(&r, json, "keep_ms", 0, 0, INT64_MAX / 1000000);
	read_keep(&r, s);
	read_blobs(&r, s);
	stages = list(&r, json, "stages", GR_SPEC_MAX_STAGES);
	was = enter(&r, "stages");
	if (!json_array_size(stages))
		bad(&r, GR_EINVAL, "at least one stage is wanted");
	if (r.rc >= 0) {
		s->stages = gr_xalloc(json_array_size(stages) * sizeof(*s->stages));
		json_array_foreach(stages, i, v) {
			at = enter_i(&r, i);
			s->stages[i].json = v;
			s->n_stages++;
			if (r.rc >= 0)
				read_stage(&r, s, (uint32_t)i);
			leave(&r, at);
		}
	}
	leave(&r, was);
	if (r.rc < 0) {
		gr_spec_free(&s);
		return r.rc;
	}
	*out = s;
	return 0;
}

void gr_spec_free(struct gr_spec **sp)
{
	struct gr_spec *s = *sp;

	if (!s)
		return;
	for (uint32_t i = 0; i < s->n_stages; i++) {
		free(s->stages[i].after);
		free(s->stages[i].from);
	}
	free(s->stages);
	free(s->blobs);
	json_decref(s->json);
	free(s);
	*sp = NULL;
}

uint32_t gr_spec_stage_of(const struct gr_spec *s, uint32_t task)
{
	uint32_t lo = 0, hi = s->n_stages;

	while (hi - lo > 1) {
		uint32_t mid = (lo + hi) / 2;

		if (s->stages[mid].first <= task)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

bool gr_spec_has_secret(const struct gr_stage *st, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(st->secrets, i, v)
		if (!strcmp(json_string_value(v), name))
			return true;
	return false;
}

static struct gr_slice slice_of(const json_t *v)
{
	return gr_slice(json_string_value(v), json_string_length(v));
}

uint32_t gr_spec_values(const struct gr_stage *st, uint32_t index, struct gr_slice out[GR_SPEC_MAX_VALUES], struct gr_buf *buf)
{
	const json_t *v, *x;
	uint32_t n = 0;
	size_t i;

	gr_buf_clear(buf);
	switch (st->array) {
	case GR_ARRAY_RANGE:
		gr_buf_printf(buf, "%" PRId64, st->range_first + (int64_t)index * st->range_step);
		out[0] = gr_buf_slice(buf);
		return 1;
	case GR_ARRAY_LIST:
		v = json_array_get(st->list, index);
		if (!json_is_array(v)) {
			out[0] = slice_of(v);
			return 1;
		}
		json_array_foreach(v, i, x)
			out[n++] = slice_of(x);
		return n;
	case GR_ARRAY_MATRIX:
		n = (uint32_t)json_array_size(st->list);
		for (uint32_t k = n; k > 0; k--) {
			const json_t *values = json_array_get(json_array_get(st->list, k - 1), 1);
			uint32_t m = (uint32_t)json_array_size(values);

			out[k - 1] = slice_of(json_array_get(values, index % m));
			index /= m;
		}
		return n;
	default:
		return 0;
	}
}

uint32_t gr_spec_line_values(struct gr_slice line, struct gr_slice out[GR_SPEC_MAX_VALUES])
{
	uint32_t n = 0;
	size_t from = 0;

	for (size_t i = 0; i <= line.n && n < GR_SPEC_MAX_VALUES; i++)
		if (i == line.n || line.p[i] == '\t') {
			out[n++] = gr_slice(line.p + from, i - from);
			from = i + 1;
		}
	return n;
}
