/* quorum.c - see quorum.h */
#include "lib/job/quorum.h"

#include <stdlib.h>

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
	return r;
}

uint32_t gr_trust_valid(const struct gr_trust *t, uint64_t worker, uint64_t toolchain)
{
	uint64_t key[2] = { worker, toolchain };
	const struct gr_trust_row *r = gr_map_get(&t->rows, key, sizeof(key));

	return r ? r->n_valid : 0;
}

bool gr_trust_ask(struct gr_trust *t, uint64_t worker, uint64_t toolchain)
{
	uint32_t n = gr_trust_valid(t, worker, toolchain);

	return n >= GR_TRUST_MIN && gr_rng_below(&t->rng, n) != 0;
}

uint32_t gr_trust_tell(struct gr_trust *t, uint64_t worker, uint64_t toolchain, bool is_valid)
{
	struct gr_trust_row *r = row_of(t, worker, toolchain);

	r->n_valid = is_valid ? r->n_valid + 1 : 0;
	return r->n_valid;
}

void gr_trust_set(struct gr_trust *t, uint64_t worker, uint64_t toolchain, uint32_t n_valid)
{
	row_of(t, worker, toolchain)->n_valid = n_valid;
}

int gr_quorum_check(const struct gr_digest *results, uint32_t n, uint32_t quorum)
{
	if (n < quorum)
		return GR_EBUSY;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t same = 0;

		for (uint32_t k = 0; k < n; k++)
			same += gr_digest_eq(&results[i], &results[k]);
		if (same >= quorum / 2 + 1)
			return (int)i;
	}
	return GR_EBUSY;
}
