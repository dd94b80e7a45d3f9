/**
 * batch - durable jobs of commands: what the coordinator's other files call
 *
 * batch.c holds jobs; batch_restore.c takes them up after a restart; batch_offer.c, batch_start.c, batch_send.c and
 * batch_end.c are a task's way to a worker and back; batch_commit.c is what waits for the disk; batch_ops.c answers
 * questions; batch_show.c prints; batch_blobs.c moves files; batch_logs.c streams output, batch_watch.c events; batch_workers.c knows the
 * workers, batch_begun.c the rows of what began, batch_owner.c a job's place in placement, batch_lines.c lists of arguments,
 * batch_metrics.c the page, batch_care.c looks after the store, batch_remove.c takes jobs out of it. A range of tasks is placed by (job number,
 * its own serial), which a decision brings back as its tag, with the task's number; an odd tag is ours.
 */
#pragma once
#include "coordinator/coord.h"
#include "coordinator/store/store.h"
#include "lib/job/batch.h"

#define GR_BATCH_FIRST_SESSION (1ull << 32)       /* ids below it name jobs */

struct gr_batch;
/* Takes up what the store has. After an error gr_batch_close cleans up what was made. */
int gr_batch_open(struct gr_coord *c, struct gr_err *err) GR_MUST_CHECK;
void gr_batch_close(struct gr_coord *c);

/* ---- questions ---- */
struct gr_batch_who {                     /* who asks */
	const char *name;                 /* the key's, or "loopback" */
	bool is_admin;
	struct gr_peer *peer;             /* of the wire; NULL: HTTP */
};
/* Takes @rep. When @err is not NULL there is no @rep but perhaps members to add to the error. */
typedef void gr_batch_done(void *ctx, json_t *rep, const struct gr_err *err);
/* Whether @op is one of ours. */
bool gr_batch_is_op(const char *op);
/**
 * gr_batch_op - answer one question; the table is docs/protocol.md#jobs
 * @fn: called once, before this returns or later from the loop (a submit is answered when it is on disk)
 */
void gr_batch_op(struct gr_coord *c, const struct gr_batch_who *who, const char *op, const json_t *req, gr_batch_done *fn, void *ctx);
/* Over the wire, from control.c: answers by itself. */
void gr_batch_control(struct gr_coord *c, struct gr_peer *peer, const char *op, const json_t *req);
/* Output of an attempt as it is stored: appends at most @max bytes from @offset. Return: 0; GR_ENOENT. @total: its whole size. */
int gr_batch_log_read(struct gr_coord *c, uint64_t job, uint32_t task, uint32_t ordinal, int stream, uint64_t offset, size_t max, struct gr_buf *out,
		      uint64_t *total);
/**
 * gr_batch_log_follow - one stream of a task's output from @offset on, as it is written, until the task is over; each byte once
 * @sink: take is called from the loop: 0, or GR_EBUSY: not now; it comes again after gr_batch_log_more or a tick. end: once, when all was
 *        taken or the job is gone; *out is freed then. Neither before this returns. What another try of the task prints follows behind.
 * Return: 0; GR_ENOENT no such task; GR_EBUSY too many follow. @out: yours until end, or gr_batch_log_stop.
 */
struct gr_log_sink {
	int (*take)(void *ctx, struct gr_slice data);
	void (*end)(void *ctx);
};
struct gr_follower;
int gr_batch_log_follow(struct gr_coord *c, uint64_t job, uint32_t task, int stream, uint64_t offset, const struct gr_log_sink *sink, void *ctx,
			struct gr_follower **out) GR_MUST_CHECK;
/* What is stored and was not taken; may call end. */
void gr_batch_log_more(struct gr_coord *c, struct gr_follower *w);
void gr_batch_log_stop(struct gr_follower **w);           /* NULL is fine */
/* An upload of a file that no job names yet: begin, pieces in order, end (GR_ECORRUPT: not that digest) or abort. GR_ELIMIT:
 * more than fits; GR_ENOSPACE, GR_EIO. */
struct gr_cas_put;
int gr_batch_put_begin(struct gr_coord *c, const struct gr_digest *d, uint64_t bytes, struct gr_cas_put **out) GR_MUST_CHECK;
int gr_batch_put_add(struct gr_cas_put *p, struct gr_slice piece) GR_MUST_CHECK;
int gr_batch_put_end(struct gr_coord *c, struct gr_cas_put **p) GR_MUST_CHECK;
void gr_batch_put_abort(struct gr_cas_put **p);          /* NULL is fine */
/* Output @n of a task, counted as its "outputs" are listed: a descriptor that is the caller's. GR_ENOENT: none, or no file. */
int gr_batch_open_output(struct gr_coord *c, uint64_t job, uint32_t task, uint32_t n, uint64_t *size) GR_MUST_CHECK;
/* A file that job @job names, read-only; GR_ENOENT. */
int gr_batch_open_blob(struct gr_coord *c, const struct gr_digest *d, uint64_t *size) GR_MUST_CHECK;

/* ---- workers, clients ---- */
/* A worker's HELLO: its labels and what it offers, before it is placed. */
int gr_batch_hello_offer(struct gr_coord *c, struct gr_worker *w, const json_t *hello, struct gr_place_worker *spec, uint32_t *labels, uint32_t *envs,
			 struct gr_err *err) GR_MUST_CHECK;
/* It is placed: attempts it still has are adopted. */
void gr_batch_worker_up(struct gr_coord *c, struct gr_worker *w, const json_t *hello);
void gr_batch_worker_gone(struct gr_coord *c, struct gr_worker *w);       /* still placed */
void gr_batch_peer_gone(struct gr_coord *c, struct gr_peer *peer);        /* a client's streams and uploads */
int gr_batch_ended(struct gr_coord *c, struct gr_worker *w, struct gr_slice body);
int gr_batch_started(struct gr_coord *c, struct gr_worker *w, struct gr_slice body);
int gr_batch_out(struct gr_coord *c, struct gr_worker *w, struct gr_slice body);
int gr_batch_worker_blob(struct gr_coord *c, struct gr_worker *w, struct gr_slice body);
int gr_batch_worker_missing(struct gr_coord *c, struct gr_worker *w, struct gr_slice body);
int gr_batch_need(struct gr_coord *c, struct gr_peer *peer, struct gr_slice body);
int gr_batch_client_blob(struct gr_coord *c, struct gr_client *cl, struct gr_slice body);

/* Takes a small frame that must not be forgotten: one that the worker's full queue refuses is sent by a tick, in order. */
void gr_batch_send(struct gr_coord *c, struct gr_worker *w, struct gr_buf *frame);

/* ---- dispatch ---- */
static inline bool gr_batch_is_tag(uint64_t tag) { return tag & 1; }
/* A decision about one of our tasks. Return: false when its worker's queue was full. */
bool gr_batch_act(struct gr_coord *c, const struct gr_place_decision *d);

/* ---- status ---- */
struct gr_batch_stats {
	uint64_t n_jobs, n_open, submitted, counts[GR_B_N], attempts, fenced, adopted, causes[GR_BC_N], cpu_us, wasted_us, in_bytes, out_bytes;
	const char *trouble;              /* the store's, or NULL */
	struct gr_store_stats store;
	uint64_t blobs, blob_bytes;
};
/* Appends the families of jobs and tenants to a Prometheus page. */
void gr_batch_metrics(const struct gr_coord *c, struct gr_buf *out);
void gr_batch_stats(const struct gr_coord *c, struct gr_batch_stats *out);
