/**
 * map - open addressing from a byte string to a pointer
 *
 * Keys are borrowed: the caller keeps the bytes alive and unchanged while the entry is in the map (usually they lie
 * inside the value). `struct gr_map m = { 0 };` is a valid empty map. Linear probing, grows at 3/4, deletion by
 * back-shift, so there are no tombstones. Not for iteration order: gr_map_each gives table order.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

struct gr_map_slot {
	const void *key;
	uint32_t n_key;
	uint32_t hash;
	void *value;
};
struct gr_map {
	struct gr_map_slot *slots;
	size_t n, cap;
	uint64_t seed;   /* set it (from a gr_rng) before the first put when peers choose the keys */
};

void gr_map_fini(struct gr_map *m);                                              /* the values stay the caller's */
void *gr_map_get(const struct gr_map *m, const void *key, size_t n_key);         /* NULL when absent */
/* Replaces and returns the old value, or NULL. @value must not be NULL. */
void *gr_map_put(struct gr_map *m, const void *key, size_t n_key, void *value);
void *gr_map_del(struct gr_map *m, const void *key, size_t n_key);               /* the old value, or NULL */
/* Next value from cursor *i (start at 0); NULL at the end. The map must not change meanwhile. */
void *gr_map_each(const struct gr_map *m, size_t *i);
uint64_t gr_hash64(const void *p, size_t n, uint64_t seed);                       /* fast, not for trust */
