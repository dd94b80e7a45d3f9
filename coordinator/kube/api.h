/**
 * api - requests to the cluster's API server over HTTPS, on the coordinator's loop
 *
 * libcurl's multi interface, driven by the loop's polls and one timer; HTTP/1.1, so that each watch has a connection of its
 * own. The service account's folder gives ca.crt (read for each new connection) and token (read again when the file changed,
 * and after a 401). Nothing here blocks but the reading of a token of some KiB. Thread: the loop's.
 */
#pragma once
#include "lib/base/buf.h"
#include "lib/net/loop.h"

#define GR_KAPI_MAX_LINE (4u << 20)        /* bytes of one event of a watch */
#define GR_KAPI_MAX_BODY (16u << 20)       /* bytes of an answer that is no watch */

struct gr_kapi;
struct gr_kreq;

/* What a request came to. */
struct gr_kanswer {
	int rc;                    /* 0: the whole answer is here; GR_ETIME, GR_EUNREACH (no connection, broken), GR_EAUTH (TLS, no
	                            * token), GR_ELIMIT (too long), GR_EPROTO (what on_line said no to) */
	int status;                /* HTTP's; 0 when none came */
	struct gr_slice body;      /* of what is no watch, and of errors; borrowed for the call */
	const char *why;           /* with rc < 0, or status >= 400: for people; borrowed for the call */
};
struct gr_kcall {
	const char *method;        /* "GET", "POST", "PATCH" */
	const char *path;          /* from "/" on, query and all, escaped */
	const char *json;          /* an object, for PATCH a merge patch; copied; NULL none */
	uint32_t timeout_ms;       /* for the whole answer */
	/* The head of a watch is here, with status 200: it has begun. May be NULL; what on_line may not, it may not. */
	void (*on_head)(void *ctx);
	/* A line of a watch, without its newline; < 0 ends the request with that. NULL: the body is kept whole. It must not call
	 * anything of this header. */
	int (*on_line)(void *ctx, struct gr_slice line);
	void (*on_end)(void *ctx, const struct gr_kanswer *a);     /* once, unless it was cancelled; may begin new ones */
	void *ctx;
};
struct gr_kapi_stats { uint64_t requests, failed, bytes_in; };

/* @url "https://host:port", @account a folder; both copied. NULL when libcurl cannot be set up. */
struct gr_kapi *gr_kapi_new(struct gr_loop *loop, const char *url, const char *account);
/* Cancels what runs; the loop has to run once more. */
void gr_kapi_free(struct gr_kapi **a);
/* Begins a request: never NULL; it ends by on_end later, never within this call. */
struct gr_kreq *gr_kapi_send(struct gr_kapi *a, const struct gr_kcall *call);
void gr_kreq_cancel(struct gr_kreq **r);         /* no on_end; not from on_line */
/* Seconds the server's clock is ahead of ours, by the Date of its answers; 0 until known. */
int64_t gr_kapi_skew_s(const struct gr_kapi *a);
void gr_kapi_stats(const struct gr_kapi *a, struct gr_kapi_stats *out);
/* Appends @text with everything that is no letter, digit or -._~ written as %XX. */
void gr_kapi_escape(struct gr_buf *b, const char *text);
