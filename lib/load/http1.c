/* http1.c - see http1.h */
#include "lib/load/http1.h"

#include <string.h>
#include <strings.h>

enum { HEAD, LENGTH, UNTIL_CLOSE, CHUNK_SIZE, CHUNK_EXT, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_CR, CHUNK_LF, TRAILER, WHOLE };
#define MAX_LINE 4096u                  /* of a chunk's extension or a trailer */

void gr_http1_init(struct gr_http1 *h, bool is_head_request)
{
	memset(h, 0, sizeof(*h));
	h->is_head_request = is_head_request;
}

bool gr_http1_is_whole_at_end(const struct gr_http1 *h) { return h->state == UNTIL_CLOSE || h->state == WHOLE; }
bool gr_http1_is_in_body(const struct gr_http1 *h) { return h->state != HEAD; }

bool gr_http1_field(struct gr_slice *rest, struct gr_slice *name, struct gr_slice *value)
{
	const uint8_t *p = rest->p, *end, *lf, *colon, *e;

	if (!rest->n)
		return false;
	end = p + rest->n;
	lf = memchr(p, '\n', rest->n);
	if (!lf)
		lf = end;
	e = lf > p && lf[-1] == '\r' ? lf - 1 : lf;
	colon = memchr(p, ':', (size_t)(e - p));
	if (!colon)
		return false;
	*name = gr_slice(p, (size_t)(colon - p));
	for (colon++; colon < e && (*colon == ' ' || *colon == '\t'); colon++)
		;
	while (e > colon && (e[-1] == ' ' || e[-1] == '\t'))
		e--;
	*value = gr_slice(colon, (size_t)(e - colon));
	lf += lf < end;
	*rest = gr_slice(lf, (size_t)(end - lf));
	return true;
}

static bool is_name(struct gr_slice s, const char *name, size_t n)
{
	return s.n == n && !strncasecmp((const char *)s.p, name, n);
}

bool gr_http1_find(struct gr_slice head, const char *name, struct gr_slice *value)
{
	size_t n = strlen(name);
	struct gr_slice key, v;

	while (gr_http1_field(&head, &key, &v))
		if (is_name(key, name, n)) {
			*value = v;
			return true;
		}
	return false;
}

/* A word of a comma list. */
static bool has_word(struct gr_slice s, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= s.n; i++)
		if (!strncasecmp((const char *)s.p + i, word, n) && (!i || s.p[i - 1] == ' ' || s.p[i - 1] == ',') &&
		    (i + n == s.n || s.p[i + n] == ' ' || s.p[i + n] == ',' || s.p[i + n] == ';'))
			return true;
	return false;
}

static bool status_line(struct gr_http1 *h, const uint8_t *p, size_t n)
{
	if (n < 12 || memcmp(p, "HTTP/1.", 7) || (p[7] != '0' && p[7] != '1') || p[8] != ' ' || (n > 12 && p[12] != ' '))
		return false;
	for (int i = 9; i < 12; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	h->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
	h->is_close = p[7] == '0';
	return h->status >= 100;
}

static bool length(struct gr_slice v, uint64_t *out)
{
	uint64_t n = 0;

	if (!v.n || v.n > 18)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
		n = n * 10 + (v.p[i] - '0');
	}
	*out = n;
	return true;
}

/* @p..@p+@n: status line and fields, the blank line not among them. */
static bool read_head(struct gr_http1 *h, const uint8_t *p, size_t n)
{
	const uint8_t *lf = memchr(p, '\n', n);
	size_t line = lf ? (size_t)(lf - p) : n;
	struct gr_slice rest, name, value;
	uint64_t len = 0, one;
	bool has_len = false, has_te = false;

	if (line && p[line - 1] == '\r')
		line--;
	if (!status_line(h, p, line))
		return false;
	h->head = rest = lf ? gr_slice(lf + 1, (size_t)(p + n - lf - 1)) : gr_slice(p + n, 0);
	while (rest.n) {
		if (rest.p[0] == ' ' || rest.p[0] == '\t' || !gr_http1_field(&rest, &name, &value) || !name.n ||
		    memchr(name.p, ' ', name.n) || memchr(value.p, 0, value.n))
			return false;            /* folded lines were given up in 2014 */
		switch (name.n) {
		case 10:
			if (!is_name(name, "connection", 10))
				break;
			if (has_word(value, "close"))
				h->is_close = true;
			else if (has_word(value, "keep-alive"))
				h->is_close = false;
			break;
		case 14:
			if (!is_name(name, "content-length", 14))
				break;
			if (!length(value, &one) || (has_len && one != len))
				return false;
			len = one;
			has_len = true;
			break;
		case 17:
			if (!is_name(name, "transfer-encoding", 17))
				break;
			if (has_te || !has_word(value, "chunked"))
				return false;
			has_te = true;
			break;
		}
	}
	if (has_te && has_len)
		return false;                    /* what smuggles requests */
	h->left = len;
	h->is_close |= h->status == 101;         /* what follows is another protocol */
	if (h->status == 101 || (h->status >= 200 && (h->is_head_request || h->status == 204 || h->status == 304))) {
		h->left = 0;
		h->state = WHOLE;
	} else if (h->status < 200) {
		h->state = HEAD;                 /* interim: the real one follows */
	} else if (has_te) {
		h->state = CHUNK_SIZE;
		h->left = h->n_line = 0;
	} else if (has_len) {
		h->state = len ? LENGTH : WHOLE;
	} else {
		h->state = UNTIL_CLOSE;
		h->is_close = true;
	}
	return true;
}

static enum gr_http1_step head(struct gr_http1 *h, struct gr_slice in, size_t *n_used)
{
	const uint8_t *p = in.p, *end = in.p + in.n, *at = p + (h->n_seen > 3 ? h->n_seen - 3 : 0);
	enum gr_http1_step step;

	/* the blank line: LF LF or LF CR LF */
	for (;;) {
		const uint8_t *lf = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
		size_t blank;

		if (!lf || end - lf < 2 || (lf[1] == '\r' && end - lf < 3)) {
			if (in.n > GR_HTTP1_MAX_HEAD_BYTES)
				return GR_HTTP1_FLOOD;
			/* what cannot become an answer is refused before its head ends */
			if (in.n >= 7 && memcmp(p, "HTTP/1.", 7))
				return GR_HTTP1_BAD_HEAD;
			h->n_seen = (uint32_t)in.n;
			*n_used = 0;
			return GR_HTTP1_MORE;
		}
		blank = lf[1] == '\n' ? 2 : lf[1] == '\r' && lf[2] == '\n' ? 3 : 0;
		if (!blank) {
			at = lf + 1;
			continue;
		}
		if ((size_t)(lf - p) > GR_HTTP1_MAX_HEAD_BYTES)
			return GR_HTTP1_FLOOD;
		h->n_seen = 0;
		*n_used = (size_t)(lf - p) + blank;
		step = read_head(h, p, (size_t)(lf + 1 - p)) ? GR_HTTP1_HEAD : GR_HTTP1_BAD_HEAD;
		if (step == GR_HTTP1_HEAD && h->state == HEAD)
			step = GR_HTTP1_MORE;    /* an interim one: used, and nothing to tell */
		return step;
	}
}

static int hex(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum gr_http1_step chunked(struct gr_http1 *h, struct gr_slice in, size_t *n_used, struct gr_slice *data)
{
	size_t i = 0;

	while (i < in.n) {
		uint8_t c = in.p[i];

		switch (h->state) {
		case CHUNK_SIZE:
			if (hex(c) >= 0) {
				if (h->n_line++ == 15)
					return GR_HTTP1_BAD_CHUNK;
				h->left = h->left << 4 | (uint64_t)hex(c);
			} else if (!h->n_line) {
				return GR_HTTP1_BAD_CHUNK;
			} else if (c == ';' || c == ' ' || c == '\t') {
				h->state = CHUNK_EXT;
			} else if (c == '\r') {
				h->state = CHUNK_SIZE_LF;
			} else if (c == '\n') {
				h->n_line = 0;
				h->state = h->left ? CHUNK_DATA : TRAILER;
			} else {
				return GR_HTTP1_BAD_CHUNK;
			}
			i++;
			break;
		case CHUNK_EXT:
			if (h->n_line++ == MAX_LINE || c == '\n')
				return GR_HTTP1_BAD_CHUNK;
			if (c == '\r')
				h->state = CHUNK_SIZE_LF;
			i++;
			break;
		case CHUNK_SIZE_LF:
			if (c != '\n')
				return GR_HTTP1_BAD_CHUNK;
			h->n_line = 0;
			h->state = h->left ? CHUNK_DATA : TRAILER;
			i++;
			break;
		case CHUNK_DATA: {
			size_t n = in.n - i < h->left ? in.n - i : (size_t)h->left;

			*data = gr_slice(in.p + i, n);
			h->left -= n;
			if (!h->left)
				h->state = CHUNK_CR;
			*n_used = i + n;
			return GR_HTTP1_BODY;
		}
		case CHUNK_CR:
			h->state = CHUNK_LF;
			if (c == '\r')
				i++;
			else if (c != '\n')
				return GR_HTTP1_BAD_CHUNK;
			break;
		case CHUNK_LF:
			if (c != '\n')
				return GR_HTTP1_BAD_CHUNK;
			h->state = CHUNK_SIZE;
			h->n_line = 0;
			i++;
			break;
		case TRAILER:
			i++;
			if (c == '\n' && !h->n_line) {
				h->state = WHOLE;
				*n_used = i;
				return GR_HTTP1_DONE;
			}
			if (c == '\n')
				h->n_line = 0;
			else if (c != '\r' && h->n_line++ == MAX_LINE)
				return GR_HTTP1_BAD_CHUNK;
			break;
		}
	}
	*n_used = i;
	return GR_HTTP1_MORE;
}

enum gr_http1_step gr_http1_feed(struct gr_http1 *h, struct gr_slice in, size_t *n_used, struct gr_slice *data)
{
	size_t n;

	*n_used = 0;
	switch (h->state) {
	case HEAD:
		return head(h, in, n_used);
	case WHOLE:
		return GR_HTTP1_DONE;
	case LENGTH:
		n = in.n < h->left ? in.n : (size_t)h->left;
		if (!n)
			return GR_HTTP1_MORE;
		h->left -= n;
		*data = gr_slice(in.p, n);
		*n_used = n;
		if (!h->left)
			h->state = WHOLE;
		return GR_HTTP1_BODY;
	case UNTIL_CLOSE:
		if (!in.n)
			return GR_HTTP1_MORE;
		*data = in;
		*n_used = in.n;
		return GR_HTTP1_BODY;
	default:
		return chunked(h, in, n_used, data);
	}
}
