/* taskopts.c - see taskopts.h. The result is a job file as a person would write it, so that it is checked by the same code. */
#include "client/job/taskopts.h"

#include <stdlib.h>
#include <string.h>

#include "client/cmd/words.h"
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/path.h"
#include "lib/wire/msg.h"

int gr_task_lists_take(const struct gr_cmd *cmd, int argc, char **argv, struct gr_task_lists *l, struct gr_err *err)
{
	const struct { const char *name; json_t **list; } lists[] = { { "in", &l->in }, { "out", &l->out }, { "env", &l->env }, { "where", &l->where } };
	int n = 1, i;

	for (size_t k = 0; k < GR_LEN(lists); k++)
		*lists[k].list = json_array();
	for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1] && strcmp(argv[i], "--"); i++) {
		const char *name = argv[i] + 2, *value = strchr(argv[i], '=');
		size_t n_name = value ? (size_t)(value - name) : strlen(name), k;

		for (k = 0; k < GR_LEN(lists); k++)
			if (argv[i][1] == '-' && strlen(lists[k].name) == n_name && !memcmp(lists[k].name, name, n_name))
				break;
		if (argv[i][1] == 'j' || !strncmp(argv[i], "--jobs", 6))        /* other programs' word for it */
			return gr_err_set(err, GR_EUSAGE, "%s: as many tasks run at once as the cluster has room for; --cpus and --mem say what one takes",
					  argv[i]);
		if (k == GR_LEN(lists)) {
			char letter[2] = { argv[i][1], 0 };
			bool has_value = argv[i][1] == '-' ? !value && !gr_words_is_bool(cmd, name, false) :
					 !argv[i][2] && !gr_words_is_bool(cmd, letter, true);

			argv[n++] = argv[i];
			if (has_value && i + 1 < argc)
				argv[n++] = argv[++i];
			continue;
		}
		if (!value && i + 1 == argc)
			return gr_err_set(err, GR_EUSAGE, "--%s: wants a value", lists[k].name);
		value = value ? value + 1 : argv[++i];
		if (!*value || json_array_append_new(*lists[k].list, json_string(value)) < 0)
			return gr_err_set(err, GR_EUSAGE, "--%s: wants a value, in UTF-8", lists[k].name);
	}
	while (i < argc)
		argv[n++] = argv[i++];
	argv[n] = NULL;
	return n;
}

int gr_task_check_words(char *const *argv, int i, struct gr_err *err)
{
	if (!argv[i] || argv[i][0] != '-' || !argv[i][1] || !strcmp(argv[i - 1], "--"))
		return 0;
	return gr_err_set(err, GR_EUSAGE, "%s: no such option; a command of this name goes behind --", argv[i]);
}

void gr_task_lists_fini(struct gr_task_lists *l)
{
	json_decref(l->in);
	json_decref(l->out);
	json_decref(l->env);
	json_decref(l->where);
}

static int add_env(json_t *task, const json_t *list, struct gr_err *err)
{
	json_t *env = json_object(), *v;
	size_t i;

	json_object_set_new(task, "env", env);
	json_array_foreach(list, i, v) {
		const char *text = json_string_value(v), *eq = strchr(text, '='), *value = eq ? eq + 1 : getenv(text);
		char *name = gr_xstrndup(text, eq ? (size_t)(eq - text) : strlen(text));

		if (!value)
			gr_err_set(err, GR_EUSAGE, "--env %s: is not in the environment here", text);
		else
			json_object_set_new(env, name, json_string(value));
		free(name);
		if (!value)
			return GR_EUSAGE;
	}
	return 0;
}

static void add_where(json_t *task, const json_t *list)
{
	json_t *o = json_object(), *v, *have;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *text = json_string_value(v), *eq = strchr(text, '=');
		char *label = gr_xstrndup(text, eq ? (size_t)(eq - text) : strlen(text));

		have = json_object_get(o, label);
		if (!eq)
			json_object_set_new(o, label, json_true());
		else if (json_is_array(have))
			json_array_append_new(have, json_string(eq + 1));
		else
			json_object_set_new(o, label, json_pack("[s]", eq + 1));
		free(label);
	}
	if (json_object_size(o))
		json_object_set(task, "constraints", o);
	json_decref(o);
}

static json_t *command_of(bool is_shell, char *const *words, int n, const char **script)
{
	json_t *list, *text;
	struct gr_buf b = { 0 };

	*script = NULL;
	if (is_shell || (n == 1 && words[0][strcspn(words[0], " \t\n|&;<>()$`\\\"'*?")])) {
		for (int i = 0; i < n; i++)
			gr_buf_printf(&b, "%s%s", i ? " " : "", words[i]);
		text = json_string(gr_buf_str(&b));
		gr_buf_fini(&b);
		*script = json_string_value(text);
		return text;
	}
	list = json_array();
	for (int i = 0; i < n; i++)
		if (json_array_append_new(list, json_string(words[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *gr_task_file(const struct gr_task_opts *o, const struct gr_task_lists *l, char *const *words, int n_words, const char **script,
		     struct gr_err *err)
{
	json_t *f = json_object(), *command = command_of(o->is_shell, words, n_words, script), *res;
	struct gr_slice base = gr_path_base(gr_slice_str(words[0]));
	char name[64];

	if (!command) {
		gr_err_set(err, GR_EUSAGE, "a word of the command is not UTF-8");
		json_decref(f);
		return NULL;
	}
	json_object_set_new(f, "command", command);
	snprintf(name, sizeof(name), "%.*s", (int)(*script ? strcspn((const char *)base.p, " \t\n|&;<>()") : base.n), (const char *)base.p);
	json_object_set_new(f, "name", json_string(o->name ? o->name : *name ? name : "run"));
	if (o->tenant)
		json_object_set_new(f, "tenant", json_string(o->tenant));
	json_object_set_new(f, "priority", json_integer(o->priority));
	if (o->idle)
		json_object_set_new(f, "idle", json_true());
	if (json_array_size(l->in))
		json_object_set(f, "inputs", l->in);
	if (json_array_size(l->out))
		json_object_set(f, "outputs", l->out);
	if (add_env(f, l->env, err) < 0) {
		json_decref(f);
		return NULL;
	}
	add_where(f, l->where);
	if (o->output_cap_bytes != GR_WIRE_MAX_STREAM_BYTES)
		json_object_set_new(f, "output_cap", json_integer(o->output_cap_bytes));
	res = json_pack("{s:s, s:s}", "cpus", o->cpus, "gpus", o->gpus);
	if (o->mem_bytes) {
		json_object_set_new(res, "mem", json_integer(o->mem_bytes));
		json_object_set_new(f, "mem_limit", json_integer(o->mem_bytes));
	}
	json_object_set_new(f, "resources", res);
	if (o->timeout_ms) {
		char ms[32];

		snprintf(ms, sizeof(ms), "%lldms", (long long)o->timeout_ms);
		json_object_set_new(f, "timeout", json_string(ms));
	}
	if (o->retries)
		json_object_set_new(f, "retry", json_integer(o->retries));
	if (o->network)
		json_object_set_new(f, "network", json_true());
	return f;
}
