/* doctor.c - `griddle doctor`: what is needed here, whether it is there, and what to do when it is not
 *
 * A row a check. "fail" means that nothing can go remote (or this machine cannot work); "warn" means that something
 * works less well than it could. The checks only look; none changes anything. */
#include <errno.h>
#include <inttypes.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/agent/control.h"
#include "client/cmd/commands.h"
#include "client/cmd/target.h"
#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/cc/toolchain.h"

#define CALL_LIMIT_MS 5000

enum verdict { OK, WARN, FAIL };
static const char *const verdicts[] = { "ok", "warn", "fail" };

struct doctor {
	json_t *rows;
	int n_fail;
	struct gr_paths paths;
	struct gr_target target;
	json_t *nodes;                   /* NULL: coordinator not reached */
};

struct doctor_opts {
	struct gr_target_opts target;
	int64_t output;
};
static const struct gr_conf_key doctor_keys[] = {
	{ "output", GR_CONF_ENUM, "", "table", 0, 0, gr_view_modes, "How to print: a table, JSON, or the names of what is not ok.",
	  offsetof(struct doctor_opts, output), NULL },
	GR_TARGET_KEYS(struct doctor_opts),
};

static void row(struct doctor *d, enum verdict v, const char *what, const char *remedy, const char *fmt, ...) GR_PRINTF(5, 6);
static void row(struct doctor *d, enum verdict v, const char *what, const char *remedy, const char *fmt, ...)
{
	char found[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(found, sizeof(found), fmt, ap);
	va_end(ap);
	d->n_fail += v == FAIL;
	json_array_append_new(d->rows, json_pack("{s:s, s:s, s:s, s:s}", "check", what, "verdict", verdicts[v], "found", found,
						 "remedy", v == OK ? "" : remedy));
}

/* ---- this machine ---- */

static void check_programs(struct doctor *d)
{
	static const char *const programs[] = { "griddle-cc", "griddle-coordinator", "griddle-worker", "make" };
	struct gr_err err;
	char *path;

	for (size_t i = 0; i < GR_LEN(programs); i++) {
		if (gr_paths_sibling(programs[i], &path, &err) < 0) {
			row(d, i == 0 ? FAIL : WARN, programs[i], i < 3 ? "install griddle whole: make install" : "apt-get install make",
			    "not beside griddle nor in PATH");
			continue;
		}
		row(d, OK, programs[i], "", "%s", path);
		free(path);
	}
}

static void check_limits(struct doctor *d)
{
	struct gr_buf b = { 0 };
	struct statvfs vfs;
	struct rlimit nofile;
	char bytes[24];
	cpu_set_t set;
	long watches = 0, quota, period;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	if (gr_file_read("/sys/fs/cgroup/cpu.max", 256, &b, NULL) == 0 && sscanf(gr_buf_str(&b), "%ld %ld", &quota, &period) == 2)
		row(d, OK, "cores", "", "%d, cgroup quota %.1f", CPU_COUNT(&set), (double)quota / (double)period);
	else
		row(d, OK, "cores", "", "%d", CPU_COUNT(&set));
	getrlimit(RLIMIT_NOFILE, &nofile);
	row(d, nofile.rlim_max < 4096 ? WARN : OK, "open files", "raise the hard limit (ulimit -Hn) to 4096 or more",
	    "%" PRIu64 " of at most %" PRIu64, (uint64_t)nofile.rlim_cur, (uint64_t)nofile.rlim_max);
	gr_buf_clear(&b);
	if (gr_file_read("/proc/sys/fs/inotify/max_user_watches", 64, &b, NULL) == 0)
		watches = atol(gr_buf_str(&b));
	row(d, watches < 16384 ? WARN : OK, "inotify watches", "sysctl fs.inotify.max_user_watches=262144; until then each header is "
	    "looked at again for each compile", "%ld", watches);
	if (gr_mkdir_p(d->paths.state, 0700, NULL) == 0 && statvfs(d->paths.state, &vfs) == 0) {
		uint64_t free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;

		row(d, free_bytes < 2000000000 ? WARN : OK, "disk for caches", "free some space, or set GRIDDLE_STATE_DIR",
		    "%s free in %s", gr_view_bytes(free_bytes, bytes), d->paths.state);
	} else {
		row(d, FAIL, "disk for caches", "make the folder, or set GRIDDLE_STATE_DIR", "%s: %s", d->paths.state, strerror(errno));
	}
	gr_buf_fini(&b);
}

/* What a worker on this machine could use; a worker in a pod sees for itself and says so in `griddle nodes`. */
static void check_sandbox(struct doctor *d)
{
	const char *const argv[] = { "unshare", "--user", "--map-root-user", "--mount", "--net", "true", NULL };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u /* LANDLOCK_CREATE_RULESET_VERSION */);
	bool has_ns = gr_proc_capture(argv, NULL, NULL, 4096, NULL, NULL, NULL) == 0;

	if (abi > 0)
		row(d, OK, "landlock", "", "version %ld", abi);
	else
		row(d, WARN, "landlock", "boot with lsm=landlock,... (Linux 5.13 or newer); workers here need it",
		    "not available: %s", strerror(errno));
	row(d, has_ns ? OK : WARN, "user namespaces", "sysctl kernel.unprivileged_userns_clone=1, or leave it: workers fall back to the "
	    "chroot or Landlock tier", has_ns ? "allowed" : "not allowed here");
	row(d, OK, "best sandbox tier", "", "%s", has_ns ? "namespace" : geteuid() == 0 ? "chroot" : abi > 0 ? "landlock" : "none");
}

/* ---- the cluster ---- */

static void check_cluster(struct doctor *d, const struct gr_target_opts *o)
{
	struct gr_err err;
	json_t *status;
	int rc = gr_target_resolve(&d->target, o, &d->paths, &err);

	if (rc < 0) {
		row(d, FAIL, "coordinator", "griddle up, or set GRIDDLE_COORDINATOR", "%s", err.text);
		return;
	}
	rc = gr_target_call(&d->target, "status", CALL_LIMIT_MS, &status, &err);
	if (rc < 0) {
		const char *remedy = rc == GR_EAUTH ? "griddle keys show here, then griddle keys allow KEY on the coordinator" :
				     rc == GR_EVERSION ? "install the same version of griddle on both sides" :
				     d->target.is_up_cluster ? "griddle down, then griddle up; its logs are in the state folder" :
				     "is it running, is the port open from here?";

		row(d, FAIL, "coordinator", remedy, "%s", err.text);
		return;
	}
	row(d, OK, "coordinator", "", "%s, %" JSON_INTEGER_FORMAT " workers, %" JSON_INTEGER_FORMAT " slots", d->target.endpoint,
	    json_integer_value(json_object_get(status, "workers")), json_integer_value(json_object_get(status, "slots")));
	json_decref(status);
	if (gr_target_call(&d->target, "nodes", CALL_LIMIT_MS, &d->nodes, &err) < 0)
		d->nodes = NULL;
}

static void check_agent(struct doctor *d)
{
	const char *version, *why;
	struct gr_control *c;
	struct gr_err err;
	json_t *s;
	int rc = gr_control_connect(d->paths.socket, &c, &err);

	if (rc == 0) {
		rc = gr_control_status(c, &s, &err);
		gr_control_close(&c);
	}
	if (rc == GR_EUNREACH) {
		row(d, OK, "agent", "", "not running; griddle make starts one");
		return;
	}
	if (rc < 0) {
		row(d, FAIL, "agent", "griddle down, then try again", "%s", err.text);
		return;
	}
	version = json_string_value(json_object_get(s, "version"));
	why = json_string_value(json_object_get(s, "why"));
	if (version && strcmp(version, GR_VERSION))
		row(d, WARN, "agent", "griddle agent --stop; the next griddle make starts a new one", "version %s, this is " GR_VERSION, version);
	else if (!json_is_true(json_object_get(s, "connected")))
		row(d, WARN, "agent", "see the row of the coordinator", "runs, not connected: %s", why ? why : "no reason given");
	else
		row(d, OK, "agent", "", "pid %" JSON_INTEGER_FORMAT ", connected", json_integer_value(json_object_get(s, "pid")));
	json_decref(s);
}

/* How many workers have the toolchain with this digest. */
static int n_with(const json_t *nodes, const char *hex)
{
	const json_t *list = json_object_get(nodes, "nodes") ? json_object_get(nodes, "nodes") : json_object_get(nodes, "workers");
	json_t *w, *tc;
	size_t i, k;
	int n = 0;

	json_array_foreach(list, i, w)
		json_array_foreach(json_object_get(w, "toolchains"), k, tc) {
			const char *have = json_is_string(tc) ? json_string_value(tc) : json_string_value(json_object_get(tc, "digest"));

			if (have && !strcmp(have, hex)) {
				n++;
				break;
			}
		}
	return n;
}

static void check_toolchain(struct doctor *d, const char *name)
{
	struct gr_cc_toolchain *t;
	char hex[GR_DIGEST_HEX], *path;
	struct gr_err err;
	int n;

	if (gr_paths_sibling(name, &path, NULL) < 0)
		return;
	if (gr_cc_toolchain_probe(path, &t, &err) < 0) {
		row(d, WARN, name, "compiles with it stay on this machine", "%s", err.text);
		free(path);
		return;
	}
	gr_digest_hex(&t->digest, hex);
	n = d->nodes ? n_with(d->nodes, hex) : 0;
	if (!d->nodes)
		row(d, OK, name, "", "%s, %.12s", t->name, hex);
	else if (n)
		row(d, OK, name, "", "%s, %.12s, on %d worker%s", t->name, hex, n, n == 1 ? "" : "s");
	else
		row(d, WARN, name, "install the same package version on the workers; until then its compiles stay here",
		    "%s, %.12s: no worker has it", t->name, hex);
	gr_cc_toolchain_free(&t);
	free(path);
}

static void print(const struct doctor *d, int64_t mode)
{
	static const char *const heads[] = { "", "CHECK", "FOUND", NULL };
	struct gr_table *t;
	size_t i;
	json_t *r;

	if (mode == GR_VIEW_JSON) {
		gr_view_json(d->rows, stdout);
		return;
	}
	t = gr_table_new(heads);
	json_array_foreach(d->rows, i, r) {
		const char *verdict = json_string_value(json_object_get(r, "verdict")),
			   *check = json_string_value(json_object_get(r, "check"));

		if (mode == GR_VIEW_NAME) {
			if (strcmp(verdict, "ok"))
				printf("%s\n", check);
			continue;
		}
		gr_table_cell(t, "%s", verdict);
		gr_table_cell(t, "%s", check);
		gr_table_cell(t, "%s", json_string_value(json_object_get(r, "found")));
		if (!strcmp(verdict, "ok"))
			continue;
		gr_table_cell(t, " ");
		gr_table_cell(t, " ");
		gr_table_cell(t, "-> %s", json_string_value(json_object_get(r, "remedy")));
	}
	if (mode == GR_VIEW_TABLE)
		gr_table_print(t, stdout);
	gr_table_free(&t);
}

static int run_doctor(const struct gr_cmd *cmd, int argc, char **argv)
{
	static const char *const compilers[] = { "gcc", "g++", "clang" };
	struct doctor d = { 0 };
	struct gr_err err = { 0 };
	struct doctor_opts o;
	struct gr_conf conf;
	int i = gr_cmd_options(cmd, argc, argv, &conf, &o, &err);

	if (i < 0)
		return gr_cmd_fail(cmd, &err);
	if (i < argc) {
		gr_conf_fini(&conf);
		return gr_cmd_usage(cmd, argv[i]);
	}
	if (gr_paths_init(&d.paths, &err) < 0) {
		gr_conf_fini(&conf);
		return gr_cmd_fail(cmd, &err);
	}
	d.rows = json_array();
	row(&d, OK, "griddle", "", GR_VERSION);
	check_programs(&d);
	check_limits(&d);
	check_sandbox(&d);
	check_cluster(&d, &o.target);
	check_agent(&d);
	for (size_t k = 0; k < GR_LEN(compilers); k++)
		check_toolchain(&d, compilers[k]);
	print(&d, o.output);
	json_decref(d.rows);
	json_decref(d.nodes);
	gr_target_fini(&d.target);
	gr_paths_fini(&d.paths);
	gr_conf_fini(&conf);
	return d.n_fail ? GR_EXIT_FAILED : GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_doctor = {
	.name = "doctor", .args = "", .summary = "look for what is missing here, and say what to do",
	.help = "  griddle doctor\n  griddle doctor -o json\n\n"
		"Looks at the programs, limits, disk, sandbox tiers, coordinator, agent and compilers, and says for each that\n"
		"is not well what would mend it. Changes nothing. Exit code 1 when a check fails.\n",
	.keys = doctor_keys, .n_keys = GR_LEN(doctor_keys), .shorts = "o=output", .run = run_doctor,
};
