/*
 * make_command.c - a stage's templates and one task's values become words, files and paths
 *
 * Paths and blobs are made when the command comes, because its files are fetched then; words when it starts, because only
 * then its slot ({%}) is known.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/job/expand.h"
#include "worker/command.h"

#define MAX_WORD_BYTES (128u << 10)            /* the kernel's own limit of one word */
#define MAX_FILES 65536u

struct values {
	struct gr_slice list[GR_WIRE_MAX_VALUES];
	struct gr_expand_args args;
};

static void take_values(const struct gr_wcommand *t, struct values *v)
{
	struct gr_list_it it = gr_list_begin(&t->m.values);
	size_t n = 0;

	while (n < GR_WIRE_MAX_VALUES && gr_value_next(&it, &v->list[n]))
		n++;
	v->args = (struct gr_expand_args){
		.values = v->list, .n_values = n, .names = t->stage->n_names == n && n ? t->stage->names : NULL,
		.index = t->m.index, .total = t->stage->count, .slot = t->slot < 0 ? 0 : (uint32_t)t->slot,
	};
}

/* A new string, NULL with @err. */
static char *expand(const struct values *v, const char *word, const char *what, struct gr_err *err)
{
	struct gr_buf out = { 0 };

	if (gr_expand(word, &v->args, MAX_WORD_BYTES, &out, err) < 0) {
		gr_err_wrap(err, "%s", what);
		gr_buf_fini(&out);
		return NULL;
	}
	if (out.n && memchr(out.p, 0, out.n)) {
		gr_err_set(err, GR_EINVAL, "%s: a value with a NUL", what);
		gr_buf_fini(&out);
		return NULL;
	}
	return gr_buf_take(&out, NULL);
}

static char *expand_path(const struct values *v, const char *word, const char *what, struct gr_err *err)
{
	char *path = expand(v, word, what, err);

	if (path && !gr_files_path_ok(path)) {
		gr_err_set(err, GR_EPATH, "%s: \"%.200s\" is not a path below the task's folder", what, path);
		free(path);
		return NULL;
	}
	return path;
}

static int expand_digest(const struct values *v, const char *word, struct gr_digest *d, struct gr_err *err)
{
	char *hex = expand(v, word, "blob", err);
	int rc = hex ? gr_digest_parse(hex, d) : err->code;

	if (hex && rc < 0)
		gr_err_set(err, GR_EINVAL, "blob: \"%.80s\" is not a SHA-256", hex);
	free(hex);
	return rc < 0 ? err->code : 0;
}

static int add_spec_inputs(struct gr_wcommand *t, const struct values *v, struct gr_err *err)
{
	for (uint32_t i = 0; i < t->stage->n_inputs; i++) {
		const struct gr_wfile *f = &t->stage->inputs[i];
		struct gr_placed *p = &t->placed[t->n_placed];

		p->kind = f->kind;
		p->mode = f->mode;
		p->size = GR_FETCH_ANY_SIZE;
		p->path = expand_path(v, f->path, "input", err);
		if (!p->path)
			return err->code;
		t->n_placed++;
		if (f->kind == GR_FILES_LINK && !(p->target = expand(v, f->target, "link", err)))
			return err->code;
		if (f->kind == GR_FILES_REG && expand_digest(v, f->blob, &p->digest, err) < 0)
			return err->code;
	}
	return 0;
}

static int add_own_inputs(struct gr_wcommand *t, struct gr_err *err)
{
	struct gr_list_it it = gr_list_begin(&t->m.inputs);
	struct gr_placed_file f;

	while (gr_placed_next(&it, &f, false)) {
		struct gr_placed *p = &t->placed[t->n_placed++];

		p->path = gr_xstrndup((const char *)f.path.p, f.path.n);
		p->mode = f.mode;
		p->kind = f.kind == GR_PLACED_DIR ? GR_FILES_DIR : f.kind == GR_PLACED_LINK ? GR_FILES_LINK : GR_FILES_REG;
		p->size = f.item.size;
		p->digest = f.item.digest;
		if (p->kind == GR_FILES_LINK)
			p->target = gr_xstrndup((const char *)f.target.p, f.target.n);
		if (!gr_files_path_ok(p->path))
			return gr_err_set(err, GR_EPATH, "input: \"%.200s\" is not a path below the task's folder", p->path);
	}
	return 0;
}

static void add_folder(struct gr_wcommand *t, const char *path, size_t n)
{
	struct gr_placed *p = &t->placed[t->n_placed++];

	p->path = gr_xstrndup(path, n);
	p->kind = GR_FILES_DIR;
	p->mode = 0755;
}

int gr_command_make(struct gr_wcommand *t, struct gr_err *err)
{
	const struct gr_wstage *s = t->stage;
	char *cwd;
	struct values v;
	int rc;

	take_values(t, &v);
	if (t->m.inputs.n > MAX_FILES)
		return gr_err_set(err, GR_ELIMIT, "more than %u inputs", MAX_FILES);
	/* beside the inputs: the current folder, the checkpoint's, and those the outputs lie in */
	t->placed = gr_xalloc((s->n_inputs + t->m.inputs.n + s->n_outputs + 3) * sizeof(*t->placed));
	t->outputs = gr_xalloc((s->n_outputs + 1) * sizeof(*t->outputs));
	rc = add_spec_inputs(t, &v, err);
	if (rc == 0)
		rc = add_own_inputs(t, err);
	for (uint32_t i = 0; i < s->n_outputs && rc == 0; i++) {
		char *slash;

		t->outputs[i] = expand_path(&v, s->outputs[i].path, "output", err);
		rc = t->outputs[i] ? 0 : err->code;
		if (rc == 0 && (slash = strrchr(t->outputs[i], '/')))
			add_folder(t, t->outputs[i], (size_t)(slash - t->outputs[i]));
	}
	if (rc == 0 && s->checkpoint_dir) {
		if (!gr_files_path_ok(s->checkpoint_dir))
			rc = gr_err_set(err, GR_EPATH, "checkpoint: \"%.200s\" is not a path below the task's folder", s->checkpoint_dir);
		else
			add_folder(t, s->checkpoint_dir, strlen(s->checkpoint_dir));
	}
	if (rc == 0 && s->stdin_blob) {
		t->has_stdin = true;
		rc = expand_digest(&v, s->stdin_blob, &t->stdin_digest, err);
	}
	cwd = rc == 0 ? expand(&v, s->cwd, "cwd", err) : NULL;
	if (rc == 0 && !cwd)
		rc = err->code;
	if (cwd && strcmp(cwd, ".") && *cwd) {
		if (gr_files_path_ok(cwd))
			add_folder(t, cwd, strlen(cwd));
		else
			rc = gr_err_set(err, GR_EPATH, "cwd: \"%.200s\" is not a path below the task's folder", cwd);
	}
	free(cwd);
	return rc;
}

static void add_env(struct gr_words *w, const char *name, const char *fmt, ...) GR_PRINTF(3, 4);
static void add_env(struct gr_words *w, const char *name, const char *fmt, ...)
{
	struct gr_buf b = { 0 };
	char text[4500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	gr_buf_add_str(&b, name);
	gr_buf_add_byte(&b, '=');
	gr_buf_add_str(&b, text);
	w->env[w->n_env++] = gr_buf_take(&b, NULL);
}

/* What the job does not say itself. */
static void add_defaults(struct gr_wcommand *t, struct gr_words *w)
{
	static const char *const given[][2] = { { "PATH", "/usr/local/bin:/usr/bin:/bin" }, { "LANG", "C.UTF-8" } };
	const struct gr_wstage *s = t->stage;
	char task[4400], tmp[4400], secrets[4400];

	gr_runners_path(t->runner, GR_RUNNER_TASK, task);
	gr_runners_path(t->runner, GR_RUNNER_TMP, tmp);
	gr_runners_path(t->runner, GR_RUNNER_SECRETS, secrets);
	for (size_t i = 0; i < GR_LEN(given); i++)
		add_env(w, given[i][0], "%s", given[i][1]);
	add_env(w, "HOME", "%s", task);
	add_env(w, "TMPDIR", "%s", tmp);
	add_env(w, "GRIDDLE_JOB", "%llu", (unsigned long long)t->key.job);
	add_env(w, "GRIDDLE_STAGE", "%s", s->name);
	add_env(w, "GRIDDLE_TASK", "%llu", (unsigned long long)t->key.task);
	add_env(w, "GRIDDLE_INDEX", "%u", t->m.index);
	add_env(w, "GRIDDLE_COUNT", "%u", s->count);
	add_env(w, "GRIDDLE_ATTEMPT", "%u", t->m.ordinal);
	if (s->checkpoint_dir)
		add_env(w, "GRIDDLE_CHECKPOINT_DIR", "%s/%s", task, s->checkpoint_dir);
	if (t->m.secrets.n)
		add_env(w, "GRIDDLE_SECRETS_DIR", "%s", secrets);
}

static bool is_set(const struct gr_words *w, const char *name, size_t n)
{
	for (uint32_t i = 0; i < w->n_env; i++)
		if (!strncmp(w->env[i], name, n) && w->env[i][n] == '=')
			return true;
	return false;
}

int gr_command_words(struct gr_wcommand *t, struct gr_words *w, struct gr_err *err)
{
	const struct gr_wstage *s = t->stage;
	struct gr_words defaults = { 0 };
	struct values v;

	memset(w, 0, sizeof(*w));
	take_values(t, &v);
	w->argv = gr_xalloc((s->n_argv + 1) * sizeof(*w->argv));
	w->env = gr_xalloc((s->n_env + 20) * sizeof(*w->env));
	w->cwd = expand(&v, s->cwd, "cwd", err);
	if (!w->cwd)
		return err->code;
	for (uint32_t i = 0; i < s->n_argv; i++) {
		w->argv[i] = expand(&v, s->argv[i], "argv", err);
		if (!w->argv[i])
			return err->code;
		w->n_argv++;
	}
	for (uint32_t i = 0; i < s->n_env; i++) {
		char *value = expand(&v, s->env_values[i], s->env_names[i], err);
		struct gr_buf b = { 0 };

		if (!value)
			return err->code;
		gr_buf_add_str(&b, s->env_names[i]);
		gr_buf_add_byte(&b, '=');
		gr_buf_add_str(&b, value);
		free(value);
		w->env[w->n_env++] = gr_buf_take(&b, NULL);
	}
	defaults.env = gr_xalloc(20 * sizeof(*defaults.env));
	add_defaults(t, &defaults);
	for (uint32_t i = 0; i < defaults.n_env; i++) {
		if (is_set(w, defaults.env[i], strcspn(defaults.env[i], "=")))
			free(defaults.env[i]);
		else
			w->env[w->n_env++] = defaults.env[i];
	}
	free(defaults.env);
	return 0;
}

void gr_words_fini(struct gr_words *w)
{
	for (uint32_t i = 0; i < w->n_argv; i++)
		free(w->argv[i]);
	for (uint32_t i = 0; i < w->n_env; i++)
		free(w->env[i]);
	free(w->argv);
	free(w->env);
	free(w->cwd);
	memset(w, 0, sizeof(*w));
}
