/* names.c - see names.h */
#include "worker/load/names.h"

#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/net/loop.h"

struct host {
	char *name, *port;
	struct gr_addrs addrs;
};
struct gr_names {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	_Atomic uint32_t version;
	uint32_t n_refs, n_hosts;
	bool is_closed;
	uint64_t refresh_ns;
	gr_names_done *done;
	void *ctx;
	struct host *hosts;
};

static void unref(struct gr_names *n)    /* locked; unlocks */
{
	bool is_last = !--n->n_refs;

	pthread_mutex_unlock(&n->lock);
	if (!is_last)
		return;
	for (uint32_t i = 0; i < n->n_hosts; i++) {
		free(n->hosts[i].name);
		free(n->hosts[i].port);
	}
	free(n->hosts);
	pthread_cond_destroy(&n->wake);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static int look_up(const struct host *h, struct gr_addrs *out, struct gr_err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list = NULL, *a;
	int rc = getaddrinfo(h->name, h->port, &hints, &list);

	if (rc) {                                /* loopback addresses on a machine without any other */
		hints.ai_flags = 0;
		rc = getaddrinfo(h->name, h->port, &hints, &list);
	}
	if (rc)
		return gr_err_set(err, GR_EUNREACH, "%s: %s", h->name, gai_strerror(rc));
	memset(out, 0, sizeof(*out));
	for (a = list; a && out->n < GR_NAMES_MAX_ADDRS; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(out->a[0]))
			continue;
		memcpy(&out->a[out->n], a->ai_addr, a->ai_addrlen);
		out->len[out->n++] = a->ai_addrlen;
	}
	freeaddrinfo(list);
	return out->n ? 0 : gr_err_set(err, GR_EUNREACH, "%s: no address", h->name);
}

/* All hosts once. Without the lock while the resolver has it; hosts' names never change. */
static int look_up_all(struct gr_names *n, struct gr_err *err)
{
	bool is_changed = false;
	int rc = 0;

	for (uint32_t i = 0; rc != GR_EGONE && i < n->n_hosts; i++) {
		struct gr_addrs found;
		int one = look_up(&n->hosts[i], &found, err);

		pthread_mutex_lock(&n->lock);
		if (one >= 0 && memcmp(&found, &n->hosts[i].addrs, sizeof(found))) {
			n->hosts[i].addrs = found;
			is_changed = true;
		}
		if (one < 0)
			rc = one;
		if (n->is_closed)
			rc = GR_EGONE;
		pthread_mutex_unlock(&n->lock);
	}
	if (is_changed)
		n->version++;
	return rc;
}

static void *names_main(void *arg)
{
	struct gr_names *n = arg;
	struct gr_err err = { 0 };
	int rc;

	prctl(PR_SET_NAME, "griddle-names");
	rc = look_up_all(n, &err);
	pthread_mutex_lock(&n->lock);
	if (!n->is_closed)
		n->done(n->ctx, rc, &err);
	while (!n->is_closed && rc >= 0 && n->refresh_ns) {
		uint64_t at_ns = gr_clock_mono_ns() + n->refresh_ns;
		struct timespec at = { .tv_sec = (time_t)(at_ns / GR_NS_PER_S), .tv_nsec = (long)(at_ns % GR_NS_PER_S) };
		int e = 0;

		while (!n->is_closed && !e)
			e = pthread_cond_timedwait(&n->wake, &n->lock, &at);
		if (n->is_closed)
			break;
		pthread_mutex_unlock(&n->lock);
		(void)look_up_all(n, &err);              /* of a host that has none now, those from before hold */
		pthread_mutex_lock(&n->lock);
	}
	unref(n);
	return NULL;
}

int gr_names_new(const struct gr_load_plan *plan, uint64_t refresh_ns, gr_names_done *done, void *ctx, struct gr_names **out, struct gr_err *err)
{
	pthread_condattr_t mono;
	pthread_attr_t attr;
	struct gr_names *n;
	pthread_t thread;
	int rc;

	GR_NEW(n);
	n->done = done;
	n->ctx = ctx;
	n->refresh_ns = refresh_ns;
	n->n_refs = 2;
	n->n_hosts = plan->n_origins;
	n->hosts = gr_xalloc((n->n_hosts + 1) * sizeof(*n->hosts));
	for (uint32_t i = 0; i < n->n_hosts; i++) {
		n->hosts[i].name = gr_xstrdup(plan->origins[i].host);
		n->hosts[i].port = gr_xstrdup(plan->origins[i].port);
	}
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&n->wake, &mono);
	pthread_condattr_destroy(&mono);
	*out = n;                                /* before the thread may call back */
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, names_main, n);
	pthread_attr_destroy(&attr);
	if (rc) {
		n->n_refs = 1;
		gr_names_free(out);
		return gr_err_set(err, GR_EIO, "no thread to look names up");
	}
	return 0;
}

void gr_names_free(struct gr_names **np)
{
	struct gr_names *n = *np;

	*np = NULL;
	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	n->is_closed = true;
	pthread_cond_signal(&n->wake);
	unref(n);
}

uint32_t gr_names_version(struct gr_names *n) { return n->version; }

void gr_names_get(struct gr_names *n, uint32_t i, struct gr_addrs *out)
{
	pthread_mutex_lock(&n->lock);
	*out = n->hosts[i].addrs;
	pthread_mutex_unlock(&n->lock);
}
