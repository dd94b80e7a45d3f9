/* place_fuzz.c - lib/place by its decision log: any bytes are calls with any numbers, in any order. What is refused must leave
 * the state as it was, and what is accepted must leave it whole; nothing may crash, hang or grow without bound. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/place/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void touch(void *ctx, uint64_t now_ns, const struct gr_place_decision *d)
{
	uint64_t *sum = ctx;

	*sum += now_ns + d->placed + d->finish_us;
	if (d->act == 0 || d->act >= GR_PLACE_N_ACTS)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct gr_place_replay r;
	uint64_t sum = 0;
	int rc = gr_place_replay(data, n, touch, &sum, &r);

	/* a log that was refused says where, one that was taken was read to its last whole record */
	if (r.n_bytes > n || (rc < 0 && rc != GR_EPROTO && rc != GR_EVERSION))
		abort();
	return 0;
}
