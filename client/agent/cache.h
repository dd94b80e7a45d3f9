/**
 * cache - the action cache of this user on this machine: what a compile with these inputs gave before
 *
 * docs/decisions/0003. Key 1 (toolchain, words, folder, source) leads to at most a few lists of files that such a
 * compile really read; key 2 covers what is in those files now and what their include directives resolve to now. Key 2
 * names a stored result: streams and outputs. Blobs lie in a gr_cas, the lists in a journal beside it.
 */
#pragma once
#include <jansson.h>
#include "client/agent/agent.h"
#include "client/agent/plan.h"

struct gr_cache;
/* Off (a->cache stays NULL) when cache-bytes is 0 or the folder cannot be used; the latter is logged. */
void gr_cache_open(struct gr_agent *a);
void gr_cache_close(struct gr_agent *a);

struct gr_cached {
	struct gr_buf bytes;                       /* holds all below */
	struct gr_slice out, err;
	uint32_t n_outputs;
	struct { uint32_t index; struct gr_slice data; } outputs[GR_CC_MAX_SIDE_OUTPUTS];
};
/* After gr_plan_close of this unit, nothing in between. Return: 1 a hit, 0 none. */
int gr_cache_find(struct gr_unit *u, struct gr_cached *out) GR_MUST_CHECK;
void gr_cached_fini(struct gr_cached *c);
/**
 * gr_cache_store - keep what a compile gave; a file that cannot be kept is no error, only no entry
 * @depfile: its text, or empty when there is none: then the whole closure counts as read
 * The closure is computed anew here and compared with the one the task was made from.
 */
void gr_cache_store(struct gr_unit *u, const struct gr_cached *what, struct gr_slice depfile);
json_t *gr_cache_json(const struct gr_agent *a);
