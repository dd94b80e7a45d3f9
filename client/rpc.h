/**
 * rpc - a conversation with the coordinator that outlives its restarts: question and answer, and files when it asks
 *
 * For commands that do one thing after the other: gr_rpc_call runs the loop until it is answered. Who has several questions
 * asks them all (gr_rpc_ask) and then waits for one answer at a time. A connection that is lost is made anew and what was not
 * answered is asked again, so every op must bear being asked twice.
 */
#pragma once
#include <jansson.h>
#include "client/cmd/target.h"
#include "lib/base/sha256.h"
#include "lib/wire/msg_job.h"

struct gr_rpc;
struct gr_rpc_question;
struct gr_rpc_file;
struct gr_rpc_ops {
	/* What is wanted of a file the coordinator asked for: a descriptor for @digest (the caller of this closes it) and its
	 * size; GR_ENOENT. May be NULL: nothing is had. */
	int (*open_blob)(void *ctx, const struct gr_digest *digest, uint64_t *size);
	/* What comes without having been asked for; borrowed. Each may be NULL. */
	void (*on_out)(void *ctx, const struct gr_out_msg *m);
	void (*on_event)(void *ctx, const json_t *event);
	/* The connection went (@is_up false) or is there again; for a line to people. May be NULL. */
	void (*on_link)(void *ctx, bool is_up, const char *why);
};

/* Does not wait for the connection. */
int gr_rpc_open(const struct gr_target *t, const struct gr_rpc_ops *ops, void *ctx, struct gr_rpc **out, struct gr_err *err)
	GR_MUST_CHECK;
void gr_rpc_close(struct gr_rpc **r);

/**
 * gr_rpc_call - ask and wait for the answer
 * @req: with "op"; taken
 * @limit_ms: for the whole; 0: for ever, over restarts of the coordinator
 * @rep: a new reference
 * Errors: what the coordinator refused keeps its text and code; GR_EUNREACH, GR_EAUTH, GR_EROLE, GR_EVERSION; GR_EGONE
 * when SIGINT or SIGTERM came meanwhile.
 */
int gr_rpc_call(struct gr_rpc *r, json_t *req, int limit_ms, json_t **rep, struct gr_err *err) GR_MUST_CHECK;
/**
 * gr_rpc_ask - a question on its way beside others; answers come in any order
 * @req: with "op"; taken; NULL, which is what text that is not UTF-8 makes of one, is answered with GR_EUSAGE. Who keeps a reference may change it until it is answered: what it is then is what is asked anew after a
 *       break.
 * Return: yours until gr_rpc_answer or gr_rpc_drop, which must come before gr_rpc_close.
 */
struct gr_rpc_question *gr_rpc_ask(struct gr_rpc *r, json_t *req) GR_MUST_CHECK;
/* Waits for its answer, as gr_rpc_call, which is the two in one. Consumes @q in every case. */
int gr_rpc_answer(struct gr_rpc *r, struct gr_rpc_question **q, int limit_ms, json_t **rep, struct gr_err *err) GR_MUST_CHECK;
void gr_rpc_drop(struct gr_rpc_question **q);    /* gives it up: an answer that comes still is passed over */
bool gr_rpc_is_answered(const struct gr_rpc_question *q);
/**
 * gr_rpc_upload - send contents (ops->open_blob has them) ahead of a submit, on this connection
 * Return: 0 when all were handed to the connection; GR_EUNREACH when it went meanwhile: ask anew what is missing.
 */
int gr_rpc_upload(struct gr_rpc *r, const struct gr_digest *digests, size_t n, struct gr_err *err) GR_MUST_CHECK;
/**
 * gr_rpc_file_ask - a file on its way beside others: the content @digest of @job into @fd, from its start, checked
 * @fd: borrowed until then. Begun anew over a restart.
 * Return: yours until gr_rpc_file_wait or gr_rpc_file_drop, which must come before gr_rpc_close.
 */
struct gr_rpc_file *gr_rpc_file_ask(struct gr_rpc *r, uint64_t job, const struct gr_digest *digest, int fd) GR_MUST_CHECK;
/* Waits until it is whole, as gr_rpc_download, which is the two in one. Consumes @f in every case. */
int gr_rpc_file_wait(struct gr_rpc *r, struct gr_rpc_file **f, struct gr_err *err) GR_MUST_CHECK;
void gr_rpc_file_drop(struct gr_rpc_file **f);   /* gives it up; its descriptor holds what came */
/* Takes the content @digest of @job into @fd, checked. GR_ENOENT when it is not kept any more; waits over restarts. */
int gr_rpc_download(struct gr_rpc *r, uint64_t job, const struct gr_digest *digest, int fd, struct gr_err *err) GR_MUST_CHECK;
/* From a callback: lets the gr_rpc_sleep that is running return. */
void gr_rpc_poke(struct gr_rpc *r);
/* Lets time pass, with the connection kept alive. Return: 0; GR_EGONE at once when a signal came. */
int gr_rpc_sleep(struct gr_rpc *r, int ms);
/* From a callback: as if the signal @signum came. */
void gr_rpc_interrupt(struct gr_rpc *r, int signum);
/* Signals since the last call of this; 0 none, else SIGINT, SIGTERM or that of gr_rpc_interrupt. Forgets it. */
int gr_rpc_take_signal(struct gr_rpc *r);
uint64_t gr_rpc_now_ms(struct gr_rpc *r);        /* monotonic */
uint64_t gr_rpc_real_ms(void);                   /* for people */
struct gr_loop *gr_rpc_loop(struct gr_rpc *r);
