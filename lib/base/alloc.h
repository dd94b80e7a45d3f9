/**
 * alloc - memory: what is small and bounded aborts when there is none; what a peer sized is tried
 */
#pragma once
#include <stddef.h>

/* Zeroed, never NULL; aborts with a message on stderr. Free with free(). */
void *gr_xalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *gr_xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
/* As gr_xalloc, for a table that is read all over: it begins with a cache line, and is from 2 MiB on in huge pages, where the
 * kernel gives them. */
void *gr_xtable(size_t n) __attribute__((malloc, returns_nonnull));
/* A table of @n bytes that begins with the @n_old of @old, which is freed. */
void *gr_xtable_grow(void *old, size_t n_old, size_t n) __attribute__((returns_nonnull));
/* Begins with a cache line; not zeroed, so that only what is used of it takes memory. */
void *gr_xlines(size_t n) __attribute__((malloc, returns_nonnull));
/* Addresses for @most bytes, for what grows and stays where it is: no memory, and none of them may be used before gr_xspan_use. */
void *gr_xspan(size_t most) __attribute__((returns_nonnull));
/* Of it so far the first @from bytes may be used, now the first @to, the new ones 0. By huge pages where a step, or all that was used
 * before, is 2 MiB or more, and the kernel gives them. */
void gr_xspan_use(void *span, size_t from, size_t to);
void gr_xspan_free(void *span, size_t most);
char *gr_xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *gr_xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
/* @n bytes copied, one NUL added behind them. */
void *gr_xmemdup(const void *p, size_t n) __attribute__((malloc, returns_nonnull));
/* For sizes a peer chose, after the limit was checked: zeroed, or NULL. */
void *gr_tryalloc(size_t n) __attribute__((malloc));

#define GR_NEW(ptr) ((ptr) = gr_xalloc(sizeof(*(ptr))))
#define GR_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define GR_CONTAINER(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
/* Grows array @a (capacity @cap, element count needed @need) by doubling. */
#define GR_GROW(a, cap, need) \
	((void)((size_t)(need) > (size_t)(cap) && ((a) = gr_xgrow((a), &(cap), (need), sizeof(*(a))))))
void *gr_xgrow_sz(void *p, size_t *cap, size_t need, size_t elem);
#define gr_xgrow(p, cap, need, elem) __extension__({ size_t cap_sz_ = *(cap); \
	void *p_ = gr_xgrow_sz((p), &cap_sz_, (need), (elem)); *(cap) = cap_sz_; p_; })
