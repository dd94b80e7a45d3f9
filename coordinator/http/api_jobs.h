/**
 * api_jobs - the rows of /api/v1/jobs: each is one operation of coordinator/batch.h, with its error as a problem
 */
#pragma once
#include "coordinator/http/http.h"

void gr_api_jobs_ls(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_submit(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_show(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_rm(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_cancel(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_pause(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_resume(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_retry(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_tasks(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_task(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_log(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
/* A whole number from 0 to @max out of a path or a query; false with the 400. */
bool gr_api_number(const char *text, uint64_t max, uint64_t *out, struct gr_reply *r, const char *what);

/* ---- api_files.c ---- */
/* Before the body of an upload: false with the problem. */
bool gr_api_blobs_begin(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_blobs_put(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_output(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
void gr_api_jobs_usage(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
