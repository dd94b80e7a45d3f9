/* coord.c - the coordinator's lives: begun, ended in order, and ended as by kill -9 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "tests/csim/csim.h"

int cs_coord_start(struct cs *s)
{
	struct gr_err err = { 0 };
	struct gr_coord *c;
	char *dir;
	int rc;

	GR_NEW(c);
	dir = gr_xstrdup(s->dir);
	c->cfg = (struct gr_coord_config){
		.listen = (char *)"tcp://127.0.0.1:7420", .http = (char *)"off", .state = dir, .cache_bytes = 1ll << 30, .job_bytes = 1ll << 30,
		.heartbeat_ms = s->p.heartbeat_ms, .dead_ms = s->p.dead_ms, .max_peers = 100000, .credits = 1024, .max_sessions = 16,
		.session_log_bytes = 64 << 20, .session_linger_ms = 60000, .result_bytes = 512 << 20, .settle_ms = 3000, .work_target_ms = 60000,
		.keep_jobs_ms = 604800000, .history = s->verbose > 1 ? (char *)"/dev/stdout" : NULL,
	};
	s->n_lives++;
	s->disk_fails_ns = s->disk_fails_ns < s->now_ns ? s->disk_fails_ns : s->now_ns;             /* it would say so and not start */
	s->loop = gr_loop_new(gr_rng_u64(&s->rng));
	s->c = c;
	rc = gr_coord_open(c, s->loop, &err);
	if (rc < 0)
		cs_fail(s, "the coordinator does not start: %s", err.text);
	cs_say(s, "coordinator: life %u", s->n_lives);
	return rc;
}

static void end(struct cs *s)
{
	struct gr_coord *c = s->c;

	s->coord_stopped_ns = 0;
	gr_coord_close(c);
	gr_coord_fini(c);
	gr_loop_free(&s->loop);
	free(c->cfg.state);
	free(c);
	s->c = NULL;
}

void cs_coord_crash(struct cs *s)
{
	s->st.coord_crashes++;
	cs_say(s, "coordinator: killed");
	s->is_crashing = true;
	end(s);
	s->is_crashing = false;
}

void cs_coord_end(struct cs *s)
{
	s->st.coord_ends++;
	cs_say(s, "coordinator: ended");
	end(s);
}
