/* status.c - `griddle status` and `griddle nodes`: one question to the coordinator, shown for people or as JSON */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/agent/control.h"
#include "client/cmd/commands.h"
#include "client/cmd/target.h"
#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/net/loop.h"

#define CALL_LIMIT_MS 5000
#define WAIT_STEP_US 250000

struct view_opts {
	struct gr_target_opts target;
	int64_t output, wait_ms;
};
static const struct gr_conf_key view_keys[] = {
	{ "output", GR_CONF_ENUM, "", "table", 0, 0, gr_view_modes, "How to print: a table, JSON, or names alone.",
	  offsetof(struct view_opts, output), NULL },
	GR_TARGET_KEYS(struct view_opts),
};

static const struct gr_conf_key status_keys[] = {
	{ "output", GR_CONF_ENUM, "", "table", 0, 0, gr_view_modes, "How to print: a table, JSON, or names alone.",
	  offsetof(struct view_opts, output), NULL },
	{ "wait", GR_CONF_MS, "ms", "0", 0, 86400000, NULL,
	  "Ask again for so long, until the coordinator answers and a worker takes tasks.", offsetof(struct view_opts, wait_ms), NULL },
	GR_TARGET_KEYS(struct view_opts),
};

static json_int_t num(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }
static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

/* This user's agent, or NULL when none runs. */
static json_t *agent_status(const struct gr_paths *p)
{
	struct gr_control *c;
	json_t *s = NULL;

	if (gr_control_connect(p->socket, &c, NULL) < 0)
		return NULL;
	if (gr_control_status(c, &s, NULL) < 0)
		s = NULL;
	gr_control_close(&c);
	return s;
}

static void print_status(const json_t *rep)
{
	const json_t *tasks = json_object_get(rep, "tasks"), *outcomes = json_object_get(rep, "outcomes"),
		     *cache = json_object_get(rep, "cache");
	char up[24], used[24], cap[24];
	const char *outcome;
	json_t *n;

	gr_view_seconds((uint64_t)num(rep, "uptime_ms"), up);
	printf("%-12s %s, version %s, up %s, http %s\n", "coordinator", str(rep, "endpoint"), str(rep, "version"), up, str(rep, "http"));
	printf("%-12s %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT " slots, %" JSON_INTEGER_FORMAT " free, %" JSON_INTEGER_FORMAT
	       " draining, %" JSON_INTEGER_FORMAT " quarantined\n", "workers", num(rep, "workers"), num(rep, "slots"), num(rep, "free"),
	       num(rep, "draining"), num(rep, "quarantined"));
	printf("%-12s %" JSON_INTEGER_FORMAT " in %" JSON_INTEGER_FORMAT " sessions\n", "clients", num(rep, "clients"),
	       num(rep, "sessions"));
	printf("%-12s %" JSON_INTEGER_FORMAT " running, %" JSON_INTEGER_FORMAT " queued, %" JSON_INTEGER_FORMAT " accepted so far",
	       "tasks", num(tasks, "running"), num(tasks, "waiting") + num(tasks, "queued"), num(rep, "accepted"));
	json_object_foreach((json_t *)outcomes, outcome, n)
		if (json_integer_value(n))
			printf(", %" JSON_INTEGER_FORMAT " %s", json_integer_value(n), outcome);
	printf("\n%-12s %s of %s\n", "files", gr_view_bytes((uint64_t)num(cache, "bytes"), used),
	       gr_view_bytes((uint64_t)num(cache, "cap_bytes"), cap));
}

static void show_status(const struct gr_target *t, json_t *rep, json_t *agent, int64_t mode)
{
	if (mode == GR_VIEW_NAME) {
		printf("%s\n", t->endpoint);
	} else if (mode == GR_VIEW_JSON) {
		json_object_set(rep, "agent", agent ? agent : json_null());
		gr_view_json(rep, stdout);
	} else {
		const json_t *units = json_object_get(agent, "units");

		print_status(rep);
		if (!agent) {
			printf("%-12s not running; `griddle make` starts one\n", "agent");
			return;
		}
		printf("%-12s pid %" JSON_INTEGER_FORMAT ", %s; %" JSON_INTEGER_FORMAT " remote, %" JSON_INTEGER_FORMAT " cached, %"
		       JSON_INTEGER_FORMAT " local, %" JSON_INTEGER_FORMAT " away\n", "agent", num(agent, "pid"),
		       json_is_true(json_object_get(agent, "connected")) ? "connected" : "not connected", num(units, "remote"),
		       num(units, "cached"), num(units, "local"), num(units, "in_flight"));
	}
}

static void show_nodes(json_t *rep, int64_t mode)
{
	static const char *const heads[] = { "NAME", "NODE", ">SLOTS", ">RUNNING", "SANDBOX", "STATE", "VERSION", "TOOLCHAINS", NULL };
	const json_t *list = json_object_get(rep, "nodes") ? json_object_get(rep, "nodes") : json_object_get(rep, "workers");
	struct gr_table *t;
	size_t i, k;
	json_t *w, *tc;

	if (mode == GR_VIEW_JSON) {
		gr_view_json(rep, stdout);
		return;
	}
	t = gr_table_new(heads);
	json_array_foreach(list, i, w) {
		struct gr_buf names = { 0 };

		if (mode == GR_VIEW_NAME) {
			printf("%s\n", str(w, "name"));
			continue;
		}
		json_array_foreach(json_object_get(w, "toolchains"), k, tc)   /* gcc and g++ share a name */
			if (!strstr(gr_buf_str(&names), str(tc, "name")))
				gr_buf_printf(&names, "%s%s", names.n ? ", " : "", str(tc, "name"));
		gr_table_cell(t, "%s", str(w, "name"));
		gr_table_cell(t, "%s", str(w, "node"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(w, "slots"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(w, "running"));
		gr_table_cell(t, "%s", str(w, "tier"));
		gr_table_cell(t, "%s", json_is_true(json_object_get(w, "draining")) ? "draining" : str(w, "state"));
		gr_table_cell(t, "%s", str(w, "version"));
		gr_table_cell(t, "%.200s", gr_buf_str(&names));
		gr_buf_fini(&names);
	}
	if (mode == GR_VIEW_TABLE)
		gr_table_print(t, stdout);
	gr_table_free(&t);
}

/* With @wait_ms again and again until the coordinator answers and has a worker that takes tasks. */
static int ask(struct gr_target *t, const char *what, int64_t wait_ms, json_t **rep, struct gr_err *err)
{
	uint64_t from_ms = gr_clock_real_ms(), now_ms;
	int rc;

	for (;;) {
		rc = gr_target_call(t, what, CALL_LIMIT_MS, rep, err);
		now_ms = gr_clock_real_ms();
		if (!wait_ms || (rc < 0 && rc != GR_EUNREACH && rc != GR_ETIME) || (rc == 0 && num(*rep, "slots") > 0))
			return rc;
		if (now_ms >= from_ms + (uint64_t)wait_ms)
			break;
		json_decref(*rep);
		*rep = NULL;
		usleep(WAIT_STEP_US);
	}
	if (rc < 0)
		return gr_err_wrap(err, "after %lld s", (long long)wait_ms / 1000);
	json_decref(*rep);
	*rep = NULL;
	return gr_err_set(err, GR_EUNREACH, "no worker that takes tasks after %lld s", (long long)wait_ms / 1000);
}

static int run_view(const struct gr_cmd *cmd, int argc, char **argv)
{
	bool is_status = !strcmp(cmd->name, "status");
	struct gr_target t = { 0 };
	struct gr_paths paths;
	struct gr_err err = { 0 };
	struct view_opts o;
	struct gr_conf conf;
	json_t *rep = NULL, *agent;
	int rc, i = gr_cmd_options(cmd, argc, argv, &conf, &o, &err);

	if (i < 0)
		return gr_cmd_fail(cmd, &err);
	if (i < argc) {
		gr_conf_fini(&conf);
		return gr_cmd_usage(cmd, argv[i]);
	}
	rc = gr_paths_init(&paths, &err);
	if (rc < 0) {
		gr_conf_fini(&conf);
		return gr_cmd_fail(cmd, &err);
	}
	rc = gr_target_resolve(&t, &o.target, &paths, &err);
	if (rc == 0)
		rc = ask(&t, cmd->name, o.wait_ms, &rep, &err);
	if (rc == 0 && is_status) {
		agent = agent_status(&paths);
		show_status(&t, rep, agent, o.output);
		json_decref(agent);
	} else if (rc == 0) {
		show_nodes(rep, o.output);
	}
	json_decref(rep);
	gr_target_fini(&t);
	gr_paths_fini(&paths);
	gr_conf_fini(&conf);
	return rc < 0 ? gr_cmd_fail(cmd, &err) : GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_status = {
	.name = "status", .args = "", .summary = "say how the cluster and this user's agent are",
	.help = "  griddle status\n  griddle status -o json | jq .workers\n\n"
		"Asks the coordinator and the agent. Exit code 32 when the coordinator cannot be reached.\n",
	.keys = status_keys, .n_keys = GR_LEN(status_keys), .shorts = "o=output", .run = run_view,
};
const struct gr_cmd gr_cmd_nodes = {
	.name = "nodes", .args = "", .summary = "list the workers",
	.help = "  griddle nodes\n  griddle nodes -o name\n  griddle nodes -o json\n\n"
		"One line a worker: where it runs, its slots, what runs on it, its sandbox tier, its toolchains.\n",
	.keys = view_keys, .n_keys = GR_LEN(view_keys), .shorts = "o=output", .run = run_view,
};
