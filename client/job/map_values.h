/**
 * map_values - what `griddle map` runs over: lines of standard input, combinations of ::: lists, or blocks of --pipe
 */
#pragma once
#include "client/job/jobfile.h"
#include "lib/base/buf.h"

#define GR_MAP_MAX_FILES 64u

struct gr_map_values_opts {
	bool is_pipe, splits_columns, at_nul;
	uint64_t block_bytes;
	uint32_t n_args;
};
struct gr_map_values {
	struct gr_map_values_opts o;
	struct gr_buf text;                 /* standard input */
	struct gr_buf files[GR_MAP_MAX_FILES];   /* of :::: */
	size_t n_files;
	struct gr_slice *flat;              /* n_tasks rows of n_cols, or ragged by ends */
	size_t n_flat, cap_flat;
	size_t *ends;                       /* of each row in flat */
	size_t cap_ends;
	uint64_t n_tasks;
	bool is_one_file;                   /* the values travel as text */
	bool is_plain_lines;                /* text is one value a line, as a list blob wants it */
};
/**
 * gr_map_values_read - take the ::: lists off @words (*n_words becomes the command's), else read standard input
 * Errors: GR_EUSAGE (a list without values, standard input is a terminal), GR_ELIMIT, GR_ENOENT of a :::: file.
 */
int gr_map_values_read(struct gr_map_values *v, const struct gr_map_values_opts *o, char **words, int *n_words, struct gr_err *err)
	GR_MUST_CHECK;
/* Values of task @t; borrowed. Return: how many. */
size_t gr_map_values_of(const struct gr_map_values *v, uint64_t t, struct gr_slice out[64]);
/* Puts an array into a job file; plain lines that are many or not UTF-8 only stand in, and gr_map_values_seal puts the real ones. GR_EINVAL: one is not UTF-8. */
int gr_map_values_into(struct gr_map_values *v, json_t *file, struct gr_err *err) GR_MUST_CHECK;
void gr_map_values_seal(const struct gr_map_values *v, struct gr_jobfile *f);
void gr_map_values_fini(struct gr_map_values *v);
