/*
 * session.c - a session's log as a table, its paths, its sandbox server
 *
 * Records are never moved once read: strings lie in chunks, paths are interned once a record arrives, so that a task
 * with a thousand inputs costs a thousand comparisons and no hashing. What a client got wrong poisons its own session
 * (its tasks are refused with the reason) and nothing else; the coordinator's connection is never dropped for it.
 */
#include "worker/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/path.h"

#define CHUNK_BYTES (256u << 10)
#define MAX_SANDBOX_FAILURES 5
#define DOUBT_NS (30 * GR_NS_PER_S)

struct gr_wsession *gr_session_find(struct gr_worker *w, uint64_t id)
{
	return gr_map_get(&w->sessions, &id, sizeof(id));
}

struct gr_wsession *gr_session_get(struct gr_worker *w, uint64_t id)
{
	struct gr_wsession *s = gr_session_find(w, id);

	if (s)
		return s;
	if (w->n_sessions >= GR_WORKER_MAX_SESSIONS)
		return NULL;
	GR_NEW(s);
	s->w = w;
	s->id = id;
	s->rootfd = s->sb_fd = s->last.fd = -1;
	s->paths.seed = gr_rng_u64(gr_loop_rng(w->loop));
	s->last_used_ns = gr_loop_now_ns(w->loop);
	gr_list_init(&s->link);
	gr_list_push(&w->session_list, &s->link);
	gr_map_put(&w->sessions, &s->id, sizeof(s->id), s);
	w->n_sessions++;
	return s;
}

static char *keep(struct gr_wsession *s, struct gr_slice str)
{
	size_t need = str.n + 1;
	char *p;

	if (s->arena.used + need > s->arena.size) {
		s->arena.size = need > CHUNK_BYTES ? need : CHUNK_BYTES;
		p = gr_tryalloc(s->arena.size);
		if (!p)
			return NULL;
		GR_GROW(s->arena.chunks, s->arena.cap, s->arena.n + 1);
		s->arena.chunks[s->arena.n++] = p;
		s->arena.used = 0;
	}
	p = s->arena.chunks[s->arena.n - 1] + s->arena.used;
	s->arena.used += need;
	if (str.n)
		memcpy(p, str.p, str.n);
	p[str.n] = 0;
	s->log_bytes += need;
	s->w->log_bytes += need;
	return p;
}

static void poison(struct gr_wsession *s, const char *why)
{
	if (s->poison[0])
		return;
	snprintf(s->poison, sizeof(s->poison), "session %016" PRIx64 ": %s", s->id, why);
	gr_warn("session", "%s", s->poison);
}

struct gr_path *gr_session_path(struct gr_wsession *s, const char *name, uint32_t n)
{
	static const char mine[] = GR_SANDBOX_PRIVATE;
	struct gr_path *p = gr_map_get(&s->paths, name, n);

	if (p)
		return p;
	if (!gr_path_is_safe(gr_slice(name, n)) || gr_path_is_below(gr_slice(name, n), gr_slice(mine, sizeof(mine) - 1)))
		return NULL;
	GR_NEW(p);
	p->name = name;
	p->n_name = n;
	gr_map_put(&s->paths, p->name, p->n_name, p);
	s->log_bytes += sizeof(*p);
	s->w->log_bytes += sizeof(*p);
	return p;
}

static bool add_file(struct gr_wsession *s, const struct gr_record *r, struct gr_srecord *out)
{
	const struct gr_srecord *name = r->path < s->n_records ? &s->records[r->path] : NULL;

	if (!name || name->tag != GR_RECORD_STR) {
		poison(s, "a file record names a path that is not there");
		return false;
	}
	out->kind = r->kind;
	out->is_exec = r->is_exec;
	out->file.path = gr_session_path(s, name->str.p, name->str.n);
	out->file.size = r->size;
	if (!out->file.path) {
		poison(s, "a path that is not allowed");
		return false;
	}
	if (r->kind == GR_FILE_REG) {
		out->file.digest = r->digest;
		if (r->size > GR_WIRE_MAX_BLOB_BYTES)
			poison(s, "a file beyond the size limit");
	} else if (r->kind == GR_FILE_LINK) {
		out->file.target = keep(s, r->str);
		if (!out->file.target || r->str.n == 0 || r->str.n > 4095 || memchr(r->str.p, 0, r->str.n))
			poison(s, "a symlink with a target that is not allowed");
	}
	return !s->poison[0];
}

int gr_session_add(struct gr_wsession *s, const struct gr_log_msg *m)
{
	struct gr_rd rd = gr_rd_init(m->bytes);
	struct gr_record r;
	uint32_t i = m->first;

	if (m->first > s->n_records)
		return GR_ESTATE;
	while (gr_record_next(&rd, &r) > 0) {
		struct gr_srecord *out;

		if (i++ < s->n_records)
			continue;   /* sent again after a reconnect */
		if (s->n_records >= GR_WIRE_MAX_RECORDS || s->log_bytes > GR_WIRE_MAX_LOG_BYTES ||
		    s->w->log_bytes > GR_WORKER_MAX_LOG_BYTES)
			poison(s, "its log is over the limit");
		GR_GROW(s->records, s->cap_records, s->n_records + 1);
		out = &s->records[s->n_records];
		memset(out, 0, sizeof(*out));
		/* a poisoned session still counts its records, so that the sender's cursor stays right */
		if (!s->poison[0] && r.tag == GR_RECORD_STR) {
			out->str.p = keep(s, r.str);
			out->str.n = (uint32_t)r.str.n;
			out->tag = out->str.p && !memchr(r.str.p ? (const void *)r.str.p : "", 0, r.str.n) ? GR_RECORD_STR : 0;
		} else if (!s->poison[0] && add_file(s, &r, out)) {
			out->tag = GR_RECORD_FILE;
		}
		s->n_records++;
		if (s->n_records >= GR_WIRE_MAX_RECORDS + 1)
			break;
	}
	gr_task_records_grew(s);
	return 0;
}

const char *gr_session_str(const struct gr_wsession *s, uint32_t id)
{
	return id < s->n_records && s->records[id].tag == GR_RECORD_STR ? s->records[id].str.p : NULL;
}

const struct gr_srecord *gr_session_file(const struct gr_wsession *s, uint32_t id)
{
	return id < s->n_records && s->records[id].tag == GR_RECORD_FILE ? &s->records[id] : NULL;
}

/* ---- the sandbox ---- */

static void poll_closed(uv_handle_t *h)
{
	free(h);
}

static void close_sandbox(struct gr_wsession *s)
{
	if (s->sb_poll) {
		uv_poll_stop(s->sb_poll);
		uv_close((uv_handle_t *)s->sb_poll, poll_closed);
		s->sb_poll = NULL;
	}
	if (s->sb_fd >= 0)
		close(s->sb_fd);
	s->sb_fd = -1;
	s->sb_state = GR_SB_CLOSED;
}

static void on_sandbox(uv_poll_t *h, int status, int events)
{
	struct gr_wsession *s = h->data;
	struct gr_worker *w = s->w;
	struct gr_sandbox_event ev;
	char why[600] = "the session's sandbox server is gone";
	int rc;

	while ((rc = gr_sandbox_next(s->sb_fd, &ev)) > 0) {
		if (ev.kind == GR_SANDBOX_READY) {
			s->sb_state = GR_SB_READY;
			s->n_failures = 0;
		} else if (ev.kind == GR_SANDBOX_EXIT) {
			gr_task_exited(s, &ev);
		} else {
			snprintf(why, sizeof(why), "sandbox: %s", ev.text);
		}
	}
	if (rc < 0) {
		gr_warn("session", "%016" PRIx64 ": %s", s->id, why);
		s->n_failures++;
		close_sandbox(s);
		gr_task_server_gone(s, why);
	}
	gr_worker_pump(w);
}

int gr_session_sandbox(struct gr_wsession *s, struct gr_err *err)
{
	struct gr_worker *w = s->w;
	struct gr_sandbox_spec spec = {
		.tier = w->tier, .has_userns = w->has_userns, .rootfd = s->rootfd, .cachefd = w->start.copies_fd,
		.uid = w->start.uid, .gid = w->start.gid, .tmp_bytes = (uint64_t)w->cfg->tmp_bytes,
		.shown = w->tools.shown, .n_shown = w->tools.n_shown,
	};
	char root[4352];

	if (s->sb_state == GR_SB_READY)
		return 1;
	if (s->sb_state == GR_SB_OPENING)
		return 0;
	if (s->n_failures > MAX_SANDBOX_FAILURES)
		return gr_err_set(err, GR_ESANDBOX, "the sandbox failed %u times in a row", s->n_failures);
	if (w->tier == GR_TIER_LANDLOCK) {
		snprintf(root, sizeof(root), "%s/%s/root", w->start.state_path, s->dir);
		spec.root_path = root;
	}
	s->sb_fd = gr_sandbox_open(w->start.spawner_fd, &spec, err);
	if (s->sb_fd < 0)
		return s->sb_fd;
	GR_NEW(s->sb_poll);
	s->sb_poll->data = s;
	uv_poll_init(gr_loop_uv(w->loop), s->sb_poll, s->sb_fd);
	uv_poll_start(s->sb_poll, UV_READABLE | UV_DISCONNECT, on_sandbox);
	s->sb_state = GR_SB_OPENING;
	return 0;
}

/* ---- ends ---- */

struct removal {
	uv_work_t req;
	char dir[96];
};

static void remove_work(uv_work_t *req)
{
	gr_rm_rf(GR_CONTAINER(req, struct removal, req)->dir);
}

static void remove_done(uv_work_t *req, int status)
{
	free(GR_CONTAINER(req, struct removal, req));
}

/* Ten thousand files take a while: a thread does it. */
static void remove_tree(struct gr_wsession *s)
{
	struct removal *r;

	if (s->rootfd < 0)
		return;
	gr_tree_forget_folder(s);
	close(s->rootfd);
	s->rootfd = -1;
	s->w->tree_bytes -= s->tree_bytes;
	s->tree_bytes = 0;
	GR_NEW(r);
	snprintf(r->dir, sizeof(r->dir), "%s", s->dir);
	if (uv_queue_work(gr_loop_uv(s->w->loop), &r->req, remove_work, remove_done) < 0) {
		remove_work(&r->req);
		free(r);
	}
}

void gr_session_reset_tree(struct gr_wsession *s)
{
	struct gr_path *p;
	size_t i = 0;

	close_sandbox(s);
	remove_tree(s);
	while ((p = gr_map_each(&s->paths, &i))) {
		p->is_clean = p->may_exist = p->was_link = false;
		p->size = 0;
	}
}

void gr_session_close(struct gr_wsession **sp)
{
	struct gr_wsession *s = *sp;
	struct gr_worker *w = s->w;
	struct gr_path *p;
	size_t i = 0;

	close_sandbox(s);
	remove_tree(s);
	while ((p = gr_map_each(&s->paths, &i)))
		free(p);
	gr_map_fini(&s->paths);
	for (uint32_t c = 0; c < s->arena.n; c++)
		free(s->arena.chunks[c]);
	free(s->arena.chunks);
	free(s->records);
	w->log_bytes -= s->log_bytes;
	gr_list_del(&s->link);
	gr_map_del(&w->sessions, &s->id, sizeof(s->id));
	w->n_sessions--;
	free(s);
	*sp = NULL;
}

/* The coordinator is told, so that it does not think we still have the records. */
static void forget_session(struct gr_worker *w, struct gr_wsession *s)
{
	struct gr_buf frame = { 0 };

	gr_session_encode(&frame, GR_MSG_SESSION_CLOSE, s->id, 0);
	if (gr_link_is_up(w->link) && gr_link_send(w->link, &frame) < 0)
		gr_debug("session", "the coordinator is not told of %016" PRIx64 ": it asks when it comes back", s->id);
	gr_buf_fini(&frame);
	gr_session_close(&s);
}

void gr_session_doubt(struct gr_worker *w)
{
	GR_LIST_EACH_SAFE(s, &w->session_list, struct gr_wsession, link)
		s->doubtful_ns = gr_loop_now_ns(w->loop);
}

void gr_session_tick(struct gr_worker *w)
{
	uint64_t now_ns = gr_loop_now_ns(w->loop), idle_ns = (uint64_t)w->cfg->session_idle_ms * GR_NS_PER_MS;

	GR_LIST_EACH_SAFE(s, &w->session_list, struct gr_wsession, link) {
		uint64_t unused_ns = now_ns - s->last_used_ns;
		bool is_over = s->doubtful_ns && now_ns - s->doubtful_ns > DOUBT_NS && unused_ns > DOUBT_NS;

		if (!s->n_tasks && (s->is_closed || unused_ns > idle_ns || is_over))
			forget_session(w, s);
	}
	GR_LIST_EACH_SAFE(s, &w->session_list, struct gr_wsession, link) {
		if (w->tree_bytes <= (uint64_t)w->cfg->tree_bytes)
			break;
		if (!s->n_tasks && s->rootfd >= 0)
			gr_session_reset_tree(s);
	}
}
