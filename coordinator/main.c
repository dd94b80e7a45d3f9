/* main.c - griddle-coordinator: put together, say so, run, and end in order */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/coord.h"
#include "coordinator/kube/kube.h"
#include "coordinator/store/store.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

static int write_ready(struct gr_coord *c, struct gr_err *err)
{
	json_t *o;
	char *text;
	int rc;

	if (!c->cfg.ready_file)
		return 0;
	o = json_pack("{s:s, s:s, s:i, s:s}", "endpoint", c->endpoint, "http", c->http_endpoint, "pid", (int)getpid(), "public_key",
		      c->cfg.keys ? c->keys.public_key : "");
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

static int recover(const struct gr_coord *c, struct gr_err *err)
{
	struct gr_buf report = { 0 };
	int rc = gr_store_recover(c->cfg.state, gr_clock_real_ms(), &report, err);

	if (report.n)
		fputs(gr_buf_str(&report), stdout);
	gr_buf_fini(&report);
	return rc;
}

static void on_term_early(void *ctx, int signum)
{
	(void)signum;
	gr_loop_stop(ctx);
}

static int new_loop(struct gr_loop **out, struct gr_err *err)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return gr_err_set(err, GR_EIO, "no random numbers");
	*out = gr_loop_new(seed);
	return 0;
}

static int make_keys(const struct gr_coord *c, struct gr_err *err)
{
	struct gr_loop *loop;
	int rc = new_loop(&loop, err);

	if (rc < 0)
		return rc;
	gr_loop_on_term(loop, on_term_early, loop);
	rc = gr_kube_make_keys(&c->cfg, loop, err);
	gr_loop_run(loop);
	gr_loop_free(&loop);
	return rc;
}

static int run(struct gr_coord *c, struct gr_err *err)
{
	struct gr_loop *loop;
	int rc = new_loop(&loop, err);

	if (rc < 0)
		return rc;
	gr_loop_on_term(loop, on_term, c);
	rc = gr_coord_open(c, loop, err);
	if (rc >= 0)
		rc = write_ready(c, err);
	if (rc >= 0) {
		gr_info("main", "listening on %s, http on %s%s", c->endpoint, c->http_endpoint[0] ? c->http_endpoint : "nothing",
			c->cfg.keys ? "" : ", without keys");
		gr_loop_run(loop);
		rc = c->exit_rc < 0 ? gr_err_set(err, c->exit_rc, "ended: the job store is damaged (see above)") : rc;
	}
	gr_coord_close(c);
	gr_loop_run(loop);
	gr_coord_fini(c);
	gr_loop_free(&loop);
	return rc;
}

int main(int argc, char **argv)
{
	static struct gr_coord c;
	struct gr_err err = { 0 };
	int rc;

	gr_log_init("griddle-coordinator", GR_LOG_INFO);
	rc = gr_coord_config_load(&c.cfg, argc, argv, environ, &err);
	if (rc > 0)
		return GR_EXIT_OK;
	if (rc >= 0) {
		gr_log_init("griddle-coordinator", (enum gr_log_level)c.cfg.log_level);
		umask(027);
		rc = c.cfg.recover ? recover(&c, &err) : c.cfg.kube_keys ? make_keys(&c, &err) : run(&c, &err);
	}
	if (rc < 0)
		gr_error("main", "%s", err.text);
	gr_coord_config_free(&c.cfg);
	return rc < 0 ? gr_err_exit(rc) : GR_EXIT_OK;
}
