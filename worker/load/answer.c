/* answer.c - what an answer is asked for: checks are counted one by one, captures feed the visit's later requests */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/net/loop.h"
#include "worker/load/gen.h"

/* ---- cookies ---- */

static struct gr_jar_url url_of(const struct gr_visit *v)
{
	const struct gr_load_origin *o = v->pool->origin;

	return (struct gr_jar_url){ .host = o->host, .path = gr_buf_slice(&v->x->path), .is_tls = o->is_tls };
}

static int64_t now_s(void) { return (int64_t)(gr_clock_real_ms() / 1000); }

struct gr_slice gr_answer_cookies(struct gr_visit *v)
{
	struct gr_jar_url url = url_of(v);

	gr_buf_clear(&v->x->cookies);
	if (v->x->jar.n)
		gr_jar_give(&v->x->jar, &url, now_s(), &v->x->cookies);
	return gr_buf_slice(&v->x->cookies);
}

static void set_cookie(struct gr_visit *v, struct gr_slice field)
{
	struct gr_jar_url url = url_of(v);

	gr_jar_take(&v->x->jar, field, &url, now_s());
}

void gr_answer_head(struct gr_visit *v, struct gr_slice head)
{
	struct gr_slice rest = head, name, value;

	if (head.n)
		gr_buf_add(&v->x->head, head.p, head.n);
	if (!v->scenario->has_cookies)
		return;
	while (gr_http1_field(&rest, &name, &value))
		if (name.n == 10 && !strncasecmp((const char *)name.p, "set-cookie", 10))
			set_cookie(v, value);
}

void gr_answer_field(struct gr_visit *v, struct gr_slice name, struct gr_slice value)
{
	struct gr_buf *h = &v->x->head;

	if (h->n + name.n + value.n > GR_HTTP1_MAX_HEAD_BYTES)
		return;
	gr_buf_add(h, name.p, name.n);
	gr_buf_add_str(h, ": ");
	if (value.n)
		gr_buf_add(h, value.p, value.n);
	gr_buf_add_str(h, "\r\n");
	if (v->scenario->has_cookies && name.n == 10 && !memcmp(name.p, "set-cookie", 10))
		set_cookie(v, value);
}

/* ---- JSON pointers (RFC 6901) ---- */

static const json_t *at_pointer(const json_t *v, const char *pointer)
{
	char key[GR_LOAD_MAX_POINTER_NAME + 1];

	while (v && *pointer == '/') {
		size_t n = 0;

		for (pointer++; *pointer && *pointer != '/' && n < sizeof(key) - 1; pointer++) {
			if (*pointer == '~' && (pointer[1] == '0' || pointer[1] == '1'))
				key[n++] = *++pointer == '0' ? '~' : '/';
			else
				key[n++] = *pointer;
		}
		key[n] = 0;
		if (json_is_array(v)) {
			bool is_index = n && n < 10 && !key[strspn(key, "0123456789")] && (n == 1 || *key != '0');

			v = is_index ? json_array_get(v, strtoul(key, NULL, 10)) : NULL;
		} else {
			v = json_object_get(v, key);
		}
	}
	return v;
}

/* Text as it is, everything else as JSON writes it. The caller's to free; NULL: not there. */
static char *text_at(const json_t *root, const char *pointer)
{
	const json_t *v = root ? at_pointer(root, pointer) : NULL;

	if (!v)
		return NULL;
	return json_is_string(v) ? strdup(json_string_value(v)) : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
}

/* ---- judging ---- */

struct body {
	struct gr_visit *v;
	json_t *root;
	bool is_parsed, is_over;                 /* over: regular expressions took all they may */
	uint64_t steps;                          /* left for them */
};

static const json_t *root_of(struct body *b)
{
	if (!b->is_parsed) {
		b->is_parsed = true;
		b->root = json_loadb(b->v->x->body.n ? (const char *)b->v->x->body.p : "", b->v->x->body.n, JSON_DECODE_ANY, NULL);
	}
	return b->root;
}

static bool matches(const struct gr_regex *re, struct body *b, struct gr_regex_match m[2])
{
	int rc = gr_regex_find(re, gr_buf_slice(&b->v->x->body), m, &b->steps);

	b->is_over |= rc < 0;
	return rc > 0;
}

static bool holds(const struct gr_load_check *c, struct body *b, uint64_t latency_ns)
{
	struct gr_visit *v = b->v;
	struct gr_slice value;
	struct gr_regex_match m[2];
	char *text;
	bool is_ok;

	switch (c->kind) {
	case GR_LOAD_C_STATUS:
		return v->status >= c->status_lo && v->status <= c->status_hi;
	case GR_LOAD_C_MAX:
		return latency_ns <= c->max_ns;
	case GR_LOAD_C_HEADER:
		return gr_http1_find(gr_buf_slice(&v->x->head), c->name, &value) &&
		       (!c->value || !*c->value || memmem(value.p, value.n, c->value, strlen(c->value)));
	case GR_LOAD_C_BODY:
		return !c->value || !*c->value || (v->x->body.n && memmem(v->x->body.p, v->x->body.n, c->value, strlen(c->value)));
	case GR_LOAD_C_REGEX:
		return matches(c->re, b, m);
	case GR_LOAD_C_JSON:
		text = text_at(root_of(b), c->name);
		is_ok = text && (!c->value || !strcmp(text, c->value));
		free(text);
		return is_ok;
	}
	return false;
}

static bool capture(const struct gr_load_capture *c, struct body *b)
{
	struct gr_visit *v = b->v;
	struct gr_buf *out = &v->x->values[c->var];
	struct gr_slice value;
	struct gr_regex_match m[2];
	char *text;
	bool is_there = false;

	gr_buf_clear(out);
	switch (c->kind) {
	case GR_LOAD_CAP_JSON:
		text = text_at(root_of(b), c->expr);
		is_there = text != NULL;
		if (text)
			gr_buf_add_str(out, text);
		free(text);
		break;
	case GR_LOAD_CAP_HEADER:
		is_there = gr_http1_find(gr_buf_slice(&v->x->head), c->expr, &value);
		if (is_there)
			gr_buf_add(out, value.p, value.n);
		break;
	case GR_LOAD_CAP_REGEX:
		is_there = matches(c->re, b, m);
		if (is_there && m[1].to > m[1].from)
			gr_buf_add(out, v->x->body.p + m[1].from, m[1].to - m[1].from);
		break;
	}
	v->x->vars[c->var] = gr_buf_slice(out);
	return is_there;
}

enum gr_load_fail gr_answer_judge(struct gr_gen *g, struct gr_visit *v, uint64_t latency_ns)
{
	const struct gr_load_request *r = v->request;
	struct body b = { .v = v, .steps = GR_REGEX_STEPS };
	bool is_ok = true;

	for (uint32_t i = 0; i < r->n_checks; i++) {
		g->c.n[GR_LOAD_N_CHECKS]++;
		if (holds(&r->checks[i], &b, latency_ns))
			continue;
		if (b.is_over)                   /* neither held nor failed: the request has */
			break;
		g->c.n[GR_LOAD_N_CHECKS_FAILED]++;
		g->c.checks[r->id * 16 + i]++;
	}
	for (uint32_t i = 0; i < r->n_captures && !b.is_over; i++)
		is_ok &= capture(&r->captures[i], &b);
	json_decref(b.root);
	return b.is_over ? GR_LOAD_F_REGEX_LIMIT : is_ok ? GR_LOAD_N_FAILS : GR_LOAD_F_CAPTURE;
}
