/**
 * recent - the last ten minutes by the second, and the last attempts one by one, for those who look
 *
 * Both are rings of fixed size. Thread: the loop's.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define GR_RECENT_SECONDS 600u
#define GR_RECENT_ATTEMPTS 4096u
#define GR_RECENT_A_SECOND (GR_RECENT_ATTEMPTS / 4)    /* a page asks every two seconds: more would be gone before it saw them */

struct gr_recent;
struct gr_recent_sample {              /* counters as they stand; the ring keeps what they rose by */
	uint64_t ended, failed;
	uint32_t running, queued, slots;
};
struct gr_recent_attempt {
	const char *kind;              /* constant: "compile", "command" */
	const char *worker, *name;     /* copied, cut to 63 and 79 bytes */
	uint64_t job, task;
	uint32_t attempt;
};

struct gr_recent *gr_recent_new(void);
void gr_recent_free(struct gr_recent **r);
/* Every second. */
void gr_recent_sample(struct gr_recent *r, uint64_t now_real_ms, const struct gr_recent_sample *s);
/* The next attempt that begins is kept: not of those beyond GR_RECENT_A_SECOND since the last sample. False when @r is NULL. */
bool gr_recent_has_room(const struct gr_recent *r);
/* An attempt began. Return: its number; 0 when it is not kept. */
uint64_t gr_recent_begin(struct gr_recent *r, uint64_t now_real_ms, const struct gr_recent_attempt *a);
/* The attempt (job, task, attempt) ended; nothing happens when it is no longer kept. @cause: constant. */
void gr_recent_end(struct gr_recent *r, uint64_t now_real_ms, uint64_t job, uint64_t task, uint32_t attempt, const char *cause,
		   int exit_code);
json_t *gr_recent_history_json(const struct gr_recent *r, uint64_t now_real_ms);
/* What changed behind @after (the last answer's "next"; 0 for all that is kept). */
json_t *gr_recent_timeline_json(const struct gr_recent *r, uint64_t now_real_ms, uint64_t after);
