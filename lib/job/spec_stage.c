/* spec_stage.c - one stage of a job is read and checked: one function a member */
#include "lib/job/spec_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

static struct gr_stage *find(struct gr_spec *s, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(s->stages[i].name, name))
			return &s->stages[i];
	return NULL;
}

static uint32_t earlier(struct gr_rd *r, struct gr_spec *s, uint32_t i_stage, const json_t *o)
{
	const char *name = gr_rd_text(r, o, "stage", NULL, 63);
	const struct gr_stage *st = name ? find(s, i_stage, name) : NULL;
	size_t was = gr_rd_in(r, "stage");

	if (!name)
		gr_rd_bad(r, GR_EINVAL, "the name of an earlier stage is wanted");
	else if (!st)
		gr_rd_bad(r, GR_EINVAL, "no earlier stage is called \"%s\"", name);
	gr_rd_out(r, was);
	return st ? (uint32_t)(st - s->stages) : 0;
}

static void same_count(struct gr_rd *r, const struct gr_spec *s, uint32_t other, const struct gr_stage *st)
{
	if (r->rc >= 0 && s->stages[other].count != st->count)
		gr_rd_bad(r, GR_EINVAL, "stage \"%s\" has %u tasks and this one %u: task by task needs the same number", s->stages[other].name,
		    s->stages[other].count, st->count);
}

static void read_after(struct gr_rd *r, struct gr_spec *s, struct gr_stage *st, uint32_t i_stage)
{
	static const char *const known[] = { "stage", "each", NULL };
	const json_t *l = gr_rd_list(r, st->json, "after", GR_SPEC_MAX_STAGES), *v;
	size_t i, was = gr_rd_in(r, "after"), at;

	if (l) {
		st->after = gr_xalloc((json_array_size(l) + 1) * sizeof(*st->after));
		json_array_foreach(l, i, v) {
			at = gr_rd_at(r, i);
			gr_rd_only(r, v, known);
			st->after[i].stage = earlier(r, s, i_stage, v);
			st->after[i].is_each = gr_rd_flag(r, v, "each");
			if (st->after[i].is_each)
				same_count(r, s, st->after[i].stage, st);
			st->n_after++;
			gr_rd_out(r, at);
		}
	}
	gr_rd_out(r, was);
}

static void read_inputs(struct gr_rd *r, struct gr_spec *s, struct gr_stage *st, uint32_t i_stage)
{
	static const char *const known[] = { "path", "blob", "size", "mode", "dir", "link", "from", NULL };
	static const char *const known_from[] = { "stage", "which", "output", NULL };
	const json_t *l = gr_rd_list(r, st->json, "inputs", 65536), *v, *f;
	size_t i, was = gr_rd_in(r, "inputs"), at;

	if (l)
		st->from = gr_xalloc((json_array_size(l) + 1) * sizeof(*st->from));
	if (l)
		json_array_foreach(l, i, v) {
			int n_kinds = !!json_object_get(v, "blob") + !!json_object_get(v, "dir") + !!json_object_get(v, "link") +
				      !!json_object_get(v, "from");

			at = gr_rd_at(r, i);
			gr_rd_only(r, v, known);
			gr_rd_path(r, v, "path", true);
			gr_rd_text(r, v, "blob", NULL, 512);
			gr_rd_text(r, v, "link", NULL, 4095);
			gr_rd_num(r, v, "size", 0, 0, INT64_MAX);
			gr_rd_num(r, v, "mode", 0644, 0, 0777);
			gr_rd_flag(r, v, "dir");
			if (n_kinds != 1)
				gr_rd_bad(r, GR_EINVAL, "one of \"blob\", \"dir\", \"link\" and \"from\" is wanted");
			f = json_object_get(v, "from");
			if (f && r->rc >= 0) {
				struct gr_from *x = &st->from[st->n_from++];
				size_t in = gr_rd_in(r, "from");
				const char *which;

				gr_rd_only(r, f, known_from);
				x->stage = earlier(r, s, i_stage, f);
				which = gr_rd_text(r, f, "which", "all", 8);
				if (strcmp(which, "all") && strcmp(which, "each"))
					gr_rd_bad(r, GR_EINVAL, "\"which\" must be \"each\" or \"all\"");
				x->is_each = !strcmp(which, "each");
				if (x->is_each)
					same_count(r, s, x->stage, st);
				x->path = json_string_value(json_object_get(v, "path"));
				x->output = gr_rd_text(r, f, "output", NULL, 4095);
				gr_rd_out(r, in);
			}
			gr_rd_out(r, at);
		}
	gr_rd_out(r, was);
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

static void read_command(struct gr_rd *r, const struct gr_stage *st)
{
	const json_t *argv = json_object_get(st->json, "argv"), *env = json_object_get(st->json, "env"), *in = json_object_get(st->json, "stdin");
	static const char *const known_stdin[] = { "blob", NULL };
	const char *key;
	json_t *v;
	size_t was;

	gr_rd_texts(r, st->json, "argv", 16384, 131072);
	if (!json_array_size(argv))
		gr_rd_bad(r, GR_EINVAL, "\"argv\" is wanted: what is to be run");
	else if (r->rc >= 0 && !json_string_length(json_array_get(argv, 0)))
		gr_rd_bad(r, GR_EINVAL, "\"argv\" begins with an empty word");
	was = gr_rd_in(r, "env");
	if (env && !json_is_object(env))
		gr_rd_bad(r, GR_EINVAL, "must be an object");
	json_object_foreach((json_t *)env, key, v) {
		size_t at = gr_rd_in(r, key);

		if (!*key || strchr(key, '='))
			gr_rd_bad(r, GR_EINVAL, "is no name of a variable");
		gr_rd_is_text(r, v, 131072);
		gr_rd_out(r, at);
	}
	gr_rd_out(r, was);
	was = gr_rd_in(r, "stdin");
	if (in) {
		gr_rd_only(r, in, known_stdin);
		if (!gr_rd_text(r, in, "blob", NULL, 512))
			gr_rd_bad(r, GR_EINVAL, "\"blob\" is wanted");
	}
	gr_rd_out(r, was);
	gr_rd_path(r, st->json, "cwd", false);
}

static void read_outputs(struct gr_rd *r, const struct gr_stage *st)
{
	static const char *const known[] = { "path", "required", NULL };
	const json_t *l = gr_rd_list(r, st->json, "outputs", 4096), *v;
	size_t i, was = gr_rd_in(r, "outputs"), at;

	if (l)
		json_array_foreach(l, i, v) {
			at = gr_rd_at(r, i);
			gr_rd_only(r, v, known);
			gr_rd_path(r, v, "path", true);
			gr_rd_flag(r, v, "required");
			gr_rd_out(r, at);
		}
	gr_rd_out(r, was);
}

static void read_resources(struct gr_rd *r, struct gr_stage *st)
{
	static const char *const known[] = { "cpu_mcpu", "mem_bytes", "disk_bytes", "gpu_milli", NULL };
	const json_t *o = json_object_get(st->json, "resources");
	size_t was = gr_rd_in(r, "resources");

	if (o)
		gr_rd_only(r, o, known);
	st->cpu_mcpu = (uint32_t)gr_rd_num(r, o, "cpu_mcpu", 1000, 0, GR_SPEC_MAX_AMOUNT);
	st->gpu_milli = (uint32_t)gr_rd_num(r, o, "gpu_milli", 0, 0, GR_SPEC_MAX_AMOUNT);
	st->mem_bytes = (uint64_t)gr_rd_num(r, o, "mem_bytes", 0, 0, (int64_t)GR_SPEC_MAX_AMOUNT << 20);
	st->disk_bytes = (uint64_t)gr_rd_num(r, o, "disk_bytes", 0, 0, (int64_t)GR_SPEC_MAX_AMOUNT << 20);
	gr_rd_out(r, was);
}

static void read_constraints(struct gr_rd *r, struct gr_stage *st)
{
	static const char *const known[] = { "label", "op", "values", NULL }, *const known_prefer[] = { "label", "value", "permille", NULL };
	static const char *const known_spread[] = { "by", "max", "soft", NULL };
	static const char *const ops[] = { "in", "not_in", "exists", "absent", NULL };
	const json_t *l = gr_rd_list(r, st->json, "constraints", GR_SPEC_MAX_TERMS), *v, *o;
	size_t i, was = gr_rd_in(r, "constraints"), at;

	if (l)
		json_array_foreach(l, i, v) {
			struct gr_term *t = &st->terms[st->n_terms++];
			size_t k = 0;

			at = gr_rd_at(r, i);
			gr_rd_only(r, v, known);
			t->label = gr_rd_text(r, v, "label", "", 127);
			t->op = gr_rd_text(r, v, "op", "in", 16);
			gr_rd_texts(r, v, "values", 6, 127);
			t->values = json_object_get(v, "values");
			while (ops[k] && strcmp(ops[k], t->op))
				k++;
			if (!ops[k])
				gr_rd_bad(r, GR_EINVAL, "\"op\" must be in, not_in, exists or absent");
			if (!*t->label)
				gr_rd_bad(r, GR_EINVAL, "\"label\" is wanted");
			if (k < 2 && !json_array_size(t->values))
				gr_rd_bad(r, GR_EINVAL, "\"values\" are wanted");
			gr_rd_out(r, at);
		}
	gr_rd_out(r, was);
	was = gr_rd_in(r, "prefer");
	st->prefer = gr_rd_list(r, st->json, "prefer", 4);
	if (st->prefer)
		json_array_foreach(st->prefer, i, v) {
			at = gr_rd_at(r, i);
			gr_rd_only(r, v, known_prefer);
			if (!*gr_rd_text(r, v, "label", "", 127))
				gr_rd_bad(r, GR_EINVAL, "\"label\" is wanted");
			gr_rd_text(r, v, "value", "", 127);
			gr_rd_num(r, v, "permille", 200, -1000, 1000);
			gr_rd_out(r, at);
		}
	gr_rd_out(r, was);
	o = json_object_get(st->json, "spread");
	was = gr_rd_in(r, "spread");
	if (o) {
		gr_rd_only(r, o, known_spread);
		st->spread_by = gr_rd_text(r, o, "by", "node", 8);
		if (strcmp(st->spread_by, "worker") && strcmp(st->spread_by, "node") && strcmp(st->spread_by, "zone"))
			gr_rd_bad(r, GR_EINVAL, "\"by\" must be worker, node or zone");
		st->spread_max = (uint32_t)gr_rd_num(r, o, "max", 1, 1, 1 << 20);
		st->is_spread_soft = gr_rd_flag(r, o, "soft");
	}
	gr_rd_out(r, was);
}

static void read_limits(struct gr_rd *r, struct gr_stage *st)
{
	st->timeout_ms = (uint64_t)gr_rd_num(r, st->json, "timeout_ms", 0, 0, 1ll << 42);
	st->mem_limit_bytes = (uint64_t)gr_rd_num(r, st->json, "mem_limit_bytes", 0, 0, 1ll << 50);
	gr_rd_num(r, st->json, "output_cap_bytes", 0, 0, 1ll << 30);
	gr_rd_flag(r, st->json, "network");
}

static const json_t *codes(struct gr_rd *r, const json_t *o, const char *key)
{
	const json_t *l = gr_rd_list(r, o, key, 256), *v;
	size_t i;

	if (l)
		json_array_foreach(l, i, v)
			if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > 255)
				gr_rd_bad(r, GR_EINVAL, "\"%s\" must hold numbers 0..255", key);
	return l;
}

static void read_retry(struct gr_rd *r, struct gr_stage *st)
{
	static const char *const known[] = { "max", "on", "exit_codes", "never_codes", "backoff_ms", "backoff_max_ms", NULL };
	static const struct { const char *name; uint32_t bit; } causes[] = {
		{ "lost", GR_RETRY_LOST }, { "oom", GR_RETRY_OOM }, { "timeout", GR_RETRY_TIMEOUT }, { "exit", GR_RETRY_EXIT },
	};
	const json_t *o = json_object_get(st->json, "retry"), *on, *v;
	size_t was = gr_rd_in(r, "retry"), i, k;

	if (o)
		gr_rd_only(r, o, known);
	st->retry_max = (uint32_t)gr_rd_num(r, o, "max", 2, 0, 1000);
	st->backoff_ms = (uint64_t)gr_rd_num(r, o, "backoff_ms", 0, 0, 86400000);
	st->backoff_max_ms = (uint64_t)gr_rd_num(r, o, "backoff_max_ms", 60000, 0, 86400000);
	st->retry_on = GR_RETRY_LOST | GR_RETRY_OOM;
	on = gr_rd_list(r, o, "on", 8);
	if (on) {
		st->retry_on = 0;
		json_array_foreach(on, i, v) {
			for (k = 0; k < GR_LEN(causes); k++)
				if (json_is_string(v) && !strcmp(json_string_value(v), causes[k].name))
					break;
			if (k == GR_LEN(causes))
				gr_rd_bad(r, GR_EINVAL, "\"on\" may hold lost, oom, timeout and exit");
			else
				st->retry_on |= causes[k].bit;
		}
	}
	st->exit_codes = codes(r, o, "exit_codes");
	st->never_codes = codes(r, o, "never_codes");
	gr_rd_out(r, was);
}

/* A list of paths, which are compared by their bytes; or a command that is told two results and says by its exit code. */
static void read_compare(struct gr_rd *r, struct gr_spec *s, struct gr_stage *st, uint32_t i_stage, const json_t *q)
{
	static const char *const known[] = { "argv", "env", "cwd", "inputs", "resources", "constraints", "timeout_ms", "network", "mem_limit_bytes",
		"output_cap_bytes", "retries", "paths", NULL };
	const json_t *o = json_object_get(q, "compare");
	struct gr_stage *c;
	size_t was;

	if (!json_is_object(o)) {
		gr_rd_texts(r, q, "compare", 64, 4095);
		st->compare = o;
		return;
	}
	was = gr_rd_in(r, "compare");
	GR_NEW(c);
	st->check = c;
	st->check_at = s->n_checks++;
	*c = (struct gr_stage){ .json = o, .name = st->name, .count = st->count, .array = st->array, .list = st->list };
	gr_rd_only(r, o, known);
	read_command(r, c);
	read_inputs(r, s, c, i_stage);
	if (c->n_from)
		gr_rd_bad(r, GR_EINVAL, "inputs: those of other stages are not for a comparator, which has the results of two copies");
	read_resources(r, c);
	read_constraints(r, c);
	read_limits(r, c);
	c->retry_max = (uint32_t)gr_rd_num(r, o, "retries", 3, 0, 100);
	gr_rd_texts(r, o, "paths", 64, 4095);
	st->compare = json_object_get(o, "paths");
	gr_rd_out(r, was);
}

static void read_special(struct gr_rd *r, struct gr_spec *s, struct gr_stage *st, uint32_t i_stage)
{
	static const char *const known[] = { "exit_code", "dir", NULL }, *const known_quorum[] = { "replicas", "min", "trust", "compare", "same", NULL };
	const json_t *o = json_object_get(st->json, "checkpoint"), *q = json_object_get(st->json, "quorum"), *v;
	size_t was = gr_rd_in(r, "checkpoint"), i;

	if (o) {
		gr_rd_only(r, o, known);
		st->has_checkpoint = true;
		st->checkpoint_code = (int)gr_rd_num(r, o, "exit_code", 77, 1, 255);
		gr_rd_path(r, o, "dir", true);
		st->checkpoint_dir = gr_rd_text(r, o, "dir", "", 4095);
	}
	gr_rd_out(r, was);
	was = gr_rd_in(r, "quorum");
	if (q) {
		gr_rd_only(r, q, known_quorum);
		st->replicas = (uint32_t)gr_rd_num(r, q, "replicas", 2, 1, GR_SPEC_MAX_REPLICAS);
		st->quorum = (uint32_t)gr_rd_num(r, q, "min", st->replicas, 1, GR_SPEC_MAX_REPLICAS);
		st->is_adaptive = gr_rd_flag(r, q, "trust");
		read_compare(r, s, st, i_stage, q);
		st->same = gr_rd_text(r, q, "same", NULL, 127);
		if (st->same && st->n_terms == GR_SPEC_MAX_TERMS)
			gr_rd_bad(r, GR_ELIMIT, "\"same\" takes the place of a constraint: %u others are possible", GR_SPEC_MAX_TERMS - 1);
		if (st->quorum > st->replicas)
			gr_rd_bad(r, GR_EINVAL, "\"min\" is more than \"replicas\"");
		if (st->has_checkpoint)
			gr_rd_bad(r, GR_EINVAL, "a task with a checkpoint cannot be compared with its copies");
	}
	gr_rd_out(r, was);
	st->is_rerunnable = gr_rd_flag(r, st->json, "rerunnable");
	st->is_gang = gr_rd_flag(r, st->json, "gang");
	if (st->is_gang && st->count > GR_SPEC_MAX_GANG)
		gr_rd_bad(r, GR_ELIMIT, "a gang of %u tasks; %u are possible", st->count, GR_SPEC_MAX_GANG);
	if (st->is_rerunnable && (st->has_checkpoint || st->is_gang || st->replicas))
		gr_rd_bad(r, GR_EINVAL, "\"rerunnable\" does not go with a checkpoint, a gang or a quorum");
	if (st->is_gang && st->replicas)
		gr_rd_bad(r, GR_EINVAL, "a gang has no copies: leave \"quorum\" out");
	gr_rd_texts(r, st->json, "secrets", 32, 63);
	st->secrets = json_object_get(st->json, "secrets");
	if (st->secrets && r->rc >= 0)
		json_array_foreach(st->secrets, i, v)
			if (!gr_rd_is_name(json_string_value(v)))
				gr_rd_bad(r, GR_EINVAL, "secrets[%zu]: its name may hold letters, digits, '.', '_' and '-'", i);
}

void gr_spec__read_stage(struct gr_rd *r, struct gr_spec *s, uint32_t i)
{
	static const char *const known[] = { "name", "after", "array", "argv", "env", "cwd", "stdin", "inputs", "outputs", "resources", "constraints",
		"prefer", "spread", "timeout_ms", "left_ms", "retry", "checkpoint", "gang", "rerunnable", "quorum", "network", "mem_limit_bytes", "output_cap_bytes",
		"secrets", NULL };
	struct gr_stage *st = &s->stages[i];

	gr_rd_only(r, st->json, known);
	st->name = gr_rd_text(r, st->json, "name", "main", 63);
	if (r->rc < 0)
		return;
	if (!gr_rd_is_name(st->name))
		gr_rd_bad(r, GR_EINVAL, "its name may hold letters, digits, '.', '_' and '-'");
	if (find(s, i, st->name))
		gr_rd_bad(r, GR_EINVAL, "there is a stage \"%s\" already", st->name);
	gr_spec__read_array(r, st);
	read_command(r, st);
	read_after(r, s, st, i);
	read_inputs(r, s, st, i);
	read_outputs(r, st);
	read_resources(r, st);
	read_constraints(r, st);
	read_retry(r, st);
	read_special(r, s, st, i);
	read_limits(r, st);
	st->left_ms = (uint32_t)gr_rd_num(r, st->json, "left_ms", 0, 0, UINT32_MAX);
	if (r->rc >= 0)
		wait_for_inputs(st);
	st->first = s->n_tasks;
	if (r->rc >= 0 && st->count > GR_SPEC_MAX_TASKS - s->n_tasks)
		gr_rd_bad(r, GR_ELIMIT, "more than %u tasks in all", GR_SPEC_MAX_TASKS);
	s->n_tasks += st->count;
}
