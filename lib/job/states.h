/**
 * states - the state of each of a job's tasks, four bits a task, and nothing where a whole block agrees
 *
 * A block of 4096 tasks that are all in one state is one byte; one that is mixed has 2 KiB of its own, given back when it
 * agrees again. A million tasks take some KiB when they are submitted, and half a MiB at most. Counts are kept.
 * Ranges are set block by block. Pure; thread: any, one at a time.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define GR_STATES_N 16u
struct gr_states {
	uint32_t n, n_blocks;
	uint8_t *uniform;                 /* of a block without nibbles: its state */
	uint8_t **nibbles;                /* NULL: uniform */
	uint32_t count[GR_STATES_N];
};
void gr_states_init(struct gr_states *s, uint32_t n, uint8_t state);
void gr_states_fini(struct gr_states *s);
uint8_t gr_states_get(const struct gr_states *s, uint32_t i);
void gr_states_set(struct gr_states *s, uint32_t i, uint8_t state);
void gr_states_set_range(struct gr_states *s, uint32_t first, uint32_t count, uint8_t state);
/* The next run of tasks at or behind @from, before @end, whose states are in @mask (1 << state) and all the same. Return: its
 * length, 0 when there is none. */
uint32_t gr_states_run(const struct gr_states *s, uint32_t from, uint32_t end, uint32_t mask, uint32_t *first, uint8_t *state);
uint64_t gr_states_bytes(const struct gr_states *s);
