/* batch_care.c - looking after the store while it is in use: check, backup, export, vacuum; see store.h
 *
 * What reads all of the store is done by a thread of its own, which the first of them starts, one after the other; who asks
 * meanwhile waits for his turn. Vacuum is a row of small transactions of the store's own writer, each behind what was handed
 * over before it, and the next only when the loop has been told of the last: so a commit waits for one step at most, where
 * SQLite's VACUUM shuts out the writer until the whole file has been rewritten.
 *
 * Who goes away ends what he asked for. Whatever is not whole is under a name that nobody takes for a result, and is
 * removed: at once, or by the next start.
 */
#include "coordinator/batch_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/net/aside.h"

#define MAX_WAITING 8u

static const char *const names[] = { [GR_CARE_CHECK] = "check", [GR_CARE_BACKUP] = "backup", [GR_CARE_EXPORT] = "export", [GR_CARE_VACUUM] = "vacuum" };

struct work {
	struct gr_list link;              /* gr_care.waiting; of the one under way, none */
	enum gr_care_kind kind;
	struct gr_peer *peer;             /* who is to go away for it to end; NULL: nobody */
	gr_batch_done *fn;
	void *ctx;
	char path[4400];                  /* what it makes */
	int64_t free_bytes, freed;        /* of a vacuum: as they were last; together */
	bool is_begun;                    /* a vacuum: it no longer waits for a removal */
	/* the thread's until is_over */
	int rc;
	struct gr_err err;
	json_t *rep;
	struct gr_store_exported exported;
};
struct gr_care {
	struct gr_batch *b;
	struct gr_aside *aside;
	struct gr_list waiting;
	struct work *now;
	atomic_bool is_given, is_over;    /* the thread has it; it is done with it */
	struct gr_store_stop stop;
};

static void begin_next(struct gr_care *k);

/* ---- the thread ---- */

static int do_export(struct gr_store *s, struct work *x, struct gr_store_stop *stop)
{
	int rc, fd = open(x->path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return gr_err_set(&x->err, gr_err_errno(errno), "export: %s: %s", x->path, strerror(errno));
	rc = gr_store_export(s, fd, GR_WIRE_MAX_BLOB_BYTES, stop, &x->exported, &x->err);
	close(fd);
	return rc;
}

static int on_work(void *ctx)
{
	struct gr_care *k = ctx;
	struct gr_store *s = k->b->store;
	struct work *x = k->now;

	if (!atomic_exchange(&k->is_given, false))
		return 0;
	switch (x->kind) {
	case GR_CARE_CHECK:
		x->rc = gr_store_check(s, &k->stop, &x->rep, &x->err);
		break;
	case GR_CARE_BACKUP:
		x->rc = gr_store_backup(s, x->path, &k->stop, &x->err);
		break;
	case GR_CARE_EXPORT:
		x->rc = do_export(s, x, &k->stop);
		break;
	case GR_CARE_VACUUM:                      /* the store's writer does it */
		break;
	}
	atomic_store(&k->is_over, true);
	return 0;
}

/* ---- the loop ---- */

/* What was hashed as it was written becomes a file to be fetched by its digest. */
static void keep_export(struct gr_care *k, struct work *x)
{
	char hex[GR_DIGEST_HEX];

	x->rc = gr_cas_adopt(k->b->cas, &x->exported.digest, AT_FDCWD, x->path);
	if (x->rc < 0) {
		gr_err_set(&x->err, x->rc, "export: %" PRIu64 " MiB cannot be kept: %s", x->exported.bytes >> 20, gr_err_text(x->rc));
		return;
	}
	gr_digest_hex(&x->exported.digest, hex);
	x->rep = json_pack("{s:s, s:I, s:I}", "digest", hex, "size", (json_int_t)x->exported.bytes, "rows", (json_int_t)x->exported.lines);
}

static void work_free(struct work *x)
{
	if (x->kind == GR_CARE_EXPORT)
		unlink(x->path);
	json_decref(x->rep);
	free(x);
}

static void finish(struct gr_care *k)
{
	struct work *x = k->now;

	k->now = NULL;
	if (x->rc >= 0 && x->kind == GR_CARE_BACKUP)
		x->rep = json_pack("{s:s}", "path", x->path);
	else if (x->rc >= 0 && x->kind == GR_CARE_EXPORT)
		keep_export(k, x);
	else if (x->rc >= 0 && x->kind == GR_CARE_VACUUM)
		x->rep = json_pack("{s:I}", "freed_bytes", (json_int_t)x->freed);
	if (x->rc < 0)
		gr_info("care", "%s: %s", names[x->kind], x->err.text);
	x->fn(x->ctx, x->rc < 0 ? NULL : x->rep, x->rc < 0 ? &x->err : NULL);
	if (x->rc >= 0)
		x->rep = NULL;
	work_free(x);
	begin_next(k);
}

static void on_done(void *ctx)
{
	struct gr_care *k = ctx;

	if (k->now && atomic_exchange(&k->is_over, false))
		finish(k);
}

static void give(struct gr_care *k)
{
	if (!k->aside)
		k->aside = gr_aside_new(k->b->c->loop, 0, on_work, on_done, k);
	if (!k->aside) {
		k->now->rc = gr_err_set(&k->now->err, GR_EBUSY, "%s: no thread is to be had for it", names[k->now->kind]);
		finish(k);
		return;
	}
	atomic_store(&k->is_given, true);
	gr_aside_wake(k->aside);
}

static void cut(struct gr_care *k);

static void on_cut(void *ctx, int rc)
{
	struct gr_care *k = ctx;
	struct work *x = k->now;
	int64_t left = gr_store_free_bytes(k->b->store);
	const char *why = gr_store_trouble(k->b->store);

	if (rc < 0)
		x->rc = gr_err_set(&x->err, rc, "vacuum: %s", why ? why : gr_err_text(rc));
	else if (atomic_load(&k->stop.is_set))
		x->rc = gr_err_set(&x->err, GR_EGONE, "ended before it was done");
	if (x->rc < 0) {
		finish(k);
		return;
	}
	x->freed += x->free_bytes > left ? x->free_bytes - left : 0;
	/* others may free as much meanwhile as it cuts: it is over when a step cut nothing */
	if (left && left != x->free_bytes) {
		x->free_bytes = left;
		cut(k);
	} else {
		finish(k);
	}
}

static void cut(struct gr_care *k)
{
	struct gr_store_tx *tx = gr_store_tx_new(k->b->store);

	gr_store_add(tx, GR_SQL_SHRINK);
	gr_store_commit(&tx, true, on_cut, k);
}

static void begin_vacuum(struct gr_care *k)
{
	k->now->is_begun = true;
	k->now->free_bytes = gr_store_free_bytes(k->b->store);
	cut(k);
}

static void begin_next(struct gr_care *k)
{
	struct gr_list *l = k->now ? NULL : gr_list_pop(&k->waiting);

	if (!l)
		return;
	k->now = GR_CONTAINER(l, struct work, link);
	gr_store_stop_clear(&k->stop);
	if (k->now->kind != GR_CARE_VACUUM) {
		give(k);
		return;
	}
	if (!k->b->is_removing)
		begin_vacuum(k);                  /* else when there is all to cut that will be: gr_care_removed */
}

void gr_care_removed(struct gr_batch *b)
{
	if (b->care->now && b->care->now->kind == GR_CARE_VACUUM && !b->care->now->is_begun)
		begin_vacuum(b->care);
}

/* ---- asking ---- */

static int name_backup(struct gr_batch *b, const char *name, char *out, size_t n, struct gr_err *err)
{
	char folder[4200], own[64];

	snprintf(own, sizeof(own), "jobs-%" PRIu64 ".db", gr_clock_real_ms());
	name = name && *name ? name : own;
	if (strchr(name, '/') || *name == '.' || strlen(name) > 100)
		return gr_err_set(err, GR_EINVAL, "name: a file name without folder, at most 100 bytes");
	snprintf(folder, sizeof(folder), "%s/backups", b->c->cfg.state);
	snprintf(out, n, "%s/%s", folder, name);
	return gr_mkdir_p(folder, 0700, err);
}

static void export_path(const struct gr_batch *b, char *out, size_t n) { snprintf(out, n, "%s/export" GR_STORE_UNFINISHED, b->c->cfg.state); }

static uint32_t n_waiting(const struct gr_care *k)
{
	uint32_t n = 0;

	for (const struct gr_list *l = k->waiting.next; l != &k->waiting; l = l->next)
		n++;
	return n;
}

int gr_care_ask(struct gr_batch *b, enum gr_care_kind kind, const char *name, struct gr_peer *peer, gr_batch_done *fn, void *ctx, struct gr_err *err)
{
	struct gr_care *k = b->care;
	struct work *x;

	if (n_waiting(k) >= MAX_WAITING)
		return gr_err_set(err, GR_EBUSY, "%s: %s is under way and %u wait for their turn; try again when they are over", names[kind],
				  names[k->now->kind], MAX_WAITING);
	GR_NEW(x);
	x->kind = kind;
	x->peer = peer;
	if (kind == GR_CARE_BACKUP && name_backup(b, name, x->path, sizeof(x->path), err) < 0) {
		free(x);
		return err->code;
	}
	if (kind == GR_CARE_EXPORT)
		export_path(b, x->path, sizeof(x->path));
	x->fn = fn;
	x->ctx = ctx;
	gr_list_init(&x->link);
	gr_list_push(&k->waiting, &x->link);
	begin_next(k);
	return 0;
}

void gr_care_peer_gone(struct gr_batch *b, struct gr_peer *peer)
{
	struct gr_care *k = b->care;
	struct gr_err err;

	gr_err_set(&err, GR_EGONE, "who asked for it is gone");
	GR_LIST_EACH_SAFE(x, &k->waiting, struct work, link) {
		if (x->peer != peer)
			continue;
		gr_list_del(&x->link);
		x->fn(x->ctx, NULL, &err);
		free(x);                          /* nothing was made: an export's file is that of the one under way */
	}
	if (k->now && k->now->peer == peer)
		gr_store_stop_set(&k->stop);
}

void gr_care_open(struct gr_batch *b)
{
	struct gr_care *k;
	char path[4400];

	GR_NEW(k);
	k->b = b;
	gr_list_init(&k->waiting);
	gr_store_stop_init(&k->stop);
	b->care = k;
	/* a life that was killed in the middle may have left them */
	export_path(b, path, sizeof(path));
	unlink(path);
	snprintf(path, sizeof(path), "%s/backups/" GR_STORE_UNFINISHED, b->c->cfg.state);
	unlink(path);
}

void gr_care_close(struct gr_batch *b)
{
	struct gr_care *k = b->care;
	struct gr_list *l;

	if (!k)
		return;
	b->care = NULL;
	gr_store_stop_set(&k->stop);
	gr_aside_close(&k->aside);
	gr_store_stop_fini(&k->stop);
	if (k->now)
		work_free(k->now);
	while ((l = gr_list_pop(&k->waiting)))
		free(GR_CONTAINER(l, struct work, link));
	free(k);
}
