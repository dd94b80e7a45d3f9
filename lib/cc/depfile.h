/**
 * depfile - the prerequisites of a make dependency file as compilers write them
 *
 * Continuation lines, several targets, "\ ", "\#", "\\ ", "$$"; rules without prerequisites (-MP) are skipped.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"
#include "lib/base/err.h"

struct gr_cc_depfile {
	char **targets, **files;         /* files: each once, in order of first appearance; the source is among them */
	uint32_t n_targets, n_files;
	void *mem;                       /* private */
};
/* Return: 0; GR_EPROTO when no rule is in it; GR_ELIMIT over 262144 names. *out for gr_cc_depfile_fini in any case. */
int gr_cc_depfile_parse(const char *text, size_t n, struct gr_cc_depfile *out) GR_MUST_CHECK;
void gr_cc_depfile_fini(struct gr_cc_depfile *d);
