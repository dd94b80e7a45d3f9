/**
 * main - griddle agent: settings, the parts put together, the loop, the end
 *
 * SIGTERM and SIGINT: every wrapper that waits is told to run its compiler itself, which takes no time; then the agent
 * says goodbye to the coordinator and ends.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "client/agent/agent.h"
#include "client/agent/cache.h"
#include "client/agent/control.h"
#include "client/agent/plan.h"
#include "client/agent/toolchains.h"
#include "client/cmd/cmd.h"
#include "client/paths.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/cc/closure.h"
#include "lib/cc/files.h"

#define TICK_MS 250

extern char **environ;

static void end(struct gr_agent *a)
{
	a->is_ending = true;
	gr_unit_end_all(a);
	gr_loop_stop(a->loop);
}

static void on_term(void *ctx, int signum)
{
	gr_info("agent", "%s: ending", signum == SIGINT ? "SIGINT" : "SIGTERM");
	end(ctx);
}

static void on_tick(void *ctx)
{
	struct gr_agent *a = ctx;
	uint64_t now = gr_loop_now_ns(a->loop), idle_ms;

	if (a->is_ending) {
		end(a);
		return;
	}
	/* Between builds too, so that the kernel's queue does not run over. */
	gr_cc_files_drain(a->files, (int64_t)(gr_clock_real_ms() * GR_NS_PER_MS));
	gr_unit_tick(a, now);
	if (gr_unit_n_waiting(a) || a->n_units[GR_UNIT_LOCAL] || a->builds.n)
		a->busy_ns = now;
	idle_ms = (now - a->busy_ns) / GR_NS_PER_MS;
	if (idle_ms > (uint64_t)a->conf->session_idle_ms && a->session && gr_session_n_records(a->session))
		gr_uplink_drop_session(a);
	if (a->conf->idle_exit_ms && idle_ms > (uint64_t)a->conf->idle_exit_ms) {
		gr_info("agent", "idle: ending");
		end(a);
	}
}

static void use_default(char **field, char *value)
{
	if (*field && **field) {
		free(value);
		return;
	}
	free(*field);
	*field = value;
}

/* What `griddle up` left: endpoint and the coordinator's key. */
static void read_cluster_file(struct gr_agent_conf *conf, const char *path)
{
	json_error_t jerr;
	json_t *j;
	const char *endpoint, *key;

	if (conf->coordinator && *conf->coordinator)
		return;
	j = json_load_file(path, 0, &jerr);
	endpoint = json_string_value(json_object_get(j, "endpoint"));
	key = json_string_value(json_object_get(j, "server_key"));
	if (endpoint)
		use_default(&conf->coordinator, gr_xstrdup(endpoint));
	if (key && *key)
		use_default(&conf->server_key, gr_xstrdup(key));
	json_decref(j);
}

static bool is_loopback(const char *endpoint)
{
	static const char *const start[] = { "ipc://", "tcp://127.", "tcp://localhost:", "tcp://[::1]:", NULL };
	size_t i;

	for (i = 0; endpoint && start[i]; i++)
		if (!strncmp(endpoint, start[i], strlen(start[i])))
			return true;
	return false;
}

static void fill_defaults(struct gr_agent_conf *conf, const struct gr_paths *paths)
{
	cpu_set_t set;

	use_default(&conf->socket, gr_xstrdup(paths->socket));
	use_default(&conf->state, gr_paths_below(paths->state, "agent"));
	read_cluster_file(conf, paths->cluster);
	conf->is_loopback = is_loopback(conf->coordinator);
	conf->runtime = paths->runtime;
	if (!conf->local_slots)
		conf->local_slots = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
}

static int write_ready_file(const struct gr_agent_conf *conf, struct gr_err *err)
{
	json_t *j;
	char *text;
	int rc;

	if (!conf->ready_file || !*conf->ready_file)
		return 0;
	j = json_pack("{s:s, s:i}", "socket", conf->socket, "pid", (int)getpid());
	text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	rc = gr_file_replace(conf->ready_file, text, strlen(text), 0644, false, err);
	free(text);
	return rc;
}

static int open_parts(struct gr_agent *a, struct gr_err *err)
{
	struct gr_cc_fs fs = { 0 };
	int rc;

	rc = gr_cc_fs_real(&fs, err);
	if (rc < 0)
		return rc;
	a->files = gr_cc_files_new(&fs);
	a->closer = gr_cc_closer_new(a->files);
	gr_plan_open(a);
	gr_toolchains_open(a);
	gr_blobs_open(a);
	gr_cache_open(a);
	rc = gr_uplink_open(a, err);
	if (rc < 0)
		return rc;
	a->tick = gr_timer_start(a->loop, TICK_MS, TICK_MS, on_tick, a);
	rc = gr_listen_open(a, err);
	if (rc < 0)
		return rc;
	return write_ready_file(a->conf, err);
}

static void close_parts(struct gr_agent *a)
{
	size_t i = 0;
	struct gr_build *b;

	gr_listen_close(a);
	gr_timer_stop(&a->tick);
	gr_blobs_close(a);
	gr_uplink_close(a);
	while ((b = gr_map_each(&a->builds, &i))) {      /* none: their connections closed them */
		gr_build_close(a, &b);
		i = 0;
	}
	if (a->no_build)
		gr_build_unref(&a->no_build);
	gr_toolchains_wait(a);
	gr_depends_wait(a);
	/* Close callbacks free what their handles lie in. */
	while (uv_run(gr_loop_uv(a->loop), UV_RUN_NOWAIT) && a->n_closing_turns++ < 8)
		;
	gr_cache_close(a);
	gr_cc_closer_free(&a->closer);
	gr_plan_finish(a);
	gr_toolchains_close(a);
	gr_cc_files_free(&a->files);
	gr_session_free(&a->session);
	gr_map_fini(&a->tasks);
	gr_map_fini(&a->builds);
}

static int run(const struct gr_agent_conf *conf)
{
	struct gr_agent a = { .conf = conf };
	struct gr_err err = { 0 };
	uint64_t seed = 0;
	int i, rc;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (uint64_t)getpid();
	/* Outputs get their wrapper's mask; what the agent keeps for itself nobody else reads. */
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	a.loop = gr_loop_new(seed);
	for (i = 0; i < GR_UNIT_N_STATES; i++)
		gr_list_init(&a.units[i]);
	a.started_ns = a.busy_ns = gr_loop_now_ns(a.loop);
	gr_loop_on_term(a.loop, on_term, &a);
	rc = open_parts(&a, &err);
	if (rc == 0) {
		gr_info("agent", "listening at %s", conf->socket);
		rc = gr_loop_run(a.loop);
	}
	gr_unit_end_all(&a);
	close_parts(&a);
	gr_loop_free(&a.loop);
	if (conf->ready_file && *conf->ready_file)
		unlink(conf->ready_file);
	if (rc < 0) {
		gr_error("agent", "%s", err.text[0] ? err.text : gr_err_text(rc));
		return gr_err_exit(rc);
	}
	return GR_EXIT_OK;
}

static int ask(const struct gr_agent_conf *conf, struct gr_err *err)
{
	struct gr_control *c;
	json_t *j = NULL;
	int rc = gr_control_connect(conf->socket, &c, err);

	if (rc < 0)
		return rc;
	if (conf->stop) {
		rc = gr_control_stop(c, err);
	} else {
		rc = gr_control_status(c, &j, err);
		if (rc == 0) {
			json_dumpf(j, stdout, JSON_INDENT(2));
			putchar('\n');
		}
		json_decref(j);
	}
	gr_control_close(&c);
	return rc;
}

int gr_cmd_agent(int argc, char **argv)
{
	struct gr_agent_conf conf = { 0 };
	struct gr_paths paths = { 0 };
	struct gr_conf view;
	struct gr_err err = { 0 };
	int rc, level, status = GR_EXIT_BUG;

	gr_log_init("griddle agent", GR_LOG_INFO);
	gr_conf_init(&view, gr_agent_keys, gr_agent_n_keys, &conf);
	rc = gr_conf_load_env(&view, environ, &err);
	if (rc >= 0)
		rc = gr_conf_load_args(&view, argc, argv, &err);
	if (rc >= 0 && rc < argc)
		rc = gr_err_set(&err, GR_EUSAGE, "%s: not understood; `griddle help agent` lists the options", argv[rc]);
	if (rc >= 0)
		rc = gr_paths_init(&paths, &err);
	if (rc >= 0) {
		level = gr_log_level_parse(conf.log);
		if (level < 0)
			rc = gr_err_set(&err, GR_ECONFIG, "log: wants error, warn, info or debug");
		else
			gr_log_init("griddle agent", (enum gr_log_level)level);
	}
	if (rc >= 0) {
		fill_defaults(&conf, &paths);
		rc = 0;
		if (conf.show_status || conf.stop)
			rc = ask(&conf, &err);
		else
			status = run(&conf);
	}
	if (rc < 0) {
		gr_error("agent", "%s", err.text);
		status = gr_err_exit(rc);
	} else if (conf.show_status || conf.stop) {
		status = GR_EXIT_OK;
	}
	gr_conf_fini(&view);
	gr_paths_fini(&paths);
	return status;
}
