/* map.c - `griddle map`: one command for many values, with the places that GNU parallel's users know */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd/commands.h"
#include "client/job/follow.h"
#include "client/job/map_values.h"
#include "client/job/shell.h"
#include "client/job/taskopts.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/job/expand.h"

struct map_opts {
	struct gr_task_opts task;
	bool pipe, keeps_order, tags, dry_run, splits_columns, at_nul;
	int64_t block_bytes, n_args;
	char *halt;
};
#define AT(f) offsetof(struct map_opts, f)
static const struct gr_conf_key map_keys[] = {
	{ "keep-order", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Print tasks' output in the order of their values.", AT(keeps_order), NULL },
	{ "tag", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Begin each line of output with the task's values and a TAB.", AT(tags), NULL },
	{ "pipe", GR_CONF_BOOL, "", "false", 0, 0, NULL,
	  "Cut standard input at line ends into blocks, each the standard input of one task.", AT(pipe), NULL },
	{ "block", GR_CONF_BYTES, "bytes", "1M", 1, 1ll << 30, NULL, "For --pipe: about so much a task.", AT(block_bytes), NULL },
	{ "max-args", GR_CONF_INT, "VALUES", "1", 1, 64, NULL, "So many values a task: {1}, {2}, and {} for all.", AT(n_args), NULL },
	{ "columns", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Split lines at TAB: {1}, {2}, and so on.", AT(splits_columns), NULL },
	{ "null", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Values on standard input end at NUL, not at line ends.", AT(at_nul), NULL },
	{ "halt", GR_CONF_STR, "N|N%", NULL, 0, 0, NULL, "Begin no more tasks after N, or a share of them, failed.", AT(halt), NULL },
	{ "dry-run", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Print the commands and run nothing.", AT(dry_run), NULL },
	GR_TASK_KEYS(struct map_opts),
};

/* The script with its places filled and what they gave quoted. */
static int fill_script(const char *script, const struct gr_expand_args *a, struct gr_buf *line, struct gr_err *err)
{
	size_t at = 0, n = 0;
	int64_t place;
	int rc = 0;

	while (rc >= 0 && (place = gr_expand_find(script, at, NULL, 0, SIZE_MAX, &n, NULL)) >= 0) {
		char *word = gr_xstrndup(script + place, n);
		struct gr_buf text = { 0 };

		gr_buf_add(line, script + at, (size_t)place - at);
		rc = gr_expand(word, a, 1 << 20, &text, err);
		if (rc >= 0)
			gr_shell_quote(gr_buf_str(&text), line);
		gr_buf_fini(&text);
		free(word);
		at = (size_t)place + n;
	}
	gr_buf_add_str(line, script + at);
	return rc;
}

/* The commands as they would be typed, one a line. */
static int print_commands(json_t *file, const char *script, const struct gr_map_values *v, struct gr_err *err)
{
	json_t *argv = json_object_get(file, "command"), *word;
	size_t k;

	for (uint64_t t = 0; t < v->n_tasks; t++) {
		struct gr_slice values[64];
		struct gr_expand_args a = { .values = values, .index = t, .total = v->n_tasks };
		struct gr_buf line = { 0 }, text = { 0 };
		int rc = 0;

		a.n_values = gr_map_values_of(v, t, values);
		if (script) {
			rc = fill_script(script, &a, &line, err);
		} else {
			json_array_foreach(argv, k, word) {
				gr_buf_clear(&text);
				rc = rc < 0 ? rc : gr_expand(json_string_value(word), &a, 1 << 20, &text, err);
				if (k)
					gr_buf_add_byte(&line, ' ');
				gr_shell_quote(gr_buf_str(&text), &line);
			}
		}
		if (rc >= 0)
			printf("%s\n", gr_buf_str(&line));
		gr_buf_fini(&line);
		gr_buf_fini(&text);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A command without a place gets {} behind it, but with --pipe. */
static void append_place(json_t *file, const char **script)
{
	json_t *argv = json_object_get(file, "command"), *word, *text;
	struct gr_buf b = { 0 };
	size_t i, n;

	if (*script) {
		if (gr_expand_find(*script, 0, NULL, 0, SIZE_MAX, &n, NULL) >= 0)
			return;
		gr_buf_printf(&b, "%s {}", *script);
		text = json_string(gr_buf_str(&b));
		gr_buf_fini(&b);
		json_object_set_new(file, "command", text);
		*script = json_string_value(text);
		return;
	}
	json_array_foreach(argv, i, word)
		if (gr_expand_find(json_string_value(word), 0, NULL, 0, SIZE_MAX, &n, NULL) >= 0)
			return;
	json_array_append_new(argv, json_string("{}"));
}

static int add_halt(json_t *file, const char *halt, struct gr_err *err)
{
	const char *number = !strncmp(halt, "soon,fail=", 10) ? halt + 10 : halt;      /* as GNU parallel has it */
	char *end;
	long n = strtol(number, &end, 10);

	if (end == number || n < 0 || (strcmp(end, "%") && *end) || (!*end && n < 1))
		return gr_err_set(err, GR_EUSAGE, "--halt %s: wants a number of failed tasks, or a share such as 10%%", halt);
	json_object_set_new(file, "stop_after_failures", *end ? json_string(number) : json_integer(n));
	return 0;
}

static int prepare(const struct map_opts *o, const struct gr_task_lists *lists, char **words, int n_words, struct gr_jobfile *f,
		   struct gr_map_values *v, struct gr_err *err)
{
	struct gr_map_values_opts vo = { .is_pipe = o->pipe, .splits_columns = o->splits_columns, .at_nul = o->at_nul,
					 .block_bytes = (uint64_t)o->block_bytes, .n_args = (uint32_t)o->n_args };
	const char *script = NULL;
	json_t *file = NULL;
	char *cwd = getcwd(NULL, 0);
	int rc = cwd ? gr_map_values_read(v, &vo, words, &n_words, err) : gr_err_set(err, GR_EIO, "the current folder is gone");

	if (rc == 0 && !n_words)
		rc = gr_err_set(err, GR_EUSAGE, "wants a command in front of the values");
	if (rc == 0) {
		file = gr_task_file(&o->task, lists, words, n_words, &script, err);
		rc = file ? 0 : err->code;
	}
	if (rc == 0 && o->halt)
		rc = add_halt(file, o->halt, err);
	if (rc == 0 && !o->pipe)
		append_place(file, &script);
	if (rc == 0 && o->dry_run)
		rc = print_commands(file, script, v, err);
	else if (rc == 0 && v->n_tasks) {
		rc = gr_map_values_into(v, file, err);
		if (rc == 0)
			rc = gr_jobfile_read(file, cwd, NULL, gr_rpc_real_ms(), f, err);
		if (rc == 0)
			gr_map_values_seal(v, f);
	}
	json_decref(file);
	free(cwd);
	return rc < 0 ? rc : 0;
}

static int run_map(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct gr_map_values values = { 0 };
	struct gr_task_lists lists = { 0 };
	struct gr_follow_end end = { 0 };
	struct gr_jobfile f = { 0 };
	struct gr_talk b = { 0 };
	struct gr_err err = { 0 };
	struct gr_conf conf;
	struct map_opts o;
	uint64_t job = 0, n_tasks = 0;
	int rc, i, status = GR_EXIT_OK;

	argc = gr_task_lists_take(cmd, argc, argv, &lists, &err);
	i = argc < 0 ? argc : gr_cmd_options(cmd, argc, argv, &conf, &o, &err);
	if (i < 0) {
		gr_task_lists_fini(&lists);
		return gr_cmd_fail(cmd, &err);
	}
	if (i >= argc) {
		gr_task_lists_fini(&lists);
		gr_conf_fini(&conf);
		return gr_cmd_usage(cmd, NULL);
	}
	if (gr_task_check_words(argv, i, &err) < 0) {
		gr_task_lists_fini(&lists);
		gr_conf_fini(&conf);
		return gr_cmd_fail(cmd, &err);
	}
	rc = prepare(&o, &lists, argv + i, argc - i, &f, &values, &err);
	if (rc == 0 && !o.dry_run && values.n_tasks) {
		struct gr_follow_opts fo = { .what = GR_FOLLOW_ENDED, .keeps_order = o.keeps_order, .tags = o.tags, .is_quiet = o.task.quiet,
					     .cancels = true, .fetch_to = json_array_size(lists.out) ? o.task.to : NULL };

		b.is_quiet = o.task.quiet;
		rc = gr_talk_open(&b, &o.task.target, &err);
		if (rc == 0)
			rc = gr_talk_submit(&b, &f, false, &job, &n_tasks, &err);
		if (rc == 0 && o.task.detach)
			printf("%" PRIu64 "\n", job);
		else if (rc == 0) {
			rc = gr_follow(&b, job, n_tasks, &fo, &end, &err);
			status = !strcmp(end.state, "done") ? GR_EXIT_OK : GR_EXIT_FAILED;
		}
	}
	if (rc < 0)
		status = gr_cmd_fail(cmd, &err);
	gr_follow_end_fini(&end);
	gr_talk_close(&b);
	gr_map_values_fini(&values);
	gr_jobfile_fini(&f);
	gr_task_lists_fini(&lists);
	gr_conf_fini(&conf);
	return status;
}

const struct gr_cmd gr_cmd_map = {
	.name = "map", .args = "[--] COMMAND [ARGUMENT]... [::: VALUE...]...", .summary = "run a command for many values, on the cluster",
	.help = "  griddle map --in sim --mem 512M -- ./sim {} < params.txt\n"
		"  griddle map --in '{}' --out '{.}.png' -- convert {} {.}.png ::: *.svg\n"
		"  griddle map -k -- echo {1} {2} ::: a b c ::: 1 2\n"
		"  griddle map --pipe --block 10M 'grep -c error' < log\n\n"
		"One task for each line of standard input, or for each combination of the lists behind :::. :::+ goes along with the\n"
		"list before it instead, :::: and ::::+ read files of values. Places in the command, --in, --out and --env:\n"
		"  {} the value   {.} without extension   {/} without folder   {//} its folder   {/.} neither\n"
		"  {1} {2} {-1}, {1.} {1/}... one of several   {#} the task's number   {##} how many   {%} the worker's slot\n"
		"As many tasks run at once as the cluster has room for: there is no -j; --cpus and --mem say what one takes.\n"
		"Without a place the value goes behind the command. A task's output is printed whole when it ends. One word that holds\n"
		"blanks or signs of the shell is run by sh, with the values quoted. Ends with 0 when every task did, else 1.\n",
	.keys = map_keys, .n_keys = GR_LEN(map_keys), .shorts = "k=keep-order n=max-args 0=null q=quiet d=detach", .run = run_map,
};
