/**
 * session - interning of strings and file facts, and the log they make
 *
 * Three maps: bytes -> string id; path -> newest fact; digest -> the path that had it last. Records are encoded once,
 * when made, into one growing buffer; the offset of each record is kept so that a resend may begin anywhere. For Linux
 * 6.1 tinyconfig the whole log is about 160 KB.
 */
#include <stdlib.h>
#include <string.h>
#include "client/agent/session.h"
#include "lib/base/alloc.h"
#include "lib/base/map.h"
#include "lib/base/path.h"

#define LOG_FRAME_BYTES (256u << 10)
#define LOG_FRAME_RECORDS 16384u

struct str {
	uint32_t id;
	uint32_t n;
	char bytes[];
};
struct fact {
	uint32_t path;          /* string id */
	uint32_t record;
	enum gr_file_kind kind;
	bool is_exec;
	uint64_t size;
	struct gr_digest digest;
	uint32_t target;        /* LINK: string id of the target, for comparing only */
	struct str *name;       /* borrowed from the strings */
};
struct content {
	struct gr_digest digest;
	struct str *name;
};
struct gr_session {
	uint64_t id, last_task;
	struct gr_map strs, facts, contents;
	struct gr_buf log;
	size_t *at;             /* at[i]: where record i begins */
	size_t cap_at;
	uint32_t n, n_sent;
};

struct gr_session *gr_session_new(struct gr_rng *rng)
{
	struct gr_session *s = GR_NEW(s);

	s->id = gr_rng_u64(rng);
	s->strs.seed = gr_rng_u64(rng);
	s->facts.seed = s->contents.seed = s->strs.seed;
	return s;
}

static void free_values(struct gr_map *m)
{
	size_t i = 0;
	void *v;

	while ((v = gr_map_each(m, &i)))
		free(v);
	gr_map_fini(m);
}

void gr_session_free(struct gr_session **s)
{
	if (!*s)
		return;
	free_values(&(*s)->facts);
	free_values(&(*s)->contents);
	free_values(&(*s)->strs);
	gr_buf_fini(&(*s)->log);
	free((*s)->at);
	free(*s);
	*s = NULL;
}

uint64_t gr_session_id(const struct gr_session *s) { return s->id; }
uint32_t gr_session_n_records(const struct gr_session *s) { return s->n; }
uint64_t gr_session_next_task(struct gr_session *s) { return ++s->last_task; }

bool gr_session_is_full(const struct gr_session *s)
{
	return s->n > GR_WIRE_MAX_RECORDS - GR_WIRE_MAX_INPUTS - 2 * GR_WIRE_MAX_ARGS || s->log.n > GR_WIRE_MAX_LOG_BYTES / 2;
}

static uint32_t add_record(struct gr_session *s, const struct gr_record *r)
{
	GR_GROW(s->at, s->cap_at, s->n + 1);
	s->at[s->n] = s->log.n;
	gr_record_encode(&s->log, r);
	return s->n++;
}

static struct str *intern(struct gr_session *s, struct gr_slice bytes)
{
	struct gr_record r = { .tag = GR_RECORD_STR, .str = bytes };
	struct str *x;

	if (bytes.n > GR_WIRE_MAX_STR_BYTES)
		return NULL;
	x = gr_map_get(&s->strs, bytes.p, bytes.n);
	if (x)
		return x;
	x = gr_xalloc(sizeof(*x) + bytes.n + 1);
	x->n = (uint32_t)bytes.n;
	if (bytes.n)
		memcpy(x->bytes, bytes.p, bytes.n);
	x->id = add_record(s, &r);
	gr_map_put(&s->strs, x->bytes, x->n, x);
	return x;
}

uint32_t gr_session_str(struct gr_session *s, struct gr_slice str)
{
	struct str *x = intern(s, str);

	return x ? x->id : GR_SESSION_NO_ID;
}

static void remember_content(struct gr_session *s, const struct gr_digest *d, struct str *name)
{
	struct content *c = gr_map_get(&s->contents, d->b, sizeof(d->b));

	if (!c) {
		GR_NEW(c);
		c->digest = *d;
		gr_map_put(&s->contents, c->digest.b, sizeof(c->digest.b), c);
	}
	c->name = name;
}

static bool says_the_same(const struct fact *x, const struct gr_fact *f, uint32_t target)
{
	if (x->kind != f->kind)
		return false;
	if (f->kind == GR_FILE_REG)
		return x->is_exec == f->is_exec && x->size == f->size && gr_digest_eq(&x->digest, &f->digest);
	return f->kind != GR_FILE_LINK || x->target == target;
}

uint32_t gr_session_fact(struct gr_session *s, const struct gr_fact *f)
{
	struct fact *x = gr_map_get(&s->facts, f->path.p, f->path.n);
	struct gr_record r = { .tag = GR_RECORD_FILE, .kind = f->kind };
	uint32_t target = 0;

	if (f->kind == GR_FILE_LINK) {
		target = gr_session_str(s, f->target);
		if (target == GR_SESSION_NO_ID)
			return target;
	}
	if (x && says_the_same(x, f, target))
		return x->record;
	if (!x) {
		struct str *name;

		if (!gr_path_is_safe(f->path))
			return GR_SESSION_NO_ID;
		name = intern(s, f->path);
		GR_NEW(x);
		x->name = name;
		x->path = name->id;
		gr_map_put(&s->facts, name->bytes, name->n, x);
	}
	x->kind = f->kind;
	x->is_exec = f->is_exec;
	x->size = f->size;
	x->digest = f->digest;
	x->target = target;
	r.path = x->path;
	if (f->kind == GR_FILE_REG) {
		r.is_exec = f->is_exec;
		r.size = f->size;
		r.digest = f->digest;
		remember_content(s, &f->digest, x->name);
	} else if (f->kind == GR_FILE_LINK) {
		r.str = f->target;
	}
	x->record = add_record(s, &r);
	return x->record;
}

bool gr_session_knows(const struct gr_session *s, struct gr_slice path)
{
	return gr_map_get(&s->facts, path.p, path.n) != NULL;
}

struct gr_slice gr_session_path_of(const struct gr_session *s, const struct gr_digest *d)
{
	const struct content *c = gr_map_get(&s->contents, d->b, sizeof(d->b));

	return c ? gr_slice(c->name->bytes, c->name->n) : gr_slice(NULL, 0);
}

bool gr_session_rewind(struct gr_session *s, uint32_t n_records)
{
	if (n_records > s->n)
		return false;
	s->n_sent = n_records;
	return true;
}

int gr_session_flush(struct gr_session *s, int (*send)(void *ctx, struct gr_buf *frame), void *ctx)
{
	while (s->n_sent < s->n) {
		struct gr_buf frame = { 0 };
		struct gr_log_msg m = { .session = s->id, .first = s->n_sent };
		size_t from = s->at[s->n_sent], to = from;
		uint32_t i = s->n_sent;
		int rc;

		while (i < s->n && i - s->n_sent < LOG_FRAME_RECORDS && (to == from || to - from < LOG_FRAME_BYTES)) {
			i++;
			to = i < s->n ? s->at[i] : s->log.n;
		}
		m.n = i - s->n_sent;
		m.bytes = gr_slice(s->log.p + from, to - from);
		gr_log_encode(&frame, &m);
		rc = send(ctx, &frame);
		gr_buf_fini(&frame);
		if (rc < 0)
			return rc;
		s->n_sent = i;
	}
	return 0;
}
