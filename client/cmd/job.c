/* job.c - `griddle job` and `griddle task`: look at jobs and change them. One row a verb. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd/commands.h"
#include "client/cmd/words.h"
#include "client/job/fetch.h"
#include "client/job/follow.h"
#include "client/job/logs.h"
#include "client/view/jobs.h"
#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/suggest.h"

#define LIST_AT_ONCE 1000

struct job_opts {
	struct gr_target_opts target;
	int64_t output, limit, attempt;
	bool follow, failed, quiet, stdout_only, stderr_only;
	char *state, *tenant, *reason, *to;
};
#define AT(f) offsetof(struct job_opts, f)
static const struct gr_conf_key job_keys[] = {
	{ "output", GR_CONF_ENUM, "", "table", 0, 0, gr_view_modes, "How to print: a table, JSON, or numbers alone.", AT(output), NULL },
	{ "state", GR_CONF_STR, "STATE", NULL, 0, 0, NULL, "For ls: only those in this state.", AT(state), NULL },
	{ "tenant", GR_CONF_STR, "TENANT", NULL, 0, 0, NULL, "For ls and usage: only this tenant's.", AT(tenant), NULL },
	{ "limit", GR_CONF_INT, "JOBS", "50", 1, 100000, NULL, "For ls: the newest so many.", AT(limit), NULL },
	{ "follow", GR_CONF_BOOL, "", "false", 0, 0, NULL, "For logs: stay until the task or job is over.", AT(follow), NULL },
	{ "stdout", GR_CONF_BOOL, "", "false", 0, 0, NULL, "For logs: what went to standard output alone.", AT(stdout_only), NULL },
	{ "stderr", GR_CONF_BOOL, "", "false", 0, 0, NULL, "For logs: what went to standard error alone.", AT(stderr_only), NULL },
	{ "attempt", GR_CONF_INT, "N", "0", 0, 1000000, NULL, "For logs of a task: of its N-th attempt; 0 the last.", AT(attempt), NULL },
	{ "failed", GR_CONF_BOOL, "", "false", 0, 0, NULL, "For retry: the tasks that failed. So it is without tasks named.", AT(failed), NULL },
	{ "reason", GR_CONF_STR, "TEXT", NULL, 0, 0, NULL, "For cancel: why, kept with the job.", AT(reason), NULL },
	{ "to", GR_CONF_STR, "DIR", ".", 0, 0, NULL, "For fetch: where outputs are put.", AT(to), NULL },
	{ "quiet", GR_CONF_BOOL, "", "false", 0, 0, NULL, "No progress, no summary.", AT(quiet), NULL },
	GR_TARGET_KEYS(struct job_opts),
};
static const struct gr_conf_key task_keys[] = {
	{ "output", GR_CONF_ENUM, "", "table", 0, 0, gr_view_modes, "How to print: a table, JSON, or numbers alone.", AT(output), NULL },
	{ "state", GR_CONF_STR, "STATE", NULL, 0, 0, NULL, "For ls: only those in this state.", AT(state), NULL },
	{ "limit", GR_CONF_INT, "TASKS", "1000", 1, 16777216, NULL, "For ls: the first so many.", AT(limit), NULL },
	GR_TARGET_KEYS(struct job_opts),
};

static const struct gr_conf_key admin_keys[] = {
	{ "output", GR_CONF_ENUM, "", "table", 0, 0, gr_view_modes, "How to print: for people, or JSON.", AT(output), NULL },
	GR_TARGET_KEYS(struct job_opts),
};

struct ask {
	const struct gr_cmd *cmd;
	struct job_opts o;
	struct gr_talk b;
	char **words;
	int n_words;
	int status;
};

static void print_error(const struct ask *a, const struct gr_err *err)
{
	fprintf(stderr, "griddle %s: %s\n", a->cmd->name, err->text);
}

/* ---- lists ---- */

/* All pages of a list up to the limit; *all gets the rows. */
static int pages(struct ask *a, json_t *req, const char *member, json_t *all, struct gr_err *err)
{
	json_t *rep = NULL, *next = NULL;
	int rc;

	do {
		size_t left = (size_t)a->o.limit - json_array_size(all);

		json_object_set_new(req, "limit", json_integer((json_int_t)(left < LIST_AT_ONCE ? left : LIST_AT_ONCE)));
		rc = gr_talk_call(&a->b, false, json_copy(req), &rep, err);
		if (rc < 0)
			break;
		json_array_extend(all, json_object_get(rep, member));
		next = json_object_get(rep, "next");
		if (json_is_integer(next))
			json_object_set(req, "after", next);
		else
			next = NULL;
		json_decref(rep);
	} while (next && json_array_size(all) < (size_t)a->o.limit);
	json_decref(req);
	return rc;
}

static void print_numbers(const json_t *list, const char *member)
{
	size_t i;
	json_t *x;

	json_array_foreach(list, i, x)
		printf("%" JSON_INTEGER_FORMAT "\n", gr_jnum(x, member));
}

static int job_ls(struct ask *a, struct gr_err *err)
{
	json_t *all = json_array(), *req = json_pack("{s:s, s:b, s:s*, s:s*}", "op", "job.ls", "newest", true, "state", a->o.state, "tenant",
						     a->o.tenant);
	int rc = pages(a, req, "jobs", all, err);

	if (rc == 0 && a->o.output == GR_VIEW_JSON)
		gr_view_json(all, stdout);
	else if (rc == 0 && a->o.output == GR_VIEW_NAME)
		print_numbers(all, "job");
	else if (rc == 0)
		gr_jobs_table(all, gr_rpc_real_ms(), stdout);
	json_decref(all);
	return rc;
}

static int task_ls(struct ask *a, struct gr_err *err)
{
	json_t *all = json_array();
	uint64_t job;
	int rc = gr_talk_number(a->words[0], "job", &job, err);

	if (rc == 0)
		rc = pages(a, json_pack("{s:s, s:I, s:s*}", "op", "task.ls", "job", (json_int_t)job, "state", a->o.state), "tasks", all, err);
	if (rc == 0 && a->o.output == GR_VIEW_JSON)
		gr_view_json(all, stdout);
	else if (rc == 0 && a->o.output == GR_VIEW_NAME)
		print_numbers(all, "task");
	else if (rc == 0)
		gr_tasks_table(all, stdout);
	json_decref(all);
	return rc;
}

/* ---- one ---- */

static int job_show(struct ask *a, struct gr_err *err)
{
	json_t *rep = NULL;
	uint64_t job;
	int rc = gr_talk_number(a->words[0], "job", &job, err);

	if (rc == 0)
		rc = gr_talk_call(&a->b, false, json_pack("{s:s, s:I}", "op", "job.show", "job", (json_int_t)job), &rep, err);
	if (rc == 0 && a->o.output == GR_VIEW_JSON)
		gr_view_json(rep, stdout);
	else if (rc == 0 && a->o.output == GR_VIEW_NAME)
		printf("%" PRIu64 "\n", job);
	else if (rc == 0)
		gr_jobs_show(rep, gr_rpc_real_ms(), stdout);
	json_decref(rep);
	return rc;
}

static int task_show(struct ask *a, struct gr_err *err)
{
	json_t *rep = NULL;
	uint64_t job, task = 0;
	int rc = gr_talk_number(a->words[0], "job", &job, err);

	if (rc == 0)
		rc = gr_talk_number(a->words[1], "task", &task, err);
	if (rc == 0)
		rc = gr_talk_call(&a->b, false, json_pack("{s:s, s:I, s:I}", "op", "task.show", "job", (json_int_t)job, "task", (json_int_t)task), &rep, err);
	if (rc == 0 && a->o.output == GR_VIEW_JSON)
		gr_view_json(rep, stdout);
	else if (rc == 0 && a->o.output == GR_VIEW_NAME)
		printf("%" PRIu64 "\n", task);
	else if (rc == 0)
		gr_tasks_show(rep, stdout);
	json_decref(rep);
	return rc;
}

struct log_fds {
	struct gr_talk *b;
	int fds[2];                         /* -1: not */
};

static void write_log(void *ctx, const struct gr_task_log *t, int stream, struct gr_slice data)
{
	struct log_fds *w = ctx;
	int fd = w->fds[stream == GR_STREAM_ERR];

	(void)t;
	if (fd >= 0 && !w->b->lost && gr_write_all(fd, data.p, data.n) < 0)
		gr_talk_lost(w->b, stream, errno);
}

/* What there is of all tasks, in their order. */
static int print_logs(struct ask *a, uint64_t job, uint64_t n_tasks, int out, int errs, struct gr_err *err)
{
	struct log_fds w = { .b = &a->b, .fds = { out, errs } };
	struct gr_logs *logs = gr_logs_new(&a->b, job, false, write_log, &w);
	struct gr_task_log t;
	uint64_t next = 0;
	int rc = 0;

	while (rc == 0 && !a->b.lost) {
		while (next < n_tasks && !gr_logs_is_full(logs))
			gr_logs_push(logs, next++);
		if (gr_logs_is_empty(logs))
			break;
		rc = gr_logs_pop(logs, &t, err);
		gr_task_log_fini(&t);
	}
	gr_logs_free(&logs);
	return rc;
}

static int job_logs(struct ask *a, struct gr_err *err)
{
	bool is_all = a->o.stdout_only == a->o.stderr_only;
	int out = is_all || a->o.stdout_only ? 1 : -1, errs = is_all || a->o.stderr_only ? 2 : -1;
	struct gr_follow_opts fo = { .what = GR_FOLLOW_ENDED, .is_quiet = a->o.quiet, .hides_out = out < 0, .hides_err = errs < 0 };
	struct gr_follow_end end = { 0 };
	json_t *rep = NULL;
	uint64_t job, task = 0;
	int rc = gr_talk_number(a->words[0], "job", &job, err);

	if (rc == 0 && a->n_words > 1)
		rc = gr_talk_number(a->words[1], "task", &task, err);
	if (rc == 0)
		rc = gr_talk_call(&a->b, false, json_pack("{s:s, s:I}", "op", "job.show", "job", (json_int_t)job), &rep, err);
	if (rc < 0)
		return rc;
	if (a->o.attempt && a->n_words < 2 && gr_jnum(rep, "n_tasks") != 1)
		rc = gr_err_set(err, GR_EUSAGE, "--attempt wants a task's number behind the job's: job %" PRIu64 " has %" JSON_INTEGER_FORMAT " tasks", job,
				gr_jnum(rep, "n_tasks"));
	else if (a->n_words > 1 || gr_jnum(rep, "n_tasks") == 1)
		rc = gr_logs_copy(&a->b, job, task, (uint64_t)a->o.attempt, a->o.follow, out, errs, NULL, err);
	else if (a->o.follow)
		rc = gr_follow(&a->b, job, (uint64_t)gr_jnum(rep, "n_tasks"), &fo, &end, err);
	else
		rc = print_logs(a, job, (uint64_t)gr_jnum(rep, "n_tasks"), out, errs, err);
	if (a->b.lost)
		rc = gr_talk_lost_err(&a->b, err);
	if (a->b.lost == EPIPE) {               /* a reader that has had enough is not worth a word */
		clearerr(stdout);
		rc = 0;
	}
	gr_follow_end_fini(&end);
	json_decref(rep);
	return rc;
}

/* ---- changes: the same for each job named ---- */

static int change(struct ask *a, const char *op, struct gr_err *err)
{
	int rc = 0;

	for (int i = 0; i < a->n_words; i++) {
		json_t *rep = NULL;
		uint64_t job;

		rc = gr_talk_number(a->words[i], "job", &job, err);
		if (rc == 0)
			rc = gr_talk_call(&a->b, false, json_pack("{s:s, s:I, s:s*}", "op", op, "job", (json_int_t)job, "reason", a->o.reason), &rep, err);
		if (rc == 0 && !a->o.quiet)
			printf("job %" PRIu64 ": %s\n", job, json_object_get(rep, "state") ? gr_jstr(rep, "state") : "removed");
		json_decref(rep);
		if (rc == GR_EUNREACH || rc == GR_EGONE)
			return rc;
		if (rc < 0) {                   /* the others still */
			gr_err_wrap(err, "job %s", a->words[i]);
			print_error(a, err);
			a->status = gr_err_exit(rc);
		}
	}
	return 0;
}

static int job_cancel(struct ask *a, struct gr_err *err) { return change(a, "job.cancel", err); }
static int job_pause(struct ask *a, struct gr_err *err) { return change(a, "job.pause", err); }
static int job_resume(struct ask *a, struct gr_err *err) { return change(a, "job.resume", err); }
static int job_rm(struct ask *a, struct gr_err *err) { return change(a, "job.rm", err); }

static int job_retry(struct ask *a, struct gr_err *err)
{
	json_t *req, *rep = NULL, *tasks = json_array();
	uint64_t job, task;
	int rc = gr_talk_number(a->words[0], "job", &job, err);

	if (rc == 0 && a->o.failed && a->n_words > 1)
		rc = gr_err_set(err, GR_EUSAGE, "retry wants --failed or tasks' numbers, not both");
	for (int i = 1; rc == 0 && i < a->n_words; i++) {
		rc = gr_talk_number(a->words[i], "task", &task, err);
		if (rc == 0)
			json_array_append_new(tasks, json_pack("[I, i]", (json_int_t)task, 1));
	}
	if (rc == 0) {
		req = json_pack("{s:s, s:I}", "op", "job.retry", "job", (json_int_t)job);
		if (json_array_size(tasks))
			json_object_set(req, "tasks", tasks);
		else
			json_object_set_new(req, "failed", json_true());
		rc = gr_talk_call(&a->b, false, req, &rep, err);
	}
	if (rc == 0 && !a->o.quiet)
		printf("job %" PRIu64 ": %" JSON_INTEGER_FORMAT " tasks run again\n", job, gr_jnum(rep, "n"));
	json_decref(rep);
	json_decref(tasks);
	return rc;
}

/* Tasks of one job may all make "out.txt": DIR for a job of one task, else DIR/STAGE, and DIR/STAGE/INDEX in an array. */
static void place_of(const struct ask *a, const json_t *show, const json_t *t, struct gr_buf *dir)
{
	json_t *st;
	size_t i;

	gr_buf_add_str(dir, a->o.to);
	json_array_foreach(json_object_get(show, "stages"), i, st) {
		json_int_t index = gr_jnum(t, "task") - gr_jnum(st, "first");

		if (gr_jnum(show, "n_tasks") == 1 || index < 0 || index >= gr_jnum(st, "count"))
			continue;
		gr_buf_printf(dir, "/%s", gr_jstr(st, "name"));
		if (gr_jnum(st, "count") > 1)
			gr_buf_printf(dir, "/%" JSON_INTEGER_FORMAT, index);
	}
}

/* Outputs of the tasks that are done; of @all in their order. */
static int fetch_all(struct ask *a, uint64_t job, const json_t *show, const json_t *all, struct gr_err *err)
{
	struct gr_fetch *f = gr_fetch_new(&a->b, job);
	size_t next = 0, n = json_array_size(all);
	struct gr_fetched done;
	unsigned n_files = 0;
	int rc = 0;

	while (rc == 0) {
		while (next < n && !gr_fetch_is_full(f)) {
			const json_t *t = json_array_get(all, next++);
			struct gr_buf dir = { 0 };

			place_of(a, show, t, &dir);
			gr_fetch_push(f, (uint64_t)gr_jnum(t, "task"), NULL, gr_buf_str(&dir));
			gr_buf_fini(&dir);
		}
		if (gr_fetch_is_empty(f))
			break;
		rc = gr_fetch_pop(f, &done, err);
		if (rc == 0 && done.rc < 0)
			rc = gr_err_set(err, done.rc, "task %" PRIu64 ": %s", done.task, done.why.text);
		n_files += done.n_files;
	}
	gr_fetch_free(&f);
	if (rc == 0 && !a->o.quiet)
		fprintf(stderr, "griddle: %u files of %zu tasks below %s\n", n_files, n, a->o.to);
	return rc;
}

static int job_fetch(struct ask *a, struct gr_err *err)
{
	json_t *all = json_array(), *show = NULL;
	uint64_t job, task;
	int rc = gr_talk_number(a->words[0], "job", &job, err);

	if (rc == 0 && a->n_words > 1) {
		for (int k = 1; rc == 0 && k < a->n_words; k++) {
			rc = gr_talk_number(a->words[k], "task", &task, err);
			if (rc == 0)
				json_array_append_new(all, json_pack("{s:I}", "task", (json_int_t)task));
		}
	} else if (rc == 0) {
		a->o.limit = 16777216;
		rc = pages(a, json_pack("{s:s, s:I, s:s}", "op", "task.ls", "job", (json_int_t)job, "state", "done"), "tasks", all, err);
	}
	if (rc == 0)
		rc = gr_talk_call(&a->b, false, json_pack("{s:s, s:I}", "op", "job.show", "job", (json_int_t)job), &show, err);
	if (rc == 0)
		rc = fetch_all(a, job, show, all, err);
	json_decref(show);
	json_decref(all);
	return rc;
}

/* Accounting as CSV, or JSON. */
static int job_usage(struct ask *a, struct gr_err *err)
{
	static const char *const columns[] = { "tenant", "job", "cpu_s", "mem_gib_s", "in_bytes", "out_bytes", "attempts", "retries", "wasted_cpu_s",
					       "tasks_done", "tasks_failed", NULL };
	json_t *req = json_pack("{s:s, s:s*}", "op", "usage", "tenant", a->o.tenant), *rep = NULL, *row;
	uint64_t job;
	size_t i;
	int rc = 0;

	if (a->n_words) {
		rc = gr_talk_number(a->words[0], "job", &job, err);
		json_object_set_new(req, "job", json_integer((json_int_t)job));
	}
	if (rc == 0)
		rc = gr_talk_call(&a->b, false, json_incref(req), &rep, err);
	if (rc == 0 && a->o.output == GR_VIEW_JSON) {
		gr_view_json(json_object_get(rep, "rows"), stdout);
	} else if (rc == 0) {
		for (size_t k = 0; columns[k]; k++)
			printf("%s%s", k ? "," : "", columns[k]);
		putchar('\n');
		json_array_foreach(json_object_get(rep, "rows"), i, row) {
			for (size_t k = 0; columns[k]; k++) {
				const json_t *v = json_object_get(row, columns[k]);

				if (k)
					putchar(',');
				if (json_is_string(v))
					printf("%s", json_string_value(v));
				else if (json_is_integer(v))
					printf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
				else if (json_is_real(v))
					printf("%.3f", json_real_value(v));
			}
			putchar('\n');
		}
	}
	json_decref(req);
	json_decref(rep);
	return rc;
}

/* ---- admin ---- */

static int admin_op(struct ask *a, const char *op, struct gr_err *err)
{
	json_t *rep = NULL, *problems, *p;
	size_t i;
	int rc = gr_talk_call(&a->b, true, json_pack("{s:s, s:s*}", "op", op, "name", a->n_words ? a->words[0] : NULL), &rep, err);

	if (rc < 0)
		return rc;
	problems = json_object_get(rep, "problems");
	if (a->o.output == GR_VIEW_JSON)
		gr_view_json(rep, stdout);
	else if (problems) {
		json_array_foreach(problems, i, p)
			printf("%s\n", json_string_value(p));
		printf("%s\n", json_is_true(json_object_get(rep, "ok")) ? "the store is sound" : "the store is damaged; docs/operations.md says what to do");
	} else {
		const char *key;

		json_object_foreach(rep, key, p) {
			char *text = json_is_string(p) ? gr_xstrdup(json_string_value(p)) : json_dumps(p, JSON_ENCODE_ANY | JSON_COMPACT);

			printf("%-12s %s\n", key, text);
			free(text);
		}
	}
	if (problems && !json_is_true(json_object_get(rep, "ok")))
		a->status = GR_EXIT_FAILED;
	json_decref(rep);
	return 0;
}

static int admin_backup(struct ask *a, struct gr_err *err) { return admin_op(a, "admin.backup", err); }
static int admin_check(struct ask *a, struct gr_err *err) { return admin_op(a, "admin.check", err); }
static int admin_vacuum(struct ask *a, struct gr_err *err) { return admin_op(a, "admin.vacuum", err); }

static int admin_export(struct ask *a, struct gr_err *err)
{
	json_t *rep = NULL;
	struct gr_digest d;
	int rc = gr_talk_call(&a->b, true, json_pack("{s:s}", "op", "admin.export"), &rep, err);

	if (rc == 0 && gr_digest_parse(gr_jstr(rep, "digest"), &d) < 0)
		rc = gr_err_set(err, GR_EPROTO, "the answer names no file");
	if (rc == 0) {
		fflush(stdout);
		rc = gr_rpc_download(a->b.rpc, 0, &d, 1, err);
	}
	json_decref(rep);
	return rc;
}

/* ---- verbs ---- */

struct verb {
	const char *name;
	int min, max;                       /* words behind it */
	int (*fn)(struct ask *a, struct gr_err *err);
	const char *opts;                   /* of those that some verbs take and others do not, the ones it takes */
};
static const struct verb job_verbs[] = {
	{ "ls", 0, 0, job_ls, "state tenant limit" }, { "show", 1, 1, job_show, "" },
	{ "logs", 1, 2, job_logs, "follow stdout stderr attempt" }, { "cancel", 1, 10000, job_cancel, "reason" },
	{ "pause", 1, 10000, job_pause, "" }, { "resume", 1, 10000, job_resume, "" }, { "retry", 1, 10000, job_retry, "failed" },
	{ "rm", 1, 10000, job_rm, "" }, { "fetch", 1, 10000, job_fetch, "to" }, { "usage", 0, 1, job_usage, "tenant" },
	{ NULL, 0, 0, NULL, NULL },
};
static const struct verb task_verbs[] = {
	{ "ls", 1, 1, task_ls, "state limit" }, { "show", 2, 2, task_show, "" }, { NULL, 0, 0, NULL, NULL },
};
static const struct verb admin_verbs[] = {
	{ "backup", 0, 1, admin_backup, "" }, { "check", 0, 0, admin_check, "" }, { "vacuum", 0, 0, admin_vacuum, "" },
	{ "export", 0, 0, admin_export, "" }, { NULL, 0, 0, NULL, NULL },
};

static bool is_among(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *w = words; (w = strstr(w, word)); w += n)
		if ((w == words || w[-1] == ' ') && (!w[n] || w[n] == ' '))
			return true;
	return false;
}

/* What was asked for and would not be done is not passed over: an option of another verb. The environment may hold it for all. */
static int only_its_own(const struct verb *verbs, const struct verb *v, const struct gr_conf *conf, struct gr_err *err)
{
	for (size_t i = 0; i < conf->n_keys; i++) {
		const char *key = conf->keys[i].key;
		struct gr_buf whose = { 0 };

		if (strncmp(conf->origin[i], "--", 2) != 0 || is_among(v->opts, key))
			continue;
		for (const struct verb *o = verbs; o->name; o++)
			if (is_among(o->opts, key))
				gr_buf_printf(&whose, "%s%s", whose.n ? ", " : "", o->name);
		if (whose.n)
			gr_err_set(err, GR_EUSAGE, "%s: --%s is for %s", v->name, key, gr_buf_str(&whose));
		gr_buf_fini(&whose);
		if (err->code)
			return err->code;
	}
	return 0;
}

static const struct verb *find_verb(const struct gr_cmd *cmd, const struct verb *verbs, const char *word)
{
	const char *names[16], *near;
	size_t n = 0;

	for (const struct verb *v = verbs; v->name; v++) {
		names[n++] = v->name;
		if (!strcmp(v->name, word))
			return v;
	}
	near = gr_suggest(word, names, n);
	fprintf(stderr, "griddle %s: %s: no such verb%s%s%s\n", cmd->name, word, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	return NULL;
}

static int run_verbs(const struct gr_cmd *cmd, int argc, char **argv, const struct verb *verbs)
{
	struct ask a = { .cmd = cmd };
	struct gr_err err = { 0 };
	const struct verb *v;
	struct gr_conf conf;
	int rc, i;

	gr_words_sort(cmd, argc, argv);
	i = gr_cmd_options(cmd, argc, argv, &conf, &a.o, &err);
	if (i < 0)
		return gr_cmd_fail(cmd, &err);
	v = i < argc ? find_verb(cmd, verbs, argv[i]) : NULL;
	a.words = argv + i + 1;
	a.n_words = argc - i - 1;
	if (!v || a.n_words < v->min || a.n_words > v->max) {
		gr_conf_fini(&conf);
		if (v && a.n_words < v->min)
			fprintf(stderr, "griddle %s %s: wants a job's number%s\n", cmd->name, v->name, v->min > 1 ? " and a task's" : "");
		return gr_cmd_usage(cmd, v && a.n_words > v->max ? a.words[v->max] : NULL);
	}
	if (only_its_own(verbs, v, &conf, &err) < 0) {
		gr_conf_fini(&conf);
		return gr_cmd_fail(cmd, &err);
	}
	a.b.is_quiet = a.o.quiet;
	rc = gr_talk_open(&a.b, &a.o.target, &err);
	if (rc == 0)
		rc = v->fn(&a, &err);
	if (rc < 0)
		a.status = gr_cmd_fail(cmd, &err);
	gr_talk_close(&a.b);
	gr_conf_fini(&conf);
	return a.status;
}

static int run_job(const struct gr_cmd *cmd, int argc, char **argv) { return run_verbs(cmd, argc, argv, job_verbs); }
static int run_task(const struct gr_cmd *cmd, int argc, char **argv) { return run_verbs(cmd, argc, argv, task_verbs); }
static int run_admin(const struct gr_cmd *cmd, int argc, char **argv) { return run_verbs(cmd, argc, argv, admin_verbs); }

const struct gr_cmd gr_cmd_job = {
	.name = "job", .args = "ls|show|logs|cancel|pause|resume|retry|rm|fetch|usage [JOB [TASK]...]", .summary = "look at jobs and change them",
	.help = "  griddle job ls --state running\n  griddle job show 12\n  griddle job logs 12 -f\n  griddle job logs 12 3 --stderr\n"
		"  griddle job cancel 12 13 --reason 'wrong data'\n  griddle job retry 12 --failed\n  griddle job fetch 12 --to results\n"
		"  griddle job usage > usage.csv\n\n"
		"logs prints what tasks printed, all of a job's in their order or one task's; -f stays. pause lets what runs end and\n"
		"begins nothing new. retry runs what failed again, or the tasks named. rm forgets a job that is over. fetch brings the\n"
		"outputs of tasks that are done: below DIR, or below DIR/STAGE and DIR/STAGE/INDEX where there are several. usage is the\n"
		"accounting, as CSV.\n",
	.keys = job_keys, .n_keys = GR_LEN(job_keys), .shorts = "o=output f=follow q=quiet", .run = run_job,
};
const struct gr_cmd gr_cmd_task = {
	.name = "task", .args = "ls|show JOB [TASK]", .summary = "look at a job's tasks",
	.help = "  griddle task ls 12 --state failed\n  griddle task show 12 3\n\n"
		"show tells each attempt: where, how long, what it took, how it ended; and why a task that waits does so.\n",
	.keys = task_keys, .n_keys = GR_LEN(task_keys), .shorts = "o=output", .run = run_task,
};
const struct gr_cmd gr_cmd_admin = {
	.name = "admin", .args = "backup|check|vacuum|export [NAME]", .summary = "care for the coordinator's store of jobs",
	.help = "  griddle admin backup\n  griddle admin check\n  griddle admin export > jobs.jsonl\n\n"
		"backup copies the store while it is in use, into the coordinator's state folder. check reads all of it. vacuum gives\n"
		"room back to the disk. export prints it as JSON, a record a line. Jobs go on meanwhile; one is done at a time, the\n"
		"next waits for its turn, and Ctrl-C ends what was asked for. For admins.\n",
	.keys = admin_keys, .n_keys = GR_LEN(admin_keys), .shorts = "o=output", .run = run_admin,
};
