/* config.c - the table of the worker's settings */
#include "worker/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "worker/signals/pod.h"

static const char *const levels[] = { "error", "warn", "info", "debug", NULL };
static const char *const sandboxes[] = { "auto", "namespace", "chroot", "landlock", NULL };
static const char *const required[] = { "any", "landlock", "chroot", "namespace", NULL };
static const char *const commands[] = { "auto", "off", NULL };
static const char *const compress[] = { "auto", "on", "off", NULL };

#define AT(f) offsetof(struct gr_worker_config, f)
static const struct gr_conf_key keys[] = {
	{ "coordinator", GR_CONF_STR, "ENDPOINT", "tcp://127.0.0.1:7420", 0, 0, NULL,
	  "The coordinator to connect to.", AT(coordinator), NULL },
	{ "state", GR_CONF_STR, "DIR", "/var/lib/griddle/worker", 0, 0, NULL,
	  "Folder of the input cache and the session trees; the only one that must be writable.", AT(state), NULL },
	{ "name", GR_CONF_STR, "NAME", NULL, 0, 0, NULL, "What this worker is called; default: pod or host name.", AT(name), NULL },
	{ "slots", GR_CONF_INT, "tasks", "0", 0, 256, NULL,
	  "Tasks at a time; 0: from the cgroup's CPU quota, the CPU affinity and the memory limit.", AT(slots), NULL },
	{ "prefetch", GR_CONF_INT, "tasks", "200", 0, 256, NULL,
	  "Most tasks to hold ready beyond the running ones. How many it is sent follows from the round trip and from how fast they end here.", AT(prefetch), NULL },
	{ "sandbox", GR_CONF_ENUM, "", "auto", 0, 0, sandboxes,
	  "The sandbox tier; auto: the strongest that works here, found by trying.", AT(sandbox), NULL },
	{ "require-sandbox", GR_CONF_ENUM, "", "any", 0, 0, required,
	  "Refuse to start with a weaker tier (landlock < chroot < namespace).", AT(require_sandbox), NULL },
	{ "user", GR_CONF_INT, "uid", "65532", 0, 4294967294ll, NULL,
	  "When started as root: the user and group to become; 0 stays root.", AT(user), NULL },
	{ "cache-bytes", GR_CONF_BYTES, "bytes", "4G", 16ll << 20, 1ll << 50, NULL,
	  "Most the input cache takes on disk; the least recently used go first.", AT(cache_bytes), NULL },
	{ "tree-bytes", GR_CONF_BYTES, "bytes", "4G", 16ll << 20, 1ll << 50, NULL,
	  "Most the session trees take on disk together; idle sessions go first.", AT(tree_bytes), NULL },
	{ "tmp-bytes", GR_CONF_BYTES, "bytes", "1G", 1ll << 20, 1ll << 50, NULL,
	  "Most a session's temporary files take in memory (namespace tier).", AT(tmp_bytes), NULL },
	{ "task-timeout", GR_CONF_MS, "ms", "10m", 100, 86400000, NULL, "Longest a task may run.", AT(task_timeout_ms), NULL },
	{ "task-mem-bytes", GR_CONF_BYTES, "bytes", "0", 0, 1ll << 50, NULL,
	  "Address space a task's process may have; 0: the memory limit of the worker.", AT(task_mem_bytes), NULL },
	{ "commands", GR_CONF_ENUM, "", "auto", 0, 0, commands,
	  "Run batch commands; auto: where the namespace or the landlock tier works.", AT(commands), NULL },
	{ "cgroups", GR_CONF_ENUM, "", "auto", 0, 0, commands,
	  "Limit the memory of commands by cgroups; auto: where this worker may make groups, else their processes are watched.",
	  AT(cgroups), NULL },
	{ "command-show", GR_CONF_STR, "PATHS",
	  "/usr,/bin,/sbin,/lib,/lib32,/lib64,/libx32,/opt,/etc/alternatives,/etc/ld.so.cache,/etc/ld.so.conf,/etc/ld.so.conf.d,"
	  "/etc/passwd,/etc/group,/etc/nsswitch.conf,/etc/host.conf,/etc/hosts,/etc/resolv.conf,/etc/protocols,/etc/services,"
	  "/etc/localtime,/etc/timezone,/etc/ssl/certs,/etc/ca-certificates,/etc/fonts,/etc/mime.types,/etc/magic,/etc/terminfo,"
	  "/etc/perl,/etc/python3,/etc/R,/etc/ImageMagick-6",
	  0, 0, NULL, "What a batch command may read and execute of this machine, comma separated.", AT(command_show), NULL },
	{ "kill-grace", GR_CONF_MS, "ms", "5s", 0, 3600000, NULL,
	  "From SIGTERM to SIGKILL when a command is over its time limit.", AT(kill_grace_ms), NULL },
	{ "labels", GR_CONF_STR, "K=V,...", NULL, 0, 0, NULL,
	  "What jobs may ask for by name; arch and os are there by themselves.", AT(labels), NULL },
	{ "gpu-milli", GR_CONF_INT, "1/1000 GPU", "0", 0, 1000000, NULL, "GPUs that commands may ask for.", AT(gpu_milli), NULL },
	{ "session-idle", GR_CONF_MS, "ms", "1h", 1000, 604800000, NULL,
	  "A session without a task for so long is removed from disk.", AT(session_idle_ms), NULL },
	{ "grace", GR_CONF_MS, "ms", "30s", 0, 3600000, NULL,
	  "On SIGTERM: how long running tasks may go on before they are handed back.", AT(grace_ms), NULL },
	{ "compress", GR_CONF_ENUM, "", "auto", 0, 0, compress,
	  "Compress results; auto: unless the coordinator is on this machine.", AT(compress), NULL },
	{ "keys", GR_CONF_STR, "FILE", NULL, 0, 0, NULL, "This worker's key pair (griddle keys new).", AT(keys), NULL },
	{ "server-key", GR_CONF_STR, "KEY", NULL, 0, 0, NULL, "The coordinator's public key.", AT(server_key), NULL },
	{ "toolchains", GR_CONF_STR, "PATHS", "auto", 0, 0, NULL,
	  "Compiler drivers to offer, comma separated; auto: every gcc and clang in PATH.", AT(toolchains), NULL },
	{ "ready-file", GR_CONF_STR, "FILE", NULL, 0, 0, NULL,
	  "Written at the first connection: JSON with name, pid, tier, slots and toolchains.", AT(ready_file), NULL },
	{ "probe", GR_CONF_STR, "HOST:PORT", NULL, 0, 0, NULL,
	  "Where /livez and /readyz are served, for a kubelet or another supervisor; unset: nowhere.", AT(probe), NULL },
	{ "node", GR_CONF_STR, "NAME", NULL, 0, 0, NULL, "The machine's name in the cluster; workers on one node share its cores.",
	  AT(node), NULL },
	{ "zone", GR_CONF_STR, "NAME", NULL, 0, 0, NULL, "The zone this node is in.", AT(zone), NULL },
	{ "pod", GR_CONF_STR, "NAME", NULL, 0, 0, NULL, "This pod's name.", AT(pod), NULL },
	{ "pod-uid", GR_CONF_STR, "UID", NULL, 0, 0, NULL, "This pod's uid.", AT(pod_uid), NULL },
	{ "namespace", GR_CONF_STR, "NAME", NULL, 0, 0, NULL, "The Kubernetes namespace this pod is in.", AT(namespace), NULL },
	{ "qos", GR_CONF_STR, "CLASS", NULL, 0, 0, NULL,
	  "The pod's class (Guaranteed, Burstable, BestEffort); default: as the kernel's oom_score_adj tells it.", AT(qos), NULL },
	{ "downward", GR_CONF_STR, "DIR", NULL, 0, 0, NULL,
	  "A folder of Kubernetes' downward API; files node, zone, pod, pod-uid, namespace and qos there set what is not set otherwise.",
	  AT(downward), NULL },
	{ "log-level", GR_CONF_ENUM, "", "info", 0, 0, levels, "The finest lines that are logged.", AT(log_level), NULL },
};

static void print_help(FILE *out)
{
	fputs("usage: griddle-worker [--KEY VALUE]...\n"
	      "Connects to a coordinator, keeps a cache of inputs and runs compiles in a sandbox.\n\n"
	      "  --help         this text        --version      the version\n"
	      "  --help-config  every setting with its default, range and meaning\n"
	      "  --check-config reads the settings, says \"ok\" or what is wrong, and ends\n"
	      "  --config FILE  settings from a JSON object; environment variables GRIDDLE_KEY and flags are stronger\n\n"
	      "One machine:  griddle-worker --state /tmp/gw\n"
	      "A cluster:    griddle-worker --coordinator tcp://HOST:7420 --keys worker.key --server-key KEY\n\n"
	      "SIGTERM drains: what runs is finished within --grace, the rest is handed back.\n", out);
}

static bool is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n && n < 64 && !s[n];
}

static void fill_from_pod(struct gr_worker_config *cfg)
{
	const struct { const char *name; char **field; } facts[] = {
		{ "node", &cfg->node }, { "zone", &cfg->zone }, { "pod", &cfg->pod }, { "pod-uid", &cfg->pod_uid },
		{ "namespace", &cfg->namespace }, { "qos", &cfg->qos },
	};

	for (size_t i = 0; i < GR_LEN(facts); i++)
		if (cfg->downward && !*facts[i].field)
			*facts[i].field = gr_pod_fact(cfg->downward, facts[i].name);
	if (!cfg->qos)
		cfg->qos = gr_xstrdup(gr_pod_qos(""));
}

static int fill_in(struct gr_worker_config *cfg, struct gr_err *err)
{
	char host[65] = "worker";

	fill_from_pod(cfg);
	if (!cfg->name) {
		gethostname(host, sizeof(host) - 1);
		cfg->name = gr_xstrdup(cfg->pod && is_name(cfg->pod) ? cfg->pod : is_name(host) ? host : "worker");
	}
	if (!is_name(cfg->name))
		return gr_err_set(err, GR_ECONFIG, "name: bad value \"%s\": wants up to 63 of A-Z a-z 0-9 . _ -", cfg->name);
	if (!cfg->node) {
		gethostname(host, sizeof(host) - 1);
		cfg->node = gr_xstrdup(host);
	}
	if (!cfg->state[0])
		return gr_err_set(err, GR_ECONFIG, "state: wants a folder");
	return 0;
}

int gr_worker_config_load(struct gr_worker_config *cfg, int argc, char **argv, char *const *environ_, struct gr_err *err)
{
	struct gr_conf *c = &cfg->conf;
	bool is_check;
	int rc;

	memset(cfg, 0, sizeof(*cfg));
	gr_conf_init(c, keys, GR_LEN(keys), cfg);
	if (gr_conf_tell(c, argc, argv, "griddle-worker", print_help)) {
		gr_worker_config_free(cfg);
		return 1;
	}
	is_check = gr_conf_take(&argc, argv, "--check-config");
	rc = gr_conf_load_env(c, environ_, err);
	if (rc >= 0)
		rc = gr_conf_load_args(c, argc, argv, err);
	if (rc >= 0 && rc < argc)
		rc = gr_err_set(err, GR_EUSAGE, "unexpected argument \"%s\"", argv[rc]);
	if (rc >= 0)
		rc = fill_in(cfg, err);
	if (rc >= 0)
		rc = is_check;
	if (rc > 0)
		puts("ok");
	if (rc)
		gr_worker_config_free(cfg);
	return rc;
}

void gr_worker_config_free(struct gr_worker_config *cfg)
{
	gr_conf_fini(&cfg->conf);
	memset(cfg, 0, sizeof(*cfg));
}
