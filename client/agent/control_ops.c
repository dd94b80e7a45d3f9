/**
 * control_ops - the agent's answers to control requests (client/agent/control.h)
 */
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "client/agent/agent.h"
#include "client/agent/cache.h"
#include "client/agent/toolchains.h"

static json_t *error_answer(const char *text)
{
	return json_pack("{s:s}", "error", text);
}

static json_t *op_build(struct gr_agent *a, struct gr_build **build, const json_t *req, int *fds, int n_fd)
{
	const char *id = json_string_value(json_object_get(req, "id"));
	const char *remote = json_string_value(json_object_get(req, "remote"));
	json_int_t n_job = json_integer_value(json_object_get(req, "n_job"));
	struct gr_err err = { 0 };
	int policy = -1;

	if (!id)
		return error_answer("build: no id");
	if (remote) {
		policy = gr_remote_parse(remote);
		if (policy < 0)
			return error_answer("build: remote is auto, always or never");
	}
	gr_build_close(a, build);
	*build = gr_build_open(a, id, &err);
	if (!*build)
		return error_answer(err.text);
	(*build)->remote = policy;
	(*build)->no_cache = json_is_true(json_object_get(req, "no_cache"));
	(*build)->n_job = n_job > 0 && n_job < 1 << 20 ? (uint32_t)n_job : 0;
	if (n_fd >= 2)
		(*build)->jobserver = gr_jobserver_new(a, fds[0], fds[1]);
	return json_object();
}

static json_t *op_status(struct gr_agent *a)
{
	const struct gr_cluster *c = gr_uplink_cluster(a);
	uint32_t n_away = a->n_units[GR_UNIT_AWAY] + a->n_units[GR_UNIT_QUEUED];
	json_t *j = json_object(), *builds = json_array();
	struct rusage ru;
	struct gr_build *b;
	size_t i = 0;

	getrusage(RUSAGE_SELF, &ru);
	json_object_set_new(j, "version", json_string(GR_VERSION));
	json_object_set_new(j, "pid", json_integer(getpid()));
	json_object_set_new(j, "socket", json_string(a->conf->socket));
	json_object_set_new(j, "uptime_ms", json_integer((json_int_t)((gr_loop_now_ns(a->loop) - a->started_ns) / 1000000)));
	json_object_set_new(j, "coordinator", json_string(a->conf->coordinator ? a->conf->coordinator : ""));
	json_object_set_new(j, "connected", json_boolean(gr_uplink_is_up(a)));
	if (!gr_uplink_is_up(a))
		json_object_set_new(j, "why", json_string(gr_uplink_why(a)));
	json_object_set_new(j, "cluster", json_pack("{s:I, s:I, s:I, s:I, s:I}", "slots", (json_int_t)c->slots, "free", (json_int_t)c->free,
		"workers", (json_int_t)c->workers, "credits", (json_int_t)c->credits, "toolchains", (json_int_t)c->n_toolchains));
	json_object_set_new(j, "cpu_ms", json_integer((json_int_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000 +
		(json_int_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000));
	json_object_set_new(j, "max_rss_bytes", json_integer((json_int_t)ru.ru_maxrss * 1024));
	json_object_set_new(j, "toolchains", gr_toolchains_json(a));
	json_object_set_new(j, "cache", gr_cache_json(a));
	json_object_set_new(j, "units", json_pack("{s:I, s:I, s:I, s:I, s:I}", "remote", (json_int_t)a->total.remote,
		"cached", (json_int_t)a->total.cached, "local", (json_int_t)a->total.local, "failed", (json_int_t)a->total.failed,
		"in_flight", (json_int_t)n_away));
	while ((b = gr_map_each(&a->builds, &i)))
		json_array_append_new(builds, gr_build_summary(a, b, false));
	json_object_set_new(j, "builds", builds);
	return j;
}

json_t *gr_control_handle(struct gr_agent *a, struct gr_build **build, struct gr_slice body, int *fds, int n_fd)
{
	json_error_t jerr;
	json_t *req = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, &jerr), *j;
	const char *op = json_string_value(json_object_get(req, "op"));

	if (!op)
		j = error_answer("no request: wants {\"op\": ...}");
	else if (!strcmp(op, "build"))
		j = op_build(a, build, req, fds, n_fd);
	else if (!strcmp(op, "progress") || !strcmp(op, "summary"))
		j = *build ? gr_build_summary(a, *build, op[0] == 's') : error_answer("no build is registered over this connection");
	else if (!strcmp(op, "status"))
		j = op_status(a);
	else if (!strcmp(op, "stop")) {
		a->is_ending = true;
		j = json_object();
	} else {
		j = error_answer("unknown op: wants build, progress, summary, status or stop");
	}
	json_decref(req);
	return j;
}
