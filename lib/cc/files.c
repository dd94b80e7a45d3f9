/**
 * files - see files.h. A map from (parent id, name) to a node, like the kernel's dentry cache, negative entries
 * included. Order matters in two places: a directory is watched before the first of its entries is looked at, and an
 * event's entry is looked at again before anything else is answered, so that names_gen is right when drain returns.
 *
 * What is not seen: a mount over a directory in use; a hard link to a file that had only one name made elsewhere and
 * written through later. Not kept: a watch per file (the kernel limits them, and a name that appears has none).
 */
#include "lib/cc/files.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

#define YOUNG_NS 20000000ll              /* above any kernel's clock tick */
#define YOUNG_REMOTE_NS 3000000000ll     /* a server's clock, a second's resolution */
#define MAX_LINKS 40
#define MAX_PATH 4096
#define MAX_EVENTS 256
#define READ_TRIES 4

enum { WATCH_NONE, WATCH_NAMES, WATCH_CONTENT, WATCH_CANNOT };

struct gr_cc_files {
	struct gr_cc_fs fs;
	struct gr_map names;             /* parent id, name -> node */
	struct gr_map watches;           /* wd -> directory node */
	struct gr_cc_node **nodes;       /* by id */
	size_t n_nodes, cap_nodes;
	struct gr_cc_node *root;
	struct gr_cc_node *suspects;
	uint64_t names_gen;
	uint32_t request;
	int64_t now_ns;
	struct gr_buf path;              /* scratch */
	struct gr_buf text;              /* scratch: content of text_of */
	struct gr_cc_node *text_of;
	struct gr_cc_files_stats stats;
};

/* The map's key lies in front of the name: [parent id][name]. */
struct name_key {
	uint32_t parent;
	char name[256];
};

static struct gr_cc_node *node_new(struct gr_cc_files *f, struct gr_cc_node *parent, const char *name, size_t n)
{
	struct gr_cc_node *node = gr_xalloc(sizeof(*node) + sizeof(uint32_t) + n + 1);
	char *key = (char *)(node + 1);
	uint32_t parent_id = parent ? parent->id : UINT32_MAX;

	memcpy(key, &parent_id, sizeof(parent_id));
	memcpy(key + sizeof(parent_id), name, n);
	node->parent = parent;
	node->name = key + sizeof(parent_id);
	node->n_name = (uint32_t)n;
	node->id = (uint32_t)f->n_nodes;
	node->wd = -1;
	if (parent) {
		node->tool = parent->tool;
		node->next_sibling = parent->children;
		parent->children = node;
	}
	GR_GROW(f->nodes, f->cap_nodes, f->n_nodes + 1);
	f->nodes[f->n_nodes++] = node;
	gr_map_put(&f->names, key, sizeof(parent_id) + n, node);
	return node;
}

struct gr_cc_files *gr_cc_files_new(struct gr_cc_fs *fs)
{
	struct gr_cc_files *f;

	GR_NEW(f);
	f->fs = *fs;
	memset(fs, 0, sizeof(*fs));
	f->names_gen = 1;
	f->request = 1;
	f->root = node_new(f, NULL, "", 0);
	f->root->kind = GR_CC_DIR;
	return f;
}

void gr_cc_files_free(struct gr_cc_files **pf)
{
	struct gr_cc_files *f = *pf;

	if (!f)
		return;
	*pf = NULL;
	for (size_t i = 0; i < f->n_nodes; i++) {
		free(f->nodes[i]->scan);
		free((char *)(uintptr_t)f->nodes[i]->target);
		free(f->nodes[i]);
	}
	free(f->nodes);
	gr_map_fini(&f->names);
	gr_map_fini(&f->watches);
	gr_buf_fini(&f->path);
	gr_buf_fini(&f->text);
	f->fs.fini(f->fs.ctx);
	free(f);
}

int gr_cc_files_fd(const struct gr_cc_files *f) { return f->fs.fd(f->fs.ctx); }
struct gr_cc_node *gr_cc_files_root(const struct gr_cc_files *f) { return f->root; }
uint64_t gr_cc_files_names_gen(const struct gr_cc_files *f) { return f->names_gen; }
struct gr_cc_node *gr_cc_files_by_id(const struct gr_cc_files *f, uint32_t id) { return id < f->n_nodes ? f->nodes[id] : NULL; }

void gr_cc_files_stats(const struct gr_cc_files *f, struct gr_cc_files_stats *out)
{
	*out = f->stats;
	out->n_nodes = f->n_nodes;
	out->n_dirs_watched = f->watches.n;
}

void gr_cc_node_path(const struct gr_cc_node *n, struct gr_buf *out)
{
	const struct gr_cc_node *a;
	size_t len = 0;
	uint8_t *p;

	if (!n->parent) {
		gr_buf_add_byte(out, '/');
		return;
	}
	for (a = n; a->parent; a = a->parent)
		len += 1 + a->n_name;
	gr_buf_reserve(out, len);
	p = out->p + out->n + len;
	out->n += len;
	*p = 0;
	for (a = n; a->parent; a = a->parent) {
		p -= a->n_name;
		memcpy(p, a->name, a->n_name);
		*--p = '/';
	}
}

static const char *path_of(struct gr_cc_files *f, const struct gr_cc_node *n)
{
	gr_buf_clear(&f->path);
	gr_cc_node_path(n, &f->path);
	return gr_buf_str(&f->path);
}

/* ---- watches ---- */
static void unwatch(struct gr_cc_files *f, struct gr_cc_node *dir)
{
	if (dir->watch == WATCH_NAMES || dir->watch == WATCH_CONTENT) {
		gr_map_del(&f->watches, &dir->wd, sizeof(dir->wd));
		f->fs.unwatch(f->fs.ctx, dir->wd);
	}
	dir->watch = WATCH_NONE;
	dir->wd = -1;
}

static void watch(struct gr_cc_files *f, struct gr_cc_node *dir, bool with_content)
{
	uint8_t want = with_content ? WATCH_CONTENT : WATCH_NAMES;
	struct gr_cc_node *other;
	int wd;

	if (dir->watch >= want)
		return;
	wd = f->fs.watch(f->fs.ctx, path_of(f, dir), with_content);
	if (wd >= 0) {
		/* the same directory by another way (a bind mount): its events go to the first */
		other = gr_map_get(&f->watches, &wd, sizeof(wd));
		if (!other || other == dir) {
			dir->wd = wd;
			dir->watch = want;
			gr_map_put(&f->watches, &dir->wd, sizeof(dir->wd), dir);
			return;
		}
	} else {
		f->stats.n_watch_failed++;
	}
	unwatch(f, dir);
	dir->watch = WATCH_CANNOT;
}

/* ---- looking at one entry ---- */
static void forget_below(struct gr_cc_files *f, struct gr_cc_node *dir)
{
	unwatch(f, dir);
	for (struct gr_cc_node *c = dir->children; c; c = c->next_sibling) {
		c->is_suspect = true;
		c->checked_at = 0;
		if (c->kind == GR_CC_DIR)
			forget_below(f, c);
		if (c->kind != GR_CC_UNKNOWN) {
			c->kind = GR_CC_UNKNOWN;
			c->version++;
		}
	}
	f->names_gen++;
}

static void set_kind(struct gr_cc_files *f, struct gr_cc_node *n, uint8_t kind)
{
	if (n->kind == kind)
		return;
	if (n->kind == GR_CC_DIR)
		forget_below(f, n);
	if (n->kind != GR_CC_UNKNOWN) {
		f->names_gen++;
		n->version++;
	}
	n->kind = kind;
}

static bool same_file(const struct gr_cc_node *n, const struct gr_cc_stat *st)
{
	return n->ino == st->ino && n->dev == st->dev && n->size == st->size && n->mtime_ns == st->mtime_ns && n->ctime_ns == st->ctime_ns;
}

static void take_stat(struct gr_cc_files *f, struct gr_cc_node *n, const struct gr_cc_stat *st)
{
	n->ino = st->ino;
	n->dev = st->dev;
	n->size = st->size;
	n->mtime_ns = st->mtime_ns;
	n->ctime_ns = st->ctime_ns;
	n->nlink = st->nlink;
	if (n->is_exec != st->is_exec) {
		n->is_exec = st->is_exec;
		n->version++;
	}
}

static void take_target(struct gr_cc_files *f, struct gr_cc_node *n)
{
	struct gr_buf target = { 0 };
	size_t len;
	char *text;

	if (f->fs.readlink(f->fs.ctx, path_of(f, n), &target) < 0 || !target.n || memchr(target.p, 0, target.n)) {
		gr_buf_fini(&target);
		set_kind(f, n, GR_CC_DENIED);
		return;
	}
	text = gr_buf_take(&target, &len);
	if (n->target && !strcmp(n->target, text)) {
		free(text);
		return;
	}
	if (n->target) {
		f->names_gen++;
		n->version++;
		free((char *)(uintptr_t)n->target);
	}
	n->target = text;
}

/* Whatever is known of @n is put right by lstat. */
static void look(struct gr_cc_files *f, struct gr_cc_node *n)
{
	struct gr_cc_stat st;

	n->is_suspect = false;
	n->checked_at = f->request;
	if (!n->parent)
		return;
	if (gr_cc_node_check(f, n->parent) != GR_CC_DIR) {
		set_kind(f, n, n->parent->kind == GR_CC_DENIED ? GR_CC_DENIED : GR_CC_ABSENT);
		n->is_volatile = n->parent->is_volatile;
		/* nothing watches for it until its folder is one: ask the folder each time */
		n->is_suspect = true;
		return;
	}
	watch(f, n->parent, false);
	n->is_volatile = n->parent->is_volatile || n->parent->watch == WATCH_CANNOT;
	f->stats.n_stat++;
	f->fs.lstat(f->fs.ctx, path_of(f, n), &st);
	if (st.kind == GR_CC_DIR && n->kind == GR_CC_DIR && (n->ino != st.ino || n->dev != st.dev)) {
		forget_below(f, n);
		n->version++;
	}
	set_kind(f, n, st.kind);
	if (st.kind == GR_CC_LINK)
		take_target(f, n);
	if (st.kind == GR_CC_REG && n->has_digest && !same_file(n, &st))
		n->has_digest = false;
	/* size and times of a file are kept of the moment it was read, to compare with */
	if (st.kind != GR_CC_REG || !n->has_digest)
		take_stat(f, n, &st);
}

int gr_cc_node_check(struct gr_cc_files *f, struct gr_cc_node *n)
{
	if (n->kind == GR_CC_UNKNOWN || n->is_suspect || (n->is_volatile && n->checked_at != f->request))
		look(f, n);
	return n->kind;
}

/* ---- content ---- */
/* A file whose text was kept may grow the scratch to its size: give a large one back. */
static void shrink(struct gr_cc_files *f)
{
	if (f->text.cap > (4u << 20) && !f->text_of)
		gr_buf_fini(&f->text);
}

static int read_node(struct gr_cc_files *f, struct gr_cc_node *n, struct gr_buf *out, struct gr_cc_stat *st)
{
	int rc = GR_EBUSY;

	watch(f, n->parent, true);
	for (int i = 0; i < READ_TRIES && rc == GR_EBUSY; i++) {
		rc = f->fs.read(f->fs.ctx, path_of(f, n), GR_CC_MAX_FILE_BYTES, out, st);
		f->stats.n_read++;
	}
	if (rc == 0)
		f->stats.read_bytes += st->size;
	return rc;
}

/* Reads the file, takes its digest; the text stays in f->text until the next read. */
static int load(struct gr_cc_files *f, struct gr_cc_node *n)
{
	struct gr_digest digest;
	struct gr_cc_stat st;
	int rc;

	f->text_of = NULL;
	shrink(f);
	gr_buf_clear(&f->text);
	rc = read_node(f, n, &f->text, &st);
	if (rc < 0) {
		n->has_digest = false;
		n->is_suspect = true;
		if (rc == GR_ENOENT) {
			look(f, n);
			return n->kind == GR_CC_REG ? GR_EBUSY : GR_ENOENT;
		}
		return rc;
	}
	f->text_of = n;
	gr_sha256_of(f->text.p, f->text.n, &digest);
	if (!gr_digest_eq(&digest, &n->digest)) {
		n->digest = digest;
		n->version++;
		free(n->scan);
		n->scan = NULL;
	}
	take_stat(f, n, &st);
	n->has_digest = true;
	n->is_young = f->now_ns - st.ctime_ns < (n->is_volatile ? YOUNG_REMOTE_NS : YOUNG_NS);
	n->checked_at = n->read_at = f->request;
	return 0;
}

/* True when the digest is known to be true now. */
static bool is_fresh(struct gr_cc_files *f, struct gr_cc_node *n)
{
	if (n->is_suspect || n->kind != GR_CC_REG)
		return false;
	if (n->read_at == f->request)
		return n->has_digest;
	if (n->is_young)
		return false;
	if (n->checked_at != f->request && (n->is_always || n->is_volatile || n->nlink > 1))
		look(f, n);
	return n->has_digest && n->kind == GR_CC_REG;
}

int gr_cc_node_digest(struct gr_cc_files *f, struct gr_cc_node *n)
{
	if (is_fresh(f, n))
		return 0;
	if (gr_cc_node_check(f, n) != GR_CC_REG)
		return GR_ENOENT;
	if (n->has_digest && !n->is_young)
		return 0;
	return load(f, n);
}

bool gr_cc_node_is_settled(const struct gr_cc_node *n)
{
	return n->kind == GR_CC_REG && n->has_digest && n->scan && n->nlink <= 1 &&
	       !(n->is_suspect | n->is_young | n->is_always | n->is_volatile);
}

int gr_cc_node_scan(struct gr_cc_files *f, struct gr_cc_node *n, const struct gr_cc_scan **out)
{
	int rc = gr_cc_node_digest(f, n);

	if (rc < 0)
		return rc;
	if (!n->scan) {
		if (f->text_of != n) {
			rc = load(f, n);
			if (rc < 0)
				return rc;
		}
		f->stats.n_scan++;
		n->scan = gr_cc_scan((const char *)f->text.p, f->text.n);
	}
	*out = n->scan;
	return 0;
}

int gr_cc_node_read(struct gr_cc_files *f, struct gr_cc_node *n, struct gr_buf *out)
{
	struct gr_digest digest;
	struct gr_cc_stat st;
	size_t start = out->n;
	int rc;

	if (!n->parent)
		return GR_ENOENT;
	rc = read_node(f, n, out, &st);
	if (rc < 0) {
		n->is_suspect = true;
		return rc;
	}
	gr_sha256_of(out->p + start, out->n - start, &digest);
	if (n->has_digest && gr_digest_eq(&digest, &n->digest))
		return 0;
	n->is_suspect = true;
	out->n = start;
	return GR_ECORRUPT;
}

void gr_cc_node_watch_closely(struct gr_cc_node *n) { n->is_always = true; }

/* ---- events ---- */
static void suspect(struct gr_cc_files *f, struct gr_cc_node *n)
{
	if (n->is_suspect || n->kind == GR_CC_UNKNOWN)
		return;
	n->is_suspect = true;
	n->next_suspect = f->suspects;
	f->suspects = n;
}

void gr_cc_node_doubt(struct gr_cc_files *f, struct gr_cc_node *n)
{
	if (n->kind == GR_CC_UNKNOWN)
		return;
	n->is_suspect = true;
	look(f, n);
}

static struct gr_cc_node *find_child(struct gr_cc_files *f, const struct gr_cc_node *dir, const char *name, size_t n)
{
	struct name_key key;

	if (n >= sizeof(key.name))
		return NULL;
	key.parent = dir->id;
	memcpy(key.name, name, n);
	return gr_map_get(&f->names, &key, sizeof(key.parent) + n);
}

static void take_event(struct gr_cc_files *f, const struct gr_cc_event *e)
{
	struct gr_cc_node *dir, *child;

	f->stats.n_events++;
	if (e->flags & GR_CC_EV_OVERFLOW) {
		f->stats.n_overflow++;
		for (size_t i = 0; i < f->n_nodes; i++)
			suspect(f, f->nodes[i]);
		return;
	}
	dir = gr_map_get(&f->watches, &e->wd, sizeof(e->wd));
	if (!dir)
		return;
	if (e->flags & GR_CC_EV_GONE) {
		forget_below(f, dir);
		suspect(f, dir);
		return;
	}
	if (!*e->name)
		return;
	child = find_child(f, dir, e->name, strlen(e->name));
	if (child)
		suspect(f, child);
}

void gr_cc_files_drain(struct gr_cc_files *f, int64_t now_real_ns)
{
	struct gr_cc_event events[MAX_EVENTS];
	int n;

	f->now_ns = now_real_ns;
	if (++f->request == 0)
		f->request = 1;
	while ((n = f->fs.events(f->fs.ctx, events, MAX_EVENTS)) > 0)
		for (int i = 0; i < n; i++)
			take_event(f, &events[i]);
	while (f->suspects) {
		struct gr_cc_node *node = f->suspects;

		f->suspects = node->next_suspect;
		node->next_suspect = NULL;
		if (node->is_suspect && node->kind != GR_CC_UNKNOWN)
			look(f, node);
	}
}

/* ---- walking ---- */
void gr_cc_walk_fini(struct gr_cc_walk *w)
{
	free(w->links);
	free(w->dirs);
	memset(w, 0, sizeof(*w));
}

static void add_once(struct gr_cc_node ***a, uint32_t *n, uint32_t *cap, struct gr_cc_node *node)
{
	for (uint32_t i = 0; i < *n; i++)
		if ((*a)[i] == node)
			return;
	GR_GROW(*a, *cap, *n + 1);
	(*a)[(*n)++] = node;
}

/* @rest (in @text) := the link's target, "/" and what was left of it. False when that is too long. */
static bool follow(char *text, const char *rest, size_t n_rest, const char *target)
{
	size_t n = strlen(target);

	if (n + 1 + n_rest >= MAX_PATH)
		return false;
	memmove(text + n + (n_rest ? 1 : 0), rest, n_rest);
	memcpy(text, target, n);
	if (n_rest)
		text[n] = '/';
	text[n + (n_rest ? 1 : 0) + n_rest] = 0;
	return true;
}

void gr_cc_files_walk(struct gr_cc_files *f, struct gr_cc_node *dir, const char *path, size_t n_path, struct gr_cc_walk *w)
{
	char text[MAX_PATH];
	const char *p = path, *end = path + n_path;
	struct gr_cc_node *at = dir, *child;
	int n_follow = 0;
	bool is_end = false;         /* the spelled path is used up; only the last link is being followed */

	w->entry = w->file = NULL;
	w->n_links = w->n_dirs = 0;
	if (n_path >= MAX_PATH || memchr(path, 0, n_path))
		return;
	for (;;) {
		const char *name;
		size_t n;

		if (p < end && *p == '/' && (p == path || p == text))
			at = f->root;
		while (p < end && *p == '/')
			p++;
		name = p;
		while (p < end && *p != '/')
			p++;
		n = (size_t)(p - name);
		if (n == 0 || (n == 1 && name[0] == '.')) {
			if (p < end)
				continue;
			if (!is_end)
				w->entry = at;
			w->file = at;
			return;
		}
		if (n == 2 && name[0] == '.' && name[1] == '.') {
			add_once(&w->dirs, &w->n_dirs, &w->cap_dirs, at);
			at = at->parent ? at->parent : at;
			continue;
		}
		if (n > 255)
			return;
		child = find_child(f, at, name, n);
		if (!child)
			child = node_new(f, at, name, n);
		gr_cc_node_check(f, child);
		if (p == end && !is_end) {
			w->entry = child;
			is_end = true;
		}
		switch (child->kind) {
		case GR_CC_LINK:
			add_once(&w->links, &w->n_links, &w->cap_links, child);
			if (++n_follow > MAX_LINKS || !follow(text, p, (size_t)(end - p), child->target)) {
				w->entry = NULL;
				return;
			}
			p = path = text;
			end = text + strlen(text);
			break;
		case GR_CC_DIR:
			at = child;
			if (p == end) {
				w->file = child;
				return;
			}
			break;
		default:
			if (!w->entry)
				w->entry = child;
			while (p < end && *p == '/')
				p++;
			/* "file/" and "file/x" are no files; "absent/x" is as absent as "absent" */
			if (p == end ? end[-1] != '/' : child->kind != GR_CC_REG && child->kind != GR_CC_OTHER)
				w->file = child;
			return;
		}
	}
}

struct gr_cc_node *gr_cc_files_entry(struct gr_cc_files *f, struct gr_cc_node *cwd, const char *path)
{
	struct gr_cc_walk w = { 0 };
	struct gr_cc_node *entry;

	gr_cc_files_walk(f, cwd ? cwd : f->root, path, strlen(path), &w);
	entry = w.entry;
	gr_cc_walk_fini(&w);
	return entry;
}

struct gr_cc_node *gr_cc_files_dir(struct gr_cc_files *f, const char *path)
{
	struct gr_cc_walk w = { 0 };
	struct gr_cc_node *file;

	gr_cc_files_walk(f, f->root, path, strlen(path), &w);
	file = w.file && w.file->kind == GR_CC_DIR ? w.file : NULL;
	gr_cc_walk_fini(&w);
	return file;
}

static void mark_below(struct gr_cc_node *n, uint8_t tool)
{
	n->tool = tool;
	for (struct gr_cc_node *c = n->children; c; c = c->next_sibling)
		mark_below(c, tool);
}

void gr_cc_files_mark_tool(struct gr_cc_files *f, const char *path, uint8_t tool)
{
	struct gr_cc_node *dir = gr_cc_files_dir(f, path);

	if (dir)
		mark_below(dir, tool);
}
