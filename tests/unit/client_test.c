/* client_test.c - what `griddle` does without a cluster: make's words and environment, folders, cluster.json, views */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/cc/note.h"
#include "client/cluster.h"
#include "client/cmd/calls.h"
#include "client/cmd/make_args.h"
#include "client/paths.h"
#include "client/view/summary.h"
#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/client_test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	unsetenv("GRIDDLE_RUNTIME_DIR");
	unsetenv("GRIDDLE_SOCKET");
	return gr_rm_rf(dir);
}

/* ---- make's words ---- */

/* The words separated by blanks, make's words the same way. */
static void expect_words(const char *words, const char *env_word, const char *want, int want_jobs)
{
	const char *env[] = { "PATH=/bin", env_word, NULL };
	char *copy = gr_xstrdup(words), *v[16], *save = NULL;
	struct gr_make_args m;
	struct gr_buf got = { 0 };
	struct gr_err err;
	int n = 0;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		v[n++] = w;
	assert_int_equal(gr_make_args_init(&m, "W", "auto", n, v, (char *const *)env, &err), 0);
	for (char **a = m.argv; *a; a++)
		gr_buf_printf(&got, "%s%s", a == m.argv ? "" : "|", *a);
	assert_string_equal(gr_buf_str(&got), want);
	assert_int_equal(m.n_job, want_jobs);
	gr_buf_fini(&got);
	gr_make_args_fini(&m);
	free(copy);
}

static void wraps_the_compiler_that_plain_make_would_call(void **state)
{
	expect_words("all", NULL, "make|all|CC=W gcc|CXX=W g++", 0);
	expect_words("CC=clang all", NULL, "make|CC=W clang|all|CXX=W g++", 0);
	expect_words("CXX:=g++-12", NULL, "make|CXX=W g++-12|CC=W gcc", 0);
	expect_words("all", "CC=cc", "make|all|CC=W cc|CXX=W g++", 0);
	expect_words("LLVM=1 all", NULL, "make|LLVM=1|all|CC=W clang|CXX=W clang++", 0);
	expect_words("LLVM=-15", NULL, "make|LLVM=-15|CC=W clang-15|CXX=W clang++-15", 0);
	expect_words("LLVM=/opt/bin/", NULL, "make|LLVM=/opt/bin/|CC=W /opt/bin/clang|CXX=W /opt/bin/clang++", 0);
	expect_words("LLVM=0", NULL, "make|LLVM=0|CC=W gcc|CXX=W g++", 0);
	expect_words("CROSS_COMPILE=arm-", NULL, "make|CROSS_COMPILE=arm-|CC=W arm-gcc|CXX=W arm-g++", 0);
	expect_words("CC=griddle-cc", NULL, "make|CC=griddle-cc|CXX=W g++", 0);
	expect_words("HOSTCC=clang CCX=1", NULL, "make|HOSTCC=clang|CCX=1|CC=W gcc|CXX=W g++", 0);
}

static void takes_the_job_count_out_of_the_words(void **state)
{
	expect_words("-j8 all", NULL, "make|all|CC=W gcc|CXX=W g++", 8);
	expect_words("all -j 3", NULL, "make|all|CC=W gcc|CXX=W g++", 3);
	expect_words("-j auto all", NULL, "make|all|CC=W gcc|CXX=W g++", 0);
	expect_words("-j all", NULL, "make|all|CC=W gcc|CXX=W g++", 0);
	expect_words("--jobs=5", NULL, "make|CC=W gcc|CXX=W g++", 5);
	expect_words("-C -j2 -j4", NULL, "make|-C|-j2|CC=W gcc|CXX=W g++", 4);
	expect_words("-k -f x.mk", NULL, "make|-k|-f|x.mk|CC=W gcc|CXX=W g++", 0);
}

static void refuses_job_counts_that_are_none(void **state)
{
	static const char *const bad[] = { "-j0", "-j-1", "-jmany", "--jobs=", "-j999999999" };
	char *env[] = { NULL };
	struct gr_make_args m;
	struct gr_err err;

	for (size_t i = 0; i < GR_LEN(bad); i++)
		assert_int_equal(gr_make_args_init(&m, "W", "auto", 1, (char *const *)&bad[i], env, &err), GR_EUSAGE);
	assert_int_equal(gr_make_args_init(&m, "W", "none", 0, NULL, env, &err), GR_EUSAGE);
}

static const char *env_of(const struct gr_make_args *m, const char *name)
{
	size_t n = strlen(name);

	for (char **e = m->envp; *e; e++)
		if (!strncmp(*e, name, n) && (*e)[n] == '=')
			return *e + n + 1;
	return NULL;
}

static void an_outer_makes_job_server_is_not_passed_on(void **state)
{
	const char *env[] = { "MAKEFLAGS=kw -j4 --jobserver-auth=3,4 -- X=1", "MAKELEVEL=2", "MFLAGS=-k", "A=b", NULL };
	struct gr_make_args m;
	struct gr_err err;

	assert_int_equal(gr_make_args_init(&m, "W", "auto", 0, NULL, (char *const *)env, &err), 0);
	assert_string_equal(env_of(&m, "MAKEFLAGS"), "kw -- X=1 ");
	assert_null(env_of(&m, "MAKELEVEL"));
	assert_null(env_of(&m, "MFLAGS"));
	assert_string_equal(env_of(&m, "A"), "b");
	gr_make_args_setenv(&m, "A", "c");
	assert_string_equal(env_of(&m, "A"), "c");
	gr_make_args_set_jobs(&m, 5, 6);
	assert_string_equal(env_of(&m, "MAKEFLAGS"), "kw  -j --jobserver-auth=5,6 -- X=1 ");
	gr_make_args_fini(&m);
}

static void auto_jobs_make_make_a_client_of_our_pipe(void **state)
{
	char *env[] = { NULL };
	struct gr_make_args m;
	struct gr_err err;

	assert_int_equal(gr_make_args_init(&m, "W", "auto", 0, NULL, env, &err), 0);
	gr_make_args_set_jobs(&m, 5, 6);
	assert_non_null(strstr(env_of(&m, "MAKEFLAGS"), " -j --jobserver-auth=5,6"));
	gr_make_args_fini(&m);
	assert_int_equal(gr_make_args_init(&m, "W", "7", 0, NULL, env, &err), 0);
	gr_make_args_set_jobs(&m, -1, -1);
	assert_string_equal(m.argv[3], "-j7");
	gr_make_args_fini(&m);
}

/* ---- folders ---- */

static void the_runtime_folder_must_be_ours_and_closed(void **state)
{
	struct gr_paths p;
	struct gr_err err;
	char path[128], link_path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/rt", dir);
	snprintf(link_path, sizeof(link_path), "%s/link", dir);
	setenv("GRIDDLE_RUNTIME_DIR", path, 1);
	assert_int_equal(gr_paths_init(&p, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_non_null(strstr(p.socket, "/rt/agent.sock"));
	gr_paths_fini(&p);
	assert_int_equal(chmod(path, 0750), 0);
	assert_int_equal(gr_paths_init(&p, &err), GR_EAUTH);
	assert_int_equal(chmod(path, 0700), 0);
	assert_int_equal(symlink(path, link_path), 0);
	setenv("GRIDDLE_RUNTIME_DIR", link_path, 1);
	assert_int_equal(gr_paths_init(&p, &err), GR_EAUTH);
	setenv("GRIDDLE_RUNTIME_DIR", "relative", 1);
	assert_int_equal(gr_paths_init(&p, &err), GR_ECONFIG);
	setenv("GRIDDLE_RUNTIME_DIR", "/tmp/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", 1);
	assert_int_equal(gr_paths_init(&p, &err), GR_ECONFIG);
	setenv("GRIDDLE_RUNTIME_DIR", path, 1);
	setenv("GRIDDLE_SOCKET", "/elsewhere.sock", 1);
	assert_int_equal(gr_paths_init(&p, &err), 0);
	assert_string_equal(p.socket, "/elsewhere.sock");
	gr_paths_fini(&p);
}

/* ---- cluster.json ---- */

static void a_cluster_comes_back_as_it_was_saved(void **state)
{
	struct gr_cluster c = { .endpoint = (char *)"tcp://127.0.0.1:1", .n_procs = 1 }, got;
	struct gr_err err;
	char path[128];

	snprintf(path, sizeof(path), "%s/cluster.json", dir);
	assert_int_equal(gr_cluster_load(path, &got, &err), GR_ENOENT);
	c.procs[0] = (struct gr_cluster_proc){ "worker", "worker-1", getpid(), gr_cluster_start_time(getpid()) };
	assert_true(c.procs[0].start > 0);
	assert_int_equal(gr_cluster_save(path, &c, &err), 0);
	assert_int_equal(gr_cluster_load(path, &got, &err), 0);
	assert_string_equal(got.endpoint, c.endpoint);
	assert_null(got.server_key);
	assert_int_equal(got.n_procs, 1);
	assert_string_equal(got.procs[0].name, "worker-1");
	assert_true(gr_cluster_is_alive(&got.procs[0]));
	assert_int_equal(gr_cluster_n_alive(&got), 1);
	gr_cluster_fini(&got);
}

static void damaged_cluster_files_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "[]", "{}", "{\"endpoint\": 1, \"pids\": []}", "{\"endpoint\": \"tcp://x\", \"pids\": [1]}",
		"{\"endpoint\": \"tcp://x\", \"pids\": [{\"role\": \"worker\", \"name\": \"w\", \"pid\": 1, \"start\": 5}]}",
		"{\"endpoint\": \"tcp://x\", \"pids\": [{\"role\": \"worker\", \"name\": \"w\", \"pid\": -7, \"start\": 5}]}",
	};
	struct gr_cluster got;
	struct gr_err err;
	char path[128];

	snprintf(path, sizeof(path), "%s/cluster.json", dir);
	for (size_t i = 0; i < GR_LEN(bad); i++) {
		assert_int_equal(gr_file_replace(path, bad[i], strlen(bad[i]), 0600, false, NULL), 0);
		assert_int_equal(gr_cluster_load(path, &got, &err), GR_ECONFIG);
	}
}

static void a_process_id_that_was_given_away_is_never_signalled(void **state)
{
	struct gr_cluster c = { .n_procs = 1 };

	c.procs[0] = (struct gr_cluster_proc){ "worker", "w", getpid(), gr_cluster_start_time(getpid()) + 1 };
	assert_false(gr_cluster_is_alive(&c.procs[0]));
	assert_int_equal(gr_cluster_end(&c, 100), 0);
	assert_int_equal(gr_cluster_start_time(0x3fffffff), 0);
}

static void a_detached_process_is_started_watched_and_ended(void **state)
{
	char ready[128], log[128], script[256];
	const char *argv[] = { "/bin/sh", "-c", script, NULL };
	struct gr_cluster c = { .n_procs = 1 };
	struct gr_err err;

	snprintf(ready, sizeof(ready), "%s/ready", dir);
	snprintf(log, sizeof(log), "%s/log", dir);
	snprintf(script, sizeof(script), "echo hello; : > %s; exec sleep 1000", ready);
	c.procs[0] = (struct gr_cluster_proc){ .role = "worker", .name = "w" };
	assert_int_equal(gr_cluster_spawn(argv, log, &c.procs[0], &err), 0);
	assert_int_equal(gr_cluster_wait_ready(&c.procs[0], ready, log, 10000, &err), 0);
	assert_true(gr_cluster_is_alive(&c.procs[0]));
	assert_int_equal(getsid(c.procs[0].pid), c.procs[0].pid);
	assert_int_equal(gr_cluster_end(&c, 10000), 1);
	assert_false(gr_cluster_is_alive(&c.procs[0]));
}

static void settings_for_another_cluster_do_not_reach_a_daemon(void **state)
{
	const char *argv[] = { "/bin/sh", "-c", "env | grep ^GRIDDLE_ | sort; : > \"$0\"; exec sleep 1000", NULL, NULL };
	char ready[128], log[128];
	struct gr_buf got = { 0 };
	struct gr_err err;

	snprintf(ready, sizeof(ready), "%s/ready", dir);
	argv[3] = ready;
	setenv("GRIDDLE_RUNTIME_DIR", "/rt", 1);
	setenv("GRIDDLE_KEYS", "k", 1);
	setenv("GRIDDLE_CACHE_BYTES", "1G", 1);
	for (int i = 0; i < 2; i++) {
		struct gr_cluster c = { .n_procs = 1 };

		c.procs[0] = (struct gr_cluster_proc){ .role = "agent", .name = "x" };
		if (i == 0)
			strcpy(c.procs[0].role, "worker");
		snprintf(log, sizeof(log), "%s/log%d", dir, i);
		unlink(ready);
		assert_int_equal(gr_cluster_spawn(argv, log, &c.procs[0], &err), 0);
		assert_int_equal(gr_cluster_wait_ready(&c.procs[0], ready, log, 10000, &err), 0);
		gr_cluster_end(&c, 10000);
		gr_buf_clear(&got);
		assert_int_equal(gr_file_read(log, 4096, &got, NULL), 0);
		assert_string_equal(gr_buf_str(&got), i ? "GRIDDLE_CACHE_BYTES=1G\nGRIDDLE_RUNTIME_DIR=/rt\n" : "GRIDDLE_RUNTIME_DIR=/rt\n");
	}
	gr_buf_fini(&got);
	unsetenv("GRIDDLE_KEYS");
	unsetenv("GRIDDLE_CACHE_BYTES");
}

static void a_process_that_ends_at_once_shows_the_end_of_its_log(void **state)
{
	const char *argv[] = { "/bin/sh", "-c", "echo one; echo two; echo no key >&2; exit 3", NULL };
	struct gr_cluster_proc p = { .role = "worker", .name = "w-1" };
	char ready[128], log[128];
	struct gr_err err;

	snprintf(ready, sizeof(ready), "%s/never", dir);
	snprintf(log, sizeof(log), "%s/log", dir);
	assert_int_equal(gr_cluster_spawn(argv, log, &p, &err), 0);
	assert_int_equal(gr_cluster_wait_ready(&p, ready, log, 10000, &err), GR_EIO);
	assert_non_null(strstr(err.text, "w-1 ended at once"));
	assert_non_null(strstr(err.text, "no key"));
}

/* ---- views ---- */

static void columns_are_as_wide_as_their_content(void **state)
{
	static const char *const heads[] = { "NAME", ">SLOTS", "WHAT", NULL };
	struct gr_table *t = gr_table_new(heads);
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	gr_table_cell(t, "worker-number-1");
	gr_table_cell(t, "%d", 4);
	gr_table_cell(t, "a\033[1mb\n");
	gr_table_cell(t, "w");
	gr_table_cell(t, "1234567");
	gr_table_cell(t, "é");
	gr_table_print(t, f);
	fclose(f);
	assert_string_equal(text, "NAME               SLOTS  WHAT\nworker-number-1        4  a?[1mb?\nw                1234567  é\n");
	free(text);
	gr_table_free(&t);
}

static void sizes_and_times_are_short(void **state)
{
	char s[24];

	assert_string_equal(gr_view_bytes(0, s), "0 B");
	assert_string_equal(gr_view_bytes(999, s), "999 B");
	assert_string_equal(gr_view_bytes(1000, s), "1.0 kB");
	assert_string_equal(gr_view_bytes(12345678, s), "12.3 MB");
	assert_string_equal(gr_view_bytes(999600, s), "1.0 MB");
	assert_string_equal(gr_view_bytes(150000000, s), "150 MB");
	assert_string_equal(gr_view_seconds(1234, s), "1.2 s");
	assert_string_equal(gr_view_seconds(59960, s), "60.0 s");
	assert_string_equal(gr_view_seconds(65000, s), "1m05s");
	assert_string_equal(gr_view_seconds(7380000, s), "2h03m");
}

static void the_summary_says_what_ran_where_and_why(void **state)
{
	struct gr_summary_cost cost = { 62000, 30000 };
	json_t *s = json_pack("{s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:i, s:i, s:{s:i, s:i}, s:i, s:{s:i}}", "remote", 448, "cached", 0, "local", 5,
			      "failed", 1, "retries", 2, "bytes_sent", (json_int_t)12000000, "bytes_received", (json_int_t)3000000,
			      "agent_cpu_ms", 900, "remote_cpu_ms", 85000, "reasons", "stdin", 2, "-march=native", 3,
			      "other", 7, "other_reasons", "link", 7);
	json_t *lost = json_pack("{s:b, s:{s:i}}", "agent_lost", true, "reasons", "no agent", 9);
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	gr_summary_print(s, &cost, f);
	gr_summary_print(lost, &cost, f);
	fclose(f);
	assert_string_equal(text,
			    "griddle: 453 units: 448 remote, 0 cached, 5 local, 1 of them failed, 2 tried again; 7 other calls (links, probes); "
			    "sent 12.0 MB, received 3.0 MB\n"
			    "griddle: wall 1m02s, CPU here 30.0 s and agent 0.9 s, on workers 1m25s\n"
			    "HERE  WHAT        WHY\n   3  unit        -march=native\n   2  unit        stdin\n   7  other call  link\n"
			    "griddle: the agent is gone, so what ran where is not known; wall 1m02s, CPU here 30.0 s\n"
			    "HERE  WHAT  WHY\n   9  unit  no agent\n");
	free(text);
	json_decref(s);
	json_decref(lost);
}

/* ---- what wrappers keep here by themselves ---- */

static json_int_t count_of(const json_t *s, const char *list, const char *reason)
{
	return json_integer_value(json_object_get(json_object_get(s, list), reason));
}

static void wrappers_calls_are_counted_as_they_come(void **state)
{
	json_t *s = json_pack("{s:i, s:{s:i}, s:[]}", "local", 2, "reasons", "stdin", 2, "locals");
	struct gr_calls *c;

	assert_int_equal(gr_calls_open(dir, "make-1-2", &c, NULL), 0);
	gr_note_call(gr_calls_path(c), true, "several sources", "b.c");
	gr_calls_read(c);
	assert_int_equal(gr_calls_n_units(c), 1);
	for (int i = 0; i < 1000; i++)
		gr_note_call(gr_calls_path(c), false, "source is a device", "/dev/null");
	gr_note_call(gr_calls_path(c), true, "stdin", "-");
	gr_note_call(NULL, true, "stdin", "-");
	gr_note_call("", true, "stdin", "-");
	gr_calls_read(c);
	gr_calls_read(c);
	gr_calls_add_to(c, s);
	assert_int_equal(json_integer_value(json_object_get(s, "local")), 4);
	assert_int_equal(json_integer_value(json_object_get(s, "other")), 1000);
	assert_int_equal(count_of(s, "reasons", "stdin"), 3);
	assert_int_equal(count_of(s, "reasons", "several sources"), 1);
	assert_int_equal(count_of(s, "other_reasons", "source is a device"), 1000);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(s, "locals"), 0), "source")), "b.c");
	json_decref(s);
	gr_calls_close(&c);
}

static void lines_that_no_wrapper_writes_are_passed_over(void **state)
{
	static const char junk[] = "\n\nx\nu\tnothing\nzlink\tx\nulink\n\0\0u\0\t\n\xff\xfe\tq\n";
	char word[3000];
	json_t *s = json_object();
	struct gr_calls *c;
	FILE *f;

	assert_int_equal(gr_calls_open(dir, "make-1-2", &c, NULL), 0);
	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = 0;
	f = fopen(gr_calls_path(c), "w");
	assert_non_null(f);
	fwrite(junk, 1, sizeof(junk) - 1, f);
	fprintf(f, "u%s\t%s\n", word, word);
	fclose(f);
	gr_note_call(gr_calls_path(c), true, word, word);
	gr_note_call(gr_calls_path(c), true, "a\nb", "\t\xff.c");
	fclose(fopen(gr_calls_path(c), "a"));
	gr_calls_read(c);
	gr_calls_add_to(c, s);
	assert_int_equal(gr_calls_n_units(c), 2);
	assert_int_equal(count_of(s, "reasons", "a?b"), 1);
	json_decref(s);
	gr_calls_close(&c);
}

static void a_place_that_cannot_take_a_note_is_left_alone(void **state)
{
	char path[100];
	struct stat st;
	FILE *f;

	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	gr_note_call(path, true, "r", "s");          /* nobody reads: neither blocks nor kills */
	gr_note_call(dir, true, "r", "s");
	gr_note_call("/nowhere/at/all", true, "r", "s");
	snprintf(path, sizeof(path), "%s/full", dir);
	f = fopen(path, "w");
	assert_int_equal(truncate(path, GR_NOTE_MAX_FILE), 0);
	fclose(f);
	gr_note_call(path, true, "r", "s");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, GR_NOTE_MAX_FILE);
	snprintf(path, sizeof(path), "%s/link", dir);
	assert_int_equal(symlink("full", path), 0);
	gr_note_call(path, true, "r", "s");
}

static void the_file_of_a_killed_make_is_removed(void **state)
{
	char dead[100], own[100];
	struct gr_calls *c;

	snprintf(dead, sizeof(dead), "%s/make-%d-%x.calls", dir, (int)getpid(), 1);
	snprintf(own, sizeof(own), "%s/make-%d-%llx.calls", dir, (int)getpid(), (unsigned long long)gr_cluster_start_time(getpid()));
	fclose(fopen(dead, "w"));
	fclose(fopen(own, "w"));
	assert_int_equal(gr_calls_open(dir, "make-1-2", &c, NULL), 0);
	assert_int_equal(access(dead, F_OK), -1);
	assert_int_equal(access(own, F_OK), 0);
	gr_calls_close(&c);
	own[strlen(own) - strlen(".calls")] = 0;
	assert_int_equal(gr_calls_open(dir, own + strlen(dir) + 1, &c, NULL), GR_EEXIST);
}

int main(void)
{
#define T(f) cmocka_unit_test(f)
#define TD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(wraps_the_compiler_that_plain_make_would_call), T(takes_the_job_count_out_of_the_words),
		T(refuses_job_counts_that_are_none), T(an_outer_makes_job_server_is_not_passed_on),
		T(auto_jobs_make_make_a_client_of_our_pipe), TD(the_runtime_folder_must_be_ours_and_closed),
		TD(a_cluster_comes_back_as_it_was_saved), TD(damaged_cluster_files_are_refused),
		T(a_process_id_that_was_given_away_is_never_signalled), TD(a_detached_process_is_started_watched_and_ended),
		TD(settings_for_another_cluster_do_not_reach_a_daemon), TD(a_process_that_ends_at_once_shows_the_end_of_its_log), T(columns_are_as_wide_as_their_content),
		T(sizes_and_times_are_short), T(the_summary_says_what_ran_where_and_why),
		TD(wrappers_calls_are_counted_as_they_come), TD(lines_that_no_wrapper_writes_are_passed_over),
		TD(a_place_that_cannot_take_a_note_is_left_alone), TD(the_file_of_a_killed_make_is_removed),
	};

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
