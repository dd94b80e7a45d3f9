/**
 * config - the agent's table of settings
 */
#include <stddef.h>
#include <string.h>
#include "client/agent/config.h"

static const char *const compress_choices[] = { "auto", "always", "never", NULL };
static const char *const remote_choices[] = { "auto", "always", "never", NULL };

#define AT(field) offsetof(struct gr_agent_conf, field)
const struct gr_conf_key gr_agent_keys[] = {
	{ "coordinator", GR_CONF_STR, "", NULL, 0, 0, NULL,
	  "Endpoint of the coordinator, tcp://host:port or ipc://path; unset: what `griddle up` left in the runtime folder.", AT(coordinator), NULL },
	{ "socket", GR_CONF_STR, "", NULL, 0, 0, NULL, "Socket on which griddle-cc asks; unset: RUNTIME/agent.sock.", AT(socket), NULL },
	{ "state", GR_CONF_STR, "", NULL, 0, 0, NULL, "Folder of the action cache; unset: STATE/agent.", AT(state), NULL },
	{ "keys", GR_CONF_STR, "", NULL, 0, 0, NULL, "File with the agent's key pair (`griddle keys new`); unset: plain, loopback and ipc only.", AT(keys), NULL },
	{ "server-key", GR_CONF_STR, "", NULL, 0, 0, NULL, "The coordinator's public key, 40 characters.", AT(server_key), NULL },
	{ "remote", GR_CONF_ENUM, "", "auto", 0, 0, remote_choices,
	  "auto: small numbers of compiles stay on this machine; always: send all that can go; never: send none.", AT(remote), NULL },
	{ "compress", GR_CONF_ENUM, "", "auto", 0, 0, compress_choices, "Files on their way to the cluster: auto packs them unless the coordinator is on this machine.",
	  AT(compress), NULL },
	{ "cache", GR_CONF_BOOL, "", "true", 0, 0, NULL, "Look units up in the local action cache and keep results in it.", AT(has_cache), NULL },
	{ "cache-bytes", GR_CONF_BYTES, "bytes", "2G", 0, (int64_t)1 << 50, NULL, "Size of the local action cache; 0 turns it off.", AT(cache_bytes), NULL },
	{ "local-slots", GR_CONF_INT, "compiles", "0", 0, 4096, NULL, "Compiles that run here at once when they cannot go; 0: one a core.", AT(local_slots), NULL },
	{ "reconnect-wait", GR_CONF_MS, "ms", "10s", 0, 3600000, NULL,
	  "So long units wait for a lost coordinator before they run here.", AT(reconnect_wait_ms), NULL },
	{ "unit-timeout", GR_CONF_MS, "ms", "600s", 1000, 86400000, NULL, "A unit that is away longer is cancelled and run here.", AT(unit_timeout_ms), NULL },
	{ "session-idle", GR_CONF_MS, "ms", "900s", 1000, 86400000, NULL,
	  "Without compiles for so long, the workers may forget this machine's files.", AT(session_idle_ms), NULL },
	{ "idle-exit", GR_CONF_MS, "ms", "0", 0, 86400000, NULL, "End after so long without compiles; 0: never.", AT(idle_exit_ms), NULL },
	{ "ready-file", GR_CONF_STR, "", NULL, 0, 0, NULL, "Written when the socket is there: JSON with socket and pid.", AT(ready_file), NULL },
	{ "log", GR_CONF_STR, "", "info", 0, 0, NULL, "Finest messages printed: error, warn, info or debug.", AT(log), NULL },
	{ "status", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Print what the running agent says of itself, as JSON, and end.", AT(show_status), NULL },
	{ "stop", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Tell the running agent to end, and end.", AT(stop), NULL },
};
const size_t gr_agent_n_keys = sizeof(gr_agent_keys) / sizeof(gr_agent_keys[0]);

int gr_remote_parse(const char *text)
{
	int i;

	for (i = 0; remote_choices[i]; i++)
		if (!strcmp(remote_choices[i], text))
			return i;
	return GR_EINVAL;
}
