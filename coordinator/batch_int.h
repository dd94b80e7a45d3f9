/**
 * batch_int - private to coordinator/batch*.c
 */
#pragma once
#include <sys/types.h>
#include "coordinator/batch.h"
#include "lib/base/pool.h"
#include "lib/wire/msg_job.h"

enum gr_jstate { GR_J_OPEN, GR_J_DONE, GR_J_FAILED, GR_J_CANCELLED };     /* stored */

struct gr_jrange {                        /* queued at placement */
	uint64_t tag;                     /* key: ours at placement; its job and which of the batch's ranges it is */
	struct gr_list link;              /* gr_bj.ranges */
	struct gr_place_task place;
	int64_t queued;
	uint32_t n_left;
	uint32_t mem_permille;            /* what each of it gets of the memory that was asked: gr_btask's of the time */
	uint32_t same;                    /* what its worker shares with those of other copies: gr_btask's of the time */
	bool is_check;                    /* of one task: a comparison of two of its results */
	uint32_t n_exclude;               /* of place.exclude_node: those behind, and place.exclude, are excluded until relax_ns alone */
	uint64_t relax_ns;                /* 0 none */
};
struct gr_lines {                         /* a list_blob, mapped; offset of each 16th line */
	const char *p;
	size_t n;
	uint32_t *at;
};
struct gr_bj {                            /* a job */
	uint64_t id;                      /* key */
	struct gr_batch *batch;
	struct gr_spec *spec;             /* NULL: over, and not looked at: see gr_bj_load */
	struct gr_bjob b;                 /* with spec */
	char *token, *name, *tenant, *owner, *reason;
	struct gr_tenant_use *use;        /* gr_batch.uses; NULL: not looked for yet */
	int64_t submitted_ms, started_ms, ended_ms;
	int priority;
	enum gr_jstate state;
	bool is_ending;                   /* it is over, which is not on disk yet: nobody is told */
	bool is_paused, was_cancelled, is_committed;     /* committed: its submit is */
	uint32_t n_tasks;
	uint32_t n_failed_before;         /* as many had failed when it was taken up again in spite of them; of an earlier life */
	uint64_t counts[GR_B_N];          /* when spec is NULL */
	uint32_t floor;
	bool is_raising;                  /* the floor of this life is not on disk yet: nothing is begun with its numbers */
	uint32_t place_owner;
	bool has_owner;
	struct gr_list ranges;
	struct gr_lines *lines;           /* by stage, or NULL */
	struct gr_buf spec_frame;
	struct gr_spec_blob *pins;
	uint32_t n_pins, cap_pins;
	bool has_spec_pins;               /* the inputs that its spec names are among them */
	uint64_t pin_bytes;               /* sum of their sizes: what it keeps on disk, unless others share it */
	bool is_dirty;                    /* progress to be told */
	uint64_t used_ns;                 /* of a loaded one that is over */
};
struct gr_bworker {                       /* a worker as we know it; outlives its connection while something is on its way */
	struct gr_worker *w;              /* NULL: gone */
	uint32_t n_refs;
	uint64_t node;                    /* hash of the node's name */
	json_t *labels;                   /* as its HELLO has them, or NULL */
	struct gr_map specs;              /* jobs it was told of: key -> itself */
	uint64_t last_spec;               /* the last of them that was asked for, 0 none */
	struct gr_list owing;             /* gr_batch.owing */
	struct gr_buf owed;               /* frames that its full queue did not take, one behind the other */
};
struct gr_tenant_use {                    /* since this process began */
	char name[64];
	uint64_t cpu_us, wasted_us, attempts, retries, done, failed;
};
struct gr_batch {
	struct gr_coord *c;
	struct gr_store *store;
	struct gr_cas *cas;
	struct gr_map jobs, ranges;       /* by number; by tag */
	struct gr_bj *last;               /* that was looked for, NULL */
	struct gr_jrange *last_range;     /* the same of ranges */
	uint64_t next_job, next_range;
	uint64_t numbered;                /* the job for whose attempts room for more numbers is on its way to the disk, 0 none: one at a time */
	uint32_t numbered_floor;          /* its floor then */
	struct gr_list owing;             /* workers that are to be sent what they are owed */
	uint32_t commands_env;            /* environment of workers that run commands */
	struct gr_trust trust;
	struct gr_map uses;               /* tenant -> struct gr_tenant_use */
	struct gr_map tenants;            /* name -> struct gr_tenant_row */
	struct gr_timer *tick;
	struct gr_list pends;             /* all that wait for a commit */
	struct gr_pool spare_pends;
	struct gr_pend *pend;             /* of the transaction that is being gathered: what becomes ready waits for it */
	uint64_t submitted, attempts, fenced, adopted, causes[GR_BC_N], cpu_us, wasted_us, in_bytes, out_bytes;
	struct gr_list subscribers, followers;   /* batch_watch.c; batch_logs.c */
	struct gr_list uploads, outboxes, waits; /* batch_blobs.c */
	struct gr_buf scratch;
	struct gr_timer *pump;
	uint64_t event_id, settle_until_ns;
	int log_fd;                       /* history, -1 */
	struct gr_bbegun *begun;          /* attempts that began and are not in the store yet, oldest first: batch_begun.c */
	uint32_t first_begun, n_begun, cap_begun;
	struct gr_timer *begun_timer;
	struct gr_care *care;             /* batch_care.c */
	bool is_removing, is_removed_later;      /* a slice of a removed job's rows is under way; another was removed since it began */
	struct gr_list asked;             /* questions of the wire that are not answered: batch_ops.c */
	uint32_t n_ticks, n_looks;
	bool is_closing;
};
struct gr_pend {                          /* what waits for a commit */
	struct gr_list link;              /* gr_batch.pends */
	struct gr_batch *batch;
	struct gr_bworker *bw;            /* whom to acknowledge, or NULL */
	uint64_t job;
	uint64_t task;
	uint32_t attempt;
	struct gr_pend_ready { uint32_t first, count; bool is_single, is_check; } *ready;
	uint32_t n_ready;
	gr_batch_done *fn;                /* whom to answer, or NULL */
	void *ctx;
	json_t *rep;
	struct { enum gr_bverdict verdict; enum gr_bcause cause; int exit_code, term_signal; uint32_t ordinal; uint64_t delay_ms; } ended;
	json_t *events;                   /* to be told then: [[type, data], ..] */
	bool settles;                     /* the job is over */
	bool confirms;                    /* a submit of a job that another one brought */
	bool is_submit, is_over;          /* the job is taken; the task has its outcome */
	bool is_end;                      /* an attempt ended: told to those who watch tasks */
};

/* ---- batch.c ---- */
struct gr_bj *gr_bj_find(struct gr_batch *b, uint64_t id);
struct gr_bj *gr_bj_new(struct gr_batch *b, uint64_t id);
void gr_bj_free(struct gr_bj **j);
void gr_bj_unload(struct gr_bj *j);       /* of one that is over: the spec and the states are put away */
int gr_bj_pin_all(struct gr_bj *j);
void gr_bj_pin(struct gr_bj *j, const struct gr_digest *d, uint64_t size);
void gr_bj_pin_once(struct gr_bj *j, const struct gr_digest *d, uint64_t size);    /* unless it is: looks through them all */
void gr_bj_pin_spec(struct gr_bj *j, const struct gr_spec *spec);         /* its inputs, once */
void gr_bj_settle(struct gr_bj *j, struct gr_store_tx *tx);       /* is it over? */
void gr_bj_save_state(struct gr_bj *j, struct gr_store_tx *tx);
const char *gr_bj_state_name(const struct gr_bj *j);

/* ---- batch_remove.c ---- */
/* Gone at once; its rows go in slices. @p: told when it will not come back, or NULL. */
void gr_bj_remove(struct gr_bj *j, struct gr_pend *p);
void gr_remove_open(struct gr_batch *b);          /* goes on where the last life ended; behind gr_care_open */

/* ---- batch_restore.c ---- */
/* Parses the spec and makes the states of one that is over. GR_*, with @err. */
int gr_bj_load(struct gr_bj *j, struct gr_err *err) GR_MUST_CHECK;
/* The complaint that it cannot run again: its files @missing (texts) are not kept any more. */
void gr_bj_say_gone(const struct gr_bj *j, const json_t *missing, struct gr_err *err);
int gr_bj_begin(struct gr_bj *j, struct gr_spec **spec, struct gr_err *err) GR_MUST_CHECK;   /* takes the spec; states made, nothing offered */
int gr_batch_load(struct gr_batch *b, struct gr_err *err) GR_MUST_CHECK;       /* all jobs of the store; the open ones go on */

/* ---- batch_lines.c ---- */
int gr_bj_map_lines(struct gr_bj *j, struct gr_err *err) GR_MUST_CHECK;
void gr_bj_unmap_lines(struct gr_bj *j);
/* The values of a task: borrowed from the spec, the mapped file or @text. Return: how many. */
uint32_t gr_bj_values(struct gr_bj *j, uint32_t task, struct gr_slice out[GR_SPEC_MAX_VALUES], struct gr_buf *text);

/* ---- batch_owner.c ---- */
int gr_bj_join_placement(struct gr_bj *j);
void gr_bj_leave_placement(struct gr_bj *j);
void gr_batch_free_tenants(struct gr_batch *b);

/* ---- batch_commit.c ---- */
struct gr_pend *gr_pend_new(struct gr_batch *b);
void gr_pend_commit(struct gr_pend *p, struct gr_store_tx *tx, bool may_fail);
void gr_pends_close(struct gr_batch *b);                  /* those whose commit nobody hears of any more */
void gr_pend_event(struct gr_pend *p, const char *type, json_t *data);

/* ---- batch_begun.c ---- */
void gr_begun_init(struct gr_batch *b);
void gr_begun_flush(struct gr_batch *b);         /* now, while the workers they began on are known */
void gr_begun_close(struct gr_batch *b);
void gr_begun_add(struct gr_bj *j, uint32_t task, const struct gr_blive *l);      /* now */
void gr_begun_add_same(struct gr_bj *j, struct gr_store_tx *tx, uint32_t task, const struct gr_blive *l);    /* behind its row, whichever */
void gr_begun_now(struct gr_bj *j, uint32_t task, struct gr_blive *l);        /* it may not live to see its row otherwise */

/* ---- batch_offer.c ---- */
extern const struct gr_bjob_ops gr_batch_job_ops;
/* Tells placement of tasks that may run. @t: the record of a single one, or NULL. */
void gr_run_offer(struct gr_bj *j, uint32_t first, uint32_t count, struct gr_btask *t);
void gr_run_offer_check(struct gr_bj *j, struct gr_btask *t);
void gr_run_drop_ranges(struct gr_bj *j);
/* A decision came of the range: one less is queued. Return: whether it is for a comparison; @mem_permille: what it has room for. */
bool gr_run_took(struct gr_batch *b, uint64_t tag, uint32_t *mem_permille);
void gr_run_tick(struct gr_batch *b);
/* All copies of a task go to workers that share the stage's label with the first's: the label of that value, 0 none. Of "" it stands for
 * those that have no such label. */
uint32_t gr_run_same(struct gr_bj *j, const struct gr_stage *st, const char *value);
/* The request class of a stage's task in placement; @task: its record or NULL. GR_ELIMIT. */
int gr_run_class(struct gr_bj *j, const struct gr_stage *st, const struct gr_btask *task);
uint64_t gr_run_mem(const struct gr_stage *st, const struct gr_btask *t);      /* asked for, more after each OOM */
const char *gr_run_pending(struct gr_bj *j, uint32_t task, struct gr_buf *text);

/* ---- batch_send.c: errors are those of gr_peers_send; GR_ELIMIT: a COMMAND that no worker would take ---- */
int gr_run_send_spec(struct gr_bj *j, struct gr_bworker *bw) GR_MUST_CHECK;    /* unless it has it */
int gr_run_send_command(struct gr_bj *j, struct gr_bworker *bw, const struct gr_stage *st, struct gr_btask *t, const struct gr_blive *l)
	GR_MUST_CHECK;
int gr_run_send_frame(struct gr_bj *j, struct gr_bworker *bw, struct gr_buf *frame) GR_MUST_CHECK;       /* takes a COMMAND */

/* The values of its task, one behind the other. Return: how many. */
uint32_t gr_run_add_values(struct gr_bj *j, uint32_t task, struct gr_buf *raw);

/* ---- batch_check.c ---- */
/* What a comparator's exit code says. */
enum gr_bcause gr_check_cause(const struct gr_ended_msg *m);
struct gr_check_files {                   /* inputs of a comparison, as a COMMAND has them */
	struct gr_buf raw;
	uint32_t n;
};
/* What two results are. GR_EBUSY: not on disk yet; the store's errors; GR_ELIMIT: too many files; GR_ENOENT: one is not kept any more. */
int gr_check_gather(struct gr_bj *j, uint32_t task, uint32_t of, uint32_t against, struct gr_check_files *out) GR_MUST_CHECK;
/* The COMMAND of @l, a comparison of them. Errors of gr_peers_send. */
int gr_check_send(struct gr_bj *j, struct gr_bworker *bw, const struct gr_stage *st, uint32_t task, const struct gr_blive *l,
		  const struct gr_check_files *files) GR_MUST_CHECK;

/* ---- batch_start.c ---- */
/* A decision comes to nothing, or its attempt is not wanted any more: its room is free. */
void gr_run_give_back(struct gr_coord *c, uint64_t placed);
void gr_run_started(struct gr_bj *j, struct gr_btask *t, struct gr_blive *l);  /* its worker says that it runs now */

/* ---- batch_workers.c ---- */
void gr_bworkers_tick(struct gr_batch *b);                /* sends what a full queue did not take */
/* What is ours at placement: odd, the job's number, and for a range its serial, so that a decision names both. */
#define GR_BATCH_TAG(job) ((job) << 1 | 1)
#define GR_BATCH_TAG_JOB(tag) ((tag) >> 1 & GR_WIRE_MAX_JOB)
#define GR_UNPLACED UINT64_MAX            /* as placed: an adopted attempt that placement had no room for */
uint64_t gr_bworker_node(const struct gr_worker *w);                           /* hash of its node's name */
struct gr_bworker *gr_bworker_of(struct gr_batch *b, struct gr_worker *w);
const char *gr_bworker_label(const struct gr_bworker *bw, const char *key);    /* "": it has none of that key */
void gr_bworker_unref(struct gr_bworker **bw);
/* @grace_ms: from SIGTERM to SIGKILL of one that is to yield */
void gr_bworker_stop(struct gr_batch *b, struct gr_worker *w, uint64_t job, uint64_t task, uint32_t attempt, enum gr_stop_how how,
		     uint32_t grace_ms);
void gr_run_ack(struct gr_bworker *bw, uint64_t job, uint64_t task, uint32_t attempt);

/* ---- batch_end.c ---- */
/* All files are here: the attempt ends. @digests: of its outputs, in their order; NULL when it has none, or is not wanted. */
void gr_run_ended(struct gr_batch *b, struct gr_bworker *bw, const struct gr_ended_msg *m, const struct gr_digest *digests);
/* Files of it cannot be had: it ends as trouble of its worker. */
void gr_run_ended_without(struct gr_batch *b, struct gr_bworker *bw, const struct gr_ended_msg *m, const char *why);
/* The one place where the end of an attempt becomes rows, events and an acknowledgement. @bw NULL: nobody is to be told. */
void gr_run_end(struct gr_bj *j, struct gr_bworker *bw, uint64_t worker, const struct gr_ended_msg *m, enum gr_bcause cause);
uint64_t gr_run_toolchain(const struct gr_stage *st);      /* what trust is kept by besides the worker: the program */

/* ---- batch_blobs.c ---- */
void gr_bblobs_close(struct gr_batch *b);
/* Keeps an ENDED (@body, read as @m) until the files it names are here, and these with it; then gr_run_ended, or at once. */
void gr_bblobs_await(struct gr_batch *b, struct gr_bworker *bw, struct gr_slice body, const struct gr_ended_msg *m);
void gr_bblobs_forget(struct gr_batch *b, struct gr_bworker *bw);
void gr_bblobs_peer_gone(struct gr_batch *b, struct gr_peer *peer);
bool gr_bblobs_missing(struct gr_batch *b, const struct gr_spec *spec, json_t *list, struct gr_err *err);

/* ---- batch_watch.c ---- */
void gr_batch_emit(struct gr_batch *b, const char *type, json_t *data);
bool gr_watch_wants_tasks(const struct gr_batch *b);               /* else events of tasks need not be made */
void gr_watch_peer_gone(struct gr_batch *b, struct gr_peer *peer);
void gr_watch_close(struct gr_batch *b);
bool gr_watch_is_op(const char *op);                               /* of the wire alone: events and logs */
void gr_watch_op(struct gr_batch *b, struct gr_peer *peer, const char *op, const json_t *req);
void gr_watch_tick(struct gr_batch *b);
/* Takes @rep; @id of the question, borrowed, or NULL. Return: as gr_peers_send. */
int gr_watch_reply(struct gr_batch *b, struct gr_peer *peer, json_t *id, json_t *rep);
void gr_watch_refuse(struct gr_batch *b, struct gr_peer *peer, const json_t *req, int code, const char *why);
bool gr_watch_may_see(struct gr_batch *b, struct gr_peer *peer, const struct gr_bj *j);
/* One line of the history, when there is one: who checks it later is tests/helper. */
void gr_history(struct gr_batch *b, const char *what, uint64_t job, int64_t task, uint32_t attempt, const char *more);

/* ---- batch_logs.c ---- */
void gr_logs_out(struct gr_batch *b, const struct gr_out_msg *m);
void gr_logs_began(struct gr_bj *j, uint32_t task, struct gr_blive *l);
void gr_logs_over(struct gr_bj *j, uint32_t task);                 /* the task has its outcome, and it is committed */
void gr_logs_read(struct gr_batch *b, struct gr_peer *peer, const json_t *req);
void gr_logs_stop(struct gr_batch *b, struct gr_peer *peer, const json_t *req);
void gr_logs_peer_gone(struct gr_batch *b, struct gr_peer *peer);
void gr_logs_tick(struct gr_batch *b);
void gr_logs_close(struct gr_batch *b);

/* ---- batch_ops.c ---- */
void gr_ops_close(struct gr_batch *b);

/* ---- batch_care.c ---- */
enum gr_care_kind { GR_CARE_CHECK, GR_CARE_BACKUP, GR_CARE_EXPORT, GR_CARE_VACUUM };
void gr_care_open(struct gr_batch *b);
void gr_care_close(struct gr_batch *b);   /* ends what is under way, waits for it; nobody is answered any more. Before the store's close */
/* @name: of a backup, or NULL. @fn is called once, later, unless this returns an error: GR_EINVAL, GR_EBUSY, what making the folder says. */
int gr_care_ask(struct gr_batch *b, enum gr_care_kind kind, const char *name, struct gr_peer *peer, gr_batch_done *fn, void *ctx, struct gr_err *err)
	GR_MUST_CHECK;
void gr_care_peer_gone(struct gr_batch *b, struct gr_peer *peer);
void gr_care_removed(struct gr_batch *b);                 /* no rows of removed jobs are left, for which a vacuum waits */

/* ---- batch_metrics.c ---- */
void gr_batch_used(struct gr_bj *j, const struct gr_tenant_use *more);      /* by its tenant */
void gr_batch_free_uses(struct gr_batch *b);

/* ---- batch_show.c: a task that is with a worker is told as "sent" until the worker says that it began, then as "running",
 * and as "ready" when another copy, or a comparison of what there is, waits for a place ---- */
#define GR_SHOW_SENT "sent"
const char *gr_show_state(struct gr_bj *j, uint32_t task);
json_t *gr_show_summary(struct gr_bj *j);
json_t *gr_show_job(struct gr_bj *j);
json_t *gr_show_task_row(struct gr_bj *j, uint32_t task);
json_t *gr_show_task(struct gr_bj *j, uint32_t task);
