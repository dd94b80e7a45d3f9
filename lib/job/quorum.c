/* quorum.c - see quorum.h */
#include "lib/job/quorum.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

void gr_trust_init(struct gr_trust *t, uint64_t seed)
{
	*t = (struct gr_trust){ .rng = { seed } };
	t->rows.seed = gr_rng_u64(&t->rng);
}

void gr_trust_fini(struct gr_trust *t)
{
	struct gr_trust_row *r;
	size_t i = 0;

	while ((r = gr_map_each(&t->rows, &i)))
		free(r);
	gr_map_fini(&t->rows);
}

static struct gr_trust_row *row_of(struct gr_trust *t, uint64_t worker, uint64_t toolchain)
{
	uint64_t key[2] = { worker, toolchain };
	struct gr_trust_row *r = gr_map_get(&t->rows, key, sizeof(key));

	if (r)
		return r;
	GR_NEW(r);
	r->key[0] = worker;
	r->key[1] = toolchain;
	gr_map_put(&t->rows, r->key, sizeof(r->key), r);
	t->n_lied++;
	return r;
}

static void put(struct gr_trust *t, struct gr_trust_row *r, uint32_t n_valid)
{
	t->n_lied += (uint32_t)!n_valid - (uint32_t)!r->n_valid;
	r->n_valid = n_valid;
}

uint32_t gr_trust_valid(const struct gr_trust *t, uint64_t worker, uint64_t toolchain)
{
	uint64_t key[2] = { worker, toolchain };
	const struct gr_trust_row *r = gr_map_get(&t->rows, key, sizeof(key));

	return r ? r->n_valid : 0;
}

bool gr_trust_lied(const struct gr_trust *t, uint64_t worker, uint64_t toolchain)
{
	uint64_t key[2] = { worker, toolchain };
	const struct gr_trust_row *r = gr_map_get(&t->rows, key, sizeof(key));

	return r && !r->n_valid;
}

bool gr_trust_ask(struct gr_trust *t, uint64_t worker, uint64_t toolchain)
{
	uint32_t n = gr_trust_valid(t, worker, toolchain);

	return n >= GR_TRUST_MIN && gr_rng_below(&t->rng, n) != 0;
}

uint32_t gr_trust_tell(struct gr_trust *t, uint64_t worker, uint64_t toolchain, bool is_valid)
{
	struct gr_trust_row *r = row_of(t, worker, toolchain);

	put(t, r, is_valid ? r->n_valid + 1 : 0);
	return r->n_valid;
}

void gr_trust_set(struct gr_trust *t, uint64_t worker, uint64_t toolchain, uint32_t n_valid)
{
	put(t, row_of(t, worker, toolchain), n_valid);
}

/* The group of result @i among those before it. Return: false when a verdict is wanted, out->of and out->against say which. */
static bool group(const struct gr_qresult *r, uint32_t i, bool is_fuzzy, struct gr_qview *out)
{
	for (uint32_t k = 0; k < i; k++)
		if (gr_digest_eq(&r[i].digest, &r[k].digest)) {
			out->kin[i] = out->kin[k];
			return true;
		}
	for (uint32_t k = 0; k < i && is_fuzzy; k++) {
		if (out->kin[k] != k || r[i].differs >> k & 1)
			continue;
		if (r[i].same >> k & 1) {
			out->kin[i] = (uint8_t)k;
			return true;
		}
		out->of = i;
		out->against = k;
		return false;
	}
	out->kin[i] = (uint8_t)i;
	return true;
}

enum gr_quorum gr_quorum_check(const struct gr_qresult *r, uint32_t n, uint32_t quorum, bool is_fuzzy, struct gr_qview *out)
{
	uint32_t size[GR_QUORUM_MAX] = { 0 };

	memset(out->kin, GR_QUORUM_NO_KIN, sizeof(out->kin));
	for (uint32_t i = 0; i < n; i++) {
		if (!group(r, i, is_fuzzy, out))
			return GR_QUORUM_COMPARE;
		size[out->kin[i]]++;
	}
	for (uint32_t i = 0; i < n && n >= quorum; i++)
		if (size[i] >= quorum / 2 + 1) {
			out->canonical = i;
			return GR_QUORUM_MET;
		}
	return GR_QUORUM_SHORT;
}
