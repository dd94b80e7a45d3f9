/*
 * run_ahead.c - short commands one behind the other in a runner (worker/sandbox/runner_ahead.c says why)
 *
 * A command without files of its own may be sent to a runner where one of the same stage runs, once the last few there were
 * short and left nothing. It takes the slot and the memory of the one before it, so that nothing else is promised twice.
 * It is not begun until its runner has gone on to it, and comes back to wait here when the one before it lasts or leaves
 * something, or when somebody wants it back. Nothing is sent ahead while a compile waits: the slot may be its.
 */
#include "lib/base/clock.h"
#include "worker/command.h"

#define MAX_AHEAD GR_RUNNER_MAX_AHEAD
#define AHEAD_NS (12 * GR_NS_PER_MS)           /* of work in one runner: as much as another may have to wait for at the end */
#define MIN_QUICK 3u                           /* ends that left nothing, in a row, before the first is sent ahead */
#define QUICK_NS (4 * GR_NS_PER_MS)

static bool has_files(const struct gr_wcommand *t)
{
	const struct gr_wstage *s = t->stage;

	return t->n_placed || t->has_stdin || t->m.secrets.n || s->n_outputs || s->checkpoint_code >= 0 || s->disk_bytes;
}

void gr_command_learn(struct gr_wcommand *t)
{
	struct gr_runner *r = t->runner;
	uint64_t wall_ns = t->ended_ns - t->started_ns;
	bool is_quick = t->end.is_clean && !t->end.is_oom && wall_ns < QUICK_NS;

	r->n_quick = !is_quick ? 0 : r->n_quick < MAX_AHEAD ? r->n_quick + 1 : MAX_AHEAD;
	r->quick_ns = r->n_quick > 1 ? (3 * r->quick_ns + wall_ns) / 4 : wall_ns;
}

/* The runner where @t may follow, and the fewest do. */
static struct gr_runner *best_runner(const struct gr_wcommand *t)
{
	struct gr_runner *best = NULL;

	GR_LIST_EACH(h, &t->c->lists[GR_CS_RUNNING], struct gr_wcommand, link) {
		struct gr_runner *r = h->runner;

		if (!r || r->n_quick < MIN_QUICK || r->n_ahead >= r->n_quick ||
		    r->n_ahead * r->quick_ns > AHEAD_NS || h->stage != t->stage || h->m.mem_bytes != t->m.mem_bytes ||
		    h->is_cancelled || has_files(h))
			continue;
		if (!best || r->n_ahead < best->n_ahead)
			best = r;
	}
	return best;
}

bool gr_command_send_ahead(struct gr_wcommand *t)
{
	const struct gr_worker *w = t->c->w;
	struct gr_err err = { 0 };

	if (w->n_queued || w->n_running + t->c->slots_used + w->n_load > w->n_use || has_files(t) || t->is_followed)
		return false;
	t->runner = best_runner(t);
	if (!t->runner)
		return false;
	if (gr_command_launch(t, true, &err) < 0) {
		t->runner = NULL;
		return false;
	}
	t->runner->n_ahead++;
	gr_command_move(t, GR_CS_NEXT);
	return true;
}

static struct gr_wcommand *next_in(struct gr_commands *c, const struct gr_runner *r)
{
	GR_LIST_EACH(t, &c->lists[GR_CS_NEXT], struct gr_wcommand, link)
		if (t->runner == r)
			return t;
	return NULL;
}

struct gr_wcommand *gr_commands_go_on(struct gr_commands *c, struct gr_runner *r)
{
	struct gr_wcommand *t = next_in(c, r);

	if (!t)
		return NULL;
	r->n_ahead--;
	r->command = t;
	r->since_ns = gr_loop_now_ns(c->w->loop);
	return t;
}

/* Before all that came later. */
static void wait_again(struct gr_wcommand *t)
{
	struct gr_list *ready = &t->c->lists[GR_CS_READY], *before = ready;

	gr_command_move(t, GR_CS_READY);
	gr_list_del(&t->link);
	while (before->next != ready && GR_CONTAINER(before->next, struct gr_wcommand, link)->serial < t->serial)
		before = before->next;
	gr_list_insert(before, &t->link);
}

static void come_back(struct gr_wcommand *t)
{
	t->runner = NULL;
	if (t->is_cancelled)
		gr_command_give_up(t, GR_OUTCOME_CANCELLED, GR_ENDED_F_NOT_STARTED, "cancelled");
	else if (t->c->w->is_draining)
		gr_command_give_up(t, GR_OUTCOME_RETRY, GR_ENDED_F_NOT_STARTED | GR_ENDED_F_DRAINED, "draining");
	else if (t->is_retracted)
		gr_command_give_up(t, GR_OUTCOME_CANCELLED, GR_ENDED_F_NOT_STARTED, "given back");
	else
		wait_again(t);
}

void gr_commands_returned(struct gr_commands *c, struct gr_runner *r, uint32_t id)
{
	struct gr_wcommand *t = next_in(c, r);

	if (!t || t->serial != id)
		return;
	r->n_ahead--;
	r->n_quick = 0;
	come_back(t);
	if (!r->n_ahead && !r->command)
		gr_runners_give(r);
}

void gr_commands_take_back(struct gr_commands *c, struct gr_runner *r)
{
	struct gr_wcommand *t;

	while ((t = next_in(c, r)))
		come_back(t);
	r->n_ahead = 0;
}
