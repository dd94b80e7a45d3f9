/**
 * sandbox_int - between the files of worker/sandbox: packets, and the steps of setting a tier up
 */
#pragma once
#include <linux/filter.h>
#include "worker/sandbox/group.h"
#include "worker/sandbox/sandbox.h"

enum { SB_OPEN = 1, SB_SETTLE, SB_SPAWN, SB_KILL, SB_START, SB_SIGNAL, SB_RECALL };
#define SB_INLINE_BYTES 49152u         /* a larger payload travels in a memfd */
#define SB_MAX_PAYLOAD (64u << 20)
#define SB_OPEN_FDS 4                  /* without a group's */
#define SB_MAX_FDS 8                   /* in one packet: room for them is what gr_sb_recv wants */

struct sb_open {                       /* main -> spawner; fds: server's socket, root, cache, payload [, the group's] */
	uint32_t op, tier, has_userns, n_shown;
	uint32_t uid, gid, n_payload, n_root_path;   /* payload: root path, then the shown paths, each with its NUL */
	uint64_t tmp_bytes;
	uint32_t is_runner, has_net, has_group, is_group_v2;
};
struct sb_settle {
	uint32_t op, tier, has_userns, uid, gid;
};
struct sb_spawn {                      /* main -> server; fds: out, err [, payload] */
	uint32_t op, slot, n_argv, n_env, n_writable, cpu_s, n_proc, n_payload;
	uint64_t as_bytes, fsize_bytes;
	/* payload: program, cwd, argv, env, writable, each with its NUL */
};
struct sb_kill {
	uint32_t op, slot;
};

struct sb_start {                      /* main -> runner; fds: [stdin] [payload] */
	uint32_t op, n_argv, n_env, n_payload;
	uint64_t mem_bytes, fsize_bytes, out_bytes;
	uint32_t cpu_s, n_proc, id;
	uint8_t is_merged, has_stdin, is_in_fd, is_ahead;
	/* payload: cwd, argv, env, each with its NUL */
};
struct sb_signal {
	uint32_t op, signum, id;       /* SB_RECALL: of none */
};

struct sb_server {
	enum gr_tier tier;
	bool has_userns, is_runner, has_net, has_proc, is_filter_late;
	int ctl, rootfd, cachefd, nullfd, tmpfd;
	int taskfd, shmfd, procfd, scopefd;   /* runner; but taskfd -1 when there is none */
	int watchfd;                   /* runner: tells what is made in its folders; -1 none */
	uid_t uid;
	gid_t gid;
	struct gr_group group;         /* runner */
	int oomfd;                     /* runner: its own oom_score_adj, and what that was; -1 */
	char oom_own[12];
	uint64_t tmp_bytes;
	char *root_path;               /* landlock: prefix of everything; else "" */
	char **shown;
	uint32_t n_shown;
	int landlock_abi;
	bool has_pidns;
	struct sock_fprog filter;
};

/* Packets with at most SB_MAX_FDS descriptors; received ones are O_CLOEXEC. Return: bytes, 0 at the end, -errno. */
ssize_t gr_sb_send(int fd, const void *head, size_t n_head, const void *tail, size_t n_tail, const int *fds, int n_fds);
ssize_t gr_sb_recv(int fd, void *p, size_t max, int *fds, int *n_fds, int flags);
/* Walks the next NUL-ended string of a payload; NULL when there is none. */
char *gr_sb_str(char **p, char *end);

/* Never returns. */
void gr_sb_spawner_main(int fd) __attribute__((noreturn));
void gr_sb_server_main(struct sb_server *s) __attribute__((noreturn));
void gr_sb_runner_main(struct sb_server *s) __attribute__((noreturn));

/* Steps; each returns 0 or an error with its sentence. */
int gr_sb_namespace_enter(struct sb_server *s, struct gr_err *err);
int gr_sb_runner_enter(struct sb_server *s, struct gr_err *err);       /* either of its tiers, and its layer */
/* Runner: from now on what is made at the top of its folders is known; leaves the current folder at the root. */
void gr_sb_watch_folders(struct sb_server *s);
/* Nothing was made there since the last call. False also when that is not known. */
bool gr_sb_folders_untouched(const struct sb_server *s);
/* The folders other than the command's own, which the worker empties. Return: false when something would not go. */
bool gr_sb_empty_tmp(const struct sb_server *s);
/* What is forked between the two calls, true and false, is killed before this runner when memory is short. */
void gr_sb_oom_offer(const struct sb_server *s, bool is_offered);
int gr_sb_chroot_enter(struct sb_server *s, struct gr_err *err);
int gr_sb_landlock_enter(struct sb_server *s, struct gr_err *err);     /* the tier: root_path, no change of root */
int gr_sb_landlock_base(struct sb_server *s, struct gr_err *err);      /* layer 1, for the server and all it forks */
/* Layer 2, in the child: write only @n folders, the temporary folder @tmpfd and /dev/null. Return 0 or errno. */
int gr_sb_landlock_task(const struct sb_server *s, const int *dirs, uint32_t n, int tmpfd);
/* A runner's only layer: reads and executes what is shown, writes its folder, its temporary folders and devices. */
int gr_sb_landlock_runner(struct sb_server *s, struct gr_err *err);
/* A ruleset that only keeps signals and abstract sockets in: what restricts itself by it cannot signal its runner. -1: none */
int gr_sb_landlock_scope(int abi);
int gr_sb_landlock_abi(void);                                           /* 0: none */
int gr_sb_seccomp_build(enum gr_tier tier, bool may_signal, struct sock_fprog *out, struct gr_err *err);
int gr_sb_seccomp_build_runner(enum gr_tier tier, bool may_signal, bool has_net, struct sock_fprog *out, struct gr_err *err);

/* Makes @path's place below the root: folders, the same symlinks as outside, and an empty file or folder at the end.
 * A @path with '@' in front is only a symlink to make. @real gets the path without symlinks. Return 1, 0 when there is
 * nothing to show (no such path outside, or a symlink alone), or an error. */
int gr_sb_show_place(const struct sb_server *s, const char *path, char real[4096], bool *is_dir, struct gr_err *err);
/* openat2 that cannot leave @rootfd. */
int gr_sb_open_in(int rootfd, const char *path, int flags, unsigned mode);

/* For ever: ids, groups, every capability, the bounding set; no_new_privs. Return 0 or errno. */
int gr_sb_drop_all(uid_t uid, gid_t gid);
/* Keeps @mask of capabilities only, in all sets. */
int gr_sb_keep_caps(uint64_t mask);
