/* run.c - `griddle run`: one command on the cluster, as if it ran here: its output as it comes, its exit code at the end */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd/commands.h"
#include "client/view/table.h"
#include "client/job/follow.h"
#include "client/job/taskopts.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define MAX_STDIN_BYTES (1u << 30)

struct run_opts {
	struct gr_task_opts task;
	bool takes_stdin;
};
static const struct gr_conf_key run_keys[] = {
	{ "stdin", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Send standard input along, whole, before the command begins.",
	  offsetof(struct run_opts, takes_stdin), NULL },
	GR_TASK_KEYS(struct run_opts),
};

/* Standard input becomes a file the job takes along. */
static int add_stdin(struct gr_jobfile *f, struct gr_err *err)
{
	json_t *stage = json_array_get(json_object_get(f->spec, "stages"), 0);
	const struct gr_input *x;
	char hex[GR_DIGEST_HEX];
	struct gr_buf b = { 0 };
	int rc = gr_file_read_fd(0, MAX_STDIN_BYTES, &b);

	if (rc < 0) {
		gr_buf_fini(&b);
		return gr_err_set(err, rc, "standard input: %s", gr_err_text(rc));
	}
	x = gr_inputs_data(&f->inputs, b.p ? (const void *)b.p : "", b.n);
	gr_buf_fini(&b);
	gr_digest_hex(&x->digest, hex);
	json_object_set_new(stage, "stdin", json_pack("{s:s}", "blob", hex));
	return 0;
}

static int ended(const struct gr_cmd *cmd, const struct gr_follow_end *e, uint64_t job)
{
	bool is_told = strcmp(e->cause, "-") && strcmp(e->cause, "exit");   /* by itself, and not for a limit */

	if (e->signum) {
		fprintf(stderr, "griddle %s: the command was ended by signal %d%s%s%s\n", cmd->name, e->signum, is_told ? " (" : "",
			is_told ? e->cause : "", is_told ? ")" : "");
		return 128 + e->signum;
	}
	if (e->exit_code || !strcmp(e->state, "done"))
		return e->exit_code;
	if (e->reason[0]) {
		fprintf(stderr, "griddle %s: ", cmd->name);
		gr_view_text(e->reason, stderr);
		fputc('\n', stderr);
		return GR_EXIT_FAILED;
	}
	fprintf(stderr, "griddle %s: job %" PRIu64 " %s%s%s; `griddle task show %" PRIu64 " 0` says more\n", cmd->name, job, e->state,
		strcmp(e->cause, "-") ? ": " : "", strcmp(e->cause, "-") ? e->cause : "", job);
	return GR_EXIT_FAILED;
}

static int run_run(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct gr_task_lists lists = { 0 };
	struct gr_follow_end end = { 0 };
	struct gr_jobfile f = { 0 };
	struct gr_talk b = { 0 };
	struct gr_err err = { 0 };
	struct gr_conf conf;
	struct run_opts o;
	uint64_t job = 0, n_tasks = 0;
	const char *script;
	json_t *file = NULL;
	char *cwd = NULL;
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
	cwd = getcwd(NULL, 0);
	rc = cwd ? 0 : gr_err_set(&err, GR_EIO, "the current folder is gone");
	if (rc == 0) {
		file = gr_task_file(&o.task, &lists, argv + i, argc - i, &script, &err);
		rc = file ? gr_jobfile_read(file, cwd, NULL, gr_rpc_real_ms(), &f, &err) : err.code;
	}
	if (rc == 0 && o.takes_stdin)
		rc = add_stdin(&f, &err);
	b.is_quiet = o.task.quiet;
	if (rc == 0)
		rc = gr_talk_open(&b, &o.task.target, &err);
	if (rc == 0)
		rc = gr_talk_submit(&b, &f, false, &job, &n_tasks, &err);
	if (rc == 0 && o.task.detach) {
		printf("%" PRIu64 "\n", job);
	} else if (rc == 0) {
		struct gr_follow_opts fo = { .what = GR_FOLLOW_LIVE, .is_quiet = true, .cancels = true,
					     .fetch_to = json_array_size(lists.out) ? o.task.to : NULL };

		rc = gr_follow(&b, job, n_tasks, &fo, &end, &err);
		if (rc == 0)
			status = ended(cmd, &end, job);
	}
	if (rc < 0)
		status = gr_cmd_fail(cmd, &err);
	gr_follow_end_fini(&end);
	gr_talk_close(&b);
	gr_jobfile_fini(&f);
	json_decref(file);
	free(cwd);
	gr_task_lists_fini(&lists);
	gr_conf_fini(&conf);
	return status;
}

const struct gr_cmd gr_cmd_run = {
	.name = "run", .args = "[--] COMMAND [ARGUMENT]...", .summary = "run one command on the cluster",
	.help = "  griddle run -- uname -a\n"
		"  griddle run --in sim --in params.json --out result.csv -- ./sim params.json\n"
		"  griddle run --stdin 'sort | uniq -c' < list.txt\n\n"
		"Prints what the command prints, as it comes, and ends with its exit code; 128 and the signal's number when a\n"
		"signal ended it. The command starts in an empty folder with the files of --in; what --out names is brought back.\n"
		"One word that holds blanks or signs of the shell is run by sh. Ctrl-C ends the command everywhere. A lost worker\n"
		"or a restart of the coordinator is waited for.\n",
	.keys = run_keys, .n_keys = GR_LEN(run_keys), .shorts = "q=quiet d=detach", .run = run_run,
};
