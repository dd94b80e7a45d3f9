/* procs.c - the worker's side of procs.h; the process's own is procs_child.c. posix_spawn and not fork, since neither
 * libzmq nor the threads survive that. Tried and not kept: passing descriptors to this process, which counts them against the same limit. */
#include "worker/load/procs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/net/loop.h"
#include "lib/wire/msg.h"
#include "worker/load/procs_pipe.h"

extern char **environ;

#define SPARE_FILES 256u                         /* of a process: everything that is no connection */

/* ---- how many ---- */

uint32_t gr_procs_room(void)
{
	struct rlimit rl = { 1024, 1024 };

	getrlimit(RLIMIT_NOFILE, &rl);
	if (rl.rlim_max == RLIM_INFINITY || rl.rlim_max > 1u << 30)
		return 1u << 30;
	return rl.rlim_max > 2 * SPARE_FILES ? (uint32_t)rl.rlim_max - SPARE_FILES : (uint32_t)rl.rlim_max / 2 + 1;
}

int gr_procs_wanted(const struct gr_load_plan *plan, uint32_t index, uint32_t of, struct gr_err *err)
{
	uint32_t want = gr_load_part(plan->n_connections, index, of), room = gr_procs_room(), n = want / room + (want % room > 0);

	if (n > 1 && n * plan->n_threads > GR_PROCS_MAX_PARTS)
		return gr_err_set(err, GR_ELIMIT, "%u connections are %u processes here, where one may have %u descriptors, and with %u threads each that "
				  "is more than %u", want, n, room + SPARE_FILES, plan->n_threads, GR_PROCS_MAX_PARTS);
	return n ? (int)n : 1;
}

struct proc {
	pid_t pid;
	int fd;                                  /* -1: gone */
	bool is_ready, is_ended;
	struct gr_buf in;
};
struct gr_procs {
	struct proc *list;
	uint32_t n;
	gr_procs_fn *fn;
	void *ctx;
	uint64_t run;
	struct gr_buf prepare;                   /* a message for each, behind each other */
	pthread_t thread;
	bool has_thread;
	int wake_fd;
	pthread_mutex_t lock;
	/* under the lock */
	uint64_t cmd_start_ns;
	struct gr_load_share cmd_share;
	bool has_share, wants_stop, wants_end;
	/* the thread's own */
	bool is_started, is_stopped, is_over;    /* over: FAILED or BROKEN was said */
};

static int spawn(struct proc *c, struct gr_err *err)
{
	const char *argv[] = { "griddle-load", GR_PROCS_ARG, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int sv[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return gr_err_set(err, GR_EIO, "no socket for a generator process: %s", strerror(errno));
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, sv[1], GR_PROCS_CHILD_FD);
	posix_spawn_file_actions_addclosefrom_np(&fa, GR_PROCS_CHILD_FD + 1);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(&c->pid, "/proc/self/exe", &fa, &attr, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	close(sv[1]);
	if (rc) {
		close(sv[0]);
		return gr_err_set(err, GR_EIO, "no generator process: %s", strerror(rc));
	}
	c->fd = sv[0];
	return 0;
}

static void tell_all(struct gr_procs *p, struct gr_buf *frame)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (p->list[i].fd >= 0)
			gr_procs__put(p->list[i].fd, gr_buf_slice(frame), MSG_DONTWAIT);     /* one that is full hears nothing, and its lease ends */
	gr_buf_clear(frame);
}

static void stop_all(struct gr_procs *p)
{
	struct gr_buf frame = { 0 };

	if (p->is_stopped)
		return;
	p->is_stopped = true;
	gr_load_stop_encode(&frame, p->run);
	tell_all(p, &frame);
	gr_buf_fini(&frame);
}

static void commands(struct gr_procs *p)
{
	struct gr_load_share share;
	struct gr_buf frame = { 0 };
	uint64_t start_ns, n;
	bool has_share, wants_stop;

	if (read(p->wake_fd, &n, sizeof(n)) < 0)
		n = 0;
	pthread_mutex_lock(&p->lock);
	start_ns = p->is_started ? 0 : p->cmd_start_ns;
	share = p->cmd_share;
	has_share = p->has_share;
	p->has_share = false;
	wants_stop = p->wants_stop;
	pthread_mutex_unlock(&p->lock);
	if (start_ns) {
		p->is_started = true;
		gr_load_start_encode(&frame, p->run, start_ns);
		tell_all(p, &frame);
	}
	for (uint32_t i = 0; has_share && i < p->n; i++) {
		struct gr_load_share one = { .run = p->run, .from = share.from, .index = share.index + share.of * i, .of = share.of * p->n };

		gr_load_share_encode(&frame, &one);
		if (p->list[i].fd >= 0)
			gr_procs__put(p->list[i].fd, gr_buf_slice(&frame), MSG_DONTWAIT);
		gr_buf_clear(&frame);
	}
	gr_buf_fini(&frame);
	if (wants_stop)
		stop_all(p);
}

static void went_wrong(struct gr_procs *p, const char *why)
{
	bool are_ready = true;

	if (p->is_over)
		return;
	p->is_over = true;
	for (uint32_t i = 0; i < p->n; i++)
		are_ready &= p->list[i].is_ready;
	p->fn(p->ctx, are_ready ? GR_PROCS_BROKEN : GR_PROCS_FAILED, why, NULL);
	stop_all(p);
}

static void heard_state(struct gr_procs *p, struct proc *c, struct gr_slice body)
{
	const char *state, *why;
	bool is_all = true;
	json_t *o;

	if (gr_json_decode(body, &o, NULL) < 0)
		return;
	state = json_string_value(json_object_get(o, "state"));
	why = json_string_value(json_object_get(o, "why"));
	if (state && !strcmp(state, "ready") && !c->is_ready) {
		c->is_ready = true;
		for (uint32_t i = 0; i < p->n; i++)
			is_all &= p->list[i].is_ready;
		if (is_all && !p->is_over)
			p->fn(p->ctx, GR_PROCS_READY, NULL, NULL);
	} else if (state && !strcmp(state, "failed")) {
		c->is_ended = true;
		went_wrong(p, why ? why : "a generator process failed");
	} else if (state && !strcmp(state, "ended")) {
		c->is_ended = true;
		if (why && *why && !p->is_stopped)
			went_wrong(p, why);
	}
	json_decref(o);
}

static void gone(struct gr_procs *p, struct proc *c)
{
	char why[80];
	int status = 0;

	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(c->fd);
	c->fd = -1;
	if (c->is_ended || p->is_stopped)
		return;
	snprintf(why, sizeof(why), "a generator process ended with %s %d", WIFSIGNALED(status) ? "signal" : "status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	went_wrong(p, why);
}

static void hear(struct gr_procs *p, struct proc *c)
{
	bool is_there = gr_procs__fill(c->fd, &c->in);
	struct gr_slice frame, body;
	size_t at = 0;
	long n;

	while ((n = gr_procs__peek(&c->in, at, &frame)) > 0) {
		int type = gr_frame_open(frame, &body);

		if (type == GR_MSG_LOAD_STATE) {
			heard_state(p, c, body);
		} else if (type == GR_MSG_LOAD_STATS) {
			struct gr_buf one = { 0 };

			gr_buf_add(&one, frame.p, frame.n);
			p->fn(p->ctx, GR_PROCS_REPORT, NULL, &one);
		}
		at += (size_t)n;
	}
	gr_procs__drop(&c->in, at);
	if (!is_there || n < 0)
		gone(p, c);
}

static void *procs_main(void *arg)
{
	struct gr_procs *p = arg;
	struct pollfd fds[GR_PROCS_MAX_PARTS + 1];
	struct gr_slice frame;
	uint64_t beat_ns = 0;
	uint32_t n_left;
	size_t at = 0;

	prctl(PR_SET_NAME, "griddle-procs");
	for (uint32_t i = 0; i < p->n; i++) {
		at += (size_t)gr_procs__peek(&p->prepare, at, &frame);
		if (!gr_procs__put(p->list[i].fd, frame, 0))
			break;                   /* it ended; told below */
	}
	do {
		nfds_t n = 0;
		bool is_end;

		fds[n++] = (struct pollfd){ .fd = p->wake_fd, .events = POLLIN };
		for (uint32_t i = 0; i < p->n; i++)
			fds[n++] = (struct pollfd){ .fd = p->list[i].fd, .events = POLLIN };
		if (poll(fds, n, GR_PROCS_BEAT_MS) < 0 && errno != EINTR)
			break;
		commands(p);
		for (uint32_t i = 0; i < p->n; i++)
			if (p->list[i].fd >= 0 && fds[i + 1].revents)
				hear(p, &p->list[i]);
		if (gr_clock_mono_ns() > beat_ns + GR_PROCS_BEAT_MS * GR_NS_PER_MS) {
			struct gr_load_clock clock = { .sent_ns = gr_clock_mono_ns() };
			struct gr_buf b = { 0 };

			beat_ns = clock.sent_ns;
			gr_load_clock_encode(&b, &clock);
			tell_all(p, &b);
			gr_buf_fini(&b);
		}
		pthread_mutex_lock(&p->lock);
		is_end = p->wants_end;
		pthread_mutex_unlock(&p->lock);
		n_left = 0;
		for (uint32_t i = 0; i < p->n; i++) {
			if (is_end && p->list[i].fd >= 0) {
				p->is_stopped = true;
				gone(p, &p->list[i]);
			}
			n_left += p->list[i].fd >= 0;
		}
	} while (n_left);
	p->fn(p->ctx, GR_PROCS_ENDED, NULL, NULL);
	return NULL;
}

static void add_prepare(struct gr_procs *p, const struct gr_shard_spec *spec, uint32_t i)
{
	struct gr_buf frame = { 0 };
	char id[17];
	json_t *o;

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)spec->run);
	o = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:O}", "run", id, "shard", (int)spec->shard, "index", (int)(spec->index + spec->of * i), "of",
		      (int)(spec->of * p->n), "part", (int)(i * spec->plan->n_threads), "parts", (int)(p->n * spec->plan->n_threads), "plan",
		      spec->plan_json);
	gr_json_encode(&frame, GR_MSG_LOAD_PREPARE, o);
	json_decref(o);
	gr_procs__add(&p->prepare, gr_buf_slice(&frame));
	gr_buf_fini(&frame);
}

int gr_procs_new(const struct gr_shard_spec *spec, uint32_t n, gr_procs_fn *fn, void *ctx, struct gr_procs **out, struct gr_err *err)
{
	struct gr_procs *p;
	int rc = 0;

	GR_NEW(p);
	pthread_mutex_init(&p->lock, NULL);
	p->fn = fn;
	p->ctx = ctx;
	p->run = spec->run;
	p->list = gr_xalloc(n * sizeof(*p->list));
	p->n = n;
	for (uint32_t i = 0; i < n; i++) {
		p->list[i].fd = -1;
		add_prepare(p, spec, i);
	}
	p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->wake_fd < 0)
		rc = gr_err_set(err, GR_EIO, "no descriptor for the load generator");
	for (uint32_t i = 0; rc >= 0 && i < n; i++)
		rc = spawn(&p->list[i], err);
	if (rc >= 0 && pthread_create(&p->thread, NULL, procs_main, p))
		rc = gr_err_set(err, GR_EIO, "no thread for the load generator");
	p->has_thread = rc >= 0;
	*out = p;
	if (rc < 0)
		gr_procs_free(out);
	return rc < 0 ? rc : 0;
}

static void wake(struct gr_procs *p)
{
	uint64_t one = 1;

	if (write(p->wake_fd, &one, sizeof(one)) < 0)
		return;                          /* full: it is awake */
}

void gr_procs_start(struct gr_procs *p, uint64_t start_ns)
{
	pthread_mutex_lock(&p->lock);
	p->cmd_start_ns = start_ns;
	pthread_mutex_unlock(&p->lock);
	wake(p);
}

void gr_procs_share(struct gr_procs *p, uint64_t from, uint32_t index, uint32_t of)
{
	pthread_mutex_lock(&p->lock);
	p->cmd_share = (struct gr_load_share){ .from = from, .index = index, .of = of };
	p->has_share = true;
	pthread_mutex_unlock(&p->lock);
	wake(p);
}

void gr_procs_stop(struct gr_procs *p)
{
	pthread_mutex_lock(&p->lock);
	p->wants_stop = true;
	pthread_mutex_unlock(&p->lock);
	wake(p);
}

void gr_procs_free(struct gr_procs **pp)
{
	struct gr_procs *p = *pp;

	*pp = NULL;
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->wants_end = true;
	pthread_mutex_unlock(&p->lock);
	if (p->has_thread) {
		wake(p);
		pthread_join(p->thread, NULL);
	}
	p->is_stopped = true;
	for (uint32_t i = 0; i < p->n; i++) {
		if (p->list[i].fd >= 0)
			gone(p, &p->list[i]);
		gr_buf_fini(&p->list[i].in);
	}
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	gr_buf_fini(&p->prepare);
	pthread_mutex_destroy(&p->lock);
	free(p->list);
	free(p);
}
