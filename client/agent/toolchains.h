/**
 * toolchains - which compilers there are behind the paths wrappers name, and their header search lists
 *
 * Probing and asking a compiler for its search list run it and take tens of milliseconds: both happen in a thread of
 * libuv's pool, one job a compiler at a time, while the units that need it wait in state TOOLCHAIN. A compiler is
 * looked at again (a few stats) when it was not for a second; one that changed is probed anew.
 */
#pragma once
#include <jansson.h>
#include "client/agent/agent.h"
#include "lib/cc/toolchain.h"

struct gr_toolchain_ref {
	char *path;                       /* as the wrapper found it */
	struct gr_cc_toolchain *t;        /* NULL: not probed yet, or no compiler we know */
	char *reason;                     /* why units of it run locally; NULL when t is good */
	uint8_t tool;                     /* number in the file table */
	bool is_busy;                     /* a thread works on it: t is the thread's */
	uint64_t checked_ns;
	struct gr_map searches;           /* search key and language -> struct gr_search */
};

void gr_toolchains_open(struct gr_agent *a);
void gr_toolchains_wait(struct gr_agent *a);       /* runs the loop until no thread works */
void gr_toolchains_close(struct gr_agent *a);      /* after it */
/**
 * gr_toolchains_get - the compiler of u->req.exe
 * Return: 1 and u->toolchain with a probed `t`; 0: u waits in state TOOLCHAIN and gr_unit_toolchain_ready comes;
 * GR_EUNSUP: u->toolchain->reason says why its units run locally.
 */
int gr_toolchains_get(struct gr_unit *u) GR_MUST_CHECK;
/* Search list for the unit's parsed command. Return: 1 with *out (borrowed, as long as the toolchain); 0 and GR_EUNSUP as above. */
int gr_toolchains_search(struct gr_unit *u, const struct gr_cc_cmd *cmd, const struct gr_cc_search **out) GR_MUST_CHECK;
json_t *gr_toolchains_json(const struct gr_agent *a);
