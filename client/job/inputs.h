/**
 * inputs - files of this machine that a job takes along: found, hashed, and read again when the coordinator asks
 *
 * A path is below the job file's folder or absolute. Each content is held by its digest and one path that has it; a file
 * that changed meanwhile is refused when it is sent (the coordinator would refuse it too). Blocking.
 */
#pragma once
#include <jansson.h>
#include "lib/base/map.h"
#include "lib/base/sha256.h"

#define GR_INPUTS_MAX_FILES 1000000u

struct gr_inputs {
	struct gr_map by_digest;            /* digest -> struct gr_input */
	struct gr_map by_path;              /* so that a file that many tasks name is read once */
	uint64_t bytes;                     /* of different contents */
};
struct gr_input {
	struct gr_digest digest;
	uint64_t size;
	unsigned mode;
	char *path;                         /* NULL: data */
	char *data;
};

void gr_inputs_fini(struct gr_inputs *in);
/* The content of a file. GR_ENOENT, GR_ELIMIT (larger than the wire allows), GR_EIO; @err names the path. */
int gr_inputs_file(struct gr_inputs *in, const char *path, const struct gr_input **out, struct gr_err *err) GR_MUST_CHECK;
/* The same for bytes, which are copied. */
const struct gr_input *gr_inputs_data(struct gr_inputs *in, const void *p, size_t n);
/**
 * gr_inputs_add - entries for a stage's "inputs" from one path: a file, a folder with all below it, or a glob
 * @base: folder that relative paths are below        @as: where it goes in the task's folder; NULL: as it is named
 * @list: JSON array that is appended to
 * Return: entries added; GR_ENOENT when nothing is there, GR_EPATH for a relative path that leaves @base without @as.
 */
int gr_inputs_add(struct gr_inputs *in, const char *base, const char *path, const char *as, json_t *list, struct gr_err *err)
	GR_MUST_CHECK;
/* [["hex", size], ...] of all contents. */
json_t *gr_inputs_json(const struct gr_inputs *in);
/* For gr_rpc_ops.open_blob. */
int gr_inputs_open(const struct gr_inputs *in, const struct gr_digest *digest, uint64_t *size);
/* Joined and cleaned below @base, or absolute. Free it. */
char *gr_inputs_path(const char *base, const char *path);
