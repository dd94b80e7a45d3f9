/* pack.c - attempts that have done their tasks, many in one row; see store_int.h
 *
 * data: a byte of the format's number; varints of the attempt number and the time that the others are told by; a varint
 * and as many workers, each its name and its node's (varint length, the text and a NUL) and both identities (8 bytes each);
 * the entries in the order they came; 8 bytes of a hash over all before them, whose seed is the row's key. An entry: its task
 * in the bucket, the length of what follows, attempt, ordinal, which worker, start, end, and the rest as gr_pack__add writes
 * it, all varints, what may be negative folded. The length is there to be passed over: who looks at one task reads two numbers of each of
 * the others, once. SQLite checks no row's bytes; here one that is wrong would make another attempt of it, hence the hash.
 */
#include <string.h>

#include "coordinator/store/store_int.h"
#include "lib/base/alloc.h"
#include "lib/base/map.h"
#include "lib/job/batch.h"
#include "lib/wire/codec.h"

#define FORMAT 1u
#define N_NUMBERS 13u                      /* of an entry behind its length, without the streams */
#define HASH_BYTES 8u

_Static_assert(GR_PACK_TASKS && !(GR_PACK_TASKS & (GR_PACK_TASKS - 1)), "a power of two");

static uint64_t fold(int64_t v) { return (uint64_t)v << 1 ^ (uint64_t)(v >> 63); }
static int64_t unfold(uint64_t v) { return (int64_t)(v >> 1 ^ -(v & 1)); }
static uint64_t hash_of(int64_t job, int64_t first, const void *p, size_t n) { return gr_hash64(p, n, (uint64_t)job << 24 ^ (uint64_t)first); }

/* ---- writing ---- */

void gr_pack__begin(struct gr_pack *p, int64_t job)
{
	p->job = job;
	p->n = p->n_workers = 0;
	gr_buf_clear(&p->workers);
	gr_buf_clear(&p->entries);
	memset(p->seen, 0, sizeof(p->seen));
}

bool gr_pack__takes(const struct gr_pack *p, int64_t job, int64_t task)
{
	return p->n && p->job == job && GR_PACK_BUCKET(p->first) == GR_PACK_BUCKET(task);
}

static uint32_t worker_of(struct gr_pack *p, const struct gr_store_attempt_row *r)
{
	struct gr_pack_worker *w = &p->seen[r->worker_id % GR_LEN(p->seen)];
	uint32_t n_name = (uint32_t)strlen(r->worker), n_node = (uint32_t)strlen(r->node);

	if (w->name && w->id == r->worker_id && w->node_id == r->node_id && w->n_name == n_name && w->n_node == n_node &&
	    !memcmp(w->name, r->worker, n_name) && !memcmp(w->node, r->node, n_node))
		return w->index;
	*w = (struct gr_pack_worker){ r->worker_id, r->node_id, r->worker, r->node, n_name, n_node, p->n_workers++ };
	gr_wr_bytes(&p->workers, gr_slice(r->worker, n_name + 1));
	gr_wr_bytes(&p->workers, gr_slice(r->node, n_node + 1));
	gr_wr_u64(&p->workers, r->worker_id);
	gr_wr_u64(&p->workers, r->node_id);
	return w->index;
}

static uint8_t *put_stream(uint8_t *at, struct gr_slice s)
{
	at = gr_put_varint(at, s.n);
	if (s.n)
		memcpy(at, s.p, s.n);
	return at + s.n;
}

void gr_pack__add(struct gr_pack *p, const struct gr_store_attempt_row *r)
{
	uint8_t rest[(N_NUMBERS + 2) * GR_WR_VARINT_MAX + GR_STORE_DONE_BYTES], *at = rest, *to;

	if (!p->n++) {
		p->first = p->last = r->task;
		p->base_attempt = r->attempt;
		p->base_ms = r->start_ms;
	}
	p->first = r->task < p->first ? r->task : p->first;
	p->last = r->task > p->last ? r->task : p->last;
	at = gr_put_varint(at, fold(r->attempt - p->base_attempt));
	at = gr_put_varint(at, (uint64_t)r->ordinal);
	at = gr_put_varint(at, worker_of(p, r));
	at = gr_put_varint(at, fold(r->start_ms - p->base_ms));
	at = gr_put_varint(at, fold(r->end_ms - r->start_ms));
	at = gr_put_varint(at, (uint64_t)r->cpu_us);
	at = gr_put_varint(at, (uint64_t)r->wall_us);
	at = gr_put_varint(at, (uint64_t)r->max_rss);
	at = gr_put_varint(at, (uint64_t)r->wait_us);
	at = gr_put_varint(at, (uint64_t)r->in_bytes);
	at = gr_put_varint(at, (uint64_t)r->flags);
	at = gr_put_varint(at, (uint64_t)r->out_size);
	at = gr_put_varint(at, (uint64_t)r->err_size);
	at = put_stream(at, r->out_data);
	at = put_stream(at, r->err_data);
	gr_buf_reserve(&p->entries, 2 * GR_WR_VARINT_MAX + sizeof(rest));
	to = p->entries.p + p->entries.n;
	to = gr_put_varint(to, (uint64_t)(r->task - GR_PACK_BUCKET(r->task)));
	to = gr_put_varint(to, (uint64_t)(at - rest));
	memcpy(to, rest, (size_t)(at - rest));
	p->entries.n = (size_t)(to + (at - rest) - p->entries.p);
}

struct gr_slice gr_pack__end(struct gr_pack *p)
{
	gr_buf_clear(&p->data);
	gr_wr_u8(&p->data, FORMAT);
	gr_wr_varint(&p->data, (uint64_t)p->base_attempt);
	gr_wr_varint(&p->data, (uint64_t)p->base_ms);
	gr_wr_varint(&p->data, p->n_workers);
	gr_buf_add(&p->data, p->workers.p, p->workers.n);
	gr_buf_add(&p->data, p->entries.p, p->entries.n);
	gr_wr_u64(&p->data, hash_of(p->job, p->first, p->data.p, p->data.n));
	p->n = 0;
	return gr_buf_slice(&p->data);
}

void gr_pack__fini(struct gr_pack *p)
{
	gr_buf_fini(&p->workers);
	gr_buf_fini(&p->entries);
	gr_buf_fini(&p->data);
}

/* ---- reading ---- */

/* A text with its NUL. */
static const char *rd_text(struct gr_rd *r)
{
	struct gr_slice s = gr_rd_bytes(r, gr_rd_left(r));

	return s.n && !s.p[s.n - 1] ? (const char *)s.p : "";
}

/* Where each entry's attempt is. */
static int read_places(struct gr_pack_read *p, struct gr_rd *r)
{
	memset(p->at, 0, sizeof(p->at));
	while (gr_rd_left(r)) {
		uint64_t task = gr_rd_varint(r, GR_PACK_TASKS - 1);
		struct gr_slice own = gr_rd_bytes(r, gr_rd_left(r));

		if (r->rc < 0 || p->at[task])
			return GR_ECORRUPT;
		p->at[task] = (uint32_t)(own.p - p->data.p);
		p->n[task] = (uint32_t)own.n;
	}
	return r->rc < 0 ? GR_ECORRUPT : 0;
}

int gr_pack__open(struct gr_pack_read *p, int64_t job, int64_t first, struct gr_slice data)
{
	struct gr_rd r;

	if (data.n <= HASH_BYTES)
		return GR_ECORRUPT;
	data.n -= HASH_BYTES;
	r = gr_rd_init(gr_slice(data.p + data.n, HASH_BYTES));
	if (gr_rd_u64(&r) != hash_of(job, first, data.p, data.n) || data.p[0] != FORMAT)
		return GR_ECORRUPT;
	p->job = job;
	p->bucket = GR_PACK_BUCKET(first);
	p->data = data;
	r = gr_rd_init(gr_slice(data.p + 1, data.n - 1));
	p->base_attempt = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	p->base_ms = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	p->n_workers = gr_rd_varint(&r, GR_PACK_TASKS);
	for (uint64_t i = 0; i < p->n_workers; i++) {
		p->workers[i].name = rd_text(&r);
		p->workers[i].node = rd_text(&r);
		p->workers[i].id = gr_rd_u64(&r);
		p->workers[i].node_id = gr_rd_u64(&r);
	}
	return read_places(p, &r);
}

int gr_pack__row(const struct gr_pack_read *p, int64_t task, struct gr_store_attempt_row *out)
{
	uint32_t nth = (uint32_t)(task - p->bucket);
	struct gr_rd r;
	uint64_t which;

	if (task < p->bucket || task >= p->bucket + GR_PACK_TASKS || !p->at[nth])
		return 0;
	r = gr_rd_init(gr_slice(p->data.p + p->at[nth], p->n[nth]));
	*out = (struct gr_store_attempt_row){ .task = task, .cause = GR_BC_DONE };
	out->attempt = p->base_attempt + unfold(gr_rd_varint(&r, UINT64_MAX));
	out->ordinal = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	which = gr_rd_varint(&r, UINT64_MAX);
	out->start_ms = p->base_ms + unfold(gr_rd_varint(&r, UINT64_MAX));
	out->end_ms = out->start_ms + unfold(gr_rd_varint(&r, UINT64_MAX));
	out->cpu_us = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	out->wall_us = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	out->max_rss = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	out->wait_us = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	out->in_bytes = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	out->flags = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	out->out_size = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	out->err_size = (int64_t)gr_rd_varint(&r, UINT64_MAX);
	out->out_data = gr_rd_bytes(&r, gr_rd_left(&r));
	out->err_data = gr_rd_bytes(&r, gr_rd_left(&r));
	if (gr_rd_end(&r) < 0 || which >= p->n_workers)
		return GR_ECORRUPT;
	out->worker = p->workers[which].name;
	out->node = p->workers[which].node;
	out->worker_id = p->workers[which].id;
	out->node_id = p->workers[which].node_id;
	return 1;
}

int gr_pack__each(int64_t job, int64_t first, struct gr_slice data, gr_pack_fn *fn, void *ctx)
{
	struct gr_store_attempt_row row;
	struct gr_pack_read p;
	int rc = gr_pack__open(&p, job, first, data);

	for (int64_t i = 0; i < GR_PACK_TASKS && rc >= 0; i++) {
		rc = gr_pack__row(&p, p.bucket + i, &row);
		if (rc > 0)
			rc = fn(ctx, &row);
	}
	return rc < 0 ? rc : 0;
}

int gr_pack__each_of(sqlite3_stmt *st, int i_job, int i_first, int i_data, gr_pack_fn *fn, void *ctx)
{
	const void *p = sqlite3_column_blob(st, i_data);

	return gr_pack__each(sqlite3_column_int64(st, i_job), sqlite3_column_int64(st, i_first), gr_slice(p, p ? (size_t)sqlite3_column_bytes(st, i_data) : 0),
			     fn, ctx);
}
