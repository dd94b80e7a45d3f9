/* care.c - checking, copying, exporting and saving a database; see store.h
 *
 * All of it on connections of its own: a backup is a consistent picture while the writer goes on. It is read in one
 * transaction, because SQLite begins a copy anew whenever another connection commits between two steps of it. Recovery reads a
 * damaged file table by table in both directions of its key, so that a hole costs what lies in it and no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/store/store_int.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/job/batch.h"

#define STEP_PAGES 64                       /* of a backup, between two looks at @stop */
#define SYNC_STEPS 64u                      /* 16 MiB: so much is written behind a commit's back at most */
#define MAX_PROBLEMS 100u                  /* told of a check */
#define LOOK_OPS 10000                      /* of SQLite's machine: a few hundred microseconds */

/* ---- ending early ---- */

void gr_store_stop_init(struct gr_store_stop *stop)
{
	atomic_init(&stop->is_set, false);
	pthread_mutex_init(&stop->lock, NULL);
	stop->db = NULL;
}

void gr_store_stop_fini(struct gr_store_stop *stop) { pthread_mutex_destroy(&stop->lock); }
void gr_store_stop_clear(struct gr_store_stop *stop) { atomic_store(&stop->is_set, false); }

void gr_store_stop_set(struct gr_store_stop *stop)
{
	atomic_store(&stop->is_set, true);
	pthread_mutex_lock(&stop->lock);
	if (stop->db)
		sqlite3_interrupt(stop->db);
	pthread_mutex_unlock(&stop->lock);
}

static bool is_stopping(struct gr_store_stop *stop) { return stop && atomic_load(&stop->is_set); }
static int is_to_end(void *ctx) { return is_stopping(ctx); }

static void interrupts(struct gr_store_stop *stop, sqlite3 *db)
{
	if (!stop)
		return;
	pthread_mutex_lock(&stop->lock);
	stop->db = db;
	pthread_mutex_unlock(&stop->lock);
}

/* A reader for one piece of work. An interrupt reaches what is under way, also the walk through a tree that integrity_check
 * is; one that comes just before it begins is forgotten, which the progress handler makes good. */
static int open_reader(struct gr_store *s, struct gr_store_stop *stop, sqlite3 **db, struct gr_err *err)
{
	int rc = gr_store__open_db(gr_store__path(s), true, db, err);

	if (rc < 0)
		return rc;
	if (stop)
		sqlite3_progress_handler(*db, LOOK_OPS, is_to_end, stop);
	interrupts(stop, *db);
	return 0;
}

static void close_reader(struct gr_store_stop *stop, sqlite3 **db)
{
	interrupts(stop, NULL);
	sqlite3_close(*db);
	*db = NULL;
}

static int stopped(struct gr_err *err) { return gr_err_set(err, GR_EGONE, "ended before it was done"); }

/* ---- check ---- */

static int look_on(void *ctx, const struct gr_store_attempt_row *r)
{
	(void)ctx, (void)r;
	return 0;
}

/* integrity_check knows of pages and keys, not of what lies in a pack. */
static void check_packs(sqlite3 *db, json_t *problems)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(db, "SELECT job,first,last,data FROM packs", -1, &st, NULL) != SQLITE_OK) {
		json_array_append_new(problems, json_string(sqlite3_errmsg(db)));
		return;
	}
	while (sqlite3_step(st) == SQLITE_ROW && json_array_size(problems) < MAX_PROBLEMS)
		if (gr_pack__each_of(st, 0, 1, 3, look_on, NULL) < 0)
			json_array_append_new(problems, json_sprintf("job %lld: of its tasks %lld to %lld those that were done at once cannot be read",
					      (long long)sqlite3_column_int64(st, 0), (long long)sqlite3_column_int64(st, 1),
					      (long long)sqlite3_column_int64(st, 2)));
	sqlite3_finalize(st);                     /* what SQLite could not read it has said before */
}

int gr_store_check(struct gr_store *s, struct gr_store_stop *stop, json_t **out, struct gr_err *err)
{
	json_t *problems = json_array();
	struct gr_err why;
	sqlite3 *db = NULL;
	sqlite3_stmt *st;

	if (open_reader(s, stop, &db, &why) < 0) {
		json_array_append_new(problems, json_string(why.text));
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
		check_packs(db, problems);
	} else {
		json_array_append_new(problems, json_string(sqlite3_errmsg(db)));
	}
out:
	close_reader(stop, &db);
	if (is_stopping(stop)) {
		json_decref(problems);
		return stopped(err);
	}
	*out = json_pack("{s:b, s:o}", "ok", json_array_size(problems) == 0, "problems", problems);
	return 0;
}

/* ---- backup ---- */

/* All pages, of one transaction, on disk. @fd: of the file that @to has open. */
static int copy_pages(sqlite3 *from, sqlite3 *to, const char *path, int fd, struct gr_store_stop *stop, struct gr_err *err)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	uint32_t n = 0;
	int rc;

	if (!b)
		return gr_store__fail(to, path, "backup cannot be made", err);
	do {
		rc = sqlite3_backup_step(b, STEP_PAGES);
		if (++n % SYNC_STEPS == 0)
			(void)!fdatasync(fd);             /* the last one tells what could not be written */
	} while (rc == SQLITE_OK && !is_stopping(stop));
	sqlite3_backup_finish(b);
	if (rc == SQLITE_OK)
		return stopped(err);
	return rc == SQLITE_DONE ? 0 : gr_store__fail(to, path, "backup failed", err);
}

/* No file is replaced. */
static int give_name(const char *tmp, const char *path, struct gr_err *err)
{
	int rc = renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE);

	if (rc < 0 && (errno == EINVAL || errno == ENOSYS) && access(path, F_OK) < 0)       /* a file system that cannot */
		rc = rename(tmp, path);
	if (rc < 0 && errno == EEXIST)
		return gr_err_set(err, GR_EEXIST, "backup: %s is there already", path);
	return rc < 0 ? gr_err_set(err, gr_err_errno(errno), "backup: %s: %s", path, strerror(errno)) : 0;
}

static int write_backup(struct gr_store *s, const char *tmp, int fd, struct gr_store_stop *stop, struct gr_err *err)
{
	sqlite3 *from = NULL, *to = NULL;
	int rc = open_reader(s, NULL, &from, err);

	if (rc < 0)
		return gr_err_wrap(err, "backup");
	/* a transaction that is open is what every step copies from: else a commit meanwhile would begin it anew */
	if (sqlite3_exec(from, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) != SQLITE_OK)
		rc = gr_store__fail(from, gr_store__path(s), "cannot be read", err);
	else if (sqlite3_open_v2(tmp, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL) != SQLITE_OK ||
		 sqlite3_exec(to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-2000", NULL, NULL, NULL) != SQLITE_OK)
		rc = gr_store__fail(to, tmp, "backup cannot be made", err);
	else
		rc = copy_pages(from, to, tmp, fd, stop, err);
	if (sqlite3_close(to) != SQLITE_OK && rc >= 0)
		rc = gr_err_set(err, GR_EIO, "backup: %s cannot be closed", tmp);
	sqlite3_close(from);
	if (rc >= 0 && fsync(fd) < 0)
		rc = gr_err_set(err, gr_err_errno(errno), "backup: %s: %s", tmp, strerror(errno));
	return rc;
}

int gr_store_backup(struct gr_store *s, const char *path, struct gr_store_stop *stop, struct gr_err *err)
{
	const char *slash = strrchr(path, '/');
	int n_dir = slash ? (int)(slash - path) : 0, fd, dirfd, rc;
	char tmp[4400], folder[4400];

	snprintf(folder, sizeof(folder), "%.*s", slash ? n_dir + (n_dir == 0) : 1, slash ? path : ".");
	snprintf(tmp, sizeof(tmp), "%s/" GR_STORE_UNFINISHED, folder);
	if (access(path, F_OK) == 0)
		return gr_err_set(err, GR_EEXIST, "backup: %s is there already", path);
	unlink(tmp);                              /* of an earlier life */
	fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return gr_err_set(err, gr_err_errno(errno), "backup: %s: %s", tmp, strerror(errno));
	rc = write_backup(s, tmp, fd, stop, err);
	if (rc >= 0)
		rc = is_stopping(stop) ? stopped(err) : give_name(tmp, path, err);
	if (rc < 0)
		unlink(tmp);
	close(fd);
	dirfd = rc < 0 ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd >= 0) {
		if (fsync(dirfd) < 0)
			rc = gr_err_set(err, gr_err_errno(errno), "backup: %s: %s", folder, strerror(errno));
		close(dirfd);
	}
	return rc;
}

/* ---- cutting ---- */

int64_t gr_store_free_bytes(struct gr_store *s)
{
	int64_t n = gr_store__pragma(gr_store__reader(s), "PRAGMA freelist_count"), page = gr_store__pragma(gr_store__reader(s), "PRAGMA page_size");

	return n > 0 && page > 0 ? n * page : 0;
}

/* ---- export ---- */

/* NEW: a damaged file of before does not have it; PACKED: a row is many of other tables */
enum { UNEXPORTED = 1, OF_TASKS = 2, NEW = 4, PACKED = 8 };
/* key: as rows are ordered by, from the end, when a walk from the beginning met damage */
static const struct { const char *name, *key; int flags; } tables[] = {
	{ "meta", "key", 0 }, { "jobs", "job", 0 }, { "attempts", "job DESC,task DESC,attempt", OF_TASKS }, { "outcomes", "job DESC,task", OF_TASKS },
	{ "packs", "job DESC,first", OF_TASKS | NEW | PACKED },
	{ "outputs", "job DESC,task DESC,attempt DESC,seq", OF_TASKS }, { "usage", "job", 0 }, { "trust", "worker DESC,toolchain", 0 },
	{ "secrets", "job DESC,name", UNEXPORTED }, { "removed", "job", UNEXPORTED | NEW },
};

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

/* A file that is hashed as it is written. */
struct sink {
	int fd;
	uint64_t max;
	struct gr_buf text;
	struct gr_sha256 *hash;
	struct gr_store_exported *out;
};

static int flush(struct sink *k, struct gr_err *err)
{
	int rc = k->out->bytes + k->text.n > k->max ? GR_ELIMIT : gr_write_all(k->fd, k->text.p, k->text.n);

	if (rc == GR_ELIMIT)
		return gr_err_set(err, rc, "export: more than %llu MiB; take a backup", (unsigned long long)k->max >> 20);
	if (rc < 0)
		return gr_err_set(err, rc, "export: cannot be written: %s", gr_err_text(rc));
	gr_sha256_add(k->hash, k->text.p, k->text.n);
	k->out->bytes += k->text.n;
	gr_buf_clear(&k->text);
	return 0;
}

/* Takes @o. */
static int write_line(struct sink *k, json_t *o, struct gr_err *err)
{
	char *text = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	gr_buf_add_str(&k->text, text);
	gr_buf_add_byte(&k->text, '\n');
	free(text);
	k->out->lines++;
	return k->text.n > 1 << 16 ? flush(k, err) : 0;
}

static json_t *bytes_json(struct gr_slice b)
{
	json_t *v = b.n ? json_stringn((const char *)b.p, b.n) : json_null();

	return v ? v : json_string("(bytes)");
}

struct unpack {
	struct sink *k;
	int64_t job;
	struct gr_err *err;
};

/* Two lines, as if each had a row of its own. */
static int export_packed(void *ctx, const struct gr_store_attempt_row *r)
{
	struct unpack *x = ctx;
	json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "table", "attempts", "job", (json_int_t)x->job, "task",
			      (json_int_t)r->task, "attempt", (json_int_t)r->attempt, "ordinal", (json_int_t)r->ordinal, "worker", r->worker, "node", r->node,
			      "worker_id", (json_int_t)r->worker_id, "node_id", (json_int_t)r->node_id, "start_ms", (json_int_t)r->start_ms, "end_ms",
			      (json_int_t)r->end_ms, "cause", (json_int_t)r->cause);
	int rc;

	json_object_update_new(o, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:n, s:I, s:I, s:I, s:o, s:o, s:n, s:n, s:n, s:I, s:I, s:n}", "counts",
			(json_int_t)r->counts, "exit_code", (json_int_t)r->exit_code, "term_signal", (json_int_t)r->term_signal, "cpu_us",
			(json_int_t)r->cpu_us, "wall_us", (json_int_t)r->wall_us, "max_rss", (json_int_t)r->max_rss, "wait_us", (json_int_t)r->wait_us,
			"in_bytes", (json_int_t)r->in_bytes, "reason", "flags", (json_int_t)r->flags, "out_size", (json_int_t)r->out_size, "err_size",
			(json_int_t)r->err_size, "out_data", bytes_json(r->out_data), "err_data", bytes_json(r->err_data), "out_digest", "err_digest",
			"digest", "of", (json_int_t)r->of, "against", (json_int_t)r->against, "same"));
	rc = write_line(x->k, o, x->err);
	return rc < 0 ? rc : write_line(x->k, json_pack("{s:s, s:I, s:I, s:i, s:I}", "table", "outcomes", "job", (json_int_t)x->job, "task", (json_int_t)r->task,
			      "state", GR_B_DONE, "attempt", (json_int_t)r->attempt), x->err);
}

static int export_pack(sqlite3_stmt *st, const char *path, struct sink *k, struct gr_err *err)
{
	struct unpack x = { k, sqlite3_column_int64(st, 0), err };
	int rc = gr_pack__each_of(st, 0, 1, 4, export_packed, &x);

	return rc == GR_ECORRUPT ? gr_err_set(err, rc, "%s is damaged: tasks of job %lld that were done cannot be read", path, (long long)x.job) : rc;
}

static int export_table(sqlite3 *db, const char *path, size_t i_table, struct gr_store_stop *stop, struct sink *k, struct gr_err *err)
{
	const char *table = tables[i_table].name;
	sqlite3_stmt *st;
	char sql[96];
	int rc = 0;

	snprintf(sql, sizeof(sql), "SELECT * FROM %s%s", table, tables[i_table].flags & OF_TASKS ? " WHERE job NOT IN (SELECT job FROM removed)" : "");
	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		return gr_store__fail(db, path, table, err);
	while (rc >= 0 && !is_stopping(stop) && sqlite3_step(st) == SQLITE_ROW) {
		json_t *o;

		if (tables[i_table].flags & PACKED) {
			rc = export_pack(st, path, k, err);
			continue;
		}
		o = json_pack("{s:s}", "table", table);
		for (int i = 0; i < sqlite3_column_count(st); i++)
			json_object_set_new(o, sqlite3_column_name(st, i), value_json(st, i));
		rc = write_line(k, o, err);
	}
	if (sqlite3_finalize(st) != SQLITE_OK && rc >= 0 && !is_stopping(stop))
		rc = gr_store__fail(db, path, table, err);
	return rc < 0 ? rc : is_stopping(stop) ? stopped(err) : flush(k, err);
}

int gr_store_export(struct gr_store *s, int fd, uint64_t max, struct gr_store_stop *stop, struct gr_store_exported *out, struct gr_err *err)
{
	struct gr_store_exported got = { .lines = 0 };
	struct sink k = { .fd = fd, .max = max, .hash = gr_sha256_new(), .out = &got };
	sqlite3 *db = NULL;
	int rc = open_reader(s, stop, &db, err);

	if (rc >= 0)
		sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
	for (size_t i = 0; i < GR_LEN(tables) && rc >= 0; i++)
		if (!(tables[i].flags & UNEXPORTED))
			rc = export_table(db, gr_store__path(s), i, stop, &k, err);
	gr_sha256_end(k.hash, &got.digest);
	gr_sha256_free(&k.hash);
	gr_buf_fini(&k.text);
	close_reader(stop, &db);
	if (rc >= 0)
		*out = got;
	return rc;
}

/* ---- recovery ---- */

static int64_t copy_rows(sqlite3 *from, sqlite3 *to, size_t i_table, const char *order, bool *is_whole)
{
	const char *table = tables[i_table].name;
	bool is_packed = tables[i_table].flags & PACKED, has_torn = false;
	sqlite3_stmt *in, *out;
	int64_t n = 0;
	char sql[512];
	struct gr_buf insert = { 0 };
	int rc, n_col;

	*is_whole = false;
	snprintf(sql, sizeof(sql), "SELECT * FROM %s %s", table, order);
	if (sqlite3_prepare_v2(from, sql, -1, &in, NULL) != SQLITE_OK)
		return 0;
	n_col = sqlite3_column_count(in);
	/* by name: the damaged one may be of an older schema */
	gr_buf_printf(&insert, "INSERT OR IGNORE INTO %s(", table);
	for (int i = 0; i < n_col; i++)
		gr_buf_printf(&insert, "%s%s", i ? "," : "", sqlite3_column_name(in, i));
	gr_buf_add_str(&insert, ") VALUES(");
	for (int i = 0; i < n_col; i++)
		gr_buf_add_str(&insert, i ? ",?" : "?");
	gr_buf_add_byte(&insert, ')');
	rc = sqlite3_prepare_v2(to, gr_buf_str(&insert), -1, &out, NULL);
	gr_buf_fini(&insert);
	if (rc != SQLITE_OK) {
		sqlite3_finalize(in);
		return 0;
	}
	while ((rc = sqlite3_step(in)) == SQLITE_ROW) {
		if (is_packed && gr_pack__each_of(in, 0, 1, 4, look_on, NULL) < 0) {
			has_torn = true;
			continue;
		}
		for (int i = 0; i < n_col; i++)
			sqlite3_bind_value(out, i + 1, sqlite3_column_value(in, i));
		if (sqlite3_step(out) == SQLITE_DONE)
			n += sqlite3_changes(to);
		sqlite3_reset(out);
	}
	*is_whole = rc == SQLITE_DONE && !has_torn;
	sqlite3_finalize(in);
	sqlite3_finalize(out);
	return n;
}

/* What is left of jobs that are not: their descriptions were in what could not be read. Usage is no sign of one, it outlives its job. */
static void tell_orphans(sqlite3 *db, struct gr_buf *report)
{
	static const char sql[] =
		"SELECT job, (SELECT count(*) FROM outcomes o WHERE o.job=a.job) + k, (SELECT count(*) FROM attempts t WHERE t.job=a.job) + k FROM "
		"(SELECT job, (SELECT coalesce(sum(n),0) FROM packs p WHERE p.job=b.job) k FROM "
		"(SELECT job FROM attempts UNION SELECT job FROM outcomes UNION SELECT job FROM packs) b) a WHERE job NOT IN (SELECT job FROM jobs) "
		"AND job NOT IN (SELECT job FROM removed)";
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
		int64_t n;

		if (tables[i].flags & NEW && sqlite3_table_column_metadata(from, NULL, tables[i].name, NULL, NULL, NULL, NULL, NULL, NULL) != SQLITE_OK)
			continue;
		n = copy_rows(from, to, i, "", &is_whole);
		if (!is_whole) {
			bool ignored;

			snprintf(order, sizeof(order), "ORDER BY %s DESC", tables[i].key);
			n += copy_rows(from, to, i, order, &ignored);
		}
		gr_buf_printf(report, "%s: %lld rows%s\n", tables[i].name, (long long)n, is_whole ? "" : ", others could not be read");
	}
	tell_orphans(to, report);
	if (sqlite3_exec(to, GR_STORE_OF_5 "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) != SQLITE_OK)
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
