/* top.c - see top.h. Lines are built as text with one-byte marks for colour; a line is cut by columns, not bytes, with marks
 * counting none, so that a narrow terminal never wraps. */
#include "client/view/top.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/view/table.h"
#include "lib/base/alloc.h"

const char *const gr_top_sorts[] = { "name", "load", "failed", NULL };

static json_int_t num(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }
static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t n_ended(const json_t *status)
{
	const char *key;
	json_int_t n = 0;
	json_t *v;

	json_object_foreach(json_object_get(status, "outcomes"), key, v)
		n += json_integer_value(v);
	return n;
}

void gr_top_feed(struct gr_top *t, const json_t *snap, uint64_t now_ms)
{
	uint64_t ended = (uint64_t)n_ended(json_object_get(snap, "status"));

	if (t->is_begun && now_ms > t->last_ms) {
		double rate = ended >= t->last_ended ? (double)(ended - t->last_ended) * 1000 / (double)(now_ms - t->last_ms) : 0;

		if (t->n_history == GR_TOP_HISTORY)
			memmove(t->history, t->history + 1, (GR_TOP_HISTORY - 1) * sizeof(*t->history));
		else
			t->n_history++;
		t->history[t->n_history - 1] = rate;
	}
	t->is_begun = true;
	t->last_ended = ended;
	t->last_ms = now_ms;
}

/* ---- lines ---- */

struct page {
	struct gr_top *t;
	struct gr_buf *out;
	int cols, rows, n;            /* rows there are, lines written */
	int skip;                     /* of the body: not shown, scrolled away */
};

static void mark(struct gr_buf *b, enum gr_top_mark m) { gr_buf_add_byte(b, (uint8_t)m); }

/* The line, cut to the page's columns. Empties @line. */
static void put(struct page *p, struct gr_buf *line)
{
	const char *s = gr_buf_str(line);
	int col = 0;

	if (p->skip > 0) {
		p->skip--;
	} else if (p->n < p->rows) {
		for (; *s; s++) {
			unsigned char c = (unsigned char)*s;
			bool takes_room = c >= 0x20 && (c & 0xc0) != 0x80;

			if (takes_room && col == p->cols)
				break;
			col += takes_room;
			gr_buf_add_byte(p->out, c);
		}
		gr_buf_add_byte(p->out, '\n');
		p->n++;
	}
	gr_buf_clear(line);
}

/* @text to exactly @width columns; what a peer wrote keeps no control bytes. */
static void cell(struct gr_buf *b, const char *text, int width, bool is_right)
{
	int n = 0, shown = 0;

	for (const char *s = text; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	for (int i = n; is_right && i < width; i++)
		gr_buf_add_byte(b, ' ');
	for (const char *s = text; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c & 0xc0) != 0x80 && shown++ == width)
			break;
		gr_buf_add_byte(b, c < 0x20 || c == 0x7f ? '?' : c);
	}
	for (int i = n; !is_right && i < width; i++)
		gr_buf_add_byte(b, ' ');
}

static void cell_n(struct gr_buf *b, json_int_t v, int width)
{
	char text[24];

	if (v >= 10000000)
		snprintf(text, sizeof(text), "%.1fM", (double)v / 1e6);
	else
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, v);
	cell(b, text, width, true);
}

struct share {
	json_int_t n;
	enum gr_top_mark mark;
	const char *block, *ascii;
};

/* A bar of @width columns in which each share takes its part of @total; one that is not nothing shows at least once. */
static void bar(struct gr_buf *b, const struct gr_top *t, const struct share *shares, size_t n_shares, json_int_t total, int width)
{
	int left = width;

	for (size_t i = 0; i < n_shares; i++) {
		int n = total > 0 ? (int)((double)shares[i].n * width / (double)total + 0.5) : 0;

		n = n < 1 && shares[i].n > 0 ? 1 : n > left ? left : n;
		n = n > left ? left : n;
		if (n)
			mark(b, shares[i].mark);
		for (int k = 0; k < n; k++)
			gr_buf_add_str(b, t->is_ascii ? shares[i].ascii : shares[i].block);
		left -= n;
	}
	mark(b, GR_TOP_DIM);
	for (; left > 0; left--)
		gr_buf_add_str(b, t->is_ascii ? "." : "\u2591");
	mark(b, GR_TOP_PLAIN);
}

static void sparks(struct gr_buf *b, const struct gr_top *t, int width)
{
	static const char *const blocks[] = { " ", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588" };
	static const char *const ascii[] = { " ", ".", ".", ":", ":", "|", "|", "#", "#" };
	uint32_t n = t->n_history < (uint32_t)width ? t->n_history : (uint32_t)width;
	double max = 0;

	for (uint32_t i = t->n_history - n; i < t->n_history; i++)
		if (t->history[i] > max)
			max = t->history[i];
	for (uint32_t i = n; i < (uint32_t)width; i++)
		gr_buf_add_byte(b, ' ');
	for (uint32_t i = t->n_history - n; i < t->n_history; i++) {
		int level = max > 0 ? (int)(t->history[i] / max * 8 + 0.5) : 0;

		level = level < 1 && t->history[i] > 0 ? 1 : level;
		gr_buf_add_str(b, (t->is_ascii ? ascii : blocks)[level]);
	}
}

static double rate_now(const struct gr_top *t)
{
	uint32_t n = t->n_history < 5 ? t->n_history : 5;
	double sum = 0;

	for (uint32_t i = t->n_history - n; i < t->n_history; i++)
		sum += t->history[i];
	return n ? sum / n : 0;
}

static void head(struct page *p, const json_t *snap)
{
	const json_t *st = json_object_get(snap, "status"), *tasks = json_object_get(st, "tasks"), *outcomes = json_object_get(st, "outcomes");
	json_int_t slots = num(st, "slots"), used = slots - num(st, "free"), ended = n_ended(st), good = num(outcomes, "done");
	const struct share in_use = { used, GR_TOP_RUN, "\u2588", "#" };
	struct gr_buf line = { 0 };
	char up[24];
	int width;

	gr_view_seconds((uint64_t)num(st, "uptime_ms"), up);
	mark(&line, GR_TOP_BOLD);
	gr_buf_add_str(&line, "griddle ");
	mark(&line, GR_TOP_PLAIN);
	cell(&line, str(snap, "source"), (int)strlen(str(snap, "source")), false);
	gr_buf_printf(&line, "  %s  up %s  %" JSON_INTEGER_FORMAT " worker%s", str(st, "version"), up, num(st, "workers"), num(st, "workers") == 1 ? "" : "s");
	if (num(st, "draining"))
		gr_buf_printf(&line, ", %" JSON_INTEGER_FORMAT " draining", num(st, "draining"));
	if (num(st, "quarantined"))
		gr_buf_printf(&line, ", %" JSON_INTEGER_FORMAT " quarantined", num(st, "quarantined"));
	put(p, &line);
	gr_buf_printf(&line, "slots %5" JSON_INTEGER_FORMAT "/%-5" JSON_INTEGER_FORMAT " ", used, slots);
	width = p->cols - 60 > 10 ? p->cols - 60 : 10;
	bar(&line, p->t, &in_use, 1, slots, width);
	gr_buf_printf(&line, " running %" JSON_INTEGER_FORMAT "  waiting %" JSON_INTEGER_FORMAT "  ", num(tasks, "running"),
		      num(tasks, "queued") + num(tasks, "waiting"));
	if (ended > good)
		mark(&line, GR_TOP_FAIL);
	gr_buf_printf(&line, "not done %" JSON_INTEGER_FORMAT, ended - good);
	put(p, &line);
	gr_buf_printf(&line, "tasks/s %9.1f ", rate_now(p->t));
	mark(&line, GR_TOP_DONE);
	sparks(&line, p->t, width);
	mark(&line, GR_TOP_PLAIN);
	gr_buf_printf(&line, " ended %" JSON_INTEGER_FORMAT, ended);
	put(p, &line);
	put(p, &line);
	gr_buf_fini(&line);
}

static bool is_over(const char *state)
{
	return !strcmp(state, "done") || !strcmp(state, "failed") || !strcmp(state, "cancelled");
}

static enum gr_top_mark mark_of(const char *state)
{
	return !strcmp(state, "running") ? GR_TOP_RUN : !strcmp(state, "done") ? GR_TOP_DONE : !strcmp(state, "failed") ? GR_TOP_FAIL :
	       !strcmp(state, "up") ? GR_TOP_PLAIN : GR_TOP_WAIT;
}

/* Columns of a job's numbers; the narrow ones leave a terminal of 80 columns room for the name. */
struct job_cols {
	int done, failed, run, wait, time, what;
	int fixed;              /* all of a line but for name and bar */
};
static const struct job_cols wide_cols = { 9, 8, 6, 9, 9, 6, 70 }, narrow_cols = { 8, 7, 5, 8, 9, 0, 57 };

static const struct job_cols *cols_of(const struct page *p) { return p->cols < 100 ? &narrow_cols : &wide_cols; }

/* At the pace it had since it began; 0 unknown. */
static json_int_t left_ms(const json_t *j, json_int_t n_left, json_int_t now_ms)
{
	const json_t *n = json_object_get(j, "counts");
	json_int_t n_over = num(n, "done") + num(n, "failed"), took_ms = now_ms - num(j, "started_ms");

	return is_over(str(j, "state")) || !n_over || !num(j, "started_ms") || took_ms <= 0 ? 0 :
	       (json_int_t)((double)n_left * (double)took_ms / (double)n_over);
}

static void job_line(struct page *p, const json_t *j, bool is_picked, int name_width, int bar_width, json_int_t now_ms)
{
	const json_t *n = json_object_get(j, "counts");
	const struct share shares[] = {
		{ num(n, "done"), GR_TOP_DONE, "\u2588", "=" }, { num(n, "failed"), GR_TOP_FAIL, "\u2593", "x" },
		{ num(n, "running"), GR_TOP_RUN, "\u2592", "-" },
	};
	json_int_t waiting = num(n, "blocked") + num(n, "ready") + num(n, "backoff") + num(n, "sent"), left = left_ms(j, waiting + num(n, "running"), now_ms);
	const struct job_cols *w = cols_of(p);
	struct gr_buf b = { 0 };
	char text[24] = "", about[26];

	mark(&b, is_picked ? GR_TOP_PICKED : GR_TOP_PLAIN);
	gr_buf_add_str(&b, is_picked ? ">" : " ");
	cell_n(&b, num(j, "job"), 6);
	gr_buf_add_str(&b, "  ");
	cell(&b, str(j, "name"), name_width, false);
	mark(&b, mark_of(str(j, "state")));
	gr_buf_add_byte(&b, ' ');
	cell(&b, str(j, "state"), 10, false);
	mark(&b, GR_TOP_PLAIN);
	bar(&b, p->t, shares, GR_LEN(shares), num(j, "n_tasks"), bar_width);
	cell_n(&b, num(n, "done"), w->done);
	mark(&b, num(n, "failed") ? GR_TOP_FAIL : GR_TOP_PLAIN);
	cell_n(&b, num(n, "failed"), w->failed);
	mark(&b, GR_TOP_PLAIN);
	cell_n(&b, num(n, "running"), w->run);
	cell_n(&b, waiting, w->wait);
	if (left)
		gr_view_seconds((uint64_t)left, text);
	else if (num(j, "ended_ms") > num(j, "submitted_ms"))
		gr_view_seconds((uint64_t)(num(j, "ended_ms") - num(j, "submitted_ms")), text);
	snprintf(about, sizeof(about), "%s%s", left && !w->what ? "~" : "", text);      /* no room for the word: a guess is what is left */
	cell(&b, about, w->time, true);
	cell(&b, is_over(str(j, "state")) ? " taken" : left ? " left" : "", w->what, false);
	put(p, &b);
	if (*str(j, "pending")) {
		mark(&b, GR_TOP_WAIT);
		gr_buf_add_str(&b, "         waits: ");
		cell(&b, str(j, "pending"), p->cols, false);
		put(p, &b);
	}
	gr_buf_fini(&b);
}

static void jobs(struct page *p, const json_t *snap)
{
	const json_t *list = json_object_get(snap, "jobs");
	const struct job_cols *w = cols_of(p);
	int spare = p->cols - w->fixed, name_width = spare > 30 ? 12 + spare / 3 : spare > 16 ? spare - 8 : 8,
	    bar_width = spare - name_width > 8 ? spare - name_width : 8, n = 0;
	struct gr_buf b = { 0 };
	json_t *j;
	size_t i;

	p->t->n_jobs = 0;
	json_array_foreach(list, i, j)
		p->t->n_jobs += !(p->t->hides_ended && is_over(str(j, "state")));
	if (p->t->picked >= p->t->n_jobs)
		p->t->picked = p->t->n_jobs - 1;
	if (p->t->picked < 0)
		p->t->picked = 0;
	p->t->picked_id = 0;
	mark(&b, GR_TOP_HEAD);
	cell(&b, "JOB", 7, true);
	gr_buf_add_str(&b, "  ");
	cell(&b, "NAME", name_width + 1, false);
	cell(&b, "STATE", 10, false);
	cell(&b, "PROGRESS", bar_width, false);
	cell(&b, "DONE", w->done, true);
	cell(&b, "FAILED", w->failed, true);
	cell(&b, "RUN", w->run, true);
	cell(&b, "WAIT", w->wait, true);
	cell(&b, "TIME", w->time, true);
	cell(&b, "", w->what, false);
	put(p, &b);
	json_array_foreach(list, i, j) {
		if (p->t->hides_ended && is_over(str(j, "state")))
			continue;
		if (n == p->t->picked)
			p->t->picked_id = num(j, "job");
		job_line(p, j, n++ == p->t->picked, name_width, bar_width, num(snap, "now_ms"));
	}
	if (!n) {
		gr_buf_add_str(&b, "         none");
		put(p, &b);
	}
	put(p, &b);
	gr_buf_fini(&b);
}

/* ---- workers ---- */

struct place {                  /* a worker, or a node that sums its workers */
	const char *name, *node, *zone, *state;
	json_int_t slots, running, queued, done, failed, speed;
	int n_workers;
	enum gr_top_sort sort;
};

static int by_place(const void *x, const void *y)
{
	const struct place *a = x, *b = y;
	int rc;

	if (a->sort == GR_TOP_BY_LOAD && a->running * b->slots != b->running * a->slots)
		return a->running * b->slots > b->running * a->slots ? -1 : 1;
	if (a->sort == GR_TOP_BY_FAILED && a->failed != b->failed)
		return a->failed > b->failed ? -1 : 1;
	rc = strcmp(a->zone, b->zone);
	rc = rc ? rc : strcmp(a->node, b->node);
	return rc ? rc : strcmp(a->name, b->name);
}

static void add_worker(struct place *p, const json_t *w)
{
	const char *state = str(w, "state");

	p->slots += num(w, "slots");
	p->running += num(w, "running");
	p->queued += num(w, "queued");
	p->done += num(w, "done");
	p->failed += num(w, "failed");
	p->speed += num(w, "speed_permille");
	p->n_workers++;
	if (!p->state || !strcmp(p->state, "up"))
		p->state = state;
}

static size_t gather(const struct gr_top *t, const json_t *list, struct place **out)
{
	struct place *all = gr_xalloc((json_array_size(list) + 1) * sizeof(*all));
	size_t n = 0, i, k;
	json_t *w;

	json_array_foreach(list, i, w) {
		for (k = t->shows_workers ? n : 0; k < n; k++)
			if (!strcmp(all[k].node, str(w, "node")) && !strcmp(all[k].zone, str(w, "zone")))
				break;
		if (k == n)
			all[n++] = (struct place){ .name = t->shows_workers ? str(w, "name") : "", .node = str(w, "node"), .zone = str(w, "zone"),
						   .sort = t->sort };
		add_worker(&all[k], w);
	}
	qsort(all, n, sizeof(*all), by_place);
	*out = all;
	return n;
}

static void cluster(struct page *p, const json_t *snap)
{
	int spare = p->cols - 66, name_width = spare > 36 ? 12 + spare / 4 : spare > 24 ? 16 : 10, bar_width = spare - name_width > 6 ? spare - name_width : 6;
	struct gr_buf b = { 0 };
	struct place *all;
	size_t n = gather(p->t, json_object_get(snap, "nodes"), &all);

	mark(&b, GR_TOP_HEAD);
	gr_buf_add_str(&b, "  ");
	cell(&b, p->t->shows_workers ? "WORKER" : "NODE", name_width, false);
	gr_buf_add_byte(&b, ' ');
	cell(&b, p->t->shows_workers ? "NODE" : "ZONE", 12, false);
	cell(&b, "SLOTS", bar_width, false);
	cell(&b, "RUN", 11, true);
	cell(&b, "DONE", 9, true);
	cell(&b, "FAILED", 8, true);
	cell(&b, "SPEED", 7, true);
	cell(&b, "  STATE", 13, false);
	put(p, &b);
	for (size_t i = 0; i < n; i++) {
		const struct place *w = &all[i];
		const struct share shares[] = {
			{ w->running < w->slots ? w->running : w->slots, strcmp(w->state, "up") ? GR_TOP_WAIT : GR_TOP_RUN, "\u25a0", "#" },
		};
		char text[32];

		gr_buf_add_str(&b, "  ");
		cell(&b, p->t->shows_workers ? w->name : *w->node ? w->node : "-", name_width, false);
		gr_buf_add_byte(&b, ' ');
		cell(&b, p->t->shows_workers ? w->node : *w->zone ? w->zone : "-", 12, false);
		bar(&b, p->t, shares, 1, w->slots, w->slots < bar_width ? (int)w->slots : bar_width);
		cell(&b, "", w->slots < bar_width ? bar_width - (int)w->slots : 0, false);
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT, w->running, w->slots);
		cell(&b, text, 11, true);
		cell_n(&b, w->done, 9);
		mark(&b, w->failed ? GR_TOP_FAIL : GR_TOP_PLAIN);
		cell_n(&b, w->failed, 8);
		mark(&b, GR_TOP_PLAIN);
		snprintf(text, sizeof(text), "%.2f", (double)w->speed / w->n_workers / 1000);
		cell(&b, text, 7, true);
		gr_buf_add_str(&b, "  ");
		mark(&b, mark_of(w->state));
		cell(&b, w->state, 11, false);
		put(p, &b);
	}
	free(all);
	if (!n) {
		gr_buf_add_str(&b, "  no worker is connected");
		put(p, &b);
	}
	gr_buf_fini(&b);
}

void gr_top_text(struct gr_top *t, const json_t *snap, int rows, int cols, struct gr_buf *out)
{
	struct page p = { .t = t, .out = out, .cols = cols, .rows = rows };
	int n_body;

	head(&p, snap);
	/* the body's height first, so that scrolling stops at its end */
	n_body = 3 + (int)json_array_size(json_object_get(snap, "jobs")) + 1 + (int)json_array_size(json_object_get(snap, "nodes"));
	if (t->scroll > n_body - 1)
		t->scroll = n_body - 1;
	if (t->scroll < 0)
		t->scroll = 0;
	p.skip = t->scroll;
	jobs(&p, snap);
	cluster(&p, snap);
}
