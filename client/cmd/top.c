/* top.c - `griddle top`: a screen that follows the cluster. ncurses paints the lines of client/view/top.c; its marks become
 * attributes here. Keys are looked at ten times a second, the coordinator is asked once an interval. */
#include <langinfo.h>
#include <locale.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curses.h>

#include "client/cmd/commands.h"
#include "client/rpc.h"
#include "client/view/table.h"
#include "client/view/top.h"
#include "lib/base/alloc.h"

#define CALL_LIMIT_MS 5000
#define KEY_MS 100
#define MAX_JOBS 200

struct top_opts {
	struct gr_target_opts target;
	int64_t interval_ms, simulate, sort;
	bool once, workers;
};
#define AT(f) offsetof(struct top_opts, f)
static const struct gr_conf_key top_keys[] = {
	{ "interval", GR_CONF_MS, "ms", "1s", 100, 60000, NULL, "How often the coordinator is asked.", AT(interval_ms), NULL },
	{ "sort", GR_CONF_ENUM, "", "name", 0, 0, gr_top_sorts, "Order of nodes and workers.", AT(sort), NULL },
	{ "workers", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Show each worker, not only nodes.", AT(workers), NULL },
	{ "once", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Print one screen to standard output and end.", AT(once), NULL },
	{ "simulate", GR_CONF_INT, "SEED", "0", 0, INT64_MAX, NULL,
	  "Show a made-up cluster, the same for the same SEED; 0 shows the real one.", AT(simulate), NULL },
	GR_TARGET_KEYS(struct top_opts),
};

struct top {
	const struct top_opts *o;
	struct gr_top view;
	struct gr_top_sim *sim;
	struct gr_rpc *rpc;
	json_t *snap;
	uint64_t sim_ms;
	char note[256];                 /* on the last line */
	long long asks;                 /* whether that job is to be cancelled; 0 nothing is asked */
	bool shows_help, is_ending;
};

static int ask(struct top *t, const char *op, json_t **rep, struct gr_err *err)
{
	return gr_rpc_call(t->rpc, json_pack("{s:s}", "op", op), CALL_LIMIT_MS, rep, err);
}

static int take(struct top *t, struct gr_err *err)
{
	json_t *status = NULL, *nodes = NULL, *jobs = NULL, *snap;
	int rc = 0;

	if (t->sim) {
		t->sim_ms += (uint64_t)t->o->interval_ms;
		snap = gr_top_sim_step(t->sim, (uint64_t)t->o->interval_ms);
		gr_top_feed(&t->view, snap, t->sim_ms);
		json_decref(t->snap);
		t->snap = snap;
		return 0;
	}
	rc = ask(t, "status", &status, err);
	if (rc == 0)
		rc = ask(t, "nodes", &nodes, err);
	if (rc == 0)
		rc = gr_rpc_call(t->rpc, json_pack("{s:s, s:i, s:b}", "op", "job.ls", "limit", MAX_JOBS, "newest", true), CALL_LIMIT_MS, &jobs, err);
	if (rc == GR_EUNSUP) {          /* a coordinator that runs no jobs */
		jobs = json_pack("{s:[]}", "jobs");
		rc = 0;
	}
	if (rc == 0) {
		json_decref(t->snap);
		t->snap = json_pack("{s:I, s:O, s:O, s:O, s:O}", "now_ms", (json_int_t)gr_rpc_real_ms(), "source", json_object_get(status, "endpoint"), "status", status, "nodes",
				    json_object_get(nodes, "nodes"), "jobs", json_object_get(jobs, "jobs"));
		if (!t->snap)
			rc = gr_err_set(err, GR_EPROTO, "the coordinator's answer lacks something");
		else
			gr_top_feed(&t->view, t->snap, gr_rpc_now_ms(t->rpc));
	}
	json_decref(status);
	json_decref(nodes);
	json_decref(jobs);
	return rc;
}

/* ---- painting ---- */

static attr_t attribute(int mark, bool has_colour)
{
	switch (mark) {
	case GR_TOP_BOLD:
		return A_BOLD;
	case GR_TOP_DIM:
		return A_DIM;
	case GR_TOP_HEAD:
		return A_REVERSE;
	case GR_TOP_PICKED:
		return A_BOLD | A_UNDERLINE;
	case GR_TOP_RUN:
		return has_colour ? COLOR_PAIR(1) : A_NORMAL;
	case GR_TOP_DONE:
		return has_colour ? COLOR_PAIR(2) : A_NORMAL;
	case GR_TOP_FAIL:
		return has_colour ? COLOR_PAIR(3) | A_BOLD : A_BOLD;
	case GR_TOP_WAIT:
		return has_colour ? COLOR_PAIR(4) : A_DIM;
	default:
		return A_NORMAL;
	}
}

static void paint_text(const char *s, bool has_colour)
{
	int y = 0;

	move(0, 0);
	for (; *s; s++) {
		size_t n = strcspn(s, "\n\1\2\3\4\5\6\7\10\11");

		if (n) {
			addnstr(s, (int)n);
			s += n - 1;
		} else if (*s == '\n') {
			attrset(A_NORMAL);
			clrtoeol();
			move(++y, 0);
		} else {
			attrset(attribute(*s, has_colour));
		}
	}
	attrset(A_NORMAL);
	clrtobot();
}

static const char *const help_text[] = {
	"q        end                         w   nodes or each worker",
	"up down  pick a job                  s   order of nodes: name, load, failed",
	"PgUp PgDn, Home  scroll              e   hide or show jobs that are over",
	"p        pause or resume the job     c   cancel it (asks first)",
	"?  h     this text                   any other key closes it",
};

static void paint(struct top *t, bool has_colour)
{
	struct gr_buf text = { 0 };
	char question[64];
	int rows = getmaxy(stdscr), cols = getmaxx(stdscr);

	gr_top_text(&t->view, t->snap, rows - 1, cols, &text);
	erase();
	paint_text(gr_buf_str(&text), has_colour);
	for (int i = 0; t->shows_help && i < (int)GR_LEN(help_text) && rows - 2 - (int)GR_LEN(help_text) + i > 0; i++) {
		move(rows - 1 - (int)GR_LEN(help_text) + i, 0);
		clrtoeol();
		attrset(A_BOLD);
		addnstr(help_text[i], cols - 1);
	}
	if (t->asks)
		snprintf(question, sizeof(question), " Cancel job %lld? y or n", t->asks);
	attrset(A_REVERSE);
	mvprintw(rows - 1, 0, "%-*.*s", cols - 1, cols - 1,
		 t->asks ? question : t->note[0] ? t->note : " q end  ? keys  w workers  s order  e hide ended  p pause  c cancel");
	attrset(A_NORMAL);
	refresh();
	gr_buf_fini(&text);
}

/* ---- keys ---- */

static void change(struct top *t, const char *op, long long job)
{
	struct gr_err err = { 0 };
	json_t *rep = NULL;

	if (t->sim) {
		snprintf(t->note, sizeof(t->note), " this cluster is simulated");
		return;
	}
	if (!job)
		return;
	if (gr_rpc_call(t->rpc, json_pack("{s:s, s:I}", "op", op, "job", (json_int_t)job), CALL_LIMIT_MS, &rep, &err) < 0)
		snprintf(t->note, sizeof(t->note), " %.200s", err.text);
	else
		snprintf(t->note, sizeof(t->note), " %s: job %lld", op + 4, job);
	json_decref(rep);
}

static const char *state_of_picked(const struct top *t)
{
	size_t i;
	json_t *j;

	json_array_foreach(json_object_get(t->snap, "jobs"), i, j)
		if (json_integer_value(json_object_get(j, "job")) == t->view.picked_id)
			return json_string_value(json_object_get(j, "state"));
	return "";
}

/* What is picked may be another job by now: the one that was asked about is meant. A terminal of another size is no answer. */
static void on_answer(struct top *t, int key)
{
	long long job = t->asks;

	if (key == KEY_RESIZE)
		return;
	t->asks = 0;
	if (key == 'y' || key == 'Y')
		change(t, "job.cancel", job);
}

static void on_key(struct top *t, int key)
{
	struct gr_top *v = &t->view;
	bool had_help = t->shows_help;

	t->shows_help = false;
	t->note[0] = 0;
	if (t->asks) {
		on_answer(t, key);
		return;
	}
	switch (key) {
	case 'q': case 'Q': case 27: case 3:
		t->is_ending = !had_help || key != 27;
		break;
	case '?': case 'h':
		t->shows_help = !had_help;
		break;
	case 'w':
		v->shows_workers = !v->shows_workers;
		break;
	case 's':
		v->sort = (v->sort + 1) % GR_TOP_N_SORTS;
		snprintf(t->note, sizeof(t->note), " order: %s", gr_top_sorts[v->sort]);
		break;
	case 'e':
		v->hides_ended = !v->hides_ended;
		break;
	case 'p':
		change(t, !strcmp(state_of_picked(t), "paused") ? "job.resume" : "job.pause", v->picked_id);
		break;
	case 'c':
		t->asks = v->picked_id;
		break;
	case KEY_UP: case 'k':
		v->picked--;
		break;
	case KEY_DOWN: case 'j':
		v->picked++;
		break;
	case KEY_PPAGE:
		v->scroll -= getmaxy(stdscr) / 2;
		break;
	case KEY_NPAGE:
		v->scroll += getmaxy(stdscr) / 2;
		break;
	case KEY_HOME:
		v->scroll = v->picked = 0;
		break;
	default:
		break;
	}
}

static void nap(struct top *t, int ms)
{
	if (t->rpc)
		t->is_ending |= gr_rpc_sleep(t->rpc, ms) < 0;
	else
		napms(ms);
}

static int watch(struct top *t, struct gr_err *err)
{
	const char *no_colour = getenv("NO_COLOR");
	bool has_colour, is_due = true;
	int left_ms = 0, key, rc = 0;
	SCREEN *screen = newterm(NULL, stdout, stdin);

	if (!screen)
		return gr_err_set(err, GR_EUSAGE, "the terminal (TERM=%s) is not known here; --once prints one screen",
				  getenv("TERM") ? getenv("TERM") : "");
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	timeout(0);
	set_escdelay(25);
	has_colour = has_colors() && !(no_colour && *no_colour);
	if (has_colour) {
		start_color();
		use_default_colors();
		init_pair(1, COLOR_BLUE, -1);
		init_pair(2, COLOR_GREEN, -1);
		init_pair(3, COLOR_RED, -1);
		init_pair(4, COLOR_YELLOW, -1);
	}
	while (!t->is_ending) {
		if (left_ms <= 0) {
			struct gr_err e = { 0 };

			rc = take(t, &e);
			if (rc == GR_EGONE) {
				rc = 0;
				break;
			}
			if (rc < 0 && !t->snap) {       /* never saw anything: say so on the plain terminal */
				*err = e;
				break;
			}
			if (rc < 0)
				snprintf(t->note, sizeof(t->note), " %.200s; trying again", e.text);
			else if (strstr(t->note, "trying again"))
				t->note[0] = 0;
			rc = 0;
			left_ms = (int)t->o->interval_ms;
			is_due = true;
		}
		while ((key = getch()) != ERR) {
			on_key(t, key);
			is_due = true;
		}
		if (is_due)
			paint(t, has_colour);
		is_due = false;
		nap(t, left_ms < KEY_MS ? left_ms : KEY_MS);
		left_ms -= KEY_MS;
	}
	endwin();
	delscreen(screen);
	return rc;
}

/* One screen as plain text: two looks, so that there is a rate. */
static int print_once(struct top *t, struct gr_err *err)
{
	const char *env_cols = getenv("COLUMNS"), *env_rows = getenv("LINES");
	int cols = env_cols ? atoi(env_cols) : 0, rows = env_rows ? atoi(env_rows) : 0, rc = take(t, err);
	struct gr_buf text = { 0 };

	if (rc == 0) {
		nap(t, t->sim ? 0 : (int)t->o->interval_ms);
		rc = take(t, err);
	}
	if (rc < 0)
		return rc;
	gr_top_text(&t->view, t->snap, rows > 4 ? rows : 1000, cols > 40 ? cols : 120, &text);
	for (const char *s = gr_buf_str(&text); *s; s++)
		if ((unsigned char)*s >= 0x20 || *s == '\n')
			putchar(*s);
	gr_buf_fini(&text);
	return 0;
}

static int run_top(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct gr_target target = { 0 };
	struct top_opts o;
	struct top t = { .o = &o };
	struct gr_paths paths = { 0 };
	struct gr_err err = { 0 };
	struct gr_conf conf;
	int rc, i = gr_cmd_options(cmd, argc, argv, &conf, &o, &err);

	if (i < 0)
		return gr_cmd_fail(cmd, &err);
	if (i < argc) {
		gr_conf_fini(&conf);
		return gr_cmd_usage(cmd, argv[i]);
	}
	setlocale(LC_ALL, "");
	t.view.is_ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
	t.view.shows_workers = o.workers;
	t.view.sort = (enum gr_top_sort)o.sort;
	if (o.simulate) {
		t.sim = gr_top_sim_new((uint64_t)o.simulate);
		rc = 0;
	} else {
		rc = gr_paths_init(&paths, &err);
		if (rc == 0)
			rc = gr_target_resolve(&target, &o.target, &paths, &err);
		if (rc == 0)
			rc = gr_rpc_open(&target, NULL, NULL, &t.rpc, &err);
	}
	if (rc == 0 && !o.once && !isatty(STDOUT_FILENO))
		rc = gr_err_set(&err, GR_EUSAGE, "standard output is no terminal; --once prints one screen, `griddle status -o json` is for programs");
	if (rc == 0)
		rc = o.once ? print_once(&t, &err) : watch(&t, &err);
	json_decref(t.snap);
	gr_rpc_close(&t.rpc);
	gr_top_sim_free(&t.sim);
	gr_target_fini(&target);
	gr_paths_fini(&paths);
	gr_conf_fini(&conf);
	return rc < 0 ? gr_cmd_fail(cmd, &err) : GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_top = {
	.name = "top", .args = "", .summary = "follow jobs, workers and throughput on a screen",
	.help = "  griddle top\n  griddle top --once\n  griddle top --simulate 7\n\n"
		"Slots, tasks a second, each job's progress and time left, and what runs on each node or worker. Keys: ? shows\n"
		"them; p pauses and c cancels the picked job. NO_COLOR is heeded.\n",
	.keys = top_keys, .n_keys = GR_LEN(top_keys), .run = run_top,
};
