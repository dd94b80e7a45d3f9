/* api.c - one row a path. Errors are problem+json (RFC 9457). */
#include <stdlib.h>
#include <string.h>

#include "coordinator/coord.h"
#include "coordinator/http/http.h"
#include "lib/base/alloc.h"

static void problem(struct gr_reply *r, unsigned status, const char *title, const char *detail)
{
	json_t *o = json_pack("{s:s, s:i, s:s, s:s}", "type", "about:blank", "status", (int)status, "title", title, "detail", detail);
	char *text = json_dumps(o, JSON_COMPACT);

	r->status = status;
	r->type = "application/problem+json";
	gr_buf_printf(&r->body, "%s\n", text ? text : "{}");
	free(text);
	json_decref(o);
}

static void json_reply(struct gr_reply *r, json_t *o)
{
	char *text = json_dumps(o, JSON_INDENT(2));

	r->type = "application/json";
	gr_buf_printf(&r->body, "%s\n", text ? text : "{}");
	free(text);
	json_decref(o);
}

static void get_livez(const struct gr_coord *c, struct gr_reply *r)
{
	(void)c;
	r->type = "text/plain; charset=utf-8";
	gr_buf_add_str(&r->body, "ok\n");
}

static void get_readyz(const struct gr_coord *c, struct gr_reply *r)
{
	if (!gr_coord_is_ready(c)) {
		problem(r, 503, "Service Unavailable", c->is_ending ? "the coordinator is ending" : "the coordinator is starting");
		return;
	}
	r->type = "text/plain; charset=utf-8";
	gr_buf_add_str(&r->body, "ok\n");
}

static void get_version(const struct gr_coord *c, struct gr_reply *r)
{
	(void)c;
	json_reply(r, gr_version_json());
}

static void get_metrics(const struct gr_coord *c, struct gr_reply *r)
{
	r->type = "text/plain; version=0.0.4; charset=utf-8";
	gr_metrics_print(c, &r->body);
}

static void get_status(const struct gr_coord *c, struct gr_reply *r)
{
	json_reply(r, gr_status_json(c));
}

static void get_nodes(const struct gr_coord *c, struct gr_reply *r)
{
	json_reply(r, gr_nodes_json(c));
}

static const struct {
	const char *path;
	void (*fn)(const struct gr_coord *c, struct gr_reply *r);
} routes[] = {
	{ "/livez", get_livez }, { "/readyz", get_readyz }, { "/version", get_version }, { "/metrics", get_metrics },
	{ "/api/v1/status", get_status }, { "/api/v1/nodes", get_nodes },
};

void gr_api_answer(const struct gr_coord *c, const char *method, const char *path, struct gr_reply *r)
{
	r->status = 200;
	for (size_t i = 0; i < GR_LEN(routes); i++) {
		if (strcmp(routes[i].path, path))
			continue;
		if (strcmp(method, "GET") && strcmp(method, "HEAD"))
			problem(r, 405, "Method Not Allowed", "only GET and HEAD are served here");
		else
			routes[i].fn(c, r);
		return;
	}
	problem(r, 404, "Not Found", "no such path; there are /livez, /readyz, /version, /metrics, /api/v1/status, /api/v1/nodes");
}
