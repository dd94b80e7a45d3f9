/* sha256.c - see sha256.h. EVP_MD is fetched once: EVP_sha256() looks it up by name on every init in OpenSSL 3. */
#include "lib/base/sha256.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/alloc.h"

struct gr_sha256 {
	EVP_MD_CTX *ctx;
	EVP_MD *md;
};

struct gr_sha256 *gr_sha256_new(void)
{
	struct gr_sha256 *h;

	GR_NEW(h);
	h->ctx = EVP_MD_CTX_new();
	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!h->ctx || !h->md || !EVP_DigestInit_ex2(h->ctx, h->md, NULL))
		abort();
	return h;
}

void gr_sha256_add(struct gr_sha256 *h, const void *p, size_t n)
{
	if (!EVP_DigestUpdate(h->ctx, p, n))
		abort();
}

void gr_sha256_add_str(struct gr_sha256 *h, const char *s) { gr_sha256_add(h, s, strlen(s) + 1); }

void gr_sha256_end(struct gr_sha256 *h, struct gr_digest *out)
{
	if (!EVP_DigestFinal_ex(h->ctx, out->b, NULL) || !EVP_DigestInit_ex2(h->ctx, h->md, NULL))
		abort();
}

void gr_sha256_free(struct gr_sha256 **h)
{
	if (!*h)
		return;
	EVP_MD_CTX_free((*h)->ctx);
	EVP_MD_free((*h)->md);
	free(*h);
	*h = NULL;
}

void gr_sha256_of(const void *p, size_t n, struct gr_digest *out)
{
	static _Thread_local struct gr_sha256 *h;   /* a cache, not state: reset after every use */

	if (!h)
		h = gr_sha256_new();
	gr_sha256_add(h, p, n);
	gr_sha256_end(h, out);
}

int gr_sha256_fd(int fd, struct gr_digest *out, uint64_t *size)
{
	struct gr_sha256 *h = gr_sha256_new();
	static _Thread_local uint8_t chunk[65536];
	uint64_t total = 0;
	ssize_t n;

	while ((n = pread(fd, chunk, sizeof(chunk), (off_t)total)) > 0) {
		gr_sha256_add(h, chunk, (size_t)n);
		total += (uint64_t)n;
	}
	if (n == 0) {
		gr_sha256_end(h, out);
		if (size)
			*size = total;
	}
	gr_sha256_free(&h);
	return n < 0 ? GR_EIO : 0;
}

void gr_digest_hex(const struct gr_digest *d, char out[GR_DIGEST_HEX])
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < GR_DIGEST_BYTES; i++) {
		out[2 * i] = hex[d->b[i] >> 4];
		out[2 * i + 1] = hex[d->b[i] & 15];
	}
	out[2 * GR_DIGEST_BYTES] = 0;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int gr_digest_parse(const char *hex, struct gr_digest *out)
{
	struct gr_digest d;

	if (strlen(hex) != 2 * GR_DIGEST_BYTES)
		return GR_EINVAL;
	for (int i = 0; i < GR_DIGEST_BYTES; i++) {
		int hi = nibble(hex[2 * i]), lo = nibble(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return GR_EINVAL;
		d.b[i] = (uint8_t)(hi << 4 | lo);
	}
	*out = d;
	return 0;
}
