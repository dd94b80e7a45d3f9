/*
 * memory.c - what a tree of processes holds resident, while it forks, execs and ends
 *
 * The resident sizes are added up first; that is one short file a process, and counts what is shared too often, so a sum
 * within the limit is the answer. Beyond it the proportional sizes decide, and they are read one after another: when one
 * of ten sharers ends between two reads, those read later have grown by its part, which the ones read earlier still
 * have. Five sharers that end during one sweep make 91 MB of 40. So there are two sweeps over one list, and of every
 * process the smaller reading counts: whatever is mapped by several at the moment between the sweeps was mapped by all
 * of them in the first one (a fork makes a process that the list does not have), and what goes away is smaller in the
 * second.
 *
 * A child of vfork has its parent's memory until it execs, and both tell the whole of it: such a child counts nothing.
 * It is known by what /proc says: has not exec'd, reads as its parent to the page, and has most of it alone (a forked
 * child that has the same as its parent shares it).
 *
 * Not kept: stopping the tree for the sweep (a parent that waits for stopped children sees it, and continuing wakes what
 * the command itself had stopped), and kcmp, which says who shares memory but is refused to a runner.
 */
#include "worker/sandbox/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/alloc.h"

#define FLAG_NO_EXEC 0x40              /* PF_FORKNOEXEC, in the stat file since Linux 2.6 */

struct reading {
	pid_t pid, parent;
	bool is_unexeced;
	uint64_t rss, pss, anonymous, dirty;
};

bool gr_sb_read_at(int dirfd, const char *path, char *buf, size_t size)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
	int e = errno;

	if (fd >= 0)
		close(fd);
	errno = e;
	if (n < 0)
		return false;
	buf[n] = 0;
	return true;
}

pid_t gr_sb_parent(int procfd, pid_t pid)
{
	char path[32], text[512], *p;

	snprintf(path, sizeof(path), "%d/stat", (int)pid);
	if (!gr_sb_read_at(procfd, path, text, sizeof(text)) || !(p = strrchr(text, ')')) || strlen(p) < 4)
		return 0;
	return (pid_t)strtol(p + 4, NULL, 10);   /* ") S PPID" */
}

/* Resident bytes, and those of them that no file lies behind. */
static uint64_t resident(int procfd, pid_t pid, uint64_t *anonymous)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), rss, of_files;
	char path[32], text[128], *p;

	*anonymous = 0;
	snprintf(path, sizeof(path), "%d/statm", (int)pid);
	if (!gr_sb_read_at(procfd, path, text, sizeof(text)) || !(p = strchr(text, ' ')))
		return 0;
	rss = strtoull(p, &p, 10);
	of_files = strtoull(p, NULL, 10);
	*anonymous = rss > of_files ? (rss - of_files) * page : 0;
	return rss * page;
}

static uint64_t kb_of(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, 10) * 1024 : 0;
}

static void take(int procfd, struct reading *r)
{
	char path[48], text[2048], *p;
	uint64_t anonymous;

	r->rss = r->pss = r->anonymous = r->dirty = 0;
	r->is_unexeced = false;
	snprintf(path, sizeof(path), "%d/smaps_rollup", (int)r->pid);
	if (!gr_sb_read_at(procfd, path, text, sizeof(text))) {
		/* one that hides itself from its own user does not hide from its limit */
		if (errno == EACCES || errno == EPERM) {
			resident(procfd, r->pid, &anonymous);
			r->pss = anonymous;
		}
		return;
	}
	r->rss = kb_of(text, "\nRss:");
	r->pss = kb_of(text, "\nPss:");
	r->anonymous = kb_of(text, "\nAnonymous:");
	r->dirty = kb_of(text, "\nPrivate_Dirty:");
	snprintf(path, sizeof(path), "%d/stat", (int)r->pid);
	/* ") S PPID PGRP SESSION TTY TPGID FLAGS" */
	if (gr_sb_read_at(procfd, path, text, sizeof(text)) && (p = strrchr(text, ')')) && strlen(p) > 4) {
		p += 3;
		r->parent = (pid_t)strtol(p, &p, 10);
		for (int i = 0; i < 4; i++)
			strtol(p, &p, 10);
		r->is_unexeced = strtoull(p, NULL, 10) & FLAG_NO_EXEC;
	}
}

static bool has_its_parents_memory(const struct reading *all, uint32_t n, const struct reading *r)
{
	/* not Pss and not the clean pages: whoever else on the machine uses the same libraries changes these */
	if (!r->is_unexeced || r->dirty * 2 < r->anonymous)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (all[i].pid == r->parent)
			return all[i].rss == r->rss && all[i].anonymous == r->anonymous && all[i].dirty == r->dirty;
	return false;
}

/* Makes every size the smaller of what it was and what is read now. Return: their sum */
static uint64_t sweep(int procfd, struct reading *now, uint64_t *bytes, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		take(procfd, &now[i]);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t own = has_its_parents_memory(now, n, &now[i]) ? 0 : now[i].pss;

		if (own < bytes[i])
			bytes[i] = own;
		sum += bytes[i];
	}
	return sum;
}

uint64_t gr_sb_memory(int procfd, const pid_t *pids, uint32_t n, uint64_t limit)
{
	struct reading *now;
	uint64_t sum = 0, anonymous, *bytes;

	for (uint32_t i = 0; i < n; i++)
		sum += resident(procfd, pids[i], &anonymous);
	if (n <= 1 || !limit || sum <= limit)
		return sum;
	now = gr_tryalloc(n * sizeof(*now));
	bytes = gr_tryalloc(n * sizeof(*bytes));
	sum = limit;                   /* no memory to find out: the next sample may */
	if (now && bytes) {
		for (uint32_t i = 0; i < n; i++) {
			now[i] = (struct reading){ .pid = pids[i] };
			bytes[i] = UINT64_MAX;
		}
		sum = sweep(procfd, now, bytes, n);
		if (sum > limit)
			sum = sweep(procfd, now, bytes, n);
	}
	free(now);
	free(bytes);
	return sum;
}
