/* depfile.c - see depfile.h. Escapes as gcc writes them (mkdeps): a backslash in front of a blank or '#' takes it as it
 * is, backslashes directly in front of that are doubled, '$' is "$$". A ':' ends the targets when a blank or the line's
 * end follows it. All names lie in one block as long as the text. */
#include "lib/cc/depfile.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/map.h"

#define MAX_NAMES 262144u

struct reader {
	const char *p, *end;
	char *out;                  /* where the next name goes */
};

static bool is_newline(const char *p, const char *end)
{
	return p < end && (*p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n'));
}

/* Blanks and continued lines. */
static void skip(struct reader *r)
{
	for (;;) {
		if (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
			r->p++;
		else if (r->p < r->end && *r->p == '\\' && is_newline(r->p + 1, r->end))
			r->p += r->p[1] == '\r' ? 3 : 2;
		else
			return;
	}
}

/* The next name, or NULL at the line's end. *is_target: a ':' ended it. */
static char *name(struct reader *r, bool *is_target)
{
	char *start;

	*is_target = false;
	skip(r);
	if (r->p >= r->end || is_newline(r->p, r->end))
		return NULL;
	start = r->out;
	while (r->p < r->end && *r->p != ' ' && *r->p != '\t' && !is_newline(r->p, r->end)) {
		if (*r->p == '\\') {
			size_t n = 0;
			char next;

			while (r->p + n < r->end && r->p[n] == '\\')
				n++;
			if (r->p + n >= r->end || is_newline(r->p + n, r->end)) {
				/* the last one continues the line (skip() takes it), or has nothing behind it */
				for (size_t i = 1; i < n; i++)
					*r->out++ = '\\';
				r->p += r->p + n >= r->end ? n : n - 1;
				break;
			}
			next = r->p[n];
			if (next == ' ' || next == '\t' || next == '#') {
				for (size_t i = 0; i < n / 2; i++)
					*r->out++ = '\\';
				r->p += n;
				if (n & 1) {
					*r->out++ = next;
					r->p++;
				}
				continue;
			}
			for (size_t i = 0; i < n; i++)
				*r->out++ = '\\';
			r->p += n;
			continue;
		}
		if (*r->p == '$' && r->p + 1 < r->end && r->p[1] == '$')
			r->p++;
		if (*r->p == ':') {
			const char *q = r->p + 1;

			if (q >= r->end || *q == ' ' || *q == '\t' || is_newline(q, r->end) || (*q == '\\' && is_newline(q + 1, r->end))) {
				*is_target = true;
				r->p++;
				break;
			}
		}
		*r->out++ = *r->p++;
	}
	*r->out++ = 0;
	return start;
}

static int take_rule(struct reader *r, struct gr_cc_depfile *d, struct gr_map *seen, uint32_t caps[2])
{
	bool is_target = false, has_target = false;
	char *s;

	while ((s = name(r, &is_target))) {
		if (d->n_files + d->n_targets >= MAX_NAMES)
			return GR_ELIMIT;
		if (!has_target) {
			/* "a b:" - the ':' may stand alone */
			if (*s) {
				GR_GROW(d->targets, caps[0], d->n_targets + 1);
				d->targets[d->n_targets++] = s;
			}
			has_target = is_target;
		} else if (*s && !gr_map_get(seen, s, strlen(s))) {
			gr_map_put(seen, s, strlen(s), s);
			GR_GROW(d->files, caps[1], d->n_files + 1);
			d->files[d->n_files++] = s;
		}
	}
	while (r->p < r->end && is_newline(r->p, r->end))
		r->p += *r->p == '\r' ? 2 : 1;
	return has_target ? 1 : 0;
}

int gr_cc_depfile_parse(const char *text, size_t n, struct gr_cc_depfile *out)
{
	struct reader r = { .p = text, .end = text + n };
	struct gr_map seen = { 0 };
	uint32_t caps[2] = { 0, 0 };
	bool has_rule = false;
	int rc = 0;

	*out = (struct gr_cc_depfile){ 0 };
	if (memchr(text, 0, n))
		return GR_EPROTO;
	/* each name is at most as long as its text; a name needs a byte more for its NUL than what stood behind it */
	out->mem = r.out = gr_xalloc(n * 2 + 2);
	while (r.p < r.end) {
		uint32_t n_targets = out->n_targets;

		skip(&r);
		rc = take_rule(&r, out, &seen, caps);
		if (rc < 0)
			break;
		if (rc == 0 && out->n_targets > n_targets) {
			rc = GR_EPROTO;           /* words without a ':' */
			break;
		}
		has_rule |= rc > 0;
		rc = 0;
	}
	gr_map_fini(&seen);
	if (rc == 0 && !has_rule)
		rc = GR_EPROTO;
	return rc;
}

void gr_cc_depfile_fini(struct gr_cc_depfile *d)
{
	free(d->targets);
	free(d->files);
	free(d->mem);
	*d = (struct gr_cc_depfile){ 0 };
}
