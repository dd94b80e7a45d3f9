/**
 * aside - work that blocks, done beside the loop by a thread of its own, one piece at a time
 *
 * The thread and the loop share what the caller's lock protects; this module says when each has something to do.
 */
#pragma once
#include "lib/net/loop.h"

struct gr_aside;
/**
 * gr_aside_new - start the thread, which waits for gr_aside_wake
 * @again_ms: after a piece that failed
 * @work: on the thread, until it returns 0: there is nothing more to do. > 0: there is more. < 0: it failed; again in
 *        @again_ms, or at the end once more
 * @done: on the loop, some time after each return of @work; several may be told by one call
 * Return: NULL when there is no thread to be had.
 */
struct gr_aside *gr_aside_new(struct gr_loop *l, uint32_t again_ms, int (*work)(void *ctx), void (*done)(void *ctx), void *ctx);
/* There is something to do. The loop's thread. */
void gr_aside_wake(struct gr_aside *a);
/* Lets @work do what is left, waits for it, and ends the thread: when @work returns 0 or fails. @done is not called any more. */
void gr_aside_close(struct gr_aside **a);
