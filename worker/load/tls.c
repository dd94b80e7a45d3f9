/* tls.c - OpenSSL on a connection's descriptor: sessions are taken again, ALPN says which HTTP it will be */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#include "worker/load/gen.h"

/* A ticket came: kept for the next connection to the same host. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct gr_pool *p = SSL_get_app_data(ssl);

	if (p->session)
		SSL_SESSION_free(p->session);
	p->session = session;
	return 1;
}

static int trust(struct gr_gen *g)
{
	X509_STORE *store = SSL_CTX_get_cert_store(g->tls);
	BIO *bio;
	X509 *x;
	int n = 0;

	if (!g->plan->ca)
		return SSL_CTX_set_default_verify_paths(g->tls) ? 0 : gr_err_set(&g->err, GR_EIO, "the system's certificates cannot be read");
	bio = BIO_new_mem_buf(g->plan->ca, -1);
	while (bio && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		n += X509_STORE_add_cert(store, x);
		X509_free(x);
	}
	BIO_free(bio);
	ERR_clear_error();
	return n ? 0 : gr_err_set(&g->err, GR_ECONFIG, "ca: holds no PEM certificate");
}

int gr_tls_init(struct gr_gen *g)
{
	static const unsigned char h1[] = "\x08http/1.1", h2[] = "\x02h2";

	g->tls = SSL_CTX_new(TLS_client_method());
	if (!g->tls)
		return gr_err_set(&g->err, GR_EIO, "TLS cannot be set up");
	SSL_CTX_set_mode(g->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(g->tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(g->tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(g->tls, on_session);
	if (g->plan->is_http2)
		SSL_CTX_set_alpn_protos(g->tls, h2, sizeof(h2) - 1);
	else
		SSL_CTX_set_alpn_protos(g->tls, h1, sizeof(h1) - 1);
	SSL_CTX_set_verify(g->tls, g->plan->is_verified ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return g->plan->is_verified ? trust(g) : 0;
}

bool gr_tls_start(struct gr_gen *g, struct gr_conn *c)
{
	const char *host = c->pool->origin->host;
	unsigned char addr[16];
	bool is_name = inet_pton(AF_INET, host, addr) != 1 && inet_pton(AF_INET6, host, addr) != 1;

	c->ssl = SSL_new(g->tls);
	if (!c->ssl || !SSL_set_fd(c->ssl, c->fd))
		return false;
	SSL_set_app_data(c->ssl, c->pool);
	SSL_set_connect_state(c->ssl);
	if (is_name)
		SSL_set_tlsext_host_name(c->ssl, host);
	if (g->plan->is_verified && (is_name ? !SSL_set1_host(c->ssl, host) : !X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), host)))
		return false;
	if (c->pool->session)
		SSL_set_session(c->ssl, c->pool->session);
	return true;
}

int gr_tls_handshake(struct gr_gen *g, struct gr_conn *c)
{
	int rc = SSL_do_handshake(c->ssl), e;

	(void)g;
	if (rc == 1)
		return 1;
	e = SSL_get_error(c->ssl, rc);
	ERR_clear_error();
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

bool gr_tls_has_h2(const struct gr_conn *c)
{
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(c->ssl, &p, &n);
	return n == 2 && !memcmp(p, "h2", 2);
}
