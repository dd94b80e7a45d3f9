/* coord.c - the coordinator put together and taken apart, on a loop that the caller runs */
#include <string.h>

#include "coordinator/batch.h"
#include "coordinator/coord.h"
#include "coordinator/http/events.h"
#include "coordinator/http/recent.h"
#include "coordinator/kube/kube.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define MAX_CREDITS 200u                  /* of commands that take microseconds so many are ten milliseconds' work at most */

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

static int open_server(struct gr_coord *c, struct gr_err *err)
{
	struct gr_server_config sc = {
		.heartbeat_ms = (uint32_t)c->cfg.heartbeat_ms, .dead_ms = (uint32_t)c->cfg.dead_ms,
		.max_peers = (uint32_t)c->cfg.max_peers,
	};
	int rc;

	if (c->cfg.keys) {
		rc = gr_keypair_load(c->cfg.keys, &c->keys, err);
		if (rc < 0)
			return gr_err_wrap(err, "keys");
		c->allow = gr_allow_open(c->cfg.allow, err);
		if (!c->allow)
			return gr_err_wrap(err, "allow");
		sc.keys = &c->keys;
		sc.allow = c->allow;
	}
	c->server = gr_server_new(c->loop, &sc, &gr_peers_ops, c);
	if (!c->server)
		return gr_err_set(err, GR_EIO, "the server socket cannot be made");
	return bind_all(c, err);
}

int gr_coord_open(struct gr_coord *c, struct gr_loop *loop, struct gr_err *err)
{
	struct gr_place_config pc = { 0 };
	int rc, log_rc;

	c->loop = loop;
	log_rc = gr_placelog_open(c, err);
	pc.seed = gr_rng_u64(gr_loop_rng(loop));
	pc.max_credits = MAX_CREDITS;
	pc.acts = 1u << GR_PLACE_COPY | 1u << GR_PLACE_RETRACT | 1u << GR_PLACE_PREEMPT | 1u << GR_PLACE_MOVE;
	pc.log = c->cfg.place_log ? &c->place_log : NULL;
	c->place = gr_place_new(&pc);
	c->sessions.seed = gr_rng_u64(gr_loop_rng(loop));
	c->nodes.seed = gr_rng_u64(gr_loop_rng(loop));
	gr_list_init(&c->workers);
	gr_list_init(&c->clients);
	gr_metrics_init(&c->m);
	gr_dispatch_init(c);
	gr_load_init(c);
	gr_blobs_init(c);
	rc = log_rc < 0 ? log_rc : open_state(c, err);
	if (rc >= 0)
		rc = gr_batch_open(c, err);
	if (rc >= 0)
		rc = open_server(c, err);
	if (rc >= 0 && strcmp(c->cfg.http, "off"))
		rc = gr_http_open(c, err);
	if (rc >= 0)
		gr_kube_open(c);
	return rc;
}

/* What came up goes down in the reverse order; peers hear BYE from the server's close. */
void gr_coord_close(struct gr_coord *c)
{
	struct gr_session *s;
	size_t i;

	c->is_ending = true;
	gr_http_close(c);
	gr_kube_close(c);
	gr_timer_stop(&c->cluster_timer);
	gr_load_fini(c);
	gr_server_close(&c->server);
	gr_batch_close(c);
	while (i = 0, (s = gr_map_each(&c->sessions, &i)))
		gr_session_free(&s);
	gr_map_fini(&c->sessions);
	gr_signals_fini(c);
	gr_blobs_fini(c);
	gr_dispatch_fini(c);
}

void gr_coord_fini(struct gr_coord *c)
{
	gr_cas_close(&c->cas);
	gr_place_free(&c->place);
	gr_placelog_close(c);
	gr_allow_free(&c->allow);
	gr_events_free(&c->events);
	gr_recent_free(&c->recent);
	gr_buf_fini(&c->cluster_last);
}
