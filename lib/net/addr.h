/**
 * addr - "HOST:PORT" as text to a socket address; names are not looked up
 */
#pragma once
#include <stdbool.h>
#include <sys/socket.h>
#include "lib/base/err.h"

/* @text: HOST a numeric IPv4 address, "[IPv6]", "localhost" or "*" (every IPv4 address); PORT 0..65535, 0: the kernel
 * chooses. Return: 0; GR_ECONFIG. */
int gr_addr_parse(const char *text, struct sockaddr_storage *ss, bool *is_loopback, struct gr_err *err) GR_MUST_CHECK;
