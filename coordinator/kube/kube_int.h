/* kube_int - what the files of coordinator/kube share */
#pragma once
#include "coordinator/coord.h"
#include "coordinator/kube/api.h"
#include "coordinator/kube/facts.h"
#include "coordinator/kube/watch.h"
#include "lib/base/map.h"

#define GR_KUBE_MAX_SCALED 16

struct gr_kpod {
	struct gr_kpod_facts f;
	uint64_t gone_ns;                  /* when it will be gone, monotonic; 0: it stays */
	uint32_t list;                     /* number of the list it was in last */
};
struct gr_knode {
	struct gr_knode_facts f;
	uint64_t gone_ns;
	uint32_t list;
};
struct gr_kscaled {                        /* one Deployment */
	char name[254];
	uint32_t min, max;
	int64_t replicas;                  /* as last read or set; -1 unknown */
	uint32_t want;
};
struct gr_kscaler;

struct gr_kube {
	struct gr_coord *c;
	struct gr_kapi *api;
	struct gr_kwatch *pods, *nodes;    /* NULL: not watched */
	struct gr_map pod_by_uid, node_by_name;
	uint32_t pods_list, nodes_list;
	char ns[64];
	bool is_down, is_denied[2], is_skew_told;        /* told: the API, pods and nodes */
	struct gr_kscaler *scaler;
};

/* kube.c: of a worker that told its pod's uid; NULL: not known */
struct gr_kpod *gr_kube__pod_of(const struct gr_kube *k, const struct gr_worker *w);

/* As the settings or the service account's folder say; "default" without. */
void gr_kube__namespace(const struct gr_coord_config *cfg, char out[64]);

/* scaler.c */
void gr_kscaler_open(struct gr_kube *k);
void gr_kscaler_close(struct gr_kube *k);
json_t *gr_kscaler_json(const struct gr_kube *k);              /* a list */
void gr_kscaler_metrics(const struct gr_kube *k, struct gr_buf *b);
/* Says once that the API cannot be used (@why), and once that it can. */
void gr_kube_say(struct gr_kube *k, const char *why);
