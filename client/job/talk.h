/**
 * talk - what the job commands share: a conversation with the coordinator, a submit that survives its restarts
 */
#pragma once
#include "client/job/inputs.h"
#include "client/job/jobfile.h"
#include "client/rpc.h"

struct gr_talk {
	struct gr_paths paths;
	struct gr_target target;
	struct gr_rpc *rpc;
	struct gr_inputs *inputs;           /* what may be asked for; NULL none */
	bool is_quiet;
	bool was_up, is_told_down;
	int lost, lost_stream;              /* an errno: why what was printed did not get there; 0: it did (gr_talk_lost) */
	/* Set by who follows a job; each may be NULL. */
	void (*on_out)(void *ctx, const struct gr_out_msg *m);
	void (*on_event)(void *ctx, const json_t *event);
	void (*on_up)(void *ctx);           /* connected again: subscriptions are gone */
	void (*on_note)(void *ctx);         /* a line is about to be printed on stderr */
	void *ctx, *out_ctx;                /* out_ctx: on_out's */
};

int gr_talk_open(struct gr_talk *b, const struct gr_target_opts *o, struct gr_err *err) GR_MUST_CHECK;
void gr_talk_close(struct gr_talk *b);
/* Ask; waits for ever over restarts when @is_patient, else 10 s. Takes @req. @rep may be NULL. */
int gr_talk_call(struct gr_talk *b, bool is_patient, json_t *req, json_t **rep, struct gr_err *err) GR_MUST_CHECK;
/**
 * gr_talk_submit - send what is missing and submit; over a restart of the coordinator it is the same job all the same
 * @dry_run: the coordinator checks it and says how many tasks there would be
 */
int gr_talk_submit(struct gr_talk *b, struct gr_jobfile *f, bool dry_run, uint64_t *job, uint64_t *n_tasks, struct gr_err *err)
	GR_MUST_CHECK;
void gr_talk_note(struct gr_talk *b, const char *fmt, ...) GR_PRINTF(2, 3);   /* "griddle: text" on stderr */
/* @stream of ours, GR_STREAM_OUT or GR_STREAM_ERR, did not take what was printed, for @why, an errno. The first is kept; who waits is
 * interrupted, as by SIGPIPE. */
void gr_talk_lost(struct gr_talk *b, int stream, int why);
/* "standard output could not be written: No space left on device". Return: its code; GR_EGONE when nobody reads it; 0: all got there. */
int gr_talk_lost_err(const struct gr_talk *b, struct gr_err *err) GR_MUST_CHECK;

/* JSON members, with what people see when there is none. */
json_int_t gr_jnum(const json_t *o, const char *key);
const char *gr_jstr(const json_t *o, const char *key);      /* "-" */
/* "12" -> 12. GR_EUSAGE. */
int gr_talk_number(const char *word, const char *what, uint64_t *out, struct gr_err *err) GR_MUST_CHECK;
