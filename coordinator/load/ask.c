/* ask.c - questions about load tests. load-start {plan, confirmed}, load-stop {run}, load-read {run, offset}, load-list */
#include <stdlib.h>
#include <string.h>

#include "coordinator/load/load.h"
#include "lib/base/alloc.h"

static json_t *ask_start(struct gr_coord *c, const json_t *req, const char *owner, struct gr_err *err)
{
	const json_t *plan = json_object_get(req, "plan");
	struct gr_load_plan *p;
	uint64_t run;
	char id[17];
	double peak;
	bool is_closed;
	int rc;

	if (!plan) {
		gr_err_set(err, GR_EUSAGE, "load-start wants a \"plan\"");
		return NULL;
	}
	rc = gr_load_plan_from_json(plan, &p, err);
	if (rc < 0)
		return NULL;
	peak = p->sched.peak;
	is_closed = p->is_closed;
	gr_load_plan_free(&p);
	if (peak > GR_LOAD_CONFIRM_RATE && !json_is_true(json_object_get(req, "confirmed"))) {
		gr_err_set(err, GR_EROLE, "%.0f%s is above %.0f: such a test has to be confirmed", peak, is_closed ? " users" : "/s", GR_LOAD_CONFIRM_RATE);
		return NULL;
	}
	if (gr_run_start(c, plan, owner, &run, err) < 0)
		return NULL;
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)run);
	return json_pack("{s:s}", "run", id);
}

static const char *run_id(const json_t *req) { const char *s = json_string_value(json_object_get(req, "run")); return s ? s : ""; }

static json_t *ask_stop(struct gr_coord *c, const json_t *req, const char *owner, struct gr_err *err)
{
	struct gr_run *r = gr_run_find(c, strtoull(run_id(req), NULL, 16));

	if (!r || r->state == GR_RUN_ENDED) {
		gr_err_set(err, GR_ENOENT, "no load test %.40s is running", run_id(req));
		return NULL;
	}
	gr_run_stop(r, GR_LOAD_V_STOPPED, "stopped by %s", owner);
	return json_pack("{s:b}", "stopped", true);
}

static json_t *ask_read(struct gr_coord *c, const json_t *req, const char *owner, struct gr_err *err)
{
	json_int_t offset = json_integer_value(json_object_get(req, "offset"));
	struct gr_run *r = gr_run_find(c, strtoull(run_id(req), NULL, 16));
	struct gr_buf b = { 0 };
	uint64_t size = 0;
	json_t *o;

	(void)owner;
	if (offset < 0 || gr_keep_read(c, run_id(req), (uint64_t)offset, &b, &size, err) < 0) {
		gr_buf_fini(&b);
		return NULL;
	}
	o = json_pack("{s:o, s:I, s:I, s:s}", "text", json_stringn(b.n ? (const char *)b.p : "", b.n), "next", offset + (json_int_t)b.n, "size",
		      (json_int_t)size, "state", r ? gr_run_state_names[r->state] : "ended");
	gr_buf_fini(&b);
	return o;
}

static json_t *ask_list(struct gr_coord *c, const json_t *req, const char *owner, struct gr_err *err)
{
	(void)req, (void)owner, (void)err;
	return json_pack("{s:o}", "runs", gr_keep_list(c));
}

json_t *gr_load_ask(struct gr_coord *c, const json_t *req, const char *owner, struct gr_err *err)
{
	static const struct {
		const char *op;
		json_t *(*fn)(struct gr_coord *c, const json_t *req, const char *owner, struct gr_err *err);
	} ops[] = { { "load-start", ask_start }, { "load-stop", ask_stop }, { "load-read", ask_read }, { "load-list", ask_list } };
	const char *op = json_string_value(json_object_get(req, "op"));

	for (size_t i = 0; op && i < GR_LEN(ops); i++)
		if (!strcmp(op, ops[i].op))
			return ops[i].fn(c, req, owner, err);
	gr_err_set(err, GR_EUNSUP, "unknown op \"%.40s\"", op ? op : "");
	return NULL;
}
