/**
 * procs_pipe - what a worker and its generator processes (procs.h) speak over their socket pair: a length of four bytes and a frame
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"

#define GR_PROCS_CHILD_FD 3                      /* the pair's end in the process */
#define GR_PROCS_BEAT_MS 100                     /* the worker says LOAD_CLOCK so often */
#define GR_PROCS_MAX_MESSAGE_BYTES (64u << 20)

void gr_procs__add(struct gr_buf *b, struct gr_slice frame);     /* behind what @b has */
/* @flags: MSG_DONTWAIT, for the first byte alone: what was begun is ended. false: not sent, or the other end is gone. */
bool gr_procs__put(int fd, struct gr_slice frame, int flags);
/* More of what came into @b. false: the other end is gone. */
bool gr_procs__fill(int fd, struct gr_buf *b);
/* The frame in front of @b from @at on, borrowed until @b changes; 0 none is whole, -1 nonsense, else the bytes it takes. */
long gr_procs__peek(const struct gr_buf *b, size_t at, struct gr_slice *frame);
void gr_procs__drop(struct gr_buf *b, size_t n);                 /* from its front */
