/* dispatch.c - where job meets place: tasks are offered to placement, decisions are sent, results come back.
 *
 * Everything that may make a placement possible only kicks; one zero timer later all decisions of that wake-up are made
 * in batches and sent. A forwarded TASK is the client's frame with the attempt patched in. A result is confirmed to the
 * worker whatever becomes of it, and kept for the client until the client confirms it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/batch.h"
#include "coordinator/coord.h"
#include "coordinator/http/recent.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define BATCH GR_PLACE_MAX_GANG           /* a gang is never split */
#define PAUSE_NS (20 * GR_NS_PER_MS)      /* for a worker whose queue is full */
#define RESEND_MS 20
#define STUCK_NS (10 * GR_NS_PER_S)       /* full for so long: it does not read */

/* ---- telling workers ---- */

static void send_ref(struct gr_coord *c, struct gr_worker *w, enum gr_msg_type type, const struct gr_task *t, uint32_t attempt)
{
	struct gr_buf b = { 0 };

	gr_taskref_encode(&b, type, t->job->id, t->id, attempt);
	gr_batch_send(c, w, &b);
}

static void count_end(struct gr_coord *c, const struct gr_ctask *t, const struct gr_attempt *a, enum gr_cause cause, int exit_code)
{
	c->m.attempts_ended[cause]++;
	gr_recent_end(c->recent, gr_clock_real_ms(), t->session->id, t->t.id, a->number, gr_cause_name(cause), exit_code);
}

/* Attempts that are still alive are not wanted any more. Their room counts as free at once: a worker holds more tasks
 * than it runs anyhow, and it kills what is cancelled. */
static void cancel_live(struct gr_ctask *t)
{
	const struct gr_place_ended stopped = { .how = GR_PLACE_STOPPED };
	struct gr_coord *c = t->session->coord;

	for (uint32_t i = 0; i < t->t.n_attempts; i++) {
		struct gr_attempt *a = &t->t.attempts[i];
		struct gr_worker *w = a->peer;

		if (a->state != GR_ATTEMPT_LIVE)
			continue;
		gr_place_end(c->place, gr_coord_now(c), a->placed, &stopped);
		send_ref(c, w, GR_MSG_CANCEL, &t->t, a->number);
		a->state = GR_ATTEMPT_OVER;
		a->cause = GR_CAUSE_CANCELLED;
		a->peer = NULL;
		a->end_ns = gr_coord_now(c);
		count_end(c, t, a, GR_CAUSE_CANCELLED, 0);
	}
	gr_dispatch_kick(c);
}

static void unqueue(struct gr_ctask *t)
{
	if (t->queued < 0)
		return;
	gr_place_cancel(t->session->coord->place, t->queued);
	t->queued = -1;
}

/* ---- endings ---- */

/* Results that a client's full queue did not take, tried again until it does. */
static void on_resend(void *ctx)
{
	struct gr_coord *c = ctx;
	bool is_left = false;

	GR_LIST_EACH(cl, &c->clients, struct gr_client, link)
		GR_LIST_EACH(s, &cl->sessions, struct gr_session, link)
			GR_LIST_EACH(t, &s->job.lists[GR_TASK_ENDED], struct gr_ctask, t.link) {
				struct gr_buf copy = { 0 };

				if (t->is_sent)
					continue;
				gr_buf_add(&copy, t->result.p, t->result.n);
				t->is_sent = gr_peers_send(c, cl->peer, &copy) != GR_EBUSY;
				is_left |= !t->is_sent;
			}
	if (!is_left)
		gr_timer_stop(&c->resend_timer);
	else if (!c->resend_timer)
		c->resend_timer = gr_timer_start(c->loop, RESEND_MS, RESEND_MS, on_resend, c);
}

void gr_dispatch_resend(struct gr_session *s)
{
	GR_LIST_EACH(t, &s->job.lists[GR_TASK_ENDED], struct gr_ctask, t.link)
		t->is_sent = false;
	on_resend(s->coord);
}

/* The RESULT goes to the client and stays until it is confirmed. */
static void deliver(struct gr_ctask *t, int outcome)
{
	struct gr_session *s = t->session;
	struct gr_coord *c = s->coord;
	struct gr_client *cl = s->client;
	struct gr_buf copy = { 0 };

	gr_buf_fini(&t->frame);
	c->m.outcomes[outcome < GR_N_OUTCOMES ? outcome : 0]++;
	gr_buckets_add(&c->m.task_s, (double)(gr_coord_now(c) - t->accepted_ns) / GR_NS_PER_S, 1);
	gr_cluster_touch(c);
	if (!cl)
		return;
	cl->result_bytes += t->result.n;
	gr_buf_add(&copy, t->result.p, t->result.n);
	t->is_sent = gr_peers_send(c, cl->peer, &copy) != GR_EBUSY;
	if (!t->is_sent && !c->resend_timer)
		c->resend_timer = gr_timer_start(c->loop, RESEND_MS, RESEND_MS, on_resend, c);
}

void gr_dispatch_finish(struct gr_ctask *t, enum gr_outcome outcome, const char *fmt, ...)
{
	struct gr_result_msg *m;
	char reason[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	unqueue(t);
	cancel_live(t);
	if (t->t.state != GR_TASK_ENDED)
		gr_task_move(&t->t, GR_TASK_ENDED);
	GR_NEW(m);
	m->session = t->session->id;
	m->task = t->t.id;
	m->attempt = t->t.n_attempts ? t->t.attempts[t->t.n_attempts - 1].number : 0;
	m->outcome = (uint8_t)outcome;
	m->reason = gr_slice_str(reason);
	gr_result_encode(&t->result, m);
	deliver(t, outcome);
	free(m);
}

static void task_free(struct gr_ctask *t)
{
	gr_map_del(&t->session->tasks, &t->t.id, sizeof(t->t.id));
	gr_task_move(&t->t, GR_TASK_GONE);
	gr_buf_fini(&t->frame);
	gr_buf_fini(&t->result);
	free(t);
}

void gr_dispatch_drop(struct gr_ctask *t)
{
	unqueue(t);
	cancel_live(t);
	if (t->session->client)
		t->session->client->n_tasks--;
	t->session->coord->m.outcomes[GR_OUTCOME_CANCELLED]++;
	task_free(t);
}

void gr_dispatch_free(struct gr_ctask *t)
{
	struct gr_client *cl = t->session->client;

	if (cl) {
		cl->n_tasks--;
		cl->result_bytes -= t->result.n;
	}
	task_free(t);
}

/* ---- offering ---- */

static bool is_settling(const struct gr_coord *c, uint64_t now_ns)
{
	uint64_t span = (uint64_t)c->cfg.settle_ms * GR_NS_PER_MS;

	return now_ns < c->start_ns + span || (c->worker_gone_ns && now_ns < c->worker_gone_ns + span);
}

static void wait_for_worker(struct gr_ctask *t)
{
	if (t->t.state == GR_TASK_QUEUED)
		gr_task_move(&t->t, GR_TASK_NEW);
	gr_dispatch_kick(t->session->coord);       /* arms the timer that looks again */
}

static void exclude(struct gr_place_task *p, uint32_t worker)
{
	for (uint32_t i = 0; i < p->n_exclude; i++)
		if (p->exclude[i] == worker)
			return;
	if (p->n_exclude < GR_PLACE_MAX_EXCLUDES)
		p->exclude[p->n_exclude++] = worker;
}

/* Workers that failed it, by identity: also when they reconnected meanwhile. */
static void find_excludes(struct gr_ctask *t, bool with_lost)
{
	struct gr_coord *c = t->session->coord;

	t->place.n_exclude = 0;
	for (uint32_t i = 0; i < t->t.n_attempts; i++) {
		const struct gr_attempt *a = &t->t.attempts[i];

		if (a->state == GR_ATTEMPT_LIVE || (!with_lost && a->cause == GR_CAUSE_LOST))
			continue;
		GR_LIST_EACH(w, &c->workers, struct gr_worker, link)
			if (w->identity == a->worker)
				exclude(&t->place, w->place);
	}
}

/* Memory is asked in steps, so that classes stay few. */
static uint32_t mem_mib(uint64_t bytes)
{
	uint64_t mib = bytes >> 20, step = 64;

	while (step * 8 < mib)
		step *= 2;
	mib = (mib + step - 1) / step * step;
	return mib > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)mib;
}

/* The id of the class the task is placed by: >= 0, GR_ENOENT without such a toolchain, GR_ELIMIT. A tier that may not do
 * it is asked only when there is no other: it says itself what it cannot do. */
static int class_of(struct gr_coord *c, const struct gr_ctask *t, struct gr_place_class *class)
{
	int env = gr_place_env_find(c->place, &t->toolchain), rc;

	if (env < 0)
		return env;
	class->env = (uint32_t)env;
	class->need.v[GR_COORD_RES_ROOT] = t->wants_root;
	rc = gr_place_class(c->place, class);
	if (rc < 0 || !t->wants_root || gr_place_feasible(c->place, (uint32_t)rc, NULL, 0, 1))
		return rc;
	class->need.v[GR_COORD_RES_ROOT] = 0;
	return gr_place_class(c->place, class);
}

void gr_dispatch_offer(struct gr_ctask *t)
{
	struct gr_coord *c = t->session->coord;
	struct gr_place_class class = { .need.v = { [GR_PLACE_CPU_MCPU] = 1000, [GR_PLACE_MEM_MIB] = mem_mib(t->mem_bytes) } };
	uint64_t now = gr_coord_now(c);
	char hex[GR_DIGEST_HEX];
	int64_t queued;
	int rc;

	gr_digest_hex(&t->toolchain, hex);
	rc = class_of(c, t, &class);
	if (rc == GR_ELIMIT) {
		gr_dispatch_finish(t, GR_OUTCOME_REFUSED, "the coordinator has too many kinds of tasks at once");
		return;
	}
	if (rc < 0 || !gr_place_feasible(c->place, (uint32_t)rc, NULL, 0, 1)) {
		if (is_settling(c, now))
			wait_for_worker(t);
		else if (rc < 0)
			gr_dispatch_finish(t, GR_OUTCOME_REFUSED, "no worker has toolchain %.12s", hex);
		else
			gr_dispatch_finish(t, GR_OUTCOME_REFUSED, "no worker that has toolchain %.12s %s", hex,
					   class.need.v[GR_PLACE_MEM_MIB] ? "has the memory for it" : "takes tasks now");
		return;
	}
	t->place.class = (uint32_t)rc;
	find_excludes(t, true);
	if (t->place.n_exclude && !gr_place_feasible(c->place, t->place.class, t->place.exclude, t->place.n_exclude, 1)) {
		/* lost is not failed: better there again than nowhere */
		find_excludes(t, false);
		if (!gr_place_feasible(c->place, t->place.class, t->place.exclude, t->place.n_exclude, 1)) {
			gr_dispatch_finish(t, GR_OUTCOME_RETRY, "every worker that has toolchain %.12s was tried", hex);
			return;
		}
	}
	queued = gr_place_ready(c->place, now, &t->place);
	if (queued < 0) {
		gr_dispatch_finish(t, GR_OUTCOME_REFUSED, "cannot be queued: %s", gr_err_text((int)queued));
		return;
	}
	t->queued = queued;
	t->queued_ns = now;
	if (t->t.state == GR_TASK_NEW)
		gr_task_move(&t->t, GR_TASK_QUEUED);
	gr_dispatch_kick(c);
}

void gr_dispatch_recheck(struct gr_coord *c, bool is_less)
{
	struct gr_session *s;
	size_t i = 0;

	if (c->is_ending)
		return;
	while ((s = gr_map_each(&c->sessions, &i))) {
		GR_LIST_EACH_SAFE(t, &s->job.lists[GR_TASK_QUEUED], struct gr_ctask, t.link) {
			if (!is_less)
				break;
			if (t->queued >= 0 &&
			    gr_place_feasible(c->place, t->place.class, t->place.exclude, t->place.n_exclude, 1))
				continue;
			unqueue(t);
			gr_dispatch_offer(t);
		}
		GR_LIST_EACH_SAFE(t, &s->job.lists[GR_TASK_NEW], struct gr_ctask, t.link)
			gr_dispatch_offer(t);
	}
	gr_dispatch_kick(c);
}

/* ---- deciding and sending ---- */

static void show_begin(struct gr_coord *c, const struct gr_ctask *t, const struct gr_worker *w, const struct gr_attempt *a)
{
	struct gr_recent_attempt r = { .kind = "compile", .worker = w->name, .name = t->name, .job = t->session->id, .task = t->t.id,
				       .attempt = a->number };

	gr_recent_begin(c->recent, gr_clock_real_ms(), &r);
}

/* Return: 0; an error when the worker's queue is full or it is going, and nothing was begun. */
static int send_attempt(struct gr_coord *c, struct gr_ctask *t, struct gr_worker *w, uint64_t placed)
{
	struct gr_buf copy = { 0 };
	struct gr_seat *seat;
	int rc = gr_seat_feed(t->session, w, &seat);

	if (rc < 0)
		return rc;
	gr_buf_add(&copy, t->frame.p, t->frame.n);
	gr_task_patch_attempt(&copy, t->t.first_attempt + t->t.n_attempts);
	rc = gr_peers_send(c, w->peer, &copy);
	if (rc < 0)
		return rc;
	show_begin(c, t, w, gr_task_begin(&t->t, w->identity, w, placed, gr_coord_now(c)));
	c->m.attempts++;
	gr_buckets_add(&c->m.wait_s, (double)(gr_coord_now(c) - t->queued_ns) / GR_NS_PER_S, 1);
	return 0;
}

static void place_back(struct gr_coord *c, struct gr_worker *w, uint64_t placed)
{
	const struct gr_place_ended stopped = { .how = GR_PLACE_STOPPED };
	uint64_t now = gr_coord_now(c);

	gr_place_end(c->place, now, placed, &stopped);
	gr_place_worker_pause(c->place, now, w->place, now + PAUSE_NS);
	if (!w->stuck_since_ns)
		w->stuck_since_ns = now;
}

static void run_it(struct gr_coord *c, struct gr_ctask *t, struct gr_worker *w, const struct gr_place_decision *d)
{
	t->queued = -1;
	t->why = *d;
	if (send_attempt(c, t, w, d->placed) >= 0) {
		w->stuck_since_ns = 0;
		return;
	}
	place_back(c, w, d->placed);
	t->queued = gr_place_ready(c->place, gr_coord_now(c), &t->place);
}

/* A second attempt of a straggler: not one when the first has just ended, or the task was tried often enough. */
static void copy_it(struct gr_coord *c, struct gr_ctask *t, struct gr_worker *w, const struct gr_place_decision *d)
{
	const struct gr_place_ended stopped = { .how = GR_PLACE_STOPPED };

	if (t->t.state != GR_TASK_RUNNING || !gr_task_may_try(&t->t)) {
		gr_place_end(c->place, gr_coord_now(c), d->placed, &stopped);
		gr_dispatch_kick(c);
	} else if (send_attempt(c, t, w, d->placed) < 0) {
		place_back(c, w, d->placed);
	} else {
		gr_debug("dispatch", "task %" PRIu64 " takes long: a copy goes to worker %s", t->t.id, w->name);
	}
}

/* The attempt is stopped where it is, unharmed, and the task is placed anew. A result that is on its way is fenced. */
static void take_back(struct gr_coord *c, struct gr_ctask *t, struct gr_worker *w, const struct gr_place_decision *d)
{
	const struct gr_place_ended stopped = { .how = GR_PLACE_STOPPED };
	enum gr_cause cause = d->act == GR_PLACE_RETRACT ? GR_CAUSE_UNSENT : GR_CAUSE_DRAINED;

	/* a task has so many attempts in all: what was moved often stays */
	if (t->t.n_attempts + GR_JOB_MAX_TRIES >= GR_JOB_MAX_ATTEMPTS) {
		gr_place_kept(c->place, d->placed);
		return;
	}
	for (uint32_t i = 0; i < t->t.n_attempts; i++) {
		struct gr_attempt *a = &t->t.attempts[i];

		if (a->state != GR_ATTEMPT_LIVE || a->placed != d->placed)
			continue;
		gr_place_end(c->place, gr_coord_now(c), d->placed, &stopped);
		send_ref(c, w, GR_MSG_CANCEL, &t->t, a->number);
		c->m.attempts_ended[cause]++;
		if (gr_task_end(&t->t, a->number, w->identity, cause, gr_coord_now(c)) == GR_VERDICT_AGAIN)
			gr_dispatch_offer(t);
		return;
	}
}

static void act(struct gr_coord *c, const struct gr_place_decision *d)
{
	struct gr_ctask *t = (struct gr_ctask *)(uintptr_t)d->tag;
	struct gr_worker *w = (struct gr_worker *)(uintptr_t)d->worker_tag;

	if (gr_batch_is_tag(d->tag)) {
		gr_batch_act(c, d);
		return;
	}
	if (gr_load_is_tag(d->tag)) {
		gr_load_act(c, d);
		return;
	}
	if (d->act == GR_PLACE_RUN)
		run_it(c, t, w, d);
	else if (d->act == GR_PLACE_COPY)
		copy_it(c, t, w, d);
	else
		take_back(c, t, w, d);
}

static void arm(struct gr_coord *c)
{
	uint64_t now = gr_coord_now(c), at = gr_place_wake_ns(c->place), settled = 0;
	uint64_t span = (uint64_t)c->cfg.settle_ms * GR_NS_PER_MS;

	if (is_settling(c, now)) {
		settled = c->start_ns + span;
		if (c->worker_gone_ns && c->worker_gone_ns + span > settled)
			settled = c->worker_gone_ns + span;
		if (settled < at)
			at = settled;
	}
	if (at == UINT64_MAX)
		gr_timer_clear(c->wake);
	else
		gr_timer_set(c->wake, at > now ? (at - now) / GR_NS_PER_MS + 1 : 1);
}

static void run(struct gr_coord *c)
{
	struct gr_place_decision d[BATCH];
	int n;

	do {
		uint64_t from = gr_coord_now(c);

		n = gr_place_next(c->place, from, d, BATCH);
		if (n > 0)
			gr_buckets_add(&c->m.decide_s, (double)(gr_coord_now(c) - from) / n / GR_NS_PER_S, (uint64_t)n);
		gr_loop_stand(c->loop);
		for (int i = 0; i < n; i++)
			act(c, &d[i]);
		gr_loop_go_on(c->loop);
	} while (n == (int)BATCH);
	arm(c);
	gr_cluster_touch(c);
}

static void on_kick(void *ctx)
{
	struct gr_coord *c = ctx;

	c->is_kicked = false;
	if (c->is_recheck_due) {
		c->is_recheck_due = false;
		gr_dispatch_recheck(c, true);
	}
	run(c);
}

static void on_wake(void *ctx)
{
	struct gr_coord *c = ctx;

	gr_dispatch_recheck(c, true);
}

static void on_second(void *ctx)
{
	struct gr_coord *c = ctx;
	uint64_t now = gr_coord_now(c);

	gr_session_expire(c, now);
	gr_place_log_flush(c->place);
	GR_LIST_EACH_SAFE(w, &c->workers, struct gr_worker, link)
		if (w->stuck_since_ns && now - w->stuck_since_ns > STUCK_NS) {
			gr_server_drop(c->server, w->peer, GR_EBUSY, "does not read what it is sent");
			return;         /* one a second: the list may have changed */
		}
	GR_LIST_EACH_SAFE(cl, &c->clients, struct gr_client, link)
		if (cl->result_bytes > (uint64_t)c->cfg.result_bytes) {
			gr_server_drop(c->server, cl->peer, GR_ELIMIT, "does not confirm its results");
			return;
		}
}

void gr_dispatch_kick(struct gr_coord *c)
{
	if (c->is_kicked || c->is_ending)
		return;
	c->is_kicked = true;
	gr_timer_set(c->kick, 0);
}

void gr_dispatch_init(struct gr_coord *c)
{
	c->kick = gr_timer_new(c->loop, on_kick, c);
	c->wake = gr_timer_new(c->loop, on_wake, c);
	c->start_ns = gr_coord_now(c);
	c->second_timer = gr_timer_start(c->loop, 1000, 1000, on_second, c);
}

void gr_dispatch_fini(struct gr_coord *c)
{
	gr_timer_stop(&c->second_timer);
	gr_timer_stop(&c->resend_timer);
	gr_timer_stop(&c->kick);
	gr_timer_stop(&c->wake);
}

/* ---- what workers say ---- */

static enum gr_cause cause_of(const struct gr_worker *w, uint8_t outcome)
{
	switch (outcome) {
	case GR_OUTCOME_DONE:
		return GR_CAUSE_DONE;
	case GR_OUTCOME_REFUSED:
		return GR_CAUSE_REFUSED;
	case GR_OUTCOME_TIMEOUT:
		return GR_CAUSE_TIMEOUT;
	case GR_OUTCOME_OOM:
		return GR_CAUSE_OOM;
	case GR_OUTCOME_CANCELLED:
		return GR_CAUSE_CANCELLED;
	default:
		return w->is_draining ? GR_CAUSE_DRAINED : GR_CAUSE_RETRY;
	}
}

static void release(struct gr_coord *c, struct gr_worker *w, const struct gr_attempt *a, const struct gr_result_msg *m,
		    enum gr_cause cause)
{
	struct gr_place_ended e = { .how = GR_PLACE_STOPPED, .cpu_us = m->cpu_us, .max_rss_bytes = m->max_rss_bytes };
	struct gr_place_worker_info before, after;

	if (cause == GR_CAUSE_DONE)
		e.how = GR_PLACE_DONE;
	else if (cause == GR_CAUSE_RETRY)
		e.how = GR_PLACE_FAILED;
	gr_place_worker_info(c->place, w->place, &before);
	gr_place_end(c->place, gr_coord_now(c), a->placed, &e);
	gr_place_worker_info(c->place, w->place, &after);
	if (after.quarantined_until_ns && !before.quarantined_until_ns) {
		gr_warn("dispatch", "worker %s is quarantined for %" PRIu64 " s: it failed fast several times, last: %.*s", w->name,
			(uint64_t)((after.quarantined_until_ns - gr_coord_now(c)) / GR_NS_PER_S), (int)(m->reason.n < 300 ? m->reason.n : 300),
			(const char *)m->reason.p);
		c->is_recheck_due = true;
	}
}

static void keep_result(struct gr_ctask *t, struct gr_slice body)
{
	size_t at = gr_frame_begin(&t->result, GR_MSG_RESULT);

	gr_buf_add(&t->result, body.p, body.n);
	gr_frame_end(&t->result, at);
}

static int take_result(struct gr_coord *c, struct gr_worker *w, const struct gr_result_msg *m, struct gr_slice body)
{
	struct gr_session *s = gr_session_find(c, m->session);
	struct gr_ctask *t = s ? gr_map_get(&s->tasks, &m->task, sizeof(m->task)) : NULL;
	struct gr_attempt *a = t ? gr_task_attempt(&t->t, m->attempt) : NULL;
	enum gr_cause cause = cause_of(w, m->outcome);

	if (!a || a->worker != w->identity) {
		c->m.results_fenced++;
		return 0;
	}
	gr_place_soon(c->place, a->placed, false);
	for (uint32_t i = 0; i < m->n_outputs; i++)
		if (m->outputs[i].index >= t->n_outputs) {
			gr_warn("dispatch", "worker %s: result of task %" PRIu64 " has an output that was not asked for", w->name, m->task);
			return GR_EPROTO;
		}
	if (a->state == GR_ATTEMPT_LIVE) {
		release(c, w, a, m, cause);
		count_end(c, t, a, cause, m->exit_code);
	}
	switch (gr_task_end(&t->t, m->attempt, w->identity, cause, gr_coord_now(c))) {
	case GR_VERDICT_ACCEPT:
	case GR_VERDICT_EXHAUSTED:
		unqueue(t);
		cancel_live(t);
		keep_result(t, body);
		deliver(t, m->outcome);
		break;
	case GR_VERDICT_AGAIN:
		gr_info("dispatch", "task %" PRIu64 " of %s: worker %s: %s: %.*s; trying elsewhere", m->task, s->client_name, w->name,
			gr_cause_name(cause), (int)(m->reason.n < 200 ? m->reason.n : 200), (const char *)m->reason.p);
		gr_dispatch_offer(t);
		break;
	case GR_VERDICT_FENCED:
		c->m.results_fenced++;
		break;
	case GR_VERDICT_WAIT:
		break;
	}
	gr_dispatch_kick(c);
	return 0;
}

int gr_dispatch_result(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	struct gr_result_msg *m;
	struct gr_buf b = { 0 };
	int rc;

	GR_NEW(m);
	rc = gr_result_decode(body, m);
	if (rc >= 0)
		rc = take_result(c, w, m, body);
	if (rc >= 0) {
		gr_taskref_encode(&b, GR_MSG_RESULT_ACK, m->session, m->task, m->attempt);
		gr_batch_send(c, w, &b);
	}
	free(m);
	return rc;
}

static void lose(struct gr_coord *c, struct gr_worker *w, struct gr_ctask *t)
{
	for (uint32_t i = 0; i < t->t.n_attempts; i++) {
		struct gr_attempt *a = &t->t.attempts[i];

		if (a->state != GR_ATTEMPT_LIVE || a->peer != w)
			continue;
		count_end(c, t, a, GR_CAUSE_LOST, 0);
		switch (gr_task_end(&t->t, a->number, w->identity, GR_CAUSE_LOST, gr_coord_now(c))) {
		case GR_VERDICT_AGAIN:
			gr_dispatch_offer(t);
			return;
		case GR_VERDICT_EXHAUSTED:
			gr_dispatch_finish(t, GR_OUTCOME_RETRY, "its worker was lost %u times, last %s", t->t.n_tries, w->name);
			return;
		default:
			break;
		}
	}
}

void gr_dispatch_worker_gone(struct gr_coord *c, struct gr_worker *w)
{
	struct gr_session *s;
	size_t i = 0;

	/* offering may put a task on the list that is walked, behind: it is not this worker's any more */
	while ((s = gr_map_each(&c->sessions, &i)))
		GR_LIST_EACH_SAFE(t, &s->job.lists[GR_TASK_RUNNING], struct gr_ctask, t.link)
			lose(c, w, t);
}
