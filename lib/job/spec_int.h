/**
 * spec_int - what the files of lib/job/spec*.c share: the cursor, and reading of members with complaints that name their place
 *
 * The first complaint stands; behind it everything returns its default, so that a reader needs no checks of its own.
 */
#pragma once
#include "lib/job/spec.h"

struct gr_rd {
	struct gr_err *err;
	int rc;
	char path[512];
	size_t n_path;
};

void gr_rd_bad(struct gr_rd *r, int code, const char *fmt, ...) GR_PRINTF(3, 4);
size_t gr_rd_in(struct gr_rd *r, const char *key);        /* into a member; returns what gr_rd_out wants */
size_t gr_rd_at(struct gr_rd *r, size_t i);               /* into an entry */
void gr_rd_out(struct gr_rd *r, size_t was);
/* Members but these (NULL at the end) are refused, with the one that may have been meant. */
void gr_rd_only(struct gr_rd *r, const json_t *o, const char *const *known);
int64_t gr_rd_num(struct gr_rd *r, const json_t *o, const char *key, int64_t def, int64_t min, int64_t max);
bool gr_rd_flag(struct gr_rd *r, const json_t *o, const char *key);
void gr_rd_is_text(struct gr_rd *r, const json_t *v, size_t max);
const char *gr_rd_text(struct gr_rd *r, const json_t *o, const char *key, const char *def, size_t max);      /* borrowed from @o */
const json_t *gr_rd_list(struct gr_rd *r, const json_t *o, const char *key, size_t max);                     /* NULL: none */
void gr_rd_texts(struct gr_rd *r, const json_t *o, const char *key, size_t max_n, size_t max);
bool gr_rd_is_name(const char *s);
/* A path below the task's folder. Places ({}) are filled later, and the worker looks again. */
void gr_rd_path(struct gr_rd *r, const json_t *o, const char *key, bool is_wanted);

void gr_spec__read_stage(struct gr_rd *r, struct gr_spec *s, uint32_t i);
void gr_spec__read_array(struct gr_rd *r, struct gr_stage *st);
