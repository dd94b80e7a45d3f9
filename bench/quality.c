/**
 * quality - how well lib/place places, in the simulation of tests/sim: mean and p99 response beside other policies
 *
 * usage: quality [-n NODES] [-t TASKS] [-l LOAD] [-s SEEDS] [-k SLOTS] [-c SETS] [-d FILE]
 *        NODES (250) of 8 cores with 4 pods of SLOTS (4) each; a cache holds SETS (12) of the 32 input sets; TASKS (120000);
 *        LOAD 0.5, 0.8 or 0.95 of what the cores can do, all three unless given;
 *        FILE gets the rows for gnuplot: load, then mean and p99 of each policy over the oracle's
 *
 * First the response times under load for each policy and its ratio to the full scan of the true cost; then four pods on
 * a node under a mixed load for lib/place and for lib/place told that each pod has a node of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/sim.h"

#define N_POLICIES 8
static uint32_t n_nodes = 250, n_seeds = 1, slots = 4, n_have = 12;
static uint64_t n_tasks = 120000;

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * GR_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* The mean over the seeds of each figure. */
static struct sim_result run(const struct sim_policy *policy, struct sim_quality q)
{
	struct sim_result sum = { 0 };

	for (q.seed = 1; q.seed <= n_seeds; q.seed++) {
		struct sim *s = sim_quality(policy, &q);

		s->clock_ns = clock_ns;
		if (sim_run(s) < 0) {
			fprintf(stderr, "quality: %s, seed %llu: %s\n", policy->name, (unsigned long long)q.seed, s->r.why);
			exit(1);
		}
		if (s->r.n_done != q.n_tasks) {
			fprintf(stderr, "quality: %s, seed %llu: %llu of %llu tasks done\n", policy->name,
				(unsigned long long)q.seed, (unsigned long long)s->r.n_done, (unsigned long long)q.n_tasks);
			exit(1);
		}
		sum.mean_s += s->r.mean_s / n_seeds;
		sum.p99_s += s->r.p99_s / n_seeds;
		sum.decide_s += s->r.decide_s;
		sum.n_decisions += s->r.n_decisions;
		sum.n_misses += s->r.n_misses;
		sim_free(&s);
	}
	return sum;
}

static void row(const struct sim_policy *policy, const struct sim_result *r, const struct sim_result *base)
{
	printf("  %-28s %8.3f %8.3f %8.3f %8.3f %8.1f%% %11.0f\n", policy->name, r->mean_s, r->p99_s, r->mean_s / base->mean_s,
	       r->p99_s / base->p99_s, 100.0 * (double)r->n_misses / (double)(n_tasks * n_seeds),
	       r->decide_s * 1e9 / (double)r->n_decisions);
}

static void head(void)
{
	printf("  %-28s %8s %8s %8s %8s %9s %11s\n", "policy", "mean s", "p99 s", "mean/or.", "p99/or.", "fetches", "ns/decision");
}

int main(int argc, char **argv)
{
	double loads[] = { 0.5, 0.8, 0.95 }, only = 0;
	const char *path = NULL;
	FILE *data = NULL;
	int c;

	while ((c = getopt(argc, argv, "n:t:l:s:d:k:c:")) != -1) {
		switch (c) {
		case 'n': n_nodes = (uint32_t)atoi(optarg); break;
		case 't': n_tasks = strtoull(optarg, NULL, 10); break;
		case 'l': only = atof(optarg); break;
		case 's': n_seeds = (uint32_t)atoi(optarg); break;
		case 'd': path = optarg; break;
		case 'c': n_have = (uint32_t)atoi(optarg); break;
		case 'k': slots = (uint32_t)atoi(optarg); break;
		default: fprintf(stderr, "usage: quality [-n NODES] [-t TASKS] [-l LOAD] [-s SEEDS] [-k SLOTS] [-c SETS] [-d FILE]\n"); return 2;
		}
	}
	if (!n_nodes || !n_tasks || !n_seeds) {
		fprintf(stderr, "quality: nodes, tasks and seeds are at least 1\n");
		return 2;
	}
	if (path) {
		data = fopen(path, "w");
		if (!data) {
			perror(path);
			return 1;
		}
	}
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		struct sim_quality q = { .n_nodes = n_nodes, .pods = 4, .cores = 8, .slots = slots, .n_sets = 32, .n_have = n_have, .n_tasks = n_tasks,
					 .load = loads[i] };
		struct sim_result r[N_POLICIES], base = { 0 };

		if (only > 0 && only != loads[i])
			continue;
		printf("load %.2f, %u nodes x 8 cores, 4 pods of %u slots a node, %llu tasks of 2 s in mean, 32 input sets of 50-400 MB of which a cache holds %u, %u seed(s)\n",
		       loads[i], n_nodes, slots, (unsigned long long)n_tasks, n_have, n_seeds);
		head();
		for (int k = 0; sim_policies[k]; k++) {
			r[k] = run(sim_policies[k], q);
			if (sim_policies[k] == &sim_oracle)
				base = r[k];
		}
		for (int k = 0; sim_policies[k]; k++)
			row(sim_policies[k], &r[k], &base);
		if (!data)
			continue;
		fprintf(data, "%.2f", loads[i]);
		for (int k = 0; sim_policies[k]; k++)
			fprintf(data, " %.4f %.4f", r[k].mean_s / base.mean_s, r[k].p99_s / base.p99_s);
		fputc('\n', data);
	}
	for (int i = 0; i < 2; i++) {
		struct sim_quality q = { .n_nodes = n_nodes, .pods = 4, .cores = 8, .slots = slots, .n_sets = 8, .n_tasks = n_tasks,
					 .load = i ? 0.8 : 0.6, .is_mixed = true };
		struct sim_result aware, blind;

		if (only > 0)
			break;
		aware = run(&sim_place, q);
		blind = run(&sim_place_blind, q);
		printf("load %.2f, 4 pods a node, mixed: 2 s tasks of one core, and 2 in 100 of 30 s on four cores\n", q.load);
		head();
		row(&sim_place, &aware, &aware);
		row(&sim_place_blind, &blind, &aware);
		printf("  p99 is %.0f %% better than blind\n", 100 * (1 - aware.p99_s / blind.p99_s));
	}
	if (data)
		fclose(data);
	return 0;
}
