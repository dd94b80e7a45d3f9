/**
 * toolchains - probes and search lists, in threads, kept by path
 *
 * A probed toolchain is never freed while the agent lives: search lists borrowed from it may be in a closure's memory.
 * A compiler is replaced a few times in an agent's life at most.
 */
#include <stdlib.h>
#include <string.h>
#include "client/agent/toolchains.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/cc/files.h"

#define RECHECK_NS GR_NS_PER_S
#define MAX_TOOLCHAINS 200u

struct gr_search {
	char *key;
	const struct gr_cc_search *search;      /* NULL: could not be found out */
};
struct gr_toolchains {
	struct gr_map refs;
	struct gr_cc_toolchain **old;           /* replaced ones */
	size_t n_old, cap_old;
	uint8_t n_tools;
	uint32_t n_jobs;
};

/* What a thread works on; it owns copies of all it reads. */
struct job {
	uv_work_t work;
	struct gr_agent *agent;
	struct gr_toolchain_ref *ref;
	struct gr_cc_toolchain *t;              /* taken from the ref, given back */
	struct gr_cc_toolchain *replaced;
	char *cwd, *key;
	char **argv, **env;                     /* NULL argv: probe alone */
	int argc;
	const struct gr_cc_search *search;
	struct gr_err err;
	int rc;
};

void gr_toolchains_open(struct gr_agent *a)
{
	GR_NEW(a->toolchains);
}

static void free_ref(struct gr_toolchain_ref *r)
{
	struct gr_search *s;
	size_t i = 0;

	while ((s = gr_map_each(&r->searches, &i))) {
		free(s->key);
		free(s);
	}
	gr_map_fini(&r->searches);
	gr_cc_toolchain_free(&r->t);
	free(r->reason);
	free(r->path);
	free(r);
}

void gr_toolchains_wait(struct gr_agent *a)
{
	while (a->toolchains && a->toolchains->n_jobs)
		uv_run(gr_loop_uv(a->loop), UV_RUN_ONCE);
}

void gr_toolchains_close(struct gr_agent *a)
{
	struct gr_toolchains *ts = a->toolchains;
	struct gr_toolchain_ref *r;
	size_t i = 0;

	if (!ts)
		return;
	while ((r = gr_map_each(&ts->refs, &i)))
		free_ref(r);
	gr_map_fini(&ts->refs);
	for (i = 0; i < ts->n_old; i++)
		gr_cc_toolchain_free(&ts->old[i]);
	free(ts->old);
	free(ts);
	a->toolchains = NULL;
}

static char **copy_words(char *const *words, uint32_t n)
{
	char **out = gr_xalloc((n + 1) * sizeof(*out));
	uint32_t i;

	for (i = 0; i < n; i++)
		out[i] = gr_xstrdup(words[i]);
	return out;
}

static void free_words(char **words)
{
	char **w;

	for (w = words; w && *w; w++)
		free(*w);
	free(words);
}

static void run_job(uv_work_t *work)
{
	struct job *j = GR_CONTAINER(work, struct job, work);
	struct gr_cc_argv words = { 0 };
	struct gr_cc_cmd cmd;

	j->rc = 0;
	if (j->t && !j->argv) {
		if (gr_cc_toolchain_is_current(j->t))
			return;
		j->replaced = j->t;
		j->t = NULL;
	}
	if (!j->t) {
		j->rc = gr_cc_toolchain_probe(j->ref->path, &j->t, &j->err);
		if (j->rc < 0)
			return;
	}
	if (!j->argv)
		return;
	j->rc = gr_cc_args_expand(j->argc, j->argv, j->cwd, &words, &j->err);
	if (j->rc < 0)
		return;
	gr_cc_args_parse(&cmd, j->t->family, words.argc, words.argv, j->env);
	if (cmd.verdict == GR_CC_REMOTE)
		j->rc = gr_cc_toolchain_search(j->t, &cmd, j->cwd, &j->search, &j->err);
	gr_cc_cmd_fini(&cmd);
	gr_cc_argv_fini(&words);
}

static void set_reason(struct gr_toolchain_ref *r, const char *text)
{
	free(r->reason);
	r->reason = text ? gr_xstrdup(text) : NULL;
}

static void mark_tool(struct gr_agent *a, struct gr_toolchain_ref *r)
{
	struct gr_toolchains *ts = a->toolchains;
	uint32_t i;

	if (!r->tool && ts->n_tools < 255)
		r->tool = ++ts->n_tools;
	/* Without a number its headers are shipped like any others: more to send, nothing wrong. */
	for (i = 0; r->tool && i < r->t->n_own_dirs; i++)
		gr_cc_files_mark_tool(a->files, r->t->own_dirs[i], r->tool);
}

static void job_done(uv_work_t *work, int status)
{
	struct job *j = GR_CONTAINER(work, struct job, work);
	struct gr_toolchain_ref *r = j->ref;
	struct gr_agent *a = j->agent;
	bool is_new = j->t && j->t != r->t;

	a->toolchains->n_jobs--;
	r->is_busy = false;
	r->checked_ns = gr_loop_now_ns(a->loop);
	if (j->replaced) {
		struct gr_toolchains *ts = a->toolchains;
		struct gr_search *s;
		size_t i = 0;

		GR_GROW(ts->old, ts->cap_old, ts->n_old + 1);
		ts->old[ts->n_old++] = j->replaced;
		while ((s = gr_map_each(&r->searches, &i))) {
			free(s->key);
			free(s);
		}
		gr_map_fini(&r->searches);
		gr_info("toolchains", "%s changed", r->path);
	}
	r->t = j->t;
	if (!r->t) {
		char text[300];

		snprintf(text, sizeof(text), "compiler not known: %s: %s", r->path, j->err.text[0] ? j->err.text : gr_err_text(j->rc));
		set_reason(r, text);
	} else {
		set_reason(r, NULL);
		if (is_new) {
			char hex[GR_DIGEST_HEX];

			mark_tool(a, r);
			gr_digest_hex(&r->t->digest, hex);
			gr_info("toolchains", "%s is %s, toolchain %.12s", r->path, r->t->name, hex);
		}
	}
	if (j->key && r->t) {
		struct gr_search *s;

		GR_NEW(s);
		s->key = j->key;
		j->key = NULL;
		s->search = j->search;
		if (!j->search)
			gr_warn("toolchains", "%s: search list: %s", r->path, j->err.text);
		free(gr_map_put(&r->searches, s->key, strlen(s->key), s));
	}
	free_words(j->argv);
	free_words(j->env);
	free(j->cwd);
	free(j->key);
	free(j);
	/* Units move to other states while this goes on: begin anew after each. */
	for (bool is_more = true; is_more;) {
		is_more = false;
		GR_LIST_EACH(u, &a->units[GR_UNIT_TOOLCHAIN], struct gr_unit, on) {
			if (u->toolchain != r || r->is_busy)
				continue;
			gr_unit_toolchain_ready(u);
			is_more = true;
			break;
		}
	}
}

static void start_job(struct gr_agent *a, struct gr_toolchain_ref *r, const struct gr_unit *u, const char *key)
{
	struct job *j;

	GR_NEW(j);
	j->agent = a;
	j->ref = r;
	j->t = r->t;
	if (key) {
		j->argc = (int)u->req.n_args;
		j->argv = copy_words(u->req.argv, u->req.n_args);
		j->env = copy_words(u->req.env, u->req.n_env);
		j->cwd = gr_xstrdup(u->req.cwd);
		j->key = gr_xstrdup(key);
	}
	r->is_busy = true;
	a->toolchains->n_jobs++;
	if (uv_queue_work(gr_loop_uv(a->loop), &j->work, run_job, job_done) < 0)
		abort();      /* only for a NULL function */
}

static struct gr_toolchain_ref *ref_of(struct gr_agent *a, const char *path)
{
	struct gr_toolchains *ts = a->toolchains;
	struct gr_toolchain_ref *r = gr_map_get(&ts->refs, path, strlen(path));

	if (r || ts->refs.n >= MAX_TOOLCHAINS)
		return r;
	GR_NEW(r);
	r->path = gr_xstrdup(path);
	gr_map_put(&ts->refs, r->path, strlen(r->path), r);
	return r;
}

int gr_toolchains_get(struct gr_unit *u)
{
	struct gr_agent *a = u->agent;
	struct gr_toolchain_ref *r = u->toolchain;
	uint64_t now = gr_loop_now_ns(a->loop);

	if (!r) {
		struct gr_buf path = { 0 };

		gr_buf_printf(&path, "%s%s%s", u->req.exe[0] == '/' ? "" : u->req.cwd, u->req.exe[0] == '/' ? "" : "/", u->req.exe);
		r = u->toolchain = ref_of(a, gr_buf_str(&path));
		gr_buf_fini(&path);
		if (!r)
			return GR_ELIMIT;
	}
	if (!r->is_busy && (r->t || r->reason)) {
		if (now - r->checked_ns < (r->t ? RECHECK_NS : 30 * RECHECK_NS))
			return r->t ? 1 : GR_EUNSUP;
		if (r->t && gr_cc_toolchain_is_current(r->t)) {
			r->checked_ns = now;
			return 1;
		}
	}
	gr_unit_move(u, GR_UNIT_TOOLCHAIN);
	if (!r->is_busy)
		start_job(a, r, u, NULL);
	return 0;
}

int gr_toolchains_search(struct gr_unit *u, const struct gr_cc_cmd *cmd, const struct gr_cc_search **out)
{
	struct gr_toolchain_ref *r = u->toolchain;
	struct gr_buf key = { 0 };
	struct gr_search *s;

	gr_buf_printf(&key, "%d %s", cmd->lang, cmd->search_key ? cmd->search_key : "");
	s = gr_map_get(&r->searches, key.p, key.n);
	if (!s) {
		gr_unit_move(u, GR_UNIT_TOOLCHAIN);
		start_job(u->agent, r, u, gr_buf_str(&key));
	}
	gr_buf_fini(&key);
	if (!s)
		return 0;
	if (!s->search)
		return GR_EUNSUP;
	*out = s->search;
	return 1;
}

json_t *gr_toolchains_json(const struct gr_agent *a)
{
	json_t *list = json_array();
	struct gr_toolchain_ref *r;
	size_t i = 0;

	while ((r = gr_map_each(&a->toolchains->refs, &i))) {
		char hex[GR_DIGEST_HEX] = "";

		if (r->is_busy)
			continue;
		if (r->t)
			gr_digest_hex(&r->t->digest, hex);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "path", r->path, "digest", hex,
						      "name", r->t ? r->t->name : r->reason));
	}
	return list;
}
