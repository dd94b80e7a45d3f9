/*
 * commander.c - a coordinator of one worker: gives it commands and tells what came of them
 *
 *   commander [OPTIONS] SPEC.json      {"spec": {"job": N, "stages": [...]}, "commands": [{"stage": 0, "values": [..], ...}, ...]}
 *     --listen ENDPOINT  --ready FILE    where it listens is written there
 *     --times N          the first command so often         --window N   so many at a time (64)
 *     --blob FILE        a file whose content may be asked for
 *     --stop HOW:MS[:GRACE]  cancel, yield or retract: sent MS after the first STARTED (retract: at once)
 *     --stream           follow from the start              --keep       nothing is acknowledged
 *     --attempt N        their number (1); --linger MS: stays so long after the last; --until N: or until so many of earlier commanders came
 *     --dead MS          a worker silent for so long is gone (5000)
 *     --wait MS          ends after so long whatever is open (120000)
 *
 *   commander --serve ENDPOINT         words as above, a line of standard input a run; {"over": exit code} ends each
 *
 * A line of JSON for each thing that came: {"hello"}, {"started"}, {"out"}, {"ended"}. With --quiet only "N seconds".
 * Exit: 0 when every ENDED came and, unless --keep, every output named by digest was fetched; 1 otherwise.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/net/server.h"
#include "lib/wire/msg_job.h"

#define MAX_BLOBS 256
#define WAIT_MS 120000
#define LAST_MS 30                     /* for the last frames to go */

enum { ENDED = 1, ACK_LATER };

struct blob { struct gr_digest digest; struct gr_buf bytes; };
struct got { struct gr_digest digest; uint64_t n; struct gr_sha256 *hash; };
struct commander {
	struct gr_loop *loop;
	struct gr_server *server;
	struct gr_peer *worker;
	json_t *spec, *commands;
	uint64_t job, n_times, window, n_sent, n_ended, n_fetching, from_ns, wait_ms, linger_ms, n_other, n_until;
	uint32_t dead_ms;
	struct blob blobs[MAX_BLOBS];
	uint32_t n_blobs, attempt;
	struct gr_map fetches;
	int stop_how;
	uint64_t stop_ms, stop_grace;
	uint64_t to_ns;
	struct gr_timer *stop_timer, *limit, *over, *patience;
	const char *listen, *ready;
	bool is_serving;
	bool is_streamed, is_kept, is_quiet, is_stopping;
	uint8_t *is_done;
};

static void say(struct commander *c, json_t *o)
{
	char *text = c->is_quiet ? NULL : json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);

	if (text)
		printf("%s\n", text);
	fflush(stdout);
	free(text);
	json_decref(o);
}

/* Latin-1, so that every byte has a character. */
static json_t *bytes_json(struct gr_slice s)
{
	struct gr_buf b = { 0 };
	json_t *j;

	for (size_t i = 0; i < s.n && i < 100000; i++) {
		if (s.p[i] < 0x80) {
			gr_buf_add_byte(&b, s.p[i]);
		} else {
			gr_buf_add_byte(&b, (uint8_t)(0xc0 | s.p[i] >> 6));
			gr_buf_add_byte(&b, (uint8_t)(0x80 | (s.p[i] & 0x3f)));
		}
	}
	j = json_stringn(b.n ? (const char *)b.p : "", b.n);
	gr_buf_fini(&b);
	return j ? j : json_string("?");
}

static void post(struct commander *c, struct gr_buf *b)
{
	if (c->worker && gr_server_send(c->server, c->worker, b) < 0)
		fprintf(stderr, "commander: a frame is not sent\n");
	gr_buf_fini(b);
}

static void over(struct commander *c, int rc)
{
	gr_timer_stop(&c->over);
	gr_timer_stop(&c->patience);
	if (!c->is_serving) {
		gr_loop_stop(c->loop);
		return;
	}
	c->spec = NULL;
	printf("{\"over\":%d}\n", rc);
	fflush(stdout);
}

static void on_lingered(void *ctx)
{
	over(ctx, 0);
}

static void check_over(struct commander *c)
{
	if (c->over && c->n_until && c->n_other >= c->n_until && !c->n_fetching) {
		over(c, 0);
		return;
	}
	if (c->n_ended < c->n_times || c->n_fetching || c->over)
		return;
	for (uint64_t i = 0; i < c->n_times && !c->is_kept; i++) {
		struct gr_buf b = { 0 };

		if (c->is_done[i] != ACK_LATER)
			continue;
		gr_taskref_encode(&b, GR_MSG_RESULT_ACK, c->job, i, c->attempt);
		post(c, &b);
	}
	c->to_ns = gr_loop_now_ns(c->loop);
	c->over = gr_timer_start(c->loop, c->linger_ms ? c->linger_ms : LAST_MS, 0, on_lingered, c);
	if (c->n_until)
		check_over(c);
}

static const struct blob *blob_of(const struct commander *c, const struct gr_digest *d)
{
	for (uint32_t i = 0; i < c->n_blobs; i++)
		if (gr_digest_eq(&c->blobs[i].digest, d))
			return &c->blobs[i];
	return NULL;
}

/* ---- to the worker ---- */

static void add_inputs(const struct commander *c, const json_t *list, struct gr_buf *raw, uint32_t *n)
{
	const json_t *v;
	size_t i;

	(void)c;
	json_array_foreach(list, i, v) {
		const char *hex = json_string_value(json_object_get(v, "blob")), *link = json_string_value(json_object_get(v, "link"));
		struct gr_placed_file f = { .kind = hex ? GR_PLACED_FILE : link ? GR_PLACED_LINK : GR_PLACED_DIR, .mode = 0755 };

		f.path = gr_slice_str(json_string_value(json_object_get(v, "path")));
		if (json_object_get(v, "mode"))
			f.mode = (uint16_t)json_integer_value(json_object_get(v, "mode"));
		f.item.size = (uint64_t)json_integer_value(json_object_get(v, "size"));
		if (hex && gr_digest_parse(hex, &f.item.digest) < 0)
			exit(2);
		if (link)
			f.target = gr_slice_str(link);
		gr_placed_add(raw, n, &f, false);
	}
}

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static void send_command(struct commander *c, uint64_t task)
{
	const json_t *o = json_array_get(c->commands, json_array_size(c->commands) > task ? task : 0), *v;
	struct gr_command_msg m = { .job = c->job, .task = task, .attempt = c->attempt, .ordinal = 1 };
	struct gr_buf b = { 0 }, values = { 0 }, inputs = { 0 }, secrets = { 0 };
	json_t *s = json_object_get(o, "secrets");
	const char *name;
	size_t i;

	m.stage = (uint32_t)number(o, "stage");
	m.index = (uint32_t)task;
	m.flags = c->is_streamed ? GR_COMMAND_F_STREAM : 0;
	m.timeout_ms = number(o, "timeout_ms");
	m.mem_limit_bytes = number(o, "mem_limit_bytes");
	m.mem_bytes = number(o, "mem_bytes");
	json_array_foreach(json_object_get(o, "values"), i, v)
		gr_value_add(&values, &m.values.n, gr_slice_str(json_string_value(v)));
	add_inputs(c, json_object_get(o, "inputs"), &inputs, &m.inputs.n);
	json_object_foreach(s, name, v) {
		struct gr_secret sec = { gr_slice_str(name), gr_slice_str(json_string_value(v)) };

		gr_secret_add(&secrets, &m.secrets.n, &sec);
	}
	m.values.raw = gr_buf_slice(&values);
	m.inputs.raw = gr_buf_slice(&inputs);
	m.secrets.raw = gr_buf_slice(&secrets);
	gr_command_encode(&b, &m);
	gr_buf_fini(&values);
	gr_buf_fini(&inputs);
	gr_buf_fini(&secrets);
	post(c, &b);
}

static void fill(struct commander *c)
{
	while (c->worker && c->n_sent < c->n_times && c->n_sent - c->n_ended < c->window)
		send_command(c, c->n_sent++);
}

static void on_stop(void *ctx)
{
	struct commander *c = ctx;
	struct gr_stop_msg m = { .job = c->job, .task = GR_WIRE_ALL_TASKS, .how = (uint8_t)c->stop_how, .grace_ms = (uint32_t)c->stop_grace };
	struct gr_buf b = { 0 };

	gr_timer_stop(&c->stop_timer);
	gr_stop_encode(&b, &m);
	post(c, &b);
}

static void begin(void *ctx)
{
	struct commander *c = ctx;
	struct gr_buf b = { 0 };
	size_t at;
	char *text;

	gr_timer_stop(&c->limit);
	at = gr_frame_begin(&b, GR_MSG_SPEC);
	text = json_dumps(c->spec, JSON_COMPACT);
	gr_buf_add_str(&b, text);
	free(text);
	gr_frame_end(&b, at);
	post(c, &b);
	c->from_ns = gr_loop_now_ns(c->loop);
	fill(c);
	if (c->stop_how == GR_STOP_RETRACT && !c->is_stopping) {
		c->is_stopping = true;
		on_stop(c);
	}
}

/* ---- from the worker ---- */

static int on_hello(void *ctx, struct gr_peer *peer, const struct gr_hello *hello, json_t *welcome, struct gr_err *err)
{
	struct commander *c = ctx;

	(void)welcome;
	if (hello->role != GR_ROLE_WORKER)
		return gr_err_set(err, GR_EROLE, "workers only");
	c->worker = peer;
	say(c, json_pack("{s:O}", "hello", hello->json));
	if (!c->limit && c->spec)
		c->limit = gr_timer_start(c->loop, 0, 0, begin, c);
	return 0;
}

static void on_gone(void *ctx, struct gr_peer *peer, int code, const char *why)
{
	struct commander *c = ctx;

	if (c->worker == peer)         /* it may be back already */
		c->worker = NULL;
	say(c, json_pack("{s:s, s:s}", "gone", gr_err_name(code), "why", why ? why : ""));
}

static json_t *item_json(struct commander *c, const struct gr_item *i, struct gr_buf *need, uint32_t *n)
{
	char hex[GR_DIGEST_HEX];
	struct got *g;

	if (i->has_data)
		return bytes_json(i->data);
	gr_digest_hex(&i->digest, hex);
	if (!gr_map_get(&c->fetches, i->digest.b, sizeof(i->digest.b)) && !c->is_kept) {
		GR_NEW(g);
		g->digest = i->digest;
		g->hash = gr_sha256_new();
		gr_map_put(&c->fetches, g->digest.b, sizeof(g->digest.b), g);
		c->n_fetching++;
		gr_buf_add(need, i->digest.b, sizeof(i->digest.b));
		++*n;
	}
	return json_pack("{s:s, s:I}", "digest", hex, "size", (json_int_t)i->size);
}

static int on_ended(struct commander *c, struct gr_slice body)
{
	struct gr_buf need = { 0 }, b = { 0 };
	json_t *outputs = json_array(), *o;
	struct gr_placed_file f;
	struct gr_ended_msg m;
	struct gr_list_it it;
	uint32_t n = 0;
	int rc = gr_ended_decode(body, &m);

	if (rc < 0) {
		fprintf(stderr, "commander: ENDED: %s\n", gr_err_text(rc));
		exit(1);
	}
	it = gr_list_begin(&m.outputs);
	while (gr_placed_next(&it, &f, true)) {
		o = json_pack("{s:i, s:i, s:i}", "index", (int)f.index, "kind", (int)f.kind, "mode", (int)f.mode);
		json_object_set_new(o, "path", bytes_json(f.path));
		if (f.kind == GR_PLACED_FILE)
			json_object_set_new(o, "data", item_json(c, &f.item, &need, &n));
		if (f.kind == GR_PLACED_LINK)
			json_object_set_new(o, "target", bytes_json(f.target));
		json_array_append_new(outputs, o);
	}
	o = json_pack("{s:I, s:i, s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I}", "ended", (json_int_t)m.task, "attempt", (int)m.attempt, "outcome", gr_outcome_name(m.outcome),
		      "exit", (int)m.exit_code, "signal", (int)m.term_signal, "flags", (int)m.flags, "cpu_us", (json_int_t)m.cpu_us, "rss",
		      (json_int_t)m.max_rss_bytes, "wall_us", (json_int_t)m.wall_us, "in_bytes", (json_int_t)m.in_bytes);
	json_object_set_new(o, "reason", bytes_json(m.reason));
	json_object_set_new(o, "out", item_json(c, &m.out, &need, &n));
	json_object_set_new(o, "err", item_json(c, &m.err, &need, &n));
	json_object_set_new(o, "outputs", outputs);
	say(c, o);
	if (n) {
		gr_digests_encode(&b, GR_MSG_FETCH, c->job, (const struct gr_digest *)(const void *)need.p, n);
		post(c, &b);
	}
	gr_buf_fini(&need);
	if (m.attempt != c->attempt || m.task >= c->n_times) {
		c->n_other++;
		check_over(c);
		return 0;                  /* of an earlier commander */
	}
	if (!c->is_kept && !n) {           /* what has files is acknowledged when they came: the worker may drop them then */
		gr_taskref_encode(&b, GR_MSG_RESULT_ACK, m.job, m.task, m.attempt);
		post(c, &b);
	}
	if (!c->is_done[m.task]) {
		c->is_done[m.task] = n ? ACK_LATER : ENDED;
		c->n_ended++;
	}
	fill(c);
	check_over(c);
	return 0;
}

static int on_blob(struct commander *c, struct gr_slice body)
{
	struct gr_buf raw = { 0 };
	struct gr_digest d;
	struct gr_blob_msg m;
	struct got *g;

	if (gr_blob_decode(body, &m) < 0 || gr_unpack(m.data, m.enc, m.raw_n, GR_WIRE_CHUNK_BYTES, &raw) < 0)
		exit(1);
	g = gr_map_get(&c->fetches, m.digest.b, sizeof(m.digest.b));
	if (!g || m.offset != g->n) {
		fprintf(stderr, "commander: a piece that does not fit\n");
		exit(1);
	}
	gr_sha256_add(g->hash, raw.p, raw.n);
	g->n += raw.n;
	gr_buf_fini(&raw);
	if (g->n < m.total)
		return 0;
	gr_sha256_end(g->hash, &d);
	say(c, json_pack("{s:I, s:b}", "fetched", (json_int_t)g->n, "good", gr_digest_eq(&d, &g->digest)));
	c->n_fetching--;
	check_over(c);
	return 0;
}

static int on_need(struct commander *c, struct gr_slice body)
{
	struct gr_digests_msg m;

	if (gr_digests_decode(body, &m) < 0)
		exit(1);
	for (uint32_t i = 0; i < m.n; i++) {
		struct gr_digest d = gr_digests_at(&m, i);
		const struct blob *bl = blob_of(c, &d);
		struct gr_buf b = { 0 };

		if (!bl) {
			gr_digests_encode(&b, GR_MSG_MISSING, m.session, &d, 1);
			post(c, &b);
			continue;
		}
		for (size_t at = 0; at < bl->bytes.n || !at; at += GR_WIRE_CHUNK_BYTES) {
			size_t n = bl->bytes.n - at < GR_WIRE_CHUNK_BYTES ? bl->bytes.n - at : GR_WIRE_CHUNK_BYTES;
			struct gr_blob_msg p = { .session = m.session, .digest = d, .total = bl->bytes.n, .offset = at,
						 .raw_n = (uint32_t)n, .data = gr_slice(bl->bytes.p + at, n) };

			gr_blob_encode(&b, &p);
			post(c, &b);
		}
	}
	return 0;
}

static int on_msg(void *ctx, struct gr_peer *peer, int type, struct gr_slice body)
{
	struct commander *c = ctx;
	uint64_t job, task;
	struct gr_out_msg o;
	uint32_t attempt;

	(void)peer;
	switch (type) {
	case GR_MSG_ENDED: return on_ended(c, body);
	case GR_MSG_BLOB: return on_blob(c, body);
	case GR_MSG_NEED: return on_need(c, body);
	case GR_MSG_OUT:
		if (gr_out_decode(body, &o) < 0)
			exit(1);
		say(c, json_pack("{s:I, s:i, s:I, s:i, s:o}", "out", (json_int_t)o.task, "stream", (int)o.stream, "offset", (json_int_t)o.offset,
				 "flags", (int)o.flags, "data", bytes_json(o.data)));
		return 0;
	case GR_MSG_STARTED:
		if (gr_taskref_decode(body, &job, &task, &attempt) < 0)
			exit(1);
		say(c, json_pack("{s:I}", "started", (json_int_t)task));
		if (c->stop_how && !c->is_stopping) {
			c->is_stopping = true;
			c->stop_timer = gr_timer_start(c->loop, c->stop_ms, 0, on_stop, c);
		}
		return 0;
	case GR_MSG_DRAIN:
		say(c, json_pack("{s:i}", "drain", 1));
		return 0;
	default:
		return 0;
	}
}

static void on_limit(void *ctx)
{
	over(ctx, 1);
}

static void parse_stop(struct commander *c, const char *text)
{
	c->stop_how = !strncmp(text, "cancel", 6) ? GR_STOP_CANCEL : !strncmp(text, "yield", 5) ? GR_STOP_YIELD : GR_STOP_RETRACT;
	text = strchr(text, ':');
	c->stop_ms = text ? strtoull(text + 1, NULL, 10) : 0;
	text = text ? strchr(text + 1, ':') : NULL;
	c->stop_grace = text ? strtoull(text + 1, NULL, 10) : 1000;
}

/* Options and the file at the end. Return: 0, or an error. */
static int take_words(struct commander *c, int argc, char **argv, struct gr_err *err)
{
	json_t *o;
	int i;

	for (i = 0; i < argc - 1; i++) {
		const char *a = argv[i];

		if (!strcmp(a, "--stream")) { c->is_streamed = true; continue; }
		if (!strcmp(a, "--keep")) { c->is_kept = true; continue; }
		if (!strcmp(a, "--quiet")) { c->is_quiet = true; continue; }
		i++;
		if (!strcmp(a, "--listen")) c->listen = argv[i];
		else if (!strcmp(a, "--ready")) c->ready = argv[i];
		else if (!strcmp(a, "--times")) c->n_times = strtoull(argv[i], NULL, 10);
		else if (!strcmp(a, "--window")) c->window = strtoull(argv[i], NULL, 10);
		else if (!strcmp(a, "--wait")) c->wait_ms = strtoull(argv[i], NULL, 10);
		else if (!strcmp(a, "--attempt")) c->attempt = (uint32_t)strtoul(argv[i], NULL, 10);
		else if (!strcmp(a, "--linger")) c->linger_ms = strtoull(argv[i], NULL, 10);
		else if (!strcmp(a, "--until")) c->n_until = strtoull(argv[i], NULL, 10);
		else if (!strcmp(a, "--dead")) c->dead_ms = (uint32_t)strtoul(argv[i], NULL, 10);
		else if (!strcmp(a, "--stop")) parse_stop(c, argv[i]);
		else if (!strcmp(a, "--blob") && c->n_blobs < MAX_BLOBS) {
			struct blob *b = &c->blobs[c->n_blobs++];

			gr_buf_clear(&b->bytes);
			if (gr_file_read(argv[i], 1 << 30, &b->bytes, err) < 0)
				return err->code;
			gr_sha256_of(b->bytes.p, b->bytes.n, &b->digest);
		} else {
			return gr_err_set(err, GR_EUSAGE, "%s?", a);
		}
	}
	o = i < argc ? json_load_file(argv[i], 0, NULL) : NULL;
	c->spec = json_object_get(o, "spec");
	c->commands = json_object_get(o, "commands");
	if (!c->spec || !json_array_size(c->commands))
		return gr_err_set(err, GR_EUSAGE, "no spec or commands");
	c->job = number(c->spec, "job");
	if (!c->n_times)
		c->n_times = json_array_size(c->commands);
	c->is_done = gr_xalloc(c->n_times);
	return 0;
}

/* A line of --serve: everything begins anew but the connection. */
static void on_line(struct commander *c, char *line)
{
	char *argv[64], *save, *word;
	struct gr_err err = { 0 };
	int n = 0;

	for (word = strtok_r(line, " ", &save); word && n < 64; word = strtok_r(NULL, " ", &save))
		argv[n++] = word;
	free(c->is_done);
	c->is_done = NULL;
	c->n_times = c->n_sent = c->n_ended = c->n_fetching = c->linger_ms = 0;
	c->window = 64;
	c->wait_ms = WAIT_MS;
	c->stop_how = 0;
	c->is_streamed = c->is_kept = c->is_stopping = false;
	c->n_blobs = 0;
	gr_map_fini(&c->fetches);
	memset(&c->fetches, 0, sizeof(c->fetches));
	if (take_words(c, n, argv, &err) < 0) {
		fprintf(stderr, "commander: %s\n", err.text);
		exit(2);
	}
	c->patience = gr_timer_start(c->loop, c->wait_ms, 0, on_limit, c);
	if (c->worker)
		begin(c);
}

static void on_stdin(uv_poll_t *h, int status, int events)
{
	struct commander *c = h->data;
	char line[16384];

	(void)status;
	(void)events;
	if (!fgets(line, sizeof(line), stdin))
		exit(0);
	line[strcspn(line, "\n")] = 0;
	on_line(c, line);
}

int main(int argc, char **argv)
{
	static const struct gr_server_ops ops = { .on_hello = on_hello, .on_msg = on_msg, .on_gone = on_gone };
	struct gr_server_config cfg = { 0 };
	struct commander c = { .window = 64, .wait_ms = WAIT_MS, .attempt = 1, .listen = "tcp://127.0.0.1:0" };
	struct gr_err err = { 0 };
	char bound[256], line[300];
	uv_poll_t poll_stdin;
	int rc;

	gr_log_init("commander", GR_LOG_WARN);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (argc == 3 && !strcmp(argv[1], "--serve")) {
		c.is_serving = true;
		c.listen = argv[2];
	} else if (take_words(&c, argc - 1, argv + 1, &err) < 0) {
		goto fail;
	}
	c.loop = gr_loop_new(1);
	cfg.dead_ms = c.dead_ms;
	cfg.heartbeat_ms = c.dead_ms / 4;
	c.server = gr_server_new(c.loop, &cfg, &ops, &c);
	if (gr_server_bind(c.server, c.listen, bound, &err) < 0)
		goto fail;
	if (c.ready) {
		rc = snprintf(line, sizeof(line), "{\"endpoint\":\"%s\"}\n", bound);
		if (gr_file_replace(c.ready, line, (size_t)rc, 0644, false, &err) < 0)
			goto fail;
	}
	if (c.is_serving) {
		poll_stdin.data = &c;
		uv_poll_init(gr_loop_uv(c.loop), &poll_stdin, 0);
		uv_poll_start(&poll_stdin, UV_READABLE, on_stdin);
	} else {
		c.patience = gr_timer_start(c.loop, c.wait_ms, 0, on_limit, &c);
	}
	gr_loop_run(c.loop);
	if (c.is_quiet)
		printf("%" PRIu64 " %.3f\n", c.n_ended, (double)(c.to_ns - c.from_ns) / GR_NS_PER_S);
	fflush(stdout);
	_Exit(c.n_ended == c.n_times && !c.n_fetching ? 0 : 1);
fail:
	fprintf(stderr, "commander: %s\n", err.text);
	return 2;
}
