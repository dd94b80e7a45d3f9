/* control.c - questions over the wire: CTL_REQ {"op", "id", ...} -> CTL_REP {"id", ...} or {"id", "error", "code"}.
 * One row an operation. A client sees the cluster and its own sessions; all sessions are for admins. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/batch.h"
#include "coordinator/coord.h"
#include "lib/base/alloc.h"

struct question {
	struct gr_coord *c;
	struct gr_peer *peer;
	const json_t *req;
	struct gr_err err;
};

static bool is_admin(const struct question *q)
{
	return gr_peer_role(q->peer) == GR_ROLE_ADMIN;
}

static json_t *op_version(struct question *q)
{
	(void)q;
	return gr_version_json();
}

static json_t *op_status(struct question *q)
{
	return gr_status_json(q->c);
}

static json_t *op_nodes(struct question *q)
{
	return gr_nodes_json(q->c);
}

static json_t *op_sessions(struct question *q)
{
	return gr_sessions_json(q->c);
}

static json_t *op_explain(struct question *q)
{
	const char *hex = json_string_value(json_object_get(q->req, "session"));
	const json_t *task = json_object_get(q->req, "task");
	struct gr_session *s = hex ? gr_session_find(q->c, strtoull(hex, NULL, 16)) : NULL;
	uint64_t id = (uint64_t)json_integer_value(task);
	struct gr_ctask *t;

	if (!hex || !json_is_integer(task)) {
		gr_err_set(&q->err, GR_EUSAGE, "explain wants \"session\" (16 hex digits) and \"task\" (a number)");
		return NULL;
	}
	/* whose it is not learns no more than that it is not there */
	t = s && (is_admin(q) || !strcmp(s->key_name, gr_peer_key_name(q->peer))) ? gr_map_get(&s->tasks, &id, sizeof(id)) : NULL;
	if (!t) {
		gr_err_set(&q->err, GR_ENOENT, "no task %llu in session %s", (unsigned long long)id, hex);
		return NULL;
	}
	return gr_explain_json(q->c, t);
}

static json_t *op_tasks(struct question *q)
{
	return gr_tasks_json(q->c, is_admin(q) ? NULL : gr_peer_key_name(q->peer));
}

static json_t *op_load(struct question *q)
{
	return gr_load_ask(q->c, q->req, gr_peer_key_name(q->peer), &q->err);
}

static const struct {
	const char *op;
	bool is_for_admin;         /* over CURVE; on loopback everybody is */
	json_t *(*fn)(struct question *q);
} ops[] = {
	{ "version", false, op_version }, { "status", false, op_status }, { "nodes", false, op_nodes },
	{ "sessions", true, op_sessions }, { "explain", false, op_explain }, { "tasks", false, op_tasks },
	{ "load-start", false, op_load }, { "load-stop", false, op_load }, { "load-read", false, op_load }, { "load-list", false, op_load },
};

int gr_control_request(struct gr_coord *c, struct gr_peer *peer, struct gr_slice body)
{
	struct question q = { .c = c, .peer = peer };
	struct gr_buf b = { 0 };
	const char *op;
	json_t *req, *rep = NULL;
	bool is_known = false;
	int rc = gr_json_decode(body, &req, &q.err);

	if (rc < 0)
		return rc;
	q.req = req;
	op = json_string_value(json_object_get(req, "op"));
	if (op && c->batch && gr_batch_is_op(op)) {
		gr_batch_control(c, peer, op, req);
		json_decref(req);
		return 0;
	}
	for (size_t i = 0; op && i < GR_LEN(ops); i++) {
		if (strcmp(ops[i].op, op))
			continue;
		is_known = true;
		if (ops[i].is_for_admin && c->cfg.keys && !is_admin(&q))
			gr_err_set(&q.err, GR_EROLE, "%s is for admins", op);
		else
			rep = ops[i].fn(&q);
	}
	if (!is_known)
		gr_err_set(&q.err, GR_EUNSUP, "unknown op \"%.40s\"", op ? op : "");
	if (!rep)
		rep = json_pack("{s:s, s:s}", "error", q.err.text, "code", gr_err_name(q.err.code));
	if (json_object_get(req, "id"))
		json_object_set(rep, "id", json_object_get(req, "id"));
	gr_json_encode(&b, GR_MSG_CTL_REP, rep);
	json_decref(rep);
	json_decref(req);
	rc = gr_peers_send(c, peer, &b);
	return rc == GR_EBUSY ? GR_ELIMIT : 0;
}
