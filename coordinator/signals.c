/* signals.c - what workers say of their machines: kept, added up by node, shown, and handed to placement.
 *
 * Workers of one node share its cores, and each sees how busy all of them are. What others than our workers use of a node
 * is that less the sum of what its workers use; both come in heartbeats, so a sum a node is kept up by differences. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/coord.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"

#define MAX_SLOTS 4096
#define MAX_MCPU 0x3fffffffu

struct gr_cnode {                         /* a machine with workers */
	uint32_t n_workers;
	uint64_t used_mcpu;               /* by its workers, as they last said */
	uint32_t busy_mcpu;               /* by anybody, as any of them last said */
	uint32_t n_name;
	char name[64];
};

void gr_signals_worker_up(struct gr_coord *c, struct gr_worker *w)
{
	struct gr_cnode *n = gr_map_get(&c->nodes, w->node, strlen(w->node));

	if (!n) {
		GR_NEW(n);
		n->n_name = (uint32_t)strlen(w->node);
		memcpy(n->name, w->node, n->n_name);
		gr_map_put(&c->nodes, n->name, n->n_name, n);
	}
	n->n_workers++;
	w->on_node = n;
}

void gr_signals_worker_gone(struct gr_coord *c, struct gr_worker *w)
{
	struct gr_cnode *n = w->on_node;

	w->on_node = NULL;
	n->used_mcpu -= w->signals[GR_SIGNAL_CPU_USED_MCPU];
	if (--n->n_workers)
		return;
	gr_map_del(&c->nodes, n->name, n->n_name);
	free(n);
}

void gr_signals_fini(struct gr_coord *c)
{
	struct gr_cnode *n;
	size_t i = 0;

	while ((n = gr_map_each(&c->nodes, &i)))
		free(n);
	gr_map_fini(&c->nodes);
}

static uint32_t at_most(uint64_t v, uint32_t max)
{
	return v < max ? (uint32_t)v : max;
}

/* Figures are a peer's word: each is cut to what can be true. */
static void take(struct gr_worker *w, uint8_t key, uint64_t value)
{
	struct gr_cnode *n = w->on_node;

	switch (key) {
	case GR_SIGNAL_CPU_THROTTLED_PERMILLE: case GR_SIGNAL_CPU_STEAL_PERMILLE: case GR_SIGNAL_CPU_PSI_PERMILLE:
	case GR_SIGNAL_MEM_PSI_PERMILLE: case GR_SIGNAL_IO_PSI_PERMILLE: case GR_SIGNAL_NODE_CPU_PSI_PERMILLE:
	case GR_SIGNAL_NODE_MEM_PSI_PERMILLE: case GR_SIGNAL_NODE_IO_PSI_PERMILLE:
		value = at_most(value, 1000);
		break;
	case GR_SIGNAL_CPU_QUOTA_MCPU:
		value = at_most(value, MAX_MCPU);
		break;
	case GR_SIGNAL_CPU_USED_MCPU:
		value = at_most(value, MAX_MCPU);
		n->used_mcpu += value;
		n->used_mcpu -= w->signals[key];
		break;
	case GR_SIGNAL_NODE_BUSY_MCPU:
		value = at_most(value, MAX_MCPU);
		n->busy_mcpu = (uint32_t)value;
		break;
	default:
		break;
	}
	w->signals[key] = value;
}

int gr_signals_ping(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	const uint64_t *v = w->signals;
	struct gr_place_signals s = { .rtt_ns = gr_peer_rtt_ns(w->peer) };
	struct gr_ping m;
	int rc = gr_ping_decode(body, &m);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < m.n_signals; i++)
		if (m.signals[i].key < GR_MAX_SIGNALS)
			take(w, m.signals[i].key, m.signals[i].value);
	s.quota_mcpu = (uint32_t)v[GR_SIGNAL_CPU_QUOTA_MCPU];
	s.throttled_permille = (uint32_t)v[GR_SIGNAL_CPU_THROTTLED_PERMILLE];
	s.steal_permille = (uint32_t)v[GR_SIGNAL_CPU_STEAL_PERMILLE];
	s.cpu_psi_permille = (uint32_t)v[GR_SIGNAL_CPU_PSI_PERMILLE];
	s.mem_psi_permille = (uint32_t)v[GR_SIGNAL_MEM_PSI_PERMILLE];
	s.io_psi_permille = (uint32_t)v[GR_SIGNAL_IO_PSI_PERMILLE];
	s.node_foreign_mcpu = gr_signals_foreign_mcpu(w);
	if (v[GR_SIGNAL_SLOTS] && v[GR_SIGNAL_SLOTS] <= MAX_SLOTS)
		s.slots = (uint32_t)v[GR_SIGNAL_SLOTS];
	if (s.slots && s.slots != w->slots) {
		gr_info("peers", "worker %s has %u slots now, had %u", w->name, s.slots, w->slots);
		w->slots = s.slots;
		gr_cluster_touch(c);
		gr_dispatch_kick(c);
	}
	gr_place_worker_signals(c->place, w->place, &s);
	return 0;
}

uint32_t gr_signals_foreign_mcpu(const struct gr_worker *w)
{
	const struct gr_cnode *n = w->on_node;

	/* a worker that cannot tell its own use (no group of its own) would count as foreign to itself */
	if (!w->signals[GR_SIGNAL_CPU_USED_MCPU] || n->busy_mcpu <= n->used_mcpu)
		return 0;
	return (uint32_t)(n->busy_mcpu - n->used_mcpu);
}

/* ---- shown ---- */

json_t *gr_signals_json(const struct gr_worker *w)
{
	static const struct { int key; const char *name; } rows[] = {
#define X(num, name, unit) { num, #name },
		GR_SIGNAL_MAP(X)
#undef X
	};
	json_t *o = json_object();
	char name[40];

	for (size_t i = 0; i < GR_LEN(rows); i++) {
		size_t n = 0;

		if (!w->signals[rows[i].key])
			continue;
		for (const char *p = rows[i].name; *p && n + 1 < sizeof(name); p++)
			name[n++] = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
		name[n] = 0;
		json_object_set_new(o, name, json_integer((json_int_t)(w->signals[rows[i].key] & INT64_MAX)));
	}
	if (gr_signals_foreign_mcpu(w))
		json_object_set_new(o, "node_foreign_mcpu", json_integer(gr_signals_foreign_mcpu(w)));
	return o;
}

static const struct { int key; double scale; const char *name, *help; } gauges[] = {
	{ GR_SIGNAL_SLOTS, 1, "worker_slots", "Tasks the worker runs at once." },
	{ GR_SIGNAL_RUNNING, 1, "worker_tasks_running", "Tasks the worker says it runs." },
	{ GR_SIGNAL_QUEUED, 1, "worker_tasks_queued", "Tasks the worker holds besides." },
	{ GR_SIGNAL_CPU_QUOTA_MCPU, 1e-3, "worker_cpu_quota_cores", "Cores its control group may use; 0 no limit." },
	{ GR_SIGNAL_CPU_USED_MCPU, 1e-3, "worker_cpu_used_cores", "Cores its control group used; 0 unknown." },
	{ GR_SIGNAL_NODE_BUSY_MCPU, 1e-3, "worker_node_busy_cores", "Cores of its node in use by anybody; 0 unknown." },
	{ GR_SIGNAL_CPU_THROTTLED_PERMILLE, 1e-3, "worker_cpu_throttled_ratio", "Periods of its quota in which it was throttled." },
	{ GR_SIGNAL_CPU_STEAL_PERMILLE, 1e-3, "worker_cpu_steal_ratio", "CPU time of its machine that went to other machines." },
	{ GR_SIGNAL_CPU_PSI_PERMILLE, 1e-3, "worker_cpu_pressure_ratio", "Time in which some of its tasks waited for a CPU." },
	{ GR_SIGNAL_MEM_PSI_PERMILLE, 1e-3, "worker_memory_pressure_ratio", "Time in which some of its tasks waited for memory." },
	{ GR_SIGNAL_IO_PSI_PERMILLE, 1e-3, "worker_io_pressure_ratio", "Time in which some of its tasks waited for a disk." },
	{ GR_SIGNAL_NODE_CPU_PSI_PERMILLE, 1e-3, "worker_node_cpu_pressure_ratio", "Time in which something on its node waited for a CPU." },
	{ GR_SIGNAL_NODE_MEM_PSI_PERMILLE, 1e-3, "worker_node_memory_pressure_ratio", "Time in which something on its node waited for memory." },
	{ GR_SIGNAL_NODE_IO_PSI_PERMILLE, 1e-3, "worker_node_io_pressure_ratio", "Time in which something on its node waited for a disk." },
	{ GR_SIGNAL_MEM_LIMIT_BYTES, 1, "worker_memory_limit_bytes", "Memory it may use." },
	{ GR_SIGNAL_MEM_USED_BYTES, 1, "worker_memory_used_bytes", "Memory its control group uses." },
	{ GR_SIGNAL_MEM_PEAK_BYTES, 1, "worker_memory_peak_bytes", "Most memory its control group used." },
	{ GR_SIGNAL_OOM_KILLS, 1, "worker_oom_killed_processes", "Processes of its control group killed for want of memory." },
	{ GR_SIGNAL_CACHE_BYTES, 1, "worker_cache_bytes", "Size of its input cache." },
	{ GR_SIGNAL_DISK_FREE_BYTES, 1, "worker_disk_free_bytes", "Room on the disk of its cache." },
};

void gr_signals_metrics(const struct gr_coord *c, struct gr_buf *b)
{
	if (!c->n_workers)
		return;
	for (size_t i = 0; i < GR_LEN(gauges); i++) {
		gr_metrics_head(b, gauges[i].name, "gauge", gauges[i].help);
		GR_LIST_EACH(w, &c->workers, struct gr_worker, link)
			gr_buf_printf(b, "griddle_%s{worker=\"%s\",node=\"%s\"} %.12g\n", gauges[i].name, w->name, w->node_label,
				      (double)w->signals[gauges[i].key] * gauges[i].scale);
	}
}
