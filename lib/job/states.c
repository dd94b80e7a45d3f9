/* states.c - see states.h */
#include "lib/job/states.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

#define BLOCK 4096u
#define BLOCK_BYTES (BLOCK / 2)

static uint32_t block_n(const struct gr_states *s, uint32_t b)
{
	return b + 1 < s->n_blocks ? BLOCK : s->n - b * BLOCK;
}

void gr_states_init(struct gr_states *s, uint32_t n, uint8_t state)
{
	memset(s, 0, sizeof(*s));
	s->n = n;
	s->n_blocks = (n + BLOCK - 1) / BLOCK;
	s->uniform = gr_xalloc(s->n_blocks + 1);
	s->nibbles = gr_xalloc((s->n_blocks + 1) * sizeof(*s->nibbles));
	memset(s->uniform, state, s->n_blocks);
	s->count[state] = n;
}

void gr_states_fini(struct gr_states *s)
{
	for (uint32_t b = 0; b < s->n_blocks; b++)
		free(s->nibbles[b]);
	free(s->nibbles);
	free(s->uniform);
	memset(s, 0, sizeof(*s));
}

static uint8_t nibble(const uint8_t *p, uint32_t i)
{
	return i & 1 ? p[i / 2] >> 4 : p[i / 2] & 15;
}

uint8_t gr_states_get(const struct gr_states *s, uint32_t i)
{
	const uint8_t *p = s->nibbles[i / BLOCK];

	return p ? nibble(p, i % BLOCK) : s->uniform[i / BLOCK];
}

/* A block that agrees needs no nibbles; looked for when its first and last task do, which is seldom in vain. */
static void settle(struct gr_states *s, uint32_t b)
{
	uint8_t *p = s->nibbles[b], state;
	uint32_t n = block_n(s, b);

	state = nibble(p, 0);
	if (nibble(p, n - 1) != state || nibble(p, n / 2) != state)
		return;
	if (n > 1 && (p[0] != (uint8_t)(state | state << 4) || memcmp(p, p + 1, n / 2 - 1)))
		return;
	free(p);
	s->nibbles[b] = NULL;
	s->uniform[b] = state;
}

void gr_states_set(struct gr_states *s, uint32_t i, uint8_t state)
{
	uint32_t b = i / BLOCK, k = i % BLOCK;
	uint8_t was = gr_states_get(s, i), *p = s->nibbles[b];

	if (was == state)
		return;
	if (!p) {
		p = s->nibbles[b] = gr_xalloc(BLOCK_BYTES);
		memset(p, was | was << 4, BLOCK_BYTES);
	}
	p[k / 2] = k & 1 ? (uint8_t)((p[k / 2] & 15) | state << 4) : (uint8_t)((p[k / 2] & 0xf0) | state);
	s->count[was]--;
	s->count[state]++;
	settle(s, b);
}

void gr_states_set_range(struct gr_states *s, uint32_t first, uint32_t count, uint8_t state)
{
	while (count) {
		uint32_t b = first / BLOCK, n = block_n(s, b);

		if (first % BLOCK || count < n) {
			gr_states_set(s, first++, state);
			count--;
			continue;
		}
		if (s->nibbles[b])
			for (uint32_t i = 0; i < n; i++)
				s->count[nibble(s->nibbles[b], i)]--;
		else
			s->count[s->uniform[b]] -= n;
		free(s->nibbles[b]);
		s->nibbles[b] = NULL;
		s->uniform[b] = state;
		s->count[state] += n;
		first += n;
		count -= n;
	}
}

uint32_t gr_states_run(const struct gr_states *s, uint32_t from, uint32_t end, uint32_t mask, uint32_t *first, uint8_t *state)
{
	uint32_t i = from, to;
	uint8_t want;

	while (i < end && !(mask >> gr_states_get(s, i) & 1))
		i = s->nibbles[i / BLOCK] ? i + 1 : (i / BLOCK + 1) * BLOCK;
	if (i >= end)
		return 0;
	want = gr_states_get(s, i);
	for (to = i; to < end && gr_states_get(s, to) == want;)
		to = s->nibbles[to / BLOCK] ? to + 1 : (to / BLOCK + 1) * BLOCK;
	if (to > end)
		to = end;
	*first = i;
	if (state)
		*state = want;
	return to - i;
}

uint64_t gr_states_bytes(const struct gr_states *s)
{
	uint64_t n = (uint64_t)s->n_blocks * (1 + sizeof(void *));

	for (uint32_t b = 0; b < s->n_blocks; b++)
		n += s->nibbles[b] ? BLOCK_BYTES : 0;
	return n;
}
