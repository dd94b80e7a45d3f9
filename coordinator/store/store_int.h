/**
 * store_int - private to coordinator/store
 */
#pragma once
#include <sqlite3.h>
#include "coordinator/store/store.h"

#define GR_STORE_SCHEMA 1
int gr_store__fail(sqlite3 *db, const char *path, const char *what, struct gr_err *err);   /* sqlite's error as ours */
int gr_store__open_db(const char *path, bool is_read_only, sqlite3 **out, struct gr_err *err) GR_MUST_CHECK;
int gr_store__migrate(sqlite3 *db, const char *path, struct gr_err *err) GR_MUST_CHECK;
sqlite3 *gr_store__reader(struct gr_store *s);
const char *gr_store__path(const struct gr_store *s);
/* A statement of the reader, prepared once by its text. Reset it with gr_store__done. */
sqlite3_stmt *gr_store__query(struct gr_store *s, const char *sql);
void gr_store__done(sqlite3_stmt *st);
int gr_store__error(struct gr_store *s);          /* of the reader's last call; tells damage */
