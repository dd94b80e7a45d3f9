/*
 * cgroup.c - reading limits and pressure
 *
 * The group of this process is named in /proc/self/cgroup relative to a hierarchy, and /proc/self/mountinfo says where
 * that hierarchy is mounted and which part of it (in a container often only the own part). From there every folder up
 * to the mount point counts: a limit of a parent holds for its children. Hybrid machines have v1 controllers and an
 * empty v2 hierarchy at once, so each file is looked for in both.
 */
#include "worker/signals/cgroup.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"

#define NO_LIMIT_V1 (1ull << 60)          /* v1 says "no limit" with a huge number of pages */
#define MAX_TEXT (256u << 10)

struct chain {                            /* a group's folder and its parents', the own one first */
	char *dirs[GR_CGROUP_MAX_DEPTH];
	uint32_t n;
};
struct gr_cgroup {
	char *root;
	struct chain v2, cpu, mem;        /* cpu and mem: v1 */
	uint64_t n_periods, n_throttled, cpu_total, cpu_steal;
	bool has_last;
};

/* A small file's text in a static-size buffer; false when it is not there. */
static bool slurp(const char *dir, const char *name, char *text, size_t max)
{
	char path[4400];
	ssize_t n = -1;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, max - 1);
	close(fd);
	if (n < 0)
		return false;
	text[n] = 0;
	return true;
}

static bool read_u64(const char *dir, const char *name, uint64_t *out)
{
	char text[64], *end;
	unsigned long long v;

	if (!slurp(dir, name, text, sizeof(text)) || text[0] < '0' || text[0] > '9')
		return false;
	v = strtoull(text, &end, 10);
	*out = v;
	return end != text;
}

/* "key value" lines. */
static bool stat_value(const char *text, const char *key, uint64_t *out)
{
	size_t n = strlen(key);

	for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (!strncmp(p, key, n) && p[n] == ' ') {
			*out = strtoull(p + n + 1, NULL, 10);
			return true;
		}
	return false;
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (!strncmp(p, word, n) && (p[n] == 0 || p[n] == ','))
			return true;
	return false;
}

static void add_chain(struct chain *c, const char *root, const char *mount, const char *below)
{
	char dir[4096];
	int n = snprintf(dir, sizeof(dir), "%s%s%s", root, mount, strcmp(below, "/") ? below : "");
	size_t n_mount = strlen(root) + strlen(mount);

	if (c->n || n < 0 || n >= (int)sizeof(dir))
		return;
	for (;;) {
		char *slash;

		if (c->n < GR_CGROUP_MAX_DEPTH)
			c->dirs[c->n++] = gr_xstrdup(dir);
		slash = strrchr(dir, '/');
		if (strlen(dir) <= n_mount || !slash || (size_t)(slash - dir) < n_mount)
			return;
		*slash = 0;
	}
}

/* The part of group path @group that lies below what is mounted (@part); "/" when it does not. */
static const char *below_mount(const char *group, const char *part)
{
	size_t n = strlen(part);

	if (!strcmp(part, "/"))
		return group;
	if (!strncmp(group, part, n) && (group[n] == 0 || group[n] == '/'))
		return group[n] ? group + n : "/";
	return "/";
}

/* "4:memory:/a/b": the path of the hierarchy with @controller; "" is v2. */
static bool group_of(const char *cgroups, const char *controller, char out[4096])
{
	char line[4352];

	for (const char *p = cgroups; *p;) {
		const char *nl = strchr(p, '\n');
		size_t n = nl ? (size_t)(nl - p) : strlen(p);
		char *list, *path;

		snprintf(line, sizeof(line), "%.*s", (int)(n < sizeof(line) - 1 ? n : sizeof(line) - 1), p);
		p += nl ? n + 1 : n;
		list = strchr(line, ':');
		path = list ? strchr(list + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = 0;
		list++;
		if (*controller ? has_word(list, controller) : !*list) {
			snprintf(out, 4096, "%s", path);
			return true;
		}
	}
	return false;
}

/* One line of mountinfo: "36 35 98:0 /part /mount opts fields - type source super". */
static void on_mount(struct gr_cgroup *g, char *line, const char *cgroups)
{
	char *save, *word, *part = NULL, *mount = NULL, *type = NULL, *super = NULL, group[4096];
	int i = 0, dash = -1;

	for (word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save), i++) {
		if (i == 3)
			part = word;
		else if (i == 4)
			mount = word;
		else if (!strcmp(word, "-"))
			dash = i;
		else if (dash >= 0 && i == dash + 1)
			type = word;
		else if (dash >= 0 && i == dash + 3)
			super = word;
	}
	if (!super || !part || !mount)
		return;
	if (!strcmp(type, "cgroup2")) {
		if (group_of(cgroups, "", group))
			add_chain(&g->v2, g->root, mount, below_mount(group, part));
	} else if (!strcmp(type, "cgroup")) {
		if (has_word(super, "cpu") && group_of(cgroups, "cpu", group))
			add_chain(&g->cpu, g->root, mount, below_mount(group, part));
		if (has_word(super, "memory") && group_of(cgroups, "memory", group))
			add_chain(&g->mem, g->root, mount, below_mount(group, part));
	}
}

struct gr_cgroup *gr_cgroup_open(const char *root)
{
	struct gr_buf cgroups = { 0 }, mounts = { 0 };
	char path[4096], *save, *line;
	struct gr_cgroup *g;

	GR_NEW(g);
	g->root = gr_xstrdup(root);
	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	if (gr_file_read(path, MAX_TEXT, &cgroups, NULL) < 0)
		gr_buf_clear(&cgroups);
	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", root);
	if (gr_file_read(path, MAX_TEXT, &mounts, NULL) < 0)
		gr_buf_clear(&mounts);
	gr_buf_str(&cgroups);
	gr_buf_str(&mounts);
	for (line = strtok_r((char *)mounts.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		on_mount(g, line, gr_buf_str(&cgroups));
	gr_buf_fini(&cgroups);
	gr_buf_fini(&mounts);
	return g;
}

void gr_cgroup_free(struct gr_cgroup **gp)
{
	struct gr_cgroup *g = *gp;
	struct chain *chains[3];

	if (!g)
		return;
	chains[0] = &g->v2;
	chains[1] = &g->cpu;
	chains[2] = &g->mem;
	for (int i = 0; i < 3; i++)
		for (uint32_t j = 0; j < chains[i]->n; j++)
			free(chains[i]->dirs[j]);
	free(g->root);
	free(g);
	*gp = NULL;
}

static void tighten(uint64_t *limit, uint64_t value)
{
	if (value && (!*limit || value < *limit))
		*limit = value;
}

void gr_cgroup_limits(const struct gr_cgroup *g, struct gr_limits *out)
{
	char text[128];

	memset(out, 0, sizeof(*out));
	for (uint32_t i = 0; i < g->v2.n; i++) {
		unsigned long long quota, period;
		uint64_t mem;

		if (slurp(g->v2.dirs[i], "cpu.max", text, sizeof(text)) &&
		    sscanf(text, "%llu %llu", &quota, &period) == 2 && period)
			tighten(&out->quota_mcpu, quota * 1000 / period);
		if (read_u64(g->v2.dirs[i], "memory.max", &mem))
			tighten(&out->mem_bytes, mem);
	}
	for (uint32_t i = 0; i < g->cpu.n; i++) {
		uint64_t quota, period;

		if (read_u64(g->cpu.dirs[i], "cpu.cfs_quota_us", &quota) &&
		    read_u64(g->cpu.dirs[i], "cpu.cfs_period_us", &period) && period)
			tighten(&out->quota_mcpu, quota * 1000 / period);
	}
	for (uint32_t i = 0; i < g->mem.n; i++) {
		uint64_t mem;

		if (read_u64(g->mem.dirs[i], "memory.limit_in_bytes", &mem) && mem < NO_LIMIT_V1)
			tighten(&out->mem_bytes, mem);
	}
}

static uint32_t permille(uint64_t part, uint64_t whole)
{
	return whole ? (uint32_t)(part >= whole ? 1000 : part * 1000 / whole) : 0;
}

/* "some avg10=1.23 avg60=..." in permille of time. */
static bool psi(const char *dir, const char *name, uint32_t *out)
{
	char text[512], *p;
	double v;

	if (!slurp(dir, name, text, sizeof(text)) || !(p = strstr(text, "some avg10=")) || sscanf(p + 11, "%lf", &v) != 1)
		return false;
	*out = v <= 0 ? 0 : v >= 100 ? 1000 : (uint32_t)(v * 10 + 0.5);
	return true;
}

static void read_psi(const struct gr_cgroup *g, const char *what, uint32_t *out)
{
	char name[32], dir[4096];

	snprintf(name, sizeof(name), "%s.pressure", what);
	if (g->v2.n && psi(g->v2.dirs[0], name, out))
		return;
	snprintf(dir, sizeof(dir), "%s/proc/pressure", g->root);
	if (!psi(dir, what, out))
		*out = 0;
}

static void read_steal(struct gr_cgroup *g, uint64_t *total, uint64_t *steal)
{
	unsigned long long v[8] = { 0 };
	char text[512], dir[4096];

	*total = *steal = 0;
	snprintf(dir, sizeof(dir), "%s/proc", g->root);
	if (!slurp(dir, "stat", text, sizeof(text)) ||
	    sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 8)
		return;
	for (int i = 0; i < 8; i++)
		*total += v[i];
	*steal = v[7];
}

void gr_cgroup_pressure(struct gr_cgroup *g, struct gr_pressure *out)
{
	const char *cpu_dir = g->cpu.n ? g->cpu.dirs[0] : g->v2.n ? g->v2.dirs[0] : NULL;
	uint64_t n_periods = 0, n_throttled = 0, total, steal;
	char text[1024];

	memset(out, 0, sizeof(*out));
	if (cpu_dir && slurp(cpu_dir, "cpu.stat", text, sizeof(text))) {
		stat_value(text, "nr_periods", &n_periods);
		stat_value(text, "nr_throttled", &n_throttled);
	}
	read_steal(g, &total, &steal);
	if (g->has_last) {
		/* counters that went back belong to another group or machine: nothing is known of the time between */
		if (n_periods >= g->n_periods && n_throttled >= g->n_throttled)
			out->throttled = permille(n_throttled - g->n_throttled, n_periods - g->n_periods);
		if (total >= g->cpu_total && steal >= g->cpu_steal)
			out->steal = permille(steal - g->cpu_steal, total - g->cpu_total);
	}
	g->n_periods = n_periods;
	g->n_throttled = n_throttled;
	g->cpu_total = total;
	g->cpu_steal = steal;
	g->has_last = true;
	read_psi(g, "cpu", &out->cpu);
	read_psi(g, "memory", &out->mem);
	read_psi(g, "io", &out->io);
	if (!(g->v2.n && read_u64(g->v2.dirs[0], "memory.current", &out->mem_used_bytes)) &&
	    !(g->mem.n && read_u64(g->mem.dirs[0], "memory.usage_in_bytes", &out->mem_used_bytes)))
		out->mem_used_bytes = 0;
}

uint32_t gr_slots_of(const struct gr_limits *l, uint32_t n_cpu, uint64_t node_mem_bytes)
{
	uint64_t mem = l->mem_bytes && (l->mem_bytes < node_mem_bytes || !node_mem_bytes) ? l->mem_bytes : node_mem_bytes;
	uint64_t n = n_cpu ? n_cpu : 1, by_quota = (l->quota_mcpu + 500) / 1000, by_mem = mem / (256u << 20);

	if (l->quota_mcpu && by_quota < n)
		n = by_quota;
	if (mem && by_mem < n)
		n = by_mem;
	return n < 1 ? 1 : n > 256 ? 256 : (uint32_t)n;
}
