/**
 * store_int - private to coordinator/store
 */
#pragma once
#include <sqlite3.h>
#include "coordinator/store/store.h"

#define GR_STORE_SCHEMA 3
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
