/* batch_lines.c - arrays whose values are the lines of a file: mapped, with the place of each 16th line */
#include "coordinator/batch_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/alloc.h"

#define LINES_STEP 16u

static int map_stage(struct gr_bj *j, uint32_t stage, struct gr_err *err)
{
	const struct gr_stage *st = &j->spec->stages[stage];
	struct gr_lines *l = &j->lines[stage];
	uint32_t n = 0;
	uint64_t size;
	int fd = gr_cas_open_blob(j->batch->cas, &st->list_blob, &size);

	if (fd < 0)
		return gr_err_set(err, GR_ENOENT, "stages[%u].array.list_blob: not there", stage);
	l->n = (size_t)size;
	l->p = size ? mmap(NULL, l->n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	close(fd);
	if (l->p == MAP_FAILED || size > UINT32_MAX) {
		l->p = NULL;
		return gr_err_set(err, GR_ENOMEM, "stages[%u].array.list_blob: cannot be mapped", stage);
	}
	l->at = gr_xalloc((st->count / LINES_STEP + 2) * sizeof(*l->at));
	for (size_t at = 0; at < l->n && n < st->count; n++) {
		const char *nl = memchr(l->p + at, '\n', l->n - at);

		if (n % LINES_STEP == 0)
			l->at[n / LINES_STEP] = (uint32_t)at;
		at = nl ? (size_t)(nl - l->p) + 1 : l->n;
	}
	if (n < st->count)
		return gr_err_set(err, GR_EINVAL, "stages[%u].array: \"n\" is %u, the list has %u lines", stage, st->count, n);
	return 0;
}

static struct gr_slice line_of(const struct gr_lines *l, uint32_t index)
{
	size_t at = l->at[index / LINES_STEP];
	const char *nl;

	for (uint32_t i = index % LINES_STEP; i; i--)
		at = (size_t)((const char *)memchr(l->p + at, '\n', l->n - at) - l->p) + 1;
	nl = memchr(l->p + at, '\n', l->n - at);
	return gr_slice(l->p + at, nl ? (size_t)(nl - l->p) - at : l->n - at);
}

uint32_t gr_bj_values(struct gr_bj *j, uint32_t task, struct gr_slice out[GR_SPEC_MAX_VALUES], struct gr_buf *text)
{
	uint32_t stage = gr_spec_stage_of(j->spec, task);
	const struct gr_stage *st = &j->spec->stages[stage];

	if (st->array != GR_ARRAY_LIST_BLOB)
		return gr_spec_values(st, task - st->first, out, text);
	return gr_spec_line_values(line_of(&j->lines[stage], task - st->first), out);
}

int gr_bj_map_lines(struct gr_bj *j, struct gr_err *err)
{
	int rc = 0;

	j->lines = gr_xalloc(j->spec->n_stages * sizeof(*j->lines));
	for (uint32_t i = 0; i < j->spec->n_stages && rc >= 0; i++)
		if (j->spec->stages[i].array == GR_ARRAY_LIST_BLOB)
			rc = map_stage(j, i, err);
	return rc;
}

void gr_bj_unmap_lines(struct gr_bj *j)
{
	for (uint32_t i = 0; j->lines && i < j->spec->n_stages; i++) {
		if (j->lines[i].p)
			munmap((void *)(uintptr_t)j->lines[i].p, j->lines[i].n);
		free(j->lines[i].at);
	}
	free(j->lines);
	j->lines = NULL;
}
