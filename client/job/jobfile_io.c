/* jobfile_io.c - a task's array and its inputs.
 *
 * Inputs whose local name has places ("data/{}.csv") are looked up here, one for each task; the worker finds the right one by
 * its digest, which becomes a hidden value behind the task's own ones. {} would then mean too much, so words are written out
 * as {1} {2} (gr_jf_word). */
#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/job/jobfile_int.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/path.h"
#include "lib/job/expand.h"

#define MAX_TASKS (1u << 24)
#define MAX_ROWS 1000000u            /* tasks whose values are held here one by one */
#define MAX_LIST_BYTES (512u << 20)
#define INLINE_ROWS 2000u            /* more go as a blob of lines */

json_t *gr_jf_text_of(const json_t *v)
{
	char *text;
	json_t *s;

	if (json_is_string(v))
		return json_copy((json_t *)v);
	if (!json_is_number(v) && !json_is_boolean(v))
		return NULL;
	text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	s = json_string(text);
	free(text);
	return s;
}

/* ---- arrays ---- */

static int range(struct gr_jf *j, json_int_t first, json_int_t last, json_int_t step, uint64_t *count, json_t **out)
{
	if (!step || (step > 0) != (last >= first))
		return gr_jf_bad(j, GR_EINVAL, "a range from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT " by %" JSON_INTEGER_FORMAT
				 " is empty", first, last, step);
	*count = (uint64_t)((last - first) / step) + 1;
	j->n_values = 1;
	*out = json_pack("{s:[I, I, I]}", "range", first, last, step);
	return 0;
}

/* "1-100", "0-99:2" */
static int range_text(struct gr_jf *j, const char *s, uint64_t *count, json_t **out)
{
	long long first, last, step = 1;
	int n = 0;

	if ((sscanf(s, "%lld-%lld%n:%lld%n", &first, &last, &n, &step, &n) < 2) || s[n])
		return gr_jf_bad(j, GR_EINVAL, "\"%.60s\" is not a range, e.g. 1-100 or 0-99:2", s);
	return range(j, first, last, step, count, out);
}

static int add_row(struct gr_jf *j, json_t *row)
{
	size_t n = json_array_size(row);

	if (n < 1 || n > GR_JOBFILE_MAX_VALUES) {
		json_decref(row);
		return gr_jf_bad(j, GR_ELIMIT, "%zu values; a task has 1 to %u", n, GR_JOBFILE_MAX_VALUES);
	}
	if (!j->n_rows)
		j->n_values = n;
	if (n < j->n_values)
		j->n_values = n;                /* places are checked against the least */
	json_array_append_new(j->rows, row);
	return ++j->n_rows > MAX_TASKS ? gr_jf_bad(j, GR_ELIMIT, "more than %u tasks", MAX_TASKS) : 0;
}

static int list(struct gr_jf *j, const json_t *v)
{
	size_t i, k;
	json_t *x, *y;
	int rc = 0;

	j->rows = json_array();
	json_array_foreach(v, i, x) {
		size_t was = gr_jf_at(j, i);
		json_t *row = json_array(), *t;

		if (json_is_array(x)) {
			json_array_foreach(x, k, y) {
				t = gr_jf_text_of(y);
				if (!t)
					rc = gr_jf_bad(j, GR_EINVAL, "wants texts and numbers");
				else
					json_array_append_new(row, t);
			}
		} else {
			t = gr_jf_text_of(x);
			if (!t)
				rc = gr_jf_bad(j, GR_EINVAL, "wants a text, a number, or a list of them");
			else
				json_array_append_new(row, t);
		}
		if (rc == 0)
			rc = add_row(j, row);
		else
			json_decref(row);
		gr_jf_out(j, was);
		if (rc < 0)
			return rc;
	}
	return j->n_rows ? 0 : gr_jf_bad(j, GR_EINVAL, "is empty: a task list wants at least one entry");
}

/* Lines of a file; columns split at TAB. */
static int lines(struct gr_jf *j, const char *path)
{
	char *full = gr_inputs_path(j->base, path), *line, *next;
	struct gr_buf text = { 0 };
	struct gr_err e;
	int rc = gr_file_read(full, MAX_LIST_BYTES, &text, &e), n_line = 0;

	free(full);
	if (rc < 0) {
		gr_buf_fini(&text);
		return gr_jf_bad(j, rc, "%s", e.text);
	}
	if (text.n && memchr(text.p, 0, text.n)) {
		gr_buf_fini(&text);
		return gr_jf_bad(j, GR_EINVAL, "%s holds NUL bytes", path);
	}
	j->rows = json_array();
	for (line = (char *)text.p; rc == 0 && line && *line; line = next) {
		json_t *row = json_array();

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		n_line++;
		for (char *col = line, *tab; col && rc == 0; col = tab) {
			json_t *t;

			tab = strchr(col, '\t');
			if (tab)
				*tab++ = 0;
			t = json_string(col);
			if (!t)
				rc = gr_jf_bad(j, GR_EINVAL, "%s:%d: not UTF-8", path, n_line);
			else
				json_array_append_new(row, t);
		}
		rc = rc < 0 ? rc : add_row(j, json_incref(row));
		json_decref(row);
	}
	gr_buf_fini(&text);
	if (rc == 0 && !j->n_rows)
		rc = gr_jf_bad(j, GR_EINVAL, "%s is empty", path);
	return rc;
}

static int globbed(struct gr_jf *j, const char *pattern)
{
	char *full = gr_inputs_path(j->base, pattern);
	size_t skip;
	glob_t g = { 0 };
	int rc = glob(full, GLOB_BRACE, NULL, &g);

	skip = pattern[0] == '/' ? 0 : !strcmp(j->base, "/") ? 1 : strlen(j->base) + 1;
	j->rows = json_array();
	if (rc || !g.gl_pathc)
		rc = gr_jf_bad(j, GR_ENOENT, "%s: no file fits", pattern);
	for (size_t i = 0; rc == 0 && i < g.gl_pathc; i++) {
		json_t *row = json_pack("[s]", g.gl_pathv[i] + skip);

		rc = row ? add_row(j, row) : gr_jf_bad(j, GR_EINVAL, "%s: a name is not UTF-8", pattern);
	}
	globfree(&g);
	free(full);
	return rc;
}

/* {"x": [..], "y": [..]}: all combinations, the last name fastest. */
static int matrix(struct gr_jf *j, const json_t *m, uint64_t *count, json_t **out)
{
	json_t *list_out = json_array(), *v, *x;
	const char *key;
	uint64_t n = 1;
	size_t i;
	int rc = 0;

	json_object_foreach((json_t *)m, key, v) {
		size_t was = gr_jf_in(j, key);
		json_t *values = json_array();

		if (!json_is_array(v) || !json_array_size(v))
			rc = gr_jf_bad(j, GR_EINVAL, "wants a list of values");
		else if (j->n_names == GR_JOBFILE_MAX_VALUES)
			rc = gr_jf_bad(j, GR_ELIMIT, "more than %u names", GR_JOBFILE_MAX_VALUES);
		else if (!*key || strlen(key) > 63 || key[strcspn(key, "{}/. ")])
			rc = gr_jf_bad(j, GR_EINVAL, "a name is 1 to 63 characters without braces, blanks, slashes and dots");
		json_array_foreach(v, i, x) {
			json_t *t = rc < 0 ? NULL : gr_jf_text_of(x);

			if (!t && rc == 0)
				rc = gr_jf_bad(j, GR_EINVAL, "wants texts and numbers");
			if (t)
				json_array_append_new(values, t);
		}
		gr_jf_out(j, was);
		if (rc < 0) {
			json_decref(values);
			json_decref(list_out);
			return rc;
		}
		j->names[j->n_names++] = key;
		n *= json_array_size(values);
		json_array_append_new(list_out, json_pack("[s, o]", key, values));
		if (n > MAX_TASKS) {
			json_decref(list_out);
			return gr_jf_bad(j, GR_ELIMIT, "more than %u combinations", MAX_TASKS);
		}
	}
	if (!j->n_names) {
		json_decref(list_out);
		return gr_jf_bad(j, GR_EINVAL, "wants names with lists of values, e.g. {\"seed\": [1, 2, 3]}");
	}
	j->n_values = j->n_names;
	*count = n;
	*out = json_pack("{s:o}", "matrix", list_out);
	return 0;
}

/* The rows as the coordinator takes them: a list, or a blob of lines when they are many. */
static json_t *rows_json(struct gr_jf *j)
{
	const struct gr_input *x;
	struct gr_buf b = { 0 };
	char hex[GR_DIGEST_HEX];
	size_t i, k;
	json_t *row, *v;

	if (j->n_rows <= INLINE_ROWS)
		return json_pack("{s:O}", "list", j->rows);
	json_array_foreach(j->rows, i, row) {
		json_array_foreach(row, k, v) {
			if (k)
				gr_buf_add_byte(&b, '\t');
			if (strpbrk(json_string_value(v), "\t\n")) {        /* no line can hold it */
				gr_buf_fini(&b);
				return json_pack("{s:O}", "list", j->rows);
			}
			gr_buf_add_str(&b, json_string_value(v));
		}
		gr_buf_add_byte(&b, '\n');
	}
	x = gr_inputs_data(&j->out->inputs, b.p, b.n);
	gr_buf_fini(&b);
	gr_digest_hex(&x->digest, hex);
	return json_pack("{s:s, s:I}", "list_blob", hex, "n", (json_int_t)j->n_rows);
}

int gr_jf_array(struct gr_jf *j, const json_t *v, uint64_t *count, json_t **out)
{
	static const char *const kinds[] = { "range", "list", "file", "glob", "matrix", NULL };
	const json_t *x;
	const char *key = NULL;
	size_t was;
	int rc = 0, n = 0;

	if (json_is_integer(v))
		return json_integer_value(v) < 1 ? gr_jf_bad(j, GR_EINVAL, "wants at least 1 task") :
		       range(j, 0, json_integer_value(v) - 1, 1, count, out);
	if (json_is_string(v))
		return range_text(j, json_string_value(v), count, out);
	if (json_is_array(v)) {
		rc = list(j, v);
	} else if (json_is_object(v)) {
		rc = gr_jf_only(j, v, kinds);
		for (size_t i = 0; kinds[i]; i++)
			if (json_object_get(v, kinds[i])) {
				key = kinds[i];
				n++;
			}
		if (rc == 0 && n != 1)
			rc = gr_jf_bad(j, GR_EINVAL, "wants one of range, list, file, glob and matrix");
		if (rc < 0)
			return rc;
		x = json_object_get(v, key);
		was = gr_jf_in(j, key);
		if (!strcmp(key, "range") && json_is_array(x) && json_array_size(x) >= 2 && json_array_size(x) <= 3)
			rc = range(j, json_integer_value(json_array_get(x, 0)), json_integer_value(json_array_get(x, 1)),
				   json_array_size(x) == 3 ? json_integer_value(json_array_get(x, 2)) : 1, count, out);
		else if (!strcmp(key, "range"))
			rc = json_is_string(x) ? range_text(j, json_string_value(x), count, out) :
			     gr_jf_bad(j, GR_EINVAL, "wants [first, last] or [first, last, step]");
		else if (!strcmp(key, "matrix"))
			rc = json_is_object(x) ? matrix(j, x, count, out) : gr_jf_bad(j, GR_EINVAL, "wants an object of lists");
		else if (!strcmp(key, "list"))
			rc = json_is_array(x) ? list(j, x) : gr_jf_bad(j, GR_EINVAL, "wants a list");
		else if (!json_is_string(x))
			rc = gr_jf_bad(j, GR_EINVAL, "wants a path");
		else
			rc = !strcmp(key, "file") ? lines(j, json_string_value(x)) : globbed(j, json_string_value(x));
		gr_jf_out(j, was);
	} else {
		rc = gr_jf_bad(j, GR_EINVAL, "wants a number, a range \"1-100\", a list, or an object with range, list, file, glob or matrix");
	}
	if (rc < 0)
		return rc;
	if (!*out) {
		*count = j->n_rows;
		*out = rows_json(j);
	}
	return 0;
}

/* ---- values of a task that are known here ---- */

static void combine(struct gr_jf *j, const json_t *m, uint64_t count)
{
	for (uint64_t t = 0; t < count; t++) {
		json_t *row = json_array();
		uint64_t left = t, below = count;

		for (size_t i = 0; i < json_array_size(m); i++) {
			const json_t *values = json_array_get(json_array_get(m, i), 1);

			below /= json_array_size(values);
			json_array_append(row, json_array_get(values, left / below));
			left %= below;
		}
		json_array_append_new(j->rows, row);
	}
}

/* Writes ranges and combinations out, because each task gets a value of its own behind them. */
static int write_out(struct gr_jf *j, json_t *array, uint64_t count)
{
	const json_t *r = json_object_get(array, "range"), *m = json_object_get(array, "matrix");

	if (j->rows)
		return 0;
	if (count > MAX_ROWS)
		return gr_jf_bad(j, GR_ELIMIT, "a file of its own for each of %" PRIu64 " tasks; %u are possible", count, MAX_ROWS);
	j->rows = json_array();
	if (r)
		for (uint64_t t = 0; t < count; t++) {
			char text[24];

			snprintf(text, sizeof(text), "%" PRId64, (int64_t)json_integer_value(json_array_get(r, 0)) +
				 (int64_t)t * (int64_t)json_integer_value(json_array_get(r, 2)));
			json_array_append_new(j->rows, json_pack("[s]", text));
		}
	else if (m)
		combine(j, m, count);
	else
		json_array_append_new(j->rows, json_array());
	j->n_rows = count;
	return 0;
}

/* Looks @word up for each task and puts the digests behind the values. *column: which value it became, from 1. */
static int per_task(struct gr_jf *j, const char *word, json_t **array, uint64_t count, size_t *column)
{
	int rc = write_out(j, *array, count);
	size_t i, k;
	json_t *row, *v;

	json_array_foreach(j->rows, i, row) {
		struct gr_slice values[GR_JOBFILE_MAX_VALUES];
		struct gr_expand_args a = { .values = values, .names = j->n_names ? j->names : NULL, .n_values = j->n_values, .index = i,
					    .total = count };
		const struct gr_input *x;
		struct gr_buf path = { 0 };
		char hex[GR_DIGEST_HEX], *full;
		struct gr_err e;

		json_array_foreach(row, k, v)
			if (k < j->n_values)
				values[k] = gr_slice_str(json_string_value(v));
		rc = rc < 0 ? rc : gr_expand(word, &a, 4096, &path, &e);
		if (rc >= 0) {
			full = gr_inputs_path(j->base, gr_buf_str(&path));
			rc = gr_inputs_file(&j->out->inputs, full, &x, &e);
			free(full);
		}
		gr_buf_fini(&path);
		if (rc < 0)
			return gr_jf_bad(j, rc, "for task %zu: %s", i, e.text);
		gr_digest_hex(&x->digest, hex);
		json_array_append_new(row, json_string(hex));
	}
	if (rc < 0)
		return rc;
	*column = json_array_size(json_array_get(j->rows, 0));
	if (*column > GR_JOBFILE_MAX_VALUES)
		return gr_jf_bad(j, GR_ELIMIT, "more than %u values a task", GR_JOBFILE_MAX_VALUES);
	j->has_hidden = true;
	json_decref(*array);
	*array = rows_json(j);
	return 0;
}

static bool has_place(struct gr_jf *j, const char *word)
{
	size_t n;

	return gr_expand_find(word, 0, j->names, j->n_names, SIZE_MAX, &n, NULL) >= 0;
}

/* ---- inputs ---- */

static const json_t *stage_named(struct gr_jf *j, const char *name)
{
	const json_t *st;
	size_t i;

	json_array_foreach(j->stages, i, st)
		if (!strcmp(json_string_value(json_object_get(st, "name")), name))
			return st;
	return NULL;
}

static int from_task(struct gr_jf *j, const json_t *v, json_t *list_out)
{
	static const char *const known[] = { "from", "output", "each", "as", NULL };
	const char *from = json_string_value(json_object_get(v, "from")), *output = json_string_value(json_object_get(v, "output")),
		   *as = json_string_value(json_object_get(v, "as"));
	bool is_each = json_is_true(json_object_get(v, "each"));
	json_t *x, *path;
	int rc = gr_jf_only(j, v, known);

	if (rc < 0)
		return rc;
	if (!from || !stage_named(j, from))
		return gr_jf_bad(j, GR_EINVAL, "from: \"%.60s\" is no task that stands before this one", from ? from : "");
	if (!as)
		as = is_each && output ? output : from;
	x = json_string(as);
	path = gr_jf_word(j, x);
	json_decref(x);
	if (!path)
		return j->err->code;
	x = json_pack("{s:o, s:{s:s, s:s}}", "path", path, "from", "stage", from, "which", is_each ? "each" : "all");
	if (output) {
		json_t *text = json_string(output), *word = gr_jf_word(j, text);

		json_decref(text);
		if (!word) {
			json_decref(x);
			return j->err->code;
		}
		json_object_set_new(json_object_get(x, "from"), "output", word);
	}
	json_array_append_new(list_out, x);
	return 0;
}

static int one_input(struct gr_jf *j, const json_t *v, json_t *list_out, json_t **array, uint64_t count)
{
	static const char *const known[] = { "file", "text", "as", NULL };
	const char *file = json_is_string(v) ? json_string_value(v) : json_string_value(json_object_get(v, "file")),
		   *as = json_string_value(json_object_get(v, "as")), *text = json_string_value(json_object_get(v, "text"));
	const struct gr_input *x;
	char hex[GR_DIGEST_HEX], blob[32];
	struct gr_err e;
	json_t *word, *path;
	size_t column;
	int rc;

	if (json_is_object(v) && json_object_get(v, "from"))
		return from_task(j, v, list_out);
	if (!json_is_string(v) && !json_is_object(v))
		return gr_jf_bad(j, GR_EINVAL, "wants a path, or an object with file, text or from");
	if (json_is_object(v)) {
		rc = gr_jf_only(j, v, known);
		if (rc < 0)
			return rc;
	}
	if (text) {
		if (!as)
			return gr_jf_bad(j, GR_EINVAL, "text wants \"as\", the file's name");
		x = gr_inputs_data(&j->out->inputs, text, strlen(text));
		gr_digest_hex(&x->digest, hex);
		json_array_append_new(list_out, json_pack("{s:s, s:s, s:I}", "path", as, "blob", hex, "size", (json_int_t)x->size));
		return 0;
	}
	if (!file)
		return gr_jf_bad(j, GR_EINVAL, "wants one of file, text and from");
	if (!has_place(j, file)) {
		rc = gr_inputs_add(&j->out->inputs, j->base, file, as, list_out, &e);
		return rc < 0 ? gr_jf_bad(j, rc, "%s", e.text) : 0;
	}
	rc = per_task(j, file, array, count, &column);
	if (rc < 0)
		return rc;
	word = json_string(as ? as : file);
	path = gr_jf_word(j, word);
	json_decref(word);
	if (!path)
		return j->err->code;
	snprintf(blob, sizeof(blob), "{%zu}", column);
	json_array_append_new(list_out, json_pack("{s:o, s:s}", "path", path, "blob", blob));
	return 0;
}

int gr_jf_inputs(struct gr_jf *j, const json_t *v, json_t *list_out, json_t **array, uint64_t count)
{
	const json_t *x;
	size_t i;
	int rc = 0;

	if (!json_is_array(v))
		return gr_jf_bad(j, GR_EINVAL, "wants a list");
	json_array_foreach(v, i, x) {
		size_t was = gr_jf_at(j, i);

		rc = one_input(j, x, list_out, array, count);
		gr_jf_out(j, was);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int gr_jf_shared_inputs(struct gr_jf *j, const json_t *v, json_t *list_out)
{
	const json_t *x;
	size_t i;

	json_array_foreach(v, i, x) {
		const char *file = json_is_string(x) ? json_string_value(x) : json_string_value(json_object_get(x, "file"));
		size_t was = gr_jf_at(j, i);
		int rc = 0;

		if (json_object_get(x, "from"))
			rc = gr_jf_bad(j, GR_EINVAL, "\"from\" is not for a comparator: it has the results of two copies");
		else if (file && has_place(j, file))
			rc = gr_jf_bad(j, GR_EINVAL, "\"%.60s\": a comparator has the same files for all tasks", file);
		gr_jf_out(j, was);
		if (rc < 0)
			return rc;
	}
	return gr_jf_inputs(j, v, list_out, NULL, 0);
}

int gr_jf_stdin(struct gr_jf *j, const json_t *v, json_t *stage, json_t **array, uint64_t count)
{
	const char *file = json_string_value(v);
	const struct gr_input *x;
	char blob[GR_DIGEST_HEX], *full;
	struct gr_err e;
	size_t column;
	int rc;

	if (!file)
		return gr_jf_bad(j, GR_EINVAL, "wants a path");
	if (has_place(j, file)) {
		rc = per_task(j, file, array, count, &column);
		if (rc < 0)
			return rc;
		snprintf(blob, sizeof(blob), "{%zu}", column);
	} else {
		full = gr_inputs_path(j->base, file);
		rc = gr_inputs_file(&j->out->inputs, full, &x, &e);
		free(full);
		if (rc < 0)
			return gr_jf_bad(j, rc, "%s", e.text);
		gr_digest_hex(&x->digest, blob);
	}
	json_object_set_new(stage, "stdin", json_pack("{s:s}", "blob", blob));
	return 0;
}
