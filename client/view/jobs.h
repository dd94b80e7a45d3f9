/**
 * jobs - how jobs and tasks are shown to people: a line while one runs, a summary at its end, tables
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- the line ---- */
struct gr_jobline;
/* On stderr: a line that is renewed on a terminal, else one every 10 s. @is_quiet: none. */
struct gr_jobline *gr_jobline_new(bool is_quiet);
/* @counts: of job.show. Called often; prints when it is time to. */
void gr_jobline_update(struct gr_jobline *l, uint64_t job, const json_t *counts, uint64_t n_tasks, uint64_t now_ms);
void gr_jobline_hide(struct gr_jobline *l);          /* before anything else is printed; the next update shows it again */
void gr_jobline_free(struct gr_jobline **l);

/* "1234 of 2000 done, 3 failed, 16 running, 41.2/s, 18.6 s left". @rate_per_s 0: unknown. Into @out (>= 200 bytes). */
const char *gr_jobs_progress_text(const json_t *counts, uint64_t n_tasks, double rate_per_s, char *out, size_t room);
/* "griddle: job 12 done: 1998 tasks in 48.2 s, 2 failed ..." and, when there were failures, which and why. */
void gr_jobs_summary(const json_t *show, uint64_t wall_ms, FILE *out);

/* ---- tables ---- */
void gr_jobs_table(const json_t *jobs, uint64_t now_real_ms, FILE *out);
void gr_jobs_show(const json_t *show, uint64_t now_real_ms, FILE *out);
void gr_tasks_table(const json_t *tasks, FILE *out);
void gr_tasks_show(const json_t *task, FILE *out);
const char *gr_jobs_when(uint64_t ms, char out[32]);     /* "2026-11-25 21:04:10", "-" for 0 */
