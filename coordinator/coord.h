/**
 * coord - the one struct of the coordinator, and what its files give each other
 *
 * A message comes in through peers.c and goes to session.c (logs), intake.c (tasks), dispatch.c (placement, attempts,
 * results), blobs.c (files) or control.c (questions). Nothing is decided while messages are read: what changed sets one
 * zero timer, and dispatch decides for all that came in one wake-up. No thread but the loop's.
 */
#pragma once
#include "coordinator/config.h"
#include "coordinator/metrics.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/cas/cas.h"
#include "lib/job/job.h"
#include "lib/net/server.h"
#include "lib/place/place.h"

struct gr_blobs;
struct gr_http;
struct gr_events;
struct gr_recent;
struct gr_batch;
struct gr_bworker;
struct gr_load;
struct gr_kube;

struct gr_cnode;

struct gr_coord {
	struct gr_coord_config cfg;
	struct gr_keypair keys;            /* when cfg.keys */
	struct gr_allow *allow;
	struct gr_loop *loop;
	struct gr_server *server;
	struct gr_place *place;
	struct gr_place_log place_log;     /* when cfg.place_log */
	int place_log_fd;
	uint64_t place_log_bytes;
	struct gr_cas *cas;
	struct gr_metrics m;
	struct gr_list workers, clients;
	uint32_t n_workers, n_clients;
	struct gr_map nodes;               /* name -> struct gr_cnode; signals.c */
	struct gr_map sessions;            /* by id */
	uint64_t worker_gone_ns;           /* when the last worker went */
	struct gr_blobs *blobs;
	struct gr_batch *batch;            /* durable jobs */
	int exit_rc;                       /* why the loop was stopped; 0 asked to */
	struct gr_http *http;
	struct gr_events *events;          /* NULL without http; so is recent */
	struct gr_recent *recent;
	struct gr_load *load;
	struct gr_kube *kube;              /* NULL: off */
	struct gr_timer *kick, *wake;      /* dispatch: now; when a quarantine or a wait ends */
	bool is_kicked, is_recheck_due, is_cluster_dirty, is_ending;
	struct gr_timer *cluster_timer, *second_timer, *resend_timer;
	uint64_t start_ns, cluster_sent_ns;
	struct gr_buf cluster_last;        /* what clients were told */
	uint32_t cluster_n_clients;
	char endpoint[512], http_endpoint[128];
};

/* @c holds nothing but cfg. After an error gr_coord_close and gr_coord_fini clean up what was made. */
int gr_coord_open(struct gr_coord *c, struct gr_loop *loop, struct gr_err *err) GR_MUST_CHECK;
void gr_coord_close(struct gr_coord *c);          /* says goodbye; the loop runs once more to close its handles */
void gr_coord_fini(struct gr_coord *c);           /* after that */

/* ---- peers ---- */
struct gr_toolchain {
	struct gr_digest digest;
	char name[64], version[32];
};
struct gr_worker {
	struct gr_list link;               /* coord->workers */
	struct gr_coord *coord;
	struct gr_peer *peer;
	uint64_t identity;                 /* hash of name and key: the same after a reconnect */
	char name[64], node[64], zone[64], tier[16], version[32];
	uint32_t slots, prefetch;
	uint64_t mem_bytes, since_ms;
	uint32_t place;                    /* id in coord->place */
	bool is_draining, has_stress;      /* stress-ng, for burns of load tests */
	bool is_drain_told;                /* by itself, which nothing takes back */
	uint64_t told_gone_ns;             /* when it will be gone then */
	bool is_cordoned, is_pod_gone;     /* as the cluster says (coordinator/kube); so are those that follow */
	uint64_t kube_gone_ns;             /* drains for it, and is gone by then; 0 not */
	char kube_why[224], machine[64];   /* machine: its node's instance type */
	json_t *hello;                     /* until the nodes are known */
	struct gr_toolchain *toolchains;
	uint32_t n_toolchains;
	char pod[64], pod_uid[40], ns[64], qos[16];
	char node_ip[48];                  /* its label node-ip, or "" */
	char node_label[130];              /* node, as a label's value in /metrics */
	uint32_t cpus, node_cpu_mcpu;      /* those it may run on; all of its node's; 0 unknown */
	struct gr_cnode *on_node;
	uint64_t signals[GR_MAX_SIGNALS];
	struct gr_map seats;               /* session id -> struct gr_seat */
	uint64_t stuck_since_ns;           /* its queue has been full since; 0 not */
	struct gr_bworker *batch;          /* batch_workers.c */
	struct gr_outbox *outbox;          /* blobs on their way to it; blobs.c */
};
struct gr_client {
	struct gr_list link;               /* coord->clients */
	struct gr_coord *coord;
	struct gr_peer *peer;
	struct gr_list sessions;
	uint32_t n_sessions, n_tasks;      /* tasks without a confirmed result */
	uint64_t result_bytes;             /* of unconfirmed results */
	uint64_t log_bytes;                /* of its sessions */
	uint64_t since_ms;
};
extern const struct gr_server_ops gr_peers_ops;
/* Its zone or its node's type became known: placed anew by its @hello, unless something is placed on it. */
void gr_peers_replace(struct gr_coord *c, struct gr_worker *w, const json_t *hello);
/* Takes the frame. Counts. Return: 0; GR_EBUSY, GR_EGONE as gr_server_send. */
int gr_peers_send(struct gr_coord *c, struct gr_peer *peer, struct gr_buf *frame);
/* Of a label that a worker has by its zone or machine: the value, borrowed from it; NULL: it has none of that name. */
const char *gr_peers_own_label(const struct gr_worker *w, const char *key);
/* The same, but an error leaves the frame the caller's. */
int gr_peers_try(struct gr_coord *c, struct gr_peer *peer, struct gr_buf *frame);

/* ---- signals ---- */
void gr_signals_worker_up(struct gr_coord *c, struct gr_worker *w);
void gr_signals_worker_gone(struct gr_coord *c, struct gr_worker *w);
void gr_signals_fini(struct gr_coord *c);
int gr_signals_ping(struct gr_coord *c, struct gr_worker *w, struct gr_slice body);
/* Cores of its node that others than our workers use; 0 none, or unknown. */
uint32_t gr_signals_foreign_mcpu(const struct gr_worker *w);
json_t *gr_signals_json(const struct gr_worker *w);
void gr_signals_metrics(const struct gr_coord *c, struct gr_buf *b);

/* ---- sessions ---- */
struct gr_log_rec {
	uint32_t at;                       /* offset in the log's bytes */
	uint8_t tag, kind;
	bool is_safe_path;                 /* a STR that may be a path */
	uint64_t size;                     /* of a file */
};
struct gr_content {                        /* a digest some record names */
	struct gr_digest digest;
	uint64_t size;
};
struct gr_seat {                           /* a session on a worker */
	struct gr_list link;               /* session->seats */
	struct gr_session *session;
	struct gr_worker *worker;
	bool is_open;
	uint32_t n_sent;                   /* records it was sent */
	uint32_t n_asked;                  /* SESSION_OPENs without answer */
};
struct gr_session {
	struct gr_list link;               /* client->sessions */
	struct gr_coord *coord;
	struct gr_client *client;          /* NULL: lingers */
	uint64_t id, gone_ns;
	char key_name[64], client_name[64];
	struct gr_job job;
	uint32_t owner;                    /* in coord->place */
	struct gr_buf log;
	struct gr_log_rec *recs;
	uint32_t n_recs, cap_recs;
	struct gr_map contents;            /* digest -> struct gr_content */
	uint64_t content_bytes;
	struct gr_map tasks;               /* id -> struct gr_ctask */
	struct gr_list seats;
	uint32_t n_connects;               /* attempts of another connection get other numbers */
	uint64_t opened_ms;
};
int gr_session_open(struct gr_coord *c, struct gr_client *cl, struct gr_slice body);
int gr_session_log(struct gr_coord *c, struct gr_client *cl, struct gr_slice body);
int gr_session_close_msg(struct gr_coord *c, struct gr_client *cl, struct gr_slice body);
/* The bytes of a STR; borrowed until the log grows. */
struct gr_slice gr_session_str(const struct gr_session *s, uint32_t id);
/* The session of that id if it is this client's, or NULL. */
struct gr_session *gr_session_of(struct gr_coord *c, const struct gr_client *cl, uint64_t id);
struct gr_session *gr_session_find(struct gr_coord *c, uint64_t id);
/* The client went: tasks are cancelled everywhere, the log stays for a while. */
void gr_session_detach(struct gr_session *s, uint64_t now_ns);
void gr_session_free(struct gr_session **s);             /* tells the workers */
void gr_session_expire(struct gr_coord *c, uint64_t now_ns);
/* Opens the session on the worker and sends what of the log it lacks. Return: 0; GR_EBUSY, GR_EGONE. */
int gr_seat_feed(struct gr_session *s, struct gr_worker *w, struct gr_seat **out);
/* The worker came back and has it still. */
void gr_seat_adopt(struct gr_session *s, struct gr_worker *w, uint32_t n_records);
void gr_seat_free(struct gr_seat *seat);

/* ---- tasks ---- */
/* The placement resource that stands for a sandbox with a root of its own: a tier without it cannot do some tasks with the
 * same bytes, and would refuse them. */
#define GR_COORD_RES_ROOT GR_PLACE_USER_0
/* A worker has one: it generates load for one test at a time. */
#define GR_COORD_RES_LOAD GR_PLACE_USER_1
#define GR_COORD_ROOT_FLAGS (GR_TASK_F_GCOV | GR_TASK_F_SPLIT_DWARF | GR_TASK_F_PLUGIN)
struct gr_ctask {                          /* a task as the coordinator has it */
	struct gr_task t;
	struct gr_session *session;
	struct gr_buf frame;               /* TASK, to be patched and sent */
	struct gr_buf result;              /* RESULT, until the client confirms it */
	struct gr_digest toolchain;
	struct gr_place_task place;        /* as given to gr_place_ready */
	uint64_t mem_bytes, accepted_ns, queued_ns;
	uint32_t n_outputs;
	bool wants_root;                   /* GR_COORD_ROOT_FLAGS */
	char name[48];                     /* for people: what it makes */
	struct gr_place_decision why;      /* the last that sent it somewhere */
	bool is_sent;                      /* the result went out on this connection */
	int64_t queued;                    /* placement handle, -1: not queued there */
};
int gr_intake_task(struct gr_coord *c, struct gr_client *cl, struct gr_slice body);
int gr_intake_cancel(struct gr_coord *c, struct gr_client *cl, struct gr_slice body);
int gr_intake_ack(struct gr_coord *c, struct gr_client *cl, struct gr_slice body);

/* ---- dispatch ---- */
void gr_dispatch_init(struct gr_coord *c);
void gr_dispatch_fini(struct gr_coord *c);
void gr_dispatch_kick(struct gr_coord *c);
/* A NEW or re-QUEUED task to placement; or it waits (no worker yet), or it ends (there will be none). */
void gr_dispatch_offer(struct gr_ctask *t);
int gr_dispatch_result(struct gr_coord *c, struct gr_worker *w, struct gr_slice body);
/* Every attempt of a worker that went is lost; its tasks go elsewhere. */
void gr_dispatch_worker_gone(struct gr_coord *c, struct gr_worker *w);
/* Workers changed: looks again at what waits for a toolchain, and, when there are less, at what can go nowhere any more. */
void gr_dispatch_recheck(struct gr_coord *c, bool is_less);
/* The session's client is there again: it gets every result it did not confirm. */
void gr_dispatch_resend(struct gr_session *s);
/* Ends a task with an outcome of our own; the client gets it as a RESULT. */
void gr_dispatch_finish(struct gr_ctask *t, enum gr_outcome outcome, const char *fmt, ...) GR_PRINTF(3, 4);
/* Stops what runs and frees the task without an outcome. */
void gr_dispatch_drop(struct gr_ctask *t);
void gr_dispatch_free(struct gr_ctask *t);               /* an ENDED task that is confirmed */

/* ---- blobs ---- */
void gr_blobs_init(struct gr_coord *c);
void gr_blobs_fini(struct gr_coord *c);
int gr_blobs_need(struct gr_coord *c, struct gr_worker *w, struct gr_slice body);
int gr_blobs_piece(struct gr_coord *c, struct gr_client *cl, struct gr_slice body);
int gr_blobs_missing(struct gr_coord *c, struct gr_client *cl, struct gr_slice body);
void gr_blobs_worker_gone(struct gr_worker *w);
void gr_blobs_session_gone(struct gr_session *s);        /* nobody can be asked for its files now */

/* ---- load tests (coordinator/load) ---- */
void gr_load_init(struct gr_coord *c);
void gr_load_fini(struct gr_coord *c);
int gr_load_message(struct gr_coord *c, struct gr_worker *w, int type, struct gr_slice body);
/* Tags of tests: bit 1, where a pointer has none and a job's tag has bit 0. */
static inline bool gr_load_is_tag(uint64_t tag) { return (tag & 3) == 2; }
void gr_load_act(struct gr_coord *c, const struct gr_place_decision *d);
void gr_load_worker_gone(struct gr_coord *c, struct gr_worker *w);
json_t *gr_load_live_json(const struct gr_coord *c);             /* tests that run or ended a minute ago */
void gr_load_metrics(const struct gr_coord *c, struct gr_buf *b);
/* @req {"op": "load-...", ...}, asked by @owner. A new reference, or NULL with @err. */
json_t *gr_load_ask(struct gr_coord *c, const json_t *req, const char *owner, struct gr_err *err);

/* ---- the decision log (placelog.c) ---- */
int gr_placelog_open(struct gr_coord *c, struct gr_err *err) GR_MUST_CHECK;    /* before gr_place_new */
void gr_placelog_close(struct gr_coord *c);              /* after gr_place_free */

/* ---- cluster, control, status ---- */
void gr_cluster_touch(struct gr_coord *c);               /* something clients are told changed */
void gr_cluster_fill(const struct gr_coord *c, json_t *o);
int gr_control_request(struct gr_coord *c, struct gr_peer *peer, struct gr_slice body);
json_t *gr_status_json(const struct gr_coord *c);        /* new references */
struct gr_recent_sample;
void gr_status_sample(const struct gr_coord *c, struct gr_recent_sample *out);
json_t *gr_nodes_json(const struct gr_coord *c);
json_t *gr_sessions_json(const struct gr_coord *c);
json_t *gr_explain_json(const struct gr_coord *c, const struct gr_ctask *t);      /* explain.c */
json_t *gr_tasks_json(const struct gr_coord *c, const char *key_name);
json_t *gr_version_json(void);
bool gr_coord_is_ready(const struct gr_coord *c);

/* ---- http ---- */
/* Where cfg.http says; GR_ECONFIG for an address beyond loopback without tokens, unless cfg.http_anywhere; GR_EIO. */
int gr_http_open(struct gr_coord *c, struct gr_err *err) GR_MUST_CHECK;
void gr_http_close(struct gr_coord *c);

static inline uint64_t gr_coord_now(const struct gr_coord *c) { return gr_loop_now_ns(c->loop); }
