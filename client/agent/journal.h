/**
 * journal - an append-only file of checked records, read back whole at the start
 *
 * A record is {length u32, check u32, bytes}. What a crash left half-written at the end is cut off when the file is
 * opened. Nothing is synced: losing the last records loses cache entries and nothing else.
 */
#pragma once
#include "lib/base/buf.h"
#include "lib/base/err.h"

struct gr_journal;
/* Takes a lock on the file: GR_EBUSY when another process has it. @each is called for each record, in order. */
int gr_journal_open(const char *path, void (*each)(void *ctx, struct gr_slice record), void *ctx, struct gr_journal **out,
		    struct gr_err *err) GR_MUST_CHECK;
void gr_journal_close(struct gr_journal **j);
/* GR_ENOSPACE and other LOCAL errors: the file is as before. */
int gr_journal_add(struct gr_journal *j, struct gr_slice record) GR_MUST_CHECK;
uint64_t gr_journal_bytes(const struct gr_journal *j);
/* Empties it; what is to stay is added again by the caller. */
int gr_journal_reset(struct gr_journal *j) GR_MUST_CHECK;
