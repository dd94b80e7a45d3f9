/* spec_array.c - the array of a stage: a range, a list, a matrix or a file's lines; and the values of a task of it */
#include "lib/job/spec_int.h"

#include <inttypes.h>
#include <string.h>

static void count_is(struct gr_rd *r, struct gr_stage *st, uint64_t n)
{
	if (n < 1 || n > GR_SPEC_MAX_TASKS)
		gr_rd_bad(r, n ? GR_ELIMIT : GR_EINVAL, "has %" PRIu64 " tasks; 1 to %u are possible", n, GR_SPEC_MAX_TASKS);
	st->count = (uint32_t)n;
}

static void read_range(struct gr_rd *r, struct gr_stage *st, const json_t *a)
{
	int64_t v[3] = { 0, 0, 1 };

	if (json_array_size(a) < 2 || json_array_size(a) > 3)
		gr_rd_bad(r, GR_EINVAL, "must be [first, last] or [first, last, step]");
	for (size_t i = 0; i < 3 && i < json_array_size(a); i++) {
		const json_t *x = json_array_get(a, i);

		if (!json_is_integer(x) || json_integer_value(x) > 1ll << 53 || json_integer_value(x) < -(1ll << 53))
			gr_rd_bad(r, GR_EINVAL, "must hold whole numbers");
		v[i] = json_integer_value(x);
	}
	if (r->rc < 0)
		return;
	if (!v[2] || (v[2] > 0) != (v[1] >= v[0])) {
		if (v[0] != v[1] || !v[2]) {
			gr_rd_bad(r, GR_EINVAL, "never comes from %" PRId64 " to %" PRId64 " by steps of %" PRId64, v[0], v[1], v[2]);
			return;
		}
	}
	st->range_first = v[0];
	st->range_step = v[2];
	count_is(r, st, v[2] > 0 ? (uint64_t)((v[1] - v[0]) / v[2]) + 1 : (uint64_t)((v[0] - v[1]) / -v[2]) + 1);
}

static void check_value(struct gr_rd *r, const json_t *v)
{
	const json_t *x;
	size_t i, at;

	if (!json_is_array(v)) {
		gr_rd_is_text(r, v, 65536);
		return;
	}
	if (json_array_size(v) > GR_SPEC_MAX_VALUES)
		gr_rd_bad(r, GR_ELIMIT, "has more than %u values", GR_SPEC_MAX_VALUES);
	json_array_foreach(v, i, x) {
		at = gr_rd_at(r, i);
		gr_rd_is_text(r, x, 65536);
		gr_rd_out(r, at);
	}
}

static void read_matrix(struct gr_rd *r, struct gr_stage *st, const json_t *a)
{
	const json_t *axis, *v;
	uint64_t n = 1;
	size_t i, k, at;

	if (!json_is_array(a) || !json_array_size(a) || json_array_size(a) > GR_SPEC_MAX_VALUES) {
		gr_rd_bad(r, GR_EINVAL, "must be a list of 1 to %u [name, [values]]", GR_SPEC_MAX_VALUES);
		return;
	}
	json_array_foreach(a, i, axis) {
		const json_t *values = json_array_get(axis, 1);

		at = gr_rd_at(r, i);
		if (json_array_size(axis) != 2 || !json_is_string(json_array_get(axis, 0)) || !json_is_array(values) || !json_array_size(values))
			gr_rd_bad(r, GR_EINVAL, "must be [name, [values]]");
		else if (!gr_rd_is_name(json_string_value(json_array_get(axis, 0))))
			gr_rd_bad(r, GR_EINVAL, "its name may hold letters, digits, '.', '_' and '-'");
		else
			json_array_foreach(values, k, v)
				gr_rd_is_text(r, v, 65536);
		if (r->rc >= 0 && n <= GR_SPEC_MAX_TASKS)
			n *= json_array_size(values);
		gr_rd_out(r, at);
	}
	if (r->rc >= 0)
		count_is(r, st, n);
}

void gr_spec__read_array(struct gr_rd *r, struct gr_stage *st)
{
	static const char *const known[] = { "range", "list", "list_blob", "n", "matrix", NULL };
	const json_t *a = json_object_get(st->json, "array"), *v;
	size_t was = gr_rd_in(r, "array"), in, i, at;
	const char *key = "";

	st->count = 1;
	if (!a)
		goto out;
	gr_rd_only(r, a, known);
	if (!!json_object_get(a, "range") + !!json_object_get(a, "list") + !!json_object_get(a, "list_blob") + !!json_object_get(a, "matrix") != 1)
		gr_rd_bad(r, GR_EINVAL, "one of \"range\", \"list\", \"list_blob\" and \"matrix\" is wanted");
	if (r->rc < 0)
		goto out;
	if ((v = json_object_get(a, key = "range"))) {
		st->array = GR_ARRAY_RANGE;
		in = gr_rd_in(r, key);
		read_range(r, st, v);
		gr_rd_out(r, in);
	} else if (gr_rd_list(r, a, key = "list", GR_SPEC_MAX_TASKS)) {
		st->array = GR_ARRAY_LIST;
		st->list = json_object_get(a, key);
		in = gr_rd_in(r, key);
		count_is(r, st, json_array_size(st->list));
		json_array_foreach(st->list, i, v) {
			at = gr_rd_at(r, i);
			check_value(r, v);
			gr_rd_out(r, at);
		}
		gr_rd_out(r, in);
	} else if ((v = json_object_get(a, key = "matrix"))) {
		st->array = GR_ARRAY_MATRIX;
		st->list = v;
		in = gr_rd_in(r, key);
		read_matrix(r, st, v);
		gr_rd_out(r, in);
	} else if ((v = json_object_get(a, key = "list_blob"))) {
		st->array = GR_ARRAY_LIST_BLOB;
		if (!json_is_string(v) || gr_digest_parse(json_string_value(v), &st->list_blob) < 0)
			gr_rd_bad(r, GR_EINVAL, "\"list_blob\" must be a digest");
		count_is(r, st, (uint64_t)gr_rd_num(r, a, "n", 0, 1, GR_SPEC_MAX_TASKS));
	}
out:
	gr_rd_out(r, was);
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
		gr_buf_add_int(buf, st->range_first + (int64_t)index * st->range_step);
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
