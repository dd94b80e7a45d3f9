/* map.c - see map.h. The hash reads 8 bytes a step and folds a 128-bit product: short keys (paths, digests, ids) are
 * what it sees. Robin-hood ordering was not kept: lookups here are mostly hits and the plain probe is shorter. */
#include "lib/base/map.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t gr_hash64(const void *data, size_t n, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ 0x9e3779b97f4a7c15ull ^ n, v;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&v, p, 8);
		h = fold(h ^ v, 0xa0761d6478bd642full);
	}
	v = 0;
	if (n)
		memcpy(&v, p, n);
	return fold(h ^ v, 0xe7037ed1a0b428dbull);
}

static uint32_t hash_of(const struct gr_map *m, const void *key, size_t n)
{
	return (uint32_t)gr_hash64(key, n, m->seed);
}

void gr_map_fini(struct gr_map *m)
{
	free(m->slots);
	m->slots = NULL;
	m->n = m->cap = 0;
}

/* Most keys are a number, or three. */
static inline bool is_same(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint64_t x, y;

	if (n % sizeof(x))
		return !memcmp(a, b, n);
	for (size_t i = 0; i < n; i += sizeof(x)) {
		memcpy(&x, a + i, sizeof(x));
		memcpy(&y, b + i, sizeof(y));
		if (x != y)
			return false;
	}
	return true;
}

static struct gr_map_slot *find(const struct gr_map *m, const void *key, size_t n_key, uint32_t h)
{
	size_t mask = m->cap - 1;

	for (size_t i = h & mask;; i = (i + 1) & mask) {
		struct gr_map_slot *s = &m->slots[i];

		if (!s->value || (s->hash == h && s->n_key == n_key && is_same(s->key, key, n_key)))
			return s;
	}
}

void *gr_map_get(const struct gr_map *m, const void *key, size_t n_key)
{
	return m->n ? find(m, key, n_key, hash_of(m, key, n_key))->value : NULL;
}

static void grow(struct gr_map *m)
{
	struct gr_map_slot *old = m->slots;
	size_t n_old = m->cap;

	m->cap = n_old ? n_old * 2 : 16;
	m->slots = gr_xalloc(m->cap * sizeof(*m->slots));
	for (size_t i = 0; i < n_old; i++)
		if (old[i].value)
			*find(m, old[i].key, old[i].n_key, old[i].hash) = old[i];
	free(old);
}

void *gr_map_put(struct gr_map *m, const void *key, size_t n_key, void *value)
{
	uint32_t h = hash_of(m, key, n_key);
	struct gr_map_slot *s;
	void *old;

	if ((m->n + 1) * 4 > m->cap * 3)
		grow(m);
	s = find(m, key, n_key, h);
	old = s->value;
	m->n += !old;
	*s = (struct gr_map_slot){ key, (uint32_t)n_key, h, value };
	return old;
}

void *gr_map_del(struct gr_map *m, const void *key, size_t n_key)
{
	struct gr_map_slot *s;
	size_t mask = m->cap - 1, hole, i;
	void *old;

	if (!m->n)
		return NULL;
	s = find(m, key, n_key, hash_of(m, key, n_key));
	old = s->value;
	if (!old)
		return NULL;
	hole = (size_t)(s - m->slots);
	for (i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;

		/* an entry may move back to the hole unless its home lies cyclically in (hole, i] */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct gr_map_slot){ 0 };
	m->n--;
	return old;
}

void *gr_map_each(const struct gr_map *m, size_t *i)
{
	while (*i < m->cap) {
		void *v = m->slots[(*i)++].value;

		if (v)
			return v;
	}
	return NULL;
}
