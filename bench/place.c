/**
 * place - what a decision costs lib/place
 *
 * usage: place [-d FILE] [-u] [-w WORKERS]
 *        FILE gets rows for gnuplot: workers, median, p99.9 and mean ns; WORKERS: the first table for this size alone;
 *        -u: what ends is not named before it does (gr_place_soon)
 *
 * 1. place + complete, one pair after another, on a cluster kept at 4 of 5 slots taken: four resources asked, 1000 jobs
 *    of 8 tenants with work queued, input sets (locality), 4 pods a node sharing its cores (contention), 32 toolchains.
 *    From 1,000 to 100,000 workers. Each pair is timed alone; the cost of reading the clock, measured in the same run, is
 *    subtracted from the percentiles. The mean is CPU of runs without timing inside. All in windows, the quietest counts.
 * 2. batch fill: a range of equal tasks placed by gr_place_next in batches of 1024.
 * 3. memory: what is resident with 100,000 workers, with 10 million queued tasks (100 ranges of 100,000), with all slots taken; beside it
 *    lib/place's own count.
 * 4. the decision log: runs with it and without in turns, the quietest of each.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/rng.h"
#include "lib/place/place.h"

#define N_JOBS 1000u
#define N_TENANTS 8u
#define N_ENVS 32u
#define PODS 4u
#define SLOTS 4u
#define SAMPLES 50000u                /* a window */
#define WINDOWS 12u
#define BATCH 1024u

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* Of this process, so that waiting for a core does not count. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void must(int64_t rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "place: %s: %s\n", what, gr_err_name((int)rc));
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

struct rig {
	struct gr_place *p;
	struct gr_rng rng;
	uint64_t now_ns, log_bytes;
	uint32_t n_workers, env[N_ENVS], class[N_ENVS], owner[N_JOBS], n_left[N_JOBS];
	uint64_t *placed;             /* a ring of what runs: the oldest ends first, more or less */
	uint32_t n_placed, at;
	struct gr_place_decision out[BATCH];
	struct gr_place_log log;
};

static void count_log(void *ctx, const void *bytes, size_t n)
{
	struct rig *g = ctx;

	(void)bytes;
	g->log_bytes += n;
}

static void workers(struct rig *g, uint32_t n)
{
	char name[32];

	for (uint32_t i = 0; i < n; i++) {
		uint32_t envs[N_ENVS / 4], n_envs = 0;
		struct gr_place_worker w = { .tag = i, .slots = SLOTS, .node_cpu_mcpu = 8000, .zone = i / PODS % 3 };

		/* four different worker images, each with a quarter of the toolchains */
		for (uint32_t k = 0; k < N_ENVS; k++)
			if ((k + i / PODS) % 4 == 0)
				envs[n_envs++] = g->env[k];
		w.envs = envs;
		w.n_envs = n_envs;
		w.cap.v[GR_PLACE_CPU_MCPU] = 8000;
		w.cap.v[GR_PLACE_MEM_MIB] = 16384;
		w.cap.v[GR_PLACE_DISK_MIB] = 65536;
		w.cap.v[GR_PLACE_GPU_MILLI] = 1000;
		snprintf(name, sizeof(name), "node-%u", i / PODS);
		w.node = (uint32_t)gr_place_node(g->p, name);
		must(gr_place_worker_up(g->p, g->now_ns, &w), "worker_up");
	}
	g->n_workers = n;
}

static void queue_more(struct rig *g, uint32_t job)
{
	struct gr_place_task t = {
		.tag = job, .owner = g->owner[job], .class = g->class[job % N_ENVS], .count = 1000, .work_ms = 200,
		.family = job + 1, .input_bytes = 40u << 20,
	};

	must(gr_place_ready(g->p, g->now_ns, &t), "ready");
	g->n_left[job] += 1000;
}

static struct rig *rig_new(uint32_t n_workers, bool with_log)
{
	struct rig *g;
	struct gr_place_config cfg = { .seed = 1 };

	GR_NEW(g);
	g->rng.s = 1;
	g->now_ns = 1000000000ull;
	g->log = (struct gr_place_log){ count_log, g };
	cfg.log = with_log ? &g->log : NULL;
	g->p = gr_place_new(&cfg);
	for (uint32_t i = 0; i < N_ENVS; i++) {
		struct gr_digest d = { .b = { (uint8_t)(i + 1) } };
		int rc = gr_place_env(g->p, &d);

		must(rc, "env");
		g->env[i] = (uint32_t)rc;
		gr_place_env_hold(g->p, g->env[i], true);
	}
	workers(g, n_workers);
	for (uint32_t i = 0; i < N_ENVS; i++) {
		struct gr_place_class c;
		int rc;

		memset(&c, 0, sizeof(c));
		c.env = g->env[i];
		c.need.v[GR_PLACE_CPU_MCPU] = 1000;
		c.need.v[GR_PLACE_MEM_MIB] = 512 + 256 * (i % 3);
		c.need.v[GR_PLACE_DISK_MIB] = 100;
		c.need.v[GR_PLACE_GPU_MILLI] = 10;
		rc = gr_place_class(g->p, &c);
		must(rc, "class");
		g->class[i] = (uint32_t)rc;
	}
	for (uint32_t i = 1; i < N_TENANTS; i++)
		must(gr_place_tenant_add(g->p, &(struct gr_place_tenant){ .weight = i }), "tenant");
	for (uint32_t i = 0; i < N_JOBS; i++) {
		struct gr_place_owner o = { .tag = i, .tenant = i % N_TENANTS, .weight = 1 + i % 3, .band = 1 };
		int rc = gr_place_owner_add(g->p, &o);

		must(rc, "owner");
		g->owner[i] = (uint32_t)rc;
		must(gr_place_owner_bytes(g->p, g->owner[i], 40u << 20), "owner_bytes");
		queue_more(g, i);
	}
	return g;
}

static void rig_free(struct rig **gp)
{
	struct rig *g = *gp;

	gr_place_free(&g->p);
	free(g->placed);
	free(g);
	*gp = NULL;
}

static void note(struct rig *g, const struct gr_place_decision *d)
{
	uint32_t job = (uint32_t)d->tag;

	if (--g->n_left[job] < 500)
		queue_more(g, job);
}

/* Four of five slots are taken, and the last tenth of them came after many ended: no order of the start is left. */
static void settle(struct rig *g)
{
	uint32_t want = (uint32_t)((uint64_t)g->n_workers * SLOTS * 4 / 5);

	g->placed = gr_xalloc(want * sizeof(*g->placed));
	while (g->n_placed < want) {
		uint32_t left = want - g->n_placed;
		int n;

		g->now_ns += 1000;
		n = gr_place_next(g->p, g->now_ns, g->out, left < BATCH ? left : BATCH);
		must(n, "next");
		if (!n) {
			fprintf(stderr, "place: only %u of %u tasks could be placed\n", g->n_placed, want);
			exit(1);
		}
		for (int i = 0; i < n; i++) {
			note(g, &g->out[i]);
			g->placed[g->n_placed++] = g->out[i].placed;
		}
	}
}

static void end_one(struct rig *g, uint64_t placed)
{
	struct gr_place_ended e = { .how = GR_PLACE_DONE, .cpu_us = 150000 + gr_rng_below(&g->rng, 100000) };

	must(gr_place_end(g->p, g->now_ns, placed, &e), "end");
}

static uint64_t place_one(struct rig *g)
{
	if (gr_place_next(g->p, g->now_ns, g->out, 1) != 1) {
		fprintf(stderr, "place: nothing was placed\n");
		exit(1);
	}
	return g->out[0].placed;
}

static bool is_untold;

/* One ends and one is placed. Which one ends next is named meanwhile, as the coordinator does when it has decoded the message,
 * before all else that an end makes it do. */
static uint64_t pair(struct rig *g, uint64_t placed, uint64_t next)
{
	if (!is_untold)
		gr_place_soon(g->p, next, false);
	end_one(g, placed);
	if (!is_untold)
		gr_place_soon(g->p, next, true);
	return place_one(g);
}

/* Mean ns of a pair over a whole run; nothing is timed inside. */
static double pairs_ns(struct rig *g, uint32_t n)
{
	uint64_t from = cpu_ns();

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = g->at;

		g->now_ns += 200;
		g->at = gr_rng_below(&g->rng, g->n_placed);
		g->placed[at] = pair(g, g->placed[at], g->placed[g->at]);
		note(g, &g->out[0]);
	}
	return (double)(cpu_ns() - from) / n;
}

static uint64_t timer_ns(void)
{
	static uint64_t took[10001];

	for (uint32_t i = 0; i < 10001; i++) {
		uint64_t from = clock_ns();

		took[i] = clock_ns() - from;
	}
	qsort(took, 10001, sizeof(took[0]), by_value);
	return took[5000];
}

/* The samples come in windows, and the quietest one counts: other work on the machine only ever adds. */
static double decisions(uint32_t n_workers, FILE *data)
{
	struct rig *g = rig_new(n_workers, false);
	uint64_t *took = gr_xalloc(SAMPLES * sizeof(*took)), timer = timer_ns(), all = 0, worst = 0;
	double mean = 1e18, median = 1e18, p99 = 1e18, p999 = 1e18;

	settle(g);
	pairs_ns(g, 100000 + n_workers * 4);
	for (uint32_t i_window = 0; i_window < WINDOWS; i_window++) {
		double x;

		for (uint32_t i = 0; i < SAMPLES; i++) {
			uint32_t at = g->at;
			uint64_t from, placed = g->placed[at], next;        /* the caller has them in hand */

			g->now_ns += 200;
			g->at = gr_rng_below(&g->rng, g->n_placed);
			next = g->placed[g->at];
			from = clock_ns();
			placed = pair(g, placed, next);
			took[i] = clock_ns() - from;
			g->placed[at] = placed;
			took[i] = took[i] > timer ? took[i] - timer : 0;
			note(g, &g->out[0]);
		}
		qsort(took, SAMPLES, sizeof(*took), by_value);
		all += took[SAMPLES / 2];
		worst = took[SAMPLES - 1] > worst ? took[SAMPLES - 1] : worst;
		median = (double)took[SAMPLES / 2] < median ? (double)took[SAMPLES / 2] : median;
		p99 = (double)took[SAMPLES * 99 / 100] < p99 ? (double)took[SAMPLES * 99 / 100] : p99;
		p999 = (double)took[SAMPLES / 1000 * 999] < p999 ? (double)took[SAMPLES / 1000 * 999] : p999;
		x = pairs_ns(g, SAMPLES);
		mean = x < mean ? x : mean;
	}
	printf("  %8u %10.0f %10.0f %10.0f %14.0f %18.0f %10.1f\n", n_workers, median, p99, p999, mean, (double)all / WINDOWS,
	       (double)worst / 1000);
	if (data)
		fprintf(data, "%u %.0f %.0f %.0f\n", n_workers, median, p999, mean);
	free(took);
	rig_free(&g);
	return median;
}

static double fill_ns(uint32_t n_workers, uint32_t *n_done)
{
	struct rig *g;
	struct gr_place_config cfg = { .seed = 1 };
	uint32_t n = n_workers * SLOTS, done = 0;
	struct gr_place_class c;
	struct gr_place_task t = { .count = n, .work_ms = 200, .family = 7 };
	struct gr_place_owner o = { .weight = 1, .band = 1 };
	uint64_t from;
	double took_ns;

	GR_NEW(g);
	g->now_ns = 1000000000ull;
	g->p = gr_place_new(&cfg);
	for (uint32_t i = 0; i < N_ENVS; i++) {
		struct gr_digest d = { .b = { (uint8_t)(i + 1) } };
		int rc = gr_place_env(g->p, &d);

		must(rc, "env");
		g->env[i] = (uint32_t)rc;
		gr_place_env_hold(g->p, g->env[i], true);
	}
	workers(g, n_workers);
	memset(&c, 0, sizeof(c));
	c.need.v[GR_PLACE_CPU_MCPU] = 1000;
	c.need.v[GR_PLACE_MEM_MIB] = 512;
	t.class = (uint32_t)gr_place_class(g->p, &c);
	t.owner = (uint32_t)gr_place_owner_add(g->p, &o);
	must(gr_place_ready(g->p, g->now_ns, &t), "ready");
	from = cpu_ns();
	for (;;) {
		int rc = gr_place_next(g->p, g->now_ns, g->out, BATCH);

		must(rc, "next");
		if (!rc)
			break;
		done += (uint32_t)rc;
	}
	took_ns = (double)(cpu_ns() - from);
	rig_free(&g);
	*n_done = done;
	return took_ns / done;
}

static void batch_fill(uint32_t n_workers)
{
	double least = 1e18;
	uint32_t n_done = 0;

	for (int i = 0; i < 20; i++) {
		double x = fill_ns(n_workers, &n_done);

		least = x < least ? x : least;
	}
	printf("batch fill: %u equal tasks onto %u workers: %.1f ns of CPU a task (best of 20)\n", n_done, n_workers, least);
}

/* What the kernel gave, which counts all that was touched. */
static size_t resident(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void memory(void)
{
	size_t before, empty, up, queued, all = 0, of_workers = 0;
	struct rig *g;

	GR_NEW(g);
	malloc_trim(0);
	before = resident();
	{
		struct gr_place_config cfg = { .seed = 1 };

		g->p = gr_place_new(&cfg);
	}
	for (uint32_t i = 0; i < N_ENVS; i++) {
		struct gr_digest d = { .b = { (uint8_t)(i + 1) } };

		g->env[i] = (uint32_t)gr_place_env(g->p, &d);
		gr_place_env_hold(g->p, g->env[i], true);
	}
	empty = resident();
	workers(g, 100000);
	up = resident();
	for (uint32_t i = 0; i < 100; i++) {
		struct gr_place_class c;
		struct gr_place_owner o = { .weight = 1, .band = 1 };
		struct gr_place_task t = { .count = 100000, .work_ms = 200, .family = i + 1 };

		memset(&c, 0, sizeof(c));
		c.need.v[GR_PLACE_CPU_MCPU] = 1000;
		c.need.v[GR_PLACE_MEM_MIB] = 512;
		t.class = (uint32_t)gr_place_class(g->p, &c);
		t.owner = (uint32_t)gr_place_owner_add(g->p, &o);
		must(gr_place_ready(g->p, g->now_ns, &t), "ready");
	}
	queued = resident();
	gr_place_memory(g->p, &all, &of_workers);
	printf("memory: empty %.1f MiB; 100,000 workers %.1f bytes each more (own count %.1f); with 10 million queued tasks %.1f MiB in all "
	       "(own count %.1f)\n", (double)(empty - before) / 1048576, (double)(up - empty) / 1e5, (double)of_workers / 1e5,
	       (double)(queued - before) / 1048576, (double)all / 1048576);
	/* and all slots taken, which is when records of placements are there */
	for (;;) {
		int rc = gr_place_next(g->p, g->now_ns, g->out, BATCH);

		must(rc, "next");
		if (!rc)
			break;
	}
	gr_place_memory(g->p, &all, &of_workers);
	printf("memory: with all slots of them taken besides %.1f MiB resident (own count %.1f)\n", (double)(resident() - before) / 1048576,
	       (double)all / 1048576);
	rig_free(&g);
}

static void log_cost(void)
{
	enum { TURNS = 160, PAIRS = 10000 };
	double plain = 1e18, logged = 1e18, x;
	uint64_t bytes;
	struct rig *a = rig_new(10000, false), *b = rig_new(10000, true);

	settle(a);
	settle(b);
	pairs_ns(a, 140000);
	pairs_ns(b, 140000);
	bytes = b->log_bytes;
	/* in turns, the quietest of each */
	for (int i = 0; i < TURNS; i++) {
		x = pairs_ns(a, PAIRS);
		plain = x < plain ? x : plain;
		x = pairs_ns(b, PAIRS);
		logged = x < logged ? x : logged;
	}
	gr_place_log_flush(b->p);
	printf("decision log: %.0f ns of CPU a place + complete without it, %.0f ns more with it (quietest of %d turns), %.1f bytes\n", plain,
	       logged - plain, TURNS, (double)(b->log_bytes - bytes) / (TURNS * PAIRS));
	rig_free(&a);
	rig_free(&b);
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = { 1000, 3000, 10000, 30000, 100000 };
	uint32_t only = 0;
	double first = 0, last = 0;
	FILE *data = NULL;
	int c;

	while ((c = getopt(argc, argv, "d:uw:")) != -1) {
		switch (c) {
		case 'd':
			data = fopen(optarg, "w");
			if (!data) {
				perror(optarg);
				return 1;
			}
			break;
		case 'u': is_untold = true; break;
		case 'w': only = (uint32_t)atoi(optarg); break;
		default: fprintf(stderr, "usage: place [-d FILE] [-u] [-w WORKERS]\n"); return 2;
		}
	}
	printf("place + complete, ns: %u jobs, %u tenants, 4 resources, %u toolchains, input sets, 4 pods a node, 80 %% of the slots taken;\n"
	       "the quietest of %u windows of %u pairs; reading the clock takes %llu ns, subtracted from all but the mean\n", N_JOBS, N_TENANTS,
	       N_ENVS, WINDOWS, SAMPLES, (unsigned long long)timer_ns());
	printf("  %8s %10s %10s %10s %14s %18s %10s\n", "workers", "median", "p99", "p99.9", "mean, untimed", "median, all", "worst us");
	if (only) {
		decisions(only, data);
		return 0;
	}
	for (size_t i = 0; i < GR_LEN(sizes); i++) {
		last = decisions(sizes[i], data);
		if (!i)
			first = last;
	}
	printf("growth of the median from 1,000 to 100,000 workers: %.2f times\n", last / first);
	batch_fill(10000);
	log_cost();
	memory();
	if (data)
		fclose(data);
	return 0;
}
