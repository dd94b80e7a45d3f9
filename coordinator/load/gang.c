/* gang.c - who takes part in a test: its shards are a gang in placement, all placed at once or none
 *
 * A test is an owner in the first band, not to be preempted; a share is a task that wants as many cores as the plan has
 * threads and the one unit of GR_COORD_RES_LOAD that a worker has, so that no worker generates for two tests at a time.
 * Placement spreads it over nodes (softly: a worker beside another is better than none), keeps it off the target's node
 * and off draining workers, and after 5 s keeps room for it. What burns is no task: it is asked for by name or number, to
 * take what it can from its neighbours. */
#include <string.h>

#include "coordinator/load/load.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"

#define SPREAD_MS 600000u                        /* what a second share on a node costs: more than any wait */

/* ---- where not ---- */

static bool is_beside_target(const struct gr_run *r, const struct gr_worker *w)
{
	const struct gr_load_plan *p = r->plan;

	if (p->target_node)
		return !strcmp(p->target_node, w->node);
	for (uint32_t i = 0; i < p->n_origins; i++)
		if (!strcmp(p->origins[i].host, w->node) || (w->node_ip[0] && !strcmp(p->origins[i].host, w->node_ip)))
			return true;
	return false;
}

static bool has(const uint32_t *list, uint32_t n, uint32_t id)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i] == id)
			return true;
	return false;
}

static int exclude_target(const struct gr_run *r, struct gr_place_task *t, struct gr_err *err)
{
	GR_LIST_EACH(w, &r->c->workers, struct gr_worker, link) {
		int node = is_beside_target(r, w) ? gr_place_node(r->c->place, w->node) : GR_ENOENT;

		if (node < 0 || has(t->exclude_node, t->n_exclude_node, (uint32_t)node))
			continue;
		if (t->n_exclude_node == GR_PLACE_MAX_EXCLUDES)
			return gr_err_set(err, GR_ELIMIT, "the targets are on more than %u nodes with workers", GR_PLACE_MAX_EXCLUDES);
		t->exclude_node[t->n_exclude_node++] = (uint32_t)node;
	}
	return 0;
}

static struct gr_worker *worker_named(const struct gr_coord *c, const char *name)
{
	GR_LIST_EACH(w, &c->workers, struct gr_worker, link)
		if (!strcmp(w->name, name))
			return w;
	return NULL;
}

/* Where something is to burn by name there is no traffic, as long as enough others can have it. */
static void exclude_burning(const struct gr_run *r, struct gr_place_task *t, uint32_t n_can)
{
	const struct gr_load_plan *p = r->plan;

	for (uint32_t i = 0; i < p->n_burns; i++)
		for (uint32_t k = 0; k < p->burns[i].n_named; k++) {
			const struct gr_worker *w = worker_named(r->c, p->burns[i].workers[k]);

			if (!w || n_can <= p->n_workers || t->n_exclude == GR_PLACE_MAX_EXCLUDES || has(t->exclude, t->n_exclude, w->place))
				continue;
			t->exclude[t->n_exclude++] = w->place;
			n_can--;
		}
}

/* How many workers could have a share, now or when what they run has ended; @counts by verdict. */
static uint32_t count_able(const struct gr_run *r, const struct gr_place_task *t, uint32_t *counts)
{
	uint32_t n = r->c->n_workers + 1, n_able = 0;
	struct gr_place_why *why = gr_xalloc(n * sizeof(*why));

	n = gr_place_explain(r->c->place, gr_coord_now(r->c), t, why, n);
	for (uint32_t i = 0; i < n; i++)
		counts[why[i].verdict]++;
	free(why);
	for (int v = 0; v < GR_PLACE_N_VERDICTS; v++)
		if (v == GR_PLACE_V_FITS || v == GR_PLACE_V_NO_ROOM || v == GR_PLACE_V_NO_CREDIT || v == GR_PLACE_V_PAUSED || v == GR_PLACE_V_RESERVED)
			n_able += counts[v];
	return n_able;
}

/* ---- the gang ---- */

static int check_burns(const struct gr_run *r, struct gr_err *err)
{
	uint32_t n_stress = 0;

	GR_LIST_EACH(w, &r->c->workers, struct gr_worker, link)
		n_stress += w->has_stress && !w->is_draining;
	for (uint32_t i = 0; i < r->plan->n_burns; i++) {
		const struct gr_load_burn *b = &r->plan->burns[i];

		for (uint32_t k = 0; k < b->n_named; k++) {
			const struct gr_worker *w = worker_named(r->c, b->workers[k]);

			if (!w)
				return gr_err_set(err, GR_ENOENT, "burns[%u]: there is no worker %s", i, b->workers[k]);
			if (!w->has_stress)
				return gr_err_set(err, GR_EUNSUP, "burns[%u]: worker %s has no stress-ng", i, b->workers[k]);
		}
		if (n_stress < b->n_workers)
			return gr_err_set(err, GR_EBUSY, "burns[%u]: %u workers are wanted and %u can burn (%u have no stress-ng)", i, b->n_workers,
					  n_stress, r->c->n_workers - n_stress);
	}
	return 0;
}

int gr_gang_ask(struct gr_run *r, struct gr_err *err)
{
	struct gr_place *place = r->c->place;
	struct gr_place_owner owner = { .tag = gr_load_tag(r), .weight = 1 };
	struct gr_place_class class = { .spread_by = GR_PLACE_BY_NODE, .is_spread_soft = true, .spread_ms = SPREAD_MS };
	struct gr_place_task t = { .tag = gr_load_tag(r), .count = 1, .is_gang = true, .work_ms = (uint32_t)(r->plan->sched.len_s * 1e3) + 1000 };
	uint32_t counts[GR_PLACE_N_VERDICTS] = { 0 }, n_able, want = r->plan->n_workers;
	int rc = check_burns(r, err);

	if (rc >= 0)
		rc = exclude_target(r, &t, err);
	if (rc < 0)
		return rc;
	class.need.v[GR_PLACE_CPU_MCPU] = r->plan->n_threads * 1000;
	class.need.v[GR_COORD_RES_LOAD] = 1;
	rc = gr_place_class(place, &class);
	if (rc < 0)
		return gr_err_set(err, rc, "cannot be placed: %s", gr_err_text(rc));
	t.class = (uint32_t)rc;
	rc = gr_place_owner_add(place, &owner);
	if (rc < 0)
		return gr_err_set(err, rc, "cannot be placed: %s", gr_err_text(rc));
	r->owner_id = t.owner = (uint32_t)rc;
	r->has_owner = true;
	n_able = count_able(r, &t, counts);
	exclude_burning(r, &t, n_able);
	if (!want)
		want = n_able < GR_LOAD_MAX_SHARDS ? n_able : GR_LOAD_MAX_SHARDS;
	if (r->plan->n_connections && want > r->plan->n_connections / r->plan->n_threads)
		want = r->plan->n_connections / r->plan->n_threads;      /* of all workers: each of their threads has one at least */
	if (!n_able || n_able < want) {
		rc = gr_err_set(err, GR_EBUSY, "%u workers are wanted and %u can take part (%u connected, %u draining, %u on the target's node, %u too small)",
				want ? want : 1, n_able, r->c->n_workers, counts[GR_PLACE_V_DRAINING] + counts[GR_PLACE_V_CORDONED],
				counts[GR_PLACE_V_EXCLUDED], counts[GR_PLACE_V_TOO_SMALL]);
		return rc;
	}
	r->n_wanted = t.count = want;
	r->queued = gr_place_ready(place, gr_coord_now(r->c), &t);
	if (r->queued < 0)
		return gr_err_set(err, (int)r->queued, "cannot be queued: %s", gr_err_text((int)r->queued));
	gr_dispatch_kick(r->c);
	return 0;
}

const char *gr_gang_why(const struct gr_run *r)
{
	int why = r->queued < 0 ? GR_ENOENT : gr_place_pending(r->c->place, r->queued);

	return why < 0 ? "it is placed" : gr_place_pending_text((enum gr_place_pending)why);
}

static struct gr_member *member_add(struct gr_run *r, struct gr_worker *w)
{
	struct gr_member *m = gr_member_of(r, w);

	if (m)
		return m;
	r->members = gr_xrealloc(r->members, (r->n_members + 1) * sizeof(*r->members));
	m = &r->members[r->n_members++];
	memset(m, 0, sizeof(*m));
	m->worker = w;
	snprintf(m->name, sizeof(m->name), "%s", w->name);
	snprintf(m->node, sizeof(m->node), "%s", w->node);
	return m;
}

static int choose_burn(struct gr_run *r, uint32_t i_burn, struct gr_err *err)
{
	const struct gr_load_burn *b = &r->plan->burns[i_burn];
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n_named; i++) {
		struct gr_worker *w = worker_named(r->c, b->workers[i]);

		if (!w)
			return gr_err_set(err, GR_ENOENT, "burns[%u]: worker %s is gone", i_burn, b->workers[i]);
		member_add(r, w)->burns |= 1u << i_burn;
	}
	/* beside the traffic's workers first: what burns there would slow the generator */
	for (int pass = 0; pass < 2; pass++)
		GR_LIST_EACH(w, &r->c->workers, struct gr_worker, link) {
			struct gr_member *m = gr_member_of(r, w);

			if (n == b->n_workers || w->is_draining || !w->has_stress || (m && (m->burns & 1u << i_burn)) || (!pass && m && m->is_traffic))
				continue;
			member_add(r, w)->burns |= 1u << i_burn;
			n++;
		}
	return n < b->n_workers ? gr_err_set(err, GR_EBUSY, "burns[%u]: %u workers are wanted and %u can burn", i_burn, b->n_workers, n) : 0;
}

/* The gang is whole. */
static void begin(struct gr_run *r)
{
	struct gr_err err = { 0 };
	int rc = 0;

	r->queued = -1;
	for (uint32_t i = 0; rc >= 0 && i < r->plan->n_burns; i++)
		rc = choose_burn(r, i, &err);
	r->state = GR_RUN_PREPARING;
	r->prepared_ns = gr_coord_now(r->c);
	if (rc < 0) {
		for (uint32_t i = 0; i < r->n_members; i++) {      /* none was asked yet */
			gr_member_release(r, &r->members[i]);
			r->members[i].state = GR_MEMBER_ENDED;
		}
		gr_run_stop(r, GR_LOAD_V_ERROR, "%s", err.text);
		return;
	}
	gr_members_prepare(r);
}

static void give_back(struct gr_coord *c, uint64_t placed)
{
	const struct gr_place_ended stopped = { .how = GR_PLACE_STOPPED };

	gr_place_end(c->place, gr_coord_now(c), placed, &stopped);
}

void gr_load_act(struct gr_coord *c, const struct gr_place_decision *d)
{
	struct gr_worker *w = (struct gr_worker *)(uintptr_t)d->worker_tag;
	struct gr_run *r = NULL;
	struct gr_member *m;

	GR_LIST_EACH(o, &c->load->runs, struct gr_run, link)
		if (gr_load_tag(o) == d->tag)
			r = o;
	if (d->act == GR_PLACE_COPY || (d->act == GR_PLACE_RUN && (!r || r->state != GR_RUN_PLACING))) {
		give_back(c, d->placed);
		return;
	}
	if (d->act != GR_PLACE_RUN) {            /* a share stays where it is; if its worker goes the others take it over */
		gr_place_kept(c->place, d->placed);
		return;
	}
	m = member_add(r, w);
	m->is_traffic = m->is_placed = true;
	m->placed = d->placed;
	m->index = d->nth;
	m->of = r->n_wanted;
	if (r->n_members == r->n_wanted)
		begin(r);
}

void gr_member_release(struct gr_run *r, struct gr_member *m)
{
	if (!m->is_placed)
		return;
	m->is_placed = false;
	give_back(r->c, m->placed);              /* GR_ENOENT when its worker went: then it is over anyhow */
	gr_dispatch_kick(r->c);
}

void gr_gang_leave(struct gr_run *r)
{
	for (uint32_t i = 0; i < r->n_members; i++)
		gr_member_release(r, &r->members[i]);
	if (!r->has_owner)
		return;
	r->has_owner = false;
	r->queued = -1;
	gr_place_owner_remove(r->c->place, r->owner_id);
}
