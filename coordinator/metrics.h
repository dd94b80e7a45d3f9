/**
 * metrics - what the coordinator counts, and its text form (Prometheus 0.0.4)
 */
#pragma once
#include "lib/base/buf.h"
#include "lib/job/job.h"
#include "lib/stats/buckets.h"
#include "lib/wire/msg.h"

#define GR_N_OUTCOMES (GR_OUTCOME_OOM + 1)

struct gr_metrics {
	uint64_t tasks_accepted, outcomes[GR_N_OUTCOMES], cancelled_by_client;
	uint64_t attempts, attempts_ended[GR_CAUSE_N], results_fenced;
	uint64_t peers_accepted[3], peers_refused, peers_gone, peers_dropped;   /* accepted: client, worker, admin */
	uint64_t bytes_in[2], bytes_out[2];           /* messages' bodies: of and to clients, workers */
	uint64_t blob_bytes_in, blob_bytes_out, blobs_in, blobs_out, blobs_missing, blobs_corrupt;
	uint64_t sessions_opened, sessions_resumed, sessions_reset, log_records;
	uint64_t sends_refused;                       /* a peer's queue was full */
	struct gr_buckets decide_s, wait_s, task_s;
};
void gr_metrics_init(struct gr_metrics *m);

struct gr_coord;
/* One family of it: HELP and TYPE, then the caller's samples; or with its only one. Names without "griddle_". */
void gr_metrics_head(struct gr_buf *b, const char *name, const char *type, const char *help);
void gr_metrics_one(struct gr_buf *b, const char *name, const char *type, const char *help, uint64_t v);
/* Workers wanted so that @work_ms, and @n_waiting tasks without an estimate, are done within @target_ms (not 0): at least 1
 * when there is a task, at most one slot a task, by the slots a worker has now. */
uint32_t gr_metrics_desired(uint64_t work_ms, uint64_t n_waiting, uint64_t n_tasks, uint32_t slots, uint32_t n_workers, uint64_t target_ms);
uint32_t gr_metrics_workers_desired(const struct gr_coord *c);       /* of all that is queued and running now, by --work-target */
/* Appends the whole page. */
void gr_metrics_print(const struct gr_coord *c, struct gr_buf *out);
