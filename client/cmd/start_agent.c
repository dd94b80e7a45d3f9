/* start_agent.c - see start_agent.h. The agent itself makes sure that one socket has one agent: when two are started at
 * the same time the second ends, and its starter finds the first one listening. */
#include "client/cmd/start_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/agent/control.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define READY_LIMIT_MS 20000

/* 1: one listens and serves @endpoint; 0: none listens. */
static int probe(const char *socket, const char *endpoint, struct gr_err *err)
{
	struct gr_control *c;
	const char *serves;
	json_t *status;
	int rc = gr_control_connect(socket, &c, err);

	if (rc == GR_EUNREACH)
		return 0;
	if (rc < 0)
		return rc;
	rc = gr_control_status(c, &status, err);
	gr_control_close(&c);
	if (rc < 0)
		return rc;
	serves = json_string_value(json_object_get(status, "coordinator"));
	rc = 1;
	if (serves && endpoint && strcmp(serves, endpoint))
		rc = gr_err_set(err, GR_EEXIST, "the running agent serves %s, not %s: `griddle agent --stop` ends it", serves, endpoint);
	json_decref(status);
	return rc;
}

int gr_start_agent(const struct gr_target *t, const struct gr_paths *paths, struct gr_cluster_proc *p, struct gr_err *err)
{
	const char *argv[16] = { NULL, "agent", "--coordinator", t->endpoint, "--socket", paths->socket, "--state" };
	char *self = NULL, *state, *ready, *log;
	size_t n = 7;
	int rc = probe(paths->socket, t->endpoint, err);

	if (rc)
		return rc;
	rc = gr_paths_sibling("griddle", &self, err);
	if (rc < 0)
		return rc;
	state = gr_paths_below(paths->state, "agent");
	ready = gr_paths_below(paths->runtime, "agent.ready");
	log = gr_paths_below(state, "agent.log");
	argv[0] = self;
	argv[n++] = state;
	argv[n++] = "--ready-file";
	argv[n++] = ready;
	if (t->server_key) {
		argv[n++] = "--server-key";
		argv[n++] = t->server_key;
		argv[n++] = "--keys";
		argv[n++] = t->keys;
	}
	*p = (struct gr_cluster_proc){ .role = "agent", .name = "agent" };
	unlink(ready);
	rc = gr_mkdir_p(state, 0700, err);
	if (rc == 0)
		rc = gr_cluster_spawn(argv, log, p, err);
	if (rc == 0)
		rc = gr_cluster_wait_ready(p, ready, log, READY_LIMIT_MS, err);
	if (rc < 0 && probe(paths->socket, t->endpoint, NULL) > 0)
		rc = 0;
	else if (rc == 0)
		rc = 1;
	else
		gr_err_wrap(err, "agent");
	free(self);
	free(state);
	free(ready);
	free(log);
	return rc;
}
