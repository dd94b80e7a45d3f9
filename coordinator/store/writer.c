/* writer.c - the store's thread: takes all that waits, and commits it at once; see store_int.h
 *
 * What is the same from row to row costs once a group: a parameter stays bound, USAGE is added up a job, tasks that are done at the
 * first look (gr_store_done) are gathered for as long as the group lasts, a row for many.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/store/store_int.h"
#include "lib/base/alloc.h"
#include "lib/net/aside.h"

#define MAX_GROUP 20000u                  /* rows in one commit */
#define MAX_PARAMS 30u                    /* of one statement */
#define MAX_SUMS 16u                      /* jobs in one commit whose usage is added up first */
#define MAX_PACKS 8u                      /* that are gathered at once */
#define PACK_BYTES (48u << 10)            /* enough of one */
#define AGAIN_MS 500u                     /* after a commit that failed */

const struct gr_store_sql_text gr_store__sqls[GR_N_SQL] = {
#define X(name, p, s) { p, s },
	GR_STORE_SQL_MAP(X)
#undef X
};
#define X(name, p, s) _Static_assert(sizeof(p) <= MAX_PARAMS + 1, #name);
GR_STORE_SQL_MAP(X)
#undef X

struct gr_writer {
	const char *path;                 /* the store's, as the next two */
	sqlite3 *db;
	int dirfd;                        /* of the file system that must be written before a commit */
	struct gr_aside *aside;
	void (*done)(void *ctx);
	void *ctx;
	/* the thread's own */
	sqlite3_stmt *st[GR_N_SQL];
	const uint8_t *bound[GR_N_SQL][MAX_PARAMS];   /* what each parameter was given last in this group */
	struct sum { int64_t job, v[9]; const char *tenant; } sums[MAX_SUMS];  /* USAGE of the group that is written */
	uint32_t n_sums;
	struct gr_pack packs[MAX_PACKS];
	uint32_t next_pack;               /* that makes room for another one */
	bool has_old_secrets;
	bool has_cut;                     /* pages off its end: the file is cut when the log is taken in */
	/* shared, under lock */
	pthread_mutex_t lock;
	struct gr_list waiting, over;
	uint64_t n_waiting_rows;
	bool is_damaged, must_sync;
	char problem[GR_WRITER_PROBLEM];
	struct gr_store_stats stats;
};

static int step(sqlite3_stmt *st)
{
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		;                                 /* SHRINK: one a page */
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

/* USAGE only adds: of many rows of a job in one commit one is made. */
static int write_sums(struct gr_writer *w)
{
	sqlite3_stmt *st = w->st[GR_SQL_USAGE];
	int rc = 0;

	for (uint32_t i = 0; i < w->n_sums && rc == 0; i++) {
		sqlite3_bind_int64(st, 1, w->sums[i].job);
		sqlite3_bind_text(st, 2, w->sums[i].tenant, -1, SQLITE_STATIC);
		for (int k = 0; k < 9; k++)
			sqlite3_bind_int64(st, k + 3, w->sums[i].v[k]);
		rc = step(st);
	}
	w->n_sums = 0;
	return rc;
}

/* Of the job: @tenant lies in the group. NULL: those there are cannot be written. */
static struct sum *sum_of(struct gr_writer *w, int64_t job, const char *tenant)
{
	for (uint32_t i = 0; i < w->n_sums; i++)
		if (w->sums[i].job == job)
			return &w->sums[i];
	if (w->n_sums == MAX_SUMS && write_sums(w) < 0)
		return NULL;
	w->sums[w->n_sums] = (struct sum){ .job = job, .tenant = tenant };
	return &w->sums[w->n_sums++];
}

/* "it" and nine numbers, as gr_store_add put them; a text ends with a NUL of its own. */
static int add_up(struct gr_writer *w, struct gr_slice *at)
{
	struct sum *sum;
	int64_t job, v;
	uint64_t n;

	memcpy(&job, at->p + 1, sizeof(job));
	memcpy(&n, at->p + 10, sizeof(n));
	sum = sum_of(w, job, (const char *)at->p + 18);
	if (!sum)
		return -1;
	for (int k = 0; k < 9; k++) {
		memcpy(&v, at->p + 19 + n + (size_t)k * sizeof(v), sizeof(v));
		sum->v[k] += v;
	}
	at->p += 19 + n + 9 * sizeof(v);
	return 0;
}

static int write_pack(struct gr_writer *w, struct gr_pack *p)
{
	sqlite3_stmt *st = w->st[GR_SQL_PACK];
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

static int write_packs(struct gr_writer *w)
{
	int rc = 0;

	for (uint32_t i = 0; i < MAX_PACKS && rc == 0; i++)
		rc = write_pack(w, &w->packs[i]);
	return rc;
}

/* What it is added to; NULL: one that is full cannot be written. */
static struct gr_pack *pack_of(struct gr_writer *w, int64_t job, int64_t task)
{
	struct gr_pack *p = NULL;

	for (uint32_t i = 0; i < MAX_PACKS; i++) {
		if (gr_pack__takes(&w->packs[i], job, task) && w->packs[i].entries.n < PACK_BYTES)
			return &w->packs[i];
		if (!p && !w->packs[i].n)
			p = &w->packs[i];
	}
	if (!p)
		p = &w->packs[w->next_pack++ % MAX_PACKS];
	if (write_pack(w, p) < 0)
		return NULL;
	gr_pack__begin(p, job);
	return p;
}

/* A row as gr_store_done put it. */
static int add_done(struct gr_writer *w, struct gr_slice *at)
{
	const uint8_t *p = at->p + 1 + sizeof(struct gr_row_done);
	struct gr_store_attempt_row r = { .task = 0 };
	struct gr_pack *pack;
	const char *tenant;
	struct sum *sum;
	struct gr_row_done d;

	memcpy(&d, at->p + 1, sizeof(d));
	memcpy(&r, d.row, sizeof(d.row));
	r.worker = (const char *)p;
	r.node = r.worker + d.n_worker;
	tenant = r.node + d.n_node;
	r.out_data = gr_slice((const uint8_t *)tenant + d.n_tenant, d.n_out);
	r.err_data = gr_slice(r.out_data.p + d.n_out, d.n_err);
	at->p = r.err_data.p + d.n_err;
	pack = pack_of(w, d.job, r.task);
	sum = pack ? sum_of(w, d.job, tenant) : NULL;
	if (!sum)
		return -1;
	gr_pack__add(pack, &r);
	/* in the order of USAGE: cpu_us, mem_mib_ms, in_bytes, out_bytes, attempts, retries, wasted_us, done, failed */
	sum->v[0] += r.cpu_us;
	sum->v[1] += d.mem_mib_ms;
	sum->v[2] += r.in_bytes;
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
static int bind_and_step(struct gr_writer *w, struct gr_slice *at)
{
	int sql = *at->p++, rc, i = 0;
	sqlite3_stmt *st = w->st[sql];

	for (const char *p = gr_store__sqls[sql].params; *p; p++, i++) {
		size_t n = param_bytes(*p, at->p);
		const uint8_t **last = &w->bound[sql][i];

		if (!*last || param_bytes(*p, *last) != n || memcmp(*last, at->p, n))
			bind_one(st, i + 1, *p, at->p);
		*last = at->p;
		at->p += n;
	}
	rc = step(st);
	w->has_old_secrets |= sql == GR_SQL_SECRET_RM && rc == 0 && sqlite3_changes(w->db) > 0;
	w->has_cut |= sql == GR_SQL_SHRINK;
	return rc;
}

/* What is gathered is written before what takes away, and before what looks whether there is any. */
static bool is_behind_packs(int sql)
{
	return sql == GR_SQL_RM_JOB || sql == GR_SQL_CUT_PACKS || sql == GR_SQL_CUT_DONE;
}

static int write_row(struct gr_writer *w, struct gr_slice *at)
{
	if (*at->p == GR_ROW_DONE)
		return add_done(w, at);
	if (*at->p == GR_SQL_USAGE)
		return add_up(w, at);
	if (is_behind_packs(*at->p) && write_packs(w) < 0)
		return -1;
	return bind_and_step(w, at);
}

static int write_group(struct gr_writer *w, struct gr_list *group, uint64_t *n, uint64_t *rows)
{
	w->n_sums = 0;
	for (uint32_t i = 0; i < MAX_PACKS; i++)
		w->packs[i].n = 0;                /* of a group that failed */
	memset(w->bound, 0, sizeof(w->bound));
	if (sqlite3_exec(w->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return -1;
	GR_LIST_EACH(tx, group, struct gr_store_tx, link) {
		struct gr_slice at = gr_buf_slice(&tx->rows);

		__builtin_prefetch(tx->link.next->next);
		if (tx->link.next != group)
			__builtin_prefetch(GR_CONTAINER(tx->link.next, struct gr_store_tx, link)->rows.p);
		for (uint32_t i = 0; i < tx->n_rows; i++)
			if (write_row(w, &at) < 0)
				return -1;
		*rows += tx->n_rows;
		++*n;
	}
	return write_packs(w) == 0 && write_sums(w) == 0 && sqlite3_exec(w->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

/* All that failed was given back, and what asks is refused while there is trouble: whether it is over shows a row of its own. */
static int write_try(struct gr_writer *w)
{
	return sqlite3_exec(w->db, "BEGIN IMMEDIATE; INSERT OR REPLACE INTO meta VALUES('tried',1); COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

static void take_group(struct gr_writer *w, struct gr_list *group)
{
	uint32_t n = 0;
	struct gr_list *l;

	if (w->n_waiting_rows <= MAX_GROUP) {
		gr_list_splice(group, &w->waiting);
		w->n_waiting_rows = 0;
		return;
	}
	while (n < MAX_GROUP && (l = gr_list_pop(&w->waiting))) {
		n += GR_CONTAINER(l, struct gr_store_tx, link)->n_rows;
		gr_list_push(group, l);
	}
	w->n_waiting_rows -= n;
}

/* What may fail is given back; the rest goes to the front again, in order. Under the lock. */
static void give_back(struct gr_writer *w, struct gr_list *group, int rc)
{
	struct gr_list keep;

	gr_list_init(&keep);
	GR_LIST_EACH_SAFE(tx, group, struct gr_store_tx, link) {
		gr_list_del(&tx->link);
		if (tx->may_fail)
			tx->rc = rc;              /* the rest is told how it came out in the end */
		gr_list_push(tx->may_fail ? &w->over : &keep, &tx->link);
		w->stats.waiting -= tx->may_fail;
	}
	while (!gr_list_is_empty(&keep)) {
		struct gr_list *l = keep.prev;

		gr_list_del(l);
		gr_list_push_front(&w->waiting, l);
		w->n_waiting_rows += GR_CONTAINER(l, struct gr_store_tx, link)->n_rows;
	}
}

/* Secrets that were removed are in the log still, as they were written. Not when a reader holds it: at the next commit then;
 * a backup may hold it for long, and no commit waits for that. */
static void forget_secrets(struct gr_writer *w)
{
	sqlite3_busy_timeout(w->db, 0);
	w->has_old_secrets = sqlite3_wal_checkpoint_v2(w->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK;
	sqlite3_busy_timeout(w->db, GR_STORE_BUSY_MS);
}

/* One group. Return: as gr_aside's work. */
static int write_one(void *ctx)
{
	struct gr_writer *w = ctx;
	struct gr_list group;
	struct gr_err err;
	uint64_t rows = 0, n = 0;
	bool must_sync = false, is_try;
	int rc;

	gr_list_init(&group);
	pthread_mutex_lock(&w->lock);
	if (!w->is_damaged)
		take_group(w, &group);
	is_try = gr_list_is_empty(&group) && w->problem[0] && !w->is_damaged;
	if (!gr_list_is_empty(&group) || is_try) {
		must_sync = w->must_sync;
		w->must_sync = false;
	}
	pthread_mutex_unlock(&w->lock);
	if (gr_list_is_empty(&group) && !is_try)
		return 0;
	/* the files that rows name are on disk before the rows are */
	if (must_sync && syncfs(w->dirfd) < 0) {
		rc = gr_err_set(&err, GR_EIO, "%s: the files beside it cannot be written: %s; nothing is acknowledged until they can be", w->path, strerror(errno));
	} else if ((is_try ? write_try(w) : write_group(w, &group, &n, &rows)) < 0) {
		rc = gr_store__fail(w->db, w->path, "cannot be written", &err);
		sqlite3_exec(w->db, "ROLLBACK", NULL, NULL, NULL);
	} else {
		rc = 0;
		if (w->has_old_secrets)
			forget_secrets(w);
		if (w->has_cut)
			sqlite3_wal_checkpoint_v2(w->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		w->has_cut = false;
	}
	pthread_mutex_lock(&w->lock);
	if (rc < 0) {
		w->stats.failures++;
		w->must_sync |= must_sync;
		snprintf(w->problem, sizeof(w->problem), "%.500s", err.text);
		w->is_damaged = w->is_damaged || rc == GR_ECORRUPT;
		give_back(w, &group, rc);
		rc = w->is_damaged ? 0 : GR_EIO;
	} else {
		w->problem[0] = 0;
		w->stats.commits++;
		w->stats.file_syncs += must_sync;
		w->stats.rows += rows;
		w->stats.transactions += n;
		w->stats.waiting -= n;
		gr_list_splice(&w->over, &group);
		rc = !gr_list_is_empty(&w->waiting);
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}


/* ---- what the loop calls ---- */

static int prepare_all(struct gr_writer *w, struct gr_err *err)
{
	for (int i = 0; i < GR_N_SQL; i++)
		if (sqlite3_prepare_v3(w->db, gr_store__sqls[i].sql, -1, SQLITE_PREPARE_PERSISTENT, &w->st[i], NULL) != SQLITE_OK)
			return gr_store__fail(w->db, w->path, "does not have the tables it should", err);
	return 0;
}

static void on_done(void *ctx)
{
	struct gr_writer *w = ctx;

	w->done(w->ctx);
}

int gr_writer__new(struct gr_loop *loop, sqlite3 *db, const char *path, int dirfd, void (*done)(void *ctx), void *ctx, struct gr_writer **out,
		   struct gr_err *err)
{
	struct gr_writer *w;
	int rc;

	GR_NEW(w);
	w->path = path;
	w->db = db;
	w->dirfd = dirfd;
	w->done = done;
	w->ctx = ctx;
	pthread_mutex_init(&w->lock, NULL);
	gr_list_init(&w->waiting);
	gr_list_init(&w->over);
	rc = prepare_all(w, err);
	if (rc >= 0) {
		w->aside = gr_aside_new(loop, AGAIN_MS, write_one, on_done, w);
		if (!w->aside)
			rc = gr_err_set(err, GR_EIO, "the store's thread cannot be started");
	}
	if (rc < 0)
		gr_writer__free(&w);
	else
		*out = w;
	return rc;
}

void gr_writer__give(struct gr_writer *w, struct gr_list *fresh, uint64_t n_tx, uint64_t n_rows, bool must_sync)
{
	pthread_mutex_lock(&w->lock);
	w->must_sync |= must_sync;
	gr_list_splice(&w->waiting, fresh);
	w->stats.waiting += n_tx;
	w->n_waiting_rows += n_rows;
	pthread_mutex_unlock(&w->lock);
	gr_aside_wake(w->aside);
}

bool gr_writer__over(struct gr_writer *w, struct gr_list *over, char problem[GR_WRITER_PROBLEM])
{
	bool is_damaged;

	pthread_mutex_lock(&w->lock);
	gr_list_splice(over, &w->over);
	memcpy(problem, w->problem, GR_WRITER_PROBLEM);
	is_damaged = w->is_damaged;
	pthread_mutex_unlock(&w->lock);
	return is_damaged;
}

void gr_writer__stats(struct gr_writer *w, struct gr_store_stats *out)
{
	pthread_mutex_lock(&w->lock);
	*out = w->stats;
	pthread_mutex_unlock(&w->lock);
}

void gr_writer__stop(struct gr_writer *w, struct gr_list *left)
{
	gr_aside_close(&w->aside);
	gr_list_splice(left, &w->over);
	gr_list_splice(left, &w->waiting);
}

void gr_writer__free(struct gr_writer **wp)
{
	struct gr_writer *w = *wp;

	if (!w)
		return;
	*wp = NULL;
	for (int i = 0; i < GR_N_SQL; i++)
		sqlite3_finalize(w->st[i]);
	for (uint32_t i = 0; i < MAX_PACKS; i++)
		gr_pack__fini(&w->packs[i]);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
