/* zap.c - see zap.h; the protocol is ZeroMQ RFC 27
 *
 * Request: version "1.0", request id, domain, address, routing id, mechanism, then for CURVE the client's public key
 * (32 bytes). Reply: version, request id, status code, status text, user id, metadata. The user id of an admitted peer
 * is its key in Z85; libzmq hands it out with every message of that connection ("User-Id"), where a peer cannot forge
 * it. Refused keys are logged, a key at most once in LOG_EVERY requests, so that a stranger cannot fill the log.
 */
#include "lib/net/zap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/net/sock.h"

#define ENDPOINT "inproc://zeromq.zap.01"
#define MAX_PARTS 7
#define PART_BYTES 256u
#define LOG_EVERY 64u

struct gr_zap {
	void *rep, *stop_rx, *stop_tx;
	struct gr_allow *allow;
	pthread_t thread;
	char last_refused[41];
	unsigned n_refused;
};

struct part {
	size_t n;
	uint8_t b[PART_BYTES];
};

static bool part_is(const struct part *p, const char *text)
{
	return p->n == strlen(text) && !memcmp(p->b, text, p->n);
}

/* Return: the number of parts, or 0 for a request that is not one. */
static int read_request(void *rep, struct part parts[MAX_PARTS])
{
	bool is_bad = false;
	int n = 0, more = 1;

	while (more) {
		struct part spill, *p = n < MAX_PARTS ? &parts[n] : &spill;
		size_t n_more = sizeof(more);
		int rc = zmq_recv(rep, p->b, sizeof(p->b), ZMQ_DONTWAIT);

		if (rc < 0)
			return 0;
		is_bad |= (size_t)rc > sizeof(p->b) || n >= MAX_PARTS;
		p->n = (size_t)rc < sizeof(p->b) ? (size_t)rc : sizeof(p->b);
		n++;
		if (zmq_getsockopt(rep, ZMQ_RCVMORE, &more, &n_more) < 0)
			return 0;
	}
	return is_bad ? 0 : n;
}

static void log_refused(struct gr_zap *z, const char *key, const struct part *address)
{
	if (strcmp(z->last_refused, key) || z->n_refused % LOG_EVERY == 0)
		gr_warn("net", "key %s from %.*s is not authorised", key, (int)address->n, address->b);
	if (strcmp(z->last_refused, key)) {
		memcpy(z->last_refused, key, sizeof(z->last_refused));
		z->n_refused = 0;
	}
	z->n_refused++;
}

/* The status code; @key is the user id when it is 200. */
static const char *judge(struct gr_zap *z, const struct part *p, int n, char key[41])
{
	char name[64];

	key[0] = 0;
	if (n != MAX_PARTS || !part_is(&p[0], "1.0"))
		return "500";
	if (!part_is(&p[2], GR_ZAP_DOMAIN) || !part_is(&p[5], "CURVE") || p[6].n != 32)
		return "400";
	if (!zmq_z85_encode(key, p[6].b, 32))
		return "500";
	if (gr_allow_find(z->allow, key, name) > 0)
		return "200";
	log_refused(z, key, &p[3]);
	key[0] = 0;
	return "400";
}

static void answer(struct gr_zap *z)
{
	struct part parts[MAX_PARTS] = { 0 };
	int n = read_request(z->rep, parts);
	const char *status, *text;
	char key[41];

	status = judge(z, parts, n, key);
	text = !strcmp(status, "200") ? "OK" : "key not authorised";
	zmq_send(z->rep, "1.0", 3, ZMQ_SNDMORE);
	zmq_send(z->rep, parts[1].b, parts[1].n, ZMQ_SNDMORE);
	zmq_send(z->rep, status, 3, ZMQ_SNDMORE);
	zmq_send(z->rep, text, strlen(text), ZMQ_SNDMORE);
	zmq_send(z->rep, key, strlen(key), ZMQ_SNDMORE);
	zmq_send(z->rep, "", 0, 0);
}

static void *run(void *arg)
{
	struct gr_zap *z = arg;
	zmq_pollitem_t items[] = { { .socket = z->rep, .events = ZMQ_POLLIN }, { .socket = z->stop_rx, .events = ZMQ_POLLIN } };

	while (!(items[1].revents & ZMQ_POLLIN)) {
		if (zmq_poll(items, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		if (items[0].revents & ZMQ_POLLIN)
			answer(z);
	}
	zmq_close(z->rep);
	zmq_close(z->stop_rx);
	return NULL;
}

static void *open_socket(struct gr_loop *loop, int type)
{
	void *s = zmq_socket(gr_loop__zmq(loop), type);

	if (!s)
		abort();
	gr_sock_set_int(s, ZMQ_LINGER, 0);
	return s;
}

int gr_zap_new(struct gr_loop *loop, struct gr_allow *allow, struct gr_zap **out, struct gr_err *err)
{
	sigset_t all, old;
	struct gr_zap *z;
	char name[64];
	int rc;

	GR_NEW(z);
	z->allow = allow;
	z->rep = open_socket(loop, ZMQ_REP);
	if (zmq_bind(z->rep, ENDPOINT) < 0) {
		rc = gr_err_set(err, errno == EADDRINUSE ? GR_EEXIST : GR_EIO, "authentication handler: %s", zmq_strerror(errno));
		zmq_close(z->rep);
		free(z);
		return rc;
	}
	z->stop_rx = open_socket(loop, ZMQ_PAIR);
	z->stop_tx = open_socket(loop, ZMQ_PAIR);
	snprintf(name, sizeof(name), "inproc://griddle.zap.stop.%llu", (unsigned long long)gr_loop__serial(loop));
	if (zmq_bind(z->stop_rx, name) < 0 || zmq_connect(z->stop_tx, name) < 0)
		abort();
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&z->thread, NULL, run, z);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		zmq_close(z->rep);
		zmq_close(z->stop_rx);
		zmq_close(z->stop_tx);
		free(z);
		return gr_err_set(err, GR_EIO, "authentication handler: %s", strerror(rc));
	}
	*out = z;
	return 0;
}

void gr_zap_free(struct gr_zap **zp)
{
	struct gr_zap *z = *zp;

	*zp = NULL;
	if (!z)
		return;
	zmq_send(z->stop_tx, "", 0, 0);
	pthread_join(z->thread, NULL);
	zmq_close(z->stop_tx);
	free(z);
}
