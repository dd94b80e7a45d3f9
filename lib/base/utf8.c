/* utf8.c - see utf8.h */
#include "lib/base/utf8.h"

/* Bytes of the character at @p, 0 when there is none. */
static size_t char_at(const uint8_t *p, size_t n)
{
	uint8_t lo = 0x80, hi = 0xbf;          /* what the second byte may be */
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool gr_utf8_is(struct gr_slice text)
{
	for (size_t i = 0, k; i < text.n; i += k) {
		k = char_at(text.p + i, text.n - i);
		if (!k)
			return false;
	}
	return true;
}

void gr_utf8_show(struct gr_buf *out, struct gr_slice text, size_t max)
{
	size_t from = out->n;

	for (size_t i = 0, k; i < text.n; i += k) {
		bool is_said;

		k = char_at(text.p + i, text.n - i);
		is_said = k && text.p[i] >= ' ' && text.p[i] != 127;
		if (out->n - from + (is_said ? k : 4) > max) {
			gr_buf_add_str(out, "...");
			return;
		}
		if (is_said) {
			gr_buf_add(out, text.p + i, k);
		} else {
			gr_buf_printf(out, "\\x%02x", text.p[i]);
			k = 1;
		}
	}
}
