/* gen.c - the loop of a generator thread
 *
 * Each turn does what is due by now and then sleeps until the next moment or event, with a timeout in nanoseconds
 * (epoll_pwait2); the thread's timer slack is 1 ns. Moments are absolute, computed from the start and never from the last
 * one, so that nothing drifts. Waking takes tens of microseconds, so the thread is awake a little before a moment that it
 * knows: an arrival's, and that of an answer when answers take about the same time each. This may cost a tenth of a core. A
 * plan with "spin" never sleeps from a moment before its start on, for a whole core.
 * Tried and not kept: a timerfd armed for each arrival (one more system call a request). */
#include "worker/load/gen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/net/loop.h"
#include "worker/load/procs.h"

#define N_EVENTS 256
#define MAX_ARRIVALS_A_TURN 64
#define ADJUST_NS (5 * GR_NS_PER_MS)
#define DEFAULT_CONNS 10000u                      /* of a worker */
#define WARM_OPENING 256u                         /* at a time: what a target's backlog takes without losing any */
#define WAKING_NS 60000u                          /* what waking takes at the most, as a rule */
#define AWAKE_SHARE 10u                           /* one part in so many of the time may be spent awake before something is to happen */
#define MAX_AWAKE_NS (2 * GR_NS_PER_MS)          /* at a time, after a long sleep */
#define SPIN_LEAD_NS (5 * GR_NS_PER_MS)          /* before the start */

/* ---- preparing ---- */

static void raise_files(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static uint32_t max_conns(const struct gr_gen *g)
{
	uint32_t n = gr_load_part(g->plan->n_connections, g->share.index, g->share.of), room = gr_procs_room();

	if (!g->plan->n_connections)
		n = (room < DEFAULT_CONNS ? room : DEFAULT_CONNS) / g->n_parts;
	return n ? n : 1;
}

static void make_pools(struct gr_gen *g)
{
	const struct gr_load_plan *p = g->plan;

	g->n_pools = p->n_origins + p->n_requests;
	g->pools = gr_xalloc(g->n_pools * sizeof(*g->pools));
	for (uint32_t i = 0; i < g->n_pools; i++) {
		struct gr_pool *pool = &g->pools[i];

		gr_list_init(&pool->idle);
		gr_list_init(&pool->waiting);
		gr_list_init(&pool->shared);
		pool->g = g;
		if (i >= p->n_origins)
			pool->upgrade = p->by_id[i - p->n_origins];
		pool->i_origin = i < p->n_origins ? i : pool->upgrade->origin;
		pool->origin = &p->origins[pool->i_origin];
	}
}

int gr_gen_init(struct gr_gen *g)
{
	const struct gr_load_plan *p = g->plan;
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	bool wants_tls = false;
	int rc = 0;

	prctl(PR_SET_NAME, "griddle-load");
	prctl(PR_SET_TIMERSLACK, 1);
	raise_files();
	gr_list_init(&g->ready);
	gr_list_init(&g->limits);
	gr_list_init(&g->spare);
	gr_list_init(&g->dirty);
	gr_list_init(&g->conns);
	gr_list_init(&g->dead);
	gr_count_init(g);
	g->rx = gr_xalloc(GR_GEN_RX_BYTES);
	g->max_conns = max_conns(g);
	g->n_arrivals = p->is_closed ? 0 : gr_load_n_arrivals(&p->sched);
	g->ep = epoll_create1(EPOLL_CLOEXEC);
	if (g->ep < 0 || epoll_ctl(g->ep, EPOLL_CTL_ADD, g->wake_fd, &ev) < 0)
		return gr_err_set(&g->err, GR_EIO, "epoll: %s", strerror(errno));
	make_pools(g);
	for (uint32_t i = 0; i < p->n_origins; i++)
		wants_tls |= p->origins[i].is_tls;
	if (wants_tls)
		rc = gr_tls_init(g);
	g->fixed = gr_xalloc(p->n_requests * sizeof(*g->fixed));
	g->h2_fixed = gr_xalloc(p->n_requests * sizeof(*g->h2_fixed));
	for (uint32_t i = 0; rc >= 0 && i < p->n_requests; i++) {
		struct gr_visit v = { .request = p->by_id[i], .pool = &g->pools[p->by_id[i]->origin] };
		struct gr_extra *x;
		struct gr_slice s;

		if (!p->by_id[i]->is_static)
			continue;
		v.x = GR_NEW(x);
		x->ctx.plan = p;
		s = gr_visit_render(g, &v);
		gr_buf_add(&g->fixed[i], s.p, s.n);
		gr_visit_fini(&v);
	}
	return rc;
}

/* ---- what is due ---- */

static void next_arrival(struct gr_gen *g)
{
	if (g->has_next_share && g->next_k >= g->next_share.from) {
		uint64_t from = g->next_share.from, of = g->next_share.of;

		if (from < g->next_k && g->share.of == of && g->share.index == g->next_share.index)
			from = g->next_k;        /* nothing changes */
		g->share = g->next_share;
		g->has_next_share = false;
		g->next_k = from + (g->share.index + of - from % of) % of;
	}
	g->due_ns = g->next_k < g->n_arrivals ? g->start_ns + gr_load_when(&g->plan->sched, &g->i_seg, g->next_k) : UINT64_MAX;
}

static void begin(struct gr_gen *g)
{
	g->is_running = true;
	g->end_ns = g->start_ns + (uint64_t)(g->plan->sched.len_s * 1e9);
	g->adjust_ns = g->start_ns;
	g->credited_ns = g->now_ns;
	g->cpu_ns = gr_clock_thread_cpu_ns();
	memset(g->c.n, 0, sizeof(g->c.n));
	g->next_k = g->share.index;
	g->first_of = g->share.of;
	next_arrival(g);
}

static void arrivals(struct gr_gen *g)
{
	for (int i = 0; i < MAX_ARRIVALS_A_TURN && g->due_ns <= g->now_ns; i++) {
		struct gr_visit *v = gr_visit_new(g, g->next_k, g->due_ns);

		g->c.n[GR_LOAD_N_DUE]++;
		if (v) {
			gr_visit_issue(g, v);
		} else {
			const struct gr_load_request *r = &gr_load_pick(g->plan, g->next_k)->requests[0];

			g->c.n[GR_LOAD_N_STARTED]++;
			g->c.n[GR_LOAD_N_FAILED]++;
			g->c.n[GR_LOAD_N_DROPPED]++;
			g->c.fails[r->id * 32 + GR_LOAD_F_NO_CONNECTION]++;
		}
		g->next_k += g->share.of;
		next_arrival(g);
		g->now_ns = gr_clock_mono_ns();
	}
}

uint64_t gr_gen_next_seq(struct gr_gen *g) { return g->seq_base + g->share.index + g->share.of * g->n_started++; }

/* Closed: users u with u = index modulo of, below the level. */
static void users(struct gr_gen *g)
{
	double level = gr_load_level_at(&g->plan->sched, (double)(g->now_ns - g->start_ns) / 1e9);
	uint64_t all = (uint64_t)level;

	if (g->has_next_share) {
		g->share = g->next_share;
		g->has_next_share = false;
		/* by how many of all are gone, which is the same wherever it is asked: no number is given twice */
		g->seq_base = (uint64_t)(g->first_of - g->share.of) * 4096 / g->first_of << 32;
		g->n_started = 0;
	}
	g->n_wanted = all > g->share.index ? (all - g->share.index - 1) / g->share.of + 1 : 0;
	if (g->is_over)
		g->n_wanted = 0;
	while (g->n_users < g->n_wanted) {
		struct gr_visit *v = gr_visit_new(g, gr_gen_next_seq(g), g->now_ns);

		if (!v)
			break;
		g->n_users++;
		g->c.n[GR_LOAD_N_DUE]++;
		gr_list_push(&g->ready, &v->link);
	}
	g->adjust_ns = g->now_ns + ADJUST_NS;
}

static void give_up(struct gr_gen *g, struct gr_visit *v)
{
	gr_list_del(&v->link);
	gr_list_push(&g->spare, &v->link);
	g->n_visits--;
	if (g->plan->is_closed)
		g->n_users--;
}

static void thinkers_and_ready(struct gr_gen *g)
{
	struct gr_list now;

	while (g->n_heap && (g->is_over || g->heap[0]->planned_ns <= g->now_ns)) {
		struct gr_visit *v = gr_heap_pop(g);

		if (g->is_over)
			give_up(g, v);
		else
			gr_visit_issue(g, v);
	}
	if (gr_list_is_empty(&g->ready))
		return;
	/* what comes while these are issued waits for the next turn */
	now = g->ready;
	now.next->prev = now.prev->next = &now;
	gr_list_init(&g->ready);
	while (!gr_list_is_empty(&now)) {
		struct gr_visit *v = GR_CONTAINER(gr_list_pop(&now), struct gr_visit, link);

		if (g->is_over)
			give_up(g, v);
		else
			gr_visit_issue(g, v);
	}
}

static void limits(struct gr_gen *g)
{
	while (!gr_list_is_empty(&g->limits)) {
		struct gr_visit *v = GR_CONTAINER(g->limits.next, struct gr_visit, time);

		if (v->issued_ns + g->plan->timeout_ns > g->now_ns)
			return;
		gr_visit_timeout(g, v);
	}
}

static void turn(struct gr_gen *g)
{
	while (g->now_ns >= g->start_ns + (g->interval + 1) * g->plan->interval_ns)
		gr_count_report(g, false);
	arrivals(g);
	if (!g->is_over && g->now_ns >= g->end_ns && g->due_ns == UINT64_MAX)
		g->is_over = true;
	if (g->plan->is_closed && g->now_ns >= g->adjust_ns)
		users(g);
	thinkers_and_ready(g);
	limits(g);
}

static uint64_t next_moment(const struct gr_gen *g)
{
	uint64_t t = g->start_ns + (g->interval + 1) * g->plan->interval_ns, a;

	if (!gr_list_is_empty(&g->ready))
		return 0;
	if (g->due_ns < t)
		t = g->due_ns;
	if (!g->is_over && g->end_ns < t)
		t = g->end_ns;
	if (g->plan->is_closed && !g->is_over && g->adjust_ns < t)
		t = g->adjust_ns;
	if (g->n_heap && g->heap[0]->planned_ns < t)
		t = g->heap[0]->planned_ns;
	if (!gr_list_is_empty(&g->limits)) {
		a = GR_CONTAINER(g->limits.next, struct gr_visit, time)->issued_ns + g->plan->timeout_ns;
		t = a < t ? a : t;
	}
	return t;
}

static int sleep_until(struct gr_gen *g, struct epoll_event *ev, uint64_t t)
{
	bool is_spinning = g->plan->is_spinning && g->is_running && g->now_ns + SPIN_LEAD_NS >= g->start_ns;
	uint64_t ns = t <= g->now_ns || is_spinning ? 0 : t - g->now_ns;
	struct timespec ts = { .tv_sec = (time_t)(ns / GR_NS_PER_S), .tv_nsec = (long)(ns % GR_NS_PER_S) };
	int n = epoll_pwait2(g->ep, ev, N_EVENTS, &ts, NULL);

	if (n < 0 && errno == ENOSYS)            /* before Linux 5.11 */
		n = epoll_wait(g->ep, ev, N_EVENTS, ns > 100 * GR_NS_PER_MS ? 100 : (int)(ns / GR_NS_PER_MS));
	return n;
}

void gr_gen_learn(struct gr_gen *g, uint64_t ns)
{
	uint64_t off = ns > g->usual_ns ? ns - g->usual_ns : g->usual_ns - ns;

	if (!g->usual_ns) {
		g->usual_ns = g->spread_ns = ns;
		return;
	}
	/* one that is far off moves it as if it were less far: a stall now and then is not what is usual */
	if (off > 4 * g->spread_ns + WAKING_NS)
		off = 4 * g->spread_ns + WAKING_NS;
	g->usual_ns = ns > g->usual_ns ? g->usual_ns + off / 16 : g->usual_ns - off / 16;
	g->spread_ns += off / 16;
	g->spread_ns -= g->spread_ns / 16;
}

/* When an answer is to be expected, if that can be said: of the first requests under way, the one that is not overdue. */
static uint64_t expected(const struct gr_gen *g)
{
	int n = 0;

	if (!g->usual_ns || g->spread_ns > WAKING_NS)
		return UINT64_MAX;
	GR_LIST_EACH(v, &g->limits, struct gr_visit, time) {
		if (v->sent_ns && !v->first_ns && v->sent_ns + g->usual_ns + WAKING_NS > g->now_ns)
			return v->sent_ns + g->usual_ns;
		if (++n == 4)
			break;
	}
	return UINT64_MAX;
}

/* Asleep until shortly before what comes next, then awake until it is there: from a due moment to the next turn, or until an
 * answer has come, or is later than usual. @t: when the turn is to be. */
static int rest_until(struct gr_gen *g, struct epoll_event *ev, uint64_t t)
{
	uint64_t answer = expected(g), until = answer < t ? answer : t, began;
	int n = 0;

	g->awake_ns += (g->now_ns - g->credited_ns) / AWAKE_SHARE;
	g->credited_ns = g->now_ns;
	if (g->awake_ns > MAX_AWAKE_NS)
		g->awake_ns = MAX_AWAKE_NS;
	if (g->awake_ns < 2 * WAKING_NS || until <= g->now_ns)
		return sleep_until(g, ev, t);
	if (until > g->now_ns + WAKING_NS)
		n = sleep_until(g, ev, until - WAKING_NS);
	began = g->now_ns = gr_clock_mono_ns();
	if (until == answer)
		until = answer + WAKING_NS < t ? answer + WAKING_NS : t;
	while (n == 0 && g->now_ns < until) {
		n = sleep_until(g, ev, 0);
		g->now_ns = gr_clock_mono_ns();
	}
	g->awake_ns -= g->now_ns - began < g->awake_ns ? g->now_ns - began : g->awake_ns;
	return n;
}

static void flush(struct gr_gen *g)
{
	struct gr_list *l;

	while ((l = gr_list_pop(&g->dirty)))
		gr_h2_flush(g, GR_CONTAINER(l, struct gr_conn, dirty));
}

static void bury(struct gr_gen *g)
{
	struct gr_list *l;

	while ((l = gr_list_pop(&g->dead)))
		free(GR_CONTAINER(l, struct gr_conn, link));
}

/* The hard stop: whatever is under way is over. */
static void stop_all(struct gr_gen *g)
{
	g->is_over = true;
	g->due_ns = UINT64_MAX;
	while (!gr_list_is_empty(&g->limits)) {
		struct gr_visit *v = GR_CONTAINER(g->limits.next, struct gr_visit, time);
		struct gr_conn *c = v->conn;

		if (c && c->state != GR_CONN_SHARED) {
			c->visit = NULL;
			v->conn = NULL;
			gr_conn_close(g, c);
		} else if (c) {
			gr_h2_cancel(g, c, v);
		} else if (v->is_waiting) {
			gr_list_del(&v->link);
			v->is_waiting = false;
			v->pool->n_waiting--;
		}
		gr_visit_failed(g, v, GR_LOAD_F_CANCELLED);
	}
	thinkers_and_ready(g);
}

static uint32_t n_opening(const struct gr_gen *g)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->n_pools; i++)
		n += g->pools[i].n_opening;
	return n;
}

/* To every host in turn. One that refuses, or is slow, holds nobody up: the test will show it. */
void gr_gen_warm(struct gr_gen *g)
{
	uint64_t until = gr_clock_mono_ns() + GR_LOAD_WARM_NS;
	struct epoll_event ev[N_EVENTS];
	uint32_t i = 0, n;

	if (!g->plan->is_warm)
		return;
	while (g->now_ns = gr_clock_mono_ns(), !g->is_stopping && g->now_ns < until) {
		for (n = n_opening(g); n < WARM_OPENING && i < g->max_conns; i++, n++)
			if (!gr_conn_warm(g, &g->pools[i % g->plan->n_origins]))
				return;
		if (!n)
			return;
		n = (uint32_t)sleep_until(g, ev, until);
		for (uint32_t k = 0; (int)n > 0 && k < n; k++)
			if (ev[k].data.ptr)
				gr_conn_event(g, ev[k].data.ptr, ev[k].events);
			else
				gr_shard__commands(g);
		bury(g);
	}
}

void gr_gen_run(struct gr_gen *g)
{
	struct epoll_event ev[N_EVENTS];

	for (;;) {
		int n;

		g->now_ns = gr_clock_mono_ns();
		if (!g->is_running && g->start_ns)
			begin(g);
		if (g->is_running && g->now_ns >= g->start_ns)
			turn(g);
		if (g->is_stopping) {
			stop_all(g);
			break;
		}
		if (g->is_over && !g->n_in_flight)
			break;
		flush(g);
		if (g->is_running && g->now_ns >= g->start_ns && !g->plan->is_spinning && !g->plan->is_closed)
			n = rest_until(g, ev, next_moment(g));
		else
			n = sleep_until(g, ev, !g->is_running ? g->now_ns + 3600 * GR_NS_PER_S :
						g->now_ns < g->start_ns ? g->start_ns - (g->plan->is_spinning ? SPIN_LEAD_NS : 0) : next_moment(g));
		g->now_ns = gr_clock_mono_ns();
		for (int i = 0; i < n; i++) {
			if (!ev[i].data.ptr) {
				gr_shard__commands(g);
				if (g->is_running && g->has_next_share && !g->plan->is_closed)
					next_arrival(g);
				continue;
			}
			gr_conn_event(g, ev[i].data.ptr, ev[i].events);
			/* a long batch of answers does not make the next arrival late */
			if (g->is_running && g->due_ns <= g->now_ns)
				arrivals(g);
		}
		gr_pools_balance(g);
		bury(g);
	}
	if (g->is_running)
		gr_count_report(g, true);
}

void gr_gen_fini(struct gr_gen *g)
{
	struct gr_list *l;

	g->is_stopping = true;
	while (!gr_list_is_empty(&g->conns))     /* also those that were still opening, or shook hands */
		gr_conn_broke(g, GR_CONTAINER(g->conns.next, struct gr_conn, all), GR_LOAD_F_CANCELLED);
	for (uint32_t i = 0; i < g->n_pools; i++) {
		struct gr_pool *p = &g->pools[i];

		if (p->session)
			SSL_SESSION_free(p->session);
	}
	bury(g);
	while ((l = gr_list_pop(&g->spare))) {
		struct gr_visit *v = GR_CONTAINER(l, struct gr_visit, link);

		gr_visit_fini(v);
		free(v);
	}
	for (uint32_t i = 0; g->fixed && i < g->plan->n_requests; i++)
		gr_buf_fini(&g->fixed[i]);
	free(g->fixed);
	gr_h2_fini(g);
	free(g->pools);
	free(g->heap);
	free(g->rx);
	if (g->tls)
		SSL_CTX_free(g->tls);
	if (g->ep >= 0)
		close(g->ep);
	gr_count_fini(g);
}
