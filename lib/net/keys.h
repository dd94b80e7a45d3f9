/**
 * keys - CURVE key pairs and the list of authorised keys
 *
 * A key file holds "public <Z85>\nsecret <Z85>\n", mode 0600. The allow list holds a line a key:
 * "<public Z85 40 chars> <roles, comma separated: client,worker,admin> <name>"; '#' starts a comment.
 */
#pragma once
#include <jansson.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/wire/msg.h"

struct gr_keypair {
	char public_key[41], secret_key[41];
};
int gr_keypair_make(struct gr_keypair *out, struct gr_err *err) GR_MUST_CHECK;
/* The text of a key file, NUL behind it. Return: 0; GR_ECONFIG. */
int gr_keypair_parse(const char *text, struct gr_keypair *out, struct gr_err *err) GR_MUST_CHECK;
int gr_keypair_load(const char *path, struct gr_keypair *out, struct gr_err *err) GR_MUST_CHECK;   /* refuses a file others can read */
int gr_keypair_save(const char *path, const struct gr_keypair *k, struct gr_err *err) GR_MUST_CHECK;  /* 0600; GR_EEXIST */
void gr_keypair_print(const struct gr_keypair *k, struct gr_buf *out);                              /* appends the text of a key file */
bool gr_key_is_valid(const char *z85);
/* A member of a Kubernetes Secret's "data", decoded, NUL behind it. Return: 0; GR_ECONFIG: it has none, or no base64. */
int gr_secret_value(const json_t *secret, const char *key, struct gr_buf *out, struct gr_err *err) GR_MUST_CHECK;

struct gr_allow;
/* A missing file is an empty list. Re-read when its mtime changed, on each look-up. */
struct gr_allow *gr_allow_open(const char *path, struct gr_err *err);
void gr_allow_free(struct gr_allow **a);
/* Return: the role mask (>0) and the name; 0 when the key is not listed. */
int gr_allow_find(struct gr_allow *a, const char *public_key, char name[64]);
/* Re-reads the file when it changed. Return: a number that changed when the list did. */
uint64_t gr_allow_version(struct gr_allow *a);
int gr_allow_add(const char *path, const char *public_key, int roles, const char *name, struct gr_err *err) GR_MUST_CHECK;
