/**
 * session - the agent's end of a session: which strings and file facts have got which record id
 *
 * Interns strings and facts about files into the session's log (docs/decisions/0001). The log is kept in memory, so
 * that it can be sent again from any index to a coordinator that has lost it. A fact that changed is a new record;
 * gr_session_fact gives the id of the newest. What lies in the log and was not sent yet goes out with
 * gr_session_flush, before the task that names it.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"
#include "lib/base/rng.h"
#include "lib/wire/msg.h"

struct gr_session;
struct gr_session *gr_session_new(struct gr_rng *rng);
void gr_session_free(struct gr_session **s);
uint64_t gr_session_id(const struct gr_session *s);
uint32_t gr_session_n_records(const struct gr_session *s);
uint64_t gr_session_next_task(struct gr_session *s);       /* 1, 2, ... */
/* True when another unit's records might not fit the limits of the wire: begin a new session. */
bool gr_session_is_full(const struct gr_session *s);

/* The id of the record for these bytes, made when new. O(1). @str <= GR_WIRE_MAX_STR_BYTES, else GR_SESSION_NO_ID. */
#define GR_SESSION_NO_ID UINT32_MAX
uint32_t gr_session_str(struct gr_session *s, struct gr_slice str);

struct gr_fact {
	struct gr_slice path;           /* absolute, clean */
	enum gr_file_kind kind;
	bool is_exec;                   /* REG */
	uint64_t size;                  /* REG */
	struct gr_digest digest;        /* REG */
	struct gr_slice target;         /* LINK */
};
/* The id of the newest record that says exactly this of the path, made when the last one said something else.
 * GR_SESSION_NO_ID for a path that is not safe. */
uint32_t gr_session_fact(struct gr_session *s, const struct gr_fact *f);
/* True when the session has told of the path before (so that its absence must be told too). */
bool gr_session_knows(const struct gr_session *s, struct gr_slice path);
/* Which file had this content last; an empty slice when the session never named the digest. Borrowed. */
struct gr_slice gr_session_path_of(const struct gr_session *s, const struct gr_digest *d);

/* The other side has @n_records; false when that is more than there are (it speaks of another log). */
bool gr_session_rewind(struct gr_session *s, uint32_t n_records);
/* Appends LOG frames for all that was not sent to @send, one call a frame. Return: 0, or what @send returned. */
int gr_session_flush(struct gr_session *s, int (*send)(void *ctx, struct gr_buf *frame), void *ctx);
