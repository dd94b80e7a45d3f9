/**
 * replay - a decision log again: the same calls on a new state, and whether it decides the same
 *
 * The log is what gr_place_config.log was given (docs/placement.md#log). A log that ends in the middle of a record is
 * replayed as far as it goes.
 */
#pragma once
#include "lib/place/place.h"

struct gr_place_replay {
	uint64_t n_records, n_decisions;
	uint64_t seed;
	size_t n_bytes;                   /* of the log that were replayed */
	bool is_same;                     /* every id and decision came out as it is in the log */
	size_t differs_at;                /* offset of the first record that did not */
	uint64_t now_ns;                  /* of the last call that said it */
};
/**
 * gr_place_replay - replays @n bytes at @log
 * @on_decision: called for each decision in order, with the time of its call; may be NULL
 * Return: 0; GR_EPROTO (not a log, or damaged: out->n_bytes says where), GR_EVERSION.
 */
int gr_place_replay(const uint8_t *log, size_t n, void (*on_decision)(void *ctx, uint64_t now_ns, const struct gr_place_decision *d),
		    void *ctx, struct gr_place_replay *out) GR_MUST_CHECK;
