/* worker_signals_test.c - limits and pressure read from recorded machines, and from this one's real control groups */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "worker/signals/cgroup.h"
#include "worker/signals/pod.h"
#include "worker/signals/report.h"

struct file {
	const char *path, *text;
};
static char dir[64];

static void put(const char *path, const char *text)
{
	char full[512], *slash;

	snprintf(full, sizeof(full), "%s%s", dir, path);
	slash = strrchr(full, '/');
	*slash = 0;
	assert_int_equal(gr_mkdir_p(full, 0755, NULL), 0);
	*slash = '/';
	assert_int_equal(gr_file_replace(full, text, strlen(text), 0644, false, NULL), 0);
}

static struct gr_cgroup *machine(const struct file *files, size_t n)
{
	strcpy(dir, "/tmp/signals-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < n; i++)
		put(files[i].path, files[i].text);
	return gr_cgroup_open(dir);
}

static void end(struct gr_cgroup **g)
{
	gr_cgroup_free(g);
	gr_rm_rf(dir);
}

/* A second after the last. */
static uint64_t now_ns;

static void look(struct gr_cgroup *g, struct gr_pressure *p)
{
	gr_cgroup_pressure(g, now_ns += GR_NS_PER_S, p);
}

static const char psi_text[] = "some avg10=%s avg60=0.50 avg300=0.10 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
static const char stat_text[] = "cpu  %d 0 0 %d 0 0 0 %d 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n";

/* A pod on a kind node, Kubernetes 1.29, containerd: cgroup v2 with a namespace of its own. */
static const struct file pod_v2[] = {
	{ "/proc/self/cgroup", "0::/\n" },
	{ "/proc/self/mountinfo",
	  "1021 1019 0:64 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n"
	  "1032 1024 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n" },
	{ "/sys/fs/cgroup/cpu.max", "250000 100000\n" },
	{ "/sys/fs/cgroup/memory.max", "1073741824\n" },
	{ "/sys/fs/cgroup/memory.current", "104857600\n" },
	{ "/sys/fs/cgroup/cpu.stat", "usage_usec 100\nuser_usec 80\nsystem_usec 20\nnr_periods 100\nnr_throttled 10\nthrottled_usec 5\n" },
};

static void a_pod_with_cgroup_v2_has_its_quota_and_memory(void **state)
{
	struct gr_cgroup *g = machine(pod_v2, GR_LEN(pod_v2));
	struct gr_limits l;

	gr_cgroup_limits(g, &l);
	assert_int_equal(l.quota_mcpu, 2500);
	assert_int_equal(l.mem_bytes, 1 << 30);
	end(&g);
}

static void throttling_and_steal_are_of_the_time_since_the_last_look(void **state)
{
	struct gr_cgroup *g = machine(pod_v2, GR_LEN(pod_v2));
	struct gr_pressure p;
	char text[512];

	snprintf(text, sizeof(text), stat_text, 100, 900, 0);
	put("/proc/stat", text);
	look(g, &p);
	assert_int_equal(p.throttled, 0);
	assert_int_equal(p.steal, 0);
	assert_int_equal(p.mem_used_bytes, 100 << 20);
	snprintf(text, sizeof(text), stat_text, 150, 930, 20);
	put("/proc/stat", text);
	put("/sys/fs/cgroup/cpu.stat", "usage_usec 1\nnr_periods 140\nnr_throttled 20\n");
	look(g, &p);
	assert_int_equal(p.throttled, 250);
	assert_int_equal(p.steal, 200);
	/* a group made anew counts from nothing: no wild figure */
	put("/sys/fs/cgroup/cpu.stat", "usage_usec 1\nnr_periods 4\nnr_throttled 1\n");
	look(g, &p);
	assert_int_equal(p.throttled, 0);
	end(&g);
}

static void pressure_is_the_groups_or_else_the_machines(void **state)
{
	struct gr_cgroup *g = machine(pod_v2, GR_LEN(pod_v2));
	struct gr_pressure p;
	char text[512];

	snprintf(text, sizeof(text), psi_text, "12.34");
	put("/sys/fs/cgroup/cpu.pressure", text);
	snprintf(text, sizeof(text), psi_text, "1.00");
	put("/proc/pressure/cpu", text);
	snprintf(text, sizeof(text), psi_text, "99.99");
	put("/proc/pressure/memory", text);
	look(g, &p);
	assert_int_equal(p.cpu, 123);
	assert_int_equal(p.mem, 1000);
	assert_int_equal(p.io, 0);
	end(&g);
}

/* systemd, cgroup v2, no namespace: the slice's limit is tighter than the service's. */
static void a_parents_limit_holds_for_its_children(void **state)
{
	static const struct file files[] = {
		{ "/proc/self/cgroup", "0::/build.slice/worker.service\n" },
		{ "/proc/self/mountinfo", "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n" },
		{ "/sys/fs/cgroup/build.slice/cpu.max", "150000 100000\n" },
		{ "/sys/fs/cgroup/build.slice/memory.max", "max\n" },
		{ "/sys/fs/cgroup/build.slice/worker.service/cpu.max", "max 100000\n" },
		{ "/sys/fs/cgroup/build.slice/worker.service/memory.max", "536870912\n" },
	};
	struct gr_cgroup *g = machine(files, GR_LEN(files));
	struct gr_limits l;

	gr_cgroup_limits(g, &l);
	assert_int_equal(l.quota_mcpu, 1500);
	assert_int_equal(l.mem_bytes, 512 << 20);
	end(&g);
}

/* Docker 20.10 on cgroup v1: the mounts show only the container's own part. */
static void a_container_with_cgroup_v1_has_its_limits(void **state)
{
	static const struct file files[] = {
		{ "/proc/self/cgroup", "12:memory:/docker/4f1c\n11:cpu,cpuacct:/docker/4f1c\n1:name=systemd:/docker/4f1c\n0::/system.slice\n" },
		{ "/proc/self/mountinfo",
		  "1200 1199 0:33 /docker/4f1c /sys/fs/cgroup/memory ro,nosuid master:17 - cgroup cgroup rw,memory\n"
		  "1201 1199 0:34 /docker/4f1c /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:18 - cgroup cgroup rw,cpu,cpuacct\n" },
		{ "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "400000\n" },
		{ "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n" },
		{ "/sys/fs/cgroup/cpu,cpuacct/cpu.stat", "nr_periods 10\nnr_throttled 1\nthrottled_time 5\n" },
		{ "/sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n" },
		{ "/sys/fs/cgroup/memory/memory.usage_in_bytes", "4096\n" },
	};
	struct gr_cgroup *g = machine(files, GR_LEN(files));
	struct gr_pressure p;
	struct gr_limits l;

	gr_cgroup_limits(g, &l);
	assert_int_equal(l.quota_mcpu, 4000);
	assert_int_equal(l.mem_bytes, 2ull << 30);
	look(g, &p);
	assert_int_equal(p.mem_used_bytes, 4096);
	end(&g);
}

static void no_quota_in_cgroup_v1_is_no_limit(void **state)
{
	static const struct file files[] = {
		{ "/proc/self/cgroup", "4:memory:/a/b\n1:cpu:/\n0::/\n" },
		{ "/proc/self/mountinfo",
		  "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
		  "33 25 0:29 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
		  "34 25 0:35 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n" },
		{ "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n" },
		{ "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n" },
		{ "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n" },
	};
	struct gr_cgroup *g = machine(files, GR_LEN(files));
	struct gr_limits l;

	gr_cgroup_limits(g, &l);
	assert_int_equal(l.quota_mcpu, 0);
	assert_int_equal(l.mem_bytes, 0);
	end(&g);
}

static void a_machine_that_tells_nothing_has_no_limits(void **state)
{
	struct gr_cgroup *g = machine(NULL, 0);
	struct gr_pressure p;
	struct gr_limits l;

	gr_cgroup_limits(g, &l);
	assert_int_equal(l.quota_mcpu, 0);
	look(g, &p);
	assert_int_equal(p.cpu, 0);
	end(&g);
}

static void nonsense_in_the_files_is_no_limit(void **state)
{
	static const struct file files[] = {
		{ "/proc/self/cgroup", "nonsense\n0:\n0::/x\n:::::\n" },
		{ "/proc/self/mountinfo", "a b c\n35 24 0:30 / /cg rw - cgroup2 x rw\n- - - - -\n" },
		{ "/cg/x/cpu.max", "wat\n" }, { "/cg/x/memory.max", "-5\n" }, { "/cg/x/cpu.pressure", "some avg10=lots" },
		{ "/cg/x/cpu.stat", "" },
	};
	struct gr_cgroup *g = machine(files, GR_LEN(files));
	struct gr_pressure p;
	struct gr_limits l;

	gr_cgroup_limits(g, &l);
	assert_int_equal(l.quota_mcpu, 0);
	assert_int_equal(l.mem_bytes, 0);
	look(g, &p);
	assert_int_equal(p.cpu, 0);
	end(&g);
}

static void slots_follow_the_tightest_of_cpus_quota_and_memory(void **state)
{
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 0, 0 }, 8, 64ull << 30), 8);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 2500, 0 }, 8, 64ull << 30), 3);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 2400, 0 }, 8, 64ull << 30), 3);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 2000, 0 }, 8, 64ull << 30), 2);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 2001, 0 }, 8, 64ull << 30), 3);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ UINT64_MAX, 0 }, 8, 64ull << 30), 8);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 100, 0 }, 8, 64ull << 30), 1);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 64000, 0 }, 8, 64ull << 30), 8);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 0, 1 << 30 }, 8, 64ull << 30), 4);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 0, 64 << 20 }, 8, 64ull << 30), 1);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 0, 0 }, 8, 512ull << 20), 2);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 0, 0 }, 1000, 0), 256);
}

/* systemd in hybrid mode: v1 controllers, and a v2 hierarchy that has PSI and no limits. */
static void a_hybrid_machine_has_limits_of_v1_and_pressure_of_v2(void **state)
{
	static const struct file files[] = {
		{ "/proc/self/cgroup", "5:cpu,cpuacct:/system.slice/gw.service\n4:memory:/system.slice/gw.service\n1:name=systemd:/x\n0::/system.slice/gw.service\n" },
		{ "/proc/self/mountinfo",
		  "30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
		  "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
		  "33 25 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" },
		{ "/sys/fs/cgroup/cpu,cpuacct/system.slice/gw.service/cpu.cfs_quota_us", "150000\n" },
		{ "/sys/fs/cgroup/cpu,cpuacct/system.slice/gw.service/cpu.cfs_period_us", "100000\n" },
		{ "/sys/fs/cgroup/cpu,cpuacct/system.slice/gw.service/cpuacct.usage", "1000000000\n" },
		{ "/sys/fs/cgroup/memory/system.slice/memory.limit_in_bytes", "268435456\n" },
		{ "/sys/fs/cgroup/memory/system.slice/gw.service/memory.usage_in_bytes", "1048576\n" },
		{ "/sys/fs/cgroup/memory/system.slice/gw.service/memory.max_usage_in_bytes", "2097152\n" },
		{ "/sys/fs/cgroup/memory/system.slice/gw.service/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n" },
		{ "/sys/fs/cgroup/unified/system.slice/gw.service/cpu.pressure", "some avg10=5.00 avg60=0.50 avg300=0.10 total=1\n" },
		{ "/sys/fs/cgroup/unified/system.slice/gw.service/cpu.stat", "usage_usec 77\n" },
		{ "/sys/fs/cgroup/unified/system.slice/gw.service/cgroup.type", "domain\n" },
	};
	struct gr_cgroup *g = machine(files, GR_LEN(files));
	struct gr_pressure p;
	struct gr_limits l;

	gr_cgroup_limits(g, &l);
	assert_int_equal(l.quota_mcpu, 1500);
	assert_int_equal(l.mem_bytes, 256 << 20);
	look(g, &p);
	assert_int_equal(p.cpu, 50);
	assert_int_equal(p.mem_used_bytes, 1 << 20);
	assert_int_equal(p.mem_peak_bytes, 2 << 20);
	assert_int_equal(p.oom_kills, 3);
	put("/sys/fs/cgroup/cpu,cpuacct/system.slice/gw.service/cpuacct.usage", "2250000000\n");
	look(g, &p);
	assert_int_equal(p.used_mcpu, 1250);
	end(&g);
}

/* A pod whose quota is the pod's group's and not the container's: seen from the node, without a namespace. */
static void throttling_of_a_parent_counts(void **state)
{
	static const struct file files[] = {
		{ "/proc/self/cgroup", "0::/kubepods.slice/pod1/cri-1\n" },
		{ "/proc/self/mountinfo", "35 24 0:30 / /cg rw shared:9 - cgroup2 cgroup2 rw\n" },
		{ "/cg/kubepods.slice/pod1/cri-1/cpu.stat", "usage_usec 1000\nnr_periods 0\nnr_throttled 0\n" },
		{ "/cg/kubepods.slice/pod1/cri-1/cgroup.type", "domain\n" },
		{ "/cg/kubepods.slice/pod1/cpu.stat", "usage_usec 1000\nnr_periods 10\nnr_throttled 1\n" },
		{ "/cg/kubepods.slice/pod1/cpu.max", "50 100000\n" },
		{ "/cg/kubepods.slice/pod1/cri-1/memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n" },
		{ "/cg/kubepods.slice/pod1/cri-1/memory.peak", "4194304\n" },
	};
	struct gr_cgroup *g = machine(files, GR_LEN(files));
	struct gr_pressure p;
	struct gr_limits l;

	gr_cgroup_limits(g, &l);
	assert_int_equal(l.quota_mcpu, 1);          /* less than a thousandth is no "no limit" */
	look(g, &p);
	assert_int_equal(p.oom_kills, 2);
	assert_int_equal(p.mem_peak_bytes, 4 << 20);
	put("/cg/kubepods.slice/pod1/cpu.stat", "usage_usec 1000\nnr_periods 20\nnr_throttled 9\n");
	put("/cg/kubepods.slice/pod1/cri-1/cpu.stat", "usage_usec 501000\nnr_periods 0\nnr_throttled 0\n");
	look(g, &p);
	assert_int_equal(p.throttled, 800);
	assert_int_equal(p.used_mcpu, 500);
	end(&g);
}

static void a_nodes_use_is_everybodys_and_told_apart_from_steal(void **state)
{
	struct gr_cgroup *g = machine(pod_v2, GR_LEN(pod_v2));
	struct gr_pressure p;
	char text[512];

	put("/sys/devices/system/cpu/online", "0-3,8,10-11\n");
	assert_int_equal(gr_cgroup_node_cpus(g), 7);
	put("/sys/devices/system/cpu/online", "0-9\n");
	snprintf(text, sizeof(text), stat_text, 100, 900, 0);
	put("/proc/stat", text);
	look(g, &p);
	assert_int_equal(p.node_busy_mcpu, 0);
	snprintf(text, sizeof(text), stat_text, 130, 950, 20);      /* 30 busy, 50 idle, 20 stolen of 100 */
	put("/proc/stat", text);
	look(g, &p);
	assert_int_equal(p.node_busy_mcpu, 3000);
	assert_int_equal(p.steal, 200);
	end(&g);
}

/* A worker in no group of its own: the counters there are the whole machine's and not its. */
static void the_machines_own_counters_are_not_taken_for_a_groups(void **state)
{
	static const struct file v1[] = {
		{ "/proc/self/cgroup", "2:cpuacct:/\n1:cpu:/\n0::/\n" },
		{ "/proc/self/mountinfo", "30 25 0:26 / /cg/acct rw - cgroup cgroup rw,cpuacct\n34 25 0:35 / /cg/u rw - cgroup2 cgroup2 rw\n" },
		{ "/cg/acct/cpuacct.usage", "1000000000\n" }, { "/cg/u/cpu.stat", "usage_usec 1000000\n" },
	};
	static const struct file v2[] = {
		{ "/proc/self/cgroup", "0::/\n" }, { "/proc/self/mountinfo", "34 25 0:35 / /cg/u rw - cgroup2 cgroup2 rw\n" },
		{ "/cg/u/cpu.stat", "usage_usec 1000000\n" },
	};
	struct gr_pressure p;

	for (int i = 0; i < 2; i++) {
		struct gr_cgroup *g = i ? machine(v2, GR_LEN(v2)) : machine(v1, GR_LEN(v1));

		look(g, &p);
		put("/cg/acct/cpuacct.usage", "2000000000\n");
		put("/cg/u/cpu.stat", "usage_usec 2000000\n");
		look(g, &p);
		assert_int_equal(p.used_mcpu, 0);
		end(&g);
	}
}

static void figures_too_large_to_be_true_do_no_harm(void **state)
{
	static const char huge[] = "99999999999999999999999999", most[] = "18446744073709551615";
	static const struct file files[] = {
		{ "/proc/self/cgroup", "0::/x\n" }, { "/proc/self/mountinfo", "35 24 0:30 / /cg rw - cgroup2 x rw\n" },
		{ "/cg/x/cpu.max", "18446744073709551615 1\n" }, { "/cg/x/memory.max", "99999999999999999999999999\n" },
		{ "/cg/x/cpu.pressure", "some avg10=nan avg60=inf" }, { "/cg/x/memory.pressure", "some avg10=-3" },
		{ "/cg/x/io.pressure", "some avg10=1e99" }, { "/cg/x/cgroup.type", "domain" }, { "/sys/devices/system/cpu/online", "5-1,99999999999\n" },
		{ "/proc/stat", "cpu 1 2 3\n" },
	};
	struct gr_cgroup *g = machine(files, GR_LEN(files));
	struct gr_pressure p;
	struct gr_limits l;
	char text[512];

	gr_cgroup_limits(g, &l);
	assert_int_equal(l.quota_mcpu, 0);
	assert_int_equal(gr_cgroup_node_cpus(g), 0);
	for (int i = 0; i < 3; i++) {
		look(g, &p);
		assert_int_equal(p.cpu, 0);
		assert_int_equal(p.mem, 0);
		assert_int_equal(p.io, 1000);
		assert_true(p.steal <= 1000 && p.throttled <= 1000);
		snprintf(text, sizeof(text), "usage_usec %s\nnr_periods %s\nnr_throttled %s\n", i ? most : huge, most, i ? huge : "7");
		put("/cg/x/cpu.stat", text);
		snprintf(text, sizeof(text), "cpu %s %s %s %s 0 0 0 %s\n", most, huge, most, i ? "1" : most, most);
		put("/proc/stat", text);
	}
	end(&g);
}

/* ---- this machine's own ---- */

static int run_in_group(const char *procs, int (*fn)(const char *group), const char *group)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		char text[16];
		int fd = open(procs, O_WRONLY), n = snprintf(text, sizeof(text), "%d", (int)getpid());

		_exit(fd >= 0 && write(fd, text, (size_t)n) == n ? fn(group) : 99);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static uint64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * GR_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* In the group: a hundredth of a core, less than the busiest machine gives who wants a whole one. */
static int spin_and_look(const char *group)
{
	struct gr_cgroup *g = gr_cgroup_open("");
	struct gr_pressure p;
	struct gr_limits l;
	uint64_t start = real_ns();
	volatile unsigned x = 0;

	gr_cgroup_limits(g, &l);
	gr_cgroup_pressure(g, real_ns(), &p);
	do {
		uint64_t turn = real_ns();

		while (real_ns() - turn < 400 * GR_NS_PER_MS)
			x++;
		gr_cgroup_pressure(g, real_ns(), &p);
	} while (!p.throttled && real_ns() - start < 60 * GR_NS_PER_S);
	gr_cgroup_free(&g);
	if (l.quota_mcpu != 10)
		return 1;
	if (!p.throttled)
		return 2;
	if (p.used_mcpu > 300)
		return 3;
	return p.used_mcpu ? 0 : 50;          /* 50: the group counts no use (cpuacct is another hierarchy) */
}

static int use_and_look(const char *group)
{
	struct gr_cgroup *g = gr_cgroup_open("");
	struct gr_pressure p;
	struct gr_limits l;
	volatile char *mem = malloc(20 << 20);

	for (size_t i = 0; i < 20 << 20; i += 4096)
		mem[i] = 1;
	gr_cgroup_limits(g, &l);
	gr_cgroup_pressure(g, real_ns(), &p);
	free((void *)(uintptr_t)mem);
	gr_cgroup_free(&g);
	return l.mem_bytes != 64 << 20 ? 1 : p.mem_used_bytes < 20 << 20 ? 2 : p.mem_peak_bytes < p.mem_used_bytes ? 3 : 0;
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* A group of our own below where the hierarchy is mounted; false when this machine does not let us. */
static bool make_group(char *path, size_t n, const char *below)
{
	snprintf(path, n, "%s/griddle-signals-%d", below, (int)getpid());
	return mkdir(path, 0755) == 0;
}

static void a_real_groups_quota_is_read_and_its_throttling_seen(void **state)
{
	static const char *const mounts[] = { "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup" };
	char path[200], file[300];
	int rc = -1;

	for (size_t i = 0; i < GR_LEN(mounts) && rc < 0; i++) {
		if (!make_group(path, sizeof(path), mounts[i]))
			continue;
		snprintf(file, sizeof(file), "%s/cpu.max", path);
		if (write_text(file, "1000 100000") < 0) {
			snprintf(file, sizeof(file), "%s/cpu.cfs_quota_us", path);
			if (write_text(file, "1000") < 0) {
				rmdir(path);
				continue;
			}
		}
		snprintf(file, sizeof(file), "%s/cgroup.procs", path);
		rc = run_in_group(file, spin_and_look, path);
		rmdir(path);
	}
	if (rc < 0 || rc == 99) {
		print_message("# SKIP no CPU controller in which a group can be made here\n");
		skip();
	}
	if (rc != 0 && rc != 50)
		fail_msg("1 quota, 2 throttling, 3 use: %d", rc);
}

static void a_real_groups_memory_limit_use_and_peak_are_read(void **state)
{
	static const char *const mounts[] = { "/sys/fs/cgroup/memory", "/sys/fs/cgroup" };
	char path[200], file[300];
	int rc = -1;

	for (size_t i = 0; i < GR_LEN(mounts) && rc < 0; i++) {
		if (!make_group(path, sizeof(path), mounts[i]))
			continue;
		snprintf(file, sizeof(file), "%s/memory.max", path);
		if (write_text(file, "67108864") < 0) {
			snprintf(file, sizeof(file), "%s/memory.limit_in_bytes", path);
			if (write_text(file, "67108864") < 0) {
				rmdir(path);
				continue;
			}
		}
		snprintf(file, sizeof(file), "%s/cgroup.procs", path);
		rc = run_in_group(file, use_and_look, path);
		rmdir(path);
	}
	if (rc < 0 || rc == 99) {
		print_message("# SKIP no memory controller in which a group can be made here\n");
		skip();
	}
	if (rc)
		fail_msg("1 limit, 2 use, 3 peak: %d", rc);
}

/* ---- what is told ---- */

static bool is_told(struct gr_report *r, uint64_t ms, enum gr_signal key, uint64_t value)
{
	struct gr_ping p = { 0 };

	gr_report_add(r, 1 + ms * GR_NS_PER_MS, key, value, &p);
	if (!p.n_signals)
		return false;
	assert_int_equal(p.signals[0].key, key);
	assert_true(p.signals[0].value == value);
	return true;
}

static void only_changes_that_mean_something_are_told(void **state)
{
	struct gr_report r = { 0 };

	assert_true(is_told(&r, 0, GR_SIGNAL_CPU_PSI_PERMILLE, 0));       /* 0 is a figure too */
	assert_false(is_told(&r, 1000, GR_SIGNAL_CPU_PSI_PERMILLE, 29));
	assert_true(is_told(&r, 2000, GR_SIGNAL_CPU_PSI_PERMILLE, 30));
	assert_false(is_told(&r, 3000, GR_SIGNAL_CPU_PSI_PERMILLE, 1));
	assert_true(is_told(&r, 4000, GR_SIGNAL_CPU_PSI_PERMILLE, 0));
	assert_true(is_told(&r, 0, GR_SIGNAL_MEM_USED_BYTES, 8ull << 30));
	assert_false(is_told(&r, 1000, GR_SIGNAL_MEM_USED_BYTES, (8ull << 30) + (100 << 20)));
	assert_true(is_told(&r, 2000, GR_SIGNAL_MEM_USED_BYTES, (8ull << 30) + (300 << 20)));
	assert_true(is_told(&r, 0, GR_SIGNAL_OOM_KILLS, 0));
	assert_true(is_told(&r, 0, GR_SIGNAL_OOM_KILLS, 1));
}

static void slow_drift_is_told_once_it_adds_up_and_everything_each_minute(void **state)
{
	struct gr_report r = { 0 };
	int n = 0;

	for (uint64_t s = 0; s < 50; s++)
		n += is_told(&r, s * 1000, GR_SIGNAL_CPU_PSI_PERMILLE, 500 + s);
	assert_int_equal(n, 2);
	assert_false(is_told(&r, 80000, GR_SIGNAL_CPU_PSI_PERMILLE, 530));
	assert_true(is_told(&r, 91000, GR_SIGNAL_CPU_PSI_PERMILLE, 530));
	gr_report_reset(&r);
	assert_true(is_told(&r, 92000, GR_SIGNAL_CPU_PSI_PERMILLE, 530));
}

/* ---- the pod ---- */

static void facts_come_from_the_downward_apis_files(void **state)
{
	struct gr_cgroup *g = machine(NULL, 0);
	char path[100], *text;

	put("/pod/pod", "worker-7f4");
	put("/pod/node", "node-3\nrest\n");
	put("/pod/zone", "\n");
	put("/pod/uid", "a\033[2Jb");
	snprintf(path, sizeof(path), "%s/pod", dir);
	text = gr_pod_fact(path, "pod");
	assert_string_equal(text, "worker-7f4");
	free(text);
	text = gr_pod_fact(path, "node");
	assert_string_equal(text, "node-3");
	free(text);
	assert_null(gr_pod_fact(path, "zone"));
	assert_null(gr_pod_fact(path, "uid"));
	assert_null(gr_pod_fact(path, "namespace"));
	assert_null(gr_pod_fact("/nowhere", "pod"));
	end(&g);
}

static void the_qos_class_is_the_kubelets_oom_score(void **state)
{
	static const struct { const char *text, *qos; } t[] = {
		{ "-997\n", "Guaranteed" }, { "1000\n", "BestEffort" }, { "999\n", "Burstable" }, { "2\n", "Burstable" }, { "0\n", "" },
		{ "-1000\n", "" }, { "lots\n", "" },
	};
	struct gr_cgroup *g = machine(NULL, 0);

	assert_string_equal(gr_pod_qos(dir), "");
	for (size_t i = 0; i < GR_LEN(t); i++) {
		put("/proc/self/oom_score_adj", t[i].text);
		assert_string_equal(gr_pod_qos(dir), t[i].qos);
	}
	end(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pod_with_cgroup_v2_has_its_quota_and_memory),
		cmocka_unit_test(throttling_and_steal_are_of_the_time_since_the_last_look),
		cmocka_unit_test(pressure_is_the_groups_or_else_the_machines),
		cmocka_unit_test(a_parents_limit_holds_for_its_children),
		cmocka_unit_test(a_container_with_cgroup_v1_has_its_limits),
		cmocka_unit_test(no_quota_in_cgroup_v1_is_no_limit),
		cmocka_unit_test(a_machine_that_tells_nothing_has_no_limits),
		cmocka_unit_test(nonsense_in_the_files_is_no_limit),
		cmocka_unit_test(slots_follow_the_tightest_of_cpus_quota_and_memory),
		cmocka_unit_test(a_hybrid_machine_has_limits_of_v1_and_pressure_of_v2), cmocka_unit_test(throttling_of_a_parent_counts),
		cmocka_unit_test(a_nodes_use_is_everybodys_and_told_apart_from_steal),
		cmocka_unit_test(the_machines_own_counters_are_not_taken_for_a_groups),
		cmocka_unit_test(figures_too_large_to_be_true_do_no_harm),
		cmocka_unit_test(a_real_groups_quota_is_read_and_its_throttling_seen),
		cmocka_unit_test(a_real_groups_memory_limit_use_and_peak_are_read),
		cmocka_unit_test(only_changes_that_mean_something_are_told),
		cmocka_unit_test(slow_drift_is_told_once_it_adds_up_and_everything_each_minute),
		cmocka_unit_test(facts_come_from_the_downward_apis_files), cmocka_unit_test(the_qos_class_is_the_kubelets_oom_score),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
