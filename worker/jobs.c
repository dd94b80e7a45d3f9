/*
 * jobs.c - what a job is: its stages' templates, from the SPEC that travels once a connection
 *
 * The coordinator has checked it already; here only the form is, so that nothing of another shape is ever used. The texts
 * stay in the JSON and are pointed to. A SPEC for a job that is known is the same one again (a new connection), and is
 * dropped while commands point into the old.
 */
#include "worker/command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"

#define MAX_STAGES 4096u
#define MAX_WORDS 16384u
#define MAX_FILES 65536u
#define SPEC_BYTES (16u << 20)

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? s : NULL;
}

static uint64_t number(const json_t *o, const char *key, uint64_t none)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) && json_integer_value(v) >= 0 ? (uint64_t)json_integer_value(v) : none;
}

static bool take_argv(struct gr_wstage *s, const json_t *o)
{
	const json_t *list = json_object_get(o, "argv"), *v;
	size_t i, n = json_array_size(list);

	if (!n || n > MAX_WORDS)
		return false;
	s->argv = gr_xalloc((n + 1) * sizeof(*s->argv));
	json_array_foreach(list, i, v) {
		s->argv[i] = json_string_value(v);
		if (!s->argv[i])
			return false;
	}
	s->n_argv = (uint32_t)n;
	return true;
}

static bool take_env(struct gr_wstage *s, json_t *o)
{
	json_t *env = json_object_get(o, "env"), *v;
	size_t n = json_object_size(env);
	const char *key;

	if (n > MAX_WORDS)
		return false;
	s->env_names = gr_xalloc((n + 1) * sizeof(*s->env_names));
	s->env_values = gr_xalloc((n + 1) * sizeof(*s->env_values));
	json_object_foreach(env, key, v) {
		if (!json_is_string(v) || !*key || strchr(key, '='))
			return false;
		s->env_names[s->n_env] = key;
		s->env_values[s->n_env++] = json_string_value(v);
	}
	return true;
}

/* Inputs "from" other tasks come with each command. */
static bool take_inputs(struct gr_wstage *s, const json_t *o)
{
	const json_t *list = json_object_get(o, "inputs"), *v;
	size_t i, n = json_array_size(list);

	if (n > MAX_FILES)
		return false;
	s->inputs = gr_xalloc((n + 1) * sizeof(*s->inputs));
	json_array_foreach(list, i, v) {
		struct gr_wfile *f = &s->inputs[s->n_inputs];

		if (json_object_get(v, "from"))
			continue;
		f->path = text(v, "path");
		f->blob = text(v, "blob");
		f->target = text(v, "link");
		f->kind = f->blob ? GR_FILES_REG : f->target ? GR_FILES_LINK : GR_FILES_DIR;
		f->mode = (unsigned)number(v, "mode", f->kind == GR_FILES_DIR ? 0755 : 0644);
		if (!f->path || (f->kind == GR_FILES_DIR && !json_is_true(json_object_get(v, "dir"))))
			return false;
		s->n_inputs++;
	}
	return true;
}

static bool take_outputs(struct gr_wstage *s, const json_t *o)
{
	const json_t *list = json_object_get(o, "outputs"), *v;
	size_t i, n = json_array_size(list);

	if (n >= GR_WIRE_CHECKPOINT)
		return false;
	s->outputs = gr_xalloc((n + 1) * sizeof(*s->outputs));
	json_array_foreach(list, i, v) {
		struct gr_wfile *f = &s->outputs[s->n_outputs++];

		f->path = text(v, "path");
		f->is_required = !json_is_false(json_object_get(v, "required"));
		if (!f->path)
			return false;
	}
	return true;
}

static bool take_names(struct gr_wstage *s, const json_t *o)
{
	const json_t *names = json_object_get(o, "names"), *v;
	size_t i, n = json_array_size(names);

	if (n > GR_WIRE_MAX_VALUES)
		return false;
	s->names = gr_xalloc((n + 1) * sizeof(*s->names));
	json_array_foreach(names, i, v) {
		s->names[i] = json_string_value(v);
		if (!s->names[i])
			return false;
	}
	s->n_names = (uint32_t)n;
	return true;
}

static bool take_stage(struct gr_wstage *s, json_t *o)
{
	const json_t *res = json_object_get(o, "resources"), *ck = json_object_get(o, "checkpoint");
	const char *name = text(o, "name"), *cwd = text(o, "cwd");

	s->name = name ? name : "main";
	s->cwd = cwd ? cwd : ".";
	s->stdin_blob = text(json_object_get(o, "stdin"), "blob");
	s->count = (uint32_t)number(o, "count", 0);
	s->cpu_mcpu = (uint32_t)number(res, "cpu_mcpu", 1000);
	s->mem_bytes = number(res, "mem_bytes", 0);
	s->disk_bytes = number(res, "disk_bytes", 0);
	s->out_bytes = number(o, "output_cap_bytes", GR_WIRE_MAX_STREAM_BYTES);
	s->has_net = json_is_true(json_object_get(o, "network"));
	s->checkpoint_code = ck ? (int)number(ck, "exit_code", 77) : -1;
	s->checkpoint_dir = ck ? text(ck, "dir") : NULL;
	return take_argv(s, o) && take_env(s, o) && take_inputs(s, o) && take_outputs(s, o) && take_names(s, o);
}

static void job_free(struct gr_wjob *j)
{
	for (uint32_t i = 0; i < j->n_stages; i++) {
		free(j->stages[i].argv);
		free(j->stages[i].env_names);
		free(j->stages[i].env_values);
		free(j->stages[i].inputs);
		free(j->stages[i].outputs);
		free(j->stages[i].names);
	}
	free(j->stages);
	json_decref(j->json);
	gr_list_del(&j->link);
	free(j);
}

struct gr_wjob *gr_jobs_find(struct gr_commands *c, uint64_t id)
{
	GR_LIST_EACH(j, &c->jobs, struct gr_wjob, link)
		if (j->id == id) {
			gr_list_del(&j->link);        /* the one in use is found at once */
			gr_list_push_front(&c->jobs, &j->link);
			return j;
		}
	return NULL;
}

int gr_jobs_add(struct gr_commands *c, struct gr_slice body, struct gr_err *err)
{
	json_error_t why;
	json_t *o, *stages, *v;
	struct gr_wjob *j, *old;
	uint64_t id;
	size_t i;

	if (body.n > SPEC_BYTES)
		return gr_err_set(err, GR_ELIMIT, "a job of %zu bytes", body.n);
	o = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, &why);
	if (!o)
		return gr_err_set(err, GR_EPROTO, "a job that is no JSON: %s", why.text);
	id = number(o, "job", 0);
	stages = json_object_get(o, "stages");
	if (!id || id > GR_WIRE_MAX_JOB || !json_array_size(stages) || json_array_size(stages) > MAX_STAGES) {
		json_decref(o);
		return gr_err_set(err, GR_EPROTO, "a job without number or stages");
	}
	old = gr_jobs_find(c, id);
	if (old && old->n_users) {
		old->is_closed = false;
		json_decref(o);
		return 0;
	}
	if (old)
		job_free(old);
	GR_NEW(j);
	j->id = id;
	j->json = o;
	gr_list_init(&j->link);
	j->n_stages = (uint32_t)json_array_size(stages);
	j->stages = gr_xalloc(j->n_stages * sizeof(*j->stages));
	json_array_foreach(stages, i, v)
		if (!take_stage(&j->stages[i], v)) {
			job_free(j);
			return gr_err_set(err, GR_EPROTO, "job %" PRIu64 ": stage %zu has another form", id, i);
		}
	gr_list_push_front(&c->jobs, &j->link);
	return 0;
}

void gr_jobs_unuse(struct gr_commands *c, struct gr_wjob *j)
{
	(void)c;
	if (--j->n_users == 0 && j->is_closed)
		job_free(j);
}

void gr_jobs_close(struct gr_commands *c, uint64_t id)
{
	struct gr_wjob *j = gr_jobs_find(c, id);

	if (!j)
		return;
	j->is_closed = true;
	if (!j->n_users)
		job_free(j);
}

void gr_jobs_fini(struct gr_commands *c)
{
	GR_LIST_EACH_SAFE(j, &c->jobs, struct gr_wjob, link)
		job_free(j);
}
