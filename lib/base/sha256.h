/**
 * sha256 - content digests (OpenSSL EVP)
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "lib/base/err.h"

#define GR_DIGEST_BYTES 32
#define GR_DIGEST_HEX 65 /* with the NUL */

struct gr_digest {
	uint8_t b[GR_DIGEST_BYTES];
};

struct gr_sha256;
struct gr_sha256 *gr_sha256_new(void);
void gr_sha256_add(struct gr_sha256 *h, const void *p, size_t n);
void gr_sha256_add_str(struct gr_sha256 *h, const char *s);          /* with its NUL, so that "ab","c" != "a","bc" */
/* Writes the digest and resets @h for the next one. */
void gr_sha256_end(struct gr_sha256 *h, struct gr_digest *out);
void gr_sha256_free(struct gr_sha256 **h);

void gr_sha256_of(const void *p, size_t n, struct gr_digest *out);
/* Whole file from its current offset 0. Errors LOCAL: GR_EIO. */
int gr_sha256_fd(int fd, struct gr_digest *out, uint64_t *size) GR_MUST_CHECK;

void gr_digest_hex(const struct gr_digest *d, char out[GR_DIGEST_HEX]);
int gr_digest_parse(const char *hex, struct gr_digest *out) GR_MUST_CHECK;   /* GR_EINVAL */
static inline bool gr_digest_eq(const struct gr_digest *a, const struct gr_digest *b)
{
	return !memcmp(a->b, b->b, GR_DIGEST_BYTES);
}
