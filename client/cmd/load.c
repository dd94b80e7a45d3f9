/* load.c - `griddle load`: start a load test and follow it, look at kept ones, compare them */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "client/cmd/commands.h"
#include "client/cmd/target.h"
#include "client/cmd/words.h"
#include "client/load/ask.h"
#include "client/load/result.h"
#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/utf8.h"
#include "lib/load/plan.h"

#define CALL_LIMIT_MS 10000
#define POLL_MS 200
#define MAX_COMPARED 6

enum { OUT_TABLE, OUT_JSON, OUT_CSV };
static const char *const outputs[] = { "table", "json", "csv", NULL };
static const char *const protocols[] = { "1.1", "2", NULL };

struct load_opts {
	struct gr_target_opts target;
	char *rate, *length, *ramp, *late, *name, *method, *header, *body, *threshold, *timeout, *html, *junit;
	int64_t output, connections, workers, threads, users, http;
	bool yes, quiet, insecure, detach;
};
#define AT(f) offsetof(struct load_opts, f)
static const struct gr_conf_key load_keys[] = {
	{ "rate", GR_CONF_STR, "RATE", "50/s", 0, 0, NULL, "Arrivals: 500/s, 30/min. The load does not wait for answers.", AT(rate), NULL },
	{ "for", GR_CONF_STR, "TIME", "30s", 0, 0, NULL, "How long.", AT(length), NULL },
	{ "ramp", GR_CONF_STR, "TIME", NULL, 0, 0, NULL, "Rise from nothing to the rate in this time first.", AT(ramp), NULL },
	{ "users", GR_CONF_INT, "users", "0", 0, 1000000, NULL,
	  "Instead of a rate: so many users, each waiting for its answer before it asks again.", AT(users), NULL },
	{ "connections", GR_CONF_INT, "connections", "0", 0, 10000000, NULL, "Most connections of all workers together; 0: 10000 a worker.",
	  AT(connections), NULL },
	{ "workers", GR_CONF_INT, "workers", "0", 0, 256, NULL, "Workers that take part; 0: all that can.", AT(workers), NULL },
	{ "threads", GR_CONF_INT, "threads", "1", 1, 64, NULL, "Generator threads on each worker.", AT(threads), NULL },
	{ "method", GR_CONF_STR, "METHOD", NULL, 0, 0, NULL, "GET, or POST when there is a body.", AT(method), NULL },
	{ "header", GR_CONF_STR, "LINES", NULL, 0, 0, NULL, "\"Name: value\", several separated by new lines.", AT(header), NULL },
	{ "body", GR_CONF_STR, "TEXT", NULL, 0, 0, NULL, "What is sent; @FILE: a file's content.", AT(body), NULL },
	{ "http", GR_CONF_ENUM, "", "1.1", 0, 0, protocols, "HTTP version.", AT(http), NULL },
	{ "timeout", GR_CONF_STR, "TIME", "10s", 0, 0, NULL, "A request without its whole answer after this has failed.", AT(timeout), NULL },
	{ "late", GR_CONF_STR, "TIME", "5ms", 0, 0, NULL,
	  "A request that leaves so much after its moment, by the generator's own fault, is late; over 1 % and the test does not count.",
	  AT(late), NULL },
	{ "threshold", GR_CONF_STR, "LIST", NULL, 0, 0, NULL, "What must hold, separated by commas: \"http.p99 < 200ms, errors < 0.1%\".",
	  AT(threshold), NULL },
	{ "name", GR_CONF_STR, "NAME", NULL, 0, 0, NULL, "What this test is called.", AT(name), NULL },
	{ "output", GR_CONF_ENUM, "", "table", 0, 0, outputs, "How to print the result.", AT(output), NULL },
	{ "html", GR_CONF_STR, "FILE", NULL, 0, 0, NULL, "Write a report with charts, one file.", AT(html), NULL },
	{ "junit", GR_CONF_STR, "FILE", NULL, 0, 0, NULL, "Write a JUnit report for CI.", AT(junit), NULL },
	{ "yes", GR_CONF_BOOL, "", "false", 0, 0, NULL, "The target may be hit with more than 1000/s.", AT(yes), NULL },
	{ "insecure", GR_CONF_BOOL, "", "true", 0, 0, NULL, "Do not check the target's certificate; --no-insecure does.", AT(insecure), NULL },
	{ "quiet", GR_CONF_BOOL, "", "false", 0, 0, NULL, "No live line.", AT(quiet), NULL },
	{ "detach", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Print the test's id and do not wait for it.", AT(detach), NULL },
	GR_TARGET_KEYS(struct load_opts),
};

struct load_cmd {
	const struct gr_cmd *cmd;
	struct load_opts o;
	struct gr_conf conf;
	struct gr_paths paths;
	struct gr_target target;
	struct gr_ask *ask;
	struct gr_err err;
};

/* ---- the plan ---- */

static int add_headers(json_t *req, const char *text, struct gr_err *err)
{
	json_t *headers = json_object();
	char *copy = gr_xstrdup(text), *save = NULL;
	int rc = 0;

	for (char *line = strtok_r(copy, "\r\n", &save); line && rc == 0; line = strtok_r(NULL, "\r\n", &save)) {
		char *colon = strchr(line, ':');

		if (!colon) {
			rc = gr_err_set(err, GR_EUSAGE, "--header: \"%.60s\" is not \"Name: value\"", line);
			break;
		}
		*colon = 0;
		json_object_set_new(headers, line, json_string(colon + 1 + strspn(colon + 1, " ")));
	}
	free(copy);
	json_object_set_new(req, "headers", headers);
	return rc;
}

static int add_body(json_t *req, const char *text, struct gr_err *err)
{
	struct gr_buf b = { 0 };
	json_t *v;
	int rc;

	if (*text != '@') {
		json_object_set_new(req, "body", json_string(text));
		return 0;
	}
	rc = gr_file_read(text + 1, 512 << 10, &b, err);
	if (rc == 0) {
		v = json_stringn(b.n ? (const char *)b.p : "", b.n);
		if (v)
			json_object_set_new(req, "body", v);
		else
			rc = gr_err_set(err, GR_EUSAGE, "%s: is not UTF-8 text", text + 1);
	}
	gr_buf_fini(&b);
	return rc;
}

static json_t *thresholds_of(const char *text)
{
	json_t *list = json_array();
	char *copy = gr_xstrdup(text), *save = NULL;

	for (char *t = strtok_r(copy, ",", &save); t; t = strtok_r(NULL, ",", &save))
		json_array_append_new(list, json_string(t + strspn(t, " ")));
	free(copy);
	return list;
}

/* What the words of `griddle load http URL` say, as a plan. */
static int plan_of_words(const struct load_opts *o, const char *url, json_t **out, struct gr_err *err)
{
	json_t *plan = json_object(), *req = json_object(), *stages = json_array();
	const char *level = o->users ? "users" : "rate";
	json_t *value = o->users ? json_integer(o->users) : json_string(o->rate);
	int rc = 0;

	if (o->ramp)
		json_array_append_new(stages, json_pack("{s:s, s:i, s:O, s:s}", "kind", "ramp", "from", 0, "to", value, "for", o->ramp));
	json_array_append_new(stages, json_pack("{s:s, s:O, s:s}", "kind", "hold", level, value, "for", o->length));
	json_decref(value);
	json_object_set_new(req, "name", json_string(url));
	if (strlen(url) > 80)
		json_object_del(req, "name");
	json_object_set_new(req, "url", json_string(url));
	if (o->method)
		json_object_set_new(req, "method", json_string(o->method));
	if (o->header)
		rc = add_headers(req, o->header, err);
	if (rc == 0 && o->body)
		rc = add_body(req, o->body, err);
	json_object_set_new(plan, "name", json_string(o->name ? o->name : "http"));
	json_object_set_new(plan, "model", json_string(o->users ? "closed" : "open"));
	json_object_set_new(plan, "http", json_string(protocols[o->http]));
	json_object_set_new(plan, "stages", stages);
	json_object_set_new(plan, "requests", json_pack("[o]", req));
	json_object_set_new(plan, "timeout", json_string(o->timeout));
	json_object_set_new(plan, "late", json_string(o->late));
	json_object_set_new(plan, "workers", json_integer(o->workers));
	json_object_set_new(plan, "threads", json_integer(o->threads));
	json_object_set_new(plan, "connections", json_integer(o->connections));
	json_object_set_new(plan, "verify", json_boolean(!o->insecure));
	if (o->threshold)
		json_object_set_new(plan, "thresholds", thresholds_of(o->threshold));
	*out = plan;
	return rc;
}

/* {"file": NAME} becomes the file's text: tables beside the plan, certificates. */
static int inline_file(json_t *holder, const char *key, const char *plan_path, struct gr_err *err)
{
	const char *name = json_string_value(json_object_get(json_object_get(holder, key), "file"));
	const char *slash = strrchr(plan_path, '/');
	struct gr_buf b = { 0 }, path = { 0 };
	json_t *v;
	int rc;

	if (!name)
		return 0;
	gr_buf_printf(&path, "%.*s%s", *name == '/' || !slash ? 0 : (int)(slash + 1 - plan_path), plan_path, name);
	rc = gr_file_read(gr_buf_str(&path), 768 << 10, &b, err);
	if (rc == 0) {
		v = json_stringn(b.n ? (const char *)b.p : "", b.n);
		rc = v ? 0 : gr_err_set(err, GR_ECONFIG, "%s: is not UTF-8 text", gr_buf_str(&path));
		if (v)
			json_object_set_new(holder, key, v);
	}
	gr_buf_fini(&path);
	gr_buf_fini(&b);
	return rc < 0 ? gr_err_wrap(err, "%s", key) : 0;
}

static int plan_of_file(const char *path, json_t **out, struct gr_err *err)
{
	struct gr_buf b = { 0 };
	json_error_t je;
	const char *name;
	json_t *plan = NULL, *v;
	void *next;
	int rc = gr_file_read(path, 1 << 20, &b, err);

	if (rc == 0) {
		plan = json_loadb(b.n ? (const char *)b.p : "", b.n, JSON_REJECT_DUPLICATES, &je);
		if (!plan)
			rc = gr_err_set(err, GR_ECONFIG, "%s:%d:%d: %s", path, je.line, je.column, je.text);
	}
	gr_buf_fini(&b);
	json_object_foreach_safe(json_object_get(plan, "csv"), next, name, v)
		if (rc == 0)
			rc = inline_file(json_object_get(plan, "csv"), name, path, err);
	if (rc == 0)
		rc = inline_file(plan, "ca", path, err);
	if (rc < 0)
		json_decref(plan);
	else
		*out = plan;
	return rc;
}

/* ---- reading a test ---- */

/* Whatever there is behind @offset. Return: 1 when that was all and the test has ended, 0, or an error. */
static int read_more(struct load_cmd *c, const char *id, json_int_t *offset, struct gr_lresult *r)
{
	bool is_all = false, has_ended = false;

	while (!is_all) {
		json_int_t from = *offset;
		const json_t *text;
		json_t *rep;
		int rc = gr_ask(c->ask, json_pack("{s:s, s:s, s:I}", "op", "load-read", "run", id, "offset", from), CALL_LIMIT_MS, &rep, &c->err);

		if (rc < 0)
			return rc;
		text = json_object_get(rep, "text");
		gr_lresult_feed(r, json_string_value(text), json_string_length(text));
		*offset = json_integer_value(json_object_get(rep, "next"));
		is_all = *offset >= json_integer_value(json_object_get(rep, "size"));
		has_ended = !strcmp(gr_lresult_str(rep, "state"), "ended");
		json_decref(rep);
		if (!is_all && *offset <= from)
			return gr_err_set(&c->err, GR_EPROTO, "test %s: the coordinator gives no more of it, and says that there is", id);
	}
	return has_ended;
}

static int read_whole(struct load_cmd *c, const char *id, struct gr_lresult *r)
{
	json_int_t offset = 0;
	int rc = read_more(c, id, &offset, r);

	if (rc >= 0 && r->is_damaged)
		fprintf(stderr, "griddle load: some lines of test %s are damaged and were passed over\n", id);
	return rc < 0 ? rc : 0;
}

static int exit_of(const struct gr_lresult *r)
{
	static const struct { const char *verdict; int code; } codes[] = {
		{ "passed", GR_EXIT_OK }, { "threshold", GR_EXIT_THRESHOLD }, { "stopped", GR_EXIT_INTERRUPTED }, { "running", GR_EXIT_OK },
	};

	for (size_t i = 0; i < GR_LEN(codes); i++)
		if (!strcmp(codes[i].verdict, gr_lresult_verdict(r)))
			return codes[i].code;
	return GR_EXIT_FAILED;           /* behind, lost, error: not what was to be measured */
}

static int write_file(const char *path, const struct gr_lresult *const *runs, size_t n, bool is_html, struct gr_err *err)
{
	FILE *f = fopen(path, "we");
	int why = f ? 0 : errno;

	if (f) {
		errno = 0;
		if (is_html)
			gr_lshow_html(runs, n, f);
		else
			gr_lshow_junit(runs[0], f);
		if (fflush(f) || ferror(f))
			why = errno ? errno : EIO;
		if (fclose(f) && !why)
			why = errno;
	}
	return why ? gr_err_set(err, gr_err_errno(why), "%s: %s", path, strerror(why)) : 0;
}

/* Each that is wanted is tried. Return: GR_EXIT_OK, or what the last that could not be written ends with. */
static int write_reports(struct load_cmd *c, const struct gr_lresult *const *runs, size_t n)
{
	int status = GR_EXIT_OK;

	fflush(stdout);
	if (c->o.html && write_file(c->o.html, runs, n, true, &c->err) < 0)
		status = gr_cmd_fail(c->cmd, &c->err);
	if (c->o.junit && write_file(c->o.junit, runs, n, false, &c->err) < 0)
		status = gr_cmd_fail(c->cmd, &c->err);
	return status;
}

static int show(struct load_cmd *c, const struct gr_lresult *r)
{
	if (c->o.output == OUT_JSON)
		gr_lshow_json(r, stdout);
	else if (c->o.output == OUT_CSV)
		gr_lshow_csv(r, stdout);
	else
		gr_lshow_table(r, stdout);
	return write_reports(c, &r, 1);
}

/* On a terminal one line that is written over; elsewhere a line every ten intervals. */
static void live(const struct gr_lresult *r, bool is_quiet, size_t *n_shown)
{
	bool is_tty = isatty(2);
	struct winsize size = { .ws_col = 0 };
	char line[256];

	if (is_quiet || r->n_intervals == *n_shown || (!is_tty && r->n_intervals < *n_shown + 10))
		return;
	*n_shown = r->n_intervals;
	gr_lshow_line(r, line, sizeof(line));
	if (is_tty && ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_col < sizeof(line))
		line[size.ws_col - 1] = 0;       /* two lines could not be written over */
	fprintf(stderr, is_tty ? "\r\033[K%s" : "%s\n", line);
}

static int follow(struct load_cmd *c, const char *id, struct gr_lresult *r)
{
	size_t n_shown = 0;
	json_int_t offset = 0;
	int n_signals = 0, rc = 0;

	while (rc == 0) {
		int n = gr_ask_wait(c->ask, POLL_MS);
		json_t *rep;

		if (n == 1 && n > n_signals) {
			n_signals = n;
			fprintf(stderr, "%sstopping test %s\n", isatty(2) ? "\r\033[K" : "", id);
			if (gr_ask(c->ask, json_pack("{s:s, s:s}", "op", "load-stop", "run", id), CALL_LIMIT_MS, &rep, &c->err) == 0)
				json_decref(rep);
			else
				gr_cmd_fail(c->cmd, &c->err);
		}
		rc = n > 1 ? GR_EGONE : read_more(c, id, &offset, r);
		live(r, c->o.quiet, &n_shown);
	}
	if (n_shown && isatty(2))
		fprintf(stderr, "\r\033[K");
	if (rc == GR_EGONE)
		gr_err_set(&c->err, rc, "interrupted twice; `griddle load show %s` says how it ended", id);
	return rc < 0 ? rc : 0;
}

/* ---- the subcommands ---- */

static int start(struct load_cmd *c, json_t *plan)
{
	struct gr_lresult r = { 0 };
	struct gr_load_plan *checked;
	char id[24];
	json_t *rep;
	int rc;

	rc = gr_load_plan_from_json(plan, &checked, &c->err);   /* what is wrong is told without a cluster */
	if (rc < 0) {
		json_decref(plan);
		return rc;
	}
	if (checked->sched.peak > 1000 && !c->o.yes) {
		rc = gr_err_set(&c->err, GR_EUSAGE, "%s would be hit with up to %.0f%s; say --yes when that is meant", checked->origins[0].authority,
				checked->sched.peak, checked->is_closed ? " users" : " arrivals a second");
		gr_load_plan_free(&checked);
		json_decref(plan);
		return rc;
	}
	gr_load_plan_free(&checked);
	gr_ask_bear(c->ask, 1);         /* the first stops the test, once it is known by its id */
	rc = gr_ask(c->ask, json_pack("{s:s, s:o, s:b}", "op", "load-start", "plan", plan, "confirmed", c->o.yes), CALL_LIMIT_MS, &rep, &c->err);
	if (rc < 0)
		return rc;
	snprintf(id, sizeof(id), "%s", gr_lresult_str(rep, "run"));
	json_decref(rep);
	if (c->o.detach) {
		printf("%s\n", id);
		return GR_EXIT_OK;
	}
	rc = follow(c, id, &r);
	if (rc == 0) {
		int unwritten = show(c, &r);

		rc = exit_of(&r) ? exit_of(&r) : unwritten;
	}
	gr_lresult_fini(&r);
	return rc;
}

static int do_http(struct load_cmd *c, int n, char **words)
{
	json_t *plan = NULL;
	struct gr_load_origin origin;
	char *path;
	int rc = gr_utf8_is(gr_slice_str(words[0])) ? gr_load_url(words[0], &origin, &path, &c->err) :
		 gr_err_set(&c->err, GR_EUSAGE, "\"%.200s\" is no address: it is not UTF-8", words[0]);

	(void)n;
	if (rc < 0)
		return rc;
	gr_load_origin_fini(&origin);
	free(path);
	rc = plan_of_words(&c->o, words[0], &plan, &c->err);
	if (rc < 0) {
		json_decref(plan);
		return rc;
	}
	return start(c, plan);
}

static int do_run(struct load_cmd *c, int n, char **words)
{
	json_t *plan;
	int rc = plan_of_file(words[0], &plan, &c->err);

	(void)n;
	if (rc < 0)
		return rc;
	rc = start(c, plan);
	return rc < 0 && rc == GR_ECONFIG ? gr_err_wrap(&c->err, "%s", words[0]) : rc;
}

static void ms_cell(struct gr_table *t, const json_t *summary, const char *key)
{
	if (gr_lresult_num(summary, "answered") > 0)
		gr_table_cell(t, "%.3f", gr_lresult_num(summary, key));
	else
		gr_table_cell(t, "-");
}

static int do_ls(struct load_cmd *c, int n, char **words)
{
	static const char *const heads[] = { "TEST", "WHEN", "NAME", "TARGET", ">PEAK/S", ">ANSWERS", ">P50 ms", ">P99 ms", ">ERRORS", "VERDICT", NULL };
	struct gr_table *t;
	json_t *rep, *o;
	size_t i;
	int rc = gr_ask(c->ask, json_pack("{s:s}", "op", "load-list"), CALL_LIMIT_MS, &rep, &c->err);

	(void)n, (void)words;
	if (rc < 0)
		return rc;
	if (c->o.output == OUT_JSON) {
		gr_view_json(rep, stdout);
		json_decref(rep);
		return 0;
	}
	t = gr_table_new(heads);
	json_array_foreach(json_object_get(rep, "runs"), i, o) {
		const json_t *s = json_object_get(o, "summary");
		time_t at = (time_t)(gr_lresult_num(o, "asked_ms") / 1000);
		struct tm tm;
		char when[24] = "";

		if (localtime_r(&at, &tm))
			strftime(when, sizeof(when), "%m-%d %H:%M:%S", &tm);
		gr_table_cell(t, "%s", gr_lresult_str(o, "run"));
		gr_table_cell(t, "%s", when);
		gr_table_cell(t, "%s", gr_lresult_str(o, "name"));
		gr_table_cell(t, "%s", gr_lresult_str(o, "target"));
		gr_table_cell(t, "%.0f", gr_lresult_num(o, "peak"));
		gr_table_cell(t, "%.0f", gr_lresult_num(s, "answered"));
		ms_cell(t, s, "p50_ms");
		ms_cell(t, s, "p99_ms");
		gr_table_cell(t, "%.0f", gr_lresult_num(s, json_object_get(s, "errors") ? "errors" : "failed"));
		gr_table_cell(t, "%s", s ? gr_lresult_str(s, "verdict") : "running or cut");
	}
	gr_table_print(t, stdout);
	gr_table_free(&t);
	json_decref(rep);
	return 0;
}

/* A test is told by its id, or by its name: the last one of that. @id: 24 bytes. */
static int id_of(struct load_cmd *c, const char *word, char *id)
{
	json_t *rep, *o;
	size_t i;
	int rc;

	snprintf(id, 24, "%s", word);
	if (strlen(word) == 16 && word[strspn(word, "0123456789abcdef")] == 0)
		return 0;
	rc = gr_ask(c->ask, json_pack("{s:s}", "op", "load-list"), CALL_LIMIT_MS, &rep, &c->err);
	if (rc < 0)
		return rc;
	*id = 0;
	json_array_foreach(json_object_get(rep, "runs"), i, o)
		if (!strcmp(gr_lresult_str(o, "name"), word) && strcmp(gr_lresult_str(o, "run"), id) > 0)
			snprintf(id, 24, "%s", gr_lresult_str(o, "run"));
	json_decref(rep);
	return *id ? 0 : gr_err_set(&c->err, GR_EUSAGE, "\"%.60s\" is no load test's id (16 hex digits) and none's name; griddle load ls has both", word);
}

static int do_show(struct load_cmd *c, int n, char **words)
{
	struct gr_lresult r = { 0 };
	char id[24];
	int rc = id_of(c, words[0], id);

	(void)n;
	if (rc == 0)
		rc = read_whole(c, id, &r);
	if (rc == 0)
		rc = show(c, &r);
	gr_lresult_fini(&r);
	return rc;
}

static int do_stop(struct load_cmd *c, int n, char **words)
{
	json_t *rep;
	char id[24];
	int rc = id_of(c, words[0], id);

	(void)n;
	if (rc == 0)
		rc = gr_ask(c->ask, json_pack("{s:s, s:s}", "op", "load-stop", "run", id), CALL_LIMIT_MS, &rep, &c->err);
	if (rc == 0)
		json_decref(rep);
	return rc;
}

static void print_compared(const struct gr_lcompare *list, size_t n)
{
	static const char *const heads[] = { "WHAT", ">A", ">B", ">B - A, 95 % LOW", ">HIGH", "", NULL };
	struct gr_table *t = gr_table_new(heads);

	for (size_t i = 0; i < n; i++) {
		gr_table_cell(t, "%s", list[i].what);
		gr_table_cell(t, "%.5g", list[i].a);
		gr_table_cell(t, "%.5g", list[i].b);
		if (list[i].is_judged) {
			gr_table_cell(t, "%+.4g", list[i].low);
			gr_table_cell(t, "%+.4g", list[i].high);
		} else {
			gr_table_cell(t, "-");
			gr_table_cell(t, "-");
		}
		gr_table_cell(t, "%s", gr_lcompare_word(&list[i]));
	}
	gr_table_print(t, stdout);
	gr_table_free(&t);
}

static int do_compare(struct load_cmd *c, int n, char **words)
{
	struct gr_lresult r[MAX_COMPARED] = { { 0 } };
	const struct gr_lresult *list[MAX_COMPARED];
	struct gr_lcompare cmp[16];
	const char *members[32];
	size_t n_cmp, n_members;
	int rc = 0;

	for (int i = 0; i < n && rc == 0; i++) {
		char id[24];

		list[i] = &r[i];
		rc = id_of(c, words[i], id);
		if (rc == 0)
			rc = read_whole(c, id, &r[i]);
	}
	if (rc == 0) {
		n_cmp = gr_lcompare(&r[0], &r[1], cmp, GR_LEN(cmp));
		n_members = gr_lcompare_plans(&r[0], &r[1], members, GR_LEN(members));
		if (c->o.output == OUT_JSON) {
			json_t *all = json_array();

			for (size_t i = 0; i < n_cmp; i++)
				json_array_append_new(all, json_pack("{s:s, s:f, s:f, s:o, s:o, s:b, s:b}", "what", cmp[i].what, "a", cmp[i].a, "b", cmp[i].b,
								     "low", cmp[i].is_judged ? json_real(cmp[i].low) : json_null(), "high",
								     cmp[i].is_judged ? json_real(cmp[i].high) : json_null(), "judged", cmp[i].is_judged,
								     "real", cmp[i].is_real));
			gr_view_json(all, stdout);
			json_decref(all);
		} else {
			print_compared(cmp, n_cmp);
		}
		/* also beside -o json, whose rows are of figures */
		for (size_t i = 0; i < n_members; i++)
			fprintf(c->o.output == OUT_TABLE ? stdout : stderr, "%s%s%s", i ? ", " : "the plans differ in ", members[i], i + 1 == n_members ? "\n" : "");
		rc = write_reports(c, list, (size_t)n);
	}
	for (int i = 0; i < n; i++)
		gr_lresult_fini(&r[i]);
	return rc;
}

struct sub {
	const char *name;
	int min, max;
	const char *behind;              /* what is wanted behind it */
	const char *options;             /* those that say something to it, besides which coordinator; NULL: all */
	bool prints_csv;
	int (*fn)(struct load_cmd *c, int n, char **words);
};
static const struct sub subs[] = {
	{ "http", 1, 1, "the address to test, such as http://shop:8080/", NULL, true, do_http },
	{ "run", 1, 1, "the file of a plan", " output html junit yes quiet detach ", true, do_run },
	{ "ls", 0, 0, "nothing", " output ", false, do_ls },
	{ "show", 1, 1, "a test's id or name", " output html junit ", true, do_show },
	{ "stop", 1, 1, "a test's id or name", " ", false, do_stop },
	{ "compare", 2, MAX_COMPARED, "two tests or more, by id or name", " output html ", false, do_compare },
};

static bool is_flag(const struct load_cmd *c, size_t i) { return !strncmp(c->conf.origin[i], "--", 2); }

/* An option that would say nothing is refused: who writes --rate behind a plan means it. The environment may hold what others need. */
static int check_options(struct load_cmd *c, const struct sub *s)
{
	static const char *const everywhere = " coordinator keys server-key ";

	for (size_t i = 0; i < GR_LEN(load_keys); i++) {
		const char *key = load_keys[i].key;
		char word[32];

		snprintf(word, sizeof(word), " %s ", key);
		if (!is_flag(c, i))
			continue;
		if (s->options && !strstr(s->options, word) && !strstr(everywhere, word))
			return gr_err_set(&c->err, GR_EUSAGE, "--%s says nothing to %s%s", key, s->name, s->fn == do_run ? ": its plan does" : "");
		if (!strcmp(key, "output") && c->o.output == OUT_CSV && !s->prints_csv)
			return gr_err_set(&c->err, GR_EUSAGE, "--output: %s prints a table or JSON", s->name);
		if (c->o.detach && (!strcmp(key, "html") || !strcmp(key, "junit")))
			return gr_err_set(&c->err, GR_EUSAGE, "--%s is written at the end, for which --detach does not wait; `griddle load show TEST --%s FILE` writes it then",
					  key, key);
	}
	return 0;
}

/* Options may stand behind the words: "load http URL --rate 500/s". Words are moved to the front of @words. */
static int split(struct load_cmd *c, int argc, char **argv, char **words, int max)
{
	char **rest = gr_xalloc((size_t)(argc + 1) * sizeof(*rest));
	int n_words = 0, n_rest = 1, rc;

	rest[0] = argv[0];
	for (int i = 1; i < argc; i++) {
		bool is_option = argv[i][0] == '-' && argv[i][1];
		const char *key = argv[i] + 2;
		char letter[2] = { argv[i][1], 0 };
		bool takes = false;

		if (!is_option) {
			if (n_words == max) {
				free(rest);
				return gr_err_set(&c->err, GR_EUSAGE, "unexpected word \"%s\"", argv[i]);
			}
			words[n_words++] = argv[i];
			continue;
		}
		rest[n_rest++] = argv[i];
		if (argv[i][1] != '-')
			takes = !argv[i][2] && !gr_words_is_bool(c->cmd, letter, true);
		else if (!strchr(argv[i], '=')) {
			for (size_t k = 0; k < GR_LEN(load_keys); k++)
				takes |= !strcmp(load_keys[k].key, key) && load_keys[k].type != GR_CONF_BOOL;
		}
		if (takes && i + 1 < argc)
			rest[n_rest++] = argv[++i];
	}
	rc = gr_cmd_options(c->cmd, n_rest, rest, &c->conf, &c->o, &c->err);
	if (rc >= 0 && rc < n_rest) {    /* one letter that is none of ours; what stands behind it was not read */
		rc = gr_err_set(&c->err, GR_EUSAGE, "%s: no such option", rest[rc]);
		gr_conf_fini(&c->conf);
	}
	free(rest);
	return rc < 0 ? rc : n_words;
}

static int run_load(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct load_cmd *c;
	char *words[MAX_COMPARED + 1];
	int n, rc = GR_EUSAGE;

	GR_NEW(c);
	c->cmd = cmd;
	n = split(c, argc, argv, words, MAX_COMPARED + 1);
	if (n < 0) {
		rc = gr_cmd_fail(cmd, &c->err);
		free(c);
		return rc;
	}
	gr_err_set(&c->err, GR_EUSAGE, "wants http URL, run PLAN.json, ls, show TEST, stop TEST or compare TEST TEST");
	for (size_t i = 0; n && i < GR_LEN(subs); i++) {
		if (strcmp(subs[i].name, words[0]))
			continue;
		if (n - 1 < subs[i].min || n - 1 > subs[i].max) {
			gr_err_set(&c->err, GR_EUSAGE, "%s wants %s behind it", subs[i].name, subs[i].behind);
			break;
		}
		rc = check_options(c, &subs[i]);
		if (rc == 0)
			rc = gr_paths_init(&c->paths, &c->err);
		if (rc == 0)
			rc = gr_target_resolve(&c->target, &c->o.target, &c->paths, &c->err);
		if (rc == 0)
			rc = gr_ask_open(&c->target, CALL_LIMIT_MS, &c->ask, &c->err);
		if (rc == 0)
			rc = subs[i].fn(c, n - 1, words + 1);
		break;
	}
	gr_ask_close(&c->ask);
	gr_target_fini(&c->target);
	gr_paths_fini(&c->paths);
	gr_conf_fini(&c->conf);
	if (rc < 0)
		rc = gr_cmd_fail(cmd, &c->err);
	free(c);
	return rc;
}

const struct gr_cmd gr_cmd_load = {
	.name = "load", .args = "http URL | run PLAN.json | ls | show TEST | stop TEST | compare TEST TEST",
	.summary = "test a service under load from all workers",
	.help = "  griddle load http http://shop:8080/ --rate 500/s --for 60s\n"
		"  griddle load http http://shop:8080/ --rate 5k/s --yes --threshold \"http.p99 < 200ms, errors < 0.1%\"\n"
		"  griddle load run checkout.json --html report.html --junit report.xml\n"
		"  griddle load ls\n  griddle load show checkout -o json\n  griddle load compare 19abc0ffee000001 19abc0ffee000002\n\n"
		"Arrivals are on a schedule and do not wait for answers; latency counts from the moment a request should\n"
		"have left. The workers' histograms are merged exactly. Ctrl-C stops the test and shows what there is.\n"
		"A TEST is told by its id, or by its name: the last one of that.\n"
		"Plans are described in docs/load.md. Exit codes: 0 passed, 3 a threshold is broken, 8 stopped,\n"
		"1 nothing that counts: nobody answered, a worker lost, or the generators could not keep up.\n",
	.keys = load_keys, .n_keys = GR_LEN(load_keys), .shorts = "o=output q=quiet d=detach", .run = run_load,
};
