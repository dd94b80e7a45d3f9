/* coord_fixture.h - the whole coordinator on one loop with fake workers and clients, over loopback TCP
 *
 * Nothing sleeps: each step runs the loop until what it waits for is so, or LIMIT_S passed. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/coord.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/net/link.h"

#define LIMIT_S 20
#define SESSION 0x1122334455667788ull

struct seen {
	int type;
	struct gr_buf body;
};
struct fake {                          /* a client or a worker */
	struct world *w;
	struct gr_link *link;
	enum gr_role role;
	char name[32], tool, node[32];
	const char *tier;
	int slots, prefetch, has_session;
	bool is_up;
	int n_down, down_code;
	struct seen *seen;
	size_t n, cap;
};
struct world {
	struct gr_loop *loop;
	struct gr_coord c;
	struct gr_timer *tick;
	char dir[64];
	struct fake *fakes[16];
	int n_fakes;
	struct gr_buf log;             /* what the client's log holds so far */
	uint32_t n_recs;
};

/* ---- the loop ---- */

static inline void on_tick(void *ctx) { (void)ctx; }

#define UNTIL(w, cond) \
	do { \
		uint64_t until_ = gr_loop_now_ns((w)->loop) + LIMIT_S * GR_NS_PER_S; \
		while (!(cond)) { \
			if (gr_loop_now_ns((w)->loop) > until_) \
				fail_msg("waited %d s for %s", LIMIT_S, #cond); \
			uv_run(gr_loop_uv((w)->loop), UV_RUN_ONCE); \
		} \
	} while (0)

/* ---- fakes ---- */

static inline json_t *make_hello(void *ctx)
{
	struct fake *f = ctx;
	json_t *j = gr_hello_json(f->role, f->name), *list = json_array();
	struct gr_digest d;
	char hex[GR_DIGEST_HEX];

	if (f->role != GR_ROLE_WORKER) {
		json_decref(list);
		return j;
	}
	memset(d.b, f->tool, sizeof(d.b));
	gr_digest_hex(&d, hex);
	json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "digest", hex, "name", "gcc", "version", "12.2.0"));
	json_object_set_new(j, "toolchains", list);
	json_object_set_new(j, "slots", json_integer(f->slots));
	json_object_set_new(j, "prefetch", json_integer(f->prefetch));
	json_object_set_new(j, "tier", json_string(f->tier ? f->tier : "namespace"));
	if (f->has_session)
		json_object_set_new(j, "sessions", json_pack("[{s:s, s:i}]", "session", "1122334455667788", "n_records", f->has_session));
	if (f->node[0])
		json_object_set_new(j, "node", json_string(f->node));
	return j;
}

static inline void on_up(void *ctx, const json_t *welcome)
{
	(void)welcome;
	((struct fake *)ctx)->is_up = true;
}

static inline void on_down(void *ctx, int code, const char *why)
{
	struct fake *f = ctx;

	(void)why;
	f->is_up = false;
	f->n_down++;
	f->down_code = code;
}

static inline int on_msg(void *ctx, int type, struct gr_slice body)
{
	struct fake *f = ctx;

	GR_GROW(f->seen, f->cap, f->n + 1);
	f->seen[f->n].type = type;
	gr_buf_add(&f->seen[f->n].body, body.p, body.n);
	f->n++;
	return 0;
}

static inline struct fake *fake_new(struct world *w, enum gr_role role, const char *name)
{
	static const struct gr_link_ops ops = { .make_hello = make_hello, .on_up = on_up, .on_down = on_down, .on_msg = on_msg };
	struct gr_link_config cfg = { .endpoint = w->c.endpoint };
	struct gr_err err = { 0 };
	struct fake *f;

	GR_NEW(f);
	f->w = w;
	f->role = role;
	f->tool = 'g';
	f->slots = 1;
	snprintf(f->name, sizeof(f->name), "%s", name);
	w->fakes[w->n_fakes++] = f;
	if (gr_link_new(w->loop, &cfg, &ops, f, &f->link, &err) < 0)
		fail_msg("%s", err.text);
	return f;
}

static inline struct fake *client(struct world *w, const char *name)
{
	struct fake *f = fake_new(w, GR_ROLE_CLIENT, name);

	UNTIL(w, f->is_up);
	return f;
}

/* The link says HELLO from the loop, so what is set here is in it. */
static inline struct fake *worker_of(struct world *w, const char *name, int slots, int prefetch, char tool)
{
	struct fake *f = fake_new(w, GR_ROLE_WORKER, name);

	f->slots = slots;
	f->prefetch = prefetch;
	f->tool = tool;
	UNTIL(w, f->is_up);
	return f;
}

static inline struct fake *worker(struct world *w, const char *name) { return worker_of(w, name, 1, 0, 'g'); }

static inline size_t count(const struct fake *f, int type)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->seen[i].type == type;
	return n;
}

/* The @nth message of a type (0 the first); must be there. */
static inline struct gr_slice nth(const struct fake *f, int type, size_t k)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->seen[i].type == type && !k--)
			return gr_buf_slice(&f->seen[i].body);
	fail_msg("%s: no such %s", f->name, gr_msg_name(type));
	return gr_slice(NULL, 0);
}

static inline void send_frame(struct fake *f, struct gr_buf *b)
{
	assert_int_equal(gr_link_send(f->link, b), 0);
	gr_buf_fini(b);
}

static inline void leave(struct fake *f)
{
	gr_link_close(&f->link);
	f->is_up = false;
}

static inline json_t *ask(struct fake *f, json_t *req)
{
	struct gr_buf b = { 0 };
	struct gr_err err = { 0 };
	size_t had = count(f, GR_MSG_CTL_REP);
	json_t *rep;

	gr_json_encode(&b, GR_MSG_CTL_REQ, req);
	json_decref(req);
	send_frame(f, &b);
	UNTIL(f->w, count(f, GR_MSG_CTL_REP) > had);
	assert_int_equal(gr_json_decode(nth(f, GR_MSG_CTL_REP, had), &rep, &err), 0);
	return rep;
}

/* Everything that is under way has arrived: a question of the peer was answered behind it. */
static inline void settle(struct fake *f)
{
	json_decref(ask(f, json_pack("{s:s}", "op", "version")));
}

/* ---- a client's words ---- */

static inline void open_session(struct fake *cl, uint64_t id)
{
	struct gr_buf b = { 0 };
	size_t had = count(cl, GR_MSG_SESSION_OK);
	char hex[17];
	json_t *j;

	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)id);
	j = json_pack("{s:s}", "session", hex);
	gr_json_encode(&b, GR_MSG_SESSION_OPEN, j);
	json_decref(j);
	send_frame(cl, &b);
	UNTIL(cl->w, count(cl, GR_MSG_SESSION_OK) > had);
}

static inline uint32_t has_records(struct fake *cl)
{
	uint64_t id;
	uint32_t n;

	assert_int_equal(gr_session_decode(nth(cl, GR_MSG_SESSION_OK, count(cl, GR_MSG_SESSION_OK) - 1), &id, &n), 0);
	return n;
}

static inline void send_log(struct fake *cl, uint32_t first, uint32_t n, struct gr_slice bytes)
{
	struct gr_log_msg m = { .session = SESSION, .first = first, .n = n, .bytes = bytes };
	struct gr_buf b = { 0 };

	gr_log_encode(&b, &m);
	send_frame(cl, &b);
}

static inline void digest_of(const char *content, struct gr_digest *d) { gr_sha256_of(content, strlen(content), d); }

/* The log every test begins with: 0 "gcc" 1 "-c" 2 "/src" 3 "/src/a.c" 4 "/src/a.o" 5 file a.c with content "int a;" */
static inline void basic_log(struct world *w, struct fake *cl, const char *output)
{
	const char *strs[] = { "gcc", "-c", "/src", "/src/a.c", output };
	struct gr_record r = { .tag = GR_RECORD_STR };

	gr_buf_clear(&w->log);
	for (size_t i = 0; i < GR_LEN(strs); i++) {
		r.str = gr_slice_str(strs[i]);
		gr_record_encode(&w->log, &r);
	}
	r = (struct gr_record){ .tag = GR_RECORD_FILE, .path = 3, .kind = GR_FILE_REG, .size = 6 };
	digest_of("int a;", &r.digest);
	gr_record_encode(&w->log, &r);
	w->n_recs = 6;
	send_log(cl, 0, 6, gr_buf_slice(&w->log));
}

static inline void fill_task(struct gr_task_msg *m, uint64_t task, struct gr_buf lists[3])
{
	static const uint32_t argv[] = { 0, 1, 3 }, inputs[] = { 5 };

	memset(m, 0, sizeof(*m));
	m->session = SESSION;
	m->task = task;
	m->n_records = 6;
	memset(m->toolchain.b, 'g', sizeof(m->toolchain.b));
	m->cwd = 2;
	gr_ids_encode(&lists[0], argv, 3, false);
	gr_ids_encode(&lists[1], NULL, 0, false);
	gr_ids_encode(&lists[2], inputs, 1, true);
	m->argv = (struct gr_ids){ gr_buf_slice(&lists[0]), 3, false };
	m->env = (struct gr_ids){ gr_buf_slice(&lists[1]), 0, false };
	m->inputs = (struct gr_ids){ gr_buf_slice(&lists[2]), 1, true };
	m->n_outputs = 1;
	m->outputs[0].path = 4;
	m->outputs[0].flags = GR_OUTPUT_REQUIRED;
}

static inline void send_task_with(struct fake *cl, uint64_t task, void (*change)(struct gr_task_msg *m))
{
	struct gr_buf lists[3] = { 0 }, b = { 0 };
	struct gr_task_msg *m;

	GR_NEW(m);
	fill_task(m, task, lists);
	if (change)
		change(m);
	gr_task_encode(&b, m);
	send_frame(cl, &b);
	for (int i = 0; i < 3; i++)
		gr_buf_fini(&lists[i]);
	free(m);
}

static inline void send_task(struct fake *cl, uint64_t task) { send_task_with(cl, task, NULL); }

static inline void send_ref(struct fake *f, enum gr_msg_type type, uint64_t task, uint32_t attempt)
{
	struct gr_buf b = { 0 };

	gr_taskref_encode(&b, type, SESSION, task, attempt);
	send_frame(f, &b);
}

static inline void send_result(struct fake *f, uint64_t task, uint32_t attempt, int outcome)
{
	struct gr_result_msg *m;
	struct gr_buf b = { 0 };

	GR_NEW(m);
	m->session = SESSION;
	m->task = task;
	m->attempt = attempt;
	m->outcome = (uint8_t)outcome;
	m->cpu_us = 1000;
	m->reason = gr_slice_str(outcome == GR_OUTCOME_DONE ? "" : "because");
	if (outcome == GR_OUTCOME_DONE) {
		m->n_outputs = 1;
		m->outputs[0] = (struct gr_result_out){ .index = 0, .mode = 0644, .size = 3, .data = gr_slice_str("obj") };
	}
	gr_result_encode(&b, m);
	send_frame(f, &b);
	free(m);
}

/* The attempt number of the @k-th TASK that came. */
static inline uint32_t task_at(const struct fake *f, size_t k, uint64_t *task)
{
	struct gr_task_msg *m;
	uint32_t attempt;

	GR_NEW(m);
	assert_int_equal(gr_task_decode(nth(f, GR_MSG_TASK, k), m), 0);
	attempt = m->attempt;
	if (task)
		*task = m->task;
	free(m);
	return attempt;
}

static inline int outcome_at(const struct fake *cl, size_t k, char reason[128])
{
	struct gr_result_msg *m;
	int outcome;

	GR_NEW(m);
	assert_int_equal(gr_result_decode(nth(cl, GR_MSG_RESULT, k), m), 0);
	outcome = m->outcome;
	if (reason)
		snprintf(reason, 128, "%.*s", (int)m->reason.n, (const char *)m->reason.p);
	free(m);
	return outcome;
}

/* ---- a world ---- */

static inline void start(struct world *w, const char *const *more)
{
	const char *argv[32] = { "griddle-coordinator", "--listen", "tcp://127.0.0.1:0", "--http", "off", "--state", w->dir,
				 "--settle", "0", "--heartbeat", "200ms", "--dead", "10s", "--log-level", "error" };
	char *const no_env[] = { NULL };
	struct gr_err err = { 0 };
	int argc = 15;

	for (; more && *more; more++)
		argv[argc++] = *more;
	if (gr_coord_config_load(&w->c.cfg, argc, (char **)argv, no_env, &err) < 0 || gr_coord_open(&w->c, w->loop, &err) < 0)
		fail_msg("%s", err.text);
}

static inline int set_up(void **state)
{
	struct world *w;

	gr_log_init("coord_test", getenv("DEBUG") ? GR_LOG_DEBUG : GR_LOG_ERROR);
	GR_NEW(w);
	strcpy(w->dir, "/tmp/coord_test-XXXXXX");
	if (!mkdtemp(w->dir))
		return -1;
	w->loop = gr_loop_new(20261123);
	w->tick = gr_timer_start(w->loop, 5, 5, on_tick, w);
	*state = w;
	return 0;
}

static inline int tear_down(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < w->n_fakes; i++) {
		struct fake *f = w->fakes[i];

		gr_link_close(&f->link);
		for (size_t k = 0; k < f->n; k++)
			gr_buf_fini(&f->seen[k].body);
		free(f->seen);
		free(f);
	}
	if (w->c.loop)
		gr_coord_close(&w->c);
	gr_timer_stop(&w->tick);
	gr_loop_run(w->loop);
	if (w->c.loop)
		gr_coord_fini(&w->c);
	gr_loop_free(&w->loop);
	gr_coord_config_free(&w->c.cfg);
	gr_buf_fini(&w->log);
	gr_rm_rf(w->dir);
	free(w);
	return 0;
}

/* A client with its session and log. */
static inline struct fake *begin(struct world *w)
{
	struct fake *cl;

	start(w, NULL);
	cl = client(w, "agent");
	open_session(cl, SESSION);
	basic_log(w, cl, "/src/a.o");
	return cl;
}
