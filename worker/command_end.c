/*
 * command_end.c - what came of a command: told, and kept until the coordinator has committed it
 *
 * Small outputs and logs travel in the ENDED; larger ones stay in the cache, pinned, until they were fetched and all of it
 * is acknowledged. The frame is in the journal before it leaves, so that it outlives this process.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "worker/command.h"

#define TELL_MS 2u                             /* lib/place counts with it */
#define TELL_MAX_MS 50u                        /* what was here longer is told at once */
#define MAX_UNTOLD 32u
#define SPARE_BYTES 512u                       /* of a frame whose memory is kept for the next */

void gr_command_pin(struct gr_wcommand *t, const struct gr_digest *d)
{
	gr_cas_pin(t->c->w->cas, d);
	t->pinned = gr_xrealloc(t->pinned, (t->n_pinned + 1) * sizeof(*t->pinned));
	t->pinned[t->n_pinned++] = *d;
}

static void add_outputs(struct gr_wcommand *t, struct gr_buf *raw, uint32_t *n)
{
	for (uint32_t i = 0; i < t->found.n; i++) {
		const struct gr_files_found *f = &t->found.items[i];
		struct gr_placed_file p = { .index = t->found_of[i] - 1, .mode = (uint16_t)f->mode, .path = gr_slice_str(f->path) };

		p.kind = f->kind == GR_FILES_DIR ? GR_PLACED_DIR : f->kind == GR_FILES_LINK ? GR_PLACED_LINK : GR_PLACED_FILE;
		p.item.size = f->size;
		p.item.digest = f->digest;
		p.item.has_data = f->has_data;
		p.item.data = gr_buf_slice(&f->data);
		if (f->target)
			p.target = gr_slice_str(f->target);
		gr_placed_add(raw, n, &p, true);
	}
}

static struct gr_item log_item(const struct gr_command_log *l)
{
	struct gr_item i = { .size = l->n };

	i.has_data = l->fd < 0;
	i.data = gr_buf_slice(&l->mem);
	i.digest = l->digest;
	return i;
}

static void fill(struct gr_wcommand *t, struct gr_ended_msg *m)
{
	m->job = t->key.job;
	m->task = t->key.task;
	m->attempt = (uint32_t)t->key.attempt;
	m->outcome = (uint8_t)t->end_outcome;
	m->flags = t->end_flags | (t->logs[0].is_cut ? GR_ENDED_F_OUT_CUT : 0) | (t->logs[1].is_cut ? GR_ENDED_F_ERR_CUT : 0);
	if (t->is_begun && WIFSIGNALED(t->end.status))
		m->term_signal = WTERMSIG(t->end.status);
	else if (t->is_begun)
		m->exit_code = WEXITSTATUS(t->end.status);
	m->cpu_us = t->end.cpu_us;
	m->max_rss_bytes = t->end.max_rss_bytes;
	m->wait_us = ((t->is_begun ? t->started_ns : t->ended_ns) - t->received_ns) / GR_NS_PER_US;
	m->wall_us = t->is_begun ? (t->ended_ns - t->started_ns) / GR_NS_PER_US : 0;
	m->in_bytes = t->in_bytes;
	m->reason = gr_slice_str(t->why);
	m->out = log_item(&t->logs[0]);
	m->err = log_item(&t->logs[1]);
}

static bool send_one(struct gr_wcommand *t)
{
	struct gr_buf copy = { 0 };

	t->is_sent = false;
	if (gr_link_is_up(t->c->w->link)) {
		gr_buf_add(&copy, t->frame.p, t->frame.n);
		t->is_sent = gr_link_send(t->c->w->link, &copy) >= 0;
		gr_buf_fini(&copy);
	}
	if (!t->is_sent)
		gr_journal_write(t->c->journal);       /* no frame leaves that would do it */
	return t->is_sent;
}

static bool note(struct gr_wcommand *t)
{
	return gr_journal_add(t->c->journal, t->key.job, t->key.task, (uint32_t)t->key.attempt, gr_buf_slice(&t->frame)) == 0;
}

static void renew_journal(struct gr_commands *c)
{
	if (gr_journal_renew(c->journal) < 0)
		return;
	GR_LIST_EACH(t, &c->lists[GR_CS_HELD], struct gr_wcommand, link)
		t->is_saved = note(t);
}

/* What only a command that has not ended needs. */
static void strip(struct gr_wcommand *t)
{
	gr_fetch_forget(t->c->w->fetch, &t->waiter);
	gr_command_unstage(t);
	for (uint32_t i = 0; i < t->n_placed; i++) {
		free(t->placed[i].path);
		free(t->placed[i].target);
	}
	free(t->placed);
	t->placed = NULL;
	t->n_placed = 0;
	for (uint32_t i = 0; t->outputs && i < t->stage->n_outputs; i++)
		free(t->outputs[i]);
	free(t->outputs);
	t->outputs = NULL;
	gr_files_list_fini(&t->found);
	free(t->found_of);
	t->found_of = NULL;
	gr_command_log_fini(t);
	if (t->job)
		gr_jobs_unuse(t->c, t->job);
	t->job = NULL;
	t->stage = NULL;
}

void gr_command_on_tell(void *ctx)
{
	struct gr_commands *c = ctx;

	c->n_untold = 0;
	gr_command_send_all(c, false);
}

/* While others wait here to run, the end of a short one can wait a moment for the next: a message each is what the network's
 * threads of both ends would do. As soon as nobody waits the coordinator is to send more. */
static void tell(struct gr_wcommand *t)
{
	struct gr_commands *c = t->c;

	if (c->n[GR_CS_READY] + c->n[GR_CS_NEXT] > 1 && c->n_untold < MAX_UNTOLD && t->ended_ns - t->received_ns < TELL_MAX_MS * GR_NS_PER_MS) {
		if (!c->n_untold++)
			gr_timer_set(c->tell_timer, TELL_MS);
		return;
	}
	if (c->n_untold) {
		gr_timer_clear(c->tell_timer);
		gr_command_on_tell(c);
	} else {
		send_one(t);
	}
}

void gr_command_frame_new(struct gr_wcommand *t)
{
	if (t->c->n_frames)
		t->frame = t->c->frames[--t->c->n_frames];
}

/* Its COMMAND holds its secrets. An ENDED, which lay here for long, is not looked at again. */
void gr_command_frame_forget(struct gr_wcommand *t)
{
	struct gr_commands *c = t->c;

	if (t->frame.n && t->state != GR_CS_HELD)
		explicit_bzero(t->frame.p, t->frame.n);
	if (t->frame.cap <= SPARE_BYTES && t->frame.p && c->n_frames < GR_POOL_MAX) {
		t->frame.n = 0;
		if (!c->frames)
			c->frames = gr_xalloc(GR_POOL_MAX * sizeof(*c->frames));
		c->frames[c->n_frames++] = t->frame;
		t->frame = (struct gr_buf){ 0 };
	}
	gr_buf_fini(&t->frame);
}

void gr_command_finish(struct gr_wcommand *t)
{
	struct gr_commands *c = t->c;
	struct gr_ended_msg m = { 0 };
	struct gr_buf raw = { 0 };

	if (!t->ended_ns)
		t->ended_ns = gr_loop_now_ns(c->w->loop);
	fill(t, &m);
	if (t->end_outcome == GR_OUTCOME_DONE)
		add_outputs(t, &raw, &m.outputs.n);
	m.outputs.raw = gr_buf_slice(&raw);
	gr_command_frame_forget(t);            /* nothing of it is in the ENDED */
	gr_command_frame_new(t);
	gr_ended_encode(&t->frame, &m);
	gr_buf_fini(&raw);
	gr_command_move(t, GR_CS_HELD);
	gr_command_log_send(t);
	strip(t);
	t->is_saved = note(t);
	c->n_done++;
	if (t->end_outcome != GR_OUTCOME_DONE)
		gr_debug("command", "%" PRIu64 "/%" PRIu64 ": %s: %s", t->key.job, t->key.task, gr_outcome_name(t->end_outcome), t->why);
	tell(t);
	if (gr_journal_is_long(c->journal))
		renew_journal(c);
}

void gr_command_free(struct gr_wcommand *t)
{
	if (t->state != GR_CS_HELD)
		strip(t);
	for (uint32_t i = 0; i < t->n_pinned; i++)
		gr_cas_unpin(t->c->w->cas, &t->pinned[i]);
	free(t->pinned);
	gr_list_del(&t->link);
	t->c->n[t->state]--;
	gr_map_del(&t->c->by_key, &t->key, sizeof(t->key));
	gr_command_frame_forget(t);
	gr_pool_put(&t->c->spare, t);
}

void gr_commands_acked(struct gr_commands *c, uint64_t job, uint64_t task, uint32_t attempt)
{
	struct { uint64_t job, task, attempt; } key = { job, task, attempt };
	struct gr_wcommand *t = gr_map_get(&c->by_key, &key, sizeof(key));

	if (!t || t->state != GR_CS_HELD)
		return;
	if (t->is_saved)
		gr_journal_ack(c->journal, job, task, attempt);
	gr_command_free(t);
	gr_worker_check_drained(c->w);
}

void gr_command_send_all(struct gr_commands *c, bool again)
{
	GR_LIST_EACH(t, &c->lists[GR_CS_HELD], struct gr_wcommand, link)
		if ((again || !t->is_sent) && !send_one(t))
			return;
}

/* Of an earlier life. What it names and the cache no longer has, the coordinator hears of when it asks. */
void gr_command_restore(struct gr_commands *c, struct gr_slice frame)
{
	struct gr_placed_file f;
	struct gr_list_it it;
	struct gr_ended_msg m;
	struct gr_wcommand *t;
	struct gr_slice body;

	if (gr_frame_open(frame, &body) != GR_MSG_ENDED || gr_ended_decode(body, &m) < 0)
		return;
	t = gr_pool_get(&c->spare);
	t->c = c;
	t->key.job = m.job;
	t->key.task = m.task;
	t->key.attempt = m.attempt;
	t->logs[0].fd = t->logs[1].fd = -1;
	t->slot = -1;
	t->state = GR_CS_HELD;
	t->is_saved = true;
	gr_list_init(&t->link);
	gr_buf_add(&t->frame, frame.p, frame.n);
	gr_list_push(&c->lists[GR_CS_HELD], &t->link);
	c->n[GR_CS_HELD]++;
	gr_map_put(&c->by_key, &t->key, sizeof(t->key), t);
	if (!m.out.has_data)
		gr_command_pin(t, &m.out.digest);
	if (!m.err.has_data)
		gr_command_pin(t, &m.err.digest);
	it = gr_list_begin(&m.outputs);
	while (gr_placed_next(&it, &f, true))
		if (f.kind == GR_PLACED_FILE && !f.item.has_data)
			gr_command_pin(t, &f.item.digest);
}
