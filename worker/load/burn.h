/**
 * burn - stress-ng beside a load test: a process group that is ended when its time is over
 */
#pragma once
#include <sys/types.h>
#include "lib/base/err.h"
#include "lib/load/plan.h"

/* Where it is, or NULL. Static storage. */
const char *gr_burn_program(void);
/* The process group, which is the leader's pid. GR_ENOENT without stress-ng, GR_EIO. */
int gr_burn_start(const struct gr_load_burn *b, pid_t *pid, struct gr_err *err) GR_MUST_CHECK;
/* Has it ended? Its exit code, or 128 + signal; -1 while it runs. */
int gr_burn_poll(pid_t pid);
void gr_burn_end(pid_t pid);                          /* kills the group and reaps the leader */
