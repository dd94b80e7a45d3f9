/* cut.c - see cut.h */
#include "lib/net/cut.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/alloc.h"

#define MAX_CUTS 1024u

struct cut {
	struct gr_cut c;
	uint64_t due_ns;
};
struct gr_cuts {                          /* in order of time */
	struct cut *list;
	size_t n, cap;
};

static bool cookie_of(int fd, uint64_t *out)
{
	socklen_t n = sizeof(*out);

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_COOKIE, out, &n) == 0 && n == sizeof(*out);
}

struct gr_cut gr_cut_of(int fd)
{
	struct gr_cut c = { fd, 0 };

	if (!cookie_of(fd, &c.cookie))
		c.fd = -1;
	return c;
}

bool gr_cut_now(const struct gr_cut *c)
{
	uint64_t cookie;
	bool is_it;
	int fd = c->fd < 0 ? -1 : fcntl(c->fd, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return false;
	is_it = cookie_of(fd, &cookie) && cookie == c->cookie && shutdown(fd, SHUT_RDWR) == 0;
	close(fd);
	return is_it;
}

struct gr_cuts *gr_cuts_new(void)
{
	struct gr_cuts *l;

	GR_NEW(l);
	return l;
}

void gr_cuts_free(struct gr_cuts **lp)
{
	struct gr_cuts *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	free(l->list);
	free(l);
}

static void drop_first(struct gr_cuts *l, size_t n)
{
	l->n -= n;
	memmove(l->list, l->list + n, l->n * sizeof(*l->list));
}

void gr_cuts_add(struct gr_cuts *l, const struct gr_cut *c, uint64_t due_ns)
{
	if (c->fd < 0)
		return;
	if (l->n == MAX_CUTS) {
		gr_cut_now(&l->list[0].c);
		drop_first(l, 1);
	}
	GR_GROW(l->list, l->cap, l->n + 1);
	l->list[l->n++] = (struct cut){ *c, due_ns };
}

void gr_cuts_spare(struct gr_cuts *l, const struct gr_cut *c)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->list[i].c.fd != c->fd || l->list[i].c.cookie != c->cookie)
			l->list[n++] = l->list[i];
	l->n = n;
}

void gr_cuts_tick(struct gr_cuts *l, uint64_t now_ns)
{
	size_t n = 0;

	for (; n < l->n && l->list[n].due_ns <= now_ns; n++)
		gr_cut_now(&l->list[n].c);
	if (n)
		drop_first(l, n);
}
