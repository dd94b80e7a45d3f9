/**
 * control - how `griddle make`, `griddle status` and `griddle agent --status` talk to the agent
 *
 * One connection, blocking, each call one request and one answer; 10 s is the most a call waits (GR_ETIME), for progress half
 * a second. After GR_ETIME the connection is good still: an agent on a busy machine is late, not gone. A build
 * opened over a connection ends with the connection, so a killed `griddle make` leaves nothing behind.
 * Errors: GR_EUNREACH no agent at the socket, GR_EVERSION an agent of another version, GR_EPROTO it answered nonsense.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/err.h"

struct gr_control;
int gr_control_connect(const char *socket_path, struct gr_control **out, struct gr_err *err) GR_MUST_CHECK;
void gr_control_close(struct gr_control **c);

struct gr_control_build {
	const char *id;                   /* what the children carry in GRIDDLE_BUILD: [A-Za-z0-9._-]{1,64} */
	const char *remote;               /* "auto", "always", "never"; NULL: the agent's own setting */
	bool no_cache;                    /* neither look up nor store */
	int jobserver_rfd, jobserver_wfd; /* make's token pipe; -1, -1: none. Copied, stay the caller's */
	uint32_t n_job;                   /* -j of the make, 0 unknown: how many units it can have in flight */
};
/* Also resets the summary: one build a connection. */
int gr_control_build_open(struct gr_control *c, const struct gr_control_build *b, struct gr_err *err) GR_MUST_CHECK;

struct gr_control_progress {
	uint64_t remote, cached, local, failed;      /* units that ended so */
	uint64_t in_flight, waiting_local;           /* with the cluster now; waiting for a local slot */
	uint64_t bytes_sent, bytes_received;
	uint32_t slots, workers;                     /* the cluster's, 0 while it is not connected */
	bool is_connected;
};
int gr_control_progress(struct gr_control *c, struct gr_control_progress *out, struct gr_err *err) GR_MUST_CHECK;
/**
 * gr_control_summary - everything about the connection's build so far; a new reference
 * {"build": id, "remote": n, "cached": n, "local": n, "failed": n, "in_flight": n, "waiting_local": n,
 *  "reasons": {text: count of local units}, "locals": [{"source": path, "reason": text}, ... at most 10000],
 *  "retries": n, "bytes_sent": n, "bytes_received": n, "agent_cpu_ms": n, "remote_cpu_ms": n, "connected": bool,
 *  "slots": n, "workers": n}
 * "failed" counts remote units whose compiler exit code was not 0; they are in "remote" (or "cached") too.
 */
int gr_control_summary(struct gr_control *c, json_t **out, struct gr_err *err) GR_MUST_CHECK;
/**
 * gr_control_status - the agent itself; a new reference
 * {"version", "pid", "socket", "uptime_ms", "coordinator", "connected": bool, "why": text when not,
 *  "cluster": {"slots", "free", "workers", "credits", "toolchains": n}, "cpu_ms", "max_rss_bytes",
 *  "toolchains": [{"path", "digest", "name"}], "cache": {"entries", "bytes", "cap_bytes", "hits", "misses"},
 *  "units": {"remote", "cached", "local", "failed", "in_flight"}, "builds": [{"build", "remote", ...}]}
 */
int gr_control_status(struct gr_control *c, json_t **out, struct gr_err *err) GR_MUST_CHECK;
/* Asks the agent to end as at SIGTERM. */
int gr_control_stop(struct gr_control *c, struct gr_err *err) GR_MUST_CHECK;
