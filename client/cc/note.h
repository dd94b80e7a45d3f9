/**
 * note - the wrapper's word about what it kept here, for the build's summary
 *
 * `griddle make` makes a file and names it in GRIDDLE_CALLS. A wrapper that runs the compiler without the agent having
 * counted it (its own triage, no agent, no answer) appends one line, in one write, which on a local file system never
 * mixes with another's:
 *
 *   KIND REASON TAB SOURCE NEWLINE        KIND: 'u' a translation unit, 'c' another call (a link, a probe, -E, --version)
 *
 * No lock, no answer, no waiting: the agent is not asked and its death loses nothing. Whatever fails is ignored; what
 * the compiler does never depends on it. Not kept: a datagram to the agent (10 us of its CPU for each of a kernel's
 * probes, and lost when it is stopped), counters in shared memory (a page fault, and no names).
 */
#pragma once
#include <stdbool.h>

#define GR_NOTE_ENV "GRIDDLE_CALLS"
#define GR_NOTE_MAX_LINE 512
#define GR_NOTE_MAX_FILE (32u << 20)      /* then nothing is added any more */

/* ~3 us: open, lseek, write, close. @path NULL or "": nothing. */
void gr_note_call(const char *path, bool is_unit, const char *reason, const char *source);
