/**
 * progress - one line on stderr while a build runs
 *
 * On a terminal the last row is taken out of the scrolling region and holds the line, so that make's own lines scroll
 * above it undisturbed; elsewhere a plain line every 10 s. Nothing is printed with TERM=dumb on a terminal.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "client/agent/control.h"

struct gr_progress;
/* @fd: stderr. @other_fd: stdout, which must be the same kind for the terminal form. */
struct gr_progress *gr_progress_new(int fd, int other_fd);
/* @p NULL: the agent is gone. @elapsed_ms: since the start. Called about every 500 ms; prints when it is time to. */
void gr_progress_update(struct gr_progress *v, const struct gr_control_progress *p, uint64_t elapsed_ms);
void gr_progress_free(struct gr_progress **v);   /* gives the terminal back */
