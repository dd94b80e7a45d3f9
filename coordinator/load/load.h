/**
 * load - load tests in the coordinator, seen from inside coordinator/load
 *
 *   ask.c      questions of clients: start, stop, read, list     run.c     a test's life, from the plan to its end
 *   gang.c     who takes part: a gang in placement, and burns    members.c clocks, shares, loss
 *   merge.c    tallies: frames added, written as JSON
 *   verdict.c  thresholds and what came of it all                keep.c    the file of a test: a JSON object a line
 *   watch.c    the live page and the metrics
 *
 *   PLACING --(all have room at once)--> PREPARING --(all members ready)--> SYNCING --(clocks known)--> RUNNING --(all ended or lost)--> ENDED
 *
 * All members or none: one that cannot be prepared ends the test before anything was sent. Everything that is read later
 * is in the file, which grows line by line while the test runs; `griddle load run` reads along.
 */
#pragma once
#include "coordinator/coord.h"
#include "lib/load/kinds.h"
#include "lib/load/plan.h"
#include "lib/stats/hdr.h"

#define GR_LOAD_MAX_RUNS 16u                     /* at once */
#define GR_LOAD_N_CLOCKS 10u                     /* exchanges before the start */
#define GR_LOAD_CONFIRM_RATE 1000.0              /* a plan of more has to be confirmed */

struct gr_tally {
	uint64_t n[GR_LOAD_N_COUNTERS], gauges[GR_LOAD_N_GAUGES];
	uint64_t *fails, *status, *checks;       /* [request][32], [request][512], [request][16] */
	struct gr_hdr *series;
	uint32_t n_requests, n_series;
};
void gr_tally_init(struct gr_tally *t, const struct gr_load_plan *p);
void gr_tally_fini(struct gr_tally *t);
/* Counters and series add up, gauges too (they are of different threads). GR_EPROTO for a key the plan does not have;
 * then some may have been added. */
int gr_tally_add(struct gr_tally *t, const struct gr_load_stats *m) GR_MUST_CHECK;
void gr_tally_merge(struct gr_tally *into, const struct gr_tally *from);        /* gauges are taken over */
/* All answers' latencies, or one request's; merged into @out. */
void gr_tally_latency(const struct gr_tally *t, int request, struct gr_hdr *out);
void gr_tally_series(const struct gr_tally *t, int request, enum gr_load_request_series r, struct gr_hdr *out);
uint64_t gr_tally_failed(const struct gr_tally *t, int request);
uint64_t gr_tally_errors(const struct gr_tally *t);         /* failed, and answers of class 5xx: what a server itself calls its failure is one */
json_t *gr_tally_json(const struct gr_tally *t, const struct gr_load_plan *p);
json_t *gr_hdr_json(const struct gr_hdr *h);
json_t *gr_hdr_ms_json(const struct gr_hdr *h, double q);   /* a quantile; null when it is empty: 0 would be the best of all */

enum gr_member_state { GR_MEMBER_ASKED, GR_MEMBER_READY, GR_MEMBER_RUNNING, GR_MEMBER_ENDED, GR_MEMBER_LOST };
struct gr_member {
	struct gr_worker *worker;                /* NULL: lost, or ended and gone */
	char name[64], node[64];
	enum gr_member_state state;
	bool is_traffic, is_placed;
	uint64_t placed;                         /* is_placed: its handle in placement */
	uint32_t burns;                          /* a bit each of the plan's */
	/* clocks: the worker's less ours, by the exchange with the shortest way */
	int64_t offset_ns;
	uint64_t rtt_ns, first_ns;
	uint32_t n_clocks;
	/* share */
	uint64_t from, due_before;               /* of the present share; due in earlier ones */
	uint32_t index, of;
	/* what came */
	uint64_t due, requests;
	uint32_t n_parts, n_ended;
	uint32_t next[64];                       /* per part: the interval to come */
	struct gr_hdr latency;
};

enum gr_run_state { GR_RUN_PLACING, GR_RUN_PREPARING, GR_RUN_SYNCING, GR_RUN_RUNNING, GR_RUN_ENDED };
enum gr_load_verdict { GR_LOAD_V_NONE, GR_LOAD_V_PASSED, GR_LOAD_V_THRESHOLD, GR_LOAD_V_BEHIND, GR_LOAD_V_STOPPED, GR_LOAD_V_LOST, GR_LOAD_V_ERROR };
const char *gr_load_verdict_name(enum gr_load_verdict v);

struct gr_interval {
	struct gr_list link;                     /* run->open, by number */
	uint32_t i;
	struct gr_tally t;
};
#define GR_LOAD_MAX_POINTS 600u
struct gr_point {                                /* an interval, for the live page */
	double t_s;
	uint64_t due, answers, errors, in_flight, open, p50_ns, p99_ns, max_ns;
};
struct gr_run {
	struct gr_list link;                     /* load->runs */
	struct gr_coord *c;
	uint64_t id;
	enum gr_run_state state;
	enum gr_load_verdict verdict;
	char why[400], owner[64], path[4200], burn[300];          /* burn: what became of one that did not burn as the plan says */
	struct gr_load_plan *plan;
	json_t *plan_json;
	struct gr_member *members;
	uint32_t n_members;
	uint32_t owner_id, n_wanted;             /* in placement; has_owner. Shares */
	int64_t queued;                          /* the gang; -1: not queued */
	uint64_t asked_ns, prepared_ns, start_ns, started_ms, stop_ns, ended_ns;
	struct gr_list open;
	uint32_t i_next;                         /* the interval to be written next */
	struct gr_tally total, last;             /* last: the interval written last */
	struct gr_point points[GR_LOAD_MAX_POINTS];      /* the last ones, oldest first */
	uint32_t n_points;
	const struct gr_load_threshold *broken;          /* that ended the test; NULL: none did */
	bool is_stopping, has_owner;
	int fd;
};
static inline uint64_t gr_load_tag(const struct gr_run *r) { return (uintptr_t)r | 2; }
struct gr_load {
	struct gr_list runs;
	uint32_t n_runs;
	struct gr_timer *timer;
};

/* run.c */
int gr_run_start(struct gr_coord *c, const json_t *plan, const char *owner, uint64_t *id, struct gr_err *err) GR_MUST_CHECK;
struct gr_run *gr_run_find(struct gr_coord *c, uint64_t id);
void gr_run_stop(struct gr_run *r, enum gr_load_verdict v, const char *fmt, ...) GR_PRINTF(3, 4);
void gr_run_check(struct gr_run *r);             /* did the last member report; is the test over */
extern const char *const gr_run_state_names[];   /* "placing" ... */
/* gang.c */
/* Queues the shards. GR_EBUSY when there are not so many workers that could ever take one; GR_ENOENT, GR_EUNSUP (burns). */
int gr_gang_ask(struct gr_run *r, struct gr_err *err) GR_MUST_CHECK;
const char *gr_gang_why(const struct gr_run *r); /* PLACING: why it waits */
void gr_member_release(struct gr_run *r, struct gr_member *m);    /* its room is free again */
void gr_gang_leave(struct gr_run *r);
/* members.c */
void gr_members_prepare(struct gr_run *r);
void gr_members_beat(struct gr_run *r);
bool gr_members_are_known(const struct gr_run *r);                /* every clock */
void gr_members_start(struct gr_run *r);
void gr_member_send(struct gr_run *r, struct gr_member *m, struct gr_buf *frame);   /* takes it */
void gr_member_lost(struct gr_run *r, struct gr_member *m, const char *why);
void gr_members_stop(struct gr_run *r);
struct gr_member *gr_member_of(struct gr_run *r, const struct gr_worker *w);
double gr_members_skew_ms(const struct gr_run *r);
/* watch.c */
void gr_point_add(struct gr_run *r, const struct gr_interval *v);
/* verdict.c */
double gr_threshold_value(const struct gr_run *r, const struct gr_load_threshold *t);
void gr_load_watch(struct gr_run *r);         /* after an interval: thresholds that end the test */
json_t *gr_load_end_line(struct gr_run *r);        /* decides; the end line */
json_t *gr_load_summary_line(const struct gr_run *r);
/* keep.c */
int gr_keep_open(struct gr_run *r, struct gr_err *err) GR_MUST_CHECK;
void gr_keep_line(struct gr_run *r, json_t *o);  /* takes it */
json_t *gr_keep_list(const struct gr_coord *c);
int gr_keep_read(const struct gr_coord *c, const char *id, uint64_t offset, struct gr_buf *out, uint64_t *size, struct gr_err *err) GR_MUST_CHECK;
