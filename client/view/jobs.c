/* jobs.c - see jobs.h */
#include "client/view/jobs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "client/job/shell.h"
#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/base/buf.h"

#define TTY_EVERY_MS 100
#define PLAIN_EVERY_MS 10000
#define RATE_SPAN_MS 8000          /* over so long the rate is an average */

static json_int_t num(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }
static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? s : "-";
}

static json_int_t over(const json_t *c) { return num(c, "done") + num(c, "failed") + num(c, "cancelled") + num(c, "skipped"); }

/* What has not begun; sent: it is with a worker, and waits there. */
static json_int_t waiting(const json_t *c) { return num(c, "blocked") + num(c, "ready") + num(c, "backoff") + num(c, "sent"); }

const char *gr_jobs_progress_text(const json_t *c, uint64_t n_tasks, double rate, char *out, size_t room)
{
	json_int_t left = (json_int_t)n_tasks - over(c);
	char eta[24];
	size_t n;

	n = (size_t)snprintf(out, room, "%" JSON_INTEGER_FORMAT " of %" PRIu64 " done", num(c, "done"), n_tasks);
	if (num(c, "failed") && n < room)
		n += (size_t)snprintf(out + n, room - n, ", %" JSON_INTEGER_FORMAT " failed", num(c, "failed"));
	if (num(c, "cancelled") && n < room)
		n += (size_t)snprintf(out + n, room - n, ", %" JSON_INTEGER_FORMAT " cancelled", num(c, "cancelled"));
	if (left > 0 && n < room)
		n += (size_t)snprintf(out + n, room - n, ", %" JSON_INTEGER_FORMAT " running", num(c, "running"));
	if (num(c, "backoff") && n < room)
		n += (size_t)snprintf(out + n, room - n, ", %" JSON_INTEGER_FORMAT " to be tried again", num(c, "backoff"));
	if (left > 0 && rate > 0 && n < room) {
		gr_view_seconds((uint64_t)((double)left / rate * 1000), eta);
		snprintf(out + n, room - n, ", %.1f/s, %s left", rate, eta);
	}
	return out;
}

/* ---- the line ---- */

struct gr_jobline {
	bool is_quiet, is_tty, is_shown, is_begun;
	uint64_t last_ms, base_ms;
	json_int_t base;                 /* tasks over at base_ms */
	double rate;
};

struct gr_jobline *gr_jobline_new(bool is_quiet)
{
	const char *term = getenv("TERM");
	struct gr_jobline *l;

	GR_NEW(l);
	l->is_quiet = is_quiet;
	l->is_tty = isatty(2) && term && strcmp(term, "dumb");
	return l;
}

void gr_jobline_hide(struct gr_jobline *l)
{
	if (!l || !l->is_shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	l->is_shown = false;
}

static void measure(struct gr_jobline *l, json_int_t n_over, uint64_t now_ms)
{
	if (!l->is_begun) {
		l->is_begun = true;
		l->base = n_over;
		l->base_ms = l->last_ms = now_ms;
	}
	if (now_ms > l->base_ms + 500)
		l->rate = (double)(n_over - l->base) * 1000 / (double)(now_ms - l->base_ms);
	if (now_ms - l->base_ms > 2 * RATE_SPAN_MS && n_over > l->base) {     /* let go of half the past */
		uint64_t forget = now_ms - l->base_ms - RATE_SPAN_MS;

		l->base += (json_int_t)(l->rate * (double)forget / 1000);
		l->base_ms += forget;
	}
}

void gr_jobline_update(struct gr_jobline *l, uint64_t job, const json_t *counts, uint64_t n_tasks, uint64_t now_ms)
{
	struct winsize size = { .ws_col = 80 };
	char text[240];

	measure(l, over(counts), now_ms);
	if (l->is_quiet || now_ms < l->last_ms + (l->is_tty ? (l->is_shown ? TTY_EVERY_MS : 0) : PLAIN_EVERY_MS))
		return;
	l->last_ms = now_ms;
	gr_jobs_progress_text(counts, n_tasks, l->rate, text, sizeof(text));
	if (!l->is_tty) {
		fprintf(stderr, "griddle: job %" PRIu64 ": %s\n", job, text);
		return;
	}
	ioctl(2, TIOCGWINSZ, &size);
	fprintf(stderr, "\r\033[Kgriddle: job %" PRIu64 ": %.*s", job, size.ws_col > 30 ? size.ws_col - 25 : 40, text);
	fflush(stderr);
	l->is_shown = true;
}

void gr_jobline_free(struct gr_jobline **l)
{
	if (!*l)
		return;
	gr_jobline_hide(*l);
	free(*l);
	*l = NULL;
}

/* ---- summary ---- */

void gr_jobs_summary(const json_t *show, uint64_t wall_ms, FILE *out)
{
	const json_t *c = json_object_get(show, "counts"), *causes = json_object_get(show, "causes"), *acc = json_object_get(show, "accounting");
	char wall[24], cpu[24];
	const char *cause;
	bool is_first = true;
	json_t *n;

	gr_view_seconds(wall_ms, wall);
	fprintf(out, "griddle: job %" JSON_INTEGER_FORMAT " %s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " tasks done", num(show, "job"),
		str(show, "state"), num(c, "done"), num(show, "n_tasks"));
	if (num(c, "failed"))
		fprintf(out, ", %" JSON_INTEGER_FORMAT " failed", num(c, "failed"));
	if (num(c, "skipped"))
		fprintf(out, ", %" JSON_INTEGER_FORMAT " not begun for it", num(c, "skipped"));
	if (num(c, "cancelled"))
		fprintf(out, ", %" JSON_INTEGER_FORMAT " cancelled", num(c, "cancelled"));
	fprintf(out, " in %s", wall);
	if (num(acc, "retries"))
		fprintf(out, "; %" JSON_INTEGER_FORMAT " tried again", num(acc, "retries"));
	if (json_is_number(json_object_get(acc, "cpu_s"))) {
		gr_view_seconds((uint64_t)(json_number_value(json_object_get(acc, "cpu_s")) * 1000), cpu);
		fprintf(out, "; %s of CPU there", cpu);
	}
	fputc('\n', out);
	json_object_foreach((json_t *)causes, cause, n) {
		if (!json_integer_value(n) || !strcmp(cause, "done"))
			continue;
		fprintf(out, "%s%s %" JSON_INTEGER_FORMAT, is_first ? "griddle: attempts that did not count: " : ", ", cause, json_integer_value(n));
		is_first = false;
	}
	if (!is_first)
		fputc('\n', out);
	if (num(c, "failed"))
		fprintf(out, "griddle: `griddle task ls %" JSON_INTEGER_FORMAT " --state failed` lists them, `griddle job retry %" JSON_INTEGER_FORMAT
			" --failed` runs them again\n", num(show, "job"), num(show, "job"));
}

/* ---- tables ---- */

const char *gr_jobs_when(uint64_t ms, char out[32])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (!ms || !localtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm))
		strcpy(out, "-");
	return out;
}

static const char *age(const json_t *j, uint64_t now_ms, char out[24])
{
	json_int_t from = num(j, "submitted_ms"), to = num(j, "ended_ms") ? num(j, "ended_ms") : (json_int_t)now_ms;

	return gr_view_seconds(to > from ? (uint64_t)(to - from) : 0, out);
}

void gr_jobs_table(const json_t *jobs, uint64_t now_real_ms, FILE *out)
{
	static const char *const heads[] = { ">JOB", "NAME", "STATE", ">TASKS", ">DONE", ">FAILED", ">RUNNING", ">WAITING", ">TIME", "TENANT", "WHY", NULL };
	struct gr_table *t = gr_table_new(heads);
	char time[24];
	size_t i;
	json_t *j;

	json_array_foreach(jobs, i, j) {
		const json_t *c = json_object_get(j, "counts");

		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(j, "job"));
		gr_table_cell(t, "%.40s", str(j, "name"));
		gr_table_cell(t, "%s", str(j, "state"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(j, "n_tasks"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(c, "done"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(c, "failed"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(c, "running"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, waiting(c));
		gr_table_cell(t, "%s", age(j, now_real_ms, time));
		gr_table_cell(t, "%s", str(j, "tenant"));
		gr_table_cell(t, "%s", json_object_get(j, "pending") ? str(j, "pending") : str(j, "reason"));
	}
	gr_table_print(t, out);
	gr_table_free(&t);
}

static void row(FILE *out, const char *name, const char *value)
{
	if (strcmp(value, "-"))
		fprintf(out, "%-12s %s\n", name, value);
}

/* The command as it would be typed. */
static void command_of(const json_t *stage, struct gr_buf *b)
{
	const json_t *argv = json_object_get(stage, "argv");
	size_t i;
	json_t *v;

	json_array_foreach(argv, i, v) {
		if (i)
			gr_buf_add_byte(b, ' ');
		gr_shell_quote(json_string_value(v) ? json_string_value(v) : "?", b);
	}
}

static void print_stages(const json_t *show, FILE *out)
{
	static const char *const heads[] = { "TASK", ">COUNT", ">DONE", ">FAILED", ">RUNNING", ">WAITING", "COMMAND", NULL };
	const json_t *specs = json_object_get(json_object_get(show, "spec"), "stages");
	struct gr_table *t = gr_table_new(heads);
	size_t i;
	json_t *s;

	json_array_foreach(json_object_get(show, "stages"), i, s) {
		const json_t *c = json_object_get(s, "counts");
		struct gr_buf cmd = { 0 };

		command_of(json_array_get(specs, i), &cmd);
		gr_table_cell(t, "%s", str(s, "name"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(s, "count"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(c, "done"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(c, "failed"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(c, "running"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, waiting(c));
		gr_table_cell(t, "%.100s", gr_buf_str(&cmd));
		gr_buf_fini(&cmd);
	}
	gr_table_print(t, out);
	gr_table_free(&t);
}

void gr_jobs_show(const json_t *show, uint64_t now_real_ms, FILE *out)
{
	const json_t *acc = json_object_get(show, "accounting"), *causes = json_object_get(show, "causes");
	char text[240], time[24], when[32];
	const char *cause;
	json_t *n;

	fprintf(out, "%-12s %" JSON_INTEGER_FORMAT " %s\n", "job", num(show, "job"), str(show, "name"));
	snprintf(text, sizeof(text), "%s%s%s%s", str(show, "state"), strcmp(str(show, "reason"), "-") ? " (" : "",
		 strcmp(str(show, "reason"), "-") ? str(show, "reason") : "", strcmp(str(show, "reason"), "-") ? ")" : "");
	row(out, "state", text);
	gr_jobs_progress_text(json_object_get(show, "counts"), (uint64_t)num(show, "n_tasks"), 0, text, sizeof(text));
	row(out, "tasks", text);
	row(out, "pending", str(show, "pending"));
	row(out, "tenant", str(show, "tenant"));
	row(out, "submitted", gr_jobs_when((uint64_t)num(show, "submitted_ms"), when));
	row(out, "ended", gr_jobs_when((uint64_t)num(show, "ended_ms"), when));
	row(out, "time", age(show, now_real_ms, time));
	if (json_is_number(json_object_get(acc, "cpu_s")))
		fprintf(out, "%-12s %.1f s, %.1f s of it wasted, %" JSON_INTEGER_FORMAT " attempts\n", "cpu",
			json_number_value(json_object_get(acc, "cpu_s")), json_number_value(json_object_get(acc, "wasted_cpu_s")), num(acc, "attempts"));
	json_object_foreach((json_t *)causes, cause, n)
		if (json_integer_value(n) && strcmp(cause, "done"))
			fprintf(out, "%-12s %" JSON_INTEGER_FORMAT " %s\n", "attempts", json_integer_value(n), cause);
	fputc('\n', out);
	print_stages(show, out);
}

static void ended_text(const json_t *t, char *out, size_t room)
{
	if (!num(t, "end_ms"))
		snprintf(out, room, "-");
	else if (num(t, "signal"))
		snprintf(out, room, "signal %" JSON_INTEGER_FORMAT, num(t, "signal"));
	else if (json_is_integer(json_object_get(t, "exit_code")))
		snprintf(out, room, "exit %" JSON_INTEGER_FORMAT, num(t, "exit_code"));
	else
		snprintf(out, room, "-");
}

void gr_tasks_table(const json_t *tasks, FILE *out)
{
	static const char *const heads[] = { ">TASK", "OF", ">INDEX", "STATE", "CAUSE", "ENDED", ">TRIES", ">TIME", "WORKER", "VALUES", NULL };
	struct gr_table *t = gr_table_new(heads);
	char time[24], ended[40];
	size_t i, k;
	json_t *x, *v;

	json_array_foreach(tasks, i, x) {
		json_int_t from = num(x, "start_ms"), to = num(x, "end_ms");
		struct gr_buf values = { 0 };

		json_array_foreach(json_object_get(x, "values"), k, v) {
			if (k)
				gr_buf_add_byte(&values, ' ');
			gr_shell_quote(json_string_value(v) ? json_string_value(v) : "?", &values);
		}
		ended_text(x, ended, sizeof(ended));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(x, "task"));
		gr_table_cell(t, "%s", str(x, "stage"));
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(x, "index"));
		gr_table_cell(t, "%s", str(x, "state"));
		gr_table_cell(t, "%s", str(x, "cause"));
		gr_table_cell(t, "%s", ended);
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(x, "attempts"));
		gr_table_cell(t, "%s", from && to >= from ? gr_view_seconds((uint64_t)(to - from), time) : "-");
		gr_table_cell(t, "%s", str(x, "worker"));
		gr_table_cell(t, "%.80s", values.n ? gr_buf_str(&values) : "");
		gr_buf_fini(&values);
	}
	gr_table_print(t, out);
	gr_table_free(&t);
}

/* Which of a task's attempts the @i-th is that comparison @a is about. */
static json_int_t ordinal_of(const json_t *task, const json_t *a, size_t i)
{
	json_int_t number = json_integer_value(json_array_get(json_object_get(a, "compares"), i));
	const json_t *other;
	size_t k;

	json_array_foreach(json_object_get(task, "attempts"), k, other)
		if (num(other, "attempt") == number)
			return num(other, "ordinal");
	return 0;
}

void gr_tasks_show(const json_t *x, FILE *out)
{
	static const char *const heads[] = { ">ATTEMPT", "WORKER", "NODE", "STARTED", ">TIME", ">CPU", ">MEMORY", "OUTCOME", "CAUSE", "REASON", NULL };
	static const char *const files[] = { "OUTPUT", "KIND", ">SIZE", "DIGEST", NULL };
	const json_t *logs = json_object_get(x, "logs");
	struct gr_table *t = gr_table_new(heads);
	char time[24], cpu[24], mem[24], ended[40], when[32];
	size_t i;
	json_t *a;

	ended_text(x, ended, sizeof(ended));
	fprintf(out, "%-12s %" JSON_INTEGER_FORMAT " (%s, index %" JSON_INTEGER_FORMAT ")\n", "task", num(x, "task"), str(x, "stage"), num(x, "index"));
	row(out, "state", str(x, "state"));
	row(out, "pending", str(x, "pending"));
	row(out, "ended", ended);
	fprintf(out, "%-12s %" JSON_INTEGER_FORMAT " bytes of output%s, %" JSON_INTEGER_FORMAT " of errors%s\n", "logs", num(logs, "out_bytes"),
		json_is_true(json_object_get(logs, "out_cut")) ? " (cut)" : "", num(logs, "err_bytes"),
		json_is_true(json_object_get(logs, "err_cut")) ? " (cut)" : "");
	fputc('\n', out);
	json_array_foreach(json_object_get(x, "attempts"), i, a) {
		json_int_t ms = num(a, "wall_us") / 1000;

		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, num(a, "ordinal"));
		gr_table_cell(t, "%s", str(a, "worker"));
		gr_table_cell(t, "%s", str(a, "node"));
		gr_table_cell(t, "%s", gr_jobs_when((uint64_t)num(a, "start_ms"), when));
		gr_table_cell(t, "%s", gr_view_seconds((uint64_t)ms, time));
		gr_table_cell(t, "%s", gr_view_seconds((uint64_t)num(a, "cpu_us") / 1000, cpu));
		gr_table_cell(t, "%s", gr_view_bytes((uint64_t)num(a, "max_rss_bytes"), mem));
		gr_table_cell(t, "%s", str(a, "outcome"));
		gr_table_cell(t, "%s", str(a, "cause"));
		if (json_object_get(a, "compares"))
			gr_table_cell(t, "compares attempts %" JSON_INTEGER_FORMAT " and %" JSON_INTEGER_FORMAT "%s%.60s", ordinal_of(x, a, 0),
				      ordinal_of(x, a, 1), strcmp(str(a, "reason"), "-") ? ": " : "", strcmp(str(a, "reason"), "-") ? str(a, "reason") : "");
		else
			gr_table_cell(t, "%.100s", strcmp(str(a, "reason"), "-") ? str(a, "reason") : "");
	}
	if (json_array_size(json_object_get(x, "attempts")))
		gr_table_print(t, out);
	gr_table_free(&t);
	if (!json_array_size(json_object_get(x, "outputs")))
		return;
	fputc('\n', out);
	t = gr_table_new(files);
	json_array_foreach(json_object_get(x, "outputs"), i, a) {
		gr_table_cell(t, "%s", str(a, "path"));
		gr_table_cell(t, "%s", str(a, "kind"));
		gr_table_cell(t, "%s", gr_view_bytes((uint64_t)num(a, "size"), mem));
		gr_table_cell(t, "%.12s", str(a, "digest"));
	}
	gr_table_print(t, out);
	gr_table_free(&t);
}
