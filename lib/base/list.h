/**
 * list - an intrusive doubly linked list; a node is on at most one list
 *
 * An initialised node that is on no list points at itself, so gr_list_del is always safe on it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "lib/base/alloc.h"

struct gr_list {
	struct gr_list *prev, *next;
};

static inline void gr_list_init(struct gr_list *l) { l->prev = l->next = l; }
static inline bool gr_list_is_empty(const struct gr_list *l) { return l->next == l; }
static inline void gr_list_insert(struct gr_list *prev, struct gr_list *n)
{
	n->prev = prev;
	n->next = prev->next;
	prev->next->prev = n;
	prev->next = n;
}
static inline void gr_list_push(struct gr_list *l, struct gr_list *n) { gr_list_insert(l->prev, n); }       /* at the end */
static inline void gr_list_push_front(struct gr_list *l, struct gr_list *n) { gr_list_insert(l, n); }
static inline void gr_list_del(struct gr_list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	gr_list_init(n);
}
/* All of @from, in order, at the end of @l. */
static inline void gr_list_splice(struct gr_list *l, struct gr_list *from)
{
	if (gr_list_is_empty(from))
		return;
	from->next->prev = l->prev;
	l->prev->next = from->next;
	from->prev->next = l;
	l->prev = from->prev;
	gr_list_init(from);
}
/* The first node, taken off; NULL when empty. */
static inline struct gr_list *gr_list_pop(struct gr_list *l)
{
	struct gr_list *n = l->next;

	if (n == l)
		return NULL;
	gr_list_del(n);
	return n;
}

/* for (each of type T by member m); the body may not delete the current node; _SAFE may. */
#define GR_LIST_EACH(it, head, type, m) \
	for (type *it = GR_CONTAINER((head)->next, type, m); &it->m != (head); it = GR_CONTAINER(it->m.next, type, m))
#define GR_LIST_EACH_SAFE(it, head, type, m) \
	for (type *it = GR_CONTAINER((head)->next, type, m), *it##_next = GR_CONTAINER(it->m.next, type, m); \
	     &it->m != (head); it = it##_next, it##_next = GR_CONTAINER(it->m.next, type, m))
