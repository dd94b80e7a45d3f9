/*
 * run_compile.c - the life of a task
 *
 *   LOG      its session's log is not there yet         FETCH    blobs are on their way
 *   TREE     its files are made true in the tree        READY    waits for a slot
 *   RUNNING  in the sandbox                             PACKING  ended; a thread reads and compresses what it left
 *   HELD     the result waits for its acknowledgement
 *
 * The safety of the tree: a task takes all its paths at once, and only if no other task holds one of them with another
 * content or as an output; from then to its end nothing about these paths changes. Work is done in steps of about a
 * millisecond (gr_worker_pump), so that a first task with a thousand files does not keep a heartbeat waiting.
 */
#include "worker/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "worker/command.h"
#include "worker/map_paths.h"
#include <fcntl.h>

#define STEP_NS (1 * GR_NS_PER_MS)
#define STEP_FILES 16u                 /* between two looks at the clock */
#define MAX_ROUNDS 4u
#define LOG_WAIT_NS (60 * GR_NS_PER_S)
#define FSIZE_BYTES (2ull << 30)
#define MAX_PROCESSES 4096u             /* of a session */

static const char *const env_passed[] = {
	"LANG=", "LANGUAGE=", "SOURCE_DATE_EPOCH=", "CPATH=", "C_INCLUDE_PATH=", "CPLUS_INCLUDE_PATH=", "OBJC_INCLUDE_PATH=",
	"GCC_COLORS=", "COLUMNS=", "TERM=", "PWD=", "DEPENDENCIES_OUTPUT=", "SUNPRO_DEPENDENCIES=", "LC_", "NO_COLOR=",
	"CLICOLOR", "GCC_URLS=", "TERM_URLS=",
};
/* Without meaning for a compile here; the worker has its own. */
static const char *const env_dropped[] = {
	"PATH=", "TMPDIR=", "MAKEFLAGS=", "MFLAGS=", "LIBRARY_PATH=", "GRIDDLE_", "LD_RUN_PATH=", "HOME=", "USER=",
};

static const char *const state_names[] = {
#define X(s) #s,
	GR_TASK_STATES(X)
#undef X
};

void gr_task_move(struct gr_wtask *t, enum gr_task_state to)
{
	/* to -> from; a task may end from anywhere */
	static const unsigned allowed[GR_N_TASK_STATES] = {
		[GR_TS_FETCH] = 1u << GR_TS_LOG | 1u << GR_TS_TREE, [GR_TS_TREE] = 1u << GR_TS_LOG | 1u << GR_TS_FETCH | 1u << GR_TS_READY,
		[GR_TS_READY] = 1u << GR_TS_TREE, [GR_TS_RUNNING] = 1u << GR_TS_READY,
		[GR_TS_PACKING] = 1u << GR_TS_RUNNING,
		[GR_TS_HELD] = 1u << GR_TS_LOG | 1u << GR_TS_FETCH | 1u << GR_TS_TREE | 1u << GR_TS_READY | 1u << GR_TS_RUNNING |
			       1u << GR_TS_PACKING,
	};
	struct gr_worker *w = t->w;

	if (!(allowed[to] >> t->state & 1)) {
		gr_error("task", "bug: %s -> %s", state_names[t->state], state_names[to]);
		abort();
	}
	if (t->state == GR_TS_RUNNING)
		w->n_running--;
	else if (t->state != GR_TS_PACKING)
		w->n_queued--;
	if (to == GR_TS_RUNNING)
		w->n_running++;
	else if (to != GR_TS_PACKING && to != GR_TS_HELD)
		w->n_queued++;
	gr_list_del(&t->link);
	gr_list_push(&w->lists[to], &t->link);
	t->state = to;
}

void gr_task_free(struct gr_wtask *t)
{
	gr_list_del(&t->link);
	gr_result_forget(t);
	gr_buf_fini(&t->frame);
	free(t->inputs);
	if (t->out_fd >= 0)
		close(t->out_fd);
	if (t->err_fd >= 0)
		close(t->err_fd);
	free(t);
}

/* ---- paths ---- */

static bool may_take(struct gr_wtask *t)
{
	struct gr_wsession *s = t->s;

	for (uint32_t i = 0; i < t->n_inputs; i++) {
		struct gr_path *p = s->records[t->inputs[i]].file.path;

		if (p->is_output || (p->users && p->record != t->inputs[i] + 1))
			return false;
	}
	for (uint32_t i = 0; i < t->m.n_outputs; i++) {
		const struct gr_srecord *r = &s->records[t->m.outputs[i].path];
		struct gr_path *p = gr_map_get(&s->paths, r->str.p, r->str.n);

		if (p && (p->is_output || p->users))
			return false;
	}
	return true;
}

static struct gr_path *output_path(struct gr_wtask *t, uint32_t i)
{
	const struct gr_srecord *r = &t->s->records[t->m.outputs[i].path];

	return gr_session_path(t->s, r->str.p, r->str.n);
}

/* Return: false when the task says two things of one path (it holds them all the same, for gr_task_release). */
static bool take(struct gr_wtask *t)
{
	bool is_one = true;

	for (uint32_t i = 0; i < t->n_inputs; i++) {
		struct gr_path *p = t->s->records[t->inputs[i]].file.path;

		if (p->record != t->inputs[i] + 1) {
			is_one &= p->users == 0;
			p->record = t->inputs[i] + 1;
			p->is_clean = false;
		}
		p->users++;
	}
	for (uint32_t i = 0; i < t->m.n_outputs; i++) {
		struct gr_path *p = output_path(t, i);

		if (!p)
			continue;
		p->users++;
		p->is_output = true;
	}
	t->is_acquired = true;
	return is_one;
}

void gr_task_release(struct gr_wtask *t)
{
	if (t->state == GR_TS_RUNNING)
		t->s->w->slots[t->slot] = NULL;
	if (!t->is_acquired)
		return;
	for (uint32_t i = 0; i < t->n_inputs; i++)
		t->s->records[t->inputs[i]].file.path->users--;
	for (uint32_t i = 0; i < t->m.n_outputs; i++) {
		struct gr_path *p = output_path(t, i);

		if (!p)
			continue;
		p->users--;
		p->is_output = false;
		p->record = 0;
		p->is_clean = false;
	}
	t->is_acquired = false;
}

/* ---- ends ---- */

void gr_task_give_up(struct gr_wtask *t, int outcome, const char *fmt, ...)
{
	char reason[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	gr_fetch_forget(t->s->w->fetch, &t->waiter);
	gr_result_make(t, outcome, reason, NULL);
}

static struct gr_wtask *find(struct gr_worker *w, uint64_t session, uint64_t task, uint32_t attempt)
{
	struct { uint64_t session, task, attempt; } key = { session, task, attempt };

	return gr_map_get(&w->tasks, &key, sizeof(key));
}

static void cancel(struct gr_wtask *t)
{
	if (t->state >= GR_TS_PACKING || t->is_cancelled)
		return;
	if (t->state != GR_TS_RUNNING) {
		gr_task_give_up(t, GR_OUTCOME_CANCELLED, "cancelled");
		return;
	}
	t->is_cancelled = true;
	gr_sandbox_kill(t->s->sb_fd, t->slot);
}

void gr_task_cancel(struct gr_worker *w, uint64_t session, uint64_t task, uint32_t attempt)
{
	struct gr_wtask *t;

	if (attempt) {
		t = find(w, session, task, attempt);
		if (t)
			cancel(t);
		return;
	}
	for (int st = 0; st < GR_TS_PACKING; st++)
		GR_LIST_EACH_SAFE(it, &w->lists[st], struct gr_wtask, link)
			if (it->key.session == session && (it->key.task == task || task == 0))
				cancel(it);
}

/* ---- beginnings ---- */

/* The log is there: what the task names is looked at, once. */
static void prepare(struct gr_wtask *t)
{
	struct gr_wsession *s = t->s;
	struct gr_worker *w = s->w;
	struct gr_ids_it it = gr_ids_begin(&t->m.inputs);
	uint32_t id;

	if (s->poison[0]) {
		gr_task_give_up(t, GR_OUTCOME_REFUSED, "%s", s->poison);
		return;
	}
	t->inputs = gr_tryalloc((t->m.inputs.n + 1) * sizeof(*t->inputs));
	while (t->inputs && gr_ids_next(&it, &id)) {
		if (!gr_session_file(s, id)) {
			gr_task_give_up(t, GR_OUTCOME_REFUSED, "input %u is not in the log", id);
			return;
		}
		t->inputs[t->n_inputs++] = id;
	}
	for (uint32_t i = 0; i < t->m.n_outputs; i++) {
		const char *name = gr_session_str(s, t->m.outputs[i].path);

		if (!name || !output_path(t, i)) {
			gr_task_give_up(t, GR_OUTCOME_REFUSED, "output path not allowed: %.200s", name ? name : "(not in the log)");
			return;
		}
	}
	if (!t->inputs || !gr_session_str(s, t->m.cwd) || t->m.argv.n == 0) {
		gr_task_give_up(t, GR_OUTCOME_REFUSED, "malformed task");
		return;
	}
	for (uint32_t i = 0; i < t->n_inputs; i++) {
		const struct gr_srecord *r = &s->records[t->inputs[i]];

		if (r->kind == GR_FILE_REG && !(r->file.path->is_clean && r->file.path->record == t->inputs[i] + 1) &&
		    !gr_cas_has(w->cas, &r->file.digest))
			gr_fetch_want(w->fetch, &t->waiter, &r->file.digest, r->file.size);
	}
	gr_task_move(t, t->waiter.n_missing ? GR_TS_FETCH : GR_TS_TREE);
}

void gr_task_records_grew(struct gr_wsession *s)
{
	GR_LIST_EACH_SAFE(t, &s->w->lists[GR_TS_LOG], struct gr_wtask, link)
		if (t->s == s && s->n_records >= t->m.n_records)
			prepare(t);
}

static void blob_here(struct gr_waiter *wt)
{
	struct gr_wtask *t = GR_CONTAINER(wt, struct gr_wtask, waiter);

	if (!wt->n_missing && t->state == GR_TS_FETCH)
		gr_task_move(t, GR_TS_TREE);
}

static void blob_failed(struct gr_waiter *wt, int outcome, const char *why)
{
	gr_task_give_up(GR_CONTAINER(wt, struct gr_wtask, waiter), outcome, "%s", why);
}

static const char *declined_by_tier(const struct gr_worker *w, uint32_t flags)
{
	if (w->tier != GR_TIER_LANDLOCK)
		return NULL;
	return flags & GR_TASK_F_GCOV ? "coverage" : flags & GR_TASK_F_SPLIT_DWARF ? "split DWARF" :
	       flags & GR_TASK_F_PLUGIN ? "compiler plugins" : NULL;
}

void gr_task_receive(struct gr_worker *w, struct gr_slice body)
{
	struct gr_wtask *t;
	const char *what;

	GR_NEW(t);
	gr_list_init(&t->link);
	t->out_fd = t->err_fd = -1;
	gr_buf_add(&t->frame, body.p, body.n);
	if (gr_task_decode(gr_buf_slice(&t->frame), &t->m) < 0) {
		gr_task_free(t);
		return;
	}
	if (find(w, t->m.session, t->m.task, t->m.attempt)) {
		gr_task_free(t);            /* sent twice */
		gr_result_send_all(w, true);
		return;
	}
	t->key.session = t->waiter.session = t->m.session;
	t->waiter.on_here = blob_here;
	t->waiter.on_failed = blob_failed;
	t->key.task = t->m.task;
	t->key.attempt = t->m.attempt;
	t->received_ns = gr_loop_now_ns(w->loop);
	t->w = w;
	t->s = gr_session_get(w, t->m.session);
	if (!t->s) {
		gr_warn("task", "too many sessions: task dropped");
		gr_task_free(t);
		return;
	}
	gr_map_put(&w->tasks, &t->key, sizeof(t->key), t);
	w->n_tasks++;
	w->n_queued++;
	t->s->n_tasks++;
	t->s->last_used_ns = t->received_ns;
	gr_list_del(&t->s->link);
	gr_list_push(&w->session_list, &t->s->link);
	t->state = GR_TS_LOG;
	gr_list_push(&w->lists[GR_TS_LOG], &t->link);
	t->tool = gr_tools_get(&w->tools, &t->m.toolchain);
	if (w->is_draining)
		gr_task_give_up(t, GR_OUTCOME_RETRY, "draining");
	else if (w->has_stale_tools)
		gr_task_give_up(t, GR_OUTCOME_RETRY, "the worker's compilers are being changed");
	else if (w->n_queued > 4 * (w->n_slots + (uint32_t)w->cfg->prefetch) + 64)
		gr_task_give_up(t, GR_OUTCOME_RETRY, "the worker's queue is full");
	else if (!t->tool)
		gr_task_give_up(t, GR_OUTCOME_RETRY, "this worker does not have the toolchain");
	else if ((what = declined_by_tier(w, t->m.flags)))
		gr_task_give_up(t, GR_OUTCOME_REFUSED, "the landlock tier cannot do %s with the same bytes", what);
	else if (t->s->n_records >= t->m.n_records)
		prepare(t);
	gr_worker_pump(w);
}

/* ---- the tree ---- */

/* Return: 1 all there; 0 to be continued; < 0: the task moved on. */
static int fill_tree(struct gr_wtask *t, uint64_t until_ns)
{
	struct gr_wsession *s = t->s;
	struct gr_err err = { 0 };
	uint32_t n_done = 0;

	for (; t->cursor < t->n_inputs; t->cursor++) {
		uint32_t id = t->inputs[t->cursor];
		const struct gr_srecord *r = &s->records[id];
		int rc;

		if (r->file.path->is_clean)
			continue;
		if (++n_done % STEP_FILES == 0 && gr_loop_now_ns(s->w->loop) >= until_ns)
			return 0;
		rc = gr_tree_put(s, id, &err);
		if (rc == GR_ENOENT || rc == GR_ECORRUPT) {
			gr_fetch_want(s->w->fetch, &t->waiter, &r->file.digest, r->file.size);
		} else if (rc < 0) {
			gr_task_give_up(t, rc == GR_ENOSPACE ? GR_OUTCOME_RETRY : GR_OUTCOME_REFUSED, "%s",
					rc == GR_ENOSPACE ? "disk full" : err.text);
			return -1;
		}
	}
	t->cursor = 0;
	if (!t->waiter.n_missing)
		return 1;
	if (++t->n_rounds > MAX_ROUNDS)
		gr_task_give_up(t, GR_OUTCOME_RETRY, "the worker's cache loses what it is given");
	else
		gr_task_move(t, GR_TS_FETCH);
	return -1;
}

/* Return: false when time is up. */
static bool step_tree(struct gr_wtask *t, uint64_t until_ns)
{
	struct gr_wsession *s = t->s;
	struct gr_err err = { 0 };
	int rc = gr_tree_open(s, &err);

	if (rc >= 0)
		rc = gr_session_sandbox(s, &err);
	if (rc < 0) {
		gr_task_give_up(t, GR_OUTCOME_RETRY, "%s", err.text);
		return true;
	}
	if (rc == 0 || (!t->is_acquired && !may_take(t)))
		return true;
	if (!t->is_acquired && !take(t)) {
		gr_task_give_up(t, GR_OUTCOME_REFUSED, "two inputs say different things of one path");
		return true;
	}
	rc = fill_tree(t, until_ns);
	if (rc <= 0)
		return rc < 0;
	for (uint32_t i = 0; i < t->m.n_outputs; i++) {
		struct gr_path *p = output_path(t, i);

		if (p->may_exist)
			gr_tree_unlink(s, p->name);
		p->may_exist = true;
	}
	gr_task_move(t, GR_TS_READY);
	return true;
}

/* ---- the run ---- */

struct command {
	const char **argv, **env, **writable;
	uint32_t n_argv, n_env, n_writable;
	char *folders[GR_SANDBOX_MAX_WRITABLE];
	char argv0[4400], path[4400];
	struct gr_mapped mapped;
};

static void command_fini(struct command *c)
{
	for (uint32_t i = 0; i < c->n_writable; i++)
		free(c->folders[i]);
	free(c->argv);
	free(c->env);
	gr_mapped_fini(&c->mapped);
}

static int take_env(struct gr_wtask *t, struct command *c, struct gr_err *err)
{
	struct gr_ids_it it = gr_ids_begin(&t->m.env);
	uint32_t id;

	c->env = gr_xalloc((t->m.env.n + 2) * sizeof(*c->env));
	while (gr_ids_next(&it, &id)) {
		const char *kv = gr_session_str(t->s, id);
		bool is_passed = false, is_dropped = false;

		if (!kv)
			return gr_err_set(err, GR_EPROTO, "malformed task");
		for (size_t i = 0; i < GR_LEN(env_passed); i++)
			is_passed |= !strncmp(kv, env_passed[i], strlen(env_passed[i]));
		for (size_t i = 0; i < GR_LEN(env_dropped); i++)
			is_dropped |= !strncmp(kv, env_dropped[i], strlen(env_dropped[i]));
		if (is_passed)
			c->env[c->n_env++] = kv;
		else if (!is_dropped)
			return gr_err_set(err, GR_EUNSUP, "environment variable %.*s", (int)strcspn(kv, "="), kv);
	}
	snprintf(c->path, sizeof(c->path), "PATH=%s:/usr/local/bin:/usr/bin:/bin", t->tool->driver_dir);
	c->env[c->n_env++] = c->path;
	return 0;
}

/* The program is ours; what the client calls it decides the language and the messages, so that name is made to lead
 * to the program in a root of our own. */
static int take_argv(struct gr_wtask *t, struct command *c, struct gr_err *err)
{
	struct gr_ids_it it = gr_ids_begin(&t->m.argv);
	const char *base;
	uint32_t id;

	c->argv = gr_xalloc((t->m.argv.n + 1) * sizeof(*c->argv));
	while (gr_ids_next(&it, &id)) {
		const char *word = gr_session_str(t->s, id);

		if (!word)
			return gr_err_set(err, GR_EPROTO, "malformed task");
		c->argv[c->n_argv++] = word;
	}
	base = strrchr(c->argv[0], '/') ? strrchr(c->argv[0], '/') + 1 : c->argv[0];
	if (!*base || strlen(base) > 64 || strspn(base, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") != strlen(base))
		base = strrchr(t->tool->tc->driver, '/') + 1;
	snprintf(c->argv0, sizeof(c->argv0), "%s/%s", t->tool->driver_dir, base);
	c->argv[0] = c->argv0;
	if (t->s->w->tier != GR_TIER_LANDLOCK && strcmp(c->argv0, t->tool->tc->driver) && strcmp(c->argv0, t->tool->tc->real))
		gr_tree_alias(t->s, c->argv0, t->tool->tc->real);
	return 0;
}

static void take_writable(struct gr_wtask *t, struct command *c)
{
	c->writable = (const char **)c->folders;
	for (uint32_t i = 0; i < t->m.n_outputs; i++) {
		const char *name = gr_session_str(t->s, t->m.outputs[i].path), *slash = strrchr(name, '/');
		size_t n = slash > name ? (size_t)(slash - name) : 1;
		bool is_there = false;

		for (uint32_t k = 0; k < c->n_writable; k++)
			is_there |= strlen(c->folders[k]) == n && !memcmp(c->folders[k], name, n);
		if (!is_there && c->n_writable < GR_SANDBOX_MAX_WRITABLE)
			c->folders[c->n_writable++] = gr_xstrndup(name, n);
	}
}

static int map_for_landlock(struct gr_wtask *t, struct command *c, struct gr_err *err)
{
	struct gr_worker *w = t->s->w;
	char root[4352];
	int rc;

	snprintf(root, sizeof(root), "%s/%s/root", w->start.state_path, t->s->dir);
	rc = gr_map_command(root, t->tool->tc->family, c->argv, c->n_argv, c->env, c->n_env, &c->mapped, err);
	if (rc < 0)
		return rc;
	free(c->argv);
	free(c->env);
	c->n_argv = c->mapped.n_argv;
	c->n_env = c->mapped.n_env;
	c->argv = gr_xmemdup(c->mapped.argv, c->n_argv * sizeof(*c->argv));
	c->env = gr_xmemdup(c->mapped.env, c->n_env * sizeof(*c->env));
	return 0;
}

/* Streams go to memory of a fixed size: what is beyond it is refused to the writer, and its end tells how much came. */
static int stream_fd(void)
{
	int fd = memfd_create("stream", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, GR_WIRE_MAX_STREAM_BYTES) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static uint32_t free_slot(const struct gr_worker *w)
{
	uint32_t i = 0;

	while (i < w->n_slots && w->slots[i])
		i++;
	return i;
}

/* Return: false when the server takes no more now. */
static bool run(struct gr_wtask *t)
{
	struct gr_worker *w = t->s->w;
	struct gr_sandbox_task st = { .slot = free_slot(w), .fsize_bytes = FSIZE_BYTES };
	uint64_t limit_ms = t->m.timeout_ms && t->m.timeout_ms < (uint64_t)w->cfg->task_timeout_ms ? t->m.timeout_ms :
			    (uint64_t)w->cfg->task_timeout_ms;
	struct gr_err err = { 0 };
	struct command *c;
	int rc;

	GR_NEW(c);
	rc = take_env(t, c, &err);
	if (rc == 0)
		rc = take_argv(t, c, &err);
	if (rc == 0)
		take_writable(t, c);
	if (rc == 0 && w->tier == GR_TIER_LANDLOCK)
		rc = map_for_landlock(t, c, &err);
	if (rc == 0 && ((t->out_fd < 0 && (t->out_fd = stream_fd()) < 0) || (t->err_fd < 0 && (t->err_fd = stream_fd()) < 0)))
		rc = gr_err_set(&err, GR_ENOMEM, "streams: %s", strerror(errno));
	if (rc == 0) {
		st.program = t->tool->tc->driver;   /* leads to the real one; its name is what ps shows */
		st.argv = c->argv;
		st.n_argv = c->n_argv;
		st.env = c->env;
		st.n_env = c->n_env;
		st.cwd = gr_session_str(t->s, t->m.cwd);
		st.writable = c->writable;
		st.n_writable = c->n_writable;
		st.as_bytes = w->cfg->task_mem_bytes ? (uint64_t)w->cfg->task_mem_bytes : w->limits.mem_bytes;
		st.cpu_s = (uint32_t)(limit_ms / 1000 * 4 + 10);
		st.n_proc = w->has_userns ? MAX_PROCESSES : 0;   /* elsewhere the worker's own threads would count */
		st.out_fd = t->out_fd;
		st.err_fd = t->err_fd;
		rc = gr_sandbox_spawn(t->s->sb_fd, &st);
		if (rc == GR_ELIMIT)
			gr_err_set(&err, rc, "the command line is too long");
	}
	command_fini(c);
	free(c);
	if (rc == GR_EBUSY || rc == GR_EGONE)
		return false;               /* gone: its end is on its way and moves the task */
	if (rc < 0) {
		gr_task_give_up(t, GR_OUTCOME_REFUSED, "%s", err.text);
		return true;
	}
	t->slot = st.slot;
	w->slots[t->slot] = t;
	t->started_ns = gr_loop_now_ns(w->loop);
	t->deadline_ns = t->started_ns + limit_ms * GR_NS_PER_MS;
	gr_task_move(t, GR_TS_RUNNING);
	return true;
}

void gr_task_exited(struct gr_wsession *s, const struct gr_sandbox_event *ev)
{
	struct gr_worker *w = s->w;
	struct gr_wtask *t = ev->slot < GR_SANDBOX_SLOTS ? w->slots[ev->slot] : NULL;

	if (!t || t->s != s)
		return;
	if (t->is_cancelled)
		gr_result_make(t, GR_OUTCOME_CANCELLED, "cancelled", ev);
	else if (t->is_handed_back)
		gr_result_make(t, GR_OUTCOME_RETRY, "draining", ev);
	else if (t->is_timeout)
		gr_result_make(t, GR_OUTCOME_TIMEOUT, "killed at its time limit", ev);
	else if (ev->code)
		gr_result_make(t, GR_OUTCOME_RETRY, ev->text, ev);
	else
		gr_result_make(t, GR_OUTCOME_DONE, "", ev);
}

void gr_task_server_gone(struct gr_wsession *s, const char *why)
{
	struct gr_worker *w = s->w;

	for (uint32_t i = 0; i < w->n_slots; i++)
		if (w->slots[i] && w->slots[i]->s == s)
			gr_task_give_up(w->slots[i], GR_OUTCOME_RETRY, "%s", why);
	/* what was ready goes back: the next server is waited for there */
	GR_LIST_EACH_SAFE(t, &w->lists[GR_TS_READY], struct gr_wtask, link)
		if (t->s == s)
			gr_task_move(t, GR_TS_TREE);
}

/* ---- pumping ---- */

static void on_idle(uv_idle_t *h)
{
	gr_worker_pump(h->data);
}

void gr_worker_pump(struct gr_worker *w)
{
	uint64_t until_ns = gr_loop_now_ns(w->loop) + STEP_NS;
	bool has_more = false;

	gr_fetch_pump(w->fetch);
	GR_LIST_EACH_SAFE(t, &w->lists[GR_TS_TREE], struct gr_wtask, link)
		if (!step_tree(t, until_ns) || gr_loop_now_ns(w->loop) >= until_ns) {
			has_more = true;
			break;
		}
	gr_commands_pump(w->commands);
	while (!w->is_draining && w->n_running + w->commands->slots_used + w->n_load < w->n_use && !gr_list_is_empty(&w->lists[GR_TS_READY])) {
		struct gr_wtask *t = GR_CONTAINER(w->lists[GR_TS_READY].next, struct gr_wtask, link);

		if (t->received_ns > gr_commands_waiting_since(w->commands) || !run(t))
			break;
	}
	gr_fetch_pump(w->fetch);
	if (has_more != w->is_idle_on) {
		if (has_more)
			uv_idle_start(&w->idle, on_idle);
		else
			uv_idle_stop(&w->idle);
		w->is_idle_on = has_more;
	}
	gr_worker_check_drained(w);
}

void gr_task_tick(struct gr_worker *w)
{
	uint64_t now_ns = gr_loop_now_ns(w->loop);

	for (uint32_t i = 0; i < w->n_slots; i++) {
		struct gr_wtask *t = w->slots[i];

		if (!t)
			continue;
		if (now_ns >= t->deadline_ns) {
			t->is_timeout = !t->is_cancelled && !t->is_handed_back;
			t->deadline_ns = now_ns + GR_NS_PER_S;   /* once more, should the message have been lost */
			gr_sandbox_kill(t->s->sb_fd, t->slot);
		}
	}
	GR_LIST_EACH_SAFE(t, &w->lists[GR_TS_LOG], struct gr_wtask, link)
		if (now_ns - t->received_ns > LOG_WAIT_NS)
			gr_task_give_up(t, GR_OUTCOME_RETRY, "the session's log did not come");
}
