/**
 * plan - from the wrapper's words to a TASK
 *
 * The parsed command, its closure (one scratch closure for all units, valid until the next call), and the ids of all
 * records the task names. Which fact the session was last told of a file is kept by the node's dense id, so a warm
 * unit's 500 inputs cost 500 array look-ups and a sort.
 *
 * The worker sees: the client's spelling of every word, the physical files at their physical paths, the symlinks that
 * lead there, the folders that must exist, and a folder for each output.
 */
#include <locale.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include "client/agent/plan.h"
#include "client/agent/terminal.h"
#include "client/agent/toolchains.h"
#include "lib/base/alloc.h"
#include "lib/base/path.h"
#include "lib/cc/files.h"
#include "lib/cc/key.h"

struct told {                             /* by node id: what the session knows of it */
	uint32_t version, record;         /* record + 1; 0: nothing */
};
struct gr_planner {
	struct gr_cc_closure closure;
	struct told *told;
	size_t cap_told;
	uint32_t *ids;
	size_t n_ids, cap_ids;
	struct gr_buf path;
	struct gr_cc_walk walk;
};

void gr_plan_open(struct gr_agent *a)
{
	GR_NEW(a->planner);
}

void gr_plan_finish(struct gr_agent *a)
{
	struct gr_planner *p = a->planner;

	if (!p)
		return;
	gr_cc_closure_fini(&p->closure);
	gr_cc_walk_fini(&p->walk);
	gr_buf_fini(&p->path);
	free(p->told);
	free(p->ids);
	free(p);
	a->planner = NULL;
}

void gr_plan_new_session(struct gr_agent *a)
{
	struct gr_planner *p = a->planner;

	if (p && p->told)
		memset(p->told, 0, p->cap_told * sizeof(*p->told));
}

struct gr_cc_closure *gr_plan_closure(struct gr_agent *a)
{
	return &a->planner->closure;
}

void gr_plan_free(struct gr_plan **plan)
{
	struct gr_plan *p = *plan;
	uint32_t i;

	if (!p)
		return;
	for (i = 0; i < p->n_outputs; i++) {
		free(p->outputs[i].absolute);
		free(p->outputs[i].local);
	}
	for (i = 0; i < p->n_env; i++)
		free(p->env[i]);
	free(p->env);
	free(p->seen);
	free(p->source_path);
	gr_cc_cmd_fini(&p->cmd);
	gr_cc_argv_fini(&p->words);
	free(p);
	*plan = NULL;
}

/* ---- environment ---- */

/* What LC_ALL a worker should have for the same messages. Any machine has C and C.UTF-8; an English locale says the
 * same as C.UTF-8, one that does not exist here counts as C, and of others a worker may not have the words. */
static const char *worker_locale(const struct gr_request *req, bool *is_odd)
{
	const char *name = gr_request_env(req, "LC_ALL"), *language = gr_request_env(req, "LANGUAGE");
	bool is_utf8;
	locale_t l;

	if (!name || !*name) {
		const char *ctype = gr_request_env(req, "LC_CTYPE"), *messages = gr_request_env(req, "LC_MESSAGES"), *lang = gr_request_env(req, "LANG");

		lang = lang && *lang ? lang : "C";
		ctype = ctype && *ctype ? ctype : lang;
		messages = messages && *messages ? messages : lang;
		if (strcmp(ctype, messages))
			*is_odd = true;
		name = ctype;
	}
	if (!strcmp(name, "C") || !strcmp(name, "POSIX"))
		return "C";
	if (language && *language && strncmp(language, "en", 2) && strcmp(language, "C"))
		*is_odd = true;
	if (!strcmp(name, "C.UTF-8") || !strcmp(name, "C.utf8"))
		return "C.UTF-8";
	l = newlocale(LC_CTYPE_MASK | LC_MESSAGES_MASK, name, (locale_t)0);
	if (!l)
		return "C";
	is_utf8 = !strcmp(nl_langinfo_l(CODESET, l), "UTF-8");
	freelocale(l);
	if (!is_utf8 || strncmp(name, "en_", 3))
		*is_odd = true;
	return is_utf8 ? "C.UTF-8" : "C";
}

static void add_env(struct gr_plan *p, const char *name, const char *value)
{
	struct gr_buf b = { 0 };

	gr_buf_printf(&b, "%s=%s", name, value);
	p->env[p->n_env++] = gr_buf_take(&b, NULL);
}

static void make_env(struct gr_unit *u)
{
	struct gr_plan *p = u->plan;
	const char *pwd;
	char **e;

	p->env = gr_xalloc((u->req.n_env + 3) * sizeof(char *));
	add_env(p, "LC_ALL", worker_locale(&u->req, &p->has_odd_messages));
	/* The compiler believes PWD, when it is the same folder, for DW_AT_comp_dir: its links go along (plan_close). */
	pwd = gr_request_env(&u->req, "PWD");
	if (pwd && pwd[0] == '/')
		add_env(p, "PWD", pwd);
	for (e = u->req.env; *e; e++)
		if (strncmp(*e, "LC_", 3) && strncmp(*e, "LANG", 4) && strncmp(*e, "PWD=", 4) && gr_cc_env_matters(*e))
			p->env[p->n_env++] = gr_xstrdup(*e);
}

/* ---- parse ---- */

int gr_plan_parse(struct gr_unit *u, const char **reason, const char **detail)
{
	struct gr_plan *p;
	int rc;

	gr_plan_free(&u->plan);
	GR_NEW(u->plan);
	p = u->plan;
	p->toolchain = u->toolchain->t->digest;
	*detail = "";
	rc = gr_cc_args_expand((int)u->req.n_args, u->req.argv, u->req.cwd, &p->words, NULL);
	if (rc < 0) {
		*reason = "command line too long or @files too deep";
		return GR_EUNSUP;
	}
	gr_cc_args_parse(&p->cmd, u->toolchain->t->family, p->words.argc, p->words.argv, u->req.env);
	if (p->cmd.verdict != GR_CC_REMOTE) {
		*reason = p->cmd.reason;
		*detail = p->cmd.detail;
		return GR_EUNSUP;
	}
	make_env(u);
	p->n_added = gr_terminal_flags(&u->req, &p->cmd, p->cmd.family == GR_CC_GCC ? atoi(u->toolchain->t->version) : 0, p->added);
	if (p->n_added < 0) {
		p->n_added = 0;
		p->has_odd_messages = true;
	}
	return 0;
}

/* ---- closure ---- */

static char *below(struct gr_agent *a, const struct gr_cc_node *dir, const char *path)
{
	struct gr_buf b = { 0 };
	struct gr_slice base = gr_path_base(gr_slice_str(path));

	gr_cc_node_path(dir, &b);
	if (b.n > 1)
		gr_buf_add_byte(&b, '/');
	gr_buf_add(&b, base.p, base.n);
	return gr_buf_take(&b, NULL);
}

static void set_outputs(struct gr_unit *u)
{
	struct gr_cc_closure *cl = &u->agent->planner->closure;
	struct gr_plan *p = u->plan;
	uint32_t i;

	for (i = 0; i < p->n_outputs; i++) {
		free(p->outputs[i].absolute);
		free(p->outputs[i].local);
	}
	p->n_outputs = p->cmd.n_outputs;
	for (i = 0; i < p->n_outputs; i++) {
		struct gr_plan_output *o = &p->outputs[i];
		struct gr_buf b = { 0 };

		o->kind = p->cmd.outputs[i].kind;
		o->is_required = p->cmd.outputs[i].is_required;
		o->path = p->cmd.outputs[i].path;
		o->absolute = below(u->agent, cl->outdirs[i], o->path);
		gr_buf_printf(&b, "%s%s%s", o->path[0] == '/' ? "" : u->req.cwd, o->path[0] == '/' ? "" : "/", o->path);
		o->local = gr_buf_take(&b, NULL);
	}
}

static void set_seen(struct gr_plan *p, const struct gr_cc_closure *cl)
{
	uint32_t i, n = 0;

	free(p->seen);
	p->seen = gr_xalloc((cl->n_entries + cl->n_files + 1) * sizeof(*p->seen));
	for (i = 0; i < cl->n_entries; i++)
		p->seen[n++] = (struct gr_plan_seen){ cl->entries[i]->id, cl->entries[i]->version };
	for (i = 0; i < cl->n_files; i++)
		p->seen[n++] = (struct gr_plan_seen){ cl->files[i]->id, cl->files[i]->version };
	p->n_seen = n;
}

/* With the flags a terminal adds: the stored messages depend on them. */
static void set_key1(struct gr_unit *u)
{
	struct gr_plan *p = u->plan;
	struct gr_buf b = { 0 };
	int i;

	gr_cc_key1(&p->toolchain, &p->cmd, u->req.cwd, p->env, (u->req.flags & GR_AGENT_F_STDERR_TTY) != 0, &p->source, &p->key1);
	if (!p->n_added)
		return;
	gr_buf_add(&b, p->key1.b, sizeof(p->key1.b));
	for (i = 0; i < p->n_added; i++)
		gr_buf_add(&b, p->added[i], strlen(p->added[i]) + 1);
	gr_sha256_of(b.p, b.n, &p->key1);
	gr_buf_fini(&b);
}

int gr_plan_close(struct gr_unit *u, const char **reason, const char **detail)
{
	struct gr_agent *a = u->agent;
	struct gr_cc_closure *cl = &a->planner->closure;
	struct gr_plan *p = u->plan;
	struct gr_cc_closure_in in = { .cmd = &p->cmd, .cwd = u->req.cwd, .search = p->search, .tool = u->toolchain->tool };
	struct gr_buf path = { 0 };
	uint32_t i;

	*detail = "";
	in.known = gr_depends_known(u, &in.n_known);
	gr_cc_closure_of(a->closer, &in, cl);
	if (cl->verdict != GR_CC_CLOSURE_OK) {
		*reason = cl->reason;
		*detail = cl->detail;
		return cl->verdict == GR_CC_CLOSURE_NEEDS_PREPROCESSOR ? GR_EBUSY : GR_EUNSUP;
	}
	for (i = 0; i < p->cmd.n_outputs; i++)
		if (i >= cl->n_outdirs || !cl->outdirs[i]) {
			*reason = "folder of an output is not there";
			return GR_EUNSUP;
		}
	set_outputs(u);
	set_seen(p, cl);
	p->source = cl->source->digest;
	gr_cc_node_path(cl->source, &path);
	free(p->source_path);
	p->source_path = gr_buf_take(&path, NULL);
	set_key1(u);
	return 0;
}

bool gr_plan_is_true(struct gr_unit *u)
{
	const struct gr_plan *p = u->plan;
	uint32_t i;

	for (i = 0; i < p->n_seen; i++) {
		struct gr_cc_node *n = gr_cc_files_by_id(u->agent->files, p->seen[i].id);

		if (!n)
			return false;
		gr_cc_node_check(u->agent->files, n);
		if (n->version != p->seen[i].version)
			return false;
	}
	return true;
}

void gr_plan_doubt(struct gr_unit *u)
{
	const struct gr_plan *p = u->plan;
	uint32_t i;

	for (i = 0; i < p->n_seen; i++) {
		struct gr_cc_node *n = gr_cc_files_by_id(u->agent->files, p->seen[i].id);

		if (n)
			gr_cc_node_doubt(u->agent->files, n);
	}
}

/* ---- the task ---- */

static enum gr_file_kind kind_of(const struct gr_cc_node *n)
{
	switch (n->kind) {
	case GR_CC_REG:
		return GR_FILE_REG;
	case GR_CC_DIR:
		return GR_FILE_DIR;
	case GR_CC_LINK:
		return GR_FILE_LINK;
	default:
		return GR_FILE_ABSENT;
	}
}

/* Return: false when the path cannot be named on the wire. */
static bool add_node(struct gr_agent *a, struct gr_cc_node *n)
{
	struct gr_planner *p = a->planner;
	struct told *t;

	if (!n->parent)
		return true;            /* "/" is everywhere */
	if (n->id >= p->cap_told) {
		size_t old = p->cap_told;

		GR_GROW(p->told, p->cap_told, n->id + 1);
		memset(p->told + old, 0, (p->cap_told - old) * sizeof(*p->told));
	}
	t = &p->told[n->id];
	if (!t->record || t->version != n->version) {
		struct gr_fact f = { .kind = kind_of(n), .is_exec = n->is_exec, .size = n->size, .digest = n->digest };
		uint32_t id;

		gr_buf_clear(&p->path);
		gr_cc_node_path(n, &p->path);
		f.path = gr_buf_slice(&p->path);
		if (f.kind == GR_FILE_LINK)
			f.target = gr_slice_str(n->target);
		id = gr_session_fact(a->session, &f);
		if (id == GR_SESSION_NO_ID)
			return false;
		t->record = id + 1;
		t->version = n->version;
		n->was_shipped = true;
	}
	GR_GROW(p->ids, p->cap_ids, p->n_ids + 1);
	p->ids[p->n_ids++] = t->record - 1;
	return true;
}

static bool add_nodes(struct gr_agent *a, struct gr_cc_node *const *nodes, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (!add_node(a, nodes[i]))
			return false;
	return true;
}

/* The links of $PWD, when it is another spelling of the folder. */
static bool add_pwd(struct gr_unit *u)
{
	struct gr_planner *p = u->agent->planner;
	const char *pwd = gr_request_env(&u->req, "PWD");
	struct gr_cc_node *root = p->closure.cwd;

	if (!pwd || pwd[0] != '/' || !strcmp(pwd, u->req.cwd))
		return true;
	while (root->parent)
		root = root->parent;
	gr_cc_files_walk(u->agent->files, root, pwd, strlen(pwd), &p->walk);
	return p->walk.file != p->closure.cwd || add_nodes(u->agent, p->walk.links, p->walk.n_links);
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool add_inputs(struct gr_unit *u, struct gr_buf *raw, struct gr_ids *out)
{
	struct gr_agent *a = u->agent;
	struct gr_planner *p = a->planner;
	const struct gr_cc_closure *cl = &p->closure;
	uint32_t i, n = 0;

	p->n_ids = 0;
	if (!add_node(a, cl->cwd) || !add_nodes(a, cl->dirs, cl->n_dirs) || !add_nodes(a, cl->outdirs, cl->n_outdirs) ||
	    !add_nodes(a, cl->links, cl->n_links) || !add_nodes(a, cl->files, cl->n_files) ||
	    !add_nodes(a, cl->gone, cl->n_gone) || !add_pwd(u))
		return false;
	qsort(p->ids, p->n_ids, sizeof(*p->ids), compare_ids);
	for (i = 0; i < p->n_ids; i++)
		if (!n || p->ids[n - 1] != p->ids[i])
			p->ids[n++] = p->ids[i];
	if (n > GR_WIRE_MAX_INPUTS)
		return false;
	gr_ids_encode(raw, p->ids, n, true);
	*out = (struct gr_ids){ gr_buf_slice(raw), n, true };
	return true;
}

static bool add_words(struct gr_agent *a, char *const *words, uint32_t n, const char *const *added, int n_added, struct gr_buf *raw, struct gr_ids *out)
{
	struct gr_planner *p = a->planner;
	uint32_t i;

	if (n + 2 > GR_WIRE_MAX_ARGS)
		return false;
	GR_GROW(p->ids, p->cap_ids, n + 2);
	for (i = 0; i < n + (uint32_t)n_added; i++) {
		p->ids[i] = gr_session_str(a->session, gr_slice_str(i < n ? words[i] : added[i - n]));
		if (p->ids[i] == GR_SESSION_NO_ID)
			return false;
	}
	gr_ids_encode(raw, p->ids, i, false);
	*out = (struct gr_ids){ gr_buf_slice(raw), i, false };
	return true;
}

int gr_plan_encode(struct gr_unit *u, const char **reason)
{
	struct gr_agent *a = u->agent;
	struct gr_plan *p = u->plan;
	struct gr_buf argv = { 0 }, env = { 0 }, inputs = { 0 };
	struct gr_task_msg m = { .toolchain = p->toolchain, .timeout_ms = (uint32_t)a->conf->unit_timeout_ms };
	bool is_fine;
	uint32_t i;

	is_fine = add_inputs(u, &inputs, &m.inputs) &&
		  add_words(a, p->words.argv, (uint32_t)p->words.argc, p->added, p->n_added, &argv, &m.argv) &&
		  add_words(a, p->env, p->n_env, NULL, 0, &env, &m.env);
	m.cwd = is_fine ? gr_session_str(a->session, gr_slice_str(u->req.cwd)) : GR_SESSION_NO_ID;
	is_fine = m.cwd != GR_SESSION_NO_ID;
	m.n_outputs = p->n_outputs;
	for (i = 0; i < p->n_outputs && is_fine; i++) {
		m.outputs[i].path = gr_session_str(a->session, gr_slice_str(p->outputs[i].absolute));
		m.outputs[i].flags = p->outputs[i].is_required ? GR_OUTPUT_REQUIRED : 0;
		is_fine = m.outputs[i].path != GR_SESSION_NO_ID;
	}
	if (is_fine) {
		m.session = gr_session_id(a->session);
		m.task = gr_session_next_task(a->session);
		m.n_records = gr_session_n_records(a->session);
		m.flags = (p->cmd.has_gcov ? GR_TASK_F_GCOV : 0) | (p->cmd.has_split_dwarf ? GR_TASK_F_SPLIT_DWARF : 0) |
			  (p->cmd.has_plugin ? GR_TASK_F_PLUGIN : 0) | (p->cmd.has_debug ? GR_TASK_F_DEBUG : 0);
		m.family = gr_hash64(p->source_path, strlen(p->source_path), 0);
		gr_buf_clear(&u->frame);
		gr_task_encode(&u->frame, &m);
		u->task = m.task;
	} else {
		*reason = "too large, or a path that cannot be sent";
	}
	gr_buf_fini(&inputs);
	gr_buf_fini(&argv);
	gr_buf_fini(&env);
	return is_fine ? 0 : GR_EUNSUP;
}
