/* up.c - `griddle up` and `griddle down`: a cluster of real processes on loopback, for this user, without root */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "client/agent/control.h"
#include "client/cluster.h"
#include "client/cmd/commands.h"
#include "client/cmd/start_agent.h"
#include "client/cmd/target.h"
#include "client/paths.h"
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"

#define READY_LIMIT_MS 30000
#define END_LIMIT_MS 10000

struct up_opts {
	int64_t workers, slots, cache_bytes;
	bool agent;
};
enum { WORKERS };                           /* where --workers stands below */
#define AT(f) offsetof(struct up_opts, f)
static const struct gr_conf_key up_keys[] = {
	[WORKERS] = { "workers", GR_CONF_INT, "workers", "1", 1, 64, NULL, "How many workers.", AT(workers), NULL },
	{ "slots", GR_CONF_INT, "slots", "0", 0, 1024, NULL,
	  "Compiles at a time on each worker; 0 shares this machine's cores among them.", AT(slots), NULL },
	{ "cache-bytes", GR_CONF_BYTES, "bytes", "4G", 64 << 20, 1ll << 44, NULL, "Disk each worker and the coordinator may use.",
	  AT(cache_bytes), NULL },
	{ "agent", GR_CONF_BOOL, "", "true", 0, 0, NULL, "Also start this user's agent.", AT(agent), NULL },
};

struct up {
	const struct up_opts *o;
	struct gr_paths paths;
	struct gr_cluster cluster;
	char *dir;                          /* STATE/up */
};

static volatile sig_atomic_t is_interrupted;

static void on_signal(int signum)
{
	(void)signum;
	is_interrupted = 1;
}

static int n_cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* Starts argv as @role/@name and waits for its ready-file; the process is in the list as soon as it runs. */
static int start(struct up *u, const char *role, const char *name, const char **argv, size_t n, struct gr_err *err)
{
	struct gr_cluster_proc *p = &u->cluster.procs[u->cluster.n_procs];
	char *ready = NULL, *log = NULL, *program;
	struct gr_buf b = { 0 };
	int rc;

	*p = (struct gr_cluster_proc){ 0 };
	snprintf(p->role, sizeof(p->role), "%s", role);
	snprintf(p->name, sizeof(p->name), "%s", name);
	rc = gr_paths_sibling(argv[0], &program, err);
	if (rc < 0)
		return rc;
	gr_buf_printf(&b, "%s/%s.ready", u->paths.runtime, name);
	ready = gr_buf_take(&b, NULL);
	gr_buf_printf(&b, "%s/%s.log", u->dir, name);
	log = gr_buf_take(&b, NULL);
	unlink(ready);
	argv[0] = program;
	argv[n] = "--ready-file";
	argv[n + 1] = ready;
	argv[n + 2] = NULL;
	rc = gr_cluster_spawn(argv, log, p, err);
	if (rc == 0) {
		u->cluster.n_procs++;
		rc = gr_cluster_wait_ready(p, ready, log, READY_LIMIT_MS, err);
	}
	if (rc == 0 && is_interrupted)
		rc = gr_err_set(err, GR_EGONE, "interrupted");
	free(program);
	free(ready);
	free(log);
	return rc;
}

static int start_coordinator(struct up *u, struct gr_err *err)
{
	char *state = gr_paths_below(u->dir, "coordinator"), *ready = gr_paths_below(u->paths.runtime, "coordinator.ready"), cache[32];
	const char *argv[16] = { "griddle-coordinator", "--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--state", state,
				 "--cache-bytes", cache };
	struct gr_buf text = { 0 };
	json_t *root = NULL;
	const char *s;
	int rc;

	snprintf(cache, sizeof(cache), "%" PRId64, u->o->cache_bytes);
	rc = start(u, "coordinator", "coordinator", argv, 9, err);
	if (rc == 0)
		rc = gr_file_read(ready, 65536, &text, err);
	if (rc == 0) {
		root = json_loadb((const char *)text.p, text.n, 0, NULL);
		s = json_string_value(json_object_get(root, "endpoint"));
		if (!s)
			rc = gr_err_set(err, GR_EIO, "%s: no endpoint in it", ready);
		else
			u->cluster.endpoint = gr_xstrdup(s);
		s = json_string_value(json_object_get(root, "http"));
		u->cluster.http = s ? gr_xstrdup(s) : NULL;
		json_decref(root);
	}
	gr_buf_fini(&text);
	free(state);
	free(ready);
	return rc;
}

static int start_workers(struct up *u, struct gr_err *err)
{
	int64_t slots = u->o->slots ? u->o->slots : n_cores() / u->o->workers;
	char n_slots[32], cache[32], name[32];
	int rc = 0;

	snprintf(n_slots, sizeof(n_slots), "%" PRId64, slots > 0 ? slots : 1);
	snprintf(cache, sizeof(cache), "%" PRId64, u->o->cache_bytes);
	for (int64_t i = 1; i <= u->o->workers && rc == 0; i++) {
		const char *argv[16] = { "griddle-worker", "--coordinator", u->cluster.endpoint, "--name", name, "--slots", n_slots,
					 "--cache-bytes", cache, "--state" };
		char *state;

		snprintf(name, sizeof(name), "worker-%" PRId64, i);
		state = gr_paths_below(u->dir, name);
		argv[10] = state;
		rc = start(u, "worker", name, argv, 11, err);
		free(state);
	}
	return rc;
}

/* Ready-files say that a worker is connected; the coordinator's own count is what a build will meet. */
static int wait_registered(struct up *u, uint64_t *slots, struct gr_err *err)
{
	struct gr_target t = { .endpoint = u->cluster.endpoint };

	for (int ms = 0; ms < READY_LIMIT_MS; ms += 100) {
		json_t *rep;
		int rc = gr_target_call(&t, "status", 5000, &rep, err);
		int64_t n;

		if (rc < 0)
			return rc;
		n = json_integer_value(json_object_get(rep, "workers"));
		*slots = (uint64_t)json_integer_value(json_object_get(rep, "slots"));
		json_decref(rep);
		if (n >= u->o->workers)
			return 0;
		if (is_interrupted)
			return gr_err_set(err, GR_EGONE, "interrupted");
		gr_cluster_nap(100);
	}
	return gr_err_set(err, GR_ETIME, "the workers did not register in %d s; their logs are in %s", READY_LIMIT_MS / 1000, u->dir);
}

static int bring_up(struct up *u, struct gr_err *err)
{
	uint64_t slots = 0;
	int rc;

	rc = gr_mkdir_p(u->dir, 0700, err);
	if (rc == 0)
		rc = start_coordinator(u, err);
	if (rc == 0)
		rc = start_workers(u, err);
	if (rc == 0)
		rc = wait_registered(u, &slots, err);
	if (rc == 0 && u->o->agent) {
		struct gr_target t = { .endpoint = u->cluster.endpoint };
		struct gr_cluster_proc p;

		rc = gr_start_agent(&t, &u->paths, &p, err);
		if (rc > 0)
			u->cluster.procs[u->cluster.n_procs++] = p;
		rc = rc < 0 ? rc : 0;
	}
	if (rc == 0)
		rc = gr_cluster_save(u->paths.cluster, &u->cluster, err);
	if (rc < 0) {
		gr_cluster_end(&u->cluster, END_LIMIT_MS);
		return rc;
	}
	printf("griddle is up: %s, %" PRId64 " worker%s, %" PRIu64 " slots; logs in %s\n", u->cluster.endpoint, u->o->workers,
	       u->o->workers == 1 ? "" : "s", slots, u->dir);
	return 0;
}

/* One `up` or `down` at a time in a runtime folder. Return: the lock's descriptor. */
static int lock(const struct gr_paths *p, struct gr_err *err)
{
	char *path = gr_paths_below(p->runtime, "up.lock");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno));
	free(path);
	return fd;
}

/* @is_asked: their number was said, and is no default. */
static void tell_up(const struct gr_cluster *c, int64_t n_wanted, bool is_asked)
{
	int64_t n = 0;

	for (size_t i = 0; i < c->n_procs; i++)
		n += !strcmp(c->procs[i].role, "worker");
	printf("griddle is already up: %s, %" PRId64 " worker%s, %zu processes\n", c->endpoint, n, n == 1 ? "" : "s", c->n_procs);
	if (is_asked && n != n_wanted)
		fprintf(stderr, "griddle up: %" PRId64 " worker%s, not %" PRId64 "; for that `griddle down`, then `griddle up --workers %" PRId64 "`\n", n,
			n == 1 ? " runs" : "s run", n_wanted, n_wanted);
}

static int run_up(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct gr_cluster old;
	struct gr_err err = { 0 };
	struct up_opts o;
	struct gr_conf conf;
	struct up u = { .o = &o };
	int rc, fd = -1, i = gr_cmd_options(cmd, argc, argv, &conf, &o, &err);
	bool is_asked;

	if (i < 0)
		return gr_cmd_fail(cmd, &err);
	is_asked = strcmp(conf.origin[WORKERS], "default") != 0;
	gr_conf_fini(&conf);   /* no text among the options */
	if (i < argc)
		return gr_cmd_usage(cmd, argv[i]);
	rc = gr_paths_init(&u.paths, &err);
	if (rc < 0)
		return gr_cmd_fail(cmd, &err);
	u.dir = gr_paths_below(u.paths.state, "up");
	fd = lock(&u.paths, &err);
	if (fd < 0) {
		rc = err.code;
		goto out;
	}
	rc = gr_cluster_load(u.paths.cluster, &old, &err);
	if (rc == 0) {
		size_t n_alive = gr_cluster_n_alive(&old);
		bool is_up = n_alive && n_alive == old.n_procs;

		if (is_up)
			tell_up(&old, o.workers, is_asked);
		else if (n_alive) {
			fprintf(stderr, "griddle up: %zu of %zu processes of the last `up` are gone; ending the rest\n",
				old.n_procs - n_alive, old.n_procs);
			gr_cluster_end(&old, END_LIMIT_MS);
		}
		gr_cluster_fini(&old);
		if (is_up)
			goto out;
	}
	unlink(u.paths.cluster);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	rc = bring_up(&u, &err);
out:
	if (fd >= 0)
		close(fd);
	free(u.dir);
	gr_cluster_fini(&u.cluster);
	gr_paths_fini(&u.paths);
	return rc < 0 ? gr_cmd_fail(cmd, &err) : GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_up = {
	.name = "up", .args = "", .summary = "start a coordinator and workers on this machine",
	.help = "  griddle up\n  griddle up --workers 2 --slots 4\n\n"
		"Starts real processes on loopback, detached, without root: a coordinator, workers and this user's agent.\n"
		"Waits until the workers have registered and prints one line. A second `up` only says what is up.\n"
		"State and logs are in the up folder of the state folder, cluster.json in the runtime folder says what runs.\n"
		"`griddle down` ends what this command started.\n",
	.keys = up_keys, .n_keys = GR_LEN(up_keys), .run = run_up,
};

/* An agent that `griddle make` started is not in the list; it listens at our own socket. */
static bool stop_agent(const struct gr_paths *p)
{
	struct gr_control *c;

	if (gr_control_connect(p->socket, &c, NULL) < 0)
		return false;
	if (gr_control_stop(c, NULL) < 0) {
		gr_control_close(&c);
		return false;
	}
	gr_control_close(&c);
	return true;
}

static int run_down(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct gr_cluster c = { 0 };
	struct gr_err err = { 0 };
	struct gr_paths p;
	bool had_agent, is_unknown;
	size_t n = 0;
	int rc, fd;

	if (argc > 1)
		return gr_cmd_usage(cmd, argv[1]);
	rc = gr_paths_init(&p, &err);
	if (rc < 0)
		return gr_cmd_fail(cmd, &err);
	fd = lock(&p, &err);
	if (fd < 0) {
		gr_paths_fini(&p);
		return gr_cmd_fail(cmd, &err);
	}
	rc = gr_cluster_load(p.cluster, &c, &err);
	had_agent = stop_agent(&p);
	is_unknown = rc < 0 && rc != GR_ENOENT;
	if (!is_unknown) {                      /* else it stays: a person may read in it what runs */
		n = gr_cluster_end(&c, END_LIMIT_MS);
		unlink(p.cluster);
	}
	close(fd);
	if (is_unknown)
		gr_err_wrap(&err, "nothing%s was ended", had_agent ? " but the agent" : "");
	else if (n)
		printf("griddle is down: %zu processes ended\n", n);
	else
		printf("%s\n", had_agent ? "griddle is down: the agent ended" : "griddle is not up");
	gr_cluster_fini(&c);
	gr_paths_fini(&p);
	return is_unknown ? gr_cmd_fail(cmd, &err) : GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_down = {
	.name = "down", .args = "", .summary = "end what `griddle up` started, and this user's agent",
	.help = "  griddle down\n\n"
		"Ends the processes in cluster.json, each only when its id and start time are still those of the process\n"
		"that was started, and this user's agent. Caches stay, so that the next `up` is warm.\n",
	.run = run_down,
};
