/**
 * files - what is known of the client's files: a tree of names, each looked up once and then trusted as long as it is true
 *
 * A node is one directory entry at its physical path: no symlink, "." or ".." above it. It may be absent: a name that
 * was looked for and not found is a node too. A path as spelled is walked component by component, following links as
 * the kernel does, so that a spelled path gives (a) the entry X it ends at, (b) the file behind X when X is a symlink,
 * (c) the links and ".." directories it went through. That is also exactly what a worker must have to resolve the
 * same spelling: LINK, DIR and REG facts at physical paths.
 *
 * Freshness: every directory with known entries is watched with inotify (before its entries are looked at).
 * gr_cc_files_drain() reads the queued events; the kernel queues an event before the writing system call returns, so
 * after a drain everything that make had finished is seen. Looked at again on every request instead: entries on file
 * systems where inotify cannot be trusted (network, FUSE, 9p, unknown), in directories that could not be watched, with
 * more than one hard link, used by .incbin, or changed within 20 ms of being read. A queue overflow makes all suspect.
 *
 * What changed is told by counters: a node's version rises with its kind, content, mode bit or target; names_gen rises
 * when an entry somebody had looked for appears, vanishes or changes kind. Names nobody looked for (a build's .o files)
 * raise nothing. System calls go through struct gr_cc_fs, so that tests bring their own. One thread. Reads block.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/map.h"
#include "lib/base/sha256.h"
#include "lib/cc/scan.h"

enum gr_cc_kind {
	GR_CC_UNKNOWN = 0,    /* not looked at yet, or suspect: gr_cc_node_check() makes it one of the others */
	GR_CC_ABSENT, GR_CC_REG, GR_CC_DIR, GR_CC_LINK,
	GR_CC_OTHER,          /* device, pipe, socket */
	GR_CC_DENIED,         /* there, but cannot be looked at or read */
};

/* Callers read it and may set `was_shipped` and `user`. A node lives as long as its table. */
struct gr_cc_node {
	struct gr_cc_node *parent;      /* NULL for "/" */
	const char *name;
	uint32_t n_name;
	uint32_t id;                    /* 0.. dense: index your own arrays with it */
	uint32_t version;
	uint8_t kind;                   /* enum gr_cc_kind */
	uint8_t tool;                   /* below a toolchain's own include folder: its number, else 0 */
	bool is_exec;
	bool was_shipped;               /* the caller's: a session has had this path as something present */
	uint64_t size;                  /* REG */
	int64_t mtime_ns;
	struct gr_digest digest;        /* REG, valid when has_digest */
	bool has_digest;
	const char *target;             /* LINK: text */
	uint64_t user;                  /* the caller's */

	/* ---- private to lib/cc ---- */
	bool is_suspect;                /* an event said so: look again */
	bool is_young;                  /* changed so shortly before it was read that its times prove nothing */
	bool is_always;                 /* content is looked at on every request: hard links, .incbin */
	bool is_volatile;               /* its name too: the directory, or one above, is not watched */
	uint8_t watch;                  /* DIR: 0 not tried, 1 names, 2 names and content, 3 cannot be watched */
	int wd;
	uint32_t checked_at, read_at;   /* request numbers */
	uint32_t seen, listed;          /* the closure's visit marks */
	uint32_t nlink;
	uint64_t ino, dev;
	int64_t ctime_ns;
	struct gr_cc_node *children, *next_sibling, *next_suspect;
	struct gr_cc_scan *scan;        /* REG: of the content with digest */
	void *memo;                     /* closure.c */
};

struct gr_cc_stat {
	uint8_t kind;                   /* ABSENT when there is none; DENIED */
	bool is_exec;
	uint32_t nlink;
	uint64_t size, ino, dev;
	int64_t mtime_ns, ctime_ns;
};
enum gr_cc_event_flag {
	GR_CC_EV_NAME = 1,        /* an entry of that name came, went or was replaced */
	GR_CC_EV_CONTENT = 2,     /* its bytes or mode may have changed */
	GR_CC_EV_GONE = 4,        /* the watch is no more (directory removed, unmounted): wd alone counts */
	GR_CC_EV_OVERFLOW = 8,
};
struct gr_cc_event {
	int wd;
	uint8_t flags;
	const char *name;         /* "" when about the directory itself; borrowed until the next events() */
};
/* All paths absolute. Every function returns 0 or more, or a negative GR_E*. */
struct gr_cc_fs {
	void *ctx;
	int (*lstat)(void *ctx, const char *path, struct gr_cc_stat *st);       /* absent is not an error */
	int (*readlink)(void *ctx, const char *path, struct gr_buf *out);
	/* Reads a regular file; *st is of the opened file, taken after the last byte. GR_EBUSY when it changed meanwhile. */
	int (*read)(void *ctx, const char *path, size_t max, struct gr_buf *out, struct gr_cc_stat *st);
	/* Watches a directory; @with_content: also changes of files in it; a second call widens the first. The same directory
	 * gives the same wd. Return: wd >= 0; GR_ENOSPACE; GR_EUNSUP when changes there are not reported reliably. */
	int (*watch)(void *ctx, const char *path, bool with_content);
	void (*unwatch)(void *ctx, int wd);
	/* The next queued events, at most @max; 0 when there are none. Never blocks. */
	int (*events)(void *ctx, struct gr_cc_event *out, int max);
	int (*fd)(void *ctx);     /* readable when events wait, or -1 */
	void (*fini)(void *ctx);
};
/* The real one; without inotify where the kernel has none to give. Return: 0. */
int gr_cc_fs_real(struct gr_cc_fs *out, struct gr_err *err) GR_MUST_CHECK;

#define GR_CC_MAX_FILE_BYTES (256u << 20)

struct gr_cc_files_stats { uint64_t n_nodes, n_dirs_watched, n_stat, n_read, read_bytes, n_scan, n_events, n_overflow, n_watch_failed; };

struct gr_cc_files;
/* Takes @fs over (it is zeroed). */
struct gr_cc_files *gr_cc_files_new(struct gr_cc_fs *fs);
void gr_cc_files_free(struct gr_cc_files **f);
int gr_cc_files_fd(const struct gr_cc_files *f);                /* for the loop; may be ignored. -1: none */
/**
 * gr_cc_files_drain - take in what changed; call it at the start of every request, before any fact is used
 * @now_real_ns: wall clock (CLOCK_REALTIME), to tell files that are too young to be trusted by their time
 */
void gr_cc_files_drain(struct gr_cc_files *f, int64_t now_real_ns);
uint64_t gr_cc_files_names_gen(const struct gr_cc_files *f);
void gr_cc_files_stats(const struct gr_cc_files *f, struct gr_cc_files_stats *out);

/**
 * struct gr_cc_walk - what a spelled path went through; arrays are reused from call to call, zero it first
 */
struct gr_cc_walk {
	struct gr_cc_node *entry;       /* X: the entry the spelling names, itself perhaps a LINK or ABSENT; when a component
					   before the last is missing, that component's node. NULL: link loop, path too long */
	struct gr_cc_node *file;        /* what opening gives: REG, DIR, ABSENT, OTHER, DENIED; NULL as above, or when a
					   component before the last is no directory */
	struct gr_cc_node **links;      /* symlinks gone through, in order, the last component's included */
	uint32_t n_links, cap_links;
	struct gr_cc_node **dirs;       /* directories that ".." was taken of */
	uint32_t n_dirs, cap_dirs;
};
void gr_cc_walk_fini(struct gr_cc_walk *w);
/* @dir: a DIR node that a relative @path starts from. O(components) hash lookups; system calls only for what is new. */
void gr_cc_files_walk(struct gr_cc_files *f, struct gr_cc_node *dir, const char *path, size_t n_path, struct gr_cc_walk *w);
/* Shorthand: the directory node of an absolute path, links followed; NULL when it is none. */
struct gr_cc_node *gr_cc_files_dir(struct gr_cc_files *f, const char *path);
/* The entry of a path (walk's `entry`), from directory @cwd; NULL on a loop. */
struct gr_cc_node *gr_cc_files_entry(struct gr_cc_files *f, struct gr_cc_node *cwd, const char *path);
struct gr_cc_node *gr_cc_files_root(const struct gr_cc_files *f);
struct gr_cc_node *gr_cc_files_by_id(const struct gr_cc_files *f, uint32_t id);   /* NULL out of range */

/* Makes kind, size, target true now (no content). Return: kind. */
int gr_cc_node_check(struct gr_cc_files *f, struct gr_cc_node *n);
/* For a REG node: digest true now. 0; GR_ENOENT when it is no regular file any more; GR_EIO, GR_ELIMIT, GR_EBUSY. */
int gr_cc_node_digest(struct gr_cc_files *f, struct gr_cc_node *n) GR_MUST_CHECK;
/* For a REG node: digest and scan true now. Borrowed until the node's version rises. */
int gr_cc_node_scan(struct gr_cc_files *f, struct gr_cc_node *n, const struct gr_cc_scan **out) GR_MUST_CHECK;
/* True when node, digest and scan are known to be good without a system call (private to lib/cc). */
bool gr_cc_node_is_settled(const struct gr_cc_node *n);
/* Appends the content; GR_ECORRUPT when it no longer has the node's digest (then the node is suspect). */
int gr_cc_node_read(struct gr_cc_files *f, struct gr_cc_node *n, struct gr_buf *out) GR_MUST_CHECK;
/* Always looked at from now on (.incbin and other inputs that may be written by mmap). */
void gr_cc_node_watch_closely(struct gr_cc_node *n);
/* The caller just wrote this path itself or knows it changed. */
void gr_cc_node_doubt(struct gr_cc_files *f, struct gr_cc_node *n);
/* Appends the absolute physical path. */
void gr_cc_node_path(const struct gr_cc_node *n, struct gr_buf *out);
/* Everything below the absolute folder @path belongs to toolchain number @tool (1..255); for the nodes' `tool`. */
void gr_cc_files_mark_tool(struct gr_cc_files *f, const char *path, uint8_t tool);
