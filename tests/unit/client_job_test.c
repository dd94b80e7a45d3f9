/* client_job_test.c - client/job: job files and their complaints, scripts with places, what map runs over */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/job/jobfile.h"
#include "client/job/map_values.h"
#include "client/job/shell.h"
#include "client/view/top.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"

static char dir[64];

static int set_up(void **state)
{
	char path[128];

	(void)state;
	strcpy(dir, "/tmp/client_job_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	for (int i = 1; i <= 3; i++) {
		snprintf(path, sizeof(path), "%s/p%d.csv", dir, i);
		assert_int_equal(gr_file_replace(path, path, (size_t)i, 0644, false, NULL), 0);
	}
	snprintf(path, sizeof(path), "%s/d/e", dir);
	assert_int_equal(gr_mkdir_p(path, 0755, NULL), 0);
	snprintf(path, sizeof(path), "%s/d/e/f", dir);
	assert_int_equal(gr_file_replace(path, "x", 1, 0755, false, NULL), 0);
	snprintf(path, sizeof(path), "%s/lines.txt", dir);
	assert_int_equal(gr_file_replace(path, "a\tb\nc\td\n", 8, 0644, false, NULL), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return gr_rm_rf(dir);
}

static int reads(const char *text, struct gr_jobfile *f, struct gr_err *err)
{
	json_t *o = json_loads(text, JSON_DECODE_ANY, NULL);
	int rc;

	assert_non_null(o);
	rc = gr_jobfile_read(o, dir, "file", 1000, f, err);
	json_decref(o);
	return rc;
}

/* What a path such as "stages.0.argv.2" leads to, as compact JSON. */
static void is(const struct gr_jobfile *f, const char *path, const char *want)
{
	char *copy = gr_xstrdup(path), *save = NULL, *text;
	const json_t *v = f->spec;

	for (char *p = strtok_r(copy, ".", &save); p; p = strtok_r(NULL, ".", &save))
		v = json_is_array(v) ? json_array_get(v, strtoul(p, NULL, 10)) : json_object_get(v, p);
	text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : gr_xstrdup("(nothing)");
	assert_string_equal(text, want);
	free(text);
	free(copy);
}

/* ---- job files ---- */

static void complaints_name_the_place(void **state)
{
	static const struct { const char *text, *says; } bad[] = {
		{ "{\"tasks\":[{\"command\":\"x\"},{\"command\":\"x\",\"resources\":{\"mem\":\"12Q\"}}]}", "tasks[1].resources.mem: \"12Q\" is not a size, e.g. 512M" },
		{ "{\"comand\":\"x\"}", "\"comand\" is not known; did you mean \"command\"?" },
		{ "{\"command\":\"x\",\"resources\":{\"memory\":1}}", "resources: \"memory\" is not known; did you mean \"mem\"?" },
		{ "{\"command\":\"x\",\"resources\":{\"mem_bytes\":1}}", "resources: \"mem_bytes\" is not known; did you mean \"mem\"?" },
		{ "{\"command\":\"x\",\"resources\":{\"cpu\":1}}", "resources: \"cpu\" is not known; did you mean \"cpus\"?" },
		{ "{\"command\":\"x\",\"resources\":{\"ram\":1}}", "resources: \"ram\" is not known; there is cpus, mem, disk and gpus" },
		{ "{\"command\":\"x\",\"timeout_ms\":1}", "\"timeout_ms\" is not known; did you mean \"timeout\"?" },
		{ "{\"command\":\"x\",\"retry\":{\"maxx\":1}}", "retry: \"maxx\" is not known; did you mean \"max\"?" },
		{ "{\"tasks\":[{\"command\":\"x\"}],\"timeout\":\"1s\"}", "\"timeout\" belongs to a task: put it into one, or into \"defaults\" for all" },
		{ "{\"command\":[\"a\",\"{3}\"],\"array\":[\"x\"]}", "command[1]: {3}: there is 1 value" },
		{ "{\"command\":\"a {2}\",\"array\":3}", "command: {2}: there is 1 value" },
		{ "{\"command\":\"\"}", "command: is empty" },
		{ "{\"tasks\":[{\"name\":\"a\"}]}", "tasks[0]: wants a \"command\"" },
		{ "{}", "wants \"tasks\", a list, or a \"command\"" },
		{ "{\"tasks\":[]}", "tasks: is empty" },
		{ "[]", "wants a JSON object" },
		{ "{\"command\":\"a\",\"timeout\":\"5\"}", "timeout: \"5\" is not a time, e.g. \"90s\" or \"1h30m\"" },
		{ "{\"command\":\"a\",\"array\":\"5-1\"}", "array: a range from 5 to 1 by 1 is empty" },
		{ "{\"command\":\"a\",\"array\":[]}", "array: is empty: a task list wants at least one entry" },
		{ "{\"command\":\"a\",\"array\":{\"matrix\":{\"x\":[]}}}", "array.matrix.x: wants a list of values" },
		{ "{\"command\":\"a\",\"array\":[\"x\",{}]}", "array[1]: wants a text, a number, or a list of them" },
		{ "{\"command\":\"a\",\"priority\":99}", "priority: 99 is no whole number from -15 to 15" },
		{ "{\"command\":\"a\",\"stop_after_failures\":\"many\"}", "stop_after_failures: \"many\" is neither a number of failed tasks nor a share of them, e.g. \"10%\"" },
		{ "{\"tasks\":[{\"command\":\"a\",\"after\":\"b\"}]}", "tasks[0].after: \"b\" is no task that stands before this one" },
		{ "{\"tasks\":[{\"command\":\"a\",\"inputs\":[{\"from\":\"b\"}]}]}", "tasks[0].inputs[0]: from: \"b\" is no task that stands before this one" },
		{ "{\"command\":\"a\",\"inputs\":[\"../../etc/nope*\"]}", "inputs[0]: ../../etc/nope*: no file fits" },
		{ "{\"command\":\"a\",\"inputs\":[{\"text\":\"x\"}]}", "inputs[0]: text wants \"as\", the file's name" },
		{ "{\"command\":\"a\",\"secrets\":{\"t\":{\"env\":\"NO_SUCH_VARIABLE_HERE\"}}}", "secrets.t: NO_SUCH_VARIABLE_HERE is not in the environment" },
	};

	(void)state;
	for (size_t i = 0; i < GR_LEN(bad); i++) {
		struct gr_err err = { 0 };
		struct gr_jobfile f;

		assert_true(reads(bad[i].text, &f, &err) < 0);
		assert_string_equal(err.text, bad[i].says);
		gr_jobfile_fini(&f);
	}
}

static void a_file_with_a_command_is_one_task(void **state)
{
	struct gr_jobfile f;
	struct gr_err err;

	(void)state;
	assert_int_equal(reads("{\"command\":[\"ls\",\"-l\"],\"resources\":{\"cpus\":0.5,\"mem\":\"1.5G\"},\"timeout\":\"1h30m\",\"retry\":2,"
			       "\"deadline\":\"2s\",\"stop_after_failures\":\"2.5%\",\"constraints\":{\"arch\":\"x\",\"gpu\":true}}", &f, &err), 0);
	is(&f, "name", "\"file\"");
	is(&f, "stages.0.argv", "[\"ls\",\"-l\"]");
	is(&f, "stages.0.resources", "{\"cpu_mcpu\":500,\"mem_bytes\":1610612736}");
	is(&f, "stages.0.timeout_ms", "5400000");
	is(&f, "stages.0.retry", "{\"max\":2,\"on\":[\"lost\",\"oom\",\"timeout\",\"exit\"]}");
	is(&f, "deadline_ms", "3000");
	is(&f, "max_failures_permille", "25");
	is(&f, "stages.0.constraints.1", "{\"label\":\"gpu\",\"op\":\"exists\"}");
	assert_int_equal(f.n_tasks, 1);
	gr_jobfile_fini(&f);
}

static void a_task_may_have_a_file_of_its_own(void **state)
{
	struct gr_jobfile f;
	struct gr_err err;

	(void)state;
	assert_int_equal(reads("{\"command\":[\"cp\",\"{}\",\"{-1.}.out\",\"{#}\"],\"array\":{\"glob\":\"p*.csv\"},\"inputs\":[\"{}\",\"d\"]}", &f, &err), 0);
	is(&f, "stages.0.argv", "[\"cp\",\"{1}\",\"{1.}.out\",\"{#}\"]");
	is(&f, "stages.0.inputs.0", "{\"path\":\"{1}\",\"blob\":\"{2}\"}");
	is(&f, "stages.0.inputs.3.path", "\"d/e/f\"");
	is(&f, "stages.0.inputs.3.mode", "493");
	is(&f, "stages.0.array.list.2.0", "\"p3.csv\"");
	assert_int_equal(f.inputs.by_digest.n, 4);
	gr_jobfile_seal(&f);
	assert_int_equal(json_array_size(json_object_get(f.spec, "blobs")), 4);
	gr_jobfile_fini(&f);
}

static void names_of_a_matrix_are_written_out_beside_hidden_values(void **state)
{
	struct gr_jobfile f;
	struct gr_err err;

	(void)state;
	assert_int_equal(reads("{\"command\":[\"x\",\"{i}\",\"{mode/}\",\"{}\"],\"array\":{\"matrix\":{\"i\":[1,2],\"mode\":[\"a\",\"b\"]}},\"stdin\":\"p{i}.csv\"}",
			       &f, &err), 0);
	is(&f, "stages.0.argv", "[\"x\",\"{1}\",\"{2/}\",\"{1} {2}\"]");
	is(&f, "stages.0.stdin.blob", "\"{3}\"");
	assert_int_equal(f.n_tasks, 4);
	gr_jobfile_fini(&f);
}

static void lines_of_a_file_are_split_at_tabs(void **state)
{
	struct gr_jobfile f;
	struct gr_err err;

	(void)state;
	assert_int_equal(reads("{\"command\":[\"x\",\"{2}\"],\"array\":{\"file\":\"lines.txt\"}}", &f, &err), 0);
	is(&f, "stages.0.array", "{\"list\":[[\"a\",\"b\"],[\"c\",\"d\"]]}");
	gr_jobfile_fini(&f);
}

static void defaults_are_for_all_tasks(void **state)
{
	struct gr_jobfile f;
	struct gr_err err;

	(void)state;
	assert_int_equal(reads("{\"defaults\":{\"env\":{\"A\":\"1\",\"B\":\"2\"},\"network\":true},\"tasks\":[{\"name\":\"a\",\"command\":\"x\",\"env\":{\"B\":\"3\"}},"
			       "{\"command\":\"y\",\"after\":[{\"task\":\"a\",\"each\":true}],\"network\":false}]}", &f, &err), 0);
	is(&f, "stages.0.env", "{\"A\":\"1\",\"B\":\"3\"}");
	is(&f, "stages.0.network", "true");
	is(&f, "stages.1.network", "false");
	is(&f, "stages.1.name", "\"task-1\"");
	is(&f, "stages.1.after", "[{\"stage\":\"a\",\"each\":true}]");
	gr_jobfile_fini(&f);
}

static void secrets_stay_out_of_the_spec(void **state)
{
	struct gr_jobfile f;
	struct gr_err err;
	char *text;

	(void)state;
	setenv("CLIENT_JOB_TEST_SECRET", "hunter2!", 1);
	assert_int_equal(reads("{\"command\":\"x\",\"secrets\":{\"token\":{\"env\":\"CLIENT_JOB_TEST_SECRET\"}}}", &f, &err), 0);
	is(&f, "stages.0.secrets", "[\"token\"]");
	assert_string_equal(json_string_value(json_object_get(f.secrets, "token")), "aHVudGVyMiE=");
	text = json_dumps(f.spec, 0);
	assert_null(strstr(text, "aHVudGVyMiE="));
	free(text);
	gr_jobfile_fini(&f);
}

/* ---- scripts ---- */

static void a_place_in_a_script_is_a_parameter_quoted_as_it_stands(void **state)
{
	static const struct { const char *script, *want; } cases[] = {
		{ "echo {}", "[\"/bin/sh\",\"-c\",\"echo \\\"$1\\\"\",\"sh\",\"{}\"]" },
		{ "echo \"a {} b\" '{.}' {}", "[\"/bin/sh\",\"-c\",\"echo \\\"a $1 b\\\" ''\\\"$2\\\"'' \\\"$1\\\"\",\"sh\",\"{}\",\"{.}\"]" },
		{ "awk '{print $1}'", "[\"/bin/sh\",\"-c\",\"awk '{print $1}'\",\"sh\"]" },
		{ "echo \\\"{}", "[\"/bin/sh\",\"-c\",\"echo \\\\\\\"\\\"$1\\\"\",\"sh\",\"{}\"]" },
	};

	(void)state;
	for (size_t i = 0; i < GR_LEN(cases); i++) {
		struct gr_err err;
		json_t *argv = gr_shell_argv(cases[i].script, NULL, 0, SIZE_MAX, &err);
		char *text = json_dumps(argv, JSON_COMPACT);

		assert_string_equal(text, cases[i].want);
		free(text);
		json_decref(argv);
	}
}

/* ---- values of map ---- */

static void combinations_turn_the_last_list_fastest(void **state)
{
	char *words[] = { "cmd", ":::", "a", "b", ":::", "1", "2", "3", ":::+", "x", "y", "z" };
	struct gr_map_values_opts o = { .n_args = 1 };
	struct gr_map_values v = { 0 };
	struct gr_slice row[64];
	struct gr_err err;
	int n = (int)GR_LEN(words);

	(void)state;
	assert_int_equal(gr_map_values_read(&v, &o, words, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(v.n_tasks, 6);
	assert_int_equal(gr_map_values_of(&v, 1, row), 3);
	assert_true(gr_slice_is(row[0], "a") && gr_slice_is(row[1], "2") && gr_slice_is(row[2], "y"));
	assert_int_equal(gr_map_values_of(&v, 5, row), 3);
	assert_true(gr_slice_is(row[0], "b") && gr_slice_is(row[1], "3") && gr_slice_is(row[2], "z"));
	gr_map_values_fini(&v);
}

static void a_list_without_values_is_refused(void **state)
{
	char *words[] = { "cmd", ":::", "a", ":::" }, *linked[] = { "cmd", ":::+", "a" };
	struct gr_map_values_opts o = { .n_args = 1 };
	struct gr_map_values v = { 0 };
	struct gr_err err;
	int n = (int)GR_LEN(words);

	(void)state;
	assert_int_equal(gr_map_values_read(&v, &o, words, &n, &err), GR_EUSAGE);
	gr_map_values_fini(&v);
	v = (struct gr_map_values){ 0 };
	n = (int)GR_LEN(linked);
	assert_int_equal(gr_map_values_read(&v, &o, linked, &n, &err), GR_EUSAGE);
	gr_map_values_fini(&v);
}

/* ---- top ---- */

static void the_same_seed_shows_the_same_screen_within_its_bounds(void **state)
{
	struct gr_buf text[2] = { { 0 }, { 0 } };

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct gr_top_sim *s = gr_top_sim_new(7);
		struct gr_top t = { .is_ascii = true, .shows_workers = true };

		for (uint64_t i = 1; i <= 30; i++) {
			json_t *snap = gr_top_sim_step(s, 1000);
			int lines = 0, col = 0;

			assert_non_null(snap);
			gr_top_feed(&t, snap, i * 1000);
			gr_buf_clear(&text[k]);
			gr_top_text(&t, snap, 20, 70 + (int)i, &text[k]);
			for (const char *p = gr_buf_str(&text[k]); *p; p++) {
				col = *p == '\n' ? 0 : col + ((unsigned char)*p >= 0x20);
				lines += *p == '\n';
				assert_true(col <= 70 + (int)i);
			}
			assert_true(lines <= 20);
			json_decref(snap);
		}
		gr_top_sim_free(&s);
	}
	assert_string_equal(gr_buf_str(&text[0]), gr_buf_str(&text[1]));
	assert_non_null(strstr(gr_buf_str(&text[0]), "simulated"));
	gr_buf_fini(&text[0]);
	gr_buf_fini(&text[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(complaints_name_the_place),
		cmocka_unit_test(a_file_with_a_command_is_one_task),
		cmocka_unit_test(a_task_may_have_a_file_of_its_own),
		cmocka_unit_test(names_of_a_matrix_are_written_out_beside_hidden_values),
		cmocka_unit_test(lines_of_a_file_are_split_at_tabs),
		cmocka_unit_test(defaults_are_for_all_tasks),
		cmocka_unit_test(secrets_stay_out_of_the_spec),
		cmocka_unit_test(a_place_in_a_script_is_a_parameter_quoted_as_it_stands),
		cmocka_unit_test(combinations_turn_the_last_list_fastest),
		cmocka_unit_test(a_list_without_values_is_refused),
		cmocka_unit_test(the_same_seed_shows_the_same_screen_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
