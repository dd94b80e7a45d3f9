/* target.c - see target.h. The call runs a loop of its own for as long as the question takes: commands are short-lived
 * and have nothing else to wait for. */
#include "client/cmd/target.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/net/link.h"

int gr_target_resolve(struct gr_target *t, const struct gr_target_opts *o, const struct gr_paths *p, struct gr_err *err)
{
	int rc;

	*t = (struct gr_target){ 0 };
	rc = gr_cluster_load(p->cluster, &t->cluster, err);
	if (rc < 0 && rc != GR_ENOENT && !o->coordinator)
		return rc;
	if (o->coordinator) {
		t->endpoint = gr_xstrdup(o->coordinator);
		t->server_key = o->server_key ? gr_xstrdup(o->server_key) : NULL;
	} else if (rc == 0) {
		t->endpoint = gr_xstrdup(t->cluster.endpoint);
		t->server_key = t->cluster.server_key ? gr_xstrdup(t->cluster.server_key) : NULL;
		t->is_up_cluster = true;
	} else {
		return gr_err_set(err, GR_EUNREACH, "no cluster is configured: run `griddle up` first, or name one with "
				  "--coordinator or GRIDDLE_COORDINATOR");
	}
	if (t->server_key)
		t->keys = o->keys ? gr_xstrdup(o->keys) : gr_paths_below(p->config, "client.key");
	return 0;
}

void gr_target_fini(struct gr_target *t)
{
	free(t->endpoint);
	free(t->keys);
	free(t->server_key);
	gr_cluster_fini(&t->cluster);
	*t = (struct gr_target){ 0 };
}

struct call {
	struct gr_loop *loop;
	struct gr_link *link;
	const char *op;
	json_t *rep;
	struct gr_err *err;
	int rc;
	char why[512];               /* of the last time the link went down */
	int why_code;
};

static void end(struct call *c, int rc)
{
	c->rc = rc;
	gr_loop_stop(c->loop);
}

static json_t *make_hello(void *ctx)
{
	char name[64];

	(void)ctx;
	snprintf(name, sizeof(name), "griddle-%d", (int)getpid());
	return gr_hello_json(GR_ROLE_CLIENT, name);
}

static void on_up(void *ctx, const json_t *welcome)
{
	struct call *c = ctx;
	struct gr_buf frame = { 0 };
	json_t *req = json_pack("{s:s, s:i}", "op", c->op, "id", 1);
	int rc;

	(void)welcome;
	gr_json_encode(&frame, GR_MSG_CTL_REQ, req);
	json_decref(req);
	rc = gr_link_send(c->link, &frame);
	gr_buf_fini(&frame);
	if (rc < 0)
		end(c, gr_err_set(c->err, rc, "%s", gr_err_text(rc)));
}

static void on_down(void *ctx, int code, const char *why)
{
	struct call *c = ctx;

	c->why_code = code;
	snprintf(c->why, sizeof(c->why), "%s", why && *why ? why : gr_err_text(code));
	/* what trying again does not mend */
	if (code == GR_EAUTH || code == GR_EROLE || code == GR_EVERSION)
		end(c, gr_err_set(c->err, code, "%s", c->why));
}

static int on_msg(void *ctx, int type, struct gr_slice body)
{
	struct call *c = ctx;
	const char *refusal;
	json_t *rep;
	int rc;

	if (type != GR_MSG_CTL_REP)
		return 0;
	rc = gr_json_decode(body, &rep, c->err);
	if (rc < 0) {
		end(c, rc);
		return rc;
	}
	refusal = json_string_value(json_object_get(rep, "error"));
	if (refusal) {
		end(c, gr_err_set(c->err, GR_EUNSUP, "%s", refusal));
		json_decref(rep);
		return 0;
	}
	c->rep = rep;
	end(c, 0);
	return 0;
}

static void on_limit(void *ctx)
{
	struct call *c = ctx;

	if (c->why[0])
		end(c, gr_err_set(c->err, c->why_code, "%s", c->why));
	else
		end(c, gr_err_set(c->err, GR_EUNREACH, "no answer"));
}

int gr_target_call(const struct gr_target *t, const char *op, int limit_ms, json_t **rep, struct gr_err *err)
{
	static const struct gr_link_ops ops = { .make_hello = make_hello, .on_up = on_up, .on_down = on_down, .on_msg = on_msg };
	struct call c = { .op = op, .err = err, .rc = GR_EUNREACH };
	struct gr_link_config cfg = { .endpoint = t->endpoint, .server_key = t->server_key };
	struct gr_timer *limit;
	struct gr_keypair keys;
	int rc = 0;

	if (t->keys) {
		rc = gr_keypair_load(t->keys, &keys, err);
		if (rc < 0)
			return gr_err_wrap(err, "the key pair (`griddle keys new` makes one)");
		cfg.keys = &keys;
	}
	c.loop = gr_loop_new((uint64_t)getpid() << 20 ^ (uint64_t)(uintptr_t)&c);
	rc = gr_link_new(c.loop, &cfg, &ops, &c, &c.link, err);
	if (rc == 0) {
		limit = gr_timer_start(c.loop, (uint64_t)limit_ms, 0, on_limit, &c);
		gr_loop_run(c.loop);
		gr_timer_stop(&limit);
		gr_link_close(&c.link);
		gr_loop_run(c.loop);   /* the handles' close callbacks */
		rc = c.rc;
	}
	gr_loop_free(&c.loop);
	explicit_bzero(&keys, sizeof(keys));
	if (rc < 0)
		return gr_err_wrap(err, "coordinator %s", t->endpoint);
	*rep = c.rep;
	return 0;
}
