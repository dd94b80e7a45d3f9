/* care.c - checking, copying, shrinking, exporting and saving a database; see store.h
 *
 * All of it on connections of its own: a backup is a consistent picture while the writer goes on. Recovery reads a
 * damaged file table by table in both directions of its key, so that a hole costs what lies in it and no more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/store/store_int.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"

json_t *gr_store_check(struct gr_store *s)
{
	json_t *problems = json_array();
	sqlite3 *db = NULL;
	sqlite3_stmt *st;
	struct gr_err err;

	if (gr_store__open_db(gr_store__path(s), true, &db, &err) < 0) {
		json_array_append_new(problems, json_string(err.text));
		goto out;
	}
	if (sqlite3_prepare_v2(db, "PRAGMA integrity_check(100)", -1, &st, NULL) == SQLITE_OK) {
		while (sqlite3_step(st) == SQLITE_ROW) {
			const char *t = (const char *)sqlite3_column_text(st, 0);

			if (t && strcmp(t, "ok"))
				json_array_append_new(problems, json_string(t));
		}
		if (sqlite3_finalize(st) != SQLITE_OK)
			json_array_append_new(problems, json_string(sqlite3_errmsg(db)));
	} else {
		json_array_append_new(problems, json_string(sqlite3_errmsg(db)));
	}
out:
	sqlite3_close(db);
	return json_pack("{s:b, s:o}", "ok", json_array_size(problems) == 0, "problems", problems);
}

int gr_store_backup(struct gr_store *s, const char *path, struct gr_err *err)
{
	sqlite3 *from = NULL, *to = NULL;
	sqlite3_backup *b;
	int rc = gr_store__open_db(gr_store__path(s), true, &from, err);

	if (rc < 0)
		return gr_err_wrap(err, "backup");
	if (access(path, F_OK) == 0)
		rc = gr_err_set(err, GR_EEXIST, "backup: %s is there already", path);
	else if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
		rc = gr_store__fail(to, path, "backup cannot be made", err);
	else if (!(b = sqlite3_backup_init(to, "main", from, "main")))
		rc = gr_store__fail(to, path, "backup cannot be made", err);
	else {
		sqlite3_backup_step(b, -1);
		if (sqlite3_backup_finish(b) != SQLITE_OK)
			rc = gr_store__fail(to, path, "backup failed", err);
	}
	sqlite3_close(to);
	sqlite3_close(from);
	if (rc < 0 && rc != GR_EEXIST)
		unlink(path);
	return rc;
}

int gr_store_vacuum(struct gr_store *s, struct gr_err *err)
{
	sqlite3 *db = NULL;
	int rc = gr_store__open_db(gr_store__path(s), false, &db, err);

	if (rc >= 0 && sqlite3_exec(db, "PRAGMA wal_checkpoint(PASSIVE); VACUUM; PRAGMA wal_checkpoint(PASSIVE)", NULL, NULL, NULL) != SQLITE_OK)
		rc = gr_store__fail(db, gr_store__path(s), "cannot be vacuumed", err);
	sqlite3_close(db);
	return rc;
}

/* ---- export ---- */

static const char *const tables[] = { "meta", "jobs", "attempts", "outcomes", "outputs", "usage", "trust", "secrets" };
#define N_EXPORTED 7u                       /* not the secrets */

static json_t *value_json(sqlite3_stmt *st, int i)
{
	char hex[GR_DIGEST_HEX];
	struct gr_digest d;
	json_t *v;

	switch (sqlite3_column_type(st, i)) {
	case SQLITE_INTEGER:
		return json_integer(sqlite3_column_int64(st, i));
	case SQLITE_TEXT:
		v = json_stringn((const char *)sqlite3_column_text(st, i), (size_t)sqlite3_column_bytes(st, i));
		return v ? v : json_string("(not UTF-8)");
	case SQLITE_BLOB:
		if (sqlite3_column_bytes(st, i) == GR_DIGEST_BYTES && strstr(sqlite3_column_name(st, i), "digest")) {
			memcpy(d.b, sqlite3_column_blob(st, i), sizeof(d.b));
			gr_digest_hex(&d, hex);
			return json_string(hex);
		}
		v = json_stringn(sqlite3_column_blob(st, i), (size_t)sqlite3_column_bytes(st, i));
		return v ? v : json_string("(bytes)");
	default:
		return json_null();
	}
}

int64_t gr_store_export(struct gr_store *s, int fd, struct gr_err *err)
{
	struct gr_buf line = { 0 };
	sqlite3 *db = NULL;
	int64_t n = 0;
	int rc = gr_store__open_db(gr_store__path(s), true, &db, err);

	if (rc >= 0)
		sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
	for (size_t i = 0; i < N_EXPORTED && rc >= 0; i++) {
		sqlite3_stmt *st;
		char sql[64];

		snprintf(sql, sizeof(sql), "SELECT * FROM %s", tables[i]);
		if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK) {
			rc = gr_store__fail(db, gr_store__path(s), tables[i], err);
			break;
		}
		while (rc >= 0 && sqlite3_step(st) == SQLITE_ROW) {
			json_t *o = json_pack("{s:s}", "table", tables[i]);
			char *text;

			for (int k = 0; k < sqlite3_column_count(st); k++)
				json_object_set_new(o, sqlite3_column_name(st, k), value_json(st, k));
			text = json_dumps(o, JSON_COMPACT);
			json_decref(o);
			gr_buf_add_str(&line, text);
			gr_buf_add_byte(&line, '\n');
			free(text);
			n++;
			if (line.n > 1 << 16) {
				rc = gr_write_all(fd, line.p, line.n);
				gr_buf_clear(&line);
			}
		}
		if (sqlite3_finalize(st) != SQLITE_OK && rc >= 0)
			rc = gr_store__fail(db, gr_store__path(s), tables[i], err);
	}
	if (rc >= 0)
		rc = gr_write_all(fd, line.p, line.n);
	gr_buf_fini(&line);
	sqlite3_close(db);
	return rc < 0 ? rc : n;
}

/* ---- recovery ---- */

static int64_t copy_rows(sqlite3 *from, sqlite3 *to, const char *table, const char *order, bool *is_whole)
{
	sqlite3_stmt *in, *out;
	int64_t n = 0;
	char sql[512];
	int rc, n_col;

	*is_whole = false;
	snprintf(sql, sizeof(sql), "SELECT * FROM %s %s", table, order);
	if (sqlite3_prepare_v2(from, sql, -1, &in, NULL) != SQLITE_OK)
		return 0;
	n_col = sqlite3_column_count(in);
	snprintf(sql, sizeof(sql), "INSERT OR IGNORE INTO %s VALUES(", table);
	for (int i = 0; i < n_col; i++)
		strcat(sql, i ? ",?" : "?");
	strcat(sql, ")");
	if (sqlite3_prepare_v2(to, sql, -1, &out, NULL) != SQLITE_OK) {
		sqlite3_finalize(in);
		return 0;
	}
	while ((rc = sqlite3_step(in)) == SQLITE_ROW) {
		for (int i = 0; i < n_col; i++)
			sqlite3_bind_value(out, i + 1, sqlite3_column_value(in, i));
		if (sqlite3_step(out) == SQLITE_DONE)
			n += sqlite3_changes(to);
		sqlite3_reset(out);
	}
	*is_whole = rc == SQLITE_DONE;
	sqlite3_finalize(in);
	sqlite3_finalize(out);
	return n;
}

static const char *const keys[] = { "key", "job", "job DESC,task DESC,attempt", "job DESC,task", "job DESC,task DESC,attempt DESC,seq", "job",
				    "worker DESC,toolchain", "job DESC,name" };

/* What is left of jobs that are not: their descriptions were in what could not be read. */
static void tell_orphans(sqlite3 *db, struct gr_buf *report)
{
	static const char sql[] =
		"SELECT job, (SELECT count(*) FROM outcomes o WHERE o.job=a.job), (SELECT count(*) FROM attempts t WHERE t.job=a.job) FROM "
		"(SELECT job FROM attempts UNION SELECT job FROM outcomes UNION SELECT job FROM usage) a WHERE job NOT IN (SELECT job FROM jobs)";
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		return;
	while (sqlite3_step(st) == SQLITE_ROW)
		gr_buf_printf(report, "job %lld: its description is lost, it will not go on; %lld outcomes and %lld attempts of it are kept. Submit it again "
			      "for the rest, or take it from a backup\n", (long long)sqlite3_column_int64(st, 0),
			      (long long)sqlite3_column_int64(st, 1), (long long)sqlite3_column_int64(st, 2));
	sqlite3_finalize(st);
}

int gr_store_recover(const char *dir, uint64_t now_ms, struct gr_buf *report, struct gr_err *err)
{
	static const char *const tails[] = { "", "-wal", "-shm" };
	char old[4200], fresh[4200], kept[4300], order[128];
	sqlite3 *from = NULL, *to = NULL;
	int rc;

	snprintf(old, sizeof(old), "%s/jobs.db", dir);
	snprintf(fresh, sizeof(fresh), "%s/jobs.db.new", dir);
	if (access(old, F_OK) < 0)
		return gr_err_set(err, GR_ENOENT, "%s: there is nothing to recover", old);
	unlink(fresh);
	rc = gr_store__open_db(fresh, false, &to, err);
	if (rc >= 0)
		rc = gr_store__migrate(to, fresh, err);
	if (rc < 0)
		goto out;
	if (sqlite3_open_v2(old, &from, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
		rc = gr_store__fail(from, old, "cannot be opened at all", err);
		goto out;
	}
	sqlite3_exec(from, "PRAGMA cell_size_check=1; PRAGMA writable_schema=1", NULL, NULL, NULL);
	sqlite3_exec(to, "BEGIN", NULL, NULL, NULL);
	for (size_t i = 0; i < GR_LEN(tables); i++) {
		bool is_whole;
		int64_t n = copy_rows(from, to, tables[i], "", &is_whole);

		if (!is_whole) {
			bool ignored;

			snprintf(order, sizeof(order), "ORDER BY %s DESC", keys[i]);
			n += copy_rows(from, to, tables[i], order, &ignored);
		}
		gr_buf_printf(report, "%s: %lld rows%s\n", tables[i], (long long)n, is_whole ? "" : ", others could not be read");
	}
	tell_orphans(to, report);
	if (sqlite3_exec(to, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) != SQLITE_OK)
		rc = gr_store__fail(to, fresh, "cannot be written", err);
out:
	sqlite3_close(from);
	sqlite3_close(to);
	for (size_t i = 0; i < GR_LEN(tails) && rc >= 0; i++) {
		char a[4300];

		snprintf(a, sizeof(a), "%s%s", old, tails[i]);
		snprintf(kept, sizeof(kept), "%s.damaged-%llu%s", old, (unsigned long long)now_ms, tails[i]);
		if (rename(a, kept) < 0 && !*tails[i])
			rc = gr_err_set(err, GR_EIO, "%s cannot be renamed", a);
		if (!*tails[i])
			gr_buf_printf(report, "the damaged file is kept as %s\n", kept);
	}
	if (rc >= 0 && rename(fresh, old) < 0)
		rc = gr_err_set(err, GR_EIO, "%s cannot be renamed", fresh);
	if (rc < 0)
		unlink(fresh);
	return rc;
}
