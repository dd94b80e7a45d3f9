/**
 * peers_place - the request stream of bench/peers/icecc.cc through lib/place: CPU a decision
 *
 * usage: peers_place HOSTS SLOTS OUTSTANDING DECISIONS     prints "hosts decisions cpu_us_per_decision"
 * One submitter, one toolchain, OUTSTANDING requests in flight; each is placed alone and ends before the next is placed.
 * The process's own CPU, the whole loop counted; no sockets, as lib/place has none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/alloc.h"
#include "lib/base/rng.h"
#include "lib/place/place.h"

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what, int64_t rc)
{
	fprintf(stderr, "peers_place: %s: %lld\n", what, (long long)rc);
	exit(1);
}

int main(int argc, char **argv)
{
	struct gr_place_config cfg = { .seed = 1 };
	struct gr_place_class class = { .need = { { 0 } } };
	struct gr_place_owner owner = { .weight = 1 };
	struct gr_place_task t = { .count = 1, .input_bytes = 1800000 };
	struct gr_digest d = { .b = { 1 } };
	struct gr_rng rng = { 1 };
	uint32_t n_hosts, slots, window, env, n_running = 0;
	uint64_t n, now_ns = 1000000000ull, *running;
	struct gr_place *p = gr_place_new(&cfg);
	double from = 0;
	int rc;

	if (argc != 5) {
		fprintf(stderr, "usage: peers_place HOSTS SLOTS OUTSTANDING DECISIONS\n");
		return 2;
	}
	n_hosts = (uint32_t)atoi(argv[1]);
	slots = (uint32_t)atoi(argv[2]);
	window = (uint32_t)atoi(argv[3]);
	n = strtoull(argv[4], NULL, 10);
	running = gr_xalloc((window + 1) * sizeof(*running));
	rc = gr_place_env(p, &d);
	if (rc < 0)
		fail("env", rc);
	env = class.env = (uint32_t)rc;
	gr_place_env_hold(p, env, true);
	for (uint32_t i = 0; i < n_hosts; i++) {
		struct gr_place_worker w = { .tag = i, .slots = slots, .envs = &env, .n_envs = 1 };
		char name[32];

		snprintf(name, sizeof(name), "host-%u", i);
		rc = gr_place_node(p, name);
		if (rc < 0)
			fail("node", rc);
		w.node = (uint32_t)rc;
		w.cap.v[GR_PLACE_CPU_MCPU] = slots * 1000;
		w.cap.v[GR_PLACE_MEM_MIB] = 16000;
		rc = gr_place_worker_up(p, now_ns, &w);
		if (rc < 0)
			fail("worker_up", rc);
	}
	class.need.v[GR_PLACE_CPU_MCPU] = 1000;
	class.need.v[GR_PLACE_MEM_MIB] = 100;
	rc = gr_place_class(p, &class);
	if (rc < 0)
		fail("class", rc);
	t.class = (uint32_t)rc;
	rc = gr_place_owner_add(p, &owner);
	if (rc < 0)
		fail("owner", rc);
	t.owner = (uint32_t)rc;
	for (uint64_t i = 0; i < n + n / 10; i++) {
		struct gr_place_decision out;
		int64_t queued;

		if (i == n / 10)
			from = cpu_s();
		now_ns += 1000000;
		if (n_running == window) {
			struct gr_place_ended e = { .how = GR_PLACE_DONE, .cpu_us = 90000 + gr_rng_below(&rng, 20000) };
			uint32_t at = gr_rng_below(&rng, n_running);

			rc = gr_place_end(p, now_ns, running[at], &e);
			if (rc < 0)
				fail("end", rc);
			running[at] = running[--n_running];
		}
		t.tag = i;
		t.family = i % 1000 + 1;
		queued = gr_place_ready(p, now_ns, &t);
		if (queued < 0)
			fail("ready", queued);
		rc = gr_place_next(p, now_ns, &out, 1);
		if (rc != 1)
			fail("next", rc);
		running[n_running++] = out.placed;
	}
	printf("%u %llu %.3f\n", n_hosts, (unsigned long long)n, (cpu_s() - from) * 1e6 / (double)n);
	free(running);
	gr_place_free(&p);
	return 0;
}
