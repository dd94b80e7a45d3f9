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
void gr_api_jobs_usage(struct gr_coord *c, struct gr_request *rq, struct gr_reply *r);
