/* threshold.c - "http.p99 < 200ms", "errors < 0.1%", "rate > 950/s", "NAME.mean <= 50ms", "connect.p99 < 20ms" */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/load/plan.h"

double gr_load_quantile_of(const char *stat, size_t n)
{
	char text[16], *end;
	double q;

	if (n == 3 && !memcmp(stat, "max", 3))
		return 1;
	if (n == 3 && !memcmp(stat, "min", 3))
		return 0;
	if (n < 2 || n >= sizeof(text) || *stat != 'p')
		return -1;
	memcpy(text, stat + 1, n - 1);
	text[n - 1] = 0;
	for (char *c = text; *c; c++)
		if (*c == '_')
			*c = '.';
	q = strtod(text, &end);
	return *end || !(q > 0) || q > 100 ? -1 : q / 100;
}

bool gr_load_holds(const struct gr_load_threshold *t, double v)
{
	if (t->op[0] == '<')
		return t->op[1] ? v <= t->limit : v < t->limit;
	return t->op[1] ? v >= t->limit : v > t->limit;
}

static int subject_of(const struct gr_load_plan *p, struct gr_load_threshold *t, const char *s, size_t n, const struct gr_load__at *at)
{
	static const struct { const char *name; enum gr_load_subject subject; } names[] = {
		{ "http", GR_LOAD_S_ALL }, { "latency", GR_LOAD_S_ALL }, { "all", GR_LOAD_S_ALL }, { "connect", GR_LOAD_S_CONNECT },
		{ "tls", GR_LOAD_S_TLS }, { "first_byte", GR_LOAD_S_FIRST_BYTE }, { "send", GR_LOAD_S_SEND },
	};

	for (uint32_t i = 0; i < p->n_requests; i++)
		if (strlen(p->by_id[i]->name) == n && !memcmp(p->by_id[i]->name, s, n)) {
			t->subject = GR_LOAD_S_REQUEST;
			t->request = i;
			return 0;
		}
	for (size_t i = 0; i < GR_LEN(names); i++)
		if (strlen(names[i].name) == n && !memcmp(names[i].name, s, n)) {
			t->subject = names[i].subject;
			return 0;
		}
	return gr_load__bad(at, "\"%.*s\" is neither a request of this plan nor http, connect, tls, first_byte or send", (int)(n > 80 ? 80 : n), s);
}

static int stat_of(struct gr_load_threshold *t, const char *s, size_t n, bool is_share, const struct gr_load__at *at)
{
	static const struct { const char *name; enum gr_load_stat count, share; } names[] = {
		{ "mean", GR_LOAD_MEAN, GR_LOAD_MEAN }, { "rate", GR_LOAD_RATE, GR_LOAD_RATE }, { "count", GR_LOAD_COUNT, GR_LOAD_COUNT },
		{ "errors", GR_LOAD_ERRORS, GR_LOAD_ERROR_SHARE }, { "checks", GR_LOAD_CHECKS, GR_LOAD_CHECK_SHARE },
		{ "late", GR_LOAD_LATE_SHARE, GR_LOAD_LATE_SHARE },
	};

	t->q = gr_load_quantile_of(s, n);
	if (t->q >= 0) {
		t->stat = GR_LOAD_Q;
		return 0;
	}
	for (size_t i = 0; i < GR_LEN(names); i++)
		if (strlen(names[i].name) == n && !memcmp(names[i].name, s, n)) {
			t->stat = is_share ? names[i].share : names[i].count;
			return 0;
		}
	return gr_load__bad(at, "\"%.*s\" is none of pNN, min, max, mean, count, rate, errors, checks, late", (int)(n > 40 ? 40 : n), s);
}

static int value_of(struct gr_load_threshold *t, const char *s, const struct gr_load__at *at)
{
	uint64_t ns;
	double v;
	char *end;

	switch (t->stat) {
	case GR_LOAD_Q:
	case GR_LOAD_MEAN:
		if (gr_load_time(s, &ns) < 0 || !s[strcspn(s, "numsh")])
			return gr_load__bad(at, "\"%.40s\" wants a time with its unit, such as 200ms", s);
		t->limit = (double)ns;
		return 0;
	case GR_LOAD_RATE:
		if (gr_load_rate(s, &v) < 0)
			return gr_load__bad(at, "\"%.40s\" wants a rate such as 950/s", s);
		t->limit = v;
		return 0;
	case GR_LOAD_COUNT:
	case GR_LOAD_ERRORS:
	case GR_LOAD_CHECKS:
		v = strtod(s, &end);
		if (end == s || *end || !(v >= 0) || !isfinite(v))
			return gr_load__bad(at, "\"%.40s\" wants a number%s", s, t->stat == GR_LOAD_COUNT ? "" : ", or a share such as 0.1%");
		t->limit = v;
		return 0;
	case GR_LOAD_ERROR_SHARE:
	case GR_LOAD_CHECK_SHARE:
	case GR_LOAD_LATE_SHARE:
		v = strtod(s, &end);
		if (end == s || strcmp(end, "%") || !(v >= 0 && v <= 100))
			return gr_load__bad(at, "\"%.40s\" wants a share such as 0.1%%, of 100%% at the most", s);
		t->limit = v / 100;
		return 0;
	}
	return 0;
}

static bool has_checks(const struct gr_load_plan *p, const struct gr_load_threshold *t)
{
	for (uint32_t i = 0; i < p->n_requests; i++)
		if (p->by_id[i]->n_checks && (t->subject != GR_LOAD_S_REQUEST || t->request == i))
			return true;
	return false;
}

static int parse(const struct gr_load_plan *p, struct gr_load_threshold *t, const struct gr_load__at *at)
{
	const char *s = t->text, *op = s, *value, *dot;
	size_t n = strlen(t->text);
	bool has_tls = false;
	int rc = 0;

	while (n && t->text[n - 1] == ' ')
		t->text[--n] = 0;
	/* the last operator: a request's name may hold one */
	for (const char *c = s; *c; c++)
		if ((*c == '<' || *c == '>') && c > s)
			op = c;
	if (op == s)
		return gr_load__bad(at, "\"%.60s\" wants WHAT OP VALUE, such as http.p99 < 200ms", s);
	t->op[0] = *op;
	t->op[1] = op[1] == '=' ? '=' : 0;
	value = op + 1 + (op[1] == '=');
	value += strspn(value, " ");
	n = (size_t)(op - s);
	while (n && s[n - 1] == ' ')
		n--;
	/* p99.9 holds a dot too: the one in front of it is meant */
	dot = n ? memrchr(s, '.', n) : NULL;
	if (dot && dot[1] >= '0' && dot[1] <= '9' && dot > s) {
		const char *before = memrchr(s, '.', (size_t)(dot - s));

		if ((before && before[1] == 'p') || (!before && s[0] == 'p' && s[1] >= '0' && s[1] <= '9'))
			dot = before;
	}
	t->subject = GR_LOAD_S_ALL;
	if (dot)
		rc = subject_of(p, t, s, (size_t)(dot - s), at);
	if (rc >= 0)
		rc = stat_of(t, dot ? dot + 1 : s, dot ? n - (size_t)(dot + 1 - s) : n, strchr(value, '%') != NULL, at);
	if (rc >= 0)
		rc = value_of(t, value, at);
	if (rc >= 0 && t->stat != GR_LOAD_Q && t->stat != GR_LOAD_MEAN && t->stat != GR_LOAD_COUNT && t->subject != GR_LOAD_S_ALL &&
	    t->subject != GR_LOAD_S_REQUEST)
		rc = gr_load__bad(at, "\"%.60s\": connect, tls, first_byte and send have times alone", s);
	/* what cannot be measured would be told when the test is over */
	if (rc >= 0 && (t->stat == GR_LOAD_CHECKS || t->stat == GR_LOAD_CHECK_SHARE) && !has_checks(p, t))
		rc = gr_load__bad(at, "\"%.60s\": %s no checks", s, t->subject == GR_LOAD_S_REQUEST ? "this request has" : "the plan's requests have");
	for (uint32_t i = 0; i < p->n_origins; i++)
		has_tls |= p->origins[i].is_tls;
	if (rc >= 0 && t->subject == GR_LOAD_S_TLS && !has_tls)
		rc = gr_load__bad(at, "\"%.60s\": no request of the plan uses TLS", s);
	return rc;
}

int gr_load__thresholds(struct gr_load_plan *p, const json_t *list, struct gr_load__at *at)
{
	static const char *const names[] = { "is", "abort", "after", NULL };
	size_t i, back;
	json_t *o;
	int rc = 0;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > GR_LOAD_MAX_THRESHOLDS) {
		gr_load__in(at, "thresholds");
		return gr_load__bad(at, "wants a list of at most %u", GR_LOAD_MAX_THRESHOLDS);
	}
	json_array_foreach(list, i, o) {
		struct gr_load_threshold *t = &p->thresholds[p->n_thresholds++];
		const char *text = json_string_value(o);

		back = gr_load__nth(at, "thresholds", i);
		if (json_is_object(o)) {
			rc = gr_load__only(o, names, at);
			if (rc >= 0)
				rc = gr_load__get_str(o, "is", &text, at);
			if (rc >= 0)
				rc = gr_load__get_bool(o, "abort", &t->is_abort, at);
			if (rc >= 0)
				rc = gr_load__get_time(o, "after", 0, GR_LOAD_MAX_NS, &t->after_ns, at);
		}
		if (rc < 0)
			return rc;
		if (!text || strlen(text) > 200)
			return gr_load__bad(at, "wants text such as \"http.p99 < 200ms\", or {\"is\": TEXT, \"abort\": true, \"after\": TIME}");
		t->text = gr_xstrdup(text);
		rc = parse(p, t, at);
		if (rc < 0)
			return rc;
		at->path[back] = 0;
	}
	return 0;
}
