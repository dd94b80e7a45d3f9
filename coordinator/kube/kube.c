/* kube.c - see kube.h: Pods and Nodes as the watches tell them, joined to workers by the pod's uid and the node's name.
 *
 * A pod that is deleted, evicted or preempted, or whose node leaves, drains: nothing new, what would not end in time moves.
 * A cordoned node (or one under pressure) takes nothing new, what runs there goes on. Live events count the grace from now,
 * which no clock's skew can spoil; what a list shows as deleting already is reckoned by the server's clock. */
#include "coordinator/kube/kube.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/kube/kube_int.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define SKEW_S 30                          /* of the server's clock, from which on it is said */

/* ---- joining ---- */

struct gr_kpod *gr_kube__pod_of(const struct gr_kube *k, const struct gr_worker *w)
{
	return w->pod_uid[0] ? gr_map_get(&k->pod_by_uid, w->pod_uid, strlen(w->pod_uid)) : NULL;
}

static struct gr_knode *node_of(const struct gr_kube *k, const struct gr_worker *w)
{
	return gr_map_get(&k->node_by_name, w->node, strlen(w->node));
}

/* When the worker will be gone by what is known, and why; 0: it stays. */
static uint64_t leaves_ns(const struct gr_kpod *pod, const struct gr_knode *node, char *why, size_t n_why)
{
	uint64_t at = 0;

	if (pod && pod->gone_ns) {
		at = pod->gone_ns;
		if (pod->f.is_disrupted)
			snprintf(why, n_why, "its pod is to go: %s", pod->f.why[0] ? pod->f.why : "DisruptionTarget");
		else
			snprintf(why, n_why, "its pod is being deleted");
	}
	if (node && node->gone_ns && (!at || node->gone_ns < at)) {
		at = node->gone_ns;
		snprintf(why, n_why, "its node leaves: %s", node->f.why);
	}
	return at;
}

static void drain(struct gr_kube *k, struct gr_worker *w, uint64_t gone_ns)
{
	struct gr_coord *c = k->c;
	uint64_t now = gr_coord_now(c);

	if (gone_ns == w->kube_gone_ns)
		return;
	if (gone_ns && !w->kube_gone_ns)
		gr_info("kube", "worker %s drains, %" PRIu64 " s left to it: %s", w->name,
			(uint64_t)(gone_ns > now ? (gone_ns - now) / GR_NS_PER_S : 0), w->kube_why);
	w->kube_gone_ns = gone_ns;
	if (!gone_ns && w->is_drain_told)
		return;                  /* it drains by itself */
	w->is_draining = gone_ns != 0;
	if (gone_ns && w->told_gone_ns && w->told_gone_ns < gone_ns)
		gone_ns = w->told_gone_ns;
	if (!gone_ns)
		gr_info("kube", "worker %s stays after all", w->name);
	gr_place_worker_drain(c->place, now, w->place, gone_ns != 0, gone_ns > now || !gone_ns ? gone_ns : now + 1);
	if (gone_ns)
		c->worker_gone_ns = now;
	gr_dispatch_recheck(c, gone_ns != 0);
	gr_cluster_touch(c);
}

static void cordon(struct gr_kube *k, struct gr_worker *w, const struct gr_knode *node)
{
	struct gr_coord *c = k->c;
	int id;

	if (w->is_cordoned == node->f.is_cordoned && (w->node_cpu_mcpu || !node->f.cpu_mcpu))
		return;
	id = gr_place_node(c->place, w->node);
	if (id < 0)
		return;
	if (w->is_cordoned != node->f.is_cordoned)
		gr_info("kube", "worker %s: its node %s %s%s", w->name, w->node, node->f.is_cordoned ? "takes nothing new: " : "takes tasks again",
			node->f.is_cordoned ? node->f.why : "");
	w->is_cordoned = node->f.is_cordoned;
	if (!w->node_cpu_mcpu)
		w->node_cpu_mcpu = node->f.cpu_mcpu;
	gr_place_node_set(c->place, (uint32_t)id, w->node_cpu_mcpu, w->is_cordoned);
	if (w->is_cordoned)
		c->worker_gone_ns = gr_coord_now(c);
	gr_dispatch_recheck(c, w->is_cordoned);
	gr_cluster_touch(c);
}

static void join(struct gr_kube *k, struct gr_worker *w)
{
	const struct gr_kpod *pod = gr_kube__pod_of(k, w);
	const struct gr_knode *node = node_of(k, w);
	uint64_t gone_ns;

	if (node)
		cordon(k, w, node);
	if (w->is_pod_gone)
		return;
	w->kube_why[0] = 0;
	gone_ns = leaves_ns(pod, node, w->kube_why, sizeof(w->kube_why));
	if (node && node->f.is_cordoned && !gone_ns)
		snprintf(w->kube_why, sizeof(w->kube_why), "its node takes nothing new: %s", node->f.why);
	drain(k, w, gone_ns);
}

void gr_kube_worker_facts(struct gr_coord *c, struct gr_worker *w)
{
	const struct gr_knode *n = c->kube ? node_of(c->kube, w) : NULL;

	if (!n)
		return;
	if (!w->zone[0])
		snprintf(w->zone, sizeof(w->zone), "%s", n->f.zone);
	snprintf(w->machine, sizeof(w->machine), "%s", n->f.type);
}

void gr_kube_worker_up(struct gr_coord *c, struct gr_worker *w, const json_t *hello)
{
	struct gr_kube *k = c->kube;

	if (!k)
		return;
	if (k->nodes && !gr_kwatch_is_synced(k->nodes))
		w->hello = json_incref((json_t *)hello);
	join(k, w);
}

void gr_kube_worker_gone(struct gr_worker *w)
{
	json_decref(w->hello);
	w->hello = NULL;
}

const char *gr_kube_worker_why(const struct gr_worker *w)
{
	return w->kube_why[0] ? w->kube_why : NULL;
}

/* ---- pods ---- */

static uint64_t after(const struct gr_kube *k, int64_t seconds)
{
	return gr_coord_now(k->c) + (seconds > 0 ? (uint64_t)seconds : 0) * GR_NS_PER_S + 1;
}

static void on_pod(void *ctx, const json_t *obj, bool is_live)
{
	struct gr_kube *k = ctx;
	struct gr_kpod_facts f;
	struct gr_kpod *p;

	if (!gr_kpod_read(obj, &f))
		return;
	p = gr_map_get(&k->pod_by_uid, f.uid, strlen(f.uid));
	if (!p) {
		GR_NEW(p);
		memcpy(p->f.uid, f.uid, sizeof(f.uid));
		gr_map_put(&k->pod_by_uid, p->f.uid, strlen(p->f.uid), p);
	}
	if (!f.deleted_s && !f.is_disrupted) {
		p->gone_ns = 0;
	} else if (f.deleted_s && (!p->f.deleted_s || f.deleted_s < p->f.deleted_s)) {
		int64_t left = f.deleted_s - (int64_t)(gr_clock_real_ms() / 1000) - gr_kapi_skew_s(k->api);

		if (is_live || left > f.grace_s)
			left = f.grace_s;
		p->gone_ns = after(k, left);
	} else if (!p->gone_ns) {
		p->gone_ns = after(k, f.grace_s);
	}
	p->f = f;
	p->list = k->pods_list;
	GR_LIST_EACH(w, &k->c->workers, struct gr_worker, link)
		if (!strcmp(w->pod_uid, p->f.uid))
			join(k, w);
}

/* The object is gone: so is the pod, or soon; its worker's silence tells which. What was known of its end stays true. */
static void forget_pod(struct gr_kube *k, struct gr_kpod *p)
{
	GR_LIST_EACH(w, &k->c->workers, struct gr_worker, link)
		if (!strcmp(w->pod_uid, p->f.uid)) {
			snprintf(w->kube_why, sizeof(w->kube_why), "its pod is deleted");
			w->is_pod_gone = true;
			drain(k, w, w->kube_gone_ns ? w->kube_gone_ns : after(k, p->f.grace_s));
		}
	gr_map_del(&k->pod_by_uid, p->f.uid, strlen(p->f.uid));
	free(p);
}

static void on_pod_deleted(void *ctx, const json_t *obj)
{
	struct gr_kube *k = ctx;
	struct gr_kpod_facts f;
	struct gr_kpod *p = gr_kpod_read(obj, &f) ? gr_map_get(&k->pod_by_uid, f.uid, strlen(f.uid)) : NULL;

	if (p)
		forget_pod(k, p);
}

static void on_pods_list(void *ctx)
{
	((struct gr_kube *)ctx)->pods_list++;
}

static void on_pods_listed(void *ctx)
{
	struct gr_kube *k = ctx;
	struct gr_kpod *p;
	size_t i = 0;

	while ((p = gr_map_each(&k->pod_by_uid, &i)))
		if (p->list != k->pods_list) {
			forget_pod(k, p);
			i = 0;           /* the table moved */
		}
}

/* ---- nodes ---- */

static void join_node(struct gr_kube *k, const struct gr_knode *n)
{
	GR_LIST_EACH(w, &k->c->workers, struct gr_worker, link)
		if (!strcmp(w->node, n->f.name))
			join(k, w);
}

static void on_node(void *ctx, const json_t *obj, bool is_live)
{
	struct gr_kube *k = ctx;
	struct gr_knode_facts f;
	struct gr_knode *n;

	(void)is_live;
	if (!gr_knode_read(obj, &f))
		return;
	n = gr_map_get(&k->node_by_name, f.name, strlen(f.name));
	if (!n) {
		GR_NEW(n);
		memcpy(n->f.name, f.name, sizeof(f.name));
		gr_map_put(&k->node_by_name, n->f.name, strlen(n->f.name), n);
	}
	if (!f.leaves_s)
		n->gone_ns = 0;
	else if (f.leaves_s != n->f.leaves_s)
		n->gone_ns = after(k, f.leaves_s);
	n->f = f;
	n->list = k->nodes_list;
	join_node(k, n);
}

/* A node that is no object any more: nothing new goes there, as if it were cordoned. */
static void forget_node(struct gr_kube *k, struct gr_knode *n)
{
	n->f.is_cordoned = true;
	snprintf(n->f.why, sizeof(n->f.why), "it is no longer one of the cluster's");
	join_node(k, n);
	gr_map_del(&k->node_by_name, n->f.name, strlen(n->f.name));
	free(n);
}

static void on_node_deleted(void *ctx, const json_t *obj)
{
	struct gr_kube *k = ctx;
	struct gr_knode_facts f;
	struct gr_knode *n = gr_knode_read(obj, &f) ? gr_map_get(&k->node_by_name, f.name, strlen(f.name)) : NULL;

	if (n)
		forget_node(k, n);
}

static void on_nodes_list(void *ctx)
{
	((struct gr_kube *)ctx)->nodes_list++;
}

static void on_nodes_listed(void *ctx)
{
	struct gr_kube *k = ctx;
	struct gr_knode *n;
	size_t i = 0;

	while ((n = gr_map_each(&k->node_by_name, &i)))
		if (n->list != k->nodes_list) {
			forget_node(k, n);
			i = 0;
		}
	/* workers that came before the nodes were known: placed anew with zone and type, where nothing runs on them yet */
	GR_LIST_EACH(w, &k->c->workers, struct gr_worker, link) {
		json_t *hello = w->hello;

		if (!hello)
			continue;
		w->hello = NULL;
		gr_peers_replace(k->c, w, hello);
		json_decref(hello);
	}
}

/* ---- what is said ---- */

void gr_kube_say(struct gr_kube *k, const char *why)
{
	if (why && !k->is_down)
		gr_warn("kube", "the API server cannot be used: %s; going on with what is known of pods and nodes", why);
	else if (!why && k->is_down)
		gr_info("kube", "the API server is back");
	k->is_down = why != NULL;
	if (!why && !k->is_skew_told && llabs((long long)gr_kapi_skew_s(k->api)) > SKEW_S) {
		k->is_skew_told = true;
		gr_warn("kube", "the API server's clock is %" PRId64 " s off ours", gr_kapi_skew_s(k->api));
	}
}

static void on_state(struct gr_kube *k, int which, const char *why, bool is_ours)
{
	const char *what = which ? "nodes" : "pods";

	if (why && !is_ours) {
		gr_kube_say(k, why);
		return;
	}
	gr_kube_say(k, NULL);
	if (why && !k->is_denied[which])
		gr_warn("kube", "%s cannot be watched: %s; going on without", what, why);
	else if (!why && k->is_denied[which])
		gr_info("kube", "%s are watched again", what);
	k->is_denied[which] = why != NULL;
}

static void on_pods_state(void *ctx, const char *why, bool is_ours) { on_state(ctx, 0, why, is_ours); }
static void on_nodes_state(void *ctx, const char *why, bool is_ours) { on_state(ctx, 1, why, is_ours); }

static const struct gr_kwatch_ops pods_ops = { on_pod, on_pod_deleted, on_pods_list, on_pods_listed, on_pods_state };
static const struct gr_kwatch_ops nodes_ops = { on_node, on_node_deleted, on_nodes_list, on_nodes_listed, on_nodes_state };

/* ---- life ---- */

void gr_kube__namespace(const struct gr_coord_config *cfg, char out[64])
{
	struct gr_buf path = { 0 }, b = { 0 };
	struct gr_err err = { 0 };

	snprintf(out, 64, "%s", cfg->kube_namespace ? cfg->kube_namespace : "default");
	gr_buf_printf(&path, "%s/namespace", cfg->kube_account);
	if (!cfg->kube_namespace && gr_file_read(gr_buf_str(&path), 256, &b, &err) >= 0 && b.n) {
		snprintf(out, 64, "%.*s", (int)b.n, (const char *)b.p);
		out[strcspn(out, "\r\n ")] = 0;
	}
	gr_buf_fini(&path);
	gr_buf_fini(&b);
}

void gr_kube_open(struct gr_coord *c)
{
	const struct gr_coord_config *cfg = &c->cfg;
	struct gr_buf path = { 0 };
	struct gr_kube *k;

	if (!cfg->kube_pods && !cfg->kube_nodes && !cfg->kube_scale)
		return;
	if (!cfg->kube_api) {
		gr_warn("kube", "not in a pod: KUBERNETES_SERVICE_HOST is not set, and --kube-api neither; going on without the API");
		return;
	}
	GR_NEW(k);
	k->c = c;
	k->pod_by_uid.seed = gr_rng_u64(gr_loop_rng(c->loop));
	k->node_by_name.seed = gr_rng_u64(gr_loop_rng(c->loop));
	k->api = gr_kapi_new(c->loop, cfg->kube_api, cfg->kube_account);
	if (!k->api) {
		gr_warn("kube", "libcurl cannot be set up; going on without the API");
		free(k);
		return;
	}
	c->kube = k;
	gr_kube__namespace(cfg, k->ns);
	if (cfg->kube_pods) {
		gr_buf_add_str(&path, "/api/v1/namespaces/");
		gr_kapi_escape(&path, k->ns);
		gr_buf_add_str(&path, "/pods");
		k->pods = gr_kwatch_new(k->api, c->loop, gr_buf_str(&path), cfg->kube_pods, (uint32_t)cfg->kube_timeout_ms, &pods_ops, k);
		gr_buf_fini(&path);
	}
	if (cfg->kube_nodes)
		k->nodes = gr_kwatch_new(k->api, c->loop, "/api/v1/nodes", NULL, (uint32_t)cfg->kube_timeout_ms, &nodes_ops, k);
	gr_kscaler_open(k);
}

void gr_kube_close(struct gr_coord *c)
{
	struct gr_kube *k = c->kube;
	void *x;
	size_t i = 0;

	if (!k)
		return;
	c->kube = NULL;
	gr_kscaler_close(k);
	gr_kwatch_free(&k->pods);
	gr_kwatch_free(&k->nodes);
	gr_kapi_free(&k->api);
	while ((x = gr_map_each(&k->pod_by_uid, &i)))
		free(x);
	for (i = 0; (x = gr_map_each(&k->node_by_name, &i));)
		free(x);
	gr_map_fini(&k->pod_by_uid);
	gr_map_fini(&k->node_by_name);
	free(k);
}

/* ---- shown ---- */

struct counts { uint32_t pods, pending, unschedulable, deleting, nodes, cordoned, leaving; const char *why; };

static struct counts count(const struct gr_kube *k)
{
	struct counts n = { .pods = (uint32_t)k->pod_by_uid.n, .nodes = (uint32_t)k->node_by_name.n };
	const struct gr_kpod *p;
	const struct gr_knode *x;
	size_t i = 0;

	while ((p = gr_map_each(&k->pod_by_uid, &i))) {
		n.pending += p->f.is_pending;
		n.unschedulable += p->f.is_unschedulable;
		n.deleting += p->gone_ns != 0;
		if (p->f.is_unschedulable && !n.why)
			n.why = p->f.why;
	}
	for (i = 0; (x = gr_map_each(&k->node_by_name, &i));) {
		n.cordoned += x->f.is_cordoned;
		n.leaving += x->gone_ns != 0;
	}
	return n;
}

static bool is_heard(const struct gr_kube *k, int which)
{
	const struct gr_kwatch *w = which ? k->nodes : k->pods;

	return w && gr_kwatch_is_synced(w) && !k->is_denied[which] && !k->is_down;
}

json_t *gr_kube_json(const struct gr_coord *c)
{
	const struct gr_kube *k = c->kube;
	struct counts n;
	json_t *o;

	if (!k)
		return NULL;
	n = count(k);
	o = json_pack("{s:s, s:b, s:b, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "namespace", k->ns, "reachable", !k->is_down, "pods_known", is_heard(k, 0),
		      "nodes_known", is_heard(k, 1), "pods", n.pods, "pending", n.pending, "unschedulable", n.unschedulable, "leaving", n.deleting,
		      "nodes", n.nodes, "nodes_cordoned", n.cordoned, "nodes_leaving", n.leaving);
	if (n.why)
		json_object_set_new(o, "unschedulable_why", json_string(n.why));
	json_object_set_new(o, "scale", gr_kscaler_json(k));
	return o;
}

void gr_kube_metrics(const struct gr_coord *c, struct gr_buf *b)
{
	struct gr_kapi_stats s;
	const struct gr_kube *k = c->kube;
	struct counts n;

	if (!k)
		return;
	n = count(k);
	gr_kapi_stats(k->api, &s);
	gr_metrics_one(b, "kube_api_up", "gauge", "Whether the cluster's API server can be used.", !k->is_down);
	gr_metrics_head(b, "kube_watch_up", "gauge", "Whether what is to be watched is: 0 without the right to it, and while the API server is away.");
	for (int i = 0; i < 2; i++)
		if (i ? k->nodes : k->pods)
			gr_buf_printf(b, "griddle_kube_watch_up{resource=\"%s\"} %d\n", i ? "nodes" : "pods", is_heard(k, i));
	gr_metrics_one(b, "kube_pods", "gauge", "Worker pods the cluster has.", n.pods);
	gr_metrics_one(b, "kube_pods_pending", "gauge", "Worker pods without a node.", n.pending);
	gr_metrics_one(b, "kube_pods_unschedulable", "gauge", "Worker pods the cluster's scheduler has no node for.", n.unschedulable);
	gr_metrics_one(b, "kube_pods_leaving", "gauge", "Worker pods that are deleted, evicted or preempted.", n.deleting);
	gr_metrics_one(b, "kube_nodes", "gauge", "Nodes of the cluster.", n.nodes);
	gr_metrics_one(b, "kube_nodes_cordoned", "gauge", "Nodes that take nothing new.", n.cordoned);
	gr_metrics_one(b, "kube_nodes_leaving", "gauge", "Nodes that said they will be gone.", n.leaving);
	gr_metrics_one(b, "kube_requests_total", "counter", "Requests to the API server.", s.requests);
	gr_metrics_one(b, "kube_requests_failed_total", "counter", "Of those, without an answer or with an error.", s.failed);
	gr_metrics_one(b, "kube_received_bytes_total", "counter", "Bytes the API server sent.", s.bytes_in);
	gr_metrics_one(b, "kube_events_total", "counter", "Events of watches.", gr_kwatch_events(k->pods) + gr_kwatch_events(k->nodes));
	gr_metrics_one(b, "kube_relists_total", "counter", "Lists of pods or nodes read whole.", (uint64_t)k->pods_list + k->nodes_list);
	gr_kscaler_metrics(k, b);
}
