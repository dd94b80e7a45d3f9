/* make.c - `griddle make`: make, with its compiles handed to the agent, and a summary at the end
 *
 * With -j auto make is a client of a job server that we own: its pipe holds a token for each core but one, the agent
 * adds one while a unit is away and takes one back before it answers, so that local work never exceeds the cores while
 * remote work is bounded by the cluster's slots alone. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cc/note.h"
#include "client/cmd/calls.h"
#include "client/cmd/commands.h"
#include "client/cmd/make_args.h"
#include "client/cmd/make_run.h"
#include "client/cmd/start_agent.h"
#include "client/cmd/target.h"
#include "client/view/summary.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"

struct make_opts {
	struct gr_target_opts target;
	char *jobs, *summary_json;
	int64_t remote;
	bool cache, summary;
};
static const char *const remotes[] = { "auto", "always", "never", NULL };
#define AT(f) offsetof(struct make_opts, f)
static const struct gr_conf_key make_keys[] = {
	{ "jobs", GR_CONF_STR, "N", "auto", 0, 0, NULL, "Jobs at a time: a number, or auto, from this machine's cores and the cluster's slots.",
	  AT(jobs), NULL },
	{ "remote", GR_CONF_ENUM, "", "auto", 0, 0, remotes,
	  "auto keeps compiles here while few are in flight, always sends all that can go, never sends none.", AT(remote), NULL },
	{ "cache", GR_CONF_BOOL, "", "true", 0, 0, NULL, "Take results of earlier compiles from the agent's cache.", AT(cache), NULL },
	{ "summary", GR_CONF_BOOL, "", "true", 0, 0, NULL, "Print what ran where at the end.", AT(summary), NULL },
	{ "summary-json", GR_CONF_STR, "FILE", NULL, 0, 0, NULL, "Write the summary there as JSON, with every local unit.", AT(summary_json), NULL },
	GR_TARGET_KEYS(struct make_opts),
};

struct build {
	const struct gr_cmd *cmd;
	const struct make_opts *o;
	struct gr_paths paths;
	struct gr_make_args args;
	struct gr_control *control;         /* NULL: no agent; everything compiles here */
	struct gr_calls *calls;             /* NULL: not counted */
	int rfd, wfd;
	char id[64];
};

static int n_cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

static int make_jobserver(struct build *b, struct gr_err *err)
{
	int fds[2], n = n_cores();

	if (pipe2(fds, O_CLOEXEC) < 0)
		return gr_err_set(err, gr_err_errno(errno), "job server: %s", strerror(errno));
	b->rfd = fds[0];
	b->wfd = fds[1];
	for (int i = 1; i < n; i++)   /* make has one of its own */
		if (gr_write_all(b->wfd, "+", 1) < 0)
			return gr_err_set(err, GR_EIO, "job server: cannot write");
	return 0;
}

static int find_wrapper(char **out, struct gr_err *err)
{
	int rc = gr_paths_sibling("griddle-cc", out, err);

	if (rc == 0 && strpbrk(*out, " \t\n\"'$#\\")) {
		gr_err_set(err, GR_ECONFIG, "%s: make cannot call a program with such letters in its path", *out);
		free(*out);
		*out = NULL;
		return GR_ECONFIG;
	}
	return rc;
}

/* The agent, running and told of this build. */
static int open_build(struct build *b, const struct gr_target *t, struct gr_err *err)
{
	struct gr_control_build cb = { .id = b->id, .remote = remotes[b->o->remote], .no_cache = !b->o->cache,
				       .jobserver_rfd = b->rfd, .jobserver_wfd = b->wfd, .n_job = (uint32_t)b->args.n_job };
	struct gr_cluster_proc p;
	int rc = gr_start_agent(t, &b->paths, &p, err);

	if (rc >= 0)
		rc = gr_control_connect(b->paths.socket, &b->control, err);
	if (rc >= 0)
		rc = gr_control_build_open(b->control, &cb, err);
	return rc < 0 ? rc : 0;
}

static void finish(struct build *b, const struct gr_make_result *res)
{
	struct gr_summary_cost cost = { res->wall_ms, res->cpu_ms };
	struct gr_err err;
	json_t *s = NULL;
	bool is_lost = gr_control_summary(b->control, &s, NULL) < 0;
	char *text;

	if (is_lost)
		s = json_object();
	json_object_set_new(s, "agent_lost", json_boolean(is_lost));
	if (b->calls) {
		gr_calls_read(b->calls);
		gr_calls_add_to(b->calls, s);
	}
	if (b->o->summary)
		gr_summary_print(s, &cost, stderr);
	if (b->o->summary_json) {
		json_object_set_new(s, "wall_ms", json_integer((json_int_t)res->wall_ms));
		json_object_set_new(s, "make_cpu_ms", json_integer((json_int_t)res->cpu_ms));
		json_object_set_new(s, "exit_code", json_integer(res->exit_code));
		json_object_set_new(s, "is_interrupted", json_boolean(res->is_interrupted));
		text = json_dumps(s, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		if (gr_file_replace(b->o->summary_json, text, strlen(text), 0644, false, &err) < 0)
			fprintf(stderr, "griddle make: summary: %s\n", err.text);
		free(text);
	}
	json_decref(s);
}

static int run_build(struct build *b, int n_words, char **words)
{
	extern char **environ;
	struct gr_make_result res;
	struct gr_target t = { 0 };
	struct gr_err err = { 0 };
	char *wrapper = NULL;
	int rc, status;

	rc = gr_target_resolve(&t, &b->o->target, &b->paths, &err);
	if (rc == 0)
		rc = find_wrapper(&wrapper, &err);
	if (rc == 0)
		rc = gr_make_args_init(&b->args, wrapper, b->o->jobs, n_words, words, environ, &err);
	if (rc == 0 && b->args.n_job == GR_MAKE_AUTO)
		rc = make_jobserver(b, &err);
	if (rc == 0)
		rc = open_build(b, &t, &err);
	if (rc == 0) {
		gr_make_args_set_jobs(&b->args, b->rfd, b->wfd);
		gr_make_args_setenv(&b->args, "GRIDDLE_SOCKET", b->paths.socket);
		gr_make_args_setenv(&b->args, "GRIDDLE_BUILD", b->id);
		/* Without it the build is as good, and its summary lacks what the wrappers decide alone. */
		if (gr_calls_open(b->paths.runtime, b->id, &b->calls, NULL) < 0)
			b->calls = NULL;
		gr_make_args_setenv(&b->args, GR_NOTE_ENV, b->calls ? gr_calls_path(b->calls) : "");
		rc = gr_make_run(&b->args, b->control, b->calls, b->rfd, b->wfd, &res, &err);
	}
	if (rc < 0) {
		status = gr_cmd_fail(b->cmd, &err);
	} else {
		finish(b, &res);
		status = res.is_interrupted ? GR_EXIT_INTERRUPTED : res.exit_code;
	}
	gr_calls_close(&b->calls);
	gr_control_close(&b->control);   /* ends the build: what is still away is cancelled */
	gr_make_args_fini(&b->args);
	gr_target_fini(&t);
	free(wrapper);
	return status;
}

static int run_make(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct gr_err err = { 0 };
	struct make_opts o;
	struct gr_conf conf;
	struct build b = { .cmd = cmd, .o = &o, .rfd = -1, .wfd = -1 };
	int rc, i = gr_cmd_options(cmd, argc, argv, &conf, &o, &err);

	if (i < 0) {
		rc = gr_cmd_fail(cmd, &err);
		fprintf(stderr, "make's own long options go behind --, as in: griddle make -- --keep-going\n");
		return rc;
	}
	rc = gr_paths_init(&b.paths, &err);
	if (rc < 0) {
		gr_conf_fini(&conf);
		return gr_cmd_fail(cmd, &err);
	}
	snprintf(b.id, sizeof(b.id), "make-%d-%" PRIx64, (int)getpid(), gr_cluster_start_time(getpid()));
	rc = run_build(&b, argc - i, argv + i);
	gr_paths_fini(&b.paths);
	gr_conf_fini(&conf);
	return rc;
}

const struct gr_cmd gr_cmd_make = {
	.name = "make", .args = "[MAKE'S ARGUMENTS...]", .summary = "run make with its compiles spread over the cluster",
	.help = "  griddle make -j auto bzImage\n"
		"  griddle make -j 64 --remote always CC=clang all\n"
		"  griddle make -- --keep-going -C src\n\n"
		"Runs make with CC and CXX wrapped in griddle-cc, whatever they are: an assignment among the words, the\n"
		"environment, LLVM=1, CROSS_COMPILE=, else gcc and g++. HOSTCC is left alone. Starts the agent when none runs.\n"
		"A progress line and, at the end, what ran where and why go to stderr; make's own output is untouched.\n"
		"\n"
		"-j auto, the default, gives make this machine's cores and one job more for every compile that is away.\n"
		"-j N is make's own -j.\n"
		"\n"
		"The exit code is make's own (2 for a failed build, as make says it), 8 when interrupted; before make runs,\n"
		"2 for bad usage, 32 when no cluster is configured, 36 for trouble on this machine.\n",
	.keys = make_keys, .n_keys = GR_LEN(make_keys), .shorts = "j=jobs", .run = run_make,
};
