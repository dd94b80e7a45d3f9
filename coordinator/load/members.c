/* members.c - the workers of a test: prepared, clocks compared, shares given, loss borne
 *
 * Offsets: the worker's clock less ours is ((received - sent) + (back - now)) / 2, wrong by at most half the way there and
 * back; of several exchanges the one with the shortest way is believed. After the start each exchange is also the lease. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/load/load.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define START_LEAD_NS (300 * GR_NS_PER_MS)
#define MOVE_LEAD_NS (400 * GR_NS_PER_MS)

struct gr_member *gr_member_of(struct gr_run *r, const struct gr_worker *w)
{
	for (uint32_t i = 0; i < r->n_members; i++)
		if (r->members[i].worker == w)
			return &r->members[i];
	return NULL;
}

/* ---- messages ---- */

void gr_member_send(struct gr_run *r, struct gr_member *m, struct gr_buf *frame)
{
	int rc = m->worker ? gr_peers_send(r->c, m->worker->peer, frame) : GR_EGONE;

	gr_buf_fini(frame);
	if (rc < 0 && m->worker)
		gr_warn("load", "worker %s: %s", m->name, gr_err_text(rc));
}

void gr_members_prepare(struct gr_run *r)
{
	for (uint32_t i = 0; i < r->n_members; i++) {
		struct gr_member *m = &r->members[i];
		struct gr_buf frame = { 0 };
		char id[17];
		json_t *o;

		snprintf(id, sizeof(id), "%016llx", (unsigned long long)r->id);
		o = json_pack("{s:s, s:i, s:b, s:i, s:i, s:i, s:O}", "run", id, "shard", (int)i, "traffic", m->is_traffic, "index", (int)m->index,
			      "of", (int)(m->of ? m->of : 1), "burns", (int)m->burns, "plan", r->plan_json);
		gr_json_encode(&frame, GR_MSG_LOAD_PREPARE, o);
		json_decref(o);
		gr_member_send(r, m, &frame);
	}
}

void gr_members_beat(struct gr_run *r)
{
	for (uint32_t i = 0; i < r->n_members; i++) {
		struct gr_load_clock clock = { .sent_ns = gr_coord_now(r->c) };
		struct gr_buf frame = { 0 };

		if (!r->members[i].worker || r->members[i].state >= GR_MEMBER_ENDED)
			continue;
		gr_load_clock_encode(&frame, &clock);
		gr_member_send(r, &r->members[i], &frame);
	}
}

bool gr_members_are_known(const struct gr_run *r)
{
	for (uint32_t i = 0; i < r->n_members; i++)
		if (r->members[i].state != GR_MEMBER_LOST && r->members[i].n_clocks < GR_LOAD_N_CLOCKS)
			return false;
	return true;
}

void gr_members_start(struct gr_run *r)
{
	r->start_ns = gr_coord_now(r->c) + START_LEAD_NS;
	r->started_ms = gr_clock_real_ms() + (r->start_ns - gr_coord_now(r->c)) / GR_NS_PER_MS;
	for (uint32_t i = 0; i < r->n_members; i++) {
		struct gr_buf frame = { 0 };

		r->members[i].state = GR_MEMBER_RUNNING;
		gr_load_start_encode(&frame, r->id, (uint64_t)((int64_t)r->start_ns + r->members[i].offset_ns));
		gr_member_send(r, &r->members[i], &frame);
	}
}

void gr_members_stop(struct gr_run *r)
{
	for (uint32_t i = 0; i < r->n_members; i++) {
		struct gr_buf frame = { 0 };

		if (!r->members[i].worker || r->members[i].state >= GR_MEMBER_ENDED)
			continue;
		gr_load_stop_encode(&frame, r->id);
		gr_member_send(r, &r->members[i], &frame);
	}
}

/* First requests, by our clock. */
double gr_members_skew_ms(const struct gr_run *r)
{
	int64_t lo = INT64_MAX, hi = INT64_MIN;

	for (uint32_t i = 0; i < r->n_members; i++) {
		const struct gr_member *m = &r->members[i];
		int64_t due = (int64_t)(r->start_ns + (uint64_t)0), t;
		uint32_t seg = 0;

		if (!m->is_traffic || !m->first_ns)
			continue;
		/* each shard's first arrival is due a little later than the one before it */
		if (!r->plan->is_closed)
			due += (int64_t)gr_load_when(&r->plan->sched, &seg, m->index);
		t = (int64_t)m->first_ns - m->offset_ns - due;
		lo = t < lo ? t : lo;
		hi = t > hi ? t : hi;
	}
	return hi >= lo ? (double)(hi - lo) / 1e6 : 0;
}

/* ---- loss ---- */

/* Of the arrivals @from..@to-1, those with number = index modulo of. */
static uint64_t count_of(uint64_t from, uint64_t to, uint32_t index, uint32_t of)
{
	uint64_t a = from > index ? (from - index + of - 1) / of : 0, b = to > index ? (to - index + of - 1) / of : 0;

	return b > a ? b - a : 0;
}

/* What was due on it and of which nothing was heard counts as failed, request by request. */
static void count_lost(struct gr_run *r, const struct gr_member *m, uint64_t until)
{
	uint64_t due = m->due_before + count_of(m->from, until, m->index, m->of), n = due > m->due ? due - m->due : 0, k = until;

	while (n && k > m->from) {
		const struct gr_load_request *q;

		k--;
		if (k % m->of != m->index)
			continue;
		q = &gr_load_pick(r->plan, k)->requests[0];
		r->total.fails[q->id * 32 + GR_LOAD_F_LOST]++;
		r->total.n[GR_LOAD_N_FAILED]++;
		r->total.n[GR_LOAD_N_STARTED]++;
		r->total.n[GR_LOAD_N_DUE]++;
		n--;
	}
}

static void share_out(struct gr_run *r, uint64_t from)
{
	uint32_t n = 0, k = 0;

	for (uint32_t i = 0; i < r->n_members; i++)
		n += r->members[i].is_traffic && r->members[i].state == GR_MEMBER_RUNNING;
	for (uint32_t i = 0; i < r->n_members; i++) {
		struct gr_member *m = &r->members[i];
		struct gr_load_share s = { .run = r->id, .from = from, .index = k, .of = n };
		struct gr_buf frame = { 0 };

		if (!m->is_traffic || m->state != GR_MEMBER_RUNNING)
			continue;
		m->due_before += count_of(m->from, from, m->index, m->of);
		m->from = from;
		m->index = k++;
		m->of = n;
		gr_load_share_encode(&frame, &s);
		gr_member_send(r, m, &frame);
	}
}

/* Nobody burns in its place: what comes of the test is not about neighbours that burn. */
static void count_burns(struct gr_run *r, const struct gr_member *m, uint64_t now)
{
	for (uint32_t i = 0; i < r->plan->n_burns && !r->burn[0]; i++)
		if (m->burns & 1u << i && now < r->start_ns + r->plan->burns[i].at_ns + r->plan->burns[i].len_ns)
			snprintf(r->burn, sizeof(r->burn), "worker %s was lost before burn %u was over", m->name, i);
}

void gr_member_lost(struct gr_run *r, struct gr_member *m, const char *why)
{
	uint64_t now = gr_coord_now(r->c), from;
	bool was_running = m->state == GR_MEMBER_RUNNING;
	uint32_t n_left = 0;
	double at_s;

	gr_member_release(r, m);
	m->worker = NULL;
	if (m->state >= GR_MEMBER_ENDED)
		return;
	m->state = GR_MEMBER_LOST;
	gr_warn("load", "test %016llx: worker %s is lost: %s", (unsigned long long)r->id, m->name, why);
	gr_keep_line(r, json_pack("{s:s, s:s, s:s, s:f}", "type", "lost", "worker", m->name, "why", why, "at_s",
				  r->start_ns && now > r->start_ns ? (double)(now - r->start_ns) / 1e9 : 0.0));
	if (!was_running || r->state != GR_RUN_RUNNING) {
		if (r->state != GR_RUN_ENDED)
			gr_run_stop(r, GR_LOAD_V_ERROR, "worker %s was lost before the start: %s", m->name, why);
		return;
	}
	if (r->is_stopping)
		return;
	count_burns(r, m, now);
	if (!m->is_traffic)
		return;
	for (uint32_t i = 0; i < r->n_members; i++)
		n_left += r->members[i].is_traffic && r->members[i].state == GR_MEMBER_RUNNING;
	at_s = now + MOVE_LEAD_NS > r->start_ns ? (double)(now + MOVE_LEAD_NS - r->start_ns) / 1e9 : 0;
	from = (uint64_t)gr_load_count_at(&r->plan->sched, at_s);
	if (!r->plan->is_closed)
		count_lost(r, m, from);
	if (r->plan->is_lost_fatal || !n_left)
		gr_run_stop(r, GR_LOAD_V_LOST, "worker %s was lost%s", m->name, n_left ? ", and the plan says that fails the test" : ", the last one");
	else
		share_out(r, from);
}
