/* hdr_fuzz.c - a histogram from a peer: what decodes encodes to the same counts again */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/stats/hdr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct gr_hdr a = { 0 }, b = { 0 };
	struct gr_buf again = { 0 };
	char *text = strndup((const char *)data, n);

	if (gr_hdr_decode(gr_slice(data, n), &a) == 0) {
		gr_hdr_encode(&a, &again);
		if (gr_hdr_decode(gr_buf_slice(&again), &b) < 0 || a.total != b.total || a.n_counts != b.n_counts)
			abort();
		if (a.total && memcmp(a.counts, b.counts, a.n_counts * sizeof(*a.counts)))
			abort();
		if (gr_hdr_quantile(&a, 1) != a.max)
			abort();
	} else if (a.total || a.counts) {
		abort();
	}
	if (gr_hdr_decode_text(text, &b) == 0 && b.n_counts > GR_HDR_N_COUNTS)
		abort();
	free(text);
	gr_buf_fini(&again);
	gr_hdr_fini(&a);
	gr_hdr_fini(&b);
	return 0;
}
