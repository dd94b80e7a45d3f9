/* status.c - the coordinator's state as JSON: for control requests and for /api/v1, one source for both */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/batch.h"
#include "coordinator/coord.h"
#include "coordinator/http/recent.h"
#include "coordinator/kube/kube.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"

static void set(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

bool gr_coord_is_ready(const struct gr_coord *c)
{
	return !c->is_ending && c->endpoint[0];
}

json_t *gr_version_json(void)
{
	return json_pack("{s:s, s:s, s:i}", "name", "griddle-coordinator", "version", GR_VERSION, "protocol", GR_WIRE_VERSION);
}

static json_t *toolchains_json(const struct gr_worker *w)
{
	json_t *list = json_array();
	char hex[GR_DIGEST_HEX];

	for (uint32_t i = 0; i < w->n_toolchains; i++) {
		gr_digest_hex(&w->toolchains[i].digest, hex);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "digest", hex, "name", w->toolchains[i].name,
						      "version", w->toolchains[i].version));
	}
	return list;
}

/* Attempts of jobs that ran to an end of their own which did not count as done. */
static uint64_t jobs_failed(const struct gr_batch_stats *b)
{
	return b->causes[GR_BC_EXIT] + b->causes[GR_BC_OUTPUT] + b->causes[GR_BC_TIMEOUT] + b->causes[GR_BC_OOM] +
	       b->causes[GR_BC_DISK];
}

/* Tasks of sessions and jobs by state. What has no slot yet, or has left it and waits for its commit, is told as queued: as many run as `nodes` tells. */
static void count_tasks(const struct gr_coord *c, const struct gr_place_stats *st, const struct gr_batch_stats *jobs, uint64_t n[GR_TASK_GONE])
{
	struct gr_session *s;
	uint64_t slotless;
	size_t i = 0;

	memset(n, 0, GR_TASK_GONE * sizeof(*n));
	while ((s = gr_map_each(&c->sessions, &i)))
		for (int k = 0; k < GR_TASK_GONE; k++)
			n[k] += s->job.n[k];
	n[GR_TASK_QUEUED] += jobs->counts[GR_B_READY];
	n[GR_TASK_RUNNING] += jobs->counts[GR_B_RUNNING];
	slotless = n[GR_TASK_RUNNING] > st->n_running ? n[GR_TASK_RUNNING] - st->n_running : 0;
	n[GR_TASK_QUEUED] += slotless;
	n[GR_TASK_RUNNING] -= slotless;
}

static json_t *tasks_json(const uint64_t n[GR_TASK_GONE])
{
	static const char *const names[] = { "waiting", "queued", "running", "unconfirmed" };
	json_t *o = json_object();

	for (int k = 0; k < GR_TASK_GONE; k++)
		set(o, names[k], n[k]);
	return o;
}

json_t *gr_status_json(const struct gr_coord *c)
{
	struct gr_place_stats st;
	struct gr_batch_stats jobs;
	struct gr_cas_stats cas = { 0 };
	uint64_t n[GR_TASK_GONE];
	json_t *o = gr_version_json(), *outcomes = json_object(), *cache = json_object();

	gr_place_stats(c->place, gr_coord_now(c), &st);
	gr_cas_stats(c->cas, &cas);
	json_object_set_new(o, "ready", json_boolean(gr_coord_is_ready(c)));
	json_object_set_new(o, "endpoint", json_string(c->endpoint));
	json_object_set_new(o, "http", json_string(c->http_endpoint));
	set(o, "uptime_ms", (gr_coord_now(c) - c->start_ns) / GR_NS_PER_MS);
	set(o, "workers", st.n_workers);
	set(o, "draining", st.n_draining);
	set(o, "quarantined", st.n_quarantined);
	set(o, "slots", st.slots);
	set(o, "free", st.free_slots);
	set(o, "clients", c->n_clients);
	set(o, "sessions", c->sessions.n);
	gr_batch_stats(c, &jobs);
	count_tasks(c, &st, &jobs, n);
	json_object_set_new(o, "tasks", tasks_json(n));
	set(o, "accepted", c->m.tasks_accepted);
	set(o, "attempts", c->m.attempts);
	for (int i = GR_OUTCOME_DONE; i < GR_N_OUTCOMES; i++)
		set(outcomes, gr_outcome_name(i), c->m.outcomes[i] + (i == GR_OUTCOME_DONE ? jobs.causes[GR_BC_DONE] : 0));
	set(outcomes, "failed", jobs_failed(&jobs));
	json_object_set_new(o, "jobs", json_pack("{s:I, s:I}", "open", (json_int_t)jobs.n_open, "known", (json_int_t)jobs.n_jobs));
	json_object_set_new(o, "outcomes", outcomes);
	set(cache, "blobs", cas.n_blobs);
	set(cache, "bytes", cas.bytes);
	set(cache, "cap_bytes", cas.cap_bytes);
	json_object_set_new(o, "cache", cache);
	set(o, "blob_bytes_in", c->m.blob_bytes_in);
	set(o, "blob_bytes_out", c->m.blob_bytes_out);
	if (c->kube)
		json_object_set_new(o, "kube", gr_kube_json(c));
	return o;
}

void gr_status_sample(const struct gr_coord *c, struct gr_recent_sample *out)
{
	struct gr_place_stats st;
	struct gr_batch_stats jobs;
	uint64_t n[GR_TASK_GONE];

	gr_batch_stats(c, &jobs);
	gr_place_stats(c->place, gr_coord_now(c), &st);
	count_tasks(c, &st, &jobs, n);
	out->slots = st.slots;
	out->running = (uint32_t)n[GR_TASK_RUNNING];
	out->queued = (uint32_t)(n[GR_TASK_NEW] + n[GR_TASK_QUEUED]);
	for (int k = GR_OUTCOME_DONE; k < GR_N_OUTCOMES; k++)
		out->ended += c->m.outcomes[k];
	out->failed = out->ended - c->m.outcomes[GR_OUTCOME_DONE] - c->m.outcomes[GR_OUTCOME_CANCELLED];
	out->failed += jobs_failed(&jobs);
	out->ended += jobs.causes[GR_BC_DONE] + jobs_failed(&jobs);
}

json_t *gr_nodes_json(const struct gr_coord *c)
{
	json_t *list = json_array();

	GR_LIST_EACH(w, &c->workers, struct gr_worker, link) {
		struct gr_place_worker_info info;
		json_t *o = json_object();

		gr_place_worker_info(c->place, w->place, &info);
		json_object_set_new(o, "name", json_string(w->name));
		json_object_set_new(o, "node", json_string(w->node));
		json_object_set_new(o, "zone", json_string(w->zone));
		json_object_set_new(o, "namespace", json_string(w->ns));
		json_object_set_new(o, "pod", json_string(w->pod));
		json_object_set_new(o, "pod_uid", json_string(w->pod_uid));
		json_object_set_new(o, "qos", json_string(w->qos));
		json_object_set_new(o, "tier", json_string(w->tier));
		json_object_set_new(o, "version", json_string(w->version));
		json_object_set_new(o, "state", json_string(info.is_draining ? "draining" : w->is_cordoned ? "cordoned" :
							    info.quarantined_until_ns ? "quarantined" : "up"));
		if (gr_kube_worker_why(w))
			json_object_set_new(o, "why", json_string(gr_kube_worker_why(w)));
		if (w->machine[0])
			json_object_set_new(o, "machine", json_string(w->machine));
		set(o, "slots", w->slots);
		set(o, "running", info.n_placed < w->slots ? info.n_placed : w->slots);
		set(o, "queued", info.n_placed > w->slots ? info.n_placed - w->slots : 0);
		set(o, "done", info.done);
		set(o, "failed", info.failed);
		set(o, "speed_permille", info.speed_permille);
		set(o, "contention_permille", info.contention_permille);
		set(o, "rtt_us", gr_peer_rtt_ns(w->peer) / GR_NS_PER_US);
		set(o, "mem_bytes", w->mem_bytes);
		set(o, "cpus", w->cpus);
		set(o, "node_cpu_mcpu", w->node_cpu_mcpu);
		set(o, "quota_mcpu", w->signals[GR_SIGNAL_CPU_QUOTA_MCPU]);
		set(o, "connected_ms", gr_clock_real_ms() - w->since_ms);
		json_object_set_new(o, "toolchains", toolchains_json(w));
		json_object_set_new(o, "signals", gr_signals_json(w));
		json_array_append_new(list, o);
	}
	return json_pack("{s:o}", "nodes", list);
}

json_t *gr_sessions_json(const struct gr_coord *c)
{
	json_t *list = json_array();
	struct gr_session *s;
	size_t i = 0;

	while ((s = gr_map_each(&c->sessions, &i))) {
		json_t *o = json_object();
		char hex[17];

		snprintf(hex, sizeof(hex), "%016" PRIx64, s->id);
		json_object_set_new(o, "session", json_string(hex));
		json_object_set_new(o, "client", json_string(s->client_name));
		json_object_set_new(o, "key", json_string(s->key_name));
		json_object_set_new(o, "connected", json_boolean(s->client != NULL));
		set(o, "records", s->n_recs);
		set(o, "log_bytes", s->log.n);
		set(o, "files", s->contents.n);
		set(o, "file_bytes", s->content_bytes);
		for (int k = 0; k < GR_TASK_GONE; k++)
			set(o, gr_task_state_name(k), s->job.n[k]);
		json_array_append_new(list, o);
	}
	return json_pack("{s:o}", "sessions", list);
}
