/* coord_test.c - the whole coordinator on one loop with fake workers and clients, over loopback TCP
 *
 * Nothing sleeps: each step runs the loop until what it waits for is so, or LIMIT_S passed. */
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

static void on_tick(void *ctx) { (void)ctx; }

#define UNTIL(w, cond) \
	do { \
		uint64_t until_ = gr_loop_now_ns((w)->loop) + LIMIT_S * GR_NS_PER_S; \
		while (!(cond)) { \
			if (gr_loop_now_ns((w)->loop) > until_) \
				fail_msg("waited %d s for %s", LIMIT_S, #cond); \
			uv_run(gr_loop_uv((w)->loop), UV_RUN_ONCE); \
		} \
	} while (0)
/* Everything that is under way has arrived: a question of the peer was answered behind it. */
static void settle(struct fake *f);

/* ---- fakes ---- */

static json_t *make_hello(void *ctx)
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

static void on_up(void *ctx, const json_t *welcome)
{
	(void)welcome;
	((struct fake *)ctx)->is_up = true;
}

static void on_down(void *ctx, int code, const char *why)
{
	struct fake *f = ctx;

	(void)why;
	f->is_up = false;
	f->n_down++;
	f->down_code = code;
}

static int on_msg(void *ctx, int type, struct gr_slice body)
{
	struct fake *f = ctx;

	GR_GROW(f->seen, f->cap, f->n + 1);
	f->seen[f->n].type = type;
	gr_buf_add(&f->seen[f->n].body, body.p, body.n);
	f->n++;
	return 0;
}

static struct fake *fake_new(struct world *w, enum gr_role role, const char *name)
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

static struct fake *client(struct world *w, const char *name)
{
	struct fake *f = fake_new(w, GR_ROLE_CLIENT, name);

	UNTIL(w, f->is_up);
	return f;
}

/* The link says HELLO from the loop, so what is set here is in it. */
static struct fake *worker_of(struct world *w, const char *name, int slots, int prefetch, char tool)
{
	struct fake *f = fake_new(w, GR_ROLE_WORKER, name);

	f->slots = slots;
	f->prefetch = prefetch;
	f->tool = tool;
	UNTIL(w, f->is_up);
	return f;
}

static struct fake *worker(struct world *w, const char *name) { return worker_of(w, name, 1, 0, 'g'); }

static size_t count(const struct fake *f, int type)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->seen[i].type == type;
	return n;
}

/* The @nth message of a type (0 the first); must be there. */
static struct gr_slice nth(const struct fake *f, int type, size_t k)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->seen[i].type == type && !k--)
			return gr_buf_slice(&f->seen[i].body);
	fail_msg("%s: no such %s", f->name, gr_msg_name(type));
	return gr_slice(NULL, 0);
}

static void send_frame(struct fake *f, struct gr_buf *b)
{
	assert_int_equal(gr_link_send(f->link, b), 0);
	gr_buf_fini(b);
}

static void leave(struct fake *f)
{
	gr_link_close(&f->link);
	f->is_up = false;
}

static json_t *ask(struct fake *f, json_t *req)
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

static void settle(struct fake *f)
{
	json_decref(ask(f, json_pack("{s:s}", "op", "version")));
}

/* ---- a client's words ---- */

static void open_session(struct fake *cl, uint64_t id)
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

static uint32_t has_records(struct fake *cl)
{
	uint64_t id;
	uint32_t n;

	assert_int_equal(gr_session_decode(nth(cl, GR_MSG_SESSION_OK, count(cl, GR_MSG_SESSION_OK) - 1), &id, &n), 0);
	return n;
}

static void send_log(struct fake *cl, uint32_t first, uint32_t n, struct gr_slice bytes)
{
	struct gr_log_msg m = { .session = SESSION, .first = first, .n = n, .bytes = bytes };
	struct gr_buf b = { 0 };

	gr_log_encode(&b, &m);
	send_frame(cl, &b);
}

static void digest_of(const char *content, struct gr_digest *d) { gr_sha256_of(content, strlen(content), d); }

/* The log every test begins with: 0 "gcc" 1 "-c" 2 "/src" 3 "/src/a.c" 4 "/src/a.o" 5 file a.c with content "int a;" */
static void basic_log(struct world *w, struct fake *cl, const char *output)
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

static void fill_task(struct gr_task_msg *m, uint64_t task, struct gr_buf lists[3])
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

static void send_task_with(struct fake *cl, uint64_t task, void (*change)(struct gr_task_msg *m))
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

static void send_task(struct fake *cl, uint64_t task) { send_task_with(cl, task, NULL); }

static void send_ref(struct fake *f, enum gr_msg_type type, uint64_t task, uint32_t attempt)
{
	struct gr_buf b = { 0 };

	gr_taskref_encode(&b, type, SESSION, task, attempt);
	send_frame(f, &b);
}

static void send_result(struct fake *f, uint64_t task, uint32_t attempt, int outcome)
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
static uint32_t task_at(const struct fake *f, size_t k, uint64_t *task)
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

static int outcome_at(const struct fake *cl, size_t k, char reason[128])
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

static void start(struct world *w, const char *const *more)
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

static int set_up(void **state)
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

static int tear_down(void **state)
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
static struct fake *begin(struct world *w)
{
	struct fake *cl;

	start(w, NULL);
	cl = client(w, "agent");
	open_session(cl, SESSION);
	basic_log(w, cl, "/src/a.o");
	return cl;
}

/* ---- tests ---- */

static void a_task_goes_to_a_worker_behind_its_log_and_the_result_comes_back(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_log_msg log;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	assert_int_equal(wk->seen[0].type, GR_MSG_SESSION_OPEN);
	assert_int_equal(wk->seen[1].type, GR_MSG_LOG);
	assert_int_equal(wk->seen[2].type, GR_MSG_TASK);
	assert_int_equal(gr_log_decode(nth(wk, GR_MSG_LOG, 0), &log), 0);
	assert_true(gr_slice_eq(log.bytes, gr_buf_slice(&w->log)));
	assert_int_equal(task_at(wk, 0, NULL), 1);
	send_result(wk, 1, 1, GR_OUTCOME_DONE);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1 && count(wk, GR_MSG_RESULT_ACK) == 1);
	assert_int_equal(outcome_at(cl, 0, NULL), GR_OUTCOME_DONE);
	send_ref(cl, GR_MSG_RESULT_ACK, 1, 1);
	settle(cl);
	assert_int_equal(gr_job_count(&gr_session_find(&w->c, SESSION)->job), 0);
	assert_int_equal(w->c.m.outcomes[GR_OUTCOME_DONE], 1);
}

static void the_log_travels_once_a_worker(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker_of(w, "w1", 2, 0, 'g');
	struct gr_record r = { .tag = GR_RECORD_STR, .str = gr_slice_str("more") };
	struct gr_buf more = { 0 };
	struct gr_log_msg log;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	gr_record_encode(&more, &r);
	send_log(cl, 6, 1, gr_buf_slice(&more));
	send_task(cl, 2);
	UNTIL(w, count(wk, GR_MSG_TASK) == 2);
	assert_int_equal(count(wk, GR_MSG_SESSION_OPEN), 1);
	assert_int_equal(count(wk, GR_MSG_LOG), 2);
	assert_int_equal(gr_log_decode(nth(wk, GR_MSG_LOG, 1), &log), 0);
	assert_int_equal(log.first, 6);
	assert_int_equal(log.n, 1);
	gr_buf_fini(&more);
}

static void records_a_worker_says_it_lacks_are_sent_again(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker_of(w, "w1", 2, 0, 'g');
	struct gr_buf b = { 0 };
	struct gr_log_msg log;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	gr_session_encode(&b, GR_MSG_SESSION_OK, SESSION, 0);         /* the answer to SESSION_OPEN */
	send_frame(wk, &b);
	gr_session_encode(&b, GR_MSG_SESSION_OK, SESSION, 2);         /* unasked */
	send_frame(wk, &b);
	UNTIL(w, count(wk, GR_MSG_LOG) == 2);
	assert_int_equal(gr_log_decode(nth(wk, GR_MSG_LOG, 1), &log), 0);
	assert_int_equal(log.first, 2);
	gr_session_encode(&b, GR_MSG_SESSION_CLOSE, SESSION, 0);      /* lost all of it, with a task in hand */
	send_frame(wk, &b);
	UNTIL(w, count(wk, GR_MSG_SESSION_OPEN) == 2 && count(wk, GR_MSG_LOG) == 3);
}

static void a_worker_that_kept_the_log_is_sent_what_came_since(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk;
	struct gr_log_msg log;

	settle(cl);
	wk = fake_new(w, GR_ROLE_WORKER, "w1");
	wk->has_session = 4;
	UNTIL(w, wk->is_up);
	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	assert_int_equal(count(wk, GR_MSG_SESSION_OPEN), 0);
	assert_int_equal(gr_log_decode(nth(wk, GR_MSG_LOG, 0), &log), 0);
	assert_int_equal(log.first, 4);
	assert_int_equal(log.n, 2);
}

static void send_need(struct fake *wk, const char *content)
{
	struct gr_buf b = { 0 };
	struct gr_digest d;

	digest_of(content, &d);
	gr_digests_encode(&b, GR_MSG_NEED, SESSION, &d, 1);
	send_frame(wk, &b);
}

static void send_blob(struct fake *cl, const char *name, const char *content, uint64_t total)
{
	struct gr_blob_msg m = { .session = SESSION, .total = total, .raw_n = (uint32_t)strlen(content),
				 .data = gr_slice_str(content) };
	struct gr_buf b = { 0 };

	digest_of(name, &m.digest);
	gr_blob_encode(&b, &m);
	send_frame(cl, &b);
}

static void a_file_two_workers_need_is_fetched_once(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2 = worker(w, "w2");
	struct gr_blob_msg m;

	send_need(w1, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	send_need(w2, "int a;");
	settle(cl);
	send_blob(cl, "int a;", "int a;", 6);
	UNTIL(w, count(w1, GR_MSG_BLOB) == 1 && count(w2, GR_MSG_BLOB) == 1);
	assert_int_equal(gr_blob_decode(nth(w2, GR_MSG_BLOB, 0), &m), 0);
	assert_true(gr_slice_is(m.data, "int a;"));
	send_need(w1, "int a;");                       /* now from the cache */
	UNTIL(w, count(w1, GR_MSG_BLOB) == 2);
	assert_int_equal(count(cl, GR_MSG_FETCH), 1);
}

static void a_file_damaged_in_the_cache_is_fetched_anew(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	char hex[GR_DIGEST_HEX], path[256];
	struct gr_blob_msg m;
	struct gr_digest d;
	FILE *f;

	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	send_blob(cl, "int a;", "int a;", 6);
	UNTIL(w, count(wk, GR_MSG_BLOB) == 1);
	digest_of("int a;", &d);
	gr_digest_hex(&d, hex);
	snprintf(path, sizeof(path), "%s/cas/%.2s/%s", w->dir, hex, hex + 2);
	assert_int_equal(unlink(path), 0);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("int z;", f);
	fclose(f);
	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 2);
	send_blob(cl, "int a;", "int a;", 6);
	UNTIL(w, count(wk, GR_MSG_BLOB) == 2);
	assert_int_equal(gr_blob_decode(nth(wk, GR_MSG_BLOB, 1), &m), 0);
	assert_true(gr_slice_is(m.data, "int a;"));
}

static void a_file_the_cache_cannot_take_is_passed_on(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1");
	struct gr_blob_msg m;
	char path[96];

	snprintf(path, sizeof(path), "%s/cas", w->dir);
	gr_rm_rf(path);
	send_need(w1, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	send_blob(cl, "int a;", "int b;", 6);              /* what is wrong stays wrong */
	UNTIL(w, count(w1, GR_MSG_MISSING) == 1);
	send_need(w1, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 2);
	send_blob(cl, "int a;", "int a;", 6);
	UNTIL(w, count(w1, GR_MSG_BLOB) == 1);
	assert_int_equal(gr_blob_decode(nth(w1, GR_MSG_BLOB, 0), &m), 0);
	assert_true(gr_slice_is(m.data, "int a;"));
}

static void a_file_the_log_does_not_name_is_missing(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");

	send_need(wk, "somebody's secret");
	UNTIL(w, count(wk, GR_MSG_MISSING) == 1);
	assert_int_equal(count(cl, GR_MSG_FETCH), 0);
}

static void a_file_with_other_content_is_missing_and_not_kept(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_digest d;

	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	send_blob(cl, "int a;", "int b;", 6);
	UNTIL(w, count(wk, GR_MSG_MISSING) == 1);
	digest_of("int a;", &d);
	assert_false(gr_cas_has(w->c.cas, &d));
	assert_int_equal(w->c.m.blobs_corrupt, 1);
	assert_true(cl->is_up);
}

static void what_the_client_has_no_more_is_missing(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_buf b = { 0 };
	struct gr_digest d;

	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	digest_of("int a;", &d);
	gr_digests_encode(&b, GR_MSG_MISSING, SESSION, &d, 1);
	send_frame(cl, &b);
	UNTIL(w, count(wk, GR_MSG_MISSING) == 1);
}

static void a_piece_that_does_not_fit_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");

	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	send_blob(cl, "int a;", "int a;", 600000);
	UNTIL(w, cl->n_down == 1);
	UNTIL(w, count(wk, GR_MSG_MISSING) == 1);
}

static void a_compressed_bomb_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_blob_msg m = { .session = SESSION, .total = 6, .enc = GR_ENC_ZLIB, .raw_n = 6 };
	struct gr_buf zeros = { 0 }, packed = { 0 }, b = { 0 };

	gr_buf_reserve(&zeros, 1 << 20);
	memset(zeros.p, 0, 1 << 20);
	zeros.n = 1 << 20;
	assert_int_equal(gr_pack(gr_buf_slice(&zeros), &packed), GR_ENC_ZLIB);
	send_need(wk, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	digest_of("int a;", &m.digest);
	m.data = gr_buf_slice(&packed);
	gr_blob_encode(&b, &m);
	send_frame(cl, &b);
	UNTIL(w, cl->n_down == 1);
	gr_buf_fini(&zeros);
	gr_buf_fini(&packed);
}

static void ask_for_coverage(struct gr_task_msg *m) { m->flags = GR_TASK_F_GCOV; }

static void what_a_tier_cannot_do_goes_to_another_when_there_is_one(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *poor, *rich;

	poor = fake_new(w, GR_ROLE_WORKER, "poor");
	poor->tier = "landlock";
	poor->slots = 8;
	UNTIL(w, poor->is_up);
	send_task_with(cl, 1, ask_for_coverage);
	UNTIL(w, count(poor, GR_MSG_TASK) == 1);           /* it says itself that it cannot */
	rich = worker_of(w, "rich", 8, 0, 'g');
	for (uint64_t i = 2; i <= 6; i++)
		send_task_with(cl, i, ask_for_coverage);
	UNTIL(w, count(rich, GR_MSG_TASK) == 5);
	assert_int_equal(count(poor, GR_MSG_TASK), 1);
}

static void a_lost_workers_task_runs_elsewhere(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2;

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	w2 = worker(w, "w2");
	leave(w1);
	UNTIL(w, count(w2, GR_MSG_TASK) == 1);
	assert_int_equal(task_at(w2, 0, NULL), 2);
	send_result(w2, 1, 2, GR_OUTCOME_DONE);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	assert_int_equal(w->c.m.attempts_ended[GR_CAUSE_LOST], 1);
}

static void the_late_result_of_a_worker_given_up_wins_and_the_other_attempt_is_cancelled(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2, *again;

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	w2 = worker(w, "w2");
	leave(w1);
	UNTIL(w, count(w2, GR_MSG_TASK) == 1);
	again = worker(w, "w1");
	send_result(again, 1, 1, GR_OUTCOME_DONE);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1 && count(w2, GR_MSG_CANCEL) == 1 && count(again, GR_MSG_RESULT_ACK) == 1);
	send_result(w2, 1, 2, GR_OUTCOME_DONE);
	UNTIL(w, count(w2, GR_MSG_RESULT_ACK) == 1);
	assert_int_equal(count(cl, GR_MSG_RESULT), 1);
	assert_int_equal(w->c.m.results_fenced, 1);
}

static void a_result_of_a_worker_that_was_not_asked_is_fenced(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2;

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	w2 = worker(w, "w2");
	send_result(w2, 1, 1, GR_OUTCOME_DONE);
	UNTIL(w, count(w2, GR_MSG_RESULT_ACK) == 1);
	settle(cl);
	assert_int_equal(count(cl, GR_MSG_RESULT), 0);
	assert_int_equal(w->c.m.results_fenced, 1);
}

static void an_output_nobody_asked_for_drops_the_worker(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1");
	struct gr_result_msg *m;
	struct gr_buf b = { 0 };

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	GR_NEW(m);
	m->session = SESSION;
	m->task = 1;
	m->attempt = 1;
	m->outcome = GR_OUTCOME_DONE;
	m->n_outputs = 1;
	m->outputs[0] = (struct gr_result_out){ .index = 3, .mode = 0644 };
	gr_result_encode(&b, m);
	free(m);
	send_frame(w1, &b);
	UNTIL(w, w1->n_down >= 1);
	UNTIL(w, w->c.m.attempts_ended[GR_CAUSE_LOST] == 1);
}

static void a_task_that_fails_everywhere_comes_back_as_retry(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk[4];
	char name[8], reason[128];

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "w%d", i);
		wk[i] = worker(w, name);
	}
	send_task(cl, 1);
	for (uint32_t try = 1; try <= 3; try++) {
		int who = -1;

		UNTIL(w, count(wk[0], GR_MSG_TASK) + count(wk[1], GR_MSG_TASK) + count(wk[2], GR_MSG_TASK) + count(wk[3], GR_MSG_TASK) == try);
		for (int i = 0; i < 4; i++) {
			assert_true(count(wk[i], GR_MSG_TASK) <= 1);    /* never the same worker twice */
			if (count(wk[i], GR_MSG_TASK) && task_at(wk[i], 0, NULL) == try)
				who = i;
		}
		assert_true(who >= 0);
		assert_int_equal(count(cl, GR_MSG_RESULT), 0);
		send_result(wk[who], 1, try, GR_OUTCOME_RETRY);
	}
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	assert_int_equal(outcome_at(cl, 0, reason), GR_OUTCOME_RETRY);
	assert_string_equal(reason, "because");
}

static void a_task_its_only_worker_cannot_do_comes_back_at_once(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	char reason[128];

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	send_result(wk, 1, 1, GR_OUTCOME_RETRY);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	assert_int_equal(outcome_at(cl, 0, reason), GR_OUTCOME_RETRY);
	assert_non_null(strstr(reason, "was tried"));
}

static void no_worker_with_the_toolchain_is_a_refusal_with_a_reason(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);
	char reason[128];

	worker_of(w, "w1", 1, 0, 'x');
	send_task(cl, 1);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	assert_int_equal(outcome_at(cl, 0, reason), GR_OUTCOME_REFUSED);
	assert_string_equal(reason, "no worker has toolchain 676767676767");
}

static void after_the_start_a_task_waits_for_its_worker(void **state)
{
	struct world *w = *state;
	const char *const more[] = { "--settle", "600s", NULL };
	struct fake *cl, *wk;

	start(w, more);
	cl = client(w, "agent");
	open_session(cl, SESSION);
	basic_log(w, cl, "/src/a.o");
	send_task(cl, 1);
	settle(cl);
	assert_int_equal(count(cl, GR_MSG_RESULT), 0);
	wk = worker(w, "w1");
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
}

static void a_refusal_is_passed_on_and_not_tried_elsewhere(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2;

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	w2 = worker(w, "w2");
	send_result(w1, 1, 1, GR_OUTCOME_REFUSED);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	assert_int_equal(outcome_at(cl, 0, NULL), GR_OUTCOME_REFUSED);
	assert_int_equal(count(w2, GR_MSG_TASK), 0);
}

static void what_the_client_cancels_stops_and_is_confirmed(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");

	send_task(cl, 1);
	send_task(cl, 2);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	send_ref(cl, GR_MSG_CANCEL, 2, 0);                /* queued */
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	send_ref(cl, GR_MSG_CANCEL, 1, 0);                /* running */
	UNTIL(w, count(wk, GR_MSG_CANCEL) == 1 && count(cl, GR_MSG_RESULT) == 2);
	assert_int_equal(outcome_at(cl, 0, NULL), GR_OUTCOME_CANCELLED);
	assert_int_equal(outcome_at(cl, 1, NULL), GR_OUTCOME_CANCELLED);
}

static void a_client_that_goes_has_its_tasks_stopped_and_its_session_kept(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1"), *again;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	leave(cl);
	UNTIL(w, count(wk, GR_MSG_CANCEL) == 1);
	assert_int_equal(count(wk, GR_MSG_SESSION_CLOSE), 0);
	again = client(w, "agent");
	open_session(again, SESSION);
	assert_int_equal(has_records(again), 6);
	send_log(again, 0, 6, gr_buf_slice(&w->log));     /* the same again is fine */
	send_task(again, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 2);
	assert_true(task_at(wk, 1, NULL) > task_at(wk, 0, NULL) + 1);     /* an old result cannot be taken for the new one's */
	send_result(wk, 1, 1, GR_OUTCOME_CANCELLED);
	send_result(wk, 1, task_at(wk, 1, NULL), GR_OUTCOME_DONE);
	UNTIL(w, count(again, GR_MSG_RESULT) == 1);
	assert_int_equal(outcome_at(again, 0, NULL), GR_OUTCOME_DONE);
}

static void an_unconfirmed_result_is_there_after_a_reconnect(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1"), *again;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	send_result(wk, 1, 1, GR_OUTCOME_DONE);
	UNTIL(w, count(cl, GR_MSG_RESULT) == 1);
	leave(cl);
	UNTIL(w, w->c.n_clients == 0);
	again = client(w, "agent");
	open_session(again, SESSION);
	UNTIL(w, count(again, GR_MSG_RESULT) == 1);
	send_task(again, 1);                              /* and it is not run again */
	UNTIL(w, count(again, GR_MSG_RESULT) == 2);
	assert_int_equal(count(wk, GR_MSG_TASK), 1);
}

static void a_session_nobody_comes_back_for_is_closed_everywhere(void **state)
{
	struct world *w = *state;
	const char *const more[] = { "--session-linger", "0", NULL };
	struct fake *cl, *wk;

	start(w, more);
	cl = client(w, "agent");
	wk = worker(w, "w1");
	open_session(cl, SESSION);
	basic_log(w, cl, "/src/a.o");
	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	leave(cl);
	UNTIL(w, count(wk, GR_MSG_SESSION_CLOSE) == 1);
	assert_int_equal(w->c.sessions.n, 0);
}

static void a_log_that_contradicts_itself_ends_the_session_not_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);
	struct gr_record r = { .tag = GR_RECORD_STR, .str = gr_slice_str("clang") };
	struct gr_buf other = { 0 };

	gr_record_encode(&other, &r);
	send_log(cl, 0, 1, gr_buf_slice(&other));
	UNTIL(w, count(cl, GR_MSG_SESSION_CLOSE) == 1);
	settle(cl);
	assert_true(cl->is_up);
	assert_int_equal(w->c.sessions.n, 0);
	gr_buf_fini(&other);
}

/* ---- what drops a client ---- */

static void expect_drop(struct world *w, struct fake *cl, int code)
{
	UNTIL(w, cl->n_down == 1);
	assert_int_equal(cl->down_code, code);
	UNTIL(w, w->c.m.peers_dropped == 1);
}

static void name_no_record(struct gr_task_msg *m) { m->n_records = 7; }
static void name_a_file_as_folder(struct gr_task_msg *m) { m->cwd = 5; }
static void name_a_word_as_folder(struct gr_task_msg *m) { m->cwd = 1; }
static void name_a_word_as_output(struct gr_task_msg *m) { m->outputs[0].path = 1; }
static void number_an_attempt(struct gr_task_msg *m) { m->attempt = 1; }
static void name_a_string_as_input(struct gr_task_msg *m)
{
	static uint8_t raw[] = { 3 };

	m->inputs.raw = gr_slice(raw, 1);
}

static void a_task_that_names_what_is_not_in_the_log_drops_its_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, name_no_record);
	expect_drop(w, cl, GR_EPROTO);
}

static void a_file_as_folder_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, name_a_file_as_folder);
	expect_drop(w, cl, GR_EPATH);
}

static void a_relative_folder_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, name_a_word_as_folder);
	expect_drop(w, cl, GR_EPATH);
}

static void a_relative_output_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, name_a_word_as_output);
	expect_drop(w, cl, GR_EPATH);
}

static void an_output_that_climbs_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl;

	start(w, NULL);
	cl = client(w, "agent");
	open_session(cl, SESSION);
	basic_log(w, cl, "/src/../../etc/passwd");
	send_task(cl, 1);
	expect_drop(w, cl, GR_EPATH);
}

static void an_attempt_number_from_a_client_drops_it(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, number_an_attempt);
	expect_drop(w, cl, GR_EPROTO);
}

static void a_string_as_input_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, name_a_string_as_input);
	expect_drop(w, cl, GR_EPROTO);
}

static void a_gap_in_the_log_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_log(cl, 60, 6, gr_buf_slice(&w->log));
	expect_drop(w, cl, GR_EPROTO);
}

static void a_file_record_without_its_path_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);
	struct gr_record r = { .tag = GR_RECORD_FILE, .path = 0, .kind = GR_FILE_DIR };      /* "gcc" is no path */
	struct gr_buf b = { 0 };

	gr_record_encode(&b, &r);
	send_log(cl, 6, 1, gr_buf_slice(&b));
	expect_drop(w, cl, GR_EPATH);
	gr_buf_fini(&b);
}

static void more_tasks_than_twice_the_credits_drop_the_client_and_nobody_else(void **state)
{
	struct world *w = *state;
	const char *const more[] = { "--credits", "16", "--settle", "600s", NULL };
	struct fake *cl, *other;

	start(w, more);
	other = client(w, "other");
	cl = client(w, "agent");
	open_session(cl, SESSION);
	basic_log(w, cl, "/src/a.o");
	for (uint64_t i = 1; i <= 32; i++)
		send_task(cl, i);
	settle(cl);
	assert_true(cl->is_up);
	send_task(cl, 33);
	expect_drop(w, cl, GR_ELIMIT);
	settle(other);
	assert_true(other->is_up && !other->n_down);
}

static void a_log_that_grows_without_end_drops_the_client(void **state)
{
	struct world *w = *state;
	const char *const more[] = { "--session-log-bytes", "1M", NULL };
	struct gr_record r = { .tag = GR_RECORD_STR };
	struct gr_buf b = { 0 };
	static char text[60000];
	struct fake *cl;

	start(w, more);
	cl = client(w, "agent");
	open_session(cl, SESSION);
	memset(text, 'x', sizeof(text));
	r.str = gr_slice(text, sizeof(text));
	gr_record_encode(&b, &r);
	for (uint32_t i = 0; i < 18; i++)
		send_log(cl, i, 1, gr_buf_slice(&b));
	expect_drop(w, cl, GR_ELIMIT);
	gr_buf_fini(&b);
}

static void more_sessions_than_allowed_drop_the_client(void **state)
{
	struct world *w = *state;
	const char *const more[] = { "--max-sessions", "1", NULL };
	struct gr_buf b = { 0 };
	struct fake *cl;
	json_t *j = json_pack("{s:s}", "session", "aa00000000000000");

	start(w, more);
	cl = client(w, "agent");
	open_session(cl, SESSION);
	gr_json_encode(&b, GR_MSG_SESSION_OPEN, j);
	json_decref(j);
	send_frame(cl, &b);
	expect_drop(w, cl, GR_ELIMIT);
}

/* ---- workers ---- */

static void a_draining_worker_gets_nothing_new_and_its_returns_do_not_count(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker_of(w, "w1", 4, 0, 'g'), *w2;
	struct gr_buf b = { 0 };

	send_task(cl, 1);
	UNTIL(w, count(w1, GR_MSG_TASK) == 1);
	gr_drain_encode(&b, 10000);
	send_frame(w1, &b);
	w2 = worker(w, "w2");
	send_task(cl, 2);
	UNTIL(w, count(w2, GR_MSG_TASK) == 1);
	assert_int_equal(count(w1, GR_MSG_TASK), 1);
	send_result(w2, 2, 1, GR_OUTCOME_DONE);
	send_result(w1, 1, 1, GR_OUTCOME_RETRY);
	UNTIL(w, count(w2, GR_MSG_TASK) == 2);
	assert_int_equal(w->c.m.attempts_ended[GR_CAUSE_DRAINED], 1);
	assert_int_equal(w->c.m.attempts_ended[GR_CAUSE_RETRY], 0);
}

static void a_second_connection_of_a_name_takes_the_place_of_the_first(void **state)
{
	struct world *w = *state;
	struct fake *w1, *w2;

	begin(w);
	w1 = worker(w, "w1");
	w2 = worker(w, "w1");
	UNTIL(w, w1->n_down >= 1);
	assert_int_equal(w->c.n_workers, 1);
	leave(w1);
	settle(w->fakes[0]);
	assert_true(w2->is_up);
}

static void a_hello_with_nonsense_is_refused_with_the_reason(void **state)
{
	struct world *w = *state;
	struct fake *f;

	begin(w);
	f = fake_new(w, GR_ROLE_WORKER, "w1");
	f->slots = -1;
	UNTIL(w, f->n_down >= 1);
	assert_int_equal(f->down_code, GR_EPROTO);
	assert_int_equal(w->c.n_workers, 0);
}

static void a_worker_that_fails_fast_is_left_alone_for_a_while(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *bad = worker_of(w, "bad", 8, 0, 'g'), *good;

	for (uint64_t i = 1; i <= 3; i++)
		send_task(cl, i);
	UNTIL(w, count(bad, GR_MSG_TASK) == 3);
	good = worker_of(w, "good", 16, 0, 'g');
	for (uint64_t i = 1; i <= 3; i++)
		send_result(bad, i, 1, GR_OUTCOME_RETRY);
	UNTIL(w, count(good, GR_MSG_TASK) == 3);
	for (uint64_t i = 4; i <= 12; i++)
		send_task(cl, i);
	UNTIL(w, count(good, GR_MSG_TASK) == 12);
	assert_int_equal(count(bad, GR_MSG_TASK), 3);
}

static void tasks_whose_only_worker_is_quarantined_go_home(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *bad = worker_of(w, "bad", 3, 0, 'g');
	size_t n_seen = 0;
	char reason[128];

	for (uint64_t i = 1; i <= 5; i++)
		send_task(cl, i);
	while (count(cl, GR_MSG_RESULT) < 5) {
		UNTIL(w, count(bad, GR_MSG_TASK) > n_seen || count(cl, GR_MSG_RESULT) == 5);
		while (n_seen < count(bad, GR_MSG_TASK)) {
			uint64_t task;
			uint32_t attempt = task_at(bad, n_seen++, &task);

			send_result(bad, task, attempt, GR_OUTCOME_RETRY);
		}
	}
	for (size_t i = 0; i < 5; i++)
		assert_true(outcome_at(cl, i, reason) == GR_OUTCOME_RETRY || strstr(reason, "takes tasks now"));
}

static void a_worker_told_of_more_slots_gets_more(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_ping ping = { .seq = 1, .n_signals = 1, .signals = { { GR_SIGNAL_SLOTS, 3 } } };
	struct gr_buf b = { 0 };

	for (uint64_t i = 1; i <= 5; i++)
		send_task(cl, i);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	gr_ping_encode(&b, GR_MSG_PING, &ping);
	send_frame(wk, &b);
	UNTIL(w, count(wk, GR_MSG_TASK) == 3);
}

static struct gr_worker *find_worker(struct world *w, const char *name)
{
	GR_LIST_EACH(x, &w->c.workers, struct gr_worker, link)
		if (!strcmp(x->name, name))
			return x;
	fail_msg("no worker %s", name);
	return NULL;
}

static uint64_t signal_of(struct world *w, const char *name, enum gr_signal key) { return find_worker(w, name)->signals[key]; }

/* What of a node others use is what is busy less what our own workers there use; figures are cut to what can be. */
static void the_cores_of_a_node_that_others_use_are_told_to_placement(void **state)
{
	static const struct { const char *name; uint64_t used, busy; } said[] = { { "w1", 1000, 3500 }, { "w2", 500, 3600 }, { "w3", 700, 900 } };
	struct world *w = *state;
	struct fake *wk[3];
	struct gr_buf b = { 0 };
	json_t *nodes;

	start(w, NULL);
	for (size_t i = 0; i < 3; i++) {
		struct gr_ping ping = { .seq = 1, .n_signals = 3, .signals = { { GR_SIGNAL_CPU_USED_MCPU, said[i].used },
			{ GR_SIGNAL_NODE_BUSY_MCPU, said[i].busy }, { GR_SIGNAL_CPU_PSI_PERMILLE, UINT64_MAX } } };

		wk[i] = fake_new(w, GR_ROLE_WORKER, said[i].name);
		wk[i]->slots = 1;
		snprintf(wk[i]->node, sizeof(wk[i]->node), "%s", i < 2 ? "shared" : "alone");
		UNTIL(w, wk[i]->is_up);
		gr_ping_encode(&b, GR_MSG_PING, &ping);
		send_frame(wk[i], &b);
	}
	UNTIL(w, signal_of(w, "w3", GR_SIGNAL_NODE_BUSY_MCPU) == 900 && signal_of(w, "w2", GR_SIGNAL_NODE_BUSY_MCPU) == 3600);
	assert_int_equal(gr_signals_foreign_mcpu(find_worker(w, "w1")), 2100);
	assert_int_equal(gr_signals_foreign_mcpu(find_worker(w, "w2")), 2100);
	assert_int_equal(gr_signals_foreign_mcpu(find_worker(w, "w3")), 200);
	assert_int_equal(signal_of(w, "w1", GR_SIGNAL_CPU_PSI_PERMILLE), 1000);
	nodes = gr_nodes_json(&w->c);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(json_array_get(json_object_get(nodes, "nodes"), 0), "signals"), "node_foreign_mcpu")), 2100);
	json_decref(nodes);
	gr_metrics_print(&w->c, &b);
	assert_non_null(strstr(gr_buf_str(&b), "griddle_worker_cpu_used_cores{worker=\"w2\",node=\"shared\"} 0.5\n"));
	assert_non_null(strstr(gr_buf_str(&b), "griddle_worker_cpu_pressure_ratio{worker=\"w1\",node=\"shared\"} 1\n"));
	gr_buf_fini(&b);
	/* one goes: its part of the sum goes with it */
	gr_link_close(&wk[0]->link);
	UNTIL(w, w->c.n_workers == 2);
	assert_int_equal(gr_signals_foreign_mcpu(find_worker(w, "w2")), 3100);
}

static void a_file_two_clients_have_comes_from_the_one_that_stays(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *w1 = worker(w, "w1"), *w2 = worker(w, "w2"), *other = client(w, "other");
	struct gr_log_msg m = { .session = SESSION + 1, .n = 6 };
	struct gr_buf b = { 0 };
	struct gr_digest d;

	open_session(other, SESSION + 1);
	m.bytes = gr_buf_slice(&w->log);
	gr_log_encode(&b, &m);
	send_frame(other, &b);
	settle(other);
	send_need(w1, "int a;");
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	digest_of("int a;", &d);
	gr_digests_encode(&b, GR_MSG_NEED, SESSION + 1, &d, 1);
	send_frame(w2, &b);
	gr_digests_encode(&b, GR_MSG_NEED, SESSION + 1, &d, 1);      /* asking again changes nothing */
	send_frame(w2, &b);
	send_result(w2, 99, 1, GR_OUTCOME_DONE);                     /* answered behind both */
	UNTIL(w, count(w2, GR_MSG_RESULT_ACK) == 1);
	assert_int_equal(count(other, GR_MSG_FETCH), 0);
	leave(cl);
	UNTIL(w, count(other, GR_MSG_FETCH) == 1 && count(w1, GR_MSG_MISSING) == 1);
	send_blob(other, "int a;", "int a;", 6);
	UNTIL(w, count(w2, GR_MSG_BLOB) == 1);
	assert_int_equal(count(w2, GR_MSG_MISSING), 0);
}

static void a_file_in_pieces_arrives_whole(void **state)
{
	struct world *w = *state;
	struct fake *cl, *wk;
	struct gr_record r = { .tag = GR_RECORD_STR };
	const size_t size = GR_WIRE_CHUNK_BYTES * 2 + 777;
	struct gr_buf content = { 0 }, b = { 0 }, got = { 0 };
	struct gr_digest d;

	start(w, NULL);
	cl = client(w, "agent");
	wk = worker(w, "w1");
	open_session(cl, SESSION);
	gr_buf_reserve(&content, size);
	for (size_t i = 0; i < size; i++)
		content.p[i] = (uint8_t)(i * 31 + i / 4096);
	content.n = size;
	gr_sha256_of(content.p, content.n, &d);
	r.str = gr_slice_str("/src/big");
	gr_record_encode(&w->log, &r);
	r = (struct gr_record){ .tag = GR_RECORD_FILE, .path = 0, .kind = GR_FILE_REG, .size = size, .digest = d };
	gr_record_encode(&w->log, &r);
	send_log(cl, 0, 2, gr_buf_slice(&w->log));
	settle(cl);
	gr_digests_encode(&b, GR_MSG_NEED, SESSION, &d, 1);
	send_frame(wk, &b);
	UNTIL(w, count(cl, GR_MSG_FETCH) == 1);
	for (size_t at = 0; at < size; at += GR_WIRE_CHUNK_BYTES) {
		size_t n = size - at < GR_WIRE_CHUNK_BYTES ? size - at : GR_WIRE_CHUNK_BYTES;
		struct gr_blob_msg m = { .session = SESSION, .digest = d, .total = size, .offset = at, .raw_n = (uint32_t)n,
					 .data = gr_slice(content.p + at, n) };

		gr_blob_encode(&b, &m);
		send_frame(cl, &b);
	}
	UNTIL(w, count(wk, GR_MSG_BLOB) == 3);
	for (size_t i = 0; i < 3; i++) {
		struct gr_blob_msg m;

		assert_int_equal(gr_blob_decode(nth(wk, GR_MSG_BLOB, i), &m), 0);
		assert_int_equal(m.offset, got.n);
		gr_buf_add(&got, m.data.p, m.data.n);
	}
	assert_true(gr_slice_eq(gr_buf_slice(&got), gr_buf_slice(&content)));
	gr_buf_fini(&content);
	gr_buf_fini(&got);
}

/* Placement may take a task back from one worker for another that is idle: it may be sent twice, its outcome comes once. */
static void fifty_tasks_on_four_workers_each_end_once(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk[4];
	size_t done[4] = { 0 };
	uint8_t seen[51] = { 0 };
	char name[8];

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "w%d", i);
		wk[i] = worker_of(w, name, 2, i, 'g');
	}
	for (uint64_t i = 1; i <= 50; i++)
		send_task(cl, i);
	while (count(cl, GR_MSG_RESULT) < 50) {
		UNTIL(w, count(cl, GR_MSG_RESULT) == 50 || count(wk[0], GR_MSG_TASK) > done[0] || count(wk[1], GR_MSG_TASK) > done[1] ||
			 count(wk[2], GR_MSG_TASK) > done[2] || count(wk[3], GR_MSG_TASK) > done[3]);
		for (int i = 0; i < 4; i++)
			while (done[i] < count(wk[i], GR_MSG_TASK)) {
				uint64_t task;
				uint32_t attempt = task_at(wk[i], done[i]++, &task);

				send_result(wk[i], task, attempt, GR_OUTCOME_DONE);
			}
	}
	for (size_t i = 0; i < 50; i++) {
		struct gr_result_msg *m;

		GR_NEW(m);
		assert_int_equal(gr_result_decode(nth(cl, GR_MSG_RESULT, i), m), 0);
		assert_in_range(m->task, 1, 50);
		assert_int_equal(seen[m->task]++, 0);
		free(m);
	}
	assert_int_equal(w->c.m.outcomes[GR_OUTCOME_DONE], 50);
}

/* ---- whatever comes ---- */

struct frames { struct gr_buf f[16]; int n; };

static void keep(struct frames *x, struct gr_buf *b)
{
	x->f[x->n++] = *b;
	*b = (struct gr_buf){ 0 };
}

static void client_frames(struct world *w, struct frames *x)
{
	struct gr_log_msg log = { .session = SESSION, .n = 6, .bytes = gr_buf_slice(&w->log) };
	struct gr_blob_msg blob = { .session = SESSION, .total = 6, .raw_n = 6, .data = gr_slice_str("int a;") };
	struct gr_buf lists[3] = { 0 }, b = { 0 };
	struct gr_task_msg *m;
	json_t *j = json_pack("{s:s}", "session", "1122334455667788");

	gr_json_encode(&b, GR_MSG_SESSION_OPEN, j);
	keep(x, &b);
	json_decref(j);
	gr_log_encode(&b, &log);
	keep(x, &b);
	GR_NEW(m);
	for (uint64_t i = 1; i <= 3; i++) {
		fill_task(m, i, lists);
		gr_task_encode(&b, m);
		keep(x, &b);
		for (int k = 0; k < 3; k++)
			gr_buf_fini(&lists[k]);
	}
	free(m);
	digest_of("int a;", &blob.digest);
	gr_blob_encode(&b, &blob);
	keep(x, &b);
	gr_digests_encode(&b, GR_MSG_MISSING, SESSION, &blob.digest, 1);
	keep(x, &b);
	gr_taskref_encode(&b, GR_MSG_CANCEL, SESSION, 2, 0);
	keep(x, &b);
	gr_taskref_encode(&b, GR_MSG_RESULT_ACK, SESSION, 1, 0);
	keep(x, &b);
	gr_session_encode(&b, GR_MSG_SESSION_CLOSE, SESSION, 0);
	keep(x, &b);
	j = json_pack("{s:s, s:s, s:i}", "op", "explain", "session", "1122334455667788", "task", 3);
	gr_json_encode(&b, GR_MSG_CTL_REQ, j);
	keep(x, &b);
	json_decref(j);
}

static void worker_frames(struct frames *x)
{
	struct gr_ping ping = { .seq = 1, .n_signals = 2, .signals = { { GR_SIGNAL_SLOTS, 3 }, { GR_SIGNAL_CPU_PSI_PERMILLE, 300 } } };
	struct gr_result_msg *m;
	struct gr_buf b = { 0 };
	struct gr_digest d;

	GR_NEW(m);
	m->session = SESSION;
	for (int i = GR_OUTCOME_DONE; i <= GR_OUTCOME_OOM; i++) {
		m->task = 1 + (uint64_t)i % 3;
		m->attempt = 1 + (uint32_t)i / 3;
		m->outcome = (uint8_t)i;
		m->cpu_us = 777;
		gr_result_encode(&b, m);
		keep(x, &b);
	}
	free(m);
	digest_of("int a;", &d);
	gr_digests_encode(&b, GR_MSG_NEED, SESSION, &d, 1);
	keep(x, &b);
	gr_session_encode(&b, GR_MSG_SESSION_OK, SESSION, 2);
	keep(x, &b);
	gr_session_encode(&b, GR_MSG_SESSION_CLOSE, SESSION, 0);
	keep(x, &b);
	gr_ping_encode(&b, GR_MSG_PING, &ping);
	keep(x, &b);
}

/* A body as it is, or with some bytes changed, or cut short, given to the coordinator as this peer's. */
static void say(struct world *w, struct gr_peer *peer, const struct frames *x, struct gr_rng *rng)
{
	const struct gr_buf *f = &x->f[gr_rng_below(rng, (uint32_t)x->n)];
	struct gr_slice body;
	struct gr_buf b = { 0 };
	int type = gr_frame_open(gr_buf_slice(f), &body);

	if (type == GR_MSG_SESSION_CLOSE && gr_rng_below(rng, 32))
		return;         /* else little else would happen */
	gr_buf_add(&b, body.p, body.n);
	if (type == GR_MSG_TASK || type == GR_MSG_RESULT || type == GR_MSG_RESULT_ACK || type == GR_MSG_CANCEL)
		b.p[8] = (uint8_t)(1 + gr_rng_below(rng, 30));      /* the task's number */
	if (b.n && gr_rng_below(rng, 2)) {
		for (uint32_t k = 1 + gr_rng_below(rng, 3); k; k--)
			b.p[gr_rng_below(rng, (uint32_t)b.n)] = (uint8_t)gr_rng_u64(rng);
		if (!gr_rng_below(rng, 8))
			b.n = gr_rng_below(rng, (uint32_t)b.n);
	}
	gr_peers_ops.on_msg(&w->c, peer, type, gr_buf_slice(&b));
	gr_buf_fini(&b);
}

static void no_words_in_whatever_order_hurt_anybody(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *other;
	struct frames from_client = { .n = 0 }, from_worker = { .n = 0 };
	struct gr_rng rng = { 4711 };

	other = client(w, "other");
	worker_of(w, "w1", 2, 2, 'g');
	worker_of(w, "w2", 1, 0, 'g');
	client_frames(w, &from_client);
	worker_frames(&from_worker);
	for (int i = 0; i < 30000; i++) {
		struct gr_list *list = gr_rng_below(&rng, 2) ? &w->c.workers : &w->c.clients;
		struct gr_list *who = gr_rng_below(&rng, 2) ? list->next : list->prev;

		if (list == &w->c.workers)
			say(w, GR_CONTAINER(who, struct gr_worker, link)->peer, &from_worker, &rng);
		else
			say(w, GR_CONTAINER(who, struct gr_client, link)->peer, &from_client, &rng);
		if (!gr_rng_below(&rng, 16))
			uv_run(gr_loop_uv(w->loop), UV_RUN_NOWAIT);
	}
	settle(other);
	assert_true(cl->is_up && other->is_up);
	print_message("# %u sessions, %u tasks, %u attempts, %u results fenced\n", (unsigned)w->c.m.sessions_opened,
		      (unsigned)w->c.m.tasks_accepted, (unsigned)w->c.m.attempts, (unsigned)w->c.m.results_fenced);
	assert_true(w->c.m.tasks_accepted > 100 && w->c.m.attempts > 50 && w->c.m.sessions_opened > 10);
	for (int i = 0; i < from_client.n; i++)
		gr_buf_fini(&from_client.f[i]);
	for (int i = 0; i < from_worker.n; i++)
		gr_buf_fini(&from_worker.f[i]);
}

/* ---- telling ---- */

static void clients_hear_of_workers_that_come(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);
	struct gr_err err = { 0 };
	json_t *j = NULL;

	worker_of(w, "w1", 3, 0, 'g');
	UNTIL(w, count(cl, GR_MSG_CLUSTER) >= 1 &&
		 (json_decref(j), gr_json_decode(nth(cl, GR_MSG_CLUSTER, count(cl, GR_MSG_CLUSTER) - 1), &j, &err) == 0) &&
		 json_integer_value(json_object_get(j, "slots")) == 3);
	assert_int_equal(json_integer_value(json_object_get(j, "workers")), 1);
	assert_int_equal(json_integer_value(json_object_get(j, "credits")), 1024);
	assert_int_equal(json_array_size(json_object_get(j, "toolchains")), 1);
	json_decref(j);
}

static void questions_are_answered(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);
	json_t *rep;

	worker_of(w, "w1", 1, 0, 'g');
	send_task(cl, 1);
	send_task(cl, 2);
	rep = ask(cl, json_pack("{s:s, s:i}", "op", "status", "id", 7));
	assert_int_equal(json_integer_value(json_object_get(rep, "id")), 7);
	assert_int_equal(json_integer_value(json_object_get(rep, "workers")), 1);
	json_decref(rep);
	rep = ask(cl, json_pack("{s:s}", "op", "nodes"));
	assert_int_equal(json_array_size(json_object_get(rep, "nodes")), 1);
	json_decref(rep);
	rep = ask(cl, json_pack("{s:s}", "op", "sessions"));
	assert_int_equal(json_array_size(json_object_get(rep, "sessions")), 1);
	json_decref(rep);
	rep = ask(cl, json_pack("{s:s, s:s, s:i}", "op", "explain", "session", "1122334455667788", "task", 2));
	assert_string_equal(json_string_value(json_object_get(rep, "state")), "queued");
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(rep, "workers"), 0), "verdict")),
			    "no_credit");
	json_decref(rep);
	rep = ask(cl, json_pack("{s:s, s:s, s:i}", "op", "explain", "session", "1122334455667788", "task", 99));
	assert_non_null(json_object_get(rep, "error"));
	json_decref(rep);
	rep = ask(cl, json_pack("{s:s}", "op", "dance"));
	assert_string_equal(json_string_value(json_object_get(rep, "error")), "unknown op \"dance\"");
	json_decref(rep);
}

static json_t *heavy_plan(void)
{
	return json_pack("{s:s, s:[{s:s, s:s}]}", "target", "http://127.0.0.1:9/", "stages", "rate", "1001/s", "for", "1s");
}

/* The client's own --yes is no more than a courtesy: whoever speaks the wire without it is asked here. */
static void a_heavy_load_test_that_nobody_confirmed_is_refused_here(void **state)
{
	static const char *const not_so[] = { NULL, "false", "\"true\"", "1" };
	struct fake *cl = begin(*state);
	json_t *rep, *req;

	for (size_t i = 0; i < GR_LEN(not_so); i++) {
		req = json_pack("{s:s, s:o}", "op", "load-start", "plan", heavy_plan());
		if (not_so[i])
			json_object_set_new(req, "confirmed", json_loads(not_so[i], JSON_DECODE_ANY, NULL));
		rep = ask(cl, req);
		assert_non_null(strstr(json_string_value(json_object_get(rep, "error")), "1001/s is above 1000: such a test has to be confirmed"));
		assert_null(json_object_get(rep, "run"));
		json_decref(rep);
	}
	rep = ask(cl, json_pack("{s:s, s:o, s:b}", "op", "load-start", "plan", heavy_plan(), "confirmed", 1));
	assert_null(strstr(json_string_value(json_object_get(rep, "error")), "confirmed"));      /* there is no worker for it */
	json_decref(rep);
}

static void the_metrics_page_tells_families_once_each_with_help_and_type(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *wk = worker(w, "w1");
	struct gr_buf page = { 0 };
	char seen[256][64];
	int n_seen = 0;
	const char *line;

	send_task(cl, 1);
	UNTIL(w, count(wk, GR_MSG_TASK) == 1);
	gr_metrics_print(&w->c, &page);
	for (line = gr_buf_str(&page); *line; line = strchr(line, '\n') + 1) {
		char name[64];

		if (sscanf(line, "# TYPE %63s", name) != 1)
			continue;
		for (int i = 0; i < n_seen; i++)
			assert_string_not_equal(seen[i], name);
		strcpy(seen[n_seen++], name);
	}
	assert_true(n_seen > 30);
	assert_non_null(strstr(gr_buf_str(&page), "\ngriddle_attempts_total 1\n"));
	assert_non_null(strstr(gr_buf_str(&page), "\ngriddle_workers 1\n"));
	assert_non_null(strstr(gr_buf_str(&page), "griddle_placement_decision_seconds_bucket{le=\"+Inf\"} 1\n"));
	gr_buf_fini(&page);
}

static void wanted_workers_follow_the_work(void **state)
{
	(void)state;
	assert_int_equal(gr_metrics_desired(0, 0, 0, 8, 4, 60000), 0);
	assert_int_equal(gr_metrics_desired(1, 0, 1, 8, 4, 60000), 1);          /* work is never nothing */
	assert_int_equal(gr_metrics_desired(0, 0, 5, 8, 4, 60000), 1);          /* also when its length is not known */
	assert_int_equal(gr_metrics_desired(600000, 0, 1000, 8, 4, 60000), 5);  /* 600 s on 2 slots a worker, in 60 s */
	assert_int_equal(gr_metrics_desired(600000, 0, 6, 8, 4, 60000), 3);     /* never more slots than tasks */
	assert_int_equal(gr_metrics_desired(0, 120, 120, 0, 0, 60000), 2);      /* nobody is there yet */
	assert_int_equal(gr_metrics_desired(UINT64_MAX / 4, 0, UINT64_MAX / 4, 1, 1, 1000), UINT32_MAX);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wanted_workers_follow_the_work),
		T(a_task_goes_to_a_worker_behind_its_log_and_the_result_comes_back),
		T(the_log_travels_once_a_worker),
		T(records_a_worker_says_it_lacks_are_sent_again),
		T(a_worker_that_kept_the_log_is_sent_what_came_since),
		T(a_file_two_workers_need_is_fetched_once),
		T(a_file_damaged_in_the_cache_is_fetched_anew),
		T(a_file_the_cache_cannot_take_is_passed_on),
		T(a_file_the_log_does_not_name_is_missing),
		T(a_file_with_other_content_is_missing_and_not_kept),
		T(what_the_client_has_no_more_is_missing),
		T(a_piece_that_does_not_fit_drops_the_client),
		T(a_compressed_bomb_drops_the_client),
		T(what_a_tier_cannot_do_goes_to_another_when_there_is_one),
		T(a_lost_workers_task_runs_elsewhere),
		T(the_late_result_of_a_worker_given_up_wins_and_the_other_attempt_is_cancelled),
		T(a_result_of_a_worker_that_was_not_asked_is_fenced),
		T(an_output_nobody_asked_for_drops_the_worker),
		T(a_task_that_fails_everywhere_comes_back_as_retry),
		T(a_task_its_only_worker_cannot_do_comes_back_at_once),
		T(no_worker_with_the_toolchain_is_a_refusal_with_a_reason),
		T(after_the_start_a_task_waits_for_its_worker),
		T(a_refusal_is_passed_on_and_not_tried_elsewhere),
		T(what_the_client_cancels_stops_and_is_confirmed),
		T(a_client_that_goes_has_its_tasks_stopped_and_its_session_kept),
		T(an_unconfirmed_result_is_there_after_a_reconnect),
		T(a_session_nobody_comes_back_for_is_closed_everywhere),
		T(a_log_that_contradicts_itself_ends_the_session_not_the_client),
		T(a_task_that_names_what_is_not_in_the_log_drops_its_client),
		T(a_file_as_folder_drops_the_client),
		T(a_relative_folder_drops_the_client),
		T(a_relative_output_drops_the_client),
		T(an_output_that_climbs_drops_the_client),
		T(an_attempt_number_from_a_client_drops_it),
		T(a_string_as_input_drops_the_client),
		T(a_gap_in_the_log_drops_the_client),
		T(a_file_record_without_its_path_drops_the_client),
		T(more_tasks_than_twice_the_credits_drop_the_client_and_nobody_else),
		T(a_log_that_grows_without_end_drops_the_client),
		T(more_sessions_than_allowed_drop_the_client),
		T(a_draining_worker_gets_nothing_new_and_its_returns_do_not_count),
		T(a_second_connection_of_a_name_takes_the_place_of_the_first),
		T(a_hello_with_nonsense_is_refused_with_the_reason),
		T(a_worker_that_fails_fast_is_left_alone_for_a_while),
		T(tasks_whose_only_worker_is_quarantined_go_home),
		T(a_worker_told_of_more_slots_gets_more),
		T(a_file_two_clients_have_comes_from_the_one_that_stays),
		T(a_file_in_pieces_arrives_whole),
		T(fifty_tasks_on_four_workers_each_end_once),
		T(no_words_in_whatever_order_hurt_anybody),
		T(clients_hear_of_workers_that_come),
		T(questions_are_answered), T(a_heavy_load_test_that_nobody_confirmed_is_refused_here),
		T(the_metrics_page_tells_families_once_each_with_help_and_type),
		T(the_cores_of_a_node_that_others_use_are_told_to_placement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
