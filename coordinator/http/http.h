/**
 * http - the coordinator's HTTP side: health and metrics, the API under /api/v1, the page at /
 *
 * http.c carries requests between libmicrohttpd and the table of api.c; auth.c decides who asks; stream.c sends events, tail.c output that
 * is written still.
 */
#pragma once
#include <jansson.h>
#include "coordinator/http/tokens.h"
#include "lib/base/buf.h"

#define GR_HTTP_MAX_PARAMS 3u
#define GR_HTTP_MAX_QUERY 16u
#define GR_HTTP_MAX_BODY_BYTES (8u << 20)

struct gr_coord;
struct gr_query {
	const char *key, *value;
};
struct gr_request {
	const char *method, *path;                  /* path: without the query, as sent */
	struct gr_query query[GR_HTTP_MAX_QUERY];
	size_t n_query;
	const char *param[GR_HTTP_MAX_PARAMS];      /* what stood at {..} in the route */
	char who[64];                               /* the token's name, or "loopback" */
	int roles;                                  /* enum gr_http_role; 0: unknown */
	json_t *body;                               /* of POST and PUT; an object, or NULL when there was none */
	int64_t length;                             /* of the body as announced; -1: not */
	struct gr_cas_put *put;                     /* where the body of an upload goes */
	int put_rc;                                 /* what went wrong with it, or 0 */
	uint64_t last_event_id;
	void *http;                                 /* http.c's */
};
struct gr_reply {
	unsigned status;
	const char *type;                           /* content type; constant */
	struct gr_buf body;
	struct gr_slice still;                      /* instead of body: bytes that stay for ever */
	bool has_file;                              /* instead of body: @n_file bytes of @file, which is closed */
	int file;
	uint64_t n_file;
	bool is_page;                               /* gets the page's Content-Security-Policy */
	bool is_stream;                             /* events follow; stream.c */
	struct gr_tail *tail;                       /* instead of body: output follows; tail.c */
	char location[128];                         /* of a 201 */
};

struct gr_route;
/* The row for @rq, its params filled in from @scratch (>= strlen(path) + 1 bytes), or NULL with @r the 404 or 405. */
const struct gr_route *gr_api_route(struct gr_request *rq, char *scratch, struct gr_reply *r);
/* The role the row wants; 0: anybody. */
int gr_route_role(const struct gr_route *route);
/* For a row whose body is no JSON but goes to disk as it comes: asked before it comes; false with the reply. NULL: JSON. */
typedef bool gr_route_begin(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
gr_route_begin *gr_route_begins(const struct gr_route *route);
/* Answers: always a reply. */
void gr_api_answer(struct gr_coord *c, const struct gr_route *route, struct gr_request *rq, struct gr_reply *r);
void gr_api_problem(struct gr_reply *r, unsigned status, const char *fmt, ...) GR_PRINTF(3, 4);
void gr_api_json(struct gr_reply *r, json_t *o);                       /* takes the reference */
const char *gr_request_query(const struct gr_request *rq, const char *key);   /* NULL when absent */

struct gr_tails;
struct gr_tails *gr_http_tails(const struct gr_request *rq);

/* ---- answers that come later ---- */
struct gr_later;
/* The request waits until gr_later_done, which may also come before the row's function returns. */
struct gr_later *gr_http_later(struct gr_request *rq);
/* Where the answer goes; NULL when nobody waits any more. */
struct gr_reply *gr_later_reply(struct gr_later *l);
void gr_later_done(struct gr_later **l);

/* ---- who asks ---- */
struct gr_auth_facts {                      /* headers; NULL when absent */
	const char *authorization, *host, *origin, *fetch_site;
};
struct gr_http_access {
	struct gr_tokens *tokens;           /* NULL: no token file */
	bool is_loopback;                   /* where it listens */
};
/* Sets @rq's who and roles. Return: true when the route may be answered; else @r says why not. */
bool gr_auth_check(const struct gr_http_access *a, const struct gr_auth_facts *f, int wants, struct gr_request *rq, struct gr_reply *r);
