/**
 * facts - what a Pod or a Node object says that matters here
 *
 * Pure; everything is copied out. Texts that do not fit are cut.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct gr_kpod_facts {
	char uid[40], name[254], node[254];
	char owner[254];           /* the Deployment its ReplicaSet is named after, or "" */
	bool is_disrupted;         /* the condition DisruptionTarget */
	bool is_pending, is_unschedulable; /* waits; and the scheduler has no node for it */
	char why[160];             /* of the disruption, or why there is no node */
	int64_t deleted_s;         /* when it is to be gone, seconds since 1970 by the server's clock; 0 not deleting */
	int64_t grace_s;           /* what it was given, or would be */
	int64_t cost;              /* the annotation pod-deletion-cost; 0 without */
};
/* False without a uid and a name. */
bool gr_kpod_read(const json_t *pod, struct gr_kpod_facts *out);

struct gr_knode_facts {
	char name[254], zone[64], type[64];      /* type: "node.kubernetes.io/instance-type" */
	bool is_cordoned;          /* unschedulable, or a taint that keeps all new pods away: pressure, not ready, unreachable */
	char why[160];             /* which, and which taint says that it leaves */
	int64_t leaves_s;          /* a taint of a cloud, an autoscaler: it is gone so long after that came; 0 it stays */
	uint32_t cpu_mcpu;         /* of its capacity; 0 unknown */
};
bool gr_knode_read(const json_t *node, struct gr_knode_facts *out);

/* Seconds since 1970 of "2026-01-02T03:04:05Z" (fractions are cut); 0 for anything else. */
int64_t gr_ktime_parse(const char *text);
/* 1/1000 cores of "4", "3920m"; 0 for anything else or beyond 2^30 - 1. */
uint32_t gr_kcpu_parse(const char *text);
