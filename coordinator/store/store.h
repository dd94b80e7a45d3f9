/**
 * store - durable jobs in SQLite: what is told to have been taken has been committed
 *
 * Writes are transactions: rows of prepared statements, gathered on the loop and handed to the store's own thread, a turn
 * of the loop's together and under load 4 ms apart. It takes everything that waits, commits it at once (WAL,
 * synchronous=FULL: one fsync, behind a syncfs when files were written), and tells the loop; what came meanwhile is the next
 * commit. So throughput does not depend on the disk's latency. Reads go through a second connection on the loop's thread and
 * see what is committed.
 *
 * When a commit fails (no space, an I/O error) nothing of it is there: transactions that may fail are given back, the
 * others are tried again every second, in order, and gr_store_trouble says so. A damaged file ends it: on_damage.
 * Thread: the loop's, except for what writer.c runs itself.
 */
#pragma once
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include "lib/base/buf.h"
#include "lib/base/sha256.h"
#include "lib/net/loop.h"

struct gr_store;
struct gr_store_tx;

/* Of the job that was removed first and has rows left: at most so many, to the end of a task, of one table. */
#define GR_STORE_SLICE "2000"
#define GR_STORE_CUT(table) \
	"DELETE FROM " table " WHERE job=(SELECT min(job) FROM removed) AND task<=coalesce((SELECT task FROM " table \
	" WHERE job=(SELECT min(job) FROM removed) ORDER BY task LIMIT 1 OFFSET " GR_STORE_SLICE "),9223372036854775807)"

/* X(NAME, "parameters": i number, t text, b bytes, SQL) */
#define GR_STORE_SQL_MAP(X) \
	X(META, "ti", "INSERT OR REPLACE INTO meta VALUES(?1,?2)") \
	X(JOB, "ittttiiiit", "INSERT OR REPLACE INTO jobs(job,token,spec,name,tenant,priority,n_tasks,submitted_ms,floor,owner) " \
	  "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)") \
	X(JOB_STATE, "iitiii", "UPDATE jobs SET state=?2,reason=?3,is_paused=?4,started_ms=?5,ended_ms=?6 WHERE job=?1") \
	X(JOB_COUNTS, "it", "UPDATE jobs SET counts=?2 WHERE job=?1") \
	X(JOB_FLOOR, "ii", "UPDATE jobs SET floor=?2 WHERE job=?1") \
	X(CANCEL, "i", "UPDATE jobs SET is_cancelled=1 WHERE job=?1") \
	/* it goes on although ?2 tasks have failed: they are no reason to stop it, until there are more */ \
	X(UNCANCEL, "ii", "UPDATE jobs SET is_cancelled=0,n_failed_before=?2 WHERE job=?1") \
	/* attempts of tasks that begin anew say nothing of them any more (counts -1), be they tries, losses, comparisons or results: of a job \
	 * that is over all, of an open one those that have failed. Before OUTCOME_RM */ \
	X(FORGET, "iiii", "UPDATE attempts SET counts=-1,digest=NULL,same=NULL WHERE job=?1 AND task>=?2 AND task<?3 AND (?4=0 OR task IN " \
	  "(SELECT task FROM outcomes WHERE job=?1 AND state<>4))") \
	X(SECRET, "itb", "INSERT OR REPLACE INTO secrets VALUES(?1,?2,?3)") \
	X(SECRET_RM, "i", "DELETE FROM secrets WHERE job=?1") \
	X(BEGIN, "iiiittiiiii", "INSERT OR REPLACE INTO attempts(job,task,attempt,ordinal,worker,node,worker_id,node_id,start_ms,of,against) " \
	  "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)") \
	X(END, "iiiiiiiiiiiitiiibbbbib", "UPDATE attempts SET end_ms=?4,cause=?5,exit_code=?6,term_signal=?7,cpu_us=?8,wall_us=?9,max_rss=?10," \
	  "wait_us=?11,in_bytes=?12,reason=?13,flags=?14,out_size=?15,err_size=?16,out_data=?17,err_data=?18,out_digest=?19,err_digest=?20," \
	  "counts=?21,digest=?22 WHERE job=?1 AND task=?2 AND attempt=?3") \
	X(END_LATE, "iiiiiiii", "UPDATE attempts SET end_ms=?4,cause=?5,cpu_us=?6,wall_us=?7,max_rss=?8 " \
	  "WHERE job=?1 AND task=?2 AND attempt=?3 AND end_ms IS NULL") \
	/* behind END_LATE: accounts for it when that found the attempt without an end */ \
	X(USAGE_LATE, "iti", "INSERT INTO usage SELECT ?1,?2,?3,0,0,0,1,0,?3,0,0 WHERE changes()>0 ON CONFLICT(job) DO UPDATE SET " \
	  "cpu_us=cpu_us+?3,attempts=attempts+1,wasted_us=wasted_us+?3") \
	X(ATTEMPT, "iiiittiiiiiiiiiiiiitiiibbbbbii", "INSERT OR REPLACE INTO attempts(job,task,attempt,ordinal,worker,node,worker_id,node_id,start_ms," \
	  "end_ms,cause,counts,exit_code,term_signal,cpu_us,wall_us,max_rss,wait_us,in_bytes,reason,flags,out_size,err_size,out_data,err_data," \
	  "out_digest,err_digest,digest,of,against) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23," \
	  "?24,?25,?26,?27,?28,?29,?30)") \
	X(SAME, "iiit", "UPDATE attempts SET same=?4 WHERE job=?1 AND task=?2 AND attempt=?3")             /* behind BEGIN or ATTEMPT */ \
	X(OUTCOME, "iiii", "INSERT OR REPLACE INTO outcomes VALUES(?1,?2,?3,?4)") \
	X(OUTCOME_RM, "iii", "DELETE FROM outcomes WHERE job=?1 AND task>=?2 AND task<?3 AND state<>4") \
	/* of tasks that never ran, and have no row as long as their job is over; 6: GR_B_CANCELLED */ \
	X(OUTCOMES_CANCELLED, "iii", "INSERT INTO outcomes WITH RECURSIVE t(x) AS (SELECT ?2 UNION ALL SELECT x+1 FROM t WHERE x+1<?3) " \
	  "SELECT ?1,x,6,0 FROM t WHERE NOT EXISTS (SELECT 1 FROM outcomes WHERE job=?1 AND task=x)") \
	/* what gr_store_done gathered */ \
	X(PACK, "iiiib", "INSERT OR REPLACE INTO packs VALUES(?1,?2,?3,?4,?5)") \
	X(OUTPUT, "iiiiiitiibt", "INSERT OR REPLACE INTO outputs VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)") \
	X(USAGE, "itiiiiiiiii", "INSERT INTO usage VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11) ON CONFLICT(job) DO UPDATE SET cpu_us=cpu_us+?3," \
	  "mem_mib_ms=mem_mib_ms+?4,in_bytes=in_bytes+?5,out_bytes=out_bytes+?6,attempts=attempts+?7,retries=retries+?8," \
	  "wasted_us=wasted_us+?9,done=done+?10,failed=failed+?11") \
	X(TRUST, "iii", "INSERT OR REPLACE INTO trust VALUES(?1,?2,?3)") \
	/* with RM_JOB and SECRET_RM: the job is gone, its other rows go with what follows */ \
	X(RM_JOB, "i", "DELETE FROM jobs WHERE job=?1") X(REMOVED, "i", "INSERT OR REPLACE INTO removed VALUES(?1)") \
	X(CUT_ATTEMPTS, "", GR_STORE_CUT("attempts")) X(CUT_OUTCOMES, "", GR_STORE_CUT("outcomes")) X(CUT_OUTPUTS, "", GR_STORE_CUT("outputs")) \
	/* a row of it has as much as a thousand of the others */ \
	X(CUT_PACKS, "", "DELETE FROM packs WHERE job=(SELECT min(job) FROM removed) AND first<=coalesce((SELECT first FROM packs " \
	  "WHERE job=(SELECT min(job) FROM removed) ORDER BY first LIMIT 1 OFFSET 20),9223372036854775807)") \
	X(CUT_DONE, "", "DELETE FROM removed WHERE job=(SELECT min(job) FROM removed) AND NOT EXISTS(SELECT 1 FROM attempts a WHERE a.job=removed.job) " \
	  "AND NOT EXISTS(SELECT 1 FROM packs k WHERE k.job=removed.job) " \
	  "AND NOT EXISTS(SELECT 1 FROM outcomes o WHERE o.job=removed.job) AND NOT EXISTS(SELECT 1 FROM outputs p WHERE p.job=removed.job)") \
	X(SHRINK, "", "PRAGMA incremental_vacuum(256)")
enum gr_store_sql {
#define X(name, params, sql) GR_SQL_##name,
	GR_STORE_SQL_MAP(X)
#undef X
	GR_N_SQL
};

struct gr_store_ops {
	/* The file is damaged, or the store cannot go on: say @text and end. */
	void (*on_damage)(void *ctx, const char *text);
};
struct gr_store_stats {
	uint64_t commits, transactions, rows, failures, waiting, file_bytes, wal_bytes, file_syncs;
};
/**
 * gr_store_open - the database @dir/jobs.db, made or brought up to this program's schema
 * GR_ECORRUPT: damaged, with what to do in @err; GR_EVERSION: made by a newer program; GR_EIO, GR_ENOSPACE.
 */
int gr_store_open(struct gr_loop *loop, const char *dir, const struct gr_store_ops *ops, void *ctx, struct gr_store **out, struct gr_err *err)
	GR_MUST_CHECK;
/* Commits what waits, as far as it can be. Callbacks that were not called are not called any more. */
void gr_store_close(struct gr_store **s);

struct gr_store_attempt_row {
	int64_t task, attempt, ordinal, start_ms, end_ms, cpu_us, wall_us, max_rss, wait_us, in_bytes, flags, out_size, err_size;
	uint64_t worker_id, node_id;
	int64_t cause, exit_code, term_signal, counts, of, against;       /* from here on there is nothing to say of a gr_store_done */
	const char *worker, *node, *reason, *same;
	struct gr_slice digest, out_data, err_data, out_digest, err_digest;
};
typedef void gr_store_told(void *ctx, int rc);
struct gr_store_tx *gr_store_tx_new(struct gr_store *s);
/* A row; the arguments as the statement's parameters say: int64_t, const char * (NULL possible), struct gr_slice. Copied. */
void gr_store_add(struct gr_store_tx *tx, enum gr_store_sql sql, ...);
/* A task that is done by an attempt of which no other row says anything: its ATTEMPT, OUTCOME and USAGE in one, which shares its
 * place on disk with others of the job. @row: cause DONE, no reason, no digest, nothing that counted or was compared, streams of
 * GR_STORE_DONE_BYTES together at most. */
#define GR_STORE_DONE_BYTES 256u
void gr_store_done(struct gr_store_tx *tx, int64_t job, const char *tenant, int64_t mem_mib_ms, const struct gr_store_attempt_row *row);
void gr_store_drop(struct gr_store_tx **tx);
/* The rows of it together, behind everything handed over before. @done on the loop once they are on disk; with an error only
 * when @may_fail. */
void gr_store_commit(struct gr_store_tx **tx, bool may_fail, gr_store_told *done, void *ctx);
/* Files beside the database, in its folder's file system, were written: they are on disk (one syncfs) before a transaction that is
 * committed from now on is told to be. */
void gr_store_files_written(struct gr_store *s);
/* A transaction that is committed from now on may name files of an earlier life, which are being synced since gr_store_open: it
 * waits for that. A row with a digest among its parameters says so by itself. */
void gr_store_files_named(struct gr_store *s);
/* NULL: all is well; else why nothing can be written now. */
const char *gr_store_trouble(const struct gr_store *s);
void gr_store_stats(const struct gr_store *s, struct gr_store_stats *out);

/* ---- reading (query.c) ---- */
struct gr_store_job_row {
	int64_t job, priority, n_tasks, submitted_ms, started_ms, ended_ms, floor, is_paused, is_cancelled, n_failed_before;
	int64_t state;
	const char *token, *spec, *name, *tenant, *reason, *counts, *owner;
};
struct gr_store_output_row {
	int64_t task, attempt, index, kind, mode, size;
	const char *path, *target;
	struct gr_slice digest;
};
/* Each calls @fn for each row, borrowed for the call; a negative return of @fn ends it and is returned. */
int gr_store_each_job(struct gr_store *s, int (*fn)(void *ctx, const struct gr_store_job_row *row), void *ctx) GR_MUST_CHECK;
int gr_store_each_outcome(struct gr_store *s, int64_t job, int (*fn)(void *ctx, int64_t task, int64_t state, int64_t attempt), void *ctx) GR_MUST_CHECK;
/* @task -1: of all tasks, without what gr_store_each_done tells; @with_data: the streams' bytes too. In order of task and attempt. */
int gr_store_each_attempt(struct gr_store *s, int64_t job, int64_t task, bool with_data, int (*fn)(void *ctx, const struct gr_store_attempt_row *row),
			  void *ctx) GR_MUST_CHECK;
/* What gr_store_done was given, in no order. */
int gr_store_each_done(struct gr_store *s, int64_t job, int (*fn)(void *ctx, const struct gr_store_attempt_row *row), void *ctx) GR_MUST_CHECK;
/* Of accepted attempts alone unless @attempt names one; @task -1: of the tasks @from .. @to - 1. */
int gr_store_each_output(struct gr_store *s, int64_t job, int64_t from, int64_t to, int64_t attempt,
			 int (*fn)(void *ctx, const struct gr_store_output_row *row), void *ctx) GR_MUST_CHECK;
int gr_store_each_secret(struct gr_store *s, int64_t job, int (*fn)(void *ctx, const char *name, struct gr_slice value), void *ctx) GR_MUST_CHECK;
int gr_store_each_trust(struct gr_store *s, int (*fn)(void *ctx, uint64_t worker, uint64_t toolchain, int64_t n), void *ctx) GR_MUST_CHECK;
/* Every digest that a job's rows name. */
int gr_store_each_digest(struct gr_store *s, int64_t job, int (*fn)(void *ctx, struct gr_slice digest, int64_t size), void *ctx) GR_MUST_CHECK;
/* A job's description, the caller's to free; NULL: not there. */
char *gr_store_spec(struct gr_store *s, int64_t job);
/* Of a task's attempts that have rows of their own; 0 none, or it cannot be read now. */
uint32_t gr_store_last_ordinal(struct gr_store *s, int64_t job, int64_t task);
/* The outcome's attempt of a task; 0 none. */
int64_t gr_store_outcome_attempt(struct gr_store *s, int64_t job, int64_t task, int64_t *state);
int64_t gr_store_meta(struct gr_store *s, const char *key, int64_t def);
bool gr_store_has_removed(struct gr_store *s);                    /* a job that was removed has rows left */
json_t *gr_store_usage(struct gr_store *s, const char *tenant, int64_t job);      /* rows; NULL tenant, 0 job: all */

/* ---- care (care.c) ----
 * Check, backup and export read one consistent picture on connections of their own: from any one thread, for as long as the
 * store is open, while it goes on. Until they are over the log of what is committed meanwhile cannot be taken in, so it grows.
 * @stop (may be NULL): set by another thread, they end soon with GR_EGONE and leave nothing. */
struct gr_store_stop {
	atomic_bool is_set;
	pthread_mutex_t lock;
	void *db;                         /* whose statement is to be interrupted, or NULL; under the lock */
};
void gr_store_stop_init(struct gr_store_stop *stop);
void gr_store_stop_fini(struct gr_store_stop *stop);
void gr_store_stop_set(struct gr_store_stop *stop);
/* For the next piece of work; nobody uses it now. */
void gr_store_stop_clear(struct gr_store_stop *stop);
/* *@out: {ok, problems}. GR_EGONE alone; what cannot be read is a problem. */
int gr_store_check(struct gr_store *s, struct gr_store_stop *stop, json_t **out, struct gr_err *err) GR_MUST_CHECK;
/* A store at @path, which must not be there (GR_EEXIST); it has that name only when it is whole and on disk, until then
 * GR_STORE_UNFINISHED in its folder. GR_ENOSPACE; what the folder says, GR_EIO. */
#define GR_STORE_UNFINISHED ".unfinished"
int gr_store_backup(struct gr_store *s, const char *path, struct gr_store_stop *stop, struct gr_err *err) GR_MUST_CHECK;
/* Everything but secrets and what is left of removed jobs, as JSON lines, written to @fd; at most @max bytes (GR_ELIMIT). */
struct gr_store_exported {
	struct gr_digest digest;
	uint64_t bytes, lines;
};
int gr_store_export(struct gr_store *s, int fd, uint64_t max, struct gr_store_stop *stop, struct gr_store_exported *out, struct gr_err *err)
	GR_MUST_CHECK;
/* Bytes that hold nothing. A GR_SQL_SHRINK in a transaction cuts 1 MiB of them off at most, and gives it back to the disk
 * unless somebody reads an older picture. */
int64_t gr_store_free_bytes(struct gr_store *s);
/* Without a store open: what can be read of @dir/jobs.db goes into a new one; the damaged one is kept beside it. */
int gr_store_recover(const char *dir, uint64_t now_ms, struct gr_buf *report, struct gr_err *err) GR_MUST_CHECK;
