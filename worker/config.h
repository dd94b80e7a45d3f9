/**
 * config - the worker's settings; read once, const afterwards
 */
#pragma once
#include "lib/conf/conf.h"

enum gr_worker_sandbox { GR_SANDBOX_AUTO, GR_SANDBOX_WANT_NAMESPACE, GR_SANDBOX_WANT_CHROOT, GR_SANDBOX_WANT_LANDLOCK };
enum gr_worker_require { GR_REQUIRE_ANY, GR_REQUIRE_LANDLOCK, GR_REQUIRE_CHROOT, GR_REQUIRE_NAMESPACE };
enum gr_worker_commands { GR_COMMANDS_AUTO, GR_COMMANDS_OFF };
enum gr_worker_cgroups { GR_CGROUPS_AUTO, GR_CGROUPS_OFF };
enum gr_worker_compress { GR_COMPRESS_AUTO, GR_COMPRESS_ON, GR_COMPRESS_OFF };

struct gr_worker_config {
	char *coordinator, *state, *name, *keys, *server_key, *toolchains, *ready_file, *node, *zone, *pod, *pod_uid, *namespace, *qos, *downward;
	char *probe, *command_show, *labels;
	int64_t slots, prefetch, sandbox, require_sandbox, user, cache_bytes, tree_bytes, tmp_bytes, grace_ms, task_timeout_ms;
	int64_t commands, cgroups, gpu_milli, kill_grace_ms;
	int64_t session_idle_ms, task_mem_bytes, compress, log_level;
	struct gr_conf conf;
};

/**
 * gr_worker_config_load - defaults, file, environment, command line
 * Return: 0; 1 when a --help or --version was printed and the program shall end; GR_ECONFIG, GR_EUSAGE.
 */
int gr_worker_config_load(struct gr_worker_config *cfg, int argc, char **argv, char *const *environ_,
			  struct gr_err *err) GR_MUST_CHECK;
void gr_worker_config_free(struct gr_worker_config *cfg);
