/* peers.c - who is connected: greeting, the table of who may say what to whom, farewell.
 *
 * A worker that comes back before its old connection was given up takes its place: same name and key, so the old one
 * cannot be alive. What it left running is lost for placement, yet its late results are known by its identity. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/batch.h"
#include "coordinator/coord.h"
#include "coordinator/http/events.h"
#include "coordinator/kube/kube.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define MAX_SLOTS 4096
#define MAX_PREFETCH 1024

/* What a peer's data points at; the first member of both. */
static struct gr_worker *worker_of(struct gr_peer *p)
{
	return gr_peer_role(p) == GR_ROLE_WORKER ? gr_peer_data(p) : NULL;
}

static struct gr_client *client_of(struct gr_peer *p)
{
	return gr_peer_role(p) != GR_ROLE_WORKER ? gr_peer_data(p) : NULL;
}

int gr_peers_try(struct gr_coord *c, struct gr_peer *peer, struct gr_buf *frame)
{
	size_t n = frame->n;
	int rc = c->is_ending ? GR_EGONE : gr_server_send(c->server, peer, frame);

	if (rc >= 0)
		c->m.bytes_out[gr_peer_role(peer) == GR_ROLE_WORKER] += n;
	else
		c->m.sends_refused += rc == GR_EBUSY;
	return rc;
}

int gr_peers_send(struct gr_coord *c, struct gr_peer *peer, struct gr_buf *frame)
{
	int rc = gr_peers_try(c, peer, frame);

	gr_buf_fini(frame);
	return rc;
}

/* ---- greeting ---- */

static int get_count(const json_t *o, const char *key, int64_t def, int64_t max, int64_t *out, struct gr_err *err)
{
	const json_t *v = json_object_get(o, key);

	*out = def;
	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return gr_err_set(err, GR_EPROTO, "\"%s\" must be a number 0..%lld", key, (long long)max);
	*out = json_integer_value(v);
	return 0;
}

static void get_text(const json_t *o, const char *key, const char *def, char *out, size_t n_out)
{
	const char *v = json_string_value(json_object_get(o, key));

	snprintf(out, n_out, "%s", v && *v ? v : def);
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
}

/* A label's value: backslash and quote are written with a backslash. */
static void label_of(const char *text, char *out)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			*out++ = '\\';
		*out++ = *text;
	}
	*out = 0;
}

static int get_toolchains(struct gr_worker *w, const json_t *list, struct gr_err *err)
{
	size_t i;
	const json_t *v;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > GR_PLACE_MAX_WORKER_ENVS)
		return gr_err_set(err, GR_EPROTO, "\"toolchains\" must be a list of at most %u", GR_PLACE_MAX_WORKER_ENVS);
	w->toolchains = gr_xalloc((json_array_size(list) + 1) * sizeof(*w->toolchains));
	json_array_foreach(list, i, v) {
		struct gr_toolchain *t = &w->toolchains[w->n_toolchains];
		const char *hex = json_string_value(json_object_get(v, "digest"));

		if (!hex || gr_digest_parse(hex, &t->digest) < 0)
			return gr_err_set(err, GR_EPROTO, "toolchain %zu has no digest", i);
		get_text(v, "name", "?", t->name, sizeof(t->name));
		get_text(v, "version", "", t->version, sizeof(t->version));
		w->n_toolchains++;
	}
	return 0;
}

/* What jobs may ask for by the names Kubernetes has for it, the zone first. */
static const char *const own_labels[] = { "topology.kubernetes.io/zone", "node.kubernetes.io/instance-type" };

const char *gr_peers_own_label(const struct gr_worker *w, const char *key)
{
	const char *values[GR_LEN(own_labels)] = { w->zone, w->machine };

	for (size_t i = 0; i < GR_LEN(own_labels); i++)
		if (!strcmp(key, own_labels[i]))
			return values[i][0] ? values[i] : NULL;
	return NULL;
}

/* The zone's label is its id too. */
static void add_labels(struct gr_coord *c, const struct gr_worker *w, struct gr_place_worker *spec, uint32_t *labels)
{
	for (size_t i = 0; i < GR_LEN(own_labels); i++) {
		const char *value = gr_peers_own_label(w, own_labels[i]);
		int id = value ? gr_place_label(c->place, own_labels[i], value) : 0;
		bool is_there = false;

		for (uint32_t k = 0; k < spec->n_labels; k++)
			is_there |= labels[k] == (uint32_t)id;
		if (id > 0 && !is_there && spec->n_labels < GR_PLACE_MAX_WORKER_LABELS)
			labels[spec->n_labels++] = (uint32_t)id;
		if (id > 0 && !i)
			spec->zone = (uint32_t)id;
	}
	spec->labels = labels;
}

static int worker_place(struct gr_coord *c, struct gr_worker *w, const json_t *hello, struct gr_err *err)
{
	uint32_t envs[GR_PLACE_MAX_WORKER_ENVS], labels[GR_PLACE_MAX_WORKER_LABELS];
	struct gr_place_worker spec = { .tag = (uintptr_t)w, .slots = w->slots, .prefetch = w->prefetch, .envs = envs };
	int rc;

	for (uint32_t i = 0; i < w->n_toolchains; i++) {
		rc = gr_place_env(c->place, &w->toolchains[i].digest);
		if (rc < 0)
			return gr_err_set(err, rc, "more than %u different toolchains", GR_PLACE_MAX_ENVS);
		/* an environment exists from the moment a worker has it: two new ones must not share a free id */
		envs[spec.n_envs++] = (uint32_t)rc;
		gr_place_env_hold(c->place, (uint32_t)rc, true);
	}
	rc = gr_place_node(c->place, w->node);
	if (rc >= 0) {
		spec.node = (uint32_t)rc;
		spec.node_cpu_mcpu = w->node_cpu_mcpu;
		spec.cap.v[GR_PLACE_CPU_MCPU] = w->slots * 1000;
		spec.cap.v[GR_PLACE_MEM_MIB] = w->mem_bytes >> 20 > UINT32_MAX ? UINT32_MAX : (uint32_t)(w->mem_bytes >> 20);
		if (!w->mem_bytes || spec.cap.v[GR_PLACE_MEM_MIB] > GR_PLACE_MAX_AMOUNT)
			spec.cap.v[GR_PLACE_MEM_MIB] = GR_PLACE_MAX_AMOUNT;
		spec.cap.v[GR_COORD_RES_ROOT] = strcmp(w->tier, "landlock") ? MAX_SLOTS + MAX_PREFETCH : 0;
		spec.cap.v[GR_COORD_RES_LOAD] = 1;
		rc = gr_batch_hello_offer(c, w, hello, &spec, labels, envs, err);
		if (rc >= 0) {
			add_labels(c, w, &spec, labels);
			rc = gr_place_worker_up(c->place, gr_coord_now(c), &spec);
		}
	}
	for (uint32_t i = 0; i < spec.n_envs; i++)
		gr_place_env_hold(c->place, envs[i], false);
	if (rc < 0)
		return err->code ? rc : gr_err_set(err, rc, "cannot be placed: %s", gr_err_text(rc));
	w->place = (uint32_t)rc;
	return 0;
}

static void worker_free(struct gr_worker *w)
{
	gr_map_fini(&w->seats);
	free(w->toolchains);
	free(w);
}

/* Two connections of one worker: the older is dead, whether its silence was noticed or not. */
static void supersede(struct gr_coord *c, const struct gr_worker *new_one)
{
	GR_LIST_EACH(old, &c->workers, struct gr_worker, link)
		if (old->identity == new_one->identity) {
			gr_warn("peers", "worker %s connected anew; its old connection is given up", old->name);
			gr_server_drop(c->server, old->peer, GR_EGONE, "superseded by a newer connection of the same name");
			return;
		}
}

/* Sessions the worker still has, with so many records: their logs need not travel again. */
static void take_seats(struct gr_coord *c, struct gr_worker *w, const json_t *list)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *hex = json_string_value(json_object_get(v, "session"));
		const json_t *n = json_object_get(v, "n_records");
		struct gr_session *s = hex ? gr_session_find(c, strtoull(hex, NULL, 16)) : NULL;

		if (s && json_is_integer(n) && json_integer_value(n) >= 0 && json_integer_value(n) <= s->n_recs)
			gr_seat_adopt(s, w, (uint32_t)json_integer_value(n));
	}
}

static int hello_worker(struct gr_coord *c, struct gr_peer *peer, const struct gr_hello *h, struct gr_err *err)
{
	const char *key = gr_peer_key_name(peer);
	struct gr_worker *w;
	int64_t slots, prefetch, mem, cpus, node_cpu, quota;
	int rc;

	GR_NEW(w);
	w->coord = c;
	w->peer = peer;
	snprintf(w->name, sizeof(w->name), "%s", h->name);
	snprintf(w->version, sizeof(w->version), "%s", h->version);
	get_text(h->json, "node", h->name, w->node, sizeof(w->node));
	get_text(h->json, "zone", "", w->zone, sizeof(w->zone));
	get_text(h->json, "tier", "?", w->tier, sizeof(w->tier));
	get_text(h->json, "pod", "", w->pod, sizeof(w->pod));
	get_text(h->json, "pod_uid", "", w->pod_uid, sizeof(w->pod_uid));
	get_text(h->json, "namespace", "", w->ns, sizeof(w->ns));
	get_text(h->json, "qos", "", w->qos, sizeof(w->qos));
	label_of(w->node, w->node_label);
	w->identity = gr_hash64(key, strlen(key), gr_hash64(w->name, strlen(w->name), 1));
	w->since_ms = gr_clock_real_ms();
	rc = get_count(h->json, "slots", 1, MAX_SLOTS, &slots, err);
	if (rc >= 0)
		rc = get_count(h->json, "prefetch", 1, MAX_PREFETCH, &prefetch, err);
	if (rc >= 0)
		rc = get_count(h->json, "mem_bytes", 0, INT64_MAX, &mem, err);
	if (rc >= 0)
		rc = get_count(h->json, "cpus", 0, 1 << 16, &cpus, err);
	if (rc >= 0)
		rc = get_count(h->json, "node_cpu_mcpu", 0, GR_PLACE_MAX_AMOUNT, &node_cpu, err);
	if (rc >= 0)
		rc = get_count(h->json, "quota_mcpu", 0, GR_PLACE_MAX_AMOUNT, &quota, err);
	if (rc >= 0 && !slots)
		rc = gr_err_set(err, GR_EPROTO, "a worker needs at least one slot");
	if (rc >= 0)
		rc = get_toolchains(w, json_object_get(h->json, "toolchains"), err);
	if (rc >= 0) {
		w->slots = (uint32_t)slots;
		w->prefetch = (uint32_t)prefetch;
		w->mem_bytes = (uint64_t)mem;
		w->cpus = (uint32_t)cpus;
		w->node_cpu_mcpu = (uint32_t)node_cpu;
		w->signals[GR_SIGNAL_CPU_QUOTA_MCPU] = (uint64_t)quota;
		supersede(c, w);
		gr_kube_worker_facts(c, w);
		rc = worker_place(c, w, h->json, err);
	}
	if (rc < 0) {
		worker_free(w);
		return rc;
	}
	w->seats.seed = gr_rng_u64(gr_loop_rng(c->loop));
	gr_signals_worker_up(c, w);
	gr_list_push(&c->workers, &w->link);
	c->n_workers++;
	gr_events_emit(c->events, "worker.up", json_pack("{s:s, s:s}", "worker", w->name, "node", w->node));
	gr_peer_set_data(peer, w);
	gr_info("peers", "worker %s: %u slots, %u ahead, node %s, tier %s, %u toolchains", w->name, w->slots, w->prefetch,
		w->node, w->tier, w->n_toolchains);
	take_seats(c, w, json_object_get(h->json, "sessions"));
	w->has_stress = json_is_true(json_object_get(h->json, "stress_ng"));
	if (json_is_true(json_object_get(h->json, "draining"))) {
		w->is_draining = w->is_drain_told = true;
		gr_place_worker_drain(c->place, gr_coord_now(c), w->place, true, 0);
	}
	gr_batch_worker_up(c, w, h->json);
	gr_kube_worker_up(c, w, h->json);
	gr_dispatch_recheck(c, false);
	gr_cluster_touch(c);
	return 0;
}

void gr_peers_replace(struct gr_coord *c, struct gr_worker *w, const json_t *hello)
{
	struct gr_place_worker_info info;
	struct gr_err err = { 0 };

	gr_kube_worker_facts(c, w);
	if ((!w->zone[0] && !w->machine[0]) || gr_place_worker_info(c->place, w->place, &info) < 0 || info.n_placed || w->is_draining)
		return;
	gr_place_worker_down(c->place, gr_coord_now(c), w->place);
	if (worker_place(c, w, hello, &err) < 0) {
		gr_server_drop(c->server, w->peer, err.code, err.text);
		return;
	}
	gr_dispatch_recheck(c, false);
}

static void hello_client(struct gr_coord *c, struct gr_peer *peer)
{
	struct gr_client *cl;

	GR_NEW(cl);
	cl->coord = c;
	cl->peer = peer;
	cl->since_ms = gr_clock_real_ms();
	gr_list_init(&cl->sessions);
	gr_list_push(&c->clients, &cl->link);
	c->n_clients++;
	gr_peer_set_data(peer, cl);
	gr_debug("peers", "client %s (%s)", gr_peer_name(peer), gr_peer_key_name(peer));
}

static int on_hello(void *ctx, struct gr_peer *peer, const struct gr_hello *hello, json_t *welcome, struct gr_err *err)
{
	struct gr_coord *c = ctx;
	int rc;

	if (c->is_ending)
		return gr_err_set(err, GR_EBUSY, "the coordinator is ending");
	if (hello->role == GR_ROLE_WORKER) {
		rc = hello_worker(c, peer, hello, err);
		if (rc < 0) {
			c->m.peers_refused++;
			return gr_err_wrap(err, "worker %s", hello->name);
		}
	} else {
		hello_client(c, peer);
		gr_cluster_fill(c, welcome);
	}
	c->m.peers_accepted[hello->role == GR_ROLE_CLIENT ? 0 : hello->role == GR_ROLE_WORKER ? 1 : 2]++;
	return 0;
}

/* ---- messages ---- */

static int worker_drain(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	uint32_t grace_ms;
	uint64_t gone_ns;
	int rc = gr_drain_decode(body, &grace_ms);

	if (rc < 0)
		return rc;
	if (w->is_drain_told)
		return 0;
	gr_info("peers", "worker %s is draining, %u ms left to it", w->name, grace_ms);
	w->is_draining = w->is_drain_told = true;
	gone_ns = w->told_gone_ns = gr_coord_now(c) + grace_ms * GR_NS_PER_MS;
	if (w->kube_gone_ns && w->kube_gone_ns < gone_ns)
		gone_ns = w->kube_gone_ns;
	gr_place_worker_drain(c->place, gr_coord_now(c), w->place, true, gone_ns);
	c->worker_gone_ns = gr_coord_now(c);
	gr_dispatch_recheck(c, true);
	gr_cluster_touch(c);
	return 0;
}

/* A task of the session is with the worker. */
static bool is_live_on(const struct gr_session *s, const struct gr_worker *w)
{
	GR_LIST_EACH(t, &s->job.lists[GR_TASK_RUNNING], struct gr_ctask, t.link)
		for (uint32_t i = 0; i < t->t.n_attempts; i++)
			if (t->t.attempts[i].state == GR_ATTEMPT_LIVE && t->t.attempts[i].peer == w)
				return true;
	return false;
}

/* Each SESSION_OPEN is answered once; what comes unasked says that records are missing there. */
static int worker_session_ok(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	struct gr_seat *seat;
	uint64_t session;
	uint32_t n;
	int rc = gr_session_decode(body, &session, &n);

	(void)c;
	if (rc < 0)
		return rc;
	seat = gr_map_get(&w->seats, &session, sizeof(session));
	if (!seat)
		return 0;
	if (seat->n_asked) {
		seat->n_asked--;
		return 0;
	}
	if (n >= seat->n_sent)
		return 0;
	seat->n_sent = n;
	gr_seat_feed(seat->session, w, &seat);       /* a full queue: the next task feeds it */
	return 0;
}

/* The worker gave the session's tree up (room, age). A task that crossed this message needs the log again; else the next
 * one opens it anew. */
static int worker_session_close(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	struct gr_session *s;
	struct gr_seat *seat;
	uint64_t session;
	uint32_t n;
	int rc = gr_session_decode(body, &session, &n);

	if (rc < 0)
		return rc;
	seat = gr_map_get(&w->seats, &session, sizeof(session));
	if (seat)
		gr_seat_free(seat);
	s = gr_session_find(c, session);
	if (seat && s && is_live_on(s, w))
		gr_seat_feed(s, w, &seat);
	return 0;
}

/* What is asked for: of a job, when the session's id is too low for one. */
static bool is_of_job(struct gr_slice body)
{
	struct gr_rd r = gr_rd_init(body);

	return gr_rd_u64(&r) < GR_BATCH_FIRST_SESSION;
}

static int need_from_worker(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	return is_of_job(body) ? gr_batch_need(c, w->peer, body) : gr_blobs_need(c, w, body);
}

static int need_from_client(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	return is_of_job(body) ? gr_batch_need(c, cl->peer, body) : GR_EROLE;
}

static int blob_from_client(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	return is_of_job(body) ? gr_batch_client_blob(c, cl, body) : gr_blobs_piece(c, cl, body);
}

static int ignore_from_worker(struct gr_coord *c, struct gr_worker *w, struct gr_slice body)
{
	(void)c, (void)w, (void)body;
	return 0;
}

static int control_from_client(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	return gr_control_request(c, cl->peer, body);
}

static int ignore_from_client(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	(void)c, (void)cl, (void)body;
	return 0;
}

static int load_state(struct gr_coord *c, struct gr_worker *w, struct gr_slice b) { return gr_load_message(c, w, GR_MSG_LOAD_STATE, b); }
static int load_clock(struct gr_coord *c, struct gr_worker *w, struct gr_slice b) { return gr_load_message(c, w, GR_MSG_LOAD_CLOCK, b); }
static int load_stats(struct gr_coord *c, struct gr_worker *w, struct gr_slice b) { return gr_load_message(c, w, GR_MSG_LOAD_STATS, b); }

static const struct {
	int type;
	int (*fn)(struct gr_coord *c, struct gr_worker *w, struct gr_slice body);
} from_worker[] = {
	{ GR_MSG_PING, gr_signals_ping }, { GR_MSG_RESULT, gr_dispatch_result }, { GR_MSG_NEED, need_from_worker },
	{ GR_MSG_SESSION_OK, worker_session_ok }, { GR_MSG_DRAIN, worker_drain }, { GR_MSG_SESSION_CLOSE, worker_session_close },
	{ GR_MSG_LOAD_STATE, load_state }, { GR_MSG_LOAD_CLOCK, load_clock }, { GR_MSG_LOAD_STATS, load_stats },
	{ GR_MSG_ENDED, gr_batch_ended }, { GR_MSG_STARTED, gr_batch_started }, { GR_MSG_OUT, gr_batch_out }, { GR_MSG_BLOB, gr_batch_worker_blob },
	{ GR_MSG_MISSING, gr_batch_worker_missing }, { GR_MSG_PONG, ignore_from_worker }, { GR_MSG_CTL_REP, ignore_from_worker },
};
static const struct {
	int type;
	int (*fn)(struct gr_coord *c, struct gr_client *cl, struct gr_slice body);
} from_client[] = {
	{ GR_MSG_TASK, gr_intake_task }, { GR_MSG_LOG, gr_session_log }, { GR_MSG_BLOB, blob_from_client }, { GR_MSG_NEED, need_from_client },
	{ GR_MSG_RESULT_ACK, gr_intake_ack }, { GR_MSG_CANCEL, gr_intake_cancel }, { GR_MSG_SESSION_OPEN, gr_session_open },
	{ GR_MSG_SESSION_CLOSE, gr_session_close_msg }, { GR_MSG_MISSING, gr_blobs_missing },
	{ GR_MSG_CTL_REQ, control_from_client }, { GR_MSG_PING, ignore_from_client }, { GR_MSG_PONG, ignore_from_client },
};

static int on_msg(void *ctx, struct gr_peer *peer, int type, struct gr_slice body)
{
	struct gr_coord *c = ctx;
	struct gr_worker *w = worker_of(peer);
	struct gr_client *cl = client_of(peer);
	int rc = GR_EROLE;

	if (c->is_ending)
		return 0;
	c->m.bytes_in[w != NULL] += body.n + GR_WIRE_HEADER_BYTES;
	if (w) {
		for (size_t i = 0; i < GR_LEN(from_worker); i++)
			if (from_worker[i].type == type) {
				rc = from_worker[i].fn(c, w, body);
				break;
			}
	} else if (cl) {
		for (size_t i = 0; i < GR_LEN(from_client); i++)
			if (from_client[i].type == type)
				rc = from_client[i].fn(c, cl, body);
	} else {
		return 0;       /* given up a moment ago */
	}
	c->m.peers_dropped += rc < 0 && gr_err_class(rc) == GR_CLASS_PEER;      /* lib/net says so in the log */
	return rc;
}

/* ---- farewell ---- */

static void worker_gone(struct gr_coord *c, struct gr_worker *w, const char *why)
{
	size_t i = 0;
	struct gr_seat *seat;

	gr_info("peers", "worker %s is gone: %s", w->name, why);
	gr_list_del(&w->link);
	gr_signals_worker_gone(c, w);
	c->n_workers--;
	gr_events_emit(c->events, "worker.down", json_pack("{s:s, s:s}", "worker", w->name, "node", w->node));
	c->worker_gone_ns = gr_coord_now(c);
	gr_blobs_worker_gone(w);
	while (i = 0, (seat = gr_map_each(&w->seats, &i)))
		gr_seat_free(seat);
	gr_place_worker_down(c->place, c->worker_gone_ns, w->place);
	gr_batch_worker_gone(c, w);
	gr_dispatch_worker_gone(c, w);
	gr_load_worker_gone(c, w);
	gr_kube_worker_gone(w);
	worker_free(w);
	gr_dispatch_recheck(c, true);
	gr_cluster_touch(c);
}

static void client_gone(struct gr_coord *c, struct gr_client *cl, const char *why)
{
	uint64_t now = gr_coord_now(c);

	gr_debug("peers", "client %s is gone: %s", gr_peer_name(cl->peer), why);
	GR_LIST_EACH_SAFE(s, &cl->sessions, struct gr_session, link)
		gr_session_detach(s, now);
	gr_batch_peer_gone(c, cl->peer);
	gr_list_del(&cl->link);
	c->n_clients--;
	free(cl);
	gr_cluster_touch(c);
}

static void on_gone(void *ctx, struct gr_peer *peer, int code, const char *why)
{
	struct gr_coord *c = ctx;
	struct gr_worker *w = worker_of(peer);
	struct gr_client *cl = client_of(peer);

	if (!why || !*why)
		why = gr_err_text(code);
	if (!w && !cl)
		return;
	c->m.peers_gone++;
	gr_peer_set_data(peer, NULL);
	if (w)
		worker_gone(c, w, why);
	else
		client_gone(c, cl, why);
}

const struct gr_server_ops gr_peers_ops = { .on_hello = on_hello, .on_msg = on_msg, .on_gone = on_gone };
