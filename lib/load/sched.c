/* sched.c - when each arrival is due: the stages as pieces of three curves, their integrals, and the integrals' inverse
 *
 * N(t), the number of arrivals due before t, is the integral of the rate; arrival k is due when N reaches k. Hold and ramp
 * are inverted in closed form, a sine by Newton's method between the ends of its piece. Steps and spikes are holds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/load/plan.h"

static double level(const struct gr_load_segment *g, double t)
{
	double v;

	switch (g->curve) {
	case GR_LOAD_HOLD:
		return g->from;
	case GR_LOAD_RAMP:
		return g->from + (g->to - g->from) * (t / g->len_s);
	case GR_LOAD_SINE:
		v = g->from + g->to * sin(2 * M_PI * t / g->period_s);
		return v > 0 ? v : 0;
	}
	return 0;
}

/* Arrivals in the piece's first @t seconds. A sine's amplitude is at most its mean, so that it never needs clipping. */
static double integral(const struct gr_load_segment *g, double t)
{
	switch (g->curve) {
	case GR_LOAD_HOLD:
		return g->from * t;
	case GR_LOAD_RAMP:
		return g->from * t + (g->to - g->from) * t * t / (2 * g->len_s);
	case GR_LOAD_SINE:
		return g->from * t + g->to * g->period_s / (2 * M_PI) * (1 - cos(2 * M_PI * t / g->period_s));
	}
	return 0;
}

static double invert(const struct gr_load_segment *g, double n)
{
	double slope, lo = 0, hi = g->len_s, t;

	switch (g->curve) {
	case GR_LOAD_HOLD:
		return g->from > 0 ? n / g->from : g->len_s;
	case GR_LOAD_RAMP:
		/* the form that does not cancel when the slope is small */
		slope = (g->to - g->from) / g->len_s;
		t = g->from * g->from + 2 * slope * n;
		t = g->from + sqrt(t > 0 ? t : 0);
		return t > 0 ? 2 * n / t : n > 0 ? g->len_s : 0;
	case GR_LOAD_SINE:
		t = g->from > 0 ? n / g->from : 0;
		for (int i = 0; i < 60; i++) {
			double f = integral(g, t) - n, d = level(g, t), next;

			if (f > 0)
				hi = t;
			else
				lo = t;
			next = d > 0 ? t - f / d : lo;
			if (!(next > lo && next < hi))
				next = (lo + hi) / 2;
			if (fabs(next - t) < 1e-10)
				return next;
			t = next;
		}
		return t;
	}
	return 0;
}

uint64_t gr_load_n_arrivals(const struct gr_load_sched *s)
{
	/* 500/s for 0.1 s are 50, though 0.1 is a little more than a tenth */
	return (uint64_t)ceil(s->n_total - 1e-6);
}

uint64_t gr_load_when(const struct gr_load_sched *s, uint32_t *i_seg, uint64_t k)
{
	const struct gr_load_segment *g;
	double t;

	while (*i_seg + 1 < s->n_segs && s->segs[*i_seg + 1].n_before <= (double)k)
		++*i_seg;
	while (*i_seg && s->segs[*i_seg].n_before > (double)k)
		--*i_seg;
	g = &s->segs[*i_seg];
	t = invert(g, (double)k - g->n_before);
	if (!(t < g->len_s))
		t = g->len_s;
	if (t < 0)
		t = 0;
	return (uint64_t)llround((g->start_s + t) * 1e9);
}

static const struct gr_load_segment *segment_at(const struct gr_load_sched *s, double t_s)
{
	uint32_t lo = 0, hi = s->n_segs;

	if (!(t_s >= 0) || t_s >= s->len_s)
		return NULL;
	while (hi - lo > 1) {
		uint32_t mid = (lo + hi) / 2;

		if (s->segs[mid].start_s <= t_s)
			lo = mid;
		else
			hi = mid;
	}
	return &s->segs[lo];
}

double gr_load_count_at(const struct gr_load_sched *s, double t_s)
{
	const struct gr_load_segment *g = segment_at(s, t_s);

	if (!g)
		return t_s < 0 ? 0 : s->n_total;
	return g->n_before + integral(g, t_s - g->start_s);
}

double gr_load_level_at(const struct gr_load_sched *s, double t_s)
{
	const struct gr_load_segment *g = segment_at(s, t_s);

	return g ? level(g, t_s - g->start_s) : 0;
}

/* ---- from JSON ---- */

static int add(struct gr_load_plan *p, struct gr_load_segment g, struct gr_load__at *at)
{
	struct gr_load_sched *s = &p->sched;
	double top = g.curve == GR_LOAD_HOLD ? g.from : g.curve == GR_LOAD_RAMP ? (g.from > g.to ? g.from : g.to) : g.from + g.to;

	if (g.len_s <= 0)
		return 0;
	if (s->n_segs == GR_LOAD_MAX_SEGMENTS)
		return gr_load__bad(at, "the stages have more than %u pieces", GR_LOAD_MAX_SEGMENTS);
	g.start_s = s->len_s;
	g.n_before = s->n_total;
	s->segs = gr_xrealloc(s->segs, (s->n_segs + 1) * sizeof(*s->segs));
	s->segs[s->n_segs++] = g;
	s->len_s += g.len_s;
	s->n_total += integral(&g, g.len_s);
	/* 10/s for 1.1 s are 11, not a little more, of which the next would be due in this piece still */
	if (fabs(s->n_total - rint(s->n_total)) < 1e-6)
		s->n_total = rint(s->n_total);
	if (top > s->peak)
		s->peak = top;
	return 0;
}

static int get_level(const struct gr_load_plan *p, const json_t *o, const char *key, double *out, struct gr_load__at *at)
{
	const json_t *v = json_object_get(o, key);
	size_t back = gr_load__in(at, key);
	double max = p->is_closed ? 1000000 : GR_LOAD_MAX_RATE;

	if (!v)
		return gr_load__bad(at, "is missing: wants %s", p->is_closed ? "a number of users" : "a rate such as \"500/s\"");
	if (json_is_number(v))
		*out = json_number_value(v);
	else if (p->is_closed || !json_is_string(v) || gr_load_rate(json_string_value(v), out) < 0)
		return gr_load__bad(at, "wants %s", p->is_closed ? "a number of users" : "a rate such as \"500/s\" or \"30/min\"");
	if (!(*out >= 0) || *out > max)
		return gr_load__bad(at, "%g is not within 0 to %.0f", *out, max);
	at->path[back] = 0;
	return 0;
}

static int stage_hold(struct gr_load_plan *p, const json_t *o, double len, struct gr_load__at *at)
{
	struct gr_load_segment g = { .curve = GR_LOAD_HOLD, .len_s = len };
	int rc = get_level(p, o, p->is_closed ? "users" : "rate", &g.from, at);

	return rc < 0 ? rc : add(p, g, at);
}

static int stage_ramp(struct gr_load_plan *p, const json_t *o, double len, struct gr_load__at *at)
{
	struct gr_load_segment g = { .curve = GR_LOAD_RAMP, .len_s = len };
	int rc = get_level(p, o, "from", &g.from, at);

	if (rc >= 0)
		rc = get_level(p, o, "to", &g.to, at);
	if (rc >= 0 && g.from == g.to)
		g.curve = GR_LOAD_HOLD;
	return rc < 0 ? rc : add(p, g, at);
}

static int stage_step(struct gr_load_plan *p, const json_t *o, double len, struct gr_load__at *at)
{
	int64_t steps = 0;
	double from, to;
	int rc = get_level(p, o, "from", &from, at);

	if (rc >= 0)
		rc = get_level(p, o, "to", &to, at);
	if (rc >= 0 && !json_object_get(o, "steps"))
		rc = gr_load__bad(at, "steps is missing: wants how many levels there are between from and to");
	if (rc >= 0)
		rc = gr_load__get_int(o, "steps", 2, 256, &steps, at);
	for (int64_t i = 0; rc >= 0 && i < steps; i++)
		rc = add(p, (struct gr_load_segment){ .curve = GR_LOAD_HOLD, .len_s = len / (double)steps,
						      .from = from + (to - from) * (double)i / (double)(steps - 1) }, at);
	return rc;
}

static int stage_spike(struct gr_load_plan *p, const json_t *o, double len, struct gr_load__at *at)
{
	uint64_t at_ns = 0, width_ns = 0, len_ns = (uint64_t)llround(len * 1e9);
	double base, peak;
	int rc = get_level(p, o, p->is_closed ? "users" : "rate", &base, at);

	if (rc >= 0)
		rc = get_level(p, o, "peak", &peak, at);
	if (rc >= 0 && (!json_object_get(o, "at") || !json_object_get(o, "width")))
		rc = gr_load__bad(at, "a spike wants \"at\" and \"width\", times");
	if (rc >= 0)
		rc = gr_load__get_time(o, "at", 0, len_ns, &at_ns, at);
	if (rc >= 0)
		rc = gr_load__get_time(o, "width", 1, len_ns - at_ns, &width_ns, at);
	if (rc >= 0)
		rc = add(p, (struct gr_load_segment){ .len_s = (double)at_ns / 1e9, .from = base }, at);
	if (rc >= 0)
		rc = add(p, (struct gr_load_segment){ .len_s = (double)width_ns / 1e9, .from = peak }, at);
	if (rc >= 0)
		rc = add(p, (struct gr_load_segment){ .len_s = len - (double)(at_ns + width_ns) / 1e9, .from = base }, at);
	return rc;
}

static int stage_sine(struct gr_load_plan *p, const json_t *o, double len, struct gr_load__at *at)
{
	struct gr_load_segment g = { .curve = GR_LOAD_SINE, .len_s = len };
	uint64_t period = 0;
	int rc = get_level(p, o, p->is_closed ? "users" : "rate", &g.from, at);

	if (rc >= 0)
		rc = get_level(p, o, "amplitude", &g.to, at);
	if (rc >= 0 && g.to > g.from)
		rc = gr_load__bad(at, "amplitude %g is more than the mean %g: the rate would be negative", g.to, g.from);
	if (rc >= 0 && !json_object_get(o, "period"))
		rc = gr_load__bad(at, "period is missing: wants a time");
	if (rc >= 0)
		rc = gr_load__get_time(o, "period", 100000000, GR_LOAD_MAX_NS, &period, at);
	g.period_s = (double)period / 1e9;
	return rc < 0 ? rc : add(p, g, at);
}

static const struct {
	const char *kind;
	int (*fn)(struct gr_load_plan *p, const json_t *o, double len, struct gr_load__at *at);
	const char *members[10];
} kinds[] = {
	{ "hold", stage_hold, { "kind", "for", "rate", "users", NULL } },
	{ "ramp", stage_ramp, { "kind", "for", "from", "to", NULL } },
	{ "step", stage_step, { "kind", "for", "from", "to", "steps", NULL } },
	{ "spike", stage_spike, { "kind", "for", "rate", "users", "peak", "at", "width", NULL } },
	{ "sine", stage_sine, { "kind", "for", "rate", "users", "amplitude", "period", NULL } },
};

static int one_stage(struct gr_load_plan *p, const json_t *o, struct gr_load__at *at)
{
	const char *kind = "hold";
	uint64_t len = 0;
	int rc;

	if (!json_is_object(o))
		return gr_load__bad(at, "wants an object such as {\"kind\": \"hold\", \"rate\": \"500/s\", \"for\": \"60s\"}");
	rc = gr_load__get_str(o, "kind", &kind, at);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < GR_LEN(kinds); i++) {
		if (strcmp(kinds[i].kind, kind))
			continue;
		rc = gr_load__only(o, kinds[i].members, at);
		if (rc >= 0 && !json_object_get(o, "for"))
			rc = gr_load__bad(at, "for is missing: wants a time such as \"60s\"");
		if (rc >= 0)
			rc = gr_load__get_time(o, "for", 1000000, GR_LOAD_MAX_NS, &len, at);
		return rc < 0 ? rc : kinds[i].fn(p, o, (double)len / 1e9, at);
	}
	gr_load__in(at, "kind");
	return gr_load__bad(at, "\"%.40s\" is no kind of stage: hold, ramp, step, spike or sine", kind);
}

int gr_load__stages(struct gr_load_plan *p, const json_t *stages, struct gr_load__at *at)
{
	size_t i, back;
	json_t *o;
	int rc = 0;

	if (!json_is_array(stages) || !json_array_size(stages) || json_array_size(stages) > GR_LOAD_MAX_STAGES) {
		gr_load__in(at, "stages");
		return gr_load__bad(at, "wants a list of 1 to %u stages", GR_LOAD_MAX_STAGES);
	}
	json_array_foreach(stages, i, o) {
		back = gr_load__nth(at, "stages", i);
		rc = one_stage(p, o, at);
		if (rc < 0)
			return rc;
		at->path[back] = 0;
	}
	if (p->sched.len_s * 1e9 > (double)GR_LOAD_MAX_NS)
		return gr_load__bad(at, "stages: more than a week together");
	if (p->sched.n_total > 1e13 || p->sched.peak <= 0)
		return gr_load__bad(at, p->sched.peak <= 0 ? "stages: there is no load in any of them" : "stages: too many arrivals");
	return 0;
}
