/*
 * cgroup.c - reading limits and pressure
 *
 * The group of this process is named in /proc/self/cgroup relative to a hierarchy, and /proc/self/mountinfo says where
 * that hierarchy is mounted and which part of it (in a container often only the own part). From there every folder up
 * to the mount point counts: a limit of a parent holds for its children. Hybrid machines have v1 controllers and an
 * empty v2 hierarchy at once, so each file is looked for in both.
 */
#include "worker/signals/cgroup_int.h"

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

bool gr_cgroup__slurp(const char *dir, const char *name, char *text, size_t max)
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

bool gr_cgroup__u64(const char *dir, const char *name, uint64_t *out)
{
	char text[64], *end;
	unsigned long long v;

	if (!gr_cgroup__slurp(dir, name, text, sizeof(text)) || text[0] < '0' || text[0] > '9')
		return false;
	v = strtoull(text, &end, 10);
	*out = v;
	return end != text;
}

bool gr_cgroup__value(const char *text, const char *key, uint64_t *out)
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

/* @is_root: the mount shows the hierarchy's top and the process is in it */
static void add_chain(struct gr_cgroup__chain *c, const char *root, const char *mount, const char *below, bool is_root)
{
	char dir[4096];
	int n = snprintf(dir, sizeof(dir), "%s%s%s", root, mount, strcmp(below, "/") ? below : "");
	size_t n_mount = strlen(root) + strlen(mount);

	if (c->n || n < 0 || n >= (int)sizeof(dir))
		return;
	c->is_root = is_root;
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
			add_chain(&g->v2, g->root, mount, below_mount(group, part), false);
	} else if (!strcmp(type, "cgroup")) {
		static const char *const names[] = { "cpu", "cpuacct", "memory" };
		struct gr_cgroup__chain *chains[] = { &g->cpu, &g->acct, &g->mem };

		for (size_t k = 0; k < GR_LEN(names); k++)
			if (has_word(super, names[k]) && group_of(cgroups, names[k], group))
				add_chain(chains[k], g->root, mount, below_mount(group, part), !strcmp(group, "/") && !strcmp(part, "/"));
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
	/* v2's own top has no type; the top that a namespace shows has one */
	g->v2.is_root = g->v2.n && !gr_cgroup__slurp(g->v2.dirs[0], "cgroup.type", path, sizeof(path));
	return g;
}

void gr_cgroup_free(struct gr_cgroup **gp)
{
	struct gr_cgroup *g = *gp;
	struct gr_cgroup__chain *chains[4];

	if (!g)
		return;
	chains[0] = &g->v2;
	chains[1] = &g->cpu;
	chains[2] = &g->mem;
	chains[3] = &g->acct;
	for (int i = 0; i < 4; i++)
		for (uint32_t j = 0; j < chains[i]->n; j++)
			free(chains[i]->dirs[j]);
	free(g->root);
	free(g);
	*gp = NULL;
}

const char *gr_cgroup_own(const struct gr_cgroup *g, bool is_v2)
{
	const struct gr_cgroup__chain *c = is_v2 ? &g->v2 : &g->mem;

	return c->n ? c->dirs[0] : NULL;
}

/* Cores of a quota, mcpu; at least 1, since 0 says "no limit". */
static uint64_t mcpu_of(uint64_t quota, uint64_t period)
{
	uint64_t m = quota > UINT64_MAX / 1000 ? 0 : quota * 1000 / period;

	return quota && quota <= UINT64_MAX / 1000 && !m ? 1 : m;
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

		if (gr_cgroup__slurp(g->v2.dirs[i], "cpu.max", text, sizeof(text)) &&
		    sscanf(text, "%llu %llu", &quota, &period) == 2 && period)
			tighten(&out->quota_mcpu, mcpu_of(quota, period));
		if (gr_cgroup__u64(g->v2.dirs[i], "memory.max", &mem))
			tighten(&out->mem_bytes, mem);
	}
	for (uint32_t i = 0; i < g->cpu.n; i++) {
		uint64_t quota, period;

		if (gr_cgroup__u64(g->cpu.dirs[i], "cpu.cfs_quota_us", &quota) &&
		    gr_cgroup__u64(g->cpu.dirs[i], "cpu.cfs_period_us", &period) && period)
			tighten(&out->quota_mcpu, mcpu_of(quota, period));
	}
	for (uint32_t i = 0; i < g->mem.n; i++) {
		uint64_t mem;

		if (gr_cgroup__u64(g->mem.dirs[i], "memory.limit_in_bytes", &mem) && mem < NO_LIMIT_V1)
			tighten(&out->mem_bytes, mem);
	}
}

uint32_t gr_slots_of(const struct gr_limits *l, uint32_t n_cpu, uint64_t node_mem_bytes)
{
	uint64_t mem = l->mem_bytes && (l->mem_bytes < node_mem_bytes || !node_mem_bytes) ? l->mem_bytes : node_mem_bytes;
	uint64_t n = n_cpu ? n_cpu : 1, by_quota = l->quota_mcpu / 1000 + (l->quota_mcpu % 1000 != 0), by_mem = mem / (256u << 20);

	if (l->quota_mcpu && by_quota < n)
		n = by_quota;
	if (mem && by_mem < n)
		n = by_mem;
	return n < 1 ? 1 : n > 256 ? 256 : (uint32_t)n;
}
