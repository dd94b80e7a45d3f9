/**
 * jobfile - the job file people write (docs/job.schema.json), turned into what the coordinator takes
 *
 * Sizes and times may have units, commands may be one string for sh, inputs are files, folders and globs of this machine.
 * Complaints name the place: tasks[3].resources.mem: "12Q" is not a size, e.g. 512M.
 */
#pragma once
#include <jansson.h>
#include "client/job/inputs.h"

struct gr_jobfile {
	json_t *spec;                       /* as gr_spec_parse takes it; "blobs" is not in it yet */
	json_t *secrets;                    /* {name: base64}, or NULL */
	struct gr_inputs inputs;
	uint64_t n_tasks;
};

/**
 * gr_jobfile_read - read, check and convert
 * @json: the file's object, borrowed         @base: the folder relative paths are below
 * @now_real_ms: for deadlines                @name: the job's name when the file has none
 * Errors: GR_EINVAL and others with the place in @err. @out is to be freed in every case.
 */
int gr_jobfile_read(const json_t *json, const char *base, const char *name, uint64_t now_real_ms, struct gr_jobfile *out,
		    struct gr_err *err) GR_MUST_CHECK;
/* Puts "blobs" into the spec. */
void gr_jobfile_seal(struct gr_jobfile *f);
void gr_jobfile_fini(struct gr_jobfile *f);

/* "512M", "1.5G", 1024 -> bytes; "90s", "1h30m", "250ms", 90000 -> ms; "0.5", 2 -> thousandths. false when it is none. */
bool gr_jobfile_bytes(const json_t *v, uint64_t *out);
bool gr_jobfile_ms(const json_t *v, uint64_t *out);
bool gr_jobfile_milli(const json_t *v, uint32_t *out);
