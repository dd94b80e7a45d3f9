/* top_sim.c - a made-up cluster for `griddle top --simulate`: zones, nodes and workers, jobs that come, run and fail, a worker
 * that drains now and then. The same seed shows the same, step by step. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/top.h"
#include "lib/base/alloc.h"
#include "lib/base/rng.h"

#define N_ZONES 2
#define NODES_OF_ZONE 4
#define WORKERS_OF_NODE 2
#define N_WORKERS (N_ZONES * NODES_OF_ZONE * WORKERS_OF_NODE)
#define MAX_JOBS 12

struct sim_worker {
	int slots, running, done, failed, drain_ms;
	double speed;
};
struct sim_job {
	int id, n_tasks, done, failed, running;
	double task_ms, owed;                   /* owed: work done and not yet counted as tasks */
	uint64_t begun_ms, ended_ms;
	const char *name, *owner;
};
struct gr_top_sim {
	struct gr_rng rng;
	uint64_t now_ms, ended, failed;
	struct sim_worker workers[N_WORKERS];
	struct sim_job jobs[MAX_JOBS];
	int n_jobs, next_id;
};

static uint64_t upto(struct gr_top_sim *s, uint64_t n) { return gr_rng_u64(&s->rng) % n; }

struct gr_top_sim *gr_top_sim_new(uint64_t seed)
{
	struct gr_top_sim *s;

	GR_NEW(s);
	s->rng.s = seed;
	s->next_id = 1;
	for (int i = 0; i < N_WORKERS; i++) {
		s->workers[i].slots = 2 << upto(s, 3);
		s->workers[i].speed = 0.7 + (double)upto(s, 600) / 1000;
	}
	return s;
}

void gr_top_sim_free(struct gr_top_sim **s)
{
	free(*s);
	*s = NULL;
}

static void begin_job(struct gr_top_sim *s)
{
	static const char *const names[] = { "render-frames", "params.txt", "kernel-matrix", "sweep-lame", "monte-carlo", "thumbnails" };
	static const char *const owners[] = { "anna", "bo", "chen" };
	struct sim_job *j;

	if (s->n_jobs == MAX_JOBS) {            /* the oldest that is over goes */
		int k = 0;

		while (k < MAX_JOBS && !s->jobs[k].ended_ms)
			k++;
		if (k == MAX_JOBS)
			return;
		memmove(&s->jobs[k], &s->jobs[k + 1], (size_t)(MAX_JOBS - k - 1) * sizeof(*s->jobs));
		s->n_jobs--;
	}
	j = &s->jobs[s->n_jobs++];
	*j = (struct sim_job){ .id = s->next_id++, .begun_ms = s->now_ms };
	j->name = names[upto(s, GR_LEN(names))];
	j->owner = owners[upto(s, GR_LEN(owners))];
	j->n_tasks = (int)(20 + upto(s, 800));
	j->task_ms = (double)(300 + upto(s, 4000));
}

/* Slots are dealt out to the jobs in turn; each slot does work at its worker's speed. */
static void deal(struct gr_top_sim *s, uint64_t ms)
{
	int active[MAX_JOBS], n = 0, turn = 0;

	for (int k = 0; k < s->n_jobs; k++) {
		s->jobs[k].running = 0;
		if (!s->jobs[k].ended_ms)
			active[n++] = k;
	}
	for (int i = 0; i < N_WORKERS; i++) {
		struct sim_worker *w = &s->workers[i];

		w->running = 0;
		for (int slot = 0; slot < w->slots && !w->drain_ms; slot++)
			for (int tries = 0; tries < n; tries++) {
				struct sim_job *j = &s->jobs[active[turn++ % n]];

				if (j->done + j->failed + j->running >= j->n_tasks)
					continue;
				j->running++;
				w->running++;
				j->owed += (double)ms * w->speed / j->task_ms;
				while (j->owed >= 1 && j->done + j->failed < j->n_tasks) {
					bool is_bad = upto(s, 90) == 0;

					j->owed -= 1;
					j->failed += is_bad;
					j->done += !is_bad;
					w->failed += is_bad;
					w->done += !is_bad;
					s->ended++;
					s->failed += is_bad;
				}
				break;
			}
	}
	for (int k = 0; k < s->n_jobs; k++) {
		struct sim_job *j = &s->jobs[k];

		if (j->done + j->failed + j->running > j->n_tasks)
			j->running = j->n_tasks - j->done - j->failed;
		if (!j->ended_ms && j->done + j->failed == j->n_tasks)
			j->ended_ms = s->now_ms;
	}
}

static json_t *worker_json(const struct gr_top_sim *s, int i)
{
	const struct sim_worker *w = &s->workers[i];
	int node = i / WORKERS_OF_NODE, zone = node / NODES_OF_ZONE;
	char name[32], node_name[32], zone_name[32];

	snprintf(name, sizeof(name), "worker-%d-%d", node, i % WORKERS_OF_NODE);
	snprintf(node_name, sizeof(node_name), "node-%d", node);
	snprintf(zone_name, sizeof(zone_name), "zone-%c", 'a' + zone);
	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "name", name, "node", node_name, "zone", zone_name, "state",
			 w->drain_ms ? "draining" : "up", "slots", w->slots, "running", w->running, "queued", 0, "done", w->done, "failed",
			 w->failed, "speed_permille", (int)(w->speed * 1000));
}

static json_t *job_json(const struct gr_top_sim *s, const struct sim_job *j)
{
	int waiting = j->n_tasks - j->done - j->failed - j->running;
	json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:i, s:I, s:I, s:I}", "job", j->id, "name", j->name, "owner", j->owner, "state",
			      !j->ended_ms ? "running" : j->failed ? "failed" : "done", "n_tasks", j->n_tasks, "submitted_ms",
			      (json_int_t)j->begun_ms, "started_ms", (json_int_t)j->begun_ms, "ended_ms", (json_int_t)j->ended_ms);

	json_object_set_new(o, "counts", json_pack("{s:i, s:i, s:i, s:i, s:i}", "ready", waiting, "running", j->running, "done", j->done,
						   "failed", j->failed, "cancelled", 0));
	return o;
}

json_t *gr_top_sim_step(struct gr_top_sim *s, uint64_t ms)
{
	json_t *nodes = json_array(), *jobs = json_array(), *status;
	int slots = 0, running = 0, pending = 0, draining = 0;

	s->now_ms += ms;
	while (s->n_jobs < 3)
		begin_job(s);
	if (upto(s, 12) == 0)
		begin_job(s);
	for (int i = 0; i < N_WORKERS; i++) {
		struct sim_worker *w = &s->workers[i];

		w->drain_ms = w->drain_ms > (int)ms ? w->drain_ms - (int)ms : 0;
		if (!w->drain_ms && upto(s, 400) == 0)
			w->drain_ms = 8000;
	}
	deal(s, ms);
	for (int i = 0; i < N_WORKERS; i++) {
		json_array_append_new(nodes, worker_json(s, i));
		slots += s->workers[i].slots;
		running += s->workers[i].running;
		draining += s->workers[i].drain_ms > 0;
	}
	for (int k = s->n_jobs - 1; k >= 0; k--) {
		const struct sim_job *j = &s->jobs[k];

		json_array_append_new(jobs, job_json(s, j));
		pending += j->n_tasks - j->done - j->failed - j->running;
	}
	status = json_pack("{s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:{s:i, s:i, s:i}, s:{s:I, s:I}}", "version", GR_VERSION, "uptime_ms",
			   (json_int_t)s->now_ms, "workers", N_WORKERS, "draining", draining, "quarantined", 0, "slots", slots, "free",
			   slots - running, "tasks", "waiting", 0, "queued", pending, "running", running, "outcomes", "done",
			   (json_int_t)(s->ended - s->failed), "failed", (json_int_t)s->failed);
	return json_pack("{s:s, s:I, s:o, s:o, s:o}", "source", "simulated", "now_ms", (json_int_t)s->now_ms, "status", status, "nodes", nodes, "jobs", jobs);
}
