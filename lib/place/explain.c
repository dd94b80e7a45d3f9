/* explain.c - why here, why not there: the same costs the decision uses, for every worker, with the numbers */
#include "lib/place/place.h"

#include "lib/place/place_int.h"

const char *gr_place_verdict_name(enum gr_place_verdict v)
{
	static const char *const names[] = {
		"fits", "no toolchain", "too small", "no room", "no credit", "draining", "quarantined", "paused",
		"excluded", "other zone",
	};

	return (unsigned)v < sizeof(names) / sizeof(names[0]) ? names[v] : "?";
}

const char *gr_place_res_name(enum gr_place_res r)
{
	static const char *const names[] = { "cpu_mcpu", "mem_mib", "disk_mib", "gpu_milli", "user0", "user1", "user2", "user3" };

	return (unsigned)r < GR_PLACE_N_RES ? names[r] : "?";
}

static void judge(const struct gr_place *p, const struct gr_place__worker *w, const struct gr_place_task *t,
		  const struct gr_place_class *c, struct gr_place_why *y)
{
	y->verdict = GR_PLACE_V_FITS;
	for (uint32_t i = 0; i < t->n_exclude; i++)
		if (t->exclude[i] == w->id)
			y->verdict = GR_PLACE_V_EXCLUDED;
	if (y->verdict != GR_PLACE_V_FITS)
		return;
	if (!gr_place__has_env(w, c->env)) {
		y->verdict = GR_PLACE_V_NO_ENV;
	} else if (c->zone && c->zone != w->zone) {
		y->verdict = GR_PLACE_V_ZONE;
	} else if (!gr_place__fits_shape(p, w, c, &y->res)) {
		y->verdict = GR_PLACE_V_TOO_SMALL;
		y->asked = c->need.v[y->res];
		y->free = w->cap.v[y->res];
	} else if (w->is_draining) {
		y->verdict = GR_PLACE_V_DRAINING;
	} else if (w->blocked_until_ns) {
		y->verdict = w->is_quarantined ? GR_PLACE_V_QUARANTINED : GR_PLACE_V_PAUSED;
	} else if (w->n_placed >= gr_place__depth(p, w)) {
		y->verdict = GR_PLACE_V_NO_CREDIT;
		y->asked = w->n_placed;
		y->free = gr_place__depth(p, w);
	} else {
		for (int r = GR_PLACE_CPU_MCPU + 1; r < GR_PLACE_N_RES; r++)
			if (c->need.v[r] > w->cap.v[r] - w->used.v[r]) {
				y->verdict = GR_PLACE_V_NO_ROOM;
				y->res = (enum gr_place_res)r;
				y->asked = c->need.v[r];
				y->free = w->cap.v[r] - w->used.v[r];
			}
	}
}

uint32_t gr_place_explain(const struct gr_place *p, uint64_t now_ns, const struct gr_place_task *t,
			  struct gr_place_why *out, uint32_t max)
{
	const struct gr_place_class *c = &p->classes[t->class].spec;
	uint32_t work_us = gr_place__work_us(p, t), n = 0;

	(void)now_ns;
	for (uint32_t i = 0; i < p->n_workers && n < max; i++) {
		const struct gr_place__worker *w = &p->workers[i];
		struct gr_place__cost cost;

		if (!w->is_up)
			continue;
		cost = gr_place__cost(p, i, t, work_us, c->need.v[GR_PLACE_CPU_MCPU]);
		out[n] = (struct gr_place_why){
			.worker = w->id, .worker_tag = w->tag, .wait_us = cost.wait_us, .fetch_us = cost.fetch_us,
			.run_us = cost.run_us, .score_us = cost.wait_us + cost.fetch_us + cost.run_us,
			.speed_permille = w->speed_permille,
			.contention_permille = gr_place__contention(p, w, c->need.v[GR_PLACE_CPU_MCPU]),
		};
		judge(p, w, t, c, &out[n++]);
	}
	return n;
}
