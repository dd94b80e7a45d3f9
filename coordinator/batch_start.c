/* batch_start.c - placement's decisions about tasks of jobs: an attempt begins, or one is asked to yield */
#include "coordinator/batch_int.h"
#include "coordinator/http/recent.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

#define YIELD_MS 10000u                    /* to save what it has */
#define IDLE_YIELD_MS 500u                 /* of an idle one that can save nothing: it gives way at once */
#define PAUSE_NS (20 * GR_NS_PER_MS)
#define TROUBLE_NS GR_NS_PER_S

void gr_run_give_back(struct gr_coord *c, uint64_t placed)
{
	const struct gr_place_ended stopped = { .how = GR_PLACE_STOPPED };

	gr_place_end(c->place, gr_coord_now(c), placed, &stopped);
	gr_dispatch_kick(c);              /* others may wait for that room, and nothing else might come to say so */
}

/* There is room for more numbers on disk now. A retry that went before it has raised them by itself. */
static void on_numbered(void *ctx, int rc)
{
	struct gr_batch *b = ctx;
	struct gr_bj *j = gr_bj_find(b, b->numbered);

	(void)rc;                                 /* it was tried until it could be written */
	b->numbered = 0;
	if (j && j->spec && j->b.floor == b->numbered_floor)
		gr_bjob_more_numbers(&j->b);
}

/* A task that is stopped again and again, an idle one say, uses up its numbers: half of them are left when more are asked for. */
static void number_more(struct gr_bj *j)
{
	struct gr_batch *b = j->batch;
	struct gr_store_tx *tx;

	if (!j->b.wants_numbers || b->numbered)
		return;
	b->numbered = j->id;
	b->numbered_floor = j->b.floor;
	j->floor = gr_bjob_stored_floor(&j->b) + GR_BATCH_STRIDE;
	tx = gr_store_tx_new(b->store);
	gr_store_add(tx, GR_SQL_JOB_FLOOR, (int64_t)j->id, (int64_t)j->floor);
	gr_store_commit(&tx, false, on_numbered, b);
}

static void store_begin(struct gr_bj *j, uint32_t task, const struct gr_blive *l)
{
	if (!j->started_ms) {
		struct gr_store_tx *tx = gr_store_tx_new(j->batch->store);

		j->started_ms = (int64_t)gr_clock_real_ms();
		gr_bj_save_state(j, tx);
		gr_store_commit(&tx, false, NULL, NULL);
	}
	gr_begun_add(j, task, l);
}

/* For the page's timeline. */
static void show_begin(const struct gr_bj *j, const struct gr_stage *st, uint32_t task, const struct gr_blive *l, const struct gr_worker *w)
{
	struct gr_buf *name = &j->batch->scratch;
	struct gr_recent_attempt a = { .kind = "command", .worker = w->name, .job = j->id, .task = task, .attempt = l->number };

	if (!gr_recent_has_room(j->batch->c->recent))
		return;
	gr_buf_clear(name);
	gr_buf_add(name, j->name, strnlen(j->name, 40));
	gr_buf_add(name, ": ", 2);
	gr_buf_add(name, st->name, strnlen(st->name, 20));
	gr_buf_add_byte(name, ' ');
	gr_buf_add_int(name, task - st->first);
	a.name = gr_buf_str(name);
	gr_recent_begin(j->batch->c->recent, gr_loop_real_ms(j->batch->c->loop), &a);
}

uint32_t gr_run_same(struct gr_bj *j, const struct gr_stage *st, const char *value)
{
	int rc = st->same ? gr_place_label(j->batch->c->place, st->same, value) : 0;

	return rc > 0 ? (uint32_t)rc : 0;
}

/* It did not leave: the attempt is no more, and its room is given back. */
static void unsent(struct gr_bj *j, struct gr_worker *w, uint32_t task, uint32_t number, uint64_t placed, int rc)
{
	const struct gr_bend e = { .cause = GR_BC_UNSENT };
	struct gr_batch *b = j->batch;
	uint64_t now = gr_coord_now(b->c);

	gr_run_give_back(b->c, placed);
	if (rc == GR_EBUSY || rc == GR_EGONE)
		gr_place_worker_pause(b->c->place, now, w->place, now + PAUSE_NS);
	gr_bjob_end(&j->b, task, number, w->identity, &e, now);
}

static void begun(struct gr_bj *j, const struct gr_stage *st, uint32_t task, const struct gr_blive *l, const struct gr_worker *w)
{
	j->batch->attempts++;
	j->is_dirty = true;
	store_begin(j, task, l);
	gr_history(j->batch, "begin", j->id, task, l->number, w->name);
	show_begin(j, st, task, l, w);
}

/* What cannot be sent to this worker cannot to any other either: the attempt ends before it was. */
static void refuse(struct gr_bj *j, struct gr_worker *w, uint32_t task, const struct gr_blive *l, const char *why)
{
	const struct gr_ended_msg m = { .job = j->id, .task = task, .attempt = l->number, .out.has_data = true, .err.has_data = true,
					.reason = gr_slice_str(why) };

	gr_run_give_back(j->batch->c, l->placed);
	gr_run_end(j, NULL, w->identity, &m, GR_BC_REFUSED);
}

/* The attempt begins at @bw, which knows the job. Return: 0; what the queue to the worker said. */
static int begin(struct gr_bj *j, struct gr_bworker *bw, const struct gr_stage *st, uint32_t task, uint64_t placed)
{
	struct gr_batch *b = j->batch;
	struct gr_worker *w = bw->w;
	uint64_t now = gr_coord_now(b->c);
	struct gr_btask *t;
	struct gr_blive *l;
	int rc;

	if (st->same && !(t = gr_bjob_record(&j->b, task))->same)
		t->same = gr_run_same(j, st, gr_bworker_label(bw, st->same));
	if (gr_bjob_is_anew(&j->b, task))
		gr_bjob_count_on(&j->b, task, gr_store_last_ordinal(b->store, (int64_t)j->id, task));
	number_more(j);
	l = gr_bjob_begin(&j->b, task, w->identity, bw->node, st->replicas ? gr_run_toolchain(st) : 0, w, placed, now);
	if (!l) {
		gr_run_give_back(b->c, placed);
		gr_warn("batch", "job %" PRIu64 " task %u: too many attempts", j->id, task);
		return 0;
	}
	t = gr_bjob_find(&j->b, task);
	rc = gr_run_send_command(j, bw, st, t, l);
	if (rc < 0 && rc != GR_ELIMIT) {
		unsent(j, w, task, l->number, placed, rc);
		return rc;
	}
	begun(j, st, task, l, w);
	if (rc < 0) {
		refuse(j, w, task, l, "the tasks before it brought more files than a task can have");
		return 0;
	}
	gr_logs_began(j, task, l);
	return 0;
}

/* The same for a comparison of two of its results, which are @files, or @gathered says why not. */
static int begin_check(struct gr_bj *j, struct gr_bworker *bw, const struct gr_stage *st, uint32_t task, uint64_t placed,
		       const struct gr_check_files *files, int gathered)
{
	struct gr_worker *w = bw->w;
	struct gr_blive *l;
	int rc;

	number_more(j);
	l = gr_bjob_begin_check(&j->b, task, w->identity, bw->node, w, placed, gr_coord_now(j->batch->c));
	if (!l) {
		gr_run_give_back(j->batch->c, placed);
		gr_warn("batch", "job %" PRIu64 " task %u: too many attempts", j->id, task);
		return 0;
	}
	rc = gathered < 0 ? gathered : gr_check_send(j, bw, st, task, l, files);
	if (rc < 0 && rc != GR_ELIMIT && rc != GR_ENOENT) {
		unsent(j, w, task, l->number, placed, rc);
		return rc;
	}
	begun(j, st, task, l, w);
	if (rc < 0)
		refuse(j, w, task, l, rc == GR_ELIMIT ? "two results have more files than a comparison may have" :
		       "a file of one of the results is not kept any more");
	return 0;
}

/* Return: false when the worker takes nothing now. */
static bool start_check(struct gr_bj *j, uint32_t task, struct gr_worker *w, uint64_t placed)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];
	struct gr_bworker *bw = gr_bworker_of(j->batch, w);
	struct gr_btask *t = gr_bjob_find(&j->b, task);
	const struct gr_bresult *of, *against;
	uint64_t now = gr_coord_now(j->batch->c);
	struct gr_check_files files = { .n = 0 };
	int rc;

	if (!t || !t->is_check_queued || !gr_bjob_pair(&j->b, t, &of, &against)) {
		if (t)
			t->is_check_queued = false;      /* decided meanwhile */
		gr_run_give_back(j->batch->c, placed);
		return true;
	}
	if (of->node == bw->node || against->node == bw->node) {       /* its node was not known when this was offered */
		gr_run_give_back(j->batch->c, placed);
		gr_run_offer_check(j, t);
		return true;
	}
	if (gr_run_send_spec(j, bw) < 0) {
		gr_run_give_back(j->batch->c, placed);
		gr_place_worker_pause(j->batch->c->place, now, w->place, now + PAUSE_NS);
		gr_run_offer_check(j, t);
		return false;
	}
	rc = gr_check_gather(j, task, of->number, against->number, &files);
	if (rc < 0 && rc != GR_ELIMIT && rc != GR_ENOENT) {            /* not on disk yet; no room; the store cannot be read */
		gr_run_give_back(j->batch->c, placed);
		gr_bjob_hold_check(&j->b, task, now + (rc == GR_EBUSY ? PAUSE_NS : TROUBLE_NS));
		rc = 0;
	} else {
		rc = begin_check(j, bw, st, task, placed, &files, rc);
	}
	gr_buf_fini(&files.raw);
	return rc != GR_EBUSY;
}

/* @mem_permille: as much was kept free for it. Return: false when the worker takes nothing now. */
static bool start(struct gr_bj *j, uint32_t task, struct gr_worker *w, uint64_t placed, uint32_t mem_permille)
{
	struct gr_batch *b = j->batch;
	struct gr_bworker *bw = gr_bworker_of(b, w);
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];
	struct gr_btask *t = gr_bjob_find(&j->b, task);
	enum gr_bstate state = (enum gr_bstate)gr_states_get(&j->b.states, task);

	if (state != GR_B_READY && !(t && t->n_queued)) {
		gr_run_give_back(b->c, placed);          /* adopted, cancelled or done meanwhile */
		return true;
	}
	/* it came of an older range, from before it was killed for want of memory; or its node has a copy of it, or copies are on other workers */
	if (t && (t->mem_permille > mem_permille || (st->replicas && gr_btask_is_at(t, bw->node)) ||
		  (t->same && t->same != gr_run_same(j, st, gr_bworker_label(bw, st->same))))) {
		gr_run_give_back(b->c, placed);
		gr_run_offer(j, task, 1, t);
		return true;
	}
	if (gr_run_send_spec(j, bw) < 0) {
		uint64_t now = gr_coord_now(b->c);

		gr_run_give_back(b->c, placed);
		gr_place_worker_pause(b->c->place, now, w->place, now + PAUSE_NS);
		gr_run_offer(j, task, 1, t);
		return false;
	}
	return begin(j, bw, st, task, placed) != GR_EBUSY;
}

/* A second try of one that takes much longer than its like. What was refused is tried again by placement, later. */
static void start_copy(struct gr_bj *j, uint32_t task, struct gr_worker *w, uint64_t placed)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];
	struct gr_btask *t = gr_bjob_find(&j->b, task);
	struct gr_bworker *bw = gr_bworker_of(j->batch, w);

	if (!st->is_rerunnable || !t || gr_btask_n_live(t) != 1 || t->n_queued || j->b.is_cancelled || j->b.is_stopping || gr_btask_is_at(t, bw->node) ||
	    gr_run_send_spec(j, bw) < 0) {
		gr_run_give_back(j->batch->c, placed);
		return;
	}
	if (begin(j, bw, st, task, placed) >= 0)
		gr_info("batch", "job %" PRIu64 " task %u takes long: tried on %s besides", j->id, task, w->name);
}

static void stop_for_placement(struct gr_bj *j, uint32_t task, uint64_t placed, enum gr_place_act act)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, task)];
	uint32_t grace_ms = j->spec->is_idle && !st->has_checkpoint ? IDLE_YIELD_MS : YIELD_MS;
	struct gr_btask *t = gr_bjob_find(&j->b, task);

	for (uint32_t i = 0; t && i < t->n_lives; i++) {
		struct gr_blive *l = &t->lives[i];
		enum gr_stop_how how = act == GR_PLACE_RETRACT ? GR_STOP_RETRACT : GR_STOP_YIELD;

		if (l->placed != placed || l->is_lost || l->stopping)
			continue;
		l->stopping = (uint8_t)how;
		l->stop_cause = act == GR_PLACE_PREEMPT ? GR_BC_PREEMPTED : act == GR_PLACE_MOVE ? GR_BC_EVICTED : GR_BC_UNSENT;
		gr_bworker_stop(j->batch, l->peer, j->id, task, l->number, how, how == GR_STOP_YIELD ? grace_ms : 0);
	}
}

bool gr_batch_act(struct gr_coord *c, const struct gr_place_decision *d)
{
	struct gr_bj *j = gr_bj_find(c->batch, GR_BATCH_TAG_JOB(d->tag));

	if (d->act == GR_PLACE_RUN) {
		struct gr_worker *w = (struct gr_worker *)(uintptr_t)d->worker_tag;
		uint32_t mem_permille;
		bool is_check = gr_run_took(c->batch, d->tag, &mem_permille);

		if (!j || !j->spec || j->state != GR_J_OPEN) {
			gr_run_give_back(c, d->placed);
			return true;
		}
		return is_check ? start_check(j, d->nth, w, d->placed) : start(j, d->nth, w, d->placed, mem_permille);
	}
	if (d->act == GR_PLACE_COPY) {
		if (j && j->spec && j->state == GR_J_OPEN)
			start_copy(j, d->nth, (struct gr_worker *)(uintptr_t)d->worker_tag, d->placed);
		else
			gr_run_give_back(c, d->placed);
		return true;
	}
	if (j && j->spec)
		stop_for_placement(j, d->nth, d->placed, d->act);
	return true;
}

void gr_run_started(struct gr_bj *j, struct gr_btask *t, struct gr_blive *l)
{
	if (l->is_started)
		return;
	gr_bjob_started(t, l);
	j->is_dirty = true;
	gr_place_started(j->batch->c->place, gr_coord_now(j->batch->c), l->placed);
}

int gr_batch_started(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	uint64_t job, task;
	uint32_t attempt;
	struct gr_bj *j;
	struct gr_btask *t;
	struct gr_blive *l;
	int rc = gr_taskref_decode(body, &job, &task, &attempt);

	if (rc < 0)
		return rc;
	j = gr_bj_find(c->batch, job);
	t = j && j->spec && task < j->n_tasks ? gr_bjob_find(&j->b, (uint32_t)task) : NULL;
	l = t ? gr_btask_live(t, attempt) : NULL;
	if (!l || l->worker != w->identity || l->is_lost)
		return 0;
	if (l->stopping == GR_STOP_RETRACT) {     /* too late: it runs, and stays */
		l->stopping = 0;
		l->stop_cause = GR_BC_NONE;
		gr_place_kept(c->place, l->placed);
	}
	gr_run_started(j, t, l);
	return 0;
}
