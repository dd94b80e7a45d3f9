/* worker_memory_test.c - what a tree holds, when it changes between two reads of its files
 *
 * A folder of FIFOs stands for /proc: each read gets the next text of a script, so that a process forks, ends or grows at
 * exactly the moment the test means. What the real /proc says is worker_runner_test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/remove.h"
#include "worker/sandbox/memory.h"

#define MB (1ull << 20)
#define GONE -1

struct fix {
	char dir[64];
	int fd;
};
/* What one sweep reads of one process, in MB. */
struct seen {
	int pid, pss, dirty, parent;
};

static int setup(void **state)
{
	struct fix *f;

	GR_NEW(f);
	*state = f;
	strcpy(f->dir, "/tmp/memory-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->fd >= 0);
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	close(f->fd);
	gr_rm_rf(f->dir);
	free(f);
	return 0;
}

static void add_process(struct fix *f, int pid, int rss_mb)
{
	long n_page = rss_mb * (long)MB / sysconf(_SC_PAGESIZE);
	char path[64], text[64];
	int fd;

	snprintf(path, sizeof(path), "%d", pid);
	assert_int_equal(mkdirat(f->fd, path, 0700), 0);
	snprintf(path, sizeof(path), "%d/statm", pid);
	snprintf(text, sizeof(text), "%ld %ld 0 0 0 0 0\n", 2 * n_page, n_page);
	assert_true((fd = openat(f->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(path, sizeof(path), "%d/smaps_rollup", pid);
	assert_int_equal(mkfifoat(f->fd, path, 0600), 0);
	snprintf(path, sizeof(path), "%d/stat", pid);
	assert_int_equal(mkfifoat(f->fd, path, 0600), 0);
}

static void answer(struct fix *f, int pid, const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%d/%s", pid, name);
	if ((fd = openat(f->fd, path, O_WRONLY | O_CLOEXEC)) < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(1);
	close(fd);
}

/* A process that answers the reads in order, and then none. */
static pid_t tell(struct fix *f, const struct seen *script, size_t n)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	for (const struct seen *s = script; s < script + n; s++) {
		char text[512];

		if (s->pss == GONE)
			continue;
		snprintf(text, sizeof(text), "5500 - ffff ---p 00000000 00:00 0 [rollup]\nRss: 82000 kB\nPss: %d kB\nPss_Dirty: 1 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty: %d kB\nAnonymous: 80000 kB\n",
			 s->pss * 1024, s->dirty * 1024);
		answer(f, s->pid, "smaps_rollup", text);
		snprintf(text, sizeof(text), "%d (a ) S name) S %d 1 1 0 -1 %d 0 0\n", s->pid, s->parent, s->parent ? 0x400040 : 0x400000);
		answer(f, s->pid, "stat", text);
		/* who is gone in the next sweep is so from here on */
		for (const struct seen *later = s + 1; later < script + n; later++)
			if (later->pid == s->pid) {
				snprintf(text, sizeof(text), "%d/smaps_rollup", s->pid);
				if (later->pss == GONE && unlinkat(f->fd, text, 0) < 0)
					_exit(1);
				break;
			}
	}
	_exit(0);
}

static uint64_t measure(struct fix *f, int n_pid, uint64_t limit, const struct seen *script, size_t n)
{
	pid_t pids[8], teller;
	uint64_t bytes;
	int status;

	for (int i = 0; i < n_pid; i++) {
		pids[i] = i + 1;
		add_process(f, i + 1, 82);
	}
	teller = tell(f, script, n);
	assert_true(teller > 0);
	alarm(60);
	bytes = gr_sb_memory(f->fd, pids, (uint32_t)n_pid, limit);
	alarm(0);
	kill(teller, SIGKILL);         /* it may wait to tell a second sweep that was not wanted */
	assert_int_equal(waitpid(teller, &status, 0), teller);
	assert_true(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
	return bytes;
}

/* 82 MB shared by five of which three end while the first sweep is on: 16 + 16 + 20 + 27 + 41 are read. */
static void sharers_that_end_during_a_sweep_do_not_add_up(void **state)
{
	static const struct seen script[] = {
		{ 1, 16, 0, 0 }, { 2, 16, 0, 0 }, { 3, 20, 0, 0 }, { 4, 27, 0, 0 }, { 5, 41, 0, 0 },
		{ 1, 41, 0, 0 }, { 2, GONE, 0, 0 }, { 3, GONE, 0, 0 }, { 4, GONE, 0, 0 }, { 5, 41, 0, 0 },
	};

	assert_int_equal(measure(*state, 5, 96 * MB, script, GR_LEN(script)), (16 + 41) * MB);
}

static void what_is_over_the_limit_in_both_sweeps_is_over_it(void **state)
{
	static const struct seen script[] = {
		{ 1, 50, 40, 0 }, { 2, 50, 40, 0 },
		{ 1, 52, 42, 0 }, { 2, 50, 40, 0 },
	};

	assert_int_equal(measure(*state, 2, 96 * MB, script, GR_LEN(script)), 100 * MB);
}

static void one_sweep_within_the_limit_is_enough(void **state)
{
	static const struct seen script[] = { { 1, 30, 10, 0 }, { 2, 30, 10, 0 } };

	assert_int_equal(measure(*state, 2, 96 * MB, script, GR_LEN(script)), 60 * MB);
}

static void a_child_of_vfork_is_its_parent(void **state)
{
	static const struct seen script[] = { { 1, 81, 79, 0 }, { 2, 80, 79, 1 } };

	assert_int_equal(measure(*state, 2, 96 * MB, script, GR_LEN(script)), 81 * MB);
}

/* A forked child that has its own copy of everything is no vfork's, nor is one whose equal is not its parent. */
static void a_forked_child_is_one_of_its_own(void **state)
{
	static const struct seen script[] = {
		{ 1, 41, 40, 0 }, { 2, 60, 58, 1 }, { 3, 60, 58, 1 },
		{ 1, 41, 40, 0 }, { 2, 60, 58, 1 }, { 3, 60, 58, 1 },
	};

	assert_int_equal(measure(*state, 3, 96 * MB, script, GR_LEN(script)), 161 * MB);
}

static void the_plain_sum_is_enough_below_the_limit(void **state)
{
	assert_int_equal(measure(*state, 2, 200 * MB, NULL, 0), 164 * MB);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(sharers_that_end_during_a_sweep_do_not_add_up),
		T(what_is_over_the_limit_in_both_sweeps_is_over_it),
		T(one_sweep_within_the_limit_is_enough),
		T(a_child_of_vfork_is_its_parent),
		T(a_forked_child_is_one_of_its_own),
		T(the_plain_sum_is_enough_below_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
