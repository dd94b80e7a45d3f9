/**
 * macro - see macro.h. Tokens are slices of texts that live as long as the evaluation; an evaluation keeps all it makes
 * in one arena that is dropped at its end. The odometer: choices[] holds, in the order of first meeting, which
 * candidate each macro has; after an evaluation the last one that can be advanced is, and what came behind is forgotten.
 */
#include "lib/cc/macro.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

#define MAX_PARAMS 32
#define MAX_DEPTH 64
#define MAX_CANDIDATES 256

enum tok_kind { T_IDENT, T_NUMBER, T_STRING, T_PUNCT, T_HASH, T_PASTE };
struct tok {
	uint8_t kind;
	bool has_space;                 /* white space in front */
	bool is_painted;                /* met while its own macro was being expanded: never a macro again */
	uint32_t n;
	const char *p;
};
struct toks {
	struct tok *t;
	size_t n, cap;
};

struct cand {                           /* one definition */
	struct cand *next;
	bool is_function, is_variadic;
	uint32_t n_params;
	struct { const char *p; uint32_t n; } params[MAX_PARAMS];
	struct toks body;
	char text[];
};
struct gr_cc__cand {                    /* a macro's definitions */
	struct gr_cc__cand *next;
	struct cand *defs;
	uint32_t n;
	bool may_be_undefined;
	uint32_t n_name;
	char name[];
};

static bool is_ident(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || (c & 0x80);
}
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The next token at *@p; false at the end. */
static bool lex(const char **p, struct tok *t)
{
	const char *s = *p, *q;

	t->has_space = is_space(*s);
	while (is_space(*s))
		s++;
	if (!*s)
		return false;
	t->p = q = s;
	t->is_painted = false;
	if (is_digit(*q) || (*q == '.' && is_digit(q[1]))) {
		t->kind = T_NUMBER;
		while (is_ident(*q) || *q == '.')
			q++;
	} else if (is_ident(*q)) {
		t->kind = T_IDENT;
		while (is_ident(*q))
			q++;
	} else if (*q == '"' || *q == '\'') {
		t->kind = T_STRING;
		for (q++; *q && *q != *s; q++)
			if (*q == '\\' && q[1])
				q++;
		if (*q)
			q++;
	} else if (*q == '#') {
		t->kind = q[1] == '#' ? T_PASTE : T_HASH;
		q += t->kind == T_PASTE ? 2 : 1;
	} else {
		t->kind = T_PUNCT;
		q += !strncmp(q, "...", 3) ? 3 : 1;
	}
	t->n = (uint32_t)(q - s);
	*p = q;
	return true;
}

void gr_cc__each_word(const char *text, void (*word)(void *ctx, const char *p, size_t n), void *ctx)
{
	struct tok t;

	while (lex(&text, &t))
		if (t.kind == T_IDENT)
			word(ctx, t.p, t.n);
}

static bool tok_is(const struct tok *t, const char *s) { return t->n == strlen(s) && !memcmp(t->p, s, t->n); }

static void push(struct toks *l, struct tok t)
{
	GR_GROW(l->t, l->cap, l->n + 1);
	l->t[l->n++] = t;
}

/* ---- definitions ---- */
void gr_cc__defs_init(struct gr_cc__defs *d) { memset(d, 0, sizeof(*d)); }

void gr_cc__defs_fini(struct gr_cc__defs *d)
{
	for (struct gr_cc__cand *m = d->mem, *next; m; m = next) {
		next = m->next;
		for (struct cand *c = m->defs, *c_next; c; c = c_next) {
			c_next = c->next;
			free(c->body.t);
			free(c);
		}
		free(m);
	}
	gr_map_fini(&d->by_name);
	memset(d, 0, sizeof(*d));
}

/* "(a, b...) body" behind the name; false when malformed. */
static bool parse_params(struct cand *c, const char **p)
{
	struct tok t;

	c->is_function = true;
	++*p;
	for (;;) {
		if (!lex(p, &t))
			return false;
		if (tok_is(&t, ")"))
			return true;
		if (c->n_params >= MAX_PARAMS || c->is_variadic)
			return false;
		if (tok_is(&t, "...")) {
			c->is_variadic = true;
			c->params[c->n_params].p = "__VA_ARGS__";
			c->params[c->n_params++].n = 11;
		} else if (t.kind == T_IDENT) {
			c->params[c->n_params].p = t.p;
			c->params[c->n_params++].n = t.n;
		} else {
			return false;
		}
		if (!lex(p, &t))
			return false;
		if (tok_is(&t, "...")) {        /* GNU: a named list of the rest */
			c->is_variadic = true;
			if (!lex(p, &t))
				return false;
		}
		if (tok_is(&t, ")"))
			return true;
		if (!tok_is(&t, ","))
			return false;
	}
}

bool gr_cc__defs_add(struct gr_cc__defs *d, const char *text)
{
	size_t n = strlen(text), n_name = 0;
	struct gr_cc__cand *m;
	struct cand *c;
	const char *p;
	struct tok t;

	while (is_ident(text[n_name]))
		n_name++;
	if (!n_name)
		return false;
	m = gr_map_get(&d->by_name, text, n_name);
	for (c = m ? m->defs : NULL; c; c = c->next)
		if (!strcmp(c->text, text))
			return true;
	if (m && m->n >= MAX_CANDIDATES)
		return false;
	c = gr_xalloc(sizeof(*c) + n + 1);
	memcpy(c->text, text, n + 1);
	p = c->text + n_name;
	if (*p == '(' && !parse_params(c, &p)) {
		free(c);
		return false;
	}
	while (lex(&p, &t))
		push(&c->body, t);
	if (!m) {
		m = gr_xalloc(sizeof(*m) + n_name + 1);
		memcpy(m->name, text, n_name);
		m->n_name = (uint32_t)n_name;
		m->next = d->mem;
		d->mem = m;
		gr_map_put(&d->by_name, m->name, n_name, m);
	}
	c->next = m->defs;
	m->defs = c;
	m->n++;
	d->n++;
	if (!c->is_function)
		m->may_be_undefined = true;
	return true;
}

/* ---- one evaluation ---- */
struct choice {
	struct gr_cc__cand *macro;
	uint32_t at, n;                 /* candidate at; at == macro->n means undefined */
};
struct eval {
	const struct gr_cc__defs *defs;
	struct choice choices[GR_CC_MACRO_MAX_NAMES];
	uint32_t n_choices, n_used;     /* made so far in all; met in this evaluation */
	const struct gr_cc__cand *active[MAX_DEPTH];
	uint32_t depth;
	size_t n_toks;
	void **mem;                     /* texts made by # and ## */
	size_t n_mem, cap_mem;
	bool is_over;                   /* a bound was met */
	bool has_reserved;              /* an undefined name that a compiler may define itself */
	bool is_guess;                  /* the same, in this combination */
};

static const struct cand *choose(struct eval *e, struct gr_cc__cand *m)
{
	struct choice *ch;
	struct cand *c;
	uint32_t i, k;

	for (i = 0; i < e->n_used; i++)
		if (e->choices[i].macro == m)
			break;
	if (i == e->n_used) {
		if (i >= GR_CC_MACRO_MAX_NAMES) {
			e->is_over = true;
			return NULL;
		}
		if (i == e->n_choices)
			e->choices[e->n_choices++] = (struct choice){ m, 0, m->n + (m->may_be_undefined ? 1 : 0) };
		e->n_used++;
	}
	ch = &e->choices[i];
	for (c = m->defs, k = 0; c && k < ch->at; c = c->next)
		k++;
	return c;
}

static void emit(struct eval *e, struct toks *out, struct tok t)
{
	if (++e->n_toks > GR_CC_MACRO_MAX_TOKENS * 16 || out->n >= GR_CC_MACRO_MAX_TOKENS) {
		e->is_over = true;
		return;
	}
	push(out, t);
}

static char *own(struct eval *e, struct gr_buf *b)
{
	GR_GROW(e->mem, e->cap_mem, e->n_mem + 1);
	return e->mem[e->n_mem++] = gr_buf_take(b, NULL);
}

static struct tok stringify(struct eval *e, const struct tok *t, size_t n)
{
	struct gr_buf b = { 0 };
	struct tok out = { .kind = T_STRING };

	gr_buf_add_byte(&b, '"');
	for (size_t i = 0; i < n; i++) {
		if (i && t[i].has_space)
			gr_buf_add_byte(&b, ' ');
		for (uint32_t k = 0; k < t[i].n; k++) {
			if (t[i].kind == T_STRING && (t[i].p[k] == '"' || t[i].p[k] == '\\'))
				gr_buf_add_byte(&b, '\\');
			gr_buf_add_byte(&b, (uint8_t)t[i].p[k]);
		}
	}
	gr_buf_add_byte(&b, '"');
	out.n = (uint32_t)b.n;
	out.p = own(e, &b);
	return out;
}

static void paste(struct eval *e, struct toks *out, struct tok t)
{
	struct gr_buf b = { 0 };
	struct tok *last = &out->t[out->n - 1], made;
	const char *p;
	bool has_space = last->has_space;

	gr_buf_add(&b, last->p, last->n);
	gr_buf_add(&b, t.p, t.n);
	p = own(e, &b);
	out->n--;
	while (lex(&p, &made)) {
		made.has_space = has_space;
		has_space = false;
		emit(e, out, made);
	}
}

static void expand(struct eval *e, const struct tok *t, size_t n, struct toks *out);

struct args {
	struct { size_t at, n; } raw[MAX_PARAMS];
	uint32_t n;
};

/* @t[i] is "(": splits the call's arguments. Return: index behind ")", or 0 when there is no end. */
static size_t take_args(const struct cand *c, const struct tok *t, size_t n, size_t i, struct args *a)
{
	int depth = 0;

	a->n = 0;
	a->raw[0].at = i + 1;
	a->raw[0].n = 0;
	for (; i < n; i++) {
		if (tok_is(&t[i], "(") && depth++ == 0)
			continue;
		if (tok_is(&t[i], ")") && --depth == 0) {
			a->n++;
			return i + 1;
		}
		if (depth == 1 && tok_is(&t[i], ",") && !(c->is_variadic && a->n + 1 >= c->n_params)) {
			if (++a->n >= MAX_PARAMS)
				return 0;
			a->raw[a->n].at = i + 1;
			a->raw[a->n].n = 0;
			continue;
		}
		a->raw[a->n].n++;
	}
	return 0;
}

static int param_of(const struct cand *c, const struct tok *t)
{
	if (t->kind == T_IDENT)
		for (uint32_t i = 0; i < c->n_params; i++)
			if (c->params[i].n == t->n && !memcmp(c->params[i].p, t->p, t->n))
				return (int)i;
	return -1;
}

static void substitute(struct eval *e, const struct cand *c, const struct tok *t, const struct args *a, struct toks *out)
{
	bool is_pasting = false;

	for (size_t i = 0; i < c->body.n && !e->is_over; i++) {
		const struct tok *b = &c->body.t[i];
		int k = param_of(c, b);
		size_t start = out->n;

		if (b->kind == T_PASTE && out->n) {
			is_pasting = true;
			continue;
		}
		if (b->kind == T_HASH && c->is_function && i + 1 < c->body.n && param_of(c, b + 1) >= 0) {
			struct tok s;

			k = param_of(c, b + 1);
			s = stringify(e, t + a->raw[k].at, (uint32_t)k < a->n ? a->raw[k].n : 0);
			s.has_space = b->has_space;
			if (is_pasting && out->n)
				paste(e, out, s);
			else
				emit(e, out, s);
			i++;
		} else if (k >= 0) {
			const struct tok *arg = t + a->raw[k].at;
			size_t n_arg = (uint32_t)k < a->n ? a->raw[k].n : 0;
			bool is_next_paste = i + 1 < c->body.n && b[1].kind == T_PASTE;

			if (is_pasting && n_arg && out->n) {
				paste(e, out, arg[0]);
				arg++;
				n_arg--;
				start = out->n;
			}
			if (is_pasting || is_next_paste)
				for (size_t j = 0; j < n_arg; j++)
					emit(e, out, arg[j]);
			else
				expand(e, arg, n_arg, out);
		} else if (is_pasting && out->n) {
			paste(e, out, *b);
			start = out->n;
		} else {
			emit(e, out, *b);
		}
		if (out->n > start)
			out->t[start].has_space = b->has_space;
		is_pasting = false;
	}
}

/* Expands @t[0..n) onto @out. */
static void expand(struct eval *e, const struct tok *t, size_t n, struct toks *out)
{
	for (size_t i = 0; i < n && !e->is_over; i++) {
		struct gr_cc__cand *m = t[i].kind == T_IDENT && !t[i].is_painted ? gr_map_get(&e->defs->by_name, t[i].p, t[i].n) : NULL;
		const struct cand *c = NULL;
		struct toks body = { 0 };
		struct tok self = t[i];
		struct args a = { .n = 0 };
		size_t next = i + 1, start = out->n;

		for (uint32_t k = 0; m && k < e->depth; k++)
			if (e->active[k] == m) {
				m = NULL;
				self.is_painted = true;
			}
		if (m)
			c = choose(e, m);
		if (c && c->is_function) {
			next = i + 1 < n && tok_is(&t[i + 1], "(") ? take_args(c, t, n, i + 1, &a) : 0;
			if (!next)
				c = NULL;
		}
		if (!c) {
			if (!m && self.kind == T_IDENT && self.n > 1 && self.p[0] == '_' &&
			    (self.p[1] == '_' || (self.p[1] >= 'A' && self.p[1] <= 'Z')))
				e->has_reserved = e->is_guess = true;
			emit(e, out, self);
			continue;
		}
		if (e->depth >= MAX_DEPTH) {
			e->is_over = true;
			return;
		}
		substitute(e, c, t, &a, &body);
		e->active[e->depth++] = m;
		expand(e, body.t, body.n, out);
		e->depth--;
		if (out->n > start)
			out->t[start].has_space = self.has_space;
		free(body.t);
		i = next - 1;
	}
}

/* Header name of the expanded tokens into @name ('q' or '<' first). */
static bool header_name(const struct toks *l, struct gr_buf *name)
{
	if (!l->n)
		return false;
	if (l->t[0].kind == T_STRING && l->t[0].n > 2 && l->t[0].p[0] == '"') {
		gr_buf_add_byte(name, 'q');
		gr_buf_add(name, l->t[0].p + 1, l->t[0].n - 2);
		return true;
	}
	if (!tok_is(&l->t[0], "<"))
		return false;
	gr_buf_add_byte(name, '<');
	for (size_t i = 1; i < l->n; i++) {
		if (tok_is(&l->t[i], ">"))
			return name->n > 1;
		if (i > 1 && l->t[i].has_space)
			gr_buf_add_byte(name, ' ');
		gr_buf_add(name, l->t[i].p, l->t[i].n);
	}
	return false;
}

static void add_name(struct gr_buf *out, const struct gr_buf *name)
{
	const char *p = gr_buf_str(out), *end = p + out->n;

	for (; p < end; p += strlen(p) + 1)
		if (strlen(p) == name->n && !memcmp(p, name->p, name->n))
			return;
	gr_buf_add(out, name->p, name->n);
	gr_buf_add_byte(out, 0);
}

static bool advance(struct eval *e)
{
	e->n_choices = e->n_used;
	while (e->n_choices) {
		struct choice *c = &e->choices[e->n_choices - 1];

		if (++c->at < c->n)
			return true;
		e->n_choices--;
	}
	return false;
}

enum gr_cc__eval gr_cc__macro_eval(const struct gr_cc__defs *d, const char *directive, struct gr_buf *out)
{
	struct eval e = { .defs = d };
	struct toks in = { 0 }, result = { 0 };
	struct gr_buf name = { 0 };
	bool is_found = false, is_doubtful = false;
	int left = GR_CC_MACRO_MAX_COMBINATIONS;
	struct tok t;

	while (lex(&directive, &t) && in.n < GR_CC_MACRO_MAX_TOKENS)
		push(&in, t);
	do {
		result.n = 0;
		e.n_used = e.depth = 0;
		e.n_toks = 0;
		e.is_guess = false;
		expand(&e, in.t, in.n, &result);
		gr_buf_clear(&name);
		if (!e.is_over && header_name(&result, &name) && !memchr(name.p, 0, name.n)) {
			add_name(out, &name);
			is_found = true;
			is_doubtful |= e.is_guess;
		}
		for (size_t i = 0; i < e.n_mem; i++)
			free(e.mem[i]);
		e.n_mem = 0;
	} while (!e.is_over && --left > 0 && advance(&e));
	free(e.mem);
	free(in.t);
	free(result.t);
	gr_buf_fini(&name);
	/* "ptr__SIZEOF_POINTER__.h" is a name that only a compiler can tell */
	if (e.is_over || left <= 0 || is_doubtful)
		return GR_CC__EVAL_UNKNOWN;
	return is_found ? GR_CC__EVAL_FOUND : e.has_reserved ? GR_CC__EVAL_UNKNOWN : GR_CC__EVAL_DEAD;
}
