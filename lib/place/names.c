/* names.c - names and contents to small ids: environments, nodes, labels, capacities, pools, classes.
 *
 * Everything that many workers or tasks share is interned, so that a decision compares integers. A *pool* is a kind of
 * worker: its environments, labels, zone, and which resources it has at all; whether a class may run in a pool is settled
 * once a pair, not once a decision. How much a worker has is no part of that: its room says it. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/map.h"
#include "lib/place/place_int.h"

#define MAX_NAME 255u

static uint32_t hash_of(const void *b, size_t n, uint64_t seed)
{
	uint64_t h = gr_hash64(b, n, seed);

	return (uint32_t)(h ^ h >> 32);
}

/* ---- environments ---- */

int gr_place_env_find(const struct gr_place *p, const struct gr_digest *d)
{
	uint32_t hash = hash_of(d->b, sizeof(d->b), 1), at = NIL, id;

	while ((id = gr_place__index_next(&p->ix_env, hash, &at)) != NIL)
		if (gr_digest_eq(&p->envs[id].digest, d) && (p->envs[id].n_worker || p->envs[id].n_class))
			return (int)id;
	return GR_ENOENT;
}

int gr_place_env(struct gr_place *p, const struct gr_digest *d)
{
	uint32_t hash = hash_of(d->b, sizeof(d->b), 1), at = NIL, id;

	while ((id = gr_place__index_next(&p->ix_env, hash, &at)) != NIL)
		if (gr_digest_eq(&p->envs[id].digest, d))
			return (int)id;
	if (p->n_envs < GR_PLACE_MAX_ENVS) {
		GR_GROW(p->envs, p->cap_envs, p->n_envs + 1);
		id = p->n_envs++;
	} else {
		for (id = 1; id < p->n_envs && (p->envs[id].n_worker || p->envs[id].n_class); id++)
			;
		if (id == p->n_envs)
			return GR_ELIMIT;
		gr_place__index_del(&p->ix_env, hash_of(p->envs[id].digest.b, sizeof(d->b), 1), id);
	}
	p->envs[id] = (struct gr_place__env){ .digest = *d };
	gr_place__index_add(&p->ix_env, hash, id);
	LOG_BYTES(p, OP_ENV, d->b, sizeof(d->b), id);
	return (int)id;
}

int gr_place_env_hold(struct gr_place *p, uint32_t env, bool is_held)
{
	if (!env || env >= p->n_envs || (!is_held && !p->envs[env].n_class))
		return GR_ENOENT;
	p->envs[env].n_class += is_held ? 1 : -1u;
	LOG(p, OP_HOLD, env, is_held);
	return 0;
}

/* ---- nodes ---- */

int gr_place_node(struct gr_place *p, const char *name)
{
	size_t n = strlen(name);
	struct gr_place__node *node;
	uint32_t hash, at = NIL, id;

	if (!n || n > MAX_NAME)
		return GR_EINVAL;
	hash = hash_of(name, n, 2);
	while ((id = gr_place__index_next(&p->ix_node, hash, &at)) != NIL)
		if (!strcmp(p->nodes[id].name, name))
			return (int)id;
	id = p->free_node;
	if (id != NIL) {
		p->free_node = p->nodes[id].first_worker;
	} else {
		if (p->n_nodes == p->cap_nodes) {
			p->cap_nodes += p->cap_nodes / 2 + 16;
			p->nodes = gr_xtable_grow(p->nodes, p->n_nodes * sizeof(*p->nodes), p->cap_nodes * sizeof(*p->nodes));
			p->price_1024 = gr_xrealloc(p->price_1024, p->cap_nodes * sizeof(*p->price_1024));
		}
		id = p->n_nodes++;
	}
	node = &p->nodes[id];
	*node = (struct gr_place__node){ .name = gr_xmemdup(name, n), .hash = hash, .first_worker = NIL,
					 .speed_permille = 1000, .load_permille = 1000, .rank = RANK_TYPICAL, .is_used = true };
	p->price_1024[id] = 1024;
	gr_place__index_add(&p->ix_node, hash, id);
	LOG_BYTES(p, OP_NODE, name, (uint32_t)n, id);
	return (int)id;
}

void gr_place__node_unref(struct gr_place *p, uint32_t node)
{
	struct gr_place__node *n = &p->nodes[node];

	if (n->n_workers)
		return;
	gr_place__index_del(&p->ix_node, n->hash, node);
	free(n->name);
	*n = (struct gr_place__node){ .first_worker = p->free_node };
	p->free_node = node;
}

/* ---- labels: a key alone has value NULL and key 0 ---- */

static int label_id(struct gr_place *p, const char *key, const char *value, uint32_t key_id)
{
	size_t n_key = strlen(key), n_value = value ? strlen(value) : 0, n = n_key + 1 + n_value;
	char text[256] = "";
	uint32_t hash, at = NIL, id;

	if (!n_key || n_key > 127 || n_value > 127)
		return GR_EINVAL;
	memcpy(text, key, n_key);
	if (value)
		memcpy(text + n_key + 1, value, n_value);
	hash = hash_of(text, n, value ? 3 : 4);
	while ((id = gr_place__index_next(&p->ix_label, hash, &at)) != NIL) {
		const struct gr_place__label *l = &p->labels[id];

		if (!l->key == !value && !strcmp(l->text, key) && (!value || !strcmp(l->text + n_key + 1, value)))
			return (int)id;
	}
	if (p->n_labels >= GR_PLACE_MAX_LABELS)
		return GR_ELIMIT;
	GR_GROW(p->labels, p->cap_labels, p->n_labels + 1);
	if (!p->n_labels)
		p->n_labels = 1;      /* 0 is none */
	GR_GROW(p->labels, p->cap_labels, p->n_labels + 1);
	id = p->n_labels++;
	p->labels[id] = (struct gr_place__label){ .text = gr_xmemdup(text, n), .key = key_id, .hash = hash };
	gr_place__index_add(&p->ix_label, hash, id);
	LOG_BYTES(p, value ? OP_LABEL : OP_KEY, text, (uint32_t)n, id, n_key);
	return (int)id;
}

int gr_place_label_key(struct gr_place *p, const char *key)
{
	return label_id(p, key, NULL, 0);
}

int gr_place_label(struct gr_place *p, const char *key, const char *value)
{
	int rc = gr_place_label_key(p, key);

	return rc < 0 ? rc : label_id(p, key, value, (uint32_t)rc);
}

const char *gr_place_label_value(const struct gr_place *p, uint32_t label)
{
	const struct gr_place__label *l = label && label < p->n_labels ? &p->labels[label] : NULL;

	return l && l->key ? l->text + strlen(l->text) + 1 : "";
}

/* ---- capacities ---- */

uint32_t gr_place__cap(struct gr_place *p, const struct gr_place_vec *v)
{
	uint32_t hash = hash_of(v, sizeof(*v), 5), at = NIL, id;

	while ((id = gr_place__index_next(&p->ix_cap, hash, &at)) != NIL)
		if (!memcmp(&p->caps[id].v, v, sizeof(*v)))
			break;
	if (id == NIL) {
		id = p->free_cap;
		if (id != NIL) {
			p->free_cap = p->caps[id].hash;
		} else {
			GR_GROW(p->caps, p->cap_caps, p->n_caps + 1);
			id = p->n_caps++;
		}
		p->caps[id] = (struct gr_place__cap){ .v = *v, .hash = hash };
		gr_place__index_add(&p->ix_cap, hash, id);
	}
	p->caps[id].n_ref++;
	return id;
}

void gr_place__cap_unref(struct gr_place *p, uint32_t cap)
{
	if (--p->caps[cap].n_ref)
		return;
	gr_place__index_del(&p->ix_cap, p->caps[cap].hash, cap);
	p->caps[cap].hash = p->free_cap;
	p->free_cap = cap;
}

/* ---- pools ---- */

/* Sorted, each once. */
static uint32_t sort_ids(const uint32_t *in, uint32_t n, uint32_t *out)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = k;

		while (at && out[at - 1] > in[i])
			at--;
		if (at && out[at - 1] == in[i])
			continue;
		memmove(out + at + 1, out + at, (k - at) * sizeof(*out));
		out[at] = in[i];
		k++;
	}
	return k;
}

static bool is_in(const uint32_t *ids, uint32_t n, uint32_t id)
{
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

int gr_place__pool(struct gr_place *p, const struct gr_place_worker *spec)
{
	uint32_t envs[GR_PLACE_MAX_WORKER_ENVS], labels[GR_PLACE_MAX_WORKER_LABELS];
	uint32_t n_envs = sort_ids(spec->envs, spec->n_envs, envs), n_labels = sort_ids(spec->labels, spec->n_labels, labels);
	uint32_t hash = hash_of(envs, n_envs * 4, 6) ^ hash_of(labels, n_labels * 4, 7) * 31 ^ spec->zone * 0x9e3779b1u, at = NIL, id;
	uint8_t has_res = 0;
	struct gr_place__pool *pool;

	for (int r = 0; r < GR_PLACE_N_RES; r++)
		has_res |= (uint8_t)((spec->cap.v[r] > 0) << r);
	hash ^= has_res * 0x85ebca6bu;
	while ((id = gr_place__index_next(&p->ix_pool, hash, &at)) != NIL) {
		pool = &p->pools[id];
		if (pool->zone == spec->zone && pool->has_res == has_res && pool->n_envs == n_envs && pool->n_labels == n_labels &&
		    !memcmp(pool->envs, envs, n_envs * 4) && !memcmp(pool->labels, labels, n_labels * 4))
			break;
	}
	if (id == NIL) {
		for (id = 0; id < p->n_pools && p->pools[id].is_used; id++)
			;
		if (id >= GR_PLACE_MAX_POOLS)
			return GR_ELIMIT;
		if (id == p->n_pools) {
			GR_GROW(p->pools, p->cap_pools, p->n_pools + 1);
			p->n_pools++;
		}
		pool = &p->pools[id];
		*pool = (struct gr_place__pool){ .n_envs = n_envs, .n_labels = n_labels, .zone = spec->zone, .hash = hash,
						 .has_res = has_res, .is_used = true };
		pool->envs = gr_xmemdup(envs, n_envs * 4);
		pool->labels = gr_xmemdup(labels, n_labels * 4);
		gr_place__index_add(&p->ix_pool, hash, id);
		p->pools_gen++;
		gr_place__wake_all(p);        /* parked classes know only the pools there were */
	}
	pool = &p->pools[id];
	for (uint32_t i = 0; i < pool->n_envs; i++)
		p->envs[pool->envs[i]].n_worker++;
	pool->n_workers++;
	return (int)id;
}

void gr_place__pool_unref(struct gr_place *p, uint32_t id)
{
	struct gr_place__pool *pool = &p->pools[id];

	for (uint32_t i = 0; i < pool->n_envs; i++)
		p->envs[pool->envs[i]].n_worker--;
	if (--pool->n_workers)
		return;
	gr_place__index_del(&p->ix_pool, pool->hash, id);
	for (uint32_t g = 0; g < N_GROUPS; g++) {
		for (uint32_t r = 0; pool->groups[g].buckets && r < N_RANKS; r++)
			free(pool->groups[g].buckets[r].w);
		free(pool->groups[g].buckets);
	}
	free(pool->envs);
	free(pool->labels);
	memset(pool, 0, sizeof(*pool));
	p->pools_gen++;
}

/* ---- classes ---- */

static bool has_key(const struct gr_place *p, const struct gr_place__pool *pool, uint32_t key)
{
	for (uint32_t i = 0; i < pool->n_labels; i++)
		if (p->labels[pool->labels[i]].key == key)
			return true;
	return false;
}

bool gr_place__labels_match(const struct gr_place *p, const struct gr_place__class *c, const struct gr_place__pool *pool)
{
	for (uint32_t k = 0; k < GR_PLACE_MAX_TERMS; k++) {
		const struct gr_place_term *t = &c->spec.term[k];
		bool is_any = false;

		for (uint32_t i = 0; i < t->n; i++)
			is_any |= is_in(pool->labels, pool->n_labels, t->label[i]);
		if ((t->op == GR_PLACE_IN && !is_any) || (t->op == GR_PLACE_NOT_IN && is_any) ||
		    (t->op == GR_PLACE_EXISTS && !has_key(p, pool, t->key)) ||
		    (t->op == GR_PLACE_ABSENT && has_key(p, pool, t->key)))
			return false;
	}
	return true;
}

static bool may_run_in(const struct gr_place *p, const struct gr_place__class *c, const struct gr_place__pool *pool)
{
	if (!pool->is_used || (c->spec.zone && c->spec.zone != pool->zone))
		return false;
	if (c->spec.env && !is_in(pool->envs, pool->n_envs, c->spec.env))
		return false;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		if (c->spec.need.v[r] && !(pool->has_res >> r & 1))
			return false;
	return gr_place__labels_match(p, c, pool);
}

APART void gr_place__class_pools(struct gr_place *p, struct gr_place__class *c)
{
	uint32_t cap = c->cap_pools;

	if (c->pools_gen == p->pools_gen)
		return;
	c->pools_gen = p->pools_gen;
	GR_GROW(c->pools, c->cap_pools, p->n_pools);
	GR_GROW(c->prefer, cap, p->n_pools);
	GR_GROW(c->pool_at, c->cap_pool_at, p->n_pools);
	c->n_pools = 0;
	c->pool_bits = 0;
	for (uint32_t i = 0; i < p->n_pools; i++) {
		const struct gr_place__pool *pool = &p->pools[i];

		c->pool_at[i] = 0;
		if (!may_run_in(p, c, pool))
			continue;
		c->prefer[c->n_pools] = 0;
		for (uint32_t k = 0; k < GR_PLACE_MAX_PREFER; k++)
			if (c->spec.prefer[k].label && is_in(pool->labels, pool->n_labels, c->spec.prefer[k].label))
				c->prefer[c->n_pools] += c->spec.prefer[k].permille;
		c->pools[c->n_pools++] = i;
		c->pool_bits |= 1ull << i % 64;
		c->pool_at[i] = (uint16_t)c->n_pools;
	}
}

static int check_class(const struct gr_place *p, const struct gr_place_class *s)
{
	if (s->env >= p->n_envs)
		return GR_ENOENT;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		if (s->need.v[r] > GR_PLACE_MAX_AMOUNT)
			return GR_EINVAL;
	if (s->spread_by > GR_PLACE_BY_ZONE || s->near_by > GR_PLACE_BY_ZONE)
		return GR_EINVAL;
	for (uint32_t k = 0; k < GR_PLACE_MAX_TERMS; k++) {
		const struct gr_place_term *t = &s->term[k];
		bool is_list = t->op == GR_PLACE_IN || t->op == GR_PLACE_NOT_IN;

		if (t->op > GR_PLACE_ABSENT || t->n > GR_PLACE_MAX_TERM_VALUES || (is_list && !t->n) || (!is_list && t->n))
			return GR_EINVAL;
		for (uint32_t i = 0; i < t->n; i++)
			if (!t->label[i] || t->label[i] >= p->n_labels)
				return GR_ENOENT;
		if ((t->op == GR_PLACE_EXISTS || t->op == GR_PLACE_ABSENT) && (!t->key || t->key >= p->n_labels))
			return GR_ENOENT;
	}
	for (uint32_t k = 0; k < GR_PLACE_MAX_PREFER; k++)
		if (s->prefer[k].label >= (p->n_labels ? p->n_labels : 1) || s->prefer[k].permille > 1000 || s->prefer[k].permille < -1000)
			return GR_EINVAL;
	return 0;
}

static void class_free(struct gr_place *p, uint32_t id)
{
	struct gr_place__class *c = &p->classes[id];

	/* nothing of it is queued or placed, but it may have been parked, and room kept for it, when the last of it was withdrawn */
	gr_place__unpark(p, id);
	for (uint32_t i = p->n_kept; c->n_kept && i-- > 0;)
		if (p->kept[i].class == id)
			gr_place__kept_drop(p, i);
	gr_place__index_del(&p->ix_class, c->hash, id);
	if (c->spec.env)
		p->envs[c->spec.env].n_class--;
	free(c->pools);
	free(c->prefer);
	free(c->pool_at);
	memset(c, 0, sizeof(*c));
}

static void log_class(struct gr_place *p, const struct gr_place_class *s, uint32_t id)
{
	/* field by field: the log must not depend on a compiler's padding */
	uint64_t v[9 + GR_PLACE_N_RES + GR_PLACE_MAX_TERMS * (3 + GR_PLACE_MAX_TERM_VALUES) + GR_PLACE_MAX_PREFER * 2];
	uint32_t n = 0;

	v[n++] = id;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		v[n++] = s->need.v[r];
	v[n++] = s->env;
	v[n++] = s->zone;
	for (uint32_t k = 0; k < GR_PLACE_MAX_TERMS; k++) {
		v[n++] = s->term[k].op;
		v[n++] = s->term[k].n;
		v[n++] = s->term[k].key;
		for (uint32_t i = 0; i < GR_PLACE_MAX_TERM_VALUES; i++)
			v[n++] = s->term[k].label[i];
	}
	for (uint32_t k = 0; k < GR_PLACE_MAX_PREFER; k++) {
		v[n++] = s->prefer[k].label;
		v[n++] = (uint64_t)(s->prefer[k].permille + 1000);
	}
	v[n++] = s->spread_by | (uint64_t)s->near_by << 8 | (uint64_t)s->is_spread_soft << 16;
	v[n++] = s->spread_max;
	v[n++] = s->spread_ms;
	v[n++] = s->near_ms;
	v[n++] = s->left_ms;
	gr_place__log(p, OP_CLASS, v, n, NULL, 0);
}

/* Equal content whatever lies in the caller's padding: compared and hashed as a cleaned copy. */
static struct gr_place_class clean(const struct gr_place_class *s)
{
	struct gr_place_class c;

	memset(&c, 0, sizeof(c));
	c.need = s->need;
	c.env = s->env;
	c.zone = s->zone;
	for (uint32_t k = 0; k < GR_PLACE_MAX_TERMS; k++) {
		c.term[k].op = s->term[k].op;
		c.term[k].n = s->term[k].n;
		c.term[k].key = s->term[k].key;
		memcpy(c.term[k].label, s->term[k].label, sizeof(c.term[k].label));
	}
	memcpy(c.prefer, s->prefer, sizeof(c.prefer));
	c.spread_by = s->spread_by;
	c.near_by = s->near_by;
	c.is_spread_soft = s->is_spread_soft;
	c.spread_max = s->spread_by && !s->spread_max ? 1 : s->spread_max;
	c.spread_ms = s->spread_ms;
	c.near_ms = s->near_ms;
	c.left_ms = s->left_ms;
	return c;
}

static uint8_t dominant_of(const struct gr_place *p, const struct gr_place_class *s)
{
	uint64_t most = 0;
	uint8_t res = GR_PLACE_CPU_MCPU;

	for (uint8_t r = 0; r < GR_PLACE_N_RES; r++) {
		uint64_t share = p->total[r] ? s->need.v[r] * (SHARE_ONE >> 26) / p->total[r] : 0;

		if (share > most) {
			most = share;
			res = r;
		}
	}
	return res;
}

int gr_place_class(struct gr_place *p, const struct gr_place_class *given)
{
	struct gr_place_class spec;
	struct gr_place__class *c;
	uint32_t hash, at = NIL, id;
	int rc = check_class(p, given);

	if (rc < 0)
		return rc;
	spec = clean(given);
	hash = hash_of(&spec, sizeof(spec), 8);
	while ((id = gr_place__index_next(&p->ix_class, hash, &at)) != NIL)
		if (!memcmp(&p->classes[id].spec, &spec, sizeof(spec)))
			return (int)id;
	if (p->n_classes < GR_PLACE_MAX_CLASSES) {
		GR_GROW(p->classes, p->cap_classes, p->n_classes + 1);
		id = p->n_classes++;
	} else {
		for (id = 0; id < p->n_classes && p->classes[id].n_task; id++)
			;
		if (id == p->n_classes)
			return GR_ELIMIT;
		class_free(p, id);
	}
	c = &p->classes[id];
	*c = (struct gr_place__class){ .spec = spec, .hash = hash, .is_used = true, .pools_gen = p->pools_gen - 1,
				       .line_hint = NIL, .parked_at = NIL };
	for (uint8_t r = 0; r < GR_PLACE_N_RES; r++)
		if (spec.need.v[r])
			c->need_res[c->n_need++] = r;
	for (uint32_t r = 0; r < N_INLINE; r++)
		c->need4[r] = (int32_t)spec.need.v[r];
	c->is_plain = spec.need.v[GR_PLACE_CPU_MCPU] == 1000 && !spec.spread_by && !spec.near_by && !spec.left_ms;
	for (uint32_t r = N_INLINE; r < GR_PLACE_N_RES; r++)
		c->n_user += spec.need.v[r] > 0;
	c->is_plain &= !c->n_user;
	for (uint32_t k = 0; k < GR_PLACE_MAX_PREFER; k++)
		c->is_plain &= !spec.prefer[k].label;
	c->dominant = dominant_of(p, &spec);
	c->room_level = gr_place__room_level(&spec.need);
	if (!(p->levels >> c->room_level & 1))
		gr_place__level_add(p, c->room_level);
	c->group_mask = p->level_mask[c->room_level];
	c->has_policy = spec.spread_by || spec.near_by;
	c->is_even = !c->has_policy && !spec.left_ms;
	if (spec.env)
		p->envs[spec.env].n_class++;
	gr_place__index_add(&p->ix_class, hash, id);
	if (p->cfg.log)
		log_class(p, &spec, id);
	return (int)id;
}
