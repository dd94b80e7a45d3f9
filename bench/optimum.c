/**
 * optimum - makespans of lib/place beside the exact optimum
 *
 * usage: optimum [-n CASES] [-s SECONDS] [-g GAP] [-p AHEAD] [-q]
 *        -q: no solver, the longest-first list alone beside it; AHEAD: tasks a worker may hold beside the one it runs (0); CASES seeded cases (1000), each solved by cbc within SECONDS (20); exit 1 when the mean gap over all, the unsolved ones taken above cbc's lower bound, is above GAP percent.
 *
 * A case: 10 tasks on 3 workers, 14 on 4, or 20 on 5 (of ten cases 6, 3 and 1), all there at once; speeds 0.5 to 1.5,
 * lognormal work, two or three input sets that a worker fetches before its first task of a set. lib/place runs it in the
 * simulation, its speeds learned before from other tasks and not told; it decides when a slot is free, knows the work of
 * each task and nothing of the future. cbc is given the whole case: minimise T with, for each worker j,
 *     sum_i x_ij work_i / speed_j + sum_s y_sj fetch_s <= T,   y_sj >= x_ij for i of s,   sum_j x_ij = 1,   x, y binary.
 * The lower bounds need no solver: all work over all speed, and the longest task with its fetch on the fastest worker.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/sim.h"

#define MAX_TASKS 20u
#define MAX_WORKERS 5u
#define MAX_SETS 3u
#define WARM_TASKS 60u                /* a worker, before the case */
#define BANDWIDTH 100000000ull

extern char **environ;

struct one {
	uint64_t seed;
	uint32_t n_tasks, n_workers, n_sets;
	uint32_t work_us[MAX_TASKS], set[MAX_TASKS];
	double speed[MAX_WORKERS];
	uint64_t bytes[MAX_SETS];
	double place_s, fifo_s, lpt_s, bound_s, best_s;   /* best: the optimum, or the lower bound that cbc came to */
	bool is_proven;
	pid_t pid;
	char lp[64], out[64], log[64];
};

static double seconds = 20;
static volatile sig_atomic_t is_over;     /* asked to end: tells what was solved so far */
static uint32_t ahead;

static void draw(struct one *c, uint64_t seed)
{
	static const uint32_t sizes[][2] = { { 10, 3 }, { 14, 4 }, { 20, 5 } };
	struct gr_rng r = { seed * 0x9e3779b97f4a7c15ull + 5 };
	uint32_t size = seed % 10 < 6 ? 0 : seed % 10 < 9 ? 1 : 2;

	*c = (struct one){ .seed = seed, .n_tasks = sizes[size][0], .n_workers = sizes[size][1], .n_sets = 2 + gr_rng_below(&r, 2) };
	for (uint32_t j = 0; j < c->n_workers; j++)
		c->speed[j] = 0.5 + sim_uniform(&r);
	for (uint32_t k = 0; k < c->n_sets; k++)
		c->bytes[k] = (20 + gr_rng_below(&r, 100)) * 1000000ull;
	for (uint32_t i = 0; i < c->n_tasks; i++) {
		c->work_us[i] = (uint32_t)(sim_lognormal(&r, 4, 0.7) * 1e6) + 100000;
		c->set[i] = gr_rng_below(&r, c->n_sets);
	}
}

/* ---- lib/place ---- */

static double by_place(const struct one *c)
{
	struct sim_config cfg = { .seed = c->seed, .may_retract = true, .bandwidth_bytes_per_s = { BANDWIDTH, BANDWIDTH } };
	struct sim *s = sim_new(&sim_place, &cfg);
	struct sim_job teach = { .weight = 1, .set = SIM_NONE, .family = 1 };
	struct sim_job job = { .weight = 1, .set = SIM_NONE, .is_hint_exact = true, .is_whole = true };
	uint32_t id, second_us = 1000000;
	uint64_t at_ns, end_ns = 0;

	for (uint32_t j = 0; j < c->n_workers; j++) {
		struct sim_worker w = { .slots = 1, .prefetch = ahead };

		w.cap.v[GR_PLACE_CPU_MCPU] = 1000;
		sim_worker_add(s, sim_node_add(s, 1000, c->speed[j], 0), &w, MAX_SETS);
	}
	teach.need.v[GR_PLACE_CPU_MCPU] = job.need.v[GR_PLACE_CPU_MCPU] = 1000;
	id = sim_job_add(s, &teach);
	for (uint32_t i = 0; i < WARM_TASKS * c->n_workers; i++)
		sim_submit(s, 0, id, &second_us, 1);
	at_ns = WARM_TASKS * 4 * GR_NS_PER_S;
	id = sim_job_add(s, &job);
	for (uint32_t k = 0; k < c->n_sets; k++)
		sim_set_add(s, c->bytes[k]);
	for (uint32_t i = 0; i < c->n_tasks; i++) {
		sim_submit(s, at_ns, id, &c->work_us[i], 1);
		s->tasks[s->n_tasks - 1].set = c->set[i];
	}
	if (sim_run(s) < 0 || s->r.n_done != s->n_tasks) {
		fprintf(stderr, "optimum: case %llu: %s\n", (unsigned long long)c->seed, s->r.why[0] ? s->r.why : "not all done");
		exit(1);
	}
	for (uint32_t i = 0; i < c->n_tasks; i++)
		if (s->tasks[s->jobs[id].first + i].done_ns > end_ns)
			end_ns = s->tasks[s->jobs[id].first + i].done_ns;
	sim_free(&s);
	return (double)(end_ns - at_ns) / 1e9;
}

/* ---- greedy lists, for scale: each task in order to where it ends first, with the true speeds ---- */

static double by_list(const struct one *c, bool is_lpt)
{
	double busy_s[MAX_WORKERS] = { 0 }, end = 0;
	bool has[MAX_WORKERS][MAX_SETS] = { { false } }, used[MAX_TASKS] = { false };

	for (uint32_t n = 0; n < c->n_tasks; n++) {
		uint32_t i = 0, best = 0;
		double least = 1e18;

		while (used[i])
			i++;
		for (uint32_t k = i; k < c->n_tasks && is_lpt; k++)
			if (!used[k] && c->work_us[k] > c->work_us[i])
				i = k;
		used[i] = true;
		for (uint32_t j = 0; j < c->n_workers; j++) {
			double t = busy_s[j] + c->work_us[i] / 1e6 / c->speed[j] +
				   (has[j][c->set[i]] ? 0 : (double)c->bytes[c->set[i]] / BANDWIDTH);

			if (t < least) {
				least = t;
				best = j;
			}
		}
		busy_s[best] = least;
		has[best][c->set[i]] = true;
		end = least > end ? least : end;
	}
	return end;
}

static double bound(const struct one *c)
{
	double work = 0, speed = 0, fastest = 0, most = 0, area;

	for (uint32_t j = 0; j < c->n_workers; j++) {
		speed += c->speed[j];
		fastest = c->speed[j] > fastest ? c->speed[j] : fastest;
	}
	for (uint32_t i = 0; i < c->n_tasks; i++) {
		double t = c->work_us[i] / 1e6 / fastest + (double)c->bytes[c->set[i]] / BANDWIDTH;

		work += c->work_us[i] / 1e6;
		most = t > most ? t : most;
	}
	area = work / speed;
	return area > most ? area : most;
}

/* ---- the exact optimum ---- */

static void write_lp(struct one *c, const char *dir)
{
	FILE *f;

	snprintf(c->lp, sizeof(c->lp), "%s/%llu.lp", dir, (unsigned long long)c->seed);
	snprintf(c->out, sizeof(c->out), "%s/%llu.sol", dir, (unsigned long long)c->seed);
	snprintf(c->log, sizeof(c->log), "%s/%llu.log", dir, (unsigned long long)c->seed);
	f = fopen(c->lp, "w");
	if (!f) {
		perror(c->lp);
		exit(1);
	}
	fprintf(f, "Minimize\n obj: T\nSubject To\n");
	for (uint32_t i = 0; i < c->n_tasks; i++) {
		fprintf(f, " a%u:", i);
		for (uint32_t j = 0; j < c->n_workers; j++)
			fprintf(f, " + x%u_%u", i, j);
		fprintf(f, " = 1\n");
	}
	for (uint32_t j = 0; j < c->n_workers; j++) {
		fprintf(f, " m%u:", j);
		for (uint32_t i = 0; i < c->n_tasks; i++)
			fprintf(f, " + %.6f x%u_%u", c->work_us[i] / 1e6 / c->speed[j], i, j);
		for (uint32_t k = 0; k < c->n_sets; k++)
			fprintf(f, " + %.6f y%u_%u", (double)c->bytes[k] / BANDWIDTH, k, j);
		fprintf(f, " - T <= 0\n");
		for (uint32_t i = 0; i < c->n_tasks; i++)
			fprintf(f, " f%u_%u: x%u_%u - y%u_%u <= 0\n", i, j, i, j, c->set[i], j);
	}
	fprintf(f, "Bounds\n T >= %.6f\nBinaries\n", c->bound_s);
	for (uint32_t j = 0; j < c->n_workers; j++) {
		for (uint32_t i = 0; i < c->n_tasks; i++)
			fprintf(f, " x%u_%u", i, j);
		for (uint32_t k = 0; k < c->n_sets; k++)
			fprintf(f, " y%u_%u", k, j);
		fputc('\n', f);
	}
	fprintf(f, "End\n");
	fclose(f);
}

static void solve(struct one *c)
{
	posix_spawn_file_actions_t fa;
	char limit[32];
	char *argv[] = { (char *)"cbc", c->lp, (char *)"sec", limit, (char *)"solve", (char *)"solution", c->out, NULL };
	int rc;

	snprintf(limit, sizeof(limit), "%.0f", seconds);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 1, c->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	rc = posix_spawnp(&c->pid, "cbc", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (rc) {
		fprintf(stderr, "optimum: cbc: %s (package coinor-cbc)\n", strerror(rc));
		exit(rc == 2 ? 36 : 1);
	}
}

static double lower_bound(const struct one *c)
{
	char line[256];
	FILE *f = fopen(c->log, "r");
	double low = c->bound_s;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Lower bound:", 12) && atof(line + 12) > low)
			low = atof(line + 12);
	if (f)
		fclose(f);
	return low;
}

static void read_solution(struct one *c)
{
	char line[256] = "";
	FILE *f = fopen(c->out, "r");
	const char *value;

	if (!f || !fgets(line, sizeof(line), f)) {
		fprintf(stderr, "optimum: case %llu: cbc left no solution\n", (unsigned long long)c->seed);
		exit(1);
	}
	fclose(f);
	c->is_proven = !strncmp(line, "Optimal", 7);
	value = strstr(line, "objective value");
	c->best_s = c->is_proven && value ? atof(value + 15) : lower_bound(c);
	unlink(c->lp);
	unlink(c->out);
	unlink(c->log);
}

static void end_soon(int sig)
{
	(void)sig;
	is_over = 1;
}

/* ---- telling ---- */

struct tally { double sum, max; uint32_t n, n_over; };

static void add(struct tally *t, double x)
{
	t->sum += x;
	t->max = x > t->max ? x : t->max;
	t->n++;
	t->n_over += x > 0.08;
}

static void row(const char *what, const struct tally *t)
{
	printf("  %-40s mean %6.2f %%   worst %6.1f %%   above 8 %%: %u of %u\n", what, 100 * t->sum / t->n, 100 * t->max, t->n_over, t->n);
}

/* Quick: over the longest-first list, which is a few percent above the optimum. */
static int beside_list(uint64_t n_cases)
{
	struct tally over = { 0 };

	for (uint64_t seed = 1; seed <= n_cases; seed++) {
		struct one c;

		draw(&c, seed);
		add(&over, by_place(&c) / by_list(&c, true) - 1);
	}
	row("lib/place over longest first", &over);
	return 0;
}

int main(int argc, char **argv)
{
	struct tally place = { 0 }, all = { 0 }, fifo = { 0 }, lpt = { 0 }, low = { 0 }, size[3] = { { 0 } };
	struct one running[2], *c;
	uint64_t n_cases = 1000, at = 1, n_open = 0;
	uint32_t n_running = 0;
	char dir[] = "/tmp/griddle-optimum.XXXXXX";
	double limit = 0;
	bool is_quick = false;
	int opt;

	while ((opt = getopt(argc, argv, "n:s:g:p:q")) != -1) {
		switch (opt) {
		case 'n': n_cases = strtoull(optarg, NULL, 10); break;
		case 's': seconds = atof(optarg); break;
		case 'g': limit = atof(optarg); break;
		case 'p': ahead = (uint32_t)atoi(optarg); break;
		case 'q': is_quick = true; break;
		default: fprintf(stderr, "usage: optimum [-n CASES] [-s SECONDS] [-g GAP] [-p AHEAD] [-q]\n"); return 2;
		}
	}
	if (is_quick)
		return beside_list(n_cases);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = end_soon, .sa_flags = SA_RESTART }, NULL);
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	while ((at <= n_cases && !is_over) || n_running) {
		pid_t pid;
		int status;

		while (n_running < 2 && at <= n_cases && !is_over) {
			c = &running[n_running++];
			draw(c, at++);
			c->place_s = by_place(c);
			c->fifo_s = by_list(c, false);
			c->lpt_s = by_list(c, true);
			c->bound_s = bound(c);
			write_lp(c, dir);
			solve(c);
		}
		pid = wait(&status);
		c = pid == running[0].pid ? &running[0] : &running[1];
		read_solution(c);
		add(&all, c->place_s / c->best_s - 1);
		if (!c->is_proven) {
			n_open++;
		} else if (c->place_s < c->best_s * 0.99999) {
			fprintf(stderr, "optimum: case %llu: %.6f s is below cbc's optimum of %.6f s: the models differ\n",
				(unsigned long long)c->seed, c->place_s, c->best_s);
			return 1;
		} else {
			add(&place, c->place_s / c->best_s - 1);
			add(&fifo, c->fifo_s / c->best_s - 1);
			add(&lpt, c->lpt_s / c->best_s - 1);
			add(&low, c->best_s / c->bound_s - 1);
			add(&size[c->n_workers - 3], c->place_s / c->best_s - 1);
		}
		*c = running[--n_running];
	}
	rmdir(dir);
	if (!place.n) {
		fprintf(stderr, "optimum: no case was solved within %.0f s\n", seconds);
		return 1;
	}
	printf("makespan above the exact optimum (cbc), %u cases solved, %llu not within %.0f s\n", place.n, (unsigned long long)n_open, seconds);
	row("lib/place", &place);
	for (int i = 0; i < 3; i++)
		if (size[i].n)
			row(i == 0 ? "  10 tasks on 3 workers" : i == 1 ? "  14 tasks on 4 workers" : "  20 tasks on 5 workers", &size[i]);
	row("all cases, the rest above cbc's lower bound", &all);
	row("in order of arrival, to where it ends first", &fifo);
	row("longest first, to where it ends first", &lpt);
	row("the optimum above the lower bounds", &low);
	return limit > 0 && 100 * all.sum / all.n > limit ? 1 : 0;
}
