/**
 * runner - where a job's commands run: one process that starts one command at a time, again and again
 *
 *   worker main --SEQPACKET--> runner, inside the tier --vfork--> the command and all it starts
 *
 * A runner belongs to a job. It enters its namespaces, its root, its Landlock layer and its seccomp filter once, and
 * what it starts has them from it; a command then costs a vfork and an exec. Whatever a command left running is killed
 * before its end is told: orphans come to the runner, which is the first process of its PID namespace or a subreaper.
 *
 * Commands may be sent ahead while one runs. When it has ended and nothing was made in its folders (is_clean) the runner goes
 * on with the next by itself, and while more wait it may tell of an end up to GR_RUNNER_HOLD_MS late. When something is left,
 * when one runs for GR_RUNNER_AHEAD_MS, or when it is asked to, it gives back all that have not begun: each command that
 * was started has one EXIT or one RETURNED. What comes back is told before the end of the one that runs, but where that left
 * something behind it.
 *
 * Closing the socket ends the runner and all it started; so does the worker's death.
 */
#pragma once
#include "lib/base/buf.h"
#include "worker/sandbox/sandbox.h"

#define GR_RUNNER_OUTPUT_BYTES 65536u          /* most in one OUTPUT event */
#define GR_RUNNER_MAX_AHEAD 16u
#define GR_RUNNER_AHEAD_BYTES 4096u            /* argv and environment of one that is sent ahead */
#define GR_RUNNER_AHEAD_MS 20u
#define GR_RUNNER_HOLD_MS 8u                   /* lib/place counts with it */
#define GR_RUNNER_MAX_PAYLOAD (4u << 20)       /* argv and environment together */

/* Below a runner's root folder; all three exist before gr_sandbox_open. The command sees them as DIR in the tiers with a
 * root of their own, else below the root's path. */
#define GR_RUNNER_TASK "/task"                 /* the command's folder: its inputs, outputs and current folder */
#define GR_RUNNER_TMP "/tmp"
#define GR_RUNNER_SECRETS "/secrets"           /* read-only to the command */

struct gr_runner_task {
	const char *const *argv;
	uint32_t n_argv;
	const char *const *env;       /* whole, "K=V"; PATH decides where a plain argv[0] is looked for */
	uint32_t n_env;
	const char *cwd;              /* below the command's folder, "" for itself; never leaves it */
	int stdin_fd;                 /* -1: /dev/null */
	uint64_t mem_bytes;           /* of the whole tree; 0 no limit */
	uint64_t fsize_bytes, out_bytes;   /* largest file; most of each stream that is kept (0: nothing) */
	uint32_t cpu_s, n_proc;       /* 0 no limit */
	bool is_merged;               /* stderr goes where stdout goes */
	bool is_ahead;                /* another one runs: without stdin, and at most GR_RUNNER_AHEAD_BYTES */
	uint32_t id;                  /* of this start, told with its events */
};
/* GR_EBUSY: the socket is full. GR_EGONE: the runner is gone. GR_ELIMIT: argv and environment are too long. */
int gr_runner_start(int fd, const struct gr_runner_task *t) GR_MUST_CHECK;
/* @signum to the process group of the command that was started as @id, if it runs; SIGKILL goes to everything it started. */
int gr_runner_signal(int fd, uint32_t id, int signum);
/* Those that were sent ahead and have not begun come back. GR_EBUSY: the socket is full. */
int gr_runner_recall(int fd);

enum gr_runner_event_kind { GR_RUNNER_READY = 1, GR_RUNNER_FAILED, GR_RUNNER_OUTPUT, GR_RUNNER_EXIT, GR_RUNNER_RETURNED };
struct gr_runner_event {
	uint32_t kind;
	uint32_t stream;              /* OUTPUT: 1 stdout, 2 stderr */
	uint32_t id;                  /* OUTPUT, EXIT, RETURNED: of the start */
	int32_t code;                 /* FAILED: GR_E*. EXIT: 0; GR_ENOENT, GR_EPATH, GR_EINVAL: it could not be started */
	int32_t status;               /* EXIT: as from wait(2) */
	uint64_t cpu_us;              /* of everything it started and that was waited for */
	uint64_t max_rss_bytes;       /* the largest process's, or the sampled tree's when that was more */
	uint64_t began_ns, ended_ns;  /* EXIT without a code: monotonic */
	uint64_t n_dropped[2];        /* bytes of stdout and stderr beyond out_bytes */
	uint32_t is_oom;              /* killed at mem_bytes */
	uint32_t n_killed;            /* processes left behind that had to be killed */
	uint32_t is_clean;            /* EXIT: nothing was ever made in its folders; 0 also where that is not known */
	uint32_t landlock_abi, has_proc, has_group;   /* READY */
	char text[256];               /* FAILED, and EXIT with a code */
	uint32_t n_data;              /* OUTPUT */
};
/* @data: room for GR_RUNNER_OUTPUT_BYTES. Return: 1 and the event, 0 nothing there, GR_EGONE at the end. */
int gr_runner_next(int fd, struct gr_runner_event *ev, uint8_t *data) GR_MUST_CHECK;
