/**
 * worker - the worker's one struct and what its files call of each other
 *
 *   link.c         messages in and out               session.c   a session's log table and its sandbox
 *   tree.c         a session's folder tree           fetch.c     blobs that are missing
 *   run_compile.c  the life of a task                result.c    what came of it, kept until acknowledged
 *   toolchains.c   compilers found here              start.c     privileges, the choice of the tier
 *   map_paths.c    the landlock tier's path mapping  main.c      putting it together; draining
 *   probe.c        /livez and /readyz
 */
#pragma once
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/cas/cas.h"
#include "lib/cc/toolchain.h"
#include "lib/net/link.h"
#include "lib/net/loop.h"
#include "lib/wire/msg.h"
#include "worker/config.h"
#include "worker/fetch.h"
#include "worker/sandbox/group.h"
#include "worker/sandbox/sandbox.h"
#include "worker/signals/cgroup.h"
#include "worker/signals/report.h"

#define GR_WORKER_MAX_TOOLCHAINS 64u
#define GR_WORKER_MAX_SESSIONS 1024u
#define GR_WORKER_MAX_LOG_BYTES (512u << 20)      /* all sessions' records in memory */
#define GR_WORKER_MAX_HELD_BYTES (512u << 20)     /* results not acknowledged */

struct gr_worker;
struct gr_commands;

/* ---- session.c ---- */
struct gr_path {                        /* a path the session named, and what lies there in the tree */
	const char *name;               /* absolute, clean; in the session's strings */
	uint32_t n_name;
	uint32_t record;                /* whose content it has, or shall have (id + 1; 0: none, or an output's) */
	uint32_t users;                 /* tasks that need exactly that */
	uint32_t size;                  /* bytes counted into tree_bytes, in KiB, rounded up */
	bool is_clean;                  /* content and record agree */
	bool may_exist;                 /* something may lie there */
	bool was_link;                  /* the client's own link was put there, not one of ours */
	bool is_output;                 /* held by a task that writes it */
};
struct gr_srecord {
	uint8_t tag, kind;              /* enum gr_record_tag, enum gr_file_kind */
	bool is_exec;
	union {
		struct {
			const char *p;  /* NUL behind it */
			uint32_t n;
		} str;
		struct {
			struct gr_path *path;
			union {
				struct gr_digest digest;   /* REG */
				const char *target;        /* LINK */
			};
			uint64_t size;
		} file;
	};
};
enum gr_sandbox_state { GR_SB_CLOSED, GR_SB_OPENING, GR_SB_READY };
struct gr_wsession {
	struct gr_worker *w;
	uint64_t id;
	struct gr_list link;
	struct gr_srecord *records;
	uint32_t n_records, cap_records;
	struct { char **chunks; uint32_t n, cap; size_t used, size; } arena;
	uint64_t log_bytes;
	struct gr_map paths;            /* name -> struct gr_path */
	char poison[160];               /* why tasks of this session are refused; "" they are not */
	char dir[64];                   /* below the state folder */
	int rootfd;                     /* -1: no tree yet */
	uint64_t tree_bytes;
	uint32_t n_generation;          /* trees made so far */
	struct { char dir[4096]; int fd; } last;   /* the folder written to last */
	enum gr_sandbox_state sb_state;
	int sb_fd;
	uv_poll_t *sb_poll;
	uint32_t n_failures;            /* of the sandbox, in a row */
	uint32_t n_tasks;               /* not yet turned into a result */
	uint64_t last_used_ns;
	uint64_t doubtful_ns;           /* since when: the link is another, and nobody opened it there; 0 not */
	bool is_closed;                 /* SESSION_CLOSE came; goes when its last task went */
};
struct gr_wsession *gr_session_find(struct gr_worker *w, uint64_t id);
/* Made when new. NULL: too many sessions. */
struct gr_wsession *gr_session_get(struct gr_worker *w, uint64_t id);
/* A LOG frame: records beyond those known are added. Return: 0; GR_ESTATE for a gap (tell the sender what we have). */
int gr_session_add(struct gr_wsession *s, const struct gr_log_msg *m);
const char *gr_session_str(const struct gr_wsession *s, uint32_t id);          /* NULL: no such string */
const struct gr_srecord *gr_session_file(const struct gr_wsession *s, uint32_t id);  /* NULL: no such fact */
struct gr_path *gr_session_path(struct gr_wsession *s, const char *name, uint32_t n);   /* made when new; NULL: not allowed */
void gr_session_close(struct gr_wsession **s);            /* no tasks; removes the tree */
void gr_session_reset_tree(struct gr_wsession *s);        /* no tasks; the records stay */
void gr_session_tick(struct gr_worker *w);                /* idle ones, those nobody asks for any more, and too much on disk */
/* The link is another: which of them were closed meanwhile nobody says. Those that are not opened there anew soon are over. */
void gr_session_doubt(struct gr_worker *w);
/* Starts the server when there is none. Return: 1 ready, 0 soon, or an error. */
int gr_session_sandbox(struct gr_wsession *s, struct gr_err *err);

/* ---- tree.c ---- */
int gr_tree_open(struct gr_wsession *s, struct gr_err *err) GR_MUST_CHECK;
/* Makes record @id true on disk. GR_ENOENT / GR_ECORRUPT: its blob is to be fetched (again); GR_ENOSPACE; GR_EPATH. */
int gr_tree_put(struct gr_wsession *s, uint32_t id, struct gr_err *err) GR_MUST_CHECK;
void gr_tree_unlink(struct gr_wsession *s, const char *path);
/* A regular file in the tree for reading; never through a symlink at its end, never out of the root. -1 with errno. */
int gr_tree_open_file(struct gr_wsession *s, const char *path);
/* Makes "DIR(driver)/NAME" a symlink to the toolchain's driver, unless something is there. */
void gr_tree_alias(struct gr_wsession *s, const char *at, const char *target);
void gr_tree_forget_folder(struct gr_wsession *s);

/* ---- run_compile.c ---- */
/* Each task is on exactly one list, named by its state. X(STATE) */
#define GR_TASK_STATES(X) X(LOG) X(FETCH) X(TREE) X(READY) X(RUNNING) X(PACKING) X(HELD)
enum gr_task_state {
#define X(s) GR_TS_##s,
	GR_TASK_STATES(X)
#undef X
	GR_N_TASK_STATES
};
struct gr_reading;
struct gr_wtask {
	struct { uint64_t session, task; uint64_t attempt; } key;
	struct gr_list link;
	struct gr_waiter waiter;         /* for blobs */
	enum gr_task_state state;
	struct gr_worker *w;
	struct gr_wsession *s;           /* NULL when PACKING or HELD */
	struct gr_buf frame;             /* the TASK; HELD: the RESULT */
	struct gr_task_msg m;            /* borrows from frame */
	uint32_t *inputs, n_inputs;
	const struct gr_wtool *tool;
	uint32_t cursor;                 /* inputs made true in the tree */
	uint32_t n_rounds;               /* of fetching */
	bool is_acquired, is_cancelled, is_timeout, is_sent, is_handed_back;
	uint32_t slot;
	int out_fd, err_fd;
	struct gr_reading *reading;      /* PACKING: what a thread works on */
	uint64_t received_ns, started_ns, deadline_ns;
	char **words;                    /* what argv and env point to, for the landlock tier's mapping */
};
void gr_task_receive(struct gr_worker *w, struct gr_slice body);
void gr_task_cancel(struct gr_worker *w, uint64_t session, uint64_t task, uint32_t attempt);
void gr_task_give_up(struct gr_wtask *t, int outcome, const char *fmt, ...) GR_PRINTF(3, 4);
void gr_task_records_grew(struct gr_wsession *s);
void gr_task_exited(struct gr_wsession *s, const struct gr_sandbox_event *ev);
void gr_task_server_gone(struct gr_wsession *s, const char *why);
void gr_task_move(struct gr_wtask *t, enum gr_task_state to);
void gr_task_release(struct gr_wtask *t);                                /* its paths and its slot */
void gr_task_free(struct gr_wtask *t);
/* Does what can be done now, for about a millisecond; asks to be called again when there is more. */
void gr_worker_pump(struct gr_worker *w);
void gr_task_tick(struct gr_worker *w);                                   /* time limits */

/* ---- result.c ---- */
/* The task ends and lets its slot and its files go; its result is encoded, sent and kept, after a stay in PACKING when
 * there is much to read or to compress. @ev NULL: it did not run. */
void gr_result_make(struct gr_wtask *t, int outcome, const char *reason, const struct gr_sandbox_event *ev);
void gr_result_forget(struct gr_wtask *t);                               /* what a thread makes of it goes nowhere */
void gr_result_acked(struct gr_worker *w, uint64_t session, uint64_t task, uint32_t attempt);
void gr_result_send_all(struct gr_worker *w, bool again);

/* ---- toolchains.c ---- */
struct gr_wtool {
	struct gr_cc_toolchain *tc;
	char *driver_dir;                /* folder of the driver as probed */
};
struct gr_wtools {
	struct gr_wtool list[GR_WORKER_MAX_TOOLCHAINS];
	uint32_t n;
	const char **shown;              /* for the sandbox; '@' in front of links */
	uint32_t n_shown;
	char **owned;                    /* those of shown that were made here */
	uint32_t n_owned;
};
void gr_tools_find(struct gr_wtools *t, const char *spec);
void gr_tools_fini(struct gr_wtools *t);
bool gr_tools_are_current(const struct gr_wtools *t);    /* no file of any of them was replaced since the look */
const struct gr_wtool *gr_tools_get(const struct gr_wtools *t, const struct gr_digest *d);

/* ---- link.c ---- */
int gr_worker_connect(struct gr_worker *w, struct gr_err *err) GR_MUST_CHECK;

/* ---- probe.c ---- */
struct gr_probe;
/* @endpoint as gr_addr_parse. Return: 0; GR_ECONFIG, GR_EIO. */
int gr_probe_open(struct gr_worker *w, const char *endpoint, struct gr_probe **out, struct gr_err *err) GR_MUST_CHECK;
uint16_t gr_probe_port(const struct gr_probe *p);
void gr_probe_close(struct gr_probe **p);                /* the loop runs once more to close its handles */

/* ---- start.c ---- */
struct gr_start {                        /* what has to happen before privileges go */
	int spawner_fd, ready_fd;        /* ready_fd: a helper that writes the ready file */
	struct gr_keypair keys;
	bool has_keys;
	uid_t uid;
	gid_t gid;
	int copies_fd;                   /* chroot tier */
	struct gr_groups *groups;        /* of runners; NULL: their memory is watched */
	char state_path[4096];           /* absolute; the current folder is it */
};
int gr_start_privileged(const struct gr_worker_config *cfg, const struct gr_cgroup *own, struct gr_start *st, struct gr_err *err) GR_MUST_CHECK;
int gr_start_choose_tier(struct gr_worker *w, struct gr_err *err) GR_MUST_CHECK;

/* ---- the whole ---- */
struct gr_worker {
	const struct gr_worker_config *cfg;
	struct gr_start start;
	struct gr_loop *loop;
	struct gr_link *link;
	struct gr_probe *probe;
	struct gr_cas *cas;
	struct gr_fetch *fetch;
	struct gr_runs *runs;            /* load tests; load/runs.h */
	struct gr_commands *commands;    /* command.h */
	struct gr_wtools tools;
	struct gr_cgroup *cgroup;
	struct gr_limits limits;
	struct gr_report report;         /* what the coordinator was told of them */
	uint64_t node_mem_bytes;
	uint32_t n_cpus;                 /* it may run on */
	enum gr_tier tier;
	bool has_userns;
	uint32_t landlock_abi;
	uint32_t n_slots, n_running, n_queued;    /* queued: LOG .. READY; n_slots: of the table, never less than n_use */
	uint32_t n_use;                  /* tasks at a time, as the limits are now */
	uint32_t n_load;                 /* of those, taken by threads of load tests */
	struct gr_wtask *slots[GR_SANDBOX_SLOTS];
	struct gr_map sessions;          /* id -> gr_wsession */
	struct gr_list session_list;     /* least recently used first */
	uint32_t n_sessions, n_session_dirs;
	uint64_t log_bytes, tree_bytes, held_bytes;
	struct gr_map tasks;             /* key -> gr_wtask */
	struct gr_list lists[GR_N_TASK_STATES];
	uint32_t n_tasks;
	uv_idle_t idle;                  /* runs while pump has more to do */
	bool is_idle_on, is_draining, is_ready_said, is_compressing;
	bool has_stale_tools;            /* a compiler was replaced: no new tasks until all are looked at again */
	uint64_t drain_until_ns;
	int exit_code;
	struct gr_timer *timer;
	uint32_t n_ticks;
	uint32_t n_done;
};
void gr_worker_check_drained(struct gr_worker *w);
/* Limits, and slots from them, as they are now. */
void gr_worker_look_at_limits(struct gr_worker *w);
