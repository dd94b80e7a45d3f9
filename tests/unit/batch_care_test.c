/* batch_care_test.c - looking after a store that is in use: nobody waits for it, and what is ended leaves nothing
 *
 * A whole coordinator on one loop, asked by its own functions; nobody is connected. What is proved is the order of
 * events: answers come from turns of the loop, in which commits are told too. */
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/batch_fixture.h"

struct answer {
	bool is_told;
	int code, turn;                  /* counted over all answers and commits: which came first */
	json_t *rep;
};
struct world {
	struct life life;
	struct answer told[16];
	int n_asked, n_told;
};
static struct world *the;

static int set_up(void **state)
{
	struct world *w;

	GR_NEW(w);
	the = w;
	life_init(&w->life, "care");
	life_begin(&w->life, 100);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < w->n_asked; i++)
		json_decref(w->told[i].rep);
	life_fini(&w->life);
	free(w);
	return 0;
}

/* ---- asking ---- */

static void on_answer(void *ctx, json_t *rep, const struct gr_err *err)
{
	struct answer *a = ctx;

	assert_false(a->is_told);
	a->is_told = true;
	a->code = err ? err->code : 0;
	a->rep = rep;
	a->turn = ++the->n_told;
}

static struct answer *ask_as(struct world *w, struct gr_peer *peer, const char *op, const char *name)
{
	struct gr_batch_who who = { .name = "loopback", .is_admin = true, .peer = peer };
	struct answer *a = &w->told[w->n_asked++];
	json_t *req = json_pack("{s:s*}", "name", name);

	gr_batch_op(&w->life.c, &who, op, req, on_answer, a);
	json_decref(req);
	return a;
}

static struct answer *ask(struct world *w, const char *op, const char *name) { return ask_as(w, NULL, op, name); }

static struct gr_peer *somebody(int i)
{
	static char them[4];

	return (struct gr_peer *)&them[i];
}

static bool is_there(const struct world *w, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", w->life.dir, name);
	return access(path, F_OK) == 0;
}

static int n_in(const struct world *w, const char *folder)
{
	char path[200];
	struct dirent *e;
	int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", w->life.dir, folder);
	d = opendir(path);
	while (d && (e = readdir(d)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	if (d)
		closedir(d);
	return n;
}

/* ---- commits ---- */

struct commit {
	bool is_told;
	int turn;
};

static void on_commit(void *ctx, int rc)
{
	struct commit *x = ctx;

	assert_int_equal(rc, 0);
	x->is_told = true;
	x->turn = ++the->n_told;
}

static void commit(struct world *w, struct commit *x)
{
	struct gr_store_tx *tx = gr_store_tx_new(w->life.c.batch->store);

	gr_store_add(tx, GR_SQL_TRUST, (int64_t)7, (int64_t)7, (int64_t)1);
	*x = (struct commit){ false, 0 };
	gr_store_commit(&tx, false, on_commit, x);
}

static void put_a_row(struct world *w)
{
	struct commit x;

	commit(w, &x);
	life_until(&w->life, &x.is_told);
}

/* @mib of rows, and then without them: so much of the file holds nothing. */
static void leave_holes(struct world *w, int mib)
{
	struct gr_store_tx *tx;
	struct commit x = { false, 0 };
	char *spec = gr_xalloc(1 << 20);

	memset(spec, 'x', (1 << 20) - 1);
	spec[(1 << 20) - 1] = 0;
	for (int i = 0; i < mib; i++) {
		tx = gr_store_tx_new(w->life.c.batch->store);
		gr_store_add(tx, GR_SQL_JOB, (int64_t)1000 + i, NULL, spec, "n", "t", (int64_t)0, (int64_t)1, (int64_t)0, (int64_t)0, "o");
		x.is_told = false;
		gr_store_commit(&tx, false, on_commit, &x);
		life_until(&w->life, &x.is_told);
	}
	tx = gr_store_tx_new(w->life.c.batch->store);
	for (int i = 0; i < mib; i++)
		gr_store_add(tx, GR_SQL_RM_JOB, (int64_t)1000 + i);
	x.is_told = false;
	gr_store_commit(&tx, false, on_commit, &x);
	life_until(&w->life, &x.is_told);
	free(spec);
}

/* ---- tests ---- */

static void each_waits_for_its_turn_and_is_answered(void **state)
{
	struct world *w = *state;
	struct answer *a[] = { ask(w, "admin.check", NULL), ask(w, "admin.backup", "b.db"), ask(w, "admin.export", NULL), ask(w, "admin.vacuum", NULL),
			       ask(w, "admin.check", NULL) };
	char path[200];

	for (size_t i = 0; i < GR_LEN(a); i++)
		assert_false(a[i]->is_told);            /* none of it in the turn that asked */
	for (size_t i = 0; i < GR_LEN(a); i++)
		life_until(&w->life, &a[i]->is_told);
	for (size_t i = 0; i < GR_LEN(a); i++) {
		assert_int_equal(a[i]->code, 0);
		assert_int_equal(a[i]->turn, (int)i + 1);
	}
	assert_true(json_is_true(json_object_get(a[0]->rep, "ok")));
	snprintf(path, sizeof(path), "%s/backups/b.db", w->life.dir);
	assert_string_equal(json_string_value(json_object_get(a[1]->rep, "path")), path);
	assert_true(is_there(w, "backups/b.db"));
	assert_int_equal(n_in(w, "backups"), 1);
	assert_false(is_there(w, "export.unfinished"));
}

static void an_export_can_be_fetched_by_its_digest(void **state)
{
	struct world *w = *state;
	struct answer *a;
	struct gr_digest d, got;
	uint64_t size;
	int fd;

	put_a_row(w);
	a = ask(w, "admin.export", NULL);
	life_until(&w->life, &a->is_told);
	assert_int_equal(a->code, 0);
	assert_int_equal(gr_digest_parse(json_string_value(json_object_get(a->rep, "digest")), &d), 0);
	fd = gr_cas_open_blob(w->life.c.batch->cas, &d, &size);
	assert_true(fd >= 0);
	assert_int_equal(size, json_integer_value(json_object_get(a->rep, "size")));
	assert_int_equal(gr_sha256_fd(fd, &got, &size), 0);
	assert_true(gr_digest_eq(&d, &got));
	close(fd);
	assert_true(json_integer_value(json_object_get(a->rep, "rows")) >= 1);
}

static void more_than_can_wait_are_refused(void **state)
{
	struct world *w = *state;
	struct answer *last = NULL;

	for (int i = 0; i < 10; i++) {
		last = ask(w, "admin.check", NULL);
		assert_int_equal(last->is_told, i == 9);        /* one under way, eight wait */
	}
	assert_int_equal(last->code, GR_EBUSY);
	for (int i = 0; i < 9; i++) {
		life_until(&w->life, &w->told[i].is_told);
		assert_int_equal(w->told[i].code, 0);
	}
}

static void a_name_that_is_taken_or_none_is_refused_and_the_file_kept(void **state)
{
	struct world *w = *state;
	struct answer *a = ask(w, "admin.backup", "b.db");
	struct stat before, after;
	char path[200];

	life_until(&w->life, &a->is_told);
	snprintf(path, sizeof(path), "%s/backups/b.db", w->life.dir);
	assert_int_equal(stat(path, &before), 0);
	a = ask(w, "admin.backup", "b.db");
	life_until(&w->life, &a->is_told);
	assert_int_equal(a->code, GR_EEXIST);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	assert_int_equal(ask(w, "admin.backup", "../b.db")->code, GR_EINVAL);
	assert_int_equal(ask(w, "admin.backup", ".unfinished")->code, GR_EINVAL);
	assert_int_equal(n_in(w, "backups"), 1);
}

static void a_folder_that_is_no_folder_is_told(void **state)
{
	struct world *w = *state;
	struct answer *a;
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/backups", w->life.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	a = ask(w, "admin.backup", NULL);
	life_until(&w->life, &a->is_told);
	assert_true(a->code < 0);
}

static void who_goes_away_while_he_waits_gets_nothing_made(void **state)
{
	struct world *w = *state;
	struct answer *first = ask_as(w, somebody(0), "admin.check", NULL), *gone = ask_as(w, somebody(1), "admin.backup", "gone.db"),
		      *stays = ask_as(w, somebody(2), "admin.backup", "stays.db");

	gr_care_peer_gone(w->life.c.batch, somebody(1));
	assert_int_equal(gone->code, GR_EGONE);
	life_until(&w->life, &stays->is_told);
	assert_int_equal(first->code, 0);
	assert_int_equal(stays->code, 0);
	assert_false(is_there(w, "backups/gone.db"));
	assert_true(is_there(w, "backups/stays.db"));
}

/* The steps of a vacuum are the loop's: who goes between two of them ends it there. */
static void who_goes_away_in_the_middle_ends_it(void **state)
{
	struct world *w = *state;
	struct answer *a, *next;

	leave_holes(w, 20);
	a = ask_as(w, somebody(0), "admin.vacuum", NULL);
	next = ask_as(w, somebody(1), "admin.check", NULL);
	gr_care_peer_gone(w->life.c.batch, somebody(0));
	life_until(&w->life, &a->is_told);
	assert_int_equal(a->code, GR_EGONE);
	assert_true(gr_store_free_bytes(w->life.c.batch->store) > 1 << 20);
	life_until(&w->life, &next->is_told);
	assert_int_equal(next->code, 0);
	assert_true(json_is_true(json_object_get(next->rep, "ok")));
}

static void a_vacuum_gives_the_room_back_and_commits_are_told_between_its_steps(void **state)
{
	struct world *w = *state;
	struct gr_store_stats before, after;
	struct commit x = { false, 0 };
	struct answer *a;
	int n = 0;

	leave_holes(w, 20);
	gr_store_stats(w->life.c.batch->store, &before);
	a = ask(w, "admin.vacuum", NULL);
	while (!a->is_told) {
		commit(w, &x);
		life_until(&w->life, &x.is_told);
		n += !a->is_told;
	}
	assert_int_equal(a->code, 0);
	/* each was told behind one step, a megabyte */
	assert_true(n >= 10);
	assert_true(json_integer_value(json_object_get(a->rep, "freed_bytes")) > 19 << 20);
	gr_store_stats(w->life.c.batch->store, &after);
	assert_true(after.file_bytes + (15 << 20) < before.file_bytes);
	assert_int_equal(gr_store_free_bytes(w->life.c.batch->store), 0);
	a = ask(w, "admin.check", NULL);
	life_until(&w->life, &a->is_told);
	assert_true(json_is_true(json_object_get(a->rep, "ok")));
}

static void what_was_stopped_leaves_nothing(void **state)
{
	struct world *w = *state;
	struct gr_store *s = w->life.c.batch->store;
	struct gr_store_exported out;
	struct gr_store_stop stop;
	struct gr_err err;
	char path[200];
	json_t *rep;
	int fd;

	put_a_row(w);
	gr_store_stop_init(&stop);
	gr_store_stop_set(&stop);
	snprintf(path, sizeof(path), "%s/x.db", w->life.dir);
	assert_int_equal(gr_store_backup(s, path, &stop, &err), GR_EGONE);
	assert_false(is_there(w, "x.db"));
	assert_false(is_there(w, ".unfinished"));
	assert_int_equal(gr_store_check(s, &stop, &rep, &err), GR_EGONE);
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_int_equal(gr_store_export(s, fd, 1 << 30, &stop, &out, &err), GR_EGONE);
	gr_store_stop_clear(&stop);
	assert_int_equal(gr_store_backup(s, path, &stop, &err), 0);
	assert_int_equal(gr_store_export(s, fd, 1, &stop, &out, &err), GR_ELIMIT);
	close(fd);
	gr_store_stop_fini(&stop);
}

static void a_full_disk_is_told_and_leaves_nothing(void **state)
{
	struct world *w = *state;
	struct gr_store_exported out;
	struct gr_err err;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	put_a_row(w);
	assert_true(fd >= 0);
	assert_int_equal(gr_store_export(w->life.c.batch->store, fd, 1 << 30, NULL, &out, &err), GR_ENOSPACE);
	assert_non_null(strstr(err.text, "no space left"));
	close(fd);
}

static void an_end_in_the_middle_waits_for_the_thread_and_tells_nobody(void **state)
{
	struct world *w = *state;
	struct answer *a;

	leave_holes(w, 4);
	a = ask(w, "admin.backup", "b.db");
	ask(w, "admin.export", NULL);
	ask(w, "admin.vacuum", NULL);
	life_end(&w->life);
	assert_false(a->is_told);
	assert_false(is_there(w, "backups/.unfinished"));
	assert_false(is_there(w, "export.unfinished"));
}

static void what_a_killed_life_left_unfinished_is_removed(void **state)
{
	struct world *w = *state;
	char path[200];
	int fd;

	life_end(&w->life);
	snprintf(path, sizeof(path), "%s/backups", w->life.dir);
	assert_true(mkdir(path, 0700) == 0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", w->life.dir, i ? "export.unfinished" : "backups/.unfinished");
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	life_begin(&w->life, 100);
	assert_int_equal(n_in(w, "backups"), 0);
	assert_false(is_there(w, "export.unfinished"));
}

/* A store of before: it could be cut only as a whole. */
static void an_older_store_is_rewritten_once_and_can_be_cut_then(void **state)
{
	struct world *w = *state;
	struct answer *a;
	sqlite3 *db;
	char path[200];

	life_end(&w->life);
	snprintf(path, sizeof(path), "%s/jobs.db", w->life.dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=DELETE; PRAGMA auto_vacuum=NONE; VACUUM", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	life_begin(&w->life, 100);
	leave_holes(w, 4);
	a = ask(w, "admin.vacuum", NULL);
	life_until(&w->life, &a->is_told);
	assert_true(json_integer_value(json_object_get(a->rep, "freed_bytes")) > 3 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		T(each_waits_for_its_turn_and_is_answered),
		T(an_export_can_be_fetched_by_its_digest),
		T(more_than_can_wait_are_refused),
		T(a_name_that_is_taken_or_none_is_refused_and_the_file_kept),
		T(a_folder_that_is_no_folder_is_told),
		T(who_goes_away_while_he_waits_gets_nothing_made),
		T(who_goes_away_in_the_middle_ends_it),
		T(a_vacuum_gives_the_room_back_and_commits_are_told_between_its_steps),
		T(what_was_stopped_leaves_nothing),
		T(a_full_disk_is_told_and_leaves_nothing),
		T(an_end_in_the_middle_waits_for_the_thread_and_tells_nobody),
		T(what_a_killed_life_left_unfinished_is_removed),
		T(an_older_store_is_rewritten_once_and_can_be_cut_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
