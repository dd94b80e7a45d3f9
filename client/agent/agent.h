/**
 * agent - the parts of the per-user daemon and what they share; private to client/agent
 *
 * One thread, one libuv loop. A unit is one compile that a wrapper asked for; it is on exactly one of agent->units[],
 * named by its state, and gr_unit_move is the only one who changes either.
 *
 *   listen.c      the socket: wrappers and control connections       unit.c        the life of one unit
 *   plan.c        argv -> what to send: inputs, outputs, task        outputs.c     writing what came back
 *   session.c     record ids                                         uplink.c      the coordinator: link, session, results
 *   blobs.c       FETCH -> BLOB                                      cache.c       action cache
 *   toolchains.c  probes, in a thread                                local.c       local slots, watched by pidfd
 *   build.c       counters, reasons, registered builds               jobserver.c   make's tokens
 *   depends.c     the compiler's -M, in a thread
 */
#pragma once
#include <jansson.h>
#include <uv.h>
#include "client/agent/config.h"
#include "client/agent/proto.h"
#include "client/agent/session.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/net/link.h"
#include "lib/net/loop.h"

struct gr_agent;
struct gr_build;
struct gr_conn;
struct gr_unit;
struct gr_plan;
struct gr_toolchain_ref;
struct gr_depends;
struct gr_cc_files;
struct gr_cc_closer;

/* X(NAME, what it waits for) */
#define GR_UNIT_STATE_MAP(X) \
	X(NEW, "nothing: being looked at") X(TOOLCHAIN, "the compiler being probed") \
	X(DEPENDS, "the preprocessor's list of its files") X(UPLINK, "the coordinator to come back") \
	X(QUEUED, "a credit of the coordinator") X(AWAY, "its result") X(TOKEN, "make's token, to answer") \
	X(SLOT, "a local slot") X(LOCAL, "the end of the local compiler")
enum gr_unit_state {
#define X(name, text) GR_UNIT_##name,
	GR_UNIT_STATE_MAP(X)
#undef X
	GR_UNIT_N_STATES
};

struct gr_request {                       /* one COMPILE packet; strings point into bytes */
	char *bytes;
	const char *cwd, *exe;
	char **argv, **env;               /* NULL-terminated */
	uint32_t n_args, n_env, umask, flags, columns;
	pid_t pid;                        /* the wrapper's, from the kernel; 0 when it is in another pid namespace */
};

struct gr_unit {
	struct gr_list on;                /* agent->units[state] */
	enum gr_unit_state state;
	struct gr_agent *agent;
	struct gr_conn *conn;             /* NULL once answered or gone */
	struct gr_build *build;           /* counted reference */
	struct gr_request req;
	struct gr_toolchain_ref *toolchain;
	struct gr_plan *plan;
	struct gr_depends *depends;       /* NULL: its includes need no preprocessor, or it was not run yet */
	uint32_t n_depends;               /* how often it was run */
	uint64_t task;                    /* in agent->session; 0 none */
	struct gr_buf frame;              /* the TASK as it was sent */
	uint64_t since_ns, deadline_ns;   /* of the state */
	uint32_t n_redo;                  /* planned anew because an input changed or the session was lost */
	bool has_lent;                    /* a token of its build's make is in the pipe on its account */
	struct gr_buf answer;             /* packet kept in state TOKEN */
	char *reason, *detail;            /* why it runs here: state TOKEN, SLOT, LOCAL */
	int pidfd;
	uv_poll_t *pid_poll;
};

struct gr_counts {
	uint64_t remote, cached, local, failed, retries;
	uint64_t bytes_sent, bytes_received, remote_cpu_us;
};

struct gr_agent {
	struct gr_loop *loop;
	const struct gr_agent_conf *conf;
	struct gr_list units[GR_UNIT_N_STATES];
	uint32_t n_units[GR_UNIT_N_STATES];
	struct gr_map tasks;              /* task number -> unit, of the present session */
	struct gr_map builds;             /* id -> build */
	struct gr_build *no_build;        /* units without a registered build */
	struct gr_counts total;
	struct gr_listen *listen;
	struct gr_session *session;
	struct gr_uplink *uplink;
	struct gr_blobs *blobs;
	struct gr_cache *cache;           /* NULL: off */
	struct gr_toolchains *toolchains;
	struct gr_cc_files *files;
	struct gr_cc_closer *closer;
	struct gr_planner *planner;
	struct gr_timer *tick;            /* every 500 ms: deadlines */
	uint64_t slot_progress_ns;        /* a local compile ended, or one was started beyond the slots */
	uint32_t n_depends;               /* threads that run -M */
	uint64_t started_ns, busy_ns;     /* busy_ns: when the last unit or build was there */
	bool is_ending;
	uint32_t n_closing_turns;
};

/* ---- unit.c ---- */
const char *gr_unit_state_name(enum gr_unit_state state);
/* Takes @req (emptied). */
void gr_unit_new(struct gr_agent *a, struct gr_conn *conn, struct gr_request *req);
void gr_unit_move(struct gr_unit *u, enum gr_unit_state state);
void gr_unit_go(struct gr_unit *u);                                  /* from NEW: plan it, find where it runs */
void gr_unit_toolchain_ready(struct gr_unit *u);                     /* its probe ended, well or not */
void gr_unit_hung_up(struct gr_unit *u);                             /* the wrapper is gone */
void gr_unit_run_local(struct gr_unit *u, const char *fmt, ...) GR_PRINTF(2, 3);
void gr_unit_result(struct gr_unit *u, const struct gr_result_msg *m);
void gr_unit_token(struct gr_unit *u);                               /* from TOKEN: it has been taken back */
void gr_unit_start_local(struct gr_unit *u);                         /* from SLOT: there is one */
void gr_unit_pump(struct gr_agent *a);                               /* UPLINK and QUEUED units that may go, go */
void gr_unit_redo_all(struct gr_agent *a);                           /* the session was lost: AWAY units are planned anew */
void gr_unit_tick(struct gr_agent *a, uint64_t now_ns);
void gr_unit_end_all(struct gr_agent *a);                            /* SIGTERM: all that wait run locally */
uint32_t gr_unit_n_waiting(const struct gr_agent *a);                /* units whose wrapper waits */

/* ---- depends.c ---- */
/* To DEPENDS; back in NEW, and on, when the compiler has said what it reads. u->plan is parsed. False: it was tried
 * often enough, or cannot be. */
bool gr_depends_start(struct gr_unit *u);
void gr_depends_drop(struct gr_unit *u);                             /* forgets it, also when it still runs */
/* The list, when it is there and nothing in it has changed; else NULL. After gr_cc_files_drain. */
const char *const *gr_depends_known(struct gr_unit *u, uint32_t *n);
const char *gr_depends_why(const struct gr_unit *u);                 /* why there is no list; NULL when it was not tried */
void gr_depends_wait(struct gr_agent *a);                            /* until no thread runs */

/* ---- listen.c ---- */
int gr_listen_open(struct gr_agent *a, struct gr_err *err) GR_MUST_CHECK;
void gr_listen_close(struct gr_agent *a);
/* One packet, and the connection is closed: @conn is gone. */
void gr_conn_answer(struct gr_conn **conn, struct gr_slice packet, int fd);
void gr_conn_set_unit(struct gr_conn *conn, struct gr_unit *u);
void gr_conn_drop(struct gr_conn **conn);                            /* closed without an answer */
bool gr_conn_is_alive(const struct gr_conn *conn);                   /* asks the kernel: the wrapper still waits */

/* ---- control_ops.c: the agent's side of control.h ---- */
json_t *gr_control_handle(struct gr_agent *a, struct gr_build **build, struct gr_slice body, int *fds, int n_fd);

/* ---- build.c ---- */
struct gr_build {
	uint32_t n_ref;
	char id[65];
	bool is_registered;
	int remote;                       /* enum gr_agent_remote, -1: the agent's own */
	bool no_cache;
	uint32_t n_job;
	struct gr_counts n;
	uint32_t in_flight, waiting_local;
	json_t *reasons, *locals;
	uint64_t cpu_start_us;
	struct gr_jobserver *jobserver;   /* NULL none */
};
struct gr_build *gr_build_open(struct gr_agent *a, const char *id, struct gr_err *err);
void gr_build_close(struct gr_agent *a, struct gr_build **b);        /* its units keep it alive */
/* A counted reference: the registered build of this id, else the agent's own. */
struct gr_build *gr_build_find(struct gr_agent *a, const char *id);
void gr_build_unref(struct gr_build **b);
void gr_build_count_local(struct gr_agent *a, struct gr_build *b, const char *source, const char *reason, const char *detail);
json_t *gr_build_summary(const struct gr_agent *a, const struct gr_build *b, bool has_lists);

/* ---- jobserver.c ---- */
/* Own descriptions of the pipe's ends, so that O_NONBLOCK is ours alone. NULL when they are no pipe. */
struct gr_jobserver *gr_jobserver_new(struct gr_agent *a, int rfd, int wfd);
void gr_jobserver_free(struct gr_jobserver **j);
bool gr_jobserver_lend(struct gr_jobserver *j);                      /* one token into the pipe, on a unit's account */
bool gr_jobserver_take(struct gr_jobserver *j);                      /* one back, if there is one now */
/* Units in state TOKEN of this build get theirs as they appear. */
void gr_jobserver_watch(struct gr_jobserver *j, struct gr_build *b);
void gr_jobserver_owe(struct gr_jobserver *j);                       /* a unit gave up waiting: taken back later */

/* ---- local.c ---- */
bool gr_local_prefers(const struct gr_agent *a, const struct gr_build *b);   /* --remote auto: few in flight, run it here */
void gr_local_request(struct gr_unit *u);                            /* to SLOT, and on when one is free */
void gr_local_watch(struct gr_unit *u);                              /* in LOCAL: until the process ends */
void gr_local_forget(struct gr_unit *u);                             /* stops watching */
void gr_local_ended(struct gr_agent *a);                             /* a slot may be free */

/* ---- uplink.c ---- */
int gr_uplink_open(struct gr_agent *a, struct gr_err *err) GR_MUST_CHECK;
void gr_uplink_close(struct gr_agent *a);
bool gr_uplink_is_up(const struct gr_agent *a);                      /* link up and session open */
/* True while a lost coordinator may still come back for units that wait. */
bool gr_uplink_may_return(const struct gr_agent *a);
const char *gr_uplink_why(const struct gr_agent *a);                 /* why it is not up */
bool gr_uplink_has_credit(const struct gr_agent *a);
/* True when the cluster's list of toolchains is known and @d is not in it. */
bool gr_uplink_lacks(const struct gr_agent *a, const struct gr_digest *d);
bool gr_uplink_wants_zlib(const struct gr_agent *a);
int gr_uplink_send(struct gr_agent *a, struct gr_buf *frame);      /* takes the bytes; queues what the link cannot take now */
bool gr_uplink_is_choked(const struct gr_agent *a);                /* something is queued */
int gr_uplink_send_task(struct gr_unit *u);                          /* flushes the log first */
void gr_uplink_cancel(struct gr_agent *a, uint64_t task);
struct gr_cluster { uint32_t slots, free, workers, credits, n_toolchains; };
const struct gr_cluster *gr_uplink_cluster(const struct gr_agent *a);
void gr_uplink_drop_session(struct gr_agent *a);                     /* idle or full: the next unit begins a new one */

/* ---- blobs.c ---- */
void gr_blobs_open(struct gr_agent *a);
void gr_blobs_close(struct gr_agent *a);
void gr_blobs_fetch(struct gr_agent *a, const struct gr_digests_msg *m);
void gr_blobs_forget(struct gr_agent *a);                            /* the link went down */
