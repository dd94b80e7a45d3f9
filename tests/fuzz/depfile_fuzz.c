/* depfile_fuzz - dependency files: names are not empty, lie in the parser's memory, and files come once. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cc/depfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct gr_cc_depfile d;
	int rc = gr_cc_depfile_parse((const char *)data, n, &d);

	for (uint32_t i = 0; rc == 0 && i < d.n_files; i++) {
		if (!*d.files[i])
			abort();
		for (uint32_t k = 0; n < 512 && k < i; k++)
			if (!strcmp(d.files[i], d.files[k]))
				abort();
	}
	for (uint32_t i = 0; rc == 0 && i < d.n_targets; i++)
		if (!*d.targets[i])
			abort();
	gr_cc_depfile_fini(&d);
	return 0;
}
