/* ask.c - see ask.h. The loop runs only while something is awaited; heartbeats are far apart enough for that. */
#include "client/load/ask.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/net/link.h"

struct gr_ask {
	struct gr_loop *loop;
	struct gr_link *link;
	struct gr_keypair keys;
	char endpoint[512], why[512];
	json_t *rep;
	int why_code, n_signals, n_borne;     /* borne: so many signals end nothing */
	json_int_t serial;
	bool is_over, is_up;                  /* over: the time of what is awaited */
};

static json_t *make_hello(void *ctx)
{
	char name[64];

	(void)ctx;
	snprintf(name, sizeof(name), "griddle-%d", (int)getpid());
	return gr_hello_json(GR_ROLE_CLIENT, name);
}

static void on_up(void *ctx, const json_t *welcome)
{
	struct gr_ask *a = ctx;

	(void)welcome;
	a->is_up = true;
	gr_loop_stop(a->loop);
}

static void on_down(void *ctx, int code, const char *why)
{
	struct gr_ask *a = ctx;

	a->is_up = false;
	a->why_code = code;
	snprintf(a->why, sizeof(a->why), "%s", why && *why ? why : gr_err_text(code));
	gr_loop_stop(a->loop);
}

static int on_msg(void *ctx, int type, struct gr_slice body)
{
	struct gr_ask *a = ctx;
	json_t *rep;

	if (type != GR_MSG_CTL_REP)
		return 0;
	if (gr_json_decode(body, &rep, NULL) < 0)
		return GR_EPROTO;
	if (json_integer_value(json_object_get(rep, "id")) != a->serial) {
		json_decref(rep);                /* of a question given up */
		return 0;
	}
	json_decref(a->rep);
	a->rep = rep;
	gr_loop_stop(a->loop);
	return 0;
}

static void on_limit(void *ctx)
{
	struct gr_ask *a = ctx;

	a->is_over = true;
	gr_loop_stop(a->loop);
}

static void on_term(void *ctx, int signum)
{
	struct gr_ask *a = ctx;

	(void)signum;
	a->n_signals++;
	gr_loop_stop(a->loop);
}

/* @wants_up: until it is connected; else until an answer. */
static int await(struct gr_ask *a, bool wants_up, int limit_ms, struct gr_err *err)
{
	struct gr_timer *limit = gr_timer_start(a->loop, (uint64_t)limit_ms, 0, on_limit, a);

	a->is_over = false;
	while (!a->is_over && a->n_signals <= a->n_borne && !(wants_up ? a->is_up : a->rep != NULL)) {
		gr_loop_run(a->loop);
		if (a->why_code == GR_EAUTH || a->why_code == GR_EROLE || a->why_code == GR_EVERSION || (!wants_up && !a->is_up))
			break;
	}
	gr_timer_stop(&limit);
	if (wants_up ? a->is_up : a->rep != NULL)
		return 0;
	if (a->n_signals > a->n_borne)
		return gr_err_set(err, GR_EGONE, "interrupted");
	return gr_err_set(err, a->why_code ? a->why_code : GR_EUNREACH, "coordinator %s: %s", a->endpoint, a->why[0] ? a->why : "no answer");
}

int gr_ask_open(const struct gr_target *t, int limit_ms, struct gr_ask **out, struct gr_err *err)
{
	static const struct gr_link_ops ops = { .make_hello = make_hello, .on_up = on_up, .on_down = on_down, .on_msg = on_msg };
	struct gr_link_config cfg = { .endpoint = t->endpoint, .server_key = t->server_key };
	struct gr_ask *a;
	int rc = 0;

	GR_NEW(a);
	snprintf(a->endpoint, sizeof(a->endpoint), "%s", t->endpoint);
	if (t->keys) {
		rc = gr_keypair_load(t->keys, &a->keys, err);
		if (rc < 0) {
			free(a);
			return gr_err_wrap(err, "the key pair (`griddle keys new` makes one)");
		}
		cfg.keys = &a->keys;
	}
	a->loop = gr_loop_new((uint64_t)getpid() << 20 ^ (uint64_t)(uintptr_t)a);
	gr_loop_on_term(a->loop, on_term, a);
	rc = gr_link_new(a->loop, &cfg, &ops, a, &a->link, err);
	if (rc == 0)
		rc = await(a, true, limit_ms, err);
	if (rc < 0) {
		gr_ask_close(&a);
		return rc;
	}
	*out = a;
	return 0;
}

static int code_of(const char *name)
{
	for (int code = -1; code > -64; code--)
		if (name && !strcmp(gr_err_name(code), name))
			return code;
	return GR_EUNSUP;
}

int gr_ask(struct gr_ask *a, json_t *req, int limit_ms, json_t **rep, struct gr_err *err)
{
	struct gr_buf frame = { 0 };
	const char *refusal;
	int rc = 0;

	if (!req)
		return gr_err_set(err, GR_EUSAGE, "a word that is not UTF-8 cannot be sent");
	json_object_set_new(req, "id", json_integer(++a->serial));
	a->why_code = 0;
	a->why[0] = 0;
	if (!a->is_up)
		rc = await(a, true, limit_ms, err);
	gr_json_encode(&frame, GR_MSG_CTL_REQ, req);
	json_decref(req);
	if (rc == 0 && frame.n > (1u << 20))
		rc = gr_err_set(err, GR_ELIMIT, "the request is larger than 1 MiB; plans with their tables must fit into that");
	if (rc == 0) {
		rc = gr_link_send(a->link, &frame);
		if (rc < 0)
			gr_err_set(err, rc, "coordinator %s: %s", a->endpoint, gr_err_text(rc));
	}
	gr_buf_fini(&frame);
	if (rc == 0)
		rc = await(a, false, limit_ms, err);
	if (rc < 0)
		return rc;
	*rep = a->rep;
	a->rep = NULL;
	refusal = json_string_value(json_object_get(*rep, "error"));
	if (refusal) {
		rc = gr_err_set(err, code_of(json_string_value(json_object_get(*rep, "code"))), "%s", refusal);
		json_decref(*rep);
		*rep = NULL;
	}
	return rc;
}

void gr_ask_bear(struct gr_ask *a, int n) { a->n_borne = n; }

int gr_ask_wait(struct gr_ask *a, int ms)
{
	struct gr_timer *limit = gr_timer_start(a->loop, (uint64_t)ms, 0, on_limit, a);
	int before = a->n_signals;

	a->is_over = false;
	while (!a->is_over && a->n_signals == before)
		gr_loop_run(a->loop);
	gr_timer_stop(&limit);
	return a->n_signals;
}

void gr_ask_close(struct gr_ask **ap)
{
	struct gr_ask *a = *ap;

	*ap = NULL;
	if (!a)
		return;
	gr_link_close(&a->link);
	gr_loop_run(a->loop);
	gr_loop_free(&a->loop);
	json_decref(a->rep);
	explicit_bzero(&a->keys, sizeof(a->keys));
	free(a);
}
