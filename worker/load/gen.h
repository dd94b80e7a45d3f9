/**
 * gen - one generator thread, seen from inside worker/load
 *
 *   gen.c     the loop: what is due, what waits, what is over    conn.c    connections: opening, pools, reading, writing
 *   visit.c   a visit's steps, from planned to answered          h1.c      HTTP/1.1      h2.c  HTTP/2
 *   answer.c  checks, captures, cookies                          stream.c  WebSocket and raw TCP
 *   tls.c     OpenSSL                                            count.c   what is counted, and its frames
 *   names.c   addresses, looked up by a thread beside it
 *
 * A visit is one run through a scenario. Its request is planned (the moment the latency counts from), issued (the thread
 * got to it), sent (bytes left), answered or failed. A visit is in at most one of: the ready list, the think heap, a
 * pool's waiting list, a connection; from issued to answered it is also in the list of time limits, which is in order
 * since all have the same.
 *
 * No memory is taken for a request once as many visits and connections exist as are in use at a time.
 */
#pragma once
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include "lib/base/list.h"
#include "lib/load/http1.h"
#include "lib/load/jar.h"
#include "lib/load/kinds.h"
#include "lib/load/plan.h"
#include "lib/stats/hdr.h"
#include "worker/load/names.h"
#include "worker/load/shard.h"

#define GR_GEN_RX_BYTES 65536u
#define GR_GEN_KEEP_BYTES (1u << 20)            /* of a body, for checks and captures */
#define GR_GEN_MAX_VISITS 1000000u              /* in flight in one thread */
#define GR_GEN_BACKOFF_NS 10000000ull           /* closed model: after a failure */

struct gr_gen;
struct gr_visit;
struct gr_h2;
struct gr_h2_fixed;

struct gr_pool {                                /* connections to one origin; WebSocket: of one request */
	struct gr_gen *g;
	const struct gr_load_origin *origin;
	const struct gr_load_request *upgrade;
	uint32_t i_origin;
	struct gr_addrs addrs;                  /* of version @names, 0 none yet; taken in turn */
	uint32_t names, i_addr;
	struct gr_list idle;                    /* the last used first */
	struct gr_list waiting;                 /* visits, the longest waiting first */
	struct gr_list shared;                  /* HTTP/2 connections that take more streams */
	uint32_t n_opening, n_waiting;
	SSL_SESSION *session;
};

enum gr_ws_message { GR_WS_NONE, GR_WS_OURS, GR_WS_PUSHED };     /* PUSHED: nobody asked for it */
enum gr_conn_state { GR_CONN_OPENING, GR_CONN_TLS, GR_CONN_UPGRADING, GR_CONN_IDLE, GR_CONN_BUSY, GR_CONN_SHARED, GR_CONN_GONE };
struct gr_conn {
	struct gr_list link;                    /* pool->idle, pool->shared, or none; gen->dead */
	struct gr_list all;                     /* gen->conns */
	struct gr_list dirty;                   /* gen->dirty: HTTP/2 with something to write */
	struct gr_pool *pool;
	struct gr_visit *visit;                 /* whose answer is awaited; HTTP/2: none */
	SSL *ssl;
	struct gr_h2 *h2;
	const uint8_t *out;                     /* not yet written */
	uint32_t n_out, n_requests;
	int fd;
	uint8_t state;
	uint8_t message;                        /* WebSocket: enum gr_ws_message, of one in several frames */
	uint64_t opened_ns;
	struct gr_http1 h1;                     /* WebSocket, TCP: scanner state, see stream.c */
	struct gr_buf carry;                    /* an unfinished head */
};

struct gr_extra {                               /* what only visits of templates, checks or captures need */
	struct gr_load_ctx ctx;
	struct gr_slice vars[GR_LOAD_MAX_VARS];
	struct gr_buf values[GR_LOAD_MAX_VARS];
	struct gr_buf out, body_out, path, head, body;
	struct gr_jar jar;
	struct gr_buf cookies;                  /* what the request brings of it */
};
struct gr_visit {
	struct gr_list time;                    /* gen->limits */
	struct gr_list link;                    /* gen->ready, pool->waiting, an HTTP/2 connection's, gen->spare */
	const struct gr_load_scenario *scenario;
	const struct gr_load_request *request;
	struct gr_pool *pool;
	struct gr_conn *conn;
	struct gr_extra *x;
	uint64_t seq, planned_ns, issued_ns, sent_ns, first_ns, n_body;
	uint32_t i_step, n_fields;              /* n_fields: bytes of an answer's fields, HTTP/2 */
	int32_t stream;                         /* HTTP/2 */
	struct gr_slice body_left;              /* HTTP/2: of the request's body, not yet taken */
	uint16_t status;
	bool is_retried, is_waiting, is_fresh;  /* fresh: on a connection made for it */
};

struct gr_count {
	uint64_t n[GR_LOAD_N_COUNTERS];
	uint32_t *status, *fails, *checks;      /* [request][512], [request][32], [request][16] */
	struct gr_hdr *series;
	uint32_t n_series;
};

struct gr_share { uint64_t from; uint32_t index, of; };

struct gr_gen {
	struct gr_shard *shard;
	const struct gr_load_plan *plan;
	uint32_t part, n_parts;
	pthread_t thread;
	bool has_thread;
	int ep, wake_fd;
	/* under the shard's lock */
	uint64_t cmd_start_ns;
	bool cmd_stop;
	struct gr_share cmd_share;
	bool has_cmd_share;
	/* the thread's own */
	uint64_t now_ns, start_ns, end_ns, first_ns, cpu_ns;
	bool is_running, is_stopping, is_over;  /* over: nothing new starts */
	struct gr_share share, next_share;
	bool has_next_share;
	uint64_t next_k, due_ns, n_arrivals;    /* open: the next arrival of ours, and when */
	uint32_t i_seg;
	/* when to be awake, gen.c */
	uint64_t awake_ns, credited_ns;         /* what may be spent awake before something is to happen; when that was last added to */
	uint64_t usual_ns, spread_ns;           /* from a request sent to its first byte, and how far that varies */
	uint64_t n_users, n_wanted, n_started, seq_base, adjust_ns;  /* closed */
	uint32_t first_of;                      /* share.of at the start */
	uint32_t interval;
	uint32_t n_conns, max_conns, n_visits, n_in_flight;
	struct gr_pool *pools;
	uint32_t n_pools;
	struct gr_list ready, limits, spare, dirty, conns, dead;   /* dead: connections to be freed at the end of a turn */
	struct gr_visit **heap;
	uint32_t n_heap, cap_heap;
	struct gr_buf *fixed;                   /* [request]: the bytes of those without a template */
	struct gr_h2_fixed **h2_fixed;          /* [request]: likewise the fields, or NULL */
	SSL_CTX *tls;
	struct gr_count c;
	uint8_t *rx;
	struct gr_err err;
};

/* ---- gen.c ---- */
int gr_gen_init(struct gr_gen *g);              /* in the thread; the error in g->err */
void gr_gen_warm(struct gr_gen *g);             /* when the plan says so: connections, before the start */
void gr_gen_run(struct gr_gen *g);
uint64_t gr_gen_next_seq(struct gr_gen *g);     /* closed: the number of the next visit; no other's of all shards */
void gr_gen_fini(struct gr_gen *g);
void gr_gen_learn(struct gr_gen *g, uint64_t ns);        /* so long from a request sent to its answer's first byte */
static inline bool gr_gen_is_h2(const struct gr_gen *g, const struct gr_pool *p)
{
	return g->plan->is_http2 && (p->origin->scheme == GR_LOAD_HTTP || p->origin->scheme == GR_LOAD_HTTPS);
}

/* ---- visit.c ---- */
struct gr_visit *gr_visit_new(struct gr_gen *g, uint64_t seq, uint64_t planned_ns);   /* NULL: too many */
void gr_visit_issue(struct gr_gen *g, struct gr_visit *v);       /* its request now */
void gr_visit_want_extra(struct gr_gen *g, struct gr_visit *v);  /* v->x is there afterwards */
void gr_visit_sent(struct gr_gen *g, struct gr_visit *v);
void gr_visit_answered(struct gr_gen *g, struct gr_visit *v);    /* the answer is whole, the connection free of it */
void gr_visit_failed(struct gr_gen *g, struct gr_visit *v, enum gr_load_fail why);
/* The connection went before any byte of the answer: once more on another, when it was a used one; else failed. */
void gr_visit_lost(struct gr_gen *g, struct gr_visit *v, enum gr_load_fail why);
/* Some of the body came. false: beyond the limit, and the visit has failed. */
bool gr_visit_body(struct gr_gen *g, struct gr_visit *v, struct gr_slice data);
void gr_visit_timeout(struct gr_gen *g, struct gr_visit *v);
struct gr_slice gr_visit_render(struct gr_gen *g, struct gr_visit *v);               /* HTTP/1.1, TCP, WebSocket: the bytes */
void gr_visit_add_path(struct gr_buf *out, const struct gr_buf *path);               /* what no request line may hold is written as %XX */
void gr_visit_join_lines(struct gr_buf *b, size_t from);         /* what is a header's value from there on: one line */
void gr_visit_fini(struct gr_visit *v);
void gr_heap_push(struct gr_gen *g, struct gr_visit *v);         /* by planned_ns */
struct gr_visit *gr_heap_pop(struct gr_gen *g);

/* ---- answer.c ---- */
void gr_answer_head(struct gr_visit *v, struct gr_slice head);   /* kept for checks and captures; cookies taken */
void gr_answer_field(struct gr_visit *v, struct gr_slice name, struct gr_slice value);   /* one field, HTTP/2 */
/* For its request, whose path is rendered into x->path; empty: none. Valid until the visit's next request. */
struct gr_slice gr_answer_cookies(struct gr_visit *v);
enum gr_load_fail gr_answer_judge(struct gr_gen *g, struct gr_visit *v, uint64_t latency_ns);     /* GR_LOAD_N_FAILS: none */

/* ---- conn.c ---- */
void gr_conn_want(struct gr_gen *g, struct gr_visit *v);         /* sent at once, when one is opened, or when one is free */
void gr_conn_event(struct gr_gen *g, struct gr_conn *c, uint32_t events);
void gr_conn_send(struct gr_gen *g, struct gr_conn *c, struct gr_slice bytes);
void gr_conn_free_for_next(struct gr_gen *g, struct gr_conn *c, bool is_reusable);   /* its visit is done with it */
void gr_conn_close(struct gr_gen *g, struct gr_conn *c);         /* no visit on it */
void gr_conn_broke(struct gr_gen *g, struct gr_conn *c, enum gr_load_fail why);      /* with its visits */
void gr_conn_ready(struct gr_gen *g, struct gr_conn *c);         /* connected, handshakes done */
void gr_conn_flush(struct gr_gen *g, struct gr_conn *c);
void gr_pool_kick(struct gr_gen *g, struct gr_pool *p);
/* Whoever waits for a connection to one host while another's are unused, or are gone, gets one. Once a turn. */
void gr_pools_balance(struct gr_gen *g);
/* HTTP/2: connections that take longer to open than a request may are given up. Return: what who waited for them failed of. */
enum gr_load_fail gr_pool_overdue(struct gr_gen *g, struct gr_pool *p);
bool gr_conn_warm(struct gr_gen *g, struct gr_pool *p);          /* one opened ahead */
long gr_conn_read(struct gr_gen *g, struct gr_conn *c, void *p, size_t n);           /* 0 end, -1 later, -2 broken */
long gr_conn_write(struct gr_gen *g, struct gr_conn *c, const void *p, size_t n);    /* -1 later, -2 broken */

/* ---- h1.c, stream.c: false when the connection was closed ---- */
bool gr_h1_input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in);
bool gr_ws_input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in);
bool gr_ws_upgrade_input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in);
bool gr_tcp_input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in);
void gr_ws_upgrade(struct gr_gen *g, struct gr_conn *c);
void gr_ws_bye(struct gr_gen *g, struct gr_conn *c);             /* a Close frame, if there is room for one */
void gr_ws_frame(struct gr_gen *g, struct gr_buf *out, bool is_text, struct gr_slice text);

/* ---- h2.c ---- */
bool gr_h2_open(struct gr_gen *g, struct gr_conn *c);
bool gr_h2_input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in);
bool gr_h2_request(struct gr_gen *g, struct gr_conn *c, struct gr_visit *v);         /* false: takes no more */
void gr_h2_cancel(struct gr_gen *g, struct gr_conn *c, struct gr_visit *v);
bool gr_h2_flush(struct gr_gen *g, struct gr_conn *c);           /* false: broken */
void gr_h2_free(struct gr_gen *g, struct gr_conn *c, enum gr_load_fail why);         /* its visits are lost */
uint32_t gr_h2_room(const struct gr_conn *c);
bool gr_h2_is_idle(const struct gr_conn *c);
void gr_h2_fini(struct gr_gen *g);               /* after all connections */

/* ---- tls.c ---- */
int gr_tls_init(struct gr_gen *g);
bool gr_tls_start(struct gr_gen *g, struct gr_conn *c);
int gr_tls_handshake(struct gr_gen *g, struct gr_conn *c);       /* 1 done, 0 later, -1 failed */
bool gr_tls_has_h2(const struct gr_conn *c);

/* ---- count.c ---- */
void gr_count_init(struct gr_gen *g);
void gr_count_fini(struct gr_gen *g);
static inline void gr_count_time(struct gr_gen *g, uint32_t series, uint64_t from_ns, uint64_t to_ns)
{
	gr_hdr_add(&g->c.series[series], to_ns > from_ns ? to_ns - from_ns : 0);
}
void gr_count_report(struct gr_gen *g, bool is_last);

/* ---- shard.c, for the threads ---- */
void gr_shard__ready(struct gr_gen *g, int rc);
void gr_shard__report(struct gr_gen *g, struct gr_buf *frame);
void gr_shard__ended(struct gr_gen *g);
/* Commands that came; true when there were any. */
bool gr_shard__commands(struct gr_gen *g);
struct gr_names *gr_shard__names(const struct gr_gen *g);
uint64_t gr_shard__run(const struct gr_gen *g, uint16_t *shard);
