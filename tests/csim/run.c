/* run.c - one world from its seed: who is there, what goes wrong and when, and until when it may last */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/remove.h"
#include "tests/csim/csim.h"

#define PATIENCE_NS (900 * GR_NS_PER_S)   /* from the last fault to the last outcome */

/* ---- faults: each comes again and again until it is calm ---- */

static struct cs_node *any(struct cs *s, bool is_worker)
{
	uint32_t n = is_worker ? s->p.n_workers : s->p.n_clients;

	return s->nodes[(is_worker ? 0 : s->p.n_workers) + cs_below(s, n)];
}

static void do_cut(struct cs *s)
{
	struct cs_node *n = any(s, cs_chance(s, 800));

	if (!n->conn)
		return;
	s->st.cuts++;
	cs_say(s, "%s: its connection is cut", n->name);
	cs_cut(n->conn, cs_chance(s, 300));
}

static void do_stall(struct cs *s)
{
	struct cs_node *n = any(s, cs_chance(s, 900));

	if (!n->is_alive || n->stopped_ns > s->now_ns)    /* stopped anew, its events would come in another order */
		return;
	s->st.stalls++;
	n->stopped_ns = s->now_ns + cs_around(s, s->p.dead_ms * GR_NS_PER_MS / 2);
	cs_say(s, "%s: stopped for %llu ms", n->name, (unsigned long long)((n->stopped_ns - s->now_ns) / GR_NS_PER_MS));
}

static void do_crash_worker(struct cs *s) { cs_worker_crash(any(s, true), cs_chance(s, 400)); }
static void do_drain(struct cs *s) { cs_worker_drain(any(s, true)); }
static void do_ask(struct cs *s) { cs_client_meddle(any(s, false)); }

static void restart(void *ctx)
{
	struct cs *s = ctx;

	if (!s->c)
		cs_coord_start(s);
}

static void restart_soon(struct cs *s)
{
	cs_in(s, cs_around(s, cs_chance(s, 500) ? 50 * GR_NS_PER_MS : 2 * GR_NS_PER_S), CS_WORLD, restart, s);
}

static void do_crash_coord(struct cs *s)
{
	if (!s->c)
		return;
	if (cs_chance(s, 200))
		cs_coord_end(s);
	else
		cs_coord_crash(s);
	restart_soon(s);
}

static void do_stop_coord(struct cs *s)
{
	if (!s->c || s->coord_stopped_ns > s->now_ns)
		return;
	s->coord_stopped_ns = s->now_ns + cs_around(s, s->p.dead_ms * GR_NS_PER_MS / 2);
	cs_say(s, "coordinator: stopped for %llu ms", (unsigned long long)((s->coord_stopped_ns - s->now_ns) / GR_NS_PER_MS));
}

/* Tasks have been begun so often that this life's numbers run out. */
static void use_up_numbers(struct gr_batch *b)
{
	struct gr_btask *t;
	struct gr_bj *j;
	size_t i = 0, k;

	while ((j = gr_map_each(&b->jobs, &i)))
		for (k = 0; j->spec && (t = gr_map_each(&j->b.tasks, &k));)
			if (t->k + GR_BATCH_STRIDE / 2 < j->b.n_numbers)
				t->k = j->b.n_numbers - GR_BATCH_STRIDE / 2;
}

static void do_jump(struct cs *s)
{
	if (s->c)
		use_up_numbers(s->c->batch);
	s->st.clock_jumps++;
	s->wall_ms += (int64_t)cs_below(s, 7200000) - 3600000;
}

struct fault {
	struct cs *s;
	uint32_t every_ms;
	void (*fn)(struct cs *s);
};

static void on_fault(void *ctx)
{
	struct fault *f = ctx;

	if (f->s->is_calm) {
		f->every_ms = 0;
		return;
	}
	f->fn(f->s);
	cs_in(f->s, cs_around(f->s, f->every_ms * GR_NS_PER_MS), CS_WORLD, on_fault, f);
}

static void on_calm(void *ctx)
{
	struct cs *s = ctx;

	cs_say(s, "calm");
	s->is_calm = true;                /* who is stopped goes on by itself */
	s->disk_fails_ns = s->disk_fails_ns < s->now_ns ? s->disk_fails_ns : s->now_ns;
}

/* ---- the world ---- */

static uint32_t draw_every(struct cs *s, uint32_t ms)
{
	return cs_chance(s, 350) ? 0 : ms / 2 + (uint32_t)cs_below(s, 2 * ms);
}

void cs_profile_small(struct cs *s)
{
	struct cs_profile *p = &s->p;

	p->n_workers = 1 + (uint32_t)cs_below(s, 12);
	p->n_hosts = 1 + (uint32_t)cs_below(s, p->n_workers);
	p->n_clients = 1 + (uint32_t)cs_below(s, 3);
	p->n_jobs = 1 + (uint32_t)cs_below(s, 6);
	p->slots_max = 1 + (uint32_t)cs_below(s, 8);
	p->n_tasks_max = 4u << cs_below(s, 6);
	p->n_compiles = cs_chance(s, 500) ? 0 : 1 + (uint32_t)cs_below(s, 100);
	p->chaos_ns = (5 + cs_below(s, 40)) * GR_NS_PER_S;
	p->heartbeat_ms = 500;
	p->dead_ms = 2000;
	p->queue_max = cs_chance(s, 300) ? 2 + (uint32_t)cs_below(s, 10) : 4096;
	p->delay_ns = (20u << cs_below(s, 12)) * GR_NS_PER_US;
	p->commit_ns = (30u << cs_below(s, 11)) * GR_NS_PER_US;
	p->cut_every_ms = draw_every(s, 2500);
	p->stall_every_ms = draw_every(s, 4000);
	p->crash_worker_every_ms = draw_every(s, 4000);
	p->drain_every_ms = draw_every(s, 6000);
	p->crash_coord_every_ms = draw_every(s, 8000);
	p->stop_coord_every_ms = draw_every(s, 8000);
	p->ask_every_ms = draw_every(s, 2000);
	p->crash_ppm = cs_chance(s, 300) ? 500 : 0;
	p->check_every = 1;
	p->has_checks = p->has_same = true;
	cs_disk_draw(s);
}

void cs_profile_large(struct cs *s)
{
	struct cs_profile *p = &s->p;

	cs_profile_small(s);
	p->n_workers = 1000;
	p->n_hosts = 250;
	p->n_clients = 4;
	p->n_jobs = 8;
	p->slots_max = 8;
	p->n_tasks_max = 4000;
	p->n_compiles = 1000;
	p->chaos_ns = 12 * GR_NS_PER_S;
	p->heartbeat_ms = 4000;
	p->dead_ms = 12000;
	p->queue_max = 4096;
	p->delay_ns = 500 * GR_NS_PER_US;
	p->commit_ns = 2 * GR_NS_PER_MS;
	p->cut_every_ms = 50;
	p->stall_every_ms = 100;
	p->crash_worker_every_ms = 60;
	p->drain_every_ms = 200;
	p->crash_coord_every_ms = 5000;
	p->stop_coord_every_ms = 6000;
	p->crash_ppm = 0;
	p->check_every = 500;
}

/* A row of outcomes is written once: whoever writes it again breaks the run. */
static void watch_outcomes(struct cs *s)
{
	char path[256];
	sqlite3 *db = NULL;

	snprintf(path, sizeof(path), "%s/jobs.db", s->dir);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, "CREATE TRIGGER once BEFORE INSERT ON outcomes WHEN EXISTS(SELECT 1 FROM outcomes WHERE job=NEW.job AND task=NEW.task) "
			 "BEGIN SELECT RAISE(ABORT, 'a task has its outcome already'); END; "
			 "CREATE TRIGGER once_packed BEFORE INSERT ON packs WHEN EXISTS(SELECT 1 FROM packs WHERE job=NEW.job AND first=NEW.first) "
			 "BEGIN SELECT RAISE(ABORT, 'a task is in a pack already'); END", NULL, NULL, NULL) != SQLITE_OK)
		cs_fail(s, "the outcomes cannot be watched: %s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

struct cs *cs_new(uint64_t seed, uint32_t verbose)
{
	static char dir[sizeof(((struct cs *)0)->dir)];    /* one name a process: messages of a disk that fails hold it */
	const char *tmp = getenv("CSIM_DIR");
	struct gr_rng mix = { seed };
	struct cs *s;

	GR_NEW(s);
	cs_now = s;
	s->seed = seed;
	s->rng.s = gr_rng_u64(&mix);      /* not a multiple of the generator's own step: world k + 1 would be world k, one draw later */
	s->disk_rng.s = gr_rng_u64(&mix);
	s->check_rng.s = gr_rng_u64(&mix);
	s->same_rng.s = gr_rng_u64(&mix);
	s->now_ns = 1000 * GR_NS_PER_S;
	s->verbose = verbose;
	s->truth.seed = s->texts.seed = s->jobs.seed = seed;
	gr_list_init(&s->conns);
	if (!dir[0]) {
		snprintf(dir, sizeof(dir), "%s/csim.XXXXXX", tmp ? tmp : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		if (!mkdtemp(dir))
			cs_fail(s, "%s cannot be made", dir);
	} else if (mkdir(dir, 0700) < 0) {
		cs_fail(s, "%s cannot be made", dir);
	}
	memcpy(s->dir, dir, sizeof(dir));
	return s;
}

/* As few of a kind as a quorum wants in spite of one that lies; more often than others are there enough for two. */
static void draw_kinds(struct cs *s)
{
	struct cs_profile *p = &s->p;

	if (!p->has_same)
		return;
	if (p->n_hosts < 8 && gr_rng_below(&s->same_rng, 1000) < 250)
		p->n_workers = p->n_hosts = 8 + (uint32_t)gr_rng_below(&s->same_rng, 5);
	p->n_kinds = p->n_hosts < 4 ? 1 : p->n_hosts < 12 ? p->n_hosts / 4 : 3;
	p->first_kind = (uint32_t)gr_rng_below(&s->same_rng, 3);
}

static void build(struct cs *s)
{
	uint32_t n_tasks;

	draw_kinds(s);
	for (uint32_t i = 0; i < s->p.n_workers; i++) {
		struct cs_node *n = cs_node_new(s, true);

		snprintf(n->name, sizeof(n->name), "w%u", i);
		snprintf(n->host, sizeof(n->host), "h%u", i % s->p.n_hosts);
		n->slots = i ? 1 + (uint32_t)cs_below(s, s->p.slots_max) : 4;     /* one at least has room for all that is drawn */
		n->prefetch = (uint32_t)cs_below(s, 4);
		n->is_liar = cs_chance(s, 30);
		cs_node_start(n);
	}
	for (uint32_t i = 0; i < s->p.n_clients; i++) {
		struct cs_node *n = cs_node_new(s, false);

		snprintf(n->name, sizeof(n->name), "c%u", i);
		cs_node_start(n);
	}
	for (uint32_t i = 0; i < s->p.n_clients; i++)
		if (s->p.n_compiles)
			cs_session_add(s->nodes[s->p.n_workers + i], 1 + (uint32_t)cs_below(s, s->p.n_compiles));
	for (uint32_t i = 0; i < s->p.n_jobs; i++)
		cs_client_add(any(s, false), cs_draw_job(s, &n_tasks));
}

static bool is_idle(const struct cs *s)
{
	if (s->n_jobs_open || !s->c || s->c->n_workers != s->p.n_workers)
		return false;
	for (uint32_t i = 0; i < s->n_nodes; i++)
		if (!cs_session_is_over(s->nodes[i]) || !gr_list_is_empty(&s->nodes[i]->runs) || !s->nodes[i]->is_up || s->nodes[i]->is_draining)
			return false;
	return true;
}

static const char *host_of(struct cs *s, uint64_t node)
{
	for (uint32_t i = 0; i < s->p.n_workers; i++)
		if (gr_hash64(s->nodes[i]->host, strlen(s->nodes[i]->host), 7) == node)
			return s->nodes[i]->host;
	return "?";
}

static void tell_copies(struct cs *s, struct gr_bj *j, uint32_t task)
{
	const struct gr_btask *t = gr_bjob_find(&j->b, task);

	for (uint32_t i = 0; t && i < t->n_results; i++)
		cs_say(s, "  result %u of %s: equal %x, different %x", t->results[i].number, host_of(s, t->results[i].node), t->results[i].q.same,
		       t->results[i].q.differs);
	for (uint32_t i = 0; t && i < t->n_lives; i++)
		cs_say(s, "  attempt %u on %s%s, compares %u and %u", t->lives[i].number, host_of(s, t->lives[i].node), t->lives[i].is_lost ? ", lost" : "",
		       t->lives[i].of, t->lives[i].against);
	if (t)
		cs_say(s, "  %u copies wanted, %u wait for a place%s%s", t->n_target, t->n_queued, t->is_check_queued ? ", a comparison, too" : "",
		       t->heap_at ? "; it pauses" : "");
}

static void tell_open(struct cs *s)
{
	struct gr_bj *j;
	struct gr_place_stats ps;
	size_t i = 0;

	for (uint32_t k = 0; k < s->n_nodes; k++)
		if (!s->nodes[k]->is_up || s->nodes[k]->is_draining || !gr_list_is_empty(&s->nodes[k]->runs))
			cs_say(s, "%s: up %d, draining %d, runs %d", s->nodes[k]->name, s->nodes[k]->is_up, s->nodes[k]->is_draining,
			       !gr_list_is_empty(&s->nodes[k]->runs));
	for (uint32_t k = 0; k < s->n_nodes; k++)
		GR_LIST_EACH(r, &s->nodes[k]->runs, struct cs_run, link)
			cs_say(s, "%s: %s job %llu task %llu attempt %u", s->nodes[k]->name, r->state == CS_HELD ? "holds" : r->state == CS_QUEUED ? "queues" :
			       "runs", (unsigned long long)r->job, (unsigned long long)r->task, r->attempt);
	cs_say(s, "queue of a peer: %u, refused sends %llu", s->p.queue_max, (unsigned long long)s->c->m.sends_refused);
	for (size_t at = 0; s->c && (j = gr_map_each(&s->c->batch->jobs, &at));)
		for (uint32_t k = 0; j->spec && j->state == GR_J_OPEN && k < j->n_tasks; k++)
			if (gr_states_get(&j->b.states, k) < GR_B_DONE) {
				struct gr_buf text = { 0 };
				const char *why = gr_run_pending(j, k, &text);

				cs_say(s, "job %llu task %u: %s", (unsigned long long)j->id, k, why ? why : "runs");
				tell_copies(s, j, k);
				gr_buf_fini(&text);
			}
	if (!s->c)
		return;
	gr_place_stats(s->c->place, s->now_ns, &ps);
	cs_say(s, "placement: %u workers, %u slots, %u free, %llu queued, %llu placed", ps.n_workers, ps.slots, ps.free_slots,
	       (unsigned long long)ps.n_queued, (unsigned long long)ps.n_placed);
	while ((j = gr_map_each(&s->c->batch->jobs, &i)))
		if (j->spec && j->state == GR_J_OPEN)
			for (int k = 0; k < GR_B_N; k++)
				if (j->b.states.count[k])
					cs_say(s, "job %llu: %u %s%s", (unsigned long long)j->id, j->b.states.count[k], gr_bstate_name((enum gr_bstate)k),
					       j->is_paused ? ", paused" : "");
}

/* Until @is_over says so, nothing is left, or an invariant broke. */
static void go(struct cs *s, uint64_t until_ns, bool (*is_over)(const struct cs *s))
{
	uint64_t seen = s->st.events;

	while (!s->why[0] && s->now_ns < until_ns && cs_step(s)) {
		if (s->st.events == seen)
			continue;
		seen = s->st.events;
		if (!s->is_calm && s->c && s->p.crash_ppm && cs_below(s, 1000000) < s->p.crash_ppm) {
			cs_coord_crash(s);
			restart_soon(s);
		}
		if (seen % s->p.check_every == 0)
			cs_check_now(s);
		if (is_over && is_over(s))
			return;
	}
}

static bool is_done(const struct cs *s) { return s->is_calm && s->st.events % 16 == 0 && is_idle(s); }

int cs_run(struct cs *s)
{
	uint64_t begin = s->now_ns;
	struct fault faults[] = {
		{ s, s->p.cut_every_ms, do_cut }, { s, s->p.stall_every_ms, do_stall }, { s, s->p.crash_worker_every_ms, do_crash_worker },
		{ s, s->p.drain_every_ms, do_drain }, { s, s->p.crash_coord_every_ms, do_crash_coord }, { s, s->p.stop_coord_every_ms, do_stop_coord },
		{ s, s->p.ask_every_ms, do_ask }, { s, 20000, do_jump },
	};

	cs_disk_begin(s);
	if (cs_coord_start(s) < 0)
		return -1;
	watch_outcomes(s);
	build(s);
	for (size_t i = 0; i < GR_LEN(faults); i++)
		if (faults[i].every_ms)
			cs_in(s, cs_around(s, faults[i].every_ms * GR_NS_PER_MS), CS_WORLD, on_fault, &faults[i]);
	cs_in(s, s->p.chaos_ns, CS_WORLD, on_calm, s);
	go(s, begin + s->p.chaos_ns + PATIENCE_NS, is_done);
	if (!s->why[0] && !is_idle(s)) {
		tell_open(s);
		cs_fail(s, "%llu s after the last fault %u jobs are still open", (unsigned long long)((s->now_ns - begin - s->p.chaos_ns) / GR_NS_PER_S),
			s->n_jobs_open);
	}
	go(s, s->now_ns + 12 * GR_NS_PER_S, NULL);
	go(s, s->now_ns + 60 * GR_NS_PER_S, is_done);  /* some may have been stopped, or not have noticed yet, until now */
	if (!s->why[0])
		cs_check_end(s);
	/* and what is stored is what the next life knows */
	if (!s->why[0]) {
		cs_coord_end(s);
		cs_coord_start(s);
		go(s, s->now_ns + 25 * GR_NS_PER_S, NULL);
		if (!s->why[0])
			cs_check_end(s);
	}
	for (uint32_t i = 0; i < s->n_heap; i++)       /* faults[] ends here */
		if (s->heap[i]->fn == on_fault)
			s->heap[i]->fn = NULL;
	return s->why[0] ? -1 : 0;
}

void cs_free(struct cs *s)
{
	struct cs_truth *t;
	struct cs_text *x;
	size_t i = 0;

	if (s->c)
		cs_coord_crash(s);
	cs_frames_free(s);
	for (uint32_t k = 0; k < s->n_nodes; k++)
		cs_node_free(s->nodes[k]);
	cs_events_free(s);
	cs_conns_free(s);
	while ((t = gr_map_each(&s->truth, &i)))
		free(t);
	i = 0;
	while ((x = gr_map_each(&s->texts, &i)))
		free(x);
	gr_map_fini(&s->truth);
	gr_map_fini(&s->texts);
	gr_map_fini(&s->jobs);
	(void)!gr_remove_at(AT_FDCWD, s->dir);
	free(s);
	cs_now = NULL;
}
