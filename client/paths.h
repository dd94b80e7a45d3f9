/**
 * paths - where the client side keeps its things
 *
 *   runtime  $GRIDDLE_RUNTIME_DIR, or $XDG_RUNTIME_DIR/griddle, or /tmp/griddle-UID    sockets, cluster.json; 0700, ours
 *   state    $GRIDDLE_STATE_DIR, or $XDG_STATE_HOME/griddle, or ~/.local/state/griddle logs, caches of `griddle up`
 *   config   $GRIDDLE_CONFIG_DIR, or $XDG_CONFIG_HOME/griddle, or ~/.config/griddle    config.json, keys
 */
#pragma once
#include "lib/base/err.h"

struct gr_paths {
	char *runtime, *state, *config;     /* absolute */
	char *socket;                       /* $GRIDDLE_SOCKET or RUNTIME/agent.sock */
	char *cluster;                      /* RUNTIME/cluster.json */
};

/**
 * gr_paths_init - read the environment; makes the runtime folder (0700) and checks that it is ours alone
 * The other folders are made by who writes there. Errors: GR_ECONFIG (a relative or too long path, no home),
 * GR_EAUTH (the runtime folder is somebody else's or open to others).
 */
int gr_paths_init(struct gr_paths *p, struct gr_err *err) GR_MUST_CHECK;
void gr_paths_fini(struct gr_paths *p);

/* "DIR/NAME"; free it. */
char *gr_paths_below(const char *dir, const char *name);
/* A program of griddle: beside our own binary, else in PATH. GR_ENOENT. */
int gr_paths_sibling(const char *program, char **out, struct gr_err *err) GR_MUST_CHECK;
