/**
 * quorum - when copies of a task agree, and whom to trust without copies: BOINC's rule, keyed by (worker, toolchain)
 *
 * A pair counts results in a row that were found valid. Below GR_TRUST_MIN it is never trusted; above, with probability
 * 1 - 1/count at each request, so that looking never stops. An invalid result sets the count to nothing. A task that
 * goes to somebody who is not trusted at that moment is raised to its full number of copies. Of the results that came,
 * a group of at least quorum/2 + 1 that are equal, and quorum results in all, is the canonical one.
 * Source: BOINC sched/sched_send.cpp, validate_util2.cpp. Pure and seeded; thread: any, one at a time.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/map.h"
#include "lib/base/rng.h"
#include "lib/base/sha256.h"

#define GR_TRUST_MIN 10u

struct gr_trust {
	struct gr_map rows;               /* key -> struct gr_trust_row */
	struct gr_rng rng;
};
struct gr_trust_row {
	uint64_t key[2];                  /* worker, toolchain */
	uint32_t n_valid;                 /* consecutive */
};
void gr_trust_init(struct gr_trust *t, uint64_t seed);
void gr_trust_fini(struct gr_trust *t);
uint32_t gr_trust_valid(const struct gr_trust *t, uint64_t worker, uint64_t toolchain);
/* Asked once for each copy that is to be sent: may it go alone? */
bool gr_trust_ask(struct gr_trust *t, uint64_t worker, uint64_t toolchain);
/* Return: the new count. */
uint32_t gr_trust_tell(struct gr_trust *t, uint64_t worker, uint64_t toolchain, bool is_valid);
void gr_trust_set(struct gr_trust *t, uint64_t worker, uint64_t toolchain, uint32_t n_valid);   /* as it was stored */

/**
 * gr_quorum_check - do these results settle it?
 * @results: what each copy brought, @n of them
 * @quorum:  how many are wanted
 * Return: the index of a canonical one; GR_EBUSY when more results are needed.
 */
int gr_quorum_check(const struct gr_digest *results, uint32_t n, uint32_t quorum) GR_MUST_CHECK;
