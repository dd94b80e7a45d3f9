/* request.c - scenarios and their requests: addresses, headers, bodies, checks, captures */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/load/plan.h"

/* ---- addresses ---- */

static const struct {
	const char *prefix, *port;
	enum gr_load_scheme scheme;
	bool is_tls;
} schemes[] = {
	{ "http://", "80", GR_LOAD_HTTP, false }, { "https://", "443", GR_LOAD_HTTPS, true }, { "ws://", "80", GR_LOAD_WS, false },
	{ "wss://", "443", GR_LOAD_WSS, true }, { "tcp://", NULL, GR_LOAD_TCP, false },
};

static bool is_host(const char *s)
{
	return *s && s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:")] == 0;
}

/* {{rand 1 9}} */
static bool is_in_template(const char *url, const char *at)
{
	const char *open = NULL;

	for (const char *c = url; (c = strstr(c, "{{")) && c < at; c += 2)
		open = c;
	return open && strstr(open, "}}") > at;
}

int gr_load_url(const char *url, struct gr_load_origin *o, char **path, struct gr_err *err)
{
	const char *host, *end, *colon, *close;
	struct gr_load_origin out = { 0 };
	size_t i = 0;
	char *port_end;

	while (i < GR_LEN(schemes) && strncasecmp(url, schemes[i].prefix, strlen(schemes[i].prefix)))
		i++;
	if (i == GR_LEN(schemes))
		return gr_err_set(err, GR_ECONFIG, "\"%.80s\" is no address: it begins with http://, https://, ws://, wss:// or tcp://", url);
	host = url + strlen(schemes[i].prefix);
	end = host + strcspn(host, "/?#");
	for (const char *c = url; *c; c++)
		if (((unsigned char)*c < ' ' || *c == 127) || (*c == ' ' && !is_in_template(url, c)))
			return gr_err_set(err, GR_ECONFIG, "\"%.80s\" holds a blank or a control character", url);
	if (memchr(host, '@', (size_t)(end - host)))
		return gr_err_set(err, GR_ECONFIG, "\"%.80s\" holds a user name; give an Authorization header instead", url);
	out.scheme = schemes[i].scheme;
	out.is_tls = schemes[i].is_tls;
	out.authority = gr_xstrndup(host, (size_t)(end - host));
	if (*host == '[') {
		close = memchr(host, ']', (size_t)(end - host));
		colon = close && close + 1 < end && close[1] == ':' ? close + 1 : NULL;
		out.host = gr_xstrndup(host + 1, close ? (size_t)(close - host - 1) : 0);
	} else {
		colon = memchr(host, ':', (size_t)(end - host));
		out.host = gr_xstrndup(host, (size_t)((colon ? colon : end) - host));
	}
	out.port = colon ? gr_xstrndup(colon + 1, (size_t)(end - colon - 1)) : schemes[i].port ? gr_xstrdup(schemes[i].port) : NULL;
	if (!is_host(out.host) || !out.port || !isdigit((unsigned char)*out.port) || strtoul(out.port, &port_end, 10) > 65535 ||
	    *port_end || !strtoul(out.port, NULL, 10)) {
		gr_load_origin_fini(&out);
		return gr_err_set(err, GR_ECONFIG, "\"%.80s\": wants HOST%s behind %s", url, schemes[i].port ? " or HOST:PORT" : ":PORT",
				  schemes[i].prefix);
	}
	*path = *end == '/' ? gr_xstrndup(end, strcspn(end, "#")) : NULL;
	if (!*path) {
		struct gr_buf b = { 0 };

		gr_buf_add_byte(&b, '/');
		gr_buf_add(&b, end, strcspn(end, "#"));
		*path = gr_buf_take(&b, NULL);
	}
	*o = out;
	return 0;
}

void gr_load_origin_fini(struct gr_load_origin *o)
{
	free(o->host);
	free(o->port);
	free(o->authority);
	*o = (struct gr_load_origin){ 0 };
}

/* Takes @o. */
static int intern_origin(struct gr_load_plan *p, struct gr_load_origin *o, uint32_t *id, const struct gr_load__at *at)
{
	for (uint32_t i = 0; i < p->n_origins; i++)
		if (p->origins[i].scheme == o->scheme && !strcmp(p->origins[i].authority, o->authority)) {
			gr_load_origin_fini(o);
			*id = i;
			return 0;
		}
	if (p->n_origins == GR_LOAD_MAX_ORIGINS) {
		gr_load_origin_fini(o);
		return gr_load__bad(at, "more than %u different hosts", GR_LOAD_MAX_ORIGINS);
	}
	p->origins[p->n_origins] = *o;
	*id = p->n_origins++;
	return 0;
}

/* ---- checks and captures ---- */

/* Bytes of @s, @max at the most, that end between two characters: names and labels become keys of JSON. */
static int cut(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	if (n > max)
		for (n = max; n && (s[n] & 0xc0) == 0x80; n--)
			;
	return (int)n;
}

/* RFC 6901: empty, or names behind slashes; ~0 is ~ and ~1 is /. */
static int check_pointer(const char *s, const struct gr_load__at *at)
{
	if (*s && *s != '/')
		return gr_load__bad(at, "json wants a JSON pointer, which begins with /");
	for (const char *c = s; (c = strchr(c, '~')); c++)
		if (c[1] != '0' && c[1] != '1')
			return gr_load__bad(at, "json: in a JSON pointer ~ is written ~0, and a / within a name ~1");
	for (size_t n; *s; s += n) {
		n = 1 + strcspn(s + 1, "/");
		if (n > GR_LOAD_MAX_POINTER_NAME)
			return gr_load__bad(at, "json: a name of more than %u bytes", GR_LOAD_MAX_POINTER_NAME);
	}
	return 0;
}

static int get_regex(const char *text, struct gr_regex **re, const struct gr_load__at *at)
{
	const char *why;

	*re = gr_regex_new(text, &why);
	return *re ? 0 : gr_load__bad(at, "\"%.60s\" is no regular expression: %s", text, why);
}

static int check_status(struct gr_load_check *c, const json_t *v, const struct gr_load__at *at)
{
	const char *s = json_string_value(v);
	int lo, hi;

	if (json_is_integer(v))
		lo = hi = (int)json_integer_value(v);
	else if (s && strlen(s) == 3 && s[0] >= '1' && s[0] <= '5' && !strcmp(s + 1, "xx")) {
		lo = (s[0] - '0') * 100;
		hi = lo + 99;
	} else {
		return gr_load__bad(at, "status wants a number such as 200, or a class such as \"2xx\"");
	}
	if (lo < 100 || hi > 599)
		return gr_load__bad(at, "status %d is not within 100 to 599", lo);
	c->kind = GR_LOAD_C_STATUS;
	c->status_lo = (uint16_t)lo;
	c->status_hi = (uint16_t)hi;
	return 0;
}

/* They are counted by it: long ones that begin alike are told apart. */
static char *label(const struct gr_load_request *r, const char *text)
{
	struct gr_buf b = { 0 };
	unsigned n = 1;

	gr_buf_add_str(&b, text);
	for (uint32_t i = 0; i + 1 < r->n_checks; i++)
		if (!strcmp(r->checks[i].label, gr_buf_str(&b))) {
			gr_buf_clear(&b);
			gr_buf_printf(&b, "%s (%u)", text, ++n);
			i = UINT32_MAX;          /* from the first again */
		}
	return gr_buf_take(&b, NULL);
}

static int one_check(struct gr_load_request *r, const json_t *o, struct gr_load__at *at)
{
	enum { N_CHECK_KINDS = 6 };
	static const char *const names[] = { "status", "header", "body", "regex", "json", "max", "equals", "contains", NULL };
	struct gr_load_check *c = &r->checks[r->n_checks++];
	const char *s = NULL, *header = NULL, *pointer = NULL, *value = NULL;
	char text[200];
	int rc, n_kinds = 0;

	if (!json_is_object(o))
		return gr_load__bad(at, "wants an object such as {\"status\": 200}");
	rc = gr_load__only(o, names, at);
	for (size_t i = 0; i < N_CHECK_KINDS; i++)
		n_kinds += json_object_get(o, names[i]) != NULL;
	/* one of two would never be looked at, and never fail */
	if (rc >= 0 && n_kinds != 1)
		rc = gr_load__bad(at, "wants one of status, header, body, regex, json, max%s", n_kinds ? ", each in a check of its own" : "");
	if (rc >= 0 && ((json_object_get(o, "contains") && !json_object_get(o, "header")) || (json_object_get(o, "equals") && !json_object_get(o, "json"))))
		rc = gr_load__bad(at, "contains is of header, and equals of json");
	if (rc >= 0)
		rc = gr_load__get_str(o, "header", &header, at);
	if (rc >= 0)
		rc = gr_load__get_str(o, "json", &pointer, at);
	if (rc >= 0)
		rc = gr_load__get_str(o, header ? "contains" : "equals", &value, at);
	if (rc < 0)
		return rc;
	if (json_object_get(o, "status")) {
		rc = check_status(c, json_object_get(o, "status"), at);
		if (c->status_hi > c->status_lo)
			snprintf(text, sizeof(text), "status %uxx", c->status_lo / 100u);
		else
			snprintf(text, sizeof(text), "status %u", c->status_lo);
	} else if (header) {
		c->kind = GR_LOAD_C_HEADER;
		c->name = gr_xstrdup(header);
		c->value = value ? gr_xstrdup(value) : NULL;
		r->wants_headers = true;
		snprintf(text, sizeof(text), "header %.*s%s%.*s", cut(header, 60), header, value ? " contains " : "", cut(value ? value : "", 60), value ? value : "");
	} else if (pointer) {
		c->kind = GR_LOAD_C_JSON;
		c->name = gr_xstrdup(pointer);
		c->value = value ? gr_xstrdup(value) : NULL;
		r->wants_body = true;
		snprintf(text, sizeof(text), "json %.*s%s%.*s", cut(pointer, 60), pointer, value ? " = " : "", cut(value ? value : "", 60), value ? value : "");
		rc = check_pointer(pointer, at);
	} else if (json_object_get(o, "body")) {
		rc = gr_load__get_str(o, "body", &s, at);
		c->kind = GR_LOAD_C_BODY;
		c->value = s ? gr_xstrdup(s) : NULL;
		r->wants_body = true;
		snprintf(text, sizeof(text), "body contains %.*s", cut(s ? s : "", 60), s ? s : "");
	} else if (json_object_get(o, "regex")) {
		rc = gr_load__get_str(o, "regex", &s, at);
		if (rc >= 0)
			rc = get_regex(s, &c->re, at);
		if (rc >= 0)
			c->kind = GR_LOAD_C_REGEX;
		r->wants_body = true;
		snprintf(text, sizeof(text), "body matches %.*s", cut(s ? s : "", 60), s ? s : "");
	} else {
		c->kind = GR_LOAD_C_MAX;
		rc = gr_load__get_time(o, "max", 1000, 3600000000000ull, &c->max_ns, at);
		snprintf(text, sizeof(text), "within %g ms", (double)c->max_ns / 1e6);
	}
	c->label = label(r, rc >= 0 ? text : "");
	return rc;
}

static int one_capture(struct gr_load_plan *p, struct gr_load_request *r, const json_t *o, struct gr_load__at *at)
{
	static const char *const names[] = { "as", "json", "header", "regex", NULL };
	struct gr_load_capture *c = &r->captures[r->n_captures++];
	const char *as = NULL, *json = NULL, *header = NULL, *regex = NULL;
	uint32_t i = 0;
	int rc;

	if (!json_is_object(o))
		return gr_load__bad(at, "wants an object such as {\"as\": \"token\", \"json\": \"/token\"}");
	rc = gr_load__only(o, names, at);
	if (rc >= 0)
		rc = gr_load__get_str(o, "as", &as, at);
	if (rc >= 0)
		rc = gr_load__get_str(o, "json", &json, at);
	if (rc >= 0)
		rc = gr_load__get_str(o, "header", &header, at);
	if (rc >= 0)
		rc = gr_load__get_str(o, "regex", &regex, at);
	if (rc >= 0 && (!as || !*as || strlen(as) > 40 || as[strspn(as, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] ||
			!strcmp(as, "uuid") || !strcmp(as, "seq") || !strcmp(as, "rand") || !strcmp(as, "csv")))
		rc = gr_load__bad(at, "as wants a name of letters, digits and _, and not uuid, seq, rand or csv");
	if (rc >= 0 && !!json + !!header + !!regex != 1)
		rc = gr_load__bad(at, "wants one of json, header, regex");
	if (rc >= 0 && json)
		rc = check_pointer(json, at);
	if (rc >= 0 && regex)
		rc = get_regex(regex, &c->re, at);
	if (rc < 0)
		return rc;
	c->kind = json ? GR_LOAD_CAP_JSON : header ? GR_LOAD_CAP_HEADER : GR_LOAD_CAP_REGEX;
	c->expr = gr_xstrdup(json ? json : header ? header : regex);
	r->wants_headers |= header != NULL;
	r->wants_body |= header == NULL;
	while (i < p->n_vars && strcmp(p->vars[i], as))
		i++;
	if (i == GR_LOAD_MAX_VARS)
		return gr_load__bad(at, "more than %u names", GR_LOAD_MAX_VARS);
	if (i == p->n_vars)
		p->vars[p->n_vars++] = gr_xstrdup(as);
	c->var = i;
	p->vars_seen |= 1u << i;
	return 0;
}

/* ---- requests ---- */

static bool is_token(const char *s)
{
	return *s && !s[strspn(s, "!#$%&'*+-.^_`|~ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")];
}

static int get_headers(struct gr_load_plan *p, struct gr_load_request *r, const json_t *o, struct gr_load__at *at)
{
	static const char *const ours[] = { "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", NULL };
	const char *name;
	size_t back = gr_load__in(at, "headers"), deeper;
	json_t *v;
	int rc;

	if (o && (!json_is_object(o) || json_object_size(o) > GR_LOAD_MAX_HEADERS))
		return gr_load__bad(at, "wants an object of at most %u names and values", GR_LOAD_MAX_HEADERS);
	json_object_foreach((json_t *)o, name, v) {
		deeper = gr_load__in(at, name);
		if (!is_token(name) || !json_is_string(v) || strpbrk(json_string_value(v), "\r\n"))
			return gr_load__bad(at, "wants a header name and, of one line, its text");
		for (size_t i = 0; ours[i]; i++)
			if (!strcasecmp(ours[i], name))
				return gr_load__bad(at, "is set by the generator itself");
		r->headers[r->n_headers].name = gr_xstrdup(name);
		rc = gr_load__tmpl(p, json_string_value(v), &r->headers[r->n_headers++].value, at);
		if (rc < 0)
			return rc;
		at->path[deeper] = 0;
	}
	at->path[back] = 0;
	return 0;
}

static int get_think(struct gr_load_request *r, const json_t *o, struct gr_load__at *at)
{
	const json_t *v = json_object_get(o, "think");
	json_t *one;
	int rc;

	if (!json_is_array(v)) {
		rc = gr_load__get_time(o, "think", 0, 3600000000000ull, &r->think_lo_ns, at);
		r->think_hi_ns = r->think_lo_ns;
		return rc;
	}
	gr_load__in(at, "think");
	if (json_array_size(v) != 2)
		return gr_load__bad(at, "wants a time, or two between which it is drawn");
	one = json_pack("{s:O, s:O}", "0", json_array_get(v, 0), "1", json_array_get(v, 1));
	rc = gr_load__get_time(one, "0", 0, 3600000000000ull, &r->think_lo_ns, at);
	if (rc >= 0)
		rc = gr_load__get_time(one, "1", r->think_lo_ns, 3600000000000ull, &r->think_hi_ns, at);
	json_decref(one);
	return rc;
}

/* "/path" below the target, or an address of its own. */
static int get_url(struct gr_load_plan *p, struct gr_load_request *r, const char *url, const char *target, struct gr_load__at *at)
{
	size_t back = gr_load__in(at, "url");
	struct gr_load_origin o;
	struct gr_err why;
	char *path = NULL, *base = NULL;
	int rc = 0;

	if (!url && !target)
		return gr_load__bad(at, "is missing, and the plan has no target");
	if (!url || !strncmp(url, "http", 4) || strstr(url, "://")) {
		rc = gr_load_url(url ? url : target, &o, &path, &why);
		if (rc < 0)
			return gr_load__bad(at, "%s", why.text);
	} else if (!target) {
		return gr_load__bad(at, "\"%.60s\" is no whole address, and the plan has no target", url);
	} else if (*url != '/') {
		return gr_load__bad(at, "\"%.60s\" is neither a whole address nor a path, which begins with /", url);
	} else {
		rc = gr_load_url(target, &o, &base, &why);
		if (rc < 0)
			return gr_load__bad(at, "target: %s", why.text);
		path = gr_xstrdup(url);
		for (const char *c = path; *c && rc >= 0; c++)
			if (((unsigned char)*c < ' ' || *c == 127)) {
				gr_load_origin_fini(&o);
				rc = gr_load__bad(at, "holds a control character");
			}
	}
	if (rc >= 0)
		rc = intern_origin(p, &o, &r->origin, at);
	if (rc >= 0)
		rc = gr_load__tmpl(p, path, &r->path, at);
	free(base);
	free(path);
	at->path[rc < 0 ? strlen(at->path) : back] = 0;
	return rc;
}

static int get_body(struct gr_load_plan *p, struct gr_load_request *r, const json_t *o, struct gr_load__at *at)
{
	const json_t *v = json_object_get(o, "body");
	size_t back = gr_load__in(at, "body");
	char *text;
	int rc;

	if (v) {
		text = json_is_string(v) ? gr_xstrdup(json_string_value(v)) : json_dumps(v, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
		rc = gr_load__tmpl(p, text, &r->body, at);
		free(text);
		if (rc < 0)
			return rc;
		r->has_body = true;
		r->body.is_json = !json_is_string(v);
		if (!json_is_string(v)) {                /* an object says what it is */
			bool has_type = false;

			for (uint32_t i = 0; i < r->n_headers; i++)
				has_type |= !strcasecmp(r->headers[i].name, "Content-Type");
			if (!has_type && r->n_headers < GR_LOAD_MAX_HEADERS) {
				r->headers[r->n_headers].name = gr_xstrdup("Content-Type");
				rc = gr_load__tmpl(p, "application/json", &r->headers[r->n_headers++].value, at);
			}
		}
	}
	at->path[back] = 0;
	return 0;
}

static int lists(struct gr_load_plan *p, struct gr_load_request *r, const json_t *o, struct gr_load__at *at)
{
	const json_t *checks = json_object_get(o, "checks"), *captures = json_object_get(o, "capture");
	size_t i, back;
	json_t *v;
	int rc;

	if (checks && (!json_is_array(checks) || json_array_size(checks) > GR_LOAD_MAX_CHECKS))
		return gr_load__bad(at, "checks wants a list of at most %u", GR_LOAD_MAX_CHECKS);
	json_array_foreach(checks, i, v) {
		back = gr_load__nth(at, "checks", i);
		rc = one_check(r, v, at);
		if (rc < 0)
			return rc;
		at->path[back] = 0;
	}
	if (captures && (!json_is_array(captures) || json_array_size(captures) > GR_LOAD_MAX_CAPTURES))
		return gr_load__bad(at, "capture wants a list of at most %u", GR_LOAD_MAX_CAPTURES);
	json_array_foreach(captures, i, v) {
		back = gr_load__nth(at, "capture", i);
		rc = one_capture(p, r, v, at);
		if (rc < 0)
			return rc;
		at->path[back] = 0;
	}
	return 0;
}

static int exchange(struct gr_load_plan *p, struct gr_load_request *r, const json_t *o, struct gr_load__at *at)
{
	enum gr_load_scheme scheme = p->origins[r->origin].scheme;
	const char *until = NULL;
	int64_t n = 0;
	bool is_text = true;
	int rc = gr_load__get_str(o, "until", &until, at);

	if (rc >= 0)
		rc = gr_load__get_int(o, "receive", 1, 1 << 30, &n, at);
	if (rc >= 0)
		rc = gr_load__get_bool(o, "text", &is_text, at);
	if (rc < 0)
		return rc;
	r->is_text = is_text;
	if (scheme == GR_LOAD_TCP && (!r->has_body || (!until && !n)))
		return gr_load__bad(at, "a tcp:// exchange wants body (what is sent) and receive (so many bytes) or until (a text)");
	if (scheme != GR_LOAD_TCP && (until || n))
		return gr_load__bad(at, "receive and until are for tcp:// alone");
	if ((scheme == GR_LOAD_WS || scheme == GR_LOAD_WSS) && !r->has_body)
		return gr_load__bad(at, "a WebSocket exchange wants body, the message that is sent");
	if ((uint64_t)n > p->body_limit)
		return gr_load__bad(at, "receive: is more than the plan's body_limit of %llu bytes", (unsigned long long)p->body_limit);
	r->n_receive = (uint64_t)n;
	r->until = until && *until ? gr_xstrdup(until) : NULL;
	if (r->until && strlen(r->until) > 255)
		return gr_load__bad(at, "until: more than 255 bytes");
	return 0;
}

static int one_request(struct gr_load_plan *p, struct gr_load_scenario *s, const json_t *o, const char *target, struct gr_load__at *at)
{
	static const char *const names[] = {
		"name", "method", "url", "headers", "body", "think", "checks", "capture", "until", "receive", "text", "comment", NULL
	};
	struct gr_load_request *r = &s->requests[s->n_requests++];
	const char *name = NULL, *method = NULL, *url = NULL;
	struct gr_buf b = { 0 };
	int rc;

	if (json_is_string(o))
		url = json_string_value(o);
	else if (!json_is_object(o))
		return gr_load__bad(at, "wants an object or an address");
	rc = json_is_string(o) ? 0 : gr_load__only(o, names, at);
	if (rc >= 0)
		rc = gr_load__get_str(o, "name", &name, at);
	if (rc >= 0)
		rc = gr_load__get_str(o, "method", &method, at);
	if (rc >= 0)
		rc = gr_load__get_str(o, "url", &url, at);
	if (rc >= 0 && method && !is_token(method))
		rc = gr_load__bad(at, "method: \"%.40s\" is none", method);
	if (rc >= 0 && name && (!*name || strlen(name) > 80))
		rc = gr_load__bad(at, "name: wants 1 to 80 characters");
	if (rc >= 0)
		rc = get_url(p, r, url, target, at);
	if (rc >= 0)
		rc = get_headers(p, r, json_object_get(o, "headers"), at);
	if (rc >= 0)
		rc = get_body(p, r, o, at);
	if (rc >= 0)
		rc = get_think(r, o, at);
	if (rc >= 0)
		rc = lists(p, r, o, at);
	if (rc >= 0)
		rc = exchange(p, r, o, at);
	if (rc < 0)
		return rc;
	r->method = gr_xstrdup(method ? method : r->has_body ? "POST" : "GET");
	r->is_static = gr_load_tmpl_is_static(&r->path) && gr_load_tmpl_is_static(&r->body);
	for (uint32_t i = 0; i < r->n_headers; i++)
		r->is_static &= gr_load_tmpl_is_static(&r->headers[i].value);
	if (s->has_cookies) {
		r->is_static = false;
		r->wants_headers = true;
	}
	if (name)
		r->name = gr_xstrdup(name);
	else {
		const char *path = url && *url ? url : target;

		gr_buf_printf(&b, "%s %.*s", r->method, (int)strcspn(path, "?#") < 70 ? (int)strcspn(path, "?#") : cut(path, 70), path);
		r->name = gr_buf_take(&b, NULL);
	}
	for (uint32_t i = 0; i < p->n_requests; i++)
		if (!strcmp(p->by_id[i]->name, r->name))
			return gr_load__bad(at, "name: \"%s\" is already another request's; give each its own", r->name);
	r->id = p->n_requests;
	p->by_id[p->n_requests++] = r;
	return 0;
}

static int requests(struct gr_load_plan *p, struct gr_load_scenario *s, const json_t *list, const char *target, struct gr_load__at *at)
{
	size_t i, back;
	json_t *o;
	int rc;

	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > GR_LOAD_MAX_REQUESTS - p->n_requests) {
		gr_load__in(at, "requests");
		return gr_load__bad(at, "wants a list of at least one request, and a plan has at most %u", GR_LOAD_MAX_REQUESTS);
	}
	p->vars_seen = 0;                        /* a visit has what it captured itself */
	s->requests = gr_xalloc(json_array_size(list) * sizeof(*s->requests));
	json_array_foreach(list, i, o) {
		back = gr_load__nth(at, "requests", i);
		rc = one_request(p, s, o, target, at);
		if (rc < 0)
			return rc;
		at->path[back] = 0;
	}
	return 0;
}

int gr_load__scenarios(struct gr_load_plan *p, const json_t *root, const char *target, struct gr_load__at *at)
{
	static const char *const names[] = { "name", "weight", "cookies", "requests", "comment", NULL };
	const json_t *list = json_object_get(root, "scenarios"), *flat = json_object_get(root, "requests");
	struct gr_load_scenario *s = &p->scenarios[0];
	json_t *o, *one = NULL;
	size_t i, back;
	int rc = 0;

	if (list && flat)
		return gr_load__bad(at, "scenarios and requests exclude each other");
	if (!list) {
		if (!flat && !target)
			return gr_load__bad(at, "wants scenarios, requests or at least a target");
		if (!flat)
			flat = one = json_pack("[{}]");
		p->n_scenarios = 1;
		s->name = gr_xstrdup("all");
		s->weight = p->weight_sum = 1;
		rc = gr_load__get_bool(root, "cookies", &s->has_cookies, at);
		if (rc >= 0)
			rc = requests(p, s, flat, target, at);
		json_decref(one);
		return rc;
	}
	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > GR_LOAD_MAX_SCENARIOS) {
		gr_load__in(at, "scenarios");
		return gr_load__bad(at, "wants a list of 1 to %u scenarios", GR_LOAD_MAX_SCENARIOS);
	}
	json_array_foreach(list, i, o) {
		const char *name = NULL;
		char text[24];

		s = &p->scenarios[p->n_scenarios++];
		back = gr_load__nth(at, "scenarios", i);
		s->weight = 1;
		if (!json_is_object(o))
			return gr_load__bad(at, "wants an object");
		rc = gr_load__only(o, names, at);
		if (rc >= 0)
			rc = gr_load__get_str(o, "name", &name, at);
		if (rc >= 0)
			rc = gr_load__get_bool(o, "cookies", &s->has_cookies, at);
		if (rc < 0)
			return rc;
		snprintf(text, sizeof(text), "scenario %zu", i + 1);
		s->name = gr_xstrdup(name ? name : text);
		if (json_object_get(o, "weight")) {
			s->weight = json_number_value(json_object_get(o, "weight"));
			if (!json_is_number(json_object_get(o, "weight")) || !(s->weight > 0) || s->weight > 1e9)
				return gr_load__bad(at, "weight: wants a number above 0");
		}
		p->weight_sum += s->weight;
		rc = requests(p, s, json_object_get(o, "requests"), target, at);
		if (rc < 0)
			return rc;
		at->path[back] = 0;
	}
	return 0;
}

static void request_fini(struct gr_load_request *r)
{
	free(r->name);
	free(r->method);
	free(r->until);
	gr_load__tmpl_fini(&r->path);
	gr_load__tmpl_fini(&r->body);
	for (uint32_t i = 0; i < r->n_headers; i++) {
		free(r->headers[i].name);
		gr_load__tmpl_fini(&r->headers[i].value);
	}
	for (uint32_t i = 0; i < r->n_checks; i++) {
		free(r->checks[i].label);
		free(r->checks[i].name);
		free(r->checks[i].value);
		gr_regex_free(&r->checks[i].re);
	}
	for (uint32_t i = 0; i < r->n_captures; i++) {
		free(r->captures[i].expr);
		gr_regex_free(&r->captures[i].re);
	}
}

void gr_load__scenarios_fini(struct gr_load_plan *p)
{
	for (uint32_t i = 0; i < p->n_scenarios; i++) {
		for (uint32_t k = 0; k < p->scenarios[i].n_requests; k++)
			request_fini(&p->scenarios[i].requests[k]);
		free(p->scenarios[i].requests);
		free(p->scenarios[i].name);
	}
	for (uint32_t i = 0; i < p->n_origins; i++)
		gr_load_origin_fini(&p->origins[i]);
}
