/* client.c - a client as a model: submits with a token until it is answered, asks how its jobs are until they are over,
 * and looks again later: what it was told once must stay so */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/csim/csim.h"

#define LOOK_NS (700 * GR_NS_PER_MS)
#define LOOK_AGAIN_NS (9 * GR_NS_PER_S)

enum { Q_SUBMIT, Q_SHOW, Q_CANCEL, Q_PAUSE, Q_RESUME, Q_RETRY };

static void look(void *ctx);

static void look_in(struct cs_job *j, uint64_t ns)
{
	if (j->due)
		j->due->fn = NULL;
	j->due = cs_in(j->n->s, cs_around(j->n->s, ns), j->n->index, look, j);
}

static void ask(struct cs_job *j, int what)
{
	static const char *const ops[] = { "job.submit", "job.show", "job.cancel", "job.pause", "job.resume", "job.retry" };
	json_t *o = json_pack("{s:s, s:i}", "op", ops[what], "id", (int)(j->index * 8 + (uint32_t)what));
	struct gr_buf frame = { 0 };

	if (what == Q_SUBMIT) {
		json_object_set_new(o, "token", json_string(j->token));
		json_object_set(o, "spec", j->spec);
		j->n->s->st.resubmits += j->is_asking;
		j->is_asking = true;
	} else {
		json_object_set_new(o, "job", json_integer((json_int_t)j->id));
	}
	gr_json_encode(&frame, GR_MSG_CTL_REQ, o);
	json_decref(o);
	cs_node_send(j->n, &frame);
}

static void look(void *ctx)
{
	struct cs_job *j = ctx;

	j->due = NULL;
	if (j->n->is_up)
		ask(j, j->state == CS_J_NEW ? Q_SUBMIT : Q_SHOW);
	look_in(j, j->state == CS_J_OVER ? LOOK_AGAIN_NS : j->state == CS_J_NEW ? 3 * LOOK_NS : LOOK_NS);
}

void cs_client_add(struct cs_node *n, json_t *spec)
{
	struct cs_job *j;

	GR_NEW(j);
	j->n = n;
	j->index = n->n_jobs;
	j->spec = spec;
	snprintf(j->token, sizeof(j->token), "%s-%u", n->name, j->index);
	n->jobs = gr_xrealloc(n->jobs, (n->n_jobs + 1) * sizeof(struct cs_job *));
	n->jobs[n->n_jobs++] = j;
	n->s->n_jobs_open++;
	n->s->st.jobs++;
	look_in(j, n->s->p.chaos_ns / 4);
}

#define SUBSCRIBED (-1)

static void subscribe(struct cs_node *n)
{
	json_t *o = json_pack("{s:s, s:i, s:b}", "op", "events.subscribe", "id", SUBSCRIBED, "tasks", 1);
	struct gr_buf frame = { 0 };

	gr_json_encode(&frame, GR_MSG_CTL_REQ, o);
	json_decref(o);
	cs_node_send(n, &frame);
}

/* What a task came to is told as its own; that one of its copies ended, or was compared, is no news of it. */
static void event(struct cs_node *n, const json_t *e)
{
	const char *type = json_string_value(json_object_get(e, "type")), *cause = json_string_value(json_object_get(e, "cause"));
	bool is_good = cause && (!strcmp(cause, "done") || !strcmp(cause, "equal") || !strcmp(cause, "different"));

	if (!strcmp(type, "task.retry") && is_good)
		cs_fail(n->s, "an attempt that ended well (%s) is told as a retry", cause);
	if (!strcmp(type, "task.ended") && !strcmp(json_string_value(json_object_get(e, "state")), "done") &&
	    (strcmp(cause, "done") || json_integer_value(json_object_get(e, "exit_code")) || json_integer_value(json_object_get(e, "signal"))))
		cs_fail(n->s, "a task that is done is told with cause %s, exit code %lld", cause,
			(long long)json_integer_value(json_object_get(e, "exit_code")));
	if (!strcmp(type, "task.ended") && !strcmp(json_string_value(json_object_get(e, "state")), "failed") && is_good)
		cs_fail(n->s, "a task that failed is told with cause %s", cause);
}

void cs_client_up(struct cs_node *n)
{
	cs_session_up(n);
	if (n->s->p.has_checks && n->index % 2)
		subscribe(n);
	/* those that were not answered are asked for at once */
	for (uint32_t i = 0; i < n->n_jobs; i++)
		if (n->jobs[i]->state == CS_J_NEW && n->jobs[i]->is_asking)
			ask(n->jobs[i], Q_SUBMIT);
}

void cs_client_down(struct cs_node *n) { (void)n; }

void cs_client_meddle(struct cs_node *n)
{
	struct cs *s = n->s;
	struct cs_job *j = n->n_jobs ? n->jobs[cs_below(s, n->n_jobs)] : NULL;
	uint64_t what = cs_below(s, 10);

	if (!j || j->state == CS_J_NEW || !n->is_up)
		return;
	if (j->state == CS_J_OVER) {
		if (what < 4 && !j->was_retried && strcmp(j->last, "done")) {
			cs_say(s, "%s: retries job %llu", n->name, (unsigned long long)j->id);
			j->was_retried = true;
			j->state = CS_J_TAKEN;
			s->n_jobs_open++;
			s->st.retries++;
			ask(j, Q_RETRY);
		}
	} else if (what < 2) {
		cs_say(s, "%s: cancels job %llu", n->name, (unsigned long long)j->id);
		j->was_cancelled = true;
		s->st.cancels++;
		ask(j, Q_CANCEL);
	} else if (what < 5) {
		s->st.pauses++;
		ask(j, Q_PAUSE);
	} else {
		ask(j, Q_RESUME);
	}
}

/* ---- answers ---- */

static void submitted(struct cs_job *j, const json_t *rep)
{
	uint64_t id = (uint64_t)json_integer_value(json_object_get(rep, "job"));
	struct cs *s = j->n->s;

	if (j->id && j->id != id)
		cs_fail(s, "token %s was job %llu and is %llu now", j->token, (unsigned long long)j->id, (unsigned long long)id);
	j->is_asking = false;
	if (j->state != CS_J_NEW)
		return;
	j->id = id;
	j->n_tasks = (uint32_t)json_integer_value(json_object_get(rep, "n_tasks"));
	s->st.tasks += j->n_tasks;
	j->state = CS_J_TAKEN;
	if (gr_map_put(&s->jobs, &j->id, sizeof(j->id), j))
		cs_fail(s, "job number %llu was given twice", (unsigned long long)id);
	cs_say(s, "%s: job %llu of %u tasks is taken", j->n->name, (unsigned long long)id, j->n_tasks);
	look_in(j, LOOK_NS);
}

static void shown(struct cs_job *j, const json_t *rep)
{
	const char *state = json_string_value(json_object_get(rep, "state")), *key;
	bool is_over = !strcmp(state, "done") || !strcmp(state, "failed") || !strcmp(state, "cancelled");
	struct cs *s = j->n->s;
	json_int_t sum = 0;
	json_t *v;

	json_object_foreach(json_object_get(rep, "counts"), key, v)
		sum += json_integer_value(v);
	if (sum != j->n_tasks)
		cs_fail(s, "job %llu has %u tasks, its counts add up to %lld", (unsigned long long)j->id, j->n_tasks, (long long)sum);
	if (j->state == CS_J_OVER && strcmp(state, j->last) && !j->was_retried)
		cs_fail(s, "job %llu was told to be %s, and is %s now", (unsigned long long)j->id, j->last, state);
	if (!strcmp(state, "cancelled") && !j->was_cancelled)
		cs_fail(s, "job %llu is cancelled, and nobody did that", (unsigned long long)j->id);
	if (!strcmp(state, "paused") && s->is_calm)
		ask(j, Q_RESUME);
	if (!is_over || j->state == CS_J_OVER)
		return;
	cs_say(s, "%s: job %llu is %s", j->n->name, (unsigned long long)j->id, state);
	snprintf(j->last, sizeof(j->last), "%s", state);
	j->state = CS_J_OVER;
	s->n_jobs_open--;
	look_in(j, LOOK_AGAIN_NS);
}

void cs_client_message(struct cs_node *n, int type, struct gr_slice body)
{
	struct gr_err err = { 0 };
	const char *error, *code;
	struct cs_job *j;
	int64_t id;
	json_t *rep;

	if (type == GR_MSG_EVENT) {
		size_t i;

		if (gr_json_decode(body, &rep, &err) < 0) {
			cs_fail(n->s, "an event cannot be read: %s", err.text);
			return;
		}
		for (i = 0; i < json_array_size(json_object_get(rep, "events")); i++)
			event(n, json_array_get(json_object_get(rep, "events"), i));
		json_decref(rep);
		return;
	}
	if (type != GR_MSG_CTL_REP) {
		cs_session_message(n, type, body);
		return;
	}
	if (gr_json_decode(body, &rep, &err) < 0) {
		cs_fail(n->s, "an answer cannot be read: %s", err.text);
		return;
	}
	id = json_integer_value(json_object_get(rep, "id"));
	if (id == SUBSCRIBED) {
		json_decref(rep);
		return;
	}
	error = json_string_value(json_object_get(rep, "error"));
	code = json_string_value(json_object_get(rep, "code"));
	j = n->jobs[id / 8];
	if (error) {
		if (id % 8 == Q_SUBMIT && n->s->st.disk_errors && code && (!strcmp(code, "EIO") || !strcmp(code, "ENOSPACE"))) {
			n->s->st.refused++;
			json_decref(rep);
			return;                   /* it asks again */
		}
		/* to pause what is just over, or to retry what is being cancelled, may be refused; nothing else */
		if (id % 8 < Q_CANCEL || !code || (strcmp(code, "EEXIST") && strcmp(code, "EBUSY")))
			cs_fail(n->s, "%s: job %llu: question %d: %s (%s)", n->name, (unsigned long long)j->id, (int)(id % 8), error, code ? code : "");
	} else if (id % 8 == Q_SUBMIT) {
		submitted(j, rep);
	} else if (id % 8 == Q_SHOW) {
		shown(j, rep);
	}
	json_decref(rep);
}

void cs_client_free(struct cs_node *n)
{
	for (uint32_t i = 0; i < n->n_jobs; i++) {
		json_decref(n->jobs[i]->spec);
		free(n->jobs[i]);
	}
	free(n->jobs);
	cs_session_free(n);
}
