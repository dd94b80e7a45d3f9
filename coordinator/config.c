/* config.c - the table of the coordinator's settings */
#include "coordinator/config.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/kube/kube.h"
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/log.h"

static const char *const levels[] = { "error", "warn", "info", "debug", NULL };

#define AT(f) offsetof(struct gr_coord_config, f)
static const struct gr_conf_key keys[] = {
	{ "listen", GR_CONF_STR, "ENDPOINTS", "tcp://127.0.0.1:7420", 0, 0, NULL,
	  "Where clients and workers connect, comma separated; tcp://HOST:PORT (port 0: chosen by the kernel) or ipc://PATH.",
	  AT(listen), NULL },
	{ "http", GR_CONF_STR, "HOST:PORT", "127.0.0.1:7421", 0, 0, NULL,
	  "Where the page, /api/v1, /metrics, /livez and /readyz are served; \"off\" for nowhere.", AT(http), NULL },
	{ "http-anywhere", GR_CONF_BOOL, "", "false", 0, 0, NULL,
	  "Let --http be an address beyond loopback without --http-tokens; health and metrics alone are served there then.",
	  AT(http_anywhere), NULL },
	{ "http-tokens", GR_CONF_STR, "FILE", NULL, 0, 0, NULL,
	  "Who may use the API and the page (griddle keys token): a line a token, its SHA-256, roles and name. "
	  "Without it whoever reaches loopback may.", AT(http_tokens), NULL },
	{ "state", GR_CONF_STR, "DIR", "/var/lib/griddle/coordinator", 0, 0, NULL, "Folder of the job store and of the caches.", AT(state), NULL },
	{ "keys", GR_CONF_STR, "FILE", NULL, 0, 0, NULL,
	  "This coordinator's key pair (griddle keys new). Without it only loopback and ipc endpoints are allowed.",
	  AT(keys), NULL },
	{ "allow", GR_CONF_STR, "FILE", NULL, 0, 0, NULL, "List of the keys that may connect, and in which role.", AT(allow), NULL },
	{ "cache-bytes", GR_CONF_BYTES, "bytes", "8G", 64ll << 20, 1ll << 50, NULL,
	  "Most the blob cache takes on disk; the least recently used go first.", AT(cache_bytes), NULL },
	{ "ready-file", GR_CONF_STR, "FILE", NULL, 0, 0, NULL,
	  "Written when everything is bound: JSON with endpoint, http, pid and public_key.", AT(ready_file), NULL },
	{ "heartbeat", GR_CONF_MS, "ms", "1s", 50, 60000, NULL, "How often peers are asked whether they live.", AT(heartbeat_ms), NULL },
	{ "dead", GR_CONF_MS, "ms", "5s", 200, 600000, NULL, "A peer silent for so long is given up.", AT(dead_ms), NULL },
	{ "max-peers", GR_CONF_INT, "peers", "4096", 1, 100000, NULL, "Most clients and workers at once.", AT(max_peers), NULL },
	{ "credits", GR_CONF_INT, "tasks", "1024", 16, 65536, NULL,
	  "Tasks a client may have outstanding; one that sends more than twice as many is dropped.", AT(credits), NULL },
	{ "max-sessions", GR_CONF_INT, "sessions", "16", 1, 4096, NULL, "Sessions a client may have open.", AT(max_sessions), NULL },
	{ "session-log-bytes", GR_CONF_BYTES, "bytes", "256M", 1ll << 20, 256ll << 20, NULL,
	  "Most that the logs of a client's sessions may grow to together.", AT(session_log_bytes), NULL },
	{ "session-linger", GR_CONF_MS, "ms", "60s", 0, 3600000, NULL,
	  "How long the session of a client that went away is kept for its return.", AT(session_linger_ms), NULL },
	{ "result-bytes", GR_CONF_BYTES, "bytes", "512M", 1ll << 20, 64ll << 30, NULL,
	  "Most unconfirmed results kept for one client; one that lets more pile up is dropped.", AT(result_bytes), NULL },
	{ "keep-jobs", GR_CONF_MS, "ms", "168h", 1000, 31536000000, NULL,
	  "How long a job is kept after its end, with its output and files, unless it says itself.", AT(keep_jobs_ms), NULL },
	{ "keep-bytes", GR_CONF_BYTES, "bytes", "32G", 0, 1ll << 50, NULL,
	  "Most that files of jobs that are over may take together; those that ended first are removed. 0: no limit.", AT(keep_bytes), NULL },
	{ "job-bytes", GR_CONF_BYTES, "bytes", "64G", 64ll << 20, 1ll << 50, NULL,
	  "Most that files of jobs may take on disk before those that no job names any more go.", AT(job_bytes), NULL },
	{ "history", GR_CONF_STR, "FILE", NULL, 0, 0, NULL,
	  "Append a line to FILE for everything that happens to a job's tasks: what a test checks afterwards.", AT(history), NULL },
	{ "recover", GR_CONF_BOOL, "", "false", 0, 0, NULL,
	  "Save what can be read of a damaged job store into a new one, say what was lost, and end.", AT(recover), NULL },
	{ "settle", GR_CONF_MS, "ms", "5s", 0, 600000, NULL,
	  "How long tasks wait for a worker with their toolchain after the start, or after the last such worker went away.",
	  AT(settle_ms), NULL },
	{ "place-log", GR_CONF_STR, "FILE", NULL, 0, 0, NULL,
	  "Where every delta and decision of placement is logged, for `griddle place replay`; made anew at each start.",
	  AT(place_log), NULL },
	{ "place-log-bytes", GR_CONF_BYTES, "bytes", "1G", 1ll << 20, 1ll << 40, NULL,
	  "How far --place-log may grow; then it ends, and what it holds can still be replayed.", AT(place_log_bytes), NULL },
	{ "work-target", GR_CONF_MS, "ms", "60s", 1000, 86400000, NULL,
	  "/metrics tells as griddle_workers_desired how many workers would do what is queued and running within so long.",
	  AT(work_target_ms), NULL },
	{ "kube-pods", GR_CONF_STR, "SELECTOR", NULL, 0, 0, NULL,
	  "Watch the pods of this namespace that a label selector names (the workers'): deletion, eviction and preemption drain them ahead.",
	  AT(kube_pods), NULL },
	{ "kube-nodes", GR_CONF_BOOL, "", "false", 0, 0, NULL,
	  "Watch the cluster's nodes: cordons, spot notices, zones and machine types.", AT(kube_nodes), NULL },
	{ "kube-scale", GR_CONF_STR, "NAME=MIN..MAX,...", NULL, 0, 0, NULL,
	  "Scale these Deployments of workers with the work, the first named first; pods of busy workers get a deletion cost before a scale-in "
	  "where --kube-pods names them.", AT(kube_scale), NULL },
	{ "kube-scale-down", GR_CONF_MS, "ms", "5m", 1000, 86400000, NULL,
	  "How long fewer workers must have been enough before some go.", AT(kube_scale_down_ms), NULL },
	{ "kube-keys", GR_CONF_STR, "NAME,NAME,NAME", NULL, 0, 0, NULL,
	  "Make the Secrets of the coordinator's, the workers' and the clients' keys in this namespace where they are not there, and end.",
	  AT(kube_keys), NULL },
	{ "kube-api", GR_CONF_STR, "URL", NULL, 0, 0, NULL,
	  "The cluster's API server, https://HOST:PORT; default: as KUBERNETES_SERVICE_HOST and _PORT say.", AT(kube_api), NULL },
	{ "kube-account", GR_CONF_STR, "DIR", "/var/run/secrets/kubernetes.io/serviceaccount", 0, 0, NULL,
	  "Folder with ca.crt, token and namespace; read again when the token is another.", AT(kube_account), NULL },
	{ "kube-namespace", GR_CONF_STR, "NAME", NULL, 0, 0, NULL, "The namespace; default: as that folder says.", AT(kube_namespace), NULL },
	{ "kube-timeout", GR_CONF_MS, "ms", "30s", 100, 600000, NULL, "How long an answer of the API server may take; watches are longer.",
	  AT(kube_timeout_ms), NULL },
	{ "log-level", GR_CONF_ENUM, "", "info", 0, 0, levels, "The finest lines that are logged.", AT(log_level), NULL },
};

/* Where pods find the API server. An IPv6 address is put into brackets. */
static void find_kube(struct gr_coord_config *cfg, char *const *environ_)
{
	const char *host = NULL, *port = "443";
	struct gr_buf b = { 0 };

	for (; *environ_; environ_++) {
		if (!strncmp(*environ_, "KUBERNETES_SERVICE_HOST=", 24))
			host = *environ_ + 24;
		else if (!strncmp(*environ_, "KUBERNETES_SERVICE_PORT=", 24))
			port = *environ_ + 24;
	}
	if (cfg->kube_api || !host || !*host)
		return;
	gr_buf_printf(&b, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
	cfg->kube_api = gr_buf_take(&b, NULL);
}

static void print_help(FILE *out)
{
	fputs("usage: griddle-coordinator [--KEY VALUE]...\n"
	      "The one address that clients and workers connect to: places tasks, passes files and results, tells how things are.\n\n"
	      "  --help         this text        --version      the version\n"
	      "  --help-config  every setting with its default, range and meaning\n"
	      "  --check-config reads the settings, says \"ok\" or what is wrong, and ends\n"
	      "  --config FILE  settings from a JSON object; environment variables GRIDDLE_KEY and flags are stronger\n\n"
	      "One machine:  griddle-coordinator --state /tmp/gc\n"
	      "A cluster:    griddle-coordinator --listen tcp://*:7420 --keys server.key --allow allow.list\n", out);
}

int gr_coord_config_load(struct gr_coord_config *cfg, int argc, char **argv, char *const *environ_, struct gr_err *err)
{
	struct gr_conf *c = &cfg->conf;
	bool is_check;
	int rc;

	memset(cfg, 0, sizeof(*cfg));
	gr_conf_init(c, keys, GR_LEN(keys), cfg);
	if (gr_conf_tell(c, argc, argv, "griddle-coordinator", print_help)) {
		gr_coord_config_free(cfg);
		return 1;
	}
	is_check = gr_conf_take(&argc, argv, "--check-config");
	rc = gr_conf_load_env(c, environ_, err);
	if (rc < 0)
		goto out;
	rc = gr_conf_load_args(c, argc, argv, err);
	if (rc < 0)
		goto out;
	if (rc < argc) {
		rc = gr_err_set(err, GR_EUSAGE, "unexpected word \"%s\"; --help tells what is known", argv[rc]);
		goto out;
	}
	rc = 0;
	if (cfg->dead_ms < 2 * cfg->heartbeat_ms)
		rc = gr_err_set(err, GR_ECONFIG, "dead: %lld ms is less than two heartbeats of %lld ms", (long long)cfg->dead_ms,
				(long long)cfg->heartbeat_ms);
	else if (!!cfg->keys != !!cfg->allow)
		rc = gr_err_set(err, GR_ECONFIG, "keys and allow belong together: %s is missing", cfg->keys ? "allow" : "keys");
	else if (cfg->kube_api && strncmp(cfg->kube_api, "https://", 8))
		rc = gr_err_set(err, GR_ECONFIG, "kube-api: bad value \"%.100s\": wants https://HOST:PORT", cfg->kube_api);
	if (rc >= 0 && cfg->kube_scale)
		rc = gr_kube_check_scale(cfg->kube_scale, err);
	if (rc >= 0 && cfg->kube_keys)
		rc = gr_kube_check_keys(cfg->kube_keys, err);
	if (rc >= 0)
		find_kube(cfg, environ_);
out:
	if (rc >= 0 && is_check) {
		puts("ok");
		rc = 1;
	}
	if (rc)
		gr_coord_config_free(cfg);
	return rc;
}

void gr_coord_config_free(struct gr_coord_config *cfg)
{
	gr_conf_fini(&cfg->conf);
	memset(cfg, 0, sizeof(*cfg));
}
