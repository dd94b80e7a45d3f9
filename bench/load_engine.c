/* load_engine.c - the load generator alone, in this process: `load_engine PLAN.json|URL [USERS SECONDS]`
 *
 * With a URL: a closed loop of USERS connections, as wrk drives it. Prints one JSON object: requests, their rate, what
 * they cost of the generator's CPU, latency percentiles. STOP_AT=n: ends after so many failures, and tells of
 * memory and kinds at each tenth. PROCS=n: in at least so many processes, as a worker has them for more
 * connections than it may have descriptors. */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/load/kinds.h"
#include "lib/net/loop.h"
#include "lib/stats/hdr.h"
#include "lib/wire/msg.h"
#include "worker/load/procs.h"
#include "worker/load/shard.h"

static uint64_t counters[GR_LOAD_N_COUNTERS], fails[GR_LOAD_N_FAILS], gauges_max[GR_LOAD_N_GAUGES], first_ns, last_interval;
static uint64_t (*gauges)[GR_LOAD_N_GAUGES];      /* by interval, of all parts */
static size_t n_gauges;
static struct gr_hdr all, send_late, connect_time, tls_time, first_byte;

static void take(struct gr_buf *frame)
{
	struct gr_load_series_msg s;
	struct gr_load_stats m;
	struct gr_slice body;
	struct gr_rd r;
	uint64_t value;
	uint32_t key;

	if (gr_frame_open(gr_buf_slice(frame), &body) != GR_MSG_LOAD_STATS || gr_load_stats_decode(body, &m) < 0)
		abort();
	r = gr_load_stats_read(&m);
	if (m.first_ns && (!first_ns || m.first_ns < first_ns))
		first_ns = m.first_ns;
	last_interval = m.interval;
	while (n_gauges <= m.interval) {
		gauges = gr_xrealloc(gauges, (n_gauges + 1) * sizeof(*gauges));
		memset(gauges[n_gauges++], 0, sizeof(*gauges));
	}
	for (uint32_t i = 0; i < m.n_numbers && gr_load_stats_next_number(&r, &key, &value); i++) {
		if (key < GR_LOAD_N_COUNTERS)
			counters[key] += value;
		else if (key >= 32 && key < 32 + GR_LOAD_N_GAUGES)
			gauges[m.interval][key - 32] += value;
		else if (key >= GR_LOAD_KEY_FAIL(0, 0) && key < GR_LOAD_KEY_STATUS(0, 100))
			fails[(key - GR_LOAD_KEY_FAIL(0, 0)) % 32] += value;
	}
	for (uint32_t i = 0; i < m.n_series && gr_load_stats_next_series(&r, &s); i++) {
		uint32_t kind = (s.key - GR_LOAD_H_REQUESTS) % GR_LOAD_N_R;
		struct gr_hdr *into = s.key == GR_LOAD_H_SEND ? &send_late : s.key == GR_LOAD_H_CONNECT ? &connect_time :
				      s.key == GR_LOAD_H_TLS ? &tls_time : kind == GR_LOAD_R_FIRST_BYTE ? &first_byte :
				      kind == GR_LOAD_R_FAILED ? NULL : &all;
		struct gr_hdr one = { 0 };

		if (gr_hdr_decode(s.hdr, &one) < 0 || gr_hdr_set_exact(&one, s.min, s.max, s.sum) < 0)
			abort();
		if (into)
			gr_hdr_merge(into, &one);
		gr_hdr_fini(&one);
	}
	gr_buf_fini(frame);
}

static void print_times(const char *name, const struct gr_hdr *h)
{
	printf("\"%s_us\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p99_9\": %.1f, \"max\": %.1f}, ", name,
	       (double)gr_hdr_quantile(h, .5) / 1e3, (double)gr_hdr_quantile(h, .9) / 1e3, (double)gr_hdr_quantile(h, .99) / 1e3,
	       (double)gr_hdr_quantile(h, .999) / 1e3, (double)h->max / 1e3);
}

static long rss_of(const char *pid)
{
	struct gr_buf b = { 0 };
	long size = 0, rss = 0;
	char path[300];

	snprintf(path, sizeof(path), "/proc/%s/statm", pid);
	if (gr_file_read(path, 4096, &b, NULL) == 0)
		sscanf(gr_buf_str(&b), "%ld %ld", &size, &rss);
	gr_buf_fini(&b);
	return rss * 4;
}

/* This process and those it started. */
static long rss_kib(bool has_procs)
{
	long sum = rss_of("self");
	DIR *d = has_procs ? opendir("/proc") : NULL;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		struct gr_buf b = { 0 };
		char path[300], *p;
		int ppid = 0;

		if (*e->d_name < '0' || *e->d_name > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		if (gr_file_read(path, 4096, &b, NULL) == 0 && (p = strrchr(gr_buf_str(&b), ')')) && sscanf(p, ") %*c %d", &ppid) == 1 && ppid == getpid())
			sum += rss_of(e->d_name);
		gr_buf_fini(&b);
	}
	if (d)
		closedir(d);
	return sum;
}

static void tell_step(uint64_t n_failed)
{
	fprintf(stderr, "%" PRIu64 " failed, RSS %ld KiB, %" PRIu64 " answered, open %" PRIu64 ":", n_failed, rss_of("self"), counters[GR_LOAD_N_DONE],
		n_gauges ? gauges[n_gauges - 1][GR_LOAD_G_OPEN] : 0);
	for (uint32_t i = 0; i < GR_LOAD_N_FAILS; i++)
		if (fails[i])
			fprintf(stderr, " %s %" PRIu64, gr_load_fail_name(i), fails[i]);
	fprintf(stderr, "\n");
}

int main(int argc, char **argv)
{
	struct gr_load_plan *plan;
	struct gr_shard_spec spec = { .run = 1, .index = 0, .of = 1 };
	struct gr_buf text = { 0 }, frame = { 0 };
	struct gr_shard *s;
	struct gr_err err;
	long rss_before, rss_most = 0;
	json_t *json;
	bool has_procs;
	uint64_t stop_at = getenv("STOP_AT") ? strtoull(getenv("STOP_AT"), NULL, 10) : 0, step = 1;
	double seconds;

	if (argc == 2 && !strcmp(argv[1], GR_PROCS_ARG))
		return gr_procs_child();

	signal(SIGPIPE, SIG_IGN);
	if (argc == 4)
		gr_buf_printf(&text, "{\"target\": \"%s\", \"model\": \"closed\", \"stages\": [{\"users\": %s, \"for\": \"%ss\"}]}", argv[1], argv[2], argv[3]);
	else if (argc != 2 || gr_file_read(argv[1], 1 << 20, &text, &err) < 0) {
		if (argc == 1) {
			printf("load_engine: run by bench/load.sh\n");
			return 0;
		}
		fprintf(stderr, "usage: load_engine PLAN.json | URL USERS SECONDS\n");
		return 2;
	}
	if (gr_load_plan_parse(gr_buf_str(&text), text.n, &plan, &err) < 0) {
		fprintf(stderr, "load_engine: %s\n", err.text);
		return 2;
	}
	spec.plan = plan;
	spec.plan_json = json = json_loadb(gr_buf_str(&text), text.n, 0, NULL);
	spec.n_procs = getenv("PROCS") ? (uint32_t)atoi(getenv("PROCS")) : 0;
	has_procs = spec.n_procs > 1 || gr_procs_wanted(plan, 0, 1, &err) > 1;
	rss_before = rss_kib(false);
	if (gr_shard_new(&spec, &s, &err) < 0) {
		fprintf(stderr, "load_engine: %s\n", err.text);
		return 1;
	}
	while (gr_shard_state(s) == GR_SHARD_PREPARING)
		usleep(1000);
	if (gr_shard_state(s) == GR_SHARD_FAILED) {
		fprintf(stderr, "load_engine: %s\n", gr_shard_error(s));
		return 1;
	}
	gr_shard_start(s, gr_clock_mono_ns() + 100000000);
	do {
		long rss = rss_kib(has_procs);

		rss_most = rss > rss_most ? rss : rss_most;
		while (gr_shard_take_report(s, &frame))
			take(&frame);
		for (; step <= 10 && stop_at && counters[GR_LOAD_N_FAILED] >= stop_at * step / 10; step++)
			tell_step(counters[GR_LOAD_N_FAILED]);
		if (step > 10)
			gr_shard_stop(s);
		usleep(20000);
	} while (gr_shard_state(s) == GR_SHARD_RUNNING);
	while (gr_shard_take_report(s, &frame))
		take(&frame);
	if (*gr_shard_error(s))
		fprintf(stderr, "load_engine: %s\n", gr_shard_error(s));
	for (size_t i = 0; i < n_gauges; i++)
		for (size_t k = 0; k < GR_LOAD_N_GAUGES; k++)
			gauges_max[k] = gauges[i][k] > gauges_max[k] ? gauges[i][k] : gauges_max[k];
	seconds = plan->sched.len_s;
	printf("{\"due\": %" PRIu64 ", \"requests\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"late\": %" PRIu64 ", \"retried\": %" PRIu64 ", \"opened\": %" PRIu64
	       ", \"open_most\": %" PRIu64 ", \"sessions_reused\": %" PRIu64 ", \"rate_per_s\": %.1f, ", counters[GR_LOAD_N_DUE],
	       counters[GR_LOAD_N_DONE], counters[GR_LOAD_N_FAILED], counters[GR_LOAD_N_LATE], counters[GR_LOAD_N_RETRIED], counters[GR_LOAD_N_OPENED],
	       gauges_max[GR_LOAD_G_OPEN], counters[GR_LOAD_N_SESSIONS_REUSED], (double)counters[GR_LOAD_N_DONE] / seconds);
	printf("\"cpu_s\": %.3f, \"requests_per_cpu_s\": %.0f, \"rss_kib\": [%ld, %ld], ", (double)counters[GR_LOAD_CPU_US] / 1e6,
	       (double)counters[GR_LOAD_N_DONE] / ((double)counters[GR_LOAD_CPU_US] / 1e6), rss_before, rss_most);
	print_times("latency", &all);
	print_times("first_byte", &first_byte);
	print_times("send_late", &send_late);
	print_times("connect", &connect_time);
	print_times("tls", &tls_time);
	printf("\"fails\": {");
	for (uint32_t i = 0, n = 0; i < GR_LOAD_N_FAILS; i++)
		if (fails[i])
			printf("%s\"%s\": %" PRIu64, n++ ? ", " : "", gr_load_fail_name(i), fails[i]);
	printf("}}\n");
	gr_shard_free(&s);
	json_decref(json);
	gr_load_plan_free(&plan);
	gr_hdr_fini(&all), gr_hdr_fini(&send_late), gr_hdr_fini(&connect_time), gr_hdr_fini(&tls_time), gr_hdr_fini(&first_byte);
	gr_buf_fini(&text);
	free(gauges);
	return 0;
}
