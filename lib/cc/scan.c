/**
 * scan - see scan.h. Two loops: at the beginning of a line, where a directive can stand, and in the rest of it, where
 * a 256-entry table stops only at bytes that can matter (newline, quote, slash, NUL, and '_' or '.' in the few files
 * that hold the rare words at all, found out by memmem first). Strings and character literals end at an unspliced
 * newline at the latest, as in the compilers' lexers, so that an apostrophe in an #error line harms one line.
 *
 * Not kept: finding "include" with memmem and looking back whether the line is one. It is twice as fast on files
 * without includes, but cannot tell comments and raw strings from code.
 */
#include "lib/cc/scan.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/map.h"

enum { B_STOP = 1, B_UNDER = 2, B_DOT = 4, B_IDENT = 8, B_SPACE = 16, B_DIGIT = 32 };

static const uint8_t byte_class[256] = {
	['\0'] = B_STOP, ['\n'] = B_STOP, ['"'] = B_STOP, ['\''] = B_STOP, ['/'] = B_STOP,
	['_'] = B_UNDER | B_IDENT, ['.'] = B_DOT, ['$'] = B_IDENT,
	['a' ... 'z'] = B_IDENT, ['A' ... 'Z'] = B_IDENT, ['0' ... '9'] = B_IDENT | B_DIGIT, [128 ... 255] = B_IDENT,
	[' '] = B_SPACE, ['\t'] = B_SPACE, ['\v'] = B_SPACE, ['\f'] = B_SPACE, ['\r'] = B_SPACE,
};

struct scanner {
	const char *begin, *end;
	uint32_t flags;
	uint8_t stop;              /* classes that stop the body loop */
	bool has_asm;              /* ".inc" is somewhere in the text */
	struct gr_cc_inc *inc;
	size_t n_inc, cap_inc;
	struct gr_cc_def *def;
	size_t n_def, cap_def;
	struct gr_buf text;
};

static bool is_class(char c, uint8_t k) { return byte_class[(uint8_t)c] & k; }

uint32_t gr_cc_name_hash(const char *name, size_t n) { return (uint32_t)gr_hash64(name, n, 0x6372); }

/* Behind a backslash at @p: where the next line begins when only blanks and a newline follow, else NULL. */
static const char *splice(const char *p, const char *end)
{
	if (p >= end || *p != '\\')
		return NULL;
	p++;
	while (p < end && is_class(*p, B_SPACE))
		p++;
	return p < end && *p == '\n' ? p + 1 : NULL;
}

/* @p behind the opening of a block comment; behind its end, or the end of the text. */
static const char *skip_block(const char *p, const char *end)
{
	const char *from = p, *q;

	while (p < end) {
		q = memchr(p, '/', (size_t)(end - p));
		if (!q)
			return end;
		if (q > from && q[-1] == '*')
			return q + 1;
		p = q + 1;
	}
	return end;
}

/* @p in a line comment: at the newline that ends it, or the end. */
static const char *skip_line(const char *p, const char *end)
{
	while (p < end) {
		const char *q = memchr(p, '\n', (size_t)(end - p)), *b;

		if (!q)
			return end;
		for (b = q; b > p && is_class(b[-1], B_SPACE); b--)
			;
		if (b == p || b[-1] != '\\')
			return q;
		p = q + 1;
	}
	return end;
}

/* Blanks, comments and splices; stays on the line unless a comment or a splice leads on. */
static const char *skip_blank(const char *p, const char *end)
{
	for (;;) {
		const char *q;

		while (p < end && is_class(*p, B_SPACE))
			p++;
		if (p + 1 < end && p[0] == '/' && p[1] == '*') {
			p = skip_block(p + 2, end);
			continue;
		}
		if (p + 1 < end && p[0] == '/' && p[1] == '/')
			return skip_line(p + 2, end);
		q = splice(p, end);
		if (!q)
			return p;
		p = q;
	}
}

static void add_inc(struct scanner *s, enum gr_cc_inc_kind kind, enum gr_cc_inc_form form, const char *p, size_t n)
{
	struct gr_cc_inc *inc;

	if (memchr(p, 0, n) || (form != GR_CC_FORM_COMPUTED && !n)) {
		form = GR_CC_FORM_COMPUTED;
		n = 0;
	}
	GR_GROW(s->inc, s->cap_inc, s->n_inc + 1);
	inc = &s->inc[s->n_inc++];
	*inc = (struct gr_cc_inc){ (uint8_t)kind, (uint8_t)form, (uint32_t)s->text.n, (uint32_t)n };
	gr_buf_add(&s->text, p, n);
	gr_buf_add_byte(&s->text, 0);
}

/* ---- assembly inside strings and outside ---- */
static const char *asm_word(const char *p, const char *end, bool *is_incbin)
{
	if (end - p > 7 && !memcmp(p, ".incbin", 7))
		*is_incbin = true;
	else if (end - p > 8 && !memcmp(p, ".include", 8))
		*is_incbin = false;
	else
		return NULL;
	p += *is_incbin ? 7 : 8;
	return is_class(*p, B_IDENT) ? NULL : p;
}

static void asm_in_string(struct scanner *s, const char *p, const char *end)
{
	const char *word, *q;
	bool is_incbin = false;

	for (; p < end && (p = memchr(p, '.', (size_t)(end - p))); p++) {
		word = asm_word(p, end, &is_incbin);
		if (!word)
			continue;
		while (word < end && (is_class(*word, B_SPACE) || (*word == '\\' && word + 1 < end && word[1] == 't' && word++)))
			word++;
		q = NULL;
		if (end - word > 2 && word[0] == '\\' && word[1] == '"')
			q = memmem(word + 2, (size_t)(end - word - 2), "\\\"", 2);
		add_inc(s, is_incbin ? GR_CC_INC_STR_INCBIN : GR_CC_INC_STR_INCLUDE, q ? GR_CC_FORM_QUOTE : GR_CC_FORM_COMPUTED,
			q ? word + 2 : "", q ? (size_t)(q - word - 2) : 0);
	}
}

static const char *asm_bare(struct scanner *s, const char *p, const char *end)
{
	bool is_incbin = false;
	const char *word = p > s->begin && is_class(p[-1], B_IDENT) ? NULL : asm_word(p, end, &is_incbin), *q;

	if (!word)
		return p + 1;
	while (word < end && is_class(*word, B_SPACE))
		word++;
	q = word;
	if (word < end && *word == '"') {
		for (q = word + 1; q < end && *q != '"' && *q != '\n'; q++)
			;
	}
	if (q < end && q > word && *q == '"') {
		bool is_plain = !memchr(word + 1, '\\', (size_t)(q - word - 1));

		add_inc(s, is_incbin ? GR_CC_INC_ASM_INCBIN : GR_CC_INC_ASM_INCLUDE, is_plain ? GR_CC_FORM_QUOTE : GR_CC_FORM_COMPUTED,
			is_plain ? word + 1 : "", is_plain ? (size_t)(q - word - 1) : 0);
		return q + 1;
	}
	add_inc(s, is_incbin ? GR_CC_INC_ASM_INCBIN : GR_CC_INC_ASM_INCLUDE, GR_CC_FORM_COMPUTED, "", 0);
	return word;
}

/* ---- literals ---- */
/* @p behind the opening quote; behind the closing one, or at the newline or the end that stops it. */
static const char *skip_quoted(const char *p, const char *end, char quote)
{
	while (p < end) {
		const char *next;

		if (*p == quote)
			return p + 1;
		if (*p == '\n')
			return p;
		if (*p == '\\') {
			next = splice(p, end);
			p = next ? next : p + 2;
			continue;
		}
		p++;
	}
	return end;
}

/* @p at the quote: does an identifier that ends in R make it a raw string? */
static bool is_raw(const struct scanner *s, const char *p)
{
	const char *b = p;
	size_t n;

	while (b > s->begin && p - b < 4 && is_class(b[-1], B_IDENT))
		b--;
	n = (size_t)(p - b);
	if (!n || p[-1] != 'R')
		return false;
	return n == 1 || (n == 2 && (b[0] == 'u' || b[0] == 'U' || b[0] == 'L')) || (n == 3 && b[0] == 'u' && b[1] == '8');
}

/* @p at the quote of a raw string; behind its end, or NULL when it is none. */
static const char *skip_raw(const char *p, const char *end)
{
	char close[20] = ")";
	size_t n = 0;
	const char *q;

	for (q = p + 1; q < end && *q != '('; q++) {
		if (n >= 16 || is_class(*q, B_SPACE) || *q == '\n' || *q == ')' || *q == '\\' || *q == '"')
			return NULL;
		close[1 + n++] = *q;
	}
	close[1 + n] = '"';
	if (q >= end)
		return NULL;
	q = memmem(q + 1, (size_t)(end - q - 1), close, n + 2);
	return q ? q + n + 2 : NULL;
}

static const char *string_literal(struct scanner *s, const char *p)
{
	const char *q = is_raw(s, p) ? skip_raw(p, s->end) : NULL;

	if (!q)
		q = skip_quoted(p + 1, s->end, '"');
	if (s->has_asm)
		asm_in_string(s, p + 1, q);
	return q;
}

/* @p at an apostrophe: a digit separator (1'000) is one byte, else a character literal. */
static const char *char_literal(struct scanner *s, const char *p)
{
	const char *b = p;

	while (b > s->begin && (is_class(b[-1], B_IDENT) || b[-1] == '\'' || b[-1] == '.'))
		b--;
	if (b < p && is_class(*b, B_DIGIT))
		return p + 1;
	return skip_quoted(p + 1, s->end, '\'');
}

/* ---- names in directives ---- */
/* A logical line's rest from @p (or up to the parenthesis that closes @depth) without comments and splices. */
static const char *take_tokens(const char *p, const char *end, int depth, struct gr_buf *out)
{
	size_t start = out->n;

	while (p < end && *p != '\n') {
		const char *q = splice(p, end);

		if (q) {
			p = q;
			continue;
		}
		if (*p == '/' && p + 1 < end && (p[1] == '*' || p[1] == '/')) {
			p = p[1] == '*' ? skip_block(p + 2, end) : skip_line(p + 2, end);
			gr_buf_add_byte(out, ' ');
			continue;
		}
		if (*p == '"' || *p == '\'') {
			q = skip_quoted(p + 1, end, *p);
			gr_buf_add(out, p, (size_t)(q - p));
			p = q;
			continue;
		}
		if (depth && *p == '(')
			depth++;
		if (depth && *p == ')' && --depth == 0)
			break;
		gr_buf_add_byte(out, is_class(*p, B_SPACE) || !*p ? ' ' : (uint8_t)*p);
		p++;
	}
	while (out->n > start && out->p[out->n - 1] == ' ')
		out->n--;
	return p;
}

/* The name behind #include, or inside __has_include's parentheses (@depth 1). */
static const char *take_name(struct scanner *s, const char *p, enum gr_cc_inc_kind kind, int depth)
{
	char close;
	size_t start = s->text.n, n;

	p = skip_blank(p, s->end);
	if (p >= s->end || *p == '\n')
		return p;
	if (*p == '"' || *p == '<') {
		close = *p == '"' ? '"' : '>';
		for (p++; p < s->end && *p != close && *p != '\n';) {
			const char *q = splice(p, s->end);

			if (q) {
				p = q;
				continue;
			}
			gr_buf_add_byte(&s->text, (uint8_t)*p++);
		}
		n = s->text.n - start;
		s->text.n = start;
		/* no closing mark, an empty name, a NUL: the compiler stops there too */
		if (p >= s->end || *p != close || !n || memchr(s->text.p + start, 0, n))
			return p;
		GR_GROW(s->inc, s->cap_inc, s->n_inc + 1);
		s->inc[s->n_inc++] = (struct gr_cc_inc){ (uint8_t)kind, close == '"' ? GR_CC_FORM_QUOTE : GR_CC_FORM_ANGLE,
							 (uint32_t)start, (uint32_t)n };
		s->text.n = start + n;
		gr_buf_add_byte(&s->text, 0);
		return p + 1;
	}
	p = take_tokens(p, s->end, depth, &s->text);
	n = s->text.n - start;
	s->text.n = start;
	for (size_t i = 0; i < n; i++)
		if (!s->text.p[start + i])
			s->text.p[start + i] = ' ';
	if (n) {
		s->flags |= GR_CC_SCAN_COMPUTED;
		GR_GROW(s->inc, s->cap_inc, s->n_inc + 1);
		s->inc[s->n_inc++] = (struct gr_cc_inc){ (uint8_t)kind, GR_CC_FORM_COMPUTED, (uint32_t)start, (uint32_t)n };
		s->text.n = start + n;
		gr_buf_add_byte(&s->text, 0);
	}
	return p;
}

/* @p at "__": a rare word that matters? */
static const char *under_word(struct scanner *s, const char *p)
{
	static const struct { const char *name; uint8_t flag; int8_t inc; } words[] = {
		{ "__DATE__", GR_CC_SCAN_DATE, -1 }, { "__TIME__", GR_CC_SCAN_TIME, -1 }, { "__TIMESTAMP__", GR_CC_SCAN_TIMESTAMP, -1 },
		{ "__has_embed", GR_CC_SCAN_EMBED, -1 }, { "__has_include", 0, GR_CC_INC_HAS },
		{ "__has_include__", 0, GR_CC_INC_HAS }, { "__has_include_next", 0, GR_CC_INC_HAS_NEXT },
		{ "__has_include_next__", 0, GR_CC_INC_HAS_NEXT },
	};
	const char *q = p;
	size_t n;

	while (q < s->end && is_class(*q, B_IDENT))
		q++;
	n = (size_t)(q - p);
	if (p > s->begin && is_class(p[-1], B_IDENT))
		return q;
	for (size_t i = 0; i < GR_LEN(words); i++) {
		if (strlen(words[i].name) != n || memcmp(words[i].name, p, n))
			continue;
		s->flags |= words[i].flag;
		if (words[i].inc < 0)
			break;
		p = skip_blank(q, s->end);
		if (p < s->end && *p == '(')
			return take_name(s, p + 1, (enum gr_cc_inc_kind)words[i].inc, 1);
		break;
	}
	return q;
}

/* @p behind '#'. Return: where the rest of the line goes on. */
static const char *directive(struct scanner *s, const char *p)
{
	const char *word;
	size_t n;

	p = word = skip_blank(p, s->end);
	while (p < s->end && is_class(*p, B_IDENT))
		p++;
	n = (size_t)(p - word);
	if (n == 7 && !memcmp(word, "include", 7))
		return take_name(s, p, GR_CC_INC_INCLUDE, 0);
	if (n == 12 && !memcmp(word, "include_next", 12))
		return take_name(s, p, GR_CC_INC_NEXT, 0);
	if (n == 6 && !memcmp(word, "import", 6))
		return take_name(s, p, GR_CC_INC_IMPORT, 0);
	if (n == 6 && !memcmp(word, "define", 6)) {
		p = word = skip_blank(p, s->end);
		while (p < s->end && is_class(*p, B_IDENT))
			p++;
		if (p > word) {
			GR_GROW(s->def, s->cap_def, s->n_def + 1);
			s->def[s->n_def++] = (struct gr_cc_def){ gr_cc_name_hash(word, (size_t)(p - word)), (uint32_t)(word - s->begin) };
		}
		return p;
	}
	if (n == 5 && !memcmp(word, "embed", 5)) {
		s->flags |= GR_CC_SCAN_EMBED;
	} else if (n == 6 && !memcmp(word, "pragma", 6)) {
		p = skip_blank(p, s->end);
		if (s->end - p > 4 && !memcmp(p, "GCC", 3) && is_class(p[3], B_SPACE)) {
			p = skip_blank(p + 3, s->end);
			if ((s->end - p >= 10 && !memcmp(p, "dependency", 10)) || (s->end - p >= 3 && !memcmp(p, "pch", 3)))
				s->flags |= GR_CC_SCAN_PCH;
		}
	} else if (n == 5 && !memcmp(word, "undef", 5)) {
		/* "#undef __DATE__" is no use of it */
		p = skip_blank(p, s->end);
		while (p < s->end && is_class(*p, B_IDENT))
			p++;
	}
	return p;
}

/* From @p to behind the newline that ends the logical line. */
static const char *body(struct scanner *s, const char *p)
{
	const char *const end = s->end;
	const uint8_t stop = s->stop;

	for (;;) {
		while (!(byte_class[(uint8_t)*p] & stop))
			p++;
		switch (*p) {
		case '\n': {
			const char *b = p;

			while (b > s->begin && is_class(b[-1], B_SPACE))
				b--;
			p++;
			if (b == s->begin || b[-1] != '\\')
				return p;
			break;
		}
		case '"':
			p = string_literal(s, p);
			break;
		case '\'':
			p = char_literal(s, p);
			break;
		case '/':
			if (p[1] == '*')
				p = skip_block(p + 2, end);
			else if (p[1] == '/')
				p = skip_line(p + 2, end);
			else
				p++;
			break;
		case '_':
			p = p[1] == '_' ? under_word(s, p) : p + 1;
			break;
		case '.':
			p = asm_bare(s, p, end);
			break;
		default:
			if (p >= end)
				return end;
			p++;
			break;
		}
		if (p >= end)
			return end;
	}
}

static void find_all(struct scanner *s)
{
	const char *p = s->begin;

	while (p < s->end) {
		/* A comment may begin a line before a directive; skip_blank goes over it, and at a "//" to its newline. */
		p = skip_blank(p, s->end);
		if (p >= s->end)
			break;
		if (*p == '\n') {
			p++;
			continue;
		}
		if (*p == '#')
			p = directive(s, p + 1);
		else if (s->end - p > 2 && p[0] == '%' && p[1] == ':')
			p = directive(s, p + 2);
		else if (s->end - p > 3 && p[0] == '?' && p[1] == '?' && p[2] == '=')
			p = directive(s, p + 3);
		if (p < s->end)
			p = body(s, p);
	}
}

/* Drops later copies of the same directive. */
static void drop_copies(struct scanner *s)
{
	size_t cap = 16, n = 0;
	uint32_t *table;

	while (cap < s->n_inc * 2)
		cap *= 2;
	table = gr_xalloc(cap * sizeof(*table));
	for (size_t i = 0; i < s->n_inc; i++) {
		struct gr_cc_inc *a = &s->inc[i];
		size_t at = gr_hash64(s->text.p + a->off, a->len, a->kind * 4u + a->form) & (cap - 1);

		for (; table[at]; at = (at + 1) & (cap - 1)) {
			struct gr_cc_inc *b = &s->inc[table[at] - 1];

			if (a->kind == b->kind && a->form == b->form && a->len == b->len &&
			    !memcmp(s->text.p + a->off, s->text.p + b->off, a->len))
				break;
		}
		if (table[at])
			continue;
		s->inc[n] = *a;
		table[at] = (uint32_t)++n;
	}
	s->n_inc = n;
	free(table);
}

static struct gr_cc_scan *pack(struct scanner *s)
{
	size_t n_inc = s->n_inc * sizeof(*s->inc), n_def = s->n_def * sizeof(*s->def);
	struct gr_cc_scan *out = gr_xalloc(sizeof(*out) + n_inc + n_def + s->text.n + 1);
	char *p = (char *)(out + 1);

	*out = (struct gr_cc_scan){ .flags = s->flags, .n_inc = (uint32_t)s->n_inc, .n_def = (uint32_t)s->n_def };
	out->inc = (struct gr_cc_inc *)p;
	if (n_inc)
		memcpy(p, s->inc, n_inc);
	out->def = (struct gr_cc_def *)(p + n_inc);
	if (n_def)
		memcpy(p + n_inc, s->def, n_def);
	out->text = p + n_inc + n_def;
	if (s->text.n)
		memcpy(p + n_inc + n_def, s->text.p, s->text.n);
	return out;
}

struct gr_cc_scan *gr_cc_scan(const char *text, size_t n)
{
	struct scanner s = { .begin = text, .end = text + n, .stop = B_STOP };
	struct gr_cc_scan *out;

	if (memmem(text, n, "__has_", 6) || memmem(text, n, "__DATE__", 8) || memmem(text, n, "__TIME", 6))
		s.stop |= B_UNDER;
	if (memmem(text, n, ".inc", 4)) {
		s.has_asm = true;
		s.stop |= B_DOT;
	}
	/* a byte order mark is no text */
	if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		s.begin += 3;
	find_all(&s);
	if (s.begin != text)
		for (size_t i = 0; i < s.n_def; i++)
			s.def[i].off += 3;
	if (s.n_inc > 1)
		drop_copies(&s);
	out = pack(&s);
	free(s.inc);
	free(s.def);
	gr_buf_fini(&s.text);
	return out;
}

void gr_cc_scan_define(const char *text, size_t n, uint32_t off, struct gr_buf *out)
{
	const char *p = text + off, *end = text + n;

	if (off >= n)
		return;
	while (p < end && is_class(*p, B_IDENT))
		gr_buf_add_byte(out, (uint8_t)*p++);
	/* a function-like macro has its parenthesis at once: keep that apart from a body that begins with one */
	if (p < end && *p != '(')
		gr_buf_add_byte(out, ' ');
	take_tokens(p, end, 0, out);
}
