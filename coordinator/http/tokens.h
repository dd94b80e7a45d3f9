/**
 * tokens - who may use the HTTP API: a file with a line a token, "HASH ROLES NAME"
 *
 * HASH is the SHA-256 of the token in hex, so that the file gives nobody a token; ROLES of viewer, client, admin with
 * commas between; '#' starts a comment. `griddle keys token` makes a token and its line. The file is read again when it
 * changed; one that others may write is not believed. Thread: the loop's.
 */
#pragma once
#include "lib/base/err.h"

enum gr_http_role {                /* bits; each holds those before it */
	GR_HTTP_VIEWER = 1,        /* may look */
	GR_HTTP_CLIENT = 3,        /* may submit, and change what is its own */
	GR_HTTP_ADMIN = 7,         /* may change everything */
};
#define GR_TOKEN_MAX_BYTES 512u

struct gr_tokens;
/* GR_ECONFIG for a file that is damaged or open to others' writing, with the line; GR_ENOENT. */
int gr_tokens_open(const char *path, struct gr_tokens **out, struct gr_err *err) GR_MUST_CHECK;
void gr_tokens_free(struct gr_tokens **t);
/* Return: the role's bits and the name; 0 when there is no such token, or the file became unusable. The time it takes
 * does not depend on how much of a hash was right. */
int gr_tokens_find(struct gr_tokens *t, const char *token, char name[64]);
