/**
 * quorum - when copies of a task agree, and whom to trust without copies: BOINC's rule, keyed by (worker, toolchain)
 *
 * A pair counts results in a row that were found valid. Below GR_TRUST_MIN it is never trusted; above, with probability
 * 1 - 1/count at each request, so that looking never stops. An invalid result sets the count to nothing. A task that
 * goes to somebody who is not trusted at that moment is raised to its full number of copies. Of the results that came,
 * a group of at least quorum/2 + 1 that are equal, and quorum results in all, is the canonical one.
 *
 * Equal are those of equal digests, and where the user has a comparator (BOINC's check_pair) those that it found equal. Such
 * equality need not be transitive: so a group has a first result, and each other one is compared with that, never with its
 * neighbours. Nothing is decided while a result belongs to no group: what is not equal to the canonical one costs its worker the
 * trust, which a difference of bytes alone must not.
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
	uint32_t n_lied;                  /* of them, those with n_valid 0 */
	struct gr_rng rng;
};
struct gr_trust_row {
	uint64_t key[2];                  /* worker, toolchain */
	uint32_t n_valid;                 /* consecutive */
};
void gr_trust_init(struct gr_trust *t, uint64_t seed);
void gr_trust_fini(struct gr_trust *t);
uint32_t gr_trust_valid(const struct gr_trust *t, uint64_t worker, uint64_t toolchain);
/* Its last result was found invalid: others are to be asked before it. */
bool gr_trust_lied(const struct gr_trust *t, uint64_t worker, uint64_t toolchain);
/* Asked once for each copy that is to be sent: may it go alone? */
bool gr_trust_ask(struct gr_trust *t, uint64_t worker, uint64_t toolchain);
/* Return: the new count. */
uint32_t gr_trust_tell(struct gr_trust *t, uint64_t worker, uint64_t toolchain, bool is_valid);
void gr_trust_set(struct gr_trust *t, uint64_t worker, uint64_t toolchain, uint32_t n_valid);   /* as it was stored */

#define GR_QUORUM_MAX 16u                 /* results of a task */
#define GR_QUORUM_NO_KIN 0xffu

struct gr_qresult {                       /* what a copy brought */
	struct gr_digest digest;
	uint16_t same, differs;           /* found so by the comparator: bits by index of the other, set on both sides */
};
enum gr_quorum { GR_QUORUM_MET, GR_QUORUM_SHORT, GR_QUORUM_COMPARE };
struct gr_qview {
	uint8_t kin[GR_QUORUM_MAX];       /* of each result: index of the first of its group; GR_QUORUM_NO_KIN: not known yet */
	uint32_t canonical;               /* MET: index of the result that stands, the first of its group */
	uint32_t of, against;             /* COMPARE: the two that are to be compared next; against: the first of a group */
};
/**
 * gr_quorum_check - do these results settle it?
 * @results:  in the order they came, @n of them, at most GR_QUORUM_MAX
 * @quorum:   how many are wanted
 * @is_fuzzy: there is a comparator, different digests may be equal
 * O(n * n). Return: MET; SHORT: more results are needed; COMPARE: a verdict is.
 */
enum gr_quorum gr_quorum_check(const struct gr_qresult *results, uint32_t n, uint32_t quorum, bool is_fuzzy, struct gr_qview *out);
