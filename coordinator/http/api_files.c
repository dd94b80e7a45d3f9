/* api_files.c - files of jobs over HTTP: inputs go up under their digest, outputs come down
 *
 * An upload goes to disk as it comes and counts when its bytes have the digest that the path says. It is kept until a job
 * names it, or the room is needed: job.submit answers what is missing. See api_jobs.h.
 */
#include <string.h>

#include "coordinator/batch.h"
#include "coordinator/http/api_jobs.h"
#include "lib/base/alloc.h"

bool gr_api_blobs_begin(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	struct gr_digest d;
	int rc;

	if (gr_digest_parse(rq->param[0], &d) < 0) {
		gr_api_problem(r, 400, "digest: 64 hexadecimal digits are wanted");
		return false;
	}
	if (rq->length < 0) {
		gr_api_problem(r, 411, "Content-Length is wanted");
		return false;
	}
	rc = gr_batch_put_begin(c, &d, (uint64_t)rq->length, &rq->put);
	if (rc >= 0)
		return true;
	if (rc == GR_ELIMIT || rc == GR_ENOSPACE)
		gr_api_problem(r, rc == GR_ELIMIT ? 413 : 507, "there is no room for it");
	else
		gr_api_problem(r, 500, "cannot be kept: %s", gr_err_text(rc));
	return false;
}

void gr_api_blobs_put(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	int rc = rq->put_rc < 0 ? rq->put_rc : gr_batch_put_end(c, &rq->put);

	if (rc >= 0) {
		r->status = 204;
		r->type = "text/plain; charset=utf-8";
	} else if (rc == GR_ECORRUPT) {
		gr_api_problem(r, 422, "the bytes that came do not have this digest");
	} else {
		gr_api_problem(r, rc == GR_ENOSPACE ? 507 : 500, "cannot be kept: %s", gr_err_text(rc));
	}
}

void gr_api_jobs_output(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r)
{
	uint64_t job, task, n;
	int fd;

	if (!gr_api_number(rq->param[0], UINT32_MAX, &job, r, "job") || !gr_api_number(rq->param[1], UINT32_MAX, &task, r, "task") ||
	    !gr_api_number(rq->param[2], UINT32_MAX, &n, r, "n"))
		return;
	fd = gr_batch_open_output(c, job, (uint32_t)task, (uint32_t)n, &r->n_file);
	if (fd < 0) {
		gr_api_problem(r, 404, "there is no such output, or it is no file");
		return;
	}
	r->type = "application/octet-stream";
	r->has_file = true;
	r->file = fd;
}
