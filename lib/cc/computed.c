/**
 * computed - computed includes: which macros matter, who defines them, what comes out
 *
 * The names in a computed include, the names in their definitions, and so on, are "wanted". The set only grows, over
 * the life of the agent; a file's definitions of wanted names are taken from its text when the set has grown since it
 * was last asked. Scans keep just a hash and a place for each #define, since a kernel's headers have 200,000 of them
 * and a dozen matter. Evaluations are remembered by everything that goes into them.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/cc/closer.h"

#define MAX_WANTED 4096
#define MAX_EVALS 16384

struct gr_cc__name {
	uint32_t n;
	char text[];
};

struct gr_cc__evaluated {
	struct gr_digest key;
	enum gr_cc__eval verdict;
	struct gr_buf names;
};

static bool is_hash_wanted(const struct gr_cc_closer *c, uint32_t hash)
{
	uint32_t mask = c->cap_hashes - 1;

	if (!c->cap_hashes)
		return false;
	for (uint32_t i = hash & mask; c->wanted_hashes[i]; i = (i + 1) & mask)
		if (c->wanted_hashes[i] == hash)
			return true;
	return false;
}

static void put_hash(uint32_t *table, uint32_t cap, uint32_t hash)
{
	uint32_t i = hash & (cap - 1);

	while (table[i] && table[i] != hash)
		i = (i + 1) & (cap - 1);
	table[i] = hash;
}

static void want(void *ctx, const char *p, size_t n)
{
	struct gr_cc_closer *c = ctx;
	struct gr_cc__name *name;
	uint32_t hash;

	if (c->n_wanted >= MAX_WANTED || n > 255 || gr_map_get(&c->wanted, p, n))
		return;
	name = gr_xalloc(sizeof(*name) + n + 1);
	name->n = (uint32_t)n;
	memcpy(name->text, p, n);
	gr_map_put(&c->wanted, name->text, n, name);
	if ((c->n_wanted + 1) * 2 > c->cap_hashes) {
		uint32_t cap = c->cap_hashes ? c->cap_hashes * 2 : 64;
		uint32_t *table = gr_xalloc(cap * sizeof(*table));

		for (uint32_t i = 0; i < c->cap_hashes; i++)
			if (c->wanted_hashes[i])
				put_hash(table, cap, c->wanted_hashes[i]);
		free(c->wanted_hashes);
		c->wanted_hashes = table;
		c->cap_hashes = cap;
	}
	hash = gr_cc_name_hash(p, n);
	if (hash)
		put_hash(c->wanted_hashes, c->cap_hashes, hash);
	c->n_wanted++;
}

void gr_cc__computed_fini(struct gr_cc_closer *c)
{
	struct gr_cc__name *name;
	struct gr_cc__evaluated *e;
	size_t i = 0;

	while ((name = gr_map_each(&c->wanted, &i)))
		free(name);
	gr_map_fini(&c->wanted);
	free(c->wanted_hashes);
	c->wanted_hashes = NULL;
	c->n_wanted = c->cap_hashes = 0;
	i = 0;
	while ((e = gr_map_each(&c->evals, &i))) {
		gr_buf_fini(&e->names);
		free(e);
	}
	gr_map_fini(&c->evals);
}

/* The file's definitions of wanted names. */
static void take_defs(struct gr_cc_closer *c, struct gr_cc__memo *m)
{
	const struct gr_cc_scan *scan = m->content ? m->content->scan : NULL;
	struct gr_buf def = { 0 };
	bool is_read = false;

	if (!scan || m->wanted_gen == c->n_wanted)
		return;
	for (uint32_t i = 0; i < m->n_defs; i++)
		free(m->defs[i]);
	m->n_defs = 0;
	m->wanted_gen = c->n_wanted;
	for (uint32_t i = 0; i < scan->n_def; i++) {
		size_t n;

		if (!is_hash_wanted(c, scan->def[i].hash))
			continue;
		if (!is_read) {
			gr_buf_clear(&c->text);
			if (gr_cc_node_read(c->files, m->content, &c->text) < 0) {
				m->wanted_gen = 0;      /* it changes under us; the next request sees it anew */
				break;
			}
			is_read = true;
		}
		gr_buf_clear(&def);
		gr_cc_scan_define((const char *)c->text.p, c->text.n, scan->def[i].off, &def);
		n = strcspn(gr_buf_str(&def), "( ");
		if (strlen(gr_buf_str(&def)) != def.n || !gr_map_get(&c->wanted, def.p, n))
			continue;
		GR_GROW(m->defs, m->cap_defs, m->n_defs + 1);
		m->defs[m->n_defs++] = gr_buf_take(&def, NULL);
	}
	gr_buf_fini(&def);
}

/* -D NAME=BODY as a definition's text. */
static void define_text(const char *d, struct gr_buf *out)
{
	const char *eq = strchr(d, '=');

	gr_buf_clear(out);
	gr_buf_add(out, d, eq ? (size_t)(eq - d) : strlen(d));
	gr_buf_add_byte(out, ' ');
	gr_buf_add_str(out, eq ? eq + 1 : "1");
}

/* Everything wanted, and all its definitions; false when a bound was met. */
static bool close_wanted(struct gr_cc_closer *c, const struct gr_cc_closure_in *in)
{
	uint32_t n;

	for (size_t i = 0; i < c->n_visited; i++)
		for (uint32_t k = 0; k < c->visited[i]->n_sites; k++)
			gr_cc__each_word(c->visited[i]->sites[k].text, want, c);
	do {
		n = c->n_wanted;
		for (size_t i = 0; i < c->n_visited; i++) {
			struct gr_cc__memo *m = c->visited[i];
			uint32_t had = m->wanted_gen;

			take_defs(c, m);
			for (uint32_t k = 0; had != m->wanted_gen && k < m->n_defs; k++)
				gr_cc__each_word(m->defs[k], want, c);
		}
		for (uint32_t i = 0; i < in->cmd->n_defines; i++) {
			const char *d = in->cmd->defines[i].text;

			if (!in->cmd->defines[i].is_undef && gr_map_get(&c->wanted, d, strcspn(d, "=(")))
				gr_cc__each_word(d, want, c);
		}
	} while (c->n_wanted != n);
	return n < MAX_WANTED;
}

static void each_define(struct gr_cc_closer *c, const struct gr_cc_closure_in *in, void (*fn)(void *ctx, const char *text), void *ctx)
{
	static const char *const builtin[] = { "linux", "unix", "i386" };
	struct gr_buf text = { 0 };

	for (uint32_t i = 0; i < in->cmd->n_defines; i++) {
		const char *d = in->cmd->defines[i].text;

		if (in->cmd->defines[i].is_undef || !gr_map_get(&c->wanted, d, strcspn(d, "=(")))
			continue;
		define_text(d, &text);
		fn(ctx, gr_buf_str(&text));
	}
	for (size_t i = 0; i < GR_LEN(builtin); i++) {
		if (!gr_map_get(&c->wanted, builtin[i], strlen(builtin[i])))
			continue;
		gr_buf_clear(&text);
		gr_buf_printf(&text, "%s 1", builtin[i]);
		fn(ctx, gr_buf_str(&text));
	}
	gr_buf_fini(&text);
}

static void hash_define(void *ctx, const char *text) { gr_sha256_add_str(ctx, text); }
static void add_define(void *ctx, const char *text) { gr_cc__defs_add(ctx, text); }

static struct gr_cc__evaluated *evaluate(struct gr_cc_closer *c, const struct gr_cc_closure_in *in, const char *text)
{
	struct gr_cc__evaluated *e;
	struct gr_cc__defs defs;
	struct gr_digest key;

	gr_sha256_add_str(c->sha, text);
	for (size_t i = 0; i < c->n_visited; i++) {
		const struct gr_cc__memo *m = c->visited[i];
		uint32_t id[3];

		if (!m->n_defs)
			continue;
		id[0] = m->content->id;
		id[1] = m->content->version;
		id[2] = m->n_defs;
		gr_sha256_add(c->sha, id, sizeof(id));
	}
	each_define(c, in, hash_define, c->sha);
	gr_sha256_end(c->sha, &key);
	e = gr_map_get(&c->evals, &key, sizeof(key));
	if (e)
		return e;
	gr_cc__defs_init(&defs);
	for (size_t i = 0; i < c->n_visited; i++)
		for (uint32_t k = 0; k < c->visited[i]->n_defs; k++)
			gr_cc__defs_add(&defs, c->visited[i]->defs[k]);
	each_define(c, in, add_define, &defs);
	GR_NEW(e);
	e->key = key;
	e->verdict = gr_cc__macro_eval(&defs, text, &e->names);
	gr_cc__defs_fini(&defs);
	gr_map_put(&c->evals, &e->key, sizeof(e->key), e);
	return e;
}

static void drop_evals(struct gr_cc_closer *c)
{
	struct gr_cc__evaluated *e;
	size_t i = 0;

	while ((e = gr_map_each(&c->evals, &i))) {
		gr_buf_fini(&e->names);
		free(e);
	}
	gr_map_fini(&c->evals);
}

int gr_cc__computed(struct gr_cc_closer *c, const struct gr_cc_closure_in *in, struct gr_cc__memo *found, const char **reason,
		    const char **detail)
{
	bool has_sites = false, is_whole;

	for (size_t i = 0; i < c->n_visited && !has_sites; i++)
		has_sites = c->visited[i]->n_sites != 0;
	if (!has_sites)
		return 0;
	if (c->evals.n > MAX_EVALS)
		drop_evals(c);
	is_whole = close_wanted(c, in);
	for (size_t i = 0; i < c->n_visited; i++) {
		struct gr_cc__memo *m = c->visited[i];

		for (uint32_t k = 0; k < m->n_sites; k++) {
			const struct gr_cc__site *site = &m->sites[k];
			bool is_has = site->kind == GR_CC_INC_HAS || site->kind == GR_CC_INC_HAS_NEXT;
			const struct gr_cc__evaluated *e = NULL;
			const char *p, *end;

			*detail = site->text;
			/* with a preprocessor's list at hand only __has_include is in doubt: it tells nothing of those */
			if (!is_has && in->known)
				continue;
			if (is_whole)
				e = evaluate(c, in, site->text);
			if (is_has && (!e || e->verdict != GR_CC__EVAL_FOUND)) {
				*reason = "computed __has_include";
				return GR_CC_CLOSURE_LOCAL;
			}
			if (!e || e->verdict == GR_CC__EVAL_UNKNOWN || site->kind == GR_CC_INC_NEXT) {
				*reason = "computed include";
				return GR_CC_CLOSURE_NEEDS_PREPROCESSOR;
			}
			p = e->names.n ? (const char *)e->names.p : "";
			for (end = p + e->names.n; p < end; p += strlen(p) + 1)
				gr_cc__resolve(c, found, m->entry->parent, *p == 'q', p + 1, strlen(p + 1));
		}
	}
	return 0;
}
