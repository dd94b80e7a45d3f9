/* batch_owner.c - jobs as owners in placement, below their tenants; a tenant is there as long as a job of it is */
#include "coordinator/batch_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

struct gr_tenant_row {
	uint32_t id, weight, n_jobs;
	char name[64];
};

static struct gr_tenant_row *tenant_of(struct gr_batch *b, const char *name, uint32_t weight)
{
	struct gr_tenant_row *t = gr_map_get(&b->tenants, name, strlen(name));
	struct gr_place_tenant spec = { .weight = weight };
	int rc;

	if (t) {
		if (weight != t->weight) {
			t->weight = weight;
			gr_place_tenant_set(b->c->place, t->id, &spec);
		}
		return t;
	}
	rc = gr_place_tenant_add(b->c->place, &spec);
	if (rc < 0)
		return NULL;
	GR_NEW(t);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->id = (uint32_t)rc;
	t->weight = weight;
	gr_map_put(&b->tenants, t->name, strlen(t->name), t);
	return t;
}

/* Compiles that people wait for are in band 0; jobs by their priority at it or behind it, idle ones last of all. */
static uint8_t band_of(const struct gr_spec *s)
{
	int band = s->is_idle ? (int)GR_PLACE_MAX_BAND : 15 - s->priority;

	return (uint8_t)(band < 0 ? 0 : band);
}

int gr_bj_join_placement(struct gr_bj *j)
{
	struct gr_tenant_row *t = tenant_of(j->batch, j->tenant, j->spec->weight);
	struct gr_place_owner o = { .tag = GR_BATCH_TAG(j->id), .weight = 1, .band = band_of(j->spec), .is_preemptible = true,
				    .is_whole = j->spec->n_stages == 1 };
	int rc;

	if (!t)
		return GR_ELIMIT;
	o.tenant = t->id;
	rc = gr_place_owner_add(j->batch->c->place, &o);
	if (rc < 0)
		return rc;
	t->n_jobs++;
	j->place_owner = (uint32_t)rc;
	j->has_owner = true;
	if (j->is_paused)
		gr_place_owner_pause(j->batch->c->place, j->place_owner, true);
	return 0;
}

void gr_bj_leave_placement(struct gr_bj *j)
{
	struct gr_tenant_row *t = j->tenant ? gr_map_get(&j->batch->tenants, j->tenant, strlen(j->tenant)) : NULL;

	if (!j->has_owner)
		return;
	gr_run_drop_ranges(j);
	j->has_owner = false;
	gr_place_owner_remove(j->batch->c->place, j->place_owner);
	if (t && !--t->n_jobs) {
		gr_place_tenant_remove(j->batch->c->place, t->id);
		gr_map_del(&j->batch->tenants, t->name, strlen(t->name));
		free(t);
	}
}

void gr_batch_free_tenants(struct gr_batch *b)
{
	struct gr_tenant_row *t;
	size_t i;

	while (i = 0, (t = gr_map_each(&b->tenants, &i))) {
		gr_map_del(&b->tenants, t->name, strlen(t->name));
		free(t);
	}
	gr_map_fini(&b->tenants);
}
