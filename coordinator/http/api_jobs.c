/* api_jobs.c - see api_jobs.h. Some operations answer when something is on disk: the request waits meanwhile (gr_http_later). */
#include "coordinator/http/api_jobs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/batch.h"
#include "coordinator/http/tail.h"
#include "lib/base/alloc.h"
#include "lib/conf/conf.h"

#define MAX_LOG_BYTES (1u << 20)

struct call {
	struct gr_later *later;
	unsigned status;                  /* when it goes well */
	void (*form)(struct gr_reply *r, json_t *rep);   /* NULL: JSON as it is; takes @rep */
};

static unsigned status_of(int code)
{
	switch (code) {
	case GR_ENOENT:
		return 404;
	case GR_EAUTH: case GR_EROLE:
		return 403;
	case GR_EEXIST: case GR_EBUSY: case GR_ESTATE:
		return 409;
	case GR_EINVAL: case GR_EUSAGE: case GR_ELIMIT: case GR_EPATH: case GR_EPROTO:
		return 422;
	case GR_ENOSPACE:
		return 507;
	case GR_EUNSUP:
		return 503;
	default:
		return 500;
	}
}

static void on_done(void *ctx, json_t *rep, const struct gr_err *err)
{
	struct call *x = ctx;
	struct gr_reply *r = gr_later_reply(x->later);

	if (r && err) {
		gr_api_problem(r, status_of(err->code), "%s", err->text);
		json_decref(rep);
	} else if (r) {
		r->status = x->status;
		if (r->status == 201)
			snprintf(r->location, sizeof(r->location), "/api/v1/jobs/%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(rep, "job")));
		if (x->form)
			x->form(r, rep);
		else
			gr_api_json(r, rep);
	} else {
		json_decref(rep);
	}
	gr_later_done(&x->later);
	free(x);
}

static void call(struct gr_coord *c, struct gr_request *rq, const char *op, json_t *req, unsigned status, void (*form)(struct gr_reply *, json_t *))
{
	struct gr_batch_who who = { .name = rq->who, .is_admin = rq->roles == GR_HTTP_ADMIN };
	struct call *x;

	GR_NEW(x);
	x->later = gr_http_later(rq);
	x->status = status;
	x->form = form;
	gr_batch_op(c, &who, op, req, on_done, x);
	json_decref(req);
}

/* A whole number from the path or the query; false with the 400 or 404. */
bool gr_api_number(const char *text, uint64_t max, uint64_t *out, struct gr_reply *r, const char *what)
{
	bool is_good = text && gr_conf_whole(text, max, out);

	if (!is_good)
		gr_api_problem(r, 400, "%s: not a whole number from 0 to %" PRIu64, what, max);
	return is_good;
}

static bool job_of(struct gr_request *rq, struct gr_reply *r, uint64_t *job) { return gr_api_number(rq->param[0], UINT32_MAX, job, r, "job"); }

/* ---- looking ---- */

/* {"jobs", "next"}: next is null at the end, so that it is always there. */
static void form_page(struct gr_reply *r, json_t *rep)
{
	if (!json_object_get(rep, "next"))
		json_object_set_new(rep, "next", json_null());
	gr_api_json(r, rep);
}

static bool add_page(struct gr_request *rq, struct gr_reply *r, json_t *req)
{
	const char *limit = gr_request_query(rq, "limit"), *cursor = gr_request_query(rq, "cursor"), *state = gr_request_query(rq, "state");
	uint64_t n;

	if (limit) {
		if (!gr_api_number(limit, 1000, &n, r, "limit") || !n) {
			if (r->status == 200)
				gr_api_problem(r, 400, "limit: 1 to 1000");
			return false;
		}
		json_object_set_new(req, "limit", json_integer((json_int_t)n));
	}
	if (cursor) {
		if (!gr_api_number(cursor, UINT32_MAX, &n, r, "cursor"))
			return false;
		json_object_set_new(req, "after", json_integer((json_int_t)n));
	}
	if (state && *state)
		json_object_set_new(req, "state", json_string(state));
	return true;
}

void gr_api_jobs_ls(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	const char *newest = gr_request_query(rq, "newest"), *tenant = gr_request_query(rq, "tenant");
	json_t *req = json_object();

	if (!add_page(rq, r, req)) {
		json_decref(req);
		return;
	}
	json_object_set_new(req, "newest", json_boolean(newest && !strcmp(newest, "true")));
	if (tenant && *tenant)
		json_object_set_new(req, "tenant", json_string(tenant));
	call(c, rq, "job.ls", req, 200, form_page);
}

void gr_api_jobs_show(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	uint64_t job;

	if (job_of(rq, r, &job))
		call(c, rq, "job.show", json_pack("{s:I}", "job", (json_int_t)job), 200, NULL);
}

void gr_api_jobs_tasks(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	json_t *req = json_object();
	uint64_t job;

	if (!job_of(rq, r, &job) || !add_page(rq, r, req)) {
		json_decref(req);
		return;
	}
	json_object_set_new(req, "job", json_integer((json_int_t)job));
	call(c, rq, "task.ls", req, 200, form_page);
}

void gr_api_jobs_task(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	uint64_t job, task;

	if (job_of(rq, r, &job) && gr_api_number(rq->param[1], UINT32_MAX, &task, r, "task"))
		call(c, rq, "task.show", json_pack("{s:I, s:I}", "job", (json_int_t)job, "task", (json_int_t)task), 200, NULL);
}

/* Output as it is written. */
static void follow_log(struct gr_request *rq, struct gr_reply *r, uint64_t job, uint32_t task, int stream, uint64_t at)
{
	int rc = gr_tail_new(gr_http_tails(rq), job, task, stream, at, &r->tail);

	if (rc < 0)
		gr_api_problem(r, rc == GR_EBUSY ? 503 : status_of(rc), rc == GR_EBUSY ? "too many follow already" : "there is no such task");
	else
		r->type = "text/plain; charset=utf-8";
}

/* Kept output as it is; X-Total-Bytes would be the whole's size, so "offset" can go on. */
void gr_api_jobs_log(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	const char *offset = gr_request_query(rq, "offset"), *attempt = gr_request_query(rq, "attempt"), *follow = gr_request_query(rq, "follow");
	int stream = !strcmp(rq->param[2], "stdout") ? 1 : !strcmp(rq->param[2], "stderr") ? 2 : 0;
	uint64_t job, task, at = 0, ordinal = 0, total = 0;
	int rc;

	if (!job_of(rq, r, &job) || !gr_api_number(rq->param[1], UINT32_MAX, &task, r, "task") ||
	    (offset && !gr_api_number(offset, UINT64_MAX >> 1, &at, r, "offset")) || (attempt && !gr_api_number(attempt, UINT32_MAX, &ordinal, r, "attempt")))
		return;
	if (!stream) {
		gr_api_problem(r, 404, "there are stdout and stderr");
		return;
	}
	if (follow && strcmp(follow, "true") && strcmp(follow, "false")) {
		gr_api_problem(r, 400, "follow: true or false");
		return;
	}
	if (follow && !strcmp(follow, "true") && ordinal) {
		gr_api_problem(r, 400, "follow goes with what is printed now, not with an attempt's number");
		return;
	}
	if (follow && !strcmp(follow, "true")) {
		follow_log(rq, r, job, (uint32_t)task, stream, at);
		return;
	}
	rc = gr_batch_log_read(c, job, (uint32_t)task, (uint32_t)ordinal, stream, at, MAX_LOG_BYTES, &r->body, &total);
	if (rc < 0)
		gr_api_problem(r, status_of(rc), "no output of this task is kept (yet)");
	else
		r->type = "text/plain; charset=utf-8";
}

/* ---- accounting ---- */

static void form_csv(struct gr_reply *r, json_t *rep)
{
	static const char *const columns[] = { "tenant", "job", "cpu_s", "mem_gib_s", "in_bytes", "out_bytes", "attempts", "retries", "wasted_cpu_s",
					       "tasks_done", "tasks_failed" };
	json_t *row, *v;
	size_t i;

	r->type = "text/csv; charset=utf-8";
	for (size_t k = 0; k < GR_LEN(columns); k++)
		gr_buf_printf(&r->body, "%s%s", k ? "," : "", columns[k]);
	gr_buf_add_str(&r->body, "\r\n");
	json_array_foreach(json_object_get(rep, "rows"), i, row) {
		for (size_t k = 0; k < GR_LEN(columns); k++) {
			v = json_object_get(row, columns[k]);
			if (k)
				gr_buf_add_byte(&r->body, ',');
			if (json_is_integer(v))
				gr_buf_printf(&r->body, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
			else if (json_is_real(v))
				gr_buf_printf(&r->body, "%.3f", json_real_value(v));
			else if (json_is_string(v)) {
				gr_buf_add_byte(&r->body, '"');
				for (const char *s = json_string_value(v); *s; s++)
					gr_buf_printf(&r->body, *s == '"' ? "\"\"" : "%c", *s);
				gr_buf_add_byte(&r->body, '"');
			}
		}
		gr_buf_add_str(&r->body, "\r\n");
	}
	json_decref(rep);
}

void gr_api_jobs_usage(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	const char *job = gr_request_query(rq, "job"), *tenant = gr_request_query(rq, "tenant"), *format = gr_request_query(rq, "format");
	json_t *req = json_object();
	uint64_t n;

	if (job) {
		if (!gr_api_number(job, UINT32_MAX, &n, r, "job")) {
			json_decref(req);
			return;
		}
		json_object_set_new(req, "job", json_integer((json_int_t)n));
	}
	if (tenant && *tenant)
		json_object_set_new(req, "tenant", json_string(tenant));
	call(c, rq, "usage", req, 200, format && !strcmp(format, "csv") ? form_csv : NULL);
}

/* ---- changing ---- */

struct owner_check {
	const char *who;
	bool is_own, is_there;
};

static void on_shown(void *ctx, json_t *rep, const struct gr_err *err)
{
	struct owner_check *x = ctx;
	const char *owner = json_string_value(json_object_get(rep, "owner"));

	x->is_there = !err;
	x->is_own = owner && !strcmp(owner, x->who);
	json_decref(rep);
}

/* A client changes what its own token submitted; an admin all. */
static bool may_change(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r, uint64_t *job)
{
	struct gr_batch_who who = { .name = rq->who, .is_admin = rq->roles == GR_HTTP_ADMIN };
	struct owner_check x = { .who = rq->who };
	json_t *req;

	if (!job_of(rq, r, job))
		return false;
	if (who.is_admin)
		return true;
	req = json_pack("{s:I}", "job", (json_int_t)*job);
	gr_batch_op(c, &who, "job.show", req, on_shown, &x);    /* answers before it returns: nothing is to be stored */
	json_decref(req);
	if (x.is_there && !x.is_own)
		gr_api_problem(r, 403, "job %" PRIu64 " was submitted by another", *job);
	return !x.is_there || x.is_own;
}

static void change(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r, const char *op)
{
	json_t *req = rq->body ? json_copy(rq->body) : json_object();
	uint64_t job;

	if (!may_change(c, rq, r, &job)) {
		json_decref(req);
		return;
	}
	json_object_set_new(req, "job", json_integer((json_int_t)job));
	call(c, rq, op, req, 200, NULL);
}

void gr_api_jobs_cancel(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r) { change(c, rq, r, "job.cancel"); }
void gr_api_jobs_pause(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r) { change(c, rq, r, "job.pause"); }
void gr_api_jobs_resume(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r) { change(c, rq, r, "job.resume"); }
void gr_api_jobs_retry(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r) { change(c, rq, r, "job.retry"); }
void gr_api_jobs_rm(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r) { change(c, rq, r, "job.rm"); }

void gr_api_jobs_submit(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	if (!rq->body) {
		gr_api_problem(r, 400, "a JSON object is wanted: {\"spec\": {...}}");
		return;
	}
	call(c, rq, "job.submit", json_copy(rq->body), json_is_true(json_object_get(rq->body, "dry_run")) ? 200 : 201, NULL);
}
