/* jobfile_task.c - members of a task in a job file, a table with one converter a row */
#include "client/job/jobfile_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/job/shell.h"
#include "lib/base/alloc.h"

static const char *to(const struct gr_jf_member *m) { return m->to ? m->to : m->name; }

static int pass(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	(void)j;
	json_object_set(out, to(m), (json_t *)v);
	return 0;
}

int gr_jf_skip(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	(void)j, (void)v, (void)out, (void)m;
	return 0;                           /* taken elsewhere */
}

int gr_jf_text(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	if (!json_is_string(v) || !json_string_length(v))
		return gr_jf_bad_value(j, v, "no text");
	return pass(j, v, out, m);
}

int gr_jf_bool(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	return json_is_boolean(v) ? pass(j, v, out, m) : gr_jf_bad_value(j, v, "neither true nor false");
}

int gr_jf_int(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	char what[80];

	snprintf(what, sizeof(what), "no whole number from %" PRId64 " to %" PRId64, m->min, m->max);
	return json_is_integer(v) && json_integer_value(v) >= m->min && json_integer_value(v) <= m->max ? pass(j, v, out, m) :
	       gr_jf_bad_value(j, v, what);
}

static int m_bytes(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	uint64_t n;

	if (!gr_jobfile_bytes(v, &n))
		return gr_jf_bad_value(j, v, "not a size, e.g. 512M");
	json_object_set_new(out, to(m), json_integer((json_int_t)n));
	return 0;
}

int gr_jf_ms(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	uint64_t ms;

	if (!gr_jobfile_ms(v, &ms))
		return gr_jf_bad_value(j, v, "not a time, e.g. \"90s\" or \"1h30m\"");
	json_object_set_new(out, to(m), json_integer((json_int_t)ms));
	return 0;
}

static int m_milli(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	uint32_t n;

	if (!gr_jobfile_milli(v, &n))
		return gr_jf_bad_value(j, v, "not a number of them, e.g. 2 or 0.5");
	json_object_set_new(out, to(m), json_integer(n));
	return 0;
}

static int m_ints(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	json_t *x;
	size_t i;

	if (json_is_integer(v)) {
		json_object_set_new(out, to(m), json_pack("[O]", v));
		return 0;
	}
	if (!json_is_array(v))
		return gr_jf_bad_value(j, v, "no list of exit codes");
	json_array_foreach(v, i, x)
		if (!json_is_integer(x) || json_integer_value(x) < 0 || json_integer_value(x) > 255)
			return gr_jf_bad_value(j, x, "no exit code from 0 to 255");
	return pass(j, v, out, m);
}

/* Members of an object by their table. */
int gr_jf_members(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *table, size_t n)
{
	const char *known[40], *key;
	json_t *x;
	int rc;

	if (!json_is_object(v))
		return gr_jf_bad_value(j, v, "no object");
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

static int below(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m, const struct gr_jf_member *table, size_t n)
{
	json_t *o = json_object();
	int rc = gr_jf_members(j, v, o, table, n);

	json_object_set_new(out, to(m), o);
	return rc;
}

static int m_resources(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	static const struct gr_jf_member table[] = {
		{ "cpus", m_milli, "cpu_mcpu", 0, 0 }, { "mem", m_bytes, "mem_bytes", 0, 0 }, { "disk", m_bytes, "disk_bytes", 0, 0 },
		{ "gpus", m_milli, "gpu_milli", 0, 0 },
	};

	return below(j, v, out, m, table, GR_LEN(table));
}

static int m_retry(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	static const struct gr_jf_member table[] = {
		{ "max", gr_jf_int, NULL, 0, 1000 }, { "on", pass, NULL, 0, 0 }, { "exit_codes", m_ints, NULL, 0, 0 },
		{ "never", m_ints, "never_codes", 0, 0 }, { "backoff", gr_jf_ms, "backoff_ms", 0, 0 }, { "backoff_max", gr_jf_ms, "backoff_max_ms", 0, 0 },
	};
	json_t *o;
	int rc;

	if (json_is_integer(v)) {           /* "retry": 3 means: whatever went wrong, three times more */
		rc = gr_jf_int(j, v, out, &(struct gr_jf_member){ .name = "max", .min = 0, .max = 1000 });
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

static int m_checkpoint(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	static const struct gr_jf_member table[] = { { "exit_code", gr_jf_int, NULL, 1, 255 }, { "dir", gr_jf_text, NULL, 0, 0 } };

	return below(j, v, out, m, table, GR_LEN(table));
}

static int m_spread(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	static const struct gr_jf_member table[] = {
		{ "by", gr_jf_text, NULL, 0, 0 }, { "max", gr_jf_int, NULL, 1, 1000000 }, { "soft", gr_jf_bool, NULL, 0, 0 },
	};

	return below(j, v, out, m, table, GR_LEN(table));
}

/* {"arch": "x86_64", "zone": ["a", "b"], "gpu": true, "slow": false}, or the list of terms itself. */
static int m_constraints(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	json_t *terms, *x;
	const char *key;

	if (json_is_array(v))
		return pass(j, v, out, m);
	if (!json_is_object(v))
		return gr_jf_bad_value(j, v, "no object of labels");
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
			int rc = gr_jf_bad_value(j, x, "neither a value, a list of values, true (has the label) nor false");

			gr_jf_out(j, was);
			return rc;
		}
	}
	return 0;
}

static int m_after(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
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
			rc = gr_jf_bad_value(j, x, "no task that stands before this one");
		if (rc == 0)
			json_array_append_new(list, json_pack("{s:s, s:b}", "stage", name, "each", json_is_true(json_object_get(x, "each"))));
		gr_jf_out(j, was);
		if (rc < 0)
			break;
	}
	json_decref(all);
	return rc;
}

static int m_command(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	json_t *argv, *x, *word;
	struct gr_err e;
	size_t i;

	if (json_is_string(v)) {
		json_t *written = json_string_length(v) ? gr_jf_written(j, json_string_value(v)) : NULL;

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
		return gr_jf_bad_value(j, v, "neither a command line nor a list of words");
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

static int m_word(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	json_t *word = gr_jf_word(j, v);

	if (!word)
		return j->err->code;
	json_object_set_new(out, to(m), word);
	return 0;
}

static int m_env(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	json_t *o = json_object(), *x, *word;
	const char *key;

	json_object_set_new(out, to(m), o);
	if (!json_is_object(v))
		return gr_jf_bad_value(j, v, "no object of names and texts");
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

static int m_shared_inputs(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	json_t *list = json_array();

	json_object_set_new(out, to(m), list);
	return gr_jf_shared_inputs(j, v, list);
}

/* Paths that are compared by their bytes, or a command that compares two results. */
static int m_compare(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	static const struct gr_jf_member table[] = {
		{ "command", m_command, "argv", 0, 0 }, { "env", m_env, NULL, 0, 0 }, { "cwd", m_word, NULL, 0, 0 },
		{ "inputs", m_shared_inputs, NULL, 0, 0 }, { "paths", pass, NULL, 0, 0 }, { "resources", m_resources, NULL, 0, 0 },
		{ "constraints", m_constraints, NULL, 0, 0 }, { "timeout", gr_jf_ms, "timeout_ms", 0, 0 }, { "retries", gr_jf_int, NULL, 0, 100 },
		{ "network", gr_jf_bool, NULL, 0, 0 }, { "mem_limit", m_bytes, "mem_limit_bytes", 0, 0 },
		{ "output_cap", m_bytes, "output_cap_bytes", 0, 0 },
	};

	if (json_is_array(v))
		return pass(j, v, out, m);
	if (json_is_object(v) && !json_object_get(v, "command"))
		return gr_jf_bad(j, GR_EINVAL, "wants a \"command\" that compares a/ with b/, or a list of paths");
	return json_is_object(v) ? below(j, v, out, m, table, GR_LEN(table)) : gr_jf_bad_value(j, v, "neither a list of paths nor an object with a command");
}

static int m_quorum(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	static const struct gr_jf_member table[] = {
		{ "replicas", gr_jf_int, NULL, 1, 8 }, { "min", gr_jf_int, NULL, 1, 8 }, { "trust", gr_jf_bool, NULL, 0, 0 }, { "compare", m_compare, NULL, 0, 0 },
		{ "same", gr_jf_text, NULL, 0, 0 },
	};

	return below(j, v, out, m, table, GR_LEN(table));
}

static int m_outputs(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m)
{
	static const char *const known[] = { "path", "required", NULL };
	json_t *list = json_array(), *x, *word;
	size_t i;
	int rc = 0;

	json_object_set_new(out, to(m), list);
	if (!json_is_array(v))
		return gr_jf_bad_value(j, v, "no list of paths");
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

const struct gr_jf_member gr_jf_task_members[] = {
	{ "name", gr_jf_text, NULL, 0, 0 }, { "after", m_after, NULL, 0, 0 }, { "array", gr_jf_skip, NULL, 0, 0 }, { "inputs", gr_jf_skip, NULL, 0, 0 },
	{ "stdin", gr_jf_skip, NULL, 0, 0 }, { "command", m_command, "argv", 0, 0 }, { "env", m_env, NULL, 0, 0 }, { "cwd", m_word, NULL, 0, 0 },
	{ "outputs", m_outputs, NULL, 0, 0 }, { "resources", m_resources, NULL, 0, 0 }, { "constraints", m_constraints, NULL, 0, 0 },
	{ "prefer", pass, NULL, 0, 0 }, { "spread", m_spread, NULL, 0, 0 }, { "timeout", gr_jf_ms, "timeout_ms", 0, 0 },
	{ "time_left", gr_jf_ms, "left_ms", 0, 0 }, { "retry", m_retry, NULL, 0, 0 }, { "checkpoint", m_checkpoint, NULL, 0, 0 },
	{ "gang", gr_jf_bool, NULL, 0, 0 }, { "rerunnable", gr_jf_bool, NULL, 0, 0 },
	 { "quorum", m_quorum, NULL, 0, 0 }, { "network", gr_jf_bool, NULL, 0, 0 },
	{ "mem_limit", m_bytes, "mem_limit_bytes", 0, 0 }, { "output_cap", m_bytes, "output_cap_bytes", 0, 0 }, { "secrets", pass, NULL, 0, 0 },
};

const size_t gr_jf_n_task_members = GR_LEN(gr_jf_task_members);
