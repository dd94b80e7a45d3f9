/**
 * csim - the whole coordinator and its cluster in one process, by a clock of its own
 *
 * What runs is the coordinator's code with lib/place, lib/job, lib/wire and a real SQLite file; what is made here is what
 * lies below lib/net: world.c brings loop.h and aside.h (time, the store's thread), wire.c brings server.h (connections).
 * They are linked in the place of lib/net's. Workers and clients are models that speak real frames. Everything that
 * happens is an event with a time, drawn from one seed, so that a run can be had again.
 *
 * An event belongs to somebody: the coordinator, a node, or the world. One that is stopped (SIGSTOP) has its events
 * later; one that died has none of its own any more.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "coordinator/batch_int.h"
#include "coordinator/coord.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/rng.h"
#include "lib/wire/msg_job.h"

#define CS_MAX_NODES 1100u
#define CS_WORLD UINT32_MAX               /* whose event: nobody's */
#define CS_COORD (UINT32_MAX - 1)

/* ---- events (world.c) ---- */
struct cs_event {
	uint64_t t_ns, seq;
	uint32_t who;
	void (*fn)(void *ctx);            /* NULL: taken back */
	void *ctx;
};

/* ---- what came of attempts, as the workers know it ---- */
struct cs_truth {
	struct { uint64_t job, task, attempt; } key;
	uint64_t worker;                  /* index of the node */
	uint8_t outcome;
	int32_t exit_code;
	bool is_lie;
};
struct cs_text {                          /* what a command printed that no other prints alike: what it comes to */
	struct gr_digest key;
	uint64_t value;
};

struct cs_conn;
struct cs_node;
struct cs_job;
struct cs_session;
struct cs_profile {                       /* what a seed draws */
	uint32_t n_workers, n_hosts, n_clients, n_jobs, slots_max, n_tasks_max, n_compiles;
	uint64_t chaos_ns;                /* no faults after that */
	uint32_t heartbeat_ms, dead_ms, queue_max;
	uint64_t delay_ns, commit_ns;     /* typical: of a message, of a commit */
	uint32_t cut_every_ms, stall_every_ms, crash_worker_every_ms, drain_every_ms, crash_coord_every_ms, stop_coord_every_ms, ask_every_ms, disk_every_ms;
	uint32_t crash_ppm;               /* of the coordinator behind any of its events */
	uint32_t check_every;             /* events between two looks at everything */
	bool is_null;                     /* workers answer at once: the benchmark */
	bool has_checks;                  /* copies that a comparator compares are among the jobs */
	bool has_same;                    /* copies that go to workers alike are; so many kinds of hosts, of which one has no label */
	uint32_t n_kinds, first_kind;
};
struct cs_stats {
	uint64_t events, frames, lost_frames, conns, cuts, stalls, worker_crashes, drains, coord_crashes, coord_ends, clock_jumps, runs, results_again,
		checks, cancels, pauses, retries, resubmits, commits, tasks, jobs, compiles, compiles_here, looks,
		disk_faults, disk_errors, refused;
};
struct cs {
	uint64_t seed, now_ns, seq, hash;
	int64_t wall_ms;                  /* the wall clock less the monotonic one */
	struct gr_rng rng;
	struct cs_event **heap;
	uint32_t n_heap, cap_heap;
	struct cs_profile p;
	struct cs_stats st;
	uint32_t verbose;
	bool is_calm;                     /* faults are over */
	char why[512];                    /* the first invariant that broke; "" none */
	char dir[128];
	/* the coordinator */
	struct gr_coord *c;               /* NULL: down */
	struct gr_loop *loop;
	struct gr_server *server;
	bool is_crashing;
	uint64_t coord_stopped_ns;        /* until */
	uint64_t disk_fails_ns;           /* until */
	uint32_t disk_permille;           /* of its writes and syncs */
	bool disk_is_full;
	struct gr_rng disk_rng, check_rng, same_rng;
	uint32_t n_lives;
	/* the others */
	struct cs_node *nodes[CS_MAX_NODES];
	uint32_t n_nodes;
	struct gr_list conns;
	struct gr_map truth, texts;
	struct gr_map jobs;               /* number -> struct cs_job */
	uint32_t n_jobs_open;
	uint64_t n_late;
};
extern struct cs *cs_now;                 /* the one world: clock_real has no argument */

void cs_fail(struct cs *s, const char *fmt, ...) GR_PRINTF(2, 3);
void cs_say(struct cs *s, const char *fmt, ...) GR_PRINTF(2, 3);          /* with -v */
struct cs_event *cs_at(struct cs *s, uint64_t t_ns, uint32_t who, void (*fn)(void *ctx), void *ctx);
struct cs_event *cs_in(struct cs *s, uint64_t ns, uint32_t who, void (*fn)(void *ctx), void *ctx);
bool cs_step(struct cs *s);               /* the next event; false: there is none */
uint64_t cs_below(struct cs *s, uint64_t n);
bool cs_chance(struct cs *s, uint32_t permille);
uint64_t cs_around(struct cs *s, uint64_t typical);       /* 0.1 .. 10 times, mostly near */
void cs_hash(struct cs *s, uint64_t v);
void cs_events_free(struct cs *s);

/* ---- connections (wire.c) ---- */
enum { CS_UP, CS_DOWN };
struct cs_conn {
	struct gr_list link;
	struct cs *s;
	struct cs_node *node;             /* NULL: it let go */
	struct gr_peer *peer;             /* NULL: not (any more) known to the server */
	struct gr_server *server;         /* whom it reached */
	struct { uint64_t sent, had, until, last_ns; } dir[2];
	bool is_cut, is_noticed;
};
struct cs_conn *cs_connect(struct cs_node *n);            /* NULL: nobody listens */
void cs_send(struct cs_conn *c, int dir, struct gr_buf *frame);           /* takes the bytes */
/* What is on its way may arrive or not. @is_silent: neither end is told. */
void cs_cut(struct cs_conn *c, bool is_silent);
void cs_conns_free(struct cs *s);
void cs_frames_free(struct cs *s);        /* before the events */

/* ---- nodes (node.c): what workers and clients have in common ---- */
struct cs_run {                           /* a command as a worker has it */
	struct gr_list link;
	struct cs_node *n;
	uint64_t job, task;
	uint32_t attempt, stage, ordinal, index, n_slots;
	enum { CS_QUEUED, CS_RUNNING, CS_HELD } state;
	bool is_compile;                  /* job: the session */
	bool is_check;                    /* a comparator: of these two values */
	uint64_t side[2];
	bool is_sent, is_cancelled, is_yielding, is_handed_back, is_said_begun;
	struct cs_event *ends, *begun;
	struct gr_buf frame;              /* ENDED, when held */
};
struct cs_spec {
	struct gr_list link;
	uint64_t job;
	json_t *json;
	bool is_closed;
};
struct cs_node {
	struct cs *s;
	uint32_t index;
	bool is_worker;
	char name[32], host[32];
	struct cs_conn *conn;
	bool is_up, is_alive, is_draining;
	uint64_t stopped_ns, heard_ns, beat_ns;           /* stopped: until; beat: when the next is due */
	struct cs_event *again, *beat;    /* connecting; the heartbeat */
	uint64_t ping_seq;
	/* a worker */
	uint32_t slots, prefetch, used;
	bool is_liar;                     /* its results differ */
	struct gr_list runs, specs, trees;
	struct cs_event *drained;
	/* a client */
	struct cs_job **jobs;
	uint32_t n_jobs;
	struct cs_session *session;       /* NULL: it compiles nothing */
};
struct cs_node *cs_node_new(struct cs *s, bool is_worker);
void cs_node_start(struct cs_node *n);
void cs_node_down(struct cs_node *n, const char *why);    /* its connection is of no use any more: another, soon */
void cs_node_receive(struct cs_node *n, struct gr_slice frame);
int cs_node_send(struct cs_node *n, struct gr_buf *frame);                /* GR_EGONE; takes the bytes in any case */
void cs_node_die(struct cs_node *n);
void cs_node_free(struct cs_node *n);

/* ---- workers, clients ---- */
void cs_worker_hello(struct cs_node *n, json_t *hello);
const char *cs_kind(const struct cs *s, uint32_t worker);                 /* its label "cpu"; "": it has none */
void cs_worker_up(struct cs_node *n);
void cs_worker_message(struct cs_node *n, int type, struct gr_slice body);
void cs_worker_crash(struct cs_node *n, bool with_disk);
void cs_worker_drain(struct cs_node *n);
void cs_worker_ping(struct cs_node *n, struct gr_ping *p);
void cs_worker_free(struct cs_node *n);

enum cs_jstate { CS_J_NEW, CS_J_TAKEN, CS_J_OVER };
struct cs_job {
	uint64_t id;                      /* key, once it is known */
	struct cs_node *n;
	uint32_t index, n_tasks;
	char token[32];
	json_t *spec;
	enum cs_jstate state;
	bool is_asking, was_cancelled, was_retried, may_retry;
	char last[16];                    /* what the coordinator said its state is */
	struct cs_event *due;
	uint8_t *states;
};
void cs_client_up(struct cs_node *n);
void cs_client_down(struct cs_node *n);
void cs_client_message(struct cs_node *n, int type, struct gr_slice body);
void cs_client_free(struct cs_node *n);
void cs_client_add(struct cs_node *n, json_t *spec);
/* The next question about one of its jobs: cancel, pause, resume, retry. */
void cs_client_meddle(struct cs_node *n);

/* ---- compiles (compile.c): a client's session, a worker's trees of sessions ---- */
void cs_session_add(struct cs_node *n, uint32_t n_tasks);
void cs_session_up(struct cs_node *n);
bool cs_session_is_over(const struct cs_node *n);
void cs_session_message(struct cs_node *n, int type, struct gr_slice body);
void cs_session_free(struct cs_node *n);
void cs_trees_hello(struct cs_node *n, json_t *hello);
void cs_trees_open(struct cs_node *n, struct gr_slice body);
void cs_trees_log(struct cs_node *n, struct gr_slice body);
void cs_trees_close(struct cs_node *n, uint64_t session);
bool cs_trees_have(struct cs_node *n, uint64_t session, uint32_t n_records);
void cs_trees_free(struct cs_node *n);
void cs_tool(struct gr_digest *d);        /* the one toolchain there is */
const struct cs_truth *cs_truth_of(struct cs *s, uint64_t job, uint64_t task, uint64_t attempt);

/* ---- the coordinator (coord.c) ---- */
int cs_coord_start(struct cs *s);
void cs_coord_crash(struct cs *s);        /* as by kill -9: what is not on disk is gone */
void cs_coord_end(struct cs *s);          /* as by SIGTERM */

/* ---- its disk (disk.c) ---- */
void cs_disk_draw(struct cs *s);          /* whether and how often it fails */
void cs_disk_begin(struct cs *s);

/* ---- the run (run.c), the checks (check.c), what is submitted (jobs.c) ---- */
struct cs *cs_new(uint64_t seed, uint32_t verbose);
void cs_profile_small(struct cs *s);
void cs_profile_large(struct cs *s);
int cs_run(struct cs *s);                 /* 0: every invariant held */
void cs_free(struct cs *s);
json_t *cs_draw_job(struct cs *s, uint32_t *n_tasks);
void cs_check_now(struct cs *s);
void cs_check_end(struct cs *s);
