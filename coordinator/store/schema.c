/* schema.c - opening a database, its tables, and how older ones become new; see store.h
 *
 * user_version is the schema's number; step i of the table below makes i + 1 of i, in one transaction. A step that was
 * released is never changed. Tables of tasks are WITHOUT ROWID: their key is how they are asked for.
 */
#include <stdio.h>
#include <string.h>

#include "coordinator/store/store_int.h"
#include "lib/base/alloc.h"

static const char *const steps[GR_STORE_SCHEMA] = {
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
	"CREATE TABLE jobs(job INTEGER PRIMARY KEY, token TEXT, spec TEXT NOT NULL, name TEXT, tenant TEXT NOT NULL, owner TEXT, priority INTEGER,"
	" n_tasks INTEGER NOT NULL, submitted_ms INTEGER, started_ms INTEGER DEFAULT 0, ended_ms INTEGER DEFAULT 0, state INTEGER DEFAULT 0,"
	" is_paused INTEGER DEFAULT 0, is_cancelled INTEGER DEFAULT 0, reason TEXT, counts TEXT, floor INTEGER DEFAULT 0);"
	"CREATE UNIQUE INDEX jobs_token ON jobs(token) WHERE token IS NOT NULL;"
	"CREATE TABLE secrets(job INTEGER, name TEXT, value BLOB, PRIMARY KEY(job, name)) WITHOUT ROWID;"
	"CREATE TABLE attempts(job INTEGER, task INTEGER, attempt INTEGER, ordinal INTEGER, worker TEXT, node TEXT, worker_id INTEGER, node_id INTEGER,"
	" start_ms INTEGER, end_ms INTEGER, cause INTEGER, counts INTEGER, exit_code INTEGER, term_signal INTEGER, cpu_us INTEGER, wall_us INTEGER,"
	" max_rss INTEGER, wait_us INTEGER, in_bytes INTEGER, reason TEXT, flags INTEGER, out_size INTEGER, err_size INTEGER, out_data BLOB,"
	" err_data BLOB, out_digest BLOB, err_digest BLOB, PRIMARY KEY(job, task, attempt)) WITHOUT ROWID;"
	"CREATE TABLE outcomes(job INTEGER, task INTEGER, state INTEGER, attempt INTEGER, PRIMARY KEY(job, task)) WITHOUT ROWID;"
	"CREATE TABLE outputs(job INTEGER, task INTEGER, attempt INTEGER, seq INTEGER, idx INTEGER, kind INTEGER, path TEXT, mode INTEGER,"
	" size INTEGER, digest BLOB, target TEXT, PRIMARY KEY(job, task, attempt, seq)) WITHOUT ROWID;"
	"CREATE TABLE usage(job INTEGER PRIMARY KEY, tenant TEXT, cpu_us INTEGER, mem_mib_ms INTEGER, in_bytes INTEGER, out_bytes INTEGER,"
	" attempts INTEGER, retries INTEGER, wasted_us INTEGER, done INTEGER, failed INTEGER);"
	"CREATE TABLE trust(worker INTEGER, toolchain INTEGER, n_valid INTEGER, PRIMARY KEY(worker, toolchain)) WITHOUT ROWID;",
	/* of a copy: what it is compared by; of a comparison: the attempts whose results it compares */
	"ALTER TABLE attempts ADD COLUMN digest BLOB; ALTER TABLE attempts ADD COLUMN of INTEGER; ALTER TABLE attempts ADD COLUMN against INTEGER;",
	/* jobs that are gone, and of which attempts, outcomes or outputs may be left */
	"CREATE TABLE removed(job INTEGER PRIMARY KEY);",
	/* attempts that have done their tasks, many in one: pack.c */
	"CREATE TABLE packs(job INTEGER, first INTEGER, last INTEGER, n INTEGER, data BLOB, PRIMARY KEY(job, first)) WITHOUT ROWID;",
	/* of a copy, where copies go to workers alike: the value of their label */
	"ALTER TABLE attempts ADD COLUMN same TEXT;",
	/* as many had failed when it was taken up again in spite of them */
	"ALTER TABLE jobs ADD COLUMN n_failed_before INTEGER DEFAULT 0;" GR_STORE_OF_5,
};

int gr_store__fail(sqlite3 *db, const char *path, const char *what, struct gr_err *err)
{
	int code = sqlite3_errcode(db) & 0xff;

	switch (code) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return gr_err_set(err, GR_ECORRUPT, "%s: %s: %s. Nothing was changed. `griddle-coordinator --state DIR --recover` saves what can be read "
				  "into a new file and keeps this one beside it; or put a backup in its place", path, what, sqlite3_errmsg(db));
	case SQLITE_FULL:
		return gr_err_set(err, GR_ENOSPACE, "%s: %s: no space left", path, what);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return gr_err_set(err, GR_EBUSY, "%s: %s: another program uses it", path, what);
	case SQLITE_CANTOPEN:                     /* "unable to open database file" */
		if (sqlite3_system_errno(db))
			return gr_err_set(err, gr_err_errno(sqlite3_system_errno(db)), "%s: %s: %s", path, what, strerror(sqlite3_system_errno(db)));
		/* fallthrough */
	default:
		return gr_err_set(err, GR_EIO, "%s: %s: %s", path, what, sqlite3_errmsg(db));
	}
}

int64_t gr_store__pragma(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st;
	int64_t v = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return v;
}

int gr_store__open_db(const char *path, bool is_read_only, sqlite3 **out, struct gr_err *err)
{
	int flags = is_read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	sqlite3 *db = NULL;
	int rc;

	if (sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL) != SQLITE_OK) {
		rc = gr_store__fail(db, path, "cannot be opened", err);
		sqlite3_close(db);
		return rc;
	}
	sqlite3_busy_timeout(db, GR_STORE_BUSY_MS);
	/* only what has no page yet can be told; before the log is, whose own page is one */
	if (!is_read_only && gr_store__pragma(db, "PRAGMA page_count") == 0)
		sqlite3_exec(db, "PRAGMA auto_vacuum=INCREMENTAL", NULL, NULL, NULL);
	if (sqlite3_exec(db, is_read_only ? "PRAGMA query_only=1; PRAGMA mmap_size=0; PRAGMA cache_size=-8000" :
			 "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16000; PRAGMA journal_size_limit=67108864; "
			 "PRAGMA secure_delete=ON",
			 NULL, NULL, NULL) != SQLITE_OK || gr_store__pragma(db, "PRAGMA user_version") < 0) {
		rc = gr_store__fail(db, path, "cannot be read", err);
		sqlite3_close(db);
		return rc;
	}
	*out = db;
	return 0;
}

int gr_store__migrate(sqlite3 *db, const char *path, struct gr_err *err)
{
	int64_t v = gr_store__pragma(db, "PRAGMA user_version");
	char set[64];

	if (v > GR_STORE_SCHEMA)
		return gr_err_set(err, GR_EVERSION, "%s: made by a newer program (schema %lld, this one knows %d); nothing was changed", path,
				  (long long)v, GR_STORE_SCHEMA);
	if (v < 0)
		return gr_store__fail(db, path, "cannot be read", err);
	for (; v < GR_STORE_SCHEMA; v++) {
		snprintf(set, sizeof(set), "PRAGMA user_version=%lld", (long long)v + 1);
		if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK || sqlite3_exec(db, steps[v], NULL, NULL, NULL) != SQLITE_OK ||
		    sqlite3_exec(db, set, NULL, NULL, NULL) != SQLITE_OK || sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
			int rc = gr_store__fail(db, path, "its tables cannot be made", err);

			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			return rc;
		}
	}
	return 0;
}

int gr_store__make_shrinkable(sqlite3 *db, const char *path, struct gr_err *err)
{
	if (gr_store__pragma(db, "PRAGMA auto_vacuum") != 0)
		return 0;
	if (sqlite3_exec(db, "PRAGMA auto_vacuum=INCREMENTAL; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) != SQLITE_OK)
		return gr_store__fail(db, path, "cannot be rewritten", err);
	return 1;
}
