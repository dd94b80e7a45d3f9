/* secrets.c - `--kube-keys`: the Secrets with the cluster's keys, made where they are not there
 *
 * The coordinator's Secret is written first and holds every key pair; the others get copies of what is in it. So the next run
 * finishes with the same keys what one left half done, and of two at once the second takes what the first wrote. A coordinator's
 * Secret without the others' keys was made by hand: then nothing is made. What is there is never changed. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/kube/kube.h"
#include "coordinator/kube/kube_int.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/net/keys.h"

enum { COORDINATOR, WORKER, CLIENT, N_PARTS };
static const char *const file_of[N_PARTS] = { "coordinator.key", "worker.key", "client.key" };
#define MAX_TRIES 3                        /* of somebody else making and removing it meanwhile */

struct maker {
	struct gr_loop *loop;
	struct gr_kapi *api;
	struct gr_kreq *req;
	struct gr_err *err;
	const struct gr_coord_config *cfg;
	char ns[64], name[N_PARTS][254];
	struct gr_keypair pair[N_PARTS];
	int part;                          /* whose Secret is asked for */
	uint32_t n_tries;
	int rc;                            /* 1: not over */
};

static int parse(const char *text, char out[N_PARTS][254], struct gr_err *err)
{
	char *list = gr_xstrdup(text), *save = NULL;
	int n = 0;

	for (char *one = strtok_r(list, ",", &save); one && n >= 0; one = strtok_r(NULL, ",", &save)) {
		bool is_good = n < N_PARTS && strlen(one) < sizeof(out[0]) && strspn(one, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(one);

		for (int i = 0; i < n && is_good; i++)
			is_good = strcmp(out[i], one);
		if (is_good)
			snprintf(out[n++], sizeof(out[0]), "%s", one);
		else
			n = -1;
	}
	free(list);
	return n == N_PARTS ? 0 : gr_err_set(err, GR_ECONFIG, "kube-keys: bad value \"%.80s\": wants three names of Secrets, COORDINATOR,WORKER,CLIENT", text);
}

int gr_kube_check_keys(const char *text, struct gr_err *err)
{
	char name[N_PARTS][254];

	return parse(text, name, err);
}

static void finish(struct maker *m, int rc)
{
	m->rc = rc;
	gr_loop_stop(m->loop);
}

static void give_up(struct maker *m, const struct gr_kanswer *a)
{
	int rc = a->rc < 0 ? a->rc : a->status == 401 || a->status == 403 ? GR_EAUTH : a->status >= 500 || a->status == 429 ? GR_EUNREACH : GR_EPROTO;

	finish(m, gr_err_set(m->err, rc, "kube-keys: Secret %s/%s: %s", m->ns, m->name[m->part], a->why ? a->why : "an answer of no use"));
}

static void ask(struct maker *m, const char *method, const char *json, const char *name, void (*on_end)(void *ctx, const struct gr_kanswer *a))
{
	struct gr_kcall call = { .method = method, .json = json, .timeout_ms = (uint32_t)m->cfg->kube_timeout_ms, .on_end = on_end, .ctx = m };
	struct gr_buf path = { 0 };

	gr_buf_add_str(&path, "/api/v1/namespaces/");
	gr_kapi_escape(&path, m->ns);
	gr_buf_add_str(&path, "/secrets");
	if (name) {
		gr_buf_add_str(&path, "/");
		gr_kapi_escape(&path, name);
	}
	call.path = gr_buf_str(&path);
	m->req = gr_kapi_send(m->api, &call);
	gr_buf_fini(&path);
}

static void add_key(json_t *data, const char *file, const struct gr_keypair *k)
{
	struct gr_buf text = { 0 };

	gr_keypair_print(k, &text);
	json_object_set_new(data, file, json_string(gr_buf_str(&text)));
	explicit_bzero(text.p, text.n);
	gr_buf_fini(&text);
}

static void on_made(void *ctx, const struct gr_kanswer *a);

static json_t *data_of(const struct maker *m)
{
	json_t *data = json_object();
	struct gr_buf allow = { 0 };

	json_object_set_new(data, "server.pub", json_string(m->pair[COORDINATOR].public_key));
	for (int i = 0; i < N_PARTS; i++)
		if (m->part == COORDINATOR || m->part == i)
			add_key(data, file_of[i], &m->pair[i]);
	if (m->part == COORDINATOR) {
		gr_buf_printf(&allow, "%s worker workers\n%s client clients\n", m->pair[WORKER].public_key, m->pair[CLIENT].public_key);
		json_object_set_new(data, "allow", json_string(gr_buf_str(&allow)));
		gr_buf_fini(&allow);
	}
	return data;
}

static void make_secret(struct maker *m)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:{s:s, s:{s:s, s:s}}, s:o}", "apiVersion", "v1", "kind", "Secret", "type", "Opaque", "metadata", "name",
			      m->name[m->part], "labels", "app.kubernetes.io/part-of", "griddle", "app.kubernetes.io/managed-by", "griddle-coordinator",
			      "stringData", data_of(m));
	char *text = json_dumps(o, JSON_COMPACT);

	ask(m, "POST", text, NULL, on_made);
	explicit_bzero(text, strlen(text));
	free(text);
	json_decref(o);
}

/* The pairs out of the coordinator's Secret. Return: 1; 0: it has its own alone; GR_ECONFIG. */
static int take_pairs(struct maker *m, struct gr_slice body, struct gr_err *err)
{
	json_t *secret = json_loadb((const char *)body.p, body.n, 0, NULL);
	struct gr_err none = { 0 };
	int rc = 1;

	for (int i = 0; i < N_PARTS && rc > 0; i++) {
		struct gr_buf text = { 0 };

		if (gr_secret_value(secret, file_of[i], &text, &none) < 0)
			rc = 0;
		else if (gr_keypair_parse(gr_buf_str(&text), &m->pair[i], err) < 0)
			rc = gr_err_wrap(err, "its %s", file_of[i]);
		if (text.n)
			explicit_bzero(text.p, text.n);
		gr_buf_fini(&text);
	}
	json_decref(secret);
	return rc;
}

static void on_first(void *ctx, const struct gr_kanswer *a)
{
	struct maker *m = ctx;
	int rc = 0;

	m->req = NULL;
	if (a->rc < 0 || (a->status != 200 && a->status != 404)) {
		give_up(m, a);
		return;
	}
	if (a->status == 404) {
		for (int i = 0; i < N_PARTS && rc >= 0; i++)
			rc = gr_keypair_make(&m->pair[i], m->err);
		if (rc < 0)
			finish(m, rc);
		else
			make_secret(m);
		return;
	}
	rc = take_pairs(m, a->body, m->err);
	if (rc < 0) {
		finish(m, gr_err_wrap(m->err, "kube-keys: Secret %s/%s", m->ns, m->name[COORDINATOR]));
	} else if (!rc) {
		gr_info("kube", "Secret %s/%s is there and has no keys for workers and clients, so it was made by hand: nothing is made", m->ns, m->name[COORDINATOR]);
		finish(m, 0);
	} else {
		gr_info("kube", "Secret %s/%s is there", m->ns, m->name[COORDINATOR]);
		m->part = WORKER;
		make_secret(m);
	}
}

static void on_made(void *ctx, const struct gr_kanswer *a)
{
	struct maker *m = ctx;

	m->req = NULL;
	if (a->rc < 0 || (a->status != 201 && a->status != 409)) {
		give_up(m, a);
		return;
	}
	gr_info("kube", "Secret %s/%s %s", m->ns, m->name[m->part], a->status == 201 ? "made" : "is there");
	if (m->part == COORDINATOR && a->status == 409) {        /* somebody was quicker: theirs it is */
		if (++m->n_tries < MAX_TRIES)
			ask(m, "GET", NULL, m->name[COORDINATOR], on_first);
		else
			give_up(m, a);
	} else if (++m->part < N_PARTS) {
		make_secret(m);
	} else {
		finish(m, 0);
	}
}

int gr_kube_make_keys(const struct gr_coord_config *cfg, struct gr_loop *loop, struct gr_err *err)
{
	struct maker m = { .loop = loop, .err = err, .cfg = cfg, .rc = 1 };
	int rc = parse(cfg->kube_keys, m.name, err);

	if (rc >= 0 && !cfg->kube_api)
		rc = gr_err_set(err, GR_ECONFIG, "kube-keys: not in a pod: KUBERNETES_SERVICE_HOST is not set, and --kube-api neither");
	if (rc < 0)
		return rc;
	gr_kube__namespace(cfg, m.ns);
	m.api = gr_kapi_new(loop, cfg->kube_api, cfg->kube_account);
	if (!m.api)
		return gr_err_set(err, GR_ENOMEM, "kube-keys: libcurl cannot be set up");
	ask(&m, "GET", NULL, m.name[COORDINATOR], on_first);
	gr_loop_run(loop);
	gr_kreq_cancel(&m.req);
	gr_kapi_free(&m.api);
	explicit_bzero(m.pair, sizeof(m.pair));
	return m.rc > 0 ? gr_err_set(err, GR_EGONE, "kube-keys: ended before it was done") : m.rc;
}
