/* The file table: looked up once, true as long as nothing changed, and never longer. */
#include "tests/unit/cc_fixture.h"

static int setup(void **state) { *state = world_new(); return 0; }
static int teardown(void **state) { world_free(*state); return 0; }

static void digest_is(struct world *w, struct gr_cc_node *n, const char *text)
{
	struct gr_digest d;

	gr_sha256_of(text, strlen(text), &d);
	assert_int_equal(gr_cc_node_digest(w->files, n), 0);
	assert_true(gr_digest_eq(&d, &n->digest));
}

static void a_known_name_costs_no_system_call(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n;
	unsigned had;

	put(w, "/src/a.h", "one");
	world_settle(w);
	drain(w);
	n = entry(w, "/src/a.h");
	digest_is(w, n, "one");
	drain(w);
	had = w->n_stat + w->n_read;
	assert_ptr_equal(entry(w, "/src/a.h"), n);
	assert_ptr_equal(entry(w, "/src/./../src//a.h"), n);
	digest_is(w, n, "one");
	assert_int_equal(w->n_stat + w->n_read, had);
}

static void a_written_file_has_its_new_digest_after_a_drain(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n;
	uint32_t version;

	put(w, "/src/a.h", "one");
	world_settle(w);
	drain(w);
	n = entry(w, "/src/a.h");
	digest_is(w, n, "one");
	version = n->version;
	put(w, "/src/a.h", "two");
	drain(w);
	digest_is(w, n, "two");
	assert_true(n->version > version);
}

static void a_name_that_appears_raises_names_gen(void **state)
{
	struct world *w = *state;
	uint64_t gen;

	put(w, "/src/a.c", "");
	drain(w);
	assert_int_equal(entry(w, "/src/gen.h")->kind, GR_CC_ABSENT);
	gen = gr_cc_files_names_gen(w->files);
	put(w, "/src/gen.h", "x");
	drain(w);
	assert_true(gr_cc_files_names_gen(w->files) > gen);
	assert_int_equal(entry(w, "/src/gen.h")->kind, GR_CC_REG);
}

static void a_name_nobody_looked_for_raises_nothing(void **state)
{
	struct world *w = *state;
	struct gr_cc_files_stats st;
	uint64_t gen;
	unsigned had;

	put(w, "/src/a.c", "");
	world_settle(w);
	drain(w);
	digest_is(w, entry(w, "/src/a.c"), "");
	gen = gr_cc_files_names_gen(w->files);
	had = w->n_stat;
	put(w, "/src/a.o", "object");
	put(w, "/src/a.o", "object again");
	take_away(w, "/src/a.o");
	drain(w);
	assert_int_equal(gr_cc_files_names_gen(w->files), gen);
	assert_int_equal(w->n_stat, had);
	gr_cc_files_stats(w->files, &st);
	assert_int_equal(st.n_events, 3);
}

static void a_vanished_file_is_absent(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n;

	put(w, "/src/a.h", "one");
	drain(w);
	n = entry(w, "/src/a.h");
	digest_is(w, n, "one");
	take_away(w, "/src/a.h");
	drain(w);
	assert_int_equal(gr_cc_node_check(w->files, n), GR_CC_ABSENT);
	assert_int_equal(gr_cc_node_digest(w->files, n), GR_ENOENT);
}

static void a_folder_that_is_replaced_takes_its_entries_along(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n;

	put(w, "/src/inc/a.h", "one");
	world_settle(w);
	drain(w);
	n = entry(w, "/src/inc/a.h");
	digest_is(w, n, "one");
	take_away(w, "/src/inc");
	drain(w);
	assert_int_equal(gr_cc_node_check(w->files, n), GR_CC_ABSENT);
	put(w, "/src/inc/a.h", "two");
	drain(w);
	assert_ptr_equal(entry(w, "/src/inc/a.h"), n);
	digest_is(w, n, "two");
	world_settle(w);
	drain(w);
	put(w, "/src/inc/a.h", "six");        /* the new folder is watched again */
	drain(w);
	digest_is(w, n, "six");
}

static void a_folder_that_becomes_a_link_hides_its_entries(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n;

	put(w, "/src/inc/a.h", "one");
	put(w, "/other/a.h", "two");
	drain(w);
	n = entry(w, "/src/inc/a.h");
	digest_is(w, n, "one");
	take_away(w, "/src/inc");
	put_link(w, "/src/inc", "/other");
	drain(w);
	assert_int_equal(gr_cc_node_check(w->files, n), GR_CC_ABSENT);
	assert_ptr_equal(entry(w, "/src/inc/a.h"), entry(w, "/other/a.h"));
}

static void a_young_file_is_read_again(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n;

	put(w, "/src/a.h", "one");
	drain(w);
	n = entry(w, "/src/a.h");
	digest_is(w, n, "one");
	/* changed within the clock's tick, same size, and no event seen: only reading can tell */
	memcpy(world_find(w, "/src/a.h")->text, "two", 3);
	drain(w);
	digest_is(w, n, "two");
	world_settle(w);
	drain(w);
	digest_is(w, n, "two");
	drain(w);
	w->n_read = 0;
	digest_is(w, n, "two");
	assert_int_equal(w->n_read, 0);
}

static void an_event_within_the_tick_is_not_lost(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n;
	int64_t t;

	put(w, "/src/a.h", "one");
	drain(w);
	n = entry(w, "/src/a.h");
	digest_is(w, n, "one");
	t = world_find(w, "/src/a.h")->time_ns;
	put(w, "/src/a.h", "two");
	world_find(w, "/src/a.h")->time_ns = t;
	drain(w);
	digest_is(w, n, "two");
}

static void without_watches_everything_is_looked_at_each_request(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n, *absent;

	w->watch_fails = true;
	put(w, "/src/a.h", "one");
	world_settle(w);
	drain(w);
	n = entry(w, "/src/a.h");
	absent = entry(w, "/src/b.h");
	digest_is(w, n, "one");
	put(w, "/src/a.h", "two");
	put(w, "/src/b.h", "new");
	drain(w);
	digest_is(w, n, "two");
	assert_int_equal(gr_cc_node_check(w->files, absent), GR_CC_REG);
}

static void an_overflow_makes_everything_suspect(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n;

	put(w, "/src/a.h", "one");
	world_settle(w);
	drain(w);
	n = entry(w, "/src/a.h");
	digest_is(w, n, "one");
	w->loses_events = true;
	put(w, "/src/a.h", "two");
	w->events[w->n_events++] = (struct world_event){ -1, GR_CC_EV_OVERFLOW, "" };
	drain(w);
	digest_is(w, n, "two");
}

static void a_file_with_two_names_is_looked_at_each_request(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n;

	put(w, "/src/a.h", "one");
	world_find(w, "/src/a.h")->nlink = 2;
	world_settle(w);
	drain(w);
	n = entry(w, "/src/a.h");
	digest_is(w, n, "one");
	w->loses_events = true;               /* written by its other name, elsewhere */
	put(w, "/src/a.h", "two");
	world_find(w, "/src/a.h")->nlink = 2;
	drain(w);
	digest_is(w, n, "two");
}

static void a_closely_watched_file_is_looked_at_each_request(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *n;

	put(w, "/src/blob", "one");
	world_settle(w);
	drain(w);
	n = entry(w, "/src/blob");
	gr_cc_node_watch_closely(n);
	digest_is(w, n, "one");
	w->loses_events = true;
	put(w, "/src/blob", "two");
	drain(w);
	digest_is(w, n, "two");
}

static void a_walk_tells_links_and_dotdots(void **state)
{
	struct world *w = *state;
	struct gr_cc_walk walk = { 0 };

	put(w, "/real/v2/x.h", "x");
	put_link(w, "/inc", "real/cur");
	put_link(w, "/real/cur", "v2");
	put_link(w, "/real/v2/y.h", "../v2/x.h");
	drain(w);
	gr_cc_files_walk(w->files, gr_cc_files_root(w->files), "/inc/y.h", 8, &walk);
	assert_ptr_equal(walk.entry, entry(w, "/real/v2/y.h"));
	assert_ptr_equal(walk.file, entry(w, "/real/v2/x.h"));
	assert_int_equal(walk.n_links, 3);
	assert_ptr_equal(walk.links[0], gr_cc_files_entry(w->files, NULL, "/inc"));
	assert_ptr_equal(walk.links[1], gr_cc_files_entry(w->files, NULL, "/real/cur"));
	assert_int_equal(walk.n_dirs, 1);
	assert_ptr_equal(walk.dirs[0], entry(w, "/real/v2"));
	gr_cc_walk_fini(&walk);
}

static void a_walk_ends_at_loops_long_names_and_files_used_as_folders(void **state)
{
	struct world *w = *state;
	struct gr_cc_walk walk = { 0 };
	struct gr_cc_node *root = gr_cc_files_root(w->files);
	char name[5000];

	put_link(w, "/loop", "/loop2/x");
	put_link(w, "/loop2", "/loop");
	put(w, "/file", "x");
	drain(w);
	gr_cc_files_walk(w->files, root, "/loop", 5, &walk);
	assert_null(walk.entry);
	assert_null(walk.file);
	gr_cc_files_walk(w->files, root, "/file/x", 7, &walk);
	assert_ptr_equal(walk.entry, entry(w, "/file"));
	assert_null(walk.file);
	gr_cc_files_walk(w->files, root, "/file/", 6, &walk);
	assert_null(walk.file);
	gr_cc_files_walk(w->files, root, "/none/x", 7, &walk);
	assert_int_equal(walk.file->kind, GR_CC_ABSENT);
	memset(name, 'a', sizeof(name));
	gr_cc_files_walk(w->files, root, name, sizeof(name), &walk);
	assert_null(walk.entry);
	gr_cc_files_walk(w->files, root, name, 300, &walk);
	assert_null(walk.file);
	gr_cc_walk_fini(&walk);
}

static void a_changed_link_leads_elsewhere(void **state)
{
	struct world *w = *state;
	uint64_t gen;

	put(w, "/v1/x.h", "1");
	put(w, "/v2/x.h", "2");
	put_link(w, "/cur", "v1");
	drain(w);
	assert_ptr_equal(entry(w, "/cur/x.h"), entry(w, "/v1/x.h"));
	gen = gr_cc_files_names_gen(w->files);
	put_link(w, "/cur", "v2");
	drain(w);
	assert_true(gr_cc_files_names_gen(w->files) > gen);
	assert_ptr_equal(entry(w, "/cur/x.h"), entry(w, "/v2/x.h"));
}

static void reading_a_changed_file_is_refused(void **state)
{
	struct world *w = *state;
	struct gr_buf b = { 0 };
	struct gr_cc_node *n;

	put(w, "/a.h", "one");
	drain(w);
	n = entry(w, "/a.h");
	digest_is(w, n, "one");
	assert_int_equal(gr_cc_node_read(w->files, n, &b), 0);
	put(w, "/a.h", "two");
	assert_int_equal(gr_cc_node_read(w->files, n, &b), GR_ECORRUPT);
	assert_int_equal(b.n, 3);
	drain(w);
	digest_is(w, n, "two");
	gr_buf_fini(&b);
}

static void a_toolchains_folder_is_marked_for_old_and_new_entries(void **state)
{
	struct world *w = *state;
	struct gr_cc_node *old;

	put(w, "/lib/gcc/include/stddef.h", "");
	drain(w);
	old = entry(w, "/lib/gcc/include/stddef.h");
	gr_cc_files_mark_tool(w->files, "/lib/gcc/include", 3);
	assert_int_equal(old->tool, 3);
	assert_int_equal(entry(w, "/lib/gcc/include/x/y.h")->tool, 3);
	assert_int_equal(entry(w, "/lib/gcc/other.h")->tool, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_known_name_costs_no_system_call), T(a_written_file_has_its_new_digest_after_a_drain),
		T(a_name_that_appears_raises_names_gen), T(a_name_nobody_looked_for_raises_nothing), T(a_vanished_file_is_absent),
		T(a_folder_that_is_replaced_takes_its_entries_along), T(a_folder_that_becomes_a_link_hides_its_entries),
		T(a_young_file_is_read_again), T(an_event_within_the_tick_is_not_lost),
		T(without_watches_everything_is_looked_at_each_request), T(an_overflow_makes_everything_suspect),
		T(a_file_with_two_names_is_looked_at_each_request), T(a_closely_watched_file_is_looked_at_each_request),
		T(a_walk_tells_links_and_dotdots), T(a_walk_ends_at_loops_long_names_and_files_used_as_folders),
		T(a_changed_link_leads_elsewhere), T(reading_a_changed_file_is_refused),
		T(a_toolchains_folder_is_marked_for_old_and_new_entries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
