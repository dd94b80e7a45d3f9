/* coordinator.c - CPU of the whole coordinator for a durable task that does nothing: its own code and its store, in one
 * thread, with workers in the same process that answer at once
 *
 * usage: coordinator [-n TASKS] [-w WORKERS] [-s SLOTS]    a line a part, or with -j JSON
 *
 * The coordinator is linked as it is, on the clock and the store's thread of tests/csim (world.c); the wire is made here:
 * frames go from hand to hand. What is measured is the CPU time of the thread while the coordinator has it; that of the
 * workers, who read real COMMANDs and write real ENDEDs, is told apart. A turn: the workers answer all that they were
 * sent, the coordinator takes all answers, then decides once, as it does when one wake-up finds many messages; whatever
 * is committed is committed between two turns. Nothing waits: fsync's time is no CPU time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/base/remove.h"
#include "tests/csim/csim.h"

#define TURN_NS (200 * GR_NS_PER_US)

struct gr_peer {
	enum gr_role role;
	char name[64];
	void *data;
	struct gr_buf *in;                /* frames it was sent */
	uint32_t n_in, cap_in;
};
struct gr_server {
	const struct gr_server_ops *ops;
	void *ctx;
};

static struct gr_server server;
static json_t *answer;                    /* the last CTL_REP */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * GR_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- server.h ---- */

struct gr_server *gr_server_new(struct gr_loop *loop, const struct gr_server_config *cfg, const struct gr_server_ops *ops, void *ctx)
{
	(void)loop, (void)cfg;
	server = (struct gr_server){ ops, ctx };
	return &server;
}

int gr_server_bind(struct gr_server *s, const char *endpoint, char *bound, struct gr_err *err)
{
	(void)s, (void)err;
	snprintf(bound, 256, "%s", endpoint);
	return 0;
}

int gr_server_send(struct gr_server *s, struct gr_peer *p, struct gr_buf *frame)
{
	(void)s;
	GR_GROW(p->in, p->cap_in, p->n_in + 1);
	p->in[p->n_in++] = *frame;
	*frame = (struct gr_buf){ 0 };
	return 0;
}

void gr_server_drop(struct gr_server *s, struct gr_peer *p, int code, const char *why)
{
	(void)s, (void)code;
	fprintf(stderr, "coordinator: %s was dropped: %s\n", p->name, why);
	exit(1);
}

void gr_server_close(struct gr_server **s) { *s = NULL; }
enum gr_role gr_peer_role(const struct gr_peer *p) { return p->role; }
const char *gr_peer_name(const struct gr_peer *p) { return p->name; }
const char *gr_peer_key_name(const struct gr_peer *p) { return p ? "loopback" : ""; }
uint64_t gr_peer_rtt_ns(const struct gr_peer *p) { return p ? 100000 : 0; }
void *gr_peer_data(const struct gr_peer *p) { return p->data; }
void gr_peer_set_data(struct gr_peer *p, void *data) { p->data = data; }

/* ---- peers ---- */

static struct gr_peer *peer_new(enum gr_role role, const char *name, json_t *more)
{
	struct gr_buf frame = { 0 };
	json_t *hello = gr_hello_json(role, name), *welcome = json_object();
	struct gr_err err = { 0 };
	struct gr_slice body;
	struct gr_peer *p;
	struct gr_hello h;

	GR_NEW(p);
	p->role = role;
	snprintf(p->name, sizeof(p->name), "%s", name);
	json_object_update(hello, more);
	json_decref(more);
	gr_json_encode(&frame, GR_MSG_HELLO, hello);
	if (gr_frame_open(gr_buf_slice(&frame), &body) != GR_MSG_HELLO || gr_hello_decode(body, &h, &err) < 0 ||
	    server.ops->on_hello(server.ctx, p, &h, welcome, &err) < 0) {
		fprintf(stderr, "coordinator: %s: %s\n", name, err.text);
		exit(1);
	}
	gr_hello_fini(&h);
	json_decref(hello);
	json_decref(welcome);
	gr_buf_fini(&frame);
	return p;
}

static void give(struct gr_peer *p, struct gr_slice frame)
{
	struct gr_slice body;
	int type = gr_frame_open(frame, &body), rc = server.ops->on_msg(server.ctx, p, type, body);

	if (type < 0 || rc < 0) {
		fprintf(stderr, "coordinator: %s: %s\n", gr_msg_name(type), gr_err_name(rc));
		exit(1);
	}
}

static void ask(struct gr_peer *p, json_t *req)
{
	struct gr_buf frame = { 0 };

	gr_json_encode(&frame, GR_MSG_CTL_REQ, req);
	json_decref(req);
	give(p, gr_buf_slice(&frame));
	gr_buf_fini(&frame);
}

/* A worker: each COMMAND is over at once. Appends the ENDEDs to @out, one behind the other. Return: how many. */
static uint32_t answer_all(struct gr_peer *p, struct gr_buf *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_in; i++) {
		struct gr_command_msg m;
		struct gr_slice body;
		struct gr_err err;
		int type = gr_frame_open(gr_buf_slice(&p->in[i]), &body);

		if (type == GR_MSG_COMMAND && gr_command_decode(body, &m) >= 0) {
			const struct gr_ended_msg e = { .job = m.job, .task = m.task, .attempt = m.attempt, .outcome = GR_OUTCOME_DONE, .wait_us = 5,
							.reason = gr_slice_str(""), .out.has_data = true, .err.has_data = true };

			gr_ended_encode(out, &e);
			n++;
		} else if (type == GR_MSG_CTL_REP) {
			json_decref(answer);
			if (gr_json_decode(body, &answer, &err) < 0)
				answer = NULL;
		}
		gr_buf_fini(&p->in[i]);
	}
	p->n_in = 0;
	return n;
}

/* ---- turns ---- */

struct parts { uint64_t take_ns, decide_ns, store_ns, worker_ns; };

/* Everything that is due until the turn's end: decisions, ticks, commits. */
static void turn(struct cs *s, struct parts *x)
{
	uint64_t until = s->now_ns + TURN_NS, from = cpu_ns(), to, commits;

	cs_at(s, until, CS_WORLD, NULL, NULL);
	while (s->now_ns < until) {
		commits = s->st.commits;
		cs_step(s);
		to = cpu_ns();
		*(s->st.commits != commits ? &x->store_ns : &x->decide_ns) += to - from;
		from = to;
	}
}

static void give_all(struct gr_peer *p, struct gr_buf *frames)
{
	size_t at = 0;

	while (at < frames->n) {
		uint32_t n;

		memcpy(&n, frames->p + at + 4, sizeof(n));
		give(p, gr_slice(frames->p + at, GR_WIRE_HEADER_BYTES + n));
		at += GR_WIRE_HEADER_BYTES + n;
	}
	gr_buf_clear(frames);
}

int main(int argc, char **argv)
{
	uint32_t n_tasks = 1000000, n_workers = 100, slots = 8, n_done = 0;
	const char *tmp = getenv("TMPDIR");
	struct parts x = { 0 }, submit = { 0 };
	struct gr_peer **w, *client;
	struct gr_buf *out;
	struct gr_err err = { 0 };
	struct rusage ru;
	bool as_json = false;
	struct gr_coord c = { 0 };
	struct cs s = { .now_ns = 1000 * GR_NS_PER_S };
	double per;
	int opt;

	while ((opt = getopt(argc, argv, "n:w:s:j")) != -1)
		switch (opt) {
		case 'n': n_tasks = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'w': n_workers = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': slots = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'j': as_json = true; break;
		default: fprintf(stderr, "usage: coordinator [-n TASKS] [-w WORKERS] [-s SLOTS] [-j]\n"); return 2;
		}
	gr_log_init("coordinator", GR_LOG_ERROR);
	cs_now = &s;
	s.p.commit_ns = 10 * GR_NS_PER_US;
	snprintf(s.dir, sizeof(s.dir), "%s/griddle-bench.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(s.dir))
		return 1;
	c.cfg = (struct gr_coord_config){
		.listen = (char *)"tcp://127.0.0.1:7420", .http = (char *)"off", .state = s.dir, .cache_bytes = 1ll << 30, .job_bytes = 1ll << 30,
		.heartbeat_ms = 1000, .dead_ms = 5000, .max_peers = 100000, .credits = 1024, .max_sessions = 16, .session_log_bytes = 64 << 20,
		.session_linger_ms = 60000, .result_bytes = 512 << 20, .settle_ms = 100, .work_target_ms = 60000, .keep_jobs_ms = 604800000,
	};
	if (gr_coord_open(&c, gr_loop_new(1), &err) < 0) {
		fprintf(stderr, "coordinator: %s\n", err.text);
		return 1;
	}
	w = gr_xalloc(n_workers * sizeof(struct gr_peer *));
	out = gr_xalloc(n_workers * sizeof(*out));
	for (uint32_t i = 0; i < n_workers; i++) {
		char name[32], node[32];

		snprintf(name, sizeof(name), "w%u", i);
		snprintf(node, sizeof(node), "n%u", i / 4);
		w[i] = peer_new(GR_ROLE_WORKER, name, json_pack("{s:i, s:i, s:s, s:b, s:s, s:I}", "slots", (int)slots, "prefetch", (int)slots, "tier",
				"namespace", "commands", 1, "node", node, "mem_bytes", (json_int_t)64 << 30));
	}
	client = peer_new(GR_ROLE_CLIENT, "client", json_object());
	turn(&s, &submit);
	ask(client, json_pack("{s:s, s:i, s:s, s:{s:s, s:[{s:[s], s:{s:[i,i]}, s:{s:i, s:i}}]}}", "op", "job.submit", "id", 1, "token", "bench", "spec",
			      "name", "null", "stages", "argv", "griddle:null", "array", "range", 0, (int)n_tasks - 1, "resources", "cpu_mcpu", 1000,
			      "mem_bytes", 64 << 20));
	while (!answer) {
		turn(&s, &submit);
		answer_all(client, &out[0]);
	}
	while (n_done < n_tasks) {
		uint64_t from = cpu_ns(), to;

		for (uint32_t i = 0; i < n_workers; i++)
			n_done += answer_all(w[i], &out[i]);
		answer_all(client, &out[0]);
		to = cpu_ns();
		x.worker_ns += to - from;
		from = to;
		for (uint32_t i = 0; i < n_workers; i++)
			give_all(w[i], &out[i]);
		x.take_ns += cpu_ns() - from;
		turn(&s, &x);
	}
	for (int i = 0; i < 20; i++)
		turn(&s, &x);
	json_decref(answer);
	answer = NULL;
	ask(client, json_pack("{s:s, s:i, s:i}", "op", "job.show", "id", 2, "job", 1));
	answer_all(client, &out[0]);
	if (strcmp(json_string_value(json_object_get(answer, "state")), "done") ||
	    json_integer_value(json_object_get(json_object_get(answer, "counts"), "done")) != n_tasks) {
		fprintf(stderr, "coordinator: the job is not done\n");
		return 1;
	}
	json_decref(answer);
	getrusage(RUSAGE_SELF, &ru);
	per = (double)(x.take_ns + x.decide_ns + x.store_ns) / 1e3 / n_tasks;
	if (as_json)
		printf("{\"tasks\": %u, \"workers\": %u, \"us_per_task\": %.3f, \"take_us\": %.3f, \"decide_us\": %.3f, \"store_us\": %.3f, \"worker_us\": "
		       "%.3f, \"commits\": %llu, \"max_rss_mb\": %.1f}\n", n_tasks, n_workers, per, (double)x.take_ns / 1e3 / n_tasks,
		       (double)x.decide_ns / 1e3 / n_tasks, (double)x.store_ns / 1e3 / n_tasks, (double)x.worker_ns / 1e3 / n_tasks,
		       (unsigned long long)s.st.commits, (double)ru.ru_maxrss / 1024);
	else
		printf("%u durable no-op tasks, %u workers of %u slots: %.2f us of CPU a task in the coordinator: %.2f taking results, %.2f deciding and "
		       "sending, %.2f the store (%llu commits); %.2f in the workers; at most %.0f MB\n", n_tasks, n_workers, slots, per,
		       (double)x.take_ns / 1e3 / n_tasks, (double)x.decide_ns / 1e3 / n_tasks, (double)x.store_ns / 1e3 / n_tasks,
		       (unsigned long long)s.st.commits, (double)x.worker_ns / 1e3 / n_tasks, (double)ru.ru_maxrss / 1024);
	(void)!gr_remove_at(AT_FDCWD, s.dir);
	return 0;
}
