/* main.c - griddle-coordinator: put together, say so, run, and end in order */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/coord.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

struct program {
	struct gr_coord c;
	struct gr_keypair keys;
	struct gr_allow *allow;
};

static int open_state(struct gr_coord *c, struct gr_err *err)
{
	char path[4096];
	int rc;

	rc = gr_mkdir_p(c->cfg.state, 0700, err);
	if (rc < 0)
		return gr_err_wrap(err, "state");
	snprintf(path, sizeof(path), "%s/cas", c->cfg.state);
	return gr_cas_open(path, (uint64_t)c->cfg.cache_bytes, &c->cas, err);
}

static int bind_all(struct gr_coord *c, struct gr_err *err)
{
	char *list = gr_xstrdup(c->cfg.listen), *save = NULL, bound[256];
	size_t n = 0;
	int rc = 0;

	for (char *one = strtok_r(list, ", ", &save); one; one = strtok_r(NULL, ", ", &save)) {
		rc = gr_server_bind(c->server, one, bound, err);
		if (rc < 0) {
			gr_err_wrap(err, "listen");
			break;
		}
		n += (size_t)snprintf(c->endpoint + n, sizeof(c->endpoint) - n, "%s%s", n ? "," : "", bound);
		if (n >= sizeof(c->endpoint)) {
			rc = gr_err_set(err, GR_ECONFIG, "listen: more addresses than can be told");
			break;
		}
	}
	if (rc >= 0 && !n)
		rc = gr_err_set(err, GR_ECONFIG, "listen: no address");
	free(list);
	return rc < 0 ? rc : 0;
}

static int open_server(struct program *p, struct gr_err *err)
{
	struct gr_coord *c = &p->c;
	struct gr_server_config sc = {
		.heartbeat_ms = (uint32_t)c->cfg.heartbeat_ms, .dead_ms = (uint32_t)c->cfg.dead_ms,
		.max_peers = (uint32_t)c->cfg.max_peers,
	};
	int rc;

	if (c->cfg.keys) {
		rc = gr_keypair_load(c->cfg.keys, &p->keys, err);
		if (rc < 0)
			return gr_err_wrap(err, "keys");
		p->allow = gr_allow_open(c->cfg.allow, err);
		if (!p->allow)
			return gr_err_wrap(err, "allow");
		sc.keys = &p->keys;
		sc.allow = p->allow;
	}
	c->server = gr_server_new(c->loop, &sc, &gr_peers_ops, c);
	if (!c->server)
		return gr_err_set(err, GR_EIO, "the server socket cannot be made");
	return bind_all(c, err);
}

static int write_ready(struct program *p, struct gr_err *err)
{
	struct gr_coord *c = &p->c;
	json_t *o;
	char *text;
	int rc;

	if (!c->cfg.ready_file)
		return 0;
	o = json_pack("{s:s, s:s, s:i, s:s}", "endpoint", c->endpoint, "http", c->http_endpoint, "pid", (int)getpid(), "public_key",
		      c->cfg.keys ? p->keys.public_key : "");
	text = json_dumps(o, JSON_COMPACT);
	rc = gr_file_replace(c->cfg.ready_file, text, strlen(text), 0644, false, err);
	free(text);
	json_decref(o);
	return rc < 0 ? gr_err_wrap(err, "ready-file") : 0;
}

static void on_term(void *ctx, int signum)
{
	struct gr_coord *c = ctx;

	if (c->is_ending)
		return;
	gr_info("main", "signal %d: ending, %zu sessions, %u workers", signum, c->sessions.n, c->n_workers);
	c->is_ending = true;
	gr_loop_stop(c->loop);
}

/* What came up goes down in the reverse order; peers hear BYE from the server's close. */
static void close_all(struct program *p)
{
	struct gr_coord *c = &p->c;
	struct gr_session *s;
	size_t i;

	c->is_ending = true;
	gr_http_close(c);
	gr_timer_stop(&c->cluster_timer);
	gr_server_close(&c->server);
	while (i = 0, (s = gr_map_each(&c->sessions, &i)))
		gr_session_free(&s);
	gr_map_fini(&c->sessions);
	gr_blobs_fini(c);
	gr_dispatch_fini(c);
	gr_loop_run(c->loop);
	gr_cas_close(&c->cas);
	gr_place_free(&c->place);
	gr_loop_free(&c->loop);
	gr_allow_free(&p->allow);
	gr_buf_fini(&c->cluster_last);
}

static int run(struct program *p, struct gr_err *err)
{
	struct gr_coord *c = &p->c;
	struct gr_place_config pc = { 0 };
	uint64_t seed;
	int rc;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return gr_err_set(err, GR_EIO, "no random numbers");
	c->loop = gr_loop_new(seed);
	gr_loop_on_term(c->loop, on_term, c);
	pc.seed = seed;
	c->place = gr_place_new(&pc);
	c->sessions.seed = gr_rng_u64(gr_loop_rng(c->loop));
	gr_list_init(&c->workers);
	gr_list_init(&c->clients);
	gr_metrics_init(&c->m);
	gr_dispatch_init(c);
	gr_blobs_init(c);
	rc = open_state(c, err);
	if (rc >= 0)
		rc = open_server(p, err);
	if (rc >= 0 && strcmp(c->cfg.http, "off"))
		rc = gr_http_open(c, c->cfg.http, c->cfg.http_anywhere, err);
	if (rc >= 0)
		rc = write_ready(p, err);
	if (rc >= 0) {
		gr_info("main", "listening on %s, http on %s%s", c->endpoint, c->http_endpoint[0] ? c->http_endpoint : "nothing",
			c->cfg.keys ? "" : ", without keys");
		gr_loop_run(c->loop);
	}
	close_all(p);
	return rc;
}

int main(int argc, char **argv)
{
	static struct program p;
	struct gr_err err = { 0 };
	int rc;

	gr_log_init("griddle-coordinator", GR_LOG_INFO);
	rc = gr_coord_config_load(&p.c.cfg, argc, argv, environ, &err);
	if (rc > 0)
		return GR_EXIT_OK;
	if (rc >= 0) {
		gr_log_init("griddle-coordinator", (enum gr_log_level)p.c.cfg.log_level);
		umask(027);
		rc = run(&p, &err);
	}
	if (rc < 0)
		gr_error("main", "%s", err.text);
	gr_coord_config_free(&p.c.cfg);
	return rc < 0 ? gr_err_exit(rc) : GR_EXIT_OK;
}
