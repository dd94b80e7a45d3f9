/* intake.c - what a client says of tasks: new ones are checked against the session's log, word by word, before anything
 * else looks at them; cancelled ones stop everywhere; confirmed ones are forgotten. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/coord.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/base/path.h"

static int refuse(const struct gr_session *s, const struct gr_task_msg *m, int code, const char *what)
{
	gr_warn("intake", "client %s, session %016" PRIx64 ", task %" PRIu64 ": %s", s->client_name, s->id, m->task, what);
	return code;
}

/* Every id of the list names a record of that tag. */
static bool all_are(const struct gr_session *s, const struct gr_task_msg *m, const struct gr_ids *ids, int tag, uint64_t *bytes)
{
	struct gr_ids_it it = gr_ids_begin(ids);
	uint32_t id;

	while (gr_ids_next(&it, &id)) {
		if (id >= m->n_records || s->recs[id].tag != tag)
			return false;
		*bytes += s->recs[id].size;
	}
	return it.rd.rc >= 0;
}

static bool is_path(const struct gr_session *s, const struct gr_task_msg *m, uint32_t id)
{
	return id < m->n_records && s->recs[id].is_safe_path;
}

static int check(const struct gr_session *s, const struct gr_task_msg *m, uint64_t *input_bytes)
{
	uint64_t none = 0;

	if (m->attempt)
		return refuse(s, m, GR_EPROTO, "a client's task has no attempt number");
	if (m->n_records > s->n_recs)
		return refuse(s, m, GR_EPROTO, "needs more records than the log has");
	if (!m->argv.n)
		return refuse(s, m, GR_EPROTO, "has no argv");
	if (!all_are(s, m, &m->argv, GR_RECORD_STR, &none) || !all_are(s, m, &m->env, GR_RECORD_STR, &none))
		return refuse(s, m, GR_EPROTO, "names a word of argv or env that is no string of the log");
	if (!all_are(s, m, &m->inputs, GR_RECORD_FILE, input_bytes))
		return refuse(s, m, GR_EPROTO, "names an input that is no file of the log");
	if (!is_path(s, m, m->cwd))
		return refuse(s, m, GR_EPATH, "its folder is not an absolute clean path");
	for (uint32_t i = 0; i < m->n_outputs; i++)
		if (!is_path(s, m, m->outputs[i].path))
			return refuse(s, m, GR_EPATH, "an output is not an absolute clean path");
	return 0;
}

static void resend(struct gr_ctask *t)
{
	struct gr_buf copy = { 0 };

	gr_buf_add(&copy, t->result.p, t->result.n);
	gr_peers_send(t->session->coord, t->session->client->peer, &copy);
}

/* What a page shows of it: the file it makes, else its folder. */
static void name_of(const struct gr_session *s, const struct gr_task_msg *m, char *out, size_t room)
{
	struct gr_slice path = gr_path_base(gr_session_str(s, m->n_outputs ? m->outputs[0].path : m->cwd));

	snprintf(out, room, "%.*s", (int)(path.n < room ? path.n : room - 1), (const char *)path.p);
}

int gr_intake_task(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	uint64_t input_bytes = 0;
	struct gr_session *s;
	struct gr_task_msg *m;
	struct gr_ctask *t;
	size_t at;
	int rc;

	GR_NEW(m);
	rc = gr_task_decode(body, m);
	if (rc < 0)
		goto out;
	s = gr_session_of(c, cl, m->session);
	if (!s)
		goto out;       /* closed a moment ago; the client will see that */
	t = gr_map_get(&s->tasks, &m->task, sizeof(m->task));
	if (t) {
		if (t->t.state == GR_TASK_ENDED)
			resend(t);
		goto out;
	}
	rc = check(s, m, &input_bytes);
	if (rc < 0)
		goto out;
	/* Twice: after a reconnect the results that were on their way count besides what the client sends anew. */
	if (cl->n_tasks >= 2 * (uint64_t)c->cfg.credits) {
		rc = refuse(s, m, GR_ELIMIT, "more tasks than credits");
		goto out;
	}
	GR_NEW(t);
	t->session = s;
	t->queued = -1;
	t->toolchain = m->toolchain;
	t->mem_bytes = m->mem_bytes;
	t->n_outputs = m->n_outputs;
	t->wants_root = m->flags & GR_COORD_ROOT_FLAGS;
	t->accepted_ns = gr_coord_now(c);
	t->place = (struct gr_place_task){
		.tag = (uintptr_t)t, .owner = s->owner, .count = 1, .work_ms = m->cpu_ms, .family = m->family,
		.input_bytes = input_bytes,
	};
	name_of(s, m, t->name, sizeof(t->name));
	at = gr_frame_begin(&t->frame, GR_MSG_TASK);
	gr_buf_add(&t->frame, body.p, body.n);
	gr_frame_end(&t->frame, at);
	gr_task_init(&t->t, &s->job, m->task, 1 + s->n_connects * GR_JOB_MAX_ATTEMPTS);
	gr_map_put(&s->tasks, &t->t.id, sizeof(t->t.id), t);
	cl->n_tasks++;
	c->m.tasks_accepted++;
	gr_dispatch_offer(t);
out:
	free(m);
	return rc;
}

static struct gr_ctask *task_of(struct gr_coord *c, struct gr_client *cl, struct gr_slice body, int *rc)
{
	struct gr_session *s;
	uint64_t session, task;
	uint32_t attempt;

	*rc = gr_taskref_decode(body, &session, &task, &attempt);
	if (*rc < 0)
		return NULL;
	s = gr_session_of(c, cl, session);
	return s ? gr_map_get(&s->tasks, &task, sizeof(task)) : NULL;
}

int gr_intake_cancel(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	int rc;
	struct gr_ctask *t = task_of(c, cl, body, &rc);

	if (!t || t->t.state == GR_TASK_ENDED)
		return rc;
	c->m.cancelled_by_client++;
	gr_dispatch_finish(t, GR_OUTCOME_CANCELLED, "cancelled by its client");
	return 0;
}

int gr_intake_ack(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	int rc;
	struct gr_ctask *t = task_of(c, cl, body, &rc);

	if (t && t->t.state == GR_TASK_ENDED)
		gr_dispatch_free(t);
	return rc;
}
