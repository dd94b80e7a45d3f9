/* worker.c - a worker as a model: worker/run_command.c and command_end.c without the commands
 *
 * Commands start in the order they came when slots are free; what ended is held, and said again on each new connection,
 * until it is acknowledged; what is held outlives the process when its disk does. How long a command takes and how it
 * ends is written in its argv: "sim MEAN_MS FAIL_PERMILLE OOM_PERMILLE SEED SLOTS [fuzzy]", and drawn from task and ordinal. What a
 * fuzzy one prints is another text each time; a comparator knows what two of them come to.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/csim/csim.h"

#define BEGUN_NS (20 * GR_NS_PER_MS)
#define GRACE_NS (8 * GR_NS_PER_S)

static void pump(struct cs_node *n);

static void forget(struct cs_event **e)
{
	if (*e)
		(*e)->fn = NULL;
	*e = NULL;
}

/* ---- jobs ---- */

static struct cs_spec *spec_of(struct cs_node *n, uint64_t job)
{
	GR_LIST_EACH(x, &n->specs, struct cs_spec, link)
		if (x->job == job)
			return x;
	return NULL;
}

static void spec_free(struct cs_spec *x)
{
	gr_list_del(&x->link);
	json_decref(x->json);
	free(x);
}

static void spec_unuse(struct cs_node *n, uint64_t job)
{
	struct cs_spec *x = spec_of(n, job);

	if (!x || !x->is_closed)
		return;
	GR_LIST_EACH(r, &n->runs, struct cs_run, link)
		if (r->job == job && r->state != CS_HELD)
			return;
	spec_free(x);
}

static void take_spec(struct cs_node *n, struct gr_slice body)
{
	struct gr_err err = { 0 };
	struct cs_spec *x;
	uint64_t job;
	json_t *j;

	if (gr_json_decode_max(body, GR_WIRE_MAX_SPEC_BYTES, &j, &err) < 0) {
		cs_fail(n->s, "a SPEC cannot be read: %s", err.text);
		return;
	}
	job = (uint64_t)json_integer_value(json_object_get(j, "job"));
	x = spec_of(n, job);
	if (!x) {
		GR_NEW(x);
		x->job = job;
		gr_list_init(&x->link);
		gr_list_push(&n->specs, &x->link);
	}
	json_decref(x->json);
	x->json = j;
	x->is_closed = false;
}

static int64_t arg(const struct cs_run *r, size_t i)
{
	static const int64_t compile[] = { 0, 150, 50, 10, 7, 1 };
	const struct cs_spec *x = r->is_compile ? NULL : spec_of(r->n, r->job);
	const json_t *st = x ? json_array_get(json_object_get(x->json, "stages"), r->stage) : NULL;
	const char *text = json_string_value(json_array_get(json_object_get(st, "argv"), i));

	return r->is_compile ? compile[i] : text ? strtoll(text, NULL, 10) : 0;
}

static uint32_t slots_of(const struct cs_run *r)
{
	const json_t *st = json_array_get(json_object_get(spec_of(r->n, r->job)->json, "stages"), r->stage);
	const char *text = json_string_value(json_array_get(json_object_get(st, "argv"), 5));
	uint32_t n = text ? (uint32_t)strtoul(text, NULL, 10) : 1;

	return n < 1 ? 1 : n > r->n->slots ? r->n->slots : n;
}

/* ---- ends ---- */

static void know(struct cs_node *n, const struct cs_run *r, const struct gr_ended_msg *m)
{
	struct cs_truth *t;

	GR_NEW(t);
	t->key.job = r->job;
	t->key.task = r->task;
	t->key.attempt = r->attempt;
	t->worker = n->index;
	t->outcome = m->outcome;
	t->exit_code = m->exit_code;
	t->is_lie = n->is_liar && m->outcome == GR_OUTCOME_DONE;
	free(gr_map_put(&n->s->truth, &t->key, sizeof(t->key), t));
	cs_hash(n->s, r->job ^ r->task << 32 ^ (uint64_t)r->attempt << 16 ^ m->outcome);
}

static bool is_fuzzy(const struct cs_run *r)
{
	const struct cs_spec *x = r->is_compile ? NULL : spec_of(r->n, r->job);
	const json_t *st = x ? json_array_get(json_object_get(x->json, "stages"), r->stage) : NULL;

	return json_array_size(json_object_get(st, "argv")) > 6;
}

static void know_text(struct cs *s, struct gr_slice text, uint64_t value)
{
	struct cs_text *x;

	GR_NEW(x);
	gr_sha256_of(text.p, text.n, &x->key);
	x->value = value;
	free(gr_map_put(&s->texts, &x->key, sizeof(x->key), x));
}

static void send_held(struct cs_run *r)
{
	struct gr_buf copy = { 0 };

	gr_buf_add(&copy, r->frame.p, r->frame.n);
	r->is_sent = cs_node_send(r->n, &copy) >= 0;
}

static void encode_result(struct cs_run *r, const struct gr_ended_msg *e)
{
	struct gr_result_msg *m;

	GR_NEW(m);
	m->session = e->job;
	m->task = e->task;
	m->attempt = e->attempt;
	m->outcome = e->outcome;
	m->exit_code = e->exit_code;
	m->term_signal = e->outcome == GR_OUTCOME_DONE ? 0 : e->term_signal;
	m->cpu_us = e->cpu_us;
	m->wall_us = e->wall_us;
	m->reason = e->reason;
	gr_result_encode(&r->frame, m);
	free(m);
}

static void hold(struct cs_run *r, enum gr_outcome outcome, int exit_code, int term_signal, uint32_t flags, const char *why)
{
	struct cs_node *n = r->n;
	uint64_t text[3] = { 0, r->attempt, n->index };
	struct gr_ended_msg m = {
		.job = r->job, .task = r->task, .attempt = r->attempt, .outcome = (uint8_t)outcome, .exit_code = exit_code, .term_signal = term_signal,
		.flags = flags, .cpu_us = 1000, .wall_us = 2000, .max_rss_bytes = 1 << 20, .reason = gr_slice_str(why), .out.has_data = true,
		.err.has_data = true,
	};

	if (outcome == GR_OUTCOME_DONE && !r->is_check) {
		text[0] = gr_hash64(&r->task, sizeof(r->task), (uint64_t)arg(r, 4) + (n->is_liar ? n->index + 1 : 0));
		m.out.data = gr_slice(text, is_fuzzy(r) ? sizeof(text) : sizeof(text[0]));
		m.out.size = m.out.data.n;
		if (is_fuzzy(r))
			know_text(n->s, m.out.data, text[0]);
	}
	if (r->state == CS_RUNNING)
		n->used -= r->n_slots;
	forget(&r->ends);
	forget(&r->begun);
	r->state = CS_HELD;
	if (r->is_compile)
		encode_result(r, &m);
	else
		gr_ended_encode(&r->frame, &m);
	know(n, r, &m);
	spec_unuse(n, r->job);
	send_held(r);
}

static void run_free(struct cs_run *r)
{
	if (r->state == CS_RUNNING)
		r->n->used -= r->n_slots;
	forget(&r->ends);
	forget(&r->begun);
	gr_list_del(&r->link);
	gr_buf_fini(&r->frame);
	free(r);
}

static void over(void *ctx)
{
	struct cs_run *r = ctx;
	struct cs_node *n = r->n;
	uint64_t key[2] = { r->task, r->ordinal }, h = gr_hash64(key, sizeof(key), (uint64_t)arg(r, 4) + 99);

	r->ends = NULL;
	if (r->is_cancelled)
		hold(r, GR_OUTCOME_CANCELLED, 0, 9, 0, "cancelled");
	else if (r->is_handed_back)
		hold(r, GR_OUTCOME_RETRY, 0, 15, GR_ENDED_F_DRAINED, "the worker drains");
	else if (r->is_yielding)
		hold(r, GR_OUTCOME_CANCELLED, 0, 15, 0, "asked to yield");
	else if (h % 1000 < (uint64_t)arg(r, 3))
		hold(r, GR_OUTCOME_OOM, 0, 9, 0, "killed at its memory limit");
	else if (r->is_check && h / 1000 % 1000 < (uint64_t)arg(r, 2))
		hold(r, GR_OUTCOME_DONE, h >> 40 & 1 ? 2 : 0, h >> 40 & 1 ? 0 : 11, 0, "");
	else if (r->is_check)
		hold(r, GR_OUTCOME_DONE, r->side[0] != r->side[1], 0, 0, "");
	else
		hold(r, GR_OUTCOME_DONE, h / 1000 % 1000 < (uint64_t)arg(r, 2) ? 1 : 0, 0, 0, "");
	pump(n);
}

/* ---- beginnings ---- */

static void say_begun(void *ctx)
{
	struct cs_run *r = ctx;
	struct gr_buf b = { 0 };

	r->begun = NULL;
	if (r->state != CS_RUNNING || r->is_said_begun || r->is_compile)
		return;
	gr_taskref_encode(&b, GR_MSG_STARTED, r->job, r->task, r->attempt);
	r->is_said_begun = cs_node_send(r->n, &b) >= 0;
}

static void start(struct cs_run *r)
{
	struct cs *s = r->n->s;
	uint64_t mean = (uint64_t)arg(r, 1) * GR_NS_PER_MS;

	r->state = CS_RUNNING;
	r->n->used += r->n_slots;
	s->st.runs++;
	if (s->p.is_null) {
		over(r);
		return;
	}
	r->ends = cs_in(s, cs_around(s, mean), r->n->index, over, r);
	r->begun = cs_in(s, BEGUN_NS, r->n->index, say_begun, r);
}

static struct cs_run *first_queued(struct cs_node *n)
{
	GR_LIST_EACH(r, &n->runs, struct cs_run, link)
		if (r->state == CS_QUEUED)
			return r;
	return NULL;
}

static void pump(struct cs_node *n)
{
	struct cs_run *r;

	while (!n->is_draining && (r = first_queued(n)) && (!n->used || n->used + r->n_slots <= n->slots))
		start(r);
}

static struct cs_run *find(struct cs_node *n, uint64_t job, uint64_t task, uint32_t attempt)
{
	GR_LIST_EACH(r, &n->runs, struct cs_run, link)
		if (r->task == task && r->job == job && r->attempt == attempt)
			return r;
	return NULL;
}

/* What it waited for is in the store, not only in somebody's memory. */
static void check_inputs(struct cs_node *n, const struct cs_run *r)
{
	struct gr_bj *j = n->s->c ? gr_bj_find(n->s->c->batch, r->job) : NULL;
	const struct gr_stage *st;
	int64_t state;

	if (!j || !j->spec || r->stage >= j->spec->n_stages)
		return;
	st = &j->spec->stages[r->stage];
	for (uint32_t i = 0; i < st->n_after; i++) {
		const struct gr_stage *from = &j->spec->stages[st->after[i].stage];
		uint32_t one = from->first + (st->after[i].is_each ? r->index : (uint32_t)cs_below(n->s, from->count));

		if (!gr_store_outcome_attempt(j->batch->store, (int64_t)r->job, one, &state) || state != GR_B_DONE)
			cs_fail(n->s, "job %llu task %llu begins before task %u, which it waits for, is stored as done", (unsigned long long)r->job,
				(unsigned long long)r->task, one);
	}
}

/* What it is to compare is whole, there to be had, and none of it is from here. */
static void take_sides(struct cs_node *n, struct cs_run *r, const struct gr_command_msg *m)
{
	static const char *const wanted[] = { "a", "a.stdout", "b", "b.stdout" };
	struct gr_bj *j = n->s->c ? gr_bj_find(n->s->c->batch, r->job) : NULL;
	struct gr_btask *t = j && j->spec ? gr_bjob_find(&j->b, (uint32_t)r->task) : NULL;
	struct gr_blive *l = t ? gr_btask_live(t, r->attempt) : NULL;
	struct gr_list_it it = gr_list_begin(&m->inputs);
	struct gr_placed_file f;
	uint32_t i = 0;

	r->is_check = true;
	n->s->st.checks++;
	for (; gr_placed_next(&it, &f, false); i++) {
		const struct cs_text *x = f.kind == GR_PLACED_FILE ? gr_map_get(&n->s->texts, &f.item.digest, sizeof(f.item.digest)) : NULL;

		if (i >= GR_LEN(wanted) || !gr_slice_is(f.path, wanted[i]) || (f.kind == GR_PLACED_FILE) != (i & 1))
			cs_fail(n->s, "job %llu task %llu: a comparison has another input than %s", (unsigned long long)r->job, (unsigned long long)r->task,
				i < GR_LEN(wanted) ? wanted[i] : "those of two results");
		else if (i & 1 && (!x || f.item.size != 3 * sizeof(uint64_t) || (n->s->c && !gr_cas_has(n->s->c->batch->cas, &f.item.digest))))
			cs_fail(n->s, "job %llu task %llu: %s is nothing that a copy printed", (unsigned long long)r->job, (unsigned long long)r->task, wanted[i]);
		else if (i & 1)
			r->side[i / 2] = x->value;
	}
	if (i != GR_LEN(wanted))
		cs_fail(n->s, "job %llu task %llu: a comparison has %u inputs", (unsigned long long)r->job, (unsigned long long)r->task, i);
	for (i = 0; l && l->of && i < t->n_results; i++)
		if ((t->results[i].number == l->of || t->results[i].number == l->against) && t->results[i].node == gr_hash64(n->host, strlen(n->host), 7))
			cs_fail(n->s, "job %llu task %llu: %s is to compare its own result", (unsigned long long)r->job, (unsigned long long)r->task, n->name);
}

static void take_command(struct cs_node *n, struct gr_slice body)
{
	struct gr_command_msg m;
	struct cs_run *r;

	if (gr_command_decode(body, &m) < 0) {
		cs_fail(n->s, "a COMMAND cannot be read");
		return;
	}
	r = find(n, m.job, m.task, m.attempt);
	if (r) {
		cs_fail(n->s, "%s gets attempt %llu/%llu/%u twice", n->name, (unsigned long long)m.job, (unsigned long long)m.task, m.attempt);
		return;
	}
	GR_NEW(r);
	r->n = n;
	r->job = m.job;
	r->task = m.task;
	r->attempt = m.attempt;
	r->stage = m.stage;
	r->index = m.index;
	r->ordinal = m.ordinal;
	gr_list_init(&r->link);
	gr_list_push(&n->runs, &r->link);
	if (!spec_of(n, m.job)) {
		cs_fail(n->s, "%s is sent job %llu task %llu and does not know the job", n->name, (unsigned long long)m.job, (unsigned long long)m.task);
		r->n_slots = 1;
		hold(r, GR_OUTCOME_RETRY, 0, 0, GR_ENDED_F_NOT_STARTED, "the worker does not know the job");
		return;
	}
	r->n_slots = slots_of(r);
	if (m.inputs.n)
		take_sides(n, r, &m);
	if (!n->s->p.is_null)
		check_inputs(n, r);
	if (n->is_draining)
		hold(r, GR_OUTCOME_RETRY, 0, 0, GR_ENDED_F_NOT_STARTED | GR_ENDED_F_DRAINED, "draining");
	else
		pump(n);
}

/* A task of a session. */
static void take_task(struct cs_node *n, struct gr_slice body)
{
	struct gr_task_msg *m;
	struct cs_run *r;

	GR_NEW(m);
	if (gr_task_decode(body, m) < 0) {
		cs_fail(n->s, "a TASK cannot be read");
		free(m);
		return;
	}
	r = find(n, m->session, m->task, m->attempt);
	if (r) {                          /* of a coordinator that is no more: the answer is the same */
		if (n->s->n_lives < 2)
			cs_fail(n->s, "%s gets attempt %u of session task %llu twice", n->name, m->attempt, (unsigned long long)m->task);
		if (r->state == CS_HELD)
			send_held(r);
		free(m);
		return;
	}
	if (!cs_trees_have(n, m->session, m->n_records))
		cs_fail(n->s, "%s gets session task %llu before its records", n->name, (unsigned long long)m->task);
	GR_NEW(r);
	r->n = n;
	r->is_compile = true;
	r->job = m->session;
	r->task = m->task;
	r->attempt = r->ordinal = m->attempt;
	r->n_slots = 1;
	gr_list_init(&r->link);
	gr_list_push(&n->runs, &r->link);
	if (n->is_draining)
		hold(r, GR_OUTCOME_RETRY, 0, 0, 0, "draining");
	else
		pump(n);
	free(m);
}

static void take_cancel(struct cs_node *n, struct gr_slice body)
{
	uint64_t session, task;
	uint32_t attempt;

	if (gr_taskref_decode(body, &session, &task, &attempt) < 0) {
		cs_fail(n->s, "a CANCEL cannot be read");
		return;
	}
	GR_LIST_EACH_SAFE(r, &n->runs, struct cs_run, link)
		if (r->is_compile && r->state != CS_HELD && r->job == session && (!task || r->task == task) && (!attempt || r->attempt == attempt))
			hold(r, GR_OUTCOME_CANCELLED, 0, 0, 0, "cancelled");
	pump(n);
}

static void stop_one(struct cs_run *r, uint8_t how)
{
	struct cs *s = r->n->s;

	if (r->state == CS_HELD)
		return;
	if (r->state == CS_QUEUED) {
		hold(r, GR_OUTCOME_CANCELLED, 0, 0, GR_ENDED_F_NOT_STARTED, how == GR_STOP_RETRACT ? "given back" : "cancelled");
	} else if (how == GR_STOP_RETRACT) {
		r->is_said_begun = false;
		forget(&r->begun);
		say_begun(r);
	} else {
		if (how == GR_STOP_CANCEL)
			r->is_cancelled = true;
		else if (cs_chance(s, 500))
			r->is_yielding = true;
		else
			return;        /* it ends well within its grace */
		forget(&r->ends);
		r->ends = cs_in(s, cs_around(s, 2 * GR_NS_PER_MS), r->n->index, over, r);
	}
}

static void take_stop(struct cs_node *n, struct gr_slice body)
{
	struct gr_stop_msg m;

	if (gr_stop_decode(body, &m) < 0) {
		cs_fail(n->s, "a STOP cannot be read");
		return;
	}
	GR_LIST_EACH_SAFE(r, &n->runs, struct cs_run, link)
		if (r->job == m.job && (m.task == GR_WIRE_ALL_TASKS || r->task == m.task) && (!m.attempt || r->attempt == m.attempt))
			stop_one(r, m.how);
	pump(n);
}

/* ---- draining ---- */

static void come_back(void *ctx)
{
	struct cs_node *n = ctx;

	n->is_draining = false;
	cs_node_start(n);
}

static void leave_when_drained(struct cs_node *n)
{
	struct gr_buf frame = { 0 };
	json_t *j;

	if (!n->is_draining || !gr_list_is_empty(&n->runs) || !n->is_up)
		return;
	j = json_pack("{s:s, s:s}", "code", "GR_EGONE", "why", "drained");
	gr_json_encode(&frame, GR_MSG_BYE, j);
	json_decref(j);
	cs_node_send(n, &frame);
	forget(&n->drained);
	cs_trees_free(n);
	cs_node_die(n);
	while (!gr_list_is_empty(&n->specs))
		spec_free(GR_CONTAINER(n->specs.next, struct cs_spec, link));
	cs_in(n->s, cs_around(n->s, GR_NS_PER_S), CS_WORLD, come_back, n);
}

static void grace_over(void *ctx)
{
	struct cs_node *n = ctx;

	n->drained = NULL;
	GR_LIST_EACH_SAFE(r, &n->runs, struct cs_run, link)
		if (r->state == CS_RUNNING) {
			r->is_handed_back = true;
			forget(&r->ends);
			over(r);
		}
}

static void send_drain(struct cs_node *n)
{
	struct gr_buf frame = { 0 };

	gr_drain_encode(&frame, (uint32_t)(GRACE_NS / GR_NS_PER_MS));
	cs_node_send(n, &frame);
}

void cs_worker_drain(struct cs_node *n)
{
	if (n->is_draining || !n->is_alive)
		return;
	n->s->st.drains++;
	cs_say(n->s, "%s drains", n->name);
	n->is_draining = true;
	n->drained = cs_in(n->s, GRACE_NS, n->index, grace_over, n);
	send_drain(n);
	GR_LIST_EACH_SAFE(r, &n->runs, struct cs_run, link)
		if (r->state == CS_QUEUED)
			hold(r, GR_OUTCOME_RETRY, 0, 0, GR_ENDED_F_NOT_STARTED | GR_ENDED_F_DRAINED, "draining");
	leave_when_drained(n);
}

void cs_worker_crash(struct cs_node *n, bool with_disk)
{
	if (!n->is_alive)
		return;
	n->s->st.worker_crashes++;
	cs_say(n->s, "%s dies%s", n->name, with_disk ? ", and its disk" : "");
	GR_LIST_EACH_SAFE(r, &n->runs, struct cs_run, link)
		if (r->state != CS_HELD || with_disk || r->is_compile)
			run_free(r);
	while (!gr_list_is_empty(&n->specs))
		spec_free(GR_CONTAINER(n->specs.next, struct cs_spec, link));
	forget(&n->drained);
	cs_trees_free(n);
	cs_node_die(n);
	n->used = 0;
	cs_in(n->s, cs_around(n->s, 2 * GR_NS_PER_S), CS_WORLD, come_back, n);
}

/* ---- the connection ---- */

const char *cs_kind(const struct cs *s, uint32_t worker)
{
	static const char *const kinds[] = { "", "a", "b" };

	return s->p.has_same ? kinds[(worker % s->p.n_hosts % s->p.n_kinds + s->p.first_kind) % GR_LEN(kinds)] : "";
}

void cs_worker_hello(struct cs_node *n, json_t *o)
{
	json_t *list = json_array(), *labels = json_pack("{s:s}", "arch", "x86_64");

	GR_LIST_EACH(r, &n->runs, struct cs_run, link)
		if (r->state != CS_HELD && !r->is_compile)
			json_array_append_new(list, json_pack("[I, I, I, i]", (json_int_t)r->job, (json_int_t)r->task, (json_int_t)r->attempt,
							      r->state == CS_RUNNING));
	json_object_set_new(o, "attempts", list);
	cs_trees_hello(n, o);
	json_object_set_new(o, "slots", json_integer(n->slots));
	json_object_set_new(o, "prefetch", json_integer(n->prefetch));
	json_object_set_new(o, "tier", json_string("namespace"));
	json_object_set_new(o, "mem_bytes", json_integer(8ll << 30));
	json_object_set_new(o, "disk_bytes", json_integer(64ll << 30));
	json_object_set_new(o, "commands", json_true());
	json_object_set_new(o, "draining", json_boolean(n->is_draining));
	if (*cs_kind(n->s, n->index))
		json_object_set_new(labels, "cpu", json_string(cs_kind(n->s, n->index)));
	json_object_set_new(o, "labels", labels);
	json_object_set_new(o, "node", json_string(n->host));
}

void cs_worker_up(struct cs_node *n)
{
	if (n->is_draining)
		send_drain(n);
	GR_LIST_EACH(r, &n->runs, struct cs_run, link) {
		if (r->state == CS_RUNNING)
			r->is_said_begun = true;
		if (r->state != CS_HELD)
			continue;
		n->s->st.results_again++;
		send_held(r);
	}
	leave_when_drained(n);
}

void cs_worker_ping(struct cs_node *n, struct gr_ping *p)
{
	uint64_t n_queued = 0;

	GR_LIST_EACH(r, &n->runs, struct cs_run, link)
		n_queued += r->state == CS_QUEUED;
	p->n_signals = 2;
	p->signals[0].key = GR_SIGNAL_RUNNING;
	p->signals[0].value = n->used;
	p->signals[1].key = GR_SIGNAL_QUEUED;
	p->signals[1].value = n_queued;
}

void cs_worker_message(struct cs_node *n, int type, struct gr_slice body)
{
	uint64_t job, task;
	uint32_t attempt;
	struct cs_run *r;
	struct cs_spec *x;

	if (type == GR_MSG_TASK) {
		take_task(n, body);
	} else if (type == GR_MSG_CANCEL) {
		take_cancel(n, body);
	} else if (type == GR_MSG_SESSION_OPEN) {
		cs_trees_open(n, body);
	} else if (type == GR_MSG_LOG) {
		cs_trees_log(n, body);
	} else if (type == GR_MSG_COMMAND) {
		take_command(n, body);
	} else if (type == GR_MSG_SPEC) {
		take_spec(n, body);
	} else if (type == GR_MSG_STOP) {
		take_stop(n, body);
	} else if (type == GR_MSG_RESULT_ACK) {
		if (gr_taskref_decode(body, &job, &task, &attempt) < 0) {
			cs_fail(n->s, "a RESULT_ACK cannot be read");
			return;
		}
		r = find(n, job, task, attempt);
		if (r && r->state != CS_HELD && !r->is_compile)       /* of an earlier life's attempt of the same number */
			cs_fail(n->s, "%s: attempt %llu/%llu/%u runs, and is acknowledged", n->name, (unsigned long long)job, (unsigned long long)task, attempt);
		if (r && r->state == CS_HELD)
			run_free(r);
		leave_when_drained(n);
	} else if (type == GR_MSG_SESSION_CLOSE) {
		uint32_t none;

		if (gr_session_decode(body, &job, &none) < 0) {
			cs_fail(n->s, "a SESSION_CLOSE cannot be read");
			return;
		}
		x = spec_of(n, job);
		if (job >= GR_BATCH_FIRST_SESSION)
			cs_trees_close(n, job);
		else if (x) {
			x->is_closed = true;
			spec_unuse(n, job);
		}
	}
}

void cs_worker_free(struct cs_node *n)
{
	while (!gr_list_is_empty(&n->runs))
		run_free(GR_CONTAINER(n->runs.next, struct cs_run, link));
	while (!gr_list_is_empty(&n->specs))
		spec_free(GR_CONTAINER(n->specs.next, struct cs_spec, link));
	cs_trees_free(n);
}
