/* jobfile.c - see jobfile.h. A table of members for the file and one for a task; each row converts one member. What the
 * coordinator knows better (do the stages fit together) is left to gr_spec_parse, which runs behind this. */
#include "client/job/jobfile_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/job/expand.h"

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
		rc = gr_jf_members(j, task, stage, gr_jf_task_members, gr_jf_n_task_members);
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

static int m_deadline(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	uint64_t ms;

	if (json_is_integer(v) && json_integer_value(v) > 0) {
		json_object_set(out, m->to, (json_t *)v);
		return 0;
	}
	if (!gr_jobfile_ms(v, &ms))
		return gr_jf_bad_value(j, v, "neither a time from now, e.g. \"2h\", nor milliseconds since 1970");
	json_object_set_new(out, m->to, json_integer((json_int_t)(j->now_ms + ms)));
	return 0;
}

static int m_stop(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
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
		return gr_jf_bad_value(j, v, "neither a number of failed tasks nor a share of them, e.g. \"10%\"");
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
static int m_secrets(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	static const char *const known[] = { "file", "env", NULL };
	const char *key;
	json_t *x;
	int rc = 0;

	(void)out, (void)m;
	if (!json_is_object(v))
		return gr_jf_bad_value(j, v, "no object of names, e.g. {\"token\": {\"file\": \"token.txt\"}}");
	j->out->secrets = json_object();
	json_object_foreach((json_t *)v, key, x) {
		const char *file = json_string_value(json_object_get(x, "file")), *env = json_string_value(json_object_get(x, "env")), *value;
		struct gr_buf text = { 0 }, b64 = { 0 };
		size_t was = gr_jf_in(j, key);
		struct gr_err e;
		char *full;

		rc = json_is_object(x) ? gr_jf_only(j, x, known) : gr_jf_bad_value(j, x, "no object with file or env");
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

static const struct gr_jf_member file_members[] = {
	{ "$schema", gr_jf_skip, NULL, 0, 0 }, { "description", gr_jf_skip, NULL, 0, 0 }, { "name", gr_jf_text, NULL, 0, 0 },
	{ "tenant", gr_jf_text, NULL, 0, 0 },
	{ "weight", gr_jf_int, NULL, 1, 1000000 }, { "priority", gr_jf_int, NULL, -15, 15 }, { "idle", gr_jf_bool, NULL, 0, 0 },
	{ "stop_after_failures", m_stop, NULL, 0, 0 }, { "deadline", m_deadline, "deadline_ms", 0, 0 }, { "keep", gr_jf_ms, "keep_ms", 0, 0 },
	{ "keep_logs", gr_jf_text, NULL, 0, 0 }, { "secrets", m_secrets, NULL, 0, 0 },
	{ "defaults", gr_jf_skip, NULL, 0, 0 }, { "tasks", gr_jf_skip, NULL, 0, 0 },
};

static bool is_task_member(const char *key)
{
	for (size_t i = 0; i < gr_jf_n_task_members; i++)
		if (!strcmp(gr_jf_task_members[i].name, key) && strcmp(key, "name") && strcmp(key, "secrets"))
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
	const char *known[GR_LEN(file_members) + GR_JF_MAX_MEMBERS], *key;
	size_t n = 0, i;
	json_t *v;

	for (i = 0; i < GR_LEN(file_members); i++)
		known[n++] = file_members[i].name;
	for (i = 0; i < gr_jf_n_task_members; i++)
		known[n++] = gr_jf_task_members[i].name;
	json_object_foreach((json_t *)file, key, v) {
		for (i = 0; i < n && strcmp(known[i], key); i++)
			;
		if (i < GR_LEN(file_members) || (i < n && !has_tasks))
			continue;
		if (i < n)
			return gr_jf_bad(j, GR_EINVAL, "\"%s\" belongs to a task: put it into one, or into \"defaults\" for all", key);
		return gr_jf_unknown(j, key, known, n);
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
		rc = gr_jf_members(j, rest, j->out->spec, file_members, GR_LEN(file_members));
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
				rc = gr_jf_bad_value(j, t, "no object");
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
