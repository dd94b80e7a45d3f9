/* batch_int.h - what batch.c (attempts), batch_stages.c (states of tasks, and which wait for which), batch_record.c (records of tasks) and
 * batch_copies.c (copies of a task and comparisons of their results) have of each other */
#pragma once
#include "lib/base/clock.h"
#include "lib/job/batch.h"

#define GR_BATCH__TROUBLE_NS GR_NS_PER_S  /* the least pause behind what was a worker's fault, or a comparison's */

/* ---- batch_stages.c ---- */
#define X(name, text, final) | final << GR_B_##name
static inline bool gr_bstate__is_final(enum gr_bstate s) { return (0 GR_BSTATE_MAP(X)) >> s & 1; }
#undef X
static inline enum gr_bstate gr_bjob__state(const struct gr_bjob *j, uint32_t task) { return (enum gr_bstate)gr_states_get(&j->states, task); }
void gr_bjob__put(struct gr_bjob *j, uint32_t task, enum gr_bstate to);   /* the one that changes a state; may free the record */
/* A run that lies in one stage, all in state @from. Records of final ones go. */
void gr_bjob__put_run(struct gr_bjob *j, uint32_t first, uint32_t n, enum gr_bstate from, enum gr_bstate to);
bool gr_bjob__is_closed(const struct gr_bjob *j);
/* The task has its outcome, @to: what waited for it becomes ready, or is skipped. */
void gr_bjob__go_on(struct gr_bjob *j, uint32_t task, enum gr_bstate to);
void gr_bjob__open_stages(struct gr_bjob *j);                             /* everything that can go becomes ready, or skipped */

/* ---- batch.c ---- */
bool gr_bcause__counts(enum gr_bcause c);                                 /* as a try of the task */
/* Nothing of a job that is over is tried again: a task ends with the last of it that runs. */
enum gr_bverdict gr_bjob__end_closed(struct gr_bjob *j, struct gr_btask *t);
void gr_bjob__finish(struct gr_bjob *j, struct gr_btask *t, enum gr_bstate to);
/* A new attempt. NULL: the task has used its numbers. */
struct gr_blive *gr_btask__begin(struct gr_btask *t, uint64_t worker, uint64_t node, void *peer, uint64_t placed, uint64_t now_ns);

/* ---- batch_record.c ---- */
void gr_btask__free(struct gr_btask *t);
void gr_btask__recount(struct gr_btask *t);                               /* after its lives changed */
struct gr_blive *gr_btask__live_add(struct gr_btask *t);                  /* zeroed; NULL: all are taken by what runs */
void gr_btask__live_drop(struct gr_btask *t, struct gr_blive *l);         /* another takes its place */
void gr_btask__due_add(struct gr_btask *t, uint64_t due_ns);              /* instead of what it was due */
void gr_btask__due_drop(struct gr_btask *t);

/* ---- batch_copies.c ---- */
uint32_t gr_copies__running(const struct gr_btask *t, bool is_check);     /* attempts that run, which are comparisons or not */
bool gr_copies__has_lost(const struct gr_btask *t, bool is_check);        /* whose worker may come back */
bool gr_copies__is_alike(const struct gr_btask *t, const struct gr_blive *l);     /* it has what the copies there are share */
void gr_copies__unbind(struct gr_btask *t);                               /* nothing of it is left: the next copy says what they share */
bool gr_copies__has_result(const struct gr_btask *t, uint64_t node);      /* from there */
bool gr_copies__is_open_pair(const struct gr_btask *t, uint32_t of, uint32_t against);      /* both are there, and no verdict */
/* How many the task needs is known when the first goes somewhere. */
void gr_copies__want(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, struct gr_blive *l, uint64_t toolchain);
/* What the task lacks to be decided: copies, a comparison. Nothing while it pauses. */
void gr_copies__offer(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t);
void gr_copies__hold(struct gr_btask *t, uint64_t due_ns);                /* the longer pause of two */
void gr_copies__resume(struct gr_bjob *j, struct gr_btask *t);            /* results were restored: what is there is not done again */
/* A result or a verdict came, or one that was awaited will not: is it enough? */
enum gr_bverdict gr_copies__decide(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, uint32_t quorum, uint64_t toolchain,
				   struct gr_bended *out);
/* @was, a copy, brought its result; a comparison ended. */
enum gr_bverdict gr_copies__end(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, const struct gr_blive *was, const struct gr_bend *e,
				struct gr_bended *out);
enum gr_bverdict gr_copies__end_check(struct gr_bjob *j, const struct gr_stage *st, struct gr_btask *t, const struct gr_blive *was,
				      const struct gr_bend *e, uint64_t now_ns, struct gr_bended *out);
