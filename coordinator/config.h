/**
 * config - the coordinator's settings; read once, const afterwards
 */
#pragma once
#include "lib/conf/conf.h"

struct gr_coord_config {
	char *listen, *http, *state, *keys, *allow, *ready_file, *http_tokens, *place_log, *history,
		*kube_api, *kube_account, *kube_namespace, *kube_pods, *kube_scale, *kube_keys;
	bool recover, http_anywhere, kube_nodes;
	int64_t cache_bytes, heartbeat_ms, dead_ms, max_peers, credits, max_sessions, session_log_bytes, session_linger_ms,
		result_bytes, settle_ms, log_level, place_log_bytes, work_target_ms, keep_jobs_ms, keep_bytes, job_bytes,
		kube_scale_down_ms, kube_timeout_ms;
	struct gr_conf conf;       /* the view that owns the strings above */
};
/* Fills @cfg from defaults, a file, the environment and @argv. Return: 0; 1 when only help or the version was asked for
 * (printed); GR_ECONFIG, GR_EUSAGE. */
int gr_coord_config_load(struct gr_coord_config *cfg, int argc, char **argv, char *const *environ_, struct gr_err *err)
	GR_MUST_CHECK;
void gr_coord_config_free(struct gr_coord_config *cfg);
