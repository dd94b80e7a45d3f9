/**
 * cgroup - what this process may use, and how scarce it is: cgroup v1 and v2, PSI, steal
 *
 * Files are named below @root ("" on a machine), so that recorded trees can stand in for /proc and /sys.
 */
#pragma once
#include <stdint.h>
#include "lib/base/err.h"

#define GR_CGROUP_MAX_DEPTH 16

struct gr_cgroup;
/* Finds the process's groups by /proc/self/cgroup and /proc/self/mountinfo. Never fails: what is not there reads as
 * no limit. */
struct gr_cgroup *gr_cgroup_open(const char *root);
void gr_cgroup_free(struct gr_cgroup **g);

struct gr_limits {
	uint64_t quota_mcpu;      /* the tightest of the group and its parents; 0 none */
	uint64_t mem_bytes;       /* likewise; 0 none */
};
void gr_cgroup_limits(const struct gr_cgroup *g, struct gr_limits *out);

struct gr_pressure {              /* since the last call; permille */
	uint32_t throttled;       /* of the quota's periods */
	uint32_t steal;           /* of the machine's CPU time */
	uint32_t cpu, mem, io;    /* PSI some avg10: the group's, else the machine's */
	uint64_t mem_used_bytes;
};
void gr_cgroup_pressure(struct gr_cgroup *g, struct gr_pressure *out);

/* Tasks at a time for these limits: at least 1; the quota rounded to the nearest; 256 MiB of memory each. Pure. */
uint32_t gr_slots_of(const struct gr_limits *l, uint32_t n_cpu, uint64_t node_mem_bytes);
