/* conf_test.c - lib/conf: parsing, order of sources, messages, print-outs */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/conf/conf.h"

struct settings {
	char *to;
	char *name, *state;
	int64_t slots, cache_bytes, wait_ms, mode;
	bool is_fast;
};

static const char *const modes[] = { "auto", "always", "never", NULL };
#define AT(f) offsetof(struct settings, f)
static const struct gr_conf_key keys[] = {
	{ "name", GR_CONF_STR, "", "w", 0, 0, NULL, "Name.", AT(name), NULL },
	{ "state", GR_CONF_STR, "DIR", NULL, 0, 0, NULL, "Folder.", AT(state), NULL },
	{ "slots", GR_CONF_INT, "tasks", "4", 0, 512, NULL, "Slots.", AT(slots), NULL },
	{ "cache-bytes", GR_CONF_BYTES, "bytes", "64M", 1 << 20, 1ll << 40, NULL, "Cap.", AT(cache_bytes), NULL },
	{ "wait", GR_CONF_MS, "ms", "2s", 1, 3600000, NULL, "Wait.", AT(wait_ms), NULL },
	{ "remote", GR_CONF_ENUM, "", "auto", 0, 0, modes, "Where.", AT(mode), NULL },
	{ "fast", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Hurry.", AT(is_fast), NULL },
	{ "to", GR_CONF_STR, "DIR", ".", 0, 0, NULL, "Where to.", AT(to), NULL },
};

struct world {
	struct settings s;
	struct gr_conf c;
	struct gr_err err;
	char dir[64], path[96];
};

static int set_up(void **state)
{
	struct world *w;

	GR_NEW(w);
	gr_conf_init(&w->c, keys, GR_LEN(keys), &w->s);
	strcpy(w->dir, "/tmp/conf_test-XXXXXX");
	if (!mkdtemp(w->dir))
		return -1;
	snprintf(w->path, sizeof(w->path), "%s/c.json", w->dir);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	gr_conf_fini(&w->c);
	gr_rm_rf(w->dir);
	free(w);
	return 0;
}

static int load(struct world *w, const char *json)
{
	assert_int_equal(gr_file_replace(w->path, json, strlen(json), 0600, false, NULL), 0);
	return gr_conf_load_file(&w->c, w->path, &w->err);
}

static void starts_from_the_defaults(void **state)
{
	struct world *w = *state;

	assert_string_equal(w->s.name, "w");
	assert_null(w->s.state);
	assert_int_equal(w->s.slots, 4);
	assert_int_equal(w->s.cache_bytes, 64 << 20);
	assert_int_equal(w->s.wait_ms, 2000);
	assert_int_equal(w->s.mode, 0);
	assert_false(w->s.is_fast);
}

static void reads_sizes_and_times_with_their_units(void **state)
{
	static const struct { const char *key, *text; int64_t want; } rows[] = {
		{ "cache-bytes", "1048576", 1 << 20 }, { "cache-bytes", "64M", 64 << 20 }, { "cache-bytes", "1.5G", 3ll << 29 },
		{ "cache-bytes", "2GiB", 2ll << 30 }, { "cache-bytes", "2gb", 2ll << 30 }, { "cache-bytes", "1T", 1ll << 40 },
		{ "wait", "250ms", 250 }, { "wait", "10s", 10000 }, { "wait", "1.5m", 90000 }, { "wait", "1h", 3600000 },
		{ "wait", "7ms", 7 }, { "slots", "0", 0 }, { "slots", "512", 512 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < GR_LEN(rows); i++) {
		int64_t got;

		assert_int_equal(gr_conf_set(&w->c, rows[i].key, rows[i].text, "--x", &w->err), 0);
		got = rows[i].key[0] == 'c' ? w->s.cache_bytes : rows[i].key[0] == 'w' ? w->s.wait_ms : w->s.slots;
		assert_int_equal(got, rows[i].want);
	}
}

static void refuses_what_is_no_value_of_the_type(void **state)
{
	static const char *const rows[][2] = {
		{ "cache-bytes", "" }, { "cache-bytes", "-1" }, { "cache-bytes", "1023K" }, { "cache-bytes", "2T" },
		{ "cache-bytes", "1X" }, { "cache-bytes", "1MM" }, { "cache-bytes", "nan" }, { "cache-bytes", "inf" },
		{ "cache-bytes", "0x100000" }, { "cache-bytes", "1e400" }, { "cache-bytes", "1Gigabyte" }, { "cache-bytes", " 1G" },
		{ "wait", "0" }, { "wait", "7" }, { "wait", "10 sec" }, { "wait", "2h" }, { "slots", "513" }, { "slots", "-1" }, { "slots", "4x" },
		{ "slots", "" }, { "slots", "99999999999999999999" }, { "remote", "sometimes" }, { "remote", "" }, { "fast", "maybe" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < GR_LEN(rows); i++)
		assert_int_equal(gr_conf_set(&w->c, rows[i][0], rows[i][1], "--x", &w->err), GR_ECONFIG);
	assert_int_equal(w->s.slots, 4);
	assert_int_equal(w->s.cache_bytes, 64 << 20);
}

static void says_what_it_wanted_and_where_the_value_came_from(void **state)
{
	struct world *w = *state;

	assert_int_equal(gr_conf_set(&w->c, "cache-bytes", "lots", "--cache-bytes", &w->err), GR_ECONFIG);
	assert_string_equal(w->err.text, "cache-bytes: bad value \"lots\": wants bytes 1M..1T (from --cache-bytes)");
	assert_int_equal(gr_conf_set(&w->c, "wait", "30", "--wait", &w->err), GR_ECONFIG);
	assert_string_equal(w->err.text, "wait: bad value \"30\": wants a time 1ms..1h: is it 30s or 30ms? (from --wait)");
	assert_int_equal(gr_conf_set(&w->c, "remote", "x", "GRIDDLE_REMOTE", &w->err), GR_ECONFIG);
	assert_string_equal(w->err.text, "remote: bad value \"x\": wants auto|always|never (from GRIDDLE_REMOTE)");
}

static void a_flag_beats_the_environment_beats_a_file_in_any_order(void **state)
{
	const char *env[] = { "GRIDDLE_SLOTS=20", "GRIDDLE_WAIT=20ms", "GRIDDLE_SOCKET=/x", "GRIDDLE_NAME=", NULL };
	const char *args[] = { "prog", "--slots", "30", NULL };
	struct world *w = *state;

	assert_int_equal(gr_conf_load_args(&w->c, 3, (char **)args, &w->err), 3);
	assert_int_equal(gr_conf_load_env(&w->c, (char **)env, &w->err), 0);
	assert_int_equal(load(w, "{\"slots\": 10, \"wait\": 10, \"cache-bytes\": \"2M\", \"name\": \"n\"}"), 0);
	assert_int_equal(w->s.slots, 30);
	assert_int_equal(w->s.wait_ms, 20);
	assert_int_equal(w->s.cache_bytes, 2 << 20);
	assert_string_equal(w->s.name, "n");
	assert_string_equal(w->c.origin[2], "--slots");
	assert_string_equal(w->c.origin[3], w->path);
	assert_string_equal(w->c.origin[4], "GRIDDLE_WAIT");
	assert_string_equal(w->c.origin[5], "default");
}

static void reads_every_form_of_an_option(void **state)
{
	const char *args[] = { "prog", "--name=a=b", "--state", "--odd", "--fast", "--no-fast", "--remote", "never", "--fast=yes",
			 "--", "--slots", NULL };
	struct world *w = *state;

	assert_int_equal(gr_conf_load_args(&w->c, 11, (char **)args, &w->err), 10);
	assert_string_equal(w->s.name, "a=b");
	assert_string_equal(w->s.state, "--odd");
	assert_true(w->s.is_fast);
	assert_int_equal(w->s.mode, 2);
}

static void stops_at_the_first_word_that_is_no_option(void **state)
{
	const char *args[] = { "prog", "--slots=3", "make", "--slots=9", NULL };
	const char *short_opt[] = { "prog", "-j4", NULL };
	struct world *w = *state;

	assert_int_equal(gr_conf_load_args(&w->c, 4, (char **)args, &w->err), 2);
	assert_int_equal(w->s.slots, 3);
	assert_int_equal(gr_conf_load_args(&w->c, 2, (char **)short_opt, &w->err), 1);
}

static void suggests_the_option_that_was_meant(void **state)
{
	const char *args[] = { "prog", "--cache-byte", "4M", NULL }, *missing[] = { "prog", "--slots", NULL };
	const char *no_name[] = { "prog", "--no-name", NULL };
	struct world *w = *state;

	assert_int_equal(gr_conf_load_args(&w->c, 3, (char **)args, &w->err), GR_ECONFIG);
	assert_string_equal(w->err.text,
			    "--cache-byte: no such setting; did you mean --cache-bytes? (from the command line)");
	assert_int_equal(gr_conf_load_args(&w->c, 2, (char **)missing, &w->err), GR_EUSAGE);
	assert_string_equal(w->err.text, "--slots: wants a value");
	assert_int_equal(gr_conf_load_args(&w->c, 2, (char **)no_name, &w->err), GR_ECONFIG);
}

static void takes_config_from_the_command_line(void **state)
{
	struct world *w = *state;
	const char *args[] = { "prog", "--slots=7", "--config", w->path, "--wait=3s", NULL };

	assert_int_equal(load(w, "{\"slots\": 10, \"remote\": \"always\", \"fast\": true, \"state\": [\"a\", \"b\"]}"), 0);
	gr_conf_fini(&w->c);
	gr_conf_init(&w->c, keys, GR_LEN(keys), &w->s);
	assert_int_equal(gr_conf_load_args(&w->c, 5, (char **)args, &w->err), 5);
	assert_int_equal(w->s.slots, 7);
	assert_int_equal(w->s.mode, 1);
	assert_true(w->s.is_fast);
	assert_string_equal(w->s.state, "a,b");
}

static void refuses_damaged_and_unknown_file_content(void **state)
{
	static const char *const rows[] = {
		"", "[]", "{", "{\"slots\": 1, \"slots\": 2}", "{\"slots\": null}", "{\"slots\": {}}", "{\"state\": [1]}",
		"{\"slotz\": 1}", "{\"slots\": 9999}", "{\"fast\": 7}",
	};
	struct world *w = *state;

	for (size_t i = 0; i < GR_LEN(rows); i++)
		assert_int_equal(load(w, rows[i]), GR_ECONFIG);
	assert_int_equal(load(w, "{\"slotz\": 1}"), GR_ECONFIG);
	assert_non_null(strstr(w->err.text, "did you mean slots?"));
	assert_int_equal(gr_conf_load_file(&w->c, "/nonexistent/x.json", &w->err), GR_ENOENT);
}

static char *printed(struct world *w, void (*print)(const struct gr_conf *, FILE *))
{
	size_t n;
	char *text = NULL;
	FILE *f = open_memstream(&text, &n);

	print(&w->c, f);
	fclose(f);
	return text;
}

static void a_whole_number_is_digits_alone_and_in_bounds(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1x", "0x1", "11", "99999999999999999999" };
	uint64_t v = 7;

	(void)state;
	for (size_t i = 0; i < GR_LEN(bad); i++)
		assert_false(gr_conf_whole(bad[i], 10, &v));
	assert_false(gr_conf_whole("99999999999999999999", UINT64_MAX, &v));     /* strtoull says the largest */
	assert_int_equal(v, 7);
	assert_true(gr_conf_whole("10", 10, &v));
	assert_int_equal(v, 10);
}

static void help_markdown_and_values_name_every_key(void **state)
{
	struct world *w = *state;
	char *help = printed(w, gr_conf_print_help), *md = printed(w, gr_conf_print_markdown),
	     *values = printed(w, gr_conf_print_values);

	for (size_t i = 0; i < GR_LEN(keys); i++) {
		assert_non_null(strstr(help, keys[i].key));
		assert_non_null(strstr(md, keys[i].key));
		assert_non_null(strstr(values, keys[i].key));
	}
	assert_non_null(strstr(help, "--cache-bytes bytes 1M..1T\n      Cap. Default: 64M. [GRIDDLE_CACHE_BYTES]"));
	assert_non_null(strstr(help, "--to DIR\n      Where to. Default: \".\". [GRIDDLE_TO]"));
	assert_non_null(strstr(md, "auto\\|always\\|never"));
	assert_non_null(strstr(values, "cache-bytes=64M  (default)"));
	free(help);
	free(md);
	free(values);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(starts_from_the_defaults), T(reads_sizes_and_times_with_their_units), T(refuses_what_is_no_value_of_the_type),
		T(says_what_it_wanted_and_where_the_value_came_from), T(a_flag_beats_the_environment_beats_a_file_in_any_order),
		T(reads_every_form_of_an_option), T(stops_at_the_first_word_that_is_no_option),
		T(suggests_the_option_that_was_meant), T(takes_config_from_the_command_line),
		T(refuses_damaged_and_unknown_file_content), T(a_whole_number_is_digits_alone_and_in_bounds),
		T(help_markdown_and_values_name_every_key),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
