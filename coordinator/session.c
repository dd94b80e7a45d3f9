/* session.c - sessions and their logs.
 *
 * The log's bytes are kept as they came, with one small entry a record; what a worker lacks is a slice of them. A record
 * that was there already must come again byte for byte: the encoding has one form only. A client that contradicts its
 * log loses the session (SESSION_CLOSE) and begins another under a new id, so a worker never sees an id twice with
 * different records. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/batch.h"
#include "coordinator/coord.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/path.h"

#define LOG_FRAME_BYTES (256u << 10)
#define LOG_FRAME_RECORDS 16384u
#define MAX_LINGERING 256u
#define MAX_LINGERING_BYTES (1ull << 30)

struct gr_session *gr_session_find(struct gr_coord *c, uint64_t id)
{
	return gr_map_get(&c->sessions, &id, sizeof(id));
}

struct gr_session *gr_session_of(struct gr_coord *c, const struct gr_client *cl, uint64_t id)
{
	struct gr_session *s = gr_session_find(c, id);

	return s && s->client == cl ? s : NULL;
}

/* ---- opening ---- */

static int parse_id(struct gr_slice body, uint64_t *id)
{
	struct gr_err err = { 0 };
	const char *hex;
	json_t *j;
	int rc = gr_json_decode(body, &j, &err);

	if (rc < 0)
		return rc;
	hex = json_string_value(json_object_get(j, "session"));
	rc = GR_EPROTO;
	if (hex && strlen(hex) == 16 && strspn(hex, "0123456789abcdef") == 16) {
		*id = strtoull(hex, NULL, 16);
		rc = *id < GR_BATCH_FIRST_SESSION ? GR_EPROTO : 0;      /* such numbers name jobs */
	}
	json_decref(j);
	return rc;
}

static int answer_open(struct gr_session *s)
{
	struct gr_buf b = { 0 };
	int rc;

	gr_session_encode(&b, GR_MSG_SESSION_OK, s->id, s->n_recs);
	rc = gr_peers_send(s->coord, s->client->peer, &b);
	if (rc == GR_EBUSY)
		return GR_ELIMIT;       /* a client whose queue is full before it has a session does not read */
	return 0;
}

static void attach(struct gr_session *s, struct gr_client *cl)
{
	s->client = cl;
	gr_list_push(&cl->sessions, &s->link);
	cl->n_sessions++;
	cl->log_bytes += s->log.n;
	GR_LIST_EACH(t, &s->job.lists[GR_TASK_ENDED], struct gr_ctask, t.link) {
		cl->n_tasks++;
		cl->result_bytes += t->result.n;
	}
	/* they may have been on their way when the connection broke; the client confirms them in any case */
	gr_dispatch_resend(s);
}

static struct gr_session *session_new(struct gr_coord *c, struct gr_client *cl, uint64_t id)
{
	struct gr_place_owner owner = { .weight = 1 };
	struct gr_session *s;

	GR_NEW(s);
	s->coord = c;
	s->id = id;
	s->opened_ms = gr_clock_real_ms();
	snprintf(s->key_name, sizeof(s->key_name), "%s", gr_peer_key_name(cl->peer));
	snprintf(s->client_name, sizeof(s->client_name), "%s", gr_peer_name(cl->peer));
	gr_job_init(&s->job, id);
	gr_list_init(&s->link);
	gr_list_init(&s->seats);
	s->contents.seed = s->tasks.seed = gr_rng_u64(gr_loop_rng(c->loop));
	owner.tag = (uintptr_t)s;
	s->owner = (uint32_t)gr_place_owner_add(c->place, &owner);
	gr_map_put(&c->sessions, &s->id, sizeof(s->id), s);
	c->m.sessions_opened++;
	return s;
}

int gr_session_open(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	struct gr_session *s;
	uint64_t id;
	int rc = parse_id(body, &id);

	if (rc < 0)
		return rc;
	s = gr_session_find(c, id);
	if (s && strcmp(s->key_name, gr_peer_key_name(cl->peer))) {
		gr_warn("session", "client %s asks for session %016" PRIx64 " of another key", gr_peer_name(cl->peer), id);
		return GR_EAUTH;
	}
	if (s && s->client == cl)
		return answer_open(s);
	if (cl->n_sessions >= c->cfg.max_sessions) {
		gr_warn("session", "client %s: more than %" PRId64 " sessions", gr_peer_name(cl->peer), c->cfg.max_sessions);
		return GR_ELIMIT;
	}
	if (s) {
		if (s->client)
			gr_session_detach(s, gr_coord_now(c));
		s->n_connects++;
		c->m.sessions_resumed++;
	} else {
		s = session_new(c, cl, id);
	}
	s->client = cl;
	rc = answer_open(s);
	attach(s, cl);
	return rc;
}

/* ---- the log ---- */

/* The bytes of record @i. */
static struct gr_slice rec_bytes(const struct gr_session *s, uint32_t i)
{
	size_t to = i + 1 < s->n_recs ? s->recs[i + 1].at : s->log.n;

	return gr_slice(s->log.p + s->recs[i].at, to - s->recs[i].at);
}

struct gr_slice gr_session_str(const struct gr_session *s, uint32_t id)
{
	struct gr_rd rd = gr_rd_init(rec_bytes(s, id));
	struct gr_record r;

	return gr_record_next(&rd, &r) == 1 && r.tag == GR_RECORD_STR ? r.str : gr_slice("", 0);
}

static void add_content(struct gr_session *s, const struct gr_record *r)
{
	struct gr_content *x = gr_map_get(&s->contents, r->digest.b, sizeof(r->digest.b));

	if (x)
		return;
	GR_NEW(x);
	x->digest = r->digest;
	x->size = r->size;
	s->content_bytes += r->size;
	gr_map_put(&s->contents, x->digest.b, sizeof(x->digest.b), x);
}

static int add_record(struct gr_session *s, const struct gr_record *r, struct gr_slice bytes)
{
	const struct gr_coord *c = s->coord;
	struct gr_log_rec *e;

	if (s->n_recs >= GR_WIRE_MAX_RECORDS || s->client->log_bytes + bytes.n > (uint64_t)c->cfg.session_log_bytes) {
		gr_warn("session", "%016" PRIx64 ": its client's logs are over the limit: %u records, %" PRIu64 " bytes", s->id,
			s->n_recs, s->client->log_bytes);
		return GR_ELIMIT;
	}
	if (r->tag == GR_RECORD_FILE) {
		if (r->path >= s->n_recs || !s->recs[r->path].is_safe_path) {
			gr_warn("session", "%016" PRIx64 ": record %u names %s as a file's path", s->id, s->n_recs,
				r->path >= s->n_recs ? "no earlier record" : "what is not an absolute clean path");
			return r->path >= s->n_recs ? GR_EPROTO : GR_EPATH;
		}
		if (r->kind == GR_FILE_REG && r->size > GR_WIRE_MAX_BLOB_BYTES)
			return GR_ELIMIT;
	}
	GR_GROW(s->recs, s->cap_recs, s->n_recs + 1);
	e = &s->recs[s->n_recs++];
	*e = (struct gr_log_rec){
		.at = (uint32_t)s->log.n, .tag = (uint8_t)r->tag,
		.is_safe_path = r->tag == GR_RECORD_STR && gr_path_is_safe(r->str),
	};
	if (r->tag == GR_RECORD_FILE) {
		e->kind = (uint8_t)r->kind;
		if (r->kind == GR_FILE_REG) {
			e->size = r->size;
			add_content(s, r);
		}
	}
	gr_buf_add(&s->log, bytes.p, bytes.n);
	s->client->log_bytes += bytes.n;
	return 0;
}

static void reset(struct gr_session *s, uint32_t at)
{
	struct gr_client *cl = s->client;
	struct gr_coord *c = s->coord;
	struct gr_buf b = { 0 };

	gr_warn("session", "%016" PRIx64 ": client %s sent record %u again with other content; the session is closed", s->id,
		gr_peer_name(cl->peer), at);
	c->m.sessions_reset++;
	gr_session_encode(&b, GR_MSG_SESSION_CLOSE, s->id, 0);
	gr_session_free(&s);
	gr_peers_send(c, cl->peer, &b);
}

int gr_session_log(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	struct gr_log_msg m;
	struct gr_record r;
	struct gr_session *s;
	struct gr_rd rd;
	uint32_t i;
	int rc = gr_log_decode(body, &m);

	if (rc < 0)
		return rc;
	s = gr_session_of(c, cl, m.session);
	if (!s)
		return 0;       /* closed a moment ago */
	if (m.first > s->n_recs) {
		gr_warn("session", "%016" PRIx64 ": log goes on at record %u, has %u", s->id, m.first, s->n_recs);
		return GR_EPROTO;
	}
	rd = gr_rd_init(m.bytes);
	for (i = m.first;; i++) {
		const uint8_t *from = rd.p;
		struct gr_slice bytes;

		rc = gr_record_next(&rd, &r);
		if (rc <= 0)
			break;
		bytes = gr_slice(from, (size_t)(rd.p - from));
		if (i >= s->n_recs) {
			rc = add_record(s, &r, bytes);
			if (rc < 0)
				break;
			c->m.log_records++;
		} else if (!gr_slice_eq(bytes, rec_bytes(s, i))) {
			reset(s, i);
			return 0;
		}
	}
	if (rc >= 0)
		gr_place_owner_bytes(c->place, s->owner, s->content_bytes);
	return rc;
}

/* ---- on workers ---- */

static int open_seat(struct gr_seat *seat)
{
	struct gr_session *s = seat->session;
	struct gr_buf b = { 0 };
	char hex[17];
	json_t *j;
	int rc;

	snprintf(hex, sizeof(hex), "%016" PRIx64, s->id);
	j = json_pack("{s:s}", "session", hex);
	gr_json_encode(&b, GR_MSG_SESSION_OPEN, j);
	json_decref(j);
	rc = gr_peers_send(s->coord, seat->worker->peer, &b);
	seat->is_open = rc >= 0;
	seat->n_asked += rc >= 0;
	return rc;
}

static struct gr_seat *seat_new(struct gr_session *s, struct gr_worker *w)
{
	struct gr_seat *seat;

	GR_NEW(seat);
	seat->session = s;
	seat->worker = w;
	gr_list_push(&s->seats, &seat->link);
	gr_map_put(&w->seats, &s->id, sizeof(s->id), seat);
	return seat;
}

void gr_seat_adopt(struct gr_session *s, struct gr_worker *w, uint32_t n_records)
{
	struct gr_seat *seat;

	if (gr_map_get(&w->seats, &s->id, sizeof(s->id)))
		return;
	seat = seat_new(s, w);
	seat->is_open = true;
	seat->n_sent = n_records;
}

int gr_seat_feed(struct gr_session *s, struct gr_worker *w, struct gr_seat **out)
{
	struct gr_seat *seat = gr_map_get(&w->seats, &s->id, sizeof(s->id));
	int rc = 0;

	if (!seat)
		seat = seat_new(s, w);
	if (!seat->is_open)
		rc = open_seat(seat);
	while (rc >= 0 && seat->n_sent < s->n_recs) {
		struct gr_log_msg m = { .session = s->id, .first = seat->n_sent };
		size_t from = s->recs[seat->n_sent].at, to = from;
		uint32_t i = seat->n_sent;
		struct gr_buf b = { 0 };

		while (i < s->n_recs && i - seat->n_sent < LOG_FRAME_RECORDS && to - from < LOG_FRAME_BYTES) {
			i++;
			to = i < s->n_recs ? s->recs[i].at : s->log.n;
		}
		m.n = i - seat->n_sent;
		m.bytes = gr_slice(s->log.p + from, to - from);
		gr_log_encode(&b, &m);
		rc = gr_peers_send(s->coord, w->peer, &b);
		if (rc >= 0)
			seat->n_sent = i;
	}
	if (rc < 0)
		return rc;
	*out = seat;
	return 0;
}

void gr_seat_free(struct gr_seat *seat)
{
	gr_list_del(&seat->link);
	gr_map_del(&seat->worker->seats, &seat->session->id, sizeof(seat->session->id));
	free(seat);
}

/* ---- ending ---- */

void gr_session_detach(struct gr_session *s, uint64_t now_ns)
{
	struct gr_client *cl = s->client;

	for (int state = GR_TASK_NEW; state <= GR_TASK_RUNNING; state++)
		while (!gr_list_is_empty(&s->job.lists[state]))
			gr_dispatch_drop(GR_CONTAINER(s->job.lists[state].next, struct gr_ctask, t.link));
	GR_LIST_EACH(t, &s->job.lists[GR_TASK_ENDED], struct gr_ctask, t.link) {
		cl->n_tasks--;
		cl->result_bytes -= t->result.n;
	}
	gr_blobs_session_gone(s);
	gr_list_del(&s->link);
	cl->n_sessions--;
	cl->log_bytes -= s->log.n;
	s->client = NULL;
	s->gone_ns = now_ns;
}

static void free_contents(struct gr_session *s)
{
	struct gr_content *x;
	size_t i = 0;

	while ((x = gr_map_each(&s->contents, &i)))
		free(x);
	gr_map_fini(&s->contents);
}

void gr_session_free(struct gr_session **ps)
{
	struct gr_session *s = *ps;
	struct gr_coord *c = s->coord;

	if (s->client)
		gr_session_detach(s, 0);
	while (!gr_list_is_empty(&s->job.lists[GR_TASK_ENDED]))
		gr_dispatch_free(GR_CONTAINER(s->job.lists[GR_TASK_ENDED].next, struct gr_ctask, t.link));
	gr_job_fini(&s->job);
	while (!gr_list_is_empty(&s->seats)) {
		struct gr_seat *seat = GR_CONTAINER(s->seats.next, struct gr_seat, link);
		struct gr_buf b = { 0 };

		if (seat->is_open && !c->is_ending) {
			gr_session_encode(&b, GR_MSG_SESSION_CLOSE, s->id, 0);
			gr_peers_send(c, seat->worker->peer, &b);
		}
		gr_seat_free(seat);
	}
	gr_place_owner_remove(c->place, s->owner);
	gr_map_del(&c->sessions, &s->id, sizeof(s->id));
	free_contents(s);
	gr_map_fini(&s->tasks);
	gr_buf_fini(&s->log);
	free(s->recs);
	free(s);
	*ps = NULL;
}

int gr_session_close_msg(struct gr_coord *c, struct gr_client *cl, struct gr_slice body)
{
	struct gr_session *s;
	uint64_t id;
	uint32_t n;
	int rc = gr_session_decode(body, &id, &n);

	if (rc < 0)
		return rc;
	s = gr_session_of(c, cl, id);
	if (s)
		gr_session_free(&s);
	return 0;
}

/* Memory of those who are away is bounded too: the one that left first goes first. */
static bool is_crowded(const struct gr_coord *c, struct gr_session **oldest)
{
	uint64_t bytes = 0;
	uint32_t n = 0;
	struct gr_session *s;
	size_t i = 0;

	*oldest = NULL;
	while ((s = gr_map_each(&c->sessions, &i))) {
		if (s->client)
			continue;
		n++;
		bytes += s->log.n;
		GR_LIST_EACH(t, &s->job.lists[GR_TASK_ENDED], struct gr_ctask, t.link)
			bytes += t->result.n;
		if (!*oldest || s->gone_ns < (*oldest)->gone_ns)
			*oldest = s;
	}
	return n > MAX_LINGERING || bytes > MAX_LINGERING_BYTES;
}

void gr_session_expire(struct gr_coord *c, uint64_t now_ns)
{
	struct gr_session *s;
	size_t i = 0;

	while ((s = gr_map_each(&c->sessions, &i))) {
		if (s->client || now_ns - s->gone_ns < (uint64_t)c->cfg.session_linger_ms * GR_NS_PER_MS)
			continue;
		gr_info("session", "%016" PRIx64 ": its client %s did not come back", s->id, s->client_name);
		gr_session_free(&s);
		i = 0;          /* the table moved */
	}
	while (is_crowded(c, &s))
		gr_session_free(&s);
}
