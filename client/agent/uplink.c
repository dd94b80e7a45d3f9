/**
 * uplink - the coordinator as the agent sees it: the link, the open session, results, what the cluster can do
 *
 * The link connects and reconnects by itself. Each time it is up the session is opened by its id; the answer says how
 * many of its records the coordinator still has, the log goes on from there, and every task without a result is sent
 * again (the coordinator knows it by its number, or has lost it in a restart). A coordinator that contradicts the log,
 * or closes the session, gets a new session and the units are planned anew.
 *
 * What the link cannot take now waits here in order, so a LOG never comes after the TASK that needs it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "client/agent/plan.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define FIRST_CONNECT_MS 2500
#define DEFAULT_CREDITS 64u
#define DRAIN_MS 5
#define MAX_BACKLOG_BYTES (256u << 20)

struct waiting_frame {
	struct gr_list on;
	struct gr_buf bytes;
};
struct gr_uplink {
	struct gr_agent *agent;
	struct gr_link *link;
	struct gr_keypair keys;
	bool has_keys, is_link_up, is_session_open, is_hopeless;
	uint64_t grace_until_ns;      /* so long units wait for it */
	char why[256];
	struct gr_cluster cluster;
	bool has_toolchain_list;
	struct gr_digest *toolchains;
	size_t n_toolchains;
	uint32_t n_outstanding;       /* tasks the coordinator counts as ours: sent and not confirmed */
	struct gr_list backlog;
	size_t n_backlog_bytes;
	struct gr_timer *drain;
};

static uint64_t now_ns(const struct gr_agent *a)
{
	return gr_loop_now_ns(a->loop);
}

/* ---- sending ---- */

static void backlog_clear(struct gr_uplink *up)
{
	struct gr_list *n;

	while ((n = gr_list_pop(&up->backlog))) {
		struct waiting_frame *w = GR_CONTAINER(n, struct waiting_frame, on);

		gr_buf_fini(&w->bytes);
		free(w);
	}
	up->n_backlog_bytes = 0;
}

static void on_drain(void *ctx)
{
	struct gr_uplink *up = ctx;

	while (!gr_list_is_empty(&up->backlog)) {
		struct waiting_frame *w = GR_CONTAINER(up->backlog.next, struct waiting_frame, on);
		size_t n = w->bytes.n;
		int rc = gr_link_send(up->link, &w->bytes);

		if (rc == GR_EBUSY)
			return;
		gr_list_del(&w->on);
		up->n_backlog_bytes -= n;
		gr_buf_fini(&w->bytes);
		free(w);
	}
	gr_timer_stop(&up->drain);
}

int gr_uplink_send(struct gr_agent *a, struct gr_buf *frame)
{
	struct gr_uplink *up = a->uplink;
	struct waiting_frame *w;
	int rc = GR_EBUSY;

	if (!up->is_link_up)
		return GR_EUNREACH;
	if (gr_list_is_empty(&up->backlog))
		rc = gr_link_send(up->link, frame);
	if (rc != GR_EBUSY)
		return rc;
	if (up->n_backlog_bytes + frame->n > MAX_BACKLOG_BYTES)
		return GR_EBUSY;
	GR_NEW(w);
	up->n_backlog_bytes += frame->n;
	w->bytes = *frame;
	*frame = (struct gr_buf){ 0 };
	gr_list_push(&up->backlog, &w->on);
	if (!up->drain)
		up->drain = gr_timer_start(a->loop, DRAIN_MS, DRAIN_MS, on_drain, up);
	return 0;
}

bool gr_uplink_is_choked(const struct gr_agent *a)
{
	return !gr_list_is_empty(&a->uplink->backlog);
}

struct counted_send {
	struct gr_agent *agent;
	struct gr_build *build;
};

static int send_counted(void *ctx, struct gr_buf *frame)
{
	struct counted_send *cs = ctx;
	size_t n = frame->n;
	int rc = gr_uplink_send(cs->agent, frame);

	if (rc >= 0) {
		cs->agent->total.bytes_sent += n;
		cs->build->n.bytes_sent += n;
	}
	return rc;
}

int gr_uplink_send_task(struct gr_unit *u)
{
	struct counted_send cs = { u->agent, u->build };
	struct gr_buf copy = { 0 };
	int rc;

	rc = gr_session_flush(u->agent->session, send_counted, &cs);
	if (rc < 0)
		return rc;
	gr_buf_add(&copy, u->frame.p, u->frame.n);
	rc = send_counted(&cs, &copy);
	if (rc >= 0)
		u->agent->uplink->n_outstanding++;
	gr_buf_fini(&copy);
	return rc;
}

static void send_ref(struct gr_agent *a, enum gr_msg_type type, uint64_t session, uint64_t task, uint32_t attempt)
{
	struct gr_buf b = { 0 };

	gr_taskref_encode(&b, type, session, task, attempt);
	if (gr_uplink_send(a, &b) < 0)
		gr_debug("uplink", "%s not sent: the link is down", gr_msg_name(type));
	gr_buf_fini(&b);
}

void gr_uplink_cancel(struct gr_agent *a, uint64_t task)
{
	if (a->session)
		send_ref(a, GR_MSG_CANCEL, gr_session_id(a->session), task, 0);
}

/* ---- the session ---- */

static void open_session(struct gr_agent *a)
{
	struct gr_uplink *up = a->uplink;
	struct gr_buf b = { 0 };
	char hex[17];
	json_t *j;

	if (!a->session) {
		a->session = gr_session_new(gr_loop_rng(a->loop));
		gr_plan_new_session(a);
	}
	up->is_session_open = false;
	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)gr_session_id(a->session));
	j = json_pack("{s:s}", "session", hex);
	gr_json_encode(&b, GR_MSG_SESSION_OPEN, j);
	json_decref(j);
	if (gr_uplink_send(a, &b) < 0)
		gr_debug("uplink", "SESSION_OPEN not sent: the link is down");
	gr_buf_fini(&b);
}

void gr_uplink_drop_session(struct gr_agent *a)
{
	struct gr_buf b = { 0 };

	if (!a->session)
		return;
	gr_session_encode(&b, GR_MSG_SESSION_CLOSE, gr_session_id(a->session), 0);
	if (gr_uplink_send(a, &b) < 0)
		gr_debug("uplink", "SESSION_CLOSE not sent: the link is down");
	gr_buf_fini(&b);
	gr_blobs_forget(a);
	gr_session_free(&a->session);
	a->uplink->is_session_open = false;
	a->uplink->n_outstanding = 0;
	gr_map_fini(&a->tasks);
	if (a->uplink->is_link_up && !a->is_ending)
		open_session(a);
}

/* The other side has another idea of the session, or none. */
static void session_lost(struct gr_agent *a, const char *why)
{
	gr_info("uplink", "session lost: %s; beginning a new one", why);
	gr_blobs_forget(a);
	gr_session_free(&a->session);
	a->uplink->is_session_open = false;
	a->uplink->n_outstanding = 0;
	gr_map_fini(&a->tasks);
	open_session(a);
	gr_unit_redo_all(a);
}

static int on_session_ok(struct gr_agent *a, struct gr_slice body)
{
	struct gr_uplink *up = a->uplink;
	uint64_t session;
	uint32_t n_records;
	int rc = gr_session_decode(body, &session, &n_records);

	if (rc < 0)
		return rc;
	if (!a->session || session != gr_session_id(a->session) || up->is_session_open)
		return 0;
	if (!gr_session_rewind(a->session, n_records)) {
		session_lost(a, "the coordinator has more records of it than there are");
		return 0;
	}
	up->is_session_open = true;
	up->n_outstanding = 0;
	GR_LIST_EACH(u, &a->units[GR_UNIT_AWAY], struct gr_unit, on) {
		rc = gr_uplink_send_task(u);
		if (rc < 0)
			return 0;        /* the link fell again; all of it is done anew when it is back */
	}
	gr_unit_pump(a);
	return 0;
}

/* ---- what comes in ---- */

static void read_cluster(struct gr_uplink *up, const json_t *j)
{
	struct gr_cluster *c = &up->cluster;
	const json_t *list = json_object_get(j, "toolchains"), *v;
	static const struct {
		const char *key;
		size_t at;
	} numbers[] = {
		{ "slots", offsetof(struct gr_cluster, slots) }, { "free", offsetof(struct gr_cluster, free) },
		{ "workers", offsetof(struct gr_cluster, workers) }, { "credits", offsetof(struct gr_cluster, credits) },
	};
	size_t i;

	for (i = 0; i < GR_LEN(numbers); i++) {
		v = json_object_get(j, numbers[i].key);
		if (json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) < 1 << 24)
			*(uint32_t *)((char *)c + numbers[i].at) = (uint32_t)json_integer_value(v);
	}
	if (!json_is_array(list))
		return;
	free(up->toolchains);
	up->n_toolchains = 0;
	up->toolchains = gr_xalloc((json_array_size(list) + 1) * sizeof(*up->toolchains));
	json_array_foreach(list, i, v) {
		const char *hex = json_string_value(json_is_object(v) ? json_object_get(v, "digest") : v);

		if (hex && gr_digest_parse(hex, &up->toolchains[up->n_toolchains]) == 0)
			up->n_toolchains++;
	}
	up->has_toolchain_list = true;
	c->n_toolchains = (uint32_t)up->n_toolchains;
}

static int on_cluster(struct gr_agent *a, struct gr_slice body)
{
	json_t *j;
	int rc = gr_json_decode(body, &j, NULL);

	if (rc < 0)
		return rc;
	read_cluster(a->uplink, j);
	json_decref(j);
	gr_unit_pump(a);
	return 0;
}

static int on_result(struct gr_agent *a, struct gr_slice body)
{
	struct gr_result_msg m;
	struct gr_unit *u = NULL;
	int rc = gr_result_decode(body, &m);

	if (rc < 0)
		return rc;
	if (a->session && m.session == gr_session_id(a->session))
		u = gr_map_get(&a->tasks, &m.task, sizeof(m.task));
	a->total.bytes_received += body.n + GR_WIRE_HEADER_BYTES;
	/* Confirmed first: a unit that is sent again must not count twice. */
	send_ref(a, GR_MSG_RESULT_ACK, m.session, m.task, m.attempt);
	a->uplink->n_outstanding -= a->uplink->n_outstanding > 0;
	if (u) {
		u->build->n.bytes_received += body.n + GR_WIRE_HEADER_BYTES;
		gr_unit_result(u, &m);
	}
	gr_unit_pump(a);
	return 0;
}

static int on_fetch(struct gr_agent *a, struct gr_slice body)
{
	struct gr_digests_msg m;
	int rc = gr_digests_decode(body, &m);

	if (rc < 0)
		return rc;
	gr_blobs_fetch(a, &m);
	return 0;
}

static int on_session_close(struct gr_agent *a, struct gr_slice body)
{
	uint64_t session;
	uint32_t n;
	int rc = gr_session_decode(body, &session, &n);

	if (rc < 0)
		return rc;
	if (a->session && session == gr_session_id(a->session))
		session_lost(a, "the coordinator closed it");
	return 0;
}

static int on_msg(void *ctx, int type, struct gr_slice body)
{
	struct gr_agent *a = ctx;

	switch (type) {
	case GR_MSG_CLUSTER:
		return on_cluster(a, body);
	case GR_MSG_SESSION_OK:
		return on_session_ok(a, body);
	case GR_MSG_SESSION_CLOSE:
		return on_session_close(a, body);
	case GR_MSG_RESULT:
		return on_result(a, body);
	case GR_MSG_FETCH:
		return on_fetch(a, body);
	default:
		return 0;      /* a later coordinator may say more */
	}
}

/* ---- the link ---- */

static json_t *make_hello(void *ctx)
{
	char host[40] = "client", name[64];
	size_t i;

	if (gethostname(host, sizeof(host) - 1) < 0)
		strcpy(host, "client");
	for (i = 0; host[i]; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", host[i]))
			host[i] = '-';
	snprintf(name, sizeof(name), "%s-agent-%d", host, (int)getpid());
	return gr_hello_json(GR_ROLE_CLIENT, name);
}

static void on_up(void *ctx, const json_t *welcome)
{
	struct gr_agent *a = ctx;
	struct gr_uplink *up = a->uplink;

	up->is_link_up = true;
	up->is_hopeless = false;
	up->has_toolchain_list = false;
	up->cluster = (struct gr_cluster){ .credits = DEFAULT_CREDITS };
	read_cluster(up, welcome);
	gr_info("uplink", "connected to %s", a->conf->coordinator);
	open_session(a);
}

static void on_down(void *ctx, int code, const char *why)
{
	struct gr_agent *a = ctx;
	struct gr_uplink *up = a->uplink;
	bool was_up = up->is_link_up;

	up->is_link_up = up->is_session_open = false;
	up->is_hopeless = code == GR_EAUTH || code == GR_EVERSION || code == GR_EROLE;
	snprintf(up->why, sizeof(up->why), "coordinator %s: %s", a->conf->coordinator, why ? why : gr_err_text(code));
	backlog_clear(up);
	gr_timer_stop(&up->drain);
	gr_blobs_forget(a);
	if (was_up) {
		gr_warn("uplink", "%s", up->why);
		up->grace_until_ns = now_ns(a) + (uint64_t)a->conf->reconnect_wait_ms * GR_NS_PER_MS;
	}
}

bool gr_uplink_is_up(const struct gr_agent *a)
{
	return a->uplink->is_link_up && a->uplink->is_session_open;
}

bool gr_uplink_may_return(const struct gr_agent *a)
{
	const struct gr_uplink *up = a->uplink;

	return up->link && !up->is_hopeless && (up->is_link_up || now_ns(a) < up->grace_until_ns);
}

const char *gr_uplink_why(const struct gr_agent *a) { return a->uplink->why; }
const struct gr_cluster *gr_uplink_cluster(const struct gr_agent *a) { return &a->uplink->cluster; }
bool gr_uplink_wants_zlib(const struct gr_agent *a)
{
	return a->conf->compress == GR_COMPRESS_ALWAYS || (a->conf->compress == GR_COMPRESS_AUTO && !a->conf->is_loopback);
}


bool gr_uplink_has_credit(const struct gr_agent *a)
{
	uint32_t credits = a->uplink->cluster.credits;

	/* An eighth is kept for tasks of before a reconnect that the coordinator still holds. */
	return a->uplink->n_outstanding < credits - credits / 8;
}

bool gr_uplink_lacks(const struct gr_agent *a, const struct gr_digest *d)
{
	const struct gr_uplink *up = a->uplink;
	size_t i;

	if (!up->has_toolchain_list)
		return false;
	for (i = 0; i < up->n_toolchains; i++)
		if (gr_digest_eq(&up->toolchains[i], d))
			return false;
	return true;
}

int gr_uplink_open(struct gr_agent *a, struct gr_err *err)
{
	static const struct gr_link_ops ops = { .make_hello = make_hello, .on_up = on_up, .on_down = on_down, .on_msg = on_msg };
	struct gr_link_config lc = { .endpoint = a->conf->coordinator, .server_key = a->conf->server_key };
	struct gr_uplink *up;
	int rc;

	GR_NEW(up);
	up->agent = a;
	gr_list_init(&up->backlog);
	a->uplink = up;
	if (!a->conf->coordinator || !*a->conf->coordinator) {
		strcpy(up->why, "no coordinator is configured");
		return 0;
	}
	snprintf(up->why, sizeof(up->why), "coordinator %.200s: not connected yet", a->conf->coordinator);
	if (a->conf->keys && *a->conf->keys && a->conf->server_key && *a->conf->server_key) {
		rc = gr_keypair_load(a->conf->keys, &up->keys, err);
		if (rc < 0)
			return rc;
		lc.keys = &up->keys;
	} else {
		lc.server_key = NULL;
	}
	up->grace_until_ns = now_ns(a) + FIRST_CONNECT_MS * GR_NS_PER_MS;
	return gr_link_new(a->loop, &lc, &ops, a, &up->link, err);
}

void gr_uplink_close(struct gr_agent *a)
{
	struct gr_uplink *up = a->uplink;

	if (!up)
		return;
	gr_uplink_drop_session(a);
	up->is_link_up = false;
	if (up->link)
		gr_link_close(&up->link);
	gr_timer_stop(&up->drain);
	backlog_clear(up);
	free(up->toolchains);
	free(up);
	a->uplink = NULL;
}
