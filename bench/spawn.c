/**
 * spawn - what starting a program costs by itself: posix_spawn and waitpid in a loop
 *
 * usage: spawn TIMES [PROGRAM]      prints "times seconds cpu_seconds" (own and children's)
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? strtol(argv[1], NULL, 10) : 1000;
	static char usual[] = "/bin/true", path[] = "PATH=/usr/bin:/bin";
	char *program = argc > 2 ? argv[2] : usual, *args[] = { program, NULL }, *env[] = { path, NULL };
	struct timespec a, b;
	struct rusage own, kids;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < n; i++) {
		int status;
		pid_t pid;

		if (posix_spawn(&pid, program, NULL, NULL, args, env) != 0 || waitpid(pid, &status, 0) < 0 || status) {
			fprintf(stderr, "spawn: %s failed\n", program);
			return 1;
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	getrusage(RUSAGE_SELF, &own);
	getrusage(RUSAGE_CHILDREN, &kids);
	printf("%ld %.3f %.3f\n", n, (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9,
	       seconds(&own.ru_utime) + seconds(&own.ru_stime) + seconds(&kids.ru_utime) + seconds(&kids.ru_stime));
	return 0;
}
