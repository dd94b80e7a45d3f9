/* cluster.c - what clients are told of the cluster: slots, toolchains, credits. Changes are coalesced: the first goes out
 * at once when the last message is old enough, else when it is, so at most five messages a second go to a client. */
#include <string.h>

#include "coordinator/coord.h"
#include "lib/base/clock.h"

#define GAP_NS (200 * GR_NS_PER_MS)

static json_t *toolchain_list(const struct gr_coord *c)
{
	json_t *list = json_array(), *seen = json_object();
	char hex[GR_DIGEST_HEX];

	GR_LIST_EACH(w, &c->workers, struct gr_worker, link) {
		if (w->is_draining)
			continue;
		for (uint32_t i = 0; i < w->n_toolchains; i++) {
			gr_digest_hex(&w->toolchains[i].digest, hex);
			if (json_object_get(seen, hex))
				continue;
			json_object_set_new(seen, hex, json_true());
			json_array_append_new(list, json_string(hex));
		}
	}
	json_decref(seen);
	return list;
}

void gr_cluster_fill(const struct gr_coord *c, json_t *o)
{
	struct gr_place_stats st;

	gr_place_stats(c->place, gr_coord_now(c), &st);
	json_object_set_new(o, "slots", json_integer(st.slots));
	json_object_set_new(o, "free", json_integer(st.free_slots));
	json_object_set_new(o, "workers", json_integer(st.n_workers - st.n_draining));
	json_object_set_new(o, "credits", json_integer(c->cfg.credits));
	json_object_set_new(o, "toolchains", toolchain_list(c));
}

static void broadcast(void *ctx)
{
	struct gr_coord *c = ctx;
	struct gr_buf b = { 0 };
	json_t *o;

	gr_timer_stop(&c->cluster_timer);
	c->is_cluster_dirty = false;
	if (c->is_ending || gr_list_is_empty(&c->clients))
		return;
	o = json_object();
	gr_cluster_fill(c, o);
	gr_json_encode(&b, GR_MSG_CLUSTER, o);
	json_decref(o);
	/* most wake-ups change nothing that is told */
	if (b.n == c->cluster_last.n && !memcmp(b.p, c->cluster_last.p, b.n) && c->n_clients == c->cluster_n_clients) {
		gr_buf_fini(&b);
		return;
	}
	c->cluster_sent_ns = gr_coord_now(c);
	c->cluster_n_clients = c->n_clients;
	GR_LIST_EACH(cl, &c->clients, struct gr_client, link) {
		struct gr_buf copy = { 0 };

		gr_buf_add(&copy, b.p, b.n);
		gr_peers_send(c, cl->peer, &copy);
	}
	gr_buf_fini(&c->cluster_last);
	c->cluster_last = b;
}

void gr_cluster_touch(struct gr_coord *c)
{
	uint64_t now, wait;

	if (c->is_cluster_dirty || c->is_ending)
		return;
	c->is_cluster_dirty = true;
	now = gr_coord_now(c);
	wait = now - c->cluster_sent_ns >= GAP_NS ? 1 : (GAP_NS - (now - c->cluster_sent_ns)) / GR_NS_PER_MS + 1;
	c->cluster_timer = gr_timer_start(c->loop, wait, 0, broadcast, c);
}
