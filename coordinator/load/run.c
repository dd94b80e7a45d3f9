/* run.c - the life of a test; what the workers say of it */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/load/load.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define TICK_MS 100
#define PLACE_NS (60 * GR_NS_PER_S)               /* room for all shares at once; after 5 s it is kept */
#define PREPARE_NS (15 * GR_NS_PER_S)
#define LATE_REPORT_NS (3 * GR_NS_PER_S)
#define END_NS (5 * GR_NS_PER_S)                 /* after timeout and plan: who has not ended is lost */
#define STOP_NS (3 * GR_NS_PER_S)
#define LINGER_NS (60 * GR_NS_PER_S)             /* an ended test is remembered for the metrics */

const char *const gr_run_state_names[] = { "placing", "preparing", "syncing", "running", "ended" };

struct gr_run *gr_run_find(struct gr_coord *c, uint64_t id)
{
	GR_LIST_EACH(r, &c->load->runs, struct gr_run, link)
		if (r->id == id)
			return r;
	return NULL;
}

static void interval_free(struct gr_interval *v)
{
	gr_list_del(&v->link);
	gr_tally_fini(&v->t);
	free(v);
}

static void run_free(struct gr_run *r)
{
	gr_list_del(&r->link);
	GR_LIST_EACH_SAFE(v, &r->open, struct gr_interval, link)
		interval_free(v);
	gr_gang_leave(r);
	for (uint32_t i = 0; i < r->n_members; i++)
		gr_hdr_fini(&r->members[i].latency);
	gr_tally_fini(&r->total);
	gr_tally_fini(&r->last);
	gr_load_plan_free(&r->plan);
	json_decref(r->plan_json);
	free(r->members);
	if (r->fd >= 0)
		close(r->fd);
	r->c->load->n_runs--;
	free(r);
}

static void write_head(struct gr_run *r)
{
	char id[17];

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)r->id);
	gr_keep_line(r, json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:f, s:f, s:f, s:i}", "type", "run", "run", id, "name", r->plan->name, "asked_ms",
				  (json_int_t)gr_clock_real_ms(), "owner", r->owner, "model", r->plan->is_closed ? "closed" : "open", "target",
				  r->plan->origins[0].authority, "peak", r->plan->sched.peak, "arrivals", r->plan->sched.n_total, "len_s",
				  r->plan->sched.len_s, "workers", (int)r->n_wanted));
	gr_keep_line(r, json_pack("{s:s, s:O}", "type", "plan", "plan", r->plan_json));
}

int gr_run_start(struct gr_coord *c, const json_t *plan, const char *owner, uint64_t *id, struct gr_err *err)
{
	struct gr_run *r;
	int rc;

	GR_LIST_EACH_SAFE(o, &c->load->runs, struct gr_run, link)
		if (c->load->n_runs >= GR_LOAD_MAX_RUNS && o->state == GR_RUN_ENDED)
			run_free(o);             /* remembered for the metrics alone, the longest of all */
	if (c->load->n_runs >= GR_LOAD_MAX_RUNS)
		return gr_err_set(err, GR_EBUSY, "%u load tests are running already", GR_LOAD_MAX_RUNS);
	GR_NEW(r);
	r->c = c;
	r->fd = -1;
	r->queued = -1;
	gr_list_init(&r->link);
	gr_list_init(&r->open);
	c->load->n_runs++;
	snprintf(r->owner, sizeof(r->owner), "%s", owner);
	r->plan_json = json_deep_copy(plan);
	r->asked_ns = gr_coord_now(c);
	/* by time: files sort in the order in which tests were started */
	r->id = gr_clock_real_ms() << 20 | (gr_rng_u64(gr_loop_rng(c->loop)) & 0xfffff);
	rc = gr_load_plan_from_json(plan, &r->plan, err);
	if (rc >= 0) {
		gr_tally_init(&r->total, r->plan);
		gr_tally_init(&r->last, r->plan);
		rc = gr_gang_ask(r, err);
	}
	if (rc >= 0)
		rc = gr_keep_open(r, err);
	if (rc < 0) {
		run_free(r);
		return rc;
	}
	gr_list_push(&c->load->runs, &r->link);
	gr_info("load", "test %016llx \"%s\" of %s: %u workers, %.0f arrivals in %.0f s", (unsigned long long)r->id, r->plan->name, r->owner,
		r->n_wanted, r->plan->sched.n_total, r->plan->sched.len_s);
	write_head(r);
	*id = r->id;
	return 0;
}

/* ---- intervals ---- */

static struct gr_interval *interval_of(struct gr_run *r, uint32_t i)
{
	struct gr_list *before = &r->open;
	struct gr_interval *v;

	if (i < r->i_next)
		i = r->i_next;                   /* far too late: its numbers stand in the next line, no one is lost */
	GR_LIST_EACH(o, &r->open, struct gr_interval, link) {
		if (o->i == i)
			return o;
		if (o->i < i)
			before = &o->link;
	}
	GR_NEW(v);
	v->i = i;
	gr_tally_init(&v->t, r->plan);
	gr_list_insert(before, &v->link);
	return v;
}

static bool is_complete(const struct gr_run *r, uint32_t i)
{
	for (uint32_t k = 0; k < r->n_members; k++) {
		const struct gr_member *m = &r->members[k];

		if (!m->is_traffic || m->state != GR_MEMBER_RUNNING)
			continue;
		if (!m->n_parts)
			return false;
		for (uint32_t p = 0; p < m->n_parts; p++)
			if (m->next[p] <= i)
				return false;
	}
	return true;
}

static void write_intervals(struct gr_run *r, bool all)
{
	uint64_t now = gr_coord_now(r->c);

	while (!gr_list_is_empty(&r->open)) {
		struct gr_interval *v = GR_CONTAINER(r->open.next, struct gr_interval, link);
		uint64_t end_ns = r->start_ns + (v->i + 1) * r->plan->interval_ns;
		json_t *o;

		if (!all && !is_complete(r, v->i) && now < end_ns + LATE_REPORT_NS)
			return;
		gr_tally_merge(&r->total, &v->t);
		o = gr_tally_json(&v->t, r->plan);
		json_object_set_new(o, "type", json_string("interval"));
		json_object_set_new(o, "i", json_integer(v->i));
		json_object_set_new(o, "t_s", json_real((double)v->i * (double)r->plan->interval_ns / 1e9));
		json_object_set_new(o, "len_s", json_real((double)r->plan->interval_ns / 1e9));
		gr_keep_line(r, o);
		gr_point_add(r, v);
		r->i_next = v->i + 1;
		gr_tally_fini(&r->last);
		r->last = v->t;
		gr_list_del(&v->link);
		free(v);
		gr_load_watch(r);
	}
}

/* ---- the end ---- */

static void end(struct gr_run *r)
{
	if (r->state == GR_RUN_ENDED)
		return;
	write_intervals(r, true);
	r->state = GR_RUN_ENDED;
	r->ended_ns = gr_coord_now(r->c);
	gr_keep_line(r, gr_load_end_line(r));
	gr_keep_line(r, gr_load_summary_line(r));
	gr_gang_leave(r);
	for (uint32_t i = 0; i < r->n_members; i++)
		r->members[i].worker = NULL;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	gr_info("load", "test %016llx ended: %s%s%s", (unsigned long long)r->id, gr_load_verdict_name(r->verdict), r->why[0] ? ": " : "", r->why);
}

void gr_run_stop(struct gr_run *r, enum gr_load_verdict v, const char *fmt, ...)
{
	va_list ap;

	if (r->is_stopping || r->state == GR_RUN_ENDED)
		return;
	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	r->verdict = v;
	r->is_stopping = true;
	gr_members_stop(r);
	r->stop_ns = gr_coord_now(r->c);
	gr_run_check(r);
}

void gr_run_check(struct gr_run *r)
{
	bool is_all = true;

	for (uint32_t i = 0; i < r->n_members; i++)
		is_all &= r->members[i].state >= GR_MEMBER_ENDED;
	if (is_all)
		end(r);
}

static void is_over_time(struct gr_run *r, uint64_t now)
{
	uint64_t limit = r->is_stopping ? r->stop_ns + STOP_NS :
			 r->state == GR_RUN_RUNNING ? r->start_ns + (uint64_t)(r->plan->sched.len_s * 1e9) + r->plan->timeout_ns + END_NS :
			 r->state == GR_RUN_PLACING ? r->asked_ns + PLACE_NS :
			 r->prepared_ns + PREPARE_NS + (r->plan->is_warm ? GR_LOAD_WARM_NS : 0);

	if (now < limit)
		return;
	if (!r->is_stopping && r->state == GR_RUN_PLACING) {
		gr_run_stop(r, GR_LOAD_V_ERROR, "there was no room on %u workers at once in %llu s: %s", r->n_wanted,
			    (unsigned long long)(PLACE_NS / GR_NS_PER_S), gr_gang_why(r));
		return;
	}
	if (!r->is_stopping && r->state != GR_RUN_RUNNING) {
		for (uint32_t i = 0; i < r->n_members; i++)
			if (r->members[i].state == GR_MEMBER_ASKED) {
				gr_run_stop(r, GR_LOAD_V_ERROR, "worker %s was not ready in %llu s", r->members[i].name,
					    (unsigned long long)(PREPARE_NS / GR_NS_PER_S));
				return;
			}
		gr_run_stop(r, GR_LOAD_V_ERROR, "the workers' clocks could not be read in time");
		return;
	}
	for (uint32_t i = 0; i < r->n_members; i++)
		if (r->members[i].state < GR_MEMBER_ENDED)
			gr_member_lost(r, &r->members[i], "it did not say that it ended");
	end(r);
}

static void on_tick(void *ctx)
{
	struct gr_coord *c = ctx;
	uint64_t now = gr_coord_now(c);

	GR_LIST_EACH_SAFE(r, &c->load->runs, struct gr_run, link) {
		if (r->state == GR_RUN_ENDED) {
			if (now > r->ended_ns + LINGER_NS)
				run_free(r);
			continue;
		}
		if (r->state > GR_RUN_PREPARING || r->is_stopping)
			gr_members_beat(r);
		if (r->state == GR_RUN_RUNNING)
			write_intervals(r, false);
		if (r->state != GR_RUN_ENDED)
			is_over_time(r, now);
	}
}

/* ---- from workers ---- */

static int on_state(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	const char *hex, *state, *why;
	struct gr_member *m;
	struct gr_run *r;
	json_t *o;
	int rc = gr_json_decode(body, &o, NULL);

	if (rc < 0)
		return rc;
	hex = json_string_value(json_object_get(o, "run"));
	state = json_string_value(json_object_get(o, "state"));
	why = json_string_value(json_object_get(o, "why"));
	r = hex ? gr_run_find(c, strtoull(hex, NULL, 16)) : NULL;
	m = r ? gr_member_of(r, w) : NULL;
	if (!hex || !state) {
		json_decref(o);
		return GR_EPROTO;
	}
	if (!m || r->state == GR_RUN_ENDED) {
		json_decref(o);
		return 0;
	}
	if (!strcmp(state, "ready") && m->state == GR_MEMBER_ASKED) {
		bool is_all = true;

		m->state = GR_MEMBER_READY;
		for (uint32_t i = 0; i < r->n_members; i++)
			is_all &= r->members[i].state == GR_MEMBER_READY;
		if (is_all && r->state == GR_RUN_PREPARING && !r->is_stopping) {
			r->state = GR_RUN_SYNCING;
			gr_members_beat(r);
		}
	} else if (!strcmp(state, "failed")) {
		m->state = GR_MEMBER_ENDED;
		gr_member_release(r, m);
		gr_run_stop(r, GR_LOAD_V_ERROR, "worker %s: %.300s", m->name, why ? why : "failed");
	} else if (!strcmp(state, "ended") && m->state < GR_MEMBER_ENDED) {
		bool is_cut = json_is_true(json_object_get(o, "cut"));

		if (is_cut && !r->is_stopping) {
			gr_member_lost(r, m, why ? why : "it stopped by itself");
		} else {
			m->state = GR_MEMBER_ENDED;
			gr_member_release(r, m);
		}
		if (why && *why && !is_cut && !r->is_stopping && !r->burn[0])
			snprintf(r->burn, sizeof(r->burn), "worker %s: %.200s", m->name, why);
		if (why && *why && !is_cut)
			gr_keep_line(r, json_pack("{s:s, s:s, s:s}", "type", "note", "worker", m->name, "text", why));
	}
	json_decref(o);
	gr_run_check(r);
	return 0;
}

static int on_clock(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	uint64_t now = gr_coord_now(c), way;
	struct gr_load_clock m;
	int rc = gr_load_clock_decode(body, &m);

	if (rc < 0)
		return rc;
	if (m.sent_ns > now || m.back_ns < m.received_ns)
		return GR_EPROTO;
	way = now - m.sent_ns - (m.back_ns - m.received_ns);
	GR_LIST_EACH_SAFE(r, &c->load->runs, struct gr_run, link) {
		struct gr_member *e = r->state == GR_RUN_ENDED ? NULL : gr_member_of(r, w);

		if (!e)
			continue;
		if ((!e->n_clocks || way < e->rtt_ns) && r->state < GR_RUN_RUNNING) {
			e->rtt_ns = way;
			e->offset_ns = ((int64_t)(m.received_ns - m.sent_ns) + (int64_t)(m.back_ns - now)) / 2;
		}
		e->n_clocks++;
		if (r->state != GR_RUN_SYNCING)
			continue;
		if (e->n_clocks < GR_LOAD_N_CLOCKS) {    /* the next at once */
			struct gr_load_clock clock = { .sent_ns = gr_coord_now(c) };
			struct gr_buf frame = { 0 };

			gr_load_clock_encode(&frame, &clock);
			gr_member_send(r, e, &frame);
		} else if (gr_members_are_known(r)) {
			r->state = GR_RUN_RUNNING;
			gr_members_start(r);
		}
	}
	return 0;
}

static int on_stats(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	struct gr_interval *v;
	struct gr_load_stats m;
	struct gr_tally t;
	struct gr_member *e;
	struct gr_run *r;
	int rc = gr_load_stats_decode(body, &m);

	if (rc < 0)
		return rc;
	r = gr_run_find(c, m.run);
	e = r ? gr_member_of(r, w) : NULL;
	if (!e || r->state != GR_RUN_RUNNING || !e->is_traffic || e->state >= GR_MEMBER_ENDED)
		return 0;
	/* a worker may have several processes of so many threads */
	if (m.n_parts % r->plan->n_threads || m.n_parts > GR_LEN(e->next) || (e->n_parts && e->n_parts != m.n_parts) || m.interval > 200000)
		return GR_EPROTO;
	e->n_parts = m.n_parts;
	if (m.interval < e->next[m.part])
		return 0;                        /* had it */
	/* one by itself first: what is malformed leaves no trace */
	gr_tally_init(&t, r->plan);
	rc = gr_tally_add(&t, &m);
	if (rc == 0) {
		v = interval_of(r, m.interval);
		for (uint32_t i = 0; i < GR_LOAD_N_GAUGES; i++)
			t.gauges[i] += v->t.gauges[i];
		gr_tally_merge(&v->t, &t);
		gr_tally_latency(&t, -1, &e->latency);
		e->due += t.n[GR_LOAD_N_DUE];
		e->requests += t.n[GR_LOAD_N_DONE];
		e->next[m.part] = m.is_last ? UINT32_MAX : m.interval + 1;
		if (m.first_ns && (!e->first_ns || m.first_ns < e->first_ns))
			e->first_ns = m.first_ns;
		write_intervals(r, false);
	}
	gr_tally_fini(&t);
	return rc;
}

int gr_load_message(struct gr_coord *c, struct gr_worker *w, int type, struct gr_slice body)
{
	if (!c->load)
		return 0;
	switch (type) {
	case GR_MSG_LOAD_STATE: return on_state(c, w, body);
	case GR_MSG_LOAD_CLOCK: return on_clock(c, w, body);
	case GR_MSG_LOAD_STATS: return on_stats(c, w, body);
	default: return GR_EROLE;
	}
}

void gr_load_worker_gone(struct gr_coord *c, struct gr_worker *w)
{
	if (!c->load)
		return;
	GR_LIST_EACH_SAFE(r, &c->load->runs, struct gr_run, link) {
		struct gr_member *m = r->state == GR_RUN_ENDED ? NULL : gr_member_of(r, w);

		if (!m)
			continue;
		gr_member_lost(r, m, "its connection is gone");
		gr_run_check(r);
	}
}

void gr_load_init(struct gr_coord *c)
{
	GR_NEW(c->load);
	gr_list_init(&c->load->runs);
	c->load->timer = gr_timer_start(c->loop, TICK_MS, TICK_MS, on_tick, c);
}

void gr_load_fini(struct gr_coord *c)
{
	if (!c->load)
		return;
	gr_timer_stop(&c->load->timer);
	GR_LIST_EACH_SAFE(r, &c->load->runs, struct gr_run, link) {
		if (r->state != GR_RUN_ENDED) {
			r->verdict = GR_LOAD_V_STOPPED;
			snprintf(r->why, sizeof(r->why), "the coordinator ended");
			end(r);
		}
		run_free(r);
	}
	free(c->load);
	c->load = NULL;
}
