/* endpoint.c - see endpoint.h
 *
 * libzmq accepts more than griddle wants ("tcp://src;dst", interface names, service names); what is not plainly a
 * host and a port is refused here, where the message can say so.
 */
#include "lib/net/endpoint.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static bool is_v4_loopback(const char *host)
{
	struct in_addr a;

	return inet_pton(AF_INET, host, &a) == 1 && (ntohl(a.s_addr) >> 24) == 127;
}

static bool is_v6_loopback(const char *host)
{
	struct in6_addr a;

	if (inet_pton(AF_INET6, host, &a) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&a) || (IN6_IS_ADDR_V4MAPPED(&a) && a.s6_addr[12] == 127);
}

bool gr_address_is_loopback(const char *peer_address)
{
	/* For an ipc peer libzmq gives "localhost:uid:gid:pid", ":uid:gid:pid" or nothing; for TCP always numbers. */
	if (peer_address[0] == 0 || !strncmp(peer_address, "localhost:", 10) ||
	    (peer_address[0] == ':' && peer_address[1] != ':'))
		return true;
	return is_v4_loopback(peer_address) || is_v6_loopback(peer_address);
}

static int parse_ipc(const char *path, struct gr_endpoint *out, struct gr_err *err)
{
	if (!*path || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return gr_err_set(err, GR_EINVAL, "ipc://%s: the path must be 1 to %zu bytes long", path,
				  sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	out->is_ipc = out->is_loopback = true;
	strcpy(out->host, path);
	return 0;
}

static int parse_host(const char *text, const char *host, size_t n, bool is_bind, struct gr_endpoint *out,
		      struct gr_err *err)
{
	struct in6_addr a6;
	struct in_addr a4;

	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
		out->is_v6 = true;
	}
	if (n == 0 || n >= sizeof(out->host))
		return gr_err_set(err, GR_EINVAL, "%s: no host in it", text);
	memcpy(out->host, host, n);
	out->host[n] = 0;
	if (out->is_v6) {
		if (inet_pton(AF_INET6, out->host, &a6) != 1)
			return gr_err_set(err, GR_EINVAL, "%s: not an IPv6 address: %s", text, out->host);
		out->is_loopback = is_v6_loopback(out->host);
		return 0;
	}
	if (!strcmp(out->host, "*")) {
		if (!is_bind)
			return gr_err_set(err, GR_EINVAL, "%s: a host is needed to connect to", text);
		return 0;
	}
	if (inet_pton(AF_INET, out->host, &a4) == 1) {
		out->is_loopback = is_v4_loopback(out->host);
		return 0;
	}
	if (strspn(out->host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != n)
		return gr_err_set(err, GR_EINVAL, "%s: not a host name: %s", text, out->host);
	out->is_name = true;
	out->is_loopback = !strcmp(out->host, "localhost");
	return 0;
}

int gr_endpoint_parse(const char *text, bool is_bind, struct gr_endpoint *out, struct gr_err *err)
{
	struct gr_endpoint e = { 0 };
	const char *colon;
	char *end;
	unsigned long port;
	int rc;

	if (!strncmp(text, "ipc://", 6)) {
		rc = parse_ipc(text + 6, &e, err);
		if (rc == 0)
			*out = e;
		return rc;
	}
	if (strncmp(text, "tcp://", 6))
		return gr_err_set(err, GR_EINVAL, "%s: an endpoint is tcp://host:port or ipc://path", text);
	colon = strrchr(text + 6, ':');
	if (!colon || colon[1] < '0' || colon[1] > '9')
		return gr_err_set(err, GR_EINVAL, "%s: no port in it", text);
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > 65535 || (port == 0 && !is_bind))
		return gr_err_set(err, GR_EINVAL, "%s: not a port: %s", text, colon + 1);
	e.port = (unsigned)port;
	rc = parse_host(text, text + 6, (size_t)(colon - text - 6), is_bind, &e, err);
	if (rc < 0)
		return rc;
	*out = e;
	return 0;
}
