/* job.c - see job.h. The transition table is the specification; gr_task_end is the only code that turns what happened
 * to an attempt into what happens to its task. A state machine per attempt with its own lists was not kept: an
 * attempt is found through its task, and three at most are alive. */
#include "lib/job/job.h"

#include <assert.h>
#include <string.h>

static const char *const state_names[] = { "new", "queued", "running", "ended", "gone" };
static const uint8_t moves[GR_TASK_N_STATES] = {      /* bit mask of states it may go to */
	[GR_TASK_NEW] = 1 << GR_TASK_QUEUED | 1 << GR_TASK_ENDED | 1 << GR_TASK_GONE,
	[GR_TASK_QUEUED] = 1 << GR_TASK_RUNNING | 1 << GR_TASK_NEW | 1 << GR_TASK_ENDED | 1 << GR_TASK_GONE,
	[GR_TASK_RUNNING] = 1 << GR_TASK_QUEUED | 1 << GR_TASK_ENDED | 1 << GR_TASK_GONE,
	[GR_TASK_ENDED] = 1 << GR_TASK_GONE,
};
static const struct { const char *name; bool counts, elsewhere; } causes[] = {
	{ "none", false, false },
#define X(name, text, counts, elsewhere) { text, counts, elsewhere },
	GR_CAUSE_MAP(X)
#undef X
};

const char *gr_task_state_name(enum gr_task_state s)
{
	return s < GR_TASK_N_STATES ? state_names[s] : "?";
}

const char *gr_cause_name(enum gr_cause c)
{
	return c < GR_CAUSE_N ? causes[c].name : "?";
}

void gr_job_init(struct gr_job *j, uint64_t id)
{
	memset(j, 0, sizeof(*j));
	j->id = id;
	for (int i = 0; i < GR_TASK_N_STATES; i++)
		gr_list_init(&j->lists[i]);
}

uint32_t gr_job_count(const struct gr_job *j)
{
	uint32_t n = 0;

	for (int i = 0; i < GR_TASK_GONE; i++)
		n += j->n[i];
	return n;
}

void gr_job_fini(struct gr_job *j)
{
	assert(!gr_job_count(j));
}

void gr_task_init(struct gr_task *t, struct gr_job *j, uint64_t id, uint32_t first_attempt)
{
	memset(t, 0, sizeof(*t));
	t->job = j;
	t->id = id;
	t->first_attempt = first_attempt;
	t->state = GR_TASK_NEW;
	gr_list_push(&j->lists[GR_TASK_NEW], &t->link);
	j->n[GR_TASK_NEW]++;
}

bool gr_task_may_move(enum gr_task_state from, enum gr_task_state to)
{
	return from < GR_TASK_N_STATES && to < GR_TASK_N_STATES && moves[from] >> to & 1;
}

void gr_task_move(struct gr_task *t, enum gr_task_state to)
{
	assert(gr_task_may_move(t->state, to));
	gr_list_del(&t->link);
	t->job->n[t->state]--;
	t->state = to;
	if (to == GR_TASK_GONE)
		return;
	gr_list_push(&t->job->lists[to], &t->link);
	t->job->n[to]++;
}

bool gr_task_may_try(const struct gr_task *t)
{
	return t->n_tries < GR_JOB_MAX_TRIES && t->n_attempts < GR_JOB_MAX_ATTEMPTS;
}

struct gr_attempt *gr_task_begin(struct gr_task *t, uint64_t worker, void *peer, uint64_t placed, uint64_t now_ns)
{
	struct gr_attempt *a = &t->attempts[t->n_attempts];

	assert((t->state == GR_TASK_QUEUED || t->state == GR_TASK_RUNNING) && gr_task_may_try(t));
	*a = (struct gr_attempt){
		.number = t->first_attempt + t->n_attempts, .state = GR_ATTEMPT_LIVE,
		.worker = worker, .peer = peer, .placed = placed, .start_ns = now_ns,
	};
	t->n_attempts++;
	if (t->state == GR_TASK_QUEUED)
		gr_task_move(t, GR_TASK_RUNNING);
	return a;
}

struct gr_attempt *gr_task_attempt(struct gr_task *t, uint32_t number)
{
	uint32_t i = number - t->first_attempt;

	return number >= t->first_attempt && i < t->n_attempts ? &t->attempts[i] : NULL;
}

uint32_t gr_task_live(const struct gr_task *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n_attempts; i++)
		n += t->attempts[i].state == GR_ATTEMPT_LIVE;
	return n;
}

static enum gr_verdict accept(struct gr_task *t)
{
	gr_task_move(t, GR_TASK_ENDED);
	return GR_VERDICT_ACCEPT;
}

enum gr_verdict gr_task_end(struct gr_task *t, uint32_t number, uint64_t worker, enum gr_cause cause, uint64_t now_ns)
{
	struct gr_attempt *a = gr_task_attempt(t, number);
	bool was_lost;

	if (!a || a->worker != worker || a->state == GR_ATTEMPT_OVER)
		return GR_VERDICT_FENCED;
	was_lost = a->state == GR_ATTEMPT_LOST;
	if (was_lost && cause != GR_CAUSE_DONE)
		return GR_VERDICT_FENCED;
	if (!was_lost)
		t->n_tries += causes[cause].counts;
	a->state = cause == GR_CAUSE_LOST ? GR_ATTEMPT_LOST : GR_ATTEMPT_OVER;
	a->cause = cause;
	a->peer = NULL;
	a->end_ns = now_ns;
	if (t->state != GR_TASK_RUNNING && t->state != GR_TASK_QUEUED)
		return GR_VERDICT_FENCED;
	if (!causes[cause].elsewhere)
		return accept(t);
	if (gr_task_live(t))
		return GR_VERDICT_WAIT;
	if (gr_task_may_try(t)) {
		gr_task_move(t, GR_TASK_QUEUED);
		return GR_VERDICT_AGAIN;
	}
	gr_task_move(t, GR_TASK_ENDED);
	return GR_VERDICT_EXHAUSTED;
}
