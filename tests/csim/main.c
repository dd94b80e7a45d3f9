/**
 * csim - whole clusters in one process, each drawn from a seed: the coordinator's own code and its store, with workers and
 * clients that are cut off, stopped and killed, and every invariant checked after every event
 *
 * usage: csim [-n SEEDS] [-f FIRST] [-t SECONDS] [-l N]   TAP; SEEDS small ones from FIRST (1), or as many as SECONDS of CPU
 *                                                         allow; of 1,000 workers -l N (1)
 *        SEED=n csim [-v] [-d] [-c] [-l 1]                one of them; -v tells all that happens, -d with a disk that never fails,
 *                                                         -c without comparators, -k without kinds of workers
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "tests/csim/csim.h"

/* Each of these broke an invariant once; what it was is in the history of the file that was mended. The long ones were found
 * when a seed was not hashed: they are what hashes to the states of 8, 9, 11, 31, 765, 2194, 2322 and 4702 as they were then. */
static const uint64_t kept[] = {
	0xba07d43208e4e802, 0x35feb755754ce6b, 0x6dd21a683571ac52, 0x7669abd7d7e5bfeb, 0x5d4142b525f34a55, 0xf3b961cf7de39a8c,
	0xc4482eebde04ce58, 0x53de7028ea25cc4d, 11491, 17490, 17693, 22106,
};
/* And these with a disk that fails. */
static const uint64_t kept_disk[] = { 2, 10, 1268, 1430 };

struct one {
	struct cs_stats st;
	uint64_t hash;
	uint32_t n_lives;
	char why[512];
};

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool has_disk = true;              /* that may fail */
static bool has_checks = true;            /* copies that a comparator compares */
static bool has_same = true;              /* that go to workers alike */

static int run_one(uint64_t seed, bool is_large, uint32_t verbose, struct one *out)
{
	struct cs *s = cs_new(seed, verbose);
	int rc;

	if (is_large)
		cs_profile_large(s);
	else
		cs_profile_small(s);
	if (!has_disk)
		s->p.disk_every_ms = 0;
	if (!has_checks)
		s->p.has_checks = false;
	if (!has_same)
		s->p.has_same = false;
	rc = cs_run(s);
	*out = (struct one){ .st = s->st, .hash = s->hash, .n_lives = s->n_lives };
	memcpy(out->why, s->why, sizeof(out->why));
	cs_free(s);
	return rc;
}

static void tell(const struct cs_stats *t)
{
	printf("# %llu jobs, %llu tasks, %llu runs of them, %llu comparisons; %llu events, %llu frames, %llu lost; %llu connections, %llu cut; stopped %llu, workers killed "
	       "%llu, drained %llu; coordinator killed %llu, ended %llu; results said again %llu; cancelled %llu, paused %llu, retried %llu, submitted again "
	       "%llu; %llu compiles, %llu of them given back; %llu commits, %llu looks at everything; disk failed %llu times, %llu calls, %llu submits refused\n",
	       (unsigned long long)t->jobs, (unsigned long long)t->tasks, (unsigned long long)t->runs, (unsigned long long)t->checks, (unsigned long long)t->events,
	       (unsigned long long)t->frames, (unsigned long long)t->lost_frames, (unsigned long long)t->conns, (unsigned long long)t->cuts,
	       (unsigned long long)t->stalls, (unsigned long long)t->worker_crashes, (unsigned long long)t->drains, (unsigned long long)t->coord_crashes,
	       (unsigned long long)t->coord_ends, (unsigned long long)t->results_again, (unsigned long long)t->cancels, (unsigned long long)t->pauses,
	       (unsigned long long)t->retries, (unsigned long long)t->resubmits, (unsigned long long)t->compiles,
	       (unsigned long long)t->compiles_here, (unsigned long long)t->commits, (unsigned long long)t->looks,
	       (unsigned long long)t->disk_faults, (unsigned long long)t->disk_errors, (unsigned long long)t->refused);
}

static void add(struct cs_stats *sum, const struct cs_stats *t)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)t;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += from[i];
}

int main(int argc, char **argv)
{
	const char *variant = getenv("VARIANT"), *seed = getenv("SEED");
	uint64_t n_seeds = variant && strcmp(variant, "release") ? 60 : 150, n_large = 1, first = 1, i;
	struct cs_stats sum = { 0 };
	struct one r, again;
	uint32_t verbose = 0;
	double seconds = 0, small_s;
	int c, n_bad = 0;

	while ((c = getopt(argc, argv, "n:f:t:l:vdck")) != -1) {
		switch (c) {
		case 'n': n_seeds = strtoull(optarg, NULL, 10); break;
		case 'f': first = strtoull(optarg, NULL, 10); break;
		case 't': seconds = strtod(optarg, NULL); break;
		case 'l': n_large = strtoull(optarg, NULL, 10); break;
		case 'v': verbose++; break;
		case 'd': has_disk = false; break;
		case 'c': has_checks = false; break;
		case 'k': has_same = false; break;
		default: fprintf(stderr, "usage: csim [-n SEEDS] [-f FIRST] [-t SECONDS] [-l LARGE] [-v]\n"); return 2;
		}
	}
	gr_log_init("csim", verbose > 1 ? GR_LOG_DEBUG : verbose ? GR_LOG_INFO : GR_LOG_ERROR);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (seed && *seed) {
		int rc = run_one(strtoull(seed, NULL, 0), n_large && argc > 1 && strstr(argv[argc - 2], "-l"), verbose, &r);

		tell(&r.st);
		printf("%s seed %s%s%s\n", rc ? "not ok" : "ok", seed, rc ? ": " : "", r.why);
		return rc ? 1 : 0;
	}
	/* the kept ones are from before it could fail, and before there were comparators and kinds of workers */
	has_disk = has_checks = has_same = false;
	for (i = 0; i < GR_LEN(kept) && !seconds; i++)
		if (run_one(kept[i], false, 0, &r) && n_bad++ < 20)
			printf("# kept seed %llu: %s   (SEED=%llu %s -v -d -c -k)\n", (unsigned long long)kept[i], r.why, (unsigned long long)kept[i], argv[0]);
	has_disk = true;
	for (i = 0; i < GR_LEN(kept_disk) && !seconds; i++)
		if (run_one(kept_disk[i], false, 0, &r) && n_bad++ < 20)
			printf("# kept seed %llu: %s   (SEED=%llu %s -v -c -k)\n", (unsigned long long)kept_disk[i], r.why, (unsigned long long)kept_disk[i], argv[0]);
	has_checks = has_same = true;
	for (i = first; seconds > 0 ? cpu_s() < seconds : i < first + n_seeds; i++) {
		int rc = run_one(i, false, 0, &r);

		add(&sum, &r.st);
		if (rc && n_bad++ < 20)
			printf("# seed %llu: %s   (SEED=%llu %s -v)\n", (unsigned long long)i, r.why, (unsigned long long)i, argv[0]);
		/* the same seed again is the same run */
		if (!rc && i % 32 == 0 && (run_one(i, false, 0, &again) || again.hash != r.hash) && n_bad++ < 20)
			printf("# seed %llu: goes otherwise the second time\n", (unsigned long long)i);
	}
	tell(&sum);
	small_s = cpu_s();
	printf("# %.1f s of CPU, %.1f ms a seed\n", small_s, small_s * 1e3 / (double)(i - first));
	printf("%s 1 - %llu seeds hold every invariant after every event%s\n", n_bad ? "not ok" : "ok", (unsigned long long)(i - first),
	       n_bad ? " (not all)" : "");
	n_bad = 0;
	for (uint64_t k = first; k < first + n_large; k++) {
		int rc = run_one(k, true, 0, &r);

		if (rc && n_bad++ < 20)
			printf("# large seed %llu: %s   (SEED=%llu %s -v -l 1)\n", (unsigned long long)k, r.why, (unsigned long long)k, argv[0]);
		tell(&r.st);
	}
	printf("# %.1f s of CPU\n", cpu_s() - small_s);
	printf("%s 2 - the same with 1,000 workers, %llu seeds\n1..2\n", n_bad ? "not ok" : "ok", (unsigned long long)n_large);
	return n_bad ? 1 : 0;
}
