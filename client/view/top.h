/**
 * top - the live screen of `griddle top`: what it shows, made from the same JSON that the API gives
 *
 * gr_top_text makes the lines, with marks for colour, and knows no terminal: tests compare them. client/cmd/top.c puts
 * them on the screen with ncurses. Pure but for the buffers it grows.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"

#define GR_TOP_HISTORY 240u

enum gr_top_sort { GR_TOP_BY_NAME, GR_TOP_BY_LOAD, GR_TOP_BY_FAILED, GR_TOP_N_SORTS };
extern const char *const gr_top_sorts[];          /* "name", "load", "failed" */

/* In front of text that is to be coloured; each lasts to the next mark or the end of the line. */
enum gr_top_mark {
	GR_TOP_PLAIN = 1, GR_TOP_BOLD, GR_TOP_DIM, GR_TOP_RUN, GR_TOP_DONE, GR_TOP_FAIL, GR_TOP_WAIT, GR_TOP_HEAD, GR_TOP_PICKED,
};

struct gr_top {
	bool is_ascii;                            /* no block characters */
	bool shows_workers;                       /* workers one by one, not only nodes */
	bool hides_ended;                         /* jobs that are over */
	enum gr_top_sort sort;
	int scroll, picked;                       /* first line of the body; the picked job's place in the list */
	uint32_t n_history;                       /* tasks ended in each interval, the newest last */
	double history[GR_TOP_HISTORY];
	uint64_t last_ended, last_ms;
	bool is_begun;
	long long picked_id;                      /* set by gr_top_text: 0 none */
	int n_jobs;
};

/* A new answer: takes its count of ended tasks into the history. @snap: {"status", "nodes", "jobs", "source", "now_ms"}. */
void gr_top_feed(struct gr_top *t, const json_t *snap, uint64_t now_ms);
/* @rows lines of at most @cols columns, each ended by a newline, into @out; scroll and picked are put into range. */
void gr_top_text(struct gr_top *t, const json_t *snap, int rows, int cols, struct gr_buf *out);

/* ---- a cluster that is not there, for --simulate ---- */
struct gr_top_sim;
struct gr_top_sim *gr_top_sim_new(uint64_t seed);
void gr_top_sim_free(struct gr_top_sim **s);
/* Lets @ms go by. Return: a new snapshot. */
json_t *gr_top_sim_step(struct gr_top_sim *s, uint64_t ms);
