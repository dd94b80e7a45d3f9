/**
 * start_agent - see that this user's agent runs, as `griddle up` and `griddle make` need it
 */
#pragma once
#include "client/cluster.h"
#include "client/cmd/target.h"
#include "client/paths.h"

/**
 * gr_start_agent - nothing when one listens at the socket and serves @t, else start it detached and wait for the socket
 * @p: filled when one was started
 * Return: 1 started, 0 was there; GR_ESTATE when the running one serves another coordinator, or why it did not start.
 */
int gr_start_agent(const struct gr_target *t, const struct gr_paths *paths, struct gr_cluster_proc *p, struct gr_err *err)
	GR_MUST_CHECK;
