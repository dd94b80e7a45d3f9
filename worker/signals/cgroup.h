/**
 * cgroup - what this process may use, and how scarce it is: cgroup v1 and v2, PSI, steal
 *
 * Files are named below @root ("" on a machine), so that recorded trees can stand in for /proc and /sys.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/err.h"

#define GR_CGROUP_MAX_DEPTH 16

struct gr_cgroup;
/* Finds the process's groups by /proc/self/cgroup and /proc/self/mountinfo. Never fails: what is not there reads as
 * no limit. */
struct gr_cgroup *gr_cgroup_open(const char *root);
void gr_cgroup_free(struct gr_cgroup **g);
/* The folder of the process's own group: of v2, or of v1's memory controller. NULL: there is none. */
const char *gr_cgroup_own(const struct gr_cgroup *g, bool is_v2);

struct gr_limits {
	uint64_t quota_mcpu;      /* the tightest of the group and its parents; 0 none */
	uint64_t mem_bytes;       /* likewise; 0 none */
};
void gr_cgroup_limits(const struct gr_cgroup *g, struct gr_limits *out);

struct gr_pressure {              /* since the last call; permille */
	uint32_t throttled;       /* of the quota's periods: of the group or the parent where it is most */
	uint32_t steal;           /* of the machine's CPU time */
	uint32_t cpu, mem, io;    /* PSI some avg10: the group's, else the machine's */
	uint32_t node_cpu, node_mem, node_io;   /* the machine's */
	uint32_t used_mcpu;       /* cores the group used; 0 unknown, as when the group is the whole machine */
	uint32_t node_busy_mcpu;  /* cores of the machine that were not idle, by whomever; 0 unknown */
	uint64_t mem_used_bytes, mem_peak_bytes;
	uint64_t oom_kills;       /* in the group, ever */
};
/* @now_ns: monotonic. ~20 small files, ~60 us. */
void gr_cgroup_pressure(struct gr_cgroup *g, uint64_t now_ns, struct gr_pressure *out);
/* Cores of the machine that are online, whatever of them this process may use; 0 unknown. */
uint32_t gr_cgroup_node_cpus(const struct gr_cgroup *g);

/**
 * gr_slots_of - tasks at a time: the CPUs, or the quota rounded up when that is less, at 256 MiB of memory each; >= 1
 * A quota is time and not parallelism: 2.5 cores of it run three tasks at once, each a little slower. So the quota
 * itself is told besides, and placement weighs it. Pure.
 */
uint32_t gr_slots_of(const struct gr_limits *l, uint32_t n_cpu, uint64_t node_mem_bytes);
