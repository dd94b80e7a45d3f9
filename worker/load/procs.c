/* procs.c - see procs.h. posix_spawn and not fork, since neither libzmq nor the threads survive that. Messages are a length of four
 * bytes and a frame. Tried and not kept: passing descriptors to this process, which counts them against the same limit. */
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

extern char **environ;

#define CHILD_FD 3
#define SPARE_FILES 256u                         /* of a process: everything that is no connection */
#define BEAT_MS 100
#define MAX_MESSAGE_BYTES (64u << 20)

/* ---- messages on a stream ---- */

static void add_message(struct gr_buf *b, struct gr_slice frame)
{
	uint8_t head[4] = { (uint8_t)frame.n, (uint8_t)(frame.n >> 8), (uint8_t)(frame.n >> 16), (uint8_t)(frame.n >> 24) };

	gr_buf_add(b, head, 4);
	gr_buf_add(b, frame.p, frame.n);
}

static bool put(int fd, struct gr_slice frame, int flags)
{
	struct gr_buf b = { 0 };
	size_t at = 0;

	add_message(&b, frame);
	while (at < b.n) {
		ssize_t n = send(fd, b.p + at, b.n - at, MSG_NOSIGNAL | (at ? 0 : flags));

		if (n < 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
	at -= b.n;
	gr_buf_fini(&b);
	return !at;
}

/* More of what came into @b. false: the other end is gone. */
static bool fill(int fd, struct gr_buf *b)
{
	ssize_t n;

	gr_buf_reserve(b, 65536);
	n = recv(fd, b->p + b->n, 65536, MSG_DONTWAIT);
	if (n > 0)
		b->n += (size_t)n;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* The frame in front of @b from @at on; 0 none is whole, -1 nonsense, else the bytes it takes. */
static long peek(const struct gr_buf *b, size_t at, struct gr_slice *frame)
{
	const uint8_t *p = b->p + at;
	size_t n;

	if (b->n - at < 4)
		return 0;
	n = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
	if (n > MAX_MESSAGE_BYTES)
		return -1;
	if (b->n - at < 4 + n)
		return 0;
	*frame = gr_slice(p + 4, n);
	return (long)(4 + n);
}

static void drop(struct gr_buf *b, size_t n)
{
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

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

/* ---- the worker's side ---- */

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
	posix_spawn_file_actions_adddup2(&fa, sv[1], CHILD_FD);
	posix_spawn_file_actions_addclosefrom_np(&fa, CHILD_FD + 1);
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
			put(p->list[i].fd, gr_buf_slice(frame), MSG_DONTWAIT);     /* one that is full hears nothing, and its lease ends */
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
			put(p->list[i].fd, gr_buf_slice(&frame), MSG_DONTWAIT);
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
	bool is_there = fill(c->fd, &c->in);
	struct gr_slice frame, body;
	size_t at = 0;
	long n;

	while ((n = peek(&c->in, at, &frame)) > 0) {
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
	drop(&c->in, at);
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
		at += (size_t)peek(&p->prepare, at, &frame);
		if (!put(p->list[i].fd, frame, 0))
			break;                   /* it ended; told below */
	}
	do {
		nfds_t n = 0;
		bool is_end;

		fds[n++] = (struct pollfd){ .fd = p->wake_fd, .events = POLLIN };
		for (uint32_t i = 0; i < p->n; i++)
			fds[n++] = (struct pollfd){ .fd = p->list[i].fd, .events = POLLIN };
		if (poll(fds, n, BEAT_MS) < 0 && errno != EINTR)
			break;
		commands(p);
		for (uint32_t i = 0; i < p->n; i++)
			if (p->list[i].fd >= 0 && fds[i + 1].revents)
				hear(p, &p->list[i]);
		if (gr_clock_mono_ns() > beat_ns + BEAT_MS * GR_NS_PER_MS) {
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
	add_message(&p->prepare, gr_buf_slice(&frame));
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

/* ---- the process's own side ---- */

struct child {
	struct gr_buf in;
	struct gr_load_plan *plan;
	struct gr_shard *shard;
	uint64_t heard_ns, tick_ns;
	int wake_fd;
	bool is_ready_said, is_cut;
};

static void say(const char *state, const char *why)
{
	struct gr_buf frame = { 0 };
	json_t *o = json_pack("{s:s, s:s}", "state", state, "why", why);

	gr_json_encode(&frame, GR_MSG_LOAD_STATE, o);
	json_decref(o);
	put(CHILD_FD, gr_buf_slice(&frame), 0);
	gr_buf_fini(&frame);
}

static void notify(void *ctx)
{
	uint64_t one = 1;

	if (write(((struct child *)ctx)->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static int prepare(struct child *c, struct gr_slice body)
{
	struct gr_shard_spec spec = { .notify = notify, .ctx = c };
	struct gr_err err = { 0 };
	const char *hex;
	json_t *o;
	int rc = gr_json_decode_max(body, MAX_MESSAGE_BYTES, &o, &err);

	if (rc >= 0) {
		hex = json_string_value(json_object_get(o, "run"));
		spec.run = strtoull(hex ? hex : "", NULL, 16);
		spec.shard = (uint16_t)json_integer_value(json_object_get(o, "shard"));
		spec.index = (uint32_t)json_integer_value(json_object_get(o, "index"));
		spec.of = (uint32_t)json_integer_value(json_object_get(o, "of"));
		spec.part = (uint32_t)json_integer_value(json_object_get(o, "part"));
		spec.n_parts = (uint32_t)json_integer_value(json_object_get(o, "parts"));
		rc = gr_load_plan_from_json(json_object_get(o, "plan"), &c->plan, &err);
		json_decref(o);
	}
	spec.plan = c->plan;
	if (rc >= 0)
		rc = gr_shard_new(&spec, &c->shard, &err);
	if (rc < 0)
		say("failed", err.text);
	return rc;
}

static int hear_one(struct child *c, struct gr_slice frame)
{
	struct gr_load_share share;
	struct gr_slice body;
	uint64_t run, start_ns;
	int type = gr_frame_open(frame, &body);

	if (type == GR_MSG_LOAD_PREPARE && !c->shard)
		return prepare(c, body);
	if (!c->shard)
		return 0;
	if (type == GR_MSG_LOAD_START && gr_load_start_decode(body, &run, &start_ns) >= 0)
		gr_shard_start(c->shard, start_ns);
	else if (type == GR_MSG_LOAD_SHARE && gr_load_share_decode(body, &share) >= 0)
		gr_shard_share(c->shard, share.from, share.index, share.of);
	else if (type == GR_MSG_LOAD_STOP)
		gr_shard_stop(c->shard);
	return 0;
}

/* 0 go on, else the process is done. */
static int child_turn(struct child *c)
{
	uint64_t now = gr_clock_mono_ns();
	enum gr_shard_state st;
	struct gr_buf report;

	if (now > c->tick_ns + 3 * BEAT_MS * GR_NS_PER_MS)      /* this process was stopped, not the worker */
		c->heard_ns = now;
	c->tick_ns = now;
	if (!c->shard)
		return 0;
	if (!c->is_cut && now > c->heard_ns + c->plan->lease_ns) {
		c->is_cut = true;
		gr_shard_stop(c->shard);
	}
	st = gr_shard_state(c->shard);           /* before the reports: it is set after the last one */
	while (gr_shard_take_report(c->shard, &report)) {
		put(CHILD_FD, gr_buf_slice(&report), 0);
		gr_buf_fini(&report);
	}
	if (st == GR_SHARD_FAILED) {
		say("failed", gr_shard_error(c->shard));
		return 1;
	}
	if (st == GR_SHARD_READY && !c->is_ready_said) {
		c->is_ready_said = true;
		say("ready", "");
	}
	if (st != GR_SHARD_ENDED)
		return 0;
	say("ended", c->is_cut ? "a generator process heard nothing of its worker" : "");
	return 1;
}

int gr_procs_child(void)
{
	struct child c = { .wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	int done = c.wake_fd < 0;

	prctl(PR_SET_NAME, "griddle-load");      /* else "exe", after what was started */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);                 /* a terminal's goes to the worker, which tells */
	fcntl(CHILD_FD, F_SETFD, FD_CLOEXEC);
	c.heard_ns = c.tick_ns = gr_clock_mono_ns();
	while (!done) {
		struct pollfd fds[] = { { .fd = CHILD_FD, .events = POLLIN }, { .fd = c.wake_fd, .events = POLLIN } };
		struct gr_slice frame;
		uint64_t n_wakes;
		size_t at = 0;
		long n;

		poll(fds, 2, BEAT_MS / 2);
		if (read(c.wake_fd, &n_wakes, sizeof(n_wakes)) < 0)
			n_wakes = 0;
		if (fds[0].revents && !fill(CHILD_FD, &c.in))
			break;                   /* the worker is gone: so is this, at once, with all it has open */
		while ((n = peek(&c.in, at, &frame)) > 0 && !done) {
			c.heard_ns = gr_clock_mono_ns();
			done = hear_one(&c, frame) < 0;
			at += (size_t)n;
		}
		drop(&c.in, at);
		done = done || n < 0 || child_turn(&c);
	}
	_exit(0);
}
