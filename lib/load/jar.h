/**
 * jar - the cookies of one visit, as RFC 6265 asks of a client (sections 5.1 to 5.4)
 *
 * Kept by name, domain and path; given back to hosts and paths that match, Secure ones over TLS alone, the longest paths first.
 * Not there: a list of public suffixes. A Domain without a dot, such as "com", is refused unless it is the host itself;
 * "co.uk" is not known to be one.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"

#define GR_JAR_MAX_COOKIES 100u                 /* then the one used longest ago goes */
#define GR_JAR_MAX_COOKIE_BYTES 4096u           /* of a name, a value, a domain and a path; one that is longer is not kept */
#define GR_JAR_MAX_BYTES 32768u                 /* of all; then likewise */

struct gr_jar {                                 /* zeroed: empty */
	struct gr_buf b;                        /* records */
	uint32_t n, ticks;                      /* ticks: of use, for who goes first */
};
struct gr_jar_url {                             /* of the request */
	const char *host;                       /* a name or an address, without a port */
	struct gr_slice path;                   /* as in the request's line: a query is cut off here */
	bool is_tls;
};

void gr_jar_clear(struct gr_jar *j);            /* memory is kept */
void gr_jar_fini(struct gr_jar *j);
/* A Set-Cookie field's value came from @url: kept, replaced, taken back or ignored. @now_s: seconds since 1970. */
void gr_jar_take(struct gr_jar *j, struct gr_slice field, const struct gr_jar_url *url, int64_t now_s);
/* What a request to @url brings is appended, "a=1; b=2"; nothing when there is nothing. */
void gr_jar_give(struct gr_jar *j, const struct gr_jar_url *url, int64_t now_s, struct gr_buf *out);
/* A date as cookies have them, in any of the ways of RFC 6265, 5.1.1. Return: false: none. */
bool gr_jar_date(struct gr_slice text, int64_t *at_s);
