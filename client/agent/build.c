/**
 * build - what is counted for a person: units remote, cached, local with the reason, bytes
 *
 * `griddle make` registers a build; units carry its id in GRIDDLE_BUILD. Units of no registered build are counted in
 * the agent's own. A build is kept by a counted reference as long as units of it live.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "client/agent/agent.h"
#include "lib/base/alloc.h"

#define MAX_BUILDS 256u
#define MAX_REASONS 500u
#define MAX_LOCALS 10000u

static uint64_t own_cpu_us(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000u + (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static struct gr_build *build_new(const char *id)
{
	struct gr_build *b;

	GR_NEW(b);
	b->n_ref = 1;
	strncpy(b->id, id, sizeof(b->id) - 1);
	b->remote = -1;
	b->reasons = json_object();
	b->locals = json_array();
	b->cpu_start_us = own_cpu_us();
	return b;
}

struct gr_build *gr_build_open(struct gr_agent *a, const char *id, struct gr_err *err)
{
	struct gr_build *b;

	if (!*id || strlen(id) > 64 || id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")]) {
		gr_err_set(err, GR_EINVAL, "build id: wants 1 to 64 of A-Z a-z 0-9 . _ -");
		return NULL;
	}
	if (gr_map_get(&a->builds, id, strlen(id))) {
		gr_err_set(err, GR_EEXIST, "build %s is registered already", id);
		return NULL;
	}
	if (a->builds.n >= MAX_BUILDS) {
		gr_err_set(err, GR_ELIMIT, "%u builds are registered already", MAX_BUILDS);
		return NULL;
	}
	b = build_new(id);
	b->is_registered = true;
	gr_map_put(&a->builds, b->id, strlen(b->id), b);
	return b;
}

void gr_build_close(struct gr_agent *a, struct gr_build **b)
{
	if (!*b)
		return;
	if ((*b)->is_registered)
		gr_map_del(&a->builds, (*b)->id, strlen((*b)->id));
	(*b)->is_registered = false;
	/* Units of it still there answer without waiting for tokens: their make is gone. */
	gr_jobserver_free(&(*b)->jobserver);
	gr_build_unref(b);
}

struct gr_build *gr_build_find(struct gr_agent *a, const char *id)
{
	struct gr_build *b = id ? gr_map_get(&a->builds, id, strlen(id)) : NULL;

	if (!b) {
		if (!a->no_build)
			a->no_build = build_new("");
		b = a->no_build;
	}
	b->n_ref++;
	return b;
}

void gr_build_unref(struct gr_build **b)
{
	struct gr_build *x = *b;

	*b = NULL;
	if (!x || --x->n_ref)
		return;
	gr_jobserver_free(&x->jobserver);
	json_decref(x->reasons);
	json_decref(x->locals);
	free(x);
}

void gr_build_count_local(struct gr_agent *a, struct gr_build *b, const char *source, const char *reason, const char *detail)
{
	json_t *old = json_object_get(b->reasons, reason);

	b->n.local++;
	a->total.local++;
	/* Hostile or odd build systems must not grow this without end. */
	if (!old && json_object_size(b->reasons) >= MAX_REASONS) {
		reason = "other reasons";
		old = json_object_get(b->reasons, reason);
	}
	if (old)
		json_integer_set(old, json_integer_value(old) + 1);
	else
		json_object_set_new(b->reasons, reason, json_integer(1));
	if (b->is_registered && json_array_size(b->locals) < MAX_LOCALS) {
		bool has_detail = detail && *detail;
		json_t *j = json_object(), *text = json_sprintf("%s%s%s", reason, has_detail ? ": " : "", has_detail ? detail : "");

		/* Names that are no UTF-8 give NULL, which is not set. */
		json_object_set_new(j, "source", json_string(source));
		json_object_set_new(j, "reason", text);
		json_array_append_new(b->locals, j);
	}
}

static void set_counts(json_t *j, const struct gr_counts *n)
{
	json_object_set_new(j, "remote", json_integer((json_int_t)n->remote));
	json_object_set_new(j, "cached", json_integer((json_int_t)n->cached));
	json_object_set_new(j, "local", json_integer((json_int_t)n->local));
	json_object_set_new(j, "failed", json_integer((json_int_t)n->failed));
	json_object_set_new(j, "retries", json_integer((json_int_t)n->retries));
	json_object_set_new(j, "bytes_sent", json_integer((json_int_t)n->bytes_sent));
	json_object_set_new(j, "bytes_received", json_integer((json_int_t)n->bytes_received));
	json_object_set_new(j, "remote_cpu_ms", json_integer((json_int_t)(n->remote_cpu_us / 1000)));
}

json_t *gr_build_summary(const struct gr_agent *a, const struct gr_build *b, bool has_lists)
{
	const struct gr_cluster *c = gr_uplink_cluster(a);
	json_t *j = json_object();

	json_object_set_new(j, "build", json_string(b->id));
	set_counts(j, &b->n);
	json_object_set_new(j, "in_flight", json_integer(b->in_flight));
	json_object_set_new(j, "waiting_local", json_integer(b->waiting_local));
	json_object_set_new(j, "agent_cpu_ms", json_integer((json_int_t)((own_cpu_us() - b->cpu_start_us) / 1000)));
	json_object_set_new(j, "connected", json_boolean(gr_uplink_is_up(a)));
	json_object_set_new(j, "slots", json_integer(c->slots));
	json_object_set_new(j, "workers", json_integer(c->workers));
	if (has_lists) {
		json_object_set(j, "reasons", b->reasons);
		json_object_set(j, "locals", b->locals);
	}
	return j;
}
