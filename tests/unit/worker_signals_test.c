/* worker_signals_test.c - limits and pressure read from recorded machines */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "worker/signals/cgroup.h"

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
	gr_cgroup_pressure(g, &p);
	assert_int_equal(p.throttled, 0);
	assert_int_equal(p.steal, 0);
	assert_int_equal(p.mem_used_bytes, 100 << 20);
	snprintf(text, sizeof(text), stat_text, 150, 930, 20);
	put("/proc/stat", text);
	put("/sys/fs/cgroup/cpu.stat", "usage_usec 1\nnr_periods 140\nnr_throttled 20\n");
	gr_cgroup_pressure(g, &p);
	assert_int_equal(p.throttled, 250);
	assert_int_equal(p.steal, 200);
	/* a group made anew counts from nothing: no wild figure */
	put("/sys/fs/cgroup/cpu.stat", "usage_usec 1\nnr_periods 4\nnr_throttled 1\n");
	gr_cgroup_pressure(g, &p);
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
	gr_cgroup_pressure(g, &p);
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
	gr_cgroup_pressure(g, &p);
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
	gr_cgroup_pressure(g, &p);
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
	gr_cgroup_pressure(g, &p);
	assert_int_equal(p.cpu, 0);
	end(&g);
}

static void slots_follow_the_tightest_of_cpus_quota_and_memory(void **state)
{
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 0, 0 }, 8, 64ull << 30), 8);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 2500, 0 }, 8, 64ull << 30), 3);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 2400, 0 }, 8, 64ull << 30), 2);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 100, 0 }, 8, 64ull << 30), 1);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 64000, 0 }, 8, 64ull << 30), 8);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 0, 1 << 30 }, 8, 64ull << 30), 4);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 0, 64 << 20 }, 8, 64ull << 30), 1);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 0, 0 }, 8, 512ull << 20), 2);
	assert_int_equal(gr_slots_of(&(struct gr_limits){ 0, 0 }, 1000, 0), 256);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
