/**
 * cgroup_int - what cgroup.c found and pressure.c reads (private to worker/signals)
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "worker/signals/cgroup.h"

struct gr_cgroup__chain {                 /* a group's folder and its parents', the own one first */
	char *dirs[GR_CGROUP_MAX_DEPTH];
	uint32_t n;
	bool is_root;                     /* the own one is the whole hierarchy's: its counters are the machine's */
};
struct gr_cgroup {
	char *root;
	struct gr_cgroup__chain v2, cpu, acct, mem;      /* the latter three: v1 */
	/* as they were at the last look */
	uint64_t n_periods[GR_CGROUP_MAX_DEPTH], n_throttled[GR_CGROUP_MAX_DEPTH];
	uint64_t cpu_total, cpu_steal, cpu_idle, used_us, at_ns;
	bool has_last;
};

/* A small file's text into @text; false when it is not there. */
bool gr_cgroup__slurp(const char *dir, const char *name, char *text, size_t max);
bool gr_cgroup__u64(const char *dir, const char *name, uint64_t *out);       /* false for "max" and whatever is no number */
bool gr_cgroup__value(const char *text, const char *key, uint64_t *out);     /* of "key value" lines */
