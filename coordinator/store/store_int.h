/**
 * store_int - private to coordinator/store
 */
#pragma once
#include <sqlite3.h>
#include <stddef.h>
#include "coordinator/store/store.h"
#include "lib/base/list.h"

#define GR_STORE_SCHEMA 6
/* What schema 5 said by is_cancelled below 0. Recovery takes rows of it into a new file as they are. */
#define GR_STORE_OF_5 "UPDATE jobs SET n_failed_before=-is_cancelled,is_cancelled=0 WHERE is_cancelled<0;"
#define GR_STORE_BUSY_MS 5000              /* to wait for another program that writes */
int gr_store__fail(sqlite3 *db, const char *path, const char *what, struct gr_err *err);   /* sqlite's error as ours */
int gr_store__open_db(const char *path, bool is_read_only, sqlite3 **out, struct gr_err *err) GR_MUST_CHECK;
int gr_store__migrate(sqlite3 *db, const char *path, struct gr_err *err) GR_MUST_CHECK;
/* Makes it a file that can be cut a step at a time, which one of before could not: rewrites it, once. */
int gr_store__make_shrinkable(sqlite3 *db, const char *path, struct gr_err *err) GR_MUST_CHECK;
int64_t gr_store__pragma(sqlite3 *db, const char *sql);                         /* its one number; -1 */
sqlite3 *gr_store__reader(struct gr_store *s);
const char *gr_store__path(const struct gr_store *s);
/* A statement of the reader, prepared once by its text. Reset it with gr_store__done. */
sqlite3_stmt *gr_store__query(struct gr_store *s, const char *sql);
void gr_store__done(sqlite3_stmt *st);
int gr_store__error(struct gr_store *s);          /* of the reader's last call; tells damage */
void gr_store__damaged(struct gr_store *s, const char *text);

/* ---- writer.c: the thread that writes ----
 * What the loop has gathered is given to it a list at a time, and comes back the same way. */
struct gr_store_tx {
	struct gr_list link;
	struct gr_store *store;
	struct gr_buf rows;
	uint32_t n_rows, n_done;           /* done: by gr_store_done */
	bool may_fail;
	gr_store_told *done;
	void *ctx;
	int rc;                            /* of one that is over */
};
extern const struct gr_store_sql_text { const char *params, *sql; } gr_store__sqls[GR_N_SQL];
/* A row: a byte, its statement's number, and the parameters: a number's bytes; of a text or bytes whether there are any (a byte), how
 * many (8), they, and a NUL behind a text. Or, of gr_store_done: GR_ROW_DONE, this, behind it the texts with their NULs and the streams'
 * bytes. */
#define GR_ROW_DONE GR_N_SQL
struct gr_row_done {
	int64_t job, mem_mib_ms;
	uint32_t n_worker, n_node, n_tenant;      /* with the NUL */
	uint32_t n_out, n_err;
	uint8_t row[offsetof(struct gr_store_attempt_row, cause)];        /* of one, what lies before that */
};
#define GR_WRITER_PROBLEM 512
struct gr_writer;
/* @db, @path, @dirfd (of the folder): borrowed until gr_writer__free, @db for its thread alone. @done: on the loop, some time after
 * transactions are over, or could not be written. The functions below are the loop's. */
int gr_writer__new(struct gr_loop *loop, sqlite3 *db, const char *path, int dirfd, void (*done)(void *ctx), void *ctx, struct gr_writer **out,
		   struct gr_err *err) GR_MUST_CHECK;
/* Takes all transactions of @fresh, behind what waits. @must_sync: they may name files that are not known to be on disk. */
void gr_writer__give(struct gr_writer *w, struct gr_list *fresh, uint64_t n_tx, uint64_t n_rows, bool must_sync);
/* Puts those that are over into @over; @problem: why nothing can be written now, or "". Return: the file is damaged, nothing more is. */
bool gr_writer__over(struct gr_writer *w, struct gr_list *over, char problem[GR_WRITER_PROBLEM]);
void gr_writer__stats(struct gr_writer *w, struct gr_store_stats *out);        /* of what it knows of: no sizes */
/* Commits what waits, as far as it can be, and ends the thread. @left: what nobody has been told of. */
void gr_writer__stop(struct gr_writer *w, struct gr_list *left);
void gr_writer__free(struct gr_writer **w);

/* ---- pack.c: a row of "packs", attempts that have done their tasks ----
 * It says of each what an attempt's row and an outcome's would; a task is in one of them at most. All of a row's tasks lie
 * in one bucket, so that what holds a task is found by its first and last. */
#define GR_PACK_TASKS 1024                 /* of one bucket: a power of two */
#define GR_PACK_BUCKET(task) ((task) & ~(int64_t)(GR_PACK_TASKS - 1))
struct gr_pack {
	int64_t job, first, last;
	uint32_t n;                        /* 0: not in use */
	int64_t base_attempt, base_ms;     /* what the others are told by: those of the first that came */
	uint32_t n_workers;
	struct gr_buf workers, entries, data;
	struct gr_pack_worker { uint64_t id, node_id; const char *name, *node; uint32_t n_name, n_node, index; } seen[256];     /* by its id */
};
void gr_pack__begin(struct gr_pack *p, int64_t job);
bool gr_pack__takes(const struct gr_pack *p, int64_t job, int64_t task);
/* Its texts stay where they are until gr_pack__end. */
void gr_pack__add(struct gr_pack *p, const struct gr_store_attempt_row *row);
/* The row's data, until it is begun again. */
struct gr_slice gr_pack__end(struct gr_pack *p);
void gr_pack__fini(struct gr_pack *p);
typedef int gr_pack_fn(void *ctx, const struct gr_store_attempt_row *row);
struct gr_pack_read {                      /* a row as it was read */
	int64_t job, bucket, base_attempt, base_ms;
	struct gr_slice data;              /* the caller's, as long as this is used */
	uint64_t n_workers;
	struct { uint64_t id, node_id; const char *name, *node; } workers[GR_PACK_TASKS];
	uint32_t at[GR_PACK_TASKS], n[GR_PACK_TASKS];      /* by task in the bucket: where its attempt is, 0 none, and how long */
};
/* GR_ECORRUPT: it is not what was written. */
int gr_pack__open(struct gr_pack_read *p, int64_t job, int64_t first, struct gr_slice data) GR_MUST_CHECK;
/* Return: 1, *@out borrows from the data; 0 it is not in there; GR_ECORRUPT. */
int gr_pack__row(const struct gr_pack_read *p, int64_t task, struct gr_store_attempt_row *out) GR_MUST_CHECK;
/* Each of a row's attempts, in order of task. A negative return of @fn ends it and is returned; GR_ECORRUPT, before @fn is called: it is not
 * what was written. */
int gr_pack__each(int64_t job, int64_t first, struct gr_slice data, gr_pack_fn *fn, void *ctx) GR_MUST_CHECK;
/* The columns job, first and data of a statement that has come to a row. */
int gr_pack__each_of(sqlite3_stmt *st, int i_job, int i_first, int i_data, gr_pack_fn *fn, void *ctx) GR_MUST_CHECK;

/* The last that were looked into for one task: what is written never changes. */
#define GR_PACKS_READ 8
struct gr_packs_read {
	struct { int64_t first; struct gr_buf data; struct gr_pack_read *pack; } at[GR_PACKS_READ];    /* pack NULL: none */
	uint32_t next;
};
struct gr_packs_read *gr_store__packs_read(struct gr_store *s);
