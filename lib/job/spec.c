/* spec.c - see spec.h. A cursor carries the path of what is being read, so that every complaint can name it; the first one
 * stands. Members that are not known are refused: a misspelt "retires" must not be silence. */
#include "lib/job/spec_int.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

static void read_blobs(struct gr_rd *r, struct gr_spec *s)
{
	const json_t *l = gr_rd_list(r, s->json, "blobs", 1u << 20), *v;
	size_t i, was = gr_rd_in(r, "blobs"), at;

	if (l) {
		s->blobs = gr_xalloc((json_array_size(l) + 1) * sizeof(*s->blobs));
		json_array_foreach(l, i, v) {
			const char *hex = json_string_value(json_array_get(v, 0));
			const json_t *size = json_array_get(v, 1);

			at = gr_rd_at(r, i);
			if (!hex || gr_digest_parse(hex, &s->blobs[i].digest) < 0 || !json_is_integer(size) || json_integer_value(size) < 0)
				gr_rd_bad(r, GR_EINVAL, "must be [digest, size]");
			else
				s->blobs[i].size = (uint64_t)json_integer_value(size);
			s->n_blobs++;
			gr_rd_out(r, at);
		}
	}
	gr_rd_out(r, was);
}

static void read_keep(struct gr_rd *r, struct gr_spec *s)
{
	const char *keep = gr_rd_text(r, s->json, "keep_logs", "all", 16);

	s->keep_logs = !strcmp(keep, "failed") ? GR_KEEP_FAILED : !strcmp(keep, "none") ? GR_KEEP_NONE : GR_KEEP_ALL;
	if (s->keep_logs == GR_KEEP_ALL && strcmp(keep, "all"))
		gr_rd_bad(r, GR_EINVAL, "keep_logs: must be all, failed or none");
}

int gr_spec_parse(json_t *json, struct gr_spec **out, struct gr_err *err)
{
	static const char *const known[] = { "name", "tenant", "weight", "priority", "idle", "max_failures", "max_failures_permille", "deadline_ms",
		"keep_ms", "keep_logs", "blobs", "stages", NULL };
	struct gr_rd r = { .err = err };
	const json_t *stages, *v;
	struct gr_spec *s;
	size_t i, was, at;

	GR_NEW(s);
	s->json = json_incref(json);
	gr_rd_only(&r, json, known);
	s->name = gr_rd_text(&r, json, "name", "", 128);
	s->tenant = gr_rd_text(&r, json, "tenant", "default", 63);
	if (r.rc >= 0 && !gr_rd_is_name(s->tenant))
		gr_rd_bad(&r, GR_EINVAL, "tenant: may hold letters, digits, '.', '_' and '-'");
	s->weight = (uint32_t)gr_rd_num(&r, json, "weight", 1, 1, 1000000);
	s->priority = (int)gr_rd_num(&r, json, "priority", 0, -15, 15);
	s->is_idle = gr_rd_flag(&r, json, "idle");
	s->max_failures = (uint64_t)gr_rd_num(&r, json, "max_failures", 0, 0, INT64_MAX);
	s->max_failures_permille = (int)gr_rd_num(&r, json, "max_failures_permille", -1, 0, 1000);
	s->deadline_ms = gr_rd_num(&r, json, "deadline_ms", 0, 0, INT64_MAX);
	s->keep_ms = (uint64_t)gr_rd_num(&r, json, "keep_ms", 0, 0, INT64_MAX / 1000000);
	read_keep(&r, s);
	read_blobs(&r, s);
	stages = gr_rd_list(&r, json, "stages", GR_SPEC_MAX_STAGES);
	was = gr_rd_in(&r, "stages");
	if (!json_array_size(stages))
		gr_rd_bad(&r, GR_EINVAL, "at least one stage is wanted");
	if (r.rc >= 0) {
		s->stages = gr_xalloc(json_array_size(stages) * sizeof(*s->stages));
		json_array_foreach(stages, i, v) {
			at = gr_rd_at(&r, i);
			s->stages[i].json = v;
			s->n_stages++;
			if (r.rc >= 0)
				gr_spec__read_stage(&r, s, (uint32_t)i);
			gr_rd_out(&r, at);
		}
	}
	if (s->n_stages + s->n_checks > GR_SPEC_MAX_STAGES)       /* a worker has them all as stages */
		gr_rd_bad(&r, GR_ELIMIT, "%u and %u comparators, %u are possible together", s->n_stages, s->n_checks, GR_SPEC_MAX_STAGES);
	gr_rd_out(&r, was);
	if (r.rc < 0) {
		gr_spec_free(&s);
		return r.rc;
	}
	*out = s;
	return 0;
}

void gr_spec_free(struct gr_spec **sp)
{
	struct gr_spec *s = *sp;

	if (!s)
		return;
	for (uint32_t i = 0; i < s->n_stages; i++) {
		free(s->stages[i].after);
		free(s->stages[i].from);
		if (s->stages[i].check)
			free(s->stages[i].check->from);
		free(s->stages[i].check);
	}
	free(s->stages);
	free(s->blobs);
	json_decref(s->json);
	free(s);
	*sp = NULL;
}

uint32_t gr_spec_stage_of(const struct gr_spec *s, uint32_t task)
{
	uint32_t lo = 0, hi = s->n_stages;

	while (hi - lo > 1) {
		uint32_t mid = (lo + hi) / 2;

		if (s->stages[mid].first <= task)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

bool gr_spec_has_secret(const struct gr_stage *st, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(st->secrets, i, v)
		if (!strcmp(json_string_value(v), name))
			return true;
	return false;
}
