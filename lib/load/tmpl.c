/* tmpl.c - text with {{...}} in it, and the tables it may quote
 *
 *   {{uuid}}  {{seq}}  {{rand LO HI}}  {{csv TABLE COLUMN}}  {{NAME}}: a value captured earlier in the same visit
 *
 * Compiled once into pieces; rendering appends to a buffer that keeps its memory. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/load/plan.h"

void gr_load_ctx_init(struct gr_load_ctx *c, const struct gr_load_plan *p, uint64_t seq)
{
	c->plan = p;
	c->seq = seq;
	c->rng.s = p->seed ^ (seq + 1) * 0x9e3779b97f4a7c15ull;
	gr_rng_u64(&c->rng);
}

static void add_number(struct gr_buf *out, int64_t v)
{
	char text[24];

	gr_buf_add(out, text, (size_t)snprintf(text, sizeof(text), "%" PRId64, v));
}

static void add_uuid(struct gr_buf *out, struct gr_rng *r)
{
	uint64_t a = gr_rng_u64(r), b = gr_rng_u64(r);
	char text[40];

	a = (a & ~0xf000ull) | 0x4000;
	b = (b & ~(3ull << 62)) | 2ull << 62;
	gr_buf_add(out, text, (size_t)snprintf(text, sizeof(text), "%08x-%04x-%04x-%04x-%012" PRIx64, (unsigned)(a >> 32),
					       (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xffff), (unsigned)(b >> 48),
					       (uint64_t)(b & 0xffffffffffffull)));
}

/* As a part of a JSON string. */
static void add_json(struct gr_buf *out, struct gr_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '"' || s.p[i] == '\\')
			gr_buf_printf(out, "\\%c", s.p[i]);
		else if (s.p[i] < ' ')
			gr_buf_printf(out, "\\u%04x", s.p[i]);
		else
			gr_buf_add_byte(out, s.p[i]);
}

void gr_load_render(const struct gr_load_tmpl *t, struct gr_load_ctx *c, struct gr_buf *out)
{
	for (uint32_t i = 0; i < t->n_pieces; i++) {
		const struct gr_load_piece *e = &t->pieces[i];
		const struct gr_load_csv *csv;
		struct gr_slice s = e->text;

		switch (e->kind) {
		case GR_LOAD_TEXT:
			break;
		case GR_LOAD_UUID:
			add_uuid(out, &c->rng);
			continue;
		case GR_LOAD_SEQ:
			add_number(out, (int64_t)c->seq);
			continue;
		case GR_LOAD_RAND:
			add_number(out, e->lo + (int64_t)(gr_rng_u64(&c->rng) % ((uint64_t)(e->hi - e->lo) + 1)));
			continue;
		case GR_LOAD_CSV_CELL:
			csv = &c->plan->csv[e->csv];
			s = csv->cells[(c->seq % csv->n_rows) * csv->n_columns + e->column];
			break;
		case GR_LOAD_VAR:
			s = c->vars ? c->vars[e->var] : gr_slice(NULL, 0);
			break;
		}
		if (t->is_json && e->kind != GR_LOAD_TEXT)
			add_json(out, s);
		else if (s.n)
			gr_buf_add(out, s.p, s.n);
	}
}

bool gr_load_tmpl_is_static(const struct gr_load_tmpl *t)
{
	return !t->n_pieces || (t->n_pieces == 1 && t->pieces[0].kind == GR_LOAD_TEXT);
}

void gr_load__tmpl_fini(struct gr_load_tmpl *t)
{
	for (uint32_t i = 0; i < t->n_pieces; i++)
		free((void *)t->pieces[i].text.p);
	free(t->pieces);
	*t = (struct gr_load_tmpl){ 0 };
}

static struct gr_load_piece *push(struct gr_load_tmpl *t, enum gr_load_piece_kind kind)
{
	t->pieces = gr_xrealloc(t->pieces, (t->n_pieces + 1) * sizeof(*t->pieces));
	t->pieces[t->n_pieces] = (struct gr_load_piece){ .kind = kind };
	return &t->pieces[t->n_pieces++];
}

static void push_text(struct gr_load_tmpl *t, const char *s, size_t n)
{
	if (n)
		push(t, GR_LOAD_TEXT)->text = gr_slice(gr_xmemdup(s, n), n);
}

static int csv_cell(const struct gr_load_plan *p, const char *table, const char *column, struct gr_load_piece *e, struct gr_load__at *at)
{
	for (uint32_t i = 0; i < p->n_csv; i++) {
		if (strcmp(p->csv[i].name, table))
			continue;
		for (uint32_t k = 0; k < p->csv[i].n_columns; k++)
			if (!strcmp(p->csv[i].columns[k], column)) {
				e->csv = i;
				e->column = k;
				return 0;
			}
		return gr_load__bad(at, "csv \"%s\" has no column \"%s\"", table, column);
	}
	return gr_load__bad(at, "there is no csv \"%s\"", table);
}

static int word(struct gr_load_plan *p, const char *in, struct gr_load_tmpl *t, struct gr_load__at *at)
{
	char a[64] = "", b[64] = "", c[64] = "", d[2] = "";
	int n = sscanf(in, "%63s %63s %63s %1s", a, b, c, d);
	struct gr_load_piece *e;

	if (n == 1 && !strcmp(a, "uuid")) {
		push(t, GR_LOAD_UUID);
		return 0;
	}
	if (n == 1 && !strcmp(a, "seq")) {
		push(t, GR_LOAD_SEQ);
		return 0;
	}
	if (!strcmp(a, "rand")) {
		char *end_b = b, *end_c = c;
		long long lo = strtoll(b, &end_b, 10), hi = strtoll(c, &end_c, 10);

		if (n != 3 || *end_b || *end_c || lo > hi || lo < -(1ll << 61) || hi > 1ll << 61)
			return gr_load__bad(at, "{{rand LO HI}} wants two whole numbers, the smaller one first");
		e = push(t, GR_LOAD_RAND);
		e->lo = lo;
		e->hi = hi;
		return 0;
	}
	if (!strcmp(a, "csv")) {
		if (n != 3)
			return gr_load__bad(at, "{{csv TABLE COLUMN}} wants two words");
		return csv_cell(p, b, c, push(t, GR_LOAD_CSV_CELL), at);
	}
	for (uint32_t i = 0; n == 1 && i < p->n_vars; i++)
		if (p->vars_seen & 1u << i && !strcmp(p->vars[i], a)) {
			push(t, GR_LOAD_VAR)->var = i;
			return 0;
		}
	return gr_load__bad(at, "{{%.40s}}: neither uuid, seq, rand, csv nor a value captured earlier in the scenario", in);
}

int gr_load__tmpl(struct gr_load_plan *p, const char *text, struct gr_load_tmpl *out, struct gr_load__at *at)
{
	const char *s = text;
	int rc = 0;

	while (rc == 0 && *s) {
		const char *open = strstr(s, "{{"), *close = open ? strstr(open, "}}") : NULL;
		char *in;

		if (!open)
			break;
		if (!close)
			return gr_load__bad(at, "\"{{\" without \"}}\"");
		push_text(out, s, (size_t)(open - s));
		in = gr_xstrndup(open + 2, (size_t)(close - open - 2));
		rc = word(p, in, out, at);
		free(in);
		s = close + 2;
	}
	if (rc == 0)
		push_text(out, s, strlen(s));
	return rc;
}

/* ---- tables ---- */

/* One field of RFC 4180 text from *s; the separator behind it is passed over. Return: ',' '\n' or 0, what ended it. */
static int field(const char **s, struct gr_buf *out)
{
	const char *p = *s;
	int end;

	gr_buf_clear(out);
	if (*p == '"') {
		for (p++; *p && !(*p == '"' && p[1] != '"'); p++) {
			p += *p == '"';
			gr_buf_add_byte(out, (uint8_t)*p);
		}
		p += *p == '"';
	}
	for (; *p && *p != ',' && *p != '\n'; p++)
		if (*p != '\r')
			gr_buf_add_byte(out, (uint8_t)*p);
	end = *p;
	*s = p + (end != 0);
	return end;
}

static int one_csv(struct gr_load_csv *t, const char *text, struct gr_load__at *at)
{
	struct gr_buf b = { 0 };
	size_t n = 0, cap = 0;
	int end, rc = 0;

	if (!strncmp(text, "\xef\xbb\xbf", 3))       /* a mark of UTF-8, as spreadsheets write it */
		text += 3;
	do {
		if (t->n_columns == GR_LOAD_MAX_COLUMNS) {
			rc = gr_load__bad(at, "more than %u columns", GR_LOAD_MAX_COLUMNS);
			goto out;
		}
		end = field(&text, &b);
		t->columns[t->n_columns++] = gr_xstrdup(gr_buf_str(&b));
	} while (end == ',');
	while (*(text += strspn(text, "\r\n"))) {   /* blank lines are none: editors leave one at the end */
		uint32_t i = 0;

		do {
			end = field(&text, &b);
			GR_GROW(t->cells, cap, n + 1);
			t->cells[n++] = gr_slice(gr_xmemdup(b.p ? b.p : (const uint8_t *)"", b.n), b.n);
			i++;
		} while (end == ',');
		t->n_rows = (uint32_t)(n / t->n_columns);
		if (i != t->n_columns) {
			rc = gr_load__bad(at, "row %u has %u fields, the first line %u", t->n_rows + 1, i, t->n_columns);
			t->n_rows = 0;
			for (size_t k = 0; k < n; k++)
				free((void *)t->cells[k].p);
			goto out;
		}
	}
	if (!t->n_rows)
		rc = gr_load__bad(at, "there is no row below the line of column names");
out:
	gr_buf_fini(&b);
	return rc;
}

int gr_load__csv(struct gr_load_plan *p, const json_t *o, struct gr_load__at *at)
{
	size_t back = gr_load__in(at, "csv"), deeper;
	const char *name;
	json_t *v;
	int rc;

	if (!o) {
		at->path[back] = 0;
		return 0;
	}
	if (!json_is_object(o) || json_object_size(o) > GR_LOAD_MAX_CSV)
		return gr_load__bad(at, "wants an object of at most %u tables, each the text of a CSV file", GR_LOAD_MAX_CSV);
	json_object_foreach((json_t *)o, name, v) {
		deeper = gr_load__in(at, name);
		if (!json_is_string(v))
			return gr_load__bad(at, "wants the text of a CSV file (griddle load run puts that of {\"file\": NAME} here)");
		p->csv[p->n_csv].name = gr_xstrdup(name);
		rc = one_csv(&p->csv[p->n_csv++], json_string_value(v), at);
		if (rc < 0)
			return rc;
		at->path[deeper] = 0;
	}
	at->path[back] = 0;
	return 0;
}
