/* explain.c - `griddle explain`: what waits and why, and for one task why it is here and not there */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "client/cmd/commands.h"
#include "client/cmd/target.h"
#include "client/rpc.h"
#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/conf/conf.h"

#define CALL_LIMIT_MS 5000

struct explain_opts {
	struct gr_target_opts target;
	int64_t output;
};
static const struct gr_conf_key keys[] = {
	{ "output", GR_CONF_ENUM, "", "table", 0, 0, gr_view_modes, "How to print: a table, JSON, or names alone.",
	  offsetof(struct explain_opts, output), NULL },
	GR_TARGET_KEYS(struct explain_opts),
};

static json_int_t num(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }
static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void show_tasks(const json_t *rep, int64_t mode)
{
	static const char *const heads[] = { "SESSION", ">TASK", "CLIENT", "STATE", ">AGE", "WORKER OR REASON", NULL };
	struct gr_table *t = gr_table_new(heads);
	json_int_t shown = 0;
	size_t i;
	json_t *w;

	json_array_foreach(json_object_get(rep, "tasks"), i, w) {
		char age[24];

		shown++;
		gr_view_seconds((uint64_t)num(w, "age_ms"), age);
		if (mode == GR_VIEW_NAME) {
			printf("%s %" JSON_INTEGER_FORMAT "\n", str(w, "session"), num(w, "task"));
			continue;
		}
		gr_table_cell(t, "%s", str(w, "session"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(w, "task"));
		gr_table_cell(t, "%s", str(w, "client"));
		gr_table_cell(t, "%s", str(w, "state"));
		gr_table_cell(t, "%s", age);
		gr_table_cell(t, "%s", *str(w, "pending") ? str(w, "pending") : str(w, "worker"));
	}
	if (mode == GR_VIEW_TABLE)
		gr_table_print(t, stdout);
	gr_table_free(&t);
	if (mode == GR_VIEW_TABLE && num(rep, "n") > shown)
		printf("and %" JSON_INTEGER_FORMAT " more\n", num(rep, "n") - shown);
}

/* "sandbox tier: asked 1, free 0" behind a verdict that has numbers. */
static void reason(const json_t *w, struct gr_buf *b)
{
	gr_buf_printf(b, "%s", str(w, "reason"));
	if (json_object_get(w, "of"))
		gr_buf_printf(b, ": %s, asked %" JSON_INTEGER_FORMAT ", free %" JSON_INTEGER_FORMAT, str(w, "of"), num(w, "asked"), num(w, "free"));
	else if (json_object_get(w, "holds"))
		gr_buf_printf(b, ": %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT, num(w, "holds"), num(w, "may_hold"));
}

static void show_workers(const json_t *rep)
{
	static const char *const heads[] = { "WORKER", "ANSWER", ">WAIT", ">FETCH", ">RUN", ">SPEED", ">CONTENTION", NULL };
	const json_t *list = json_object_get(rep, "workers");
	struct gr_table *t;
	size_t i;
	json_t *w;

	if (!json_array_size(list))
		return;
	printf("\nwhat each worker answers now (times in ms, as predicted)\n");
	t = gr_table_new(heads);
	json_array_foreach(list, i, w) {
		struct gr_buf b = { 0 };

		reason(w, &b);
		gr_table_cell(t, "%s", str(w, "worker"));
		gr_table_cell(t, "%.200s", gr_buf_str(&b));
		gr_table_cell(t, "%.1f", (double)num(w, "wait_us") / 1000);
		gr_table_cell(t, "%.1f", (double)num(w, "fetch_us") / 1000);
		gr_table_cell(t, "%.1f", (double)num(w, "run_us") / 1000);
		gr_table_cell(t, "%.2f", (double)num(w, "speed_permille") / 1000);
		gr_table_cell(t, "%.2f", (double)num(w, "contention_permille") / 1000);
		gr_buf_fini(&b);
	}
	gr_table_print(t, stdout);
	gr_table_free(&t);
}

static void show_task(const json_t *rep)
{
	const json_t *d = json_object_get(rep, "decision"), *next = json_object_get(d, "next");
	size_t i;
	json_t *a;

	printf("task %" JSON_INTEGER_FORMAT ", %s for %.1f s, toolchain %.12s, %" JSON_INTEGER_FORMAT " bytes of input\n", num(rep, "task"),
	       str(rep, "state"), (double)num(rep, "age_ms") / 1000, str(rep, "toolchain"), num(rep, "input_bytes"));
	if (*str(rep, "pending"))
		printf("waits because %s\n", str(rep, "pending"));
	json_array_foreach(json_object_get(rep, "attempts"), i, a)
		printf("attempt %" JSON_INTEGER_FORMAT ": %s%s%s%s%s\n", num(a, "attempt"), str(a, "state"), *str(a, "worker") ? " on " : "",
		       str(a, "worker"), strcmp(str(a, "state"), "live") ? ", " : "", strcmp(str(a, "state"), "live") ? str(a, "cause") : "");
	if (d)
		printf("placed on %s: of %" JSON_INTEGER_FORMAT " looked at it would be done first, in %.1f ms\n", str(d, "worker"),
		       num(d, "looked_at"), (double)num(d, "finish_us") / 1000);
	json_array_foreach(next, i, a)
		printf("  next was %s, at %.1f ms\n", str(a, "worker"), (double)num(a, "score_us") / 1000);
	show_workers(rep);
}

static int ask(const struct gr_target *t, json_t *req, json_t **rep, struct gr_err *err)
{
	struct gr_rpc *r = NULL;
	int rc = gr_rpc_open(t, &(const struct gr_rpc_ops){ 0 }, NULL, &r, err);

	if (rc < 0) {
		json_decref(req);
		return rc;
	}
	rc = gr_rpc_call(r, req, CALL_LIMIT_MS, rep, err);
	gr_rpc_close(&r);
	return rc;
}

static int run_explain(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct gr_target t = { 0 };
	struct gr_paths paths;
	struct gr_err err = { 0 };
	struct explain_opts o;
	struct gr_conf conf;
	uint64_t task = 0;
	json_t *rep = NULL, *req;
	int rc, i = gr_cmd_options(cmd, argc, argv, &conf, &o, &err);

	if (i < 0)
		return gr_cmd_fail(cmd, &err);
	if (argc - i != 0 && argc - i != 2) {
		gr_conf_fini(&conf);
		return gr_cmd_usage(cmd, i < argc ? argv[i] : NULL);
	}
	if (argc - i && !gr_conf_whole(argv[i + 1], INT64_MAX, &task)) {
		gr_conf_fini(&conf);
		return gr_cmd_usage(cmd, argv[i + 1]);
	}
	req = argc - i ? json_pack("{s:s, s:s, s:I}", "op", "explain", "session", argv[i], "task", (json_int_t)task) : json_pack("{s:s}", "op", "tasks");
	rc = gr_paths_init(&paths, &err);
	if (rc < 0) {
		json_decref(req);
		gr_conf_fini(&conf);
		return gr_cmd_fail(cmd, &err);
	}
	rc = gr_target_resolve(&t, &o.target, &paths, &err);
	if (rc >= 0)
		rc = ask(&t, req, &rep, &err);
	else
		json_decref(req);
	if (rc >= 0 && o.output == GR_VIEW_JSON)
		gr_view_json(rep, stdout);
	else if (rc >= 0 && json_object_get(rep, "tasks"))
		show_tasks(rep, o.output);
	else if (rc >= 0)
		show_task(rep);
	json_decref(rep);
	gr_target_fini(&t);
	gr_paths_fini(&paths);
	gr_conf_fini(&conf);
	return rc < 0 ? gr_cmd_fail(cmd, &err) : GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_explain = {
	.name = "explain", .args = "[SESSION TASK]", .summary = "say why tasks wait, and why one runs where it runs",
	.help = "  griddle explain\n  griddle explain 00c0ffee00c0ffee 17\n  griddle explain -o json\n\n"
		"Without words: the compiles that wait or run now, each with its worker or with what it waits for. With a\n"
		"session and a task of that list: the decision that placed it, who was next, and what each worker answers.\n",
	.keys = keys, .n_keys = GR_LEN(keys), .shorts = "o=output", .run = run_explain,
};
