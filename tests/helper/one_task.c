/*
 * one_task.c - a client with no agent: ships the files it is told, runs one task (or the same many times), tells what
 * came back
 *
 *   one_task [OPTIONS] -- ARGV...
 *     --coordinator ENDPOINT   --toolchain HEX   --cwd DIR      --to DIR      outputs are written to DIR/BASENAME
 *     --input PATH             a file, folder or symlink, as it is here; --absent PATH
 *     --lie PATH=FILE          PATH with FILE's content     --link PATH=TARGET
 *     --output PATH   --optional PATH   --env K=V   --flags N   --timeout-ms N   --times N   --at-once N
 *     --cancel                 cancels each task once it was sent
 *
 * Prints a line a result: "done exit=0 signal=0 outputs=1 reason=", then stderr's text behind it with --show.
 * Exit: 0 when every result came, 3 when the coordinator dropped us, 1 otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/net/link.h"
#include "lib/net/loop.h"
#include "lib/wire/msg.h"

#define LIMIT_MS 120000

struct file {
	struct gr_digest digest;
	char *content_at;
};
struct client {
	struct gr_loop *loop;
	struct gr_link *link;
	uint64_t session;
	struct gr_buf log;
	uint32_t n_records;
	struct file files[4096];
	uint32_t n_files, inputs[4096], n_inputs, argv[4096], n_argv, env[256], n_env;
	struct gr_task_msg m;
	const char *to, *outputs[GR_WIRE_MAX_OUTPUTS];
	uint64_t n_times, n_at_once, n_sent, n_back;
	bool do_cancel, do_show, is_open;
	int rc;
};

static uint32_t add(struct client *c, const struct gr_record *r)
{
	gr_record_encode(&c->log, r);
	return c->n_records++;
}

static uint32_t add_str(struct client *c, const char *s)
{
	return add(c, &(struct gr_record){ .tag = GR_RECORD_STR, .str = gr_slice_str(s) });
}

static void add_input(struct client *c, const char *path, const char *content_at, const char *target, bool is_absent)
{
	struct gr_record r = { .tag = GR_RECORD_FILE, .path = add_str(c, path), .kind = GR_FILE_ABSENT };
	char link[4096];
	struct stat st;

	if (!is_absent && !target && lstat(content_at, &st) < 0) {
		perror(content_at);
		exit(2);
	}
	if (target || (!is_absent && S_ISLNK(st.st_mode))) {
		if (!target) {
			ssize_t n = readlink(content_at, link, sizeof(link) - 1);

			link[n < 0 ? 0 : n] = 0;
			target = link;
		}
		r.kind = GR_FILE_LINK;
		r.str = gr_slice_str(target);
	} else if (!is_absent && S_ISDIR(st.st_mode)) {
		r.kind = GR_FILE_DIR;
	} else if (!is_absent) {
		int fd = open(content_at, O_RDONLY | O_CLOEXEC);

		r.kind = GR_FILE_REG;
		if (fd < 0 || gr_sha256_fd(fd, &r.digest, &r.size) < 0) {
			perror(content_at);
			exit(2);
		}
		close(fd);
		c->files[c->n_files].digest = r.digest;
		c->files[c->n_files++].content_at = gr_xstrdup(content_at);
	}
	c->inputs[c->n_inputs++] = add(c, &r);
}

static void stop(struct client *c, int rc)
{
	c->rc = rc;
	gr_loop_stop(c->loop);
}

static void send_frame(struct client *c, struct gr_buf *frame)
{
	if (gr_link_send(c->link, frame) < 0) {
		fprintf(stderr, "one_task: cannot send\n");
		stop(c, 1);
	}
	gr_buf_fini(frame);
}

static void send_tasks(struct client *c)
{
	while (c->n_sent < c->n_times && c->n_sent - c->n_back < c->n_at_once) {
		struct gr_buf f = { 0 };

		c->m.task = ++c->n_sent;
		gr_task_encode(&f, &c->m);
		send_frame(c, &f);
		if (c->do_cancel) {
			gr_taskref_encode(&f, GR_MSG_CANCEL, c->session, c->m.task, 0);
			send_frame(c, &f);
		}
	}
}

static json_t *make_hello(void *ctx)
{
	(void)ctx;
	return gr_hello_json(GR_ROLE_CLIENT, "one-task");
}

static void on_up(void *ctx, const json_t *welcome)
{
	struct client *c = ctx;
	struct gr_buf f = { 0 };
	char hex[17];
	json_t *j;

	(void)welcome;
	snprintf(hex, sizeof(hex), "%016" PRIx64, c->session);
	j = json_pack("{s:s}", "session", hex);
	gr_json_encode(&f, GR_MSG_SESSION_OPEN, j);
	json_decref(j);
	send_frame(c, &f);
}

static void on_down(void *ctx, int code, const char *why)
{
	struct client *c = ctx;

	if (!c->is_open) {
		fprintf(stderr, "one_task: link: %s\n", why ? why : gr_err_text(code));
		return;
	}
	printf("dropped: %s\n", why ? why : gr_err_text(code));
	stop(c, 3);
}

static void answer_fetch(struct client *c, struct gr_slice body)
{
	struct gr_digests_msg m;

	if (gr_digests_decode(body, &m) < 0)
		return;
	for (uint32_t i = 0; i < m.n; i++) {
		struct gr_digest d = gr_digests_at(&m, i);
		struct gr_buf content = { 0 }, f = { 0 };
		const char *at = NULL;
		size_t from = 0;

		for (uint32_t k = 0; k < c->n_files && !at; k++)
			if (gr_digest_eq(&c->files[k].digest, &d))
				at = c->files[k].content_at;
		if (!at || gr_file_read(at, GR_WIRE_MAX_BLOB_BYTES, &content, NULL) < 0) {
			gr_digests_encode(&f, GR_MSG_MISSING, c->session, &d, 1);
			send_frame(c, &f);
			continue;
		}
		do {
			size_t n = content.n - from < GR_WIRE_CHUNK_BYTES ? content.n - from : GR_WIRE_CHUNK_BYTES;
			struct gr_blob_msg b = { .session = c->session, .digest = d, .total = content.n, .offset = from,
						 .enc = GR_ENC_RAW, .raw_n = (uint32_t)n, .data = gr_slice(content.p + from, n) };

			gr_blob_encode(&f, &b);
			send_frame(c, &f);
			from += n;
		} while (from < content.n);
		gr_buf_fini(&content);
	}
}

static void write_output(struct client *c, const struct gr_result_out *o)
{
	struct gr_buf raw = { 0 };
	const char *base = strrchr(c->outputs[o->index], '/') + 1;
	char path[4400];

	snprintf(path, sizeof(path), "%s/%s", c->to, base);
	if (gr_unpack(o->data, o->enc, o->size, GR_WIRE_MAX_OUTPUT_BYTES, &raw) < 0 ||
	    gr_file_replace(path, raw.p ? (void *)raw.p : "", raw.n, o->mode, false, NULL) < 0)
		fprintf(stderr, "one_task: %s: cannot be written\n", path);
	gr_buf_fini(&raw);
}

static int on_result(struct client *c, struct gr_slice body)
{
	struct gr_result_msg *m;
	struct gr_buf f = { 0 };
	int rc;

	GR_NEW(m);
	rc = gr_result_decode(body, m);
	if (rc < 0) {
		free(m);
		return rc;
	}
	printf("%s exit=%d signal=%d outputs=%u cpu_us=%" PRIu64 " wait_us=%" PRIu64 " wall_us=%" PRIu64 " reason=%.*s\n",
	       gr_outcome_name(m->outcome), m->exit_code, m->term_signal, m->n_outputs, m->cpu_us, m->wait_us, m->wall_us,
	       (int)m->reason.n, (const char *)m->reason.p);
	if (c->do_show)
		printf("%.*s%.*s", (int)m->out.n, (const char *)m->out.p, (int)m->err.n, (const char *)m->err.p);
	for (uint32_t i = 0; i < m->n_outputs && c->to; i++)
		write_output(c, &m->outputs[i]);
	gr_taskref_encode(&f, GR_MSG_RESULT_ACK, c->session, m->task, m->attempt);
	free(m);
	send_frame(c, &f);
	if (++c->n_back == c->n_times)
		stop(c, 0);
	else
		send_tasks(c);
	return 0;
}

static int on_msg(void *ctx, int type, struct gr_slice body)
{
	struct client *c = ctx;
	struct gr_buf f = { 0 };

	if (type == GR_MSG_FETCH) {
		answer_fetch(c, body);
	} else if (type == GR_MSG_RESULT) {
		return on_result(c, body);
	} else if (type == GR_MSG_SESSION_OK && !c->is_open) {
		struct gr_log_msg m = { .session = c->session, .first = 0, .n = c->n_records, .bytes = gr_buf_slice(&c->log) };

		c->is_open = true;
		gr_log_encode(&f, &m);
		send_frame(c, &f);
		send_tasks(c);
	}
	return 0;
}

static void on_limit(void *ctx)
{
	fprintf(stderr, "one_task: no answer within %d s\n", LIMIT_MS / 1000);
	stop(ctx, 1);
}

static char *split(char *s)
{
	char *eq = strchr(s, '=');

	if (!eq) {
		fprintf(stderr, "one_task: %s: wants PATH=VALUE\n", s);
		exit(2);
	}
	*eq = 0;
	return eq + 1;
}

static void read_args(struct client *c, int argc, char **argv, const char **endpoint)
{
	int i = 1;

	for (; i < argc && strcmp(argv[i], "--"); i++) {
		const char *o = argv[i];
		char *v;

		if (!strcmp(o, "--cancel")) {
			c->do_cancel = true;
			continue;
		}
		if (!strcmp(o, "--show")) {
			c->do_show = true;
			continue;
		}
		if (++i == argc)
			exit(2);
		v = argv[i];
		if (!strcmp(o, "--coordinator")) {
			*endpoint = v;
		} else if (!strcmp(o, "--toolchain")) {
			if (gr_digest_parse(v, &c->m.toolchain) < 0)
				exit(2);
		} else if (!strcmp(o, "--cwd")) {
			c->m.cwd = add_str(c, v);
		} else if (!strcmp(o, "--to")) {
			c->to = v;
		} else if (!strcmp(o, "--input")) {
			add_input(c, v, v, NULL, false);
		} else if (!strcmp(o, "--absent")) {
			add_input(c, v, v, NULL, true);
		} else if (!strcmp(o, "--lie")) {
			char *at = split(v);

			add_input(c, v, at, NULL, false);
		} else if (!strcmp(o, "--link")) {
			char *target = split(v);

			add_input(c, v, NULL, target, false);
		} else if (!strcmp(o, "--output") || !strcmp(o, "--optional")) {
			c->outputs[c->m.n_outputs] = v;
			c->m.outputs[c->m.n_outputs].path = add_str(c, v);
			c->m.outputs[c->m.n_outputs++].flags = !strcmp(o, "--output") ? GR_OUTPUT_REQUIRED : 0;
		} else if (!strcmp(o, "--env")) {
			c->env[c->n_env++] = add_str(c, v);
		} else if (!strcmp(o, "--flags")) {
			c->m.flags = (uint32_t)atoi(v);
		} else if (!strcmp(o, "--timeout-ms")) {
			c->m.timeout_ms = (uint32_t)atoi(v);
		} else if (!strcmp(o, "--times")) {
			c->n_times = strtoull(v, NULL, 10);
		} else if (!strcmp(o, "--at-once")) {
			c->n_at_once = strtoull(v, NULL, 10);
		} else {
			fprintf(stderr, "one_task: %s?\n", o);
			exit(2);
		}
	}
	for (i++; i < argc; i++)
		c->argv[c->n_argv++] = add_str(c, argv[i]);
}

int main(int argc, char **argv)
{
	static const struct gr_link_ops ops = { .make_hello = make_hello, .on_up = on_up, .on_down = on_down, .on_msg = on_msg };
	struct gr_link_config cfg = { 0 };
	struct gr_buf ids[3] = { { 0 } };
	struct gr_err err = { 0 };
	struct client *c;
	int rc;

	gr_log_init("one_task", GR_LOG_WARN);
	GR_NEW(c);
	c->n_times = c->n_at_once = 1;
	c->rc = 1;
	read_args(c, argc, argv, &cfg.endpoint);
	c->loop = gr_loop_new((uint64_t)getpid());
	c->session = gr_hash64(&c->loop, sizeof(c->loop), (uint64_t)getpid() * 0x9e3779b97f4a7c15ull + gr_loop_now_ns(c->loop));
	c->m.session = c->session;
	c->m.n_records = c->n_records;
	gr_ids_encode(&ids[0], c->argv, c->n_argv, false);
	gr_ids_encode(&ids[1], c->env, c->n_env, false);
	gr_ids_encode(&ids[2], c->inputs, c->n_inputs, true);
	c->m.argv = (struct gr_ids){ gr_buf_slice(&ids[0]), c->n_argv, false };
	c->m.env = (struct gr_ids){ gr_buf_slice(&ids[1]), c->n_env, false };
	c->m.inputs = (struct gr_ids){ gr_buf_slice(&ids[2]), c->n_inputs, true };
	if (gr_link_new(c->loop, &cfg, &ops, c, &c->link, &err) < 0) {
		fprintf(stderr, "one_task: %s\n", err.text);
		return 2;
	}
	gr_timer_start(c->loop, LIMIT_MS, 0, on_limit, c);
	gr_loop_run(c->loop);
	gr_link_close(&c->link);
	gr_loop_free(&c->loop);
	for (int i = 0; i < 3; i++)
		gr_buf_fini(&ids[i]);
	for (uint32_t i = 0; i < c->n_files; i++)
		free(c->files[i].content_at);
	gr_buf_fini(&c->log);
	rc = c->rc;
	free(c);
	return rc;
}
