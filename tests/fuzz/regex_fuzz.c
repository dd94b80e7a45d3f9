/* regex_fuzz.c - an expression up to the first newline, and what it is looked for in: the match is within, the cost within its limit */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/load/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool claim)
{
	if (!claim)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
	size_t n_expr = end ? (size_t)(end - data) : n;
	struct gr_slice in = end ? gr_slice(end + 1, n - n_expr - 1) : gr_slice(NULL, 0);
	char *expr = malloc(n_expr + 1);
	struct gr_regex_match m[2] = { { 1, 0 }, { 1, 0 } };
	uint64_t steps = 100000;
	const char *why = NULL;
	struct gr_regex *re;
	int rc;

	must(expr != NULL);
	if (n_expr)
		memcpy(expr, data, n_expr);
	expr[n_expr] = 0;
	re = gr_regex_new(expr, &why);
	must(!re == !!why);
	free(expr);
	if (!re)
		return 0;
	rc = gr_regex_find(re, in, m, &steps);
	must(rc == 1 || (m[0].from == 1 && m[0].to == 0));
	must(rc != 1 || (m[0].from <= m[1].from && m[1].from <= m[1].to && m[1].to <= m[0].to && m[0].to <= in.n));
	must(rc >= 0 || (rc == GR_ELIMIT && !steps));
	gr_regex_free(&re);
	return 0;
}
