/* auth.c - who may ask what.
 *
 * With a token file: a bearer token, for all but health, metrics and the page's own files. Without: whoever reaches
 * loopback, as on the ZeroMQ side; but a page of another site in somebody's browser reaches loopback too, so a foreign
 * Origin is refused, and a Host that is no loopback name (a name that was rebound to 127.0.0.1). Beyond loopback without
 * a token file only health and metrics are served: probes and Prometheus need them, and nothing else gets out. */
#include <string.h>
#include <strings.h>

#include "coordinator/http/http.h"

static bool is_loopback_name(const char *host)
{
	static const char *const names[] = { "localhost", "[::1]" };
	size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i]) == n && !strncasecmp(host, names[i], n))
			return true;
	return n >= 7 && n < 16 && !strncmp(host, "127.", 4) && strspn(host, "0123456789.") == n;
}

static bool is_same_origin(const struct gr_auth_facts *f)
{
	const char *o = f->origin;

	if (!o)
		return !f->fetch_site || !strcmp(f->fetch_site, "same-origin") || !strcmp(f->fetch_site, "none");
	if (!strncmp(o, "http://", 7))
		o += 7;
	else if (!strncmp(o, "https://", 8))
		o += 8;
	else
		return false;
	return f->host && !strcasecmp(o, f->host);
}

static bool check_token(const struct gr_http_access *a, const struct gr_auth_facts *f, struct gr_request *rq, struct gr_reply *r)
{
	const char *token = f->authorization;

	if (!token || strncasecmp(token, "Bearer ", 7)) {
		gr_api_problem(r, 401, "send \"Authorization: Bearer TOKEN\"; `griddle keys token` makes one");
		return false;
	}
	token += 7;
	token += strspn(token, " ");
	rq->roles = gr_tokens_find(a->tokens, token, rq->who);
	if (!rq->roles)
		gr_api_problem(r, 401, "this token is not known here");
	return rq->roles;
}

bool gr_auth_check(const struct gr_http_access *a, const struct gr_auth_facts *f, int wants, struct gr_request *rq, struct gr_reply *r)
{
	if (!wants)
		return true;
	if (a->tokens) {
		if (!check_token(a, f, rq, r))
			return false;
	} else if (!a->is_loopback) {
		gr_api_problem(r, 403, "beyond loopback this needs a token: start the coordinator with --http-tokens FILE");
		return false;
	} else if (!f->host || !is_loopback_name(f->host)) {
		gr_api_problem(r, 403, "the Host of this request is no loopback name");
		return false;
	} else if (!is_same_origin(f)) {
		gr_api_problem(r, 403, "a page of another site may not ask here");
		return false;
	} else {
		strcpy(rq->who, "loopback");
		rq->roles = GR_HTTP_ADMIN;
	}
	if ((rq->roles & wants) != wants) {
		gr_api_problem(r, 403, "%s may not do this: it wants role %s", rq->who, wants == GR_HTTP_ADMIN ? "admin" : "client");
		return false;
	}
	return true;
}
