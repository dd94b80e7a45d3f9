/**
 * make_run - run make in a process group of its own, with the terminal, and watch it to its end
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "client/agent/control.h"
#include "client/cmd/calls.h"
#include "client/cmd/make_args.h"

struct gr_make_result {
	int exit_code;                 /* make's; 128 + N when signal N ended it */
	bool is_interrupted;           /* by Ctrl-C, SIGINT or SIGTERM, to us or to it */
	uint64_t wall_ms, cpu_ms;      /* CPU: make and all it waited for */
};
/**
 * gr_make_run - blocks until make has ended
 * @control: polled for the progress line; NULL none
 * @calls: read as it grows, for the same line; NULL none
 * @rfd, @wfd: job server pipe that make inherits, -1 none
 * SIGINT and SIGTERM go to make's group; a second one ends it hard. Errors LOCAL: make cannot be started.
 */
int gr_make_run(const struct gr_make_args *m, struct gr_control *control, struct gr_calls *calls, int rfd, int wfd,
		struct gr_make_result *out, struct gr_err *err) GR_MUST_CHECK;
