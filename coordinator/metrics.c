/* metrics.c - the Prometheus page. Families are printed whole and in one place each, names end in their unit or _total. */
#include "coordinator/metrics.h"

#include <inttypes.h>
#include <unistd.h>
#include <sys/resource.h>

#include "coordinator/batch.h"
#include "coordinator/coord.h"
#include "coordinator/kube/kube.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"

static const double decide_bounds[] = { 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 1e-2 };
static const double task_bounds[] = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600 };
static const double wait_bounds[] = { .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60 };

void gr_metrics_init(struct gr_metrics *m)
{
	gr_buckets_init(&m->decide_s, decide_bounds, GR_LEN(decide_bounds));
	gr_buckets_init(&m->task_s, task_bounds, GR_LEN(task_bounds));
	gr_buckets_init(&m->wait_s, wait_bounds, GR_LEN(wait_bounds));
}

void gr_metrics_head(struct gr_buf *b, const char *name, const char *type, const char *help)
{
	gr_buf_printf(b, "# HELP griddle_%s %s\n# TYPE griddle_%s %s\n", name, help, name, type);
}

void gr_metrics_one(struct gr_buf *b, const char *name, const char *type, const char *help, uint64_t v)
{
	gr_metrics_head(b, name, type, help);
	gr_buf_printf(b, "griddle_%s %" PRIu64 "\n", name, v);
}

static void row(struct gr_buf *b, const char *name, const char *label, const char *value, uint64_t v)
{
	gr_buf_printf(b, "griddle_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, v);
}

static void histogram(struct gr_buf *b, const char *name, const char *help, const struct gr_buckets *h)
{
	uint64_t n = 0;

	gr_metrics_head(b, name, "histogram", help);
	for (uint32_t i = 0; i < h->n_bounds; i++) {
		n += h->counts[i];
		gr_buf_printf(b, "griddle_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, h->bounds[i], n);
	}
	gr_buf_printf(b, "griddle_%s_bucket{le=\"+Inf\"} %" PRIu64 "\ngriddle_%s_sum %.9g\ngriddle_%s_count %" PRIu64 "\n", name,
		      h->count, name, h->sum, name, h->count);
}

static void tasks(const struct gr_coord *c, struct gr_buf *b)
{
	const struct gr_metrics *m = &c->m;
	uint64_t n[GR_TASK_GONE] = { 0 };
	struct gr_session *s;
	size_t i = 0;

	while ((s = gr_map_each(&c->sessions, &i)))
		for (int k = 0; k < GR_TASK_GONE; k++)
			n[k] += s->job.n[k];
	gr_metrics_one(b, "tasks_waiting", "gauge", "Tasks that no connected worker could run.", n[GR_TASK_NEW]);
	gr_metrics_one(b, "tasks_queued", "gauge", "Tasks waiting for placement.", n[GR_TASK_QUEUED]);
	gr_metrics_one(b, "tasks_running", "gauge", "Tasks that are with a worker.", n[GR_TASK_RUNNING]);
	gr_metrics_one(b, "tasks_unconfirmed", "gauge", "Tasks whose result the client has not confirmed.", n[GR_TASK_ENDED]);
	gr_metrics_one(b, "tasks_accepted_total", "counter", "Tasks taken in.", m->tasks_accepted);
	gr_metrics_head(b, "tasks_total", "counter", "Tasks that ended, by outcome.");
	for (int k = GR_OUTCOME_DONE; k < GR_N_OUTCOMES; k++)
		row(b, "tasks_total", "outcome", gr_outcome_name(k), m->outcomes[k]);
	gr_metrics_one(b, "attempts_total", "counter", "Attempts sent to workers.", m->attempts);
	gr_metrics_head(b, "attempts_ended_total", "counter", "Attempts that ended, by cause.");
	for (int k = GR_CAUSE_NONE + 1; k < GR_CAUSE_N; k++)
		row(b, "attempts_ended_total", "cause", gr_cause_name(k), m->attempts_ended[k]);
	gr_metrics_one(b, "results_fenced_total", "counter", "Results of attempts that were no longer wanted.", m->results_fenced);
	histogram(b, "task_duration_seconds", "From a task's arrival to its outcome.", &m->task_s);
	histogram(b, "task_wait_seconds", "From a task's queueing to its sending.", &m->wait_s);
	histogram(b, "placement_decision_seconds", "Time of one placement decision, averaged over its batch.", &m->decide_s);
}

uint32_t gr_metrics_desired(uint64_t work_ms, uint64_t n_waiting, uint64_t n_tasks, uint32_t slots, uint32_t n_workers, uint64_t target_ms)
{
	uint64_t per_worker = n_workers && slots >= n_workers ? slots / n_workers : 1;
	uint64_t n, most = (n_tasks + per_worker - 1) / per_worker;

	/* what no worker can run has no estimate yet: a second each */
	n = (work_ms + 1000 * n_waiting + target_ms * per_worker - 1) / (target_ms * per_worker);
	if (!n && n_tasks)
		n = 1;
	if (n > most)
		n = most;
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

uint32_t gr_metrics_workers_desired(const struct gr_coord *c)
{
	uint64_t n_waiting = 0;
	struct gr_place_stats st;
	struct gr_session *s;
	size_t i = 0;

	gr_place_stats(c->place, gr_coord_now(c), &st);
	while ((s = gr_map_each(&c->sessions, &i)))
		n_waiting += s->job.n[GR_TASK_NEW];
	return gr_metrics_desired(gr_place_work_ms(c->place), n_waiting, st.n_queued + st.n_placed + n_waiting, st.slots, st.n_workers - st.n_draining,
				  (uint64_t)c->cfg.work_target_ms);
}

static void desired(const struct gr_coord *c, struct gr_buf *b)
{
	gr_metrics_head(b, "work_seconds", "gauge", "Expected CPU time of all that is queued and running.");
	gr_buf_printf(b, "griddle_work_seconds %.3f\n", (double)gr_place_work_ms(c->place) / 1000);
	gr_metrics_one(b, "workers_desired", "gauge", "Workers that would do what is queued and running within --work-target; 0 when there is nothing.",
	    gr_metrics_workers_desired(c));
}

static void peers(const struct gr_coord *c, struct gr_buf *b)
{
	static const char *const roles[] = { "client", "worker", "admin" };
	const struct gr_metrics *m = &c->m;
	struct gr_place_stats st;
	uint32_t n_live = 0;
	struct gr_session *s;
	size_t i = 0;

	gr_place_stats(c->place, gr_coord_now(c), &st);
	while ((s = gr_map_each(&c->sessions, &i)))
		n_live += s->client != NULL;
	gr_metrics_one(b, "workers", "gauge", "Connected workers.", st.n_workers);
	gr_metrics_one(b, "workers_draining", "gauge", "Connected workers that take nothing new.", st.n_draining);
	gr_metrics_one(b, "workers_quarantined", "gauge", "Connected workers left alone for a while, because they failed fast.", st.n_quarantined);
	desired(c, b);
	gr_metrics_one(b, "slots", "gauge", "Tasks that the workers can run at once.", st.slots);
	gr_metrics_one(b, "slots_free", "gauge", "Slots that no task is placed on.", st.free_slots);
	gr_metrics_one(b, "clients", "gauge", "Connected clients.", c->n_clients);
	gr_metrics_head(b, "sessions", "gauge", "Sessions, by whether their client is connected.");
	row(b, "sessions", "state", "open", n_live);
	row(b, "sessions", "state", "lingering", c->sessions.n - n_live);
	gr_metrics_one(b, "sessions_opened_total", "counter", "Sessions begun.", m->sessions_opened);
	gr_metrics_one(b, "sessions_resumed_total", "counter", "Sessions taken up again by a client that came back.", m->sessions_resumed);
	gr_metrics_one(b, "sessions_reset_total", "counter", "Sessions closed because their log was contradicted.", m->sessions_reset);
	gr_metrics_one(b, "log_records_total", "counter", "Records taken into session logs.", m->log_records);
	gr_metrics_head(b, "peers_accepted_total", "counter", "Connections accepted, by role.");
	for (int k = 0; k < 3; k++)
		row(b, "peers_accepted_total", "role", roles[k], m->peers_accepted[k]);
	gr_metrics_one(b, "peers_gone_total", "counter", "Connections that ended, for whatever reason.", m->peers_gone);
	gr_metrics_one(b, "peers_dropped_total", "counter", "Peers dropped for what they sent.", m->peers_dropped);
	gr_metrics_one(b, "sends_refused_total", "counter", "Messages a peer's full queue did not take.", m->sends_refused);
}

static void bytes(const struct gr_coord *c, struct gr_buf *b)
{
	const struct gr_metrics *m = &c->m;
	struct gr_cas_stats cas = { 0 };

	gr_cas_stats(c->cas, &cas);
	gr_metrics_head(b, "received_bytes_total", "counter", "Bytes of messages received, by the sender's role.");
	row(b, "received_bytes_total", "role", "client", m->bytes_in[0]);
	row(b, "received_bytes_total", "role", "worker", m->bytes_in[1]);
	gr_metrics_head(b, "sent_bytes_total", "counter", "Bytes of messages sent, by the receiver's role.");
	row(b, "sent_bytes_total", "role", "client", m->bytes_out[0]);
	row(b, "sent_bytes_total", "role", "worker", m->bytes_out[1]);
	gr_metrics_one(b, "blobs_received_total", "counter", "Files taken into the cache.", m->blobs_in);
	gr_metrics_one(b, "blobs_sent_total", "counter", "Files sent to workers.", m->blobs_out);
	gr_metrics_one(b, "blobs_missing_total", "counter", "Files a worker needed that nobody could give.", m->blobs_missing);
	gr_metrics_one(b, "blobs_corrupt_total", "counter", "Files received that did not have their digest.", m->blobs_corrupt);
	gr_metrics_one(b, "blob_received_bytes_total", "counter", "Bytes of files received, decoded.", m->blob_bytes_in);
	gr_metrics_one(b, "blob_sent_bytes_total", "counter", "Bytes of files sent.", m->blob_bytes_out);
	gr_metrics_one(b, "cache_bytes", "gauge", "Size of the blob cache.", cas.bytes);
	gr_metrics_one(b, "cache_blobs", "gauge", "Files in the blob cache.", cas.n_blobs);
	gr_metrics_one(b, "cache_evicted_total", "counter", "Files put out of the blob cache for room.", cas.evicted);
}

void gr_metrics_print(const struct gr_coord *c, struct gr_buf *b)
{
	struct rusage ru;

	gr_metrics_head(b, "build_info", "gauge", "The program's version, as a label.");
	gr_buf_printf(b, "griddle_build_info{version=\"%s\"} 1\n", GR_VERSION);
	gr_metrics_head(b, "uptime_seconds", "gauge", "Time since the start.");
	gr_buf_printf(b, "griddle_uptime_seconds %.3f\n", (double)(gr_coord_now(c) - c->start_ns) / GR_NS_PER_S);
	if (getrusage(RUSAGE_SELF, &ru) == 0) {
		gr_metrics_head(b, "cpu_seconds_total", "counter", "CPU time the coordinator used.");
		gr_buf_printf(b, "griddle_cpu_seconds_total %.6f\n",
			      (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) + (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
		gr_metrics_one(b, "max_resident_bytes", "gauge", "Most memory the coordinator had in use.", (uint64_t)ru.ru_maxrss << 10);
	}
	peers(c, b);
	tasks(c, b);
	bytes(c, b);
	gr_signals_metrics(c, b);
	gr_load_metrics(c, b);
	gr_kube_metrics(c, b);
	gr_batch_metrics(c, b);
}
