/* addr.c - see addr.h */
#include "lib/net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

int gr_addr_parse(const char *text, struct sockaddr_storage *ss, bool *is_loopback, struct gr_err *err)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	const char *colon = strrchr(text, ':');
	char host[64] = "", *end = NULL;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
	size_t n = colon ? (size_t)(colon - text) : 0;

	memset(ss, 0, sizeof(*ss));
	if (!colon || !colon[1] || *end || port > 65535 || !n || n >= sizeof(host))
		return gr_err_set(err, GR_ECONFIG, "\"%s\" is not HOST:PORT", text);
	memcpy(host, text, n);
	if (!strcmp(host, "localhost"))
		strcpy(host, "127.0.0.1");
	if (!strcmp(host, "*"))
		strcpy(host, "0.0.0.0");
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = 0;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
			return gr_err_set(err, GR_ECONFIG, "\"%s\" is not an IPv6 address", host + 1);
		*is_loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
		return 0;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		return gr_err_set(err, GR_ECONFIG, "\"%s\" is not an IP address", host);
	*is_loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
	return 0;
}
