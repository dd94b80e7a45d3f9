/**
 * gearman - tasks through gearmand: a worker that answers at once or runs /bin/true, and a client that keeps a window full
 *   gcc -O2 -o gearman gearman.c -lgearman
 *   gearman PORT worker | gearman PORT exec | gearman PORT client TASKS WINDOW
 */
#include <libgearman/gearman.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static gearman_return_t noop(gearman_job_st *job, void *ctx)
{
	(void)ctx;
	gearman_job_send_complete(job, "x", 1);
	return GEARMAN_SUCCESS;
}

static gearman_return_t execute(gearman_job_st *job, void *ctx)
{
	static char program[] = "/bin/true", *args[] = { program, NULL }, path[] = "PATH=/usr/bin:/bin", *env[] = { path, NULL };
	int status;
	pid_t pid;

	if (posix_spawn(&pid, program, NULL, NULL, args, env) != 0 || waitpid(pid, &status, 0) < 0 || status)
		return GEARMAN_WORK_FAIL;
	return noop(job, ctx);
}

static int worker(in_port_t port, gearman_worker_fn *fn)
{
	gearman_worker_st *w = gearman_worker_create(NULL);

	if (!w || gearman_failed(gearman_worker_add_server(w, "127.0.0.1", port)) ||
	    gearman_failed(gearman_worker_define_function(w, "noop", 4, gearman_function_create(fn), 0, NULL)))
		return 1;
	while (gearman_success(gearman_worker_work(w)))
		;
	return 1;
}

int main(int argc, char **argv)
{
	gearman_client_st *c;
	long n, window;

	if (argc == 3)
		return worker((in_port_t)atoi(argv[1]), !strcmp(argv[2], "exec") ? execute : noop);
	if (argc != 5) {
		fprintf(stderr, "usage: gearman PORT worker | gearman PORT exec | gearman PORT client TASKS WINDOW\n");
		return 2;
	}
	n = atol(argv[3]);
	window = atol(argv[4]);
	c = gearman_client_create(NULL);
	if (!c || gearman_failed(gearman_client_add_server(c, "127.0.0.1", (in_port_t)atoi(argv[1]))))
		return 1;
	for (long done = 0; done < n; done += window) {
		gearman_return_t rc;

		for (long i = 0; i < window; i++) {
			gearman_client_add_task(c, NULL, NULL, "noop", NULL, "x", 1, &rc);
			if (gearman_failed(rc)) {
				fprintf(stderr, "gearman: %s\n", gearman_client_error(c));
				return 1;
			}
		}
		rc = gearman_client_run_tasks(c);
		if (gearman_failed(rc)) {
			fprintf(stderr, "gearman: %s\n", gearman_client_error(c));
			return 1;
		}
		gearman_client_task_free_all(c);
	}
	return 0;
}
