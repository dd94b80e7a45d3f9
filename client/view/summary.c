/* summary.c - see summary.h */
#include "client/view/summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/table.h"
#include "lib/base/alloc.h"

struct reason {
	const char *text;
	json_int_t n;
};

static json_int_t get(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }

static int by_count(const void *a, const void *b)
{
	const struct reason *x = a, *y = b;

	return x->n != y->n ? (x->n < y->n ? 1 : -1) : strcmp(x->text, y->text);
}

static void add_rows(struct gr_table *t, const json_t *reasons, const char *what)
{
	size_t n = json_object_size(reasons), i = 0;
	struct reason *list = gr_xalloc((n + 1) * sizeof(*list));
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)reasons, key, v)
		list[i++] = (struct reason){ key, json_integer_value(v) };
	qsort(list, n, sizeof(*list), by_count);
	for (i = 0; i < n; i++) {
		gr_table_cell(t, "%" JSON_INTEGER_FORMAT, list[i].n);
		gr_table_cell(t, "%s", what);
		gr_table_cell(t, "%s", list[i].text);
	}
	free(list);
}

static void print_reasons(const json_t *s, FILE *out)
{
	static const char *const heads[] = { ">HERE", "WHAT", "WHY", NULL };
	const json_t *units = json_object_get(s, "reasons"), *other = json_object_get(s, "other_reasons");
	struct gr_table *t;

	if (!json_object_size(units) && !json_object_size(other))
		return;
	t = gr_table_new(heads);
	add_rows(t, units, "unit");
	add_rows(t, other, "other call");
	gr_table_print(t, out);
	gr_table_free(&t);
}

void gr_summary_print(const json_t *s, const struct gr_summary_cost *cost, FILE *out)
{
	char sent[24], received[24], wall[24], cpu[24], agent[24], remote[24];
	json_int_t units;

	gr_view_seconds(cost->wall_ms, wall);
	gr_view_seconds(cost->cpu_ms, cpu);
	if (json_is_true(json_object_get(s, "agent_lost"))) {
		fprintf(out, "griddle: the agent is gone, so what ran where is not known; wall %s, CPU here %s\n", wall, cpu);
		print_reasons(s, out);
		return;
	}
	units = get(s, "remote") + get(s, "cached") + get(s, "local");
	gr_view_bytes((uint64_t)get(s, "bytes_sent"), sent);
	gr_view_bytes((uint64_t)get(s, "bytes_received"), received);
	gr_view_seconds((uint64_t)get(s, "agent_cpu_ms"), agent);
	gr_view_seconds((uint64_t)get(s, "remote_cpu_ms"), remote);
	fprintf(out, "griddle: %" JSON_INTEGER_FORMAT " units: %" JSON_INTEGER_FORMAT " remote, %" JSON_INTEGER_FORMAT
		" cached, %" JSON_INTEGER_FORMAT " local", units, get(s, "remote"), get(s, "cached"), get(s, "local"));
	if (get(s, "failed"))
		fprintf(out, ", %" JSON_INTEGER_FORMAT " of them failed", get(s, "failed"));
	if (get(s, "retries"))
		fprintf(out, ", %" JSON_INTEGER_FORMAT " tried again", get(s, "retries"));
	if (get(s, "other"))
		fprintf(out, "; %" JSON_INTEGER_FORMAT " other calls (links, probes)", get(s, "other"));
	fprintf(out, "; sent %s, received %s\ngriddle: wall %s, CPU here %s and agent %s, on workers %s\n", sent, received, wall, cpu,
		agent, remote);
	print_reasons(s, out);
}
