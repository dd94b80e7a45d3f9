/* batch_metrics.c - jobs and tenants on the Prometheus page. Labels are bounded: jobs that are open, the oldest GR_METRIC_ROWS
 * of them by number and the others as one; tenants the same way. What is counted for a tenant is since this process began. */
#include "coordinator/batch_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

#define GR_METRIC_ROWS 50u

static struct gr_tenant_use *use_of(struct gr_batch *b, const char *tenant)
{
	struct gr_tenant_use *u = gr_map_get(&b->uses, tenant, strlen(tenant));

	if (!u && b->uses.n + 1 >= GR_METRIC_ROWS)
		u = gr_map_get(&b->uses, "other", 5);
	if (!u) {
		GR_NEW(u);
		snprintf(u->name, sizeof(u->name), "%s", b->uses.n + 1 < GR_METRIC_ROWS ? tenant : "other");
		gr_map_put(&b->uses, u->name, strlen(u->name), u);
	}
	return u;
}

void gr_batch_used(struct gr_bj *j, const struct gr_tenant_use *more)
{
	struct gr_tenant_use *u = j->use = j->use ? j->use : use_of(j->batch, j->tenant);

	u->cpu_us += more->cpu_us;
	u->wasted_us += more->wasted_us;
	u->attempts += more->attempts;
	u->retries += more->retries;
	u->done += more->done;
	u->failed += more->failed;
}

void gr_batch_free_uses(struct gr_batch *b)
{
	struct gr_tenant_use *u;
	size_t i = 0;

	while ((u = gr_map_each(&b->uses, &i)))
		free(u);
	gr_map_fini(&b->uses);
}

static int by_id(const void *a, const void *b)
{
	const struct gr_bj *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

static uint64_t n_in(const struct gr_bj *j, enum gr_bstate s)
{
	return j->b.states.count[s];
}

static uint64_t between(const struct gr_bj *j) { return n_in(j, GR_B_RUNNING) - j->b.n_with_worker; }    /* copies, comparisons */
static uint64_t waiting(const struct gr_bj *j) { return n_in(j, GR_B_BLOCKED) + n_in(j, GR_B_READY) + n_in(j, GR_B_BACKOFF) + between(j); }
static uint64_t sent(const struct gr_bj *j) { return j->b.n_with_worker - j->b.n_begun; }
static uint64_t running(const struct gr_bj *j) { return j->b.n_begun; }
static uint64_t done(const struct gr_bj *j) { return n_in(j, GR_B_DONE); }
static uint64_t failed(const struct gr_bj *j) { return n_in(j, GR_B_FAILED); }

static void jobs(struct gr_batch *b, struct gr_buf *out)
{
	static const struct { const char *name, *help; uint64_t (*of)(const struct gr_bj *j); } families[] = {
		{ "job_tasks_waiting", "Tasks of an open job that have not begun, or are to be tried again.", waiting },
		{ "job_tasks_sent", "Tasks of an open job that are with a worker which has not begun them.", sent },
		{ "job_tasks_running", "Tasks of an open job that run.", running },
		{ "job_tasks_done", "Tasks of an open job that are done.", done },
		{ "job_tasks_failed", "Tasks of an open job that failed.", failed },
	};
	struct gr_bj **open = gr_xalloc((b->jobs.n + 1) * sizeof(struct gr_bj *)), *j;
	uint32_t n = 0;
	size_t i = 0;

	while ((j = gr_map_each(&b->jobs, &i)))
		if (j->state == GR_J_OPEN && j->spec)
			open[n++] = j;
	qsort(open, n, sizeof(struct gr_bj *), by_id);
	for (size_t f = 0; f < GR_LEN(families); f++) {
		uint64_t others = 0;

		gr_metrics_head(out, families[f].name, "gauge", families[f].help);
		for (uint32_t k = 0; k < n; k++)
			if (k < GR_METRIC_ROWS)
				gr_buf_printf(out, "griddle_%s{job=\"%" PRIu64 "\",tenant=\"%s\"} %" PRIu64 "\n", families[f].name, open[k]->id, open[k]->tenant,
					      families[f].of(open[k]));
			else
				others += families[f].of(open[k]);
		gr_buf_printf(out, "griddle_%s{job=\"other\",tenant=\"other\"} %" PRIu64 "\n", families[f].name, others);
	}
	free(open);
}

static void tenants(struct gr_batch *b, struct gr_buf *out)
{
	static const struct { const char *name, *help; size_t at; bool is_time; } families[] = {
		{ "tenant_cpu_seconds_total", "CPU time that a tenant's tasks used.", offsetof(struct gr_tenant_use, cpu_us), true },
		{ "tenant_wasted_cpu_seconds_total", "CPU time of attempts that brought no result.", offsetof(struct gr_tenant_use, wasted_us), true },
		{ "tenant_attempts_total", "Attempts of a tenant's tasks that ended.", offsetof(struct gr_tenant_use, attempts), false },
		{ "tenant_retries_total", "Attempts that are tried again.", offsetof(struct gr_tenant_use, retries), false },
		{ "tenant_tasks_done_total", "A tenant's tasks that were done.", offsetof(struct gr_tenant_use, done), false },
		{ "tenant_tasks_failed_total", "A tenant's tasks that failed.", offsetof(struct gr_tenant_use, failed), false },
	};
	struct gr_tenant_use *u;

	for (size_t f = 0; b->uses.n && f < GR_LEN(families); f++) {
		size_t i = 0;

		gr_metrics_head(out, families[f].name, "counter", families[f].help);
		while ((u = gr_map_each(&b->uses, &i))) {
			uint64_t v;

			memcpy(&v, (const char *)u + families[f].at, sizeof(v));
			if (families[f].is_time)
				gr_buf_printf(out, "griddle_%s{tenant=\"%s\"} %.6f\n", families[f].name, u->name, (double)v / 1e6);
			else
				gr_buf_printf(out, "griddle_%s{tenant=\"%s\"} %" PRIu64 "\n", families[f].name, u->name, v);
		}
	}
}

void gr_batch_metrics(const struct gr_coord *c, struct gr_buf *out)
{
	struct gr_batch *b = c->batch;
	struct gr_batch_stats st;

	if (!b)
		return;
	gr_batch_stats(c, &st);
	gr_metrics_head(out, "jobs", "gauge", "Jobs that are known, by whether they are over.");
	gr_buf_printf(out, "griddle_jobs{state=\"open\"} %" PRIu64 "\ngriddle_jobs{state=\"over\"} %" PRIu64 "\n", st.n_open, st.n_jobs - st.n_open);
	gr_metrics_one(out, "jobs_submitted_total", "counter", "Jobs that were taken.", st.submitted);
	gr_metrics_head(out, "job_attempts_total", "counter", "Attempts of jobs' tasks that ended, by cause.");
	for (int k = GR_BC_DONE; k < GR_BC_N; k++)
		gr_buf_printf(out, "griddle_job_attempts_total{cause=\"%s\"} %" PRIu64 "\n", gr_bcause_name((enum gr_bcause)k), st.causes[k]);
	gr_metrics_one(out, "job_results_fenced_total", "counter", "Results of jobs' attempts that were no longer wanted.", st.fenced);
	gr_metrics_one(out, "job_files_bytes", "gauge", "Size of the files that jobs keep.", st.blob_bytes);
	gr_metrics_one(out, "store_bytes", "gauge", "Size of the store of jobs, its log included.", st.store.file_bytes + st.store.wal_bytes);
	gr_metrics_one(out, "store_commits_total", "counter", "Commits to the store of jobs.", st.store.commits);
	gr_metrics_one(out, "store_failures_total", "counter", "Commits that could not be made and were tried again.", st.store.failures);
	jobs(b, out);
	tenants(b, out);
}
