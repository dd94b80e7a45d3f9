/**
 * closure - see closure.h. A request: the search list from the command (interned), the roots (source, forced includes,
 * the header compilers include by themselves), a walk over memos with a mark per node, then computed includes until
 * nothing new comes; then the lists. Marks are epoch numbers, so nothing has to be cleared.
 */
#include "lib/cc/closure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/cc/closer.h"

#define MAX_ENTRIES 60000            /* below GR_WIRE_MAX_INPUTS */
#define MAX_MEMOS 1000000            /* then the memory starts anew */
#define MAX_SETS 8192

struct gr_cc_closer *gr_cc_closer_new(struct gr_cc_files *files)
{
	struct gr_cc_closer *c;

	GR_NEW(c);
	c->files = files;
	c->sha = gr_sha256_new();
	return c;
}

void gr_cc_closer_free(struct gr_cc_closer **pc)
{
	struct gr_cc_closer *c = *pc;

	if (!c)
		return;
	*pc = NULL;
	gr_cc__forget_all(c);
	gr_cc__computed_fini(c);
	gr_cc_walk_fini(&c->walk);
	gr_sha256_free(&c->sha);
	gr_buf_fini(&c->text);
	free(c->visited);
	free(c->stack);
	free(c);
}

void gr_cc_closure_fini(struct gr_cc_closure *out)
{
	free(out->files);
	free(out->links);
	free(out->dirs);
	free(out->gone);
	free(out->entries);
	free(out->outdirs);
	free(out->roots);
	free(out->leaves);
	memset(out, 0, sizeof(*out));
}

/* ---- the request ---- */
struct req {
	struct gr_cc_closer *c;
	const struct gr_cc_closure_in *in;
	struct gr_cc_closure *out;
	struct gr_cc__set *set;
	struct gr_cc__memo bag;           /* where roots and computed includes are resolved into */
	struct gr_cc_node **dirs;         /* the search list being made */
	uint32_t n_dirs, cap_dirs, n_quote;
};

static void verdict(struct req *r, enum gr_cc_closure_verdict v, const char *reason, const char *detail)
{
	if (r->out->verdict)
		return;
	r->out->verdict = v;
	r->out->reason = reason;
	snprintf(r->out->detail, sizeof(r->out->detail), "%s", detail ? detail : "");
}

static void local_at(struct req *r, const char *reason, const struct gr_cc_node *n)
{
	gr_buf_clear(&r->c->text);
	gr_cc_node_path(n, &r->c->text);
	verdict(r, GR_CC_CLOSURE_LOCAL, reason, gr_buf_str(&r->c->text));
}

static void list(struct gr_cc_closer *c, struct gr_cc_node ***a, uint32_t *n, uint32_t *cap, struct gr_cc_node *node)
{
	if (node->listed == c->epoch)
		return;
	node->listed = c->epoch;
	GR_GROW(*a, *cap, *n + 1);
	(*a)[(*n)++] = node;
}

/* A link, a directory or an absent one: to the list of its kind. */
static void list_extra(struct req *r, struct gr_cc_node *n)
{
	struct gr_cc_closure *out = r->out;

	if (r->in->tool && n->tool == r->in->tool)
		return;
	switch (n->kind) {
	case GR_CC_LINK:
		list(r->c, &out->links, &out->n_links, &out->cap_links, n);
		break;
	case GR_CC_DIR:
		list(r->c, &out->dirs, &out->n_dirs, &out->cap_dirs, n);
		break;
	case GR_CC_ABSENT:
		if (n->was_shipped)
			list(r->c, &out->gone, &out->n_gone, &out->cap_gone, n);
		break;
	default:
		break;
	}
}

static void list_walk(struct req *r)
{
	struct gr_cc_walk *w = &r->c->walk;

	for (uint32_t i = 0; i < w->n_links; i++)
		list_extra(r, w->links[i]);
	for (uint32_t i = 0; i < w->n_dirs; i++)
		list_extra(r, w->dirs[i]);
	if (w->file)
		list_extra(r, w->file);
}

static void list_file(struct req *r, struct gr_cc_node *content)
{
	if (!r->in->tool || content->tool != r->in->tool)
		list(r->c, &r->out->files, &r->out->n_files, &r->out->cap_files, content);
}

static struct gr_cc_node *walk(struct req *r, struct gr_cc_node *from, const char *path, size_t n)
{
	gr_cc_files_walk(r->c->files, from, path, n, &r->c->walk);
	list_walk(r);
	return r->c->walk.file;
}

static bool push(struct gr_cc_closer *c, struct gr_cc_node *entry)
{
	if (entry->seen == c->epoch)
		return false;
	entry->seen = c->epoch;
	GR_GROW(c->stack, c->cap_stack, c->n_stack + 1);
	c->stack[c->n_stack++] = entry;
	return true;
}

/* ---- the search list ---- */
static void add_dir(struct req *r, const char *path, size_t n)
{
	struct gr_cc_node *d = walk(r, r->out->cwd, path, n);

	if (!d || d->kind == GR_CC_ABSENT)
		return;
	if (d->kind != GR_CC_DIR) {
		verdict(r, GR_CC_CLOSURE_LOCAL, "search folder is no folder", path);
		return;
	}
	GR_GROW(r->dirs, r->cap_dirs, r->n_dirs + 1);
	r->dirs[r->n_dirs++] = d;
}

static void add_dirs(struct req *r, enum gr_cc_dir_kind kind)
{
	const struct gr_cc_cmd *cmd = r->in->cmd;

	for (uint32_t i = 0; i < cmd->n_dirs; i++)
		if (cmd->dirs[i].kind == kind)
			add_dir(r, cmd->dirs[i].path, cmd->dirs[i].n_path);
}

/* Takes those directories out of [from, to) that are in [other, other_end) too. */
static void drop_dups(struct req *r, uint32_t from, uint32_t to, uint32_t other, uint32_t other_end)
{
	uint32_t n = from, end = r->n_dirs;

	for (uint32_t i = from; i < end; i++) {
		bool is_dup = false;

		for (uint32_t k = other; i < to && k < other_end && !is_dup; k++)
			is_dup = r->dirs[k] == r->dirs[i];
		if (!is_dup)
			r->dirs[n++] = r->dirs[i];
		else
			r->n_dirs--;
	}
}

static void make_set(struct req *r)
{
	const struct gr_cc_cmd *cmd = r->in->cmd;
	const struct gr_cc_search *search = r->in->search;
	uint32_t i_system, n_list;

	/* system first, so that it can be compared with while the others are put in front */
	add_dirs(r, GR_CC_DIR_SYSTEM);
	for (uint32_t i = 0; search && i < search->n_dirs; i++)
		add_dir(r, search->dirs[i], strlen(search->dirs[i]));
	add_dirs(r, GR_CC_DIR_AFTER);
	i_system = r->n_dirs;
	add_dirs(r, GR_CC_DIR_QUOTE);
	r->n_quote = r->n_dirs - i_system;
	add_dirs(r, GR_CC_DIR_BRACKET);
	/* -I of a directory that is a system directory too is ignored; other repetitions change no first match */
	drop_dups(r, i_system + r->n_quote, r->n_dirs, 0, i_system);
	n_list = r->n_dirs;
	for (uint32_t i = 0; i < i_system; i++) {
		GR_GROW(r->dirs, r->cap_dirs, r->n_dirs + 1);
		r->dirs[r->n_dirs++] = r->dirs[i];
	}
	if (i_system)
		memmove(r->dirs, r->dirs + i_system, n_list * sizeof(*r->dirs));
	r->n_dirs = n_list;
	for (uint32_t i = 0; search && i < search->n_absent; i++) {
		const struct gr_cc_node *d = walk(r, r->out->cwd, search->absent[i], strlen(search->absent[i]));

		if (d && d->kind == GR_CC_DIR)
			verdict(r, GR_CC_CLOSURE_LOCAL, "the compiler's search list changed", search->absent[i]);
	}
	for (uint32_t i = 0; i < cmd->n_asm_dirs; i++)
		add_dir(r, cmd->asm_dirs[i], strlen(cmd->asm_dirs[i]));
	r->set = gr_cc__set_get(r->c, r->dirs, r->n_quote, n_list, r->n_dirs - n_list, r->out->cwd, cmd->lang == GR_CC_LANG_ASM);
	r->bag.set = r->set;
}

/* ---- roots ---- */
static void take_bag(struct req *r)
{
	struct gr_cc__memo *bag = &r->bag;
	struct gr_cc_closure *out = r->out;

	for (uint32_t i = 0; i < bag->n_edges; i++) {
		GR_GROW(out->roots, out->cap_roots, out->n_roots + 1);
		out->roots[out->n_roots++] = bag->edges[i];
		push(r->c, bag->edges[i]);
	}
	for (uint32_t i = 0; i < bag->n_extra; i++)
		list_extra(r, bag->extra[i]);
	bag->n_edges = bag->n_extra = 0;
}

static void add_leaf(struct req *r, struct gr_cc_node *entry)
{
	GR_GROW(r->out->leaves, r->out->cap_leaves, r->out->n_leaves + 1);
	r->out->leaves[r->out->n_leaves++] = entry;
}

/* The source, a plugin, a list: @path from cwd. */
static struct gr_cc_node *add_input(struct req *r, const char *path)
{
	struct gr_cc_node *file = walk(r, r->out->cwd, path, strlen(path));

	if (!file || file->kind != GR_CC_REG) {
		verdict(r, GR_CC_CLOSURE_LOCAL, file && file->kind != GR_CC_ABSENT ? "an input is no regular file" : "an input is missing", path);
		return NULL;
	}
	return r->c->walk.entry;
}

static void add_forced(struct req *r, const char *name)
{
	static const char *const pch[] = { ".gch", ".pch" };
	char path[4096];
	size_t n = strlen(name);

	for (size_t i = 0; i < GR_LEN(pch) && n + 5 <= sizeof(path); i++) {
		memcpy(path, name, n);
		memcpy(path + n, pch[i], 5);
		gr_cc__resolve(r->c, &r->bag, r->out->cwd, true, path, n + 4);
		if (r->bag.n_edges)
			verdict(r, GR_CC_CLOSURE_LOCAL, "precompiled header", path);
	}
	gr_cc__resolve(r->c, &r->bag, r->out->cwd, true, name, n);
	if (!r->bag.n_edges)
		verdict(r, GR_CC_CLOSURE_LOCAL, "an input is missing", name);
	take_bag(r);
}

/* One file of the preprocessor's list. How an include spelled it is not known: as seen from each search folder above it,
 * it is looked for as such an include would be, so that one that appears earlier is noticed. It counts for key 2. */
static void add_known(struct req *r, const char *path)
{
	struct gr_cc_node *entry = add_input(r, path), *dir;
	struct gr_buf name = { 0 }, whole = { 0 };

	if (!entry)
		return;
	GR_GROW(r->out->roots, r->out->cap_roots, r->out->n_roots + 1);
	r->out->roots[r->out->n_roots++] = entry;
	push(r->c, entry);
	gr_cc_node_path(entry, &whole);
	for (dir = entry->parent; dir; dir = dir->parent)
		for (uint32_t i = 0; i < r->set->n_dirs; i++) {
			if (r->set->dirs[i] != dir)
				continue;
			gr_buf_clear(&name);
			gr_cc_node_path(dir, &name);
			if (name.n > 1)
				gr_cc__resolve(r->c, &r->bag, NULL, false, gr_buf_str(&whole) + name.n + 1, whole.n - name.n - 1);
			break;
		}
	take_bag(r);
	gr_buf_fini(&name);
	gr_buf_fini(&whole);
}

static void add_roots(struct req *r)
{
	const struct gr_cc_cmd *cmd = r->in->cmd;
	struct gr_cc_node *source = add_input(r, cmd->source);

	if (!source)
		return;
	r->out->source = r->c->walk.file;
	list_file(r, r->out->source);
	push(r->c, source);
	GR_GROW(r->out->roots, r->out->cap_roots, r->out->n_roots + 1);
	r->out->roots[r->out->n_roots++] = source;
	for (uint32_t i = 0; i < cmd->n_forced; i++)
		add_forced(r, cmd->forced[i].name);
	if (!cmd->no_std_inc) {
		gr_cc__resolve(r->c, &r->bag, NULL, false, "stdc-predef.h", 13);
		take_bag(r);
	}
	for (uint32_t i = 0; i < cmd->n_inputs; i++) {
		struct gr_cc_node *entry = add_input(r, cmd->inputs[i]);

		if (entry) {
			gr_cc_node_watch_closely(r->c->walk.file);
			add_leaf(r, entry);
		}
	}
	for (uint32_t i = 0; i < r->in->n_known; i++)
		add_known(r, r->in->known[i]);
}

/* Names that a computed include looked for are not known, so that nothing may lie at the worker where nothing lies
 * here: whatever a session has ever had and is not a plain file now is said anew. */
static void list_shipped(struct req *r)
{
	struct gr_cc_node *n;

	for (uint32_t id = 0; (n = gr_cc_files_by_id(r->c->files, id)); id++)
		if (n->was_shipped && gr_cc_node_check(r->c->files, n) != GR_CC_REG)
			list_extra(r, n);
}

static void add_outdirs(struct req *r)
{
	const struct gr_cc_cmd *cmd = r->in->cmd;
	struct gr_cc_closure *out = r->out;

	for (uint32_t i = 0; i < cmd->n_outputs; i++) {
		const char *path = cmd->outputs[i].path, *slash = strrchr(path, '/');
		struct gr_cc_node *d = slash ? walk(r, out->cwd, path, slash == path ? 1 : (size_t)(slash - path)) : out->cwd;

		if (!d || d->kind != GR_CC_DIR) {
			verdict(r, GR_CC_CLOSURE_LOCAL, "output folder is missing", path);
			return;
		}
		GR_GROW(out->outdirs, out->cap_outdirs, out->n_outdirs + 1);
		out->outdirs[out->n_outdirs++] = d;
	}
}

/* ---- the walk ---- */
static void visit(struct req *r, struct gr_cc_node *entry)
{
	struct gr_cc_closer *c = r->c;
	struct gr_cc_closure *out = r->out;
	struct gr_cc__memo *m = gr_cc__memo_get(c, entry, r->set, out->n_entries == 0);

	if (m->trouble) {
		local_at(r, m->trouble, entry);
		return;
	}
	GR_GROW(out->entries, out->cap_entries, out->n_entries + 1);
	out->entries[out->n_entries++] = entry;
	GR_GROW(c->visited, c->cap_visited, c->n_visited + 1);
	c->visited[c->n_visited++] = m;
	out->flags |= m->flags;
	list_file(r, m->content);
	for (uint32_t i = 0; i < m->n_edges; i++)
		push(c, m->edges[i]);
	for (uint32_t i = 0; i < m->n_extra; i++)
		list_extra(r, m->extra[i]);
	for (uint32_t i = 0; i < m->n_leaves; i++)
		add_leaf(r, m->leaves[i]);
}

static void run(struct req *r)
{
	struct gr_cc_closer *c = r->c;
	uint32_t n_roots = r->out->n_roots;

	do {
		const char *reason = NULL, *detail = NULL;
		int rc;

		for (size_t i = 0; i < c->n_stack && !r->out->verdict; i++) {
			visit(r, c->stack[i]);
			if (c->n_stack > MAX_ENTRIES)
				verdict(r, GR_CC_CLOSURE_LOCAL, "too many inputs", NULL);
		}
		c->n_stack = 0;
		if (r->out->verdict)
			return;
		rc = gr_cc__computed(c, r->in, &r->bag, &reason, &detail);
		if (rc)
			verdict(r, (enum gr_cc_closure_verdict)rc, reason, detail);
		/* each round finds what the round before did, and perhaps more */
		r->out->n_roots = n_roots;
		take_bag(r);
	} while (c->n_stack && !r->out->verdict);
}

static void add_leaves(struct req *r)
{
	struct gr_cc_closure *out = r->out;

	for (uint32_t i = 0; i < out->n_leaves && !out->verdict; i++) {
		struct gr_cc_node *entry = out->leaves[i], *file;

		if (gr_cc_node_check(r->c->files, entry) == GR_CC_LINK)
			file = walk(r, entry->parent, entry->name, entry->n_name);
		else
			file = entry;
		if (!file || gr_cc_node_digest(r->c->files, file) < 0)
			local_at(r, "an input cannot be read", entry);
		else
			list_file(r, file);
	}
}

static void check_dates(struct req *r)
{
	const struct gr_cc_cmd *cmd = r->in->cmd;
	uint32_t flags = r->out->flags & (GR_CC_SCAN_DATE | GR_CC_SCAN_TIME);

	for (uint32_t i = 0; i < cmd->n_defines && flags; i++) {
		if (!strncmp(cmd->defines[i].text, "__DATE__=", 9))
			flags &= ~(uint32_t)GR_CC_SCAN_DATE;
		if (!strncmp(cmd->defines[i].text, "__TIME__=", 9))
			flags &= ~(uint32_t)GR_CC_SCAN_TIME;
	}
	/* clang before 16 has no SOURCE_DATE_EPOCH */
	if (flags && (!cmd->has_date_macros_epoch || cmd->family != GR_CC_GCC))
		verdict(r, GR_CC_CLOSURE_LOCAL, "__DATE__ or __TIME__", NULL);
	if (r->out->flags & GR_CC_SCAN_TIMESTAMP)
		verdict(r, GR_CC_CLOSURE_LOCAL, "__TIMESTAMP__", NULL);
	if (r->out->flags & GR_CC_SCAN_EMBED)
		verdict(r, GR_CC_CLOSURE_LOCAL, "#embed", NULL);
	if (r->out->flags & GR_CC_SCAN_PCH)
		verdict(r, GR_CC_CLOSURE_LOCAL, "#pragma that reads a file", NULL);
}

void gr_cc_closure_of(struct gr_cc_closer *c, const struct gr_cc_closure_in *in, struct gr_cc_closure *out)
{
	struct req r = { .c = c, .in = in, .out = out };

	if (c->n_memos > MAX_MEMOS || c->sets.n > MAX_SETS)
		gr_cc__forget_all(c);
	if (++c->epoch == 0)
		c->epoch = 1;
	c->n_visited = c->n_stack = 0;
	out->verdict = 0;
	out->reason = "";
	out->detail[0] = 0;
	out->source = NULL;
	out->flags = 0;
	out->n_files = out->n_links = out->n_dirs = out->n_gone = out->n_entries = out->n_outdirs = out->n_roots = out->n_leaves = 0;
	out->cwd = NULL;
	gr_cc_files_walk(c->files, gr_cc_files_root(c->files), in->cwd, strlen(in->cwd), &c->walk);
	list_walk(&r);
	out->cwd = c->walk.file;
	if (in->cwd[0] != '/' || !out->cwd || out->cwd->kind != GR_CC_DIR) {
		verdict(&r, GR_CC_CLOSURE_LOCAL, "current folder is gone", in->cwd);
		return;
	}
	make_set(&r);
	out->search = r.set;
	add_outdirs(&r);
	if (!out->verdict)
		add_roots(&r);
	if (!out->verdict)
		run(&r);
	if (!out->verdict && in->known)
		list_shipped(&r);
	add_leaves(&r);
	check_dates(&r);
	if (!out->verdict)
		out->verdict = GR_CC_CLOSURE_OK;
	free(r.dirs);
	free(r.bag.edges);
	free(r.bag.extra);
}

/* ---- key 2 ---- */
static void hash_path(struct gr_cc_closer *c, const struct gr_cc_node *n)
{
	gr_buf_clear(&c->text);
	gr_cc_node_path(n, &c->text);
	gr_sha256_add_str(c->sha, gr_buf_str(&c->text));
}

static void memo_key(struct gr_cc_closer *c, struct gr_cc__memo *m)
{
	hash_path(c, m->entry);
	gr_sha256_add(c->sha, m->content->digest.b, GR_DIGEST_BYTES);
	for (uint32_t i = 0; i < m->n_edges; i++)
		hash_path(c, m->edges[i]);
	gr_sha256_end(c->sha, &m->key);
	m->has_key = true;
}

int gr_cc_closure_key2(struct gr_cc_closer *c, const struct gr_cc_closure *cl, const struct gr_digest *key1,
		       struct gr_cc_node *const *read, uint32_t n, struct gr_digest *out)
{
	struct gr_cc__set *set = cl->search;
	struct gr_sha256 *sum;
	int rc = 0;

	if (cl->verdict != GR_CC_CLOSURE_OK)
		return GR_ESTATE;
	sum = gr_sha256_new();
	gr_sha256_add(sum, key1->b, GR_DIGEST_BYTES);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		struct gr_cc__memo *m = gr_cc__memo_get(c, read[i], set, false);

		if (m->trouble || !m->content) {
			rc = GR_ENOENT;
			break;
		}
		if (!m->has_key)
			memo_key(c, m);
		gr_sha256_add(sum, m->key.b, GR_DIGEST_BYTES);
	}
	for (uint32_t i = 0; i < cl->n_roots; i++)
		hash_path(c, cl->roots[i]);
	for (uint32_t i = 0; i < cl->n_leaves && rc == 0; i++) {
		struct gr_cc_node *file = cl->leaves[i];

		hash_path(c, file);
		if (file->kind == GR_CC_LINK) {
			gr_cc_files_walk(c->files, file->parent, file->name, file->n_name, &c->walk);
			file = c->walk.file;
		}
		rc = file ? gr_cc_node_digest(c->files, file) : GR_ENOENT;
		if (rc == 0)
			gr_sha256_add(c->sha, file->digest.b, GR_DIGEST_BYTES);
	}
	gr_sha256_end(c->sha, out);
	gr_sha256_add(sum, out->b, GR_DIGEST_BYTES);
	gr_sha256_end(sum, out);
	gr_sha256_free(&sum);
	return rc;
}
