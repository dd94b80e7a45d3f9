/* hdr_code.c - the V2 encoding of HdrHistogram: big-endian header of 40 bytes, then zigzag LEB128 of at most 9 bytes a
 * number, a negative one standing for so many counters of zero. The compressed form is a cookie, a length and zlib. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/base/alloc.h"
#include "lib/stats/hdr.h"

#define COOKIE_V2 0x1c849313u                    /* 0x1c849303, word size 1 (LEB128) in the second nibble */
#define COOKIE_V2_ZLIB 0x1c849314u
#define HEADER_BYTES 40u
#define DIGITS 3u

static void put32(struct gr_buf *b, uint32_t v)
{
	for (int i = 24; i >= 0; i -= 8)
		gr_buf_add_byte(b, (uint8_t)(v >> i));
}

static void put64(struct gr_buf *b, uint64_t v)
{
	put32(b, (uint32_t)(v >> 32));
	put32(b, (uint32_t)v);
}

static uint64_t get(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static void put_zigzag(struct gr_buf *b, int64_t v)
{
	uint64_t z = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);

	for (int i = 0; i < 8 && z >= 0x80; i++) {
		gr_buf_add_byte(b, (uint8_t)(z | 0x80));
		z >>= 7;
	}
	gr_buf_add_byte(b, (uint8_t)z);              /* the ninth byte carries eight bits */
}

static int get_zigzag(const uint8_t **p, const uint8_t *end, int64_t *out)
{
	uint64_t z = 0;

	for (int i = 0; ; i++) {
		uint8_t c;

		if (*p == end)
			return GR_ETRUNC;
		c = *(*p)++;
		if (i == 8) {
			z |= (uint64_t)c << 56;
			break;
		}
		z |= (uint64_t)(c & 0x7f) << (7 * i);
		if (!(c & 0x80))
			break;
	}
	*out = (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
	return 0;
}

void gr_hdr_encode(const struct gr_hdr *h, struct gr_buf *out)
{
	double ratio = 1.0;
	uint64_t bits;
	size_t at = out->n;
	int64_t zeros = 0;

	put32(out, COOKIE_V2);
	put32(out, 0);
	put32(out, 0);                               /* normalising offset */
	put32(out, DIGITS);
	put64(out, GR_HDR_LOWEST);
	put64(out, GR_HDR_HIGHEST);
	memcpy(&bits, &ratio, sizeof(bits));
	put64(out, bits);
	if (h->total)
		zeros = h->i_low;
	for (uint32_t i = h->i_low; h->total && i <= h->i_high; i++) {
		if (!h->counts[i]) {
			zeros++;
			continue;
		}
		if (zeros)
			put_zigzag(out, -zeros);
		zeros = 0;
		put_zigzag(out, (int64_t)h->counts[i]);
	}
	for (uint32_t i = 0, n = (uint32_t)(out->n - at - HEADER_BYTES); i < 4; i++)
		out->p[at + 4 + i] = (uint8_t)(n >> (24 - 8 * i));
}

int gr_hdr_decode(struct gr_slice in, struct gr_hdr *into)
{
	struct gr_hdr h = { 0 };
	const uint8_t *p = in.p, *end;
	uint32_t i = 0;
	int rc = 0;

	if (in.n < HEADER_BYTES)
		return GR_ETRUNC;
	if (get(p, 4) != COOKIE_V2 || get(p + 8, 4) != 0)
		return GR_EPROTO;
	if (get(p + 12, 4) != DIGITS || get(p + 16, 8) != GR_HDR_LOWEST || get(p + 24, 8) != GR_HDR_HIGHEST)
		return GR_EUNSUP;
	if (get(p + 4, 4) != in.n - HEADER_BYTES)
		return get(p + 4, 4) > in.n - HEADER_BYTES ? GR_ETRUNC : GR_EPROTO;
	if (in.n > GR_HDR_MAX_ENCODED_BYTES)
		return GR_ELIMIT;
	p += HEADER_BYTES;
	end = in.p + in.n;
	while (rc == 0 && p < end) {
		int64_t v;

		rc = get_zigzag(&p, end, &v);
		if (rc < 0)
			break;
		if (v <= 0) {
			if (!v || v < -(int64_t)GR_HDR_N_COUNTS || i + (uint64_t)-v > GR_HDR_N_COUNTS)
				rc = v ? GR_ELIMIT : GR_EPROTO;
			else
				i += (uint32_t)-v;
			continue;
		}
		if (i >= GR_HDR_N_COUNTS || i > gr_hdr_index(GR_HDR_HIGHEST) || (uint64_t)v > INT64_MAX - h.total) {
			rc = GR_ELIMIT;
			break;
		}
		gr_hdr_add_n(&h, gr_hdr_value_low(i) / 2 + gr_hdr_value_high(i) / 2, (uint64_t)v);
		i++;
	}
	if (rc == 0 && h.total) {
		h.min = gr_hdr_value_low(h.i_low);
		h.max = gr_hdr_value_high(h.i_high);
		if (h.max > GR_HDR_HIGHEST)
			h.max = GR_HDR_HIGHEST;
	}
	if (rc == 0 && h.total > INT64_MAX - into->total)
		rc = GR_ELIMIT;
	if (rc == 0)
		gr_hdr_merge(into, &h);
	gr_hdr_fini(&h);
	return rc;
}

int gr_hdr_set_exact(struct gr_hdr *h, uint64_t min, uint64_t max, double sum)
{
	if (!h->total)
		return min || max || sum != 0 ? GR_EPROTO : 0;
	if (min > max || max > GR_HDR_HIGHEST || gr_hdr_index(min) != h->i_low || gr_hdr_index(max) != h->i_high || !isfinite(sum) ||
	    sum < 0)
		return GR_EPROTO;
	h->min = min;
	h->max = max;
	h->sum = sum;
	return 0;
}

/* ---- text ---- */

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64_add(struct gr_buf *out, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)(i + 1 < n ? p[i + 1] : 0) << 8 | (i + 2 < n ? p[i + 2] : 0);

		gr_buf_add_byte(out, (uint8_t)digits64[v >> 18]);
		gr_buf_add_byte(out, (uint8_t)digits64[v >> 12 & 63]);
		gr_buf_add_byte(out, (uint8_t)(i + 1 < n ? digits64[v >> 6 & 63] : '='));
		gr_buf_add_byte(out, (uint8_t)(i + 2 < n ? digits64[v & 63] : '='));
	}
}

static int base64_take(const char *s, size_t n, struct gr_buf *out)
{
	if (n % 4)
		return GR_EPROTO;
	for (size_t i = 0; i < n; i += 4) {
		uint32_t v = 0;
		int pad = 0;

		for (size_t k = 0; k < 4; k++) {
			const char *at = s[i + k] ? strchr(digits64, s[i + k]) : NULL;

			if (s[i + k] == '=' && k >= 2 && i + 4 == n)
				pad++;
			else if (!at || pad)
				return GR_EPROTO;
			v = v << 6 | (at ? (uint32_t)(at - digits64) : 0);
		}
		gr_buf_add_byte(out, (uint8_t)(v >> 16));
		if (pad < 2)
			gr_buf_add_byte(out, (uint8_t)(v >> 8));
		if (pad < 1)
			gr_buf_add_byte(out, (uint8_t)v);
	}
	return 0;
}

void gr_hdr_encode_text(const struct gr_hdr *h, struct gr_buf *out)
{
	struct gr_buf raw = { 0 }, packed = { 0 };
	uLongf n;

	gr_hdr_encode(h, &raw);
	n = compressBound(raw.n);
	put32(&packed, COOKIE_V2_ZLIB);
	put32(&packed, 0);
	gr_buf_reserve(&packed, n);
	if (compress2(packed.p + 8, &n, raw.p, raw.n, 6) != Z_OK)
		abort();                             /* room is enough: our bug */
	packed.n += n;
	for (int i = 0; i < 4; i++)
		packed.p[4 + i] = (uint8_t)(n >> (24 - 8 * i));
	base64_add(out, packed.p, packed.n);
	gr_buf_fini(&raw);
	gr_buf_fini(&packed);
}

int gr_hdr_decode_text(const char *text, struct gr_hdr *into)
{
	size_t n = strlen(text);
	struct gr_buf packed = { 0 };
	uint8_t *raw;
	uLongf n_raw = GR_HDR_MAX_ENCODED_BYTES;
	int rc;

	if (n > 2 * GR_HDR_MAX_ENCODED_BYTES)
		return GR_ELIMIT;
	rc = base64_take(text, n, &packed);
	if (rc == 0 && packed.n < 8)
		rc = GR_ETRUNC;
	if (rc == 0 && (get(packed.p, 4) != COOKIE_V2_ZLIB || get(packed.p + 4, 4) != packed.n - 8))
		rc = GR_EPROTO;
	if (rc == 0) {
		raw = gr_xalloc(n_raw);
		rc = uncompress(raw, &n_raw, packed.p + 8, packed.n - 8) == Z_OK ? gr_hdr_decode(gr_slice(raw, n_raw), into) : GR_EPROTO;
		free(raw);
	}
	gr_buf_fini(&packed);
	return rc;
}
