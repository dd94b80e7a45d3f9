/**
 * resolve - names to files, as gcc and clang search, remembered
 *
 * gr_cc__set_find is the memory of (search list, name), gr_cc__memo_get of (file, search list). Both are good as long
 * as names_gen stands still (and the file's version, for memos); what went through directories that are not watched is
 * made anew on each request, which looks at each of its names once.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/cc/closer.h"

#define MAX_ASM_FILES 256        /* .include inside .include */

void gr_cc__add(struct gr_cc_node ***a, uint32_t *n, uint32_t *cap, struct gr_cc_node *node)
{
	for (uint32_t i = *n; i-- > 0 && *n - i <= 64;)
		if ((*a)[i] == node)
			return;
	GR_GROW(*a, *cap, *n + 1);
	(*a)[(*n)++] = node;
}

/* ---- search lists ---- */
struct gr_cc__set *gr_cc__set_get(struct gr_cc_closer *c, struct gr_cc_node **dirs, uint32_t n_quote, uint32_t n_dirs, uint32_t n_asm,
				  struct gr_cc_node *cwd, bool is_asm)
{
	uint32_t n = n_dirs + n_asm, key_buf[512], *key = key_buf, n_key = n + 5;
	struct gr_cc__set *set;

	if (n_key > GR_LEN(key_buf))
		key = gr_xalloc(n_key * sizeof(*key));
	key[0] = n_quote;
	key[1] = n_dirs;
	key[2] = n_asm;
	key[3] = cwd->id;
	key[4] = is_asm;
	for (uint32_t i = 0; i < n; i++)
		key[5 + i] = dirs[i]->id;
	set = gr_map_get(&c->sets, key, n_key * sizeof(*key));
	if (!set) {
		GR_NEW(set);
		set->n_dirs = n_dirs;
		set->n_quote = n_quote;
		set->n_asm = n_asm;
		set->is_asm = is_asm;
		set->cwd = cwd;
		set->dirs = gr_xmemdup(dirs, n * sizeof(*dirs));
		set->key = gr_xmemdup(key, n_key * sizeof(*key));
		set->n_key = n_key;
		gr_map_put(&c->sets, set->key, n_key * sizeof(*key), set);
	}
	if (key != key_buf)
		free(key);
	return set;
}

static void found_free(struct gr_cc__found *f)
{
	free(f->extra);
	free(f);
}

static void drop_defs(struct gr_cc__memo *m)
{
	for (uint32_t i = 0; i < m->n_defs; i++)
		free(m->defs[i]);
	m->n_defs = 0;
	m->wanted_gen = 0;
}

static void memo_clear(struct gr_cc__memo *m)
{
	m->n_edges = m->n_leaves = m->n_extra = m->n_sites = 0;
	m->flags = 0;
	m->trouble = NULL;
	m->is_volatile = false;
}

void gr_cc__forget_all(struct gr_cc_closer *c)
{
	struct gr_cc_node *n;
	struct gr_cc__set *set;
	size_t at = 0;

	for (uint32_t id = 0; (n = gr_cc_files_by_id(c->files, id)); id++) {
		for (struct gr_cc__memo *m = n->memo, *next; m; m = next) {
			next = m->next;
			drop_defs(m);
			free(m->edges);
			free(m->leaves);
			free(m->extra);
			free(m->sites);
			free(m->defs);
			free(m);
		}
		n->memo = NULL;
	}
	c->n_memos = 0;
	while ((set = gr_map_each(&c->sets, &at))) {
		struct gr_cc__found *f;
		size_t i = 0;

		while ((f = gr_map_each(&set->found, &i)))
			found_free(f);
		gr_map_fini(&set->found);
		free(set->dirs);
		free(set->key);
		free(set);
	}
	gr_map_fini(&c->sets);
}

/* ---- one name ---- */
struct hit {
	struct gr_cc_node *entry;
	bool is_volatile;
};

/* Opens @name in @dir as a header search does: a directory of that name is passed over. What the way needed is put
 * on @extra. */
static struct hit try_dir(struct gr_cc_closer *c, struct gr_cc_node *dir, const char *name, size_t n,
			  struct gr_cc_node ***extra, uint32_t *n_extra, uint32_t *cap_extra)
{
	struct gr_cc_walk *w = &c->walk;
	struct hit hit = { NULL, dir->is_volatile };

	gr_cc_files_walk(c->files, dir, name, n, w);
	for (uint32_t i = 0; i < w->n_links; i++) {
		gr_cc__add(extra, n_extra, cap_extra, w->links[i]);
		hit.is_volatile |= w->links[i]->is_volatile;
	}
	for (uint32_t i = 0; i < w->n_dirs; i++) {
		gr_cc__add(extra, n_extra, cap_extra, w->dirs[i]);
		hit.is_volatile |= w->dirs[i]->is_volatile;
	}
	if (w->entry)
		hit.is_volatile |= w->entry->is_volatile;
	if (w->file) {
		hit.is_volatile |= w->file->is_volatile;
		if (w->file->kind == GR_CC_ABSENT && w->file->was_shipped)
			gr_cc__add(extra, n_extra, cap_extra, w->file);
		else if (w->file->kind != GR_CC_ABSENT && w->file->kind != GR_CC_DIR)
			hit.entry = w->entry;
	}
	return hit;
}

const struct gr_cc__found *gr_cc__set_find(struct gr_cc_closer *c, struct gr_cc__set *set, bool is_quote, const char *name, size_t n)
{
	uint64_t gen = gr_cc_files_names_gen(c->files);
	struct gr_cc__found *f;
	char key[4096];
	uint32_t i;

	if (n + 1 > sizeof(key))
		n = sizeof(key) - 1;       /* longer than any path: absent in any case */
	is_quote = is_quote && set->n_quote;
	key[0] = is_quote ? 'q' : '<';
	memcpy(key + 1, name, n);
	f = gr_map_get(&set->found, key, n + 1);
	if (f && f->names_gen == gen && !f->is_volatile)
		return f;
	if (!f) {
		f = gr_xalloc(sizeof(*f) + n + 1);
		memcpy(f->name, key, n + 1);
		f->n_name = (uint32_t)n + 1;
		gr_map_put(&set->found, f->name, f->n_name, f);
	}
	f->names_gen = gen;
	f->is_volatile = false;
	f->entry = NULL;
	f->n_extra = 0;
	for (i = is_quote ? 0 : set->n_quote; i < set->n_dirs && !f->entry; i++) {
		struct hit hit = try_dir(c, set->dirs[i], name, n, &f->extra, &f->n_extra, &f->cap_extra);

		f->is_volatile |= hit.is_volatile;
		f->entry = hit.entry;
	}
	/* a walk can find that an entry changed: then this answer is already old, and the next request makes it again */
	return f;
}

static void take_found(struct gr_cc__memo *m, const struct gr_cc__found *f)
{
	for (uint32_t i = 0; i < f->n_extra; i++)
		gr_cc__add(&m->extra, &m->n_extra, &m->cap_extra, f->extra[i]);
	m->is_volatile |= f->is_volatile;
	if (f->entry)
		gr_cc__add(&m->edges, &m->n_edges, &m->cap_edges, f->entry);
}

static bool try_into(struct gr_cc_closer *c, struct gr_cc__memo *m, struct gr_cc_node *dir, const char *name, size_t n)
{
	struct hit hit = try_dir(c, dir, name, n, &m->extra, &m->n_extra, &m->cap_extra);

	m->is_volatile |= hit.is_volatile;
	if (hit.entry)
		gr_cc__add(&m->edges, &m->n_edges, &m->cap_edges, hit.entry);
	return hit.entry != NULL;
}

void gr_cc__resolve(struct gr_cc_closer *c, struct gr_cc__memo *m, struct gr_cc_node *dir, bool is_quote, const char *name, size_t n)
{
	if (name[0] == '/') {
		try_into(c, m, m->set->cwd, name, n);
		return;
	}
	if (is_quote && dir && try_into(c, m, dir, name, n))
		return;
	take_found(m, gr_cc__set_find(c, m->set, is_quote, name, n));
}

/* #include_next: where the includer was found is not part of a memo, so every file of that name is taken. */
static void resolve_next(struct gr_cc_closer *c, struct gr_cc__memo *m, struct gr_cc_node *dir, bool is_quote, const char *name, size_t n)
{
	if (name[0] == '/' || (is_quote && dir))
		try_into(c, m, dir ? dir : m->set->cwd, name, n);
	if (name[0] != '/')
		for (uint32_t i = 0; i < m->set->n_dirs; i++)
			try_into(c, m, m->set->dirs[i], name, n);
}

/* ---- what `as` opens ---- */
struct asm_job {
	uint32_t n_files;
};
static void asm_file(struct gr_cc_closer *c, struct gr_cc__memo *m, struct asm_job *job, struct gr_cc_node *entry);
static struct gr_cc_node *follow(struct gr_cc_closer *c, struct gr_cc_node *entry);

static void asm_name(struct gr_cc_closer *c, struct gr_cc__memo *m, struct asm_job *job, bool is_incbin, const char *name, size_t n)
{
	struct gr_cc__set *set = m->set;

	/* cwd, then -I: all that exist are taken, whichever as finds first */
	for (uint32_t i = 0; i <= set->n_asm; i++) {
		struct gr_cc_node *dir = i ? set->dirs[set->n_dirs + i - 1] : set->cwd;
		struct hit hit = try_dir(c, dir, name, n, &m->extra, &m->n_extra, &m->cap_extra);
		struct gr_cc_node *content;

		m->is_volatile |= hit.is_volatile;
		if (!hit.entry)
			continue;
		content = follow(c, hit.entry);
		if (content)
			gr_cc_node_watch_closely(content);
		gr_cc__add(&m->leaves, &m->n_leaves, &m->cap_leaves, hit.entry);
		if (!is_incbin)
			asm_file(c, m, job, hit.entry);
	}
}

static void asm_incs(struct gr_cc_closer *c, struct gr_cc__memo *m, struct asm_job *job, const struct gr_cc_scan *scan, bool in_strings)
{
	for (uint32_t i = 0; i < scan->n_inc; i++) {
		const struct gr_cc_inc *inc = &scan->inc[i];
		bool is_str = inc->kind == GR_CC_INC_STR_INCLUDE || inc->kind == GR_CC_INC_STR_INCBIN;
		bool is_bare = inc->kind == GR_CC_INC_ASM_INCLUDE || inc->kind == GR_CC_INC_ASM_INCBIN;
		bool is_incbin = inc->kind == GR_CC_INC_STR_INCBIN || inc->kind == GR_CC_INC_ASM_INCBIN;

		if (in_strings ? !is_str : !is_bare)
			continue;
		if (inc->form == GR_CC_FORM_COMPUTED)
			m->trouble = is_incbin ? ".incbin of a computed name" : ".include of a computed name";
		else
			asm_name(c, m, job, is_incbin, scan->text + inc->off, inc->len);
	}
}

static void asm_file(struct gr_cc_closer *c, struct gr_cc__memo *m, struct asm_job *job, struct gr_cc_node *entry)
{
	struct gr_cc_node *content = follow(c, entry);
	const struct gr_cc_scan *scan;

	/* the included text's own version is not in the memo: make it anew each time */
	m->is_volatile = true;
	if (++job->n_files > MAX_ASM_FILES) {
		m->trouble = "too many .include files";
		return;
	}
	if (content && content->kind == GR_CC_REG && gr_cc_node_scan(c->files, content, &scan) == 0)
		asm_incs(c, m, job, scan, false);
}

/* ---- memos ---- */
/* The file behind an entry; the links on the way are not noted here but by gr_cc__memo_get. */
static struct gr_cc_node *follow(struct gr_cc_closer *c, struct gr_cc_node *entry)
{
	if (gr_cc_node_check(c->files, entry) != GR_CC_LINK)
		return entry;
	gr_cc_files_walk(c->files, entry->parent, entry->name, entry->n_name, &c->walk);
	return c->walk.file;
}

/* gcc looks for NAME.gch beside every place it looks for the first header; which include comes first is not known. */
static void look_for_pch(struct gr_cc_closer *c, struct gr_cc__memo *m, struct gr_cc_node *dir, const struct gr_cc_scan *scan)
{
	char name[4096];

	for (uint32_t i = 0; i < scan->n_inc; i++) {
		const struct gr_cc_inc *inc = &scan->inc[i];
		const char *s = scan->text + inc->off;
		uint32_t n_edges = m->n_edges;

		if (inc->kind > GR_CC_INC_IMPORT || inc->form == GR_CC_FORM_COMPUTED || inc->len + 5 > sizeof(name) || s[0] == '/')
			continue;
		memcpy(name, s, inc->len);
		memcpy(name + inc->len, ".gch", 5);
		if (inc->form == GR_CC_FORM_QUOTE)
			try_into(c, m, dir, name, inc->len + 4);
		take_found(m, gr_cc__set_find(c, m->set, inc->form == GR_CC_FORM_QUOTE, name, inc->len + 4));
		if (m->n_edges > n_edges) {
			m->trouble = "precompiled header";
			m->n_edges = n_edges;
		}
	}
}

static void build(struct gr_cc_closer *c, struct gr_cc__memo *m, struct gr_cc_node *entry)
{
	const struct gr_cc_scan *scan;
	struct asm_job job = { 0 };
	struct gr_cc_node *dir = entry->parent;
	int rc;

	rc = m->content ? gr_cc_node_scan(c->files, m->content, &scan) : GR_ENOENT;
	if (rc < 0) {
		m->trouble = rc == GR_ENOENT ? "an input is no regular file" : rc == GR_EBUSY ? "an input changes while it is read" :
			     rc == GR_ELIMIT ? "an input is too large" : "an input cannot be read";
		m->is_volatile = true;
		return;
	}
	m->version = m->content->version;
	m->flags = scan->flags;
	for (uint32_t i = 0; i < scan->n_inc; i++) {
		const struct gr_cc_inc *inc = &scan->inc[i];
		const char *name = scan->text + inc->off;

		if (inc->kind > GR_CC_INC_HAS_NEXT)
			continue;
		if (inc->form == GR_CC_FORM_COMPUTED) {
			GR_GROW(m->sites, m->cap_sites, m->n_sites + 1);
			m->sites[m->n_sites++] = (struct gr_cc__site){ name, inc->kind };
		} else if (inc->kind == GR_CC_INC_NEXT || inc->kind == GR_CC_INC_HAS_NEXT) {
			resolve_next(c, m, dir, inc->form == GR_CC_FORM_QUOTE, name, inc->len);
		} else {
			gr_cc__resolve(c, m, dir, inc->form == GR_CC_FORM_QUOTE, name, inc->len);
		}
	}
	if (m->is_root)
		look_for_pch(c, m, dir, scan);
	asm_incs(c, m, &job, scan, !m->set->is_asm);
}

struct gr_cc__memo *gr_cc__memo_get(struct gr_cc_closer *c, struct gr_cc_node *entry, struct gr_cc__set *set, bool is_root)
{
	uint64_t gen = gr_cc_files_names_gen(c->files);
	struct gr_cc_node *had_content;
	struct gr_cc__memo *m;
	uint32_t had_version;

	for (m = entry->memo; m && m->set != set; m = m->next)
		;
	if (m && m->names_gen == gen && !m->is_volatile && m->is_root >= is_root) {
		if (gr_cc_node_is_settled(m->content) && m->content->version == m->version)
			return m;
		/* the content must be looked at: a changed one changes the version */
		if (gr_cc_node_digest(c->files, m->content) == 0 && m->content->version == m->version &&
		    gr_cc_files_names_gen(c->files) == gen)
			return m;
		gen = gr_cc_files_names_gen(c->files);
	}
	if (!m) {
		GR_NEW(m);
		m->set = set;
		m->entry = entry;
		m->next = entry->memo;
		entry->memo = m;
		c->n_memos++;
	}
	had_content = m->content;
	had_version = m->version;
	memo_clear(m);
	m->has_key = false;
	m->is_root |= is_root;
	m->names_gen = gen;
	m->content = follow(c, entry);
	if (entry->kind == GR_CC_LINK)
		for (uint32_t i = 0; i < c->walk.n_links; i++)
			gr_cc__add(&m->extra, &m->n_extra, &m->cap_extra, c->walk.links[i]);
	if (entry->kind == GR_CC_LINK)
		for (uint32_t i = 0; i < c->walk.n_dirs; i++)
			gr_cc__add(&m->extra, &m->n_extra, &m->cap_extra, c->walk.dirs[i]);
	if (m->content && m->content->kind != GR_CC_REG)
		m->content = NULL;
	build(c, m, entry);
	/* other names elsewhere do not change what the text defines */
	if (m->content != had_content || m->version != had_version)
		drop_defs(m);
	if (entry->is_volatile || (m->content && m->content->is_volatile))
		m->is_volatile = true;
	return m;
}
