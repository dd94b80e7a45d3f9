/* scaler.c - the built-in scaler: the scale of worker Deployments follows the work.
 *
 * Up at once; down to the most that was wanted within the window. Several Deployments are filled in the order they are named.
 * Nothing is asked while nothing changes: the scale is read when it is to be changed, and once at the start. Before a scale-in
 * the pods of busy workers get a deletion cost, so that the ReplicaSet's controller takes idle ones; costs that are right
 * already are left alone. One Deployment at a time, one step after the other: read, costs, scale. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/kube/kube.h"
#include "coordinator/kube/kube_int.h"
#include "coordinator/metrics.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define TICK_MS 1000
#define N_BUCKETS 16                       /* of the window: the most that was wanted in each */
#define RETRY_NS (5 * GR_NS_PER_S)
#define BUSY_COST 100                      /* and one more a task */

struct gr_kscaler {
	struct gr_kube *k;
	struct gr_kscaled d[GR_KUBE_MAX_SCALED];
	uint32_t n;
	uint32_t most[N_BUCKETS], at;
	uint64_t bucket_ns, since_ns, retry_ns;
	struct gr_timer *timer;
	struct gr_kreq *req;
	struct gr_kscaled *now;            /* being changed */
	uint32_t next_pod;                 /* of @costs */
	struct { char name[254]; int64_t cost; } *costs;
	uint32_t n_costs;
	uint32_t from;                     /* whose turn it is: behind the one that was put off last */
	bool is_denied, is_cost_denied;    /* told: of a scale, of a deletion cost */
	bool may_shrink;                   /* a window has passed: what was wanted before the start is not known */
	uint64_t patches, scaled;
};

static int parse(const char *text, struct gr_kscaled *d, uint32_t max, struct gr_err *err)
{
	char *list = gr_xstrdup(text), *save = NULL;
	int n = 0;

	for (char *one = strtok_r(list, ", ", &save); one && n >= 0; one = strtok_r(NULL, ", ", &save)) {
		size_t k = strcspn(one, "=");
		char *end = one, *dots;
		unsigned long lo = 0, hi = 0;
		bool is_good = k && k < 254 && one[k] == '=' && strspn(one, "abcdefghijklmnopqrstuvwxyz0123456789-.") == k && (uint32_t)n < max;

		if (is_good) {
			lo = strtoul(one + k + 1, &dots, 10);
			is_good = dots != one + k + 1 && !strncmp(dots, "..", 2);
			hi = is_good ? strtoul(dots + 2, &end, 10) : 0;
			is_good = is_good && end != dots + 2 && !*end && lo <= hi && hi && hi <= 100000;
		}
		if (!is_good) {
			n = gr_err_set(err, GR_ECONFIG, "kube-scale: bad value \"%.80s\": wants DEPLOYMENT=MIN..MAX,... (at most %u)", one, max);
			break;
		}
		one[k] = 0;
		d[n] = (struct gr_kscaled){ .min = (uint32_t)lo, .max = (uint32_t)hi, .replicas = -1 };
		snprintf(d[n].name, sizeof(d[n].name), "%s", one);
		n++;
	}
	free(list);
	return n;
}

int gr_kube_check_scale(const char *text, struct gr_err *err)
{
	struct gr_kscaled *d = gr_xalloc(GR_KUBE_MAX_SCALED * sizeof(*d));
	int rc = parse(text, d, GR_KUBE_MAX_SCALED, err);

	free(d);
	return rc < 0 ? rc : 0;
}

static void ask(struct gr_kscaler *s, const char *method, const char *json, const char *group, const char *name, const char *sub,
		void (*on_end)(void *ctx, const struct gr_kanswer *a))
{
	struct gr_kcall call = { .method = method, .json = json, .timeout_ms = (uint32_t)s->k->c->cfg.kube_timeout_ms, .on_end = on_end, .ctx = s };
	struct gr_buf path = { 0 };

	gr_buf_printf(&path, "%s/namespaces/", group);
	gr_kapi_escape(&path, s->k->ns);
	gr_buf_add_str(&path, sub[0] ? "/deployments/" : "/pods/");
	gr_kapi_escape(&path, name);
	gr_buf_add_str(&path, sub);
	call.path = gr_buf_str(&path);
	s->patches += json != NULL;
	s->req = gr_kapi_send(s->k->api, &call);
	gr_buf_fini(&path);
}

/* Later, and the others first: one that cannot be had holds up none of them. */
static void put_off(struct gr_kscaler *s)
{
	s->from = (uint32_t)(s->now - s->d) + 1;
	s->now = NULL;
	s->retry_ns = gr_coord_now(s->k->c) + RETRY_NS;
}

static bool is_refused(struct gr_kscaler *s, const struct gr_kanswer *a)
{
	if (a->rc < 0 || a->status == 401 || a->status >= 500) {
		gr_kube_say(s->k, a->why ? a->why : "no answer");
	} else {
		gr_kube_say(s->k, NULL);
		if (a->status == 200) {
			if (s->is_denied)
				gr_info("kube", "deployments can be scaled again");
			s->is_denied = false;
			return false;
		}
		if (!s->is_denied)
			gr_warn("kube", "deployment %s cannot be scaled: %s", s->now->name, a->why ? a->why : "an answer of no use");
		s->is_denied = true;
	}
	put_off(s);
	return true;
}

static int64_t replicas_of(const struct gr_kanswer *a)
{
	json_t *o = json_loadb((const char *)a->body.p, a->body.n, 0, NULL);
	const json_t *n = json_object_get(json_object_get(o, "spec"), "replicas");
	/* a zero is left out */
	int64_t v = json_is_object(json_object_get(o, "spec")) ? (json_is_integer(n) ? json_integer_value(n) : 0) : -1;

	json_decref(o);
	return v;
}

/* ---- the steps ---- */

static void on_scaled(void *ctx, const struct gr_kanswer *a)
{
	struct gr_kscaler *s = ctx;
	int64_t n;

	s->req = NULL;
	if (is_refused(s, a))
		return;
	n = replicas_of(a);
	gr_info("kube", "deployment %s: %" PRId64 " replicas, were %" PRId64, s->now->name, n, s->now->replicas);
	s->now->replicas = n;
	s->scaled++;
	s->now = NULL;
}

static void patch_scale(struct gr_kscaler *s)
{
	char json[64];

	snprintf(json, sizeof(json), "{\"spec\":{\"replicas\":%u}}", s->now->want);
	ask(s, "PATCH", json, "/apis/apps/v1", s->now->name, "/scale", on_scaled);
}

static void next_cost(struct gr_kscaler *s);

/* A pod that went meanwhile, or a cost that may not be set, keeps nothing up. */
static void on_cost(void *ctx, const struct gr_kanswer *a)
{
	struct gr_kscaler *s = ctx;

	s->req = NULL;
	if (a->rc < 0 || a->status == 401 || a->status >= 500) {
		(void)is_refused(s, a);
		return;
	}
	if (a->status != 200 && a->status != 404 && !s->is_cost_denied) {
		gr_warn("kube", "pod %s: its deletion cost cannot be set: %s", s->costs[s->next_pod - 1].name, a->why ? a->why : "an answer of no use");
		s->is_cost_denied = true;
	}
	next_cost(s);
}

static void next_cost(struct gr_kscaler *s)
{
	char json[128];

	if (s->next_pod == s->n_costs) {
		patch_scale(s);
		return;
	}
	snprintf(json, sizeof(json), "{\"metadata\":{\"annotations\":{\"controller.kubernetes.io/pod-deletion-cost\":\"%" PRId64 "\"}}}",
		 s->costs[s->next_pod].cost);
	ask(s, "PATCH", json, "/api/v1", s->costs[s->next_pod++].name, "", on_cost);
}

/* Of the pods of this Deployment, those whose cost is not what their worker's work makes it. */
static void reckon_costs(struct gr_kscaler *s)
{
	struct gr_kube *k = s->k;

	free(s->costs);
	s->costs = gr_xalloc((k->c->n_workers + 1) * sizeof(*s->costs));
	s->n_costs = s->next_pod = 0;
	GR_LIST_EACH(w, &k->c->workers, struct gr_worker, link) {
		const struct gr_kpod *p = gr_kube__pod_of(k, w);
		struct gr_place_worker_info info = { 0 };
		int64_t cost;

		if (!p || p->gone_ns || strcmp(p->f.owner, s->now->name))
			continue;
		gr_place_worker_info(k->c->place, w->place, &info);
		cost = w->is_cordoned ? -1 : info.n_placed ? BUSY_COST + (int64_t)info.n_placed : 0;
		if (cost == p->f.cost)
			continue;
		snprintf(s->costs[s->n_costs].name, sizeof(s->costs->name), "%s", p->f.name);
		s->costs[s->n_costs++].cost = cost;
	}
}

static void on_read(void *ctx, const struct gr_kanswer *a)
{
	struct gr_kscaler *s = ctx;

	s->req = NULL;
	if (is_refused(s, a))
		return;
	s->now->replicas = replicas_of(a);
	if (s->now->replicas < 0) {
		put_off(s);
	} else if (s->now->replicas == s->now->want || (s->now->replicas > s->now->want && !s->may_shrink)) {
		s->now = NULL;
	} else if (s->now->replicas > s->now->want) {
		reckon_costs(s);
		next_cost(s);
	} else {
		patch_scale(s);
	}
}

/* ---- what is wanted ---- */

static uint32_t most_wanted(struct gr_kscaler *s, uint32_t want, uint64_t now)
{
	uint64_t span = (uint64_t)s->k->c->cfg.kube_scale_down_ms * GR_NS_PER_MS / N_BUCKETS + 1;
	uint32_t most = 0;

	while (now >= s->bucket_ns + span) {
		s->bucket_ns = now - s->bucket_ns > 2 * N_BUCKETS * span ? now - N_BUCKETS * span : s->bucket_ns + span;
		s->at = (s->at + 1) % N_BUCKETS;
		s->most[s->at] = 0;
	}
	if (want > s->most[s->at])
		s->most[s->at] = want;
	for (uint32_t i = 0; i < N_BUCKETS; i++)
		if (s->most[i] > most)
			most = s->most[i];
	return most;
}

/* @n over the Deployments, each within its bounds, the first named first. */
static void share_out(struct gr_kscaler *s, uint32_t n, uint32_t *out)
{
	uint32_t least = 0, more;

	for (uint32_t i = 0; i < s->n; i++)
		least += s->d[i].min;
	more = n > least ? n - least : 0;
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t room = s->d[i].max - s->d[i].min, add = more < room ? more : room;

		out[i] = s->d[i].min + add;
		more -= add;
	}
}

static void on_tick(void *ctx)
{
	struct gr_kscaler *s = ctx;
	struct gr_coord *c = s->k->c;
	uint64_t now = gr_coord_now(c);
	uint32_t up[GR_KUBE_MAX_SCALED], down[GR_KUBE_MAX_SCALED], want = gr_metrics_workers_desired(c);

	share_out(s, want, up);
	share_out(s, most_wanted(s, want, now), down);
	s->may_shrink = now - s->since_ns >= (uint64_t)c->cfg.kube_scale_down_ms * GR_NS_PER_MS;
	if (s->now || now < s->retry_ns)
		return;
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t at = (s->from + i) % s->n;
		struct gr_kscaled *d = &s->d[at];

		d->want = d->replicas < 0 || up[at] > d->replicas ? up[at] : s->may_shrink && down[at] < d->replicas ? down[at] : (uint32_t)d->replicas;
		if (d->want == d->replicas)
			continue;
		s->now = d;
		ask(s, "GET", NULL, "/apis/apps/v1", d->name, "/scale", on_read);
		return;
	}
}

void gr_kscaler_open(struct gr_kube *k)
{
	struct gr_err err = { 0 };
	struct gr_kscaler *s;
	int n;

	if (!k->c->cfg.kube_scale)
		return;
	GR_NEW(s);
	s->k = k;
	n = parse(k->c->cfg.kube_scale, s->d, GR_KUBE_MAX_SCALED, &err);       /* the settings were checked */
	s->n = n < 0 ? 0 : (uint32_t)n;
	s->since_ns = s->bucket_ns = gr_coord_now(k->c);
	s->timer = gr_timer_start(k->c->loop, TICK_MS, TICK_MS, on_tick, s);
	k->scaler = s;
}

void gr_kscaler_close(struct gr_kube *k)
{
	struct gr_kscaler *s = k->scaler;

	k->scaler = NULL;
	if (!s)
		return;
	gr_kreq_cancel(&s->req);
	gr_timer_stop(&s->timer);
	free(s->costs);
	free(s);
}

json_t *gr_kscaler_json(const struct gr_kube *k)
{
	const struct gr_kscaler *s = k->scaler;
	json_t *list = json_array();

	for (uint32_t i = 0; s && i < s->n; i++)
		json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:I, s:i}", "deployment", s->d[i].name, "min", s->d[i].min, "max", s->d[i].max,
						      "replicas", (json_int_t)s->d[i].replicas, "want", s->d[i].want));
	return list;
}

void gr_kscaler_metrics(const struct gr_kube *k, struct gr_buf *b)
{
	const struct gr_kscaler *s = k->scaler;

	if (!s)
		return;
	gr_metrics_head(b, "kube_scale_replicas", "gauge", "Replicas the built-in scaler set, or found.");
	for (uint32_t i = 0; i < s->n; i++)
		if (s->d[i].replicas >= 0)
			gr_buf_printf(b, "griddle_kube_scale_replicas{deployment=\"%s\"} %" PRId64 "\n", s->d[i].name, s->d[i].replicas);
	gr_metrics_one(b, "kube_scaled_total", "counter", "Changes of a scale.", s->scaled);
	gr_metrics_one(b, "kube_patches_total", "counter", "Patches sent.", s->patches);
}
