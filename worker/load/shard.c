/* shard.c - the threads of a shard, commands to them and reports from them */
#include "worker/load/shard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "worker/load/gen.h"
#include "worker/load/procs.h"

#define REFRESH_NS (30 * GR_NS_PER_S)            /* what most resolvers' and services' answers are good for */

struct report {
	struct gr_list link;
	struct gr_buf frame;
};
struct gr_shard {
	struct gr_shard_spec spec;
	pthread_mutex_t lock;
	struct gr_names *names;
	bool has_threads;                        /* they begin when the names are known */
	struct gr_procs *procs;                  /* in place of all the rest */
	struct gr_gen *gens;
	uint32_t n_gens, n_ready, n_ended;
	enum gr_shard_state state;
	struct gr_err err;
	struct gr_list reports;
};

static void *thread_main(void *arg)
{
	struct gr_gen *g = arg;
	int rc = gr_gen_init(g);

	if (rc >= 0)
		gr_gen_warm(g);
	gr_shard__ready(g, rc);
	if (rc >= 0)
		gr_gen_run(g);
	gr_gen_fini(g);
	gr_shard__ended(g);
	return NULL;
}

static void tell(struct gr_shard *s)
{
	if (s->spec.notify)
		s->spec.notify(s->spec.ctx);
}

/* From the thread that looks names up. */
static void on_names(void *ctx, int rc, const struct gr_err *err)
{
	struct gr_shard *s = ctx;

	pthread_mutex_lock(&s->lock);
	if (s->state == GR_SHARD_PREPARING && rc < 0) {
		s->err = *err;
		s->state = GR_SHARD_FAILED;
	}
	for (uint32_t i = 0; s->state == GR_SHARD_PREPARING && i < s->n_gens; i++) {
		struct gr_gen *g = &s->gens[i];

		s->has_threads = true;
		g->has_thread = !pthread_create(&g->thread, NULL, thread_main, g);
		if (g->has_thread)
			continue;
		gr_err_set(&s->err, GR_EIO, "no thread for the load generator");
		s->state = GR_SHARD_FAILED;
		for (uint32_t k = 0; k < i; k++)
			s->gens[k].cmd_stop = true;      /* seen before its first sleep, or woken by gr_shard_free */
	}
	pthread_mutex_unlock(&s->lock);
	tell(s);
}

static void add_report(struct gr_shard *s, struct gr_buf *frame)
{
	struct report *r;

	GR_NEW(r);
	r->frame = *frame;
	*frame = (struct gr_buf){ 0 };
	pthread_mutex_lock(&s->lock);
	gr_list_push(&s->reports, &r->link);
	pthread_mutex_unlock(&s->lock);
}

static void on_procs(void *ctx, enum gr_procs_event e, const char *text, struct gr_buf *frame)
{
	struct gr_shard *s = ctx;

	if (e == GR_PROCS_REPORT)
		add_report(s, frame);
	pthread_mutex_lock(&s->lock);
	if (text && !s->err.text[0])
		gr_err_set(&s->err, GR_EIO, "%s", text);
	if (e == GR_PROCS_READY && s->state == GR_SHARD_PREPARING)
		s->state = GR_SHARD_READY;
	else if (e == GR_PROCS_FAILED)
		s->state = GR_SHARD_FAILED;
	else if (e == GR_PROCS_ENDED && s->state != GR_SHARD_FAILED)
		s->state = GR_SHARD_ENDED;
	pthread_mutex_unlock(&s->lock);
	tell(s);
}

/* 1: in processes. 0: one is enough. */
static int in_processes(struct gr_shard *s, struct gr_err *err)
{
	const struct gr_shard_spec *spec = &s->spec;
	int n = spec->plan_json ? gr_procs_wanted(spec->plan, spec->index, spec->of, err) : 1;

	n = n > 0 && (uint32_t)n < spec->n_procs ? (int)spec->n_procs : n;
	if (n > 1)
		n = gr_procs_new(spec, (uint32_t)n, on_procs, s, &s->procs, err);
	return n < 0 ? n : s->procs != NULL;
}

int gr_shard_new(const struct gr_shard_spec *spec, struct gr_shard **out, struct gr_err *err)
{
	struct gr_shard *s;
	int rc;

	GR_NEW(s);
	s->spec = *spec;
	pthread_mutex_init(&s->lock, NULL);
	gr_list_init(&s->reports);
	rc = in_processes(s, err);
	if (rc != 0) {
		if (rc < 0)
			gr_shard_free(&s);
		*out = s;
		return rc < 0 ? rc : 0;
	}
	s->n_gens = spec->plan->n_threads;
	s->gens = gr_xalloc(s->n_gens * sizeof(*s->gens));
	for (uint32_t i = 0; i < s->n_gens; i++) {
		struct gr_gen *g = &s->gens[i];

		g->shard = s;
		g->plan = spec->plan;
		g->part = spec->part + i;
		g->n_parts = spec->n_parts ? spec->n_parts : s->n_gens;
		/* share INDEX of OF, cut once more by threads: the same arrivals together */
		g->share = (struct gr_share){ 0, spec->index + spec->of * i, spec->of * s->n_gens };
		g->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (g->wake_fd < 0) {
			s->n_gens = i;
			gr_shard_free(&s);
			return gr_err_set(err, GR_EIO, "no descriptor for the load generator");
		}
	}
	rc = gr_names_new(spec->plan, REFRESH_NS, on_names, s, &s->names, err);
	if (rc < 0) {
		gr_shard_free(&s);
		return rc;
	}
	*out = s;
	return 0;
}

static void wake(struct gr_gen *g)
{
	uint64_t one = 1;

	if (write(g->wake_fd, &one, sizeof(one)) < 0)
		return;                          /* full: it is awake */
}

enum gr_shard_state gr_shard_state(struct gr_shard *s)
{
	enum gr_shard_state st;

	pthread_mutex_lock(&s->lock);
	st = s->state;
	pthread_mutex_unlock(&s->lock);
	return st;
}

const char *gr_shard_error(struct gr_shard *s) { return s->err.text; }

void gr_shard_start(struct gr_shard *s, uint64_t start_ns)
{
	pthread_mutex_lock(&s->lock);
	if (s->state == GR_SHARD_READY) {
		s->state = GR_SHARD_RUNNING;
		for (uint32_t i = 0; i < s->n_gens; i++)
			s->gens[i].cmd_start_ns = start_ns;
	}
	pthread_mutex_unlock(&s->lock);
	if (s->procs)
		gr_procs_start(s->procs, start_ns);
	for (uint32_t i = 0; i < s->n_gens; i++)
		wake(&s->gens[i]);
}

void gr_shard_share(struct gr_shard *s, uint64_t from, uint32_t index, uint32_t of)
{
	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < s->n_gens; i++) {
		s->gens[i].cmd_share = (struct gr_share){ from, index + of * i, of * s->n_gens };
		s->gens[i].has_cmd_share = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (s->procs)
		gr_procs_share(s->procs, from, index, of);
	for (uint32_t i = 0; i < s->n_gens; i++)
		wake(&s->gens[i]);
}

void gr_shard_stop(struct gr_shard *s)
{
	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < s->n_gens; i++)
		s->gens[i].cmd_stop = true;
	if (!s->has_threads && !s->procs && s->state == GR_SHARD_PREPARING)
		s->state = GR_SHARD_ENDED;       /* nobody waits for a name */
	pthread_mutex_unlock(&s->lock);
	if (s->procs)
		gr_procs_stop(s->procs);
	for (uint32_t i = 0; i < s->n_gens; i++)
		wake(&s->gens[i]);
}

bool gr_shard_take_report(struct gr_shard *s, struct gr_buf *frame)
{
	struct gr_list *l;
	struct report *r;

	pthread_mutex_lock(&s->lock);
	l = gr_list_pop(&s->reports);
	pthread_mutex_unlock(&s->lock);
	if (!l)
		return false;
	r = GR_CONTAINER(l, struct report, link);
	*frame = r->frame;
	free(r);
	return true;
}

void gr_shard_free(struct gr_shard **sp)
{
	struct gr_shard *s = *sp;
	struct gr_buf frame = { 0 };

	*sp = NULL;
	if (!s)
		return;
	gr_shard_stop(s);
	gr_procs_free(&s->procs);
	gr_names_free(&s->names);                /* after this it makes no threads */
	for (uint32_t i = 0; i < s->n_gens; i++)
		if (s->gens[i].has_thread)
			pthread_join(s->gens[i].thread, NULL);
	for (uint32_t i = 0; i < s->n_gens; i++)
		if (s->gens[i].wake_fd >= 0)
			close(s->gens[i].wake_fd);
	while (gr_shard_take_report(s, &frame))
		gr_buf_fini(&frame);
	pthread_mutex_destroy(&s->lock);
	free(s->gens);
	free(s);
}

/* ---- from the threads ---- */

void gr_shard__ready(struct gr_gen *g, int rc)
{
	struct gr_shard *s = g->shard;

	pthread_mutex_lock(&s->lock);
	if (rc < 0 && s->state != GR_SHARD_FAILED) {
		s->err = g->err;
		s->state = GR_SHARD_FAILED;
		for (uint32_t i = 0; i < s->n_gens; i++) {
			s->gens[i].cmd_stop = true;
			wake(&s->gens[i]);
		}
	}
	if (++s->n_ready == s->n_gens && s->state == GR_SHARD_PREPARING)
		s->state = GR_SHARD_READY;
	pthread_mutex_unlock(&s->lock);
	tell(s);
}

void gr_shard__report(struct gr_gen *g, struct gr_buf *frame)
{
	add_report(g->shard, frame);
	tell(g->shard);
}

void gr_shard__ended(struct gr_gen *g)
{
	struct gr_shard *s = g->shard;
	bool is_all;

	pthread_mutex_lock(&s->lock);
	is_all = ++s->n_ended == s->n_gens;
	if (is_all && s->state != GR_SHARD_FAILED)
		s->state = GR_SHARD_ENDED;
	pthread_mutex_unlock(&s->lock);
	if (is_all)
		tell(s);
}

bool gr_shard__commands(struct gr_gen *g)
{
	struct gr_shard *s = g->shard;
	uint64_t n;
	bool is_any;

	if (read(g->wake_fd, &n, sizeof(n)) < 0)
		n = 0;
	pthread_mutex_lock(&s->lock);
	is_any = g->cmd_stop || g->has_cmd_share || (g->cmd_start_ns && !g->start_ns);
	g->is_stopping |= g->cmd_stop;
	if (g->cmd_start_ns && !g->start_ns)
		g->start_ns = g->cmd_start_ns;
	if (g->has_cmd_share) {
		g->next_share = g->cmd_share;
		g->has_next_share = true;
		g->has_cmd_share = false;
	}
	pthread_mutex_unlock(&s->lock);
	return is_any;
}

struct gr_names *gr_shard__names(const struct gr_gen *g) { return g->shard->names; }

uint64_t gr_shard__run(const struct gr_gen *g, uint16_t *shard)
{
	*shard = g->shard->spec.shard;
	return g->shard->spec.run;
}
