/* fetch.c - see fetch.h. A file is written beside its place under a name of its own and gets its own when its task's turn comes. */
#include "client/job/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define AHEAD 16u                           /* tasks, and files */

struct output {
	const json_t *o;                    /* borrowed from its task's show */
	char *full, *tmp;
	int fd;
	struct gr_rpc_file *file;           /* NULL: it is a link or a folder */
};
struct task {
	uint64_t task;
	char *dir;
	json_t *show;
	struct gr_rpc_question *asked;      /* of show */
	struct output *outputs;             /* begun: i_first..i_next */
	size_t i_first, i_next, n;
	bool is_stuck;                      /* the last begun could not be, for end.why; it has its turn all the same */
	struct gr_fetched end;
};
struct gr_fetch {
	struct gr_talk *b;
	uint64_t job;
	struct task tasks[AHEAD];
	unsigned i_first, n, n_files, n_names;
};

static struct task *task_at(struct gr_fetch *f, unsigned i) { return &f->tasks[(f->i_first + i) % AHEAD]; }

/* ---- one output ---- */

/* A link that one task left must not lead what another left out of the folder. Of @full, whose first @n_dir bytes are the folder, the
 * first part that is a symbolic link and has something below it, or is wanted as a folder; NULL none. It is cut there then. */
static const char *link_above(char *full, size_t n_dir, bool is_dir)
{
	struct stat st;

	for (char *p = full + n_dir + 1; *p; p++) {
		bool is_link;

		if (*p != '/' && (p[1] || !is_dir))
			continue;
		if (*p == '/')
			*p = 0;
		is_link = lstat(full, &st) == 0 && S_ISLNK(st.st_mode);
		if (is_link)
			return full;
		if (!*p)
			*p = '/';
	}
	return NULL;
}

static int make_folders(struct output *x, const char *dir, const char *path, struct gr_err *err)
{
	bool is_dir = !strcmp(gr_jstr(x->o, "kind"), "dir");
	char *copy = gr_xstrdup(x->full), *slash = strrchr(copy, '/');
	const char *link = link_above(copy, strlen(dir), is_dir);
	int rc;

	if (link) {
		rc = gr_err_set(err, GR_EPATH, "output \"%.100s\" lies below \"%.200s\", which is a symbolic link: remove it, or fetch to another folder",
				path, link);
	} else {
		if (!is_dir)
			*slash = 0;
		rc = gr_mkdir_p(copy, 0777, err);
	}
	free(copy);
	return rc;
}

static int begin(struct gr_fetch *f, struct task *t, struct output *x, struct gr_err *err)
{
	const char *path = json_string_value(json_object_get(x->o, "path")), *kind = gr_jstr(x->o, "kind");
	struct gr_buf b = { 0 };
	struct gr_digest d;
	int rc;

	x->fd = -1;
	if (!path || !*path || path[0] == '/' || !strcmp(path, "..") || !strncmp(path, "../", 3) || strstr(path, "/../"))
		return gr_err_set(err, GR_EPATH, "output \"%.100s\" would leave the folder", path ? path : "");
	gr_buf_printf(&b, "%s/%s", t->dir, path);
	x->full = gr_buf_take(&b, NULL);
	rc = make_folders(x, t->dir, path, err);
	if (rc < 0 || !strcmp(kind, "dir") || !strcmp(kind, "link"))
		return rc;
	rc = gr_digest_parse(gr_jstr(x->o, "digest"), &d);
	if (rc < 0)
		return gr_err_set(err, rc, "the coordinator names no digest");
	gr_buf_printf(&b, "%s.griddle-%d-%u", x->full, (int)getpid(), f->n_names++);
	x->tmp = gr_buf_take(&b, NULL);
	x->fd = open(x->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (x->fd < 0) {
		rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", x->tmp, strerror(errno));
		free(x->tmp);
		x->tmp = NULL;
		return rc;
	}
	x->file = gr_rpc_file_ask(f->b->rpc, f->job, &d, x->fd);
	f->n_files++;
	return 0;
}

static int finish(struct gr_fetch *f, struct output *x, struct gr_err *err)
{
	mode_t mask;
	int rc;

	if (!strcmp(gr_jstr(x->o, "kind"), "link")) {
		unlink(x->full);
		return symlink(gr_jstr(x->o, "target"), x->full) == 0 ? 0 : gr_err_set(err, gr_err_errno(errno), "%s: %s", x->full, strerror(errno));
	}
	if (!x->file)
		return 0;
	rc = gr_rpc_file_wait(f->b->rpc, &x->file, err);
	f->n_files--;
	if (rc < 0)
		return rc;
	mask = umask(0);
	umask(mask);
	rc = fchmod(x->fd, (gr_jnum(x->o, "mode") & 0111 ? 0777 : 0666) & ~mask);
	if ((close(x->fd) < 0) | (rc < 0)) {
		x->fd = -1;
		return gr_err_set(err, GR_EIO, "%s: %s", x->tmp, strerror(errno));
	}
	x->fd = -1;
	if (rename(x->tmp, x->full) < 0)
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", x->full, strerror(errno));
	free(x->tmp);
	x->tmp = NULL;
	return 0;
}

/* Also of one that is under way, or failed. */
static void output_fini(struct gr_fetch *f, struct output *x)
{
	f->n_files -= x->file != NULL;
	gr_rpc_file_drop(&x->file);
	if (x->fd >= 0)
		close(x->fd);
	if (x->tmp)
		unlink(x->tmp);
	free(x->tmp);
	free(x->full);
}

/* ---- tasks ---- */

static void task_fini(struct gr_fetch *f, struct task *t)
{
	for (; t->i_first < t->i_next; t->i_first++)
		output_fini(f, &t->outputs[t->i_first]);
	gr_rpc_drop(&t->asked);
	free(t->outputs);
	free(t->dir);
	json_decref(t->show);
}

static void listed(struct task *t)
{
	t->n = json_array_size(json_object_get(t->show, "outputs"));
	t->outputs = gr_xalloc((t->n + 1) * sizeof(*t->outputs));
}

static void hear(struct gr_fetch *f, struct task *t)
{
	t->end.rc = gr_rpc_answer(f->b->rpc, &t->asked, 0, &t->show, &t->end.why);
	if (t->end.rc >= 0)
		listed(t);
}

static void begin_next(struct gr_fetch *f, struct task *t)
{
	struct output *x = &t->outputs[t->i_next];

	x->o = json_array_get(json_object_get(t->show, "outputs"), t->i_next++);
	t->is_stuck = begin(f, t, x, &t->end.why) < 0;
}

/* Begins what there is room for, first things first. */
static void begin_more(struct gr_fetch *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		struct task *t = task_at(f, i);

		if (t->asked && gr_rpc_is_answered(t->asked))
			hear(f, t);
		while (!t->is_stuck && t->end.rc >= 0 && t->i_next < t->n && f->n_files < AHEAD)
			begin_next(f, t);
	}
}

struct gr_fetch *gr_fetch_new(struct gr_talk *b, uint64_t job)
{
	struct gr_fetch *f;

	GR_NEW(f);
	f->b = b;
	f->job = job;
	return f;
}

void gr_fetch_free(struct gr_fetch **fp)
{
	struct gr_fetch *f = *fp;

	*fp = NULL;
	if (!f)
		return;
	for (unsigned i = 0; i < f->n; i++)
		task_fini(f, task_at(f, i));
	free(f);
}

bool gr_fetch_is_full(const struct gr_fetch *f) { return f->n == AHEAD; }
bool gr_fetch_is_empty(const struct gr_fetch *f) { return !f->n; }

void gr_fetch_push(struct gr_fetch *f, uint64_t task, const json_t *show, const char *dir)
{
	struct task *t = task_at(f, f->n++);

	*t = (struct task){ .task = task, .dir = gr_xstrdup(dir), .show = json_incref((json_t *)show), .end = { .task = task } };
	if (show)
		listed(t);
	else
		t->asked = gr_rpc_ask(f->b->rpc, json_pack("{s:s, s:I, s:I}", "op", "task.show", "job", (json_int_t)f->job, "task", (json_int_t)task));
	begin_more(f);
}

int gr_fetch_pop(struct gr_fetch *f, struct gr_fetched *out, struct gr_err *err)
{
	struct task *t = task_at(f, 0);
	int rc = 0;

	if (t->asked)
		hear(f, t);
	begin_more(f);
	while (t->end.rc >= 0 && t->i_first < t->n) {
		struct output *x = &t->outputs[t->i_first];

		if (t->i_first == t->i_next)
			begin_next(f, t);       /* the files on their way are all later tasks' */
		if (t->is_stuck && t->i_first + 1 == t->i_next)
			t->end.rc = t->end.why.code;
		else
			t->end.rc = finish(f, x, &t->end.why);
		if (t->end.rc < 0)
			gr_err_wrap(&t->end.why, "output %s", gr_jstr(x->o, "path"));
		else
			t->end.n_files++;
		output_fini(f, x);
		t->i_first++;
		begin_more(f);
	}
	*out = t->end;
	if (out->rc == GR_EGONE)
		rc = gr_err_set(err, GR_EGONE, "%s", out->why.text);
	task_fini(f, t);
	f->i_first = (f->i_first + 1) % AHEAD;
	f->n--;
	begin_more(f);
	return rc;
}
