/**
 * sandbox - where tasks run: a spawner process, one server process a session, one child a task
 *
 *   worker main --SEQPACKET--> spawner (forked first of all)
 *        |                        | forks, once a session
 *        +------SEQPACKET---> session server, inside the tier --fork--> task
 *
 * The server sets its tier up once: root, mounts, dropped privileges, the first Landlock layer. A task then costs a
 * fork, a second Landlock layer (what it may write), the seccomp filter and the exec. Servers end when their socket is
 * closed and take every task with them. Nothing here allocates after the fork but the server, which is single threaded.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/base/err.h"

enum gr_tier { GR_TIER_NONE, GR_TIER_LANDLOCK, GR_TIER_CHROOT, GR_TIER_NAMESPACE };
const char *gr_tier_name(enum gr_tier tier);       /* "none", "landlock", "chroot", "namespace" */

#define GR_SANDBOX_SLOTS 256u
#define GR_SANDBOX_PRIVATE "/.griddle"             /* below a session's root: not for records */
#define GR_SANDBOX_MAX_WRITABLE 64u

/**
 * gr_spawner_fork - make the spawner; call it before any thread, loop or library with state exists
 * In the child it does not return. Return: the socket (O_CLOEXEC); its being closed ends the spawner.
 */
int gr_spawner_fork(struct gr_err *err) GR_MUST_CHECK;
/**
 * gr_spawner_settle - the tier is chosen: the spawner becomes @uid, unless the tier needs its privileges, of which it
 * then keeps those alone
 */
int gr_spawner_settle(int spawner_fd, enum gr_tier tier, bool has_userns, uid_t uid, gid_t gid);

struct gr_group;
struct gr_sandbox_spec {
	enum gr_tier tier;
	bool has_userns;              /* namespace: through a user namespace (no privilege needed) */
	int rootfd;                   /* the session's root folder */
	const char *root_path;        /* landlock: its absolute path */
	int cachefd;                  /* chroot: a folder on the same file system for copies of the toolchain */
	uid_t uid;                    /* who runs the tasks */
	gid_t gid;
	uint64_t tmp_bytes;           /* namespace: size of the tmpfs for temporary files */
	const char *const *shown;     /* absolute paths of the toolchains' files and folders; missing ones are skipped;
				       * '@' in front: only this symlink, not what it leads to */
	uint32_t n_shown;
	bool is_runner;               /* a runner (runner.h) and not a session's server; never in the chroot tier */
	bool has_net;                 /* runner: the machine's network */
	const struct gr_group *group; /* runner: where its memory is limited; NULL: it watches */
};
/**
 * gr_sandbox_open - ask for a session server; it says GR_SANDBOX_READY or FAILED on the socket
 * Return: the socket (O_CLOEXEC, non-blocking); closing it ends the server and all its tasks.
 */
int gr_sandbox_open(int spawner_fd, const struct gr_sandbox_spec *spec, struct gr_err *err) GR_MUST_CHECK;

struct gr_sandbox_task {
	uint32_t slot;                /* free, < GR_SANDBOX_SLOTS */
	const char *program;          /* as seen outside */
	const char *const *argv;      /* the session's paths: for landlock already mapped by the caller */
	uint32_t n_argv;
	const char *const *env;       /* whole; TMPDIR is added by the server */
	uint32_t n_env;
	const char *cwd;              /* the client's path, in every tier */
	const char *const *writable;  /* folders, the client's paths */
	uint32_t n_writable;
	uint64_t as_bytes, fsize_bytes;   /* rlimits, 0 none */
	uint32_t cpu_s, n_proc;
	int out_fd, err_fd;
};
/* GR_EBUSY: the socket is full, try after the next event. GR_EGONE: the server is gone. GR_ELIMIT. */
int gr_sandbox_spawn(int fd, const struct gr_sandbox_task *t) GR_MUST_CHECK;
/* SIGKILL to everything of the task; its EXIT event follows. */
int gr_sandbox_kill(int fd, uint32_t slot);

enum gr_sandbox_event_kind { GR_SANDBOX_READY = 1, GR_SANDBOX_FAILED, GR_SANDBOX_EXIT };
struct gr_sandbox_event {
	uint32_t kind, slot;
	int32_t code;                 /* FAILED: GR_E*; EXIT: 0, or GR_ESANDBOX when the program could not be started */
	int32_t status;               /* EXIT: as from wait(2) */
	uint64_t cpu_us, max_rss_bytes;
	uint32_t landlock_abi;        /* READY: 0 when there is none */
	char text[512];               /* FAILED; EXIT with a code */
};
/* Return: 1 and the event, 0 nothing there, GR_EGONE at the end. */
int gr_sandbox_next(int fd, struct gr_sandbox_event *ev) GR_MUST_CHECK;
