/* facts.c - see facts.h */
#include "coordinator/kube/facts.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/alloc.h"

/* Taints that say a node leaves, and how long it has then at most. Sources: the documentation of the AWS node termination
 * handler, of GKE's and AKS's graceful termination, of Karpenter and of the cluster autoscaler. */
static const struct { const char *key; int64_t leaves_s; } leaving[] = {
	{ "aws-node-termination-handler/spot-itn", 120 },
	{ "aws-node-termination-handler/asg-lifecycle-termination", 300 },
	{ "aws-node-termination-handler/scheduled-maintenance", 600 },
	{ "cloud.google.com/impending-node-termination", 25 },
	{ "remediator.aks.microsoft.com/unschedulable", 30 },
	{ "remediator.kubernetes.azure.com/unschedulable", 30 },
	{ "node.cloudprovider.kubernetes.io/shutdown", 1 },
	{ "node.kubernetes.io/out-of-service", 1 },
	{ "karpenter.sh/disrupted", 600 },
	{ "karpenter.sh/disruption", 600 },
	{ "ToBeDeletedByClusterAutoscaler", 600 },
};
/* Taints that keep new pods away from a node which may stay: so do we. */
static const char *const avoiding[] = {
	"node.kubernetes.io/unschedulable", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "node.kubernetes.io/memory-pressure",
	"node.kubernetes.io/disk-pressure", "node.kubernetes.io/pid-pressure", "aws-node-termination-handler/rebalance-recommendation",
};

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* For people and for /metrics: what is no printable byte becomes '?'. */
static void copy(char *out, size_t n_out, const char *s)
{
	snprintf(out, n_out, "%s", s);
	for (; *out; out++)
		if ((unsigned char)*out < ' ' || *out == 127)
			*out = '?';
}

int64_t gr_ktime_parse(const char *s)
{
	struct tm tm = { 0 };
	const char *end = s ? strptime(s, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	if (!end || (*end != 'Z' && *end != '.'))
		return 0;
	return (int64_t)timegm(&tm);
}

uint32_t gr_kcpu_parse(const char *s)
{
	char *end;
	unsigned long long v;

	if (!s || *s < '0' || *s > '9')
		return 0;
	v = strtoull(s, &end, 10);
	if (v > 0x3fffffff || (*end && strcmp(end, "m")))
		return 0;
	if (!*end)
		v *= 1000;
	return v > 0x3fffffff ? 0 : (uint32_t)v;
}

/* The pods of a Deployment belong to a ReplicaSet, "DEPLOYMENT-HASH". */
static void read_owner(const json_t *meta, char *out, size_t n_out)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(meta, "ownerReferences"), i, o) {
		const char *name = text(o, "name"), *dash = strrchr(name, '-');

		if (!strcmp(text(o, "kind"), "ReplicaSet") && dash && (size_t)(dash - name) < n_out)
			snprintf(out, n_out, "%.*s", (int)(dash - name), name);
	}
}

static void read_conditions(const json_t *status, struct gr_kpod_facts *f)
{
	const json_t *c;
	size_t i;

	json_array_foreach(json_object_get(status, "conditions"), i, c) {
		const char *type = text(c, "type"), *is = text(c, "status");

		if (!strcmp(type, "DisruptionTarget") && !strcmp(is, "True")) {
			f->is_disrupted = true;
			copy(f->why, sizeof(f->why), text(c, "reason"));
		} else if (!strcmp(type, "PodScheduled") && !strcmp(is, "False") && !strcmp(text(c, "reason"), "Unschedulable")) {
			f->is_unschedulable = true;
			copy(f->why, sizeof(f->why), text(c, "message"));
		}
	}
}

bool gr_kpod_read(const json_t *pod, struct gr_kpod_facts *f)
{
	const json_t *meta = json_object_get(pod, "metadata"), *spec = json_object_get(pod, "spec"), *status = json_object_get(pod, "status");
	const json_t *grace = json_object_get(meta, "deletionGracePeriodSeconds");

	memset(f, 0, sizeof(*f));
	copy(f->uid, sizeof(f->uid), text(meta, "uid"));
	copy(f->name, sizeof(f->name), text(meta, "name"));
	copy(f->node, sizeof(f->node), text(spec, "nodeName"));
	read_owner(meta, f->owner, sizeof(f->owner));
	f->is_pending = !strcmp(text(status, "phase"), "Pending") && !f->node[0];
	f->deleted_s = gr_ktime_parse(json_string_value(json_object_get(meta, "deletionTimestamp")));
	f->grace_s = json_integer_value(json_is_integer(grace) ? grace : json_object_get(spec, "terminationGracePeriodSeconds"));
	if (f->grace_s < 0 || f->grace_s > 7 * 86400)
		f->grace_s = 0;
	f->cost = strtoll(text(json_object_get(meta, "annotations"), "controller.kubernetes.io/pod-deletion-cost"), NULL, 10);
	read_conditions(status, f);
	return f->uid[0] && f->name[0];
}

static void read_taint(const json_t *taint, struct gr_knode_facts *f)
{
	const char *key = text(taint, "key");

	for (size_t i = 0; i < GR_LEN(leaving); i++)
		if (!strcmp(key, leaving[i].key) && strcmp(text(taint, "effect"), "PreferNoSchedule") &&
		    (!f->leaves_s || leaving[i].leaves_s < f->leaves_s)) {
			f->leaves_s = leaving[i].leaves_s;
			copy(f->why, sizeof(f->why), key);
		}
	for (size_t i = 0; i < GR_LEN(avoiding); i++)
		if (!strcmp(key, avoiding[i])) {
			f->is_cordoned = true;
			if (!f->leaves_s)
				copy(f->why, sizeof(f->why), key);
		}
}

bool gr_knode_read(const json_t *node, struct gr_knode_facts *f)
{
	const json_t *meta = json_object_get(node, "metadata"), *spec = json_object_get(node, "spec"), *labels = json_object_get(meta, "labels"), *t;
	size_t i;

	memset(f, 0, sizeof(*f));
	copy(f->name, sizeof(f->name), text(meta, "name"));
	copy(f->zone, sizeof(f->zone), text(labels, "topology.kubernetes.io/zone"));
	copy(f->type, sizeof(f->type), text(labels, "node.kubernetes.io/instance-type"));
	f->cpu_mcpu = gr_kcpu_parse(json_string_value(json_object_get(json_object_get(json_object_get(node, "status"), "capacity"), "cpu")));
	json_array_foreach(json_object_get(spec, "taints"), i, t)
		read_taint(t, f);
	if (json_is_true(json_object_get(spec, "unschedulable"))) {
		f->is_cordoned = true;
		if (!f->leaves_s)
			copy(f->why, sizeof(f->why), "unschedulable");
	}
	return f->name[0];
}
