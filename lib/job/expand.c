/* expand.c - see expand.h. One scanner finds a place, so that "has it one" and "fill it" cannot disagree. A brace that
 * begins no place is text: find's -exec, awk's blocks and the shell's own {a,b} pass through untouched. */
#include "lib/job/expand.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

enum part { PART_WHOLE, PART_NO_EXT, PART_BASE, PART_DIR, PART_BASE_NO_EXT };
static const struct { const char *text; enum part part; } parts[] = {   /* longest first */
	{ "//", PART_DIR }, { "/.", PART_BASE_NO_EXT }, { "/", PART_BASE }, { ".", PART_NO_EXT }, { "", PART_WHOLE },
};

enum what { WHAT_ALL, WHAT_NTH, WHAT_NUMBER, WHAT_TOTAL, WHAT_INDEX, WHAT_SLOT };
struct place {
	enum what what;
	enum part part;
	long nth;               /* of WHAT_NTH: from 1, or from -1 backwards */
	size_t n;               /* bytes, braces included */
};

static bool ends_with(const char *p, size_t n, const char *tail, size_t *rest)
{
	size_t k = strlen(tail);

	if (n < k || memcmp(p + n - k, tail, k))
		return false;
	*rest = n - k;
	return true;
}

/* "12" or "-1"; 0 when it is no number of at most 6 digits. */
static long parse_nth(const char *p, size_t n)
{
	bool is_back = n && *p == '-';
	long v = 0;

	p += is_back;
	n -= is_back;
	if (!n || n > 6)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return 0;
		v = v * 10 + p[i] - '0';
	}
	return is_back ? -v : v;
}

/* @p points at "{". */
static bool find_place(const char *p, const char *const *names, size_t n_names, struct place *out)
{
	static const struct { const char *text; enum what what; } numbers[] = {
		{ "#", WHAT_NUMBER }, { "##", WHAT_TOTAL }, { "index", WHAT_INDEX }, { "%", WHAT_SLOT },
	};
	const char *end = strchr(p, '}');
	size_t n = end ? (size_t)(end - p - 1) : 0, rest = 0, i = 0;
	struct place pl = { .n = n + 2 };

	if (!end)
		return false;
	p++;
	for (size_t k = 0; k < GR_LEN(numbers); k++)
		if (strlen(numbers[k].text) == n && !memcmp(numbers[k].text, p, n)) {
			pl.what = numbers[k].what;
			*out = pl;
			return true;
		}
	while (!ends_with(p, n, parts[i].text, &rest))
		i++;
	pl.part = parts[i].part;
	pl.what = rest ? WHAT_NTH : WHAT_ALL;
	pl.nth = parse_nth(p, rest);
	for (size_t k = 0; rest && !pl.nth && k < n_names; k++)
		if (strlen(names[k]) == rest && !memcmp(names[k], p, rest))
			pl.nth = (long)k + 1;
	if (rest && !pl.nth)
		return false;
	*out = pl;
	return true;
}

int64_t gr_expand_find(const char *word, size_t at, const char *const *names, size_t n_names, size_t n_values, size_t *n, struct gr_err *err)
{
	struct place pl;

	for (const char *p = word + at; (p = strchr(p, '{')); p++) {
		if (!find_place(p, names, n_names, &pl))
			continue;
		if (pl.what == WHAT_NTH && (size_t)labs(pl.nth) > n_values)
			return gr_err_set(err, GR_EINVAL, "%.*s: there %s %zu value%s", (int)pl.n, p, n_values == 1 ? "is" : "are", n_values,
					  n_values == 1 ? "" : "s");
		*n = pl.n;
		return p - word;
	}
	return GR_ENOENT;
}
/* The part of @text that is asked for: a slice of it, or "." for the folder of a bare name. */
static struct gr_slice part_of(struct gr_slice text, enum part part)
{
	const uint8_t *end = text.p + text.n, *slash = text.n ? memrchr(text.p, '/', text.n) : NULL, *base = slash ? slash + 1 : text.p,
		      *dot = end > base ? memrchr(base, '.', (size_t)(end - base)) : NULL;

	switch (part) {
	case PART_DIR:
		if (!slash)
			return gr_slice_str(".");
		return gr_slice(text.p, slash == text.p ? 1 : (size_t)(slash - text.p));
	case PART_BASE:
		return gr_slice(base, (size_t)(end - base));
	case PART_NO_EXT:
		return gr_slice(text.p, (size_t)((dot && dot > base ? dot : end) - text.p));
	case PART_BASE_NO_EXT:
		return gr_slice(base, (size_t)((dot && dot > base ? dot : end) - base));
	case PART_WHOLE:
		break;
	}
	return text;
}

static void add_value(struct gr_slice value, enum part part, struct gr_buf *out)
{
	struct gr_slice s = part_of(value, part);

	gr_buf_add(out, s.p, s.n);
}

static int fill(const struct place *pl, const struct gr_expand_args *a, struct gr_buf *out, struct gr_err *err)
{
	size_t at;

	switch (pl->what) {
	case WHAT_NUMBER:
		gr_buf_printf(out, "%llu", (unsigned long long)a->index + 1);
		break;
	case WHAT_INDEX:
		gr_buf_printf(out, "%llu", (unsigned long long)a->index);
		break;
	case WHAT_TOTAL:
		gr_buf_printf(out, "%llu", (unsigned long long)a->total);
		break;
	case WHAT_SLOT:
		gr_buf_printf(out, "%u", a->slot + 1);
		break;
	case WHAT_ALL:
		for (size_t i = 0; i < a->n_values; i++) {
			if (i)
				gr_buf_add_byte(out, ' ');
			add_value(a->values[i], pl->part, out);
		}
		break;
	case WHAT_NTH:
		at = pl->nth > 0 ? (size_t)pl->nth - 1 : a->n_values - (size_t)-pl->nth;
		if (at >= a->n_values)
			return gr_err_set(err, GR_EINVAL, "{%ld}: there %s %zu value%s", pl->nth, a->n_values == 1 ? "is" : "are", a->n_values,
					  a->n_values == 1 ? "" : "s");
		add_value(a->values[at], pl->part, out);
		break;
	}
	return 1;
}

int gr_expand(const char *word, const struct gr_expand_args *a, size_t max, struct gr_buf *out, struct gr_err *err)
{
	struct place pl;
	int n = 0, rc;

	while (*word) {
		size_t text = strcspn(word, "{");

		if (out->n + text > max)
			return gr_err_set(err, GR_ELIMIT, "a word grows over %zu bytes when it is filled in", max);
		gr_buf_add(out, word, text);
		word += text;
		if (!*word)
			break;
		if (!find_place(word, a->names, a->names ? a->n_values : 0, &pl)) {
			gr_buf_add_byte(out, '{');
			word++;
			continue;
		}
		rc = fill(&pl, a, out, err);
		if (rc < 0)
			return rc;
		n++;
		word += pl.n;
	}
	return out->n > max ? gr_err_set(err, GR_ELIMIT, "a word grows over %zu bytes when it is filled in", max) : n;
}
