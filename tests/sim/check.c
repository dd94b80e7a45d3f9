/* check.c - what must hold after every event, recomputed from the tasks, attempts and machines alone:
 *   no task is lost: each waits, is placed or has ended, and the policy counts as many
 *   none is accepted twice, and lib/job agrees about its state
 *   no worker is given more than it has or holds more than its slots and its prefetch
 *   a gang runs whole or waits whole; quotas and limits are kept; what is urgent goes first
 *   nothing waits while a worker that could take it idles (sim_check_idle); in the end all have an outcome */
#include <string.h>

#include "tests/sim/sim.h"

#define KEEP_NS (GR_NS_PER_S + 20 * GR_NS_PER_MS)
#define CHOOSY_NS (50 * GR_NS_PER_MS)

static struct gr_place_vec need_of(const struct sim *s, uint32_t task, uint32_t mem_mib)
{
	struct gr_place_vec v = s->jobs[s->tasks[task].job].need;

	v.v[GR_PLACE_MEM_MIB] = mem_mib;
	return v;
}

static bool add_fits(struct gr_place_vec *sum, const struct gr_place_vec *more, const struct gr_place_vec *cap)
{
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		if ((uint64_t)sum->v[r] + more->v[r] > cap->v[r])
			return false;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		sum->v[r] += more->v[r];
	return true;
}

/* How many of what @w holds must run on credit: taken in the order they were placed. @sum: the others'. */
static uint32_t on_credit(const struct sim *s, const struct sim_worker *w, struct gr_place_vec *sum)
{
	uint32_t n_runs = 0, n_credit = 0;

	memset(sum, 0, sizeof(*sum));
	for (uint32_t k = 0; k < w->n_held; k++) {
		const struct sim_attempt *a = &s->attempts[w->held[k]];
		struct gr_place_vec need = need_of(s, a->task, a->mem_mib);

		if (n_runs < w->slots && add_fits(sum, &need, &w->cap))
			n_runs++;
		else
			n_credit++;
	}
	return n_credit;
}

/* ---- may this task go to this worker at all ---- */

static uint32_t there(const struct sim *s, const struct sim_job *j, uint32_t worker)
{
	const struct sim_worker *w = &s->workers[worker];
	uint32_t n = 0;

	for (uint32_t i = 0; i < j->n_tasks; i++) {
		const struct sim_task *t = &s->tasks[j->first + i];

		for (uint32_t k = 0; k < t->n_live; k++) {
			const struct sim_worker *o = &s->workers[s->attempts[t->live[k]].worker];

			n += j->spread_by == GR_PLACE_BY_WORKER ? o == w : j->spread_by == GR_PLACE_BY_NODE ? o->node == w->node
				: s->nodes[o->node].zone == s->nodes[w->node].zone;
		}
	}
	return n;
}

static const char *must_not(const struct sim *s, uint32_t task, uint32_t worker)
{
	const struct sim_task *t = &s->tasks[task];
	const struct sim_job *j = &s->jobs[t->job];
	const struct sim_worker *w = &s->workers[worker];
	struct gr_place_vec need = need_of(s, task, t->asked_mib), sum = { 0 };

	if (!w->is_up || w->is_cut)
		return "it is gone";
	if (w->is_draining)
		return "it drains";
	if (j->env && !(w->env_mask >> j->env & 1))
		return "it lacks the toolchain";
	if (j->zone && j->zone != s->nodes[w->node].zone)
		return "another zone was asked for";
	if (!add_fits(&sum, &need, &w->cap))
		return "it is too small";
	if (j->is_paused)
		return "its job is paused";
	for (uint32_t i = 0; i < t->n_exclude; i++)
		if (t->exclude[i] == w->policy_id)
			return "it was excluded";
	if (j->spread_by && there(s, j, worker) >= (j->spread_max ? j->spread_max : 1))
		return "enough of its job are there";
	return NULL;
}

static bool is_limited(const struct sim *s, uint32_t task)
{
	const struct sim_job *j = &s->jobs[s->tasks[task].job];
	const struct sim_tenant *tenant = &s->tenants[j->tenant];
	struct gr_place_vec need = need_of(s, task, s->tasks[task].asked_mib);

	if (j->is_paused || (j->max_placed && j->n_live >= j->max_placed))
		return true;
	for (int r = 0; r < GR_PLACE_N_RES; r++) {
		uint64_t sum = need.v[r];

		for (uint32_t i = 0; i < s->n_jobs; i++)
			sum += s->jobs[i].tenant == j->tenant ? s->jobs[i].used.v[r] : 0;
		if (tenant->quota.v[r] && sum > tenant->quota.v[r])
			return true;
	}
	return false;
}

/* A free slot and room for all that it needs, whatever is held there on credit. */
static bool could_run_now(const struct sim *s, uint32_t task, uint32_t worker)
{
	const struct sim_worker *w = &s->workers[worker];
	struct gr_place_vec need = need_of(s, task, s->tasks[task].asked_mib), sum;

	return !must_not(s, task, worker) && w->n_held < w->slots && !on_credit(s, w, &sum) && add_fits(&sum, &need, &w->cap);
}

/* Room may be kept for a gang or for what waited long: then neither an idle worker proves anything, nor that something
 * less urgent but short went first. */
static bool is_room_kept(const struct sim *s)
{
	for (uint32_t i = 0; i < s->n_tasks; i++) {
		const struct sim_task *t = &s->tasks[i];

		if (t->state == SIM_QUEUED &&
		    (s->jobs[t->job].is_gang || (s->cfg.reserve_ns && s->now_ns - t->queued_ns >= s->cfg.reserve_ns)))
			return true;
	}
	return false;
}

/* Of its tenant's quota, its job's limit or its job's spread a part may be held by what is stopped in this very round, or promised
 * to others that wait too, for whom room was made a moment ago: of the tenant's those that are more urgent, or as urgent and of
 * another kind. */
static bool is_promised(const struct sim *s, uint32_t task)
{
	const struct sim_job *j = &s->jobs[s->tasks[task].job];
	bool has_quota = false;

	for (int r = 0; r < GR_PLACE_N_RES; r++)
		has_quota |= s->tenants[j->tenant].quota.v[r] > 0;
	if (!s->stopped_ns || s->now_ns > s->stopped_ns + KEEP_NS || (!has_quota && !j->max_placed && !j->spread_by))
		return false;
	for (uint32_t i = 0; i < s->n_jobs; i++)
		if (s->jobs[i].stopped_round == s->round && s->jobs[i].tenant == j->tenant && (has_quota || &s->jobs[i] == j))
			return true;
	for (uint32_t i = 0; i < s->n_tasks; i++) {
		const struct sim_job *o = &s->jobs[s->tasks[i].job];

		if (s->tasks[i].state == SIM_QUEUED && o->tenant == j->tenant && (has_quota || o == j) &&
		    (o->band < j->band || (o->band == j->band && (o != j || s->tasks[i].asked_mib != s->tasks[task].asked_mib))))
			return true;
	}
	return false;
}

/* ---- a decision ---- */

void sim_check_pick(struct sim *s, const struct sim_pick *d)
{
	const struct sim_task *t;
	const char *why;

	if (d->task >= s->n_tasks || d->worker >= s->n_workers) {
		sim_fail(s, "a decision names task %u, worker %u", d->task, d->worker);
		return;
	}
	t = &s->tasks[d->task];
	if (d->act == SIM_COPY) {
		if (t->state != SIM_PLACED || t->n_live >= SIM_MAX_LIVE) {
			sim_fail(s, "a copy of task %u that does not run", d->task);
			return;
		}
		for (uint32_t i = 0; i < t->n_live; i++)
			if (s->workers[s->attempts[t->live[i]].worker].node == s->workers[d->worker].node)
				sim_fail(s, "task %u is copied to its own node", d->task);
	}
	if (d->act == SIM_RUN && t->state != SIM_QUEUED) {
		sim_fail(s, "task %u does not wait and is placed", d->task);
		return;
	}
	if (d->act != SIM_RUN && d->act != SIM_COPY) {
		if (t->state == SIM_LATER)
			sim_fail(s, "task %u was never there and is stopped", d->task);
		if (d->act == SIM_PREEMPT && !s->jobs[t->job].is_preemptible)
			sim_fail(s, "task %u may not be preempted", d->task);
		return;
	}
	why = must_not(s, d->task, d->worker);
	if (why) {
		sim_fail(s, "task %u is %s worker %u although %s", d->task, d->act == SIM_COPY ? "copied to" : "given to", d->worker, why);
		return;
	}
	if (d->act == SIM_RUN && is_limited(s, d->task)) {
		sim_fail(s, "task %u goes over its job's or tenant's limit", d->task);
		return;
	}
	/* On credit it may wait there behind what took its place, and it may have made room for itself in turn. When room was made
	 * there time and again, each time for one more that came, the last stop may have made more of it than was needed. */
	if (d->act == SIM_RUN && t->preempted_ns == s->now_ns && t->preempted_ns && t->preempted_on == d->worker && !s->jobs[t->job].is_gang &&
	    s->workers[d->worker].stopped_band <= s->jobs[t->job].band && could_run_now(s, d->task, d->worker) &&
	    (s->workers[d->worker].n_stops < 2 || s->workers[d->worker].n_came < s->workers[d->worker].n_stops))
		sim_fail(s, "task %u is preempted on worker %u for nothing: it runs there again in the same instant", d->task, d->worker);
	if (d->act != SIM_RUN || is_room_kept(s))
		return;
	for (uint32_t i = 0; i < s->n_tasks; i++) {
		const struct sim_task *o = &s->tasks[i];

		/* what this batch itself has stopped waits only now */
		if (o->state == SIM_QUEUED && o->round < s->round && !s->jobs[o->job].is_gang && s->jobs[o->job].band < s->jobs[t->job].band &&
		    could_run_now(s, i, d->worker) && !is_limited(s, i) && !is_promised(s, i)) {
			sim_fail(s, "task %u of band %u goes to worker %u before task %u of band %u, of which the policy says: %s", d->task,
				 s->jobs[t->job].band, d->worker, i, s->jobs[o->job].band, s->policy->why ? s->policy->why(s->p, i, d->worker) : "nothing");
			return;
		}
	}
}

/* What a preemption freed is kept for the asker's kind for a second, whether or not it comes. */
static bool is_kept(const struct sim *s, uint32_t worker)
{
	const struct sim_worker *w = &s->workers[worker];

	return w->stopped_ns && s->now_ns <= w->stopped_ns + KEEP_NS;
}

static uint32_t idle_for(const struct sim *s, uint32_t task)
{
	for (uint32_t k = 0; k < s->n_workers; k++)
		if (could_run_now(s, task, k) && !is_kept(s, k) && !(s->policy->is_blocked && s->policy->is_blocked(s->p, k)))
			return k;
	return SIM_NONE;
}

void sim_check_idle(struct sim *s)
{
	bool seen[256] = { false };

	if (is_room_kept(s) || (s->policy->is_holding && s->policy->is_holding(s->p)))
		return;
	for (uint32_t i = 0; i < s->n_tasks; i++) {
		struct sim_task *t = &s->tasks[i];
		bool is_plain = !t->n_exclude && t->asked_mib == s->jobs[t->job].need.v[GR_PLACE_MEM_MIB];
		uint32_t worker;

		if (t->state != SIM_QUEUED || (is_plain && t->job < 256 && seen[t->job]) || is_limited(s, i) || is_promised(s, i)) {
			t->could_ns = 0;
			continue;
		}
		if (is_plain && t->job < 256)
			seen[t->job] = true;
		worker = idle_for(s, i);
		if (worker == SIM_NONE) {
			t->could_ns = 0;
			continue;
		}
		if (!t->could_ns)
			t->could_ns = s->now_ns;
		/* of those that exclude workers only some are tried in a call, and the others a little later */
		if (is_plain || s->now_ns - t->could_ns > CHOOSY_NS) {
			sim_fail(s, "task %u waits while worker %u has room for it, of which the policy says: %s", i, worker,
				 s->policy->why ? s->policy->why(s->p, i, worker) : "nothing");
			return;
		}
	}
}

/* ---- everything ---- */

static void check_tasks(struct sim *s)
{
	static const enum gr_task_state states[] = {
		[SIM_QUEUED] = GR_TASK_QUEUED, [SIM_PLACED] = GR_TASK_RUNNING, [SIM_ENDED] = GR_TASK_ENDED,
	};
	uint64_t n[4] = { 0 }, n_live = 0;

	for (uint32_t i = 0; i < s->n_tasks; i++) {
		const struct sim_task *t = &s->tasks[i];

		n[t->state]++;
		n_live += t->n_live;
		if ((t->state == SIM_PLACED) != (t->n_live > 0))
			sim_fail(s, "task %u is in state %d with %u attempts alive", i, (int)t->state, t->n_live);
		if (t->n_accepted > 1)
			sim_fail(s, "task %u has %u outcomes", i, t->n_accepted);
		if (t->life && t->life->state != states[t->state])
			sim_fail(s, "task %u is in state %d, for lib/job in %s", i, (int)t->state, gr_task_state_name(t->life->state));
		if (t->life && gr_task_live(t->life) != t->n_live)
			sim_fail(s, "task %u has %u attempts alive, for lib/job %u", i, t->n_live, gr_task_live(t->life));
	}
	if (n[SIM_QUEUED] != s->n_queued || n[SIM_ENDED] != s->n_ended || n_live != s->n_live)
		sim_fail(s, "the simulation's own counts are wrong: %llu of %llu wait", (unsigned long long)n[SIM_QUEUED],
			 (unsigned long long)s->n_queued);
}

static void check_workers(struct sim *s)
{
	for (uint32_t i = 0; i < s->n_workers; i++) {
		const struct sim_worker *w = &s->workers[i];
		struct gr_place_vec sum, used = { 0 };
		uint64_t all[GR_PLACE_N_RES] = { 0 };
		uint32_t n_credit = on_credit(s, w, &sum), n_busy = 0;

		if (w->is_cut)
			continue;
		if (w->n_held > w->slots + w->prefetch)
			sim_fail(s, "worker %u holds %u tasks, may %u + %u", i, w->n_held, w->slots, w->prefetch);
		if (n_credit > w->prefetch)
			sim_fail(s, "worker %u is over its limits: %u tasks do not fit, %u may wait there", i, n_credit, w->prefetch);
		for (uint32_t k = 0; k < w->n_held; k++) {
			const struct sim_attempt *a = &s->attempts[w->held[k]];
			struct gr_place_vec need = need_of(s, a->task, a->mem_mib);

			for (int r = 0; r < GR_PLACE_N_RES; r++)
				all[r] += need.v[r];
			if (a->state == SIM_WAITING)
				continue;
			n_busy++;
			if (!add_fits(&used, &need, &w->cap))
				sim_fail(s, "worker %u runs more than it has", i);
		}
		/* credits go beyond the cores, which slots stand for, and beyond nothing else */
		for (int r = 0; r < GR_PLACE_N_RES; r++)
			if (r != GR_PLACE_CPU_MCPU && all[r] > w->cap.v[r])
				sim_fail(s, "worker %u holds tasks that need %llu of resource %d, it has %u", i, (unsigned long long)all[r], r,
					 w->cap.v[r]);
		if (n_busy != w->n_busy || memcmp(&used, &w->used, sizeof(used)))
			sim_fail(s, "worker %u: the simulation's own sums are wrong", i);
	}
}

static void check_jobs(struct sim *s)
{
	for (uint32_t k = 0; k < s->n_tenants; k++)
		for (int r = 0; r < GR_PLACE_N_RES; r++) {
			uint64_t sum = 0;

			for (uint32_t i = 0; i < s->n_jobs; i++)
				sum += s->jobs[i].tenant == k ? s->jobs[i].used.v[r] : 0;
			if (s->tenants[k].quota.v[r] && sum > s->tenants[k].quota.v[r])
				sim_fail(s, "tenant %u uses %llu of resource %d, may %u", k, (unsigned long long)sum, r, s->tenants[k].quota.v[r]);
		}
	for (uint32_t i = 0; i < s->n_jobs; i++) {
		const struct sim_job *j = &s->jobs[i];
		uint32_t n_queued = 0, n_placed = 0;

		for (uint32_t k = 0; k < j->n_tasks && j->is_gang; k++) {
			n_queued += s->tasks[j->first + k].state == SIM_QUEUED;
			n_placed += s->tasks[j->first + k].state == SIM_PLACED;
		}
		if (n_queued && n_placed)
			sim_fail(s, "of gang %u, %u run and %u wait", i, n_placed, n_queued);
	}
}

void sim_check(struct sim *s)
{
	const char *why;

	check_tasks(s);
	check_workers(s);
	check_jobs(s);
	if (s->r.why[0] || !s->policy->check)
		return;
	why = s->policy->check(s->p);
	if (why)
		sim_fail(s, "%s", why);
}

void sim_check_end(struct sim *s)
{
	for (uint32_t i = 0; i < s->n_tasks; i++) {
		const struct sim_task *t = &s->tasks[i];

		if (t->state == SIM_ENDED)
			continue;
		sim_fail(s, "task %u of job %u (band %u) is starved: %s since %.3f s, %u placed", i, t->job, s->jobs[t->job].band,
			 t->state == SIM_QUEUED ? "waits" : "does not end", (double)t->queued_ns / 1e9, t->n_live);
		return;
	}
}
