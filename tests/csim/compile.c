/* compile.c - compiles: a client's session with its log and tasks, and a worker's tree of it, as models
 *
 * The client sends its log and its tasks, keeps each until it has a result, and after a reconnect opens the session anew
 * and sends what has none; it confirms each result. The worker needs a task's records before it may run it. A session is
 * not durable: a coordinator that begins a new life has none, and is told again.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/csim/csim.h"

#define N_STRS 3u                         /* records 0..2: argv[0], the folder, the output */

struct cs_session {
	uint64_t id;
	uint32_t n_tasks, n_sent, n_over;
	uint8_t *outcome;                 /* by task, from 1; 0 none yet */
	bool is_begun;
	struct cs_event *due;
};

void cs_tool(struct gr_digest *d) { memset(d->b, 'g', sizeof(d->b)); }

/* ---- the client ---- */

static void send_log(struct cs_node *n, const struct cs_session *x)
{
	static const char *const words[N_STRS] = { "cc", "/src", "/src/a.o" };
	struct gr_buf bytes = { 0 }, frame = { 0 };
	struct gr_log_msg m = { .session = x->id, .n = N_STRS };

	for (uint32_t i = 0; i < N_STRS; i++) {
		const struct gr_record r = { .tag = GR_RECORD_STR, .str = gr_slice_str(words[i]) };

		gr_record_encode(&bytes, &r);
	}
	m.bytes = gr_buf_slice(&bytes);
	gr_log_encode(&frame, &m);
	gr_buf_fini(&bytes);
	cs_node_send(n, &frame);
}

static void send_task(struct cs_node *n, const struct cs_session *x, uint32_t task)
{
	struct gr_buf argv = { 0 }, none = { 0 }, frame = { 0 };
	const uint32_t words[] = { 0, 2 };
	struct gr_task_msg *m;

	GR_NEW(m);
	m->session = x->id;
	m->task = task;
	m->n_records = N_STRS;
	m->cpu_ms = 200;
	m->cwd = 1;
	cs_tool(&m->toolchain);
	gr_ids_encode(&argv, words, 2, false);
	gr_ids_encode(&none, NULL, 0, true);
	m->argv = (struct gr_ids){ gr_buf_slice(&argv), 2, false };
	m->inputs = (struct gr_ids){ gr_buf_slice(&none), 0, true };
	m->n_outputs = 1;
	m->outputs[0].path = 2;
	gr_task_encode(&frame, m);
	free(m);
	gr_buf_fini(&argv);
	gr_buf_fini(&none);
	cs_node_send(n, &frame);
}

static void open_session(struct cs_node *n, struct cs_session *x)
{
	struct gr_buf frame = { 0 };
	char hex[17];
	json_t *j;

	snprintf(hex, sizeof(hex), "%016" PRIx64, x->id);
	j = json_pack("{s:s}", "session", hex);
	gr_json_encode(&frame, GR_MSG_SESSION_OPEN, j);
	json_decref(j);
	cs_node_send(n, &frame);
	send_log(n, x);
	for (uint32_t t = 1; t <= x->n_sent; t++)
		if (!x->outcome[t])
			send_task(n, x, t);
}

/* A few more tasks, now and then. */
static void more(void *ctx)
{
	struct cs_node *n = ctx;
	struct cs_session *x = n->session;
	uint32_t k = 1 + (uint32_t)cs_below(n->s, 8);

	x->due = NULL;
	if (!x->is_begun) {
		x->is_begun = true;
		if (n->is_up)
			open_session(n, x);
	}
	for (; k && x->n_sent < x->n_tasks; k--)
		if (x->n_sent++, n->is_up)
			send_task(n, x, x->n_sent);
	if (x->n_sent < x->n_tasks)
		x->due = cs_in(n->s, cs_around(n->s, 150 * GR_NS_PER_MS), n->index, more, n);
}

void cs_session_add(struct cs_node *n, uint32_t n_tasks)
{
	struct cs_session *x;

	GR_NEW(x);
	x->id = GR_BATCH_FIRST_SESSION + 1 + n->index;
	x->n_tasks = n_tasks;
	x->outcome = gr_xalloc(n_tasks + 1);
	n->session = x;
	x->due = cs_in(n->s, cs_around(n->s, n->s->p.chaos_ns / 6), n->index, more, n);
}

void cs_session_up(struct cs_node *n)
{
	if (n->session && n->session->is_begun)
		open_session(n, n->session);
}

bool cs_session_is_over(const struct cs_node *n) { return !n->session || n->session->n_over == n->session->n_tasks; }

static void result(struct cs_node *n, struct gr_slice body)
{
	struct cs_session *x = n->session;
	const struct cs_truth *t;
	struct gr_buf frame = { 0 };
	struct gr_result_msg *m;

	GR_NEW(m);
	if (gr_result_decode(body, m) < 0 || !x || m->session != x->id || !m->task || m->task > x->n_sent) {
		cs_fail(n->s, "%s gets a result that it cannot have", n->name);
		free(m);
		return;
	}
	t = cs_truth_of(n->s, m->session, m->task, m->attempt);
	if (m->outcome == GR_OUTCOME_DONE && (!t || t->outcome != GR_OUTCOME_DONE))
		cs_fail(n->s, "session task %llu is done, and no worker knows of attempt %u", (unsigned long long)m->task, m->attempt);
	if (m->outcome == GR_OUTCOME_CANCELLED)
		cs_fail(n->s, "session task %llu is cancelled, and nobody did that", (unsigned long long)m->task);
	if (!x->outcome[m->task]) {
		x->n_over++;
		n->s->st.compiles++;
		n->s->st.compiles_here += m->outcome != GR_OUTCOME_DONE;
		x->outcome[m->task] = m->outcome;
	} else if (x->outcome[m->task] != m->outcome && n->s->st.coord_crashes + n->s->st.coord_ends == 0) {
		cs_fail(n->s, "session task %llu had outcome %s, and has %s now", (unsigned long long)m->task, gr_outcome_name(x->outcome[m->task]),
			gr_outcome_name(m->outcome));
	}
	gr_taskref_encode(&frame, GR_MSG_RESULT_ACK, m->session, m->task, m->attempt);
	cs_node_send(n, &frame);
	free(m);
}

void cs_session_message(struct cs_node *n, int type, struct gr_slice body)
{
	if (type == GR_MSG_RESULT)
		result(n, body);
	else if (type == GR_MSG_SESSION_CLOSE)
		cs_fail(n->s, "%s: its session is closed, and it did nothing wrong", n->name);
}

void cs_session_free(struct cs_node *n)
{
	if (n->session)
		free(n->session->outcome);
	free(n->session);
}

/* ---- the worker ---- */

struct cs_tree {
	struct gr_list link;
	uint64_t session;
	uint32_t n_records;
};

static struct cs_tree *tree_of(struct cs_node *n, uint64_t session)
{
	GR_LIST_EACH(x, &n->trees, struct cs_tree, link)
		if (x->session == session)
			return x;
	return NULL;
}

static struct cs_tree *tree_get(struct cs_node *n, uint64_t session)
{
	struct cs_tree *x = tree_of(n, session);

	if (x)
		return x;
	GR_NEW(x);
	x->session = session;
	gr_list_init(&x->link);
	gr_list_push(&n->trees, &x->link);
	return x;
}

void cs_trees_free(struct cs_node *n)
{
	GR_LIST_EACH_SAFE(x, &n->trees, struct cs_tree, link) {
		gr_list_del(&x->link);
		free(x);
	}
}

void cs_trees_hello(struct cs_node *n, json_t *hello)
{
	json_t *list = json_array();
	struct gr_digest d;
	char hex[GR_DIGEST_HEX];

	GR_LIST_EACH(x, &n->trees, struct cs_tree, link) {
		char id[17];

		snprintf(id, sizeof(id), "%016" PRIx64, x->session);
		json_array_append_new(list, json_pack("{s:s, s:i}", "session", id, "n_records", (int)x->n_records));
	}
	json_object_set_new(hello, "sessions", list);
	cs_tool(&d);
	gr_digest_hex(&d, hex);
	json_object_set_new(hello, "toolchains", json_pack("[{s:s, s:s, s:s}]", "digest", hex, "name", "gcc", "version", "12"));
}

void cs_trees_open(struct cs_node *n, struct gr_slice body)
{
	struct gr_buf frame = { 0 };
	struct gr_err err;
	uint64_t id;
	json_t *j;

	if (gr_json_decode(body, &j, &err) < 0) {
		cs_fail(n->s, "a SESSION_OPEN cannot be read");
		return;
	}
	id = strtoull(json_string_value(json_object_get(j, "session")), NULL, 16);
	json_decref(j);
	gr_session_encode(&frame, GR_MSG_SESSION_OK, id, tree_get(n, id)->n_records);
	cs_node_send(n, &frame);
}

void cs_trees_log(struct cs_node *n, struct gr_slice body)
{
	struct gr_log_msg m;
	struct cs_tree *x;

	if (gr_log_decode(body, &m) < 0) {
		cs_fail(n->s, "a LOG cannot be read");
		return;
	}
	x = tree_get(n, m.session);
	if (m.first > x->n_records)
		cs_fail(n->s, "%s: the log of a session goes on at record %u, and it has %u", n->name, m.first, x->n_records);
	else if (m.first + m.n > x->n_records)
		x->n_records = m.first + m.n;
}

void cs_trees_close(struct cs_node *n, uint64_t session)
{
	struct cs_tree *x = tree_of(n, session);

	if (!x)
		return;
	gr_list_del(&x->link);
	free(x);
}

bool cs_trees_have(struct cs_node *n, uint64_t session, uint32_t n_records)
{
	const struct cs_tree *x = tree_of(n, session);

	return x && x->n_records >= n_records;
}
