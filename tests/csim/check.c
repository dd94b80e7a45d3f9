/* check.c - what must hold: behind every event, and when everything is over
 *
 * The end is read from the database's file by a connection of its own, and compared with what the workers know of their
 * attempts and what the clients were told. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/store_int.h"
#include "lib/place/place_int.h"
#include "tests/csim/csim.h"

#define DISK_SEEN_NS (20 * GR_NS_PER_S)   /* from the end of a disk's failing until the store must have seen it; stops are shorter */
#define BEGUN_NS (100 * GR_NS_PER_MS)     /* an attempt that old has its row, unless the coordinator was stopped meanwhile */

typedef unsigned long long ull;

/* ---- now ---- */

/* What waits for a place is offered, or will be when something is on disk. */
static void check_offers(struct cs *s, const struct gr_bj *j, const struct gr_btask *t)
{
	uint32_t n_copies = 0, n_checks = 0;

	if (j->is_raising || j->state != GR_J_OPEN || (!t->n_queued && !t->is_check_queued))
		return;
	GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link)
		if (t->task - r->place.first < r->place.count)
			*(r->is_check ? &n_checks : &n_copies) += 1;
	GR_LIST_EACH(p, &j->batch->pends, struct gr_pend, link)
		for (uint32_t i = 0; i < p->n_ready && p->job == j->id; i++)
			if (t->task - p->ready[i].first < p->ready[i].count)
				*(p->ready[i].is_check ? &n_checks : &n_copies) += 1;
	if (n_copies < t->n_queued || (t->is_check_queued && !n_checks))
		cs_fail(s, "job %llu task %llu: %u copies%s wait for a place, offered are %u and %u comparisons", (ull)j->id, (ull)t->task, t->n_queued,
			t->is_check_queued ? " and a comparison" : "", n_copies, n_checks);
}

static const char *kind_of(const struct cs *s, uint64_t node)
{
	for (uint32_t i = 0; i < s->p.n_workers; i++)
		if (gr_hash64(s->nodes[i]->host, strlen(s->nodes[i]->host), 7) == node)
			return cs_kind(s, i);
	return "of nobody";
}

/* What copies brought, and those that run, are of one kind of worker. */
static void check_alike(struct cs *s, const struct gr_bj *j, const struct gr_stage *st, const struct gr_btask *t)
{
	const char *kind = NULL, *other;

	for (uint32_t i = 0; st->same && i < t->n_results + t->n_lives; i++) {
		const struct gr_blive *l = i < t->n_results ? NULL : &t->lives[i - t->n_results];

		if (l && (l->is_lost || l->of))
			continue;
		other = kind_of(s, l ? l->node : t->results[i].node);
		if (kind && strcmp(kind, other))
			cs_fail(s, "job %llu task %llu has copies on workers of kind \"%s\" and \"%s\"", (ull)j->id, (ull)t->task, kind, other);
		kind = other;
	}
}

static void check_task(struct cs *s, const struct gr_bj *j, const struct gr_btask *t, uint64_t *n_placed)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)t->task)];
	uint8_t state = gr_states_get(&j->b.states, (uint32_t)t->task);
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n_lives; i++) {
		const struct gr_blive *l = &t->lives[i];

		if (l->is_lost)
			continue;
		n++;
		*n_placed += l->placed != UINT64_MAX;
		if (!l->peer || ((const struct gr_worker *)l->peer)->identity != l->worker)
			cs_fail(s, "job %llu task %llu attempt %u is with nobody", (ull)j->id, (ull)t->task, l->number);
		if (!l->is_stored && s->now_ns > (l->start_ns > s->coord_stopped_ns ? l->start_ns : s->coord_stopped_ns) + BEGUN_NS && !gr_store_trouble(j->batch->store))
			cs_fail(s, "job %llu task %llu attempt %u has begun, and no life after this one would know it", (ull)j->id, (ull)t->task, l->number);
		for (uint32_t k = 0; k < i && !l->of; k++)
			if (!t->lives[k].is_lost && !t->lives[k].of && t->lives[k].node == l->node && st->replicas)
				cs_fail(s, "job %llu task %llu has two copies on one node", (ull)j->id, (ull)t->task);
	}
	if (n > 1 && !st->replicas)
		cs_fail(s, "job %llu task %llu runs %u times at once", (ull)j->id, (ull)t->task, n);
	if (n > GR_SPEC_MAX_REPLICAS)
		cs_fail(s, "job %llu task %llu has %u copies", (ull)j->id, (ull)t->task, n);
	if (n && state != GR_B_RUNNING && j->state == GR_J_OPEN)
		cs_fail(s, "job %llu task %llu runs and is %s", (ull)j->id, (ull)t->task, gr_bstate_name((enum gr_bstate)state));
	for (uint32_t i = 0; i < t->n_results; i++)
		for (uint32_t k = 0; k < i; k++)
			if (t->results[i].node == t->results[k].node)
				cs_fail(s, "job %llu task %llu has two results of one node", (ull)j->id, (ull)t->task);
	if (!n && state == GR_B_RUNNING && j->state == GR_J_OPEN && !t->n_queued && !t->is_check_queued && !t->heap_at)
		cs_fail(s, "job %llu task %llu is running and waits for nothing", (ull)j->id, (ull)t->task);
	if (t->is_check_held && !t->heap_at)
		cs_fail(s, "job %llu task %llu: a comparison is put off for ever", (ull)j->id, (ull)t->task);
	check_offers(s, j, t);
	check_alike(s, j, st, t);
	if (!n && state == GR_B_RUNNING && !t->n_queued && !st->replicas)
		cs_fail(s, "job %llu task %llu is running and nobody has it", (ull)j->id, (ull)t->task);
}

/* It has the room that its memory needs, which is more after each OOM: whatever range it was offered in. */
static void check_room(struct cs *s, struct gr_bj *j, const struct gr_btask *t)
{
	const struct gr_stage *st = &j->spec->stages[gr_spec_stage_of(j->spec, (uint32_t)t->task)];
	const struct gr_place *p = s->c->place;

	for (uint32_t i = 0; i < t->n_lives && !st->replicas; i++) {
		const struct gr_blive *l = &t->lives[i];
		uint32_t at = l->is_lost || l->placed == UINT64_MAX ? UINT32_MAX : gr_place__placed(p, l->placed), has;

		if (at == UINT32_MAX)
			continue;
		has = p->classes[gr_place__at(p, at)->class].spec.need.v[GR_PLACE_MEM_MIB];
		if ((uint64_t)has << 20 < gr_run_mem(st, t))
			cs_fail(s, "job %llu task %llu attempt %u needs %llu MiB and was placed as one of %u", (ull)j->id, (ull)t->task, l->number,
				(ull)gr_run_mem(st, t) >> 20, has);
	}
}

static void check_sessions(struct cs *s, uint64_t *n_placed, uint64_t *n_queued)
{
	struct gr_session *x;
	size_t i = 0;

	while ((x = gr_map_each(&s->c->sessions, &i)))
		for (int state = GR_TASK_NEW; state <= GR_TASK_ENDED; state++)
			GR_LIST_EACH(t, &x->job.lists[state], struct gr_ctask, t.link) {
				uint32_t n = 0;

				for (uint32_t k = 0; k < t->t.n_attempts; k++) {
					const struct gr_attempt *a = &t->t.attempts[k];

					n += a->state == GR_ATTEMPT_LIVE;
					if (a->state == GR_ATTEMPT_LIVE && (!a->peer || ((const struct gr_worker *)a->peer)->identity != a->worker))
						cs_fail(s, "session task %llu attempt %u is with nobody", (ull)t->t.id, a->number);
				}
				*n_placed += n;
				*n_queued += t->queued >= 0;
				if (n > 2 || (n && state != GR_TASK_RUNNING) || (!n && state == GR_TASK_RUNNING))
					cs_fail(s, "session task %llu is %s with %u attempts", (ull)t->t.id, gr_task_state_name((enum gr_task_state)state), n);
			}
}

static void tell_ranges(struct cs *s)
{
	struct gr_bj *j;
	size_t i = 0;

	while ((j = gr_map_each(&s->c->batch->jobs, &i)))
		GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link)
			cs_say(s, "job %llu (owner %u): tasks %u + %u, %u left, handle %lld%s", (ull)j->id, j->place_owner, r->place.first, r->place.count,
			       r->n_left, (long long)r->queued, gr_place_pending(s->c->place, r->queued) < 0 ? ", which placement does not have" : "");
}

void cs_check_now(struct cs *s)
{
	uint64_t n_placed = 0, n_queued = 0;
	struct gr_place_stats ps;
	struct gr_bj *j;
	size_t i = 0, k;

	s->st.looks++;
	if (!s->c)
		return;
	while ((j = gr_map_each(&s->c->batch->jobs, &i))) {
		struct gr_btask *t;
		uint64_t sum = 0, n_begun = 0, n_with_worker = 0, n_grown = 0;

		if (!j->spec)
			continue;
		for (int x = 0; x < GR_B_N; x++)
			sum += j->b.states.count[x];
		if (sum != j->n_tasks)
			cs_fail(s, "job %llu: its states add up to %llu, it has %u tasks", (ull)j->id, (ull)sum, j->n_tasks);
		for (k = 0; (t = gr_map_each(&j->b.tasks, &k));) {
			bool has_begun = false;

			check_task(s, j, t, &n_placed);
			check_room(s, j, t);
			n_grown += t->mem_permille != GR_BATCH_MEM_AS_ASKED;
			for (uint32_t x = 0; x < t->n_lives; x++)
				has_begun |= !t->lives[x].is_lost && t->lives[x].is_started;
			n_begun += has_begun;
			n_with_worker += gr_btask_n_live(t) > 0;
		}
		if (j->b.n_grown != n_grown)
			cs_fail(s, "job %llu: %llu tasks have grown, it counts %u", (ull)j->id, (ull)n_grown, j->b.n_grown);
		if (j->b.n_begun != n_begun || (j->state == GR_J_OPEN && n_begun > j->b.states.count[GR_B_RUNNING]))
			cs_fail(s, "job %llu: %llu tasks have begun, it counts %u of %u", (ull)j->id, (ull)n_begun, j->b.n_begun,
				j->b.states.count[GR_B_RUNNING]);
		if (j->b.n_with_worker != n_with_worker || (j->state == GR_J_OPEN && n_with_worker > j->b.states.count[GR_B_RUNNING]))
			cs_fail(s, "job %llu: %llu tasks are with workers, it counts %u of %u", (ull)j->id, (ull)n_with_worker, j->b.n_with_worker,
				j->b.states.count[GR_B_RUNNING]);
		GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link)
			n_queued += r->queued >= 0 ? r->n_left : 0;
	}
	check_sessions(s, &n_placed, &n_queued);
	gr_place_stats(s->c->place, s->now_ns, &ps);
	if (ps.n_placed != n_placed)
		cs_fail(s, "placement has placed %llu tasks, %llu attempts are with workers", (ull)ps.n_placed, (ull)n_placed);
	if (ps.n_queued != n_queued)
		tell_ranges(s);
	if (ps.n_queued != n_queued)
		cs_fail(s, "placement has queued %llu tasks, the jobs %llu", (ull)ps.n_queued, (ull)n_queued);
	/* what asks is refused while there is some, so it must see by itself that it is over */
	if (gr_store_trouble(s->c->batch->store) && (!s->st.disk_errors || s->now_ns > s->disk_fails_ns + DISK_SEEN_NS))
		cs_fail(s, "%s", gr_store_trouble(s->c->batch->store));
}

/* ---- the end ---- */

static sqlite3_stmt *query(struct cs *s, sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		cs_fail(s, "%s: %s", sql, sqlite3_errmsg(db));
	return st;
}

const struct cs_truth *cs_truth_of(struct cs *s, uint64_t job, uint64_t task, uint64_t attempt)
{
	struct { uint64_t job, task, attempt; } key = { job, task, attempt };

	return gr_map_get(&s->truth, &key, sizeof(key));
}

/* Stages with copies are the first of their jobs. */
static bool has_copies(const struct cs_job *j, uint64_t task)
{
	const json_t *st = json_array_get(json_object_get(j->spec, "stages"), 0);
	json_int_t last = json_integer_value(json_array_get(json_object_get(json_object_get(st, "array"), "range"), 1));

	return json_object_get(st, "quorum") && (json_int_t)task <= last;
}

/* ---- rows that are packed, as if each were one of attempts and one of outcomes ---- */

struct unpack { struct cs *s; sqlite3_stmt *in; uint64_t job; };

static int unpack_one(void *ctx, const struct gr_store_attempt_row *r)
{
	struct unpack *x = ctx;

	sqlite3_bind_int64(x->in, 1, (sqlite3_int64)x->job);
	sqlite3_bind_int64(x->in, 2, r->task);
	sqlite3_bind_int64(x->in, 3, r->attempt);
	sqlite3_bind_text(x->in, 4, r->worker, -1, SQLITE_STATIC);
	sqlite3_bind_int64(x->in, 5, r->cause);
	sqlite3_bind_int64(x->in, 6, r->end_ms);
	sqlite3_bind_int64(x->in, 7, r->ordinal);
	if (sqlite3_step(x->in) != SQLITE_DONE)
		cs_fail(x->s, "job %llu task %llu was done twice", (ull)x->job, (ull)r->task);
	sqlite3_reset(x->in);
	return 0;
}

static void unpack(struct cs *s, sqlite3 *db)
{
	struct unpack x = { s, NULL, 0 };
	sqlite3_stmt *st;

	if (sqlite3_exec(db, "CREATE TEMP TABLE done(job, task, attempt, worker, cause, end_ms, ordinal, PRIMARY KEY(job, task)); CREATE TEMP VIEW outcomes AS SELECT job, "
			 "task, state, attempt FROM main.outcomes UNION ALL SELECT job, task, 4, attempt FROM done; CREATE TEMP VIEW attempts AS SELECT job, task, "
			 "attempt, worker, cause, exit_code, counts, end_ms, ordinal FROM main.attempts UNION ALL SELECT job, task, attempt, worker, cause, 0, 0, "
			 "end_ms, ordinal FROM done", NULL, NULL, NULL) != SQLITE_OK)
		cs_fail(s, "%s", sqlite3_errmsg(db));
	x.in = query(s, db, "INSERT INTO done VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
	st = query(s, db, "SELECT job, first, data, n, last FROM packs");
	while (st && sqlite3_step(st) == SQLITE_ROW) {
		x.job = (uint64_t)sqlite3_column_int64(st, 0);
		if (gr_pack__each_of(st, 0, 1, 2, unpack_one, &x) < 0)
			cs_fail(s, "job %llu: a pack cannot be read", (ull)x.job);
	}
	sqlite3_finalize(st);
	sqlite3_finalize(x.in);
	st = query(s, db, "SELECT job, task FROM done d WHERE EXISTS(SELECT 1 FROM main.outcomes o WHERE o.job=d.job AND o.task=d.task) OR "
		   "EXISTS(SELECT 1 FROM main.attempts a WHERE a.job=d.job AND a.task=d.task AND a.attempt=d.attempt)");
	while (st && sqlite3_step(st) == SQLITE_ROW)
		cs_fail(s, "job %lld task %lld has been packed, and has rows of it", (long long)sqlite3_column_int64(st, 0), (long long)sqlite3_column_int64(st, 1));
	sqlite3_finalize(st);
	st = query(s, db, "SELECT p.job, p.first FROM packs p WHERE n<>(SELECT count(*) FROM done d WHERE d.job=p.job AND d.task>=p.first AND d.task<=p.last) AND "
		   "NOT EXISTS(SELECT 1 FROM packs q WHERE q.job=p.job AND q.first<>p.first AND q.first<=p.last AND q.last>=p.first)");
	while (st && sqlite3_step(st) == SQLITE_ROW)
		cs_fail(s, "job %lld: the pack from %lld has another number of tasks than it says", (long long)sqlite3_column_int64(st, 0),
			(long long)sqlite3_column_int64(st, 1));
	sqlite3_finalize(st);
}

/* An outcome that stands was brought by an attempt that its worker knows, and by one alone. */
static void check_outcomes(struct cs *s, sqlite3 *db)
{
	sqlite3_stmt *st = query(s, db, "SELECT o.job, o.task, o.state, o.attempt, a.worker, a.cause, a.exit_code FROM outcomes o LEFT JOIN attempts a "
				 "ON a.job=o.job AND a.task=o.task AND a.attempt=o.attempt");

	while (st && sqlite3_step(st) == SQLITE_ROW) {
		uint64_t job = (uint64_t)sqlite3_column_int64(st, 0), task = (uint64_t)sqlite3_column_int64(st, 1);
		const struct cs_job *known = gr_map_get(&s->jobs, &job, sizeof(job));
		int state = sqlite3_column_int(st, 2), cause = sqlite3_column_int(st, 5);
		const char *worker = (const char *)sqlite3_column_text(st, 4);
		const struct cs_truth *t = cs_truth_of(s, job, task, (uint64_t)sqlite3_column_int64(st, 3));

		if (state == GR_B_DONE && (!worker || cause != GR_BC_DONE))
			cs_fail(s, "job %llu task %llu is done by attempt %lld, which %s", (ull)job, (ull)task, (long long)sqlite3_column_int64(st, 3),
				worker ? gr_bcause_name((enum gr_bcause)cause) : "there is not");
		else if (state == GR_B_DONE && (!t || t->outcome != GR_OUTCOME_DONE || t->exit_code || strcmp(s->nodes[t->worker]->name, worker)))
			cs_fail(s, "job %llu task %llu is done, and worker %s does not know of it, but %s: %s, exit code %d", (ull)job, (ull)task, worker,
				t ? s->nodes[t->worker]->name : "nobody", t ? gr_outcome_name(t->outcome) : "", t ? t->exit_code : 0);
		else if (state == GR_B_DONE && t->is_lie && known && has_copies(known, task))
			cs_fail(s, "job %llu task %llu: the lie of %s stands", (ull)job, (ull)task, worker);
		else if (state == GR_B_FAILED && cause == GR_BC_EXIT && (!t || t->exit_code == 0))
			cs_fail(s, "job %llu task %llu failed with an exit code that nobody had", (ull)job, (ull)task);
	}
	sqlite3_finalize(st);
}

/* Attempts that counted are no more than were allowed, and one that counts ended badly by the word of its worker. */
static void check_tries(struct cs *s, sqlite3 *db)
{
	sqlite3_stmt *st = query(s, db, "SELECT job, task, attempt, cause, worker FROM attempts WHERE counts>0 AND end_ms>0");

	while (st && sqlite3_step(st) == SQLITE_ROW) {
		uint64_t job = (uint64_t)sqlite3_column_int64(st, 0), task = (uint64_t)sqlite3_column_int64(st, 1);
		int cause = sqlite3_column_int(st, 3);
		const struct cs_truth *t = cs_truth_of(s, job, task, (uint64_t)sqlite3_column_int64(st, 2));
		bool is_known = t && (cause == GR_BC_EXIT ? t->outcome == GR_OUTCOME_DONE && t->exit_code : cause == GR_BC_OOM ? t->outcome == GR_OUTCOME_OOM :
				     cause == GR_BC_COMPARE && t->outcome == GR_OUTCOME_DONE);

		if (!is_known && cause != GR_BC_DISAGREED && cause != GR_BC_LOST)
			cs_fail(s, "job %llu task %llu attempt %lld counts as a try of \"%s\", its worker says %s", (ull)job, (ull)task,
				(long long)sqlite3_column_int64(st, 2), gr_bcause_name((enum gr_bcause)cause), t ? gr_outcome_name(t->outcome) : "nothing");
	}
	sqlite3_finalize(st);
}

/* Results that were compared are of one kind of worker, and stored as such. */
static void check_kinds(struct cs *s, sqlite3 *db)
{
	sqlite3_stmt *st = query(s, db, "SELECT job, task, min(same), max(same), count(*), count(same), min(node_id), max(node_id) FROM main.attempts "
				 "WHERE digest IS NOT NULL GROUP BY job, task");

	while (st && sqlite3_step(st) == SQLITE_ROW) {
		uint64_t job = (uint64_t)sqlite3_column_int64(st, 0);
		const struct cs_job *known = gr_map_get(&s->jobs, &job, sizeof(job));
		const json_t *first = json_array_get(json_object_get(known ? known->spec : NULL, "stages"), 0);
		const char *min = (const char *)sqlite3_column_text(st, 2), *max = (const char *)sqlite3_column_text(st, 3);

		if (!json_object_get(json_object_get(first, "quorum"), "same"))
			continue;
		if (sqlite3_column_int(st, 4) != sqlite3_column_int(st, 5) || strcmp(min, max) ||
		    strcmp(min, kind_of(s, (uint64_t)sqlite3_column_int64(st, 6))) || strcmp(min, kind_of(s, (uint64_t)sqlite3_column_int64(st, 7))))
			cs_fail(s, "job %llu task %lld: results of workers of kind \"%s\" and \"%s\" were compared", (ull)job,
				(long long)sqlite3_column_int64(st, 1), min ? min : "?", max ? max : "?");
	}
	sqlite3_finalize(st);
}

/* People name an attempt by its ordinal: no other of the task's has it, and it is higher than those of before. */
static void check_ordinals(struct cs *s, sqlite3 *db)
{
	sqlite3_stmt *st = query(s, db, "SELECT job, task, attempt, ordinal, lag(ordinal, 1, 0) OVER (PARTITION BY job, task ORDER BY attempt) AS last FROM attempts");

	while (st && sqlite3_step(st) == SQLITE_ROW)
		if (sqlite3_column_int64(st, 3) <= sqlite3_column_int64(st, 4))
			cs_fail(s, "job %lld task %lld: attempt %lld is its number %lld, behind number %lld", (long long)sqlite3_column_int64(st, 0),
				(long long)sqlite3_column_int64(st, 1), (long long)sqlite3_column_int64(st, 2), (long long)sqlite3_column_int64(st, 3),
				(long long)sqlite3_column_int64(st, 4));
	sqlite3_finalize(st);
}

static void check_sums(struct cs *s, sqlite3 *db)
{
	sqlite3_stmt *st = query(s, db, "SELECT j.job, j.token, j.n_tasks, j.state, j.counts, (SELECT count(*) FROM outcomes o WHERE o.job=j.job AND o.state=4), "
				 "(SELECT count(*) FROM outcomes o WHERE o.job=j.job AND o.state=5), u.done, u.failed, u.attempts, "
				 "(SELECT count(*) FROM attempts a WHERE a.job=j.job AND a.end_ms>0) FROM jobs j LEFT JOIN usage u ON u.job=j.job");
	uint64_t n = 0;

	while (st && sqlite3_step(st) == SQLITE_ROW) {
		uint64_t job = (uint64_t)sqlite3_column_int64(st, 0);
		const struct cs_job *known = gr_map_get(&s->jobs, &job, sizeof(job));
		json_t *counts = json_loads((const char *)sqlite3_column_text(st, 4) ? (const char *)sqlite3_column_text(st, 4) : "{}", 0, NULL);
		int64_t done = sqlite3_column_int64(st, 5), failed = sqlite3_column_int64(st, 6);

		n++;
		if (!known || strcmp(known->token, (const char *)sqlite3_column_text(st, 1)) || known->n_tasks != sqlite3_column_int64(st, 2))
			cs_fail(s, "job %llu is stored, and its client does not know it", (ull)job);
		else if (json_integer_value(json_object_get(counts, "done")) != done || json_integer_value(json_object_get(counts, "failed")) != failed)
			cs_fail(s, "job %llu: counts say %s, stored are %lld done and %lld failed", (ull)job, sqlite3_column_text(st, 4), (long long)done,
				(long long)failed);
		else if (sqlite3_column_int(st, 3) == GR_J_DONE && done != known->n_tasks)
			cs_fail(s, "job %llu is done, %lld of its %u tasks are", (ull)job, (long long)done, known->n_tasks);
		else if (sqlite3_column_int64(st, 7) != done || (!known->was_retried && sqlite3_column_int64(st, 8) != failed))
			cs_fail(s, "job %llu: usage counts %lld done and %lld failed, stored are %lld and %lld", (ull)job, (long long)sqlite3_column_int64(st, 7),
				(long long)sqlite3_column_int64(st, 8), (long long)done, (long long)failed);
		json_decref(counts);
	}
	if (n != s->jobs.n)
		cs_fail(s, "%llu jobs are stored, %llu were acknowledged", (ull)n, (ull)s->jobs.n);
	sqlite3_finalize(st);
}

static void check_rest(struct cs *s)
{
	const struct gr_batch *b = s->c->batch;
	struct gr_place_stats ps;
	struct gr_store_stats ss;

	gr_place_stats(s->c->place, s->now_ns, &ps);
	gr_store_stats(b->store, &ss);
	if (ps.n_placed || ps.n_queued || ps.free_slots != ps.slots || ps.n_owners != s->c->sessions.n)
		cs_fail(s, "all is over, and placement has %llu tasks placed, %llu queued, %u of %u slots free, %u owners", (ull)ps.n_placed,
			(ull)ps.n_queued, ps.free_slots, ps.slots, ps.n_owners);
	if (ps.n_workers != s->p.n_workers)
		cs_fail(s, "placement has %u workers of %u", ps.n_workers, s->p.n_workers);
	if (ss.waiting || !gr_list_is_empty(&b->waits) || !gr_list_is_empty(&b->asked))
		cs_fail(s, "all is over, and %llu transactions, %s files or %s answers are waited for", (ull)ss.waiting,
			gr_list_is_empty(&b->waits) ? "no" : "some", gr_list_is_empty(&b->asked) ? "no" : "some");
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		struct cs_node *n = s->nodes[i];

		if (!gr_list_is_empty(&n->runs)) {
			struct cs_run *r = GR_CONTAINER(n->runs.next, struct cs_run, link);

			cs_fail(s, "all is over, and %s %s job %llu task %llu attempt %u", n->name, r->state == CS_HELD ? "holds" : "has", (ull)r->job,
				(ull)r->task, r->attempt);
		}
	}
}

void cs_check_end(struct cs *s)
{
	char path[256];
	sqlite3 *db = NULL;

	cs_check_now(s);
	check_rest(s);
	snprintf(path, sizeof(path), "%s/jobs.db", s->dir);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK) {
		unpack(s, db);
		check_sums(s, db);
		check_outcomes(s, db);
		check_tries(s, db);
		check_kinds(s, db);
		check_ordinals(s, db);
	} else {
		cs_fail(s, "%s cannot be read", path);
	}
	sqlite3_close(db);
}
