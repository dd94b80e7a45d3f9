/* disk.c - a disk that is full or fails for a while: SQLite's own way to files, with writes and syncs that are refused
 *
 * What is drawn for it comes from a generator of its own, so that a seed without it is the world that it was before. */
#include <sqlite3.h>

#include "tests/csim/csim.h"

#define MAX_TABLES 4

static sqlite3_vfs vfs;
/* The database's methods, and the log's, which is not locked. */
static struct { sqlite3_io_methods mine; const sqlite3_io_methods *real; } tables[MAX_TABLES];
static int (*real_open)(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out);

static bool fails(void)
{
	struct cs *s = cs_now;

	if (!s || s->now_ns >= s->disk_fails_ns || gr_rng_below(&s->disk_rng, 1000) >= s->disk_permille)
		return false;
	s->st.disk_errors++;
	return true;
}

static const sqlite3_io_methods *real_of(const sqlite3_file *f)
{
	int i = 0;

	while (f->pMethods != &tables[i].mine)
		i++;
	return tables[i].real;
}

static int on_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (!fails())
		return real_of(f)->xWrite(f, p, n, at);
	/* as much as there was room for */
	if (cs_now->disk_is_full && n > 1)
		(void)!real_of(f)->xWrite(f, p, n / 2, at);
	return cs_now->disk_is_full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int on_sync(sqlite3_file *f, int flags) { return fails() ? SQLITE_IOERR_FSYNC : real_of(f)->xSync(f, flags); }
static int on_truncate(sqlite3_file *f, sqlite3_int64 n) { return fails() ? SQLITE_IOERR_TRUNCATE : real_of(f)->xTruncate(f, n); }

static int on_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	int rc = real_open(v, name, f, flags, out);

	if (rc != SQLITE_OK || !f->pMethods)
		return rc;
	for (int i = 0; i < MAX_TABLES; i++) {
		if (!tables[i].real) {
			tables[i].real = f->pMethods;
			tables[i].mine = *f->pMethods;
			tables[i].mine.xWrite = on_write;
			tables[i].mine.xSync = on_sync;
			tables[i].mine.xTruncate = on_truncate;
		}
		if (tables[i].real == f->pMethods) {
			f->pMethods = &tables[i].mine;
			break;
		}
	}
	return rc;
}

static void on_disk(void *ctx)
{
	struct cs *s = ctx;

	if (s->is_calm)
		return;
	s->disk_is_full = gr_rng_below(&s->disk_rng, 2);
	s->disk_permille = gr_rng_below(&s->disk_rng, 3) ? 1000 : 20 + gr_rng_below(&s->disk_rng, 500);
	s->disk_fails_ns = s->now_ns + (50 + gr_rng_below(&s->disk_rng, 4000)) * GR_NS_PER_MS;
	s->st.disk_faults++;
	cs_say(s, "the disk %s for %llu ms, %u of 1000 times", s->disk_is_full ? "is full" : "fails",
	       (unsigned long long)((s->disk_fails_ns - s->now_ns) / GR_NS_PER_MS), s->disk_permille);
	cs_in(s, (s->p.disk_every_ms / 4 + gr_rng_below(&s->disk_rng, 2 * s->p.disk_every_ms)) * GR_NS_PER_MS, CS_WORLD, on_disk, s);
}

void cs_disk_begin(struct cs *s)
{
	if (!real_open) {
		vfs = *sqlite3_vfs_find(NULL);
		real_open = vfs.xOpen;
		vfs.xOpen = on_open;
		vfs.zName = "csim";
		sqlite3_vfs_register(&vfs, 1);
	}
	if (s->p.disk_every_ms)
		cs_in(s, gr_rng_below(&s->disk_rng, s->p.disk_every_ms) * GR_NS_PER_MS, CS_WORLD, on_disk, s);
}

void cs_disk_draw(struct cs *s)
{
	if (gr_rng_below(&s->disk_rng, 1000) < 350)
		s->p.disk_every_ms = 1000 + gr_rng_below(&s->disk_rng, 12000);
}
