/* query.c - what is read of the store, on the loop's thread and its own connection; see store.h */
#include <stdio.h>
#include <string.h>

#include "coordinator/store/store_int.h"
#include "lib/base/alloc.h"
#include "lib/job/batch.h"

static const char *text(sqlite3_stmt *st, int i)
{
	return (const char *)sqlite3_column_text(st, i);
}

static struct gr_slice blob(sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_blob(st, i);

	return gr_slice(p, p ? (size_t)sqlite3_column_bytes(st, i) : 0);
}

/* The end of a walk: @rc of sqlite3_step, or what the caller's function said. */
static int end(struct gr_store *s, sqlite3_stmt *st, int rc, int own)
{
	int out = own < 0 ? own : rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : gr_store__error(s);

	gr_store__done(st);
	return out;
}

int gr_store_each_job(struct gr_store *s, int (*fn)(void *ctx, const struct gr_store_job_row *row), void *ctx)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT job,priority,n_tasks,submitted_ms,started_ms,ended_ms,floor,is_paused,state,token,spec,name,tenant,"
					      "reason,counts,owner,is_cancelled,n_failed_before FROM jobs ORDER BY job");
	int rc, own = 0;

	while (st && own >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct gr_store_job_row r = {
			.job = sqlite3_column_int64(st, 0), .priority = sqlite3_column_int64(st, 1), .n_tasks = sqlite3_column_int64(st, 2),
			.submitted_ms = sqlite3_column_int64(st, 3), .started_ms = sqlite3_column_int64(st, 4), .ended_ms = sqlite3_column_int64(st, 5),
			.floor = sqlite3_column_int64(st, 6), .is_paused = sqlite3_column_int64(st, 7), .state = sqlite3_column_int64(st, 8),
			.token = text(st, 9), .spec = text(st, 10), .name = text(st, 11), .tenant = text(st, 12), .reason = text(st, 13),
			.counts = text(st, 14), .owner = text(st, 15), .is_cancelled = sqlite3_column_int64(st, 16),
			.n_failed_before = sqlite3_column_int64(st, 17),
		};

		own = fn(ctx, &r);
	}
	return st ? end(s, st, rc, own) : GR_EIO;
}

static int damaged(struct gr_store *s, int64_t job)
{
	char text[sizeof(((struct gr_err *)0)->text)];

	snprintf(text, sizeof(text), "%.300s is damaged: tasks of job %lld that were done cannot be read. Nothing was changed. `griddle-coordinator "
		 "--state DIR --recover` saves what can be read into a new file and keeps this one beside it; or put a backup in its place",
		 gr_store__path(s), (long long)job);
	gr_store__damaged(s, text);
	return GR_ECORRUPT;
}

int gr_store_each_done(struct gr_store *s, int64_t job, int (*fn)(void *ctx, const struct gr_store_attempt_row *row), void *ctx)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT job,first,data FROM packs WHERE job=?1 ORDER BY first");
	int rc, own = 0;

	if (!st)
		return GR_EIO;
	sqlite3_bind_int64(st, 1, job);
	while (own >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		own = gr_pack__each_of(st, 0, 1, 2, fn, ctx);
	rc = end(s, st, rc, own);
	return rc == GR_ECORRUPT && own == rc ? damaged(s, job) : rc;
}

/* The pack, unless it was read lately: who lists tasks asks for one after the other. GR_ECORRUPT; the store's errors. */
static int read_pack(struct gr_store *s, int64_t job, int64_t first, const struct gr_pack_read **out)
{
	struct gr_packs_read *all = gr_store__packs_read(s);
	uint32_t i;
	sqlite3_stmt *st;
	struct gr_slice data;
	int rc;

	for (i = 0; i < GR_PACKS_READ; i++)
		if (all->at[i].pack && all->at[i].pack->job == job && all->at[i].first == first) {
			*out = all->at[i].pack;
			return 0;
		}
	st = gr_store__query(s, "SELECT data FROM packs WHERE job=?1 AND first=?2");
	if (!st)
		return GR_EIO;
	sqlite3_bind_int64(st, 1, job);
	sqlite3_bind_int64(st, 2, first);
	rc = sqlite3_step(st);
	data = rc == SQLITE_ROW ? blob(st, 0) : gr_slice(NULL, 0);
	i = all->next++ % GR_PACKS_READ;
	if (!all->at[i].pack)
		GR_NEW(all->at[i].pack);
	gr_buf_clear(&all->at[i].data);
	gr_buf_add(&all->at[i].data, data.p, data.n);
	all->at[i].first = first;
	*out = all->at[i].pack;
	rc = end(s, st, rc, 0);
	if (rc >= 0)
		rc = gr_pack__open(all->at[i].pack, job, first, gr_buf_slice(&all->at[i].data));
	if (rc < 0)
		all->at[i].pack->job = 0;
	return rc;
}

/* The packed attempt of a task. Return: 1, borrowed until the next is asked for; 0 there is none; GR_ECORRUPT; the store's errors. */
static int done_of(struct gr_store *s, int64_t job, int64_t task, struct gr_store_attempt_row *out)
{
	const struct gr_packs_read *all = gr_store__packs_read(s);
	const struct gr_pack_read *p;
	sqlite3_stmt *st;
	int rc, own = 0;

	for (uint32_t i = 0; i < GR_PACKS_READ && own == 0; i++)
		if (all->at[i].pack && all->at[i].pack->job == job)
			own = gr_pack__row(all->at[i].pack, task, out);
	if (own > 0)
		return own;
	st = gr_store__query(s, "SELECT first FROM packs WHERE job=?1 AND first>=?2 AND first<=?3 AND last>=?3");
	if (!st)
		return GR_EIO;
	sqlite3_bind_int64(st, 1, job);
	sqlite3_bind_int64(st, 2, GR_PACK_BUCKET(task));
	sqlite3_bind_int64(st, 3, task);
	while (own == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		own = read_pack(s, job, sqlite3_column_int64(st, 0), &p);
		if (own == 0)
			own = gr_pack__row(p, task, out);
	}
	rc = end(s, st, rc, own);
	return rc == GR_ECORRUPT && own == rc ? damaged(s, job) : rc < 0 ? rc : own;
}

struct outcome { int (*fn)(void *ctx, int64_t task, int64_t state, int64_t attempt); void *ctx; };

static int done_outcome(void *ctx, const struct gr_store_attempt_row *r)
{
	const struct outcome *x = ctx;

	return x->fn(x->ctx, r->task, GR_B_DONE, r->attempt);
}

int gr_store_each_outcome(struct gr_store *s, int64_t job, int (*fn)(void *ctx, int64_t task, int64_t state, int64_t attempt), void *ctx)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT task,state,attempt FROM outcomes WHERE job=?1 ORDER BY task");
	int rc, own = 0;

	if (!st)
		return GR_EIO;
	sqlite3_bind_int64(st, 1, job);
	while (own >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		own = fn(ctx, sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2));
	rc = end(s, st, rc, own);
	return rc < 0 ? rc : gr_store_each_done(s, job, done_outcome, &(struct outcome){ fn, ctx });
}

char *gr_store_spec(struct gr_store *s, int64_t job)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT spec FROM jobs WHERE job=?1");
	const char *spec;
	char *out = NULL;

	if (!st)
		return NULL;
	sqlite3_bind_int64(st, 1, job);
	spec = sqlite3_step(st) == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
	if (spec)
		out = gr_xstrdup(spec);
	gr_store__done(st);
	return out;
}

int64_t gr_store_outcome_attempt(struct gr_store *s, int64_t job, int64_t task, int64_t *state)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT state,attempt FROM outcomes WHERE job=?1 AND task=?2");
	struct gr_store_attempt_row packed;
	int64_t attempt = 0;

	if (!st)
		return 0;
	sqlite3_bind_int64(st, 1, job);
	sqlite3_bind_int64(st, 2, task);
	if (sqlite3_step(st) == SQLITE_ROW) {
		*state = sqlite3_column_int64(st, 0);
		attempt = sqlite3_column_int64(st, 1);
	}
	gr_store__done(st);
	if (!attempt && done_of(s, job, task, &packed) > 0) {
		*state = GR_B_DONE;
		attempt = packed.attempt;
	}
	return attempt;
}

uint32_t gr_store_last_ordinal(struct gr_store *s, int64_t job, int64_t task)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT max(ordinal) FROM attempts WHERE job=?1 AND task=?2");
	uint32_t n = 0;

	if (!st)
		return 0;
	sqlite3_bind_int64(st, 1, job);
	sqlite3_bind_int64(st, 2, task);
	if (sqlite3_step(st) == SQLITE_ROW)
		n = (uint32_t)sqlite3_column_int64(st, 0);
	gr_store__done(st);
	return n;
}

#define ATTEMPT_COLUMNS "task,attempt,ordinal,worker,node,worker_id,node_id,start_ms,end_ms,cause,exit_code,term_signal,cpu_us,wall_us,max_rss," \
	"wait_us,in_bytes,reason,flags,out_size,err_size,counts,of,against,digest,same"

int gr_store_each_attempt(struct gr_store *s, int64_t job, int64_t task, bool with_data, int (*fn)(void *ctx, const struct gr_store_attempt_row *row),
			  void *ctx)
{
	static const char all[] = "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE job=?1 ORDER BY task,attempt";
	static const char one[] = "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE job=?1 AND task=?2 ORDER BY attempt";
	static const char data[] = "SELECT " ATTEMPT_COLUMNS ",out_data,err_data,out_digest,err_digest FROM attempts WHERE job=?1 AND task=?2 ORDER BY attempt";
	sqlite3_stmt *st = gr_store__query(s, task < 0 ? all : with_data ? data : one);
	struct gr_store_attempt_row packed;       /* told in its place among the others */
	int rc, own = 0, is_packed = 0;

	if (!st)
		return GR_EIO;
	if (task >= 0 && (is_packed = done_of(s, job, task, &packed)) < 0)
		return is_packed;
	sqlite3_bind_int64(st, 1, job);
	if (task >= 0)
		sqlite3_bind_int64(st, 2, task);
	while (own >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct gr_store_attempt_row r = {
			.task = sqlite3_column_int64(st, 0), .attempt = sqlite3_column_int64(st, 1), .ordinal = sqlite3_column_int64(st, 2),
			.worker = text(st, 3), .node = text(st, 4), .worker_id = (uint64_t)sqlite3_column_int64(st, 5),
			.node_id = (uint64_t)sqlite3_column_int64(st, 6), .start_ms = sqlite3_column_int64(st, 7), .end_ms = sqlite3_column_int64(st, 8),
			.cause = sqlite3_column_int64(st, 9), .exit_code = sqlite3_column_int64(st, 10), .term_signal = sqlite3_column_int64(st, 11),
			.cpu_us = sqlite3_column_int64(st, 12), .wall_us = sqlite3_column_int64(st, 13), .max_rss = sqlite3_column_int64(st, 14),
			.wait_us = sqlite3_column_int64(st, 15), .in_bytes = sqlite3_column_int64(st, 16), .reason = text(st, 17),
			.flags = sqlite3_column_int64(st, 18), .out_size = sqlite3_column_int64(st, 19), .err_size = sqlite3_column_int64(st, 20),
			.counts = sqlite3_column_int64(st, 21), .of = sqlite3_column_int64(st, 22), .against = sqlite3_column_int64(st, 23),
			.digest = blob(st, 24), .same = text(st, 25),
		};

		if (task >= 0 && with_data) {
			r.out_data = blob(st, 26);
			r.err_data = blob(st, 27);
			r.out_digest = blob(st, 28);
			r.err_digest = blob(st, 29);
		}
		if (is_packed && packed.attempt < r.attempt) {
			is_packed = 0;
			own = fn(ctx, &packed);
		}
		if (own >= 0)
			own = fn(ctx, &r);
	}
	if (own >= 0 && rc == SQLITE_DONE && is_packed)
		own = fn(ctx, &packed);
	return end(s, st, rc, own);
}

int gr_store_each_output(struct gr_store *s, int64_t job, int64_t from, int64_t to, int64_t attempt,
			 int (*fn)(void *ctx, const struct gr_store_output_row *row), void *ctx)
{
	static const char accepted[] = "SELECT p.task,p.attempt,idx,kind,path,mode,size,digest,target FROM outputs p JOIN outcomes o ON o.job=p.job AND "
				       "o.task=p.task AND o.attempt=p.attempt WHERE p.job=?1 AND p.task>=?2 AND p.task<?3 ORDER BY p.task,p.seq";
	static const char named[] = "SELECT task,attempt,idx,kind,path,mode,size,digest,target FROM outputs WHERE job=?1 AND task>=?2 AND task<?3 AND "
				    "attempt=?4 ORDER BY task,seq";
	sqlite3_stmt *st = gr_store__query(s, attempt ? named : accepted);
	int rc, own = 0;

	if (!st)
		return GR_EIO;
	sqlite3_bind_int64(st, 1, job);
	sqlite3_bind_int64(st, 2, from);
	sqlite3_bind_int64(st, 3, to);
	if (attempt)
		sqlite3_bind_int64(st, 4, attempt);
	while (own >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct gr_store_output_row r = {
			.task = sqlite3_column_int64(st, 0), .attempt = sqlite3_column_int64(st, 1), .index = sqlite3_column_int64(st, 2),
			.kind = sqlite3_column_int64(st, 3), .path = text(st, 4), .mode = sqlite3_column_int64(st, 5), .size = sqlite3_column_int64(st, 6),
			.digest = blob(st, 7), .target = text(st, 8),
		};

		own = fn(ctx, &r);
	}
	return end(s, st, rc, own);
}

int gr_store_each_secret(struct gr_store *s, int64_t job, int (*fn)(void *ctx, const char *name, struct gr_slice value), void *ctx)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT name,value FROM secrets WHERE job=?1");
	int rc, own = 0;

	if (!st)
		return GR_EIO;
	sqlite3_bind_int64(st, 1, job);
	while (own >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		own = fn(ctx, text(st, 0), blob(st, 1));
	return end(s, st, rc, own);
}

int gr_store_each_trust(struct gr_store *s, int (*fn)(void *ctx, uint64_t worker, uint64_t toolchain, int64_t n), void *ctx)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT worker,toolchain,n_valid FROM trust");
	int rc, own = 0;

	if (!st)
		return GR_EIO;
	while (own >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		own = fn(ctx, (uint64_t)sqlite3_column_int64(st, 0), (uint64_t)sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2));
	return end(s, st, rc, own);
}

int gr_store_each_digest(struct gr_store *s, int64_t job, int (*fn)(void *ctx, struct gr_slice digest, int64_t size), void *ctx)
{
	static const char *const sql[] = {
		"SELECT digest,size FROM outputs WHERE job=?1 AND kind=1",
		"SELECT out_digest,out_size FROM attempts WHERE job=?1 AND out_digest IS NOT NULL",
		"SELECT err_digest,err_size FROM attempts WHERE job=?1 AND err_digest IS NOT NULL",
	};
	int out = 0;

	for (size_t i = 0; i < GR_LEN(sql) && out >= 0; i++) {
		sqlite3_stmt *st = gr_store__query(s, sql[i]);
		int rc, own = 0;

		if (!st)
			return GR_EIO;
		sqlite3_bind_int64(st, 1, job);
		while (own >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
			if (sqlite3_column_bytes(st, 0) == GR_DIGEST_BYTES)
				own = fn(ctx, blob(st, 0), sqlite3_column_int64(st, 1));
		out = end(s, st, rc, own);
	}
	return out;
}

bool gr_store_has_removed(struct gr_store *s)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT 1 FROM removed LIMIT 1");
	bool has = st && sqlite3_step(st) == SQLITE_ROW;

	gr_store__done(st);
	return has;
}

int64_t gr_store_meta(struct gr_store *s, const char *key, int64_t def)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT value FROM meta WHERE key=?1");
	int64_t v = def;

	if (!st)
		return def;
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	gr_store__done(st);
	return v;
}

json_t *gr_store_usage(struct gr_store *s, const char *tenant, int64_t job)
{
	sqlite3_stmt *st = gr_store__query(s, "SELECT tenant,job,cpu_us,mem_mib_ms,in_bytes,out_bytes,attempts,retries,wasted_us,done,failed FROM usage "
					      "WHERE (?1 IS NULL OR tenant=?1) AND (?2=0 OR job=?2) ORDER BY job");
	json_t *list = json_array();

	if (!st)
		return list;
	if (tenant)
		sqlite3_bind_text(st, 1, tenant, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, job);
	while (sqlite3_step(st) == SQLITE_ROW)
		json_array_append_new(list, json_pack("{s:s, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:I, s:I}", "tenant", text(st, 0), "job",
				(json_int_t)sqlite3_column_int64(st, 1), "cpu_s", (double)sqlite3_column_int64(st, 2) / 1e6, "mem_gib_s",
				(double)sqlite3_column_int64(st, 3) / 1024e3, "in_bytes", (json_int_t)sqlite3_column_int64(st, 4), "out_bytes",
				(json_int_t)sqlite3_column_int64(st, 5), "attempts", (json_int_t)sqlite3_column_int64(st, 6), "retries",
				(json_int_t)sqlite3_column_int64(st, 7), "wasted_cpu_s", (double)sqlite3_column_int64(st, 8) / 1e6, "tasks_done",
				(json_int_t)sqlite3_column_int64(st, 9), "tasks_failed", (json_int_t)sqlite3_column_int64(st, 10)));
	gr_store__done(st);
	return list;
}
