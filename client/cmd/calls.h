/**
 * calls - what the wrappers of a build kept here without asking the agent (client/cc/note.h), counted
 *
 * One file a build in the runtime folder, named as the build. Read as it grows; what a line claims is bounded, and a
 * line that is none is passed over.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "lib/base/err.h"

struct gr_calls;
/**
 * gr_calls_open - make the file; those of builds whose `griddle make` was killed are removed
 * @dir: the runtime folder      @id: "make-PID-STARTTIME"
 */
int gr_calls_open(const char *dir, const char *id, struct gr_calls **out, struct gr_err *err) GR_MUST_CHECK;
void gr_calls_close(struct gr_calls **c);                    /* removes it */
const char *gr_calls_path(const struct gr_calls *c);        /* for GRIDDLE_CALLS */
void gr_calls_read(struct gr_calls *c);                      /* what was added since */
uint64_t gr_calls_n_units(const struct gr_calls *c);         /* translation units among those read */
/**
 * gr_calls_add_to - into a summary of gr_control_summary
 * Units are added to "local", "reasons" and "locals"; other calls become "other": n and "other_reasons": {text: n}.
 */
void gr_calls_add_to(struct gr_calls *c, json_t *summary);
