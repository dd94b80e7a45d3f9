/* regex.c - expressions as programs of states, all states moved along the text together (Thompson, Pike)
 *
 * The parser makes a tree, the tree a program: repeats are written out, so {m,n} costs instructions and is limited by them.
 * The search holds a list of states, at most one a program's instruction, each with where its match began; they are in order of
 * preference: earlier beginnings first. So a byte costs at most the program's length, whatever the expression. While no state is
 * alive, bytes that cannot begin a match are skipped.
 *
 * Tried and not kept: regexec of glibc. It begins anew at each byte ((a+)+$ took 18 s over 16 KiB of 'a', and four times that
 * over twice as many), keeps the states it made for as long as the expression lives, and takes a lock all threads share. */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/load/regex.h"

struct set { uint8_t bits[32]; };
static bool set_has(const struct set *s, uint8_t c) { return s->bits[c >> 3] >> (c & 7) & 1; }
static void set_add(struct set *s, uint8_t c) { s->bits[c >> 3] |= (uint8_t)(1u << (c & 7)); }

enum op {
	OP_BYTE, OP_SET, OP_MATCH,                       /* these wait for a byte, or end */
	OP_SPLIT,                                        /* x first, else y */
	OP_JUMP, OP_OPEN, OP_CLOSE,                      /* OPEN, CLOSE: of the first group */
	OP_BEGIN, OP_END, OP_WORD, OP_NOT_WORD, OP_WORD_BEGIN, OP_WORD_END
};
struct instr {
	uint8_t op, byte;
	uint16_t x, y;                                   /* SET: x is which */
};
struct gr_regex {
	struct instr prog[GR_REGEX_MAX_INSTRS];
	struct set *sets, first;                         /* first: bytes a match may begin with, but at the text's beginning */
	uint32_t n, n_sets;
	bool has_first;                                  /* else it may be empty */
};

/* ---- the parser ---- */

enum node_kind { N_EMPTY, N_BYTE, N_SET, N_CAT, N_ALT, N_REPEAT, N_GROUP, N_ASSERT };
struct node {
	uint8_t kind, byte;                              /* ASSERT: byte is the op */
	uint32_t a, b;                                   /* nodes; SET: a is which; REPEAT: of a */
	uint32_t lo, hi;                                 /* hi UINT32_MAX: any number */
};
struct parser {
	struct gr_regex *re;
	const char *p;
	struct node *nodes;
	uint32_t n_nodes, cap_nodes, cap_sets, depth, n_groups, work;
	const char *why;
};

static uint32_t add_node(struct parser *ps, struct node n)
{
	GR_GROW(ps->nodes, ps->cap_nodes, ps->n_nodes + 1);
	ps->nodes[ps->n_nodes] = n;
	return ps->n_nodes++;
}

static uint32_t fail(struct parser *ps, const char *why)
{
	if (!ps->why)
		ps->why = why;
	return 0;
}

static uint32_t add_set(struct parser *ps, const struct set *s)
{
	GR_GROW(ps->re->sets, ps->cap_sets, ps->re->n_sets + 1);
	ps->re->sets[ps->re->n_sets] = *s;
	return add_node(ps, (struct node){ .kind = N_SET, .a = ps->re->n_sets++ });
}

static bool is_word(int c) { return c == '_' || (c < 128 && isalnum(c)); }

/* \w and its like, upper case: all others. */
static bool class_of(char name, struct set *s)
{
	bool is_not = isupper((unsigned char)name);

	memset(s, 0, sizeof(*s));
	for (int c = 0; c < 256; c++) {
		bool is_in;

		switch (name | 32) {
		case 'w':
			is_in = is_word(c);
			break;
		case 's':
			is_in = c == ' ' || (c >= '\t' && c <= '\r');
			break;
		case 'd':
			is_in = c >= '0' && c <= '9';
			break;
		default:
			return false;
		}
		if (is_in != is_not)
			set_add(s, (uint8_t)c);
	}
	return true;
}

/* [:alpha:] behind its "[:"; p is moved behind ":]". */
static bool named_class(struct parser *ps, struct set *s)
{
	static const struct { const char *name; int (*is)(int); } classes[] = {
		{ "alpha:]", isalpha }, { "digit:]", isdigit }, { "alnum:]", isalnum }, { "upper:]", isupper }, { "lower:]", islower }, { "space:]", isspace },
		{ "blank:]", isblank }, { "punct:]", ispunct }, { "print:]", isprint }, { "graph:]", isgraph }, { "cntrl:]", iscntrl }, { "xdigit:]", isxdigit },
	};

	for (size_t i = 0; i < GR_LEN(classes); i++) {
		size_t n = strlen(classes[i].name);

		if (strncmp(ps->p, classes[i].name, n))
			continue;
		for (int c = 0; c < 128; c++)
			if (classes[i].is(c))
				set_add(s, (uint8_t)c);
		ps->p += n;
		return true;
	}
	return false;
}

/* Behind the "[". */
static uint32_t bracket(struct parser *ps)
{
	struct set s = { { 0 } };
	bool is_not = *ps->p == '^';

	ps->p += is_not;
	for (bool is_first = true; is_first || *ps->p != ']'; is_first = false) {
		uint8_t lo = (uint8_t)*ps->p, hi = lo;

		if (!lo)
			return fail(ps, "a [ without its ]");
		if (lo == '[' && (ps->p[1] == '.' || ps->p[1] == '='))
			return fail(ps, "[. and [= are not supported");
		if (lo == '[' && ps->p[1] == ':') {
			ps->p += 2;
			if (!named_class(ps, &s))
				return fail(ps, "an unknown [:class:]");
			continue;
		}
		ps->p++;
		if (ps->p[0] == '-' && ps->p[1] && ps->p[1] != ']') {
			hi = (uint8_t)ps->p[1];
			if (hi == '[' && (ps->p[2] == '.' || ps->p[2] == '=' || ps->p[2] == ':'))
				return fail(ps, "a range that ends in a class");
			ps->p += 2;
		}
		if (hi < lo)
			return fail(ps, "a range whose end is before its beginning");
		for (int c = lo; c <= hi; c++)
			set_add(&s, (uint8_t)c);
	}
	ps->p++;
	for (size_t i = 0; is_not && i < sizeof(s.bits); i++)
		s.bits[i] = (uint8_t)~s.bits[i];
	return add_set(ps, &s);
}

/* Behind the backslash. */
static uint32_t escape(struct parser *ps)
{
	static const struct { char name; uint8_t op; } asserts[] = {
		{ 'b', OP_WORD }, { 'B', OP_NOT_WORD }, { '<', OP_WORD_BEGIN }, { '>', OP_WORD_END }, { '`', OP_BEGIN }, { '\'', OP_END },
	};
	static const char controls[] = "n\nr\rt\t";
	char c = *ps->p;
	struct set s;

	if (!c)
		return fail(ps, "a \\ at the end");
	ps->p++;
	if (class_of(c, &s))
		return add_set(ps, &s);
	for (size_t i = 0; i < GR_LEN(asserts); i++)
		if (asserts[i].name == c)
			return add_node(ps, (struct node){ .kind = N_ASSERT, .byte = asserts[i].op });
	for (const char *k = controls; *k; k += 2)
		if (*k == c)
			return add_node(ps, (struct node){ .kind = N_BYTE, .byte = (uint8_t)k[1] });
	if (isdigit((unsigned char)c))
		return fail(ps, "back references are not supported");
	if (isalpha((unsigned char)c))
		return fail(ps, "an unknown \\ and letter");
	return add_node(ps, (struct node){ .kind = N_BYTE, .byte = (uint8_t)c });
}

static const char *number(const char *p, uint32_t *n)
{
	for (*n = 0; isdigit((unsigned char)*p); p++)
		*n = *n > GR_REGEX_MAX_REPEAT ? *n : *n * 10 + (uint32_t)(*p - '0');
	return p;
}

/* Is there one of * + ? {m,n}? p is moved behind it. A { that begins nothing of the kind stands for itself: bodies are often JSON. */
static bool repeat(struct parser *ps, uint32_t *lo, uint32_t *hi)
{
	const char *p = ps->p, *from;

	*lo = *p == '+';
	*hi = *p == '?' ? 1 : UINT32_MAX;
	if (*p == '*' || *p == '+' || *p == '?') {
		ps->p++;
		return true;
	}
	if (*p != '{')
		return false;
	from = p + 1;
	p = number(from, lo);
	if (p == from && *p != ',')
		return false;
	if (*p == ',') {
		from = p + 1;
		p = number(from, hi);
		if (p == from)
			*hi = UINT32_MAX;
	} else {
		*hi = *lo;
	}
	if (*p != '}')
		return false;
	ps->p = p + 1;
	if (*lo > GR_REGEX_MAX_REPEAT || (*hi != UINT32_MAX && *hi > GR_REGEX_MAX_REPEAT))
		fail(ps, "more than 1000 in {}");
	else if (*hi < *lo)
		fail(ps, "a {m,n} with m over n");
	return true;
}

static uint32_t alternatives(struct parser *ps);

static uint32_t group(struct parser *ps)
{
	bool is_first = !ps->n_groups++;
	uint32_t n;

	if (++ps->depth > GR_REGEX_MAX_DEPTH)
		return fail(ps, "more than 50 groups in each other");
	n = alternatives(ps);
	ps->depth--;
	if (ps->why)
		return 0;
	if (*ps->p != ')')
		return fail(ps, "a ( without its )");
	ps->p++;
	return is_first ? add_node(ps, (struct node){ .kind = N_GROUP, .a = n }) : n;
}

static uint32_t atom(struct parser *ps)
{
	uint32_t lo, hi;
	struct set all;

	if (repeat(ps, &lo, &hi))
		return fail(ps, "nothing to repeat");
	switch (*ps->p++) {
	case '(':
		return group(ps);
	case '[':
		return bracket(ps);
	case '\\':
		return escape(ps);
	case '.':
		memset(&all, 0xff, sizeof(all));
		return add_set(ps, &all);
	case '^':
		return add_node(ps, (struct node){ .kind = N_ASSERT, .byte = OP_BEGIN });
	case '$':
		return add_node(ps, (struct node){ .kind = N_ASSERT, .byte = OP_END });
	}
	return add_node(ps, (struct node){ .kind = N_BYTE, .byte = (uint8_t)ps->p[-1] });
}

static uint32_t sequence(struct parser *ps)
{
	uint32_t all = add_node(ps, (struct node){ .kind = N_EMPTY }), lo, hi;

	while (!ps->why && *ps->p && *ps->p != '|' && (*ps->p != ')' || !ps->depth)) {
		uint32_t one = atom(ps);

		while (!ps->why && ps->nodes[one].kind != N_ASSERT && repeat(ps, &lo, &hi))
			one = add_node(ps, (struct node){ .kind = N_REPEAT, .a = one, .lo = lo, .hi = hi });
		all = add_node(ps, (struct node){ .kind = N_CAT, .a = all, .b = one });
	}
	return all;
}

static uint32_t alternatives(struct parser *ps)
{
	uint32_t n = sequence(ps);

	while (!ps->why && *ps->p == '|') {
		uint32_t other;

		ps->p++;
		other = sequence(ps);
		n = add_node(ps, (struct node){ .kind = N_ALT, .a = n, .b = other });
	}
	return n;
}

/* ---- from the tree to the program ---- */

static uint32_t add_instr(struct parser *ps, struct instr i)
{
	if (ps->re->n >= GR_REGEX_MAX_INSTRS)
		return fail(ps, "more than 2000 states");
	ps->re->prog[ps->re->n] = i;
	return ps->re->n++;
}

static void emit(struct parser *ps, uint32_t i_node);

static void emit_repeat(struct parser *ps, const struct node *n)
{
	struct instr *prog = ps->re->prog;
	uint32_t split, optional = UINT32_MAX, from = ps->re->n;

	for (uint32_t i = 0; i < n->lo && !ps->why; i++) {
		from = ps->re->n;
		emit(ps, n->a);
	}
	if (ps->why)
		return;
	if (n->hi == UINT32_MAX && n->lo) {             /* the last one again and again */
		split = add_instr(ps, (struct instr){ .op = OP_SPLIT, .x = (uint16_t)from });
		prog[split].y = (uint16_t)ps->re->n;
		return;
	}
	if (n->hi == UINT32_MAX) {
		split = add_instr(ps, (struct instr){ .op = OP_SPLIT });
		emit(ps, n->a);
		add_instr(ps, (struct instr){ .op = OP_JUMP, .x = (uint16_t)split });
		prog[split].x = (uint16_t)(split + 1);
		prog[split].y = (uint16_t)ps->re->n;
		return;
	}
	for (uint32_t i = n->lo; i < n->hi && !ps->why; i++) {       /* each behind the one before; y chains them until the end is known */
		split = add_instr(ps, (struct instr){ .op = OP_SPLIT, .y = (uint16_t)optional });
		prog[split].x = (uint16_t)(split + 1);
		optional = split;
		emit(ps, n->a);
	}
	while (!ps->why && (uint16_t)optional != UINT16_MAX) {
		uint32_t before = prog[optional].y;

		prog[optional].y = (uint16_t)ps->re->n;
		optional = before;
	}
}

static void emit(struct parser *ps, uint32_t i_node)
{
	const struct node *n = &ps->nodes[i_node];
	struct instr *prog = ps->re->prog;
	uint32_t split, jump;

	/* (((){1000}){1000}){1000} has no instruction, and takes long */
	if (ps->why || ++ps->work > 20 * GR_REGEX_MAX_INSTRS) {
		fail(ps, "more than 2000 states");
		return;
	}
	switch ((enum node_kind)n->kind) {
	case N_EMPTY:
		break;
	case N_BYTE:
		add_instr(ps, (struct instr){ .op = OP_BYTE, .byte = n->byte });
		break;
	case N_SET:
		add_instr(ps, (struct instr){ .op = OP_SET, .x = (uint16_t)n->a });
		break;
	case N_ASSERT:
		add_instr(ps, (struct instr){ .op = n->byte });
		break;
	case N_CAT:
		emit(ps, n->a);
		emit(ps, n->b);
		break;
	case N_ALT:
		split = add_instr(ps, (struct instr){ .op = OP_SPLIT });
		emit(ps, n->a);
		jump = add_instr(ps, (struct instr){ .op = OP_JUMP });
		prog[split].x = (uint16_t)(split + 1);
		prog[split].y = (uint16_t)ps->re->n;
		emit(ps, n->b);
		prog[jump].x = (uint16_t)ps->re->n;
		break;
	case N_GROUP:
		add_instr(ps, (struct instr){ .op = OP_OPEN });
		emit(ps, n->a);
		add_instr(ps, (struct instr){ .op = OP_CLOSE });
		break;
	case N_REPEAT:
		emit_repeat(ps, n);
		break;
	}
}

/* What a match may begin with anywhere but at the beginning. Assertions but "^" are taken to hold. */
static void find_first(struct gr_regex *re)
{
	bool seen[GR_REGEX_MAX_INSTRS] = { false };
	uint16_t stack[2 * GR_REGEX_MAX_INSTRS + 1];
	uint32_t n = 0;

	re->has_first = true;
	stack[n++] = 0;
	while (n) {
		uint16_t pc = stack[--n];
		const struct instr *i = &re->prog[pc];

		if (seen[pc])
			continue;
		seen[pc] = true;
		switch ((enum op)i->op) {
		case OP_BYTE:
			set_add(&re->first, i->byte);
			break;
		case OP_SET:
			for (size_t k = 0; k < sizeof(re->first.bits); k++)
				re->first.bits[k] |= re->sets[i->x].bits[k];
			break;
		case OP_MATCH:
			re->has_first = false;
			break;
		case OP_SPLIT:
			stack[n++] = i->y;
			stack[n++] = i->x;
			break;
		case OP_JUMP:
			stack[n++] = i->x;
			break;
		case OP_BEGIN:
			break;
		default:
			stack[n++] = (uint16_t)(pc + 1);
			break;
		}
	}
}

struct gr_regex *gr_regex_new(const char *text, const char **why)
{
	struct gr_regex *re;
	struct parser ps = { .p = text };
	uint32_t root;

	if (strlen(text) > GR_REGEX_MAX_CHARS) {
		*why = "more than 1000 characters";
		return NULL;
	}
	GR_NEW(re);
	ps.re = re;
	root = alternatives(&ps);
	if (!ps.why) {
		emit(&ps, root);
		add_instr(&ps, (struct instr){ .op = OP_MATCH });
	}
	free(ps.nodes);
	if (ps.why) {
		*why = ps.why;
		gr_regex_free(&re);
		return NULL;
	}
	find_first(re);
	return re;
}

void gr_regex_free(struct gr_regex **re)
{
	if (!*re)
		return;
	free((*re)->sets);
	free(*re);
	*re = NULL;
}

/* ---- the search ---- */

struct thread {
	uint32_t pc, from, open, close;                  /* open, close: of the first group, 1 + offset; 0 none */
};
struct search {
	const struct gr_regex *re;
	struct gr_slice in;
	struct thread *now, *next, *stack;
	uint32_t n_now, n_next;
	uint32_t *seen;                                  /* [instr]: 1 + the offset it was last reached at */
	uint64_t steps;
};

static bool holds(const struct search *s, enum op op, uint32_t at)
{
	bool before = at && is_word(s->in.p[at - 1]), behind = at < s->in.n && is_word(s->in.p[at]);

	switch (op) {
	case OP_BEGIN:
		return !at;
	case OP_END:
		return at == s->in.n;
	case OP_WORD:
		return before != behind;
	case OP_NOT_WORD:
		return before == behind;
	case OP_WORD_BEGIN:
		return !before && behind;
	case OP_WORD_END:
		return before && !behind;
	default:
		return false;
	}
}

/* All that can be reached from @t without a byte goes to the end of @list, the preferred first. */
static void reach(struct search *s, struct thread *list, uint32_t *n_list, struct thread t, uint32_t at)
{
	uint32_t n = 0;

	s->stack[n++] = t;
	while (n) {
		const struct instr *i;

		t = s->stack[--n];
		s->steps++;
		if (s->seen[t.pc] == at + 1)
			continue;
		s->seen[t.pc] = at + 1;
		i = &s->re->prog[t.pc];
		switch ((enum op)i->op) {
		case OP_BYTE:
		case OP_SET:
		case OP_MATCH:
			list[(*n_list)++] = t;
			break;
		case OP_SPLIT:
			s->stack[n] = s->stack[n + 1] = t;
			s->stack[n++].pc = i->y;
			s->stack[n++].pc = i->x;
			break;
		case OP_JUMP:
			s->stack[n] = t;
			s->stack[n++].pc = i->x;
			break;
		case OP_OPEN:
		case OP_CLOSE:
			if (i->op == OP_OPEN)
				t.open = at + 1;
			else
				t.close = at + 1;
			t.pc++;
			s->stack[n++] = t;
			break;
		default:
			if (!holds(s, (enum op)i->op, at))
				break;
			t.pc++;
			s->stack[n++] = t;
			break;
		}
	}
}

/* One byte on. Return: true when @best was set or made longer. */
static bool step(struct search *s, uint32_t at, struct thread *best, uint32_t *best_to, bool has_best)
{
	const struct gr_regex *re = s->re;
	bool was_set = false;

	for (uint32_t k = 0; k < s->n_now; k++) {
		const struct thread *t = &s->now[k];
		const struct instr *i = &re->prog[t->pc];

		s->steps++;
		if ((has_best || was_set) && t->from > best->from)
			break;                           /* as are all behind it */
		if (i->op == OP_MATCH) {
			*best = *t;
			*best_to = at;
			was_set = true;
		} else if (at < s->in.n && (i->op == OP_BYTE ? i->byte == s->in.p[at] : set_has(&re->sets[i->x], s->in.p[at]))) {
			struct thread moved = *t;

			moved.pc++;
			reach(s, s->next, &s->n_next, moved, at + 1);
		}
	}
	return was_set;
}

int gr_regex_find(const struct gr_regex *re, struct gr_slice in, struct gr_regex_match m[2], uint64_t *steps)
{
	size_t n_threads = 2 * re->n + 2 * re->n + 2;
	struct search s = { .re = re, .in = in };
	struct thread best = { 0 };
	uint32_t best_to = 0;
	bool has_best = false;
	void *memory;
	int rc = 0;

	if (in.n >= UINT32_MAX)
		return GR_ELIMIT;
	memory = gr_xalloc(n_threads * sizeof(struct thread) + re->n * sizeof(uint32_t));
	s.now = memory;
	s.next = s.now + re->n;
	s.stack = s.next + re->n;                        /* a state pushes at most two, once an offset */
	s.seen = (uint32_t *)(s.stack + 2 * re->n + 2);
	for (uint32_t at = 0; at <= in.n; at++) {
		struct thread *was = s.now;

		if (!has_best) {
			while (!s.n_now && re->has_first && at && at < in.n && !set_has(&re->first, in.p[at]))
				at++;
			if (!at || !re->has_first || (at < in.n && set_has(&re->first, in.p[at])))
				reach(&s, s.now, &s.n_now, (struct thread){ .from = at }, at);
		}
		if (!s.n_now && has_best)
			break;
		s.n_next = 0;
		has_best |= step(&s, at, &best, &best_to, has_best);
		if (s.steps > *steps) {
			rc = GR_ELIMIT;
			break;
		}
		s.now = s.next;
		s.next = was;
		s.n_now = s.n_next;
	}
	free(memory);
	*steps -= s.steps > *steps ? *steps : s.steps;
	if (rc < 0 || !has_best)
		return rc;
	m[0] = (struct gr_regex_match){ best.from, best_to };
	m[1] = best.open && best.close ? (struct gr_regex_match){ best.open - 1, best.close - 1 } : m[0];
	return 1;
}
