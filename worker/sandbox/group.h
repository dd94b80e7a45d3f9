/**
 * group - a cgroup for a runner: its commands' memory limit is the kernel's then, and not watched
 *
 * Where the worker has a part of the tree to itself (v2, delegated) or may make groups below its own (v1), each of its
 * runners lives in one group with all it starts. Elsewhere a runner has none and watches (memory.h).
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/base/err.h"

#define GR_GROUP_FDS 4u

/* Open files of one group, so that who holds them needs to reach no path. All -1: none. */
struct gr_group {
	int fds[GR_GROUP_FDS];
	bool is_v2;
};
void gr_group_init(struct gr_group *g);
void gr_group_close(struct gr_group *g);
bool gr_group_is_open(const struct gr_group *g);

/* ---- a runner's side ---- */
/* This process, which has one thread, and all it starts from now on. False: it is not in, and the files are closed. */
bool gr_group_join(struct gr_group *g);
/* @bytes: of all in it together, 0 no limit. False: as it was. */
bool gr_group_limit(const struct gr_group *g, uint64_t bytes) GR_MUST_CHECK;
struct gr_group_seen {
	uint64_t resident_bytes;      /* as the processes' resident sizes together, but no page counts twice; no cache of files */
	uint64_t n_full, n_killed;    /* ever: times it was at its own limit; processes the kernel killed for want of memory */
};
void gr_group_look(const struct gr_group *g, struct gr_group_seen *out);
/* The counters alone, and 0 bytes: the kernel gathers the others from every CPU. */
void gr_group_count(const struct gr_group *g, struct gr_group_seen *out);

/* ---- a worker's side ---- */
struct gr_groups;
/**
 * gr_groups_open - find out whether groups can be made
 * @own:   the folder of the group this process is in
 * @id:    of the worker's state folder: what an earlier life of the same left behind is known by it
 * @uid:   who will make and join groups; this process may still be root
 * v2: moves this process and its children one level down, since a group that has members may not limit its parts; so
 * before anything is forked that is not a child. Call gr_groups_tick from time to time.
 * Return: NULL with the reason when there can be none.
 */
struct gr_groups *gr_groups_open(const char *own, bool is_v2, uint64_t id, uid_t uid, gid_t gid, struct gr_err *err);
void gr_groups_free(struct gr_groups **s);
/* The folder that holds them. */
const char *gr_groups_path(const struct gr_groups *s);
/* Return: the number for gr_groups_remove, or an error. */
int gr_groups_make(struct gr_groups *s, struct gr_group *out, struct gr_err *err) GR_MUST_CHECK;
/* Its last processes may be about to end. */
void gr_groups_remove(struct gr_groups *s, int number);
/* What could not be removed so far, and what earlier lives left: whoever is in there is killed. */
void gr_groups_tick(struct gr_groups *s);
/**
 * gr_groups_keep - forks the process that removes @path when this one is gone, however it ended
 * It stays what this one is now, so that it can where a worker that gave its privileges up could not.
 * Return: what to hold for so long, closed by an exec; -1 when there is nobody.
 */
int gr_groups_keep(const char *path);
/* Removes what is below @path, and itself, as far as nobody is in there. Return: runners' groups that are left. */
uint32_t gr_groups_clear(const char *path);
