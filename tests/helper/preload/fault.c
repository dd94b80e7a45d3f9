/*
 * fault.c - preloaded into the programs by tests/helper/faults.py: a disk that fails, a wall clock that jumps, what a power
 * cut would lose, and how often each command was begun
 *
 * All of it stands in one shared file, FAULT_SHARED, which the driver maps too:
 *   - fail_errno, fail_permille: so many of 1,000 writes, truncations and syncs of files below FAULT_UNDER fail that way.
 *   - clock_ms: added to CLOCK_REALTIME. The monotonic clock is left alone.
 *   - dirty: writes to jobs.db and jobs.db-wal which no sync followed yet; after a kill the driver undoes some of them.
 *   - starts: what was executed with GRIDDLE_JOB in its environment. The map outlives fork, and a sandbox forbids no store
 *     to memory, so a command is counted by the process that becomes it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define N_DIRTY 4096u
#define N_STARTS 262144u

enum { NOT_OURS, BELOW, DB, WAL };
struct dirty {
	uint64_t file, offset, n;
};
struct start {
	uint64_t job;
	uint32_t task, ordinal;
};
struct shared {
	_Atomic int32_t fail_errno, fail_permille;
	_Atomic int64_t clock_ms;
	_Atomic uint64_t n_failed, draws;
	_Atomic uint32_t lock, n_dirty, has_more_dirty, n_starts;
	struct dirty dirty[N_DIRTY];
	struct start starts[N_STARTS];
};

static struct shared *shared;
static const char *under;

#define REAL(name) ({ static __typeof__(&name) fn; if (!fn) fn = (__typeof__(&name))dlsym(RTLD_NEXT, #name); fn; })

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAULT_SHARED");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	under = getenv("FAULT_UNDER");
	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		shared = p;
}

static int kind_of(int fd)
{
	char link[64], path[4096];
	ssize_t n;
	size_t n_under = under ? strlen(under) : 0;

	if (!shared || !n_under)
		return NOT_OURS;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < (ssize_t)n_under || strncmp(path, under, n_under))
		return NOT_OURS;
	path[n] = 0;
	if (path[n_under] && path[n_under] != '/')
		return NOT_OURS;
	return !strcmp(path + n_under, "/jobs.db") ? DB : !strcmp(path + n_under, "/jobs.db-wal") ? WAL : BELOW;
}

/* Does this call fail? Sets errno. */
static int fails(int kind)
{
	uint64_t z;

	if (kind == NOT_OURS || !shared->fail_errno)
		return 0;
	z = (atomic_fetch_add(&shared->draws, 1) + 1) * 0x9e3779b97f4a7c15ull;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	if ((int32_t)((z ^ (z >> 31)) % 1000) >= shared->fail_permille)
		return 0;
	atomic_fetch_add(&shared->n_failed, 1);
	errno = shared->fail_errno;
	return 1;
}

/* ---- what a power cut would lose ---- */

static void lock(void)
{
	while (atomic_exchange(&shared->lock, 1))
		;
}
static void unlock(void) { atomic_store(&shared->lock, 0); }

static void soil(int kind, off_t offset, size_t n)
{
	if (kind != DB && kind != WAL)
		return;
	lock();
	if (shared->n_dirty < N_DIRTY)
		shared->dirty[shared->n_dirty++] = (struct dirty){ (uint64_t)kind, (uint64_t)offset, n };
	else
		shared->has_more_dirty = 1;
	unlock();
}

/* All of a file, or of both: only one thread writes them, and it is the one that syncs. */
static void clean(int kind)
{
	uint32_t n = 0;

	if (kind == NOT_OURS)
		return;
	lock();
	for (uint32_t i = 0; i < shared->n_dirty; i++)
		if (kind != BELOW && shared->dirty[i].file != (uint64_t)kind)
			shared->dirty[n++] = shared->dirty[i];
	shared->n_dirty = n;
	if (!n)
		shared->has_more_dirty = 0;
	unlock();
}

/* ---- files ---- */

ssize_t write(int fd, const void *p, size_t n)
{
	/* lines of a log are many: the way to the file is looked up only while something is to fail */
	if (shared && shared->fail_errno && fails(kind_of(fd)))
		return -1;
	return REAL(write)(fd, p, n);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t offset)
{
	int kind = kind_of(fd);

	if (fails(kind)) {
		if (errno != ENOSPC || n < 2)
			return -1;
		/* a disk that is full takes a part first */
		soil(kind, offset, n / 2);
		return REAL(pwrite64)(fd, p, n / 2, offset);
	}
	soil(kind, offset, n);
	return REAL(pwrite64)(fd, p, n, offset);
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t offset) { return pwrite64(fd, p, n, offset); }

int ftruncate64(int fd, off64_t n) { return fails(kind_of(fd)) ? -1 : REAL(ftruncate64)(fd, n); }
int ftruncate(int fd, off_t n) { return ftruncate64(fd, n); }

static int synced(int kind, int rc)
{
	if (!rc)
		clean(kind);
	return rc;
}
int fsync(int fd)
{
	int kind = kind_of(fd);

	return fails(kind) ? -1 : synced(kind == BELOW ? NOT_OURS : kind, REAL(fsync)(fd));
}
int fdatasync(int fd)
{
	int kind = kind_of(fd);

	return fails(kind) ? -1 : synced(kind == BELOW ? NOT_OURS : kind, REAL(fdatasync)(fd));
}
int syncfs(int fd)
{
	int kind = kind_of(fd);

	return fails(kind) ? -1 : synced(kind, REAL(syncfs)(fd));
}

/* ---- the wall clock ---- */

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int rc = REAL(clock_gettime)(clock, t);

	if (rc == 0 && shared && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		t->tv_sec += shared->clock_ms / 1000;
	return rc;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	int rc = REAL(gettimeofday)(t, zone);

	if (rc == 0 && shared)
		t->tv_sec += shared->clock_ms / 1000;
	return rc;
}
time_t time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

/* ---- commands ---- */

static int number_of(char *const env[], const char *name, uint64_t *out)
{
	size_t n = strlen(name);

	for (; env && *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=') {
			*out = strtoull(*env + n + 1, NULL, 10);
			return 1;
		}
	return 0;
}

int execve(const char *path, char *const argv[], char *const env[])
{
	uint64_t job, task, ordinal;
	uint32_t i;

	if (shared && number_of(env, "GRIDDLE_JOB", &job) && number_of(env, "GRIDDLE_TASK", &task) && number_of(env, "GRIDDLE_ATTEMPT", &ordinal)) {
		i = atomic_fetch_add(&shared->n_starts, 1);
		if (i < N_STARTS)
			shared->starts[i] = (struct start){ job, (uint32_t)task, (uint32_t)ordinal };
	}
	return REAL(execve)(path, argv, env);
}
