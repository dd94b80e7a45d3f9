/**
 * depends - what the preprocessor reads, asked of the compiler itself (-M), for units whose includes cannot be told
 *
 * A computed include that the macro evaluator cannot decide is rare: the compiler is run once more, here, in a thread,
 * without code generation. Its list is kept with the unit and believed as long as every file of it is as it was and no
 * name that anybody looked for came or went. A file that changed while -M ran is no proof: then it is run again.
 *
 * Not kept: the list of an earlier compile (the worker's depfile): which macros decided it would have to be proved
 * unchanged, and a preprocessor's run is what proves it; it costs a tenth of the compile it sends away.
 */
#include <stdlib.h>
#include <string.h>
#include "client/agent/agent.h"
#include "client/agent/plan.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/proc.h"
#include "lib/cc/depfile.h"
#include "lib/cc/files.h"

#define MAX_RUNS 4u
#define MAX_LIST_BYTES (16u << 20)
#define SILENT_MS 60000
#define YOUNG_NS (20 * (int64_t)GR_NS_PER_MS)     /* file times are that coarse at most */

struct gr_depends {
	uv_work_t work;
	struct gr_agent *agent;
	struct gr_unit *unit;             /* NULL: nobody waits any more */
	struct gr_buf words;
	char *exe, *cwd;
	char **env;
	int64_t started_real_ns;
	uint64_t names_gen;
	int rc;
	bool is_done;
	struct gr_cc_depfile list;
	struct gr_plan_seen *seen;        /* two for each file of the list: its entry, and what that leads to */
};

static void depends_free(struct gr_depends *d)
{
	char **e;

	for (e = d->env; e && *e; e++)
		free(*e);
	free(d->env);
	free(d->exe);
	free(d->cwd);
	gr_buf_fini(&d->words);
	gr_cc_depfile_fini(&d->list);
	free(d->seen);
	free(d);
}

void gr_depends_drop(struct gr_unit *u)
{
	struct gr_depends *d = u->depends;

	u->depends = NULL;
	if (!d)
		return;
	d->unit = NULL;
	if (d->is_done)
		depends_free(d);
}

static void run(uv_work_t *work)
{
	struct gr_depends *d = GR_CONTAINER(work, struct gr_depends, work);
	const char *p = (const char *)d->words.p, *end = p + d->words.n;
	const char **argv = NULL;
	struct gr_buf out = { 0 };
	size_t n = 0, cap = 0;

	GR_GROW(argv, cap, 2);
	argv[n++] = d->exe;
	for (; p < end; p += strlen(p) + 1) {
		GR_GROW(argv, cap, n + 2);
		argv[n++] = p;
	}
	argv[n] = NULL;
	d->rc = gr_proc_capture_for(argv, d->env, d->cwd, MAX_LIST_BYTES, SILENT_MS, &out, NULL, NULL);
	if (d->rc > 0)
		d->rc = GR_EIO;           /* the compile fails too, and says why */
	if (d->rc == 0)
		d->rc = gr_cc_depfile_parse((const char *)out.p, out.n, &d->list);
	gr_buf_fini(&out);
	free(argv);
}

static bool look_at_one(struct gr_cc_files *files, struct gr_cc_node *n, struct gr_plan_seen *seen)
{
	if (!n || (n->kind == GR_CC_REG && gr_cc_node_digest(files, n) < 0))
		return false;
	*seen = (struct gr_plan_seen){ n->id, n->version };
	return true;
}

/* Every entry of the list, and the file behind it, as they are now: *is_old when none changed since -M began. */
static bool look_at(struct gr_depends *d, const struct gr_unit *u, bool *is_old)
{
	struct gr_cc_files *files = d->agent->files;
	struct gr_cc_node *cwd = gr_cc_files_dir(files, u->req.cwd);
	struct gr_cc_walk w = { 0 };
	bool is_there = cwd != NULL;
	uint32_t i;

	*is_old = gr_cc_files_names_gen(files) == d->names_gen;
	free(d->seen);
	d->seen = gr_xalloc((2 * (size_t)d->list.n_files + 1) * sizeof(*d->seen));
	for (i = 0; i < d->list.n_files && is_there; i++) {
		gr_cc_files_walk(files, cwd, d->list.files[i], strlen(d->list.files[i]), &w);
		is_there = w.entry && w.file && w.file->kind == GR_CC_REG && look_at_one(files, w.entry, &d->seen[2 * i]) &&
			   look_at_one(files, w.file, &d->seen[2 * i + 1]);
		*is_old = *is_old && is_there && w.file->mtime_ns <= d->started_real_ns - YOUNG_NS;
	}
	gr_cc_walk_fini(&w);
	if (!is_there) {
		free(d->seen);
		d->seen = NULL;
	}
	return is_there;
}

static void done(uv_work_t *work, int status)
{
	struct gr_depends *d = GR_CONTAINER(work, struct gr_depends, work);
	struct gr_agent *a = d->agent;
	struct gr_unit *u = d->unit;
	bool is_old = false;

	a->n_depends--;
	d->is_done = true;
	if (!u) {
		depends_free(d);
		return;
	}
	gr_cc_files_drain(a->files, (int64_t)(gr_clock_real_ms() * GR_NS_PER_MS));
	if (d->rc == 0 && !(look_at(d, u, &is_old) && is_old) && gr_depends_start(u))
		return;
	/* After so many runs what is there is taken: no less true than what a compile beside such changes would read. */
	d->names_gen = gr_cc_files_names_gen(a->files);
	gr_unit_move(u, GR_UNIT_NEW);
	gr_unit_go(u);
}

bool gr_depends_start(struct gr_unit *u)
{
	struct gr_agent *a = u->agent;
	struct gr_depends *d;
	uint32_t i;

	if (u->n_depends >= MAX_RUNS)
		return false;
	gr_depends_drop(u);
	GR_NEW(d);
	d->agent = a;
	d->unit = u;
	d->exe = gr_xstrdup(u->req.exe);
	d->cwd = gr_xstrdup(u->req.cwd);
	d->env = gr_xalloc((u->req.n_env + 2) * sizeof(*d->env));
	for (i = 0; i < u->req.n_env; i++)
		d->env[i] = gr_xstrdup(u->req.env[i]);
	d->env[i] = gr_xstrdup("PATH=/usr/local/bin:/usr/bin:/bin");
	gr_cc_cmd_depends(&u->plan->cmd, &d->words);
	d->names_gen = gr_cc_files_names_gen(a->files);
	d->started_real_ns = (int64_t)(gr_clock_real_ms() * GR_NS_PER_MS);
	u->depends = d;
	u->n_depends++;
	gr_unit_move(u, GR_UNIT_DEPENDS);
	a->n_depends++;
	if (uv_queue_work(gr_loop_uv(a->loop), &d->work, run, done) < 0)
		abort();      /* only for a NULL function */
	return true;
}

const char *const *gr_depends_known(struct gr_unit *u, uint32_t *n)
{
	struct gr_depends *d = u->depends;
	struct gr_cc_files *files = u->agent->files;
	uint32_t i;

	if (!d || !d->is_done || d->rc < 0 || !d->seen || gr_cc_files_names_gen(files) != d->names_gen)
		return NULL;
	for (i = 0; i < 2 * d->list.n_files; i++) {
		struct gr_cc_node *x = gr_cc_files_by_id(files, d->seen[i].id);

		if (!x)
			return NULL;
		gr_cc_node_check(files, x);
		if (x->version != d->seen[i].version)
			return NULL;
	}
	*n = d->list.n_files;
	return (const char *const *)d->list.files;
}

const char *gr_depends_why(const struct gr_unit *u)
{
	const struct gr_depends *d = u->depends;

	if (!d || !d->is_done || d->rc == 0)
		return NULL;
	return d->rc == GR_ETIME ? "computed include, and the compiler's -M takes too long" :
	       d->rc == GR_ELIMIT ? "computed include, and the compiler's -M names too much" :
	       "computed include, and the compiler's -M fails";
}

void gr_depends_wait(struct gr_agent *a)
{
	while (a->n_depends)
		uv_run(gr_loop_uv(a->loop), UV_RUN_ONCE);
}
