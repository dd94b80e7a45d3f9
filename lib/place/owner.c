/* owner.c - owners and tenants: coming, going, pausing, and what they are told of themselves. Their shares are share.c's. */
#include "lib/place/place.h"

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

#define MAX_COUNTED 64u

#define MAX_WEIGHT 1000000u

uint32_t gr_place__owner(const struct gr_place *p, uint32_t id)
{
	uint32_t i = id & WORKER_MASK;

	return i < p->n_owners && p->owners[i].is_used && p->owners[i].id == id ? i : NIL;
}

bool gr_place__may_more(const struct gr_place *p, const struct gr_place__owner *o)
{
	(void)p;
	return !o->is_paused && (!o->spec.max_placed || o->n_placed < o->spec.max_placed);
}

uint64_t gr_place__wanted(const struct gr_place__owner *o)
{
	uint64_t may = !o->spec.max_placed ? UINT64_MAX : o->spec.max_placed > o->n_placed ? o->spec.max_placed - o->n_placed : 0;

	return may < o->n_queued ? may : o->n_queued;
}

APART uint64_t gr_place__queue_wanted(const struct gr_place *p, uint32_t queue)
{
	const struct gr_place__queue *q = &p->queues[queue];
	const struct gr_place__owner *o = &p->owners[q->owner];
	uint64_t may = gr_place__wanted(o), n = 0, left = gr_place__quota_left(p, &p->tenants[o->spec.tenant], &p->classes[q->class], o->spec.band);

	may = may < left ? may : left;
	if (o->spec.max_placed && p->n_kept) {
		left = o->n_placed + gr_place__kept_for(p, q->owner, q->class);
		left = left < o->spec.max_placed ? o->spec.max_placed - left : 0;
		may = may < left ? may : left;
	}
	for (uint32_t i = 0; i < q->n && i < MAX_COUNTED && n < may; i++)
		n += p->queued[q->heap[i]].t.count - p->queued[q->heap[i]].nth;
	return n < may ? n : may;
}

RARE void gr_place__owner_hold(struct gr_place *p, uint32_t owner)
{
	struct gr_place__owner *o = &p->owners[owner];
	bool may = gr_place__may_more(p, o);

	for (uint32_t i = o->first_queue; i != NIL; i = p->queues[i].next) {
		struct gr_place__queue *q = &p->queues[i];

		if (q->n && may && q->where == Q_HELD)
			gr_place__queue_move(p, i, Q_LINE);
		else if (q->n && !may && q->where != Q_HELD)
			gr_place__queue_move(p, i, Q_HELD);
	}
}

static void grow_owners(struct gr_place *p)
{
	uint32_t cap = p->cap_owners ? p->cap_owners * 2 : 8;

	p->owners = gr_xtable_grow(p->owners, p->n_owners * sizeof(*p->owners), cap * sizeof(*p->owners));
	p->cap_owners = cap;
}

int gr_place_owner_add(struct gr_place *p, const struct gr_place_owner *spec)
{
	struct gr_place__owner *o;
	uint32_t i = p->free_owner;

	if (!spec->weight || spec->weight > MAX_WEIGHT || spec->band > GR_PLACE_MAX_BAND)
		return GR_EINVAL;
	if (spec->tenant >= p->n_tenants || !p->tenants[spec->tenant].is_used)
		return GR_ENOENT;
	if (i != NIL) {
		p->free_owner = p->owners[i].first_queue;
	} else {
		if (p->n_owners >= GR_PLACE_MAX_OWNERS)
			return GR_ELIMIT;
		if (p->n_owners == p->cap_owners)
			grow_owners(p);
		i = p->n_owners++;
	}
	o = &p->owners[i];
	*o = (struct gr_place__owner){
		.is_used = true, .spec = *spec, .first_queue = NIL,
		.id = i | ((o->id >> WORKER_BITS) + 1) % WORKER_GENS << WORKER_BITS,
	};
	p->tenants[spec->tenant].n_owners++;
	LOG(p, OP_OWNER, o->id, spec->tag, spec->tenant, spec->weight, spec->max_placed, spec->band, spec->is_preemptible,
	    spec->is_whole);
	return (int)o->id;
}

/* Once nothing of it is placed any more. */
static RARE void owner_free(struct gr_place *p, uint32_t owner)
{
	struct gr_place__owner *o = &p->owners[owner];

	p->tenants[o->spec.tenant].n_owners--;
	o->is_used = false;
	o->first_queue = p->free_owner;
	p->free_owner = owner;
}

void gr_place__owner_done(struct gr_place *p, uint32_t owner)
{
	if (p->owners[owner].is_going && !p->owners[owner].n_placed)
		owner_free(p, owner);
}

int gr_place_owner_remove(struct gr_place *p, uint32_t owner)
{
	uint32_t i = gr_place__owner(p, owner);
	struct gr_place__owner *o;

	if (i == NIL || p->owners[i].is_going)
		return GR_ENOENT;
	LOG(p, OP_OWNER_DEL, owner);
	o = &p->owners[i];
	while (o->first_queue != NIL) {
		struct gr_place__queue *q = &p->queues[o->first_queue];
		uint32_t next = q->next;

		while (q->n)
			gr_place__take(p, q->front);
		q->next = p->free_queue;
		p->free_queue = o->first_queue;
		o->first_queue = next;
	}
	o->is_going = true;
	gr_place__owner_done(p, i);
	return 0;
}

int gr_place_owner_pause(struct gr_place *p, uint32_t owner, bool is_paused)
{
	uint32_t i = gr_place__owner(p, owner);

	if (i == NIL || p->owners[i].is_going)
		return GR_ENOENT;
	LOG(p, OP_OWNER_PAUSE, owner, is_paused);
	p->owners[i].is_paused = is_paused;
	gr_place__owner_hold(p, i);
	return 0;
}

int gr_place_owner_bytes(struct gr_place *p, uint32_t owner, uint64_t bytes)
{
	uint32_t i = gr_place__owner(p, owner);

	if (i == NIL)
		return GR_ENOENT;
	LOG(p, OP_OWNER_BYTES, owner, bytes);
	p->owners[i].bytes = bytes;
	return 0;
}

static uint64_t ppm(uint64_t share) { return share / (SHARE_ONE / 1000000); }

static void fill_used(const uint64_t *used, struct gr_place_owner_info *out)
{
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		out->used.v[r] = used[r] > UINT32_MAX ? UINT32_MAX : (uint32_t)used[r];
}

int gr_place_owner_info(const struct gr_place *p, uint32_t owner, struct gr_place_owner_info *out)
{
	uint32_t i = gr_place__owner(p, owner);
	const struct gr_place__owner *o;

	if (i == NIL)
		return GR_ENOENT;
	o = &p->owners[i];
	*out = (struct gr_place_owner_info){ .n_queued = o->n_queued, .n_placed = o->n_placed, .share_ppm = ppm(o->share) };
	fill_used(o->used, out);
	return 0;
}

/* ---- tenants ---- */

static int check_tenant(const struct gr_place_tenant *s)
{
	if (!s->weight || s->weight > MAX_WEIGHT)
		return GR_EINVAL;
	return 0;
}

static void set_tenant(struct gr_place__tenant *t, const struct gr_place_tenant *s)
{
	t->weight = s->weight;
	t->quota = s->quota;
	t->has_quota = false;
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		t->has_quota |= s->quota.v[r] > 0;
}

#define LOG_TENANT(p, op, id, s) LOG(p, op, id, (s)->weight, (s)->quota.v[0], (s)->quota.v[1], (s)->quota.v[2], \
	(s)->quota.v[3], (s)->quota.v[4], (s)->quota.v[5], (s)->quota.v[6], (s)->quota.v[7])

int gr_place_tenant_add(struct gr_place *p, const struct gr_place_tenant *spec)
{
	uint32_t i;
	int rc = check_tenant(spec);

	if (rc < 0)
		return rc;
	for (i = 0; i < p->n_tenants && p->tenants[i].is_used; i++)
		;
	if (i >= GR_PLACE_MAX_TENANTS)
		return GR_ELIMIT;
	if (i == p->n_tenants) {
		GR_GROW(p->tenants, p->cap_tenants, p->n_tenants + 1);
		p->n_tenants++;
	}
	p->tenants[i] = (struct gr_place__tenant){ .is_used = true, .first_stand = NIL };
	set_tenant(&p->tenants[i], spec);
	LOG_TENANT(p, OP_TENANT, i, spec);
	return (int)i;
}

int gr_place_tenant_set(struct gr_place *p, uint32_t tenant, const struct gr_place_tenant *spec)
{
	int rc = check_tenant(spec);

	if (rc < 0)
		return rc;
	if (tenant >= p->n_tenants || !p->tenants[tenant].is_used)
		return GR_ENOENT;
	LOG_TENANT(p, OP_TENANT_SET, tenant, spec);
	set_tenant(&p->tenants[tenant], spec);
	gr_place__tenant_rekey(p, tenant);
	return 0;
}

int gr_place_tenant_remove(struct gr_place *p, uint32_t tenant)
{
	if (!tenant || tenant >= p->n_tenants || !p->tenants[tenant].is_used)
		return GR_ENOENT;
	if (p->tenants[tenant].n_owners)
		return GR_ESTATE;
	LOG(p, OP_TENANT_DEL, tenant);
	p->tenants[tenant].is_used = false;
	return 0;
}

int gr_place_tenant_info(const struct gr_place *p, uint32_t tenant, struct gr_place_owner_info *out)
{
	const struct gr_place__tenant *t;
	uint64_t most = 0;

	if (tenant >= p->n_tenants || !p->tenants[tenant].is_used)
		return GR_ENOENT;
	t = &p->tenants[tenant];
	*out = (struct gr_place_owner_info){ 0 };
	for (int r = 0; r < GR_PLACE_N_RES; r++)
		if (t->used[r] * p->inverse[r] > most)
			most = t->used[r] * p->inverse[r];
	out->share_ppm = ppm(most / t->weight);
	for (uint32_t i = 0; i < p->n_owners; i++)
		if (p->owners[i].is_used && p->owners[i].spec.tenant == tenant) {
			out->n_queued += p->owners[i].n_queued;
			out->n_placed += p->owners[i].n_placed;
		}
	fill_used(t->used, out);
	return 0;
}
