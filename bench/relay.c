/**
 * relay - what a task costs the coordinator: one client, some workers that answer at once, all in this process
 *
 * usage: relay ENDPOINT TASKS WORKERS INPUTS      prints "tasks seconds" when every result came
 * The tasks look like a kernel unit's: 100 argv words, INPUTS input files, three outputs. Blobs are not asked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/net/link.h"

#define SESSION 0xbe9cull
#define WINDOW 512u
#define N_WORDS 100u
#define OBJECT_BYTES 4096u

struct bench {
	struct gr_loop *loop;
	struct gr_link *client;
	uint32_t n_workers, n_up, n_inputs, n_records;
	uint64_t n_tasks, n_sent, n_done, from_ns;
	struct gr_task_msg *task;
	struct gr_result_msg *result;
	struct gr_buf log, argv, inputs;
	bool is_open;
};

static void ignore_down(void *ctx, int code, const char *why)
{
	(void)ctx;
	fprintf(stderr, "relay: %d %s\n", code, why);
	exit(1);
}

static void send_frame(struct gr_link *l, struct gr_buf *b)
{
	if (gr_link_send(l, b) < 0) {
		fprintf(stderr, "relay: a queue is full\n");
		exit(1);
	}
}

/* ---- workers ---- */

struct who { struct gr_link *link; struct bench *b; char name[16]; };

static json_t *worker_hello(void *ctx)
{
	struct who *w = ctx;
	json_t *j = gr_hello_json(GR_ROLE_WORKER, w->name);
	char hex[GR_DIGEST_HEX];

	gr_digest_hex(&w->b->task->toolchain, hex);
	json_object_set_new(j, "slots", json_integer(8));
	json_object_set_new(j, "prefetch", json_integer(8));
	json_object_set_new(j, "toolchains", json_pack("[{s:s, s:s}]", "digest", hex, "name", "bench"));
	return j;
}

static void client_start(struct bench *b);

static void worker_up(void *ctx, const json_t *welcome)
{
	struct who *w = ctx;

	(void)welcome;
	if (++w->b->n_up == w->b->n_workers)
		client_start(w->b);
}

static int worker_msg(void *ctx, int type, struct gr_slice body)
{
	struct who *w = ctx;
	struct gr_result_msg *r = w->b->result;
	struct gr_buf f = { 0 };
	struct gr_task_msg m;

	if (type != GR_MSG_TASK || gr_task_decode(body, &m) < 0)
		return 0;
	r->task = m.task;
	r->attempt = m.attempt;
	gr_result_encode(&f, r);
	send_frame(w->link, &f);
	return 0;
}

/* ---- the client ---- */

static json_t *client_hello(void *ctx)
{
	(void)ctx;
	return gr_hello_json(GR_ROLE_CLIENT, "bench");
}

static void fill(struct bench *b)
{
	while (b->is_open && b->n_sent < b->n_tasks && b->n_sent - b->n_done < WINDOW) {
		struct gr_buf f = { 0 };

		b->task->task = ++b->n_sent;
		gr_task_encode(&f, b->task);
		send_frame(b->client, &f);
	}
}

static void client_up(void *ctx, const json_t *welcome)
{
	struct bench *b = ctx;
	struct gr_log_msg m = { .session = SESSION, .n = b->n_records, .bytes = gr_buf_slice(&b->log) };
	struct gr_buf f = { 0 };
	json_t *j = json_pack("{s:s}", "session", "000000000000be9c");

	(void)welcome;
	gr_json_encode(&f, GR_MSG_SESSION_OPEN, j);
	json_decref(j);
	send_frame(b->client, &f);
	gr_log_encode(&f, &m);
	send_frame(b->client, &f);
	b->is_open = true;
	b->from_ns = gr_loop_now_ns(b->loop);
	fill(b);
}

static int client_msg(void *ctx, int type, struct gr_slice body)
{
	struct bench *b = ctx;
	struct gr_result_msg *m;
	struct gr_buf f = { 0 };

	if (type != GR_MSG_RESULT)
		return 0;
	GR_NEW(m);
	if (gr_result_decode(body, m) < 0 || m->outcome != GR_OUTCOME_DONE) {
		fprintf(stderr, "relay: %s: %.*s\n", gr_outcome_name(m->outcome), (int)m->reason.n, (const char *)m->reason.p);
		exit(1);
	}
	gr_taskref_encode(&f, GR_MSG_RESULT_ACK, m->session, m->task, m->attempt);
	free(m);
	send_frame(b->client, &f);
	if (++b->n_done == b->n_tasks)
		gr_loop_stop(b->loop);
	fill(b);
	return 0;
}

static const char *endpoint;

static void client_start(struct bench *b)
{
	static const struct gr_link_ops ops = { .make_hello = client_hello, .on_up = client_up, .on_down = ignore_down,
						.on_msg = client_msg };
	struct gr_link_config cfg = { .endpoint = endpoint };
	struct gr_err err = { 0 };

	if (gr_link_new(b->loop, &cfg, &ops, b, &b->client, &err) < 0) {
		fprintf(stderr, "relay: %s\n", err.text);
		exit(1);
	}
}

/* ---- what the tasks are made of ---- */

static void make_task(struct bench *b)
{
	struct gr_record r = { .tag = GR_RECORD_STR };
	uint32_t words[N_WORDS], *files = gr_xalloc((b->n_inputs + 1) * sizeof(*files)), n = 0;
	struct gr_task_msg *m = b->task;
	static char object[OBJECT_BYTES];
	char text[64];

	for (; n < N_WORDS; n++) {
		snprintf(text, sizeof(text), n < 2 ? "/bench%u" : "-DWORD_%u=1", n);
		r.str = gr_slice_str(text);
		gr_record_encode(&b->log, &r);
		words[n] = n;
	}
	for (uint32_t i = 0; i < b->n_inputs; i++) {
		struct gr_record f = { .tag = GR_RECORD_FILE, .path = n, .kind = GR_FILE_REG, .size = 10000 };

		snprintf(text, sizeof(text), "/bench/include/linux/header-%u.h", i);
		r.str = gr_slice_str(text);
		gr_record_encode(&b->log, &r);
		gr_sha256_of(text, strlen(text), &f.digest);
		gr_record_encode(&b->log, &f);
		files[i] = n + 1;
		n += 2;
	}
	b->n_records = n;
	gr_ids_encode(&b->argv, words, N_WORDS, false);
	gr_ids_encode(&b->inputs, files, b->n_inputs, true);
	m->session = SESSION;
	m->n_records = n;
	m->family = 1;
	m->argv = (struct gr_ids){ gr_buf_slice(&b->argv), N_WORDS, false };
	m->inputs = (struct gr_ids){ gr_buf_slice(&b->inputs), b->n_inputs, true };
	m->n_outputs = 3;
	for (uint32_t i = 0; i < 3; i++)
		m->outputs[i].path = 1;
	b->result->session = SESSION;
	b->result->outcome = GR_OUTCOME_DONE;
	b->result->cpu_us = 100000;
	b->result->n_outputs = 1;
	b->result->outputs[0] = (struct gr_result_out){ .mode = 0644, .size = OBJECT_BYTES, .data = gr_slice(object, OBJECT_BYTES) };
	free(files);
}

int main(int argc, char **argv)
{
	static const struct gr_link_ops ops = { .make_hello = worker_hello, .on_up = worker_up, .on_down = ignore_down,
						.on_msg = worker_msg };
	struct bench b = { 0 };
	struct gr_link_config cfg = { 0 };
	struct gr_err err = { 0 };
	struct who *who;

	if (argc != 5) {
		fprintf(stderr, "usage: relay ENDPOINT TASKS WORKERS INPUTS\n");
		return 2;
	}
	cfg.endpoint = endpoint = argv[1];
	b.n_tasks = strtoull(argv[2], NULL, 10);
	b.n_workers = (uint32_t)strtoul(argv[3], NULL, 10);
	b.n_inputs = (uint32_t)strtoul(argv[4], NULL, 10);
	GR_NEW(b.task);
	GR_NEW(b.result);
	memset(b.task->toolchain.b, 'b', sizeof(b.task->toolchain.b));
	make_task(&b);
	b.loop = gr_loop_new(1);
	who = gr_xalloc(b.n_workers * sizeof(*who));
	for (uint32_t i = 0; i < b.n_workers; i++) {
		who[i].b = &b;
		snprintf(who[i].name, sizeof(who[i].name), "bench-%u", i);
		if (gr_link_new(b.loop, &cfg, &ops, &who[i], &who[i].link, &err) < 0) {
			fprintf(stderr, "relay: %s\n", err.text);
			return 1;
		}
	}
	gr_loop_run(b.loop);
	printf("%llu %.3f\n", (unsigned long long)b.n_done, (double)(gr_loop_now_ns(b.loop) - b.from_ns) / GR_NS_PER_S);
	return b.n_done == b.n_tasks ? 0 : 1;
}
