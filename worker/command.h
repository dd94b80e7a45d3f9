/**
 * command - a batch job's tasks on a worker
 *
 *   jobs.c         what a job is: its stages' templates       run_command.c  the life of a command
 *   make_command.c templates and values -> words and files    command_io.c   its files in and out, in a thread
 *   command_log.c  its output, kept and followed              command_end.c  what came of it, kept until committed
 *   send_blob.c    its files to the coordinator               journal.c      what was not committed, across a restart
 *   command_disk.c what its folder takes                      run_ahead.c    short commands one behind the other in a runner
 */
#pragma once
#include "lib/base/list.h"
#include "lib/base/pool.h"
#include "lib/wire/msg_job.h"
#include "worker/fetch.h"
#include "worker/files.h"
#include "worker/runners.h"
#include "worker/worker.h"

#define GR_COMMAND_MAX 4096u                    /* held here at once, ended ones not counted */
#define GR_COMMAND_INLINE_BYTES 65536u          /* an output of a result that travels in it */
#define GR_COMMAND_NULL "griddle:null"          /* argv[0] of a command that ends at once and runs nothing */

struct gr_commands;

/* ---- jobs.c ---- */
struct gr_wfile {                              /* an input or output of a stage; texts are templates */
	const char *path, *blob, *target;
	enum gr_files_kind kind;
	unsigned mode;
	bool is_required;
};
struct gr_wstage {
	const char *name, *cwd, *stdin_blob, *checkpoint_dir;
	const char **argv, **env_names, **env_values;
	struct gr_wfile *inputs, *outputs;
	uint32_t n_argv, n_env, n_inputs, n_outputs, count;
	uint32_t cpu_mcpu;
	uint64_t mem_bytes, disk_bytes, out_bytes;
	const char **names;                    /* of the matrix, one a value */
	uint32_t n_names;
	int checkpoint_code;                   /* -1 none */
	bool has_net;
};
struct gr_wjob {
	uint64_t id;
	json_t *json;                          /* what the texts above lie in */
	struct gr_wstage *stages;
	uint32_t n_stages, n_users;
	bool is_closed;                        /* goes with its last command */
	struct gr_list link;
};
/* A SPEC's body. Replaces what was known of the job unless commands use it. GR_EPROTO, GR_ELIMIT with the place in @err. */
int gr_jobs_add(struct gr_commands *c, struct gr_slice body, struct gr_err *err) GR_MUST_CHECK;
struct gr_wjob *gr_jobs_find(struct gr_commands *c, uint64_t id);
void gr_jobs_close(struct gr_commands *c, uint64_t id);
void gr_jobs_unuse(struct gr_commands *c, struct gr_wjob *j);
void gr_jobs_fini(struct gr_commands *c);

/* ---- the command ---- */
#define GR_COMMAND_STATES(X) X(FETCH) X(STAGE) X(READY) X(NEXT) X(RUNNING) X(TAKING) X(HELD)
enum gr_command_state {
#define X(s) GR_CS_##s,
	GR_COMMAND_STATES(X)
#undef X
	GR_N_COMMAND_STATES
};
struct gr_command_log {
	struct gr_buf mem;                     /* until it is more than goes inline */
	int fd;                                /* then here, from the beginning; -1 */
	uint64_t n, n_sent;                    /* bytes kept; bytes that went to who follows */
	struct gr_digest digest;               /* of the file, at the end */
	bool is_cut, is_end_said;
};
struct gr_placed {                             /* a file to be put into the folder before the start */
	char *path, *target;
	enum gr_files_kind kind;
	unsigned mode;
	uint64_t size;
	struct gr_digest digest;
};
struct gr_wcommand {
	struct { uint64_t job, task, attempt; } key;
	struct gr_list link;
	struct gr_commands *c;
	enum gr_command_state state;
	struct gr_waiter waiter;               /* for blobs */
	struct gr_wjob *job;
	const struct gr_wstage *stage;
	struct gr_buf frame;                   /* COMMAND; HELD: the ENDED */
	struct gr_command_msg m;               /* borrows from frame */
	uint32_t n_slots;                      /* it takes, while it runs */
	int slot;                              /* its number, -1 */
	struct gr_placed *placed;
	uint32_t n_placed;
	struct gr_digest stdin_digest;
	bool has_stdin, is_staged;             /* staged: DIR stage/SERIAL holds its files */
	char **outputs;                        /* declared paths, expanded */
	uint32_t serial;                       /* of the staging folder, of output names, and to its runner */
	struct gr_runner *runner;              /* NEXT, RUNNING, TAKING */
	struct gr_command_log logs[2];
	bool is_followed;
	struct gr_files_list found;            /* outputs */
	uint32_t *found_of;                    /* index of the declared output, one a found */
	uint32_t cap_found_of;
	struct gr_runner_event end;
	char why[320];
	int end_outcome;                       /* decided at the end: enum gr_outcome */
	uint32_t end_flags;
	uint64_t received_ns, started_ns, ended_ns, deadline_ns, kill_ns, in_bytes;   /* kill_ns: 0 none */
	uint64_t walk_ns;                      /* its folder is measured again then */
	bool is_begun, is_said_begun, is_cancelled, is_yielding, is_timeout, is_handed_back, is_sent, is_in_thread, is_saved;
	bool is_retracted;                     /* NEXT: given back as soon as the runner has */
	bool is_walked, is_over_disk;          /* walked: a thread measures its folder */
	struct gr_digest *pinned;              /* HELD: in the cache until committed */
	uint32_t n_pinned;
};

struct gr_commands {
	struct gr_worker *w;
	struct gr_runners *runners;            /* NULL: this worker runs no commands */
	struct gr_list jobs;
	struct gr_map by_key;
	struct gr_pool spare;                  /* of commands that are over */
	struct gr_buf *frames;                 /* their frames' memory, empty */
	uint32_t n_frames;
	struct gr_list lists[GR_N_COMMAND_STATES];
	uint32_t n[GR_N_COMMAND_STATES];
	uint32_t slots_used, n_serial;
	uint64_t mem_used, held_bytes, yielded_ns;     /* yielded: when the disk was last looked at */
	uint8_t slot_used[GR_SANDBOX_SLOTS];
	struct gr_timer *begun_timer, *tell_timer;
	uint32_t n_walks;                      /* threads that measure folders */
	uint32_t n_untold;                     /* ended ones that wait for company */
	struct gr_journal *journal;
	struct gr_sends *sends;
	int stagefd, outfd, logfd;             /* folders of the state */
	char start_id[17];
	char why_none[256];                    /* why runners is NULL */
	uint64_t n_done;
};

/* ---- commands.c ---- */
int gr_commands_new(struct gr_worker *w, struct gr_commands **out, struct gr_err *err) GR_MUST_CHECK;
/* Runs the loop until no thread has a command in hand; before gr_commands_free, and before all else that the loop's callbacks use. */
void gr_commands_settle(struct gr_commands *c);
void gr_commands_free(struct gr_commands **c);
void gr_commands_hello(struct gr_commands *c, json_t *hello);
void gr_commands_up(struct gr_commands *c);                     /* connected anew */
void gr_commands_before_send(struct gr_commands *c);            /* frames leave now */
int gr_commands_spec(struct gr_commands *c, struct gr_slice body);
int gr_commands_follow(struct gr_commands *c, struct gr_slice body);
int gr_commands_fetch(struct gr_commands *c, struct gr_slice body);

/* ---- run_command.c ---- */
extern const struct gr_runners_ops gr_command_runners_ops;     /* ctx: the struct gr_commands */
void gr_commands_pump(struct gr_commands *c);
void gr_commands_tick(struct gr_commands *c);
void gr_commands_drain(struct gr_commands *c);                  /* SIGTERM came: what has not begun goes back */
void gr_commands_drain_due(struct gr_commands *c, bool is_last);/* what runs is asked to end; last: is ended */
uint32_t gr_commands_n_live(const struct gr_commands *c);       /* not ended */
uint32_t gr_commands_n_waiting(const struct gr_commands *c);
/* When the oldest command that waits for slots came; UINT64_MAX when none waits. */
uint64_t gr_commands_waiting_since(const struct gr_commands *c);
int gr_commands_receive(struct gr_commands *c, struct gr_slice body);
int gr_commands_stop(struct gr_commands *c, struct gr_slice body);
struct gr_wcommand *gr_commands_find(struct gr_commands *c, uint64_t job, uint64_t task, uint32_t attempt);
void gr_command_move(struct gr_wcommand *t, enum gr_command_state to);
/* It needs its runner no more, whose folder is empty. */
void gr_command_leave(struct gr_wcommand *t);
/* Hands it to its runner. */
int gr_command_launch(struct gr_wcommand *t, bool is_ahead, struct gr_err *err) GR_MUST_CHECK;
/* It ends without having run (to its end). */
void gr_command_give_up(struct gr_wcommand *t, int outcome, uint32_t flags, const char *fmt, ...) GR_PRINTF(4, 5);

/* ---- run_ahead.c ---- */
/* READY -> NEXT, when it can follow one that runs. Return: false when it can not. */
bool gr_command_send_ahead(struct gr_wcommand *t);
/* @r has begun the next by itself, which is its command now. NULL: none waits there. */
struct gr_wcommand *gr_commands_go_on(struct gr_commands *c, struct gr_runner *r);
void gr_commands_returned(struct gr_commands *c, struct gr_runner *r, uint32_t id);    /* @r has not begun it, and will not */
/* What waits in @r, which is about to go, waits here again. */
void gr_commands_take_back(struct gr_commands *c, struct gr_runner *r);
void gr_command_learn(struct gr_wcommand *t);                   /* it has ended: whether others may follow in its runner */

/* ---- make_command.c ---- */
/* Paths and blobs of @t from its stage's templates and its own values; fills placed, outputs, stdin. */
int gr_command_make(struct gr_wcommand *t, struct gr_err *err) GR_MUST_CHECK;
struct gr_words {
	char **argv, **env;
	uint32_t n_argv, n_env;
	char *cwd;
};
int gr_command_words(struct gr_wcommand *t, struct gr_words *out, struct gr_err *err) GR_MUST_CHECK;
void gr_words_fini(struct gr_words *w);

/* ---- command_io.c ---- */
void gr_command_stage(struct gr_wcommand *t);                   /* STAGE -> READY, or gives up */
int gr_command_install(struct gr_wcommand *t, struct gr_err *err) GR_MUST_CHECK;   /* staged files and secrets into the runner's folder */
void gr_command_take(struct gr_wcommand *t);                    /* after its end: outputs, then gr_command_finish */
void gr_command_unstage(struct gr_wcommand *t);

/* ---- command_log.c ---- */
void gr_command_log_add(struct gr_wcommand *t, int stream, const uint8_t *p, size_t n);
void gr_command_log_cut(struct gr_wcommand *t, int stream, uint64_t n_dropped);
void gr_command_log_send(struct gr_wcommand *t);                /* what who follows has not had */
void gr_command_log_name(const struct gr_wcommand *t, int stream, char out[24]);   /* of its file in logfd */
void gr_command_log_fini(struct gr_wcommand *t);

/* ---- command_disk.c ---- */
void gr_command_watch_disk(struct gr_wcommand *t, uint64_t now_ns);    /* of one that runs, from time to time */
void gr_command_judge_disk(struct gr_wcommand *t);              /* it took more than its stage asked for */

/* ---- command_end.c ---- */
void gr_command_finish(struct gr_wcommand *t);                  /* -> HELD: encodes, keeps, sends */
void gr_command_send_all(struct gr_commands *c, bool again);
void gr_command_on_tell(void *commands);                        /* ends that waited for company are sent */
void gr_command_pin(struct gr_wcommand *t, const struct gr_digest *d);   /* until it is committed */
void gr_command_restore(struct gr_commands *c, struct gr_slice frame);   /* from the journal */
void gr_commands_acked(struct gr_commands *c, uint64_t job, uint64_t task, uint32_t attempt);
void gr_command_free(struct gr_wcommand *t);
void gr_command_frame_new(struct gr_wcommand *t);               /* room of an earlier one's, when there is some */
void gr_command_frame_forget(struct gr_wcommand *t);            /* its bytes, that is */

/* ---- send_blob.c ---- */
struct gr_sends *gr_sends_new(struct gr_worker *w);
void gr_sends_free(struct gr_sends **s);
void gr_sends_add(struct gr_sends *s, uint64_t session, const struct gr_digest *d);
void gr_sends_pump(struct gr_sends *s);
void gr_sends_forget(struct gr_sends *s);                       /* a new connection: they are asked for anew */

/* ---- journal.c ---- */
struct gr_journal;
/* @fn for each ENDED that was not acknowledged in the worker's earlier life. */
int gr_journal_open(const char *path, void (*fn)(void *ctx, struct gr_slice frame), void *ctx, struct gr_journal **out,
		    struct gr_err *err) GR_MUST_CHECK;
void gr_journal_close(struct gr_journal **j);
/* Noted in memory: gr_journal_write before anybody else is told of it. GR_EIO, GR_ENOSPACE: it is not. */
int gr_journal_add(struct gr_journal *j, uint64_t job, uint64_t task, uint32_t attempt, struct gr_slice frame) GR_MUST_CHECK;
void gr_journal_write(struct gr_journal *j);                    /* what is noted, in one call */
bool gr_journal_is_long(const struct gr_journal *j);            /* time to begin it anew: gr_journal_renew, then what is open */
int gr_journal_renew(struct gr_journal *j) GR_MUST_CHECK;
void gr_journal_ack(struct gr_journal *j, uint64_t job, uint64_t task, uint32_t attempt);
