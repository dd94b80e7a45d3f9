/**
 * cache - the action cache: two keys in RAM, results in a gr_cas, a journal to remember both
 *
 * Under key 1 stand a few lists of files; under each list the key 2 values seen, each with the blob of its result. Paths
 * are interned, and the file table's node of a path is remembered, so a look-up of 500 files is 500 array accesses and
 * one digest over what the nodes say.
 *
 * What counts as read (decision 0003): the files of the compiler's own depfile, when that names all of them. It does
 * not when the unit is assembly or contains .incbin/.include (the assembler's inputs are in no depfile), or when -MMD
 * left out system headers: then the whole closure counts. Whether a file is such a one is found out once a version.
 */
#include <stdlib.h>
#include <string.h>
#include "client/agent/cache.h"
#include "client/agent/journal.h"
#include "client/agent/toolchains.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/path.h"
#include "lib/cas/cas.h"
#include "lib/cc/depfile.h"
#include "lib/cc/files.h"

#define MAX_LISTS 4u
#define MAX_RESULTS 12u
#define MAX_READ 65536u
#define RECORD_PATH 1
#define RECORD_ENTRY 2
#define RESULT_MAGIC 0x31726367u

struct result {
	struct gr_digest key2, blob;
};
struct list {
	uint32_t *paths;
	uint32_t n_paths, n_results;
	struct result results[MAX_RESULTS];      /* newest last */
};
struct manifest {
	struct gr_digest key1;
	uint32_t n_lists;
	struct list *lists[MAX_LISTS];           /* newest last */
};
struct path {
	uint32_t id, n;
	struct gr_cc_node *node;
	char name[];
};
enum trait { TRAIT_KNOWN = 1, TRAIT_SYSTEM_PRAGMA = 2, TRAIT_ASM_INPUT = 4 };
struct traits {                                  /* by node id */
	uint32_t version;
	uint8_t flags;
};
struct gr_cache {
	struct gr_agent *agent;
	struct gr_cas *cas;
	struct gr_journal *journal;
	struct gr_map manifests, path_ids;
	struct path **paths;
	size_t n_paths, cap_paths;
	struct traits *traits;
	size_t cap_traits;
	uint64_t n_entries, hits, misses;
	struct gr_cc_node **nodes;               /* scratch */
	size_t cap_nodes;
	bool is_full;
};

/* ---- the index ---- */

static struct path *path_of(struct gr_cache *c, struct gr_slice name, bool *is_new)
{
	struct path *p = gr_map_get(&c->path_ids, name.p, name.n);

	*is_new = !p;
	if (p)
		return p;
	p = gr_xalloc(sizeof(*p) + name.n + 1);
	p->id = (uint32_t)c->n_paths;
	p->n = (uint32_t)name.n;
	memcpy(p->name, name.p, name.n);
	GR_GROW(c->paths, c->cap_paths, c->n_paths + 1);
	c->paths[c->n_paths++] = p;
	gr_map_put(&c->path_ids, p->name, p->n, p);
	return p;
}

static void free_list(struct list *l)
{
	free(l->paths);
	free(l);
}

static struct list *list_of(struct manifest *m, const uint32_t *paths, uint32_t n)
{
	struct list *l;
	uint32_t i;

	for (i = 0; i < m->n_lists; i++)
		if (m->lists[i]->n_paths == n && !memcmp(m->lists[i]->paths, paths, n * sizeof(*paths)))
			return m->lists[i];
	if (m->n_lists == MAX_LISTS) {
		free_list(m->lists[0]);
		memmove(m->lists, m->lists + 1, (MAX_LISTS - 1) * sizeof(m->lists[0]));
		m->n_lists--;
	}
	GR_NEW(l);
	l->paths = gr_xmemdup(paths, n * sizeof(*paths));
	l->n_paths = n;
	m->lists[m->n_lists++] = l;
	return l;
}

static void put_entry(struct gr_cache *c, const struct gr_digest *key1, const uint32_t *paths, uint32_t n, const struct result *r)
{
	struct manifest *m = gr_map_get(&c->manifests, key1->b, sizeof(key1->b));
	struct list *l;
	uint32_t i;

	if (!m) {
		GR_NEW(m);
		m->key1 = *key1;
		gr_map_put(&c->manifests, m->key1.b, sizeof(m->key1.b), m);
	}
	l = list_of(m, paths, n);
	for (i = 0; i < l->n_results; i++)
		if (gr_digest_eq(&l->results[i].key2, &r->key2)) {
			l->results[i] = *r;
			return;
		}
	if (l->n_results == MAX_RESULTS) {
		memmove(l->results, l->results + 1, (MAX_RESULTS - 1) * sizeof(l->results[0]));
		l->n_results--;
		c->n_entries--;
	}
	l->results[l->n_results++] = *r;
	c->n_entries++;
}

/* ---- the journal ---- */

static int write_path(struct gr_cache *c, const struct path *p)
{
	struct gr_buf b = { 0 };
	int rc;

	gr_wr_u8(&b, RECORD_PATH);
	gr_wr_bytes(&b, gr_slice(p->name, p->n));
	rc = gr_journal_add(c->journal, gr_buf_slice(&b));
	gr_buf_fini(&b);
	return rc;
}

static int write_entry(struct gr_cache *c, const struct gr_digest *key1, const uint32_t *paths, uint32_t n, const struct result *r)
{
	struct gr_buf b = { 0 };
	uint32_t i, last = 0;
	int rc;

	gr_wr_u8(&b, RECORD_ENTRY);
	gr_wr_digest(&b, key1);
	gr_wr_digest(&b, &r->key2);
	gr_wr_digest(&b, &r->blob);
	gr_wr_varint(&b, n);
	for (i = 0; i < n; i++) {      /* neighbours are near: a signed difference, zigzag */
		int64_t d = (int64_t)paths[i] - (int64_t)last;

		gr_wr_varint(&b, d < 0 ? (uint64_t)(-d) * 2 - 1 : (uint64_t)d * 2);
		last = paths[i];
	}
	rc = gr_journal_add(c->journal, gr_buf_slice(&b));
	gr_buf_fini(&b);
	return rc;
}

static void read_entry(struct gr_cache *c, struct gr_rd *r)
{
	struct gr_digest key1 = gr_rd_digest(r);
	struct result res;
	uint32_t n, i, *paths;
	int64_t last = 0;

	res.key2 = gr_rd_digest(r);
	res.blob = gr_rd_digest(r);
	n = (uint32_t)gr_rd_varint(r, MAX_READ);
	paths = gr_xalloc((n + 1) * sizeof(*paths));
	for (i = 0; i < n; i++) {
		uint64_t z = gr_rd_varint(r, UINT64_MAX >> 1);

		last += z & 1 ? -(int64_t)(z / 2 + 1) : (int64_t)(z / 2);
		if (last < 0 || (uint64_t)last >= c->n_paths) {
			r->rc = GR_EPROTO;
			break;
		}
		paths[i] = (uint32_t)last;
	}
	if (gr_rd_end(r) == 0 && gr_cas_has(c->cas, &res.blob))
		put_entry(c, &key1, paths, n, &res);
	free(paths);
}

static void on_record(void *ctx, struct gr_slice record)
{
	struct gr_cache *c = ctx;
	struct gr_rd r = gr_rd_init(record);
	uint8_t type = gr_rd_u8(&r);
	bool is_new;

	if (type == RECORD_ENTRY) {
		read_entry(c, &r);
	} else if (type == RECORD_PATH) {
		struct gr_slice name = gr_rd_bytes(&r, 65536);

		if (gr_rd_end(&r) == 0)
			path_of(c, name, &is_new);
	}
}

/* Written anew when most of it is about results that were evicted. Numbers of paths stay. */
static int compact(struct gr_cache *c)
{
	struct manifest *m;
	size_t i;
	uint32_t k, q;
	int rc = gr_journal_reset(c->journal);

	for (i = 0; i < c->n_paths && rc == 0; i++)
		rc = write_path(c, c->paths[i]);
	i = 0;
	while (rc == 0 && (m = gr_map_each(&c->manifests, &i)))
		for (k = 0; k < m->n_lists; k++)
			for (q = 0; q < m->lists[k]->n_results && rc == 0; q++)
				rc = write_entry(c, &m->key1, m->lists[k]->paths, m->lists[k]->n_paths, &m->lists[k]->results[q]);
	return rc;
}

static uint64_t expected_bytes(const struct gr_cache *c)
{
	return c->n_paths * 80 + c->n_entries * 1200;
}

static void cache_free(struct gr_cache *c)
{
	struct manifest *m;
	size_t i = 0;
	uint32_t k;

	while ((m = gr_map_each(&c->manifests, &i))) {
		for (k = 0; k < m->n_lists; k++)
			free_list(m->lists[k]);
		free(m);
	}
	gr_map_fini(&c->manifests);
	gr_map_fini(&c->path_ids);
	for (i = 0; i < c->n_paths; i++)
		free(c->paths[i]);
	free(c->paths);
	free(c->traits);
	free(c->nodes);
	gr_journal_close(&c->journal);
	gr_cas_close(&c->cas);
	free(c);
}

void gr_cache_open(struct gr_agent *a)
{
	struct gr_buf dir = { 0 }, file = { 0 };
	struct gr_err err = { 0 };
	struct gr_cache *c;
	int rc;

	if (!a->conf->cache_bytes || !a->conf->has_cache)
		return;
	GR_NEW(c);
	c->agent = a;
	gr_buf_printf(&dir, "%s/blobs", a->conf->state);
	gr_buf_printf(&file, "%s/journal", a->conf->state);
	rc = gr_mkdir_p(a->conf->state, 0700, &err);
	if (rc == 0)
		rc = gr_cas_open(gr_buf_str(&dir), (uint64_t)a->conf->cache_bytes, &c->cas, &err);
	if (rc == 0)
		rc = gr_journal_open(gr_buf_str(&file), on_record, c, &c->journal, &err);
	if (rc == 0 && gr_journal_bytes(c->journal) > 4 * expected_bytes(c) + (1u << 20))
		rc = compact(c);
	gr_buf_fini(&dir);
	gr_buf_fini(&file);
	if (rc < 0) {
		gr_warn("cache", "off: %s", err.text[0] ? err.text : gr_err_text(rc));
		cache_free(c);
		return;
	}
	a->cache = c;
}

void gr_cache_close(struct gr_agent *a)
{
	if (a->cache)
		cache_free(a->cache);
	a->cache = NULL;
}

/* ---- results ---- */

void gr_cached_fini(struct gr_cached *c)
{
	gr_buf_fini(&c->bytes);
}

static void encode_result(struct gr_buf *b, const struct gr_cached *what)
{
	uint32_t i;

	gr_wr_u32(b, RESULT_MAGIC);
	gr_wr_bytes(b, what->out);
	gr_wr_bytes(b, what->err);
	gr_wr_varint(b, what->n_outputs);
	for (i = 0; i < what->n_outputs; i++) {
		gr_wr_varint(b, what->outputs[i].index);
		gr_wr_bytes(b, what->outputs[i].data);
	}
}

static bool decode_result(struct gr_cached *out, uint32_t n_planned)
{
	struct gr_rd r = gr_rd_init(gr_buf_slice(&out->bytes));
	uint32_t i;

	if (gr_rd_u32(&r) != RESULT_MAGIC)
		return false;
	out->out = gr_rd_bytes(&r, GR_WIRE_MAX_STREAM_BYTES);
	out->err = gr_rd_bytes(&r, GR_WIRE_MAX_STREAM_BYTES);
	out->n_outputs = (uint32_t)gr_rd_varint(&r, GR_LEN(out->outputs));
	for (i = 0; i < out->n_outputs; i++) {
		out->outputs[i].index = (uint32_t)gr_rd_varint(&r, GR_LEN(out->outputs));
		out->outputs[i].data = gr_rd_bytes(&r, GR_WIRE_MAX_OUTPUT_BYTES);
		if (out->outputs[i].index >= n_planned)
			return false;
	}
	return gr_rd_end(&r) == 0;
}

static struct gr_cc_node *node_of(struct gr_cache *c, const struct gr_unit *u, struct path *p)
{
	if (!p->node)
		p->node = gr_cc_files_entry(c->agent->files, gr_plan_closure(c->agent)->cwd, p->name);
	return p->node;
}

int gr_cache_find(struct gr_unit *u, struct gr_cached *out)
{
	struct gr_cache *c = u->agent->cache;
	struct manifest *m = gr_map_get(&c->manifests, u->plan->key1.b, sizeof(u->plan->key1.b));
	struct gr_digest key2;
	uint32_t i, k;
	int rc;

	for (k = m ? m->n_lists : 0; k-- > 0;) {
		struct list *l = m->lists[k];

		GR_GROW(c->nodes, c->cap_nodes, l->n_paths + 1);
		for (i = 0; i < l->n_paths; i++) {
			c->nodes[i] = node_of(c, u, c->paths[l->paths[i]]);
			if (!c->nodes[i])
				break;
		}
		if (i < l->n_paths)
			continue;
		rc = gr_cc_closure_key2(u->agent->closer, gr_plan_closure(u->agent), &u->plan->key1, c->nodes, l->n_paths, &key2);
		if (rc < 0)
			continue;
		for (i = l->n_results; i-- > 0;) {
			if (!gr_digest_eq(&l->results[i].key2, &key2))
				continue;
			gr_buf_clear(&out->bytes);
			rc = gr_cas_read(c->cas, &l->results[i].blob, GR_WIRE_MAX_FRAME_BYTES, &out->bytes);
			if (rc == 0 && decode_result(out, u->plan->n_outputs)) {
				c->hits++;
				return 1;
			}
			/* Evicted or damaged: no entry any more. */
			memmove(&l->results[i], &l->results[i + 1], (l->n_results - i - 1) * sizeof(l->results[0]));
			l->n_results--;
			c->n_entries--;
			break;
		}
	}
	c->misses++;
	return 0;
}

/* ---- what was read ---- */

static uint8_t traits_of(struct gr_cache *c, struct gr_cc_node *n)
{
	struct gr_cc_files *files = c->agent->files;
	const struct gr_cc_scan *scan;
	struct gr_buf text = { 0 };
	struct traits *t;
	uint32_t i;

	if (n->id >= c->cap_traits) {
		size_t old = c->cap_traits;

		GR_GROW(c->traits, c->cap_traits, n->id + 1);
		memset(c->traits + old, 0, (c->cap_traits - old) * sizeof(*c->traits));
	}
	t = &c->traits[n->id];
	if ((t->flags & TRAIT_KNOWN) && t->version == n->version)
		return t->flags;
	t->flags = 0;
	if (gr_cc_node_scan(files, n, &scan) < 0)
		return TRAIT_SYSTEM_PRAGMA | TRAIT_ASM_INPUT;      /* cannot tell: the careful answer, not remembered */
	t->flags = TRAIT_KNOWN;
	for (i = 0; i < scan->n_inc; i++)
		if (scan->inc[i].kind == GR_CC_INC_STR_INCLUDE || scan->inc[i].kind == GR_CC_INC_STR_INCBIN)
			t->flags |= TRAIT_ASM_INPUT;
	if (gr_cc_node_read(files, n, &text) < 0 || (text.n && memmem(text.p, text.n, "system_header", 13)))
		t->flags |= TRAIT_SYSTEM_PRAGMA;
	gr_buf_fini(&text);
	t->version = n->version;
	return t->flags;
}

static bool is_in_system_dir(const struct gr_unit *u, const struct gr_cc_node *n)
{
	const struct gr_cc_search *s = u->plan->search;
	struct gr_buf path = { 0 };
	bool is_below = n->tool != 0;
	uint32_t i;

	gr_cc_node_path(n, &path);
	for (i = 0; i < s->n_dirs && !is_below; i++)
		is_below = gr_path_is_below(gr_buf_slice(&path), gr_slice_str(s->dirs[i]));
	gr_buf_fini(&path);
	return is_below;
}

/* True when the depfile names everything that was read. */
static bool depfile_is_all(struct gr_cache *c, const struct gr_unit *u)
{
	const struct gr_cc_closure *cl = gr_plan_closure(c->agent);
	const struct gr_cc_cmd *cmd = &u->plan->cmd;
	uint32_t i;

	if (cmd->lang == GR_CC_LANG_ASM || cmd->n_inputs)
		return false;
	for (i = 0; i < cmd->n_dirs && !cmd->depfile_has_system; i++)
		if (cmd->dirs[i].kind == GR_CC_DIR_SYSTEM || cmd->dirs[i].kind == GR_CC_DIR_AFTER)
			return false;
	for (i = 0; i < cl->n_files; i++) {
		uint8_t t = traits_of(c, cl->files[i]);

		if (t & TRAIT_ASM_INPUT)
			return false;
		if (!cmd->depfile_has_system && ((t & TRAIT_SYSTEM_PRAGMA) || is_in_system_dir(u, cl->files[i])))
			return false;
	}
	return true;
}

/* Fills c->nodes. Return: how many, or an error when something was read that the closure does not know. */
static int what_was_read(struct gr_cache *c, struct gr_unit *u, struct gr_slice depfile)
{
	const struct gr_cc_closure *cl = gr_plan_closure(c->agent);
	struct gr_cc_depfile d = { 0 };
	uint32_t i, n = 0;
	int rc;

	if (!depfile.n || !depfile_is_all(c, u)) {
		GR_GROW(c->nodes, c->cap_nodes, cl->n_entries + 1);
		memcpy(c->nodes, cl->entries, cl->n_entries * sizeof(*c->nodes));
		return (int)cl->n_entries;
	}
	rc = gr_cc_depfile_parse((const char *)depfile.p, depfile.n, &d);
	if (rc == 0) {
		GR_GROW(c->nodes, c->cap_nodes, d.n_files + 1);
		for (i = 0; i < d.n_files && rc == 0; i++) {
			struct gr_cc_node *x = gr_cc_files_entry(c->agent->files, cl->cwd, d.files[i]);

			if (!x)
				rc = GR_ENOENT;
			c->nodes[n++] = x;
		}
	}
	gr_cc_depfile_fini(&d);
	return rc < 0 ? rc : (int)n;
}

static int keep(struct gr_cache *c, struct gr_unit *u, const struct gr_cached *what, uint32_t n)
{
	struct result r;
	struct gr_buf b = { 0 };
	uint32_t *paths, i;
	int rc;

	rc = gr_cc_closure_key2(u->agent->closer, gr_plan_closure(u->agent), &u->plan->key1, c->nodes, n, &r.key2);
	if (rc < 0)
		return rc;
	paths = gr_xalloc((n + 1) * sizeof(*paths));
	for (i = 0; i < n && rc == 0; i++) {
		struct path *p;
		bool is_new;

		gr_buf_clear(&b);
		gr_cc_node_path(c->nodes[i], &b);
		p = path_of(c, gr_buf_slice(&b), &is_new);
		p->node = c->nodes[i];
		paths[i] = p->id;
		if (is_new)
			rc = write_path(c, p);
	}
	gr_buf_clear(&b);
	if (rc == 0) {
		encode_result(&b, what);
		gr_sha256_of(b.p, b.n, &r.blob);
		rc = gr_cas_put(c->cas, &r.blob, b.p, b.n);
	}
	if (rc == 0)
		rc = write_entry(c, &u->plan->key1, paths, n, &r);
	if (rc == 0)
		put_entry(c, &u->plan->key1, paths, n, &r);
	free(paths);
	gr_buf_fini(&b);
	return rc;
}

void gr_cache_store(struct gr_unit *u, const struct gr_cached *what, struct gr_slice depfile)
{
	struct gr_cache *c = u->agent->cache;
	const char *reason, *detail;
	struct gr_plan_seen *seen = u->plan->seen;
	uint32_t n_seen = u->plan->n_seen;
	int rc;

	if (c->is_full)
		return;
	gr_cc_files_drain(u->agent->files, (int64_t)(gr_clock_real_ms() * GR_NS_PER_MS));
	/* The closure now must be the one of the task, entry for entry. */
	u->plan->seen = NULL;
	rc = gr_plan_close(u, &reason, &detail);
	if (rc == 0 && (u->plan->n_seen != n_seen || memcmp(u->plan->seen, seen, n_seen * sizeof(*seen))))
		rc = GR_ESTATE;
	free(seen);
	if (rc < 0)
		return;
	rc = what_was_read(c, u, depfile);
	if (rc >= 0 && (uint32_t)rc <= MAX_READ)
		rc = keep(c, u, what, (uint32_t)rc);
	if (rc == GR_ENOSPACE || rc == GR_ELIMIT) {
		gr_warn("cache", "nothing more is kept: %s", gr_err_text(rc));
		c->is_full = true;
	}
}

json_t *gr_cache_json(const struct gr_agent *a)
{
	const struct gr_cache *c = a->cache;
	struct gr_cas_stats st;

	if (!c)
		return json_pack("{s:i, s:i, s:i, s:i, s:i}", "entries", 0, "bytes", 0, "cap_bytes", 0, "hits", 0, "misses", 0);
	gr_cas_stats(c->cas, &st);
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "entries", (json_int_t)c->n_entries, "bytes", (json_int_t)st.bytes,
			 "cap_bytes", (json_int_t)st.cap_bytes, "hits", (json_int_t)c->hits, "misses", (json_int_t)c->misses);
}
