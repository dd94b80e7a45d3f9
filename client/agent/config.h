/**
 * config - the agent's settings, read once
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/err.h"
#include "lib/conf/conf.h"

enum gr_agent_compress { GR_COMPRESS_AUTO, GR_COMPRESS_ALWAYS, GR_COMPRESS_NEVER };
enum gr_agent_remote { GR_REMOTE_AUTO, GR_REMOTE_ALWAYS, GR_REMOTE_NEVER };
struct gr_agent_conf {
	char *coordinator, *socket, *state, *keys, *server_key, *ready_file, *log;
	int64_t remote, compress, cache_bytes, idle_exit_ms, reconnect_wait_ms, unit_timeout_ms, local_slots, session_idle_ms;
	bool show_status, stop, has_cache;
	bool is_loopback;               /* the coordinator is on this machine: nothing is compressed */
	const char *runtime;            /* folder, owned elsewhere */
};
extern const struct gr_conf_key gr_agent_keys[];
extern const size_t gr_agent_n_keys;
int gr_remote_parse(const char *text);    /* enum gr_agent_remote, or GR_EINVAL */
