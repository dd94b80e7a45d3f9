/* api.c - one row a path: method, pattern, who may, what answers. Errors are problem+json (RFC 9457). docs/openapi.json
 * tells the same rows to others; tests/e2e/43-openapi.t holds the two together. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/coord.h"
#include "coordinator/http/api_jobs.h"
#include "coordinator/http/http.h"
#include "coordinator/http/recent.h"
#include "coordinator/web/files.h"
#include "lib/base/alloc.h"

void gr_api_problem(struct gr_reply *r, unsigned status, const char *fmt, ...)
{
	static const struct { unsigned status; const char *title; } titles[] = {
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 409, "Conflict" }, { 411, "Length Required" }, { 413, "Content Too Large" }, { 422, "Unprocessable Content" }, { 500, "Internal Server Error" },
		{ 503, "Service Unavailable" }, { 507, "Insufficient Storage" },
	};
	const char *title = "Error";
	char detail[1200], *text;
	va_list ap;
	json_t *o;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < GR_LEN(titles); i++)
		if (titles[i].status == status)
			title = titles[i].title;
	o = json_pack("{s:s, s:i, s:s, s:s%}", "type", "about:blank", "status", (int)status, "title", title, "detail", detail,
		      strlen(detail));
	if (!o)                             /* bytes of a peer that are no UTF-8 */
		o = json_pack("{s:s, s:i, s:s}", "type", "about:blank", "status", (int)status, "title", title);
	text = json_dumps(o, JSON_COMPACT);
	r->status = status;
	r->type = "application/problem+json";
	r->is_stream = false;
	r->still = (struct gr_slice){ NULL, 0 };
	gr_buf_clear(&r->body);
	gr_buf_printf(&r->body, "%s\n", text ? text : "{}");
	free(text);
	json_decref(o);
}

void gr_api_json(struct gr_reply *r, json_t *o)
{
	char *text = json_dumps(o, JSON_INDENT(2));

	r->type = "application/json";
	gr_buf_printf(&r->body, "%s\n", text ? text : "{}");
	free(text);
	json_decref(o);
}

const char *gr_request_query(const struct gr_request *rq, const char *key)
{
	for (size_t i = 0; i < rq->n_query; i++)
		if (!strcmp(rq->query[i].key, key))
			return rq->query[i].value;
	return NULL;
}

/* ---- health, metrics, the cluster ---- */

static void get_livez(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	(void)c, (void)rq;
	r->type = "text/plain; charset=utf-8";
	gr_buf_add_str(&r->body, "ok\n");
}

static void get_readyz(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	(void)rq;
	if (!gr_coord_is_ready(c)) {
		gr_api_problem(r, 503, c->is_ending ? "the coordinator is ending" : "the coordinator is starting");
		return;
	}
	r->type = "text/plain; charset=utf-8";
	gr_buf_add_str(&r->body, "ok\n");
}

static void get_version(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	(void)c, (void)rq;
	gr_api_json(r, gr_version_json());
}

static void get_metrics(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	(void)rq;
	r->type = "text/plain; version=0.0.4; charset=utf-8";
	gr_metrics_print(c, &r->body);
}

static void get_status(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	(void)rq;
	gr_api_json(r, gr_status_json(c));
}

static void get_nodes(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	(void)rq;
	gr_api_json(r, gr_nodes_json(c));
}

static void get_load(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	(void)rq;
	gr_api_json(r, gr_load_live_json(c));
}

static void get_history(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	(void)rq;
	gr_api_json(r, gr_recent_history_json(c->recent, gr_clock_real_ms()));
}

static void get_timeline(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	const char *after = gr_request_query(rq, "after");

	gr_api_json(r, gr_recent_timeline_json(c->recent, gr_clock_real_ms(), after ? strtoull(after, NULL, 10) : 0));
}

static void get_events(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	(void)c, (void)rq;
	r->type = "text/event-stream";
	r->is_stream = true;
}

static void get_file(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	const struct gr_web_file *f = gr_web_find(rq->path);

	(void)c;
	if (!f) {
		gr_api_problem(r, 404, "no such file");
		return;
	}
	r->type = f->type;
	r->still = gr_slice(f->begin, (size_t)(f->end - f->begin));
	r->is_page = true;
}

/* ---- the table ---- */

struct gr_route {
	const char *method, *pattern;
	int role;
	void (*fn)(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
	gr_route_begin *begin;                      /* NULL: the body is JSON */
};
static const struct gr_route routes[] = {
	{ "GET", "/livez", 0, get_livez, NULL },
	{ "GET", "/readyz", 0, get_readyz, NULL },
	{ "GET", "/version", 0, get_version, NULL },
	{ "GET", "/metrics", 0, get_metrics, NULL },
	{ "GET", "/", 0, get_file, NULL },
	{ "GET", "/web/{file}", 0, get_file, NULL },
	{ "GET", "/load", 0, get_file, NULL },
	{ "GET", "/api/v1/openapi.json", 0, get_file, NULL },
	{ "GET", "/api/v1/status", GR_HTTP_VIEWER, get_status, NULL },
	{ "GET", "/api/v1/nodes", GR_HTTP_VIEWER, get_nodes, NULL },
	{ "GET", "/api/v1/load", GR_HTTP_VIEWER, get_load, NULL },
	{ "GET", "/api/v1/history", GR_HTTP_VIEWER, get_history, NULL },
	{ "GET", "/api/v1/timeline", GR_HTTP_VIEWER, get_timeline, NULL },
	{ "GET", "/api/v1/events", GR_HTTP_VIEWER, get_events, NULL },
	{ "GET", "/api/v1/jobs", GR_HTTP_VIEWER, gr_api_jobs_ls, NULL },
	{ "POST", "/api/v1/jobs", GR_HTTP_CLIENT, gr_api_jobs_submit, NULL },
	{ "GET", "/api/v1/jobs/{job}", GR_HTTP_VIEWER, gr_api_jobs_show, NULL },
	{ "DELETE", "/api/v1/jobs/{job}", GR_HTTP_CLIENT, gr_api_jobs_rm, NULL },
	{ "POST", "/api/v1/jobs/{job}/cancel", GR_HTTP_CLIENT, gr_api_jobs_cancel, NULL },
	{ "POST", "/api/v1/jobs/{job}/pause", GR_HTTP_CLIENT, gr_api_jobs_pause, NULL },
	{ "POST", "/api/v1/jobs/{job}/resume", GR_HTTP_CLIENT, gr_api_jobs_resume, NULL },
	{ "POST", "/api/v1/jobs/{job}/retry", GR_HTTP_CLIENT, gr_api_jobs_retry, NULL },
	{ "GET", "/api/v1/jobs/{job}/tasks", GR_HTTP_VIEWER, gr_api_jobs_tasks, NULL },
	{ "GET", "/api/v1/jobs/{job}/tasks/{task}", GR_HTTP_VIEWER, gr_api_jobs_task, NULL },
	{ "GET", "/api/v1/jobs/{job}/tasks/{task}/logs/{stream}", GR_HTTP_VIEWER, gr_api_jobs_log, NULL },
	{ "GET", "/api/v1/jobs/{job}/tasks/{task}/outputs/{n}", GR_HTTP_VIEWER, gr_api_jobs_output, NULL },
	{ "PUT", "/api/v1/blobs/{digest}", GR_HTTP_CLIENT, gr_api_blobs_put, gr_api_blobs_begin },
	{ "GET", "/api/v1/usage", GR_HTTP_VIEWER, gr_api_jobs_usage, NULL },
};

/* Fills @rq's params; what stands at {..} is copied to @scratch. */
static bool matches(const char *pattern, const char *path, struct gr_request *rq, char *scratch)
{
	size_t n_param = 0;

	while (*pattern && *path) {
		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		pattern += strcspn(pattern, "}") + 1;
		if (*path == '/' || n_param == GR_HTTP_MAX_PARAMS)
			return false;
		rq->param[n_param++] = scratch;
		while (*path && *path != '/')
			*scratch++ = *path++;
		*scratch++ = 0;
	}
	return !*pattern && !*path;
}

const struct gr_route *gr_api_route(struct gr_request *rq, char *scratch, struct gr_reply *r)
{
	bool is_head = !strcmp(rq->method, "HEAD"), is_path = false;
	size_t n = 0;

	r->status = 200;
	r->location[0] = 0;
	for (size_t i = 0; i < GR_LEN(routes); i++) {
		if (!matches(routes[i].pattern, rq->path, rq, scratch))
			continue;
		if (!strcmp(routes[i].method, is_head ? "GET" : rq->method))
			return &routes[i];
		is_path = true;
		n += (size_t)snprintf(r->location + n, sizeof(r->location) - n, "%s%s%s", n ? ", " : "", routes[i].method,
				      strcmp(routes[i].method, "GET") ? "" : ", HEAD");
	}
	if (is_path)
		gr_api_problem(r, 405, "here is %s", r->location);
	else
		gr_api_problem(r, 404, "no such path; /api/v1/openapi.json lists those there are");
	return NULL;
}

int gr_route_role(const struct gr_route *route)
{
	return route->role;
}

gr_route_begin *gr_route_begins(const struct gr_route *route)
{
	return route->begin;
}

void gr_api_answer(struct gr_coord *c, const struct gr_route *route, struct gr_request *rq, struct gr_reply *r)
{
	route->fn(c, rq, r);
}
