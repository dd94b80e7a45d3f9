/* talk.c - see talk.h. A submit is told apart from another by a token that this process made up, so that asking again after
 * a lost answer gives the same job. */
#include "client/job/talk.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/conf/conf.h"

#define CALL_LIMIT_MS 10000
#define HAVE_AT_ONCE 8000u
#define MAX_INLINE_SPEC (700u << 10)      /* a control request is at most 1 MiB */
#define MAX_SUBMITS 5

json_int_t gr_jnum(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }

const char *gr_jstr(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? s : "-";
}

int gr_talk_number(const char *word, const char *what, uint64_t *out, struct gr_err *err)
{
	return gr_conf_whole(word, UINT32_MAX, out) ? 0 : gr_err_set(err, GR_EUSAGE, "%s: not a %s's number", word, what);
}

void gr_talk_note(struct gr_talk *b, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	if (b->on_note)
		b->on_note(b->ctx);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fputs("griddle: ", stderr);
	gr_view_text(text, stderr);
	fputc('\n', stderr);
}

void gr_talk_lost(struct gr_talk *b, int stream, int why)
{
	if (b->lost)
		return;
	b->lost = why ? why : EIO;
	b->lost_stream = stream;
	gr_rpc_interrupt(b->rpc, SIGPIPE);
}

int gr_talk_lost_err(const struct gr_talk *b, struct gr_err *err)
{
	if (!b->lost)
		return 0;
	if (b->lost == EPIPE)
		return gr_err_set(err, GR_EGONE, "nobody reads its output");
	return gr_err_set(err, gr_err_errno(b->lost), "standard %s could not be written: %s", b->lost_stream == GR_STREAM_ERR ? "error" : "output",
			  strerror(b->lost));
}

static int open_blob(void *ctx, const struct gr_digest *digest, uint64_t *size)
{
	struct gr_talk *b = ctx;

	return b->inputs ? gr_inputs_open(b->inputs, digest, size) : GR_ENOENT;
}

static void on_out(void *ctx, const struct gr_out_msg *m)
{
	struct gr_talk *b = ctx;

	if (b->on_out)
		b->on_out(b->out_ctx, m);
}

static void on_event(void *ctx, const json_t *event)
{
	struct gr_talk *b = ctx;

	if (b->on_event)
		b->on_event(b->ctx, event);
}

static void on_link(void *ctx, bool is_up, const char *why)
{
	struct gr_talk *b = ctx;

	if (is_up) {
		if (b->is_told_down)
			gr_talk_note(b, "connected again");
		b->is_told_down = false;
		if (b->was_up && b->on_up)
			b->on_up(b->ctx);
		b->was_up = true;
	} else if (b->was_up && !b->is_told_down && !b->is_quiet) {
		b->is_told_down = true;
		gr_talk_note(b, "the coordinator is gone (%s); waiting for it", why);
	}
}

int gr_talk_open(struct gr_talk *b, const struct gr_target_opts *o, struct gr_err *err)
{
	static const struct gr_rpc_ops ops = { .open_blob = open_blob, .on_out = on_out, .on_event = on_event, .on_link = on_link };
	int rc = gr_paths_init(&b->paths, err);

	if (rc == 0)
		rc = gr_target_resolve(&b->target, o, &b->paths, err);
	if (rc == 0)
		rc = gr_rpc_open(&b->target, &ops, b, &b->rpc, err);
	return rc;
}

void gr_talk_close(struct gr_talk *b)
{
	gr_rpc_close(&b->rpc);
	gr_target_fini(&b->target);
	gr_paths_fini(&b->paths);
}

int gr_talk_call(struct gr_talk *b, bool is_patient, json_t *req, json_t **rep, struct gr_err *err)
{
	json_t *own = NULL;
	int rc = gr_rpc_call(b->rpc, req, is_patient ? 0 : CALL_LIMIT_MS, rep ? rep : &own, err);

	json_decref(own);
	return rc;
}

/* ---- submit ---- */

static int send_chunk(struct gr_talk *b, json_t *hexes, struct gr_err *err)
{
	struct gr_digest *missing;
	json_t *rep = NULL, *list, *v;
	size_t i, n = 0;
	int rc = gr_talk_call(b, b->was_up, json_pack("{s:s, s:O}", "op", "blob.have", "digests", hexes), &rep, err);

	if (rc < 0)
		return rc;
	list = json_object_get(rep, "missing");
	missing = gr_xalloc((json_array_size(list) + 1) * sizeof(*missing));
	json_array_foreach(list, i, v)
		if (json_is_string(v) && gr_digest_parse(json_string_value(v), &missing[n]) == 0)
			n++;
	if (n)
		rc = gr_rpc_upload(b->rpc, missing, n, err);
	free(missing);
	json_decref(rep);
	return rc;
}

static int send_missing(struct gr_talk *b, struct gr_err *err)
{
	json_t *hexes = json_array();
	char hex[GR_DIGEST_HEX];
	struct gr_input *x;
	size_t i = 0;
	int rc = 0;

	while (b->inputs && rc == 0 && (x = gr_map_each(&b->inputs->by_digest, &i))) {
		gr_digest_hex(&x->digest, hex);
		json_array_append_new(hexes, json_string(hex));
		if (json_array_size(hexes) < HAVE_AT_ONCE)
			continue;
		rc = send_chunk(b, hexes, err);
		json_array_clear(hexes);
	}
	if (rc == 0 && json_array_size(hexes))
		rc = send_chunk(b, hexes, err);
	json_decref(hexes);
	return rc;
}

/* What is sent as the spec: itself, or, when it is large, its bytes as one more file. */
static json_t *request_of(struct gr_talk *b, struct gr_jobfile *f, bool dry_run, const char *token)
{
	char *text, hex[GR_DIGEST_HEX];
	const struct gr_input *x;
	json_t *req = json_pack("{s:s, s:b, s:s}", "op", "job.submit", "dry_run", dry_run, "token", token);

	gr_jobfile_seal(f);
	if (f->secrets)
		json_object_set(req, "secrets", f->secrets);
	text = json_dumps(f->spec, JSON_COMPACT);
	if (strlen(text) <= MAX_INLINE_SPEC) {
		json_object_set(req, "spec", f->spec);
	} else {
		x = gr_inputs_data(b->inputs, text, strlen(text));
		gr_digest_hex(&x->digest, hex);
		json_object_set_new(req, "spec_blob", json_string(hex));
	}
	free(text);
	return req;
}

int gr_talk_submit(struct gr_talk *b, struct gr_jobfile *f, bool dry_run, uint64_t *job, uint64_t *n_tasks, struct gr_err *err)
{
	uint8_t random[16];
	char token[2 * sizeof(random) + 1];
	json_t *req, *rep = NULL;
	int rc = 0;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return gr_err_set(err, GR_EIO, "no random numbers");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(token + 2 * i, 3, "%02x", random[i]);
	b->inputs = &f->inputs;
	req = request_of(b, f, dry_run, token);
	for (int i = 0; i < MAX_SUBMITS; i++) {
		rc = send_missing(b, err);
		if (rc == 0)
			rc = gr_talk_call(b, true, json_copy(req), &rep, err);
		/* gone while files were on their way, or they were not kept until here: anew */
		if (rc != GR_EUNREACH && rc != GR_ENOENT)
			break;
		if (rc == GR_EUNREACH && !b->was_up)
			break;
		if (gr_rpc_sleep(b->rpc, 200) < 0) {
			rc = gr_err_set(err, GR_EGONE, "interrupted");
			break;
		}
	}
	json_decref(req);
	if (rc < 0)
		return rc;
	*job = (uint64_t)gr_jnum(rep, "job");
	*n_tasks = (uint64_t)gr_jnum(rep, "n_tasks");
	json_decref(rep);
	return 0;
}
