/**
 * table - rows for people: columns as wide as their content, numbers to the right, no colour
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include "lib/base/buf.h"

enum gr_view_mode { GR_VIEW_TABLE, GR_VIEW_JSON, GR_VIEW_NAME };
extern const char *const gr_view_modes[];       /* for a GR_CONF_ENUM key: "table", "json", "name" */

struct gr_table;
/* @heads: "NAME", or ">SLOTS" for a column that stands to the right; NULL-terminated, borrowed for the table's life. */
struct gr_table *gr_table_new(const char *const *heads);
/* The next cell, row after row; text from a peer is shown with its control bytes as '?'. */
void gr_table_cell(struct gr_table *t, const char *fmt, ...) GR_PRINTF(2, 3);
void gr_table_print(const struct gr_table *t, FILE *out);
void gr_table_free(struct gr_table **t);

/* "1.2 MB", "812 kB", "0 B": powers of 1000. "12.3 s", "1m05s", "2h03m". Into @out (>= 24 bytes); returns it. */
const char *gr_view_bytes(uint64_t n, char out[24]);
const char *gr_view_seconds(uint64_t ms, char out[24]);
/* Indented JSON and a newline. */
void gr_view_json(const json_t *v, FILE *out);
/* What may be a peer's words or a file's name: but for ends of lines, control bytes and what is no UTF-8 are escaped. */
void gr_view_text(const char *text, FILE *out);
