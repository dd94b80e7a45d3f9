/* store.c - the loop's side of the store: what is gathered for the writer (writer.c), what it has done is told; see store.h
 *
 * A transaction is one buffer: statement numbers and parameters, copied in when they are added, so that the thread never
 * looks at anything of the loop's. The list that waits is taken whole; its transactions share one BEGIN ... COMMIT.
 *
 * What is committed in one turn of the loop is handed over together, at once when the store was idle, else PACE_MS after
 * the last time (PACE_DONE_MS when there are only tasks that are done in it: their workers hold them so long): a commit costs as
 * much CPU as dozens of rows, and where it takes half a millisecond a job of short commands made one for each. Rows whose
 * doing nobody waits for (no @done) wait LAZY_MS for company.
 */
#include "coordinator/store/store_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/net/aside.h"

#define PACE_MS 4u                        /* between two groups */
#define PACE_DONE_MS 8u                   /* when there is nothing in it but tasks that are done, for which nobody waits */
#define LAZY_MS 5u
#define MAX_SPARE 4096u
#define SPARE_BYTES 1024u                 /* of rows, in one that is kept */
#ifdef __SANITIZE_ADDRESS__
#define IS_KEPT false                     /* it shall see each use of what is over */
#else
#define IS_KEPT true
#endif
#define AGAIN_MS 500u                     /* after a sync that failed */

struct query {
	struct gr_list link;
	const char *sql;
	sqlite3_stmt *st;
};
struct gr_store {
	char path[4096];
	const struct gr_store_ops *ops;
	void *ctx;
	struct gr_loop *loop;
	sqlite3 *reader;
	struct gr_list queries;
	struct gr_packs_read packs_read;
	struct gr_list fresh;             /* committed, and not handed over */
	uint32_t n_fresh, n_fresh_rows;
	struct gr_list spare;             /* transactions that are over, with the room of their rows */
	uint32_t n_spare;
	struct gr_timer *hand_over;
	uint64_t handed_ns;               /* the last time */
	uint64_t due_ns;                  /* of the timer, 0 not running */
	bool has_files;                   /* written since then, or named, of an earlier life, before they were known to be on disk */
	char trouble[GR_WRITER_PROBLEM];  /* the writer's problem as it was told last */
	sqlite3 *db;                      /* opened and closed here, the writer's meanwhile */
	int dirfd;
	struct gr_writer *writer;
	struct gr_aside *early;           /* syncs what an earlier life wrote, once; NULL: no thread for it */
	atomic_bool is_early_synced;
};

/* ---- rows ---- */

struct gr_store_tx *gr_store_tx_new(struct gr_store *s)
{
	struct gr_list *l = gr_list_pop(&s->spare);
	struct gr_store_tx *tx;

	if (l) {
		s->n_spare--;
		return GR_CONTAINER(l, struct gr_store_tx, link);
	}
	GR_NEW(tx);
	gr_list_init(&tx->link);
	tx->store = s;
	return tx;
}

#define PARAM_BYTES 10u                   /* of one parameter: a number, or a text's or bytes' head and end */

static uint8_t *put(uint8_t *at, const void *p, size_t n)
{
	memcpy(at, p, n);
	return at + n;
}

/* Is it there, its length, its bytes. */
static uint8_t *put_bytes(struct gr_buf *b, uint8_t *at, const void *p, size_t n, size_t more)
{
	uint64_t v = n;

	*at++ = p != NULL;
	at = put(at, &v, sizeof(v));
	b->n = (size_t)(at - b->p);
	gr_buf_reserve(b, n + more);
	return p ? put(b->p + b->n, p, n) : b->p + b->n;
}

void gr_store_add(struct gr_store_tx *tx, enum gr_store_sql sql, ...)
{
	struct gr_buf *b = &tx->rows;
	uint8_t *at;
	va_list ap;

	size_t more = 1 + PARAM_BYTES * strlen(gr_store__sqls[sql].params);

	gr_buf_reserve(b, more);
	at = b->p + b->n;
	*at++ = (uint8_t)sql;
	va_start(ap, sql);
	for (const char *p = gr_store__sqls[sql].params; *p; p++) {
		if (*p == 'i') {
			int64_t v = va_arg(ap, int64_t);

			at = put(at, &v, sizeof(v));
		} else if (*p == 't') {
			const char *t = va_arg(ap, const char *);

			at = put_bytes(b, at, t, t ? strlen(t) : 0, more);
			*at++ = 0;
		} else {
			struct gr_slice v = va_arg(ap, struct gr_slice);

			if (v.p && v.n == GR_DIGEST_BYTES)
				gr_store_files_named(tx->store);
			at = put_bytes(b, at, v.p, v.p ? v.n : 0, more);
		}
	}
	va_end(ap);
	b->n = (size_t)(at - b->p);
	tx->n_rows++;
}

void gr_store_done(struct gr_store_tx *tx, int64_t job, const char *tenant, int64_t mem_mib_ms, const struct gr_store_attempt_row *row)
{
	struct gr_row_done d = { .job = job, .mem_mib_ms = mem_mib_ms, .n_worker = (uint32_t)strlen(row->worker) + 1,
				 .n_node = (uint32_t)strlen(row->node) + 1, .n_tenant = (uint32_t)strlen(tenant) + 1,
				 .n_out = (uint32_t)row->out_data.n, .n_err = (uint32_t)row->err_data.n };
	struct gr_buf *b = &tx->rows;
	uint8_t *at;

	memcpy(d.row, row, sizeof(d.row));
	gr_buf_reserve(b, 1 + sizeof(d) + d.n_worker + d.n_node + d.n_tenant + row->out_data.n + row->err_data.n);
	at = b->p + b->n;
	*at++ = GR_ROW_DONE;
	at = put(at, &d, sizeof(d));
	at = put(at, row->worker, d.n_worker);
	at = put(at, row->node, d.n_node);
	at = put(at, tenant, d.n_tenant);
	if (row->out_data.n)
		at = put(at, row->out_data.p, row->out_data.n);
	if (row->err_data.n)
		at = put(at, row->err_data.p, row->err_data.n);
	b->n = (size_t)(at - b->p);
	tx->n_rows++;
	tx->n_done++;
}

static void hand_over(struct gr_store *s)
{
	if (gr_list_is_empty(&s->fresh))
		return;
	gr_writer__give(s->writer, &s->fresh, s->n_fresh, s->n_fresh_rows, s->has_files);
	s->has_files = false;
	s->n_fresh = s->n_fresh_rows = 0;
}

static void on_hand_over(void *ctx)
{
	struct gr_store *s = ctx;

	s->due_ns = 0;
	s->handed_ns = gr_loop_now_ns(s->loop);
	hand_over(s);
}

static void wake_at(struct gr_store *s, uint64_t at_ns, uint64_t now_ns)
{
	if (s->due_ns && s->due_ns <= at_ns)
		return;
	s->due_ns = at_ns > now_ns ? at_ns : now_ns;
	gr_timer_set(s->hand_over, (s->due_ns - now_ns + GR_NS_PER_MS - 1) / GR_NS_PER_MS);
}

void gr_store_commit(struct gr_store_tx **txp, bool may_fail, gr_store_told *done, void *ctx)
{
	struct gr_store_tx *tx = *txp;
	struct gr_store *s = tx->store;
	uint64_t pace_ms = !done ? LAZY_MS : tx->n_done && tx->n_done == tx->n_rows ? PACE_DONE_MS : PACE_MS, now;
	uint64_t next = s->handed_ns ? s->handed_ns + pace_ms * GR_NS_PER_MS : 0;

	*txp = NULL;
	tx->may_fail = may_fail;
	tx->done = done;
	tx->ctx = ctx;
	gr_list_push(&s->fresh, &tx->link);
	s->n_fresh++;
	s->n_fresh_rows += tx->n_rows;
	if (s->due_ns && s->due_ns <= next)
		return;                           /* whatever time it is, it waits for no less */
	now = gr_loop_now_ns(s->loop);
	wake_at(s, !done ? now + LAZY_MS * GR_NS_PER_MS : now < next ? next : now, now);
}

static void tx_free(struct gr_store_tx *tx)
{
	struct gr_store *s = tx->store;

	if (IS_KEPT && s->n_spare < MAX_SPARE && tx->rows.cap <= SPARE_BYTES) {
		gr_buf_clear(&tx->rows);
		*tx = (struct gr_store_tx){ .store = s, .rows = tx->rows };
		gr_list_push_front(&s->spare, &tx->link);
		s->n_spare++;
		return;
	}
	gr_buf_fini(&tx->rows);
	free(tx);
}

void gr_store_drop(struct gr_store_tx **tx)
{
	tx_free(*tx);
	*tx = NULL;
}

/* ---- what the writer has done ---- */

/* On the loop: what was committed is told. */
static void on_written(void *ctx)
{
	struct gr_store *s = ctx;
	struct gr_list over;
	struct gr_list *l;
	bool was_well = !s->trouble[0], is_damaged;

	gr_list_init(&over);
	is_damaged = gr_writer__over(s->writer, &over, s->trouble);
	if (s->trouble[0] && was_well)
		gr_error("store", "%s; nothing is acknowledged until it can be", s->trouble);
	else if (!s->trouble[0] && !was_well)
		gr_info("store", "can be written again");
	while ((l = gr_list_pop(&over))) {
		struct gr_store_tx *tx = GR_CONTAINER(l, struct gr_store_tx, link);

		if (tx->done)
			tx->done(tx->ctx, tx->rc);
		tx_free(tx);
	}
	if (is_damaged)
		s->ops->on_damage(s->ctx, s->trouble);
}

void gr_store_files_written(struct gr_store *s) { s->has_files = true; }
void gr_store_files_named(struct gr_store *s) { s->has_files = s->has_files || !atomic_load(&s->is_early_synced); }

const char *gr_store_trouble(const struct gr_store *s)
{
	return s->trouble[0] ? s->trouble : NULL;
}

void gr_store_stats(const struct gr_store *s, struct gr_store_stats *out)
{
	char wal[4200];
	struct stat sb;

	gr_writer__stats(s->writer, out);
	out->waiting += s->n_fresh;
	out->file_bytes = stat(s->path, &sb) == 0 ? (uint64_t)sb.st_size : 0;
	snprintf(wal, sizeof(wal), "%s-wal", s->path);
	out->wal_bytes = stat(wal, &sb) == 0 ? (uint64_t)sb.st_size : 0;
}

/* ---- the reader ---- */

struct gr_packs_read *gr_store__packs_read(struct gr_store *s) { return &s->packs_read; }
sqlite3 *gr_store__reader(struct gr_store *s) { return s->reader; }
const char *gr_store__path(const struct gr_store *s) { return s->path; }

sqlite3_stmt *gr_store__query(struct gr_store *s, const char *sql)
{
	struct query *q;

	GR_LIST_EACH(old, &s->queries, struct query, link)
		if (old->sql == sql)
			return old->st;
	GR_NEW(q);
	q->sql = sql;
	if (sqlite3_prepare_v3(s->reader, sql, -1, SQLITE_PREPARE_PERSISTENT, &q->st, NULL) != SQLITE_OK) {
		gr_error("store", "%s", sqlite3_errmsg(s->reader));
		free(q);
		return NULL;
	}
	gr_list_push(&s->queries, &q->link);
	return q->st;
}

void gr_store__done(sqlite3_stmt *st)
{
	if (!st)
		return;
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

void gr_store__damaged(struct gr_store *s, const char *text)
{
	gr_error("store", "%s", text);
	s->ops->on_damage(s->ctx, text);
}

int gr_store__error(struct gr_store *s)
{
	struct gr_err err;
	int rc = gr_store__fail(s->reader, s->path, "cannot be read", &err);

	gr_error("store", "%s", err.text);
	if (rc == GR_ECORRUPT)
		s->ops->on_damage(s->ctx, err.text);
	return rc;
}

/* ---- open and close ---- */

/* A program that was killed may have left a torn file behind: looked at before anything is believed. */
static int look_at(sqlite3 *db, const char *path, struct gr_err *err)
{
	sqlite3_stmt *st;
	int rc = 0;

	if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK)
		return gr_store__fail(db, path, "cannot be checked", err);
	if (sqlite3_step(st) != SQLITE_ROW)
		rc = gr_store__fail(db, path, "cannot be checked", err);
	else if (strcmp((const char *)sqlite3_column_text(st, 0), "ok"))
		rc = gr_err_set(err, GR_ECORRUPT, "%s is damaged: %.300s. Nothing was changed. `griddle-coordinator --state DIR --recover` saves what can be "
				"read into a new file and keeps this one beside it; or put a backup in its place", path,
				(const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return rc;
}

/* SQLite takes a file of one byte for an empty one, and reads what is missing of the last page as zeros, which may be
 * rows. Behind a log a short page is as it should be: a checkpoint was under way, and the log has it whole. */
static int look_at_size(const char *path, struct gr_err *err)
{
	uint8_t head[18] = { 0 };
	char wal[sizeof(((struct gr_store *)0)->path) + 8];
	struct stat st, st_wal;
	uint32_t page_bytes;
	int fd;

	snprintf(wal, sizeof(wal), "%s-wal", path);
	if (stat(path, &st) < 0 || !st.st_size)
		return 0;
	if (st.st_size >= 512) {
		if (stat(wal, &st_wal) >= 0 && st_wal.st_size)
			return 0;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || pread(fd, head, sizeof(head), 0) != sizeof(head))
			head[16] = head[17] = 0;
		if (fd >= 0)
			close(fd);
		page_bytes = (uint32_t)head[16] << 8 | head[17];
		page_bytes = page_bytes == 1 ? 65536 : page_bytes;     /* the format's way to say it in 16 bits */
		if (!page_bytes || st.st_size % page_bytes == 0)
			return 0;
	}
	return gr_err_set(err, GR_ECORRUPT, "%s is damaged: it was cut at byte %lld. Nothing was changed. `griddle-coordinator --state DIR --recover` "
			  "saves what can be read into a new file and keeps this one beside it; or put a backup in its place", path,
			  (long long)st.st_size);
}

/* No reason not to start: it goes on as it did. */
static void make_shrinkable(struct gr_store *s)
{
	struct gr_err err;
	int rc = gr_store__make_shrinkable(s->db, s->path, &err);

	if (rc < 0)
		gr_warn("store", "%s; `griddle admin vacuum` can give nothing back until it is", err.text);
	else if (rc > 0)
		gr_info("store", "%s was rewritten, so that it can be cut while it is in use", s->path);
}

/* Beside the loop and the writer: on a disk with much to write it takes seconds, for which no commit waits that names none of these files. */
static int sync_early(void *ctx)
{
	struct gr_store *s = ctx;

	if (!atomic_load(&s->is_early_synced) && syncfs(s->dirfd) < 0)
		return GR_EIO;
	atomic_store(&s->is_early_synced, true);
	return 0;
}

static void on_early(void *ctx) { (void)ctx; }

static void store_free(struct gr_store *s)
{
	struct gr_list *l;

	while ((l = gr_list_pop(&s->spare))) {
		gr_buf_fini(&GR_CONTAINER(l, struct gr_store_tx, link)->rows);
		free(GR_CONTAINER(l, struct gr_store_tx, link));
	}
	GR_LIST_EACH_SAFE(q, &s->queries, struct query, link) {
		sqlite3_finalize(q->st);
		free(q);
	}
	gr_writer__free(&s->writer);
	sqlite3_close(s->reader);
	sqlite3_close(s->db);
	for (uint32_t i = 0; i < GR_PACKS_READ; i++) {
		gr_buf_fini(&s->packs_read.at[i].data);
		free(s->packs_read.at[i].pack);
	}
	if (s->dirfd >= 0)
		close(s->dirfd);
	free(s);
}

int gr_store_open(struct gr_loop *loop, const char *dir, const struct gr_store_ops *ops, void *ctx, struct gr_store **out, struct gr_err *err)
{
	struct gr_store *s;
	int rc;

	GR_NEW(s);
	s->loop = loop;
	s->ops = ops;
	s->ctx = ctx;
	gr_list_init(&s->fresh);
	gr_list_init(&s->spare);
	gr_list_init(&s->queries);
	snprintf(s->path, sizeof(s->path), "%s/jobs.db", dir);
	s->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = s->dirfd < 0 ? gr_err_set(err, gr_err_errno(errno), "%s: %s", dir, strerror(errno)) : look_at_size(s->path, err);
	if (rc >= 0)
		rc = gr_store__open_db(s->path, false, &s->db, err);
	if (rc >= 0)
		rc = look_at(s->db, s->path, err);
	if (rc >= 0)
		rc = gr_store__migrate(s->db, s->path, err);
	if (rc >= 0)
		make_shrinkable(s);
	if (rc >= 0)
		rc = gr_store__open_db(s->path, true, &s->reader, err);
	if (rc >= 0)
		rc = gr_writer__new(loop, s->db, s->path, s->dirfd, on_written, s, &s->writer, err);
	if (rc < 0)
		goto out_free;
	s->hand_over = gr_timer_new(loop, on_hand_over, s);
	/* files of an earlier life are in the page cache alone, perhaps */
	s->early = gr_aside_new(loop, AGAIN_MS, sync_early, on_early, s);
	if (s->early)
		gr_aside_wake(s->early);
	else
		s->has_files = true;
	*out = s;
	return 0;
out_free:
	store_free(s);
	return gr_err_wrap(err, "store");
}

void gr_store_close(struct gr_store **sp)
{
	struct gr_store *s = *sp;
	struct gr_list left, *l;

	if (!s)
		return;
	*sp = NULL;
	gr_timer_stop(&s->hand_over);
	hand_over(s);
	gr_list_init(&left);
	gr_writer__stop(s->writer, &left);
	gr_aside_close(&s->early);
	while ((l = gr_list_pop(&left)))
		tx_free(GR_CONTAINER(l, struct gr_store_tx, link));
	store_free(s);
}
