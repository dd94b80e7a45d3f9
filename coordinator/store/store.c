/* store.c - the writer's thread and what the loop gives it; see store.h
 *
 * A transaction is one buffer: statement numbers and parameters, copied in when they are added, so that the thread never
 * looks at anything of the loop's. The list that waits is taken whole; its transactions share one BEGIN ... COMMIT.
 *
 * What is committed in one turn of the loop is handed over together, at once when the store was idle, else PACE_MS after
 * the last time (PACE_DONE_MS when there are only tasks that are done in it: their workers hold them so long): a commit costs as
 * much CPU as dozens of rows, and where it takes half a millisecond a job of short commands made one for each. Tasks that are
 * done at the first look (gr_store_done) are gathered for as long as a group lasts, a row for many. Rows whose doing nobody
 * waits for (no @done) wait LAZY_MS for company.
 */
#include "coordinator/store/store_int.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/net/aside.h"

#define MAX_GROUP 20000u                  /* rows in one commit */
#define PACE_MS 4u                        /* between two groups */
#define PACE_DONE_MS 8u                   /* when there is nothing in it but tasks that are done, for which nobody waits */
#define LAZY_MS 5u
#define MAX_PARAMS 30u                    /* of one statement */
#define MAX_SUMS 16u                      /* jobs in one commit whose usage is added up first */
#define MAX_PACKS 8u                      /* that are gathered at once */
#define PACK_BYTES (48u << 10)            /* enough of one */
#define MAX_SPARE 4096u
#define SPARE_BYTES 1024u                 /* of rows, in one that is kept */
#ifdef __SANITIZE_ADDRESS__
#define IS_KEPT false                     /* it shall see each use of what is over */
#else
#define IS_KEPT true
#endif
#define AGAIN_MS 500u                     /* after a commit that failed */
#define ROW_DONE GR_N_SQL                 /* of gr_store_done, in place of a statement's number */

static const struct { const char *params, *sql; } sqls[] = {
#define X(name, p, s) { p, s },
	GR_STORE_SQL_MAP(X)
#undef X
};
#define X(name, p, s) _Static_assert(sizeof(p) <= MAX_PARAMS + 1, #name);
GR_STORE_SQL_MAP(X)
#undef X

struct gr_store_tx {
	struct gr_list link;
	struct gr_store *store;
	struct gr_buf rows;
	uint32_t n_rows, n_done;          /* done: by gr_store_done */
	bool may_fail;
	gr_store_told *done;
	void *ctx;
	int rc;
};
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
	char trouble[512];                /* the loop's copy */
	/* the writer's own */
	sqlite3 *db;
	sqlite3_stmt *st[GR_N_SQL];
	const uint8_t *bound[GR_N_SQL][MAX_PARAMS];   /* what each parameter was given last in this group */
	struct sum { int64_t job, v[9]; const char *tenant; } sums[MAX_SUMS];  /* USAGE of the group that is written */
	uint32_t n_sums;
	struct gr_pack packs[MAX_PACKS];
	uint32_t next_pack;               /* that makes room for another one */
	struct gr_aside *aside;
	struct gr_aside *early;           /* syncs what an earlier life wrote, once; NULL: no thread for it */
	atomic_bool is_early_synced;
	bool has_old_secrets;
	bool has_cut;                     /* pages off its end: the file is cut when the log is taken in */
	int dirfd;                        /* of the file system that must be written before a commit */
	/* shared, under lock */
	pthread_mutex_t lock;
	struct gr_list waiting, over;
	uint64_t n_waiting_rows;
	bool is_damaged, must_sync;
	char problem[512];
	struct gr_store_stats stats;
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

	size_t more = 1 + PARAM_BYTES * strlen(sqls[sql].params);

	gr_buf_reserve(b, more);
	at = b->p + b->n;
	*at++ = (uint8_t)sql;
	va_start(ap, sql);
	for (const char *p = sqls[sql].params; *p; p++) {
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

/* A ROW_DONE: this, behind it the texts with their NULs and the streams' bytes; pointers of it are the reader's to set. */
struct done {
	int64_t job, mem_mib_ms;
	struct gr_store_attempt_row row;
	uint32_t n_worker, n_node, n_tenant;      /* with the NUL */
};

void gr_store_done(struct gr_store_tx *tx, int64_t job, const char *tenant, int64_t mem_mib_ms, const struct gr_store_attempt_row *row)
{
	const struct done d = { job, mem_mib_ms, *row, (uint32_t)strlen(row->worker) + 1, (uint32_t)strlen(row->node) + 1, (uint32_t)strlen(tenant) + 1 };
	struct gr_buf *b = &tx->rows;
	uint8_t *at;

	gr_buf_reserve(b, 1 + sizeof(d) + d.n_worker + d.n_node + d.n_tenant + row->out_data.n + row->err_data.n);
	at = b->p + b->n;
	*at++ = ROW_DONE;
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
	pthread_mutex_lock(&s->lock);
	s->must_sync |= s->has_files;
	s->has_files = false;
	gr_list_splice(&s->waiting, &s->fresh);
	s->stats.waiting += s->n_fresh;
	s->n_waiting_rows += s->n_fresh_rows;
	pthread_mutex_unlock(&s->lock);
	s->n_fresh = s->n_fresh_rows = 0;
	gr_aside_wake(s->aside);
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

/* ---- the writer ---- */

static int step(sqlite3_stmt *st)
{
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		;                                 /* SHRINK: one a page */
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

/* USAGE only adds: of many rows of a job in one commit one is made. */
static int write_sums(struct gr_store *s)
{
	sqlite3_stmt *st = s->st[GR_SQL_USAGE];
	int rc = 0;

	for (uint32_t i = 0; i < s->n_sums && rc == 0; i++) {
		sqlite3_bind_int64(st, 1, s->sums[i].job);
		sqlite3_bind_text(st, 2, s->sums[i].tenant, -1, SQLITE_STATIC);
		for (int k = 0; k < 9; k++)
			sqlite3_bind_int64(st, k + 3, s->sums[i].v[k]);
		rc = step(st);
	}
	s->n_sums = 0;
	return rc;
}

/* Of the job: @tenant lies in the group. NULL: those there are cannot be written. */
static struct sum *sum_of(struct gr_store *s, int64_t job, const char *tenant)
{
	for (uint32_t i = 0; i < s->n_sums; i++)
		if (s->sums[i].job == job)
			return &s->sums[i];
	if (s->n_sums == MAX_SUMS && write_sums(s) < 0)
		return NULL;
	s->sums[s->n_sums] = (struct sum){ .job = job, .tenant = tenant };
	return &s->sums[s->n_sums++];
}

/* "it" and nine numbers, as gr_store_add put them; a text ends with a NUL of its own. */
static int add_up(struct gr_store *s, struct gr_slice *at)
{
	struct sum *sum;
	int64_t job, v;
	uint64_t n;

	memcpy(&job, at->p + 1, sizeof(job));
	memcpy(&n, at->p + 10, sizeof(n));
	sum = sum_of(s, job, (const char *)at->p + 18);
	if (!sum)
		return -1;
	for (int k = 0; k < 9; k++) {
		memcpy(&v, at->p + 19 + n + (size_t)k * sizeof(v), sizeof(v));
		sum->v[k] += v;
	}
	at->p += 19 + n + 9 * sizeof(v);
	return 0;
}

static int write_pack(struct gr_store *s, struct gr_pack *p)
{
	sqlite3_stmt *st = s->st[GR_SQL_PACK];
	uint32_t n = p->n;
	struct gr_slice data;

	if (!n)
		return 0;
	data = gr_pack__end(p);
	sqlite3_bind_int64(st, 1, p->job);
	sqlite3_bind_int64(st, 2, p->first);
	sqlite3_bind_int64(st, 3, p->last);
	sqlite3_bind_int64(st, 4, n);
	sqlite3_bind_blob(st, 5, data.p, (int)data.n, SQLITE_STATIC);
	return step(st);
}

static int write_packs(struct gr_store *s)
{
	int rc = 0;

	for (uint32_t i = 0; i < MAX_PACKS && rc == 0; i++)
		rc = write_pack(s, &s->packs[i]);
	return rc;
}

/* What it is added to; NULL: one that is full cannot be written. */
static struct gr_pack *pack_of(struct gr_store *s, int64_t job, int64_t task)
{
	struct gr_pack *p = NULL;

	for (uint32_t i = 0; i < MAX_PACKS; i++) {
		if (gr_pack__takes(&s->packs[i], job, task) && s->packs[i].entries.n < PACK_BYTES)
			return &s->packs[i];
		if (!p && !s->packs[i].n)
			p = &s->packs[i];
	}
	if (!p)
		p = &s->packs[s->next_pack++ % MAX_PACKS];
	if (write_pack(s, p) < 0)
		return NULL;
	gr_pack__begin(p, job);
	return p;
}

/* A row as gr_store_done put it. */
static int add_done(struct gr_store *s, struct gr_slice *at)
{
	const uint8_t *p = at->p + 1 + sizeof(struct done);
	struct gr_store_attempt_row *r;
	struct gr_pack *pack;
	const char *tenant;
	struct sum *sum;
	struct done d;

	memcpy(&d, at->p + 1, sizeof(d));
	r = &d.row;
	r->worker = (const char *)p;
	r->node = r->worker + d.n_worker;
	tenant = r->node + d.n_node;
	r->out_data.p = (const uint8_t *)tenant + d.n_tenant;
	r->err_data.p = r->out_data.p + r->out_data.n;
	at->p = r->err_data.p + r->err_data.n;
	pack = pack_of(s, d.job, r->task);
	sum = pack ? sum_of(s, d.job, tenant) : NULL;
	if (!sum)
		return -1;
	gr_pack__add(pack, r);
	/* in the order of USAGE: cpu_us, mem_mib_ms, in_bytes, out_bytes, attempts, retries, wasted_us, done, failed */
	sum->v[0] += r->cpu_us;
	sum->v[1] += d.mem_mib_ms;
	sum->v[2] += r->in_bytes;
	sum->v[4]++;
	sum->v[7]++;
	return 0;
}

/* The bytes of the parameter at @at, as gr_store_add put them. */
static size_t param_bytes(char kind, const uint8_t *at)
{
	uint64_t n;

	if (kind == 'i')
		return sizeof(int64_t);
	memcpy(&n, at + 1, sizeof(n));
	return 1 + sizeof(n) + n + (kind == 't');
}

static void bind_one(sqlite3_stmt *st, int i, char kind, const uint8_t *at)
{
	int64_t v;
	uint64_t n;

	if (kind == 'i') {
		memcpy(&v, at, sizeof(v));
		sqlite3_bind_int64(st, i, v);
		return;
	}
	memcpy(&n, at + 1, sizeof(n));
	if (!*at)
		sqlite3_bind_null(st, i);
	else if (kind == 't')
		sqlite3_bind_text(st, i, (const char *)at + 1 + sizeof(n), (int)n, SQLITE_STATIC);
	else
		sqlite3_bind_blob(st, i, at + 1 + sizeof(n), (int)n, SQLITE_STATIC);
}

/* Most of a row is as in the row before it: what is the same stays bound, which costs SQLite nothing. */
static int bind_and_step(struct gr_store *s, struct gr_slice *at)
{
	int sql = *at->p++, rc, i = 0;
	sqlite3_stmt *st = s->st[sql];

	for (const char *p = sqls[sql].params; *p; p++, i++) {
		size_t n = param_bytes(*p, at->p);
		const uint8_t **last = &s->bound[sql][i];

		if (!*last || param_bytes(*p, *last) != n || memcmp(*last, at->p, n))
			bind_one(st, i + 1, *p, at->p);
		*last = at->p;
		at->p += n;
	}
	rc = step(st);
	s->has_old_secrets |= sql == GR_SQL_SECRET_RM && rc == 0 && sqlite3_changes(s->db) > 0;
	s->has_cut |= sql == GR_SQL_SHRINK;
	return rc;
}

/* What is gathered is written before what takes away, and before what looks whether there is any. */
static bool is_behind_packs(int sql)
{
	return sql == GR_SQL_RM_JOB || sql == GR_SQL_CUT_PACKS || sql == GR_SQL_CUT_DONE;
}

static int write_row(struct gr_store *s, struct gr_slice *at)
{
	if (*at->p == ROW_DONE)
		return add_done(s, at);
	if (*at->p == GR_SQL_USAGE)
		return add_up(s, at);
	if (is_behind_packs(*at->p) && write_packs(s) < 0)
		return -1;
	return bind_and_step(s, at);
}

static int write_group(struct gr_store *s, struct gr_list *group, uint64_t *n, uint64_t *rows)
{
	s->n_sums = 0;
	for (uint32_t i = 0; i < MAX_PACKS; i++)
		s->packs[i].n = 0;                /* of a group that failed */
	memset(s->bound, 0, sizeof(s->bound));
	if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return -1;
	GR_LIST_EACH(tx, group, struct gr_store_tx, link) {
		struct gr_slice at = gr_buf_slice(&tx->rows);

		__builtin_prefetch(tx->link.next->next);
		if (tx->link.next != group)
			__builtin_prefetch(GR_CONTAINER(tx->link.next, struct gr_store_tx, link)->rows.p);
		for (uint32_t i = 0; i < tx->n_rows; i++)
			if (write_row(s, &at) < 0)
				return -1;
		*rows += tx->n_rows;
		++*n;
	}
	return write_packs(s) == 0 && write_sums(s) == 0 && sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

/* All that failed was given back, and what asks is refused while there is trouble: whether it is over shows a row of its own. */
static int write_try(struct gr_store *s)
{
	return sqlite3_exec(s->db, "BEGIN IMMEDIATE; INSERT OR REPLACE INTO meta VALUES('tried',1); COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

static void take_group(struct gr_store *s, struct gr_list *group)
{
	uint32_t n = 0;
	struct gr_list *l;

	if (s->n_waiting_rows <= MAX_GROUP) {
		gr_list_splice(group, &s->waiting);
		s->n_waiting_rows = 0;
		return;
	}
	while (n < MAX_GROUP && (l = gr_list_pop(&s->waiting))) {
		n += GR_CONTAINER(l, struct gr_store_tx, link)->n_rows;
		gr_list_push(group, l);
	}
	s->n_waiting_rows -= n;
}

/* What may fail is given back; the rest goes to the front again, in order. Under the lock. */
static void give_back(struct gr_store *s, struct gr_list *group, int rc)
{
	struct gr_list keep;

	gr_list_init(&keep);
	GR_LIST_EACH_SAFE(tx, group, struct gr_store_tx, link) {
		gr_list_del(&tx->link);
		if (tx->may_fail)
			tx->rc = rc;              /* the rest is told how it came out in the end */
		gr_list_push(tx->may_fail ? &s->over : &keep, &tx->link);
		s->stats.waiting -= tx->may_fail;
	}
	while (!gr_list_is_empty(&keep)) {
		struct gr_list *l = keep.prev;

		gr_list_del(l);
		gr_list_push_front(&s->waiting, l);
		s->n_waiting_rows += GR_CONTAINER(l, struct gr_store_tx, link)->n_rows;
	}
}

/* Secrets that were removed are in the log still, as they were written. Not when a reader holds it: at the next commit then;
 * a backup may hold it for long, and no commit waits for that. */
static void forget_secrets(struct gr_store *s)
{
	sqlite3_busy_timeout(s->db, 0);
	s->has_old_secrets = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK;
	sqlite3_busy_timeout(s->db, GR_STORE_BUSY_MS);
}

/* Beside the loop: one group. Return: as gr_aside's work. */
static int write_one(void *ctx)
{
	struct gr_store *s = ctx;
	struct gr_list group;
	struct gr_err err;
	uint64_t rows = 0, n = 0;
	bool must_sync = false, is_try;
	int rc;

	gr_list_init(&group);
	pthread_mutex_lock(&s->lock);
	if (!s->is_damaged)
		take_group(s, &group);
	is_try = gr_list_is_empty(&group) && s->problem[0] && !s->is_damaged;
	if (!gr_list_is_empty(&group) || is_try) {
		must_sync = s->must_sync;
		s->must_sync = false;
	}
	pthread_mutex_unlock(&s->lock);
	if (gr_list_is_empty(&group) && !is_try)
		return 0;
	/* the files that rows name are on disk before the rows are */
	if (must_sync && syncfs(s->dirfd) < 0) {
		rc = gr_err_set(&err, GR_EIO, "%s: the files beside it cannot be written: %s; nothing is acknowledged until they can be", s->path, strerror(errno));
	} else if ((is_try ? write_try(s) : write_group(s, &group, &n, &rows)) < 0) {
		rc = gr_store__fail(s->db, s->path, "cannot be written", &err);
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	} else {
		rc = 0;
		if (s->has_old_secrets)
			forget_secrets(s);
		if (s->has_cut)
			sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		s->has_cut = false;
	}
	pthread_mutex_lock(&s->lock);
	if (rc < 0) {
		s->stats.failures++;
		s->must_sync |= must_sync;
		snprintf(s->problem, sizeof(s->problem), "%.500s", err.text);
		s->is_damaged = s->is_damaged || rc == GR_ECORRUPT;
		give_back(s, &group, rc);
		rc = s->is_damaged ? 0 : GR_EIO;
	} else {
		s->problem[0] = 0;
		s->stats.commits++;
		s->stats.file_syncs += must_sync;
		s->stats.rows += rows;
		s->stats.transactions += n;
		s->stats.waiting -= n;
		gr_list_splice(&s->over, &group);
		rc = !gr_list_is_empty(&s->waiting);
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* Beside both: on a disk with much to write it takes seconds, for which no commit waits that names none of these files. */
static int sync_early(void *ctx)
{
	struct gr_store *s = ctx;

	if (!atomic_load(&s->is_early_synced) && syncfs(s->dirfd) < 0)
		return GR_EIO;
	atomic_store(&s->is_early_synced, true);
	return 0;
}

static void on_early(void *ctx) { (void)ctx; }

/* On the loop: what was committed is told. */
static void on_written(void *ctx)
{
	struct gr_store *s = ctx;
	struct gr_list over;
	struct gr_list *l;
	bool is_damaged, was_well = !s->trouble[0];

	gr_list_init(&over);
	pthread_mutex_lock(&s->lock);
	gr_list_splice(&over, &s->over);
	memcpy(s->trouble, s->problem, sizeof(s->trouble));
	is_damaged = s->is_damaged;
	pthread_mutex_unlock(&s->lock);
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
	struct gr_store *m = (struct gr_store *)s;
	char wal[4200];
	struct stat sb;

	pthread_mutex_lock(&m->lock);
	*out = m->stats;
	pthread_mutex_unlock(&m->lock);
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

static int prepare_all(struct gr_store *s, struct gr_err *err)
{
	for (int i = 0; i < GR_N_SQL; i++)
		if (sqlite3_prepare_v3(s->db, sqls[i].sql, -1, SQLITE_PREPARE_PERSISTENT, &s->st[i], NULL) != SQLITE_OK)
			return gr_store__fail(s->db, s->path, "does not have the tables it should", err);
	return 0;
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
	for (int i = 0; i < GR_N_SQL; i++)
		sqlite3_finalize(s->st[i]);
	sqlite3_close(s->reader);
	sqlite3_close(s->db);
	for (uint32_t i = 0; i < MAX_PACKS; i++)
		gr_pack__fini(&s->packs[i]);
	for (uint32_t i = 0; i < GR_PACKS_READ; i++) {
		gr_buf_fini(&s->packs_read.at[i].data);
		free(s->packs_read.at[i].pack);
	}
	pthread_mutex_destroy(&s->lock);
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
	pthread_mutex_init(&s->lock, NULL);
	gr_list_init(&s->fresh);
	gr_list_init(&s->spare);
	gr_list_init(&s->waiting);
	gr_list_init(&s->over);
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
		rc = prepare_all(s, err);
	if (rc >= 0)
		rc = gr_store__open_db(s->path, true, &s->reader, err);
	if (rc < 0)
		goto out_free;
	s->hand_over = gr_timer_new(loop, on_hand_over, s);
	s->aside = gr_aside_new(loop, AGAIN_MS, write_one, on_written, s);
	if (!s->aside) {
		rc = gr_err_set(err, GR_EIO, "the store's thread cannot be started");
		goto out_free;
	}
	/* files of an earlier life are in the page cache alone, perhaps */
	s->early = gr_aside_new(loop, AGAIN_MS, sync_early, on_early, s);
	if (s->early)
		gr_aside_wake(s->early);
	else
		s->has_files = true;
	*out = s;
	return 0;
out_free:
	gr_timer_stop(&s->hand_over);
	store_free(s);
	return gr_err_wrap(err, "store");
}

void gr_store_close(struct gr_store **sp)
{
	struct gr_store *s = *sp;
	struct gr_list *l;

	if (!s)
		return;
	*sp = NULL;
	gr_timer_stop(&s->hand_over);
	hand_over(s);
	gr_aside_close(&s->aside);
	gr_aside_close(&s->early);
	while ((l = gr_list_pop(&s->over)) || (l = gr_list_pop(&s->waiting)))
		tx_free(GR_CONTAINER(l, struct gr_store_tx, link));
	store_free(s);
}
