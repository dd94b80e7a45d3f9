/* plan.c - the plan as a whole: its plain members, and the helpers by which every part reads JSON and says what is wrong */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/load/plan.h"

#define NS 1000000000ull

/* ---- saying where ---- */

int gr_load__bad(const struct gr_load__at *at, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return gr_err_set(at->err, GR_ECONFIG, "%s%s%s", at->path, at->path[0] ? ": " : "", text);
}

size_t gr_load__in(struct gr_load__at *at, const char *key)
{
	size_t n = strlen(at->path);

	snprintf(at->path + n, sizeof(at->path) - n, "%s%.60s", n ? "." : "", key);
	return n;
}

size_t gr_load__nth(struct gr_load__at *at, const char *key, size_t i)
{
	size_t n = strlen(at->path);

	snprintf(at->path + n, sizeof(at->path) - n, "%s%.60s[%zu]", n ? "." : "", key, i);
	return n;
}

int gr_load__only(const json_t *o, const char *const *names, const struct gr_load__at *at)
{
	char known[300];
	const char *key;
	json_t *v;
	size_t n = 0;

	json_object_foreach((json_t *)o, key, v) {
		bool is_known = false;

		for (size_t i = 0; names[i]; i++)
			is_known |= !strcmp(names[i], key);
		if (is_known)
			continue;
		for (size_t i = 0; names[i] && n < sizeof(known) - 40; i++)
			n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "", names[i]);
		return gr_load__bad(at, "\"%.40s\" is not known here; there are %s", key, known);
	}
	return 0;
}

int gr_load__get_str(const json_t *o, const char *key, const char **out, struct gr_load__at *at)
{
	const json_t *v = json_object_get(o, key);

	if (!v)
		return 0;
	if (!json_is_string(v)) {
		gr_load__in(at, key);
		return gr_load__bad(at, "wants text");
	}
	*out = json_string_value(v);
	return 0;
}

int gr_load__get_bool(const json_t *o, const char *key, bool *out, struct gr_load__at *at)
{
	const json_t *v = json_object_get(o, key);

	if (!v)
		return 0;
	if (!json_is_boolean(v)) {
		gr_load__in(at, key);
		return gr_load__bad(at, "wants true or false");
	}
	*out = json_is_true(v);
	return 0;
}

int gr_load__get_int(const json_t *o, const char *key, int64_t lo, int64_t hi, int64_t *out, struct gr_load__at *at)
{
	const json_t *v = json_object_get(o, key);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi) {
		gr_load__in(at, key);
		return gr_load__bad(at, "wants a whole number from %lld to %lld", (long long)lo, (long long)hi);
	}
	*out = json_integer_value(v);
	return 0;
}

int gr_load_time(const char *text, uint64_t *ns)
{
	static const struct { const char *unit; double ns; } units[] = {
		{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 }, { "min", 60e9 }, { "h", 3600e9 }, { "", 1e9 },
	};
	char *end;
	double v = strtod(text, &end);

	if (end == text || !(v >= 0) || v > 1e9)
		return GR_ECONFIG;
	end += strspn(end, " ");
	for (size_t i = 0; i < GR_LEN(units); i++)
		if (!strcmp(end, units[i].unit)) {
			*ns = (uint64_t)llround(v * units[i].ns);
			return 0;
		}
	return GR_ECONFIG;
}

int gr_load_rate(const char *text, double *per_s)
{
	static const struct { const char *unit; double s; } units[] = {
		{ "/s", 1 }, { "/sec", 1 }, { "/m", 60 }, { "/min", 60 }, { "/h", 3600 }, { "", 1 },
	};
	char *end;
	double v = strtod(text, &end);

	if (end == text || !(v >= 0) || !isfinite(v))
		return GR_ECONFIG;
	if (*end == 'k' || *end == 'K') {
		v *= 1000;
		end++;
	}
	for (size_t i = 0; i < GR_LEN(units); i++)
		if (!strcmp(end, units[i].unit)) {
			*per_s = v / units[i].s;
			return 0;
		}
	return GR_ECONFIG;
}

int gr_load__get_time(const json_t *o, const char *key, uint64_t lo, uint64_t hi, uint64_t *ns, struct gr_load__at *at)
{
	const json_t *v = json_object_get(o, key);
	double s = json_number_value(v);
	uint64_t t = 0;

	if (!v)
		return 0;
	if (json_is_number(v) && s >= 0 && s < 1e9)
		t = (uint64_t)llround(s * 1e9);
	else if (!json_is_string(v) || gr_load_time(json_string_value(v), &t) < 0) {
		gr_load__in(at, key);
		return gr_load__bad(at, "wants a time such as \"250ms\", \"60s\" or \"5m\"");
	}
	if (t < lo || t > hi) {
		gr_load__in(at, key);
		return gr_load__bad(at, "%g s is not within %g s to %g s", (double)t / 1e9, (double)lo / 1e9, (double)hi / 1e9);
	}
	*ns = t;
	return 0;
}

/* ---- burns ---- */

static int burn_workers(struct gr_load_burn *b, const json_t *v, struct gr_load__at *at)
{
	const json_t *name;
	size_t i;

	gr_load__in(at, "workers");
	if (json_is_integer(v) && json_integer_value(v) >= 1 && json_integer_value(v) <= GR_LOAD_MAX_SHARDS) {
		b->n_workers = (uint32_t)json_integer_value(v);
		return 0;
	}
	if (!json_is_array(v) || !json_array_size(v) || json_array_size(v) > GR_LEN(b->workers))
		return gr_load__bad(at, "wants how many workers, or a list of at most %zu names", GR_LEN(b->workers));
	json_array_foreach(v, i, name) {
		if (!json_is_string(name))
			return gr_load__bad(at, "element %zu is no name", i);
		b->workers[b->n_named++] = gr_xstrdup(json_string_value(name));
	}
	return 0;
}

static int one_burn(struct gr_load_plan *p, const json_t *o, struct gr_load__at *at)
{
	static const char *const names[] = { "at", "for", "cpu", "cpu_percent", "vm", "vm_bytes", "io", "hdd", "workers", NULL };
	struct gr_load_burn *b = &p->burns[p->n_burns++];
	int64_t cpu = 0, percent = 100, vm = 0, bytes = 64 << 20, io = 0, hdd = 0;
	uint64_t len = (uint64_t)llround(p->sched.len_s * 1e9);
	int rc;

	if (!json_is_object(o))
		return gr_load__bad(at, "wants an object");
	rc = gr_load__only(o, names, at);
	if (rc >= 0)
		rc = gr_load__get_time(o, "at", 0, len, &b->at_ns, at);
	b->len_ns = len - b->at_ns;
	if (rc >= 0)
		rc = gr_load__get_time(o, "for", NS, len > b->at_ns ? len - b->at_ns : 0, &b->len_ns, at);
	if (rc >= 0)
		rc = gr_load__get_int(o, "cpu", 0, 1024, &cpu, at);
	if (rc >= 0)
		rc = gr_load__get_int(o, "cpu_percent", 1, 100, &percent, at);
	if (rc >= 0)
		rc = gr_load__get_int(o, "vm", 0, 64, &vm, at);
	if (rc >= 0)
		rc = gr_load__get_int(o, "vm_bytes", 1 << 20, 1ll << 40, &bytes, at);
	if (rc >= 0)
		rc = gr_load__get_int(o, "io", 0, 64, &io, at);
	if (rc >= 0)
		rc = gr_load__get_int(o, "hdd", 0, 64, &hdd, at);
	if (rc >= 0 && cpu + vm + io + hdd == 0)
		rc = gr_load__bad(at, "burns nothing: wants cpu, vm, io or hdd, each a number of stressors");
	b->n_cpu = (uint32_t)cpu, b->cpu_percent = (uint32_t)percent, b->n_vm = (uint32_t)vm, b->vm_bytes = (uint64_t)bytes;
	b->n_io = (uint32_t)io, b->n_hdd = (uint32_t)hdd;
	if (rc >= 0 && !json_object_get(o, "workers"))
		b->n_workers = 1;
	else if (rc >= 0)
		rc = burn_workers(b, json_object_get(o, "workers"), at);
	return rc;
}

int gr_load__burns(struct gr_load_plan *p, const json_t *list, struct gr_load__at *at)
{
	size_t i, back;
	json_t *o;
	int rc = 0;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > GR_LOAD_MAX_BURNS) {
		gr_load__in(at, "burns");
		return gr_load__bad(at, "wants a list of at most %u", GR_LOAD_MAX_BURNS);
	}
	json_array_foreach(list, i, o) {
		back = gr_load__nth(at, "burns", i);
		rc = one_burn(p, o, at);
		if (rc < 0)
			return rc;
		at->path[back] = 0;
	}
	return 0;
}

/* ---- the whole ---- */

static int get_choice(const json_t *o, const char *key, const char *no, const char *yes, bool *out, struct gr_load__at *at)
{
	const char *s = NULL;
	int rc = gr_load__get_str(o, key, &s, at);

	if (rc < 0 || !s)
		return rc;
	if (strcmp(s, no) && strcmp(s, yes)) {
		gr_load__in(at, key);
		return gr_load__bad(at, "\"%.40s\" is neither \"%s\" nor \"%s\"", s, no, yes);
	}
	*out = !strcmp(s, yes);
	return 0;
}

static int plain_members(struct gr_load_plan *p, const json_t *root, struct gr_load__at *at)
{
	int64_t workers = 0, threads = 1, connections = 0, streams = 100, seed = 1, body = 1 << 20;
	const char *name = "load", *ca = NULL, *node = NULL;
	int rc = get_choice(root, "model", "open", "closed", &p->is_closed, at);

	p->timeout_ns = 10 * NS, p->interval_ns = NS, p->late_ns = NS / 200, p->lease_ns = NS * 9 / 10;
	p->is_keepalive = true;
	if (rc >= 0)
		rc = get_choice(root, "http", "1.1", "2", &p->is_http2, at);
	if (rc >= 0)
		rc = get_choice(root, "on_lost", "redistribute", "fail", &p->is_lost_fatal, at);
	if (rc >= 0)
		rc = gr_load__get_str(root, "name", &name, at);
	if (rc >= 0)
		rc = gr_load__get_str(root, "ca", &ca, at);
	if (rc >= 0)
		rc = gr_load__get_str(root, "target_node", &node, at);
	if (rc >= 0)
		rc = gr_load__get_bool(root, "verify", &p->is_verified, at);
	if (rc >= 0)
		rc = gr_load__get_bool(root, "keepalive", &p->is_keepalive, at);
	if (rc >= 0)
		rc = gr_load__get_bool(root, "warm", &p->is_warm, at);
	if (rc >= 0)
		rc = gr_load__get_bool(root, "spin", &p->is_spinning, at);
	if (rc >= 0)
		rc = gr_load__get_int(root, "workers", 0, GR_LOAD_MAX_SHARDS, &workers, at);
	if (rc >= 0)
		rc = gr_load__get_int(root, "threads", 1, 64, &threads, at);
	if (rc >= 0)
		rc = gr_load__get_int(root, "connections", 0, 10000000, &connections, at);
	if (rc >= 0)
		rc = gr_load__get_int(root, "streams", 1, 1000, &streams, at);
	if (rc >= 0)
		rc = gr_load__get_int(root, "seed", 0, INT64_MAX, &seed, at);
	if (rc >= 0)
		rc = gr_load__get_int(root, "body_limit", 1024, 64 << 20, &body, at);
	if (rc >= 0)
		rc = gr_load__get_time(root, "timeout", NS / 1000, 3600 * NS, &p->timeout_ns, at);
	if (rc >= 0)
		rc = gr_load__get_time(root, "interval", NS / 10, 600 * NS, &p->interval_ns, at);
	if (rc >= 0)
		rc = gr_load__get_time(root, "late", NS / 1000000, 60 * NS, &p->late_ns, at);
	if (rc >= 0)
		rc = gr_load__get_time(root, "lease", NS / 5, 3600 * NS, &p->lease_ns, at);
	if (rc >= 0 && (!*name || strlen(name) > 100)) {
		gr_load__in(at, "name");
		rc = gr_load__bad(at, "wants 1 to 100 characters");
	}
	/* a thread without one could send nothing */
	if (rc >= 0 && connections && connections < threads * (workers ? workers : 1)) {
		gr_load__in(at, "connections");
		rc = gr_load__bad(at, "%lld are fewer than one for each of %lld threads", (long long)connections, (long long)(threads * (workers ? workers : 1)));
	}
	if (rc < 0)
		return rc;
	p->name = gr_xstrdup(name);
	p->ca = ca ? gr_xstrdup(ca) : NULL;
	p->target_node = node ? gr_xstrdup(node) : NULL;
	p->n_workers = (uint32_t)workers, p->n_threads = (uint32_t)threads, p->n_streams = (uint32_t)streams;
	p->n_connections = (uint32_t)connections, p->seed = (uint64_t)seed, p->body_limit = (uint64_t)body;
	return 0;
}

int gr_load_plan_from_json(const json_t *root, struct gr_load_plan **out, struct gr_err *err)
{
	static const char *const names[] = {
		"name", "target", "model", "http", "stages", "scenarios", "requests", "cookies", "csv", "thresholds", "burns", "workers",
		"threads", "connections", "streams", "timeout", "interval", "late", "lease", "on_lost", "verify", "ca", "keepalive",
		"warm", "spin", "seed", "body_limit", "target_node", "$schema", "comment", NULL
	};
	struct gr_load__at at = { .err = err };
	struct gr_load_plan *p;
	const char *target = NULL;
	int rc;

	if (!json_is_object(root))
		return gr_err_set(err, GR_ECONFIG, "a plan is a JSON object");
	GR_NEW(p);
	rc = gr_load__only(root, names, &at);
	if (rc >= 0)
		rc = gr_load__get_str(root, "target", &target, &at);
	if (rc >= 0)
		rc = plain_members(p, root, &at);
	if (rc >= 0)
		rc = gr_load__stages(p, json_object_get(root, "stages"), &at);
	if (rc >= 0)
		rc = gr_load__csv(p, json_object_get(root, "csv"), &at);
	if (rc >= 0)
		rc = gr_load__scenarios(p, root, target, &at);
	if (rc >= 0)
		rc = gr_load__thresholds(p, json_object_get(root, "thresholds"), &at);
	if (rc >= 0)
		rc = gr_load__burns(p, json_object_get(root, "burns"), &at);
	if (rc >= 0 && p->sched.len_s * 1e9 / (double)p->interval_ns > 100000)
		rc = gr_err_set(err, GR_ECONFIG, "interval: gives more than 100000 intervals; choose a longer one");
	if (rc < 0) {
		gr_load_plan_free(&p);
		return rc;
	}
	*out = p;
	return 0;
}

int gr_load_plan_parse(const char *text, size_t n, struct gr_load_plan **out, struct gr_err *err)
{
	json_error_t je;
	json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
	int rc;

	if (!root)
		return gr_err_set(err, GR_ECONFIG, "line %d, column %d: %s", je.line, je.column, je.text);
	rc = gr_load_plan_from_json(root, out, err);
	json_decref(root);
	return rc;
}

void gr_load_plan_free(struct gr_load_plan **pp)
{
	struct gr_load_plan *p = *pp;

	*pp = NULL;
	if (!p)
		return;
	gr_load__scenarios_fini(p);
	for (uint32_t i = 0; i < p->n_csv; i++) {
		struct gr_load_csv *t = &p->csv[i];

		for (size_t k = 0; k < (size_t)t->n_rows * t->n_columns; k++)
			free((void *)t->cells[k].p);
		for (uint32_t k = 0; k < t->n_columns; k++)
			free(t->columns[k]);
		free(t->cells);
		free(t->name);
	}
	for (uint32_t i = 0; i < p->n_thresholds; i++)
		free(p->thresholds[i].text);
	for (uint32_t i = 0; i < p->n_burns; i++)
		for (uint32_t k = 0; k < p->burns[i].n_named; k++)
			free(p->burns[i].workers[k]);
	for (uint32_t i = 0; i < p->n_vars; i++)
		free(p->vars[i]);
	free(p->sched.segs);
	free(p->name);
	free(p->ca);
	free(p->target_node);
	free(p);
}

const struct gr_load_scenario *gr_load_pick(const struct gr_load_plan *p, uint64_t k)
{
	struct gr_rng r = { p->seed * 0x2545f4914f6cdd1dull ^ k };
	double x;

	if (p->n_scenarios == 1)
		return &p->scenarios[0];
	x = (double)(gr_rng_u64(&r) >> 11) / (double)(1ull << 53) * p->weight_sum;
	for (uint32_t i = 0; i + 1 < p->n_scenarios; i++) {
		if (x < p->scenarios[i].weight)
			return &p->scenarios[i];
		x -= p->scenarios[i].weight;
	}
	return &p->scenarios[p->n_scenarios - 1];
}

uint32_t gr_load_part(uint32_t whole, uint32_t index, uint32_t of)
{
	return whole / of + (index < whole % of);
}
