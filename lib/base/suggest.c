/* suggest.c - see suggest.h. Optimal string alignment distance on three rows; words are cut at 63 letters, no name of
 * ours is longer. */
#include "lib/base/suggest.h"

#include <string.h>

#define MAX_WORD 63
#define MAX_LISTED 8u              /* names that a complaint lists */
#define MIN_STEM 3u                /* letters of a name that a word goes on from */

static size_t min2(size_t a, size_t b) { return a < b ? a : b; }

static size_t distance(const char *a, const char *b)
{
	size_t rows[3][MAX_WORD + 1], n_a = strnlen(a, MAX_WORD), n_b = strnlen(b, MAX_WORD);
	size_t *before = rows[0], *last = rows[1], *now = rows[2], *t;

	for (size_t j = 0; j <= n_b; j++)
		last[j] = before[j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		now[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			now[j] = min2(min2(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = min2(now[j], before[j - 2] + 1);
		}
		t = before;
		before = last;
		last = now;
		now = t;
	}
	return last[n_b];
}

const char *gr_suggest(const char *word, const char *const *names, size_t n)
{
	size_t n_word = strlen(word), best_d = (n_word + 2) / 3 + 1, n_prefix = 0, n_stem = MIN_STEM - 1;
	const char *best = NULL, *prefix = NULL, *stem = NULL;

	if (!n_word)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, names[i]);

		if (d < best_d) {
			best_d = d;
			best = names[i];
		}
		if (!strncmp(names[i], word, n_word)) {
			prefix = names[i];
			n_prefix++;
		}
		if (strlen(names[i]) > n_stem && !strncmp(word, names[i], strlen(names[i]))) {
			stem = names[i];
			n_stem = strlen(stem);
		}
	}
	return n_prefix == 1 ? prefix : best ? best : stem;
}

void gr_suggest_add(const char *word, const char *const *names, size_t n, struct gr_buf *to)
{
	const char *near = gr_suggest(word, names, n);

	for (size_t i = 0; !near && i < n && n <= MAX_LISTED; i++)
		gr_buf_printf(to, "%s%s", !i ? "; there is " : i + 1 < n ? ", " : " and ", names[i]);
	if (near)
		gr_buf_printf(to, "; did you mean \"%s\"?", near);
}
