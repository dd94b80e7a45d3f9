/*
 * run_command.c - the life of a command
 *
 *   FETCH    its blobs are on their way           STAGE   a thread puts its files into a folder
 *   READY    waits for slots, memory, a runner    NEXT    waits in a runner for the one before it
 *   RUNNING                                       TAKING  a thread takes its outputs
 *   HELD     ended; kept until the coordinator has committed it
 *
 * Commands start in the order they came. One that asks for several slots holds the later ones back until it has them,
 * compiles too, or it would wait for ever behind small ones.
 *
 * STARTED is sent for commands that run longer than a moment: ENDED says the same of the others.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "worker/command.h"

#define BEGUN_MS 20
#define YIELD_NS (GR_NS_PER_S / 10)            /* as long as commands write nothing */
#define KEEP_FREE_BYTES (1ull << 30)
#define MAX_PROCESSES 4096u
#define EXIT_NOT_FOUND 127
#define EXIT_NOT_EXECUTABLE 126

static const char *const state_names[] = {
#define X(s) #s,
	GR_COMMAND_STATES(X)
#undef X
};

static void release(struct gr_wcommand *t)
{
	if (t->slot < 0)
		return;
	t->c->slot_used[t->slot] = 0;
	t->c->slots_used -= t->n_slots;
	t->c->mem_used -= t->m.mem_bytes;
	t->slot = -1;
}

void gr_command_move(struct gr_wcommand *t, enum gr_command_state to)
{
	static const unsigned allowed[GR_N_COMMAND_STATES] = {
		[GR_CS_STAGE] = 1u << GR_CS_FETCH, [GR_CS_READY] = 1u << GR_CS_STAGE | 1u << GR_CS_NEXT,
		[GR_CS_NEXT] = 1u << GR_CS_READY, [GR_CS_RUNNING] = 1u << GR_CS_READY | 1u << GR_CS_NEXT,
		[GR_CS_TAKING] = 1u << GR_CS_RUNNING,
		[GR_CS_HELD] = 1u << GR_CS_FETCH | 1u << GR_CS_STAGE | 1u << GR_CS_READY | 1u << GR_CS_NEXT | 1u << GR_CS_RUNNING |
				 1u << GR_CS_TAKING,
	};

	if (!(allowed[to] >> t->state & 1)) {
		gr_error("command", "bug: %s -> %s", state_names[t->state], state_names[to]);
		abort();
	}
	if (t->state == GR_CS_RUNNING)
		release(t);
	t->c->n[t->state]--;
	t->c->n[to]++;
	gr_list_del(&t->link);
	gr_list_push(&t->c->lists[to], &t->link);
	t->state = to;
}

uint32_t gr_commands_n_live(const struct gr_commands *c)
{
	return gr_commands_n_waiting(c) + c->n[GR_CS_RUNNING] + c->n[GR_CS_TAKING];
}

uint32_t gr_commands_n_waiting(const struct gr_commands *c)
{
	return c->n[GR_CS_FETCH] + c->n[GR_CS_STAGE] + c->n[GR_CS_READY] + c->n[GR_CS_NEXT];
}

uint64_t gr_commands_waiting_since(const struct gr_commands *c)
{
	return gr_list_is_empty(&c->lists[GR_CS_READY]) ? UINT64_MAX :
	       GR_CONTAINER(c->lists[GR_CS_READY].next, struct gr_wcommand, link)->received_ns;
}

void gr_command_give_up(struct gr_wcommand *t, int outcome, uint32_t flags, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
	t->end_outcome = outcome;
	t->end_flags |= flags;
	gr_command_finish(t);
}

/* ---- beginnings ---- */

static void blob_here(struct gr_waiter *w)
{
	struct gr_wcommand *t = GR_CONTAINER(w, struct gr_wcommand, waiter);

	if (w->n_missing || t->state != GR_CS_FETCH)
		return;
	gr_command_move(t, GR_CS_STAGE);
	gr_command_stage(t);
}

static void blob_failed(struct gr_waiter *w, int outcome, const char *why)
{
	struct gr_wcommand *t = GR_CONTAINER(w, struct gr_wcommand, waiter);

	gr_command_give_up(t, outcome == GR_OUTCOME_REFUSED ? GR_OUTCOME_RETRY : outcome, GR_ENDED_F_NOT_STARTED, "%s", why);
}

static void want_blobs(struct gr_wcommand *t)
{
	struct gr_worker *w = t->c->w;

	for (uint32_t i = 0; i < t->n_placed; i++) {
		struct gr_placed *p = &t->placed[i];

		if (p->kind == GR_FILES_REG && !gr_cas_has(w->cas, &p->digest))
			gr_fetch_want(w->fetch, &t->waiter, &p->digest, p->size);
	}
	if (t->has_stdin && !gr_cas_has(w->cas, &t->stdin_digest))
		gr_fetch_want(w->fetch, &t->waiter, &t->stdin_digest, GR_FETCH_ANY_SIZE);
}

static void pin_inputs(struct gr_wcommand *t)
{
	for (uint32_t i = 0; i < t->n_placed; i++)
		if (t->placed[i].kind == GR_FILES_REG)
			gr_command_pin(t, &t->placed[i].digest);
	if (t->has_stdin)
		gr_command_pin(t, &t->stdin_digest);
}

static void begin(struct gr_wcommand *t)
{
	struct gr_commands *c = t->c;
	struct gr_worker *w = c->w;
	struct gr_err err = { 0 };
	uint32_t n_slots;

	if (w->is_draining) {
		gr_command_give_up(t, GR_OUTCOME_RETRY, GR_ENDED_F_NOT_STARTED | GR_ENDED_F_DRAINED, "draining");
		return;
	}
	if (!t->job || t->m.stage >= t->job->n_stages) {
		gr_command_give_up(t, GR_OUTCOME_RETRY, GR_ENDED_F_NOT_STARTED, "the worker does not know the job");
		return;
	}
	t->stage = &t->job->stages[t->m.stage];
	if (t->stage->n_argv == 1 && !strcmp(t->stage->argv[0], GR_COMMAND_NULL)) {
		t->is_begun = true;
		t->started_ns = t->received_ns;
		t->end_outcome = GR_OUTCOME_DONE;
		gr_command_finish(t);
		return;
	}
	if (!c->runners) {
		gr_command_give_up(t, GR_OUTCOME_RETRY, GR_ENDED_F_NOT_STARTED, "this worker runs no commands: %s", c->why_none);
		return;
	}
	if (gr_commands_n_live(c) > GR_COMMAND_MAX) {
		gr_command_give_up(t, GR_OUTCOME_RETRY, GR_ENDED_F_NOT_STARTED, "the worker's queue is full");
		return;
	}
	n_slots = (t->stage->cpu_mcpu + 999) / 1000;
	t->n_slots = n_slots < 1 ? 1 : n_slots > w->n_slots ? w->n_slots : n_slots;
	if (gr_command_make(t, &err) < 0) {
		gr_command_give_up(t, GR_OUTCOME_REFUSED, GR_ENDED_F_NOT_STARTED, "%s", err.text);
		return;
	}
	pin_inputs(t);
	want_blobs(t);
	if (!t->waiter.n_missing)
		blob_here(&t->waiter);
}

struct gr_wcommand *gr_commands_find(struct gr_commands *c, uint64_t job, uint64_t task, uint32_t attempt)
{
	struct { uint64_t job, task, attempt; } key = { job, task, attempt };

	return gr_map_get(&c->by_key, &key, sizeof(key));
}

int gr_commands_receive(struct gr_commands *c, struct gr_slice body)
{
	struct gr_wcommand *t, *old;
	int rc;

	t = gr_pool_get(&c->spare);
	t->c = c;
	gr_command_frame_new(t);
	gr_buf_add(&t->frame, body.p, body.n);
	rc = gr_command_decode(gr_buf_slice(&t->frame), &t->m);
	t->key.job = t->m.job;
	t->key.task = t->m.task;
	t->key.attempt = t->m.attempt;
	old = rc < 0 ? NULL : gr_map_put(&c->by_key, &t->key, sizeof(t->key), t);
	if (rc < 0 || old) {
		if (old) {
			gr_map_put(&c->by_key, &old->key, sizeof(old->key), old);
			old->is_sent = false;         /* sent twice: so is the answer */
		}
		gr_command_frame_forget(t);
		gr_pool_put(&c->spare, t);
		return rc;
	}
	t->waiter.session = t->m.job;
	t->waiter.on_here = blob_here;
	t->waiter.on_failed = blob_failed;
	t->slot = -1;
	t->logs[0].fd = t->logs[1].fd = -1;
	t->is_followed = t->m.flags & GR_COMMAND_F_STREAM;
	t->serial = c->n_serial++;
	t->received_ns = gr_loop_now_ns(c->w->loop);
	t->job = gr_jobs_find(c, t->m.job);
	if (t->job)
		t->job->n_users++;
	gr_list_init(&t->link);
	gr_list_push(&c->lists[GR_CS_FETCH], &t->link);
	c->n[GR_CS_FETCH]++;
	begin(t);
	return 0;
}

/* ---- starting ---- */

static int take_slot(struct gr_wcommand *t)
{
	struct gr_commands *c = t->c;
	int i = 0;

	while (i < (int)GR_SANDBOX_SLOTS - 1 && c->slot_used[i])
		i++;
	c->slot_used[i] = 1;
	c->slots_used += t->n_slots;
	c->mem_used += t->m.mem_bytes;
	return t->slot = i;
}

static bool has_room(const struct gr_wcommand *t)
{
	const struct gr_commands *c = t->c;
	const struct gr_worker *w = c->w;

	if (!c->slots_used && !w->n_running && !w->n_load)
		return true;           /* alone on the worker: whatever it asks */
	return w->n_running + c->slots_used + w->n_load + t->n_slots <= w->n_use &&
	       (!w->limits.mem_bytes || c->mem_used + t->m.mem_bytes <= w->limits.mem_bytes);
}

static int open_stdin(struct gr_wcommand *t, struct gr_err *err)
{
	uint64_t size;
	int fd;

	if (!t->has_stdin)
		return -1;
	fd = gr_cas_open_blob(t->c->w->cas, &t->stdin_digest, &size);
	if (fd < 0)
		return gr_err_set(err, fd, "standard input: the cache lost it");
	t->in_bytes += size;
	return fd;
}

static void on_begun(void *ctx)
{
	struct gr_commands *c = ctx;

	gr_timer_stop(&c->begun_timer);
	GR_LIST_EACH(t, &c->lists[GR_CS_RUNNING], struct gr_wcommand, link) {
		struct gr_buf b = { 0 };

		if (t->is_said_begun || !gr_link_is_up(c->w->link))
			continue;
		gr_taskref_encode(&b, GR_MSG_STARTED, t->key.job, t->key.task, (uint32_t)t->key.attempt);
		t->is_said_begun = gr_link_send(c->w->link, &b) >= 0;
		gr_buf_fini(&b);
	}
}

static void say_begun_soon(struct gr_commands *c)
{
	if (!c->begun_timer)
		c->begun_timer = gr_timer_start(c->w->loop, BEGUN_MS, 0, on_begun, c);
}

int gr_command_launch(struct gr_wcommand *t, bool is_ahead, struct gr_err *err)
{
	struct gr_runner_task rt = { .cwd = NULL, .stdin_fd = -1, .mem_bytes = t->m.mem_limit_bytes, .out_bytes = t->stage->out_bytes,
				     .n_proc = MAX_PROCESSES, .is_ahead = is_ahead, .id = t->serial };
	struct gr_words words = { 0 };
	int rc = gr_command_install(t, err);

	if (rc == 0)
		rc = gr_command_words(t, &words, err);
	if (rc == 0) {
		rt.stdin_fd = open_stdin(t, err);
		rc = rt.stdin_fd < -1 ? rt.stdin_fd : 0;
	}
	if (rc == 0) {
		rt.argv = (const char *const *)words.argv;
		rt.n_argv = words.n_argv;
		rt.env = (const char *const *)words.env;
		rt.n_env = words.n_env;
		rt.cwd = words.cwd;
		rc = gr_runner_start(t->runner->fd, &rt);
		if (rc < 0)
			gr_err_set(err, rc, "%s", rc == GR_ELIMIT ? "argv and environment are too long" : gr_err_text(rc));
	}
	if (rt.stdin_fd >= 0)
		close(rt.stdin_fd);
	gr_words_fini(&words);
	return rc;
}

/* Commands write where the cache lies: it yields before they meet a full disk. */
static void yield_disk(struct gr_commands *c)
{
	uint64_t wanted, free_bytes;
	struct statvfs fs;

	c->yielded_ns = gr_loop_now_ns(c->w->loop);
	if (statvfs(".", &fs) < 0)
		return;
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	wanted = (uint64_t)fs.f_blocks * fs.f_frsize / 10;
	wanted = wanted < KEEP_FREE_BYTES ? wanted : KEEP_FREE_BYTES;
	if (free_bytes < wanted)
		gr_cas_shrink(c->w->cas, wanted - free_bytes);
}

/* A limit beyond what the clock counts is none. */
static uint64_t deadline_of(uint64_t now_ns, uint64_t timeout_ms)
{
	return timeout_ms && timeout_ms <= (UINT64_MAX - now_ns) / GR_NS_PER_MS ? now_ns + timeout_ms * GR_NS_PER_MS : 0;
}

static void begun(struct gr_wcommand *t)
{
	struct gr_commands *c = t->c;

	t->is_begun = true;
	t->started_ns = gr_loop_now_ns(c->w->loop);
	t->deadline_ns = deadline_of(t->started_ns, t->m.timeout_ms);
	say_begun_soon(c);
}

/* Return: false when the next must wait too. */
static bool start(struct gr_wcommand *t)
{
	struct gr_commands *c = t->c;
	struct gr_err err = { 0 };
	int rc;

	if (!has_room(t))
		return false;
	rc = gr_runners_take(c->runners, t->key.job, t->stage->has_net, &t->runner, &err);
	if (rc == 0)
		return false;
	if (rc < 0) {
		gr_command_give_up(t, GR_OUTCOME_RETRY, GR_ENDED_F_NOT_STARTED, "%s", err.text);
		return true;
	}
	t->runner->command = t;
	take_slot(t);
	if (!c->n[GR_CS_RUNNING] && gr_loop_now_ns(c->w->loop) - c->yielded_ns > YIELD_NS)
		yield_disk(c);
	gr_command_move(t, GR_CS_RUNNING);
	rc = gr_command_launch(t, false, &err);
	if (rc < 0) {
		gr_runners_drop(&t->runner);
		gr_command_give_up(t, rc == GR_ENOSPACE || rc == GR_EIO || rc == GR_ENOENT || rc == GR_ECORRUPT || rc == GR_EGONE || rc == GR_EBUSY ?
				   GR_OUTCOME_RETRY : GR_OUTCOME_REFUSED, GR_ENDED_F_NOT_STARTED, "%s", err.text);
		return true;
	}
	begun(t);
	return true;
}

void gr_commands_pump(struct gr_commands *c)
{
	while (!c->w->is_draining && !gr_list_is_empty(&c->lists[GR_CS_READY]))
		if (!start(GR_CONTAINER(c->lists[GR_CS_READY].next, struct gr_wcommand, link)))
			break;
	while (!c->w->is_draining && !gr_list_is_empty(&c->lists[GR_CS_READY]))
		if (!gr_command_send_ahead(GR_CONTAINER(c->lists[GR_CS_READY].next, struct gr_wcommand, link)))
			break;
}

/* ---- ending ---- */

static void could_not_start(struct gr_wcommand *t, const struct gr_runner_event *ev)
{
	static const char head[] = "griddle: ";

	snprintf(t->why, sizeof(t->why), "%s", ev->text);
	if (ev->code != GR_ENOENT && ev->code != GR_EPATH) {
		t->end_outcome = ev->code == GR_ENOMEM ? GR_OUTCOME_RETRY : GR_OUTCOME_REFUSED;
		t->end_flags |= GR_ENDED_F_NOT_STARTED;
		t->is_begun = false;
		return;
	}
	/* as a shell has it */
	t->end.status = (ev->code == GR_ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE) << 8;
	gr_command_log_add(t, 1, (const uint8_t *)head, sizeof(head) - 1);
	gr_command_log_add(t, 1, (const uint8_t *)ev->text, strlen(ev->text));
	gr_command_log_add(t, 1, (const uint8_t *)"\n", 1);
}

static void judge(struct gr_wcommand *t, const struct gr_runner_event *ev)
{
	bool is_saved = WIFEXITED(ev->status) && t->stage->checkpoint_code >= 0 && WEXITSTATUS(ev->status) == t->stage->checkpoint_code;
	bool is_good = ev->status == 0 || is_saved;

	t->end_outcome = GR_OUTCOME_DONE;
	if (ev->code) {
		could_not_start(t, ev);
	} else if (t->is_cancelled) {
		t->end_outcome = GR_OUTCOME_CANCELLED;
	} else if (ev->is_oom) {
		t->end_outcome = GR_OUTCOME_OOM;
		snprintf(t->why, sizeof(t->why), "killed at its memory limit of %" PRIu64 " MiB", t->m.mem_limit_bytes >> 20);
	} else if (t->is_over_disk) {
		gr_command_judge_disk(t);
	} else if (t->is_timeout && !is_saved) {
		t->end_outcome = GR_OUTCOME_TIMEOUT;
		snprintf(t->why, sizeof(t->why), "killed at its time limit of %" PRIu64 " ms", t->m.timeout_ms);
	} else if (t->is_handed_back && !is_good) {
		t->end_outcome = GR_OUTCOME_RETRY;
		t->end_flags |= GR_ENDED_F_DRAINED;
		snprintf(t->why, sizeof(t->why), "the worker drains");
	} else if (t->is_yielding && !is_good) {
		t->end_outcome = GR_OUTCOME_CANCELLED;
		snprintf(t->why, sizeof(t->why), "asked to yield");
	}
}

static void stop_running(struct gr_wcommand *t, uint8_t how, uint32_t grace_ms)
{
	if (how == GR_STOP_RETRACT) {
		t->is_said_begun = false;
		on_begun(t->c);
	} else if (how == GR_STOP_YIELD) {
		t->is_yielding = true;
		t->kill_ns = gr_loop_now_ns(t->c->w->loop) + (uint64_t)grace_ms * GR_NS_PER_MS;
		gr_runner_signal(t->runner->fd, t->serial, SIGTERM);
	} else {
		t->is_cancelled = true;
		gr_runner_signal(t->runner->fd, t->serial, SIGKILL);
		t->kill_ns = gr_loop_now_ns(t->c->w->loop) + GR_NS_PER_S;
	}
}

void gr_command_leave(struct gr_wcommand *t)
{
	struct gr_runner *r = t->runner;

	t->runner = NULL;
	r->command = NULL;
	if (!r->n_ahead || r->state == GR_RN_DEAD)
		gr_runners_give(r);    /* else with the last of those that come back */
}

/* Its runner has begun it by itself. */
static void begun_in_turn(struct gr_wcommand *t)
{
	take_slot(t);
	gr_command_move(t, GR_CS_RUNNING);
	begun(t);
	if (t->is_cancelled)
		stop_running(t, GR_STOP_CANCEL, 0);
	else if (t->is_retracted)
		stop_running(t, GR_STOP_RETRACT, 0);
}

static void on_event(void *ctx, struct gr_runner *r, const struct gr_runner_event *ev, const uint8_t *data)
{
	struct gr_commands *c = ctx;
	struct gr_wcommand *t = r->command;
	bool has_next;

	if (ev->kind == GR_RUNNER_RETURNED) {
		gr_commands_returned(c, r, ev->id);
		return;
	}
	if (!t || t->state != GR_CS_RUNNING || t->serial != ev->id)
		return;
	if (ev->kind == GR_RUNNER_OUTPUT) {
		if (ev->stream == 1 || ev->stream == 2)
			gr_command_log_add(t, (int)ev->stream - 1, data, ev->n_data);
		return;
	}
	t->end = *ev;
	t->ended_ns = gr_loop_now_ns(c->w->loop);
	gr_command_log_cut(t, 0, ev->n_dropped[0]);
	gr_command_log_cut(t, 1, ev->n_dropped[1]);
	if (ev->began_ns >= t->received_ns) {  /* it is told late, while others wait */
		t->started_ns = ev->began_ns;
		t->ended_ns = ev->ended_ns;
	}
	if (!ev->is_clean)
		c->yielded_ns = 0;     /* it may have filled the disk */
	judge(t, ev);
	gr_command_learn(t);
	has_next = r->n_ahead && (ev->is_clean || ev->code);
	if (has_next)
		t->runner = NULL;
	gr_command_move(t, GR_CS_TAKING);
	gr_command_take(t);
	t = has_next ? gr_commands_go_on(c, r) : NULL;
	if (t)
		begun_in_turn(t);
}

static bool on_gone(void *ctx, struct gr_runner *r, const char *why)
{
	struct gr_wcommand *t = r->command;

	gr_commands_take_back(ctx, r);
	if (!t)
		return false;
	if (t->is_in_thread)
		return true;           /* its folder is still read; it goes when that is over */
	t->runner = NULL;
	if (t->state != GR_CS_RUNNING)
		return false;
	t->ended_ns = gr_loop_now_ns(t->c->w->loop);
	t->is_begun = false;           /* there is no status of it */
	gr_command_give_up(t, t->is_cancelled ? GR_OUTCOME_CANCELLED : GR_OUTCOME_RETRY, 0, "%s", why);
	return false;
}

static void on_idle(void *ctx)
{
	struct gr_commands *c = ctx;

	if (c->w->loop && c->w->commands)
		gr_worker_pump(c->w);
}

const struct gr_runners_ops gr_command_runners_ops = { .on_event = on_event, .on_gone = on_gone, .on_idle = on_idle };

/* ---- what is asked of those that are here ---- */

static void recall(struct gr_wcommand *t, uint8_t how)
{
	if (how == GR_STOP_RETRACT)
		t->is_retracted = true;
	else
		t->is_cancelled = true;
	if (gr_runner_recall(t->runner->fd) < 0)
		gr_debug("command", "a runner takes no packet; what waits in it comes back by itself");
}

static void stop(struct gr_wcommand *t, uint8_t how, uint32_t grace_ms)
{
	if (t->state == GR_CS_HELD || t->state == GR_CS_TAKING)
		return;                /* ended: it is told, or about to be */
	if (t->state == GR_CS_RUNNING)
		stop_running(t, how, grace_ms);
	else if (t->state == GR_CS_NEXT)
		recall(t, how);
	else if (t->is_in_thread)
		t->is_cancelled = true;
	else
		gr_command_give_up(t, GR_OUTCOME_CANCELLED, GR_ENDED_F_NOT_STARTED, "%s", how == GR_STOP_RETRACT ? "given back" : "cancelled");
}

int gr_commands_stop(struct gr_commands *c, struct gr_slice body)
{
	struct gr_stop_msg m;
	int rc = gr_stop_decode(body, &m);

	if (rc < 0)
		return rc;
	if (m.attempt && m.task != GR_WIRE_ALL_TASKS) {
		struct gr_wcommand *t = gr_commands_find(c, m.job, m.task, m.attempt);

		if (t)
			stop(t, m.how, m.grace_ms);
		return 0;
	}
	for (int st = 0; st < GR_CS_HELD; st++)
		GR_LIST_EACH_SAFE(t, &c->lists[st], struct gr_wcommand, link)
			if (t->key.job == m.job && (m.task == GR_WIRE_ALL_TASKS || t->key.task == m.task))
				stop(t, m.how, m.grace_ms);
	return 0;
}

/* ---- time ---- */

static void tick_running(struct gr_wcommand *t, uint64_t now_ns)
{
	if (t->deadline_ns && now_ns >= t->deadline_ns) {
		t->is_timeout = true;
		t->deadline_ns = 0;
		gr_runner_signal(t->runner->fd, t->serial, SIGTERM);
		t->kill_ns = now_ns + (uint64_t)t->c->w->cfg->kill_grace_ms * GR_NS_PER_MS;
	}
	if (t->kill_ns && now_ns >= t->kill_ns) {
		t->kill_ns = now_ns + GR_NS_PER_S;   /* once more, should the packet not have gone */
		gr_runner_signal(t->runner->fd, t->serial, SIGKILL);
	}
	gr_command_watch_disk(t, now_ns);
	if (t->is_followed)
		gr_command_log_send(t);
}

void gr_commands_tick(struct gr_commands *c)
{
	uint64_t now_ns = gr_loop_now_ns(c->w->loop);

	GR_LIST_EACH_SAFE(t, &c->lists[GR_CS_RUNNING], struct gr_wcommand, link)
		tick_running(t, now_ns);
	if (c->n[GR_CS_RUNNING]) {
		on_begun(c);
		yield_disk(c);
	}
	if (c->runners)
		gr_runners_tick(c->runners);
	gr_command_send_all(c, false);
	gr_sends_pump(c->sends);
}

void gr_commands_drain(struct gr_commands *c)
{
	for (int st = 0; st <= GR_CS_READY; st++)
		GR_LIST_EACH_SAFE(t, &c->lists[st], struct gr_wcommand, link) {
			if (t->is_in_thread)
				t->is_handed_back = true;
			else
				gr_command_give_up(t, GR_OUTCOME_RETRY, GR_ENDED_F_NOT_STARTED | GR_ENDED_F_DRAINED, "draining");
		}
	GR_LIST_EACH(t, &c->lists[GR_CS_NEXT], struct gr_wcommand, link)
		recall(t, GR_STOP_RETRACT);
}

void gr_commands_drain_due(struct gr_commands *c, bool is_last)
{
	GR_LIST_EACH_SAFE(t, &c->lists[GR_CS_RUNNING], struct gr_wcommand, link) {
		if (t->is_handed_back && !is_last)
			continue;
		t->is_handed_back = true;
		gr_runner_signal(t->runner->fd, t->serial, is_last ? SIGKILL : SIGTERM);
	}
}
