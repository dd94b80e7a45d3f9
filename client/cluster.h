/**
 * cluster - cluster.json: the processes `griddle up` started, and how to reach them
 *
 * A process is known by its id and its start time together, so that an id the kernel gave to somebody else is never
 * signalled.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/base/err.h"

#define GR_CLUSTER_MAX_PROCS 66

struct gr_cluster_proc {
	char role[16], name[64];            /* "coordinator", "worker", "agent" */
	pid_t pid;
	uint64_t start;                     /* clock ticks after boot, /proc/PID/stat */
};
struct gr_cluster {
	char *endpoint, *http, *server_key; /* server_key NULL: plain, on loopback */
	size_t n_procs;
	struct gr_cluster_proc procs[GR_CLUSTER_MAX_PROCS];
};

/* GR_ENOENT when there is no such file; GR_ECONFIG when it is damaged. */
int gr_cluster_load(const char *path, struct gr_cluster *out, struct gr_err *err) GR_MUST_CHECK;
int gr_cluster_save(const char *path, const struct gr_cluster *c, struct gr_err *err) GR_MUST_CHECK;
void gr_cluster_fini(struct gr_cluster *c);

/* Start time of a live process (a zombie is not alive); 0 when there is none. */
uint64_t gr_cluster_start_time(pid_t pid);
bool gr_cluster_is_alive(const struct gr_cluster_proc *p);
size_t gr_cluster_n_alive(const struct gr_cluster *c);

/**
 * gr_cluster_spawn - start @argv detached: a session of its own, stdin /dev/null, output appended to @log, folder /
 * GRIDDLE_ settings of our own environment are not passed on: to an agent those that we give as flags, to others none
 * but the folders.
 * @p: role and name are set by the caller, pid and start here
 */
int gr_cluster_spawn(const char *const *argv, const char *log, struct gr_cluster_proc *p, struct gr_err *err) GR_MUST_CHECK;
/* Until @path exists, for at most @limit_ms; GR_EIO with the log's last lines when the process ends before, GR_ETIME. */
int gr_cluster_wait_ready(const struct gr_cluster_proc *p, const char *path, const char *log, int limit_ms,
			  struct gr_err *err) GR_MUST_CHECK;
/* SIGTERM to each that is alive, agents first and the coordinator last; after @limit_ms SIGKILL. Return: how many were. */
size_t gr_cluster_end(const struct gr_cluster *c, int limit_ms);
void gr_cluster_nap(int ms);
