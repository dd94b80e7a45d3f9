/* worker_runner_fixture.h - a runner in either tier, started for each test; one that the machine forbids is skipped with its reason */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/remove.h"
#include "worker/sandbox/group.h"
#include "worker/sandbox/runner.h"
#include "worker/signals/cgroup.h"

#define LIMIT_MS 60000

static const char *const shown[] = { "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/etc/passwd" };

struct fix {
	enum gr_tier tier;
	char dir[64], root[128];
	int spawner, fd, rootfd;
	uid_t uid;
	bool is_skipped;
	int group;                     /* of the runner, -1 none */
	uint8_t data[GR_RUNNER_OUTPUT_BYTES];
};
struct ran {
	struct gr_runner_event ev;
	char out[65536], err[65536];
	size_t n_out, n_err;
	uint64_t n_bytes;
};

static inline bool next(struct fix *f, struct gr_runner_event *ev)
{
	struct pollfd p = { f->fd, POLLIN, 0 };
	int rc;

	while ((rc = gr_runner_next(f->fd, ev, f->data)) == 0)
		if (poll(&p, 1, LIMIT_MS) <= 0)
			fail_msg("no event in %d ms", LIMIT_MS);
	return rc > 0;
}

static inline void own_folder(struct fix *f, const char *name, mode_t mode)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", f->root, name);
	assert_int_equal(mkdir(path, mode), 0);
	assert_int_equal(chmod(path, mode), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(path, f->uid, f->uid), 0);
}

static struct gr_groups *groups;       /* NULL: there can be none, and why */
static char why_no_groups[256];

static inline int open_groups(void **state)
{
	struct gr_cgroup *own = gr_cgroup_open("");
	struct gr_err err = { 0 };

	(void)state;
	for (int is_v2 = 1; is_v2 >= 0 && !groups; is_v2--)
		if (gr_cgroup_own(own, is_v2))
			groups = gr_groups_open(gr_cgroup_own(own, is_v2), is_v2, (uint64_t)getpid(), geteuid() == 0 ? 65532 : geteuid(),
						geteuid() == 0 ? 65532 : getegid(), &err);
	snprintf(why_no_groups, sizeof(why_no_groups), "%.250s", groups ? gr_groups_path(groups) : err.text);
	gr_cgroup_free(&own);
	return 0;
}

static inline int close_groups(void **state)
{
	(void)state;
	while (groups && gr_groups_clear(gr_groups_path(groups)))
		poll(NULL, 0, 10);     /* of a runner that ends */
	gr_groups_free(&groups);
	return 0;
}

static inline int open_runner(struct fix *f, bool has_userns, bool has_net)
{
	struct gr_group group;
	int fd;
	struct gr_sandbox_spec spec = {
		.tier = f->tier, .has_userns = has_userns, .rootfd = f->rootfd, .cachefd = -1, .uid = f->uid, .gid = f->uid,
		.tmp_bytes = 16 << 20, .shown = shown, .n_shown = GR_LEN(shown), .is_runner = true, .has_net = has_net,
		.root_path = f->tier == GR_TIER_LANDLOCK ? f->root : NULL,
	};

	gr_group_init(&group);
	if (f->group >= 0) {
		f->group = gr_groups_make(groups, &group, NULL);
		assert_true(f->group >= 0);
		spec.group = &group;
	}
	fd = gr_sandbox_open(f->spawner, &spec, NULL);
	gr_group_close(&group);
	return fd;
}

static inline int setup_how(void **state, enum gr_tier tier, bool has_net, bool is_grouped)
{
	struct gr_runner_event ev = { 0 };
	bool has_userns = tier == GR_TIER_NAMESPACE;
	struct fix *f;

	GR_NEW(f);
	*state = f;
	f->tier = tier;
	f->group = is_grouped && groups ? 0 : -1;
	f->uid = geteuid() == 0 ? 65532 : geteuid();
	f->spawner = gr_spawner_fork(NULL);
	assert_true(f->spawner >= 0);
	strcpy(f->dir, "/tmp/runner-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	snprintf(f->root, sizeof(f->root), "%s/root", f->dir);
	own_folder(f, "", 0755);
	own_folder(f, GR_RUNNER_TASK, 0755);
	own_folder(f, GR_RUNNER_TMP, 0755);
	own_folder(f, GR_RUNNER_SECRETS, 0700);
	f->rootfd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->fd = open_runner(f, has_userns, has_net);
	assert_true(f->fd >= 0);
	if (!next(f, &ev) || ev.kind != GR_RUNNER_READY) {
		print_message("# tier %s is not possible here: %s\n", gr_tier_name(tier), ev.text);
		f->is_skipped = true;
	} else if (is_grouped && !groups) {
		print_message("# no cgroups here: %s\n", why_no_groups);
		f->is_skipped = true;
	} else if (is_grouped) {
		assert_true(ev.has_group);
	}
	return 0;
}

static inline int setup_tier(void **state, enum gr_tier tier, bool has_net) { return setup_how(state, tier, has_net, false); }
static inline int setup_grouped_namespace(void **state) { return setup_how(state, GR_TIER_NAMESPACE, false, true); }
static inline int setup_grouped_landlock(void **state) { return setup_how(state, GR_TIER_LANDLOCK, false, true); }
static inline int setup_namespace(void **state) { return setup_tier(state, GR_TIER_NAMESPACE, false); }
static inline int setup_landlock(void **state) { return setup_tier(state, GR_TIER_LANDLOCK, false); }

static inline int teardown(void **state)
{
	struct fix *f = *state;

	close(f->fd);
	close(f->spawner);
	close(f->rootfd);
	if (f->group >= 0)
		gr_groups_remove(groups, f->group);
	gr_rm_rf(f->dir);
	free(f);
	return 0;
}

#define TIER(f) struct fix *f = *state; if (f->is_skipped) skip()

static inline void start_sh(struct fix *f, const char *script, const struct gr_runner_task *with)
{
	const char *argv[] = { "sh", "-c", script }, *env[] = { "PATH=/usr/bin:/bin", "LC_ALL=C" };
	struct gr_runner_task t = *with;

	t.argv = argv;
	t.n_argv = 3;
	t.env = env;
	t.n_env = 2;
	t.cwd = t.cwd ? t.cwd : "";
	t.stdin_fd = -1;
	assert_int_equal(gr_runner_start(f->fd, &t), 0);
}

static inline void finish(struct fix *f, struct ran *r)
{
	memset(r, 0, sizeof(*r));
	for (;;) {
		if (!next(f, &r->ev))
			fail_msg("the runner is gone");
		if (r->ev.kind == GR_RUNNER_EXIT)
			return;
		r->n_bytes += r->ev.n_data;
		for (uint32_t i = 0; i < r->ev.n_data; i++) {
			if (r->ev.stream == 1 && r->n_out < sizeof(r->out) - 1)
				r->out[r->n_out++] = (char)f->data[i];
			if (r->ev.stream == 2 && r->n_err < sizeof(r->err) - 1)
				r->err[r->n_err++] = (char)f->data[i];
		}
	}
}

static const struct gr_runner_task plain = { .out_bytes = 1 << 20, .n_proc = 0 };

static inline void sh(struct fix *f, const char *script, struct ran *r)
{
	start_sh(f, script, &plain);
	finish(f, r);
}

#define BOTH(name) { #name " (namespace)", name, setup_namespace, teardown, NULL }, { #name " (landlock)", name, setup_landlock, teardown, NULL }
