/* map_values.c - see map_values.h. Lines are slices of what was read: a million of them cost no copies, and travel as one file. */
#include "client/job/map_values.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define MAX_BYTES (1u << 30)
#define MAX_TASKS (1u << 24)
#define MAX_SOURCES 16
#define MANY 2000u

struct source {
	struct gr_slice *values;
	size_t n, cap;
	bool is_linked;                     /* :::+ */
};

static void add_value(struct gr_map_values *v, struct gr_slice s)
{
	GR_GROW(v->flat, v->cap_flat, v->n_flat + 1);
	v->flat[v->n_flat++] = s;
}

static int end_row(struct gr_map_values *v, struct gr_err *err)
{
	if (v->n_tasks >= MAX_TASKS)
		return gr_err_set(err, GR_ELIMIT, "more than %u tasks", MAX_TASKS);
	GR_GROW(v->ends, v->cap_ends, v->n_tasks + 1);
	v->ends[v->n_tasks++] = v->n_flat;
	return 0;
}

static void split(struct gr_map_values *v, struct gr_slice line)
{
	const uint8_t *p = line.p, *end = p + line.n, *tab;

	if (!v->o.splits_columns) {
		add_value(v, line);
		return;
	}
	for (size_t n = 1; n < 64 && (tab = memchr(p, '\t', (size_t)(end - p))); n++) {
		add_value(v, gr_slice(p, (size_t)(tab - p)));
		p = tab + 1;
	}
	add_value(v, gr_slice(p, (size_t)(end - p)));
}

/* ---- standard input ---- */

static int read_lines(struct gr_map_values *v, struct gr_err *err)
{
	const uint8_t *p = v->text.p, *end = p + v->text.n, *stop;
	char sep = v->o.at_nul ? 0 : '\n';
	size_t in_row = 0;
	int rc = 0;

	v->is_plain_lines = !v->o.at_nul && v->o.n_args == 1 && (v->o.splits_columns || !memchr(p, '\t', v->text.n));
	for (; rc == 0 && p < end; p = stop + 1) {
		stop = memchr(p, sep, (size_t)(end - p));
		if (!stop)
			stop = end;
		if (!v->o.at_nul && memchr(p, 0, (size_t)(stop - p)))
			return gr_err_set(err, GR_EINVAL, "line %llu of standard input holds a NUL; --null ends values there",
					  (unsigned long long)v->n_tasks + 1);
		split(v, gr_slice(p, (size_t)(stop - p)));
		if (++in_row < v->o.n_args)
			continue;
		in_row = 0;
		rc = end_row(v, err);
	}
	return rc == 0 && in_row ? end_row(v, err) : rc;
}

static int read_blocks(struct gr_map_values *v, struct gr_err *err)
{
	const uint8_t *p = v->text.p, *end = p + v->text.n, *stop;
	int rc = 0;

	while (rc == 0 && p < end) {
		stop = (uint64_t)(end - p) > v->o.block_bytes ? p + v->o.block_bytes : end;
		if (stop < end) {               /* to the end of a line: back, else on */
			const uint8_t *back = memrchr(p, '\n', (size_t)(stop - p)), *on = memchr(stop, '\n', (size_t)(end - stop));

			stop = back ? back + 1 : on ? on + 1 : end;
		}
		add_value(v, gr_slice(p, (size_t)(stop - p)));
		rc = end_row(v, err);
		p = stop;
	}
	return rc;
}

static int read_stdin(struct gr_map_values *v, struct gr_err *err)
{
	int rc;

	if (isatty(0))
		return gr_err_set(err, GR_EUSAGE, "values come from standard input, which is a terminal: give them behind ::: or pipe them in");
	rc = gr_file_read_fd(0, MAX_BYTES, &v->text);
	if (rc < 0)
		return gr_err_set(err, rc, "standard input: %s", rc == GR_ELIMIT ? "more than 1 GiB" : gr_err_text(rc));
	if (!v->text.n)
		return 0;
	return v->o.is_pipe ? read_blocks(v, err) : read_lines(v, err);
}

/* ---- ::: ---- */

/* 0 none, 1 :::, 2 :::+, 3 ::::, 4 ::::+ */
static int mark_of(const char *word)
{
	static const char *const marks[] = { ":::", ":::+", "::::", "::::+" };

	for (int i = 0; i < 4; i++)
		if (!strcmp(word, marks[i]))
			return i + 1;
	return 0;
}

static int add_file(struct gr_map_values *v, struct source *s, const char *path, struct gr_err *err)
{
	struct gr_buf *b = &v->files[v->n_files];
	size_t at = 0, len;
	int rc;

	if (v->n_files == GR_MAP_MAX_FILES)
		return gr_err_set(err, GR_ELIMIT, "%s: more than %u files of values", path, GR_MAP_MAX_FILES);
	v->n_files++;
	rc = strcmp(path, "-") ? gr_file_read(path, MAX_BYTES, b, err) : gr_file_read_fd(0, MAX_BYTES, b);
	if (rc < 0)
		return rc;
	for (; at < b->n; at += len + 1) {
		const uint8_t *nl = memchr(b->p + at, '\n', b->n - at);

		len = nl ? (size_t)(nl - b->p) - at : b->n - at;
		GR_GROW(s->values, s->cap, s->n + 1);
		s->values[s->n++] = gr_slice(b->p + at, len);
	}
	return 0;
}

static int read_sources(struct gr_map_values *v, struct source *s, int *n_sources, char **words, int n, int from, struct gr_err *err)
{
	int rc = 0, i_source = -1, mark = 0;

	for (int i = from; rc >= 0 && i < n; i++) {
		int m = mark_of(words[i]);

		if (m) {
			if (++i_source == MAX_SOURCES)
				return gr_err_set(err, GR_ELIMIT, "more than %d lists", MAX_SOURCES);
			mark = m;
			s[i_source].is_linked = m == 2 || m == 4;
			if (s[i_source].is_linked && !i_source)
				return gr_err_set(err, GR_EUSAGE, "%s: there is no list before it to go along with", words[i]);
			continue;
		}
		if (mark > 2) {
			rc = add_file(v, &s[i_source], words[i], err);
			continue;
		}
		GR_GROW(s[i_source].values, s[i_source].cap, s[i_source].n + 1);
		s[i_source].values[s[i_source].n++] = gr_slice_str(words[i]);
	}
	*n_sources = i_source + 1;
	for (int i = 0; rc >= 0 && i <= i_source; i++)
		if (!s[i].n)
			return gr_err_set(err, GR_EUSAGE, "list %d behind ::: has no values", i + 1);
	return rc;
}

/* All combinations, the last list fastest; a linked list turns with the one it is linked to, over and over when shorter. */
static int combine(struct gr_map_values *v, struct source *s, int n, struct gr_err *err)
{
	size_t at[MAX_SOURCES] = { 0 };
	size_t in_row = 0;

	for (;;) {
		int k = n - 1, rc = 0;

		for (int i = 0; i < n; i++)
			split(v, s[i].values[at[i] % s[i].n]);
		if (++in_row == v->o.n_args) {
			in_row = 0;
			rc = end_row(v, err);
			if (rc < 0)
				return rc;
		}
		for (;;) {                      /* the next combination: turn the last wheel, carry to those before */
			int head, longest;

			for (head = k; head > 0 && s[head].is_linked; head--)
				;
			for (longest = head; k >= head; k--) {
				at[k]++;
				if (s[k].n > s[longest].n)
					longest = k;
			}
			if (at[longest] < s[longest].n)
				break;
			for (int i = head; i < n && (i == head || s[i].is_linked); i++)
				at[i] = 0;
			if (!head)
				return in_row ? end_row(v, err) : 0;
			k = head - 1;
		}
	}
}

int gr_map_values_read(struct gr_map_values *v, const struct gr_map_values_opts *o, char **words, int *n_words, struct gr_err *err)
{
	struct source s[MAX_SOURCES] = { { 0 } };
	int from = 0, n_sources = 0, rc;

	v->o = *o;
	while (from < *n_words && !mark_of(words[from]))
		from++;
	if (from == *n_words)
		return read_stdin(v, err);
	if (o->is_pipe)
		return gr_err_set(err, GR_EUSAGE, "--pipe reads standard input; it takes no lists behind %s", words[from]);
	rc = read_sources(v, s, &n_sources, words, *n_words, from, err);
	*n_words = from;
	if (rc >= 0)
		rc = combine(v, s, n_sources, err);
	for (int i = 0; i < MAX_SOURCES; i++)
		free(s[i].values);
	return rc;
}

size_t gr_map_values_of(const struct gr_map_values *v, uint64_t t, struct gr_slice out[64])
{
	size_t from = t ? v->ends[t - 1] : 0, n = v->ends[t] - from;

	n = n > 64 ? 64 : n;
	memcpy(out, v->flat + from, n * sizeof(*out));
	return n;
}

static int row_json(const struct gr_map_values *v, uint64_t t, json_t *list, struct gr_err *err)
{
	struct gr_slice values[64];
	size_t n = gr_map_values_of(v, t, values);
	json_t *row = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *s = json_stringn((const char *)values[i].p, values[i].n);

		if (json_array_append_new(row, s) < 0) {
			json_decref(row);
			return gr_err_set(err, GR_EINVAL, "value %" PRIu64 " is not UTF-8", t + 1);
		}
	}
	json_array_append_new(list, row);
	return 0;
}

static bool is_utf8(const struct gr_map_values *v)
{
	json_t *s = json_stringn((const char *)v->text.p, v->text.n);

	json_decref(s);
	return s != NULL;
}

/* As one file of lines, for many or when JSON cannot hold them; not when each task has a file of its own, which wants the values one by one. */
static bool travels_as_text(const struct gr_map_values *v, const json_t *inputs)
{
	const json_t *x;
	size_t i;

	json_array_foreach(inputs, i, x)
		if (json_is_string(x) && strchr(json_string_value(x), '{'))
			return false;
	return v->is_plain_lines && (v->n_tasks > MANY || !is_utf8(v));
}

int gr_map_values_into(struct gr_map_values *v, json_t *file, struct gr_err *err)
{
	json_t *list = json_array();
	int rc = 0;

	v->is_one_file = travels_as_text(v, json_object_get(file, "inputs"));
	/* a block's values are the digests, which only seal knows */
	if (v->o.is_pipe || v->is_one_file) {
		json_t *row = json_array();

		for (size_t i = 0; i < (v->o.is_pipe ? 1 : v->ends[0]); i++)
			json_array_append_new(row, json_string(v->o.is_pipe ? "" : "x"));
		json_array_append_new(list, row);
	}
	for (uint64_t t = 0; rc == 0 && !v->o.is_pipe && !v->is_one_file && t < v->n_tasks; t++)
		rc = row_json(v, t, list, err);
	json_object_set_new(file, "array", list);
	return rc;
}

void gr_map_values_seal(const struct gr_map_values *v, struct gr_jobfile *f)
{
	json_t *stage = json_array_get(json_object_get(f->spec, "stages"), 0), *list;
	const struct gr_input *x;
	char hex[GR_DIGEST_HEX];

	if (v->o.is_pipe) {
		list = json_array();
		for (uint64_t t = 0; t < v->n_tasks; t++) {
			x = gr_inputs_data(&f->inputs, v->flat[t].p, v->flat[t].n);
			gr_digest_hex(&x->digest, hex);
			json_array_append_new(list, json_pack("[s]", hex));
		}
		json_object_set_new(stage, "array", json_pack("{s:o}", "list", list));
		json_object_set_new(stage, "stdin", json_pack("{s:s}", "blob", "{1}"));
	} else if (v->is_one_file) {
		struct gr_buf b = { 0 };

		gr_buf_add(&b, v->text.p, v->text.n);
		if (b.p[b.n - 1] != '\n')
			gr_buf_add_byte(&b, '\n');
		x = gr_inputs_data(&f->inputs, b.p, b.n);
		gr_buf_fini(&b);
		gr_digest_hex(&x->digest, hex);
		json_object_set_new(stage, "array", json_pack("{s:s, s:I}", "list_blob", hex, "n", (json_int_t)v->n_tasks));
	} else {
		return;
	}
	f->n_tasks = v->n_tasks;
}

void gr_map_values_fini(struct gr_map_values *v)
{
	gr_buf_fini(&v->text);
	for (size_t i = 0; i < v->n_files; i++)
		gr_buf_fini(&v->files[i]);
	free(v->flat);
	free(v->ends);
}
