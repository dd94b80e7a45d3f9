/*
 * pressure.c - how scarce things are: throttling, pressure, steal, use
 *
 * Counters are told as what they rose by since the last look. One that went back (a group made anew, a machine that was
 * moved) tells nothing of the time between, and its figure is 0 once.
 */
#include "worker/signals/cgroup_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/clock.h"

static uint32_t permille(uint64_t part, uint64_t whole)
{
	if (!whole || part >= whole)
		return whole ? 1000 : 0;
	return whole > UINT64_MAX / 1000 ? (uint32_t)(part / (whole / 1000)) : (uint32_t)(part * 1000 / whole);
}

/* "some avg10=1.23 avg60=..." in permille of time. */
static bool psi(const char *dir, const char *name, uint32_t *out)
{
	char text[512], *p;
	double v;

	if (!gr_cgroup__slurp(dir, name, text, sizeof(text)) || !(p = strstr(text, "some avg10=")) || sscanf(p + 11, "%lf", &v) != 1)
		return false;
	*out = !(v > 0) ? 0 : v >= 100 ? 1000 : (uint32_t)(v * 10 + 0.5);       /* nan is no number above 0 */
	return true;
}

static void read_psi(const struct gr_cgroup *g, const char *what, uint32_t *group, uint32_t *node)
{
	char name[32], dir[4096];

	snprintf(dir, sizeof(dir), "%s/proc/pressure", g->root);
	if (!psi(dir, what, node))
		*node = 0;
	snprintf(name, sizeof(name), "%s.pressure", what);
	if (!g->v2.n || !psi(g->v2.dirs[0], name, group))
		*group = *node;
}

/* The first line of /proc/stat, jiffies: user nice system idle iowait irq softirq steal. */
static bool read_stat(const struct gr_cgroup *g, uint64_t *total, uint64_t *idle, uint64_t *steal)
{
	unsigned long long v[8] = { 0 };
	char text[512], dir[4096];

	*total = *idle = *steal = 0;
	snprintf(dir, sizeof(dir), "%s/proc", g->root);
	if (!gr_cgroup__slurp(dir, "stat", text, sizeof(text)) ||
	    sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 8)
		return false;
	for (int i = 0; i < 8; i++)
		*total += v[i];
	*idle = v[3] + v[4];
	*steal = v[7];
	return true;
}

uint32_t gr_cgroup_node_cpus(const struct gr_cgroup *g)
{
	char text[256], dir[4096];
	uint32_t n = 0;

	snprintf(dir, sizeof(dir), "%s/sys/devices/system/cpu", g->root);
	if (!gr_cgroup__slurp(dir, "online", text, sizeof(text)))
		return 0;
	for (const char *p = text; *p >= '0' && *p <= '9';) {      /* "0-3,8,10-11" */
		char *end;
		unsigned long from = strtoul(p, &end, 10), to = from;

		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		if (to < from || to > 65535)
			return 0;
		n += (uint32_t)(to - from + 1);
		p = *end == ',' ? end + 1 : end;
	}
	return n;
}

/* At each level with a quota of its own; the worst counts. */
static uint32_t read_throttled(struct gr_cgroup *g)
{
	const struct gr_cgroup__chain *c = g->cpu.n ? &g->cpu : &g->v2;
	uint32_t worst = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		uint64_t periods = 0, throttled = 0;
		char text[1024];

		if (gr_cgroup__slurp(c->dirs[i], "cpu.stat", text, sizeof(text))) {
			gr_cgroup__value(text, "nr_periods", &periods);
			gr_cgroup__value(text, "nr_throttled", &throttled);
		}
		if (g->has_last && periods >= g->n_periods[i] && throttled >= g->n_throttled[i]) {
			uint32_t v = permille(throttled - g->n_throttled[i], periods - g->n_periods[i]);

			worst = v > worst ? v : worst;
		}
		g->n_periods[i] = periods;
		g->n_throttled[i] = throttled;
	}
	return worst;
}

static bool read_used(const struct gr_cgroup *g, uint64_t *used_us)
{
	char text[1024];

	if (g->acct.n) {
		if (g->acct.is_root || !gr_cgroup__u64(g->acct.dirs[0], "cpuacct.usage", used_us))
			return false;
		*used_us /= 1000;
		return true;
	}
	return g->v2.n && !g->v2.is_root && gr_cgroup__slurp(g->v2.dirs[0], "cpu.stat", text, sizeof(text)) &&
	       gr_cgroup__value(text, "usage_usec", used_us);
}

static void read_cpu(struct gr_cgroup *g, uint64_t now_ns, struct gr_pressure *out)
{
	uint64_t total, idle, steal, used_us = 0, d_us = (now_ns - g->at_ns) / GR_NS_PER_US;
	bool has_stat = read_stat(g, &total, &idle, &steal), has_used = read_used(g, &used_us);

	if (g->has_last && has_stat && total >= g->cpu_total && steal >= g->cpu_steal) {
		uint64_t d = total - g->cpu_total;

		out->steal = permille(steal - g->cpu_steal, d);
		/* what was stolen was neither idle nor used by anybody here */
		if (d && idle >= g->cpu_idle && idle - g->cpu_idle + (steal - g->cpu_steal) <= d)
			out->node_busy_mcpu = permille(d - (idle - g->cpu_idle) - (steal - g->cpu_steal), d) * gr_cgroup_node_cpus(g);
	}
	if (g->has_last && has_used && used_us >= g->used_us && now_ns > g->at_ns && d_us) {
		uint64_t used = used_us - g->used_us;

		out->used_mcpu = used > UINT64_MAX / 1000 || used * 1000 / d_us > 65536000 ? 0 : (uint32_t)(used * 1000 / d_us);
	}
	g->cpu_total = total;
	g->cpu_idle = idle;
	g->cpu_steal = steal;
	g->used_us = used_us;
	g->at_ns = now_ns;
}

static void read_mem(const struct gr_cgroup *g, struct gr_pressure *out)
{
	const char *v1 = g->mem.n ? g->mem.dirs[0] : NULL, *v2 = g->v2.n ? g->v2.dirs[0] : NULL;
	char text[1024];

	if (!(v2 && gr_cgroup__u64(v2, "memory.current", &out->mem_used_bytes)) && v1)
		gr_cgroup__u64(v1, "memory.usage_in_bytes", &out->mem_used_bytes);
	if (!(v2 && gr_cgroup__u64(v2, "memory.peak", &out->mem_peak_bytes)) && v1)
		gr_cgroup__u64(v1, "memory.max_usage_in_bytes", &out->mem_peak_bytes);
	if (!(v2 && gr_cgroup__slurp(v2, "memory.events", text, sizeof(text)) && gr_cgroup__value(text, "oom_kill", &out->oom_kills)) &&
	    v1 && gr_cgroup__slurp(v1, "memory.oom_control", text, sizeof(text)))
		gr_cgroup__value(text, "oom_kill", &out->oom_kills);
}

void gr_cgroup_pressure(struct gr_cgroup *g, uint64_t now_ns, struct gr_pressure *out)
{
	memset(out, 0, sizeof(*out));
	out->throttled = read_throttled(g);
	read_cpu(g, now_ns, out);
	g->has_last = true;
	read_psi(g, "cpu", &out->cpu, &out->node_cpu);
	read_psi(g, "memory", &out->mem, &out->node_mem);
	read_psi(g, "io", &out->io, &out->node_io);
	read_mem(g, out);
}
