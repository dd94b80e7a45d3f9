/* table.c - see table.h. Cells are kept as text until the end, because a column's width is known only then. */
#include "client/view/table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/utf8.h"

struct gr_table {
	const char *const *heads;
	size_t n_cols, n_cells, cap;
	char **cells;
};

const char *const gr_view_modes[] = { "table", "json", "name", NULL };

struct gr_table *gr_table_new(const char *const *heads)
{
	struct gr_table *t;

	GR_NEW(t);
	t->heads = heads;
	while (heads[t->n_cols])
		t->n_cols++;
	return t;
}

void gr_table_cell(struct gr_table *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	GR_GROW(t->cells, t->cap, t->n_cells + 1);
	t->cells[t->n_cells++] = gr_xstrdup(text);
}

/* Columns a terminal shows: UTF-8 continuation bytes take none. */
static int width(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void print_row(const struct gr_table *t, const int *widths, char *const *cells, bool is_head, FILE *out)
{
	for (size_t c = 0; c < t->n_cols; c++) {
		bool is_right = t->heads[c][0] == '>';
		const char *text = is_head ? t->heads[c] + is_right : cells[c];
		int pad = widths[c] - width(text);

		if (is_right)
			fprintf(out, "%*s%s", pad, "", text);
		else
			fprintf(out, "%s%*s", text, c + 1 < t->n_cols ? pad : 0, "");
		fputs(c + 1 < t->n_cols ? "  " : "\n", out);
	}
}

void gr_table_print(const struct gr_table *t, FILE *out)
{
	int *widths = gr_xalloc((t->n_cols + 1) * sizeof(*widths));

	for (size_t c = 0; c < t->n_cols; c++)
		widths[c] = width(t->heads[c]) - (t->heads[c][0] == '>');
	for (size_t i = 0; i < t->n_cells; i++)
		if (width(t->cells[i]) > widths[i % t->n_cols])
			widths[i % t->n_cols] = width(t->cells[i]);
	print_row(t, widths, NULL, true, out);
	for (size_t i = 0; i + t->n_cols <= t->n_cells; i += t->n_cols)
		print_row(t, widths, t->cells + i, false, out);
	free(widths);
}

void gr_table_free(struct gr_table **t)
{
	if (!*t)
		return;
	for (size_t i = 0; i < (*t)->n_cells; i++)
		free((*t)->cells[i]);
	free((*t)->cells);
	free(*t);
	*t = NULL;
}

const char *gr_view_bytes(uint64_t n, char out[24])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double v = (double)n;
	size_t u = 0;

	for (; v >= 999.5 && u + 1 < GR_LEN(units); u++)
		v /= 1000;
	snprintf(out, 24, u && v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return out;
}

const char *gr_view_seconds(uint64_t ms, char out[24])
{
	uint64_t s = (ms + 500) / 1000;

	if (ms < 60000)
		snprintf(out, 24, "%.1f s", (double)ms / 1000);
	else if (s < 3600)
		snprintf(out, 24, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else
		snprintf(out, 24, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	return out;
}

void gr_view_json(const json_t *v, FILE *out)
{
	json_dumpf(v, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	fputc('\n', out);
}

void gr_view_text(const char *text, FILE *out)
{
	struct gr_buf b = { 0 };

	for (const char *p = text;; p++) {
		size_t n = strcspn(p, "\n");

		gr_utf8_show(&b, gr_slice(p, n), SIZE_MAX / 2);
		p += n;
		if (!*p)
			break;
		gr_buf_add_byte(&b, '\n');
	}
	fwrite(b.p, 1, b.n, out);
	gr_buf_fini(&b);
}
