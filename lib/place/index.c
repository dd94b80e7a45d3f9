/* index.c - open addressing from a hash to ids; the caller compares, so nothing is borrowed and arrays may move. Linear
 * probing, grows at 3/4, deletion by back-shift. gr_map is not used: its keys would dangle when the arrays grow. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

static void put(struct gr_place__slot *slots, uint32_t mask, uint32_t hash, uint32_t id1)
{
	uint32_t i = hash & mask;

	while (slots[i].id1)
		i = (i + 1) & mask;
	slots[i] = (struct gr_place__slot){ hash, id1 };
}

void gr_place__index_add(struct gr_place__index *x, uint32_t hash, uint32_t id)
{
	if ((x->n + 1) * 4ull > x->cap * 3ull) {
		uint32_t cap = x->cap ? x->cap * 2 : 16;
		struct gr_place__slot *slots = gr_xalloc(cap * sizeof(*slots));

		for (uint32_t i = 0; i < x->cap; i++)
			if (x->slots[i].id1)
				put(slots, cap - 1, x->slots[i].hash, x->slots[i].id1);
		free(x->slots);
		x->slots = slots;
		x->cap = cap;
	}
	put(x->slots, x->cap - 1, hash, id + 1);
	x->n++;
}

void gr_place__index_del(struct gr_place__index *x, uint32_t hash, uint32_t id)
{
	uint32_t mask = x->cap - 1, i, hole;

	if (!x->cap)
		return;
	for (i = hash & mask; x->slots[i].id1 != id + 1; i = (i + 1) & mask)
		if (!x->slots[i].id1)
			return;
	x->n--;
	for (hole = i, i = (i + 1) & mask; x->slots[i].id1; i = (i + 1) & mask) {
		uint32_t home = x->slots[i].hash & mask;

		/* moves into the hole unless its home lies between the hole and here */
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		x->slots[hole] = x->slots[i];
		hole = i;
	}
	x->slots[hole] = (struct gr_place__slot){ 0, 0 };
}

uint32_t gr_place__index_next(const struct gr_place__index *x, uint32_t hash, uint32_t *at)
{
	uint32_t mask = x->cap - 1;

	if (!x->cap)
		return NIL;
	for (uint32_t i = *at == NIL ? hash & mask : (*at + 1) & mask; x->slots[i].id1; i = (i + 1) & mask)
		if (x->slots[i].hash == hash) {
			*at = i;
			return x->slots[i].id1 - 1;
		}
	return NIL;
}
