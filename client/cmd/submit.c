/* submit.c - `griddle submit`: a job file to the coordinator */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd/commands.h"
#include "client/cmd/words.h"
#include "client/job/follow.h"
#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/path.h"

#define MAX_FILE_BYTES (64u << 20)

struct submit_opts {
	struct gr_target_opts target;
	bool wait, dry_run, quiet, show;
	char *name;
};
#define AT(f) offsetof(struct submit_opts, f)
static const struct gr_conf_key submit_keys[] = {
	{ "wait", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Stay until the job is over, and end with 0 when every task was done.", AT(wait), NULL },
	{ "dry-run", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Check the file and what it names, here, and submit nothing.", AT(dry_run), NULL },
	{ "show", GR_CONF_BOOL, "", "false", 0, 0, NULL, "With --dry-run: print what would be sent, as JSON.", AT(show), NULL },
	{ "name", GR_CONF_STR, "NAME", NULL, 0, 0, NULL, "The job's name instead of the file's.", AT(name), NULL },
	{ "quiet", GR_CONF_BOOL, "", "false", 0, 0, NULL, "No progress, no summary.", AT(quiet), NULL },
	GR_TARGET_KEYS(struct submit_opts),
};

/* The object and the folder its paths are below. "-": standard input, and the current folder. */
static int load(const char *path, json_t **out, char **base, struct gr_err *err)
{
	struct gr_buf text = { 0 };
	struct gr_slice dir;
	json_error_t je;
	char *cwd = realpath(".", NULL), *rel;
	int rc = strcmp(path, "-") ? gr_file_read(path, MAX_FILE_BYTES, &text, err) : gr_file_read_fd(0, MAX_FILE_BYTES, &text);

	if (rc < 0 && !strcmp(path, "-"))
		gr_err_set(err, rc, "standard input: %s", gr_err_text(rc));
	if (rc == 0) {
		*out = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &je);
		if (!*out)
			rc = gr_err_set(err, GR_EINVAL, "%s:%d:%d: %s", path, je.line, je.column, je.text);
	}
	gr_buf_fini(&text);
	dir = strcmp(path, "-") ? gr_path_dir(gr_slice_str(path)) : gr_slice_str(".");
	rel = gr_xstrndup((const char *)dir.p, dir.n);
	*base = gr_inputs_path(cwd ? cwd : "/", rel);
	free(rel);
	free(cwd);
	return rc;
}

static int run_submit(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct gr_follow_end end = { 0 };
	struct gr_jobfile f = { 0 };
	struct gr_talk b = { 0 };
	struct gr_err err = { 0 };
	struct gr_conf conf;
	struct submit_opts o;
	uint64_t job = 0, n_tasks = 0;
	json_t *file = NULL;
	char *base = NULL, bytes[24];
	int rc, i, status = GR_EXIT_OK;

	gr_words_sort(cmd, argc, argv);
	i = gr_cmd_options(cmd, argc, argv, &conf, &o, &err);
	if (i < 0)
		return gr_cmd_fail(cmd, &err);
	if (i + 1 != argc) {
		gr_conf_fini(&conf);
		return gr_cmd_usage(cmd, i + 1 < argc ? argv[i + 1] : NULL);
	}
	/* who wants to see what would be sent has not said to send it */
	rc = o.show && !o.dry_run ? gr_err_set(&err, GR_EUSAGE, "--show wants --dry-run") : load(argv[i], &file, &base, &err);
	if (rc == 0 && o.name && json_is_object(file))
		json_object_set_new(file, "name", json_string(o.name));
	if (rc == 0) {
		struct gr_slice name = gr_path_base(gr_slice_str(argv[i]));
		char *text = gr_xstrndup((const char *)name.p, name.n - gr_path_ext(name).n);

		rc = gr_jobfile_read(file, base, strcmp(argv[i], "-") ? text : "job", gr_rpc_real_ms(), &f, &err);
		free(text);
		if (rc < 0)
			gr_err_wrap(&err, "%s", argv[i]);
	}
	b.is_quiet = o.quiet;
	if (rc == 0 && o.dry_run) {
		gr_jobfile_seal(&f);
		if (o.show)
			gr_view_json(f.spec, stdout);
		else
			printf("%s: %" PRIu64 " tasks, %zu files, %s to send at most\n", argv[i], f.n_tasks, f.inputs.by_digest.n,
			       gr_view_bytes(f.inputs.bytes, bytes));
	} else if (rc == 0) {
		rc = gr_talk_open(&b, &o.target, &err);
		if (rc == 0)
			rc = gr_talk_submit(&b, &f, false, &job, &n_tasks, &err);
		if (rc == 0) {
			printf("%" PRIu64 "\n", job);
			fflush(stdout);
		}
		if (rc == 0 && o.wait) {
			struct gr_follow_opts fo = { .what = GR_FOLLOW_STATE, .is_quiet = o.quiet };

			rc = gr_follow(&b, job, n_tasks, &fo, &end, &err);
			status = !strcmp(end.state, "done") ? GR_EXIT_OK : GR_EXIT_FAILED;
		}
	}
	if (rc < 0)
		status = gr_cmd_fail(cmd, &err);
	/* a file that is wrong is the caller's to mend, whatever is wrong with it */
	if (rc == GR_EINVAL || rc == GR_ENOENT || rc == GR_EPATH || rc == GR_ELIMIT)
		status = GR_EXIT_USAGE;
	gr_follow_end_fini(&end);
	gr_talk_close(&b);
	gr_jobfile_fini(&f);
	json_decref(file);
	free(base);
	gr_conf_fini(&conf);
	return status;
}

const struct gr_cmd gr_cmd_submit = {
	.name = "submit", .args = "FILE.json", .summary = "submit a job file",
	.help = "  griddle submit job.json\n  griddle submit job.json --wait\n  griddle submit job.json --dry-run\n\n"
		"Prints the job's number once the coordinator has it on disk. docs/job.schema.json describes the file; paths in it are\n"
		"below its own folder. Ctrl-C while waiting leaves the job alone. \"-\" reads the file from standard input.\n",
	.keys = submit_keys, .n_keys = GR_LEN(submit_keys), .shorts = "w=wait q=quiet", .run = run_submit,
};
