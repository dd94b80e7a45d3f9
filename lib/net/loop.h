/**
 * loop - the program's one libuv loop, its clock, and signals
 *
 * Everything in lib/net runs on the thread that runs the loop.
 */
#pragma once
#include <stdint.h>
#include <uv.h>
#include "lib/base/rng.h"

struct gr_loop;
struct gr_loop *gr_loop_new(uint64_t seed);
void gr_loop_free(struct gr_loop **l);           /* after gr_loop_run returned and all handles were closed */
uv_loop_t *gr_loop_uv(struct gr_loop *l);
uint64_t gr_loop_now_ns(struct gr_loop *l);      /* CLOCK_MONOTONIC, read now: the only clock in griddle's libraries */
uint64_t gr_loop_real_ms(struct gr_loop *l);     /* gr_clock_real_ms */
/* Until gr_loop_go_on both stand still: for a few dozen short things that come together, each of which would read them again
 * and again. Does not nest: the first gr_loop_go_on ends it. */
void gr_loop_stand(struct gr_loop *l);
void gr_loop_go_on(struct gr_loop *l);
uint64_t gr_clock_mono_ns(void);                 /* the same clock, from any thread */
uint64_t gr_clock_thread_cpu_ns(void);           /* CPU time of the calling thread */
uint64_t gr_clock_real_ms(void);                 /* wall clock, for people */
struct gr_rng *gr_loop_rng(struct gr_loop *l);
int gr_loop_run(struct gr_loop *l);              /* until gr_loop_stop, or nothing is left to wait for */
void gr_loop_stop(struct gr_loop *l);
/* @fn on SIGTERM and SIGINT (the loop's thread). */
void gr_loop_on_term(struct gr_loop *l, void (*fn)(void *ctx, int signum), void *ctx);
/* A timer owned by the loop, freed by gr_loop_free or gr_timer_stop. repeat_ms 0: once. */
struct gr_timer;
struct gr_timer *gr_timer_start(struct gr_loop *l, uint64_t first_ms, uint64_t repeat_ms, void (*fn)(void *ctx), void *ctx);
void gr_timer_stop(struct gr_timer **t);
/* The same for what is set again and again: made stopped; set once for @ms after the loop's present wake-up (0: behind what
 * is done now), in place of an earlier time. No allocation. */
struct gr_timer *gr_timer_new(struct gr_loop *l, void (*fn)(void *ctx), void *ctx);
void gr_timer_set(struct gr_timer *t, uint64_t ms);
void gr_timer_clear(struct gr_timer *t);
