/**
 * target - which coordinator a command talks to, and one question to it
 *
 * The coordinator is --coordinator or GRIDDLE_COORDINATOR, else what `griddle up` wrote into cluster.json.
 */
#pragma once
#include <jansson.h>
#include "client/cluster.h"
#include "client/paths.h"
#include "lib/conf/conf.h"

struct gr_target_opts {
	char *coordinator, *keys, *server_key;
};
/* The rows of a command's option table; @type is its struct, which holds `struct gr_target_opts target`. */
#define GR_TARGET_KEYS_AT(type, member) \
	{ "coordinator", GR_CONF_STR, "ENDPOINT", NULL, 0, 0, NULL, \
	  "The coordinator, tcp://HOST:PORT. Default: the one `griddle up` started.", offsetof(type, member.coordinator), NULL }, \
	{ "keys", GR_CONF_STR, "FILE", NULL, 0, 0, NULL, \
	  "This user's key pair. Default: client.key in the configuration folder.", offsetof(type, member.keys), NULL }, \
	{ "server-key", GR_CONF_STR, "KEY", NULL, 0, 0, NULL, \
	  "The coordinator's public key; needed beyond loopback.", offsetof(type, member.server_key), NULL }
#define GR_TARGET_KEYS(type) GR_TARGET_KEYS_AT(type, target)

struct gr_target {
	char *endpoint, *keys, *server_key;   /* keys and server_key NULL: plain */
	bool is_up_cluster;                   /* from cluster.json */
	struct gr_cluster cluster;            /* as loaded; empty when there is none */
};
/* GR_EUNREACH with "run `griddle up` first" when no coordinator is configured. */
int gr_target_resolve(struct gr_target *t, const struct gr_target_opts *o, const struct gr_paths *p, struct gr_err *err)
	GR_MUST_CHECK;
void gr_target_fini(struct gr_target *t);

/**
 * gr_target_call - connect, ask @op (CTL_REQ), take the answer (CTL_REP), within @limit_ms
 * @rep: a new reference
 * Errors: GR_EUNREACH, GR_EAUTH, GR_EROLE, GR_EVERSION, GR_ETIME; what the coordinator refused keeps its text.
 */
int gr_target_call(const struct gr_target *t, const char *op, int limit_ms, json_t **rep, struct gr_err *err) GR_MUST_CHECK;
